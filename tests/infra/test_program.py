"""The whole program over the four committed stacks, against a recorder: what is declared, and what must hold for it."""

from __future__ import annotations

import functools
import json
from collections import Counter
from typing import Any

import pulumi
import pytest
from parley.core.record_classes import RecordClass
from parley.core.retention import CURRENT_DECLARATION, DECLARATIONS, REMNANTS_RULE, Store, lifecycle_rules
from parley.env import from_environment
from pulumi.runtime import rpc

from infra import declaration, functions, gate
from infra.__main__ import main
from infra.monitoring import exposure_seconds
from infra.records import INLINE_TWINS, lifecycle_rule
from infra.settings import ENVIRONMENTS
from tests.infra import stacks

# What the local stand-in carries out; another type here means that `parley demo` no longer deploys the kit.
CARRIED_OUT = {
    "aws:apigatewayv2/api:Api",
    "aws:apigatewayv2/integration:Integration",
    "aws:apigatewayv2/route:Route",
    "aws:apigatewayv2/stage:Stage",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:dynamodb/table:Table",
    "aws:iam/role:Role",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:kms/alias:Alias",
    "aws:kms/key:Key",
    "aws:lambda/alias:Alias",
    "aws:lambda/function:Function",
    "aws:lambda/eventSourceMapping:EventSourceMapping",
    "aws:lambda/permission:Permission",
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketLogging:BucketLogging",
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration",
    "aws:s3/bucketObjectv2:BucketObjectv2",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:s3/bucketVersioning:BucketVersioning",
    "aws:scheduler/schedule:Schedule",
    "aws:scheduler/scheduleGroup:ScheduleGroup",
    "aws:secretsmanager/secret:Secret",
    "aws:secretsmanager/secretPolicy:SecretPolicy",
    "aws:secretsmanager/secretVersion:SecretVersion",
    "aws:sns/topic:Topic",
    "aws:sns/topicPolicy:TopicPolicy",
    "aws:sqs/queue:Queue",
    "aws:sqs/queuePolicy:QueuePolicy",
}
OUTPUTS = {
    *("environment", "masking", "gateUrl", "contentBucket", "accessLogBucket", "evidenceBucket"),
    *("contentKeyArn", "evidenceKeyArn", "identityKeyArn", "proofKeyArn", "ledgerTable", "proxyServiceSids", "numbers"),
    *("functions", "declaration", "commit"),
}
DATA_STORES = {"aws:kms/key:Key", "aws:s3/bucket:Bucket", "aws:dynamodb/table:Table"}
HANDLERS = [handler for handler in functions.HANDLERS if not handler.channel and handler.masking in {"", "proxy"}]
"""The functions of the committed stacks, which have voice and sms, and Twilio Proxy."""
FUNCTIONS = [handler.name for handler in HANDLERS]
everywhere = pytest.mark.parametrize("environment", ENVIRONMENTS)


BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
ORDERS: tuple[dict[str, Any], ...] = (
    {
        "country": "GB",
        "type": "mobile",
        "count": 2,
        "bundleSid": stacks.sid("BU"),
        "addressSid": stacks.sid("AD"),
    },
    {"country": "US", "areaCode": "212", "capabilities": ["voice", "sms", "mms"]},
)
deployed = stacks.deployed


@functools.cache
def embellished() -> stacks.Recorder:
    """Run the program once with what a stack may declare besides: alarm address, boundary, tags, numbers to buy."""
    more = {
        "alarmEmail": "operator@example.com",
        "permissionsBoundary": BOUNDARY,
        "tags": {"team": "rides", "environment": "other"},
        "numbers": {"buy": list(ORDERS)},
    }
    return stacks.run(main, stacks.filled("dev") | more, stack="dev")


class TestTypes:
    """Which resources there are."""

    @everywhere
    def test_only_types_that_the_local_cloud_carries_out(self, environment: str) -> None:
        """Every AWS type is one that the stand-in carries out, so all stacks can be tried without an account."""
        declared = {each.type for each in deployed(environment).resources if each.type.startswith("aws:")}
        assert declared - CARRIED_OUT == set()

    def test_no_type_is_carried_out_for_nothing(self) -> None:
        """Together the stacks declare every type of that list."""
        declared = {each.type for environment in ENVIRONMENTS for each in deployed(environment).resources}
        assert {each for each in declared if each.startswith("aws:")} == CARRIED_OUT

    @everywhere
    def test_all_else_is_ours(self, environment: str) -> None:
        """What is not of AWS is the Twilio plugin, its two resources, and the six components."""
        others = Counter(e.type for e in deployed(environment).resources if not e.type.startswith("aws:"))
        components = ("RecordStore", "ConsentLedger", "PublicApi", "MaskedLine", "ConsentGate", "Monitoring")
        assert others == Counter(
            {
                "pulumi:providers:parley": 1,
                "parley:index:ProxyService": 1,
                "parley:index:NumberPool": 1,
                **{f"parley:infra:{name}": 1 for name in components},
            }
        )

    def test_alarm_address_adds_its_subscription(self) -> None:
        """With an alarm address, and only then, the topic mails."""
        assert embellished().of("TopicSubscription")["alarms"]["protocol"] == "email"

    @everywhere
    def test_names_are_unique(self, environment: str) -> None:
        """No two resources of a type share a logical name."""
        names = Counter((each.type, each.name) for each in deployed(environment).resources)
        assert [name for name, count in names.items() if count > 1] == []


