"""What proves an archived copy, and what is written beside it."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from parley.core import archive
from parley.core.archive import Expected, Found, Leg, MediaError, Wave
from parley.core.record_classes import RecordClass
from parley.core.records import Record, ResourceKind

RECORD = Record(
    sid="RE" + "1" * 32,
    kind=ResourceKind.RECORDING,
    record_class=RecordClass.CALL_RECORDINGS,
    session="KC" + "2" * 32,
    parent="CA" + "3" * 32,
    parties=("a" * 64, "b" * 64),
    consents=("cr_" + "4" * 32, "cr_" + "5" * 32),
    made_at=datetime(2026, 5, 4, 10, tzinfo=UTC),
)
MESSAGE = replace(
    RECORD, sid="SM" + "6" * 32, kind=ResourceKind.MESSAGE, record_class=RecordClass.MESSAGES, parent="KI" + "7" * 32
)
MEDIA = replace(MESSAGE, sid="ME" + "8" * 32, kind=ResourceKind.MEDIA, record_class=RecordClass.MESSAGE_MEDIA)


def form(channels: int = 2, rate: int = 8000, byte_rate: int = 32_000) -> bytes:
    """Return a `fmt ` chunk."""
    return struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, byte_rate, 4, 16)


def wav(size: int, *, before: bytes = b"", fmt: bytes | None = None) -> bytes:
    """Return the header of a WAV file whose data have `size` bytes."""
    return (
        b"RIFF"
        + struct.pack("<I", size)
        + b"WAVE"
        + before
        + (form() if fmt is None else fmt)
        + struct.pack("<4sI", b"data", size)
    )


def found(size: int, head: bytes) -> Found:
    """Return what was read of a file."""
    return Found(size, "", (b"",), head)


class TestVideo:
    """The files of video."""

    @pytest.mark.parametrize(
        ("metadata", "container"),
        [({"container_format": "mka"}, "mka"), ({"container_format": "mkv"}, "mkv"), ({"format": "webm"}, "webm")],
    )
    def test_twilio_tells_the_container(self, metadata: dict[str, str], container: str) -> None:
        """Recordings have it under another name than compositions."""
        assert archive.container_of(metadata) == container

    @pytest.mark.parametrize("metadata", [{}, {"format": "exe"}, {"container_format": None}])
    def test_other_containers_are_refused(self, metadata: dict[str, str]) -> None:
        """What is no container that Twilio makes is not kept."""
        with pytest.raises(MediaError):
            archive.container_of(metadata)

    @pytest.mark.parametrize(
        ("container", "head", "seconds"),
        [("mkv", b"\x1aE\xdf\xa3rest", 7), ("webm", b"\x1aE\xdf\xa3rest", None), ("mp4", b"\0\0\0\x20ftypisom", 7)],
    )
    def test_file_begins_as_its_container(self, container: str, head: bytes, seconds: int | None) -> None:
        """Its length is Twilio's word, 0 where there is none."""
        expected = Expected("application/octet-stream", 9, seconds)
        assert archive.check_video(expected, found(9, head), container) == (seconds or 0)

    @pytest.mark.parametrize(
        ("container", "head", "size"),
        [("mkv", b"<html>", 9), ("mp4", b"\x1aE\xdf\xa3rest", 9), ("mkv", b"\x1aE\xdf\xa3rest", 8), ("mkv", b"", 0)],
    )
    def test_anything_else_is_refused(self, container: str, head: bytes, size: int) -> None:
        """A page, another container, a part of the file and no file at all are not kept."""
        with pytest.raises(MediaError):
            archive.check_video(Expected("video/x-matroska", 9 if size else 0), found(size, head), container)


