"""Twilio's debugger as it happens: the account's debugger webhook, or a webhook sink of Event Streams.

Either tells within seconds what the reconciler would find within its interval: words that Proxy swallowed (80901),
webhooks that failed (80908), and texts that are barred by an earlier STOP (21610). Both may be set up, and the
reconciler runs beside them: whatever is told twice counts once. The debugger posts a form with a JSON `Payload`
(twilio.com/docs/usage/troubleshooting/debugging-event-webhooks), Event Streams a JSON list of CloudEvents whose hash is
in the signed URL (twilio.com/docs/events/event-types/errors/error-logs); a sink gets five seconds, and is told again
after a 5xx.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from parley import log, runtime
from parley.core import moments
from parley.core.problem import problem
from parley.found import BARRED, MESSAGES, SWALLOWED, UNHEARD, take_alert
from parley.ports import Alert
from parley.telling import is_late
from parley.web import Answer, MalformedError, Request, answer, guarded, refuse, single, unavailable
from parley.webhook import ForgedError, authenticate, authenticate_json
from parley.withdrawal import soon

LOGGED = "com.twilio.error-logs.error.logged"
CODES = frozenset({SWALLOWED, UNHEARD, BARRED})


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    return unavailable("Not everything could be taken; send it again.")


@guarded("events", _failed)
def handle(request: Request) -> Answer:
    """Take every alert that may be a no; 503 if one has to be sent again."""
    now, deadline = runtime.clock().now(), soon()
    is_json = "json" in request.headers.get("content-type", "").lower()
    alerts = _streamed(authenticate_json(request), now) if is_json else _debugged(authenticate(request), now)
    withdrawn = closed = 0
    for alert in alerts:
        if is_late(deadline):
            return unavailable("There was no time for all of it; send it again.")
        taken = take_alert(alert, actor="fn:events", deadline=deadline)
        withdrawn += taken.withdrawn
        closed += taken.closed
    log.emit("events", alerts=len(alerts), withdrawn=withdrawn, closed=closed)
    return answer(204)


def _debugged(form: Mapping[str, list[str]], now: datetime) -> list[Alert]:
    """Return what the debugger's webhook tells."""
    event = {"sid": single(dict(form), "Sid"), "account_sid": single(dict(form), "AccountSid")}
    payload = _json(single(dict(form), "Payload"))
    if not isinstance(payload, dict):
        raise MalformedError("the field Payload holds no JSON object")
    return _alerts({**payload, **event}, form.get("Timestamp", [""])[0], now)


def _streamed(body: bytes, now: datetime) -> list[Alert]:
    """Return what a batch of CloudEvents tells; events of other types are passed over."""
    batch = _json(body)
    events = batch if isinstance(batch, list) else [batch]
    if not all(isinstance(event, dict) for event in events):
        raise MalformedError("the body is no list of CloudEvents")
    found: list[Alert] = []
    for event in events:
        data = event.get("data")
        if event.get("type") == LOGGED and isinstance(data, dict):
            told = {"sid": event.get("id"), "account_sid": runtime.environment().twilio_account_sid, **data}
            found += _alerts(told, event.get("time") or data.get("date_created"), now)
    return found


def _alerts(told: Mapping[str, Any], at: object, now: datetime) -> list[Alert]:
    """Return the alert that Twilio tells of, if it is one of ours; the time is that of now where it is not told.

    The first schema of Event Streams names the resource, the second one what the error is correlated with.
    """
    code = str(told.get("error_code"))
    if code not in map(str, CODES) or told["account_sid"] != runtime.environment().twilio_account_sid:
        return []
    sids = [str(told.get(name) or "") for name in ("resource_sid", "correlation_sid")]
    resource = next((sid for sid in sids if sid.startswith(MESSAGES)), "")
    if not resource:
        return []
    try:
        moment = min(moments.from_text(at), now)
    except ValueError:
        moment = now
    return [Alert(str(told.get("sid") or ""), int(code), resource, moment)]


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError("is not JSON") from None
