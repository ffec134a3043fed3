"""The way of the plugin's requests to Twilio: endpoint, pace, retries, and what the errors say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from infra.twilio import transport
from infra.twilio.client import Account, TwilioError, mask, without_numbers
from infra.twilio.transport import Clock, InterruptedWaitError, Pace
from tests.infra.twilio_stack import FakeClock

ACCOUNT = "AC" + "a" * 32
SERVICE = "KS" + "b" * 32
NUMBER = "PN" + "c" * 32
ENDPOINT = "http://127.0.0.1:9"


class Script(BaseAdapter):
    """Answers requests from a list: a status, (status, body), or an exception; remembers what was asked."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer the next of the list."""
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (answer, {})
        response = requests.Response()
        response.status_code = status
        response._content = json.dumps(body).encode()
        response.headers.update(body.get("headers", {}))
        response.request = request
        return response

    def close(self) -> None:
        """Nothing to close."""


def account(*answers: Any, endpoint: str | None = ENDPOINT) -> tuple[Account, Script, FakeClock]:
    """Make an account whose requests end in a script."""
    clock, script = FakeClock(), Script(*answers)
    made = Account(sid=ACCOUNT, api_key="SK" + "d" * 32, api_secret="hush", endpoint=endpoint, clock=clock)
    made._rest.http_client.session.mount("http://", script)
    made._rest.http_client.session.mount("https://", script)
    return made, script, clock


def service_body(**more: Any) -> dict[str, Any]:
    """Return a Proxy service as Twilio answers it."""
    return {
        "sid": SERVICE,
        "account_sid": ACCOUNT,
        "unique_name": "line",
        "default_ttl": 60,
        "url": "https://x",
        **more,
    }


def test_an_endpoint_takes_the_place_of_every_twilio_host() -> None:
    """With an endpoint, each request goes there, its product's host being the first segment of the path."""
    twilio, script, _ = account((200, service_body()), (204, {}))
    twilio.service(SERVICE)
    twilio.release(NUMBER)
    assert [request.url for request in script.asked] == [
        f"{ENDPOINT}/proxy.twilio.com/v1/Services/{SERVICE}",
        f"{ENDPOINT}/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers/{NUMBER}.json",
    ]


def test_without_an_endpoint_requests_go_to_twilio() -> None:
    """Without an endpoint the official hosts are asked, over HTTPS."""
    twilio, script, _ = account((200, service_body()), endpoint=None)
    twilio.service(SERVICE)
    assert script.asked[0].url == f"https://proxy.twilio.com/v1/Services/{SERVICE}"


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_read_is_repeated_after_a_failure_of_twilio(status: int) -> None:
    """A GET that Twilio could not answer is asked again after a pause."""
    twilio, script, clock = account(status, (200, service_body()))
    assert twilio.service(SERVICE) is not None
    assert len(script.asked) == 2
    assert clock.waits


def test_a_throttled_list_is_repeated_too() -> None:
    """A list refused by 429, for which the official package raises an exception without a status, is asked again."""
    page = {"phone_numbers": [], "meta": {"key": "phone_numbers", "next_page_url": None}}
    twilio, script, _ = account(429, 429, (200, page))
    assert twilio.pool(SERVICE) == []
    assert len(script.asked) == 3


def test_a_storm_of_429_ends_in_one_message() -> None:
    """Throttling that does not end is given up after a bounded time, with the way out."""
    refusal = (429, {"code": 20429, "message": "Too Many Requests", "status": 429})
    twilio, script, clock = account(*[refusal] * transport.ATTEMPTS_WHEN_THROTTLED)
    with pytest.raises(TwilioError, match=r"answered 429 \(code 20429\).*run `pulumi up` again"):
        twilio.pool(SERVICE)
    assert not script.answers
    assert sum(clock.waits) < 60


def test_what_creates_is_not_repeated_after_an_unknown_outcome() -> None:
    """A POST to a collection that ends in a 500 or a timeout may have had its effect, so it is sent once only."""
    for answer in (500, requests.ReadTimeout()):
        twilio, script, _ = account(answer, (200, service_body()))
        with pytest.raises(TwilioError) as raised:
            twilio.create_service({"unique_name": "line"})
        assert raised.value.lost
        assert len(script.asked) == 1


def test_what_creates_is_repeated_when_it_was_never_processed() -> None:
    """A POST that was throttled, or never left this machine, is safe to send again."""
    unsent = requests.ConnectTimeout()
    twilio, script, _ = account(429, unsent, (201, service_body()))
    assert twilio.create_service({"unique_name": "line"}).sid == SERVICE
    assert len(script.asked) == 3


