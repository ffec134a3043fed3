"""Recordings of calls at the emulator: their life, their callbacks, their sound, their deletion."""

from __future__ import annotations

import io
import wave
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
import requests
from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]

from local.twilio import audio
from local.twilio.state import State
from tests.local.twilio_stage import ACCOUNT, ANA, KEY, POOL, SECRET, TOKEN, Delivery, Stage, refused

CALLBACK_FIELDS = {
    "AccountSid",
    "CallSid",
    "RecordingSid",
    "RecordingUrl",
    "RecordingStatus",
    "RecordingDuration",
    "RecordingChannels",
    "RecordingStartTime",
    "RecordingSource",
    "RecordingTrack",
    "ErrorCode",
}


@pytest.fixture
def call(stage: Stage) -> Any:
    """Give a live call between Ana and Ben."""
    stage.pair(stage.service(POOL[0]))
    return stage.client.calls(stage.call(ANA, POOL[0], hold=True)["call_sid"]).fetch()


def hang_up(stage: Stage, call: Any) -> None:
    """Let somebody hang up, and wait for the webhooks."""
    stage.sim("POST", "hangup", {"call_sid": call.sid})


def wait(stage: Stage, seconds: float) -> None:
    """Let time pass."""
    stage.sim("POST", "clock", {"advance": seconds})


def put(stage: Stage, **wanted: Any) -> dict[str, str]:
    """Put one recording into the account."""
    [made] = stage.sim("POST", "recordings", wanted)["recordings"]
    return dict(made)


def media(stage: Stage, sid: str, ending: str = ".wav", **more: Any) -> requests.Response:
    """Download a recording."""
    url = f"{stage.server.url}/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{sid}{ending}"
    more.setdefault("auth", (KEY, SECRET))
    return requests.get(url, timeout=30, **more)


def wav(answer: requests.Response) -> wave.Wave_read:
    """Return the sound of an answer."""
    return wave.Wave_read(io.BytesIO(answer.content))


# Life ---------------------------------------------------------------------------------------------------------


def test_a_live_call_is_recorded_until_it_ends(stage: Stage, call: Any) -> None:
    """A recording is in progress from the request on, belongs to the parent leg, and is as long as the talk was."""
    started = call.recordings.create(recording_channels="dual", recording_track="both")
    assert (started.status, started.source, started.channels) == ("in-progress", "StartCallRecordingAPI", 2)
    assert (started.call_sid, started.duration, started.track) == (call.sid, None, "both")
    wait(stage, 60)
    hang_up(stage, call)
    record = stage.client.recordings(started.sid).fetch()
    assert (record.status, record.error_code, record.call_sid) == ("completed", None, call.sid)
    assert record.duration in {"60", "61"}
    assert record.media_url == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{record.sid}"
    assert [found.sid for found in call.recordings.list()] == [record.sid]
    assert call.recordings(record.sid).fetch().uri.endswith(f"/Calls/{call.sid}/Recordings/{record.sid}.json")


def test_a_child_leg_records_its_parent(stage: Stage) -> None:
    """Starting by the outbound leg's SID records the call, and lists by either leg find it."""
    stage.pair(stage.service(POOL[0]))
    legs = stage.call(ANA, POOL[0], hold=True)
    started = stage.client.calls(legs["outbound_call_sid"]).recordings.create()
    assert started.call_sid == legs["call_sid"]
    for sid in (legs["call_sid"], legs["outbound_call_sid"]):
        assert [found.sid for found in stage.client.calls(sid).recordings.list()] == [started.sid]


def test_only_a_call_in_progress_on_both_legs_is_recorded(stage: Stage) -> None:
    """Before the callee answers and after the end a recording is refused with 21220; in between it is taken."""
    seen: dict[str, object] = {}

    def record(delivery: Delivery) -> tuple[int, str, str]:
        recordings = stage.client.calls(delivery.fields["inboundResourceSid"]).recordings
        try:
            seen[delivery.fields["outboundResourceStatus"]] = recordings.create().status
        except TwilioException as error:
            seen[delivery.fields["outboundResourceStatus"]] = error.code
        return 204, "text/plain", ""

    stage.receiver.answers["/callback"] = record
    stage.pair(stage.service(POOL[0], webhooks=True))
    stage.call(ANA, POOL[0])
    assert seen == {"initiated": 21220, "ringing": 21220, "in-progress": "in-progress", "completed": 21220}
    with refused(20404, 404):
        stage.client.calls("CA" + "0" * 32).recordings.create()


