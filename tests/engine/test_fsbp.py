"""AWS's own controls, asked of the deployed stack by boto3: one test for each control, named after it.

The list is that of the standard "AWS Foundational Security Best Practices v1.0.0" for the services of this stack, as
Security Hub's user guide has it, and those controls of Security Hub beyond the standard that concern the same resources
(`BEYOND`). What the kit does not meet, or has nothing of, stands in `NOT_MET` with its reason; docs/controls.md shows
the same table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli import verify
from cli.stack import LocalStack
from infra.gate import RUNTIME

FSBP = frozenset(
    {
        *(f"APIGateway.{n}" for n in (1, 2, 3, 4, 5, 8, 9, 10)),
        *(f"DynamoDB.{n}" for n in (1, 2, 3, 6, 7)),
        *(f"KMS.{n}" for n in (1, 2, 3, 5)),
        *(f"Lambda.{n}" for n in (1, 2, 5)),
        *(f"S3.{n}" for n in (1, 2, 3, 5, 6, 8, 9, 12, 13, 19, 24, 25)),
        *(f"SecretsManager.{n}" for n in (1, 2, 3, 4)),
        "SNS.4",
        *(f"SQS.{n}" for n in (1, 3)),
    }
)
"""The standard's controls for S3, KMS, Lambda, DynamoDB, SQS, SNS, Secrets Manager and API Gateway."""

BEYOND = frozenset(
    {
        *(f"CloudWatch.{n}" for n in (15, 16, 17)),
        "DynamoDB.4",
        "KMS.4",
        "Lambda.3",
        *(f"S3.{n}" for n in (7, 10, 11, 14, 15, 17, 20)),
        "SNS.1",
    }
)
"""Controls of other standards of Security Hub (NIST 800-53, CIS) for the same resources, and for CloudWatch Logs."""

NOT_MET: Mapping[str, str] = {
    "APIGateway.1": "for REST and WebSocket APIs; the gate is an HTTP API, and its access log is APIGateway.9",
    "APIGateway.2": "for REST APIs; an HTTP API calls its functions by IAM, without certificates",
    "APIGateway.3": "for REST APIs; HTTP APIs have no X-Ray tracing",
    "APIGateway.4": "for REST APIs; AWS WAF cannot be put before an HTTP API. The stage throttles instead",
    "APIGateway.5": "for REST APIs; HTTP APIs have no cache",
    "APIGateway.8": "met for /v1 (AWS_IAM); Twilio signs the body, which no authorizer of an HTTP API sees, so the "
    "functions check its signature themselves",
    "APIGateway.10": "for private integrations; the gate has none",
    "CloudWatch.16": "asks for a year of logs at least; here the declared period counts, and logs are personal data",
    "DynamoDB.3": "for DAX clusters; there is none",
    "DynamoDB.4": "a backup plan would keep what was erased; point-in-time recovery is bounded by its declared days",
    "DynamoDB.6": "met in staging and prod, where settings refuse anything else; a local stack is thrown away",
    "DynamoDB.7": "for DAX clusters; there is none",
    "Lambda.3": "functions call Twilio over the internet, and reach nothing in a VPC",
    "Lambda.5": "for functions in a VPC; there is none",
    "S3.7": "every copy elsewhere would have to be erased, too; `parley verify` fails when there is a replica",
    "S3.11": "nothing here waits for an event of a bucket",
    "S3.15": "met for evidence and content; a lock on the bucket of access logs would stop their delivery",
    "S3.17": "met for evidence and content; S3 delivers access logs to buckets with its own keys only",
    "S3.19": "for access points; there is none",
    "S3.20": "only the root user can switch MFA delete on, and with it no lifecycle rule could be changed",
    "S3.24": "for Multi-Region Access Points; there is none",
    "S3.25": "for directory buckets; there is none",
    "SecretsManager.1": "Twilio has no rotation that Secrets Manager could start; two auth tokens may overlap instead",
    "SecretsManager.2": "for secrets that rotate by themselves; see SecretsManager.1",
    "SecretsManager.3": "about use in the last 90 days, which a stack that was just deployed cannot show",
    "SecretsManager.4": "see SecretsManager.1: the operator rotates, and the functions accept both tokens meanwhile",
}
"""What is not met as the control words it, or has nothing here to be met by, and why."""

PAGE = Path(__file__).resolve().parents[2] / "docs" / "controls.md"


