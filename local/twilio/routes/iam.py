"""iam.twilio.com/v1: making and deleting API keys (https://www.twilio.com/docs/iam/api-keys/key-resource-v1)."""

from __future__ import annotations

from typing import Final

from local.twilio.errors import TwilioError
from local.twilio.moments import rfc2822
from local.twilio.routes import Answer, Exchange, Routes

ROUTES: Final = Routes("iam")
_LONGEST_NAME: Final = 64


@ROUTES.add("POST", "/v1/Keys")
def create_key(exchange: Exchange) -> Answer:
    """Create a standard API key; nothing but this answer ever tells its secret."""
    form, carrier = exchange.form, exchange.carrier
    if not form.get("AccountSid"):
        raise TwilioError(20001, "AccountSid is required")
    if form.get("KeyType"):
        raise TwilioError(20001, "KeyType: restricted keys are not carried out by this emulator")
    name = form.get("FriendlyName", "")
    if len(name) > _LONGEST_NAME:
        raise TwilioError(20001, f"FriendlyName must be at most {_LONGEST_NAME} characters long")
    sid, secret = carrier.create_key(carrier.scope(exchange.account, form["AccountSid"]))
    now = rfc2822(carrier.clock.now())
    return 201, {
        "sid": sid,
        "friendly_name": name,
        "date_created": now,
        "date_updated": now,
        "secret": secret,
        "policy": None,
    }


@ROUTES.add("DELETE", "/v1/Keys/<sid>")
def delete_key(exchange: Exchange, sid: str) -> Answer:
    """Delete an API key of the caller's own account."""
    exchange.carrier.delete_key(exchange.account, sid)
    return 204, None
