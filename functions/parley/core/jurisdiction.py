"""The strictest law over all parties: who has to agree, how clearly, and what is announced.

Each party's place and the operator's own are read against a table of laws, and the strictest demand counts, for each
dimension by itself (requirements R5, R7, R8). The operator of a masked line is no party to the conversation, so a law
that lets a participant record helps it nowhere (18 USC 2511(2)(d); Directive 2002/58/EC art. 5(1)). Whatever is
unknown, unproven, contradicted or not listed reads as the strictest row. The table is reviewed data,
`data/jurisdictions.json`; `docs/jurisdictions.md` says what it is and is not. It is not legal advice.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from parley.core.consent import Scope
from parley.core.identity import label
from parley.core.location import Confidence, Location, Source
from parley.core.retention import Problem

_DATA = Path(__file__).parent.parent / "data" / "jurisdictions.json"

ROOT = "parley:jurisdiction"
OPERATOR = "operator"
"""What stands for the operator where a ruling names a party."""

UNKNOWN = "ZZ"
"""The row for a place that is not known (ISO 3166-1 leaves the code to its users)."""


class Required(StrEnum):
    """How many parties have to agree, weakest first. "None" does not occur: the operator is none of the parties."""

    ONE = "one"
    ALL = "all"


class Explicitness(StrEnum):
    """How clearly they have to agree, weakest first: staying on after a notice, or saying so (GDPR art. 4(11))."""

    IMPLIED_OK = "implied-ok"
    EXPLICIT = "explicit"


class Announcement(StrEnum):
    """What has to be heard when a recording starts, weakest first; each holds those before it.

    The tone (about every 15 seconds, Conn. Gen. Stat. 52-570d) comes on top of the recorded announcement.
    """

    NONE = "none"
    START = "start"
    START_RECORDED = "start-recorded"
    TONE = "tone-15s"


class Dimension(StrEnum):
    """What a ruling is made of; each has a strictness of its own."""

    CONSENT = "consent"
    EXPLICIT = "explicit"
    ANNOUNCEMENT = "announcement"


class Reading(StrEnum):
    """What a row's law asks of somebody who records; everything but `one` reads as all parties."""

    ONE = "one"
    ALL = "all"
    MIXED = "mixed"  # statutes, courts or lists disagree
    PROHIBITED = "prohibited"  # banned but for a basis that the law names
    UNKNOWN = "unknown"


class NonParty(StrEnum):
    """What a row's law asks of an operator that is no party; the prior consent in writing reads as explicit."""

    ONE = "one"
    ONE_WRITTEN = "one-written"
    ALL = "all"


class Way(StrEnum):
    """One of several ways that a law itself takes for lawful."""

    CONSENT = "consent"
    KNOWLEDGE = "knowledge"
    START_RECORDED = "start-recorded"
    TONE = "tone-15s"


class Authority(StrEnum):
    """Where a row's reading comes from: its statute, or what courts made of it."""

    STATUTE = "statute"
    CASE_LAW = "case-law"


_CAPTURES = frozenset({Scope.RECORD_VOICE, Scope.RECORD_VIDEO, Scope.TRANSCRIBE})
_VIDEO = frozenset({Scope.RECORD_VIDEO, Scope.TRANSCRIBE, Scope.MANAGE})
_MESSAGES = frozenset({Scope.STORE_MESSAGES, Scope.MANAGE})
_LATTICES = (tuple(Required), tuple(Explicitness), tuple(Announcement))
_DIMENSIONS = tuple(enumerate(Dimension))
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Who decided, when and why, that no more people are asked than the law demands."""

    reviewer: str
    date: date
    reason: str


@dataclass(frozen=True, slots=True)
class Override:
    """Counsel's reading of one row: what is not None replaces the row's own value."""

    code: str
    reviewer: str
    date: date
    reason: str
    consent: Required | None = None
    operator: NonParty | None = None
    video: Required | None = None
    messages: Required | None = None
    explicit: Explicitness | None = None
    announcement: Announcement | None = None

    def changes(self) -> dict[str, StrEnum]:
        """Return the fields that it replaces."""
        fields = {name: getattr(self, name) for name in OVERRIDABLE}
        return {name: value for name, value in fields.items() if value is not None}


OVERRIDABLE: Mapping[str, type[StrEnum]] = {
    "consent": Required,
    "operator": NonParty,
    "video": Required,
    "messages": Required,
    "explicit": Explicitness,
    "announcement": Announcement,
}
"""The fields of a row that counsel may replace, and their values."""


@dataclass(frozen=True, slots=True)
class JurisdictionPolicy:
    """What a stack declares about law.

    `operator` is the code of the operator's own place, None if it is not said. `overrides` are sorted by code.
    """

    operator: str | None = None
    overrides: tuple[Override, ...] = ()
    relax: Relaxation | None = None

    @property
    def location(self) -> Location | None:
        """The operator's own place."""
        return None if self.operator is None else Location(self.operator, Source.DECLARED)

    def to_json(self) -> str:
        """Return the policy in compact form; `from_json` reads it back equal."""
        document: dict[str, Any] = {"operator": self.operator} if self.operator else {}
        if self.overrides:
            document["overrides"] = {one.code: {**one.changes(), **_signature(one)} for one in self.overrides}
        if self.relax:
            document["relax"] = _signature(self.relax)
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> JurisdictionPolicy:
        """Read what `to_json` wrote. Raises ValueError for anything else."""
        try:
            document = json.loads(text)
            overrides = tuple(_override(code, raw) for code, raw in document.get("overrides", {}).items())
            relax = Relaxation(**_signed(document["relax"])) if "relax" in document else None
            return cls(str(document["operator"]) if "operator" in document else None, overrides, relax)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("is not a jurisdiction policy as to_json writes it") from error


