"""Access Tokens, by which an app joins rooms and conversations (https://www.twilio.com/docs/iam/access-tokens)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from local.twilio.errors import TwilioError

if TYPE_CHECKING:
    from local.clock import Clock
    from local.twilio.state import Account


def grants(token: str, account: Account, clock: Clock) -> dict[str, Any]:
    """Return the grants of a token, `identity` among them.

    Its times are held against the machine's own clock, since that is what whoever makes tokens reads.
    Raises TwilioError 20101 (not signed by one of the account's API keys, or of another account) or 20104 (expired).
    """
    now = clock.now() - clock.offset
    try:
        signed, _, signature = token.rpartition(".")
        head, payload = (json.loads(_decode(part)) for part in signed.split("."))
        secret = account.keys[payload["iss"]]
        expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
        proved = head["alg"] == "HS256" and hmac.compare_digest(expected, _decode(signature))
        proved = proved and payload["sub"] == account.sid and payload.get("nbf", 0) <= now
        expires, found = float(payload["exp"]), dict(payload["grants"])
    except (ValueError, KeyError, TypeError):
        proved, expires, found = False, 0.0, {}
    if not proved:
        raise TwilioError(20101)
    if now >= expires:
        raise TwilioError(20104)
    return found


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
