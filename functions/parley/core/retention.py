"""The retention schedule: one declared number of days for each record class, and everything that follows from it.

The stack declares `parley:records`; `parse_schedule` turns it into a `Schedule` or reports every problem at once.
Days count from the moment a record is written. `keepDays` is the maximum: a class without one would be kept
"because nobody thought of it", which the best practice this kit carries out forbids (requirement R24: do not keep
records that are not needed).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeGuard, TypeVar

from parley.core.record_classes import RecordClass

LOG_GROUP_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545),
    *(731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""The retention periods that CloudWatch Logs accepts (PutRetentionPolicy, `retentionInDays`)."""

QUEUE_DAYS_LIMIT = 14
"""The longest retention of an SQS queue (SetQueueAttributes, `MessageRetentionPeriod`)."""

KEEP_DAYS_LIMIT = 36_500
"""A hundred years: a longer period is no maximum that anybody living could check."""

NONCURRENT_DAYS = 1
"""Days that S3 keeps a version after it was deleted or overwritten: the shortest period that S3 has."""

ABANDONED_UPLOAD_DAYS = 1
"""Days after which S3 drops the parts of an upload that was never completed: the shortest period that S3 has."""

DECLARATIONS = "declarations"
"""Prefix in the evidence bucket, and id of its rule, for what each deployment declared: it names no person.

The current declaration stays as long as the stack; those before it stay as long as the evidence made under them.
"""

CURRENT_DECLARATION = f"{DECLARATIONS}/current.json"
"""Key of the declaration of the last deployment."""

REMNANTS_RULE = "expired-object-delete-marker"
"""Id of the bucket-wide rule for delete markers and abandoned uploads.

S3 refuses `ExpiredObjectDeleteMarker` beside `Days` in one rule, so it is a rule of its own.
"""


class Lock(StrEnum):
    """How firmly a record is protected from deletion before its time (S3 Object Lock modes)."""

    NONE = "none"
    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


class Basis(StrEnum):
    """The legal basis on which a class is kept (GDPR art. 6(1))."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    LEGITIMATE_INTEREST = "legitimate_interest"


class Capture(StrEnum):
    """What a recording class captures: everything, everything but payment details, or nothing."""

    ALWAYS = "always"
    PAUSE = "pause"
    NONE = "none"


class Sensitivity(StrEnum):
    """How much harm a leak of the class would do (requirement R20: secure records according to sensitivity)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Store(StrEnum):
    """A place where records live."""

    CONTENT = "content"  # S3 bucket, one prefix for each class
    EVIDENCE = "evidence"  # S3 bucket that can hold an Object Lock, one prefix for each class
    ACCESS_LOGS = "access-logs"  # S3 bucket, whole
    LEDGER = "ledger"  # DynamoDB table, TTL attribute
    GATEWAY_LOGS = "gateway-logs"  # log group of the HTTP API
    FUNCTION_LOGS = "function-logs"  # log groups of the functions
    DEAD_LETTERS = "dead-letters"  # SQS queues
    TWILIO = "twilio"  # the carrier's own copy


STORES: Mapping[RecordClass, tuple[Store, ...]] = {
    RecordClass.CALL_RECORDINGS: (Store.CONTENT, Store.TWILIO),
    RecordClass.VIDEO_RECORDINGS: (Store.CONTENT, Store.TWILIO),
    RecordClass.MESSAGES: (Store.CONTENT, Store.TWILIO),
    RecordClass.MESSAGE_MEDIA: (Store.CONTENT, Store.TWILIO),
    RecordClass.TRANSCRIPTS: (Store.CONTENT, Store.TWILIO),
    RecordClass.INTERACTION_LOG: (Store.LEDGER, Store.TWILIO),
    RecordClass.SESSION_MAP: (Store.LEDGER, Store.TWILIO),
    RecordClass.CONSENT_EVIDENCE: (Store.LEDGER, Store.EVIDENCE),
    RecordClass.ACCESS_LOGS: (Store.ACCESS_LOGS, Store.GATEWAY_LOGS),
    RecordClass.OPERATIONAL_LOGS: (Store.FUNCTION_LOGS,),
    RecordClass.DEAD_LETTERS: (Store.DEAD_LETTERS,),
    RecordClass.ERASURE_PROOFS: (Store.EVIDENCE,),
}
"""Every class and the places it lives in."""

