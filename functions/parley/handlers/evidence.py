"""The ledger's stream: each new consent record is copied into the evidence bucket, once, and nothing else is.

Lambda hands over the new rows of records in the order in which they were written; for one person that is the order of
the chain. A copy that cannot be made now is reported as failed, and Lambda comes again from there on, so no later
record of a person is copied before an earlier one. A row that holds no record is no matter of trying again: it is
told, counted and passed over, since everybody behind it would have to wait.

Called with `{"party": "<party key>"}` it copies what is missing of one person, if the chain verifies: the way out
after a failure that outlived the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parley import log, runtime
from parley.adapters.chains import row
from parley.core.chains import COPY_WITHIN, REFUSED, RowError, read_row, verified
from parley.core.identity import is_party_key, label
from parley.core.verification import METRICS
from parley.ports import CopyError

RESERVE_MILLISECONDS = 10_000
"""How long before its end a run starts no other copy: one may take two attempts of three seconds."""


class NotAPartyKeyError(ValueError):
    """A direct call names nobody."""


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Copy the records of a batch, or those of one person."""
    if "Records" not in event:
        return _copy_person(event.get("party"))
    for record in event["Records"]:
        if not _is_new_record(record):
            continue
        if _is_late(context) or not _copy(record["dynamodb"]["NewImage"]):
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
    return {"batchItemFailures": []}


def _is_new_record(record: Mapping[str, Any]) -> bool:
    """Tell whether a change is a new record: the mapping's filter asks for nothing else, and this does not rely on it.

    Whatever else a person's rows hold, the vault with the contact included, must never get into the bucket.
    """
    keys = record["dynamodb"]["Keys"]
    new = record["eventName"] == "INSERT" and keys["pk"]["S"].startswith("PARTY#")
    return new and bool(keys["sk"]["S"].startswith("EVENT#"))


def _copy(image: Mapping[str, Any]) -> bool:
    """Copy the record of a row; return False if it must be tried again."""
    party, held = image["pk"]["S"].removeprefix("PARTY#"), row(dict(image))
    try:
        record = read_row(party, held.seq, held.text)
    except RowError as error:
        log.emit("record-not-copied", "ERROR", party=label(party), seq=held.seq, reason=str(error))
        log.measure(METRICS, {"Stack": runtime.environment().stack}, {REFUSED: 1})
        return True
    try:
        kept = runtime.copies().keep(record, held.leaves_at)
    except CopyError as error:
        log.emit("copy-failed", "WARNING", party=label(party), seq=record.seq, reason=str(error))
        return False
    log.emit("record-copied", party=label(party), seq=record.seq, record=record.record_id, repeated=not kept)
    return True


def _copy_person(party: object) -> dict[str, Any]:
    """Copy what is missing of one person; return how many records were copied, and how many are too old for it.

    Raises NotAPartyKeyError, ChainError, LedgerError, CopyError.
    """
    if not isinstance(party, str) or not is_party_key(party):
        raise NotAPartyKeyError('call it with {"party": "<party key of 64 hex digits>"}')
    now = runtime.clock().now()
    chain = runtime.ledger().chain(party)
    leaving = {row.seq: row.leaves_at for row in chain.rows}
    records = verified(chain, now)
    young = [record for record in records if record.recorded_at > now - COPY_WITHIN]
    copied = [runtime.copies().keep(record, leaving[record.seq]) for record in young]
    done = {"copied": sum(copied), "too_old": len(records) - len(young)}
    log.emit("person-copied", party=label(party), **done)
    return done


def _is_late(context: Any) -> bool:
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return remaining is not None and remaining() < RESERVE_MILLISECONDS
