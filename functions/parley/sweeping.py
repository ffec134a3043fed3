"""The sweeper's steps: what is over its time at Twilio goes, and what the archive was never told of is told.

A worker takes one message of the queue: a stretch of time, a piece of a walk, or deletions that are due again. It reads
Twilio's list, keeps what is the stack's own, asks the core what is done about each, and does it in many lanes at once.
Everything is safe to repeat: what is gone already counts as deleted, a record only moves on, a partition that comes
twice finds nothing. A worker that comes near its end puts what is left back on the queue.

The order for one resource, so that who dies after any step leaves nothing behind:

| step | what is done | who dies after it leaves |
|---|---|---|
| judge | the record, the holds and what waits for it are read | nothing |
| note | what has a record gets a row that waits, as no list will tell of it | a row: an hour later it is judged again |
| copy | a call's copy in the account's bulk export is deleted | a call that is found again |
| delete | Twilio is asked; 404 counts, 20009 makes a row that waits | the row |
| see | what has a record is fetched, and must be gone | the row: 404 is success |
| write | the record says deleted, then the row is settled | the row, or nothing |
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from threading import Condition, Lock, Thread
from typing import Any, Final

from parley import log, runtime
from parley.adapters.twilio_records import DELETED
from parley.adapters.twilio_sweep import TOO_MANY
from parley.core import moments
from parley.core.consent import Scope
from parley.core.holds import Subject, is_held
from parley.core.identity import IdentifierError
from parley.core.limiter import CEILING
from parley.core.optout import is_stop
from parley.core.records import Deletion, Record, Resource, ResourceKind, Stage
from parley.core.sessions import LONGEST_CALL
from parley.core.sweeping import (
    LISTINGS,
    OVERDUE,
    SETTLED,
    WAITS,
    WALKS,
    Find,
    Judgement,
    Partition,
    PendingDeletion,
    Step,
    Walk,
    Why,
    days_of,
    gone,
    is_own_name,
    is_own_number,
    judge,
    reads_interactions,
    retry_after,
)
from parley.messages import archive_later
from parley.ports import CarrierError, Interaction

QUEUE: Final = "sweep"
ARCHIVE: Final = "archive"
WALK_PAGE: Final = 100
"""Proxy's and Conversations' largest pages."""
LANES: Final = CEILING + CEILING // 2
"""How many jobs are done beside one another."""
IDLE_SECONDS: Final = 0.5
"""How long a lane without a job waits until it looks again, if nobody wakes it."""
SOON: Final = timedelta(minutes=15)
"""The longest that a queue holds a message back: what is due sooner need not wait for the next run."""

CALL_OVER: Final = frozenset({"busy", "canceled", "completed", "failed", "no-answer"})
RECORDING_OVER: Final = frozenset({"completed", "absent", "failed"})
MESSAGE_UNDER_WAY: Final = frozenset({"accepted", "queued", "scheduled", "sending"})
FOUND_AGAIN: Final = frozenset({ResourceKind.SESSION, ResourceKind.CONVERSATION})
"""What each walk finds by itself, and knows for ours, however long it waits."""
UNANSWERABLE: Final = frozenset({401, 403, 408, TOO_MANY})
"""Refusals that say nothing of the one resource: the work is to be done again."""

Entry = Mapping[str, Any]


class SweepIncompleteError(Exception):
    """Something could not be done; the message comes again. The log tells what."""


@dataclass(slots=True)
class Tally:
    """What a worker did, or would do, by kind; and the moment of the oldest that goes."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    oldest: dict[str, datetime] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def count(self, kind: ResourceKind, what: str, made_at: datetime | None = None) -> None:
        """Count one resource."""
        with self.lock:
            self.counts[str(kind), what] += 1
            if made_at is not None:
                self.oldest[str(kind)] = min(made_at, self.oldest.get(str(kind), made_at))

    def document(self) -> dict[str, dict[str, Any]]:
        """Return the counts by kind, sorted."""
        found: dict[str, dict[str, Any]] = {}
        for (kind, what), number in sorted(self.counts.items()):
            found.setdefault(kind, {})[what] = number
        for kind, moment in self.oldest.items():
            found[kind]["oldest"] = moments.to_text(moment)
        return found


@dataclass(slots=True)
class Task:
    """One message of the queue at work. `then` is what follows from it, `page` where a walk goes on."""

    message: Mapping[str, Any]
    failed: bool = False
    left: bool = False
    then: list[dict[str, Any]] = field(default_factory=list)
    page: str = ""

    @property
    def complete(self) -> bool:
        """Whether all of it was done."""
        return not self.failed and not self.left


Job = Callable[[], object]


