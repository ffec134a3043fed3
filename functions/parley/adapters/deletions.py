"""What waits to be deleted at Twilio, and how many requests all workers keep to, in the table.

A deletion that Twilio refuses, or that something else has to come before, is a row until it is done. What is done is
not removed from the table, which nobody here may do: it is settled, found no more, and leaves by its time to live.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from parley.adapters.session_items import Item, party_key, session_key
from parley.adapters.table import (
    SHARDS,
    ConditionFailedError,
    Table,
    beginning,
    epoch,
    number,
    party_condition,
    shard_of,
)
from parley.core import moments
from parley.core.consent import RETENTION_CLASS, canonical_json, sha256_hex
from parley.core.limiter import Limit
from parley.core.record_classes import RecordClass
from parley.core.records import Resource, ResourceKind
from parley.core.sweeping import PendingDeletion, Why

CLASS = str(RecordClass.INTERACTION_LOG)
DELETION = "DELETION#"


class DeletionRows(Table):
    """The deletions' part of `parley.ports.Ledger`."""

    def postpone_deletion(
        self,
        resource: Resource,
        due: datetime,
        first_asked_at: datetime,
        record_sid: str = "",
        why: Why = Why.REFUSED,
    ) -> None:
        """Note that a resource is to be deleted later, and why; refusals are counted, from the first one on."""
        refused = why is Why.REFUSED
        counted = "if_not_exists(attempts, :none) + :one" if refused else ":none"
        first = "if_not_exists(first_asked_at, :first)" if refused else ":first"
        values = {
            ":kind": {"S": str(resource.kind)},
            ":parent": {"S": resource.parent},
            ":body": {"BOOL": resource.holds_body},
            ":due": number(epoch(due)),
            ":first": {"S": moments.to_text(first_asked_at)},
            ":why": {"S": str(why)},
            ":record": {"S": record_sid},
            ":none": number(0),
            # Counted from when it is due: the row must outlast what it is for.
            ":end": self.ttl(CLASS, due)["expires_at"],
            **({":one": number(1)} if refused else {}),
        }
        self.call(
            "update_item",
            Key=_key(resource.sid),
            UpdateExpression="SET kind = :kind, parent = :parent, holds_body = :body, due = :due, why = :why,"
            f" record_sid = :record, expires_at = :end, attempts = {counted}, first_asked_at = {first}",
            ExpressionAttributeValues=values,
        )

    def settle_deletion(self, resource: Resource) -> None:
        """Note that a resource that waited is gone; one that never waited is no error."""
        try:
            self.call(
                "update_item",
                Key=_key(resource.sid),
                UpdateExpression="SET expires_at = :now REMOVE due, attempts, first_asked_at",
                ConditionExpression="attribute_exists(due)",
                ExpressionAttributeValues={":now": number(epoch(self.clock.now()))},
            )
        except ConditionFailedError:
            return

    def pending_deletions(self) -> Iterator[PendingDeletion]:
        """Yield everything that waits, due or not."""
        for shard in SHARDS:
            items = self.query(
                beginning({"pk": {"S": f"DELETIONS#{shard}"}}, DELETION),
                FilterExpression="attribute_exists(due)",
                ConsistentRead=True,
            )
            yield from map(_pending, items)

    def due_deletions(self, now: datetime, limit: int) -> list[PendingDeletion]:
        """Return at most `limit` of those that are to be tried again now, the longest due first."""
        due = [each for each in self.pending_deletions() if each.due <= now]
        return sorted(due, key=lambda each: each.due)[:limit]

    def waiting(self, sids: Sequence[str]) -> dict[str, PendingDeletion]:
        """Return those of `sids` that wait, with what for."""
        return {
            one.resource.sid: one
            for one in (_pending(item) for item in self.get([_key(sid) for sid in sids]) if item and "due" in item)
        }

    def has_heard(self, party: str, source: str) -> bool:
        """Tell whether something that a person said was taken, `source` being its id."""
        return bool(self.get_one(party_key(party, f"SOURCE#{sha256_hex(source)}")))

    def sessions_of(self, party: str) -> tuple[str, ...]:
        """Return the SIDs of the sessions of one person of which anything is kept, open or closed."""
        items = self.query(party_condition(party, "PAST#KC"), ConsistentRead=True)
        return tuple(item["sk"]["S"].removeprefix("PAST#") for item in items)

    def resources_in(self, session: str) -> frozenset[str]:
        """Return the SIDs of the messages and calls that the log of a session's interactions names."""
        items = self.query(beginning(session_key(session), "INTERACTION#"), ConsistentRead=True)
        names = ("inbound_resource", "outbound_resource", "sid")
        return frozenset(item[name]["S"] for item in items for name in names if name in item)

    def request_limit(self, name: str) -> Limit:
        """Return how many requests each worker may have in flight at a part of Twilio."""
        item = self.get_one(_limit_key(name))
        return _limit(item["value"]["S"]) if item else Limit()

    def set_request_limit(self, name: str, before: Limit, after: Limit) -> bool:
        """Write another limit; return False if it is not `before` any more."""
        kept, written = _text(before), _text(after)
        try:
            self.call(
                "put_item",
                Item={**_limit_key(name), "value": {"S": written}, **self.ttl(RETENTION_CLASS)},
                ConditionExpression="attribute_not_exists(pk) OR #value = :before",
                ExpressionAttributeNames={"#value": "value"},
                ExpressionAttributeValues={":before": {"S": kept}},
            )
        except ConditionFailedError:
            return False
        return True


def _key(sid: str) -> Item:
    return {"pk": {"S": f"DELETIONS#{shard_of(sid)}"}, "sk": {"S": f"{DELETION}{sid}"}}


def _limit_key(name: str) -> Item:
    return {"pk": {"S": "SWEEP"}, "sk": {"S": f"LIMIT#{name}"}}


def _pending(item: Item) -> PendingDeletion:
    kind = ResourceKind(item["kind"]["S"])
    return PendingDeletion(
        Resource(kind, item["sk"]["S"].removeprefix(DELETION), item["parent"]["S"], item["holds_body"]["BOOL"]),
        due=datetime.fromtimestamp(int(item["due"]["N"]), UTC),
        first_asked_at=moments.from_text(item["first_asked_at"]["S"]),
        attempts=int(item["attempts"]["N"]),
        why=Why(item["why"]["S"]),
        record_sid=item["record_sid"]["S"],
    )


def _text(limit: Limit) -> str:
    told: dict[str, Any] = {"permits": f"{limit.permits:.3f}"}
    moments_ = {"since": limit.since, "refused_at": limit.refused_at}
    return canonical_json(told | {name: moments.to_text(each) for name, each in moments_.items() if each is not None})


def _limit(text: str) -> Limit:
    told = json.loads(text)
    read = {name: moments.from_text(told[name]) for name in ("since", "refused_at") if name in told}
    return Limit(float(told["permits"]), read.get("since"), read.get("refused_at"))
