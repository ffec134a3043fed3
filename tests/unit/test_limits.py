"""What is said that the kit cannot promise."""

from __future__ import annotations

from parley.core.limits import CHANNELS, KEPT, limits
from parley.core.retention import CHANNELS as KNOWN


def test_every_channel_has_its_limits() -> None:
    """Each channel that a stack can name says what cannot be promised there."""
    assert CHANNELS.keys() == KNOWN.keys()
    assert all(CHANNELS.values())


def test_what_concerns_several_channels_is_said_once() -> None:
    """A sentence that two channels share names both, and what always holds comes last."""
    found = limits(["voice", "sms"])
    assert len({each["text"] for each in found}) == len(found)
    assert found[0]["about"] == "voice, sms"
    assert [each["text"] for each in found if each["about"] == "all"] == list(KEPT)
    assert not [each for each in limits(["sms"]) if "video" in each["about"]]
