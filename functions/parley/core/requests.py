"""The bodies of the HTTP API, read strictly: every error with its path, nothing repaired, nothing ignored."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from parley.core import disclosure, moments
from parley.core.consent import LEGAL_BASES, NO, Kind, Method, Scope, State
from parley.core.evidence import faults
from parley.core.identity import USER, IdentifierError, holds_number, is_party_key, parse_e164, parse_user
from parley.core.location import Confidence, Location, Source
from parley.core.optout import Word, meaning
from parley.core.questions import askable
from parley.core.sessions import MIN_TTL, MOST_PARTICIPANTS, PARTICIPANTS, Mode

BODY_LIMIT = 64 * 1024
"""Bytes: no body of this API needs more."""

TEXT_LIMIT = 191
"""Characters of a name or an id (Twilio's own limit for a session's unique name)."""

CLOCK_SKEW = timedelta(seconds=60)
"""How far ahead a caller's clock may be."""

IDEMPOTENCY_KEY = "Idempotency-Key"
"""The header that makes a repeated request harmless (IETF draft-ietf-httpapi-idempotency-key-header)."""

EVERYTHING = "all"
"""The scope of a no to everything that the service does."""

_SESSION_SID = re.compile(r"KC[0-9a-f]{32}")

RECORDINGS: Mapping[str, Scope] = {"voice": Scope.RECORD_VOICE, "video": Scope.RECORD_VIDEO}
"""What may be asked to be recorded."""

REPORTED_STATES = frozenset({State.REQUESTED, State.GIVEN, State.REFUSED, State.WITHDRAWN})
"""The states that a caller may report; the others follow from the passing of time and from reviews."""

HOW_VERIFIED = ("none", "otp", "account")
"""How it is known who answered: not at all, by a one-time password sent to the number, by a signed-in account."""

LINE_TYPES = ("mobile", "landline", "voip", "unknown")
LOCATION_SOURCES = ("declared", "verified", "kyc", "gps", "prefix", "unknown")
CONFIDENCES = ("high", "medium", "low")
WITHDRAWAL_CHANNELS = ("api", "app", "web", "email", "sms", "voice", "paper", "person")
LINK_DAYS = 400
"""The most days that a link to refuse works, and how long it does by default: a year and its next bill."""

PLACES_LIMIT = 8
"""Places of one person: where they live and where they are, with the regions of each, are fewer."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TEXT = json.JSONEncoder(ensure_ascii=False)  # made once: an import reads a hundred thousand bodies
_PLACE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
Parse = Callable[[object], str]
"""Returns the one form of an identifier, or raises IdentifierError."""
_Choice = TypeVar("_Choice", bound=StrEnum)


class InvalidBodyError(ValueError):
    """A body breaks its contract. `errors` names each path and the reason; neither repeats a value."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error['path']} {error['reason']}" for error in errors))


@dataclass(frozen=True, slots=True, repr=False)
class ConsentRequest:
    """What a caller reports about a consent. `party` and `counterpart` are plain identifiers: never log or keep.

    The last members are as `ConsentEvent` has them; `jurisdiction` is the body's `location`.
    """

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
    identity: Mapping[str, Any]
    number_tenure: Mapping[str, Any] | None
    jurisdiction: Mapping[str, Any] | None
    legal_basis: str
    withdrawal: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, repr=False)
class QuestionRequest:
    """A question that a caller wants put by text. `party` and `counterpart` are plain identifiers: never log or keep.

    `language` is an ISO 639-1 code, None for that of the number's country.
    """

    party: str
    scope: Scope
    language: str | None
    counterpart: str | None


@dataclass(frozen=True, slots=True, repr=False)
class LinkRequest:
    """A link that a caller wants for a person, by a plain identifier (never log or keep) or a party key, for days."""

    party: str
    days: int


