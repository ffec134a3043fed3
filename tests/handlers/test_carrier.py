"""Twilio's REST API as the functions use it: bounded, repeated only where that is safe, and silent about people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from parley import runtime
from parley.adapters.secrets import TwilioCredentials
from parley.adapters.twilio import TwilioCarrier
from parley.ports import CarrierError
from werkzeug.wrappers import Request, Response

from local.serving import Server
from tests.handlers.world import ACCOUNT, ANA, BEN, KEY, SECRET, World

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SERVICE = "KS" + "5" * 32
SESSION = "KC" + "7" * 32
NAME = "si_" + "0" * 32 + ".1"
Reply = tuple[int, Any]


class Scripted:
    """A Twilio that answers what the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.users: list[str] = []
        self.server = Server(self._answer, port=0, purpose="twilio")
        self.server.start()

    def _answer(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        self.asked.append((request.method, request.full_path.rstrip("?"), request.form.to_dict(flat=False)))
        self.users.append(request.authorization.username or "" if request.authorization else "")
        status, reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        text = reply if isinstance(reply, str) else json.dumps(reply)
        return Response(text, status, content_type="application/json")(environ, start_response)

    def carrier(self, credentials: Callable[[bool], TwilioCredentials] | None = None) -> TwilioCarrier:
        """Return a carrier that talks to this Twilio without waiting between attempts."""
        fixed = TwilioCredentials(KEY, SECRET, ("t",))
        return TwilioCarrier(credentials or (lambda _: fixed), ACCOUNT, self.server.url, 0.0, services=[SERVICE])

    def open(self) -> Any:
        """Open a session between Ana and Ben."""
        return self.carrier().open_session([ANA, BEN], unique_name=NAME, ttl=60, closes_at=NOW, mode="voice-only")


@pytest.fixture
def twilio_says() -> Iterator[Scripted]:
    """Give a Twilio that answers as the test says."""
    scripted = Scripted()
    yield scripted
    scripted.server.close()


class TestWithdrawing:
    """What ends a call and tells people."""

    def test_live_calls_are_those_that_are_not_over(self, twilio_says: Scripted) -> None:
        """Calls in any state but an end are named once by their inbound leg, page by page; texts are not."""
        states = ("ringing", "in-progress", "completed", "busy", "no-answer", "failed", "canceled", None)
        calls = [
            {"type": "voice", "inbound_resource_sid": f"CA{number}", "inbound_resource_status": state}
            for number, state in enumerate(states)
        ]
        text = {"type": "message", "inbound_resource_sid": "SM1", "inbound_resource_status": "received"}
        following = {"next_page_url": "https://elsewhere.example/x?Page=1"}
        twilio_says.replies = [
            (200, {"interactions": [text, *calls[:4]], "meta": following}),
            (200, {"interactions": calls[4:], "meta": {}}),
        ]
        assert twilio_says.carrier().live_calls(SESSION) == (["CA0", "CA1", "CA7"], True)

    @pytest.mark.parametrize(("status", "code"), [(404, 20404), (400, 21220)])
    def test_call_that_is_over_is_no_error(self, twilio_says: Scripted, status: int, code: int) -> None:
        """A call that Twilio no longer knows, or that has ended, is ended."""
        twilio_says.replies = [(status, {"code": code})]
        twilio_says.carrier().end_call("CA1")
        assert [form for _, _, form in twilio_says.asked] == [{"Status": ["completed"]}]

    def test_call_that_cannot_be_ended_is_an_error(self, twilio_says: Scripted) -> None:
        """Anything else is told."""
        twilio_says.replies = [(400, {"code": 20001})]
        with pytest.raises(CarrierError):
            twilio_says.carrier().end_call("CA1")

    @pytest.mark.parametrize(("sender", "field"), [("MG" + "1" * 32, "MessagingServiceSid"), ("+12125550142", "From")])
    def test_text_comes_from_a_number_or_a_service(self, twilio_says: Scripted, sender: str, field: str) -> None:
        """A Messaging Service and a number are named in the field that Twilio has for each."""
        twilio_says.replies = [(201, {"sid": "SM1"})]
        assert twilio_says.carrier().send(sender, ANA, "hello") == "SM1"
        assert twilio_says.asked[0][2] == {field: [sender], "To": [ANA], "Body": ["hello"]}

    @pytest.mark.parametrize("status", [500, 503])
    def test_text_is_never_sent_twice(self, twilio_says: Scripted, status: int) -> None:
        """What Twilio may have begun is not repeated, and its message, which may name somebody, is not kept."""
        twilio_says.replies = [(status, {"message": f"about {ANA}"})]
        with pytest.raises(CarrierError) as caught:
            twilio_says.carrier().send("+12125550142", ANA, "hello")
        assert (len(twilio_says.asked), ANA in str(caught.value)) == (1, False)

    @pytest.mark.parametrize("answer", [{}, {"participants": [{"sid": "KP1"}]}, {"participants": None}])
    def test_answer_of_another_form_is_an_error(self, twilio_says: Scripted, answer: dict[str, Any]) -> None:
        """Seats that are not of the documented form are an error that quotes nobody."""
        twilio_says.replies = [(200, answer)]
        with pytest.raises(CarrierError):
            twilio_says.carrier().seats(SESSION)


class TestRepeating:
    """What is tried again, and what is not."""

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_safe_calls_are_repeated(self, twilio_says: Scripted, status: int) -> None:
        """Closing and reading are tried again when Twilio is busy or broken."""
        twilio_says.replies = [(status, {}), (status, {}), (200, {})]
        twilio_says.carrier().close_session(SESSION)
        assert len(twilio_says.asked) == 3

    def test_repeating_ends(self, twilio_says: Scripted) -> None:
        """A Twilio that stays broken is given up after four attempts, with its status and code."""
        twilio_says.replies = [(503, {"code": 20503, "message": f"about {ANA}"})]
        with pytest.raises(CarrierError) as caught:
            twilio_says.carrier().message("SM1")
        assert len(twilio_says.asked) == 4
        assert (caught.value.status, caught.value.code, caught.value.unavailable) == (503, 20503, True)
        assert ANA not in str(caught.value)

    def test_opening_is_not_repeated_once_it_may_have_begun(self, twilio_says: Scripted) -> None:
        """A session that may have been opened is not opened again; one that was turned away for rate is."""
        twilio_says.replies = [(500, {})]
        with pytest.raises(CarrierError):
            twilio_says.open()
        assert len(twilio_says.asked) == 1
        twilio_says.replies = [(429, {}), (400, {"code": 80206})]
        with pytest.raises(CarrierError) as caught:
            twilio_says.open()
        assert len(twilio_says.asked) == 3
        assert (caught.value.code, caught.value.unavailable) == (80206, False)

    def test_urgent_closing_is_one_attempt(self, twilio_says: Scripted) -> None:
        """While a webhook waits, closing is tried once."""
        twilio_says.replies = [(500, {})]
        with pytest.raises(CarrierError):
            twilio_says.carrier().close_session(SESSION, urgent=True)
        assert len(twilio_says.asked) == 1

    def test_nobody_listens(self) -> None:
        """A Twilio that cannot be reached has no status, and the error names no address."""
        closed = Scripted()
        carrier = closed.carrier()
        closed.server.close()
        with pytest.raises(CarrierError) as caught:
            carrier.message("SM1")
        assert (caught.value.status, caught.value.unavailable) == (0, True)
        assert str(caught.value) == "fetch-message: status 0, code 0"

    def test_rotated_key_is_picked_up(self, twilio_says: Scripted) -> None:
        """When Twilio refuses the credentials they are fetched anew, once."""

        def credentials(renewed: bool) -> TwilioCredentials:
            return TwilioCredentials("new" if renewed else "old", SECRET, ("t",))

        twilio_says.replies = [(401, {"code": 20003}), (200, {})]
        twilio_says.carrier(credentials).close_session(SESSION)
        assert twilio_says.users == ["old", "new"]
        twilio_says.replies = [(401, {"code": 20003})]
        with pytest.raises(CarrierError) as caught:
            twilio_says.carrier(credentials).close_session(SESSION)
        assert caught.value.status == 401
        assert len(twilio_says.users) == 4


class TestSessions:
    """Opening and closing."""

    @pytest.mark.parametrize("reply", [(404, {"code": 20404}), (400, {"code": 80607}), (200, {}), (200, "")])
    def test_closed_is_closed(self, twilio_says: Scripted, reply: Reply) -> None:
        """Closing what is gone or closed already is no error."""
        twilio_says.replies = [reply]
        twilio_says.carrier().close_session(SESSION)
        method, path, form = twilio_says.asked[0]
        assert (method, form) == ("POST", {"Status": ["closed"]})
        assert path == f"/proxy.twilio.com/v1/Services/{SERVICE}/Sessions/{SESSION}"

    @pytest.mark.parametrize("reply", [(200, {"participants": []}), (200, {}), (200, "?"), (404, {})])
    def test_session_without_its_participants_is_closed(self, twilio_says: Scripted, reply: Reply) -> None:
        """A session whose participants cannot be read is closed again, and the error names nobody."""
        twilio_says.replies = [(201, {"sid": SESSION}), reply, (200, {})]
        with pytest.raises(CarrierError) as caught:
            twilio_says.open()
        assert twilio_says.asked[-1][2] == {"Status": ["closed"]}
        assert ANA not in repr(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_end_is_given_twice(self, twilio_says: Scripted) -> None:
        """Twilio is told the longest silence and the end itself, and each participant as a JSON object."""
        people = [{"identifier": who, "sid": f"KP{who}", "proxy_identifier": "+12125550140"} for who in (BEN, ANA)]
        twilio_says.replies = [(201, {"sid": SESSION}), (200, {"participants": people})]
        opened = twilio_says.open()
        assert [one.sid for one in opened.participants] == [f"KP{ANA}", f"KP{BEN}"]
        assert ANA not in repr(opened)
        form = twilio_says.asked[0][2]
        assert (form["Ttl"], form["DateExpiry"]) == (["60"], ["2026-05-04T12:00:00Z"])
        assert [json.loads(text) for text in form["Participants"]] == [{"Identifier": ANA}, {"Identifier": BEN}]


class TestEnd:
    """The end of a session: set, and asked for."""

    def test_end_is_set_twice(self, twilio_says: Scripted) -> None:
        """A renewed session gets the longest silence and the moment itself, as a new one does."""
        twilio_says.replies = [(200, {"status": "open"})]
        assert twilio_says.carrier().renew_session(SESSION, ttl=90, closes_at=NOW)
        assert twilio_says.asked[0][2] == {"Ttl": ["90"], "DateExpiry": ["2026-05-04T12:00:00Z"]}

    @pytest.mark.parametrize("reply", [(404, {"code": 20404}), (400, {"code": 80607})])
    def test_what_is_closed_is_not_renewed(self, twilio_says: Scripted, reply: Reply) -> None:
        """A session that is closed or gone is told as such, and any other refusal is an error."""
        twilio_says.replies = [reply]
        assert not twilio_says.carrier().renew_session(SESSION, ttl=90, closes_at=NOW)
        twilio_says.replies = [(400, {"code": 20001})]
        with pytest.raises(CarrierError, match="renew-session"):
            twilio_says.carrier().renew_session(SESSION, ttl=90, closes_at=NOW)

    @pytest.mark.parametrize(
        ("reply", "is_open"),
        [
            ((200, {"status": "open"}), True),
            ((200, {"status": "in-progress"}), True),
            ((200, {"status": "closed"}), False),
            ((200, {}), False),
            ((404, {}), False),
        ],
    )
    def test_tells_whether_it_connects(self, twilio_says: Scripted, reply: Reply, is_open: bool) -> None:
        """Only a session that Twilio says is open, or in progress, would connect anybody."""
        twilio_says.replies = [reply]
        assert twilio_says.carrier().is_open(SESSION) is is_open

    def test_doubt_is_an_error(self, twilio_says: Scripted) -> None:
        """A Twilio that does not say whether a session is open has not said that it is closed."""
        twilio_says.replies = [(503, {})]
        with pytest.raises(CarrierError, match="fetch-session"):
            twilio_says.carrier().is_open(SESSION)


class TestReading:
    """Messages and alerts."""

    def test_message_is_read(self, world: World) -> None:
        """A message of the emulator comes with its sender, text and time, and does not show them when printed."""
        outcome = world.text(ANA, "+12125550140", "STOP")
        message = runtime.carrier().message(outcome.sid)
        assert message is not None
        assert (message.sender, message.body, message.inbound) == (ANA, "STOP", True)
        assert message.sent_at is not None
        assert abs(message.sent_at.timestamp() - world.clock.now()) < 5
        assert ANA not in repr(message)
        assert runtime.carrier().message("SM" + "0" * 32) is None

    @pytest.mark.parametrize("raw", [{}, {"date_sent": "soon", "from": None}])
    def test_message_without_a_time(self, twilio_says: Scripted, raw: dict[str, Any]) -> None:
        """A message without a time that can be read has none."""
        twilio_says.replies = [(200, raw)]
        message = twilio_says.carrier().message("SM1")
        assert message is not None
        assert (message.sent_at, message.sender, message.inbound) == (None, "", False)

    def test_alerts_are_paged_and_sorted(self, twilio_says: Scripted) -> None:
        """Pages are followed to the end, other codes and broken entries left out, the oldest first."""

        def entry(number: int, code: str = "80901") -> dict[str, str]:
            return {
                "sid": f"NO{number}",
                "error_code": code,
                "resource_sid": f"SM{number}",
                "date_generated": (NOW + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }

        more = "https://evil.example/v1/Alerts?Page=1&PageToken=x"
        pages = [
            {"alerts": [entry(3), entry(2, "11200"), {"sid": "NO9"}], "meta": {"next_page_url": more}},
            {"alerts": [entry(1), entry(0)], "meta": {"next_page_url": None}},
        ]
        twilio_says.replies = [(200, page) for page in pages]
        alerts, complete = twilio_says.carrier().alerts(80901, NOW, NOW + timedelta(hours=1), 100)
        assert ([alert.sid for alert in alerts], complete) == (["NO0", "NO1", "NO3"], True)
        # The host of the next page is not taken over: the credentials go to Twilio only.
        assert twilio_says.asked[1][1] == "/monitor.twilio.com/v1/Alerts?Page=1&PageToken=x"
        assert "EndDate=2026-05-04T13%3A00%3A00Z" in twilio_says.asked[0][1]

    def test_long_list_is_cut(self, twilio_says: Scripted) -> None:
        """A list beyond the limit is cut and said to be."""
        entry = {"sid": "NO1", "error_code": "80901", "date_generated": "2026-05-04T12:00:00Z"}
        twilio_says.replies = [(200, {"alerts": [entry] * 3, "meta": {}})]
        alerts, complete = twilio_says.carrier().alerts(80901, NOW, None, 2)
        assert (len(alerts), complete) == (2, False)
