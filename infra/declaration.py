"""The reviewer's declaration: what the stack is, every record class, and for each of its places what makes it expire.

It is made of the same schedule and the same resources that are deployed, so it cannot say anything else than they do.
For each class it also says when the last copy is gone at the latest, and how that adds up (`parley.core.bound`).
It is plain data, and the same in three places: the stack output `declaration`, the object of the evidence bucket that
the scheduled check reads, and the reviewer's report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from parley.core.bound import ABSENT, Assumptions, Bound, bounds
from parley.core.limits import limits
from parley.core.record_classes import RecordClass
from parley.core.retention import REMNANTS_RULE, LifecycleRule, Limit, Retention, Schedule, Store, ceilings, floors

from infra.functions import READS, Objects
from infra.gate import ConsentGate, PublicApi
from infra.ledger import TTL_ATTRIBUTE, ConsentLedger
from infra.masking import MaskedLine
from infra.monitoring import exposure_seconds
from infra.records import VERSIONING, RecordStore
from infra.settings import Settings

VERSION = 1
"""The version of the declaration's form: a reader refuses one that it does not know."""

SECONDS_A_DAY = 86_400
S3_MANAGED_KEY = "aws:sse-s3"
AWS, TWILIO = "AWS", "Twilio"
COPIED = RecordClass.CONSENT_EVIDENCE


@dataclass(frozen=True, slots=True)
class Location:
    """One thing that holds records: its `system`, its name there, its key, and what enforces expiry.

    `rule` is None where each class has a rule of its own, with the class as its id: the bucket's `lifecycle` has it.
    `readers` are the roles of this stack that can read the records there; who else may is for the account's IAM to say.
    """

    system: str
    name: pulumi.Input[str]
    key: pulumi.Input[str] | None
    rule: str | None = None
    lifecycle: tuple[LifecycleRule, ...] = ()
    readers: tuple[pulumi.Input[str], ...] = ()
    processor: str = AWS


def locations(
    records: RecordStore, ledger: ConsentLedger, api: PublicApi, gate: ConsentGate, line: MaskedLine
) -> dict[Store, tuple[Location, ...]]:
    """Return what stands for each store of the schedule in this deployment.

    Twilio has no rule of its own that deletes after so many days: the sweeper asks for it, every hour.
    """
    evidence, operations = records.evidence_key.arn, records.operations_key.arn
    functions = gate.functions.values()
    readers = tuple(each.function.name for each in functions if not READS.isdisjoint(each.handler.table))

    auditors = tuple(each.function.name for each in functions if each.handler.audits)

    def reading(*what: Objects) -> tuple[pulumi.Input[str], ...]:
        return tuple(each.function.name for each in functions if each.handler.stores in what)

    def bucket(
        store: Store, name: pulumi.Output[str], key: pulumi.Input[str], *readers: pulumi.Input[str]
    ) -> tuple[Location, ...]:
        return (Location("s3", name, key, lifecycle=records.rules[store], readers=readers),)

    return {
        Store.CONTENT: bucket(
            Store.CONTENT, records.content.bucket, records.content_key.arn, *reading("archives", "reads")
        ),
        Store.EVIDENCE: bucket(Store.EVIDENCE, records.evidence.bucket, evidence, *auditors),
        Store.ACCESS_LOGS: bucket(Store.ACCESS_LOGS, records.access_logs.bucket, S3_MANAGED_KEY),
        Store.LEDGER: (Location("dynamodb", ledger.table.name, evidence, TTL_ATTRIBUTE, readers=readers),),
        Store.GATEWAY_LOGS: (Location("logs", api.log_group.name, operations, "retentionInDays"),),
        Store.FUNCTION_LOGS: tuple(
            Location("logs", f.log_group.name, operations, "retentionInDays") for f in functions
        ),
        Store.DEAD_LETTERS: tuple(
            Location("sqs", queue.url, operations, "messageRetentionPeriod")
            for f in functions
            for queue in (f.dead_letters, *([f.work.queue] if f.work else []))
        ),
        Store.TWILIO: tuple(Location("twilio", sid, None, "twilioCopyDays", processor=TWILIO) for sid in line.sids),
    }


