"""`POST /v1/sessions` opens a masked session, `GET` and `DELETE /v1/sessions/{id}` show and close it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from parley import log, runtime
from parley.core import moments
from parley.core.decision import Decision, decide
from parley.core.problem import invalid, problem
from parley.core.requests import InvalidBodyError, SessionRequest, read_json, session_request
from parley.core.sessions import MIN_TTL, Participant, Session, Status, closing_time, modes_for
from parley.ports import CarrierError, ConsentChangedError, OpenedSession
from parley.web import Answer, Request, answer, failed_api, guarded, refuse, unavailable
from parley.withdrawal import close, judge

NO_NUMBER = frozenset({80201, 80202, 80203, 80205, 80206})
"""Twilio's codes for a pool that has no number for these people (twilio.com/docs/api/errors)."""

ATTEMPTS = 3
"""How often consents that changed while a session was opened are read again."""

_SESSION_SID = re.compile(r"KC[0-9a-f]{32}")


@guarded("sessions", failed_api)
def handle(request: Request) -> Answer:
    """Answer the three routes."""
    if request.method == "POST":
        return _open(request)
    sid = request.parameter("id")
    session = runtime.ledger().session(sid) if _SESSION_SID.fullmatch(sid) else None
    if session is None:
        return refuse(problem("session-unknown", 404, "There is no session with this id, or its time has run out."))
    return _close(session) if request.method == "DELETE" else _show(session)


def _open(request: Request) -> Answer:
    """Open a session at Twilio and write it down, on condition that the consents it rests on still stand.

    A session that cannot be written down is closed at Twilio again. One that escapes even that is unknown to the
    ledger, so the gate refuses its interactions until its time runs out.
    """
    env = runtime.environment()
    try:
        wanted = session_request(
            read_json(request.body),
            ttl_limit=env.session.ttl,
            mode=env.session.mode,
            modes=modes_for(env.channels),
        )
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    parties = [runtime.identities().party(identifier) for identifier in wanted.identifiers]
    decided = _decide(parties)
    if not decided.permit:
        return _consent_missing(decided)
    now = runtime.clock().now()
    closes_at = closing_time(now, wanted.ttl, decided.valid_until)
    try:
        opened = runtime.carrier().open_session(
            wanted.identifiers,
            unique_name=wanted.unique_name,
            ttl=int((closes_at - now).total_seconds()),
            closes_at=closes_at,
            mode=wanted.mode,
        )
    except CarrierError as error:
        return _carrier_refuses(error)
    session = Session(
        sid=opened.sid,
        service_sid=env.proxy_service_sid,
        participants=tuple(
            Participant(one.sid, party) for one, party in zip(opened.participants, parties, strict=True)
        ),
        mode=wanted.mode,
        opened_at=now,
        closes_at=closes_at,
    )
    return _write_down(session, opened, wanted)


def _write_down(session: Session, opened: OpenedSession, wanted: SessionRequest) -> Answer:
    written = False
    try:
        for _ in range(ATTEMPTS):
            standings = runtime.ledger().standings(session.parties)
            decided = decide(session.parties, standings, runtime.clock().now())
            if not decided.permit:
                return _consent_missing(decided)
            try:
                runtime.ledger().open_session(session, standings)
            except ConsentChangedError:
                continue
            written = True
            break
        else:
            return unavailable("The consents changed while the session was being opened; repeat the request.")
    finally:
        if not written:
            _abandon(session)
    log.decision(
        "sessions",
        permit=True,
        reasons=[],
        parties=session.parties,
        record_ids=decided.record_ids,
        session=session.sid,
        ttl=wanted.ttl,
    )
    participants = [
        {"party": party, "masked_number": one.masked_number}
        for one, party in zip(opened.participants, session.parties, strict=True)
    ]
    closes_at = moments.to_text(session.closes_at)
    return answer(201, {"session": session.sid, "participants": participants, "closes_at": closes_at})


def _decide(parties: Sequence[str]) -> Decision:
    # A consent that runs out within the shortest session is no ground for one.
    soon = runtime.clock().now() + timedelta(seconds=MIN_TTL)
    return decide(parties, runtime.ledger().standings(parties), soon)


def _abandon(session: Session) -> None:
    try:
        runtime.carrier().close_session(session.sid)
    except CarrierError as error:
        log.emit("session-orphaned", "ERROR", session=session.sid, status=error.status, code=error.code)


def _consent_missing(decided: Decision) -> Answer:
    log.decision(
        "sessions",
        permit=False,
        reasons=log.reasons(decided),
        parties=[reason.party for reason in decided.reasons],
        record_ids=decided.record_ids,
    )
    missing = [{"party": one.party, "scope": one.scope, "state": one.state} for one in decided.reasons]
    detail = "Not every party consents to being connected; see missing."
    return refuse(problem("consent-missing", 409, detail, missing=missing))


def _carrier_refuses(error: CarrierError) -> Answer:
    log.emit("session-not-opened", "WARNING", status=error.status, code=error.code)
    if error.code in NO_NUMBER:
        detail = "The pool has no number for these people; add numbers, or close sessions of theirs."
        return refuse(problem("no-number-available", 503, detail, code=error.code))
    if error.unavailable:
        return unavailable("Twilio cannot be reached; repeat the request.")
    detail = "Twilio refused the session; its code tells why."
    return refuse(problem("carrier-refused", 409, detail, code=error.code))


def _show(session: Session) -> Answer:
    now = runtime.clock().now()
    decided = judge(runtime.ledger(), session, now)
    return answer(
        200,
        {
            "session": session.sid,
            "status": Status.CLOSED if session.is_over(now) else Status.OPEN,
            "mode": session.mode,
            "participants": [{"party": party} for party in session.parties],
            "opened_at": moments.to_text(session.opened_at),
            "closes_at": moments.to_text(session.closes_at),
            "closed_at": None if session.closed_at is None else moments.to_text(session.closed_at),
            "closed_reason": session.closed_reason or ("expired" if session.is_over(now) else None),
            "missing": [{"party": one.party, "scope": one.scope, "state": one.state} for one in decided.reasons],
        },
    )


def _close(session: Session) -> Answer:
    if session.status is Status.OPEN and not close(
        runtime.ledger(), runtime.carrier(), session, reason="closed-by-caller"
    ):
        return unavailable("Twilio could not be made to close the session; repeat the request.")
    return answer(204)
