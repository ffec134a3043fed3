"""The bodies of the HTTP API, read strictly: every error with its path, nothing repaired, nothing ignored."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from parley.core import moments
from parley.core.consent import Kind, Method, Scope, State
from parley.core.identity import IdentifierError, holds_number, parse_e164
from parley.core.sessions import MIN_TTL, PARTICIPANTS, Mode

BODY_LIMIT = 64 * 1024
"""Bytes: no body of this API needs more."""

TEXT_LIMIT = 191
"""Characters of a name or an id (Twilio's own limit for a session's unique name)."""

CLOCK_SKEW = timedelta(seconds=60)
"""How far ahead a caller's clock may be."""

REPORTED_STATES = frozenset({State.REQUESTED, State.GIVEN, State.REFUSED, State.WITHDRAWN})
"""The states that a caller may report; the others follow from the passing of time and from reviews."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_Choice = TypeVar("_Choice", bound=StrEnum)


class InvalidBodyError(ValueError):
    """A body breaks its contract. `errors` names each path and the reason; neither repeats a value."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error['path']} {error['reason']}" for error in errors))


@dataclass(frozen=True, slots=True, repr=False)
class ConsentRequest:
    """What a caller reports about a consent. `party` and `counterpart` are plain identifiers: never log or keep."""

    party: str
    counterpart: str | None
    scope: Scope
    state: State
    method: Method
    kind: Kind
    notice: Mapping[str, Any] | None
    evidence: Mapping[str, Any]
    occurred_at: datetime
    source_event_id: str


@dataclass(frozen=True, slots=True, repr=False)
class SessionRequest:
    """A session that a caller wants. `identifiers` are plain identifiers: never log or keep. `ttl` is in seconds."""

    identifiers: tuple[str, ...]
    unique_name: str | None
    ttl: int
    mode: Mode


