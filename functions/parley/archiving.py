"""Archiving: a recording goes from Twilio into the content bucket, is proven there, and only then leaves Twilio.

The order, each step safe to repeat:

| step | what is done | who dies after it leaves |
|---|---|---|
| look | read the record; without one, what is known of the capture of its call decides | nothing |
| begin | begin an upload, and write its id into the record | parts that the retry goes on with, or S3 drops in a day |
| send | stream the media in parts; hold what came against what Twilio announced | parts that are not sent again |
| complete | make the object of the parts, unless there is one | an object that the retry reads Twilio's against |
| prove | ask S3 for size, checksum, key and version; put the sidecar | the same |
| write down | the record says archived | a copy on both sides |
| hold | a legal hold that was placed meanwhile is put on the object | the same |
| delete | Twilio deletes its copy, and is seen not to have it | a record that says archived: the retry finds 404 |

So there is never a moment at which the only copy is one that nobody has proven. What must not be kept (no consent on
record, nothing heard) is never stored, and deleted at Twilio all the same; what a legal hold covers and is not archived
stays there until the hold is released.

Two that work on one recording at once do no harm: the parts are the same, the object is made once, the record is
written by one of them, and the other one finds that. A record that was dropped while its object was being made takes
the object along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from parley import log, runtime
from parley.adapters.content import Stored, measured
from parley.adapters.twilio_api import media_pieces
from parley.core import archive
from parley.core.archive import Expected, Found, MediaError
from parley.core.holds import is_held
from parley.core.identity import IdentifierError
from parley.core.record_classes import RecordClass
from parley.core.recording import is_undecided
from parley.core.records import Deletion, Record, Resource, ResourceKind, Stage
from parley.core.sids import check_sid
from parley.core.verification import METRICS

PIECE = 256 * 1024
"""Bytes that are read of a media file at a time."""

NO_CONSENT = "no-consent-on-record"
NOTHING_HEARD = "nothing-heard"
GONE = "gone-at-twilio"

DONE = frozenset({Stage.DELETED, Stage.DISCARDED})


class ChangedMeanwhileError(Exception):
    """Somebody else worked on the same record; the queue brings the work again."""


class UnprovenError(Exception):
    """The object in the bucket is not what Twilio has. Twilio's copy stays."""


class StillThereError(Exception):
    """Twilio said that something is deleted and still has it."""


Check = Callable[[Expected, Found], int]
"""Holds a file against what was announced and returns its seconds, 0 for what has no length. Raises MediaError."""


def archive_recording(message: Mapping[str, Any]) -> None:
    """Archive one recording, or drop it, and let it leave Twilio when it may.

    `message` is `{"sid": "RE…", "call": "CA…"}` with the number of the `attempt` at one that Twilio had not finished.
    What else it says of the recording is a hint: Twilio is asked. Raises SidError for SIDs that are none, and whatever
    the ledger, the bucket and Twilio raise, after which it is to be tried again.
    """
    sid, call = check_sid(message.get("sid"), "RE"), check_sid(message.get("call"), "CA")
    record = runtime.ledger().record(sid) or _unknown(sid, call)
    if record is not None and record.stage is Stage.CAPTURED:
        record = _capture(record)
    if record is None:
        look_again(message, sid)
    elif record.stage not in DONE:
        leave(record)


