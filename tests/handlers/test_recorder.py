"""Recordings of calls: begun with everybody's consent, never twice, and over as soon as it is gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from parley import recordings, runtime
from parley.core.recording import LEASE, PATIENCE, Capture, Phase
from parley.core.records import Record, Stage
from parley.handlers import consents, recorder
from parley.withdrawal import Closed

from local.twilio.simulator import Ring
from tests.handlers.archives import Archives, sqs_event
from tests.handlers.boundaries import at, count, die_at
from tests.handlers.world import ANA, BEN, World, body, deliver, lines, load, output, problem_of

STARTING = ["get_item", "get_item", "transact_get_items", "transact_write_items", "start-recording"]
STARTING += ["get_item", "transact_get_items", "get_item", "transact_write_items"]
RESUMING = ["get_item", "get_item", "get_item", "transact_get_items", "get_item", "transact_write_items"]
RESUMING += ["set-recording", "get_item", "transact_get_items"]
STOPPING = ["transact_get_items", "transact_write_items", "query", "transact_get_items", "transact_get_items", "query"]
STOPPING += ["query", "transact_get_items", "get_item", "transact_get_items", "get_item", "transact_write_items"]
STOPPING += ["set-recording", "get_item", "get_item", "transact_write_items", "get_item", "transact_write_items"]
everywhere = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
ORDER = "POST api.*/Calls/CA[0-9a-f]+/Recordings.json"
CHANGE = "POST api.*/Recordings/RE"
CALLER = "arn:aws:sts::123456789012:assumed-role/app/app"


def boundaries(calls: list[str]) -> Callable[[Any], Any]:
    """Run a test once for each call that the recorder makes to the outside."""
    return pytest.mark.parametrize("number", range(len(calls)), ids=[f"{n}-{name}" for n, name in enumerate(calls)])


class Line:
    """A call between Ana and Ben that both let be recorded, and the recorder's queue."""

    def __init__(self, world: World, *, holds: bool = True, agreed: tuple[str, ...] = (ANA, BEN)) -> None:
        self.world = world
        self.archives = Archives(world)
        for who in (ANA, BEN):
            world.consent(who)
        for who in agreed:
            world.consent(who, scope="record_voice")
        opened = world.open(record=["voice"])
        assert opened["statusCode"] == 201, opened
        self.session: str = body(opened)["session"]
        self.masked: str = body(opened)["participants"][0]["masked_number"]
        self.call = world.call(ANA, self.masked, Ring(hold=holds)).sid

    @property
    def capture(self) -> Capture:
        """What the ledger knows of the recording, which must be there."""
        found = self.world.ledger.capture(self.call)
        assert found is not None
        return found

    @property
    def record(self) -> Record:
        """The record of the recording, which must be there."""
        (record,) = self.world.ledger.records_in(self.session)
        return record

    def recordings(self, *statuses: str) -> list[str]:
        """Return the SIDs of the call's recordings at Twilio, in these states if any are given."""
        found = self.world.emulator.carrier.recordings.of_call(self.call)
        return [one.sid for one in found if not statuses or one.status in statuses]

    def work(self) -> int:
        """Let the recorder work off its queue."""
        return self.archives.work("recorder", recorder.handle)

    def look_after(self) -> None:
        """Let the schedule fire once, and the queue be worked off."""
        recorder.handle({}, None)
        self.work()

    def ask(self, verb: str, sid: str | None = None) -> dict[str, Any]:
        """Let the application pause, resume or stop."""
        loaded = load("sessions-post")["event"]
        path = f"/v1/calls/{sid or self.call}/{verb}"
        parameters = {"sid": sid or self.call}
        return deliver({**loaded, "rawPath": path, "pathParameters": parameters, "body": ""})

    def ring(self, status: str) -> None:
        """Put both legs of the call into a state, as if the phone rang yet or was answered."""
        carrier = self.world.emulator.carrier
        with carrier.lock:
            for leg in carrier.voice.legs(carrier.state.calls[self.call]):
                leg.status = status

    def message(self, attempt: int = 0) -> dict[str, Any]:
        """Return the event that hands over one message about the call."""
        return sqs_event("recorder", ("m", {"session": self.session, "call": self.call, "attempt": attempt}))

    def say(self, who: str, state: str, scope: str = "record_voice") -> dict[str, Any]:
        """Let somebody say something about a consent."""
        return self.world.consent(who, state, scope=scope)


