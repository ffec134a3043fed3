"""`POST /v1/sessions` opens a masked session, `POST /v1/sessions/{id}/renewals` lets it last longer.

`GET` and `DELETE /v1/sessions/{id}` show and close it, `GET /v1/decisions/{id}` tells why something was permitted or
refused. Callers are the operator's own: whose consent is missing is told to nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from parley import log, runtime
from parley.adapters.numbers import parse_number
from parley.core import moments
from parley.core.consent import Scope
from parley.core.problem import invalid, problem
from parley.core.requests import (
    IDEMPOTENCY_KEY,
    InvalidBodyError,
    idempotency_key,
    read_json,
    renewal_request,
    session_request,
)
from parley.core.sessions import Session, Stage, Status, is_intent_id, modes_for
from parley.core.verdict import DecisionRecord, missing, parse_decision_id, words
from parley.opening import NameReusedError, Opened, UnderWayError, UnsettledError, open_session, renew_session
from parley.ports import CarrierError, OwnNumberError, ReopenError, ShortageError
from parley.web import Answer, Request, answer, failed_api, guarded, refuse, unavailable
from parley.withdrawal import close, judge

NO_NUMBER = frozenset({80201, 80202, 80203, 80205, 80206})
"""Twilio's codes for a pool that has no number for these people (twilio.com/docs/api/errors)."""

NOT_REOPENED: Mapping[str, Mapping[str, Any]] = {
    "session-unknown": problem(
        "session-unknown", 404, "There is no session as reopens names it, or its time has run out; leave reopens out."
    ),
    "other-people": problem(
        "other-people", 409, "The session that reopens names had other participants; name the same ones."
    ),
    "number-in-use": problem(
        "number-in-use",
        409,
        "A masked number of that session is taken for the same person, or not in the pool; free it, or omit reopens.",
    ),
}
"""The refusal of a session that is not opened again, by its reason."""

_SESSION_SID = re.compile(r"KC[0-9a-f]{32}")


@guarded("sessions", failed_api)
def handle(request: Request) -> Answer:
    """Answer the five routes."""
    try:
        return _answer(request)
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    except CarrierError as error:
        return _carrier_refuses(error)
    except UnsettledError:
        return unavailable("The consents or the session changed meanwhile; repeat the request.")


def _answer(request: Request) -> Answer:
    wanted = request.parameter("id")
    if request.path.startswith("/v1/decisions/"):
        return _show_decision(wanted)
    if request.method == "POST" and not wanted:
        return _open(request)
    sid = _sid(wanted)
    session = runtime.ledger().session(sid) if sid else None
    if session is None:
        return _show_intent(wanted) if request.method == "GET" else _unknown()
    if request.method == "POST":
        return _renew(request, session)
    return _close(session) if request.method == "DELETE" else _show(session)


def _sid(wanted: str) -> str | None:
    """Return the SID that a path names, by itself or by the session's intent."""
    if is_intent_id(wanted):
        intent = runtime.ledger().intent(wanted)
        return intent.sid if intent else None
    return wanted if _SESSION_SID.fullmatch(wanted) else None


def _open(request: Request) -> Answer:
    """Open a session, or answer the one that the same request opened before. Raises InvalidBodyError."""
    env = runtime.environment()
    key = idempotency_key(request.headers.get(IDEMPOTENCY_KEY.lower()))
    wanted = session_request(
        read_json(request.body),
        ttl_limit=env.session.ttl,
        mode=env.session.mode,
        modes=modes_for(env.channels),
        parse=parse_number,
        direct=env.is_direct,
    )
    if key is not None and wanted.unique_name is not None:
        reason = f"is there beside {IDEMPOTENCY_KEY}; either makes a repeat harmless, so send one of them"
        raise InvalidBodyError([{"path": "unique_name", "reason": reason}])
    name = f"key:{key}" if key is not None else wanted.unique_name and f"name:{wanted.unique_name}"
    identities = runtime.identities()
    try:
        outcome = open_session(wanted, tuple(identities.party(one) for one in wanted.identifiers), name)
    except UnderWayError:
        detail = "The same request is being carried out at this moment; repeat it in a few seconds."
        return refuse(problem("session-under-way", 409, detail))
    except NameReusedError:
        detail = (
            f"This {IDEMPOTENCY_KEY} or unique_name was used for another request; nothing was opened. Use a new one."
        )
        return refuse(problem("name-reused", 409, detail))
    return _refused(outcome) if isinstance(outcome, DecisionRecord) else _opened(outcome)


def _opened(opened: Opened) -> Answer:
    session, record = opened.session, opened.record
    now = runtime.clock().now()
    body = {
        "session": session.sid,
        "status": _status(session),
        "participants": [
            {"party": party, "masked_number": one.masked_number}
            for one, party in zip(opened.participants, session.parties, strict=True)
        ],
        "closes_at": moments.to_text(session.closes_at),
        "scopes": list(session.scopes),
    }
    if record is None:
        log.emit("session-repeated", session=session.sid, open=not session.is_over(now))
        return answer(200, body)
    return answer(201, {**body, "decision": record.id, "scopes": _scopes(record)})


