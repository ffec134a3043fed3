"""Policy documents as JSON text: pure functions over names and ARNs, every statement with a name (Sid).

Lists of one are written as a plain value, and statements in the order given, as AWS itself gives them back; so a
document that was not changed never shows as a difference.

Keys: the key policy alone decides who may use a key; IAM policies add nothing that it does not name. Administration
never includes use, and use is tied to the service that stores the data (`kms:ViaService`), so no principal can hand
ciphertext to KMS by itself. Source: AWS KMS Developer Guide, "Key policies" and "Condition keys".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parley.core.retention import CURRENT_DECLARATION, RecordClass

Statement = dict[str, Any]

COPIES = f"{RecordClass.CONSENT_EVIDENCE}/"
"""Where the copies of consent records lie in the evidence bucket."""

_ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)
_DESCRIBE = "kms:DescribeKey"
_USE = ("kms:Decrypt", _DESCRIBE, "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
_DELIVER = ("kms:Decrypt", "kms:GenerateDataKey*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stack lives: an account (12 digits) in a region of a partition."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def role_arn(self, name: str) -> str:
        """Return the ARN of a role of this account."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    @property
    def owner(self) -> Mapping[str, str]:
        """The account itself as a principal."""
        return {"AWS": f"arn:{self.partition}:iam::{self.account}:root"}


