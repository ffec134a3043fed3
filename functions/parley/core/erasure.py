"""Erasure: what there is of one person, in which order it goes, what has to remain and why, and the proof of it.

An erasure is a list of items, each one thing in one system: a resource at Twilio, the versions under a prefix of a
bucket, the rows of a partition of the ledger. The items name SIDs, keys and prefixes, never a number. They are worked
off one by one and may be worked off again: who finds nothing left has done it.

The person's no is recorded first, so nothing new can come. Then the carrier's copies go, then the owner's, then the
rows by which all of it was found, the person's own last. A conversation is personal data of everybody in it, so the
erasure of one takes all of it (GDPR art. 17(1)). What is under a legal hold stays (art. 17(3)(e)), and so does what the
schedule's own minimum keeps (art. 17(3)(b)) and what Object Lock does not give up.

What stays for good is the party key with the moment of the erasure and the end of the chain: without it the no that
an erasure implies would be forgotten with everything else, and the next import of an old list would reach the person
again (art. 17(3)(b) and 21(3)). It has no time to live.
"""

from __future__ import annotations

import base64
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from parley.core import moments
from parley.core.bound import (
    DEFAULT,
    DELETION_RETRY_DAYS,
    LOG_LAG_DAYS,
    S3_LAG_DAYS,
    TWILIO_METADATA_DAYS,
    TWILIO_NUMBERS_DAYS,
    TWILIO_PURGE_DAYS,
)
from parley.core.consent import canonical_json, sha256_hex
from parley.core.record_classes import RecordClass
from parley.core.records import CLASSES, PARENTS, SIDS, Record, Resource, ResourceKind
from parley.core.retention import NONCURRENT_DAYS, Limit, Schedule, floors

SCHEMA = "urn:parley:erasure-proof:1"
ALGORITHM = "ECDSA_SHA_256"
"""The signature of a proof, over NIST P-256 (KMS SigningAlgorithm; FIPS 186-5)."""

GIVE_UP = timedelta(days=DELETION_RETRY_DAYS)
"""How long Twilio may refuse a deletion before the proof says so (error 20009)."""

COPIES_ARRIVE = timedelta(days=1)
"""How long after a record its copy may still come: DynamoDB keeps a stream record so long."""

_ERASURE_ID = re.compile(r"er_[0-9a-f]{32}")
_COPY = re.compile(r"([0-9]{12})\.json")


class System(StrEnum):
    """Where something of a person is."""

    TWILIO = "twilio"
    CONTENT = "content-bucket"
    EVIDENCE = "evidence-bucket"
    LEDGER = "ledger"


class What(StrEnum):
    """The kinds of items that are no resource at Twilio."""

    CALL_ARCHIVE = "call-archive"
    OBJECTS = "object-versions"
    COPIES = "copy-versions"
    SESSION_ROWS = "session-rows"
    RECORD_ROWS = "record-rows"
    POINTER = "pointer-rows"
    PERSON_ROWS = "person-rows"


class Why(StrEnum):
    """Why something remains."""

    PENDING = "pending"  # to be tried again
    HELD = "held"  # a legal hold
    LOCKED = "locked-until"  # S3 Object Lock
    KEPT = "kept-until"  # a minimum of the schedule
    REFUSED = "refused"  # Twilio did not delete it within 14 days
    BACKUP = "backup-until"
    LOGS = "logs-until"
    PURGE = "purged-by-twilio-until"
    OTHERS = "evidence-of-others-until"
    SUPPRESSED = "suppressed-for-good"


KINDS: tuple[str, ...] = (
    *(
        ResourceKind.TRANSCRIPTION,
        ResourceKind.COMPOSITION,
        ResourceKind.VIDEO_RECORDING,
        ResourceKind.RECORDING,
        ResourceKind.MEDIA,
        ResourceKind.MESSAGE,
        ResourceKind.CHAT_MESSAGE,
        ResourceKind.INTERACTION,
        ResourceKind.CALL,
        What.CALL_ARCHIVE,
        ResourceKind.CONVERSATION,
        ResourceKind.SESSION,
    ),
    *(What.OBJECTS, What.COPIES, What.RECORD_ROWS, What.SESSION_ROWS, What.POINTER, What.PERSON_ROWS),
)
"""All kinds of items, in the order in which they go: what is below something before it, the person's own rows last."""

