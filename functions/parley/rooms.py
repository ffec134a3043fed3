"""Recordings of video rooms: on while everybody in a room agrees, and off as soon as somebody does not.

Whatever happens in a room is a reason to look at it (`look`): Twilio is asked who is in it, the ledger what these
people agreed to, and the room's row and its Recording Rules are brought to that (`core/rooms.py` has the judgement):

| step | what is done | who dies after it leaves |
|---|---|---|
| judge | read who is there and what they agreed to | nothing |
| want | write whom Twilio is asked to record, if nobody said anything since | `starting`: the next look asks |
| ask | set the room's Recording Rules | the same; what is recorded meanwhile waits for its decision |
| accept | write them as recorded, if still nobody said anything | all that there has to be |

and when somebody does not agree, or has left the other alone:

| step | what is done | who dies after it leaves |
|---|---|---|
| end | write that nothing is to be recorded | a room that owes it: the next look goes on |
| ask | exclude every track | the same |
| write down | each recording there is gets its record, or one that says that it is dropped | the same |
| settle | write that nothing is owed | all that there has to be |

Twilio does not repeat a callback that fails. So the handler puts the room on a queue of its own, and once a minute
every room that goes on is looked at, whatever was heard of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from parley import log, runtime
from parley.adapters.rooms import Present
from parley.core import moments, recording
from parley.core.consent import Head, Scope
from parley.core.identity import IdentifierError, is_party_key
from parley.core.jurisdiction import JurisdictionPolicy, Table, overridden, reviewed_table
from parley.core.recording import Permission
from parley.core.records import ResourceKind, Stage
from parley.core.rooms import (
    UNAGREED,
    Fate,
    Room,
    accepted,
    agree,
    ended,
    fate,
    obstacle,
    record_of,
    settled,
    started,
)
from parley.core.sids import check_sid
from parley.core.sweeping import is_own_name
from parley.core.verification import METRICS
from parley.ports import CarrierError, LedgerError
from parley.telling import is_late
from parley.work import Message

QUEUE = "rooms"
CHANNEL = "video"
ATTEMPTS = 6
"""How often what others got ahead of is read and written again."""

IN_PROGRESS = "in-progress"
OVER = "room-over"
BY_ITSELF = "recorded-by-itself"


@dataclass(frozen=True, slots=True)
class Judged:
    """Who is in a room, what speaks against recording them as a code ("" if nothing does), and what it rests on.

    `heads` are the ends of their chains as they were before the consents were read.
    """

    present: tuple[Present, ...]
    parties: tuple[str, ...]
    why: str
    permitted: Permission
    heads: Mapping[str, Head]

    @property
    def participants(self) -> tuple[str, ...]:
        """Twilio's SIDs of the participants."""
        return tuple(each.sid for each in self.present)


def party_of(identifier: str) -> str | None:
    """Return the key of the person that an identity names: a key, a user id or a number; None if it is none of these.

    Raises LedgerError.
    """
    if is_party_key(identifier):
        return identifier
    try:
        return runtime.identities().party(identifier)
    except IdentifierError:
        return None


# Looking ------------------------------------------------------------------------------------------------------


def joined(sid: str, identifier: str) -> None:
    """Look at a room that somebody has joined; where they have not agreed, nobody is recorded before anything else.

    `identifier` may be plain. Raises CarrierError, LedgerError, SecretError.
    """
    try:
        room = runtime.ledger().room(sid)
        unagreed = room is not None and bool(room.recorded) and not _may_join(room, identifier)
    except LedgerError:
        # Nobody can tell: nothing is recorded until somebody can.
        runtime.twilio_rooms().record(sid, ())
        raise
    if unagreed:
        runtime.twilio_rooms().record(sid, ())
    look(sid)


def _may_join(room: Room, identifier: str) -> bool:
    party = party_of(identifier)
    if party is None:
        return False
    people = tuple(dict.fromkeys((*room.parties, party)))
    return len(people) < 2 or _permission(people, runtime.clock().now()).granted


def look(sid: str) -> None:
    """Bring what is recorded in a room to what the people in it agreed to. One that is not the stack's is let be.

    Raises CarrierError, LedgerError, SecretError: then it is to be done again.
    """
    for _ in range(ATTEMPTS):
        if _step(sid, runtime.ledger().room(sid)):
            return
    raise LedgerError("too many writers at once for one room")


