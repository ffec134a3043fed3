"""The door of the AWS API: each call is held against identity, resource and key policies before moto sees it.

Role sessions (the functions) are checked by action, resource and condition for the services in `calls.needs`; for any
other service by action alone, which is logged. The administrator, who holds the cloud's own throw-away keys, is the
account's root: allowed by identity, bound by explicit denials of resource policies and by key policies, as in AWS.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from moto.awslambda.models import lambda_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sns.models import sns_backends

from local.aws import kms_keys
from local.aws.callers import ROOT, UnknownKeyError, own_verdict, principal_of
from local.aws.calls import ACCOUNT, ACTION_PREFIXES, Call, Need, encryption_context_keys, key_arn, needs
from local.aws.encryption import KeyUse, key_uses
from local.aws.policy import Context, Principal, Question, verdict
from local.aws.queues import find_queue

if TYPE_CHECKING:
    from local.clock import Clock

log = logging.getLogger(__name__)

#: What the root may always do, so that a denial for everybody can be taken back ("Bucket policies" of the S3 guide).
_ROOT_ALWAYS = {"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}
_KEY_STATE_CODES = {
    "DisabledException": "KMS.DisabledException",
    "KMSInvalidStateException": "KMS.KMSInvalidStateException",
}


@dataclass(frozen=True)
class Refusal:
    """Why a call is not carried out: AWS's error code, its message, and the HTTP status."""

    code: str
    message: str
    status: int = 403


def permission(question: Question) -> Refusal | None:
    """Return why a principal may not do something, or None if it may.

    What the question does not say of the principal and of the way is added: AWS knows who asks, and its own services
    come over TLS.
    """
    question = replace(question, context={**_facts(question.principal), **question.context})
    own, document = own_verdict(question), _resource_policy(question.resource)
    resource = verdict(document, question, name="resource policy")
    denied_by = own.denied_by or resource.denied_by
    if question.principal == ROOT and question.action in _ROOT_ALWAYS:
        denied_by = None
    if question.action.startswith("kms:") and document:
        # A key policy comes first: without a grant to the caller or its account, identity policies mean nothing.
        allowed = resource.allowed or (resource.account_allowed and own.allowed)
    else:
        allowed = own.allowed or resource.allowed
    if denied_by is None and allowed:
        return None
    why = (
        f"an explicit deny ({denied_by})"
        if denied_by
        else f"no identity-based policy allows the {question.action} action"
    )
    return Refusal(
        "AccessDenied" if question.action.startswith("s3:") else "AccessDeniedException",
        f"User: {question.principal.arn} is not authorized to perform: {question.action} on resource: "
        f"{question.resource} because of {why}".replace("because of no identity", "because no identity"),
    )


def _facts(who: Principal) -> Context:
    return {
        "aws:securetransport": ("true",),
        "aws:principalaccount": (who.account,),
        "aws:principalarn": (who.role_arn or who.arn,),
    }


