"""What an HTTP request to the AWS API asks: service, operation, parameters, and the permissions that it needs.

Actions and resources follow the Service Authorization Reference for the services that Parley's functions use.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from botocore.exceptions import BotoCoreError
from moto.core.routing import get_service_router
from moto.moto_server.werkzeug_app import BackendRequest
from werkzeug.exceptions import NotFound

log = logging.getLogger(__name__)

ACCOUNT = "123456789012"
_KEY_ID_LENGTH = 36
#: Services of the query protocol, and REST ones whose parameters count for anybody.
_QUERY, _REST = {"sns", "sts", "iam"}, {"s3", "lambda"}
#: Signing names that are not the prefix of their service's IAM actions.
ACTION_PREFIXES = {"monitoring": "cloudwatch", "apigateway": "apigatewayv2", "email": "ses"}


@dataclass(frozen=True)
class Need:
    """One permission that a call needs: an IAM action on a resource, with the keys that only this one carries."""

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """An AWS API call: `service` is the signing name (`s3`, `dynamodb`), `headers` have lower-case names."""

    service: str
    region: str
    access_key: str
    operation: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]

    def arn(self, resource: str, *, service: str | None = None) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:aws:{service or self.service}:{self.region}:{ACCOUNT}:{resource}"


def read_call(environ: Mapping[str, Any]) -> Call | None:
    """Read a WSGI request as an AWS call; None for what is not signed at all (moto's own pages, public reads)."""
    scope = credential_scope(environ)
    if scope is None:
        return None
    access_key, region, service = scope
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    target = headers.get("x-amz-target", "")
    body: bytes = environ["wsgi.input"].getvalue()
    if target:
        operation = target.rpartition(".")[2]
        params = _json(body)
    elif service in _QUERY:
        form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        operation, params = form.get("Action", ""), form
    elif found := re.search(r"/operation/(\w+)$", str(environ.get("PATH_INFO", ""))):
        operation, params = found[1], {}
    elif service in _REST or access_key.startswith("ASIA"):
        operation, params = _routed(service, dict(environ), body)
    else:
        operation, params = "", {}
    return Call(service, region, access_key, operation, params, headers)


def credential_scope(environ: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return access key, region and service of a signed request, from its header or its presigned query."""
    authorization = str(environ.get("HTTP_AUTHORIZATION", ""))
    credential = authorization.partition("Credential=")[2].partition(",")[0]
    if not credential:
        credential = parse_qs(str(environ.get("QUERY_STRING", ""))).get("X-Amz-Credential", [""])[0]
    parts = credential.strip().split("/")
    return (parts[0], parts[2], parts[3].lower()) if len(parts) == 5 else None


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _routed(service: str, environ: dict[str, Any], body: bytes) -> tuple[str, Mapping[str, Any]]:
    """Find the operation of a REST call by botocore's own model; the path's and query's values are its parameters."""
    request = BackendRequest(environ)
    # HTTP APIs are signed for the service of REST APIs, and have a model of their own.
    model = "apigatewayv2" if service == "apigateway" and str(environ.get("PATH_INFO")).startswith("/v2/") else service
    try:
        operation, uri = get_service_router(model).match(request)
    except (NotFound, NotImplementedError, BotoCoreError):
        return "", {}
    params: dict[str, Any] = {**request.args.to_dict(), **{k: unquote(str(v)) for k, v in uri.items()}}
    if operation.name == "DeleteObjects":
        params["Delete"] = body
    return str(operation.name), params


# --- the permissions a call needs ---


def needs(call: Call) -> list[Need] | None:
    """Return the permissions of a call, or None for a service whose resources this cloud cannot tell apart."""
    table = {
        "s3": _s3_needs,
        "dynamodb": _dynamodb_needs,
        "kms": _kms_needs,
        "secretsmanager": _secret_needs,
        "sqs": _queue_needs,
        "logs": _log_needs,
        "sns": _topic_needs,
        "lambda": _function_needs,
        "iam": _role_needs,
        "scheduler": _schedule_needs,
        "apigateway": _api_needs,
        "monitoring": _alarm_needs,
    }
    reader = table.get(call.service)
    return None if reader is None else list(reader(call))


#: S3 operations whose IAM action has another name; the rest are called alike.
_S3_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "ListBuckets": "ListAllMyBuckets",
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "GetBucketInventoryConfiguration": "GetInventoryConfiguration",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
    "PutBucketInventoryConfiguration": "PutInventoryConfiguration",
    "DeleteBucketInventoryConfiguration": "PutInventoryConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketTagging": "PutBucketTagging",
}
#: Operations that need a version's own action when they name a version.
_S3_VERSIONED = {
    "GetObject",
    "GetObjectTagging",
    "GetObjectAcl",
    "DeleteObject",
    "DeleteObjectTagging",
    "PutObjectTagging",
    "PutObjectAcl",
}


def _s3_needs(call: Call) -> Iterator[Need]:
    bucket, key = call.params.get("Bucket"), call.params.get("Key")
    action = _S3_ACTIONS.get(call.operation, call.operation)
    if not bucket:
        yield Need(f"s3:{action}", "*")
        return
    arn = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    if call.operation == "DeleteObjects":
        for name, version in deleted_objects(call.params["Delete"]):
            yield Need("s3:DeleteObjectVersion" if version else "s3:DeleteObject", f"arn:aws:s3:::{bucket}/{name}")
        return
    if call.params.get("versionId") and action in _S3_VERSIONED:
        action = action.replace("Object", "ObjectVersion", 1)
    yield Need(f"s3:{action}", arn)
    if action == "PutObject":
        if "x-amz-tagging" in call.headers:
            yield Need("s3:PutObjectTagging", arn)
        if "x-amz-object-lock-mode" in call.headers:
            yield Need("s3:PutObjectRetention", arn)
        if "x-amz-object-lock-legal-hold" in call.headers:
            yield Need("s3:PutObjectLegalHold", arn)
    if source := call.headers.get("x-amz-copy-source"):
        path, _, version = unquote(source).lstrip("/").partition("?versionId=")
        yield Need("s3:GetObjectVersion" if version else "s3:GetObject", f"arn:aws:s3:::{path}")
    if call.headers.get("x-amz-bypass-governance-retention", "").lower() == "true":
        yield Need("s3:BypassGovernanceRetention", arn)


def deleted_objects(body: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield key and version of each object that a DeleteObjects body names."""
    import xmltodict  # type: ignore[import-untyped]  # noqa: PLC0415 - moto's XML reader, needed here only

    objects = ((xmltodict.parse(body, strip_whitespace=False) or {}).get("Delete") or {}).get("Object", [])
    for item in objects if isinstance(objects, list) else [objects]:
        yield item["Key"], item.get("VersionId")


_TRANSACTION = {
    "ConditionCheck": "ConditionCheckItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
}


def _dynamodb_needs(call: Call) -> Iterator[Need]:
    params, operation = call.params, call.operation

    def table(name: str, index: str | None = None) -> str:
        base = name if name.startswith("arn:") else call.arn(f"table/{name}")
        return f"{base}/index/{index}" if index else base

    def need(action: str, name: str, index: str | None = None) -> Need:
        return Need(f"dynamodb:{action}", table(name, index))

    if "StreamArn" in params:
        yield Need(f"dynamodb:{operation}", params["StreamArn"])
    elif operation in {"ListBackups", "ListTables"}:
        yield Need(f"dynamodb:{operation}", "*")
    elif operation in {"TransactWriteItems", "TransactGetItems"}:
        for item in params.get("TransactItems", []):
            for kind, detail in item.items():
                yield need(_TRANSACTION.get(kind, "GetItem"), detail["TableName"])
    elif operation in {"BatchGetItem", "BatchWriteItem"}:
        for name in params.get("RequestItems", {}):
            yield need(operation, name)
    elif "TableName" in params:
        yield need(operation, params["TableName"], params.get("IndexName"))
    elif "ResourceArn" in params:
        yield Need(f"dynamodb:{operation}", params["ResourceArn"])
    else:
        yield Need(f"dynamodb:{operation}", "*")


def _kms_needs(call: Call) -> Iterator[Need]:
    key_id = call.params.get("KeyId") or ciphertext_key(call.params.get("CiphertextBlob"))
    resource = key_arn(key_id, call.region) if key_id else "*"
    context = {str(k): str(v) for k, v in (call.params.get("EncryptionContext") or {}).items()}
    yield Need(f"kms:{call.operation}", resource, encryption_context_keys(context))


def encryption_context_keys(context: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return KMS's condition keys of an encryption context."""
    keys: dict[str, tuple[str, ...]] = {f"kms:encryptioncontext:{name.lower()}": (v,) for name, v in context.items()}
    return {**keys, "kms:encryptioncontextkeys": tuple(context)} if context else keys


def ciphertext_key(blob: str | None) -> str | None:
    """Return the key id that moto writes into the first bytes of each ciphertext."""
    try:
        raw = base64.b64decode(blob or "")
    except ValueError:
        return None
    return raw[:_KEY_ID_LENGTH].decode("ascii", "replace") if len(raw) > _KEY_ID_LENGTH else None


def key_arn(key_id: str, region: str) -> str:
    """Return the ARN of a key given by id, ARN or alias; what no key answers to comes back unresolved."""
    from moto.kms.models import kms_backends  # noqa: PLC0415 - moto's backends load when they are first asked for

    backend = kms_backends[ACCOUNT][region]
    name = key_id.rpartition(":")[2] if key_id.startswith("arn:") else key_id
    if name.startswith("alias/"):
        name = backend.get_key_id_from_alias(name) or name
    name = name.removeprefix("key/")
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{name}"


def _secret_needs(call: Call) -> Iterator[Need]:
    from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415 - as above

    name = str(call.params.get("SecretId") or call.params.get("Name") or "")
    secret = secretsmanager_backends[ACCOUNT][call.region].secrets.get(name) if name else None
    arn = secret.arn if secret else (name if name.startswith("arn:") else call.arn(f"secret:{name}") if name else "*")
    keys = {"secretsmanager:secretid": (arn,)} if name else {}
    if stage := call.params.get("VersionStage"):
        keys["secretsmanager:versionstage"] = (stage,)
    yield Need(f"secretsmanager:{call.operation}", arn, keys)


def _queue_needs(call: Call) -> Iterator[Need]:
    operation = call.operation.removesuffix("Batch")
    name = str(call.params.get("QueueUrl") or call.params.get("QueueName") or "").rpartition("/")[2]
    yield Need(f"sqs:{operation}", call.arn(name) if name else "*")


def _log_needs(call: Call) -> Iterator[Need]:
    group = call.params.get("logGroupName") or call.params.get("logGroupIdentifier")
    stream = call.params.get("logStreamName", "")
    if call.operation == "DescribeLogGroups":
        # However narrow the prefix that is asked for, Logs checks the permission for all groups of the account.
        yield Need("logs:DescribeLogGroups", call.arn("log-group::log-stream:"))
        return
    yield Need(f"logs:{call.operation}", call.arn(f"log-group:{group}:log-stream:{stream}") if group else "*")


def _topic_needs(call: Call) -> Iterator[Need]:
    yield Need(f"sns:{call.operation}", str(call.params.get("TopicArn") or call.params.get("TargetArn") or "*"))


def _function_needs(call: Call) -> Iterator[Need]:
    action = "InvokeFunction" if call.operation in {"Invoke", "InvokeAsync"} else call.operation
    name = call.params.get("FunctionName")
    if not name:
        yield Need(f"lambda:{action}", "*")
        return
    qualifier = call.params.get("Qualifier")
    arn = name if name.startswith("arn:") else call.arn(f"function:{name}")
    yield Need(f"lambda:{action}", f"{arn}:{qualifier}" if qualifier else arn)


def _role_needs(call: Call) -> Iterator[Need]:
    name = call.params.get("RoleName")
    yield Need(f"iam:{call.operation}", f"arn:aws:iam::{ACCOUNT}:role/{name}" if name else "*")


def _schedule_needs(call: Call) -> Iterator[Need]:
    name, group = call.params.get("Name"), call.params.get("groupName", "default")
    if not name:
        resource = "*"
    elif call.operation.endswith("Group"):
        resource = call.arn(f"schedule-group/{name}")
    else:
        resource = call.arn(f"schedule/{group}/{name}")
    yield Need(f"scheduler:{call.operation}", resource)


#: Operations on HTTP APIs, whose IAM action is the HTTP method and whose resource is the path.
_API_PATHS = {
    "GetApi": "/apis/{ApiId}",
    "GetRoutes": "/apis/{ApiId}/routes",
    "GetStage": "/apis/{ApiId}/stages/{StageName}",
    "GetStages": "/apis/{ApiId}/stages",
}
_API_METHODS = {"Get": "GET", "Cre": "POST", "Upd": "PATCH", "Del": "DELETE"}


def _api_needs(call: Call) -> Iterator[Need]:
    path = _API_PATHS.get(call.operation)
    params = {name[:1].upper() + name[1:]: value for name, value in call.params.items()}
    resource = f"arn:aws:apigateway:{call.region}::{path.format(**params)}" if path else "*"
    yield Need(f"apigateway:{_API_METHODS.get(call.operation[:3], 'PUT')}", resource)


def _alarm_needs(call: Call) -> Iterator[Need]:
    # Alarms are described for the whole account; the rest of CloudWatch knows no resource here.
    resource = call.arn("alarm:*", service="cloudwatch") if call.operation == "DescribeAlarms" else "*"
    yield Need(f"cloudwatch:{call.operation}", resource)
