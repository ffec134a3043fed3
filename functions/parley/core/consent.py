"""Consent records: an append-only, tamper-evident chain for each person, and what follows from it.

A record is never changed. The current state is a projection: the last record for a person, a scope and a
counterpart (or the service as a whole), with one exception that protects the person: once they refused or withdrew,
only they themselves can give consent again. A request, an import from another system or an event that happened
earlier but arrived later leaves the no in force (47 CFR 64.1200(a)(10); GDPR art. 7(3)).

Fields and states follow ISO/IEC TS 27560:2023; refusals are records too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from parley.core import moments

SCHEMA_VERSION = "1.0"
GENESIS = "0" * 64
"""`prev_hash` of a person's first record."""

RETENTION_CLASS = "consent-evidence"
PROCESSORS: tuple[Mapping[str, str], ...] = ({"name": "Twilio", "role": "processor", "country": "US"},)


class Scope(StrEnum):
    """What a consent is about. Managing a conversation, recording it and storing it are asked apart (R9, R11)."""

    MANAGE = "manage"
    RECORD_VOICE = "record_voice"
    RECORD_VIDEO = "record_video"
    STORE_MESSAGES = "store_messages"
    TRANSCRIBE = "transcribe"
    RECEIVE_INFO = "receive_info"


class State(StrEnum):
    """Where a consent stands."""

    REQUESTED = "requested"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"


class Kind(StrEnum):
    """Whether the person said so, or it was concluded from what they did (never enough under GDPR art. 4(11))."""

    EXPLICIT = "explicit"
    IMPLIED = "implied"


class Method(StrEnum):
    """How the answer was obtained (R15, R16)."""

    CONTRACT = "contract"
    IN_APP = "in_app"
    SMS_REPLY = "sms_reply"
    IVR_KEYPRESS = "ivr_keypress"
    VERBAL_RECORDED = "verbal_recorded"
    ANNOUNCEMENT_STAY = "announcement_stay"
    TONE = "tone"
    PAPER = "paper"
    ADMIN_IMPORT = "admin_import"


NO = frozenset({State.REFUSED, State.WITHDRAWN})
"""The states that say no."""


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """Something that happened to one person's consent, before it is a record.

    `party` and `counterpart` are party keys; no counterpart means the service as a whole. `notice` names the text
    that was shown, `evidence` is the proof that the method leaves. Times are aware, in UTC.
    """

    party: str
    scope: Scope
    state: State
    method: Method
    effective_at: datetime
    source_event_id: str
    actor: str
    counterpart: str | None = None
    kind: Kind = Kind.EXPLICIT
    notice: Mapping[str, Any] | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    requested_at: datetime | None = None
    valid_until: datetime | None = None
    controller: Mapping[str, str] = field(default_factory=dict)
    withdrawal: Mapping[str, str] | None = None
    legal_basis: str = "consent"


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """An event in its place in the person's chain."""

    event: ConsentEvent
    record_id: str
    seq: int
    recorded_at: datetime
    prev_hash: str
    record_hash: str

    def document(self) -> dict[str, Any]:
        """Return the record as the JSON object whose canonical form is hashed, without its own hash."""
        return _document(self.event, self.record_id, self.seq, self.recorded_at, self.prev_hash)

    def to_json(self) -> str:
        """Return the whole record in canonical form: what the ledger keeps."""
        return canonical_json({**self.document(), "record_hash": self.record_hash})


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a person's chain: the last sequence number and the last hash."""

    seq: int = 0
    record_hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one person's consent for one scope stands: the projection that decisions read.

    A `state` of None is one that this version does not know; nothing is ever allowed on its ground.
    """

    party: str
    scope: Scope
    counterpart: str | None
    state: State | None
    seq: int
    record_id: str
    effective_at: datetime
    valid_until: datetime | None = None

    def at(self, now: datetime) -> State | None:
        """Return the state at a moment: validity runs out by itself, nobody has to notice."""
        if self.state is State.GIVEN and self.valid_until is not None and now >= self.valid_until:
            return State.EXPIRED
        return self.state


class ChainError(ValueError):
    """A chain does not hold. `seq` is the record at which it breaks."""

    def __init__(self, seq: int, reason: str) -> None:
        self.seq = seq
        super().__init__(f"record {seq}: {reason}")


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no white space, no ASCII escapes, finite numbers only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_hex(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def append(head: Head, event: ConsentEvent, recorded_at: datetime) -> ConsentRecord:
    """Return the record that puts `event` after `head`.

    The record's id follows from what happened, not from when it was written, so that the same event cannot get two.
    """
    identity = "\n".join((event.party, event.source_event_id, event.scope, event.counterpart or ""))
    record_id = f"cr_{sha256_hex(identity)[:32]}"
    document = _document(event, record_id, head.seq + 1, recorded_at, head.record_hash)
    return ConsentRecord(
        event=event,
        record_id=record_id,
        seq=head.seq + 1,
        recorded_at=recorded_at,
        prev_hash=head.record_hash,
        record_hash=sha256_hex(canonical_json(document)),
    )


def verify_chain(records: Sequence[ConsentRecord], *, head: Head | None = None, whole: bool = True) -> Head:
    """Check one person's records, oldest first, and return the end of the chain.

    `head` is the end that the ledger claims: with it, records missing at the end are found too. `whole=False` accepts
    a chain whose beginning has reached the end of its retention.
    Raises ChainError at the first record that was changed, left out, moved or slipped in.
    """
    end = Head()
    for position, record in enumerate(records):
        if position == 0 and not whole:
            end = Head(record.seq - 1, record.prev_hash)
        if record.event.party != records[0].event.party:
            raise ChainError(record.seq, "belongs to another person")
        if record.seq != end.seq + 1:
            raise ChainError(record.seq, f"record {end.seq + 1} should stand here")
        if record.prev_hash != end.record_hash:
            raise ChainError(record.seq, "does not continue the record before it")
        if record.record_hash != sha256_hex(canonical_json(record.document())):
            raise ChainError(record.seq, "was changed after it was written")
        end = Head(record.seq, record.record_hash)
    if head is not None and head != end:
        raise ChainError(head.seq, "is the end of the chain according to the ledger, but it is not there")
    return end


def follow(current: Standing | None, record: ConsentRecord) -> Standing:
    """Return where consent stands after `record`, when it stood at `current` before."""
    event = record.event
    following = Standing(
        party=event.party,
        scope=event.scope,
        counterpart=event.counterpart,
        state=event.state,
        seq=record.seq,
        record_id=record.record_id,
        effective_at=event.effective_at,
        valid_until=event.valid_until,
    )
    if current is None or (current.state is not None and current.state not in NO):
        return following
    if event.state in NO:
        # Two refusals that arrive in the wrong order: the later one decides what a consent has to come after.
        return dataclasses.replace(following, effective_at=max(current.effective_at, event.effective_at))
    own_answer = event.state is State.GIVEN and event.method is not Method.ADMIN_IMPORT
    return following if own_answer and event.effective_at > current.effective_at else current


def project(records: Iterable[ConsentRecord]) -> dict[tuple[Scope, str | None], Standing]:
    """Return where one person's consents stand after `records`, oldest first, by scope and counterpart."""
    standings: dict[tuple[Scope, str | None], Standing] = {}
    for record in records:
        key = (record.event.scope, record.event.counterpart)
        standings[key] = follow(standings.get(key), record)
    return standings


