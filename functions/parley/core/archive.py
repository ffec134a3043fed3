"""Archiving: what proves that a copy in the content bucket is what Twilio has, and what is written beside it.

A copy counts when every byte that Twilio announced was read, hashed, sent and found again: the size against what the
answer announced (Content-Length) and against S3, the SHA-256 of each part against what S3 computed of it, the type
against what was expected, and a recording's length against what Twilio says of it. What does not fit is not kept, and
Twilio's stays.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from parley.core import moments
from parley.core.consent import canonical_json
from parley.core.records import Record, ResourceKind, object_key

PART: Final = 8 * 1024 * 1024
"""Bytes of a part: S3 takes from 5 MiB on, but for the last one ("Amazon S3 multipart upload limits")."""
PARTS_LIMIT: Final = 10_000
"""The most parts of one object: more than 80 GB, where a recording of 24 hours has under 3 GB."""
HEADER_LIMIT: Final = 4096
"""Bytes at the beginning of a WAV file in which its header must be found."""

SECONDS_TOLERANCE: Final = 2.0
"""How far a recording's length may be from what Twilio says, which are whole seconds."""

WAV_TYPES: Final = frozenset({"audio/x-wav", "audio/wav", "audio/wave", "audio/vnd.wave"})
"""What Twilio and others call a WAV file."""

TAGS_LIMIT: Final = 10
TAG_LENGTH: Final = 256
"""The most tags of an object, and characters of a tag's value ("Categorizing your objects using tags")."""

FINISHED: Final = "completed"
VIDEO_TYPES: Final[Mapping[str, str]] = {
    "mka": "audio/x-matroska",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "mp4": "video/mp4",
}
"""The containers of Twilio's video recordings and compositions, with the type that their files are kept under."""
_EBML: Final = b"\x1aE\xdf\xa3"
"""How every Matroska and WebM file begins (RFC 8794, section 11.2.1)."""

NOTHING_HEARD: Final = frozenset({"absent", "failed"})
"""Twilio's states of a recording that has no sound."""

RETRIES: Final = (30, 60, 120, 300, 600, 900)
"""Seconds after which a recording that Twilio has not finished is looked at again; then the sweeper finds it."""

DELETION_SOON: Final = timedelta(minutes=1)
"""When a deletion that Twilio refused with 20009 is tried again: not before a minute is over."""

FINAL_STATUSES: Final = frozenset({"sent", "delivered", "read", "undelivered", "failed", "canceled"})
"""The states of an outbound message in which Twilio has done with its body, but for reports of what became of it."""

_UNKNOWN_SIZES: Final = frozenset({0, 0xFFFFFFFF})
"""What a RIFF header says of its data when the writer did not know their size, or they are longer than it can say."""


