"""Chains and their copies: what of one person's consent records is no longer as it was written.

The ledger holds each record in a row, the evidence bucket a copy of it that nobody can replace unnoticed. A row that
was changed breaks its chain; a chain that was made anew, hash by hash, still differs from the copies; rows that were
taken away, the newest or all of them, leave copies without a row. So a person's records stand as they were written if
the chain verifies and every copy says the same (47 CFR 64.1200 and GDPR art. 7(1) leave the proof to the controller),
or they were erased, as a signed proof says.

Rows leave by themselves at the end of their retention, the oldest first; a copy names the moment at which its row
does, so that a row that left early is told from one whose time was over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from parley.core.consent import (
    ChainError,
    ConsentRecord,
    Head,
    canonical_json,
    record_from_json,
    sha256_hex,
    verify_chain,
)
from parley.core.suppression import Suppression

GRACE = timedelta(hours=1)
"""How old a record may be without a copy: the stream takes seconds, and an hour of retries is no fault yet."""

COPY_WITHIN = timedelta(days=7)
"""How old a record may be when it is copied: a copy lives for its own days, so a later one would outlive the bound."""

REFUSED, FINDINGS, UNREAD = "RecordsNotCopied", "ChainFindings", "ChainsUnread"
"""Metrics: rows that are no record, and what the daily check found and could not read."""


class Fault(StrEnum):
    """What can be wrong with one record."""

    CHAIN_BROKEN = "chain-broken"
    COPY_MISSING = "copy-missing"
    COPY_DIFFERS = "copy-differs"
    ROW_MISSING = "row-missing"


_FIXES = {
    Fault.CHAIN_BROKEN: "compare the person's rows with their copies, which say what was written, and put them back",
    Fault.COPY_MISSING: f"copy the person again, until {COPY_WITHIN.days} days after the record (docs/operations.md)",
    Fault.COPY_DIFFERS: "look at the versions of the copy: the first is what was written when the record was new",
    Fault.ROW_MISSING: "put the row back from its copy, or from point-in-time recovery of the table",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the ledger's row has it: its place in the chain, its text, and when the row leaves."""

    seq: int
    text: str
    leaves_at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """The row with the end of a chain, and when that row leaves."""

    head: Head
    leaves_at: datetime


@dataclass(frozen=True, slots=True)
class Chain:
    """One person's rows, oldest first, as they were at one moment. `erased` is what stays of an erasure."""

    party: str
    rows: tuple[Row, ...] = ()
    end: End | None = None
    erased: Suppression | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a record: its text, and when the row leaves that it was made of (None: it does not say)."""

    text: str
    row_leaves_at: datetime | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one record of one person, a party key, that is not as it was written."""

    party: str
    seq: int
    fault: Fault
    reason: str

    @property
    def fix(self) -> str:
        """The way out, one sentence."""
        return _FIXES[self.fault]


class RowError(ValueError):
    """A row does not hold the record that belongs in its place. The message repeats nothing of it."""


def read_row(party: str, seq: int, text: str) -> ConsentRecord:
    """Return the record that a row holds: the canonical text of record `seq` of `party`, under its own hash.

    Raises RowError.
    """
    try:
        record = record_from_json(text)
        document = canonical_json(record.document())
        canonical = record.to_json()
    except (ValueError, RecursionError):
        raise RowError("is not a consent record of this version") from None
    if record.event.party != party:
        raise RowError("belongs to another person")
    if record.seq != seq:
        raise RowError("stands in the place of another record")
    if record.record_hash != sha256_hex(document) or canonical != text:
        raise RowError("was changed after it was written")
    return record


def verified(chain: Chain, now: datetime) -> list[ConsentRecord]:
    """Return the records of a chain whose time is not over. Raises ChainError at the first that does not hold."""
    records = []
    for row in _live(chain, now):
        try:
            records.append(read_row(chain.party, row.seq, row.text))
        except RowError as error:
            raise ChainError(row.seq, str(error)) from None
    if records and chain.end is None:
        raise ChainError(records[-1].seq, "has no end: the row with the head of the chain is gone")
    # When retention was shortened, the end leaves before older records do.
    head = chain.end.head if chain.end is not None and chain.end.leaves_at > now else None
    verify_chain(records, head=head, whole=False)
    return records


def compare(chain: Chain, copies: Mapping[int, Copy], now: datetime) -> list[Finding]:
    """Return everything that is wrong with one person's chain and its copies, which are given by sequence number.

    Of the copies whose rows have left, the newest is enough. A chain is followed up to its first fault.
    """
    rows = _live(chain, now)
    found: list[Finding] = []
    try:
        verified(chain, now)
    except ChainError as error:
        found.append(Finding(chain.party, error.seq, Fault.CHAIN_BROKEN, str(error)))
    found += _held_against(chain.party, rows, copies, now)
    for seq in sorted(copies.keys() - {row.seq for row in rows}):
        leaves_at = copies[seq].row_leaves_at
        if leaves_at is None or leaves_at > now:
            found.append(Finding(chain.party, seq, Fault.ROW_MISSING, f"record {seq}: has a copy but no row"))
    return found


def worth_reading(rows: Sequence[Row], copied: Iterable[int]) -> list[int]:
    """Return which copies of a person have to be read: of those before the first row the last one stands for all."""
    first = rows[0].seq if rows else None
    earlier = sorted(seq for seq in copied if first is None or seq < first)
    return sorted({*copied} - {*earlier[:-1]})


def _live(chain: Chain, now: datetime) -> list[Row]:
    return [row for row in chain.rows if row.leaves_at > now]


def _held_against(party: str, rows: Sequence[Row], copies: Mapping[int, Copy], now: datetime) -> Iterable[Finding]:
    for row in rows:
        copy = copies.get(row.seq)
        if copy is not None:
            if copy.text != row.text:
                yield Finding(party, row.seq, Fault.COPY_DIFFERS, f"record {row.seq}: its copy says something else")
            continue
        try:
            recorded_at = read_row(party, row.seq, row.text).recorded_at
        except RowError:
            continue  # nothing tells its age, and the chain is broken there anyhow
        if recorded_at <= now - GRACE:
            yield Finding(party, row.seq, Fault.COPY_MISSING, f"record {row.seq}: has no copy")
