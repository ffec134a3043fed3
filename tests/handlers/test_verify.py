"""The daily check: it reads what was declared, tells every difference, and fails loudly."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from parley import runtime
from parley.adapters.live_aws import SERVICES
from parley.clock import RESERVE_SECONDS, seconds_left
from parley.core.retention import CURRENT_DECLARATION
from parley.core.verification import OLDEST, digests
from parley.handlers import verify
from parley.inspection import DeclarationError

from local.twilio.numbers import number_sid
from tests.handlers.world import ANA, BEN, DAY, GATE, POOL, TABLE, World, aws, lines

pytestmark = pytest.mark.moto

BUCKET = "evidence"
LIMITS = {"current version": 30, "noncurrent version": 45, "delete marker": 60, "incomplete upload": 16}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "DenyAll", "Effect": "Deny", "Principal": "*", "Action": "s3:Nothing", "Resource": "*"}],
}


class Context:
    """Lambda's context, of a run with so many seconds left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return int(self._seconds * 1000)


def resources(world: World) -> list[dict[str, Any]]:
    """Return what must hold in this world: a bucket, the table, an alarm and the line, as they are made here."""
    rule = {"status": "Enabled", "prefix": "messages/", "expirationDays": 30}
    rule |= {"noncurrentDays": None, "deleteMarkers": False, "abortDays": None}
    declarations = {**rule, "prefix": "declarations/", "expirationDays": None, "noncurrentDays": 30}
    return [
        {
            "system": "s3",
            "name": BUCKET,
            "expected": {
                "lifecycle": {"messages": rule, "declarations": declarations},
                "versioning": "Enabled",
                "policy": digests(POLICY),
                "objectLock": {"enabled": False, "mode": None, "days": None},
                "replication": [],
                "inventories": [],
                "outside": 0,
                OLDEST: {"messages": LIMITS},
            },
        },
        {
            "system": "dynamodb",
            "name": TABLE,
            "expected": {
                "timeToLive": {"status": "ENABLED", "attribute": "expires_at"},
                "replicas": [],
                "backups": 0,
                OLDEST: {"rows over their time to live": 7},
            },
        },
        {
            "system": "twilio",
            "name": world.service_sid,
            "expected": {
                "interceptCallbackUrl": f"{GATE}/twilio/intercept",
                "chatInstanceSid": None,
                "numbers": {number_sid(number): "in the pool" for number in POOL},
                "accountRecording": "off",
                OLDEST: dict.fromkeys(("call-recordings", "messages", "interaction-log", "session-map"), 14),
            },
        },
    ]


