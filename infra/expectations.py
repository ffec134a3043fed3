"""What must hold for each deployed resource, as plain data: the declared side of `parley verify`.

It is made from the component objects that are deployed, so it cannot ask for anything else than they do. A resource is
`{system, name, expected: {property: value}}`, with `class` where all of it is about one record class. Policies are
declared by the digests of their statements, ages (`oldest`) by the most that the bound allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
from parley.core.bound import TTL_LAG_DAYS, bounds
from parley.core.record_classes import RecordClass
from parley.core.retention import LifecycleRule, Lock, Store
from parley.core.verification import OLDEST, digests

from infra.declaration import assumptions
from infra.gate import SECONDS_A_DAY, ConsentGate, GateFunction, PublicApi
from infra.ledger import TTL_ATTRIBUTE, ConsentLedger
from infra.masking import MaskedLine
from infra.monitoring import Monitoring
from infra.records import ACCESS_LOGS, CONTENT, EVIDENCE, VERSIONING, RecordStore
from infra.settings import Settings
from infra.twilio.resources import PoolNumber

Resource = dict[str, Any]

COPIES = {
    "S3 current version": "current version",
    "S3 noncurrent version": "noncurrent version",
    "S3 delete marker (the key only)": "delete marker",
    "S3 incomplete upload": "incomplete upload",
}
"""The paths of the bound whose copies a listing of a bucket shows, and what they are called there."""

LISTED_AT_TWILIO = (
    RecordClass.CALL_RECORDINGS,
    RecordClass.TRANSCRIPTS,
    RecordClass.MESSAGES,
    RecordClass.MESSAGE_MEDIA,
    RecordClass.INTERACTION_LOG,
    RecordClass.SESSION_MAP,
)
"""The classes whose copies Twilio lists by what they belong to, which a video recording's API does not tell."""


def expectations(
    settings: Settings,
    *,
    records: RecordStore,
    ledger: ConsentLedger,
    api: PublicApi,
    line: MaskedLine,
    gate: ConsentGate,
    monitoring: Monitoring,
) -> list[Resource]:
    """Return what must hold for each resource of a stack; names and ARNs in it may be outputs."""
    return [
        *_buckets(settings, records),
        *_keys(records, ledger, line),
        _table(settings, records, ledger),
        *_logs(settings, records, api, gate),
        *_queues(settings, records, gate),
        _topic(records, monitoring),
        _secret(records, gate),
        *(_function(settings, records, each) for each in gate.functions.values()),
        *_schedules(settings, gate),
        _api(settings, api, gate),
        *_alarms(monitoring),
        *_lines(settings, line, api),
    ]


def _resource(
    system: str,
    name: pulumi.Input[str],
    expected: Mapping[str, Any],
    record_class: RecordClass | None = None,
) -> Resource:
    found: Resource = {"system": system, "name": name, "expected": dict(expected)}
    return {**found, "class": str(record_class)} if record_class else found


def _statements(policy: pulumi.Input[str]) -> pulumi.Output[dict[str, str]]:
    return pulumi.Output.from_input(policy).apply(digests)


# -- stores ----------------------------------------------------------------------------------------


def _buckets(settings: Settings, records: RecordStore) -> Iterator[Resource]:
    logged = {CONTENT: records.content, EVIDENCE: records.evidence, ACCESS_LOGS: records.access_logs}
    keys = {CONTENT: records.content_key, EVIDENCE: records.evidence_key, ACCESS_LOGS: None}
    for name, store in ((CONTENT, Store.CONTENT), (EVIDENCE, Store.EVIDENCE), (ACCESS_LOGS, Store.ACCESS_LOGS)):
        bucket, key = logged[name], keys[name]
        mode, days = settings.records.lock() if store is Store.EVIDENCE else (Lock.NONE, 0)
        locked = mode is not Lock.NONE
        yield _resource(
            "s3",
            bucket.bucket,
            {
                "lifecycle": {rule.id: lifecycle(rule) for rule in records.rules[store]},
                "versioning": VERSIONING,
                "encryption": {
                    "algorithm": "aws:kms" if key else "AES256",
                    "key": key.arn if key else None,
                    "bucketKey": bool(key),
                },
                "publicAccessBlock": dict.fromkeys(
                    ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
                ),
                "ownership": "BucketOwnerEnforced",
                "policy": _statements(records.policies[store].policy),
                "objectLock": {
                    "enabled": bucket.object_lock_enabled.apply(bool),
                    "mode": mode.upper() if locked else None,
                    "days": days if locked else None,
                },
                # The bucket of access logs has none of its own: every delivery would make another one.
                "logging": None
                if store is Store.ACCESS_LOGS
                else {"bucket": records.access_logs.bucket, "prefix": f"{name}/"},
                "replication": [],
                "inventories": [],
                "outside": 0,
                OLDEST: ages(settings, store),
            },
        )


