"""Sessions, the attempts to open them, the decisions about them, and the log of their interactions, in the table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from parley.adapters.consents import relevant_keys, standing_key
from parley.adapters.lines import LineRows
from parley.adapters.places import places_from_json, places_to_json
from parley.adapters.session_items import Item, party_key, session_key
from parley.adapters.table import (
    ABSENT,
    ATTEMPTS,
    OVER,
    SHARDS,
    ConditionFailedError,
    beginning,
    epoch,
    number,
    party_condition,
    shard_of,
    unchanged,
)
from parley.core import moments
from parley.core.consent import Scope, Standing, canonical_json
from parley.core.location import Location
from parley.core.sessions import LONGEST_CALL, Intent, Participant, Revocation, Session, Stage, Status
from parley.core.verdict import DecisionRecord, parse_decision_id
from parley.ports import ConsentChangedError, Interaction, LedgerError

OPEN_SESSIONS = "open-sessions"

CLOSED: Item = {
    "ConditionExpression": "#status = :closed",
    "ExpressionAttributeNames": {"#status": "status"},
    "ExpressionAttributeValues": {":closed": {"S": Status.CLOSED}},
}
"""The condition that a session is closed."""

OPENING = "opening"
"""The partition of the index for attempts that are under way: few at any time."""


class SessionRows(LineRows):
    """The session part of `parley.ports.Ledger`."""

    def session(self, sid: str) -> Session | None:
        """Return a session, or None if there is none.

        One read of one row, whatever the number of parties: a consent that is taken back is written there, too.
        """
        item = self.get_one(session_key(sid))
        return _session(item) if item and not self.expired(item) else None

    def open_sessions_of(self, party: str) -> list[Session]:
        """Return the sessions of one person that were not closed."""
        pointers = self.query(
            party_condition(party, "SESSION#"),
            FilterExpression="attribute_not_exists(closed_at)",
            ConsistentRead=True,
        )
        keys = [session_key(pointer["sk"]["S"].removeprefix("SESSION#")) for pointer in pointers]
        sessions = [_session(item) for item in self.get(keys) if item]
        return [session for session in sessions if session.status is Status.OPEN]

    def owed_calls_of(self, party: str) -> list[Session]:
        """Return the sessions of one person that are over and revoked, and whose calls nobody has ended yet.

        Reads one page: of more sessions within the longest call, the reconciler finds the rest.
        """
        answer = self.call(
            "query",
            **party_condition(party, "SESSION#"),
            FilterExpression="attribute_exists(closed_at)",
            ConsistentRead=True,
        )
        pointers = [pointer for pointer in answer["Items"] if not self.expired(pointer)]
        items = self.get([session_key(pointer["sk"]["S"].removeprefix("SESSION#")) for pointer in pointers])
        sessions = [_session(item) for item in items if item and "open_shard" in item]
        return [session for session in sessions if session.status is Status.CLOSED]

    def calls_ended(self, session: Session) -> None:
        """Note that no call goes on in a session that is over."""
        self.call("update_item", Key=session_key(session.sid), UpdateExpression="REMOVE open_shard", **CLOSED)

    def intent(self, intent_id: str) -> Intent | None:
        """Return an attempt to open a session, or None if there is none."""
        item = self.get_one(_intent_key(intent_id))
        return _intent(item) if item and not self.expired(item) else None

    def intents(self, limit: int) -> list[Intent]:
        """Return at most `limit` attempts that are neither opened nor abandoned; the youngest may be missing."""
        answer = self.call(
            "query",
            IndexName=OPEN_SESSIONS,
            KeyConditionExpression="open_shard = :shard",
            ExpressionAttributeValues={":shard": {"S": OPENING}},
            Limit=limit,
        )
        return [_intent(item) for item in answer["Items"]]

    def begin(self, intent: Intent, standings: Sequence[Standing], record: DecisionRecord) -> None:
        """Write an intent with the decision that permits it, on condition that the consents stand as in `standings`."""
        condition = {
            "ConditionExpression": f"attribute_not_exists(pk) OR {OVER} OR (stage = :abandoned AND attempt < :attempt)",
            "ExpressionAttributeValues": {
                ":now": number(epoch(self.clock.now())),
                ":abandoned": {"S": Stage.ABANDONED},
                ":attempt": number(intent.attempt),
            },
        }
        item = {**_intent_item(intent), "open_shard": {"S": OPENING}, **self.ttl("session-map", intent.closes_at)}
        checks = self._checks(intent.parties, _scopes(record), standings)
        decided = [self.put(self._decision_item(record), ABSENT), *self._past(intent.id, intent.parties)]
        if not self.commit([*checks, self.put(item, condition), *decided]):
            raise ConsentChangedError

    def confirm(self, intent: Intent, session: Session, standings: Sequence[Standing]) -> None:
        """Write a session that was opened for an intent, on condition that the consents stand as in `standings`."""
        ttl = self.ttl("session-map", session.closes_at)
        item = {**_session_item(session), "open_shard": {"S": shard_of(session.sid)}, **ttl}
        opened = {
            "Update": {
                "TableName": self.name,
                "Key": _intent_key(intent.id),
                "UpdateExpression": "SET stage = :opened, sid = :sid REMOVE open_shard",
                **_under_way(intent, {":opened": {"S": Stage.OPENED}, ":sid": {"S": session.sid}}),
            }
        }
        writes = [
            *self._checks(session.parties, (Scope.MANAGE, *session.scopes), standings),
            self.put(item, ABSENT),
            opened,
            *(self.put({**_pointer(session, party), **ttl}, ABSENT) for party in session.parties),
            *(self._count(party) for party in session.parties),
            *self._past(session.sid, session.parties),
            *self.opening(session),
        ]
        if not self.commit(writes):
            raise ConsentChangedError

    def abandon(self, intent: Intent) -> bool:
        """Give up an attempt, so that it can never become a session; return False if it has become one."""
        try:
            self.call(
                "update_item",
                Key=_intent_key(intent.id),
                UpdateExpression="SET stage = :abandoned REMOVE open_shard",
                **_under_way(intent, {":abandoned": {"S": Stage.ABANDONED}}),
            )
        except ConditionFailedError:
            found = self.intent(intent.id)
            return found is None or found.attempt != intent.attempt or found.stage is Stage.ABANDONED
        return True

    def renew(
        self,
        session: Session,
        closes_at: datetime,
        places: Mapping[str, Location],
        standings: Sequence[Standing],
        record: DecisionRecord,
    ) -> None:
        """Let a session last longer, with the decision that permits it, if the consents stand as in `standings`.

        `places` are those of the decision, which also tells what is permitted from now on.
        """
        end = {":end": {"S": moments.to_text(closes_at)}, ":expiry": self.ttl("session-map", closes_at)["expires_at"]}
        lengthen = "SET closes_at = :end, expires_at = :expiry"
        renewed = {
            "Update": {
                "TableName": self.name,
                "Key": session_key(session.sid),
                "UpdateExpression": f"{lengthen}, places = :places, scopes = :scopes",
                "ConditionExpression": "#status = :open AND closes_at = :before AND attribute_not_exists(revocation)"
                " AND (places = :were OR attribute_not_exists(places))",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {
                    **end,
                    ":places": {"S": places_to_json(places)},
                    ":were": {"S": places_to_json(session.places)},
                    ":scopes": {"S": canonical_json(record.verdict.scopes)},
                    ":open": {"S": Status.OPEN},
                    ":before": {"S": moments.to_text(session.closes_at)},
                },
            }
        }
        pointers = [
            {
                "Update": {
                    "TableName": self.name,
                    "Key": party_key(party, f"SESSION#{session.sid}"),
                    "UpdateExpression": lengthen,
                    "ConditionExpression": "attribute_exists(pk)",
                    "ExpressionAttributeValues": end,
                }
            }
            for party in session.parties
        ]
        writes = [
            *self._checks(session.parties, _scopes(record), standings),
            renewed,
            *pointers,
            *(self._count(party) for party in session.parties),
            self.put(self._decision_item(record), ABSENT),
            *self._past(session.sid, session.parties),
            *self._past(session.intent, session.parties),
        ]
        if not self.commit(writes):
            raise ConsentChangedError

    def _past(self, name: str, parties: Iterable[str]) -> list[Item]:
        """Return the writes by which a session or an intent is found by its people as long as anything of it is kept.

        The row that finds a live session leaves when no call can go on in it, and the session's own long before the
        log of its interactions. Each of these writes renews the time; the last one is made when the session closes.
        """
        together, ttl = {"parties": {"S": canonical_json(list(parties))}}, self.ttl("interaction-log")
        return [self.put({**party_key(party, f"PAST#{name}"), **together, **ttl}, {}) for party in parties]

    def _checks(self, parties: Sequence[str], scopes: Iterable[Scope], standings: Iterable[Standing]) -> list[Item]:
        """Return the checks that the consents for `scopes` still stand as they were read."""
        read = {
            (key["pk"]["S"], key["sk"]["S"]): one
            for one in standings
            for key in [standing_key(one.party, one.scope, one.counterpart)]
        }
        checks: list[Item] = []
        for key in relevant_keys(parties, scopes):
            standing = read.get((key["pk"]["S"], key["sk"]["S"]))
            condition = (
                {
                    "ConditionExpression": f"attribute_not_exists(pk) OR {OVER}",
                    "ExpressionAttributeValues": {":now": number(epoch(self.clock.now()))},
                }
                if standing is None
                else unchanged({"seq": number(standing.seq)})
            )
            checks.append({"ConditionCheck": {"TableName": self.name, "Key": key, **condition}})
        return checks

    def _count(self, party: str) -> Item:
        """Return the write that tells whoever appends to a person's chain that there is one more session to look at."""
        return {
            "Update": {
                "TableName": self.name,
                "Key": party_key(party, "HEAD"),
                "UpdateExpression": "ADD opened :one",
                "ConditionExpression": "attribute_exists(pk)",
                "ExpressionAttributeValues": {":one": number(1)},
            }
        }

    def log_decision(self, record: DecisionRecord) -> None:
        """Write a decision that nothing else is written with."""
        writes = [self.put(self._decision_item(record), {}), *self._past(record.intent, record.verdict.parties)]
        for attempt in range(ATTEMPTS):
            if self.commit(writes):
                return
            self.wait(attempt)
        raise LedgerError("too many writers at once for one decision")

    def _decision_item(self, record: DecisionRecord) -> Item:
        parsed = parse_decision_id(record.id)
        if parsed is None:
            raise ValueError("is no decision id")
        return {
            **session_key(parsed[0], f"DECISION#{parsed[1]}"),
            "decision": {"S": canonical_json(record.document())},
            **self.ttl("interaction-log"),
        }

    def decisions(self, intent_id: str) -> list[dict[str, Any]]:
        """Return the decisions about one session, oldest first, as `DecisionRecord.document` has them."""
        items = self.query(beginning(session_key(intent_id), "DECISION#"), ConsistentRead=True)
        return [json.loads(item["decision"]["S"]) for item in items if not self.gone(item)]

    def decision(self, intent_id: str, rest: str) -> dict[str, Any] | None:
        """Return one decision by the parts of its id, or None if there is none."""
        item = self.get_one(session_key(intent_id, f"DECISION#{rest}"))
        document: dict[str, Any] | None = json.loads(item["decision"]["S"]) if item and not self.gone(item) else None
        return document

    def close_session(self, session: Session, reason: str) -> Session | None:
        """Mark a session as closed; closing twice changes nothing.

        One that was revoked since it was read is left as it is, and returned as it is now: it owes the end of its
        calls, and closing would take it out of the index by which that is found.
        """
        now = self.clock.now()
        # From when it could be used last: a close that comes late must not lengthen its life.
        end = self.ttl("session-map", min(now, session.closes_at))["expires_at"]
        found = number(min(epoch(now + LONGEST_CALL), int(end["N"])))
        closed_at = {":at": {"S": moments.to_text(now)}}
        writes: list[Item] = [
            {
                "Update": {
                    "TableName": self.name,
                    "Key": session_key(session.sid),
                    "UpdateExpression": "SET #status = :closed, closed_at = :at, closed_reason = :reason,"
                    " expires_at = :end REMOVE open_shard",
                    "ConditionExpression": "#status = :open"
                    + ("" if session.revocation else " AND attribute_not_exists(revocation)"),
                    "ExpressionAttributeNames": {"#status": "status"},
                    "ExpressionAttributeValues": {
                        **closed_at,
                        ":closed": {"S": Status.CLOSED},
                        ":open": {"S": Status.OPEN},
                        ":reason": {"S": reason},
                        ":end": end,
                    },
                }
            }
        ]
        writes += [
            {
                "Update": {
                    "TableName": self.name,
                    "Key": party_key(party, f"SESSION#{session.sid}"),
                    # Who says no must still be found in a call that goes on; after that this row has done its work.
                    "UpdateExpression": "SET closed_at = :at, expires_at = :found",
                    "ExpressionAttributeValues": {**closed_at, ":found": found},
                }
            }
            for party in session.parties
        ]
        writes += self._past(session.sid, session.parties)
        for attempt in range(ATTEMPTS):
            if self.commit(writes):
                return None
            item = self.get([session_key(session.sid)])[0]
            if not item or item["status"]["S"] != Status.OPEN:
                return None
            if session.revocation is None and "revocation" in item:
                return _session(item)
            self.wait(attempt)
        raise LedgerError("too many writers at once for one session")

    def open_sessions(self, after: Mapping[str, str], limit: int) -> tuple[list[Session], dict[str, str]]:
        """Return at most `limit` open sessions of each shard after a position, and the position to go on from.

        Among them are those that are over and owe the end of their calls (`owed_calls_of`).

        A position maps shards to the last key that was read; an empty one is the beginning, and the end.
        """
        sessions: list[Session] = []
        position: dict[str, str] = {}
        for shard in SHARDS:
            if after and shard not in after:
                continue  # this shard was read to its end
            start: Item = {}
            if after.get(shard):
                key = {"pk": {"S": after[shard]}, "sk": {"S": "SESSION"}, "open_shard": {"S": shard}}
                start = {"ExclusiveStartKey": key}
            answer = self.call(
                "query",
                IndexName=OPEN_SESSIONS,
                KeyConditionExpression="open_shard = :shard",
                ExpressionAttributeValues={":shard": {"S": shard}},
                Limit=limit,
                **start,
            )
            sessions += [_session(item) for item in answer["Items"]]
            if answer.get("LastEvaluatedKey"):
                position[shard] = answer["LastEvaluatedKey"]["pk"]["S"]
        return sessions, position

    def sessions_since(self, since: datetime) -> Iterator[Session]:
        """Return every session that was to last beyond a moment. Reads the whole table: not for a handler."""
        found = self.scan(
            FilterExpression="sk = :sort AND closes_at >= :since",
            ExpressionAttributeValues={":sort": {"S": "SESSION"}, ":since": {"S": moments.to_text(since)}},
        )
        return (_session(item) for item in found if not self.expired(item))

    def tell_once(self, session_sid: str, party: str) -> bool:
        """Note that a party is told how a session ended; return False if that was noted before."""
        item = {**session_key(session_sid, f"TOLD#{party}"), **self.ttl("session-map")}
        try:
            self.call("put_item", Item=item, **ABSENT)
        except ConditionFailedError:
            return False
        return True

    def log_interaction(self, interaction: Interaction) -> bool:
        """Log one status of an interaction; return False if it was logged before, in whatever order."""
        status = f"{interaction.inbound_status}#{interaction.outbound_status}"
        attributes = {name: {"S": value} for name, value in asdict(interaction).items() if value}
        item = {
            "pk": {"S": f"SESSION#{interaction.session_sid}"},
            "sk": {"S": f"INTERACTION#{interaction.sid}#{status}"},
            **attributes,
            "logged_at": {"S": moments.to_text(self.clock.now())},
            **self.ttl("interaction-log"),
        }
        try:
            self.call("put_item", Item=item, **ABSENT)
        except ConditionFailedError:
            return False
        return True


