"""The bound: for every record class the latest moment at which any copy of a record can still exist.

A schedule says when records *should* go. This module adds up when the last copy *can* go, from the same rules that
`retention.lifecycle_rules` gives to S3: one `Path` for each copy, each path a sum of `Term`s with their sources. The
bound of a class is its longest path, in whole days after the record was made.

Most terms follow from what is declared. The others are what no service promises, so they are `Assumptions` with a name:
- S3 runs lifecycle rules once a day and asynchronously. AWS: there may be days or even weeks between an object's
  expiry and its removal.
- DynamoDB removes expired items on a best-effort basis. AWS: typically within a few days of their expiration (the API
  reference still says two days).
- CloudWatch Logs typically takes up to 72 hours to delete an expired event. AWS: in rare situations longer.
- S3 delivers server access logs on a best-effort basis. AWS: most lines within a few hours.
- Twilio may need 14 days until a call or message can be deleted; the sweeper asks for the deletion, and asks again. It
  runs every hour; that its queue is never longer than a day is what the metric SweepBacklogHours watches.
A bound holds as far as its assumptions do. It says nothing about copies that somebody makes outside the kit (a restored
table, a download, an export, a longer lock on one object), about requests that name a key after its record has gone
(such a line, or such a delete marker, is counted from that request), or about Twilio's own alerts and billing records,
which cannot be deleted.
A legal hold suspends it. What was held longer than its bound is gone some days after the release, because a deletion
that was due long ago still has to be carried out; each path says how many (`Path.after_release`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from parley.core.chains import COPY_WITHIN
from parley.core.record_classes import RecordClass
from parley.core.retention import BUCKETS, LOG_GROUPS, LifecycleRule, Lock, Schedule, Store, lifecycle_rules

_S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"
_DYNAMODB = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide"
_TWILIO_OPENAPI = "https://github.com/twilio/twilio-oai (x-twilio.pii.deleteSla)"

DECLARED = "parley:records"
S3_ROUNDING = f"{_S3}/intro-lifecycle-rules.html"
S3_DELAY = f"{_S3}/how-to-set-lifecycle-configuration-intro.html"
S3_MARKERS = f"{_S3}/lifecycle-expire-general-considerations.html"
S3_UPLOADS = f"{_S3}/mpu-abort-incomplete-mpu-lifecycle-config.html"
S3_LOCK = f"{_S3}/object-lock.html"
S3_LOGS = f"{_S3}/ServerLogs.html"
DYNAMODB_TTL = f"{_DYNAMODB}/TTL.html"
DYNAMODB_PITR = f"{_DYNAMODB}/Point-in-time-recovery.html"
DYNAMODB_STREAMS = f"{_DYNAMODB}/Streams.html"
LOGS_DELAY = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html"
LAMBDA_EVENTS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"
SQS_RETENTION = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html"
TWILIO_RETRY = "https://www.twilio.com/docs/api/errors/20009"
TWILIO_RECORDING = "https://www.twilio.com/en-us/changelog/fetch-deleted-call-recording-metadata-"

S3_LAG_DAYS = 14
"""How late S3 may act on a rule: AWS speaks of "days or even weeks"."""

TTL_LAG_DAYS = 7
"""How late DynamoDB may remove an expired item: AWS speaks of "a few days"."""

LOG_LAG_DAYS = 3
"""How late CloudWatch Logs may delete an expired event: AWS says typically up to 72 hours."""

LOG_DELIVERY_DAYS = 1
"""How late a server access log may be delivered: AWS says mostly within a few hours."""

LATE_CLOSE_DAYS = 1
"""How late the reconciler, which runs every minute, may close a session whose time is over."""

SWEEP_DAYS = 1
"""How late the sweeper, which runs every hour, may ask for a deletion: its queue may be long, and what was held is
judged again twice a day."""

DELETION_RETRY_DAYS = 14
"""How long Twilio may refuse to delete a call or message that it has not finalised (error 20009)."""

STREAM_DAYS = 1
"""How long DynamoDB keeps a stream record: 24 hours."""

DELETED_TABLE_DAYS = 35
"""How long DynamoDB keeps the backup that it makes when a table with point-in-time recovery is deleted."""

EVENT_DAYS = 1
"""How long an event waits in Lambda before it becomes a dead letter: six hours, in whole days."""

TWILIO_METADATA_DAYS = 40
"""How long Twilio shows the metadata of a deleted recording."""

TWILIO_PURGE_DAYS = 30
"""How long Twilio may take to purge a deleted message's body or a deleted resource of Proxy."""