def record_from_json(text: str) -> ConsentRecord:
    """Read back what `ConsentRecord.to_json` wrote. Raises ValueError if the text is no record."""
    try:
        raw = json.loads(text)
        event = ConsentEvent(
            party=raw["party"],
            scope=Scope(raw["scope"]),
            state=State(raw["state"]),
            method=Method(raw["method"]),
            effective_at=moments.from_text(raw["effective_at"]),
            source_event_id=raw["source_event_id"],
            actor=raw["actor"],
            counterpart=raw["counterpart"],
            kind=Kind(raw["kind"]),
            notice=raw["notice"],
            evidence=raw["evidence"],
            requested_at=_optional_moment(raw["requested_at"]),
            valid_until=_optional_moment(raw["valid_until"]),
            controller=raw["controller"],
            withdrawal=raw["withdrawal"],
            legal_basis=raw["legal_basis"],
        )
        return ConsentRecord(
            event=event,
            record_id=raw["record_id"],
            seq=raw["seq"],
            recorded_at=moments.from_text(raw["recorded_at"]),
            prev_hash=raw["prev_hash"],
            record_hash=raw["record_hash"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError("is not a consent record of this version") from error


def _document(event: ConsentEvent, record_id: str, seq: int, recorded_at: datetime, prev_hash: str) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": record_id,
        "seq": seq,
        "prev_hash": prev_hash,
        "party": event.party,
        "counterpart": event.counterpart,
        "scope": event.scope,
        "state": event.state,
        "kind": event.kind,
        "method": event.method,
        "notice": event.notice,
        "evidence": event.evidence,
        "requested_at": _optional_text(event.requested_at),
        "effective_at": moments.to_text(event.effective_at),
        "recorded_at": moments.to_text(recorded_at),
        "valid_until": _optional_text(event.valid_until),
        "controller": event.controller,
        "processors": list(PROCESSORS),
        "retention_class": RETENTION_CLASS,
        "withdrawal": event.withdrawal,
        "legal_basis": event.legal_basis,
        "actor": event.actor,
        "source_event_id": event.source_event_id,
    }


def _optional_text(moment: datetime | None) -> str | None:
    return None if moment is None else moments.to_text(moment)


def _optional_moment(text: str | None) -> datetime | None:
    return None if text is None else moments.from_text(text)