def read_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises InvalidBodyError for anything else: too long, no UTF-8, a key that is there twice, NaN, lone surrogates.
    """
    if len(body) > BODY_LIMIT:
        raise InvalidBodyError([{"path": "", "reason": f"is longer than {BODY_LIMIT} bytes"}])
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidBodyError([{"path": "", "reason": "is not one JSON object in UTF-8 with each key once"}])
    return value


def consent_request(raw: Mapping[str, Any], *, now: datetime, methods: Collection[str]) -> ConsentRequest:
    """Read the body of `POST /v1/consents`.

    `methods` are those that the stack accepts for asking and giving; a no is accepted however it was said.
    Raises InvalidBodyError with every error found.
    """
    reader = _Reader(raw)
    reader.only(
        *("party", "counterpart", "scope", "state", "method", "kind", "notice", "evidence"),
        *("occurred_at", "source_event_id"),
    )
    state = reader.choice("state", State, among=REPORTED_STATES)
    request = ConsentRequest(
        party=reader.number("party", raw.get("party")),
        counterpart=None if raw.get("counterpart") is None else reader.number("counterpart", raw["counterpart"]),
        scope=reader.choice("scope", Scope),
        state=state,
        method=reader.choice("method", Method),
        kind=reader.choice("kind", Kind, default=Kind.EXPLICIT),
        notice=reader.notice(required=state in {State.REQUESTED, State.GIVEN}),
        evidence=reader.evidence(required=state is State.GIVEN),
        occurred_at=reader.past("occurred_at", now),
        source_event_id=reader.name("source_event_id") or "",
    )
    if not request.source_event_id:
        reader.error("source_event_id", "is missing: it makes a repeated report harmless")
    if request.counterpart is not None and request.counterpart == request.party:
        reader.error("counterpart", "is the party itself")
    if state in {State.REQUESTED, State.GIVEN} and str(request.method) not in methods:
        reader.error("method", "is not one that this stack accepts (parley:consent.methods)")
    reader.finish()
    return request


def session_request(raw: Mapping[str, Any], *, ttl_limit: int, mode: str, modes: Collection[Mode]) -> SessionRequest:
    """Read the body of `POST /v1/sessions`.

    `ttl_limit` (seconds) is the stack's longest session, and the one that a body without `ttl` gets. `mode` is the
    stack's default, `modes` are those that its channels allow.
    Raises InvalidBodyError with every error found.
    """
    reader = _Reader(raw)
    reader.only("participants", "unique_name", "ttl", "mode")
    request = SessionRequest(
        identifiers=reader.participants(),
        unique_name=reader.name("unique_name"),
        ttl=reader.ttl(ttl_limit),
        mode=reader.choice("mode", Mode, among=modes, default=Mode(mode)),
    )
    reader.finish()
    return request


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


@dataclass(slots=True)
class _Reader:
    """Reads the members of a body and collects what is wrong with them."""

    raw: Mapping[str, Any]
    errors: list[dict[str, str]] = field(default_factory=list)

    def error(self, path: str, reason: str) -> None:
        self.errors.append({"path": path, "reason": reason})

    def finish(self) -> None:
        if self.errors:
            raise InvalidBodyError(self.errors)

    def only(self, *names: str) -> None:
        for name in self.raw:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                # The name itself may hold anything, so it is shown only if it is harmless.
                path = name if name.isidentifier() and name.isascii() and not name.isdigit() else "(a key)"
                self.error(path[:TEXT_LIMIT], f"is not part of this body{hint}")

    def number(self, path: str, value: object) -> str:
        try:
            return parse_e164(value)
        except IdentifierError as error:
            self.error(path, str(error))
            return ""

    def choice(
        self,
        name: str,
        kind: type[_Choice],
        *,
        among: Collection[_Choice] | None = None,
        default: _Choice | None = None,
    ) -> _Choice:
        choices = [choice for choice in kind if among is None or choice in among]
        value = self.raw.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value in choices:
            return kind(value)
        self.error(name, f"is not one of {', '.join(choices)}")
        return default or next(iter(kind))

    def name(self, name: str) -> str | None:
        value = self.raw.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT or not value.isprintable():
            self.error(name, f"is not a text of 1 to {TEXT_LIMIT} printable characters")
        elif holds_number(value):
            self.error(name, "holds a phone number, and ids are kept and logged")
        else:
            return value
        return None

    def past(self, name: str, now: datetime) -> datetime:
        try:
            moment = moments.from_text(self.raw.get(name))
        except ValueError as error:
            self.error(name, str(error))
            return now
        if moment > now + CLOCK_SKEW:
            self.error(name, "is in the future")
        return moment

    def document(self, name: str) -> Mapping[str, Any] | None:
        value = self.raw.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.error(name, "is not an object")
        elif holds_number(json.dumps(value, ensure_ascii=False)):
            self.error(name, "holds a plain phone number; name the message or call by its SID instead")
        else:
            return value
        return None

    def notice(self, *, required: bool) -> Mapping[str, Any] | None:
        document = self.document("notice")
        if document is None:
            if required and self.raw.get("notice") is None:
                self.error("notice", "is missing: what the person was shown is part of the proof")
            return None
        for member in ("id", "version", "language"):
            value = document.get(member)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                self.error(f"notice.{member}", "is missing")
        if not _SHA256.fullmatch(str(document.get("sha256"))):
            self.error("notice.sha256", "is not the SHA-256 of the text that was shown, in lower-case hex")
        return document

    def evidence(self, *, required: bool) -> Mapping[str, Any]:
        document = self.document("evidence")
        if not document and required and not self.raw.get("evidence"):
            self.error("evidence", "is empty: a consent without proof is no consent")
        return document or {}

    def participants(self) -> tuple[str, ...]:
        value = self.raw.get("participants")
        if not isinstance(value, list) or len(value) != PARTICIPANTS:
            self.error("participants", f"is not a list of exactly {PARTICIPANTS} participants")
            return ()
        identifiers = []
        for index, item in enumerate(value):
            path = f"participants[{index}]"
            if not isinstance(item, dict) or set(item) != {"identifier"}:
                self.error(path, 'is not of the form {"identifier": "+…"}')
            else:
                identifiers.append(self.number(f"{path}.identifier", item["identifier"]))
        if len(identifiers) == PARTICIPANTS and all(identifiers) and len(set(identifiers)) == 1:
            self.error("participants", "are the same person twice")
        return tuple(identifiers)

    def ttl(self, limit: int) -> int:
        value = self.raw.get("ttl")
        if value is None:
            return limit
        if isinstance(value, bool) or not isinstance(value, int) or not MIN_TTL <= value <= limit:
            self.error("ttl", f"is not a whole number of seconds from {MIN_TTL} to {limit} (parley:session.ttl)")
            return limit
        return value
