"""The sweeper's judgement: time that is cut without a gap, ownership, and what goes, waits or is archived."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.record_classes import RecordClass
from parley.core.records import Record, Resource, ResourceKind, Stage
from parley.core.sessions import LONGEST_CALL
from parley.core.sweeping import (
    ABANDONED,
    BEGINNING,
    DAILY,
    DELAYS,
    EVERY,
    LISTINGS,
    LONG_GAP,
    LOOK_BACK,
    MONTHLY,
    OVERDUE,
    OVERLAP,
    PARTS,
    SETTLED,
    WALKS,
    WHOLE_EVERY,
    Cursor,
    Find,
    Judgement,
    Partition,
    PendingDeletion,
    Step,
    Track,
    Walk,
    Why,
    behind,
    days_of,
    gone,
    is_own_name,
    is_own_number,
    judge,
    kinds,
    partitions,
    reads_interactions,
    retry_after,
    tracks,
)

NOW = datetime(2026, 11, 26, 12, 34, 56, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ALL = {"call-recordings": 0, "messages": 0, "message-media": 0, "interaction-log": 1, "session-map": 1}
MOMENTS = st.integers(0, 7600 * 86_400).map(
    lambda seconds: datetime(2009, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


def find(
    kind: ResourceKind = ResourceKind.MESSAGE,
    *,
    age: timedelta = 2 * DAY,
    finished: bool = True,
    stage: Stage | None = None,
    held: bool = False,
    waits: Why | None = None,
    asked: bool = False,
) -> Find:
    """Return something at Twilio."""
    sids = {ResourceKind.MESSAGE: "SM", ResourceKind.RECORDING: "RE", ResourceKind.CALL: "CA"}
    sid, made = sids[kind] + "1" * 32, NOW - age
    known = None if stage is None else record(stage, sid, kind)
    return Find(Resource(kind, sid), made, made if finished else None, known, held, waits, asked)


def record(stage: Stage, sid: str = "RE" + "1" * 32, kind: ResourceKind = ResourceKind.RECORDING) -> Record:
    """Return a record."""
    return Record(sid, kind, RecordClass.CALL_RECORDINGS, "KC" + "2" * 32, "", (), (), NOW - DAY, stage)


class TestTime:
    """Partitions, cursors and walks."""

    @given(MOMENTS, st.timedeltas(timedelta(seconds=0), timedelta(days=7000)))
    def test_parts_cover_the_whole_without_a_gap(self, since: datetime, length: timedelta) -> None:
        """The parts of a stretch touch each other and begin and end where it does."""
        whole = Partition(ResourceKind.MESSAGE, since, since + timedelta(seconds=int(length.total_seconds())))
        parts = whole.parts()
        if whole.until - whole.since < timedelta(seconds=2):
            assert parts == ()
            return
        assert 2 <= len(parts) <= PARTS
        assert (parts[0].since, parts[-1].until) == (whole.since, whole.until)
        assert all(a.until == b.since and a.since < a.until for a, b in itertools.pairwise(parts))

    @given(MOMENTS)
    def test_cutting_ends(self, since: datetime) -> None:
        """However full a stretch is, after a few cuts it is a second long and is read to its end."""
        part = Partition(ResourceKind.CALL, BEGINNING, since)
        cuts = 0
        while parts := part.parts():
            part, cuts = parts[-1], cuts + 1
        assert part.until - part.since <= timedelta(seconds=1)
        assert cuts <= 8

    def test_partition_is_its_message(self) -> None:
        """A partition comes back from its message equal; one of a kind without a list by time does not."""
        part = Partition(ResourceKind.RECORDING, NOW.replace(microsecond=0) - HOUR, NOW.replace(microsecond=0))
        assert Partition.of(part.message()) == part
        with pytest.raises(ValueError, match="not gone through by time"):
            Partition.of({**part.message(), "kind": "session"})

    def test_query_names_both_ends(self) -> None:
        """The filters of the list are those of the kind, in whole seconds, with the largest page."""
        part = Partition(ResourceKind.CALL, datetime(2026, 5, 4, 9, tzinfo=UTC), datetime(2026, 5, 4, 10, tzinfo=UTC))
        assert part.query == {
            "StartTime>": "2026-05-04T09:00:00Z",
            "StartTime<": "2026-05-04T10:00:00Z",
            "PageSize": "1000",
        }
        assert part.holds(part.since)
        assert part.holds(part.until)
        assert not part.holds(part.until + 2 * timedelta(seconds=1))

    def test_first_run_reaches_back_to_the_beginning(self) -> None:
        """Where there was no run all of the past is handed out, in one, and then by months as far as Twilio keeps."""
        track = Track("sweep-call", ResourceKind.CALL, NOW.replace(minute=0, second=0))
        parts, cursor = partitions(track, None, NOW)
        assert parts[0].since == BEGINNING
        assert LOOK_BACK / MONTHLY <= len(parts) <= LOOK_BACK / MONTHLY + 3
        assert_covered(parts, BEGINNING, track.reached)
        assert cursor == Cursor(track.reached, NOW)

    def test_much_later_copies_are_one_stretch(self) -> None:
        """A class that Twilio may keep for longer than the look-back has one stretch."""
        track = Track("sweep-call", ResourceKind.CALL, NOW - timedelta(days=500))
        parts, _ = partitions(track, None, NOW)
        assert [(each.since, each.until) for each in parts] == [(BEGINNING, track.reached)]

    @given(st.lists(st.timedeltas(timedelta(minutes=1), timedelta(days=9)), min_size=1, max_size=12))
    def test_no_moment_is_ever_left_out(self, gaps: list[timedelta]) -> None:
        """Whenever the schedule fires, what was handed out covers every moment up to where it may be, and overlaps."""
        now = NOW
        cursor: Cursor | None = None
        for gap in (timedelta(0), *gaps):
            now += gap
            track = Track("t", ResourceKind.CALL, (now - DAY).replace(minute=0, second=0, microsecond=0))
            before = cursor
            parts, cursor = partitions(track, cursor, now)
            assert cursor.until == track.reached
            since = BEGINNING if before is None or now - before.whole >= WHOLE_EVERY else before.until - OVERLAP
            assert parts[0].since <= since
            assert_covered(parts, parts[0].since, track.reached)

    def test_ordinary_run_is_an_hour_and_the_overlap(self) -> None:
        """An hour after the last run the partitions are hours; after a long gap they are days."""
        reached = NOW.replace(minute=0, second=0)
        track = Track("t", ResourceKind.CALL, reached)
        parts, cursor = partitions(track, Cursor(reached - HOUR, NOW - HOUR), NOW)
        assert len(parts) == 1 + OVERLAP // HOUR
        assert cursor == Cursor(reached, NOW - HOUR)
        late, _ = partitions(track, Cursor(reached - 2 * LONG_GAP, NOW - HOUR), NOW)
        assert max(each.until - each.since for each in late) == DAY

    def test_cursor_never_goes_back(self) -> None:
        """When fewer days are handed out, since a class may now be kept for longer, the cursor stays."""
        track = Track("t", ResourceKind.CALL, NOW - 30 * DAY)
        cursor = Cursor(NOW - DAY, NOW)
        assert partitions(track, cursor, NOW)[1] == cursor

    def test_backlog(self) -> None:
        """A run tells how much time nobody handed out before it."""
        track = Track("t", ResourceKind.CALL, NOW)
        assert behind(track, Cursor(NOW - 3 * HOUR, NOW), NOW) == 3 * HOUR
        assert behind(track, Cursor(NOW + HOUR, NOW), NOW) == timedelta(0)
        assert behind(track, None, NOW) == LOOK_BACK

    def test_cursors_and_walks_come_back(self) -> None:
        """What the ledger keeps of a cursor and of a walk is what was given to it."""
        cursor = Cursor(NOW - HOUR, NOW)
        assert Cursor.of(cursor.document()) == cursor
        assert Cursor.of({}) is None
        for walk in (Walk(), Walk(NOW), Walk(NOW, NOW - HOUR)):
            assert Walk.of(walk.document()) == walk

    def test_one_walk_at_a_time(self) -> None:
        """A walk begins when there was none, when the last one is complete, and when that one must have died."""
        assert Walk().is_due(NOW)
        assert Walk(NOW - HOUR, NOW - HOUR).is_due(NOW)
        assert not Walk(NOW - HOUR, NOW - 2 * HOUR).is_due(NOW)
        assert Walk(NOW - ABANDONED).is_due(NOW)

    def test_delays_grow(self) -> None:
        """A refused deletion is asked for again ever later, and daily in the end."""
        assert [retry_after(attempts) for attempts in range(1, 6)] == list(DELAYS)
        assert retry_after(6) == retry_after(600) == DAILY
        assert sorted(DELAYS) == list(DELAYS)

    def test_overdue(self) -> None:
        """Only what Twilio itself refuses counts as overdue, after two weeks."""
        call = Resource(ResourceKind.CALL, "CA" + "1" * 32)
        old = NOW - OVERDUE - HOUR
        assert PendingDeletion(call, NOW, old).is_overdue(NOW)
        assert not PendingDeletion(call, NOW, NOW - OVERDUE).is_overdue(NOW)
        assert not PendingDeletion(call, NOW, old, why=Why.HELD).is_overdue(NOW)


def assert_covered(parts: tuple[Partition, ...], since: datetime, until: datetime) -> None:
    """Assert that partitions cover a time without a gap."""
    assert parts[0].since == since
    assert parts[-1].until == until
    assert all(a.until == b.since for a, b in itertools.pairwise(parts))


class TestKinds:
    """What a stack sweeps."""

    def test_declared_days_decide(self) -> None:
        """A kind whose class the stack does not declare is not swept, nor one of a channel that it does not have."""
        assert kinds(("voice", "sms"), ALL) == (
            ResourceKind.RECORDING,
            ResourceKind.MESSAGE,
            ResourceKind.CALL,
            ResourceKind.SESSION,
        )
        assert ResourceKind.VIDEO_RECORDING not in kinds(("voice",), {"video-recordings": 0})
        assert kinds(("video",), {"video-recordings": 0}) == (ResourceKind.VIDEO_RECORDING, ResourceKind.COMPOSITION)
        assert kinds(("chat",), {"session-map": 0}) == (ResourceKind.SESSION, ResourceKind.CONVERSATION)
        assert kinds(("chat",), {"session-map": 0}, proxied=False) == (ResourceKind.CONVERSATION,)

    def test_media_go_with_their_message(self) -> None:
        """Media are gone through by themselves only where they have to go sooner than the message."""
        assert ResourceKind.MEDIA in kinds(("sms",), {"messages": 5, "message-media": 1})
        assert ResourceKind.MEDIA in kinds(("sms",), {"message-media": 1})
        assert ResourceKind.MEDIA not in kinds(("sms",), {"messages": 1, "message-media": 1})

    def test_every_kind_has_a_way(self) -> None:
        """Each kind of resource has a list by time, is walked, or is found below another one."""
        below = {ResourceKind.INTERACTION, ResourceKind.CHAT_MESSAGE}
        assert {*LISTINGS, *WALKS, *below} == set(ResourceKind)

    def test_message_interaction_goes_with_the_sooner(self) -> None:
        """The interaction of a message goes when the first of its two classes is over."""
        days = {"messages": 3, "interaction-log": 30}
        assert days_of(ResourceKind.INTERACTION, days) == timedelta(days=30)
        assert days_of(ResourceKind.INTERACTION, days, holds_body=True) == timedelta(days=3)
        assert days_of(ResourceKind.INTERACTION, {"messages": 3}, holds_body=True) == timedelta(days=3)
        assert days_of(ResourceKind.INTERACTION, {}) is None

    def test_tracks_end_where_something_may_go(self) -> None:
        """A track ends its days ago, an hour ago at the latest; recordings have a second one for what is new."""
        heard = NOW - 5 * HOUR
        days = {**ALL, "call-recordings": 7}
        found = {each.name: each for each in tracks(kinds(("voice", "sms"), days), days, NOW, heard=heard)}
        hour = NOW.replace(minute=0, second=0)
        assert found["sweep-recording"].reached == hour - 7 * DAY
        assert found["sweep-recording-fresh"].reached == hour - HOUR
        assert found["sweep-call"].reached == hour - DAY
        assert found["sweep-message"].reached == heard.replace(minute=0, second=0)
        assert all(each.reached <= NOW - SETTLED for each in found.values())

    def test_no_message_before_it_was_heard(self) -> None:
        """As long as the reconciler or the walk has been nowhere, messages are not gone through; all else is."""
        names = {each.name for each in tracks(kinds(("voice", "sms"), ALL), ALL, NOW, heard=None)}
        assert names == {"sweep-recording", "sweep-call"}

    def test_ownership(self) -> None:
        """Ours is what has a number of the pool, the number or service that asks, or a name of the stack's."""
        pool = {"+12125550140"}
        assert is_own_number(["+12125550111", "+12125550140"], pool, None)
        assert is_own_number(["+12125550142", None], pool, "+12125550142")
        assert not is_own_number(["+12125550142", "", None], pool, None)
        assert not is_own_number(["", None], {""}, "")
        assert is_own_name("local-si_1", "local")
        assert not is_own_name("localized", "local")
        assert not is_own_name(None, "local")