BUCKETS = frozenset({Store.CONTENT, Store.EVIDENCE, Store.ACCESS_LOGS})
LOG_GROUPS = frozenset({Store.GATEWAY_LOGS, Store.FUNCTION_LOGS})

CONTENT = frozenset(record_class for record_class, stores in STORES.items() if Store.CONTENT in stores)
"""What people said, wrote or sent: the classes that exist only because consent was given."""

RECORDINGS = frozenset({RecordClass.CALL_RECORDINGS, RecordClass.VIDEO_RECORDINGS})

HOLDABLE = frozenset({Store.CONTENT, Store.EVIDENCE, Store.LEDGER})
"""Where a legal hold can stop a deletion: S3 Object Lock has legal holds, a row can lose its time to live."""

LOCKS: Mapping[str, frozenset[Lock]] = {
    "local": frozenset({Lock.NONE, Lock.GOVERNANCE}),  # a throw-away cloud
    "dev": frozenset({Lock.NONE}),  # a locked bucket cannot be taken down with its stack
    "staging": frozenset({Lock.NONE, Lock.GOVERNANCE}),
    "prod": frozenset({Lock.NONE, Lock.GOVERNANCE}),
}
"""Every environment and the locks it allows; `prod` allows compliance too, with the stack's explicit opt-in."""

CHANNELS: Mapping[str, frozenset[RecordClass]] = {
    "voice": frozenset({RecordClass.CALL_RECORDINGS, RecordClass.TRANSCRIPTS}),
    "video": frozenset({RecordClass.VIDEO_RECORDINGS, RecordClass.TRANSCRIPTS}),
    "sms": frozenset({RecordClass.MESSAGES, RecordClass.MESSAGE_MEDIA}),
    "chat": frozenset({RecordClass.MESSAGES, RecordClass.MESSAGE_MEDIA}),
}
"""Every channel and the classes that a stack with that channel must declare, beside those that all stacks need."""

ALWAYS_REQUIRED = frozenset(RecordClass) - CONTENT


@dataclass(frozen=True, slots=True)
class Duty:
    """A rule of a sector that bounds how long a class is kept.

    `min_days` and `max_days` are whole years with every leap day they can contain, so that no period falls short.
    """

    id: str
    classes: frozenset[RecordClass]
    min_days: int | None = None
    max_days: int | None = None


_THREE_YEARS, _FIVE_YEARS, _SIX_YEARS = 1096, 1827, 2192

_BROKER_DEALER_COMMUNICATIONS = Duty(
    "SEC 17a-4(b)(4)",
    frozenset({RecordClass.MESSAGES, RecordClass.MESSAGE_MEDIA}),
    min_days=_THREE_YEARS,
)

SECTORS: Mapping[str, tuple[Duty, ...]] = {
    "none": (),
    # PCI DSS 3.3.1 bounds what is captured, not how long: see `_check_payment_details`.
    "pci": (),
    "hipaa": (
        Duty(
            "HIPAA 164.316(b)(2)(i)",
            frozenset({RecordClass.CONSENT_EVIDENCE, RecordClass.ERASURE_PROOFS}),
            min_days=_SIX_YEARS,
        ),
    ),
    "finra": (
        _BROKER_DEALER_COMMUNICATIONS,
        Duty(
            "FINRA 4511",
            frozenset({RecordClass.INTERACTION_LOG, RecordClass.CONSENT_EVIDENCE}),
            min_days=_SIX_YEARS,
        ),
    ),
    "sec17a4": (_BROKER_DEALER_COMMUNICATIONS,),
    "mifid2": (
        Duty(
            "MiFID II 16(7)",
            frozenset(
                {
                    RecordClass.CALL_RECORDINGS,
                    RecordClass.VIDEO_RECORDINGS,
                    RecordClass.MESSAGES,
                    RecordClass.MESSAGE_MEDIA,
                }
            ),
            min_days=_FIVE_YEARS,
        ),
    ),
    "tsr": (
        Duty(
            "TSR 16 CFR 310.5",
            frozenset({RecordClass.CONSENT_EVIDENCE, RecordClass.INTERACTION_LOG}),
            min_days=_FIVE_YEARS,
        ),
    ),
}
"""Every sector that a stack can name, and the periods that the sector's rules demand."""

