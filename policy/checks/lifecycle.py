"""Lifecycle rules: one configuration for each bucket, one rule for each class, its days as declared."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from parley.core.bound import lifecycle_paths
from parley.core.retention import BUCKETS, REMNANTS_RULE, LifecycleRule, lifecycle_rules

from policy.checks.buckets import BUCKET, store_of
from policy.checks.retention import schedule
from policy.model import STACK, Deployment, Resource, look
from policy.rules import Flaw, Severity, rule

LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"


def _prefix(one: Any) -> str:
    # The second is the form of old, which S3 still takes.
    return look(one, "filter.prefix") or look(one, "prefix") or ""


def deployed_rules(part: Resource) -> list[LifecycleRule]:
    """Return the rules of a configuration that are in force for every object under their prefix.

    A rule that is disabled, or bound to tags or sizes, ends nothing that could be relied on.
    """
    return [
        LifecycleRule(
            id=look(one, "id") or "",
            prefix=_prefix(one),
            expiration_days=look(one, "expiration.days") or None,
            noncurrent_days=look(one, "noncurrentVersionExpiration.noncurrentDays") or None,
            expired_object_delete_marker=look(one, "expiration.expiredObjectDeleteMarker") is True,
            abort_incomplete_days=look(one, "abortIncompleteMultipartUpload.daysAfterInitiation") or None,
        )
        for one in part.rows("rules")
        if look(one, "status") == "Enabled"
        and not any(look(one, f"filter.{bound}") for bound in ("and", "tag", "objectSizeGreaterThan"))
        and look(one, "filter.objectSizeLessThan") is None
    ]


@rule(
    "lifecycle-once",
    BUCKET,
    severity=Severity.CRITICAL,
    references=("FSBP S3.10", "FSBP S3.13", "GDPR 5(1)(e)", "ISO 27001 A.8.10", "CKV2_AWS_61"),
    remediation="keep all rules of a bucket in one BucketLifecycleConfiguration",
)
def once(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every bucket has exactly one lifecycle configuration; two leave it with none (pulumi-aws issue 5187)."""
    count = len(deployment.parts(bucket, "bucket", LIFECYCLE))
    if count != 1:
        yield Flaw("lifecycle", f"has {count} configurations" if count else "has no configuration: nothing expires")


@rule(
    "lifecycle-rule-ids",
    LIFECYCLE,
    severity=Severity.MEDIUM,
    references=("ISO 27001 A.8.9",),
    remediation="give every rule its own id and emit them sorted by id",
)
def rule_ids(part: Resource, _: Deployment) -> Iterator[Flaw]:
    """Rules have ids, each once, in their order, so that a change of one shows as a change of one."""
    ids = [look(one, "id") for one in part.rows("rules")]
    for index, name in enumerate(ids):
        if not name:
            yield Flaw(f"rules[{index}].id", "is missing")
        elif name in ids[:index]:
            yield Flaw(f"rules[{index}].id", f"is {name}, as that of another rule")
    if any(one and other and one > other for one, other in pairwise(ids)):
        yield Flaw("rules", "are not sorted by id")


@rule(
    "lifecycle-rule-unmixed",
    LIFECYCLE,
    severity=Severity.HIGH,
    references=("GDPR 5(1)(e)", "ISO 27001 A.8.10"),
    remediation="put expiredObjectDeleteMarker into a rule of its own",
)
def unmixed(part: Resource, _: Deployment) -> Iterator[Flaw]:
    """No rule mixes days with expiredObjectDeleteMarker, which S3 does not carry out (pulumi-aws issue 2128)."""
    for index, one in enumerate(part.rows("rules")):
        expiration = look(one, "expiration") or {}
        dated = look(expiration, "days") or look(expiration, "date")
        if dated and look(expiration, "expiredObjectDeleteMarker"):
            yield Flaw(f"rules[{index}].expiration", "mixes days with expiredObjectDeleteMarker")


@rule(
    "lifecycle-days",
    LIFECYCLE,
    STACK,
    severity=Severity.CRITICAL,
    references=("FSBP S3.13", "GDPR 5(1)(e)", "ISO 27001 A.5.33", "ISO 27001 A.8.10", "CKV2_AWS_61"),
    remediation="deploy the rules that follow from parley:records, and no other",
)
def days(resource: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Each class expires by one rule, after exactly the declared days; there is no rule beside those."""
    plan = schedule(deployment)
    if resource.type == STACK:
        stores = {store_of(bucket, deployment) for bucket in deployment.of(BUCKET)}
        for missing in sorted(BUCKETS - stores) if stores else ():
            if living := ", ".join(each.record_class for each in plan.living_in(missing)):
                yield Flaw("bucket", f"{missing} is missing, so no rule expires {living}")
        return
    bucket = deployment.target(resource, "bucket", BUCKET)
    store = store_of(bucket, deployment) if bucket else None
    wanted = {one.id: one for one in lifecycle_rules(plan, store)} if store else {}
    for index, one in enumerate(resource.rows("rules")):
        name = look(one, "id")
        if name not in wanted:
            yield Flaw(f"rules[{index}].id", f"is {name}, which follows from no record class declared for this bucket")
        elif name != REMNANTS_RULE:
            yield from _unlike(index, one, wanted[name])
    for name in sorted(set(wanted) - {one.id for one in deployed_rules(resource)}):
        yield Flaw("rules", f"have none in force for {name}")


def _unlike(index: int, one: Any, wanted: LifecycleRule) -> Iterator[Flaw]:
    """Yield where a rule is not as it follows from the declaration; `lifecycle-bound` judges what remains."""
    days_of = "expiration.days" if wanted.expiration_days else "noncurrentVersionExpiration.noncurrentDays"
    kept, due = look(one, days_of), wanted.expiration_days or wanted.noncurrent_days
    if kept != due:
        yield Flaw(f"rules[{index}].{days_of}", f"is {kept}, but {wanted.id} is declared as {due} days")
    if (prefix := _prefix(one)) != wanted.prefix:
        yield Flaw(f"rules[{index}].filter.prefix", f"is {prefix!r} instead of {wanted.prefix!r}")


@rule(
    "lifecycle-bound",
    LIFECYCLE,
    severity=Severity.HIGH,
    references=("GDPR 5(1)(e)", "GDPR 17(1)", "ISO 27001 A.8.10", "CKV_AWS_300"),
    remediation="let noncurrent versions, uploads and delete markers go as fast as the core's own rules do",
)
def bound(part: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """No copy in a bucket outlives the bound of its class: old versions, uploads and delete markers go too."""
    rules, plan = deployed_rules(part), schedule(deployment)
    for one in rules:
        if one.id not in plan.retentions:
            continue  # the remnants' rule, or judged by lifecycle-days
        store = next(store for store in plan[one.id].stores if store in BUCKETS)
        planned = lifecycle_rules(plan, store)
        wanted = lifecycle_paths(planned, next(each.prefix for each in planned if each.id == one.id))
        try:
            deployed = lifecycle_paths(rules, one.prefix)
        except ValueError:
            yield Flaw("rules", f"leave old versions, uploads or delete markers of {one.id} for ever")
            continue
        for path in deployed:
            # Of the record itself, or of its name: the last copy of that sort is the bound of all.
            limit = max(each.days for each in wanted if each.content is path.content)
            if path.days > limit:
                copy = path.copy.removeprefix("S3 ")
                yield Flaw("rules", f"leave the {copy} of {one.id} for {path.days} days, and its bound is {limit}")
