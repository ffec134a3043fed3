"""Sessions of more than two people: their calls, which are conferences, and their texts, which reach everybody."""

from __future__ import annotations

from typing import Any

import pytest

from local.twilio.simulator import Outcome, Ring
from tests.handlers.archives import Archives
from tests.handlers.direct import make_direct
from tests.handlers.test_inbound_message import masked, signed
from tests.handlers.world import ANA, BEN, STRANGER, World, body, lines, problem_of

CAM = STRANGER
ALL = (ANA, BEN, CAM)
TAKEN = Ring(callee_digits=("1",), hold=True)
NOT_AVAILABLE = "The other person is not available"


@pytest.fixture(autouse=True)
def archives(world: World) -> Archives:
    """Give the stores of a gate whose sessions are its own."""
    return make_direct(world)


@pytest.fixture
def session(world: World) -> dict[str, Any]:
    """Give an open session of three people who consented."""
    for party in ALL:
        world.consent(party)
    return body(world.open(participants=[{"identifier": each} for each in ALL]))


def call(world: World, session: dict[str, Any], ring: Ring = TAKEN) -> Outcome:
    """Let Ana call the others."""
    return world.call(ANA, masked(session), ring)


def present(world: World) -> set[str]:
    """Return the phones that are in a conference that has begun."""
    state = world.emulator.carrier.state
    calls = [state.calls[sid] for one in state.conferences.values() if one.status != "completed" for sid in one.present]
    return {each.from_ if each.direction == "inbound" else each.to for each in calls}


def states(world: World) -> dict[str, str]:
    """Return the state of each phone's latest leg."""
    calls = sorted(world.emulator.carrier.state.calls.values(), key=lambda each: each.seq)
    return {each.from_ if each.direction == "inbound" else each.to: each.status for each in calls}


class TestOpened:
    """Which sessions there are."""

    @pytest.mark.parametrize("count", [1, 6])
    def test_two_to_five(self, world: World, count: int) -> None:
        """One person alone, and more than five, are refused by name."""
        people = [{"identifier": f"+121255501{place:02d}"} for place in range(count)]
        answer = world.open(participants=people)
        assert problem_of(answer) == (400, "invalid-body")
        assert body(answer)["errors"] == [{"path": "participants", "reason": "is not a list of 2 to 5 participants"}]

    @pytest.mark.moto
    def test_five(self, world: World) -> None:
        """Five people are connected, whatever scopes are wanted, and a text of one reaches the four others."""
        people = [f"+121255501{place:02d}" for place in range(5)]
        for party in people:
            for scope in ("manage", "store_messages", "transcribe"):
                world.consent(party, scope=scope)
        participants = [{"identifier": each} for each in people]
        session = body(world.open(participants=participants, store=True, transcribe=True))
        assert {each["scope"] for each in session["scopes"] if each["permit"]} == {"store_messages", "transcribe"}
        world.text(people[0], masked(session), "All here?")
        assert [world.received(each).count("All here?") for each in people] == [0, 1, 1, 1, 1]
        world.consent(people[4], "withdrawn")
        assert world.session(session["session"]).status == "closed"

    def test_nobody_twice(self, world: World) -> None:
        """The same person twice among three is refused."""
        answer = world.open(participants=[{"identifier": each} for each in (ANA, BEN, ANA)])
        assert body(answer)["errors"] == [{"path": "participants", "reason": "are the same person twice"}]

    def test_no_recording_of_calls(self, world: World) -> None:
        """A session of three cannot ask for its calls to be recorded."""
        answer = world.open(participants=[{"identifier": each} for each in ALL], record=["voice"])
        assert [each["path"] for each in body(answer)["errors"]] == ["record"]

    @pytest.mark.parametrize("missing", ALL)
    def test_everybody_s_consent(self, world: World, missing: str) -> None:
        """One missing consent refuses the session."""
        for party in ALL:
            if party != missing:
                world.consent(party)
        assert problem_of(world.open(participants=[{"identifier": each} for each in ALL])) == (409, "consent-missing")


