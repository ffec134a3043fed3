"""Consent records: an append-only, tamper-evident chain for each person, and what follows from it.

A record is never changed. The current state is a projection: the last record for a person, a scope and a
counterpart (or the service as a whole), with two exceptions. One protects the person: once they refused or withdrew,
only they themselves can give consent again. A request, an import from another system or an event that happened
earlier but arrived later leaves the no in force (47 CFR 64.1200(a)(10); GDPR art. 7(3)). The other: a question takes
nothing back, so a consent that is in force stays so while it is asked for again.

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
from parley.core.record_classes import RecordClass

SCHEMA_VERSION = "1.0"
GENESIS = "0" * 64
"""`prev_hash` of a person's first record."""

RETENTION_CLASS = str(RecordClass.CONSENT_EVIDENCE)
PROCESSORS: tuple[Mapping[str, str], ...] = ({"name": "Twilio", "role": "processor", "country": "US"},)


class Scope(StrEnum):
    """What a consent is about. Managing a conversation, recording it and storing it are asked apart (R9, R11)."""

    MANAGE = "manage"
    RECORD_VOICE = "record_voice"
    RECORD_VIDEO = "record_video"
    STORE_MESSAGES = "store_messages"
    TRANSCRIBE = "transcribe"
    RECEIVE_INFO = "receive_info"


GIVEN_BACK = frozenset({Scope.RECEIVE_INFO})
"""What START gives back after STOP: notices of the service. To be connected, recorded or stored is asked anew (R9)."""


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

LEGAL_BASES = ("consent", "contract", "legitimate_interest", "legal_obligation")
"""On what ground the processing rests (GDPR art. 6(1)); a consent record names it, since consent is not always it."""

CLASSES: Mapping[Scope, tuple[RecordClass, ...]] = {
    Scope.MANAGE: (RecordClass.SESSION_MAP, RecordClass.INTERACTION_LOG),
    Scope.RECORD_VOICE: (RecordClass.CALL_RECORDINGS,),
    Scope.RECORD_VIDEO: (RecordClass.VIDEO_RECORDINGS,),
    Scope.STORE_MESSAGES: (RecordClass.MESSAGES, RecordClass.MESSAGE_MEDIA),
    Scope.TRANSCRIBE: (RecordClass.TRANSCRIPTS,),
    Scope.RECEIVE_INFO: (),
}
"""What is kept of somebody who agrees to a scope."""


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """Something that happened to one person's consent, before it is a record.

    `party` and `counterpart` are party keys; no counterpart means the service as a whole. `identity` says how it is
    known who answered (`how_verified`), `number_tenure` since when the number is that person's: consent of a number's
    former holder is none. `notice` names the text that was shown, `evidence` is the proof that the method leaves.
    `purposes` are those of the schedule, `storage_region` is where the record is kept, `jurisdiction` holds the places
    whose law was asked (`codes`), where they are known from, how surely, and the version of the rules. `withdrawal`
    has its `channel`, the stop `words` and what it `covers`. Times are aware, in UTC.
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
    identity: Mapping[str, Any] = field(default_factory=dict)
    number_tenure: Mapping[str, Any] | None = None
    purposes: tuple[str, ...] = ()
    storage_region: str = ""
    jurisdiction: Mapping[str, Any] | None = None
    processors: tuple[Mapping[str, str], ...] = PROCESSORS


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """An event in its place in the person's chain."""

    event: ConsentEvent
    record_id: str
    seq: int
    recorded_at: datetime
    prev_hash: str
    record_hash: str

    @property
    def receipt_id(self) -> str:
        """The id of the receipt that the person is given."""
        return _receipt_id(self.record_id)

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

    A `state` of None is one that this version does not know; nothing is ever allowed on its ground. `notice` is the id
    and the version of the text that was shown, None if they are not known. `call` is the SID of the one call that a yes
    is for, empty if it is for more: such a yes permits nothing but that call.
    """

    party: str
    scope: Scope
    counterpart: str | None
    state: State | None
    seq: int
    record_id: str
    effective_at: datetime
    valid_until: datetime | None = None
    kind: Kind = Kind.EXPLICIT
    notice: tuple[str, int | str] | None = None
    call: str = ""

    def at(self, now: datetime) -> State | None:
        """Return the state at a moment: validity runs out by itself, nobody has to notice.

        Whether what was agreed to has widened since is for `disclosure.state_at` to say.
        """
        if self.state is State.GIVEN and self.valid_until is not None and now >= self.valid_until:
            return State.EXPIRED
        return self.state


class ChainError(ValueError):
    """A chain does not hold. `seq` is the record at which it breaks."""

    def __init__(self, seq: int, reason: str) -> None:
        self.seq = seq
        super().__init__(f"record {seq}: {reason}")


# Made once: `json.dumps` would make one at every call, which an import of many records feels.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no white space, no ASCII escapes, finite numbers only."""
    return _CANONICAL.encode(value)


