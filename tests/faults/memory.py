"""DynamoDB, KMS and Secrets Manager in memory: a stage makes thousands of calls, and moto takes ten milliseconds each.

Conditions and updates are read as expressions, so whatever the adapters write is carried out or refused loudly.
`tests/faults/test_memory.py` plays one story on this table and on moto's, and holds the rows against each other.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import itertools
import json
import re
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]
Test = Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, str]], bool]
"""Tells whether an item satisfies a condition, given the values and the names of its placeholders."""

_TOKEN = re.compile(r"\s*([(),]|<=|>=|<|>|=|[#:]?\w+)")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: bool(left == right),
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}
_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD|DELETE)\b")
_SET = re.compile(r"\s*([#\w]+)\s*=\s*(?:if_not_exists\(([#\w]+),\s*(:\w+)\)(?:\s*\+\s*(:\w+))?|(:?\w+))\s*")


class _Reader:
    """Reads a condition: comparisons, functions, AND, OR and parentheses."""

    def __init__(self, expression: str) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(expression), ""]
        self._at = 0

    def read(self) -> Test:
        test = self._any()
        self._take("")
        return test

    def _take(self, expected: str | None = None) -> str:
        token = self._tokens[self._at]
        if expected is not None and token != expected:
            raise ValueError(f"{token!r} stands where {expected!r} should")
        self._at += 1
        return token

    def _any(self) -> Test:
        tests = [self._all()]
        while self._tokens[self._at] == "OR":
            self._take()
            tests.append(self._all())
        return lambda *given: any(test(*given) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._tokens[self._at] == "AND":
            self._take()
            tests.append(self._one())
        return lambda *given: all(test(*given) for test in tests)

    def _one(self) -> Test:
        first = self._take()
        if first == "NOT":
            inside = self._one()
            return lambda *given: not inside(*given)
        if first == "(":
            inside = self._any()
            self._take(")")
            return inside
        if self._tokens[self._at] == "(":
            return self._function(first)
        operator = self._take()
        if operator == "BETWEEN":
            low = self._take()
            self._take("AND")
            high = self._take()
            return lambda item, values, names: (
                (found := _plain(item.get(names.get(first, first)))) is not None
                and _plain(values[low]) <= found <= _plain(values[high])
            )
        compare, right = _COMPARE[operator], self._take()
        return lambda item, values, names: (
            (found := _plain(item.get(names.get(first, first)))) is not None and compare(found, _plain(values[right]))
        )

    def _function(self, name: str) -> Test:
        self._take("(")
        path = self._take()
        if name == "begins_with":
            self._take(",")
            prefix = self._take()
            self._take(")")
            return lambda item, values, names: item[names.get(path, path)]["S"].startswith(values[prefix]["S"])
        if name == "contains":
            self._take(",")
            value = self._take()
            self._take(")")
            return lambda item, values, names: values[value]["S"] in item.get(names.get(path, path), {"SS": []})["SS"]
        self._take(")")
        there = {"attribute_exists": True, "attribute_not_exists": False}[name]
        return lambda item, _values, names: (names.get(path, path) in item) is there


@functools.cache
def _test(expression: str) -> Test:
    return _Reader(expression).read()


def _plain(value: Mapping[str, str] | None) -> Any:
    if value is None:
        return None
    ((kind, text),) = value.items()
    return Decimal(text) if kind == "N" else text


@functools.cache
def _changes(expression: str) -> tuple[tuple[str, str, str | None, str, str], ...]:
    """Return the changes of an update: verb, path, the path that goes before, the value, and what is added to it.

    The value is a placeholder, or the path that it is taken from.
    """
    changes: list[tuple[str, str, str | None, str, str]] = []
    parts = _CLAUSE.split(expression)[1:]
    for verb, clause in itertools.zip_longest(parts[::2], parts[1::2]):
        if verb == "SET":
            found = list(_SET.finditer(clause))
            if clause.count("=") != len(found):
                raise ValueError(f"not carried out: {clause}")
            changes += [(verb, one[1], one[2], one[3] or one[5], one[4] or "") for one in found]
        elif verb == "REMOVE":
            changes += [(verb, path.strip(), None, "", "") for path in clause.split(",")]
        else:
            path, value = clause.split()
            changes.append((verb, path, None, value, ""))
    return tuple(changes)


OPERATIONS = (
    *("scan", "query", "get_item", "transact_get_items"),
    *("put_item", "update_item", "delete_item", "transact_write_items"),
)


class MemoryTable:
    """A client of DynamoDB over one table with the index of open sessions. Transactions are carried out one by one."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Item]] = {}
        self._indexed: dict[tuple[str, str], Item] = {}
        self._lock = threading.RLock()

    def create_table(self, **_arguments: Any) -> Item:
        """Begin with an empty table."""
        self._items, self._indexed = {}, {}
        return {}

    def delete_table(self, **_arguments: Any) -> Item:
        """Take the table away: whatever is asked from now on is refused."""
        for name in OPERATIONS:
            setattr(self, name, _refusing)
        return {}

    def scan(self, **arguments: Any) -> Item:
        """Return every item of a segment that a filter lets through."""
        segment, segments = arguments.get("Segment", 0), arguments.get("TotalSegments", 1)
        with self._lock:
            among = (item for item in self._all() if zlib.crc32(item["pk"]["S"].encode()) % segments == segment)
            return {"Items": _copies(self._filtered(among, arguments))}

    def get_item(self, **arguments: Any) -> Item:
        """Return one item."""
        with self._lock:
            item = self._get(arguments["Key"])
            return {"Item": _copy(item)} if item else {}

    def transact_get_items(self, **arguments: Any) -> Item:
        """Return items as they are at one moment."""
        if len(arguments["TransactItems"]) > 100:
            raise _refused("ValidationException")
        with self._lock:
            return {"Responses": [self.get_item(**each["Get"]) for each in arguments["TransactItems"]]}

    def put_item(self, **arguments: Any) -> Item:
        """Write one item on a condition."""
        return self._write_one({"Put": arguments})

    def update_item(self, **arguments: Any) -> Item:
        """Change one item on a condition; return it, as it is then or was before, if that is asked for."""
        with self._lock:
            try:
                self._write_one({"Update": arguments})
            except ClientError as error:
                if arguments.get("ReturnValuesOnConditionCheckFailure") != "ALL_OLD":
                    raise
                old = self._get(arguments["Key"])
                raise _refused(error.response["Error"]["Code"], **({"Item": _copy(old)} if old else {})) from None
            if arguments.get("ReturnValues") != "ALL_NEW":
                return {}
            return {"Attributes": _copy(self._get(arguments["Key"]) or {})}

    def delete_item(self, **arguments: Any) -> Item:
        """Remove one item on a condition, and return it if that is asked for."""
        with self._lock:
            old = self._get(arguments["Key"])
            self._write_one({"Delete": arguments})
        return {"Attributes": old} if old and arguments.get("ReturnValues") == "ALL_OLD" else {}

    def transact_write_items(self, **arguments: Any) -> Item:
        """Carry out all writes or none."""
        writes: Sequence[Item] = arguments["TransactItems"]
        with self._lock:
            keys = [_key(_target(write)) for write in writes]
            if len(writes) > 100 or len(set(keys)) != len(keys):
                raise _refused("ValidationException")
            reasons = [{"Code": "None" if self._holds(write) else "ConditionalCheckFailed"} for write in writes]
            if any(reason["Code"] != "None" for reason in reasons):
                raise _refused("TransactionCanceledException", CancellationReasons=reasons)
            for write in writes:
                self._carry_out(write)
        return {}

    def query(self, **arguments: Any) -> Item:
        """Return a page of items: of one partition, or of one shard of the index."""
        values = arguments["ExpressionAttributeValues"]
        with self._lock:
            indexed = "IndexName" in arguments
            among = self._indexed.values() if indexed else self._items.get(values[":pk"]["S"], {}).values()
            test = _test(arguments["KeyConditionExpression"])
            names = arguments.get("ExpressionAttributeNames", {})
            found = sorted((item for item in among if test(item, values, names)), key=_key)
            start, limit = arguments.get("ExclusiveStartKey"), arguments.get("Limit", len(found) + 1)
            if start:
                found = [item for item in found if _key(item) > _key(start)]
            page, rest = found[:limit], found[limit:]
            answer: Item = {"Items": _copies(self._filtered(iter(page), arguments))}
            if rest or len(page) == limit:
                named = ("pk", "sk", "open_shard") if indexed else ("pk", "sk")
                answer["LastEvaluatedKey"] = {name: page[-1][name] for name in named}
            return answer

    def _all(self) -> Iterator[Item]:
        return (item for partition in self._items.values() for item in partition.values())

    @staticmethod
    def _filtered(items: Iterator[Item], arguments: Mapping[str, Any]) -> list[Item]:
        expression = arguments.get("FilterExpression")
        if expression is None:
            return list(items)
        given = (arguments.get("ExpressionAttributeValues", {}), arguments.get("ExpressionAttributeNames", {}))
        return [item for item in items if _test(expression)(item, *given)]

    def _get(self, key: Mapping[str, Any]) -> Item | None:
        return self._items.get(key["pk"]["S"], {}).get(key["sk"]["S"])

    def _holds(self, write: Item) -> bool:
        ((_, asked),) = write.items()
        expression = asked.get("ConditionExpression")
        if expression is None:
            return True
        given = (asked.get("ExpressionAttributeValues", {}), asked.get("ExpressionAttributeNames", {}))
        return _test(expression)(self._get(_target(write)) or {}, *given)

    def _write_one(self, write: Item) -> Item:
        with self._lock:
            if not self._holds(write):
                raise _refused("ConditionalCheckFailedException")
            self._carry_out(write)
        return {}

    def _carry_out(self, write: Item) -> None:
        ((kind, asked),) = write.items()
        if kind == "ConditionCheck":
            return
        key = _target(write)
        self._indexed.pop(_key(key), None)
        if kind == "Delete":
            self._items.get(key["pk"]["S"], {}).pop(key["sk"]["S"], None)
            return
        if kind == "Put":
            item = _copy(asked["Item"])
        else:
            item = dict(self._get(key) or key)
            values, names = asked.get("ExpressionAttributeValues", {}), asked.get("ExpressionAttributeNames", {})
            for verb, path, guard, value, added in _changes(asked["UpdateExpression"]):
                name = names.get(path, path)
                if verb == "REMOVE":
                    item.pop(name, None)
                elif verb in {"ADD", "DELETE"} and "SS" in values[value]:
                    there, some = set(item.pop(name, {"SS": []})["SS"]), set(values[value]["SS"])
                    if left := there | some if verb == "ADD" else there - some:
                        item[name] = {"SS": sorted(left)}
                elif verb == "ADD":
                    item[name] = {"N": str(_plain(item.get(name, {"N": "0"})) + _plain(values[value]))}
                else:
                    before = None if guard is None else item.get(names.get(guard, guard))
                    after = before or (values[value] if value.startswith(":") else item[names.get(value, value)])
                    item[name] = {"N": str(_plain(after) + _plain(values[added]))} if added else after
        self._items.setdefault(key["pk"]["S"], {})[key["sk"]["S"]] = item
        if "open_shard" in item:
            self._indexed[_key(item)] = item


