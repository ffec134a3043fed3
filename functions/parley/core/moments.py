"""Times as texts: RFC 3339 in UTC."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@functools.lru_cache(maxsize=1024)  # one moment stands in several rows of one record, and records come in batches
def to_text(moment: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC, with microseconds always, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def from_text(text: object) -> datetime:
    """Read an RFC 3339 time with up to six decimals of a second.

    Raises ValueError, with a message that says what to write.
    """
    if isinstance(text, str) and _RFC3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # the form is right, the day does not exist
    raise ValueError("is not an RFC 3339 time such as 2026-05-04T10:00:00Z")
