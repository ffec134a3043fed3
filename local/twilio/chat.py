"""What happens when somebody says something in a conversation: the gate before it, the relay, the word afterwards.

https://www.twilio.com/docs/conversations-classic/conversations-webhooks: a pre-action webhook goes out before the
action, which waits for the answer for 5 seconds at most; a post-action webhook goes out afterwards. Actions of apps
and phones send them, those of the REST API only with the header X-Twilio-Webhook-Enabled. The answer to
onMessageAdd may be a 200 with JSON that replaces body, author and attributes, or a refusal.

What else than 2xx refuses could not be confirmed from the page's stored copies, nor what a timeout (alert 50076) or a
5xx does. So here only a 4xx refuses, and everything else lets the message pass unchanged: the behaviour that protects
least.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import TwilioError
from local.twilio.moments import iso8601
from local.twilio.webhooks import UNHEARD, Webhook

if TYPE_CHECKING:
    from local.twilio.carrier import Carrier
    from local.twilio.state import ChatMessage, ChatParticipant, Conversation
    from local.twilio.webhooks import Reply, Webhooks

TIMEOUT_SECONDS: Final = 5.0
ASKED: Final = "onMessageAdd"
TOLD: Final = "onMessageAdded"
REMOVED: Final = "onMessageRemoved"


@dataclass(frozen=True, slots=True)
class Utterance:
    """What somebody is about to say. `source` is Twilio's word for how: `API`, `SDK` or `SMS`."""

    author: str
    body: str
    source: str
    attributes: str = "{}"
    speaker: ChatParticipant | None = None


class Chat:
    """Plays conversations against a carrier. Its methods take the lock themselves and must be called without it."""

    def __init__(self, carrier: Carrier, webhooks: Webhooks) -> None:
        self._carrier = carrier
        self._webhooks = webhooks

    def say(self, conversation: Conversation, said: Utterance, *, hooks: bool) -> ChatMessage | None:
        """Let somebody say something; return None if the gate refused it. Raises TwilioError.

        `hooks` tells whether webhooks are sent. Phones in the conversation get it as a text from the number they know.
        """
        with self._carrier.lock:
            self._carrier.conversations.check_open(conversation)
        if hooks:
            answer = self._ask(conversation, said)
            if answer is None:
                return None
            said = answer
        with self._carrier.lock:
            conversations = self._carrier.conversations
            message = conversations.say(conversation, said.author, said.body, said.attributes, said.speaker)
            for participant in conversations.participants(conversation):
                if participant is not said.speaker and participant.address is not None:
                    self._text(participant, message)
        if hooks:
            self._tell(TOLD, conversation, said, message)
        return message

    def unsay(self, conversation: Conversation, message: ChatMessage, *, hooks: bool) -> None:
        """Delete a message."""
        with self._carrier.lock:
            self._carrier.conversations.unsay(message)
        if hooks:
            self._tell(REMOVED, conversation, Utterance(message.author, message.body, "API"), message)

    def _ask(self, conversation: Conversation, said: Utterance) -> Utterance | None:
        """Ask the pre-action webhook; return what may be said, or None."""
        with self._carrier.lock:
            hooks = self._carrier.conversations.hooks(conversation.account_sid)
            url = hooks.pre_url if ASKED in hooks.filters else None
            fields = _fields(ASKED, conversation, said)
        if not url:
            return said
        reply = self._webhooks.deliver(Webhook("chat-pre", conversation.account_sid, url, fields, TIMEOUT_SECONDS))
        if reply.status is not None and 400 <= reply.status < 500:
            return None
        if not reply.ok:
            self._complain(reply, conversation, url)
            return said
        changed = _changes(reply.body)
        return Utterance(
            str(changed.get("author", said.author)),
            str(changed.get("body", said.body)),
            said.source,
            str(changed.get("attributes", said.attributes)),
            said.speaker,
        )

    def _tell(self, event: str, conversation: Conversation, said: Utterance, message: ChatMessage) -> None:
        """Send the post-action webhook, in the background."""
        with self._carrier.lock:
            hooks = self._carrier.conversations.hooks(conversation.account_sid)
            url = hooks.post_url if event in hooks.filters else None
            fields = _fields(event, conversation, said) | {
                "MessageSid": message.sid,
                "Index": str(message.index),
                "DateCreated": iso8601(message.created) or "",
            }
        if url:
            webhook = Webhook("chat-post", conversation.account_sid, url, fields, TIMEOUT_SECONDS)
            self._webhooks.later(partial(self._send, webhook, conversation))

    def _send(self, webhook: Webhook, conversation: Conversation) -> None:
        reply = self._webhooks.deliver(webhook)
        if not reply.ok:
            self._complain(reply, conversation, webhook.url)

    def _complain(self, reply: Reply, conversation: Conversation, url: str) -> None:
        if reply.problem in UNHEARD:
            return
        code = 50076 if reply.problem == "timeout" else 11200
        with self._carrier.lock:
            self._carrier.alerts.record(code, conversation.account_sid, None, conversation.sid, request_url=url)

    def _text(self, participant: ChatParticipant, message: ChatMessage) -> None:
        """Text a message to a phone; one that opted out gets none, which the debugger tells."""
        messaging = self._carrier.messaging
        try:
            sent = messaging.send(
                participant.account_sid, participant.proxy_address or "", participant.address or "", message.body
            )
        except TwilioError as error:
            self._carrier.alerts.record(error.code, participant.account_sid, None, message.sid)
        else:
            messaging.advance(sent, "delivered")


def _changes(body: str) -> dict[str, Any]:
    """Return what the gate's answer replaces: nothing, unless it is a JSON object."""
    try:
        answer = json.loads(body or "{}")
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _fields(event: str, conversation: Conversation, said: Utterance) -> dict[str, str]:
    fields = {
        "AccountSid": conversation.account_sid,
        "Attributes": said.attributes,
        "Author": said.author,
        "Body": said.body,
        "ConversationSid": conversation.sid,
        "EventType": event,
        "RetryCount": "0",
        "Source": said.source,
    }
    if said.speaker is not None:
        fields["ParticipantSid"] = said.speaker.sid
        if said.speaker.identity is not None:
            fields["ClientIdentity"] = said.speaker.identity
    return fields
