"""Texts that are passed on over sessions of our own, from phone to phone over the emulator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from parley import relaying
from parley.core.consent import Scope, State
from parley.core.signature import sign
from parley.handlers import archive
from parley.ports import CarrierError, LedgerError

from local.twilio.messaging import Attachment
from tests.handlers.archives import Archives
from tests.handlers.direct import make_direct
from tests.handlers.world import (
    ANA,
    BEN,
    GATE,
    POOL,
    STRANGER,
    World,
    aws,
    body,
    deliver,
    form_event,
    lines,
    load,
    problem_of,
)

PICTURE = Attachment("", "image/jpeg", b"\xff\xd8 a picture")


@pytest.fixture(autouse=True)
def archives(world: World) -> Archives:
    """Give the stores of a gate whose sessions are its own."""
    return make_direct(world)


def masked(session: dict[str, Any], place: int = 0) -> str:
    """Return the masked number that a participant of an opened session uses."""
    return str(session["participants"][place]["masked_number"])


@contextmanager
def counted(*services: str) -> Iterator[Counter[str]]:
    """Count the requests to AWS, by operation."""
    found: Counter[str] = Counter()

    def note(model: Any, **_: Any) -> None:
        found[model.name] += 1

    for service in services:
        aws(service).meta.events.register("before-call", note, unique_id="counted")
    try:
        yield found
    finally:
        for service in services:
            aws(service).meta.events.unregister("before-call", unique_id="counted")


def statuses(world: World) -> list[str]:
    """Return the states that the log has of texts."""
    return sorted(row["outbound_status"]["S"] for row in world.rows("INTERACTION#"))


class TestPassedOn:
    """What gets through."""

    def test_text_reaches_the_other_one(self, world: World) -> None:
        """A text to a masked number reaches the other person, whole, from the number that they know."""
        session = world.conversation()
        outcome = world.text(ANA, masked(session), "At the corner")
        assert world.received(BEN) == ["At the corner"]
        (sent,) = [one for one in world.emulator.carrier.state.messages.values() if one.to == BEN]
        assert sent.from_ == masked(session, 1)
        assert outcome.alerts == []
        world.text(BEN, masked(session, 1), "Coming")
        assert world.received(ANA) == ["Coming"]
        assert statuses(world) == ["delivered", "delivered", "queued", "queued", "sent", "sent"]

    @pytest.mark.moto
    def test_one_read_before_it_is_passed_on(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The ledger is asked once before a text is sent on."""
        session = world.conversation()
        asked: list[Counter[str]] = []
        relay = relaying._send

        def send(*arguments: Any, **named: Any) -> Any:
            asked.append(Counter(found))
            return relay(*arguments, **named)

        monkeypatch.setattr(relaying, "_send", send)
        with counted("dynamodb") as found:
            world.text(ANA, masked(session), "At the corner")
        assert asked == [Counter({"UpdateItem": 1})]

    @pytest.mark.parametrize("words", ["", "  ", "\n"])
    def test_empty_text_is_nothing(self, world: World, words: str) -> None:
        """An empty text is passed on to nobody, and is no error."""
        session = world.conversation()
        assert world.text(ANA, masked(session), words).alerts == []
        assert world.received(BEN) == []

    @pytest.mark.parametrize("words", ["x" * 1600, "é" * 1600, "👍🏽" * 800, "日本語 " * 400])
    def test_long_text_is_whole(self, world: World, words: str) -> None:
        """A text of Twilio's length arrives as it is, whatever its alphabet."""
        session = world.conversation()
        world.text(ANA, masked(session), words)
        assert world.received(BEN) == [words]

    def test_longer_text_makes_two(self, world: World) -> None:
        """What is longer than one message makes more, in order, each in the log."""
        session = world.conversation()
        words = "corner " * 400
        world.text(ANA, masked(session), words)
        assert "".join(world.received(BEN)) == words
        assert len(world.received(BEN)) == 2
        assert len({row["sid"]["S"] for row in world.rows("INTERACTION#")}) == 2

    @pytest.mark.parametrize("count", [1, 10, 11])
    def test_files(self, world: World, count: int) -> None:
        """Files arrive byte by byte, more than ten of them in two messages, and no address of theirs works later."""
        session = world.conversation()
        outcome = world.emulator.simulator.text(ANA, masked(session), "look", [PICTURE] * count)
        world.emulator.webhooks.drain()
        assert outcome.alerts == []
        sent = [one for one in world.emulator.carrier.state.messages.values() if one.to == BEN]
        assert sum(len(one.media) for one in sent) == count
        assert {one.status for one in sent} == {"delivered"}
        contents = {
            world.emulator.carrier.messaging.content(one, each["sid"]).size for one in sent for each in one.media
        }
        assert contents == {len(PICTURE.content or b"")}

    @pytest.mark.parametrize("kind", ["application/x-msdownload", "text/html", "image/svg+xml"])
    def test_file_that_is_not_taken(self, world: World, kind: str) -> None:
        """A file of another type is not passed on, nor its text; its sender is told, neutrally."""
        session = world.conversation()
        world.emulator.simulator.text(ANA, masked(session), "look", [Attachment("", kind, b"x")])
        assert world.received(BEN) == []
        (told,) = world.received(ANA)
        assert "was not passed on" in told

    def test_yes_is_talk(self, world: World) -> None:
        """A yes in a session is for the other person."""
        session = world.conversation()
        world.text(ANA, masked(session), "YES")
        assert world.received(BEN) == ["YES"]


