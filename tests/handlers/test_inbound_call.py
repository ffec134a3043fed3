"""Calls over sessions of our own, from phone to phone over the emulator."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from parley import bridge, runtime, twiml
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.signed import TARGETS
from parley.core.consent import Method, Scope, State
from parley.core.disclosure import Notice
from parley.handlers import recorder
from parley.ports import Interaction
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse  # type: ignore[import-untyped]

from local.twilio.interpreter import HUNG_UP
from local.twilio.numbers import describe
from local.twilio.simulator import Outcome, Ring
from tests.handlers.archives import Archives
from tests.handlers.direct import make_direct, put_pool
from tests.handlers.test_inbound_message import counted, masked, signed
from tests.handlers.world import ACCOUNT, ANA, BEN, GATE, POOL, STRANGER, World, aws, body, lines

TAKE = Ring(callee_digits=("1",))

GOLDEN = Path(__file__).parent / "golden" / "calls.json"
"""`PARLEY_GOLDEN=write` writes it anew; then read what changed."""

PHONES = {
    "de": ("+493023125001", "+493023125002", "+493023125003", "+493023125040"),
    "en": ("+12125550121", "+12125550122", "+12125550123", "+12125550140"),
    "es": ("+34000000001", "+34000000002", "+34000000003", "+34000000040"),
    "ja": ("+815000000001", "+815000000002", "+815000000003", "+815000000040"),
}
"""Three people and a number of the pool, by the language that is spoken there."""

HELD = Ring(callee_digits=("1",), hold=True)


class Asked:
    """A client that notes which of its operations are asked for."""

    def __init__(self, client: Any, asked: set[str]) -> None:
        self._client, self._asked = client, asked

    def __getattr__(self, operation: str) -> Any:
        """Return an operation."""
        self._asked.add(operation)
        return getattr(self._client, operation)


@pytest.fixture(autouse=True)
def archives(world: World) -> Archives:
    """Give the stores of a gate whose sessions are its own."""
    return make_direct(world)


def recorded(world: World) -> dict[str, Any]:
    """Return an open session of Ana and Ben, who both agreed to be recorded."""
    for party in (ANA, BEN):
        world.consent(party)
        world.consent(party, scope="record_voice")
    return body(world.open(record=["voice"]))


def asking(world: World) -> dict[str, Any]:
    """Return an open session of Ana and Ben whose calls ask for recording, by a key."""
    world.declare_consent(methods={"default": ["in_app"], "record_voice": ["in_app", "ivr_keypress"]})
    for party in (ANA, BEN):
        world.consent(party)
    return body(world.open(record=["voice"]))


def recordings(world: World) -> int:
    """Return how many recordings Twilio has."""
    return len(world.emulator.carrier.state.recordings)


def held_and_recorded(world: World, archives: Archives, caller: str, number: str, ring: Ring) -> Outcome:
    """Let a call go on, and the recorder do its work."""
    outcome = world.call(caller, number, ring)
    archives.work("recorder", recorder.handle)
    return outcome


class TestConnected:
    """What gets through."""

    def test_both_are_told_before_they_are_connected(self, world: World) -> None:
        """The caller hears through whom they talk, the other one too, and takes the call by a key."""
        session = world.conversation()
        outcome = world.call(ANA, masked(session), TAKE)
        assert outcome.alerts == []
        assert outcome.connected
        assert "We are connecting you with the other person through" in outcome.heard[0]
        assert "Press 1 to take the call" in outcome.callee_heard[0]
        child = world.emulator.carrier.state.calls[str(outcome.outbound_sid)]
        assert (child.from_, child.to) == (masked(session, 1), BEN)

    @pytest.mark.moto
    def test_one_read_before_the_other_phone_rings(self, world: World) -> None:
        """A call is answered after one request to the ledger."""
        session = world.conversation()
        form = {"CallSid": "CA" + "5" * 32, "From": ANA, "To": masked(session), "CallStatus": "ringing"}
        with counted("dynamodb") as found:
            answer = signed(world, form, path="/twilio/call")
        assert "<Dial" in answer["body"]
        assert found == Counter({"GetItem": 1})

    @pytest.mark.moto
    def test_nobody_waits_for_boto3(self, world: World) -> None:
        """Before somebody takes a call all that is asked goes without boto3, on the caller's leg and on the other."""
        session = world.conversation()
        call, leg = "CA" + "5" * 32, "CA" + "6" * 32
        asked: set[str] = set()

        world.patch.setattr(runtime, "_awaited_client", lambda service: Asked(aws(service), asked))
        world.patch.setattr(runtime, "_client", lambda service: pytest.fail(f"boto3 was made for {service}"))
        runtime.reset()
        form = {"CallSid": call, "From": ANA, "To": masked(session), "CallStatus": "ringing"}
        dialled = signed(world, form, path="/twilio/call")["body"]
        url = unescape(dialled.partition('<Number url="')[2].partition('"')[0]).removeprefix(GATE)
        form = {"CallSid": leg, "From": masked(session, 1), "To": BEN, "CallStatus": "in-progress"}
        assert "<Gather" in signed(world, form, path=url)["body"]
        assert asked == {"get_item", "get_secret_value", "generate_mac", "decrypt"} == set(TARGETS)

    def test_log_has_every_state(self, world: World) -> None:
        """A call's states are in the log, its end included, so that no call is looked for that is over."""
        session = world.conversation()
        world.call(ANA, masked(session), TAKE)
        rows = [runtime.ledger().interactions(session["session"])]
        found = {(row.get("inbound_status"), row.get("outbound_status")) for each in rows for row in each}
        assert ("in-progress", "in-progress") in found
        assert ("completed", "completed") in found
        assert runtime.carrier().live_calls(session["session"]) == ([], True)

    def test_second_call(self, world: World) -> None:
        """Two people may call each other again, and from either side."""
        session = world.conversation()
        assert world.call(ANA, masked(session), TAKE).connected
        assert world.call(BEN, masked(session, 1), TAKE).connected
        held = world.call(ANA, masked(session), HELD)
        busy = world.call(BEN, masked(session, 1), Ring(answer="busy"))
        assert (held.connected, busy.connected) == (True, False)
        assert "not available" in busy.heard[-1]

    @pytest.mark.parametrize("language", PHONES)
    def test_languages(self, world: World, archives: Archives, language: str) -> None:
        """Each phone hears the very words of tests/handlers/golden/calls.json, in the language of its own number."""
        golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
        heard = words_of_calls(world, language)
        if os.environ.get("PARLEY_GOLDEN") == "write":
            golden[language] = heard
            GOLDEN.write_text(json.dumps(golden, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        assert heard == golden[language]


def words_of_calls(world: World, language: str) -> dict[str, dict[str, list[str]]]:
    """Return what both phones hear on each kind of call between two people of a language, the caller first."""
    caller, callee, third, pool = PHONES[language]
    own_number(world, pool)
    purposes = {"call-recordings": ["safety"], "session-map": ["safety"], "interaction-log": ["billing", "safety"]}
    world.patch.setenv("PARLEY_PURPOSES", json.dumps(purposes))
    world.declare_consent(methods={"default": ["in_app"], "record_voice": ["in_app", "ivr_keypress"]})
    for party in (caller, callee, third):
        world.consent(party)
    people = [{"identifier": caller}, {"identifier": callee}]
    found: dict[str, dict[str, list[str]]] = {}

    def play(kind: str, ring: Ring, **request: Any) -> None:
        """Open a session, let one call the other, and close it."""
        session = body(world.open(key=kind, **{"participants": people, **request}))
        assert "participants" in session, session
        outcome = world.call(caller, masked(session), ring)
        found[kind] = {"caller": outcome.heard, "callee": outcome.callee_heard}
        world.get("sessions-delete", session["session"])
        world.clock.advance(120)

    play("not recorded", TAKE)
    play("nobody answers", Ring(answer="no-answer"))
    play("three people", TAKE, participants=[*people, {"identifier": third}])
    play("asked to be recorded", Ring(digits=("1",), callee_digits=("1",)), record=["voice"])
    for party in (caller, callee):
        world.consent(party, scope="record_voice")
    play("recorded", TAKE, record=["voice"])
    play("refused by the callee", Ring(callee_digits=("9",)))
    return found


def own_number(world: World, number: str) -> None:
    """Put a further number into the pool."""
    if world.emulator.carrier.numbers.by_phone_number(number) is None:
        world.emulator.carrier.numbers.own(ACCOUNT, describe(number, sms=True, voice=True, mms=True), {})
    put_pool(world, *POOL, number)


class TestNobody:
    """When nobody is connected."""

    @pytest.mark.parametrize("answer", ["busy", "no-answer", "failed", "voicemail"])
    def test_nobody_there(self, world: World, answer: str) -> None:
        """Who does not answer is not available; a voicemail takes no call and consents to nothing."""
        session = recorded(world)
        outcome = world.call(ANA, masked(session), Ring(answer=answer))
        assert not outcome.connected
        assert "not available" in outcome.heard[-1]
        assert recordings(world) == 0

    @pytest.mark.parametrize("keys", [(), ("2",), ("3",), ("#",), ("11",), ("*", "1"), (HUNG_UP,)])
    def test_other_keys_take_no_call(self, world: World, keys: tuple[str, ...]) -> None:
        """Any key but the one that was named, or none, connects nobody."""
        session = world.conversation()
        outcome = world.call(ANA, masked(session), Ring(callee_digits=keys))
        assert not outcome.connected
        assert "not available" in outcome.heard[-1]

    @pytest.mark.parametrize("caller", [STRANGER, POOL[0], POOL[1]])
    def test_stranger(self, world: World, caller: str) -> None:
        """Who has no session on a number, or is a number of the pool, reaches nobody and is offered to refuse."""
        session = world.conversation()
        number = next(one for one in POOL if one != caller)
        outcome = world.call(caller, number, TAKE)
        assert (outcome.connected, outcome.outbound_sid) == (False, None)
        assert "press 9 now" in outcome.heard[0]
        assert session

    @pytest.mark.parametrize("caller", ["", "anonymous", "+266696687", "112", "911", "sip:x@y"])
    def test_withheld_number(self, world: World, caller: str) -> None:
        """A withheld or a short number is nobody whom consent could be asked of: nothing is dialled."""
        session = world.conversation()
        form = {"CallSid": "CA" + "5" * 32, "From": caller, "To": masked(session), "CallStatus": "ringing"}
        answer = signed(world, form, path="/twilio/call")
        assert answer["statusCode"] == 200
        assert "<Dial" not in answer["body"]

    def test_mode(self, world: World) -> None:
        """A session for texts lets no call through."""
        world.consent(ANA)
        world.consent(BEN)
        session = body(world.open(mode="message-only"))
        assert world.call(ANA, masked(session), TAKE).outbound_sid is None

    @pytest.mark.parametrize("person", [ANA, BEN])
    def test_consent_taken_back(self, world: World, person: str) -> None:
        """A consent that was taken back connects neither of them any more."""
        session = world.conversation()
        world.consent(person, "withdrawn")
        assert world.call(ANA, masked(session), TAKE).outbound_sid is None
        assert world.call(BEN, masked(session, 1), TAKE).outbound_sid is None

    @pytest.mark.parametrize("person", [ANA, BEN])
    @pytest.mark.parametrize("kind", ["voice", "call-status", "whisper", "gather"])
    def test_no_between_two_steps(self, world: World, person: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whenever during the call somebody says no, the two are not connected, or not any more."""
        session = world.conversation()
        deliver = world.emulator.webhooks.deliver
        said: list[str] = []

        def after(webhook: Any) -> Any:
            reply = deliver(webhook)
            if webhook.kind == kind and not said:
                said.append(kind)
                world.consent(person, "withdrawn")
            return reply

        monkeypatch.setattr(world.emulator.webhooks, "deliver", after)
        outcome = world.call(ANA, masked(session), HELD)
        assert said
        calls = world.emulator.carrier.state.calls
        assert all(leg.status not in {"queued", "ringing", "in-progress"} for leg in calls.values())
        assert kind == "gather" or not outcome.connected

    @pytest.mark.parametrize("person", [ANA, BEN])
    def test_no_between_the_log_and_the_bridge(
        self, world: World, person: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A no that comes after the call was logged, and before the two are connected, is read there."""
        session, log_interaction = world.conversation(), DynamoLedger.log_interaction
        said: list[str] = []

        def logged(ledger: DynamoLedger, interaction: Interaction) -> Any:
            done = log_interaction(ledger, interaction)
            if interaction.outbound_status == "in-progress" and not said:
                said.append(person)
                world.consent(person, "withdrawn")
            return done

        monkeypatch.setattr(DynamoLedger, "log_interaction", logged)
        outcome = world.call(ANA, masked(session), HELD)
        assert said
        assert not outcome.connected

    @pytest.mark.parametrize("who", [ANA, BEN])
    def test_no_that_no_webhook_brought(self, world: World, who: str) -> None:
        """A no by text that was lost is found before a call is connected, whoever said it."""
        session = world.conversation()
        world.emulator.faults.add({"on": "webhook", "mode": "lost", "match": "^sms", "times": 1})
        world.text(who, masked(session, 0 if who == ANA else 1), "please stop contacting me")
        world.clock.advance(5)
        assert not world.call(ANA, masked(session), TAKE).connected
        assert world.session(session["session"]).status == "closed"

    def test_end_of_a_call_of_an_earlier_session(self, world: World) -> None:
        """The end of a call is no part of the log of the session that has its line by then."""
        session = world.conversation()
        outcome = world.call(ANA, masked(session), TAKE)
        world.get("sessions-delete", session["session"])
        world.clock.advance(60)
        again = body(world.open(key="anew"))
        assert masked(again) == masked(session)
        form = {"CallSid": outcome.sid, "From": ANA, "To": masked(again), "CallStatus": "completed"}
        assert signed(world, form, path="/twilio/call/status")["statusCode"] == 204
        assert world.ledger.interactions(again["session"]) == []

    def test_steps_that_are_told_again_keep_no_session_open(self, world: World) -> None:
        """The steps of a call that is over, told again, do not put off the end of a session in which nothing passes."""
        world.consent(ANA)
        world.consent(BEN)
        session = body(world.open(idle_ttl=600))
        world.call(ANA, masked(session), TAKE)
        heard = [one["url"] for one in world.emulator.webhooks.log()]
        before = [row["last_at"] for row in world.rows("LINE#")]
        world.clock.advance(300)
        for call in list(world.emulator.carrier.state.calls.values()):
            for url in heard:
                form = {"CallSid": call.sid, "From": call.from_, "To": call.to, "Digits": "1"}
                form |= {"CallStatus": "completed", "DialCallStatus": "completed", "DialBridged": "true"}
                signed(world, form, path=url.removeprefix("https://gate.example.com"))
        assert [row["last_at"] for row in world.rows("LINE#")] == before

    def test_consent_that_runs_out_while_it_rings(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A session whose end comes while the phone rings connects nobody."""
        session = world.conversation()
        deliver = world.emulator.webhooks.deliver

        def after(webhook: Any) -> Any:
            reply = deliver(webhook)
            if webhook.kind == "voice":
                world.clock.advance(3600)
            return reply

        monkeypatch.setattr(world.emulator.webhooks, "deliver", after)
        assert not world.call(ANA, masked(session), TAKE).connected

    @pytest.mark.parametrize("keys", [(HUNG_UP,)])
    def test_caller_hangs_up(self, world: World, keys: tuple[str, ...]) -> None:
        """A caller who hangs up at the notice rings nobody's phone."""
        session = world.conversation()
        outcome = world.call(ANA, masked(session), Ring(digits=keys, callee_digits=("1",)))
        assert (outcome.connected, outcome.outbound_sid) == (False, None)


class TestRefused:
    """Nine, on either leg."""

    def test_by_the_caller(self, world: World) -> None:
        """A caller who presses 9 where keys are offered refuses all contact, and nobody's phone rings."""
        session = recorded(world)
        outcome = world.call(ANA, masked(session), Ring(digits=("9",)))
        assert outcome.outbound_sid is None
        assert "Your withdrawal is on record" in outcome.heard[-1]
        self.check(world, ANA)

    @pytest.mark.parametrize("make", [World.conversation, recorded, asking])
    def test_by_whoever_is_called(self, world: World, make: Callable[[World], dict[str, Any]]) -> None:
        """Who is called and presses 9 refuses all contact; they hear that it counts, the caller that nobody is."""
        session = make(world)
        outcome = world.call(ANA, masked(session), Ring(callee_digits=("9",)))
        assert not outcome.connected
        assert "Your withdrawal is on record" in outcome.callee_heard[-1]
        assert "not available" in outcome.heard[-1]
        self.check(world, BEN)

    def check(self, world: World, person: str) -> None:
        """Check that somebody's no is recorded, with its proof, and ends their sessions."""
        party = world.identities.party(person)
        last = world.ledger.records(party)[-1].event
        assert (last.state, last.method) == (State.WITHDRAWN, Method.IVR_KEYPRESS)
        assert last.evidence["digits"] == "9"
        assert last.evidence["leg"] == ("caller" if person == ANA else "callee")
        assert world.ledger.open_sessions_of(party) == []


class TestRecorded:
    """What is recorded, and what is not."""

    def test_with_standing_consent(self, world: World, archives: Archives) -> None:
        """Where everybody agreed before, both hear it, and recording starts once the call is taken."""
        session = recorded(world)
        outcome = held_and_recorded(world, archives, ANA, masked(session), HELD)
        assert "With everyone's consent we record this call" in outcome.heard[0]
        assert "With everyone's consent we record the call" in outcome.callee_heard[0]
        assert recordings(world) == 1

    @pytest.mark.parametrize(("caller", "callee"), [(("2",), ("1",)), ((), ("2",)), (("2",), ("2",))])
    def test_without(self, world: World, archives: Archives, caller: tuple[str, ...], callee: tuple[str, ...]) -> None:
        """A 2 on either leg leaves this call unrecorded; the next one is recorded again."""
        session = recorded(world)
        ring = Ring(digits=caller, callee_digits=callee, hold=True)
        outcome = held_and_recorded(world, archives, ANA, masked(session), ring)
        # Who hears that nothing is recorded is offered no 2.
        assert outcome.connected is ((caller, callee) != (("2",), ("2",)))
        assert recordings(world) == 0
        held_and_recorded(world, archives, BEN, masked(session, 1), HELD)
        assert recordings(world) == 1

    @pytest.mark.parametrize("callee", [("1",), ("2",)])
    @pytest.mark.parametrize("caller", [("1",), ("2",), (), ("5",)])
    def test_asked_by_a_key(
        self, world: World, archives: Archives, caller: tuple[str, ...], callee: tuple[str, ...]
    ) -> None:
        """Where a call asks, it is recorded exactly if both pressed 1."""
        session = asking(world)
        ring = Ring(digits=caller, callee_digits=callee, hold=True)
        outcome = held_and_recorded(world, archives, ANA, masked(session), ring)
        both = caller == callee == ("1",)
        assert recordings(world) == int(both)
        assert "Press 1 to agree to recording" in outcome.heard[0]
        if both:
            said = world.ledger.standings_of(world.identities.party(BEN))
            given = [one for one in said if one.scope is Scope.RECORD_VOICE]
            assert [one.counterpart for one in given] == [world.identities.party(ANA)]
            assert given[0].valid_until is not None

    def test_yes_to_one_call_is_no_yes_to_another(self, world: World, archives: Archives) -> None:
        """A yes by a key is over with the longest call; the next call asks again."""
        session = asking(world)
        held_and_recorded(world, archives, ANA, masked(session), Ring(digits=("1",), callee_digits=("1",), hold=True))
        assert recordings(world) == 1
        silent = Ring(callee_digits=("1",), hold=True)
        outcome = held_and_recorded(world, archives, ANA, masked(session), silent)
        assert "Press 1 to agree to recording" in outcome.heard[0]
        assert outcome.connected
        assert recordings(world) == 1

    def test_yes_to_one_call_is_no_yes_in_another_session(self, world: World, archives: Archives) -> None:
        """A session that is opened while a yes to an earlier call is valid asks again, and records nobody unasked."""
        session = asking(world)
        held_and_recorded(world, archives, ANA, masked(session), Ring(digits=("1",), callee_digits=("1",), hold=True))
        assert recordings(world) == 1
        world.clock.advance(60)
        another = body(world.open(record=["voice"], key="another-key-1"))
        assert world.session(another["session"]).scopes == ()
        silent = Ring(callee_digits=("1",), hold=True)
        outcome = held_and_recorded(world, archives, ANA, masked(another), silent)
        assert "Press 1 to agree to recording" in outcome.heard[0]
        assert recordings(world) == 1

    def test_yes_to_one_call_takes_nothing_from_one_that_lasts(self, world: World, archives: Archives) -> None:
        """Who agreed to recording for good, and presses 1 because the other one is asked, still agrees for good."""
        world.declare_consent(methods={"default": ["in_app"], "record_voice": ["in_app", "ivr_keypress"]})
        for party in (ANA, BEN):
            world.consent(party)
        assert world.consent(ANA, scope="record_voice")["statusCode"] == 201
        session = body(world.open(record=["voice"]))
        held_and_recorded(world, archives, ANA, masked(session), Ring(digits=("1",), callee_digits=("1",), hold=True))
        assert recordings(world) == 1
        world.clock.advance(5 * 3600)
        standings = runtime.ledger().standings_of(runtime.identities().party(ANA))
        (kept,) = [one for one in standings if one.scope is Scope.RECORD_VOICE and one.counterpart is None]
        assert (kept.call, kept.state) == ("", State.GIVEN)
        assert world.consent(BEN, scope="record_voice")["statusCode"] == 201
        later = body(world.open(record=["voice"], key="another-key-2"))
        assert world.session(later["session"]).scopes == (Scope.RECORD_VOICE,)

    def test_never_before_the_last_yes(self, world: World, archives: Archives) -> None:
        """Until the other person has taken the call nothing is put on the recorder's queue."""
        session = recorded(world)
        world.call(ANA, masked(session), Ring(answer="voicemail"))
        assert archives.waiting("recorder") == []


class TestFaults:
    """Whatever fails, nobody is connected by it."""

    @pytest.mark.parametrize("mode", ["timeout", "refuse", "lost"])
    @pytest.mark.parametrize("kind", ["voice", "whisper", "gather"])
    def test_webhook_that_fails(self, world: World, kind: str, mode: str) -> None:
        """A step whose answer does not come connects nobody; the caller hears that nobody is available."""
        session = world.conversation()
        world.emulator.faults.add({"on": "webhook", "mode": mode, "match": f"^{kind}"})
        outcome = world.call(ANA, masked(session), HELD)
        assert not outcome.connected
        assert "not available" in outcome.heard[-1]

    def test_ledger_down(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """Without the ledger the fallback answers, which needs none."""
        session = world.conversation()
        world.break_ledger()
        outcome = world.call(ANA, masked(session), TAKE)
        assert (outcome.connected, outcome.alerts) == (False, [11200])
        assert "not available" in outcome.heard[-1]
        assert [one["event"] for one in lines(capsys) if one["event"] == "fallback-answered"]

    def test_key_down(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the key of the line nobody's number is known, so nobody is called."""
        session = world.conversation()

        def fail(*_: Any) -> str:
            from parley.ports import LedgerError  # noqa: PLC0415

            raise LedgerError("no number from KMS")

        monkeypatch.setattr("parley.adapters.identity.Sealer.open", fail)
        outcome = world.call(ANA, masked(session), TAKE)
        assert (outcome.connected, outcome.outbound_sid) == (False, None)

    @pytest.mark.parametrize("mode", ["lost", "duplicate", "reorder"])
    def test_status_callbacks_lost_or_twice(self, world: World, mode: str) -> None:
        """Status callbacks that are lost, doubled or late change nothing of who is connected."""
        session = world.conversation()
        world.emulator.faults.add({"on": "webhook", "mode": mode, "match": "^call-status"})
        outcome = world.call(ANA, masked(session), HELD)
        assert outcome.connected
        world.consent(BEN, "withdrawn")
        assert world.emulator.carrier.state.calls[outcome.sid].status == "completed"

    @pytest.mark.parametrize("path", ["/twilio/call", "/twilio/call/whisper", "/twilio/fallback"])
    def test_forged(self, world: World, path: str) -> None:
        """What nothing proves that Twilio sent is refused."""
        form = {"CallSid": "CA" + "5" * 32, "From": ANA, "To": POOL[0]}
        assert signed(world, form, token="x" * 32, path=path)["statusCode"] == 403

    @pytest.mark.parametrize(
        "path", ["/twilio/call/x", "/twilio/call/answer", "/twilio/call/answer?session=KC1&call=CA1"]
    )
    def test_step_of_nothing(self, world: World, path: str) -> None:
        """A step that names no call is refused."""
        form = {"CallSid": "CA" + "5" * 32, "From": ANA, "To": BEN, "Digits": "1"}
        assert signed(world, form, path=path)["statusCode"] == 403


def canonical(document: str) -> Any:
    """Return a document without what does not matter: the order of attributes, and spaces around texts."""

    def shape(node: ET.Element) -> Any:
        return node.tag, dict(sorted(node.attrib.items())), (node.text or "").strip(), [shape(each) for each in node]

    return shape(ET.fromstring(document))


class TestTwiml:
    """Our documents are those that Twilio's own package makes."""

    TOLD = Notice("calling", "voice", 1, "en", "This is Acme <Rides> & Co.")
    WAY = bridge.Way("+12125550112", "+12125550141", "https://g/w?a=1&b=2", "https://g/s?a=1", "https://g/a", 3600)

    def dial(self, into: VoiceResponse) -> VoiceResponse:
        """Add what dials the other phone."""
        dial = Dial(
            caller_id=self.WAY.masked_number,
            answer_on_bridge=True,
            timeout=25,
            time_limit=3600,
            action=self.WAY.after,
            method="POST",
        )
        dial.number(
            self.WAY.number,
            url=self.WAY.whisper,
            method="POST",
            status_callback=self.WAY.status,
            status_callback_method="POST",
            status_callback_event="initiated ringing answered completed",
        )
        into.append(dial)
        return into

    def test_dialled(self) -> None:
        """A notice, and the other phone."""
        wanted = VoiceResponse()
        wanted.say(self.TOLD.text, language="en-US")
        assert canonical(bridge.dialled(self.WAY, self.TOLD)["body"]) == canonical(str(self.dial(wanted)))

    def test_asked_and_dialled(self) -> None:
        """A notice with keys, and the other phone for whoever presses none."""
        wanted = VoiceResponse()
        gather = Gather(num_digits=1, timeout=2, action="https://g/k?x=1&y=2", method="POST")
        gather.say(self.TOLD.text, language="en-US")
        wanted.append(gather)
        found = bridge.asked_and_dialled(self.TOLD, "https://g/k?x=1&y=2", self.WAY)
        assert canonical(found["body"]) == canonical(str(self.dial(wanted)))

    def test_conference(self) -> None:
        """Whoever waits for the others, and whoever joins."""
        wanted = VoiceResponse()
        wanted.say(self.TOLD.text, language="en-US")
        dial = Dial(action=self.WAY.after, method="POST", time_limit=3600)
        dial.conference(
            "CA1",
            start_conference_on_enter=False,
            end_conference_on_exit=True,
            beep=False,
            wait_url="",
            status_callback=self.WAY.status,
            status_callback_method="POST",
            status_callback_event="join",
        )
        wanted.append(dial)
        found = bridge.waiting(self.TOLD, "CA1", self.WAY.after, self.WAY.status, 3600)
        assert canonical(found["body"]) == canonical(str(wanted))
        wanted, dial = VoiceResponse(), Dial()
        dial.conference("CA1", beep=False, wait_url="")
        wanted.append(dial)
        assert canonical(bridge.joined("CA1")["body"]) == canonical(str(wanted))

    def test_connects_nobody(self) -> None:
        """What is said to nobody's other, and the end of a call."""
        wanted = VoiceResponse()
        wanted.hangup()
        assert canonical(twiml.hung_up()["body"]) == canonical(str(wanted))
        assert canonical(bridge.connected()["body"]) == canonical(str(VoiceResponse()))