@pytest.fixture
def line(world: World) -> Line:
    """Give a call that goes on, of which the recorder has heard nothing yet."""
    return Line(world)


class TestStarting:
    """A recording begins when the call does and everybody consents at that instant."""

    def test_is_recorded_with_a_record(self, line: Line, capsys: pytest.CaptureFixture[str]) -> None:
        """Both channels are recorded once, on the inbound leg, and the record names the people and their consents."""
        line.work()
        (sid,) = line.recordings("in-progress")
        made = line.world.emulator.carrier.state.recordings[sid]
        assert (made.channels, made.callback_url) == (2, "https://gate.example.com/twilio/recording")
        session = line.world.session(line.session)
        record = line.record
        assert (record.sid, record.parent, record.session) == (sid, line.call, line.session)
        assert (record.stage, set(record.parties)) == (Stage.CAPTURED, set(session.parties))
        assert len(record.consents) == 2
        assert [one.sid for one in line.world.ledger.records_of(session.parties[0])] == [sid]
        assert (line.capture.phase, line.capture.recording) == (Phase.RECORDING, sid)
        said, measured = output(capsys)
        assert "recording-started" in {each["event"] for each in said}
        assert any(each.get("RecordingsStarted") == 1 for each in measured)
        assert ANA not in str(line.world.rows()) + str(said)

    def test_callbacks_that_come_again_start_one(self, line: Line) -> None:
        """Whatever the number of callbacks and messages there is one recording."""
        line.work()
        for status in ("ringing", "in-progress", "in-progress"):
            line.world.webhook(
                "interaction",
                interactionSessionSid=line.session,
                interactionType="Voice",
                interactionData="",
                inboundParticipantSid=line.world.session(line.session).participants[0].sid,
                outboundParticipantSid="",
                inboundResourceSid=line.call,
                outboundResourceStatus=status,
            )
        recorder.handle(line.message(), None)
        line.work()
        assert len(line.recordings()) == 1

    def test_calls_are_those_of_the_order(self, line: Line) -> None:
        """The claim is written before Twilio is asked, and what came of it after the consents were read again."""
        assert count(lambda: recorder.handle(line.message(), None)) == STARTING

    @pytest.mark.parametrize("agreed", [(), (ANA,)])
    def test_without_the_session_permitting_it_nothing_happens(self, world: World, agreed: tuple[str, ...]) -> None:
        """Where somebody had not agreed when the session opened no message is even sent."""
        line = Line(world, agreed=agreed)
        assert line.work() == 0
        assert line.recordings() == []

    @pytest.mark.parametrize("state", ["withdrawn", "refused"])
    def test_no_before_the_start_is_heeded(self, line: Line, state: str, capsys: pytest.CaptureFixture[str]) -> None:
        """What was permitted at the opening and is not any more does not begin, and is logged with whose it is."""
        line.say(BEN, state)
        line.work()
        assert line.recordings() == []
        assert (line.capture.phase, line.capture.reason) == (Phase.GIVEN_UP, "stopped-by-withdrawal")
        said = [each for each in lines(capsys) if each.get("handler") == "recorder"]
        assert said[0]["decision"] == "deny"
        assert said[0]["reasons"][0].startswith(f"record_voice-{state}:")

    def test_session_that_was_closed_is_not_recorded(self, line: Line) -> None:
        """A call that goes on after its session was closed does not begin to be recorded."""
        line.world.get("sessions-delete", line.session)
        line.work()
        assert (line.recordings(), line.capture.reason) == ([], "session-closed")

    def test_unknown_session_is_passed_over(self, line: Line, capsys: pytest.CaptureFixture[str]) -> None:
        """A message about a session that nobody knows is logged and done."""
        message = {"session": "KC" + "0" * 32, "call": "CA" + "0" * 32, "attempt": 0}
        assert recorder.handle(sqs_event("recorder", ("m", message)), None) == {"batchItemFailures": []}
        assert any(each.get("reason") == "session-unknown" for each in lines(capsys))

    def test_person_whom_the_session_does_not_know_stops_it(self, line: Line) -> None:
        """Somebody in the call whose consent nobody has ends its recording, or keeps it from beginning."""
        line.work()
        change: dict[str, Any] = {
            "interactionSessionSid": line.session,
            "interactionType": "Voice",
            "interactionData": "",
            "inboundParticipantSid": line.world.session(line.session).participants[0].sid,
            "outboundParticipantSid": "KP" + "0" * 32,
            "inboundResourceSid": line.call,
            "outboundResourceStatus": "in-progress",
        }
        assert line.world.webhook("interaction", **change)["statusCode"] == 204
        assert (line.capture.phase, line.capture.reason) == (Phase.STOPPED, "participant-unknown")
        assert line.recordings("in-progress") == []
        another = "CA" + "9" * 32
        line.world.webhook(
            "interaction", **{**change, "inboundResourceSid": another, "interactionSid": "KI" + "9" * 32}
        )
        found = line.world.ledger.capture(another)
        assert found is not None
        assert (found.phase, found.reason) == (Phase.GIVEN_UP, "participant-unknown")
        assert line.archives.waiting("recorder") == []

    def test_queue_that_is_down_is_told(self, world: World) -> None:
        """A callback whose message could not be sent is answered 503, so that it is not taken for done."""
        line = Line(world, holds=False)
        line.archives.sqs.delete_queue(QueueUrl=line.archives.urls["recorder"])
        session = world.session(line.session)
        answer = world.webhook(
            "interaction",
            interactionSessionSid=line.session,
            interactionType="Voice",
            interactionData="",
            inboundParticipantSid=session.participants[0].sid,
            outboundParticipantSid=session.participants[1].sid,
            inboundResourceSid="CA" + "8" * 32,
            outboundResourceStatus="ringing",
        )
        assert answer["statusCode"] == 503