class TestWave:
    """The header of a WAV file."""

    def test_header_says_how_long_it_is(self) -> None:
        """The samples' bytes over the bytes a second are the seconds."""
        header = archive.wave_header(wav(64_000))
        assert header == Wave(2, 8000, 32_000, 44, 64_000)
        assert header.seconds(64_044) == 2.0

    def test_other_chunks_are_passed_over(self) -> None:
        """A chunk of odd length is followed by a byte that belongs to nothing."""
        before = struct.pack("<4sI", b"LIST", 3) + b"abc\0"
        assert archive.wave_header(wav(32_000, before=before)).data_at == 56

    @pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
    def test_size_that_is_not_said_is_the_rest_of_the_file(self, size: int) -> None:
        """A writer that did not know, or could not say, the size leaves it to the file's own."""
        header = archive.wave_header(wav(size))
        assert header.data_size is None
        assert header.seconds(44 + 96_000) == 3.0

    def test_missing_samples_are_found(self) -> None:
        """A file that is shorter than its header says was cut."""
        with pytest.raises(MediaError, match="wav-truncated"):
            archive.wave_header(wav(64_000)).seconds(64_043)

    @pytest.mark.parametrize(
        ("head", "code"),
        [
            (b"", "not-wav"),
            (b"<html><body>502 Bad Gateway", "not-wav"),
            (b"RIFF\0\0\0\0AVI LIST", "not-wav"),
            (wav(1, fmt=b""), "wav-header"),
            (wav(1, fmt=form(channels=0)), "wav-header"),
            (wav(1, fmt=form(byte_rate=0)), "wav-header"),
            (wav(1)[:30], "wav-header"),
            (wav(1)[:40], "wav-header"),
        ],
    )
    def test_what_is_no_wav_file_is_refused(self, head: bytes, code: str) -> None:
        """A page, another format, a header without a form or with none that makes sense are no sound."""
        with pytest.raises(MediaError, match=code):
            archive.wave_header(head)


class TestChecks:
    """What was read against what was announced."""

    def test_recording_that_is_right_has_its_seconds(self) -> None:
        """Length and size may say the same, or the size may not be said."""
        whole = found(64_044, wav(64_000))
        assert archive.check_recording(Expected("audio/x-wav", 64_044, 2), whole) == 2
        assert archive.check_recording(Expected("audio/wav", None, None), whole) == 2
        assert archive.check_recording(Expected("audio/wav", None, 4), whole) == 2

    @pytest.mark.parametrize(
        ("expected", "code"),
        [
            (Expected("text/html", 64_044, 2), "media-type"),
            (Expected("", 64_044, 2), "media-type"),
            (Expected("audio/x-wav", 64_045, 2), "size"),
            (Expected("audio/x-wav", 64_044, 5), "duration"),
            (Expected("audio/x-wav", 64_044, 0), None),
        ],
    )
    def test_recording_that_is_not_is_refused(self, expected: Expected, code: str | None) -> None:
        """Type, bytes and seconds are each held against what Twilio announced; seconds within two."""
        whole = found(64_044, wav(64_000))
        if code is None:
            assert archive.check_recording(expected, whole) == 2
            return
        with pytest.raises(MediaError, match=code):
            archive.check_recording(expected, whole)

    def test_nothing_is_no_file(self) -> None:
        """A file without a byte is refused, whatever was announced."""
        with pytest.raises(MediaError, match="empty"):
            archive.check_size(Expected("image/png", 0), found(0, b""))

    def test_checksum_of_parts_is_that_of_their_digests(self) -> None:
        """S3's composite checksum names the number of parts."""
        digests = tuple(hashlib.sha256(part).digest() for part in (b"first", b"second"))
        assert Found(11, "", digests, b"").checksum == "LzQWAyxTThs81Y8OBSjFqPV96lhreIsEDE+rDTcFXSg=-2"

    @pytest.mark.parametrize(
        ("header", "plain"), [("audio/x-wav", "audio/x-wav"), ("Image/JPEG; charset=binary", "image/jpeg"), ("", "")]
    )
    def test_type_has_no_parameters(self, header: str, plain: str) -> None:
        """Only the type itself counts."""
        assert archive.plain_type(header) == plain


