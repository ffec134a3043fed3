"""The import of consents from a CSV file: every row held to the rules of the API, and written through the ledger.

The file is read once for its hash and once for its rows, never as a whole. A row's source event follows from the hash
and the row, so a row that is written twice is one record: whenever an import ends, even by a kill, it can go on. What
is done is in a journal beside the file, which only saves the work of finding that out; it holds rows and reasons, and
nothing that a person wrote or is known by.

Rows of one person stay in their order: each person belongs to one lane, and a lane carries out one transaction after
the other. Lanes run at the same time, and each transaction takes as many people as it has room for.
"""

from __future__ import annotations

import csv
import difflib
import gc
import hashlib
import json
import os
import re
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from parley.adapters.consents import TRANSACTION_LIMIT
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.identity import Contacts, Identities
from parley.adapters.numbers import parse_number
from parley.core.consent import NO, Method, Scope, canonical_json, sha256_hex
from parley.core.requests import ConsentRequest, InvalidBodyError, consent_request
from parley.env import Environment
from parley.ports import Appended, Entry, LedgerError, Refusal
from parley.reported import event_of

from cli.errors import CANNOT_TELL, UserError

LANES = 32
"""Transactions under way at once. Each waits for KMS and DynamoDB nearly all of its time."""

WAITING = 4
"""Batches that may wait for each lane: enough to keep it busy, few enough to keep the file out of memory."""

COLLECT_AFTER = 1_000_000
"""How many more objects there are before Python looks for reference cycles among them (`gc.set_threshold`)."""

JOURNAL_VERSION = 1

COLUMNS: Mapping[str, str] = {
    "party": "a number in E.164 form, or a user id after `user:`",
    "occurred_at": "when the person said so, RFC 3339",
    "counterpart": "whom it is towards, in the same form; empty means the service as a whole",
    "state": "`given` (also if empty), `refused` or `withdrawn`",
    "kind": "`explicit` (also if empty) or `implied`",
    "source_event_id": "an id of your own that makes a repeat harmless; empty: made from the file's hash and the row",
    "notice_id": "the text that the person was shown: one of ours, or of your own (`app:…`)",
    "notice_version": "its version",
    "notice_language": "its language",
    "notice_sha256": "the SHA-256 of its exact wording",
    "how_verified": "`none`, `otp` or `account`",
    "first_seen": "the first day on which the number was this person's",
    "last_verified": "the last day on which that was verified",
    "line_type": "`mobile`, `landline`, `voip` or `unknown`",
    "location": "ISO 3166 codes of the person's places, with spaces between them",
    "location_source": "how they are known: `declared`, `verified`, `kyc`, `gps`, `prefix` or `unknown`",
    "location_confidence": "`high`, `medium` or `low`",
    "legal_basis": "`consent` (also if empty), `contract`, `legitimate_interest` or `legal_obligation`",
    "withdrawal_channel": "how a withdrawal came",
}
"""Every column and what stands in it. A column `evidence.NAME` holds one member of the method's proof."""

REQUIRED = ("party", "occurred_at")
EVIDENCE = "evidence."
_NOTICE = {name: f"notice_{name}" for name in ("id", "version", "language", "sha256")}
_TENURE = ("first_seen", "last_verified", "line_type")
_WHOLE = frozenset({"interval_seconds", "offset_seconds", "pages", "row", "stayed_seconds"})
_INTEGER = re.compile("0|[1-9][0-9]{0,17}", re.ASCII)
_STATES = ("given", "refused", "withdrawn")

Reject = tuple[int, str, str]
"""A row that was not imported: its number, the member that is wrong, and the reason. None repeats a value."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import is to do with every row: by which method and for which scopes, and `constants` by column."""

    method: Method
    scopes: tuple[Scope, ...]
    constants: Mapping[str, str]
    actor: str


@dataclass(slots=True)
class Tally:
    """What became of the rows so far."""

    recorded: int = 0
    repeated: int = 0
    rejected: int = 0

    @property
    def rows(self) -> int:
        """All rows that are done with."""
        return self.recorded + self.repeated + self.rejected


@dataclass(frozen=True, slots=True, repr=False)
class _Row:
    number: int
    requests: tuple[ConsentRequest, ...]


