"""What a comparison says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratio:
    """One comparison: medians in milliseconds, and ours over theirs."""

    what: str
    ours_ms: float
    theirs: str
    theirs_ms: float
    ratio: float
    spread: float

    @property
    def told(self) -> bool:
        """Whether the spread of the ratios is smaller than what they say, or than a fifth."""
        return self.spread <= max(abs(1 - self.ratio), 0.2)
