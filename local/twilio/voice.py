"""Calls: their legs, their states, and what each handset heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import TwilioError
from local.twilio.messaging import SETTLING_SECONDS
from local.twilio.moments import iso8601, within
from local.twilio.state import Call, new_sid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.twilio.state import State

LIVE: Final = frozenset({"queued", "ringing", "in-progress"})
UNANSWERED: Final = frozenset({"busy", "no-answer", "failed", "canceled"})


class Voice:
    """The account's calls. Not thread-safe: the caller holds the carrier's lock."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now

    def ring(
        self, account_sid: str, caller: str, called: str, direction: str, number_sid: str, parent: Call | None = None
    ) -> Call:
        """Start a leg; it shows on the phone at its far end (the caller's when inbound, the callee's otherwise)."""
        now = self._now()
        call = Call(
            sid=new_sid("CA"),
            account_sid=account_sid,
            from_=caller,
            to=called,
            direction=direction,
            status="ringing" if parent is None else "queued",
            created=now,
            updated=now,
            seq=self._state.next_seq(),
            parent_call_sid=None if parent is None else parent.sid,
            phone_number_sid=number_sid,
        )
        self._state.calls[call.sid] = call
        phone, seen = (caller, "outbound") if direction == "inbound" else (called, "inbound")
        self._state.handset(phone).calls.append(
            {
                "direction": seen,
                "from": caller,
                "to": called,
                "status": call.status,
                "heard": [],
                "sid": call.sid,
                "at": iso8601(now),
            }
        )
        return call

    def set_status(self, call: Call, status: str, *, seconds: float | None = None) -> None:
        """Move a leg on. `seconds` is how long it lasted, if it ends now without the clock having moved."""
        now = self._now()
        if status == "in-progress":
            call.started = now
        if status not in LIVE:
            call.ended = now if seconds is None or call.started is None else max(now, call.started + seconds)
        call.status, call.updated = status, now
        self._entry(call)["status"] = status

    def hear(self, call: Call, words: Sequence[str]) -> None:
        """Note what the phone at the far end of a leg heard."""
        self._entry(call)["heard"].extend(words)

    def _entry(self, call: Call) -> dict[str, Any]:
        phone = call.from_ if call.direction == "inbound" else call.to
        entry: dict[str, Any] = next(e for e in reversed(self._state.handset(phone).calls) if e["sid"] == call.sid)
        return entry

    def end(self, call: Call, seconds: float | None = None) -> list[Call]:
        """End a call with its other leg; return the legs that ended now."""
        root = self._state.calls.get(call.parent_call_sid or call.sid, call)
        legs = [root, *(leg for leg in self._state.calls.values() if leg.parent_call_sid == root.sid)]
        live = [leg for leg in legs if leg.status in LIVE]
        for leg in live:
            self.set_status(leg, "completed" if leg.started is not None else "canceled", seconds=seconds)
        return live

    def duration(self, call: Call) -> int | None:
        """Return a finished leg's length in whole seconds, None while it lasts."""
        if call.ended is None:
            return None
        return round(call.ended - call.started) if call.started is not None else 0

    def fetch(self, account_sid: str, sid: str) -> Call:
        """Return a call. Raises TwilioError 20404."""
        call = self._state.calls.get(sid)
        if call is None or call.account_sid != account_sid:
            raise TwilioError(20404, f"Calls/{sid}")
        return call

    def search(self, account_sid: str, query: dict[str, str]) -> list[Call]:
        """Return the calls that satisfy To, From, Status, ParentCallSid, StartTime and EndTime (with `<` and `>`)."""
        exact = {"To": "to", "From": "from_", "Status": "status", "ParentCallSid": "parent_call_sid"}
        return [
            call
            for call in self._state.calls.values()
            if call.account_sid == account_sid
            and all(getattr(call, attribute) == query[name] for name, attribute in exact.items() if query.get(name))
            and within(call.started or call.created, query, "StartTime")
            and within(call.ended, query, "EndTime")
        ]

    def update(self, call: Call, form: Mapping[str, str]) -> list[Call]:
        """End a live call by `Status`; return the legs that ended.

        Raises TwilioError 21220 (it is not live) and 20001 for redirecting it, which this emulator does not do.
        """
        status = form.get("Status")
        if status not in {"completed", "canceled"}:
            raise TwilioError(20001, "Status must be completed or canceled; redirecting a live call is not emulated")
        ringing = call.status in {"queued", "ringing"}
        if call.status not in LIVE or (status == "canceled" and not ringing):
            raise TwilioError(21220, f"Calls/{call.sid} is {call.status}")
        return self.end(call)

    def delete(self, call: Call) -> None:
        """Delete a call. Raises TwilioError 20009 while it lasts and until a minute after its end."""
        if call.ended is None or self._now() < max(call.ended, call.updated) + SETTLING_SECONDS:
            raise TwilioError(20009, f"Calls/{call.sid}")
        del self._state.calls[call.sid]
