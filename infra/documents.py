"""Policy documents as JSON text: pure functions over names and ARNs, every statement with a name (Sid).

Keys: the key policy alone decides who may use a key; IAM policies add nothing that it does not name. Administration
never includes use, and use is tied to the service that stores the data (`kms:ViaService`), so no principal can hand
ciphertext to KMS by itself. Source: AWS KMS Developer Guide, "Key policies" and "Condition keys".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.statements import (
    CONTACT_CONTEXT,
    FUNCTION_CONTEXT,
    LINE_CONTEXT,
    Place,
    Statement,
    deny,
    document,
    one_or_many,
    statement,
    through,
)

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
        statement(
            "SealContacts",
            "Allow",
            principal=place.owner,
            actions=["kms:Encrypt"],
            resources=["*"],
            conditions={"ArnLike": {"aws:PrincipalArn": sealers}, **CONTACT_CONTEXT},
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
        statement(
            "UseByRole",
            "Allow",
            principal=place.owner,
            actions=["kms:DescribeKey", "kms:GenerateMac"],
            resources=["*"],
            conditions={"ArnEquals": {"aws:PrincipalArn": [place.role_arn(role) for role in roles]}},
        ),
        statement(
            "UseByDeployer",
            "Allow",
            principal=place.owner,
            actions=["kms:GenerateMac"],
            resources=["*"],
            conditions={"ArnLike": {"aws:PrincipalArn": deployers}},
        ),
    )


def line_key(place: Place, reaching: Sequence[str], opening: Sequence[str]) -> str:
    """Return the policy of the key that seals the numbers of the people in a session.

    `opening` are the names of the roles that seal them, `reaching` of those that call, text or tell these people; each
    only for a session that is named. Nobody who deploys may open one.
    """

    def use(sid: str, action: str, roles: Sequence[str]) -> Statement:
        arns = [place.role_arn(role) for role in roles]
        conditions = {**LINE_CONTEXT, "ArnEquals": {"aws:PrincipalArn": arns}}
        return statement(sid, "Allow", principal=place.owner, actions=[action], resources=["*"], conditions=conditions)

    return document(
        *_owned(place), use("SealByRole", "kms:Encrypt", opening), use("OpenByRole", "kms:Decrypt", reaching)
    )


def proof_key(place: Place, signers: Sequence[str], verifiers: Sequence[str]) -> str:
    """Return the policy of the asymmetric key that signs proofs of erasure. Both are names of roles.

    Whoever IAM lets read a key in this account may have the public half, by which anybody verifies a proof without us.
    """
    return document(
        *_owned(place),
        statement(
            "SignByRole",
            "Allow",
            principal=place.owner,
            actions=["kms:Sign"],
            resources=["*"],
            conditions={"ArnEquals": {"aws:PrincipalArn": [place.role_arn(role) for role in signers]}},
        ),
        statement(
            "VerifyByRole",
            "Allow",
            principal=place.owner,
            actions=["kms:Verify"],
            resources=["*"],
            conditions={"ArnEquals": {"aws:PrincipalArn": [place.role_arn(role) for role in verifiers]}},
        ),
        statement("ReadPublicKey", "Allow", principal=place.owner, actions=["kms:GetPublicKey"], resources=["*"]),
    )


def operations_key(place: Place, prefix: str, log_groups: Sequence[str], roles: Sequence[str]) -> str:
    """Return the policy of the key of logs, queues, the alarm topic, the Twilio secret and function environments.

    `prefix` starts the names of this stack's alarms and functions; `log_groups` are names or patterns.
    """
    return document(
        *_owned(place),
        _use_through(place, "UseThroughServices", ["lambda", "secretsmanager", "sns", "sqs"]),
        _grant_through(place, "GrantThroughLambda", ["lambda"]),
        statement(
            "UseByRole",
            "Allow",
            principal=place.owner,
            actions=["kms:Decrypt"],
            resources=["*"],
            conditions={
                "ArnEquals": {"aws:PrincipalArn": [place.role_arn(role) for role in roles]},
                "ArnLike": {FUNCTION_CONTEXT: place.arn("lambda", f"function:{prefix}-*")},
            },
        ),
        statement(
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
        statement(
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


def _owned(place: Place) -> tuple[Statement, Statement]:
    return (
        # The account can always mend the policy, so no key is ever out of reach; it cannot use the key by that.
        statement(
            "KeyOwner",
            "Allow",
            principal=place.owner,
            actions=["kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy"],
            resources=["*"],
        ),
        statement("KeyAdministration", "Allow", principal=place.owner, actions=_ADMINISTRATION, resources=["*"]),
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
    return statement(
        sid,
        "Allow",
        principal=place.owner,
        actions=actions,
        resources=["*"],
        conditions={"StringEquals": through(place, services), **(context or {})},
    )


def _grant_through(place: Place, sid: str, services: Sequence[str]) -> Statement:
    return statement(
        sid,
        "Allow",
        principal=place.owner,
        actions=["kms:CreateGrant"],
        resources=["*"],
        conditions={
            "Bool": {"kms:GrantIsForAWSResource": "true"},
            "StringEquals": through(place, services),
        },
    )


# -- buckets ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may look into a bucket, by ARNs or patterns: read objects, list them, list all their versions.

    `uploaders` put objects in parts.
    """

    uploaders: Sequence[str]
    readers: Sequence[str]
    listers: Sequence[str]
    inspectors: Sequence[str]


