"""Credentials, numbers, messages, calls, alerts, pages, limits, REST faults and the snapshot of the emulator."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import requests
from twilio.base.exceptions import TwilioException, TwilioRestException  # type: ignore[import-untyped]

from local.clock import Clock
from local.twilio import Emulator, SnapshotError
from local.twilio.errors import TwilioError
from local.twilio.limits import RateLimit
from local.twilio.numbers import OWNED_FROM_THE_START, number_sid
from local.twilio.webhooks import DeliveryError, http_post
from tests.local.twilio_stage import ACCOUNT, ANA, BEN, KEY, POOL, SECRET, TOKEN, Stage, refused

# Credentials --------------------------------------------------------------------------------------------------


def test_both_kinds_of_credentials_log_in(stage: Stage) -> None:
    """The account's SID with its auth token and an API key with its secret reach the same account."""
    for client in (stage.connect(ACCOUNT, TOKEN), stage.client):
        assert client.api.v2010.accounts(ACCOUNT).fetch().sid == ACCOUNT
        assert client.proxy.v1.services.list() == []


@pytest.mark.parametrize(
    ("username", "password"),
    [(ACCOUNT, "wrong"), (KEY, "wrong"), (ACCOUNT, SECRET), ("AC" + "9" * 32, TOKEN), ("", "")],
)
def test_wrong_credentials_are_401(stage: Stage, username: str, password: str) -> None:
    """Every wrong pair is 401 with code 20003, and with Twilio's error body."""
    answer = requests.get(
        f"{stage.server.url}/proxy.twilio.com/v1/Services", auth=(username, password) if username else None, timeout=10
    )
    assert answer.status_code == 401
    assert answer.json() == {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }


def test_an_account_reaches_only_itself_and_its_subaccounts(stage: Stage) -> None:
    """A subaccount sees neither its owner's numbers nor Services; the owner sees the subaccount's numbers."""
    stage.service()
    sub = stage.client.api.v2010.accounts.create(friendly_name="sub")
    child = stage.connect(sub.sid, sub.auth_token)
    assert child.proxy.v1.services.list() == []
    assert child.incoming_phone_numbers.list() == []
    with pytest.raises(TwilioException):
        child.api.v2010.accounts(ACCOUNT).incoming_phone_numbers.list()
    with refused(20003, 401):
        child.api.v2010.accounts(ACCOUNT).fetch()
    assert stage.client.api.v2010.accounts(sub.sid).incoming_phone_numbers.list() == []
    assert {account.sid for account in stage.client.api.v2010.accounts.list()} == {ACCOUNT, sub.sid}


def test_auth_token_rotation(stage: Stage) -> None:
    """A secondary token logs in beside the primary; promoted it is the only one, and the old one is refused."""
    primary = stage.connect(ACCOUNT, TOKEN)
    made = primary.accounts.v1.secondary_auth_token().create()
    secondary = stage.connect(ACCOUNT, made.secondary_auth_token)
    assert secondary.proxy.v1.services.list() == []
    assert secondary.accounts.v1.auth_token_promotion().update().auth_token == made.secondary_auth_token
    with refused(20003, 401):
        primary.api.v2010.accounts(ACCOUNT).fetch()
    assert secondary.api.v2010.accounts(ACCOUNT).fetch().auth_token == made.secondary_auth_token


def test_a_secondary_token_can_be_taken_back(stage: Stage) -> None:
    """A deleted secondary token is refused, and there is nothing to delete or promote any more."""
    made = stage.client.accounts.v1.secondary_auth_token().create()
    assert stage.client.accounts.v1.secondary_auth_token().delete() is True
    with refused(20003, 401):
        stage.connect(ACCOUNT, made.secondary_auth_token).api.v2010.accounts(ACCOUNT).fetch()
    with refused(20404, 404):
        stage.client.accounts.v1.auth_token_promotion().update()


def test_the_host_header_routes_too(stage: Stage) -> None:
    """A request with the product's Host header needs no host in its path; an edge in the name changes nothing."""
    for host in ("proxy.twilio.com", "proxy.dublin.ie1.twilio.com"):
        answer = requests.get(f"{stage.server.url}/v1/Services", headers={"Host": host}, auth=(KEY, SECRET), timeout=10)
        assert answer.json()["services"] == []


