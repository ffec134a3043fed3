"""Chat over Twilio Conversations: who may be connected by it, what is kept of it, and where Twilio does not wait.

Conversations asks before a message is taken (`onMessageAdd`, a pre-action webhook) and tells afterwards
(`onMessageAdded`): https://www.twilio.com/docs/conversations-classic/conversations-webhooks. A 403 refuses the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from parley.core.consent import canonical_json
from parley.core.record_classes import RecordClass
from parley.core.records import Record, ResourceKind, Stage
from parley.core.sids import check_sid

LIMITS: Final = (
    (
        "Conversations waits 5 seconds for the gate's answer. What it does without one, or after an answer of 5xx, is"
        " documented nowhere that could be read; it has to be taken that the message then passes. One that passed"
        " without consent is deleted at Twilio as soon as Twilio tells of it, and an alarm rings; whoever read it until"
        " then has read it."
    ),
    (
        "Messages that your own backend posts by the REST API do not pass the gate unless it sends the header"
        " X-Twilio-Webhook-Enabled: true."
    ),
    (
        "What is deleted at Twilio is gone from everybody's app as well: declare as many twilioCopyDays for messages as"
        " people need to read them."
    ),
    (
        "A phone in a conversation gets each message as a text of its own, from a number that is yours: Twilio's log of"
        " that text is swept only if the number is one of the stack's pool."
    ),
    (
        "Pictures and files that are sent in a chat are not kept, and whether Twilio deletes them with their message is"
        " documented nowhere."
    ),
    "Only conversations of the account's default Conversations service are read and swept.",
)
"""What a reviewer has to know of chat, in sentences that the report shows under the channel."""

ASKS: Final = frozenset({"onMessageAdd", "onMessageUpdate"})
"""The events before which Twilio waits for an answer: something is about to be said, or said differently."""
TOLD: Final = "onMessageAdded"

STRANGER: Final = "participant-unknown"
ALONE: Final = "alone"
NOT_KEPT: Final = "not-kept"
"""Why nothing of a conversation as a whole is kept: its messages have records of their own."""


@dataclass(frozen=True, slots=True, repr=False)
class Said:
    """Something that is said in a conversation. `author` and `body` are plain: never log or keep.

    `participant` is Twilio's SID of who says it, "" if that is nobody in it; `message` is that of the message, "" while
    it is not taken yet.
    """

    conversation: str
    participant: str
    author: str
    body: str
    message: str = ""

    def __post_init__(self) -> None:
        check_sid(self.conversation, "CH")
        if self.participant:
            check_sid(self.participant, "MB")
        if self.message:
            check_sid(self.message, "IM")


def obstacle(parties: Sequence[str | None]) -> str | None:
    """Return why nobody in a conversation may be connected, whatever the consents say, as a code; else None.

    `parties` are the keys of the people in it, None for a participant who is nobody that is known.
    """
    if None in parties:
        return STRANGER
    return ALONE if len(set(parties)) < 2 else None


def marker_of(conversation: str, parties: Sequence[str], now: datetime) -> Record:
    """Return the record that says that a conversation is the stack's, and whose it is; nothing is kept by it."""
    return Record(
        sid=check_sid(conversation, "CH"),
        kind=ResourceKind.CONVERSATION,
        record_class=RecordClass.SESSION_MAP,
        session=conversation,
        parent="",
        parties=tuple(parties),
        consents=(),
        made_at=now,
        stage=Stage.DROPPED,
        reason=NOT_KEPT,
    )


def record_of(said: Said, parties: Sequence[str], consents: Sequence[str], now: datetime) -> Record:
    """Return the record of a message that may be kept."""
    return Record(
        sid=said.message,
        kind=ResourceKind.CHAT_MESSAGE,
        record_class=RecordClass.MESSAGES,
        session=said.conversation,
        parent=said.conversation,
        parties=tuple(parties),
        consents=tuple(consents),
        made_at=now,
    )


def document(record: Record, raw: Mapping[str, Any], *, sender: str) -> bytes:
    """Return the JSON of an archived message: the text, when it was said, and between whom, by their keys; no number.

    `raw` is the message as Twilio answers it, `sender` the key of who wrote it ("" if it is not known).
    """
    return canonical_json(
        {
            "sid": record.sid,
            "session": record.session,
            "index": raw.get("index"),
            "from": sender,
            "to": [party for party in record.parties if party != sender],
            "body": str(raw.get("body") or ""),
            "said_at": str(raw.get("date_created") or ""),
            "consents": list(record.consents),
            "media_not_kept": [
                {"sid": one.get("sid"), "media_type": one.get("content_type"), "size": one.get("size")}
                for one in raw.get("media") or ()
            ],
        }
    ).encode()
