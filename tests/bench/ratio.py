"""What a comparison says: the median of the ratios that were measured by turns, and how sure it is.

The interval holds the true median in at least 19 of 20 runs, whatever the noise is like (the order statistics of the
sign test); with fewer than six pairs it is all that was seen. A comparison tells which side is faster when the interval
leaves 1 out, and whether a bar is kept when it leaves the bar out. Else the machine was too busy to tell.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

NARROW = 0.2
"""An interval that is no wider tells that both sides are as fast as each other."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One comparison: medians in milliseconds, ours over theirs with its interval, and the `bar` it is held to, if any.

    A bar above 1 is kept by a ratio below it, one below 1 by a ratio below it as well: less of their time is better.
    """

    what: str
    ours_ms: float
    theirs: str
    theirs_ms: float
    ratio: float
    low: float
    high: float
    bar: float | None = None

    @property
    def told(self) -> bool:
        """Whether the interval leaves out what would make it say nothing."""
        if self.bar is not None:
            return self.high <= self.bar or self.low > self.bar
        return self.low > 1 or self.high < 1 or self.high - self.low <= NARROW

    @property
    def shown(self) -> str:
        """The ratio with its interval, as text."""
        if not self.told:
            return "too noisy to tell"
        return f"{self.ratio:.2f}× ({self.low:.2f} to {self.high:.2f})"

    @property
    def verdict(self) -> str:
        """Whether the bar is kept, as text, empty without one."""
        if self.bar is None or not self.told:
            return ""
        wanted = f"at most {self.bar:g}×" if self.bar >= 1 else f"at least {1 / self.bar:g} times as fast"
        return f"{wanted}: {'kept' if self.high <= self.bar else 'missed'}"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an interval that holds the median of what `values` are drawn from, with 95 % confidence."""
    ordered, count = sorted(values), len(values)
    out, rank = 0.0, 0
    while True:
        out += math.comb(count, rank) / 2**count
        if 2 * out > 0.05:
            break
        rank += 1
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[count - rank]


def compared(
    what: str, ours: Sequence[float], theirs: str, peer: Sequence[float], *, bar: float | None = None
) -> Ratio:
    """Return what milliseconds that were measured by turns say."""
    ratios = [mine / other for mine, other in zip(ours, peer, strict=True)]
    middle, ends = statistics.median(ratios), interval(ratios)
    return Ratio(what, statistics.median(ours), theirs, statistics.median(peer), middle, *ends, bar)
