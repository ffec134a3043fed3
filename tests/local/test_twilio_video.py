"""Video rooms at the emulator: who may join, what is recorded, what is told, and what is deleted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from twilio.jwt.access_token import AccessToken  # type: ignore[import-untyped]
from twilio.jwt.access_token.grants import ChatGrant, VideoGrant  # type: ignore[import-untyped]

from local.twilio import matroska
from tests.local.twilio_stage import ACCOUNT, KEY, SECRET, TOKEN, Stage, refused

EVERYTHING, NOTHING = {"type": "include", "all": True}, {"type": "exclude", "all": True}


def join(stage: Stage, room: Any, identity: str, **more: Any) -> str:
    """Let an app join a room and return its participant's SID."""
    return str(stage.sim("POST", "join", {"room": room.sid, "identity": identity, **more})["participant_sid"])


def leave(stage: Stage, participant: str) -> None:
    """Let an app leave."""
    stage.sim("POST", "leave", {"participant_sid": participant})


def today(stage: Stage) -> datetime:
    """Return the time on the emulator's clock."""
    return datetime.fromtimestamp(stage.clock.now(), UTC)


def wait(stage: Stage, seconds: float) -> None:
    """Let time pass."""
    stage.sim("POST", "clock", {"advance": seconds})


def token(room: str | None = "visit", identity: str = "ana", **more: Any) -> str:
    """Return an Access Token for a room."""
    grants = more.pop("grants", [VideoGrant(room=room)])
    made = AccessToken(more.pop("account", ACCOUNT), KEY, more.pop("secret", SECRET), grants, identity, **more)
    return str(made.to_jwt())


def ask_in(stage: Stage, **body: Any) -> requests.Response:
    """Let an app try to join."""
    return requests.post(f"{stage.server.url}/_sim/join", json=body, timeout=10)


# Rooms and participants ---------------------------------------------------------------------------------------


def test_a_room_is_made_found_and_completed(stage: Stage) -> None:
    """A room is found by SID and by name while in progress; completed it is found by SID, and its name is free."""
    rooms = stage.client.video.v1.rooms
    room = rooms.create(unique_name="visit", record_participants_on_connect=True)
    assert (room.status, room.type, room.record_participants_on_connect) == ("in-progress", "group", True)
    assert rooms("visit").fetch().sid == room.sid
    with refused(53113):
        rooms.create(unique_name="visit")
    assert [found.sid for found in rooms.list()] == [room.sid]
    wait(stage, 90)
    ended = rooms("visit").update(status="completed")
    assert (ended.status, ended.duration in {90, 91}) == ("completed", True)
    with refused(20404, 404):
        rooms("visit").fetch()
    with refused(53112):
        rooms(room.sid).update(status="completed")
    with refused(20001):
        rooms(room.sid).update(status="in-progress")
    assert rooms.list() == []
    assert [found.sid for found in rooms.list(status="completed", unique_name="visit")] == [room.sid]
    assert rooms.create(unique_name="visit").sid != room.sid
    assert rooms.create().unique_name[:2] == "RM"


def test_people_join_leave_and_are_made_to_leave(stage: Stage) -> None:
    """Who is connected is listed while the room is in progress, everybody afterwards; an identity is in it once."""
    room = stage.client.video.v1.rooms.create(unique_name="visit")
    ana, ben = join(stage, room, "ana"), join(stage, room, "ben")
    people = room.participants
    assert [person.identity for person in people.list()] == ["ben", "ana"]
    assert people("ana").fetch().sid == ana
    again = join(stage, room, "ana")
    assert people(ana).fetch().status == "disconnected"
    wait(stage, 30)
    assert people(ben).update(status="disconnected").duration in {30, 31}
    with refused(20001):
        people(again).update(status="connected")
    assert [person.sid for person in people.list()] == [again]
    assert {person.sid for person in people.list(status="disconnected")} == {ana, ben}
    assert [person.sid for person in people.list(status="disconnected", identity="ben")] == [ben]
    assert people.list(date_created_after=today(stage) + timedelta(days=1)) == []
    stage.client.video.v1.rooms(room.sid).update(status="completed")
    assert {person.sid for person in people.list()} == {ana, ben, again}
    assert stage.sim("POST", "leave", {"participant_sid": again}) == {"left": False}
    with refused(20404, 404):
        people("PA" + "0" * 32).fetch()