@pytest.mark.parametrize(("behavior", "seconds"), [("skip", 30), ("silence", 130)])
def test_a_pause_is_skipped_or_silent(stage: Stage, call: Any, behavior: str, seconds: int) -> None:
    """What is said in a pause is not in the recording: it is left out, or silence of the same length."""
    record = call.recordings.create()
    wait(stage, 10)
    assert call.recordings("Twilio.CURRENT").update(status="paused", pause_behavior=behavior).status == "paused"
    wait(stage, 100)
    assert call.recordings(record.sid).update(status="in-progress").status == "in-progress"
    wait(stage, 20)
    assert call.recordings("Twilio.CURRENT").update(status="stopped").status == "stopped"
    stage.sim("GET", "webhooks")
    assert abs(int(stage.client.recordings(record.sid).fetch().duration) - seconds) <= 1
    sound = wav(media(stage, record.sid))
    sound.setpos(50 * 8000 if behavior == "silence" else 20 * 8000)
    assert (set(sound.readframes(800)) == {0}) is (behavior == "silence")


def test_a_paused_recording_ends_with_its_call(stage: Stage, call: Any) -> None:
    """A recording that is paused when the call ends holds what was before the pause, and its silence."""
    record = call.recordings.create(trim="trim-silence")
    wait(stage, 10)
    call.recordings(record.sid).update(status="paused")
    wait(stage, 50)
    hang_up(stage, call)
    assert stage.client.recordings(record.sid).fetch().duration in {"10", "11"}


def test_what_has_ended_is_not_updated(stage: Stage, call: Any) -> None:
    """An ended recording is refused with 21220, none under way is 404, and several at once are 16108."""
    record = call.recordings.create()
    other = call.recordings.create()
    with refused(16108):
        call.recordings("Twilio.CURRENT").update(status="stopped")
    for recording in (record, other):
        call.recordings(recording.sid).update(status="stopped")
    with refused(21220):
        call.recordings(record.sid).update(status="paused")
    with refused(20404, 404):
        call.recordings("Twilio.CURRENT").update(status="stopped")


@pytest.mark.parametrize(
    "wish",
    [
        {"recording_channels": "three"},
        {"recording_track": "none"},
        {"trim": "yes"},
        {"recording_status_callback": "ftp://example.org/x"},
        {"recording_status_callback_method": "GET"},
        {"recording_status_callback_event": ["started"]},
        {"recording_configuration_id": "x"},
    ],
)
def test_a_bad_wish_is_refused(stage: Stage, call: Any, wish: dict[str, Any]) -> None:
    """A parameter that is none is 20001, and nothing is recorded."""
    with refused(20001):
        call.recordings.create(**wish)
    assert call.recordings.list() == []


@pytest.mark.parametrize("change", [{"status": "completed"}, {"status": "paused", "pause_behavior": "loud"}])
def test_a_bad_change_is_refused(stage: Stage, call: Any, change: dict[str, Any]) -> None:
    """A status or a pause that is none is 20001."""
    record = call.recordings.create()
    with refused(20001):
        call.recordings(record.sid).update(**change)


def test_what_is_too_short_or_silent_is_absent(stage: Stage, call: Any) -> None:
    """A recording of nothing is absent with 16101, one that was paused throughout with 16102, and has no sound."""
    short, silent = call.recordings.create(), call.recordings.create()
    call.recordings(short.sid).update(status="stopped")
    call.recordings(silent.sid).update(status="paused")
    stage.emulator.carrier.state.recordings[silent.sid].parts.clear()
    wait(stage, 10)
    hang_up(stage, call)
    for sid, code in ((short.sid, 16101), (silent.sid, 16102)):
        record = stage.client.recordings(sid).fetch()
        assert (record.status, record.error_code, record.duration) == ("absent", code, "0")
        assert media(stage, sid).status_code == 404


def test_a_recording_is_processing_for_a_while(stage: Stage, call: Any) -> None:
    """With a processing time a recording that ended has no sound yet, cannot be deleted, and is completed later."""
    stage.sim("POST", "limits", {"processing_seconds": 30})
    record = call.recordings.create(recording_status_callback=f"{stage.receiver.url}/recording")
    wait(stage, 10)
    hang_up(stage, call)
    assert stage.client.recordings(record.sid).fetch().status == "processing"
    assert media(stage, record.sid).status_code == 404
    assert stage.receiver.got("/recording") == []
    with refused(20009):
        stage.client.recordings(record.sid).delete()
    wait(stage, 31)
    assert stage.client.recordings(record.sid).fetch().status == "completed"
    assert len(stage.receiver.got("/recording")) == 1


