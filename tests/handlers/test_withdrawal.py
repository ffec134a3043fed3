"""What follows from a no, whichever way it was said: at once, everywhere, and once."""

from __future__ import annotations

from typing import Any

import pytest
from parley import runtime
from parley.adapters.twilio import TwilioCarrier
from parley.core.consent import Scope
from parley.handlers.reconcile import ReconcileIncompleteError
from parley.ports import CarrierError

from local.twilio.numbers import describe, number_sid
from local.twilio.simulator import Outcome, Ring
from tests.handlers.world import ANA, ASK, BEN, World, body, lines

HELD = Ring(hold=True)
INTERACTION = "interaction"


def masked(world: World, opened: dict[str, Any], party: str) -> str:
    """Return the number that a party dials to reach the other one."""
    key = world.identities.party(party)
    found: str = next(one["masked_number"] for one in opened["participants"] if one["party"] == key)
    return found


def talking(world: World, caller: str = ANA) -> tuple[str, Outcome]:
    """Return a session in which the parties are talking on the phone, and their call."""
    opened = world.conversation()
    outcome = world.call(caller, masked(world, opened, caller), HELD)
    assert outcome.connected
    return opened["session"], outcome


def legs(world: World, call: Outcome) -> tuple[str, str]:
    """Return the states of both legs of a call at Twilio."""
    calls = world.emulator.carrier.state.calls
    return calls[call.sid].status, calls[call.outbound_sid or ""].status