class Lanes:
    """Does jobs beside one another until a deadline (`time.monotonic`); a job may add others.

    There are more lanes than places for requests at Twilio, so that none of these is empty while the ledger is asked.
    What a job raises is logged without its text, and its task has failed.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._waiting: deque[tuple[Task, Job]] = deque()
        self._change = Condition()
        self._lanes: list[Thread] = []
        self._open = False
        self._staffed = self._busy = 0

    @property
    def late(self) -> bool:
        """Whether no further job may begin."""
        return time.monotonic() >= self._deadline

    def add(self, task: Task, *jobs: Job) -> None:
        """Put jobs of a task in the line."""
        with self._change:
            self._waiting.extend((task, job) for job in jobs)
            if self._open:
                self._staff()
                self._change.notify(len(jobs))

    def run(self) -> None:
        """Do all jobs, and those that they add. The tasks of those that time did not suffice for are `left`."""
        with self._change:
            self._open = True
            self._staff()
        while self._lanes:
            self._lanes.pop().join()
        with self._change:
            self._open = False
            for task, _ in self._waiting:
                task.left = True
            self._waiting.clear()

    def _staff(self) -> None:
        """Open as many lanes as there are jobs for."""
        for _ in range(min(LANES, len(self._waiting) + self._busy) - self._staffed):
            self._staffed += 1
            self._lanes.append(Thread(target=self._lane, daemon=True))
            self._lanes[-1].start()

    def _lane(self) -> None:
        while (taken := self._take()) is not None:
            task, job = taken
            try:
                job()
            except CarrierError as error:
                self._fail(task, error, status=error.status, code=error.code, operation=error.operation)
            except Exception as error:  # noqa: BLE001 - the others must be done, and the error must not quote anybody
                self._fail(task, error)
            with self._change:
                self._busy -= 1
                if not self._waiting and not self._busy:
                    self._change.notify_all()

    def _take(self) -> tuple[Task, Job] | None:
        """Return the next job, when there is one; None when there will be no more."""
        with self._change:
            while not self._waiting and self._busy and not self.late:
                # Those that are being done may add others.
                self._change.wait(IDLE_SECONDS)
            if self.late or not self._waiting:
                self._staffed -= 1
                return None
            self._busy += 1
            return self._waiting.popleft()

    def _fail(self, task: Task, error: Exception, **fields: log.Value) -> None:
        task.failed = True
        log.failure("sweep-failed", error, **fields)


class Sweep:
    """One worker's run. `deadline` is by `time.monotonic`; with `dry` nothing is deleted, written or sent."""

    def __init__(self, deadline: float, *, dry: bool = False) -> None:
        self._env = runtime.environment()
        self._ledger = runtime.ledger()
        self._twilio = runtime.twilio_sweep()
        self._now = runtime.clock().now()
        self._dry = dry
        self._archive: list[dict[str, Any]] = []
        self._soon: dict[timedelta, list[Resource]] = {}
        self._lock = Lock()
        self._pool: frozenset[str] | None = None
        self._parties: dict[str, str] = {}
        self._owned: dict[str, bool] = {}
        self._look_at_holds()
        self.lanes = Lanes(deadline)
        self.tally = Tally()

    def _look_at_holds(self) -> None:
        """Read the holds, page by page anew: a run takes minutes, and a hold counts from its order on."""
        self._holds = self._ledger.active_holds()
        sessions = {
            session
            for hold in self._holds
            for session in ([hold.subject] if hold.kind is Subject.SESSION else self._ledger.sessions_of(hold.subject))
        }
        self._kept = frozenset(sid for session in sessions for sid in self._ledger.resources_in(session))

    @property
    def _parties_held(self) -> bool:
        return any(hold.kind is Subject.PARTY for hold in self._holds)

    def begin(self, message: Mapping[str, Any]) -> Task:
        """Put the work of a message in the line; return its task. Raises KeyError, TypeError or ValueError for none."""
        task = Task(message)
        if "deletions" in message:
            resources = [
                Resource(ResourceKind(each["kind"]), each["sid"], each["parent"], each["body"])
                for each in message["deletions"]
            ]
            self.lanes.add(task, partial(self._retries, task, resources))
        elif "walk" in message:
            kind = ResourceKind(message["kind"])
            if kind not in WALKS:
                raise ValueError("is not walked through")
            moments.from_text(message["walk"])
            self.lanes.add(task, partial(self._walk, task, kind, str(message["page"])))
        else:
            self.lanes.add(task, partial(self._partition, task, Partition.of(message)))
        return task

    def follow(self, task: Task) -> Task | None:
        """Put what follows from a complete piece of a walk in the line, or write down that the walk is complete."""
        if "walk" not in task.message or not task.complete:
            return None
        if task.page:
            return self.begin({**task.message, "page": task.page})
        if not self._dry:
            name = walk_name(ResourceKind(task.message["kind"]))
            began, kept = moments.from_text(task.message["walk"]), Walk.of(self._ledger.load_cursor(name))
            if kept.complete is None or kept.complete < began:
                self._ledger.save_cursor(name, Walk(kept.began, began).document())
        return None

    def send(self) -> None:
        """Send what the run found for others. Raises QueueError."""
        if self._archive:
            runtime.queues().send(ARCHIVE, *self._archive)
        for delay, resources in self._soon.items():
            send_deletions(resources, delay=int(delay.total_seconds()))

    # Lists ----------------------------------------------------------------------------------------------------

    def _partition(self, task: Task, part: Partition) -> None:
        """Go through a stretch of time.

        One that does not fit one page is cut into parts for other workers; one that cannot be cut, or whose list does
        not heed the time that was asked for, is read to its end.
        """
        listing = LISTINGS[part.kind]
        entries, following = self._twilio.page(listing.listed, part.query)
        inside = _inside(part, entries)
        if following and len(inside) == len(entries) and (parts := part.parts()):
            task.then += [each.message() for each in parts]
            return
        self._treat(task, part.kind, inside)
        if following:
            self.lanes.add(task, partial(self._rest, task, part, following))

    def _rest(self, task: Task, part: Partition, query: str) -> None:
        entries, following = self._twilio.page(LISTINGS[part.kind].listed, query)
        self._treat(task, part.kind, _inside(part, entries))
        if following:
            self.lanes.add(task, partial(self._rest, task, part, following))

    def _walk(self, task: Task, kind: ResourceKind, query: str) -> None:
        """Go through one page of a walk."""
        self._look_at_holds()
        before = Walk.of(self._ledger.load_cursor(walk_name(kind))).complete
        entries, task.page = self._twilio.page(kind, query or f"PageSize={WALK_PAGE}")
        if kind is ResourceKind.TRANSCRIPTION:
            self._treat(task, kind, entries)
        else:
            visit = self._session if kind is ResourceKind.SESSION else self._conversation
            self.lanes.add(task, *(partial(visit, entry, before) for entry in entries))

    def _retries(self, task: Task, resources: Sequence[Resource]) -> None:
        self._look_at_holds()
        waiting = self._ledger.waiting([resource.sid for resource in resources])
        due = [each for each in waiting.values() if each.due <= self._now]
        self.lanes.add(task, *(partial(self._again, pending) for pending in due))

    def _pages(self, kind: ResourceKind, parent: str) -> list[Entry]:
        """Return a whole list below a parent."""
        entries, following = self._twilio.page(kind, f"PageSize={WALK_PAGE}", parent)
        while following:
            more, following = self._twilio.page(kind, following, parent)
            entries += more
        return entries

    def _treat(self, task: Task, kind: ResourceKind, entries: Sequence[Entry]) -> None:
        """Put a job for each entry that may be ours in the line."""
        self._look_at_holds()
        listed = LISTINGS[kind].listed if kind in LISTINGS else kind
        own = [entry for entry in entries if listed not in _NUMBERED or self._has_own_number(entry)]
        sids = [str(entry["sid"]) for entry in own]
        records, waiting = self._ledger.records_by_sid(sids), self._ledger.waiting(sids)
        visit = self._media if kind is ResourceKind.MEDIA else partial(self._one, kind)
        self.lanes.add(
            task,
            *(partial(visit, each, records.get(sid), waiting.get(sid)) for sid, each in zip(sids, own, strict=True)),
        )

    # One resource ---------------------------------------------------------------------------------------------

    def _one(self, kind: ResourceKind, entry: Entry, record: Record | None, pending: PendingDeletion | None) -> None:
        finders: Mapping[ResourceKind, Callable[[Entry, Record | None], Find | None]] = {
            ResourceKind.RECORDING: self._recording,
            ResourceKind.TRANSCRIPTION: partial(self._transcription, waits=pending is not None),
            ResourceKind.MESSAGE: self._message,
            ResourceKind.CALL: self._call,
            ResourceKind.VIDEO_RECORDING: self._video,
            ResourceKind.COMPOSITION: self._composition,
        }
        find = finders[kind](entry, record)
        if find is not None:
            self._act(find, entry, pending)

    def _act(self, find: Find, entry: Entry, pending: PendingDeletion | None = None) -> bool:
        """Do what the core says; return whether the resource is gone."""
        kind = find.resource.kind
        allowed = days_of(kind, self._env.twilio_copy_days, holds_body=find.resource.holds_body)
        if allowed is None:
            return False
        if pending is not None and pending.why in {Why.ASKED, Why.REFUSED}:
            find = replace(find, asked=True)
        judged = judge(find, allowed, self._now)
        if self._dry:
            self.tally.count(kind, judged.step, find.made_at if judged.step is Step.DELETE else None)
            return judged.step is Step.DELETE
        if judged.step is Step.ARCHIVE:
            self._tell_archive(find, entry)
        elif judged.step is Step.WAIT:
            self._wait(find, judged, pending)
        elif judged.step is Step.DELETE:
            return self._delete(find, entry, pending)
        return False

    def _tell_archive(self, find: Find, entry: Entry) -> None:
        told: dict[str, Any] = {"kind": str(find.resource.kind), "sid": find.resource.sid}
        if find.resource.kind is ResourceKind.RECORDING:
            told |= {"call": entry["call_sid"], "status": entry["status"], "seconds": _whole(entry.get("duration"))}
        else:
            told["room"] = _room_of(entry)
        with self._lock:
            self._archive.append(told)
        self.tally.count(find.resource.kind, "archive")
        log.emit("recording-found", "WARNING", recording=find.resource.sid, known=find.record is not None)

    def _wait(self, find: Find, judged: Judgement, pending: PendingDeletion | None) -> None:
        self.tally.count(find.resource.kind, f"waits-{judged.why}")
        if judged.why is None or find.resource.kind in FOUND_AGAIN:
            return  # the next walk comes by
        if pending is None or pending.why is not judged.why or pending.due <= self._now:
            due = self._now + WAITS[judged.why]
            self._ledger.postpone_deletion(find.resource, due, self._now, why=judged.why)

    def _delete(self, find: Find, entry: Entry, pending: PendingDeletion | None) -> bool:
        """Delete one resource at Twilio and write that down; return whether it is gone."""
        resource = find.resource
        records = self._records_with(find.record, entry)
        if records and pending is None:
            # Once it is gone no list tells of it any more: this row does, to whoever goes on after a crash.
            self._ledger.postpone_deletion(resource, self._now + WAITS[Why.ASKED], self._now, why=Why.ASKED)
        try:
            if resource.kind is ResourceKind.CALL:
                self._twilio.delete_archive(find.made_at.date().isoformat(), resource.sid)
            answer = self._twilio.delete(resource)
        except CarrierError as error:
            if not 400 <= error.status < 500 or error.status in UNANSWERABLE:
                raise
            log.emit("deletion-refused", "WARNING", resource=resource.sid, status=error.status, code=error.code)
            answer = Deletion.PENDING
        if answer is Deletion.DELETED and any(not self._twilio.is_gone(each.resource) for each in records):
            log.emit("deletion-without-effect", "ERROR", resource=resource.sid)
            answer = Deletion.PENDING
        if answer is Deletion.PENDING:
            self._postpone(resource, pending)
            return False
        self._gone(resource, records, waits=pending is not None or bool(records))
        return True

    def _gone(self, resource: Resource, records: Iterable[Record], *, waits: bool) -> None:
        """Write that a resource is gone at Twilio, with what went along."""
        for record in records:
            self._advance(record)
        if waits:
            self._ledger.settle_deletion(resource)
        self.tally.count(resource.kind, "deleted")

    def _postpone(self, resource: Resource, pending: PendingDeletion | None) -> None:
        attempts = (pending.attempts if pending and pending.why is Why.REFUSED else 0) + 1
        delay = retry_after(attempts)
        self._ledger.postpone_deletion(resource, self._now + delay, self._now)
        self.tally.count(resource.kind, "refused")
        if delay <= SOON:
            with self._lock:
                self._soon.setdefault(delay, []).append(resource)

    def _records_with(self, record: Record | None, entry: Entry) -> list[Record]:
        """Return the record of a resource with those of the media that go along with a message."""
        if record is None:
            return []
        if record.kind is not ResourceKind.MESSAGE or not _whole(entry.get("num_media")):
            return [record]
        media = [one for one in self._ledger.records_in(record.session) if one.parent == record.sid]
        return [record, *(one for one in media if one.kind is ResourceKind.MEDIA)]

    def _advance(self, record: Record) -> None:
        """Move a record on. Raises SweepIncompleteError if others are faster every time."""
        current: Record | None = record
        for _ in range(5):
            after = gone(current, self._now) if current is not None else None
            if current is None or after is None or self._ledger.advance(current, after):
                return
            current = self._ledger.record(record.sid)
        raise SweepIncompleteError("a record changes all the time")

    def _again(self, pending: PendingDeletion) -> None:
        """Judge once more what waited, as it is at Twilio now."""
        resource = pending.resource
        entry = self._twilio.fetch(resource)
        record = self._ledger.record(resource.sid)
        if entry is None or entry.get("status") == DELETED:
            if not self._dry:
                along = self._records_with(record, {"num_media": "1"})
                self._gone(resource, along, waits=True)
        elif resource.kind is ResourceKind.INTERACTION:
            self._act(self._interaction(resource.parent, entry, self._session_held(resource.parent)), entry, pending)
        elif resource.kind is ResourceKind.CHAT_MESSAGE:
            self._act(self._chat_message(resource.parent, entry, record), entry, pending)
        elif resource.kind is ResourceKind.MEDIA:
            message = self._twilio.fetch(Resource(ResourceKind.MESSAGE, resource.parent)) or {}
            find = self._medium(entry, message, record)
            if find is not None:
                self._act(find, entry, pending)
        elif resource.kind is ResourceKind.SESSION:
            self._session(entry, None)
        elif resource.kind is ResourceKind.CONVERSATION:
            self._conversation(entry, None)
        elif resource.kind not in _NUMBERED or record is not None or self._has_own_number(entry):
            self._one(resource.kind, entry, record, pending)

    # What each kind is ----------------------------------------------------------------------------------------

    def _recording(self, entry: Entry, record: Record | None) -> Find | None:
        if record is None and not self._owns_call(str(entry.get("call_sid") or "")):
            return None
        made = _made(entry, LISTINGS[ResourceKind.RECORDING].made)
        over = str(entry.get("status")) in RECORDING_OVER
        if made is None:
            return None
        return Find(
            Resource(ResourceKind.RECORDING, entry["sid"]),
            made,
            (_moment(entry.get("date_updated")) or made) if over else None,
            record,
            held=self._holds_on(record, (), "", str(entry.get("call_sid") or "")),
        )

    def _transcription(self, entry: Entry, record: Record | None, *, waits: bool = False) -> Find | None:
        """Judge a transcription: ours by the record of its recording, its call, or the row that it `waits` by.

        It may outlive the first two under a legal hold, and would be nobody's when that is released.
        """
        recording = str(entry.get("recording_sid") or "")
        of = self._ledger.record(recording) if record is None and recording else record
        if of is None and not waits and not self._owns_recording(recording):
            return None
        made = _moment(entry.get("date_created"))
        if made is None:
            return None
        finished = None if entry.get("status") == "in-progress" else made
        resource = Resource(ResourceKind.TRANSCRIPTION, entry["sid"])
        return Find(resource, made, finished, record, held=self._holds_on(of, (), "", recording))

    def _message(self, entry: Entry, record: Record | None) -> Find | None:
        made = _made(entry, LISTINGS[ResourceKind.MESSAGE].made)
        if made is None:
            return None
        sid = str(entry["sid"])
        return Find(
            Resource(ResourceKind.MESSAGE, sid),
            made,
            None if entry.get("status") in MESSAGE_UNDER_WAY else made,
            record,
            held=self._holds_on(record, _numbers(entry), "", sid),
            waits=Why.UNHEARD if self._is_unheard(entry, made) else None,
        )

    def _is_unheard(self, entry: Entry, made: datetime) -> bool:
        """Tell whether a message is a no that is in no ledger: the reconciler has to take it before it goes.

        What it did not take in two weeks it never will: it looks back no further than a day before its first run.
        """
        if entry.get("direction") != "inbound" or not is_stop(str(entry.get("body") or "")):
            return False
        party = self._party(str(entry.get("from") or ""))
        if party is None or self._ledger.has_heard(party, f"{entry['sid']}:stop"):
            return False
        allowed = days_of(ResourceKind.MESSAGE, self._env.twilio_copy_days) or timedelta(0)
        if self._now - made < allowed + OVERDUE:
            return True
        log.emit("stop-word-unheard", "ERROR", resource=str(entry["sid"]))
        return False

    def _media(self, entry: Entry, record: Record | None, _pending: PendingDeletion | None) -> None:
        """Judge the media of a message, which may have to go sooner than the message itself."""
        if not _whole(entry.get("num_media")):
            return
        media = self._pages(ResourceKind.MEDIA, str(entry["sid"]))
        records = self._ledger.records_by_sid([str(each["sid"]) for each in media])
        waiting = self._ledger.waiting([str(each["sid"]) for each in media])
        captured = record is not None and record.stage is Stage.CAPTURED
        for each in media:
            find = self._medium(each, entry, records.get(str(each["sid"])), captured=captured)
            if find is not None:
                self._act(find, each, waiting.get(str(each["sid"])))

    def _medium(self, entry: Entry, message: Entry, record: Record | None, *, captured: bool = False) -> Find | None:
        made = _made(message, LISTINGS[ResourceKind.MEDIA].made) or _moment(entry.get("date_created"))
        if made is None:
            return None
        parent = str(entry.get("parent_sid") or message.get("sid") or "")
        return Find(
            Resource(ResourceKind.MEDIA, str(entry["sid"]), parent),
            made,
            made,
            record,
            held=self._holds_on(record, _numbers(message), "", parent),
            waits=Why.UNARCHIVED if captured and record is None else None,
        )

    def _call(self, entry: Entry, record: Record | None) -> Find | None:
        made = _made(entry, LISTINGS[ResourceKind.CALL].made)
        if made is None:
            return None
        sid = str(entry["sid"])
        over = (_moment(entry.get("end_time")) or made) if entry.get("status") in CALL_OVER else None
        find = Find(
            Resource(ResourceKind.CALL, sid), made, over, record, held=self._holds_on(record, _numbers(entry), "", sid)
        )
        # Recordings belong to the parent leg. One without a record is nobody's any more when its call is gone.
        due = judge(find, days_of(ResourceKind.CALL, self._env.twilio_copy_days) or timedelta(0), self._now)
        if due.step is Step.DELETE and not entry.get("parent_call_sid"):
            recordings = [str(each["sid"]) for each in self._twilio.recordings_of(sid)]
            if len(self._ledger.records_by_sid(recordings)) < len(recordings):
                return replace(find, waits=Why.RECORDED)
        return find

    def _video(self, entry: Entry, record: Record | None) -> Find | None:
        room = _room_of(entry)
        made = _moment(entry.get("date_created"))
        if made is None or entry.get("status") == DELETED or (record is None and not self._owns_room(room)):
            return None
        finished = made + timedelta(seconds=_whole(entry.get("duration")))
        over = finished if entry.get("status") in {"completed", "failed"} else None
        resource = Resource(ResourceKind.VIDEO_RECORDING, str(entry["sid"]))
        return Find(resource, made, over, record, held=self._holds_on(record, (), room, room))

    def _composition(self, entry: Entry, record: Record | None) -> Find | None:
        room = _room_of(entry)
        made = _moment(entry.get("date_created"))
        if made is None or entry.get("status") == DELETED or (record is None and not self._owns_room(room)):
            return None
        over = made if entry.get("status") in {"completed", "failed"} else None
        resource = Resource(ResourceKind.COMPOSITION, str(entry["sid"]))
        return Find(resource, made, over, record, held=self._holds_on(record, (), room, room))

    # Sessions and conversations -------------------------------------------------------------------------------

    def _session(self, entry: Entry, before: datetime | None) -> None:
        """Judge a Proxy session and, while they are fresh or become due, its interactions.

        It goes after its interactions, and not before the longest call that may go on after its end: whoever says no
        has to find that call by them.
        """
        sid = str(entry["sid"])
        made, ended = _moment(entry.get("date_created")), _moment(entry.get("date_ended"))
        if made is None:
            return
        held = self._session_held(sid)
        closed = ended if entry.get("status") == "closed" else None
        days = self._env.twilio_copy_days
        goes, whole = None, False
        allowed = days_of(ResourceKind.SESSION, days)
        if closed is not None and allowed is not None:
            goes = Find(Resource(ResourceKind.SESSION, sid), closed, closed + LONGEST_CALL, held=held)
            whole = judge(goes, allowed, self._now).step is Step.DELETE
        ages = [
            age
            for body in (True, False)
            if (age := days_of(ResourceKind.INTERACTION, days, holds_body=body)) is not None
        ]
        last = _moment(entry.get("date_last_interaction"))
        left = 0
        if whole or reads_interactions(made_at=made, last=last, ages=ages, before=before, now=self._now):
            left = self._interactions(sid, whole=whole, held=held)
        if goes is not None and not left:
            self._act(goes, entry)

    def _interactions(self, session: str, *, whole: bool, held: bool) -> int:
        """Judge the interactions of a session; return how many are left. `whole`: the session itself goes."""
        entries = self._pages(ResourceKind.INTERACTION, session)
        sids = [str(each["sid"]) for each in entries]
        waiting = self._ledger.waiting(sids) if sids else {}
        self._log_missed(session, entries)
        self._archive_missed(session, entries)
        left = 0
        for entry in entries:
            find = self._interaction(session, entry, held)
            if whole:
                find = replace(find, asked=True)
            left += not self._act(find, entry, waiting.get(find.resource.sid))
        return left

    def _interaction(self, session: str, entry: Entry, held: bool) -> Find:
        made = _moment(entry.get("date_created")) or self._now
        message = str(entry.get("type") or "").lower() == "message"
        return Find(
            Resource(ResourceKind.INTERACTION, str(entry["sid"]), session, holds_body=message),
            made,
            made if message else made + LONGEST_CALL,
            held=held,
        )

    def _log_missed(self, session: str, entries: Sequence[Entry]) -> None:
        """Log the interactions that no webhook told of: a legal hold and an erasure find calls and texts by the log."""
        settled = [each for each in entries if self._is_settled(each)]
        missed = {str(each["sid"]) for each in settled} - self._ledger.resources_in(session) if settled else set()
        if not missed or self._dry or self._ledger.session(session) is None:
            return
        for each in settled:
            if each["sid"] in missed:
                self._ledger.log_interaction(_told(session, each))
                log.emit("interaction-found", "WARNING", session=session, interaction=str(each["sid"]))

    def _is_settled(self, entry: Entry) -> bool:
        return self._now - (_moment(entry.get("date_created")) or self._now) >= SETTLED

    def _archive_missed(self, session: str, entries: Sequence[Entry]) -> None:
        """Tell the archive of messages that may be kept and of whose end no webhook told."""
        texts = [
            each
            for each in entries
            if str(each.get("type") or "").lower() == "message"
            and each.get("inbound_resource_sid")
            and self._is_settled(each)
        ]
        known = self._ledger.session(session) if texts else None
        if known is None or Scope.STORE_MESSAGES not in known.scopes:
            return
        records = self._ledger.records_by_sid([str(each["inbound_resource_sid"]) for each in texts])
        for each in texts:
            record = records.get(str(each["inbound_resource_sid"]))
            if record is not None and record.stage is not Stage.CAPTURED:
                continue
            self.tally.count(ResourceKind.MESSAGE, "archive")
            if not self._dry:
                log.emit("message-found", "WARNING", interaction=str(each["sid"]), known=record is not None)
                archive_later(_told(session, each))

    def _conversation(self, entry: Entry, before: datetime | None) -> None:
        """Judge a conversation of ours and its messages; it goes after them, when it is closed."""
        sid = str(entry["sid"])
        made, updated = _moment(entry.get("date_created")), _moment(entry.get("date_updated"))
        if made is None or not (is_own_name(entry.get("unique_name"), self._env.stack) or self._ledger.record(sid)):
            return
        goes, whole = None, False
        allowed = days_of(ResourceKind.CONVERSATION, self._env.twilio_copy_days)
        held = is_held(self._holds, parties=(), session=sid)
        if entry.get("state") == "closed" and updated is not None and allowed is not None:
            goes = Find(Resource(ResourceKind.CONVERSATION, sid), updated, updated, held=held)
            whole = judge(goes, allowed, self._now).step is Step.DELETE
        ages = [age for age in [days_of(ResourceKind.CHAT_MESSAGE, self._env.twilio_copy_days)] if age is not None]
        left = 0
        if whole or reads_interactions(made_at=made, last=updated, ages=ages, before=before, now=self._now):
            messages = self._pages(ResourceKind.CHAT_MESSAGE, sid)
            records = self._ledger.records_by_sid([str(each["sid"]) for each in messages])
            waiting = self._ledger.waiting([str(each["sid"]) for each in messages])
            for each in messages:
                find = self._chat_message(sid, each, records.get(str(each["sid"])))
                if find.record is not None and find.record.stage is Stage.CAPTURED:
                    self._archive_chat(find)
                left += not self._act(find, each, waiting.get(find.resource.sid))
        if goes is not None and not left:
            self._act(goes, entry)

    def _chat_message(self, conversation: str, entry: Entry, record: Record | None) -> Find:
        made = _moment(entry.get("date_created")) or self._now
        resource = Resource(ResourceKind.CHAT_MESSAGE, str(entry["sid"]), conversation)
        return Find(resource, made, made, record, held=self._holds_on(record, (), conversation, conversation))

    def _archive_chat(self, find: Find) -> None:
        """Tell the archive of a chat message that may be kept and that it has not read."""
        if self._now - find.made_at < SETTLED:
            return
        self.tally.count(find.resource.kind, "archive")
        if not self._dry:
            log.emit("message-found", "WARNING", message=find.resource.sid, known=True)
            with self._lock:
                told = {"kind": str(find.resource.kind), "sid": find.resource.sid, "conversation": find.resource.parent}
                self._archive.append(told)

    # Whose it is, and what is held ----------------------------------------------------------------------------

    def _has_own_number(self, entry: Entry) -> bool:
        if self._pool is None:
            self._pool = runtime.carrier().pool()
        numbers = [*_numbers(entry), entry.get("messaging_service_sid")]
        return is_own_number(numbers, self._pool, self._env.consent.ask_from)

    def _owns_call(self, call: str) -> bool:
        """Tell whether a call is one of ours; of one that is gone nobody can tell, so it is not."""
        if not call:
            return False
        if call not in self._owned:
            found = self._twilio.call(call)
            self._owned[call] = found is not None and self._has_own_number(found)
        return self._owned[call]

    def _owns_recording(self, recording: str) -> bool:
        found = self._twilio.fetch(Resource(ResourceKind.RECORDING, recording)) if recording else None
        return found is not None and self._owns_call(str(found.get("call_sid") or ""))

    def _owns_room(self, room: str) -> bool:
        if not room:
            return False
        if room not in self._owned:
            self._owned[room] = is_own_name(self._twilio.room_name(room), self._env.stack)
        return self._owned[room]

    def _holds_on(self, record: Record | None, numbers: Sequence[str], session: str, sid: str) -> bool:
        """Tell whether a hold covers something: by its record, its people's numbers, its session, or that one's log."""
        if not self._holds:
            return False
        if sid in self._kept:
            return True
        if record is not None and is_held(self._holds, parties=record.parties, session=record.session):
            return True
        return is_held(self._holds, parties=self._keys(numbers), session=session)

    def _session_held(self, session: str) -> bool:
        """Tell whether a hold covers a Proxy session, by the ledger or by its participants at Twilio."""
        if not self._holds:
            return False
        known = self._ledger.session(session)
        parties = known.parties if known is not None else ()
        if known is None and self._parties_held:
            parties = tuple(self._keys(self._twilio.participants(session)))
        return is_held(self._holds, parties=parties, session=session)

    def _keys(self, numbers: Iterable[str]) -> frozenset[str]:
        """Return the party keys of plain numbers, if a hold on anybody makes that worth asking KMS."""
        if not self._parties_held:
            return frozenset()
        return frozenset(key for number in numbers if (key := self._party(number)) is not None)

    def _party(self, number: str) -> str | None:
        if number not in self._parties:
            try:
                self._parties[number] = runtime.identities().party(number)
            except IdentifierError:
                self._parties[number] = ""
        return self._parties[number] or None


