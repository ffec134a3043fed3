"""What the AWS stand-in refuses, and how it names, configures and protects: no cloud is needed for that."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pulumi_aws
import pytest
from pulumi.runtime.proto import provider_pb2

from infra.provider import UNKNOWN, Archive, Asset, ProviderError
from infra.provider.testing import Call, CheckFailed, Deployed, Refused, Stack, secret
from infra.provider.wire import SECRET, struct
from local.aws.provider import TYPES, Aws
from local.aws.provider.package import zipped
from local.aws.provider.schema import schema

DECLARED = [
    "kms.Key",
    "kms.Alias",
    "s3.Bucket",
    "s3.BucketVersioning",
    "s3.BucketServerSideEncryptionConfiguration",
    "s3.BucketLifecycleConfiguration",
    "s3.BucketPublicAccessBlock",
    "s3.BucketOwnershipControls",
    "s3.BucketPolicy",
    "s3.BucketObjectLockConfiguration",
    "s3.BucketObjectv2",
    "s3.BucketLogging",
    "dynamodb.Table",
    "iam.Role",
    "iam.RolePolicy",
    "lambda.Function",
    "lambda.Alias",
    "lambda.Permission",
    "lambda.EventSourceMapping",
    "cloudwatch.LogGroup",
    "cloudwatch.MetricAlarm",
    "sns.Topic",
    "sns.TopicPolicy",
    "sns.TopicSubscription",
    "sqs.Queue",
    "sqs.QueuePolicy",
    "apigatewayv2.Api",
    "apigatewayv2.Stage",
    "apigatewayv2.Integration",
    "apigatewayv2.Route",
    "scheduler.Schedule",
    "scheduler.ScheduleGroup",
    "secretsmanager.Secret",
    "secretsmanager.SecretVersion",
    "secretsmanager.SecretPolicy",
]
LOOPBACK = {"endpoints": json.dumps([{"sts": "http://127.0.0.1:1"}])}
AUTONAMING = provider_pb2.CheckRequest.AutonamingOptions


def token(kind: str) -> str:
    """Return the token of `s3.BucketPolicy`."""
    package, name = kind.split(".")
    return f"aws:{package}/{name[0].lower()}{name[1:]}:{name}"


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Return a stack with the stand-in, at an endpoint where nothing listens."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    stack = Stack(Aws())
    stack.configure(LOOPBACK)
    return stack


def failures(stack: Stack, kind: str, inputs: dict[str, Any]) -> dict[str, str]:
    """Return the check failures of some inputs, by property path."""
    try:
        stack.check(token(kind), "r", inputs)
    except CheckFailed as failed:
        return dict(failure.split(": ", 1) for failure in failed.failures)
    return {}


def test_the_types_are_those_that_the_program_may_declare() -> None:
    """`TYPES` lists the contract's types, each of which the installed pulumi_aws has."""
    assert {token(kind) for kind in DECLARED} == TYPES
    for kind in TYPES:
        assert schema(kind).inputs