ROOT = "parley:records"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with a declaration: where, what, and the way out."""

    key: str
    reason: str
    way_out: str

    def __str__(self) -> str:
        """Return the problem as one line for a person."""
        return f"{self.key}: {self.reason}; {self.way_out}"


class ScheduleError(ValueError):
    """The declaration cannot be carried out. `problems` holds every reason found, in the order of the classes."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Retention:
    """What is declared for one record class. All periods are in days."""

    record_class: RecordClass
    keep_days: int
    purposes: tuple[str, ...]
    basis: Basis
    why: str = ""
    min_days: int | None = None
    min_why: str = ""
    max_days: int | None = None
    max_why: str = ""
    twilio_copy_days: int = 0
    lock: Lock = Lock.NONE
    hold: bool = False
    sensitivity: Sensitivity = Sensitivity.MEDIUM
    capture: Capture = Capture.ALWAYS

    @property
    def stores(self) -> tuple[Store, ...]:
        """The places where the class lives."""
        return STORES[self.record_class]

    def days_in(self, store: Store) -> int:
        """Return how many days a record of this class stays in `store`.

        Raises KeyError if the class does not live there.
        """
        if store not in self.stores:
            raise KeyError(f"{self.record_class} does not live in {store}")
        return self.twilio_copy_days if store is Store.TWILIO else self.keep_days


@dataclass(frozen=True, slots=True)
class Schedule:
    """A declaration that can be carried out: every class that the stack needs, once."""

    retentions: Mapping[RecordClass, Retention]
    channels: tuple[str, ...] = ()
    sectors: tuple[str, ...] = ()

    def __getitem__(self, record_class: RecordClass | str) -> Retention:
        """Return what is declared for a class. Raises KeyError if the stack does not declare it."""
        return self.retentions[RecordClass(record_class)]

    def days(self, record_class: RecordClass | str) -> int:
        """Return the declared `keepDays` of a class. Raises KeyError if the stack does not declare it."""
        return self[record_class].keep_days

    def days_in(self, record_class: RecordClass | str, store: Store) -> int:
        """Return the days of a class in one store. Raises KeyError if it is not declared or does not live there."""
        return self[record_class].days_in(store)

    def living_in(self, store: Store) -> tuple[Retention, ...]:
        """Return the declared classes that live in `store`, sorted by class id."""
        living = (retention for retention in self.retentions.values() if store in retention.stores)
        return tuple(sorted(living, key=lambda retention: retention.record_class))

    def keep_days(self) -> dict[str, int]:
        """Return class id -> keepDays, sorted by class id: what the functions need to set a TTL."""
        return {str(record_class): self.days(record_class) for record_class in sorted(self.retentions)}

    def lock(self) -> tuple[Lock, int]:
        """Return the Object Lock mode that the evidence bucket needs by default, and its days.

        The strictest mode of its classes counts, and the shortest period: a default lock must never hold a
        record of another class beyond that class's own time.
        """
        locked = [retention for retention in self.living_in(Store.EVIDENCE) if retention.lock is not Lock.NONE]
        if not locked:
            return Lock.NONE, 0
        strictness = list(Lock)
        mode = max((retention.lock for retention in locked), key=strictness.index)
        return mode, min(retention.keep_days for retention in self.living_in(Store.EVIDENCE))


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One rule of a bucket's lifecycle configuration. A period of None leaves that action out."""

    id: str
    prefix: str
    expiration_days: int | None = None
    noncurrent_days: int | None = None
    expired_object_delete_marker: bool = False
    abort_incomplete_days: int | None = None


def lifecycle_rules(schedule: Schedule, store: Store) -> tuple[LifecycleRule, ...]:
    """Return the lifecycle rules of one bucket, sorted by id.

    One rule for each class that lives in the bucket, its id the class's id, so that adding or removing a class
    leaves every other rule equal; and one rule for what expiry itself leaves behind.
    Raises ValueError if `store` is not a bucket.
    """
    if store not in BUCKETS:
        raise ValueError(f"{store} is not a bucket; buckets are {', '.join(sorted(BUCKETS))}")
    rules = [
        LifecycleRule(
            id=str(retention.record_class),
            # The access-log bucket holds one class only, so whatever lands there expires, under any prefix.
            prefix="" if store is Store.ACCESS_LOGS else f"{retention.record_class}/",
            expiration_days=retention.days_in(store),
            noncurrent_days=NONCURRENT_DAYS,
        )
        for retention in schedule.living_in(store)
    ]
    if store is Store.EVIDENCE and RecordClass.CONSENT_EVIDENCE in schedule.retentions:
        keep_days = schedule.days(RecordClass.CONSENT_EVIDENCE)
        rules.append(LifecycleRule(id=DECLARATIONS, prefix=f"{DECLARATIONS}/", noncurrent_days=keep_days))
    rules.append(
        LifecycleRule(
            id=REMNANTS_RULE,
            prefix="",
            expired_object_delete_marker=True,
            abort_incomplete_days=ABANDONED_UPLOAD_DAYS,
        )
    )
    return tuple(sorted(rules, key=lambda rule: rule.id))


