"""DynamoDB streams that feed functions."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError

from local.lambda_.event_patterns import fault, passes
from tests.local.cloud_fixture import LOGS, Cloud, cloud

__all__ = ["cloud"]

READ = {
    "Effect": "Allow",
    "Action": [
        *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
        "sqs:SendMessage",
    ],
    "Resource": "*",
}
PICKY = """
import json
def handle(event, context):
    records = event["Records"]
    print("batch", json.dumps([record["dynamodb"]["NewImage"]["value"]["S"] for record in records]))
    values = {record["dynamodb"]["NewImage"]["value"]["S"]: record["dynamodb"]["SequenceNumber"] for record in records}
    if "crash" in values:
        raise ValueError("crash")
    return {"batchItemFailures": [{"itemIdentifier": values["poison"]}] if "poison" in values else []}
"""
DAY = 86_400


def table(cloud: Cloud, name: str) -> str:
    """Make a table with a stream; return the stream's ARN."""
    made = cloud.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])


def fed(cloud: Cloud, name: str, *, source: str = PICKY, **mapping: Any) -> str:
    """Make a table whose stream feeds a function, with a queue for what is given up; return the queue's URL."""
    arn = table(cloud, name)
    url = str(cloud.client("sqs").create_queue(QueueName=f"{name}-lost")["QueueUrl"])
    cloud.function(name, source, role=cloud.role(name, LOGS, READ))
    settings = {
        "StartingPosition": "TRIM_HORIZON",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:sqs:us-east-1:123456789012:{name}-lost"}},
        **mapping,
    }
    cloud.client("lambda").create_event_source_mapping(FunctionName=name, EventSourceArn=arn, **settings)
    return url


def write(cloud: Cloud, name: str, *values: str, prefix: str = "") -> None:
    """Write rows in one transaction, so that they are in the stream together, and wait until they were handed out."""
    puts = [
        {"Put": {"TableName": name, "Item": {"pk": {"S": "p"}, "sk": {"S": f"{prefix}{value}"}, "value": {"S": value}}}}
        for value in values
    ]
    cloud.client("dynamodb").transact_write_items(TransactItems=puts)
    assert cloud.running.settle()


def batches(cloud: Cloud, name: str) -> list[list[str]]:
    """Return what a function was given, batch by batch."""
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
    lines = cloud.log(f"/aws/lambda/{name}") if groups else []
    return [json.loads(line.removeprefix("batch ")) for line in lines if line.startswith("batch ")]


def given_up(cloud: Cloud, url: str) -> list[dict[str, Any]]:
    """Return what the on-failure destination was told."""
    messages = cloud.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in messages]


def test_rows_reach_the_function_in_order_as_dynamodb_tells_them(cloud: Cloud) -> None:
    """Each change is handed over once, in order, with its keys, its image and where it comes from."""
    fed(cloud, "plain", source="import json\ndef handle(e, c): print('event', json.dumps(e))")
    write(cloud, "plain", "a", "b")
    cloud.client("dynamodb").delete_item(TableName="plain", Key={"pk": {"S": "p"}, "sk": {"S": "a"}})
    assert cloud.running.settle()
    events = [line for line in cloud.log("/aws/lambda/plain") if line.startswith("event ")]
    records = [one for line in events for one in json.loads(line.removeprefix("event "))["Records"]]
    assert [record["eventName"] for record in records] == ["INSERT", "INSERT", "REMOVE"]
    first = records[0]
    assert (first["eventSource"], first["dynamodb"]["StreamViewType"]) == ("aws:dynamodb", "NEW_IMAGE")
    assert first["eventSourceARN"].startswith("arn:aws:dynamodb:us-east-1:123456789012:table/plain/stream/")
    assert first["dynamodb"]["NewImage"]["value"] == {"S": "a"}
    assert abs(first["dynamodb"]["ApproximateCreationDateTime"] - cloud.running.clock.now()) < 60
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in records]
    assert numbers == sorted(set(numbers))


def test_binary_value_is_handed_over_in_base64(cloud: Cloud) -> None:
    """Bytes that were written in a transaction reach the function as JSON has them."""
    fed(cloud, "bytes", source="def handle(e, c): print('blob', e['Records'][0]['dynamodb']['NewImage']['value']['B'])")
    item = {"pk": {"S": "p"}, "sk": {"S": "s"}, "value": {"B": b"\x00\xff"}}
    cloud.client("dynamodb").transact_write_items(TransactItems=[{"Put": {"TableName": "bytes", "Item": item}}])
    assert cloud.running.settle()
    assert "blob AP8=" in [line.strip() for line in cloud.log("/aws/lambda/bytes")]


