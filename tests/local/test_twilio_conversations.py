"""Conversations at the emulator: who is in them, the gate before each message, the relay, and deletion."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from twilio.jwt.access_token import AccessToken  # type: ignore[import-untyped]
from twilio.jwt.access_token.grants import ChatGrant, VideoGrant  # type: ignore[import-untyped]

from tests.local.twilio_stage import ACCOUNT, BEN, CLEO, KEY, POOL, SECRET, TOKEN, Delivery, Stage, refused

EVENTS = ["onMessageAdd", "onMessageAdded", "onMessageRemoved"]


@pytest.fixture
def talk(stage: Stage) -> Any:
    """Give a conversation of Ana in an app and Ben on a phone, with webhooks at the receiver."""
    stage.client.conversations.v1.configuration.webhooks().update(
        pre_webhook_url=f"{stage.receiver.url}/pre", post_webhook_url=f"{stage.receiver.url}/post", filters=EVENTS
    )
    talk = stage.client.conversations.v1.conversations.create(unique_name="case-1", friendly_name="Case 1")
    talk.participants.create(identity="ana")
    talk.participants.create(messaging_binding_address=BEN, messaging_binding_proxy_address=POOL[0])
    return talk


def say(stage: Stage, body: str, identity: str = "ana", **more: Any) -> str | None:
    """Let an app say something, and return the message's SID."""
    sid: str | None = stage.sim("POST", "say", {"conversation": "case-1", "identity": identity, "body": body, **more})[
        "message_sid"
    ]
    return sid


def said(talk: Any) -> list[tuple[str, str]]:
    """Return who said what."""
    return [(message.author, message.body) for message in talk.messages.list()]


# Conversations and participants -------------------------------------------------------------------------------


def test_conversations_are_made_found_listed_and_closed(stage: Stage) -> None:
    """A conversation is found by SID and unique name, listed by state and time, and final once it is closed."""
    conversations = stage.client.conversations.v1.conversations
    made = conversations.create(unique_name="one", attributes='{"case": 1}')
    assert (made.state, made.attributes, made.chat_service_sid[:2]) == ("active", '{"case": 1}', "IS")
    other = conversations.create(state="inactive")
    assert conversations("one").fetch().sid == made.sid
    with refused(50353, 409):
        conversations.create(unique_name="one")
    with refused(50384):
        conversations.create(state="closed")
    for wish in ({"state": "asleep"}, {"attributes": "x"}):
        with refused(20001):
            conversations.create(**wish)
    tomorrow = (datetime.fromtimestamp(stage.clock.now(), UTC) + timedelta(days=1)).date().isoformat()
    assert [found.sid for found in conversations.list()] == [other.sid, made.sid]
    assert [found.sid for found in conversations.list(state="inactive")] == [other.sid]
    assert len(conversations.list(end_date=tomorrow)) == 2
    assert conversations.list(start_date=tomorrow) == []
    assert conversations(made.sid).update(friendly_name="One", state="closed").state == "closed"
    with refused(50377):
        conversations(made.sid).update(state="active")
    with refused(50377):
        made.participants.create(identity="ana")
    with refused(50377):
        made.messages.create(author="ana", body="hello")


def test_a_pair_of_numbers_is_in_one_open_conversation(stage: Stage, talk: Any) -> None:
    """The pair of a phone and a number is taken until its conversation is closed; an identity is in it once."""
    other = stage.client.conversations.v1.conversations.create()
    binding = {"messaging_binding_address": BEN, "messaging_binding_proxy_address": POOL[0]}
    with refused(50416, 409):
        other.participants.create(**binding)
    with refused(50433, 409):
        talk.participants.create(identity="ana")
    other.participants.create(messaging_binding_address=BEN, messaging_binding_proxy_address=POOL[1])
    stage.client.conversations.v1.conversations(talk.sid).update(state="closed")
    bound = other.participants.create(**binding)
    assert bound.messaging_binding == {"type": "sms", "address": BEN, "proxy_address": POOL[0]}
    assert other.participants(bound.sid).delete() is True
    with refused(20404, 404):
        other.participants(bound.sid).fetch()
    assert talk.participants("ana").fetch().identity == "ana"


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({}, 20001),
        ({"identity": "x", "messaging_binding_address": CLEO}, 20001),
        ({"messaging_binding_address": "x", "messaging_binding_proxy_address": POOL[0]}, 20001),
        ({"messaging_binding_address": CLEO, "messaging_binding_proxy_address": "+12125550199"}, 50407),
        ({"messaging_binding_address": CLEO}, 50407),
        ({"identity": "x", "attributes": "{"}, 20001),
    ],
)
def test_bad_participants_are_refused(stage: Stage, talk: Any, wish: dict[str, str], code: int) -> None:
    """Nobody, two at once, no phone number, a number of somebody else and bad attributes each have their code."""
    with refused(code):
        talk.participants.create(**wish)