def test_a_participant_is_anonymized(stage: Stage) -> None:
    """Anonymizing replaces the identity by the SID, everywhere it can be read."""
    room = stage.client.video.v1.rooms.create(unique_name="visit")
    ana = join(stage, room, "ana@example.org")
    leave(stage, ana)
    assert room.participants(ana).anonymize().update().identity == ana
    assert room.participants(ana).fetch().identity == ana
    assert b"ana@example.org" not in stage.emulator.snapshot()


@pytest.mark.parametrize(("joined", "minutes"), [(False, 2), (True, 3)])
def test_a_room_that_nobody_is_in_ends(stage: Stage, joined: bool, minutes: int) -> None:
    """A room ends by itself after its timeout: one for a room that nobody joined, one for a room that all left."""
    room = stage.client.video.v1.rooms.create(unused_room_timeout=2, empty_room_timeout=3)
    if joined:
        leave(stage, join(stage, room, "ana"))
    wait(stage, minutes * 60 - 10)
    assert room.fetch().status == "in-progress"
    wait(stage, 11)
    ended = room.fetch()
    assert ended.status == "completed"
    assert abs((ended.end_time - ended.date_created).total_seconds() - minutes * 60) <= 1


def test_a_room_with_somebody_in_it_goes_on(stage: Stage) -> None:
    """A room does not end while somebody is connected, and takes no more people than it may hold."""
    room = stage.client.video.v1.rooms.create(max_participants=1)
    join(stage, room, "ana")
    full = ask_in(stage, room=room.sid, identity="ben")
    assert (full.status_code, full.json()["code"]) == (400, 53105)
    wait(stage, 86400)
    assert room.fetch().status == "in-progress"


# Access Tokens ------------------------------------------------------------------------------------------------


def test_a_token_lets_its_identity_into_its_room(stage: Stage) -> None:
    """Whoever holds a token joins as whom and where it says; a token without a room goes anywhere."""
    room = stage.client.video.v1.rooms.create(unique_name="visit")
    assert ask_in(stage, token=token(), room="elsewhere", identity="eve").json()["room_sid"] == room.sid
    assert [person.identity for person in room.participants.list()] == ["ana"]
    assert ask_in(stage, token=token(room=None, identity="ben"), room="visit").status_code == 200


def test_a_token_that_proves_nothing_is_refused(stage: Stage) -> None:
    """A token of another secret, account or product, or a changed one, is 20101, one that ran out 20104."""
    stage.client.video.v1.rooms.create(unique_name="visit")
    good = token()
    for bad in (
        token(secret="x" * 32),
        token(account="AC" + "9" * 32),
        token(grants=[ChatGrant()]),
        good[:-4] + "AAAA",
        "nonsense",
    ):
        assert ask_in(stage, token=bad).json()["code"] == 20101
    assert ask_in(stage, token=token(nbf=0, valid_until=1)).json()["code"] == 20104


def test_a_token_outlives_its_room(stage: Stage) -> None:
    """A token for a completed room's name opens a new room, as an account allows by default; by SID it is refused."""
    room = stage.client.video.v1.rooms.create(unique_name="visit")
    stage.client.video.v1.rooms(room.sid).update(status="completed")
    joined = ask_in(stage, token=token()).json()
    assert joined["room_sid"] != room.sid
    assert ask_in(stage, room=room.sid, identity="ana").json()["code"] == 53118


# Recordings ---------------------------------------------------------------------------------------------------


