"""The plugin's functions: what a program may ask of a Twilio account without managing any of it.

No phone number is among the answers, since whatever a program reads can end in its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlencode, urljoin

from parley.ports import CarrierError

from infra.provider import Properties, ProviderError
from infra.twilio import account_traps, rules
from infra.twilio.client import Account, LineNumber, TwilioError

GET_ACCOUNT: Final = "parley:index:getAccount"
GET_NUMBERS: Final = "parley:index:getNumbers"
GET_TRAPS: Final = "parley:index:getTraps"


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


def get_traps(account: Account, arguments: Properties) -> Properties:
    """Return what the account does, or lets happen, behind a program's back: the findings of `parley doctor`.

    What Twilio does not answer is a finding too (`unknown`), so that nothing is raised but ProviderError for wrong
    arguments.
    """
    _check(GET_TRAPS, arguments)
    service = arguments.get("serviceSid") or ""
    if failures := list(rules.sid(service or None, "KS", "serviceSid", "the `sid` of the ProxyService")):
        raise ProviderError("getTraps: " + "; ".join(map(str, failures)))
    found = account_traps.examine(
        _Reads(account),
        service,
        channels=arguments.get("channels") or (),
        gate=arguments.get("gateUrl") or "",
        stack=arguments.get("stack") or "",
        account="" if service else account.sid,
    )
    return {"findings": [{**asdict(each), "word": str(each.word)} for each in found]}


class _Reads:
    """The account as the traps ask it."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def read(self, operation: str, host: str, path: str) -> dict[str, Any]:
        """Return one resource. Raises CarrierError."""
        try:
            return self._account.get(f"https://{host}{path}", operation)
        except TwilioError as error:
            raise CarrierError(operation, error.status or 0, error.code or 0) from None

    def entries(
        self, operation: str, host: str, path: str, query: Mapping[str, str], key: str
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list, page by page. Raises CarrierError."""
        root = f"https://{host}"
        where: str | None = f"{path}?{urlencode(query)}" if query else path
        while where:
            page = self.read(operation, host, where)
            yield from page.get(key) or ()
            # The classic API names the next page by its path, the others by its whole URL.
            following = page.get("next_page_uri") or (page.get("meta") or {}).get("next_page_url")
            where = urljoin(root, following).removeprefix(root) if following else None


FUNCTIONS: Final[Mapping[str, Callable[[Any, Properties], Properties]]] = {
    GET_ACCOUNT: get_account,
    GET_NUMBERS: get_numbers,
    GET_TRAPS: get_traps,
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
