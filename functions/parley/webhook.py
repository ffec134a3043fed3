"""Webhooks of Twilio: proof that Twilio sent them, before anything in them is believed."""

from __future__ import annotations

from parley import runtime
from parley.core.signature import verify
from parley.web import Form, Request

SIGNATURE = "x-twilio-signature"


class ForgedError(Exception):
    """Nothing proves that Twilio sent this."""


def authenticate(request: Request) -> Form:
    """Return the fields of a webhook that Twilio signed with one of the account's auth tokens.

    A signature that fails makes the tokens be fetched anew, so that a rotation is picked up at once.
    Raises ForgedError, MalformedError, SecretError.
    """
    signature = request.headers.get(SIGNATURE, "")
    if not signature:
        raise ForgedError
    form = request.form()
    url = request.url(runtime.environment().public_url)
    tokens = runtime.secrets().get().auth_tokens
    if verify(tokens, url, signature, form=form):
        return form
    renewed = runtime.secrets().refresh().auth_tokens
    if renewed != tokens and verify(renewed, url, signature, form=form):
        return form
    raise ForgedError
