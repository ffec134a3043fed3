"""The record store: three buckets, the keys of what lies there, and the rules by which records expire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws
from parley.core.retention import (
    CURRENT_DECLARATION,
    DECLARATIONS,
    LifecycleRule,
    Lock,
    Schedule,
    Store,
    check_lock_change,
    lifecycle_rules,
)

from infra import documents
from infra.documents import Doors
from infra.options import component, kept
from infra.settings import Settings
from infra.statements import Place

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
CONTENT, EVIDENCE, ACCESS_LOGS, LEDGER = "content", "evidence", "access-logs", "ledger"
VERSIONING = "Enabled"


class RecordStore(pulumi.ComponentResource):
    """Where records live, each class under its own prefix and its own lifecycle rule.

    `content` holds what people said and wrote, `evidence` the proof of consent and of erasure (with Object Lock where
    the schedule asks for it), `access_logs` who touched the other two. `roles` are the names of the functions' roles
    and `log_groups` the names or patterns of the log groups that will use the operations key; `sealers` are the ARNs or
    patterns of who may encrypt plain identifiers under the evidence key. `signers` and `verifiers` are the names of the
    roles that may sign and verify proofs, `doors` who may look into the content bucket. `rules` and `policies` are the
    lifecycle rules and the policy that were deployed, by bucket.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        place: Place,
        *,
        roles: Sequence[str],
        log_groups: Sequence[str],
        sealers: Sequence[str],
        signers: Sequence[str],
        verifiers: Sequence[str],
        doors: Doors,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("parley:infra:RecordStore", name, {}, component(settings, "communications", opts))
        self._settings = settings
        self._guards: dict[Store, list[pulumi.Resource]] = {}
        self.rules: dict[Store, tuple[LifecycleRule, ...]] = {}
        self.policies: dict[Store, aws.s3.BucketPolicy] = {}
        self.content_key = self._key(
            CONTENT, "Recordings, messages and transcripts", documents.content_key(place, self._named(CONTENT))
        )
        self.evidence_key = self._key(
            EVIDENCE,
            "Consent ledger, proofs of consent and of erasure",
            documents.evidence_key(place, self._named(EVIDENCE), self._named(LEDGER), sealers),
        )
        self.operations_key = self._key(
            "operations",
            "Logs, dead letters, alarms, the Twilio secret",
            documents.operations_key(place, settings.prefix, log_groups, roles),
        )
        # KMS rotates no asymmetric key: a proof must verify as long as it is kept.
        self.proof_key = self._key(
            "proof",
            "Signs proofs of erasure",
            documents.proof_key(place, signers, verifiers),
            key_usage="SIGN_VERIFY",
            customer_master_key_spec="ECC_NIST_P256",
            enable_key_rotation=None,
        )
        # Object Lock can only be had from the start without replacing a bucket. Without a default period it locks
        # nothing by itself; legal holds need it, and a stack can ask for a default lock of its evidence later.
        self.content = self._bucket(CONTENT, object_lock_enabled=True)
        self.evidence = self._bucket(EVIDENCE, object_lock_enabled=True)
        self.access_logs = self._bucket(ACCESS_LOGS)

        self._guard(
            CONTENT,
            self.content,
            Store.CONTENT,
            self._data_policy(Store.CONTENT, self.content, self.content_key, doors),
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

    def _named(self, name: str) -> str:
        """Return the pattern of a name that `pulumi:autonaming` of the project file makes."""
        return f"{self._settings.prefix}-{name}-*"

    def _key(self, name: str, purpose: str, policy: str, **how: Any) -> aws.kms.Key:
        key = aws.kms.Key(
            name,
            description=f"{self._settings.prefix}: {purpose}",
            policy=policy,
            deletion_window_in_days=self._settings.protection.key_window_days,
            opts=kept(self._settings, self),
            **{"enable_key_rotation": True, **how},
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

    def _data_policy(
        self, store: Store, bucket: aws.s3.Bucket, key: aws.kms.Key, doors: Doors | None = None
    ) -> pulumi.Output[str]:
        prefixes = [rule.prefix for rule in lifecycle_rules(self._settings.records, store) if rule.prefix]
        return pulumi.Output.all(bucket.arn, key.arn).apply(
            lambda arns: documents.data_bucket(arns[0], arns[1], prefixes, doors)
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
        expiry = aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[lifecycle_rule(rule) for rule in self.rules[store]],
            opts=kept(self._settings, self, depends_on=[versioning]),
        )
        self.policies[store] = guard
        self._guards[store] = [guard, expiry]
        if store is Store.EVIDENCE:
            self._lock(name, bucket, versioning)
        return guard

    def _lock(self, name: str, bucket: aws.s3.Bucket, versioning: aws.s3.BucketVersioning) -> None:
        """Give the bucket its default lock; without one the resource stays, so that a lock that goes is a change."""
        mode, days = self._settings.records.lock()
        rule: aws.s3.BucketObjectLockConfigurationRuleArgsDict = {
            "default_retention": {"mode": mode.upper(), "days": days}
        }
        aws.s3.BucketObjectLockConfiguration(
            name,
            bucket=bucket.bucket,
            rule=None if mode is Lock.NONE else rule,
            opts=pulumi.ResourceOptions.merge(
                kept(self._settings, self, depends_on=[versioning]),
                pulumi.ResourceOptions(
                    hooks=pulumi.ResourceHookBinding(before_update=[lock_guard(self._settings.records)])
                ),
            ),
        )

    def keep_declaration(self, text: pulumi.Input[str]) -> aws.s3.BucketObjectv2:
        """Keep what this deployment declares with the evidence: the scheduled check reads it, an auditor its versions.

        `text` is JSON.
        """
        return aws.s3.BucketObjectv2(
            DECLARATIONS,
            bucket=self.evidence.bucket,
            key=CURRENT_DECLARATION,
            content=text,
            content_type="application/json",
            server_side_encryption="aws:kms",
            kms_key_id=self.evidence_key.arn,
            bucket_key_enabled=True,
            force_destroy=not self._settings.protection.retain,
            opts=kept(self._settings, self, depends_on=self._guards[Store.EVIDENCE]),
        )

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


def lock_guard(schedule: Schedule) -> pulumi.ResourceHook:
    """Return the hook that stops a preview or an update which would weaken a compliance lock.

    S3 would take the weaker default. It would hold for new versions only: those that are there stay locked until their
    own day, whatever the schedule then says about them.
    """

    def check(args: pulumi.ResourceHookArgs) -> None:
        was, wanted = (_default_lock(inputs or {}) for inputs in (args.old_inputs, args.new_inputs))
        if problem := check_lock_change(schedule, was, wanted):
            raise ValueError(str(problem))

    return pulumi.ResourceHook("compliance-lock-stays", check, pulumi.ResourceHookOptions(on_dry_run=True))


def _default_lock(inputs: Mapping[str, Any]) -> tuple[Lock, int]:
    """Return mode and days of a lock configuration's inputs, as the engine names them."""
    default = (inputs.get("rule") or {}).get("defaultRetention")
    return (Lock(default["mode"].lower()), int(default["days"])) if default else (Lock.NONE, 0)


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
