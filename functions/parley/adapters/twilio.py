"""Twilio's REST API over urllib3: sessions of Proxy, messages, and the debugger's alerts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from parley.adapters.proxy_api import ProxyApi, preferred, service_path
from parley.adapters.twilio_api import API, MONITOR, PROXY
from parley.core import moments
from parley.ports import Alert, CarrierError, FoundSession, Message, OpenedParticipant, OpenedSession, Seat

ALREADY_CLOSED = frozenset({80607})
CALL_IS_OVER = frozenset({21220})
FINISHED = frozenset({"busy", "canceled", "completed", "failed", "no-answer"})
"""The states of a call that is over."""

INTERACTIONS_LIMIT = 1000
"""Interactions of one session that are looked through for a call that is under way."""

MESSAGING_SERVICE = "MG"
NO_NUMBER = frozenset({80201, 80202, 80203, 80205, 80206})
"""Proxy has no number for a participant in a service (twilio.com/docs/api/errors); another service may have one."""

OPEN = frozenset({"open", "in-progress"})
PAGE_SIZE = 1000
SESSIONS_PAGE_SIZE = 100
"""The largest pages of the debugger and of Proxy."""


class TwilioCarrier(ProxyApi):
    """Implements `parley.ports.Carrier`. The arguments are those of `ProxyApi`."""

    def open_session(
        self,
        identifiers: Sequence[str],
        *,
        unique_name: str,
        ttl: int,
        closes_at: datetime,
        mode: str,
        idle: int = 0,  # noqa: ARG002 - the API takes it for sessions of our own only, as `reopens`
        reopens: str = "",  # noqa: ARG002
    ) -> OpenedSession:
        """Open a masked session between the holders of plain numbers.

        The end is given twice: as the time without interaction and as the moment itself, which wins, so that no
        default of Twilio's ever decides how long people stay connected. It is also the end of a session that this
        call opens and cannot close: the SID is only in Twilio's answer, and answers get lost. By `unique_name` it is
        found again. Where no number of a service fits, the next one is asked.
        """
        fields = [
            ("Mode", mode),
            ("Ttl", str(ttl)),
            ("DateExpiry", _seconds(closes_at)),
            ("UniqueName", unique_name),
            *(("Participants", json.dumps({"Identifier": identifier})) for identifier in identifiers),
        ]
        service, sid = self._opened(preferred(self.services, identifiers), fields)
        self.remember(sid, service)
        try:
            return OpenedSession(sid, self.participants(sid, identifiers), service)
        except BaseException:
            self.close_session(sid)
            raise

    def _opened(self, services: Sequence[str], fields: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """Return the service that a session was opened in, and the session's SID."""
        for service in services:
            try:
                made = self.request("open-session", "POST", PROXY, f"{service_path(service)}/Sessions", fields)
            except CarrierError as error:
                if error.code not in NO_NUMBER or service == services[-1]:
                    raise
            else:
                return service, str(made["sid"])
        raise CarrierError("open-session")

    def participants(self, sid: str, identifiers: Sequence[str]) -> tuple[OpenedParticipant, ...]:
        """Return the participants of a session, in the order of `identifiers`."""
        path = self.session_path(sid, "Participants")
        answer = self.request("list-participants", "GET", PROXY, path, retries=self.repeatable)
        try:
            made = {
                one["identifier"]: OpenedParticipant(one["sid"], one["proxy_identifier"])
                for one in answer["participants"]
            }
            return tuple(made[identifier] for identifier in identifiers)
        except (KeyError, TypeError):
            # Not chained: the error quotes a number.
            raise CarrierError("list-participants") from None

    def renew_session(self, sid: str, *, ttl: int, closes_at: datetime) -> bool:
        """Set the end of an open session; return False, and change nothing, if it is closed or gone."""
        fields = [("Ttl", str(ttl)), ("DateExpiry", _seconds(closes_at))]
        path = self.session_path(sid)
        try:
            self.request("renew-session", "POST", PROXY, path, fields, retries=self.repeatable)
        except CarrierError as error:
            if error.status == 404 or error.code in ALREADY_CLOSED:
                return False
            raise
        return True

    def is_open(self, sid: str) -> bool:
        """Tell whether a session would connect anybody."""
        raw = self.found("fetch-session", PROXY, self.session_path(sid))
        return raw is not None and raw.get("status") in OPEN

    def close_session(self, sid: str, *, urgent: bool = False) -> None:
        """Close a session. One that is closed or gone is no error. `urgent`: one short attempt."""
        try:
            self.request(
                "close-session",
                "POST",
                PROXY,
                self.session_path(sid),
                [("Status", "closed")],
                **self.patience(urgent),
            )
        except CarrierError as error:
            if error.status != 404 and error.code not in ALREADY_CLOSED:
                raise

    def live_calls(self, sid: str, *, urgent: bool = False) -> tuple[list[str], bool]:
        """Return the calls of a session that may be under way, by the SIDs of their inbound legs; tell if that was all.

        Whether Proxy cuts a call when its session is closed is documented nowhere, so whoever closes one has to end
        it. Proxy learns of a call's states one by one: one that it calls live may be over. `urgent` reads one page.
        """
        query = {"PageSize": str(SESSIONS_PAGE_SIZE)}
        path = self.session_path(sid, "Interactions")
        limit = SESSIONS_PAGE_SIZE if urgent else INTERACTIONS_LIMIT
        pages = self.pages("list-interactions", PROXY, path, query, "interactions", urgent=urgent)
        live: list[str] = []
        try:
            for position, raw in enumerate(pages, 1):
                call = str(raw.get("inbound_resource_sid") or "")
                if raw.get("type") == "voice" and call and raw.get("inbound_resource_status") not in FINISHED:
                    live.append(call)
                # A full last page is taken for one with more behind it, which only costs another look.
                if position == limit:
                    return live, False
        except CarrierError as error:
            if error.status == 404:
                return [], True
            raise
        return live, True

    def end_call(self, sid: str, *, urgent: bool = False) -> None:
        """End a call with both its legs. One that is over or gone is no error."""
        path = f"{self.root}/Calls/{sid}.json"
        try:
            self.request("end-call", "POST", API, path, [("Status", "completed")], **self.patience(urgent))
        except CarrierError as error:
            if error.status != 404 and error.code not in CALL_IS_OVER:
                raise

    def redirect_call(self, sid: str, url: str) -> None:
        """Let a live call go on with the document of a URL. One that is over or gone is no error."""
        fields = [("Url", url), ("Method", "POST")]
        try:
            self.request("redirect-call", "POST", API, f"{self.root}/Calls/{sid}.json", fields, retries=self.repeatable)
        except CarrierError as error:
            if error.status != 404 and error.code not in CALL_IS_OVER:
                raise

    def place_call(
        self, caller: str, to: str, *, url: str, fallback: str, status: str, rings: int, time_limit: int
    ) -> str:
        """Call somebody from a masked number, who hears the document of `url`; return the call's SID.

        `rings` and `time_limit` are seconds, `status` is told each state. Nothing is repeated: two calls are worse
        than none (twilio.com/docs/voice/api/call-resource).
        """
        fields = [
            *(("From", caller), ("To", to), ("Url", url), ("Method", "POST")),
            *(("FallbackUrl", fallback), ("FallbackMethod", "POST")),
            *(("StatusCallback", status), ("StatusCallbackMethod", "POST")),
            *(("StatusCallbackEvent", event) for event in ("initiated", "ringing", "answered", "completed")),
            *(("Timeout", str(rings)), ("TimeLimit", str(time_limit))),
        ]
        return self._made("place-call", "Calls", fields)

    def seats(self, sid: str, *, urgent: bool = False) -> list[Seat]:
        """Return the places in a session, open or closed: Twilio keeps them until somebody deletes the session."""
        path = self.session_path(sid, "Participants")
        answer = self.request("list-participants", "GET", PROXY, path, **self.patience(urgent))
        try:
            return [Seat(one["sid"], one["identifier"], one["proxy_identifier"]) for one in answer["participants"]]
        except (KeyError, TypeError):
            # Not chained: the error quotes a number.
            raise CarrierError("list-participants") from None

    def send(self, sender: str, to: str, body: str, *, urgent: bool = False) -> str:
        """Text somebody from a number or Messaging Service of the account; return the message's SID.

        Nothing is repeated that Twilio may have begun to carry out: a text that is lost is better than one twice.
        """
        origin = "MessagingServiceSid" if sender.startswith(MESSAGING_SERVICE) else "From"
        fields = [(origin, sender), ("To", to), ("Body", body)]
        return self._made("send-message", "Messages", fields, **(self.patience(True) if urgent else {}))

    def relay(self, sender: str, to: str, body: str, *, media: Sequence[str], callback: str) -> str:
        """Text somebody from a masked number, with files by their addresses; return the message's SID.

        What becomes of it is told to the URL `callback`. It is never sent twice; what Twilio refused for being too much
        at once (429) was not sent.
        """
        fields = [("From", sender), ("To", to), ("StatusCallback", callback)]
        fields += [("Body", body)] if body else []
        fields += [("MediaUrl", url) for url in media]
        return self._made("relay-message", "Messages", fields)

    def _made(self, operation: str, what: str, fields: list[tuple[str, str]], **patience: Any) -> str:
        """Make a message or a call, once; return its SID."""
        try:
            sid: str = self.request(operation, "POST", API, f"{self.root}/{what}.json", fields, **patience)["sid"]
        except KeyError:
            raise CarrierError(operation) from None
        return sid

    def open_sessions(self, since: datetime, limit: int) -> tuple[list[FoundSession], bool]:
        """Read at most `limit` sessions made since a moment; return the open ones, and whether that was all.

        Proxy filters its list neither by status nor by time, so the walk ends at the first session that is too old.
        That the newest come first holds for Twilio's lists but is promised nowhere: only a list that is seen to
        descend is cut short, any other is read to its end or to `limit`.
        """
        found: list[FoundSession] = []
        seen = 0
        for service in self.services:
            for session, is_open in self._sessions_since(service, since):
                if seen == limit:
                    return found, False
                seen += 1
                if is_open and session.created_at >= since:
                    self.remember(session.sid, service)
                    found.append(session)
        return found, True

    def _sessions_since(self, service: str, since: datetime) -> Iterator[tuple[FoundSession, bool]]:
        """Yield the sessions of a service and whether they are open, as far as any may be from after `since`."""
        newer: datetime | None = None
        query = {"PageSize": str(SESSIONS_PAGE_SIZE)}
        for raw in self.pages("list-sessions", PROXY, f"{service_path(service)}/Sessions", query, "sessions"):
            try:
                created_at = moments.from_text(raw["date_created"])
                session, is_open = FoundSession(raw["sid"], created_at, raw.get("unique_name")), raw["status"] in OPEN
            except (KeyError, TypeError, ValueError):
                raise CarrierError("list-sessions") from None
            yield session, is_open
            if session.created_at < since and newer is not None and session.created_at < newer:
                return
            newer = session.created_at

    def message(self, sid: str) -> Message | None:
        """Return a message, or None if it was deleted."""
        raw = self.found("fetch-message", API, f"{self.root}/Messages/{sid}.json")
        return None if raw is None else _message(raw)

    def pool(self) -> frozenset[str]:
        """Return the masked numbers, in E.164 form."""
        query = {"PageSize": str(SESSIONS_PAGE_SIZE)}
        pools = [f"{service_path(service)}/PhoneNumbers" for service in self.services]
        numbers = (number for path in pools for number in self.pages("list-pool", PROXY, path, query, "phone_numbers"))
        return frozenset(str(number.get("phone_number") or "") for number in numbers) - {""}

    def messages(
        self, since: datetime, until: datetime | None, limit: int, *, sender: str = ""
    ) -> tuple[list[Message], bool]:
        """Read at most `limit` messages of the account, oldest first; tell whether that was all.

        All numbers at once, unless one `sender` is asked for: a pool of hundreds would take as many requests a minute.
        """
        query = {"PageSize": str(PAGE_SIZE), "DateSent>": _seconds(since)}
        if sender:
            query["From"] = sender
        if until is not None:
            query["DateSent<"] = _seconds(until)
        path = f"{self.root}/Messages.json"
        found: list[Message] = []
        for position, raw in enumerate(self.pages("list-messages", API, path, query, "messages")):
            if position == limit:
                return sorted(found, key=_by_sending), False
            found.append(_message(raw))
        return sorted(found, key=_by_sending), True

    def alerts(self, code: int, since: datetime, until: datetime | None, limit: int) -> tuple[list[Alert], bool]:
        """Read at most `limit` alerts; return those with an error code, oldest first, and whether that was all."""
        query = {"LogLevel": "warning", "PageSize": str(PAGE_SIZE), "StartDate": _seconds(since)}
        if until is not None:
            query["EndDate"] = _seconds(until)
        found: list[Alert] = []
        for position, raw in enumerate(self.pages("list-alerts", MONITOR, "/v1/Alerts", query, "alerts")):
            if position == limit:
                return sorted(found, key=_by_time), False
            alert = _alert(raw)
            if alert is not None and alert.code == code:
                found.append(alert)
        return sorted(found, key=_by_time), True