class TestBuckets:
    """Every bucket has every part once."""

    PARTS = (
        "BucketVersioning",
        "BucketOwnershipControls",
        "BucketPublicAccessBlock",
        "BucketServerSideEncryptionConfiguration",
        "BucketLifecycleConfiguration",
        "BucketPolicy",
    )

    @everywhere
    @pytest.mark.parametrize("part", PARTS)
    def test_every_bucket_has_the_part_exactly_once(self, environment: str, part: str) -> None:
        """Two lifecycle resources on one bucket would leave it with none; one of each is what every bucket gets."""
        recorder = deployed(environment)
        owners = Counter(inputs["bucket"] for inputs in recorder.of(part).values())
        buckets = [f"parley-test-{name}-0a1b2c" for name in recorder.of("s3/bucket:Bucket")]
        assert owners == Counter(buckets)

    @everywhere
    def test_inline_twins_are_ignored(self, environment: str) -> None:
        """A refresh never takes the parts into the bucket, where the next deployment would remove them."""
        options = deployed(environment).options
        for name in ("content", "evidence", "access-logs"):
            assert options["aws:s3/bucket:Bucket", name].ignore_changes == list(INLINE_TWINS)
        declared = {key for inputs in deployed(environment).of("s3/bucket:Bucket").values() for key in inputs}
        assert declared.isdisjoint(INLINE_TWINS)

    @everywhere
    def test_nothing_is_public_and_everything_has_versions(self, environment: str) -> None:
        """All four public access blocks are on, the bucket owns every object, versions are kept."""
        recorder = deployed(environment)
        blocks = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        assert all(i[block] for i in recorder.of("BucketPublicAccessBlock").values() for block in blocks)
        owners = {i["rule"]["objectOwnership"] for i in recorder.of("BucketOwnershipControls").values()}
        assert owners == {"BucketOwnerEnforced"}
        assert {i["versioningConfiguration"]["status"] for i in recorder.of("BucketVersioning").values()} == {"Enabled"}

    @everywhere
    def test_keys_of_the_buckets(self, environment: str) -> None:
        """Content and evidence have a key each, with a bucket key; AWS delivers access logs to its own key only."""
        made = deployed(environment).of("BucketServerSideEncryptionConfiguration")
        rules = {name: inputs["rules"][0] for name, inputs in made.items()}
        defaults = {name: rule["applyServerSideEncryptionByDefault"] for name, rule in rules.items()}
        assert defaults["access-logs"] == {"sseAlgorithm": "AES256"}
        for name in ("content", "evidence"):
            assert defaults[name] == {
                "sseAlgorithm": "aws:kms",
                "kmsMasterKeyId": f"arn:aws:kms:us-east-1:123456789012:key/{name}",
            }
            assert rules[name]["bucketKeyEnabled"]

    @everywhere
    def test_both_data_buckets_are_logged(self, environment: str) -> None:
        """Access to content and evidence is logged under a prefix each, and the log bucket is not its own."""
        logging = deployed(environment).of("BucketLogging")
        assert {name: inputs["targetPrefix"] for name, inputs in logging.items()} == {
            "content": "content/",
            "evidence": "evidence/",
        }
        assert {i["targetBucket"] for i in logging.values()} == {"parley-test-access-logs-0a1b2c"}

    @everywhere
    def test_lock_is_on_the_evidence_bucket_only(self, environment: str) -> None:
        """Evidence alone is locked, by mode and days of the schedule: elsewhere it would fight erasure, or delivery.

        Content can be put under legal hold, which needs Object Lock without a default.
        """
        recorder = deployed(environment)
        capable = {name for name, inputs in recorder.of("s3/bucket:Bucket").items() if inputs.get("objectLockEnabled")}
        assert capable == {"content", "evidence"}
        expected = {
            "local": None,
            "dev": None,
            "staging": {"mode": "GOVERNANCE", "days": 400},
            "prod": {"mode": "COMPLIANCE", "days": 1827},
        }
        (lock,) = recorder.of("BucketObjectLockConfiguration").items()
        assert lock[0] == "evidence"
        assert (lock[1].get("rule") or {}).get("defaultRetention") == expected[environment]

    @everywhere
    def test_declaration_is_kept_with_the_evidence(self, environment: str) -> None:
        """What is declared lies in the evidence bucket too, under its key, as plain JSON and the same as the output."""
        recorder = deployed(environment)
        (kept,) = recorder.of("BucketObjectv2").values()
        assert json.loads(kept["content"]) == recorder.outputs["declaration"]
        assert (kept["key"], kept["bucket"]) == (CURRENT_DECLARATION, recorder.outputs["evidenceBucket"])
        assert (kept["serverSideEncryption"], kept["kmsKeyId"]) == ("aws:kms", recorder.outputs["evidenceKeyArn"])

    @everywhere
    def test_only_disposable_stacks_delete_objects(self, environment: str) -> None:
        """A bucket with objects can be deleted by the stack in local and dev only."""
        forced = {inputs["forceDestroy"] for inputs in deployed(environment).of("s3/bucket:Bucket").values()}
        assert forced == {environment in ("local", "dev")}


class TestLifecycle:
    """One rule for each class, and no rule depends on another."""

    @staticmethod
    def rules(records: dict[str, Any], store: Store, channels: list[str]) -> dict[str, str]:
        """Return the rules of a store as JSON text, by id, in their order."""
        schedule = stacks.settings("prod", records=records, channels=channels).records
        return {rule.id: json.dumps(lifecycle_rule(rule), sort_keys=True) for rule in lifecycle_rules(schedule, store)}

    @pytest.mark.parametrize("gone", ["video-recordings", "message-media", "transcripts"])
    def test_removing_a_class_leaves_the_others_equal(self, gone: str) -> None:
        """A class that comes or goes changes its own rule only: the others stay equal to the byte, sorted."""
        records = stacks.filled("prod")["records"]
        video = {"keepDays": 60, "purposes": ["dispute-resolution"], "basis": "consent", "why": "dispute window"}
        everything = records | {"video-recordings": video}
        channels = {"video-recordings": ["voice", "sms"], "message-media": ["voice"], "transcripts": ["sms"]}[gone]
        before = self.rules(everything, Store.CONTENT, channels)
        after = self.rules({k: v for k, v in everything.items() if k != gone}, Store.CONTENT, channels)
        assert gone in before
        assert after == {rule: text for rule, text in before.items() if rule != gone}
        assert list(after) == sorted(after)

    @everywhere
    def test_no_rule_mixes_days_and_markers(self, environment: str) -> None:
        """S3 wants the delete markers in a rule of their own (pulumi-aws issue 2128)."""
        lifecycles = deployed(environment).of("BucketLifecycleConfiguration").values()
        expirations = [rule.get("expiration", {}) for inputs in lifecycles for rule in inputs["rules"]]
        assert not any("days" in each and "expiredObjectDeleteMarker" in each for each in expirations)
        assert all(rule["status"] == "Enabled" for inputs in lifecycles for rule in inputs["rules"])


