"""The emulator's answers held, field by field, against Twilio's published OpenAPI description of each resource."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.local.twilio_stage import ACCOUNT, ANA, POOL, Stage

DESCRIBED: Final = json.loads(Path(__file__).with_name("openapi").joinpath("fields.json").read_text())["resources"]
KINDS: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "number": (int, float),
}

EMPTY: Final = frozenset({"sms_application_sid", "voice_application_sid"})
"""SIDs that Twilio answers as an empty text where there is none, whatever the pattern of the description says."""


def raw(stage: Stage, url: str) -> dict[str, Any]:
    """Return a resource as it is on the wire."""
    found: dict[str, Any] = json.loads(stage.client.request("GET", url).text)
    return found


def first(stage: Stage, url: str) -> dict[str, Any]:
    """Return the first entry of a list as it is on the wire."""
    page = raw(stage, url)
    key = page["meta"]["key"] if "meta" in page else next(name for name, each in page.items() if isinstance(each, list))
    entry: dict[str, Any] = page[key][0]
    return entry


def everything(stage: Stage) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield one of each resource, by its name in the description, after a text and a recorded call."""
    client, api = stage.client, f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}"

    def record(delivery: Any) -> tuple[int, str, str]:
        if (
            delivery.fields.get("outboundResourceStatus") == "in-progress"
            and "CA" in delivery.fields["inboundResourceSid"]
        ):
            client.calls(delivery.fields["inboundResourceSid"]).recordings.create()
        return 204, "text/plain", ""

    stage.receiver.answers["/callback"] = record
    service = stage.service(POOL[0], webhooks=True)
    session = stage.pair(service)
    stage.sms(ANA, POOL[0], "on my way")
    stage.call(ANA, POOL[0], talk_seconds=30)
    stage.sms("+12125550119", POOL[0], "nobody's")
    person = session.participants.list()[0]
    person.message_interactions.create(body="hello")
    proxy = f"https://proxy.twilio.com/v1/Services/{service.sid}"
    here = f"{proxy}/Sessions/{session.sid}"
    yield "proxy.v1.service", raw(stage, proxy)
    yield "proxy.v1.service.phone_number", first(stage, f"{proxy}/PhoneNumbers")
    yield "proxy.v1.service.session", raw(stage, here)
    yield "proxy.v1.service.session.participant", raw(stage, f"{here}/Participants/{person.sid}")
    yield "proxy.v1.service.session.interaction", first(stage, f"{here}/Interactions")
    told = f"{here}/Participants/{person.sid}/MessageInteractions"
    yield "proxy.v1.service.session.participant.message_interaction", first(stage, told)
    yield "api.v2010.account", raw(stage, f"{api}.json")
    yield "api.v2010.account.call", first(stage, f"{api}/Calls.json")
    call = first(stage, f"{api}/Recordings.json")["call_sid"]
    yield "api.v2010.account.call.call_recording", first(stage, f"{api}/Calls/{call}/Recordings.json")
    yield "api.v2010.account.message", first(stage, f"{api}/Messages.json")
    yield "api.v2010.account.recording", first(stage, f"{api}/Recordings.json")
    yield "api.v2010.account.incoming_phone_number", first(stage, f"{api}/IncomingPhoneNumbers.json")
    offer = "api.v2010.account.available_phone_number_country.available_phone_number_local"
    yield offer, first(stage, f"{api}/AvailablePhoneNumbers/US/Local.json")
    messaging = client.messaging.v1.services.create(friendly_name="line")
    messaging.phone_numbers.create(phone_number_sid=service.phone_numbers.list()[0].sid)
    root = f"https://messaging.twilio.com/v1/Services/{messaging.sid}"
    yield "messaging.v1.service", raw(stage, root)
    yield "messaging.v1.service.phone_number", first(stage, f"{root}/PhoneNumbers")
    sink = client.events.v1.sinks.create(
        description="stop", sink_configuration={"destination": "https://x.example.com"}, sink_type="webhook"
    )
    logged = "com.twilio.error-logs.error.logged"
    heard = client.events.v1.subscriptions.create(description="stop", sink_sid=sink.sid, types=[{"type": logged}])
    events = "https://events.twilio.com/v1"
    yield "events.v1.sink", raw(stage, f"{events}/Sinks/{sink.sid}")
    yield "events.v1.subscription", raw(stage, f"{events}/Subscriptions/{heard.sid}")
    yield (
        "events.v1.subscription.subscribed_event",
        first(stage, f"{events}/Subscriptions/{heard.sid}/SubscribedEvents"),
    )
    stage.sms(ANA, POOL[0], "STOP")
    yield "monitor.v1.alert", first(stage, "https://monitor.twilio.com/v1/Alerts")


def wrong(value: Any, declared: dict[str, Any]) -> str:
    """Return what is wrong with a value of a field, empty for nothing; null is always possible (`nullable`)."""
    kind = declared.get("type")
    if value is None or kind is None:
        return ""
    if type(value) not in KINDS[kind]:
        return f"{type(value).__name__}, not {kind}"
    if "enum" in declared and value not in declared["enum"]:
        return f"{value!r}, not one of {declared['enum']}"
    if "pattern" in declared and not re.fullmatch(declared["pattern"], value):
        return f"{value!r} does not match {declared['pattern']}"
    reading: dict[str, Callable[[str], datetime]] = {
        "date-time": datetime.fromisoformat,
        "date-time-rfc-2822": parsedate_to_datetime,
    }
    read = reading.get(declared.get("format", ""))
    if read is not None:
        try:
            read(value)
        except ValueError:
            return f"{value!r} is no {declared['format']}"
    return ""


def test_every_field_is_as_twilio_describes_it(stage: Stage) -> None:
    """Each resource has the described fields, no others, and values of the described types, patterns and lists."""
    seen = dict(everything(stage))
    assert set(seen) == set(DESCRIBED)
    found = []
    for name, resource in seen.items():
        declared = DESCRIBED[name]
        more = set(resource) - set(declared)
        less = set(declared) - set(resource)
        found += [f"{name}: {field} is not described" for field in sorted(more)]
        found += [f"{name}: {field} is missing" for field in sorted(less)]
        for field in sorted(set(resource) & set(declared)):
            value = None if field in EMPTY and resource[field] == "" else resource[field]
            if said := wrong(value, declared[field]):
                found.append(f"{name}.{field}: {said}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (1, {"type": "string"}),
        (True, {"type": "integer"}),
        ("shut", {"type": "string", "enum": ["open", "closed"]}),
        ("KS1", {"type": "string", "pattern": "^KS[0-9a-fA-F]{32}$"}),
        ("yesterday", {"type": "string", "format": "date-time"}),
        ("2026-11-26T10:00:00Z", {"type": "string", "format": "date-time-rfc-2822"}),
    ],
)
def test_wrong_value_is_seen(value: Any, declared: dict[str, Any]) -> None:
    """The comparison sees a wrong type, an unlisted value, a wrong SID and a wrong date."""
    assert wrong(value, declared)
    assert not wrong(None, declared)
