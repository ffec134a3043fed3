"""The ledger in one DynamoDB table.

| item | pk | sk | what it holds |
|---|---|---|---|
| consent record | `PARTY#<key>` | `EVENT#<seq, 12 digits>` | the record's canonical JSON; never written twice |
| chain head | `PARTY#<key>` | `HEAD` | the last sequence number and hash |
| standing | `PARTY#<key>` | `STATE#<scope>#<counterpart key or *>` | where the consent stands |
| source event | `PARTY#<key>` | `SOURCE#<sha256 of the id>` | what was answered, so that a repeat answers the same |
| session of a party | `PARTY#<key>` | `SESSION#<KC…>` | `closed_at` once it is closed |
| session | `SESSION#<KC…>` | `SESSION` | the session; `open_shard` while it is open |
| interaction | `SESSION#<KC…>` | `INTERACTION#<KI…>#<inbound>#<outbound>` | one status of it |
| cursor | `CURSOR#<name>` | `CURSOR` | where a scheduled task has come to |

Rows leave by their time to live (`expires_at`, epoch seconds); nothing is ever deleted. DynamoDB may take days to
remove an expired row, so what is read is held against the clock.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parley.core import moments
from parley.core.consent import (
    RETENTION_CLASS,
    ConsentEvent,
    ConsentRecord,
    Head,
    Scope,
    Standing,
    State,
    append,
    canonical_json,
    follow,
    record_from_json,
    sha256_hex,
)
from parley.core.sessions import Participant, Session, Status
from parley.ports import (
    Appended,
    Clock,
    ConsentChangedError,
    Interaction,
    LedgerError,
    Receipt,
    SourceEventReusedError,
)

OPEN_SESSIONS = "open-sessions"
SHARDS = ("0", "1", "2", "3")
"""The partitions of the index of open sessions."""

ATTEMPTS = 12
"""How often a write that others got ahead of is tried before it fails."""

_DAY = 86_400
_CONTENTION = frozenset(
    {
        "ConditionalCheckFailed",
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "ItemCollectionSizeLimitExceeded",
    }
)
_BUSY = frozenset({"ThrottlingException", "ProvisionedThroughputExceededException", "TransactionInProgressException"})

Item = dict[str, Any]


class DynamoLedger:
    """Implements `parley.ports.Ledger`.

    `client` is boto3's DynamoDB client, `keep_days` the declared days of each record class, `sleep` waits between
    attempts (seconds).
    """

    def __init__(
        self,
        client: Any,
        table: str,
        keep_days: Mapping[str, int],
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._keep_days = keep_days
        self._clock = clock
        self._sleep = sleep

    # Consent --------------------------------------------------------------------------------------------------

    def append(self, events: Sequence[ConsentEvent]) -> Appended:
        """Append the events of one person and one source event, all or none, in one transaction.

        Two writers at once: one of them finds the head moved and tries again after it, so both records stay and the
        chain stays whole. Raises SourceEventReusedError, LedgerError.
        """
        party, source = _one({(event.party, event.source_event_id) for event in events})
        marker = _party_key(party, f"SOURCE#{sha256_hex(source)}")
        digest = sha256_hex(canonical_json([[event.scope, event.state, event.counterpart] for event in events]))
        scopes = {(event.scope, event.counterpart) for event in events}
        for attempt in range(ATTEMPTS):
            keys = [
                marker,
                _party_key(party, "HEAD"),
                *(_standing_key(party, *scope) for scope in sorted(scopes, key=str)),
            ]
            known, head_item, *standing_items = self._get(keys)
            if known:
                if known["digest"]["S"] != digest:
                    raise SourceEventReusedError
                receipts = json.loads(known["receipts"]["S"])
                return Appended(tuple(Receipt(**receipt) for receipt in receipts), repeated=True)
            writes, receipts = self._chain(events, head_item, [item for item in standing_items if item])
            writes.append(
                self._put(
                    {
                        **marker,
                        "digest": {"S": digest},
                        "receipts": {"S": json.dumps([asdict(receipt) for receipt in receipts])},
                        **self._ttl(RETENTION_CLASS),
                    },
                    _ABSENT,
                )
            )
            if self._commit(writes):
                return Appended(tuple(receipts), repeated=False)
            self._wait(attempt)
        raise LedgerError("too many writers at once for one person")

    def _chain(
        self, events: Sequence[ConsentEvent], head_item: Item, standing_items: Sequence[Item]
    ) -> tuple[list[Item], list[Receipt]]:
        """Return the writes that put `events` after the head, and their receipts."""
        now = self._clock.now()
        ttl = self._ttl(RETENTION_CLASS)
        head = _head(head_item)
        before = {(item["scope"]["S"], item["counterpart"]["S"]): item for item in standing_items}
        standings = {key: _standing(item) for key, item in before.items()}
        writes, receipts = [], []
        for event in events:
            record = append(head, event, now)
            head = Head(record.seq, record.record_hash)
            key = (str(event.scope), event.counterpart or "*")
            standings[key] = follow(standings.get(key), record)
            writes.append(
                self._put(
                    {
                        **_party_key(event.party, f"EVENT#{record.seq:012d}"),
                        "record": {"S": record.to_json()},
                        **ttl,
                    },
                    _ABSENT,
                )
            )
            receipts.append(
                Receipt(
                    record_id=record.record_id,
                    scope=str(event.scope),
                    state=str(standings[key].state or ""),
                    seq=record.seq,
                    recorded_at=moments.to_text(record.recorded_at),
                    valid_until=_optional_text(event.valid_until),
                )
            )
        first = {"seq": _number(head.seq - len(events))}
        writes.append(
            self._put(
                {
                    **_party_key(events[0].party, "HEAD"),
                    "seq": _number(head.seq),
                    "record_hash": {"S": head.record_hash},
                    **ttl,
                },
                _unchanged(head_item and first),
            )
        )
        for key, standing in standings.items():
            if standing.seq > head.seq - len(events):
                writes.append(self._put({**_standing_item(standing), **ttl}, _unchanged(before.get(key))))
        return writes, receipts

    def standings(self, parties: Sequence[str], scope: Scope = Scope.MANAGE) -> list[Standing]:
        """Return what each of `parties` said about `scope`, towards the others and the service.

        One round trip, whatever the number of parties; what is returned held at one moment.
        """
        items = self._get(_relevant_keys(parties, scope))
        return [_standing(item) for item in items if item and not self._expired(item)]

    def standings_of(self, party: str) -> list[Standing]:
        """Return everything that one person said, as it stands."""
        items = self._query(_party_condition(party, "STATE#"), ConsistentRead=True)
        return [_standing(item) for item in items if not self._expired(item)]

    def records(self, party: str) -> list[ConsentRecord]:
        """Return one person's chain, oldest first. Raises LedgerError if a record cannot be read."""
        items = self._query(_party_condition(party, "EVENT#"), ConsistentRead=True)
        try:
            return [record_from_json(item["record"]["S"]) for item in items if not self._expired(item)]
        except ValueError:
            raise LedgerError("a consent record cannot be read: verify the chain") from None

    # Sessions -------------------------------------------------------------------------------------------------

    def session(self, sid: str) -> Session | None:
        """Return a session, or None if there is none."""
        item = self._get([_session_key(sid)])[0]
        return _session(item) if item and not self._expired(item) else None

    def open_sessions_of(self, party: str) -> list[Session]:
        """Return the sessions of one person that were not closed."""
        pointers = self._query(
            _party_condition(party, "SESSION#"),
            FilterExpression="attribute_not_exists(closed_at)",
            ConsistentRead=True,
        )
        keys = [_session_key(pointer["sk"]["S"].removeprefix("SESSION#")) for pointer in pointers]
        sessions = [_session(item) for item in self._get(keys) if item]
        return [session for session in sessions if session.status is Status.OPEN]

    def open_session(self, session: Session, standings: Sequence[Standing]) -> None:
        """Write a session, on condition that its parties' `manage` consents still stand as in `standings`."""
        ttl = self._ttl("session-map", session.closes_at)
        read = {_standing_key(one.party, one.scope, one.counterpart)["sk"]["S"] + one.party: one for one in standings}
        writes: list[Item] = []
        for key in _relevant_keys(session.parties, Scope.MANAGE):
            standing = read.get(key["sk"]["S"] + key["pk"]["S"].removeprefix("PARTY#"))
            condition = (
                {
                    "ConditionExpression": "attribute_not_exists(pk) OR expires_at <= :now",
                    "ExpressionAttributeValues": {":now": _number(_epoch(self._clock.now()))},
                }
                if standing is None
                else _unchanged({"seq": _number(standing.seq)})
            )
            writes.append({"ConditionCheck": {"TableName": self._table, "Key": key, **condition}})
        item = {**_session_item(session), "open_shard": {"S": _shard(session.sid)}, **ttl}
        writes.append(self._put(item, _ABSENT))
        writes += [
            self._put({**_party_key(party, f"SESSION#{session.sid}"), **ttl}, _ABSENT) for party in session.parties
        ]
        if not self._commit(writes):
            raise ConsentChangedError

    def close_session(self, session: Session, reason: str) -> None:
        """Mark a session as closed. Closing twice changes nothing."""
        now = self._clock.now()
        closed_at = {":at": {"S": moments.to_text(now)}}
        writes: list[Item] = [
            {
                "Update": {
                    "TableName": self._table,
                    "Key": _session_key(session.sid),
                    "UpdateExpression": "SET #status = :closed, closed_at = :at, closed_reason = :reason,"
                    " expires_at = :end REMOVE open_shard",
                    "ConditionExpression": "#status = :open",
                    "ExpressionAttributeNames": {"#status": "status"},
                    "ExpressionAttributeValues": {
                        **closed_at,
                        ":closed": {"S": Status.CLOSED},
                        ":open": {"S": Status.OPEN},
                        ":reason": {"S": reason},
                        # From when it could be used last: a close that comes late must not lengthen its life.
                        ":end": self._ttl("session-map", min(now, session.closes_at))["expires_at"],
                    },
                }
            }
        ]
        writes += [
            {
                "Update": {
                    "TableName": self._table,
                    "Key": _party_key(party, f"SESSION#{session.sid}"),
                    # Only open sessions are looked up by person, so this row has done its work.
                    "UpdateExpression": "SET closed_at = :at, expires_at = :now",
                    "ExpressionAttributeValues": {**closed_at, ":now": _number(_epoch(now))},
                }
            }
            for party in session.parties
        ]
        for attempt in range(ATTEMPTS):
            if self._commit(writes):
                return
            item = self._get([_session_key(session.sid)])[0]
            if not item or item["status"]["S"] != Status.OPEN:
                return
            self._wait(attempt)
        raise LedgerError("too many writers at once for one session")

    def open_sessions(self, after: Mapping[str, str], limit: int) -> tuple[list[Session], dict[str, str]]:
        """Return at most `limit` open sessions of each shard after a position, and the position to go on from.

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
            answer = self._call(
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

    # Interactions and cursors ---------------------------------------------------------------------------------

    def log_interaction(self, interaction: Interaction) -> bool:
        """Log one status of an interaction; return False if it was logged before, in whatever order."""
        status = f"{interaction.inbound_status}#{interaction.outbound_status}"
        attributes = {name: {"S": value} for name, value in asdict(interaction).items() if value}
        item = {
            "pk": {"S": f"SESSION#{interaction.session_sid}"},
            "sk": {"S": f"INTERACTION#{interaction.sid}#{status}"},
            **attributes,
            "logged_at": {"S": moments.to_text(self._clock.now())},
            **self._ttl("interaction-log"),
        }
        try:
            self._call("put_item", Item=item, **_ABSENT)
        except _ConditionFailedError:
            return False
        return True

    def load_cursor(self, name: str) -> dict[str, Any]:
        """Return what `save_cursor` kept under a name, or nothing."""
        item = self._get([_cursor_key(name)])[0]
        value: dict[str, Any] = json.loads(item["value"]["S"]) if item else {}
        return value

    def save_cursor(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep where a scheduled task has come to."""
        self._call("put_item", Item={**_cursor_key(name), "value": {"S": canonical_json(value)}})

    # The table ------------------------------------------------------------------------------------------------

    def _get(self, keys: Sequence[Item]) -> list[Item]:
        """Return the items of up to 100 keys as they were at one moment; an empty one where there is none."""
        if not keys:
            return []
        if len(keys) > 100:
            return self._get(keys[:100]) + self._get(keys[100:])
        gets = [{"Get": {"TableName": self._table, "Key": key}} for key in keys]
        for attempt in range(ATTEMPTS):
            try:
                responses = self._client.transact_get_items(TransactItems=gets)["Responses"]
            except ClientError as error:
                if not _is_contention(error):
                    raise _ledger_error(error) from None
            except BotoCoreError as error:
                raise _ledger_error(error) from None
            else:
                return [response.get("Item", {}) for response in responses]
            self._wait(attempt)
        raise LedgerError("too many writers at once")

    def _query(self, condition: Item, **more: Any) -> list[Item]:
        items: list[Item] = []
        start: Item = {}
        while True:
            answer = self._call("query", **condition, **more, **start)
            items += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return items
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _commit(self, writes: Sequence[Item]) -> bool:
        """Carry out a transaction; return False if somebody else got ahead of it."""
        try:
            self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            if _is_contention(error):
                return False
            raise _ledger_error(error) from None
        except BotoCoreError as error:
            raise _ledger_error(error) from None
        return True

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(TableName=self._table, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise _ConditionFailedError from None
            raise _ledger_error(error) from None
        except BotoCoreError as error:
            raise _ledger_error(error) from None

    def _put(self, item: Item, condition: Item) -> Item:
        return {"Put": {"TableName": self._table, "Item": item, **condition}}

    def _ttl(self, record_class: str, start: datetime | None = None) -> Item:
        """Return the attribute that lets a row of a class leave in time. Raises LedgerError for an undeclared class."""
        days = self._keep_days.get(record_class)
        if days is None:
            raise LedgerError(f"no retention is declared for {record_class}")
        return {"expires_at": _number(_epoch(start or self._clock.now()) + days * _DAY)}

    def _expired(self, item: Item) -> bool:
        return int(item["expires_at"]["N"]) <= _epoch(self._clock.now())

    def _wait(self, attempt: int) -> None:
        """Wait a random while, longer each time (full jitter), two seconds in all at most."""
        self._sleep(random.random() * min(0.01 * 2**attempt, 0.3))  # noqa: S311 - no secret


class _ConditionFailedError(Exception):
    """A conditional write met another state."""


_ABSENT: Item = {"ConditionExpression": "attribute_not_exists(pk)"}


def _unchanged(item: Item | None) -> Item:
    """Return the condition that a row still has the `seq` it was read with, or is still absent."""
    if not item:
        return _ABSENT
    return {"ConditionExpression": "seq = :seq", "ExpressionAttributeValues": {":seq": item["seq"]}}


def _ledger_error(error: Exception) -> LedgerError:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return LedgerError(f"DynamoDB: {code or type(error).__name__}")


def _is_contention(error: ClientError) -> bool:
    code = error.response["Error"]["Code"]
    if code != "TransactionCanceledException":
        return code in _BUSY
    reasons = {reason.get("Code", "None") for reason in error.response.get("CancellationReasons", [])} - {"None"}
    return bool(reasons) and reasons <= _CONTENTION


def _one(values: set[tuple[str, str]]) -> tuple[str, str]:
    if len(values) != 1:
        raise ValueError("events of one append belong to one person and one source event")
    return values.pop()


def _number(value: int) -> Item:
    return {"N": str(value)}


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())


