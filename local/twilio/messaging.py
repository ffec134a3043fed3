"""Messages, their media, and the opt-outs that the platform keeps."""

from __future__ import annotations

import base64
import mimetypes
from hashlib import shake_128
from typing import TYPE_CHECKING, Final, NamedTuple

from local.twilio.content import Content, of_bytes
from local.twilio.errors import TwilioError
from local.twilio.moments import Window, iso8601
from local.twilio.numbers import is_e164, number_sid
from local.twilio.state import Message, new_sid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.twilio.state import State

BLOCKING_WORDS: Final = frozenset({"STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL"})
"""Words by which the platform blocks a pair (number, user): docs/messaging/tutorials/advanced-opt-out."""
UNBLOCKING_WORDS: Final = frozenset({"START", "YES", "UNSTOP"})
PROXY_DROPPED_WORDS: Final = frozenset(
    {"STOP", "UNSUBSCRIBE", "END", "CANCEL", "QUIT", "STOPALL", "ARRETT", "ARRET", "ARRETE", "UNSTOP"}
)
"""Words that Proxy keeps to itself, without a webhook: docs/proxy/opt-out-keywords. REVOKE and OPTOUT are not here."""
MAX_BODY: Final = 1600
MAX_MEDIA: Final = 10
SETTLING_SECONDS: Final = 60.0
"""How long after its last change a message or call cannot be deleted (error page 20009)."""


_UNKNOWN_SIZE: Final = 20_000
"""How many bytes a media file has whose content was never given."""


class Attachment(NamedTuple):
    """A media file that a message brings. Without a content the file is made up from its SID."""

    url: str = ""
    content_type: str = ""
    content: bytes | None = None


def attachment(item: Mapping[str, str]) -> Attachment:
    """Return a message's media record as an attachment for another message."""
    content = item.get("content")
    return Attachment(item["url"], item["content_type"], None if content is None else base64.b64decode(content))


def keyword(body: str) -> str:
    """Return the text as the platform compares it with its keywords: whole, trimmed, upper case."""
    return body.strip().upper()


class Messaging:
    """The account's messages. Not thread-safe: the caller holds the carrier's lock."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now

    def receive(
        self, account_sid: str, sender: str, number: str, body: str, media: Sequence[Attachment] = ()
    ) -> Message:
        """Record an inbound message, show it on the sender's phone, and keep or lift the platform's block."""
        message = self._record(account_sid, sender, number, body, "inbound", "received", media)
        self._show(sender, "outbound", message)
        word = keyword(body)
        if word in BLOCKING_WORDS:
            self._state.opt_outs.add((number, sender))
        elif word in UNBLOCKING_WORDS:
            self._state.opt_outs.discard((number, sender))
        return message

    def send(
        self,
        account_sid: str,
        number: str,
        to: str,
        body: str,
        media: Sequence[Attachment] = (),
        direction: str = "outbound-api",
    ) -> Message:
        """Queue a message from an own number. Raises TwilioError 21211, 21602, 21606, 21610, 21617 or 21623."""
        owned = self._state.numbers.get(number_sid(number))
        if owned is None or owned.account_sid != account_sid or not owned.capabilities["sms"]:
            raise TwilioError(21606)
        if not is_e164(to):
            raise TwilioError(21211)
        if not body and not media:
            raise TwilioError(21602)
        if len(body) > MAX_BODY:
            raise TwilioError(21617)
        if len(media) > MAX_MEDIA:
            raise TwilioError(21623)
        if (number, to) in self._state.opt_outs:
            raise TwilioError(21610)
        return self._record(account_sid, number, to, body, direction, "queued", media)

    def bar(self, account_sid: str, number: str, to: str, body: str, media: Sequence[Attachment] = ()) -> Message:
        """Record a message that is not sent because its recipient opted out: failed, with error code 21610."""
        message = self._record(account_sid, number, to, body, "outbound-api", "failed", media)
        message.error_code = 21610
        return message

    def advance(self, message: Message, status: str) -> None:
        """Move an outbound message on; when it is `delivered` the recipient's phone shows it."""
        message.status, message.updated = status, self._now()
        message.final_at = message.updated + SETTLING_SECONDS
        if status == "delivered":
            self._show(message.to, "inbound", message)

    def fetch(self, account_sid: str, sid: str) -> Message:
        """Return a message. Raises TwilioError 20404."""
        message = self._state.messages.get(sid)
        if message is None or message.account_sid != account_sid:
            raise TwilioError(20404, f"Messages/{sid}")
        return message

    def search(self, account_sid: str, query: dict[str, str]) -> list[Message]:
        """Return the messages that satisfy To, From and DateSent (with `<` and `>`)."""
        sent = Window(query, "DateSent")
        return [
            message
            for message in self._state.messages.values()
            if message.account_sid == account_sid
            and (not query.get("To") or message.to == query["To"])
            and (not query.get("From") or message.from_ == query["From"])
            and sent.holds(message.created)
        ]

    def redact(self, message: Message, form: Mapping[str, str]) -> Message:
        """Empty a message's body: the only update that a sent message allows."""
        if form.get("Body", "-"):
            raise TwilioError(20001, "the only update is Body with an empty string, to redact it")
        message.body, message.updated = "", self._now()
        return message

    def delete(self, message: Message) -> None:
        """Delete a message with its media. Raises TwilioError 20009 until a minute after its last change."""
        if self._now() < message.final_at:
            raise TwilioError(20009, f"Messages/{message.sid}")
        del self._state.messages[message.sid]

    def media(self, message: Message, sid: str) -> dict[str, str]:
        """Return one media record of a message. Raises TwilioError 20404."""
        for item in message.media:
            if item["sid"] == sid:
                return item
        raise TwilioError(20404, f"Messages/{message.sid}/Media/{sid}")

    def content(self, message: Message, sid: str) -> Content:
        """Return the bytes of one media file of a message. Raises TwilioError 20404."""
        item = self.media(message, sid)
        given = attachment(item).content
        return of_bytes(item["content_type"], shake_128(sid.encode()).digest(_UNKNOWN_SIZE) if given is None else given)

    def _record(
        self,
        account_sid: str,
        sender: str,
        to: str,
        body: str,
        direction: str,
        status: str,
        media: Sequence[Attachment],
    ) -> Message:
        now = self._now()
        message = Message(
            sid=new_sid("MM" if media else "SM"),
            account_sid=account_sid,
            from_=sender,
            to=to,
            body=body,
            direction=direction,
            status=status,
            created=now,
            updated=now,
            final_at=now + SETTLING_SECONDS,
            seq=self._state.next_seq(),
            media=[_media_record(place, item) for place, item in enumerate(media, 1)],
        )
        self._state.messages[message.sid] = message
        return message

    def _show(self, phone: str, direction: str, message: Message) -> None:
        self._state.handset(phone).messages.append(
            {
                "direction": direction,
                "from": message.from_,
                "to": message.to,
                "body": message.body,
                "media": [item["url"] or f"<{item['content_type']}>" for item in message.media],
                "sid": message.sid,
                "at": iso8601(self._now()),
            }
        )


def _media_record(place: int, given: Attachment) -> dict[str, str]:
    kind = given.content_type or mimetypes.guess_type(given.url)[0] or "image/jpeg"
    record = {"sid": new_sid("ME"), "url": given.url, "content_type": kind, "place": str(place)}
    return record if given.content is None else record | {"content": base64.b64encode(given.content).decode()}