def check_lock_change(schedule: Schedule, was: tuple[Lock, int], wanted: tuple[Lock, int]) -> Problem | None:
    """Return what is wrong with a change of the evidence bucket's default lock, mode and days, or None.

    A compliance lock holds each version until its own day, whatever is declared later (S3 User Guide, "Object Lock"):
    a shorter period or a weaker mode would be a promise that S3 does not keep for what is already there.
    """
    (mode, days), (new_mode, new_days) = was, wanted
    if mode is not Lock.COMPLIANCE:
        return None
    key, what = ROOT, f"versions are locked in compliance mode for {days} days, and nobody can undo that"
    if new_mode is not Lock.COMPLIANCE:
        evidence = schedule.living_in(Store.EVIDENCE)
        strictest = max(evidence, key=lambda retention: list(Lock).index(retention.lock), default=None)
        key = f"{ROOT}.{strictest.record_class}.lock" if strictest else ROOT
        return Problem(
            key, f"is {new_mode}, but {what}", "leave it at compliance, or deploy a new stack beside this one"
        )
    if new_days < days:
        shortest = min(schedule.living_in(Store.EVIDENCE), key=lambda retention: retention.keep_days)
        key = f"{ROOT}.{shortest.record_class}.keepDays"
        return Problem(
            key, f"is {new_days}, but {what}", f"keep at least {days}, or deploy a new stack beside this one"
        )
    return None


def required_classes(channels: Iterable[str]) -> frozenset[RecordClass]:
    """Return the classes that a stack with these channels must declare. Unknown channels add none."""
    return ALWAYS_REQUIRED.union(*(CHANNELS.get(channel, frozenset()) for channel in channels))


def parse_schedule(
    raw: object,
    *,
    channels: Iterable[str],
    sector: str | Iterable[str] = "none",
    environment: str,
    allow_compliance_lock: bool = False,
) -> Schedule:
    """Turn the declaration of `parley:records` into a schedule that can be carried out.

    `raw` maps class ids to their keys. `channels` decides which classes must be there. `sector` is one sector or
    several; each adds its floors and ceilings. `allow_compliance_lock` is the stack's own opt-in to a lock that
    nobody, not even the account's root, can undo; it counts in `prod` only.
    Raises ScheduleError with every problem found.
    """
    channels = tuple(channels)
    sectors = (sector,) if isinstance(sector, str) else tuple(sector)
    problems = [
        *_unknown_names(channels, CHANNELS, key="parley:channels", kind="channel"),
        *_unknown_names(sectors, SECTORS, key="parley:sector", kind="sector"),
    ]
    if not isinstance(raw, Mapping):
        raise ScheduleError([*problems, Problem(ROOT, "is not a mapping of record classes", "declare one key a class")])
    problems += _unknown_names(
        [str(name) for name in raw], list(RecordClass), key=ROOT, kind="record class", child=True
    )
    retentions: dict[RecordClass, Retention] = {}
    required = required_classes(channels)
    locks = LOCKS.get(environment, LOCKS["dev"])
    if allow_compliance_lock and environment == "prod":
        locks |= {Lock.COMPLIANCE}
    for record_class in RecordClass:
        if record_class not in raw:
            if record_class in required:
                problems.append(
                    Problem(
                        f"{ROOT}.{record_class}",
                        f"is missing, and a stack with {_listed(channels)} makes such records",
                        "declare how long they are kept: {keepDays: …, purposes: […], basis: …}",
                    )
                )
            continue
        reader = _ClassReader(record_class, raw[record_class], locks=locks, environment=environment)
        retention = reader.read()
        problems += reader.problems
        if retention is not None:
            retentions[record_class] = retention
            problems += _check_bounds(retention, sectors)
            problems += _check_payment_details(retention, sectors)
    problems += _check_content_is_outlived(retentions)
    if problems:
        raise ScheduleError(problems)
    return Schedule(retentions, channels, sectors)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "no channel"


