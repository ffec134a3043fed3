"""What is live on AWS: the settings of each declared resource, and the oldest copies in buckets and table.

Nothing here reads a record. Of an object it sees the date of each version, and never keeps its key; of a row the time
at which it expires.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from parley.adapters.live import WORKERS, Deadline, GoneError, Read
from parley.core.verification import OLDEST, Oldest, Unread, cutoff, digests

SERVICES: Final = (
    *("s3", "kms", "dynamodb", "logs", "sqs", "sns", "secretsmanager"),
    *("lambda", "iam", "scheduler", "apigatewayv2", "cloudwatch"),
)
"""The services that are asked, by boto3's names."""

PATIENT: Final = Config(
    connect_timeout=3,
    read_timeout=20,
    max_pool_connections=WORKERS,
    retries={"total_max_attempts": 5, "mode": "standard"},
)
"""How they are asked: nobody waits for a check as a webhook's sender does."""

LIVE: Final = "live"
"""The alias that takes all traffic: what `$LATEST` is set to serves nobody."""

HOLDS_LIMIT: Final = 10_000
"""How many versions over their time are asked for a legal hold, in each class; the others count as not held."""

SAMPLE_BYTES: Final = 16 * 2**20
"""How much of the table one check scans, about: a part of that size, another one each day, until all had its turn."""

ALARMS_A_CALL: Final = 100

Resource = Mapping[str, Any]


