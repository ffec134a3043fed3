"""What the bench says of what it measured."""

from __future__ import annotations

import random
from datetime import date

import pytest

from tests.bench.page import render
from tests.bench.ratio import Ratio, compared, interval


@pytest.mark.parametrize(
    ("count", "left_out"), [(1, 0), (3, 0), (5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (20, 5)]
)
def test_interval_leaves_out_what_the_sign_test_does(count: int, left_out: int) -> None:
    """Of so many values so many are left out at each end, as tables of the sign test have it."""
    assert interval(list(range(count))) == (left_out, count - 1 - left_out)


def test_interval_holds_the_median_nineteen_times_of_twenty() -> None:
    """Of a thousand samples with a long tail the interval holds the true median in at least nineteen of twenty."""
    source = random.Random(7)
    median = 2**0.5
    samples = [[source.paretovariate(2) for _ in range(15)] for _ in range(1000)]
    held = sum(low <= median <= high for low, high in map(interval, samples))
    assert held >= 950


@pytest.mark.parametrize(
    ("ours", "bar", "shown", "verdict"),
    [
        ([10.0] * 9, None, "1.00× (1.00 to 1.00)", ""),
        ([5.0, 6.0] * 4, None, "0.55× (0.50 to 0.60)", ""),
        ([8.0, 14.0] * 4, None, "too noisy to tell", ""),
        ([12.0, 12.5] * 4, 1.3, "1.23× (1.20 to 1.25)", "at most 1.3×: kept"),
        ([2.0, 3.0] * 4, 0.5, "0.25× (0.20 to 0.30)", "at least 2 times as fast: kept"),
        ([14.0, 15.0] * 4, 1.3, "1.45× (1.40 to 1.50)", "at most 1.3×: missed"),
        ([12.0, 15.0] * 4, 1.3, "too noisy to tell", ""),
    ],
)
def test_what_is_told(ours: list[float], bar: float | None, shown: str, verdict: str) -> None:
    """A ratio is shown where its interval leaves 1 out, or the bar that it is held to, or is narrow."""
    found = compared("x", ours, "y", [10.0] * len(ours), bar=bar)
    assert (found.shown, found.verdict) == (shown, verdict)


def test_page_shows_what_is_told() -> None:
    """The page has a row for each comparison, with a bar of each side where something is told."""
    rows = [Ratio("x", 1, "y", 2, 0.5, 0.4, 0.6, 1.3), Ratio("loud", 1, "y", 1, 1, 0.5, 1.5)]
    page = render(rows, ["a rate"], date(2026, 5, 4))
    assert "| x | 1.00 ms | y | 2.00 ms | 0.50× (0.40 to 0.60) | at most 1.3×: kept | `████████████`<br>" in page
    assert "| loud | 1.00 ms | y | 1.00 ms | too noisy to tell | | |" in page
    assert "- a rate\n" in page
