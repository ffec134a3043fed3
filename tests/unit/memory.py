"""DynamoDB and KMS in memory, for tests of many records: moto takes milliseconds for a transaction.

Only what the ledger uses is here. Transactions are carried out one after the other, as DynamoDB does, and fail as a
whole; a test holds both against moto.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]

CONDITIONS: Mapping[str, Callable[[Item | None, Mapping[str, Any]], bool]] = {
    "attribute_not_exists(pk)": lambda item, _: item is None,
    "attribute_exists(ciphertext)": lambda item, _: item is not None and "ciphertext" in item,
    "seq = :seq": lambda item, values: item is not None and item.get("seq") == values[":seq"],
    "seq = :seq AND (opened = :opened OR attribute_not_exists(opened))": lambda item, values: (
        item is not None
        and item.get("seq") == values[":seq"]
        and item.get("opened", values[":opened"]) == values[":opened"]
    ),
}
UPDATES: Mapping[str, Callable[[Item, Mapping[str, Any]], Item]] = {
    "SET expires_at = :end": lambda item, values: {**item, "expires_at": values[":end"]},
    "SET expires_at = :now REMOVE ciphertext": lambda item, values: {
        **{name: value for name, value in item.items() if name != "ciphertext"},
        "expires_at": values[":now"],
    },
}


class MemoryDynamo:
    """A DynamoDB client over a dictionary. `writes` counts the transactions that were carried out."""

    def __init__(self) -> None:
        self._partitions: dict[str, dict[str, Item]] = defaultdict(dict)
        self._lock = threading.Lock()
        self.writes = 0

    def items(self, prefix: str = "") -> list[Item]:
        """Return all items whose sort key begins so."""
        with self._lock:
            rows = [item for partition in self._partitions.values() for item in partition.values()]
        return [item for item in rows if item["sk"]["S"].startswith(prefix)]

    def replace(self, item: Item) -> None:
        """Put an item over the one that is there, as somebody with a console does."""
        self._partitions[item["pk"]["S"]][item["sk"]["S"]] = item

    def remove(self, item: Item) -> None:
        """Take an item away, as somebody with a console does."""
        del self._partitions[item["pk"]["S"]][item["sk"]["S"]]

    def transact_get_items(self, TransactItems: list[Any]) -> Item:  # noqa: N803 - boto3's own name
        """Return the items of the keys as they are at one moment."""
        if len(TransactItems) > 100:
            raise _refused("ValidationException")
        with self._lock:
            found = [self._get(each["Get"]["Key"]) for each in TransactItems]
        return {"Responses": [{"Item": item} if item else {} for item in found]}

    def transact_write_items(self, TransactItems: list[Any]) -> Item:  # noqa: N803 - boto3's own name
        """Carry out all writes, or none."""
        writes = [next(iter(each.values())) for each in TransactItems]
        keys = [self._key(write.get("Item") or write["Key"]) for write in writes]
        if len(writes) > 100 or len(set(keys)) != len(keys):
            raise _refused("ValidationException")
        with self._lock:
            holds = [self._holds(write) for write in writes]
            if not all(holds):
                reasons = [{"Code": "None" if held else "ConditionalCheckFailed"} for held in holds]
                raise _refused("TransactionCanceledException", CancellationReasons=reasons)
            for write in writes:
                self._write(write)
            self.writes += 1
        return {}

    def update_item(self, **write: Any) -> Item:
        """Change one item on a condition."""
        with self._lock:
            if not self._holds(write):
                raise _refused("ConditionalCheckFailedException")
            self._write(write)
        return {}

    def query(self, **arguments: Any) -> Item:
        """Return the items of a partition whose sort keys begin so, in their order."""
        values = arguments["ExpressionAttributeValues"]
        with self._lock:
            partition = dict(self._partitions.get(values[":pk"]["S"], {}))
        return {"Items": [partition[sort] for sort in sorted(partition) if sort.startswith(values[":prefix"]["S"])]}

    def scan(self, **arguments: Any) -> Item:
        """Return all heads, a page of a thousand at a time."""
        wanted = arguments["ExpressionAttributeValues"][":head"]["S"]
        found = [item for item in self.items(wanted) if item["sk"]["S"] == wanted]
        start = int(arguments.get("ExclusiveStartKey", {"at": "0"})["at"])
        more = {"LastEvaluatedKey": {"at": str(start + 1000)}} if start + 1000 < len(found) else {}
        return {"Items": found[start : start + 1000], **more}

    @staticmethod
    def _key(item: Item) -> tuple[str, str]:
        return item["pk"]["S"], item["sk"]["S"]

    def _get(self, key: Item) -> Item | None:
        partition = self._partitions.get(key["pk"]["S"])
        return None if partition is None else partition.get(key["sk"]["S"])

    def _holds(self, write: Item) -> bool:
        condition = write.get("ConditionExpression")
        if condition is None:
            return True
        item = self._get(write.get("Item") or write["Key"])
        return CONDITIONS[condition](item, write.get("ExpressionAttributeValues", {}))

    def _write(self, write: Item) -> None:
        item = write.get("Item")
        if item is None:
            before = self._get(write["Key"]) or dict(write["Key"])
            item = UPDATES[write["UpdateExpression"]](before, write["ExpressionAttributeValues"])
        pk, sk = self._key(item)
        self._partitions[pk][sk] = item


class Forgetful(MemoryDynamo):
    """A table that counts what is written, by the kind of row, and keeps nothing: many rows fit into memory."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def _write(self, write: Item) -> None:
        self.counted[write["Item"]["sk"]["S"].partition("#")[0]] += 1


class MemoryKms:
    """A KMS client with one HMAC key, and an encryption that only counts. `sealed` has the contexts by ciphertext."""

    def __init__(self) -> None:
        self.sealed: dict[bytes, Mapping[str, str]] = {}
        self.macs = 0

    def generate_mac(self, *, KeyId: str, Message: bytes, MacAlgorithm: str) -> Item:  # noqa: N803 - boto3's own names
        """Return the MAC of a message."""
        assert MacAlgorithm == "HMAC_SHA_256"
        self.macs += 1
        return {"Mac": hmac.digest(KeyId.encode(), Message, "sha256")}

    def encrypt(self, *, KeyId: str, Plaintext: bytes, EncryptionContext: Mapping[str, str]) -> Item:  # noqa: N803 - boto3's own names
        """Return what stands for a ciphertext."""
        ciphertext = hashlib.sha256(KeyId.encode() + Plaintext + repr(len(self.sealed)).encode()).digest()
        self.sealed[ciphertext] = EncryptionContext
        return {"CiphertextBlob": ciphertext}


class StillClock:
    """A clock that stands."""

    def __init__(self, now: datetime = datetime(2026, 5, 4, 12, tzinfo=UTC)) -> None:
        self.moment = now

    def now(self) -> datetime:
        """Return the time."""
        return self.moment


def _refused(code: str, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, **more}
    return ClientError(response, "Operation")
