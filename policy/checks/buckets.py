"""Buckets: who reaches them, how their objects are encrypted, and how hard it is to lose them."""

from __future__ import annotations

from collections.abc import Iterator

from parley.core.retention import LOCKS, Lock, Store

from policy.checks.encryption import KEY
from policy.checks.retention import declared_locks, schedule
from policy.documents import ANYBODY, Statement, denies_plain_transport, statements
from policy.model import Deployment, Resource, look
from policy.rules import Flaw, Severity, rule

BUCKET = "aws:s3/bucket:Bucket"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
PUBLIC_ACCESS = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
LOGGING = "aws:s3/bucketLogging:BucketLogging"
LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
REPLICATION = "aws:s3/bucketReplicationConfig:BucketReplicationConfig"

_BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def is_logging_target(bucket: Resource, deployment: Deployment) -> bool:
    """Whether access logs are delivered to a bucket. AWS delivers only to buckets encrypted with S3-managed keys.

    Amazon S3 User Guide, "Enabling Amazon S3 server access logging".
    """
    return bool(deployment.parts(bucket, "targetBucket", LOGGING))


def store_of(bucket: Resource, deployment: Deployment) -> Store | None:
    """Return the store of the schedule that a bucket is, None if it is none of them."""
    if is_logging_target(bucket, deployment):
        return Store.ACCESS_LOGS
    return next((store for store in (Store.CONTENT, Store.EVIDENCE) if store == bucket.name), None)


def _only(bucket: Resource, deployment: Deployment, part: str) -> Resource | None:
    """Return the one part of a kind that a bucket has, None if it has none or several."""
    parts = deployment.parts(bucket, "bucket", part)
    return parts[0] if len(parts) == 1 else None


def _denials(bucket: Resource, deployment: Deployment) -> tuple[Statement, ...]:
    """Return the statements of a bucket's policies that refuse everybody."""
    policies = deployment.parts(bucket, "bucket", POLICY)
    return tuple(
        one for policy in policies for one in statements(policy) if not one.allows and ANYBODY in one.principals
    )