TWILIO_NUMBERS_DAYS = 120
"""How long Twilio may take to purge the numbers of a deleted message's sender and addressee."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the bound takes for granted, in days.

    The first two are the stack's own: its longest session (`parley:session.ttl`) and the point-in-time window of its
    table (`parley:protection.pointInTimeDays`). `table_protected` says that the table cannot be deleted by mistake, so
    that no backup of a deleted table has to be reckoned with. The others are what services do not promise.
    """

    session_days: int = 30
    point_in_time_days: int = 35
    table_protected: bool = True
    s3_lag_days: int = S3_LAG_DAYS
    ttl_lag_days: int = TTL_LAG_DAYS
    log_lag_days: int = LOG_LAG_DAYS
    log_delivery_days: int = LOG_DELIVERY_DAYS
    late_close_days: int = LATE_CLOSE_DAYS
    deletion_retry_days: int = DELETION_RETRY_DAYS
    copy_days: int = COPY_WITHIN.days
    sweep_days: int = SWEEP_DAYS


DEFAULT = Assumptions()


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a path: what takes the time, how many days at most, and who says so (a page or a setting)."""

    what: str
    days: int
    source: str


@dataclass(frozen=True, slots=True)
class Path:
    """One copy of a record and how it goes. `content` False: what is left is a name or metadata, not the record.

    `after_release` is how it goes when it is overdue at the release of a legal hold; empty where nothing can be held.
    """

    copy: str
    terms: tuple[Term, ...]
    content: bool = True
    after_release: tuple[Term, ...] = ()

    @property
    def days(self) -> int:
        """The latest day after the record was made on which this copy can still exist."""
        return sum(term.days for term in self.terms)

    @property
    def release_days(self) -> int:
        """The latest day after the release of a legal hold on which this copy can still exist, if it is overdue."""
        return sum(term.days for term in self.after_release)


@dataclass(frozen=True, slots=True)
class AbsentCopy:
    """A copy that the bound does not count because the deployment makes none; `why` says how that is known."""

    copy: str
    why: str


ABSENT = (
    AbsentCopy("S3 replica", "no bucket has a replication configuration, and `parley verify` fails when one has"),
    AbsentCopy("S3 inventory report", "no bucket has an inventory, and `parley verify` fails when one has"),
    AbsentCopy("DynamoDB replica", "the table is in one region, and `parley verify` fails when it is in more"),
    AbsentCopy("DynamoDB backup on demand", "nothing makes one, and `parley verify` fails when there is one"),
)


@dataclass(frozen=True, slots=True)
class Bound:
    """All copies of one record class. `hold`: a legal hold may be placed on it, and suspends the bound meanwhile.

    A copy under hold is gone `days` after the record was made or `release_days` after the release, whichever is later.
    """

    record_class: RecordClass
    paths: tuple[Path, ...]
    hold: bool

    @property
    def longest(self) -> Path:
        """The copy that goes last; the first of equals."""
        return max(self.paths, key=lambda path: path.days)

    @property
    def days(self) -> int:
        """The latest day after the record was made on which any copy of it can still exist."""
        return self.longest.days

    @property
    def content_days(self) -> int:
        """The same for the record itself, without names and metadata."""
        return max(path.days for path in self.paths if path.content)

    @property
    def release_days(self) -> int:
        """The latest day after the release of a legal hold on which any overdue copy can still exist."""
        return max(path.release_days for path in self.paths)


def bound(schedule: Schedule, record_class: RecordClass | str, assumptions: Assumptions = DEFAULT) -> Bound:
    """Return the bound of one class.

    The schedule must declare `access-logs` too, as `parse_schedule` demands: what they say about an object outlives it.
    Raises KeyError if a class is not declared.
    """
    retention = schedule[record_class]
    paths: list[Path] = []
    for store in retention.stores:
        if store in BUCKETS:
            paths += _bucket_paths(schedule, retention.record_class, store, assumptions)
        elif store in LOG_GROUPS:
            paths.append(_log_group_path(schedule, retention.record_class, store, assumptions))
        elif store is Store.LEDGER:
            paths += _table_paths(schedule, retention.record_class, assumptions)
        elif store is Store.DEAD_LETTERS:
            paths.append(_queue_path(schedule, retention.record_class))
        else:
            paths += _twilio_paths(schedule, retention.record_class, assumptions)
    if not retention.hold:
        paths = [replace(path, after_release=()) for path in paths]
    return Bound(retention.record_class, tuple(paths), retention.hold)


def bounds(schedule: Schedule, assumptions: Assumptions = DEFAULT) -> dict[RecordClass, Bound]:
    """Return the bound of every declared class, sorted by class id."""
    return {record_class: bound(schedule, record_class, assumptions) for record_class in sorted(schedule.retentions)}


def _bucket_paths(
    schedule: Schedule, record_class: RecordClass, store: Store, assumptions: Assumptions
) -> Iterable[Path]:
    """Yield the copies in a bucket: those that its lifecycle rules leave, and what access logs say of them."""
    rules = lifecycle_rules(schedule, store)
    prefix = next(rule.prefix for rule in rules if rule.id == record_class)
    lag = assumptions.s3_lag_days
    # S3 counts from when the copy of a record is made, not the record.
    late = (Term("copied from the ledger late (assumed)", assumptions.copy_days, "parley.core.chains"),)
    before = late if record_class is RecordClass.CONSENT_EVIDENCE else ()
    current, noncurrent, upload, marker = (
        replace(path, terms=(*before, *path.terms)) for path in lifecycle_paths(rules, prefix, lag)
    )
    yield from (current, noncurrent, upload)
    mode, lock_days = schedule.lock()
    if store is Store.EVIDENCE and mode is not Lock.NONE:
        # Never the longest: the default lock is no longer than any class there, and nothing else extends it.
        lock = (*before, Term(f"{mode} lock ends", lock_days, S3_LOCK), *_acted_on(lag))
        yield Path("S3 version under Object Lock", lock)
    yield marker
    if store is not Store.ACCESS_LOGS:
        log_rules = lifecycle_rules(schedule, Store.ACCESS_LOGS)
        lines = (
            Term("access log is delivered (assumed)", assumptions.log_delivery_days, S3_LOGS),
            Term("access log expires", _soonest(rule.expiration_days for rule in log_rules), DECLARED),
            *_acted_on(lag),
            Term("access log's version expires", _soonest(rule.noncurrent_days for rule in log_rules), S3_ROUNDING),
            *_acted_on(lag),
        )
        yield Path(
            "S3 access log lines (the key only)",
            (*marker.terms, *lines),
            content=False,
            after_release=(*marker.after_release, *lines),
        )


def lifecycle_paths(
    rules: Iterable[LifecycleRule], prefix: str, lag: int = S3_LAG_DAYS
) -> tuple[Path, Path, Path, Path]:
    """Return the copies that a bucket's rules leave of an object under `prefix`: version, old version, upload, marker.

    A version goes in two steps: when it expires S3 puts a delete marker before it, and only what is noncurrent is
    removed. Whoever overwrites or deletes it by hand starts the second step sooner, never later. The marker goes when
    it is alone. Parts of an upload are counted from its start, which also becomes the object's date. `lag` is how many
    days late S3 may act.
    Raises ValueError if no rule ever ends one of them.
    """
    applying = [rule for rule in rules if prefix.startswith(rule.prefix)]
    current = (
        Term("current version expires", _soonest(rule.expiration_days for rule in applying), DECLARED),
        *_acted_on(lag),
    )
    noncurrent = (
        *current,
        Term("noncurrent version expires", _soonest(rule.noncurrent_days for rule in applying), S3_ROUNDING),
        *_acted_on(lag),
    )
    abort = Term("upload is aborted", _soonest(rule.abort_incomplete_days for rule in applying), S3_UPLOADS)
    alone = _marker_terms(applying, lag)
    # A hold keeps versions only: their marker is made in time, so what was held is noncurrent when it is let go.
    released = (Term("hold is released, next daily run", 1, S3_LOCK), Term("S3 acts late (assumed)", lag, S3_DELAY))
    return (
        Path("S3 current version", current),
        Path("S3 noncurrent version", noncurrent, after_release=released),
        Path("S3 incomplete upload", (abort, *_acted_on(lag))),
        Path("S3 delete marker (the key only)", (*noncurrent, *alone), False, after_release=(*released, *alone)),
    )


def _soonest(periods: Iterable[int | None]) -> int:
    """Return the shortest of the periods that are set: of several rules S3 carries out the one that is due first."""
    return min(days for days in periods if days is not None)


def _acted_on(lag: int) -> tuple[Term, Term]:
    """Return what S3 adds to every period: it rounds up to the next midnight UTC, and acts some time after that."""
    return Term("rounded up to midnight UTC", 1, S3_ROUNDING), Term("S3 acts late (assumed)", lag, S3_DELAY)


def _marker_terms(applying: Iterable[LifecycleRule], lag: int) -> tuple[Term, ...]:
    """Return how a delete marker goes that is alone: by the bucket's rule for it, at the next daily run."""
    rule, *_ = (rule for rule in applying if rule.expired_object_delete_marker)
    return Term(f"next daily run of {rule.id}", 1, S3_MARKERS), Term("S3 acts late (assumed)", lag, S3_DELAY)