def test_a_room_that_records_records_every_track(stage: Stage) -> None:
    """With RecordParticipantsOnConnect each track is recorded from the moment it is there until its person leaves."""
    room = stage.client.video.v1.rooms.create(record_participants_on_connect=True)
    ana = join(stage, room, "ana", tracks=["audio"])
    wait(stage, 40)
    ben = join(stage, room, "ben")
    recordings = stage.client.video.v1.recordings
    assert {found.status for found in recordings.list()} == {"processing"}
    wait(stage, 20)
    leave(stage, ana)
    [done] = recordings.list(status="completed")
    assert (done.type, done.codec, done.container_format) == ("audio", "OPUS", "mka")
    assert done.duration in {60, 61}
    assert done.grouping_sids == {"room_sid": room.sid, "participant_sid": ana}
    assert {found.type for found in recordings.list(grouping_sid=[ben])} == {"audio", "video"}
    assert recordings.list(grouping_sid=[ben, ana]) == []
    assert len(recordings.list(grouping_sid=[room.sid, ben], page_size=1)) == 2
    assert len(room.recordings.list()) == 3
    assert room.recordings(done.sid).fetch().room_sid == room.sid
    assert len(recordings.list(media_type="video")) == 1
    assert [found.sid for found in recordings.list(source_sid=done.source_sid)] == [done.sid]


def test_rules_start_and_stop_recordings(stage: Stage) -> None:
    """A room that records nothing records what its rules include, at once, and stops when they exclude it."""
    room = stage.client.video.v1.rooms.create()
    join(stage, room, "ana")
    join(stage, room, "ben")
    rules, recordings = room.recording_rules, stage.client.video.v1.recordings
    assert rules.fetch().rules == [NOTHING]
    assert recordings.list() == []
    rules.update(rules=[NOTHING, {"type": "include", "publisher": "ana", "kind": "audio"}])
    [recording] = recordings.list()
    assert (recording.type, recording.status) == ("audio", "processing")
    wait(stage, 10)
    assert rules.update(rules=[NOTHING]).rules == [NOTHING]
    assert recordings(recording.sid).fetch().status == "completed"
    rules.update(rules=[EVERYTHING, {"type": "exclude", "kind": "video"}])
    assert len(recordings.list(status="processing")) == 2


@pytest.mark.parametrize(
    "rules",
    [
        *("x", "{}", "[]", '[{"type": "maybe", "all": true}]', '[{"type": "include"}]', '[{"x": 1}]'),
        *('[{"type": "include", "all": false}]', '[{"type": "include", "all": true, "kind": "audio"}]'),
        json.dumps([{"type": "include", "publisher": f"guest-{number}"} for number in range(21)]),
    ],
)
def test_bad_rules_are_refused(stage: Stage, rules: str) -> None:
    """Rules that are none are 53120, and so are all once the room is completed (53112)."""
    room = stage.client.video.v1.rooms.create()
    url = f"https://video.twilio.com/v1/Rooms/{room.sid}/RecordingRules"
    answer = stage.client.request("POST", url, data={"Rules": rules})
    assert (answer.status_code, json.loads(answer.text)["code"]) == (400, 53120)
    stage.client.video.v1.rooms(room.sid).update(status="completed")
    with refused(53112):
        room.recording_rules.update(rules=[EVERYTHING])


def test_recordings_are_deleted_and_their_metadata_stay(stage: Stage) -> None:
    """A recording under way is not deleted; a deleted one has no media, reads `deleted`, and is 404 to delete."""
    room = stage.client.video.v1.rooms.create(record_participants_on_connect=True)
    ana = join(stage, room, "ana", tracks=["audio"])
    recordings = stage.client.video.v1.recordings
    recording = recordings(recordings.list()[0].sid)
    with refused(20009):
        recording.delete()
    leave(stage, ana)
    assert recording.delete() is True
    assert recording.fetch().status == "deleted"
    with refused(20404, 404):
        room.recordings(recording.fetch().sid).delete()
    assert recordings.list(status="completed") == []
    assert len(recordings.list(status="deleted")) == 1
    with refused(20404, 404):
        recordings("RT" + "0" * 32).fetch()


