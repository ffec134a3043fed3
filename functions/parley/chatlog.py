"""Chat messages: kept where everybody agreed to that, never otherwise, and gone from Twilio in either case.

Kept is one document with the text. The record of a message that may be kept is written when it was taken; whether it is
kept is decided when it is read, by the consents as they stand then, and a no in between leaves the record dropped, for
good. What was deleted at Twilio is gone from the apps of everybody in the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parley import archiving, chats, log, runtime
from parley.core import archive, chat
from parley.core.consent import Scope
from parley.core.decision import Decision, decide
from parley.core.holds import is_held
from parley.core.records import Record, Resource, ResourceKind, Stage
from parley.core.sids import check_sid
from parley.messages import CONSENT_LOST, prove, resting_on
from parley.rooms import party_of


def archive_chat(message: Mapping[str, Any]) -> None:
    """Archive one message, or drop it, and let it leave Twilio when it may.

    `message` is what `chats.take` put on the queue; with `ungated` it passed the gate without consent, and goes at
    once. Raises SidError for SIDs that are none, and whatever the ledger, the bucket and Twilio raise, after which it
    is to be tried again.
    """
    sid, conversation = check_sid(message.get("sid"), "IM"), check_sid(message.get("conversation"), "CH")
    resource = Resource(ResourceKind.CHAT_MESSAGE, sid, conversation)
    record = runtime.ledger().record(sid)
    if record is not None and record.stage in archiving.DONE:
        return
    if record is not None and record.stage is Stage.CAPTURED:
        record = _keep(record, runtime.twilio_records().fetch(resource))
    if record is not None and record.stage is Stage.ARCHIVED:
        archiving.keep_held(record)
    elif record is not None:
        archiving.withdraw_copy(record)
    _leave(resource, record, ungated=message.get("ungated") is True)


def _keep(record: Record, raw: Mapping[str, Any] | None) -> Record:
    """Archive a message if everybody agrees to that now, else drop it; return its record."""
    decided = _decide(record)
    if not decided.permit:
        return archiving.drop(record, CONSENT_LOST)
    (key,) = archive.object_keys(record)
    if raw is None and runtime.content().head(key) is None:
        return archiving.lose(record)
    record = resting_on(record, decided)
    if raw is not None:
        author = party_of(str(raw.get("author") or "").removeprefix("whatsapp:"))
        runtime.content().put(
            key,
            chat.document(record, raw, sender=author if author in record.parties else ""),
            media_type="application/json",
            tags=archive.tags(record),
            held=archiving.is_under_hold(record),
        )
    return prove(record, key)


def _decide(record: Record) -> Decision:
    standings = runtime.ledger().standings(record.parties, Scope.STORE_MESSAGES)
    return decide(record.parties, standings, runtime.clock().now(), Scope.STORE_MESSAGES)


def _leave(resource: Resource, record: Record | None, *, ungated: bool) -> None:
    """Delete a message at Twilio, if it may go now; what is not archived stays under a legal hold."""
    if record is not None and record.stage in archiving.DONE:
        return
    if (record is None or record.stage is not Stage.ARCHIVED) and _must_stay(resource, record):
        log.emit("deletion-held", record=resource.sid)
        return
    if archiving.copy_days(resource) > 0 and not ungated:
        return
    if not archiving.delete(resource, record_sid=record.sid if record is not None else ""):
        return
    if record is not None:
        archiving.gone(record)
    else:
        log.emit("message-left-twilio", conversation=resource.parent, message=resource.sid)


def _must_stay(resource: Resource, record: Record | None) -> bool:
    """Tell whether a legal hold keeps a message at Twilio that is not archived."""
    ledger = runtime.ledger()
    holds = ledger.active_holds()
    if not holds:
        return False
    known = record or ledger.record(resource.parent)
    return is_held(holds, parties=known.parties if known else chats.people_of(resource.parent), session=resource.parent)
