"""Roles: who may take each one on, and what each function may touch.

No function may delete from the ledger but the one that erases, and none may use a key but through the service that
stores the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parley.core.retention import CURRENT_DECLARATION

from infra.functions import Objects
from infra.statements import (
    CONTACT_CONTEXT,
    COPIES,
    FUNCTION_CONTEXT,
    LINE_CONTEXT,
    PROOFS,
    Place,
    Statement,
    allow,
    document,
    statement,
    through,
)


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
    return statement(sid, "Allow", principal={"Service": service}, actions=["sts:AssumeRole"], conditions=conditions)


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
class ObjectReach:
    """What a function does with the objects of the buckets, and their keys, by ARN."""

    does: Objects
    content: str
    content_key: str
    evidence: str
    proof_key: str


@dataclass(frozen=True, slots=True)
class FunctionReach:
    """Everything one function may touch, by ARN. None and empty mean that it may not.

    Of the copies in the bucket `evidence` a function makes new ones, or, where it `audits`, reads them. `work` is the
    queue that feeds it, `sends` are those that it puts work on. `line_key` opens the sealed numbers of the people in a
    session, and where it `opens` sessions seals them.
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
    proof_key: str | None = None
    audits: bool = False
    work: str | None = None
    sends: Sequence[str] = ()
    objects: ObjectReach | None = None
    line_key: str | None = None
    opens: bool = False


def function_role(place: Place, reach: FunctionReach) -> str:
    """Return the permissions of one function's role: its own log group and queue, and what it needs of the stores."""
    statements = [
        allow("WriteOwnLogs", [f"{reach.log_group}:*"], ["logs:CreateLogStream", "logs:PutLogEvents"]),
        allow("SendOwnDeadLetters", [reach.dead_letters], ["sqs:SendMessage"]),
        allow(
            "EncryptDeadLetters",
            [reach.operations_key],
            ["kms:Decrypt", "kms:GenerateDataKey"],
            {"StringEquals": through(place, ["sqs"])},
        ),
        allow(
            "DecryptOwnEnvironment",
            [reach.operations_key],
            ["kms:Decrypt"],
            {"ArnLike": {FUNCTION_CONTEXT: [reach.function, f"{reach.function}:*"]}},
        ),
    ]
    if reach.table_actions:
        statements.append(allow("UseLedger", [reach.table], reach.table_actions))
    if reach.index_actions:
        statements.append(allow("UseOpenSessions", [f"{reach.table}/index/open-sessions"], reach.index_actions))
    if reach.table_actions or reach.index_actions or reach.inspects or reach.stream:
        statements.append(
            allow(
                "DecryptLedger",
                [reach.evidence_key],
                ["kms:Decrypt"],
                {"StringEquals": through(place, ["dynamodb"])},
            )
        )
    if reach.identity_key:
        statements.append(allow("MakePartyKeys", [reach.identity_key], ["kms:GenerateMac"]))
    if reach.seals:
        statements.append(allow("SealContacts", [reach.evidence_key], ["kms:Encrypt"], CONTACT_CONTEXT))
    if reach.line_key:
        actions = ["kms:Decrypt", *(["kms:Encrypt"] if reach.opens else [])]
        statements.append(allow("ReachParties", [reach.line_key], actions, LINE_CONTEXT))
    if reach.secret:
        statements += [
            allow("ReadTwilioSecret", [reach.secret], ["secretsmanager:GetSecretValue"]),
            allow(
                "DecryptTwilioSecret",
                [reach.operations_key],
                ["kms:Decrypt"],
                {"StringEquals": through(place, ["secretsmanager"])},
            ),
        ]
    if reach.inspects:
        statements += _inspect(place, reach, reach.inspects)
    if reach.stream:
        statements += [
            allow(
                "ReadStream",
                [reach.stream],
                ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
            ),
            allow("ListStreams", [f"{reach.table}/stream/*"], ["dynamodb:ListStreams"]),
        ]
    if reach.evidence:
        statements += _copies(place, reach, reach.evidence)
    statements += _work(reach)
    if reach.objects:
        statements += _OBJECTS[reach.objects.does](place, reach, reach.objects)
    return document(*statements)