def _unknown(sid: str, call: str) -> Record | None:
    """Return the record of a recording that nobody wrote down, None if somebody may be doing so at this moment.

    A recording is accepted together with its record. Without one nobody agreed to it: it is dropped.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    capture = ledger.capture(call)
    if is_undecided(capture):
        return None
    dropped = Record(
        sid=sid,
        kind=ResourceKind.RECORDING,
        record_class=RecordClass.CALL_RECORDINGS,
        session=capture.session if capture else "",
        parent=call,
        parties=capture.parties if capture else (),
        consents=(),
        made_at=now,
        stage=Stage.DROPPED,
        reason=NO_CONSENT,
    )
    record = ledger.begin_record(dropped)
    if record == dropped:
        tell_dropped(record)
    return record


def look_again(message: Mapping[str, Any], sid: str) -> None:
    """Put the work back on the queue until Twilio has finished; what takes longer is found by the sweeper."""
    attempt = message.get("attempt", 0)
    delay = archive.retry_after(attempt)
    if delay is None:
        log.emit("recording-unfinished", "WARNING", recording=sid)
        return
    runtime.queues().send(
        "archive", {**message, "attempt": (attempt if isinstance(attempt, int) else 0) + 1}, delay=delay
    )


def _capture(record: Record) -> Record | None:
    """Archive or drop a recording of which nothing is kept yet; return None if Twilio has not finished it."""
    if not record.consents:
        return drop(record, NO_CONSENT)
    metadata = runtime.twilio_records().fetch(record.resource)
    if metadata is None:
        return left_behind(record) or lose(record)
    status, seconds = metadata.get("status"), archive.recorded_seconds(metadata)
    if status in archive.NOTHING_HEARD or (status == archive.FINISHED and seconds == 0):
        return drop(record, NOTHING_HEARD)
    if status != archive.FINISHED:
        return None
    return store(record, archive.check_recording, seconds)


def left_behind(record: Record) -> Record | None:
    """Return the record of what an earlier attempt put before somebody deleted Twilio's copy, None if it put nothing.

    An upload is completed only after all of it was held against what Twilio announced, and S3 has checked each part.
    Its length and the SHA-256 of the whole are known to nobody any more.
    """
    key, beside = archive.object_keys(record)
    there = runtime.content().head(key)
    if there is None or there.kms_key != runtime.environment().content_key:
        return None
    log.emit("copy-found", "WARNING", record=record.sid, session=record.session)
    return _archived(record, key, beside, there)


def _archived(record: Record, key: str, beside: str, stored: Stored, **proof: Any) -> Record:
    """Put the sidecar of an object that is proven, and write its record down; return it as it is then."""
    archived = replace(
        record,
        stage=Stage.ARCHIVED,
        key=key,
        version=stored.version,
        size=stored.size,
        media_type=stored.media_type,
        upload="",
        archived_at=runtime.clock().now(),
        **proof,
    )
    runtime.content().put(
        beside,
        archive.sidecar(archived),
        media_type="application/json",
        tags=archive.tags(archived),
        held=is_under_hold(archived),
    )
    return write_down(record, archived)


def store(record: Record, check: Check, seconds: int | None = None) -> Record:
    """Copy the media of a record into the bucket, prove the copy and write it down; return the record as it is then.

    `seconds` is how long Twilio says it is. Raises MediaError, UnprovenError, ChangedMeanwhileError, and what the
    ledger, the bucket and Twilio raise.
    """
    content = runtime.content()
    key, beside = archive.object_keys(record)
    operation = f"fetch-{record.kind}-media"
    there = content.head(key)
    with runtime.twilio_records().media(record.resource) as answer:
        expected = Expected(
            archive.plain_type(answer.headers.get("Content-Type", "")), _length(answer.headers), seconds
        )
        pieces = media_pieces(operation, answer, PIECE)
        if there is not None:
            found = measured(pieces)
            length = _checked(record, check, expected, found)
        else:
            record, present = _upload(record, key, record.media_type or expected.media_type)
            found, parts = content.send(key, record.upload, present, pieces)
            try:
                length = _checked(record, check, expected, found)
            except MediaError:
                content.abandon(key, record.upload)
                raise
            content.complete(key, record.upload, parts)
            there = content.head(key)
    stored = _proven(record, there, found)
    return _archived(record, key, beside, stored, sha256=found.sha256, seconds=length)


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() else None


def _checked(record: Record, check: Check, expected: Expected, found: Found) -> int:
    try:
        return check(expected, found)
    except MediaError as error:
        log.emit(
            "media-refused", "ERROR", record=record.sid, reason=error.code, size=found.size, announced=expected.size
        )
        raise


def _upload(record: Record, key: str, media_type: str) -> tuple[Record, Mapping[int, Any]]:
    """Return the record with the upload that is under way, begun now if there is none, and the parts that S3 has."""
    content = runtime.content()
    present = content.parts(key, record.upload) if record.upload else None
    if present is not None:
        return record, present
    upload = content.begin(key, media_type=media_type, tags=archive.tags(record), held=is_under_hold(record))
    begun = _advance(record, replace(record, upload=upload))
    if begun is None:
        content.abandon(key, upload)
        raise ChangedMeanwhileError
    return begun, {}


def _proven(record: Record, there: Stored | None, found: Found) -> Stored:
    """Return what S3 says of the object, if that is what was read at Twilio. Raises UnprovenError."""
    if there is None or (there.size, there.checksum) != (found.size, found.checksum):
        log.emit("copy-differs", "ERROR", record=record.sid, size=found.size, stored=there.size if there else None)
        raise UnprovenError
    if there.kms_key != runtime.environment().content_key:
        log.emit("copy-under-another-key", "ERROR", record=record.sid)
        raise UnprovenError
    return there


def write_down(record: Record, archived: Record) -> Record:
    """Write that a record is archived, its object being proven; return it as it is then.

    Where the record was dropped or erased meanwhile the object goes. Raises ChangedMeanwhileError.
    """
    written = _advance(record, archived)
    if written is not None:
        log.emit(
            "record-archived",
            record=written.sid,
            session=written.session,
            size=written.size,
            seconds=written.seconds,
            consents=list(written.consents),
        )
        measure(RecordsArchived=1)
        return written
    current = runtime.ledger().record(record.sid)
    if current is not None and current.stage in {Stage.ARCHIVED, Stage.DELETED}:
        return current
    if current is None or current.stage is not Stage.CAPTURED:
        withdraw_copy(archived)
    raise ChangedMeanwhileError


def _advance(record: Record, after: Record) -> Record | None:
    """Write a record on and return it as it is written; None if somebody else has moved it on.

    Whoever stops a recording writes why it ends, at the moment at which its end brings it here: that is taken in.
    """
    ledger = runtime.ledger()
    if ledger.advance(record, after):
        return after
    current = ledger.record(record.sid)
    if current is None or current == record or replace(current, reason=record.reason) != record:
        return None
    after = replace(after, reason=current.reason)
    return after if ledger.advance(current, after) else None


def withdraw_copy(record: Record) -> None:
    """Remove the objects of a record of which nothing may be kept, if there are any."""
    if not record.session:
        return  # nobody knew of it, so nothing was ever put
    for key in archive.object_keys(record):
        if runtime.content().remove(key):
            log.emit("copy-removed", "WARNING", record=record.sid, reason=record.reason)


def drop(record: Record, reason: str) -> Record:
    """Write that nothing of a record is kept, and why. Raises ChangedMeanwhileError."""
    dropped = replace(record, stage=Stage.DROPPED, reason=reason, upload="")
    if not runtime.ledger().advance(record, dropped):
        raise ChangedMeanwhileError
    tell_dropped(dropped)
    return dropped


def lose(record: Record) -> Record:
    """Write that Twilio has nothing of what was to be archived: somebody deleted it there."""
    lost = replace(record, stage=Stage.DISCARDED, reason=GONE, upload="", deleted_at=runtime.clock().now())
    if not runtime.ledger().advance(record, lost):
        raise ChangedMeanwhileError
    log.emit("record-lost", "ERROR", record=record.sid, session=record.session)
    measure(RecordsLost=1)
    return lost


def tell_dropped(record: Record) -> None:
    """Log that nothing of a record is kept. A recording that nobody agreed to is measured: an alarm rings."""
    unasked = record.reason == NO_CONSENT
    level: log.Level = "ERROR" if unasked else "WARNING"
    log.emit("record-dropped", level, record=record.sid, session=record.session, reason=record.reason)
    if unasked:
        measure(RecordingsDropped=1)


def leave(record: Record) -> None:
    """Let Twilio's copy of a recording go, if it may go now. Raises what the ledger, the bucket and Twilio raise."""
    if record.stage is Stage.ARCHIVED:
        keep_held(record)
        if copy_days(record.resource) > 0:
            return
    else:
        withdraw_copy(record)
        if _must_stay(record):
            log.emit("deletion-held", record=record.sid)
            return
    if delete(record.resource, record_sid=record.sid):
        gone(record)


