"""Proxy's InterceptCallbackUrl: may this interaction be connected.

Proxy asks before each message and call, and goes on unless it is told 403 in time (twilio.com/docs/proxy/api/webhooks).
So whatever cannot be proven is answered 403: a bad signature, an unknown session, a ledger that does not answer, a
mistake in this very file. Stop words that Proxy itself does not hold back (REVOKE, OPTOUT, other languages) are not
passed on to the other person either; they are a withdrawal.
"""

from __future__ import annotations

import json
from datetime import datetime

from parley import log, runtime
from parley.core import moments, sessions
from parley.core.optout import is_stop
from parley.core.problem import problem
from parley.web import Answer, Form, MalformedError, Request, answer, guarded, refuse, single
from parley.webhook import ForgedError, authenticate
from parley.withdrawal import close_denied, judge, withdraw_by_text


def _forbidden(_error: Exception | None = None) -> Answer:
    return refuse(problem("not-permitted", 403, "No consent of every party could be proven."))


@guarded("intercept", _forbidden)
def handle(request: Request) -> Answer:
    """Answer 200 if every party consents at this moment, else 403."""
    try:
        form = authenticate(request)
    except ForgedError:
        return _deny("signature-invalid")
    env, ledger, now = runtime.environment(), runtime.ledger(), runtime.clock().now()
    sid, interaction = single(form, "interactionSessionSid"), single(form, "interactionSid")
    participant = single(form, "inboundParticipantSid")
    if single(form, "interactionAccountSid") != env.twilio_account_sid:
        return _deny("account-mismatch", session=sid, interaction=interaction)
    if single(form, "interactionServiceSid") != env.proxy_service_sid:
        return _deny("service-mismatch", session=sid, interaction=interaction)
    session = ledger.session(sid)
    refusal = sessions.refusal(session, service_sid=env.proxy_service_sid, participant_sid=participant, now=now)
    party = session.party_of(participant) if session else None
    words = body_of(form)
    if party is not None and is_stop(words):
        withdraw_by_text(
            ledger,
            party=party,
            message_sid=single(form, "inboundResourceSid"),
            word=words,
            said_at=created_at(form, now),
            actor="fn:intercept",
            controller=env.controller,
        )
        close_denied(ledger, runtime.carrier(), runtime.clock(), party, reason="opted-out", urgent=True)
        return _deny("opted-out", session=sid, interaction=interaction)
    if session is None or refusal is not None:
        return _deny(refusal or "session-unknown", session=sid, interaction=interaction)
    decided = judge(ledger, session, now)
    log.decision(
        "intercept",
        permit=decided.permit,
        reasons=log.reasons(decided),
        session=sid,
        interaction=interaction,
        parties=session.parties,
        record_ids=decided.record_ids,
    )
    return answer(200, {}) if decided.permit else _forbidden()


def body_of(form: Form) -> str:
    """Return the text of a message, empty for a call or a picture. Raises MalformedError if it cannot be read."""
    data = single(form, "interactionData")
    if not data or single(form, "interactionType").lower() != "message":
        return ""
    try:
        return str(json.loads(data)["body"] or "")
    except (KeyError, TypeError, ValueError):
        raise MalformedError("the field interactionData holds no message") from None


def created_at(form: Form, now: datetime) -> datetime:
    """Return when an interaction began according to Twilio, never later than now."""
    try:
        return min(moments.from_text(form.get("interactionDateCreated", [""])[0]), now)
    except ValueError:
        return now


def _deny(reason: str, **fields: str) -> Answer:
    log.decision("intercept", permit=False, reasons=[reason], **fields)
    return _forbidden()