class Aws:
    """Makes the reads of AWS resources. `clients` holds a boto3 client for each of `SERVICES`."""

    def __init__(self, clients: Mapping[str, Any], now: datetime, deadline: Deadline) -> None:
        self._clients = clients
        self._now = now
        self._deadline = deadline

    def reads(self, resources: Sequence[Resource]) -> Iterator[Read]:
        """Yield the questions about these resources; a system that is not known here yields none."""
        readers: dict[str, Callable[[Resource], Iterator[Read]]] = {
            "s3": self._s3,
            "kms": self._kms,
            "dynamodb": self._dynamodb,
            "logs": self._logs,
            "sqs": self._sqs,
            "sns": self._sns,
            "secretsmanager": self._secret,
            "lambda": self._lambda,
            "scheduler": self._schedule,
            "apigateway": self._api,
        }
        for resource in resources:
            if reader := readers.get(resource["system"]):
                yield from reader(resource)
        names = [str(resource["name"]) for resource in resources if resource["system"] == "cloudwatch"]
        for start in range(0, len(names), ALARMS_A_CALL):
            yield from self._alarms(names[start : start + ALARMS_A_CALL])

    def _pages(self, service: str, operation: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the pages of a list, as long as there is time."""
        for page in self._clients[service].get_paginator(operation).paginate(**arguments):
            yield page
            self._deadline.check()

    # -- S3 ----------------------------------------------------------------------------------------------------------

    def _s3(self, resource: Resource) -> Iterator[Read]:
        s3, bucket, expected = self._clients["s3"], resource["name"], resource["expected"]
        questions: dict[str, Callable[[], Any]] = {
            "lifecycle": lambda: {
                rule["ID"]: rule_of(rule) for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
            },
            "versioning": lambda: s3.get_bucket_versioning(Bucket=bucket).get("Status"),
            "encryption": lambda: _encryption(s3.get_bucket_encryption(Bucket=bucket)),
            "publicAccessBlock": lambda: dict(
                s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
            ),
            "ownership": lambda: s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"][0][
                "ObjectOwnership"
            ],
            "policy": lambda: digests(s3.get_bucket_policy(Bucket=bucket)["Policy"]),
            "objectLock": lambda: _object_lock(s3.get_object_lock_configuration(Bucket=bucket)),
            "logging": lambda: _logging(s3.get_bucket_logging(Bucket=bucket)),
            "replication": lambda: sorted(
                rule["Destination"]["Bucket"]
                for rule in s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
            ),
            "inventories": lambda: sorted(
                each["Id"]
                for each in s3.list_bucket_inventory_configurations(Bucket=bucket).get("InventoryConfigurationList", [])
            ),
        }
        for name, question in questions.items():
            yield Read("s3", bucket, (name,), partial(_configured, name, question))
        prefixes = {record_class: rule["prefix"] for record_class, rule in expected["lifecycle"].items()}
        declared = tuple(prefix for prefix in prefixes.values() if prefix)
        whole = any(prefixes[record_class] == "" for record_class in expected[OLDEST])
        outside = (lambda: {"outside": 0}) if whole else partial(self._outside, bucket, declared)
        yield Read("s3", bucket, ("outside",), outside, long=True)
        for record_class, limits in expected[OLDEST].items():
            prefix, at = prefixes[record_class], (OLDEST, record_class)
            locked = bool(expected["objectLock"]["enabled"])
            copies = tuple(copy for copy in limits if copy != "incomplete upload")
            listing = partial(self._versions, bucket, prefix, limits, locked=locked)
            yield Read("s3", bucket, copies, listing, at, long=True)
            uploads = partial(self._uploads, bucket, prefix, limits["incomplete upload"])
            yield Read("s3", bucket, ("incomplete upload",), uploads, at, long=True)

    def _outside(self, bucket: str, declared: tuple[str, ...]) -> dict[str, int]:
        """Count what lies under no declared class, by its first prefix; a bare key is one of its own."""
        found = 0
        for page in self._pages("s3", "list_object_versions", Bucket=bucket, Delimiter="/"):
            prefixes = {each["Prefix"] for each in page.get("CommonPrefixes", [])}
            found += len([prefix for prefix in prefixes if not prefix.startswith(declared)])
            found += len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))
        return {"outside": found}

    def _versions(self, bucket: str, prefix: str, limits: Mapping[str, int], *, locked: bool) -> dict[str, Oldest]:
        """Return the oldest current version, noncurrent version and delete marker under a prefix.

        Each is counted from its own making, as the bound counts at the most. Versions over their time are asked for a
        legal hold where the bucket can have one.
        """
        ages = {copy: _Age(cutoff(days, self._now)) for copy, days in limits.items()}
        for page in self._pages("s3", "list_object_versions", Bucket=bucket, Prefix=prefix):
            for version in page.get("Versions", []):
                age = ages["current version" if version["IsLatest"] else "noncurrent version"]
                age.add(version["LastModified"], (version["Key"], version["VersionId"]) if locked else None)
            for marker in page.get("DeleteMarkers", []):
                ages["delete marker"].add(marker["LastModified"])
        return {copy: self._without_held(bucket, age) for copy, age in ages.items()}

    def _without_held(self, bucket: str, age: _Age) -> Oldest:
        """Return an age without the versions that a legal hold keeps: they are counted, and nothing to mend."""
        with ThreadPoolExecutor(8, thread_name_prefix="holds") as pool:
            held = list(pool.map(lambda version: self._is_held(bucket, *version), [name for _, name in age.over]))
        moments = [moment for (moment, _), is_held in zip(age.over, held, strict=True) if not is_held]
        oldest = min(
            [*moments, *([age.unasked] if age.unasked else []), *([age.oldest] if age.oldest else [])], default=None
        )
        return Oldest(oldest, len(moments) + age.more, sum(held))

    def _is_held(self, bucket: str, key: str, version: str) -> bool:
        self._deadline.check()
        try:
            hold = self._clients["s3"].get_object_legal_hold(Bucket=bucket, Key=key, VersionId=version)
        except ClientError as error:
            # Without a hold S3 answers an error; gone since it was listed is fine, too.
            if error.response["Error"]["Code"] in {"NoSuchObjectLockConfiguration", "NoSuchKey", "NoSuchVersion"}:
                return False
            raise
        return bool(hold["LegalHold"].get("Status") == "ON")

    def _uploads(self, bucket: str, prefix: str, days: int) -> dict[str, Oldest]:
        age = _Age(cutoff(days, self._now))
        for page in self._pages("s3", "list_multipart_uploads", Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", []):
                age.add(upload["Initiated"])
        return {"incomplete upload": age.found}

    # -- keys, table, logs, queues -----------------------------------------------------------------------------------

    def _kms(self, resource: Resource) -> Iterator[Read]:
        kms, key = self._clients["kms"], resource["name"]
        questions: dict[str, Callable[[], Any]] = {
            "state": lambda: kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"],
            "rotation": lambda: kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"],
            "policy": lambda: digests(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]),
        }
        for name, question in questions.items():
            yield Read("kms", key, (name,), partial(_configured, name, question))

    def _dynamodb(self, resource: Resource) -> Iterator[Read]:
        dynamodb, table = self._clients["dynamodb"], resource["name"]

        def described() -> dict[str, Any]:
            found = dynamodb.describe_table(TableName=table)["Table"]
            stream = found.get("StreamSpecification", {})
            return {
                "key": found.get("SSEDescription", {}).get("KMSMasterKeyArn"),
                "deletionProtection": found.get("DeletionProtectionEnabled", False),
                "stream": stream.get("StreamViewType") if stream.get("StreamEnabled") else None,
                "replicas": sorted(replica["RegionName"] for replica in found.get("Replicas", [])),
            }

        def expiring() -> dict[str, Any]:
            found = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
            status = str(found.get("TimeToLiveStatus")).replace("ENABLING", "ENABLED")
            return {"timeToLive": {"status": status, "attribute": found.get("AttributeName")}}

        def restorable() -> dict[str, Any]:
            found = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
            recovery = found.get("PointInTimeRecoveryDescription", {})
            enabled = recovery.get("PointInTimeRecoveryStatus") == "ENABLED"
            return {"pointInTimeDays": recovery.get("RecoveryPeriodInDays", 35) if enabled else None}

        def backed_up() -> dict[str, Any]:
            pages = self._pages("dynamodb", "list_backups", TableName=table, BackupType="USER")
            return {"backups": sum(len(page["BackupSummaries"]) for page in pages)}

        yield Read("dynamodb", table, ("key", "deletionProtection", "stream", "replicas"), described)
        yield Read("dynamodb", table, ("timeToLive",), expiring)
        yield Read("dynamodb", table, ("pointInTimeDays",), restorable)
        yield Read("dynamodb", table, ("backups",), backed_up)
        for name, days in resource["expected"][OLDEST].items():
            attribute = resource["expected"]["timeToLive"]["attribute"]
            rows = partial(self._rows, table, attribute, name, days)
            yield Read("dynamodb", table, (name,), rows, (OLDEST,), long=True)

    def _rows(self, table: str, attribute: str, name: str, days: int) -> dict[str, Oldest]:
        """Look for rows that expired more than `days` ago, in today's part of the table."""
        size = self._clients["dynamodb"].describe_table(TableName=table)["Table"].get("TableSizeBytes", 0)
        segments = max(1, -(-size // SAMPLE_BYTES))
        limit = cutoff(days, self._now)
        age = _Age(limit)
        for page in self._pages(
            "dynamodb",
            "scan",
            TableName=table,
            Segment=self._now.toordinal() % segments,
            TotalSegments=segments,
            Select="SPECIFIC_ATTRIBUTES",
            ProjectionExpression="#expires",
            FilterExpression="#expires < :limit",
            ExpressionAttributeNames={"#expires": attribute},
            ExpressionAttributeValues={":limit": {"N": str(int(limit.timestamp()))}},
        ):
            for row in page["Items"]:
                age.add(datetime.fromtimestamp(int(row[attribute]["N"]), UTC))
        return {name: age.found}

    def _logs(self, resource: Resource) -> Iterator[Read]:
        name = resource["name"]

        def described() -> dict[str, Any]:
            for page in self._pages("logs", "describe_log_groups", logGroupNamePrefix=name):
                for group in page["logGroups"]:
                    if group["logGroupName"] == name:
                        return {"retentionDays": group.get("retentionInDays"), "key": group.get("kmsKeyId")}
            raise GoneError

        yield Read("logs", name, ("retentionDays", "key"), described)

    def _sqs(self, resource: Resource) -> Iterator[Read]:
        sqs, url = self._clients["sqs"], resource["name"]

        def described() -> dict[str, Any]:
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            return {
                "retentionSeconds": int(found["MessageRetentionPeriod"]),
                "key": found.get("KmsMasterKeyId"),
                "policy": digests(found.get("Policy") or "{}"),
            }

        yield Read("sqs", url, ("retentionSeconds", "key", "policy"), described)

    def _sns(self, resource: Resource) -> Iterator[Read]:
        sns, topic = self._clients["sns"], resource["name"]

        def described() -> dict[str, Any]:
            found = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
            return {"key": found.get("KmsMasterKeyId") or None, "policy": digests(found.get("Policy") or "{}")}

        yield Read("sns", topic, ("key", "policy"), described)

    def _secret(self, resource: Resource) -> Iterator[Read]:
        secrets, arn = self._clients["secretsmanager"], resource["name"]

        def described() -> dict[str, Any]:
            found = secrets.describe_secret(SecretId=arn)
            if found.get("DeletedDate"):
                raise GoneError
            return {"key": found.get("KmsKeyId")}

        def guarded() -> dict[str, Any]:
            return {"policy": digests(secrets.get_resource_policy(SecretId=arn).get("ResourcePolicy") or "{}")}

        yield Read("secretsmanager", arn, ("key",), described)
        yield Read("secretsmanager", arn, ("policy",), guarded)

    # -- what acts ---------------------------------------------------------------------------------------------------

    def _lambda(self, resource: Resource) -> Iterator[Read]:
        client, iam, name = self._clients["lambda"], self._clients["iam"], resource["name"]
        role = resource["expected"]["role"]

        def configured() -> dict[str, Any]:
            found = client.get_function_configuration(FunctionName=name, Qualifier=LIVE)
            return {
                "keepDays": _keep_days(found.get("Environment", {})),
                "timeout": found.get("Timeout"),
                "deadLetters": found.get("DeadLetterConfig", {}).get("TargetArn"),
                "environmentKey": found.get("KMSKeyArn"),
                "role": found["Role"].rpartition("/")[2],
            }

        def open_urls() -> dict[str, Any]:
            return {"urls": sum(self._has_url(name, **qualifier) for qualifier in ({}, {"Qualifier": LIVE}))}

        def permitted() -> dict[str, Any]:
            found: dict[str, str] = {}
            for page in self._pages("iam", "list_role_policies", RoleName=role):
                for policy in page["PolicyNames"]:
                    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
                    for sid, digest in digests(document).items():
                        found[f"{sid} of {policy}" if sid in found else sid] = digest
            return {"rolePolicy": found}

        def attached() -> dict[str, Any]:
            pages = self._pages("iam", "list_attached_role_policies", RoleName=role)
            return {"managedPolicies": sorted(each["PolicyArn"] for page in pages for each in page["AttachedPolicies"])}

        keys = ("keepDays", "timeout", "deadLetters", "environmentKey", "role")
        yield Read("lambda", name, keys, configured)
        yield Read("lambda", name, ("urls",), open_urls)
        yield Read("lambda", name, ("rolePolicy",), permitted)
        yield Read("lambda", name, ("managedPolicies",), attached)

    def _has_url(self, name: str, **qualifier: str) -> bool:
        try:
            self._clients["lambda"].get_function_url_config(FunctionName=name, **qualifier)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return False
        return True

    def _schedule(self, resource: Resource) -> Iterator[Read]:
        scheduler, name = self._clients["scheduler"], resource["name"]
        group, _, own = name.partition("/")

        def described() -> dict[str, Any]:
            found = scheduler.get_schedule(GroupName=group, Name=own)
            return {
                "state": found["State"],
                "expression": found["ScheduleExpression"],
                "target": found["Target"]["Arn"],
            }

        yield Read("scheduler", name, ("state", "expression", "target"), described)

    def _api(self, resource: Resource) -> Iterator[Read]:
        client, api = self._clients["apigatewayv2"], resource["name"]

        def staged() -> dict[str, Any]:
            found = client.get_stage(ApiId=api, StageName="$default")
            limits = found.get("DefaultRouteSettings", {})
            log = found.get("AccessLogSettings", {}).get("DestinationArn")
            return {
                "accessLog": log.removesuffix(":*") if log else None,
                "throttling": {
                    "rate": limits.get("ThrottlingRateLimit"),
                    "burst": limits.get("ThrottlingBurstLimit"),
                },
            }

        def routed() -> dict[str, Any]:
            items = [item for page in self._pages("apigatewayv2", "get_routes", ApiId=api) for item in page["Items"]]
            return {"routes": {item["RouteKey"]: item.get("AuthorizationType", "NONE") for item in items}}

        yield Read("apigateway", api, ("accessLog", "throttling"), staged)
        yield Read("apigateway", api, ("routes",), routed)

    def _alarms(self, names: Sequence[str]) -> Iterator[Read]:
        """Yield a read for each alarm; together they make one call, since CloudWatch takes only a few a second."""
        lock = threading.Lock()
        answers: list[Mapping[str, Mapping[str, Any]] | Exception] = []

        def ask() -> Mapping[str, Mapping[str, Any]] | Exception:
            try:
                pages = self._pages("cloudwatch", "describe_alarms", AlarmNames=list(names))
                return {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}
            except Exception as error:  # noqa: BLE001 - raised again, for each alarm that was asked about
                return error

        def described(name: str) -> dict[str, Any]:
            with lock:
                if not answers:
                    answers.append(ask())
            found = answers[0]
            if isinstance(found, Exception):
                raise found
            alarm = found.get(name)
            if not alarm:
                raise GoneError
            return {
                "enabled": alarm["ActionsEnabled"],
                "actions": sorted(alarm.get("AlarmActions", [])),
                "metric": alarm.get("MetricName"),
                "threshold": alarm.get("Threshold"),
                "period": alarm.get("Period"),
            }

        for name in names:
            keys = ("enabled", "actions", "metric", "threshold", "period")
            yield Read("cloudwatch", name, keys, partial(described, name))


class _Age:
    """The oldest of many copies and those over their time, kept while a listing streams by.

    `over` holds those that may be held, with what names them to S3; `more` counts the others.
    """

    def __init__(self, limit: datetime) -> None:
        self._limit = limit
        self.oldest: datetime | None = None
        self.unasked: datetime | None = None
        self.over: list[tuple[datetime, tuple[str, str]]] = []
        self.more = 0

    def add(self, made: datetime, version: tuple[str, str] | None = None) -> None:
        """Take one copy in; `version` says how to ask whether it is held."""
        if made >= self._limit:
            self.oldest = min(self.oldest or made, made)
        elif version is not None and len(self.over) < HOLDS_LIMIT:
            self.over.append((made, version))
        else:
            self.unasked = min(self.unasked or made, made)
            self.more += 1

    @property
    def found(self) -> Oldest:
        """What was seen of copies that cannot be held."""
        return Oldest(self.unasked or self.oldest, self.more)


_NOT_CONFIGURED: Final[Mapping[str, Any]] = {
    "NoSuchLifecycleConfiguration": {},
    "ServerSideEncryptionConfigurationNotFoundError": None,
    "NoSuchPublicAccessBlockConfiguration": None,
    "OwnershipControlsNotFoundError": None,
    "NoSuchBucketPolicy": {},
    "ObjectLockConfigurationNotFoundError": {"enabled": False, "mode": None, "days": None},
    "ReplicationConfigurationNotFoundError": [],
}
"""What S3's errors for a setting that a bucket does not have stand for."""


def _configured(name: str, question: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {name: question()}
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in _NOT_CONFIGURED:
            raise
        return {name: _NOT_CONFIGURED[code]}


_RULE: Final = frozenset(
    {
        *("ID", "Status", "Filter", "Prefix", "Expiration"),
        *("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"),
    }
)


def rule_of(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a lifecycle rule of S3's answer as it is declared, and whatever else it has beside that."""
    expiration, noncurrent = rule.get("Expiration", {}), rule.get("NoncurrentVersionExpiration", {})
    conditions: Mapping[str, Any] = rule.get("Filter") or {}
    narrow = conditions.keys() - {"Prefix"}
    beyond = {name: json.dumps(rule[name], default=str, sort_keys=True) for name in sorted(rule.keys() - _RULE)}
    if "Date" in expiration:
        beyond["expirationDate"] = str(expiration["Date"])
    if noncurrent.get("NewerNoncurrentVersions"):
        beyond["newerNoncurrentVersions"] = noncurrent["NewerNoncurrentVersions"]
    return {
        "status": rule["Status"],
        "prefix": json.dumps(conditions, sort_keys=True)
        if narrow
        else conditions.get("Prefix", rule.get("Prefix", "")),
        "expirationDays": expiration.get("Days"),
        "noncurrentDays": noncurrent.get("NoncurrentDays"),
        "deleteMarkers": expiration.get("ExpiredObjectDeleteMarker", False),
        "abortDays": rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"),
        **beyond,
    }


def _keep_days(environment: Mapping[str, Any]) -> Any:
    """Return the days that a function writes; who may not decrypt its environment gets an error in the answer."""
    if error := environment.get("Error"):
        return Unread(str(error.get("ErrorCode")), "kms Decrypt")
    return json.loads(environment.get("Variables", {}).get("PARLEY_KEEP_DAYS", "{}"))


def _encryption(answer: Mapping[str, Any]) -> dict[str, Any]:
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
    default = rule["ApplyServerSideEncryptionByDefault"]
    algorithm, key = default["SSEAlgorithm"], default.get("KMSMasterKeyID")
    # A bucket key means nothing with S3's own keys, whatever S3 answers for it there.
    return {"algorithm": algorithm, "key": key, "bucketKey": bool(key and rule.get("BucketKeyEnabled"))}


def _object_lock(answer: Mapping[str, Any]) -> dict[str, Any]:
    lock = answer["ObjectLockConfiguration"]
    default = lock.get("Rule", {}).get("DefaultRetention", {})
    years = {"years": default["Years"]} if default.get("Years") else {}
    enabled = lock.get("ObjectLockEnabled") == "Enabled"
    return {"enabled": enabled, "mode": default.get("Mode"), "days": default.get("Days") or None, **years}


def _logging(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    enabled = answer.get("LoggingEnabled")
    return {"bucket": enabled["TargetBucket"], "prefix": enabled["TargetPrefix"]} if enabled else None