# Webhook configuration ----------------------------------------------------------------------------------------


def test_the_webhooks_are_set_and_cleared(stage: Stage) -> None:
    """The account's webhooks are nowhere at first, set one by one, and cleared by an empty URL."""
    webhooks = stage.client.conversations.v1.configuration.webhooks()
    assert (webhooks.fetch().pre_webhook_url, webhooks.fetch().filters) == (None, [])
    webhooks.update(pre_webhook_url="https://example.org/pre", filters=["onMessageAdd"])
    kept = webhooks.update(post_webhook_url="https://example.org/post", method="POST")
    assert (kept.pre_webhook_url, kept.filters, kept.target) == ("https://example.org/pre", ["onMessageAdd"], "webhook")
    assert webhooks.update(pre_webhook_url="").pre_webhook_url is None
    for wish in ({"method": "GET"}, {"target": "flex"}, {"pre_webhook_url": "x"}):
        with refused(20001):
            webhooks.update(**wish)


# The gate -----------------------------------------------------------------------------------------------------


def test_an_app_is_asked_about_and_told_of(stage: Stage, talk: Any) -> None:
    """Before a message the gate is asked and afterwards told, both signed; the phone gets it from its number."""
    sid = say(stage, "hello", attributes='{"x": 1}')
    [asked], [told] = stage.receiver.got("/pre"), stage.receiver.got("/post")
    assert all(delivery.signed_with(TOKEN) for delivery in (asked, told))
    expected = {"EventType": "onMessageAdd", "ConversationSid": talk.sid, "Author": "ana", "Body": "hello"}
    assert expected.items() <= asked.fields.items()
    assert (asked.fields["Source"], asked.fields["ClientIdentity"]) == ("SDK", "ana")
    assert "MessageSid" not in asked.fields
    assert (told.fields["EventType"], told.fields["MessageSid"], told.fields["Index"]) == ("onMessageAdded", sid, "0")
    message = talk.messages(sid).fetch()
    assert (message.index, message.author, message.body, message.attributes) == (0, "ana", "hello", '{"x": 1}')
    [text] = stage.phone(BEN)["messages"]
    assert (text["from"], text["body"], text["direction"]) == (POOL[0], "hello", "inbound")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
def test_a_refusal_keeps_the_message_from_everybody(stage: Stage, talk: Any, status: int) -> None:
    """A 4xx of the gate: nothing is said, texted or told."""
    stage.receiver.answers["/pre"] = (status, "text/plain", "")
    assert say(stage, "hello") is None
    assert said(talk) == []
    assert stage.phone(BEN)["messages"] == []
    assert stage.receiver.got("/post") == []
    assert stage.alerts() == []


@pytest.mark.parametrize(
    ("fault", "alerts"),
    [
        ({"mode": "timeout"}, [50076]),
        ({"mode": "refuse"}, [11200]),
        ({"mode": "lost"}, []),
        ({"mode": "slow", "seconds": 5}, [50076]),
    ],
)
def test_a_gate_that_does_not_answer_lets_the_message_pass(
    stage: Stage, talk: Any, fault: dict[str, Any], alerts: list[int]
) -> None:
    """A gate that cannot be reached, or answers after more than 5 seconds, keeps nothing back."""
    stage.receiver.answers["/pre"] = (403, "text/plain", "")
    stage.sim("POST", "faults", {"on": "webhook", "match": "^chat-pre", **fault})
    assert say(stage, "hello") is not None
    assert said(talk) == [("ana", "hello")]
    assert stage.alerts() == alerts


@pytest.mark.parametrize("status", [302, 500, 503])
def test_a_gate_that_fails_lets_the_message_pass(stage: Stage, talk: Any, status: int) -> None:
    """A 5xx or a redirect keeps nothing back, and leaves an alert."""
    stage.receiver.answers["/pre"] = (status, "text/plain", "")
    assert say(stage, "hello") is not None
    assert stage.alerts() == [11200]


