"""Each resource type of the AWS stand-in, over moto: its whole life, its drift, its replacement, its import."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pulumi.runtime.proto import provider_pb2

from infra.provider import UNKNOWN, Archive, Asset
from infra.provider.testing import Call, Deployed, Refused, Stack, secret
from infra.provider.wire import plain, struct
from local.aws.provider import TYPES, Aws
from local.aws.provider.kind import Kind
from local.aws.provider.package import zipped

ACCOUNT = "123456789012"
REGION = "us-east-1"
Inputs = dict[str, Any]


def document(*statements: Inputs) -> str:
    """Return a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str, resource: str, **more: Any) -> Inputs:
    """Return a statement."""
    return {"Sid": "Allow", "Effect": "Allow", "Action": action, "Resource": resource, **more}


ROOT = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
TRUST = document(
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
)
KEY_POLICY = document(allow("kms:*", "*", **ROOT))


def code(text: str) -> Archive:
    """Return a package with one file."""
    return Archive({"hash": text, "assets": {"index.py": Asset({"hash": text, "text": f"# {text}"})}})


class World:
    """One moto server, a stack on it, and what resources need besides themselves."""

    def __init__(self, endpoint: str) -> None:
        self.stack = Stack(Aws())
        self.stack.configure({"region": REGION, "endpoints": json.dumps([{"sts": endpoint}])})
        self._endpoint = endpoint
        self._count = 0
        self._clients: dict[str, Any] = {}

    def aws(self, service: str) -> Any:
        """Return a boto3 client: somebody else's hands on the same cloud."""
        if service not in self._clients:
            make: Any = boto3.client
            credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            self._clients[service] = make(service, region_name=REGION, endpoint_url=self._endpoint, **credentials)
        return self._clients[service]

    def up(self, token: str, inputs: Inputs) -> Deployed:
        """Create one more resource."""
        self._count += 1
        self.stack.seed = self._count.to_bytes(8)[::-1]
        return self.stack.up(token, f"r{self._count}", inputs)

    def bucket(self, **inputs: Any) -> str:
        """Make a bucket and return its name."""
        return self.up("aws:s3/bucket:Bucket", inputs).id

    def key(self) -> str:
        """Make a key and return its ARN."""
        return str(self.up("aws:kms/key:Key", {}).state["arn"])

    @functools.cached_property
    def function_inputs(self) -> Inputs:
        """Make once what functions need besides themselves."""
        role = self.up("aws:iam/role:Role", {"assumeRolePolicy": TRUST})
        queue = self.up("aws:sqs/queue:Queue", {})
        return {
            "role": role.state["arn"],
            "deadLetterConfig": {"targetArn": queue.state["arn"]},
            "kmsKeyArn": self.key(),
        }

    def function(self) -> str:
        """Make a function and return its name."""
        return self.up("aws:lambda/function:Function", FUNCTION.inputs(self)).id

    def api(self) -> str:
        """Make an API and return its id."""
        return self.up("aws:apigatewayv2/api:Api", {"protocolType": "HTTP"}).id

    def integration(self, api: str) -> str:
        """Make an integration and return its id."""
        uri = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
        inputs = {"apiId": api, "integrationType": "AWS_PROXY", "integrationUri": uri, "payloadFormatVersion": "2.0"}
        return self.up("aws:apigatewayv2/integration:Integration", inputs).id

    def secret(self) -> str:
        """Make a secret and return its ARN."""
        return self.up("aws:secretsmanager/secret:Secret", {}).id

    def stream(self) -> str:
        """Make a table with a stream and return the stream's ARN."""
        key = {"attributes": [{"name": "pk", "type": "S"}], "hashKey": "pk", "billingMode": "PAY_PER_REQUEST"}
        stream = {"streamEnabled": True, "streamViewType": "NEW_IMAGE"}
        return str(self.up("aws:dynamodb/table:Table", {**key, **stream}).state["streamArn"])

    def queue(self) -> str:
        """Make a queue and return its URL."""
        return self.up("aws:sqs/queue:Queue", {}).id


@dataclass(frozen=True)
class Case:
    """What one resource type is tried with.

    `inputs`: a full set of inputs. `update`: inputs that differ in place, and the paths that the diff shows.
    `meddle`: changes the object behind our back, `seen`: where the next diff shows it. `anew`: an input whose change
    replaces the object. `kill`: deletes it behind our back. `adopt`: the id that imports it, if it is another one.
    """

    token: str
    inputs: Callable[[World], Inputs]
    update: Inputs
    changes: set[str]
    meddle: Callable[[World, Deployed], Any]
    seen: dict[str, str]
    anew: Inputs
    kill: Callable[[World, Deployed], Any]
    adopt: Callable[[Deployed], str] = field(default=lambda deployed: deployed.id)
    unseen_on_import: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.token.split("/")[0].removeprefix("aws:") + "." + self.token.rpartition(":")[2]


MOTO_FORGETS = frozenset({"deadLetterConfig", "loggingConfig"})
"""What moto by itself does not answer, and the local cloud's moto does."""
ENABLED = {"versioningConfiguration": {"status": "Enabled"}}
TAGS = {"team": "records", "stage": "test"}
TAGGED = {"tags.by": "DELETE"}
"""How a tag that was added by hand shows."""


def meddle_with_key(world: World, key: Deployed) -> None:
    """Switch rotation off, and change the policy."""
    world.aws("kms").disable_key_rotation(KeyId=key.id)
    world.aws("kms").put_key_policy(
        KeyId=key.id, PolicyName="default", Policy=document(allow("kms:*", "*", **ROOT, Sid="B"))
    )


RULES: list[Inputs] = [
    {"id": "calls", "status": "Enabled", "filter": {"prefix": "calls/"}, "expiration": {"days": 30},
     "noncurrentVersionExpiration": {"noncurrentDays": 1}},
    {"id": "tagged", "status": "Enabled", "filter": {"and": {"prefix": "x/", "tags": {"a": "b"}}},
     "transitions": [{"days": 30, "storageClass": "GLACIER"}]},
    {"id": "uploads", "status": "Enabled", "filter": {}, "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1}},
]  # fmt: skip


def meddle_with_rules(world: World, deployed: Deployed) -> None:
    """Lengthen one rule, add an expiry to another, and add a rule."""
    s3 = world.aws("s3")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=deployed.id)["Rules"]
    rules[0]["Expiration"]["Days"] = 3650
    rules[1]["Expiration"] = {"Days": 99}
    rules.append({"ID": "zzz", "Status": "Enabled", "Filter": {"Prefix": "z/"}, "Expiration": {"Days": 1}})
    s3.put_bucket_lifecycle_configuration(Bucket=deployed.id, LifecycleConfiguration={"Rules": rules})


