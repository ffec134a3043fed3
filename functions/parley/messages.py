"""Messages: kept where everybody agreed to that, never otherwise, and gone from Twilio in either case.

Proxy makes three copies of a text: the inbound message, the outbound one, and the interaction, which has the body as
well. Kept is one document with the text, and each media file of the inbound message; deleted are all three, media too.

Nothing is deleted before it was heard. The reconciler finds stop words, and texts that an earlier STOP bars, by reading
the account's messages; one that is gone can tell nobody. So whatever may be a no is taken here first, in the way in
which the reconciler takes it and with the message as its source, so that it counts once whoever comes first. If the
ledger cannot take it, nothing is deleted. Besides, the message waits on the queue while the reconciler runs twice,
and Twilio deletes none within a minute of its last change (error 20009): until it does, the body is emptied.

The record of a message that may be kept is written when its status is known, before it waits, so that nobody takes its
message for one that is not wanted; whether it is kept is decided when it is read, by the consents as they stand then.
A no in between leaves the record dropped, for good. What was sent before a consent was given is never kept, since the
session says what was permitted when it was opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from parley import archiving, log, runtime
from parley.core import archive
from parley.core.archive import Expected, Found, Leg, MediaError
from parley.core.consent import Scope
from parley.core.decision import Decision, decide
from parley.core.holds import is_held
from parley.core.optout import is_stop
from parley.core.record_classes import RecordClass
from parley.core.records import Record, Resource, ResourceKind, Stage
from parley.core.sessions import Session
from parley.core.sids import SidError, check_sid
from parley.found import BARRED, take_message
from parley.ports import Interaction

ACTOR = "fn:archive"

CONSENT_LOST = "consent-lost"


def archive_later(interaction: Interaction) -> None:
    """Put a message whose status is final on the queue, and write the record of one that may be kept.

    Raises QueueError, LedgerError.
    """
    if _is_final(interaction):
        archive_in_time(interaction)


def archive_in_time(interaction: Interaction) -> None:
    """Put a message on the queue whatever its status: when its turn comes, Twilio has long done with it.

    So nothing depends on a callback that may never come. Raises QueueError, LedgerError.
    """
    if "archive" not in runtime.environment().queues:
        return
    try:
        texts = Texts(
            interaction.session_sid,
            interaction.sid,
            interaction.inbound_resource,
            interaction.outbound_resource,
            interaction.inbound_participant,
        )
    except SidError:
        log.emit("message-unreadable", "ERROR", handler="interaction", interaction=interaction.sid)
        return
    session = runtime.ledger().session(texts.session)
    if session is not None and Scope.STORE_MESSAGES in session.scopes:
        runtime.ledger().begin_record(_record_of(texts, session))
    delay = archive.message_delay(runtime.environment().session.reconcile_seconds)
    runtime.queues().send("archive", {"kind": "message", **texts.message()}, delay=delay)


def _is_final(interaction: Interaction) -> bool:
    """Tell whether an interaction is a message that Twilio has done with, in a deployment that archives."""
    if interaction.kind != "message" or "archive" not in runtime.environment().queues:
        return False
    if interaction.outbound_resource:
        return interaction.outbound_status in archive.FINAL_STATUSES
    return bool(interaction.inbound_resource)


@dataclass(frozen=True, slots=True)
class Texts:
    """The copies that Proxy made of a text, by their SIDs, in a session. `participant` sent it. Raises SidError."""

    session: str
    interaction: str
    inbound: str
    outbound: str
    participant: str = ""

    def __post_init__(self) -> None:
        check_sid(self.session, "KC")
        check_sid(self.interaction, "KI")
        for sid in filter(None, (self.inbound, self.outbound)):
            check_sid(sid, "SM|MM")
        check_sid(self.sid, "SM|MM")

    @property
    def sid(self) -> str:
        """The SID of the message that is kept: the inbound one, where there is one."""
        return self.inbound or self.outbound

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All copies at Twilio, the ones first that a person could still read on the way to the others.

        Where sessions are our own there is no interaction at Twilio.
        """
        legs = [Resource(ResourceKind.MESSAGE, sid) for sid in (self.outbound, self.inbound) if sid]
        if runtime.environment().is_direct:
            return tuple(legs)
        return (*legs, Resource(ResourceKind.INTERACTION, self.interaction, self.session, holds_body=True))

    def message(self) -> dict[str, str]:
        """Return what the queue is given."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in found.items() if value}


def archive_message(message: Mapping[str, Any]) -> None:
    """Archive one message with its media, or drop it, and let its copies leave Twilio when they may.

    `message` is what `archive_later` put on the queue. Raises SidError for SIDs that are none, and whatever the
    ledger, the bucket and Twilio raise, after which it is to be tried again.
    """
    texts = Texts(*(str(message.get(name) or "") for name in Texts.__slots__))
    ledger, twilio = runtime.ledger(), runtime.twilio_records()
    record = ledger.record(texts.sid)
    if record is not None and record.stage in archiving.DONE:
        return
    session = ledger.session(texts.session)
    raw = {sid: twilio.fetch(Resource(ResourceKind.MESSAGE, sid)) for sid in (texts.inbound, texts.outbound) if sid}
    found = {sid: each for sid, each in raw.items() if each is not None}
    for sid, each in found.items():
        _hear(sid, each)
    if record is None and session is not None and Scope.STORE_MESSAGES in session.scopes:
        record = ledger.begin_record(_record_of(texts, session))
    if record is not None and record.stage is Stage.CAPTURED:
        record = _keep(record, texts, session, found)
    if record is not None and record.stage is Stage.ARCHIVED:
        archiving.keep_held(record)
    _leave(texts, record, session, found)


def _record_of(texts: Texts, session: Session) -> Record:
    return Record(
        sid=texts.sid,
        kind=ResourceKind.MESSAGE,
        record_class=RecordClass.MESSAGES,
        session=session.sid,
        parent=texts.interaction,
        parties=session.parties,
        consents=(),
        made_at=runtime.clock().now(),
    )


def _hear(sid: str, raw: Mapping[str, Any]) -> None:
    """Take what may be somebody's no before it is deleted. Raises CarrierError, LedgerError."""
    if not is_stop(str(raw.get("body") or "")) and raw.get("error_code") != BARRED:
        return
    message = runtime.carrier().message(sid)
    if message is not None:
        take_message(message, message.sent_at or runtime.clock().now(), actor=ACTOR)


