"""Calls: their legs, their states, what each handset heard, and the copies in the bulk export."""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import TwilioError
from local.twilio.messaging import SETTLING_SECONDS
from local.twilio.moments import Window, iso8601
from local.twilio.state import ArchivedCall, Call, Conference, new_sid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.twilio.state import State

LIVE: Final = frozenset({"queued", "ringing", "in-progress"})
UNANSWERED: Final = frozenset({"busy", "no-answer", "failed", "canceled"})


class Voice:
    """The account's calls. Not thread-safe: the caller holds the carrier's lock.

    `began` is told each leg that is in progress, `ended` each that ends.
    """

    def __init__(
        self,
        state: State,
        now: Callable[[], float],
        began: Callable[[Call], None],
        ended: Callable[[Call], None],
    ) -> None:
        self._state = state
        self._now = now
        self._began, self._ended = began, ended
        self.placed: deque[Call] = deque()
        """Calls made by REST whose phones have not rung yet."""
        self._children: defaultdict[str, list[str]] = defaultdict(list)
        for call in state.calls.values():
            if call.parent_call_sid is not None:
                self._children[call.parent_call_sid].append(call.sid)

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
        if parent is not None:
            self._children[parent.sid].append(call.sid)
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

    def place(self, account_sid: str, form: Mapping[str, str], number_sid: str, events: Sequence[str]) -> Call:
        """Call a phone from an own number, which hears the document of `Url`. Raises TwilioError 21205 without one."""
        if not form.get("Url"):
            raise TwilioError(21205, "Url is required: TwiML in the request and applications are not emulated")
        call = self.ring(account_sid, form["From"], form["To"], "outbound-api", number_sid)
        call.status, self._entry(call)["status"] = "queued", "queued"
        call.url, call.fallback = form["Url"], form.get("FallbackUrl", "")
        call.status_callback, call.status_events = form.get("StatusCallback", ""), list(events) or ["completed"]
        self.placed.append(call)
        return call

    def put(self, account_sid: str, caller: str, called: str, number_sid: str, begun: float, seconds: float) -> Call:
        """Add a call of two legs that began at `begun` and is over; return its parent leg. For scripts."""
        parent = self.ring(account_sid, caller, called, "inbound", number_sid)
        child = self.ring(account_sid, called, caller, "outbound-dial", number_sid, parent)
        for leg in (child, parent):
            leg.created = leg.started = begun
            leg.status, leg.ended = "completed", begun + seconds
            leg.updated = leg.ended
            self._entry(leg)["status"] = leg.status
            self._archive(leg)
        return parent

    def set_status(self, call: Call, status: str, *, seconds: float | None = None) -> None:
        """Move a leg on. `seconds` is how long it lasted, if it ends now without the clock having moved."""
        now = self._now()
        if status == "in-progress":
            call.started = now
        if status not in LIVE:
            call.ended = now if seconds is None or call.started is None else max(now, call.started + seconds)
        call.status, call.updated = status, now
        self._entry(call)["status"] = status
        if status == "in-progress":
            self._began(call)
        if call.ended is not None:
            self._archive(call)
            self._ended(call)

    def _archive(self, call: Call) -> None:
        day = datetime.fromtimestamp(call.started or call.created, UTC).date().isoformat()
        self._state.archives[call.sid] = ArchivedCall(call.sid, call.account_sid, day)

    def hear(self, call: Call, words: Sequence[str]) -> None:
        """Note what the phone at the far end of a leg heard."""
        self._entry(call)["heard"].extend(words)

    def _entry(self, call: Call) -> dict[str, Any]:
        phone = call.from_ if call.direction == "inbound" else call.to
        entry: dict[str, Any] = next(e for e in reversed(self._state.handset(phone).calls) if e["sid"] == call.sid)
        return entry

    def legs(self, call: Call) -> list[Call]:
        """Return the legs of the call that a leg belongs to, the parent first; a leg that was deleted is left out."""
        calls = self._state.calls
        root = calls.get(call.parent_call_sid or call.sid, call)
        return [root, *(calls[sid] for sid in self._children.get(root.sid, ()) if sid in calls and sid != root.sid)]

    def end(self, call: Call, seconds: float | None = None) -> list[Call]:
        """End a call with its other leg, or a conference with whom it ends; return the legs that ended now."""
        live = [leg for leg in self.legs(call) if leg.status in LIVE]
        live += [leg for leg in self._with(call) if leg not in live]
        for leg in live:
            self.leave(leg)
            self.set_status(leg, "completed" if leg.started is not None else "canceled", seconds=seconds)
        return live

    # Conferences ----------------------------------------------------------------------------------------------

    def conference(self, call: Call) -> Conference | None:
        """Return the conference that a leg is in."""
        return next((one for one in self._state.conferences.values() if call.sid in one.present), None)

    def join(
        self, call: Call, name: str, *, starts: bool, ends: bool, callback: str, events: Sequence[str]
    ) -> Conference:
        """Let a leg join the account's conference with a name, which is made if there is none."""
        now = self._now()
        under_way = (
            one
            for one in self._state.conferences.values()
            if (one.account_sid, one.friendly_name) == (call.account_sid, name) and one.status != "completed"
        )
        found = next(under_way, None)
        if found is None:
            sid, seq = new_sid("CF"), self._state.next_seq()
            found = Conference(sid, call.account_sid, name, "init", now, now, seq, callback, list(events))
            self._state.conferences[found.sid] = found
        found.present.append(call.sid)
        found.hosts += [call.sid] if ends else []
        found.status, found.updated = "in-progress" if starts else found.status, now
        return found

    def leave(self, call: Call) -> None:
        """Let a leg leave its conference, if it is in one; the last one, and one with whom it ends, ends it."""
        found = self.conference(call)
        if found is None:
            return
        found.present.remove(call.sid)
        if not found.present or call.sid in found.hosts:
            found.status, found.present = "completed", []
        found.updated = self._now()

    def _with(self, call: Call) -> list[Call]:
        """Return the legs that end with a leg because the conference does."""
        found = self.conference(call)
        if found is None or call.sid not in found.hosts:
            return []
        return [leg for sid in found.present if (leg := self._state.calls[sid]).status in LIVE and leg is not call]

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
        names = {"To": "to", "From": "from_", "Status": "status", "ParentCallSid": "parent_call_sid"}
        exact = [(attribute, query[name]) for name, attribute in names.items() if query.get(name)]
        start, end = Window(query, "StartTime"), Window(query, "EndTime")
        return [
            call
            for call in self._state.calls.values()
            if call.account_sid == account_sid
            and all(getattr(call, attribute) == value for attribute, value in exact)
            and start.holds(call.started or call.created)
            and end.holds(call.ended)
        ]

    def update(self, call: Call, form: Mapping[str, str]) -> list[Call]:
        """End a live call by `Status`, or let it go on with the document of `Url`; return the legs that ended.

        Raises TwilioError 21220 (it is not live) and 20001 for anything else.
        """
        status = form.get("Status")
        if status is None and form.get("Url"):
            if call.status != "in-progress":
                raise TwilioError(21220, f"Calls/{call.sid} is {call.status}")
            self.leave(call)
            call.url = form["Url"]
            return []
        if status not in {"completed", "canceled"}:
            raise TwilioError(20001, "Status must be completed or canceled, or there must be a Url")
        ringing = call.status in {"queued", "ringing"}
        if call.status not in LIVE or (status == "canceled" and not ringing):
            raise TwilioError(21220, f"Calls/{call.sid} is {call.status}")
        return self.end(call)

    def delete(self, call: Call) -> None:
        """Delete a call. Raises TwilioError 20009 while it lasts and until a minute after its end."""
        if call.ended is None or self._now() < max(call.ended, call.updated) + SETTLING_SECONDS:
            raise TwilioError(20009, f"Calls/{call.sid}")
        del self._state.calls[call.sid]

    def delete_archive(self, account_sid: str, day: str, sid: str) -> None:
        """Delete a call's copy in the bulk export of a day; the call itself stays. Raises TwilioError 20404."""
        copy = self._state.archives.get(sid)
        if copy is None or (copy.account_sid, copy.day) != (account_sid, day):
            raise TwilioError(20404, f"/Archives/{day}/Calls/{sid}")
        del self._state.archives[sid]