class TestNotPassedOn:
    """What does not get through, whatever happens."""

    def test_stranger(self, world: World) -> None:
        """Who has no session on a number reaches nobody, and reads who runs it."""
        session = world.conversation()
        world.text(STRANGER, masked(session), "hello")
        assert world.received(BEN) == []
        assert "No conversation is open here" in world.received(STRANGER)[0]

    def test_other_number_of_the_pool(self, world: World) -> None:
        """A person reaches the other one by their own masked number only."""
        session = world.conversation()
        (other,) = {*POOL} - {masked(session)}
        world.text(ANA, other, "hello")
        assert world.received(BEN) == []

    def test_loop(self, world: World) -> None:
        """A number of the pool that writes to another one reaches nobody, and nothing goes round."""
        session = world.conversation()
        (other,) = {*POOL} - {masked(session)}
        world.text(other, masked(session), "hello")
        assert world.received(BEN) == []
        assert world.received(other) == []

    @pytest.mark.parametrize("words", ["STOP", "revoke", "Please stop texting me!", "停止", "baja"])
    def test_stop_ends_everything(self, world: World, words: str) -> None:
        """A request to stop is not passed on; from then on nothing passes, either way."""
        session = world.conversation()
        world.text(ANA, masked(session), words)
        assert words not in world.received(BEN)
        assert {one.state for one in world.ledger.standings_of(world.identities.party(ANA))} == {State.WITHDRAWN}
        before = len(world.received(ANA)), len(world.received(BEN))
        world.text(BEN, masked(session, 1), "are you there")
        world.text(ANA, masked(session), "hello")
        assert "are you there" not in world.received(ANA)
        assert "hello" not in world.received(BEN)
        assert before[1] + 1 >= len(world.received(BEN))
        assert problem_of(world.open())[1] == "consent-missing"

    def test_stop_word_of_the_account(self, world: World) -> None:
        """A word that Twilio took for an opt-out is one, whatever it is, and is not answered a second time."""
        session = world.conversation()
        form = {"MessageSid": "SM" + "5" * 32, "From": ANA, "To": masked(session), "Body": "adios"}
        answer = signed(world, {**form, "OptOutType": "STOP"})
        assert (answer["statusCode"], "Message>" in answer["body"]) == (200, False)
        assert "adios" not in world.received(BEN)
        assert {one.state for one in world.ledger.standings_of(world.identities.party(ANA))} == {State.WITHDRAWN}

    @pytest.mark.parametrize("person", [ANA, BEN])
    def test_consent_taken_back(self, world: World, person: str) -> None:
        """A consent that is taken back by any way ends it for both, with the very next text."""
        session = world.conversation()
        world.consent(person, "withdrawn", method="in_app")
        world.text(ANA, masked(session), "hello")
        world.text(BEN, masked(session, 1), "hello")
        assert "hello" not in [*world.received(ANA), *world.received(BEN)]

    def test_line_alone_says_so(self, world: World) -> None:
        """The record that takes a consent back revokes the lines with it, before anything closes the session."""
        session = world.conversation()
        party = world.identities.party(BEN)
        (record,) = [one for one in world.ledger.records(party) if one.event.scope is Scope.MANAGE]
        world.ledger.append(
            [replace(record.event, state=State.WITHDRAWN, source_event_id="x", notice=None, evidence={})]
        )
        line = world.ledger.line(world.identities.party(ANA), masked(session))
        assert line is not None
        assert line.revocation is not None

    def test_end_of_the_session(self, world: World) -> None:
        """Nothing passes after the end of a session."""
        session = world.conversation()
        world.clock.advance(3600)
        world.text(ANA, masked(session), "hello")
        assert world.received(BEN) == []

    def test_mode(self, world: World) -> None:
        """A session for calls lets no text pass."""
        world.consent(ANA)
        world.consent(BEN)
        session = body(world.open(mode="voice-only"))
        world.text(ANA, masked(session), "hello")
        assert world.received(BEN) == []

    @pytest.mark.parametrize("sender", ["", "anonymous", "12345", "Acme"])
    def test_sender_that_is_no_number(self, world: World, sender: str) -> None:
        """A withheld number, a short code or a name is nobody whom consent could be asked of: silence."""
        session = world.conversation()
        answer = signed(world, {"MessageSid": "SM" + "5" * 32, "From": sender, "To": masked(session), "Body": "x"})
        assert (answer["statusCode"], "Message>" in answer["body"]) == (200, False)
        assert world.received(BEN) == []

    def test_forged(self, world: World) -> None:
        """What nothing proves that Twilio sent is refused, and nothing of it counts."""
        session = world.conversation()
        form = {"MessageSid": "SM" + "5" * 32, "From": ANA, "To": masked(session), "Body": "STOP"}
        assert signed(world, form, token="x" * 32)["statusCode"] == 403
        assert {one.state for one in world.ledger.standings_of(world.identities.party(ANA))} == {State.GIVEN}


