"""Carrying out legal holds: what there is of a person or a session is brought under them, and let go again.

A hold stops the sweeper, the archive and an erasure from the moment its row is written: each of them reads the holds
before it deletes. What deletes by rule, S3's lifecycle and DynamoDB's time to live, reads no holds, so versions get an
S3 legal hold and rows lose their time to live. That is done unit by unit: a person, or a conversation.

| step | what is done | who dies after it leaves |
|---|---|---|
| order | the hold and its log entry are written, in one transaction | a hold that counts already |
| log | the entry is written to the evidence bucket, once | the same; the next message writes it |
| tell | the queue is told | the same; the sweeper tells it every hour |
| unit | rows, then versions are brought to what the holds say | a unit that is brought there again |
| end | the hold says that everything is under it, or nothing | a walk that is done again, and changes nothing |

What is made later under a hold: the archive puts a new object under it. A new row has a time to live of hours at least
(a day of `keepDays`, four hours for the row that finds a closed session), and a new copy of a consent record is kept as
long as its row. Both are found by the hourly application, which goes through all rows again, and through the objects
that are new since the last one; once a day through all.

A release is the same walk. Each unit is brought to what the holds say that are active then, and compared with them
again after that: who places another hold at the same time walks its units, too, and one of the two comes last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from parley import log, runtime
from parley.adapters.proofs import Proofs
from parley.adapters.versions import Version
from parley.core import moments
from parley.core.erasure import What as Kind
from parley.core.erasure import record_items
from parley.core.holds import POINTERS, Change, Hold, Stage, Subject, What, changed, is_held, keeps_row, row_kind
from parley.core.record_classes import RecordClass
from parley.core.records import Record
from parley.core.verification import METRICS
from parley.variables import EnvironmentMismatchError

QUEUE = "holds"
CONNECTIONS = 8
"""Versions that are put under a hold at once."""

OVERLAP = timedelta(hours=1)
"""How far an application looks back before the last one began: clocks differ, and an upload takes its time."""

PROOFS_OF = "holds"
"""Where the logs of the holds lie among the proofs: `erasure-proofs/holds/<id>/<seq>.json`."""

BY_STACK = "stack"
COPIED = str(RecordClass.CONSENT_EVIDENCE)


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """What is held or let go together. `name` is a session, an intent, a record of no session, or a person.

    `session` is what a hold on a session knows it by, empty for a person.
    """

    place: int
    name: str
    parties: tuple[str, ...]
    session: str = ""

    @property
    def position(self) -> str:
        """Where it stands in the order of the walk, as text."""
        return f"{self.place}:{self.name}"


CONVERSATION, RECORD, PERSON = range(3)


@dataclass(frozen=True, slots=True)
class Walk:
    """How far one application has come: the last unit that is done, when it began, and what is under the hold."""

    after: str
    began: datetime
    objects: int = 0
    rows: int = 0

    def message(self, hold: str) -> dict[str, Any]:
        """Return the message that goes on with it."""
        began = moments.to_text(self.began)
        return {"hold": hold, "after": self.after, "began": began, "objects": self.objects, "rows": self.rows}

    @classmethod
    def of(cls, message: Mapping[str, Any], now: datetime) -> Walk:
        """Return the walk that a message goes on with, or a new one. Raises KeyError, TypeError or ValueError."""
        if "after" not in message:
            return cls("", now)
        began = moments.from_text(message["began"])
        return cls(str(message["after"]), began, int(message["objects"]), int(message["rows"]))


class ChangedMeanwhileError(Exception):
    """Somebody else changed the same hold at the same time."""


def write(before: Hold | None, change: Change) -> bool:
    """Write a change of a hold with its entry, and its copy in the evidence bucket; return False if it changed.

    Raises LedgerError, CopyError: the hold then counts all the same.
    """
    if not runtime.ledger().write_hold(before, change.hold, change):
        return False
    keep_entries([change])
    return True


def keep_entries(changes: Iterable[Change]) -> None:
    """Write entries of a hold's log to the evidence bucket, each once. Raises CopyError."""
    proofs = _proofs()
    for change in changes:
        proofs.keep(f"{PROOFS_OF}/{change.hold.id}/{change.seq:06d}", change.to_json())


def tell(hold: Hold) -> None:
    """Have a hold applied, or taken from what is under it. Raises QueueError."""
    runtime.queues().send(QUEUE, {"hold": hold.id})