def sha256_hex(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def append(head: Head, event: ConsentEvent, recorded_at: datetime) -> ConsentRecord:
    """Return the record that puts `event` after `head`.

    The record's id follows from what happened, not from when it was written, so that the same event cannot get two.
    A withdrawal gets the times that its delay is measured by (47 CFR 64.1200(a)(10): ten business days at most): when
    it was asked for, and when it was done, which is now, since the gate refuses from this record on.
    """
    return sealed(head, event, recorded_at)[0]


def sealed(head: Head, event: ConsentEvent, recorded_at: datetime) -> tuple[ConsentRecord, str]:
    """Return the record that `append` returns, and its `to_json`, of which most is hashed: it is written only once."""
    if event.withdrawal is not None:
        times = {"requested_at": moments.to_text(event.effective_at), "done_at": moments.to_text(recorded_at)}
        event = dataclasses.replace(event, withdrawal={**times, **event.withdrawal})
    identity = "\n".join((event.party, event.source_event_id, event.scope, event.counterpart or ""))
    record_id = f"cr_{sha256_hex(identity)[:32]}"
    # Keys are sorted, so the record's own hash, which is not hashed, stands between two texts.
    before = canonical_json(_before_hash(event, record_id, head.record_hash))[:-1]
    after = canonical_json(_after_hash(event, record_id, head.seq + 1, recorded_at))[1:]
    record = ConsentRecord(
        event=event,
        record_id=record_id,
        seq=head.seq + 1,
        recorded_at=recorded_at,
        prev_hash=head.record_hash,
        record_hash=sha256_hex(f"{before},{after}"),
    )
    return record, f'{before},"record_hash":"{record.record_hash}",{after}'


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
        kind=event.kind,
        notice=_shown(event.notice),
        call=_call(event),
    )
    if current is None:
        return following
    if following.call and not current.call and current.at(event.effective_at) is State.GIVEN:
        # A yes to one call takes nothing from a yes that lasts.
        return current
    if event.state is State.REQUESTED and current.at(event.effective_at) is State.GIVEN:
        return current
    if current.state is not None and current.state not in NO:
        return following
    if event.state in NO:
        # Two refusals that arrive in the wrong order: the later one decides what a consent has to come after.
        return dataclasses.replace(following, effective_at=max(current.effective_at, event.effective_at))
    own_answer = event.state is State.GIVEN and event.method is not Method.ADMIN_IMPORT
    return following if own_answer and event.effective_at > current.effective_at else current


def _call(event: ConsentEvent) -> str:
    return str(event.evidence["call_sid"]) if event.evidence.get("valid_for") == "call" else ""


def project(records: Iterable[ConsentRecord]) -> dict[tuple[Scope, str | None], Standing]:
    """Return where one person's consents stand after `records`, oldest first, by scope and counterpart."""
    standings: dict[tuple[Scope, str | None], Standing] = {}
    for record in records:
        key = (record.event.scope, record.event.counterpart)
        standings[key] = follow(standings.get(key), record)
    return standings