def _override(code: str, raw: Mapping[str, str]) -> Override:
    changes: dict[str, Any] = {name: kind(raw[name]) for name, kind in OVERRIDABLE.items() if name in raw}
    return Override(code, **_signed(raw), **changes)


def _signature(decision: Override | Relaxation) -> dict[str, str]:
    return {"reviewer": decision.reviewer, "date": decision.date.isoformat(), "reason": decision.reason}


def _signed(raw: Mapping[str, str]) -> dict[str, Any]:
    return {"reviewer": raw["reviewer"], "date": date.fromisoformat(raw["date"]), "reason": raw["reason"]}


@dataclass(frozen=True, slots=True)
class Row:
    """The law of one place, as the table reads it.

    `consent` is about whoever records, `operator` about an operator that is no party, `video` and `messages` about
    what is stricter there than on the phone. `source_read` is yes, partly or no: no means recalled, not read.
    `override` is counsel's, if the row is no longer the table's own.
    """

    code: str
    name: str
    consent: Reading
    operator: NonParty
    explicit: Explicitness
    announcement: Announcement
    statute: str
    note: str
    source: str
    source_read: str
    confidence: Confidence
    reviewed_on: date
    video: Reading | None = None
    messages: Reading | None = None
    ways: tuple[Way, ...] = ()
    authority: Authority = Authority.STATUTE
    override: Override | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What a place demands: for each dimension the rank on its lattice, and the row that demands it."""

    ranks: tuple[int, int, int]
    rows: tuple[Row, Row, Row]


def _demand(row: Row, scope: Scope) -> Demand:
    readings = [row.consent]
    if row.video and scope in _VIDEO:
        readings.append(row.video)
    if row.messages and scope in _MESSAGES:
        readings.append(row.messages)
    everyone = row.operator is NonParty.ALL or any(reading is not Reading.ONE for reading in readings)
    explicit = (
        row.explicit is Explicitness.EXPLICIT
        or row.operator is NonParty.ONE_WRITTEN
        or row.consent in {Reading.PROHIBITED, Reading.UNKNOWN}
    )
    # Only what is recorded can be announced when the recording starts.
    announcement = _LATTICES[2].index(row.announcement) if scope in _CAPTURES else 0
    return Demand((int(everyone), int(explicit), announcement), (row, row, row))


def _strictest(demands: Sequence[Demand]) -> Demand:
    """Return the maximum of each dimension; of equals the first one is named."""
    who = how = said = demands[0]
    for demand in demands:
        who = demand if demand.ranks[0] > who.ranks[0] else who
        how = demand if demand.ranks[1] > how.ranks[1] else how
        said = demand if demand.ranks[2] > said.ranks[2] else said
    return Demand((who.ranks[0], how.ranks[1], said.ranks[2]), (who.rows[0], how.rows[1], said.rows[2]))


def _bound(code: str, chain: Collection[str], own: Mapping[str, Demand]) -> Demand:
    """Return what binds in a place: its own row and those above it, the federal law's or the union's."""
    above = [own[one] for one in sorted(chain) if one != code and one in own]
    itself = [own[code]] if code in own else []
    return _strictest(itself + above)


class Cause(StrEnum):
    """Why a row decides for somebody."""

    ROW = "row"
    NO_PLACE = "no-place"
    NOT_LISTED = "place-not-listed"
    CONFLICT = "places-conflict"
    NOT_PROVEN = "place-not-proven"
    NOT_PRECISE = "place-not-precise"
    OWN_MESSAGE = "own-message"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One version of the rows, with what each place demands worked out in advance.

    `members` maps a union (`EU`) to its states, `chains` each place to itself and what it lies within, `demands` each
    place to what it demands for a scope; the unknown place is among the latter. `divided` are the places with parts.
    Made by `reviewed_table` and `overridden`.
    """

    version: str
    reviewed_on: date
    rows: Mapping[str, Row]
    members: Mapping[str, tuple[str, ...]]
    chains: Mapping[str, frozenset[str]]
    divided: frozenset[str]
    demands: Mapping[Scope, Mapping[str, Demand]]

    def place(self, code: str) -> str | None:
        """Return the place by whose rows a code is read, or None if the table knows neither it nor its country.

        A state of a union without a row is read by the union's, a part of a country by the country's, unless the
        table lists parts of that country.
        """
        if code in self.chains:
            return code
        country = code[:2]
        known = country in self.chains and country not in self.divided
        return country if known and _SUBDIVISION.fullmatch(code) else None

    def read(self, locations: Collection[Location], scope: Scope) -> tuple[Demand, Cause]:
        """Return what the law demands for somebody who is said to be at these places, and why.

        Places agree if each lies within the next; then the narrowest proven one counts. A place that has parts in
        the table (`US`, `EU`) demands what any of them does: it is not known which.
        """
        demands = self.demands[scope]
        places: set[str] = set()
        proven: str | None = None
        for location in locations:
            place = self.place(location.code)
            if place is None:
                return demands[UNKNOWN], Cause.NOT_LISTED
            places.add(place)
            if location.proves and (proven is None or len(self.chains[place]) > len(self.chains[proven])):
                proven = place
        if not places:
            return demands[UNKNOWN], Cause.NO_PLACE
        if len(places) > 1 and not places <= max((self.chains[place] for place in places), key=len):
            return demands[UNKNOWN], Cause.CONFLICT
        if proven is None:
            return demands[UNKNOWN], Cause.NOT_PROVEN
        if scope is Scope.RECEIVE_INFO:
            return demands[proven], Cause.OWN_MESSAGE
        return demands[proven], Cause.NOT_PRECISE if proven in self.divided else Cause.ROW


