"""What happens when people text and call: relaying, keywords, webhooks and their faults, out-of-session answers."""

from __future__ import annotations

import json

import pytest

from local.twilio import payloads
from local.twilio.numbers import number_sid
from tests.local.twilio_stage import (
    ACCOUNT,
    ANA,
    BEN,
    BRITISH,
    BRITISH_ANA,
    CLEO,
    POOL,
    TOKEN,
    Delivery,
    Stage,
    refused,
)

INTERCEPT_FIELDS = {
    "inboundParticipantSid",
    "inboundResourceSid",
    "inboundResourceStatus",
    "inboundResourceType",
    "inboundResourceUrl",
    "interactionAccountSid",
    "interactionData",
    "interactionDateCreated",
    "interactionDateUpdated",
    "interactionServiceSid",
    "interactionSessionSid",
    "interactionSid",
    "interactionType",
}
CALLBACK_FIELDS = INTERCEPT_FIELDS | {
    "outboundParticipantSid",
    "outboundResourceSid",
    "outboundResourceStatus",
    "outboundResourceType",
    "outboundResourceUrl",
}
XML = "application/xml"


def twiml(*verbs: str) -> tuple[int, str, str]:
    """Return a TwiML answer with these verbs."""
    return 200, XML, f'<?xml version="1.0" encoding="UTF-8"?><Response>{"".join(verbs)}</Response>'


# In a session -------------------------------------------------------------------------------------------------


def test_each_phone_sees_only_masked_numbers(stage: Stage) -> None:
    """A text passes both ways, and on no phone is there any number but its own and its masked one."""
    session = stage.pair(stage.service(POOL[0], BRITISH), ANA, BRITISH_ANA)
    masks = stage.masked(session)
    assert stage.sms(ANA, masks[ANA], "hello")["delivered"] is True
    assert stage.sms(BRITISH_ANA, masks[BRITISH_ANA], "hi")["delivered"] is True
    for person, texts in ((ANA, ["hello", "hi"]), (BRITISH_ANA, ["hello", "hi"])):
        seen = stage.phone(person)["messages"]
        assert [message["body"] for message in seen] == texts
        assert {number for message in seen for number in (message["from"], message["to"])} == {person, masks[person]}


def test_a_relay_leaves_two_messages_and_an_interaction(stage: Stage) -> None:
    """A relayed text is an inbound and an outbound message and one interaction that holds the body once more."""
    session = stage.pair(stage.service(POOL[0]))
    result = stage.sms(ANA, POOL[0], "hello", media=["https://example.org/a.png"])
    interaction = session.interactions.list()[0]
    assert (interaction.type, interaction.data) == ("message", '{"body": "hello"}')
    assert interaction.sid == result["interaction_sid"]
    assert (interaction.inbound_resource_sid, interaction.inbound_resource_status) == (
        result["message_sid"],
        "received",
    )
    assert (interaction.outbound_resource_sid, interaction.outbound_resource_status) == (
        result["outbound_message_sid"],
        "delivered",
    )
    inbound, outbound = (stage.client.messages(result[f"{side}message_sid"]).fetch() for side in ("", "outbound_"))
    assert (inbound.direction, inbound.from_, inbound.num_media) == ("inbound", ANA, "1")
    assert (outbound.direction, outbound.from_, outbound.to, outbound.num_media) == ("outbound-api", POOL[0], BEN, "1")
    assert session.fetch().status == "in-progress"
    assert session.fetch().date_last_interaction is not None


def test_the_intercept_has_thirteen_signed_fields(stage: Stage) -> None:
    """The intercept of a text carries exactly 13 fields without any phone number, and the validator accepts it."""
    service = stage.service(POOL[0], webhooks=True)
    session = stage.pair(service)
    stage.sms(ANA, POOL[0], "hello & goodbye = £5")
    [delivery] = stage.receiver.got("/intercept")
    assert set(delivery.fields) == INTERCEPT_FIELDS
    assert delivery.signed_with(TOKEN)
    assert not delivery.signed_with("another token")
    assert "+1212" not in delivery.raw.decode()
    assert json.loads(delivery.fields["interactionData"]) == {"body": "hello & goodbye = £5"}
    assert (delivery.fields["interactionType"], delivery.fields["inboundResourceType"]) == ("Message", "message")
    assert delivery.fields["interactionSessionSid"] == session.sid
    assert delivery.headers["I-Twilio-Idempotency-Token"]
    assert delivery.headers["Content-Type"].startswith("application/x-www-form-urlencoded")