def document(*statements: Statement) -> str:
    """Return a policy document of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, separators=(",", ":"))


# -- keys ------------------------------------------------------------------------------------------


def content_key(place: Place, buckets: str) -> str:
    """Return the policy of the key of recordings and messages: used through S3, for objects of the content bucket.

    `buckets` is the pattern of its name: the key is made first, and the name is known only then.
    """
    return document(*_owned(place), _use_by_objects(place, buckets))


def evidence_key(place: Place, buckets: str, tables: str, sealers: Sequence[str]) -> str:
    """Return the policy of the key of the ledger and the evidence bucket: used through DynamoDB and S3, for these only.

    `buckets` and `tables` are patterns of names. DynamoDB names the table in the encryption context of whatever it
    encrypts (DynamoDB Developer Guide, "Encryption at rest: how it works"); describing and granting have no context.
    `sealers` are ARNs or patterns of who may encrypt a person's plain identifier for the ledger. Nobody may decrypt
    one: whoever has to read it must first be let in here, which leaves a trace.
    """
    return document(
        *_owned(place),
        _use_by_objects(place, buckets),
        _use_through(
            place,
            "UseThroughDynamoDb",
            ["dynamodb"],
            actions=[action for action in _USE if action != _DESCRIBE],
            context={"StringLike": {_TABLE_CONTEXT: tables}},
        ),
        _use_through(place, "DescribeThroughDynamoDb", ["dynamodb"], actions=[_DESCRIBE]),
        _grant_through(place, "GrantThroughDynamoDb", ["dynamodb"]),
        _statement(
            "SealContacts",
            "Allow",
            principal=place.owner,
            actions=["kms:Encrypt"],
            resources=["*"],
            conditions={"ArnLike": {"aws:PrincipalArn": sealers}, **_CONTACT_CONTEXT},
        ),
    )


def identity_key(place: Place, roles: Sequence[str], deployers: Sequence[str]) -> str:
    """Return the policy of the HMAC key that turns a phone number into a party key.

    Only the named roles may use it. They are named by condition, not as principals: KMS refuses a policy with a
    principal that does not exist yet, and the roles are made after the key. `deployers` are ARNs or patterns of whoever
    runs the deployment, and with it the command that imports consents and shows receipts.
    """
    return document(
        *_owned(place),
        _statement(
            "UseByRole",
            "Allow",
            principal=place.owner,
            actions=["kms:DescribeKey", "kms:GenerateMac"],
            resources=["*"],
            conditions={"ArnEquals": {"aws:PrincipalArn": [place.role_arn(role) for role in roles]}},
        ),
        _statement(
            "UseByDeployer",
            "Allow",
            principal=place.owner,
            actions=["kms:GenerateMac"],
            resources=["*"],
            conditions={"ArnLike": {"aws:PrincipalArn": deployers}},
        ),
    )


def operations_key(place: Place, prefix: str, log_groups: Sequence[str], roles: Sequence[str]) -> str:
    """Return the policy of the key of logs, queues, the alarm topic, the Twilio secret and function environments.

    `prefix` starts the names of this stack's alarms and functions; `log_groups` are names or patterns.
    """
    return document(
        *_owned(place),
        _use_through(place, "UseThroughServices", ["lambda", "secretsmanager", "sns", "sqs"]),
        _grant_through(place, "GrantThroughLambda", ["lambda"]),
        _statement(
            "UseByRole",
            "Allow",
            principal=place.owner,
            actions=["kms:Decrypt"],
            resources=["*"],
            conditions={
                "ArnEquals": {"aws:PrincipalArn": [place.role_arn(role) for role in roles]},
                "ArnLike": {_FUNCTION_CONTEXT: place.arn("lambda", f"function:{prefix}-*")},
            },
        ),
        _statement(
            "UseByLogs",
            "Allow",
            principal={"Service": f"logs.{place.region}.amazonaws.com"},
            actions=[*_USE],
            resources=["*"],
            conditions={
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": [place.arn("logs", f"log-group:{g}") for g in log_groups]
                }
            },
        ),
        # CloudWatch sends both keys when an alarm publishes to an encrypted topic; EventBridge would send neither.
        _statement(
            "UseByAlarms",
            "Allow",
            principal={"Service": "cloudwatch.amazonaws.com"},
            actions=[*_DELIVER],
            resources=["*"],
            conditions=_from_alarms(place, prefix),
        ),
    )


# With a bucket key S3 names the bucket, without one the object (S3 User Guide, "Using SSE-KMS", encryption context).
_OBJECT_CONTEXT = "kms:EncryptionContext:aws:s3:arn"
_TABLE_CONTEXT = "kms:EncryptionContext:aws:dynamodb:tableName"
# Lambda encrypts environment variables under this context (Lambda Developer Guide, "Securing environment variables").
_FUNCTION_CONTEXT = "kms:EncryptionContext:aws:lambda:FunctionArn"
# What `parley.adapters.identity.Contacts` seals under: whose it is, and what for.
_CONTACT_CONTEXT = {
    "Null": {"kms:EncryptionContext:party": "false"},
    "StringEquals": {"kms:EncryptionContext:purpose": "contact"},
}


def _owned(place: Place) -> tuple[Statement, Statement]:
    return (
        # The account can always mend the policy, so no key is ever out of reach; it cannot use the key by that.
        _statement(
            "KeyOwner",
            "Allow",
            principal=place.owner,
            actions=["kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy"],
            resources=["*"],
        ),
        _statement("KeyAdministration", "Allow", principal=place.owner, actions=_ADMINISTRATION, resources=["*"]),
    )


def _use_by_objects(place: Place, buckets: str) -> Statement:
    """Let S3 use the key for the objects of some buckets, named by a pattern, and for nothing else."""
    return _use_through(
        place,
        "UseThroughS3",
        ["s3"],
        actions=[action for action in _USE if action != _DESCRIBE],
        context={"ArnLike": {_OBJECT_CONTEXT: f"arn:{place.partition}:s3:::{buckets}"}},
    )


def _use_through(
    place: Place,
    sid: str,
    services: Sequence[str],
    *,
    actions: Sequence[str] = _USE,
    context: Mapping[str, Any] | None = None,
) -> Statement:
    return _statement(
        sid,
        "Allow",
        principal=place.owner,
        actions=actions,
        resources=["*"],
        conditions={"StringEquals": _through(place, services), **(context or {})},
    )


def _grant_through(place: Place, sid: str, services: Sequence[str]) -> Statement:
    return _statement(
        sid,
        "Allow",
        principal=place.owner,
        actions=["kms:CreateGrant"],
        resources=["*"],
        conditions={
            "Bool": {"kms:GrantIsForAWSResource": "true"},
            "StringEquals": _through(place, services),
        },
    )


def _through(place: Place, services: Sequence[str]) -> dict[str, Any]:
    return {
        "kms:CallerAccount": place.account,
        "kms:ViaService": _one_or_many([f"{service}.{place.region}.amazonaws.com" for service in services]),
    }


# -- buckets ---------------------------------------------------------------------------------------


def data_bucket(bucket_arn: str, key_arn: str, prefixes: Sequence[str]) -> str:
    """Return the policy of a bucket whose objects are encrypted under one key and expire by their prefix.

    Every writer must name `aws:kms` and that key, so that no object lands under another key even where somebody
    changed the bucket's default. `prefixes` are those of the declared record classes: under any other key no
    lifecycle rule would ever delete an object.
    """
    objects = f"{bucket_arn}/*"
    return document(
        _statement(
            "DenyUndeclaredClass",
            "Deny",
            principal={"AWS": "*"},
            actions=["s3:PutObject"],
            but_resources=[f"{bucket_arn}/{prefix}*" for prefix in sorted(prefixes)] or [bucket_arn],
        ),
        *_transport(bucket_arn),
        _deny("DenyUnencrypted", objects, ["s3:PutObject"], {"Null": {"s3:x-amz-server-side-encryption": "true"}}),
        _deny(
            "DenyOtherEncryption",
            objects,
            ["s3:PutObject"],
            {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
        ),
        _deny(
            "DenyOtherKey",
            objects,
            ["s3:PutObject"],
            {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key_arn}},
        ),
        _deny_customer_key(objects),
    )


def log_bucket(place: Place, bucket_arn: str, sources: Mapping[str, str]) -> str:
    """Return the policy of the bucket that S3 delivers access logs to.

    `sources` maps the prefix of each logged bucket to its ARN: the service may deliver for those only, and each
    under its own prefix (Amazon S3 User Guide, "Enabling Amazon S3 server access logging").
    """
    return document(
        *_transport(bucket_arn),
        _deny_customer_key(f"{bucket_arn}/*"),
        *(
            _statement(
                f"DeliverLogsOf{prefix.title().replace('-', '')}",
                "Allow",
                principal={"Service": "logging.s3.amazonaws.com"},
                actions=["s3:PutObject"],
                resources=[f"{bucket_arn}/{prefix}/*"],
                conditions={
                    "ArnEquals": {"aws:SourceArn": source},
                    "StringEquals": {"aws:SourceAccount": place.account},
                },
            )
            for prefix, source in sorted(sources.items())
        ),
    )


def _transport(bucket_arn: str) -> tuple[Statement, Statement]:
    everything = [bucket_arn, f"{bucket_arn}/*"]
    return (
        _deny("DenyInsecureTransport", everything, ["s3:*"], _PLAIN_TRANSPORT),
        _deny("DenyOldTls", everything, ["s3:*"], {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    )


def _deny_customer_key(objects: str) -> Statement:
    # An object under a key of the caller's own could be read by nobody else, nor proved to be anything.
    name = "s3:x-amz-server-side-encryption-customer-algorithm"
    return _deny("DenyCustomerKey", objects, ["s3:PutObject"], {"Null": {name: "false"}})


# -- queues, topics, secrets -----------------------------------------------------------------------

_PLAIN_TRANSPORT = {"Bool": {"aws:SecureTransport": "false"}}


def queue(place: Place, queue_arn: str) -> str:
    """Return the policy of a queue: TLS only, this account only."""
    return document(
        _deny("DenyInsecureTransport", queue_arn, ["sqs:*"], _PLAIN_TRANSPORT),
        _deny("DenyOtherAccounts", queue_arn, ["sqs:*"], {"StringNotEquals": {"aws:PrincipalAccount": place.account}}),
    )


def alarm_topic(place: Place, topic_arn: str, prefix: str) -> str:
    """Return the policy of the topic that this stack's alarms publish to."""
    return document(
        _statement(
            "PublishAlarms",
            "Allow",
            principal={"Service": "cloudwatch.amazonaws.com"},
            actions=["sns:Publish"],
            resources=[topic_arn],
            conditions=_from_alarms(place, prefix),
        ),
        _deny("DenyInsecureTransport", topic_arn, ["sns:Publish"], _PLAIN_TRANSPORT),
    )


