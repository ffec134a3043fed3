"""Archiving of video: the recordings of a room, and its compositions, on the way that recordings of calls go.

Twilio records each track of each participant by itself. A recording has its record when the room's recording was ended,
or gets it here, by the room's row: of a participant who is being recorded it is kept, of anybody else it is dropped. A
composition is something that your backend orders after a room, out of recordings that are still at Twilio; it is kept
if nothing in the room was recorded that nobody agreed to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from parley import archiving, log, rooms, runtime
from parley.core import archive
from parley.core.records import SIDS, Record, Resource, ResourceKind, Stage
from parley.core.rooms import Fate, Room, fate, may_compose, record_of
from parley.core.sids import check_sid
from parley.core.sweeping import is_own_name

FAILED = "failed"


def archive_video(message: Mapping[str, Any]) -> None:
    """Archive one recording of a room or one composition, or drop it, and let it leave Twilio when it may.

    `message` is `{"kind": "video-recording" or "composition", "sid": "RT…" or "CJ…", "room": "RM…"}` with the number of
    the `attempt` at one that Twilio had not finished. Raises SidError for SIDs that are none, and whatever the ledger,
    the bucket and Twilio raise, after which it is to be tried again.
    """
    kind = ResourceKind(message["kind"])
    sid, room = check_sid(message.get("sid"), SIDS[kind]), check_sid(message.get("room"), "RM")
    record = runtime.ledger().record(sid)
    if record is None or record.stage is Stage.CAPTURED:
        metadata = runtime.twilio_records().fetch(Resource(kind, sid))
        if record is None and (metadata is None or not _is_ours(room)):
            log.emit("video-not-ours", "WARNING", record=sid, session=room)
            return
        record = record or _unknown(kind, sid, room, metadata or {})
        if record is not None and record.stage is Stage.CAPTURED:
            record = _capture(record, metadata)
    if record is None:
        archiving.look_again(message, sid)
    elif record.stage not in archiving.DONE:
        archiving.leave(record)


def _is_ours(sid: str) -> bool:
    """Tell whether a room is one of the stack's: it was looked at before, or its name says so."""
    if runtime.ledger().room(sid) is not None:
        return True
    raw = runtime.twilio_rooms().room(sid)
    return raw is not None and is_own_name(str(raw.get("unique_name") or ""), runtime.environment().stack)


def _unknown(kind: ResourceKind, sid: str, room_sid: str, metadata: Mapping[str, Any]) -> Record | None:
    """Return the record of something that nobody wrote down, None while somebody is about to say what becomes of it."""
    ledger, now = runtime.ledger(), runtime.clock().now()
    room = ledger.room(room_sid)
    if kind is ResourceKind.COMPOSITION:
        became = _of_composition(room)
    else:
        became = fate(room, rooms.participant_of(metadata), rooms.made_at(metadata))
    if became is Fate.UNDECIDED:
        return None
    fresh = record_of(room or Room(room_sid, now), kind, sid, now)
    if became is Fate.KEEP:
        return ledger.begin_record(fresh)
    dropped = replace(fresh, consents=(), stage=Stage.DROPPED, reason=archiving.NO_CONSENT)
    record = ledger.begin_record(dropped)
    if record == dropped:
        archiving.tell_dropped(record)
    return record


def _of_composition(room: Room | None) -> Fate:
    if room is None or room.owed:
        return Fate.DROP if room is None else Fate.UNDECIDED
    made_of = [one for one in runtime.ledger().records_in(room.sid) if one.kind is ResourceKind.VIDEO_RECORDING]
    return Fate.KEEP if may_compose(made_of) else Fate.DROP


def _capture(record: Record, metadata: Mapping[str, Any] | None) -> Record | None:
    """Archive or drop something of which nothing is kept yet; return None if Twilio has not finished it."""
    if metadata is None:
        return archiving.left_behind(record) or archiving.lose(record)
    status, seconds = metadata.get("status"), archive.recorded_seconds(metadata)
    if status == FAILED or (status == archive.FINISHED and seconds == 0):
        return archiving.drop(record, archiving.NOTHING_HEARD)
    if status != archive.FINISHED:
        return None
    container = archive.container_of(metadata)
    typed = replace(record, media_type=archive.VIDEO_TYPES[container])
    if typed != record and not runtime.ledger().advance(record, typed):
        raise archiving.ChangedMeanwhileError
    return archiving.store(typed, partial(archive.check_video, container=container), seconds)
