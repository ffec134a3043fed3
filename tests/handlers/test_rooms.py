"""Video rooms: recorded while everybody in them agrees, and of nobody else; archived, and gone from Twilio."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from parley import erasing, rooms, runtime
from parley.core.holds import Subject
from parley.core.records import Record, Stage
from parley.core.rooms import Room
from parley.handlers import archive, sweep
from parley.handlers import rooms as handler

from local.twilio.routes import sim_apps
from tests.handlers import archiving
from tests.handlers.archives import CONTENT, COPY_DAYS, Archives, sqs_event
from tests.handlers.boundaries import at, count, die_at
from tests.handlers.world import GATE, World, body, lines, output, problem_of

EVENT = "room"
NAME = "local-ride-7"
ANA, BEN, CLEO = "user:ana", "+12125550112", "user:cleo"
"""Two are known by an id of the operator's own, one by a number."""
DEAF = {"on": "webhook", "match": "^room", "mode": "lost"}
JUDGING = ["get_item", "fetch-room", "list-participants", "transact_get_items", "transact_get_items"]
WRITING = ["get_item", "transact_write_items"]
BEGINNING = [*JUDGING, "get_item", "transact_write_items", "transact_write_items", "set-rules", *WRITING]
ENDING = [*JUDGING, "get_item", "transact_write_items", "transact_write_items", "set-rules", "list-video-recordings"]
ENDING += ["transact_get_items", *["transact_write_items"] * 4, *WRITING, *JUDGING, "fetch-rules"]


class Studio:
    """A room of the operator's own, and the queues and buckets around it."""

    def __init__(self, world: World, *, agreed: tuple[str, ...] = (ANA, BEN), **room: Any) -> None:
        self.world = world
        world.patch.setenv("PARLEY_CHANNELS", json.dumps(["voice", "sms", "video"]))
        self.archives = Archives(world)
        for who in agreed:
            self.agree(who)
        made = {"unique_name": NAME, "status_callback": f"{GATE}/twilio/room", **room}
        self.sid: str = world.twilio.video.v1.rooms.create(**made).sid
        self.people: dict[str, str] = {}
        self.settle()

    def agree(self, who: str, state: str = "given") -> None:
        """Let somebody agree to being connected and recorded, or say something else about the latter."""
        self.world.consent(who)
        self.world.consent(who, state, scope="record_video")

    def settle(self) -> None:
        """Let Twilio tell what there is to tell."""
        self.world.emulator.callbacks.settle()
        self.world.emulator.webhooks.drain()

    def join(self, *people: str) -> None:
        """Let people's apps join."""
        for who in people:
            told = sim_apps.join(self.world.emulator, {"room": self.sid, "identity": who})
            self.people[who] = told["participant_sid"]
            self.world.clock.advance(5)

    def leave(self, who: str) -> None:
        """Let somebody's app leave."""
        sim_apps.leave(self.world.emulator, {"participant_sid": self.people[who]})

    def complete(self) -> None:
        """Let the operator's backend end the room."""
        self.world.clock.advance(5)
        self.world.twilio.video.v1.rooms(self.sid).update(status="completed")
        self.settle()

    def look_after(self) -> None:
        """Let the schedule fire once, and the rooms' queue be worked off."""
        handler.handle({}, None)
        self.archives.work("rooms", handler.handle)

    def archive(self) -> None:
        """Let the archive work off its queue."""
        self.archives.work("archive", archive.handle)

    def deaf(self) -> None:
        """Let Twilio lose its callbacks from now on."""
        self.world.emulator.faults.add(DEAF)

    def out_of_order(self) -> None:
        """Let Twilio take no more Recording Rules."""
        self.world.emulator.faults.add({"on": "rest", "mode": "error", "status": 503, "match": "POST video.*Rules"})

    @property
    def under_way(self) -> set[str]:
        """The people who are being recorded at Twilio at this moment."""
        state = self.world.emulator.carrier.state
        on = [one for one in state.track_recordings.values() if one.status == "processing" and one.room_sid == self.sid]
        return {state.room_participants[one.participant_sid].identity for one in on}

    @property
    def room(self) -> Room:
        """What the ledger knows of the room, which must be there."""
        found = self.world.ledger.room(self.sid)
        assert found is not None
        return found

    def records(self, who: str = "") -> list[Record]:
        """Return the records of the room's recordings, of one participant's tracks if they are named."""
        state = self.world.emulator.carrier.state
        found = [one for one in self.world.ledger.records_in(self.sid) if one.sid.startswith("RT")]
        sid = self.people.get(who)
        return [one for one in found if not who or state.track_recordings[one.sid].participant_sid == sid]

    def at_twilio(self) -> dict[str, str]:
        """Return the recordings of the room at Twilio with their states."""
        found = self.world.emulator.carrier.state.track_recordings.values()
        return {one.sid: one.status for one in found if one.room_sid == self.sid}


