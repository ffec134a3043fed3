"""The reviewer's report: declared against live, and what it says when it cannot look."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from cli import report
from cli.errors import CANNOT_TELL, UserError
from infra.gate import LIVE

KEY = "arn:aws:kms:us-east-1:123456789012:key/0f0f0f0f-0000-4000-8000-000000000001"
BUCKET, TABLE, GROUP = "content", "ledger", "/aws/lambda/intercept"


def entry(name: str, store: dict[str, Any], days: int = 30) -> dict[str, Any]:
    """Make one entry of a declaration."""
    return {
        "class": name,
        "purposes": ["safety"],
        "basis": "consent",
        "why": "dispute window",
        "keepDays": days,
        "twilioCopyDays": 0,
        "lock": "none",
        "hold": True,
        "stores": [{"days": days, "key": KEY, **store}],
        "bound": {
            "days": days + 50.0,
            "paths": [
                {
                    "copy": "version",
                    "days": days + 2.0,
                    "content": True,
                    "terms": [{"what": "all", "days": days + 2.0}],
                },
                {
                    "copy": "log line",
                    "days": days + 50.0,
                    "content": False,
                    "terms": [{"what": "expires", "days": float(days)}, {"what": "S3 acts late", "days": 50.0}],
                },
            ],
        },
    }


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Give clients of an account that holds a bucket, a table, a log group, a queue and a function as declared."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        sse = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
        s3.put_bucket_encryption(
            Bucket=BUCKET,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": sse}]},
        )
        put_rules(s3)
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY},
        )
        dynamodb.update_time_to_live(
            TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )
        logs = boto3.client("logs")
        logs.create_log_group(logGroupName=GROUP, kmsKeyId=KEY)
        logs.put_retention_policy(logGroupName=GROUP, retentionInDays=30)
        make: Any = boto3.client  # the stubs know no service by a computed name
        yield make


def put_rules(s3: Any, *, remnants: dict[str, Any] | None = None, **change: Any) -> None:
    """Write the two lifecycle rules of the bucket as declared, each with its changes; None takes a property away."""
    own = {
        "ID": "call-recordings",
        "Status": "Enabled",
        "Filter": {"Prefix": "call-recordings/"},
        "Expiration": {"Days": 30},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }
    rest = {
        "ID": "remnants",
        "Status": "Enabled",
        "Filter": {},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    rules = [
        {name: value for name, value in rule.items() if value is not None}
        for rule in (own | change, rest | (remnants or {}))
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})


class WrittenDays:
    """A Lambda client whose functions carry these TTL days."""

    def __init__(self, *days: dict[str, int]) -> None:
        self.days = list(days)

    def get_function_configuration(self, *, FunctionName: str, Qualifier: str) -> dict[str, Any]:  # noqa: N803 - boto3's
        """Answer with the environment of the function of that number, as the alias that takes traffic has it."""
        assert Qualifier == LIVE
        return {"Environment": {"Variables": {"PARLEY_KEEP_DAYS": json.dumps(self.days[int(FunctionName)])}}}


S3_STORE = {
    "system": "s3",
    "name": BUCKET,
    "rule": "call-recordings",
    "prefix": "call-recordings/",
    "noncurrentDays": 1,
    "versioning": "Enabled",
    "remnants": {"rule": "remnants", "prefix": "", "deleteMarkers": True, "abortDays": 1},
}
TABLE_STORE = {"system": "dynamodb", "name": TABLE, "rule": "expires_at"}


def look(client: Callable[[str], Any], store: dict[str, Any], days: float = 30, **change: Any) -> report.Live:
    """Look one store up."""
    return report.LiveStores(client, []).look_up({"days": days, "key": KEY, **store, **change}, "call-recordings")


class TestLiveStores:
    """What the running services answer."""

    def test_lifecycle_rule_as_declared_is_live(self, client: Callable[[str], Any]) -> None:
        """A rule of the declared id, days and key is live, with the days that S3 answered."""
        assert look(client, S3_STORE) == report.Live("live", 30, KEY)

    def test_edited_days_differ(self, client: Callable[[str], Any]) -> None:
        """A rule with other days is a finding that names both numbers."""
        put_rules(client("s3"), Expiration={"Days": 3650})
        live = look(client, S3_STORE)
        assert (live.verdict, live.days, live.note) == ("differs", 3650, "3650 days live, 30 declared")

    def test_disabled_rule_is_absent(self, client: Callable[[str], Any]) -> None:
        """A rule that is there but disabled enforces nothing."""
        put_rules(client("s3"), Status="Disabled")
        assert look(client, S3_STORE).verdict == "absent"

    def test_missing_bucket_is_absent(self, client: Callable[[str], Any]) -> None:
        """A bucket that is gone is a finding, not a failure of the report."""
        live = look(client, S3_STORE, name="no-such-bucket")
        assert (live.verdict, live.note) == ("absent", "NoSuchBucket")

    def test_other_key_differs(self, client: Callable[[str], Any]) -> None:
        """The right days under the wrong key are a finding that names both keys."""
        other = KEY[:-1] + "2"
        live = look(client, S3_STORE, key=other)
        assert (live.verdict, live.note) == ("differs", f"key: {KEY} live, {other} declared")

    @pytest.mark.parametrize(
        ("change", "note"),
        [
            ({"Filter": {"Prefix": "nowhere/"}}, "prefix: nowhere/ live, call-recordings/ declared"),
            (
                {"Filter": {"Tag": {"Key": "k", "Value": "v"}}},
                'prefix: {"Tag": {"Key": "k", "Value": "v"}} live, call-recordings/ declared',
            ),
            ({"NoncurrentVersionExpiration": None}, "noncurrent days: none live, 1 declared"),
            ({"NoncurrentVersionExpiration": {"NoncurrentDays": 3650}}, "noncurrent days: 3650 live, 1 declared"),
        ],
    )
    def test_edited_rule_differs(self, client: Callable[[str], Any], change: dict[str, Any], note: str) -> None:
        """A rule that keeps its id and its days, but no longer empties the bucket, is a finding by name."""
        put_rules(client("s3"), **change)
        assert look(client, S3_STORE) == report.Live("differs", 30, KEY, note)

    def test_spared_versions_differ(self, client: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """A rule that always keeps some newest noncurrent versions never empties the bucket."""
        s3 = client("s3")
        answer = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)
        # Moto does not carry this property.
        answer["Rules"][0]["NoncurrentVersionExpiration"]["NewerNoncurrentVersions"] = 5
        monkeypatch.setattr(s3, "get_bucket_lifecycle_configuration", lambda **_: answer)
        live = look(lambda _: s3, S3_STORE)
        assert (live.verdict, live.note) == ("differs", "noncurrent versions spared: 5 live, 0 declared")

    @pytest.mark.parametrize(
        ("change", "note"),
        [
            ({"ID": "renamed"}, "rule remnants: absent or disabled live, Enabled declared"),
            ({"Status": "Disabled"}, "rule remnants: absent or disabled live, Enabled declared"),
            ({"Filter": {"Prefix": "nowhere/"}}, "prefix of remnants: nowhere/ live, none declared"),
            ({"Expiration": None}, "delete markers removed: no live, yes declared"),
            ({"AbortIncompleteMultipartUpload": None}, "days until uploads are aborted: none live, 1 declared"),
            (
                {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 365}},
                "days until uploads are aborted: 365 live, 1 declared",
            ),
        ],
    )
    def test_edited_remnants_differ(self, client: Callable[[str], Any], change: dict[str, Any], note: str) -> None:
        """Delete markers and abandoned uploads that nothing removes any more are a finding for every class there."""
        put_rules(client("s3"), remnants=change)
        assert look(client, S3_STORE) == report.Live("differs", 30, KEY, note)

    def test_suspended_versioning_differs(self, client: Callable[[str], Any]) -> None:
        """A bucket that makes no versions any more is not the declared one."""
        client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
        assert look(client, S3_STORE).note == "versioning: Suspended live, Enabled declared"
        assert look(client, S3_STORE).verdict == "differs"

    def test_every_difference_is_named(self, client: Callable[[str], Any]) -> None:
        """One finding does not hide another; a declaration from an export, whose numbers are floats, reads the same."""
        assert look(client, S3_STORE, days=30.0, noncurrentDays=1.0).verdict == "live"
        put_rules(client("s3"), Expiration={"Days": 31}, NoncurrentVersionExpiration={"NoncurrentDays": 2})
        live = look(client, S3_STORE, days=30.0, noncurrentDays=1.0)
        assert live.note == "31 days live, 30 declared; noncurrent days: 2 live, 1 declared"

    @pytest.mark.parametrize("missing", sorted(report.BUCKET_PROPERTIES))
    def test_older_declaration_cannot_tell(self, client: Callable[[str], Any], missing: str) -> None:
        """A stack whose declaration lacks a part of the rule is never live, and what it does declare is still held."""
        older = {key: value for key, value in S3_STORE.items() if key != missing}
        live = look(client, older)
        assert (live.verdict, "deploy it again" in live.note) == ("cannot tell", True)
        assert look(client, older, days=31).verdict == "differs"

    def test_log_group_days(self, client: Callable[[str], Any]) -> None:
        """A log group answers with its retention; one that never expires is absent."""
        store = {"system": "logs", "name": GROUP, "rule": "retentionInDays"}
        assert look(client, store).verdict == "live"
        client("logs").delete_retention_policy(logGroupName=GROUP)
        assert look(client, store) == report.Live("absent", note="kept without limit")
        assert look(client, store, name="/aws/lambda/other").verdict == "absent"

    def test_queue_days(self, client: Callable[[str], Any]) -> None:
        """A queue answers in seconds; anything but whole declared days is a finding."""
        sqs = client("sqs")
        url = sqs.create_queue(
            QueueName="dead", Attributes={"MessageRetentionPeriod": "1209600", "KmsMasterKeyId": KEY}
        )["QueueUrl"]
        store = {"system": "sqs", "name": url, "rule": "messageRetentionPeriod"}
        assert look(client, store, days=14).verdict == "live"
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "1209599"})
        assert look(client, store, days=14).verdict == "differs"

    def test_table_days_are_those_that_functions_write(self, client: Callable[[str], Any]) -> None:
        """Time to live needs the attribute switched on and every function writing the same declared days."""

        def with_functions(*days: dict[str, int]) -> report.Live:
            written = WrittenDays(*days)
            stores = report.LiveStores(
                lambda service: written if service == "lambda" else client(service), [str(i) for i in range(len(days))]
            )
            return stores.look_up({"days": 30, "key": KEY, **TABLE_STORE}, "session-map")

        assert report.TRAFFIC_ALIAS == LIVE
        assert with_functions({"session-map": 30}, {"session-map": 30}).verdict == "live"
        assert with_functions({"session-map": 30}, {"session-map": 31}).note == "functions disagree"
        assert with_functions({}).note == "no function writes this class"
        client("dynamodb").update_time_to_live(
            TableName=TABLE, TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"}
        )
        assert with_functions({"session-map": 30}).verdict == "absent"

    def test_unreachable_service_cannot_tell(self) -> None:
        """A service that does not answer gives "cannot tell", never "live"."""

        class Down:
            def get_bucket_lifecycle_configuration(self, **_: Any) -> Any:
                raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

        live = report.LiveStores(lambda _: Down(), []).look_up({**S3_STORE, "days": 30}, "call-recordings")
        assert (live.verdict, live.note) == ("cannot tell", "EndpointConnectionError")

    def test_unknown_system_is_not_asked(self) -> None:
        """A store that nothing here can ask is said to be so."""
        live = report.LiveStores(lambda _: None, []).look_up({"system": "twilio", "name": "x", "days": 1}, "messages")
        assert live.verdict == "not asked"


class TestReport:
    """The report as a whole."""

    outputs: dict[str, Any] = {  # noqa: RUF012 - read only
        "environment": "local",
        "masking": "proxy",
        "declaration": [entry("call-recordings", S3_STORE), entry("session-map", TABLE_STORE)],
    }

    def test_without_stores_nothing_is_live(self) -> None:
        """A report from an export alone asks nothing and claims nothing."""
        made = report.build("prod", self.outputs, None)
        assert [row.live.verdict for row in made.rows] == ["not asked", "not asked"]
        assert not made.all_live

    def test_markdown_holds_every_column(self) -> None:
        """Each row shows class, purpose, days, store, rule and key, and a bar in a text does not break the table."""
        self_made = {**self.outputs, "declaration": [{**self.outputs["declaration"][0], "purposes": ["a|b"]}]}
        text = report.to_markdown(report.build("prod", self_made, None))
        row = next(line for line in text.splitlines() if line.startswith("| call-recordings"))
        assert r"a\|b" in row
        assert f"| 30 | 80 | s3: `{BUCKET}` | `call-recordings` | `{KEY}` | not asked |" in row

    def test_markdown_adds_up_when_the_last_copy_is_gone(self) -> None:
        """Below the table each class has its longest path with every term, and the days of the record itself."""
        text = report.to_markdown(report.build("prod", self.outputs, None))
        lines = text.splitlines()
        assert (
            "- **call-recordings**: 80 days, by its log line: expires 30 + S3 acts late 50. "
            "The record itself is gone after 32 days. A legal hold suspends this."
        ) in lines
        assert sum(line.startswith("- **") for line in lines) == 2
        assert text.endswith("\n")

    def test_markdown_without_a_name_that_outlives_the_record(self) -> None:
        """Where the record itself goes last, and no hold may be placed, nothing is said of either."""
        declared = entry("dead-letters", S3_STORE) | {"hold": False}
        declared["bound"] = {"days": 32, "paths": declared["bound"]["paths"][:1]}
        text = report.to_markdown(report.build("prod", {"declaration": [declared]}, None))
        assert "- **dead-letters**: 32 days, by its version: all 32." in text.splitlines()

    def test_stack_from_before_the_bound_still_reports(self) -> None:
        """A declaration that was deployed before it had bounds says so in the table, and has no list of them."""
        older = {key: value for key, value in entry("messages", S3_STORE).items() if key != "bound"}
        text = report.to_markdown(report.build("prod", {"declaration": [older]}, None))
        assert "| 30 | not declared | s3:" in text
        assert "When the last copy is gone" not in text

    def test_json_reads_back(self) -> None:
        """The JSON form carries the same rows for scripts."""
        made = json.loads(report.to_json(report.build("prod", self.outputs, None)))
        assert made["all_live"] is False
        assert [row["record_class"] for row in made["rows"]] == ["call-recordings", "session-map"]
        assert [(bound["record_class"], bound["days"]) for bound in made["bounds"]] == [
            ("call-recordings", 80),
            ("session-map", 80),
        ]

    def test_stack_without_declaration_says_the_way_out(self) -> None:
        """A stack that was never deployed is told apart from one that keeps nothing."""
        with pytest.raises(UserError, match="not deployed yet; deploy it first") as caught:
            report.build("prod", {}, None)
        assert caught.value.exit_code == CANNOT_TELL