def _step(sid: str, room: Room | None) -> bool:
    """Do what comes next; tell whether row and Twilio agree then, so that there is nothing more to do."""
    if room is not None and not room.goes_on:
        return True
    twilio, now = runtime.twilio_rooms(), runtime.clock().now()
    raw = twilio.room(sid)
    if raw is None or raw.get("status") != IN_PROGRESS:
        return room is None or _end(room, OVER, now, over=True)
    if not is_own_name(str(raw.get("unique_name") or ""), runtime.environment().stack):
        log.emit("room-not-ours", "ERROR", room=sid)
        return True
    if room is not None and room.owed:
        settle(room)
        return False
    judged = _judge(sid, now)
    if judged.why:
        return _keep_off(sid, room, judged, now)
    return _keep_on(room or Room(sid, now), judged, is_new=room is None)


def _keep_off(sid: str, room: Room | None, judged: Judged, now: datetime) -> bool:
    """See to it that nothing is recorded; tell whether nothing is."""
    ledger = runtime.ledger()
    if room is not None and room.recorded:
        _tell(room, judged)
        _end(room, judged.why, now, judged.parties)
        return False
    seen = room or Room(sid, now)
    people = tuple(dict.fromkeys((*seen.parties, *judged.parties)))
    after = replace(seen, parties=people, reason=judged.why)
    if after != room:
        if not ledger.write_room(room, after):
            return False
        _tell(after, judged)
    if agree(runtime.twilio_rooms().rules(sid), ()):
        return True
    # A room that records by itself, or somebody who did not know yet: none of it was agreed to.
    log.emit("room-recorded-unasked", "ERROR", room=sid)
    _end(after, BY_ITSELF, now)
    return False


def _keep_on(room: Room, judged: Judged, *, is_new: bool) -> bool:
    """See to it that everybody in the room is recorded, and nobody else; tell whether that is so."""
    ledger, twilio = runtime.ledger(), runtime.twilio_rooms()
    wanted = started(room, judged.participants, judged.parties, judged.permitted)
    if wanted == room and not wanted.starting:
        if agree(twilio.rules(room.sid), room.recorded):
            return True
        return twilio.record(room.sid, room.recorded) and ledger.room(room.sid) == room
    if not ledger.write_room(None if is_new else room, wanted, judged.heads):
        return False
    if not twilio.record(room.sid, wanted.recorded) or not ledger.write_room(wanted, accepted(wanted), judged.heads):
        return False
    _tell(wanted, judged)
    if wanted.starting:
        log.emit("room-recorded", room=room.sid, participants=len(wanted.recorded))
        _count("RecordingsStarted", len(wanted.starting))
    return True


def _judge(sid: str, now: datetime) -> Judged:
    present = tuple(runtime.twilio_rooms().present(sid))
    found = [party_of(each.identifier) for each in present]
    people = tuple(sorted({party for party in found if party is not None}))
    why = obstacle(found, len(present))
    if why is not None:
        return Judged(present, people, why, Permission((why,)), {})
    heads = runtime.ledger().heads(people)
    permitted = _permission(people, now)
    return Judged(present, people, "" if permitted.granted else recording.cause(permitted.reasons), permitted, heads)


def _permission(people: Sequence[str], now: datetime) -> Permission:
    """Decide whether people may be recorded on video. Where they are nobody says, so it is by the strictest law."""
    standings = runtime.ledger().standings(people, Scope.MANAGE, Scope.RECORD_VIDEO)
    policy = runtime.environment().jurisdiction
    return recording.allowed(people, standings, now, Scope.RECORD_VIDEO, places={}, policy=policy, table=_table(policy))


@cache
def _table(policy: JurisdictionPolicy) -> Table:
    return overridden(reviewed_table(), policy.overrides)


# Ending -------------------------------------------------------------------------------------------------------


def _end(room: Room, reason: str, now: datetime, parties: Sequence[str] = (), *, over: bool = False) -> bool:
    """End the recording of a room and settle what that owes; return False if the room changed since it was read."""
    after = room if room.over else ended(room, reason, now, parties, over=over)
    if after != room and not runtime.ledger().write_room(room, after):
        return False
    return settle(after)


