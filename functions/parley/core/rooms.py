"""The recording of a video room: whose tracks are recorded, and what became of a recording that nobody wrote down.

A room is the operator's own; Twilio asks nobody whether somebody may join it, it only tells. So recording is off, and
is turned on for the people who are in the room by Recording Rules that name each of them
(https://www.twilio.com/docs/video/api/recording-rules): whoever joins later is in no rule, and nothing of theirs is
recorded until they are judged, whatever becomes of the callback that tells of them. As long as somebody is in the room
who has not agreed, nobody in it is recorded.

A `Room` is what the ledger wants to be so at Twilio. It is written before Twilio is asked, with the condition that
nobody said anything meanwhile, and afterwards both are held against each other until they agree. So whoever dies in
between leaves a difference, which the next look mends.

| field | what is recorded of these participants |
|---|---|
| `starting` | Twilio is asked to record them, or was; nothing of it is accepted yet |
| `seats` | recorded, and accepted: the consents stood before Twilio was asked, and after it |
| neither | nothing; a recording that is there all the same is dropped |

`owed` says that recording was ended and that Twilio has not been seen to have done so, nor the recordings written down.
What a participant in `seats` was recorded until then was recorded with consent, and is kept.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from parley.core import moments
from parley.core.record_classes import RecordClass
from parley.core.recording import Permission
from parley.core.records import SIDS, Record, ResourceKind
from parley.core.sids import check_sid

LIMITS: Final = (
    (
        "Twilio Video asks nobody before somebody joins a room, so the kit can keep nobody out of one: whether people"
        " may be connected by video is for your backend to ask before it hands out an access token."
    ),
    (
        "Recording is off until everybody in a room has agreed to it, and then only of those who are in it. When"
        " somebody joins who has not agreed, nothing of theirs is recorded; the others are recorded until Twilio has"
        " told of it and done what it is told: a second or two, or until the check of the next minute if the callback"
        " is lost."
    ),
    (
        "A room must be created by your backend with recording off, a name that begins with the stack's name, and the"
        " address /twilio/room as its StatusCallback; any other room is not recorded, nor is it looked after."
    ),
    "A room of more than 20 people is not recorded, since a room has at most 20 Recording Rules.",
    "A room with one person in it is not recorded.",
)
"""What a reviewer has to know of video, in sentences that the report shows under the channel."""

MOST: Final = 20
"""The most Recording Rules of a room (https://www.twilio.com/docs/api/errors/53120)."""

LONGEST_STAY: Final = timedelta(hours=24)
"""How long a participant stays connected at the most (Rooms resource, MaxParticipantDuration: 86,400 s)."""

ALONE: Final = "alone"
STRANGER: Final = "participant-unknown"
TOO_MANY: Final = "too-many-people"
UNAGREED: Final = "no-consent-on-record"


@dataclass(frozen=True, slots=True)
class Room:
    """What is known of the recording of one room. It holds party keys, SIDs and codes, nothing plain.

    `seats` and `starting` are participants, by Twilio's SIDs: one that leaves and comes back is another one. `parties`
    is everybody who was seen in the room, `consents` are the ids of the consent records that its recordings rest on,
    `law` is the table's version and the row that decided. `reason` says as a code why it is not recorded, `ended_at`
    when recording was ended last, `over` that the room is.
    """

    sid: str
    first_at: datetime
    parties: tuple[str, ...] = ()
    seats: tuple[str, ...] = ()
    starting: tuple[str, ...] = ()
    consents: tuple[str, ...] = ()
    law: str = ""
    announcement: str = ""
    owed: bool = False
    over: bool = False
    reason: str = ""
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        check_sid(self.sid, "RM")

    @property
    def recorded(self) -> tuple[str, ...]:
        """The participants whose tracks are to be recorded now."""
        return () if self.owed or self.over else tuple(dict.fromkeys((*self.seats, *self.starting)))

    @property
    def goes_on(self) -> bool:
        """Whether somebody has to look after it: until it is over, and what it owes is done."""
        return self.owed or not self.over

    def to_json(self) -> str:
        """Return the room as canonical JSON."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        document = {
            name: moments.to_text(value) if isinstance(value, datetime) else value
            for name, value in plain.items()
            if value not in ("", None, ()) and value is not False
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Room:
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("is not a room")
        for name in {"parties", "seats", "starting", "consents"} & found.keys():
            found[name] = tuple(found[name])
        for name in {"first_at", "ended_at"} & found.keys():
            found[name] = moments.from_text(found[name])
        return cls(**found)


def obstacle(parties: Collection[str | None], participants: int) -> str | None:
    """Return why nobody in a room may be recorded, whatever the consents say, as a code; else None.

    `parties` are the keys of the people in it, None for a participant who is nobody that is known.
    """
    if None in parties:
        return STRANGER
    if participants > MOST:
        return TOO_MANY
    return ALONE if len(set(parties)) < 2 else None


def started(room: Room, participants: Sequence[str], parties: Iterable[str], permitted: Permission) -> Room:
    """Return a room whose participants may be recorded, before Twilio is asked to; the room itself if they all are."""
    missing = tuple(sid for sid in participants if sid not in room.seats)
    after = replace(
        room,
        parties=_together(room.parties, parties),
        starting=missing,
        consents=_together(room.consents, permitted.consents),
        law=permitted.law,
        announcement=permitted.announcement,
        reason="",
    )
    return after if missing or after.consents != room.consents else replace(room, starting=())


def accepted(room: Room) -> Room:
    """Return a room whose people still agreed after Twilio was asked."""
    return replace(room, seats=_together(room.seats, room.starting), starting=())


def ended(room: Room, reason: str, now: datetime, parties: Iterable[str] = (), *, over: bool = False) -> Room:
    """Return a room in which nothing is to be recorded any more; `over`: it is not there any more either."""
    return replace(
        room,
        parties=_together(room.parties, parties),
        starting=(),
        owed=True,
        over=over or room.over,
        reason=reason,
        ended_at=now,
    )


def settled(room: Room) -> Room:
    """Return a room after Twilio was seen to record nothing in it, and what it recorded was written down."""
    return replace(room, seats=(), owed=False)


def _together(known: Sequence[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))


# Recording Rules ----------------------------------------------------------------------------------------------

Rule = Mapping[str, Any]


def rules(participants: Sequence[str]) -> list[dict[str, Any]]:
    """Return the Recording Rules that record these participants and nobody else.

    A track that no rule includes is not recorded; an empty list is no set of rules (error 53120).
    """
    if not participants:
        return [{"type": "exclude", "all": True}]
    return [{"type": "include", "publisher": sid} for sid in participants]


def agree(found: Iterable[Rule], participants: Sequence[str]) -> bool:
    """Tell whether the rules that Twilio has record these participants and nobody else."""
    return {_plain(rule) for rule in found} == {_plain(rule) for rule in rules(participants)}


def _plain(rule: Rule) -> str:
    return json.dumps({name: value for name, value in rule.items() if value is not None}, sort_keys=True)


# Recordings ---------------------------------------------------------------------------------------------------


class Fate(StrEnum):
    """What becomes of a recording that has no record."""

    KEEP = "keep"
    DROP = "drop"
    UNDECIDED = "undecided"  # whoever works on the room is about to say


def fate(room: Room | None, participant: str, made_at: datetime | None, *, settling: bool = False) -> Fate:
    """Return what becomes of a recording of a participant's track that nobody wrote down.

    `settling`: Twilio has been told to record nothing, and what it did record until then is being written down. A
    recording that began after recording was ended is dropped: somebody asked for it who did not know yet. Twilio tells
    whole seconds, so one that began in the second before goes as well.
    """
    if room is None:
        return Fate.DROP
    if (room.owed and not settling) or participant in room.starting:
        return Fate.UNDECIDED
    if participant not in room.seats or made_at is None:
        return Fate.DROP
    late = settling and room.ended_at is not None and made_at > room.ended_at - timedelta(seconds=1)
    return Fate.DROP if late else Fate.KEEP


def record_of(room: Room, kind: ResourceKind, sid: str, now: datetime) -> Record:
    """Return the record of a recording in a room, or of a composition of one. Raises SidError."""
    return Record(
        sid=check_sid(sid, SIDS[kind]),
        kind=kind,
        record_class=RecordClass.VIDEO_RECORDINGS,
        session=room.sid,
        parent=room.sid,
        parties=room.parties,
        consents=room.consents,
        made_at=now,
    )


def may_compose(recordings: Iterable[Record]) -> bool:
    """Tell whether a composition of a room may be kept, by the records of the room's recordings.

    Nobody can tell which of them it was made of, so one that nobody agreed to forbids it, and so does having none.
    """
    found = list(recordings)
    return bool(found) and all(record.reason != UNAGREED for record in found)