def _from_alarms(place: Place, prefix: str) -> dict[str, Any]:
    return {
        "ArnLike": {"aws:SourceArn": place.arn("cloudwatch", f"alarm:{prefix}-*")},
        "StringEquals": {"aws:SourceAccount": place.account},
    }


def secret(place: Place, secret_arn: str, readers: Sequence[str], deployers: Sequence[str]) -> str:
    """Return the policy of a secret that only the reading roles and the deploying principals may read.

    `readers` are role names; `deployers` are ARNs or patterns of whoever runs the deployment, which reads the secret
    back to see drift. The root user is let in because it could take the policy away anyhow.
    """
    allowed = [*(place.role_arn(role) for role in readers), place.owner["AWS"], *deployers]
    return document(
        _deny(
            "DenyOtherReaders",
            secret_arn,
            ["secretsmanager:GetSecretValue"],
            {"StringNotLike": {"aws:PrincipalArn": _one_or_many(allowed)}},
        ),
        _deny("DenyInsecureTransport", secret_arn, ["secretsmanager:*"], _PLAIN_TRANSPORT),
    )


def principal_patterns(caller_arn: str) -> tuple[str, ...]:
    """Return what `aws:PrincipalArn` can be for a caller as `sts:GetCallerIdentity` names it.

    A session of an assumed role is named by the role's name alone, its path is lost, so a role gives two patterns.
    """
    start, _, resource = caller_arn.rpartition(":")
    kind, *rest = resource.split("/")
    if kind == "assumed-role" and rest:
        start = start.replace(":sts:", ":iam:")
        return (f"{start}:role/{rest[0]}", f"{start}:role/*/{rest[0]}")
    return (caller_arn,)