def _table(version: str, reviewed_on: date, rows: Mapping[str, Row], members: Mapping[str, tuple[str, ...]]) -> Table:
    union_of = {state: union for union, states in members.items() for state in states}
    codes = [code for code in {**rows, **union_of} if code != UNKNOWN]
    chains = {code: frozenset({code, code[:2], union_of.get(code[:2], code[:2])}) for code in codes}
    divided = frozenset(place for code, chain in chains.items() for place in chain if place != code)
    demands: dict[Scope, dict[str, Demand]] = {}
    for scope in Scope:
        own = {code: _demand(row, scope) for code, row in rows.items()}
        bound = {code: _bound(code, chain, own) for code, chain in chains.items()}
        unknown = _strictest([own[UNKNOWN], *bound.values()])
        if scope is Scope.RECEIVE_INFO:
            # The operator is a party to its own messages, and the table is not about those.
            demands[scope] = dict.fromkeys(bound, unknown)
        else:
            whole = {
                code: _strictest([bound[code], *(bound[one] for one, chain in chains.items() if code in chain)])
                for code in divided
            }
            demands[scope] = bound | whole
        demands[scope][UNKNOWN] = unknown
    return Table(version, reviewed_on, rows, members, chains, divided, demands)


@functools.cache
def reviewed_table() -> Table:
    """Return the table that comes with this version."""
    raw = json.loads(_DATA.read_text(encoding="utf-8"))
    rows = {one["code"]: _row(one) for one in raw["rows"]}
    members = {union: tuple(states) for union, states in raw["members"].items()}
    return _table(raw["version"], date.fromisoformat(raw["reviewed_on"]), rows, members)


def _row(raw: Mapping[str, Any]) -> Row:
    return Row(
        **{
            **raw,
            "consent": Reading(raw["consent"]),
            "operator": NonParty(raw["operator"]),
            "explicit": Explicitness(raw["explicit"]),
            "announcement": Announcement(raw["announcement"]),
            "confidence": Confidence(raw["confidence"]),
            "reviewed_on": date.fromisoformat(raw["reviewed_on"]),
            "video": Reading(raw["video"]) if "video" in raw else None,
            "messages": Reading(raw["messages"]) if "messages" in raw else None,
            "ways": tuple(Way(way) for way in raw.get("ways", ())),
            "authority": Authority(raw.get("authority", Authority.STATUTE)),
        }
    )