def data_bucket(bucket_arn: str, key_arn: str, prefixes: Sequence[str], doors: Doors | None = None) -> str:
    """Return the policy of a bucket whose objects are encrypted under one key and expire by their prefix.

    Every writer must name `aws:kms` and that key, so that no object lands under another key even where somebody
    changed the bucket's default. `prefixes` are those of the declared record classes: under any other key no
    lifecycle rule would ever delete an object. With `doors` nobody else may look in, whatever IAM lets them: who has to
    must be let in here, which leaves a trace.
    """
    objects = f"{bucket_arn}/*"
    return document(
        statement(
            "DenyUndeclaredClass",
            "Deny",
            principal={"AWS": "*"},
            actions=["s3:PutObject"],
            but_resources=[f"{bucket_arn}/{prefix}*" for prefix in sorted(prefixes)] or [bucket_arn],
        ),
        *_transport(bucket_arn),
        deny("DenyUnencrypted", objects, ["s3:PutObject"], {"Null": {_ENCRYPTION: "true"}, **_but_parts(doors)}),
        deny(
            "DenyOtherEncryption",
            objects,
            ["s3:PutObject"],
            {"Null": {_ENCRYPTION: "false"}, "StringNotEquals": {_ENCRYPTION: "aws:kms"}},
        ),
        deny(
            "DenyOtherKey",
            objects,
            ["s3:PutObject"],
            {"Null": {_ENCRYPTION: "false"}, "StringNotEquals": {f"{_ENCRYPTION}-aws-kms-key-id": key_arn}},
        ),
        _deny_customer_key(objects),
        *(_keep_out(bucket_arn, doors) if doors else ()),
    )


_ENCRYPTION = "s3:x-amz-server-side-encryption"


def _but_parts(doors: Doors | None) -> dict[str, Any]:
    """Let whoever uploads in parts leave the encryption out, which only the first of its requests can name.

    S3 authorises each part as a PutObject (S3 User Guide, "Multipart upload and permissions"). What such a request
    leaves out is the bucket's default, which is its own key.
    """
    return {"StringNotLike": {"aws:PrincipalArn": doors.uploaders}} if doors else {}


def _keep_out(bucket_arn: str, doors: Doors) -> tuple[Statement, ...]:
    objects = [f"{bucket_arn}/*"]

    def unless(allowed: Sequence[str]) -> dict[str, Any]:
        return {"StringNotLike": {"aws:PrincipalArn": allowed}}

    return (
        deny("DenyOtherReaders", objects, ["s3:GetObject", "s3:GetObjectVersion"], unless(doors.readers)),
        deny("DenyOtherListers", bucket_arn, ["s3:ListBucket"], unless(doors.listers)),
        deny(
            "DenyOtherInspectors",
            bucket_arn,
            ["s3:ListBucketMultipartUploads", "s3:ListBucketVersions"],
            unless(doors.inspectors),
        ),
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
            statement(
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
        deny("DenyInsecureTransport", everything, ["s3:*"], _PLAIN_TRANSPORT),
        deny("DenyOldTls", everything, ["s3:*"], {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    )


def _deny_customer_key(objects: str) -> Statement:
    # An object under a key of the caller's own could be read by nobody else, nor proved to be anything.
    name = "s3:x-amz-server-side-encryption-customer-algorithm"
    return deny("DenyCustomerKey", objects, ["s3:PutObject"], {"Null": {name: "false"}})


# -- queues, topics, secrets -----------------------------------------------------------------------

_PLAIN_TRANSPORT = {"Bool": {"aws:SecureTransport": "false"}}


def queue(place: Place, queue_arn: str) -> str:
    """Return the policy of a queue: TLS only, this account only."""
    return document(
        deny("DenyInsecureTransport", queue_arn, ["sqs:*"], _PLAIN_TRANSPORT),
        deny("DenyOtherAccounts", queue_arn, ["sqs:*"], {"StringNotEquals": {"aws:PrincipalAccount": place.account}}),
    )


def alarm_topic(place: Place, topic_arn: str, prefix: str) -> str:
    """Return the policy of the topic that this stack's alarms publish to."""
    return document(
        statement(
            "PublishAlarms",
            "Allow",
            principal={"Service": "cloudwatch.amazonaws.com"},
            actions=["sns:Publish"],
            resources=[topic_arn],
            conditions=_from_alarms(place, prefix),
        ),
        deny("DenyInsecureTransport", topic_arn, ["sns:Publish"], _PLAIN_TRANSPORT),
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
        deny(
            "DenyOtherReaders",
            secret_arn,
            ["secretsmanager:GetSecretValue"],
            {"StringNotLike": {"aws:PrincipalArn": one_or_many(allowed)}},
        ),
        deny("DenyInsecureTransport", secret_arn, ["secretsmanager:*"], _PLAIN_TRANSPORT),
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