class TestLiveCalls:
    """A call that is under way when somebody says no."""

    @pytest.mark.parametrize("caller", [ANA, BEN])
    @pytest.mark.parametrize("leaver", [ANA, BEN])
    def test_withdrawal_ends_the_call(self, world: World, caller: str, leaver: str) -> None:
        """Whoever called and whoever says no, both legs of their call are ended with the session."""
        sid, call = talking(world, caller)
        assert legs(world, call) == ("in-progress", "in-progress")
        assert world.consent(leaver, "withdrawn")["statusCode"] == 201
        assert legs(world, call) == ("completed", "completed")
        assert world.status_at_twilio(sid) == "closed"

    def test_call_of_other_people_goes_on(self, world: World) -> None:
        """Only calls of the person's own sessions are ended."""
        carol, dan = "+12125550115", "+12125550116"
        for party in (carol, dan):
            world.consent(party)
        other = body(world.open(participants=[{"identifier": carol}, {"identifier": dan}]))
        call = world.call(carol, masked(world, other, carol), HELD)
        world.conversation()
        world.consent(ANA, "withdrawn")
        assert legs(world, call) == ("in-progress", "in-progress")

    def test_session_that_its_caller_closes_lets_the_call_end_by_itself(self, world: World) -> None:
        """Where nobody took anything back, who talks may finish."""
        sid, call = talking(world)
        assert world.get("sessions-delete", sid)["statusCode"] == 204
        assert legs(world, call) == ("in-progress", "in-progress")

    def test_call_that_could_not_be_ended_is_ended_by_the_next_run(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A session whose call goes on stays in the ledger, so that the reconciler ends both, and the log says so."""
        sid, call = talking(world)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST api.*/Calls/"})
        capsys.readouterr()
        answer = world.consent(ANA, "withdrawn")
        assert (answer["statusCode"], body(answer)["pending_sessions"]) == (202, [sid])
        (line,) = (line for line in lines(capsys) if line["event"] == "session-still-open")
        assert line["operation"] == "end-call"
        with pytest.raises(ReconcileIncompleteError):
            world.reconcile()
        assert (world.status_at_twilio(sid), world.session(sid).status) == ("closed", "open")
        world.emulator.faults.clear()
        world.reconcile()
        assert legs(world, call) == ("completed", "completed")
        assert world.session(sid).status == "closed"

    def test_call_past_the_end_of_its_session_goes_on_until_a_no(self, world: World) -> None:
        """A session that runs out cuts nobody off; a no that comes before that still does."""
        _, call = talking(world)
        world.clock.advance(3601)
        world.reconcile()
        assert legs(world, call) == ("in-progress", "in-progress")

    @pytest.mark.parametrize("leaver", [ANA, BEN])
    @pytest.mark.parametrize("end", ["closed", "ran out", "ran out unseen"])
    def test_call_that_outlives_its_session_is_ended_by_a_no(self, world: World, end: str, leaver: str) -> None:
        """However a session ended, a no of anybody in a call that goes on ends both legs."""
        sid, call = talking(world)
        if end == "closed":
            world.get("sessions-delete", sid)
        else:
            world.clock.advance(3601)
            if end == "ran out":
                world.reconcile()
        assert legs(world, call) == ("in-progress", "in-progress")
        assert world.consent(leaver, "withdrawn")["statusCode"] == 201
        assert legs(world, call) == ("completed", "completed")
        assert [row for row in world.rows("SESSION") if "open_shard" in row] == []

    def test_call_after_its_session_is_left_to_the_next_run(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where Twilio does not end it the answer and the log say so, and the reconciler tries until it does."""
        sid, call = talking(world)
        world.get("sessions-delete", sid)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST api.*/Calls/"})
        capsys.readouterr()
        answer = world.consent(ANA, "withdrawn")
        assert (answer["statusCode"], body(answer)["pending_sessions"]) == (202, [sid])
        (line,) = (line for line in lines(capsys) if line["event"] == "call-still-on")
        assert line["operation"] == "end-call"
        with pytest.raises(ReconcileIncompleteError):
            world.reconcile()
        world.emulator.faults.clear()
        world.reconcile()
        assert legs(world, call) == ("completed", "completed")
        assert world.session(sid).closed_reason == "closed-by-caller"
        assert [row for row in world.rows("SESSION") if "open_shard" in row] == []

    def test_revoked_session_that_its_caller_closes_ends_the_call(self, world: World) -> None:
        """Whoever closes a session that waits for the reconciler after a no ends its calls as well."""
        sid, call = talking(world)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST api.*/Calls/"})
        world.consent(ANA, "withdrawn")
        world.emulator.faults.clear()
        assert world.get("sessions-delete", sid)["statusCode"] == 204
        assert legs(world, call) == ("completed", "completed")

    def test_no_to_somebody_else_leaves_the_call(self, world: World) -> None:
        """A no towards a person who is not in the call, or to something else, ends no call after its session."""
        sid, call = talking(world)
        world.get("sessions-delete", sid)
        world.consent(ANA, "refused", counterpart="+12125550199")
        world.consent(ANA, "refused", scope="record_voice")
        assert legs(world, call) == ("in-progress", "in-progress")

    @pytest.mark.parametrize(("seconds", "found"), [(14_399, True), (14_401, False)])
    def test_ended_session_is_looked_for_as_long_as_a_call_may_last(
        self, world: World, seconds: int, found: bool
    ) -> None:
        """Four hours after a session was closed, Twilio's longest call, nobody looks for its calls any more."""
        sid, _ = talking(world)
        world.get("sessions-delete", sid)
        closed = world.clock.now()
        pointers = [row for row in world.rows("SESSION#") if "counterparts" in row]
        assert {int(row["expires_at"]["N"]) - int(closed) for row in pointers} <= {14_399, 14_400}
        world.clock.advance(seconds - 2 * found)
        world.consent(ANA, "withdrawn")
        assert (world.session(sid).revocation is not None) is found

    def test_no_outlives_the_time_of_the_session(self, world: World) -> None:
        """A revoked session whose time is over as well still has its call ended."""
        _, call = talking(world)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST api.*/Calls/"})
        world.consent(ANA, "withdrawn")
        world.emulator.faults.clear()
        world.clock.advance(3601)
        world.reconcile()
        assert legs(world, call) == ("completed", "completed")

    def test_call_that_is_over_is_no_error(self, world: World) -> None:
        """A call that its people ended first, and one that Twilio no longer knows, are as good as ended."""
        _, call = talking(world)
        world.emulator.simulator.hang_up(call.sid)
        for sid in (call.sid, "CA" + "0" * 32):
            runtime.carrier().end_call(sid)
        assert world.consent(ANA, "withdrawn")["statusCode"] == 201

    def test_call_that_slipped_through_is_ended_by_its_callback(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A call that was permitted just before a no, so that its closing could not see it, ends at its callback."""
        opened = world.conversation()
        session = world.session(opened["session"])
        monkeypatch.setattr(TwilioCarrier, "live_calls", lambda *_, **__: ([], True))
        call = world.call(ANA, masked(world, opened, ANA), HELD)
        world.consent(ANA, "withdrawn")
        assert legs(world, call)[0] == "in-progress"
        form: dict[str, Any] = {
            "interactionSessionSid": session.sid,
            "interactionType": "Voice",
            "interactionData": "",
            "inboundResourceSid": call.sid,
            "outboundResourceStatus": "in-progress",
        }
        assert world.webhook(INTERACTION, **form)["statusCode"] == 204
        assert legs(world, call) == ("completed", "completed")

    def test_urgent_closing_begins_nothing_after_its_time(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """While Twilio waits for an answer no request begins late: the reconciler does the rest."""
        sid, call = talking(world)
        session = world.session(sid)
        monkeypatch.setattr("parley.withdrawal.URGENT_SECONDS", -1.0)
        answer = world.webhook(
            "intercept-message",
            interactionSessionSid=sid,
            inboundParticipantSid=session.participants[0].sid,
            interactionData='{"body": "arrêt"}',
        )
        assert (answer["statusCode"], world.status_at_twilio(sid)) == (403, "in-progress")
        world.reconcile()
        assert (world.status_at_twilio(sid), legs(world, call)) == ("closed", ("completed", "completed"))

    def test_busy_session_is_left_to_the_next_run(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a session with more than a page of interactions Twilio is asked for the rest when nobody waits."""
        sid, call = talking(world)
        world.emulator.simulator.hang_up(call.sid)
        session = world.session(sid)
        for number in range(3):
            world.text(ANA, runtime.carrier().seats(sid)[0].masked_number, f"text {number}")
        monkeypatch.setattr("parley.adapters.twilio.SESSIONS_PAGE_SIZE", 3)
        world.webhook(
            "intercept-message",
            interactionSessionSid=sid,
            inboundParticipantSid=session.participants[0].sid,
            interactionData='{"body": "arrêt"}',
        )
        assert (world.status_at_twilio(sid), world.session(sid).status) == ("closed", "open")
        world.reconcile()
        assert world.session(sid).status == "closed"

    def test_calls_of_a_session_that_is_gone(self, world: World) -> None:
        """A session that was deleted at Twilio has no calls."""
        assert runtime.carrier().live_calls("KC" + "0" * 32) == ([], True)

    def test_calls_that_cannot_be_listed_are_an_error(self, world: World) -> None:
        """Where Twilio does not say which calls there are, the session is not called closed."""
        sid, _ = talking(world)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "GET proxy.*/Interactions"})
        with pytest.raises(CarrierError):
            runtime.carrier().live_calls(sid)
        assert world.consent(ANA, "withdrawn")["statusCode"] == 202


