"""The KMS keys that other services use on a caller's behalf, so that a locked key locks the data under it.

moto stores everything in the clear, whatever the key's state. Here a call that would need a customer key is refused
when the key is disabled, pending deletion or gone, or when the caller may not use it. Sources: "Using SSE-KMS" (S3),
"DynamoDB encryption at rest", "Secret encryption" (Secrets Manager), "Key management" (SQS, SNS).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local.aws.calls import ACCOUNT, Call, encryption_context_keys, key_arn


@dataclass(frozen=True)
class KeyUse:
    """One use of a customer key: `action` is None where the service uses its own grant and only the state counts."""

    key_arn: str
    action: str | None
    context: Mapping[str, tuple[str, ...]]


_READS = ("kms:Decrypt",)
_WRITES = ("kms:GenerateDataKey",)
_BOTH = ("kms:GenerateDataKey", "kms:Decrypt")

_TABLE_DATA = {
    *(f"{verb}Item" for verb in ("Get", "Put", "Update", "Delete", "BatchGet", "BatchWrite")),
    *("Query", "Scan", "TransactWriteItems", "TransactGetItems"),
}
_OBJECT_WRITES = {"PutObject", "CopyObject", "CreateMultipartUpload"}
_OBJECT_READS = {"GetObject", "HeadObject"}
_SECRET_USES = {"GetSecretValue": _READS, "PutSecretValue": _BOTH, "CreateSecret": _BOTH, "UpdateSecret": _BOTH}
_QUEUE_USES = {"SendMessage": _BOTH, "SendMessageBatch": _BOTH, "ReceiveMessage": _READS}


def key_uses(call: Call) -> Iterator[KeyUse]:
    """Yield the uses of customer keys that a call would make through another service."""
    if call.service == "s3":
        yield from _object_keys(call)
    elif call.service == "dynamodb" and call.operation in _TABLE_DATA:
        yield from _table_keys(call)
    elif call.service == "secretsmanager" and call.operation in _SECRET_USES:
        name = str(call.params.get("SecretId") or "")
        secret = secretsmanager_backends[ACCOUNT][call.region].secrets.get(name) if name else None
        key_id = getattr(secret, "kms_key_id", None) if secret else call.params.get("KmsKeyId")
        context = {"SecretARN": secret.arn} if secret else {}
        yield from _uses(call, key_id, _SECRET_USES[call.operation], context)
    elif call.service == "sqs" and call.operation in _QUEUE_USES:
        queue = sqs_backends[ACCOUNT][call.region].queues.get(str(call.params.get("QueueUrl", "")).rpartition("/")[2])
        if queue is not None:
            key_id = queue.kms_master_key_id  # type: ignore[attr-defined]
            yield from _uses(call, key_id, _QUEUE_USES[call.operation], {"aws:sqs:arn": queue.queue_arn})
    elif call.service == "sns" and call.operation == "Publish":
        topic = sns_backends[ACCOUNT][call.region].topics.get(str(call.params.get("TopicArn")))
        if topic is not None:
            yield from _uses(call, topic.kms_master_key_id, _BOTH, {"aws:sns:topicArn": topic.arn})


def _object_keys(call: Call) -> Iterator[KeyUse]:
    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(str(call.params.get("Bucket")))
    key = call.params.get("Key")
    if bucket is None or key is None:
        return
    arn = {"aws:s3:arn": f"{bucket.arn}/{key}"}
    if call.operation in _OBJECT_WRITES:
        algorithm, key_id = _encryption_of_write(call, bucket)
        if algorithm == "aws:kms":
            yield from _uses(call, key_id, _BOTH if call.operation == "CreateMultipartUpload" else _WRITES, arn)
    if call.operation in _OBJECT_READS:
        yield from _uses(call, _key_of_object(bucket, str(key), call.params.get("versionId")), _READS, arn)
    if source := call.headers.get("x-amz-copy-source"):
        path, _, version = unquote(source).lstrip("/").partition("?versionId=")
        source_bucket, _, source_key = path.partition("/")
        found = s3_backends[ACCOUNT]["aws"].buckets.get(source_bucket)
        if found is not None:
            context = {"aws:s3:arn": f"arn:aws:s3:::{path}"}
            yield from _uses(call, _key_of_object(found, source_key, version or None), _READS, context)


def _encryption_of_write(call: Call, bucket: Any) -> tuple[str | None, str | None]:
    """Return the algorithm and key that a write's headers ask for, else those of the bucket's default encryption."""
    if algorithm := call.headers.get("x-amz-server-side-encryption"):
        return algorithm, call.headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    rule = (bucket.encryption or {}).get("Rule", {})
    default = (rule[0] if isinstance(rule, list) else rule).get("ApplyServerSideEncryptionByDefault", {})
    return default.get("SSEAlgorithm"), default.get("KMSMasterKeyID")


def _key_of_object(bucket: Any, key: str, version: str | None) -> str | None:
    versions = bucket.keys.getlist(key, default=[])
    found = [v for v in versions if version is None or str(getattr(v, "version_id", None)) == version]
    latest = found[-1] if found else None
    return getattr(latest, "kms_key_id", None) if getattr(latest, "encryption", None) == "aws:kms" else None


def _table_keys(call: Call) -> Iterator[KeyUse]:
    items = call.params.get("TransactItems")
    if items is not None:
        names = {detail.get("TableName") for item in items for detail in item.values()}
    else:
        names = set(call.params.get("RequestItems") or [call.params.get("TableName")])
    tables = dynamodb_backends[ACCOUNT][call.region].tables
    for name in names:
        table = tables.get(str(name).rpartition("/")[2])
        specification = (table.sse_specification if table else None) or {}
        if specification.get("Enabled") and (key_id := specification.get("KMSMasterKeyId")):
            yield KeyUse(key_arn(key_id, call.region), None, {})


def _uses(call: Call, key_id: str | None, actions: tuple[str, ...], context: Mapping[str, str]) -> Iterator[KeyUse]:
    """Yield the uses of a customer key; keys that AWS manages itself (`alias/aws/…`) need no one's leave."""
    if not key_id or "alias/aws/" in key_id:
        return
    keys = {
        **encryption_context_keys(context),
        "kms:viaservice": (f"{call.service}.{call.region}.amazonaws.com",),
        "aws:viaawsservice": ("true",),
        "aws:calledvia": (f"{call.service}.amazonaws.com",),
    }
    for action in actions:
        yield KeyUse(key_arn(key_id, call.region), action, keys)