def test_the_gate_may_change_a_message(stage: Stage, talk: Any) -> None:
    """A 200 with JSON replaces body, author and attributes; anything else in it changes nothing."""
    stage.receiver.answers["/pre"] = (200, "application/json", json.dumps({"body": "[removed]", "author": "moderator"}))
    say(stage, "my number is +12125550111")
    assert said(talk) == [("moderator", "[removed]")]
    assert [text["body"] for text in stage.phone(BEN)["messages"]] == ["[removed]"]
    for answer in ("not JSON", "[1]", ""):
        stage.receiver.answers["/pre"] = (200, "application/json", answer)
        say(stage, "hello")
    assert said(talk)[1:] == [("ana", "hello")] * 3


@pytest.mark.parametrize("filters", [["onMessageAdded"], []])
def test_what_the_filters_leave_out_is_not_asked(stage: Stage, talk: Any, filters: list[str]) -> None:
    """The gate is asked only about events that the filters name."""
    stage.client.conversations.v1.configuration.webhooks().update(filters=filters or ["onMessageRemoved"])
    stage.receiver.answers["/pre"] = (403, "text/plain", "")
    assert say(stage, "hello") is not None
    assert stage.receiver.got("/pre") == []
    assert len(stage.receiver.got("/post")) == len(filters)


def test_the_api_passes_the_gate_unless_it_asks_for_it(stage: Stage, talk: Any) -> None:
    """A message by REST sends no webhook; with X-Twilio-Webhook-Enabled it does, and a refusal is 403."""
    stage.receiver.answers["/pre"] = (403, "text/plain", "")
    message = talk.messages.create(author="ana", body="hello")
    assert (message.participant_sid[:2], stage.receiver.deliveries) == ("MB", [])
    assert talk.messages.create(body="note").author == "system"
    with refused(20403, 403):
        talk.messages.create(author="ana", body="hello", x_twilio_webhook_enabled="true")
    stage.receiver.answers.clear()
    talk.messages.create(author="ana", body="again", x_twilio_webhook_enabled="true")
    # The package drops the header of a DELETE.
    url = f"https://conversations.twilio.com/v1/Conversations/{talk.sid}/Messages/{message.sid}"
    stage.client.request("DELETE", url, headers={"X-Twilio-Webhook-Enabled": "true"})
    stage.sim("GET", "webhooks")
    told = [delivery.fields["EventType"] for delivery in stage.receiver.got("/post")]
    assert told == ["onMessageAdded", "onMessageRemoved"]
    assert said(talk) == [("system", "note"), ("ana", "again")]


@pytest.mark.parametrize(
    ("undo", "code"),
    [
        (lambda talk: talk.delete(), 20404),
        (lambda talk: talk.update(state="closed"), 50377),
    ],
)
def test_a_conversation_that_ends_while_the_gate_is_asked(
    stage: Stage, talk: Any, undo: Callable[[Any], Any], code: int
) -> None:
    """A handler may delete or close the conversation that it is asked about: then nothing is said in it."""

    def end(_delivery: Delivery) -> tuple[int, str, str]:
        undo(stage.client.conversations.v1.conversations(talk.sid))
        return 200, "application/json", ""

    stage.receiver.answers["/pre"] = end
    answer = requests.post(
        f"{stage.server.url}/_sim/say", json={"conversation": talk.sid, "identity": "ana", "body": "x"}, timeout=10
    )
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert stage.emulator.carrier.state.chat_messages == {}


# Phones -------------------------------------------------------------------------------------------------------


def test_a_phone_speaks_in_its_conversation(stage: Stage, talk: Any) -> None:
    """A text from a bound pair is said there, passes the gate, and goes to the other phones by their numbers."""
    talk.participants.create(messaging_binding_address=CLEO, messaging_binding_proxy_address=POOL[1])
    assert stage.sms(BEN, POOL[0], "I am here")["delivered"] is True
    assert said(talk) == [(BEN, "I am here")]
    assert [text["body"] for text in stage.phone(CLEO)["messages"]] == ["I am here"]
    assert [text["direction"] for text in stage.phone(BEN)["messages"]] == ["outbound"]
    assert stage.receiver.got("/pre")[0].fields["Source"] == "SMS"
    stage.receiver.answers["/pre"] = (403, "text/plain", "")
    assert stage.sms(BEN, POOL[0], "and again")["delivered"] is False
    assert stage.sms(BEN, POOL[1], "stranger")["delivered"] is False
    assert said(talk) == [(BEN, "I am here")]


