"""events.twilio.com/v1: sinks and subscriptions of Event Streams."""

from __future__ import annotations

from typing import Any, Final

from local.twilio import paging
from local.twilio.moments import iso8601
from local.twilio.routes import Answer, Exchange, Routes
from local.twilio.state import EventSink, EventSubscription

ROUTES: Final = Routes("events")
_ROOT: Final = "https://events.twilio.com"


def _sink(sink: EventSink) -> dict[str, Any]:
    return {
        "sid": sink.sid,
        "description": sink.description,
        "sink_type": sink.kind,
        "sink_configuration": sink.configuration,
        "status": "active",
        "date_created": iso8601(sink.created),
        "date_updated": iso8601(sink.created),
        "url": f"{_ROOT}/v1/Sinks/{sink.sid}",
        "links": {},
    }


def _subscription(one: EventSubscription) -> dict[str, Any]:
    return {
        "sid": one.sid,
        "account_sid": one.account_sid,
        "sink_sid": one.sink_sid,
        "description": one.description,
        "date_created": iso8601(one.created),
        "date_updated": iso8601(one.created),
        "url": f"{_ROOT}/v1/Subscriptions/{one.sid}",
        "links": {"subscribed_events": f"{_ROOT}/v1/Subscriptions/{one.sid}/SubscribedEvents"},
    }


@ROUTES.add("GET", "/v1/Sinks")
def list_sinks(exchange: Exchange) -> Answer:
    """List the account's sinks."""
    found = exchange.carrier.events.sinks(exchange.account.sid)
    return 200, paging.v1(f"{_ROOT}{exchange.path}", "sinks", found, exchange.query, _sink, 1000)


@ROUTES.add("POST", "/v1/Sinks")
def create_sink(exchange: Exchange) -> Answer:
    """Make a sink."""
    return 201, _sink(exchange.carrier.events.create_sink(exchange.account.sid, exchange.form))


@ROUTES.add("GET", "/v1/Sinks/<sid>")
def fetch_sink(exchange: Exchange, sid: str) -> Answer:
    """Fetch a sink."""
    return 200, _sink(exchange.carrier.events.sink(exchange.account.sid, sid))


@ROUTES.add("POST", "/v1/Sinks/<sid>")
def update_sink(exchange: Exchange, sid: str) -> Answer:
    """Describe a sink otherwise: nothing else of it can be changed."""
    sink = exchange.carrier.events.sink(exchange.account.sid, sid)
    sink.description = exchange.form.get("Description", sink.description)
    return 200, _sink(sink)


@ROUTES.add("DELETE", "/v1/Sinks/<sid>")
def delete_sink(exchange: Exchange, sid: str) -> Answer:
    """Delete a sink that no subscription uses."""
    events = exchange.carrier.events
    events.delete_sink(events.sink(exchange.account.sid, sid))
    return 204, None


@ROUTES.add("GET", "/v1/Subscriptions")
def list_subscriptions(exchange: Exchange) -> Answer:
    """List the account's subscriptions, or those of a sink."""
    found = exchange.carrier.events.subscriptions(exchange.account.sid, exchange.query.get("SinkSid", ""))
    return 200, paging.v1(f"{_ROOT}{exchange.path}", "subscriptions", found, exchange.query, _subscription, 1000)


@ROUTES.add("POST", "/v1/Subscriptions")
def create_subscription(exchange: Exchange) -> Answer:
    """Let a sink be told of events."""
    types = exchange.fields.getlist("Types")
    return 201, _subscription(exchange.carrier.events.subscribe(exchange.account.sid, exchange.form, types))


@ROUTES.add("GET", "/v1/Subscriptions/<sid>")
def fetch_subscription(exchange: Exchange, sid: str) -> Answer:
    """Fetch a subscription."""
    return 200, _subscription(exchange.carrier.events.subscription(exchange.account.sid, sid))


@ROUTES.add("GET", "/v1/Subscriptions/<sid>/SubscribedEvents")
def list_types(exchange: Exchange, sid: str) -> Answer:
    """List the event types of a subscription."""
    one = exchange.carrier.events.subscription(exchange.account.sid, sid)
    shown = [
        {"account_sid": one.account_sid, "subscription_sid": one.sid, "type": each, "schema_version": 1, "url": ""}
        for each in one.types
    ]
    url = f"{_ROOT}{exchange.path}"
    meta = {"key": "types", "page": 0, "page_size": 50, "next_page_url": None, "previous_page_url": None}
    return 200, {"types": shown, "meta": {**meta, "url": url, "first_page_url": url}}


@ROUTES.add("DELETE", "/v1/Subscriptions/<sid>")
def delete_subscription(exchange: Exchange, sid: str) -> Answer:
    """Tell a sink nothing more of these events."""
    events = exchange.carrier.events
    events.unsubscribe(events.subscription(exchange.account.sid, sid))
    return 204, None
