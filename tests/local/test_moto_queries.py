"""Queries of the local cloud's DynamoDB: what moto answers, without its search through the whole table."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from local.aws import dynamodb_query
from local.aws.mends import Mends
from tests.mocked_aws import mock_boto3

NAME = "ledger"
QUERIES: tuple[dict[str, Any], ...] = (
    {"KeyConditionExpression": "pk = :pk"},
    {"KeyConditionExpression": "pk = :pk", "ScanIndexForward": False, "Limit": 3},
    {"KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)"},
    {"KeyConditionExpression": "pk = :pk AND sk BETWEEN :prefix AND :end"},
    {"KeyConditionExpression": "pk = :pk", "FilterExpression": "open_shard = :shard"},
    {"IndexName": "by-shard", "KeyConditionExpression": "open_shard = :shard"},
    {"IndexName": "by-shard", "KeyConditionExpression": "open_shard = :shard AND pk = :pk"},
    {"IndexName": "by-shard", "KeyConditionExpression": "open_shard = :shard AND begins_with(pk, :letter)", "Limit": 2},
)
VALUES = {":pk": "p1", ":prefix": "1", ":end": "3", ":shard": "s0", ":other": "p9", ":letter": "p"}


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    """Give a table with an index and two hundred items, of which some are in no shard."""
    choices = random.Random(7)
    with mock_boto3():
        client = boto3.client(
            "dynamodb", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        client.create_table(
            TableName=NAME,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "open_shard")],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-shard",
                    "KeySchema": [
                        {"AttributeName": "open_shard", "KeyType": "HASH"},
                        {"AttributeName": "pk", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        for number in range(200):
            item = {"pk": {"S": f"p{choices.randrange(8)}"}, "sk": {"S": str(number)}}
            if choices.random() < 0.5:
                item["open_shard"] = {"S": f"s{choices.randrange(3)}"}
            client.put_item(TableName=NAME, Item=item)
        yield client


@contextmanager
def mended() -> Iterator[None]:
    """Query as the local cloud does."""
    mends = Mends()
    dynamodb_query.install(mends)
    try:
        yield
    finally:
        mends.undo()


def pages(client: Any, query: dict[str, Any], **more: Any) -> list[Any]:
    """Return everything that a query tells, page by page."""
    named = " ".join(str(value) for value in query.values())
    values = {name: {"S": value} for name, value in VALUES.items() if name in named}
    found: list[Any] = []
    position: dict[str, Any] = {}
    while True:
        answer = client.query(TableName=NAME, ExpressionAttributeValues=values, **query, **more, **position)
        found.append((answer["Items"], answer["Count"], answer["ScannedCount"], answer.get("LastEvaluatedKey")))
        if "LastEvaluatedKey" not in answer:
            return found
        position = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: " ".join(map(str, query.values())))
def test_answers_are_motos(dynamodb: Any, query: dict[str, Any]) -> None:
    """Items, counts, pages and positions are those of moto, of the table and of an index."""
    expected = pages(dynamodb, query)
    assert sum(count for _, count, *_ in expected) > 1 or "AND pk" in str(query)
    with mended():
        assert pages(dynamodb, query) == expected


def test_partition_that_is_not_there(dynamodb: Any) -> None:
    """A query of nothing finds nothing, and leaves no partition behind."""
    with mended():
        assert pages(dynamodb, {"KeyConditionExpression": "pk = :other"}) == [([], 0, 0, None)]
    assert dynamodb.describe_table(TableName=NAME)["Table"]["ItemCount"] == 200


def test_time_is_the_partitions(dynamodb: Any) -> None:
    """With five times the items, in other partitions, a query takes no twice as long."""

    def took() -> float:
        began = time.perf_counter()
        for _ in range(20):
            pages(dynamodb, {"KeyConditionExpression": "pk = :pk"})
        return time.perf_counter() - began

    with mended():
        before = min(took() for _ in range(3))
        for number in range(800):
            dynamodb.put_item(TableName=NAME, Item={"pk": {"S": f"more-{number}"}, "sk": {"S": "x"}})
        assert min(took() for _ in range(3)) < 2 * before