class Services:
    """The deployed stack's services and outputs."""

    def __init__(self, stack: LocalStack) -> None:
        self._clients = verify.clients(stack.start_cloud().aws_environment())
        self.outputs: dict[str, Any] = stack.workspace().outputs()
        self._declared = self.outputs["declaration"]["resources"]

    def __getitem__(self, service: str) -> Any:
        """Return a client."""
        return self._clients[service]

    def names(self, system: str) -> list[str]:
        """Return the names of the stack's resources of a system."""
        return [each["name"] for each in self._declared if each["system"] == system]

    @property
    def data(self) -> list[str]:
        """The buckets of content and evidence."""
        return [self.outputs["contentBucket"], self.outputs["evidenceBucket"]]

    def bucket_statements(self, bucket: str) -> list[dict[str, Any]]:
        """Return the statements of a bucket's policy."""
        found: list[dict[str, Any]] = json.loads(self["s3"].get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        return found

    def close(self) -> None:
        """End the connections."""
        for client in self._clients.values():
            client.close()


@pytest.fixture(scope="module")
def aws(stack: LocalStack) -> Iterator[Services]:
    """Give the services of the deployed stack."""
    services = Services(stack)
    yield services
    services.close()


def listed(value: Any) -> list[Any]:
    """Return one or many as a list."""
    return value if isinstance(value, list) else [value]


def public(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the statements that allow something to everybody without a condition."""
    everybody = ("*", {"AWS": "*"}, {"AWS": ["*"]})
    return [
        s for s in statements if s["Effect"] == "Allow" and s.get("Principal") in everybody and "Condition" not in s
    ]


def own(statements: list[dict[str, Any]], account: str = "123456789012") -> bool:
    """Say whether every principal of an Allow is a service or of this account."""
    names = [n for s in statements if s["Effect"] == "Allow" for n in listed(s["Principal"].get("AWS", []))]
    return all(f":{account}:" in f":{name}:" or f"::{account}:" in name for name in names)


class TestS3:
    """Amazon S3."""

    def test_s3_1_and_s3_8_block_public_access(self, aws: Services) -> None:
        """S3.1, S3.8: every bucket has all four settings that block public access."""
        for bucket in aws.names("s3"):
            block = aws["s3"].get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
            assert set(block.values()) == {True}
            assert len(block) == 4

    def test_s3_2_no_public_read(self, aws: Services) -> None:
        """S3.2: no bucket policy or ACL lets everybody read."""
        for bucket in aws.names("s3"):
            grants = aws["s3"].get_bucket_acl(Bucket=bucket)["Grants"]
            assert [g for g in grants if "AllUsers" in json.dumps(g) or "AuthenticatedUsers" in json.dumps(g)] == []
            assert public(aws.bucket_statements(bucket)) == []

    def test_s3_3_no_public_write(self, aws: Services) -> None:
        """S3.3: nobody but the log service of this account is allowed to write by a bucket's policy."""
        for bucket in aws.names("s3"):
            allowed = [s for s in aws.bucket_statements(bucket) if s["Effect"] == "Allow"]
            assert {json.dumps(s["Principal"]) for s in allowed} <= {'{"Service": "logging.s3.amazonaws.com"}'}
            assert all(s["Condition"]["StringEquals"]["aws:SourceAccount"] for s in allowed)

    def test_s3_5_requires_tls(self, aws: Services) -> None:
        """S3.5: every bucket denies requests that are not sent over TLS."""
        for bucket in aws.names("s3"):
            denied = [s for s in aws.bucket_statements(bucket) if s["Effect"] == "Deny" and s["Action"] == "s3:*"]
            assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in denied]

    def test_s3_6_no_other_account(self, aws: Services) -> None:
        """S3.6: no bucket policy allows another account anything, least of all to change the bucket."""
        assert all(own(aws.bucket_statements(bucket)) for bucket in aws.names("s3"))

    def test_s3_9_access_is_logged(self, aws: Services) -> None:
        """S3.9: access to content and evidence is logged into a third bucket."""
        targets = [aws["s3"].get_bucket_logging(Bucket=bucket)["LoggingEnabled"]["TargetBucket"] for bucket in aws.data]
        assert targets == [aws.outputs["accessLogBucket"]] * 2

    def test_s3_10_and_s3_13_lifecycle(self, aws: Services) -> None:
        """S3.10, S3.13: every bucket, all of them versioned, has lifecycle rules that are enabled."""
        for bucket in aws.names("s3"):
            rules = aws["s3"].get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
            assert {rule["Status"] for rule in rules} == {"Enabled"}
            assert any("NoncurrentVersionExpiration" in rule for rule in rules)

    def test_s3_12_no_acl(self, aws: Services) -> None:
        """S3.12: no bucket takes ACLs: the owner is enforced."""
        for bucket in aws.names("s3"):
            (rule,) = aws["s3"].get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
            assert rule["ObjectOwnership"] == "BucketOwnerEnforced"

    def test_s3_14_versioning(self, aws: Services) -> None:
        """S3.14: every bucket keeps versions."""
        statuses = {aws["s3"].get_bucket_versioning(Bucket=bucket)["Status"] for bucket in aws.names("s3")}
        assert statuses == {"Enabled"}

    def test_s3_15_object_lock_of_records(self, aws: Services) -> None:
        """S3.15: content and evidence can be locked, so that a legal hold can keep an object."""
        for bucket in aws.data:
            lock = aws["s3"].get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
            assert lock["ObjectLockEnabled"] == "Enabled"

    def test_s3_17_encrypted_by_kms(self, aws: Services) -> None:
        """S3.17: content and evidence are encrypted at rest under a key of ours each."""
        keys = set()
        for bucket in aws.data:
            (rule,) = aws["s3"].get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
            default = rule["ApplyServerSideEncryptionByDefault"]
            assert default["SSEAlgorithm"] == "aws:kms"
            keys.add(default["KMSMasterKeyID"])
        assert keys == {aws.outputs["contentKeyArn"], aws.outputs["evidenceKeyArn"]}


class TestKms:
    """AWS KMS."""

    def test_kms_1_no_managed_policy_decrypts_all(self, aws: Services) -> None:
        """KMS.1: no managed policy of this stack, since it makes none, allows to decrypt under every key."""
        pages = aws["iam"].get_paginator("list_policies").paginate(Scope="Local")
        assert [policy["PolicyName"] for page in pages for policy in page["Policies"]] == []

    def test_kms_2_no_inline_policy_decrypts_all(self, aws: Services) -> None:
        """KMS.2: no role's inline policy allows to decrypt under every key."""
        for role in aws["iam"].list_roles()["Roles"]:
            for name in aws["iam"].list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
                document = aws["iam"].get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
                decrypting = [s for s in document["Statement"] if "kms:Decrypt" in listed(s["Action"])]
                resources = [r for s in decrypting for r in listed(s["Resource"])]
                assert all(re.search(r":key/[0-9a-f-]+$", resource) for resource in resources)

    def test_kms_3_no_key_is_about_to_go(self, aws: Services) -> None:
        """KMS.3: no key of the stack waits for its deletion."""
        states = {aws["kms"].describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in aws.names("kms")}
        assert states == {"Enabled"}

    def test_kms_4_rotation(self, aws: Services) -> None:
        """KMS.4: every symmetric key rotates; KMS cannot rotate the HMAC key of party keys nor the one that signs."""
        rotating = {
            key: aws["kms"].get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] for key in aws.names("kms")
        }
        still = {key for key, on in rotating.items() if not on}
        assert still == {aws.outputs["identityKeyArn"], aws.outputs["proofKeyArn"]}

    def test_kms_5_no_public_key(self, aws: Services) -> None:
        """KMS.5: no key policy allows everybody, or another account, anything."""
        for key in aws.names("kms"):
            policy = json.loads(aws["kms"].get_key_policy(KeyId=key, PolicyName="default")["Policy"])
            assert public(policy["Statement"]) == []
            assert own(policy["Statement"])