def work_on(message: Mapping[str, Any], deadline: float) -> None:
    """Apply a hold, or take it from what is under it, until `deadline` (of the monotonic clock).

    Raises LedgerError, CopyError, QueueError, ChangedMeanwhileError, EnvironmentMismatchError.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    hold = ledger.hold(str(message["hold"]))
    if hold is None or hold.stage is Stage.RELEASED:
        return
    keep_entries(ledger.hold_changes(hold.id))
    walk = Walk.of(message, now)
    since = _since(hold, walk)
    for unit in sorted(_units(hold)):
        if unit.position <= walk.after:
            continue
        if time.monotonic() > deadline:
            runtime.queues().send(QUEUE, walk.message(hold.id))
            log.emit("hold-goes-on", hold=hold.id, rows=walk.rows, objects=walk.objects)
            return
        objects, rows = settle(unit, since)
        walk = replace(walk, after=unit.position, objects=walk.objects + objects, rows=walk.rows + rows)
    if hold.active:
        _applied(hold, walk)
    else:
        _ended(hold)


def _since(hold: Hold, walk: Walk) -> datetime | None:
    """Return since when an archived record is new to a hold, None to look at all: at first, and once a day."""
    applied = hold.applied_at
    if hold.stage is not Stage.HELD or applied is None or applied.date() != walk.began.date():
        return None
    return applied - OVERLAP


def _applied(hold: Hold, walk: Walk) -> None:
    """Write that everything is under a hold."""
    now = runtime.clock().now()
    # An application of what is new does not count the others anew.
    objects = walk.objects + (hold.objects if _since(hold, walk) is not None else 0)
    told: dict[str, Any] = {"objects": objects, "rows": walk.rows, "applied_at": walk.began, "stage": Stage.HELD}
    if hold.stage is Stage.PLACING:
        written = write(hold, changed(hold, What.HELD, now, BY_STACK, **told))
    else:
        written = runtime.ledger().write_hold(hold, replace(hold, **told))
    if not written:
        # What came between may be a release, whose own message takes all of it back.
        raise ChangedMeanwhileError
    log.emit("hold-applied", hold=hold.id, objects=objects, rows=walk.rows)
    log.measure(
        METRICS,
        {"Stack": runtime.environment().stack},
        {"HoldsApplied": 1, "HoldsToReview": int(hold.is_to_review(now))},
    )


def _ended(hold: Hold) -> None:
    """Write that nothing is under a hold any more, after waking the erasures that waited for it."""
    waiting = runtime.ledger().held_erasures()
    runtime.queues().send("erasures", *({"erasure": name} for name in waiting))
    told: dict[str, Any] = {"objects": 0, "rows": 0, "stage": Stage.RELEASED}
    if not write(hold, changed(hold, What.ENDED, runtime.clock().now(), BY_STACK, **told)):
        raise ChangedMeanwhileError
    log.emit("hold-ended", hold=hold.id, erasures=len(waiting))


def _proofs() -> Proofs:
    found = runtime.proofs()
    if found is None:
        raise EnvironmentMismatchError(["PARLEY_PROOF_KEY, PARLEY_EVIDENCE_BUCKET or PARLEY_EVIDENCE_KEY is not set"])
    return found


# Units ------------------------------------------------------------------------------------------------------------


def found(hold: Hold) -> int:
    """Return how many rows there are of a hold's subject itself; none means that what it is about is still to come."""
    ledger = runtime.ledger()
    if hold.kind is Subject.PARTY:
        return ledger.person_rows(hold.subject)
    return len(ledger.rows_under(f"SESSION#{hold.subject}"))


def _units(hold: Hold) -> Iterator[Unit]:
    """Yield what a hold is about: the conversations, the records of none, and the person."""
    ledger = runtime.ledger()
    if hold.kind is Subject.SESSION:
        parties, intent = ledger.parties_of(hold.subject)
        everybody = dict.fromkeys(
            [*parties, *(one for record in ledger.records_in(hold.subject) for one in record.parties)]
        )
        yield Unit(CONVERSATION, hold.subject, tuple(everybody), hold.subject)
        if intent:
            yield Unit(CONVERSATION, intent, parties, hold.subject)
        return
    conversations = ledger.past_of(hold.subject)
    for record in ledger.records_of(hold.subject):
        if record.session:
            conversations.setdefault(record.session, record.parties)
        else:
            yield Unit(RECORD, record.sid, record.parties)
    for name, parties in conversations.items():
        yield Unit(CONVERSATION, name, parties, ledger.session_of(name) or name)
    yield Unit(PERSON, hold.subject, (hold.subject,))


def settle(unit: Unit, since: datetime | None = None) -> tuple[int, int]:
    """Bring a unit to what the holds say; return how many versions and rows of it are held then.

    With `since` only the objects of records are looked at that were archived since. It is done again until the holds
    say after it what they said before it, so that two that change at the same time leave it as the last one wants it.
    """
    while True:
        held = _is_held(unit)
        counted = _hold(unit, since) if held else _free(unit)
        if _is_held(unit) == held:
            return counted
        since = None