_SYSTEMS = {
    What.OBJECTS: System.CONTENT,
    What.COPIES: System.EVIDENCE,
    What.RECORD_ROWS: System.LEDGER,
    What.SESSION_ROWS: System.LEDGER,
    What.POINTER: System.LEDGER,
    What.PERSON_ROWS: System.LEDGER,
}


def minimums(schedule: Schedule) -> dict[str, Limit]:
    """Return, by class id, the longest minimum that a class has: its own, or that of a sector of the stack."""
    found = {name: floors(schedule[name], schedule.sectors) for name in sorted(schedule.retentions)}
    return {str(name): limits[0] for name, limits in found.items() if limits}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of a person in one system.

    `place` is the SID of a resource, the prefix in a bucket or the partition of the ledger, `parent` what it is found
    below: a SID, or the sort key of a single row. `session` and `parties` are whose it is, which holds are judged by.
    `day` is the day of a call, for its archive. `found` counts what was there when it was listed.
    """

    kind: str
    place: str
    parent: str = ""
    session: str = ""
    parties: tuple[str, ...] = ()
    day: str = ""
    found: int = 1

    @property
    def system(self) -> System:
        """Where it is."""
        return _SYSTEMS.get(What(self.kind), System.TWILIO) if self.kind in _WHATS else System.TWILIO

    @property
    def name(self) -> str:
        """What tells it from every other item; names of one kind sort together, in the order in which they go."""
        parts = (f"{KINDS.index(self.kind):02d}", self.kind, self.place, *([self.parent] if self.parent else []))
        return "|".join(parts)

    @property
    def resource(self) -> Resource | None:
        """What it is at Twilio, or None. Raises SidError."""
        return None if self.kind in _WHATS else Resource(ResourceKind(self.kind), self.place, self.parent)

    @property
    def record_class(self) -> RecordClass:
        """The record class that it belongs to, whose minimum may keep it."""
        if self.kind == What.OBJECTS:
            return RecordClass(self.place.partition("/")[0])
        if self.kind == What.COPIES:
            return RecordClass.CONSENT_EVIDENCE
        return CLASSES[ResourceKind(self.kind)] if self.kind not in _WHATS else RecordClass.INTERACTION_LOG

    def document(self) -> dict[str, Any]:
        """Return the item as plain data."""
        return {
            "kind": str(self.kind),
            "place": self.place,
            "parent": self.parent,
            "session": self.session,
            "parties": list(self.parties),
            "day": self.day,
            "found": self.found,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Item:
        """Return the item that `document` made. Raises KeyError or TypeError for anything else."""
        return cls(**{**document, "parties": tuple(document["parties"])})


_WHATS = frozenset(str(each) for each in What)


def resource_item(
    kind: ResourceKind, sid: str, *, parent: str = "", session: str = "", parties: Iterable[str] = (), day: str = ""
) -> Item:
    """Return the item of a resource at Twilio."""
    return Item(str(kind), sid, parent if kind in PARENTS else "", session, tuple(parties), day)


def kind_of(sid: str) -> ResourceKind | None:
    """Return the kind of a message, call, recording or media file by its SID, None for anything else."""
    wanted = (ResourceKind.MESSAGE, ResourceKind.CALL, ResourceKind.RECORDING, ResourceKind.MEDIA)
    return next((kind for kind in wanted if sid[:2] in SIDS[kind].split("|")), None)


def record_items(record: Record) -> list[Item]:
    """Return the items of something that was captured: at Twilio, in the content bucket, and its rows."""
    shared: dict[str, Any] = {"session": record.session, "parties": record.parties}
    stem = f"{record.record_class}/{record.session}/{record.sid}"
    prefixes = {stem} if not record.key or record.key.startswith(stem) else {stem, record.key}
    parent = record.parent if record.kind in PARENTS else ""
    items = [Item(str(record.kind), record.sid, parent, **shared)]
    items += [Item(What.OBJECTS, prefix, **shared) for prefix in sorted(prefixes)]
    items.append(Item(What.RECORD_ROWS, f"RECORD#{record.sid}", **shared))
    pointers = [f"PARTY#{party}" for party in record.parties] + (
        [f"SESSION#{record.session}"] if record.session else []
    )
    return items + [Item(What.POINTER, pointer, f"RECORD#{record.sid}", **shared) for pointer in pointers]


def session_items(sid: str, parties: Sequence[str], interactions: Iterable[Mapping[str, str]]) -> list[Item]:
    """Return the items of a session or of an intent: what the ledger's rows name at Twilio, and the rows.

    `interactions` are the rows of the interaction log with `sid`, `inbound_resource`, `outbound_resource` and
    `created_at`; what they lack is not there. An intent has rows only.
    """
    shared: dict[str, Any] = {"session": sid, "parties": tuple(parties)}
    found: dict[str, Item] = {}
    if sid.startswith("KC"):
        items = [Item(str(ResourceKind.SESSION), sid, **shared)]
        for one in interactions:
            items += interaction_items(sid, parties, one)
        found.update({item.name: item for item in items})
    rows = [Item(What.SESSION_ROWS, f"SESSION#{sid}", **shared)]
    rows += [
        Item(What.POINTER, f"PARTY#{party}", f"{pointer}#{sid}", **shared)
        for party in parties
        for pointer in ("SESSION", "PAST")
    ]
    return [*found.values(), *rows]


def interaction_items(session: str, parties: Sequence[str], one: Mapping[str, str]) -> list[Item]:
    """Return the items of an interaction: itself, and the messages or calls that it is made of."""
    shared: dict[str, Any] = {"session": session, "parties": tuple(parties)}
    items = [Item(str(ResourceKind.INTERACTION), one["sid"], session, **shared)]
    for name in ("inbound_resource", "outbound_resource"):
        sid = one.get(name, "")
        kind = kind_of(sid)
        if kind is ResourceKind.CALL:
            items += call_items(sid, one.get("created_at", "")[:10], **shared)
        elif kind is not None:
            items.append(Item(str(kind), sid, **shared))
    return items


def call_items(sid: str, day: str, **shared: Any) -> list[Item]:
    """Return the items of a call: itself, and its copy in the account's bulk export if its day is known."""
    items = [Item(str(ResourceKind.CALL), sid, **shared)]
    return [*items, Item(What.CALL_ARCHIVE, sid, day=day, found=0, **shared)] if _is_day(day) else items


