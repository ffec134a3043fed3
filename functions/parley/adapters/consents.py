"""Consent records in the table: appended in chains, with the standings that decisions read.

A record that takes a consent back revokes the sessions that rest on it in the same transaction, so the row of a
session alone says whether it may still connect. The chain's head counts the sessions that were written or renewed
(`opened`): an append that found the sessions of a person is only carried out if no other one came after.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from parley.adapters.lines import revoking
from parley.adapters.session_items import Item, ends_at, party_key, session_key
from parley.adapters.suppressions import SuppressionRows, suppressed_key, suppression_of
from parley.adapters.table import (
    ABSENT,
    ATTEMPTS,
    ConditionFailedError,
    epoch,
    number,
    party_condition,
    shard_of,
    unchanged,
)
from parley.core import moments
from parley.core.consent import (
    NO,
    RETENTION_CLASS,
    ConsentEvent,
    ConsentRecord,
    Head,
    Kind,
    Scope,
    Standing,
    State,
    canonical_json,
    follow,
    record_from_json,
    sealed,
    sha256_hex,
)
from parley.core.disclosure import state_at
from parley.core.sessions import LONGEST_CALL, takes_away
from parley.core.suppression import Suppression
from parley.ports import (
    Appended,
    Entry,
    LedgerError,
    Receipt,
    Refusal,
    Seal,
    SourceEventReusedError,
    UnreadableRecordError,
)

TRANSACTION_LIMIT = 100
"""Items of one transaction (DynamoDB Developer Guide, TransactWriteItems)."""

Change = tuple[Standing | None, Standing]
"""Where a consent stood before and after an append."""


class ConsentRows(SuppressionRows):
    """The consent part of `parley.ports.Ledger`."""

    def append(self, events: Sequence[ConsentEvent], contact: Seal | None = None) -> Appended:
        """Append the events of one person and one source event, all or none, in one transaction.

        Two writers at once: one of them finds the head moved and tries again after it, so both records stay and the
        chain stays whole. `contact` is called if the person's identifier is not kept yet. Sessions that lose a consent
        are revoked with it; where one transaction cannot hold them all, the others are revoked before, never after.
        Raises SourceEventReusedError, LedgerError.
        """
        (outcome,) = self.append_all([Entry(tuple(events), contact)])
        if isinstance(outcome, Refusal):
            raise SourceEventReusedError
        return outcome

    def append_all(self, entries: Sequence[Entry]) -> list[Appended | Refusal]:
        """Append entries of different people in one transaction; return what became of each, in their order.

        What is refused or was recorded before does not keep the others out. The entries' `writes` together must be
        within TRANSACTION_LIMIT. Raises LedgerError if others were always faster, or the ledger does not answer.
        """
        drafts = [_Draft(entry) for entry in entries]
        if len({draft.party for draft in drafts}) != len(drafts):
            raise ValueError("entries of one transaction belong to different people")
        for attempt in range(ATTEMPTS):
            items = iter(self.get([key for draft in drafts for key in draft.keys]))
            writes: list[Item] = []
            revocations: dict[str, Item] = {}
            outcomes: list[Appended | Refusal] = []
            for draft in drafts:
                outcome, wanted, changes = self._settle(draft, [next(items) for _ in draft.keys])
                outcomes.append(outcome)
                writes += wanted
                revocations |= self._revocations(draft.party, changes)
            revoked = list(revocations.values())
            room = max(0, TRANSACTION_LIMIT - len(writes))
            starts = range(room, len(revoked), TRANSACTION_LIMIT)
            before = [revoked[start : start + TRANSACTION_LIMIT] for start in starts]
            if not writes or all(self.commit(part) for part in [*before, writes + revoked[:room]]):
                return outcomes
            self.wait(attempt)
        raise LedgerError("too many writers at once for one person")

    def _settle(self, draft: _Draft, items: Sequence[Item]) -> tuple[Appended | Refusal, list[Item], list[Change]]:
        """Return what becomes of an entry where the ledger holds `items` of its keys, the writes, and what changes."""
        known, contact, head, erased, *standings = items
        if known:
            if known["digest"]["S"] != draft.digest:
                return Refusal.REUSED, [], []
            receipts = [Receipt(**receipt) for receipt in json.loads(known["receipts"]["S"])]
            return Appended(tuple(receipts), repeated=True), [], []
        standings = [item for item in standings if item]
        suppression = suppression_of(erased)
        silent = _unsaid(draft, filter(self._counts, standings)) if suppression is not None else []
        if draft.entry.keeps_no and (silent or any(_standing(item).state in {*NO, None} for item in standings)):
            return Refusal.SAID_NO, [], []
        ttl = self.ttl(RETENTION_CLASS)
        writes, receipts, changes = self._chain(draft.entry.events, head, standings, ttl, suppression)
        marker = {
            **draft.keys[0],
            "digest": {"S": draft.digest},
            "receipts": {"S": canonical_json([_plain(receipt) for receipt in receipts])},
            **ttl,
        }
        writes.append(self.put(marker, ABSENT))
        if draft.entry.contact is not None:
            writes.append(self._keep_contact(draft, draft.entry.contact, contact, ttl))
        # Who never had a session has none to lose: the head counts them, and the write rests on its count.
        had_sessions = head.get("opened", number(0)) != number(0)
        return Appended(tuple(receipts), repeated=False), writes, changes if had_sessions else []

    def _revocations(self, party: str, changes: Sequence[Change]) -> dict[str, Item]:
        """Return the writes that revoke the sessions of a person that rest on a consent that is taken back, by SID."""
        if not any(after.scope is Scope.MANAGE for _, after in changes):
            return {}
        writes: dict[str, Item] = {}
        now = self.clock.now()
        for pointer in self.query(party_condition(party, "SESSION#"), ConsistentRead=True):
            closes_at = moments.from_text(pointer["closes_at"]["S"])
            ended = moments.from_text(pointer["closed_at"]["S"]) if "closed_at" in pointer else closes_at
            # Nothing new passes through a session that is over, but a call may go on; after that its row may be gone.
            if ended + LONGEST_CALL <= now or self.expired(pointer):
                continue
            lasts_until = max(now, closes_at) if "closed_at" not in pointer else now
            sid = pointer["sk"]["S"].removeprefix("SESSION#")
            counterparts = json.loads(pointer["counterparts"]["S"])
            for before, after in changes:
                if takes_away(before, after, counterparts=counterparts, closes_at=lasts_until):
                    writes[sid] = self._revocation(sid, after)
                    if "lines" in pointer and lasts_until > now and "closed_at" not in pointer:
                        # Until its end nobody else can have them; after that they let nothing pass.
                        writes |= self._line_revocations(sid, after, json.loads(pointer["lines"]["S"]))
                    break
        return writes

    def _revocation(self, sid: str, standing: Standing) -> Item:
        """Return the write that revokes a session; the first revocation stays.

        One that is over comes back into the index of open sessions until its calls are ended (`calls_ended`).
        """
        return {
            "Update": {
                "TableName": self.name,
                "Key": session_key(sid),
                "UpdateExpression": "SET revocation = if_not_exists(revocation, :said), open_shard = :shard",
                "ConditionExpression": "attribute_exists(pk)",
                "ExpressionAttributeValues": {":said": self._said(standing), ":shard": {"S": shard_of(sid)}},
            }
        }

    def _line_revocations(self, sid: str, standing: Standing, lines: Iterable[tuple[str, str]]) -> dict[str, Item]:
        """Return the writes that revoke the lines of a session with it, by SID and place."""
        said = self._said(standing)
        return {
            f"{sid} {place}": revoking(self.name, party, masked, sid, said)
            for place, (party, masked) in enumerate(lines)
        }

    def _said(self, standing: Standing) -> Item:
        """Return what a session keeps of the record that revokes it."""
        said = {
            "record_id": standing.record_id,
            "at": moments.to_text(standing.effective_at),
            "reason": f"{standing.scope}-{state_at(standing, self.clock.now()) or 'unknown'}",
        }
        return {"S": canonical_json(said)}

    def _keep_contact(self, draft: _Draft, seal: Seal, item: Item, ttl: Item) -> Item:
        """Return the write that keeps a contact as long as the newest record of its person."""
        key = party_key(draft.party, "CONTACT")
        if item and "ciphertext" in item and not self.expired(item):
            return {
                "Update": {
                    "TableName": self.name,
                    "Key": key,
                    "UpdateExpression": "SET expires_at = :end",
                    # It may have been dropped meanwhile; then the next attempt seals it anew.
                    "ConditionExpression": "attribute_exists(ciphertext)",
                    "ExpressionAttributeValues": {":end": ttl["expires_at"]},
                }
            }
        draft.sealed = draft.sealed or seal()
        return {
            "Put": {
                "TableName": self.name,
                "Item": {**key, "ciphertext": {"S": base64.b64encode(draft.sealed).decode("ascii")}, **ttl},
            }
        }

    def drop_contact(self, party: str) -> bool:
        """Forget a person's sealed identifier, for good; tell whether there was one.

        The row loses its content now and leaves by its time to live; no record of the chain is touched.
        """
        try:
            self.call(
                "update_item",
                Key=party_key(party, "CONTACT"),
                UpdateExpression="SET expires_at = :now REMOVE ciphertext",
                ConditionExpression="attribute_exists(ciphertext)",
                ExpressionAttributeValues={":now": number(epoch(self.clock.now()))},
            )
        except ConditionFailedError:
            return False
        return True

    def _chain(
        self,
        events: Sequence[ConsentEvent],
        head_item: Item,
        standing_items: Sequence[Item],
        ttl: Item,
        suppression: Suppression | None,
    ) -> tuple[list[Item], list[Receipt], list[Change]]:
        """Return the writes that put `events` after the head, their receipts, and what changes by them.

        The chain of somebody who was erased goes on where it ended, and what they said nothing about since is a no.
        """
        now = self.clock.now()
        head = suppression.head if suppression is not None and not head_item else _head(head_item)
        before = {(item["scope"]["S"], item["counterpart"]["S"]): item for item in standing_items}
        standings = {key: _standing(item) for key, item in before.items() if self._counts(item)}
        if suppression is not None:
            standings = {(str(scope), "*"): suppression.standing(scope) for scope in Scope} | standings
        writes, receipts = [], []
        for happened in events:
            # Where a record is kept is for the ledger to say.
            elsewhere = self.region and happened.storage_region != self.region
            event = replace(happened, storage_region=self.region) if elsewhere else happened
            record, text = sealed(head, event, now)
            head = Head(record.seq, record.record_hash)
            key = (str(event.scope), event.counterpart or "*")
            standings[key] = follow(standings.get(key), record)
            writes.append(
                self.put(
                    {
                        **party_key(event.party, f"EVENT#{record.seq:012d}"),
                        "record": {"S": text},
                        **ttl,
                    },
                    ABSENT,
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
        opened = head_item.get("opened", number(0))
        writes.append(
            self.put(
                {
                    **party_key(events[0].party, "HEAD"),
                    "seq": number(head.seq),
                    "record_hash": {"S": head.record_hash},
                    "opened": opened,
                    **ttl,
                },
                _same_head(head_item),
            )
        )
        changes: list[Change] = []
        for key, standing in standings.items():
            if standing.seq > head.seq - len(events):
                writes.append(self.put({**_standing_item(standing), **ttl}, unchanged(before.get(key))))
                changes.append((_standing(before[key]) if key in before else None, standing))
        return writes, receipts, changes

    def _counts(self, item: Item) -> bool:
        """Tell whether a row still says where a consent stands: a yes that a legal hold keeps beyond its time does not.

        A no counts as long as it is there.
        """
        return not self.expired(item) or _standing(item).state in NO

    def standings(self, parties: Sequence[str], *scopes: Scope) -> list[Standing]:
        """Return what each of `parties` said about `scopes`, towards the others and the service.

        One round trip, whatever the number of parties; what is returned held at one moment.
        """
        wanted = scopes or (Scope.MANAGE,)
        keys = relevant_keys(parties, wanted)
        items = self.get([*keys, *(suppressed_key(party) for party in parties)])
        found = [_as_long_as_kept(item) for item in items[: len(keys)] if item and not self.expired(item)]
        return found + _implied(found, map(suppression_of, items[len(keys) :]), wanted)

    def standings_of(self, party: str) -> list[Standing]:
        """Return everything that one person said, as it stands."""
        items = self.query(party_condition(party, "STATE#"), ConsistentRead=True)
        found = [_standing(item) for item in items if not self.expired(item)]
        # Read last: an erasure writes it before it takes the others away.
        return found + _implied(found, [self.suppression(party)], Scope)

    def records(self, party: str) -> list[ConsentRecord]:
        """Return one person's chain, oldest first. Raises LedgerError if a record cannot be read."""
        items = self.query(party_condition(party, "EVENT#"), ConsistentRead=True)
        try:
            return [record_from_json(item["record"]["S"]) for item in items if not self.gone(item)]
        except ValueError:
            raise UnreadableRecordError("a consent record cannot be read: verify the chain") from None

    def head(self, party: str) -> Head:
        """Return the end of one person's chain; that of an empty one if there is none."""
        (item,) = self.get([party_key(party, "HEAD")])
        return Head() if not item or self.expired(item) else _head(item)

    def parties(self) -> Iterator[str]:
        """Return the key of every person who has a chain, page by page. Reads the whole table: not for a handler."""
        found = self.scan(
            FilterExpression="sk = :head",
            ProjectionExpression="pk, expires_at, held_expires_at",
            ExpressionAttributeValues={":head": {"S": "HEAD"}},
            ConsistentRead=True,
        )
        return (item["pk"]["S"].removeprefix("PARTY#") for item in found if not self.expired(item))


