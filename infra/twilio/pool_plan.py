"""What a number pool lacks and has too much of: pure functions over the declared and the live numbers."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.provider import Change, Properties
from infra.twilio.client import PoolNumber


def tag(service_sid: str, order: str) -> str:
    """Return the friendly name (at most 64 characters) of a number bought for that order of that service."""
    return f"parley {service_sid} {hashlib.sha256(order.encode()).hexdigest()[:12]}"


def order_key(order: Mapping[str, Any]) -> str:
    """Return what makes two orders ask for the same numbers: not the count, the reservation or the paperwork."""
    return f"{order['country']} {order['type']} {order.get('areaCode') or '*'} {'+'.join(order['capabilities'])}"


@dataclass(frozen=True)
class Plan:
    """What it takes to get from the numbers that are there to those that are declared.

    `flag`, `add`: SID -> reserved. `buy`: order key -> one reserved flag for each number. `surplus`: bought, but not
    wanted any more.
    """

    remove: tuple[str, ...] = ()
    flag: Mapping[str, bool] = field(default_factory=dict)
    add: Mapping[str, bool] = field(default_factory=dict)
    buy: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    surplus: tuple[str, ...] = ()


def plan(
    inputs: Mapping[str, Any], live: Mapping[str, PoolNumber], mine: Mapping[str, str], known: Iterable[str]
) -> Plan:
    """Compare the declared numbers with the `live` ones of the service.

    `mine`: numbers bought for this pool, SID -> order key. `known`: SIDs that may be taken out if not declared.
    """
    reserved = set(inputs["reserved"])
    wanted = {sid: sid in reserved for sid in inputs["adopt"]}
    adopted, buy = frozenset(wanted), {}
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for order in inputs["buy"]:
        counts[order_key(order)][order["reserved"]] += order["count"]

    def worth_keeping(sid: str) -> tuple[bool, int, str]:
        return sid not in live, -live[sid].in_use if sid in live else 0, sid

    for key, (free, held) in counts.items():
        have = sorted((sid for sid, bought in mine.items() if bought == key and sid not in adopted), key=worth_keeping)
        have = sorted(have[: free + held], key=lambda sid: not (sid in live and live[sid].reserved))
        wanted |= {sid: index < held or sid in reserved for index, sid in enumerate(have)}
        missing_held = max(held - len(have), 0)
        missing_free = free + held - len(have) - missing_held
        if missing_held or missing_free:
            buy[key] = (True,) * missing_held + (False,) * missing_free
    return Plan(
        remove=tuple(sorted((live.keys() & set(known)) - wanted.keys())),
        flag={sid: flag for sid, flag in wanted.items() if sid in live and live[sid].reserved != flag},
        add={sid: flag for sid, flag in wanted.items() if sid not in live},
        buy=buy,
        surplus=tuple(sorted(mine.keys() - wanted.keys())),
    )


def orders_now(
    orders: Sequence[Mapping[str, Any]], live: Mapping[str, PoolNumber], bought: Mapping[str, str], reserved: set[str]
) -> list[Properties]:
    """Return the orders with the counts that the live numbers of the pool amount to.

    `bought`: the live numbers that were bought, SID -> order key. `reserved`: SIDs reserved on top of what orders say.
    A number whose reservation fits none of its orders counts for none, so that a refresh shows it.
    """
    both = {(order_key(order), order["reserved"]) for order in orders}
    counts: defaultdict[tuple[str, bool], int] = defaultdict(int)
    for sid, key in bought.items():
        held = live[sid].reserved
        if held and sid in reserved and (key, False) in both:
            held = False
        counts[key, held] += 1
    return [{**order, "count": counts[order_key(order), order["reserved"]]} for order in orders]


def set_changes(name: str, old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[tuple[str | int, ...], Change]]:
    """Yield what came and went between two lists whose order means nothing, as changes of the property `name`."""
    were, are = set(old), set(new)
    gone = {index for index, value in enumerate(old) if value not in are}
    come = {index for index, value in enumerate(new) if value not in were}
    for index in sorted(gone | come):
        kind = Change.UPDATE if index in gone and index in come else Change.DELETE if index in gone else Change.ADD
        yield (name, index), kind