def lifecycle(rule: LifecycleRule) -> dict[str, Any]:
    """Return a lifecycle rule as it must be live; None stands for an action that the rule must not have."""
    return {
        "status": "Enabled",
        "prefix": rule.prefix,
        "expirationDays": rule.expiration_days,
        "noncurrentDays": rule.noncurrent_days,
        "deleteMarkers": rule.expired_object_delete_marker,
        "abortDays": rule.abort_incomplete_days,
    }


def ages(settings: Settings, store: Store) -> dict[str, dict[str, int]]:
    """Return, for each class in a bucket and each kind of copy, the most days that one may be old: its path's days."""
    found = bounds(settings.records, assumptions(settings))
    return {
        str(retention.record_class): {
            COPIES[path.copy]: path.days for path in found[retention.record_class].paths if path.copy in COPIES
        }
        for retention in settings.records.living_in(store)
    }


def _keys(records: RecordStore, ledger: ConsentLedger, line: MaskedLine) -> Iterator[Resource]:
    turning = (records.content_key, records.evidence_key, records.operations_key, *([line.key] if line.key else []))
    for key in (*turning, records.proof_key, ledger.identity_key):
        # KMS rotates neither asymmetric nor HMAC keys.
        rotation = key in turning
        yield _resource("kms", key.arn, {"state": "Enabled", "rotation": rotation, "policy": _statements(key.policy)})


def _table(settings: Settings, records: RecordStore, ledger: ConsentLedger) -> Resource:
    protection = settings.protection
    return _resource(
        "dynamodb",
        ledger.table.name,
        {
            "timeToLive": {"status": "ENABLED", "attribute": TTL_ATTRIBUTE},
            "key": records.evidence_key.arn,
            "pointInTimeDays": protection.point_in_time_days,
            "deletionProtection": protection.deletion_protection,
            "stream": "NEW_IMAGE",
            "replicas": [],
            "backups": 0,
            OLDEST: {"rows over their time to live": TTL_LAG_DAYS},
        },
    )


def _logs(settings: Settings, records: RecordStore, api: PublicApi, gate: ConsentGate) -> Iterator[Resource]:
    groups = [(api.log_group, RecordClass.ACCESS_LOGS)]
    groups += [(each.log_group, RecordClass.OPERATIONAL_LOGS) for each in gate.functions.values()]
    for group, record_class in groups:
        expected = {"retentionDays": settings.records.days(record_class), "key": records.operations_key.arn}
        yield _resource("logs", group.name, expected, record_class)


def _queues(settings: Settings, records: RecordStore, gate: ConsentGate) -> Iterator[Resource]:
    seconds = settings.records.days(RecordClass.DEAD_LETTERS) * SECONDS_A_DAY
    for each in gate.functions.values():
        queues = [(each.dead_letters, each.queue_policy)]
        if each.work:
            queues.append((each.work.queue, each.work.policy))
        for queue, policy in queues:
            yield _resource(
                "sqs",
                queue.url,
                {
                    "retentionSeconds": seconds,
                    "key": records.operations_key.arn,
                    "policy": _statements(policy.policy),
                },
                RecordClass.DEAD_LETTERS,
            )