class TestBeside:
    """What is written beside the content."""

    def test_tags_name_session_class_and_consents(self) -> None:
        """An object says by itself whose rules it is under."""
        assert archive.tags(RECORD) == {
            "session": RECORD.session,
            "class": "call-recordings",
            "sid": RECORD.sid,
            "consents": " ".join(RECORD.consents),
        }

    def test_many_consents_take_several_tags(self) -> None:
        """A tag holds seven ids; what has no room at all is counted, and stands in the sidecar."""
        many = tuple(f"cr_{number:032x}" for number in range(60))
        tags = archive.tags(replace(RECORD, consents=many))
        assert len(tags) == archive.TAGS_LIMIT
        assert all(len(value) <= archive.TAG_LENGTH for value in tags.values())
        assert tags["consents"] == " ".join(many[:7])
        assert tags["consents-6"] == " ".join(many[35:42])
        assert tags["consents-more"] == "60"
        assert "consents" not in archive.tags(replace(RECORD, consents=()))

    def test_sidecar_says_nothing_that_changes(self) -> None:
        """Whoever writes it, and when, it is the same: it has what was captured, and what proves the copy."""
        archived = replace(RECORD, key="k", version="v", sha256="ab", size=3, seconds=1, archived_at=RECORD.made_at)
        beside = json.loads(archive.sidecar(archived))
        assert beside["consents"] == list(RECORD.consents)
        assert (beside["sha256"], beside["size"], beside["version"]) == ("ab", 3, "v")
        assert not {"stage", "archived_at", "upload", "reason"} & beside.keys()
        assert archive.sidecar(replace(archived, reason="stopped-by-withdrawal")) == archive.sidecar(archived)

    def test_each_kind_has_its_names(self) -> None:
        """A recording is a WAV file with a sidecar, media have one too, and a message is its own."""
        assert archive.object_names(RECORD) == (f"{RECORD.sid}.wav", f"{RECORD.sid}.json")
        assert archive.object_names(MEDIA) == (MEDIA.sid, f"{MEDIA.sid}.json")
        assert archive.object_keys(MESSAGE) == (f"messages/{MESSAGE.session}/{MESSAGE.sid}.json",)
        chat = replace(MESSAGE, sid="IM" + "6" * 32, kind=ResourceKind.CHAT_MESSAGE)
        assert archive.object_names(chat) == (f"{chat.sid}.json",)

    @pytest.mark.parametrize(
        ("media_type", "name"),
        [("audio/x-matroska", ".mka"), ("video/x-matroska", ".mkv"), ("video/webm", ".webm"), ("", "")],
    )
    def test_video_is_named_by_its_type(self, media_type: str, name: str) -> None:
        """The object ends with its container, which is in the record before anything is put."""
        video = replace(RECORD, sid="RT" + "6" * 32, kind=ResourceKind.VIDEO_RECORDING, media_type=media_type)
        assert archive.object_names(video) == (f"{video.sid}{name}", f"{video.sid}.json")

    def test_message_has_its_text_and_both_legs(self) -> None:
        """It names people by key, and its media by object and digest."""
        media = replace(MEDIA, key="message-media/x", media_type="image/png", size=3, sha256="ab")
        inbound = Leg("SM1", "received", RECORD.made_at)
        document = json.loads(
            archive.message_document(
                MESSAGE, "hello", sender="a" * 64, inbound=inbound, outbound=Leg("SM2", "sent", None), media=[media]
            )
        )
        assert (document["from"], document["to"], document["body"]) == ("a" * 64, ["b" * 64], "hello")
        assert document["inbound"] == {"sid": "SM1", "status": "received", "sent_at": "2026-05-04T10:00:00.000000Z"}
        assert document["outbound"] == {"sid": "SM2", "status": "sent"}
        assert document["media"][0]["key"] == "message-media/x"

    def test_message_with_one_leg(self) -> None:
        """A message that was never passed on has no other leg, and one whose sender is not known names nobody."""
        document = json.loads(
            archive.message_document(MESSAGE, "hello", sender="", inbound=None, outbound=None, media=())
        )
        assert (document["inbound"], document["outbound"], document["from"]) == (None, None, "")
        assert document["to"] == ["a" * 64, "b" * 64]


class TestWaiting:
    """When something is looked at again."""

    @pytest.mark.parametrize(
        ("duration", "seconds"), [("61", 61), ("0", 0), ("-1", None), (None, None), ("", None), ("x", None), ([], None)]
    )
    def test_length_is_what_twilio_says(self, duration: object, seconds: int | None) -> None:
        """A length that is not there yet, negative or no number is none."""
        assert archive.recorded_seconds({"duration": duration}) == seconds

    def test_waiting_grows_and_ends(self) -> None:
        """Each attempt waits longer; after the last one the sweeper takes over."""
        assert [archive.retry_after(attempt) for attempt in range(7)] == [30, 60, 120, 300, 600, 900, None]

    @pytest.mark.parametrize("attempt", [None, "2", -1, True, 0.5])
    def test_attempt_that_is_no_number_is_the_first(self, attempt: object) -> None:
        """What a message says wrongly costs a few attempts more."""
        assert archive.retry_after(attempt) == 30

    @pytest.mark.parametrize(("interval", "delay"), [(1, 75), (60, 120), (3600, 900)])
    def test_message_waits_for_two_runs(self, interval: int, delay: int) -> None:
        """At least longer than the minute within which Twilio deletes nothing, at most what a queue can wait."""
        assert archive.message_delay(interval) == delay