def _work(reach: FunctionReach) -> Iterator[Statement]:
    """Yield what lets a function be fed by its queue, and put work on others."""
    if reach.work:
        actions = ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
        yield allow("TakeOwnWork", [reach.work], [f"sqs:{action}" for action in actions])
    if reach.sends:
        yield allow("SendWork", reach.sends, ["sqs:SendMessage"])


def _archive(place: Place, _reach: FunctionReach, objects: ObjectReach) -> list[Statement]:
    """Return what lets a function archive content, and see whether what it wrote is there.

    It takes a version back that it made while the record was being erased or dropped.
    """
    return [
        allow(
            "ArchiveContent",
            [f"{objects.content}/*"],
            [
                "s3:AbortMultipartUpload",
                "s3:DeleteObjectVersion",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
                "s3:PutObjectLegalHold",
                "s3:PutObjectTagging",
            ],
        ),
        # Without the right to list, S3 would not tell a missing object from a forbidden one.
        allow("ListContent", [objects.content], ["s3:ListBucket"]),
        _content(place, objects, "kms:Decrypt", "kms:GenerateDataKey"),
    ]


def _read(place: Place, _reach: FunctionReach, objects: ObjectReach) -> list[Statement]:
    """Return what lets a function sign addresses under which somebody reads one object for a few minutes."""
    return [
        allow("ReadContent", [f"{objects.content}/*"], ["s3:GetObject", "s3:GetObjectVersion"]),
        _content(place, objects, "kms:Decrypt"),
    ]


def _hold(place: Place, reach: FunctionReach, objects: ObjectReach) -> list[Statement]:
    """Return what lets a function hold and release versions, and log it; it can neither read nor delete them."""
    return [
        allow(
            "HoldVersions",
            [f"{objects.content}/*", f"{objects.evidence}/{COPIES}*"],
            ["s3:GetObjectLegalHold", "s3:PutObjectLegalHold"],
        ),
        allow("ListVersions", [objects.content, objects.evidence], ["s3:ListBucketVersions"]),
        allow("LogHolds", [f"{objects.evidence}/{PROOFS}holds/*"], ["s3:PutObject"]),
        _evidence(place, reach, "kms:GenerateDataKey"),
    ]


def _erase(place: Place, reach: FunctionReach, objects: ObjectReach) -> list[Statement]:
    """Return what lets a function delete versions of content and of evidence, and keep the signed proof of it."""
    return [
        allow(
            "EraseVersions",
            [f"{objects.content}/*", f"{objects.evidence}/{COPIES}*"],
            ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObjectLegalHold", "s3:GetObjectRetention"],
        ),
        allow("AbortUploads", [f"{objects.content}/*"], ["s3:AbortMultipartUpload"]),
        allow(
            "ListVersions",
            [objects.content, objects.evidence],
            ["s3:ListBucketMultipartUploads", "s3:ListBucketVersions"],
        ),
        # Without the right to list, S3 would not tell a missing proof or copy from a forbidden one.
        allow(
            "ListEvidence",
            [objects.evidence],
            ["s3:ListBucket"],
            {"StringLike": {"s3:prefix": [f"{COPIES}*", f"{PROOFS}*"]}},
        ),
        allow("ReadDeclaration", [f"{objects.evidence}/{CURRENT_DECLARATION}"], ["s3:GetObject"]),
        allow("KeepProofs", [f"{objects.evidence}/{PROOFS}*"], ["s3:GetObject", "s3:PutObject"]),
        _evidence(place, reach, "kms:Decrypt", "kms:GenerateDataKey"),
        allow("SignProofs", [objects.proof_key], ["kms:GetPublicKey", "kms:Sign"]),
    ]


_OBJECTS: Mapping[str, Callable[[Place, FunctionReach, ObjectReach], list[Statement]]] = {
    "archives": _archive,
    "reads": _read,
    "holds": _hold,
    "erases": _erase,
}


def _content(place: Place, objects: ObjectReach, *actions: str) -> Statement:
    return allow("UseContentKey", [objects.content_key], actions, {"StringEquals": through(place, ["s3"])})


def _evidence(place: Place, reach: FunctionReach, *actions: str) -> Statement:
    return allow("UseEvidenceKey", [reach.evidence_key], actions, {"StringEquals": through(place, ["s3"])})


