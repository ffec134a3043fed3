"""The sweeper: what is over its time goes; what is not ours, held, unheard or not archived stays; nothing is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from parley import runtime
from parley import sweeping as steps
from parley.adapters.live import Deadline, observe
from parley.adapters.live_twilio import Line
from parley.core.holds import Hold, Subject
from parley.core.record_classes import RecordClass
from parley.core.records import Deletion, Record, Resource, ResourceKind, Stage
from parley.core.sweeping import LISTINGS, Cursor, Partition, Why
from parley.core.verification import OLDEST, Oldest
from parley.handlers import archive, sweep
from parley.ports import QueueError

from local.twilio.messaging import Attachment
from local.twilio.numbers import describe
from local.twilio.routes import sim_apps, sim_records
from tests.handlers.archives import COPY_DAYS, Archives, sqs_event
from tests.handlers.boundaries import at, count, die_at
from tests.handlers.world import ACCOUNT, ANA, BEN, DAY, POOL, STRANGER, World, body, output

HOUR = 3600
ELSEWHERE = "+12125550190"
"""A number of the account that is in no pool of ours."""
SESSION = "KC" + "5" * 32
PARTIES = ("a" * 64, "b" * 64)


@pytest.fixture
def archives(world: World) -> Archives:
    """Give the stores beside the ledger, of a stack whose sweeper has run for a while."""
    found = Archives(world)
    sweep_before(world)
    return found


def sweep_before(world: World) -> None:
    """Leave the cursors of an earlier run of everything, so that no test goes through four hundred days."""
    now = runtime.clock().now()
    for name in ("recording", "recording-fresh", "message", "media", "call", "video-recording", "composition"):
        world.ledger.save_cursor(f"sweep-{name}", Cursor(now - timedelta(hours=1), now).document())


def declare(archives: Archives, **days: int) -> None:
    """Deploy with other days at Twilio."""
    changed = COPY_DAYS | {name.replace("_", "-"): number for name, number in days.items()}
    archives.world.patch.setenv("PARLEY_TWILIO_COPY_DAYS", json.dumps(changed))
    runtime.reset()


def work(archives: Archives, rounds: int = 20) -> int:
    """Hand over the messages of the queue in batches until there is none; return how many there were.

    The clock moves as far as they are delayed.
    """
    count = 0
    for _ in range(rounds):
        messages = archives.waiting("sweep")
        if not messages:
            return count
        count += len(messages)
        if delay := max(each["delay"] for each in messages):
            archives.world.clock.advance(delay)
        event = sqs_event("sweep", *((each["id"], each["body"]) for each in messages))
        assert sweep.handle(event, None) == {"batchItemFailures": []}
    raise AssertionError("the queue is never empty")


def run(world: World, archives: Archives, hours: int = 1) -> None:
    """Let so many hours go by, with the reconciler and the sweeper at work at the end of each."""
    for _ in range(hours):
        world.clock.advance(HOUR)
        world.reconcile()
        sweep.handle({}, None)
        work(archives)


def recorded(world: World, stage: Stage | None = Stage.ARCHIVED, **script: Any) -> str:
    """Put a recording into the account and, with a stage, its record into the ledger; return its SID."""
    (made,) = sim_records.recordings(world.emulator, {"seconds": 3, "to": POOL[0], **script})["recordings"]
    if stage is not None:
        record(world, made["sid"], ResourceKind.RECORDING, stage, parent=made["call_sid"])
    return str(made["sid"])


def record(world: World, sid: str, kind: ResourceKind, stage: Stage, parent: str = "") -> Record:
    """Put a record into the ledger."""
    classes = {ResourceKind.MESSAGE: RecordClass.MESSAGES, ResourceKind.MEDIA: RecordClass.MESSAGE_MEDIA}
    made = Record(
        sid=sid,
        kind=kind,
        record_class=classes.get(kind, RecordClass.CALL_RECORDINGS),
        session=SESSION,
        parent=parent,
        parties=PARTIES,
        consents=("cr_1",),
        made_at=runtime.clock().now(),
        stage=stage,
    )
    return world.ledger.begin_record(made)


def stage_of(world: World, sid: str) -> Stage:
    """Return how far a record has come."""
    found = world.ledger.record(sid)
    assert found is not None
    return found.stage


def at_twilio(world: World, sid: str) -> bool:
    """Tell whether something is still to be read at Twilio."""
    state = world.emulator.carrier.state
    found = state.recordings.get(sid)
    if found is not None:
        return found.status != "deleted"
    return any(sid in each for each in (state.messages, state.calls, state.sessions, state.interactions))


def hold(world: World, subject: str, kind: Subject = Subject.PARTY) -> Hold:
    """Place a legal hold."""
    now = runtime.clock().now()
    placed = Hold("case-1", kind, subject, "a claim", "legal@acme.example", now.date(), now)
    item = {"pk": {"S": "HOLDS"}, "sk": {"S": "HOLD#case-1"}, "hold": {"S": placed.to_json()}}
    world.dynamodb.put_item(TableName="parley-ledger", Item=item)
    return placed


def release(world: World, placed: Hold) -> None:
    """Release a legal hold."""
    over = replace(placed, released_at=runtime.clock().now())
    item = {"pk": {"S": "HOLDS"}, "sk": {"S": "HOLD#case-1"}, "hold": {"S": over.to_json()}}
    world.dynamodb.put_item(TableName="parley-ledger", Item=item)


def masked(session: Mapping[str, Any]) -> str:
    """Return the number that Ana knows in a session."""
    key = runtime.identities().party(ANA)
    return str(next(one["masked_number"] for one in session["participants"] if one["party"] == key))


def sids(outcome: Any) -> tuple[str, str, str]:
    """Return the inbound, the outbound and the interaction of something that passed through a session."""
    return outcome.sid, outcome.outbound_sid, outcome.interaction_sid


class TestRecordings:
    """What was recorded."""

    def test_archived_goes_and_is_seen_to_be_gone(self, world: World, archives: Archives) -> None:
        """A recording whose copy is in the bucket leaves Twilio when its days are over, and its record says so."""
        declare(archives, **{"call-recordings": 1})
        sid = recorded(world)
        run(world, archives, 2)
        assert at_twilio(world, sid)
        world.clock.advance(DAY)
        run(world, archives)
        assert not at_twilio(world, sid)
        assert stage_of(world, sid) is Stage.DELETED
        assert not list(world.ledger.pending_deletions())

    def test_lost_callback_is_made_good(self, world: World, archives: Archives) -> None:
        """A recording whose callback never came is told to the archive an hour after it was done, not before."""
        captured, orphan = recorded(world, Stage.CAPTURED), recorded(world, None)
        sweep.handle({}, None)
        work(archives)
        assert archives.waiting("archive") == []
        run(world, archives, 2)
        told = [each["body"] for each in archives.waiting("archive")]
        assert {each["sid"] for each in told} == {captured, orphan}
        assert all(each["kind"] == "recording" and each["call"].startswith("CA") for each in told)
        assert at_twilio(world, captured)
        assert at_twilio(world, orphan)

    def test_days_do_not_keep_an_orphan_waiting(self, world: World, archives: Archives) -> None:
        """However long Twilio's copy may stay, what nobody archived is found within hours."""
        declare(archives, **{"call-recordings": 30})
        orphan = recorded(world, None)
        run(world, archives, 2)
        assert [each["body"]["sid"] for each in archives.waiting("archive")][:1] == [orphan]

    def test_orphan_is_dropped_in_the_end(self, world: World, archives: Archives) -> None:
        """A recording that nobody agreed to is never stored, and gone from Twilio after the archive has judged it."""
        orphan = recorded(world, None)
        run(world, archives, 2)
        archives.work("archive", archive.handle)
        run(world, archives, 2)
        assert not at_twilio(world, orphan)
        assert archives.objects() == {}
        assert stage_of(world, orphan) is Stage.DISCARDED

    def test_foreign_recordings_are_let_be(self, world: World, archives: Archives) -> None:
        """A recording of a call that never touched our numbers is neither deleted nor archived."""
        own = world.emulator.carrier.numbers.own
        own(ACCOUNT, describe(ELSEWHERE, sms=True, voice=True, mms=False), {})
        foreign = recorded(world, None, to=ELSEWHERE)
        run(world, archives, 3)
        assert at_twilio(world, foreign)
        assert archives.waiting("archive") == []

    def test_under_way_is_let_be(self, world: World, archives: Archives) -> None:
        """A recording that goes on is neither deleted nor archived."""
        live = recorded(world, Stage.CAPTURED, status="in-progress", age=3 * HOUR)
        run(world, archives, 2)
        assert at_twilio(world, live)
        assert archives.waiting("archive") == []

    def test_hold_keeps_only_what_has_no_copy(self, world: World, archives: Archives) -> None:
        """Under a hold Twilio's copy of what is archived goes; what was dropped goes after the release."""
        placed = hold(world, PARTIES[0])
        copied, dropped = recorded(world), recorded(world, Stage.DROPPED)
        run(world, archives, 2)
        assert not at_twilio(world, copied)
        assert at_twilio(world, dropped)
        assert [each.why for each in world.ledger.pending_deletions()] == [Why.HELD]
        release(world, placed)
        world.clock.advance(DAY)
        run(world, archives)
        assert not at_twilio(world, dropped)
        assert stage_of(world, dropped) is Stage.DISCARDED

    def test_somebody_else_deleted_it(self, world: World, archives: Archives) -> None:
        """What somebody deleted at Twilio by hand counts as deleted."""
        sid = recorded(world)
        world.ledger.postpone_deletion(
            Resource(ResourceKind.RECORDING, sid), runtime.clock().now(), runtime.clock().now()
        )
        world.twilio.recordings(sid).delete()
        run(world, archives)
        assert stage_of(world, sid) is Stage.DELETED
        assert not list(world.ledger.pending_deletions())

    def test_deletion_without_effect_is_not_believed(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A record says deleted only when Twilio does not have the recording any more, whatever it answered."""
        sid = recorded(world)
        world.patch.setattr("parley.adapters.twilio_records.TwilioRecords.delete", lambda *_: Deletion.DELETED)
        run(world, archives, 2)
        assert stage_of(world, sid) is Stage.ARCHIVED
        assert "deletion-without-effect" in capsys.readouterr().out


class TestMessages:
    """Texts, in sessions and out of them."""

    def test_all_three_copies_go(self, world: World, archives: Archives) -> None:
        """Inbound and outbound message and interaction, and nothing of anybody else's."""
        session = world.conversation()
        outcome = world.text(ANA, masked(session), "at the corner")
        own = world.emulator.carrier.numbers.own
        own(ACCOUNT, describe(ELSEWHERE, sms=True, voice=True, mms=False), {})
        foreign = world.twilio.messages.create(from_=ELSEWHERE, to=STRANGER, body="hello").sid
        archives.waiting("archive")
        run(world, archives, 2)
        world.clock.advance(DAY)
        run(world, archives, 2)
        assert [at_twilio(world, sid) for sid in sids(outcome)] == [False, False, False]
        assert at_twilio(world, foreign)

    def test_not_before_their_days(self, world: World, archives: Archives) -> None:
        """With two days at Twilio a message is there after one and gone after three."""
        declare(archives, messages=2, **{"interaction-log": 9, "session-map": 9})
        session = world.conversation()
        outcome = world.text(ANA, masked(session), "at the corner")
        world.clock.advance(DAY)
        run(world, archives, 2)
        assert all(at_twilio(world, sid) for sid in sids(outcome))
        world.clock.advance(DAY)
        run(world, archives, 3)
        assert not any(at_twilio(world, sid) for sid in sids(outcome))

    def test_kept_until_archived(self, world: World, archives: Archives) -> None:
        """A message that may be kept and is not archived stays, and goes once it is."""
        outcome = world.text(ANA, POOL[0], "hello")
        record(world, outcome.sid, ResourceKind.MESSAGE, Stage.CAPTURED)
        run(world, archives, 6)
        assert at_twilio(world, outcome.sid)
        before = world.ledger.record(outcome.sid)
        assert before is not None
        assert world.ledger.advance(before, replace(before, stage=Stage.ARCHIVED))
        run(world, archives, 3)
        assert not at_twilio(world, outcome.sid)
        assert stage_of(world, outcome.sid) is Stage.DELETED

    def test_message_takes_its_media_along(self, world: World, archives: Archives) -> None:
        """The records of a message's media say deleted with the message's own."""
        outcome = world.emulator.simulator.text(ANA, POOL[0], "look", [Attachment("https://pictures.example/1.jpg")])
        world.emulator.webhooks.drain()
        media = world.emulator.carrier.state.messages[outcome.sid].media[0]["sid"]
        record(world, outcome.sid, ResourceKind.MESSAGE, Stage.ARCHIVED)
        record(world, media, ResourceKind.MEDIA, Stage.ARCHIVED, parent=outcome.sid)
        run(world, archives, 4)
        assert stage_of(world, outcome.sid) is Stage.DELETED
        assert stage_of(world, media) is Stage.DELETED

    def test_media_may_go_sooner(self, world: World, archives: Archives) -> None:
        """Media of a class with fewer days go, and leave their message."""
        declare(archives, messages=5, **{"message-media": 0})
        outcome = world.emulator.simulator.text(ANA, POOL[0], "look", [Attachment("https://pictures.example/1.jpg")])
        world.emulator.webhooks.drain()
        run(world, archives, 5)
        assert at_twilio(world, outcome.sid)
        assert world.emulator.carrier.state.messages[outcome.sid].media == []

    def test_unheard_stop_word_stays(self, world: World, archives: Archives) -> None:
        """A STOP that the ledger does not have is not deleted, however old, until the reconciler has taken it."""
        session = world.conversation()
        world.text(ANA, masked(session), "hello")
        outcome = world.text(ANA, masked(session), "STOP")
        world.ledger.save_cursor("messages", {"since": runtime.clock().now().isoformat(), "seen": []})
        now = runtime.clock().now()
        for _ in range(4):
            world.clock.advance(2 * HOUR)
            # A reconciler that claims to have read everything and took nothing.
            world.ledger.save_cursor("messages", {"since": runtime.clock().now().isoformat(), "seen": []})
            sweep.handle({}, None)
            work(archives)
        assert at_twilio(world, outcome.sid)
        assert [each.why for each in world.ledger.pending_deletions()] == [Why.UNHEARD]
        world.ledger.save_cursor("messages", {"since": now.isoformat(), "seen": []})
        run(world, archives, 3)
        assert not at_twilio(world, outcome.sid)

    def test_no_message_goes_before_the_reconciler_read_it(self, world: World, archives: Archives) -> None:
        """Without a reconciler no message is deleted at all."""
        outcome = world.text(ANA, POOL[0], "hello")
        for _ in range(6):
            world.clock.advance(HOUR)
            sweep.handle({}, None)
            work(archives)
        assert at_twilio(world, outcome.sid)

    def test_hold_on_a_person_keeps_their_legs(self, world: World, archives: Archives) -> None:
        """Of a person under hold the messages with their number stay: each text of theirs has one; others go."""
        hold(world, runtime.identities().party(ANA))
        hers, bens = world.text(ANA, POOL[0], "hello"), world.text(BEN, POOL[0], "hello")
        run(world, archives, 5)
        assert at_twilio(world, hers.sid)
        assert not at_twilio(world, bens.sid)

    def test_hold_on_a_session_keeps_what_passed_through_it(self, world: World, archives: Archives) -> None:
        """Of a session under hold both legs stay, and the session with its interactions."""
        session = world.conversation()
        outcome = world.text(ANA, masked(session), "at the corner")
        hold(world, session["session"], Subject.SESSION)
        archives.waiting("archive")
        run(world, archives, 3)
        world.clock.advance(3 * DAY)
        run(world, archives, 2)
        assert all(at_twilio(world, sid) for sid in (*sids(outcome), session["session"]))

    def test_hold_on_a_user_keeps_both_legs(self, world: World, archives: Archives) -> None:
        """A person who is known by a user id is held by the sessions in which they were."""
        session = world.conversation()
        outcome = world.text(ANA, masked(session), "at the corner")
        user = runtime.identities().party("user:rider-7")
        pointer = {"pk": {"S": f"PARTY#{user}"}, "sk": {"S": f"PAST#{session['session']}"}}
        world.dynamodb.put_item(TableName="parley-ledger", Item=pointer)
        hold(world, user)
        archives.waiting("archive")
        run(world, archives, 5)
        assert at_twilio(world, outcome.sid)
        assert at_twilio(world, str(outcome.outbound_sid))

    def test_message_that_no_webhook_told_of_is_archived(self, world: World, archives: Archives) -> None:
        """A text that may be kept, and whose callback was lost, is told to the archive by the walk."""
        for party in (ANA, BEN):
            world.consent(party)
            world.consent(party, scope="store_messages")
        session = body(world.open(store=True))
        world.emulator.faults.add({"on": "webhook", "mode": "lost", "match": "^callback"})
        outcome = world.text(ANA, masked(session), "at the corner")
        assert archives.waiting("archive") == []
        run(world, archives, 2)
        told = [each["body"] for each in archives.waiting("archive")]
        assert {each["inbound"] for each in told if each["kind"] == "message"} == {outcome.sid}
        assert stage_of(world, outcome.sid) is Stage.CAPTURED
        assert at_twilio(world, outcome.sid)

    def test_hold_keeps_both_legs_of_what_no_webhook_told_of(self, world: World, archives: Archives) -> None:
        """The walk logs what no callback told of, so that a hold on one person finds the other's leg."""
        session = world.conversation()
        world.emulator.faults.add({"on": "webhook", "mode": "lost", "match": "^callback"})
        passed = [world.text(ANA, masked(session), "at the corner"), world.call(ANA, masked(session))]
        assert world.rows("INTERACTION#") == []
        declare(archives, messages=1, interaction_log=1)
        run(world, archives, 2)
        assert len(world.rows("INTERACTION#")) == 2
        hold(world, world.identities.party(BEN))
        world.clock.advance(DAY)
        run(world, archives, 3)
        for outcome in passed:
            assert at_twilio(world, outcome.sid)
            assert at_twilio(world, str(outcome.outbound_sid))


class TestCalls:
    """Calls, their copies in the bulk export, and the sessions that they passed through."""

    def test_both_legs_and_their_export_go(self, world: World, archives: Archives) -> None:
        """Parent and child leg go with their copies in the account's export, and at last the session."""
        session = world.conversation()
        outcome = world.call(ANA, masked(session))
        state = world.emulator.carrier.state
        assert {outcome.sid, outcome.outbound_sid} <= state.archives.keys()
        archives.waiting("recorder")
        run(world, archives, 2)
        assert at_twilio(world, outcome.sid)
        world.clock.advance(DAY)
        run(world, archives, 8)
        gone = (*sids(outcome), session["session"])
        assert not any(at_twilio(world, sid) for sid in gone)
        assert not {outcome.sid, outcome.outbound_sid} & state.archives.keys()

    def test_call_stays_until_its_recordings_are_known(self, world: World, archives: Archives) -> None:
        """A call stays while it has a recording without a record, since nobody could tell any more whose that is."""
        declare(archives, **{"call-recordings": 30})
        known, orphan = recorded(world), recorded(world, None)
        calls = [world.emulator.carrier.state.recordings[sid].call_sid for sid in (known, orphan)]
        world.clock.advance(DAY)
        run(world, archives, 2)
        assert [at_twilio(world, call) for call in calls] == [False, True]
        assert [each.why for each in world.ledger.pending_deletions()] == [Why.RECORDED]
        archives.work("archive", archive.handle)
        run(world, archives, 2)
        assert not at_twilio(world, calls[1])
        assert not at_twilio(world, orphan)
        assert at_twilio(world, known)

    def test_session_outlasts_the_calls_that_may_go_on_in_it(self, world: World, archives: Archives) -> None:
        """With no days at Twilio a closed session stays as long as a call may last, so that a no still finds it."""
        declare(archives, **{"session-map": 0, "interaction-log": 0})
        session = world.conversation()["session"]
        world.twilio.proxy.v1.services(world.service_sid).sessions(session).update(status="closed")
        run(world, archives, 4)
        assert at_twilio(world, session)
        run(world, archives, 2)
        assert not at_twilio(world, session)

    def test_hold_on_a_session_that_the_ledger_forgot(self, world: World, archives: Archives) -> None:
        """A session that only Twilio knows is held by the numbers of its participants."""
        opened = world.conversation()
        world.twilio.proxy.v1.services(world.service_sid).sessions(opened["session"]).update(status="closed")
        key = {"pk": {"S": f"SESSION#{opened['session']}"}, "sk": {"S": "SESSION"}}
        world.dynamodb.delete_item(TableName="parley-ledger", Key=key)
        placed = hold(world, runtime.identities().party(BEN))
        world.clock.advance(2 * DAY)
        run(world, archives, 2)
        assert at_twilio(world, opened["session"])
        release(world, placed)
        run(world, archives, 2)
        assert not at_twilio(world, opened["session"])

    def test_transcriptions_go(self, world: World, archives: Archives) -> None:
        """A transcription of ours goes, one of a foreign recording stays."""
        own = world.emulator.carrier.numbers.own
        own(ACCOUNT, describe(ELSEWHERE, sms=True, voice=True, mms=False), {})
        made = [
            sim_records.transcriptions(world.emulator, {"recording_sid": recording, "text": "hello"})["sid"]
            for recording in (recorded(world), recorded(world, None, to=ELSEWHERE))
        ]
        run(world, archives, 3)
        assert set(world.emulator.carrier.state.transcriptions) == {made[1]}

    def test_transcription_that_outlived_its_recording_goes_after_a_hold(
        self, world: World, archives: Archives
    ) -> None:
        """One that a hold kept is still known for ours when its recording and the record of that are gone."""
        recording = recorded(world)
        sid = sim_records.transcriptions(world.emulator, {"recording_sid": recording, "text": "hello"})["sid"]
        placed = hold(world, PARTIES[0])
        run(world, archives, 3)
        transcriptions = world.emulator.carrier.state.transcriptions
        assert set(transcriptions) == {sid}
        assert not at_twilio(world, recording)
        world.dynamodb.delete_item(
            TableName="parley-ledger", Key={"pk": {"S": f"RECORD#{recording}"}, "sk": {"S": "RECORD"}}
        )
        release(world, placed)
        run(world, archives, 2)
        assert set(transcriptions) == set()


class TestRefusals:
    """What Twilio does not do at once."""

    def test_unfinished_is_asked_for_again(self, world: World, archives: Archives) -> None:
        """What Twilio has not finished waits a minute, then longer, and goes; two weeks later it counts as overdue."""
        sid = recorded(world)
        refusal = {"on": "rest", "mode": "error", "match": f"DELETE .*{sid}", "status": 400, "code": 20009}
        world.emulator.faults.add(refusal)
        for _ in range(2):
            run(world, archives)
        (waits,) = world.ledger.pending_deletions()
        assert waits.why is Why.REFUSED
        assert waits.attempts >= 3
        assert not waits.is_overdue(runtime.clock().now())
        world.clock.advance(15 * DAY)
        (waits,) = world.ledger.pending_deletions()
        assert waits.is_overdue(runtime.clock().now())
        world.emulator.faults.clear()
        sweep_before(world)
        run(world, archives)
        assert not at_twilio(world, sid)
        assert stage_of(world, sid) is Stage.DELETED
        assert not list(world.ledger.pending_deletions())

    def test_overdue_is_told(self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]) -> None:
        """What Twilio has refused for more than two weeks is a metric and a line of the log, and still tried."""
        now = runtime.clock().now()
        world.ledger.postpone_deletion(Resource(ResourceKind.CALL, "CA" + "7" * 32), now, now - timedelta(days=15))
        sweep.handle({}, None)
        logged, measured = output(capsys)
        assert [line["resource"] for line in logged if line["event"] == "deletion-overdue"] == ["CA" + "7" * 32]
        assert [line["DeletionsOverdue"] for line in measured if "DeletionsOverdue" in line] == [1]
        work(archives)
        assert not list(world.ledger.pending_deletions())

    def test_refusal_of_one_resource_stops_nothing_else(self, world: World, archives: Archives) -> None:
        """A resource that Twilio refuses to delete for whatever reason waits; the others go."""
        stubborn, other = recorded(world), recorded(world)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": f"DELETE .*{stubborn}", "status": 409})
        run(world, archives, 2)
        assert at_twilio(world, stubborn)
        assert not at_twilio(world, other)

    def test_outage_brings_the_work_back(self, world: World, archives: Archives) -> None:
        """While Twilio fails a message fails with it; what comes again does the rest."""
        sid = recorded(world)
        world.clock.advance(2 * HOUR)
        sweep.handle({}, None)
        messages = archives.waiting("sweep")
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "DELETE"})
        event = sqs_event("sweep", *((each["id"], each["body"]) for each in messages))
        failed = sweep.handle(event, None)["batchItemFailures"]
        assert 0 < len(failed) < len(messages)
        world.emulator.faults.clear()
        assert sweep.handle(event, None) == {"batchItemFailures": []}
        assert stage_of(world, sid) is Stage.DELETED

    def test_too_many_requests_slow_all_workers_down(self, world: World, archives: Archives) -> None:
        """A refusal with 429 halves the limit that all workers share, and what was refused is done all the same."""
        world.patch.setattr("parley.adapters.twilio_sweep.PAUSE_SECONDS", 0.0)
        made = [recorded(world) for _ in range(5)]
        world.clock.advance(2 * HOUR)
        sweep.handle({}, None)
        world.emulator.faults.add({"on": "rest", "mode": "throttle", "match": "DELETE", "times": 3})
        work(archives)
        assert not any(at_twilio(world, sid) for sid in made)
        limit = world.ledger.request_limit("api")
        assert limit.refused_at is not None
        assert limit.whole == 50

    def test_account_that_takes_nothing(self, world: World, archives: Archives) -> None:
        """While Twilio refuses every request for too many at once the message fails, and does the rest when it ends."""
        world.patch.setattr("parley.adapters.twilio_sweep.PAUSE_SECONDS", 0.0)
        sid = recorded(world)
        world.clock.advance(2 * HOUR)
        sweep.handle({}, None)
        messages = archives.waiting("sweep")
        event = sqs_event("sweep", *((each["id"], each["body"]) for each in messages))
        world.emulator.faults.add({"on": "rest", "mode": "throttle"})
        assert len(sweep.handle(event, None)["batchItemFailures"]) == len(messages)
        assert world.ledger.request_limit("proxy").refused_at is not None
        world.emulator.faults.clear()
        assert sweep.handle(event, None) == {"batchItemFailures": []}
        assert not at_twilio(world, sid)

    def test_account_with_few_places(self, world: World, archives: Archives) -> None:
        """Where Twilio takes four requests at once everything is deleted in the end, and nothing fails."""
        world.patch.setattr("parley.adapters.twilio_sweep.PAUSE_SECONDS", 0.01)
        world.patch.setattr("parley.core.limiter.HOLD_OFF", timedelta(0))
        made = [recorded(world) for _ in range(12)]
        world.clock.advance(2 * HOUR)
        sweep.handle({}, None)
        world.emulator.concurrency.most = 4
        try:
            work(archives)
        finally:
            world.emulator.concurrency.most = None
        assert not any(at_twilio(world, sid) for sid in made)