class TestJudgement:
    """What is done about one resource."""

    @pytest.mark.parametrize(
        ("found", "step", "why"),
        [
            (find(), Step.DELETE, None),
            (find(age=DAY - HOUR), Step.KEEP, None),
            (find(finished=False), Step.KEEP, None),
            (find(stage=Stage.ARCHIVED), Step.DELETE, None),
            (find(stage=Stage.ARCHIVED, held=True), Step.DELETE, None),
            (find(stage=Stage.DELETED, held=True), Step.DELETE, None),
            (find(held=True), Step.WAIT, Why.HELD),
            (find(stage=Stage.DROPPED, held=True), Step.WAIT, Why.HELD),
            (find(stage=Stage.DROPPED), Step.DELETE, None),
            (find(stage=Stage.DROPPED, age=2 * HOUR), Step.KEEP, None),
            (find(stage=Stage.CAPTURED), Step.WAIT, Why.UNARCHIVED),
            (find(waits=Why.UNHEARD), Step.WAIT, Why.UNHEARD),
            (find(stage=Stage.ARCHIVED, waits=Why.UNHEARD), Step.WAIT, Why.UNHEARD),
            (find(age=timedelta(minutes=2), asked=True), Step.DELETE, None),
            (find(age=timedelta(minutes=2), asked=True, held=True), Step.WAIT, Why.HELD),
            (find(age=timedelta(minutes=2), asked=True, finished=False), Step.KEEP, None),
            (find(ResourceKind.RECORDING), Step.ARCHIVE, None),
            (find(ResourceKind.RECORDING, age=2 * HOUR), Step.ARCHIVE, None),
            (find(ResourceKind.RECORDING, age=HOUR / 2), Step.KEEP, None),
            (find(ResourceKind.RECORDING, stage=Stage.CAPTURED, held=True), Step.ARCHIVE, None),
            (find(ResourceKind.RECORDING, stage=Stage.CAPTURED, asked=True), Step.ARCHIVE, None),
            (find(ResourceKind.RECORDING, stage=Stage.ARCHIVED), Step.DELETE, None),
            (find(ResourceKind.RECORDING, stage=Stage.ARCHIVED, age=2 * HOUR), Step.KEEP, None),
            (find(ResourceKind.RECORDING, stage=Stage.DROPPED, age=2 * HOUR), Step.DELETE, None),
            (find(ResourceKind.RECORDING, stage=Stage.DROPPED, age=2 * HOUR, held=True), Step.WAIT, Why.HELD),
            (find(ResourceKind.CALL, waits=Why.RECORDED), Step.WAIT, Why.RECORDED),
        ],
    )
    def test_table(self, found: Find, step: Step, why: Why | None) -> None:
        """Each row of the table of judgements."""
        assert judge(found, DAY, NOW) == Judgement(step, why)

    @given(
        st.sampled_from([ResourceKind.MESSAGE, ResourceKind.RECORDING, ResourceKind.CALL]),
        st.timedeltas(timedelta(0), timedelta(days=60)),
        st.booleans(),
        st.sampled_from([None, *Stage]),
        st.booleans(),
        st.sampled_from([None, *Why]),
        st.booleans(),
        st.integers(0, 40),
    )
    def test_never_without_a_copy_or_against_a_hold(
        self,
        kind: ResourceKind,
        age: timedelta,
        finished: bool,
        stage: Stage | None,
        held: bool,
        waits: Why | None,
        asked: bool,
        days: int,
    ) -> None:
        """Nothing that is to be archived goes before it is, and nothing held goes of which there is no copy."""
        found = find(kind, age=age, finished=finished, stage=stage, held=held, waits=waits, asked=asked)
        judged = judge(found, timedelta(days=days), NOW)
        assert (judged.step is Step.WAIT) == (judged.why is not None)
        if judged.step is Step.DELETE:
            assert finished
            assert stage is not Stage.CAPTURED
            assert waits is None
            assert not held or stage in {Stage.ARCHIVED, Stage.DELETED}
            assert kind is not ResourceKind.RECORDING or stage is not None

    def test_finished_late_counts_from_then(self) -> None:
        """A recording of a long call is let be for an hour after it was done, not after it began."""
        made = NOW - 5 * HOUR
        sid = "RE" + "1" * 32
        young = Find(Resource(ResourceKind.RECORDING, sid), made, NOW - HOUR / 2, record(Stage.ARCHIVED))
        assert judge(young, timedelta(0), NOW) == Judgement(Step.KEEP)

    def test_records_move_on_only_from_where_they_are(self) -> None:
        """An archived record becomes deleted and a dropped one discarded; the others stay as they are."""
        archived, dropped = gone(record(Stage.ARCHIVED), NOW), gone(record(Stage.DROPPED), NOW)
        assert archived is not None
        assert dropped is not None
        assert (archived.stage, archived.deleted_at) == (Stage.DELETED, NOW)
        assert dropped.stage is Stage.DISCARDED
        assert {gone(record(stage), NOW) for stage in (Stage.CAPTURED, Stage.DELETED, Stage.DISCARDED)} == {None}