def test_a_busy_call_answers_408(stage: Stage, call: Any) -> None:
    """An ordered 16114 is answered with status 408 and starts nothing; the next request does."""
    order = {"on": "rest", "mode": "error", "code": 16114, "match": "POST .*/Recordings.json$", "times": 1}
    stage.sim("POST", "faults", order)
    with refused(16114, 408):
        call.recordings.create()
    assert call.recordings.list() == []
    assert call.recordings.create().status == "in-progress"


# Callbacks ----------------------------------------------------------------------------------------------------


def callbacks(stage: Stage) -> list[str]:
    """Return the states that were told, in order."""
    stage.sim("GET", "webhooks")
    return [delivery.fields["RecordingStatus"] for delivery in stage.receiver.got("/recording")]


def recorded(stage: Stage, call: Any, *events: str) -> str:
    """Record a call of ten seconds with a callback for these events, and return the recording's SID."""
    url = f"{stage.receiver.url}/recording"
    started = call.recordings.create(
        recording_status_callback=url,
        recording_status_callback_method="POST",
        recording_status_callback_event=list(events),
        recording_channels="dual",
    )
    wait(stage, 10)
    hang_up(stage, call)
    return str(started.sid)


def test_the_end_of_a_recording_is_told_signed(stage: Stage, call: Any) -> None:
    """The callback has the documented fields, no number of anybody, and the validator accepts it."""
    sid = recorded(stage, call)
    [delivery] = stage.receiver.got("/recording")
    assert set(delivery.fields) == CALLBACK_FIELDS
    assert delivery.signed_with(TOKEN)
    assert "%2B1" not in delivery.raw.decode()
    assert {
        name: delivery.fields[name] for name in ("RecordingSid", "CallSid", "RecordingStatus", "RecordingChannels")
    } == {"RecordingSid": sid, "CallSid": call.sid, "RecordingStatus": "completed", "RecordingChannels": "2"}
    assert delivery.fields["RecordingDuration"] in {"10", "11"}
    assert delivery.fields["ErrorCode"] == "0"
    assert delivery.fields["RecordingUrl"].endswith(f"/Accounts/{ACCOUNT}/Recordings/{sid}")
    assert delivery.fields["RecordingSource"] == "StartCallRecordingAPI"


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ((), ["completed"]),
        (("in-progress", "completed", "absent"), ["in-progress", "completed"]),
        (("completed absent",), ["completed"]),
        (("absent",), []),
    ],
)
def test_only_the_wanted_events_are_told(stage: Stage, call: Any, events: tuple[str, ...], told: list[str]) -> None:
    """A callback comes for the events that were named, each a field or several in one; else for completed."""
    recorded(stage, call, *events)
    assert callbacks(stage) == told


def test_an_absent_recording_is_told_with_its_code(stage: Stage, call: Any) -> None:
    """The callback of an absent recording has the code of its reason."""
    call.recordings.create(
        recording_status_callback=f"{stage.receiver.url}/recording", recording_status_callback_event=["absent"]
    )
    hang_up(stage, call)
    assert callbacks(stage) == ["absent"]
    assert stage.receiver.got("/recording")[0].fields["ErrorCode"] == "16101"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"mode": "lost", "times": 1}, ["completed"]),
        ({"mode": "duplicate"}, ["in-progress", "in-progress", "completed", "completed"]),
        ({"mode": "reorder", "times": 1}, ["completed", "in-progress"]),
        ({"mode": "refuse", "times": 1}, ["completed"]),
    ],
)
def test_callbacks_suffer_ordered_faults(stage: Stage, call: Any, fault: dict[str, Any], told: list[str]) -> None:
    """A callback can be lost, doubled, refused, or come after a later one."""
    stage.sim("POST", "faults", {"on": "webhook", "match": "^recording", **fault})
    recorded(stage, call, "in-progress", "completed")
    assert callbacks(stage) == told


def test_a_late_callback_comes_when_its_time_has_come(stage: Stage, call: Any) -> None:
    """A late callback is sent once the clock has moved on, and is not held against the handler before."""
    stage.sim("POST", "faults", {"on": "webhook", "match": "^recording", "mode": "late", "seconds": 3600, "times": 1})
    recorded(stage, call)
    assert callbacks(stage) == []
    assert stage.alerts() == []
    wait(stage, 3601)
    assert callbacks(stage) == ["completed"]


