"""A year of people who talk, consent, withdraw, are held and erased, after which everything is listed and judged.

`make test` plays two months of one life in ten seconds; a whole year of each takes a minute or two:
`PARLEY_YEAR_DAYS=365 PARLEY_YEAR_SEEDS=0,1,2,3 .venv/bin/python -m pytest tests/faults/test_year.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from parley import archiving, holding

from tests.faults.life import Life
from tests.faults.year import Year, one_year

EVENTFUL = 5
"""The first life to which everything happens within two months."""
SEEDS = tuple(int(seed) for seed in os.environ.get("PARLEY_YEAR_SEEDS", str(EVENTFUL)).split(","))
DAYS = int(os.environ.get("PARLEY_YEAR_DAYS", "60"))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_outlives_its_bound_and_nothing_held_is_lost(seed: int) -> None:
    """After a year of faults, holds and erasures each object on both planes may be there, and is no older than that."""
    with one_year(seed) as year:
        life = Life(year)
        life.play(DAYS)
    assert life.oracle.checks > DAYS // 7
    enough = 60 if seed == EVENTFUL else 180
    if enough <= DAYS:
        # A life in which nothing was said, held or erased would prove nothing.
        wanted = ("called", "texted", "held", "released", "erasures done", "imports refused", "callbacks disturbed")
        assert all(life.did[what] for what in wanted), life.did
        assert life.oracle.compared
        assert year.killed


def _switch_off(what: str) -> Callable[[Year, pytest.MonkeyPatch], Any]:
    return lambda year, _patch: year.switched_off.add(what)


def _hold_nothing_new(_year: Year, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(archiving, "is_under_hold", lambda _record: False)
    patch.setattr(holding, "_hold_versions", lambda _places, *, again: int(again))


@pytest.mark.parametrize(
    ("break_down", "found"),
    [
        pytest.param(_switch_off("sweeper"), "^I4: .* in twilio", id="no sweeper"),
        pytest.param(_switch_off("lifecycle"), "^I4: .* in (content|evidence)", id="no lifecycle"),
        pytest.param(_switch_off("time to live"), "^I4: .* in ledger", id="no time to live"),
        pytest.param(_hold_nothing_new, "^I5: ", id="no legal hold on versions"),
    ],
)
def test_judge_sees_what_does_not_work(
    break_down: Callable[[Year, pytest.MonkeyPatch], Any], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one mechanism does not work, the judge of the lives says so by the invariant that it is for."""
    with one_year(1) as year:
        life = Life(year)
        break_down(year, monkeypatch)
        with pytest.raises(AssertionError, match=found):
            life.play(60)
