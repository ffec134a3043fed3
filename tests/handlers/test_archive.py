"""Recordings and their way: into the content bucket, proven there, and then out of Twilio."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from parley import runtime
from parley.adapters.content import ContentStore
from parley.core.archive import RETRIES
from parley.core.holds import Subject
from parley.core.recording import Capture, Phase
from parley.core.records import Stage
from parley.handlers import archive
from parley.variables import EnvironmentMismatchError

from tests.handlers.archives import CONTENT, COPY_DAYS, RECEIVES, Archives
from tests.handlers.archiving import (
    CONSENTS,
    PARTIES,
    SESSION,
    calls_of,
    fault,
    hand_over,
    heard,
    hold,
    in_small_parts,
    name_of,
    recorded,
    send,
    stage_of,
    status_at_twilio,
    uploads,
    versions_of,
    work_of,
)
from tests.handlers.world import ANA, World, lines, output


@pytest.fixture
def archives(world: World) -> Archives:
    """Give the stores beside the ledger."""
    return Archives(world)


def break_s3(world: World, operation: str, code: str, status: int = 403) -> None:
    """Let S3 refuse an operation, as a key that is disabled, a policy or too many requests make it."""
    client = runtime.content()._client

    class Broken:
        def __getattr__(self, name: str) -> Any:
            def refuse(**_: Any) -> None:
                answer: Any = {
                    "Error": {"Code": code, "Message": "+12125550111"},
                    "ResponseMetadata": {"HTTPStatusCode": status},
                }
                raise ClientError(answer, name)

            return refuse if name == operation else getattr(client, name)

    world.patch.setattr(runtime.content(), "_client", Broken())


class TestArchived:
    """What is kept."""

    def test_recording_is_archived_and_leaves_twilio(self, world: World, archives: Archives) -> None:
        """A recording lies in the bucket as Twilio had it, with tags and sidecar, and is gone at Twilio."""
        sid, call = recorded(world)
        sound = heard(world, sid)
        send(sid, call)
        archives.work("archive", archive.handle)
        assert archives.objects()[name_of(sid)] == sound
        record = world.ledger.record(sid)
        assert record is not None
        assert (record.stage, record.seconds, record.upload) == (Stage.DELETED, 1, "")
        assert record.sha256 == hashlib.sha256(sound).hexdigest()
        beside = json.loads(archives.objects()[f"call-recordings/{SESSION}/{sid}.json"])
        assert (beside["consents"], beside["parties"]) == (list(CONSENTS), list(PARTIES))
        assert (beside["sha256"], beside["version"]) == (record.sha256, record.version)
        tags = archives.s3.get_object_tagging(Bucket=CONTENT, Key=name_of(sid))["TagSet"]
        assert {each["Key"]: each["Value"] for each in tags} == {
            "session": SESSION,
            "class": "call-recordings",
            "sid": sid,
            "consents": " ".join(CONSENTS),
        }
        head = archives.s3.head_object(Bucket=CONTENT, Key=name_of(sid))
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", archives.content_key)
        assert head["ContentType"] == "audio/x-wav"
        assert status_at_twilio(world, sid) == "deleted"

    def test_callback_that_comes_again_changes_nothing(self, world: World, archives: Archives) -> None:
        """A doubled callback finds the record deleted, and asks nobody anything."""
        sid, call = recorded(world)
        assert hand_over(work_of(sid, call))
        before = versions_of(archives)
        assert calls_of(work_of(sid, call)) == ["get_item"]
        assert versions_of(archives) == before

    def test_copy_at_twilio_stays_as_long_as_it_may(self, world: World, archives: Archives) -> None:
        """Where the class lets Twilio keep a copy for days, the sweeper deletes it, not the archive."""
        world.patch.setenv("PARLEY_TWILIO_COPY_DAYS", json.dumps({**COPY_DAYS, "call-recordings": 7}))
        runtime.reset()
        sid, call = recorded(world)
        assert hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.ARCHIVED
        assert status_at_twilio(world, sid) == "completed"

    def test_deletion_that_twilio_refuses_waits(self, world: World, archives: Archives) -> None:
        """A 20009 leaves the record archived, and the deletion with the sweeper."""
        sid, call = recorded(world)
        fault(world, "error", f"DELETE .*/Recordings/{sid}", status=400, code=20009, times=1)
        assert hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.ARCHIVED
        (pending,) = world.ledger.due_deletions(runtime.clock().now().replace(year=2100), 10)
        assert pending.resource.sid == sid
        assert hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.DELETED

    def test_long_recording_goes_up_in_parts(self, world: World, archives: Archives) -> None:
        """Forty parts, of which an earlier attempt sent some, make one object with the checksum of all."""
        in_small_parts(world.patch)
        sid, call = recorded(world, seconds=25)
        sound = heard(world, sid)
        fault(world, "truncated", times=1)
        assert not hand_over(work_of(sid, call))
        assert uploads(archives) == 1
        sent: list[int] = []
        send_part = ContentStore._send_part

        def counted(store: ContentStore, key: str, upload: str, number: int, *rest: Any) -> Any:
            sent.append(number)
            return send_part(store, key, upload, number, *rest)

        world.patch.setattr(ContentStore, "_send_part", counted)
        assert hand_over(work_of(sid, call))
        assert archives.objects()[name_of(sid)] == sound
        # Half of the file came the first time; those parts were compared and not sent again.
        assert sent == list(range(sent[0], 42))
        assert 18 <= sent[0] <= 22
        assert uploads(archives) == 0

    def test_recording_of_more_parts_than_s3_takes_is_refused(self, world: World, archives: Archives) -> None:
        """What has too many parts for one object is not archived in silence: Twilio keeps it, and the work fails."""
        in_small_parts(world.patch)
        world.patch.setattr("parley.adapters.content.PARTS_LIMIT", 1)
        sid, call = recorded(world)
        assert not hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.CAPTURED

    def test_parts_are_read_page_by_page(self, world: World, archives: Archives) -> None:
        """An upload of more parts than one answer lists is gone on with all the same."""
        in_small_parts(world.patch)
        sid, call = recorded(world, seconds=25)
        fault(world, "truncated", times=1)
        assert not hand_over(work_of(sid, call))
        client, pages = runtime.content()._client, []
        record = world.ledger.record(sid)
        assert record is not None

        class Paged:
            def __getattr__(self, name: str) -> Any:
                def by_sevens(**named: Any) -> Any:
                    pages.append(named["PartNumberMarker"])
                    return client.list_parts(**named, MaxParts=7)

                return by_sevens if name == "list_parts" else getattr(client, name)

        world.patch.setattr(runtime.content(), "_client", Paged())
        parts = runtime.content().parts(name_of(sid), record.upload)
        assert parts is not None
        assert list(parts) == list(range(1, len(parts) + 1))
        assert pages == list(range(0, len(parts), 7))

    def test_part_that_differs_is_sent_again(self, world: World, archives: Archives) -> None:
        """A part of an upload that is not what Twilio has now is replaced."""
        in_small_parts(world.patch)
        sid, call = recorded(world)
        record = world.ledger.record(sid)
        assert record is not None
        content = runtime.content()
        upload = content.begin(name_of(sid), media_type="audio/x-wav", tags={"sid": sid}, held=False)
        content._send_part(name_of(sid), upload, 1, bytearray(b"x" * 20_000), hashlib.sha256(b"x" * 20_000).digest())
        assert world.ledger.advance(record, replace(record, upload=upload))
        sound = heard(world, sid)
        assert hand_over(work_of(sid, call))
        assert archives.objects()[name_of(sid)] == sound

    def test_upload_that_s3_dropped_is_begun_anew(self, world: World, archives: Archives) -> None:
        """An upload that was given up by the bucket's rule is replaced by another one."""
        sid, call = recorded(world)
        fault(world, "truncated", times=1)
        assert not hand_over(work_of(sid, call))
        (left,) = archives.s3.list_multipart_uploads(Bucket=CONTENT)["Uploads"]
        archives.s3.abort_multipart_upload(Bucket=CONTENT, Key=left["Key"], UploadId=left["UploadId"])
        assert hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.DELETED