def _must_stay(record: Record) -> bool:
    """Tell whether a legal hold keeps Twilio's copy of something that is not archived."""
    holds = runtime.ledger().active_holds()
    if not holds:
        return False
    of_call = not record.parties and record.kind is ResourceKind.RECORDING
    parties = _people(record.parent) if of_call else record.parties
    return is_held(holds, parties=parties, session=record.session)


def _people(call: str) -> tuple[str, ...]:
    """Return the keys of the people of a call that nobody wrote down, by the numbers of its legs at Twilio."""
    twilio = runtime.twilio_records()
    legs = list(twilio.listed(ResourceKind.CALL, {"ParentCallSid": call}))
    parent = twilio.call(call)
    return people([str(leg.get(end) or "") for leg in [*legs, *([parent] if parent else [])] for end in ("from", "to")])


def people(numbers: list[str]) -> tuple[str, ...]:
    """Return the keys of the people behind numbers; what is no phone number is nobody."""
    found: set[str] = set()
    for number in filter(None, numbers):
        try:
            found.add(runtime.identities().party(number))
        except IdentifierError:
            continue
    return tuple(sorted(found))


def copy_days(resource: Resource) -> int:
    """Return for how many days Twilio's copy of a resource may stay."""
    return runtime.environment().twilio_copy_days.get(str(resource.record_class), 0)