ALLOW = {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": {"AWS": "*"}}
RULE = {"id": "a", "status": "Enabled", "filter": {"prefix": "a/"}, "expiration": {"days": 1}}
TABLE = {"hashKey": "pk", "billingMode": "PAY_PER_REQUEST", "attributes": [{"name": "pk", "type": "S"}]}
FUNCTION = {
    "role": "arn:aws:iam::123456789012:role/r",
    "runtime": "python3.13",
    "handler": "a.b",
    "code": Archive({"hash": "h", "path": "."}),
}
ALARM = {
    "metricName": "Errors",
    "namespace": "AWS/Lambda",
    "statistic": "Sum",
    "period": 60,
    "evaluationPeriods": 1,
    "threshold": 1,
    "comparisonOperator": "GreaterThanThreshold",
}
SCHEDULE: dict[str, Any] = {
    "scheduleExpression": "rate(1 minute)",
    "flexibleTimeWindow": {"mode": "OFF"},
    "target": {"arn": "arn:aws:lambda:us-east-1:123456789012:function:f", "roleArn": FUNCTION["role"]},
}
HTTP_PROXY = {"apiId": "a", "integrationType": "AWS_PROXY", "integrationUri": "arn:aws:lambda:::function:f"}


def policy(*statements: dict[str, Any]) -> str:
    """Return a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def lifecycle(**rule: Any) -> dict[str, Any]:
    """Return a lifecycle configuration with one rule."""
    return {"bucket": "a-bucket", "rules": [{**RULE, **rule}]}


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    # What pulumi_aws itself knows: names, requirements, types.
    ("s3.BucketPolicy", {"bucket": "b"}, "policy", "is required"),
    ("sqs.Queue", {"nope": 1}, "nope", "unknown property; there is contentBasedDeduplication"),
    ("sqs.Queue", {"visibilityTimeoutSeconds": "soon"}, "visibilityTimeoutSeconds", "expected a whole number"),
    ("dynamodb.Table", {**TABLE, "ttl": {"enabled": "maybe"}}, "ttl.enabled", "expected true or false"),
    ("dynamodb.Table", {**TABLE, "attributes": [{"name": "pk"}]}, "attributes[0].type", "is required"),
    ("dynamodb.Table", {**TABLE, "attributes": {"name": "pk"}}, "attributes", "expected a list, got an object"),
    ("s3.BucketLifecycleConfiguration", lifecycle(expiration={"day": 1}), "rules[0].expiration.day", "unknown"),
    ("kms.Key", {"tags": ["a"]}, "tags", "expected a map, got a list"),
    ("kms.Key", {"description": {"a": 1}}, "description", "expected a string, got an object"),
    # What botocore's model knows: enumerations, limits, patterns.
    ("s3.BucketVersioning", {"bucket": "b", "versioningConfiguration": {"status": "enabled"}},
     "versioningConfiguration.status", "expected one of Enabled, Suspended, got 'enabled'"),
    ("s3.BucketServerSideEncryptionConfiguration",
     {"bucket": "b", "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "kms"}}]},
     "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm", "expected one of AES256, "),
    ("dynamodb.Table", {**TABLE, "tableClass": "COLD"}, "tableClass", "expected one of STANDARD"),
    ("lambda.Function", {**FUNCTION, "role": "nobody"}, "role", "'nobody' does not match arn:"),
    ("lambda.Function", {**FUNCTION, "architectures": ["sparc"]}, "architectures[0]", "expected one of x86_64, arm64"),
    ("lambda.Function", {**FUNCTION, "runtime": "python3.99"}, "runtime", "expected one of "),
    ("secretsmanager.Secret", {"name": ""}, "name", "length 0 is not between 1 and 512"),
    ("scheduler.Schedule", {**SCHEDULE, "flexibleTimeWindow": {"mode": "NEVER"}}, "flexibleTimeWindow.mode", "OFF"),
    ("scheduler.Schedule", {**SCHEDULE, "target": {**SCHEDULE["target"], "retryPolicy": {"maximumRetryAttempts": 999}}},
     "target.retryPolicy.maximumRetryAttempts", "value 999 is not between 0 and 185"),
    # What no call here would carry out.
    ("s3.Bucket", {"versioning": {"enabled": True}}, "versioning", "use aws.s3.BucketVersioning"),
    ("s3.Bucket", {"lifecycleRules": [{"enabled": True}]}, "lifecycleRules", "BucketLifecycleConfiguration"),
    ("dynamodb.Table", {**TABLE, "replicas": [{"regionName": "eu-west-1"}]}, "replicas", "does not carry this out"),
    ("lambda.Function", {**FUNCTION, "vpcConfig": {"subnetIds": [], "securityGroupIds": []}}, "vpcConfig", "carry"),
    ("sns.Topic", {"httpFailureFeedbackRoleArn": "arn:x"}, "httpFailureFeedbackRoleArn", "does not carry out"),
    ("apigatewayv2.Route", {"apiId": "a", "routeKey": "GET /", "authorizerId": "x"}, "authorizerId", "carry"),
    # What AWS refuses and moto lets pass.
    ("kms.Key", {"deletionWindowInDays": 3}, "deletionWindowInDays", "must be between 7 and 30, got 3"),
    ("kms.Key", {"enableKeyRotation": True, "rotationPeriodInDays": 10}, "rotationPeriodInDays", "90 and 2560"),
    ("kms.Key", {"rotationPeriodInDays": 100}, "rotationPeriodInDays", "needs enableKeyRotation"),
    ("kms.Key", {"keyUsage": "GENERATE_VERIFY_MAC"}, "keyUsage", "does not go with SYMMETRIC_DEFAULT"),
    ("kms.Key", {"keyUsage": "GENERATE_VERIFY_MAC", "customerMasterKeySpec": "HMAC_256", "enableKeyRotation": True},
     "enableKeyRotation", "KMS does not rotate HMAC_256 keys"),
    ("kms.Key", {"policy": "{not json"}, "policy", "is no JSON document"),
    ("kms.Key", {"policy": policy({**ALLOW, "Action": "kms:Decrypt"})}, "policy", "nobody change the policy again"),
    ("kms.Alias", {"name": "records", "targetKeyId": "k"}, "name", "must start with 'alias/'"),
    ("s3.Bucket", {"bucket": "Not_A_Bucket"}, "bucket", "is no bucket name"),
    ("s3.Bucket", {"bucket": "192.168.0.1"}, "bucket", "'192.168.0.1' is no bucket name"),
    ("s3.BucketLifecycleConfiguration", lifecycle(expiration={"days": 0}), "rules[0].expiration.days", "at least 1"),
    ("s3.BucketLifecycleConfiguration", lifecycle(expiration=None), "rules[0]", "has no action"),
    ("s3.BucketLifecycleConfiguration", {"bucket": "b", "rules": [RULE, RULE]}, "rules", "2 rules have the id 'a'"),
    ("s3.BucketLifecycleConfiguration", lifecycle(expiration={"days": 1, "expiredObjectDeleteMarker": True}),
     "rules[0].expiration", "has days and expiredObjectDeleteMarker: S3 takes one of them"),
    ("s3.BucketLifecycleConfiguration", lifecycle(transitions=[{"days": 3, "storageClass": "STANDARD_IA"}]),
     "rules[0].transitions[0].days", "at least 30"),
    ("s3.BucketPolicy", {"bucket": "mine", "policy": policy({**ALLOW, "Resource": "arn:aws:s3:::other/*"})},
     "policy", "Statement[0] is about 'arn:aws:s3:::other/*': this bucket is arn:aws:s3:::mine"),
    ("s3.BucketPolicy", {"bucket": "b", "policy": policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})},
     "policy", "must have one of Principal and NotPrincipal"),
    ("s3.BucketObjectLockConfiguration", {"bucket": "b", "rule": {"defaultRetention": {"mode": "GOVERNANCE"}}},
     "rule.defaultRetention", "needs either days or years"),
    ("iam.RolePolicy", {"role": "r", "policy": policy(ALLOW)}, "policy", "neither Principal and NotPrincipal"),
    ("iam.RolePolicy", {"role": "r", "policy": policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "If": 1})},
     "policy", "Statement[0] has If, which is no element"),
    ("iam.Role", {"assumeRolePolicy": policy(ALLOW)}, "assumeRolePolicy", "a trust policy must not have"),
    ("iam.Role", {"assumeRolePolicy": "[]"}, "assumeRolePolicy", "is JSON, but no object"),
    ("dynamodb.Table", {**TABLE, "rangeKey": "sk"}, "attributes", "lacks 'sk', which is part of a key"),
    ("dynamodb.Table", {**TABLE, "attributes": [{"name": n, "type": "S"} for n in ("pk", "x")]}, "attributes", "'x'"),
    ("dynamodb.Table", {**TABLE, "billingMode": "PROVISIONED"}, "readCapacity", "is required unless"),
    ("dynamodb.Table", {**TABLE, "streamEnabled": True}, "streamViewType", "is required with"),
    ("dynamodb.Table", {**TABLE, "pointInTimeRecovery": {"enabled": True, "recoveryPeriodInDays": 36}},
     "pointInTimeRecovery.recoveryPeriodInDays", "must be between 1 and 35, got 36"),
    ("lambda.Function", {**FUNCTION, "timeout": 901}, "timeout", "must be between 1 and 900, got 901"),
    ("lambda.Function", {**FUNCTION, "memorySize": 64}, "memorySize", "not between 128 and"),
    ("lambda.Function", {**FUNCTION, "code": None}, "code", "give it a FileArchive"),
    ("lambda.Function", {**FUNCTION, "environment": {"variables": {"AWS_REGION": "x"}}},
     "environment.variables.AWS_REGION", "is set by Lambda itself"),
    ("lambda.Function", {**FUNCTION, "environment": {"variables": {"A": "x" * 5000}}}, "environment.variables", "4096"),
    ("cloudwatch.LogGroup", {"retentionInDays": 31}, "retentionInDays", "must be 0 (for ever) or one of (1, 3, 5"),
    ("cloudwatch.MetricAlarm", {**ALARM, "period": 45}, "period", "multiple of 60"),
    ("cloudwatch.MetricAlarm", {**ALARM, "threshold": None}, "threshold", "either threshold or thresholdMetricId"),
    ("cloudwatch.MetricAlarm", {**ALARM, "evaluationPeriods": None}, "evaluationPeriods", "is required by AWS"),
    ("sns.TopicSubscription", {"topic": "arn:t", "protocol": "pigeon", "endpoint": "x"}, "protocol", "must be one of"),
    ("sns.TopicSubscription", {"topic": "arn:t", "protocol": "email", "endpoint": "x"}, "endpoint", "is no endpoint"),
    ("sqs.Queue", {"messageRetentionSeconds": 59}, "messageRetentionSeconds", "between 60 and 1209600, got 59"),
    ("sqs.Queue", {"redrivePolicy": json.dumps({"maxReceiveCount": 3})}, "redrivePolicy", "needs deadLetterTargetArn"),
    ("sqs.Queue", {"name": "a b"}, "name", "letters, digits, - and _"),
    ("apigatewayv2.Route", {"apiId": "a", "routeKey": "FETCH /x"}, "routeKey", "must be $default or METHOD /path"),
    ("apigatewayv2.Integration", {**HTTP_PROXY, "timeoutMilliseconds": 40000}, "timeoutMilliseconds", "30000"),
    ("scheduler.Schedule", {**SCHEDULE, "scheduleExpression": "every hour"}, "scheduleExpression", "is no schedule"),
    ("scheduler.Schedule", {**SCHEDULE, "scheduleExpression": "rate(0 minutes)"}, "scheduleExpression", "is no rate"),
    ("scheduler.Schedule", {**SCHEDULE, "scheduleExpression": "cron(* * * * *)"}, "scheduleExpression", "six fields"),
    ("scheduler.Schedule", {**SCHEDULE, "scheduleExpression": "at(tomorrow)"}, "scheduleExpression", "is no moment"),
    ("scheduler.Schedule", {**SCHEDULE, "scheduleExpressionTimezone": "Mars"}, "scheduleExpressionTimezone", "IANA"),
    ("secretsmanager.Secret", {"recoveryWindowInDays": 3}, "recoveryWindowInDays", "must be 0 (delete at once) or"),
    ("secretsmanager.SecretVersion", {"secretId": "s"}, "secretString", "give either secretString or secretBinary"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "inputs", "path", "reason"), WRONG, ids=[f"{k}-{p}-{r}" for k, _, p, r in WRONG])
def test_a_wrong_input_is_refused_at_its_path(
    stack: Stack, kind: str, inputs: dict[str, Any], path: str, reason: str
) -> None:
    """What AWS, its API's model or pulumi_aws would refuse is refused by Check, at the exact property path."""
    found = failures(stack, kind, inputs)
    assert path in found
    assert reason in found[path]


RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("s3.BucketLifecycleConfiguration", lifecycle()),
    ("dynamodb.Table", TABLE),
    ("lambda.Function", FUNCTION),
    ("cloudwatch.MetricAlarm", ALARM),
    ("scheduler.Schedule", SCHEDULE),
    ("scheduler.Schedule", {**SCHEDULE, "scheduleExpression": "cron(0 12 ? * MON-FRI *)"}),
    ("scheduler.Schedule", {**SCHEDULE, "scheduleExpression": "at(2030-01-31T12:00:00)"}),
    ("apigatewayv2.Integration", HTTP_PROXY),
    ("sqs.Queue", {"visibilityTimeoutSeconds": "60", "fifoQueue": "true"}),
    ("kms.Key", {"tags": {"n": 5}}),
]


