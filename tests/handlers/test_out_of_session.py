"""Out of session: nobody is connected, everybody is told who manages the line, and STOP is a withdrawal."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from parley.core.consent import Scope, State

from tests.handlers.world import ACCOUNT, ANA, BEN, JAPAN, POOL, SECOND_TOKEN, STRANGER, Answer, World, lines

CALL, TEXT = "out-of-session-call", "out-of-session-text"
VERBS_THAT_CONNECT = {"Dial", "Redirect", "Enqueue", "Refer", "Connect", "Start"}


def verbs(document: str) -> dict[str, str]:
    """Return the verbs of a TwiML document with their texts."""
    return {verb.tag: (verb.text or "") for verb in ET.fromstring(document).iter() if verb.tag != "Response"}


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
    (say,) = ET.fromstring(document).iter("Say")
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


@pytest.mark.parametrize(
    ("words", "undo"), [("Stop.", False), ("Desabonner", False), ("cancel!", True), ("please stop texting me", True)]
)
def test_confirmation_tells_how_to_undo(world: World, words: str, undo: bool) -> None:
    """A word or phrase that people also say to each other is confirmed with the way to undo it."""
    said = verbs(world.webhook(TEXT, Body=words)["body"])["Message"]
    assert "opted out" in said
    assert ("Reply START" in said) is undo


@pytest.mark.parametrize("words", ["STOP", "revoke", " Cancel "])
def test_word_that_twilio_confirms_is_not_confirmed_again(world: World, words: str) -> None:
    """Twilio answers its own words, and bars what we would send: so we say nothing."""
    assert verbs(world.webhook(TEXT, Body=words)["body"]) == {}
    assert len(world.rows("EVENT#")) == len(Scope)


def test_saying_it_again_is_not_confirmed_again(world: World) -> None:
    """Somebody who said no already gets no second confirmation, whatever words they use."""
    first = world.webhook(TEXT, Body="baja")
    again = world.webhook(TEXT, Body="leave me alone", MessageSid="SM" + "6" * 32)
    assert (list(verbs(first["body"])), verbs(again["body"])) == (["Message"], {})


def test_start_gives_back_notices_only(world: World) -> None:
    """After STOP, START is answered and gives back the service's notices, but no conversation."""
    world.conversation()
    world.webhook(TEXT, From=ANA, Body="STOP")
    world.clock.advance(1)
    sid = world.emulator.carrier.messaging.receive(ACCOUNT, ANA, POOL[0], "Start", []).sid
    answers = [world.webhook(TEXT, From=ANA, Body="Start", MessageSid=sid) for _ in range(2)]
    assert all("No conversation is open" in verbs(answer["body"])["Message"] for answer in answers)
    standings = world.ledger.standings_of(world.identities.party(ANA))
    assert {one.scope for one in standings if one.state is State.GIVEN} == {Scope.RECEIVE_INFO}
    assert {one.scope for one in standings if one.state is State.WITHDRAWN} == set(Scope) - {Scope.RECEIVE_INFO}
    assert world.open()["statusCode"] == 409


def test_start_that_comes_again_later_gives_nothing_back(world: World) -> None:
    """START is worth what it was when it was sent: told late or again, it undoes no stop that was sent after it."""
    sid = world.emulator.carrier.messaging.receive(ACCOUNT, ANA, POOL[0], "START", []).sid
    world.webhook(TEXT, From=ANA, Body="START", MessageSid=sid)
    world.clock.advance(60)
    world.webhook(TEXT, From=ANA, Body="STOP")
    world.clock.advance(86_400)
    world.webhook(TEXT, From=ANA, Body="START", MessageSid=sid)
    standings = world.ledger.standings_of(world.identities.party(ANA))
    assert {one.scope for one in standings if one.state is State.WITHDRAWN} == set(Scope)


@pytest.mark.parametrize("word", ["START", "YES"])
def test_nothing_is_given_that_was_not_taken_back(world: World, word: str) -> None:
    """START of somebody who never said no, and YES without a question, give no consent."""
    world.webhook(TEXT, Body=word)
    assert world.ledger.standings_of(world.identities.party(STRANGER)) == []


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
    first, hangup = twiml(answer)
    say = first[0] if first.tag == "Gather" else first
    assert (say.tag, hangup.tag) == ("Say", "Hangup")
    return say.attrib["language"], say.text or ""


def twiml(answer: Answer) -> list[ET.Element]:
    """Return the verbs of an answer, which must be TwiML."""
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/xml"
    return list(ET.fromstring(answer["body"]))
