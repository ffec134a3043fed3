"""Fixtures of the handlers' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.clock import Clock
from local.twilio import Emulator
from tests.handlers.world import World, emulated_twilio, one_world


@pytest.fixture(scope="session")
def twilio() -> Iterator[tuple[Clock, Emulator, str]]:
    """Give a served emulator for all tests; each test resets it."""
    with emulated_twilio() as served:
        yield served


@pytest.fixture
def world(twilio: tuple[Clock, Emulator, str]) -> Iterator[World]:
    """Give a gate that nobody has used yet."""
    with one_world(*twilio) as fresh:
        yield fresh