@dataclass(slots=True)
class Journal:
    """What an import has done, line by line. `done` are the numbers of rows that need not be looked at again."""

    path: Path
    file: IO[str]
    tally: Tally = field(default_factory=Tally)
    done: set[int] = field(default_factory=set)
    rejects: list[Reject] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def begin(cls, path: Path, identity: str, *, resume: bool) -> Journal:
        """Start a journal, or go on with the one that is there. `identity` says which import it belongs to.

        Raises UserError if a journal is there and nobody said to go on, or if it is another import's.
        """
        if not path.exists():
            if resume:
                raise UserError(f"{path}: there is no journal to go on from: leave --resume out", CANNOT_TELL)
            journal = cls(path, path.open("x", encoding="utf-8"))
            journal.write({"journal": JOURNAL_VERSION, "import": identity})
            return journal
        if not resume:
            way_out = "go on with --resume, or remove the journal to begin anew"
            raise UserError(f"{path}: an import of this file was begun: {way_out}", CANNOT_TELL)
        lines, end = _whole_lines(path)
        if not lines or lines[0] != {"journal": JOURNAL_VERSION, "import": identity}:
            way_out = "put back what it was begun with, or remove the journal to begin anew"
            raise UserError(f"{path}: this journal is of another file or other options: {way_out}", CANNOT_TELL)
        os.truncate(path, end)
        journal = cls(path, path.open("a", encoding="utf-8"))
        for line in lines[1:]:
            journal.note(line["rows"], [tuple(reject) for reject in line["rejected"]], line["repeated"])
        return journal

    def add(self, rows: Sequence[int], rejected: Sequence[Reject], repeated: int) -> None:
        """Keep that some rows are done."""
        with self.lock:
            self.write({"rows": list(rows), "rejected": [list(reject) for reject in rejected], "repeated": repeated})
            self.note(rows, rejected, repeated)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line, so that it survives the end of this process."""
        self.file.write(canonical_json(line) + "\n")
        self.file.flush()

    def note(self, rows: Sequence[int], rejected: Sequence[Reject], repeated: int) -> None:
        """Count what a line says."""
        refused = {number for number, _, _ in rejected}
        self.done.update(rows)
        self.rejects += rejected
        self.tally.rejected += len(refused)
        self.tally.repeated += repeated
        self.tally.recorded += len(rows) - len(refused) - repeated


def _whole_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return a journal's lines up to the first that a kill cut off, and the position where that begins."""
    lines: list[dict[str, Any]] = []
    end = 0
    with path.open("rb") as file:
        for raw in file:
            try:
                line = json.loads(raw) if raw.endswith(b"\n") else None
            except ValueError:
                line = None
            if not isinstance(line, dict):
                break
            lines.append(line)
            end += len(raw)
    return lines, end


class Source:
    """A CSV file, open once. `digest` is its SHA-256, `size` its bytes, `read` how many of them were read as rows."""

    def __init__(self, path: Path, plan: Plan) -> None:
        """Raise UserError if the file cannot be read, or its header is wrong."""
        self.path, self.plan, self.read = path, plan, 0
        try:
            self._file = path.open("rb")
            self.digest = hashlib.file_digest(self._file, "sha256").hexdigest()
            self.size = self._file.tell()
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}", CANNOT_TELL) from None
        self._file.seek(0)
        self._reader = csv.reader(self._lines(), strict=True)
        try:
            self.header = self._header()
        except UserError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _lines(self) -> Iterator[str]:
        for number, raw in enumerate(self._file):
            self.read += len(raw)
            # A byte that is no UTF-8 becomes a lone surrogate, which the row is refused for.
            yield raw.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")

    def _header(self) -> list[str]:
        try:
            header = [name.strip() for name in next(self._reader, [])]
        except csv.Error:
            header = []
        for name in (*header, *self.plan.constants):
            if name not in COLUMNS and not (name.startswith(EVIDENCE) and name.removeprefix(EVIDENCE).isidentifier()):
                close = difflib.get_close_matches(name, COLUMNS, n=1)
                shown = f"column {header.index(name) + 1}" if name in header else "--set"
                hint = f"; did you mean {close[0]}?" if close else ""
                raise UserError(
                    f"{self.path}: {shown} is none that an import knows{hint}: see docs/consent-records.md", CANNOT_TELL
                )
        counted = Counter(header)
        twice = sorted(name for name in counted if counted[name] > 1 or name in self.plan.constants)
        if twice:
            raise UserError(f"{self.path}: {twice[0]} is there twice: keep one", CANNOT_TELL)
        missing = [name for name in REQUIRED if name not in counted and name not in self.plan.constants]
        if missing:
            raise UserError(f"{self.path}: the column {missing[0]} is missing from the first line", CANNOT_TELL)
        return header

    def rows(self) -> Iterator[tuple[int, dict[str, str] | str]]:
        """Yield each row's number, the header's being 1, with its values by column, or why it cannot be read."""
        number = 1
        while True:
            number += 1
            try:
                values = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                yield number, "is not written as CSV: check its quotes"
                continue
            if not values:
                continue
            if len(values) != len(self.header):
                yield number, f"has {len(values)} fields, and the header has {len(self.header)}"
            elif not "".join(values).isprintable() and any(_undecodable(value) for value in values):
                yield number, "is not UTF-8"
            else:
                yield number, dict(zip(self.header, map(str.strip, values), strict=True))


