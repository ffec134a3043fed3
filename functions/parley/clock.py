"""The system's clock, and how long a run of a function may still take."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

RESERVE_SECONDS = 30.0
"""How long before its end a scheduled run stops, to still tell what it has."""

UNTOLD_SECONDS = 240.0
"""How long such a run takes where nobody says when it ends."""


class SystemClock:
    """Tells the machine's time."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return datetime.now(UTC)


def seconds_left(context: Any) -> float:
    """Return how long a scheduled run may work, in seconds, by the context that Lambda gave it; at least one."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return max(1.0, remaining() / 1000 - RESERVE_SECONDS) if remaining else UNTOLD_SECONDS