@pytest.mark.parametrize(("kind", "inputs"), RIGHT)
def test_right_inputs_pass(stack: Stack, kind: str, inputs: dict[str, Any]) -> None:
    """Inputs that AWS takes are not refused, also where text spells a number or the other way round."""
    assert failures(stack, kind, inputs) == {}


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("kms.Key", {"policy": UNKNOWN, "deletionWindowInDays": UNKNOWN, "keyUsage": UNKNOWN, "tags": {"a": UNKNOWN}}),
        ("s3.BucketPolicy", {"bucket": UNKNOWN, "policy": UNKNOWN}),
        ("s3.BucketLifecycleConfiguration", {"bucket": UNKNOWN, "rules": [{**RULE, "expiration": {"days": UNKNOWN}}]}),
        (
            "dynamodb.Table",
            {**TABLE, "hashKey": UNKNOWN, "serverSideEncryption": {"enabled": True, "kmsKeyArn": UNKNOWN}},
        ),
        (
            "lambda.Function",
            {**FUNCTION, "role": UNKNOWN, "environment": {"variables": {"TABLE": UNKNOWN}}, "timeout": UNKNOWN},
        ),
        ("lambda.Function", {**FUNCTION, "code": UNKNOWN}),
        ("sqs.Queue", {"redrivePolicy": UNKNOWN, "name": UNKNOWN}),
        (
            "scheduler.Schedule",
            {**SCHEDULE, "scheduleExpression": UNKNOWN, "target": {"arn": UNKNOWN, "roleArn": UNKNOWN}},
        ),
        ("apigatewayv2.Route", {"apiId": UNKNOWN, "routeKey": "GET /x", "target": UNKNOWN}),
        ("cloudwatch.MetricAlarm", {**ALARM, "dimensions": {"FunctionName": UNKNOWN}, "alarmActions": [UNKNOWN]}),
        ("secretsmanager.SecretVersion", {"secretId": UNKNOWN, "secretString": UNKNOWN}),
    ],
)
def test_what_is_not_known_yet_is_not_refused_and_stays_unknown(
    stack: Stack, kind: str, inputs: dict[str, Any]
) -> None:
    """A preview with unknown inputs passes the check and shows outputs as unknown, without any call to AWS."""
    shown = stack.preview(token(kind), "r", inputs)
    computed = schema(token(kind)).outputs.keys() - schema(token(kind)).inputs.keys() - {"tagsAll"}
    assert {shown[name] for name in computed} <= {UNKNOWN}
    assert shown["region"] == "us-east-1" if "region" in schema(token(kind)).outputs else True