def meddle_with_table(world: World, table: Deployed) -> None:
    """Switch expiry, backups and deletion protection, and add an index."""
    client = world.aws("dynamodb")
    off = {"Enabled": False, "AttributeName": "expires_at"}
    client.update_time_to_live(TableName=table.id, TimeToLiveSpecification=off)
    specification = {"PointInTimeRecoveryEnabled": False}
    client.update_continuous_backups(TableName=table.id, PointInTimeRecoverySpecification=specification)
    client.update_table(TableName=table.id, DeletionProtectionEnabled=True)


def meddle_with_role(world: World, role: Deployed) -> None:
    """Attach a policy that nobody declared, and lengthen the sessions."""
    iam = world.aws("iam")
    arn = iam.create_policy(PolicyName=f"{role.id}-more", PolicyDocument=document(allow("s3:*", "*")))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role.id, PolicyArn=arn)
    iam.update_role(RoleName=role.id, MaxSessionDuration=7200, Description="the gate")


def kill_role(world: World, role: Deployed) -> None:
    """Delete a role with what is attached to it."""
    world.aws("iam").delete_role(RoleName=role.id)


def meddle_with_function(world: World, function: Deployed) -> None:
    """Change a variable, the timeout and the code."""
    client = world.aws("lambda")
    variables = {"TABLE": "other", "MODE": "strict"}
    client.update_function_configuration(FunctionName=function.id, Timeout=9, Environment={"Variables": variables})
    client.put_function_concurrency(FunctionName=function.id, ReservedConcurrentExecutions=3)
    client.update_function_code(FunctionName=function.id, ZipFile=zipped(code("evil")))


def arn_of(service: str, name: str) -> str:
    """Return an ARN in the test's account and region."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


ALARM = {
    "metricName": "Errors",
    "namespace": "AWS/Lambda",
    "dimensions": {"FunctionName": "gate"},
    "statistic": "Sum",
    "period": 60,
    "evaluationPeriods": 1,
    "threshold": 1,
    "comparisonOperator": "GreaterThanOrEqualToThreshold",
}


def meddle_with_alarm(world: World, alarm: Deployed) -> None:
    """Raise the threshold and add an action."""
    names = {name[0].upper() + name[1:]: value for name, value in ALARM.items() if name != "dimensions"}
    world.aws("cloudwatch").put_metric_alarm(
        AlarmName=alarm.id,
        **{**names, "Threshold": 100.0},
        AlarmActions=[arn_of("sns", "ops"), arn_of("sns", "other")],
        TreatMissingData="notBreaching",
        Dimensions=[{"Name": "FunctionName", "Value": "gate"}],
    )


SCHEDULE = {
    "scheduleExpression": "rate(1 minute)",
    "flexibleTimeWindow": {"mode": "OFF"},
    "target": {
        "arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f",
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
        "input": "{}",
        "retryPolicy": {"maximumRetryAttempts": 3, "maximumEventAgeInSeconds": 60},
        "deadLetterConfig": {"arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"},
    },
}


def meddle_with_stage(world: World, stage: Deployed) -> None:
    """Open the throttle: in moto, by another stage of the same name."""
    client = world.aws("apigatewayv2")
    where = {"ApiId": stage.state["apiId"], "StageName": stage.id}
    there = client.get_stage(**where)
    client.delete_stage(**where)
    there["DefaultRouteSettings"]["ThrottlingRateLimit"] = 9999.0
    kept = ("AccessLogSettings", "AutoDeploy", "DefaultRouteSettings", "RouteSettings", "Tags")
    client.create_stage(**where, **{name: there[name] for name in kept})


def meddle_with_schedule(world: World, schedule: Deployed) -> None:
    """Slow the schedule down and disable it."""
    client = world.aws("scheduler")
    group, name = schedule.id.split("/")
    found = client.get_schedule(GroupName=group, Name=name)
    client.update_schedule(
        GroupName=group,
        Name=name,
        ScheduleExpression="rate(1 day)",
        State="DISABLED",
        FlexibleTimeWindow=found["FlexibleTimeWindow"],
        Target=found["Target"],
    )


def meddle_with_permission(world: World, permission: Deployed) -> None:
    """Put another statement in the place of ours: for any caller."""
    client = world.aws("lambda")
    name = permission.state["function"]
    client.remove_permission(FunctionName=name, StatementId=permission.id)
    client.add_permission(
        FunctionName=name, StatementId=permission.id, Action="lambda:InvokeFunction", Principal="sns.amazonaws.com"
    )


def kill_secret(world: World, deployed: Deployed) -> None:
    """Schedule the secret's deletion."""
    world.aws("secretsmanager").delete_secret(SecretId=deployed.id, RecoveryWindowInDays=7)


FUNCTION = Case(
    "aws:lambda/function:Function",
    lambda w: {
        **w.function_inputs,
        "runtime": "python3.13",
        "handler": "index.handle",
        "code": code("one"),
        "architectures": ["arm64"],
        "memorySize": 256,
        "timeout": 5,
        "publish": True,
        "reservedConcurrentExecutions": 5,
        "environment": {"variables": {"TABLE": "ledger", "MODE": "strict"}},
        "tracingConfig": {"mode": "Active"},
        "loggingConfig": {"logFormat": "JSON", "logGroup": "/aws/lambda/gate"},
        "ephemeralStorage": {"size": 1024},
        "tags": TAGS,
    },
    {"timeout": 6, "code": code("two"), "description": "gate", "reservedConcurrentExecutions": 6},
    {"timeout", "code", "description", "reservedConcurrentExecutions"},
    meddle_with_function,
    {
        "code": "UPDATE",
        "environment.variables.TABLE": "UPDATE",
        "timeout": "UPDATE",
        "reservedConcurrentExecutions": "UPDATE",
    },
    {"name": "another"},
    lambda w, d: w.aws("lambda").delete_function(FunctionName=d.id),
    unseen_on_import=frozenset({"code", "publish"}),
)

