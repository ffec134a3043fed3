"""A session as its row has it: all that the intercept reads, so nothing is imported here that it does not need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parley.core import moments
from parley.core.consent import Scope
from parley.core.sessions import Participant, Revocation, Session, Status

if TYPE_CHECKING:
    from parley.core.jurisdiction import Location
    from parley.ports import Clock

Item = dict[str, Any]


def session_key(sid: str, sort: str = "SESSION") -> Item:
    """Return the key of a row of one session, by Twilio's SID or the id of its intent."""
    return {"pk": {"S": f"SESSION#{sid}"}, "sk": {"S": sort}}


def ends_at(item: Item) -> int:
    """Return when the time of a row is over, in epoch seconds; a legal hold remembers it as `held_expires_at`."""
    return int((item.get("expires_at") or item["held_expires_at"])["N"])


def session_of(item: Item, places: Mapping[str, Location]) -> Session:
    """Return the session of a row; `places` are where its parties were said to be."""
    closed_at = item.get("closed_at")
    revocation = json.loads(item["revocation"]["S"]) if "revocation" in item else None
    return Session(
        sid=item["pk"]["S"].removeprefix("SESSION#"),
        service_sid=item["service_sid"]["S"],
        participants=tuple(Participant(*each) for each in json.loads(item["participants"]["S"])),
        mode=item["mode"]["S"],
        opened_at=moments.from_text(item["opened_at"]["S"]),
        closes_at=moments.from_text(item["closes_at"]["S"]),
        status=Status(item["status"]["S"]),
        closed_at=moments.from_text(closed_at["S"]) if closed_at else None,
        closed_reason=item.get("closed_reason", {}).get("S", ""),
        intent=item["intent"]["S"],
        name=item["name"]["S"] if "name" in item else None,
        records=tuple(json.loads(item["records"]["S"])),
        scopes=tuple(Scope(scope) for scope in json.loads(item["scopes"]["S"])),
        asks=tuple(Scope(scope) for scope in json.loads(item["asks"]["S"])) if "asks" in item else (),
        places=places,
        revocation=revocation
        and Revocation(revocation["record_id"], moments.from_text(revocation["at"]), revocation["reason"]),
        idle=int(item["idle"]["N"]) if "idle" in item else 0,
    )


class SessionRead:
    """The ledger's one read that Twilio waits for. `client` is boto3's of DynamoDB, or what reads as it does."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def session(self, sid: str) -> Session | None:
        """Return a session without the places of its parties, None if there is none; raises whatever went wrong."""
        found = self._client.get_item(TableName=self._table, Key=session_key(sid), ConsistentRead=True)
        item = found.get("Item")
        if not item or ends_at(item) <= int(self._clock.now().timestamp()):
            return None
        return session_of(item, {})