def test_the_check_of_a_secret_value_does_not_tell_it(stack: Stack) -> None:
    """A refused value that is secret is not in the message."""
    found = failures(stack, "s3.Bucket", {"bucket": secret("Hush-Hush-Hush")})
    assert "[secret]" in found["bucket"]
    assert "Hush" not in str(found)


# -- names -------------------------------------------------------------------------------------------------------------


def named(stack: Stack, kind: str, inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return checked inputs under autonaming options."""
    checked = stack.check(token(kind), "My-Thing", inputs, autonaming=AUTONAMING(**options) if options else None)
    return Deployed("", "", "", checked, checked).state


@pytest.mark.parametrize(
    ("kind", "inputs", "prop", "name"),
    [
        ("kms.Alias", {"targetKeyId": "k"}, "name", "alias/My-Thing-0123456"),
        ("s3.Bucket", {}, "bucket", "my-thing-0123456"),
        ("sqs.Queue", {"fifoQueue": True}, "name", "My-Thing-0123456.fifo"),
        ("cloudwatch.LogGroup", {"namePrefix": "/aws/lambda/"}, "name", "/aws/lambda/0123456"),
    ],
)
def test_an_object_without_a_name_is_given_one(
    stack: Stack, kind: str, inputs: dict[str, Any], prop: str, name: str
) -> None:
    """The name is the resource's with seven random digits, in the form that the type wants, and noted as a default."""
    inputs = named(stack, kind, inputs)
    assert inputs[prop] == name
    assert inputs["__defaults"] == [prop]


def test_a_long_name_is_cut_and_keeps_its_random_end(stack: Stack) -> None:
    """A name never gets longer than AWS takes."""
    checked = stack.check(
        token("iam.Role"), "r" * 100, {"assumeRolePolicy": policy({k: v for k, v in ALLOW.items() if k != "Resource"})}
    )
    name = Deployed("", "", "", checked, checked).state["name"]
    assert len(name) == 64
    assert name.endswith("-0123456")


def test_the_project_s_naming_pattern_is_honoured(stack: Stack) -> None:
    """A proposed name is taken, in the type's form; an enforced one as it is; with naming off a name is required."""
    assert named(stack, "s3.Bucket", {}, proposed_name="Parley-dev-x")["bucket"] == "parley-dev-x"
    assert named(stack, "kms.Alias", {"targetKeyId": "k"}, proposed_name="p-x")["name"] == "alias/p-x"
    assert named(stack, "sqs.Queue", {}, proposed_name="P-x", mode=AUTONAMING.ENFORCE)["name"] == "P-x"
    with pytest.raises(CheckFailed, match="name: is required, since pulumi:autonaming is off"):
        named(stack, "sqs.Queue", {}, mode=AUTONAMING.DISABLE)
    assert named(stack, "sqs.Queue", {"name": "mine"}, mode=AUTONAMING.DISABLE)["name"] == "mine"


def test_a_given_name_is_kept_and_an_explicit_one_replaces_it(stack: Stack) -> None:
    """On the next deployment an object keeps its given name; naming it in the program replaces the object."""
    checked = stack.check(token("sqs.Queue"), "q", {})
    made = Deployed(token("sqs.Queue"), "q", "url", checked, struct({"region": "us-east-1"}))
    stack.seed = b"another seed"
    assert stack.diff(made, {}).changes == {}
    plan = stack.diff(made, {"name": "mine"})
    assert plan.changes == {"name": "UPDATE_REPLACE"}
    assert not plan.delete_first


def test_the_old_object_goes_first_only_when_the_names_collide(stack: Stack) -> None:
    """Replacing an explicitly named object deletes it first; an autonamed one gets another name, so it need not go."""
    kind = token("dynamodb.Table")
    wanted = {**TABLE, "hashKey": "id", "attributes": [{"name": "id", "type": "S"}]}
    for name, first in (({"name": "ledger"}, True), ({}, False)):
        checked = stack.check(kind, "t", {**TABLE, **name})
        made = Deployed(kind, "t", "ledger", checked, struct({"region": "us-east-1"}))
        plan = stack.diff(made, {**wanted, **name})
        assert (plan.replaces, plan.delete_first) == (["hashKey"], first)


def test_equal_documents_and_explicit_defaults_are_no_change(stack: Stack) -> None:
    """A policy that is only written differently, and a default that is now spelled out, change nothing."""
    document = policy({**ALLOW, "Action": "kms:*"})
    checked = stack.check(token("kms.Key"), "k", {"policy": document})
    made = Deployed(token("kms.Key"), "k", "id", checked, struct({"region": "us-east-1"}))
    spaced = json.dumps(json.loads(document), indent=4)
    wanted = {"policy": spaced, "isEnabled": True, "customerMasterKeySpec": "SYMMETRIC_DEFAULT"}
    assert stack.diff(made, wanted).changes == {}
    assert stack.diff(made, {"policy": policy({**ALLOW, "Action": "*"})}).changes == {"policy": "UPDATE"}


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"endpoints": json.dumps([{"sts": "https://sts.amazonaws.com"}])},
        {"endpoints": [{"sts": "http://127.0.0.1:1", "s3": "https://s3.amazonaws.com"}]},
        {"endpoints": [{"sts": "http://127.0.0.1.example.com"}]},
    ],
)
def test_anything_but_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> None:
    """Without an endpoint, or with one elsewhere, the stand-in does not start: it cannot touch AWS."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(Refused, match=r"talks to this machine only.*AWS_ENDPOINT_URL"):
        Stack(Aws()).configure(config)


def test_an_endpoint_elsewhere_is_refused_per_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that points away from this machine is refused when a service's client is asked for."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://amazonaws.com")
    stack = Stack(Aws())
    stack.configure(LOOPBACK)
    with pytest.raises(Refused, match=re.escape("the endpoint of sqs is https://amazonaws.com")):
        stack.up(token("sqs.Queue"), "q", {})


def test_the_region_comes_from_config_then_environment_then_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """aws:region wins over AWS_REGION, which wins over us-east-1."""
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    regions = []
    for config, environment in (({}, None), ({}, "eu-west-1"), ({"region": "ap-south-1"}, "eu-west-1")):
        if environment:
            monkeypatch.setenv("AWS_REGION", environment)
        stack = Stack(Aws())
        stack.configure(config)
        answer = stack.provider.Invoke(
            provider_pb2.InvokeRequest(tok="aws:index/getRegion:getRegion", args=struct({})), Call()
        )
        regions.append(getattr(answer, "return").fields["region"].string_value)
    assert regions == ["us-east-1", "eu-west-1", "ap-south-1"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"assumeRoles": json.dumps([{"roleArn": "arn:x"}])}, "aws:assumeRoles: the local stand-in does not carry"),
        ({"profile": "prod"}, "aws:profile: the local stand-in does not carry this out"),
        ({"regoin": "x"}, "regoin: unknown property; there is accessKey"),
        ({"defaultTags": json.dumps({"tags": ["a"]})}, "defaultTags.tags: expected a map"),
    ],
)
def test_configuration_that_is_not_carried_out_is_refused(config: dict[str, Any], message: str) -> None:
    """An unknown or needless key of the provider's configuration is told, not dropped."""
    with pytest.raises(CheckFailed, match=message):
        Stack(Aws()).configure({**LOOPBACK, **config})