def test_the_intercept_of_a_call_has_blank_data_that_is_signed(stage: Stage) -> None:
    """On voice interactionData is present and empty, and the signature counts it in."""
    stage.pair(stage.service(POOL[0], webhooks=True))
    assert stage.call(ANA, POOL[0])["connected"] is True
    [delivery] = stage.receiver.got("/intercept")
    assert set(delivery.fields) == INTERCEPT_FIELDS
    assert delivery.fields["interactionData"] == ""
    assert b"interactionData=&" in delivery.raw
    assert (delivery.fields["interactionType"], delivery.fields["inboundResourceType"]) == ("Voice", "call")
    assert delivery.signed_with(TOKEN)
    delivery.fields.pop("interactionData")
    assert not delivery.signed_with(TOKEN)


def test_the_signature_covers_the_exact_url(stage: Stage) -> None:
    """The query of a webhook URL is sent and signed as it is, the fragment is neither."""
    url = f"{stage.receiver.url}/intercept?stage=a%20b&x=1"
    stage.pair(stage.service(POOL[0], intercept_callback_url=f"{url}#rc=2"))
    stage.sms(ANA, POOL[0], "hello")
    [delivery] = stage.receiver.got("/intercept")
    assert delivery.url == url
    assert delivery.signed_with(TOKEN)


def test_webhooks_are_signed_with_the_primary_token_through_a_rotation(stage: Stage) -> None:
    """A secondary token signs nothing until it is promoted; then it signs everything."""
    stage.pair(stage.service(POOL[0], webhooks=True))
    made = stage.client.accounts.v1.secondary_auth_token().create()
    stage.sms(ANA, POOL[0], "one")
    stage.client.accounts.v1.auth_token_promotion().update()
    stage.sms(ANA, POOL[0], "two")
    before, after = stage.receiver.got("/intercept")
    assert (before.signed_with(TOKEN), before.signed_with(made.secondary_auth_token)) == (True, False)
    assert (after.signed_with(TOKEN), after.signed_with(made.secondary_auth_token)) == (False, True)


def test_only_403_stops_an_interaction(stage: Stage) -> None:
    """A 403 keeps the text from the other phone and leaves alert 80909; nothing is called back or prolonged."""
    stage.receiver.answers["/intercept"] = (403, "text/plain", "")
    session = stage.pair(stage.service(POOL[0], webhooks=True))
    result = stage.sms(ANA, POOL[0], "hello")
    assert (result["delivered"], result["alerts"], result["outbound_message_sid"]) == (False, [80909], None)
    assert stage.phone(BEN)["messages"] == []
    assert stage.receiver.got("/callback") == []
    assert session.fetch().status == "open"
    assert session.interactions.list()[0].outbound_resource_sid is None
    assert stage.call(ANA, POOL[0])["connected"] is False
    assert stage.phone(BEN)["calls"] == []
    assert stage.phone(ANA)["calls"][0]["status"] == "busy"
    assert stage.alerts() == [80909, 80909]


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 404, 429, 500, 503])
def test_every_other_status_lets_the_interaction_pass(stage: Stage, status: int) -> None:
    """The intercept is fail-open: any status but 403 connects, and one that is not 2xx leaves alert 80908."""
    stage.receiver.answers["/intercept"] = (status, "text/plain", "")
    stage.pair(stage.service(POOL[0], webhooks=True))
    result = stage.sms(ANA, POOL[0], "hello")
    assert (result["delivered"], result["alerts"]) == (True, [] if status < 300 else [80908])


@pytest.mark.parametrize(
    ("mode", "called", "alerts"),
    [("timeout", 1, [80908]), ("refuse", 0, [80908]), ("lost", 0, []), ("slow", 1, [80908])],
)
def test_an_intercept_without_an_answer_lets_the_interaction_pass(
    stage: Stage, mode: str, called: int, alerts: list[int]
) -> None:
    """A handler that says 403 too late, or cannot be reached, does not stop the text."""
    stage.receiver.answers["/intercept"] = (403, "text/plain", "")
    stage.sim("POST", "faults", {"on": "webhook", "mode": mode, "match": "^intercept", "times": 1, "seconds": 15})
    stage.pair(stage.service(POOL[0], webhooks=True))
    result = stage.sms(ANA, POOL[0], "hello")
    assert (result["delivered"], result["alerts"]) == (True, alerts)
    assert len(stage.receiver.got("/intercept")) == called
    assert stage.sms(ANA, POOL[0], "again")["delivered"] is False