# -- what acts -------------------------------------------------------------------------------------


def _topic(records: RecordStore, monitoring: Monitoring) -> Resource:
    expected = {"key": records.operations_key.arn, "policy": _statements(monitoring.topic_policy.policy)}
    return _resource("sns", monitoring.topic.arn, expected)


def _secret(records: RecordStore, gate: ConsentGate) -> Resource:
    expected = {"key": records.operations_key.arn, "policy": _statements(gate.secret_policy.policy)}
    return _resource("secretsmanager", gate.secret.arn, expected)


def _function(settings: Settings, records: RecordStore, deployed: GateFunction) -> Resource:
    """Return what holds for the version that takes traffic, by the alias `live`, and for the role it runs under."""
    return _resource(
        "lambda",
        deployed.function.name,
        {
            "keepDays": settings.records.keep_days(),
            "timeout": deployed.handler.timeout,
            "deadLetters": deployed.dead_letters.arn,
            "environmentKey": records.operations_key.arn,
            "role": deployed.permissions.role,
            "rolePolicy": _statements(deployed.permissions.policy),
            "managedPolicies": [],
            "urls": 0,
        },
    )


def _schedules(settings: Settings, gate: ConsentGate) -> Iterator[Resource]:
    for each in gate.functions.values():
        if each.handler.every:
            yield _resource(
                "scheduler",
                f"{settings.prefix}/{each.handler.name}",
                {"state": "ENABLED", "expression": each.handler.every, "target": each.alias.arn},
            )


def _api(settings: Settings, api: PublicApi, gate: ConsentGate) -> Resource:
    return _resource(
        "apigateway",
        api.api.id,
        {
            "accessLog": api.log_group.arn,
            "throttling": {"rate": settings.throttle.rate_per_second, "burst": settings.throttle.burst},
            "routes": {
                route.key: route.authorization for each in gate.functions.values() for route in each.handler.routes
            },
        },
    )


def _alarms(monitoring: Monitoring) -> Iterator[Resource]:
    for alarm in monitoring.alarms:
        yield _resource(
            "cloudwatch", alarm.name, {"enabled": True, "actions": [monitoring.topic.arn], **_watches(alarm)}
        )


def _watches(alarm: aws.cloudwatch.MetricAlarm) -> dict[str, Any]:
    return {"metric": alarm.metric_name, "threshold": alarm.threshold, "period": alarm.period}


def _lines(settings: Settings, line: MaskedLine, api: PublicApi) -> Iterator[Resource]:
    """Yield what holds at Twilio, for each Proxy service; of its copies only those that its API lists have an age.

    Without Proxy there is one, whose name is the account's, and `gate` is where the numbers have to point.
    """
    assumed = assumptions(settings)
    after = assumed.sweep_days + assumed.deletion_retry_days
    shared = {
        "accountRecording": "off",
        OLDEST: {
            str(retention.record_class): retention.twilio_copy_days + after
            for retention in settings.records.living_in(Store.TWILIO)
            if retention.record_class in LISTED_AT_TWILIO
            and not (settings.is_direct and retention.record_class is RecordClass.SESSION_MAP)
        },
    }
    if settings.is_direct:
        (account,) = line.sids
        yield {**_resource("twilio", account, {"numbers": _states(line.numbers), **shared}), "gate": api.url}
        return
    for service, pool in zip(line.services, line.pools, strict=True):
        webhooks = {
            "callbackUrl": service.callback_url,
            "interceptCallbackUrl": service.intercept_callback_url,
            "outOfSessionCallbackUrl": service.out_of_session_callback_url,
            "defaultTtl": service.default_ttl,
            "chatInstanceSid": None,
        }
        yield _resource("twilio", service.sid, {**webhooks, "numbers": _states(pool), **shared})


def _states(numbers: pulumi.Output[list[PoolNumber]]) -> pulumi.Output[dict[str, str]]:
    return numbers.apply(
        lambda found: {each["sid"]: "reserved" if each["reserved"] else "in the pool" for each in found}
    )
