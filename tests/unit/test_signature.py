"""Twilio's signatures, held against the official package."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from parley.core.signature import SHA1, SHA256, shared_key, sign, spellings, verify
from twilio.request_validator import (  # type: ignore[import-untyped]
    RequestValidator,
    get_signature_algorithm,
)

TOKEN, OTHER = "t" * 32, "o" * 32
NAMES = st.text("abcXYZ019_[]. é日", max_size=6)
VALUES = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=8)
FORMS = st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), max_size=6)
HOSTS = st.sampled_from(["example.com", "api.example.com", "127.0.0.1", "abc.execute-api.eu-west-1.amazonaws.com"])
PORTS = st.sampled_from(["", ":443", ":80", ":8443"])
PATHS = st.text("abc/-_~%20", max_size=12).map(lambda text: "/" + text)
QUERIES = st.sampled_from(["", "?a=b", "?a=b&a=c", "?x=%2B1&y="])
URLS = st.builds(lambda *parts: "".join(parts), st.sampled_from(["https://", "http://"]), HOSTS, PORTS, PATHS, QUERIES)


class MultiDict(dict[str, list[str]]):
    """A form as Flask has it, which the official package understands."""

    def getall(self, name: str) -> list[str]:
        """Return all values of a field."""
        return self[name]


@given(URLS, FORMS, st.text("0123456789abcdef", min_size=1), st.sampled_from([SHA1, SHA256]))
def test_signature_is_that_of_the_official_package(
    url: str, form: dict[str, list[str]], token: str, algorithm: str
) -> None:
    """For any URL and form, blank and repeated fields too, the signature is the one that Twilio's own code makes."""
    theirs = RequestValidator(token).compute_signature(url, MultiDict(form), algorithm)
    assert sign(token, url, form, algorithm=algorithm) == theirs


@given(URLS, FORMS)
def test_signature_of_one_hash_proves_nothing_by_another(url: str, form: dict[str, list[str]]) -> None:
    """What was signed by SHA-1 is not taken for signed by SHA-256, nor the other way round."""
    for made, read in ((SHA1, SHA256), (SHA256, SHA1)):
        signature = sign(TOKEN, url, form, algorithm=made)
        assert verify([TOKEN], url, signature, form=form, algorithm=made)
        assert not verify([TOKEN], url, signature, form=form, algorithm=read)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", ("webhooks_sharedkey_1", SHA256)),
        ("algorithm=hmac_sha256, key=webhooks_sharedkey_1", ("webhooks_sharedkey_1", SHA256)),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA1", ("webhooks_sharedkey_1", SHA1)),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_MD5", ("", "")),
        ("key=webhooks_sharedkey_1", ("", "")),
        ("key=,algorithm=HMAC_SHA256", ("", "")),
        ("nonsense", ("", "")),
        ("", ("", "")),
    ],
)
def test_header_names_a_shared_key(header: str, expected: tuple[str, str]) -> None:
    """A header names a SharedKey and a hash in any order; one that names no key or another hash proves nothing."""
    assert shared_key(header) == expected
    if expected[1]:
        assert get_signature_algorithm(header).upper() == expected[1]


@given(URLS, URLS, FORMS, st.booleans())
@example("https://example.com/a", "https://example.com:443/a", {"interactionData": [""]}, True)
def test_verdict_is_that_of_the_official_package(
    signed: str, received: str, form: dict[str, list[str]], same: bool
) -> None:
    """Whatever URL was signed, the verdict on the one received is that of Twilio's own code."""
    received = signed if same else received
    signature = sign(TOKEN, signed, form)
    verdict = RequestValidator(TOKEN).validate(received, MultiDict(form), signature)
    assert verify([TOKEN], received, signature, form=form) is bool(verdict)


@given(FORMS, FORMS)
def test_changed_field_is_found(form: dict[str, list[str]], other: dict[str, list[str]]) -> None:
    """A form is accepted only if it would be signed in the same way."""
    url = "https://example.com/twilio/intercept"
    assert verify([TOKEN], url, sign(TOKEN, url, form), form=other) is (
        sign(TOKEN, url, form) == sign(TOKEN, url, other)
    )


def test_blank_field_counts() -> None:
    """Dropping the blank interactionData of a voice webhook breaks its signature."""
    url, form = "https://example.com/x", {"interactionData": [""], "interactionType": ["Voice"]}
    signature = RequestValidator(TOKEN).compute_signature(url, {"interactionData": "", "interactionType": "Voice"})
    assert verify([TOKEN], url, signature, form=form)
    assert not verify([TOKEN], url, signature, form={"interactionType": ["Voice"]})


@pytest.mark.parametrize("tokens", [[TOKEN, OTHER], [OTHER, TOKEN], [TOKEN]])
def test_any_token_in_force_is_enough(tokens: list[str]) -> None:
    """During a rotation either token proves the webhook."""
    assert verify(tokens, "https://example.com/x", sign(TOKEN, "https://example.com/x", {}), form={})


@pytest.mark.parametrize("tokens", [[], [OTHER], [""]])
def test_no_token_proves_nothing(tokens: list[str]) -> None:
    """Without the right token nothing is proven, and an empty token is no token."""
    url = "https://example.com/x"
    assert not verify(tokens, url, sign(TOKEN, url, {}), form={})
    assert not verify([""], url, sign("", url, {}), form={})


@given(st.text(max_size=40))
def test_garbage_is_refused(signature: str) -> None:
    """No text that is not the signature is accepted, and none raises."""
    assert not verify([TOKEN], "https://example.com/x", signature, form={"a": ["b"]})


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_json_body_is_held_against_its_hash(body: bytes, other: bytes) -> None:
    """A JSON body is accepted only if the signed URL has its hash."""
    url = f"https://example.com/x?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = sign(TOKEN, url)
    assert verify([TOKEN], url, signature, body=body)
    assert verify([TOKEN], url, signature, body=other) is (other == body)


def test_json_body_without_hash_is_refused() -> None:
    """A body that the URL says nothing about proves nothing; an empty one needs no hash."""
    url = "https://example.com/x"
    assert not verify([TOKEN], url, sign(TOKEN, url), body=b"{}")
    assert verify([TOKEN], url, sign(TOKEN, url), body=b"")
    odd = f"{url}?bodySHA256={quote('é')}"
    assert not verify([TOKEN], odd, sign(TOKEN, odd), body=b"{}")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/a?b", ("https://example.com/a?b", "https://example.com:443/a?b")),
        ("http://example.com", ("http://example.com", "http://example.com:80")),
        ("https://example.com:8443/a", ("https://example.com/a", "https://example.com:8443/a")),
        ("https://u:p@example.com/a", ("https://u:p@example.com/a", "https://u:p@example.com:443/a")),
    ],
)
def test_both_spellings(url: str, expected: tuple[str, str]) -> None:
    """A URL has a spelling without and with its port, and nothing else of it changes."""
    assert spellings(url) == expected
