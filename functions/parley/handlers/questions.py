"""`POST /v1/questions` asks a person for a consent by text, before anybody is connected (requirement R18).

The text comes from a number or Messaging Service outside of the pool (`parley:consent.askFrom`): an answer inside of a
masked session would be shown to the other person, and a yes in a chat is talk. `/twilio/sms` takes the answer.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import datetime, timedelta

from parley import log, runtime
from parley.adapters.numbers import parse_number
from parley.core import moments
from parley.core.consent import ConsentEvent, Method, Scope, State, purposes_of
from parley.core.disclosure import Notice, language_for
from parley.core.identity import label
from parley.core.problem import invalid, problem
from parley.core.questions import Question, askable, objection
from parley.core.requests import InvalidBodyError, QuestionRequest, question_request, read_json
from parley.ports import CarrierError
from parley.reported import with_policy
from parley.telling import asking
from parley.web import Answer, Request, answer, failed_api, guarded, refuse, unavailable
from parley.withdrawal import named


@guarded("questions", failed_api)
def handle(request: Request) -> Answer:
    """Send a question: 201. 200: the same question is open already, and was not sent again."""
    env, now = runtime.environment(), runtime.clock().now()
    try:
        wanted = question_request(read_json(request.body), parse=parse_number)
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    if env.consent.ask_from is None or str(Method.SMS_REPLY) not in env.consent.methods_for(wanted.scope):
        detail = "This stack does not ask for this by text: set parley:consent.askFrom, and sms_reply in its methods."
        return refuse(problem("not-asked-by-text", 409, detail))
    identities, ledger = runtime.identities(), runtime.ledger()
    party = identities.party(wanted.party)
    counterpart = None if wanted.counterpart is None else identities.party(wanted.counterpart)
    refused = _refusal(party, wanted.scope, counterpart, now)
    if refused is not None:
        return refused
    try:
        told = asking(askable()[wanted.scope], wanted.language or language_for(wanted.party))
    except KeyError:
        detail = "The notice names the period and purpose of records that parley:records does not declare."
        return refuse(problem("notice-incomplete", 409, detail))
    question = Question(
        party=party,
        scope=wanted.scope,
        counterpart=counterpart,
        language=told.language,
        notice=told.reference,
        asked_at=now,
        closes_at=now + timedelta(minutes=env.consent.question_minutes),
    )
    pending = ledger.open_question(question, now)
    if pending is not None:
        return _pending(pending, question)
    return _ask(wanted, question, told, request.caller)


def _refusal(party: str, scope: Scope, counterpart: str | None, now: datetime) -> Answer | None:
    """Return why this may not be asked, or None if it may."""
    reason = objection(runtime.ledger().standings_of(party), scope, counterpart, now)
    if reason == "said-no":
        detail = "This person said no, and whoever says no is not asked again; they may come back by themselves."
        return refuse(problem("said-no", 409, detail))
    if reason is not None:
        detail = "This person has agreed to this already; there is nothing to ask."
        return refuse(problem("already-given", 409, detail))
    if runtime.environment().consent.ask_from in runtime.carrier().pool():
        detail = "parley:consent.askFrom is a number of the pool, where an answer would be shown to somebody else."
        return refuse(problem("asked-from-pool", 409, detail))
    return None


def _pending(pending: Question, wanted: Question) -> Answer:
    """Answer for a question that is open: the same one is not sent twice, and another one has to wait."""
    same = (pending.scope, pending.counterpart) == (wanted.scope, wanted.counterpart)
    if same and pending.message_sid:
        return answer(200, _body(pending))
    detail = "Another question to this person is open, and a yes must leave no doubt what it answers; see closes_at."
    return refuse(problem("question-pending", 409, detail, closes_at=moments.to_text(pending.closes_at)))


def _ask(wanted: QuestionRequest, question: Question, told: Notice, caller: str) -> Answer:
    """Send a question and record that it was asked. One that Twilio refuses leaves nothing open."""
    env, ledger = runtime.environment(), runtime.ledger()
    try:
        sid = runtime.carrier().send(env.consent.ask_from or "", wanted.party, told.text)
    except CarrierError as error:
        ledger.settle_question(question, replace(question, answer_sid="not-sent"))
        log.emit("question-not-sent", "WARNING", parties=[label(question.party)], status=error.status, code=error.code)
        if error.unavailable:
            return unavailable("Twilio cannot be reached; repeat the request.")
        return refuse(problem("carrier-refused", 409, "Twilio refused; its code tells why.", code=error.code))
    asked = replace(question, message_sid=sid)
    ledger.settle_question(question, asked)
    contacts = runtime.contacts()
    appended = ledger.append(
        [
            ConsentEvent(
                party=asked.party,
                counterpart=asked.counterpart,
                scope=asked.scope,
                state=State.REQUESTED,
                method=Method.SMS_REPLY,
                notice=with_policy(asked.notice, env.controller),
                evidence={"question_sid": sid, "text_sha256": told.sha256},
                requested_at=asked.asked_at,
                effective_at=asked.asked_at,
                source_event_id=f"{sid}:asked",
                actor=f"api:{caller}",
                controller=named(env.controller),
                purposes=purposes_of(asked.scope, env.purposes),
            )
        ],
        None if contacts is None else functools.partial(contacts.seal, asked.party, wanted.party),
    )
    log.emit(
        "question-asked",
        parties=[label(asked.party)],
        scope=asked.scope,
        resource=sid,
        record=appended.receipts[0].record_id,
    )
    return answer(201, {**_body(asked), "record_id": appended.receipts[0].record_id})


def _body(question: Question) -> dict[str, object]:
    return {
        "question": question.message_sid,
        "party": question.party,
        "scopes": [question.scope],
        "notice": dict(question.notice),
        "closes_at": moments.to_text(question.closes_at),
    }
