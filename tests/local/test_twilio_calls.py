"""Calls outside of Proxy at the emulator: recorded words, conferences, and calls that REST makes and redirects."""

from __future__ import annotations

from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]

from local.twilio.numbers import number_sid
from tests.local.test_twilio_traffic import twiml
from tests.local.twilio_stage import ANA, BEN, CLEO, POOL, TOKEN, Stage

OURS = POOL[2]


@pytest.fixture
def answering(stage: Stage) -> Stage:
    """Give a stage one of whose numbers asks `/voice`."""
    stage.client.incoming_phone_numbers(number_sid(OURS)).update(voice_url=f"{stage.receiver.url}/voice")
    return stage


def place(stage: Stage, to: str, **more: Any) -> Any:
    """Call a phone by REST."""
    return stage.client.calls.create(to=to, from_=OURS, url=f"{stage.receiver.url}/hello", **more)


class TestRecord:
    """What somebody says after the tone."""

    def test_words_are_kept_and_the_action_is_told(self, answering: Stage) -> None:
        """What the caller says becomes a recording of the call, whose SID and length the action is told."""
        answering.receiver.answers["/voice"] = twiml('<Say>Speak.</Say><Record action="/done" maxLength="20"/>')
        answering.receiver.answers["/done"] = twiml("<Say>Thanks.</Say>")
        result = answering.call(ANA, OURS, duration=60, digits=["#"])
        assert result["heard"] == ["Speak.", "Thanks."]
        [told] = answering.receiver.got("/done")
        assert (told.fields["RecordingDuration"], told.fields["Digits"]) == ("20", "#")
        assert told.signed_with(TOKEN)
        record = answering.client.recordings(told.fields["RecordingSid"]).fetch()
        assert (record.call_sid, record.duration, record.source) == (result["call_sid"], "20", "RecordVerb")

    def test_silence_goes_on(self, answering: Stage) -> None:
        """Who says nothing goes on with the next verb, and nothing is recorded."""
        answering.receiver.answers["/voice"] = twiml('<Record action="/done"/><Say>Nothing heard.</Say>')
        assert answering.call(ANA, OURS, duration=0)["heard"] == ["Nothing heard."]
        assert answering.client.recordings.list() == []

    def test_hanging_up_ends_it(self, answering: Stage) -> None:
        """Who hangs up while recording is recorded, and the action is told so."""
        answering.receiver.answers["/voice"] = twiml('<Record action="/done"/>')
        answering.receiver.answers["/done"] = twiml("<Say>never heard</Say>")
        assert answering.call(ANA, OURS, duration=5, digits=["hang-up"])["heard"] == []
        assert [each.fields["Digits"] for each in answering.receiver.got("/done")] == ["hangup"]


class TestPlaced:
    """Calls that REST makes."""

    def test_phone_hears_the_document(self, stage: Stage) -> None:
        """The phone rings from the number, hears the document, and each asked state is told."""
        stage.receiver.answers["/hello"] = twiml("<Say>Hello.</Say>")
        events = ["initiated", "ringing", "answered", "completed"]
        call = place(stage, ANA, status_callback=f"{stage.receiver.url}/states", status_callback_event=events)
        assert (call.status, call.direction) == ("queued", "outbound-api")
        stage.emulator.webhooks.drain()
        [seen] = stage.phone(ANA)["calls"]
        assert (seen["from"], seen["heard"], seen["status"]) == (OURS, ["Hello."], "completed")
        states = [each.fields["CallStatus"] for each in stage.receiver.got("/states")]
        assert states == ["initiated", "ringing", "in-progress", "completed"]

    @pytest.mark.parametrize(
        ("changes", "code"), [({"from_": ANA}, 21210), ({"to": "112"}, 21211), ({"url": None, "twiml": "<x/>"}, 21205)]
    )
    def test_refused(self, stage: Stage, changes: dict[str, Any], code: int) -> None:
        """A number that is not the account's, one that is none, and a call without a document have Twilio's codes."""
        fields = {"to": ANA, "from_": OURS, "url": f"{stage.receiver.url}/hello"} | changes
        with pytest.raises(TwilioRestException) as caught:
            stage.client.calls.create(**{name: value for name, value in fields.items() if value is not None})
        assert caught.value.code == code


