"""Proxy's rate limit: 30 requests a second over a sliding window of 5 seconds, for each endpoint of each Service.

So one second may see a burst of 150 (https://www.twilio.com/docs/proxy/proxy-limits). Real time counts here, not the
movable clock: a client's back-off is in real time.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_SECONDS: Final = 5.0
BASELINE_PER_SECOND: Final = 30.0


class RateLimit:
    """A sliding window for each key. `per_second` None = no limit. Thread-safe."""

    def __init__(
        self, per_second: float | None = BASELINE_PER_SECOND, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_second = per_second
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._requests: defaultdict[tuple[str, ...], deque[float]] = defaultdict(deque)

    def admit(self, *key: str) -> bool:
        """Count a request and tell whether it may pass; one that may not is not counted."""
        if self.per_second is None:
            return True
        with self._lock:
            now = self._monotonic()
            recent = self._requests[key]
            while recent and recent[0] <= now - WINDOW_SECONDS:
                recent.popleft()
            if len(recent) >= self.per_second * WINDOW_SECONDS:
                return False
            recent.append(now)
            return True
