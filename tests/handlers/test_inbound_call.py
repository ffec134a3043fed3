"""Calls over sessions of our own, from phone to phone over the emulator."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from parley import runtime
from parley.core.consent import State
from parley.core.lines import interaction_sid

from local.twilio.simulator import Ring
from tests.handlers.archives import Archives
from tests.handlers.direct import make_direct
from tests.handlers.test_inbound_message import masked
from tests.handlers.world import ANA, BEN, GATE, POOL, STRANGER, World, body, lines

TAKE = Ring(callee_digits=("1",))


@pytest.fixture
def archives(world: World) -> Archives:
    """Give the stores of a gate whose sessions are its own."""
    return make_direct(world)


def recorded(world: World) -> dict[str, Any]:
    """Return an open session of Ana and Ben, who both agreed to be recorded."""
    for party in (ANA, BEN):
        world.consent(party, scopes=["manage"])
        world.consent(party, scopes=["record_voice"], notice=NOTICE)
    answer = world.open(record=["voice"])
    assert answer["statusCode"] == 201, answer
    return body(answer)


NOTICE = {"id": "app:terms", "version": 1}


class TestConnected:
    """What gets through."""

    def test_both_are_told_before_they_are_connected(self, world: World, archives: Archives) -> None:
        """The caller hears through whom they talk, the other one too, and takes the call by a key."""
        session = world.conversation()
        outcome = world.call(ANA, masked(session), TAKE)
        assert outcome.alerts == []
        assert outcome.connected
        assert "We are connecting you with the other person through" in outcome.heard[0]
        assert "Press 1 to take the call" in outcome.callee_heard[0]
        child = world.emulator.carrier.state.calls[str(outcome.outbound_sid)]
        assert (child.from_, child.to) == (masked(session, 1), BEN)