def _resource_policy(arn: str) -> str | Mapping[str, Any] | None:
    """Return the policy of the resource that an ARN names, if it has one."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return None
    service, region, name = parts[2], parts[3], parts[5]
    reader = _POLICIES.get(service)
    return reader(region, name, arn) if reader else None


def _bucket_policy(_region: str, name: str, _arn: str) -> str | None:
    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(name.partition("/")[0])
    policy = bucket.policy if bucket else None
    return policy.decode() if isinstance(policy, bytes) else policy


def _key_policy(region: str, name: str, _arn: str) -> str | None:
    key = kms_backends[ACCOUNT][region].keys.get(name.removeprefix("key/"))
    return key.policy if key else None


def _secret_policy(region: str, _name: str, arn: str) -> str | None:
    secret = secretsmanager_backends[ACCOUNT][region].secrets.get(arn)
    return getattr(secret, "policy", None)


def _queue_policy(_region: str, _name: str, arn: str) -> str | None:
    queue = find_queue(arn)
    return queue.policy if queue else None


def _topic_policy(region: str, _name: str, arn: str) -> str | None:
    topic = sns_backends[ACCOUNT][region].topics.get(arn)
    return topic.policy if topic else None


def _function_policy(region: str, name: str, _arn: str) -> Mapping[str, Any] | None:
    functions = lambda_backends[ACCOUNT][region]._lambdas._functions  # noqa: SLF001 - without an error for a missing one
    held = functions.get(name.removeprefix("function:").partition(":")[0])
    # moto writes a permission without a qualifier for `$LATEST`; AWS writes it for the function itself.
    return {"Statement": [_on_function(s) for s in held["latest"].policy.statements]} if held else None


def _on_function(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    resource = str(statement.get("Resource", "*"))
    if resource.endswith(":$LATEST"):
        resource = resource.removesuffix(":$LATEST")
    elif ":$LATEST:" in resource:
        resource = resource.replace(":$LATEST", "")
    return {**statement, "Resource": resource}


_POLICIES: dict[str, Callable[[str, str, str], str | Mapping[str, Any] | None]] = {
    "s3": _bucket_policy,
    "kms": _key_policy,
    "secretsmanager": _secret_policy,
    "sqs": _queue_policy,
    "sns": _topic_policy,
    "lambda": _function_policy,
}


# --- one call ---


class Door:
    """Decides about each call. `clock` gives the time that policies see (`aws:CurrentTime`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unmapped: set[str] = set()

    def refusal(self, call: Call, *, secure: bool) -> Refusal | None:
        """Return why a call must not be carried out, or None; `secure` says that it stands for TLS."""
        try:
            who = principal_of(call.access_key)
        except UnknownKeyError:
            return Refusal("InvalidClientTokenId", "The security token included in the request is invalid.")
        if call.operation == "GetCallerIdentity":
            return None
        context = self._context(call, who, secure=secure)
        for need in self._needs(call, who):
            resource = Question(
                who, need.action, need.resource, {**context, **self._key_context(call, need), **need.context}
            )
            if refusal := permission(resource):
                return refusal
        return self._key_refusal(call, who, context, key_uses(call))

    def _needs(self, call: Call, who: Principal) -> list[Need]:
        known = needs(call)
        if known is not None:
            return known
        if who == ROOT:
            return []
        name = f"{ACTION_PREFIXES.get(call.service, call.service)}:{call.operation}"
        if name not in self._unmapped:
            self._unmapped.add(name)
            log.warning(
                "%s by %s is checked by its action only: the local cloud does not know its resource", name, who.arn
            )
        return [Need(name, "*")]

    def _key_context(self, call: Call, need: Need) -> dict[str, tuple[str, ...]]:
        key = kms_keys.find_key(need.resource, call.region) if call.service == "kms" else None
        return {"kms:keyspec": (key.key_spec,), "kms:keyusage": (key.key_usage or "ENCRYPT_DECRYPT",)} if key else {}

    def _key_refusal(
        self, call: Call, who: Principal, context: Mapping[str, Any], uses: Iterable[KeyUse]
    ) -> Refusal | None:
        for use in uses:
            key = kms_keys.find_key(use.key_arn, call.region)
            if key is None:
                return _key_error(call.service, "NotFoundException", f"Key '{use.key_arn}' does not exist")
            if problem := kms_keys.unusable(key):
                return _key_error(call.service, *problem)
            if use.action is None:
                continue
            if refused := permission(Question(who, use.action, use.key_arn, {**context, **use.context})):
                return Refusal("AccessDenied" if call.service == "s3" else "AccessDeniedException", refused.message)
        return None

    def _context(self, call: Call, who: Principal, *, secure: bool) -> dict[str, tuple[str, ...]]:
        now = self._clock.now()
        context: dict[str, tuple[str, ...]] = {
            "aws:securetransport": ("true" if secure else "false",),
            "aws:sourceip": ("127.0.0.1",),
            "aws:requestedregion": (call.region,),
            "aws:resourceaccount": (ACCOUNT,),
            "aws:principalaccount": (who.account,),
            "aws:principalarn": (who.role_arn or who.arn,),
            "aws:principaltype": ("AssumedRole" if who.role_arn else "Account",),
            "aws:principalisawsservice": ("false",),
            "aws:viaawsservice": ("false",),
            "aws:currenttime": (str(now),),
            "aws:epochtime": (str(now),),
            "kms:calleraccount": (who.account,),
            "aws:sourceowner": (who.account,),  # SNS's own key, in the policy of every new topic
        }
        if call.service == "s3":
            context |= _object_context(call, secure=secure)
        if call.service == "dynamodb":
            context |= _leading_keys(call) | _chosen_attributes(call)
        return context


def _object_context(call: Call, *, secure: bool) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {
        f"s3:{name}": (value,) for name, value in call.headers.items() if name.startswith("x-amz-")
    }
    context |= {
        f"s3:{name.removeprefix('x-amz-')}": (value,)
        for name, value in call.headers.items()
        if name.startswith("x-amz-object-lock-")
    }
    for param, key in (
        ("prefix", "prefix"),
        ("delimiter", "delimiter"),
        ("max-keys", "max-keys"),
        ("versionId", "versionid"),
    ):
        if param in call.params:
            context[f"s3:{key}"] = (str(call.params[param]),)
    context["s3:authtype"] = ("REST-HEADER" if "authorization" in call.headers else "REST-QUERY-STRING",)
    if secure:
        context["s3:tlsversion"] = ("1.3",)
    return context


def _leading_keys(call: Call) -> dict[str, tuple[str, ...]]:
    """Return `dynamodb:LeadingKeys`: the partition key values that a call names, by the tables' own key schema."""
    from moto.dynamodb.models import dynamodb_backends  # noqa: PLC0415 - only for this rare condition key

    tables, params = dynamodb_backends[ACCOUNT][call.region].tables, call.params
    found: list[str] = []

    def add(table_name: str | None, keys: Mapping[str, Any]) -> None:
        table = tables.get(str(table_name).rpartition("/")[2])
        value = keys.get(table.hash_key_attr) if table else None
        if isinstance(value, Mapping):
            found.extend(str(v) for v in value.values())

    add(params.get("TableName"), params.get("Key") or params.get("Item") or {})
    for item in params.get("TransactItems", []):
        for detail in item.values():
            add(detail.get("TableName"), detail.get("Key") or detail.get("Item") or {})
    for name, request in (params.get("RequestItems") or {}).items():
        writes = request if isinstance(request, list) else [{"Get": {"Key": key}} for key in request.get("Keys", [])]
        for write in writes:
            for detail in write.values():
                add(name, detail.get("Key") or detail.get("Item") or {})
    return {"dynamodb:leadingkeys": tuple(found)} if found else {}


def _chosen_attributes(call: Call) -> dict[str, tuple[str, ...]]:
    """Return `dynamodb:Attributes`, the top-level attributes that a read names in its expressions, and `Select`."""
    params = call.params
    names: Mapping[str, str] = params.get("ExpressionAttributeNames") or {}
    text = " ".join(str(params.get(f"{part}Expression", "")) for part in ("Projection", "Filter", "KeyCondition"))
    found = {names.get(word, word) for word in re.findall(r"(?<![:\w.#])#?[A-Za-z_]\w*", text)}
    context = {"dynamodb:attributes": tuple(sorted(found))} if found else {}
    return context | ({"dynamodb:select": (str(params["Select"]),)} if "Select" in params else {})


def _key_error(service: str, code: str, message: str) -> Refusal:
    """Return a key's error as the service that uses the key passes it on."""
    if service == "s3":
        return Refusal(_KEY_STATE_CODES.get(code, f"KMS.{code}"), message, 400)
    if service == "sqs":
        return Refusal(
            {"DisabledException": "KmsDisabled", "NotFoundException": "KmsNotFound"}.get(code, "KmsInvalidState"),
            message,
            400,
        )
    if service == "secretsmanager":
        return Refusal("DecryptionFailure", message, 400)
    if service == "sns":
        return Refusal(f"KMS{code.removeprefix('KMS').removesuffix('Exception')}", message, 400)
    return Refusal("AccessDeniedException", f"KMS key access denied: {message}", 400)


def log_group_key_refusal(call: Call) -> Refusal | None:
    """Refuse a key for a log group whose key policy does not let CloudWatch Logs use it, as Logs itself does."""
    key_id = call.params.get("kmsKeyId")
    group = call.params.get("logGroupName")
    if call.service != "logs" or not key_id or not group:
        return None
    service = Principal(ACCOUNT, "logs", service=f"logs.{call.region}.amazonaws.com")
    arn = call.arn(f"log-group:{group}")
    context = {
        **encryption_context_keys({"aws:logs:arn": arn}),
        "aws:sourcearn": (arn,),
        "aws:sourceaccount": (ACCOUNT,),
    }
    resource = key_arn(key_id, call.region)
    for action in ("kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"):
        asks = Question(service, action, resource, context)
        if not verdict(_resource_policy(resource), asks, name="key policy").allowed:
            return Refusal(
                "InvalidParameterException",
                f"The specified KMS key does not exist or is not allowed to be used with Arn '{arn}' ({action})",
                400,
            )
    return None


# --- as AWS's protocols write an error ---


def render(refusal: Refusal, call: Call | None) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return status line, headers and body of a refusal in the protocol of the called service."""
    service = call.service if call else "s3"
    if service in {"s3", "sns", "sts", "iam"}:
        fields = f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
        text = f"<Error>{fields}</Error>"
        if service != "s3":
            text = f"<ErrorResponse><Error><Type>Sender</Type>{fields}</Error></ErrorResponse>"
        return _line(refusal.status), [("Content-Type", "application/xml")], f"<?xml version='1.0'?>{text}".encode()
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", refusal.code)]
    # JSON protocols answer a refusal with 400, REST ones with 403.
    status = refusal.status if call and "x-amz-target" not in call.headers else 400
    body = {"__type": refusal.code, "message": refusal.message, "Message": refusal.message}
    return _line(status), headers, json.dumps(body).encode()


def _line(status: int) -> str:
    return f"{status} {'Forbidden' if status == 403 else 'Bad Request'}"