def _seconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _by_sending(message: Message) -> tuple[float, str]:
    return message.sent_at.timestamp() if message.sent_at else 0.0, message.sid


def _by_time(alert: Alert) -> tuple[datetime, str]:
    return alert.at, alert.sid


def _message(raw: Mapping[str, Any]) -> Message:
    sent, code = raw.get("date_sent") or raw.get("date_created"), raw.get("error_code")
    try:
        sent_at = parsedate_to_datetime(sent) if sent else None
    except ValueError:
        sent_at = None
    return Message(
        sid=str(raw.get("sid") or ""),
        sender=str(raw.get("from") or ""),
        recipient=str(raw.get("to") or ""),
        body=str(raw.get("body") or ""),
        inbound=raw.get("direction") == "inbound",
        sent_at=sent_at,
        error_code=code if isinstance(code, int) else 0,
        service_sid=str(raw.get("messaging_service_sid") or ""),
    )


def _alert(raw: Mapping[str, Any]) -> Alert | None:
    """Return an alert, or None for an entry that is not of the documented form."""
    try:
        moment = moments.from_text(raw.get("date_generated") or raw.get("date_created"))
        return Alert(str(raw["sid"]), int(raw["error_code"]), str(raw.get("resource_sid") or ""), moment)
    except (KeyError, TypeError, ValueError):
        return None