def test_default_tags_reach_every_taggable_object_and_stay_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview shows declared and default tags in tagsAll, secret ones marked; a changed default is a diff."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    stack = Stack(Aws())
    stack.configure({"defaultTags": secret(json.dumps({"tags": {"project": "parley"}}))})
    inputs = {"tags": {"token": secret("hush-hush")}}
    checked = stack.check(token("kms.Key"), "k", inputs)
    request = provider_pb2.CreateRequest(type=token("kms.Key"), properties=checked, preview=True)
    outputs = stack.provider.Create(request, Call()).properties
    made = Deployed(token("kms.Key"), "k", "id", checked, outputs)
    assert made.state["tagsAll"] == {"project": "parley", "token": "hush-hush"}
    assert str(made.raw["tagsAll"]).count(SECRET) == 2
    assert stack.diff(made, inputs).changes == {}
    stack.configure({"defaultTags": json.dumps({"tags": {"project": "other"}})})
    assert stack.diff(made, inputs).changes == {"tagsAll": "UPDATE"}


def test_another_region_replaces_the_provider_another_key_does_not() -> None:
    """DiffConfig asks for a new provider when the region changes only."""
    aws = Aws()
    old = struct({"region": "us-east-1", "accessKey": "a"})
    request = provider_pb2.DiffRequest(old_inputs=old, news=struct({"region": "eu-west-1", "accessKey": "b"}))
    answer = aws.DiffConfig(request, Call())
    assert (list(answer.replaces), sorted(answer.diffs)) == (["region"], ["accessKey", "region"])


