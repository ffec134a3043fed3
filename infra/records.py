"""The record store: three buckets, the keys they are encrypted under, and the rules by which records expire."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws
from parley.core.retention import LifecycleRule, Lock, Store, lifecycle_rules

from infra import documents
from infra.documents import Place
from infra.options import component, kept
from infra.settings import Settings

# These live in resources of their own. Without this a refresh would take them into the bucket's state, and the next
# deployment would remove them there (pulumi-aws issue 6244).
INLINE_TWINS = (
    "accelerationStatus",
    "corsRules",
    "grants",
    "lifecycleRules",
    "logging",
    "objectLockConfiguration",
    "policy",
    "replicationConfiguration",
    "requestPayer",
    "serverSideEncryptionConfiguration",
    "versioning",
    "website",
)
CONTENT, EVIDENCE, ACCESS_LOGS = "content", "evidence", "access-logs"
VERSIONING = "Enabled"


class RecordStore(pulumi.ComponentResource):
    """Where records live, each class under its own prefix and its own lifecycle rule.

    `content` holds what people said and wrote, `evidence` the proof of consent and of erasure (with Object Lock where
    the schedule asks for it), `access_logs` who touched the other two. `roles` are the names of the functions' roles
    and `log_groups` the names or patterns of the log groups that will use the operations key. `rules` are the lifecycle
    rules that were deployed, by bucket.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        place: Place,
        *,
        roles: Sequence[str],
        log_groups: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("parley:infra:RecordStore", name, {}, component(settings, "communications", opts))
        self._settings = settings
        self.rules: dict[Store, tuple[LifecycleRule, ...]] = {}
        self.content_key = self._key(CONTENT, "Recordings, messages and transcripts", documents.content_key(place))
        self.evidence_key = self._key(
            EVIDENCE, "Consent ledger, proofs of consent and of erasure", documents.evidence_key(place)
        )
        self.operations_key = self._key(
            "operations",
            "Logs, dead letters, alarms, the Twilio secret",
            documents.operations_key(place, settings.prefix, log_groups, roles),
        )
        self.content = self._bucket(CONTENT)
        # Object Lock can only be had from the start without replacing a bucket; without a default period it locks
        # nothing, so a stack can ask for a lock later.
        self.evidence = self._bucket(EVIDENCE, object_lock_enabled=True)
        self.access_logs = self._bucket(ACCESS_LOGS)

        self._guard(
            CONTENT, self.content, Store.CONTENT, self._data_policy(Store.CONTENT, self.content, self.content_key)
        )
        self._guard(
            EVIDENCE, self.evidence, Store.EVIDENCE, self._data_policy(Store.EVIDENCE, self.evidence, self.evidence_key)
        )
        sources: dict[str, pulumi.Input[str]] = {CONTENT: self.content.arn, EVIDENCE: self.evidence.arn}
        delivery = self._guard(
            ACCESS_LOGS,
            self.access_logs,
            Store.ACCESS_LOGS,
            pulumi.Output.all(bucket=self.access_logs.arn, **sources).apply(
                lambda arns: documents.log_bucket(place, arns["bucket"], {prefix: arns[prefix] for prefix in sources})
            ),
        )
        self._encrypt(CONTENT, self.content, self.content_key)
        self._encrypt(EVIDENCE, self.evidence, self.evidence_key)
        # AWS delivers server access logs to buckets with S3-managed keys only.
        self._encrypt(ACCESS_LOGS, self.access_logs, None)
        for logged, bucket in ((CONTENT, self.content), (EVIDENCE, self.evidence)):
            aws.s3.BucketLogging(
                logged,
                bucket=bucket.bucket,
                target_bucket=self.access_logs.bucket,
                target_prefix=f"{logged}/",
                opts=kept(settings, self, depends_on=[delivery]),
            )
        self.register_outputs(
            {
                "contentBucket": self.content.bucket,
                "evidenceBucket": self.evidence.bucket,
                "accessLogBucket": self.access_logs.bucket,
            }
        )

    def _key(self, name: str, purpose: str, policy: str) -> aws.kms.Key:
        key = aws.kms.Key(
            name,
            description=f"{self._settings.prefix}: {purpose}",
            policy=policy,
            enable_key_rotation=True,
            deletion_window_in_days=self._settings.protection.key_window_days,
            opts=kept(self._settings, self),
        )
        aws.kms.Alias(
            name,
            name=f"alias/{self._settings.prefix}-{name}",
            target_key_id=key.key_id,
            opts=kept(self._settings, self),
        )
        return key

    def _bucket(self, name: str, *, object_lock_enabled: bool | None = None) -> aws.s3.Bucket:
        return aws.s3.Bucket(
            name,
            object_lock_enabled=object_lock_enabled,
            force_destroy=not self._settings.protection.retain,
            opts=kept(self._settings, self, ignore_changes=INLINE_TWINS),
        )

    def _data_policy(self, store: Store, bucket: aws.s3.Bucket, key: aws.kms.Key) -> pulumi.Output[str]:
        rules = lifecycle_rules(self._settings.records, store)
        prefixes = [rule.prefix for rule in rules if rule.prefix and rule.expiration_days is not None]
        return pulumi.Output.all(bucket.arn, key.arn).apply(
            lambda arns: documents.data_bucket(arns[0], arns[1], prefixes)
        )

    def _guard(self, name: str, bucket: aws.s3.Bucket, store: Store, policy: pulumi.Output[str]) -> aws.s3.BucketPolicy:
        """Give the bucket versions, owner, policy, expiry and, where declared, its lock; return the policy."""
        versioning = aws.s3.BucketVersioning(
            name,
            bucket=bucket.bucket,
            versioning_configuration={"status": VERSIONING},
            opts=kept(self._settings, self),
        )
        ownership = aws.s3.BucketOwnershipControls(
            name,
            bucket=bucket.bucket,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=kept(self._settings, self),
        )
        public = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=kept(self._settings, self),
        )
        # S3 refuses two changes of one bucket's access at the same time.
        guard = aws.s3.BucketPolicy(
            name, bucket=bucket.bucket, policy=policy, opts=kept(self._settings, self, depends_on=[public, ownership])
        )
        self.rules[store] = lifecycle_rules(self._settings.records, store)
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[lifecycle_rule(rule) for rule in self.rules[store]],
            opts=kept(self._settings, self, depends_on=[versioning]),
        )
        mode, days = self._settings.records.lock()
        if store is Store.EVIDENCE and mode is not Lock.NONE:
            aws.s3.BucketObjectLockConfiguration(
                name,
                bucket=bucket.bucket,
                rule={"default_retention": {"mode": mode.upper(), "days": days}},
                opts=kept(self._settings, self, depends_on=[versioning]),
            )
        return guard

    def _encrypt(self, name: str, bucket: aws.s3.Bucket, key: aws.kms.Key | None) -> None:
        default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="aws:kms" if key else "AES256", kms_master_key_id=key.arn if key else None
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=default,
                    # A bucket key saves one KMS request for every object.
                    bucket_key_enabled=True if key else None,
                )
            ],
            opts=kept(self._settings, self),
        )


def lifecycle_rule(rule: LifecycleRule) -> aws.s3.BucketLifecycleConfigurationRuleArgsDict:
    """Return a rule of the retention schedule as S3 takes it."""
    made: aws.s3.BucketLifecycleConfigurationRuleArgsDict = {
        "id": rule.id,
        "status": "Enabled",
        "filter": {"prefix": rule.prefix} if rule.prefix else {},
    }
    if rule.expiration_days is not None:
        made["expiration"] = {"days": rule.expiration_days}
    if rule.expired_object_delete_marker:
        made["expiration"] = {"expired_object_delete_marker": True}
    if rule.noncurrent_days is not None:
        made["noncurrent_version_expiration"] = {"noncurrent_days": rule.noncurrent_days}
    if rule.abort_incomplete_days is not None:
        made["abort_incomplete_multipart_upload"] = {"days_after_initiation": rule.abort_incomplete_days}
    return made