def _is_held(unit: Unit) -> bool:
    return is_held(runtime.ledger().active_holds(), parties=unit.parties, session=unit.session)


def _hold(unit: Unit, since: datetime | None) -> tuple[int, int]:
    """Keep what finds a unit first, then its rows, then its versions."""
    ledger, env = runtime.ledger(), runtime.environment()

    def keeps(sort: str) -> bool:
        return keeps_row(sort, env.holdable)

    if unit.place == PERSON:
        rows = ledger.keep_rows(f"PARTY#{unit.name}", lambda sort: row_kind(sort) not in POINTERS and keeps(sort))
        return _hold_versions(_copies(unit) if COPIED in env.holdable else [], again=since is not None), rows
    records = _records(unit)
    for party, sort in _pointers(unit, records):
        if keeps(sort):
            ledger.keep_row(f"PARTY#{party}", sort)
    rows = sum(ledger.keep_rows(partition, keeps) for partition in _partitions(unit, records))
    kept = [
        record
        for record in records
        if str(record.record_class) in env.holdable
        and (since is None or record.archived_at is None or record.archived_at >= since)
    ]
    return _hold_versions(_objects(kept), again=since is not None), rows


def _free(unit: Unit) -> tuple[int, int]:
    """Let the versions of a unit go first, then its rows, and what finds it last: a walk that dies finds it again."""
    ledger = runtime.ledger()
    if unit.place == PERSON:
        _each_version(_copies(unit), lambda bucket, version: runtime.versions().hold(bucket, version, on=False))
        ledger.free_rows(f"PARTY#{unit.name}", lambda sort: row_kind(sort) not in POINTERS)
        return 0, 0
    records = _records(unit)
    _each_version(_objects(records), lambda bucket, version: runtime.versions().hold(bucket, version, on=False))
    for partition in _partitions(unit, records):
        ledger.free_rows(partition, lambda _sort: True)
    for party, sort in _pointers(unit, records):
        ledger.free_row(f"PARTY#{party}", sort)
    return 0, 0


def _records(unit: Unit) -> list[Record]:
    ledger = runtime.ledger()
    if unit.place == CONVERSATION:
        return list(ledger.records_in(unit.name))
    record = ledger.record(unit.name)
    return [record] if record is not None else []


def _pointers(unit: Unit, records: Iterable[Record]) -> Iterator[tuple[str, str]]:
    """Yield the rows by which its people find a conversation and its records: whose each is, and its sort key."""
    for record in records:
        yield from ((party, f"RECORD#{record.sid}") for party in record.parties)
    if unit.place == CONVERSATION:
        yield from ((party, f"{kind}#{unit.name}") for party in unit.parties for kind in ("SESSION", "PAST"))


def _partitions(unit: Unit, records: Iterable[Record]) -> Iterator[str]:
    """Yield the partitions whose rows are a conversation's own; that which finds the others is the last."""
    yield from (f"RECORD#{record.sid}" for record in records)
    if unit.place == CONVERSATION:
        own = f"SESSION#{unit.name}"
        sorts = [sort for sort, _ in runtime.ledger().rows_under(own) if row_kind(sort) == "CAPTURE"]
        yield from (f"CALL#{sort.partition('#')[2]}" for sort in sorts)
        yield own


# Versions ---------------------------------------------------------------------------------------------------------

Place = tuple[str, str]
"""A bucket, and what the keys in it begin with."""


def _objects(records: Iterable[Record]) -> list[Place]:
    bucket = runtime.environment().content_bucket
    if bucket is None:
        return []
    return [(bucket, item.place) for record in records for item in record_items(record) if item.kind == Kind.OBJECTS]


def _copies(unit: Unit) -> list[Place]:
    """Return where the copies of a person's consent records lie."""
    bucket = runtime.environment().evidence_bucket
    return [] if bucket is None else [(bucket, f"{COPIED}/{unit.name}/")]


def _hold_versions(places: Iterable[Place], *, again: bool) -> int:
    """Put all versions under a legal hold, or `again` those that are not; return how many were put under one."""
    versions = runtime.versions()

    def hold(bucket: str, version: Version) -> bool:
        return not (again and versions.is_held(bucket, version)) and versions.hold(bucket, version, on=True)

    return _each_version(places, hold)


def _each_version(places: Iterable[Place], act: Callable[[str, Version], bool]) -> int:
    """Do something with every version, several at once; return for how many it was done."""

    def below(place: Place) -> int:
        bucket, prefix = place
        return sum(act(bucket, version) for version in runtime.versions().of(bucket, prefix))

    with ThreadPoolExecutor(CONNECTIONS, "hold") as pool:
        return sum(pool.map(below, places))
