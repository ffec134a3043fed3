"""`parley verify` on the deployed local stack: true when just deployed, every drift named, mended, true again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from parley.core.verification import EXISTS, OLDEST, Check, Verdict

from cli import main as command
from cli import verify
from cli.errors import CANNOT_TELL, DRIFT, OK
from cli.home import CloudInfo
from cli.stack import LocalStack
from local.twilio.client import connect

CONTENT, EVIDENCE, ACCESS_LOGS, LEDGER = "contentBucket", "evidenceBucket", "accessLogBucket", "ledgerTable"


class Live:
    """The deployed stack, its services, and what `parley verify` says of it."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.cloud: CloudInfo = stack.start_cloud()
        self.clients = verify.clients(self.cloud.aws_environment())
        self.outputs: dict[str, Any] = stack.workspace().outputs()

    def __getitem__(self, service: str) -> Any:
        """Return the client of a service."""
        return self.clients[service]

    @property
    def declaration(self) -> dict[str, Any]:
        """What the stack declares."""
        declared: dict[str, Any] = self.outputs["declaration"]
        return declared

    def names(self, system: str) -> list[str]:
        """Return the names of the declared resources of a system."""
        return [each["name"] for each in self.declaration["resources"] if each["system"] == system]

    def checks(self, now: datetime | None = None) -> list[Check]:
        """Verify."""
        carrier = verify.carrier(self.declaration, self.clients, self.cloud)
        return verify.checks(self.declaration, self.clients, carrier, now)

    def wrong(self, now: datetime | None = None) -> list[Check]:
        """Verify, and return what is not true."""
        return [check for check in self.checks(now) if check.verdict is not Verdict.TRUE]

    def now(self) -> datetime:
        """Return the time of the cloud, which dates its objects; tests before may have moved it."""
        http = urllib3.PoolManager()
        told = http.request("GET", f"{self.cloud.twilio_endpoint}/_sim/clock").json()
        http.clear()
        return datetime.fromisoformat(told["now"])

    def invoke(self) -> tuple[str | None, Any, list[dict[str, Any]]]:
        """Run the deployed function as its schedule does; return its error, answer and logged events."""
        function, group = self.outputs["functions"]["verify"], f"/aws/lambda/{self.outputs['functions']['verify']}"
        before = len(self._logged(group))
        client = boto3.client(
            "lambda",
            endpoint_url=self.cloud.aws_endpoint,
            region_name=self.cloud.aws_region,
            aws_access_key_id=self.cloud.aws_access_key_id,
            aws_secret_access_key=self.cloud.aws_secret_access_key,
            config=Config(read_timeout=120, retries={"total_max_attempts": 1}),
        )
        answer = client.invoke(FunctionName=function, Qualifier="live", Payload=b"{}")
        payload = json.loads(answer["Payload"].read())
        client.close()
        lines = [line for line in self._logged(group)[before:] if line.startswith("{")]
        return answer.get("FunctionError"), payload, [each for each in map(json.loads, lines) if "event" in each]

    def _logged(self, group: str) -> list[str]:
        pages = self["logs"].get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    def run(self, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
        """Run the command `parley verify` and return its exit code."""
        monkeypatch.setenv("PARLEY_HOME", str(self.stack.home.path))
        monkeypatch.setattr("sys.argv", ["parley", "verify", *options])
        with pytest.raises(SystemExit) as caught:
            command.main()
        return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def live(stack: LocalStack) -> Iterator[Live]:
    """Give the deployed stack, as it is declared; each test that changes it leaves it so."""
    found = Live(stack)
    yield found
    for client in found.clients.values():
        client.close()


def shown(checks: Sequence[Check]) -> list[str]:
    """Return checks as lines, for a failing test to show."""
    return [f"{c.system} {c.name} {c.property}: {c.declared} declared, {c.live} live ({c.verdict})" for c in checks]


class TestTrue:
    """A stack that was just deployed."""

    def test_everything_is_true(self, live: Live) -> None:
        """Right after a deployment every declared property is live as declared."""
        checks = live.checks()
        assert shown([check for check in checks if check.verdict is not Verdict.TRUE]) == []
        assert len(checks) > 400
        assert {check.system for check in checks} == {each["system"] for each in live.declaration["resources"]}

    def test_command_says_it_in_one_line(
        self, live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The command prints one line and exits with 0."""
        assert live.run(monkeypatch) == OK
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("all true: ")

    def test_command_for_scripts(
        self, live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With --json the command prints every check and how many there are of each verdict."""
        assert live.run(monkeypatch, "--json") == OK
        told = json.loads(capsys.readouterr().out)
        assert told["verdicts"]["true"] == len(told["checks"]) > 400

    def test_function_says_the_same(self, live: Live) -> None:
        """The deployed function checks as much under its own role, through Lambda's runtime, and finds nothing."""
        error, answer, _ = live.invoke()
        assert (error, answer) == (None, {"Checked": len(live.checks()), "Differences": 0, "CannotTell": 0})

    def test_schedule_starts_it(self, live: Live) -> None:
        """The function is started by its schedule, without anybody calling it."""
        group = f"/aws/lambda/{live.outputs['functions']['verify']}"
        assert live["logs"].filter_log_events(logGroupName=group)["events"]
        schedule = live["scheduler"].get_schedule(GroupName="parley-local", Name="verify")
        assert (schedule["State"], schedule["ScheduleExpression"]) == ("ENABLED", "rate(23 hours)")


# --- what somebody changes behind the kit's back, one property each ---

Change = Callable[[Live], None]


def _rules(live: Live, bucket: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    name = live.outputs[bucket]
    rules = live["s3"].get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    change(rules)
    live["s3"].put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})


def _longer_rule(live: Live) -> None:
    def change(rules: list[dict[str, Any]]) -> None:
        next(rule for rule in rules if rule["ID"] == "messages")["Expiration"]["Days"] = 3650

    _rules(live, CONTENT, change)


def _added_rule(live: Live) -> None:
    added = {"ID": "keep", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 3650}}
    _rules(live, EVIDENCE, lambda rules: rules.append(added))