def test_only_what_passes_the_filter_is_handed_over(cloud: Cloud) -> None:
    """A change that no filter lets through is passed over, and a function is not run for nothing."""
    pattern = json.dumps({"eventName": ["INSERT"], "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "EVENT#"}]}}}})
    fed(cloud, "filtered", FilterCriteria={"Filters": [{"Pattern": pattern}]})
    write(cloud, "filtered", "head", "state")
    assert batches(cloud, "filtered") == []
    write(cloud, "filtered", "a", "b", prefix="EVENT#")
    write(cloud, "filtered", "a", prefix="EVENT#")
    assert batches(cloud, "filtered") == [["a", "b"]]


def test_transaction_that_is_rolled_back_is_not_seen(cloud: Cloud) -> None:
    """What a refused transaction had written is in no batch."""
    fed(cloud, "rolled")
    write(cloud, "rolled", "a")
    item = {"pk": {"S": "p"}, "sk": {"S": "b"}, "value": {"S": "b"}}
    refused = {
        "TableName": "rolled",
        "Item": {**item, "sk": {"S": "a"}},
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    with pytest.raises(ClientError, match="TransactionCanceled"):
        cloud.client("dynamodb").transact_write_items(
            TransactItems=[{"Put": {"TableName": "rolled", "Item": item}}, {"Put": refused}]
        )
    write(cloud, "rolled", "c")
    assert batches(cloud, "rolled") == [["a"], ["c"]]


def test_failed_item_comes_again_with_all_behind_it(cloud: Cloud) -> None:
    """From the first failed record on the batch is retried on the clock, then given up as a whole, and told."""
    url = fed(cloud, "partial", MaximumRetryAttempts=2)
    write(cloud, "partial", "good", "poison", "behind")
    assert batches(cloud, "partial") == [["good", "poison", "behind"]]
    write(cloud, "partial", "later")
    assert len(batches(cloud, "partial")) == 1
    for _ in range(2):
        cloud.running.clock.advance(61)
    assert batches(cloud, "partial") == [
        ["good", "poison", "behind"],
        ["poison", "behind"],
        ["poison", "behind"],
        ["later"],
    ]
    (told,) = given_up(cloud, url)
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert (told["DDBStreamBatchInfo"]["batchSize"], told["requestContext"]["approximateInvokeCount"]) == (2, 3)
    assert "poison" not in json.dumps(told)


def test_batch_that_raises_is_cut_in_half(cloud: Cloud) -> None:
    """With BisectBatchOnFunctionError the good part of a batch that raises gets through; the bad is given up."""
    url = fed(cloud, "halved", BisectBatchOnFunctionError=True, MaximumRetryAttempts=0)
    write(cloud, "halved", "a", "b", "c", "crash", "d")
    assert [batch for batch in batches(cloud, "halved") if "crash" not in batch] == [["a", "b", "c"], ["d"]]
    (told,) = given_up(cloud, url)
    assert told["DDBStreamBatchInfo"]["batchSize"] == 1
    assert told["responseContext"]["functionError"] == "Unhandled"


def test_record_that_is_too_old_is_given_up(cloud: Cloud) -> None:
    """Past MaximumRecordAgeInSeconds a record is not tried again, and what is younger comes next."""
    url = fed(cloud, "aged", MaximumRecordAgeInSeconds=600)
    write(cloud, "aged", "poison")
    cloud.running.clock.advance(500)
    write(cloud, "aged", "young")
    cloud.running.clock.advance(150)
    assert cloud.running.settle()
    assert batches(cloud, "aged")[-1] == ["young"]
    (told,) = given_up(cloud, url)
    assert told["requestContext"]["condition"] == "RecordAgeExceeded"


def test_answer_that_cannot_be_read_fails_the_whole_batch(cloud: Cloud) -> None:
    """A failed item that is not of the batch, or an answer of another form, lets everything come again."""
    source = PICKY.replace('values["poison"]', '"nobody"').replace('if "poison" in values else []', "")
    fed(cloud, "garbled", source=source, MaximumRetryAttempts=1)
    write(cloud, "garbled", "a", "b")
    cloud.running.clock.advance(61)
    assert batches(cloud, "garbled") == [["a", "b"], ["a", "b"]]


def test_latest_begins_with_what_comes_next(cloud: Cloud) -> None:
    """A mapping that starts at LATEST hands over nothing of what was written before it; one from TRIM_HORIZON all."""
    arn = table(cloud, "begun")
    write(cloud, "begun", "before")
    for name, position in (("newest", "LATEST"), ("oldest", "TRIM_HORIZON")):
        cloud.function(name, PICKY, role=cloud.role(name, LOGS, READ))
        cloud.client("lambda").create_event_source_mapping(
            FunctionName=name, EventSourceArn=arn, StartingPosition=position
        )
        assert cloud.running.settle()
    write(cloud, "begun", "after")
    assert (batches(cloud, "newest"), batches(cloud, "oldest")) == ([["after"]], [["before"], ["after"]])


def test_stream_forgets_after_a_day(cloud: Cloud) -> None:
    """What nobody has read within 24 hours is gone, and what comes later is still handed over."""
    fed(cloud, "forgetful", Enabled=False)
    write(cloud, "forgetful", "lost")
    cloud.running.clock.advance(DAY + 1)
    write(cloud, "forgetful", "found")
    lambdas = cloud.client("lambda")
    (mapping,) = lambdas.list_event_source_mappings(FunctionName="forgetful")["EventSourceMappings"]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    assert cloud.running.settle()
    assert batches(cloud, "forgetful") == [["found"]]


def test_mapping_follows_an_alias(cloud: Cloud) -> None:
    """A mapping of an alias says so, and feeds whatever version the alias points at."""
    arn, lambdas = table(cloud, "aliased"), cloud.client("lambda")
    function = cloud.function("aliased", PICKY, role=cloud.role("aliased", LOGS, READ), Publish=True)
    alias = lambdas.create_alias(FunctionName="aliased", Name="live", FunctionVersion="1")["AliasArn"]
    made = lambdas.create_event_source_mapping(FunctionName=alias, EventSourceArn=arn, StartingPosition="TRIM_HORIZON")
    assert made["FunctionArn"] == f"{function.removesuffix(':1')}:live"
    write(cloud, "aliased", "a")
    assert batches(cloud, "aliased") == [["a"]]


def test_role_has_to_be_allowed_to_read_the_stream(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """Lambda refuses a mapping whose role cannot read the stream, and stops feeding once it no longer can."""
    arn = table(cloud, "barred")
    cloud.function("barred", PICKY)
    with pytest.raises(ClientError, match="Cannot access stream"):
        cloud.client("lambda").create_event_source_mapping(
            FunctionName="barred", EventSourceArn=arn, StartingPosition="LATEST"
        )
    fed(cloud, "bereft")
    cloud.client("iam").delete_role_policy(RoleName="bereft", PolicyName="given")
    write(cloud, "bereft", "a")
    assert "bereft cannot be fed: its role may not dynamodb:GetRecords" in caplog.text


def test_function_that_is_gone_is_not_fed(cloud: Cloud) -> None:
    """A mapping whose function was deleted hands out nothing, and fails nothing."""
    fed(cloud, "orphan")
    cloud.client("lambda").delete_function(FunctionName="orphan")
    write(cloud, "orphan", "a")
    assert batches(cloud, "orphan") == []


class TestPatterns:
    """Filters of "Event filtering in Lambda"."""

    RECORD: ClassVar[dict[str, Any]] = {
        "eventName": "INSERT",
        "dynamodb": {"Keys": {"sk": {"S": "EVENT#1"}}, "SizeBytes": 5},
    }

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ({"eventName": ["INSERT", "MODIFY"]}, True),
            ({"eventName": ["REMOVE"]}, False),
            ({"dynamodb": {"Keys": {"sk": {"S": [{"prefix": "EVENT#"}]}}}}, True),
            ({"dynamodb": {"Keys": {"sk": {"S": [{"suffix": "#2"}]}}}}, False),
            ({"dynamodb": {"OldImage": [{"exists": False}]}}, True),
            ({"dynamodb": {"Keys": [{"exists": False}]}}, False),
            ({"eventName": [{"anything-but": ["REMOVE"]}]}, True),
            ({"eventName": [{"anything-but": "INSERT"}]}, False),
            ({"dynamodb": {"SizeBytes": [5]}}, True),
            ({"dynamodb": {"SizeBytes": ["5"]}}, False),
            ({"dynamodb": {"NewImage": {"a": {"S": ["x"]}}}}, False),
        ],
        ids=str,
    )
    def test_matches(self, pattern: dict[str, Any], expected: bool) -> None:
        """Values are alternatives, members are all asked for, and rules are carried out."""
        assert passes({"Filters": [{"Pattern": json.dumps(pattern)}]}, self.RECORD) is expected

    def test_filters_are_alternatives(self) -> None:
        """One filter that lets a record through is enough, and none at all lets everything through."""
        one, other = {"Pattern": '{"eventName": ["REMOVE"]}'}, {"Pattern": '{"eventName": ["INSERT"]}'}
        assert passes({"Filters": [one, other]}, self.RECORD)
        assert not passes({"Filters": [one]}, self.RECORD)
        assert passes(None, self.RECORD)

    @pytest.mark.parametrize("pattern", ["{", "[]", '{"a": "b"}', '{"a": []}', '{"a": {"b": [{"numeric": [">", 0]}]}}'])
    def test_pattern_that_is_not_carried_out_is_refused(self, cloud: Cloud, pattern: str) -> None:
        """A pattern that is none, or has a rule that is not carried out, is an error when the mapping is made."""
        assert fault({"Filters": [{"Pattern": pattern}]})
        name = f"pattern-{abs(hash(pattern)) % 10**8}"
        with pytest.raises(ClientError, match="Invalid filter pattern"):
            fed(cloud, name, FilterCriteria={"Filters": [{"Pattern": pattern}]})