class TestRefused:
    """What is never kept."""

    def test_recording_without_a_record_is_dropped(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A recording that nobody agreed to is deleted at Twilio, stored nowhere, told and counted."""
        sid, call = recorded(world, known=False)
        assert hand_over(work_of(sid, call))
        told, measured = output(capsys)
        assert [line["reason"] for line in told if line["event"] == "record-dropped"] == ["no-consent-on-record"]
        assert [line["RecordingsDropped"] for line in measured if "RecordingsDropped" in line] == [1]
        assert stage_of(world, sid) is Stage.DISCARDED
        assert status_at_twilio(world, sid) == "deleted"
        assert versions_of(archives) == []

    def test_record_without_consents_is_dropped(self, world: World, archives: Archives) -> None:
        """A record that names no consent proves none."""
        world.patch.setattr("tests.handlers.archiving.CONSENTS", ())
        sid, call = recorded(world)
        assert hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.DISCARDED
        assert versions_of(archives) == []

    @pytest.mark.parametrize("script", [{"status": "absent"}, {"seconds": 0.0}])
    def test_recording_without_sound_is_dropped(self, world: World, archives: Archives, script: dict[str, Any]) -> None:
        """An absent recording, or one without a second, is not stored and leaves Twilio."""
        sid, call = recorded(world, **script)
        assert hand_over(work_of(sid, call))
        record = world.ledger.record(sid)
        assert record is not None
        assert (record.stage, record.reason) == (Stage.DISCARDED, "nothing-heard")
        assert versions_of(archives) == []

    def test_recording_that_is_gone_is_told(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What somebody deleted at Twilio before it was archived is lost, and said to be."""
        sid, call = recorded(world)
        world.twilio.recordings(sid).delete()
        assert hand_over(work_of(sid, call))
        assert [line["level"] for line in lines(capsys) if line["event"] == "record-lost"] == ["ERROR"]
        record = world.ledger.record(sid)
        assert record is not None
        assert (record.stage, record.reason) == (Stage.DISCARDED, "gone-at-twilio")

    def test_recording_that_somebody_is_writing_down_waits(self, world: World, archives: Archives) -> None:
        """While whoever started it may be about to write its record, it is neither kept nor dropped."""
        sid, call = recorded(world, known=False)
        capture = Capture(call, SESSION, PARTIES, runtime.clock().now(), phase=Phase.STARTING)
        assert world.ledger.write_capture(None, capture)
        assert hand_over(work_of(sid, call))
        (waiting,) = archives.waiting("archive")
        assert (waiting["delay"], waiting["body"]["attempt"]) == (RETRIES[0], 1)
        assert stage_of(world, sid) is None
        assert status_at_twilio(world, sid) == "completed"


class TestFaults:
    """Whatever fails, Twilio's copy stays until the bucket's is proven."""

    @pytest.mark.parametrize("mode", ["truncated", "wrong-length", "empty", "wrong-type"])
    def test_wrong_media_is_refused_and_comes_again(
        self, world: World, archives: Archives, mode: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A file that is not what Twilio announced is not kept; the next attempt keeps the right one."""
        sid, call = recorded(world, seconds=9)
        sound = heard(world, sid)
        fault(world, mode, times=1)
        assert not hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.CAPTURED
        assert status_at_twilio(world, sid) == "completed"
        assert versions_of(archives) == []
        assert "record-archived" not in [line["event"] for line in lines(capsys)]
        assert hand_over(work_of(sid, call))
        assert archives.objects()[name_of(sid)] == sound

    def test_media_that_stays_wrong_is_set_aside(self, world: World, archives: Archives) -> None:
        """After so many attempts the work is in the dead letters, and the recording still at Twilio."""
        sid, call = recorded(world)
        fault(world, "wrong-length")
        send(sid, call)
        assert archives.work("archive", archive.handle) == RECEIVES
        assert archives.set_aside["archive"] == [work_of(sid, call)]
        assert status_at_twilio(world, sid) == "completed"
        assert (stage_of(world, sid), versions_of(archives), uploads(archives)) == (Stage.CAPTURED, [], 0)

    @pytest.mark.parametrize(
        ("operation", "code"),
        [
            ("create_multipart_upload", "KMS.DisabledException"),
            ("create_multipart_upload", "AccessDenied"),
            ("upload_part", "SlowDown"),
            ("complete_multipart_upload", "ConditionalRequestConflict"),
            ("complete_multipart_upload", "InternalError"),
            ("head_object", "403"),
            ("put_object", "ServiceUnavailable"),
        ],
    )
    def test_bucket_that_refuses_loses_nothing(
        self, world: World, archives: Archives, operation: str, code: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A disabled key, a broken policy or a slow-down leave the recording at Twilio, and the work for later."""
        sid, call = recorded(world)
        sound = heard(world, sid)
        break_s3(world, operation, code)
        assert not hand_over(work_of(sid, call))
        assert status_at_twilio(world, sid) == "completed"
        assert stage_of(world, sid) is Stage.CAPTURED
        assert "12125550111" not in capsys.readouterr().out
        runtime.reset()
        assert hand_over(work_of(sid, call))
        assert archives.objects()[name_of(sid)] == sound
        assert len(versions_of(archives)) == 2

    def test_credentials_that_were_replaced_are_read_again(self, world: World, archives: Archives) -> None:
        """A 401 for the media is answered with the credentials as they are in the secret now."""
        sid, call = recorded(world)
        fault(world, "error", status=401, code=20003, times=1)
        assert hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.DELETED

    def test_another_object_is_no_proof(self, world: World, archives: Archives) -> None:
        """Something else that lies where the copy belongs is neither replaced nor taken for it."""
        sid, call = recorded(world)
        archives.s3.put_object(Bucket=CONTENT, Key=name_of(sid), Body=b"x")
        assert not hand_over(work_of(sid, call))
        assert status_at_twilio(world, sid) == "completed"
        assert stage_of(world, sid) is Stage.CAPTURED
        assert versions_of(archives) == [name_of(sid)]

    def test_copy_under_another_key_is_no_proof(self, world: World, archives: Archives) -> None:
        """An object that is not under the content key does not count."""
        sid, call = recorded(world)
        other = archives.kms.create_key()["KeyMetadata"]["Arn"]
        world.patch.setattr(runtime.content(), "_kms_key", other)
        assert not hand_over(work_of(sid, call))
        assert status_at_twilio(world, sid) == "completed"
        assert stage_of(world, sid) is Stage.CAPTURED

    def test_deletion_that_is_not_done_is_told(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where Twilio says deleted and still has the recording, the record goes on saying archived."""
        sid, call = recorded(world)
        world.patch.setattr("parley.adapters.twilio_records.TwilioRecords.is_gone", lambda *_: False)
        assert not hand_over(work_of(sid, call))
        assert "deletion-not-done" in [line["event"] for line in lines(capsys)]
        assert stage_of(world, sid) is Stage.ARCHIVED

    @pytest.mark.parametrize(
        "message",
        [
            {"kind": "recording", "sid": "RE/../../x", "call": "CA" + "1" * 32},
            {"kind": "recording", "sid": "RE" + "1" * 32},
            {"kind": "recording", "sid": "RE" + "1" * 32, "call": "https://evil.example/CA"},
            {"kind": "message", "session": "KC" + "1" * 32, "interaction": "KI" + "1" * 32},
            {"kind": "something"},
            {},
        ],
    )
    def test_work_that_names_nothing_is_told_and_passed_over(
        self, world: World, archives: Archives, message: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A message whose SIDs are none is never going to be another one: it is logged, without what it said."""
        assert hand_over(message)
        out = capsys.readouterr().out
        assert "message-unreadable" in out
        assert "evil" not in out

    def test_function_without_a_bucket_says_so(self, world: World, archives: Archives) -> None:
        """A deployment that names no content bucket is an error that says which variable is missing."""
        world.patch.delenv("PARLEY_CONTENT_BUCKET")
        runtime.reset()
        with pytest.raises(EnvironmentMismatchError, match="PARLEY_CONTENT_BUCKET"):
            runtime.content()


class TestUnfinished:
    """What Twilio is not done with."""

    @pytest.mark.parametrize("status", ["in-progress", "paused"])
    def test_unfinished_recording_is_looked_at_again(self, world: World, archives: Archives, status: str) -> None:
        """A callback that came before its time puts the work back, later each time, and then leaves it."""
        sid, call = recorded(world, status=status)
        send(sid, call)
        assert archives.work("archive", archive.handle) == 1 + len(RETRIES)
        assert stage_of(world, sid) is Stage.CAPTURED
        assert status_at_twilio(world, sid) == status


class TestHeld:
    """What a legal hold covers."""

    @pytest.mark.parametrize("kind", list(Subject))
    def test_recording_under_hold_is_archived_under_it(self, world: World, archives: Archives, kind: Subject) -> None:
        """Both objects of a held recording are under S3's legal hold; Twilio's copy may go, since ours is kept."""
        hold(world, kind, PARTIES[0] if kind is Subject.PARTY else SESSION)
        sid, call = recorded(world)
        assert hand_over(work_of(sid, call))
        for key in versions_of(archives):
            held = archives.s3.get_object_legal_hold(Bucket=CONTENT, Key=key)["LegalHold"]
            assert held["Status"] == "ON"
        assert status_at_twilio(world, sid) == "deleted"

    def test_hold_that_comes_meanwhile_is_put_on(self, world: World, archives: Archives) -> None:
        """A hold placed after the object was made, and before its record said so, is found when it says so."""
        sid, call = recorded(world)
        put = ContentStore.put

        def held_now(store: ContentStore, *arguments: Any, **named: Any) -> bool:
            done = put(store, *arguments, **named)
            hold(world, Subject.SESSION, SESSION)
            return done

        world.patch.setattr(ContentStore, "put", held_now)
        assert hand_over(work_of(sid, call))
        assert len(versions_of(archives)) == 2
        for key in versions_of(archives):
            assert archives.s3.get_object_legal_hold(Bucket=CONTENT, Key=key)["LegalHold"]["Status"] == "ON"

    def test_class_that_cannot_be_held_is_not(self, world: World, archives: Archives) -> None:
        """A class that declares no hold is put without one."""
        world.patch.setenv("PARLEY_HOLDABLE", "[]")
        runtime.reset()
        hold(world, Subject.SESSION, SESSION)
        sid, call = recorded(world)
        assert hand_over(work_of(sid, call))
        assert archives.s3.head_object(Bucket=CONTENT, Key=name_of(sid)).get("ObjectLockLegalHoldStatus") != "ON"

    def test_what_is_dropped_stays_at_twilio_under_a_hold(self, world: World, archives: Archives) -> None:
        """A recording of somebody's call that may not be kept, and not be deleted either, is left where it is."""
        hold(world, Subject.PARTY, world.identities.party(ANA))
        sid, call = recorded(world, known=False, **{"from": ANA})
        assert hand_over(work_of(sid, call))
        assert stage_of(world, sid) is Stage.DROPPED
        assert status_at_twilio(world, sid) == "completed"
        assert versions_of(archives) == []

    def test_hold_counts_for_whoever_is_no_phone_number(self, world: World, archives: Archives) -> None:
        """A leg whose end is no number, an app or nobody, belongs to nobody; the other end still counts."""
        hold(world, Subject.PARTY, "c" * 64)
        sid, call = recorded(world, known=False, **{"from": "client:app"})
        assert hand_over(work_of(sid, call))
        assert status_at_twilio(world, sid) == "deleted"

    def test_hold_on_somebody_else_holds_nothing(self, world: World, archives: Archives) -> None:
        """A hold on another person lets a dropped recording go."""
        hold(world, Subject.PARTY, "c" * 64)
        sid, call = recorded(world, known=False, **{"from": ANA})
        assert hand_over(work_of(sid, call))
        assert status_at_twilio(world, sid) == "deleted"
