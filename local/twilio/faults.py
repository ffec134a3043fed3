"""Faults that a test or the demo can order: what the carrier does to webhooks and to REST calls.

`POST /_sim/faults` takes one order as JSON:

- `on`: `webhook` or `rest`;
- `match`: a regular expression, searched in `"<kind> <url>"` of a webhook (kind: `intercept`, `callback`,
  `out-of-session`, `sms`, `message-status`, `media`, `voice`, `gather`, `dial`, `whisper`, `redirect`, `fallback`,
  `call-status`, `recording`, `room`, `composition`, `chat-pre`, `chat-post`) or in `"<METHOD> <host><path>"` of a REST
  call; default: everything;
- `mode`: see `WEBHOOK_MODES` and `REST_MODES`;
- `times`: how often it strikes (default: until `DELETE /_sim/faults`), `after`: how many it lets pass first;
- `seconds` for `slow` and `late`, `status` and `code` for `error`, `status` for `lost-answer`, `code` for
  `fail-operation`.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

WEBHOOK_MODES: Final = {
    "timeout": "the handler is called, but its answer comes after the 15 seconds that Twilio waits",
    "refuse": "no connection: the handler is never called",
    "lost": "the webhook is never sent, and nobody is told",
    "duplicate": "the webhook is sent twice with the same idempotency token",
    "reorder": "the webhook is sent after the later ones of its interaction, the last one first",
    "slow": "the clock moves on by `seconds` first; 15 or more, 5 of conversations, is a timeout",
    "late": "the webhook is sent when the clock has moved on by `seconds`",
}
REST_MODES: Final = {
    "error": "an error answer and nothing done: `status` (500) and `code` (20500)",
    "throttle": "429 with code 20429 (59004 of webhooks.twilio.com) and nothing done",
    "lost-answer": "everything done, then the connection is reset, or `status` is answered if it is given",
    "slow": "the clock moves on by `seconds` first",
    "truncated": "half of the body, then the connection ends",
    "wrong-length": "half of the body, and a Content-Length that says so",
    "empty": "the status and the type, and no byte of the body",
    "fail-operation": "202 to the change of a Webhook Rule, whose operation fails with `code` (59102): nothing changes",
    "wrong-type": "an HTML page with status 200 in place of the answer",
}
_KNOWN: Final = frozenset({"on", "match", "mode", "times", "after", "seconds", "status", "code"})


@dataclass(slots=True)
class Fault:
    """One order. `times` None = for ever."""

    on: str
    mode: str
    match: str = ""
    times: int | None = None
    after: int = 0
    seconds: float = 0.0
    status: int | None = None
    code: int | None = None
    id: int = field(default_factory=count(1).__next__)

    def to_json(self) -> dict[str, Any]:
        """Return the order as `GET /_sim/faults` shows it."""
        return {name: getattr(self, name) for name in ("id", "on", "mode", "match", "times", "after", "seconds")} | {
            name: getattr(self, name) for name in ("status", "code") if getattr(self, name) is not None
        }


class Faults:
    """The orders in force. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[Fault] = []

    def add(self, order: Mapping[str, Any]) -> Fault:
        """Put an order in force. Raises ValueError that names what is wrong with it."""
        fault = _parse(order)
        with self._lock:
            self._orders.append(fault)
        return fault

    def take(self, on: str, subject: str) -> Fault | None:
        """Return the first order that strikes `subject` now, and count it as used."""
        with self._lock:
            for fault in self._orders:
                if fault.on != on or not re.search(fault.match, subject):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._orders.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Lift all orders."""
        with self._lock:
            self._orders.clear()

    def list(self) -> list[Fault]:
        """Return the orders in force."""
        with self._lock:
            return list(self._orders)


def _parse(order: Mapping[str, Any]) -> Fault:
    unknown = sorted(set(order) - _KNOWN)
    if unknown:
        raise ValueError(f"unknown keys {', '.join(unknown)}; a fault has {', '.join(sorted(_KNOWN))}")
    modes = {"webhook": WEBHOOK_MODES, "rest": REST_MODES}.get(str(order.get("on")))
    if modes is None:
        raise ValueError("`on` must be webhook or rest")
    if order.get("mode") not in modes:
        raise ValueError(f"`mode` must be one of {', '.join(modes)} on {order['on']}")
    try:
        re.compile(str(order.get("match", "")))
    except re.error as error:
        raise ValueError(f"`match` is not a regular expression: {error}") from None
    for name in ("times", "after", "status", "code"):
        value = order.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ValueError(f"`{name}` must be a whole number or null")
    if order.get("times") == 0:
        raise ValueError("`times` must be at least 1, or null for ever")
    if order.get("code") is not None and order["code"] not in CODES:
        raise ValueError(f"`code` must be one that the emulator knows: {', '.join(map(str, sorted(CODES)))}")
    seconds = order.get("seconds", 0)
    if not isinstance(seconds, int | float) or seconds < 0:
        raise ValueError("`seconds` must be a number of at least 0")
    return Fault(
        on=str(order["on"]),
        mode=str(order["mode"]),
        match=str(order.get("match", "")),
        times=order.get("times"),
        after=order.get("after") or 0,
        seconds=float(seconds),
        status=order.get("status"),
        code=order.get("code"),
    )