def delete(resource: Resource, *, record_sid: str = "") -> bool:
    """Delete something at Twilio and see that it is gone; return False if Twilio wants to be asked again later.

    That is left to the sweeper. Raises CarrierError, LedgerError, StillThereError.
    """
    twilio, now = runtime.twilio_records(), runtime.clock().now()
    answer = twilio.delete(resource)
    if answer is Deletion.PENDING:
        runtime.ledger().postpone_deletion(resource, now + archive.DELETION_SOON, now, record_sid)
        log.emit("deletion-pending", resource=resource.sid)
        return False
    if answer is Deletion.DELETED and not twilio.is_gone(resource):
        log.emit("deletion-not-done", "ERROR", resource=resource.sid)
        raise StillThereError
    return True


def gone(record: Record) -> None:
    """Write that Twilio has nothing of a record any more."""
    after = replace(
        record,
        stage=Stage.DELETED if record.stage is Stage.ARCHIVED else Stage.DISCARDED,
        deleted_at=runtime.clock().now(),
    )
    if _advance(record, after) is None:
        current = runtime.ledger().record(record.sid)
        if current is not None and current.stage not in DONE:
            raise ChangedMeanwhileError
        return
    log.emit("record-deleted-at-twilio", record=record.sid, session=record.session, stage=str(after.stage))


def keep_held(record: Record) -> None:
    """Put an archived object under the legal hold that covers it.

    Whoever places a hold walks the records that say archived, and this reads the holds after it said so: one of the two
    sees the other.
    """
    if is_under_hold(record):
        for key in archive.object_keys(record):
            runtime.content().hold(key)


def is_under_hold(record: Record) -> bool:
    """Tell whether an object of a record has to be put under a legal hold."""
    if str(record.record_class) not in runtime.environment().holdable:
        return False
    return is_held(runtime.ledger().active_holds(), parties=record.parties, session=record.session)


def measure(**counts: int) -> None:
    """Measure what was done."""
    log.measure(METRICS, {"Stack": runtime.environment().stack}, counts)