def _scopes(record: DecisionRecord) -> list[dict[str, Any]]:
    """Return what was decided about each scope that was wanted besides being connected."""
    return [
        {
            "scope": one.scope,
            "permit": one.decided.permit,
            "missing": missing(one.decided.reasons),
            "announcement": one.ruling.announcement,
        }
        for one in record.verdict.judgements[1:]
    ]


def _renew(request: Request, session: Session) -> Answer:
    """Let a session last longer. Raises InvalidBodyError."""
    limit = runtime.environment().session.ttl
    wanted = renewal_request(read_json(request.body), ttl_limit=limit, parties=session.parties)
    outcome = renew_session(session, wanted.ttl, wanted.places)
    if isinstance(outcome, DecisionRecord):
        return _refused(outcome)
    closes_at, scopes = moments.to_text(outcome.closes_at), list(outcome.scopes)
    return answer(200, {"session": outcome.sid, "status": Status.OPEN, "closes_at": closes_at, "scopes": scopes})


def _refused(record: DecisionRecord) -> Answer:
    reasons = missing(record.verdict.manage.reasons)
    if record.refusal == "session-closed":
        detail = "The session is closed, and what is closed is not renewed; open a new one."
        return refuse(problem("session-closed", 409, detail, decision=record.id))
    detail = "Not every party consents to being connected; see missing."
    if record.refusal == "consent-lost":
        detail = "A party took back the consent that the session rests on, and it is being closed; open a new one."
    return refuse(problem("consent-missing", 409, detail, decision=record.id, missing=reasons))


def _carrier_refuses(error: CarrierError) -> Answer:
    if isinstance(error, OwnNumberError):
        detail = "A participant is named by a masked number of this stack; name them by their own."
        return refuse(problem("own-number", 409, detail))
    if isinstance(error, ReopenError):
        return refuse(NOT_REOPENED[error.reason])
    if isinstance(error, ShortageError):
        log.emit("pool-exhausted", "ERROR", codes=sorted({one.calling_code for one in error.lacking}))
        detail = " ".join(one.words() for one in error.lacking) + " Add numbers, or close sessions of these people."
        missing_numbers = [
            {"calling_code": one.calling_code, "area": one.area or None, "needs": one.needs, "missing": one.missing}
            for one in error.lacking
        ]
        return refuse(problem("no-number-available", 503, detail, missing=missing_numbers))
    log.emit("carrier-refuses", "WARNING", operation=error.operation, status=error.status, code=error.code)
    if error.code in NO_NUMBER:
        detail = "The pool has no number for these people; add numbers, or close sessions of theirs."
        return refuse(problem("no-number-available", 503, detail, code=error.code))
    if error.unavailable:
        return unavailable("Twilio cannot be reached; repeat the request.")
    detail = "Twilio refused; its code tells why."
    return refuse(problem("carrier-refused", 409, detail, code=error.code))


def _unknown() -> Answer:
    return refuse(problem("session-unknown", 404, "There is no session with this id, or its time has run out."))


def _status(session: Session) -> Status:
    return Status.CLOSED if session.is_over(runtime.clock().now()) else Status.OPEN


def _show(session: Session) -> Answer:
    now = runtime.clock().now()
    decided, revocation = judge(runtime.ledger(), session, now), session.revocation
    return answer(
        200,
        {
            "session": session.sid,
            "unique_name": session.name,
            "status": _status(session),
            "mode": session.mode,
            "participants": [{"party": party} for party in session.parties],
            "opened_at": moments.to_text(session.opened_at),
            "closes_at": moments.to_text(session.closes_at),
            **({"idle_ttl": session.idle} if session.idle else {}),
            "closed_at": None if session.closed_at is None else moments.to_text(session.closed_at),
            "closed_reason": session.closed_reason or ("expired" if session.is_over(now) else None),
            "revoked": revocation
            and {
                "record": revocation.record_id,
                "at": moments.to_text(revocation.at),
                "code": revocation.reason,
                "words": words(Scope.MANAGE, revocation.reason.rpartition("-")[2]),
            },
            "scopes": list(session.scopes),
            "missing": missing(decided.reasons),
            "decisions": runtime.ledger().decisions(session.intent),
        },
    )


def _show_intent(wanted: str) -> Answer:
    """Show what became of a request that opened no session: the decisions that refused it, or the failed attempt."""
    if not is_intent_id(wanted):
        return _unknown()
    intent, decisions = runtime.ledger().intent(wanted), runtime.ledger().decisions(wanted)
    if intent is None and not decisions:
        return _unknown()
    stage: str = "refused" if intent is None else intent.stage
    if intent is not None and intent.stage is Stage.OPENING and not intent.is_under_way(runtime.clock().now()):
        stage = Stage.ABANDONED
    return answer(200, {"session": None, "status": stage, "decisions": decisions})


def _show_decision(wanted: str) -> Answer:
    parsed = parse_decision_id(wanted)
    found: Mapping[str, Any] | None = runtime.ledger().decision(*parsed) if parsed else None
    if found is None:
        return refuse(problem("decision-unknown", 404, "There is no decision with this id, or its time has run out."))
    return answer(200, found)


def _close(session: Session) -> Answer:
    if session.status is Status.OPEN and not close(
        runtime.ledger(), runtime.carrier(), session, reason="closed-by-caller"
    ):
        return unavailable("Twilio could not be made to close the session; repeat the request.")
    return answer(204)
