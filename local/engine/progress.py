"""News of a long errand, told to whoever shows it: the command's progress bar, a log, a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One piece of news while an engine is being found, fetched or built.

    `text` is a full sentence where `total` is None; otherwise the name of a step, of which `done` of `total` parts are
    done (`unit`: packages, modules, bytes). `elapsed` is in seconds since the errand began.
    """

    text: str
    done: int = 0
    total: int | None = None
    unit: str = ""
    elapsed: float = 0.0

    def __str__(self) -> str:
        """Show it as one plain line."""
        if self.total is None:
            return self.text
        if self.unit == "bytes":
            return f"{self.text}: {self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB, {self.elapsed:.0f} s"
        return f"{self.text}: {self.done} of about {self.total} {self.unit}, {self.elapsed:.0f} s"


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""