def _versions_off(live: Live) -> None:
    off = {"Status": "Suspended"}
    live["s3"].put_bucket_versioning(Bucket=live.outputs[ACCESS_LOGS], VersioningConfiguration=off)


def _own_key_off(live: Live) -> None:
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    live["s3"].put_bucket_encryption(Bucket=live.outputs[CONTENT], ServerSideEncryptionConfiguration={"Rules": rules})


def _opened_to_public(live: Live) -> None:
    block = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }
    live["s3"].put_public_access_block(Bucket=live.outputs[EVIDENCE], PublicAccessBlockConfiguration=block)


def _ownership(live: Live) -> None:
    rules = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    live["s3"].put_bucket_ownership_controls(Bucket=live.outputs[ACCESS_LOGS], OwnershipControls=rules)


def _statement_gone(live: Live) -> None:
    name = live.outputs[CONTENT]
    policy = json.loads(live["s3"].get_bucket_policy(Bucket=name)["Policy"])
    policy["Statement"] = [each for each in policy["Statement"] if each["Sid"] != "DenyOldTls"]
    live["s3"].put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def _unlogged(live: Live) -> None:
    live["s3"].put_bucket_logging(Bucket=live.outputs[EVIDENCE], BucketLoggingStatus={})


def _unrotated(live: Live) -> None:
    live["kms"].disable_key_rotation(KeyId=live.outputs["contentKeyArn"])


