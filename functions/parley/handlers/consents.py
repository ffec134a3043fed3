"""`POST /v1/consents` records what a person said about a consent; `GET /v1/consents/{party}` tells where they stand."""

from __future__ import annotations

from datetime import timedelta

from parley import log, runtime
from parley.core import moments
from parley.core.consent import ConsentEvent, State
from parley.core.identity import is_party_key, label
from parley.core.problem import invalid, problem
from parley.core.requests import ConsentRequest, InvalidBodyError, consent_request, read_json
from parley.ports import SourceEventReusedError
from parley.web import Answer, Request, answer, failed_api, guarded, refuse
from parley.withdrawal import close_denied, named


@guarded("consents", failed_api)
def handle(request: Request) -> Answer:
    """Answer both routes."""
    if request.method == "POST":
        return _record(request)
    return _show(request.parameter("party"))


def _record(request: Request) -> Answer:
    """Append the event; when it says no, close what lost its consent before answering.

    201: recorded. 200: recorded before, nothing written. 202: recorded, but Twilio could not be made to close every
    session yet; the gate refuses them meanwhile and the reconciler closes them.
    """
    env, clock = runtime.environment(), runtime.clock()
    try:
        wanted = consent_request(read_json(request.body), now=clock.now(), methods=env.consent.methods)
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    event = _event(wanted, request.caller)
    try:
        appended = runtime.ledger().append([event])
    except SourceEventReusedError:
        detail = "This source_event_id was used for another consent; nothing was recorded. Use a new one."
        return refuse(problem("source-event-reused", 409, detail))
    receipt = appended.receipts[0]
    log.emit(
        "consent-recorded",
        party=label(event.party),
        scope=event.scope,
        state=event.state,
        standing=receipt.state,
        record=receipt.record_id,
        repeated=appended.repeated,
    )
    pending: tuple[str, ...] = ()
    if wanted.state is not State.GIVEN:
        reason = f"{wanted.scope}-{wanted.state}"
        pending = close_denied(runtime.ledger(), runtime.carrier(), clock, event.party, reason=reason).pending
    body = {
        "record_id": receipt.record_id,
        "party": event.party,
        "scope": receipt.scope,
        "state": receipt.state,
        "seq": receipt.seq,
        "recorded_at": receipt.recorded_at,
        "valid_until": receipt.valid_until,
    }
    if pending:
        return answer(202, {**body, "pending_sessions": list(pending)})
    return answer(200 if appended.repeated else 201, body)


def _event(wanted: ConsentRequest, caller: str) -> ConsentEvent:
    env, identities = runtime.environment(), runtime.identities()
    validity = env.consent.validity_days
    notice = wanted.notice
    if notice is not None:
        policy = {"url": env.controller.privacy_policy_url, "version": env.controller.privacy_policy_version}
        notice = {**notice, "privacy_policy": policy}
    return ConsentEvent(
        party=identities.party(wanted.party),
        counterpart=None if wanted.counterpart is None else identities.party(wanted.counterpart),
        scope=wanted.scope,
        state=wanted.state,
        kind=wanted.kind,
        method=wanted.method,
        notice=notice,
        evidence=wanted.evidence,
        requested_at=wanted.occurred_at if wanted.state is State.REQUESTED else None,
        effective_at=wanted.occurred_at,
        valid_until=wanted.occurred_at + timedelta(days=validity)
        if validity is not None and wanted.state is State.GIVEN
        else None,
        controller=named(env.controller),
        withdrawal={"channel": "api", "covers": "relation" if wanted.counterpart else "service"}
        if wanted.state is State.WITHDRAWN
        else None,
        actor=f"api:{caller}",
        source_event_id=wanted.source_event_id,
    )


def _show(party: str) -> Answer:
    if not is_party_key(party):
        detail = "The path takes a party key, 64 hex digits; a number or a name must not stand in a URL."
        return refuse(problem("not-a-party-key", 400, detail))
    now = runtime.clock().now()
    consents = [
        {
            "scope": standing.scope,
            "counterpart": standing.counterpart,
            "state": standing.at(now),
            "effective_at": moments.to_text(standing.effective_at),
            "valid_until": None if standing.valid_until is None else moments.to_text(standing.valid_until),
            "seq": standing.seq,
            "record_id": standing.record_id,
        }
        for standing in runtime.ledger().standings_of(party)
    ]
    return answer(200, {"party": party, "consents": consents})
