"""Clients of AWS for what a webhook waits for: boto3's, but made only where something has to go by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from parley.adapters.signed import TARGETS, Signed


class Client:
    """boto3's client of one service, made when it is needed; reads of `TARGETS` go without it where they can."""

    def __init__(self, service: str, reads: Signed | None, make: Callable[[], Any]) -> None:
        self._service, self._reads, self._make = service, reads, make
        self._lock = threading.Lock()
        self._made: Any = None

    def connect(self) -> None:
        """Open the connection of the reads, if they go without boto3. Raises OSError."""
        if self._reads is not None:
            self._reads.connect()

    def load(self) -> None:
        """Make boto3's client, if the reads do not go without it."""
        if self._reads is None:
            self._full()

    def close(self) -> None:
        """Close the connection of the reads."""
        if self._reads is not None:
            self._reads.close()

    def __getattr__(self, operation: str) -> Any:
        """Return an operation."""
        if self._reads is None or TARGETS.get(operation, ("",))[0] != self._service:
            return getattr(self._full(), operation)
        reads = self._reads

        def ask(**arguments: Any) -> Any:
            answer = reads.ask(operation, arguments)
            return getattr(self._full(), operation)(**arguments) if answer is None else answer

        return ask

    def _full(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
