"""Erasing a person: what there is of them is listed, worked off item by item, and proven.

| step | what is done | who dies after it leaves |
|---|---|---|
| withdraw | their no to everything is recorded, their sessions are closed, their calls ended | somebody who said no |
| list | Twilio and the ledger are searched, while the number is known | the same |
| begin | the erasure and the suppression are written, in one transaction | an erasure without items |
| items | each thing that was found becomes a row, then the queue is told | an erasure that nobody works on |
| work | an item is deleted, seen to be gone, and its row says so | an item that is deleted again, and found gone |
| prove | the proof is signed and written once | a proof whose erasure is not ended |
| end | the suppression names the proof, the erasure's rows go | rows of an erasure that ends at its next message |

A repeat of the request does what is left of the first four; a message that comes again, what is left of the others.
The number is never written: what it found is kept by SID.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import groupby
from threading import Lock
from typing import Any
from uuid import uuid4

from parley import log, runtime
from parley.adapters.proofs import PREFIX, Proofs
from parley.adapters.twilio_api import API
from parley.adapters.versions import Version
from parley.core.chains import RowError, read_row
from parley.core.consent import NO, Method, Scope, canonical_json, sha256_hex
from parley.core.erasure import (
    COPIES_ARRIVE,
    GIVE_UP,
    KINDS,
    Deployment,
    Erasure,
    Item,
    Progress,
    Remains,
    Settled,
    Stage,
    System,
    What,
    Why,
    call_items,
    delay,
    erasure_id,
    gone_by,
    interaction_items,
    is_copy_from_before,
    person_items,
    proof,
    proof_name,
    record_items,
    resource_item,
    session_items,
)
from parley.core.holds import is_held
from parley.core.identity import label
from parley.core.records import Deletion, Record, ResourceKind
from parley.core.records import Stage as RecordStage
from parley.core.suppression import Suppression
from parley.core.verification import METRICS
from parley.ports import CarrierError, CopyError, LedgerError
from parley.variables import EnvironmentMismatchError
from parley.withdrawal import close_denied, withdraw

QUEUE = "erasures"
CONNECTIONS = 10
"""Items that are under way at once: as many as a client of boto3 has connections."""

LISTING_SECONDS = 20.0
"""How long a request may search before what is left is for the queue: API Gateway waits for 30 seconds."""

PAGE = {"PageSize": "1000"}


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is of a person. `complete` is False where the time was over before all of it was followed."""

    items: tuple[Item, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """An erasure that was asked for; `erasure` is None for a rehearsal. `pending` are sessions that are open yet."""

    erasure: Erasure | None
    items: tuple[Item, ...]
    complete: bool
    pending: tuple[str, ...] = ()


class UnsettledError(Exception):
    """Somebody else changed the same erasure at the same time."""


def rehearse(party: str, number: str | None) -> Begun:
    """Return what an erasure of a person would take away; nothing is changed. `number` is plain: never log or keep."""
    listing = _list(party, number)
    return Begun(None, listing.items, listing.complete)


def begin(party: str, number: str | None, *, reason: str, actor: str) -> Begun:
    """Begin the erasure of a person, or go on with the one under way; who was erased, and is not back, stays so.

    `number` is plain: never log or keep. Raises LedgerError, CarrierError, QueueError, UnsettledError.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    known = ledger.suppression(party)
    under_way = ledger.erasure(known.erasure) if known is not None else None
    if under_way is not None and under_way.stage is Stage.DONE:
        ledger.end_erasure(under_way.id)
        under_way = None
    if known is not None and under_way is None and known.proof:
        listing = _list(party, number)
        if not any(_is_new(item) for item in listing.items):
            return Begun(_ended(known), (), True)
    count = known.count if known is not None and under_way is not None else (known.count if known else 0) + 1
    name = erasure_id(party, count)
    pending = _withdraw(party, name, now, actor)
    listing = _list(party, number)
    if under_way is None:
        head = ledger.head(party)
        seq, record_hash = (head.seq, head.record_hash) if head.seq else _end_of(known)
        under_way = Erasure(name, party, now, seq, number is not None, reason)
        if not ledger.begin_erasure(under_way, Suppression(party, name, now, count, seq, record_hash)):
            found = ledger.erasure(name)
            if found is None:
                raise UnsettledError
            under_way = found
    have = {one.item.name for one in ledger.progress(name)}
    ledger.write_progress(name, [Progress(item) for item in listing.items if item.name not in have])
    runtime.queues().send(QUEUE, {"erasure": name})
    log.emit("erasure-begun", erasure=name, party=label(party), items=len(listing.items), complete=listing.complete)
    return Begun(under_way, listing.items, listing.complete, pending)


def _end_of(known: Suppression | None) -> tuple[int, str]:
    end = (known or Suppression("", "", datetime.min)).head  # noqa: DTZ901 - the moment is not looked at
    return end.seq, end.record_hash


def _is_new(item: Item) -> bool:
    """Tell whether an item is more than what an earlier erasure had to leave."""
    return item.found > 0 and item.kind != What.COPIES


def _ended(known: Suppression) -> Erasure:
    return Erasure(known.erasure, known.party, known.at, known.seq, by_number=False, stage=Stage.DONE)


def _withdraw(party: str, name: str, now: datetime, actor: str) -> tuple[str, ...]:
    """Record that a person wants no contact, unless that stands or they were never seen; return what is still open."""
    ledger, env = runtime.ledger(), runtime.environment()
    standings, head = ledger.standings_of(party), ledger.head(party)
    said_no = {one.scope for one in standings if one.counterpart is None and one.state in NO}
    if said_no != set(Scope) and head.seq:
        withdraw(
            ledger,
            party=party,
            source=f"{name}:{head.seq}",
            method=Method.IN_APP,
            evidence={"action": "erasure"},
            withdrawal={"channel": "api", "words": ""},
            said_at=now,
            actor=actor,
            controller=env.controller,
        )
    return close_denied(ledger, runtime.carrier(), runtime.clock(), party, reason="erasure").pending


# What there is ----------------------------------------------------------------------------------------------------


def _list(party: str, number: str | None) -> Listing:
    """Return everything that is found of a person, in the order in which it goes. Raises LedgerError, CarrierError."""
    deadline = time.monotonic() + LISTING_SECONDS
    found: dict[str, Item] = {}
    fresh = [*_in_ledger(party), *(_at_twilio(party, number) if number is not None else [])]
    with ThreadPoolExecutor(CONNECTIONS, "list") as pool:
        while fresh:
            new: dict[str, Item] = {}
            for item in fresh:
                # What is found in several ways is known by the one that tells its session: a hold may be on that.
                if item.name not in found or (item.session and not found[item.name].session):
                    new[item.name] = found[item.name] = item
            if time.monotonic() > deadline:
                return Listing(tuple(found[name] for name in sorted(found)), complete=False)
            fresh = [below for items in pool.map(_below, new.values()) for below in items]
        counted = dict(zip(found, pool.map(_counted, found.values()), strict=True))
    return Listing(tuple(counted[name] for name in sorted(counted)), complete=True)


def _in_ledger(party: str) -> list[Item]:
    """Return what the ledger's rows name."""
    ledger = runtime.ledger()
    items: list[Item] = [Item(What.POINTER, "SESSION#sms", f"TOLD#{party}", parties=(party,), found=0)]
    past = ledger.past_of(party)
    for name, parties in past.items():
        items += session_items(name, parties, ledger.interactions(name) if name.startswith("KC") else [])
        for record in ledger.records_in(name):
            items += record_items(record)
    for record in ledger.records_of(party):
        items += record_items(record)
    for line in ledger.lines_of(party):
        items += [
            Item(
                What.POINTER,
                f"PARTY#{peer.party}",
                f"LINE#{peer.masked_number}",
                session=line.session,
                parties=line.parties,
                found=0,
            )
            for peer in line.peers
        ]
    for said in ledger.records(party):
        evidence = said.event.evidence
        for sid in (evidence.get("message_sid"), evidence.get("question_sid")):
            if isinstance(sid, str) and sid[:2] in {"SM", "MM"}:
                items.append(resource_item(ResourceKind.MESSAGE, sid, parties=(party,)))
                items.append(Item(What.POINTER, f"SESSION#{sid}", f"TOLD#{party}", parties=(party,), found=0))
    return items + person_items(party, 0, ledger.person_rows(party))


def _at_twilio(party: str, number: str) -> Iterable[Item]:
    """Yield the messages and calls between a number and the stack's own, and nothing else of the account."""
    twilio, asking = runtime.twilio_records(CONNECTIONS), runtime.environment().consent.ask_from
    ours = runtime.carrier().pool() | ({asking} if asking else set())
    for mine, other in (("To", "from"), ("From", "to")):
        for raw in twilio.listed(ResourceKind.MESSAGE, {mine: number, **PAGE}):
            if ours & {raw.get(other), raw.get("messaging_service_sid")}:
                yield resource_item(ResourceKind.MESSAGE, str(raw["sid"]), parties=(party,))
        for raw in twilio.listed(ResourceKind.CALL, {mine: number, **PAGE}):
            if raw.get(other) in ours:
                yield from call_items(str(raw["sid"]), _day(raw), parties=(party,))


def _day(raw: Mapping[str, Any]) -> str:
    """Return the day of a call as Twilio's archive names it, or an empty text."""
    told = raw.get("start_time") or raw.get("date_created")
    with suppress(TypeError, ValueError):
        return parsedate_to_datetime(str(told)).date().isoformat()
    return ""


def _below(item: Item) -> list[Item]:
    """Return what Twilio has below an item, and would leave behind: nothing for what is gone. Raises CarrierError."""
    twilio = runtime.twilio_records(CONNECTIONS)
    shared: dict[str, Any] = {"session": item.session, "parties": item.parties}
    try:
        if item.kind == ResourceKind.SESSION:
            raws = twilio.listed(ResourceKind.INTERACTION, {"PageSize": "100"}, item.place)
            return [one for raw in raws for one in interaction_items(item.place, item.parties, _interaction(raw))]
        if item.kind == ResourceKind.CALL:
            recordings = [
                resource_item(ResourceKind.RECORDING, str(raw["sid"]), **shared)
                for raw in twilio.recordings_of(item.place)
            ]
            children = [
                one
                for raw in twilio.listed(ResourceKind.CALL, {"ParentCallSid": item.place, **PAGE})
                for one in call_items(str(raw["sid"]), _day(raw), **shared)
            ]
            rows = [Item(What.POINTER, f"CALL#{item.place}", "CAPTURE", found=0, **shared)]
            told = [
                Item(What.POINTER, f"PARTY#{party}", f"CAPTURE#{item.place}", found=0, **shared)
                for party in item.parties
            ]
            return [*recordings, *children, *rows, *told]
        if item.kind == ResourceKind.RECORDING:
            path = f"{twilio.root}/Recordings/{item.place}/Transcriptions.json"
            raws = twilio.pages("list-transcriptions", API, path, PAGE, "transcriptions")
            return [resource_item(ResourceKind.TRANSCRIPTION, str(raw["sid"]), **shared) for raw in raws]
        if item.kind == ResourceKind.MESSAGE and item.place.startswith("MM"):
            raws = twilio.listed(ResourceKind.MEDIA, {"PageSize": "100"}, item.place)
            return [resource_item(ResourceKind.MEDIA, str(raw["sid"]), parent=item.place, **shared) for raw in raws]
    except CarrierError as error:
        if error.status != 404:
            raise
    return []


def _interaction(raw: Mapping[str, Any]) -> dict[str, str]:
    return {
        "sid": str(raw["sid"]),
        "inbound_resource": str(raw.get("inbound_resource_sid") or ""),
        "outbound_resource": str(raw.get("outbound_resource_sid") or ""),
        "created_at": str(raw.get("date_created") or ""),
    }


def _counted(item: Item) -> Item:
    """Return an item with how much there is of it: versions and rows are counted, a resource is one."""
    if item.kind in {What.OBJECTS, What.COPIES}:
        bucket = _bucket(item)
        count = sum(1 for _ in runtime.versions().of(bucket, item.place)) if bucket else 0
        return replace(item, found=count)
    if item.kind in {What.SESSION_ROWS, What.RECORD_ROWS}:
        return replace(item, found=len(runtime.ledger().rows_under(item.place)))
    return item


def _bucket(item: Item) -> str | None:
    env = runtime.environment()
    return env.content_bucket if item.system is System.CONTENT else env.evidence_bucket


# The work ---------------------------------------------------------------------------------------------------------


def work_on(name: str, deadline: float) -> None:
    """Do what can be done of an erasure until `deadline` (of the monotonic clock), and prove it if that was the rest.

    Raises LedgerError, CopyError, QueueError, EnvironmentMismatchError.
    """
    ledger = runtime.ledger()
    erasure = ledger.erasure(name)
    if erasure is None:
        return
    if erasure.stage is Stage.DONE:
        ledger.end_erasure(name)  # somebody died before that
        return
    try:
        close_denied(ledger, runtime.carrier(), runtime.clock(), erasure.party, reason="erasure")
    except CarrierError as error:
        log.failure("erasure-session-open", error, erasure=name)
    run = _Run(_up_to_date(erasure), ledger.progress(name))
    run.look_again()
    changed = run.work(deadline)
    if run.is_over():
        if changed or erasure.stage is Stage.WORKING or not run.is_held():
            _prove(run)
        return
    left = [one for one in run.progress.values() if one.state is Settled.OPEN]
    late = runtime.clock().now() - erasure.requested_at > GIVE_UP + timedelta(days=1)
    counts = {"ErasureItemsOpen": len(left), "ErasuresOverdue": int(late)}
    log.emit("erasure-goes-on", erasure=name, open=len(left), runs=erasure.runs, late=late)
    log.measure(METRICS, {"Stack": runtime.environment().stack}, counts)
    wait = 0 if time.monotonic() > deadline else delay(erasure.runs)
    runtime.queues().send(QUEUE, {"erasure": name, "run": erasure.runs + 1}, delay=wait)
    ledger.save_erasure(run.erasure, replace(run.erasure, stage=Stage.WORKING, runs=erasure.runs + 1))


def _up_to_date(erasure: Erasure) -> Erasure:
    """Return an erasure that takes in what its person said no to since it was asked for."""
    ledger = runtime.ledger()
    suppression = ledger.last_record(erasure)
    if suppression is None:
        return erasure
    later = replace(erasure, seq=suppression.seq)
    if not ledger.save_erasure(erasure, later, suppression):
        raise LedgerError("too many writers at once for one erasure")
    again = [one for one in ledger.progress(erasure.id) if one.item.kind in {What.COPIES, What.PERSON_ROWS}]
    ledger.write_progress(erasure.id, [replace(one, remains=(Remains(Why.PENDING, 1),)) for one in again])
    return later


class _Run:
    """One attempt at all that is left of an erasure."""

    def __init__(self, erasure: Erasure, progress: Iterable[Progress]) -> None:
        self.erasure = erasure
        self.progress = {one.item.name: one for one in progress}
        self._listing = Lock()
        self._transcriptions: list[tuple[str, str]] | None = None

    def look_again(self) -> None:
        """Take in what the ledger has got since of somebody who did not consent anew, such as refused sessions."""
        if runtime.ledger().head(self.erasure.party).seq <= self.erasure.seq:
            self._add(_counted(item) for item in _in_ledger(self.erasure.party))

    def work(self, deadline: float) -> bool:
        """Work off what is not settled, kind by kind; return whether anything changed."""
        changed = False
        left = sorted((one for one in self.progress.values() if one.state is not Settled.SETTLED), key=_order)
        with ThreadPoolExecutor(CONNECTIONS, "erase") as pool:
            for _, group in groupby(left, key=_order):
                for before, after in pool.map(lambda one: (one, self._attempt(one, deadline)), list(group)):
                    changed |= after.remains != before.remains
        return changed

    def is_over(self) -> bool:
        """Tell whether nothing is left to do now."""
        return all(one.state is not Settled.OPEN for one in self.progress.values())

    def is_held(self) -> bool:
        """Tell whether a legal hold keeps some of it."""
        return any(one.state is Settled.HELD for one in self.progress.values())

    def _attempt(self, one: Progress, deadline: float) -> Progress:
        """Do one item, and write what became of it."""
        if time.monotonic() > deadline:
            return one
        now = runtime.clock().now()
        try:
            answers, remains = self._do(one, now)
        except (CarrierError, CopyError, LedgerError) as error:
            log.emit("erasure-item-failed", "WARNING", erasure=self.erasure.id, kind=one.item.kind, reason=str(error))
            answers, remains = {}, [Remains(Why.PENDING, 1)]
        after = one.after(answers, remains, now)
        if one.item.system is System.TWILIO and now >= self.erasure.requested_at + GIVE_UP:
            after = after.given_up()
            self._hand_over(after, now)
        self._write(after)
        return after

    def _hand_over(self, one: Progress, now: datetime) -> None:
        """Leave to the sweeper, which goes on asking, what Twilio did not delete in the time of an erasure."""
        resource = one.item.resource
        if resource is not None and any(left.why is Why.REFUSED for left in one.remains):
            runtime.ledger().postpone_deletion(resource, now + timedelta(days=1), self.erasure.requested_at)

    def _do(self, one: Progress, now: datetime) -> tuple[Mapping[str, int], list[Remains]]:
        item = one.item
        # Read for each item: a run takes minutes, and a hold counts from its order on.
        if is_held(runtime.ledger().active_holds(), parties=item.parties, session=_session_of(item)):
            return {}, [Remains(Why.HELD, max(1, item.found))]
        if item.kind in {What.OBJECTS, What.COPIES}:
            return self._versions(item, now)
        kept = self._kept_with(item)
        if kept is not None:
            return {}, [kept]
        work: Mapping[str, Callable[[Item], tuple[Mapping[str, int], list[Remains]]]] = {
            What.CALL_ARCHIVE: _archive,
            What.RECORD_ROWS: _rows,
            What.SESSION_ROWS: _rows,
            What.POINTER: _pointer,
            What.PERSON_ROWS: self._person,
        }
        return work.get(item.kind, self._resource)(item)

    def _resource(self, item: Item) -> tuple[Mapping[str, int], list[Remains]]:
        """Delete something at Twilio and see it gone; what is below it goes before."""
        twilio, resource = runtime.twilio_records(CONNECTIONS), item.resource
        assert resource is not None  # noqa: S101 - every other kind has its own way
        if not _may_go(item) or self._add(_below(item)):
            return {}, [Remains(Why.PENDING, 1)]
        try:
            done = twilio.delete(resource)
            if done is Deletion.DELETED and not twilio.is_gone(resource):
                return {"204": 1}, [Remains(Why.PENDING, 1)]
            if done is Deletion.GONE and resource.kind is ResourceKind.RECORDING:
                self._add(self._orphans(item))
        except CarrierError as error:
            return {str(error.code or error.status): 1}, [Remains(Why.PENDING, 1)]
        if done is Deletion.PENDING:
            if resource.kind is ResourceKind.MESSAGE:
                with suppress(CarrierError):
                    twilio.redact(resource.sid)
            return {"20009": 1}, [Remains(Why.PENDING, 1, rule="20009")]
        return {"204" if done is Deletion.DELETED else "404": 1}, []

    def _orphans(self, item: Item) -> list[Item]:
        """Return the transcriptions of a recording that has gone: Twilio keeps them, in the account's list alone.

        That list is read once in a run, for all its recordings, since it cannot be asked for those of one.
        """
        with self._listing:
            if self._transcriptions is None:
                recordings = {one.item.place for one in self._all(ResourceKind.RECORDING)}
                listed = runtime.twilio_records(CONNECTIONS).listed(ResourceKind.TRANSCRIPTION, PAGE)
                self._transcriptions = [
                    (raw["recording_sid"], str(raw["sid"])) for raw in listed if raw.get("recording_sid") in recordings
                ]
        return [
            resource_item(ResourceKind.TRANSCRIPTION, sid, session=item.session, parties=item.parties)
            for recording, sid in self._transcriptions
            if recording == item.place
        ]

    def _versions(self, item: Item, now: datetime) -> tuple[Mapping[str, int], list[Remains]]:
        """Delete the versions under a prefix, and tell of those that are left why."""
        bucket = _bucket(item)
        if bucket is None:
            return {}, []
        if item.kind == What.COPIES and _copies_come(self.erasure, now):
            return {}, [Remains(Why.PENDING, 1)]
        versions = runtime.versions()
        for key, upload in versions.uploads(bucket, item.place):
            versions.abort(bucket, key, upload)
        limit = runtime.environment().minimums.get(str(item.record_class))
        floor = timedelta(days=limit.days) if limit else None
        going: list[Version] = []
        kept: list[Version] = []
        for version in self._of(bucket, item):
            # Without a limit nothing is kept, not even what S3's clock has from a moment after ours.
            young = floor is not None and version.made_at + floor > now
            (kept if young and not version.marker else going).append(version)
        protected = {version.key for version in kept}
        # A marker in front of what has to stay would come off it.
        going = [version for version in going if not version.marker or version.key not in protected]
        removal = versions.delete(bucket, going)
        answers = {"deleted": removal.deleted} if removal.deleted else {}
        remains = []
        if kept and limit is not None and floor is not None:
            until = max(version.made_at for version in kept) + floor
            remains.append(Remains(Why.KEPT, len(kept), until, limit.rule))
        stay = {(version.key, version.id) for version in kept}
        left = [one for one in self._of(bucket, item) if (one.key, one.id) not in stay and one.key not in protected]
        return answers, [*remains, *_protected(bucket, left, item, now)]

    def _kept_with(self, item: Item) -> Remains | None:
        """Return why the rows of a record stay: an object that has to be kept has to be found, too."""
        row = item.parent if item.kind == What.POINTER else item.place
        if item.kind not in {What.RECORD_ROWS, What.POINTER} or not row.startswith("RECORD#"):
            return None
        stem = f"/{row.removeprefix('RECORD#')}"
        objects = [one for one in self._all(What.OBJECTS) if stem in one.item.place]
        kept = [left for one in objects for left in one.remains if left.why is Why.KEPT]
        return replace(kept[0], count=max(1, item.found)) if kept else None

    def _of(self, bucket: str, item: Item) -> Iterable[Version]:
        found = runtime.versions().of(bucket, item.place)
        if item.kind != What.COPIES:
            return found
        return (version for version in found if is_copy_from_before(version.key, self.erasure))

    def _person(self, _item: Item) -> tuple[Mapping[str, int], list[Remains]]:
        """Remove the person's own rows, once nothing has to be read from them any more."""
        if any(one.state is Settled.OPEN for one in self._all(What.COPIES)):
            return {}, [Remains(Why.PENDING, 1)]
        removed, done = runtime.ledger().remove_person(self.erasure)
        return {"deleted": removed} if removed else {}, [] if done else [Remains(Why.PENDING, 1)]

    def _add(self, items: Iterable[Item]) -> bool:
        """Take in items that were not known; return whether any of them are at Twilio, and so must go first."""
        new = {item.name: item for item in items if item.name not in self.progress}
        fresh = [Progress(item) for item in new.values()]
        runtime.ledger().write_progress(self.erasure.id, fresh)
        self.progress |= {one.item.name: one for one in fresh}
        return any(one.item.system is System.TWILIO for one in fresh)

    def _all(self, kind: str) -> list[Progress]:
        """Return what is known of a kind, at a moment: other threads add items and rename them meanwhile."""
        return [one for one in list(self.progress.values()) if one.item.kind == kind]

    def _write(self, after: Progress) -> None:
        """Write what became of an item; where nothing is left of it, without the others who were in it.

        Holds are judged by them, and nothing else is; they may be erased long before an erasure that is held ends.
        """
        before, own = after.item, self.erasure.party
        if not after.remains:
            alone = replace(before, parties=tuple(party for party in before.parties if party == own))
            if before.place.startswith("PARTY#") and before.place != f"PARTY#{own}":
                alone = replace(alone, place=f"PARTY#{uuid4().hex}")
            after = replace(after, item=alone)
        runtime.ledger().write_progress(self.erasure.id, [after])
        self.progress[after.item.name] = after
        if after.item.name != before.name:
            runtime.ledger().forget_item(self.erasure.id, before.name)
            del self.progress[before.name]

    def look_once_more(self) -> None:
        """Take away what came late: rows that a last callback wrote, and a copy that the stream brought twice."""
        now = runtime.clock().now()
        for one in list(self.progress.values()):
            if one.item.kind in {What.SESSION_ROWS, What.COPIES, What.PERSON_ROWS} and one.state is Settled.SETTLED:
                answers, remains = self._do(one, now)
                if answers or tuple(remains) != one.remains:
                    self._write(one.after(answers, remains, now))


def _session_of(item: Item) -> str:
    """Return the session that an item belongs to; what an intent has belongs to the session that it became."""
    if not item.session.startswith("si_"):
        return item.session
    return runtime.ledger().session_of(item.session) or item.session


def _order(one: Progress) -> int:
    return KINDS.index(one.item.kind)


def _may_go(item: Item) -> bool:
    """Take a thing that was captured from the archive's hands, unless a minimum demands that it is archived first."""
    if item.kind not in {ResourceKind.RECORDING, ResourceKind.MESSAGE, ResourceKind.MEDIA}:
        return True
    ledger = runtime.ledger()
    record = ledger.record(item.place)
    if record is None or record.stage is not RecordStage.CAPTURED:
        return True
    if str(record.record_class) in runtime.environment().minimums:
        return False
    return ledger.advance(record, _dropped(record))


def _dropped(record: Record) -> Record:
    return replace(record, stage=RecordStage.DROPPED, reason="erased")


def _archive(item: Item) -> tuple[Mapping[str, int], list[Remains]]:
    """Delete the copy of a call in the account's bulk export, which few accounts have."""
    try:
        done = runtime.twilio_records(CONNECTIONS).delete_archive(item.day, item.place)
    except CarrierError as error:
        code = str(error.code or error.status)
        why = Why.PENDING if error.unavailable else Why.REFUSED
        return {code: 1}, [Remains(why, 1, rule=code)]
    return {"204" if done is Deletion.DELETED else "404": 1}, []


def _rows(item: Item) -> tuple[Mapping[str, int], list[Remains]]:
    """Remove the rows of a partition, unless something of it goes on."""
    rows = runtime.ledger().rows_under(item.place)
    if any(goes_on for _, goes_on in rows):
        return {}, [Remains(Why.PENDING, len(rows))]
    removed = runtime.ledger().remove_rows(item.place, [sort for sort, _ in rows])
    return {"deleted": removed} if removed else {}, []


def _pointer(item: Item) -> tuple[Mapping[str, int], list[Remains]]:
    # A line may be another session's by now: only the one that leads to this person goes.
    session = item.session if item.parent.startswith("LINE#") else ""
    return {"deleted": 1} if runtime.ledger().remove_row(item.place, item.parent, session) else {}, []


def _copies_come(erasure: Erasure, now: datetime) -> bool:
    """Tell whether the stream may still bring a copy of a record that goes: then it would be left behind."""
    rows = [row for row in runtime.ledger().chain(erasure.party).rows if row.seq <= erasure.seq]
    if not rows:
        return False
    copied = set(runtime.copies().places(erasure.party))
    for row in rows:
        if row.seq in copied:
            continue
        with suppress(RowError):
            if read_row(erasure.party, row.seq, row.text).recorded_at + COPIES_ARRIVE > now:
                return True
    return False


def _protected(bucket: str, left: Sequence[Version], item: Item, now: datetime) -> list[Remains]:
    """Return why versions are still there: a legal hold, a lock, or nothing that is known, so to be tried again."""
    versions = runtime.versions()
    held = pending = locked = 0
    until = gone = now
    for version in left:
        lock = versions.locked_until(bucket, version)
        if versions.is_held(bucket, version):
            held += 1
        elif lock is not None and lock > now:
            locked += 1
            until = max(until, lock)
            days = runtime.environment().keep_days.get(str(item.record_class), 0)
            gone = max(gone, gone_by(version.made_at, days))
        else:
            pending += 1
    found = [
        Remains(Why.HELD, held, rule="S3 legal hold"),
        Remains(
            Why.LOCKED, locked, until, f"S3 Object Lock; its lifecycle rule removes it by {gone.date().isoformat()}"
        ),
        Remains(Why.PENDING, pending),
    ]
    return [one for one in found if one.count]


# The proof --------------------------------------------------------------------------------------------------------


def _prove(run: _Run) -> None:
    """Write the proof of what was done, and end the erasure unless a hold keeps some of it."""
    ledger, env, now = runtime.ledger(), runtime.environment(), runtime.clock().now()
    run.look_once_more()
    if not run.is_over():
        raise LedgerError("something came back")
    erasure, progress = run.erasure, [run.progress[name] for name in sorted(run.progress)]
    proofs = _proofs()
    deployment = Deployment(env.stack, env.environment, env.controller.name, proofs.declaration())
    number = erasure.proofs + 1
    name = proof_name(erasure.id, number)
    text = proofs.sign(canonical_json(proof(erasure, progress, now, deployment, env.keep_days))).to_json()
    if not proofs.keep(name, text):
        # It was written, and what followed was not.
        text = proofs.read(name) or text
    held = run.is_held()
    after = replace(erasure, stage=Stage.HELD if held else Stage.DONE, proofs=number, proven=sha256_hex(text))
    known = ledger.suppression(erasure.party)
    if not ledger.save_erasure(erasure, after, known and replace(known, proof=name, seq=erasure.seq)):
        raise LedgerError("too many writers at once for one erasure")
    if held:
        ledger.note_held(erasure.id)
    else:
        ledger.end_erasure(erasure.id)
    log.emit(
        "erasure-proven", erasure=erasure.id, party=label(erasure.party), proof=name, held=held, items=len(progress)
    )
    log.measure(METRICS, {"Stack": env.stack}, {"ErasuresProven": 1, "ErasuresHeld": int(held)})


def _proofs() -> Proofs:
    found = runtime.proofs()
    if found is None:
        raise EnvironmentMismatchError(["PARLEY_PROOF_KEY, PARLEY_EVIDENCE_BUCKET or PARLEY_EVIDENCE_KEY is not set"])
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """Where an erasure stands: its last proof (the file's text, None until there is one), and what is not settled."""

    stage: Stage
    erasure: Erasure | None
    progress: tuple[Progress, ...]
    proof: str | None


def tell(name: str) -> Told | None:
    """Return where an erasure stands, or None if there is none of that id. Raises LedgerError, CopyError."""
    ledger = runtime.ledger()
    erasure = ledger.erasure(name)
    if erasure is None:
        return _told_by_proofs(name)
    text = _proofs().read(erasure.proof_name) if erasure.proofs else None
    if erasure.stage is Stage.DONE:
        erasure = replace(erasure, stage=Stage.WORKING)  # its own rows, which name the person, have not left yet
    return Told(erasure.stage, erasure, tuple(ledger.progress(name)), text)


def _told_by_proofs(name: str) -> Told | None:
    """Return what the proofs of an erasure that is over say: the last counts, and the first may have left by now."""
    proofs, bucket = _proofs(), runtime.environment().evidence_bucket or ""
    found = {one.key.removeprefix(PREFIX).removesuffix(".json") for one in runtime.versions().of(bucket, PREFIX + name)}
    for last in sorted(found, key=lambda each: (len(each), each), reverse=True):
        text = proofs.read(last)
        if text is not None:
            return Told(Stage.DONE, None, (), text)
    return None
