"""Sessions: what the ledger knows of a masked conversation, and when an interaction belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MIN_TTL = 60
"""Seconds: a shorter session would be over before the first message arrived."""

PARTICIPANTS = 2
"""Proxy sessions have exactly two participants (Twilio error 80609 for a third)."""


class Mode(StrEnum):
    """What may pass through a session (Twilio's names)."""

    VOICE_AND_MESSAGE = "voice-and-message"
    VOICE_ONLY = "voice-only"
    MESSAGE_ONLY = "message-only"


class Status(StrEnum):
    """Whether a session still connects."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Participant:
    """A party's place in one session: Twilio's SID of the participant and the party's key."""

    sid: str
    party: str


@dataclass(frozen=True, slots=True)
class Session:
    """A masked conversation. `closes_at` is absolute: no interaction extends it."""

    sid: str
    service_sid: str
    participants: tuple[Participant, ...]
    mode: str
    opened_at: datetime
    closes_at: datetime
    status: Status = Status.OPEN
    closed_at: datetime | None = None
    closed_reason: str = ""

    @property
    def parties(self) -> tuple[str, ...]:
        """The keys of the parties."""
        return tuple(participant.party for participant in self.participants)

    def party_of(self, participant_sid: str) -> str | None:
        """Return the party behind a participant's SID, or None if it is nobody in this session."""
        return next((one.party for one in self.participants if one.sid == participant_sid), None)

    def is_over(self, now: datetime) -> bool:
        """Tell whether the session was closed or has outlived its time."""
        return self.status is not Status.OPEN or now >= self.closes_at


def refusal(session: Session | None, *, service_sid: str, participant_sid: str, now: datetime) -> str | None:
    """Return why an interaction is no part of an open session of ours, as a code, or None if it is."""
    if session is None:
        return "session-unknown"
    if session.service_sid != service_sid:
        return "service-mismatch"
    if session.party_of(participant_sid) is None:
        return "participant-unknown"
    return "session-closed" if session.is_over(now) else None


def closing_time(now: datetime, ttl: int, consent_ends: datetime | None) -> datetime:
    """Return when a session of `ttl` seconds must end: never after the first consent that it rests on runs out."""
    end = now + timedelta(seconds=ttl)
    return end if consent_ends is None else min(end, consent_ends)


def modes_for(channels: Sequence[str]) -> tuple[Mode, ...]:
    """Return the modes that a stack with these channels allows."""
    voice, messages = "voice" in channels, not {"sms", "chat"}.isdisjoint(channels)
    if voice and messages:
        return tuple(Mode)
    return ((Mode.VOICE_ONLY,) if voice else ()) + ((Mode.MESSAGE_ONLY,) if messages else ())