def _key_for_all(live: Live) -> None:
    key = live.outputs["evidenceKeyArn"]
    policy = json.loads(live["kms"].get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    owner = policy["Statement"][0]["Principal"]
    added = {"Sid": "Mine", "Effect": "Allow", "Principal": owner, "Action": "kms:Decrypt", "Resource": "*"}
    policy["Statement"].append(added)
    live["kms"].put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def _rows_for_ever(live: Live) -> None:
    off = {"Enabled": False, "AttributeName": "expires_at"}
    live["dynamodb"].update_time_to_live(TableName=live.outputs[LEDGER], TimeToLiveSpecification=off)


def _longer_window(live: Live) -> None:
    longer = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 35}
    live["dynamodb"].update_continuous_backups(TableName=live.outputs[LEDGER], PointInTimeRecoverySpecification=longer)


def _logs_for_ever(live: Live) -> None:
    live["logs"].delete_retention_policy(logGroupName=f"/aws/lambda/{live.outputs['functions']['intercept']}")


def _longer_queue(live: Live) -> None:
    changed = {"MessageRetentionPeriod": str(14 * 86_400)}
    live["sqs"].set_queue_attributes(QueueUrl=live.names("sqs")[0], Attributes=changed)


def _open_queue(live: Live) -> None:
    live["sqs"].set_queue_attributes(QueueUrl=live.names("sqs")[1], Attributes={"Policy": ""})


def _topic_for_others(live: Live) -> None:
    (topic,) = live.names("sns")
    policy = json.loads(live["sns"].get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    next(each for each in policy["Statement"] if each["Sid"] == "PublishAlarms").pop("Condition")
    live["sns"].set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy))


def _secret_for_others(live: Live) -> None:
    live["secretsmanager"].delete_resource_policy(SecretId=live.names("secretsmanager")[0])


def _role_may_more(live: Live) -> None:
    role = live.outputs["functions"]["intercept"]
    (name,) = live["iam"].list_role_policies(RoleName=role)["PolicyNames"]
    policy = live["iam"].get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    next(each for each in policy["Statement"] if each["Sid"] == "UseLedger")["Action"] = "dynamodb:*"
    live["iam"].put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


def _longer_rows(live: Live) -> None:
    function = live.outputs["functions"]["interaction"]
    variables = live["lambda"].get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    days = json.loads(variables["PARLEY_KEEP_DAYS"]) | {"interaction-log": 3650}
    changed = {"Variables": variables | {"PARLEY_KEEP_DAYS": json.dumps(days)}}
    live["lambda"].update_function_configuration(FunctionName=function, Environment=changed)
    version = live["lambda"].publish_version(FunctionName=function)["Version"]
    live["lambda"].update_alias(FunctionName=function, Name="live", FunctionVersion=version)