def test_an_unreachable_handler_lets_the_interaction_pass(stage: Stage) -> None:
    """A webhook address where nobody listens connects the people and leaves alert 80908."""
    stage.pair(stage.service(POOL[0], intercept_callback_url="http://127.0.0.1:1/intercept"))
    result = stage.sms(ANA, POOL[0], "hello")
    assert (result["delivered"], result["alerts"]) == (True, [80908])
    [entry] = stage.sim("GET", "webhooks")["webhooks"]
    assert (entry["outcome"], entry["problem"], entry["status"]) == ("failed", "connection refused", None)


def test_the_callback_comes_once_for_each_status(stage: Stage) -> None:
    """A text has callbacks queued, sent, delivered with 18 fields each, all signed, each with its own token."""
    stage.pair(stage.service(POOL[0], webhooks=True))
    stage.sms(ANA, POOL[0], "hello")
    callbacks = stage.receiver.got("/callback")
    assert [callback.fields["outboundResourceStatus"] for callback in callbacks] == ["queued", "sent", "delivered"]
    assert all(set(callback.fields) == CALLBACK_FIELDS and callback.signed_with(TOKEN) for callback in callbacks)
    assert len({callback.headers["I-Twilio-Idempotency-Token"] for callback in callbacks}) == 3


def test_a_call_has_callbacks_and_two_legs(stage: Stage) -> None:
    """A call has callbacks initiated, ringing, in-progress, completed; each phone shows its own leg only."""
    session = stage.pair(stage.service(POOL[0], webhooks=True))
    result = stage.call(ANA, POOL[0], duration=5)
    statuses = [callback.fields["outboundResourceStatus"] for callback in stage.receiver.got("/callback")]
    assert statuses == ["initiated", "ringing", "in-progress", "completed"]
    assert all(callback.fields["interactionData"] == "" for callback in stage.receiver.got("/callback"))
    interaction = session.interactions.list()[0]
    assert (interaction.type, json.loads(interaction.data)) == ("voice", {"duration": "5"})
    [outgoing] = stage.phone(ANA)["calls"]
    [incoming] = stage.phone(BEN)["calls"]
    assert (outgoing["direction"], outgoing["to"], outgoing["sid"]) == ("outbound", POOL[0], result["call_sid"])
    assert (incoming["direction"], incoming["from"], incoming["status"]) == ("inbound", POOL[0], "completed")


@pytest.mark.parametrize("answer", ["busy", "no-answer", "failed"])
def test_an_unanswered_call_is_not_connected(stage: Stage, answer: str) -> None:
    """When the callee does not answer, both legs end with that status and so does the last callback."""
    stage.pair(stage.service(POOL[0], webhooks=True))
    result = stage.call(ANA, POOL[0], answer=answer)
    assert result["connected"] is False
    assert stage.receiver.got("/callback")[-1].fields["outboundResourceStatus"] == answer
    assert stage.client.calls(result["call_sid"]).fetch().status == answer


def test_a_live_call_is_ended_through_the_api(stage: Stage) -> None:
    """A held call stays up when its session closes, and Status=completed ends both legs and is called back."""
    service = stage.service(POOL[0], webhooks=True)
    session = service.sessions(stage.pair(service).sid)
    result = stage.call(ANA, POOL[0], hold=True)
    session.update(status="closed")
    call = stage.client.calls(result["call_sid"])
    assert call.fetch().status == "in-progress"
    assert call.fetch().duration is None
    stage.sim("POST", "clock", {"advance": 30})
    assert call.update(status="completed").status == "completed"
    assert stage.client.calls(result["outbound_call_sid"]).fetch().duration in {"30", "31"}
    stage.sim("GET", "webhooks")
    assert stage.receiver.got("/callback")[-1].fields["outboundResourceStatus"] == "completed"
    with refused(21220):
        call.update(status="completed")
    with refused(20001):
        call.update(twiml="<Response/>")


def test_a_person_hangs_up(stage: Stage) -> None:
    """A held call ends when a phone hangs up, once."""
    stage.pair(stage.service(POOL[0]))
    sid = stage.call(ANA, POOL[0], hold=True)["call_sid"]
    assert stage.sim("POST", "hangup", {"call_sid": sid}) == {"ended": True}
    assert stage.sim("POST", "hangup", {"call_sid": sid}) == {"ended": False}


def test_a_handler_may_call_the_api_back(stage: Stage) -> None:
    """During a webhook the handler can end the call and close the session; both hold when the call returns."""
    service = stage.service(POOL[0], webhooks=True)
    session = service.sessions(stage.pair(service).sid)

    def hang_up(delivery: Delivery) -> tuple[int, str, str]:
        if delivery.fields["outboundResourceStatus"] == "ringing":
            stage.client.calls(delivery.fields["inboundResourceSid"]).update(status="completed")
            session.update(status="closed")
        return 204, "text/plain", ""

    stage.receiver.answers["/callback"] = hang_up
    result = stage.call(ANA, POOL[0])
    assert result["connected"] is False
    assert stage.client.calls(result["outbound_call_sid"]).fetch().status == "canceled"
    assert session.fetch().status == "closed"


