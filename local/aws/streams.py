"""DynamoDB streams that only hold records: who reads them is told that there is one, and they are gone after a day.

moto calls the mapped function from within the write, with everything that the stream holds and without a retry, and
keeps stream records for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any

from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import StreamShard, Table
from moto.dynamodb.models.utilities import dynamo_json_dump

from local.aws.calls import ACCOUNT
from local.aws.queues import Unheard

if TYPE_CHECKING:
    from local.aws.mends import Mends

KEPT_SECONDS = 24 * 3600.0
"""How long DynamoDB keeps a stream record ("Change data capture for DynamoDB Streams")."""


def install(mends: Mends, arrived: Callable[[str], None]) -> None:
    """Call `arrived(stream ARN)` after each record that comes in, instead of the function."""

    def initialize(original: Any, table: Table, *args: Any, **kwargs: Any) -> None:
        original(table, *args, **kwargs)
        table.lambda_event_source_mappings = Unheard()

    def add(original: Any, shard: StreamShard, *args: Any) -> None:
        original(shard, *args)
        arrived(f"{shard.table.table_arn}/stream/{shard.table.latest_stream_label}")

    mends.wrap(Table, "__init__", initialize)
    mends.wrap(StreamShard, "add", add)


def find_shard(arn: str) -> StreamShard | None:
    """Return the one shard of a stream, or None where there is no such stream (any more)."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[5].count("/") < 3:
        return None
    _, name, _, label = parts[5].split("/", 3)
    table = dynamodb_backends[ACCOUNT][parts[3]].tables.get(name)
    return table.stream_shard if table is not None and table.latest_stream_label == label else None


def records(shard: StreamShard, first: int, most: int) -> list[dict[str, Any]]:
    """Return at most `most` records from a sequence number on, as JSON has them."""
    start = max(0, first - shard.starting_sequence_number)
    return [json.loads(dynamo_json_dump(item.to_json())) for item in shard.items[start : start + most]]


def trim(shard: StreamShard, now: float) -> None:
    """Forget the records that are older than a day; those that stay keep their sequence numbers."""
    gone = 0
    while gone < len(shard.items) and _created(shard.items[gone].to_json()) <= now - KEPT_SECONDS:
        gone += 1
    del shard.items[:gone]
    shard.starting_sequence_number += gone


def _created(record: dict[str, Any]) -> float:
    """Return when a record was written; moto keeps it as naive UTC."""
    created: float = record["dynamodb"]["ApproximateCreationDateTime"].replace(tzinfo=UTC).timestamp()
    return created