# -- roles -----------------------------------------------------------------------------------------


def assume_by_lambda() -> str:
    """Return the trust policy of a function's role.

    Without `aws:SourceAccount`: roles were refused where Lambda did not send that key (prowler issues 2810, 4714,
    7021), and only functions of the role's own account can be given the role (`iam:PassRole`).
    """
    return document(_assume("AssumeByLambda", "lambda.amazonaws.com"))


def assume_by_scheduler(place: Place, group: str) -> str:
    """Return the trust policy of a schedule's role: only for schedules of this account's group.

    EventBridge Scheduler User Guide, "Confused deputy prevention": the source is the schedule group, not a schedule.
    """
    return document(
        _assume(
            "AssumeByScheduler",
            "scheduler.amazonaws.com",
            {
                "ArnEquals": {"aws:SourceArn": place.arn("scheduler", f"schedule-group/{group}")},
                "StringEquals": {"aws:SourceAccount": place.account},
            },
        )
    )


def _assume(sid: str, service: str, conditions: Mapping[str, Any] | None = None) -> Statement:
    return _statement(sid, "Allow", principal={"Service": service}, actions=["sts:AssumeRole"], conditions=conditions)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the daily check reads the settings of: ARNs of buckets and keys, and what starts the stack's other names."""

    prefix: str
    content: str
    evidence: str
    access_logs: str
    keys: Sequence[str]
    api: str


@dataclass(frozen=True, slots=True)
class FunctionReach:
    """Everything one function may touch, by ARN. None and empty mean that it may not.

    Of the copies in the bucket `evidence` a function makes new ones, or, where it `audits`, reads them.
    """

    function: str
    log_group: str
    dead_letters: str
    operations_key: str
    table: str
    evidence_key: str
    table_actions: Sequence[str]
    index_actions: Sequence[str] = ()
    secret: str | None = None
    identity_key: str | None = None
    seals: bool = False
    inspects: Inspection | None = None
    stream: str | None = None
    evidence: str | None = None
    audits: bool = False


