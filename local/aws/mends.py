"""Replacing parts of moto for as long as one local cloud runs.

moto keeps its state in module globals, so a process hosts one cloud at a time; when it closes, every part that was
replaced is put back, and tests that use plain moto in the same process see plain moto.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Mends:
    """The replaced attributes, in order, and how to put them back."""

    def __init__(self) -> None:
        self._originals: list[tuple[Any, str, Any]] = []

    def replace(self, owner: Any, name: str, replacement: Any) -> None:
        """Set `owner.name` to `replacement` until `undo`."""
        self._originals.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, replacement)

    def wrap(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        """Replace a method by one that calls `wrapper(original, self, ...)`."""
        original = owner.__dict__[name]

        def replacement(*args: Any, **kwargs: Any) -> Any:
            return wrapper(original, *args, **kwargs)

        self.replace(owner, name, replacement)

    def undo(self) -> None:
        """Put back everything that was replaced, last first."""
        while self._originals:
            owner, name, original = self._originals.pop()
            setattr(owner, name, original)