def test_scripts_put_recordings_of_any_age(stage: Stage) -> None:
    """Recordings of a given length and age are found by DateCreatedAfter and -Before, and deleted in a walk."""
    room = stage.client.video.v1.rooms.create()
    ana = join(stage, room, "ana")
    old = {"participant_sid": ana, "seconds": 7200, "age": 30 * 86400, "kind": "video", "count": 5}
    made = set(stage.sim("POST", "track-recordings", old)["recordings"])
    stage.sim("POST", "track-recordings", {"participant_sid": ana})
    month = today(stage) - timedelta(days=29)
    recordings = stage.client.video.v1.recordings
    assert {found.sid for found in recordings.list(date_created_before=month)} == made
    assert len(recordings.list(date_created_after=month)) == 1
    assert recordings.list(date_created_before=month)[0].duration == 7200
    walked = [recordings(found.sid).delete() for found in recordings.stream(date_created_before=month, page_size=2)]
    assert walked == [True] * 5


# Media --------------------------------------------------------------------------------------------------------


def media(stage: Stage, sid: str, kind: str = "Recordings", **more: Any) -> requests.Response:
    """Ask for a recording's media without following the redirect."""
    url = f"{stage.server.url}/video.twilio.com/v1/{kind}/{sid}/Media"
    more.setdefault("auth", (KEY, SECRET))
    return requests.get(url, timeout=30, allow_redirects=False, **more)


def recorded(stage: Stage, **more: Any) -> str:
    """Put a recording into the account."""
    room = stage.client.video.v1.rooms.create()
    wanted = {"participant_sid": join(stage, room, "ana"), **more}
    return str(stage.sim("POST", "track-recordings", wanted)["recordings"][0])


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_media_are_reached_by_a_link_that_runs_out(stage: Stage, kind: str) -> None:
    """The media's address answers 302 with a link that needs no login, serves parts too, and runs out."""
    sid = recorded(stage, kind=kind, seconds=30)
    answer = media(stage, sid, params={"Ttl": "600"})
    assert (answer.status_code, answer.json()["redirect_to"]) == (302, answer.headers["Location"])
    link = stage.server.url + answer.headers["Location"]
    file = requests.get(link, timeout=30)
    assert (file.status_code, file.headers["Content-Type"]) == (200, f"{kind}/x-matroska")
    size = stage.client.video.v1.recordings(sid).fetch().size
    assert len(file.content) == size == matroska.size(kind, 30)
    assert file.content.startswith(bytes.fromhex("1a45dfa3"))
    part = requests.get(link, headers={"Range": "bytes=70000-70009"}, timeout=30)
    assert (part.status_code, part.content) == (206, file.content[70000:70010])
    forged = requests.get(link.replace(sid, recorded(stage)), timeout=30)
    assert forged.status_code == 403
    wait(stage, 601)
    assert requests.get(link, timeout=30).status_code == 403
    assert media(stage, sid, auth=None).status_code == 401


def test_the_host_header_needs_no_host_in_the_link(stage: Stage) -> None:
    """Who names the product in the Host header gets a link without it."""
    url = f"{stage.server.url}/v1/Recordings/{recorded(stage)}/Media"
    headers = {"Host": "video.twilio.com"}
    answer = requests.get(url, headers=headers, auth=(KEY, SECRET), timeout=10, allow_redirects=False)
    assert answer.headers["Location"].startswith("/v1/Media/")
    assert requests.get(stage.server.url + answer.headers["Location"], headers=headers, timeout=10).status_code == 200


def test_media_that_are_not_there_are_404(stage: Stage) -> None:
    """A deleted recording has no media, not even by the link of before; a Ttl that is none is 400."""
    sid = recorded(stage)
    link = media(stage, sid).headers["Location"]
    assert media(stage, sid, params={"Ttl": "soon"}).status_code == 400
    stage.client.video.v1.recordings(sid).delete()
    assert media(stage, sid).status_code == 404
    assert requests.get(stage.server.url + link, timeout=10).status_code == 404


