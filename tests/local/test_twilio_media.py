"""What a sweeper meets at the emulator: media of messages, exact lists under deletion, and the limit in flight."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from werkzeug.test import Client

from local.clock import Clock
from local.twilio import Emulator
from local.twilio.errors import TwilioError
from local.twilio.limits import Concurrency
from local.twilio.moments import Window
from tests.local.twilio_stage import ACCOUNT, ANA, BEN, KEY, POOL, SECRET, TOKEN, Stage, refused

PICTURE = bytes(range(256)) * 40


def download(stage: Stage, message_sid: str, media_sid: str, **more: Any) -> requests.Response:
    """Download a media file."""
    place = f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{message_sid}/Media/{media_sid}"
    more.setdefault("auth", (KEY, SECRET))
    return requests.get(f"{stage.server.url}/api.twilio.com{place}", timeout=30, **more)


def picture(kind: str = "image/png") -> dict[str, str]:
    """Return a picture as a script gives it."""
    return {"content": base64.b64encode(PICTURE).decode(), "content_type": kind}


# Media --------------------------------------------------------------------------------------------------------


def test_a_picture_arrives_as_it_was_sent_and_is_relayed(stage: Stage) -> None:
    """The bytes and the type that a phone sent are downloaded from both messages of the relay, in part too."""
    stage.pair(stage.service(POOL[0]))
    sent = stage.sms(ANA, POOL[0], "look", media=[picture("image/gif")])
    for sid in (sent["message_sid"], sent["outbound_message_sid"]):
        [record] = stage.client.messages(sid).media.list()
        assert (record.content_type, record.parent_sid) == ("image/gif", sid)
        answer = download(stage, sid, record.sid)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/gif")
        assert answer.content == PICTURE
        created = record.date_created
        assert len(stage.client.messages(sid).media.list(date_created=created)) == 1
        assert stage.client.messages(sid).media.list(date_created_after=created + timedelta(days=1)) == []
        part = download(stage, sid, record.sid, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, PICTURE[10:20])
    assert stage.phone(BEN)["messages"][0]["media"] == ["<image/gif>"]


def test_media_want_a_login_and_go_with_their_message(stage: Stage) -> None:
    """Without a login media are 401, and 404 once they, or their message, were deleted."""
    sent = stage.sms(ANA, POOL[0], "", media=[picture(), "https://example.org/a.jpg"])["message_sid"]
    first, second = stage.client.messages(sent).media.list()
    assert download(stage, sent, first.sid, auth=None).status_code == 401
    assert len(download(stage, sent, second.sid).content) == 20_000
    stage.client.messages(sent).media(first.sid).delete()
    assert download(stage, sent, first.sid).status_code == 404
    stage.sim("POST", "clock", {"advance": 61})
    stage.client.messages(sent).delete()
    assert download(stage, sent, second.sid).status_code == 404


def test_media_are_paged_exactly_while_they_are_deleted(stage: Stage) -> None:
    """Deleting each media file as it is listed leaves none out."""
    sent = stage.client.messages(stage.sms(ANA, POOL[0], "", media=[picture()] * 5)["message_sid"])
    listed = []
    for record in sent.media.stream(page_size=2):
        listed.append(record.sid)
        sent.media(record.sid).delete()
    assert len(set(listed)) == 5
    assert sent.media.list() == []


@pytest.mark.parametrize("medium", [1, {"content": "!", "content_type": "image/png"}, {"content_type": "image/png"}])
def test_a_bad_medium_is_told_what_to_do(stage: Stage, medium: Any) -> None:
    """A media file that is neither a URL nor bytes in base64 is 400 with a sentence."""
    body = {"from": ANA, "to": POOL[0], "body": "", "media": [medium]}
    answer = requests.post(f"{stage.server.url}/_sim/sms", json=body, timeout=10)
    assert (answer.status_code, "base64" in answer.json()["error"]) == (400, True)


# Lists --------------------------------------------------------------------------------------------------------


def test_lists_narrow_to_the_second(stage: Stage) -> None:
    """Messages and calls are found by full timestamps: on or before, on or after, and both; each bound counts in."""
    stage.pair(stage.service(POOL[0]))
    for _ in range(3):
        stage.client.messages.create(from_=POOL[1], to=ANA, body="hello")
        stage.call(ANA, POOL[0], duration=5)
        stage.sim("POST", "clock", {"advance": 100})
    messages, calls = stage.client.messages.list, stage.client.calls.list
    message, call = messages(from_=POOL[1])[1], calls(to=POOL[0])[1]
    for find, name, moment in (
        (messages, "date_sent", message.date_sent),
        (calls, "start_time", call.start_time),
        (calls, "end_time", call.end_time),
    ):
        who = {"from_": POOL[1]} if find == messages else {"to": POOL[0]}
        before, after = {f"{name}_before": moment}, {f"{name}_after": moment}
        assert [len(find(**who, **bounds)) for bounds in (before, after, before | after)] == [2, 2, 1]
        one_second = timedelta(seconds=1)
        assert len(find(**who, **{f"{name}_before": moment - one_second})) == 1
        assert len(find(**who, **{f"{name}_after": moment + one_second})) == 1


def test_bounds_count_their_second_and_their_day() -> None:
    """A time stands for its second, a date for its day, and midnight without an operator for its day too."""
    second = Window({"X": "2026-11-23T10:00:05Z"}, "X")
    start = datetime(2026, 11, 23, 10, 0, 5, tzinfo=UTC).timestamp()
    assert [second.holds(start + shift) for shift in (-0.1, 0, 0.9, 1)] == [False, True, True, False]
    day = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    for text in ("2026-11-23", "2026-11-23T00:00:00Z"):
        window = Window({"X": text}, "X")
        assert [window.holds(day + shift) for shift in (-1, 0, 86399, 86400)] == [False, True, True, False]
    between = Window({"X>": "2026-11-23", "X<": "2026-11-24T00:00:00Z"}, "X")
    assert [between.holds(day + shift) for shift in (-1, 0, 86400, 86401)] == [False, True, True, False]
    assert Window({}, "X").holds(None)
    assert not between.holds(None)
    with pytest.raises(TwilioError, match="X<"):
        Window({"X<": "soon"}, "X")


@pytest.mark.parametrize("kind", ["messages", "calls", "recordings"])
def test_a_walk_is_exact_while_its_records_are_deleted(stage: Stage, kind: str) -> None:
    """Deleting every record on the way, and others joining meanwhile, leaves none of the first ones out."""
    for _ in range(11):
        if kind == "messages":
            stage.client.messages.create(from_=POOL[0], to=ANA, body="hello")
        else:
            stage.sim("POST", "recordings", {"age": 3600})
    stage.sim("POST", "clock", {"advance": 3600})
    resources = getattr(stage.client, kind)
    wanted = {record.sid for record in resources.list()}
    walked = []
    for record in resources.stream(page_size=3):
        walked.append(record.sid)
        resources(record.sid).delete()
        if len(walked) == 4:
            stage.sim("POST", "recordings", {"age": 60})
            stage.client.messages.create(from_=POOL[0], to=ANA, body="late")
    assert len(walked) == len(set(walked)) == len(wanted)
    assert set(walked) == wanted
    assert wanted.isdisjoint(record.sid for record in resources.list())


def test_everything_of_proxy_is_deleted_once(stage: Stage) -> None:
    """An interaction, a participant and a session are deleted once; a session takes the rest of it along."""
    service = stage.service(POOL[0])
    session = stage.pair(service)
    for _ in range(2):
        stage.sms(ANA, POOL[0], "hello")
    first, second = session.interactions.list()
    person = session.participants.list()[0]
    for resource in (session.interactions(first.sid), session.participants(person.sid), service.sessions(session.sid)):
        assert resource.delete() is True
        with refused(20404, 404):
            resource.delete()
    with refused(20404, 404):
        session.interactions(second.sid).fetch()
    assert stage.emulator.carrier.state.interactions == {}
    assert stage.emulator.carrier.state.participants == {}


# In flight ----------------------------------------------------------------------------------------------------


def test_requests_past_the_limit_in_flight_are_429() -> None:
    """With three places, three requests at once are answered and the fourth is 429 with 20429; then there is room."""
    arrived, leave = threading.Barrier(4), threading.Event()

    def hold(_seconds: float) -> None:
        arrived.wait(10)
        leave.wait(10)

    emulator = Emulator(account_sid=ACCOUNT, auth_token=TOKEN, api_key=KEY, api_secret=SECRET, clock=Clock(), wait=hold)
    emulator.concurrency.most, emulator.concurrency.latency = 3, 0.08

    def fetch() -> tuple[int, int | None]:
        answer = Client(emulator.wsgi_app).get(
            f"/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}.json", auth=(KEY, SECRET)
        )
        body = answer.get_json()
        return answer.status_code, body.get("code")

    with ThreadPoolExecutor(3) as threads:
        held = [threads.submit(fetch) for _ in range(3)]
        arrived.wait(10)
        assert fetch() == (429, 20429)
        leave.set()
        assert [request.result() for request in held] == [(200, None)] * 3
    emulator.concurrency.latency = 0
    assert fetch() == (200, None)
    emulator.close()


def test_each_account_has_places_of_its_own() -> None:
    """A place is given back whatever happens, and one account's requests take none of another's."""
    waited: list[float] = []
    limit = Concurrency(waited.append)
    limit.most, limit.latency = 1, 0.5
    with limit.place("AC1"), limit.place("AC2"), pytest.raises(TwilioError, match="in flight"), limit.place("AC1"):
        raise AssertionError("there is no second place")
    with pytest.raises(RuntimeError), limit.place("AC1"):
        raise RuntimeError
    with limit.place("AC1"):
        assert waited == [0.5] * 4


def test_limits_are_set_and_told(stage: Stage) -> None:
    """The limits are set one by one, and the answer tells them all."""
    told = stage.sim("POST", "limits", {"concurrent_requests": 100, "latency_ms": 2})
    assert told == {"requests_per_second": 30, "concurrent_requests": 100, "latency_ms": 2, "processing_seconds": 0}
    assert stage.client.recordings.list() == []
    assert stage.sim("POST", "limits", {"concurrent_requests": None})["concurrent_requests"] is None
    stage.sim("POST", "limits", {"concurrent_requests": 0})
    answer = requests.get(
        f"{stage.server.url}/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}.json", auth=(KEY, SECRET), timeout=10
    )
    assert answer.status_code == 429


def test_a_media_record_of_before_is_read(stage: Stage) -> None:
    """A media file of an old snapshot, which has no place and no content, is listed and served all the same."""
    sent = stage.sms(ANA, POOL[0], "", media=["https://example.org/a.png", picture()])["message_sid"]
    for item in stage.emulator.carrier.state.messages[sent].media:
        del item["place"]
    first, second = stage.client.messages(sent).media.list()
    assert (first.content_type, second.content_type) == ("image/png", "image/png")
    assert download(stage, sent, second.sid).content == PICTURE