class TestCalls:
    """Calls of three."""

    def test_everybody_hears_and_joins(self, world: World, session: dict[str, Any]) -> None:
        """The caller waits, each of the others is told and joins by a key, and all see masked numbers only."""
        outcome = call(world, session)
        assert outcome.connected
        assert outcome.alerts == []
        assert present(world) == set(ALL)
        assert "the other participants through" in outcome.heard[0]
        assert ["is calling you and other participants" in each for each in outcome.callee_heard] == [True, True]
        placed = [each for each in world.emulator.carrier.state.calls.values() if each.direction == "outbound-api"]
        assert {(each.to, each.from_) for each in placed} == {(BEN, masked(session, 1)), (CAM, masked(session, 2))}

    def test_caller_ends_it(self, world: World, session: dict[str, Any]) -> None:
        """When the caller hangs up everybody is out, and the log has each leg's end."""
        outcome = call(world, session)
        world.emulator.simulator.hang_up(outcome.sid)
        assert set(states(world).values()) == {"completed"}
        rows = world.ledger.interactions(session["session"])
        assert sum(row.get("outbound_status") == "completed" for row in rows) == 2
        assert any(row.get("inbound_status") == "completed" for row in rows)

    def test_one_takes_it(self, world: World, session: dict[str, Any]) -> None:
        """Who does not answer, and a voicemail, are left out; the others talk."""
        for absent in (Ring(answer="no-answer"), Ring(answer="voicemail"), Ring()):
            outcome = call(world, session, Ring(callee_digits=("1",), hold=True, phones={CAM: absent}))
            assert present(world) == {ANA, BEN}
            world.emulator.simulator.hang_up(outcome.sid)

    def test_nobody_takes_it(self, world: World, session: dict[str, Any]) -> None:
        """A caller whom nobody joins hears that nobody is available, and the call ends."""
        outcome = call(world, session, Ring(answer="no-answer", hold=True))
        assert not outcome.connected
        assert NOT_AVAILABLE in outcome.heard[1]
        assert states(world)[ANA] == "completed"

    def test_last_of_the_others_leaves(self, world: World, session: dict[str, Any]) -> None:
        """A caller whom everybody left is not kept in an empty conference."""
        call(world, session)
        for phone in (BEN, CAM):
            leg = next(each for each in world.emulator.carrier.state.calls.values() if each.to == phone)
            world.emulator.simulator.hang_up(leg.sid)
        assert states(world)[ANA] == "completed"

    @pytest.mark.parametrize("who", ALL)
    def test_withdrawal_ends_it(self, world: World, session: dict[str, Any], who: str) -> None:
        """One person's withdrawal ends the call of all before it is acknowledged, and no other one comes about."""
        call(world, session)
        world.consent(who, "withdrawn")
        assert present(world) == set()
        assert not {"in-progress", "ringing", "queued"} & set(states(world).values())
        assert not call(world, session).connected

    def test_nine_ends_it(self, world: World, session: dict[str, Any]) -> None:
        """Somebody who presses 9 is in no call, and the session is over for all: its consent is gone."""
        call(world, session, Ring(callee_digits=("1",), hold=True, phones={CAM: Ring(callee_digits=("9",))}))
        assert present(world) == set()
        assert world.session(session["session"]).status == "closed"

    def test_told_twice(self, world: World, session: dict[str, Any]) -> None:
        """However often Twilio tells that the caller is there, each phone rings once."""
        world.emulator.faults.add({"on": "webhook", "mode": "duplicate", "match": "^conference"})
        call(world, session)
        placed = [each.to for each in world.emulator.carrier.state.calls.values() if each.direction == "outbound-api"]
        assert sorted(placed) == sorted([BEN, CAM])

    def test_twilio_takes_no_calls(
        self, world: World, session: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where nobody can be called the caller hears that nobody is available."""
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "^POST .*Calls.json$"})
        outcome = call(world, session)
        assert not outcome.connected
        assert NOT_AVAILABLE in outcome.heard[1]
        assert [one["event"] for one in lines(capsys) if "event" in one].count("leg-not-called") == 2

    def test_ledger_down_while_the_caller_waits(
        self, world: World, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """If the ledger fails once the caller waits, nobody is called, and the caller is told."""

        def fail(*_: Any) -> None:
            raise RuntimeError

        monkeypatch.setattr("parley.conferences._line", fail)
        outcome = call(world, session)
        assert not outcome.connected
        assert NOT_AVAILABLE in outcome.heard[1]
        assert [one["event"] for one in lines(capsys) if one["event"] == "request-failed"]

    def test_caller_is_gone(self, world: World, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """Who takes the call after its caller hung up joins nobody."""
        outcome = call(world, session, Ring(callee_digits=("1",), hold=True, phones={CAM: Ring(answer="no-answer")}))
        answered = next(one for one in world.emulator.webhooks.log() if "/call/answer" in one["url"])
        world.emulator.simulator.hang_up(outcome.sid)
        leg = next(each for each in world.emulator.carrier.state.calls.values() if each.to == BEN)
        form = {"CallSid": leg.sid, "From": leg.from_, "To": leg.to, "Digits": "1", "CallStatus": "in-progress"}
        answer = signed(world, form, path=answered["url"].removeprefix("https://gate.example.com"))
        assert "<Hangup/>" in answer["body"]


class TestTexts:
    """Texts of three."""

    def test_reach_everybody_else(self, world: World, session: dict[str, Any]) -> None:
        """A text reaches each of the others from the number that they know, and not its sender."""
        world.text(BEN, masked(session, 1), "At the corner")
        assert [world.received(each).count("At the corner") for each in ALL] == [1, 0, 1]

    def test_stop_of_one_ends_it_for_all(self, world: World, session: dict[str, Any]) -> None:
        """After one person's no nothing reaches anybody."""
        world.text(CAM, masked(session, 2), "stop")
        world.text(ANA, masked(session), "Are you there?")
        assert not any("Are you there?" in world.received(each) for each in ALL)

    def test_one_who_is_barred(self, world: World, session: dict[str, Any]) -> None:
        """Somebody whom Twilio sends nothing any more withdraws by that; the others had got the text."""
        world.emulator.carrier.state.opt_outs.add((masked(session, 2), CAM))
        world.text(ANA, masked(session), "At the corner")
        assert "At the corner" in world.received(BEN)
        assert world.session(session["session"]).status == "closed"