class _Draft:
    """An entry on its way into the table: whose it is, what it says, and the keys of the rows that it depends on."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.party, source = _one({(event.party, event.source_event_id) for event in entry.events})
        self.digest = sha256_hex(canonical_json([_said(event) for event in entry.events]))
        self.sealed = b""
        scopes = dict.fromkeys((event.scope, event.counterpart) for event in entry.events)
        self.keys = [
            *(party_key(self.party, sort) for sort in (f"SOURCE#{sha256_hex(source)}", "CONTACT", "HEAD")),
            suppressed_key(self.party),
            *(standing_key(self.party, *scope) for scope in scopes),
        ]


def _unsaid(draft: _Draft, standings: Iterable[Item]) -> list[str]:
    """Return the scopes of an entry that its person said nothing about towards the service."""
    said = {item["scope"]["S"] for item in standings if item["counterpart"]["S"] == "*"}
    return sorted({str(event.scope) for event in draft.entry.events} - said)


def _implied(
    found: Iterable[Standing], suppressions: Iterable[Suppression | None], scopes: Iterable[Scope]
) -> list[Standing]:
    """Return the no of those who were erased, for the scopes that they said nothing about since."""
    said = {(one.party, one.scope) for one in found if one.counterpart is None}
    scopes = list(scopes)
    return [
        suppression.standing(scope)
        for suppression in suppressions
        if suppression is not None
        for scope in scopes
        if (suppression.party, scope) not in said
    ]


def writes_of(entry: Entry) -> int:
    """Return how many items of a transaction an entry takes: its records, their standings, head, source and contact."""
    return 2 * len(entry.events) + 2 + (entry.contact is not None)


_RECEIPT = tuple(each.name for each in fields(Receipt))


def _plain(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as JSON has it. Its members are plain, so nothing needs the deep copy of `asdict`."""
    return {name: getattr(receipt, name) for name in _RECEIPT}


