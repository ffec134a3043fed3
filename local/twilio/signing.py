"""How a webhook proves that Twilio sent it, and a link that it may be followed without a login."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

from twilio.request_validator import HMAC_SHA1, RequestValidator  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNATURE_HEADER = "X-Twilio-Signature"
IDEMPOTENCY_HEADER = "I-Twilio-Idempotency-Token"


def sign(secret: str, url: str, fields: Mapping[str, str], algorithm: str = HMAC_SHA1) -> str:
    """Return the X-Twilio-Signature of a form POST: an HMAC over the exact URL and every field, blank ones too.

    `secret` is the auth token, or that of a SharedKey with its algorithm. The fragment is neither sent nor signed
    (https://www.twilio.com/docs/usage/security#validating-requests).
    """
    signature: str = RequestValidator(secret).compute_signature(urldefrag(url).url, dict(fields), algorithm)
    return signature


def sign_link(auth_token: str, path: str, expires: str) -> str:
    """Return the signature of a link to `path` that runs out at `expires`, in epoch seconds."""
    return hmac.new(auth_token.encode(), f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
