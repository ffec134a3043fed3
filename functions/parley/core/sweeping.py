"""The sweeper's judgement: which stretches of time to go through, what is the stack's own, and what goes now.

Twilio deletes nothing by itself, or after 400 days (messages) and 13 months (calls), so what `twilioCopyDays` promises
is carried out here (requirement R24: records that are not needed are not kept). Time is cut into partitions, each a
message of a queue: what one worker cannot do in time many do beside one another, and a partition that is done twice
deletes what is gone already.

Cursors say how far partitions were handed out. What shows up late is found by the overlap of two runs, and whatever a
failed partition left behind by a look at everything once a week.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from parley.core import moments
from parley.core.record_classes import RecordClass
from parley.core.records import CLASSES, Record, Resource, ResourceKind, Stage
from parley.core.sessions import LONGEST_CALL

EVERY: Final = timedelta(hours=1)
"""How often partitions are handed out."""

SETTLED: Final = timedelta(hours=1)
"""What is younger is let be: Twilio, the archive and the reconciler are still at it."""

OVERLAP: Final = LONGEST_CALL + 2 * SETTLED
"""How much of the past is handed out again: a call is listed by its start, and its recording is done after its end."""

WHOLE_EVERY: Final = timedelta(days=7)
LOOK_BACK: Final = timedelta(days=400)
"""How far day by day the first run looks, and one each week: as long as Twilio keeps the log of a message."""

BEGINNING: Final = datetime(2008, 1, 1, tzinfo=UTC)
"""Twilio's first year: nothing there is older."""

LONG_GAP: Final = timedelta(days=2)
"""What is further behind is handed out day by day: a partition that is too full is cut by whoever gets it."""

MONTHLY: Final = timedelta(days=30)
"""The stretches in which all of the past is gone through: few on an account that has little."""

SHORTEST: Final = timedelta(seconds=1)
"""Twilio's lists tell whole seconds."""

PARTS: Final = 24
"""Into how many parts a stretch of time is cut whose list does not fit one page."""

DELAYS: Final = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=12),
)
DAILY: Final = timedelta(days=1)
"""When a deletion is asked for again that Twilio refused: "wait at least 1 minute" (error 20009), then ever later."""

OVERDUE: Final = timedelta(days=14)
"""After this long a refused deletion is told as overdue: finalising takes no longer, says the page of 20009."""

ABANDONED: Final = timedelta(hours=6)
"""After this long a walk that has not come to its end is begun anew."""


class Why(StrEnum):
    """Why something that is over its time is still at Twilio."""

    ASKED = "asked"  # its deletion is being asked for: whether it is gone has still to be seen and written
    REFUSED = "refused"  # Twilio has not finished it (20009), or refuses for a reason of its own
    HELD = "held"  # a legal hold keeps it, and there is no copy of ours
    UNARCHIVED = "unarchived"  # the archive has yet to copy it
    UNHEARD = "unheard"  # a stop word that the reconciler has yet to take
    RECORDED = "recorded"  # a call with a recording that nobody wrote down: without the call it would be nobody's


WAITS: Final[Mapping[Why, timedelta]] = {
    Why.ASKED: EVERY,
    Why.HELD: DAILY / 2,
    Why.UNARCHIVED: EVERY,
    Why.UNHEARD: EVERY,
    Why.RECORDED: EVERY,
}
"""How long until something is judged again that waits for something else than Twilio."""


def retry_after(attempts: int) -> timedelta:
    """Return how long to wait after so many refusals, at least one."""
    return DELAYS[attempts - 1] if attempts <= len(DELAYS) else DAILY