def _copies(place: Place, reach: FunctionReach, bucket: str) -> list[Statement]:
    """Return what lets a function make copies of consent records, or read them and keep where it has come to.

    Making one never needs to read: S3 itself refuses a second one (`If-None-Match`). Without the right to list, S3
    would not tell a missing copy from a forbidden one.
    """
    objects, by_s3 = [f"{bucket}/{COPIES}*"], {"StringEquals": through(place, ["s3"])}
    if not reach.audits:
        return [
            allow("MakeCopies", objects, ["s3:PutObject"]),
            allow("EncryptCopies", [reach.evidence_key], ["kms:GenerateDataKey"], by_s3),
        ]
    return [
        allow("ListCopies", [bucket], ["s3:ListBucket"], {"StringLike": {"s3:prefix": f"{COPIES}*"}}),
        allow("ReadCopies", objects, ["s3:GetObject"]),
        # Who was erased has copies without rows, or nothing: a proof that verifies says why.
        allow("ReadProofs", [f"{bucket}/{PROOFS}*"], ["s3:GetObject"]),
        allow("VerifyProofs", [reach.proof_key] if reach.proof_key else [], ["kms:Verify"]),
        allow("DecryptCopies", [reach.evidence_key], ["kms:Decrypt"], by_s3),
        allow(
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
        allow("ReadDeclaration", [f"{stack.evidence}/{CURRENT_DECLARATION}"], ["s3:GetObject"]),
        allow("DecryptDeclaration", [reach.evidence_key], ["kms:Decrypt"], {"StringEquals": through(place, ["s3"])}),
        allow("ReadBucketSettings", [*data, stack.access_logs], [*_BUCKET_SETTINGS, *_LIST_VERSIONS]),
        allow("ReadLegalHolds", [f"{bucket}/*" for bucket in data], ["s3:GetObjectLegalHold"]),
        allow("ReadKeySettings", stack.keys, ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus"]),
        allow(
            "ReadTableSettings",
            [reach.table],
            ["dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"],
        ),
        allow("ListBackups", ["*"], ["dynamodb:ListBackups"]),
        allow(
            "ReadExpiryOfRows",
            [reach.table],
            ["dynamodb:Scan"],
            {
                "ForAllValues:StringEquals": {"dynamodb:Attributes": ["expires_at", "open_shard", "pk", "sk"]},
                "StringEquals": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"},
            },
        ),
        allow("ReadLogSettings", [place.arn("logs", "log-group:*")], ["logs:DescribeLogGroups"]),
        allow("ReadQueueSettings", [place.arn("sqs", named)], ["sqs:GetQueueAttributes"]),
        allow("ReadTopicSettings", [place.arn("sns", named)], ["sns:GetTopicAttributes"]),
        allow(
            "ReadSecretSettings",
            [reach.secret] if reach.secret else [],
            ["secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"],
        ),
        allow("ReadFunctions", [functions], ["lambda:GetFunctionConfiguration", "lambda:GetFunctionUrlConfig"]),
        allow(
            "DecryptEnvironments", [reach.operations_key], ["kms:Decrypt"], {"ArnLike": {FUNCTION_CONTEXT: functions}}
        ),
        allow(
            "ReadRoles",
            [place.role_arn(named)],
            ["iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"],
        ),
        allow("ReadSchedules", [place.arn("scheduler", f"schedule/{stack.prefix}/*")], ["scheduler:GetSchedule"]),
        allow("ReadApi", [f"arn:{place.partition}:apigateway:{place.region}::/apis/{stack.api}/*"], ["apigateway:GET"]),
        allow("ReadAlarms", [place.arn("cloudwatch", "alarm:*")], ["cloudwatch:DescribeAlarms"]),
    ]


def schedule_role(place: Place, target: str, dead_letters: str, key: str) -> str:
    """Return the permissions of a schedule's role: start its one function, and set aside what it could not start."""
    return document(
        allow("StartTarget", [target], ["lambda:InvokeFunction"]),
        allow("SendDeadLetters", [dead_letters], ["sqs:SendMessage"]),
        allow(
            "EncryptDeadLetters",
            [key],
            ["kms:Decrypt", "kms:GenerateDataKey"],
            {"StringEquals": through(place, ["sqs"])},
        ),
    )