def _suggestion(name: str, known: Iterable[str]) -> str:
    known = [str(choice) for choice in known]
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"


def _unknown_names(
    names: Iterable[str], known: Iterable[str], *, key: str, kind: str, child: bool = False
) -> list[Problem]:
    choices = {str(choice) for choice in known}
    return [
        Problem(f"{key}.{name}" if child else key, f"{name!r} is not a {kind}", _suggestion(name, choices))
        for name in names
        if name not in choices
    ]


_Choice = TypeVar("_Choice", bound=StrEnum)

_KEYS = (
    *("keepDays", "purposes", "basis", "why", "minDays", "minWhy", "maxDays", "maxWhy"),
    *("twilioCopyDays", "lock", "hold", "sensitivity", "capture"),
)


@dataclass(slots=True)
class _ClassReader:
    """Reads the keys of one class and collects what is wrong with them."""

    record_class: RecordClass
    raw: object
    locks: frozenset[Lock]
    environment: str
    problems: list[Problem] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{ROOT}.{self.record_class}"

    def problem(self, name: str, reason: str, way_out: str) -> None:
        self.problems.append(Problem(f"{self.key}.{name}", reason, way_out))

    def read(self) -> Retention | None:
        """Return the class, or None if its period is unknown; `problems` tells why."""
        if not isinstance(self.raw, Mapping):
            self.problems.append(
                Problem(self.key, "is not a mapping", "write {keepDays: …, purposes: […], basis: …}"),
            )
            return None
        raw: Mapping[object, object] = self.raw
        self.problems += _unknown_names([str(key) for key in raw], _KEYS, key=self.key, kind="key", child=True)
        keep_days = self.keep_days(raw)
        retention = Retention(
            record_class=self.record_class,
            keep_days=keep_days or 0,
            purposes=self.purposes(raw.get("purposes")),
            basis=self.choice(raw, "basis", Basis, None),
            why=self.text(raw, "why"),
            min_days=self.optional_days(raw, "minDays", least=1),
            min_why=self.text(raw, "minWhy"),
            max_days=self.optional_days(raw, "maxDays", least=1),
            max_why=self.text(raw, "maxWhy"),
            twilio_copy_days=self.optional_days(raw, "twilioCopyDays", least=0) or 0,
            lock=self.choice(raw, "lock", Lock, Lock.NONE),
            hold=self.hold(raw.get("hold", False)),
            sensitivity=self.choice(
                raw,
                "sensitivity",
                Sensitivity,
                Sensitivity.HIGH if self.record_class in CONTENT else Sensitivity.MEDIUM,
            ),
            capture=self.choice(raw, "capture", Capture, Capture.ALWAYS),
        )
        self.check_reasons(retention)
        self.check_lock(retention)
        if retention.hold and HOLDABLE.isdisjoint(retention.stores):
            holdable = sorted(name for name, stores in STORES.items() if not HOLDABLE.isdisjoint(stores))
            self.problem("hold", "is true, but nothing can hold records of this class", f"hold {_listed(holdable)}")
        if "capture" in raw and self.record_class not in RECORDINGS:
            self.problem("capture", "nothing of this class is recorded", f"set it on {_listed(sorted(RECORDINGS))}")
        if keep_days is None:
            return None
        self.check_twilio_copy(retention)
        self.check_platform(retention)
        return retention

    def keep_days(self, raw: Mapping[object, object]) -> int | None:
        value = raw.get("keepDays")
        if value is None:
            self.problem("keepDays", "is missing: no class is kept without a maximum (R24)", "set a number of days")
            return None
        return self.days("keepDays", value, least=1)

    def optional_days(self, raw: Mapping[object, object], name: str, *, least: int) -> int | None:
        value = raw.get(name)
        return None if value is None else self.days(name, value, least=least)

    def days(self, name: str, value: object, *, least: int) -> int | None:
        """Return a number of days from `least` to a hundred years, or None and a problem."""
        kind = "a positive whole number" if least else "a whole number from 0"
        if isinstance(value, bool) or not isinstance(value, int):
            way_out = f"write {int(value)} without quotes" if _is_digits(value) else f"set {kind}"
            self.problem(name, f"is not {kind} of days", way_out)
            return None
        if value < least:
            self.problem(name, f"is {value}: zero or less does not mean for ever here (R24)", f"set {kind}")
            return None
        if value > KEEP_DAYS_LIMIT:
            self.problem(name, f"is {value} days, which nobody will see the end of (R24)", "set a real maximum")
            return None
        return value

    def purposes(self, value: object) -> tuple[str, ...]:
        if isinstance(value, list | tuple) and value and all(isinstance(item, str) and item.strip() for item in value):
            if len(set(value)) == len(value):
                return tuple(value)
            self.problem("purposes", "names a purpose twice", "name each once")
        else:
            self.problem("purposes", "is not a list of at least one purpose", "name what the records are for")
        return ()

    def choice(self, raw: Mapping[object, object], name: str, kind: type[_Choice], default: _Choice | None) -> _Choice:
        """Return one of an enumeration's values; a key without a default must be there."""
        value = raw.get(name, default)
        choices = [str(choice) for choice in kind]
        if isinstance(value, str) and value in choices:
            return kind(value)
        if value is None:
            self.problem(name, "is missing", f"choose one of {', '.join(choices)}")
        else:
            self.problem(name, f"is unknown: {value!r}", _suggestion(str(value), choices))
        return default or next(iter(kind))

    def text(self, raw: Mapping[object, object], name: str) -> str:
        value = raw.get(name, "")
        if not isinstance(value, str):
            self.problem(name, "is not text", "write a sentence")
            return ""
        return value.strip()

    def hold(self, value: object) -> bool:
        if not isinstance(value, bool):
            self.problem("hold", "is neither true nor false", "write true if a legal hold may stop its deletion")
        return value is True

    def check_reasons(self, retention: Retention) -> None:
        """Check that what binds somebody says why."""
        bounds = {
            "minDays": (retention.min_days, retention.min_why),
            "maxDays": (retention.max_days, retention.max_why),
        }
        for name, (days, why) in bounds.items():
            if days is not None and not (why or retention.why):
                self.problem(name, "has no reason", f"name the rule it comes from in {name[:3]}Why or why")
        if retention.lock is not Lock.NONE and not retention.why:
            self.problem("why", "is missing, and a lock needs a reason", "name the rule that demands the lock")

    def check_lock(self, retention: Retention) -> None:
        if retention.lock is Lock.NONE:
            return
        if Store.EVIDENCE not in retention.stores:
            lockable = sorted(name for name, stores in STORES.items() if Store.EVIDENCE in stores)
            self.problem(
                "lock", "cannot be held: the class is in no bucket with Object Lock", f"lock {_listed(lockable)}"
            )
        if retention.lock is Lock.COMPLIANCE and retention.lock not in self.locks:
            self.problem(
                "lock",
                "is compliance, which nobody can undo before its time, not even by closing the stack",
                "use governance, or opt in explicitly in the prod environment",
            )
        elif retention.lock not in self.locks:
            self.problem(
                "lock",
                f"is {retention.lock}, and a locked bucket could not be taken down with a stack of {self.environment}",
                "leave it out here, and lock in staging and prod",
            )

    def check_twilio_copy(self, retention: Retention) -> None:
        days = retention.twilio_copy_days
        if days and Store.TWILIO not in retention.stores:
            self.problem("twilioCopyDays", f"is {days}, but Twilio keeps nothing of this class", "leave it out")
        elif days > retention.keep_days:
            self.problem(
                "twilioCopyDays",
                f"is {days}, so the copy at Twilio would outlive the class (keepDays {retention.keep_days})",
                f"set at most {retention.keep_days}",
            )

    def check_platform(self, retention: Retention) -> None:
        days = retention.keep_days
        if LOG_GROUPS.isdisjoint(retention.stores) or days in LOG_GROUP_DAYS:
            return
        below = [choice for choice in LOG_GROUP_DAYS if choice < days][-1:]
        above = [choice for choice in LOG_GROUP_DAYS if choice > days][:1]
        nearest = " or ".join(str(choice) for choice in below + above)
        self.problem("keepDays", f"is {days}, a period that CloudWatch Logs does not have", f"nearest: {nearest}")