def test_types_and_functions_beyond_the_table_are_refused_with_the_way_out(stack: Stack) -> None:
    """A type or function that the stand-in lacks is named, with what to do."""
    with pytest.raises(Refused, match=r"does not carry out aws:ec2/instance:Instance: add it to local/aws/provider"):
        stack.up("aws:ec2/instance:Instance", "i", {})
    request = provider_pb2.InvokeRequest(tok="aws:ec2/getAmi:getAmi", args=struct({}))
    with pytest.raises(Refused, match="the aws provider has no function aws:ec2/getAmi:getAmi; it has aws:index"):
        stack.provider.Invoke(request, Call())


def test_a_cloud_that_is_not_running_is_told_in_one_line(stack: Stack) -> None:
    """A refused connection names the way out."""
    with pytest.raises(Refused, match=r"the local AWS could not be reached.*parley local status"):
        stack.up(token("sqs.Queue"), "q", {})
    request = provider_pb2.InvokeRequest(tok="aws:index/getCallerIdentity:getCallerIdentity", args=struct({}))
    with pytest.raises(Refused, match="the local AWS could not be reached"):
        stack.provider.Invoke(request, Call())


def test_the_version_is_that_of_the_installed_package() -> None:
    """The engine is told the version of pulumi_aws that the program uses."""
    assert Aws.version.split(".")[0] == "7"
    assert pulumi_aws.__name__ == "pulumi_aws"


