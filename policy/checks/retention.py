"""Retention: the declared days are one and the same everywhere, and logs and queues keep to them.

`PARLEY_KEEP_DAYS` in the functions' environment is the declaration: it is what sets each row's time to live, and it is
known even in a first preview. The stack's output `declaration` adds the locks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from parley.core.record_classes import RecordClass
from parley.core.retention import Basis, Lock, Retention, Schedule, required_classes

from policy.model import FUNCTION, STACK, CannotTellError, Deployment, Resource, look
from policy.rules import Flaw, Severity, rule

LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
QUEUE = "aws:sqs/queue:Queue"
STAGE = "aws:apigatewayv2/stage:Stage"
KEEPING = ("aws:s3/bucket:Bucket", "aws:dynamodb/table:Table", QUEUE, LOG_GROUP)
SECONDS_A_DAY = 86_400

_VARIABLES = "environment.variables"
_KEEP_DAYS = f"{_VARIABLES}.PARLEY_KEEP_DAYS"


def _is_ours(function: Resource) -> bool:
    return any(name.startswith("PARLEY_") for name in function.get(_VARIABLES) or ())


def _read(function: Resource) -> dict[RecordClass, int]:
    """Return the days that a function was given. Raises ValueError with what is wrong."""
    text = function.get(_KEEP_DAYS)
    if text is None:
        raise ValueError("is missing")
    try:
        told = json.loads(text)
        found = {RecordClass(name): days for name, days in told.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError("is not a JSON object of record classes and days") from None
    for name, days in found.items():
        if isinstance(days, bool) or not isinstance(days, int) or days < 1:
            raise ValueError(f"has no positive whole number of days for {name}")
    return found


def _channels(function: Resource) -> list[str]:
    try:
        told = json.loads(function.get(f"{_VARIABLES}.PARLEY_CHANNELS") or "[]")
    except (TypeError, ValueError):
        return []
    return [str(channel) for channel in told] if isinstance(told, list) else []


def declared(deployment: Deployment) -> Mapping[RecordClass, int]:
    """Return the declared days of every class. Raises CannotTellError where no function carries them."""
    for function in deployment.of(FUNCTION):
        if _is_ours(function):
            try:
                return _read(function)
            except ValueError:
                break  # judged by retention-declared
    raise CannotTellError


def declared_locks(deployment: Deployment) -> Mapping[RecordClass, Lock]:
    """Return the declared lock of every class. Raises CannotTellError where the stack's outputs do not tell."""
    rows = deployment.stack.rows("declaration.classes")
    if not rows:
        raise CannotTellError
    try:
        return {RecordClass(look(row, "class")): Lock(look(row, "lock")) for row in rows}
    except ValueError:
        raise CannotTellError from None  # made by another version of the kit


def schedule(deployment: Deployment, locks: Mapping[RecordClass, Lock] | None = None) -> Schedule:
    """Return the schedule of the declared days, from which the core derives the rules. Raises CannotTellError."""
    return Schedule(
        {
            record_class: Retention(
                record_class,
                days,
                purposes=(),
                basis=Basis.CONSENT,  # not told by the days, and without effect on rules
                lock=(locks or {}).get(record_class, Lock.NONE),
            )
            for record_class, days in declared(deployment).items()
        }
    )


@rule(
    "retention-declared",
    FUNCTION,
    STACK,
    severity=Severity.CRITICAL,
    references=("GDPR 5(1)(e)", "GDPR 13(2)(a)", "ISO 27001 A.5.33", "ISO 27001 A.8.10"),
    remediation="declare every class once in parley:records and deploy all functions with it",
)
def retention_declared(resource: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every function carries the same declared days for every class, the days of the stack's declaration."""
    if resource.type == STACK:
        if deployment.of(*KEEPING) and not any(_is_ours(one) for one in deployment.of(FUNCTION)):
            yield Flaw(_KEEP_DAYS, "is in no function, so nothing says how long records are kept")
        return
    if not _is_ours(resource):
        return
    try:
        days = _read(resource)
    except ValueError as error:
        yield Flaw(_KEEP_DAYS, str(error))
        return
    for record_class in sorted(required_classes(_channels(resource)) - set(days)):
        yield Flaw(_KEEP_DAYS, f"lacks {record_class}, of which this stack makes records")
    if days != declared(deployment):
        yield Flaw(_KEEP_DAYS, "is not what other functions were given")
    for row in deployment.stack.rows("declaration.classes"):
        name, keep_days = look(row, "class"), look(row, "keepDays")
        if days.get(name) != keep_days:
            yield Flaw(_KEEP_DAYS, f"is not what the stack declares for {name} ({keep_days} days)")


def _class_of(group: Resource, deployment: Deployment) -> RecordClass | None:
    """Return the class whose records a log group holds: the API's access log, or a function's own."""
    if deployment.parts(group, "accessLogSettings.destinationArn", STAGE):
        return RecordClass.ACCESS_LOGS
    if str(group.get("name")).startswith("/aws/lambda/") or deployment.parts(group, "loggingConfig.logGroup", FUNCTION):
        return RecordClass.OPERATIONAL_LOGS
    return None


@rule(
    "log-retention",
    LOG_GROUP,
    severity=Severity.HIGH,
    references=("FSBP CloudWatch.16", "GDPR 5(1)(e)", "ISO 27001 A.8.10", "CKV_AWS_66"),
    remediation="set retentionInDays to the declared days of the group's record class",
)
def log_retention(group: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every log group keeps exactly the declared days; one that never expires keeps personal data for ever."""
    record_class = _class_of(group, deployment)
    if record_class is None:
        yield Flaw("name", "belongs to no declared record class: it is neither the API's access log nor a function's")
        return
    kept, wanted = group.get("retentionInDays"), declared(deployment).get(record_class)
    if not kept:
        yield Flaw("retentionInDays", f"is not set, so nothing here ever expires; {record_class} is declared")
    elif wanted is not None and kept != wanted:
        how = "longer" if kept > wanted else "shorter"
        yield Flaw("retentionInDays", f"is {kept}, {how} than the {wanted} days declared for {record_class}")


@rule(
    "queue-retention",
    QUEUE,
    severity=Severity.HIGH,
    references=("GDPR 5(1)(e)", "ISO 27001 A.8.10"),
    remediation="set messageRetentionSeconds to the declared days of dead-letters",
)
def queue_retention(queue: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every queue keeps exactly the days declared for dead letters."""
    wanted = declared(deployment).get(RecordClass.DEAD_LETTERS)
    kept = queue.get("messageRetentionSeconds")
    if wanted is None:
        return  # judged by retention-declared
    if kept is None:
        yield Flaw("messageRetentionSeconds", f"is not set, but dead-letters are declared for {wanted} days")
    elif kept != wanted * SECONDS_A_DAY:
        how = "longer" if kept > wanted * SECONDS_A_DAY else "shorter"
        yield Flaw(
            "messageRetentionSeconds",
            f"is {kept} ({kept / SECONDS_A_DAY:g} days), {how} than the {wanted} days declared for dead-letters",
        )