def test_an_interaction_that_has_begun_outlives_its_session(stage: Stage) -> None:
    """A handler that closes the session but does not answer 403 does not stop the text that it was asked about."""
    service = stage.service(POOL[0], webhooks=True)
    session = service.sessions(stage.pair(service).sid)

    def close(_delivery: Delivery) -> tuple[int, str, str]:
        session.update(status="closed")
        return 500, "text/plain", ""

    stage.receiver.answers["/intercept"] = close
    assert stage.sms(ANA, POOL[0], "hello")["delivered"] is True
    assert session.fetch().status == "closed"
    stage.receiver.answers["/intercept"] = (200, "text/plain", "")
    assert stage.sms(ANA, POOL[0], "again")["delivered"] is False


# Keywords -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["STOP", " stop ", "Unsubscribe", "END", "CANCEL", "QUIT", "STOPALL"])
def test_stop_words_reach_no_webhook_and_block_the_pair(stage: Stage, word: str) -> None:
    """A stop word is dropped with alert 80901, reaches neither webhook nor phone, and blocks the sender: 21610."""
    session = stage.pair(stage.service(POOL[0], webhooks=True))
    result = stage.sms(ANA, POOL[0], word)
    assert (result["delivered"], result["alerts"], result["interaction_sid"]) == (False, [80901], None)
    assert stage.receiver.deliveries == []
    assert session.interactions.list() == []
    back = stage.sms(BEN, POOL[0], "are you there?")
    assert (back["delivered"], back["alerts"]) == (False, [21610])
    assert stage.receiver.got("/callback")[-1].fields["outboundResourceStatus"] == "failed"
    person = next(person for person in session.participants.list() if person.identifier == ANA)
    with refused(21610):
        person.message_interactions.create(body="hello")
    with refused(21610):
        stage.client.messages.create(from_=POOL[0], to=ANA, body="hello")


def test_a_block_is_for_one_number_only(stage: Stage) -> None:
    """After STOP to one pool number the same person is still reached through another."""
    service = stage.service(*POOL[:2])
    first, second = stage.pair(service, ANA, BEN), stage.pair(service, ANA, CLEO)
    stage.sms(ANA, stage.masked(first)[ANA], "STOP")
    assert stage.sms(BEN, stage.masked(first)[BEN], "one")["delivered"] is False
    assert stage.sms(CLEO, stage.masked(second)[CLEO], "two")["delivered"] is True


@pytest.mark.parametrize(("word", "forwarded"), [("START", True), ("yes", True), ("UNSTOP", False)])
def test_opt_in_words_lift_the_block(stage: Stage, word: str, forwarded: bool) -> None:
    """START and YES lift the block and are passed on to the other person; UNSTOP lifts it and is dropped."""
    stage.pair(stage.service(POOL[0]))
    stage.sms(ANA, POOL[0], "STOP")
    assert stage.sms(ANA, POOL[0], word)["delivered"] is forwarded
    assert stage.sms(BEN, POOL[0], "hello again")["delivered"] is True


def test_relayed_text_that_is_barred_is_a_failed_message(stage: Stage) -> None:
    """A text that an earlier stop word keeps from its recipient is listed as failed, with the code and its sender."""
    session = stage.pair(stage.service(POOL[0]))
    stage.sms(ANA, POOL[0], "STOP")
    barred = stage.sms(BEN, POOL[0], "are you there?")["outbound_message_sid"]
    message = stage.client.messages(barred).fetch()
    assert (message.status, message.error_code, message.from_, message.to) == ("failed", 21610, POOL[0], ANA)
    assert barred in {one.sid for one in stage.client.messages.list(to=ANA)}
    assert session.interactions.list()[0].outbound_resource_sid == barred
    assert "are you there?" not in str(stage.phone(ANA)["messages"])


@pytest.mark.parametrize("word", ["REVOKE", "OPTOUT"])
def test_revoke_and_optout_block_and_are_passed_on(stage: Stage, word: str) -> None:
    """REVOKE and OPTOUT block at the platform, yet Proxy asks the intercept and passes the word on."""
    stage.pair(stage.service(POOL[0], webhooks=True))
    assert stage.sms(ANA, POOL[0], word)["delivered"] is True
    assert len(stage.receiver.got("/intercept")) == 1
    assert stage.sms(BEN, POOL[0], "why?")["alerts"] == [21610]