CASES = [
    Case(
        "aws:kms/key:Key",
        lambda _: {
            "description": "records",
            "policy": KEY_POLICY,
            "enableKeyRotation": True,
            "deletionWindowInDays": 7,
            "tags": TAGS,
        },
        {"description": "evidence", "tags": {"team": "x"}, "enableKeyRotation": False},
        {"description", "tags.team", "tags.stage", "enableKeyRotation"},
        meddle_with_key,
        {"enableKeyRotation": "UPDATE", "policy": "UPDATE"},
        {"customerMasterKeySpec": "HMAC_256", "keyUsage": "GENERATE_VERIFY_MAC", "enableKeyRotation": False},
        lambda w, d: w.aws("kms").schedule_key_deletion(KeyId=d.id, PendingWindowInDays=7),
        unseen_on_import=frozenset({"deletionWindowInDays"}),
    ),
    Case(
        "aws:kms/alias:Alias",
        lambda w: {"targetKeyId": w.key()},
        {},
        set(),
        lambda w, d: w.aws("kms").update_alias(AliasName=d.id, TargetKeyId=w.key()),
        {"targetKeyId": "UPDATE"},
        {"name": "alias/another"},
        lambda w, d: w.aws("kms").delete_alias(AliasName=d.id),
        unseen_on_import=frozenset({"targetKeyId"}),
    ),
    Case(
        "aws:s3/bucket:Bucket",
        lambda _: {"forceDestroy": True, "objectLockEnabled": True, "tags": TAGS},
        {"tags": {"team": "other"}},
        {"tags.team", "tags.stage"},
        lambda w, d: w.aws("s3").put_bucket_tagging(
            Bucket=d.id,
            Tagging={"TagSet": [{"Key": "by", "Value": "hand"}, *[{"Key": k, "Value": v} for k, v in TAGS.items()]]},
        ),
        TAGGED,
        {"bucket": "another-bucket"},
        lambda w, d: w.aws("s3").delete_bucket(Bucket=d.id),
        unseen_on_import=frozenset({"forceDestroy"}),
    ),
    Case(
        "aws:s3/bucketVersioning:BucketVersioning",
        lambda w: {"bucket": w.bucket(), "versioningConfiguration": {"status": "Enabled"}},
        {"versioningConfiguration": {"status": "Suspended"}},
        {"versioningConfiguration.status"},
        lambda w, d: w.aws("s3").put_bucket_versioning(Bucket=d.id, VersioningConfiguration={"Status": "Suspended"}),
        {"versioningConfiguration.status": "UPDATE"},
        {"bucket": "another-bucket"},
        lambda w, d: w.aws("s3").delete_bucket(Bucket=d.id),
    ),
    Case(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        lambda w: {
            "bucket": w.bucket(),
            "rules": [
                {
                    "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": w.key()},
                    "bucketKeyEnabled": True,
                }
            ],
        },
        {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]},
        {
            "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm",
            "rules[0].applyServerSideEncryptionByDefault.kmsMasterKeyId",
            "rules[0].bucketKeyEnabled",
        },
        lambda w, d: w.aws("s3").put_bucket_encryption(
            Bucket=d.id,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        ),
        {
            "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm": "UPDATE",
            "rules[0].applyServerSideEncryptionByDefault.kmsMasterKeyId": "ADD",
            "rules[0].bucketKeyEnabled": "UPDATE",
        },
        {"bucket": "another-bucket"},
        lambda w, d: w.aws("s3").delete_bucket_encryption(Bucket=d.id),
    ),
    Case(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        lambda w: {"bucket": w.bucket(), "rules": RULES},
        {"rules": [{**RULES[0], "expiration": {"days": 14}}, *RULES[1:]]},
        {"rules[0].expiration.days"},
        meddle_with_rules,
        {"rules[0].expiration.days": "UPDATE", "rules[1].expiration": "DELETE", "rules[3]": "DELETE"},
        {"bucket": "another-bucket"},
        lambda w, d: w.aws("s3").delete_bucket_lifecycle(Bucket=d.id),
    ),
    Case(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        lambda w: {
            "bucket": w.bucket(),
            "blockPublicAcls": True,
            "blockPublicPolicy": True,
            "restrictPublicBuckets": True,
        },
        {"ignorePublicAcls": True},
        {"ignorePublicAcls"},
        lambda w, d: w.aws("s3").put_public_access_block(
            Bucket=d.id, PublicAccessBlockConfiguration={"BlockPublicAcls": True, "IgnorePublicAcls": True}
        ),
        {"blockPublicPolicy": "UPDATE", "restrictPublicBuckets": "UPDATE", "ignorePublicAcls": "DELETE"},
        {"bucket": "another-bucket"},
        lambda w, d: w.aws("s3").delete_public_access_block(Bucket=d.id),
    ),
    Case(
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        lambda w: {"bucket": w.bucket(), "rule": {"objectOwnership": "BucketOwnerEnforced"}},
        {"rule": {"objectOwnership": "BucketOwnerPreferred"}},
        {"rule.objectOwnership"},
        lambda w, d: w.aws("s3").put_bucket_ownership_controls(
            Bucket=d.id, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        ),
        {"rule.objectOwnership": "UPDATE"},
        {"bucket": "another-bucket"},
        lambda w, d: w.aws("s3").delete_bucket_ownership_controls(Bucket=d.id),
    ),
    Case(
        "aws:s3/bucketPolicy:BucketPolicy",
        lambda w: bucket_policy(w.bucket(), "s3:GetObject"),
        {},
        set(),
        lambda w, d: w.aws("s3").put_bucket_policy(Bucket=d.id, Policy=bucket_policy(d.id, "s3:*")["policy"]),
        {"policy": "UPDATE"},
        {"bucket": "another-bucket", "policy": document(allow("s3:*", "arn:aws:s3:::another-bucket/*", **ROOT))},
        lambda w, d: w.aws("s3").delete_bucket_policy(Bucket=d.id),
    ),
    Case(
        "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration",
        lambda w: {
            "bucket": w.bucket(objectLockEnabled=True),
            "rule": {"defaultRetention": {"mode": "GOVERNANCE", "days": 1}},
        },
        {"rule": {"defaultRetention": {"mode": "COMPLIANCE", "days": 2}}},
        {"rule.defaultRetention.mode", "rule.defaultRetention.days"},
        lambda w, d: w.aws("s3").put_object_lock_configuration(
            Bucket=d.id,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 9}},
            },
        ),
        {"rule.defaultRetention.days": "UPDATE"},
        {"bucket": "another-bucket"},
        lambda w, d: w.aws("s3").delete_bucket(Bucket=d.id),
    ),
    Case(
        "aws:s3/bucketLogging:BucketLogging",
        lambda w: {"bucket": w.bucket(), "targetBucket": log_bucket(w), "targetPrefix": "content/"},
        {"targetPrefix": "other/"},
        {"targetPrefix"},
        lambda w, d: w.aws("s3").put_bucket_logging(
            Bucket=d.id,
            BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": d.state["targetBucket"], "TargetPrefix": "x/"}},
        ),
        {"targetPrefix": "UPDATE"},
        {"bucket": "another-bucket"},
        lambda w, d: w.aws("s3").put_bucket_logging(Bucket=d.id, BucketLoggingStatus={}),
    ),
    Case(
        "aws:s3/bucketObjectv2:BucketObjectv2",
        lambda w: {
            "bucket": w.bucket(),
            "key": "papers/one.json",
            "content": "{}",
            "contentType": "application/json",
            "serverSideEncryption": "aws:kms",
            "kmsKeyId": w.key(),
        },
        {"content": '{"changed": true}'},
        {"content"},
        lambda w, d: w.aws("s3").put_object(
            Bucket=d.state["bucket"],
            Key=d.state["key"],
            Body=b"{}",
            ContentType="text/plain",
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=d.state["kmsKeyId"],
        ),
        {"contentType": "UPDATE"},
        {"key": "papers/two.json"},
        lambda w, d: w.aws("s3").delete_object(Bucket=d.state["bucket"], Key=d.state["key"]),
        unseen_on_import=frozenset({"content"}),
    ),
    Case(
        "aws:dynamodb/table:Table",
        lambda w: {
            "billingMode": "PAY_PER_REQUEST",
            "hashKey": "pk",
            "rangeKey": "sk",
            "attributes": [{"name": n, "type": "S"} for n in ("pk", "sk", "open_shard")],
            "globalSecondaryIndexes": [
                {"name": "open", "hashKey": "open_shard", "rangeKey": "pk", "projectionType": "ALL"}
            ],
            "ttl": {"attributeName": "expires_at", "enabled": True},
            "pointInTimeRecovery": {"enabled": True, "recoveryPeriodInDays": 7},
            "serverSideEncryption": {"enabled": True, "kmsKeyArn": w.key()},
            "streamEnabled": True,
            "streamViewType": "NEW_IMAGE",
            "deletionProtectionEnabled": False,
            "tags": TAGS,
        },
        {
            "globalSecondaryIndexes": [{"name": "by-shard", "hashKey": "open_shard", "projectionType": "KEYS_ONLY"}],
            "ttl": {"attributeName": "gone_at", "enabled": True},
        },
        {
            "globalSecondaryIndexes[0].name",
            "globalSecondaryIndexes[0].rangeKey",
            "globalSecondaryIndexes[0].projectionType",
            "ttl.attributeName",
        },
        meddle_with_table,
        {
            "ttl.enabled": "UPDATE",
            "ttl.attributeName": "ADD",
            "pointInTimeRecovery.enabled": "UPDATE",
            "pointInTimeRecovery.recoveryPeriodInDays": "ADD",
            "deletionProtectionEnabled": "UPDATE",
        },
        {"rangeKey": "open_shard", "attributes": [{"name": n, "type": "S"} for n in ("pk", "open_shard")]},
        lambda w, d: w.aws("dynamodb").delete_table(TableName=d.id),
    ),
    Case(
        "aws:iam/role:Role",
        lambda _: {
            "assumeRolePolicy": TRUST,
            "description": "the gate",
            "maxSessionDuration": 3600,
            "permissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
            "tags": TAGS,
        },
        {
            "description": "x",
            "permissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/other",
            "forceDetachPolicies": True,
        },
        {"description", "permissionsBoundary", "forceDetachPolicies"},
        meddle_with_role,
        {"managedPolicyArns": "DELETE", "maxSessionDuration": "UPDATE"},
        {"name": "another"},
        kill_role,
    ),
    Case(
        "aws:iam/rolePolicy:RolePolicy",
        lambda w: {
            "role": w.up("aws:iam/role:Role", {"assumeRolePolicy": TRUST}).id,
            "policy": document(allow("s3:GetObject", "*")),
        },
        {"policy": document(allow("s3:PutObject", "*"))},
        {"policy"},
        lambda w, d: w.aws("iam").put_role_policy(
            RoleName=d.state["role"], PolicyName=d.state["name"], PolicyDocument=document(allow("s3:*", "*"))
        ),
        {"policy": "UPDATE"},
        {"name": "another"},
        lambda w, d: w.aws("iam").delete_role_policy(RoleName=d.state["role"], PolicyName=d.state["name"]),
    ),
    FUNCTION,
    Case(
        "aws:lambda/alias:Alias",
        lambda w: {"functionName": w.function(), "functionVersion": "1", "description": "live"},
        {"description": "the live one"},
        {"description"},
        lambda w, d: w.aws("lambda").update_alias(
            FunctionName=d.state["functionName"], Name=d.state["name"], FunctionVersion="$LATEST"
        ),
        {"functionVersion": "UPDATE"},
        {"name": "another"},
        lambda w, d: w.aws("lambda").delete_alias(FunctionName=d.state["functionName"], Name=d.state["name"]),
        lambda d: f"{d.state['functionName']}/{d.state['name']}",
    ),
    Case(
        "aws:lambda/permission:Permission",
        lambda w: {
            "function": w.function(),
            "action": "lambda:InvokeFunction",
            "principal": "apigateway.amazonaws.com",
            "sourceArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:abc/*/*",
        },
        {},
        set(),
        meddle_with_permission,
        {"principal": "UPDATE_REPLACE", "sourceArn": "ADD_REPLACE"},
        {"principal": "sns.amazonaws.com"},
        lambda w, d: w.aws("lambda").remove_permission(FunctionName=d.state["function"], StatementId=d.id),
        lambda d: f"{d.state['function']}/{d.id}",
    ),
    Case(
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        lambda w: {
            "functionName": w.function(),
            "eventSourceArn": w.stream(),
            "startingPosition": "TRIM_HORIZON",
            "batchSize": 50,
            "bisectBatchOnFunctionError": True,
            "destinationConfig": {"onFailure": {"destinationArn": arn_of("sqs", "lost")}},
            "filterCriteria": {"filters": [{"pattern": json.dumps({"eventName": ["INSERT"]})}]},
            "functionResponseTypes": ["ReportBatchItemFailures"],
            "maximumRecordAgeInSeconds": 3600,
            "maximumRetryAttempts": 5,
            "tags": TAGS,
        },
        {"batchSize": 20, "maximumRetryAttempts": 7, "enabled": False},
        {"batchSize", "maximumRetryAttempts", "enabled"},
        lambda w, d: w.aws("lambda").update_event_source_mapping(UUID=d.id, BatchSize=1),
        {"batchSize": "UPDATE"},
        {"startingPosition": "LATEST"},
        lambda w, d: w.aws("lambda").delete_event_source_mapping(UUID=d.id),
    ),
    Case(
        "aws:cloudwatch/logGroup:LogGroup",
        lambda w: {"retentionInDays": 30, "kmsKeyId": w.key(), "logGroupClass": "STANDARD", "tags": TAGS},
        {"retentionInDays": 14},
        {"retentionInDays"},
        lambda w, d: w.aws("logs").put_retention_policy(logGroupName=d.id, retentionInDays=3653),
        {"retentionInDays": "UPDATE"},
        {"name": "another"},
        lambda w, d: w.aws("logs").delete_log_group(logGroupName=d.id),
    ),
    Case(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        lambda _: {
            **ALARM,
            "alarmDescription": "the gate fails",
            "alarmActions": [arn_of("sns", "ops")],
            "treatMissingData": "notBreaching",
            "tags": TAGS,
        },
        {"threshold": 2.5, "alarmActions": [arn_of("sns", "ops2")]},
        {"threshold", "alarmActions[0]"},
        meddle_with_alarm,
        {"threshold": "UPDATE", "alarmActions[1]": "DELETE", "alarmDescription": "ADD"},
        {"name": "another"},
        lambda w, d: w.aws("cloudwatch").delete_alarms(AlarmNames=[d.id]),
    ),
    Case(
        "aws:sns/topic:Topic",
        lambda w: {"kmsMasterKeyId": w.key(), "displayName": "Alarms", "tags": TAGS},
        {"displayName": "Alerts"},
        {"displayName"},
        lambda w, d: w.aws("sns").set_topic_attributes(
            TopicArn=d.id, AttributeName="DisplayName", AttributeValue="Hand"
        ),
        {"displayName": "UPDATE"},
        {"name": "another"},
        lambda w, d: w.aws("sns").delete_topic(TopicArn=d.id),
    ),
    Case(
        "aws:sns/topicPolicy:TopicPolicy",
        lambda w: topic_policy(w.up("aws:sns/topic:Topic", {}).id, "sns:Publish"),
        {},
        set(),
        lambda w, d: w.aws("sns").set_topic_attributes(
            TopicArn=d.id, AttributeName="Policy", AttributeValue=topic_policy(d.id, "sns:Subscribe")["policy"]
        ),
        {"policy": "UPDATE"},
        {"arn": arn_of("sns", "another")},
        lambda w, d: w.aws("sns").delete_topic(TopicArn=d.id),
    ),
    Case(
        "aws:sns/topicSubscription:TopicSubscription",
        lambda w: {
            "topic": w.up("aws:sns/topic:Topic", {}).id,
            "protocol": "email",
            "endpoint": "alarms@example.com",
            "filterPolicy": json.dumps({"severity": ["high"]}),
        },
        {"filterPolicy": json.dumps({"severity": ["low"]})},
        {"filterPolicy"},
        lambda w, d: w.aws("sns").set_subscription_attributes(
            SubscriptionArn=d.id, AttributeName="RawMessageDelivery", AttributeValue="true"
        ),
        {"rawMessageDelivery": "DELETE"},
        {"endpoint": "others@example.com"},
        lambda w, d: w.aws("sns").unsubscribe(SubscriptionArn=d.id),
    ),
    Case(
        "aws:sqs/queue:Queue",
        lambda w: {
            "messageRetentionSeconds": 1209600,
            "kmsMasterKeyId": w.key(),
            "redrivePolicy": json.dumps({"deadLetterTargetArn": dead_letters(w), "maxReceiveCount": 3}),
            "tags": TAGS,
        },
        {"messageRetentionSeconds": 345600, "visibilityTimeoutSeconds": 60},
        {"messageRetentionSeconds", "visibilityTimeoutSeconds"},
        lambda w, d: w.aws("sqs").set_queue_attributes(
            QueueUrl=d.id, Attributes={"MessageRetentionPeriod": "60", "DelaySeconds": "9"}
        ),
        {"messageRetentionSeconds": "UPDATE", "delaySeconds": "DELETE"},
        {"fifoQueue": True},
        lambda w, d: w.aws("sqs").delete_queue(QueueUrl=d.id),
    ),
    Case(
        "aws:sqs/queuePolicy:QueuePolicy",
        lambda w: queue_policy(w.queue(), "sqs:SendMessage"),
        {},
        set(),
        lambda w, d: w.aws("sqs").set_queue_attributes(
            QueueUrl=d.id, Attributes={"Policy": queue_policy(d.id, "sqs:ReceiveMessage")["policy"]}
        ),
        {"policy": "UPDATE"},
        {"queueUrl": "http://127.0.0.1/123456789012/another"},
        lambda w, d: w.aws("sqs").set_queue_attributes(QueueUrl=d.id, Attributes={"Policy": ""}),
    ),
    Case(
        "aws:apigatewayv2/api:Api",
        lambda _: {
            "protocolType": "HTTP",
            "description": "the gate",
            "version": "1",
            "corsConfiguration": {"allowMethods": ["GET"], "allowOrigins": ["*"], "maxAge": 60},
            "tags": TAGS,
        },
        {"description": "the other gate"},
        {"description"},
        lambda w, d: w.aws("apigatewayv2").update_api(ApiId=d.id, Description="hand", DisableExecuteApiEndpoint=True),
        {"description": "UPDATE", "disableExecuteApiEndpoint": "DELETE"},
        {"protocolType": "WEBSOCKET"},
        lambda w, d: w.aws("apigatewayv2").delete_api(ApiId=d.id),
    ),
    Case(
        "aws:apigatewayv2/stage:Stage",
        lambda w: {
            "apiId": w.api(),
            "name": "$default",
            "autoDeploy": True,
            "accessLogSettings": {"destinationArn": arn_of("logs", "log-group:a"), "format": "$context.requestId"},
            "defaultRouteSettings": {"throttlingBurstLimit": 20, "throttlingRateLimit": 10.5},
            "routeSettings": [{"routeKey": "POST /v1/consents", "throttlingRateLimit": 1.5}],
            "tags": TAGS,
        },
        {"defaultRouteSettings": {"throttlingBurstLimit": 30, "throttlingRateLimit": 10.5}},
        {"defaultRouteSettings.throttlingBurstLimit"},
        meddle_with_stage,
        {"defaultRouteSettings.throttlingRateLimit": "UPDATE"},
        {"name": "v1"},
        lambda w, d: w.aws("apigatewayv2").delete_stage(ApiId=d.state["apiId"], StageName="$default"),
        lambda d: f"{d.state['apiId']}/$default",
    ),
    Case(
        "aws:apigatewayv2/integration:Integration",
        lambda w: {
            "apiId": w.api(),
            "integrationType": "AWS_PROXY",
            "integrationUri": w.function(),
            "integrationMethod": "POST",
            "payloadFormatVersion": "2.0",
            "timeoutMilliseconds": 10000,
        },
        {"timeoutMilliseconds": 5000, "description": "gate"},
        {"timeoutMilliseconds", "description"},
        lambda w, d: w.aws("apigatewayv2").update_integration(
            ApiId=d.state["apiId"], IntegrationId=d.id, IntegrationUri="arn:aws:lambda:::function:evil"
        ),
        {"integrationUri": "UPDATE"},
        {"apiId": "another"},
        lambda w, d: w.aws("apigatewayv2").delete_integration(ApiId=d.state["apiId"], IntegrationId=d.id),
        lambda d: f"{d.state['apiId']}/{d.id}",
    ),
    Case(
        "aws:apigatewayv2/route:Route",
        lambda w: route(w.api(), w),
        {"routeKey": "GET /v1/consents/{party}"},
        {"routeKey"},
        lambda w, d: w.aws("apigatewayv2").update_route(ApiId=d.state["apiId"], RouteId=d.id, AuthorizationType="NONE"),
        {"authorizationType": "UPDATE"},
        {"apiId": "another"},
        lambda w, d: w.aws("apigatewayv2").delete_route(ApiId=d.state["apiId"], RouteId=d.id),
        lambda d: f"{d.state['apiId']}/{d.id}",
    ),
    Case(
        "aws:scheduler/schedule:Schedule",
        lambda _: SCHEDULE,
        {"scheduleExpression": "rate(5 minutes)", "description": "x"},
        {"scheduleExpression", "description"},
        meddle_with_schedule,
        {"scheduleExpression": "UPDATE", "state": "DELETE"},
        {"name": "another"},
        lambda w, d: w.aws("scheduler").delete_schedule(GroupName="default", Name=d.state["name"]),
    ),
    Case(
        "aws:scheduler/scheduleGroup:ScheduleGroup",
        lambda _: {"tags": TAGS},
        {"tags": {"team": "x"}},
        {"tags.team", "tags.stage"},
        lambda w, d: w.aws("scheduler").tag_resource(ResourceArn=d.state["arn"], Tags=[{"Key": "by", "Value": "hand"}]),
        TAGGED,
        {"name": "another"},
        lambda w, d: w.aws("scheduler").delete_schedule_group(Name=d.id),
    ),
    Case(
        "aws:secretsmanager/secret:Secret",
        lambda w: {"description": "Twilio", "kmsKeyId": w.key(), "recoveryWindowInDays": 7, "tags": TAGS},
        {"description": "Twilio's", "recoveryWindowInDays": 0},
        {"description", "recoveryWindowInDays"},
        lambda w, d: w.aws("secretsmanager").update_secret(SecretId=d.id, Description="hand"),
        {"description": "UPDATE"},
        {"name": "another"},
        kill_secret,
        unseen_on_import=frozenset({"recoveryWindowInDays"}),
    ),
    Case(
        "aws:secretsmanager/secretVersion:SecretVersion",
        lambda w: {"secretId": w.secret(), "secretString": secret("hush-hush-hush")},
        {},
        set(),
        lambda w, d: w.aws("secretsmanager").put_secret_value(SecretId=d.state["secretId"], SecretString="other"),
        {"versionStages": "DELETE"},
        {"secretString": "new"},
        lambda w, d: w.aws("secretsmanager").delete_secret(
            SecretId=d.state["secretId"], ForceDeleteWithoutRecovery=True
        ),
    ),
    Case(
        "aws:secretsmanager/secretPolicy:SecretPolicy",
        lambda w: {"secretArn": w.secret(), "policy": document(allow("secretsmanager:GetSecretValue", "*", **ROOT))},
        {},
        set(),
        lambda w, d: w.aws("secretsmanager").put_resource_policy(
            SecretId=d.id, ResourcePolicy=document(allow("secretsmanager:*", "*", **ROOT))
        ),
        {"policy": "UPDATE"},
        {"secretArn": arn_of("secretsmanager", "secret:another")},
        lambda w, d: w.aws("secretsmanager").delete_resource_policy(SecretId=d.id),
    ),
]


