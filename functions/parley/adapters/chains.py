"""Chains in the table as they are, readable or not: what is held against the copies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from parley.adapters.session_items import Item, ends_at, party_key
from parley.adapters.suppressions import SuppressionRows
from parley.core.chains import Chain, End, Row
from parley.core.consent import Head

_EVENT, _HEAD, _PARTY = "EVENT#", "HEAD", "PARTY#"


class ChainRows(SuppressionRows):
    """The part of `parley.ports.Ledger` that walks all chains."""

    def chain(self, party: str) -> Chain:
        """Return one person's rows, in one query: the end of the chain sorts right behind its records."""
        condition = {
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":pk": {"S": _PARTY + party},
                ":first": {"S": _EVENT},
                ":last": {"S": _HEAD},
            },
        }
        rows: list[Row] = []
        end = None
        for item in self.query(condition, ConsistentRead=True):
            sort = item["sk"]["S"]
            if sort == _HEAD:
                end = End(_head(item), leaves_at(item))
            elif sort.startswith(_EVENT):
                rows.append(row(item))
        # Read last: an erasure writes it before it takes the others away.
        return Chain(party, tuple(rows), end, self.suppression(party))

    def chained(self, segment: int, segments: int, after: str) -> tuple[list[str], str]:
        """Return the people on the next page of one segment of a scan, and where the page ends.

        A page is a megabyte of the table, whatever it holds, so it may name nobody and not be the last. Read that way
        a million people cost cents; an index of chains would cost a write with every consent.
        """
        start: Item = {"ExclusiveStartKey": party_key(after, _HEAD)} if after else {}
        while True:
            answer = self.call(
                "scan",
                Segment=segment,
                TotalSegments=segments,
                FilterExpression="sk = :head",
                ProjectionExpression="pk",
                ExpressionAttributeValues={":head": {"S": _HEAD}},
                **start,
            )
            parties = [item["pk"]["S"].removeprefix(_PARTY) for item in answer["Items"]]
            last = answer.get("LastEvaluatedKey")
            if not last:
                return parties, ""
            if parties:
                return parties, parties[-1]
            start = {"ExclusiveStartKey": last}

    def unchained(self, parties: Sequence[str]) -> list[str]:
        """Return those of `parties` who have no row with the end of a chain."""
        items = self.get([party_key(party, _HEAD) for party in parties])
        return [party for party, item in zip(parties, items, strict=True) if not item]


def row(item: Item) -> Row:
    """Return the row of a record, whatever its text is; one without a readable place stands at 0."""
    place = item["sk"]["S"].removeprefix(_EVENT)
    seq = int(place) if place.isascii() and place.isdigit() else 0
    return Row(seq, item.get("record", {}).get("S", ""), leaves_at(item))


def leaves_at(item: Item) -> datetime:
    """Return when a row leaves, or would but for a legal hold; one that says nothing readable stays.

    What a hold keeps beyond its time is not held against its copy: S3 has put a delete marker before that by then.
    """
    try:
        return datetime.fromtimestamp(ends_at(item), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _head(item: Item) -> Head:
    """Return the head that a row holds; an unreadable one is the end of no chain."""
    try:
        return Head(int(item["seq"]["N"]), item["record_hash"]["S"])
    except (KeyError, ValueError):
        return Head(0, "")