class TestInteractions:
    """Which sessions' interactions a walk reads."""

    def test_only_what_is_new_or_becomes_due(self) -> None:
        """They are read while they are fresh and when their days are over, not in between."""
        before, ages = NOW - HOUR, [30 * DAY]

        def reads(made: timedelta, last: timedelta) -> bool:
            return reads_interactions(made_at=NOW - made, last=NOW - last, ages=ages, before=before, now=NOW)

        assert reads(3 * HOUR, 2 * HOUR)
        assert not reads(timedelta(minutes=30), timedelta(minutes=20))  # an hour from now
        assert not reads(10 * DAY, 9 * DAY)
        assert reads(31 * DAY, 30 * DAY)
        assert not reads(40 * DAY, 38 * DAY)

    def test_first_walk_reads_all(self) -> None:
        """The first walk reads every session that something passed through."""
        assert reads_interactions(made_at=NOW - 90 * DAY, last=NOW - 80 * DAY, ages=[], before=None, now=NOW)
        assert not reads_interactions(made_at=NOW - 90 * DAY, last=None, ages=[], before=None, now=NOW)

    @given(
        st.timedeltas(timedelta(0), timedelta(days=20)),
        st.timedeltas(timedelta(0), timedelta(days=20)),
        st.integers(0, 30),
        st.lists(st.timedeltas(timedelta(minutes=50), timedelta(hours=6)), min_size=10, max_size=10),
    )
    def test_each_interaction_is_read_after_it_became_due(
        self, session: timedelta, later: timedelta, days: int, gaps: list[timedelta]
    ) -> None:
        """Whenever walks begin, one that begins after an interaction became due reads it, if none did before."""
        age = max(timedelta(days=days), SETTLED)
        made = NOW - session
        interaction = made + min(later, session)
        now, before, read_at = NOW - timedelta(days=40), NOW - timedelta(days=40) - EVERY, None
        end = interaction + age + 12 * HOUR
        turn = 0
        while now < end:
            due = interaction + age <= now
            if (
                read_at is None
                and due
                and reads_interactions(
                    made_at=made, last=interaction, ages=[timedelta(days=days)], before=before, now=now
                )
            ):
                read_at = now
            before, now, turn = now, now + gaps[turn % len(gaps)], turn + 1
        assert read_at is not None
        assert read_at - (interaction + age) <= max(gaps)

    def test_overlap_outlasts_the_longest_call(self) -> None:
        """A recording is listed by when it began: the overlap reaches back further than the longest call."""
        assert OVERLAP >= LONGEST_CALL + SETTLED + EVERY