class MediaError(ValueError):
    """A file is not what Twilio said it would be; `code` says how. It has no part of the content."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Wave:
    """What the header of a WAV file says: where its samples begin, their bytes (None: not said) and bytes a second."""

    channels: int
    rate: int
    byte_rate: int
    data_at: int
    data_size: int | None

    def seconds(self, size: int) -> float:
        """Return how long a file of `size` bytes is. Raises MediaError if the samples are not all there."""
        held = size - self.data_at
        if self.data_size is not None and held < self.data_size:
            raise MediaError("wav-truncated")
        return (held if self.data_size is None else self.data_size) / self.byte_rate


def wave_header(head: bytes) -> Wave:
    """Read the header of a WAV file from its first bytes (RIFF, chunks `fmt ` and `data`; Microsoft RIFF/WAVE).

    Raises MediaError.
    """
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise MediaError("not-wav")
    form: tuple[int, int, int] | None = None
    at = 12
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        at += 8
        if name == b"data":
            if form is None:
                break
            channels, rate, byte_rate = form
            return Wave(channels, rate, byte_rate, at, None if size in _UNKNOWN_SIZES else size)
        if name == b"fmt " and at + 16 <= len(head):
            channels, rate, byte_rate = struct.unpack_from("<xxHII", head, at)
            if not (channels and rate and byte_rate):
                raise MediaError("wav-header")
            form = channels, rate, byte_rate
        at += size + size % 2  # chunks begin at even bytes
    raise MediaError("wav-header")


@dataclass(frozen=True, slots=True)
class Expected:
    """What Twilio announced of a file: its type (empty: anything), its bytes, and a recording's seconds."""

    media_type: str
    size: int | None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of a file: its bytes, its SHA-256 (hex), those of its parts, and its first bytes."""

    size: int
    sha256: str
    parts: tuple[bytes, ...]
    head: bytes

    @property
    def checksum(self) -> str:
        """What S3 has for the SHA-256 of an object that was put in parts: that of the parts' digests, and their number.

        "Checking object integrity", composite checksums.
        """
        digest = hashlib.sha256(b"".join(self.parts)).digest()
        return f"{base64.b64encode(digest).decode()}-{len(self.parts)}"


def plain_type(header: str) -> str:
    """Return the type in a Content-Type header, without its parameters."""
    return header.partition(";")[0].strip().lower()


def check_recording(expected: Expected, found: Found) -> int:
    """Return the whole seconds of a recording that is what Twilio announced. Raises MediaError."""
    if expected.media_type not in WAV_TYPES:
        raise MediaError("media-type")
    check_size(expected, found)
    seconds = wave_header(found.head).seconds(found.size)
    if expected.seconds is not None and abs(seconds - expected.seconds) > SECONDS_TOLERANCE:
        raise MediaError("duration")
    return round(seconds)


def container_of(metadata: Mapping[str, Any]) -> str:
    """Return the container of a video recording or composition, as Twilio tells it. Raises MediaError for others."""
    container = str(metadata.get("container_format") or metadata.get("format") or "")
    if container not in VIDEO_TYPES:
        raise MediaError("media-type")
    return container


def check_video(expected: Expected, found: Found, container: str) -> int:
    """Return the whole seconds, as Twilio tells them, of a video that is what it announced. Raises MediaError.

    A store of Twilio's may call it any type, so the file's own beginning tells its container: an MP4 file begins with a
    box of the type `ftyp` (ISO/IEC 14496-12, section 4.3).
    """
    check_size(expected, found)
    if not (found.head[4:8] == b"ftyp" if container == "mp4" else found.head.startswith(_EBML)):
        raise MediaError("media-type")
    return expected.seconds or 0


def check_size(expected: Expected, found: Found) -> None:
    """Hold the bytes that were read against those that were announced. Raises MediaError."""
    if expected.size is not None and expected.size != found.size:
        raise MediaError("size")
    if not found.size:
        raise MediaError("empty")


def tags(record: Record) -> dict[str, str]:
    """Return the tags of a record's object: session, class and the consent records that it rests on.

    Tags have no room for everything: whoever needs all consents reads the sidecar, and `consents-more` says so.
    """
    found = {"session": record.session, "class": str(record.record_class), "sid": record.sid}
    chunks = list(_joined(record.consents))
    room = TAGS_LIMIT - len(found) - 1
    for place, chunk in enumerate(chunks[:room], 1):
        found["consents" if place == 1 else f"consents-{place}"] = chunk
    if len(chunks) > room:
        found["consents-more"] = str(len(record.consents))
    return found


def _joined(consents: Sequence[str]) -> Iterator[str]:
    line = ""
    for consent in consents:
        longer = f"{line} {consent}" if line else consent
        if len(longer) > TAG_LENGTH:
            yield line
            longer = consent
        line = longer
    if line:
        yield line


_PASSING: Final = frozenset({"stage", "upload", "archived_at", "deleted_at", "reason"})


def sidecar(record: Record) -> bytes:
    """Return the JSON beside an object: whose it is, by which consents, and what proves it.

    It says nothing that changes later, so that it is the same whoever writes it; S3's own time says when.
    """
    facts = {name: value for name, value in record.document().items() if name not in _PASSING}
    return canonical_json(facts).encode()


def object_names(record: Record) -> tuple[str, ...]:
    """Return the names of a record's objects: the content first, then its sidecar. A message says all by itself.

    The type of a video, which its name ends with, is in its record before anything of it is put.
    """
    if record.kind in {ResourceKind.MESSAGE, ResourceKind.CHAT_MESSAGE}:
        return (f"{record.sid}.json",)
    return (f"{record.sid}{_extension(record)}", f"{record.sid}.json")


def _extension(record: Record) -> str:
    if record.kind is ResourceKind.RECORDING:
        return ".wav"
    if record.kind is ResourceKind.MEDIA:
        return ""
    return next((f".{name}" for name, media_type in VIDEO_TYPES.items() if media_type == record.media_type), "")


def object_keys(record: Record) -> tuple[str, ...]:
    """Return the keys of a record's objects in the content bucket, in the order of `object_names`."""
    return tuple(object_key(record.record_class, record.session, name) for name in object_names(record))


def recorded_seconds(metadata: Mapping[str, Any]) -> int | None:
    """Return a recording's length as Twilio tells it, in seconds; None before it is known, or if it makes no sense."""
    try:
        seconds = int(metadata.get("duration") or "")
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None


def retry_after(attempt: object) -> int | None:
    """Return in how many seconds an unfinished recording is looked at again, None if it is left to the sweeper."""
    place = attempt if isinstance(attempt, int) and not isinstance(attempt, bool) and attempt >= 0 else 0
    return RETRIES[place] if place < len(RETRIES) else None


@dataclass(frozen=True, slots=True)
class Leg:
    """One of the two messages that Proxy makes of a text: its SID, how it ended, and when it was sent."""

    sid: str
    status: str
    sent_at: datetime | None

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "sid": self.sid,
            "status": self.status,
            **({"sent_at": moments.to_text(self.sent_at)} if self.sent_at else {}),
        }


def message_document(
    record: Record, body: str, *, sender: str, inbound: Leg | None, outbound: Leg | None, media: Sequence[Record]
) -> bytes:
    """Return the JSON of an archived message: the text, both legs, and between whom, by their keys; no number.

    `sender` is the key of who wrote it ("" if it is not known). Both legs have the same text, so it is there once.
    """
    return canonical_json(
        {
            "sid": record.sid,
            "session": record.session,
            "interaction": record.parent,
            "from": sender,
            "to": [party for party in record.parties if party != sender],
            "body": body,
            "inbound": inbound.document() if inbound else None,
            "outbound": outbound.document() if outbound else None,
            "consents": list(record.consents),
            "media": [
                {"sid": one.sid, "key": one.key, "media_type": one.media_type, "size": one.size, "sha256": one.sha256}
                for one in media
            ],
        }
    ).encode()


def message_delay(reconcile_seconds: int) -> int:
    """Return for how many seconds a message is left alone once its status is final, at most what a queue can wait.

    Twilio deletes none within a minute (error 20009), and two runs of the reconciler come by meanwhile.
    """
    return min(900, max(75, 2 * reconcile_seconds))