@dataclass(frozen=True, slots=True, repr=False)
class ErasureRequest:
    """An erasure that a caller wants of a person, by a plain identifier (never log or keep) or a party key.

    `reason` is a code. `dry_run` asks what would go.
    """

    party: str
    dry_run: bool
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class SessionRequest:
    """A session that a caller wants. `identifiers` are plain identifiers: never log or keep. `ttl` is in seconds.

    `locations` tell where each of them is said to be, in the same order. `scopes` are wanted besides being connected.
    `idle_ttl` is after how many seconds without a text or a call it ends (0: never), `reopens` the SID of an earlier
    session whose masked numbers it shall have again.
    """

    identifiers: tuple[str, ...]
    locations: tuple[Location | None, ...]
    unique_name: str | None
    ttl: int
    mode: Mode
    scopes: tuple[Scope, ...]
    idle_ttl: int = 0
    reopens: str = ""


@dataclass(frozen=True, slots=True)
class RenewalRequest:
    """How long from now a session shall last, in seconds, and where those are said to be who moved, by party key."""

    ttl: int
    places: Mapping[str, Location]


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


def says_no_to_all(raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return the body of `POST /v1/consents` as one about `manage`, and whether it is about every scope ("all").

    Raises InvalidBodyError where it is and says anything but no to the service: what is agreed to is asked one by one
    (R9, R11).
    """
    if raw.get("scope") != EVERYTHING:
        return raw, False
    if raw.get("state") not in NO or raw.get("counterpart") is not None:
        reason = "is all, which only a no towards the service as a whole (refused, withdrawn) can be about"
        raise InvalidBodyError([{"path": "scope", "reason": reason}])
    return {**raw, "scope": str(Scope.MANAGE)}, True


def consent_request(
    raw: Mapping[str, Any], *, now: datetime, methods: Callable[[Scope], Collection[str]], parse: Parse = parse_e164
) -> ConsentRequest:
    """Read the body of `POST /v1/consents`.

    `methods` tells those that the stack accepts for asking for and giving a scope (R16-R19); a no is accepted however
    it was said. `parse` reads a phone number.
    Raises InvalidBodyError with every error found.
    """
    reader = _Reader(raw, parse)
    reader.only(
        *("party", "counterpart", "scope", "state", "method", "kind", "notice", "evidence"),
        *("occurred_at", "source_event_id", "identity", "number_tenure", "location", "legal_basis", "withdrawal"),
    )
    state = reader.choice("state", State, among=REPORTED_STATES)
    request = ConsentRequest(
        party=reader.identifier("party", raw.get("party")),
        counterpart=None if raw.get("counterpart") is None else reader.identifier("counterpart", raw["counterpart"]),
        scope=reader.choice("scope", Scope),
        state=state,
        method=reader.choice("method", Method),
        kind=reader.choice("kind", Kind, default=Kind.EXPLICIT),
        notice=reader.notice(required=state in {State.REQUESTED, State.GIVEN}),
        evidence=reader.evidence(required=state is State.GIVEN),
        occurred_at=reader.past("occurred_at", now),
        source_event_id=reader.name("source_event_id") or "",
        identity=reader.identity(),
        number_tenure=reader.number_tenure(),
        jurisdiction=reader.jurisdiction(),
        legal_basis=reader.one_of(
            "legal_basis", "consent" if raw.get("legal_basis") is None else raw["legal_basis"], LEGAL_BASES
        ),
        withdrawal=reader.withdrawal(state),
    )
    if not request.source_event_id:
        reader.error("source_event_id", "is missing: it makes a repeated report harmless")
    if request.counterpart is not None and request.counterpart == request.party:
        reader.error("counterpart", "is the party itself")
    if state in {State.REQUESTED, State.GIVEN} and str(request.method) not in methods(request.scope):
        reader.error("method", "is not one that this stack accepts for this scope (parley:consent.methods)")
    if state in {State.REQUESTED, State.GIVEN}:
        reader.asked(request)
    if state is State.GIVEN and request.evidence:
        reader.proof(request, now)
    reader.finish()
    return request


def question_request(raw: Mapping[str, Any], *, parse: Parse = parse_e164) -> QuestionRequest:
    """Read the body of `POST /v1/questions`. `parse` reads a phone number.

    Raises InvalidBodyError with every error found.
    """
    reader = _Reader(raw, parse)
    reader.only("party", "scopes", "language", "counterpart")
    request = QuestionRequest(
        party=reader.number("party", raw.get("party")),
        scope=reader.asked_scope(),
        language=None
        if raw.get("language") is None
        else reader.one_of("language", raw["language"], disclosure.languages()),
        counterpart=None if raw.get("counterpart") is None else reader.identifier("counterpart", raw["counterpart"]),
    )
    if request.counterpart is not None and request.counterpart == request.party:
        reader.error("counterpart", "is the party itself")
    reader.finish()
    return request


def link_request(raw: Mapping[str, Any], *, parse: Parse = parse_e164) -> LinkRequest:
    """Read the body of `POST /v1/optout-links`. `parse` reads a phone number.

    Raises InvalidBodyError with every error found.
    """
    reader = _Reader(raw, parse)
    reader.only("party", "days")
    party = raw.get("party")
    request = LinkRequest(
        party=str(party) if is_party_key(party) else reader.identifier("party", party),
        days=reader.days(LINK_DAYS),
    )
    reader.finish()
    return request


def erasure_request(raw: Mapping[str, Any], *, parse: Parse = parse_e164) -> ErasureRequest:
    """Read the body of `POST /v1/erasures`. `parse` reads a phone number.

    Raises InvalidBodyError with every error found.
    """
    reader = _Reader(raw, parse)
    reader.only("party", "dry_run", "reason")
    party, reason = raw.get("party"), raw.get("reason", "")
    if reason != "" and not (isinstance(reason, str) and _CODE.fullmatch(reason)):
        # Words could name somebody, and the proof is kept for years.
        reader.error("reason", "is not a code of at most 64 small letters, digits and hyphens, such as art-17")
    request = ErasureRequest(
        party=str(party) if is_party_key(party) else reader.identifier("party", party),
        dry_run=reader.flag("dry_run"),
        reason=str(reason),
    )
    reader.finish()
    return request


def session_request(
    raw: Mapping[str, Any],
    *,
    ttl_limit: int,
    mode: str,
    modes: Collection[Mode],
    parse: Parse = parse_e164,
    direct: bool = False,
) -> SessionRequest:
    """Read the body of `POST /v1/sessions`.

    `ttl_limit` (seconds) is the stack's longest session, and the one that a body without `ttl` gets. `mode` is the
    stack's default, `modes` are those that its channels allow. `parse` reads a phone number. `direct` tells whether
    sessions are our own, which alone end when idle and can be opened again.
    Raises InvalidBodyError with every error found.
    """
    reader = _Reader(raw, parse)
    reader.only("participants", "unique_name", "ttl", "mode", "record", "store", "transcribe", "idle_ttl", "reopens")
    identifiers, locations = reader.participants(MOST_PARTICIPANTS if direct else PARTICIPANTS)
    request = SessionRequest(
        identifiers=identifiers,
        locations=locations,
        unique_name=reader.name("unique_name"),
        ttl=reader.ttl(ttl_limit),
        mode=reader.choice("mode", Mode, among=modes, default=Mode(mode)),
        scopes=(
            *reader.recordings(),
            *((Scope.STORE_MESSAGES,) if reader.flag("store") else ()),
            *((Scope.TRANSCRIBE,) if reader.flag("transcribe") else ()),
        ),
        idle_ttl=reader.idle_ttl(ttl_limit),
        reopens=reader.reopens(),
    )
    for path in ("idle_ttl", "reopens"):
        if raw.get(path) is not None and not direct:
            reader.error(path, "is only for stacks whose sessions are their own (parley:masking direct)")
    if len(identifiers) > PARTICIPANTS and raw.get("record"):
        reader.error("record", "is only for sessions of two participants: leave it out")
    reader.finish()
    return request


def renewal_request(raw: Mapping[str, Any], *, ttl_limit: int, parties: Collection[str]) -> RenewalRequest:
    """Read the body of `POST /v1/sessions/{id}/renewals`.

    `ttl_limit` (seconds) is the stack's longest session, and what a body without `ttl` gets. `parties` are the party
    keys of the session.
    Raises InvalidBodyError with every error found.
    """
    reader = _Reader(raw)
    reader.only("ttl", "participants")
    request = RenewalRequest(reader.ttl(ttl_limit), reader.moved(parties))
    reader.finish()
    return request


def idempotency_key(header: str | None) -> str | None:
    """Return the value of an `Idempotency-Key` header, or None if there is none. Raises InvalidBodyError."""
    reader = _Reader({IDEMPOTENCY_KEY: header})
    key = reader.name(IDEMPOTENCY_KEY)
    reader.finish()
    return key


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_place(value: object) -> bool:
    return isinstance(value, str) and _PLACE.fullmatch(value) is not None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


@dataclass(slots=True)
class _Reader:
    """Reads the members of a body and collects what is wrong with them."""

    raw: Mapping[str, Any]
    parse: Parse = parse_e164
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
            return self.parse(value)
        except IdentifierError as error:
            self.error(path, str(error))
            return ""

    def identifier(self, path: str, value: object) -> str:
        """Read a number, or a user id after `user:`."""
        if not (isinstance(value, str) and value.startswith(USER)):
            return self.number(path, value)
        try:
            return parse_user(value)
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
        value = self.raw.get(name)
        if value is None and default is not None:
            return default
        try:
            chosen = kind(value) if isinstance(value, str) else None
        except ValueError:
            chosen = None
        if chosen is not None and (among is None or chosen in among):
            return chosen
        self.error(name, f"is not one of {', '.join(choice for choice in kind if among is None or choice in among)}")
        return default or next(iter(kind))

    def one_of(self, path: str, value: object, choices: Collection[str]) -> str:
        if isinstance(value, str) and value in choices:
            return value
        self.error(path, f"is not one of {', '.join(choices)}")
        return ""

    def members(self, name: str, *names: str) -> Mapping[str, Any] | None:
        """Return an object that may hold these members only."""
        document = self.document(name)
        for member in document or {}:
            if member not in names:
                self.error(name, f"holds something else than {', '.join(names)}")
                return None
        return document

    def asked_scope(self) -> Scope:
        """Read what is asked for: one scope, so that a yes leaves no doubt what it answers (R9, R11)."""
        value = self.raw.get("scopes")
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and value[0] in askable():
            return Scope(value[0])
        self.error("scopes", f"is not a list of exactly one of {', '.join(sorted(askable()))}: each is asked by itself")
        return Scope.MANAGE

    def identity(self) -> Mapping[str, Any]:
        document = self.members("identity", "how_verified")
        value = "none" if document is None else document.get("how_verified")
        return {"how_verified": self.one_of("identity.how_verified", value, HOW_VERIFIED)}

    def number_tenure(self) -> Mapping[str, Any] | None:
        document = self.members("number_tenure", "first_seen", "last_verified", "line_type")
        if document is None:
            return None
        for member in ("first_seen", "last_verified"):
            if member in document and not _is_day(document[member]):
                self.error(f"number_tenure.{member}", "is not a day such as 2026-05-04")
        if "line_type" in document:
            self.one_of("number_tenure.line_type", document["line_type"], LINE_TYPES)
        return document

    def jurisdiction(self) -> Mapping[str, Any] | None:
        document = self.members("location", "codes", "source", "confidence", "rules_version")
        if document is None:
            return None
        codes = document.get("codes")
        if not isinstance(codes, list) or not 0 < len(codes) <= PLACES_LIMIT or not all(map(_is_place, codes)):
            self.error("location.codes", f"is not a list of 1 to {PLACES_LIMIT} ISO 3166 codes such as DE or US-CA")
        self.one_of("location.source", document.get("source"), LOCATION_SOURCES)
        self.one_of("location.confidence", document.get("confidence"), CONFIDENCES)
        version = document.get("rules_version")
        if version is not None and (not isinstance(version, str) or not 0 < len(version) <= 64):
            self.error("location.rules_version", "is not a text of 1 to 64 characters")
        return {"rules_version": None, **document}

    def withdrawal(self, state: State) -> Mapping[str, str] | None:
        """Read how a consent was withdrawn. Only a known stop word is kept: anything else would be a message's body."""
        document = self.members("withdrawal", "channel", "words")
        if state is not State.WITHDRAWN:
            if self.raw.get("withdrawal") is not None:
                self.error("withdrawal", "belongs to the state withdrawn only")
            return None
        document = document or {}
        words = document.get("words", "")
        said = meaning(words) if isinstance(words, str) else None
        if words != "" and (said is None or said.word is not Word.STOP):
            self.error("withdrawal.words", "is not one of the stop words; leave out what else somebody wrote")
        channel = self.one_of("withdrawal.channel", document.get("channel", "api"), WITHDRAWAL_CHANNELS)
        return {"channel": channel, "words": said.said if said else ""}

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
        elif holds_number(_TEXT.encode(value)):
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
        members = {member: document.get(member) for member in ("id", "version", "language")}
        missing = [
            member
            for member, value in members.items()
            if isinstance(value, bool) or not isinstance(value, str | int) or value == ""
        ]
        for member in missing:
            self.error(f"notice.{member}", "is missing")
        if required and not missing:  # a no counts, whatever it was said to
            self.shown(**members)
        if not _SHA256.fullmatch(str(document.get("sha256"))):
            self.error("notice.sha256", "is not the SHA-256 of the text that was shown, in lower-case hex")
        return document

    def shown(self, id: object, version: object, language: object) -> None:  # noqa: A002 - named as the body names it
        """Check that a text of ours was ever there, and that any other is said to be the application's own."""
        if not isinstance(id, str) or id not in disclosure.templates():
            if not str(id).startswith(disclosure.APP) or id == disclosure.APP:
                ours = ", ".join(disclosure.templates())
                reason = f"is none of {ours}, and a text of your own is named {disclosure.APP}NAME"
                self.error("notice.id", reason)
        elif disclosure.known(id, version, language):
            return
        elif not disclosure.known(id, version):
            self.error("notice.version", "is no version of this notice (docs/notices.md)")
        else:
            self.error("notice.language", "is none that this version of the notice is in (docs/notices.md)")

    def asked(self, request: ConsentRequest) -> None:
        """Check that a text of ours asks for this scope. One of the application's own names its own clauses."""
        named, asking = (request.notice or {}).get("id"), disclosure.asking_for(request.scope)
        ours = isinstance(named, str) and named in disclosure.templates()
        # Of a scope that is none there is nothing more to say.
        if ours and named not in asking and self.raw.get("scope") == request.scope:
            does = f"{' or '.join(asking) or 'none of ours'} does"
            reason = f"does not ask for {request.scope} ({does}); a text of your own is named {disclosure.APP}NAME"
            self.error("notice.id", reason)

    def evidence(self, *, required: bool) -> Mapping[str, Any]:
        document = self.document("evidence")
        if not document and required and not self.raw.get("evidence"):
            self.error("evidence", "is empty: a consent without proof is no consent")
        return document or {}

    def proof(self, request: ConsentRequest, now: datetime) -> None:
        """Check that what was sent proves a consent that was given."""
        if request.scope is Scope.MANAGE and request.kind is Kind.IMPLIED:
            self.error("kind", "is implied, and nobody is connected without an explicit consent")
        for member, reason in faults(request.method, request.kind, request.evidence, now=now, skew=CLOCK_SKEW):
            # A member that no form knows may be called anything, so it is shown only if it is harmless.
            known = member.isidentifier() and member.isascii() and len(member) <= TEXT_LIMIT
            path = f"evidence.{member}" if known else "evidence.(a key)" if member else "evidence"
            self.error(path, reason)

    def participants(self, most: int) -> tuple[tuple[str, ...], tuple[Location | None, ...]]:
        """Read who shall be connected, and where each is said to be."""
        value = self.raw.get("participants")
        if not isinstance(value, list) or not PARTICIPANTS <= len(value) <= most:
            many = f"exactly {most}" if most == PARTICIPANTS else f"{PARTICIPANTS} to {most}"
            self.error("participants", f"is not a list of {many} participants")
            return (), ()
        identifiers: list[str] = []
        locations: list[Location | None] = []
        for index, item in enumerate(value):
            path = f"participants[{index}]"
            if not isinstance(item, dict) or "identifier" not in item or not set(item) <= {"identifier", "location"}:
                self.error(path, 'is not of the form {"identifier": "+…"}, with or without a location')
            else:
                identifiers.append(self.number(f"{path}.identifier", item["identifier"]))
                locations.append(self.location(f"{path}.location", item.get("location")))
        if len(identifiers) == len(value) and all(identifiers) and len(set(identifiers)) < len(value):
            self.error("participants", "are the same person twice")
        return tuple(identifiers), tuple(locations)

    def moved(self, parties: Collection[str]) -> dict[str, Location]:
        """Read where people of a session are said to be now, by their party keys."""
        value = self.raw.get("participants")
        if value is None:
            return {}
        if not isinstance(value, list):
            self.error("participants", "is not a list")
            return {}
        places: dict[str, Location] = {}
        for index, item in enumerate(value):
            path = f"participants[{index}]"
            if not isinstance(item, dict) or set(item) != {"party", "location"} or item["location"] is None:
                self.error(path, 'is not of the form {"party": "…", "location": {"code": "US-CA", "source": "gps"}}')
            elif not isinstance(item["party"], str) or item["party"] not in parties:
                self.error(f"{path}.party", "is no party key of this session; its opening and GET tell them")
            elif item["party"] in places:
                self.error(f"{path}.party", "is there twice")
            elif location := self.location(f"{path}.location", item["location"]):
                places[item["party"]] = location
        return places

    def location(self, path: str, value: object) -> Location | None:
        """Read where somebody is said to be. A code that the table does not know is the strictest law, no error."""
        if value is None:
            return None
        if not isinstance(value, dict) or not {"code", "source"} <= set(value) <= {"code", "source", "confidence"}:
            self.error(path, 'is not of the form {"code": "US-CA", "source": "declared"}, with or without confidence')
            return None
        code, source, confidence = value["code"], value["source"], value.get("confidence", str(Confidence.HIGH))
        if not _is_place(code):
            self.error(f"{path}.code", "is not an ISO 3166 code such as DE or US-CA")
        elif not isinstance(source, str) or source not in set(Source):
            self.error(f"{path}.source", f"is not one of {', '.join(Source)}")
        elif not isinstance(confidence, str) or confidence not in set(Confidence):
            self.error(f"{path}.confidence", f"is not one of {', '.join(Confidence)}")
        else:
            return Location(code, Source(source), Confidence(confidence))
        return None

    def recordings(self) -> tuple[Scope, ...]:
        """Read what shall be recorded, each once."""
        value = self.raw.get("record")
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and one in RECORDINGS for one in value):
            self.error("record", f"is not a list of {', '.join(RECORDINGS)}")
            return ()
        return tuple(scope for name, scope in RECORDINGS.items() if name in value)

    def flag(self, name: str) -> bool:
        value = self.raw.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.error(name, "is neither true nor false")
        return False

    def days(self, limit: int) -> int:
        value = self.raw.get("days")
        if value is None:
            return limit
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
            self.error("days", f"is not a whole number of days from 1 to {limit}")
            return limit
        return value

    def idle_ttl(self, limit: int) -> int:
        value = self.raw.get("idle_ttl")
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not MIN_TTL <= value <= limit:
            self.error("idle_ttl", f"is not a whole number of seconds from {MIN_TTL} to {limit} (parley:session.ttl)")
            return 0
        return value

    def reopens(self) -> str:
        value = self.raw.get("reopens")
        if value is None:
            return ""
        if not isinstance(value, str) or _SESSION_SID.fullmatch(value) is None:
            self.error("reopens", "is not the SID of a session: KC and 32 digits from 0 to f")
            return ""
        return value

    def ttl(self, limit: int) -> int:
        value = self.raw.get("ttl")
        if value is None:
            return limit
        if isinstance(value, bool) or not isinstance(value, int) or not MIN_TTL <= value <= limit:
            self.error("ttl", f"is not a whole number of seconds from {MIN_TTL} to {limit} (parley:session.ttl)")
            return limit
        return value
