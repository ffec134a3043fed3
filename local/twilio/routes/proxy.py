"""proxy.twilio.com/v1: https://www.twilio.com/docs/proxy/api."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from local.twilio import paging, render
from local.twilio.errors import TwilioError
from local.twilio.numbers import is_e164, number_sid
from local.twilio.proxy import Wish, friendly_name
from local.twilio.routes import Answer, Exchange, Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.twilio.paging import Record
    from local.twilio.state import Participant, Service, Session

ROUTES: Final = Routes("proxy")
LARGEST_PAGE: Final = 100
_SERVICE: Final = "/v1/Services/<service_sid>"
_SESSION: Final = f"{_SERVICE}/Sessions/<session_sid>"
_PARTICIPANT: Final = f"{_SESSION}/Participants/<participant_sid>"
_WISH_KEYS: Final = frozenset({"Identifier", "FriendlyName", "ProxyIdentifier", "ProxyIdentifierSid"})


def _page(exchange: Exchange, key: str, records: Iterable[Record], show: Callable[[Record], dict[str, Any]]) -> Answer:
    url = f"https://proxy.twilio.com{exchange.path}"
    return 200, paging.v1(url, key, records, exchange.query, show, LARGEST_PAGE)


def _service(exchange: Exchange, sid: str) -> Service:
    return exchange.carrier.proxy.service(exchange.account.sid, sid)


def _session(exchange: Exchange, service_sid: str, session_sid: str) -> Session:
    return exchange.carrier.proxy.session(_service(exchange, service_sid), session_sid)


def _participant(exchange: Exchange, service_sid: str, session_sid: str, participant_sid: str) -> Participant:
    return exchange.carrier.proxy.participant(_session(exchange, service_sid, session_sid), participant_sid)


# Services -----------------------------------------------------------------------------------------------------


@ROUTES.add("GET", "/v1/Services")
def list_services(exchange: Exchange) -> Answer:
    """List the Services; also how a kit finds out whether the account has Proxy at all."""
    return _page(exchange, "services", exchange.carrier.proxy.services(exchange.account.sid), render.service)


@ROUTES.add("POST", "/v1/Services")
def create_service(exchange: Exchange) -> Answer:
    """Create a Service."""
    return 201, render.service(exchange.carrier.proxy.create_service(exchange.account.sid, exchange.form))


@ROUTES.add("GET", _SERVICE)
def fetch_service(exchange: Exchange, service_sid: str) -> Answer:
    """Fetch a Service."""
    return 200, render.service(_service(exchange, service_sid))


@ROUTES.add("POST", _SERVICE)
def update_service(exchange: Exchange, service_sid: str) -> Answer:
    """Update a Service."""
    proxy = exchange.carrier.proxy
    service = proxy.update_service(exchange.account.sid, service_sid, exchange.form)
    proxy.rewatch(service)
    return 200, render.service(service)


@ROUTES.add("DELETE", _SERVICE)
def delete_service(exchange: Exchange, service_sid: str) -> Answer:
    """Delete a Service with all that is in it."""
    exchange.carrier.proxy.delete_service(exchange.account.sid, service_sid)
    return 204, None


# Phone numbers ------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_SERVICE}/PhoneNumbers")
def list_numbers(exchange: Exchange, service_sid: str) -> Answer:
    """List a Service's pool."""
    carrier = exchange.carrier
    pool = carrier.proxy.pool(_service(exchange, service_sid))
    return _page(exchange, "phone_numbers", pool, lambda number: render.pool_number(carrier, number))


@ROUTES.add("POST", f"{_SERVICE}/PhoneNumbers")
def add_number(exchange: Exchange, service_sid: str) -> Answer:
    """Add one of the account's numbers to the pool, by Sid or PhoneNumber."""
    service, form = _service(exchange, service_sid), exchange.form
    sid = form.get("Sid") or number_sid(form.get("PhoneNumber", ""))
    if not form.get("Sid") and not is_e164(form.get("PhoneNumber", "")):
        raise TwilioError(20001, "Sid or PhoneNumber (in E.164 form) is required")
    owned = exchange.carrier.numbers.fetch(exchange.account.sid, sid)
    number = exchange.carrier.proxy.add_number(service, owned, reserved=_boolean(form, "IsReserved"))
    return 201, render.pool_number(exchange.carrier, number)