def test_a_phone_that_opted_out_gets_nothing(stage: Stage, talk: Any) -> None:
    """After STOP what others say is not texted, with alert 21610; a text without words is not said."""
    stage.sms(BEN, POOL[0], "STOP")
    say(stage, "hello?")
    assert [text["direction"] for text in stage.phone(BEN)["messages"]] == ["outbound"]
    assert stage.alerts() == [21610]
    assert stage.sms(BEN, POOL[0], "")["alerts"] == [20001]


# Access Tokens ------------------------------------------------------------------------------------------------


def test_an_app_speaks_by_its_token(stage: Stage, talk: Any) -> None:
    """A token with a chat grant speaks as its identity; without one, or not in the conversation, it is refused."""

    def token(identity: str, grant: Any) -> str:
        return str(AccessToken(ACCOUNT, KEY, SECRET, [grant], identity).to_jwt())

    chat = ChatGrant(service_sid=talk.chat_service_sid)
    assert say(stage, "hello", "eve", token=token("ana", chat)) is not None
    assert said(talk) == [("ana", "hello")]
    for bad, code in ((token("ana", VideoGrant()), 20101), (token("eve", chat), 20404), ("x", 20101)):
        body = {"conversation": "case-1", "token": bad, "body": "hello"}
        answer = requests.post(f"{stage.server.url}/_sim/say", json=body, timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    nothing = requests.post(f"{stage.server.url}/_sim/say", json={"conversation": "case-1"}, timeout=10)
    assert (nothing.status_code, "`body`" in nothing.json()["error"]) == (400, True)


# Deletion -----------------------------------------------------------------------------------------------------


def test_messages_are_listed_in_order_changed_and_deleted(stage: Stage, talk: Any) -> None:
    """Messages are listed the oldest first or the newest first, and a walk is exact while they are deleted."""
    for number in range(7):
        talk.messages.create(author="ana", body=str(number))
    assert [message.body for message in talk.messages.list(order="desc", page_size=3)] == list("6543210")
    first = talk.messages.list()[0]
    assert talk.messages(first.sid).update(body="", attributes="{}").body == ""
    with refused(20001):
        talk.messages(first.sid).update(attributes="{")
    walked = []
    for message in talk.messages.stream(page_size=2):
        walked.append(message.index)
        assert talk.messages(message.sid).delete() is True
        with refused(20404, 404):
            talk.messages(message.sid).delete()
    assert walked == list(range(7))
    assert talk.messages.create(author="ana", body="next").index == 7
    for body in ("", "x" * 1601):
        with refused(20001):
            talk.messages.create(author="ana", body=body)
    answer = stage.client.request(
        "GET", f"https://conversations.twilio.com/v1/Conversations/{talk.sid}/Messages?Order=up"
    )
    assert answer.status_code == 400


def test_a_conversation_takes_everything_in_it_along(stage: Stage, talk: Any) -> None:
    """Deleting a conversation deletes its participants and messages; the text that a phone got is another object."""
    say(stage, "hello")
    assert stage.client.conversations.v1.conversations(talk.sid).delete() is True
    with refused(20404, 404):
        stage.client.conversations.v1.conversations(talk.sid).delete()
    with refused(20404, 404):
        talk.participants("ana").fetch()
    state = stage.emulator.carrier.state
    assert (state.conversations, state.chat_participants, state.chat_messages) == ({}, {}, {})
    assert [message.body for message in stage.client.messages.list(to=BEN)] == ["hello"]


def test_another_account_sees_no_conversation(stage: Stage, talk: Any) -> None:
    """A subaccount reaches neither its owner's conversations nor their webhooks."""
    sub = stage.client.api.v2010.accounts.create(friendly_name="sub")
    child = stage.connect(sub.sid, sub.auth_token)
    with refused(20404, 404):
        child.conversations.v1.conversations(talk.sid).fetch()
    assert child.conversations.v1.configuration.webhooks().fetch().pre_webhook_url is None


def test_a_snapshot_carries_conversations_on(stage: Stage, talk: Any) -> None:
    """A restored emulator knows who is in which conversation, what was said, and whom to ask."""
    say(stage, "hello")
    snapshot = stage.emulator.snapshot()
    stage.reset()
    stage.emulator.restore(snapshot)
    assert stage.emulator.snapshot() == snapshot
    stage.receiver.answers["/pre"] = (403, "text/plain", "")
    assert stage.sms(BEN, POOL[0], "hi")["delivered"] is False
    assert said(talk) == [("ana", "hello")]