def test_what_is_not_there_is_404_or_405(stage: Stage) -> None:
    """An unknown path is 404 with code 20404, a wrong method 405 with 20004."""
    for url in ("https://proxy.twilio.com/v1/Nothing", "https://chat.twilio.com/v2/Services"):
        assert json.loads(stage.client.request("GET", url).text)["code"] == 20404
    answer = stage.client.request("DELETE", "https://proxy.twilio.com/v1/Services")
    assert (answer.status_code, json.loads(answer.text)["code"]) == (405, 20004)


def test_no_account_default_records_calls(stage: Stage) -> None:
    """The account-wide recording default is absent: 404."""
    answer = stage.client.request("GET", "https://voice.twilio.com/v2/AccountDefaultConfiguration/Recording")
    assert (answer.status_code, json.loads(answer.text)["code"]) == (404, 20404)


# Numbers ------------------------------------------------------------------------------------------------------


def test_the_account_owns_numbers_from_the_start(stage: Stage) -> None:
    """The six numbers of the local cloud are there, and their SIDs follow from the numbers."""
    numbers = stage.client.incoming_phone_numbers.list()
    assert {(number.phone_number, number.sid) for number in numbers} == {
        (number, number_sid(number)) for number, _ in OWNED_FROM_THE_START
    }
    assert numbers[0].capabilities == {"voice": True, "sms": True, "mms": True, "fax": False}
    assert isinstance(numbers[0].date_created, datetime)


def test_numbers_are_found_by_part_and_name(stage: Stage) -> None:
    """The list takes a part of a number with * for a digit, and an exact friendly name."""
    find = stage.client.incoming_phone_numbers.list
    assert len(find(phone_number="+1212555014*")) == 3
    assert [number.phone_number for number in find(phone_number=POOL[1])] == [POOL[1]]
    stage.client.incoming_phone_numbers(number_sid(POOL[2])).update(friendly_name="desk")
    assert [number.phone_number for number in find(friendly_name="desk")] == [POOL[2]]


def test_a_number_is_searched_bought_changed_and_released(stage: Stage) -> None:
    """A number from a search can be bought and changed; after its release it is for sale again."""
    search = stage.client.available_phone_numbers("US").local.list
    offer = search(area_code=415, sms_enabled=True, limit=1)[0]
    assert (offer.phone_number, offer.iso_country) == ("+14155550100", "US")
    bought = stage.client.incoming_phone_numbers.create(phone_number=offer.phone_number, friendly_name="new")
    assert (bought.sid, bought.friendly_name, bought.sms_url) == (number_sid(offer.phone_number), "new", "")
    assert bought.update(sms_url="https://example.org/sms").fetch().sms_url == "https://example.org/sms"
    assert offer.phone_number not in {left.phone_number for left in search(area_code=415)}
    with refused(21422):
        stage.client.incoming_phone_numbers.create(phone_number=offer.phone_number)
    assert bought.delete() is True
    with refused(20404, 404):
        bought.fetch()
    assert search(area_code=415, limit=1)[0].phone_number == offer.phone_number


def test_a_number_is_bought_by_area_code(stage: Stage) -> None:
    """Buying by area code gives a number of that area, or 21452 where there is none."""
    assert stage.client.incoming_phone_numbers.create(area_code="617").phone_number == "+16175550100"
    with refused(21452):
        stage.client.incoming_phone_numbers.create(area_code="999")


def test_searches_narrow_by_pattern_kind_and_capability(stage: Stage) -> None:
    """Contains, the kind of number and the capabilities narrow a search; a place without stock gives none."""
    american, british = (stage.client.available_phone_numbers(country) for country in ("US", "GB"))
    assert [offer.phone_number for offer in american.local.list(contains="2065550**7", limit=1)] == ["+12065550107"]
    assert american.toll_free.list(limit=1)[0].phone_number == "+18005550100"
    assert british.local.list(sms_enabled=True) == []
    assert british.mobile.list(sms_enabled=True, limit=1)[0].phone_number == "+447700900000"
    assert british.mobile.list(exclude_all_address_required=True) == []
    assert stage.client.available_phone_numbers("FR").local.list() == []
    assert stage.client.available_phone_numbers("CA").local.list(area_code=416, limit=1)[0].iso_country == "CA"


def test_some_countries_want_an_address(stage: Stage) -> None:
    """A British number is refused with 21631 without an address and sold with one."""
    with refused(21631):
        stage.client.incoming_phone_numbers.create(phone_number="+447700900001")
    bought = stage.client.incoming_phone_numbers.create(phone_number="+447700900001", address_sid="AD" + "0" * 32)
    assert bought.address_sid == "AD" + "0" * 32