def _refusing(**_arguments: Any) -> Item:
    raise _refused("ResourceNotFoundException")


def _copy(item: Mapping[str, Any]) -> Item:
    """Return an item that shares nothing with another one. All of its values are flat."""
    return {name: dict(value) for name, value in item.items()}


def _copies(items: Sequence[Mapping[str, Any]]) -> list[Item]:
    return [_copy(item) for item in items]


def _target(write: Item) -> Item:
    ((_, asked),) = write.items()
    target: Item = asked["Item"] if "Item" in asked else asked["Key"]
    return target


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _refused(code: str, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, **more}
    return ClientError(response, "operation")


class MemoryKms:
    """A client of KMS: MACs, and seals that open for whom they were made."""

    def __init__(self) -> None:
        self._names = itertools.count()
        self._sealed: dict[bytes, tuple[bytes, bytes]] = {}

    def create_key(self, **_arguments: Any) -> Item:
        """Name a key."""
        return {"KeyMetadata": {"Arn": f"arn:aws:kms:us-east-1:123456789012:key/{next(self._names)}"}}

    def generate_mac(self, **arguments: Any) -> Item:
        """Return the MAC of a message."""
        return {"Mac": hmac.digest(arguments["KeyId"].encode(), arguments["Message"], "sha256")}

    def encrypt(self, **arguments: Any) -> Item:
        """Return a seal."""
        sealed = hashlib.sha256(_context(arguments) + arguments["Plaintext"]).digest()
        self._sealed[sealed] = (_context(arguments), arguments["Plaintext"])
        return {"CiphertextBlob": sealed}

    def decrypt(self, **arguments: Any) -> Item:
        """Open a seal."""
        context, plain = self._sealed[arguments["CiphertextBlob"]]
        if context != _context(arguments):
            raise _refused("InvalidCiphertextException")
        return {"Plaintext": plain}


def _context(arguments: Mapping[str, Any]) -> bytes:
    return json.dumps([arguments["KeyId"], arguments["EncryptionContext"]]).encode()


class MemorySecrets:
    """A client of Secrets Manager with one secret."""

    def __init__(self) -> None:
        self._text = ""

    def create_secret(self, **arguments: Any) -> Item:
        """Keep a secret."""
        self._text = arguments["SecretString"]
        return {"ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:twilio"}

    def put_secret_value(self, **arguments: Any) -> Item:
        """Keep another value."""
        self._text = arguments["SecretString"]
        return {}

    def get_secret_value(self, **_arguments: Any) -> Item:
        """Return the value."""
        return {"SecretString": self._text}