@pytest.fixture
def stage(world: World) -> Studio:
    """Give a room that nobody is in yet, where Ana and Ben agreed to be recorded."""
    return Studio(world)


class TestRecording:
    """A room is recorded when everybody in it agrees, and only those who are in it."""

    def test_room_of_people_who_agree_is_recorded(self, stage: Studio, capsys: pytest.CaptureFixture[str]) -> None:
        """Alone nobody is recorded; when the other one comes both are, and the row rests on both consents."""
        stage.join(ANA)
        assert (stage.under_way, stage.room.reason) == (set(), "alone")
        stage.join(BEN)
        assert stage.under_way == {ANA, BEN}
        assert set(stage.room.seats) == set(stage.people.values())
        assert len(stage.room.consents) == 2
        said, measured = output(capsys)
        decided = [each["decision"] for each in said if each.get("handler") == "rooms"]
        assert decided == ["deny", "permit"]
        assert any(each.get("RecordingsStarted") == 2 for each in measured)
        assert BEN not in str(stage.world.rows()) + str(said)

    @pytest.mark.parametrize("state", ["refused", "withdrawn", "requested"])
    def test_one_who_does_not_agree_keeps_everybody_off(self, world: World, state: str) -> None:
        """Nothing of anybody is recorded while somebody is there who has not said yes."""
        stage = Studio(world, agreed=(ANA,))
        stage.agree(BEN, state)
        stage.join(ANA, BEN)
        assert stage.under_way == set()
        assert stage.at_twilio() == {}

    def test_consent_to_recording_alone_is_not_enough(self, world: World) -> None:
        """Who did not agree to be connected is not recorded either."""
        stage = Studio(world, agreed=(ANA,))
        world.consent(BEN, scope="record_video")
        stage.join(ANA, BEN)
        assert stage.under_way == set()

    def test_party_key_is_an_identity(self, stage: Studio) -> None:
        """An app that joins under the party's key is that person."""
        key = stage.world.identities.party(BEN)
        stage.join(ANA, key)
        assert stage.under_way == {ANA, key}

    def test_stranger_keeps_everybody_off(self, stage: Studio) -> None:
        """An identity that names nobody stops the recording of all."""
        stage.join(ANA, BEN, "Ben from sales")
        assert (stage.under_way, stage.room.reason) == (set(), "participant-unknown")

    def test_room_of_another_name_is_let_be(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A room whose name does not begin with the stack's is neither recorded nor written down."""
        stage = Studio(world, unique_name="sales-1")
        stage.join(ANA, BEN)
        assert stage.under_way == set()
        assert world.ledger.room(stage.sid) is None
        assert "room-not-ours" in {each["event"] for each in lines(capsys)}

    def test_more_people_than_rules_are_not_recorded(self, stage: Studio) -> None:
        """Twilio takes twenty rules, so a room with more people is not recorded."""
        stage.join(ANA, BEN)
        people = [f"user:guest-{number}" for number in range(19)]
        for who in people:
            sim_apps.join(stage.world.emulator, {"room": stage.sid, "identity": who, "tracks": []})
        assert (stage.under_way, stage.room.reason) == (set(), "too-many-people")

    def test_lost_callbacks_record_nobody(self, stage: Studio) -> None:
        """Without a callback nothing is recorded until the check looks at the room, which it knows by its creation."""
        stage.deaf()
        stage.join(ANA, BEN)
        assert stage.under_way == set()
        stage.look_after()
        assert stage.under_way == {ANA, BEN}

    def test_room_that_nobody_told_of_is_never_recorded(self, world: World) -> None:
        """Where every callback is lost nothing is ever recorded, whatever the consents say."""
        world.emulator.faults.add(DEAF)
        stage = Studio(world)
        stage.join(ANA, BEN)
        stage.look_after()
        assert stage.at_twilio() == {}


class TestLateJoiner:
    """Somebody who comes later and has not agreed."""

    def test_everything_is_off_until_they_agree(self, stage: Studio) -> None:
        """Nothing of the late one is ever recorded, the others' recording ends, and goes on once all agree."""
        stage.join(ANA, BEN)
        stage.join(CLEO)
        assert stage.under_way == set()
        assert stage.room.reason == "manage-unknown"
        assert len(stage.records()) == 4
        assert {one.stage for one in stage.records()} == {Stage.CAPTURED}
        stage.agree(CLEO)
        stage.look_after()
        assert stage.under_way == {ANA, BEN, CLEO}
        assert len(stage.room.consents) == 3

    def test_they_leave_again(self, stage: Studio) -> None:
        """Recording goes on when the one who has not agreed is gone."""
        stage.join(ANA, BEN, CLEO)
        stage.leave(CLEO)
        assert stage.under_way == {ANA, BEN}

    def test_who_agreed_is_added(self, world: World) -> None:
        """A third one who agreed is recorded as well, without the others' recording being interrupted."""
        stage = Studio(world, agreed=(ANA, BEN, CLEO))
        stage.join(ANA, BEN)
        before = set(stage.at_twilio())
        stage.join(CLEO)
        assert stage.under_way == {ANA, BEN, CLEO}
        assert {stage.at_twilio()[sid] for sid in before} == {"processing"}

    def test_lost_callback_is_made_up_for_in_a_minute(self, stage: Studio) -> None:
        """Nothing of somebody whose arrival nobody told of is recorded, and the check ends that of the others."""
        stage.join(ANA, BEN)
        stage.deaf()
        stage.join(CLEO)
        assert stage.under_way == {ANA, BEN}
        stage.look_after()
        assert stage.under_way == set()

    def test_ledger_that_is_down_ends_it(self, stage: Studio) -> None:
        """Where nobody can tell whether somebody who joins agreed, nothing is recorded."""
        stage.join(ANA, BEN)
        stage.world.break_ledger()
        stage.join(CLEO)
        assert stage.under_way == set()

    def test_twilio_that_fails_is_asked_again(self, stage: Studio) -> None:
        """A room whose rules could not be set is on the queue, and whoever works on it ends the recording."""
        stage.join(ANA, BEN)
        stage.out_of_order()
        stage.join(CLEO)
        assert stage.under_way == {ANA, BEN}
        stage.world.emulator.faults.clear()
        stage.archives.work("rooms", handler.handle)
        assert stage.under_way == set()


class TestWithdrawal:
    """A no ends the recording before it is answered."""

    @pytest.mark.parametrize("scope", ["record_video", "manage"])
    def test_it_ends_at_once(self, stage: Studio, scope: str) -> None:
        """The recording is over when the no is answered, what was recorded before is kept, and it stays off."""
        stage.join(ANA, BEN)
        answered = stage.world.consent(BEN, "withdrawn", scope=scope)
        assert answered["statusCode"] == 201
        assert stage.under_way == set()
        assert (stage.room.owed, stage.room.reason) == (False, "stopped-by-withdrawal")
        assert {one.stage for one in stage.records()} == {Stage.CAPTURED}
        stage.look_after()
        assert stage.under_way == set()

    def test_other_scope_lets_it_go_on(self, stage: Studio) -> None:
        """Who takes back something else is recorded as before."""
        stage.join(ANA, BEN)
        stage.world.consent(BEN, "refused", scope="record_voice")
        assert stage.under_way == {ANA, BEN}

    def test_who_waits_is_answered_first(self, stage: Studio) -> None:
        """Where Twilio waits one short request ends it, and the check writes down what was recorded."""
        stage.join(ANA, BEN)
        key = stage.world.identities.party(BEN)
        _withdraw_quietly(stage, BEN)
        assert rooms.stop_without_consent(key, deadline=float("inf")) == []
        assert stage.under_way == set()
        assert stage.room.owed
        assert stage.records() == []
        stage.look_after()
        assert not stage.room.owed
        assert {one.stage for one in stage.records()} == {Stage.CAPTURED}

    def test_late_is_left_to_the_check(self, stage: Studio) -> None:
        """What there was no time for is named, and done by the next check."""
        stage.join(ANA, BEN)
        _withdraw_quietly(stage, BEN)
        assert rooms.stop_without_consent(stage.world.identities.party(BEN), deadline=0.0) == [stage.sid]
        stage.look_after()
        assert stage.under_way == set()

    def test_twilio_that_fails_is_told(self, stage: Studio) -> None:
        """The caller hears that the room is still recorded, and the next check ends it."""
        stage.join(ANA, BEN)
        stage.out_of_order()
        answered = stage.world.consent(BEN, "withdrawn", scope="record_video")
        assert (answered["statusCode"], body(answered)["pending_sessions"]) == (202, [stage.sid])
        stage.world.emulator.faults.clear()
        stage.look_after()
        assert stage.under_way == set()

    def test_stack_without_video_looks_for_no_rooms(self, world: World) -> None:
        """Where there is no video a no costs nothing more."""
        Archives(world)
        world.consent(BEN)
        key = world.identities.party(BEN)
        assert count(lambda: rooms.stop_without_consent(key)) == []


def _withdraw_quietly(stage: Studio, who: str) -> None:
    """Let somebody take their consent back as if whoever wrote that down had died before anything followed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "stop_without_consent", lambda *_: [])
        stage.world.consent(who, "withdrawn", scope="record_video")


class TestArchive:
    """What was recorded comes into the bucket and leaves Twilio."""

    def test_recordings_are_archived_and_deleted(self, stage: Studio) -> None:
        """Each track is an object that ends with its container, proven, with a sidecar, and is gone at Twilio."""
        stage.join(ANA, BEN)
        stage.complete()
        stage.archive()
        assert {one.stage for one in stage.records()} == {Stage.DELETED}
        assert set(stage.at_twilio().values()) == {"deleted"}
        keys = sorted(stage.archives.objects())
        assert {key.rpartition(".")[2] for key in keys} == {"mka", "mkv", "json"}
        assert len(keys) == 8
        record = stage.records()[0]
        assert record.key.startswith(f"video-recordings/{stage.sid}/RT")
        assert set(record.parties) == {stage.world.identities.party(who) for who in (ANA, BEN)}
        assert len(record.consents) == 2
        assert len(record.sha256) == 64
        assert stage.room.over
        assert not stage.room.goes_on
        assert stage.archives.set_aside["archive"] == []

    def test_every_byte_is_there(self, stage: Studio) -> None:
        """The object is the file that Twilio had, under the content key."""
        stage.join(ANA, BEN)
        stage.complete()
        video = stage.world.emulator.carrier.video
        state = stage.world.emulator.carrier.state
        files = {sid: video.media(state.track_recordings[sid]) for sid in stage.at_twilio()}
        heard = {sid: b"".join(file.read(0, file.size)) for sid, file in files.items()}
        stage.archive()
        for record in stage.records():
            head = stage.archives.s3.head_object(Bucket=CONTENT, Key=record.key)
            assert stage.archives.objects()[record.key] == heard[record.sid]
            assert head["SSEKMSKeyId"] == stage.archives.content_key
            assert record.media_type in {"audio/x-matroska", "video/x-matroska"}

    def test_callback_before_the_room_is_settled_waits(self, stage: Studio) -> None:
        """While nobody has said what becomes of a recording it is looked at again, not dropped."""
        stage.join(ANA, BEN)
        _withdraw_quietly(stage, BEN)
        rooms.stop_without_consent(stage.world.identities.party(BEN), deadline=float("inf"))
        (first, *_) = stage.at_twilio()
        archive.handle(_work(stage, first), None)
        assert stage.records() == []
        stage.look_after()
        stage.archive()
        assert {one.stage for one in stage.records()} == {Stage.DELETED}

    def test_track_of_one_who_stays_is_archived_while_the_room_goes_on(self, world: World) -> None:
        """Who leaves early is archived although the others go on and nobody wrote their recording down yet."""
        stage = Studio(world, agreed=(ANA, BEN, CLEO))
        stage.join(ANA, BEN, CLEO)
        stage.leave(CLEO)
        stage.archive()
        assert {one.stage for one in stage.records(CLEO)} == {Stage.DELETED}
        assert stage.under_way == {ANA, BEN}

    def test_room_that_records_by_itself_keeps_nothing(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A room that was created to record is silenced, and what it recorded is deleted and never stored."""
        stage = Studio(world, agreed=(ANA,), record_participants_on_connect=True)
        stage.join(ANA, BEN)
        assert stage.under_way == set()
        stage.complete()
        stage.archive()
        assert stage.archives.objects() == {}
        assert set(stage.at_twilio().values()) <= {"deleted"}
        assert "room-recorded-unasked" in {each["event"] for each in lines(capsys)}

    def test_recording_by_somebody_else_is_dropped(self, stage: Studio, capsys: pytest.CaptureFixture[str]) -> None:
        """What somebody turned on behind the ledger's back is turned off by the check, and nothing of it is kept."""
        stage.join(ANA, CLEO)
        stage.world.twilio.video.v1.rooms(stage.sid).recording_rules.update(rules=[{"type": "include", "all": True}])
        assert stage.under_way == {ANA, CLEO}
        stage.look_after()
        assert stage.under_way == set()
        assert {one.stage for one in stage.records()} == {Stage.DROPPED}
        stage.settle()
        stage.archive()
        assert set(stage.at_twilio().values()) == {"deleted"}
        assert stage.archives.objects() == {}
        assert any(each.get("RecordingsDropped") for each in output(capsys)[1])

    def test_lost_callbacks_are_found_by_the_sweeper(self, stage: Studio) -> None:
        """A recording whose end nobody told of is archived a few hours later all the same."""
        stage.join(ANA, BEN)
        stage.deaf()
        stage.complete()
        stage.look_after()
        stage.world.clock.advance(5 * 3600)
        sweep.handle({}, None)
        stage.archives.work("sweep", sweep.handle, rounds=2000)
        stage.archive()
        assert {one.stage for one in stage.records()} == {Stage.DELETED}

    def test_recording_of_a_foreign_room_is_let_be(self, world: World) -> None:
        """What was recorded in a room that is not the stack's stays where it is."""
        stage = Studio(world, unique_name="sales-1", record_participants_on_connect=True)
        stage.join(ANA, BEN)
        stage.complete()
        stage.archive()
        assert set(stage.at_twilio().values()) == {"completed"}

    def test_composition_is_archived(self, stage: Studio) -> None:
        """A composition that the operator orders is kept like a recording, and deleted at Twilio."""
        stage.world.patch.setenv("PARLEY_TWILIO_COPY_DAYS", json.dumps({**COPY_DAYS, "video-recordings": 2}))
        runtime.reset()
        stage.join(ANA, BEN)
        stage.complete()
        stage.archive()
        stage.world.patch.setenv("PARLEY_TWILIO_COPY_DAYS", json.dumps(COPY_DAYS))
        runtime.reset()
        made = stage.world.twilio.video.v1.compositions.create(
            room_sid=stage.sid, audio_sources=["*"], status_callback=f"{GATE}/twilio/room"
        )
        stage.settle()
        stage.archive()
        record = stage.world.ledger.record(made.sid)
        assert record is not None
        assert (record.stage, record.key) == (Stage.DELETED, f"video-recordings/{stage.sid}/{made.sid}.webm")
        assert stage.world.twilio.video.v1.compositions(made.sid).fetch().status == "deleted"

    def test_composition_of_what_nobody_agreed_to_is_dropped(self, stage: Studio) -> None:
        """Where something in the room was recorded without consent no composition of it is kept."""
        stage.join(ANA, BEN)
        stage.join(CLEO)
        stage.world.twilio.video.v1.rooms(stage.sid).recording_rules.update(rules=[{"type": "include", "all": True}])
        stage.complete()
        made = stage.world.twilio.video.v1.compositions.create(
            room_sid=stage.sid, audio_sources=["*"], status_callback=f"{GATE}/twilio/room"
        )
        stage.settle()
        stage.archive()
        record = stage.world.ledger.record(made.sid)
        assert record is not None
        assert record.stage is Stage.DISCARDED
        assert not [key for key in stage.archives.objects() if made.sid in key]

    def test_killed_anywhere(self, stage: Studio) -> None:
        """Whoever dies after any call leaves one object, and a recording that goes once it is proven."""
        stage.join(ANA, BEN)
        calls = 1
        for number in range(30):
            made = {"participant_sid": stage.people[ANA], "kind": "video", "seconds": 1, "age": 2}
            (sid,) = sim_apps.track_recordings(stage.world.emulator, made)["recordings"]
            (message,) = [each["body"] for each in stage.archives.waiting("archive")]
            if number == 0:
                calls = len(archiving.calls_of(message))
            elif number <= calls:
                assert archiving.die_at(number - 1, after=False, message=message)
            assert archiving.hand_over(message)
            assert stage.at_twilio()[sid] == "deleted"
        assert 20 < calls < 30
        assert len(stage.archives.objects()) == 60

    def test_hold_keeps_the_object(self, stage: Studio) -> None:
        """What is archived under a hold on the room is held in the bucket."""
        archiving.hold(stage.world, Subject.SESSION, stage.sid)
        stage.join(ANA, BEN)
        stage.complete()
        stage.archive()
        key = stage.records()[0].key
        held = stage.archives.s3.get_object_legal_hold(Bucket=CONTENT, Key=key)["LegalHold"]["Status"]
        assert (held, set(stage.at_twilio().values())) == ("ON", {"deleted"})

    def test_hold_keeps_what_is_not_archived(self, stage: Studio) -> None:
        """What nobody agreed to stays at Twilio while a hold on somebody who was in the room lasts."""
        archiving.hold(stage.world, Subject.PARTY, stage.world.identities.party(CLEO))
        stage.join(ANA, CLEO)
        stage.world.twilio.video.v1.rooms(stage.sid).recording_rules.update(rules=[{"type": "include", "all": True}])
        stage.look_after()
        stage.settle()
        stage.archive()
        assert set(stage.at_twilio().values()) == {"completed"}
        assert {one.stage for one in stage.records()} == {Stage.DROPPED}

    def test_erasure_finds_what_was_recorded(self, stage: Studio) -> None:
        """An erasure of somebody goes by all that was recorded in their rooms, on both sides, and the rows of these."""
        stage.join(ANA, BEN)
        stage.complete()
        key = stage.world.identities.party(ANA)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("parley.erasing.CONNECTIONS", 1)
            begun = erasing.begin(key, None, reason="request", actor="test")
        kinds = Counter(str(item.kind) for item in begun.items)
        assert (kinds["video-recording"], kinds["object-versions"], kinds["session-rows"]) == (4, 4, 1)
        assert f"SESSION#{stage.sid}" in {item.place for item in begun.items}

    @pytest.mark.parametrize(
        ("mode", "more"), [("truncated", {}), ("error", {"status": 503}), ("wrong-type", {}), ("empty", {})]
    )
    def test_media_that_fail_stay_at_twilio(self, stage: Studio, mode: str, more: dict[str, Any]) -> None:
        """What does not come whole is set aside, and Twilio's copy is untouched."""
        stage.join(ANA, BEN)
        stage.complete()
        stage.world.emulator.faults.add({"on": "rest", "mode": mode, "match": "GET video.*/v1/Media/", **more})
        stage.archive()
        assert len(stage.archives.set_aside["archive"]) == 4
        assert set(stage.at_twilio().values()) == {"completed"}
        assert stage.archives.objects() == {}


def _work(stage: Studio, sid: str) -> dict[str, Any]:
    """Return the event that hands over one recording to the archive."""
    return sqs_event("archive", ("m", {"kind": "video-recording", "sid": sid, "room": stage.sid}))


class TestOrder:
    """Whoever dies, and whoever says something in between, leaves nothing that is recorded without consent."""

    @pytest.mark.parametrize("number", range(len(BEGINNING)), ids=[f"{n}-{name}" for n, name in enumerate(BEGINNING)])
    def test_killed_while_it_begins(self, stage: Studio, number: int) -> None:
        """A look that dies anywhere leaves a room that the next one brings to where it belongs."""
        stage.deaf()
        stage.join(ANA, BEN)
        assert die_at(number, after=True, act=lambda: rooms.look(stage.sid))
        stage.look_after()
        assert stage.under_way == {ANA, BEN}
        assert set(stage.room.seats) == set(stage.people.values())
        stage.complete()
        stage.look_after()
        for sid in stage.at_twilio():
            archive.handle(_work(stage, sid), None)
        stage.archive()
        assert set(stage.at_twilio().values()) == {"deleted"}
        assert {one.stage for one in stage.records()} == {Stage.DELETED}

    @pytest.mark.parametrize("number", range(len(BEGINNING)), ids=[f"{n}-{name}" for n, name in enumerate(BEGINNING)])
    def test_no_while_it_begins(self, stage: Studio, number: int) -> None:
        """A no after any call of a start leaves nobody recorded, and keeps nothing that began after it."""
        stage.deaf()
        stage.join(ANA, BEN)
        said_at: list[float] = []

        def say() -> None:
            stage.world.clock.advance(3)
            stage.world.consent(BEN, "withdrawn", scope="record_video")
            said_at.append(stage.world.clock.now())
            stage.world.clock.advance(3)

        with at(number, after=True, happen=say) as boundary:
            rooms.look(stage.sid)
        assert boundary.came
        assert stage.under_way == set()
        stage.look_after()
        state = stage.world.emulator.carrier.state
        kept = [record for record in stage.records() if record.stage is not Stage.DROPPED]
        assert all(state.track_recordings[record.sid].created <= said_at[0] for record in kept)
        assert len(stage.records()) == len(stage.at_twilio())

    @pytest.mark.parametrize("number", range(len(ENDING)), ids=[f"{n}-{name}" for n, name in enumerate(ENDING)])
    def test_killed_while_it_ends(self, stage: Studio, number: int) -> None:
        """Whoever dies while ending it leaves a room in which the next look ends it and writes down what there is."""
        stage.join(ANA, BEN)
        stage.deaf()
        stage.join(CLEO)
        assert die_at(number, after=True, act=lambda: rooms.look(stage.sid))
        stage.look_after()
        assert stage.under_way == set()
        assert not stage.room.owed
        assert {one.stage for one in stage.records()} == {Stage.CAPTURED}
        assert len(stage.records()) == 4

    def test_calls_are_those_of_the_order(self, stage: Studio) -> None:
        """A start is written before Twilio is asked, and accepted after it."""
        stage.deaf()
        stage.join(ANA, BEN)
        assert count(lambda: rooms.look(stage.sid)) == BEGINNING
        stage.join(CLEO)
        assert count(lambda: rooms.look(stage.sid)) == ENDING

    def test_two_looks_at_once(self, stage: Studio) -> None:
        """Whoever looks at the same time finds the same."""
        stage.deaf()
        stage.join(ANA, BEN)
        for number in range(len(BEGINNING)):
            with at(number, after=True, happen=lambda: rooms.look(stage.sid)):
                rooms.look(stage.sid)
            assert stage.under_way == {ANA, BEN}
            assert not stage.room.starting


class TestWebhook:
    """Believed only when signed and well-formed."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"AccountSid": "AC" + "9" * 32},
            {"RoomSid": "RM../../x"},
            {"RoomSid": "CA" + "4" * 32},
            {"RecordingSid": "RT" + "6" * 31},
            {"RecordingSid": "RE" + "6" * 32},
            {"StatusCallbackEvent": "composition-available"},
            {"StatusCallbackEvent": "participant-connected", "drop": ("ParticipantIdentity",)},
            {"drop": ("RoomSid",)},
            {"drop": ("RecordingSid",)},
            {"drop": ("StatusCallbackEvent",)},
            {"signed": False},
            {"token": "wrong"},
        ],
        ids=str,
    )
    def test_what_twilio_would_not_send_is_refused(self, world: World, changes: dict[str, Any]) -> None:
        """A forged callback, another account's or a path in a SID is 403, and nothing is written or sent."""
        archives = Archives(world)
        assert problem_of(world.webhook(EVENT, **changes)) == (403, "not-permitted")
        assert archives.waiting("archive") == []
        assert world.rows() == []

    def test_recording_goes_to_the_archive_by_sids(self, world: World) -> None:
        """The message has the SIDs and nothing of what the callback says besides."""
        archives = Archives(world)
        assert world.webhook(EVENT, MediaUri="https://evil.example/x")["statusCode"] == 204
        (message,) = archives.waiting("archive")
        assert message["body"] == {"kind": "video-recording", "sid": "RT" + "6" * 32, "room": "RM" + "4" * 32}

    @pytest.mark.parametrize("event", ["track-added", "composition-started", "something\nnew", "x" * 200])
    def test_other_events_are_answered_and_left(self, world: World, event: str) -> None:
        """What changes nothing is 204."""
        archives = Archives(world)
        assert world.webhook(EVENT, StatusCallbackEvent=event)["statusCode"] == 204
        assert archives.waiting("archive") == []

    def test_queue_that_is_down_is_told(self, world: World) -> None:
        """Without the queue the answer is 503, and the sweeper finds the recording."""
        archives = Archives(world)
        archives.sqs.delete_queue(QueueUrl=archives.urls["archive"])
        assert problem_of(world.webhook(EVENT)) == (503, "unavailable")

    def test_everything_down_is_told(self, stage: Studio, capsys: pytest.CaptureFixture[str]) -> None:
        """Without the ledger and the queue the answer is 503, the log says so, and the next check looks."""
        stage.archives.sqs.delete_queue(QueueUrl=stage.archives.urls["rooms"])
        stage.world.break_ledger()
        answered = stage.world.webhook(
            EVENT, RoomSid=stage.sid, StatusCallbackEvent="participant-connected", ParticipantIdentity=ANA
        )
        assert problem_of(answered) == (503, "unavailable")
        assert "room-not-queued" in {each["event"] for each in lines(capsys)}