def function_role(place: Place, reach: FunctionReach) -> str:
    """Return the permissions of one function's role: its own log group and queue, and what it needs of the stores.

    No function may delete from the ledger, read objects of the content bucket, or use a key but through the service
    that stores the data.
    """
    statements = [
        _allow("WriteOwnLogs", [f"{reach.log_group}:*"], ["logs:CreateLogStream", "logs:PutLogEvents"]),
        _allow("SendOwnDeadLetters", [reach.dead_letters], ["sqs:SendMessage"]),
        _allow(
            "EncryptDeadLetters",
            [reach.operations_key],
            ["kms:Decrypt", "kms:GenerateDataKey"],
            {"StringEquals": _through(place, ["sqs"])},
        ),
        _allow(
            "DecryptOwnEnvironment",
            [reach.operations_key],
            ["kms:Decrypt"],
            {"ArnLike": {_FUNCTION_CONTEXT: [reach.function, f"{reach.function}:*"]}},
        ),
    ]
    if reach.table_actions:
        statements.append(_allow("UseLedger", [reach.table], reach.table_actions))
    if reach.index_actions:
        statements.append(_allow("UseOpenSessions", [f"{reach.table}/index/open-sessions"], reach.index_actions))
    if reach.table_actions or reach.index_actions or reach.inspects or reach.stream:
        statements.append(
            _allow(
                "DecryptLedger",
                [reach.evidence_key],
                ["kms:Decrypt"],
                {"StringEquals": _through(place, ["dynamodb"])},
            )
        )
    if reach.identity_key:
        statements.append(_allow("MakePartyKeys", [reach.identity_key], ["kms:GenerateMac"]))
    if reach.seals:
        statements.append(_allow("SealContacts", [reach.evidence_key], ["kms:Encrypt"], _CONTACT_CONTEXT))
    if reach.secret:
        statements += [
            _allow("ReadTwilioSecret", [reach.secret], ["secretsmanager:GetSecretValue"]),
            _allow(
                "DecryptTwilioSecret",
                [reach.operations_key],
                ["kms:Decrypt"],
                {"StringEquals": _through(place, ["secretsmanager"])},
            ),
        ]
    if reach.inspects:
        statements += _inspect(place, reach, reach.inspects)
    if reach.stream:
        statements += [
            _allow(
                "ReadStream",
                [reach.stream],
                ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
            ),
            _allow("ListStreams", [f"{reach.table}/stream/*"], ["dynamodb:ListStreams"]),
        ]
    if reach.evidence:
        statements += _copies(place, reach, reach.evidence)
    return document(*statements)


def _copies(place: Place, reach: FunctionReach, bucket: str) -> list[Statement]:
    """Return what lets a function make copies of consent records, or read them and keep where it has come to.

    Making one never needs to read: S3 itself refuses a second one (`If-None-Match`). Without the right to list, S3
    would not tell a missing copy from a forbidden one.
    """
    objects, through = [f"{bucket}/{COPIES}*"], {"StringEquals": _through(place, ["s3"])}
    if not reach.audits:
        return [
            _allow("MakeCopies", objects, ["s3:PutObject"]),
            _allow("EncryptCopies", [reach.evidence_key], ["kms:GenerateDataKey"], through),
        ]
    return [
        _allow("ListCopies", [bucket], ["s3:ListBucket"], {"StringLike": {"s3:prefix": f"{COPIES}*"}}),
        _allow("ReadCopies", objects, ["s3:GetObject"]),
        _allow("DecryptCopies", [reach.evidence_key], ["kms:Decrypt"], through),
        _allow(
            "KeepCursor",
            [reach.table],
            ["dynamodb:PutItem"],
            {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "CURSOR#chains-*"}},
        ),
    ]


_BUCKET_SETTINGS = (
    "s3:GetBucketLogging",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetInventoryConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration",
)
_LIST_VERSIONS = ("s3:ListBucketMultipartUploads", "s3:ListBucketVersions")