def test_a_callback_that_fails_leaves_an_alert(stage: Stage, call: Any) -> None:
    """A callback that is answered with 500 leaves alert 11200 about the call, and is not repeated."""
    stage.receiver.answers["/recording"] = (500, "text/plain", "")
    recorded(stage, call)
    assert callbacks(stage) == ["completed"]
    [alert] = stage.client.monitor.v1.alerts.list()
    assert (alert.error_code, alert.resource_sid) == ("11200", call.sid)


def test_scripts_put_recordings_of_any_state(stage: Stage, call: Any) -> None:
    """A recording is put into a call that there is, by either leg, in the state that was asked for, and told of."""
    url = f"{stage.receiver.url}/recording"
    [child] = stage.client.calls.list(parent_call_sid=call.sid)
    live = put(stage, call_sid=child.sid, status="in-progress", age=100, seconds=0)
    assert live["call_sid"] == call.sid
    assert put(stage, call_sid=call.sid, status="absent", callback_url=url)["call_sid"] == call.sid
    stage.sim("POST", "limits", {"processing_seconds": 60})
    slow = put(stage, status="processing", seconds=5, callback_url=url)
    assert stage.client.recordings(slow["sid"]).fetch().status == "processing"
    wait(stage, 61)
    assert stage.client.recordings(slow["sid"]).fetch().status == "completed"
    assert callbacks(stage) == ["absent", "completed"]
    hang_up(stage, call)
    wait(stage, 61)
    assert int(stage.client.recordings(live["sid"]).fetch().duration) >= 161


# Lists and deletion -------------------------------------------------------------------------------------------


def test_recordings_are_listed_by_call_and_time(stage: Stage) -> None:
    """The list narrows by call and by the time of creation to the second, and pages hold everything once."""
    old, new = put(stage, age=7200), put(stage, age=60)
    now = datetime.fromtimestamp(stage.clock.now(), UTC)
    find = stage.client.recordings.list
    assert [record.sid for record in find()] == [new["sid"], old["sid"]]
    assert [record.sid for record in find(call_sid=old["call_sid"])] == [old["sid"]]
    assert [record.sid for record in find(date_created_before=now - timedelta(hours=1))] == [old["sid"]]
    assert [record.sid for record in find(date_created_after=now - timedelta(hours=1))] == [new["sid"]]
    assert find(date_created_after=now - timedelta(hours=1), date_created_before=now - timedelta(hours=1)) == []
    assert find(conference_sid="CF" + "0" * 32) == []
    created = stage.client.recordings(old["sid"]).fetch().date_created
    assert [record.sid for record in find(date_created=created)] == [old["sid"]]
    assert [record.sid for record in find(page_size=1)] == [new["sid"], old["sid"]]
    below = stage.client.calls(old["call_sid"]).recordings
    assert [record.sid for record in below.list(date_created_before=now)] == [old["sid"]]
    assert below.list(date_created_after=now + timedelta(days=2)) == []


def test_a_deleted_recording_has_no_sound_and_metadata_for_40_days(stage: Stage) -> None:
    """Deleting takes the sound at once; the metadata shows with IncludeSoftDeleted only, for 40 days."""
    record = stage.client.recordings(put(stage)["sid"])
    assert media(stage, record._solution["sid"]).status_code == 200
    assert record.delete() is True
    assert media(stage, record._solution["sid"]).status_code == 404
    for again in (record.fetch, record.delete):
        with refused(20404, 404):
            again()
    assert stage.client.recordings.list() == []
    assert record.fetch(include_soft_deleted=True).status == "deleted"
    assert [found.status for found in stage.client.recordings.list(include_soft_deleted=True)] == ["deleted"]
    wait(stage, 40 * 86400 - 60)
    assert record.fetch(include_soft_deleted=True).duration == "10"
    wait(stage, 61)
    with refused(20404, 404):
        record.fetch(include_soft_deleted=True)
    assert stage.client.recordings.list(include_soft_deleted=True) == []


def test_a_recording_under_way_is_not_deleted(stage: Stage, call: Any) -> None:
    """Deleting a recording that is under way or paused is refused with 20009."""
    record = call.recordings.create()
    with refused(20009):
        stage.client.recordings(record.sid).delete()
    call.recordings(record.sid).update(status="paused")
    with refused(20009):
        call.recordings(record.sid).delete()
    wait(stage, 5)
    hang_up(stage, call)
    assert call.recordings(record.sid).delete() is True


