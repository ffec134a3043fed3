"""What is live at Twilio: the Proxy service, its pool, the account's recording default, and the oldest copies.

Messages and recordings are the account's; only those to or from a number of the pool are this stack's. The numbers are
compared here and never returned: a copy is named by its SID.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final

from parley.adapters.live import Deadline, Read
from parley.adapters.twilio import PAGE_SIZE, SESSIONS_PAGE_SIZE, TwilioCarrier
from parley.adapters.twilio_api import API, PROXY, VOICE
from parley.core import moments
from parley.core.verification import OLDEST, Oldest, cutoff
from parley.ports import CarrierError

WEBHOOKS: Final = {
    "voice_url": "/twilio/call",
    "voice_fallback_url": "/twilio/fallback",
    "status_callback": "/twilio/call/status",
    "sms_url": "/twilio/message",
    "sms_fallback_url": "/twilio/fallback",
}
"""Where a masked number points that is in no Proxy service."""
MARKED: Final = ("voice_url", "sms_url")

RECORDING_DEFAULT: Final = "/v2/AccountDefaultConfiguration/Recording"

SESSIONS_SAMPLED: Final = 20
"""Of how many sessions, the oldest, the interactions are listed: Proxy has no list of all."""


class Line:
    """Makes the reads of a Proxy service and of what passed through it."""

    def __init__(self, carrier: TwilioCarrier, now: datetime, deadline: Deadline) -> None:
        self._carrier = carrier
        self._now = now
        self._deadline = deadline
        self._lock = threading.Lock()
        self._kept: tuple[str, dict[str, str], frozenset[str]] | None = None
        self._gate: tuple[str, str] | None = None

    def reads(self, resource: Mapping[str, Any]) -> Iterator[Read]:
        """Yield the questions about one Proxy service, the resource's name being its SID.

        Without one the name is the account's, and the numbers are those that point at its `gate`.
        """
        service, expected = resource["name"], resource["expected"]
        path = f"/v1/Services/{service}"
        gate = resource.get("gate")
        if gate is not None:
            self._gate = service, str(gate)
        else:
            settings = (
                *("callbackUrl", "interceptCallbackUrl", "outOfSessionCallbackUrl"),
                *("defaultTtl", "chatInstanceSid"),
            )
            yield Read("twilio", service, settings, partial(self._service, path))
        yield Read("twilio", service, ("numbers",), lambda: {"numbers": self._owned(path)[1]})
        yield Read("twilio", service, ("accountRecording",), self._recording_default)
        days: Mapping[str, int] = expected[OLDEST]
        listings = {
            "call-recordings": self._recordings,
            "transcripts": self._transcripts,
            "messages": self._messages,
            "message-media": self._media,
        }
        for record_class, listing in listings.items():
            if record_class in days:
                ask = partial(listing, path, record_class, days[record_class])
                yield Read("twilio", service, (record_class,), ask, (OLDEST,), long=True)
        proxied = tuple(name for name in ("session-map", "interaction-log") if name in days)
        if gate is not None and proxied:
            ask = partial(self._calls, path, "interaction-log", days["interaction-log"])
            yield Read("twilio", service, proxied, ask, (OLDEST,), long=True)
        elif proxied:
            ask = partial(self._proxied, path, days)
            yield Read("twilio", service, proxied, ask, (OLDEST,), long=True)

    def _service(self, path: str) -> dict[str, Any]:
        found = self._carrier.read("fetch-service", PROXY, path)
        return {
            "callbackUrl": found.get("callback_url"),
            "interceptCallbackUrl": found.get("intercept_callback_url"),
            "outOfSessionCallbackUrl": found.get("out_of_session_callback_url"),
            "defaultTtl": found.get("default_ttl"),
            "chatInstanceSid": found.get("chat_instance_sid") or None,
        }

    def _owned(self, path: str) -> tuple[str, dict[str, str], frozenset[str]]:
        """Return the account's SID, the pool by SID, and the pool's numbers, which no one else may see."""
        with self._lock:
            if self._kept is None and self._gate is not None:
                self._kept = self._pointing(*self._gate)
            if self._kept is None:
                account = str(self._carrier.read("fetch-service", PROXY, path)["account_sid"])
                query = {"PageSize": str(SESSIONS_PAGE_SIZE)}
                pool = list(self._carrier.entries("list-pool", PROXY, f"{path}/PhoneNumbers", query, "phone_numbers"))
                sids = {each["sid"]: "reserved" if each.get("is_reserved") else "in the pool" for each in pool}
                self._kept = account, sids, frozenset(each["phone_number"] for each in pool)
            return self._kept

    def _pointing(self, account: str, gate: str) -> tuple[str, dict[str, str], frozenset[str]]:
        """Return the account's SID, the numbers of which every URL is the gate's, by SID, and those numbers."""
        path = f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json"
        query = {"PageSize": str(PAGE_SIZE)}
        found = list(self._carrier.entries("list-numbers", API, path, query, "incoming_phone_numbers"))
        sids = {str(each["sid"]): state for each in found if (state := points_at(each, gate)) is not None}
        return account, sids, frozenset(str(each["phone_number"]) for each in found if each["sid"] in sids)

    def _recording_default(self) -> dict[str, str]:
        """Say whether the account records every call by itself, whatever TwiML or consent says.

        https://www.twilio.com/docs/voice/api/configurations: no default is a 404.
        """
        try:
            found = self._carrier.read("fetch-recording-default", VOICE, RECORDING_DEFAULT)
        except CarrierError as error:
            if error.status != 404:
                raise
            return {"accountRecording": "off"}
        return {"accountRecording": "off" if is_switched_off(found) else "on"}

    def _messages(self, path: str, name: str, days: int) -> dict[str, Oldest]:
        return {name: self._oldest_of(path, "Messages", "messages", "DateSent", days)}

    def _recordings(self, path: str, name: str, days: int) -> dict[str, Oldest]:
        return {name: self._oldest_of(path, "Recordings", "recordings", "DateCreated", days)}

    def _calls(self, path: str, name: str, days: int) -> dict[str, Oldest]:
        return {name: self._oldest_of(path, "Calls", "calls", "StartTime", days)}

    def _transcripts(self, path: str, name: str, days: int) -> dict[str, Oldest]:
        """Return the oldest transcription over its time; one whose recording is gone may be ours, and counts."""
        account, _, numbers = self._owned(path)
        root, limit, oldest = f"/2010-04-01/Accounts/{account}", cutoff(days, self._now), Oldest(None)
        query = {"PageSize": str(PAGE_SIZE)}
        entries = self._carrier.entries(
            "list-transcriptions", API, f"{root}/Transcriptions.json", query, "transcriptions"
        )
        for entry in entries:
            self._deadline.check()
            made = _date(entry.get("date_created"))
            if made is None or made >= limit:
                continue
            recording = self._found("fetch-recording", f"{root}/Recordings/{entry['recording_sid']}.json")
            if recording is None or self._is_ours(root, recording, numbers):
                oldest = _older(oldest, made, entry["sid"])
        return {name: oldest}

    def _media(self, path: str, name: str, days: int) -> dict[str, Oldest]:
        """Return the oldest media file over its time: those of the messages of that age."""
        account, _, numbers = self._owned(path)
        root, limit, oldest = f"/2010-04-01/Accounts/{account}", cutoff(days, self._now), Oldest(None)
        query = {"DateSent<": limit.date().isoformat(), "PageSize": str(PAGE_SIZE)}
        for message in self._carrier.entries("list-messages", API, f"{root}/Messages.json", query, "messages"):
            self._deadline.check()
            # Twilio's old API tells numbers as texts.
            if str(message.get("num_media") or "0") == "0" or not self._is_ours(root, message, numbers):
                continue
            below = f"{root}/Messages/{message['sid']}/Media.json"
            for entry in self._carrier.entries("list-media", API, below, {"PageSize": "100"}, "media_list"):
                made = _date(entry.get("date_created"))
                if made is not None and made < limit:
                    oldest = _older(oldest, made, entry["sid"])
        return {name: oldest}

    def _found(self, operation: str, path: str) -> Mapping[str, Any] | None:
        try:
            return self._carrier.read(operation, API, path)
        except CarrierError as error:
            if error.status != 404:
                raise
            return None

    def _oldest_of(self, path: str, kind: str, key: str, date: str, days: int) -> Oldest:
        """Return the oldest of the account's messages, calls or recordings that is over its time and the pool's."""
        account, _, numbers = self._owned(path)
        limit = cutoff(days, self._now)
        query = {f"{date}<": limit.date().isoformat(), "PageSize": str(PAGE_SIZE)}
        root = f"/2010-04-01/Accounts/{account}"
        oldest = Oldest(None)
        for entry in self._carrier.entries(f"list-{key}", API, f"{root}/{kind}.json", query, key):
            self._deadline.check()
            made = _date(entry.get("date_sent") or entry.get("start_time") or entry.get("date_created"))
            if made is not None and made < limit and self._is_ours(root, entry, numbers):
                oldest = _older(oldest, made, entry["sid"])
        return oldest

    def _is_ours(self, root: str, entry: Mapping[str, Any], numbers: frozenset[str]) -> bool:
        """Say whether a message or a recording's call went to or from a number of the pool; a deleted call did."""
        if call := entry.get("call_sid"):
            found = self._found("fetch-call", f"{root}/Calls/{call}.json")
            if found is None:
                return True
            entry = found
        return not numbers.isdisjoint({entry.get("to"), entry.get("from")})

    def _proxied(self, path: str, days: Mapping[str, int]) -> dict[str, Oldest]:
        """Return the oldest closed session that is over its time, and the oldest interaction of the oldest sessions."""
        sessions: list[tuple[datetime, str]] = []
        closed = Oldest(None)
        query = {"PageSize": str(SESSIONS_PAGE_SIZE)}
        for entry in self._carrier.entries("list-sessions", PROXY, f"{path}/Sessions", query, "sessions"):
            self._deadline.check()
            sessions.append((moments.from_text(entry["date_created"]), entry["sid"]))
            ended = entry.get("date_ended") if entry["status"] == "closed" else None
            if ended and "session-map" in days:
                closed = self._judged(closed, moments.from_text(ended), entry["sid"], days["session-map"])
        found = {"session-map": closed}
        if "interaction-log" in days:
            found["interaction-log"] = self._interactions(path, sorted(sessions), days)
        return found

    def _interactions(self, path: str, sessions: list[tuple[datetime, str]], declared: Mapping[str, int]) -> Oldest:
        """Return the oldest interaction over its time. One of a message has the text, and goes with the messages."""
        calls = declared["interaction-log"]
        messages = min(calls, declared.get("messages", calls))
        oldest, limit = Oldest(None), cutoff(messages, self._now)
        old = [sid for made, sid in sessions if made < limit]
        for sid in old[:SESSIONS_SAMPLED]:
            self._deadline.check()
            query = {"PageSize": str(SESSIONS_PAGE_SIZE)}
            entries = self._carrier.entries(
                "list-interactions", PROXY, f"{path}/Sessions/{sid}/Interactions", query, "interactions"
            )
            for entry in entries:
                days = messages if str(entry.get("type", "")).lower() == "message" else calls
                oldest = self._judged(oldest, moments.from_text(entry["date_created"]), entry["sid"], days)
        return oldest

    def _judged(self, oldest: Oldest, made: datetime, sid: str, days: int) -> Oldest:
        return _older(oldest, made, sid) if made < cutoff(days, self._now) else oldest


