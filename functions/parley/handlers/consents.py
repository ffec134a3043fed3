"""`POST /v1/consents` records what a person said about a consent; `GET /v1/consents/{party}` tells where they stand.

`GET /v1/consents/{party}/receipts/{id}` gives the receipt of one record, as JSON or as a page.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import datetime

from parley import log, runtime
from parley.adapters.numbers import parse_number
from parley.core import moments
from parley.core.consent import NO, ConsentEvent, Scope, State
from parley.core.decision import UNKNOWN
from parley.core.disclosure import state_at
from parley.core.identity import is_party_key, label
from parley.core.optout import CONFIRM_WITHIN
from parley.core.problem import invalid, problem
from parley.core.receipt import page, receipt
from parley.core.requests import (
    EVERYTHING,
    ConsentRequest,
    InvalidBodyError,
    consent_request,
    read_json,
    says_no_to_all,
)
from parley.core.verdict import words
from parley.ports import Seal, SourceEventReusedError
from parley.reported import event_of
from parley.telling import confirm_by_number
from parley.web import Answer, Request, answer, failed_api, guarded, prefers, refuse, text
from parley.withdrawal import close_denied, has_refused, tell_delay


@guarded("consents", failed_api)
def handle(request: Request) -> Answer:
    """Answer the three routes."""
    if request.method == "POST":
        return _record(request)
    party = request.parameter("party")
    if not is_party_key(party):
        detail = "The path takes a party key, 64 hex digits; a number or a name must not stand in a URL."
        return refuse(problem("not-a-party-key", 400, detail))
    wanted = request.parameter("id")
    return _receipt(party, wanted, request) if wanted else _show(party)


def _record(request: Request) -> Answer:
    """Append the event; when it says no, close what lost its consent before answering.

    201: recorded. 200: recorded before, nothing written. 202: recorded, but Twilio could not be made to close every
    session yet; the gate refuses them meanwhile and the reconciler closes them.
    """
    env, clock = runtime.environment(), runtime.clock()
    try:
        raw, everything = says_no_to_all(read_json(request.body))
        wanted = consent_request(raw, now=clock.now(), methods=env.consent.methods_for, parse=parse_number)
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    identities = runtime.identities()
    party = identities.party(wanted.party)
    counterpart = None if wanted.counterpart is None else identities.party(wanted.counterpart)
    events = [
        event_of(
            replace(wanted, scope=scope),
            party=party,
            counterpart=counterpart,
            actor=f"api:{request.caller}",
            controller=env.controller,
            validity_days=env.consent.validity_days,
            purposes=env.purposes,
        )
        for scope in (Scope if everything else [wanted.scope])
    ]
    event = events[0]
    confirms = _is_confirmed(event, clock.now())
    try:
        appended = runtime.ledger().append(events, _contact(wanted, party))
    except SourceEventReusedError:
        detail = "This source_event_id was used for another consent; nothing was recorded. Use a new one."
        return refuse(problem("source-event-reused", 409, detail))
    written = appended.receipts[0]
    log.emit(
        "consent-recorded",
        party=label(event.party),
        scope=EVERYTHING if everything else event.scope,
        state=event.state,
        standing=written.state,
        record=written.record_id,
        repeated=appended.repeated,
    )
    pending: tuple[str, ...] = ()
    if wanted.state in NO and not appended.repeated:
        tell_delay("api", event.party, event.effective_at, moments.from_text(written.recorded_at))
    if wanted.state is not State.GIVEN:
        reason = f"{wanted.scope}-{wanted.state}"
        closing = close_denied(runtime.ledger(), runtime.carrier(), clock, event.party, reason=reason)
        pending = closing.pending
        if confirms and not appended.repeated:
            # A video room has no masked number.
            sids = [sid for sid in (*closing.closed, *closing.pending) if sid.startswith("KC")]
            confirm_by_number(runtime.carrier(), "withdrawn", sids, party, wanted.party)
    body = {
        "record_id": written.record_id,
        "party": event.party,
        "scope": EVERYTHING if everything else written.scope,
        "state": written.state,
        "seq": written.seq,
        "recorded_at": written.recorded_at,
        "valid_until": written.valid_until,
    }
    if everything:
        body["record_ids"] = [each.record_id for each in appended.receipts]
    if pending:
        return answer(202, {**body, "pending_sessions": list(pending)})
    return answer(200 if appended.repeated else 201, body)


def _is_confirmed(event: ConsentEvent, now: datetime) -> bool:
    """Tell whether the person is to be told that a report counts: their first withdrawal of all contact, while fresh.

    A refusal is none: whoever never agreed is not written to.
    """
    return (
        event.state is State.WITHDRAWN
        and event.scope is Scope.MANAGE
        and event.counterpart is None
        and now - event.effective_at <= CONFIRM_WITHIN
        and not has_refused(runtime.ledger().standings_of(event.party))
    )


def _contact(wanted: ConsentRequest, party: str) -> Seal | None:
    """Return what seals the person's identifier. Who says no is not written down by number for that."""
    contacts = runtime.contacts()
    if contacts is None or wanted.state in NO:
        return None
    return functools.partial(contacts.seal, party, wanted.party)


def _receipt(party: str, wanted: str, request: Request) -> Answer:
    """Answer with the receipt of one record."""
    record = next((each for each in runtime.ledger().records(party) if each.receipt_id == wanted), None)
    if record is None:
        return refuse(problem("receipt-unknown", 404, "This party has no receipt with this id, or its time is over."))
    given = receipt(record, runtime.environment().keep_days)
    if prefers(request, "text/html", over="application/json"):
        return text(200, page(given), "text/html; charset=utf-8")
    return answer(200, given)


def _show(party: str) -> Answer:
    now = runtime.clock().now()
    consents = [
        {
            "scope": standing.scope,
            "counterpart": standing.counterpart,
            "state": state_at(standing, now),
            "words": words(standing.scope, state_at(standing, now) or UNKNOWN),
            "effective_at": moments.to_text(standing.effective_at),
            "valid_until": None if standing.valid_until is None else moments.to_text(standing.valid_until),
            "seq": standing.seq,
            "record_id": standing.record_id,
        }
        for standing in runtime.ledger().standings_of(party)
    ]
    return answer(200, {"party": party, "consents": consents})