def _one(values: set[tuple[str, str]]) -> tuple[str, str]:
    if len(values) != 1:
        raise ValueError("events of one append belong to one person and one source event")
    return values.pop()


def _optional_text(moment: datetime | None) -> str | None:
    return None if moment is None else moments.to_text(moment)


def standing_key(party: str, scope: str, counterpart: str | None) -> Item:
    """Return the key of where one consent stands; no counterpart is the service as a whole."""
    return party_key(party, f"STATE#{scope}#{counterpart or '*'}")


def relevant_keys(parties: Iterable[str], scopes: Iterable[Scope]) -> list[Item]:
    """Return the keys of everything that `parties` can have said about scopes towards each other and the service."""
    parties = list(parties)
    return [
        standing_key(party, scope, counterpart)
        for scope in scopes
        for party in parties
        for counterpart in [None, *(other for other in parties if other != party)]
    ]


def _same_head(item: Item) -> Item:
    """Return the condition that a chain's head is as it was read: no other record, no other session since."""
    if not item:
        return ABSENT
    return {
        "ConditionExpression": "seq = :seq AND (opened = :opened OR attribute_not_exists(opened))",
        "ExpressionAttributeValues": {":seq": item["seq"], ":opened": item.get("opened", number(0))},
    }


def _head(item: Item) -> Head:
    return Head(int(item["seq"]["N"]), item["record_hash"]["S"]) if item else Head()


