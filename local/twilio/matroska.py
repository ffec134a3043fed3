"""Files of video recordings and compositions: as many bytes as they are long, that follow from their SID.

A file is an EBML document of the type matroska (RFC 8794, RFC 9559) whose content is one Void element. What it holds
follows from the SID and from the place in the file, so that a part that is missing or misplaced is noticed.
"""

from __future__ import annotations

from hashlib import shake_128
from typing import TYPE_CHECKING, Final

from local.twilio.content import Content

if TYPE_CHECKING:
    from collections.abc import Iterator

BYTES_PER_SECOND: Final = {"audio": 5_000, "video": 60_000}
_HEAD: Final = bytes.fromhex("1a45dfa38b428288") + b"matroska"
"""The EBML header with its DocType."""
_BLOCK: Final = 1 << 16


def size(kind: str, seconds: float) -> int:
    """Return how many bytes a file of this kind has."""
    return len(_HEAD) + 9 + round(seconds * BYTES_PER_SECOND[kind])


def file(sid: str, kind: str, seconds: float) -> Content:
    """Return the file of a recording (`audio` or `video`)."""
    whole = size(kind, seconds)
    begin = _HEAD + b"\xec" + (0x0100000000000000 | whole - len(_HEAD) - 9).to_bytes(8, "big")
    noise = shake_128(sid.encode()).digest(_BLOCK - 8)

    def read(start: int, stop: int) -> Iterator[bytes]:
        for number in range(start // _BLOCK, -(-stop // _BLOCK)):
            at = number * _BLOCK
            block = number.to_bytes(8, "big") + noise
            if number == 0:
                block = begin + block[len(begin) :]
            yield block[max(0, start - at) : stop - at]

    return Content(f"{kind}/x-matroska", whole, read)