@pytest.mark.parametrize(("number", "code"), [("2125550150", 21421), ("+12125551234", 21422)])
def test_what_is_not_for_sale_is_refused(stage: Stage, number: str, code: int) -> None:
    """A malformed number is 21421, one that nobody sells 21422."""
    with refused(code):
        stage.client.incoming_phone_numbers.create(phone_number=number)


def test_a_released_number_leaves_its_pool(stage: Stage) -> None:
    """Releasing a number takes it out of its Proxy Service."""
    service = stage.service(POOL[0])
    stage.client.incoming_phone_numbers(number_sid(POOL[0])).delete()
    assert service.phone_numbers.list() == []


# Messages -----------------------------------------------------------------------------------------------------


def test_a_message_is_sent_listed_redacted_and_deleted(stage: Stage) -> None:
    """A sent message is on the phone; it can be redacted at once and deleted after a minute, once."""
    sent = stage.client.messages.create(from_=POOL[0], to=ANA, body="hello")
    assert (sent.status, sent.num_media, sent.num_segments) == ("queued", "0", "1")
    assert [seen["body"] for seen in stage.phone(ANA)["messages"]] == ["hello"]
    message = stage.client.messages(sent.sid)
    assert message.fetch().status == "delivered"
    assert message.update(body="").body == ""
    with refused(20001):
        message.update(body="something else")
    with refused(20009, 409):
        message.delete()
    stage.sim("POST", "clock", {"advance": 61})
    assert message.delete() is True
    with refused(20404, 404):
        message.delete()


def test_messages_are_listed_by_people_and_day(stage: Stage) -> None:
    """The list narrows by From, To and by DateSent as a day, before and after."""
    for to in (ANA, BEN):
        stage.client.messages.create(from_=POOL[0], to=to, body="hello")
    find = stage.client.messages.list
    today = find()[0].date_created
    assert [message.to for message in find(to=ANA)] == [ANA]
    assert [message.to for message in find(from_=POOL[0])] == [BEN, ANA]
    assert find(from_=POOL[1]) == []
    assert len(find(date_sent=today.date())) == 2
    assert find(date_sent_before=today - timedelta(hours=1)) == []
    assert len(find(date_sent_after=today - timedelta(hours=1))) == 2
    assert find(date_sent=(today + timedelta(days=1)).date()) == []


def test_media_go_with_their_message(stage: Stage) -> None:
    """An inbound picture is listed and can be deleted alone; deleting the message deletes the rest."""
    texted = stage.sms(ANA, POOL[0], "look", media=["https://example.org/a.png", "https://example.org/b.jpg"])
    message = stage.client.messages(texted["message_sid"])
    assert message.fetch().num_media == "2"
    first, second = message.media.list()
    assert (first.content_type, second.content_type) == ("image/png", "image/jpeg")
    assert message.media(first.sid).delete() is True
    with refused(20404, 404):
        message.media(first.sid).fetch()
    stage.sim("POST", "clock", {"advance": 61})
    message.delete()
    with refused(20404, 404):
        message.media(second.sid).fetch()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"from_": "+12125550199", "to": ANA, "body": "x"}, 21606),
        ({"from_": POOL[0], "to": "12", "body": "x"}, 21211),
        ({"from_": POOL[0], "to": ANA}, 21602),
        ({"from_": POOL[0], "to": ANA, "body": "x" * 1601}, 21617),
    ],
)
def test_bad_messages_are_refused(stage: Stage, fields: dict[str, str], code: int) -> None:
    """A foreign sender, a bad recipient, no body and too long a body each have their code."""
    with refused(code):
        stage.client.messages.create(**fields)


def test_calls_are_listed_and_deleted_when_final(stage: Stage) -> None:
    """A finished call has both legs with their length as text, and can be deleted a minute after its end."""
    service = stage.service(POOL[0])
    stage.pair(service)
    called = stage.call(ANA, POOL[0], duration=42)
    parent = stage.client.calls(called["call_sid"]).fetch()
    assert (parent.status, parent.duration, parent.direction) == ("completed", "42", "inbound")
    child = stage.client.calls.list(parent_call_sid=parent.sid)[0]
    assert (child.sid, child._from, child.to) == (called["outbound_call_sid"], POOL[0], BEN)
    assert [call.sid for call in stage.client.calls.list(status="completed", to=BEN)] == [child.sid]
    later = datetime.fromtimestamp(stage.clock.now(), UTC) + timedelta(days=2)
    assert stage.client.calls.list(start_time_after=later) == []
    with refused(20009, 409):
        stage.client.calls(child.sid).delete()
    stage.sim("POST", "clock", {"advance": 42 + 61})
    assert stage.client.calls(child.sid).delete() is True
    with refused(20404, 404):
        stage.client.calls(child.sid).fetch()