@pytest.mark.parametrize("word", ["HELP", "INFO", "DEBUT", "STOP PLEASE", "Please stop"])
def test_other_words_are_passed_on(stage: Stage, word: str) -> None:
    """Help words, and a stop word among others, are ordinary texts."""
    stage.pair(stage.service(POOL[0]))
    assert stage.sms(ANA, POOL[0], word)["delivered"] is True
    assert stage.sms(BEN, POOL[0], "hello")["delivered"] is True


@pytest.mark.parametrize("word", ["ARRET", "ARRETE", "ARRETT"])
def test_french_stop_words_are_dropped_without_a_block(stage: Stage, word: str) -> None:
    """Proxy drops the French words; the platform does not know them."""
    stage.pair(stage.service(POOL[0]))
    assert stage.sms(ANA, POOL[0], word)["alerts"] == [80901]
    assert stage.sms(BEN, POOL[0], "hello")["delivered"] is True


def test_stop_out_of_session_is_swallowed_too(stage: Stage) -> None:
    """A stop word to a pool number is dropped even where no session exists."""
    stage.service(POOL[0], webhooks=True)
    assert stage.sms(CLEO, POOL[0], "STOP")["alerts"] == [80901]
    assert stage.receiver.deliveries == []


# Message interactions -----------------------------------------------------------------------------------------


def test_a_message_interaction_reaches_one_participant(stage: Stage) -> None:
    """A text from the API comes from the participant's masked number, is called back and logged one-sided."""
    service = stage.service(POOL[0], webhooks=True)
    session = service.sessions(stage.pair(service).sid)
    person = next(person for person in session.participants.list() if person.identifier == ANA)
    sent = person.message_interactions.create(body="This line is recorded.")
    assert (sent.participant_sid, sent.inbound_resource_sid, sent.type) == (person.sid, None, "message")
    assert [(seen["from"], seen["body"]) for seen in stage.phone(ANA)["messages"]] == [
        (POOL[0], "This line is recorded.")
    ]
    assert stage.phone(BEN)["messages"] == []
    assert stage.receiver.got("/intercept") == []
    callbacks = stage.receiver.got("/callback")
    assert [callback.fields["outboundResourceStatus"] for callback in callbacks] == ["queued", "sent", "delivered"]
    assert session.interactions(sent.sid).fetch().outbound_resource_status == "delivered"
    assert [logged.sid for logged in person.message_interactions.list()] == [sent.sid]
    assert session.fetch().status == "in-progress"


def test_a_message_interaction_needs_an_open_session_and_a_body(stage: Stage) -> None:
    """A closed session is 80607, no body 21602, media 20001."""
    service = stage.service(POOL[0])
    session = service.sessions(stage.pair(service).sid)
    person = session.participants.list()[0]
    with refused(21602):
        person.message_interactions.create()
    with refused(20001):
        person.message_interactions.create(body="x", media_url=["https://example.org/a.png"])
    session.update(status="closed")
    with refused(80607):
        person.message_interactions.create(body="x")


# Webhook faults -----------------------------------------------------------------------------------------------


def _statuses(stage: Stage) -> list[str]:
    return [callback.fields["outboundResourceStatus"] for callback in stage.receiver.got("/callback")]


def test_a_lost_callback_never_comes(stage: Stage) -> None:
    """A lost callback leaves no alert and does not stop the text."""
    stage.sim("POST", "faults", {"on": "webhook", "mode": "lost", "match": "^callback", "after": 1, "times": 1})
    stage.pair(stage.service(POOL[0], webhooks=True))
    result = stage.sms(ANA, POOL[0], "hello")
    assert (result["delivered"], result["alerts"]) == (True, [])
    assert _statuses(stage) == ["queued", "delivered"]


def test_a_duplicated_callback_has_the_same_token(stage: Stage) -> None:
    """A duplicated callback comes twice with one idempotency token."""
    stage.sim("POST", "faults", {"on": "webhook", "mode": "duplicate", "match": "^callback", "times": 1})
    stage.pair(stage.service(POOL[0], webhooks=True))
    stage.sms(ANA, POOL[0], "hello")
    assert _statuses(stage) == ["queued", "queued", "sent", "delivered"]
    tokens = [callback.headers["I-Twilio-Idempotency-Token"] for callback in stage.receiver.got("/callback")]
    assert tokens[0] == tokens[1] != tokens[2]


