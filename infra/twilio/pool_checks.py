"""What can be told of a number pool before the deployment: spelling, limits, and whether its numbers are owned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.provider import UNKNOWN, CheckFailure, Properties, ProviderError, wire
from infra.twilio import rules
from infra.twilio.client import Account, mask
from infra.twilio.limits import MOST
from infra.twilio.pool_plan import order_key

SETS: Final = ("adopt", "reserved")
"""The inputs that name numbers; their order means nothing."""
LOOKUPS: Final = 20
"""Numbers that are looked up one by one; for more of them it is cheaper to list the account's."""


def normal_order(order: Mapping[str, Any]) -> Properties:
    """Return the order with its defaults, so that equal orders look equal."""
    if not wire.known(order):
        return dict(order)
    able = order.get("capabilities") or ["sms", "voice"]
    return {**order, "capabilities": sorted(set(able)), "reserved": order.get("reserved", False)}


def order_problems(orders: Any) -> Iterator[CheckFailure]:
    """Yield what Twilio would refuse of `buy`."""
    if orders is UNKNOWN:
        return
    seen: dict[tuple[str, bool], int] = {}
    for index, order in enumerate(orders):
        if not wire.known(order):
            continue
        path = f"buy[{index}]"
        country, area = order["country"], order.get("areaCode")
        if order["count"] < 1:
            yield CheckFailure(f"{path}.count", f"is {order['count']}; leave the entry out to buy none")
        if not (len(country) == 2 and country.isascii() and country.isupper()):
            yield CheckFailure(f"{path}.country", "has to be two capital letters as in ISO 3166-1, such as US or GB")
        elif area is not None and country not in {"US", "CA"}:
            yield CheckFailure(f"{path}.areaCode", "exists in US and CA only; leave it out")
        elif area is not None and not (len(area) == 3 and area.isascii() and area.isdigit()):
            yield CheckFailure(f"{path}.areaCode", "has to be three digits, such as 212")
        yield from rules.sid(order.get("addressSid"), "AD", f"{path}.addressSid", "the SID of an address")
        yield from rules.sid(order.get("bundleSid"), "BU", f"{path}.bundleSid", "the SID of an approved bundle")
        key = (order_key(normal_order(order)), order.get("reserved", False))
        if key in seen:
            yield CheckFailure(path, f"asks for the same numbers as buy[{seen[key]}]: add the counts up in one entry")
        seen.setdefault(key, index)


def spelling_problems(given: Mapping[str, Any]) -> Iterator[CheckFailure]:
    """Yield the entries of `adopt` and `reserved` that cannot be a number; without showing them."""
    for name in SETS:
        for index, entry in _entries(given[name]):
            if not (rules.is_sid(entry, "PN") or rules.E164.fullmatch(entry)):
                yield CheckFailure(
                    f"{name}[{index}]", "is neither a PN… SID nor a number in E.164, such as +12125550100 (no spaces)"
                )


def _entries(values: Any) -> Iterator[tuple[int, str]]:
    if values is not UNKNOWN:
        yield from ((index, value) for index, value in enumerate(values) if value is not UNKNOWN)


def to_sids(account: Account | None, given: Properties, old_inputs: Mapping[str, Any]) -> list[CheckFailure]:
    """Replace phone numbers by SIDs in place; return a failure for each number that the account does not own.

    What stood in the old inputs was checked before and is not again. Without an account (nothing is configured yet)
    SIDs pass as they are.
    """
    settled = {sid for name in SETS for _, sid in _entries(old_inputs.get(name) or [])}
    asked = {entry for name in SETS for _, entry in _entries(given[name]) if entry not in settled}
    if account is None:
        if any(entry.startswith("+") for entry in asked):
            raise ProviderError("the provider is not configured yet to look phone numbers up: give their PN… SIDs")
        return []
    sids = {sid: sid for sid in settled} | owned_sids(account, asked)
    failures = []
    for name in SETS:
        known = dict(_entries(given[name]))
        failures += [
            CheckFailure(
                f"{name}[{index}]",
                f"{mask(entry) if entry.startswith('+') else entry} is not a number of account {account.sid}: buy or"
                " port it first, or correct the entry (Twilio Console, Phone Numbers, Active numbers)",
            )
            for index, entry in known.items()
            if entry not in sids
        ]
        if given[name] is not UNKNOWN:
            given[name] = [entry if entry is UNKNOWN else sids.get(entry, entry) for entry in given[name]]
    return failures


def owned_sids(account: Account, asked: set[str]) -> dict[str, str]:
    """Return the SIDs of those of the numbers, given by SID or in E.164, that the account owns."""
    if len(asked) > LOOKUPS:
        own = list(account.owned_numbers())
        found = {number.sid: number.sid for number in own} | {number.phone_number: number.sid for number in own}
        return {entry: found[entry] for entry in asked if entry in found}
    sids: dict[str, str] = {}
    for entry in sorted(asked):
        if entry.startswith("+"):
            number = next(account.owned_numbers(phone_number=entry), None)
            sids |= {entry: number.sid} if number else {}
        elif account.owned(entry):
            sids[entry] = entry
    return sids


def settle(
    account: Account | None, given: Properties, old_inputs: Mapping[str, Any], *, limited: bool = True
) -> list[CheckFailure]:
    """Bring the numbers and orders into their normal form, in place; return what is wrong with them.

    `limited` holds them against the limits of a Proxy service.
    """
    if given["buy"] is not UNKNOWN:
        given["buy"] = [normal_order(order) for order in given["buy"]]
    failures = to_sids(account, given, old_inputs) or list(set_problems(given, limited=limited))
    for name in SETS:
        if wire.known(given[name]):
            given[name] = sorted(given[name])
    return failures


def set_problems(given: Mapping[str, Any], *, limited: bool = True) -> Iterator[CheckFailure]:
    """Yield what is wrong with the set as a whole, its numbers being SIDs by now: repetitions, strangers, limits."""
    for name in SETS:
        seen: dict[str, int] = {}
        for index, sid in _entries(given[name]):
            if sid in seen:
                yield CheckFailure(
                    f"{name}[{index}]", f"is the same number as {name}[{seen[sid]}] ({sid}): leave one out"
                )
            seen.setdefault(sid, index)
    if not all(wire.known(given[name]) for name in (*SETS, "buy")):
        return
    adopted, reserved, orders = set(given["adopt"]), set(given["reserved"]), given["buy"]
    for index, sid in enumerate(given["reserved"]):
        if sid not in adopted and not orders:
            yield CheckFailure(f"reserved[{index}]", f"{sid} is not in the pool: add it to `adopt` as well")
    ordered = {flag: sum(order["count"] for order in orders if order["reserved"] is flag) for flag in (True, False)}
    counts = {
        "reserved": len(adopted & reserved) + ordered[True],
        "unreserved": len(adopted - reserved) + ordered[False],
    }
    for kind, count in counts.items():
        if limited and count > MOST[kind]:
            yield CheckFailure(
                "adopt",
                f"makes {count} {kind} numbers together with `buy`, and a Proxy service takes {MOST[kind]}: put the"
                " rest in a second service",
            )
