"""The reviewer's declaration: every record class, and for each place it lives in the rule that makes it expire.

It is made of the same schedule and the same resources that are deployed, so it cannot say anything else than they do.
For each class it also says when the last copy is gone at the latest, and how that adds up (`parley.core.bound`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from parley.core.bound import Assumptions, Bound, bounds
from parley.core.retention import REMNANTS_RULE, LifecycleRule, Schedule, Store

from infra.gate import ConsentGate, PublicApi
from infra.ledger import TTL_ATTRIBUTE, ConsentLedger
from infra.records import VERSIONING, RecordStore
from infra.settings import Settings

SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Location:
    """One thing that holds records: its `system`, its name there, its key, and what enforces expiry.

    `rule` is None where each class has a rule of its own, with the class as its id: the bucket's `lifecycle` has it.
    """

    system: str
    name: pulumi.Input[str]
    key: pulumi.Input[str]
    rule: str | None = None
    lifecycle: tuple[LifecycleRule, ...] = ()


S3_MANAGED_KEY = "aws:sse-s3"


def locations(
    records: RecordStore, ledger: ConsentLedger, api: PublicApi, gate: ConsentGate
) -> dict[Store, tuple[Location, ...]]:
    """Return what stands for each store of the schedule in this deployment.

    Twilio is not among them: what it keeps is bounded by `twilioCopyDays`, but no rule of Twilio's own enforces it.
    """
    evidence, operations = records.evidence_key.arn, records.operations_key.arn
    functions = gate.functions.values()

    def bucket(store: Store, name: pulumi.Output[str], key: pulumi.Input[str]) -> tuple[Location, ...]:
        return (Location("s3", name, key, lifecycle=records.rules[store]),)

    return {
        Store.CONTENT: bucket(Store.CONTENT, records.content.bucket, records.content_key.arn),
        Store.EVIDENCE: bucket(Store.EVIDENCE, records.evidence.bucket, evidence),
        Store.ACCESS_LOGS: bucket(Store.ACCESS_LOGS, records.access_logs.bucket, S3_MANAGED_KEY),
        Store.LEDGER: (Location("dynamodb", ledger.table.name, evidence, TTL_ATTRIBUTE),),
        Store.GATEWAY_LOGS: (Location("logs", api.log_group.name, operations, "retentionInDays"),),
        Store.FUNCTION_LOGS: tuple(
            Location("logs", f.log_group.name, operations, "retentionInDays") for f in functions
        ),
        Store.DEAD_LETTERS: tuple(
            Location("sqs", f.dead_letters.url, operations, "messageRetentionPeriod") for f in functions
        ),
    }


def assumptions(settings: Settings) -> Assumptions:
    """Return what this stack's bounds rest on: its longest session, and how long its table can be restored."""
    return Assumptions(
        session_days=-(-settings.session.ttl // SECONDS_A_DAY),
        point_in_time_days=settings.protection.point_in_time_days,
        table_protected=settings.protection.deletion_protection,
    )


def declare(
    schedule: Schedule, deployed: Mapping[Store, Sequence[Location]], assumed: Assumptions
) -> list[dict[str, Any]]:
    """Return one entry for each record class of the schedule, sorted by class."""
    found = bounds(schedule, assumed)
    return [
        {
            "class": str(record_class),
            "purposes": list(retention.purposes),
            "basis": str(retention.basis),
            "why": retention.why,
            "keepDays": retention.keep_days,
            "twilioCopyDays": retention.twilio_copy_days,
            "lock": str(retention.lock),
            "hold": retention.hold,
            "stores": [
                {
                    "system": location.system,
                    "name": location.name,
                    "rule": location.rule or str(record_class),
                    "days": retention.days_in(store),
                    "key": location.key,
                    **_declared_lifecycle(location, str(record_class)),
                }
                for store in retention.stores
                for location in deployed.get(store, ())
            ],
            "bound": _declared_bound(found[record_class]),
        }
        for record_class, retention in sorted(schedule.retentions.items())
    ]


def _declared_lifecycle(location: Location, record_class: str) -> dict[str, Any]:
    """Return what else must hold in a bucket for the class to be gone: its rule, the remnants' rule, versions."""
    if not location.lifecycle:
        return {}
    rules = {rule.id: rule for rule in location.lifecycle}
    own, remnants = rules[record_class], rules[REMNANTS_RULE]
    return {
        "prefix": own.prefix,
        "noncurrentDays": own.noncurrent_days,
        "versioning": VERSIONING,
        "remnants": {
            "rule": remnants.id,
            "prefix": remnants.prefix,
            "deleteMarkers": remnants.expired_object_delete_marker,
            "abortDays": remnants.abort_incomplete_days,
        },
    }


def _declared_bound(bound: Bound) -> dict[str, Any]:
    """Return a bound as the declaration has it; `content` False marks what is only a key or metadata."""
    return {
        "days": bound.days,
        "paths": [
            {
                "copy": path.copy,
                "days": path.days,
                "content": path.content,
                "terms": [{"what": term.what, "days": term.days} for term in path.terms],
            }
            for path in bound.paths
        ],
    }