def assumptions(settings: Settings) -> Assumptions:
    """Return what this stack's bounds rest on: its longest session, and how long its table can be restored."""
    return Assumptions(
        session_days=-(-settings.session.ttl // SECONDS_A_DAY),
        point_in_time_days=settings.protection.point_in_time_days,
        table_protected=settings.protection.deletion_protection,
    )


def declare(
    settings: Settings,
    deployed: Mapping[Store, Sequence[Location]],
    resources: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the declaration of a stack.

    `deployed` are the places of its records; `resources` is what must hold for each resource, for the check of what is
    declared against what is live.
    """
    review, controller = settings.legal_review, settings.controller
    return {
        "version": VERSION,
        "project": settings.project,
        "stack": settings.stack,
        "environment": settings.environment,
        "masking": settings.masking,
        "channels": list(settings.channels),
        "sectors": list(settings.records.sectors),
        "controller": {
            "name": controller.name,
            "contact": controller.contact,
            "privacyPolicyUrl": controller.privacy_policy_url,
            "privacyPolicyVersion": controller.privacy_policy_version,
        },
        "legalReview": {"reviewer": review.reviewer, "date": review.date.isoformat()} if review else None,
        "session": {
            "ttlSeconds": settings.session.ttl,
            "reconcileSeconds": settings.session.reconcile_seconds,
            "exposureSeconds": exposure_seconds(settings),
        },
        "classes": classes(settings.records, deployed, assumptions(settings), proxied=not settings.is_direct),
        "limits": limits(settings.channels),
        "absentCopies": [{"copy": each.copy, "why": each.why} for each in ABSENT],
        "resources": [dict(each) for each in resources],
    }


def classes(
    schedule: Schedule,
    deployed: Mapping[Store, Sequence[Location]],
    assumed: Assumptions,
    *,
    proxied: bool = True,
) -> list[dict[str, Any]]:
    """Return one entry for each record class of the schedule, sorted by class.

    Only where sessions are `proxied` are any of them at Twilio.
    """
    found = bounds(schedule, assumed)
    return [
        {
            "class": str(record_class),
            "purposes": list(retention.purposes),
            "basis": str(retention.basis),
            "why": retention.why,
            "sensitivity": str(retention.sensitivity),
            "capture": str(retention.capture),
            "keepDays": retention.keep_days,
            "floors": _limits(floors(retention, schedule.sectors)),
            "ceilings": _limits(ceilings(retention, schedule.sectors)),
            "twilioCopyDays": retention.twilio_copy_days if Store.TWILIO in retention.stores else None,
            "lock": str(retention.lock),
            "hold": retention.hold,
            "stores": [
                _declared_store(retention, store, location)
                for store in retention.stores
                for location in deployed.get(store, ())
                if proxied or (retention.record_class, store) != (RecordClass.SESSION_MAP, Store.TWILIO)
            ],
            "bound": _declared_bound(found[record_class]),
        }
        for record_class, retention in sorted(schedule.retentions.items())
    ]


def _limits(limits: Sequence[Limit]) -> list[dict[str, Any]]:
    return [{"days": limit.days, "rule": limit.rule} for limit in limits]


def _declared_store(retention: Retention, store: Store, location: Location) -> dict[str, Any]:
    return {
        "system": location.system,
        "name": location.name,
        "rule": location.rule or str(retention.record_class),
        "days": retention.days_in(store),
        "key": location.key,
        # Of the evidence, the check of the chains reads the copies of consent records and nothing else.
        "readers": [] if store is Store.EVIDENCE and retention.record_class != COPIED else list(location.readers),
        "processor": location.processor,
        **_declared_lifecycle(location, str(retention.record_class)),
    }


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
        "contentDays": bound.content_days,
        "releaseDays": bound.release_days,
        "paths": [
            {
                "copy": path.copy,
                "days": path.days,
                "content": path.content,
                "terms": [{"what": term.what, "days": term.days, "source": term.source} for term in path.terms],
            }
            for path in bound.paths
        ],
    }
