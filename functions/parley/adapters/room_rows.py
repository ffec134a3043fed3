"""Video rooms, and the people of rooms and conversations, in the table.

A room stands in a partition of its own, as a session does, and is found by each of its people as long as they may be in
it, and by the index of what goes on. Its rows are of the class `interaction-log`, as the records that come of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from parley.adapters.records import RecordRows
from parley.adapters.session_items import Item, party_key, session_key
from parley.adapters.sessions import OPEN_SESSIONS, SessionRows
from parley.adapters.table import ABSENT, ITEMS_LIMIT, beginning, epoch, number, unchanged
from parley.core.consent import Head
from parley.core.record_classes import RecordClass
from parley.core.rooms import LONGEST_STAY, Room
from parley.ports import LedgerError, UnreadableRecordError

ROOM = "ROOM"
LIVE = "rooms"
"""The partition of the index for rooms that go on."""
CLASS = str(RecordClass.INTERACTION_LOG)


class RoomRows(SessionRows, RecordRows):
    """The rooms' part of `parley.ports.Ledger`."""

    def room(self, sid: str) -> Room | None:
        """Return what is known of a room, or None. Raises UnreadableRecordError."""
        item = self.get_one(session_key(sid, ROOM))
        return _room(item) if item and not self.expired(item) else None

    def rooms_of(self, party: str) -> list[Room]:
        """Return the rooms that one person may be in."""
        pointers = self.query(beginning(party_key(party, ""), f"{ROOM}#"), ConsistentRead=True)
        live = [pointer["sk"]["S"].removeprefix(f"{ROOM}#") for pointer in pointers if not self.expired(pointer)]
        return [_room(item) for item in self.get([session_key(sid, ROOM) for sid in live]) if item]

    def rooms_on(self) -> list[str]:
        """Return the SIDs of the rooms that go on; the youngest may be missing."""
        condition = {
            "KeyConditionExpression": "open_shard = :shard",
            "ExpressionAttributeValues": {":shard": {"S": LIVE}},
        }
        return [item["pk"]["S"].removeprefix("SESSION#") for item in self.query(condition, IndexName=OPEN_SESSIONS)]

    def heads(self, parties: Iterable[str]) -> dict[str, Head]:
        """Return the ends of people's chains: whoever says something moves theirs."""
        people = list(dict.fromkeys(parties))
        items = self.get([party_key(party, "HEAD") for party in people])
        return {
            party: Head(int(item["seq"]["N"]), item["record_hash"]["S"]) if item else Head()
            for party, item in zip(people, items, strict=True)
        }

    def write_room(self, before: Room | None, after: Room, heads: Mapping[str, Head] | None = None) -> bool:
        """Write a room; return False if it is not as it was read any more.

        With `heads` it is written on condition too that these people have said nothing since, and each of them finds
        the room for as long as they may be in it. Raises LedgerError.
        """
        key = session_key(after.sid, ROOM)
        item = {} if before is None else self.get_one(key)
        if before is not None and (not item or _room(item) != before):
            return False
        kept = {name: value for name, value in item.items() if name.endswith("expires_at")}
        written = {
            **key,
            "room": {"S": after.to_json()},
            "seq": number(int(item["seq"]["N"]) + 1 if item else 1),
            **(kept or self.ttl(CLASS, after.first_at)),
            **({"open_shard": {"S": LIVE}} if after.goes_on else {}),
        }
        found = {"expires_at": number(epoch(self.clock.now() + LONGEST_STAY))}
        writes: list[Item] = [
            *(self._unsaid(party, head) for party, head in (heads or {}).items()),
            self.put(written, unchanged(item)),
            *(self.put({**party_key(party, f"{ROOM}#{after.sid}"), **found}, {}) for party in heads or {}),
        ]
        if before is None or before.parties != after.parties:
            self.meet(after.sid, after.parties)
        return self.commit(writes)

    def meet(self, name: str, parties: Iterable[str]) -> None:
        """Let the people of a room or conversation be found to have been in it, as long as the log of it is kept.

        Raises LedgerError.
        """
        writes = self._past(name, tuple(parties))
        for start in range(0, len(writes), ITEMS_LIMIT):
            if not self.commit(writes[start : start + ITEMS_LIMIT]):
                raise LedgerError("too many writers at once for the people of a room")

    def _unsaid(self, party: str, head: Head) -> Item:
        """Return the check that a person's chain ends where it did."""
        condition = {"ConditionExpression": "seq = :seq", "ExpressionAttributeValues": {":seq": number(head.seq)}}
        key = party_key(party, "HEAD")
        return {"ConditionCheck": {"TableName": self.name, "Key": key, **(condition if head.seq else ABSENT)}}


def _room(item: Item) -> Room:
    try:
        return Room.from_json(item["room"]["S"])
    except (KeyError, TypeError, ValueError):
        # Not chained: the error may quote the row.
        raise UnreadableRecordError("a room's row is not of this version") from None