# Alerts and pages ---------------------------------------------------------------------------------------------


def test_alerts_are_listed_by_level_and_time_and_fetched(stage: Stage) -> None:
    """A swallowed STOP leaves a warning that names its message; the list narrows by level and time."""
    service = stage.service(POOL[0])
    stopped = stage.sms(ANA, POOL[0], "STOP")
    find = stage.client.monitor.v1.alerts.list
    alert = find(log_level="warning")[0]
    assert (alert.error_code, alert.resource_sid, alert.service_sid) == ("80901", stopped["message_sid"], service.sid)
    assert find(log_level="error") == []
    now = datetime.fromtimestamp(stage.clock.now(), UTC)
    assert find(start_date=now + timedelta(hours=1)) == []
    assert find(end_date=now - timedelta(hours=1)) == []
    assert len(find(start_date=now - timedelta(hours=1), end_date=now + timedelta(hours=1))) == 1
    assert alert.fetch().more_info == "https://www.twilio.com/docs/errors/80901"
    with refused(20404, 404):
        stage.client.monitor.v1.alerts("NO" + "0" * 32).fetch()
    with pytest.raises(TwilioException):
        find(log_level="loud")


def test_old_style_pages_follow_each_other(stage: Stage) -> None:
    """Pages of v2010 lists hold every record once, with relative addresses that keep the filters."""
    for _ in range(5):
        stage.client.messages.create(from_=POOL[0], to=ANA, body="hello")
    stage.client.messages.create(from_=POOL[0], to=BEN, body="hello")
    assert len(stage.client.messages.list(to=ANA, page_size=2)) == 5
    answer = stage.client.request(
        "GET", f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json?PageSize=2&Page=1&To=%2B12125550111"
    )
    page = json.loads(answer.text)
    assert (page["page"], page["start"], page["end"], page["page_size"]) == (1, 2, 3, 2)
    assert page["next_page_uri"].startswith(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=%2B12125550111&")
    assert page["previous_page_uri"] == page["first_page_uri"]


@pytest.mark.parametrize("query", ["PageSize=0", "PageSize=many", "PageToken=PAxyz"])
def test_bad_pages_are_refused(stage: Stage, query: str) -> None:
    """A page size or token that is none is 400 with code 20001."""
    answer = stage.client.request("GET", f"https://proxy.twilio.com/v1/Services?{query}")
    assert (answer.status_code, json.loads(answer.text)["code"]) == (400, 20001)


# Limits and faults --------------------------------------------------------------------------------------------


def test_the_rate_limit_is_a_sliding_window() -> None:
    """150 requests pass at once, the next one not, and room comes back as the first ones grow 5 seconds old."""
    time = [100.0]
    limit = RateLimit(monotonic=lambda: time[0])
    assert [limit.admit("KS1", "POST") for _ in range(151)] == [True] * 150 + [False]
    assert limit.admit("KS2", "POST")
    time[0] += 4.9
    assert not limit.admit("KS1", "POST")
    time[0] += 0.2
    assert limit.admit("KS1", "POST")


def test_too_many_requests_are_429_for_that_endpoint_only(stage: Stage) -> None:
    """Past the limit an endpoint of one Service answers 429 with 20429; others and other Services go on."""
    service, other = stage.service(), stage.client.proxy.v1.services.create(unique_name="other")
    stage.sim("POST", "limits", {"requests_per_second": 0.2})
    service.fetch()
    with refused(20429, 429):
        service.fetch()
    assert service.sessions.list() == []
    other.fetch()


def test_a_throttled_list_raises_the_bare_exception(stage: Stage) -> None:
    """On a list the official client turns 429 into a TwilioException without a status, as in production."""
    stage.sim("POST", "faults", {"on": "rest", "mode": "throttle", "match": "GET proxy", "times": 1})
    with pytest.raises(TwilioException) as caught:
        stage.client.proxy.v1.services.list()
    assert not isinstance(caught.value, TwilioRestException)
    assert stage.client.proxy.v1.services.list() == []


def test_a_rest_error_strikes_where_and_as_often_as_ordered(stage: Stage) -> None:
    """An ordered error lets `after` calls pass, strikes `times` times, and does nothing to the state."""
    service = stage.service()
    order = {"on": "rest", "mode": "error", "status": 503, "match": "POST .*/Sessions$", "times": 2, "after": 1}
    stage.sim("POST", "faults", order)
    service.sessions.create()
    for _ in range(2):
        with refused(20500, 503):
            service.sessions.create()
    service.sessions.create()
    assert len(service.sessions.list()) == 2


def test_a_lost_answer_leaves_the_work_done(stage: Stage) -> None:
    """With a lost answer the session exists, whether the client saw a broken connection or a 502."""
    service = stage.service()
    stage.sim("POST", "faults", {"on": "rest", "mode": "lost-answer", "match": "/Sessions$", "times": 1})
    with pytest.raises(requests.ConnectionError):
        service.sessions.create(unique_name="one")
    stage.sim("POST", "faults", {"on": "rest", "mode": "lost-answer", "match": "/Sessions$", "times": 1, "status": 502})
    with refused(20500, 502):
        service.sessions.create(unique_name="two")
    assert {session.unique_name for session in service.sessions.list()} == {"one", "two"}


def test_a_slow_answer_moves_the_clock(stage: Stage) -> None:
    """A slow answer takes its seconds on the movable clock, so a session may expire meanwhile."""
    service = stage.service(POOL[0])
    session = service.sessions(stage.pair(service, ttl=10).sid)
    stage.sim("POST", "faults", {"on": "rest", "mode": "slow", "seconds": 20, "times": 1})
    assert session.fetch().status == "closed"


@pytest.mark.parametrize(
    "order",
    [
        {"on": "mail", "mode": "error"},
        {"on": "rest", "mode": "timeout"},
        {"on": "rest", "mode": "error", "match": "("},
        {"on": "rest", "mode": "error", "times": 0},
        {"on": "rest", "mode": "error", "code": 1},
        {"on": "rest", "mode": "slow", "seconds": -1},
        {"on": "rest", "mode": "error", "whom": "me"},
    ],
)
def test_a_bad_fault_is_refused_with_the_way_out(stage: Stage, order: dict[str, object]) -> None:
    """A fault that cannot be carried out is 400 with a sentence, and nothing is in force."""
    with pytest.raises(HTTPError) as caught:
        stage.sim("POST", "faults", order)
    with caught.value as answer:
        assert answer.status == 400
        assert "`" in (text := json.load(answer)["error"]) or "unknown keys" in text
    assert stage.sim("GET", "faults") == {"faults": []}


def test_faults_are_lifted(stage: Stage) -> None:
    """After DELETE no fault strikes any more."""
    stage.sim("POST", "faults", {"on": "rest", "mode": "error"})
    assert len(stage.sim("GET", "faults")["faults"]) == 1
    stage.sim("DELETE", "faults")
    assert stage.client.proxy.v1.services.list() == []


# Snapshot and surface -----------------------------------------------------------------------------------------


def test_a_snapshot_carries_everything_on(stage: Stage) -> None:
    """An emulator restored from a snapshot has the same account, sessions, pairs, blocks and phones."""
    service = stage.service(POOL[0])
    session = stage.pair(service)
    stage.sms(ANA, POOL[0], "hello")
    stage.sms(BEN, POOL[0], "STOP")
    primary = stage.client.accounts.v1
    made = primary.secondary_auth_token().create()
    primary.auth_token_promotion().update()
    snapshot = stage.emulator.snapshot()
    phone = stage.phone(BEN)
    stage.reset()
    stage.emulator.restore(snapshot)
    assert stage.emulator.snapshot() == snapshot
    assert stage.phone(BEN) == phone
    assert stage.masked(service.sessions(session.sid).fetch()) == {ANA: POOL[0], BEN: POOL[0]}
    with refused(80206):
        stage.pair(service, ANA, "+12125550114")
    assert stage.sms(ANA, POOL[0], "again")["alerts"] == [21610]
    assert stage.connect(ACCOUNT, made.secondary_auth_token).proxy.v1.services.list()[0].sid == service.sid


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"\x80", b'{"format": 99}'])
def test_a_damaged_snapshot_changes_nothing(stage: Stage, damage: bytes) -> None:
    """What is no snapshot is refused with SnapshotError, and the emulator goes on as it was."""
    service = stage.service()
    with pytest.raises(SnapshotError):
        stage.emulator.restore(damage)
    assert service.fetch().unique_name == "line"


