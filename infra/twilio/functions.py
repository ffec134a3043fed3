"""The plugin's functions: what a program may ask of a Twilio account without managing any of it.

No phone number is among the answers, since whatever a program reads can end in its state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from infra.provider import Properties, ProviderError
from infra.twilio import rules
from infra.twilio.client import Account, LineNumber

GET_ACCOUNT: Final = "parley:index:getAccount"
GET_NUMBERS: Final = "parley:index:getNumbers"


def get_account(account: Account, arguments: Properties) -> Properties:
    """Return what the account is: its name, status, type and owner, and whether every call of it is recorded.

    Raises ProviderError for arguments, and TwilioError.
    """
    _check(GET_ACCOUNT, arguments)
    found = asdict(account.description())
    return {
        "accountSid": found["sid"],
        "friendlyName": found["friendly_name"],
        "status": found["status"],
        "type": found["type"],
        "ownerAccountSid": found["owner_account_sid"],
        "recordsEveryCall": account.records_every_call(),
    }


def get_numbers(account: Account, arguments: Properties) -> Properties:
    """Return the SIDs of the account's numbers that can be adopted, narrowed by country and capabilities.

    A number that an application or a trunk answers for, or that a Proxy service has, is marked as such. Raises
    ProviderError for wrong arguments, and TwilioError.
    """
    _check(GET_NUMBERS, arguments)
    country, needed = arguments.get("country"), set(arguments.get("capabilities") or ())
    found = [
        _number(one)
        for one in account.lines()
        if country in {None, one.iso_country} and needed <= set(one.capabilities)
    ]
    return {"numbers": sorted(found, key=lambda one: str(one["sid"]))}


FUNCTIONS: Final[Mapping[str, Callable[[Any, Properties], Properties]]] = {
    GET_ACCOUNT: get_account,
    GET_NUMBERS: get_numbers,
}


def _number(one: LineNumber) -> dict[str, Any]:
    return {
        "sid": one.sid,
        "isoCountry": one.iso_country,
        "capabilities": list(one.capabilities),
        "inProxy": one.in_proxy,
        "overridden": one.overridden,
    }


def _check(token: str, arguments: Properties) -> None:
    failures = rules.arguments(arguments, token)
    if failures:
        raise ProviderError(f"{token.rpartition(':')[2]}: " + "; ".join(map(str, failures)))
