"""What is to happen at a later moment of the movable clock: schedules, retries, messages that become visible."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.clock import Clock

log = logging.getLogger(__name__)


class Agenda:
    """Runs actions when their moment comes, by the passing of time or by a move of the clock.

    A move runs everything that it made due, in order of their moments, before `Clock.advance` returns.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._running = threading.RLock()
        self._closed = False
        self._thread = threading.Thread(target=self._wait, name="agenda", daemon=True)
        self._thread.start()
        clock.subscribe(self._on_advance)

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Run `action` at `moment` (epoch seconds of the clock), or as soon as it has passed."""
        with self._changed:
            heapq.heappush(self._entries, (moment, next(self._order), action))
            self._changed.notify()

    def close(self) -> None:
        """Forget everything and end the thread."""
        with self._changed:
            self._closed = True
            self._entries.clear()
            self._changed.notify()
        self._thread.join()

    def _on_advance(self, _now: float) -> None:
        if not self._closed:
            self._run_due()

    def _wait(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not (self._entries and self._entries[0][0] <= self._clock.now()):
                    remaining = self._entries[0][0] - self._clock.now() if self._entries else None
                    self._changed.wait(None if remaining is None else max(remaining, 0.001))
                if self._closed:
                    return
            self._run_due()

    def _run_due(self) -> None:
        # One at a time, and an action put on the agenda while it is being run through waits for the next round:
        # what is due at the same moment of a story must not overtake each other.
        with self._running:
            until = self._clock.now()
            while (action := self._take(until)) is not None:
                try:
                    action()
                except Exception:
                    log.exception("an action of the agenda failed")

    def _take(self, until: float) -> Callable[[], None] | None:
        with self._changed:
            if self._entries and self._entries[0][0] <= until:
                return heapq.heappop(self._entries)[2]
        return None
