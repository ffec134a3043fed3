"""The movable clock of the one-machine cloud."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Wall-clock time plus an offset that a test or the demo may push forward.

    One instance is shared by the Twilio emulator (session TTLs) and the scheduler, so that a session
    expires and a schedule fires at the same moment of the same story, without anybody sleeping.
    """

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset
        self._lock = threading.Lock()
        self._subscribers: list[Callable[[float], None]] = []

    @property
    def offset(self) -> float:
        """Seconds that this clock is ahead of the machine's."""
        return self._offset

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> float:
        """Move the clock forward by `seconds`, tell the subscribers, and return the new time.

        Raises ValueError for a negative move: what has expired cannot un-expire.
        """
        if seconds < 0:
            raise ValueError(f"the clock moves forward only, got {seconds} s")
        with self._lock:
            self._offset += seconds
            subscribers = list(self._subscribers)
        now = self.now()
        for subscriber in subscribers:
            subscriber(now)
        return now

    def subscribe(self, subscriber: Callable[[float], None]) -> None:
        """Call `subscriber(now)` after every advance, before the advance returns."""
        with self._lock:
            self._subscribers.append(subscriber)