class TestLambda:
    """AWS Lambda."""

    def test_lambda_1_no_public_function(self, aws: Services) -> None:
        """Lambda.1: only the API of this stack may invoke a function by its policy, and none has a URL."""
        api = aws.names("apigateway")[0]
        for function in aws.outputs["functions"].values():
            try:
                found = aws["lambda"].get_policy(FunctionName=function, Qualifier="live")["Policy"]
            except aws["lambda"].exceptions.ResourceNotFoundException:
                continue  # started by its schedule's role, so it has no policy
            for statement in json.loads(found)["Statement"]:
                assert statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
                assert f":{api}/" in json.dumps(statement["Condition"])

    def test_lambda_2_supported_runtime(self, aws: Services) -> None:
        """Lambda.2: every function runs on a runtime that Lambda supports."""
        runtimes = {
            aws["lambda"].get_function_configuration(FunctionName=name, Qualifier="live")["Runtime"]
            for name in aws.outputs["functions"].values()
        }
        assert runtimes == {RUNTIME} <= {f"python3.{minor}" for minor in (10, 11, 12, 13, 14)}


class TestDynamoDb:
    """Amazon DynamoDB."""

    def test_dynamodb_1_scales(self, aws: Services) -> None:
        """DynamoDB.1: the table's capacity follows the demand."""
        table = aws["dynamodb"].describe_table(TableName=aws.outputs["ledgerTable"])["Table"]
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"

    def test_dynamodb_2_point_in_time_recovery(self, aws: Services) -> None:
        """DynamoDB.2: the table can be restored to a point in time."""
        found = aws["dynamodb"].describe_continuous_backups(TableName=aws.outputs["ledgerTable"])
        recovery = found["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


class TestQueuesAndTopics:
    """Amazon SQS and Amazon SNS."""

    def test_sqs_1_encrypted(self, aws: Services) -> None:
        """SQS.1: every queue is encrypted at rest, under a key of ours."""
        for queue in aws.names("sqs"):
            found = aws["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
            assert found["KmsMasterKeyId"].startswith("arn:aws:kms:")

    def test_sqs_3_no_public_queue(self, aws: Services) -> None:
        """SQS.3: no queue's policy allows anybody anything."""
        for queue in aws.names("sqs"):
            found = aws["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"]
            assert {s["Effect"] for s in json.loads(found["Policy"])["Statement"]} == {"Deny"}

    def test_sns_1_encrypted(self, aws: Services) -> None:
        """SNS.1: the alarm topic is encrypted at rest, under a key of ours."""
        (topic,) = aws.names("sns")
        assert (
            aws["sns"].get_topic_attributes(TopicArn=topic)["Attributes"]["KmsMasterKeyId"].startswith("arn:aws:kms:")
        )

    def test_sns_4_no_public_topic(self, aws: Services) -> None:
        """SNS.4: only this account's alarms may publish to the topic, and nobody may subscribe by its policy."""
        (topic,) = aws.names("sns")
        policy = json.loads(aws["sns"].get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
        (allowed,) = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
        assert (allowed["Principal"], allowed["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
        assert allowed["Condition"]["StringEquals"]["aws:SourceAccount"] == "123456789012"


class TestApiGateway:
    """Amazon API Gateway."""

    def test_apigateway_8_authorization(self, aws: Services) -> None:
        """APIGateway.8: every route for the application asks for IAM; only Twilio's and the signed page are open."""
        routes = aws["apigatewayv2"].get_routes(ApiId=aws.names("apigateway")[0])["Items"]
        kinds = {route["RouteKey"]: route["AuthorizationType"] for route in routes}
        opened = {key for key, kind in kinds.items() if kind != "AWS_IAM"}
        page = {"GET /optout/{token}", "POST /optout/{token}"}
        assert opened == {key for key in kinds if key.startswith("POST /twilio/")} | page
        assert opened

    def test_apigateway_9_access_log(self, aws: Services) -> None:
        """APIGateway.9: the stage writes an access log."""
        stage = aws["apigatewayv2"].get_stage(ApiId=aws.names("apigateway")[0], StageName="$default")
        assert "/aws/vendedlogs/" in stage["AccessLogSettings"]["DestinationArn"]


class TestCloudWatch:
    """Amazon CloudWatch."""

    def test_cloudwatch_15_alarms_act(self, aws: Services) -> None:
        """CloudWatch.15: every alarm has an action for the state ALARM."""
        alarms = aws["cloudwatch"].describe_alarms(AlarmNames=aws.names("cloudwatch"))["MetricAlarms"]
        assert len(alarms) == len(aws.names("cloudwatch"))
        assert [alarm["AlarmName"] for alarm in alarms if not alarm["AlarmActions"]] == []

    def test_cloudwatch_16_declared_retention(self, aws: Services) -> None:
        """CloudWatch.16: every log group has the period that is declared for it, and none is kept for ever."""
        groups = aws["logs"].describe_log_groups()["logGroups"]
        assert {group["logGroupName"] for group in groups} >= set(aws.names("logs"))
        assert [group["logGroupName"] for group in groups if not group.get("retentionInDays")] == []

    def test_cloudwatch_17_actions_are_on(self, aws: Services) -> None:
        """CloudWatch.17: no alarm is muted."""
        alarms = aws["cloudwatch"].describe_alarms(AlarmNames=aws.names("cloudwatch"))["MetricAlarms"]
        assert {alarm["ActionsEnabled"] for alarm in alarms} == {True}


def covered() -> set[str]:
    """Return the controls that the tests of this file name, by the start of their docstrings."""
    classes = (TestS3, TestKms, TestLambda, TestDynamoDb, TestQueuesAndTopics, TestApiGateway, TestCloudWatch)
    docstrings = [
        str(getattr(each, name).__doc__) for each in classes for name in dir(each) if name.startswith("test_")
    ]
    return {control for text in docstrings for control in re.findall(r"[A-Za-z0-9]+\.\d+", text.partition(":")[0])}


class TestWhole:
    """No control is passed over."""

    def test_every_control_is_tested_or_has_a_reason(self) -> None:
        """Each control of the list has a test here or a reason in the table, and no other control has."""
        assert covered() | NOT_MET.keys() == FSBP | BEYOND

    def test_both_only_where_it_is_met_in_part(self) -> None:
        """A control that has both is met in part, or by the declared value, and the reason says so."""
        both = covered() & NOT_MET.keys()
        assert both == {"APIGateway.8", "CloudWatch.16", "S3.15", "S3.17"}

    def test_page_has_the_same_table(self) -> None:
        """docs/controls.md gives every reason of the table, word for word, and no other."""
        rows = re.findall(r"^\| ([A-Za-z0-9]+\.\d+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        assert dict(rows) == dict(NOT_MET)
