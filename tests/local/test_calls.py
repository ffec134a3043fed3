"""What the daily check needs of the local AWS: permissions as narrow as on AWS, and answers that are true."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.cloud_fixture import ACCOUNT, REGION, Cloud, cloud, policy

__all__ = ["cloud"]
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/rows"


def allow(action: str, resource: str, **condition: Any) -> dict[str, Any]:
    """Return a statement."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def refused(cloud: Cloud, role: str, service: str, operation: str, **arguments: Any) -> bool:
    """Say whether a session of a role is refused a call; another failure than that counts as let in."""
    client = cloud.client(service, cloud.session(role))
    try:
        getattr(client, operation)(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"].startswith("AccessDenied")
    return False


CALLS: list[tuple[str, str, dict[str, Any], str, str]] = [
    (
        "apigatewayv2",
        "get_routes",
        {"ApiId": "abc"},
        "apigateway:GET",
        f"arn:aws:apigateway:{REGION}::/apis/abc/*",
    ),
    (
        "apigatewayv2",
        "get_stage",
        {"ApiId": "abc", "StageName": "$default"},
        "apigateway:GET",
        f"arn:aws:apigateway:{REGION}::/apis/abc/*",
    ),
    (
        "scheduler",
        "get_schedule",
        {"GroupName": "own", "Name": "daily"},
        "scheduler:GetSchedule",
        f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/own/*",
    ),
    (
        "iam",
        "list_role_policies",
        {"RoleName": "own-role"},
        "iam:ListRolePolicies",
        f"arn:aws:iam::{ACCOUNT}:role/own-*",
    ),
    (
        "cloudwatch",
        "describe_alarms",
        {"AlarmNames": ["own-alarm"]},
        "cloudwatch:DescribeAlarms",
        f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*",
    ),
    (
        "logs",
        "describe_log_groups",
        {"logGroupNamePrefix": "/own"},
        "logs:DescribeLogGroups",
        f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:*",
    ),
    ("dynamodb", "list_backups", {"TableName": "rows"}, "dynamodb:ListBackups", "*"),
    ("s3", "get_bucket_replication", {"Bucket": "own"}, "s3:GetReplicationConfiguration", "arn:aws:s3:::own"),
    (
        "s3",
        "list_bucket_inventory_configurations",
        {"Bucket": "own"},
        "s3:GetInventoryConfiguration",
        "arn:aws:s3:::own",
    ),
]


class TestSettings:
    """Calls that read settings."""

    @pytest.mark.parametrize(("service", "operation", "arguments", "action", "resource"), CALLS)
    def test_needs_its_own_action_on_its_own_resource(
        self, cloud: Cloud, service: str, operation: str, arguments: dict[str, Any], action: str, resource: str
    ) -> None:
        """A role is let in by the action on that resource, and by neither another resource nor another action."""
        given = cloud.role(f"given-{operation}", allow(action, resource))
        elsewhere = resource.replace("own", "other").replace("abc", "other").replace("alarm:*", "alarm:x")
        elsewhere = "arn:aws:s3:::nothing" if elsewhere == "*" else elsewhere.replace("log-group:*", "log-group:/own*")
        narrow = cloud.role(f"narrow-{operation}", allow(action, elsewhere))
        other = cloud.role(f"other-{operation}", allow(action.partition(":")[0] + ":Other", resource))
        answers = [refused(cloud, role, service, operation, **arguments) for role in (given, narrow, other)]
        assert answers == [False, True, True]


SCAN: dict[str, Any] = {
    "TableName": "rows",
    "Select": "SPECIFIC_ATTRIBUTES",
    "ProjectionExpression": "#expires",
    "FilterExpression": "#expires < :limit",
    "ExpressionAttributeNames": {"#expires": "expires_at"},
    "ExpressionAttributeValues": {":limit": {"N": "5"}},
}


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> str:
    """Give a role that may read the expiry of rows and nothing else of them."""
    cloud.client("dynamodb").create_table(
        TableName="rows",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    only = {"dynamodb:Attributes": ["expires_at", "pk"]}
    selected = {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
    given = allow("dynamodb:Scan", TABLE, **{"ForAllValues:StringEquals": only, "StringEquals": selected})
    return cloud.role("scans", given)


class TestScan:
    """Reading one attribute of a table and no other."""

    def test_attribute_that_is_named(self, cloud: Cloud, role: str) -> None:
        """The attribute that the policy names can be read."""
        assert not refused(cloud, role, "dynamodb", "scan", **SCAN)

    @pytest.mark.parametrize(
        "change",
        [
            {"ProjectionExpression": "#expires, body"},
            {"FilterExpression": "#expires < :limit AND body = :limit"},
            {"ExpressionAttributeNames": {"#expires": "body"}},
        ],
    )
    def test_any_other_attribute(self, cloud: Cloud, role: str, change: dict[str, Any]) -> None:
        """Whatever other attribute a scan names, in its projection, its filter or by an alias, it is refused."""
        assert refused(cloud, role, "dynamodb", "scan", **(SCAN | change))

    def test_whole_rows(self, cloud: Cloud, role: str) -> None:
        """A scan of whole rows is refused."""
        assert refused(cloud, role, "dynamodb", "scan", TableName="rows")


class TestUploads:
    """Uploads that nobody ended."""

    def test_list_says_when_they_began(self, cloud: Cloud) -> None:
        """Each upload is listed with the moment at which it began, under whatever prefix is asked for."""
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="uploads")
        for key in ("a/1", "b/1"):
            s3.create_multipart_upload(Bucket="uploads", Key=key)
        (upload,) = s3.list_multipart_uploads(Bucket="uploads", Prefix="b/")["Uploads"]
        assert upload["Key"] == "b/1"
        assert abs((datetime.now(UTC) - upload["Initiated"]).total_seconds()) < 60


class TestQueue:
    """What a queue keeps."""

    def test_policy_outlives_a_change_of_something_else(self, cloud: Cloud) -> None:
        """Another retention leaves the queue's policy as it is; an empty policy takes it away."""
        sqs = cloud.client("sqs")
        statement = {**allow("sqs:*", "*"), "Sid": "Own", "Principal": {"AWS": ACCOUNT}}
        url = sqs.create_queue(QueueName="kept", Attributes={"Policy": policy(statement)})["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "86400"})
        kept = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert (kept["Policy"], kept["MessageRetentionPeriod"]) == (policy(statement), "86400")
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
        assert not sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"].get("Policy")
