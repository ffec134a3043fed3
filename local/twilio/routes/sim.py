"""The simulator's own surface under `/_sim`: loopback only, without credentials, JSON in and out.

- `POST sms` {from, to, body, media?: [url | {content: base64, content_type}]} -> {message_sid, delivered,
  alerts: [code], interaction_sid, outbound_message_sid, unsupported: [verb]};
- `POST call` {from, to, duration?: s, answer?: answered|voicemail|busy|no-answer|failed|canceled, digits?: [keys],
  callee_digits?: [keys], hold?: bool} -> {call_sid, connected, heard: [text], callee_heard: [text], alerts,
  interaction_sid, outbound_call_sid, unsupported}; the key `hang-up` puts the phone down at that prompt;
- `POST hangup` {call_sid} -> {ended}, for a call that was held;
- `GET phones/{E.164}` -> {number, messages: [...], calls: [...]}: what that phone saw and heard, nothing else;
- `GET clock`, `POST clock` {advance: s} -> {now};
- `GET|POST|DELETE faults` (see `local.twilio.faults`), `GET webhooks` -> {webhooks: [...]} without message texts;
- `GET numbers`, `POST numbers` {phone_number, sms?, voice?, mms?: bool}: own a further number;
- `GET limits`, `POST limits` {requests_per_second: number|null, concurrent_requests: number|null, latency_ms: number,
  processing_seconds: number}: Proxy's rate limit, an account's requests in flight, the real time that each takes at
  least, and how long on the clock a recording that ended is `processing`;
- `POST recordings`, `POST transcriptions`, `POST defaults`: see `local.twilio.routes.sim_records`;
- `POST join`, `POST leave`, `POST track-recordings`, `POST say`: see `local.twilio.routes.sim_apps`;
- `POST reset`: forget everything but the limits;
- `POST credentials`: the auth token and API keys that the account began with are in force again, and no other ones,
  as after no rotation; everything else stays.

An answer comes after the webhooks it caused were delivered. A mistake is 400 with {error: the way out}.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from local.twilio.messaging import Attachment
from local.twilio.moments import iso8601
from local.twilio.numbers import describe, is_e164
from local.twilio.routes import sim_apps, sim_records
from local.twilio.routes.sim_records import number, whole
from local.twilio.simulator import Ring, ScriptError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.twilio.emulator import Emulator


_RECORDS: Final = {**sim_records.CALLS, **sim_apps.CALLS}


def answer(emulator: Emulator, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Carry out one call of `/_sim`. Raises ScriptError with what is wrong and the way out."""
    name, _, rest = path.removeprefix("/_sim/").partition("/")
    if method == "POST" and name in _RECORDS:
        return 200, _RECORDS[name](emulator, body)
    match method, name:
        case "POST", ("sms" | "call" | "hangup"):
            result = _PHONES[name](emulator, body)
        case "GET", "phones" if rest:
            result = _phone(emulator, rest)
        case (("GET" | "POST"), "clock"):
            result = _clock(emulator, body)
        case (("GET" | "POST" | "DELETE"), "faults"):
            result = _faults(emulator, method, body)
        case "GET", "webhooks":
            emulator.webhooks.drain()
            result = {"webhooks": emulator.webhooks.log()}
        case (("GET" | "POST"), "numbers"):
            result = _numbers(emulator, method, body)
        case (("GET" | "POST"), "limits"):
            result = _limits(emulator, body)
        case "POST", "credentials":
            emulator.carrier.take_back_rotations()
            result = {"restored": True}
        case "POST", "reset":
            emulator.reset()
            result = {"reset": True}
        case _:
            return 404, {"error": f"no such call: {method} {path.split('/phones/', maxsplit=1)[0]}"}
    return 200, result


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ScriptError(f"`{name}` must be a text")
    return value


