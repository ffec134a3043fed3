"""Event Streams: sinks, subscriptions, and the alerts that go to a webhook as CloudEvents (docs/events).

Of all event types only the debugger's alerts happen here. A sink is `active` at once, and is told each alert once: the
real one tells again for four hours after an answer that is no 2xx.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import TwilioError
from local.twilio.moments import iso8601
from local.twilio.state import EventSink, EventSubscription, new_sid

if TYPE_CHECKING:
    from local.twilio.state import Alert, State

ERROR_LOGGED: Final = "com.twilio.error-logs.error.logged"
SINK_TYPES: Final = frozenset({"kinesis", "webhook", "segment", "email"})


class EventStreams:
    """The account's sinks and subscriptions. Not thread-safe: the caller holds the carrier's lock."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state, self._now = state, now

    def sinks(self, account_sid: str) -> list[EventSink]:
        """Return the sinks of an account."""
        return [one for one in self._state.event_sinks.values() if one.account_sid == account_sid]

    def sink(self, account_sid: str, sid: str) -> EventSink:
        """Return a sink. Raises TwilioError 20404."""
        found = self._state.event_sinks.get(sid)
        if found is None or found.account_sid != account_sid:
            raise TwilioError(20404, f"/Sinks/{sid}")
        return found

    def create_sink(self, account_sid: str, form: Mapping[str, str]) -> EventSink:
        """Make a sink. Raises TwilioError 20001."""
        kind, configuration = form.get("SinkType", ""), _object(form.get("SinkConfiguration", ""))
        if kind not in SINK_TYPES:
            raise TwilioError(20001, f"SinkType must be one of {', '.join(sorted(SINK_TYPES))}")
        if kind == "webhook" and not str(configuration.get("destination", "")).startswith(("https://", "http://127.")):
            raise TwilioError(20001, "SinkConfiguration needs a destination, an https URL")
        made = EventSink(
            sid=new_sid("DG"),
            account_sid=account_sid,
            description=form.get("Description", ""),
            kind=kind,
            configuration=configuration,
            created=self._now(),
            seq=self._state.next_seq(),
        )
        self._state.event_sinks[made.sid] = made
        return made

    def delete_sink(self, sink: EventSink) -> None:
        """Delete a sink. Raises TwilioError 20001 while a subscription uses it."""
        if any(one.sink_sid == sink.sid for one in self._state.event_subscriptions.values()):
            raise TwilioError(20001, "the sink has subscriptions: delete them first")
        del self._state.event_sinks[sink.sid]

    def subscriptions(self, account_sid: str, sink_sid: str = "") -> list[EventSubscription]:
        """Return the subscriptions of an account, or of one sink."""
        return [
            one
            for one in self._state.event_subscriptions.values()
            if one.account_sid == account_sid and sink_sid in {"", one.sink_sid}
        ]

    def subscription(self, account_sid: str, sid: str) -> EventSubscription:
        """Return a subscription. Raises TwilioError 20404."""
        found = self._state.event_subscriptions.get(sid)
        if found is None or found.account_sid != account_sid:
            raise TwilioError(20404, f"/Subscriptions/{sid}")
        return found

    def subscribe(self, account_sid: str, form: Mapping[str, str], types: Sequence[str]) -> EventSubscription:
        """Let a sink be told of events. Raises TwilioError 20001, 20404."""
        sink = self.sink(account_sid, form.get("SinkSid", ""))
        named = [str(_object(each).get("type", "")) for each in types]
        if not named or "" in named:
            raise TwilioError(20001, "Types must be objects with a type")
        made = EventSubscription(
            new_sid("DF"),
            account_sid,
            sink.sid,
            form.get("Description", ""),
            named,
            self._now(),
            self._state.next_seq(),
        )
        self._state.event_subscriptions[made.sid] = made
        return made

    def unsubscribe(self, subscription: EventSubscription) -> None:
        """Tell a sink nothing more of these events."""
        del self._state.event_subscriptions[subscription.sid]

    def told(self, account_sid: str) -> list[str]:
        """Return the URLs of an account that are told of alerts."""
        return [
            str(sink.configuration["destination"])
            for one in self.subscriptions(account_sid)
            if ERROR_LOGGED in one.types and (sink := self._state.event_sinks[one.sink_sid]).kind == "webhook"
        ]


def cloud_events(alert: Alert) -> bytes:
    """Return an alert as a sink gets it: a JSON list of CloudEvents (docs/events/event-types/errors/error-logs)."""
    event = {
        "specversion": "1.0",
        "type": ERROR_LOGGED,
        "source": f"/v1/Alerts/{alert.sid}",
        "id": alert.sid.replace("NO", "EZ", 1),
        "datacontenttype": "application/json",
        "time": iso8601(alert.generated),
        "data": {
            "account_sid": alert.account_sid,
            "sid": alert.sid,
            "service_sid": alert.service_sid,
            "resource_sid": alert.resource_sid,
            "error_code": str(alert.error_code),
            "level": alert.log_level.upper(),
        },
    }
    return json.dumps([event]).encode()


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise TwilioError(20001, "SinkConfiguration and Types must be JSON objects")
    return found
