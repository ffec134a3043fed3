"""What a script may put into the account directly, so that no test needs a call of an hour or a year of waiting.

- `POST recordings` {call_sid? | from?, to?, seconds? | bytes?, age?: s, channels?: 1|2, status?: completed|absent|
  processing|in-progress|paused, callback_url?, callback_events?: [event], count?} -> {recordings: [{sid, call_sid}]}:
  recordings of that length (`bytes`: of a WAV file with all channels) that began `age` ago, or as long ago as they are
  long. Without `call_sid` each has a call of its own, over by now. The callback follows as if it had just ended.
- `POST transcriptions` {recording_sid, text} -> {sid};
- `POST defaults` {recording: true|false|{configuration}} -> {recording: bool}: the account's recording default.

Times are on the movable clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.twilio import audio
from local.twilio.account_defaults import RECORDING
from local.twilio.errors import TwilioError
from local.twilio.recordings import UNDER_WAY, Order
from local.twilio.simulator import ScriptError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.twilio.carrier import Carrier
    from local.twilio.emulator import Emulator
    from local.twilio.state import Call

_STATUSES: Final = UNDER_WAY | {"completed", "absent", "processing"}
_CALLER: Final = "+12125550198"


def recordings(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    """Put recordings into the account."""
    channels, status = whole(body, "channels", 1), body.get("status", "completed")
    if channels not in {1, 2} or status not in _STATUSES:
        raise ScriptError(f"`channels` must be 1 or 2 and `status` one of {', '.join(sorted(_STATUSES))}")
    events = body.get("callback_events", ["completed", "absent"])
    if not isinstance(events, list):
        raise ScriptError("`callback_events` must be a list of texts")
    wish = Order(channels, callback_url=body.get("callback_url"), callback_events=tuple(map(str, events)))
    frames = audio.frames_of_wav(whole(body, "bytes", 0), channels) or round(number(body, "seconds", 10.0) * audio.RATE)
    carrier, made = emulator.carrier, []
    with carrier.lock:
        begun = carrier.clock.now() - max(number(body, "age", 0.0), frames / audio.RATE)
        for _ in range(whole(body, "count", 1)):
            call = _call(carrier, body, begun, frames / audio.RATE)
            made.append(carrier.recordings.put(call, wish, frames, begun, status))
    emulator.callbacks.settle()
    emulator.webhooks.drain()
    return {"recordings": [{"sid": record.sid, "call_sid": record.call_sid} for record in made]}


def _call(carrier: Carrier, body: Mapping[str, Any], begun: float, seconds: float) -> Call:
    if body.get("call_sid"):
        call = carrier.state.calls.get(str(body["call_sid"]))
        if call is None:
            raise ScriptError("no such call: take `call_sid` from the answer of POST /_sim/call, or leave it out")
        return carrier.voice.legs(call)[0]
    called = str(body.get("to") or next(iter(carrier.state.numbers.values())).phone_number)
    owned = carrier.numbers.by_phone_number(called)
    if owned is None:
        raise ScriptError("`to` is not a number of the account: GET /_sim/numbers lists them, POST adds one")
    caller = str(body.get("from") or _CALLER)
    return carrier.voice.put(owned.account_sid, caller, called, owned.sid, begun, seconds)


def transcriptions(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    """Put a transcription of a recording into the account."""
    carrier = emulator.carrier
    with carrier.lock:
        record = carrier.state.recordings.get(str(body.get("recording_sid")))
        if record is None or not isinstance(body.get("text"), str):
            raise ScriptError("`recording_sid` must be a recording of the account and `text` a text")
        return {"sid": carrier.recordings.transcribe(record, body["text"]).sid}


def defaults(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    """Switch the account's recording default on or off."""
    carrier, wanted = emulator.carrier, body.get("recording")
    with carrier.lock:
        try:
            if wanted is False:
                carrier.state.defaults.pop(f"{carrier.account_sid}/{RECORDING}", None)
            elif wanted is True or isinstance(wanted, dict):
                configuration = wanted if isinstance(wanted, dict) else {}
                carrier.defaults.put(carrier.account_sid, RECORDING, {"configuration": configuration})
            elif wanted is not None:
                raise ScriptError("`recording` must be true, false or a configuration")
        except TwilioError as error:
            raise ScriptError(error.message) from None
        return {"recording": carrier.defaults.recording(carrier.account_sid) is not None}


def number(body: Mapping[str, Any], name: str, default: float) -> float:
    """Return a number of at least 0 from a script. Raises ScriptError."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ScriptError(f"`{name}` must be a number of at least 0")
    return float(value)


def whole(body: Mapping[str, Any], name: str, default: int) -> int:
    """Return a whole number of at least 0 from a script. Raises ScriptError."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ScriptError(f"`{name}` must be a whole number of at least 0")
    return value


CALLS: Final[Mapping[str, Callable[[Emulator, Mapping[str, Any]], dict[str, Any]]]] = {
    "defaults": defaults,
    "recordings": recordings,
    "transcriptions": transcriptions,
}
"""What a script can ask for, by the name in the path."""