_NUMBERED: Final = frozenset({ResourceKind.MESSAGE, ResourceKind.CALL})
"""The kinds whose entries say by their numbers whose they are."""


def walk_name(kind: ResourceKind) -> str:
    """Return the name of the cursor of a walk."""
    return f"sweep-walk-{kind}"


def send_deletions(resources: Sequence[Resource], delay: int = 0) -> None:
    """Put deletions on the queue that are to be tried again, so many seconds from now. Raises QueueError."""
    told = [{"kind": str(one.kind), "sid": one.sid, "parent": one.parent, "body": one.holds_body} for one in resources]
    batches = [{"deletions": told[start : start + WALK_PAGE]} for start in range(0, len(told), WALK_PAGE)]
    runtime.queues().send(QUEUE, *batches, delay=delay)


def _inside(part: Partition, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that are in a stretch of time."""
    names = LISTINGS[part.kind].made
    return [entry for entry in entries if (made := _made(entry, names)) is not None and part.holds(made)]


def _told(session: str, entry: Entry) -> Interaction:
    """Return an interaction of Proxy's list as its webhook would have told it."""
    return Interaction(
        session_sid=session,
        sid=str(entry["sid"]),
        kind=str(entry.get("type") or "").lower(),
        inbound_status=str(entry.get("inbound_resource_status") or ""),
        outbound_status=str(entry.get("outbound_resource_status") or ""),
        inbound_participant=str(entry.get("inbound_participant_sid") or ""),
        inbound_resource=str(entry.get("inbound_resource_sid") or ""),
        outbound_resource=str(entry.get("outbound_resource_sid") or ""),
        created_at=str(entry.get("date_created") or ""),
    )


def _made(entry: Entry, names: Sequence[str]) -> datetime | None:
    return next((moment for name in names if (moment := _moment(entry.get(name))) is not None), None)


def _moment(text: Any) -> datetime | None:
    """Return a moment as either of Twilio's APIs writes it, None where there is none."""
    return _read_moment(str(text)) if text else None


@lru_cache(maxsize=4096)  # each is read several times, and many were made in one second
def _read_moment(text: str) -> datetime | None:
    try:
        return moments.from_text(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def _room_of(entry: Entry) -> str:
    """Return the SID of the room of a video recording or a composition."""
    return str(entry.get("room_sid") or (entry.get("grouping_sids") or {}).get("room_sid") or "")


def _numbers(entry: Entry) -> list[str]:
    return [str(entry.get(name) or "") for name in ("from", "to")]


def _whole(text: Any) -> int:
    return int(text) if str(text or "").isdecimal() else 0