def _undecodable(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)


def body_of(values: Mapping[str, str], plan: Plan, scope: Scope, source_event_id: str) -> dict[str, Any]:
    """Return the body of `POST /v1/consents` that says what a row says. Empty values are as good as none."""
    row = {name: value for name, value in {**plan.constants, **values}.items() if value}
    evidence: dict[str, str | int] = {
        name.removeprefix(EVIDENCE): value for name, value in row.items() if name.startswith(EVIDENCE)
    }
    for name in _WHOLE & evidence.keys():
        evidence[name] = _number(row[EVIDENCE + name])
    notice: dict[str, str | int] = {name: row[column] for name, column in _NOTICE.items() if column in row}
    if "version" in notice:
        notice["version"] = _number(row["notice_version"])
    tenure = {name: row[name] for name in _TENURE if name in row}
    body: dict[str, Any] = {
        "party": row.get("party"),
        "scope": scope,
        "state": row.get("state", "given"),
        "method": plan.method,
        "occurred_at": row.get("occurred_at"),
        "source_event_id": row.get("source_event_id", source_event_id),
        "evidence": evidence or None,
        "notice": notice or None,
        "number_tenure": tenure or None,
    }
    for name in ("counterpart", "kind", "legal_basis"):
        if name in row:
            body[name] = row[name]
    if "how_verified" in row:
        body["identity"] = {"how_verified": row["how_verified"]}
    if "withdrawal_channel" in row:
        body["withdrawal"] = {"channel": row["withdrawal_channel"]}
    if "location" in row:
        body["location"] = {
            "codes": row["location"].split(),
            "source": row.get("location_source", "unknown"),
            "confidence": row.get("location_confidence", "low"),
        }
    return body


def _number(value: str) -> str | int:
    # As JSON would have it: a number where one is written, and a text where a zero leads, as in an id.
    return int(value) if _INTEGER.fullmatch(value) else value


class _Lanes:
    """Carries out batches of rows, LANES at once. Each person belongs to one lane, whose batches follow one another.

    After a batch failed no other is begun: it may hold a later row of somebody whose earlier one was not written.
    """

    def __init__(self, carry: Callable[[Sequence[_Row]], None]) -> None:
        self._carry = carry
        self._lanes = [ThreadPoolExecutor(1, thread_name_prefix=f"lane-{number}") for number in range(LANES)]
        self._batches: list[dict[str, _Row]] = [{} for _ in self._lanes]
        self._room = threading.Semaphore(WAITING * LANES)
        self._failures: list[BaseException] = []

    def add(self, row: _Row) -> None:
        """Put a row into its person's lane; wait if too much is under way. Raises what a batch raised."""
        self._raise_failure()
        party = row.requests[0].party
        lane = zlib.crc32(party.encode()) % LANES
        if party in self._batches[lane] or (len(self._batches[lane]) + 1) * _writes(row) > TRANSACTION_LIMIT:
            self._send(lane)
        self._batches[lane][party] = row

    def finish(self) -> None:
        """Carry out what is left, and wait for all that is under way. Raises what a batch raised."""
        for lane in range(LANES):
            self._send(lane)
        for _ in range(WAITING * LANES):
            self._room.acquire()
        self._raise_failure()

    def close(self) -> None:
        """Begin nothing else, and wait for what is being carried out."""
        for lane in self._lanes:
            lane.shutdown(wait=False, cancel_futures=True)
        for lane in self._lanes:
            lane.shutdown(wait=True)

    def _send(self, lane: int) -> None:
        self._room.acquire()
        self._lanes[lane].submit(self._work, list(self._batches[lane].values()))
        self._batches[lane] = {}

    def _work(self, batch: Sequence[_Row]) -> None:
        try:
            if batch and not self._failures:
                self._carry(batch)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that reads the rows
            self._failures.append(error)
        finally:
            self._room.release()

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures[0]


