"""Sessions: what the ledger knows of a masked conversation, and when an interaction belongs to it.

A session begins as an intent: a row that names the attempt to open one before Twilio is asked. Its id is part of the
session's unique name at Twilio, so whatever is open there can be told apart: written down, under way, or an orphan.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from parley.core.consent import NO, Kind, Scope, Standing, State, sha256_hex

if TYPE_CHECKING:
    from parley.core.location import Location

MIN_TTL = 60
"""Seconds: a shorter session would be over before the first message arrived."""

PARTICIPANTS = 2
"""Proxy sessions have exactly two participants (Twilio error 80609 for a third)."""

MOST_PARTICIPANTS = 5
"""Sessions of our own (`direct`) have at most so many.

A session opens in one transaction, which checks what everybody said towards everybody else for each of three scopes,
and DynamoDB takes a hundred items in one.
"""

IN_FLIGHT = timedelta(seconds=35)
"""How long an attempt to open a session may be under way: a little longer than the function that makes it may run."""

LONGEST_CALL = timedelta(seconds=14_400)
"""How long a call may go on after its session is over: Twilio ends it then (TwiML Dial, timeLimit by default)."""

_INTENT_ID = re.compile(r"si_[0-9a-f]{32}")
_UNIQUE_NAME = re.compile(rf"({_INTENT_ID.pattern})\.[1-9][0-9]{{0,8}}")


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
    """A party's place in one session: the SID of the participant and the party's key.

    `masked_number` is the number by which they reach the others where sessions are our own; else Twilio keeps it.
    `calling_code` is that of the masked number, which is that of their own; what a pool needs is told from it.
    """

    sid: str
    party: str
    masked_number: str = ""
    calling_code: str = ""


class Stage(StrEnum):
    """How far an attempt to open a session has come."""

    OPENING = "opening"
    OPENED = "opened"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Intent:
    """An attempt to open a session, written down before Twilio is asked.

    `digest` stands for what was asked for, so that a repeat can be told from another request. `attempt` counts from 1:
    Twilio takes a unique name only once, and an abandoned attempt may have left one there. `sid` is Twilio's, once it
    is known.
    """

    id: str
    attempt: int
    digest: str
    parties: tuple[str, ...]
    began_at: datetime
    closes_at: datetime
    stage: Stage = Stage.OPENING
    sid: str | None = None

    @property
    def unique_name(self) -> str:
        """The session's unique name at Twilio: no part of it says anything about anybody."""
        return f"{self.id}.{self.attempt}"

    def is_under_way(self, now: datetime) -> bool:
        """Tell whether somebody may still be opening this session."""
        return self.stage is Stage.OPENING and now < self.began_at + IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Revocation:
    """What ends a session: the consent record, since when it counts, and why as a code such as `manage-withdrawn`."""

    record_id: str
    at: datetime
    reason: str

    @property
    def is_no(self) -> bool:
        """Whether somebody said no; otherwise the record says less than the session needs, such as a shorter time."""
        return self.reason.rpartition("-")[2] in NO


@dataclass(frozen=True, slots=True)
class Session:
    """A masked conversation. `closes_at` is absolute: no interaction extends it.

    The session itself says whether it may still connect: it never outlives a consent that it rests on, and a
    `revocation` is written together with the consent record that takes one back. `records` are the ids of those that
    it rests on, `scopes` what else was permitted when it was opened or renewed last, `asks` what everybody is asked for
    at the beginning of each call; `name` is the caller's own. `idle` is after how many seconds without a text or a call
    it ends as well (0: never), which its lines tell.
    `places` tell where each party was said to be then, by party key, so that a renewal goes by the same law.
    """

    sid: str
    service_sid: str
    participants: tuple[Participant, ...]
    mode: str
    opened_at: datetime
    closes_at: datetime
    status: Status = Status.OPEN
    closed_at: datetime | None = None
    closed_reason: str = ""
    intent: str = ""
    name: str | None = None
    records: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()
    asks: tuple[Scope, ...] = ()
    revocation: Revocation | None = None
    places: Mapping[str, Location] = field(default_factory=dict)
    idle: int = 0

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


def takes_away(before: Standing | None, after: Standing, *, counterparts: Collection[str], closes_at: datetime) -> bool:
    """Tell whether a consent that changed ends a session of its party with `counterparts` that lasts until `closes_at`.

    If it does not, what the session rests on still stands until its end: nobody has to read the consents again.
    """
    if after.scope is not Scope.MANAGE or after.counterpart not in {None, *counterparts}:
        return False
    if after.state is State.REQUESTED:
        return before is not None and before.state is State.GIVEN
    from parley.core.disclosure import is_stale  # noqa: PLC0415 - the intercept judges sessions without any notice

    if after.state is not State.GIVEN or after.kind is Kind.IMPLIED or is_stale(after):
        return True
    return after.valid_until is not None and after.valid_until < closes_at


def intent_id(name: str) -> str:
    """Return the id of the intent that a caller's name for a request, or a random text, stands for."""
    return f"si_{sha256_hex(name)[:32]}"


def is_intent_id(text: str) -> bool:
    """Tell whether a text has the form of an intent's id."""
    return _INTENT_ID.fullmatch(text) is not None


def intent_of(unique_name: str | None) -> str | None:
    """Return the id of the intent that a session at Twilio was opened for, or None if it is none of ours."""
    match = _UNIQUE_NAME.fullmatch(unique_name or "")
    return match[1] if match else None


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