def _is_digits(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isascii() and value.isdigit()


@dataclass(frozen=True, slots=True)
class Limit:
    """A least or greatest number of days, and the rule that it comes from."""

    days: int
    rule: str


def floors(retention: Retention, sectors: Iterable[str]) -> tuple[Limit, ...]:
    """Return every least period of a class, the longest first: those of its sectors and the declared one."""
    found = [Limit(duty.min_days, duty.id) for duty in _duties(retention, sectors) if duty.min_days is not None]
    if retention.min_days is not None:
        found.append(Limit(retention.min_days, _named("minDays", retention.min_why or retention.why)))
    return tuple(sorted(found, key=lambda limit: -limit.days))


def ceilings(retention: Retention, sectors: Iterable[str]) -> tuple[Limit, ...]:
    """Return every greatest period of a class, the shortest first: of its sectors, the declared one, the platform's."""
    found = [Limit(duty.max_days, duty.id) for duty in _duties(retention, sectors) if duty.max_days is not None]
    if retention.max_days is not None:
        found.append(Limit(retention.max_days, _named("maxDays", retention.max_why or retention.why)))
    if Store.DEAD_LETTERS in retention.stores:
        found.append(Limit(QUEUE_DAYS_LIMIT, "the longest that SQS keeps a message"))
    return tuple(sorted(found, key=lambda limit: limit.days))


def _duties(retention: Retention, sectors: Iterable[str]) -> list[Duty]:
    in_force = (duty for sector in sectors for duty in SECTORS.get(sector, ()))
    return [duty for duty in in_force if retention.record_class in duty.classes]


def _check_bounds(retention: Retention, sectors: Iterable[str]) -> list[Problem]:
    """Hold the declared period against every floor and every ceiling that concerns the class."""
    floor = next(iter(floors(retention, sectors)), None)
    ceiling = next(iter(ceilings(retention, sectors)), None)
    key = f"{ROOT}.{retention.record_class}"
    if floor and ceiling and floor.days > ceiling.days:
        return [
            Problem(
                key,
                f"two rules collide: {floor.rule} asks for at least {floor.days} days,"
                f" {ceiling.rule} allows at most {ceiling.days}",
                "no keepDays satisfies both: change one, with counsel",
            )
        ]
    if floor and retention.keep_days < floor.days:
        reason = f"is {retention.keep_days}, less than the {floor.days} days of {floor.rule}"
        return [Problem(f"{key}.keepDays", reason, f"set at least {floor.days}")]
    if ceiling and retention.keep_days > ceiling.days:
        reason = f"is {retention.keep_days}, more than the {ceiling.days} days of {ceiling.rule}"
        return [Problem(f"{key}.keepDays", reason, f"set at most {ceiling.days}")]
    return []


def _named(key: str, why: str) -> str:
    return f"{key} ({why})" if why else key


def _check_payment_details(retention: Retention, sectors: Iterable[str]) -> list[Problem]:
    """Check PCI DSS 3.3.1: card security codes must not be kept after authorisation, not even encrypted in audio."""
    if "pci" not in sectors or retention.record_class not in RECORDINGS or retention.capture is not Capture.ALWAYS:
        return []
    return [
        Problem(
            f"{ROOT}.{retention.record_class}.capture",
            "is always, and PCI DSS 3.3.1 forbids to record card security codes",
            "set pause (recording pauses while a card is read out) or none",
        )
    ]


def _check_content_is_outlived(retentions: Mapping[RecordClass, Retention]) -> list[Problem]:
    """Check that what tells about content is not gone before it: the proof of consent, and what finds it.

    Consent has to be proven as long as what was captured under it is there (GDPR art. 7(1)); an erasure and a legal
    hold find a person's recordings by the interaction log.
    """
    content = [retention for retention in retentions.values() if retention.record_class in CONTENT]
    lost = {
        RecordClass.CONSENT_EVIDENCE: "the proof of consent is gone before {} that were made under it",
        RecordClass.INTERACTION_LOG: "an erasure or a legal hold would not find {} of its last days",
    }
    problems = []
    for record_class, what in lost.items():
        held = retentions.get(record_class)
        longest = max(content, key=lambda retention: retention.keep_days, default=None)
        if held is None or longest is None or longest.keep_days <= held.keep_days:
            continue
        named = f"{longest.record_class} ({longest.keep_days} days)"
        problems.append(
            Problem(
                f"{ROOT}.{record_class}.keepDays",
                f"is {held.keep_days}, so {what.format(named)}",
                f"set at least {longest.keep_days}",
            )
        )
    return problems
