"""Transactions whose cost does not grow with the table.

moto copies the whole table, stream included, once for each item of a transaction, to be able to roll back: 5 ms with an
empty table, 600 ms with 2,000 items. Here only the items that the transaction names are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from moto.dynamodb import models, responses
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

if TYPE_CHECKING:
    from local.aws.mends import Mends


class _CopyAllButTables:
    """Stands for the `copy` module in moto's DynamoDB backend, which copies tables in transactions only."""

    @staticmethod
    def deepcopy(value: Any) -> Any:
        """Copy anything but a table."""
        return value if isinstance(value, Table) else copy.deepcopy(value)


ITEMS_LIMIT = 100
"""How many items a transaction may have (API reference, TransactGetItems)."""


def install(mends: Mends) -> None:
    """Roll back by item instead of by table. The API's lock keeps other writers out meanwhile.

    A transaction also reads as many items as DynamoDB lets it since 2022, where moto stops at 25.
    """
    mends.replace(responses, "TRANSACTION_MAX_ITEMS", ITEMS_LIMIT)
    mends.replace(models, "copy", _CopyAllButTables)
    mends.wrap(DynamoDBBackend, "transact_write_items", _transact_write_items)


def _transact_write_items(original: Any, backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
    touched = [
        (table, hash_key, range_key, copy.deepcopy(table.get_item(hash_key, range_key)))
        for table, hash_key, range_key in _touched(backend, transact_items)
    ]
    streams = {id(t): (t.stream_shard, len(t.stream_shard.items)) for t, *_ in touched if t.stream_shard is not None}
    try:
        original(backend, transact_items)
    except BaseException:
        for table, hash_key, range_key, item in touched:
            _put_back(table, hash_key, range_key, item)
        for shard, length in streams.values():
            del shard.items[length:]
        raise


def _touched(
    backend: DynamoDBBackend, transact_items: list[dict[str, Any]]
) -> Iterator[tuple[Table, DynamoType, DynamoType | None]]:
    """Yield table and key of each item that a transaction names; moto itself refuses what is malformed."""
    for entry in transact_items:
        for operation in entry.values():
            table = backend.tables.get(str(operation.get("TableName")).rpartition("/")[2])
            key = operation.get("Key") or operation.get("Item") or {}
            names = [table.hash_key_attr, table.range_key_attr] if table else []
            if table is None or any(name is not None and name not in key for name in names):
                continue
            range_key = DynamoType(key[table.range_key_attr]) if table.range_key_attr else None
            yield table, DynamoType(key[table.hash_key_attr]), range_key


def _put_back(table: Table, hash_key: DynamoType, range_key: DynamoType | None, item: Any) -> None:
    items: Any = table.items
    if range_key is None:
        holder, name = items, hash_key
    else:
        holder, name = items[hash_key], range_key
    if item is None:
        holder.pop(name, None)
    else:
        holder[name] = item
