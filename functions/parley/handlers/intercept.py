"""Proxy's InterceptCallbackUrl: may this interaction be connected.

Proxy asks before each message and call, and goes on unless it is told 403 in time (twilio.com/docs/proxy/api/webhooks).
So whatever cannot be proven is answered 403: a bad signature, an unknown session, a ledger that does not answer, a
mistake in this very file. One read answers it: the row of a session says by itself whether its parties still consent,
since whatever takes a consent back is written there in the same transaction. One thing takes a consent back without a
record: a deployment whose notice widens the purpose. No session opens on such a consent any more, and the reconciler's
next run closes those that are open; until then, at most its bound, they connect. Its decisions are lines of the log
only: a row of the ledger would cost a second round trip. Stop words that Proxy itself does not hold back (REVOKE,
OPTOUT, other languages) and phrases such as "stop texting me" are not passed on to the other person either; they are a
withdrawal.

A cold start counts as well: what this file imports is listed by a test, and boto3 is not among it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from parley import cold, log, runtime
from parley.core import moments
from parley.core.admission import refusal
from parley.core.problem import problem
from parley.web import Answer, Form, MalformedError, Request, answer, guarded, refuse, single
from parley.webhook import ForgedError, authenticate


def _forbidden(_error: Exception | None = None) -> Answer:
    return refuse(problem("not-permitted", 403, "No consent of every party could be proven."))


@guarded("intercept", _forbidden)
def handle(request: Request) -> Answer:
    """Answer 200 if every party consents at this moment, else 403."""
    try:
        form = authenticate(request)
    except ForgedError:
        return _deny("signature-invalid")
    now, service = runtime.clock().now(), single(form, "interactionServiceSid")
    sid, interaction = single(form, "interactionSessionSid"), single(form, "interactionSid")
    participant = single(form, "inboundParticipantSid")
    if single(form, "interactionAccountSid") != runtime.setting("PARLEY_TWILIO_ACCOUNT_SID"):
        return _deny("account-mismatch", session=sid, interaction=interaction)
    if service not in runtime.setting("PARLEY_PROXY_SERVICE_SIDS").split(","):
        return _deny("service-mismatch", session=sid, interaction=interaction)
    session = runtime.session_read().admission(sid)
    why = refusal(session, service_sid=service, participant_sid=participant, now=now)
    words = body_of(form)
    if session is not None and participant in session.participants and _is_stop(words):
        message = single(form, "inboundResourceSid")
        _take_stop(sid, session.participants[participant], message, words, created_at(form, now))
        return _deny("opted-out", session=sid, interaction=interaction)
    if session is None or why is not None:
        lost = session.revoked if session is not None else None
        reasons = [why or "session-unknown", *([lost[1]] if lost else [])]
        return _deny(*reasons, session=sid, interaction=interaction, record_ids=[lost[0]] if lost else [])
    log.decision(
        "intercept",
        permit=True,
        reasons=[],
        session=sid,
        interaction=interaction,
        parties=session.participants.values(),
        record_ids=session.records,
    )
    return answer(200, {})


def _is_stop(words: str) -> bool:
    if not words:  # a call, for which the words need not be read
        return False
    from parley.core.optout import is_stop  # noqa: PLC0415 - as above

    return is_stop(words)


def _take_stop(sid: str, party: str, message: str, words: str, said_at: datetime) -> None:
    from parley.stop_words import take_stop  # noqa: PLC0415 - nine tenths of the gate's imports, needed here only

    session = runtime.ledger().session(sid)
    if session is not None:
        take_stop(session, party, message, words, said_at, actor="fn:intercept")


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


def _deny(*reasons: str, record_ids: Sequence[str] = (), **fields: str) -> Answer:
    log.decision("intercept", permit=False, reasons=reasons, record_ids=record_ids, **fields)
    return _forbidden()


runtime.prepare()
cold.over()
