"""messaging.twilio.com/v1: Messaging Services, their numbers, and the state of their A2P campaigns."""

from __future__ import annotations

from typing import Any, Final

from local.twilio import paging
from local.twilio.messaging_services import render
from local.twilio.moments import iso8601
from local.twilio.routes import Answer, Exchange, Routes
from local.twilio.state import MessagingService, OwnedNumber

ROUTES: Final = Routes("messaging")
_LARGEST: Final = 400
"""Records in a page of numbers."""


def _service(exchange: Exchange, sid: str) -> MessagingService:
    return exchange.carrier.messaging_services.fetch(exchange.account.sid, sid)


def _url(exchange: Exchange) -> str:
    return f"https://messaging.twilio.com{exchange.path}"


def _number(service: MessagingService, number: OwnedNumber) -> dict[str, Any]:
    able = [name.upper() if name != "voice" else "Voice" for name, value in number.capabilities.items() if value]
    return {
        "sid": number.sid,
        "account_sid": service.account_sid,
        "service_sid": service.sid,
        "date_created": iso8601(service.updated),
        "date_updated": iso8601(service.updated),
        "phone_number": number.phone_number,
        "country_code": number.iso_country,
        "capabilities": able,
        "url": f"https://messaging.twilio.com/v1/Services/{service.sid}/PhoneNumbers/{number.sid}",
    }


@ROUTES.add("GET", "/v1/Services")
def list_services(exchange: Exchange) -> Answer:
    """List the account's Messaging Services."""
    found = exchange.carrier.messaging_services.all(exchange.account.sid)
    shown = paging.v1(_url(exchange), "services", found, exchange.query, render, 1000)
    return 200, shown


@ROUTES.add("POST", "/v1/Services")
def create_service(exchange: Exchange) -> Answer:
    """Make a Messaging Service."""
    made = exchange.carrier.messaging_services.create(exchange.account.sid, exchange.form)
    return 201, render(made)


@ROUTES.add("GET", "/v1/Services/<sid>")
def fetch_service(exchange: Exchange, sid: str) -> Answer:
    """Fetch a Messaging Service."""
    return 200, render(_service(exchange, sid))


@ROUTES.add("POST", "/v1/Services/<sid>")
def update_service(exchange: Exchange, sid: str) -> Answer:
    """Change a Messaging Service."""
    service = _service(exchange, sid)
    exchange.carrier.messaging_services.update(service, exchange.form)
    return 200, render(service)


@ROUTES.add("DELETE", "/v1/Services/<sid>")
def delete_service(exchange: Exchange, sid: str) -> Answer:
    """Delete a Messaging Service."""
    exchange.carrier.messaging_services.delete(_service(exchange, sid))
    return 204, None


@ROUTES.add("GET", "/v1/Services/<sid>/PhoneNumbers")
def list_numbers(exchange: Exchange, sid: str) -> Answer:
    """List the numbers of a Messaging Service."""
    service = _service(exchange, sid)
    found = exchange.carrier.messaging_services.numbers(service)
    shown = paging.v1(
        _url(exchange), "phone_numbers", found, exchange.query, lambda each: _number(service, each), _LARGEST
    )
    return 200, shown


@ROUTES.add("POST", "/v1/Services/<sid>/PhoneNumbers")
def add_number(exchange: Exchange, sid: str) -> Answer:
    """Put a number into a Messaging Service."""
    service = _service(exchange, sid)
    number = exchange.carrier.messaging_services.add(service, exchange.form.get("PhoneNumberSid", ""))
    return 201, _number(service, number)


@ROUTES.add("DELETE", "/v1/Services/<sid>/PhoneNumbers/<number>")
def remove_number(exchange: Exchange, sid: str, number: str) -> Answer:
    """Take a number out of a Messaging Service."""
    exchange.carrier.messaging_services.remove(_service(exchange, sid), number)
    return 204, None


@ROUTES.add("GET", "/v1/Services/<sid>/Compliance/Usa2p")
def list_campaigns(exchange: Exchange, sid: str) -> Answer:
    """List the A2P campaigns of a Messaging Service: the newest first, one at most in practice."""
    service = _service(exchange, sid)
    shown = [
        {**each, "account_sid": service.account_sid, "messaging_service_sid": service.sid} for each in service.campaigns
    ]
    meta = {"key": "compliance", "page": 0, "page_size": 50, "next_page_url": None, "previous_page_url": None}
    return 200, {"compliance": shown, "meta": {**meta, "url": _url(exchange), "first_page_url": _url(exchange)}}