def _inspect(place: Place, reach: FunctionReach, stack: Inspection) -> list[Statement]:
    """Return what lets the daily check read settings and list versions, but no record.

    Of a row it may read the keys, which DynamoDB demands, and the time at which it expires. Where a star stands alone,
    or for all of the account, the action knows no narrower resource (Service Authorization Reference).
    """
    named = f"{stack.prefix}-*"
    data = [stack.content, stack.evidence]
    functions = place.arn("lambda", f"function:{named}")
    return [
        _allow("ReadDeclaration", [f"{stack.evidence}/{CURRENT_DECLARATION}"], ["s3:GetObject"]),
        _allow("DecryptDeclaration", [reach.evidence_key], ["kms:Decrypt"], {"StringEquals": _through(place, ["s3"])}),
        _allow("ReadBucketSettings", [*data, stack.access_logs], [*_BUCKET_SETTINGS, *_LIST_VERSIONS]),
        _allow("ReadLegalHolds", [f"{bucket}/*" for bucket in data], ["s3:GetObjectLegalHold"]),
        _allow("ReadKeySettings", stack.keys, [_DESCRIBE, "kms:GetKeyPolicy", "kms:GetKeyRotationStatus"]),
        _allow(
            "ReadTableSettings",
            [reach.table],
            ["dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"],
        ),
        _allow("ListBackups", ["*"], ["dynamodb:ListBackups"]),
        _allow(
            "ReadExpiryOfRows",
            [reach.table],
            ["dynamodb:Scan"],
            {
                "ForAllValues:StringEquals": {"dynamodb:Attributes": ["expires_at", "open_shard", "pk", "sk"]},
                "StringEquals": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"},
            },
        ),
        _allow("ReadLogSettings", [place.arn("logs", "log-group:*")], ["logs:DescribeLogGroups"]),
        _allow("ReadQueueSettings", [place.arn("sqs", named)], ["sqs:GetQueueAttributes"]),
        _allow("ReadTopicSettings", [place.arn("sns", named)], ["sns:GetTopicAttributes"]),
        _allow(
            "ReadSecretSettings",
            [reach.secret] if reach.secret else [],
            ["secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"],
        ),
        _allow("ReadFunctions", [functions], ["lambda:GetFunctionConfiguration", "lambda:GetFunctionUrlConfig"]),
        _allow(
            "DecryptEnvironments", [reach.operations_key], ["kms:Decrypt"], {"ArnLike": {_FUNCTION_CONTEXT: functions}}
        ),
        _allow(
            "ReadRoles",
            [place.role_arn(named)],
            ["iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"],
        ),
        _allow("ReadSchedules", [place.arn("scheduler", f"schedule/{stack.prefix}/*")], ["scheduler:GetSchedule"]),
        _allow(
            "ReadApi", [f"arn:{place.partition}:apigateway:{place.region}::/apis/{stack.api}/*"], ["apigateway:GET"]
        ),
        _allow("ReadAlarms", [place.arn("cloudwatch", "alarm:*")], ["cloudwatch:DescribeAlarms"]),
    ]


def schedule_role(place: Place, target: str, dead_letters: str, key: str) -> str:
    """Return the permissions of a schedule's role: start its one function, and set aside what it could not start."""
    return document(
        _allow("StartTarget", [target], ["lambda:InvokeFunction"]),
        _allow("SendDeadLetters", [dead_letters], ["sqs:SendMessage"]),
        _allow(
            "EncryptDeadLetters",
            [key],
            ["kms:Decrypt", "kms:GenerateDataKey"],
            {"StringEquals": _through(place, ["sqs"])},
        ),
    )


# -- statements ------------------------------------------------------------------------------------


def _allow(
    sid: str, resources: Sequence[str], actions: Sequence[str], conditions: Mapping[str, Any] | None = None
) -> Statement:
    return _statement(sid, "Allow", actions=actions, resources=resources, conditions=conditions)


def _deny(sid: str, resources: str | Sequence[str], actions: Sequence[str], conditions: Mapping[str, Any]) -> Statement:
    listed = [resources] if isinstance(resources, str) else resources
    return _statement(sid, "Deny", principal={"AWS": "*"}, actions=actions, resources=listed, conditions=conditions)


def _statement(
    sid: str,
    effect: str,
    *,
    actions: Sequence[str],
    resources: Sequence[str] = (),
    but_resources: Sequence[str] = (),
    principal: Mapping[str, str] | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> Statement:
    statement: Statement = {"Sid": sid, "Effect": effect}
    if principal:
        statement["Principal"] = principal
    statement["Action"] = _one_or_many(actions)
    if resources:
        statement["Resource"] = _one_or_many(resources)
    if but_resources:
        statement["NotResource"] = _one_or_many(but_resources)
    if conditions:
        statement["Condition"] = {
            operator: {key: _one_or_many(value) for key, value in sorted(keys.items())}
            for operator, keys in sorted(conditions.items())
        }
    return statement


def _one_or_many(values: str | Iterable[str]) -> str | list[str]:
    listed = [values] if isinstance(values, str) else list(values)
    return listed[0] if len(listed) == 1 else listed
