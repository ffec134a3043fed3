"""I1, I3, I7 and I8 under each fault alone: how long somebody stays connected who said no, and what is allowed."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest

from infra.monitoring import exposure_seconds
from tests.faults.faults import FAULTS
from tests.faults.measure import Measured, measure, seconds
from tests.faults.page import BY_NAME, MASKINGS, row
from tests.faults.stage import BOUND, TICK, Served
from tests.infra import stacks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


@pytest.mark.parametrize("masking", MASKINGS)
@pytest.mark.parametrize("name", BY_NAME)
def test_exposure_is_within_its_bound(
    served: Served, measured: dict[tuple[str, str], Measured], name: str, masking: str
) -> None:
    """Nobody stays connected longer than is allowed under a fault, and the page has what was measured."""
    fault = BY_NAME[name]
    found = measured[masking, name] = measure(served, fault, masking)
    for value, most in zip(astuple(found), map(seconds, fault.allowed(masking)), strict=True):
        assert value <= most
    assert f"{row(name, found, masking)}\n" in _table(masking), "run `make docs`"


@pytest.mark.parametrize("name", BY_NAME)
def test_direct_masking_reaches_nobody_who_said_no(name: str) -> None:
    """The page says 0 for every text and call that would begin, under every fault, where sessions are our own."""
    cells = next(line for line in _table("direct").splitlines() if line.startswith(f"| {name} |")).split(" | ")
    assert (cells[1], cells[3]) == ("0 (0)", "0 (0) |")


def _table(masking: str) -> str:
    return PAGE.read_text(encoding="utf-8").split("## Direct")[MASKINGS.index(masking)]


def test_bound_is_the_declared_one() -> None:
    """The bound that is held here is the one that production declares, with its interval between two runs."""
    settings = stacks.settings("prod")
    assert (settings.session.reconcile_seconds, exposure_seconds(settings)) == (TICK, BOUND)


def test_page_has_every_fault_once() -> None:
    """The page has one row for each fault and one for none, in each of the tables."""
    for masking in MASKINGS:
        lines = _table(masking).splitlines()
        rows = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ") and "(" in line]
        assert rows == list(BY_NAME)
    assert len(BY_NAME) == len(FAULTS) + 1
