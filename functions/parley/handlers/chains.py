"""The daily check of all chains: each person's records verified, and held against their copies.

A walk goes through everybody twice: through the ledger, in parts that are read side by side, for records that were
changed and copies that are missing or differ; then through the bucket, for people whose rows are gone altogether. The
clock starts a run every hour. A run does as many people as its time allows and leaves a cursor, from which the next
one goes on; a day after a walk began the next one may begin, and until then there is nothing to do. Nobody's number
is known here, and a line of the log shows the beginning of a party key. docs/operations.md says what a walk costs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from parley import log, runtime
from parley.adapters.copies import BEHIND
from parley.audit import audit
from parley.clock import seconds_left
from parley.core import moments
from parley.core.chains import FINDINGS, UNREAD
from parley.core.identity import label
from parley.core.verification import METRICS
from parley.ports import CopyError, LedgerError

SEGMENTS = 8
"""The parts in which the ledger is read at the same time. Another number makes the old cursors void: so it is in them.

A client has ten connections.
"""

CURSOR = f"chains-in-{SEGMENTS}"

PAUSE = timedelta(hours=23)
"""How long after the beginning of a walk the next one begins: a little under a day, so that none is left out."""

PAGE = 500
"""People who are listed from the bucket at once."""

FAILURES_LIMIT = 5
"""How many people in a row may be unreadable before a part is given up until the next run: then it is not them."""


class ChainsError(Exception):
    """A chain or a copy is not as it was written, or could not be read. The log names it."""


@dataclass(slots=True)
class _Part:
    """A part of a walk: from where the next run goes on ("" at the start), and what this one found."""

    position: str
    over: bool = False
    persons: int = 0
    records: int = 0
    findings: int = 0
    unread: int = 0
    unread_in_a_row: int = 0

    def examine(self, party: str, now: datetime) -> bool:
        """Check one person and move on; return False if this part has to be given up for now."""
        try:
            done = audit(runtime.ledger(), runtime.copies(), party, now, runtime.proofs())
        except Exception as error:  # noqa: BLE001 - whatever somebody wrote into a row, the others must be checked
            reason = str(error) if isinstance(error, LedgerError | CopyError) else type(error).__name__
            log.emit("chain-unread", "ERROR", party=label(party), reason=reason)
            self.unread += 1
            self.unread_in_a_row += 1
            return self.unread_in_a_row < FAILURES_LIMIT
        self.unread_in_a_row = 0
        self.persons += 1
        self.records += done.records
        self.findings += len(done.findings)
        for finding in done.findings:
            log.emit(
                "chain-finding",
                "ERROR",
                party=label(party),
                seq=finding.seq,
                fault=str(finding.fault),
                reason=finding.reason,
                fix=finding.fix,
            )
        return True


def handle(_event: object, context: Any) -> dict[str, int]:
    """Go on with the walk, and return what was done: nothing while the last one is less than a day old.

    Raises ChainsError if anything is wrong or unread, so that the function's error alarm rings.
    """
    deadline = time.monotonic() + seconds_left(context)
    ledger, now = runtime.ledger(), runtime.clock().now()
    runtime.copies(), runtime.proofs()  # made here: clients must not be made by several threads at once
    cursor = ledger.load_cursor(CURSOR)
    if not cursor or (cursor["over"] and now - moments.from_text(cursor["began"]) >= PAUSE):
        cursor = _beginning(now)
    if cursor["over"]:
        return {}
    segments: Mapping[str, str] = cursor["segments"]

    def read(segment: str) -> _Part:
        return _read_ledger(int(segment), segments[segment], now, deadline)

    with ThreadPoolExecutor(SEGMENTS) as pool:
        parts = dict(zip(segments, pool.map(read, segments), strict=True))
    left = {name: part.position for name, part in parts.items() if not part.over}
    bucket = _Part(cursor["copies"])
    if not left:
        _read_bucket(bucket, now, deadline)
    every = [*parts.values(), bucket]
    counted = {
        "ChainsChecked": sum(part.persons for part in every),
        "ChainRecords": sum(part.records for part in every),
        FINDINGS: sum(part.findings for part in every),
        UNREAD: sum(part.unread for part in every),
        "ChainWalks": int(bucket.over),
    }
    if bucket.over:
        counted["ChainWalkHours"] = (now - moments.from_text(cursor["began"])) // timedelta(hours=1)
    ledger.save_cursor(CURSOR, {**cursor, "segments": left, "copies": bucket.position, "over": bucket.over})
    log.measure(METRICS, {"Stack": runtime.environment().stack}, counted)
    if counted[FINDINGS] or counted[UNREAD]:
        raise ChainsError("see the events before this one in the log")
    return counted


def _beginning(now: datetime) -> dict[str, Any]:
    return {
        "began": moments.to_text(now),
        "segments": {str(segment): "" for segment in range(SEGMENTS)},
        "copies": "",
        "over": False,
    }


def _read_ledger(segment: int, position: str, now: datetime, deadline: float) -> _Part:
    """Check the people of one part of the ledger until it or the time is over."""
    part = _Part(position)
    while time.monotonic() < deadline:
        try:
            parties, following = runtime.ledger().chained(segment, SEGMENTS, part.position)
        except LedgerError as error:
            log.emit("chains-unread", "ERROR", segment=segment, reason=str(error))
            part.unread += 1
            return part
        if not _take(part, parties, now, deadline):
            return part
        if not following:
            part.over = True
            return part
        part.position = following
    return part


def _read_bucket(part: _Part, now: datetime, deadline: float) -> None:
    """Check the people who have copies and no chain in the ledger, until the bucket or the time is over."""
    while time.monotonic() < deadline:
        try:
            parties, following = runtime.copies().parties(part.position, PAGE)
            forgotten = runtime.ledger().unchained(parties)
        except (LedgerError, CopyError) as error:
            log.emit("copies-unread", "ERROR", reason=str(error))
            part.unread += 1
            return
        if not _take(part, forgotten, now, deadline, BEHIND):
            return
        if not following:
            part.over = True
            return
        part.position = following


def _take(part: _Part, parties: list[str], now: datetime, deadline: float, behind: str = "") -> bool:
    """Check people one by one, and note the last that was read, and what comes `behind`; return whether all were."""
    for party in parties:
        if time.monotonic() > deadline or not part.examine(party, now):
            return False
        if not part.unread_in_a_row:
            part.position = party + behind
    return True