def test_a_snapshot_of_another_account_is_refused(stage: Stage) -> None:
    """A snapshot belongs to one account SID."""
    other = Emulator(account_sid="AC" + "7" * 32, auth_token="a", api_key="SK", api_secret="b", clock=Clock())
    with pytest.raises(SnapshotError, match="another account"):
        stage.emulator.restore(other.snapshot())
    other.close()


def test_the_clock_only_moves_forward(stage: Stage) -> None:
    """The clock answers its time, moves by what it is told, tells its subscribers, and refuses to go back."""
    told: list[float] = []
    stage.clock.subscribe(told.append)
    before = datetime.fromisoformat(stage.sim("GET", "clock")["now"])
    after = datetime.fromisoformat(stage.sim("POST", "clock", {"advance": 3600})["now"])
    assert timedelta(seconds=3600) <= after - before < timedelta(seconds=3700)
    assert len(told) == 1
    with pytest.raises(HTTPError) as caught:
        stage.sim("POST", "clock", {"advance": -1})
    caught.value.close()
    with pytest.raises(ValueError, match="forward"):
        stage.clock.advance(-1)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("sms", {"from": "ana", "to": POOL[0], "body": "x"}, "E.164"),
        ("sms", {"from": ANA, "to": "+12125550199", "body": "x"}, "/_sim/numbers"),
        ("sms", {"from": ANA, "body": "x"}, "`to`"),
        ("call", {"from": ANA, "to": POOL[0], "duration": "long"}, "`duration`"),
        ("call", {"from": ANA, "to": POOL[0], "answer": "maybe"}, "`answer`"),
        ("hangup", {"call_sid": "CA0"}, "call_sid"),
        ("numbers", {"phone_number": "5550150"}, "E.164"),
    ],
)
def test_a_bad_script_is_told_what_to_do(stage: Stage, path: str, body: dict[str, object], says: str) -> None:
    """An impossible request to a phone is 400 with a sentence that names the way out."""
    with pytest.raises(HTTPError) as caught:
        stage.sim("POST", path, body)
    with caught.value as answer:
        assert (answer.status, says in json.load(answer)["error"]) == (400, True)


