"""Erasures in the table: what was asked for, what became of each item, and the removal of rows.

An erasure is a partition: its own row, and one for each item. Both go when the last proof is written; what stays is the
proof and the suppression. Nobody but the erasure removes rows: all others leave by their time to live.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from parley.adapters.session_items import Item, party_key, session_key
from parley.adapters.suppressions import SuppressionRows, suppression_item
from parley.adapters.table import ABSENT, ATTEMPTS, ITEMS_LIMIT, ConditionFailedError, beginning, party_condition
from parley.core.consent import State, canonical_json
from parley.core.erasure import Erasure, Progress, is_from_before
from parley.core.record_classes import RecordClass
from parley.core.suppression import Suppression
from parley.ports import LedgerError, UnreadableRecordError

CLASS = str(RecordClass.ERASURE_PROOFS)
HELD = "HELD-ERASURES"
"""The partition of the erasures that a legal hold keeps from their end: few at any time."""


class ErasureRows(SuppressionRows):
    """The erasures' part of `parley.ports.Ledger`."""

    def erasure(self, erasure_id: str) -> Erasure | None:
        """Return an erasure that is under way or held, or None. Raises UnreadableRecordError."""
        item = self.get_one(_erasure_key(erasure_id))
        return _erasure(item) if item else None

    def begin_erasure(self, erasure: Erasure, suppression: Suppression) -> bool:
        """Write an erasure that is new, and that the person is erased; return False if somebody else was faster.

        From here on nothing that is imported reaches the person again.
        """
        item = {**_erasure_key(erasure.id), "erasure": {"S": canonical_json(erasure.document())}, **self.ttl(CLASS)}
        same = {
            "ConditionExpression": "attribute_not_exists(pk) OR erased < :count",
            "ExpressionAttributeValues": {":count": {"N": str(suppression.count)}},
        }
        return self.commit([self.put(item, ABSENT), self.put(suppression_item(suppression), same)])

    def save_erasure(self, before: Erasure, after: Erasure, suppression: Suppression | None = None) -> bool:
        """Write how far an erasure has come, and with it what stays of the person.

        Return False if it is not as it was read any more.
        """
        text = {":before": {"S": canonical_json(before.document())}}
        same = {"ConditionExpression": "erasure = :before", "ExpressionAttributeValues": text}
        item = {**_erasure_key(after.id), "erasure": {"S": canonical_json(after.document())}, **self.ttl(CLASS)}
        writes = [self.put(item, same)]
        if suppression is not None:
            writes.append(self.put(suppression_item(suppression), {}))
        return self.commit(writes)

    def progress(self, erasure_id: str) -> list[Progress]:
        """Return what became of every item of an erasure, in the order in which they go."""
        items = self.query(beginning(_erasure_key(erasure_id), "ITEM#"), ConsistentRead=True)
        try:
            return [Progress.of(json.loads(item["progress"]["S"])) for item in items]
        except (KeyError, TypeError, ValueError):
            raise UnreadableRecordError("an item of an erasure is not of this version") from None

    def write_progress(self, erasure_id: str, progress: Iterable[Progress]) -> None:
        """Write what became of items."""
        items = [
            {
                **_item_key(erasure_id, one.item.name),
                "progress": {"S": canonical_json(one.document())},
                **self.ttl(CLASS),
            }
            for one in progress
        ]
        if len(items) == 1:
            self.call("put_item", Item=items[0])
            return
        self._commit_all([self.put(item, {}) for item in items])

    def forget_item(self, erasure_id: str, name: str) -> None:
        """Remove the row of one item of an erasure, by the item's name."""
        self.remove([_item_key(erasure_id, name)])

    def end_erasure(self, erasure_id: str) -> None:
        """Remove an erasure that is proven, its own row last."""
        items = self.query(beginning(_erasure_key(erasure_id), "ITEM#"), ConsistentRead=True)
        self.remove(_key(item) for item in items)
        self.remove([_held_key(erasure_id), _erasure_key(erasure_id)])

    def note_held(self, erasure_id: str) -> None:
        """Note that an erasure waits for the release of a legal hold."""
        self.call("put_item", Item={**_held_key(erasure_id), **self.ttl(CLASS)})

    def held_erasures(self) -> list[str]:
        """Return the ids of the erasures that wait for the release of a legal hold."""
        items = self.query(beginning(_held_key(""), "er_"), ConsistentRead=True)
        return [item["sk"]["S"] for item in items]

    # What there is of a person ----------------------------------------------------------------------------------

    def past_of(self, party: str) -> dict[str, tuple[str, ...]]:
        """Return the sessions and intents of a person, with the parties of each, as far as anything of them is kept."""
        found: dict[str, tuple[str, ...]] = {}
        for item in self.query(party_condition(party, "SESSION#"), ConsistentRead=True):
            others = json.loads(item["counterparts"]["S"])
            found[item["sk"]["S"].removeprefix("SESSION#")] = (party, *others)
        for item in self.query(party_condition(party, "PAST#"), ConsistentRead=True):
            found[item["sk"]["S"].removeprefix("PAST#")] = tuple(json.loads(item["parties"]["S"]))
        return found

    def interactions(self, session: str, sid: str = "") -> list[Mapping[str, str]]:
        """Return the rows of the interaction log of a session, or of one interaction in it, as texts."""
        items = self.query(beginning(session_key(session), f"INTERACTION#{sid}"), ConsistentRead=True)
        return [{name: value["S"] for name, value in item.items() if "S" in value} for item in items]

    def rows_under(self, partition: str) -> list[tuple[str, bool]]:
        """Return the sort keys of a partition, and of each whether it is of something that goes on."""
        condition = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": partition}}}
        items = self.query(condition, ConsistentRead=True, ProjectionExpression="sk, open_shard")
        return [(item["sk"]["S"], "open_shard" in item) for item in items]

    def person_rows(self, party: str) -> int:
        """Return how many rows are a person's own."""
        condition = {
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": party_key(party, "")["pk"]},
        }
        return len(self.query(condition, ConsistentRead=True, ProjectionExpression="sk"))

    # Removal ----------------------------------------------------------------------------------------------------

    def remove(self, keys: Iterable[Item]) -> int:
        """Remove rows, if they are there; return how many were given."""
        deletes = [{"Delete": {"TableName": self.name, "Key": key}} for key in keys]
        self._commit_all(deletes)
        return len(deletes)

    def remove_rows(self, partition: str, sorts: Sequence[str]) -> int:
        """Remove rows of a partition by their sort keys; return how many were given."""
        return self.remove({"pk": {"S": partition}, "sk": {"S": sort}} for sort in sorts)

    def remove_row(self, partition: str, sort: str, session: str = "") -> bool:
        """Remove one row, if it belongs to `session` where that is given; return False if there was none."""
        key = {"pk": {"S": partition}, "sk": {"S": sort}}
        of = {"ConditionExpression": "sid = :sid", "ExpressionAttributeValues": {":sid": {"S": session}}}
        try:
            removed = self.call("delete_item", Key=key, ReturnValues="ALL_OLD", **(of if session else {}))
        except ConditionFailedError:
            return False
        return bool(removed.get("Attributes"))

    def last_record(self, erasure: Erasure) -> Suppression | None:
        """Return the suppression of a person up to whose last record everything goes, or None if it stays as it is.

        What was said after the erasure was asked for goes as well, unless the person consented anew.
        """
        head, *_ = self.get([party_key(erasure.party, "HEAD")])
        suppression = self.suppression(erasure.party)
        if not head or suppression is None or int(head["seq"]["N"]) <= erasure.seq:
            return None
        states = self.query(party_condition(erasure.party, "STATE#"), ConsistentRead=True)
        anew = any(int(item["seq"]["N"]) > erasure.seq and item["state"]["S"] == State.GIVEN for item in states)
        end = {"seq": int(head["seq"]["N"]), "record_hash": head["record_hash"]["S"]}
        return None if anew else replace(suppression, **end)

    def remove_person(self, erasure: Erasure) -> tuple[int, bool]:
        """Remove the rows of a person that go; return how many, and whether none of them is left.

        The end of the chain goes last, and only if nobody continued it meanwhile: whoever appends then reads where it
        ended from the suppression.
        """
        condition = {
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": party_key(erasure.party, "")["pk"]},
        }
        items = self.query(condition, ConsistentRead=True)
        head = next((item for item in items if item["sk"]["S"] == "HEAD"), None)
        end = int(head["seq"]["N"]) if head else 0
        going = [item for item in items if item is not head and _goes(item, end, erasure)]
        count = self.remove(_key(item) for item in going)
        if head is None or end > erasure.seq:
            return count, True
        unmoved = {"ConditionExpression": "seq = :seq", "ExpressionAttributeValues": {":seq": head["seq"]}}
        done = self.commit([{"Delete": {"TableName": self.name, "Key": _key(head), **unmoved}}])
        return count + done, done

    def _commit_all(self, writes: Sequence[Item]) -> None:
        """Carry out writes that depend on nothing, a transaction's worth at a time. Raises LedgerError."""
        for part in _parts(writes):
            for attempt in range(ATTEMPTS):
                if self.commit(part):
                    break
                self.wait(attempt)
            else:
                raise LedgerError("too many writers at once for one erasure")


