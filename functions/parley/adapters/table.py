"""One DynamoDB table: consistent reads, transactions that know contention from failure, and rows that leave in time."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parley.adapters.session_items import Item, ends_at, party_key
from parley.ports import Clock, LedgerError

ATTEMPTS = 12
"""How often a write that others got ahead of is tried before it fails."""

ITEMS_LIMIT = 100
"""The most items of one transaction (TransactWriteItems, TransactGetItems)."""

_DAY = 86_400
_CONTENTION = frozenset(
    {
        "ConditionalCheckFailed",
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "ItemCollectionSizeLimitExceeded",
    }
)
_BUSY = frozenset({"ThrottlingException", "ProvisionedThroughputExceededException", "TransactionInProgressException"})


class ConditionFailedError(Exception):
    """A conditional write met another state."""


class Table:
    """The table `name`.

    `client` is boto3's DynamoDB client, `keep_days` the declared days of each record class, `region` is where the table
    lives, `sleep` waits between attempts (seconds).
    """

    def __init__(
        self,
        client: Any,
        name: str,
        keep_days: Mapping[str, int],
        clock: Clock,
        *,
        region: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self.name = name
        self._keep_days = keep_days
        self.clock = clock
        self.region = region
        self._sleep = sleep

    def get(self, keys: Sequence[Item]) -> list[Item]:
        """Return the items of up to 100 keys as they were at one moment; an empty one where there is none."""
        if not keys:
            return []
        if len(keys) > ITEMS_LIMIT:
            return self.get(keys[:ITEMS_LIMIT]) + self.get(keys[ITEMS_LIMIT:])
        gets = [{"Get": {"TableName": self.name, "Key": key}} for key in keys]
        for attempt in range(ATTEMPTS):
            try:
                responses = self._client.transact_get_items(TransactItems=gets)["Responses"]
            except ClientError as error:
                if not _is_contention(error):
                    raise ledger_error(error) from None
            except BotoCoreError as error:
                raise ledger_error(error) from None
            else:
                return [response.get("Item", {}) for response in responses]
            self.wait(attempt)
        raise LedgerError("too many writers at once")

    def get_one(self, key: Item) -> Item:
        """Return the item of a key, with every write that was acknowledged before; an empty one if there is none."""
        item: Item = self.call("get_item", Key=key, ConsistentRead=True).get("Item", {})
        return item

    def query(self, condition: Item, **more: Any) -> list[Item]:
        """Return every item that a key condition finds, page by page. Raises LedgerError."""
        items: list[Item] = []
        start: Item = {}
        while True:
            answer = self.call("query", **condition, **more, **start)
            items += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return items
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def scan(self, **condition: Any) -> Iterator[Item]:
        """Yield every item of the table that a condition lets pass, page by page: not for a handler."""
        start: Item = {}
        while True:
            answer = self.call("scan", **condition, **start)
            yield from answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def commit(self, writes: Sequence[Item]) -> bool:
        """Carry out a transaction; return False if somebody else got ahead of it."""
        try:
            self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            if _is_contention(error):
                return False
            raise ledger_error(error) from None
        except BotoCoreError as error:
            raise ledger_error(error) from None
        return True

    def call(self, operation: str, **arguments: Any) -> Any:
        """Carry out one operation of the table. Raises ConditionFailedError, LedgerError."""
        try:
            return getattr(self._client, operation)(TableName=self.name, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise ConditionFailedError from None
            raise ledger_error(error) from None
        except BotoCoreError as error:
            raise ledger_error(error) from None

    def put(self, item: Item, condition: Item) -> Item:
        """Return the write of a transaction that puts an item on a condition."""
        return {"Put": {"TableName": self.name, "Item": item, **condition}}

    def ttl(self, record_class: str, start: datetime | None = None) -> Item:
        """Return the attribute that lets a row of a class leave in time. Raises LedgerError for an undeclared class."""
        days = self._keep_days.get(record_class)
        if days is None:
            raise LedgerError(f"no retention is declared for {record_class}")
        return {"expires_at": number(epoch(start or self.clock.now()) + days * _DAY)}

    def expired(self, item: Item) -> bool:
        """Tell whether a row has outlived its time, which DynamoDB may not have noticed yet.

        One that a legal hold keeps is expired all the same: it stays, and nothing is permitted by it any more.
        """
        return ends_at(item) <= epoch(self.clock.now())

    def gone(self, item: Item) -> bool:
        """Tell whether a row has outlived its time and no legal hold keeps it: it is not shown any more."""
        return "expires_at" in item and self.expired(item)

    def wait(self, attempt: int) -> None:
        """Wait a random while, longer each time (full jitter), two seconds in all at most."""
        self._sleep(random.random() * min(0.01 * 2**attempt, 0.3))  # noqa: S311 - no secret


SHARDS = ("0", "1", "2", "3")
"""The partitions of the index of open sessions."""


def shard_of(sid: str) -> str:
    """Return the partition of the index of open sessions that a session belongs to."""
    return SHARDS[hashlib.sha256(sid.encode()).digest()[0] % len(SHARDS)]


ABSENT: Item = {"ConditionExpression": "attribute_not_exists(pk)"}


def unchanged(item: Item | None) -> Item:
    """Return the condition that a row still has the `seq` it was read with, or is still absent."""
    if not item:
        return ABSENT
    return {"ConditionExpression": "seq = :seq", "ExpressionAttributeValues": {":seq": item["seq"]}}


def ledger_error(error: Exception) -> LedgerError:
    """Return what a refusal of DynamoDB's means to the caller, without what it quotes."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return LedgerError(f"DynamoDB: {code or type(error).__name__}")


def _is_contention(error: ClientError) -> bool:
    code = error.response["Error"]["Code"]
    if code != "TransactionCanceledException":
        return code in _BUSY
    reasons = {reason.get("Code", "None") for reason in error.response.get("CancellationReasons", [])} - {"None"}
    return bool(reasons) and reasons <= _CONTENTION


def number(value: int) -> Item:
    """Return a number as DynamoDB takes it."""
    return {"N": str(value)}


def epoch(moment: datetime) -> int:
    """Return a moment in whole epoch seconds, as a time to live has it."""
    return int(moment.timestamp())


OVER = "expires_at <= :now OR (attribute_not_exists(expires_at) AND held_expires_at <= :now)"
"""The condition that the time of a row is over, whether or not a legal hold keeps it. `:now` is in epoch seconds."""


def beginning(partition: Item, prefix: str) -> Item:
    """Return the condition that finds the rows in the partition of a key whose sort key begins so."""
    return {
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
        "ExpressionAttributeValues": {":pk": partition["pk"], ":prefix": {"S": prefix}},
    }


def party_condition(party: str, prefix: str) -> Item:
    """Return the condition that finds the rows of one person whose sort key begins so."""
    return beginning(party_key(party, ""), prefix)
