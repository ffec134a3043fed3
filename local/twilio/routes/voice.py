"""voice.twilio.com/v2: only the account-wide recording default, which an account here never has."""

from __future__ import annotations

from typing import Final

from local.twilio.errors import TwilioError
from local.twilio.routes import Answer, Exchange, Routes

ROUTES: Final = Routes("voice")


@ROUTES.add("GET", "/v2/AccountDefaultConfiguration/<kind>")
def fetch_default(exchange: Exchange, kind: str) -> Answer:
    """Answer 404: no default records (or transcribes) every call of this account."""
    raise TwilioError(20404, f"{exchange.path} ({kind})")
