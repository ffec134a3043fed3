"""How a webhook proves that Twilio sent it, and a link that it may be followed without a login."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNATURE_HEADER = "X-Twilio-Signature"
IDEMPOTENCY_HEADER = "I-Twilio-Idempotency-Token"


def sign(auth_token: str, url: str, fields: Mapping[str, str]) -> str:
    """Return the X-Twilio-Signature of a form POST: HMAC-SHA1 over the exact URL and every field, blank ones too.

    The fragment is neither sent nor signed (https://www.twilio.com/docs/usage/security#validating-requests).
    """
    signature: str = RequestValidator(auth_token).compute_signature(urldefrag(url).url, dict(fields))
    return signature


def sign_link(auth_token: str, path: str, expires: str) -> str:
    """Return the signature of a link to `path` that runs out at `expires`, in epoch seconds."""
    return hmac.new(auth_token.encode(), f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