def test_a_file_is_made_in_small_pieces() -> None:
    """A file of hours is made piece by piece, and every part is that part of the whole."""
    content = matroska.file("RT" + "1" * 32, "audio", 100)
    pieces = list(content.read(0, content.size))
    assert max(map(len, pieces)) <= 65536
    whole = b"".join(pieces)
    assert len(whole) == content.size
    for start in (0, 15, 65530, 65536, content.size - 1):
        assert b"".join(content.read(start, min(start + 99, content.size))) == whole[start : start + 99]
    hours = matroska.file("RT" + "1" * 32, "video", 24 * 3600)
    assert len(b"".join(hours.read(hours.size - 5, hours.size))) == 5


# Compositions and settings ------------------------------------------------------------------------------------


def test_a_composition_is_made_listed_and_deleted(stage: Stage) -> None:
    """A completed room's recordings are mixed, told of, served, and deleted once; without recordings they are not."""
    rooms, compositions = stage.client.video.v1.rooms, stage.client.video.v1.compositions
    room = rooms.create()
    recording = stage.sim(
        "POST", "track-recordings", {"participant_sid": join(stage, room, "ana"), "seconds": 120, "kind": "video"}
    )["recordings"][0]
    with refused(53112):
        compositions.create(room_sid=room.sid)
    rooms(room.sid).update(status="completed")
    made = compositions.create(room_sid=room.sid, status_callback=f"{stage.receiver.url}/composition", format="webm")
    assert made.status == "enqueued"
    composition = compositions(made.sid)
    assert (composition.fetch().status, composition.fetch().duration) == ("completed", 120)
    stage.sim("GET", "webhooks")
    events = [delivery.fields["StatusCallbackEvent"] for delivery in stage.receiver.got("/composition")]
    assert events == ["composition-enqueued", "composition-started", "composition-available"]
    available = stage.receiver.got("/composition")[-1]
    assert available.fields["MediaUri"] == f"/v1/Compositions/{made.sid}/Media"
    assert available.signed_with(TOKEN)
    link = stage.server.url + media(stage, made.sid, "Compositions").headers["Location"]
    assert len(requests.get(link, timeout=30).content) == composition.fetch().size
    assert [found.sid for found in compositions.list(status="completed", room_sid=room.sid)] == [made.sid]
    untold = compositions.create(room_sid=room.sid)
    assert (compositions(untold.sid).fetch().status, compositions(untold.sid).delete()) == ("completed", True)
    assert compositions.list(date_created_before=today(stage) - timedelta(days=1)) == []
    assert composition.delete() is True
    assert composition.fetch().status == "deleted"
    with refused(20404, 404):
        composition.delete()
    with refused(20404, 404):
        compositions("CJ" + "0" * 32).fetch()
    assert media(stage, made.sid, "Compositions").status_code == 404
    stage.client.video.v1.recordings(recording).delete()
    with refused(53628):
        compositions.create(room_sid=room.sid)


@pytest.mark.parametrize("kind", ["recording_settings", "composition_settings"])
def test_storage_settings_are_kept(stage: Stage, kind: str) -> None:
    """Where media go is unset at first, set with a name, and told."""
    settings = getattr(stage.client.video.v1, kind)()
    assert (settings.fetch().aws_storage_enabled, settings.fetch().aws_s3_url) == (False, None)
    with refused(20001):
        settings.create("")
    made = settings.create("bucket", aws_s3_url="https://bucket.s3.amazonaws.com/video", aws_storage_enabled=True)
    assert (made.aws_storage_enabled, made.encryption_enabled) == (True, False)
    assert settings.fetch().aws_s3_url == "https://bucket.s3.amazonaws.com/video"


# Callbacks ----------------------------------------------------------------------------------------------------


def events(stage: Stage) -> list[str]:
    """Return the events that were told, in order."""
    stage.sim("GET", "webhooks")
    return [delivery.fields["StatusCallbackEvent"] for delivery in stage.receiver.got("/room")]


