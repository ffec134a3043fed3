"""What people text to the number that asks (`parley:consent.askFrom`): answers, stop words, and anything else.

Yes counts only while a question to this person is open, for exactly what was asked, with both messages as its proof;
no is a refusal. A stop word or phrase withdraws everything, question or not. Twilio takes YES for an opt-in word of its
own (OptOutType START), which makes it no less of an answer; what Twilio has answered itself (Advanced Opt-Out,
twilio.com/docs/messaging/tutorials/advanced-opt-out) is not answered here again. Anything else gets a help text, once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from parley import log, runtime, twiml
from parley.core import moments
from parley.core.consent import ConsentEvent, Method, Scope, State, purposes_of
from parley.core.disclosure import language_for
from parley.core.optout import HELPED_BY_CARRIER, Word, confirmation, meaning
from parley.core.problem import problem
from parley.core.questions import REMINDER, Question, askable, objection
from parley.ports import CarrierError
from parley.reported import with_policy
from parley.telling import asking, given
from parley.web import Answer, Form, MalformedError, Request, guarded, refuse, sender, single, unavailable
from parley.webhook import ForgedError, authenticate
from parley.withdrawal import close_denied, give_back_by_text, named, soon, tell_delay, withdraw_by_text

ACTOR = "fn:sms"


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    return unavailable("The answer could not be taken.")


@guarded("sms", _failed)
def handle(request: Request) -> Answer:
    """Take what somebody texted; answer with a text only where Twilio has not."""
    form = authenticate(request)
    sid, number, now = single(form, "MessageSid"), sender(form), runtime.clock().now()
    if number is None:
        log.decision("sms", permit=False, reasons=["sender-unknown"], resource=sid)
        return twiml.silence()
    party, handled, said = runtime.identities().party(number), form.get("OptOutType", [""])[0], meaning(_body(form))
    if handled == "STOP" or (said is not None and said.word is Word.STOP):
        # Before anything else is read, so that nothing else can keep it from counting.
        log.decision("sms", permit=False, reasons=["opted-out"], parties=[party], resource=sid)
        return _withdraw(form, party, number, sid, now)
    question = runtime.ledger().question(party)
    if question is not None and question.answer_sid == sid:
        return twiml.silence()
    asked = question if question is not None and question.is_open(now) and _is_for_us(form) else None
    said = meaning(_body(form), asked=asked is not None)
    word = said.word if said else None
    log.decision("sms", permit=False, reasons=[str(word or "other")], parties=[party], resource=sid)
    if asked is not None and word in {Word.YES, Word.NO}:
        agreed = word is Word.YES
        return _take_answer(asked, sid, now, agreed=agreed) if _answers(asked, sid, agreed=agreed) else twiml.silence()
    if word is Word.START or (handled == "START" and word is not Word.YES):
        _give_back(party, sid, now)
        return twiml.silence()
    # Twilio answers HELP and INFO by itself, with Advanced Opt-Out or without.
    answered = handled or _body(form).strip().upper() in HELPED_BY_CARRIER
    return twiml.silence() if answered else _help(party, number, asked)


def _is_for_us(form: Form) -> bool:
    """Tell whether a text went to where questions come from: an answer to another number is none."""
    asked_from = runtime.environment().consent.ask_from
    return asked_from is not None and asked_from in {
        form.get("To", [""])[0],
        form.get("MessagingServiceSid", [""])[0],
    }


def _answers(question: Question, sid: str, *, agreed: bool) -> bool:
    """Tell whether a text was sent after a question, by Twilio's own clock: a webhook may come late, or again.

    Where Twilio cannot be asked a no counts; for a yes the CarrierError is raised.
    """
    try:
        asked, said = runtime.carrier().message(question.message_sid), runtime.carrier().message(sid)
    except CarrierError:
        if agreed:
            raise
        return True
    asked_at = asked.sent_at if asked is not None and asked.sent_at is not None else question.asked_at
    return said is not None and said.sent_at is not None and asked_at.replace(microsecond=0) <= said.sent_at


def _body(form: Form) -> str:
    return form.get("Body", [""])[0]


def _withdraw(form: Form, party: str, number: str, sid: str, now: datetime) -> Answer:
    body = _body(form)
    done = withdraw_by_text(
        runtime.ledger(),
        party=party,
        message_sid=sid,
        words=body,
        said_at=now,
        actor=ACTOR,
        controller=runtime.environment().controller,
    )
    close_denied(runtime.ledger(), runtime.carrier(), runtime.clock(), party, reason="opted-out", deadline=soon())
    told = confirmation(body, now, now) if done.first and not form.get("OptOutType", [""])[0] else None
    return twiml.silence() if told is None else twiml.written(given(told, "sms", language_for(number)))


def _give_back(party: str, sid: str, now: datetime) -> None:
    env = runtime.environment()
    give_back_by_text(
        runtime.ledger(),
        runtime.carrier(),
        party=party,
        message_sid=sid,
        now=now,
        actor=ACTOR,
        controller=env.controller,
        validity_days=env.consent.validity_days,
    )


def _take_answer(question: Question, sid: str, now: datetime, *, agreed: bool) -> Answer:
    """Record a yes or a no to exactly what was asked. A no that was said meanwhile, another way, outweighs a yes."""
    env, ledger = runtime.environment(), runtime.ledger()
    if (
        agreed
        and objection(ledger.standings_of(question.party), question.scope, question.counterpart, now) == "said-no"
    ):
        return twiml.silence()
    days = env.consent.validity_days
    proof = {"question_sid": question.message_sid, "answer_sid": sid, "text_sha256": str(question.notice["sha256"])}
    appended = ledger.append(
        [
            ConsentEvent(
                party=question.party,
                counterpart=question.counterpart,
                scope=question.scope,
                state=State.GIVEN if agreed else State.REFUSED,
                method=Method.SMS_REPLY,
                notice=with_policy(question.notice, env.controller),
                evidence=proof,
                requested_at=question.asked_at,
                effective_at=now,
                valid_until=now + timedelta(days=days) if agreed and days is not None else None,
                source_event_id=f"{sid}:answer",
                actor=ACTOR,
                controller=named(env.controller),
                purposes=purposes_of(question.scope, env.purposes),
            )
        ]
    )
    ledger.settle_question(question, replace(question, answer_sid=sid))
    if not agreed and not appended.repeated:
        tell_delay(ACTOR, question.party, now, moments.from_text(appended.receipts[0].recorded_at))
    if not agreed and question.scope is Scope.MANAGE:
        close_denied(
            ledger, runtime.carrier(), runtime.clock(), question.party, reason="manage-refused", deadline=soon()
        )
    return twiml.silence()


def _help(party: str, number: str, asked: Question | None) -> Answer:
    """Say what is open here, once for each question; who refuses our messages hears nothing."""
    ledger, now = runtime.ledger(), runtime.clock().now()
    refused = objection(ledger.standings_of(party), Scope.RECEIVE_INFO, None, now) == "said-no"
    if refused or not ledger.tell_once(asked.message_sid if asked else "sms", party):
        return twiml.silence()
    if asked is None:
        return twiml.written(given("not-connected", "sms", language_for(number)))
    return twiml.written(asking(REMINDER if asked.scope is Scope.MANAGE else askable()[asked.scope], asked.language))