def signed(world: World, form: dict[str, str], token: str = "t" * 32, path: str = "/twilio/message") -> Any:
    """Let Twilio post a form of a text."""
    route, _, query = path.partition("?")
    event = load("intercept-message")["event"] | {"rawPath": route, "rawQueryString": query}
    signature = sign(token, GATE + path, {name: [value] for name, value in form.items()})
    return deliver(form_event(event, urlencode(form).encode(), {"X-Twilio-Signature": signature}))


class TestOnce:
    """A text is passed on once."""

    def test_repeated_webhook(self, world: World) -> None:
        """A text that is told twice is passed on once."""
        session = world.conversation()
        world.emulator.faults.add({"on": "webhook", "mode": "duplicate", "match": "^sms"})
        world.text(ANA, masked(session), "At the corner")
        assert world.received(BEN) == ["At the corner"]

    def test_many_texts(self, world: World) -> None:
        """However many texts a line has seen, the last 64 are still known, whenever it forgets the older ones."""
        session = world.conversation()
        forms = [
            {"MessageSid": f"SM{place:032x}", "From": ANA, "To": masked(session), "Body": str(place)}
            for place in range(70)
        ]
        for form in [*forms, *forms[-64:]]:
            assert signed(world, form)["statusCode"] == 200
        world.emulator.webhooks.drain()
        assert world.received(BEN) == [str(place) for place in range(70)]

    @pytest.mark.parametrize("fault", ["kms", "carrier"])
    def test_what_sent_nothing_may_come_again(self, world: World, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where it is certain that nothing was sent, the webhook fails, and a repeat passes the text on."""
        session = world.conversation()
        form = {"MessageSid": "SM" + "5" * 32, "From": ANA, "To": masked(session), "Body": "hello"}

        def fail(*_: Any, **__: Any) -> Any:
            raise LedgerError("no number from KMS") if fault == "kms" else CarrierError("relay-message", 503)

        with monkeypatch.context() as patch:
            if fault == "kms":
                patch.setattr("parley.adapters.identity.Sealer.open", fail)
            else:
                patch.setattr("parley.adapters.twilio.TwilioCarrier.relay", fail)
            answer = signed(world, form)
        assert (answer["statusCode"], answer["headers"]["content-type"]) == (503, "application/problem+json")
        assert world.received(BEN) == []
        assert signed(world, form)["statusCode"] == 200
        world.emulator.webhooks.drain()
        assert world.received(BEN) == ["hello"]

    def test_unknown_is_not_tried_again(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where Twilio's answer was lost the text is not sent again: twice would be worse."""
        session = world.conversation()
        form = {"MessageSid": "SM" + "5" * 32, "From": ANA, "To": masked(session), "Body": "hello"}
        world.emulator.faults.add({"on": "rest", "mode": "lost-answer", "match": "^POST .*Messages"})
        assert signed(world, form)["statusCode"] == 200
        assert signed(world, form)["statusCode"] == 200
        world.emulator.webhooks.drain()
        assert world.received(BEN) == ["hello"]

    def test_ledger_down(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """Without the ledger nothing passes; the fallback is asked, and says nothing."""
        session = world.conversation()
        world.break_ledger()
        outcome = world.text(ANA, masked(session), "hello")
        assert outcome.alerts == [11200]
        assert world.received(BEN) == world.received(ANA) == []
        assert [one["event"] for one in lines(capsys) if one["event"] == "fallback-answered"]


class TestUnheard:
    """A no whose webhook was lost, and a text that is told in another session than it was written in."""

    @pytest.mark.parametrize("who", [ANA, BEN])
    @pytest.mark.parametrize("lost", ["lost", "refuse"])
    def test_lost_no(self, world: World, who: str, lost: str) -> None:
        """A no that no webhook brought is taken before the next text passes, whoever writes that one."""
        session = world.conversation()
        world.emulator.faults.add({"on": "webhook", "mode": lost, "match": "^sms", "times": 1})
        world.text(who, masked(session, 0 if who == ANA else 1), "please stop contacting me")
        world.clock.advance(5)
        world.text(ANA, masked(session), "Are you there?")
        assert "Are you there?" not in world.received(BEN)
        assert world.session(session["session"]).status == "closed"
        assert problem_of(world.open(key="anew")) == (409, "consent-missing")

    def test_no_from_before(self, world: World) -> None:
        """A no after which somebody agreed again holds nothing up."""
        session = world.conversation()
        world.text(BEN, masked(session, 1), "please stop contacting me")
        world.clock.advance(60)
        world.consent(BEN)
        session = body(world.open(key="anew"))
        world.text(ANA, masked(session), "Are you there?")
        assert world.received(BEN)[-1] == "Are you there?"

    def test_twilio_cannot_be_asked(self, world: World) -> None:
        """While Twilio does not say what it has, nothing passes; a repeat passes once it does."""
        session = world.conversation()
        form = {"MessageSid": "SM" + "5" * 32, "From": ANA, "To": masked(session), "Body": "hello"}
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "^GET .*Messages", "times": 10})
        assert signed(world, form)["statusCode"] == 503
        assert world.received(BEN) == []
        world.emulator.faults.clear()
        assert signed(world, form)["statusCode"] == 200
        assert world.received(BEN) == ["hello"]

    def test_text_of_another_session(self, world: World) -> None:
        """A text of one session, told again in the next one by the same numbers, reaches nobody."""
        session = world.conversation()
        outcome = world.text(ANA, masked(session), "At the corner")
        world.get("sessions-delete", session["session"])
        world.clock.advance(30)
        world.consent(STRANGER)
        people = [{"identifier": ANA}, {"identifier": STRANGER}]
        again = body(world.open(key="anew", participants=people))
        assert masked(again) == masked(session)
        form = {"MessageSid": outcome.sid, "From": ANA, "To": masked(again), "Body": "At the corner"}
        assert signed(world, form)["statusCode"] == 200
        assert "At the corner" not in world.received(STRANGER)

    def test_text_from_before_every_session(self, world: World) -> None:
        """A text that came when there was no session, told again in one, reaches nobody."""
        world.consent(ANA)
        world.consent(BEN)
        outcome = world.text(ANA, POOL[0], "Is this the pharmacy?")
        world.clock.advance(120)
        session = body(world.open())
        form = {"MessageSid": outcome.sid, "From": ANA, "To": masked(session), "Body": "Is this the pharmacy?"}
        assert signed(world, form)["statusCode"] == 200
        assert "Is this the pharmacy?" not in world.received(BEN)