def visited(stage: Stage) -> Any:
    """Let Ana be in a recorded room for ten seconds."""
    room = stage.client.video.v1.rooms.create(
        unique_name="visit", record_participants_on_connect=True, status_callback=f"{stage.receiver.url}/room"
    )
    join(stage, room, "ana", tracks=["audio"])
    wait(stage, 10)
    stage.client.video.v1.rooms(room.sid).update(status="completed")
    return room


def test_everything_in_a_room_is_told_signed(stage: Stage) -> None:
    """A room's life is told in order, each event signed and with its fields."""
    room = visited(stage)
    assert events(stage) == [
        "room-created",
        "participant-connected",
        "track-added",
        "recording-started",
        "recording-completed",
        "participant-disconnected",
        "room-ended",
    ]
    told = {delivery.fields["StatusCallbackEvent"]: delivery for delivery in stage.receiver.got("/room")}
    assert all(delivery.signed_with(TOKEN) for delivery in told.values())
    assert [delivery.fields["SequenceNumber"] for delivery in told.values()] == list("0123456")
    common = {"RoomSid": room.sid, "RoomName": "visit", "RoomType": "group", "AccountSid": ACCOUNT}
    assert all(common.items() <= delivery.fields.items() for delivery in told.values())
    assert told["participant-connected"].fields["ParticipantIdentity"] == "ana"
    assert told["participant-disconnected"].fields["ParticipantDuration"] in {"10", "11"}
    assert told["room-ended"].fields["RoomDuration"] in {"10", "11"}
    completed = told["recording-completed"].fields
    assert (completed["Type"], completed["Container"], completed["Duration"] in {"10", "11"}) == ("audio", "mka", True)
    assert completed["MediaUri"] == f"/v1/Recordings/{completed['RecordingSid']}/Media"


@pytest.mark.parametrize(
    ("fault", "count"),
    [({"mode": "lost", "times": 1}, 6), ({"mode": "duplicate"}, 14), ({"mode": "reorder", "times": 1}, 7)],
)
def test_room_events_suffer_ordered_faults(stage: Stage, fault: dict[str, Any], count: int) -> None:
    """An event can be lost, doubled, or come after the end of the room."""
    stage.sim("POST", "faults", {"on": "webhook", "match": "^room", **fault})
    visited(stage)
    assert len(events(stage)) == count
    assert (events(stage)[-1] == "room-created") is (fault["mode"] == "reorder")


def test_bad_rooms_are_refused(stage: Stage) -> None:
    """A callback that is no URL, one by GET, and a number that is none are 20001."""
    create = stage.client.video.v1.rooms.create
    for wish in ({"status_callback": "x"}, {"status_callback_method": "GET"}, {"max_participants": "many"}):
        with refused(20001):
            create(**wish)


def test_a_snapshot_carries_rooms_on(stage: Stage) -> None:
    """A restored emulator knows who is in which room, what is recorded, and which tokens count."""
    room = stage.client.video.v1.rooms.create(unique_name="visit", record_participants_on_connect=True)
    ana = join(stage, room, "ana")
    snapshot = stage.emulator.snapshot()
    stage.reset()
    stage.emulator.restore(snapshot)
    assert stage.emulator.snapshot() == snapshot
    wait(stage, 20)
    leave(stage, ana)
    assert {found.duration in {20, 21} for found in stage.client.video.v1.recordings.list()} == {True}
    assert ask_in(stage, token=token()).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("join", {"room": "visit"}, "`identity`"),
        ("join", {"room": "visit", "identity": "ana", "tracks": ["smell"]}, "`tracks`"),
        ("leave", {"participant_sid": "PA0"}, "participant_sid"),
        ("track-recordings", {"participant_sid": "PA0", "kind": "smell"}, "`kind`"),
        ("track-recordings", {"participant_sid": "PA0"}, "participant_sid"),
    ],
)
def test_a_bad_script_is_told_what_to_do(stage: Stage, path: str, body: dict[str, Any], says: str) -> None:
    """An impossible request to an app is 400 with a sentence that names the key."""
    answer = requests.post(f"{stage.server.url}/_sim/{path}", json=body, timeout=10)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True)
