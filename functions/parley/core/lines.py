"""Lines: what one read tells about a text or a call to a masked number, where sessions are our own (`direct`).

A line is a pair of a party and a masked number. Of an open session each party has one: who writes or calls from their
number to that masked number means the others of this session, and nobody else. So a masked number serves many people
at once, and one person never has two sessions on the same number.

A line says by itself whether anything may pass, as the session does, and whatever takes a consent back is written to
both in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from parley.core.consent import Scope, sha256_hex
from parley.core.sessions import Mode, Revocation

if TYPE_CHECKING:
    from parley.core.location import Location

GRACE: Final = timedelta(seconds=60)
"""How long after its end a line is nobody else's yet: clocks differ, and a call may just be ending."""

RESERVED_FOR: Final = timedelta(seconds=35)
"""How long a number is kept for a session that is being opened: as long as an attempt may be under way."""


class LineStatus(StrEnum):
    """Whether a line is being made, lets pass, or is free for another session."""

    RESERVED = "reserved"
    OPEN = "open"
    CLOSED = "closed"


class Channel(StrEnum):
    """What wants to pass."""

    VOICE = "voice"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True, repr=False)
class Peer:
    """Another participant of the session, as the holder of a line reaches them.

    `masked_number` is the number by which the peer knows this conversation; `sealed` is their own one, encrypted.
    """

    participant: str
    party: str
    masked_number: str
    sealed: str


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """A party's way into one session. `masked_number` is the one that they call and write to, in E.164 form.

    `records` are the consent records that it rests on, `scopes` what is permitted besides being connected, `asks` what
    everybody is asked for at the beginning of each call, `places` is
    where everybody is said to be. `idle` is after how many seconds without an interaction it ends (0: never), `seen`
    how many messages it remembers.
    """

    party: str
    masked_number: str
    participant: str
    session: str
    intent: str
    peers: tuple[Peer, ...]
    mode: str
    status: LineStatus
    opened_at: datetime
    closes_at: datetime
    scopes: tuple[Scope, ...] = ()
    asks: tuple[Scope, ...] = ()
    records: tuple[str, ...] = ()
    places: Mapping[str, Location] = field(default_factory=dict)
    revocation: Revocation | None = None
    idle: int = 0
    last_at: datetime | None = None
    seen: int = 0

    @property
    def parties(self) -> tuple[str, ...]:
        """The keys of everybody in the session, the holder first."""
        return (self.party, *(peer.party for peer in self.peers))

    def is_idle(self, now: datetime) -> bool:
        """Tell whether the session is over because nothing passed for so long."""
        return self.idle > 0 and now >= (self.last_at or self.opened_at) + timedelta(seconds=self.idle)

    def refusal(self, now: datetime, channel: Channel) -> str | None:
        """Return why nothing may pass, as a code, or None if it may."""
        if self.status is not LineStatus.OPEN or now >= self.closes_at:
            return "session-closed"
        if self.revocation is not None:
            return "consent-lost"
        if self.is_idle(now):
            return "session-idle"
        shut = Mode.MESSAGE_ONLY if channel is Channel.VOICE else Mode.VOICE_ONLY
        return "mode-mismatch" if self.mode == shut else None


def session_sid(unique_name: str) -> str:
    """Return the SID of a session of our own, in the form of Proxy's: whatever works with one works with both."""
    return f"KC{sha256_hex(f'session {unique_name}')[:32]}"


def participant_sid(session: str, party: str) -> str:
    """Return the SID of a party's place in a session of our own."""
    return f"KP{sha256_hex(f'participant {session} {party}')[:32]}"


def interaction_sid(resource: str) -> str:
    """Return the SID of the interaction that an inbound message or call is: the same however often it is told."""
    return f"KI{sha256_hex(f'interaction {resource}')[:32]}"