class TestStatuses:
    """What becomes of what was passed on."""

    @pytest.mark.parametrize("code", [30003, 30034])
    def test_undelivered(self, world: World, code: int, capsys: pytest.CaptureFixture[str]) -> None:
        """What does not arrive is in the log with Twilio's code, and without a number or a word."""
        session = world.conversation()
        world.emulator.simulator.undeliverable[BEN] = code
        world.text(ANA, masked(session), "at the corner")
        assert "undelivered" in statuses(world)
        out = capsys.readouterr().out
        assert '"relay-undelivered"' in out
        assert str(code) in out
        assert BEN not in out
        assert "corner" not in out

    def test_barred(self, world: World) -> None:
        """Whoever texted STOP to a number, and was not heard, is withdrawn by the first text that Twilio bars."""
        session = world.conversation()
        world.emulator.carrier.state.opt_outs.add((masked(session, 1), BEN))
        world.text(ANA, masked(session), "hello")
        assert {one.state for one in world.ledger.standings_of(world.identities.party(BEN))} == {State.WITHDRAWN}
        assert world.received(BEN) == []
        assert world.ledger.open_sessions_of(world.identities.party(ANA)) == []

    def test_barred_while_the_ledger_is_down(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bar that the ledger could not take fails the webhook, and a repeat takes it."""
        session = world.conversation()
        world.emulator.carrier.state.opt_outs.add((masked(session, 1), BEN))
        form = {"MessageSid": "SM" + "5" * 32, "From": ANA, "To": masked(session), "Body": "hello"}

        def fail(*_: Any, **__: Any) -> Any:
            raise LedgerError("append")

        with monkeypatch.context() as patch:
            patch.setattr(relaying, "take_refused", fail)
            assert signed(world, form)["statusCode"] == 503
        assert signed(world, form)["statusCode"] == 200
        assert {one.state for one in world.ledger.standings_of(world.identities.party(BEN))} == {State.WITHDRAWN}

    def test_order_and_repeats_change_nothing(self, world: World) -> None:
        """Callbacks in any order, and again, leave one row for each state."""
        session = world.conversation()
        world.emulator.faults.add({"on": "webhook", "mode": "reorder", "match": "^message-status", "times": 1})
        world.emulator.faults.add({"on": "webhook", "mode": "duplicate", "match": "^message-status"})
        world.text(ANA, masked(session), "hello")
        assert statuses(world) == ["delivered", "queued", "sent"]

    @pytest.mark.parametrize("query", ["", "?session=KC1&inbound=SM1&from=KP1&to=KP1"])
    def test_status_of_nothing(self, world: World, query: str) -> None:
        """A status that names no text is refused."""
        form = {"MessageSid": "SM" + "5" * 32, "MessageStatus": "sent"}
        assert signed(world, form, path=f"/twilio/message/status{query}")["statusCode"] == 403


class TestKept:
    """What is kept of texts."""

    @pytest.mark.parametrize("agreed", [True, False])
    def test_only_with_consent(self, world: World, archives: Archives, *, agreed: bool) -> None:
        """A text is in the bucket only where everybody agreed to that; at Twilio both copies go in either case."""
        for party in (ANA, BEN):
            world.consent(party)
            if agreed:
                world.consent(party, scope="store_messages")
        session = body(world.open(store=agreed))
        world.emulator.simulator.text(ANA, masked(session), "at the corner", [PICTURE])
        world.emulator.webhooks.drain()
        world.reconcile()
        archives.work("archive", archive.handle)
        for _ in range(3):
            world.clock.advance(120)
            world.reconcile()
            archives.work("archive", archive.handle)
        kept = [key for key, *_ in archives.versions("parley-content")]
        assert bool(kept) is agreed
        state = world.emulator.carrier.state.messages
        assert not [one for one in state.values() if one.body]


class TestPrivacy:
    """What the stores and the log hold."""

    def test_no_number_and_no_word(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """No row of the ledger and no line of the log holds a person's number or a text."""
        session = world.conversation()
        world.text(ANA, masked(session), "at the corner")
        world.call(BEN, masked(session, 1))
        found = json.dumps(world.rows(), default=list) + capsys.readouterr().out
        for secret in (ANA, BEN, ANA[1:], BEN[1:], "corner"):
            assert secret not in found