@ROUTES.add("GET", f"{_SERVICE}/PhoneNumbers/<sid>")
def fetch_number(exchange: Exchange, service_sid: str, sid: str) -> Answer:
    """Fetch a number of the pool."""
    number = exchange.carrier.proxy.pool_number(_service(exchange, service_sid), sid)
    return 200, render.pool_number(exchange.carrier, number)


@ROUTES.add("POST", f"{_SERVICE}/PhoneNumbers/<sid>")
def update_number(exchange: Exchange, service_sid: str, sid: str) -> Answer:
    """Set IsReserved, the only thing that can change."""
    number = exchange.carrier.proxy.pool_number(_service(exchange, service_sid), sid)
    if "IsReserved" in exchange.form:
        exchange.carrier.proxy.reserve(number, reserved=_boolean(exchange.form, "IsReserved"))
    return 200, render.pool_number(exchange.carrier, number)


@ROUTES.add("DELETE", f"{_SERVICE}/PhoneNumbers/<sid>")
def remove_number(exchange: Exchange, service_sid: str, sid: str) -> Answer:
    """Take a number out of the pool; the account keeps it."""
    exchange.carrier.proxy.remove_number(exchange.carrier.proxy.pool_number(_service(exchange, service_sid), sid))
    return 204, None


# Sessions -----------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_SERVICE}/Sessions")
def list_sessions(exchange: Exchange, service_sid: str) -> Answer:
    """List a Service's sessions in every state."""
    carrier = exchange.carrier
    sessions = carrier.proxy.sessions(_service(exchange, service_sid))
    return _page(exchange, "sessions", sessions, lambda session: render.session(carrier, session))


@ROUTES.add("POST", f"{_SERVICE}/Sessions")
def create_session(exchange: Exchange, service_sid: str) -> Answer:
    """Create a session, with its participants or without."""
    service = _service(exchange, service_sid)
    session = exchange.carrier.proxy.create_session(service, exchange.form, wishes(exchange))
    return 201, render.session(exchange.carrier, session)


@ROUTES.add("GET", _SESSION)
def fetch_session(exchange: Exchange, service_sid: str, session_sid: str) -> Answer:
    """Fetch a session by SID or UniqueName."""
    return 200, render.session(exchange.carrier, _session(exchange, service_sid, session_sid))


@ROUTES.add("POST", _SESSION)
def update_session(exchange: Exchange, service_sid: str, session_sid: str) -> Answer:
    """Close, re-open or prolong a session."""
    session = _session(exchange, service_sid, session_sid)
    return 200, render.session(exchange.carrier, exchange.carrier.proxy.update_session(session, exchange.form))


@ROUTES.add("DELETE", _SESSION)
def delete_session(exchange: Exchange, service_sid: str, session_sid: str) -> Answer:
    """Delete a session with its participants and interactions."""
    exchange.carrier.proxy.delete_session(_session(exchange, service_sid, session_sid))
    return 204, None


# Participants -------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_SESSION}/Participants")
def list_participants(exchange: Exchange, service_sid: str, session_sid: str) -> Answer:
    """List a session's participants."""
    participants = exchange.carrier.proxy.participants(_session(exchange, service_sid, session_sid))
    return _page(exchange, "participants", participants, render.participant)


@ROUTES.add("POST", f"{_SESSION}/Participants")
def add_participant(exchange: Exchange, service_sid: str, session_sid: str) -> Answer:
    """Add a participant."""
    session = _session(exchange, service_sid, session_sid)
    return 201, render.participant(exchange.carrier.proxy.add_participant(session, wish(exchange.form)))


@ROUTES.add("GET", _PARTICIPANT)
def fetch_participant(exchange: Exchange, service_sid: str, session_sid: str, participant_sid: str) -> Answer:
    """Fetch a participant."""
    return 200, render.participant(_participant(exchange, service_sid, session_sid, participant_sid))