# -- packages ----------------------------------------------------------------------------------------------------------


def test_a_package_depends_on_content_only(tmp_path: Path) -> None:
    """The same files give the same bytes, whatever their dates and order; caches stay out."""
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "__pycache__").mkdir()
        (tmp_path / name / "__pycache__" / f"{name}.pyc").write_text(name)
    for name in ("sub/b.py", "a.py"):
        (tmp_path / "one" / name).write_text(name)
    for name in ("a.py", "sub/b.py"):
        (tmp_path / "two" / name).write_text(name)
    first, second = (zipped(Archive({"path": str(tmp_path / name)})) for name in ("one", "two"))
    assert first == second
    (tmp_path / "two" / "a.py").write_text("changed")
    assert zipped(Archive({"path": str(tmp_path / "two")})) != first


def test_archives_nest(tmp_path: Path) -> None:
    """A map of assets may hold text, files, folders and zip files, at the places that it says."""
    import io  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    (tmp_path / "f.py").write_text("file")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "m.py").write_text("folder")
    (tmp_path / "z.zip").write_bytes(zipped(Archive({"assets": {"deep/x": Asset({"text": "zip"})}})))
    assets = {
        "t.txt": Asset({"text": "text"}),
        "f.py": Asset({"path": str(tmp_path / "f.py")}),
        ".": Archive({"path": str(tmp_path / "lib")}),
        "z": Archive({"path": str(tmp_path / "z.zip")}),
    }
    with zipfile.ZipFile(io.BytesIO(zipped(Archive({"assets": assets})))) as file:
        found = {name: file.read(name).decode() for name in file.namelist()}
    assert found == {"t.txt": "text", "f.py": "file", "m.py": "folder", "z/deep/x": "zip"}
    assert zipped(Archive({"path": str(tmp_path / "z.zip")})) == (tmp_path / "z.zip").read_bytes()


def test_a_missing_folder_and_a_remote_archive_are_told(tmp_path: Path) -> None:
    """What cannot be packed is named."""
    with pytest.raises(ProviderError, match=r"code: .*/nowhere: No such file"):
        zipped(Archive({"path": str(tmp_path / "nowhere")}))
    with pytest.raises(ProviderError, match="not remote archives"):
        zipped(Archive({"uri": "https://example.com/a.zip"}))
