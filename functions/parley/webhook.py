"""Webhooks of Twilio: proof that Twilio sent them, before anything in them is believed."""

from __future__ import annotations

from parley import runtime
from parley.core.signature import SHA1, shared_key, verify
from parley.web import Form, MalformedError, Request

SIGNATURE = "x-twilio-signature"
SIGNED_BY = "x-twilio-webhooks-signature-settings"
"""Which SharedKey signed, and how, where it was not an auth token."""

JSON_LIMIT = 1024 * 1024
"""Bytes of a JSON body: a batch of Event Streams is smaller."""


class ForgedError(Exception):
    """Nothing proves that Twilio sent this."""


def authenticate(request: Request) -> Form:
    """Return the fields of a webhook that Twilio signed with one of the account's auth tokens or SharedKeys.

    Raises ForgedError, MalformedError, SecretError.
    """
    signature = _signature(request)
    form = request.form()
    _prove(request, signature, form=form)
    return form


def authenticate_json(request: Request) -> bytes:
    """Return the body of a webhook with JSON, whose SHA-256 is part of the URL that Twilio signed.

    Raises ForgedError, MalformedError, SecretError.
    """
    signature, body = _signature(request), request.body
    if len(body) > JSON_LIMIT:
        raise MalformedError(f"the body is longer than {JSON_LIMIT} bytes")
    _prove(request, signature, body=body)
    return body


def _signature(request: Request) -> str:
    signature = request.headers.get(SIGNATURE, "")
    if not signature:
        raise ForgedError
    return signature


def _prove(request: Request, signature: str, *, form: Form | None = None, body: bytes = b"") -> None:
    """Check a signature. One that fails makes the keys be fetched anew, so that a rotation is picked up at once."""
    url = request.url(runtime.public_url())
    key, algorithm = "", SHA1
    if signed_by := request.headers.get(SIGNED_BY):
        key, algorithm = shared_key(signed_by)
        if not key:
            raise ForgedError
    keys = runtime.secrets().get().signing(key)
    if verify(keys, url, signature, form=form, body=body, algorithm=algorithm):
        return
    renewed = runtime.secrets().refresh().signing(key)
    if renewed == keys or not verify(renewed, url, signature, form=form, body=body, algorithm=algorithm):
        raise ForgedError