def test_callbacks_come_out_of_order(stage: Stage) -> None:
    """Reordered callbacks come after the others, the last one first."""
    stage.sim("POST", "faults", {"on": "webhook", "mode": "reorder", "match": "^callback", "times": 3})
    stage.pair(stage.service(POOL[0], webhooks=True))
    stage.call(ANA, POOL[0])
    assert _statuses(stage) == ["completed", "in-progress", "ringing", "initiated"]


def test_failing_callbacks_leave_alerts_only(stage: Stage) -> None:
    """A callback that fails leaves 80908; the text arrives all the same."""
    stage.receiver.answers["/callback"] = (500, "text/plain", "")
    stage.pair(stage.service(POOL[0], webhooks=True))
    result = stage.sms(ANA, POOL[0], "hello")
    assert (result["delivered"], result["alerts"]) == (True, [80908] * 3)


def test_the_log_of_deliveries_keeps_no_body(stage: Stage) -> None:
    """The log shows URL, status and fields of each delivery, without the text of the message."""
    stage.pair(stage.service(POOL[0], webhooks=True))
    stage.sms(ANA, POOL[0], "a very private text")
    log = stage.sim("GET", "webhooks")["webhooks"]
    assert [(entry["kind"], entry["status"], entry["outcome"]) for entry in log] == [
        ("intercept", 204, "answered"),
        ("callback", 204, "answered"),
        ("callback", 204, "answered"),
        ("callback", 204, "answered"),
    ]
    assert "private" not in json.dumps(log)


# Out of session -----------------------------------------------------------------------------------------------


def test_a_stranger_hears_the_answer_to_an_out_of_session_call(stage: Stage) -> None:
    """A stranger's call runs the TwiML of the out-of-session URL, and the phone shows what was heard."""
    stage.receiver.answers["/out-of-session"] = twiml(
        '<Say language="en-GB">This number\n is private.</Say>',
        '<Pause length="1"/>',
        "<Play>https://example.org/bye.mp3</Play>",
        "<Gather><Say>Press 9 to be left alone.</Say></Gather>",
        "<Hangup/>",
        "<Say>never heard</Say>",
    )
    stage.service(POOL[0], webhooks=True)
    result = stage.call(CLEO, POOL[0])
    heard = ["This number is private.", "<https://example.org/bye.mp3>", "Press 9 to be left alone."]
    assert (result["connected"], result["heard"], result["alerts"]) == (False, heard, [])
    [call] = stage.phone(CLEO)["calls"]
    assert (call["heard"], call["status"], call["to"]) == (heard, "completed", POOL[0])
    [delivery] = stage.receiver.got("/out-of-session")
    assert delivery.signed_with(TOKEN)
    assert (delivery.fields["From"], delivery.fields["To"], delivery.fields["CallStatus"]) == (CLEO, POOL[0], "ringing")
    assert not [name for name in delivery.fields if name.startswith(("session", "inbound", "outbound"))]
    assert stage.receiver.got("/intercept") == []


def test_a_former_participant_is_reported_with_the_previous_session(stage: Stage) -> None:
    """After a session closed the out-of-session call has 56 fields: native ones, the session, and both people."""
    service = stage.service(POOL[0], webhooks=True)
    session = stage.pair(service, unique_name="ride-7")
    service.sessions(session.sid).update(status="closed")
    stage.receiver.answers["/out-of-session"] = twiml('<Reject reason="busy"/>')
    stage.call(ANA, POOL[0])
    [delivery] = stage.receiver.got("/out-of-session")
    assert len(delivery.fields) == 56
    assert delivery.signed_with(TOKEN)
    fields = delivery.fields
    assert (fields["sessionSid"], fields["sessionStatus"]) == (session.sid, "closed")
    assert (fields["sessionClosedReason"], fields["sessionUniqueName"]) == ("api", "ride-7")
    assert (fields["inboundParticipantIdentifier"], fields["outboundParticipantIdentifier"]) == (ANA, BEN)
    assert stage.phone(ANA)["calls"][0]["status"] == "busy"


def test_a_text_out_of_session_is_answered_with_a_message(stage: Stage) -> None:
    """A text out of session has the SMS fields, and a Message verb is read on the sender's phone."""
    stage.receiver.answers["/out-of-session"] = twiml(
        "<Message>No session.</Message>", "<Message><Body>Bye.</Body></Message>"
    )
    stage.service(POOL[0], webhooks=True)
    result = stage.sms(CLEO, POOL[0], "hello?", media=["https://example.org/a.png"])
    assert (result["delivered"], result["alerts"]) == (False, [])
    assert [(seen["direction"], seen["body"]) for seen in stage.phone(CLEO)["messages"]] == [
        ("outbound", "hello?"),
        ("inbound", "No session."),
        ("inbound", "Bye."),
    ]
    [delivery] = stage.receiver.got("/out-of-session")
    assert (delivery.fields["Body"], delivery.fields["NumMedia"]) == ("hello?", "1")
    assert delivery.fields["MediaContentType0"] == "image/png"
    assert delivery.fields["SmsStatus"] == "received"


