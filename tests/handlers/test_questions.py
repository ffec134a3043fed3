"""Asking by text: the question, the window in which an answer counts, and what each answer does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from parley import runtime
from parley.core.consent import ConsentRecord, Kind, Method, Scope, State, verify_chain
from parley.core.evidence import faults

from tests.handlers.world import ACCOUNT, ANA, ASK, BEN, POOL, STRANGER, World, body, lines, problem_of

SMS = "sms"


def asked(world: World, party: str = ANA, **fields: Any) -> dict[str, Any]:
    """Let the application ask somebody; return what it is answered."""
    answer = world.ask(party, **fields)
    assert answer["statusCode"] == 201, answer
    world.clock.advance(1)
    return body(answer)


def records(world: World, party: str = ANA) -> list[ConsentRecord]:
    """Return somebody's records, whose chain must verify."""
    found = world.ledger.records(world.identities.party(party))
    assert verify_chain(found).seq == len(found)
    return found


def states(world: World, party: str = ANA) -> dict[Scope, State | None]:
    """Return where somebody's consents stand, towards the service."""
    found = world.ledger.standings_of(world.identities.party(party))
    return {one.scope: one.state for one in found if one.counterpart is None}


class TestAsking:
    """The question."""

    def test_is_sent_and_recorded(self, world: World) -> None:
        """The notice goes out from the number that asks, and its SID, text and window are on record."""
        told = asked(world)
        (text,) = world.received(ANA)
        assert "Reply YES to agree" in text
        assert "400 days" in text
        (record,) = records(world)
        assert (record.event.state, record.event.method) == (State.REQUESTED, Method.SMS_REPLY)
        assert record.event.evidence["question_sid"] == told["question"]
        assert (record.event.notice or {})["sha256"] == told["notice"]["sha256"]
        assert (record.event.notice or {})["privacy_policy"]["version"] == "2026-02"
        assert states(world) == {Scope.MANAGE: State.REQUESTED}

    @pytest.mark.parametrize(("fields", "language"), [({}, "de"), ({"language": "ja"}, "ja")])
    def test_language(self, world: World, fields: dict[str, str], language: str) -> None:
        """It is asked in the language of the number's country, or in the one that is wanted."""
        assert asked(world, "+491711234567", **fields)["notice"]["language"] == language

    def test_same_question_is_not_sent_twice(self, world: World) -> None:
        """A repeated request finds the question open, and another one has to wait for its end."""
        first = asked(world)
        again = world.ask(ANA)
        assert (again["statusCode"], body(again)["question"]) == (200, first["question"])
        assert problem_of(world.ask(ANA, counterpart=BEN)) == (409, "question-pending")
        assert len(world.received(ANA)) == 1

    def test_window_ends(self, world: World) -> None:
        """After its time another question may be asked, and a yes to the old one is none."""
        asked(world)
        world.clock.advance(1440 * 60)
        world.text(ANA, ASK, "yes")
        assert states(world) == {Scope.MANAGE: State.REQUESTED}
        assert world.ask(ANA)["statusCode"] == 201

    @pytest.mark.parametrize("state", ["refused", "withdrawn"])
    @pytest.mark.parametrize("scope", ["manage", "receive_info", "store_messages"])
    def test_who_said_no_is_not_asked(self, world: World, state: str, scope: str) -> None:
        """Nobody is asked again after a no to the service, to its messages or to the thing itself (R12)."""
        world.consent(ANA, state, scope=scope)
        before = len(world.received(ANA))
        assert problem_of(world.ask(ANA, scopes=["store_messages"])) == (409, "said-no")
        assert len(world.received(ANA)) == before

    def test_what_was_given_is_not_asked(self, world: World) -> None:
        """A consent in force is not asked for."""
        world.consent(ANA)
        assert problem_of(world.ask(ANA)) == (409, "already-given")

    def test_number_of_the_pool_does_not_ask(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """From a masked number a question would be answered into a session, so none is sent."""
        policy = f'{{"methods":["sms_reply"],"validityDays":1,"askFrom":"{POOL[0]}","questionMinutes":5}}'
        monkeypatch.setenv("PARLEY_CONSENT", policy)
        runtime.environment.cache_clear()
        assert problem_of(world.ask(ANA)) == (409, "asked-from-pool")

    @pytest.mark.parametrize(
        "policy",
        [
            '{"methods":["sms_reply"],"validityDays":1,"questionMinutes":5}',
            f'{{"methods":["in_app"],"validityDays":1,"askFrom":"{ASK}","questionMinutes":5}}',
            f'{{"methods":{{"transcribe":["sms_reply"]}},"validityDays":1,"askFrom":"{ASK}","questionMinutes":5}}',
        ],
    )
    def test_stack_that_does_not_ask(self, world: World, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
        """Without a number that asks, or where counsel did not allow the method, nobody is asked."""
        monkeypatch.setenv("PARLEY_CONSENT", policy)
        runtime.environment.cache_clear()
        assert problem_of(world.ask(ANA)) == (409, "not-asked-by-text")

    def test_records_that_are_not_declared(self, world: World) -> None:
        """A question about records that the stack does not keep cannot be put into words."""
        assert problem_of(world.ask(ANA, scopes=["store_messages"])) == (409, "notice-incomplete")

    @pytest.mark.parametrize(("fault", "status"), [({"mode": "error"}, 503), ({"mode": "throttle"}, 503)])
    def test_question_that_was_not_sent_leaves_nothing_open(
        self, world: World, fault: dict[str, str], status: int
    ) -> None:
        """Where Twilio does not take it, nothing is recorded and it may be asked again."""
        world.emulator.faults.add({"on": "rest", "match": "POST api.*/Messages", **fault})
        assert world.ask(ANA)["statusCode"] == status
        world.emulator.faults.clear()
        assert records(world) == []
        asked(world)

    def test_person_whom_twilio_bars(self, world: World) -> None:
        """A refusal of Twilio's own is told with its code."""
        world.emulator.carrier.state.opt_outs.add((ASK, ANA))
        answer = world.ask(ANA)
        assert (problem_of(answer), body(answer)["code"]) == ((409, "carrier-refused"), 21610)

    def test_mistake_in_the_body(self, world: World) -> None:
        """A body that asks for two things at once is refused."""
        assert problem_of(world.ask(ANA, scopes=["manage", "store_messages"])) == (400, "invalid-body")


class TestAnswers:
    """What is texted back while a question is open."""

    @pytest.mark.parametrize("word", ["YES", "Sí.", "ja", "はい"])
    def test_yes_is_a_consent_with_its_proof(self, world: World, word: str) -> None:
        """A yes in any language gives exactly what was asked, proven by both messages and the text."""
        told = asked(world)
        outcome = world.text(ANA, ASK, word)
        event = records(world)[-1].event
        assert (event.state, event.scope, event.kind) == (State.GIVEN, Scope.MANAGE, Kind.EXPLICIT)
        assert dict(event.evidence) == {
            "question_sid": told["question"],
            "answer_sid": outcome.sid,
            "text_sha256": told["notice"]["sha256"],
        }
        now = datetime.fromtimestamp(world.clock.now(), UTC)
        assert faults(Method.SMS_REPLY, Kind.EXPLICIT, event.evidence, now=now, skew=timedelta(0)) == []
        assert event.valid_until == event.effective_at + timedelta(days=365)
        assert states(world) == {Scope.MANAGE: State.GIVEN}

    def test_both_agree_and_are_connected(self, world: World) -> None:
        """Two people who were asked and said yes can be connected."""
        for phone in (ANA, BEN):
            asked(world, phone)
            world.text(phone, ASK, "yes")
        assert world.open()["statusCode"] == 201

    def test_yes_to_one_relation_is_for_that_one(self, world: World) -> None:
        """Who is asked about one person agrees to that person only."""
        asked(world, counterpart=BEN)
        world.text(ANA, ASK, "yes")
        (one,) = world.ledger.standings_of(world.identities.party(ANA))
        assert (one.state, one.counterpart) == (State.GIVEN, world.identities.party(BEN))

    @pytest.mark.parametrize("word", ["NO", "nein", "いいえ"])
    def test_no_is_a_refusal(self, world: World, word: str) -> None:
        """A no refuses what was asked, in silence, and the person is not asked again."""
        asked(world)
        world.text(ANA, ASK, word)
        assert states(world) == {Scope.MANAGE: State.REFUSED}
        assert len(world.received(ANA)) == 1
        assert problem_of(world.ask(ANA)) == (409, "said-no")

    def test_no_after_a_yes_that_was_given_elsewhere_closes_sessions(self, world: World) -> None:
        """A no to a question closes what a consent given meanwhile had opened."""
        asked(world)
        opened = world.conversation()
        world.clock.advance(1)
        world.text(ANA, ASK, "no")
        assert world.status_at_twilio(opened["session"]) == "closed"

    @pytest.mark.parametrize("words", ["baja", "please stop texting me"])
    def test_stop_withdraws_everything(self, world: World, words: str) -> None:
        """A stop word or phrase is more than a no: everything is withdrawn, and confirmed once."""
        asked(world)
        world.text(ANA, ASK, words)
        assert states(world) == dict.fromkeys(Scope, State.WITHDRAWN)
        assert ["opted out" in text for text in world.received(ANA)] == [False, True]

    def test_word_that_twilio_answers_is_not_answered(self, world: World) -> None:
        """STOP is confirmed by Twilio; we record it and say nothing."""
        asked(world)
        world.text(ANA, ASK, "STOP")
        assert states(world) == dict.fromkeys(Scope, State.WITHDRAWN)
        assert len(world.received(ANA)) == 1

    def test_yes_after_a_no_of_another_kind_is_none(self, world: World) -> None:
        """Who withdrew another way while the question was open has answered it: a late yes gives nothing."""
        asked(world)
        world.consent(ANA, "withdrawn")
        world.clock.advance(1)
        world.text(ANA, ASK, "yes")
        assert states(world) == {Scope.MANAGE: State.WITHDRAWN}

    def test_anything_else_is_helped_once(self, world: World) -> None:
        """Other words get the question again in other words, once, and leave it open."""
        asked(world)
        for words in ("what is this", "who are you"):
            world.text(ANA, ASK, words)
        assert ["still open" in text for text in world.received(ANA)] == [False, True]
        world.text(ANA, ASK, "yes")
        assert states(world) == {Scope.MANAGE: State.GIVEN}

    def test_repeated_webhook_is_one_answer(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A webhook that comes twice is one consent and no help text; nothing names the person."""
        asked(world)
        sid = world.text(ANA, ASK, "yes").sid
        capsys.readouterr()
        again = world.webhook(SMS, From=ANA, Body="yes", MessageSid=sid)
        assert "<Message>" not in again["body"]
        assert len(records(world)) == 2
        assert ANA not in str(lines(capsys))

    @pytest.mark.parametrize("words", ["yes", "no"])
    def test_what_was_texted_before_the_question_is_no_answer(self, world: World, words: str) -> None:
        """A webhook that comes late, or again, answers no question that was put after its text was sent."""
        early = world.emulator.carrier.messaging.receive(ACCOUNT, ANA, ASK, words, []).sid
        world.clock.advance(60)
        asked(world)
        world.webhook(SMS, From=ANA, Body=words, MessageSid=early)
        assert states(world) == {Scope.MANAGE: State.REQUESTED}
        world.text(ANA, ASK, "yes")
        assert states(world) == {Scope.MANAGE: State.GIVEN}

    @pytest.mark.parametrize(("words", "state"), [("yes", State.REQUESTED), ("no", State.REFUSED)])
    def test_answer_while_twilio_is_down(self, world: World, words: str, state: State) -> None:
        """When Twilio cannot tell when an answer was texted, a no counts and a yes does not."""
        asked(world)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "GET api.*/Messages/"})
        world.text(ANA, ASK, words)
        assert states(world) == {Scope.MANAGE: state}


class TestNoQuestion:
    """What is texted without a question."""

    @pytest.mark.parametrize("word", ["YES", "はい"])
    def test_yes_gives_nothing(self, world: World, word: str) -> None:
        """A yes that nobody asked for is no consent, and is answered with a help text, once."""
        for _ in range(2):
            world.text(STRANGER, ASK, word)
        assert records(world, STRANGER) == []
        assert ["No conversation is open" in text for text in world.received(STRANGER)] == [True]

    def test_yes_in_a_session_gives_nothing(self, world: World) -> None:
        """A yes to the other person, while a question is open, is talk and passes to them."""
        opened = world.conversation()
        key = world.identities.party(ANA)
        number = next(one["masked_number"] for one in opened["participants"] if one["party"] == key)
        before = len(records(world))
        world.emulator.carrier.state.opt_outs.clear()
        assert world.text(ANA, number, "yes").connected
        assert len(records(world)) == before

    def test_yes_to_another_number_gives_nothing(self, world: World) -> None:
        """A yes that was texted to a number that did not ask answers nothing."""
        asked(world)
        world.webhook(SMS, From=ANA, Body="yes", To="+12125550149")
        assert states(world) == {Scope.MANAGE: State.REQUESTED}

    def test_who_said_no_hears_nothing(self, world: World) -> None:
        """Somebody who refuses our messages gets no help text."""
        world.consent(STRANGER, "refused")
        world.text(STRANGER, ASK, "hello?")
        assert world.received(STRANGER) == []

    @pytest.mark.parametrize("word", ["START", "UNSTOP"])
    def test_start_gives_back_notices_only(self, world: World, word: str) -> None:
        """START after STOP gives back the service's notices and nothing else."""
        world.text(ANA, ASK, "STOP")
        world.clock.advance(1)
        world.text(ANA, ASK, word)
        assert states(world) == dict.fromkeys(Scope, State.WITHDRAWN) | {Scope.RECEIVE_INFO: State.GIVEN}


class TestAdvancedOptOut:
    """What Twilio has handled itself, as OptOutType tells."""

    def test_stop_in_words_that_only_twilio_knows(self, world: World) -> None:
        """A word of the account's own list is a withdrawal though we do not know it, and is not answered."""
        answer = world.webhook(SMS, From=ANA, Body="genug", OptOutType="STOP")
        assert states(world) == dict.fromkeys(Scope, State.WITHDRAWN)
        assert "<Message>" not in answer["body"]

    def test_yes_stays_an_answer(self, world: World) -> None:
        """Twilio takes YES for an opt-in; while a question is open it is the answer to that all the same."""
        asked(world)
        sid = world.emulator.carrier.messaging.receive(ACCOUNT, ANA, ASK, "YES", []).sid
        world.webhook(SMS, From=ANA, Body="YES", OptOutType="START", MessageSid=sid)
        assert states(world) == {Scope.MANAGE: State.GIVEN}

    @pytest.mark.parametrize(("words", "kind"), [("HELP", "HELP"), ("INFO", ""), ("alta", "START")])
    def test_what_twilio_answered_is_not_answered_again(self, world: World, words: str, kind: str) -> None:
        """Help and opt-in words that Twilio answers get no text from us, and give no consent."""
        assert "<Message>" not in world.webhook(SMS, From=ANA, Body=words, OptOutType=kind)["body"]
        assert records(world) == []


class TestForged:
    """What Twilio did not sign."""

    def test_answer_is_refused(self, world: World) -> None:
        """A forged yes gives nothing."""
        asked(world)
        assert world.webhook(SMS, From=ANA, Body="yes", token="wrong")["statusCode"] == 403
        assert states(world) == {Scope.MANAGE: State.REQUESTED}

    def test_short_code_gives_nothing(self, world: World) -> None:
        """A sender that is no number is nobody who can answer."""
        assert world.webhook(SMS, From="12345", Body="yes")["statusCode"] == 200

    def test_ledger_that_is_down_is_told(self, world: World) -> None:
        """Without the ledger the answer is 503, never a pretended success."""
        world.break_ledger()
        assert world.webhook(SMS, From=ANA, Body="yes")["statusCode"] == 503