class TestConference:
    """Conferences: who is in them, how they begin and end."""

    WAIT = (
        '<Dial action="/after"><Conference startConferenceOnEnter="false" endConferenceOnExit="true"'
        ' statusCallback="{url}/joined" statusCallbackEvent="join">room</Conference></Dial>'
    )

    def begin(self, stage: Stage, *people: str, **more: Any) -> dict[str, Any]:
        """Let Ana wait in a conference from which others are called when she is there."""
        stage.receiver.answers["/voice"] = twiml(self.WAIT.format(url=stage.receiver.url))
        stage.receiver.answers["/hello"] = twiml("<Say>Join.</Say>", "<Dial><Conference>room</Conference></Dial>")

        def call_them(_: Any) -> tuple[int, str, str]:
            if len(stage.receiver.got("/joined")) == 1:
                for person in people:
                    place(stage, person)
            return 204, "", ""

        stage.receiver.answers["/joined"] = call_them
        return stage.call(ANA, OURS, **more)

    def test_everybody_is_in_it_until_the_host_leaves(self, answering: Stage) -> None:
        """Those who are called join the one who waits, and are out with them."""
        result = self.begin(answering, BEN, CLEO, hold=True)
        assert (result["connected"], result["callee_heard"]) == (True, ["Join.", "Join."])
        assert {call.status for call in answering.client.calls.list()} == {"in-progress"}
        told = [each.fields["StatusCallbackEvent"] for each in answering.receiver.got("/joined")]
        assert told == ["participant-join"] * 3
        answering.sim("POST", "hangup", {"call_sid": result["call_sid"]})
        assert {call.status for call in answering.client.calls.list()} == {"completed"}

    def test_guest_leaves_alone(self, answering: Stage) -> None:
        """Whoever is no host leaves the others where they are."""
        self.begin(answering, BEN, CLEO, hold=True)
        [leg] = answering.client.calls.list(to=BEN)
        answering.sim("POST", "hangup", {"call_sid": leg.sid})
        assert sorted(call.status for call in answering.client.calls.list()) == [
            "completed",
            "in-progress",
            "in-progress",
        ]

    def test_phones_answer_as_the_script_says(self, answering: Stage) -> None:
        """Each phone may do otherwise than the others."""
        result = self.begin(answering, BEN, CLEO, hold=True, phones={CLEO: {"answer": "busy"}})
        assert result["connected"]
        assert [call.status for call in answering.client.calls.list(to=CLEO)] == ["busy"]

    def test_redirected(self, answering: Stage) -> None:
        """A call that is held goes on with the document that REST gives it, and leaves its conference."""
        result = self.begin(answering, BEN, hold=True)
        answering.receiver.answers["/next"] = twiml("<Say>Goodbye.</Say>")
        answering.client.calls(result["call_sid"]).update(url=f"{answering.receiver.url}/next", method="POST")
        answering.emulator.webhooks.drain()
        assert answering.phone(ANA)["calls"][-1]["heard"] == ["Goodbye."]
        assert answering.client.calls(result["call_sid"]).fetch().status == "completed"

    def test_call_that_is_over_is_not_redirected(self, answering: Stage) -> None:
        """Twilio's code for a call that is not in progress."""
        answering.receiver.answers["/voice"] = twiml("<Say>Hello.</Say>")
        sid = answering.call(ANA, OURS)["call_sid"]
        with pytest.raises(TwilioRestException) as caught:
            answering.client.calls(sid).update(url=f"{answering.receiver.url}/next")
        assert caught.value.code == 21220