def bucket_policy(bucket: str, action: str) -> Inputs:
    """Return a policy resource of a bucket."""
    return {"bucket": bucket, "policy": document(allow(action, f"arn:aws:s3:::{bucket}/*", **ROOT))}


def topic_policy(arn: str, action: str) -> Inputs:
    """Return a policy resource of a topic."""
    return {"arn": arn, "policy": document(allow(action, arn, Principal={"Service": "cloudwatch.amazonaws.com"}))}


def queue_policy(url: str, action: str) -> Inputs:
    """Return a policy resource of a queue."""
    return {"queueUrl": url, "policy": document(allow(action, "*", Principal={"Service": "scheduler.amazonaws.com"}))}


def route(api: str, world: World) -> Inputs:
    """Return a route resource."""
    target = f"integrations/{world.integration(api)}"
    return {"apiId": api, "routeKey": "POST /v1/consents", "target": target, "authorizationType": "AWS_IAM"}


def dead_letters(world: World) -> str:
    """Make a queue for dead letters and return its ARN."""
    return str(world.up("aws:sqs/queue:Queue", {}).state["arn"])


def log_bucket(world: World) -> str:
    """Make a bucket to which S3 may deliver its access logs."""
    name = world.bucket()
    delivery = {"Principal": {"Service": "logging.s3.amazonaws.com"}}
    policy = document(allow("s3:PutObject", f"arn:aws:s3:::{name}/*", **delivery))
    world.up("aws:s3/bucketPolicy:BucketPolicy", {"bucket": name, "policy": policy})
    return name


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Start a moto server with nothing in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.delenv("PARLEY_GATEWAY_URL", raising=False)
        yield World(f"http://{host}:{port}")
    server.stop()


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    """Give one resource type after the other."""
    assert isinstance(request.param, Case)
    return request.param


