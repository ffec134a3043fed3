"""The row of a session, as far as the intercept reads it: nothing is imported here that it does not need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from parley.core import moments

if TYPE_CHECKING:
    from parley.core.admission import Admission
    from parley.ports import Clock

Item = dict[str, Any]


def session_key(sid: str, sort: str = "SESSION") -> Item:
    """Return the key of a row of one session, by Twilio's SID or the id of its intent."""
    return {"pk": {"S": f"SESSION#{sid}"}, "sk": {"S": sort}}


def party_key(party: str, sort: str) -> Item:
    """Return the key of a row of one person."""
    return {"pk": {"S": f"PARTY#{party}"}, "sk": {"S": sort}}


def ends_at(item: Item) -> int:
    """Return when the time of a row is over, in epoch seconds; a legal hold remembers it as `held_expires_at`."""
    return int((item.get("expires_at") or item["held_expires_at"])["N"])


def admission_of(item: Item) -> Admission:
    """Return what of the session of a row decides whether an interaction passes."""
    from parley.core.admission import Admission  # noqa: PLC0415 - the rows of lines have none

    revocation = json.loads(item["revocation"]["S"]) if "revocation" in item else None
    return Admission(
        service_sid=item["service_sid"]["S"],
        participants={sid: party for sid, party, *_ in json.loads(item["participants"]["S"])},
        closes_at=moments.from_text(item["closes_at"]["S"]),
        status=item["status"]["S"],
        records=tuple(json.loads(item["records"]["S"])),
        revoked=revocation and (revocation["record_id"], revocation["reason"]),
    )


class SessionRead:
    """The ledger's one read that Twilio waits for. `client` is boto3's of DynamoDB, or what reads as it does."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def admission(self, sid: str) -> Admission | None:
        """Return what of a session decides, None if there is none; raises whatever went wrong."""
        found = self._client.get_item(TableName=self._table, Key=session_key(sid), ConsistentRead=True)
        item = found.get("Item")
        if not item or ends_at(item) <= int(self._clock.now().timestamp()):
            return None
        return admission_of(item)