def test_a_recording_outlives_its_call(stage: Stage) -> None:
    """A deleted call leaves its recording, which is still found below it; a stranger's call finds nothing."""
    made = put(stage, age=3600)
    stage.client.calls(made["call_sid"]).delete()
    below = stage.client.calls(made["call_sid"]).recordings
    assert [record.sid for record in below.list()] == [made["sid"]]
    assert below(made["sid"]).delete() is True
    other = put(stage)
    with refused(20404, 404):
        stage.client.calls(other["call_sid"]).recordings(made["sid"]).fetch()


def test_another_account_sees_no_recording(stage: Stage) -> None:
    """A subaccount reaches neither the recordings of its owner nor their sound."""
    made = put(stage)
    sub = stage.client.api.v2010.accounts.create(friendly_name="sub")
    child = stage.connect(sub.sid, sub.auth_token)
    with refused(20404, 404):
        child.recordings(made["sid"]).fetch()
    with refused(20404, 404):
        child.calls(made["call_sid"]).recordings(made["sid"]).fetch()
    assert media(stage, made["sid"], auth=(sub.sid, sub.auth_token)).status_code == 401


# Sound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "channels"), [("", 1), ("?RequestedChannels=1", 1), ("?RequestedChannels=2", 2)])
def test_the_sound_is_a_valid_wav(stage: Stage, asked: str, channels: int) -> None:
    """A recording is PCM of 16 bit and 8 kHz, with as many channels as were asked for and its own length."""
    sid = put(stage, seconds=12, channels=2)["sid"]
    answer = media(stage, sid, f".wav{asked}")
    assert (answer.headers["Content-Type"], answer.headers["Accept-Ranges"]) == ("audio/x-wav", "bytes")
    assert int(answer.headers["Content-Length"]) == len(answer.content) == 44 + 12 * 8000 * 2 * channels
    sound = wav(answer)
    assert sound.getparams()[:4] == (channels, 2, 8000, 12 * 8000)
    seconds = [sound.readframes(8000) for _ in range(12)]
    assert len(set(seconds)) == 12
    assert max(set(seconds[0])) > 0


def test_the_sound_follows_from_the_sid(stage: Stage) -> None:
    """The same recording sounds the same each time, and another one different."""
    one, two = put(stage, seconds=3)["sid"], put(stage, seconds=3)["sid"]
    assert media(stage, one).content == media(stage, one, "").content
    assert media(stage, one).content != media(stage, two).content


def test_two_channels_of_a_mono_recording_are_refused(stage: Stage) -> None:
    """A recording with one channel has no second one: 400."""
    sid = put(stage, channels=1)["sid"]
    for asked in ("2", "3", "x"):
        assert media(stage, sid, f".wav?RequestedChannels={asked}").status_code == 400


@pytest.mark.parametrize("channels", [1, 2])
def test_the_sound_is_a_chain_of_mp3_frames(stage: Stage, channels: int) -> None:
    """An MP3 is made of whole MPEG-1 layer III frames of 36 ms, as many as the recording takes."""
    sid = put(stage, seconds=9, channels=2)["sid"]
    answer = media(stage, sid, f".mp3?RequestedChannels={channels}")
    assert answer.headers["Content-Type"] == "audio/mpeg"
    frames = [answer.content[at : at + 144] for at in range(0, len(answer.content), 144)]
    assert len(frames) == 250
    assert {frame[:4].hex() for frame in frames} == {{1: "fffb18c0", 2: "fffb1800"}[channels]}
    assert len(set(frames)) == 250


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=40-50", 40, 51), ("bytes=16000-", 16000, 48044), ("bytes=-5", 48039, 48044)],
)
@pytest.mark.parametrize("ending", [".wav", ".mp3"])
def test_a_part_of_the_sound_is_that_part(stage: Stage, ending: str, asked: str, start: int, stop: int) -> None:
    """A Range is answered with 206 and exactly those bytes of the whole."""
    sid = put(stage, seconds=3)["sid"]
    whole = media(stage, sid, ending).content
    if ending == ".mp3":
        start, stop = {16000: (8000, len(whole)), 48039: (len(whole) - 5, len(whole))}.get(start, (start, stop))
        asked = asked.replace("16000", "8000")
    part = media(stage, sid, ending, headers={"Range": asked})
    assert part.status_code == 206
    assert part.content == whole[start:stop]
    assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"


