"""The deployed stack on the real engine: twice is no change, drift is seen and mended, nothing secret is kept."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from twilio.rest import Client  # type: ignore[import-untyped]

from cli import report, report_sources, verify
from cli.home import STACK
from cli.stack import LocalStack
from local.engine.errors import EngineError
from local.engine.events import Result
from local.engine.workspace import Workspace
from local.twilio.client import connect


@pytest.fixture
def client(stack: LocalStack) -> Any:
    """Give the boto3 client of a service of the local cloud, by its name."""
    return verify.clients(stack.start_cloud().aws_environment()).__getitem__


class TestTwice:
    """I9: `pulumi up` twice changes nothing."""

    def test_second_up_changes_nothing(self, workspace: Workspace) -> None:
        """A deployment of what is deployed leaves every resource the same."""
        result = workspace.up()
        assert [str(step) for step in result.steps] == []
        assert result.count("same") > 40


class TestReport:
    """The report is what the services answer."""

    def test_every_place_is_as_declared(self, stack: LocalStack, workspace: Workspace) -> None:
        """Every place of the report that a rule empties is as declared, by the answers of the running services."""
        cloud, now = stack.start_cloud(), dt.datetime.now(dt.UTC)
        declaration, origin = report_sources.from_outputs(STACK, workspace.outputs(), now)
        clients = verify.clients(cloud.aws_environment())
        checks = verify.checks(declaration, clients, verify.carrier(declaration, clients, cloud), now)
        made = report.build(declaration, origin, checks)
        places = [(each.record_class, place) for each in made.classes for place in each.places]
        assert [(name, place.name) for name, place in places if place.verdict != "true"] == []
        assert (made.all_true, made.findings) == (True, ())

    def test_days_equal_the_lifecycle_api(self, workspace: Workspace, client: Any) -> None:
        """The days of the report are those of GetBucketLifecycleConfiguration, rule by rule."""
        outputs = workspace.outputs()
        live = {
            (bucket, rule["ID"]): rule["Expiration"]["Days"]
            for bucket in (outputs["contentBucket"], outputs["evidenceBucket"], outputs["accessLogBucket"])
            for rule in client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
            if "Days" in rule.get("Expiration", {})
        }
        declared = {
            (store["name"], store["rule"]): entry["keepDays"]
            for entry in outputs["declaration"]["classes"]
            for store in entry["stores"]
            if store["system"] == "s3"
        }
        assert declared
        assert live == declared

    def test_table_expires_by_itself(self, workspace: Workspace, client: Any) -> None:
        """The ledger's time to live is on, on the attribute that the handlers write."""
        table = workspace.outputs()["ledgerTable"]
        described = client("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


@pytest.fixture(scope="module")
def drift(stack: LocalStack) -> Result:
    """Change one thing in each of five services, and look."""
    client = verify.clients(stack.start_cloud().aws_environment()).__getitem__
    outputs = stack.workspace().outputs()
    s3, logs, twilio = client("s3"), client("logs"), twilio_client(stack)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=outputs["contentBucket"])["Rules"]
    next(rule for rule in rules if "Days" in rule.get("Expiration", {}))["Expiration"]["Days"] += 1
    s3.put_bucket_lifecycle_configuration(Bucket=outputs["contentBucket"], LifecycleConfiguration={"Rules": rules})
    logs.delete_retention_policy(logGroupName=logs.describe_log_groups()["logGroups"][0]["logGroupName"])
    client("dynamodb").update_time_to_live(
        TableName=outputs["ledgerTable"],
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    )
    client("kms").disable_key_rotation(KeyId=outputs["contentKeyArn"])
    service = twilio.proxy.v1.services(outputs["proxyServiceSids"][0])
    service.update(intercept_callback_url="https://example.com/somebody-elses")
    service.phone_numbers.list(limit=1)[0].delete()
    return stack.workspace().refresh(preview_only=True)


