"""Texts that are passed on over sessions of our own, from phone to phone over the emulator."""

from __future__ import annotations

import pytest
from parley import runtime

from tests.handlers.archives import Archives
from tests.handlers.direct import make_direct
from tests.handlers.world import ANA, BEN, POOL, STRANGER, World, body


@pytest.fixture
def archives(world: World) -> Archives:
    """Give the stores of a gate whose sessions are its own."""
    return make_direct(world)


def masked(session: dict[str, object], place: int = 0) -> str:
    """Return the masked number that a participant of an opened session uses."""
    participants = session["participants"]
    assert isinstance(participants, list)
    return str(participants[place]["masked_number"])


@pytest.mark.usefixtures("archives")
class TestPassedOn:
    """What gets through."""

    def test_text_reaches_the_other_one(self, world: World) -> None:
        """A text to a masked number reaches the other person, whole, from the number that they know."""
        session = world.conversation()
        outcome = world.text(ANA, masked(session), "At the corner")
        assert world.received(BEN) == ["At the corner"]
        (sent,) = [one for one in world.emulator.carrier.state.messages.values() if one.to == BEN]
        assert sent.from_ == masked(session, 1)
        assert outcome.alerts == []
        world.text(BEN, masked(session, 1), "Coming")
        assert world.received(ANA) == ["Coming"]