def _scopes(record: DecisionRecord) -> tuple[Scope, ...]:
    return (Scope.MANAGE, *record.verdict.scopes)


def _intent_key(intent_id: str) -> Item:
    return session_key(intent_id, "INTENT")


def _under_way(intent: Intent, values: Item) -> Item:
    """Return the condition that an attempt is neither opened nor abandoned, nor followed by another one."""
    return {
        "ConditionExpression": "stage = :opening AND attempt = :attempt",
        "ExpressionAttributeValues": {
            **values,
            ":opening": {"S": Stage.OPENING},
            ":attempt": number(intent.attempt),
        },
    }


def _intent_item(intent: Intent) -> Item:
    return {
        **_intent_key(intent.id),
        "attempt": number(intent.attempt),
        "digest": {"S": intent.digest},
        "unique_name": {"S": intent.unique_name},
        "parties": {"S": canonical_json(intent.parties)},
        "began_at": {"S": moments.to_text(intent.began_at)},
        "closes_at": {"S": moments.to_text(intent.closes_at)},
        "stage": {"S": intent.stage},
    }


def _intent(item: Item) -> Intent:
    return Intent(
        id=item["pk"]["S"].removeprefix("SESSION#"),
        attempt=int(item["attempt"]["N"]),
        digest=item["digest"]["S"],
        parties=tuple(json.loads(item["parties"]["S"])),
        began_at=moments.from_text(item["began_at"]["S"]),
        closes_at=moments.from_text(item["closes_at"]["S"]),
        stage=Stage(item["stage"]["S"]),
        sid=item["sid"]["S"] if "sid" in item else None,
    )