@pytest.fixture
def stack(world: World) -> World:
    """Give a gate whose bucket, table and line are as its declaration says, with the declaration in its bucket."""
    s3, clients = aws("s3"), {service: aws(service) for service in SERVICES}
    world.patch.setattr(runtime, "inspection_clients", functools.cache(lambda: clients))
    world.patch.setenv("PARLEY_EVIDENCE_BUCKET", BUCKET)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(POLICY))
    rules = [
        {"ID": "messages", "Filter": {"Prefix": "messages/"}, "Expiration": {"Days": 30}},
        {
            "ID": "declarations",
            "Filter": {"Prefix": "declarations/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
        },
    ]
    enabled = [{**rule, "Status": "Enabled"} for rule in rules]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": enabled})
    lives = {"Enabled": True, "AttributeName": "expires_at"}
    world.dynamodb.update_time_to_live(TableName=TABLE, TimeToLiveSpecification=lives)
    declare(resources(world))
    return world


def declare(found: list[dict[str, Any]], **changes: Any) -> None:
    """Put a declaration where the function looks."""
    text = json.dumps({"version": 1, "stack": "test", "resources": found, **changes})
    aws("s3").put_object(Bucket=BUCKET, Key=CURRENT_DECLARATION, Body=text.encode())


def failing(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Run the check, which must fail, and return its log without the metrics."""
    capsys.readouterr()
    with pytest.raises(verify.VerificationError):
        verify.handle({}, None)
    return [line for line in lines(capsys) if "_aws" not in line]


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one line of a log."""
    (line,) = found
    return line


class TestTrue:
    """A stack that is as declared."""

    def test_all_is_counted(self, stack: World) -> None:
        """The run answers how much it checked, with nothing that differs."""
        done = verify.handle({}, Context(300))
        assert (done["Differences"], done["CannotTell"]) == (0, 0)
        assert done["Checked"] > 20

    def test_metrics(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """The counts are one line in CloudWatch's embedded metric format, by stack."""
        done = verify.handle({}, None)
        written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        line = only([each for each in written if "_aws" in each])
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == ("Parley", [["Stack"]])
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert {name: line[name] for name in names} == done
        assert line["Stack"] == "test"

    def test_young_traffic_is_no_finding(self, stack: World) -> None:
        """Sessions, texts and rows of today are within their time."""
        stack.conversation()
        stack.text(ANA, POOL[0], "hello")
        assert verify.handle({}, None)["Differences"] == 0


class TestDifferences:
    """Each difference is a line."""

    def test_rule(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A changed rule is told with its class, both values and the way out."""
        found = resources(stack)
        found[0]["expected"]["lifecycle"]["messages"]["expirationDays"] = 7
        declare(found)
        line = only(failing(capsys))
        assert (line["event"], line["level"]) == ("differs", "ERROR")
        assert (line["property"], line["declared"], line["live"]) == ("lifecycle.messages.expirationDays", 7, 30)
        assert line["record_class"] == "messages"
        assert "pulumi up --refresh" in line["fix"]

    def test_replica(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A bucket that is replicated differs, since no bound counts the copies."""
        s3 = aws("s3")
        s3.create_bucket(Bucket="elsewhere")
        s3.put_bucket_versioning(Bucket="elsewhere", VersioningConfiguration={"Status": "Enabled"})
        rule = {"ID": "r", "Status": "Enabled", "Prefix": "", "Destination": {"Bucket": "arn:aws:s3:::elsewhere"}}
        s3.put_bucket_replication(
            Bucket=BUCKET,
            ReplicationConfiguration={"Role": "arn:aws:iam::123456789012:role/r", "Rules": [rule]},
        )
        line = only(failing(capsys))
        assert line["property"] == "replication"
        assert "delete-bucket-replication" in line["fix"]

    def test_inventory(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A bucket whose keys are listed somewhere differs."""
        listing = {
            "Id": "all",
            "IsEnabled": True,
            "IncludedObjectVersions": "All",
            "Schedule": {"Frequency": "Daily"},
            "Destination": {"S3BucketDestination": {"Bucket": "arn:aws:s3:::lists", "Format": "CSV"}},
        }
        aws("s3").put_bucket_inventory_configuration(Bucket=BUCKET, Id="all", InventoryConfiguration=listing)
        line = only(failing(capsys))
        assert (line["property"], json.loads(line["live"])) == ("inventories", ["all"])

    def test_backup(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A backup on demand differs: it keeps what was erased."""
        stack.dynamodb.create_backup(TableName=TABLE, BackupName="just-in-case")
        assert only(failing(capsys))["property"] == "backups"

    def test_object_under_no_class(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """What lies under no declared class is counted, and its key is in no line."""
        aws("s3").put_object(Bucket=BUCKET, Key="party-4253ac84/x", Body=b"")
        line = only(failing(capsys))
        assert (line["property"], line["live"]) == ("outside", 1)
        assert "4253ac84" not in json.dumps(line)

    def test_webhook(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A webhook that points elsewhere differs."""
        service = stack.twilio.proxy.v1.services(stack.service_sid)
        service.update(intercept_callback_url="https://example.com/somebody-elses")
        line = only(failing(capsys))
        assert (line["system"], line["property"]) == ("twilio", "interceptCallbackUrl")

    def test_pool(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A number that left the pool is named by its SID only."""
        stack.twilio.proxy.v1.services(stack.service_sid).phone_numbers(number_sid(POOL[0])).delete()
        line = only(failing(capsys))
        assert (line["property"], line["verdict"]) == (f"numbers.{number_sid(POOL[0])}", "absent")

    def test_bucket_that_is_gone(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A resource that is not there at all is one line."""
        found = resources(stack)
        found[0]["name"] = "deleted-bucket"
        declare(found)
        assert only(failing(capsys))["property"] == "exists"


class TestAges:
    """What is older than it may be."""

    def test_object(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A version past its path of the bound is told by class, age and count, without its key."""
        aws("s3").put_object(Bucket=BUCKET, Key="messages/party-4253ac84", Body=b"")
        later = datetime.now(UTC) + timedelta(days=31)
        stack.patch.setattr(runtime, "clock", functools.cache(lambda: At(later)))
        line = only([each for each in failing(capsys) if each["system"] == "s3"])
        assert line["property"] == "oldest.messages.current version"
        assert json.loads(line["live"]) == {"days": 31, "over": 1}
        assert "4253ac84" not in json.dumps(line)

    def test_row(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A row that DynamoDB did not remove within the assumed lag is told by age and count, without its keys."""
        expired = int(stack.clock.now()) - 8 * DAY
        row = {"pk": {"S": "party-4253ac84"}, "sk": {"S": "x"}, "expires_at": {"N": str(expired)}}
        stack.dynamodb.put_item(TableName=TABLE, Item=row)
        line = only(failing(capsys))
        assert (line["system"], json.loads(line["live"])) == ("dynamodb", {"days": 8, "over": 1})
        assert "4253ac84" not in json.dumps(line)

    def test_copies_at_twilio(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """Closed sessions, interactions and texts past their time are named by SID, and by no number or body."""
        opened = stack.conversation()
        stack.text(ANA, POOL[0], "nobody may read this")
        stack.twilio.proxy.v1.services(stack.service_sid).sessions(opened["session"]).update(status="closed")
        stack.clock.advance(15 * DAY)
        found = {each["property"]: each for each in failing(capsys) if each["system"] == "twilio"}
        assert set(found) == {"oldest.messages", "oldest.interaction-log", "oldest.session-map"}
        assert json.loads(found["oldest.session-map"]["live"])["sid"] == opened["session"]
        text = json.dumps(list(found.values()))
        assert not any(secret in text for secret in ("nobody may read", ANA, BEN, *POOL))

    def test_other_texts_of_the_account(self, stack: World) -> None:
        """Texts of the account that never touched the pool are none of this stack's."""
        own = next(n for n in stack.emulator.carrier.state.numbers.values() if n.phone_number not in POOL)
        stack.twilio.messages.create(to=ANA, from_=own.phone_number, body="another matter")
        stack.clock.advance(15 * DAY)
        assert verify.handle({}, None)["Differences"] == 0


class At:
    """A clock that stands still."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        """Return the moment."""
        return self._moment


class TestUnread:
    """What cannot be read."""

    def test_service_that_refuses(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """What is refused cannot be told, with the code and what to allow; the rest is checked all the same."""
        refusing = Refusing(aws("s3"))
        clients = {service: aws(service) for service in SERVICES} | {"s3": refusing}
        stack.patch.setattr(runtime, "inspection_clients", functools.cache(lambda: clients))
        line = only(failing(capsys))
        assert (line["event"], line["level"], line["property"]) == ("cannot-tell", "WARNING", "versioning")
        assert line["live"] == "s3 GetBucketVersioning: AccessDenied"
        assert "s3 GetBucketVersioning" in line["fix"]

    def test_twilio_down(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """When Twilio does not answer, everything there cannot be told, and nothing of it is true."""
        stack.emulator.faults.add({"on": "rest", "mode": "error", "status": 503})
        found = failing(capsys)
        assert {(each["system"], each["event"]) for each in found} == {("twilio", "cannot-tell")}
        assert len(found) > 6

    def test_no_time(self, stack: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A run that has hardly any time tells that it could not tell, instead of being cut off."""
        stack.patch.setattr(verify, "seconds_left", lambda _context: 0.0)
        assert {each["event"] for each in failing(capsys)} == {"cannot-tell"}

    def test_reserve(self) -> None:
        """The reads stop well before the run would be cut off."""
        assert seconds_left(Context(300)) == 300 - RESERVE_SECONDS


class Refusing:
    """A client whose GetBucketVersioning is refused."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, operation: str) -> Any:
        return getattr(self._client, operation)

    def get_bucket_versioning(self, **_arguments: Any) -> Mapping[str, Any]:
        """Refuse."""
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "GetBucketVersioning")


class TestDeclaration:
    """The declaration itself."""

    def test_missing(self, stack: World) -> None:
        """Without a declaration there is nothing to check, and the run fails."""
        aws("s3").delete_object(Bucket=BUCKET, Key=CURRENT_DECLARATION)
        with pytest.raises(ClientError, match="NoSuchKey"):
            verify.handle({}, None)

    @pytest.mark.parametrize(
        ("change", "said"), [({"version": 2}, "another version"), ({"resources": []}, "deploy it again")]
    )
    def test_of_another_form(self, stack: World, change: dict[str, Any], said: str) -> None:
        """A declaration of another version, or one that says of nothing what must hold, is refused with the way out."""
        declare(resources(stack), **change)
        with pytest.raises(DeclarationError, match=said):
            verify.handle({}, None)

    def test_bucket_not_named(self, stack: World) -> None:
        """A function that was not told where the declaration is says so."""
        stack.patch.delenv("PARLEY_EVIDENCE_BUCKET")
        with pytest.raises(DeclarationError, match="PARLEY_EVIDENCE_BUCKET"):
            verify.handle({}, None)