def _schedule_off(live: Live) -> None:
    schedule = live["scheduler"].get_schedule(GroupName="parley-local", Name="reconcile")
    kept = ("GroupName", "Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    live["scheduler"].update_schedule(**{name: schedule[name] for name in kept}, State="DISABLED")


def _unthrottled(live: Live) -> None:
    (api,) = live.names("apigateway")
    # moto cannot update a stage; one that is made anew with other limits comes to the same.
    client, limits = live["apigatewayv2"], {"ThrottlingRateLimit": 10_000, "ThrottlingBurstLimit": 5_000}
    stage = client.get_stage(ApiId=api, StageName="$default")
    client.delete_stage(ApiId=api, StageName="$default")
    kept = {name: stage[name] for name in ("StageName", "AccessLogSettings", "AutoDeploy")}
    client.create_stage(ApiId=api, **kept, DefaultRouteSettings=limits)


def _open_route(live: Live) -> None:
    (api,) = live.names("apigateway")
    routes = live["apigatewayv2"].get_routes(ApiId=api)["Items"]
    route = next(each for each in routes if each["RouteKey"] == "POST /v1/sessions")
    live["apigatewayv2"].update_route(ApiId=api, RouteId=route["RouteId"], AuthorizationType="NONE")


def _mute_alarm(live: Live) -> None:
    live["cloudwatch"].disable_alarm_actions(AlarmNames=["parley-local-intercept-errors"])


def _no_alarm(live: Live) -> None:
    live["cloudwatch"].delete_alarms(AlarmNames=["parley-local-reconcile-stopped"])


def _webhook(live: Live) -> None:
    _service(live).update(callback_url="https://example.com/somebody-elses")


def _sessions_without_end(live: Live) -> None:
    _service(live).update(default_ttl=30 * 86_400)


def _number_gone(live: Live) -> None:
    _service(live).phone_numbers(min(_pool(live))).delete()


def _service(live: Live) -> Any:
    cloud = live.cloud
    client = connect(cloud.twilio_endpoint, cloud.twilio_account_sid, cloud.twilio_auth_token)
    return client.proxy.v1.services(live.outputs["proxyServiceSids"][0])


def _pool(live: Live) -> Mapping[str, str]:
    (line,) = [each for each in live.declaration["resources"] if each["system"] == "twilio"]
    numbers: dict[str, str] = line["expected"]["numbers"]
    return numbers


DRIFTS: list[tuple[Change, str, str, Verdict]] = [
    (_longer_rule, "s3", "lifecycle.messages.expirationDays", Verdict.DIFFERS),
    (_added_rule, "s3", "lifecycle.keep", Verdict.DIFFERS),
    (_versions_off, "s3", "versioning", Verdict.DIFFERS),
    (_own_key_off, "s3", "encryption.key", Verdict.ABSENT),
    (_opened_to_public, "s3", "publicAccessBlock.BlockPublicPolicy", Verdict.DIFFERS),
    (_ownership, "s3", "ownership", Verdict.DIFFERS),
    (_statement_gone, "s3", "policy.DenyOldTls", Verdict.ABSENT),
    (_unlogged, "s3", "logging", Verdict.ABSENT),
    (_unrotated, "kms", "rotation", Verdict.DIFFERS),
    (_key_for_all, "kms", "policy.Mine", Verdict.DIFFERS),
    (_rows_for_ever, "dynamodb", "timeToLive.status", Verdict.DIFFERS),
    (_longer_window, "dynamodb", "pointInTimeDays", Verdict.DIFFERS),
    (_logs_for_ever, "logs", "retentionDays", Verdict.ABSENT),
    (_longer_queue, "sqs", "retentionSeconds", Verdict.DIFFERS),
    (_open_queue, "sqs", "policy.DenyOtherAccounts", Verdict.ABSENT),
    (_topic_for_others, "sns", "policy.PublishAlarms", Verdict.DIFFERS),
    (_secret_for_others, "secretsmanager", "policy.DenyOtherReaders", Verdict.ABSENT),
    (_role_may_more, "lambda", "rolePolicy.UseLedger", Verdict.DIFFERS),
    (_longer_rows, "lambda", "keepDays.interaction-log", Verdict.DIFFERS),
    (_schedule_off, "scheduler", "state", Verdict.DIFFERS),
    (_unthrottled, "apigateway", "throttling.rate", Verdict.DIFFERS),
    (_open_route, "apigateway", "routes.POST /v1/sessions", Verdict.DIFFERS),
    (_mute_alarm, "cloudwatch", "enabled", Verdict.DIFFERS),
    (_no_alarm, "cloudwatch", EXISTS, Verdict.ABSENT),
    (_webhook, "twilio", "callbackUrl", Verdict.DIFFERS),
    (_sessions_without_end, "twilio", "defaultTtl", Verdict.DIFFERS),
]


@pytest.fixture(scope="module")
def drifted(live: Live) -> list[Check]:
    """Change all of it, and look."""
    for change, *_ in DRIFTS:
        change(live)
    _number_gone(live)
    return live.wrong()


class TestDrift:
    """What somebody changes behind the kit's back is named, one line each, and one deployment mends all of it."""

    @pytest.mark.parametrize(
        ("system", "name", "verdict"), [drift[1:] for drift in DRIFTS], ids=[drift[0].__name__ for drift in DRIFTS]
    )
    def test_named_with_its_fix(self, drifted: list[Check], system: str, name: str, verdict: Verdict) -> None:
        """The changed property is named with its resource, its verdict and the way out."""
        found = [check for check in drifted if (check.system, check.property) == (system, name)]
        assert [check.verdict for check in found] == [verdict], shown(drifted)
        assert "pulumi up --refresh" in found[0].fix

    def test_number_that_left_the_pool(self, live: Live, drifted: list[Check]) -> None:
        """A number that left the pool is named by its SID."""
        assert f"numbers.{min(_pool(live))}" in {check.property for check in drifted}

    def test_nothing_else(self, drifted: list[Check]) -> None:
        """What was not changed is true, so no finding is noise; what goes together with a change is told, too."""
        named = {(system, name) for _, system, name, _ in DRIFTS}
        others = [c for c in drifted if (c.system, c.property) not in named and not c.property.startswith("numbers.")]
        assert {(check.system, check.property) for check in others} == {
            ("s3", "encryption.algorithm"),
            ("s3", "encryption.bucketKey"),
            ("sqs", "policy.DenyInsecureTransport"),
            ("secretsmanager", "policy.DenyInsecureTransport"),
            ("apigateway", "throttling.burst"),
        }

    def test_command_exits_with_drift(
        self,
        live: Live,
        drifted: list[Check],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The command names each difference and its way out, and exits with 7."""
        assert live.run(monkeypatch) == DRIFT
        told = capsys.readouterr().out
        assert "lifecycle.messages.expirationDays: 7 declared, 3650 live" in told
        assert told.count("pulumi up --refresh") >= len(DRIFTS)

    def test_function_fails_and_logs_each(self, live: Live, drifted: list[Check]) -> None:
        """The deployed function fails, so that its alarm rings, with a line for each difference."""
        error, _, logged = live.invoke()
        assert error == "Unhandled"
        told = {(each["system"], each["property"]) for each in logged if each["event"] == "differs"}
        assert {(system, name) for _, system, name, _ in DRIFTS} <= told

    def test_one_deployment_mends_all(self, live: Live, drifted: list[Check]) -> None:
        """`pulumi up --refresh` puts everything back, and all is true again."""
        live.stack.workspace().up(refresh=True)
        live.outputs = live.stack.workspace().outputs()
        assert shown(live.wrong()) == []


# --- what no deployment mends: made, and taken away by the fix itself ---


def _replicate(live: Live) -> Change:
    s3, bucket = live["s3"], live.outputs[CONTENT]
    s3.create_bucket(Bucket="somewhere-else")
    s3.put_bucket_versioning(Bucket="somewhere-else", VersioningConfiguration={"Status": "Enabled"})
    rule = {"ID": "r", "Status": "Enabled", "Prefix": "", "Destination": {"Bucket": "arn:aws:s3:::somewhere-else"}}
    role = "arn:aws:iam::123456789012:role/r"
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": role, "Rules": [rule]})

    def undo(_live: Live) -> None:
        s3.delete_bucket_replication(Bucket=bucket)
        s3.delete_bucket(Bucket="somewhere-else")

    return undo


def _back_up(live: Live) -> Change:
    made = live["dynamodb"].create_backup(TableName=live.outputs[LEDGER], BackupName="just-in-case")
    arn = made["BackupDetails"]["BackupArn"]
    return lambda _: live["dynamodb"].delete_backup(BackupArn=arn)


def _open_url(live: Live) -> Change:
    function = live.outputs["functions"]["intercept"]
    live["lambda"].create_function_url_config(FunctionName=function, AuthType="NONE")
    return lambda _: live["lambda"].delete_function_url_config(FunctionName=function)


def _attach(live: Live) -> Change:
    iam, role = live["iam"], live.outputs["functions"]["intercept"]
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    arn = iam.create_policy(PolicyName="everything", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)

    def undo(_live: Live) -> None:
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
        iam.delete_policy(PolicyArn=arn)

    return undo


def _second_policy(live: Live) -> Change:
    iam, role = live["iam"], live.outputs["functions"]["intercept"]
    more = {"Sid": "More", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [more]})
    iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=document)
    return lambda _: iam.delete_role_policy(RoleName=role, PolicyName="more")


def _key_about_to_go(live: Live) -> Change:
    kms, key = live["kms"], live.outputs["contentKeyArn"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)

    def undo(_live: Live) -> None:
        kms.cancel_key_deletion(KeyId=key)
        kms.enable_key(KeyId=key)

    return undo


class TestByHand:
    """What a deployment does not undo has a fix that does."""

    @pytest.mark.parametrize(
        ("make", "system", "name", "fix"),
        [
            (_replicate, "s3", "replication", "delete-bucket-replication"),
            (_back_up, "dynamodb", "backups", "delete-backup"),
            (_open_url, "lambda", "urls", "delete-function-url-config"),
            (_attach, "lambda", "managedPolicies", "detach-role-policy"),
            (_second_policy, "lambda", "rolePolicy.More", "delete-role-policy"),
            (_key_about_to_go, "kms", "state", "cancel-key-deletion"),
        ],
    )
    def test_named_and_undone(
        self, live: Live, make: Callable[[Live], Change], system: str, name: str, fix: str
    ) -> None:
        """It is named with the command that undoes it, and after that command all is true."""
        undo = make(live)
        try:
            found = [check for check in live.wrong() if (check.system, check.property) == (system, name)]
        finally:
            undo(live)
        assert [fix in check.fix for check in found] == [True]
        assert shown(live.wrong()) == []


@pytest.fixture
def planted(live: Live) -> Iterator[str]:
    """Give a message's object in the content bucket, as the kit writes it; return its version, and take it away."""
    s3, bucket = live["s3"], live.outputs[CONTENT]
    key = live.outputs["contentKeyArn"]
    put = {"Bucket": bucket, "Key": "messages/party-4253ac84", "Body": b"x"}
    made: str = s3.put_object(**put, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)["VersionId"]
    yield made
    s3.delete_object(Bucket=bucket, Key="messages/party-4253ac84", VersionId=made)


def _bound(live: Live, copy: str) -> int:
    """Return how old a copy of a message in the bucket may be, in days."""
    (bucket,) = [each for each in live.declaration["resources"] if each["name"] == live.outputs[CONTENT]]
    return int(bucket["expected"][OLDEST]["messages"][copy])


class TestAges:
    """The oldest object that is really there, against the bound."""

    def test_within_its_bound(self, live: Live, planted: str) -> None:
        """An object on the last day of its path of the bound is true, and its age is told."""
        now = live.now() + timedelta(days=_bound(live, "current version") - 1)
        (found,) = [c for c in live.checks(now) if c.property == "oldest.messages.current version"]
        assert (found.verdict, found.live["days"]) == (Verdict.TRUE, _bound(live, "current version") - 1)

    def test_past_its_bound(self, live: Live, planted: str) -> None:
        """An object past it is found, by class, age and count; its key is in no line."""
        days = _bound(live, "current version") + 1
        wrong = live.wrong(live.now() + timedelta(days=days))
        (found,) = [check for check in wrong if check.property == "oldest.messages.current version"]
        assert (found.live, found.record_class) == ({"days": days, "over": 1}, "messages")
        assert "4253ac84" not in repr(wrong)

    def test_upload_that_nobody_ended(self, live: Live) -> None:
        """An upload that was begun and never ended is found when its own, shorter, time is over."""
        s3, bucket = live["s3"], live.outputs[CONTENT]
        key = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": live.outputs["contentKeyArn"]}
        upload = s3.create_multipart_upload(Bucket=bucket, Key="messages/x", **key)["UploadId"]
        try:
            days = _bound(live, "incomplete upload")
            soon, late = (live.wrong(live.now() + timedelta(days=days + more)) for more in (-1, 1))
        finally:
            s3.abort_multipart_upload(Bucket=bucket, Key="messages/x", UploadId=upload)
        name = "oldest.messages.incomplete upload"
        assert [name in {check.property for check in checks} for checks in (soon, late)] == [False, True]

    def test_held(self, live: Live, planted: str) -> None:
        """An object under a legal hold is counted as held, and its age is no finding."""
        s3, bucket = live["s3"], live.outputs[CONTENT]
        at = {"Bucket": bucket, "Key": "messages/party-4253ac84", "VersionId": planted}
        s3.put_object_legal_hold(**at, LegalHold={"Status": "ON"})
        try:
            checks = live.checks(live.now() + timedelta(days=_bound(live, "current version") + 1))
        finally:
            s3.put_object_legal_hold(**at, LegalHold={"Status": "OFF"})
        (found,) = [check for check in checks if check.property == "oldest.messages.current version"]
        assert (found.verdict, found.live) == (Verdict.TRUE, {"held": 1})


class TestUnread:
    """What cannot be read is never true."""

    def test_twilio_down(self, live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """While Twilio does not answer the command cannot tell, says so, and exits with 2."""
        faults, http = f"{live.cloud.twilio_endpoint}/_sim/faults", urllib3.PoolManager()
        http.request("POST", faults, json={"on": "rest", "mode": "error", "status": 503})
        try:
            assert live.run(monkeypatch) == CANNOT_TELL
        finally:
            http.request("DELETE", faults)
            http.clear()
        told = capsys.readouterr().out
        assert "status 503" in told
        assert "0 differ" in told

    def test_role_without_permissions(self, live: Live) -> None:
        """Without its reading permissions the function can tell nothing of AWS, and names each call to allow."""
        iam, role = live["iam"], live.outputs["functions"]["verify"]
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        kept = {"ReadDeclaration", "DecryptDeclaration"}
        reading = ("Read", "List")
        less = [s for s in policy["Statement"] if s["Sid"] in kept or not s["Sid"].startswith(reading)]
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps({**policy, "Statement": less}))
        try:
            error, _, logged = live.invoke()
        finally:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
        assert error == "Unhandled"
        unread = [each for each in logged if each["event"] == "cannot-tell"]
        systems = {each["system"] for each in live.declaration["resources"]}
        assert {each["system"] for each in unread} >= systems - {"twilio"}
        refused = {each["live"].partition(":")[0] for each in unread if "AccessDenied" in each["live"]}
        assert {"s3 GetBucketPolicy", "kms GetKeyPolicy", "dynamodb DescribeTable", "apigateway GetRoutes"} <= refused
        assert {"scheduler GetSchedule", "cloudwatch DescribeAlarms", "lambda ListRolePolicies"} <= refused
        assert [each for each in logged if each["event"] == "differs"] == []

    def test_every_check_is_refused_alone(self, live: Live) -> None:
        """Each reading statement of the role is needed: without it, and it alone, something cannot be told."""
        iam, role = live["iam"], live.outputs["functions"]["verify"]
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        reading = [s["Sid"] for s in policy["Statement"] if s["Sid"].startswith(("Read", "List"))]
        # Nothing can be read without the first two; nothing asks for a hold while nothing is over its time.
        reading = [sid for sid in reading if sid not in {"ReadDeclaration", "ReadTwilioSecret", "ReadLegalHolds"}]
        found: dict[str, int] = {}
        try:
            for sid in reading:
                less = {**policy, "Statement": [s for s in policy["Statement"] if s["Sid"] != sid]}
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(less))
                found[sid] = sum(each["event"] == "cannot-tell" for each in live.invoke()[2])
        finally:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
        assert [sid for sid, unread in found.items() if not unread] == []
        assert shown(live.wrong()) == []