def test_an_update_of_an_existing_object_is_repeated() -> None:
    """A POST to an object sets the same values twice at worst, so it is repeated after a 500."""
    twilio, script, _ = account(500, requests.ReadTimeout(), (200, service_body()))
    twilio.update_service(SERVICE, {"default_ttl": 60})
    assert len(script.asked) == 3


def test_a_pause_that_twilio_asks_for_is_kept() -> None:
    """The Retry-After of a 429 is waited for."""
    twilio, _, clock = account((429, {"headers": {"Retry-After": "7"}}), (200, service_body()))
    twilio.service(SERVICE)
    assert sum(clock.waits) == pytest.approx(7)


def test_the_pace_allows_a_burst_and_then_the_sustained_rate() -> None:
    """A burst of 150 requests goes out at once, and any window of five seconds holds no more than 150."""
    clock = FakeClock()
    pace = Pace(clock)
    times = []
    for _ in range(450):
        pace.take_turn("key")
        times.append(clock.now())
    assert times[149] == times[0]
    assert all(later - earlier >= 5 for earlier, later in zip(times, times[150:], strict=False))
    assert times[-1] - times[0] < 11


def test_the_pace_of_one_service_does_not_slow_another() -> None:
    """Twilio counts per service, and so does the pace."""
    clock = FakeClock()
    pace = Pace(clock)
    for _ in range(150):
        pace.take_turn("a")
    pace.take_turn("b")
    assert clock.waits == []


def test_cancelling_ends_a_wait() -> None:
    """Once the engine cancelled, nothing waits for Twilio any more."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedWaitError, match="run `pulumi up` again"):
        Clock(stop).wait(3600)


def test_a_twilio_that_is_not_there_is_said_so() -> None:
    """A local endpoint that nobody listens on ends in one sentence with the way out."""
    twilio, _, _ = account(*[requests.ConnectionError("NewConnectionError")] * 3)
    with pytest.raises(TwilioError, match=r"cannot be reached; start the local cloud with `parley local up`"):
        twilio.service(SERVICE)


def _create(twilio: Account) -> Any:
    return twilio.create_service({"unique_name": "line"})


def _pool(twilio: Account) -> Any:
    return twilio.pool(SERVICE)


@pytest.mark.parametrize("call", [_create, _pool])
@pytest.mark.parametrize(
    ("status", "code", "says"),
    [(401, 20003, "parley:twilioApiSecret"), (403, 20008, "parley:masking: direct")],
)
def test_refusals_name_the_way_out(call: Callable[[Account], Any], status: int, code: int, says: str) -> None:
    """A revoked key and an account without Proxy are told with what to do about them, lists included."""
    twilio, _, _ = account((status, {"code": code, "message": "No", "status": status}))
    with pytest.raises(TwilioError) as raised:
        call(twilio)
    assert says in str(raised.value)


def test_no_message_shows_a_phone_number() -> None:
    """What Twilio writes about a number reaches the user with the number masked; SIDs stay."""
    refusal = (400, {"code": 21421, "message": f"+12125550111 (2125550111) of {NUMBER} is bad", "status": 400})
    twilio, _, _ = account(refusal)
    with pytest.raises(TwilioError) as raised:
        twilio.buy("+12125550111", friendly_name="x")
    assert "2125550111" not in str(raised.value)
    assert NUMBER in str(raised.value)
    assert mask("+12125550111") == "+12…11"
    assert without_numbers(f"call +447700900123 {SERVICE}") == f"call +44…23 {SERVICE}"


def test_a_bought_number_is_looked_up_after_a_lost_answer() -> None:
    """When the answer to a purchase is lost, the number is found in the account instead of being bought twice."""
    owned = {"incoming_phone_numbers": [{"sid": NUMBER, "phone_number": "+12125550111"}], "next_page_uri": None}
    twilio, script, _ = account(500, (200, owned))
    assert twilio.buy("+12125550111", friendly_name="x").sid == NUMBER
    assert [request.method for request in script.asked] == ["POST", "GET"]


def test_a_number_added_twice_is_added_once() -> None:
    """When the answer to an addition is lost, the pool is asked before the number is sent again."""
    there = {"sid": NUMBER, "iso_country": "US", "capabilities": {"sms": True}, "is_reserved": False, "in_use": 0}
    twilio, script, _ = account(requests.ReadTimeout(), (200, there))
    assert twilio.add(SERVICE, NUMBER, reserved=False).sid == NUMBER
    assert [request.method for request in script.asked] == ["POST", "GET"]


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The official package's own request log, which would hold phone numbers, stays silent."""
    caplog.set_level("DEBUG")
    twilio, _, _ = account((200, {"incoming_phone_numbers": [], "next_page_uri": None}))
    list(twilio.owned_numbers(phone_number="+12125550111"))
    assert "2125550111" not in caplog.text
