"""Fixtures of the handlers' tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.clock import Clock
from local.twilio import Emulator
from tests.faults.memory import Item, MemoryKms, MemorySecrets, MemoryTable
from tests.handlers import world as worlds
from tests.handlers.world import World, aws, emulated_twilio, one_world


@pytest.fixture(scope="session")
def twilio() -> Iterator[tuple[Clock, Emulator, str]]:
    """Give a served emulator for all tests; each test resets it."""
    with emulated_twilio() as served:
        yield served


class QuickKms(MemoryKms):
    """KMS in memory for MACs and seals; keys that sign are moto's."""

    def create_key(self, **arguments: Any) -> Item:
        """Name a key, or let moto make one that signs."""
        signs = arguments.get("KeyUsage") == "SIGN_VERIFY"
        made: Item = aws("kms").create_key(**arguments) if signs else super().create_key(**arguments)
        return made

    def __getattr__(self, operation: str) -> Any:
        """Leave everything else to moto."""
        return getattr(aws("kms"), operation)


@pytest.fixture
def world(
    twilio: tuple[Clock, Emulator, str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Give a gate that nobody has used yet.

    Its table, keys and secret are in memory, since moto takes 2 ms for each call; `tests/faults/test_memory.py` holds
    the table against moto's. Where a test needs more of AWS than the gate does (backups, streams, boto3's events and
    errors), `moto` marks it.
    """
    if not request.node.get_closest_marker("moto"):
        quick = {"dynamodb": MemoryTable(), "kms": QuickKms(), "secretsmanager": MemorySecrets()}
        monkeypatch.setattr(worlds, "aws", lambda service: quick.get(service) or aws(service))
    with one_world(*twilio) as fresh:
        yield fresh