def _pointer(session: Session, party: str) -> Item:
    """Return the row by which a person's session is found: with whom it is, by which lines, and until when."""
    lines = [[one.party, one.masked_number] for one in session.participants if one.masked_number]
    return {
        **party_key(party, f"SESSION#{session.sid}"),
        "counterparts": {"S": canonical_json([other for other in session.parties if other != party])},
        "closes_at": {"S": moments.to_text(session.closes_at)},
        **({"lines": {"S": canonical_json(lines)}} if lines else {}),
    }


def _place(participant: Participant) -> list[str]:
    told = [participant.sid, participant.party, participant.masked_number, participant.calling_code]
    while not told[-1]:
        told.pop()  # rows of earlier versions have two or three
    return told


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


def _session_item(session: Session) -> Item:
    return {
        **session_key(session.sid),
        "service_sid": {"S": session.service_sid},
        "participants": {"S": canonical_json([_place(one) for one in session.participants])},
        "mode": {"S": session.mode},
        "status": {"S": session.status},
        "opened_at": {"S": moments.to_text(session.opened_at)},
        "closes_at": {"S": moments.to_text(session.closes_at)},
        "intent": {"S": session.intent},
        "records": {"S": canonical_json(session.records)},
        "scopes": {"S": canonical_json(session.scopes)},
        "places": {"S": places_to_json(session.places)},
        **({"asks": {"S": canonical_json(session.asks)}} if session.asks else {}),
        **({} if session.name is None else {"name": {"S": session.name}}),
        **({"idle": number(session.idle)} if session.idle else {}),
    }


def _session(item: Item) -> Session:
    # A row from before places were kept has none: who is nowhere known is under the strictest law.
    return session_of(item, places_from_json(item["places"]["S"]) if "places" in item else {})