def _goes(item: Item, end: int, erasure: Erasure) -> bool:
    """Tell whether a row of a person is from before the erasure. `end` is the last record of their chain."""
    sort = item["sk"]["S"]
    return is_from_before(sort, _place(item, sort, end), erasure)


def _place(item: Item, sort: str, end: int) -> int | None:
    """Return the place in the chain of the record that a row is of, None if it is of none."""
    kind, _, rest = sort.partition("#")
    if kind == "EVENT":
        return int(rest)
    if kind == "STATE":
        return int(item["seq"]["N"])
    if kind == "SOURCE":
        return max((int(receipt["seq"]) for receipt in json.loads(item["receipts"]["S"])), default=None)
    # The sealed number is renewed with every record.
    return end if kind == "CONTACT" else None


def _erasure_key(erasure_id: str) -> Item:
    return {"pk": {"S": f"ERASURE#{erasure_id}"}, "sk": {"S": "ERASURE"}}


def _item_key(erasure_id: str, name: str) -> Item:
    return {"pk": _erasure_key(erasure_id)["pk"], "sk": {"S": f"ITEM#{name}"}}


def _held_key(erasure_id: str) -> Item:
    return {"pk": {"S": HELD}, "sk": {"S": erasure_id}}


def _key(item: Item) -> Item:
    return {"pk": item["pk"], "sk": item["sk"]}


def _erasure(item: Item) -> Erasure:
    try:
        return Erasure.of(json.loads(item["erasure"]["S"]))
    except (KeyError, TypeError, ValueError):
        raise UnreadableRecordError("the row of an erasure is not of this version") from None


def _parts(writes: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(writes), ITEMS_LIMIT):
        yield writes[start : start + ITEMS_LIMIT]
