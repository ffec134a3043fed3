"""What the carrier lets a client do at once. Real time counts here, not the movable clock, as a client's back-off does.

Proxy's rate limit is 30 requests a second over a sliding window of 5 seconds, for each endpoint of each Service, so one
second may see a burst of 150 (https://www.twilio.com/docs/proxy/proxy-limits). An account's limit is the number of its
requests in flight (page of 20429); Twilio does not say how many, so there is none here until one is set.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from local.twilio.errors import TwilioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


class Concurrency:
    """How many requests of one account may be in flight at once, and how long each of them takes at least.

    `most` None = any number; `latency` is in real seconds, passed to `wait`. Thread-safe.
    """

    def __init__(self, wait: Callable[[float], object] = time.sleep) -> None:
        self.most: int | None = None
        self.latency = 0.0
        self._wait = wait
        self._lock = threading.Lock()
        self._in_flight: Counter[str] = Counter()

    @contextmanager
    def place(self, account_sid: str) -> Iterator[None]:
        """Hold a place for one request while it is answered. Raises TwilioError 20429 if there is none."""
        with self._lock:
            if self.most is not None and self._in_flight[account_sid] >= self.most:
                raise TwilioError(20429, f"more than {self.most} requests in flight")
            self._in_flight[account_sid] += 1
        try:
            if self.latency:
                self._wait(self.latency)
            yield
        finally:
            with self._lock:
                self._in_flight[account_sid] -= 1
