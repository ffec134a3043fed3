"""Links that refuse: nobody else can make one, and no link is ever a party key."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.identity import canonical
from parley.core.optout_link import DOMAIN, ExpiredLinkError, ForgedLinkError, Link, link_of, token_of
from parley.core.optout_page import Page, headers, language_of, page

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
KEYS = st.binary(min_size=32, max_size=32).map(bytes.hex)
LANGUAGES = ("de", "en", "es", "ja")


def sign(message: bytes) -> bytes:
    """Sign as KMS does."""
    return hmac.new(b"the key", message, hashlib.sha256).digest()


LINK = Link("ab" * 32, NOW + timedelta(days=1))


class TestTokens:
    """What a link says, and who made it."""

    @given(KEYS, st.integers(1, 400 * 86_400))
    def test_what_is_made_is_read_back(self, party: str, seconds: int) -> None:
        """A link that was made here says what it was made with, in characters that need no escaping in a URL."""
        link = Link(party, NOW + timedelta(seconds=seconds))
        token = token_of(link, sign)
        assert link_of(token, sign, NOW) == link
        assert token.replace("-", "").replace("_", "").isalnum()

    @given(st.integers(0, 94), st.sampled_from("ABab01-_"))
    def test_any_change_is_a_forgery(self, position: int, character: str) -> None:
        """No character of a link can be another one, not even in a bit that says nothing."""
        token = token_of(LINK, sign)
        changed = token[:position] + character + token[position + 1 :]
        if changed != token:
            with pytest.raises(ForgedLinkError):
                link_of(changed, sign, NOW)

    @given(st.text(max_size=200))
    def test_any_other_text_is_a_forgery(self, text: str) -> None:
        """What is no link at all is refused without being signed."""

        def never(_message: bytes) -> bytes:
            raise AssertionError

        if len(text) != 95 or not text.isascii():
            with pytest.raises(ForgedLinkError):
                link_of(text, never, NOW)

    def test_ends(self) -> None:
        """A link works until its end, and not at it."""
        token = token_of(LINK, sign)
        assert link_of(token, sign, LINK.expires_at - timedelta(seconds=1)) == LINK
        with pytest.raises(ExpiredLinkError):
            link_of(token, sign, LINK.expires_at)

    def test_forged_link_never_tells_that_it_is_old(self) -> None:
        """The MAC is checked before the end is looked at."""
        token = token_of(LINK, lambda _: b"x" * 32)
        with pytest.raises(ForgedLinkError):
            link_of(token, sign, LINK.expires_at)

    @pytest.mark.parametrize("position", [0, -1])
    def test_unknown_version_or_purpose_is_none_of_ours(self, position: int) -> None:
        """A link of a later version does nothing here, though its MAC is right."""

        class Later(Link):
            def payload(self) -> bytes:
                payload = bytearray(super().payload())
                payload[position] = 9
                return bytes(payload)

        with pytest.raises(ForgedLinkError):
            link_of(token_of(Later(LINK.party, LINK.expires_at), sign), sign, NOW)

    @pytest.mark.parametrize("identifier", ["+12125550111", "user:optout-link"])
    def test_message_is_never_that_of_an_identifier(self, identifier: str) -> None:
        """The domain of links begins no identifier, so that no MAC of a link is a party key."""
        assert not canonical(identifier).startswith(DOMAIN)

    def test_belongs_to_a_party_key(self) -> None:
        """A link is not made for a number."""
        with pytest.raises(ValueError, match="party key"):
            token_of(Link("+12125550111", NOW), sign)


class Outline(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))


class TestPages:
    """What people see."""

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize("kind", Page)
    def test_page_is_whole_in_itself(self, kind: Page, language: str) -> None:
        """A page says its language, names the operator and Twilio, loads nothing, and has one button where it asks."""
        text = page(kind, language, app="Acme <Rides>", contact="privacy@acme.example")
        found = Outline(text).found
        tags = [tag for tag, _ in found]
        assert dict(found)["html"] == {"lang": language}
        assert (tags.count("h1"), tags.count("main"), tags.count("button")) == (1, 1, int(kind is Page.ASK))
        assert {"script", "img", "link", "iframe", "a", "input"}.isdisjoint(tags)
        assert not any("src" in attributes or "href" in attributes for _, attributes in found)
        assert ("Acme &lt;Rides&gt;" in text, "Twilio" in text, "privacy@acme.example" in text) == (True, True, True)

    def test_policy_allows_only_the_page_itself(self) -> None:
        """Nothing but the page's own style is allowed, and no other site may frame it or be told of it."""
        sent = headers()
        digest = hashlib.sha256(
            page(Page.ASK, "en", app="a", contact="b").split("<style>")[1].split("</style>")[0].encode()
        )
        policy = sent["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert base64.b64encode(digest.digest()).decode() in policy
        assert (sent["cache-control"], sent["referrer-policy"]) == ("no-store", "no-referrer")
        assert "set-cookie" not in sent

    @pytest.mark.parametrize(
        ("accepted", "language"),
        [
            ("", "en"),
            ("ja", "ja"),
            ("de-AT,de;q=0.9,en;q=0.5", "de"),
            ("fr-FR, es;q=0.4, en;q=0.3", "es"),
            ("es;q=0, fr", "en"),
            ("*", "en"),
            (";;;q=,", "en"),
        ],
    )
    def test_language_is_that_of_the_browser(self, accepted: str, language: str) -> None:
        """The page is in the language that the browser likes best of the four, else in English."""
        assert language_of(accepted) == language
