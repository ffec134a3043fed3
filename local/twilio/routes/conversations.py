"""conversations.twilio.com/v1: conversations of the default chat service (docs/conversations/api)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from local.twilio import paging
from local.twilio.chat import Utterance
from local.twilio.errors import TwilioError
from local.twilio.moments import iso8601
from local.twilio.routes import Answer, Exchange, Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.twilio.paging import Record
    from local.twilio.state import ChatHooks, ChatMessage, ChatParticipant, Conversation

ROUTES: Final = Routes("conversations")
URL: Final = "https://conversations.twilio.com/v1"
LARGEST_PAGE: Final = 100
_CONVERSATION: Final = "/v1/Conversations/<conversation>"
_PARTICIPANT: Final = f"{_CONVERSATION}/Participants/<sid>"
_MESSAGE: Final = f"{_CONVERSATION}/Messages/<sid>"
_HOOKS: Final = "/v1/Configuration/Webhooks"


def _page(exchange: Exchange, key: str, records: Iterable[Record], show: Callable[[Record], dict[str, Any]]) -> Answer:
    url = f"https://conversations.twilio.com{exchange.path}"
    return 200, paging.v1(url, key, records, exchange.query, show, LARGEST_PAGE)


# Configuration ------------------------------------------------------------------------------------------------


@ROUTES.add("GET", _HOOKS)
def fetch_hooks(exchange: Exchange) -> Answer:
    """Fetch where conversations ask before something is done, and tell afterwards."""
    return 200, _hooks(exchange.carrier.conversations.hooks(exchange.account.sid))


@ROUTES.add("POST", _HOOKS)
def update_hooks(exchange: Exchange) -> Answer:
    """Set PreWebhookUrl, PostWebhookUrl and Filters; an empty URL clears one."""
    form = exchange.form
    if form.get("Method", "POST") != "POST" or form.get("Target", "webhook") != "webhook":
        raise TwilioError(20001, "only Method POST and Target webhook are emulated")
    names = {"PreWebhookUrl": "pre", "PostWebhookUrl": "post"}
    urls = {place: _url(name, form[name]) for name, place in names.items() if name in form}
    filters = exchange.fields.getlist("Filters") if "Filters" in form else None
    return 200, _hooks(exchange.carrier.conversations.set_hooks(exchange.account.sid, urls, filters))


def _url(name: str, text: str) -> str | None:
    if text and (urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).hostname):
        raise TwilioError(20001, f"{name} must be an http or https URL")
    return text or None


# Conversations ------------------------------------------------------------------------------------------------


@ROUTES.add("POST", "/v1/Conversations")
def create_conversation(exchange: Exchange) -> Answer:
    """Create a conversation."""
    return 201, _conversation(exchange.carrier.conversations.create(exchange.account.sid, exchange.form))


@ROUTES.add("GET", "/v1/Conversations")
def list_conversations(exchange: Exchange) -> Answer:
    """List conversations by State, StartDate and EndDate."""
    found = exchange.carrier.conversations.search(exchange.account.sid, exchange.query)
    return _page(exchange, "conversations", found, _conversation)


@ROUTES.add("GET", _CONVERSATION)
def fetch_conversation(exchange: Exchange, conversation: str) -> Answer:
    """Fetch a conversation by SID or unique name."""
    return 200, _conversation(_found(exchange, conversation))


@ROUTES.add("POST", _CONVERSATION)
def update_conversation(exchange: Exchange, conversation: str) -> Answer:
    """Change a conversation; closed it is final."""
    found = exchange.carrier.conversations.update(_found(exchange, conversation), exchange.form)
    return 200, _conversation(found)


@ROUTES.add("DELETE", _CONVERSATION)
def delete_conversation(exchange: Exchange, conversation: str) -> Answer:
    """Delete a conversation with its participants and messages."""
    exchange.carrier.conversations.delete(_found(exchange, conversation))
    return 204, None


def _found(exchange: Exchange, key: str) -> Conversation:
    return exchange.carrier.conversations.fetch(exchange.account.sid, key)


# Participants -------------------------------------------------------------------------------------------------


@ROUTES.add("POST", f"{_CONVERSATION}/Participants")
def add_participant(exchange: Exchange, conversation: str) -> Answer:
    """Add somebody by Identity or MessagingBinding."""
    return 201, _participant(exchange.carrier.conversations.add(_found(exchange, conversation), exchange.form))


@ROUTES.add("GET", f"{_CONVERSATION}/Participants")
def list_participants(exchange: Exchange, conversation: str) -> Answer:
    """List who is in a conversation."""
    people = exchange.carrier.conversations.participants(_found(exchange, conversation))
    return _page(exchange, "participants", people, _participant)


@ROUTES.add("GET", _PARTICIPANT)
def fetch_participant(exchange: Exchange, conversation: str, sid: str) -> Answer:
    """Fetch a participant by SID or identity."""
    return 200, _participant(exchange.carrier.conversations.participant(_found(exchange, conversation), sid))


@ROUTES.add("DELETE", _PARTICIPANT)
def remove_participant(exchange: Exchange, conversation: str, sid: str) -> Answer:
    """Take somebody out of a conversation."""
    conversations = exchange.carrier.conversations
    conversations.remove(conversations.participant(_found(exchange, conversation), sid))
    return 204, None


# Messages -----------------------------------------------------------------------------------------------------


@ROUTES.add("POST", f"{_CONVERSATION}/Messages", locked=False)
def create_message(exchange: Exchange, conversation: str) -> Answer:
    """Say something as Author; the webhooks are asked and told only with X-Twilio-Webhook-Enabled.

    What a client is answered whose message the pre-action webhook refused is documented nowhere: 403 here.
    """
    form, carrier = exchange.form, exchange.carrier
    with carrier.lock:
        found = _found(exchange, conversation)
        author = form.get("Author") or "system"
        people = carrier.conversations.participants(found)
        speaker = next((person for person in people if author in {person.identity, person.address}), None)
    said = Utterance(author, form.get("Body", ""), "API", form.get("Attributes", "{}"), speaker)
    message = exchange.chat.say(found, said, hooks=exchange.webhook_enabled)
    if message is None:
        raise TwilioError(20403, "the pre-action webhook refused the message")
    return 201, _message(message)


class _Listed(NamedTuple):
    """A message with its place in the list, which begins with the oldest one."""

    seq: int
    body: dict[str, Any]


@ROUTES.add("GET", f"{_CONVERSATION}/Messages")
def list_messages(exchange: Exchange, conversation: str) -> Answer:
    """List what was said, the oldest first, or by Order=desc the newest first."""
    order = exchange.query.get("Order", "asc")
    if order not in {"asc", "desc"}:
        raise TwilioError(20001, "Order must be asc or desc")
    sign = -1 if order == "asc" else 1
    messages = exchange.carrier.conversations.messages(_found(exchange, conversation))
    listed = [_Listed(sign * (message.index + 1), _message(message)) for message in messages]
    return _page(exchange, "messages", listed, lambda entry: entry.body)


@ROUTES.add("GET", _MESSAGE)
def fetch_message(exchange: Exchange, conversation: str, sid: str) -> Answer:
    """Fetch a message."""
    return 200, _message(exchange.carrier.conversations.message(_found(exchange, conversation), sid))


@ROUTES.add("POST", _MESSAGE)
def update_message(exchange: Exchange, conversation: str, sid: str) -> Answer:
    """Change a message."""
    conversations = exchange.carrier.conversations
    message = conversations.message(_found(exchange, conversation), sid)
    return 200, _message(conversations.edit(message, exchange.form))


@ROUTES.add("DELETE", _MESSAGE, locked=False)
def delete_message(exchange: Exchange, conversation: str, sid: str) -> Answer:
    """Delete a message."""
    with exchange.carrier.lock:
        found = _found(exchange, conversation)
        message = exchange.carrier.conversations.message(found, sid)
    exchange.chat.unsay(found, message, hooks=exchange.webhook_enabled)
    return 204, None


# Bodies -------------------------------------------------------------------------------------------------------


def chat_service_sid(account_sid: str) -> str:
    """Return the SID of an account's default chat service."""
    return f"IS{account_sid[2:]}"


