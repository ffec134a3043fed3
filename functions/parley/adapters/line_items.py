"""The row of a line, which is read before anybody is connected (`direct`): no more is imported than that needs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from parley.adapters.places import places_from_json
from parley.adapters.session_items import Item, ends_at, party_key
from parley.core import moments
from parley.core.consent import Scope
from parley.core.lines import Line, LineStatus, Peer
from parley.core.sessions import Revocation

if TYPE_CHECKING:
    from parley.ports import Clock

PREFIX = "LINE#"


def line_key(party: str, masked_number: str) -> Item:
    """Return the key of a line."""
    return party_key(party, PREFIX + masked_number)


def is_line(item: Item, now: datetime) -> bool:
    """Tell whether an item is a line that still counts: one that was only touched has no session."""
    return "sid" in item and ends_at(item) > int(now.timestamp())


def line_of(item: Item) -> Line:
    """Return the line of a row."""
    said = json.loads(item["revocation"]["S"]) if "revocation" in item else None
    return Line(
        party=item["pk"]["S"].removeprefix("PARTY#"),
        masked_number=item["sk"]["S"].removeprefix(PREFIX),
        participant=item["participant"]["S"],
        session=item["sid"]["S"],
        intent=item["intent"]["S"],
        peers=tuple(Peer(*each) for each in json.loads(item["peers"]["S"])),
        mode=item["mode"]["S"],
        status=LineStatus(item["status"]["S"]),
        opened_at=moments.from_text(item["opened_at"]["S"]),
        closes_at=moments.from_text(item["closes_at"]["S"]),
        scopes=tuple(Scope(scope) for scope in json.loads(item["scopes"]["S"])) if "scopes" in item else (),
        asks=tuple(Scope(scope) for scope in json.loads(item["asks"]["S"])) if "asks" in item else (),
        records=tuple(json.loads(item["records"]["S"])) if "records" in item else (),
        places=places_from_json(item["places"]["S"]) if "places" in item else {},
        revocation=said and Revocation(said["record_id"], moments.from_text(said["at"]), said["reason"]),
        idle=int(item["idle"]["N"]),
        last_at=moments.from_text(item["last_at"]["S"]) if "last_at" in item else None,
        seen=len(item.get("seen", {}).get("SS", ())),
    )


class LineRead:
    """The ledger's read before a call goes on. `client` is boto3's of DynamoDB, or what reads as it does."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def line(self, party: str, masked_number: str) -> Line | None:
        """Return the line by which a person reaches a session on a masked number; raises whatever went wrong."""
        key = line_key(party, masked_number)
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})
        return line_of(item) if is_line(item, self._clock.now()) else None
