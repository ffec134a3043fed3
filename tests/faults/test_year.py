"""A year of people who talk, consent, withdraw, are held and erased, after which everything is listed and judged.

It is played when it is asked for: `PARLEY_YEAR_DAYS=365 PARLEY_YEAR_SEEDS=1,2 pytest tests/faults/test_year.py`. A year
takes about two minutes. What it still finds is in CHANGELOG.md, under "Known".
"""

from __future__ import annotations

import os

import pytest

from tests.faults.life import Life
from tests.faults.year import one_year

SEEDS = tuple(int(seed) for seed in os.environ.get("PARLEY_YEAR_SEEDS", "1").split(","))
DAYS = int(os.environ.get("PARLEY_YEAR_DAYS", "0"))


@pytest.mark.skipif(not DAYS, reason="PARLEY_YEAR_DAYS says how many days are played")
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_outlives_its_bound_and_nothing_held_is_lost(seed: int) -> None:
    """After a year of faults, holds and erasures each object on both planes may be there, and is no older than that."""
    with one_year(seed) as year:
        life = Life(year)
        life.play(DAYS)
    assert life.oracle.checks > DAYS // 7
    if DAYS >= 365:
        # A life in which nothing was said, held or erased would prove nothing.
        assert all(life.did[what] for what in ("called", "texted", "held", "erasures done", "released")), life.did
