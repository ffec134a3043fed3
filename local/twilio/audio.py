"""The sound of a recording: quiet noise that follows from its SID alone, in WAV and in MP3, from any byte on.

Each second begins with its own number, so that a part that is missing, doubled or misplaced changes what is heard.
WAV is RIFF with 16-bit PCM of 8 kHz. MP3 is MPEG-1 layer III of 32 kbit/s whose frames decode to silence; what
follows from the SID fills the room that they leave. Twilio's own encoder settings are documented nowhere.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_128
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from local.twilio.content import Content

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RATE: Final = 8000
"""Frames a second; a frame has one sample of each channel."""
_SAMPLE: Final = 2
_HEADER: Final = 44
_LARGEST: Final = 0xFFFFFFFF
"""The largest size that a RIFF header can say; a longer file says this."""
_LOUDNESS: Final = 8
"""What a random byte is multiplied with: samples stay within 3 per cent of full scale."""
_MP3_FRAME: Final = 144
_MP3_FRAMES: Final = 288
"""How many of our frames one MP3 frame of 144 bytes lasts: 36 ms."""
_MP3_HEADS: Final = {1: bytes.fromhex("fffb18c0") + bytes(17), 2: bytes.fromhex("fffb1800") + bytes(32)}
"""Header and side information of a frame without sound: 32 kbit/s, 32 kHz, mono or stereo (ISO/IEC 11172-3, 2.4.1)."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What was recorded under `sid`: parts in order, (`sound` or `silence`, frames)."""

    sid: str
    parts: tuple[tuple[str, int], ...]

    @property
    def frames(self) -> int:
        """The length of all parts."""
        return sum(frames for _, frames in self.parts)

    def wav(self, channels: int) -> Content:
        """Return the WAV file with one channel or two."""
        size = self.frames * channels * _SAMPLE
        header = _riff_header(size, channels)

        def read(start: int, stop: int) -> Iterator[bytes]:
            if start < _HEADER:
                yield header[start:stop]
            yield from self._pcm(max(0, start - _HEADER), stop - _HEADER, channels)

        return Content("audio/x-wav", _HEADER + size, read)

    def mp3(self, channels: int) -> Content:
        """Return the MP3 file with one channel or two; it is up to one of its frames (36 ms) longer than the sound."""
        count = -(-self.frames // _MP3_FRAMES)
        head = _MP3_HEADS[channels]
        filling = shake_128(self.sid.encode()).digest(_MP3_FRAME - len(head) - 4)

        def read(start: int, stop: int) -> Iterator[bytes]:
            for number in range(start // _MP3_FRAME, -(-stop // _MP3_FRAME)):
                frame = head + number.to_bytes(4, "big") + filling
                at = number * _MP3_FRAME
                yield frame[max(0, start - at) : stop - at]

        return Content("audio/mpeg", count * _MP3_FRAME, read)

    def _pcm(self, start: int, stop: int, channels: int) -> Iterator[bytes]:
        """Yield the samples from byte `start` up to `stop`, second by second."""
        noise = _noise(self.sid, channels)
        second = RATE * channels * _SAMPLE
        quiet = [(a * channels * _SAMPLE, b * channels * _SAMPLE) for a, b in silences(self.parts)]
        for number in range(start // second, -(-stop // second)):
            at = number * second
            block = bytearray(number.to_bytes(8, "big") + noise)
            for begin, end in quiet:
                a, b = max(begin - at, 0), min(end - at, second)
                if a < b:
                    block[a:b] = bytes(b - a)
            yield bytes(block[max(0, start - at) : stop - at])


def silences(parts: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    """Return where it is silent: (first frame, frame after the last one)."""
    ends = accumulate(frames for _, frames in parts)
    return [(end - frames, end) for (kind, frames), end in zip(parts, ends, strict=True) if kind == "silence"]


def trimmed(parts: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the parts without the silence at the beginning and at the end."""
    left = list(parts)
    while left and left[0][0] == "silence":
        del left[0]
    while left and left[-1][0] == "silence":
        del left[-1]
    return left


def whole_seconds(frames: int | None) -> int | None:
    """Return a length in whole seconds, as Twilio tells it; None stays None."""
    return None if frames is None else round(frames / RATE)


def frames_of_wav(size: int, channels: int) -> int:
    """Return how many frames a WAV file of `size` bytes holds, a broken last one not counted."""
    return max(0, size - _HEADER) // (channels * _SAMPLE)


def _riff_header(size: int, channels: int) -> bytes:
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        min(size + _HEADER - 8, _LARGEST),
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        RATE,
        RATE * channels * _SAMPLE,
        channels * _SAMPLE,
        8 * _SAMPLE,
        b"data",
        min(size, _LARGEST),
    )


@lru_cache(maxsize=64)
def _noise(sid: str, channels: int) -> bytes:
    """Return a second of samples but for the first eight bytes, which are the second's number."""
    samples = RATE * channels - 8 // _SAMPLE
    random = shake_128(f"{sid}/{channels}".encode()).digest(samples)
    return struct.pack(f"<{samples}h", *((byte - 128) * _LOUDNESS for byte in random))
