"""Twilio's webhook signatures (twilio.com/docs/usage/security#validating-requests).

The signature is base64(HMAC-SHA1(auth token, URL + every form field, sorted, name and value joined)). Values of a
repeated field are de-duplicated and sorted. Blank values count: a parser that drops them, as Python's does by
default, breaks the signature of every voice webhook of Proxy. A JSON body is not part of the string; its SHA-256
travels in the signed URL as `bodySHA256`.

Where a webhook Rule of the account says so, a SharedKey signs instead of the auth token, as a rule by HMAC-SHA256; a
header names the key and the hash (twilio.com/docs/usage/webhooks/webhook-shared-keys).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

Form = Mapping[str, Sequence[str]]

SHA1, SHA256 = "HMAC_SHA1", "HMAC_SHA256"
_HASHES = {SHA1: "sha1", SHA256: "sha256"}


def sign(token: str, url: str, form: Form | None = None, *, algorithm: str = SHA1) -> str:
    """Return the signature of a webhook to `url` with the fields of `form`. Raises KeyError for another algorithm."""
    return _signature(token, (url + _fields(form)).encode(), _HASHES[algorithm]).decode("ascii")


def shared_key(header: str) -> tuple[str, str]:
    """Return the id of the SharedKey and the algorithm that a header names: `key=webhooks_…,algorithm=HMAC_SHA256`.

    Both are empty where it names no key, or a hash that is not known here: then nothing is proven by it.
    """
    named = dict(part.strip().partition("=")[::2] for part in header.split(","))
    key, algorithm = named.get("key", ""), named.get("algorithm", "").upper()
    return (key, algorithm) if key and algorithm in _HASHES else ("", "")


def _fields(form: Form | None) -> str:
    """Return the fields of a form as they are signed."""
    return "".join([name + value for name, values in sorted((form or {}).items()) for value in sorted(set(values))])


def _signature(token: str, signed: bytes, hashed: str) -> bytes:
    return base64.b64encode(hmac.digest(token.encode(), signed, hashed))


def verify(
    tokens: Iterable[str],
    url: str,
    signature: str,
    *,
    form: Form | None = None,
    body: bytes = b"",
    algorithm: str = SHA1,
) -> bool:
    """Tell whether `signature` was made by Twilio with any of `tokens`. Raises KeyError for another algorithm.

    Several tokens are in force while the account's auth token is rotated. Twilio may or may not have signed the
    port, so the URL is tried with it and without. `form` is for form bodies; without it `body` is held against the
    `bodySHA256` of the URL, and a body that the URL says nothing about is refused.
    All comparisons take the same time whatever the signature is.
    """
    if form is None and not _hash_matches(url, body):
        return False
    given, fields, hashed = signature.encode("utf-8", "surrogatepass"), _fields(form), _HASHES[algorithm]
    texts = [(spelling + fields).encode() for spelling in spellings(url)]
    genuine = False
    for token in tokens:
        for text in texts:
            genuine |= bool(token) & hmac.compare_digest(_signature(token, text, hashed), given)
    return genuine


def spellings(url: str) -> tuple[str, str]:
    """Return `url` without and with its port."""
    parts = urlsplit(url)
    host = parts.netloc
    userinfo, at, server = host.rpartition("@")
    name, colon, port = server.rpartition(":")
    if colon and port.isdigit():
        bare, full = userinfo + at + name, host
    else:
        bare, full = host, f"{host}:{443 if parts.scheme == 'https' else 80}"
    rest = url[len(parts.scheme) + len("://") + len(host) :]
    return f"{parts.scheme}://{bare}{rest}", f"{parts.scheme}://{full}{rest}"


def _hash_matches(url: str, body: bytes) -> bool:
    declared = parse_qs(urlsplit(url).query).get("bodySHA256")
    if declared is None:
        return not body
    return hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), declared[0].encode("utf-8", "surrogatepass"))