class TestSchedule:
    """What is handed out."""

    def test_first_run_goes_through_everything(self, world: World) -> None:
        """The first run of a stack hands out all of Twilio's past, month by month, and the next one an hour more."""
        archives = Archives(world)
        world.patch.setattr("parley.core.sweeping.LOOK_BACK", timedelta(days=90))
        world.reconcile()
        sweep.handle({}, None)
        first = Counter(each["body"]["kind"] for each in archives.waiting("sweep"))
        assert first["recording"] in {4, 5}
        assert first["session"] == 1
        assert first["message"] == 0  # no walk has seen which texts are still to be archived
        world.clock.advance(HOUR)
        sweep.handle({}, None)
        second = Counter(each["body"]["kind"] for each in archives.waiting("sweep"))
        assert 1 <= second["recording"] <= 8

    def test_cursor_stays_where_the_queue_took_nothing(self, world: World, archives: Archives) -> None:
        """While the queue takes nothing, nothing counts as handed out, and the run fails aloud."""
        before = world.ledger.load_cursor("sweep-recording")

        def refuse(*_: object, **__: object) -> None:
            raise QueueError("SQS: down")

        world.clock.advance(HOUR)
        with world.patch.context() as patch:
            patch.setattr("parley.adapters.queues.Queues.send", refuse)
            with pytest.raises(sweep.SweepIncompleteError):
                sweep.handle({}, None)
        assert world.ledger.load_cursor("sweep-recording") == before
        run(world, archives)
        assert world.ledger.load_cursor("sweep-recording") != before

    def test_walk_that_died_is_begun_anew(self, world: World, archives: Archives) -> None:
        """No second walk begins while one goes on; one that nobody heard of for hours is begun anew."""
        walks = []
        for _ in range(8):
            sweep.handle({}, None)
            walks.append(sum(each["body"].get("walk") is not None for each in archives.waiting("sweep")))
            world.clock.advance(HOUR)
        assert walks == [2, 0, 0, 0, 0, 0, 2, 0]

    def test_unreadable_work_is_passed_over(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A message that names no work is told and never comes again."""
        bad: tuple[Any, ...] = (
            {"kind": "recording"},
            {"kind": "session", "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"},
            {"kind": "recording", "walk": "2026-01-01T00:00:00Z", "page": ""},
            {"deletions": [{"kind": "call", "sid": "../../Calls", "parent": "", "body": False}]},
            ["kind"],
        )
        event = sqs_event("sweep", *((f"m{place}", each) for place, each in enumerate(bad)))
        assert sweep.handle(event, None) == {"batchItemFailures": []}
        assert sum(line["event"] == "message-unreadable" for line in output(capsys)[0]) == len(bad)
        assert archives.waiting("sweep") == []

    def test_holds_are_refreshed(self, world: World, archives: Archives) -> None:
        """Each run has every active hold applied to what was written since."""
        hold(world, SESSION, Subject.SESSION)
        sweep.handle({}, None)
        assert [each["body"] for each in archives.waiting("holds")] == [{"hold": "case-1"}]

    def test_stretch_that_does_not_fit_a_page_is_cut(self, world: World, archives: Archives) -> None:
        """A partition with more than a page is cut into shorter ones until each fits, and everything goes."""
        world.patch.setattr("parley.core.sweeping.LISTINGS", small_pages(2))
        made = [recorded(world) for _ in range(7)]
        world.clock.advance(90 * 60)
        made += [recorded(world) for _ in range(5)]
        world.clock.advance(2 * HOUR)
        sweep_before(world)
        sweep.handle({}, None)
        cut = work(archives)
        assert not any(at_twilio(world, sid) for sid in made)
        sweep_before(world)
        sweep.handle({}, None)
        assert work(archives) < cut

    def test_time_that_runs_out_leaves_the_rest_for_later(self, world: World, archives: Archives) -> None:
        """A worker that is near its end sends what is left back to the queue and does not fail."""
        sid = recorded(world)
        world.clock.advance(2 * HOUR)
        sweep.handle({}, None)
        messages = archives.waiting("sweep")
        over = SimpleNamespace(get_remaining_time_in_millis=lambda: 0)
        world.patch.setattr(sweep, "seconds_left", lambda _: -1.0)
        event = sqs_event("sweep", *((each["id"], each["body"]) for each in messages))
        assert sweep.handle(event, over) == {"batchItemFailures": []}
        again = archives.waiting("sweep")
        assert [each["body"] for each in again] == [each["body"] for each in messages]
        world.patch.setattr(sweep, "seconds_left", lambda _: 60.0)
        event = sqs_event("sweep", *((each["id"], each["body"]) for each in again))
        sweep.handle(event, None)
        assert not at_twilio(world, sid)

    def test_rehearsal_deletes_nothing(self, world: World, archives: Archives) -> None:
        """A dry run tells what would go and what is kept, and leaves everything as it is."""
        world.reconcile()
        gone, kept = recorded(world), recorded(world, None)
        outcome = world.text(ANA, POOL[0], "hello")
        run(world, archives)
        world.clock.advance(HOUR)
        world.reconcile()
        rows = world.rows()
        told = sweep.handle({"dry_run": True}, None)
        assert told["complete"]
        assert told["kinds"]["recording"]["delete"] >= 1
        assert told["kinds"]["recording"]["archive"] >= 1
        assert "oldest" in told["kinds"]["recording"]
        assert world.rows() == rows
        assert all(at_twilio(world, sid) for sid in (gone, kept, outcome.sid))


class Inline:
    """A thread that does its work where it is started, so that a killed worker dies as a whole."""

    def __init__(self, target: Any, daemon: bool) -> None:
        self._target = target
        assert daemon

    def start(self) -> None:
        """Do the work."""
        self._target()

    def join(self) -> None:
        """Return at once: it is done."""


class TestKilled:
    """A worker that dies before or after any call to DynamoDB, SQS or Twilio."""

    def test_deletion(self, world: World, archives: Archives) -> None:
        """Wherever a worker dies, the message that comes again leaves nothing at Twilio and every record right."""
        self._one_lane(world)
        message = self._message(world, recorded(world))
        calls = count(lambda: hand_over(message))
        assert {"delete-recording", "fetch-recording", "update_item", "transact_write_items"} <= set(calls)
        for number in range(len(calls)):
            for after in (False, True):
                sid = recorded(world)
                message = self._message(world, sid)
                die_at(number, after=after, act=lambda message=message: hand_over(message))  # type: ignore[misc]
                hand_over(message)
                # What was deleted before its end was written is found by the row that waits.
                world.clock.advance(2 * HOUR)
                sweep.handle({}, None)
                work(archives)
                assert not at_twilio(world, sid), (number, after)
                assert stage_of(world, sid) is Stage.DELETED, (number, after)
                assert not list(world.ledger.pending_deletions()), (number, after)

    def test_no_record_says_deleted_too_soon(self, world: World, archives: Archives) -> None:
        """At no moment does a record say deleted while Twilio still has the recording."""
        self._one_lane(world)
        number = 0
        while True:
            sid = recorded(world)
            seen: list[tuple[bool, Stage]] = []

            def look(sid: str = sid, seen: list[tuple[bool, Stage]] = seen) -> None:
                seen.append((at_twilio(world, sid), stage_of(world, sid)))

            message = self._message(world, sid)
            with at(number, after=True, happen=look) as boundary:
                hand_over(message)
            if not boundary.came:
                break
            assert (True, Stage.DELETED) not in seen, boundary.calls
            number += 1
        assert number > 5

    def test_schedule(self, world: World, archives: Archives) -> None:
        """Wherever the schedule's run dies, the next one hands out what that one did not."""
        self._one_lane(world)
        world.reconcile()
        runs = len(count(lambda: sweep.handle({}, None)))
        archives.waiting("sweep")
        for number in range(runs):
            sid = recorded(world)
            world.clock.advance(2 * HOUR)
            sweep_before(world)
            die_at(number, after=True, act=lambda: sweep.handle({}, None))
            world.clock.advance(HOUR)
            sweep.handle({}, None)
            work(archives)
            assert not at_twilio(world, sid), number

    def _one_lane(self, world: World) -> None:
        world.patch.setattr(steps, "LANES", 1)
        world.patch.setattr(steps, "Thread", Inline)

    def _message(self, world: World, sid: str) -> dict[str, Any]:
        """Return the message of the partition in which a recording is, when it is over its time."""
        made = runtime.clock().now()
        world.clock.advance(2 * HOUR)
        part = Partition(ResourceKind.RECORDING, made - timedelta(minutes=10), made + timedelta(minutes=10))
        assert at_twilio(world, sid)
        return dict(part.message())


def hand_over(message: Mapping[str, Any]) -> None:
    """Hand a message over as Lambda does; it may fail, but for good."""
    sweep.handle(sqs_event("sweep", ("m", message)), None)


class TestAges:
    """What `parley verify` reads at Twilio after the sweeper's runs."""

    def test_nothing_is_ever_over_its_time(self, world: World, archives: Archives) -> None:
        """On a stack with traffic every day no copy at Twilio is older than its days and the day of the sweeper."""
        days = {"call-recordings": 1, "messages": 2, "message-media": 2, "interaction-log": 3, "session-map": 2}
        declare(archives, **days)
        world.patch.setattr("parley.core.sweeping.LOOK_BACK", timedelta(days=6))
        world.patch.setattr("parley.core.sweeping.LONG_GAP", timedelta(hours=8))
        seen: Counter[str] = Counter()
        for day in range(8):
            session = world.conversation()
            passed = [world.text(ANA, masked(session), f"on day {day}"), world.call(ANA, masked(session))]
            assert all(each.connected for each in passed)
            recorded(world, Stage.ARCHIVED if day % 2 else None)
            world.text(STRANGER, POOL[1], "who is this?")
            world.clock.advance(DAY - 2 * HOUR)
            for _ in range(2):
                run(world, archives)
                archives.work("archive", archive.handle)
                archives.waiting("recorder")
            for name, oldest in self._ages(world, {name: each + 1 for name, each in days.items()}).items():
                assert oldest.over == 0, (day, name, oldest)
            seen += Counter({name: 1 for name, one in self._ages(world, dict.fromkeys(days, 1)).items() if one.at})
        # The reads are not blind: with a day as the limit there is something over it.
        assert {"call-recordings", "messages", "interaction-log", "session-map"} <= seen.keys()

    def _ages(self, world: World, days: Mapping[str, int]) -> dict[str, Oldest]:
        deadline = Deadline(60)
        line = Line(runtime.carrier(), runtime.clock().now(), deadline)
        found = observe(line.reads({"name": world.service_sid, "expected": {OLDEST: days}}), deadline)
        ages: dict[str, Oldest] = found["twilio", world.service_sid][OLDEST]
        return ages


class TestChannels:
    """Video and chat, where a stack has them."""

    def test_conversations(self, world: World, archives: Archives) -> None:
        """Messages of our conversations go by their days, a closed conversation by its own; others' stay."""
        world.patch.setenv("PARLEY_CHANNELS", json.dumps(["voice", "sms", "chat"]))
        runtime.reset()
        chat = world.twilio.conversations.v1.conversations
        own = chat.create(unique_name="local-ride-1").sid
        foreign = chat.create(unique_name="sales-1").sid
        texts = {sid: chat(sid).messages.create(body="hello", author="ana").sid for sid in (own, foreign)}
        run(world, archives, 3)
        assert chat(own).messages.list() == []
        assert [each.sid for each in chat(foreign).messages.list()] == [texts[foreign]]
        chat(own).update(state="closed")
        world.clock.advance(DAY)
        run(world, archives, 3)
        assert {each.sid for each in chat.list()} == {foreign}

    def test_video(self, world: World, archives: Archives) -> None:
        """Of our rooms what is archived or dropped goes, what nobody archived is told; others' recordings stay."""
        world.patch.setenv("PARLEY_CHANNELS", json.dumps(["voice", "sms", "video"]))
        runtime.reset()
        made: dict[str, list[str]] = {}
        for name in ("local-room-1", "webinar"):
            video = world.twilio.video.v1
            room = video.rooms.create(unique_name=name).sid
            joined = sim_apps.join(world.emulator, {"room": room, "identity": "ana"})["participant_sid"]
            tracks = {"participant_sid": joined, "seconds": 5, "count": 2}
            made[name] = sim_apps.track_recordings(world.emulator, tracks)["recordings"]
            sim_apps.leave(world.emulator, {"participant_sid": joined})
            video.rooms(room).update(status="completed")
            made[name].append(video.compositions.create(room_sid=room, audio_sources="*").sid)
        archived, orphan, composed = made["local-room-1"]
        record(world, archived, ResourceKind.VIDEO_RECORDING, Stage.ARCHIVED)
        record(world, composed, ResourceKind.COMPOSITION, Stage.ARCHIVED)
        world.clock.advance(HOUR)
        run(world, archives, 2)
        left = {each.sid for each in world.twilio.video.v1.recordings.list() if each.status != "deleted"}
        assert archived not in left
        assert {orphan, *made["webinar"][:2]} <= left
        assert {stage_of(world, sid) for sid in (archived, composed)} == {Stage.DELETED}
        told = [each["body"] for each in archives.waiting("archive")]
        assert {(each["kind"], each["sid"], each["room"][:2]) for each in told} == {("video-recording", orphan, "RM")}
        kept = {each.sid for each in world.twilio.video.v1.compositions.list() if each.status != "deleted"}
        assert kept == {made["webinar"][2]}


def small_pages(size: int) -> Mapping[ResourceKind, Any]:
    """Return the listings with pages of so few entries."""
    return {kind: replace(listing, page=size) for kind, listing in LISTINGS.items()}
