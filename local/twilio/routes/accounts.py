"""accounts.twilio.com/v1: rotation of the auth token (https://www.twilio.com/docs/iam/api/authtoken)."""

from __future__ import annotations

from typing import Final

from local.twilio.moments import iso8601
from local.twilio.routes import Answer, Exchange, Routes

ROUTES: Final = Routes("accounts")
_URL: Final = "https://accounts.twilio.com/v1/AuthTokens"


@ROUTES.add("POST", "/v1/AuthTokens/Secondary")
def create_secondary(exchange: Exchange) -> Answer:
    """Create the second auth token: it logs in beside the first one, and signs nothing yet."""
    account = exchange.account
    token = exchange.carrier.create_secondary_token(account)
    return 201, {
        "account_sid": account.sid,
        "secondary_auth_token": token,
        "date_created": iso8601(account.secondary_created),
        "date_updated": iso8601(account.secondary_created),
        "url": f"{_URL}/Secondary",
    }


@ROUTES.add("DELETE", "/v1/AuthTokens/Secondary")
def delete_secondary(exchange: Exchange) -> Answer:
    """Delete the second auth token."""
    exchange.carrier.delete_secondary_token(exchange.account)
    return 204, None


@ROUTES.add("POST", "/v1/AuthTokens/Promote")
def promote(exchange: Exchange) -> Answer:
    """Make the second auth token the primary one; the old one is refused from now on."""
    account = exchange.account
    token = exchange.carrier.promote_secondary_token(account)
    return 200, {
        "account_sid": account.sid,
        "auth_token": token,
        "date_created": iso8601(account.created),
        "date_updated": iso8601(account.updated),
        "url": f"{_URL}/Promote",
    }