@pytest.mark.parametrize(
    ("answer", "alerts"),
    [
        ((200, "text/xml; charset=utf-8", "<Response><Message>hi</Message></Response>"), []),
        ((200, "text/html", "<Response><Message>hi</Message></Response>"), [80905]),
        ((204, "", ""), [80905]),
        ((200, "application/json", "{}"), [80905]),
        ((200, "application/json", "not json"), [80905]),
        ((200, XML, "<Response>"), [12100]),
        ((200, XML, "<Html/>"), [12100]),
        ((500, XML, "<Response><Message>hi</Message></Response>"), [80908]),
    ],
)
def test_only_valid_answers_out_of_session_count(stage: Stage, answer: tuple[int, str, str], alerts: list[int]) -> None:
    """TwiML counts with an XML content type and 2xx only; everything else is dropped with an alert."""
    stage.receiver.answers["/out-of-session"] = answer
    stage.service(POOL[0], webhooks=True)
    assert stage.sms(CLEO, POOL[0], "hello?")["alerts"] == alerts
    replies = [seen for seen in stage.phone(CLEO)["messages"] if seen["direction"] == "inbound"]
    assert len(replies) == (1 if not alerts else 0)


def test_without_an_out_of_session_url_nothing_is_connected(stage: Stage) -> None:
    """A stranger's text and call to a pool number without that URL leave alert 80902 and nothing else."""
    stage.service(POOL[0])
    assert stage.sms(CLEO, POOL[0], "hello?")["alerts"] == [80902]
    assert stage.call(CLEO, POOL[0])["alerts"] == [80902]
    assert stage.phone(CLEO)["calls"][0]["status"] == "failed"


def test_json_out_of_session_creates_a_session_and_connects(stage: Stage) -> None:
    """Auto-create JSON seats the sender on the number texted, asks the intercept, and passes the text on."""
    body = {"participantIdentifier": BEN, "uniqueName": "auto", "ttl": 60, "mode": "message-only"}
    stage.receiver.answers["/out-of-session"] = (200, "application/json", json.dumps(body))
    service = stage.service(POOL[0], webhooks=True)
    result = stage.sms(CLEO, POOL[0], "hello?")
    assert (result["delivered"], result["alerts"]) == (True, [])
    session = service.sessions("auto").fetch()
    assert (session.ttl, session.mode, session.status) == (60, "message-only", "in-progress")
    assert stage.masked(session) == {CLEO: POOL[0], BEN: POOL[0]}
    assert len(stage.receiver.got("/intercept")) == 1
    assert [seen["from"] for seen in stage.phone(BEN)["messages"]] == [POOL[0]]


def test_auto_create_that_cannot_be_seated_is_dropped(stage: Stage) -> None:
    """Auto-create for a person without a number of their country leaves that code as an alert and no session."""
    body = json.dumps({"participantIdentifier": BRITISH_ANA})
    stage.receiver.answers["/out-of-session"] = (200, "application/json", body)
    service = stage.service(POOL[0], webhooks=True)
    assert stage.sms(CLEO, POOL[0], "hello?")["alerts"] == [80203]
    assert service.sessions.list() == []


def test_a_text_to_a_voice_only_session_is_out_of_session(stage: Stage) -> None:
    """A voice-only session connects calls; a text goes to the out-of-session URL with the open session named."""
    stage.receiver.answers["/out-of-session"] = twiml()
    stage.pair(stage.service(POOL[0], webhooks=True), mode="voice-only")
    assert stage.sms(ANA, POOL[0], "hello")["delivered"] is False
    assert stage.receiver.got("/out-of-session")[0].fields["sessionStatus"] == "open"
    assert stage.call(ANA, POOL[0])["connected"] is True


def test_a_session_with_one_person_connects_nobody(stage: Stage) -> None:
    """A session whose other participant was removed is treated as out of session, without an other party."""
    stage.receiver.answers["/out-of-session"] = twiml("<Say>Nobody is there.</Say>")
    session = stage.pair(stage.service(POOL[0], webhooks=True))
    next(person for person in session.participants.list() if person.identifier == BEN).delete()
    result = stage.call(ANA, POOL[0])
    assert (result["connected"], result["heard"]) == (False, ["Nobody is there."])
    assert not [name for name in stage.receiver.got("/out-of-session")[0].fields if name.startswith("outbound")]