@dataclass(frozen=True, slots=True)
class PendingDeletion:
    """A resource that should be gone and is not. `attempts` counts the refusals, `first_asked_at` is the first one's.

    `record_sid` is the record that it belongs to, which may be another resource's: an outbound message's is that of the
    inbound one.
    """

    resource: Resource
    due: datetime
    first_asked_at: datetime
    attempts: int = 0
    why: Why = Why.REFUSED
    record_sid: str = ""

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether Twilio has refused it for longer than it says that it may."""
        return self.why is Why.REFUSED and now - self.first_asked_at > OVERDUE


# Time ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listing:
    """How Twilio's list of a kind is narrowed to a stretch of time, and where its entries say when they were made.

    `since` and `until` are names of filters, `made` those of fields, the first that is there counts. `listed` is the
    kind whose list it is.
    """

    listed: ResourceKind
    since: str
    until: str
    made: tuple[str, ...]
    page: int = 1000


LISTINGS: Final[Mapping[ResourceKind, Listing]] = {
    ResourceKind.RECORDING: Listing(
        ResourceKind.RECORDING, "DateCreated>", "DateCreated<", ("date_created", "start_time")
    ),
    ResourceKind.MESSAGE: Listing(ResourceKind.MESSAGE, "DateSent>", "DateSent<", ("date_sent", "date_created")),
    ResourceKind.MEDIA: Listing(ResourceKind.MESSAGE, "DateSent>", "DateSent<", ("date_sent", "date_created")),
    ResourceKind.CALL: Listing(ResourceKind.CALL, "StartTime>", "StartTime<", ("start_time", "date_created")),
    ResourceKind.VIDEO_RECORDING: Listing(
        ResourceKind.VIDEO_RECORDING, "DateCreatedAfter", "DateCreatedBefore", ("date_created",), 100
    ),
    ResourceKind.COMPOSITION: Listing(
        ResourceKind.COMPOSITION, "DateCreatedAfter", "DateCreatedBefore", ("date_created",), 100
    ),
}
"""The kinds that are gone through by time. Media have no list of their own: they are found by their messages."""

WALKS: Final = (ResourceKind.SESSION, ResourceKind.TRANSCRIPTION, ResourceKind.CONVERSATION)
"""The kinds whose lists Twilio narrows by nothing, or not by what counts: they are walked page by page."""

CHANNEL_OF: Final[Mapping[ResourceKind, str]] = {
    ResourceKind.VIDEO_RECORDING: "video",
    ResourceKind.COMPOSITION: "video",
    ResourceKind.CONVERSATION: "chat",
}
"""The kinds that only stacks with a channel have."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A stretch of time of one kind, whole seconds, from `since` until before `until`."""

    kind: ResourceKind
    since: datetime
    until: datetime

    def message(self) -> dict[str, str]:
        """Return it as a message of the queue."""
        return {
            "kind": str(self.kind),
            "since": moments.to_text(self.since),
            "until": moments.to_text(self.until),
        }

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Partition:
        """Return the partition that made a message. Raises KeyError or ValueError for anything else."""
        kind = ResourceKind(message["kind"])
        if kind not in LISTINGS:
            raise ValueError("is not gone through by time")
        return cls(kind, moments.from_text(message["since"]), moments.from_text(message["until"]))

    @property
    def query(self) -> dict[str, str]:
        """The filters of Twilio's list."""
        listing = LISTINGS[self.kind]
        return {
            listing.since: self.since.strftime("%Y-%m-%dT%H:%M:%SZ"),
            listing.until: self.until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "PageSize": str(listing.page),
        }

    def holds(self, moment: datetime) -> bool:
        """Tell whether a moment is in it, or at its end, which Twilio counts in."""
        return self.since <= moment <= self.until + SHORTEST

    def parts(self) -> tuple[Partition, ...]:
        """Return it in parts, up to `PARTS` of them; none if it is too short to be cut."""
        seconds = int((self.until - self.since).total_seconds())
        count = min(PARTS, seconds)
        if count < 2:
            return ()
        edges = [self.since + timedelta(seconds=seconds * place // count) for place in range(count)] + [self.until]
        return tuple(Partition(self.kind, a, b) for a, b in itertools.pairwise(edges))


@dataclass(frozen=True, slots=True)
class Track:
    """A way through time: its kind, and up to when its partitions may be handed out. `name` is its cursor's."""

    name: str
    kind: ResourceKind
    reached: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a track's partitions were handed out, and when last all of its time was."""

    until: datetime
    whole: datetime

    def document(self) -> dict[str, str]:
        """Return the cursor as the ledger keeps it."""
        return {"until": moments.to_text(self.until), "whole": moments.to_text(self.whole)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Cursor | None:
        """Return the cursor that was kept, or None if nothing was."""
        if not document:
            return None
        return cls(moments.from_text(document["until"]), moments.from_text(document["whole"]))


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a walk through a list has come: when the last complete one began, and when the one under way did."""

    began: datetime | None = None
    complete: datetime | None = None

    def document(self) -> dict[str, str]:
        """Return the walk as the ledger keeps it."""
        told = {"began": self.began, "complete": self.complete}
        return {name: moments.to_text(moment) for name, moment in told.items() if moment is not None}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Walk:
        """Return the walk that was kept, or one that was never begun."""
        read = {name: moments.from_text(document[name]) for name in ("began", "complete") if name in document}
        return cls(read.get("began"), read.get("complete"))

    def is_due(self, now: datetime) -> bool:
        """Tell whether another walk may begin: the last one is complete, or was given up."""
        return self.began is None or self.began == self.complete or now - self.began >= ABANDONED


def days_of(kind: ResourceKind, days: Mapping[str, int], *, holds_body: bool = False) -> timedelta | None:
    """Return how long Twilio's copy of a kind may stay by the declared `days` of each class, None if nothing is.

    The interaction of a message is both: it goes when the first of the two is over.
    """
    classes = [CLASSES[kind], *([RecordClass.MESSAGES] if holds_body else [])]
    declared = [days[name] for name in classes if name in days]
    return timedelta(days=min(declared)) if declared else None


def kinds(channels: Collection[str], days: Mapping[str, int], *, proxied: bool = True) -> tuple[ResourceKind, ...]:
    """Return the kinds that a stack with these channels and declared days has to sweep.

    Media that go no sooner than their message go with it. Sessions are at Twilio only where Proxy has them (`proxied`).
    """
    found = []
    for kind in (*LISTINGS, *WALKS):
        if kind is ResourceKind.SESSION and not proxied:
            continue
        allowed, channel = days_of(kind, days), CHANNEL_OF.get(kind)
        if allowed is None or (channel is not None and channel not in channels):
            continue
        messages = days_of(ResourceKind.MESSAGE, days)
        if kind is ResourceKind.MEDIA and messages is not None and allowed >= messages:
            continue
        found.append(kind)
    return tuple(found)


def tracks(
    swept: Iterable[ResourceKind], days: Mapping[str, int], now: datetime, *, heard: datetime | None
) -> tuple[Track, ...]:
    """Return the ways through time of a run.

    What is recorded is looked at an hour after it was, whatever its days: a recording whose callback never came has to
    be archived. Messages are gone through no further than `heard`: until then the reconciler has taken the stop words,
    and a complete walk has seen which texts are still to be archived (None: neither has been anywhere yet).
    """
    found = []
    for kind in swept:
        if kind not in LISTINGS:
            continue
        after = max(days_of(kind, days) or timedelta(0), SETTLED)
        reached = now - after
        if kind in {ResourceKind.MESSAGE, ResourceKind.MEDIA}:
            if heard is None:
                continue
            reached = min(reached, heard)
        found.append(Track(f"sweep-{kind}", kind, _hour(reached)))
        if kind in MUST_BE_ARCHIVED and after > SETTLED:
            found.append(Track(f"sweep-{kind}-fresh", kind, _hour(now - SETTLED)))
    return tuple(found)


def partitions(track: Track, cursor: Cursor | None, now: datetime) -> tuple[tuple[Partition, ...], Cursor]:
    """Return what is to be handed out now, and the cursor to keep once it was.

    Hour by hour from where the last run came to, with the overlap, or day by day after a long gap; where there was no
    run yet, and once a week, month by month, and all that is older in one. What does not fit a page its worker cuts.
    """
    if cursor is None or now - cursor.whole >= WHOLE_EVERY:
        begin = min(_day(now - LOOK_BACK), track.reached)
        cut = ((BEGINNING, begin), *_cut(begin, track.reached, MONTHLY))
        whole = now
    else:
        since = _hour(min(cursor.until, track.reached) - OVERLAP)
        cut = tuple(_cut(since, track.reached, EVERY if track.reached - since <= LONG_GAP else DAILY))
        whole = cursor.whole
    reached = track.reached if cursor is None else max(cursor.until, track.reached)
    return tuple(Partition(track.kind, since, until) for since, until in cut), Cursor(reached, whole)


def behind(track: Track, cursor: Cursor | None, now: datetime) -> timedelta:
    """Return how much time was not handed out before this run: an hour as a rule, all of it at the first."""
    since = now - LOOK_BACK if cursor is None else cursor.until
    return max(track.reached - since, timedelta(0))


def _cut(since: datetime, until: datetime, size: timedelta) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        yield since, min(since + size, until)
        since += size


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _day(moment: datetime) -> datetime:
    return _hour(moment).replace(hour=0)


def reads_interactions(
    *, made_at: datetime, last: datetime | None, ages: Iterable[timedelta], before: datetime | None, now: datetime
) -> bool:
    """Tell whether a walk has to read a session's interactions, `last` being the latest of them.

    They are read while they are fresh, and while they become due by one of `ages`; everything else was seen by the walk
    that began at `before`, which read it all if there was none.
    """
    if last is None:
        return False
    if before is None:
        return True
    return any(made_at <= now - age and last >= before - age - OVERLAP for age in (SETTLED, *ages))


# What goes ----------------------------------------------------------------------------------------------------

MUST_BE_ARCHIVED: Final = frozenset({ResourceKind.RECORDING, ResourceKind.VIDEO_RECORDING, ResourceKind.COMPOSITION})
"""The kinds of which everything is either in the bucket or known not to be kept before Twilio's goes."""

_COPIED: Final = frozenset({Stage.ARCHIVED, Stage.DELETED})
_REFUSED: Final = frozenset({Stage.DROPPED, Stage.DISCARDED})


class Step(StrEnum):
    """What is done about something at Twilio."""

    KEEP = "keep"  # its time has not come, or Twilio is still making it
    ARCHIVE = "archive"  # the archive was never told, or has not done it
    WAIT = "wait"  # its time is over, and something else comes first
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Find:
    """Something of the stack's own at Twilio, as it stands.

    Its age counts from `made_at`. `finished_at` is when Twilio was done with it (None: it is not). `held` tells that a
    legal hold covers it, `waits` what has to come first whatever the record says; `asked`, that somebody knew before
    that it may go, so that its age does not count.
    """

    resource: Resource
    made_at: datetime
    finished_at: datetime | None
    record: Record | None = None
    held: bool = False
    waits: Why | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is done, and why it waits."""

    step: Step
    why: Why | None = None


def judge(find: Find, allowed: timedelta, now: datetime) -> Judgement:
    """Say what is done about something whose copy at Twilio may be as old as `allowed`.

    A hold does not keep Twilio's copy of what is archived: the one in the bucket is kept. What may not be archived is
    kept at Twilio as long as its class allows, a recording that nobody agreed to not at all.
    """
    if find.finished_at is None or (not find.asked and now - max(find.finished_at, find.made_at) < SETTLED):
        return Judgement(Step.KEEP)
    stage = find.record.stage if find.record is not None else None
    recorded = find.resource.kind in MUST_BE_ARCHIVED
    if recorded and stage in {None, Stage.CAPTURED}:
        return Judgement(Step.ARCHIVE)
    if now - find.made_at < allowed and not find.asked and not (recorded and stage in _REFUSED):
        return Judgement(Step.KEEP)
    why = _waits_for(find, stage)
    return Judgement(Step.DELETE) if why is None else Judgement(Step.WAIT, why)


def _waits_for(find: Find, stage: Stage | None) -> Why | None:
    if find.waits is not None or stage in _COPIED:
        return find.waits
    if find.held:
        return Why.HELD
    return Why.UNARCHIVED if stage is Stage.CAPTURED else None


def gone(record: Record, now: datetime) -> Record | None:
    """Return a record after its resource was seen to be gone at Twilio; None if that changes nothing of it.

    A record that is only captured stays so: the archive says what became of it.
    """
    stages = {Stage.ARCHIVED: Stage.DELETED, Stage.DROPPED: Stage.DISCARDED}
    stage = stages.get(record.stage)
    return None if stage is None else replace(record, stage=stage, deleted_at=now)


def is_own_number(numbers: Iterable[str | None], pool: Collection[str], asks_from: str | None) -> bool:
    """Tell whether a message or call went to or came from a number of the pool, or the number or service that asks."""
    own = {*pool, *([asks_from] if asks_from else [])}
    return any(number in own for number in numbers if number)


def is_own_name(name: str | None, stack: str) -> bool:
    """Tell whether a room or conversation was made by this stack: its unique name begins with the stack's."""
    return bool(name) and str(name).startswith(f"{stack}-")
