"""Twilio's debugger as it happens: found at once, once, and only if Twilio says so."""

from __future__ import annotations

from typing import Any

import pytest
from parley.core.consent import Scope, State

from tests.handlers.world import ANA, BEN, POOL, STRANGER, World, body, lines


def swallowed(world: World, words: str = "STOP", sender: str = ANA) -> tuple[str, dict[str, Any]]:
    """Let somebody text a word that Proxy swallows; return the session's SID and the alert that Twilio has of it."""
    opened = world.conversation()
    key = world.identities.party(sender)
    number = next(one["masked_number"] for one in opened["participants"] if one["party"] == key)
    outcome = world.text(sender, number, words)
    return opened["session"], {"sid": "NO1", "error_code": "80901", "resource_sid": outcome.sid}


class TestForms:
    """How Twilio tells."""

    def test_event_streams_and_debugger_withdraw(self, world: World) -> None:
        """Both forms withdraw everything and close the session, and the second one changes nothing."""
        sid, alert = swallowed(world)
        assert world.tell(alert)["statusCode"] == 204
        assert world.status_at_twilio(sid) == "closed"
        assert len(world.rows("EVENT#")) == 2 + len(Scope)
        assert world.debug(alert)["statusCode"] == 204
        assert len(world.rows("EVENT#")) == 2 + len(Scope)

    def test_debugger_withdraws_by_itself(self, world: World) -> None:
        """The debugger's form with a JSON payload is enough."""
        sid, alert = swallowed(world)
        assert world.debug(alert)["statusCode"] == 204
        assert world.status_at_twilio(sid) == "closed"

    def test_reconciler_beside_it_finds_nothing_new(self, world: World) -> None:
        """What was told is not withdrawn again by the next run, nor the other way round."""
        _, alert = swallowed(world)
        world.tell(alert)
        assert "withdrawn" not in world.reconcile()
        world.tell(alert, alert)
        assert len(world.rows("EVENT#")) == 2 + len(Scope)

    def test_second_schema_names_what_it_is_correlated_with(self, world: World) -> None:
        """Where the event has no resource, the message is what it is correlated with."""
        sid, alert = swallowed(world)
        alert["correlation_sid"] = alert.pop("resource_sid")
        world.tell(alert)
        assert world.status_at_twilio(sid) == "closed"

    def test_batch_is_taken_as_a_whole(self, world: World) -> None:
        """A batch with several people's words, and events that are none of ours, withdraws each of them."""
        _, alert = swallowed(world)
        other = world.text(STRANGER, POOL[0], "revoke").sid
        told = {"error_code": 80908, "resource_sid": other}
        assert world.tell({"error_code": "11200", "resource_sid": other}, told, alert)["statusCode"] == 204
        for phone in (ANA, STRANGER):
            standings = world.ledger.standings_of(world.identities.party(phone))
            assert {one.scope for one in standings if one.state is State.WITHDRAWN} == set(Scope)

    def test_time_is_that_of_the_message(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """How long the block took is measured from when the word was sent."""
        _, alert = swallowed(world)
        world.clock.advance(90)
        capsys.readouterr()
        world.tell(alert)
        (done,) = (line for line in lines(capsys) if line["event"] == "withdrawal-done")
        assert done["actor"] == "fn:events"
        assert 90 <= done["seconds"] <= 92


class TestMeaning:
    """What an alert stands for."""

    @pytest.mark.parametrize(
        ("code", "words", "withdrawn"),
        [("80901", "UNSTOP", False), ("80908", "On my way", False), ("80908", "baja", True), ("80901", "END", True)],
    )
    def test_word_decides(self, world: World, code: str, words: str, withdrawn: bool) -> None:
        """A word that comes back, and talk whose webhook failed, withdraw nothing; stop words do."""
        world.emulator.faults.add({"on": "webhook", "mode": "lost"})
        _, alert = swallowed(world, words)
        world.emulator.faults.clear()
        world.tell({**alert, "error_code": code})
        standings = world.ledger.standings_of(world.identities.party(ANA))
        assert (State.WITHDRAWN in {one.state for one in standings}) is withdrawn

    def test_barred_text_withdraws_its_recipient(self, world: World) -> None:
        """21610 about a text that was not sent withdraws who it was for, never who wrote."""
        world.conversation()
        carrier = world.emulator.carrier
        barred = carrier.messaging.bar(carrier.account_sid, POOL[0], BEN, "hello")
        inbound = carrier.messaging.receive(carrier.account_sid, ANA, POOL[0], "hello")
        for sid in (inbound.sid, barred.sid):
            world.tell({"error_code": "21610", "resource_sid": sid})
        states = {
            phone: {one.state for one in world.ledger.standings_of(world.identities.party(phone))}
            for phone in (ANA, BEN)
        }
        assert states == {ANA: {State.GIVEN}, BEN: {State.WITHDRAWN}}

    @pytest.mark.parametrize(
        "alert",
        [
            {"error_code": "80908", "resource_sid": "CA" + "1" * 32},
            {"error_code": "80901", "resource_sid": None},
            {"error_code": "80901", "resource_sid": "SM" + "1" * 32, "account_sid": "AC" + "9" * 32},
            {"error_code": "80901", "resource_sid": "SM" + "1" * 32},
            {"error_code": None},
        ],
    )
    def test_alert_without_a_message_is_passed_over(self, world: World, alert: dict[str, Any]) -> None:
        """A call, no resource, another account and a message that is gone change nothing and are not sent again."""
        assert world.tell(alert)["statusCode"] == 204
        assert world.rows("EVENT#") == []


class TestForged:
    """What Twilio did not sign, or not like this."""

    def test_wrong_signature_is_refused(self, world: World) -> None:
        """Without the account's token nothing is read."""
        _, alert = swallowed(world)
        assert world.tell(alert, token="wrong")["statusCode"] == 403
        assert len(world.rows("EVENT#")) == 2

    def test_another_body_is_refused(self, world: World) -> None:
        """A signed URL does not vouch for a body with another hash."""
        _, alert = swallowed(world)
        assert world.tell(alert, declared=b"[]")["statusCode"] == 403
        assert len(world.rows("EVENT#")) == 2

    @pytest.mark.parametrize("payload", ["", "{", "[]", "7", "[" * 100_000])
    def test_payload_that_is_none_is_refused(self, world: World, payload: str) -> None:
        """A payload that is no JSON object is refused, not retried."""
        assert world.debug({}, Payload=payload[:60_000])["statusCode"] == 403


class TestFailures:
    """What has to be sent again."""

    @pytest.mark.parametrize("match", ["GET api.*/Messages/"])
    def test_twilio_that_does_not_answer_is_asked_again_later(self, world: World, match: str) -> None:
        """An alert whose message cannot be read now is answered 503, and taken when it is told again."""
        sid, alert = swallowed(world)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": match})
        assert world.tell(alert)["statusCode"] == 503
        world.emulator.faults.clear()
        assert world.tell(alert)["statusCode"] == 204
        assert world.status_at_twilio(sid) == "closed"

    def test_batch_that_takes_too_long_is_sent_again(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sink waits five seconds: what there is no time for is answered 503."""
        _, alert = swallowed(world)
        with monkeypatch.context() as slow:
            slow.setattr("parley.withdrawal.URGENT_SECONDS", -1.0)
            assert world.tell(alert)["statusCode"] == 503
        assert world.tell(alert)["statusCode"] == 204

    def test_ledger_that_is_down_is_told(self, world: World) -> None:
        """Without the ledger the answer is 503, never a pretended success."""
        _, alert = swallowed(world)
        world.break_ledger()
        answer = world.tell(alert)
        assert (answer["statusCode"], "Traceback" in str(body(answer))) == (503, False)