def _optional_text(moment: datetime | None) -> str | None:
    return None if moment is None else moments.to_text(moment)


def _shard(sid: str) -> str:
    return SHARDS[hashlib.sha256(sid.encode()).digest()[0] % len(SHARDS)]


def _party_key(party: str, sort: str) -> Item:
    return {"pk": {"S": f"PARTY#{party}"}, "sk": {"S": sort}}


def _standing_key(party: str, scope: str, counterpart: str | None) -> Item:
    return _party_key(party, f"STATE#{scope}#{counterpart or '*'}")


def _session_key(sid: str) -> Item:
    return {"pk": {"S": f"SESSION#{sid}"}, "sk": {"S": "SESSION"}}


def _cursor_key(name: str) -> Item:
    return {"pk": {"S": f"CURSOR#{name}"}, "sk": {"S": "CURSOR"}}


def _party_condition(party: str, prefix: str) -> Item:
    return {
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
        "ExpressionAttributeValues": {":pk": {"S": f"PARTY#{party}"}, ":prefix": {"S": prefix}},
    }


def _relevant_keys(parties: Iterable[str], scope: Scope) -> list[Item]:
    parties = list(parties)
    return [
        _standing_key(party, scope, counterpart)
        for party in parties
        for counterpart in [None, *(other for other in parties if other != party)]
    ]