def person_items(party: str, copies: int, rows: int) -> list[Item]:
    """Return the items of a person: the copies of their consent records, and their own rows."""
    own = {"parties": (party,)}
    prefix = f"{RecordClass.CONSENT_EVIDENCE}/{party}/"
    return [
        Item(What.COPIES, prefix, found=copies, **own),  # type: ignore[arg-type]
        Item(What.PERSON_ROWS, f"PARTY#{party}", found=rows, **own),  # type: ignore[arg-type]
    ]


def _is_day(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is not None


@dataclass(frozen=True, slots=True)
class Remains:
    """So many of an item remain, and why. `until` is the moment after which they can go, `rule` who says so."""

    why: Why
    count: int
    until: datetime | None = None
    rule: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "why": str(self.why),
            "count": self.count,
            **({"until": moments.to_text(self.until)} if self.until else {}),
            **({"rule": self.rule} if self.rule else {}),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Remains:
        """Return what `document` made. Raises KeyError or ValueError for anything else."""
        until = document.get("until")
        return cls(
            Why(document["why"]),
            document["count"],
            None if until is None else moments.from_text(until),
            document.get("rule", ""),
        )


class Settled(StrEnum):
    """Where an item stands."""

    OPEN = "open"
    HELD = "held"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of an item so far.

    `answers` counts what the systems answered (`204`, `404`), added up over all attempts; `remains` is from the last
    one. Without an attempt it is open.
    """

    item: Item
    answers: Mapping[str, int] = field(default_factory=dict)
    remains: tuple[Remains, ...] = (Remains(Why.PENDING, 1),)
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def state(self) -> Settled:
        """Whether there is something left to do now, or once a hold is released."""
        whys = {one.why for one in self.remains}
        if Why.PENDING in whys:
            return Settled.OPEN
        return Settled.HELD if Why.HELD in whys else Settled.SETTLED

    def after(self, answers: Mapping[str, int], remains: Iterable[Remains], now: datetime) -> Progress:
        """Return what became of it after one more attempt."""
        total = Counter(self.answers) + Counter(answers)
        return Progress(self.item, dict(total), tuple(remains), self.first_at or now, now)

    def given_up(self) -> Progress:
        """Return it as one that is not tried any more."""
        told = tuple(replace(one, why=Why.REFUSED) if one.why is Why.PENDING else one for one in self.remains)
        return replace(self, remains=told)

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "item": self.item.document(),
            "answers": dict(self.answers),
            "remains": [one.document() for one in self.remains],
            "first_at": self.first_at and moments.to_text(self.first_at),
            "last_at": self.last_at and moments.to_text(self.last_at),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Progress:
        """Return what `document` made. Raises KeyError, TypeError or ValueError for anything else."""
        first, last = document["first_at"], document["last_at"]
        return cls(
            Item.of(document["item"]),
            document["answers"],
            tuple(Remains.of(one) for one in document["remains"]),
            first and moments.from_text(first),
            last and moments.from_text(last),
        )


class Stage(StrEnum):
    """How far an erasure has come."""

    WORKING = "working"
    HELD = "held"  # proven, and to go on when a hold is released
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request to erase one person. `seq` is the last consent record that goes: who consents anew begins after it.

    `by_number` says that Twilio was searched for the number, which is possible only while it is known. `proofs` counts
    the proofs so far, and `proven` is the SHA-256 (hex) of the last one. `runs` counts how often it was worked on.
    """

    id: str
    party: str
    requested_at: datetime
    seq: int
    by_number: bool
    reason: str = ""
    stage: Stage = Stage.WORKING
    runs: int = 0
    proofs: int = 0
    proven: str = ""

    @property
    def proof_name(self) -> str:
        """The name of the last proof: the first has the id of the erasure, those after a release count on."""
        return proof_name(self.id, self.proofs)

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "id": self.id,
            "party": self.party,
            "requested_at": moments.to_text(self.requested_at),
            "seq": self.seq,
            "by_number": self.by_number,
            "reason": self.reason,
            "stage": str(self.stage),
            "runs": self.runs,
            "proofs": self.proofs,
            "proven": self.proven,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Erasure:
        """Return the erasure that `document` made. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            **{
                **document,
                "requested_at": moments.from_text(document["requested_at"]),
                "stage": Stage(document["stage"]),
            }
        )


def proof_name(erasure: str, number: int) -> str:
    """Return the name of one of the proofs of an erasure, counted from 1."""
    return erasure if number <= 1 else f"{erasure}.{number}"


def erasure_id(party: str, count: int) -> str:
    """Return the id of a person's erasure, by how often they were erased: a repeat of a request gets the same."""
    return f"er_{sha256_hex(f'erasure:{party}:{count}')[:32]}"


def is_erasure_id(text: object) -> bool:
    """Tell whether `text` has the form of an erasure's id."""
    return isinstance(text, str) and _ERASURE_ID.fullmatch(text) is not None


def is_from_before(sort: str, seq: int | None, erasure: Erasure) -> bool:
    """Tell whether a row of the person is one that goes, and not of a consent that they gave anew.

    `sort` is its sort key, `seq` the place of the record that it is of (None: of none). Pointers to sessions and
    records are items of their own.
    """
    if sort.startswith(("SESSION#", "PAST#", "RECORD#")):
        return False
    return seq is None or seq <= erasure.seq


def is_copy_from_before(key: str, erasure: Erasure) -> bool:
    """Tell whether an object of the evidence bucket is a copy of a record that goes; what is no copy goes as well."""
    match = _COPY.fullmatch(key.rpartition("/")[2])
    return match is None or int(match[1]) <= erasure.seq


def delay(runs: int) -> int:
    """Return after how many seconds an erasure is worked on again: a minute, then twice as long, 15 minutes at most."""
    return int(min(60 * 2 ** min(runs, 4), 900))


def counts(items: Iterable[Item]) -> list[dict[str, Any]]:
    """Return how much there is by system and kind, in the order in which it goes; what is not there is left out."""
    total: Counter[tuple[int, str, str]] = Counter()
    for item in items:
        total[KINDS.index(item.kind), str(item.system), str(item.kind)] += item.found
    return [
        {"system": system, "kind": kind, "count": total[place, system, kind]} for place, system, kind in sorted(+total)
    ]


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which stack proves it, and by which declaration (SHA-256 in hex, empty if there is none)."""

    stack: str
    environment: str
    controller: str
    declaration: str


def proof(
    erasure: Erasure,
    progress: Sequence[Progress],
    now: datetime,
    deployment: Deployment,
    keep_days: Mapping[str, int],
) -> dict[str, Any]:
    """Return the document that is signed: what went, what remains and why, and until when.

    `progress` has everything that was found; an item that is open must not be among it.
    """
    return {
        "schema": SCHEMA,
        "id": erasure.id,
        "number": erasure.proofs + 1,
        "continues": erasure.proven,
        "stack": deployment.stack,
        "environment": deployment.environment,
        "controller": deployment.controller,
        "declaration_sha256": deployment.declaration,
        "party": erasure.party,
        "searched_by_number": erasure.by_number,
        "reason": erasure.reason,
        "last_record": erasure.seq,
        "requested_at": moments.to_text(erasure.requested_at),
        "done_at": moments.to_text(now),
        "erased": _erased(progress),
        "remains": [*_remaining(progress), *_echoes(progress, now, keep_days)],
    }


def _erased(progress: Iterable[Progress]) -> list[dict[str, Any]]:
    """Return what was there and what was answered, by system and kind, with the first and the last time."""
    groups: dict[str, list[Progress]] = {}
    for one in progress:
        groups.setdefault(str(one.item.kind), []).append(one)
    told = []
    for kind in sorted(groups, key=KINDS.index):
        group = groups[kind]
        answers = sum((Counter(one.answers) for one in group), Counter[str]())
        times = [moment for one in group for moment in (one.first_at, one.last_at) if moment is not None]
        if not answers and not any(one.item.found for one in group):
            continue
        told.append(
            {
                "system": str(group[0].item.system),
                "kind": kind,
                "found": sum(one.item.found for one in group),
                "answers": dict(sorted(answers.items())),
                "first_at": moments.to_text(min(times)) if times else "",
                "last_at": moments.to_text(max(times)) if times else "",
            }
        )
    return told


def _remaining(progress: Iterable[Progress]) -> list[dict[str, Any]]:
    """Return what is left of the items, by system, kind, reason and rule, with the last moment of each group."""
    groups: dict[tuple[int, str, str, str, str], list[Remains]] = {}
    for one in progress:
        for left in one.remains:
            key = (KINDS.index(one.item.kind), str(one.item.system), str(one.item.kind), str(left.why), left.rule)
            groups.setdefault(key, []).append(left)
    return [
        _line(system, kind, why, max((one.until for one in group if one.until), default=None), rule)
        | {"count": sum(one.count for one in group)}
        for (_, system, kind, why, rule), group in sorted(groups.items())
    ]


def _echoes(progress: Sequence[Progress], now: datetime, keep_days: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what no deletion reaches, and when it is gone by itself: backups, logs, what Twilio keeps of the deleted.

    The days are those of the bound (`parley.core.bound`), from now.
    """
    kinds = {str(one.item.kind) for one in progress if one.answers}

    def until(days: int) -> datetime:
        return now + timedelta(days=days)

    lines = [_line(System.LEDGER, "suppression", Why.SUPPRESSED, None, "GDPR 17(3)(b), 21(3)") | {"count": 1}]
    evidence = keep_days.get(RecordClass.CONSENT_EVIDENCE, 0)
    lines.append(_line(System.LEDGER, "party-key-in-records-of-others", Why.OTHERS, until(evidence), "GDPR 7(1)"))
    lines.append(_line(System.LEDGER, "point-in-time-recovery", Why.BACKUP, until(DEFAULT.point_in_time_days), ""))
    for record_class in (RecordClass.OPERATIONAL_LOGS, RecordClass.ACCESS_LOGS):
        days = keep_days.get(record_class, 0) + LOG_LAG_DAYS
        lines.append(_line("logs", str(record_class), Why.LOGS, until(days), "parley:records"))
    purges = (
        ({ResourceKind.RECORDING, ResourceKind.VIDEO_RECORDING}, "recording-metadata", TWILIO_METADATA_DAYS),
        ({ResourceKind.MESSAGE, ResourceKind.SESSION, ResourceKind.INTERACTION}, "deleted-content", TWILIO_PURGE_DAYS),
        ({ResourceKind.MESSAGE}, "message-numbers", TWILIO_NUMBERS_DAYS),
    )
    for gone, what, days in purges:
        if kinds & {str(kind) for kind in gone}:
            lines.append(_line(System.TWILIO, what, Why.PURGE, until(days), "Twilio"))
    return lines


def _line(system: str, kind: str, why: str, until: datetime | None, rule: str) -> dict[str, Any]:
    return {
        "system": str(system),
        "kind": kind,
        "why": str(why),
        **({"until": moments.to_text(until)} if until is not None else {}),
        **({"rule": rule} if rule else {}),
    }


def gone_by(made_at: datetime, days: int) -> datetime:
    """Return when the lifecycle rule of a class has removed an old version of something made at a moment."""
    steps = 2 * (1 + S3_LAG_DAYS) + NONCURRENT_DAYS
    return made_at + timedelta(days=days + steps)


@dataclass(frozen=True, slots=True)
class Signed:
    """A proof as it is kept: the exact text that was signed, the signature (DER), the public key (DER) and its ARN."""

    text: str
    signature: bytes
    public_key: bytes
    key: str

    def to_json(self) -> str:
        """Return it as the file that is given away."""
        return canonical_json(
            {
                "proof": self.text,
                "signature": {
                    "algorithm": ALGORITHM,
                    "key": self.key,
                    "public_key": pem(self.public_key),
                    "value": base64.b64encode(self.signature).decode("ascii"),
                },
            }
        )


class ProofError(ValueError):
    """A file is no proof of erasure, as the message says."""


def read_proof(text: str) -> tuple[Signed, dict[str, Any]]:
    """Return what a proof's file holds, and the document in it. Nothing is verified. Raises ProofError."""
    try:
        raw = json.loads(text)
        signature = raw["signature"]
        body = "".join(signature["public_key"].split("-----")[2].split())
        signed = Signed(
            raw["proof"],
            base64.b64decode(signature["value"], validate=True),
            base64.b64decode(body, validate=True),
            signature["key"],
        )
        algorithm, document = signature["algorithm"], json.loads(signed.text)
        schema = document["schema"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise ProofError("is no proof of erasure") from None
    if schema != SCHEMA:
        raise ProofError(f"is a proof of another version than {SCHEMA}")
    if algorithm != ALGORITHM:
        raise ProofError(f"is signed by another algorithm than {ALGORITHM}")
    return signed, document


def pem(der: bytes) -> str:
    """Return a public key (DER, SubjectPublicKeyInfo) as PEM (RFC 7468)."""
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"