def covers(found: Any, wanted: Any) -> bool:
    """Tell whether `found` has all of `wanted`, and maybe defaults besides."""
    if isinstance(wanted, dict):
        return all(name in found and covers(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(covers, found, wanted))
    return bool(found == wanted)


def settled(world: World, deployed: Deployed) -> Deployed:
    """Refresh, and expect the object to be there."""
    again = world.stack.refresh(deployed)
    assert again is not None
    return again


def test_every_type_is_tried() -> None:
    """The table of this module has each type that the stand-in carries out."""
    assert {case.token for case in CASES} == TYPES


def test_a_second_up_and_a_refresh_change_nothing(world: World, case: Case) -> None:
    """Created and read again, an object has no drift and its program no diff; each input shows in the outputs."""
    inputs = case.inputs(world)
    made = world.up(case.token, inputs)
    assert world.stack.diff(made, inputs).changes == {}
    again = settled(world, made)
    assert again.inputs == made.inputs
    assert again.raw == made.raw
    assert world.stack.diff(again, inputs).changes == {}
    kind = world.stack.provider.resources[case.token]
    assert isinstance(kind, Kind)
    assert inputs.keys() - kind.local - MOTO_FORGETS - again.state.keys() == set()


def test_an_update_in_place_takes_hold(world: World, case: Case) -> None:
    """The diff shows the changed paths, no replacement; after the update a refresh sees no drift."""
    inputs = case.inputs(world)
    made = world.up(case.token, inputs)
    wanted = {**inputs, **case.update}
    plan = world.stack.diff(made, wanted)
    assert set(plan.changes) == case.changes
    assert plan.replaces == []
    if not case.update:
        return
    preview = world.stack.update(made, wanted, preview=True)
    assert preview.state.keys() <= {*made.state, *wanted}
    changed = world.stack.update(made, wanted)
    again = settled(world, changed)
    assert again.raw == changed.raw
    assert world.stack.diff(again, wanted).changes == {}
    assert covers(again.state, {name: value for name, value in case.update.items() if name != "code"})


def test_drift_is_seen_and_repaired(world: World, case: Case) -> None:
    """A change behind our back shows at its exact path, and the update that follows undoes it."""
    inputs = case.inputs(world)
    made = world.up(case.token, inputs)
    case.meddle(world, made)
    drifted = settled(world, made)
    plan = world.stack.diff(drifted, inputs)
    assert plan.changes == case.seen
    if plan.replaces:
        return
    repaired = world.stack.update(drifted, inputs)
    again = settled(world, repaired)
    assert world.stack.diff(again, inputs).changes == {}
    volatile = {"version", "qualifiedArn", "qualifiedInvokeArn", "lastModified", "lastModificationDate"}
    assert {k: v for k, v in again.state.items() if k not in volatile} == {
        k: v for k, v in made.state.items() if k not in volatile
    }


def test_what_cannot_be_changed_replaces(world: World, case: Case) -> None:
    """A change that AWS cannot make in place asks for a new object."""
    made = world.up(case.token, case.inputs(world))
    wanted = {**case.inputs(world), **case.anew}
    inputs = world.stack.check(case.token, made.name, wanted, made) if "WEBSOCKET" not in case.anew.values() else None
    if inputs is None:
        assert "protocolType" in world.stack.provider.resources[case.token].replaces
        return
    plan = world.stack.diff(made, wanted)
    assert plan.replaces
    assert set(plan.replaces) & case.anew.keys()


def test_an_import_gives_the_program_s_inputs(world: World, case: Case) -> None:
    """Imported by its id, an object has the inputs that it was made from, but for those that AWS does not know."""
    inputs = case.inputs(world)
    made = world.up(case.token, inputs)
    adopted = world.stack.adopt(case.token, made.name, case.adopt(made))
    assert adopted is not None
    assert adopted.id == made.id
    named = {**inputs, **world.stack.provider.resources[case.token].name_of(made.state)}  # type: ignore[attr-defined]
    missing = {path for path, kind in world.stack.diff(adopted, named).changes.items() if kind != "DELETE"}
    assert {path.partition(".")[0] for path in missing} <= case.unseen_on_import | MOTO_FORGETS


def test_what_is_gone_is_noticed_and_deleting_it_again_is_no_error(world: World, case: Case) -> None:
    """An object that somebody else deleted reads as gone, its deletion goes through, and so does that of a live one."""
    made = world.up(case.token, case.inputs(world))
    case.kill(world, made)
    assert world.stack.refresh(made) is None
    world.stack.down(made)
    live = world.up(case.token, case.inputs(world))
    world.stack.down(live)
    world.stack.down(live)


# -- beyond the table --------------------------------------------------------------------------------------------------


def test_a_half_made_object_is_kept_and_the_next_update_finishes_it(world: World) -> None:
    """When a later step of a creation fails, the object stays in the state; an update without a diff does the rest."""
    arn = f"arn:aws:iam::{ACCOUNT}:policy/late"
    inputs = {"assumeRolePolicy": TRUST, "name": "half-made", "managedPolicyArns": [arn], "tags": TAGS}
    with pytest.raises(Refused, match="it was made, but not as asked: AWS refused AttachRolePolicy") as refused:
        world.up("aws:iam/role:Role", inputs)
    kept = refused.value.half_done
    assert kept is not None
    assert kept.id == "half-made"
    checked = world.stack.check("aws:iam/role:Role", "r", inputs)
    role = Deployed("aws:iam/role:Role", "r", kept.id, checked, kept.properties)
    world.aws("iam").create_policy(PolicyName="late", PolicyDocument=document(allow("s3:*", "*")))
    finished = world.stack.update(role, inputs)
    assert finished.state["managedPolicyArns"] == [arn]
    assert finished.state["tagsAll"] == TAGS
    assert settled(world, finished).raw == finished.raw


def test_a_secret_in_its_recovery_window_keeps_its_name(world: World) -> None:
    """A secret that waits for its deletion is gone, yet its name is taken: the message says the ways out."""
    secret_ = world.up("aws:secretsmanager/secret:Secret", {"name": "twilio", "recoveryWindowInDays": 7})
    world.stack.down(secret_)
    assert world.stack.refresh(secret_) is None
    with pytest.raises(Refused, match=r"'twilio' waits for its deletion.*restore-secret.*recoveryWindowInDays: 0"):
        world.up("aws:secretsmanager/secret:Secret", {"name": "twilio"})
    gone = world.up("aws:secretsmanager/secret:Secret", {"name": "other", "recoveryWindowInDays": 0})
    world.stack.down(gone)
    world.up("aws:secretsmanager/secret:Secret", {"name": "other"})


def test_a_bucket_with_objects_goes_only_by_force(world: World) -> None:
    """Deleting a bucket that is not empty is refused in one line; with forceDestroy its versions go first."""
    bucket = world.up("aws:s3/bucket:Bucket", {})
    world.up("aws:s3/bucketVersioning:BucketVersioning", {"bucket": bucket.id, **ENABLED})
    for body in (b"one", b"two"):
        world.aws("s3").put_object(Bucket=bucket.id, Key="calls/a", Body=body)
    world.aws("s3").delete_object(Bucket=bucket.id, Key="calls/a")
    with pytest.raises(Refused, match="AWS refused DeleteBucket: BucketNotEmpty"):
        world.stack.down(bucket)
    forced = world.stack.update(bucket, {"forceDestroy": True})
    world.stack.down(forced)
    assert world.stack.refresh(forced) is None


def test_only_changed_code_is_a_new_version(world: World) -> None:
    """A published function has a number; other code or configuration gives the next one, a tag does not."""
    inputs = {**FUNCTION.inputs(world), "kmsKeyArn": None, "deadLetterConfig": None}
    function = world.up(FUNCTION.token, inputs)
    assert function.state["version"] == "1"
    assert function.state["qualifiedArn"] == f"{function.state['arn']}:1"
    tagged = world.stack.update(function, {**inputs, "tags": {"team": "other"}})
    assert tagged.state["version"] == "1"
    moved = Archive({**code("one").fields, "path": "elsewhere"})
    assert world.stack.diff(tagged, {**inputs, "tags": {"team": "other"}, "code": moved}).changes == {}
    changed = world.stack.update(tagged, {**inputs, "code": code("two")})
    assert changed.state["version"] == "2"
    assert changed.state["codeSha256"] != function.state["codeSha256"]
    assert world.stack.update(tagged, {**inputs, "code": code("two")}, preview=True).state["version"] is UNKNOWN


def test_an_api_is_reached_by_the_local_gateway(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PARLEY_GATEWAY_URL set, an API's endpoint and its stages' URLs are the gateway's."""
    monkeypatch.setenv("PARLEY_GATEWAY_URL", "http://127.0.0.1:8080/")
    api = world.up("aws:apigatewayv2/api:Api", {"protocolType": "HTTP"})
    assert api.state["apiEndpoint"] == f"http://127.0.0.1:8080/{api.id}"
    assert api.state["executionArn"] == f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}"
    urls = {
        name: world.up("aws:apigatewayv2/stage:Stage", {"apiId": api.id, "name": name}).state["invokeUrl"]
        for name in ("$default", "v1")
    }
    assert urls == {name: f"http://127.0.0.1:8080/{api.id}/{name.removeprefix('$default')}" for name in urls}


def test_default_tags_are_put_on_and_kept_on(world: World) -> None:
    """Default tags reach the object; one that was taken off by hand is a diff, and an update puts it back."""
    stack = Stack(Aws())
    stack.configure({"region": REGION, "defaultTags": json.dumps({"tags": {"project": "parley"}})})
    queue = stack.up("aws:sqs/queue:Queue", "tagged", {"tags": {"team": "x"}})
    assert queue.state["tags"] == {"team": "x"}
    assert queue.state["tagsAll"] == {"team": "x", "project": "parley"}
    world.aws("sqs").untag_queue(QueueUrl=queue.id, TagKeys=["project"])
    drifted = stack.refresh(queue)
    assert drifted is not None
    assert stack.diff(drifted, {"tags": {"team": "x"}}).changes == {"tagsAll": "UPDATE"}
    stack.update(drifted, {"tags": {"team": "x"}})
    assert world.aws("sqs").list_queue_tags(QueueUrl=queue.id)["Tags"] == {"team": "x", "project": "parley"}


def test_an_object_may_lie_in_another_region(world: World) -> None:
    """The property `region` of a resource wins over the provider's region, and changing it replaces the object."""
    topic = world.up("aws:sns/topic:Topic", {"region": "eu-west-1"})
    assert ":eu-west-1:" in topic.id
    assert settled(world, topic).raw == topic.raw
    assert world.stack.diff(topic, {"region": "us-east-1"}).replaces == ["region"]
    bucket = world.up("aws:s3/bucket:Bucket", {"region": "eu-west-1"})
    assert bucket.state["bucketRegion"] == "eu-west-1"
    assert world.aws("s3").get_bucket_location(Bucket=bucket.id)["LocationConstraint"] == "eu-west-1"


def test_the_account_may_be_restricted(world: World) -> None:
    """aws:allowedAccountIds and forbiddenAccountIds hold for the local account as well."""
    Stack(Aws()).configure({"allowedAccountIds": json.dumps([ACCOUNT])})
    for setting, account in (("allowedAccountIds", "000000000000"), ("forbiddenAccountIds", ACCOUNT)):
        with pytest.raises(Refused, match=f"belong to account {ACCOUNT}"):
            Stack(Aws()).configure({setting: json.dumps([account])})


def test_the_caller_is_told(world: World) -> None:
    """The functions for the caller and the partition answer as pulumi_aws declares it."""
    answers = {}
    for name in ("getCallerIdentity", "getPartition"):
        request = provider_pb2.InvokeRequest(tok=f"aws:index/{name}:{name}", args=struct({}))
        answers.update(plain(getattr(world.stack.provider.Invoke(request, Call()), "return")))
    assert answers["accountId"] == ACCOUNT
    assert answers["partition"] == "aws"


def test_a_policy_of_its_own_is_no_drift_of_its_queue(world: World) -> None:
    """A QueuePolicy beside a queue that declares no policy leaves the queue without a diff; one inside it is read."""
    queue = world.up("aws:sqs/queue:Queue", {})
    world.up("aws:sqs/queuePolicy:QueuePolicy", queue_policy(queue.id, "sqs:SendMessage"))
    assert world.stack.diff(settled(world, queue), {}).changes == {}
    own = {"policy": queue_policy("", "sqs:SendMessage")["policy"]}
    other = world.up("aws:sqs/queue:Queue", own)
    changed = queue_policy(other.id, "sqs:*")["policy"]
    world.aws("sqs").set_queue_attributes(QueueUrl=other.id, Attributes={"Policy": changed})
    assert world.stack.diff(settled(world, other), own).changes == {"policy": "UPDATE"}


def test_an_alarm_may_watch_an_expression(world: World) -> None:
    """Metric queries go to AWS and come back as declared."""
    metric = {"metricName": "Errors", "namespace": "AWS/Lambda", "period": 60, "stat": "Sum"}
    inputs = {
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 2,
        "threshold": 0.5,
        "metricQueries": [
            {"id": "e", "metric": {**metric, "dimensions": {"FunctionName": "gate"}}},
            {"id": "rate", "expression": "e / 60", "label": "errors a second", "returnData": True},
        ],
    }
    alarm = world.up("aws:cloudwatch/metricAlarm:MetricAlarm", inputs)
    assert world.stack.diff(settled(world, alarm), inputs).changes == {}
    assert covers(alarm.state["metricQueries"], inputs["metricQueries"])


def test_a_table_s_indexes_are_read_and_changed_one_by_one(world: World) -> None:
    """An index added by hand is drift, and is taken away again; provisioned throughput is carried out too."""
    inputs = {
        "billingMode": "PROVISIONED",
        "readCapacity": 2,
        "writeCapacity": 3,
        "hashKey": "pk",
        "attributes": [{"name": "pk", "type": "S"}],
        "localSecondaryIndexes": [],
    }
    table = world.up("aws:dynamodb/table:Table", inputs)
    assert world.stack.diff(settled(world, table), inputs).changes == {}
    faster = {**inputs, "readCapacity": 5}
    assert world.stack.update(table, faster).state["readCapacity"] == 5
    by_hand = {
        "IndexName": "by-hand",
        "KeySchema": [{"AttributeName": "x", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    }
    world.aws("dynamodb").update_table(
        TableName=table.id,
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "x")],
        GlobalSecondaryIndexUpdates=[{"Create": by_hand}],
    )
    drifted = settled(world, table)
    assert "globalSecondaryIndexes" in world.stack.diff(drifted, inputs).changes
    repaired = world.stack.update(drifted, inputs)
    assert "globalSecondaryIndexes" not in repaired.state
