"""Every check passes on a sound stack and bites on one that is not, and says where and why."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from infra.settings import ENVIRONMENTS
from policy.checks import CHECKS
from policy.checks.buckets import BUCKET, ENCRYPTION, LOCK, LOGGING, OWNERSHIP, PUBLIC_ACCESS, REPLICATION, VERSIONING
from policy.checks.buckets import POLICY as BUCKET_POLICY
from policy.checks.functions import FUNCTION_URL, INTEGRATION, PERMISSION, ROUTE, SCHEDULE
from policy.checks.lifecycle import LIFECYCLE
from policy.checks.line import SERVICE
from policy.checks.queues import QUEUE, SECRET_STORE, TOPIC
from policy.checks.retention import LOG_GROUP, STAGE
from policy.checks.roles import ATTACHMENT, ROLE, ROLE_POLICY
from policy.checks.tables import TABLE
from policy.model import FUNCTION, SECRET, STACK, Deployment
from policy.rules import Check, judged
from tests.policy.recorded import Change, add, deployment, drop, option, put, say, unsay

KEY = "aws:kms/key:Key"
KEEP_DAYS = "environment.variables.PARLEY_KEEP_DAYS"
EVERYBODY = {"Effect": "Allow", "Principal": "*", "Resource": "*"}
BY_ID = {check.id: check for check in CHECKS}
TAKES_ALL = {"Sid": "All", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}
INSECURE = "DenyInsecureTransport"


def redeclare(name: str, **changed: int | None) -> Change:
    """Give one function other declared days; None takes a class away (underscores for hyphens)."""

    def change(before: Deployment) -> Deployment:
        told = json.loads(before.of(FUNCTION)[0].get(KEEP_DAYS))
        told |= {record_class.replace("_", "-"): days for record_class, days in changed.items()}
        text = json.dumps({record_class: days for record_class, days in told.items() if days is not None})
        return put(FUNCTION, name, KEEP_DAYS, text)(before)

    return change


def rule(number: int, path: str) -> str:
    """Return the path of a property of a lifecycle rule."""
    return f"rules.{number}.{path}"


@dataclass(frozen=True)
class Bad:
    """A change after which a check finds something, and words of what it says."""

    check: str
    change: Change
    says: str
    environment: str = "prod"


BAD = [
    # The stack
    Bad("stack-environment", put(STACK, "parley", "environment", "dev"), "environment is dev, prod at once"),
    Bad("resource-tagged", put(QUEUE, "intercept", "tags.environment", None), "tags.environment is missing"),
    Bad("resource-tagged", put(QUEUE, "intercept", "tags.data-classification", "secret"), "is none of communications"),
    Bad("store-kept", option(TABLE, "ledger", protect=False), "protect is off"),
    Bad("store-kept", option(LIFECYCLE, "content", retain_on_delete=False), "retainOnDelete is off"),
    # Retention
    Bad("retention-declared", redeclare("sessions", messages=31), "not what other functions"),
    Bad("retention-declared", redeclare("sessions", messages=31), "declares for messages (30 days)"),
    Bad("retention-declared", redeclare("intercept", session_map=None), "lacks session-map"),
    Bad("retention-declared", put(FUNCTION, "intercept", KEEP_DAYS, None), "PARLEY_KEEP_DAYS is missing"),
    Bad("retention-declared", put(FUNCTION, "intercept", KEEP_DAYS, '{"a": 1}'), "not a JSON object of record classes"),
    Bad("retention-declared", redeclare("intercept", messages=0), "no positive whole number"),
    Bad("retention-declared", drop(FUNCTION), "is in no function"),
    Bad("log-retention", put(LOG_GROUP, "intercept", "retentionInDays", 0), "nothing here ever expires"),
    Bad("log-retention", put(LOG_GROUP, "intercept", "retentionInDays", 60), "60, longer than the 30 days"),
    Bad("log-retention", put(LOG_GROUP, "api", "retentionInDays", 30), "30, shorter than the 365 days"),
    Bad("log-retention", add(LOG_GROUP, "stray", name="/stray", retentionInDays=30), "no declared record class"),
    Bad(
        "queue-retention", put(QUEUE, "intercept", "messageRetentionSeconds", 345_600), "(4 days), shorter than the 14"
    ),
    Bad("queue-retention", put(QUEUE, "intercept", "messageRetentionSeconds", None), "is not set"),
    # Lifecycle
    Bad(
        "lifecycle-once",
        add(LIFECYCLE, "second", bucket="parley-test-content-0a1b2c", rules=[]),
        "has 2 configurations",
    ),
    Bad("lifecycle-once", drop(LIFECYCLE, "content"), "nothing expires"),
    Bad("lifecycle-rule-ids", put(LIFECYCLE, "content", rule(2, "id"), "messages"), "as that of another rule"),
    Bad("lifecycle-rule-ids", put(LIFECYCLE, "content", rule(0, "id"), "zzz"), "are not sorted by id"),
    Bad("lifecycle-rule-ids", put(LIFECYCLE, "content", rule(0, "id"), None), "rules[0].id is missing"),
    Bad(
        "lifecycle-rule-unmixed", put(LIFECYCLE, "content", rule(1, "expiration.days"), 1), "rules[1].expiration mixes"
    ),
    Bad(
        "lifecycle-days",
        put(LIFECYCLE, "content", rule(0, "expiration.days"), 91),
        "is 91, but call-recordings is declared as 90",
    ),
    Bad(
        "lifecycle-days", put(LIFECYCLE, "content", rule(0, "status"), "Disabled"), "none in force for call-recordings"
    ),
    Bad("lifecycle-days", put(LIFECYCLE, "content", rule(0, "filter.prefix"), "calls/"), "is 'calls/' instead of"),
    Bad(
        "lifecycle-days",
        put(LIFECYCLE, "content", rule(0, "filter.tag"), {"key": "a"}),
        "none in force for call-recordings",
    ),
    Bad("lifecycle-days", put(LIFECYCLE, "content", rule(0, "id"), "all"), "follows from no record class"),
    Bad("lifecycle-days", drop(BUCKET, "evidence"), "evidence is missing, so no rule expires consent-evidence"),
    Bad(
        "lifecycle-bound",
        put(LIFECYCLE, "content", rule(0, "noncurrentVersionExpiration.noncurrentDays"), 30),
        "leave the noncurrent version of call-recordings for 150 days, and its bound is 121",
    ),
    Bad(
        "lifecycle-bound",
        put(LIFECYCLE, "content", rule(1, "expiration"), {}),
        "delete markers of call-recordings for ever",
    ),
    Bad(
        "lifecycle-bound",
        put(LIFECYCLE, "content", rule(1, "abortIncompleteMultipartUpload.daysAfterInitiation"), 365),
        "leave the incomplete upload of messages for 380 days",
    ),
    # Buckets
    Bad("bucket-versioned", put(VERSIONING, "content", "versioningConfiguration.status", "Suspended"), "is Suspended"),
    Bad("bucket-versioned", drop(VERSIONING, "content"), "is not set"),
    Bad("bucket-encrypted", drop(ENCRYPTION, "content"), "is not set by exactly one rule"),
    Bad(
        "bucket-encrypted",
        put(ENCRYPTION, "content", rule(0, "bucketKeyEnabled"), False),
        "bucketKeyEnabled is not true",
    ),
    Bad(
        "bucket-encrypted",
        put(ENCRYPTION, "content", rule(0, "applyServerSideEncryptionByDefault"), {"sseAlgorithm": "AES256"}),
        "sseAlgorithm is AES256",
    ),
    Bad(
        "bucket-encrypted",
        put(ENCRYPTION, "content", rule(0, "applyServerSideEncryptionByDefault.kmsMasterKeyId"), "alias/aws/s3"),
        "is no key of this stack",
    ),
    Bad(
        "bucket-encrypted",
        put(ENCRYPTION, "access-logs", rule(0, "applyServerSideEncryptionByDefault.sseAlgorithm"), "aws:kms"),
        "AWS delivers no access logs",
    ),
    Bad("bucket-private", put(PUBLIC_ACCESS, "content", "blockPublicAcls", False), "blockPublicAcls is not true"),
    Bad("bucket-private", drop(PUBLIC_ACCESS, "content"), "is not set"),
    Bad("bucket-owner-enforced", put(OWNERSHIP, "content", "rule.objectOwnership", "ObjectWriter"), "is ObjectWriter"),
    Bad("bucket-transport", unsay(BUCKET_POLICY, "content", INSECURE), "without TLS"),
    Bad("bucket-transport", unsay(BUCKET_POLICY, "access-logs", "DenyOldTls"), "older than 1.2"),
    Bad("bucket-key-enforced", unsay(BUCKET_POLICY, "content", "DenyOtherKey"), "under another key"),
    Bad("bucket-no-customer-key", unsay(BUCKET_POLICY, "access-logs", "DenyCustomerKey"), "caller's own"),
    Bad("bucket-logged", drop(LOGGING, "content"), "is not set"),
    Bad("bucket-logged", put(LOGGING, "content", "targetBucket", "elsewhere"), "nobody's declaration"),
    Bad("bucket-not-emptied", put(BUCKET, "content", "forceDestroy", True), "its records would go with it"),
    Bad(
        "bucket-no-stray-copy",
        add(REPLICATION, "copy", rules=[{"destination": {"bucket": "arn:aws:s3:::elsewhere"}}]),
        "is no bucket of this stack",
    ),
    Bad(
        "bucket-lock", put(LOCK, "evidence", "rule.defaultRetention.days", 3000), "is 3000, but 1827 days are declared"
    ),
    Bad("bucket-lock", put(LOCK, "evidence", "rule.defaultRetention.mode", "GOVERNANCE"), "but compliance is declared"),
    Bad("bucket-lock", put(LOCK, "evidence", "rule.defaultRetention.years", 5), "declared in days"),
    Bad(
        "bucket-lock", put(LOCK, "evidence", "bucket", "parley-test-access-logs-0a1b2c"), "is the target of access logs"
    ),
    Bad("bucket-lock", drop(VERSIONING, "evidence"), "keeps no versions"),
    Bad(
        "bucket-lock",
        put(LOCK, "evidence", "rule.defaultRetention.mode", "COMPLIANCE"),
        "is compliance, which staging does not allow",
        "staging",
    ),
    Bad(
        "bucket-lock",
        put(LOCK, "evidence", "rule", {"defaultRetention": {"mode": "GOVERNANCE", "days": 1}}),
        "is governance, which dev does not allow",
        "dev",
    ),
    Bad("bucket-lock-present", drop(LOCK), "is missing, but compliance for 1827 days is declared"),
    Bad("bucket-lock-present", put(BUCKET, "access-logs", "objectLockEnabled", True), "stop the delivery"),
    Bad(
        "bucket-own-policy",
        say(BUCKET_POLICY, "content", {"Sid": "A", "Action": "s3:*", **EVERYBODY}),
        "past the roles",
    ),
    Bad("bucket-own-policy", drop(BUCKET_POLICY, "content"), "by 0 BucketPolicy"),
    # Encryption
    Bad("queue-encrypted", put(QUEUE, "intercept", "kmsMasterKeyId", None), "AWS's own key is used"),
    Bad("queue-encrypted", put(QUEUE, "intercept", "kmsMasterKeyId", "alias/aws/sqs"), "that AWS manages"),
    Bad("topic-encrypted", put(TOPIC, "alarms", "kmsMasterKeyId", "alias/aws/sns"), "that AWS manages"),
    Bad("log-group-encrypted", put(LOG_GROUP, "api", "kmsKeyId", None), "is not set"),
    Bad("table-encrypted", put(TABLE, "ledger", "serverSideEncryption.kmsKeyArn", None), "is not set"),
    Bad("secret-encrypted", put(SECRET_STORE, "twilio", "kmsKeyId", None), "is not set"),
    Bad("function-environment-encrypted", put(FUNCTION, "intercept", "kmsKeyArn", "arn:aws:kms:x"), "another stack"),
    # Keys
    Bad("key-rotates", put(KEY, "content", "enableKeyRotation", False), "is not true"),
    Bad("key-window", put(KEY, "content", "deletionWindowInDays", 7), "is 7, and a deleted key is lost data"),
    Bad("key-window", put(KEY, "content", "isEnabled", False), "isEnabled is false"),
    Bad("key-policy-separates", put(KEY, "content", "policy", None), "is not set"),
    Bad(
        "key-policy-separates",
        say(KEY, "content", {"Sid": "All", "Effect": "Allow", "Principal": {"AWS": "a"}, "Action": "kms:*"}),
        "policy.Statement[All] allows administration and use in one",
    ),
    Bad(
        "key-policy-separates",
        say(KEY, "content", {"Sid": "Use", "Effect": "Allow", "Principal": {"AWS": "a"}, "Action": "kms:Decrypt"}),
        "allows use that no condition binds",
    ),
    Bad("key-not-shared", say(KEY, "content", {"Sid": "A", "Action": "kms:List*", **EVERYBODY}), "every principal"),
    Bad(
        "key-not-shared",
        say(KEY, "content", {"Sid": "A", "Effect": "Allow", "NotPrincipal": {"AWS": "a"}, "Action": "kms:Sign"}),
        "every principal",
    ),
    # Tables
    Bad("table-restorable", put(TABLE, "ledger", "pointInTimeRecovery.enabled", False), "is not true"),
    Bad("table-restorable", put(TABLE, "ledger", "pointInTimeRecovery.recoveryPeriodInDays", None), "for 35 days"),
    Bad("table-expires", put(TABLE, "ledger", "ttl.enabled", False), "no row ever goes"),
    Bad("table-expires", put(TABLE, "ledger", "ttl.attributeName", "ttl"), "is not expires_at"),
    Bad("table-protected", put(TABLE, "ledger", "deletionProtectionEnabled", False), "is not true"),
    Bad("table-in-one-place", put(TABLE, "ledger", "replicas", [{"regionName": "eu-west-1"}]), "no declared bound"),
    # Queues, topics and secrets
    Bad("service-transport", unsay("aws:sqs/queuePolicy:QueuePolicy", "intercept", INSECURE), "without TLS"),
    Bad("service-transport", drop("aws:secretsmanager/secretPolicy:SecretPolicy"), "by 0 policy resources"),
    Bad("service-transport", unsay("aws:sns/topicPolicy:TopicPolicy", "alarms", INSECURE), "without TLS"),
    Bad(
        "service-not-open",
        say("aws:sqs/queuePolicy:QueuePolicy", "intercept", {"Sid": "A", "Action": "sqs:*", **EVERYBODY}),
        "allows every principal",
    ),
    Bad(
        "service-not-open",
        say(
            "aws:sns/topicPolicy:TopicPolicy",
            "alarms",
            {"Sid": "PublishAlarms", "Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}},
        ),
        "for whoever asks it to",
    ),
    # Functions
    Bad("function-dead-letters", put(FUNCTION, "intercept", "deadLetterConfig", None), "lost in silence"),
    Bad("schedule-dead-letters", put(SCHEDULE, "reconcile", "target.deadLetterConfig.arn", "x"), "is no queue"),
    Bad("function-in-time", put(FUNCTION, "intercept", "timeout", 15), "is 15 s, and Twilio waits 15 s"),
    Bad("integration-in-time", put(INTEGRATION, "intercept", "timeoutMilliseconds", 15_000), "as long as Twilio"),
    Bad("integration-in-time", put(INTEGRATION, "intercept", "timeoutMilliseconds", None), "as long as Twilio"),
    Bad("integration-in-time", drop(INTEGRATION, "intercept"), "leads nowhere"),
    Bad("function-runtime", put(FUNCTION, "intercept", "runtime", "python3.8"), "is python3.8"),
    Bad("function-concurrency", put(FUNCTION, "intercept", "reservedConcurrentExecutions", 0), "it never runs"),
    Bad(
        "function-concurrency", put(FUNCTION, "intercept", "reservedConcurrentExecutions", 5000), "more than an account"
    ),
    Bad("function-no-url", add(FUNCTION_URL, "intercept", authorizationType="NONE"), "is NONE"),
    Bad("permission-bound", put(PERMISSION, "post-v1-consents", "sourceArn", None), "sourceArn is not set"),
    Bad("permission-bound", put(PERMISSION, "post-v1-consents", "principal", "*"), "principal is everybody"),
    # Roles
    Bad("role-least-privilege", say(ROLE_POLICY, "intercept", TAKES_ALL), "every action of a service"),
    Bad("role-least-privilege", say(ROLE_POLICY, "intercept", TAKES_ALL), "about every resource"),
    Bad(
        "role-least-privilege",
        say(ROLE_POLICY, "intercept", {"Sid": "A", "Effect": "Allow", "NotAction": "iam:*", "Resource": "arn:x"}),
        "all but a few",
    ),
    Bad(
        "role-no-free-key",
        say(ROLE_POLICY, "intercept", {"Sid": "A", "Effect": "Allow", "Action": "kms:*", "Resource": "*"}),
        "with every key",
    ),
    Bad(
        "role-no-free-key",
        say(ROLE_POLICY, "intercept", {"Sid": "A", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:k"}),
        "whatever it is handed",
    ),
    Bad(
        "role-trust",
        say(ROLE, "intercept", {"Sid": "A", "Action": "sts:AssumeRole", **EVERYBODY}, "assumeRolePolicy"),
        "lets everybody",
    ),
    Bad("role-boundary", put(ROLE, "intercept", "permissionsBoundary", "arn:b"), "not the boundary that other roles"),
    Bad(
        "role-no-administrator",
        add(ATTACHMENT, "a", policyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
        "is Admin",
    ),
    # The API
    Bad("api-logged", put(STAGE, "api", "accessLogSettings", None), "is no log group"),
    Bad("api-log-impersonal", put(STAGE, "api", "accessLogSettings.format", "$context.identity.sourceIp"), "sourceIp"),
    Bad("api-throttled", put(STAGE, "api", "defaultRouteSettings.throttlingBurstLimit", None), "BurstLimit is not set"),
    Bad("api-authorized", put(ROUTE, "post-v1-consents", "authorizationType", "NONE"), "POST /v1/consents is NONE"),
    Bad("api-authorized", add(ROUTE, "open", routeKey="GET /v1/optout/{x}"), "of GET /v1/optout/{x} is NONE"),
    Bad("api-authorized", add(ROUTE, "all", routeKey="$default"), "of $default is NONE"),
    # The line
    Bad("line-session-ends", put(SERVICE, "service", "defaultTtl", 0), "0 for no end"),
    Bad("line-session-ends", put(SERVICE, "service", "allowUnlimitedTtl", True), "allowUnlimitedTtl is true"),
    Bad("line-session-ends", put(SERVICE, "service", "defaultTtl", 2_500_000), "longer than the 7 days", "local"),
    Bad("line-webhooks", put(SERVICE, "service", "callbackUrl", None), "callbackUrl is not set"),
    Bad("line-webhooks", put(SERVICE, "service", "interceptCallbackUrl", "http://127.0.0.1:1/"), "is not https"),
    # Secrets and numbers
    Bad("environment-no-secret", put(FUNCTION, "verify", "environment.variables.A", "0f" * 16), "a Twilio auth token"),
    Bad(
        "environment-no-secret", put(FUNCTION, "verify", "environment.variables.API_TOKEN", "x"), "named like a secret"
    ),
    Bad("environment-no-secret", put(FUNCTION, "verify", "environment.variables.A", SECRET), "which the state hides"),
    Bad("state-no-secret", put(TABLE, "ledger", "billingMode", "AKIA" + "A1" * 8), "billingMode is an AWS access key"),
    Bad(
        "state-no-secret",
        put("aws:secretsmanager/secretVersion:SecretVersion", "twilio", "secretString", "x"),
        "a secret by its name",
    ),
    Bad("no-phone-number", put(TOPIC, "alarms", "tags.line", "+14155550143"), "tags.line holds a phone number"),
    Bad("no-phone-number", put(STACK, "parley", "gateUrl", "x (415) 555-0143"), "gateUrl holds a phone number"),
    Bad("no-phone-number", add(QUEUE, "q-4155550143", name="1 415-555-0143"), "Queue name holds"),
]

# What no stack of this repository has: a sound one of it.
SOUND: dict[str, Change] = {
    "role-no-administrator": add(ATTACHMENT, "a", policyArn="arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess"),
}
UNWANTED = {"function-no-url"}
"""Checks of types that no sound stack has at all."""


class TestChecks:
    """The table of what is sound and what is not."""

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
    def test_sound_stack_passes(self, check: Check) -> None:
        """On a stack that has something to judge the check finds nothing."""
        sound = SOUND[check.id](deployment("prod")) if check.id in SOUND else deployment("prod")
        assert check.applies(sound) is (check.id not in UNWANTED)
        assert check.check(sound) == []

    @pytest.mark.parametrize("bad", BAD, ids=[f"{number}-{bad.check}" for number, bad in enumerate(BAD)])
    def test_unsound_stack_is_named(self, bad: Bad) -> None:
        """After the change the check says where and what is wrong, with the way out."""
        check = BY_ID[bad.check]
        assert check.check(deployment(bad.environment)) == []
        found = check.check(bad.change(deployment(bad.environment)))
        assert any(bad.says in f"{one.path} {one.reason}" for one in found), [str(one) for one in found]
        assert {(one.check, one.way_out) for one in found} == {(check.id, check.remediation)}
        assert all("; ".join(str(one).splitlines()) == str(one) for one in found)

    def test_every_check_has_both(self) -> None:
        """No check is without a stack on which it bites, and ids are unique."""
        assert len(BY_ID) == len(CHECKS) >= 35
        assert {bad.check for bad in BAD} == set(BY_ID)
        assert set(SOUND) | UNWANTED <= set(BY_ID)

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
    def test_check_says_what_it_serves(self, check: Check) -> None:
        """Each has a title that is a sentence, a remediation that is none, and at least one reference."""
        assert check.title.endswith(".")
        assert check.references
        assert check.remediation
        assert not check.remediation.endswith(".")


class TestStacks:
    """The four stacks of this repository."""

    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_nothing_is_found(self, environment: str) -> None:
        """A committed stack, filled in, has no finding, mandatory or advisory."""
        assert [str(finding) for finding in judged(deployment(environment), CHECKS)] == []

    def test_disposable_stack_may_lose_its_data(self) -> None:
        """What protects data from loss is not asked of dev, and is where nothing names the environment."""
        emptied = put(BUCKET, "content", "forceDestroy", True)
        check = BY_ID["bucket-not-emptied"]
        assert check.check(emptied(deployment("dev"))) == []
        nameless = Deployment(tuple(emptied(deployment("dev")).of(BUCKET)[:1]))
        untagged = put(BUCKET, "content", "tags", {})(nameless)
        assert len(check.check(untagged)) == 1
