"""Fixtures of the handlers' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.clock import Clock
from local.twilio import Emulator
from tests.faults.memory import MemoryTable
from tests.handlers import world as worlds
from tests.handlers.world import World, aws, emulated_twilio, one_world


@pytest.fixture(scope="session")
def twilio() -> Iterator[tuple[Clock, Emulator, str]]:
    """Give a served emulator for all tests; each test resets it."""
    with emulated_twilio() as served:
        yield served


@pytest.fixture
def world(
    twilio: tuple[Clock, Emulator, str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Give a gate that nobody has used yet.

    Its table is in memory, which takes half the time; `tests/faults/test_memory.py` holds it against moto's. Where a
    test needs more of DynamoDB than the gate does (backups, streams, boto3's events), `moto_table` marks it.
    """
    if not request.node.get_closest_marker("moto_table"):
        table = MemoryTable()
        monkeypatch.setattr(worlds, "aws", lambda service: table if service == "dynamodb" else aws(service))
    with one_world(*twilio) as fresh:
        yield fresh