def _log_group_path(schedule: Schedule, record_class: RecordClass, store: Store, assumptions: Assumptions) -> Path:
    return Path(
        f"log group ({store})",
        (
            Term("event expires", schedule.days_in(record_class, store), DECLARED),
            Term("CloudWatch Logs deletes late (assumed)", assumptions.log_lag_days, LOGS_DELAY),
        ),
    )


def _open_terms(record_class: RecordClass, assumptions: Assumptions) -> tuple[Term, ...]:
    """Return what goes before the period of a session's rows, which begins when the session closes."""
    if record_class is not RecordClass.SESSION_MAP:
        return ()
    return (
        Term("session is open, since its opening or last renewal", assumptions.session_days, "parley:session.ttl"),
        Term("session is closed late (assumed)", assumptions.late_close_days, "the reconciler's schedule"),
    )


def _table_paths(schedule: Schedule, record_class: RecordClass, assumptions: Assumptions) -> Iterable[Path]:
    """Yield the copies that a row of the ledger leaves. A restored table is a new copy, and has no time to live."""
    removed = Term("DynamoDB removes late (assumed)", assumptions.ttl_lag_days, DYNAMODB_TTL)
    kept = Term("row expires", schedule.days_in(record_class, Store.LEDGER), DECLARED)
    row = (*_open_terms(record_class, assumptions), kept, removed)
    # Under hold a row has no time to live; at the release it gets the one back that it had.
    rests = {
        "DynamoDB row": (),
        "DynamoDB stream record": (Term("stream", STREAM_DAYS, DYNAMODB_STREAMS),),
        "DynamoDB point-in-time recovery": (
            Term("point-in-time window", assumptions.point_in_time_days, DYNAMODB_PITR),
        ),
    }
    if not assumptions.table_protected:
        backup = Term("backup of a deleted table", DELETED_TABLE_DAYS, DYNAMODB_PITR)
        rests["DynamoDB backup, if the table is deleted"] = (backup,)
    for copy, rest in rests.items():
        yield Path(copy, (*row, *rest), after_release=(removed, *rest))


