"""Legal holds in the table: all of them in one partition, since there are few and whoever deletes reads them all.

A hold takes the time to live (`expires_at`) off a row and remembers it as `held_expires_at`; DynamoDB then leaves the
row alone. Whoever writes such a row anew, with a time to live, takes it from the hold until that is applied again,
which is done every hour: no row that a hold keeps lives shorter than that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from parley.adapters.session_items import Item, session_key
from parley.adapters.table import ABSENT, ConditionFailedError, Table, beginning, epoch, number
from parley.core.holds import Change, Hold, Stage
from parley.core.record_classes import RecordClass
from parley.ports import UnreadableRecordError

HOLDS = "HOLDS"
CLASS = str(RecordClass.ERASURE_PROOFS)


class HoldRows(Table):
    """The holds' part of `parley.ports.Ledger`."""

    def active_holds(self) -> tuple[Hold, ...]:
        """Return the holds that were not released. Raises UnreadableRecordError: then nothing may be deleted."""
        return tuple(hold for hold in self.holds() if hold.active)

    def holds(self) -> tuple[Hold, ...]:
        """Return all holds, released ones included as long as they are kept. Raises UnreadableRecordError."""
        items = self.query(beginning(hold_key(""), "HOLD#"), ConsistentRead=True)
        return tuple(map(_hold, items))

    def hold(self, hold_id: str) -> Hold | None:
        """Return a hold, or None if there is none of that id. Raises UnreadableRecordError."""
        item = self.get_one(hold_key(hold_id))
        return _hold(item) if item else None

    def write_hold(self, before: Hold | None, after: Hold, change: Change | None = None) -> bool:
        """Write a hold, and with it the entry of its log; return False if it is not as it was read any more.

        It has no time to live until nothing is under it any more.
        """
        ended = self.ttl(CLASS) if after.stage is Stage.RELEASED else {}
        item = {**hold_key(after.id), "hold": {"S": after.to_json()}, **ended}
        same = ABSENT
        if before is not None:
            # The text of an earlier version would be another one, so it is compared as it stands.
            stored = self.get_one(hold_key(before.id))
            if not stored or _hold(stored) != before:
                return False
            same = {
                "ConditionExpression": "#hold = :hold",
                # A reserved word of DynamoDB.
                "ExpressionAttributeNames": {"#hold": "hold"},
                "ExpressionAttributeValues": {":hold": stored["hold"]},
            }
        writes = [self.put(item, same)]
        if change is not None:
            entry = {**_change_key(after.id, change.seq), "change": {"S": change.to_json()}, **self.ttl(CLASS)}
            writes.append(self.put(entry, ABSENT))
        return self.commit(writes)

    def hold_changes(self, hold_id: str) -> list[Change]:
        """Return the log of a hold, oldest first. Raises UnreadableRecordError."""
        items = self.query(beginning(hold_key(""), f"CHANGE#{hold_id}#"), ConsistentRead=True)
        try:
            return [Change.of(json.loads(item["change"]["S"])) for item in items]
        except (KeyError, TypeError, ValueError):
            raise UnreadableRecordError("an entry of a hold's log is not of this version") from None

    def parties_of(self, session: str) -> tuple[tuple[str, ...], str]:
        """Return the parties of a session and the id of its intent, as far as its row is still there."""
        item = self.get_one(session_key(session))
        if not item:
            return (), ""
        return tuple(place[1] for place in json.loads(item["participants"]["S"])), item["intent"]["S"]

    def session_of(self, intent: str) -> str:
        """Return the SID of the session that an intent became, or an empty text."""
        found: str = self.get_one(session_key(intent, "INTENT")).get("sid", {}).get("S", "")
        return found

    def keep_rows(self, partition: str, keeps: Callable[[str], bool]) -> int:
        """Take the rows of a partition whose sort keys are kept off their time to live; return how many are held."""
        kept = [item for item in self._held_or_not(partition) if keeps(item["sk"]["S"])]
        for item in kept:
            if "expires_at" in item:
                self.keep_row(partition, item["sk"]["S"])
        return len(kept)

    def keep_row(self, partition: str, sort: str) -> None:
        """Take a row off its time to live, if it is there and has one, and remember that."""
        self._change(
            partition,
            sort,
            UpdateExpression="SET held_expires_at = expires_at REMOVE expires_at",
            ConditionExpression="attribute_exists(expires_at)",
        )

    def free_rows(self, partition: str, frees: Callable[[str], bool]) -> int:
        """Give rows of a partition their time to live back; return how many."""
        freed = [item for item in self._held_or_not(partition) if frees(item["sk"]["S"]) and "held_expires_at" in item]
        for item in freed:
            self._free(partition, item)
        return len(freed)

    def free_row(self, partition: str, sort: str) -> None:
        """Give a row its time to live back, if it is there and a hold took it."""
        item = self.get_one({"pk": {"S": partition}, "sk": {"S": sort}})
        if "held_expires_at" in item:
            self._free(partition, item)

    def _free(self, partition: str, item: Item) -> None:
        """Give a row its time to live back, from now on at the earliest. One that was written anew has its own."""
        now, remembered = epoch(self.clock.now()), item["held_expires_at"]
        values = {":was": remembered, ":end": number(max(now, int(remembered["N"])))}
        self._change(
            partition,
            item["sk"]["S"],
            UpdateExpression="SET expires_at = if_not_exists(expires_at, :end) REMOVE held_expires_at",
            ConditionExpression="held_expires_at = :was",
            ExpressionAttributeValues=values,
        )

    def _change(self, partition: str, sort: str, **update: Any) -> None:
        try:
            self.call("update_item", Key={"pk": {"S": partition}, "sk": {"S": sort}}, **update)
        except ConditionFailedError:
            # It is gone, or was changed so already: the next application looks again.
            return

    def _held_or_not(self, partition: str) -> list[Item]:
        condition = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": partition}}}
        return self.query(condition, ConsistentRead=True, ProjectionExpression="sk, expires_at, held_expires_at")


def hold_key(hold_id: str) -> Item:
    """Return the key of a hold's row."""
    return {"pk": {"S": HOLDS}, "sk": {"S": f"HOLD#{hold_id}"}}


def _change_key(hold_id: str, seq: int) -> Item:
    return {"pk": {"S": HOLDS}, "sk": {"S": f"CHANGE#{hold_id}#{seq:06d}"}}


def _hold(item: Item) -> Hold:
    try:
        return Hold.of(json.loads(item["hold"]["S"]))
    except (KeyError, TypeError, ValueError):
        # Not chained: the error may quote the row.
        raise UnreadableRecordError("a hold's row is not of this version") from None
