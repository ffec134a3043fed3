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

Statement = dict[str, Any]

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
_USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
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


def content_key(place: Place) -> str:
    """Return the policy of the key of recordings and messages: used through S3 only."""
    return document(*_owned(place), _use_through(place, "UseThroughS3", ["s3"]))


def evidence_key(place: Place) -> str:
    """Return the policy of the key of the ledger and the evidence bucket: used through DynamoDB and S3 only."""
    return document(
        *_owned(place),
        _use_through(place, "UseThroughS3AndDynamoDb", ["dynamodb", "s3"]),
        _grant_through(place, "GrantThroughDynamoDb", ["dynamodb"]),
    )


def identity_key(place: Place, roles: Sequence[str]) -> str:
    """Return the policy of the HMAC key that turns a phone number into a party key.

    Only the named roles may use it. They are named by condition, not as principals: KMS refuses a policy with a
    principal that does not exist yet, and the roles are made after the key.
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


# Lambda encrypts environment variables under this context (Lambda Developer Guide, "Securing environment variables").
_FUNCTION_CONTEXT = "kms:EncryptionContext:aws:lambda:FunctionArn"


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


def _use_through(place: Place, sid: str, services: Sequence[str]) -> Statement:
    return _statement(
        sid,
        "Allow",
        principal=place.owner,
        actions=_USE,
        resources=["*"],
        conditions={"StringEquals": _through(place, services)},
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
class FunctionReach:
    """Everything one function may touch, by ARN. None and empty mean that it may not."""

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


def function_role(place: Place, reach: FunctionReach) -> str:
    """Return the permissions of one function's role: its own log group and queue, and what it needs of the stores.

    No function may delete from the ledger, read the content bucket, or use a key but through the service that stores
    the data.
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
    if reach.table_actions or reach.index_actions:
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
    return document(*statements)


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
