"""Sessions: when an interaction belongs to one, and when one must end."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from parley.core.sessions import Mode, Participant, Session, Status, closing_time, modes_for, refusal

from tests.unit.chains import ANA, BEN, NOON

SESSION = Session(
    sid="KC1",
    service_sid="KS1",
    participants=(Participant("KP1", ANA), Participant("KP2", BEN)),
    mode=Mode.VOICE_AND_MESSAGE,
    opened_at=NOON,
    closes_at=NOON + timedelta(hours=1),
)


@pytest.mark.parametrize(
    ("session", "service", "participant", "minutes", "reason"),
    [
        (SESSION, "KS1", "KP1", 0, None),
        (None, "KS1", "KP1", 0, "session-unknown"),
        (SESSION, "KS2", "KP1", 0, "service-mismatch"),
        (SESSION, "KS1", "KP9", 0, "participant-unknown"),
        (SESSION, "KS1", "KP1", 60, "session-closed"),
        (dataclasses.replace(SESSION, status=Status.CLOSED), "KS1", "KP1", 0, "session-closed"),
    ],
)
def test_interaction_belongs_to_an_open_session(
    session: Session | None, service: str, participant: str, minutes: int, reason: str | None
) -> None:
    """An interaction belongs to a session that is known, ours, open and has its sender in it."""
    now = NOON + timedelta(minutes=minutes)
    assert refusal(session, service_sid=service, participant_sid=participant, now=now) == reason


def test_parties() -> None:
    """A session knows its parties and who is behind which participant."""
    assert SESSION.parties == (ANA, BEN)
    assert SESSION.party_of("KP2") == BEN


def test_session_never_outlives_the_consents() -> None:
    """A session ends after its time to live, or when the first consent runs out."""
    assert closing_time(NOON, 60, None) == NOON + timedelta(seconds=60)
    assert closing_time(NOON, 60, NOON + timedelta(seconds=30)) == NOON + timedelta(seconds=30)
    assert closing_time(NOON, 60, NOON + timedelta(seconds=90)) == NOON + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("channels", "modes"),
    [
        (("voice", "sms"), tuple(Mode)),
        (("voice",), (Mode.VOICE_ONLY,)),
        (("chat",), (Mode.MESSAGE_ONLY,)),
        (("video",), ()),
    ],
)
def test_modes_follow_the_channels(channels: tuple[str, ...], modes: tuple[Mode, ...]) -> None:
    """A stack allows only the modes that its channels can carry."""
    assert modes_for(channels) == modes