def test_the_simulator_is_for_this_machine_only(stage: Stage) -> None:
    """A request to /_sim from another address is refused."""
    from werkzeug.test import Client  # noqa: PLC0415 - only here

    client = Client(stage.emulator.wsgi_app)
    assert client.get("/_sim/clock", environ_overrides={"REMOTE_ADDR": "192.0.2.7"}).status_code == 403
    assert client.get("/_sim/clock", environ_overrides={"REMOTE_ADDR": "127.0.0.1"}).status_code == 200


def test_unknown_simulator_calls_are_404(stage: Stage) -> None:
    """A call that /_sim does not have is 404, a body that is no JSON object 400."""
    with pytest.raises(HTTPError) as caught:
        stage.sim("GET", "nothing")
    with caught.value as answer:
        assert answer.status == 404
    for body in (b"x", b"[]"):
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{stage.server.url}/_sim/sms", body, timeout=10)
        with caught.value as answer:
            assert answer.status == 400


def test_plain_http_webhooks_stay_on_this_machine() -> None:
    """A webhook to plain http elsewhere is never sent, and none at all to the real Twilio."""
    with pytest.raises(DeliveryError, match="real Twilio"):
        http_post("https://webhooks.twilio.com/v1/Accounts", {}, b"", 1.0)
    with pytest.raises(DeliveryError, match="https"):
        http_post("http://192.0.2.7/intercept", {}, b"", 1.0)


def test_a_handler_that_says_nothing_is_a_timeout() -> None:
    """A handler that takes the connection and never answers ends in TimeoutError after the time given."""
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TimeoutError):
        http_post(f"http://127.0.0.1:{listener.getsockname()[1]}/intercept", {}, b"", 0.05)


def test_error_details_reach_the_message() -> None:
    """A Twilio error's message says what was wrong in this case."""
    assert TwilioError(20001, "Ttl must be a number").body()["message"] == "Invalid parameter: Ttl must be a number"