@ROUTES.add("DELETE", _PARTICIPANT)
def remove_participant(exchange: Exchange, service_sid: str, session_sid: str, participant_sid: str) -> Answer:
    """Remove a participant."""
    exchange.carrier.proxy.remove_participant(_participant(exchange, service_sid, session_sid, participant_sid))
    return 204, None


# Interactions -------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_SESSION}/Interactions")
def list_interactions(exchange: Exchange, service_sid: str, session_sid: str) -> Answer:
    """List a session's interactions."""
    interactions = exchange.carrier.proxy.interactions(_session(exchange, service_sid, session_sid))
    return _page(exchange, "interactions", interactions, render.interaction)


@ROUTES.add("GET", f"{_SESSION}/Interactions/<sid>")
def fetch_interaction(exchange: Exchange, service_sid: str, session_sid: str, sid: str) -> Answer:
    """Fetch an interaction."""
    session = _session(exchange, service_sid, session_sid)
    return 200, render.interaction(exchange.carrier.proxy.interaction(session, sid))


@ROUTES.add("DELETE", f"{_SESSION}/Interactions/<sid>")
def delete_interaction(exchange: Exchange, service_sid: str, session_sid: str, sid: str) -> Answer:
    """Delete an interaction, which is where Proxy keeps its own copy of a text."""
    proxy = exchange.carrier.proxy
    proxy.delete_interaction(proxy.interaction(_session(exchange, service_sid, session_sid), sid))
    return 204, None


@ROUTES.add("POST", f"{_PARTICIPANT}/MessageInteractions")
def create_message_interaction(exchange: Exchange, service_sid: str, session_sid: str, participant_sid: str) -> Answer:
    """Text one participant from the number that participant knows. The answer is 200, not 201, as in the spec."""
    participant = _participant(exchange, service_sid, session_sid, participant_sid)
    session = _session(exchange, service_sid, session_sid)
    if exchange.form.get("MediaUrl"):
        raise TwilioError(20001, "MediaUrl is reserved and not supported by Proxy")
    interaction = exchange.simulator.push(session, participant, exchange.form.get("Body", ""))
    return 200, render.message_interaction(interaction)


@ROUTES.add("GET", f"{_PARTICIPANT}/MessageInteractions")
def list_message_interactions(exchange: Exchange, service_sid: str, session_sid: str, participant_sid: str) -> Answer:
    """List what the API texted to a participant."""
    participant = _participant(exchange, service_sid, session_sid, participant_sid)
    interactions = exchange.carrier.proxy.interactions(_session(exchange, service_sid, session_sid))
    mine = [interaction for interaction in interactions if interaction.participant_sid == participant.sid]
    return _page(exchange, "interactions", mine, render.message_interaction)


# Parameters ---------------------------------------------------------------------------------------------------


def _boolean(form: dict[str, str], name: str) -> bool:
    text = form.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise TwilioError(20001, f"{name} must be true or false")
    return text == "true"


def wish(values: dict[str, Any]) -> Wish:
    """Return the participant that a form or a JSON object asks for. Raises TwilioError 20001."""
    if not values.get("Identifier"):
        raise TwilioError(20001, "Identifier is required")
    return Wish(
        str(values["Identifier"]),
        friendly_name(values.get("FriendlyName")),
        values.get("ProxyIdentifier") or None,
        values.get("ProxyIdentifierSid") or None,
    )


def wishes(exchange: Exchange) -> list[Wish]:
    """Return the participants of a session to create: each form field is one JSON object. Raises TwilioError 20001."""
    asked = []
    for text in exchange.fields.getlist("Participants"):
        try:
            values = json.loads(text)
        except ValueError:
            raise TwilioError(20001, "each Participants field must be a JSON object") from None
        if not isinstance(values, dict) or set(values) - _WISH_KEYS:
            raise TwilioError(20001, f"a participant is a JSON object with {', '.join(sorted(_WISH_KEYS))}")
        asked.append(wish(values))
    return asked


def claimed_identifiers(exchange: Exchange) -> set[str]:
    """Return the identifiers that a session-creating call is about to seat, for the check of concurrent creates."""
    return {asked.identifier for asked in wishes(exchange)}
