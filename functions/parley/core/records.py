"""Records: what was captured of a conversation, and how far each has come from Twilio into the owner's bucket and away.

A record is one thing that Twilio made (a recording, a message, a media file) and that consent lets the operator
keep. It goes one way: captured at Twilio, archived (a proven copy is in the content bucket), deleted at Twilio. What
may not be kept is dropped: it is deleted at Twilio all the same, and nothing of it is ever stored.

`Resource` is anything at Twilio that holds a part of a conversation, whether it is kept here or not: all of it goes
(requirements R24, R25).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from parley.core import moments
from parley.core.consent import Scope
from parley.core.record_classes import RecordClass
from parley.core.sids import check_sid


class ResourceKind(StrEnum):
    """A kind of resource at Twilio that holds something of a conversation."""

    RECORDING = "recording"
    TRANSCRIPTION = "transcription"
    MESSAGE = "message"
    MEDIA = "media"
    CALL = "call"
    INTERACTION = "interaction"
    SESSION = "session"
    VIDEO_RECORDING = "video-recording"
    COMPOSITION = "composition"
    CHAT_MESSAGE = "chat-message"
    CONVERSATION = "conversation"


CLASSES: Mapping[ResourceKind, RecordClass] = {
    ResourceKind.RECORDING: RecordClass.CALL_RECORDINGS,
    ResourceKind.TRANSCRIPTION: RecordClass.TRANSCRIPTS,
    ResourceKind.MESSAGE: RecordClass.MESSAGES,
    ResourceKind.MEDIA: RecordClass.MESSAGE_MEDIA,
    ResourceKind.CALL: RecordClass.INTERACTION_LOG,
    ResourceKind.INTERACTION: RecordClass.INTERACTION_LOG,
    ResourceKind.SESSION: RecordClass.SESSION_MAP,
    ResourceKind.VIDEO_RECORDING: RecordClass.VIDEO_RECORDINGS,
    ResourceKind.COMPOSITION: RecordClass.VIDEO_RECORDINGS,
    ResourceKind.CHAT_MESSAGE: RecordClass.MESSAGES,
    ResourceKind.CONVERSATION: RecordClass.SESSION_MAP,
}
"""The record class of each kind: its `twilioCopyDays` say when the resource goes.

The interaction of a message holds the message's body, so it goes with the messages (`Resource.record_class`).
"""

SIDS: Mapping[ResourceKind, str] = {
    ResourceKind.RECORDING: "RE",
    ResourceKind.TRANSCRIPTION: "TR",
    ResourceKind.MESSAGE: "SM|MM",
    ResourceKind.MEDIA: "ME",
    ResourceKind.CALL: "CA",
    ResourceKind.INTERACTION: "KI",
    ResourceKind.SESSION: "KC",
    ResourceKind.VIDEO_RECORDING: "RT",
    ResourceKind.COMPOSITION: "CJ",
    ResourceKind.CHAT_MESSAGE: "IM",
    ResourceKind.CONVERSATION: "CH",
}
"""How the SIDs of each kind begin."""

PARENTS: Mapping[ResourceKind, str] = {
    ResourceKind.MEDIA: "SM|MM",
    ResourceKind.INTERACTION: "KC",
    ResourceKind.CHAT_MESSAGE: "CH",
}
"""How the SIDs begin of what a resource is found below, where there is such a parent."""

SCOPES: Mapping[RecordClass, Scope] = {
    RecordClass.CALL_RECORDINGS: Scope.RECORD_VOICE,
    RecordClass.VIDEO_RECORDINGS: Scope.RECORD_VIDEO,
    RecordClass.MESSAGES: Scope.STORE_MESSAGES,
    RecordClass.MESSAGE_MEDIA: Scope.STORE_MESSAGES,
    RecordClass.TRANSCRIPTS: Scope.TRANSCRIBE,
}
"""The consent that each class of content needs from everybody before its first second or word (R11)."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something at Twilio that can be deleted. `parent` is the SID it is found below, where `PARENTS` has one.

    `holds_body` marks the interaction of a message. Raises SidError.
    """

    kind: ResourceKind
    sid: str
    parent: str = ""
    holds_body: bool = False

    def __post_init__(self) -> None:
        check_sid(self.sid, SIDS[self.kind])
        if self.kind in PARENTS:
            check_sid(self.parent, PARENTS[self.kind])

    @property
    def record_class(self) -> RecordClass:
        """The record class whose `twilioCopyDays` count for it."""
        return RecordClass.MESSAGES if self.holds_body else CLASSES[self.kind]


class Deletion(StrEnum):
    """What Twilio answers to a deletion."""

    DELETED = "deleted"  # 204
    GONE = "gone"  # 404: somebody deleted it before
    PENDING = "pending"  # 20009: not finished yet, so to be tried again, for up to 14 days


class Stage(StrEnum):
    """How far a record has come."""

    CAPTURED = "captured"  # at Twilio, being made or finished
    ARCHIVED = "archived"  # a proven copy is in the content bucket; Twilio's own may still be there
    DROPPED = "dropped"  # nothing may be or is kept here; Twilio's own may still be there
    DELETED = "deleted"  # archived before, and seen to be gone at Twilio
    DISCARDED = "discarded"  # dropped before, and seen to be gone at Twilio


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that was captured, as the ledger knows it. It holds party keys, SIDs and digests, nothing plain.

    `parent` is the call of a recording or the message of a media file. `consents` are the ids of the consent records
    that its capture rests on. `key`, `version`, `sha256` (hex), `size` (bytes) and `media_type` describe the object in
    the content bucket, `seconds` how long a recording is. `upload` is the multipart upload under way. `reason` is a
    code that says why a record was dropped.
    """

    sid: str
    kind: ResourceKind
    record_class: RecordClass
    session: str
    parent: str
    parties: tuple[str, ...]
    consents: tuple[str, ...]
    made_at: datetime
    stage: Stage = Stage.CAPTURED
    key: str = ""
    version: str = ""
    sha256: str = ""
    size: int = 0
    media_type: str = ""
    seconds: int = 0
    upload: str = ""
    reason: str = ""
    archived_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def resource(self) -> Resource:
        """What it is at Twilio."""
        return Resource(self.kind, self.sid, self.parent if self.kind in PARENTS else "")

    def document(self) -> dict[str, Any]:
        """Return the record as plain data: what the ledger keeps, and the sidecar beside the object."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: moments.to_text(value) if isinstance(value, datetime) else list(value) if name in _LISTS else value
            for name, value in plain.items()
            if value not in ("", None, 0, ())
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Record:
        """Return the record that `document` made. Raises KeyError, TypeError or ValueError for anything else."""
        found = dict(document)
        for name in _LISTS & found.keys():
            found[name] = tuple(found[name])
        for name in _MOMENTS & found.keys():
            found[name] = moments.from_text(found[name])
        return cls(
            **{
                "session": "",
                "parent": "",
                "parties": (),
                "consents": (),
                **found,
                "kind": ResourceKind(found["kind"]),
                "record_class": RecordClass(found["record_class"]),
                "stage": Stage(found["stage"]),
            }
        )

    def to_json(self) -> str:
        """Return the record as canonical JSON."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":"))


_LISTS = frozenset({"parties", "consents"})
_MOMENTS = frozenset({"made_at", "archived_at", "deleted_at"})


def object_key(record_class: RecordClass, session: str, name: str) -> str:
    """Return the key of an object of the content bucket: its class, which its lifecycle rule is for, and its session.

    `session` is a SID or an intent's id; a name never says anything about anybody.
    """
    return f"{record_class}/{session}/{name}"