def settle(room: Room) -> bool:
    """Do what a room owes whose recording was ended; return False if the room changed since it was read.

    Raises CarrierError, LedgerError, SecretError.
    """
    ledger, twilio, now = runtime.ledger(), runtime.twilio_rooms(), runtime.clock().now()
    if not room.over:
        twilio.record(room.sid, ())
    found = {str(each["sid"]): each for each in twilio.recordings(room.sid)}
    known = ledger.records_by_sid(list(found)) if found else {}
    for sid, raw in found.items():
        if sid not in known:
            write_down(room, sid, fate(room, participant_of(raw), made_at(raw), settling=True), now)
    if not ledger.write_room(room, settled(room)):
        return False
    log.emit("room-recording-ended", room=room.sid, reason=room.reason, recordings=len(found))
    return True


def write_down(room: Room, sid: str, became: Fate, now: datetime) -> None:
    """Write the record of a recording, or that it is dropped. Raises LedgerError, SidError."""
    record = record_of(room, ResourceKind.VIDEO_RECORDING, sid, now)
    if became is Fate.DROP:
        record = replace(record, consents=(), stage=Stage.DROPPED, reason=UNAGREED)
        log.emit("record-dropped", "ERROR", record=sid, session=room.sid, reason=UNAGREED)
        _count("RecordingsDropped", 1)
    runtime.ledger().begin_record(record)


def participant_of(raw: Mapping[str, Any]) -> str:
    """Return the SID of the participant whose track a recording is of, as Twilio answers it."""
    return str((raw.get("grouping_sids") or {}).get("participant_sid") or "")


def made_at(raw: Mapping[str, Any]) -> datetime | None:
    """Return when a recording began, in whole seconds; None if Twilio does not tell."""
    try:
        return moments.from_text(str(raw.get("date_created") or ""))
    except ValueError:
        return None


def stop_without_consent(party: str, deadline: float | None = None) -> list[str]:
    """Stop recording every room that a person may be in and that not everybody agrees to any more.

    Returns the SIDs of the rooms in which that has to be tried again: the next look does. Raises LedgerError.
    """
    pending: list[str] = []
    if CHANNEL not in runtime.environment().channels:
        return pending
    for found in runtime.ledger().rooms_of(party):
        if not found.recorded:
            continue
        permitted = _permission(found.parties, runtime.clock().now())
        if permitted.granted:
            continue
        try:
            done = not is_late(deadline) and _silence(found.sid, recording.cause(permitted.reasons), deadline)
        except CarrierError as error:
            done = False
            log.emit("room-still-recorded", "ERROR", room=found.sid, status=error.status, code=error.code)
        if not done:
            pending.append(found.sid)
    return pending


def _silence(sid: str, reason: str, deadline: float | None) -> bool:
    """End the recording of a room at once; what that owes besides is left to the next look where Twilio waits.

    It is written first, so that whoever is turning it on finds out. Raises CarrierError, LedgerError.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    for _ in range(ATTEMPTS):
        room = ledger.room(sid)
        if room is None or not room.recorded:
            return True
        after = ended(room, reason, now)
        if not ledger.write_room(room, after):
            continue
        if deadline is None:
            settle(after)
        else:
            runtime.twilio_rooms().record(sid, (), urgent=True)
        return True
    raise LedgerError("too many writers at once for one room")


# The minute check ---------------------------------------------------------------------------------------------


def look_after() -> int:
    """Put a message on the queue for each room that goes on; return how many there are."""
    going_on = [{"room": sid} for sid in runtime.ledger().rooms_on()]
    runtime.queues().send(QUEUE, *going_on)
    return len(going_on)


def check(message: Message) -> None:
    """Look at the room of a message. Raises SidError, CarrierError, LedgerError, SecretError."""
    look(check_sid(message.get("room"), "RM"))


def look_later(sid: str) -> None:
    """Have a room looked at again by whoever works on the queue. Raises QueueError."""
    runtime.queues().send(QUEUE, {"room": sid})


# Telling ------------------------------------------------------------------------------------------------------


def _tell(room: Room, judged: Judged) -> None:
    log.decision(
        "rooms",
        permit=not judged.why,
        reasons=judged.permitted.reasons,
        parties=judged.parties,
        record_ids=judged.permitted.consents,
        room=room.sid,
        law=judged.permitted.law,
    )


def _count(name: str, number: int) -> None:
    log.measure(METRICS, {"Stack": runtime.environment().stack}, {name: number})