def _keep(record: Record, texts: Texts, session: Session | None, found: Mapping[str, Mapping[str, Any]]) -> Record:
    """Archive a message and its media if everybody agrees to that now, else drop it; return its record."""
    decided = _decide(session)
    if decided is None or not decided.permit:
        return archiving.drop(record, CONSENT_LOST)
    raw = found.get(texts.sid)
    (key,) = archive.object_keys(record)
    if raw is None and runtime.content().head(key) is None:
        return archiving.drop(record, archiving.GONE)
    record = resting_on(record, decided)
    if raw is None:  # somebody deleted it after an earlier attempt had put its document
        return prove(record, key)
    media = [_keep_media(record, str(each.get("sid") or "")) for each in _media_of(texts.sid)]
    body = archive.message_document(
        record,
        str(raw.get("body") or ""),
        sender=session.party_of(texts.participant) or "" if session else "",
        inbound=_leg(texts.inbound, found),
        outbound=_leg(texts.outbound, found),
        media=media,
    )
    runtime.content().put(
        key,
        body,
        media_type="application/json",
        tags=archive.tags(record),
        held=archiving.is_under_hold(record),
    )
    return prove(record, key)


def _decide(session: Session | None) -> Decision | None:
    """Decide whether the messages of a session may be kept: everybody has to agree explicitly, whatever the law."""
    if session is None:
        return None
    standings = runtime.ledger().standings(session.parties, Scope.STORE_MESSAGES)
    return decide(session.parties, standings, runtime.clock().now(), Scope.STORE_MESSAGES)


def resting_on(record: Record, decided: Decision) -> Record:
    """Return a record with the consents that it rests on, written down before anything of it is put."""
    rests = replace(record, consents=decided.record_ids)
    if rests != record and not runtime.ledger().advance(record, rests):
        raise archiving.ChangedMeanwhileError
    return rests


