"""Records and the way each has come, in the table: one row a record, found by its SID, its session and its people.

The rows are of the class `interaction-log`: they say what was captured of an interaction, and have to outlive it, since
an erasure and a legal hold find what there is of a person by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from parley.adapters.session_items import Item, party_key, session_key
from parley.adapters.table import ABSENT, Table, beginning, number
from parley.core.record_classes import RecordClass
from parley.core.records import Record
from parley.ports import LedgerError, UnreadableRecordError

RECORD = "RECORD#"
CLASS = str(RecordClass.INTERACTION_LOG)


class RecordRows(Table):
    """The records' part of `parley.ports.Ledger`."""

    def record(self, sid: str) -> Record | None:
        """Return a record, or None if there is none. Raises UnreadableRecordError."""
        item = self.get_one(_key(sid))
        return _record(item) if item and not self.gone(item) else None

    def records_by_sid(self, sids: Sequence[str]) -> dict[str, Record]:
        """Return the records that there are of these SIDs. Raises UnreadableRecordError."""
        found = (_record(item) for item in self.get([_key(sid) for sid in sids]) if item and not self.gone(item))
        return {record.sid: record for record in found}

    def begin_record(self, record: Record) -> Record:
        """Write a record that is new, with what finds it; return the one that is there, whoever wrote it.

        Raises LedgerError.
        """
        if self.commit(self.record_writes(record)):
            return record
        found = self.record(record.sid)
        if found is None:
            raise LedgerError("too many writers at once for one record")
        return found

    def record_writes(self, record: Record) -> list[Item]:
        """Return the writes of a transaction that write a record that is new, with what finds it."""
        ttl = self.ttl(CLASS, record.made_at)
        pointers = [party_key(party, f"{RECORD}{record.sid}") for party in record.parties]
        if record.session:
            pointers.append(session_key(record.session, f"{RECORD}{record.sid}"))
        return [
            self.put({**_item(record, 1), **ttl}, ABSENT),
            *(self.put({**pointer, **ttl}, {}) for pointer in pointers),
        ]

    def advance(self, before: Record, after: Record) -> bool:
        """Write how far a record has come; return False if it is not as it was read any more.

        Raises LedgerError.
        """
        item = self.get_one(_key(before.sid))
        if not item or _record(item) != before:
            return False
        same = {"ConditionExpression": "seq = :seq", "ExpressionAttributeValues": {":seq": item["seq"]}}
        written = {**item, **_item(after, int(item["seq"]["N"]) + 1)}
        return self.commit([self.put(written, same)])

    def records_of(self, party: str) -> Iterator[Record]:
        """Yield the records of one person."""
        return self._pointed_at(party_key(party, ""))

    def records_in(self, session: str) -> Iterator[Record]:
        """Yield the records of one session."""
        return self._pointed_at(session_key(session))

    def _pointed_at(self, partition: Item) -> Iterator[Record]:
        pointers = self.query(beginning(partition, RECORD), ConsistentRead=True)
        keys = [_key(pointer["sk"]["S"].removeprefix(RECORD)) for pointer in pointers]
        for item in self.get(keys):
            if item:
                yield _record(item)


def _key(sid: str) -> Item:
    return {"pk": {"S": f"{RECORD}{sid}"}, "sk": {"S": "RECORD"}}


def _item(record: Record, seq: int) -> Item:
    return {**_key(record.sid), "record": {"S": record.to_json()}, "seq": number(seq)}


def _record(item: Item) -> Record:
    try:
        return Record.of(json.loads(item["record"]["S"]))
    except (KeyError, TypeError, ValueError):
        # Not chained: the error may quote the row.
        raise UnreadableRecordError("a record's row is not of this version") from None