def neutral(world: World, phone: str) -> list[str]:
    """Return the texts to a phone that say that the other person is not available."""
    return [text for text in world.received(phone) if "not available" in text]


class TestOtherSide:
    """What the other person is told."""

    def test_is_told_once_and_neutrally(self, world: World) -> None:
        """The other side learns, from the number that they know, that nobody is reached; not who said no, nor that."""
        opened = world.conversation()
        world.consent(ANA, "withdrawn")
        world.consent(ANA, "withdrawn")
        world.reconcile()
        (told,) = world.received(BEN)
        assert "not available" in told
        assert not [word for word in ("opted", "STOP", "withdr", "consent", ANA) if word in told]
        messages = world.emulator.carrier.state.messages.values()
        assert [one.from_ for one in messages if one.to == BEN] == [masked(world, opened, BEN)]

    def test_in_the_language_of_their_number(self, world: World) -> None:
        """Each is told in their own language."""
        german = "+491711234567"
        for party in (ANA, german):
            world.consent(party)
        world.emulator.carrier.numbers.own(
            world.emulator.carrier.account_sid, describe("+491701234567", sms=True, voice=True, mms=False), {}
        )
        world.twilio.proxy.v1.services(world.service_sid).phone_numbers.create(sid=number_sid("+491701234567"))
        assert world.open(participants=[{"identifier": ANA}, {"identifier": german}])["statusCode"] == 201
        world.consent(ANA, "withdrawn")
        assert ["zurzeit nicht erreichbar" in text for text in world.received(german)] == [True]

    def test_never_somebody_who_said_no_too(self, world: World) -> None:
        """Where both said no, or the other one refuses our messages, nobody is told anything."""
        world.conversation()
        world.consent(BEN, "withdrawn", scope="receive_info")
        world.consent(ANA, "withdrawn")
        assert world.received(BEN) == []

    def test_never_somebody_whom_twilio_bars(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """Who texted STOP to that number gets nothing, which is no error; the session is closed all the same."""
        opened = world.conversation()
        world.emulator.carrier.state.opt_outs.add((masked(world, opened, BEN), BEN))
        capsys.readouterr()
        world.consent(ANA, "withdrawn")
        assert (world.received(BEN), world.status_at_twilio(opened["session"])) == ([], "closed")
        codes = {line["code"] for line in lines(capsys) if line["event"] == "notice-not-sent" and "code" in line}
        assert codes == {21610}

    @pytest.mark.parametrize("match", ["GET proxy.*/Participants", "POST api.*/Messages"])
    def test_text_that_fails_keeps_nothing_open(self, world: World, match: str) -> None:
        """A notice that cannot be sent is given up: the session is closed, and no run tries again."""
        opened = world.conversation()
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": match})
        assert world.consent(ANA, "withdrawn")["statusCode"] == 201
        world.emulator.faults.clear()
        world.reconcile()
        assert (world.received(BEN), world.session(opened["session"]).status) == ([], "closed")

    def test_lost_answer_is_not_sent_twice(self, world: World) -> None:
        """A text whose answer was lost is not repeated."""
        world.conversation()
        world.emulator.faults.add({"on": "rest", "mode": "lost-answer", "match": "POST api.*/Messages"})
        world.consent(ANA, "withdrawn")
        world.emulator.faults.clear()
        world.reconcile()
        assert len(world.received(BEN)) == 1

    def test_nobody_is_told_where_nobody_said_no(self, world: World) -> None:
        """A session that the application closes, or whose time is over, is no reason for a text."""
        assert world.get("sessions-delete", world.conversation()["session"])["statusCode"] == 204
        assert body(world.open())["session"]
        world.clock.advance(3601)
        world.reconcile()
        assert (world.received(ANA), world.received(BEN)) == ([], [])


class TestConfirmation:
    """What the person is told who said no."""

    def test_word_in_a_session_is_confirmed_from_the_masked_number(self, world: World) -> None:
        """A word that Twilio does not answer is confirmed once, from the number that it was texted to."""
        opened = world.conversation()
        world.text(ANA, masked(world, opened, ANA), "baja")
        world.text(ANA, masked(world, opened, ANA), "baja")
        (told,) = world.received(ANA)
        assert "opted out" in told
        messages = world.emulator.carrier.state.messages.values()
        assert [one.from_ for one in messages if one.to == ANA] == [masked(world, opened, ANA)]

    def test_word_that_twilio_confirms_is_not_confirmed_again(self, world: World) -> None:
        """STOP, which Proxy swallows, and REVOKE, which it does not, are left to Twilio's own answer."""
        opened = world.conversation()
        world.text(ANA, masked(world, opened, ANA), "REVOKE")
        world.reconcile()
        assert world.received(ANA) == []

    def test_swallowed_word_of_ours_is_confirmed_while_it_is_fresh(self, world: World) -> None:
        """A word that the reconciler finds is confirmed within five minutes, and not after them."""
        for minutes, texts in ((4, 1), (6, 1)):
            opened = world.conversation()
            world.text(ANA, masked(world, opened, ANA), "arrete")
            world.clock.advance(60 * minutes)
            world.reconcile()
            assert len(world.received(ANA)) == texts
            world.clock.advance(1)

    def test_report_of_the_application_is_confirmed_once(self, world: World) -> None:
        """A withdrawal by API is confirmed by text, and a second one is not."""
        world.conversation()
        world.consent(ANA, "withdrawn")
        world.consent(ANA, "withdrawn", scope="all")
        (told,) = world.received(ANA)
        assert "withdrawal is on record" in told

    @pytest.mark.parametrize(
        "changes",
        [
            {"state": "refused"},
            {"scope": "record_voice"},
            {"counterpart": BEN},
            {"occurred_at": "2026-05-04T11:59:00Z"},
        ],
    )
    def test_what_is_not_confirmed(self, world: World, changes: dict[str, Any]) -> None:
        """A refusal, a part, one relation and an old no are recorded without a text to the person."""
        world.conversation()
        world.consent(ANA, **{"state": "withdrawn", **changes})
        assert world.received(ANA) == []

    def test_without_a_session_the_number_that_asks_confirms(self, world: World) -> None:
        """Who knows no masked number is written to from the number that asks; a user without a number is not."""
        for party in (ANA, "user:ana-7"):
            assert world.consent(party, "withdrawn")["statusCode"] == 201
        messages = world.emulator.carrier.state.messages.values()
        assert [(one.from_, one.to) for one in messages] == [(ASK, ANA)]

    def test_nobody_without_a_number_to_write_from(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where there is no number that the person knows and none that asks, the record has to do."""
        monkeypatch.setenv("PARLEY_CONSENT", '{"methods":["in_app"],"validityDays":null,"questionMinutes":5}')
        assert world.consent(ANA, "withdrawn")["statusCode"] == 201
        assert world.received(ANA) == []


class TestEverything:
    """A no to everything, reported by the application."""

    def test_withdraws_every_scope_in_one(self, world: World) -> None:
        """The scope "all" appends one record a scope, all or none, and is harmless when it is repeated."""
        fields: dict[str, Any] = {"scope": "all", "source_event_id": "letter-1"}
        first = body(world.consent(ANA, "withdrawn", **fields))
        again = world.consent(ANA, "withdrawn", **fields)
        party = world.identities.party(ANA)
        assert {one.scope for one in world.ledger.standings_of(party)} == set(Scope)
        assert (first["scope"], len(set(first["record_ids"]))) == ("all", len(Scope))
        assert (again["statusCode"], body(again)["record_ids"]) == (200, first["record_ids"])
        assert len(world.ledger.records(party)) == len(Scope)

    @pytest.mark.parametrize("changes", [{"state": "given"}, {"state": "withdrawn", "counterpart": BEN}])
    def test_only_a_no_to_the_service(self, world: World, changes: dict[str, Any]) -> None:
        """Nobody agrees to everything at once, and one relation is no everything."""
        answer = world.consent(ANA, **{"scope": "all", **changes})
        assert answer["statusCode"] == 400
        assert [error["path"] for error in body(answer)["errors"]] == ["scope"]