class TestProtection:
    """What outlives the stack."""

    @everywhere
    def test_data_stores_outlive_the_stack_outside_dev(self, environment: str) -> None:
        """Keys, buckets, the table and all parts of them are protected and retained in staging and prod only."""
        kept = environment in ("staging", "prod")
        options = {
            name: each
            for name, each in deployed(environment).options.items()
            if name[0] in DATA_STORES or name[0].startswith("aws:s3/")
        }
        assert {type_ for type_, _ in options} >= DATA_STORES
        assert {(each.protect, each.retain_on_delete) for each in options.values()} == {(kept, kept)}

    @everywhere
    def test_mistaken_destroy_takes_nothing_but_alarms(self, environment: str) -> None:
        """In staging and prod everything is protected but the monitoring; children inherit it from their component."""
        options = deployed(environment).options
        guarded = {name: each.protect for (type_, name), each in options.items() if type_.startswith("parley:infra:")}
        kept = environment in ("staging", "prod")
        assert guarded == dict.fromkeys(("records", "ledger", "api", "line", "gate"), kept) | {"monitoring": False}
        loosened = [name for (_, name), each in options.items() if kept and each.protect is False]
        assert loosened == ["monitoring"] * kept

    @everywhere
    def test_keys_rotate_and_wait_before_they_go(self, environment: str) -> None:
        """Encryption keys rotate; others cannot; a deleted key waits 30 days, 7 where data is disposable."""
        keys = deployed(environment).of("kms/key:Key")
        assert {name: inputs.get("enableKeyRotation") for name, inputs in keys.items()} == {
            "content": True,
            "evidence": True,
            "operations": True,
            "identity": None,
            "proof": None,
        }
        assert keys["identity"]["customerMasterKeySpec"] == "HMAC_256"
        assert (keys["proof"]["customerMasterKeySpec"], keys["proof"]["keyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
        assert {i["deletionWindowInDays"] for i in keys.values()} == {7 if environment in ("local", "dev") else 30}

    @everywhere
    def test_table_forgets_and_survives(self, environment: str) -> None:
        """The ledger expires rows, is encrypted under the evidence key, restorable, and protected outside dev."""
        table = deployed(environment).of("Table")["ledger"]
        assert table["ttl"] == {"attributeName": "expires_at", "enabled": True}
        assert table["serverSideEncryption"]["kmsKeyArn"].endswith("key/evidence")
        assert table["pointInTimeRecovery"]["enabled"]
        assert table["deletionProtectionEnabled"] == (environment in ("staging", "prod"))
        assert (table["hashKey"], table["rangeKey"], table["streamViewType"]) == ("pk", "sk", "NEW_IMAGE")
        assert table["globalSecondaryIndexes"] == [
            {"name": "open-sessions", "hashKey": "open_shard", "rangeKey": "pk", "projectionType": "ALL"}
        ]


class TestFunctions:
    """Each function has what is its own."""

    @everywhere
    def test_log_group_queue_and_role_of_its_own(self, environment: str) -> None:
        """No two functions share a log group, a dead-letter queue or a role."""
        functions = deployed(environment).of("Function")
        assert sorted(functions) == sorted(FUNCTIONS)
        owned = [
            (inputs["loggingConfig"]["logGroup"], inputs["deadLetterConfig"]["targetArn"], inputs["role"])
            for inputs in functions.values()
        ]
        assert [len(set(each)) for each in zip(*owned, strict=True)] == [len(FUNCTIONS)] * 3

    @everywhere
    def test_logs_go_to_the_declared_group(self, environment: str) -> None:
        """Each function logs JSON into the group that was declared for it, under AWS's own name for it."""
        recorder = deployed(environment)
        declared = {inputs["name"] for inputs in recorder.of("LogGroup").values()}
        for inputs in recorder.of("Function").values():
            assert inputs["loggingConfig"]["logGroup"] == f"/aws/lambda/{inputs['name']}"
            assert inputs["loggingConfig"]["logGroup"] in declared
            assert inputs["loggingConfig"]["logFormat"] == "JSON"

    @everywhere
    def test_log_groups_expire_and_have_a_key(self, environment: str) -> None:
        """No log group is kept for ever or in clear."""
        groups = deployed(environment).of("LogGroup").values()
        assert all(inputs["retentionInDays"] > 0 and inputs["kmsKeyId"].endswith("key/operations") for inputs in groups)

    @everywhere
    def test_group_exists_before_its_function(self, environment: str) -> None:
        """A log group is declared before its function, else Lambda would make one that never expires."""
        order = [(each.type.rpartition(":")[2], each.name) for each in deployed(environment).resources]
        assert all(order.index(("LogGroup", name)) < order.index(("Function", name)) for name in FUNCTIONS)

    @everywhere
    def test_runtime(self, environment: str) -> None:
        """All functions run Python 3.13 on arm64 with their environment under our key."""
        for inputs in deployed(environment).of("Function").values():
            assert (inputs["runtime"], inputs["architectures"]) == ("python3.13", ["arm64"])
            assert inputs["kmsKeyArn"].endswith("key/operations")
            assert inputs["handler"].startswith("parley.handlers.")
            assert inputs["publish"]

    @everywhere
    def test_environment_is_the_contract(self, environment: str) -> None:
        """What is written is what the handlers read, value by value, and nothing of it is secret."""
        settings = stacks.settings(environment)
        for inputs in deployed(environment).of("Function").values():
            variables = inputs["environment"]["variables"]
            read = from_environment(variables)
            assert read.keep_days == settings.records.keep_days()
            assert (read.controller, read.consent, read.session) == (
                settings.controller,
                settings.consent,
                settings.session,
            )
            assert read.public_url == "https://abc123.execute-api.us-east-1.amazonaws.com"
            assert (read.twilio_endpoint is not None) == (environment == "local")

    @everywhere
    def test_no_secret_but_in_its_place(self, environment: str) -> None:
        """Twilio credentials reach the secret's version and the plugin, and no other resource at all."""
        holders = {
            each.type
            for each in deployed(environment).resources
            if any(secret in json.dumps(each.inputs, default=str) for secret in stacks.SECRETS.values())
        }
        assert holders == {"aws:secretsmanager/secretVersion:SecretVersion", "pulumi:providers:parley"}

    @everywhere
    def test_secret_is_what_handlers_expect(self, environment: str) -> None:
        """The secret holds the API key and both auth tokens, so that a rotation breaks no signature."""
        marked = deployed(environment).of("SecretVersion")["twilio"]["secretString"]
        assert marked[rpc._special_sig_key] == rpc._special_secret_sig
        assert json.loads(marked["value"]) == {
            "api_key": stacks.sid("SK"),
            "api_secret": stacks.SECRETS["twilioApiSecret"],
            "auth_tokens": [stacks.SECRETS["twilioAuthToken"], stacks.SECRETS["twilioAuthTokenSecondary"]],
        }

    def test_concurrency_is_reserved_where_declared(self) -> None:
        """Dev leaves the account's pool alone; prod reserves for every function, one for each that the clock starts."""
        assert {i.get("reservedConcurrentExecutions") for i in deployed("dev").of("Function").values()} == {None}
        reserved = {n: i["reservedConcurrentExecutions"] for n, i in deployed("prod").of("Function").items()}
        assert reserved == dict.fromkeys(FUNCTIONS, 50) | {"reconcile": 1, "verify": 1, "chain": 1}

    def test_boundary_is_on_every_role(self) -> None:
        """A permissions boundary, where given, bounds every role of the stack."""
        assert {inputs["permissionsBoundary"] for inputs in embellished().of("Role").values()} == {BOUNDARY}

    @everywhere
    def test_queues_are_encrypted_and_forget(self, environment: str) -> None:
        """Dead letters are under our key, kept as declared, never longer than SQS can."""
        days = stacks.settings(environment).records.days("dead-letters")
        for inputs in deployed(environment).of("Queue").values():
            assert inputs["kmsMasterKeyId"].endswith("key/operations")
            assert inputs["messageRetentionSeconds"] == days * 86_400 <= 14 * 86_400

    @everywhere
    def test_reconciler_starts_every_minute(self, environment: str) -> None:
        """The schedule starts the reconciler's live version each minute, with its dead letters set aside."""
        schedule = deployed(environment).of("Schedule")["reconcile"]
        assert schedule["scheduleExpression"] == "rate(1 minute)"
        assert schedule["target"]["arn"].endswith(f"function:parley-{environment}-reconcile:live")
        assert "reconcile" in schedule["target"]["deadLetterConfig"]["arn"]

    def test_reconciler_starts_as_often_as_declared(self) -> None:
        """The schedule, the alarms and the declaration follow from the one interval that the stack declares."""
        session = {**stacks.filled("dev")["session"], "reconcileSeconds": 300}
        settings = stacks.settings("dev", session=session)
        (reconcile,) = [each for each in functions.handlers(settings) if each.name == "reconcile"]
        assert reconcile.every == "rate(5 minutes)"
        assert exposure_seconds(settings) == 360
        declared = declaration.declare(settings, {})["session"]
        assert declared == {"ttlSeconds": settings.session.ttl, "reconcileSeconds": 300, "exposureSeconds": 360}

    @everywhere
    def test_exposure_above_the_bound_is_an_alarm(self, environment: str) -> None:
        """Somebody who said no and was still connected a second longer than the bound rings the alarm."""
        alarm = deployed(environment).of("MetricAlarm")["exposure"]
        assert (alarm["namespace"], alarm["metricName"], alarm["statistic"]) == ("Parley", "ExposureSeconds", "Maximum")
        assert (alarm["dimensions"], alarm["threshold"]) == ({"Stack": environment}, 121)

    @everywhere
    def test_check_starts_within_every_day(self, environment: str) -> None:
        """The daily check runs a little more often than its alarm looks back, so no window of a day is without one."""
        recorder = deployed(environment)
        schedule, alarm = recorder.of("Schedule")["verify"], recorder.of("MetricAlarm")["verify-stopped"]
        assert (schedule["scheduleExpression"], alarm["period"]) == ("rate(23 hours)", 86_400)
        assert schedule["target"]["arn"].endswith(f"function:parley-{environment}-verify:live")

    @everywhere
    def test_check_starts_after_what_it_reads(self, environment: str) -> None:
        """The first run finds the declaration that it holds the stack against."""
        order = [(each.type.rpartition(":")[2], each.name) for each in deployed(environment).resources]
        assert order.index(("BucketObjectv2", "declarations")) < order.index(("Schedule", "verify"))


class TestEvidence:
    """Each new consent record is copied, and the copies are held against the ledger."""

    @everywhere
    def test_stream_feeds_the_live_version_with_new_records_only(self, environment: str) -> None:
        """The mapping reads the table's stream from its oldest record, and lets through new records of a chain."""
        mapping = deployed(environment).of("EventSourceMapping")["evidence"]
        assert mapping["eventSourceArn"].endswith("/stream/2026-05-04T12:00:00.000")
        assert mapping["functionName"].endswith(f"function:parley-{environment}-evidence:live")
        assert mapping["startingPosition"] == "TRIM_HORIZON"
        (only,) = mapping["filterCriteria"]["filters"]
        assert json.loads(only["pattern"]) == {
            "eventName": ["INSERT"],
            "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "EVENT#"}]}}},
        }

    @everywhere
    def test_what_cannot_be_copied_is_bounded_and_not_lost(self, environment: str) -> None:
        """Failures are reported one by one, retried for six hours at most, and then set aside in the dead letters."""
        mapping = deployed(environment).of("EventSourceMapping")["evidence"]
        assert (mapping["functionResponseTypes"], mapping["bisectBatchOnFunctionError"]) == (
            ["ReportBatchItemFailures"],
            True,
        )
        assert 0 < mapping["maximumRecordAgeInSeconds"] <= 86_400
        assert 0 < mapping["maximumRetryAttempts"] <= 10_000
        assert "evidence" in mapping["destinationConfig"]["onFailure"]["destinationArn"]

    @everywhere
    def test_check_of_the_chains_goes_on_every_hour(self, environment: str) -> None:
        """The check goes on every hour, which is how everybody is checked in a day, and its silence is an alarm."""
        recorder = deployed(environment)
        schedule, alarm = recorder.of("Schedule")["chain"], recorder.of("MetricAlarm")["chain-stopped"]
        assert (schedule["scheduleExpression"], alarm["period"]) == ("rate(1 hour)", 86_400)
        assert alarm["treatMissingData"] == "breaching"

    @everywhere
    def test_findings_ring(self, environment: str) -> None:
        """One finding, one record that was not copied, or a stream that waits is an alarm."""
        alarms = deployed(environment).of("MetricAlarm")
        watched = {name: (alarms[name]["metricName"], alarms[name]["threshold"]) for name in alarms if name in WATCHED}
        assert watched == WATCHED


WATCHED = {
    "evidence-late": ("IteratorAge", 900_000),
    "evidence-refused": ("RecordsNotCopied", 1),
    "chain-findings": ("ChainFindings", 1),
    "chain-unread": ("ChainsUnread", 1),
}


class TestWork:
    """Queues feed functions."""

    @everywhere
    def test_work_that_fails_is_set_aside_and_never_lost(self, environment: str) -> None:
        """Each queue comes again after the function's time, so often, then into the function's own dead letters."""
        recorder = deployed(environment)
        queues, mappings = recorder.of("Queue"), recorder.of("EventSourceMapping")
        for each in (one for one in HANDLERS if not one.channel):
            assert (f"{each.name}-work" in queues) is (each.work is not None)
            if each.work is None:
                continue
            queue, mapping = queues[f"{each.name}-work"], mappings[f"{each.name}-work"]
            assert queue["visibilityTimeoutSeconds"] > each.timeout
            redrive = json.loads(queue["redrivePolicy"])
            assert redrive["deadLetterTargetArn"].endswith(f"parley-test-{each.name}-0a1b2c")
            assert redrive["maxReceiveCount"] == each.work.receives
            assert mapping["functionResponseTypes"] == ["ReportBatchItemFailures"]
            assert mapping["functionName"].endswith(f"{each.name}:live")

    @everywhere
    def test_functions_know_every_queue(self, environment: str) -> None:
        """Whoever puts work on a queue finds its URL in its environment."""
        variables = deployed(environment).of("Function")["interaction"]["environment"]["variables"]
        assert set(json.loads(variables["PARLEY_QUEUES"])) == {e.name for e in HANDLERS if e.work and not e.channel}

    def test_functions_of_a_channel_come_with_it(self) -> None:
        """Video and chat have a function each, deployed only where the stack has that channel."""
        config = stacks.filled("local")
        config["channels"] = ["voice", "sms", "video", "chat"]
        config["records"]["video-recordings"] = config["records"]["call-recordings"]
        recorder = stacks.run(main, config, stack="local")
        assert set(recorder.of("Function")) == {*FUNCTIONS, "rooms", "chat"}
        assert {"POST /twilio/room", "POST /twilio/conversation"} <= {
            route["routeKey"] for route in recorder.of("Route").values()
        }


class TestGate:
    """The routes and who may call them."""

    @everywhere
    def test_routes(self, environment: str) -> None:
        """First-party routes ask for IAM; Twilio's are open, because it signs the body for the handler to check."""
        routes = {i["routeKey"]: i["authorizationType"] for i in deployed(environment).of("Route").values()}
        assert routes == {
            "POST /twilio/intercept": "NONE",
            "POST /twilio/out-of-session": "NONE",
            "POST /twilio/interaction": "NONE",
            "POST /twilio/voice": "NONE",
            "POST /twilio/events": "NONE",
            "POST /twilio/sms": "NONE",
            "POST /v1/questions": "AWS_IAM",
            "POST /v1/optout-links": "AWS_IAM",
            "GET /optout/{token}": "NONE",
            "POST /optout/{token}": "NONE",
            "POST /v1/consents": "AWS_IAM",
            "GET /v1/consents/{party}": "AWS_IAM",
            "GET /v1/consents/{party}/receipts/{id}": "AWS_IAM",
            "POST /v1/sessions": "AWS_IAM",
            "GET /v1/sessions/{id}": "AWS_IAM",
            "DELETE /v1/sessions/{id}": "AWS_IAM",
            "POST /v1/sessions/{id}/renewals": "AWS_IAM",
            "GET /v1/decisions/{id}": "AWS_IAM",
            "POST /twilio/recording": "NONE",
            "POST /v1/calls/{sid}/pause": "AWS_IAM",
            "POST /v1/calls/{sid}/resume": "AWS_IAM",
            "POST /v1/calls/{sid}/stop": "AWS_IAM",
            "POST /v1/recordings/{sid}/access": "AWS_IAM",
            "GET /v1/recordings/{sid}": "AWS_IAM",
            "GET /v1/holds": "AWS_IAM",
            "GET /v1/holds/{id}": "AWS_IAM",
            "PUT /v1/holds/{id}": "AWS_IAM",
            "DELETE /v1/holds/{id}": "AWS_IAM",
            "POST /v1/erasures": "AWS_IAM",
            "GET /v1/erasures/{id}": "AWS_IAM",
        }

    @everywhere
    def test_permissions_are_for_one_route_each(self, environment: str) -> None:
        """API Gateway may call a function for this API's one method and path only."""
        sources = [inputs["sourceArn"] for inputs in deployed(environment).of("Permission").values()]
        assert len(set(sources)) == len(sources) == sum(len(handler.routes) for handler in HANDLERS)
        assert all(source.startswith("arn:aws:execute-api:us-east-1:123456789012:abc123/*/") for source in sources)
        assert not any(source.endswith("/*/*") for source in sources)

    @everywhere
    def test_callers_reach_the_live_version(self, environment: str) -> None:
        """Integrations and permissions point at the alias, never at code that is being changed."""
        recorder = deployed(environment)
        assert all(i["integrationUri"].endswith(":live") for i in recorder.of("Integration").values())
        assert all(i["qualifier"] == "live" for i in recorder.of("Permission").values())

    @everywhere
    def test_limits_and_logs(self, environment: str) -> None:
        """The stage has the declared limits and writes its log into the declared group."""
        recorder = deployed(environment)
        stage = recorder.of("Stage")["api"]
        throttle = stacks.settings(environment).throttle
        assert stage["defaultRouteSettings"] == {
            "throttlingRateLimit": throttle.rate_per_second,
            "throttlingBurstLimit": throttle.burst,
        }
        assert stage["accessLogSettings"]["destinationArn"].endswith(f"/aws/vendedlogs/parley-{environment}-api")

    def test_access_log_cannot_hold_a_phone_number(self) -> None:
        """The format names nothing of the path, the query, the caller or an error's text."""
        variables = set(json.loads(gate.ACCESS_LOG_FORMAT).values())
        assert variables == {
            "$context.requestId",
            "$context.requestTime",
            "$context.routeKey",
            "$context.status",
            "$context.responseLatency",
            "$context.integration.status",
            "$context.integrationLatency",
        }

    @everywhere
    def test_webhooks_point_at_the_routes(self, environment: str) -> None:
        """Proxy asks and tells exactly the routes that the gate has, over the API's own address."""
        recorder = deployed(environment)
        service = recorder.of("ProxyService")["service"]
        url = "https://abc123.execute-api.us-east-1.amazonaws.com"
        routes = {inputs["routeKey"] for inputs in recorder.of("Route").values()}
        for webhook in ("callbackUrl", "interceptCallbackUrl", "outOfSessionCallbackUrl"):
            assert service[webhook].startswith(f"{url}/twilio/")
            assert f"POST {service[webhook].removeprefix(url)}" in routes

    @everywhere
    def test_slow_functions_fail_before_their_callers_give_up(self, environment: str) -> None:
        """Twilio connects after 15 s without an answer and API Gateway ends at 30 s: functions end before."""
        recorder = deployed(environment)
        timeouts = {name: inputs["timeout"] for name, inputs in recorder.of("Function").items()}
        assert max(timeouts[name] for name in ("intercept", "out-of-session", "interaction", "voice")) < 15
        assert max(timeouts["consents"], timeouts["sessions"]) < 30
        assert timeouts["reconcile"] < 60
        assert all(i["timeoutMilliseconds"] <= 30_000 for i in recorder.of("Integration").values())

    @everywhere
    def test_pool_of_the_stack(self, environment: str) -> None:
        """The pool adopts the declared numbers, gives none back, and is cut off by force in disposable stacks only."""
        pool = deployed(environment).of("NumberPool")["numbers"]
        assert pool["adopt"] == list(stacks.settings(environment).numbers.adopt)
        assert pool["releaseOnDelete"] is False
        assert pool["forceDestroy"] == (environment in ("local", "dev"))

    def test_numbers_to_buy(self) -> None:
        """An order in the stack's file reaches the pool with everything that was declared."""
        buy, us = ORDERS
        assert embellished().of("NumberPool")["numbers"]["buy"] == [
            buy | {"capabilities": ["voice", "sms"]},
            us | {"type": "local", "count": 1},
        ]


class TestMonitoring:
    """Somebody is told."""

    @everywhere
    def test_alarms_reach_the_topic_and_are_known_by_name(self, environment: str) -> None:
        """Every alarm tells the encrypted topic, under a name that its policies know."""
        recorder = deployed(environment)
        alarms = recorder.of("MetricAlarm").values()
        assert all(len(inputs["alarmActions"]) == 1 for inputs in alarms)
        assert all(inputs["name"].startswith(f"parley-{environment}-") for inputs in alarms)
        assert recorder.of("Topic")["alarms"]["kmsMasterKeyId"].endswith("key/operations")

    @everywhere
    def test_everything_that_weakens_the_gate_is_watched(self, environment: str) -> None:
        """Errors, throttles, dead letters, server errors, slowness, exposure, what falls silent, differences."""
        expected = {f"{name}-{kind}" for name in FUNCTIONS for kind in ("errors", "throttles", "dead-letters")}
        expected |= {f"{each.name}-work-late" for each in HANDLERS if each.work and not each.channel}
        assert set(deployed(environment).of("MetricAlarm")) == expected | {
            "api-errors",
            "intercept-slow",
            "exposure",
            "reconcile-stopped",
            "verify-stopped",
            "verify-differences",
            "verify-cannot-tell",
            "evidence-late",
            "evidence-refused",
            "chain-findings",
            "chain-unread",
            "chain-stopped",
            "recordings-dropped",
            "recordings-lost",
            "recordings-given-up",
            "deletions-overdue",
            "erasures-overdue",
            "holds-to-review",
            "reads-denied",
            "recorder-stopped",
            "sweep-stopped",
            "messages-ungated",
        }

    @everywhere
    def test_silence_of_the_reconciler_is_an_alarm(self, environment: str) -> None:
        """A reconciler that sends no metric at all has stopped."""
        alarm = deployed(environment).of("MetricAlarm")["reconcile-stopped"]
        assert (alarm["treatMissingData"], alarm["comparisonOperator"]) == ("breaching", "LessThanThreshold")


class TestTags:
    """Every resource says whose it is and what a leak of it would show."""

    TAGGED = (
        *("Api", "Stage", "LogGroup", "MetricAlarm", "Table", "Role", "Key", "Function", "s3/bucket:Bucket"),
        *("ScheduleGroup", "Secret", "Topic", "Queue"),
    )

    @everywhere
    @pytest.mark.parametrize("kind", TAGGED)
    def test_every_taggable_resource_is_tagged(self, environment: str, kind: str) -> None:
        """Project, environment and data classification are on everything that can have tags."""
        for inputs in deployed(environment).of(kind).values():
            assert set(inputs["tags"]) == {"project", "environment", "data-classification"}
            assert inputs["tags"]["environment"] == environment

    def test_own_tags_come_on_top(self) -> None:
        """Tags of the stack's file are added, and cannot replace those of the kit."""
        assert embellished().of("Table")["ledger"]["tags"] == {
            "team": "rides",
            "project": "parley",
            "environment": "dev",
            "data-classification": "consent",
        }


class TestOutputs:
    """The public contract."""

    @everywhere
    def test_names(self, environment: str) -> None:
        """The stack's outputs have their documented names, no more and no less."""
        assert set(deployed(environment).outputs) == OUTPUTS

    @everywhere
    def test_functions_by_logical_name(self, environment: str) -> None:
        """Each function's deployed name is found under its logical one."""
        functions = deployed(environment).outputs["functions"]
        assert functions == {name: f"parley-{environment}-{name}" for name in FUNCTIONS}

    @everywhere
    def test_declaration_has_every_class_with_a_store(self, environment: str) -> None:
        """Every class of the schedule is declared once, sorted, with at least one place and a rule there."""
        declaration = deployed(environment).outputs["declaration"]["classes"]
        declared = [entry["class"] for entry in declaration]
        assert declared == sorted(stacks.filled(environment)["records"])
        assert set(declared) >= {str(each) for each in RecordClass} - {"video-recordings"}
        assert [entry["class"] for entry in declaration if not entry["stores"]] == []
        assert all(store["rule"] and store["name"] for entry in declaration for store in entry["stores"])

    @everywhere
    def test_declared_days_are_the_enforced_days(self, environment: str) -> None:
        """For every store of every class, the days declared are those of the resource that enforces them."""
        recorder = deployed(environment)
        enforced = enforced_days(recorder)
        for entry in recorder.outputs["declaration"]["classes"]:
            for store in entry["stores"]:
                if store["system"] == "twilio":
                    assert store["days"] == entry["twilioCopyDays"]
                    continue
                place = (store["system"], store["name"], store["rule"])
                if store["system"] == "dynamodb":
                    place = ("dynamodb", store["name"], entry["class"])
                assert store["days"] == entry["keepDays"] == enforced.pop(place), place
        assert enforced == {}

    @everywhere
    def test_declared_lifecycle_is_the_deployed_one(self, environment: str) -> None:
        """Prefix, noncurrent versions, remnants and versioning are declared as their resources have them."""
        recorder = deployed(environment)
        versioning = {
            inputs["bucket"]: inputs["versioningConfiguration"]["status"]
            for inputs in recorder.of("BucketVersioning").values()
        }
        rules = {
            (inputs["bucket"], rule["id"]): rule
            for inputs in recorder.of("BucketLifecycleConfiguration").values()
            for rule in inputs["rules"]
        }
        stores = [store for entry in recorder.outputs["declaration"]["classes"] for store in entry["stores"]]
        for store in stores:
            if store["system"] != "s3":
                assert store.keys() == {
                    *("system", "name", "rule", "days", "key", "readers", "processor"),
                }
                continue
            bucket, declared = store["name"], store["remnants"]
            own, remnants = rules.pop((bucket, store["rule"])), rules[bucket, declared["rule"]]
            assert own == {
                "id": store["rule"],
                "status": "Enabled",
                "filter": {"prefix": store["prefix"]} if store["prefix"] else {},
                "expiration": {"days": store["days"]},
                "noncurrentVersionExpiration": {"noncurrentDays": store["noncurrentDays"]},
            }
            assert remnants == {
                "id": declared["rule"],
                "status": "Enabled",
                "filter": {"prefix": declared["prefix"]} if declared["prefix"] else {},
                "expiration": {"expiredObjectDeleteMarker": declared["deleteMarkers"]},
                "abortIncompleteMultipartUpload": {"daysAfterInitiation": declared["abortDays"]},
            }
            assert store["versioning"] == versioning[bucket] == "Enabled"
        assert {rule for _, rule in rules} == {DECLARATIONS, REMNANTS_RULE}

    @everywhere
    def test_declared_bound_is_that_of_the_deployed_rules(self, environment: str) -> None:
        """Every class says when its last copy is gone: the longest of its paths, whose terms add up."""
        for entry in deployed(environment).outputs["declaration"]["classes"]:
            bound = entry["bound"]
            assert bound["days"] == max(path["days"] for path in bound["paths"]) >= entry["keepDays"]
            for path in bound["paths"]:
                assert path["days"] == sum(term["days"] for term in path["terms"]), (entry["class"], path["copy"])
                assert all(term["source"] for term in path["terms"])

    @everywhere
    def test_limits_and_readers_are_declared(self, environment: str) -> None:
        """Every class says what bounds its period, and every place who of this stack can read it and who processes."""
        readers = set()
        for entry in deployed(environment).outputs["declaration"]["classes"]:
            assert all(limit["rule"] and limit["days"] <= entry["keepDays"] for limit in entry["floors"])
            assert all(limit["rule"] and limit["days"] >= entry["keepDays"] for limit in entry["ceilings"])
            for store in entry["stores"]:
                assert store["processor"] == ("Twilio" if store["system"] == "twilio" else "AWS")
                readers |= {(store["system"], reader) for reader in store["readers"]}
        table = {("dynamodb", f"parley-{environment}-{h.name}") for h in HANDLERS if h.table}
        objects = {("s3", f"parley-{environment}-{name}") for name in ("chain", "archive", "access")}
        assert readers == table | objects

    def test_sector_floors_are_declared(self) -> None:
        """The rules of the stack's sectors are in the declaration, by their ids."""
        config = stacks.filled("prod")
        config["sector"] = ["tsr"]
        config["records"]["interaction-log"]["keepDays"] = 1827
        declared = stacks.run(main, config, stack="prod").outputs["declaration"]
        floors = {entry["class"]: entry["floors"] for entry in declared["classes"] if entry["floors"]}
        rule = [{"days": 1827, "rule": "TSR 16 CFR 310.5"}]
        assert (declared["sectors"], floors) == (["tsr"], {"consent-evidence": rule, "interaction-log": rule})

    @pytest.mark.parametrize(
        ("environment", "last"), [("dev", "DynamoDB backup, if the table"), ("prod", "DynamoDB point-in-time")]
    )
    def test_declared_bound_knows_the_table(self, environment: str, last: str) -> None:
        """Rows stay longest in the table's window where it is protected, else in a deleted table's backup."""
        recorder = deployed(environment)
        (table,) = recorder.of("Table").values()
        (entry,) = (each for each in recorder.outputs["declaration"]["classes"] if each["class"] == "session-map")
        paths = {path["copy"]: path for path in entry["bound"]["paths"]}
        # The longest session of these stacks is hours long: one whole day.
        first = paths["DynamoDB row"]["terms"][0]
        what = "session is open, since its opening or last renewal"
        assert first == {"what": what, "days": 1, "source": "parley:session.ttl"}
        window = paths["DynamoDB point-in-time recovery"]["terms"][-1]["days"]
        assert window == table["pointInTimeRecovery"]["recoveryPeriodInDays"]
        longest = max((path for path in entry["bound"]["paths"] if "DynamoDB" in path["copy"]), key=lambda p: p["days"])
        assert longest["copy"].startswith(last)

    @everywhere
    def test_declared_keys_are_the_used_keys(self, environment: str) -> None:
        """Each place is declared with the key that its resource is encrypted under."""
        keys = {
            (store["system"], store["key"].rpartition("/")[2])
            for entry in deployed(environment).outputs["declaration"]["classes"]
            for store in entry["stores"]
            if store["key"]
        }
        assert keys == {
            ("s3", "content"),
            ("s3", "evidence"),
            ("s3", "aws:sse-s3"),
            ("dynamodb", "evidence"),
            ("logs", "operations"),
            ("sqs", "operations"),
        }


def enforced_days(recorder: stacks.Recorder) -> dict[tuple[str, str, str], int]:
    """Return the days that the declared resources enforce, by system, name and rule (class, for the table)."""
    days = {
        ("s3", inputs["bucket"], rule["id"]): rule["expiration"]["days"]
        for inputs in recorder.of("BucketLifecycleConfiguration").values()
        for rule in inputs["rules"]
        if "days" in rule.get("expiration", {})
    }
    days |= {
        ("logs", inputs["name"], "retentionInDays"): inputs["retentionInDays"]
        for inputs in recorder.of("LogGroup").values()
    }
    queues = recorder.of("Queue")
    days |= {
        (
            "sqs",
            f"https://sqs.us-east-1.amazonaws.com/123456789012/parley-test-{name}-0a1b2c",
            "messageRetentionPeriod",
        ): inputs["messageRetentionSeconds"] // 86_400
        for name, inputs in queues.items()
    }
    variables = recorder.of("Function")["consents"]["environment"]["variables"]
    written = json.loads(variables["PARLEY_KEEP_DAYS"])
    days |= {
        ("dynamodb", "parley-test-ledger-0a1b2c", name): written[name]
        for name in ("interaction-log", "session-map", "consent-evidence")
    }
    return days


class TestPreview:
    """Before anything exists."""

    def test_first_preview_declares_the_same(self) -> None:
        """With every id and ARN unknown the program declares the same resources, and fails nowhere."""
        previewed = stacks.run(main, stacks.filled("prod"), stack="prod", preview=True)
        names = {(each.type, each.name) for each in previewed.resources}
        assert names == {(each.type, each.name) for each in deployed("prod").resources}


class TestMistake:
    """A mistake in the config."""

    def test_mistake_ends_as_one_message_and_declares_nothing(self) -> None:
        """The engine gets the whole message as a RunError, which it prints without a stack trace."""
        with pytest.raises(pulumi.RunError, match="parley:masking: is 'proxi'") as caught:
            stacks.run(main, stacks.filled("dev") | {"masking": "proxi"}, stack="dev")
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