class Import:
    """One run of an import.

    `tell` is called with what became of the rows and the bytes read, after each batch and for each rejected row.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        environment: Environment,
        now: datetime,
        tell: Callable[[Tally, int], None] = lambda _tally, _bytes: None,
    ) -> None:
        self._source, self._plan, self._environment, self._now, self._tell = source, plan, environment, now, tell
        self._methods = environment.consent.methods_for
        for scope in plan.scopes:
            if str(plan.method) not in self._methods(scope):
                raise UserError(
                    f"--method {plan.method}: the stack does not accept it for {scope}: add it to"
                    " parley:consent.methods",
                    CANNOT_TELL,
                )

    @property
    def identity(self) -> str:
        """What makes an import this one: the file, and all that decides what its rows mean."""
        plan = self._plan
        return sha256_hex(canonical_json([self._source.digest, plan.method, plan.scopes, dict(plan.constants)]))

    def check(self) -> Journal:
        """Hold every row to the rules, and write nothing: neither records nor a journal."""
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            journal = Journal(self._source.path, nowhere)
            for row in self._read(journal):
                journal.add([row.number], [], 0)
                self._tell(journal.tally, self._source.read)
        return journal

    def run(self, journal: Journal, ledger: DynamoLedger, identities: Identities, contacts: Contacts | None) -> None:
        """Write every row that the journal does not have yet.

        Raises LedgerError if the ledger does not answer; what was done until then is in the journal.
        """
        carry = partial(self._carry, journal, ledger, identities, contacts)
        with closing(_Lanes(carry)) as lanes, _few_collections():
            for row in self._read(journal):
                lanes.add(row)
            lanes.finish()

    def _read(self, journal: Journal) -> Iterator[_Row]:
        """Yield the rows that hold to the rules; put the others in the journal."""
        for number, values in self._source.rows():
            if number in journal.done:
                continue
            if isinstance(values, str):
                journal.add([number], [(number, "", values)], 0)
            else:
                try:
                    yield _Row(number, self._requests(number, values))
                    continue
                except InvalidBodyError as error:
                    journal.add([number], [(number, each["path"], each["reason"]) for each in error.errors], 0)
            self._tell(journal.tally, self._source.read)

    def _requests(self, number: int, values: Mapping[str, str]) -> tuple[ConsentRequest, ...]:
        state = values.get("state") or self._plan.constants.get("state") or "given"
        if state not in _STATES:
            raise InvalidBodyError([{"path": "state", "reason": f"is not one of {', '.join(_STATES)}"}])
        source_event_id = f"import:{self._source.digest[:32]}:{number}"
        return tuple(
            consent_request(
                body_of(values, self._plan, scope, source_event_id),
                now=self._now,
                methods=self._methods,
                parse=parse_number,
            )
            for scope in self._plan.scopes
        )

    def _carry(
        self,
        journal: Journal,
        ledger: DynamoLedger,
        identities: Identities,
        contacts: Contacts | None,
        batch: Sequence[_Row],
    ) -> None:
        outcomes = self._append(ledger, [self._entry(row, ledger.region, identities, contacts) for row in batch])
        rejected = [
            (row.number, "", _REFUSED[outcome])
            for row, outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome, Refusal)
        ]
        repeated = sum(isinstance(outcome, Appended) and outcome.repeated for outcome in outcomes)
        journal.add([row.number for row in batch], rejected, repeated)
        self._tell(journal.tally, self._source.read)

    @staticmethod
    def _append(ledger: DynamoLedger, entries: Sequence[Entry]) -> list[Appended | Refusal]:
        try:
            return ledger.append_all(entries)
        except LedgerError:
            if len(entries) == 1:
                raise
            # One person whom others write to all the time must not keep the rest from being written.
            return [outcome for entry in entries for outcome in ledger.append_all([entry])]

    def _entry(self, row: _Row, region: str, identities: Identities, contacts: Contacts | None) -> Entry:
        environment, first = self._environment, row.requests[0]
        party = identities.party(first.party)
        counterpart = None if first.counterpart is None else identities.party(first.counterpart)
        events = tuple(
            event_of(
                request,
                party=party,
                counterpart=counterpart,
                actor=self._plan.actor,
                controller=environment.controller,
                validity_days=environment.consent.validity_days,
                purposes=environment.purposes,
                storage_region=region,
            )
            for request in row.requests
        )
        seal = None if contacts is None or first.state in NO else partial(contacts.seal, party, first.party)
        return Entry(events, seal, keeps_no=first.state not in NO)


_REFUSED: Mapping[Refusal, str] = {
    Refusal.SAID_NO: "was refused or withdrawn by the person, and no import lifts that",
    Refusal.REUSED: "has a source event that was used for another consent before",
}


def _writes(row: _Row) -> int:
    """Return how many items of a transaction a row takes at most: as `writes_of`, before there are events."""
    return 2 * len(row.requests) + 3


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for reference cycles seldom: rows make none, and the look at those under way is a sixth of all work."""
    usual = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    """Write the rows that were not imported, sorted, as CSV. The file appears as a whole. Raises UserError."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".rejects")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("row", "member", "reason"))
                writer.writerows(sorted(rejects))
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--rejects {path}: {error.strerror}") from None
