"""Conversations: who is in them and what was said (https://www.twilio.com/docs/conversations/api).

The pair (address, proxy address) of a phone is in one conversation at most that is not closed (50416), so a text from
it belongs to that one. A closed conversation is final (50377). Conversations and what was said in them stay until they
are deleted; deleting a conversation deletes what is in it. Timers, roles, media and delivery receipts are not emulated.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from local.twilio.errors import TwilioError
from local.twilio.moments import parse_moment
from local.twilio.numbers import is_e164, number_sid
from local.twilio.state import ChatHooks, ChatMessage, ChatParticipant, Conversation, new_sid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.twilio.state import State

STATES: Final = frozenset({"active", "inactive", "closed"})
LONGEST_BODY: Final = 1600


class Conversations:
    """The account's conversations. Not thread-safe: the caller holds the carrier's lock."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now
        self._people: defaultdict[str, list[ChatParticipant]] = defaultdict(list)
        for participant in state.chat_participants.values():
            self._people[participant.conversation_sid].append(participant)
        self._said: defaultdict[str, dict[str, ChatMessage]] = defaultdict(dict)
        for message in state.chat_messages.values():
            self._said[message.conversation_sid][message.sid] = message

    # Conversations --------------------------------------------------------------------------------------------

    def fetch(self, account_sid: str, key: str) -> Conversation:
        """Return a conversation by SID or unique name. Raises TwilioError 20404."""
        found = self._state.conversations.get(key) or self._named(account_sid, key)
        if found is None or found.account_sid != account_sid:
            raise TwilioError(20404, f"/Conversations/{key}")
        return found

    def search(self, account_sid: str, query: Mapping[str, str]) -> list[Conversation]:
        """Return the conversations by State, StartDate (on or after) and EndDate (before), as they were created."""
        start, end = (parse_moment(name, query[name]) if query.get(name) else None for name in ("StartDate", "EndDate"))
        return [
            conversation
            for conversation in self._state.conversations.values()
            if conversation.account_sid == account_sid
            and query.get("State") in {None, conversation.state}
            and (start is None or conversation.created >= start)
            and (end is None or conversation.created < end)
        ]

    def create(self, account_sid: str, form: Mapping[str, str]) -> Conversation:
        """Create a conversation. Raises TwilioError 20001, 50353 (the name is taken) or 50384."""
        if form.get("State") == "closed":
            raise TwilioError(50384)
        now = self._now()
        made = Conversation(new_sid("CH"), account_sid, now, now, self._state.next_seq())
        self._apply(made, form)
        self._state.conversations[made.sid] = made
        return made

    def update(self, conversation: Conversation, form: Mapping[str, str]) -> Conversation:
        """Change a conversation. Raises TwilioError 20001, 50353, or 50377 once it is closed."""
        self.check_open(conversation)
        self._apply(conversation, form)
        conversation.updated = self._now()
        return conversation

    def delete(self, conversation: Conversation) -> None:
        """Delete a conversation with its participants and messages."""
        for participant in self._people.pop(conversation.sid, ()):
            del self._state.chat_participants[participant.sid]
        for sid in self._said.pop(conversation.sid, {}):
            del self._state.chat_messages[sid]
        del self._state.conversations[conversation.sid]

    def check_open(self, conversation: Conversation) -> None:
        """Raise TwilioError 50377 if a conversation is closed, 20404 if it was deleted meanwhile."""
        if conversation.sid not in self._state.conversations:
            raise TwilioError(20404, f"/Conversations/{conversation.sid}")
        if conversation.state == "closed":
            raise TwilioError(50377)

    def _named(self, account_sid: str, name: str) -> Conversation | None:
        mine = (found for found in self._state.conversations.values() if found.account_sid == account_sid)
        return next((found for found in mine if found.unique_name == name), None)

    def _apply(self, conversation: Conversation, form: Mapping[str, str]) -> None:
        name, state = form.get("UniqueName"), form.get("State", conversation.state)
        other = self._named(conversation.account_sid, name) if name else None
        if other is not None and other.sid != conversation.sid:
            raise TwilioError(50353)
        if state not in STATES:
            raise TwilioError(20001, f"State must be one of {', '.join(sorted(STATES))}")
        conversation.attributes = attributes(form, conversation.attributes)
        conversation.friendly_name = form.get("FriendlyName", conversation.friendly_name)
        conversation.unique_name, conversation.state = name or conversation.unique_name, state

    # Participants ---------------------------------------------------------------------------------------------

    def participants(self, conversation: Conversation) -> list[ChatParticipant]:
        """Return who is in a conversation."""
        return list(self._people.get(conversation.sid, ()))

    def participant(self, conversation: Conversation, key: str) -> ChatParticipant:
        """Return a participant by SID or identity. Raises TwilioError 20404."""
        for participant in self._people.get(conversation.sid, ()):
            if key in {participant.sid, participant.identity}:
                return participant
        raise TwilioError(20404, f"/Conversations/{conversation.sid}/Participants/{key}")

    def add(self, conversation: Conversation, form: Mapping[str, str]) -> ChatParticipant:
        """Add somebody by Identity or MessagingBinding.

        Raises TwilioError 20001, 50377, 50407 (not an own number), 50416 (the pair is in use) or 50433 (the identity is
        in this conversation already).
        """
        self.check_open(conversation)
        identity = form.get("Identity") or None
        address = form.get("MessagingBinding.Address") or None
        proxy_address = form.get("MessagingBinding.ProxyAddress") or None
        if (identity is None) == (address is None):
            raise TwilioError(20001, "either Identity or MessagingBinding.Address is required")
        if identity is not None and any(p.identity == identity for p in self.participants(conversation)):
            raise TwilioError(50433)
        if address is not None:
            self._check_binding(conversation.account_sid, address, proxy_address or "")
        now = self._now()
        participant = ChatParticipant(
            new_sid("MB"),
            conversation.sid,
            conversation.account_sid,
            now,
            now,
            self._state.next_seq(),
            identity,
            address,
            proxy_address,
            attributes(form, "{}"),
        )
        self._state.chat_participants[participant.sid] = participant
        self._people[conversation.sid].append(participant)
        return participant

    def remove(self, participant: ChatParticipant) -> None:
        """Take somebody out of their conversation; what they said stays."""
        self._people[participant.conversation_sid].remove(participant)
        del self._state.chat_participants[participant.sid]

    def route(self, address: str, proxy_address: str) -> tuple[Conversation, ChatParticipant] | None:
        """Return the conversation, and the one in it, that a text from a phone to a number belongs to."""
        for participant in self._state.chat_participants.values():
            conversation = self._state.conversations[participant.conversation_sid]
            pair = (participant.address, participant.proxy_address)
            if pair == (address, proxy_address) and conversation.state != "closed":
                return conversation, participant
        return None

    def _check_binding(self, account_sid: str, address: str, proxy_address: str) -> None:
        if not is_e164(address):
            raise TwilioError(20001, "MessagingBinding.Address must be a phone number in E.164 form")
        owned = self._state.numbers.get(number_sid(proxy_address))
        if owned is None or owned.account_sid != account_sid or not owned.capabilities["sms"]:
            raise TwilioError(50407)
        if self.route(address, proxy_address) is not None:
            raise TwilioError(50416)

    # Messages -------------------------------------------------------------------------------------------------

    def messages(self, conversation: Conversation) -> list[ChatMessage]:
        """Return what was said in a conversation."""
        return list(self._said.get(conversation.sid, {}).values())

    def message(self, conversation: Conversation, sid: str) -> ChatMessage:
        """Return a message. Raises TwilioError 20404."""
        found = self._said.get(conversation.sid, {}).get(sid)
        if found is None:
            raise TwilioError(20404, f"/Conversations/{conversation.sid}/Messages/{sid}")
        return found

    def say(
        self,
        conversation: Conversation,
        author: str,
        body: str,
        given: str = "{}",
        speaker: ChatParticipant | None = None,
    ) -> ChatMessage:
        """Add a message. Raises TwilioError 20001 or 50377."""
        self.check_open(conversation)
        if not body or len(body) > LONGEST_BODY:
            raise TwilioError(20001, f"Body must be a text of at most {LONGEST_BODY} characters")
        now = self._now()
        message = ChatMessage(
            new_sid("IM"),
            conversation.sid,
            conversation.account_sid,
            conversation.next_index,
            author,
            body,
            now,
            now,
            self._state.next_seq(),
            None if speaker is None else speaker.sid,
            attributes({"Attributes": given}, "{}"),
        )
        conversation.next_index += 1
        self._state.chat_messages[message.sid] = self._said[conversation.sid][message.sid] = message
        return message

    def edit(self, message: ChatMessage, form: Mapping[str, str]) -> ChatMessage:
        """Change a message's Body, Author or Attributes."""
        message.attributes = attributes(form, message.attributes)
        message.body, message.author = form.get("Body", message.body), form.get("Author", message.author)
        message.updated = self._now()
        return message

    def unsay(self, message: ChatMessage) -> None:
        """Delete a message; the indexes of the others stay. What went to phones as a text is not deleted with it."""
        del self._said[message.conversation_sid][message.sid]
        del self._state.chat_messages[message.sid]

    # Webhooks -------------------------------------------------------------------------------------------------

    def hooks(self, account_sid: str) -> ChatHooks:
        """Return where an account's conversations ask and tell; nowhere until it was set."""
        return self._state.chat_hooks.get(account_sid) or ChatHooks(account_sid)

    def set_hooks(self, account_sid: str, urls: Mapping[str, str | None], filters: Sequence[str] | None) -> ChatHooks:
        """Set the URLs that are given, under `pre` and `post`, and the names of events if they are."""
        hooks = self.hooks(account_sid)
        hooks.pre_url, hooks.post_url = urls.get("pre", hooks.pre_url), urls.get("post", hooks.post_url)
        hooks.filters = hooks.filters if filters is None else list(filters)
        self._state.chat_hooks[account_sid] = hooks
        return hooks


def attributes(form: Mapping[str, str], default: str) -> str:
    """Return the Attributes of a form. Raises TwilioError 20001 unless they are JSON."""
    text = form.get("Attributes", default)
    try:
        json.loads(text)
    except ValueError:
        raise TwilioError(20001, "Attributes must be JSON") from None
    return text
