"""Fixtures of the tests under faults, and the table of what they measured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.faults.measure import Measured
from tests.faults.page import row
from tests.faults.stage import Served, served_twilio

MEASURED: dict[tuple[str, str], Measured] = {}
"""What was measured in this run, by way of masking and fault."""


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """Give a served emulator for all tests of this folder; each stage resets it."""
    with served_twilio() as one:
        yield one


@pytest.fixture
def measured() -> dict[tuple[str, str], Measured]:
    """Give the table that is printed at the end."""
    return MEASURED


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the longest exposures, each with its bound."""
    if MEASURED:
        terminalreporter.section("longest exposure without consent, in seconds (allowed)")
        for (masking, name), found in MEASURED.items():
            terminalreporter.write_line(f"{masking} {row(name, found, masking)}")
