"""Debugger notifications, as https://monitor.twilio.com/v1/Alerts lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from local.twilio.errors import CODES, TwilioError
from local.twilio.moments import parse_moment
from local.twilio.state import Alert, new_sid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.twilio.state import State


class Alerts:
    """The account's debugger log. Not thread-safe: the caller holds the carrier's lock."""

    def __init__(self, state: State, now: Callable[[], float], told: Callable[[Alert], None]) -> None:
        self._state = state
        self._now = now
        self._told = told

    def record(
        self,
        code: int,
        account_sid: str,
        service_sid: str | None = None,
        resource_sid: str | None = None,
        *,
        request_url: str | None = None,
        request_variables: str = "",
        response_body: str | None = None,
    ) -> Alert:
        """Add a notification; its level and message come from the catalogue of codes."""
        known = CODES[code]
        alert = Alert(
            new_sid("NO"),
            account_sid,
            code,
            known.level,
            self._now(),
            self._state.next_seq(),
            resource_sid,
            service_sid,
            urlencode({"Msg": known.message, "ErrorCode": code, "LogLevel": known.level.upper()}),
            "POST" if request_url else None,
            request_url,
            request_variables,
            response_body,
        )
        self._state.alerts[alert.sid] = alert
        self._told(alert)
        return alert

    def fetch(self, account_sid: str, sid: str) -> Alert:
        """Return an alert. Raises TwilioError 20404."""
        alert = self._state.alerts.get(sid)
        if alert is None or alert.account_sid != account_sid:
            raise TwilioError(20404, f"/Alerts/{sid}")
        return alert

    def search(self, account_sid: str, query: Mapping[str, str]) -> list[Alert]:
        """Return the alerts that satisfy LogLevel, StartDate and EndDate (both inclusive; a date is its midnight)."""
        level = query.get("LogLevel")
        if level and level not in {"error", "warning", "notice", "debug"}:
            raise TwilioError(20001, "LogLevel must be one of error, warning, notice, debug")
        start = parse_moment("StartDate", query["StartDate"]) if query.get("StartDate") else None
        end = parse_moment("EndDate", query["EndDate"]) if query.get("EndDate") else None
        return [
            alert
            for alert in self._state.alerts.values()
            if alert.account_sid == account_sid
            and (not level or alert.log_level == level)
            and (start is None or alert.generated >= int(start))
            and (end is None or int(alert.generated) <= end)
        ]