def purposes_of(scope: Scope, declared: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return what somebody who agrees to a scope agrees to: the purposes of its classes, sorted.

    `declared` are the schedule's purposes by record class.
    """
    return tuple(sorted({purpose for each in CLASSES[scope] for purpose in declared.get(str(each), ())}))


def record_from_json(text: str) -> ConsentRecord:
    """Read back what `ConsentRecord.to_json` wrote.

    Raises ValueError if the text is no record of this version, or has one member more or less than that.
    """
    try:
        raw = json.loads(text)
        record = _record(raw)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("is not a consent record of this version") from error
    if record.to_json() != canonical_json(raw):
        raise ValueError("is not a consent record of this version")
    return record


def _record(raw: Mapping[str, Any]) -> ConsentRecord:
    subject, counterpart = raw["subject"], raw["counterpart"]
    event = ConsentEvent(
        party=subject["key"],
        scope=Scope(raw["scope"]),
        state=State(raw["state"]),
        method=Method(raw["method"]),
        effective_at=moments.from_text(raw["effective_at"]),
        source_event_id=raw["source_event_id"],
        actor=raw["actor"],
        counterpart=None if counterpart is None else counterpart["key"],
        kind=Kind(raw["kind"]),
        notice=raw["notice"],
        evidence=raw["evidence"],
        requested_at=_optional_moment(raw["requested_at"]),
        valid_until=_optional_moment(raw["valid_until"]),
        controller=raw["controller"],
        withdrawal=raw["withdrawal"],
        legal_basis=raw["legal_basis"],
        identity=subject["identity"],
        number_tenure=subject["number_tenure"],
        purposes=tuple(raw["purposes"]),
        storage_region=raw["storage_region"],
        jurisdiction=raw["jurisdiction"],
        processors=tuple(raw["processors"]),
    )
    return ConsentRecord(
        event=event,
        record_id=raw["record_id"],
        seq=raw["seq"],
        recorded_at=moments.from_text(raw["recorded_at"]),
        prev_hash=raw["prev_hash"],
        record_hash=raw["record_hash"],
    )


def _document(event: ConsentEvent, record_id: str, seq: int, recorded_at: datetime, prev_hash: str) -> dict[str, Any]:
    return _before_hash(event, record_id, prev_hash) | _after_hash(event, record_id, seq, recorded_at)


def _before_hash(event: ConsentEvent, record_id: str, prev_hash: str) -> dict[str, Any]:
    """Return the members of a record whose names come before `record_hash`, sorted."""
    return {
        "actor": event.actor,
        "controller": event.controller,
        "counterpart": None if event.counterpart is None else {"key": event.counterpart},
        "effective_at": moments.to_text(event.effective_at),
        "evidence": event.evidence,
        "jurisdiction": event.jurisdiction,
        "kind": event.kind,
        "legal_basis": event.legal_basis,
        "method": event.method,
        "notice": event.notice,
        "prev_hash": prev_hash,
        "processors": list(event.processors),
        "purposes": list(event.purposes),
        "receipt_id": _receipt_id(record_id),
    }


def _after_hash(event: ConsentEvent, record_id: str, seq: int, recorded_at: datetime) -> dict[str, Any]:
    """Return the members of a record whose names come after `record_hash`, sorted."""
    return {
        "record_id": record_id,
        "recorded_at": moments.to_text(recorded_at),
        "requested_at": _optional_text(event.requested_at),
        "retention_class": RETENTION_CLASS,
        "schema_version": SCHEMA_VERSION,
        "scope": event.scope,
        "seq": seq,
        "source_event_id": event.source_event_id,
        "state": event.state,
        "storage_region": event.storage_region,
        "subject": {"identity": event.identity, "key": event.party, "number_tenure": event.number_tenure},
        "valid_until": _optional_text(event.valid_until),
        "withdrawal": event.withdrawal,
    }


def _shown(notice: Mapping[str, Any] | None) -> tuple[str, int | str] | None:
    shown, version = (notice or {}).get("id"), (notice or {}).get("version")
    return (shown, version) if isinstance(shown, str) and isinstance(version, int | str) else None


def _receipt_id(record_id: str) -> str:
    return f"R-{record_id}"


def _optional_text(moment: datetime | None) -> str | None:
    return None if moment is None else moments.to_text(moment)


def _optional_moment(text: str | None) -> datetime | None:
    return None if text is None else moments.from_text(text)
