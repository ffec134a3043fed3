"""I1, I3, I7 and I8 under each fault alone: how long somebody stays connected who said no, and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.monitoring import exposure_seconds
from tests.faults.faults import FAULTS, NOTHING, RUN
from tests.faults.measure import Measured, measure, seconds
from tests.faults.page import BY_NAME, row
from tests.faults.stage import BOUND, TICK, Served
from tests.infra import stacks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


@pytest.mark.parametrize("name", BY_NAME)
def test_exposure_is_within_its_bound(served: Served, measured: dict[str, Measured], name: str) -> None:
    """Nobody stays connected longer than is allowed under a fault, and the page has what was measured."""
    fault = BY_NAME[name]
    found = measured[name] = measure(served, fault)
    allowed = (fault.heard, fault.on_the_phone, fault.swallowed) if fault else (NOTHING, NOTHING, RUN)
    for value, most in zip((found.heard, found.on_the_phone, found.swallowed), map(seconds, allowed), strict=True):
        assert value <= most
    assert f"{row(name, found)}\n" in PAGE.read_text(encoding="utf-8"), "run `make docs`"


def test_bound_is_the_declared_one() -> None:
    """The bound that is held here is the one that production declares, with its interval between two runs."""
    settings = stacks.settings("prod")
    assert (settings.session.reconcile_seconds, exposure_seconds(settings)) == (TICK, BOUND)


def test_page_has_every_fault_once() -> None:
    """The page has one row for each fault and one for none."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ") and "(" in line]
    assert rows == list(BY_NAME)
    assert len(BY_NAME) == len(FAULTS) + 1