def _hooks(record: ChatHooks) -> dict[str, Any]:
    return {
        "account_sid": record.account_sid,
        "filters": list(record.filters),
        "method": "POST",
        "pre_webhook_url": record.pre_url,
        "post_webhook_url": record.post_url,
        "target": "webhook",
        "url": f"{URL}/Configuration/Webhooks",
    }


def _conversation(record: Conversation) -> dict[str, Any]:
    url = f"{URL}/Conversations/{record.sid}"
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "chat_service_sid": chat_service_sid(record.account_sid),
        "messaging_service_sid": None,
        "friendly_name": record.friendly_name,
        "unique_name": record.unique_name,
        "attributes": record.attributes,
        "state": record.state,
        "timers": {},
        "bindings": {},
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "url": url,
        "links": {"messages": f"{url}/Messages", "participants": f"{url}/Participants", "webhooks": f"{url}/Webhooks"},
    }


def _participant(record: ChatParticipant) -> dict[str, Any]:
    binding = None
    if record.address is not None:
        binding = {"type": "sms", "address": record.address, "proxy_address": record.proxy_address}
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "conversation_sid": record.conversation_sid,
        "identity": record.identity,
        "messaging_binding": binding,
        "attributes": record.attributes,
        "role_sid": None,
        "last_read_message_index": None,
        "last_read_timestamp": None,
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "url": f"{URL}/Conversations/{record.conversation_sid}/Participants/{record.sid}",
    }


def _message(record: ChatMessage) -> dict[str, Any]:
    url = f"{URL}/Conversations/{record.conversation_sid}/Messages/{record.sid}"
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "conversation_sid": record.conversation_sid,
        "index": record.index,
        "author": record.author,
        "body": record.body,
        "media": None,
        "attributes": record.attributes,
        "participant_sid": record.participant_sid,
        "content_sid": None,
        "delivery": None,
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "url": url,
        "links": {"delivery_receipts": f"{url}/Receipts"},
    }