def _sms(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    media = body.get("media") or []
    if not isinstance(media, list) or not isinstance(body.get("body", ""), str):
        raise ScriptError("`body` must be a text and `media` a list of URLs or of files")
    sender, number = _text(body, "from"), _text(body, "to")
    outcome = emulator.simulator.text(sender, number, body.get("body", ""), [_attachment(item) for item in media])
    emulator.webhooks.drain()
    return {
        "message_sid": outcome.sid,
        "delivered": outcome.connected,
        "alerts": outcome.alerts,
        "interaction_sid": outcome.interaction_sid,
        "outbound_message_sid": outcome.outbound_sid,
        "unsupported": outcome.unsupported,
    }


def _attachment(item: Any) -> Attachment:
    if isinstance(item, str):
        return Attachment(item)
    try:
        return Attachment("", str(item["content_type"]), base64.b64decode(item["content"], validate=True))
    except (TypeError, KeyError, ValueError):
        raise ScriptError(
            "each of `media` must be a URL, or an object with `content` in base64 and `content_type`"
        ) from None


def _call(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    digits = body.get("digits") or []
    if not isinstance(digits, list):
        raise ScriptError("`digits` must be a list of texts, one for each prompt")
    answered = body.get("callee_digits") or []
    if not isinstance(answered, list):
        raise ScriptError("`callee_digits` must be a list of texts, one for each prompt")
    phones = body.get("phones") or {}
    if not isinstance(phones, dict) or not all(isinstance(each, dict) for each in phones.values()):
        raise ScriptError("`phones` must be an object of numbers, each with an `answer` and `callee_digits`")
    ring = Ring(
        duration=number(body, "duration", Ring().duration),
        answer=body.get("answer", "answered"),
        digits=tuple(str(pressed) for pressed in digits),
        callee_digits=tuple(str(pressed) for pressed in answered),
        hold=body.get("hold") is True,
        phones={
            phone: Ring(
                answer=each.get("answer", "answered"),
                callee_digits=tuple(str(pressed) for pressed in each.get("callee_digits") or ()),
            )
            for phone, each in phones.items()
        },
    )
    outcome = emulator.simulator.call(_text(body, "from"), _text(body, "to"), ring)
    emulator.webhooks.drain()
    return {
        "call_sid": outcome.sid,
        "connected": outcome.connected,
        "heard": outcome.heard,
        "callee_heard": outcome.callee_heard,
        "alerts": outcome.alerts,
        "interaction_sid": outcome.interaction_sid,
        "outbound_call_sid": outcome.outbound_sid,
        "unsupported": outcome.unsupported,
    }


def _hang_up(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"ended": emulator.simulator.hang_up(_text(body, "call_sid"))}


_PHONES: Final = {"sms": _sms, "call": _call, "hangup": _hang_up}


def _phone(emulator: Emulator, number: str) -> dict[str, Any]:
    if not is_e164(number):
        raise ScriptError("a phone is named by its number in E.164 form, such as +12125550111")
    emulator.webhooks.drain()
    with emulator.carrier.lock:
        handset = emulator.carrier.state.handsets.get(number)
        return {"number": number} | (asdict(handset) if handset else {"messages": [], "calls": []})


def _clock(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    clock = emulator.carrier.clock
    seconds = number(body, "advance", 0.0)
    if seconds:
        clock.advance(seconds)
        emulator.webhooks.drain()
    return {"now": iso8601(clock.now())}


def _faults(emulator: Emulator, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
    if method == "POST":
        try:
            return emulator.faults.add(body).to_json()
        except ValueError as error:
            raise ScriptError(str(error)) from None
    if method == "DELETE":
        emulator.faults.clear()
    return {"faults": [fault.to_json() for fault in emulator.faults.list()]}


def _numbers(emulator: Emulator, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
    carrier = emulator.carrier
    with carrier.lock:
        if method == "POST":
            number = _text(body, "phone_number")
            if not is_e164(number):
                raise ScriptError("`phone_number` must be in E.164 form, such as +12125550150")
            if carrier.numbers.by_phone_number(number) is None:
                wanted = {kind: body.get(kind, True) is True for kind in ("sms", "voice", "mms")}
                carrier.numbers.own(carrier.account_sid, describe(number, **wanted), {})
        return {
            "numbers": [
                {"sid": owned.sid, "phone_number": owned.phone_number, "iso_country": owned.iso_country}
                for owned in carrier.state.numbers.values()
            ]
        }


def _limits(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    if "requests_per_second" in body:
        value = body["requests_per_second"]
        emulator.limit.per_second = None if value is None else number(body, "requests_per_second", 0.0)
    if "concurrent_requests" in body:
        value = body["concurrent_requests"]
        emulator.concurrency.most = None if value is None else whole(body, "concurrent_requests", 0)
    emulator.concurrency.latency = number(body, "latency_ms", emulator.concurrency.latency * 1000) / 1000
    emulator.callbacks.processing_seconds = number(body, "processing_seconds", emulator.callbacks.processing_seconds)
    return {
        "requests_per_second": emulator.limit.per_second,
        "concurrent_requests": emulator.concurrency.most,
        "latency_ms": emulator.concurrency.latency * 1000,
        "processing_seconds": emulator.callbacks.processing_seconds,
    }