@rule(
    "bucket-versioned",
    BUCKET,
    severity=Severity.HIGH,
    references=("FSBP S3.14", "GDPR 32(1)(c)", "ISO 27001 A.8.13", "CKV_AWS_21"),
    remediation="give it one BucketVersioning with status Enabled",
)
def versioned(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every bucket keeps versions, so that an overwritten record is not lost before its time."""
    part = _only(bucket, deployment, VERSIONING)
    status = part.get("versioningConfiguration.status") if part else None
    if status != "Enabled":
        yield Flaw("versioning", f"is {status}" if status else "is not set by exactly one BucketVersioning")


@rule(
    "bucket-encrypted",
    BUCKET,
    severity=Severity.HIGH,
    references=("FSBP S3.17", "GDPR 32(1)(a)", "ISO 27001 A.8.24", "CKV_AWS_145"),
    remediation="encrypt with aws:kms, a key of the stack and a bucket key; only the target of access logs has AES256",
)
def encrypted(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every bucket is encrypted under a key of one's own with a bucket key; the target of access logs cannot be."""
    part = _only(bucket, deployment, ENCRYPTION)
    rules = part.rows("rules") if part else ()
    if part is None or len(rules) != 1:
        yield Flaw("encryption", "is not set by exactly one rule of one BucketServerSideEncryptionConfiguration")
        return
    default = look(rules[0], "applyServerSideEncryptionByDefault") or {}
    if is_logging_target(bucket, deployment):
        if default.get("sseAlgorithm") != "AES256":
            yield Flaw("encryption.sseAlgorithm", "is not AES256, so AWS delivers no access logs here")
        return
    if default.get("sseAlgorithm") not in {"aws:kms", "aws:kms:dsse"}:
        yield Flaw("encryption.sseAlgorithm", f"is {default.get('sseAlgorithm')}")
    if look(rules[0], "bucketKeyEnabled") is not True:
        yield Flaw("encryption.bucketKeyEnabled", "is not true, so every object costs a request to KMS")
    if deployment.find(default.get("kmsMasterKeyId"), part.depends.get("rules", frozenset()), KEY) is None:
        yield Flaw("encryption.kmsMasterKeyId", "is no key of this stack")


@rule(
    "bucket-private",
    BUCKET,
    severity=Severity.CRITICAL,
    references=("FSBP S3.8", "GDPR 25(2)", "ISO 27001 A.8.3", "CKV2_AWS_6"),
    remediation="give it one BucketPublicAccessBlock with all four set to true",
)
def private(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every bucket blocks public access in all four ways."""
    part = _only(bucket, deployment, PUBLIC_ACCESS)
    if part is None:
        yield Flaw("publicAccessBlock", "is not set by exactly one BucketPublicAccessBlock")
        return
    for block in _BLOCKS:
        if part.get(block) is not True:
            yield Flaw(f"publicAccessBlock.{block}", "is not true")


@rule(
    "bucket-owner-enforced",
    BUCKET,
    severity=Severity.MEDIUM,
    references=("FSBP S3.12", "ISO 27001 A.5.15"),
    remediation="give it one BucketOwnershipControls with BucketOwnerEnforced",
)
def owner_enforced(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """The bucket's owner owns every object, and access lists count for nothing."""
    part = _only(bucket, deployment, OWNERSHIP)
    ownership = part.get("rule.objectOwnership") if part else None
    if ownership != "BucketOwnerEnforced":
        yield Flaw("ownership", f"is {ownership}" if ownership else "is not set by exactly one BucketOwnershipControls")


@rule(
    "bucket-transport",
    BUCKET,
    severity=Severity.HIGH,
    references=("FSBP S3.5", "GDPR 32(1)(a)", "ISO 27001 A.8.24"),
    remediation="deny s3:* on the bucket and its objects without aws:SecureTransport and below s3:TlsVersion 1.2",
)
def transport(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """A bucket answers over TLS 1.2 or newer only."""
    denials = [
        one
        for one in _denials(bucket, deployment)
        if one.does("s3:GetObject")
        and one.does("s3:ListBucket")
        and ("*" in one.resources or {name.endswith("/*") for name in one.resources} == {True, False})
    ]
    if not any(denies_plain_transport(one) for one in denials):
        yield Flaw("policy", "lets somebody in without TLS")
    if not any(one.has("NumericLessThan", "s3:TlsVersion", version) for one in denials for version in ("1.2", "1.3")):
        yield Flaw("policy", "lets somebody in with TLS older than 1.2")


@rule(
    "bucket-key-enforced",
    BUCKET,
    severity=Severity.HIGH,
    references=("FSBP S3.17", "GDPR 32(1)(a)", "ISO 27001 A.8.24"),
    remediation="deny s3:PutObject unless s3:x-amz-server-side-encryption-aws-kms-key-id is the bucket's own key",
)
def key_enforced(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """No object lands in a data bucket under another key than the bucket's own."""
    if is_logging_target(bucket, deployment):
        return
    part = _only(bucket, deployment, ENCRYPTION)
    rules = part.rows("rules") if part else ()
    if len(rules) != 1:
        return  # judged by bucket-encrypted
    key = look(rules[0], "applyServerSideEncryptionByDefault.kmsMasterKeyId")
    denials = [one for one in _denials(bucket, deployment) if one.does("s3:PutObject")]
    encryption = "s3:x-amz-server-side-encryption"
    name = f"{encryption}-aws-kms-key-id"
    # Who names no encryption at all gets the bucket's default, which is that key.
    narrowed = [one for one in denials if one.has("StringNotEquals", name, key)]
    if not any(len(one.conditions) == 1 + one.has("Null", encryption, "false") for one in narrowed):
        yield Flaw("policy", "lets objects in under another key")


@rule(
    "bucket-no-customer-key",
    BUCKET,
    severity=Severity.MEDIUM,
    references=("GDPR 32(1)(b)", "ISO 27001 A.8.24"),
    remediation="deny s3:PutObject where s3:x-amz-server-side-encryption-customer-algorithm is not null",
)
def no_customer_key(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """No object lands under a key that only its writer has (SSE-C): nobody could read, prove or erase it."""
    name = "s3:x-amz-server-side-encryption-customer-algorithm"
    denials = [one for one in _denials(bucket, deployment) if one.does("s3:PutObject")]
    if not any(one.has("Null", name, "false") for one in denials):
        yield Flaw("policy", "lets objects in under a key of the caller's own (SSE-C)")


@rule(
    "bucket-logged",
    BUCKET,
    severity=Severity.MEDIUM,
    references=("FSBP S3.9", "GDPR 5(2)", "ISO 27001 A.8.15", "CKV_AWS_18"),
    remediation="give it one BucketLogging to the access-log bucket, which alone is not logged itself",
)
def logged(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every access to a data bucket is logged in another bucket of the stack."""
    if is_logging_target(bucket, deployment):
        return
    part = _only(bucket, deployment, LOGGING)
    if part is None:
        yield Flaw("logging", "is not set by exactly one BucketLogging")
    elif deployment.target(part, "targetBucket", BUCKET) is None:
        yield Flaw("logging.targetBucket", "is a bucket of nobody's declaration")


@rule(
    "bucket-not-emptied",
    BUCKET,
    severity=Severity.HIGH,
    references=("GDPR 32(1)(b)", "ISO 27001 A.5.33"),
    remediation="set forceDestroy to false in every environment but local and dev",
)
def not_emptied(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """A bucket with records in it cannot be deleted by the stack, but in local and dev."""
    if bucket.get("forceDestroy") and deployment.durable:
        yield Flaw("forceDestroy", "is true, so its records would go with it")


@rule(
    "bucket-no-stray-copy",
    REPLICATION,
    BUCKET,
    severity=Severity.HIGH,
    references=("GDPR 5(1)(e)", "GDPR 44", "ISO 27001 A.8.10"),
    remediation="replicate to a bucket of this stack, whose lifecycle is declared too, or not at all",
)
def no_stray_copy(resource: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """No record is replicated to a bucket that the stack does not declare: no rule would ever erase it there."""
    # A bucket's own property is a deprecated twin; in a first preview of one without it, it is not known.
    path = "rules" if resource.type == REPLICATION else "replicationConfiguration.rules"
    for index, one in enumerate(resource.rows(path)):
        if deployment.find(look(one, "destination.bucket"), frozenset(), BUCKET) is None:
            yield Flaw(f"{path}[{index}].destination.bucket", "is no bucket of this stack")


@rule(
    "bucket-lock",
    LOCK,
    severity=Severity.CRITICAL,
    references=("FSBP S3.15", "GDPR 17(1)", "ISO 27001 A.5.33", "CKV_AWS_143"),
    remediation="lock as parley:records declares: nothing in dev, compliance by opt-in in prod only",
)
def lock(part: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Object Lock is as it is declared: never in dev, in compliance mode in prod only, never on access logs."""
    default = part.get("rule.defaultRetention") or {}
    mode, days = str(default.get("mode") or "none").lower(), default.get("days") or 0
    if default.get("years"):
        yield Flaw("rule.defaultRetention.years", "is set, and periods are declared in days")
        return
    for environment in sorted(deployment.environments):
        allowed = LOCKS.get(environment, frozenset({Lock.NONE})) | (
            {Lock.COMPLIANCE} if environment == "prod" else set()
        )
        if mode not in allowed:
            yield Flaw("rule.defaultRetention.mode", f"is {mode}, which {environment} does not allow")
    bucket = deployment.target(part, "bucket", BUCKET)
    if bucket is not None and mode != Lock.NONE:
        if is_logging_target(bucket, deployment):
            yield Flaw("bucket", "is the target of access logs, and AWS delivers none to a bucket with a default lock")
        versioning = _only(bucket, deployment, VERSIONING)
        if versioning is None or versioning.get("versioningConfiguration.status") != "Enabled":
            yield Flaw("bucket", "keeps no versions, and only versions can be locked")
    # Compliance can be declared by the stack's opt-in alone, so what is declared says whether there was one.
    wanted, period = schedule(deployment, declared_locks(deployment)).lock()
    if mode != wanted:
        yield Flaw("rule.defaultRetention.mode", f"is {mode}, but {wanted} is declared for its classes")
    elif days != period:
        yield Flaw("rule.defaultRetention.days", f"is {days}, but {period} days are declared")


@rule(
    "bucket-lock-present",
    BUCKET,
    severity=Severity.HIGH,
    references=("FSBP S3.15", "ISO 27001 A.5.33", "CKV_AWS_143"),
    remediation="deploy the lock that parley:records declares, on the evidence bucket, which alone has one",
)
def lock_present(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """A lock that is declared is there, and the bucket of access logs cannot have one."""
    store = store_of(bucket, deployment)
    if store is Store.ACCESS_LOGS and bucket.get("objectLockEnabled"):
        yield Flaw("objectLockEnabled", "is true, so a lock could stop the delivery of access logs")
    if store is Store.EVIDENCE:
        mode, days = schedule(deployment, declared_locks(deployment)).lock()
        if mode is not Lock.NONE and _only(bucket, deployment, LOCK) is None:
            yield Flaw("objectLock", f"is missing, but {mode} for {days} days is declared")


@rule(
    "bucket-own-policy",
    BUCKET,
    severity=Severity.HIGH,
    references=("FSBP S3.2", "FSBP S3.3", "FSBP S3.6", "GDPR 25(2)", "ISO 27001 A.5.15"),
    remediation="give it one BucketPolicy that allows named services only",
)
def own_policy(bucket: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """A bucket has one policy, and it lets in nobody but services that act for this stack."""
    policies = deployment.parts(bucket, "bucket", POLICY)
    if len(policies) != 1:
        yield Flaw("policy", f"is set by {len(policies)} BucketPolicy resources instead of one")
    for policy in policies:
        for one in statements(policy):
            if one.allows and any(not name.endswith(".amazonaws.com") for name in one.principals):
                yield Flaw(one.path, "lets in principals by the bucket's policy, past the roles of the stack")