def test_pressed_keys_go_to_the_gather_action(stage: Stage) -> None:
    """Keys pressed at a Gather are posted to its action, signed, and the call goes on with its answer."""
    stage.receiver.answers["/out-of-session"] = twiml(
        '<Gather action="/keys?step=1"><Say>Press 9 to be left alone.</Say></Gather><Say>No key.</Say>'
    )
    stage.receiver.answers["/keys"] = twiml("<Say>You will not be called again.</Say>")
    stage.service(POOL[0], webhooks=True)
    result = stage.call(CLEO, POOL[0], digits=["9"])
    assert result["heard"] == ["Press 9 to be left alone.", "You will not be called again."]
    [delivery] = stage.receiver.got("/keys")
    assert (delivery.fields["Digits"], delivery.url.endswith("/keys?step=1")) == ("9", True)
    assert delivery.signed_with(TOKEN)
    stage.receiver.answers["/keys"] = (500, XML, "")
    assert stage.call(CLEO, POOL[0], digits=["9"])["alerts"] == [11200]


@pytest.mark.parametrize("verb", ["Dial", "Enqueue", "Conference", "Message"])
def test_twiml_that_is_not_carried_out_is_named(stage: Stage, verb: str) -> None:
    """A verb outside the emulator's set ends the call and is named in the result."""
    stage.receiver.answers["/out-of-session"] = twiml("<Say>Hello.</Say>", f"<{verb}>x</{verb}>", "<Say>never</Say>")
    stage.service(POOL[0], webhooks=True)
    result = stage.call(CLEO, POOL[0])
    assert (result["heard"], result["unsupported"]) == (["Hello."], [verb])


def test_a_number_outside_every_pool_asks_its_own_webhook(stage: Stage) -> None:
    """A number that is in no pool answers by its SmsUrl and VoiceUrl, sees STOP there too, and blocks as well."""
    number = stage.client.incoming_phone_numbers(number_sid(POOL[2]))
    number.update(sms_url=f"{stage.receiver.url}/sms", voice_url=f"{stage.receiver.url}/voice")
    stage.receiver.answers["/sms"] = twiml("<Message>Thanks.</Message>")
    stage.receiver.answers["/voice"] = twiml("<Say>Hello.</Say>")
    assert stage.sms(ANA, POOL[2], "hi")["alerts"] == []
    assert stage.phone(ANA)["messages"][-1]["body"] == "Thanks."
    assert stage.call(ANA, POOL[2])["heard"] == ["Hello."]
    assert stage.sms(ANA, POOL[2], "STOP")["alerts"] == [21610]
    assert [delivery.fields["Body"] for delivery in stage.receiver.got("/sms")] == ["hi", "STOP"]
    stage.receiver.answers["/sms"] = (200, "text/plain", "Thanks.")
    assert stage.sms(ANA, POOL[2], "hi")["alerts"] == [12300]


def test_a_number_that_left_its_pool_connects_nobody(stage: Stage) -> None:
    """A removed number still points at Proxy, which no longer knows it: alert 80902 and no webhook."""
    service = stage.service(POOL[0], webhooks=True)
    service.phone_numbers(number_sid(POOL[0])).delete()
    assert stage.sms(ANA, POOL[0], "hello?")["alerts"] == [80902]
    assert stage.call(ANA, POOL[0])["alerts"] == [80902]
    assert stage.sim("GET", "webhooks") == {"webhooks": []}


def test_a_number_without_webhooks_is_silent(stage: Stage) -> None:
    """A text to a number without a SmsUrl is recorded and nothing follows."""
    result = stage.sms(ANA, POOL[2], "hi")
    assert (result["delivered"], result["alerts"]) == (False, [])
    assert stage.client.messages(result["message_sid"]).fetch().account_sid == ACCOUNT


@pytest.mark.parametrize(("body", "count"), [("", 1), ("a" * 160, 1), ("a" * 161, 2), ("é" * 70, 1), ("é" * 71, 2)])
def test_segments_follow_the_alphabet(body: str, count: int) -> None:
    """A text takes one segment up to 160 plain or 70 other characters."""
    assert payloads.segments(body) == count


def test_a_phone_that_saw_nothing_is_empty(stage: Stage) -> None:
    """A phone that nobody called or texted has no messages and no calls."""
    assert stage.phone("+12125550160") == {"number": "+12125550160", "messages": [], "calls": []}