def _media_of(sid: str) -> list[Mapping[str, Any]]:
    if not sid.startswith("MM"):
        return []
    return list(runtime.twilio_records().listed(ResourceKind.MEDIA, {"PageSize": "100"}, sid))


def _keep_media(message: Record, sid: str) -> Record:
    """Archive one media file of a message; return its record."""
    fresh = replace(
        message,
        sid=check_sid(sid, "ME"),
        kind=ResourceKind.MEDIA,
        record_class=RecordClass.MESSAGE_MEDIA,
        parent=message.sid,
    )
    record = runtime.ledger().begin_record(fresh)
    if record.stage is Stage.CAPTURED:
        record = archiving.store(record, _check_media)
    if record.stage is Stage.ARCHIVED:
        archiving.keep_held(record)
    return record


def _check_media(expected: Expected, found: Found) -> int:
    archive.check_size(expected, found)
    if not expected.media_type:
        raise MediaError("media-type")
    return 0


def _leg(sid: str, found: Mapping[str, Mapping[str, Any]]) -> Leg | None:
    raw = found.get(sid)
    if raw is None:
        return None
    try:
        sent_at = parsedate_to_datetime(str(raw.get("date_sent")))
    except ValueError:
        sent_at = None
    return Leg(sid, str(raw.get("status") or ""), sent_at)


def prove(record: Record, key: str) -> Record:
    """Prove that a message's document is in the bucket and write its record down; return it as it is then.

    One that was put by an earlier attempt counts as well: the legs may have moved on since, the text has not.
    """
    stored = runtime.content().head(key)
    if stored is None or stored.kms_key != runtime.environment().content_key:
        log.emit("copy-differs", "ERROR", record=record.sid)
        raise archiving.UnprovenError
    archived = replace(
        record,
        stage=Stage.ARCHIVED,
        key=key,
        version=stored.version,
        sha256=stored.sha256,
        size=stored.size,
        media_type="application/json",
        archived_at=runtime.clock().now(),
    )
    return archiving.write_down(record, archived)


def _leave(
    texts: Texts, record: Record | None, session: Session | None, found: Mapping[str, Mapping[str, Any]]
) -> None:
    """Delete every copy at Twilio, if they may go now.

    What is not archived stays under a legal hold. What Twilio does not delete yet is emptied at least.
    """
    ledger = runtime.ledger()
    if record is None or record.stage in {Stage.DROPPED, Stage.DISCARDED}:
        if record is not None:
            archiving.withdraw_copy(record)
        if _must_stay(texts, session, found):
            log.emit("deletion-held", interaction=texts.interaction)
            return
    goes = archiving.copy_days(Resource(ResourceKind.MESSAGE, texts.sid)) == 0
    for media in list(ledger.records_in(texts.session)) if record else []:
        # A message takes its media along, whatever the days of their own class.
        ours = media.parent == texts.sid and media.stage not in archiving.DONE
        if ours and (goes or archiving.copy_days(media.resource) == 0):
            _leave_media(media)
    if not goes:
        return
    done = True
    for resource in texts.resources:
        owner = record.sid if record is not None and resource.sid == record.sid else ""
        if not archiving.delete(resource, record_sid=owner):
            done = False
            if resource.kind is ResourceKind.MESSAGE:
                runtime.twilio_records().redact(resource.sid)
    if done and record is not None and record.stage not in archiving.DONE:
        archiving.gone(record)
    log.emit("message-left-twilio" if done else "message-leaving-twilio", interaction=texts.interaction)


def _leave_media(media: Record) -> None:
    """Delete a media file at Twilio; what is not kept by now never will be, since its message is dropped."""
    if media.stage is Stage.CAPTURED:
        media = archiving.drop(media, CONSENT_LOST)
    if archiving.delete(media.resource, record_sid=media.sid):
        archiving.gone(media)


def _must_stay(texts: Texts, session: Session | None, found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether a legal hold keeps a message at Twilio that is not archived."""
    holds = runtime.ledger().active_holds()
    if not holds:
        return False
    numbers = [str(raw.get(end) or "") for raw in found.values() for end in ("from", "to")]
    parties = session.parties if session else archiving.people(numbers)
    return is_held(holds, parties=parties, session=texts.session)
