"""Dates as Twilio's products write and read them: ISO 8601 in v1 products, RFC 2822 in api.v2010."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from local.twilio.errors import TwilioError

if TYPE_CHECKING:
    from collections.abc import Mapping


def iso8601(moment: float | None) -> str | None:
    """Return epoch seconds as `2026-11-23T10:00:00Z`; None stays None."""
    if moment is None:
        return None
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc2822(moment: float | None) -> str | None:
    """Return epoch seconds as `Mon, 23 Nov 2026 10:00:00 +0000`; None stays None."""
    if moment is None:
        return None
    return format_datetime(datetime.fromtimestamp(int(moment), UTC))


def parse_moment(name: str, text: str) -> float:
    """Return the epoch seconds of an ISO 8601 date or date-time; without an offset it is UTC.

    Raises TwilioError 20001 naming the parameter.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TwilioError(20001, f"{name} must be an ISO 8601 date or date-time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


class Window:
    """The moments that pass v2010's filters `Name` (that day), `Name<` (on or before) and `Name>` (on or after).

    A plain date stands for the whole UTC day, as in the Calls and Messages lists; so does midnight without an operator,
    which is how the official package writes a date. A time stands for its whole second, the smallest that Twilio tells.
    Raises TwilioError 20001 naming the parameter.
    """

    def __init__(self, query: Mapping[str, str], name: str) -> None:
        self._start: float | None = None
        self._end: float | None = None
        for operator in ("", "<", ">"):
            text = query.get(name + operator)
            if not text:
                continue
            start = parse_moment(name + operator, text)
            day = "T" not in text or (operator == "" and start % 86400 == 0)
            if operator != "<":
                self._start = start if self._start is None else max(self._start, start)
            if operator != ">":
                end = start + (86400 if day else 1)
                self._end = end if self._end is None else min(self._end, end)

    def holds(self, moment: float | None) -> bool:
        """Tell whether a moment passes; None passes only where nothing is asked for."""
        if moment is None:
            return self._start is None and self._end is None
        return (self._start is None or moment >= self._start) and (self._end is None or moment < self._end)