def _head(item: Item) -> Head:
    return Head(int(item["seq"]["N"]), item["record_hash"]["S"]) if item else Head()


def _standing_item(standing: Standing) -> Item:
    item = {
        **_standing_key(standing.party, standing.scope, standing.counterpart),
        "scope": {"S": standing.scope},
        "counterpart": {"S": standing.counterpart or "*"},
        "state": {"S": standing.state or ""},
        "seq": _number(standing.seq),
        "record_id": {"S": standing.record_id},
        "effective_at": {"S": moments.to_text(standing.effective_at)},
    }
    if standing.valid_until is not None:
        item["valid_until"] = {"S": moments.to_text(standing.valid_until)}
    return item


def _standing(item: Item) -> Standing:
    counterpart, state = item["counterpart"]["S"], item["state"]["S"]
    valid_until = item.get("valid_until")
    return Standing(
        party=item["pk"]["S"].removeprefix("PARTY#"),
        scope=Scope(item["scope"]["S"]),
        counterpart=None if counterpart == "*" else counterpart,
        # A state that a later version wrote is no state that this one may act on.
        state=State(state) if state in set(State) else None,
        seq=int(item["seq"]["N"]),
        record_id=item["record_id"]["S"],
        effective_at=moments.from_text(item["effective_at"]["S"]),
        valid_until=moments.from_text(valid_until["S"]) if valid_until else None,
    )


def _session_item(session: Session) -> Item:
    return {
        **_session_key(session.sid),
        "service_sid": {"S": session.service_sid},
        "participants": {"S": canonical_json([[one.sid, one.party] for one in session.participants])},
        "mode": {"S": session.mode},
        "status": {"S": session.status},
        "opened_at": {"S": moments.to_text(session.opened_at)},
        "closes_at": {"S": moments.to_text(session.closes_at)},
    }


def _session(item: Item) -> Session:
    closed_at = item.get("closed_at")
    return Session(
        sid=item["pk"]["S"].removeprefix("SESSION#"),
        service_sid=item["service_sid"]["S"],
        participants=tuple(Participant(sid, party) for sid, party in json.loads(item["participants"]["S"])),
        mode=item["mode"]["S"],
        opened_at=moments.from_text(item["opened_at"]["S"]),
        closes_at=moments.from_text(item["closes_at"]["S"]),
        status=Status(item["status"]["S"]),
        closed_at=moments.from_text(closed_at["S"]) if closed_at else None,
        closed_reason=item.get("closed_reason", {}).get("S", ""),
    )