def overridden(table: Table, overrides: Iterable[Override]) -> Table:
    """Return the table under counsel's overrides, of a version that says so; make it once, not for each ruling.

    Raises ValueError for a code that counsel cannot override: see `check_overrides`.
    """
    # A union comes before its states: one without a row starts from the union's.
    ordered = sorted(overrides, key=lambda one: (one.code not in table.members, one.code))
    if not ordered:
        return table
    rows = dict(table.rows)
    for override in ordered:
        base = _base(table.members, rows, override.code)
        if base is None:
            raise ValueError(f"{override.code} has no row that could be overridden")
        changes: dict[str, Any] = {
            name: Reading(value) if isinstance(value, Required) else value for name, value in override.changes().items()
        }
        name = base.name if base.code == override.code else f"{override.code} as a member of {base.code}"
        rows[override.code] = replace(base, code=override.code, name=name, override=override, **changes)
    version = f"{table.version}+counsel {max(one.date for one in ordered)}"
    return _table(version, table.reviewed_on, rows, table.members)


def _base(members: Mapping[str, tuple[str, ...]], rows: Mapping[str, Row], code: str) -> Row | None:
    if code in rows:
        return None if code == UNKNOWN else rows[code]
    return next((rows[union] for union, states in members.items() if code in states), None)


def can_override(table: Table, code: str) -> bool:
    """Say whether a code has a row of its own, or its union's, that counsel may override."""
    return _base(table.members, table.rows, code) is not None


def check_overrides(table: Table, overrides: Collection[Override]) -> list[Problem]:
    """Return what is wrong with counsel's overrides: unknown rows, no change, and a change that does not take effect.

    ZZ cannot be overridden: it is never less than the strictest row, and tightening any row tightens it.
    """
    problems = []
    result = overridden(table, [one for one in overrides if can_override(table, one.code)])
    for override in overrides:
        key = f"{ROOT}.overrides.{override.code}"
        if override.code == UNKNOWN:
            reason = "cannot be overridden: it is as strict as the strictest row"
            problems.append(Problem(key, reason, "tighten a row, or leave it out"))
        elif not can_override(table, override.code):
            problems.append(Problem(key, "is not a place of the table", suggestion(table, override.code)))
        elif not override.changes():
            problems.append(Problem(key, "changes nothing", f"set some of {', '.join(OVERRIDABLE)}"))
        else:
            problems += _without_effect(result, override, key)
    return problems


# For each field the scope that shows it, and the dimension that it moves.
_SHOWN_BY: Mapping[str, tuple[Scope, int]] = {
    "consent": (Scope.RECORD_VOICE, 0),
    "operator": (Scope.RECORD_VOICE, 0),
    "video": (Scope.RECORD_VIDEO, 0),
    "messages": (Scope.STORE_MESSAGES, 0),
    "explicit": (Scope.RECORD_VOICE, 1),
    "announcement": (Scope.RECORD_VOICE, 2),
}


def _without_effect(table: Table, override: Override, key: str) -> list[Problem]:
    """Find the fields that are looser than what still binds there: another field of the row, or the law above it."""
    found = []
    chain = table.chains[override.code]
    for name, value in override.changes().items():
        scope, dimension = _SHOWN_BY[name]
        own = {code: _demand(table.rows[code], scope) for code in chain if code in table.rows}
        bound = _bound(override.code, chain, own)
        values = [str(one) for one in _LATTICES[dimension]]
        rank = 0 if value is NonParty.ONE_WRITTEN else values.index(value)
        if rank < bound.ranks[dimension]:
            binding = bound.rows[dimension].code
            where, which = f"{binding}, which binds there too,", binding
            if binding == override.code:
                where, which = "another field of the row", "that field"
            reason = f"is {value}, but {where} demands {values[bound.ranks[dimension]]}"
            found.append(Problem(f"{key}.{name}", reason, f"override {which} as well, or leave it out"))
    return found


_MISTAKEN = {"UK": "GB", "EL": "GR"}  # codes that everybody knows and ISO 3166-1 does not use


def suggestion(table: Table, code: str) -> str:
    """Return the way out for a code that the table does not know: the place that was probably meant."""
    names = {row.name: row.code for row in table.rows.values()} | {place: place for place in table.chains} | _MISTAKEN
    close = difflib.get_close_matches(code, names, n=1)
    if close:
        return f"did you mean {names[close[0]]!r}?"
    return "write an ISO 3166 code of the table; a place that is not in it reads as the strictest law"