def test_a_part_past_the_end_is_416_and_several_are_the_whole(stage: Stage) -> None:
    """A range that begins past the end is 416; more than one range, or none that can be read, is answered whole."""
    sid = put(stage, seconds=1)["sid"]
    past = media(stage, sid, headers={"Range": "bytes=16044-"})
    assert (past.status_code, past.headers["Content-Range"], past.content) == (416, "bytes */16044", b"")
    for asked in ("bytes=0-1,5-6", "seconds=1-2", "x"):
        assert media(stage, sid, headers={"Range": asked}).status_code == 200


def test_the_sound_wants_a_login(stage: Stage) -> None:
    """Without credentials, with wrong ones, and with a key that was rotated away the sound is 401 with 20003."""
    sid = put(stage)["sid"]
    made = stage.client.iam.v1.new_api_key.create(account_sid=ACCOUNT, friendly_name="short-lived")
    assert media(stage, sid, auth=(made.sid, made.secret)).status_code == 200
    stage.client.iam.v1.api_key(made.sid).delete()
    for auth in (None, (KEY, "wrong"), (made.sid, made.secret)):
        answer = media(stage, sid, auth=auth)
        assert (answer.status_code, answer.json()["code"]) == (401, 20003)


def test_a_recording_of_four_hours_is_never_whole_in_memory(stage: Stage) -> None:
    """Four hours in two channels are some 460 MB of WAV, of which any part is made on its own."""
    made = put(stage, seconds=4 * 3600, channels=2)
    assert stage.client.recordings(made["sid"]).fetch().duration == "14400"
    size = 44 + 4 * 3600 * 8000 * 4
    url = f"{stage.server.url}/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{made['sid']}.wav"
    with requests.get(url, {"RequestedChannels": "2"}, auth=(KEY, SECRET), stream=True, timeout=30) as answer:
        assert int(answer.headers["Content-Length"]) == size
        beginning = answer.raw.read(2_000_000)
    assert len(beginning) == 2_000_000
    end = media(stage, made["sid"], ".wav?RequestedChannels=2", headers={"Range": f"bytes={size - 100_000}-"})
    assert len(end.content) == 100_000
    assert requests.head(url, auth=(KEY, SECRET), timeout=30).headers["Content-Length"] == str(44 + (size - 44) // 2)


def test_a_recording_of_given_bytes_has_them(stage: Stage) -> None:
    """A recording of 2 GB is made by its size, and its last byte is there."""
    sid = put(stage, bytes=2_000_000_044, channels=2)["sid"]
    last = media(stage, sid, ".wav?RequestedChannels=2", headers={"Range": "bytes=-1"})
    assert last.headers["Content-Range"] == "bytes 2000000043-2000000043/2000000044"


def test_the_sound_is_made_in_small_pieces() -> None:
    """No piece is longer than a second, from wherever the reading begins, and the pieces are the whole."""
    sound = audio.Sound("RE" + "5" * 32, (("sound", 12_345), ("silence", 8000), ("sound", 99)))
    for content in (sound.wav(1), sound.wav(2), sound.mp3(1)):
        pieces = list(content.read(0, content.size))
        assert max(map(len, pieces)) <= 32_000
        whole = b"".join(pieces)
        assert len(whole) == content.size
        for start in range(0, content.size, 3001):
            assert b"".join(content.read(start, min(start + 3001, content.size))) == whole[start : start + 3001]
    samples = b"".join(sound.wav(1).read(44, sound.wav(1).size))
    assert set(samples[2 * 12_345 : 2 * 20_345]) == {0}
    assert sha256(samples).hexdigest() == sha256(b"".join(sound.wav(1).read(44, 44 + len(samples)))).hexdigest()


# Faults of the download ---------------------------------------------------------------------------------------


def strike(stage: Stage, **fault: Any) -> None:
    """Order a fault for the next download."""
    stage.sim("POST", "faults", {"on": "rest", "match": r"Recordings/RE\w+\.wav", "times": 1, **fault})


@pytest.mark.parametrize("seconds", [1, 600])
def test_a_truncated_download_ends_early(stage: Stage, seconds: int) -> None:
    """Half of the bytes come, then the connection ends; the next download is whole."""
    sid = put(stage, seconds=seconds)["sid"]
    strike(stage, mode="truncated")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        media(stage, sid)
    assert len(media(stage, sid).content) == 44 + seconds * 16000


@pytest.mark.parametrize("seconds", [1, 600])
def test_a_wrong_length_is_half_of_the_sound(stage: Stage, seconds: int) -> None:
    """The answer says and brings half of the bytes, so that only the WAV's own header tells."""
    sid = put(stage, seconds=seconds)["sid"]
    strike(stage, mode="wrong-length")
    answer = media(stage, sid)
    assert len(answer.content) == int(answer.headers["Content-Length"]) == (44 + seconds * 16000) // 2
    assert int.from_bytes(answer.content[40:44], "little") == seconds * 16000


def test_an_empty_download_and_one_of_another_type(stage: Stage) -> None:
    """A download can bring no byte at all, or a page of HTML with status 200."""
    sid = put(stage)["sid"]
    strike(stage, mode="empty")
    empty = media(stage, sid)
    assert (empty.status_code, empty.headers["Content-Type"], empty.content) == (200, "audio/x-wav", b"")
    strike(stage, mode="wrong-type")
    page = media(stage, sid)
    assert (page.status_code, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")


def test_a_download_can_fail_for_a_while_or_be_slow(stage: Stage) -> None:
    """A download can be answered 503 or 401, and can take its time on the clock."""
    sid = put(stage)["sid"]
    for status, code in ((503, 20500), (401, 20003)):
        strike(stage, mode="error", status=status, code=code)
        assert media(stage, sid).status_code == status
    before = stage.clock.now()
    strike(stage, mode="slow", seconds=900)
    assert media(stage, sid).status_code == 200
    assert stage.clock.now() - before >= 900


# Transcriptions, defaults, archives ---------------------------------------------------------------------------


def test_transcriptions_are_listed_fetched_and_deleted(stage: Stage) -> None:
    """A transcription is found in the account and below its recording, outlives it, and is deleted once."""
    made, other = put(stage), put(stage)
    sid = stage.sim("POST", "transcriptions", {"recording_sid": made["sid"], "text": "hello"})["sid"]
    below = stage.client.recordings(made["sid"]).transcriptions
    assert [found.sid for found in stage.client.transcriptions.list()] == [sid]
    assert [found.sid for found in below.list()] == [sid]
    assert stage.client.recordings(other["sid"]).transcriptions.list() == []
    assert stage.client.recordings(made["sid"]).add_on_results.list() == []
    fetched = below(sid).fetch()
    assert (fetched.transcription_text, fetched.recording_sid, fetched.duration) == ("hello", made["sid"], "10")
    with refused(20404, 404):
        stage.client.recordings(other["sid"]).transcriptions(sid).fetch()
    stage.client.recordings(made["sid"]).delete()
    assert stage.client.transcriptions(sid).fetch().status == "completed"
    assert stage.client.transcriptions(sid).delete() is True
    with refused(20404, 404):
        stage.client.transcriptions(sid).delete()
    again = stage.sim("POST", "transcriptions", {"recording_sid": other["sid"], "text": "again"})["sid"]
    assert stage.client.recordings(other["sid"]).transcriptions(again).delete() is True
    assert stage.client.transcriptions.list() == []


def test_the_account_default_records_every_call(stage: Stage) -> None:
    """With the default on, a call is recorded that nobody asked to record, and its callback comes; off, none is."""
    stage.pair(stage.service(POOL[0]))
    stage.call(ANA, POOL[0])
    assert stage.client.recordings.list() == []
    configuration = {
        "compositionPolicy": {"channels": "dual"},
        "callRecordingStatusCallback": {"url": f"{stage.receiver.url}/recording", "events": ["completed"]},
    }
    assert stage.sim("POST", "defaults", {"recording": configuration}) == {"recording": True}
    called = stage.call(ANA, POOL[0], duration=20)
    [record] = stage.client.recordings.list()
    assert (record.call_sid, record.duration, record.channels) == (called["call_sid"], "20", 2)
    assert callbacks(stage) == ["completed"]
    assert stage.sim("POST", "defaults", {"recording": False}) == {"recording": False}
    stage.call(ANA, POOL[0])
    assert len(stage.client.recordings.list()) == 1


def test_the_account_default_is_set_changed_and_deleted(stage: Stage) -> None:
    """The default is made once, replaced, and taken away; without one it is 404."""
    default = stage.client.voice.v2.account_default_configuration("Recording")
    request = type(default).VoiceV2AccountDefaultConfigurationRequest
    with refused(20404, 404):
        default.fetch()
    with refused(20404, 404):
        default.update(request({"configuration": {}}))
    with refused(20001):
        default.create(request({"configuration": {"compositionPolicy": {"trim": "bad"}}}))
    made = default.create(
        request({"description": "all", "configuration": {"compositionPolicy": {"trim": "trim-silence"}}})
    )
    assert (made.description, made.configuration) == ("all", {"compositionPolicy": {"trim": "trim-silence"}})
    with refused(20001):
        default.create(request({"configuration": {}}))
    for wish in ({"configuration": [1]}, {"description": 1}, {"configuration": {"compositionPolicy": "dual"}}):
        with refused(20001):
            default.update(request(wish))
    with refused(20001):
        stage.client.voice.v2.account_default_configuration("Transcription").create(request({}))
    for body in (b"{", b"[]"):
        url = f"{stage.server.url}/voice.twilio.com/v2/AccountDefaultConfiguration/Recording"
        assert requests.put(url, body, auth=(KEY, SECRET), timeout=10).status_code == 400
    assert default.update(request({"description": "plain"})).description == "plain"
    assert default.fetch().configuration == {}
    typed = stage.client.voice.v2.recording_account_default_configuration()
    assert typed.fetch().description == "plain"
    assert default.delete() is True
    with refused(20404, 404):
        default.delete()


def test_the_copy_in_the_bulk_export_is_deleted_apart(stage: Stage) -> None:
    """A finished call has a copy under its day, which is deleted once and whose call stays."""
    made = put(stage, age=3 * 86400)
    day = stage.client.calls(made["call_sid"]).fetch().start_time.date()
    archived = stage.client.voice.v1.archived_calls
    with refused(20404, 404):
        archived(day + timedelta(days=1), made["call_sid"]).delete()
    assert archived(day, made["call_sid"]).delete() is True
    assert stage.client.calls(made["call_sid"]).fetch().status == "completed"
    with refused(20404, 404):
        archived(day, made["call_sid"]).delete()


# Snapshot -----------------------------------------------------------------------------------------------------


def test_a_snapshot_carries_recordings_on(stage: Stage, call: Any) -> None:
    """A restored emulator goes on recording, and has the same sound, transcription and default."""
    live, made = call.recordings.create(), put(stage)
    stage.sim("POST", "transcriptions", {"recording_sid": made["sid"], "text": "hello"})
    stage.sim("POST", "defaults", {"recording": True})
    deleted = put(stage)["sid"]
    stage.client.recordings(deleted).delete()
    sound = media(stage, made["sid"]).content
    snapshot = stage.emulator.snapshot()
    stage.reset()
    stage.emulator.restore(snapshot)
    assert stage.emulator.snapshot() == snapshot
    assert media(stage, made["sid"]).content == sound
    wait(stage, 30)
    hang_up(stage, call)
    assert stage.client.recordings(live.sid).fetch().duration in {"30", "31"}
    wait(stage, 41 * 86400)
    assert deleted not in stage.emulator.carrier.state.recordings


def test_a_snapshot_of_before_is_read(stage: Stage) -> None:
    """A snapshot without the younger tables loads, and they are empty."""
    import json  # noqa: PLC0415 - only here

    document = json.loads(stage.emulator.snapshot())
    for table in State.YOUNGER:
        del document[table]
    stage.emulator.restore(json.dumps(document).encode())
    assert stage.client.recordings.list(include_soft_deleted=True) == []


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("recordings", {"channels": 3}, "`channels`"),
        ("recordings", {"status": "deleted"}, "`status`"),
        ("recordings", {"callback_events": "all"}, "`callback_events`"),
        ("recordings", {"call_sid": "CA0"}, "`call_sid`"),
        ("recordings", {"to": "+12125550199"}, "/_sim/numbers"),
        ("recordings", {"bytes": 1.5}, "`bytes`"),
        ("recordings", {"seconds": -1}, "`seconds`"),
        ("transcriptions", {"recording_sid": "RE0", "text": "x"}, "`recording_sid`"),
        ("defaults", {"recording": "yes"}, "`recording`"),
        ("defaults", {"recording": {"compositionPolicy": {"channels": "x"}}}, "RecordingChannels"),
    ],
)
def test_a_bad_script_is_told_what_to_do(stage: Stage, path: str, body: dict[str, Any], says: str) -> None:
    """A record that cannot be is 400 with a sentence that names the key."""
    answer = requests.post(f"{stage.server.url}/_sim/{path}", json=body, timeout=10)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True)
