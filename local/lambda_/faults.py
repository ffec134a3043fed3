"""Faults on purpose: make a function fail, so that what stands round it can be seen to hold."""

from __future__ import annotations

import threading
from dataclasses import dataclass

MODES = ("error", "timeout", "crash")


@dataclass
class Fault:
    """How each function whose name contains `function` fails, and for how many more events (None = until cleared)."""

    function: str
    mode: str
    times: int | None = None


class Faults:
    """The faults that are set."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Set a fault. Raises ValueError for one that makes no sense."""
        if fault.mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {fault.mode!r}")
        if not fault.function:
            raise ValueError("function: expected a function's name or a part of it")
        if fault.times is not None and fault.times < 1:
            raise ValueError(f"times: expected null or a number from 1, got {fault.times}")
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._faults.clear()

    def take(self, name: str) -> str | None:
        """Return the mode of the fault that an event of this function meets, and count it."""
        with self._lock:
            for fault in self._faults:
                if fault.function in name:
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times == 0:
                            self._faults.remove(fault)
                    return fault.mode
        return None
