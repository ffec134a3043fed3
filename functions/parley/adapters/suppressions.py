"""What stays of somebody who was erased, in the table: one row a person, without a time to live.

It must outlive every other record of that person: whoever forgot a no could not keep it.
"""

from __future__ import annotations

from parley.adapters.session_items import Item
from parley.adapters.table import Table, number
from parley.core import moments
from parley.core.suppression import Suppression

SUPPRESSED = "SUPPRESSED"


class SuppressionRows(Table):
    """The part of `parley.ports.Ledger` that knows who was erased."""

    def suppression(self, party: str) -> Suppression | None:
        """Return what stays of a person who was erased, or None if they never were."""
        (item,) = self.get([suppressed_key(party)])
        return suppression_of(item)


def suppressed_key(party: str) -> Item:
    """Return the key of the row of a person who was erased."""
    return {"pk": {"S": f"{SUPPRESSED}#{party}"}, "sk": {"S": SUPPRESSED}}


def suppression_item(suppression: Suppression) -> Item:
    """Return the row."""
    return {
        **suppressed_key(suppression.party),
        "erasure": {"S": suppression.erasure},
        "erased_at": {"S": moments.to_text(suppression.at)},
        "erased": number(suppression.count),
        "seq": number(suppression.seq),
        "record_hash": {"S": suppression.record_hash},
        "proof": {"S": suppression.proof},
    }


def suppression_of(item: Item) -> Suppression | None:
    """Return what a row says, or None for an empty one."""
    if not item:
        return None
    return Suppression(
        party=item["pk"]["S"].removeprefix(f"{SUPPRESSED}#"),
        erasure=item["erasure"]["S"],
        at=moments.from_text(item["erased_at"]["S"]),
        count=int(item["erased"]["N"]),
        seq=int(item["seq"]["N"]),
        record_hash=item["record_hash"]["S"],
        proof=item["proof"]["S"],
    )