_SAID: Mapping[StrEnum, str] = {
    Required.ONE: "the consent of one party",
    Required.ALL: "the consent of all parties",
    Explicitness.IMPLIED_OK: "a consent that may be implied",
    Explicitness.EXPLICIT: "an explicit consent",
    Announcement.NONE: "no announcement",
    Announcement.START: "an announcement when recording starts",
    Announcement.START_RECORDED: "an announcement that is itself recorded",
    Announcement.TONE: "an announcement that is itself recorded, and a tone",
}

_WHY: Mapping[Cause, str] = {
    Cause.NO_PLACE: "no place is known",
    Cause.NOT_LISTED: "a place is not in the table",
    Cause.CONFLICT: "the places contradict each other",
    Cause.NOT_PROVEN: "nothing proves the place",
    Cause.NOT_PRECISE: "parts of the place have laws of their own",
    Cause.OWN_MESSAGE: "the table is not about the operator's own messages",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one dimension is as it is: the party (a party key, or `OPERATOR`) and the row that demand it."""

    dimension: Dimension
    value: StrEnum
    party: str
    cause: Cause
    row: Row

    @property
    def words(self) -> str:
        """The reason as a sentence for a reviewer; it names a party by the short form of its key."""
        who = "the operator" if self.party == OPERATOR else f"party {label(self.party)}"
        demand = _SAID[self.value]
        if self.cause is not Cause.ROW:
            return f"{who}: {_WHY[self.cause]}, so the strictest law counts: {demand}, as in {self.row.code}"
        by = self.row.statute
        if self.row.authority is Authority.CASE_LAW:
            by = f"case law on {by}"
        if self.row.override:
            by = f"{by} as read by {self.row.override.reviewer} on {self.row.override.date}"
        if self.row.ways and self.dimension is Dimension.CONSENT:
            by = f"{by}, which itself takes any of {', '.join(self.row.ways)}"
        return f"{who}: {self.row.code} ({self.row.name}) asks for {demand}: {by}"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What has to be so before `scope` is done between these parties.

    `demanded` is how many the law wants to agree, `consent` how many are asked: all, unless `relaxed`. `version` is
    the table's. There is one reason for each dimension, in the order of `Dimension`.
    """

    scope: Scope
    demanded: Required
    consent: Required
    explicit: Explicitness
    announcement: Announcement
    version: str
    reasons: tuple[Reason, ...]
    relaxed: Relaxation | None = None

    @property
    def party(self) -> str:
        """The party whose place decides who has to agree, or `OPERATOR`."""
        return self.reasons[0].party

    @property
    def row(self) -> str:
        """The code of the row that decides who has to agree."""
        return self.reasons[0].row.code

    @property
    def words(self) -> tuple[str, ...]:
        """The whole ruling in sentences."""
        said = [reason.words for reason in self.reasons]
        if self.relaxed:
            by = f"{self.relaxed.reviewer} on {self.relaxed.date}"
            said.append(f"not everybody is asked, by decision of {by}: {self.relaxed.reason}")
        elif self.consent is not self.demanded:
            said.append("everybody is asked all the same, as best practice has it (R9)")
        return tuple(said)


def rule_for(
    parties: Mapping[str, Collection[Location]],
    operator: Location | None,
    scope: Scope,
    table: Table,
    relax: Relaxation | None = None,
) -> Ruling:
    """Return the strictest law over all parties and the operator's own place.

    `parties` maps party keys to where each is said to be, `table` is the reviewed one or that under counsel's
    overrides. Everybody is asked even where the law is content with one, unless `relax` names who decided otherwise;
    it never goes below what the law demands.
    Raises ValueError if there is no party at all; a place that is not understood is the strictest, never an error.
    """
    if not parties:
        raise ValueError("a ruling needs at least one party")
    read = [(party, *table.read(parties[party], scope)) for party in sorted(parties)]
    read.append((OPERATOR, *table.read(() if operator is None else (operator,), scope)))
    reasons, ranks = [], []
    for index, dimension in _DIMENSIONS:
        party, demand, cause = read[0]
        for other in read:
            if other[1].ranks[index] > demand.ranks[index]:
                party, demand, cause = other
        rank = demand.ranks[index]
        ranks.append(rank)
        reasons.append(Reason(dimension, _LATTICES[index][rank], party, cause, demand.rows[index]))
    demanded = _LATTICES[0][ranks[0]]
    return Ruling(
        scope=scope,
        demanded=demanded,
        consent=Required.ALL if relax is None else demanded,
        explicit=_LATTICES[1][ranks[1]],
        announcement=_LATTICES[2][ranks[2]],
        version=table.version,
        reasons=tuple(reasons),
        relaxed=None if demanded is Required.ALL else relax,
    )