def _queue_path(schedule: Schedule, record_class: RecordClass) -> Path:
    return Path(
        "SQS message",
        (
            Term("event waits in Lambda", EVENT_DAYS, LAMBDA_EVENTS),
            Term("message expires", schedule.days_in(record_class, Store.DEAD_LETTERS), SQS_RETENTION),
        ),
    )


def _twilio_paths(schedule: Schedule, record_class: RecordClass, assumptions: Assumptions) -> Iterable[Path]:
    """Yield the copies at Twilio: the sweeper asks for a deletion when `twilioCopyDays` are over, until it is granted.

    Twilio publishes what is left after a deletion of recordings, messages and Proxy's resources; for transcripts it
    publishes nothing, and they are taken to be left as long as a recording's metadata.
    """
    swept = Term("deletion is asked for late (assumed)", assumptions.sweep_days, "parley.core.sweeping")
    refused = Term("Twilio refuses deletion (20009)", assumptions.deletion_retry_days, TWILIO_RETRY)
    asked = (
        *_open_terms(record_class, assumptions),
        Term("Twilio's copy is kept", schedule.days_in(record_class, Store.TWILIO), f"{DECLARED} twilioCopyDays"),
        swept,
        refused,
    )

    def copy(name: str, *rest: Term, content: bool = True) -> Path:
        return Path(name, (*asked, *rest), content, after_release=(swept, refused, *rest))

    metadata = Term("Twilio shows metadata", TWILIO_METADATA_DAYS, TWILIO_RECORDING)
    purge = Term("Twilio purges the deleted", TWILIO_PURGE_DAYS, _TWILIO_OPENAPI)
    if record_class in {RecordClass.CALL_RECORDINGS, RecordClass.VIDEO_RECORDINGS}:
        yield copy("Twilio media")
        yield copy("Twilio metadata", metadata, content=False)
    elif record_class is RecordClass.TRANSCRIPTS:
        unknown = Term("Twilio purges the deleted (assumed)", TWILIO_METADATA_DAYS, TWILIO_RECORDING)
        yield copy("Twilio transcript", unknown)
    else:
        yield copy("Twilio resource", purge)
    if record_class in {RecordClass.MESSAGES, RecordClass.MESSAGE_MEDIA}:
        numbers = Term("Twilio purges sender and addressee", TWILIO_NUMBERS_DAYS, _TWILIO_OPENAPI)
        yield copy("Twilio message's numbers", numbers, content=False)
