"""Who was let read a record, in the table, beside the record: a row a reading, which nobody here can take back."""

from __future__ import annotations

import json
import secrets

from parley.adapters.session_items import Item
from parley.adapters.table import ABSENT, Table, beginning
from parley.core import moments
from parley.core.access import Read
from parley.core.record_classes import RecordClass
from parley.ports import UnreadableRecordError

CLASS = str(RecordClass.INTERACTION_LOG)


class ReadRows(Table):
    """The readings' part of `parley.ports.Ledger`."""

    def log_read(self, read: Read) -> None:
        """Write that somebody was let read a record. Two at one moment are two rows."""
        sort = f"READ#{moments.to_text(read.at)}#{secrets.token_hex(4)}"
        item = {**_partition(read.sid), "sk": {"S": sort}, "read": {"S": read.to_json()}, **self.ttl(CLASS, read.at)}
        self.call("put_item", Item=item, **ABSENT)

    def reads_of(self, sid: str) -> list[Read]:
        """Return who was let read a record, oldest first. Raises UnreadableRecordError."""
        items = self.query(beginning(_partition(sid), "READ#"), ConsistentRead=True)
        try:
            return [Read.of(json.loads(item["read"]["S"])) for item in items if not self.gone(item)]
        except (KeyError, TypeError, ValueError):
            raise UnreadableRecordError("the row of a reading is not of this version") from None


def _partition(sid: str) -> Item:
    return {"pk": {"S": f"RECORD#{sid}"}}
