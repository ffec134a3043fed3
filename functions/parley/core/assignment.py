"""Which masked number a participant gets (the rules of twilio.com/docs/proxy/understanding-phone-number-management).

A number is a candidate for somebody if it has the calling code of their own, matches its area where the stack wants
that, can do what the session's mode needs, is not reserved, and is on no other open line of theirs. Any number of
different people may share one. Of the candidates the sticky one comes first: the one that they had before, with the
same people if possible; `avoid-sticky` takes it last. Otherwise the least used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from parley.core.consent import sha256_hex
from parley.core.identity import calling_code
from parley.core.lines import GRACE, Line, LineStatus
from parley.core.sessions import Mode

GEO_MATCHES = ("country", "area-code", "extended-area-code")
SELECTIONS = ("prefer-sticky", "avoid-sticky")

NORTH_AMERICA = "1"
"""The calling code whose numbers have area codes of three digits (North American Numbering Plan)."""

_NEEDS: Mapping[str, frozenset[str]] = {
    Mode.VOICE_AND_MESSAGE: frozenset({"voice", "sms"}),
    Mode.VOICE_ONLY: frozenset({"voice"}),
    Mode.MESSAGE_ONLY: frozenset({"sms"}),
}


IN_USE = "numbers-in-use"
"""Where the ledger keeps how many open lines each masked number had at the reconciler's last whole round."""


@dataclass(frozen=True, slots=True)
class NumberChoice:
    """How masked numbers are chosen, in Twilio Proxy's words: near whom, and whether the same again."""

    geo_match: str = "country"
    selection: str = "prefer-sticky"


@dataclass(frozen=True, slots=True)
class PoolNumber:
    """A masked number: its SID, itself in E.164 form, and what it can do (`voice`, `sms`, `mms`)."""

    sid: str
    number: str
    capabilities: frozenset[str]
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class Shortage:
    """Numbers that the pool lacks: at least `missing` more with this calling code, and for what."""

    calling_code: str
    needs: tuple[str, ...]
    area: str = ""
    missing: int = 1

    def words(self) -> str:
        """Return it in a sentence that names nobody."""
        where = f"with the area code {self.area} " if self.area else ""
        what = " and ".join({"voice": "calls", "sms": "texts"}[need] for need in self.needs)
        return f"The pool lacks {self.missing} number(s) with the calling code +{self.calling_code} {where}for {what}."


def is_taken(line: Line, now: datetime) -> bool:
    """Tell whether a line keeps its number from being given to the same person again."""
    if line.status is LineStatus.CLOSED:
        return False
    return now < line.closes_at + GRACE


def candidates(pool: Iterable[PoolNumber], identifier: str, mode: str, geo_match: str) -> list[PoolNumber]:
    """Return the numbers of the pool that suit somebody's own number, whoever has them."""
    code, needs = calling_code(identifier), _NEEDS[mode]
    suited = [
        one
        for one in pool
        if not one.reserved
        and one.number != identifier
        and calling_code(one.number) == code
        and needs <= one.capabilities
    ]
    if code != NORTH_AMERICA or geo_match == "country":
        return suited
    near = [one for one in suited if area(one.number) == area(identifier)]
    # Twilio's overlays are in no page of theirs: where no number has the very area code, the country has to do.
    return near or (suited if geo_match == "extended-area-code" else [])


def assign(
    pool: Sequence[PoolNumber],
    identifier: str,
    *,
    mode: str,
    lines: Iterable[Line],
    others: Collection[str],
    now: datetime,
    choice: NumberChoice = NumberChoice(),
    used: Mapping[str, int] | None = None,
    wanted: str = "",
) -> PoolNumber | Shortage:
    """Return the masked number of somebody with a plain `identifier`, or what the pool lacks.

    `lines` are all of theirs, closed ones included; `others` the party keys of the rest of the session; `used` how many
    open lines each number has, as far as known. `wanted` asks for one number, reserved or not, and no other.
    """
    lines = list(lines)
    taken = {line.masked_number for line in lines if is_taken(line, now)}
    if wanted:
        able = (one for one in pool if one.number == wanted and _NEEDS[mode] <= one.capabilities)
        found = None if wanted in taken else next(able, None)
        return found or _shortage(identifier, mode, choice.geo_match)
    suited = candidates(pool, identifier, mode, choice.geo_match)
    free = [one for one in suited if one.number not in taken]
    if not free:
        return _shortage(identifier, mode, choice.geo_match)
    before = {line.masked_number: line for line in sorted(lines, key=lambda each: each.opened_at)}
    sticky = choice.selection == "prefer-sticky"

    def rank(one: PoolNumber) -> tuple[int, int, str]:
        line = before.get(one.number)
        same = line is not None and set(others) == {peer.party for peer in line.peers}
        known = 2 if line is None else (0 if same else 1)
        # The hash spreads what is used alike over the pool, the same way for the same person.
        spread = sha256_hex(f"{one.sid} {identifier}")
        return (known if sticky else -known), (used or {}).get(one.number, 0), spread

    return min(free, key=rank)


def _shortage(identifier: str, mode: str, geo_match: str) -> Shortage:
    code = calling_code(identifier)
    near = area(identifier) if code == NORTH_AMERICA and geo_match == "area-code" else ""
    return Shortage(code, tuple(sorted(_NEEDS[mode], reverse=True)), near)


def area(number: str) -> str:
    """Return the area code of a North American number."""
    return number[2:5]


def free_numbers(pool: Iterable[PoolNumber], lines: Iterable[Line], identifier: str, now: datetime) -> int:
    """Return how many numbers are left for somebody, whatever the mode."""
    taken = {line.masked_number for line in lines if is_taken(line, now)}
    suited = candidates(pool, identifier, Mode.VOICE_ONLY, "country")
    return sum(one.number not in taken for one in suited)
