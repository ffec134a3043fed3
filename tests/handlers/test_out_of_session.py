"""Out of session: nobody is connected, everybody is told who manages the line, and STOP is a withdrawal."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from parley.core.consent import State

from tests.handlers.world import ANA, BEN, JAPAN, POOL, SECOND_TOKEN, STRANGER, Answer, World, lines

CALL, TEXT = "out-of-session-call", "out-of-session-text"
VERBS_THAT_CONNECT = {"Dial", "Redirect", "Enqueue", "Refer", "Connect", "Start"}


def verbs(document: str) -> dict[str, str]:
    """Return the verbs of a TwiML document with their texts."""
    return {verb.tag: (verb.text or "") for verb in ET.fromstring(document)}


@pytest.mark.parametrize(("event", "verb"), [(CALL, "Say"), (TEXT, "Message")])
def test_says_who_manages_the_line(world: World, event: str, verb: str) -> None:
    """Both forms name the operator and Twilio as TwiML that connects nobody."""
    answer = world.webhook(event)
    said = verbs(answer["body"])
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "application/xml")
    assert "Acme <Rides>" in said[verb]
    assert "Twilio" in said[verb]
    assert not VERBS_THAT_CONNECT & set(said)


def test_other_partys_number_is_never_echoed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The webhook may carry the other person's real number; neither the answer nor the log does."""
    answer = world.webhook(TEXT)
    logged = str(lines(capsys))
    assert all(number not in answer["body"] and number not in logged for number in ("+12125550112", "+12125550113"))


def test_caller_is_addressed_in_the_language_of_the_number(world: World) -> None:
    """A Japanese number hears Japanese, spoken as such."""
    document = world.webhook(CALL, From=JAPAN)["body"]
    (say,) = (verb for verb in ET.fromstring(document) if verb.tag == "Say")
    assert say.get("language") == "ja-JP"
    assert "Twilio" in (say.text or "")


@pytest.mark.parametrize("withheld", ["anonymous", "+266696687", "", "12345"])
def test_withheld_number_is_told_and_nothing_more(world: World, withheld: str) -> None:
    """A caller without a number hears the notice; a text from a short code gets silence."""
    assert world.webhook(CALL, From=withheld)["statusCode"] == 200
    assert world.webhook(TEXT, From=withheld)["statusCode"] == 200


def test_stop_is_a_withdrawal_everywhere(world: World) -> None:
    """STOP to any number closes the person's sessions, is confirmed once, and bars the next session."""
    sid = world.conversation()["session"]
    first = world.webhook(TEXT, From=ANA, Body="Stop.")
    again = world.webhook(TEXT, From=ANA, Body="Stop.")
    assert (list(verbs(first["body"])), list(verbs(again["body"]))) == (["Message"], [])
    assert world.status_at_twilio(sid) == "closed"
    assert world.open()["statusCode"] == 409


def test_who_said_no_gets_no_more_texts(world: World) -> None:
    """After a refusal not even the notice is sent."""
    world.consent(ANA, "refused")
    assert verbs(world.webhook(TEXT, From=ANA)["body"]) == {}


@pytest.mark.parametrize("webhook", [{"signed": False}, {"token": "wrong"}])
def test_forged_webhook_is_refused(world: World, webhook: dict[str, bool | str]) -> None:
    """Without Twilio's signature there is no TwiML."""
    answer = world.webhook(TEXT, **webhook)  # type: ignore[arg-type]
    assert (answer["statusCode"], "<Response" in answer["body"]) == (403, False)


def test_either_token_of_a_rotation_is_accepted(world: World) -> None:
    """While the auth token is rotated, webhooks signed with either are genuine."""
    world.store_tokens("new" * 10, SECOND_TOKEN)
    assert world.webhook(CALL, token=SECOND_TOKEN)["statusCode"] == 200
    assert world.webhook(CALL, token="new" * 10)["statusCode"] == 200


def test_ledger_that_is_down_connects_nobody(world: World) -> None:
    """Without the ledger a caller still hears the notice, and a text gets no TwiML: Proxy then drops it."""
    world.break_ledger()
    assert not VERBS_THAT_CONNECT & set(verbs(world.webhook(CALL)["body"]))
    assert world.webhook(TEXT)["statusCode"] == 503


def test_emulated_stranger_reaches_nobody(world: World) -> None:
    """Through the emulator: a stranger's call and text to a pool number reach no handset of the parties."""
    world.conversation()
    outcome = world.call(STRANGER, POOL[0])
    world.text(STRANGER, POOL[0], "Who is there?")
    assert not outcome.connected
    assert (world.received(ANA), world.received(BEN)) == ([], [])


@pytest.mark.parametrize(
    ("number", "locale"), [(JAPAN, "ja-JP"), ("+491711234567", "de-DE"), ("+34911234567", "es-ES")]
)
def test_language_follows_the_number(world: World, number: str, locale: str) -> None:
    """People are addressed in the language of their number's country."""
    assert spoken(world.webhook(CALL, From=number))[0] == locale


@pytest.mark.parametrize("state", ["withdrawn", "refused"])
def test_who_refused_gets_no_text(world: World, state: str) -> None:
    """Who said no hears so on a call, and gets no text at all."""
    world.consent(STRANGER, state)
    assert twiml(world.webhook(TEXT)) == []
    assert "refused contact" in spoken(world.webhook(CALL))[1]


def test_stop_word_of_a_stranger_is_kept(world: World) -> None:
    """Somebody whom the ledger does not know can say no too."""
    world.webhook(TEXT, Body="REVOKE")
    standings = world.ledger.standings_of(world.identities.party(STRANGER))
    assert {one.state for one in standings} == {State.WITHDRAWN}


def test_lost_stop_word_shows(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A stop word that could not be recorded is not confirmed, and is logged as an error."""
    world.break_ledger()
    capsys.readouterr()
    assert world.webhook(TEXT, Body="REVOKE")["statusCode"] == 503
    assert lines(capsys)[-1]["level"] == "ERROR"


def spoken(answer: Answer) -> tuple[str, str]:
    """Return the locale and the words that an answer speaks, after which the call ends."""
    say, hangup = twiml(answer)
    assert (say.tag, hangup.tag) == ("Say", "Hangup")
    return say.attrib["language"], say.text or ""


def twiml(answer: Answer) -> list[ET.Element]:
    """Return the verbs of an answer, which must be TwiML."""
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/xml"
    return list(ET.fromstring(answer["body"]))