class TestDrift:
    """What someone changes behind the kit's back is seen by one refresh."""

    @pytest.mark.parametrize(
        ("resource_type", "path"),
        [
            ("aws:s3/bucketLifecycleConfiguration", "expiration.days"),
            ("aws:cloudwatch/logGroup", "retentionInDays"),
            ("aws:dynamodb/table", "ttl.enabled"),
            ("aws:kms/key", "enableKeyRotation"),
            ("parley:index:ProxyService", "interceptCallbackUrl"),
            ("parley:index:NumberPool", "adopt"),
        ],
    )
    def test_seen(self, drift: Result, resource_type: str, path: str) -> None:
        """Refresh names the property that is no longer as declared.

        An edited lifecycle rule, a log group that never expires, a ledger that no longer forgets, a key that no longer
        rotates, a webhook, a pool number.
        """
        seen = {p for step in drift.steps if step.type.startswith(resource_type) for p in step.diff}
        assert any(path in p for p in seen), [str(step) for step in drift.steps]

    def test_nothing_else_is_seen(self, drift: Result) -> None:
        """What the services answer of everything else is what was declared."""
        assert sorted(step.type for step in drift.steps) == [
            "aws:cloudwatch/logGroup:LogGroup",
            "aws:dynamodb/table:Table",
            "aws:kms/key:Key",
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            "parley:index:NumberPool",
            "parley:index:ProxyService",
        ]


class TestLock:
    """A compliance lock stays: nobody can lift it, so no deployment may pretend to."""

    def test_lock_that_nobody_can_lift_is_never_weakened(self, workspace: Workspace, client: Any) -> None:
        """With a compliance lock on the evidence, a preview and a deployment that would take it away are refused."""
        bucket = workspace.outputs()["evidenceBucket"]
        locked = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 2000}}
        client("s3").put_object_lock_configuration(
            Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": locked}
        )
        try:
            weakened = r"parley:records\.consent-evidence\.lock: is none.* 2000 days"
            with pytest.raises(EngineError, match=weakened):
                workspace.up(refresh=True)
            with pytest.raises(EngineError, match=weakened):
                workspace.preview()
            held = client("s3").get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]["Rule"]
            assert held["DefaultRetention"].items() >= locked["DefaultRetention"].items()
        finally:
            # What only a throw-away cloud lets anybody do.
            client("s3").put_object_lock_configuration(
                Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
            )


class TestMended:
    """What was changed behind the kit's back is put right by the next deployment."""

    def test_nothing_is_left_to_see(self, drift: Result, workspace: Workspace) -> None:
        """The next deployment puts all of it back, after one that was refused, too."""
        assert drift.steps
        workspace.up(refresh=True)
        after = workspace.refresh(preview_only=True)
        assert [str(step) for step in after.steps] == []


def twilio_client(stack: LocalStack) -> Client:
    """Give the official client of the emulated account."""
    info = stack.start_cloud()
    return connect(info.twilio_endpoint, info.twilio_account_sid, info.twilio_auth_token)


class TestState:
    """I8: nothing secret outside the places made for it."""

    def test_no_secret_in_state_or_outputs(self, stack: LocalStack, workspace: Workspace) -> None:
        """Neither the exported state, the outputs, nor any function's environment holds a Twilio credential."""
        info = stack.start_cloud()
        secrets = (info.twilio_auth_token, info.twilio_api_secret)
        functions = verify.clients(info.aws_environment())["lambda"].list_functions()["Functions"]
        haystacks = {
            "state": json.dumps(workspace.export()),
            "outputs": json.dumps(workspace.outputs()),
            "environments": json.dumps([f.get("Environment") for f in functions], default=str),
            "stack file": stack.home.stack_file.read_text(),
        }
        assert {name for name, text in haystacks.items() if any(s in text for s in secrets)} == set()

    def test_no_phone_number_in_state(self, workspace: Workspace) -> None:
        """The state knows pool numbers by SID only."""
        text = json.dumps(workspace.export())
        assert [n for n in ("12125550140", "12125550141", "447700900140") if n in text] == []
