"""The key 9 on a call that nobody is connected on: a refusal of all contact, spoken back at once."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from parley.core.consent import Scope, State, sha256_hex, verify_chain

from local.twilio.simulator import Ring
from tests.handlers.world import ANA, GATE, JAPAN, POOL, STRANGER, Answer, World, lines

KEY, CALL = "voice", "out-of-session-call"


def verbs(answer: Answer) -> list[str]:
    """Return the verbs of an answer in their order, those inside of others too."""
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "application/xml")
    return [verb.tag for verb in ET.fromstring(answer["body"]).iter()][1:]


def words(answer: Answer) -> str:
    """Return what an answer speaks."""
    return " ".join(verb.text or "" for verb in ET.fromstring(answer["body"]).iter("Say"))


class TestOffer:
    """What a caller is offered."""

    def test_notice_offers_one_key(self, world: World) -> None:
        """A caller whom nobody is connected to hears how to refuse, and one key is sent to the gate."""
        answer = world.webhook(CALL)
        (gather,) = ET.fromstring(answer["body"]).iter("Gather")
        assert verbs(answer) == ["Gather", "Say", "Hangup"]
        assert (gather.get("numDigits"), gather.get("action")) == ("1", f"{GATE}/twilio/voice")
        assert "press 9" in words(answer)

    @pytest.mark.parametrize("withheld", ["anonymous", ""])
    def test_withheld_number_is_offered_none(self, world: World, withheld: str) -> None:
        """Who calls without a number cannot be told apart, so no key is offered that would do nothing."""
        for event in (CALL, KEY):
            answer = world.webhook(event, From=withheld)
            assert verbs(answer) == ["Say", "Hangup"]
            assert "9" not in words(answer)

    def test_who_refused_is_offered_none(self, world: World) -> None:
        """Who said no already hears so, and nothing else is asked."""
        world.consent(STRANGER, "refused")
        assert verbs(world.webhook(CALL)) == ["Say", "Hangup"]

    @pytest.mark.parametrize("digits", ["1", "*", ""])
    def test_another_key_hears_the_offer_again(self, world: World, digits: str) -> None:
        """Only 9 refuses: any other key withdraws nothing and gives nothing."""
        assert verbs(world.webhook(KEY, Digits=digits)) == ["Gather", "Say", "Hangup"]
        assert world.rows("EVENT#") == []


class TestRefusal:
    """What 9 does."""

    def test_withdraws_everything_and_closes(self, world: World) -> None:
        """9 withdraws every scope with the call as its proof, closes the sessions, and is confirmed by voice."""
        sid = world.conversation()["session"]
        answer = world.webhook(KEY)
        party = world.identities.party(ANA)
        records = world.ledger.records(party)
        said = [record.event for record in records if record.event.state is State.WITHDRAWN]
        assert {event.scope for event in said} == set(Scope)
        assert {event.method for event in said} == {"ivr_keypress"}
        assert (said[0].evidence["call_sid"], said[0].evidence["digits"]) == ("CA" + "9" * 32, "9")
        assert (said[0].withdrawal or {})["channel"] == "voice"
        assert verify_chain(records).seq == len(records)
        assert (world.status_at_twilio(sid), world.open()["statusCode"]) == ("closed", 409)
        assert verbs(answer) == ["Say", "Hangup"]
        assert "Your withdrawal is on record" in words(answer)

    def test_repeated_webhook_is_one_withdrawal(self, world: World) -> None:
        """A webhook that comes twice withdraws once, and speaks the same again."""
        first, again = world.webhook(KEY), world.webhook(KEY)
        assert len(world.rows("EVENT#")) == len(Scope)
        assert first["body"] == again["body"]

    def test_prompt_that_was_heard_is_proven(self, world: World) -> None:
        """The record names the hash of the very words that offered the key, in the caller's language."""
        world.webhook(KEY, From=JAPAN)
        (record, *_) = world.ledger.records(world.identities.party(JAPAN))
        assert record.event.evidence["prompt_sha256"] == sha256_hex(words(world.webhook(CALL, From="+81000000001")))

    def test_time_until_the_block_is_measured(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """How long it took from the key to the record is logged, with who heard it."""
        world.webhook(KEY)
        (done,) = (line for line in lines(capsys) if line["event"] == "withdrawal-done")
        assert (done["actor"], done["seconds"] <= 1) == ("fn:voice", True)

    @pytest.mark.parametrize("webhook", [{"signed": False}, {"token": "wrong"}])
    def test_forged_key_is_refused(self, world: World, webhook: dict[str, bool | str]) -> None:
        """Without Twilio's signature nothing is withdrawn."""
        assert world.webhook(KEY, **webhook)["statusCode"] == 403  # type: ignore[arg-type] # a flag or a token
        assert world.rows("EVENT#") == []

    def test_lost_key_is_not_confirmed(self, world: World) -> None:
        """Without the ledger there is no TwiML, so nobody is told that their no was taken."""
        world.break_ledger()
        assert world.webhook(KEY)["statusCode"] == 503

    def test_emulated_caller_presses_nine(self, world: World) -> None:
        """Through the emulator: a caller hears the offer, presses 9, hears the confirmation, and is barred."""
        world.consent(STRANGER)
        outcome = world.call(STRANGER, POOL[0], Ring(digits=("9",)))
        assert ["press 9" in outcome.heard[0], "on record" in outcome.heard[1]] == [True, True]
        standings = world.ledger.standings_of(world.identities.party(STRANGER))
        assert {one.state for one in standings} == {State.WITHDRAWN}
