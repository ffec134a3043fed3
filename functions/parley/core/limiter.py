"""How many requests may be in flight at once, found by trying: additive increase, multiplicative decrease (AIMD).

Twilio answers 429 with code 20429 to an account that has too many requests in flight, and tells nobody how many it may
have (https://www.twilio.com/docs/api/errors/20429). So every worker keeps to one shared limit: a refusal halves it, and
it grows slowly while there is none. Workers that halve alike and grow alike come to equal shares of what Twilio takes,
however many they are (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

CEILING: Final = 100
"""The most requests that one worker has in flight."""

FLOOR: Final = 1

HOLD_OFF: Final = timedelta(seconds=2)
"""How long after a halving further refusals count as answers to what was in flight before it."""

GROWTH: Final = 2.0
"""By how many requests the limit grows in a second without a refusal."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many requests each worker may have in flight, since when, and when a refusal was last heeded."""

    permits: float = float(CEILING)
    since: datetime | None = None
    refused_at: datetime | None = None

    @property
    def whole(self) -> int:
        """The limit in whole requests."""
        return max(FLOOR, min(CEILING, int(self.permits)))

    def refused(self, now: datetime) -> Limit:
        """Return the limit after Twilio refused a request: half of it, but only once for what was in flight at once."""
        if self.refused_at is not None and now - self.refused_at < HOLD_OFF:
            return self
        return Limit(max(float(FLOOR), self.grown(now).permits / 2), now, now)

    def grown(self, now: datetime) -> Limit:
        """Return the limit after the time that has gone by without a refusal."""
        if self.since is None:
            return Limit(self.permits, now, self.refused_at)
        seconds = max(0.0, (now - self.since).total_seconds())
        return Limit(min(float(CEILING), self.permits + seconds * GROWTH), max(now, self.since), self.refused_at)

    def heeding(self, other: Limit) -> Limit:
        """Return the limit that takes what another worker found into account: whoever was refused last is right."""
        if other.refused_at is None or (self.refused_at is not None and self.refused_at >= other.refused_at):
            return self
        return other
