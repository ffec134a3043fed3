"""Captures, that is what is known of the recording of each call, in the table.

A capture stands with its session, and is found by its call, by each of its people while the call may last, and by the
index of what goes on. Its rows are of the class `interaction-log`, as the records that come of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from parley.adapters.records import RecordRows
from parley.adapters.session_items import Item, party_key, session_key
from parley.adapters.sessions import OPEN_SESSIONS, SessionRows
from parley.adapters.table import beginning, epoch, number, unchanged
from parley.core.consent import Scope, Standing
from parley.core.record_classes import RecordClass
from parley.core.recording import PATIENCE, Capture
from parley.core.records import Record
from parley.core.sessions import LONGEST_CALL
from parley.ports import UnreadableRecordError

CAPTURE = "CAPTURE#"
CAPTURING = "capturing"
"""The partition of the index for captures that go on: a call each, for as long as it lasts."""
CLASS = str(RecordClass.INTERACTION_LOG)
SCOPES = (Scope.MANAGE, Scope.RECORD_VOICE)
"""What a recording rests on."""


class CaptureRows(SessionRows, RecordRows):
    """The captures' part of `parley.ports.Ledger`."""

    def capture(self, call: str) -> Capture | None:
        """Return what is known of the recording of a call, or None. Raises UnreadableRecordError."""
        pointer = self.get_one(_call_key(call))
        item = self.get_one(_key(pointer["session"]["S"], call)) if pointer else {}
        return _capture(item) if item and not self.expired(item) else None

    def captures_in(self, session: str) -> list[Capture]:
        """Return the captures of a session, oldest first."""
        items = self.query(beginning(session_key(session), CAPTURE), ConsistentRead=True)
        return sorted((_capture(item) for item in items if not self.expired(item)), key=lambda one: one.first_at)

    def captures_of(self, party: str) -> list[Capture]:
        """Return the captures of one person whose calls may still go on."""
        pointers = self.query(beginning(party_key(party, ""), CAPTURE), ConsistentRead=True)
        keys = [
            _key(pointer["session"]["S"], pointer["sk"]["S"].removeprefix(CAPTURE))
            for pointer in pointers
            if not self.expired(pointer)
        ]
        return [_capture(item) for item in self.get(keys) if item]

    def captures_on(self) -> list[str]:
        """Return the SIDs of the calls whose captures go on; the youngest may be missing."""
        condition = {
            "KeyConditionExpression": "open_shard = :shard",
            "ExpressionAttributeValues": {":shard": {"S": CAPTURING}},
        }
        return [item["sk"]["S"].removeprefix(CAPTURE) for item in self.query(condition, IndexName=OPEN_SESSIONS)]

    def write_capture(
        self,
        before: Capture | None,
        after: Capture,
        standings: Sequence[Standing] | None = None,
        record: Record | None = None,
    ) -> bool:
        """Write how far the recording of a call has come; return False if it is not as it was read any more.

        With `standings` it is written on condition too that the consents still stand as in them, with `record` together
        with the record of the recording. Raises LedgerError.
        """
        item = {} if before is None else self.get_one(_key(before.session, before.call))
        if before is not None and (not item or _capture(item) != before):
            return False
        ttl = self.ttl(CLASS, after.first_at)
        kept = {name: value for name, value in item.items() if name.endswith("expires_at")} or ttl
        seq = int(item["seq"]["N"]) if item else 0
        writes: list[Item] = [
            *([] if standings is None else self._checks(after.parties, SCOPES, standings)),
            self.put({**_item(after, seq + 1), **kept}, unchanged(item)),
            *([] if record is None else self.record_writes(record)),
        ]
        if before is None or after.first_at != before.first_at:
            session = {"session": {"S": after.session}}
            found = {"expires_at": number(epoch(after.first_at + PATIENCE + LONGEST_CALL))}
            writes.append(self.put({**_call_key(after.call), **session, **ttl}, {}))
            writes += [
                self.put({**party_key(party, f"{CAPTURE}{after.call}"), **session, **found}, {})
                for party in after.parties
            ]
        return self.commit(writes)


def _key(session: str, call: str) -> Item:
    return session_key(session, f"{CAPTURE}{call}")


def _call_key(call: str) -> Item:
    return {"pk": {"S": f"CALL#{call}"}, "sk": {"S": "CAPTURE"}}


def _item(capture: Capture, seq: int) -> Item:
    shard = {"open_shard": {"S": CAPTURING}} if capture.goes_on else {}
    return {**_key(capture.session, capture.call), "capture": {"S": capture.to_json()}, "seq": number(seq), **shard}


def _capture(item: Item) -> Capture:
    try:
        return Capture.from_json(item["capture"]["S"])
    except (KeyError, TypeError, ValueError):
        # Not chained: the error may quote the row.
        raise UnreadableRecordError("a capture's row is not of this version") from None
