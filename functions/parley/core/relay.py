"""What becomes of a text that may pass from one masked number to another (`direct`).

It is passed on whole. Twilio takes up to 1,600 characters in one message, whatever the alphabet (error 21617), and up
to ten files (error 21623), so more of either makes further messages, in order; nothing is ever cut off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

BODY_LIMIT: Final = 1600
MEDIA_LIMIT: Final = 10

ACCEPTED: Final = re.compile(
    r"image/(?:jpeg|jpg|png|gif|bmp|tiff|webp|heic|heif)|audio/[\w.+-]+|video/[\w.+-]+"
    r"|text/(?:vcard|x-vcard|csv|rtf|richtext|calendar|plain)|application/(?:pdf|vcard|vnd\.apple\.pkpass)"
)
"""The types of files that are passed on, of those that Twilio takes (docs/messaging/guides/accepted-mime-types)."""

_MEDIA_PATH: Final = re.compile(r"/Messages/(?P<message>(?:SM|MM)[0-9a-f]{32})/Media/(?P<media>ME[0-9a-f]{32})/?$")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of an inbound message: the SIDs by which Twilio has it, and its type."""

    message: str
    media: str
    media_type: str


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """One message that is sent on. `body` is plain: never log or keep."""

    body: str
    attachments: tuple[Attachment, ...] = ()


class MediaRefusedError(ValueError):
    """A file of a message is of a type that is not passed on, or is none of this message's."""


def attachments(form: Mapping[str, Sequence[str]], message: str) -> tuple[Attachment, ...]:
    """Return the files of an inbound message by the fields of its webhook (NumMedia, MediaUrl0, MediaContentType0 …).

    Only SIDs are taken from the URLs, never a host or a path. Raises MediaRefusedError.
    """
    count = (form.get("NumMedia") or ["0"])[0]
    if not count.isascii() or not count.isdecimal():
        raise MediaRefusedError
    found = []
    for place in range(int(count)):
        url = (form.get(f"MediaUrl{place}") or [""])[0]
        media_type = (form.get(f"MediaContentType{place}") or [""])[0].partition(";")[0].strip().lower()
        match = _MEDIA_PATH.search(url)
        if match is None or match["message"] != message or not ACCEPTED.fullmatch(media_type):
            raise MediaRefusedError
        found.append(Attachment(message, match["media"], media_type))
    return tuple(found)


def parts(body: str, files: Sequence[Attachment]) -> tuple[Part, ...]:
    """Return the messages that a text and its files make, the files with the first ones; none for an empty text."""
    bodies = split(body)
    groups = [tuple(files[start : start + MEDIA_LIMIT]) for start in range(0, len(files), MEDIA_LIMIT)]
    count = max(len(bodies), len(groups))
    return tuple(
        Part(bodies[place] if place < len(bodies) else "", groups[place] if place < len(groups) else ())
        for place in range(count)
    )


def split(body: str) -> tuple[str, ...]:
    """Return a text in pieces that Twilio takes, cut between words where there are any; blank ones are left out."""
    pieces = []
    rest = body
    while len(rest) > BODY_LIMIT:
        cut = max(rest.rfind(" ", 1, BODY_LIMIT), rest.rfind("\n", 1, BODY_LIMIT)) + 1
        cut = cut if cut > 0 else _whole(rest, BODY_LIMIT)
        pieces.append(rest[:cut])
        rest = rest[cut:]
    return tuple(piece for piece in (*pieces, rest) if piece.strip())


def _whole(text: str, cut: int) -> int:
    """Return a place to cut at, at most `cut`, that parts no mark from its letter (an emoji from its colour, say)."""
    place = cut
    while place > cut - 16 and _joins(text, place):
        place -= 1
    return place if place > cut - 16 else cut


def _joins(text: str, place: int) -> bool:
    joiners = "\u200d\ufe0f"
    following = text[place]
    return following in joiners or text[place - 1] == "\u200d" or "\U0001f3fb" <= following <= "\U0001f3ff"
