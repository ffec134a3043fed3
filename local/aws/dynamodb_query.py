"""Queries of DynamoDB that look at one partition instead of the whole table.

moto sorts all items of a table, and then looks for those of the partition: a query of one row takes 120 ms with 3,000
items. Here it is given those that the key conditions name, and does all the rest.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

if TYPE_CHECKING:
    from local.aws.mends import Mends


def install(mends: Mends) -> None:
    """Look at one partition, of the table or of an index."""
    mends.wrap(Table, "query", _query)


_INDEX_NAME: Final = 6
"""The place of `index_name` among the arguments of `Table.query` after the hash key."""


def _query(original: Any, table: Table, hash_key: DynamoType | None, *arguments: Any, **named: Any) -> Any:
    index = named.get("index_name") or next(iter(arguments[_INDEX_NAME:]), None)
    conditions = named.get("hash_key_conditions")
    part = copy.copy(table)
    if index and conditions:
        part.items = _chosen(table, conditions)
    elif not index and hash_key is not None:
        part.items = {hash_key: table.items[hash_key]} if hash_key in table.items else {}  # type: ignore[assignment]
    return original(part, hash_key, *arguments, **named)


def _chosen(table: Table, conditions: list[tuple[str, DynamoType]]) -> Any:
    """Return the items, as a table keeps them, that have the values of an index's hash key."""
    items: Any = table.items
    if not table.range_key_attr:
        return {hash_key: item for hash_key, item in items.items() if _has(item, conditions)}
    return {
        hash_key: {range_key: item for range_key, item in below.items() if _has(item, conditions)}
        for hash_key, below in items.items()
    }


def _has(item: Item, conditions: list[tuple[str, DynamoType]]) -> bool:
    return all(name in item.attrs and item.attrs[name] == value for name, value in conditions)
