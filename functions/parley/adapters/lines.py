"""Lines in the table: the pairs of a party and a masked number by which the sessions of our own are found (`direct`).

A line is the row `LINE#<masked number>` of its party: whom it leads to, until when, and whether it still does.
Its `kept_until` (epoch seconds) says from when it may be given away: a minute after that, when its session is over, or
its reservation. A line that is closed has 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parley.adapters.line_items import PREFIX, is_line, line_key, line_of
from parley.adapters.places import places_to_json
from parley.adapters.session_items import Item
from parley.adapters.table import ConditionFailedError, Table, epoch, ledger_error, number, party_condition
from parley.core import moments
from parley.core.consent import canonical_json
from parley.core.lines import GRACE, RESERVED_FOR, Line, LineStatus
from parley.core.sessions import Session

OF_ONE_SESSION = ("revocation", "records", "scopes", "asks", "places", "last_at")
"""What a line has of its session and is not written when a number is reserved for the next one."""

SEEN_LIMIT = 64
"""How many SIDs of texts and calls a line remembers at least: twice as many before the older half is forgotten."""


class LineRows(Table):
    """The part of `parley.ports.Ledger` about lines."""

    def line(self, party: str, masked_number: str) -> Line | None:
        """Return the line by which a person reaches a session on a masked number: one read of one row."""
        item = self.get_one(line_key(party, masked_number))
        return line_of(item) if is_line(item, self.clock.now()) else None

    def lines_of(self, party: str) -> list[Line]:
        """Return all lines of a person, closed ones included."""
        items = self.query(party_condition(party, PREFIX), ConsistentRead=True)
        return [line_of(item) for item in items if is_line(item, self.clock.now())]

    def lines_in(self, session: Session) -> list[Line]:
        """Return the lines of a session that are still its own, in the order of its participants."""
        keys = [line_key(one.party, one.masked_number) for one in session.participants if one.masked_number]
        items = [item for item in self.get(keys) if is_line(item, self.clock.now())]
        return [line_of(item) for item in items if item["sid"]["S"] == session.sid]

    def reserve_lines(self, lines: Sequence[Line]) -> bool:
        """Keep the numbers of a session that is being opened; return False if one of them was given away meanwhile.

        What came by a line before is still remembered: a text that is told again must not reach the next session.
        """
        now = self.clock.now()
        until = number(epoch(now + RESERVED_FOR))
        return self.commit([self._reserving(line, {"kept_until": until, **self.ttl("session-map")}) for line in lines])

    def _reserving(self, line: Line, ends: Item) -> Item:
        fields = {name: value for name, value in _item(line).items() if name not in {"pk", "sk"}} | ends
        sets = ", ".join(f"#{name} = :{name}" for name in fields)
        return {
            "Update": {
                "TableName": self.name,
                "Key": line_key(line.party, line.masked_number),
                "UpdateExpression": f"SET {sets} REMOVE {', '.join(OF_ONE_SESSION)}",
                "ConditionExpression": "attribute_not_exists(sid) OR kept_until < :now",
                "ExpressionAttributeNames": {f"#{name}": name for name in fields},
                "ExpressionAttributeValues": {
                    **{f":{name}": value for name, value in fields.items()},
                    ":now": number(epoch(self.clock.now() - GRACE)),
                },
            }
        }

    def opening(self, session: Session) -> list[Item]:
        """Return the writes that open the lines of a session, on condition that they are still reserved for it."""
        values = {
            ":sid": {"S": session.sid},
            ":reserved": {"S": LineStatus.RESERVED},
            ":open": {"S": LineStatus.OPEN},
            ":records": {"S": canonical_json(session.records)},
            ":scopes": {"S": canonical_json(session.scopes)},
            ":asks": {"S": canonical_json(session.asks)},
            ":places": {"S": places_to_json(session.places)},
            ":until": number(epoch(session.closes_at)),
            ":end": self.ttl("session-map", session.closes_at)["expires_at"],
        }
        return [
            {
                "Update": {
                    "TableName": self.name,
                    "Key": line_key(one.party, one.masked_number),
                    "UpdateExpression": "SET #status = :open, records = :records, scopes = :scopes, asks = :asks,"
                    " places = :places, kept_until = :until, expires_at = :end",
                    "ConditionExpression": "sid = :sid AND #status = :reserved",
                    "ExpressionAttributeNames": {"#status": "status"},
                    "ExpressionAttributeValues": values,
                }
            }
            for one in session.participants
            if one.masked_number
        ]

    def renew_lines(self, session: Session) -> bool:
        """Let the lines of a session say what the session says; return False if one of them leads nowhere any more."""
        values = {
            ":closes": {"S": moments.to_text(session.closes_at)},
            ":scopes": {"S": canonical_json(session.scopes)},
            ":places": {"S": places_to_json(session.places)},
            ":until": number(epoch(session.closes_at)),
            ":end": self.ttl("session-map", session.closes_at)["expires_at"],
            ":open": {"S": LineStatus.OPEN},
        }
        sets = "closes_at = :closes, scopes = :scopes, places = :places, kept_until = :until, expires_at = :end"
        condition = "#status = :open AND attribute_not_exists(revocation)"
        places = [(one.party, one.masked_number) for one in session.participants]
        return all(self._set(place, session.sid, sets, values, condition) for place in places)

    def close_lines(self, sid: str, places: Iterable[tuple[str, str]]) -> None:
        """Close the lines of a session, given as party and masked number; those that are another one's by now stay."""
        values = {":closed": {"S": LineStatus.CLOSED}, ":zero": number(0)}
        for place in places:
            self._set(place, sid, "#status = :closed, kept_until = :zero", values)

    def _set(self, place: tuple[str, str], sid: str, sets: str, values: Item, condition: str = "") -> bool:
        """Change a line if it is the session's and a condition holds; return False if not."""
        expressions = f"{sets} {condition}"
        try:
            self.call(
                "update_item",
                Key=line_key(*place),
                UpdateExpression=f"SET {sets}",
                ConditionExpression=f"sid = :sid AND {condition}" if condition else "sid = :sid",
                ExpressionAttributeValues={**values, ":sid": {"S": sid}},
                **({"ExpressionAttributeNames": {"#status": "status"}} if "#status" in expressions else {}),
            )
        except ConditionFailedError:
            return False
        return True

    def claim(self, party: str, masked_number: str, resource: str) -> tuple[Line | None, bool]:
        """Read a line and note the SID of a text or call that came by it, in one request; tell if it was noted before.

        Whoever is told that it was not is the only one who passes a text on. None: there is no such line. When
        something passed last stays as it is: what is refused must not wake a session that ended because nothing passed.
        """
        try:
            answer = self._client.update_item(
                TableName=self.name,
                Key=line_key(party, masked_number),
                UpdateExpression="ADD seen :seen",
                ConditionExpression="attribute_exists(sid) AND NOT contains(seen, :resource)"
                " AND NOT contains(seen_before, :resource)",
                ExpressionAttributeValues={
                    ":seen": {"SS": [resource]},
                    ":resource": {"S": resource},
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise ledger_error(error) from None
            held: Mapping[str, Any] = error.response
            item = held.get("Item") or {}
            return (line_of(item), True) if is_line(item, self.clock.now()) else (None, False)
        except BotoCoreError as error:
            raise ledger_error(error) from None
        item = answer["Attributes"]
        if not is_line(item, self.clock.now()):
            return None, False
        return line_of(item), False

    def unclaim(self, line: Line, resource: str) -> None:
        """Forget that a text came by a line: nothing was passed on, and it may be tried again."""
        self.call(
            "update_item",
            Key=line_key(line.party, line.masked_number),
            UpdateExpression="DELETE seen :seen",
            ExpressionAttributeValues={":seen": {"SS": [resource]}},
        )

    def touch_lines(self, line: Line, now: datetime, keep: str = "") -> None:
        """Note on all lines of a session that something passed, which puts off the end of an idle one.

        A line that remembers many messages begins anew with `keep`, and forgets those from before the last beginning.
        """
        for place in ((line.party, line.masked_number), *((one.party, one.masked_number) for one in line.peers)):
            self._set(place, line.session, "last_at = :now", {":now": {"S": moments.to_text(now)}})
        if line.seen > SEEN_LIMIT and keep:
            self.call(
                "update_item",
                Key=line_key(line.party, line.masked_number),
                UpdateExpression="SET seen_before = seen, seen = :seen",
                ExpressionAttributeValues={":seen": {"SS": [keep]}},
            )


def revoking(table: str, party: str, masked_number: str, sid: str, said: Item) -> Item:
    """Return the write that revokes a line with its session; the first revocation stays."""
    return {
        "Update": {
            "TableName": table,
            "Key": line_key(party, masked_number),
            "UpdateExpression": "SET revocation = if_not_exists(revocation, :said)",
            "ConditionExpression": "sid = :sid",
            "ExpressionAttributeValues": {":said": said, ":sid": {"S": sid}},
        }
    }


def _item(line: Line) -> Item:
    return {
        **line_key(line.party, line.masked_number),
        "sid": {"S": line.session},
        "participant": {"S": line.participant},
        "intent": {"S": line.intent},
        "peers": {
            "S": canonical_json(
                [[peer.participant, peer.party, peer.masked_number, peer.sealed] for peer in line.peers]
            )
        },
        "mode": {"S": line.mode},
        "status": {"S": line.status},
        "opened_at": {"S": moments.to_text(line.opened_at)},
        "closes_at": {"S": moments.to_text(line.closes_at)},
        "idle": number(line.idle),
    }
