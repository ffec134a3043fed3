"""What a text becomes that is passed on, and the addresses of its files."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.media_link import ForgedMediaLinkError, MediaLink, link_of, token_of
from parley.core.relay import (
    BODY_LIMIT,
    MEDIA_LIMIT,
    Attachment,
    MediaRefusedError,
    attachments,
    parts,
    split,
)

MESSAGE, OTHER = "MM" + "1" * 32, "MM" + "2" * 32
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
URL = "https://api.twilio.com/2010-04-01/Accounts/AC{}/Messages/{}/Media/ME{}"


def form(*media: tuple[str, str], count: str | None = None) -> dict[str, list[str]]:
    """Return the fields of a message with media, given as URL and type."""
    fields = {"NumMedia": [str(len(media)) if count is None else count]}
    for place, (url, kind) in enumerate(media):
        fields |= {f"MediaUrl{place}": [url], f"MediaContentType{place}": [kind]}
    return fields


def file(place: int = 0, kind: str = "image/jpeg") -> tuple[str, str]:
    """Return the URL and the type of a file of the message."""
    return URL.format("1" * 32, MESSAGE, f"{place:032x}"), kind


class TestFiles:
    """The files of a message."""

    @pytest.mark.parametrize("kind", ["image/jpeg", "audio/amr", "video/3gpp", "text/vcard", "application/pdf"])
    def test_by_their_sids(self, kind: str) -> None:
        """A file is known by its SID, whatever else its URL says."""
        assert attachments(form(file(5, kind)), MESSAGE) == (Attachment(MESSAGE, f"ME{5:032x}", kind),)
        assert attachments({}, MESSAGE) == ()

    @pytest.mark.parametrize(
        "fields",
        [
            form(file(kind="application/x-msdownload")),
            form(file(kind="text/html")),
            form(file(kind="")),
            form((URL.format("1" * 32, OTHER, "3" * 32), "image/png")),
            form(("https://example.com/evil", "image/png")),
            form((URL.format("1" * 32, MESSAGE, "../../x"), "image/png")),
            form(count="1"),
            form(count="-1"),
            form(count="x"),
        ],
    )
    def test_what_is_not_passed_on(self, fields: dict[str, list[str]]) -> None:
        """A file of another type, another message or another place is refused, and all of the text with it."""
        with pytest.raises(MediaRefusedError):
            attachments(fields, MESSAGE)


class TestParts:
    """The messages that a text makes."""

    @pytest.mark.parametrize(
        ("body", "files", "shape"),
        [
            ("", 0, []),
            ("  \n", 0, []),
            ("hello", 0, [(5, 0)]),
            ("", 1, [(0, 1)]),
            ("a" * 1600, 10, [(1600, 10)]),
            ("a" * 1601, 11, [(1600, 10), (1, 1)]),
            ("hello", 21, [(5, 10), (0, 10), (0, 1)]),
        ],
    )
    def test_shape(self, body: str, files: int, shape: list[tuple[int, int]]) -> None:
        """Nothing makes no message; more than one message holds makes more, files first come first."""
        given_ = [Attachment(MESSAGE, f"ME{place:032x}", "image/png") for place in range(files)]
        found = parts(body, given_)
        assert [(len(part.body), len(part.attachments)) for part in found] == shape
        assert [one for part in found for one in part.attachments] == given_
        assert all(len(part.attachments) <= MEDIA_LIMIT for part in found)

    @given(st.text(st.characters(codec="utf-8"), max_size=5000))
    def test_nothing_is_cut_off(self, body: str) -> None:
        """The pieces of a text are the text, none too long."""
        pieces = split(body)
        assert all(len(piece) <= BODY_LIMIT for piece in pieces)
        assert "".join(pieces).split() == body.split()

    def test_between_words(self) -> None:
        """A long text is cut between words where there are any."""
        words = " ".join(["corner"] * 400)
        pieces = split(words)
        assert "".join(pieces) == words
        assert all(piece.startswith("corner") for piece in pieces)

    @pytest.mark.parametrize("mark", ["\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469", "\u2764\ufe0f"])
    def test_not_within_a_mark(self, mark: str) -> None:
        """An emoji is not parted from its colour or its family."""
        first, second = split("a" * 1599 + mark + "b" * 10)
        assert (first, second) == ("a" * 1599, mark + "b" * 10)

    def test_endless_mark(self) -> None:
        """What joins without end is cut all the same."""
        assert "".join(split("\u200d" * 4000)) == "\u200d" * 4000


def sign(message: bytes) -> bytes:
    """Stand for KMS."""
    return hmac.new(b"key", message, hashlib.sha256).digest()


class TestLinks:
    """Addresses of files."""

    LINK = MediaLink(MESSAGE, "ME" + "4" * 32, NOW + timedelta(minutes=10))

    def test_round_trip(self) -> None:
        """An address says which file of which message it is, until its time is over."""
        token = token_of(self.LINK, sign)
        assert link_of(token, sign, NOW) == self.LINK
        with pytest.raises(ForgedMediaLinkError):
            link_of(token, sign, self.LINK.expires_at)

    @pytest.mark.parametrize("place", range(0, 96, 5))
    def test_changed(self, place: int) -> None:
        """An address in which anything was changed leads nowhere."""
        token = token_of(self.LINK, sign)
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(ForgedMediaLinkError):
            link_of(token[:place] + other + token[place + 1 :], sign, NOW)

    @pytest.mark.parametrize("token", ["", "x", "!" * 96, "A" * 96, "A" * 97])
    def test_none(self, token: str) -> None:
        """What has not the form of an address leads nowhere."""
        with pytest.raises(ForgedMediaLinkError):
            link_of(token, sign, NOW)
