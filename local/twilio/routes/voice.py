"""voice.twilio.com: the account-wide defaults (v2) and the calls' copies in the bulk export (v1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import TwilioError
from local.twilio.moments import iso8601
from local.twilio.routes import Answer, Exchange, Routes

if TYPE_CHECKING:
    from local.twilio.state import AccountDefault

ROUTES: Final = Routes("voice")
_DEFAULT: Final = "/v2/AccountDefaultConfiguration/<kind>"


@ROUTES.add("GET", _DEFAULT)
def fetch_default(exchange: Exchange, kind: str) -> Answer:
    """Fetch what the account does to every call by itself; 404 is the good answer."""
    return 200, _default(exchange.carrier.defaults.fetch(exchange.account.sid, kind))


@ROUTES.add("POST", _DEFAULT)
def create_default(exchange: Exchange, kind: str) -> Answer:
    """Set a default where there is none."""
    account = exchange.account.sid
    if f"{account}/{kind}" in exchange.carrier.state.defaults:
        raise TwilioError(20001, f"the account has a default of the kind {kind} already: update it with PUT")
    return 201, _default(exchange.carrier.defaults.put(account, kind, exchange.json))


@ROUTES.add("PUT", _DEFAULT)
def update_default(exchange: Exchange, kind: str) -> Answer:
    """Change a default."""
    account, defaults = exchange.account.sid, exchange.carrier.defaults
    defaults.fetch(account, kind)
    return 200, _default(defaults.put(account, kind, exchange.json))


@ROUTES.add("DELETE", _DEFAULT)
def delete_default(exchange: Exchange, kind: str) -> Answer:
    """Take a default away."""
    exchange.carrier.defaults.delete(exchange.account.sid, kind)
    return 204, None


@ROUTES.add("DELETE", "/v1/Archives/<day>/Calls/<sid>")
def delete_archived_call(exchange: Exchange, day: str, sid: str) -> Answer:
    """Delete a call's copy in the bulk export of a day; the call itself stays."""
    exchange.carrier.voice.delete_archive(exchange.account.sid, day, sid)
    return 204, None


def _default(record: AccountDefault) -> dict[str, Any]:
    return {
        "account_sid": record.account_sid,
        "description": record.description,
        "configuration": record.configuration,
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
    }