def _said(event: ConsentEvent) -> list[Any]:
    """Return what a repeat of an event must say again.

    Times and the words of a withdrawal are not part of it, since a repeat may be found another way; nor is what the
    stack itself adds, since it may have been deployed anew meanwhile.
    """
    notice = {name: value for name, value in (event.notice or {}).items() if name != "privacy_policy"}
    proof = [notice, event.evidence, event.identity, event.number_tenure]
    ground = [event.jurisdiction, event.legal_basis]
    return [event.scope, event.state, event.counterpart, event.method, event.kind, *proof, *ground]


def _standing_item(standing: Standing) -> Item:
    item = {
        **standing_key(standing.party, standing.scope, standing.counterpart),
        "scope": {"S": standing.scope},
        "counterpart": {"S": standing.counterpart or "*"},
        "state": {"S": standing.state or ""},
        "seq": number(standing.seq),
        "record_id": {"S": standing.record_id},
        "effective_at": {"S": moments.to_text(standing.effective_at)},
        "kind": {"S": standing.kind},
    }
    if standing.valid_until is not None:
        item["valid_until"] = {"S": moments.to_text(standing.valid_until)}
    if standing.notice is not None:
        item["notice"] = {"S": canonical_json(standing.notice)}
    if standing.call:
        item["call"] = {"S": standing.call}
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
        # Whatever is not said to be explicit is not.
        kind=Kind.EXPLICIT if item["kind"]["S"] == Kind.EXPLICIT else Kind.IMPLIED,
        notice=_notice(json.loads(item["notice"]["S"])) if "notice" in item else None,
        call=item["call"]["S"] if "call" in item else "",
    )


def _notice(pair: Sequence[Any]) -> tuple[str, int | str]:
    notice_id, version = pair
    return notice_id, version


def _as_long_as_kept(item: Item) -> Standing:
    """Return a standing for a decision: a consent holds no longer than the record that proves it is kept."""
    standing = _standing(item)
    kept_until = datetime.fromtimestamp(ends_at(item), UTC)
    return replace(standing, valid_until=min(standing.valid_until or kept_until, kept_until))