def points_at(number: Mapping[str, Any], gate: str) -> str | None:
    """Return what a number is to a stack whose gate has this URL: `in the pool`, `reserved`, None if it is nothing.

    Every URL has to be the gate's, and nothing may win over them.
    """
    if any(number.get(name) for name in ("voice_application_sid", "sms_application_sid", "trunk_sid")):
        return None
    found = {name: str(number.get(name) or "") for name in WEBHOOKS}
    for state, mark in (("in the pool", ""), ("reserved", "?reserved=true")):
        marked = {name: gate + path + (mark if name in MARKED else "") for name, path in WEBHOOKS.items()}
        if found == marked:
            return state
    return None


def is_switched_off(default: Mapping[str, Any]) -> bool:
    """Tell whether a recording default that the account has records nothing all the same.

    What a disabled one looks like is not documented, so any answer but `enabled: false` or `status: disabled` records.
    """
    return default.get("enabled") is False or str(default.get("status", "")).lower() == "disabled"


def _older(oldest: Oldest, made: datetime, sid: str) -> Oldest:
    """Count one more copy over its time, and keep the older of the two."""
    if oldest.at is None or made < oldest.at:
        return Oldest(made, oldest.over + 1, sid=sid)
    return Oldest(oldest.at, oldest.over + 1, sid=oldest.sid)


def _date(text: Any) -> datetime | None:
    """Return the moment of a date in the old style of Twilio's API (RFC 2822), None where there is none."""
    try:
        return parsedate_to_datetime(str(text)) if text else None
    except ValueError:
        return None