class TestPatience:
    """A call can only be recorded once it is in progress, so it is asked again, and not for ever."""

    def test_call_that_rings_is_asked_again(self, line: Line) -> None:
        """21220 while it rings is followed by attempts a second or more apart, until it is answered."""
        line.ring("ringing")
        line.archives.waiting("recorder")
        waited = []
        for attempt in range(5):
            recorder.handle(line.message(attempt), None)
            (message,) = line.archives.waiting("recorder")
            assert message["body"]["attempt"] == attempt + 1
            waited.append(message["delay"])
        assert waited == [1, 1, 2, 2, 5]
        assert line.capture.phase is Phase.WAITING
        line.ring("in-progress")
        recorder.handle(line.message(5), None)
        assert len(line.recordings("in-progress")) == 1

    def test_stale_message_does_nothing(self, line: Line) -> None:
        """A message of an earlier attempt is left alone: another one goes on with the call."""
        line.ring("ringing")
        recorder.handle(line.message(), None)
        line.ring("in-progress")
        recorder.handle(line.message(0), None)
        assert line.recordings() == []
        recorder.handle(line.message(1), None)
        assert len(line.recordings()) == 1

    def test_ringing_for_too_long_is_given_up(self, line: Line, capsys: pytest.CaptureFixture[str]) -> None:
        """After a minute and a half nobody asks any more; whoever answers then is recorded all the same."""
        line.ring("ringing")
        start = line.world.clock.now()
        line.work()
        assert (line.capture.phase, line.capture.reason) == (Phase.GIVEN_UP, "not-connected-in-time")
        assert 0 <= line.world.clock.now() - start - PATIENCE.total_seconds() <= 10
        assert any(each["event"] == "recording-given-up" for each in lines(capsys))
        line.ring("in-progress")
        session = line.world.session(line.session)
        line.world.webhook(
            "interaction",
            interactionSessionSid=line.session,
            interactionType="Voice",
            interactionData="",
            inboundParticipantSid=session.participants[0].sid,
            outboundParticipantSid=session.participants[1].sid,
            inboundResourceSid=line.call,
            outboundResourceStatus="in-progress",
        )
        line.work()
        assert len(line.recordings("in-progress")) == 1

    def test_call_that_ends_first_is_given_up(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A call that is over before it could be recorded is given up with the reason, and nothing is asked again."""
        line = Line(world, holds=False)
        line.work()
        assert (line.recordings(), line.capture.reason) == ([], "call-over")
        assert any(each.get("reason") == "call-over" for each in lines(capsys))

    def test_call_that_was_deleted_is_given_up(self, line: Line) -> None:
        """A call that Twilio does not know any more is given up."""
        line.world.emulator.faults.add({"on": "rest", "mode": "error", "match": ORDER, "status": 404})
        line.work()
        assert line.capture.reason == "call-over"

    def test_refusal_that_no_repeat_mends_is_given_up(self, line: Line, capsys: pytest.CaptureFixture[str]) -> None:
        """What Twilio refuses for another reason is given up as an error, with its code."""
        line.world.emulator.faults.add({"on": "rest", "mode": "error", "match": ORDER, "status": 400, "code": 20001})
        line.work()
        said = [each for each in lines(capsys) if each["event"] == "recording-given-up"]
        assert [(each["level"], each["reason"], each["code"]) for each in said] == [("ERROR", "carrier-refused", 20001)]

    @pytest.mark.parametrize(
        "fault",
        [
            {"mode": "error", "status": 408, "code": 16114},
            {"mode": "error", "status": 429, "code": 20429, "times": 4},
            {"mode": "error", "status": 503},
            {"mode": "lost-answer"},
        ],
        ids=lambda fault: str(fault.get("status", "lost")),
    )
    def test_trouble_is_tried_again_and_ends_in_one(self, line: Line, fault: dict[str, Any]) -> None:
        """Busy, throttled, down, or an answer that was lost after its effect: in the end there is one recording."""
        line.world.emulator.faults.add({"on": "rest", "match": ORDER, "times": 1, **fault})
        line.work()
        assert len(line.recordings()) == 1
        assert (line.capture.phase, line.record.sid) == (Phase.RECORDING, line.recordings()[0])

    def test_call_whose_state_nobody_tells_is_asked_again(self, line: Line) -> None:
        """While Twilio does not say whether the call is over, it may be answered yet."""
        line.ring("ringing")
        line.world.emulator.faults.add({"on": "rest", "mode": "error", "match": "GET api.*/Calls/CA", "status": 503})
        recorder.handle(line.message(), None)
        assert line.capture.phase is Phase.WAITING

    def test_outage_longer_than_the_patience_is_looked_into(self, line: Line) -> None:
        """What may have begun during an outage is looked for when it is over, and is not begun so late."""
        fault = {"on": "rest", "mode": "error", "match": "api.*/Recordings.json", "status": 503}
        line.world.emulator.faults.add(fault)
        line.work()
        assert line.capture.phase is Phase.STARTING
        line.world.clock.advance(60)
        line.world.emulator.faults.clear()
        line.look_after()
        assert (line.recordings(), line.capture.reason) == ([], "not-connected-in-time")


class TestDying:
    """Killed at each boundary, the recorder leaves nothing that is not found."""

    @everywhere
    @boundaries(STARTING)
    def test_message_that_comes_again_ends_in_one(self, line: Line, number: int, after: bool) -> None:
        """Whoever dies leaves a message that comes again when the claim has run out; then there is one recording."""
        assert die_at(number, after=after, act=lambda: recorder.handle(line.message(), None))
        line.world.clock.advance(60)
        recorder.handle(line.message(), None)
        line.work()
        assert len(line.recordings()) == 1
        assert line.capture.phase is Phase.RECORDING
        assert (line.record.sid, line.record.stage) == (line.recordings()[0], Stage.CAPTURED)

    @everywhere
    @boundaries(STARTING)
    def test_without_its_message_it_is_looked_after(self, line: Line, number: int, after: bool) -> None:
        """Should the message be lost as well, the minute's check takes over whatever may have begun."""
        line.archives.waiting("recorder")
        die_at(number, after=after, act=lambda: recorder.handle(line.message(), None))
        line.world.clock.advance(60)
        line.look_after()
        begun = line.recordings("in-progress")
        kept = [record.sid for record in line.world.ledger.records_in(line.session)]
        assert begun == kept

    @everywhere
    @boundaries(STARTING)
    def test_no_at_any_moment_wins(self, line: Line, number: int, after: bool) -> None:
        """Whenever somebody says no while a recording begins it does not go on, and only an accepted one is kept."""
        line.archives.waiting("recorder")
        with at(number, after=after, happen=lambda: line.say(BEN, "withdrawn")) as boundary:
            recorder.handle(line.message(), None)
        assert boundary.came
        assert line.recordings("in-progress", "paused") == []
        accepted = number == len(STARTING) - 1 and after
        stages = {record.stage for record in line.world.ledger.records_in(line.session)}
        assert stages <= ({Stage.CAPTURED} if accepted else {Stage.DROPPED})
        line.work()
        assert line.recordings("in-progress", "paused") == []

    @everywhere
    @boundaries(STARTING)
    def test_no_over_a_dead_recorder_wins(self, line: Line, number: int, after: bool) -> None:
        """A no that is said while the recorder lies dead stops what it had begun, at the latest by the next checks."""
        line.archives.waiting("recorder")
        die_at(number, after=after, act=lambda: recorder.handle(line.message(), None))
        line.say(BEN, "withdrawn")
        assert line.recordings("in-progress") == []
        line.world.clock.advance(60)
        recorder.handle(line.message(), None)
        line.look_after()
        assert line.recordings("in-progress") == []
        found = line.world.ledger.capture(line.call)
        assert found is None or not found.goes_on

    @everywhere
    @boundaries(STARTING)
    def test_pause_at_any_moment_wins(self, line: Line, number: int, after: bool) -> None:
        """After a pause was answered nothing is recorded, however far the start had come."""
        line.archives.waiting("recorder")
        answers: list[dict[str, Any]] = []
        with at(number, after=after, happen=lambda: answers.append(line.ask("pause"))):
            recorder.handle(line.message(), None)
        if answers[0]["statusCode"] == 404:
            assert number < 4  # nobody had heard of the call yet
            return
        assert (answers[0]["statusCode"], body(answers[0])["state"]) == (200, "paused")
        assert line.recordings("in-progress") == []
        line.world.clock.advance(60)
        line.look_after()
        assert body(line.ask("resume"))["state"] in {"waiting", "recording"}
        line.work()
        assert len(line.recordings("in-progress")) == 1

    @everywhere
    @boundaries(STARTING)
    def test_ledger_that_fails_at_any_moment_is_survived(self, line: Line, number: int, after: bool) -> None:
        """An outage of the ledger or of Twilio, done or not done, ends in one recording once the message came again."""
        line.archives.waiting("recorder")

        def fail() -> None:
            raise RuntimeError

        with at(number, after=after, happen=fail):
            answer = recorder.handle(line.message(), None)
        assert answer["batchItemFailures"] == [{"itemIdentifier": "m"}]
        line.world.clock.advance(60)
        recorder.handle(line.message(), None)
        assert len(line.recordings("in-progress")) == 1

    @boundaries(STARTING)
    def test_two_at_once_start_one(self, line: Line, number: int) -> None:
        """A second worker with the same message, at any moment of the first, starts nothing more."""
        with at(number, after=True, happen=lambda: recorder.handle(line.message(), None)):
            recorder.handle(line.message(), None)
        line.work()
        assert len(line.recordings()) == 1
        assert line.record.stage is Stage.CAPTURED

    def test_what_goes_on_is_found_by_a_second_worker(self, line: Line) -> None:
        """A message that finds a claim waits until it has run out."""
        line.archives.waiting("recorder")
        die_at(STARTING.index("start-recording"), after=True, act=lambda: recorder.handle(line.message(), None))
        recorder.handle(line.message(), None)
        (message,) = line.archives.waiting("recorder")
        assert message["delay"] == LEASE.total_seconds()
        assert len(line.recordings()) == 1


class TestGoingOn:
    """A recording that goes on stops as soon as consent is gone."""

    @pytest.mark.parametrize("who", [ANA, BEN])
    @pytest.mark.parametrize("state", ["withdrawn", "refused"])
    def test_no_stops_it_before_it_is_answered(self, line: Line, who: str, state: str) -> None:
        """Either party's no stops the recording; what was recorded is kept and says why it ends, the call goes on."""
        line.work()
        line.world.clock.advance(30)
        assert line.say(who, state)["statusCode"] == 201
        assert line.recordings("in-progress") == []
        assert (line.capture.phase, line.capture.reason) == (Phase.STOPPED, "stopped-by-withdrawal")
        assert (line.record.stage, line.record.reason) == (Stage.CAPTURED, "stopped-by-withdrawal")
        assert line.world.emulator.carrier.state.calls[line.call].status == "in-progress"
        assert line.world.status_at_twilio(line.session) == "in-progress"

    def test_calls_of_a_no_are_those_of_the_order(self, line: Line) -> None:
        """The no is written, then that the recording is to stop, then Twilio is asked, and at last that it has."""
        line.work()
        line.world.patch.setattr(line.world.emulator.callbacks, "processing_seconds", 60.0)
        assert count(lambda: line.say(BEN, "withdrawn")) == STOPPING

    @boundaries(STOPPING)
    def test_no_that_dies_is_finished(self, line: Line, number: int) -> None:
        """Wherever whoever records a no dies, the next check stops what the no is about."""
        line.work()
        line.world.patch.setattr(line.world.emulator.callbacks, "processing_seconds", 60.0)
        assert die_at(number, after=True, act=lambda: line.say(BEN, "withdrawn"))
        line.look_after()
        said_no = number >= STOPPING.index("transact_write_items")
        assert line.recordings("in-progress") == ([] if said_no else line.recordings())
        assert line.record.stage is Stage.CAPTURED

    def test_no_to_everything_ends_the_call_with_it(self, line: Line) -> None:
        """A stop word ends the call, and with it the recording."""
        line.work()
        line.world.consent(BEN, "withdrawn", scope="all")
        assert line.recordings("in-progress") == []
        assert line.world.emulator.carrier.state.calls[line.call].status == "completed"
        assert line.capture.phase is not Phase.RECORDING

    def test_twilio_that_is_down_is_tried_again(self, line: Line, capsys: pytest.CaptureFixture[str]) -> None:
        """A recording that could not be stopped is told as 202, and stopped by the next check."""
        line.work()
        line.world.emulator.faults.add({"on": "rest", "mode": "error", "match": CHANGE, "status": 503})
        answer = line.say(BEN, "withdrawn")
        assert (answer["statusCode"], body(answer)["pending_sessions"]) == (202, [line.session])
        assert len(line.recordings("in-progress")) == 1
        assert any(each["event"] == "recording-still-on" for each in lines(capsys))
        line.world.emulator.faults.clear()
        line.look_after()
        assert line.recordings("in-progress") == []
        assert not line.capture.goes_on

    def test_consent_that_runs_out_stops_it(self, world: World) -> None:
        """A consent that ends during a call ends the recording by the next check, without anybody saying anything."""
        line = Line(world)
        line.work()
        world.declare_consent(validityDays=1)
        old = datetime.fromtimestamp(world.clock.now(), UTC) - timedelta(days=1) + timedelta(seconds=30)
        world.consent(BEN, scope="record_voice", occurred_at=old.isoformat())
        assert len(line.recordings("in-progress")) == 1
        world.clock.advance(60)
        line.look_after()
        assert (line.recordings("in-progress"), line.capture.reason) == ([], "record_voice-expired")

    def test_session_that_nobody_knows_stops_it(self, line: Line) -> None:
        """A recording whose session is gone has nothing to rest on."""
        line.work()
        key = {"pk": {"S": f"SESSION#{line.session}"}, "sk": {"S": "SESSION"}}
        line.world.dynamodb.delete_item(TableName="parley-ledger", Key=key)
        line.look_after()
        assert (line.recordings("in-progress"), line.capture.reason) == ([], "session-unknown")

    def test_session_that_closes_does_not_stop_it(self, line: Line) -> None:
        """A call that goes on after its session ended is still recorded: its people still consent."""
        line.work()
        line.world.get("sessions-delete", line.session)
        line.look_after()
        assert len(line.recordings("in-progress")) == 1

    def test_end_of_the_call_ends_it(self, line: Line) -> None:
        """When people hang up the recording is over, handed to the archive, and looked after no more."""
        line.work()
        line.world.clock.advance(30)
        line.world.emulator.simulator.hang_up(line.call)
        line.world.emulator.webhooks.drain()
        assert line.capture.phase is Phase.ENDED
        assert recorder.handle({}, None) == {"going_on": 0}
        (message,) = line.archives.waiting("archive")
        assert (message["body"]["sid"], message["body"]["seconds"]) == (line.record.sid, 30)

    def test_callback_that_never_comes_is_not_waited_for_for_ever(self, line: Line) -> None:
        """After Twilio's longest call nobody looks after a recording any more."""
        line.work()
        line.world.clock.advance(4 * 3600)
        line.look_after()
        assert line.capture.phase is Phase.ENDED

    def test_stop_that_is_late_is_left_to_the_check(self, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where Twilio waits for an answer and there is no time left, the check stops the recording."""
        line.work()
        monkeypatch.setattr(consents, "close_denied", lambda *_arguments, **_named: Closed((), ()))
        line.say(BEN, "withdrawn")
        assert recordings.stop_without_consent(line.world.identities.party(BEN), deadline=0.0) == [line.session]
        assert len(line.recordings("in-progress")) == 1
        line.look_after()
        assert line.recordings("in-progress") == []


class TestAsking:
    """The application pauses, resumes and stops by the SID of the call, of the recording or of the session."""

    @pytest.mark.parametrize("by", ["call", "recording", "session"])
    def test_pause_and_resume(self, line: Line, by: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A pause leaves silence, is logged with who asked, and lasts until the application resumes."""
        line.work()
        (recording,) = line.recordings()
        sid = {"call": line.call, "recording": recording, "session": line.session}[by]
        paused = line.ask("pause", sid)
        assert (paused["statusCode"], body(paused)["state"]) == (200, "paused")
        assert body(paused)["recording"] == recording
        assert line.recordings("paused") == [recording]
        line.world.clock.advance(600)
        line.look_after()
        assert line.recordings("paused") == [recording]
        assert body(line.ask("pause", sid))["state"] == "paused"
        resumed = line.ask("resume", sid)
        assert (resumed["statusCode"], body(resumed)["state"]) == (200, "recording")
        assert line.recordings("in-progress") == [recording]
        assert body(line.ask("resume", sid))["state"] == "recording"
        said = [each for each in lines(capsys) if each["event"] == "recording-asked-to-pause"]
        assert said[0]["caller"] == CALLER

    def test_stop_keeps_what_there_is_and_is_not_resumed(self, line: Line) -> None:
        """A stopped recording is kept up to there; stopping again changes nothing, resuming is 409."""
        line.work()
        line.world.clock.advance(10)
        assert body(line.ask("stop"))["state"] == "stopped"
        assert body(line.ask("stop"))["state"] == "stopped"
        assert body(line.ask("pause"))["state"] == "stopped"
        assert problem_of(line.ask("resume")) == (409, "recording-over")
        assert (line.record.stage, line.record.reason) == (Stage.CAPTURED, "stopped-by-caller")
        assert line.recordings("in-progress", "paused") == []

    def test_resume_without_consent_stops(self, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who said no during a pause is not recorded again: 409 with whose consent is missing, and it is stopped."""
        line.work()
        line.ask("pause")
        monkeypatch.setattr("parley.recordings.stop_without_consent", lambda *_: [])
        line.say(BEN, "withdrawn")
        answer = line.ask("resume")
        assert problem_of(answer) == (409, "consent-missing")
        assert [each["code"] for each in body(answer)["missing"]] == ["record_voice-withdrawn"]
        assert line.recordings("in-progress", "paused") == []

    @everywhere
    @boundaries(RESUMING)
    def test_no_while_it_is_resumed_wins(self, line: Line, number: int, after: bool) -> None:
        """Whenever a no falls into a resumption, nothing is recorded when both are answered."""
        line.work()
        line.ask("pause")
        with at(number, after=after, happen=lambda: line.say(BEN, "withdrawn")) as boundary:
            assert line.ask("resume")["statusCode"] in {200, 409, 503}
        assert boundary.came
        assert line.recordings("in-progress", "paused") == []
        assert line.record.stage is Stage.CAPTURED

    def test_calls_of_a_resumption_are_those_of_the_order(self, line: Line) -> None:
        """The consents are read, the resumption is written if they still stand, and they are read again after it."""
        line.work()
        line.ask("pause")
        assert count(lambda: line.ask("resume")) == RESUMING

    def test_pause_before_it_begins_keeps_it_from_beginning(self, line: Line) -> None:
        """A pause while the phone rings holds; the recording begins when somebody resumes."""
        line.ring("ringing")
        recorder.handle(line.message(), None)
        assert body(line.ask("pause"))["state"] == "paused"
        line.ring("in-progress")
        line.work()
        assert line.recordings() == []
        assert body(line.ask("resume"))["state"] == "waiting"
        assert body(line.ask("resume"))["state"] == "waiting"
        line.work()
        assert len(line.recordings("in-progress")) == 1

    def test_call_that_ended_meanwhile_is_told(self, line: Line) -> None:
        """A pause or a resumption that comes after the end of the call says that it has ended."""
        line.work()
        line.world.emulator.faults.add({"on": "webhook", "mode": "lost", "match": "/twilio/recording"})
        carrier = line.world.emulator.carrier
        with carrier.lock:
            carrier.voice.end(carrier.state.calls[line.call])
        assert body(line.ask("pause"))["state"] == "ended"
        assert problem_of(line.ask("resume")) == (409, "recording-over")

    @pytest.mark.parametrize("verb", ["pause", "resume", "stop"])
    @pytest.mark.parametrize("sid", ["CA" + "0" * 32, "RE" + "0" * 32, "KC" + "0" * 32, "CA../../x", "+12125550111"])
    def test_what_nobody_knows_is_404(self, line: Line, verb: str, sid: str) -> None:
        """A SID of nothing of ours, or what is no SID, is 404, and nothing is asked of Twilio."""
        assert count(lambda: problem_of(line.ask(verb, sid)))[:3] in (["get_item"], ["query"], [])
        assert problem_of(line.ask(verb, sid)) == (404, "call-unknown")

    @pytest.mark.parametrize("verb", ["pause", "resume", "stop"])
    def test_twilio_that_is_down_is_503(self, line: Line, verb: str) -> None:
        """Without Twilio nobody is told that it was done; a repeat does it."""
        line.work()
        if verb == "resume":
            line.ask("pause")
        line.world.emulator.faults.add({"on": "rest", "mode": "error", "match": CHANGE, "status": 503, "times": 4})
        assert problem_of(line.ask(verb)) == (503, "unavailable")
        line.world.emulator.faults.clear()
        line.look_after()
        expected = {"pause": "paused", "resume": "recording", "stop": "stopped"}[verb]
        assert body(line.ask(verb))["state"] == expected

    def test_ledger_that_is_down_is_503(self, line: Line) -> None:
        """Without the ledger the answer is 503."""
        line.world.break_ledger()
        assert problem_of(line.ask("pause")) == (503, "unavailable")


class TestAnnouncement:
    """What the law wants to be heard in a recording cannot be played by Proxy."""

    def test_implied_consent_is_not_enough_where_something_is_to_be_heard(self, world: World) -> None:
        """Staying on after a notice needs the announcement that nobody can play, so the recording is refused."""
        archives = Archives(world)
        world.declare_consent(methods={"default": ["in_app"], "record_voice": ["announcement_stay"]})
        proof = {"call_sid": "CA" + "1" * 32, "leg": "caller", "prompt_sha256": "ab" * 32, "stayed_seconds": 9}
        stayed: dict[str, Any] = {"method": "announcement_stay", "kind": "implied", "evidence": proof}
        for who in (ANA, BEN):
            world.consent(who)
            assert world.consent(who, scope="record_voice", **stayed)["statusCode"] == 201
        places = [{"identifier": who, "location": {"code": "US-WA", "source": "declared"}} for who in (ANA, BEN)]
        world.patch.setenv("PARLEY_JURISDICTION", json.dumps({"operator": "US-WA"}))
        runtime.reset()
        answer = world.open(participants=places, record=["voice"])
        assert answer["statusCode"] == 201, answer
        call = world.call(ANA, body(answer)["participants"][0]["masked_number"], Ring(hold=True))
        archives.work("recorder", recorder.handle)
        assert world.emulator.carrier.recordings.of_call(call.sid) == []
        found = world.ledger.capture(call.sid)
        assert found is not None
        assert (found.phase, found.reason) == (Phase.GIVEN_UP, "announcement-not-possible")
