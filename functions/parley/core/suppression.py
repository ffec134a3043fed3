"""What stays of somebody who was erased, and what it stands for: the no that an erasure implies.

Without it that no would be forgotten with everything else, and the next import of an old list would reach the person
again (GDPR art. 17(3)(b), 21(3)). It also tells rows that an erasure took away from rows that somebody else did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from parley.core.consent import GENESIS, Head, Scope, Standing, State

UNPROVEN = timedelta(days=15)
"""How long rows may be gone without a proof: an erasure is given up, and proven, after the 14 days that Twilio may take
to let something be deleted (error 20009)."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """What stays of somebody who was erased: that they were, when, by which erasure, and where their chain ended.

    `count` is how often. `proof` names the proof of the last one, once there is one.
    """

    party: str
    erasure: str
    at: datetime
    count: int = 1
    seq: int = 0
    record_hash: str = GENESIS
    proof: str = ""

    @property
    def head(self) -> Head:
        """The end of the chain that was erased, after which a new one begins."""
        return Head(self.seq, self.record_hash)

    def standing(self, scope: Scope) -> Standing:
        """Return where a consent stands that nothing was said about since: withdrawn, when the erasure was asked for.

        So an import never lifts it, and the person's own later answer does, as after any no.
        """
        return Standing(self.party, scope, None, State.WITHDRAWN, 0, self.erasure, self.at)


def is_proof_of(document: Mapping[str, Any], suppression: Suppression) -> bool:
    """Tell whether a proof says that the chain of a person was erased up to where the suppression says it ended."""
    return (
        document.get("party") == suppression.party
        and isinstance(document.get("id"), str)
        and document["id"] == suppression.erasure
        and document.get("last_record") == suppression.seq
    )


def is_explained(suppression: Suppression, now: datetime, *, proof_holds: bool) -> bool:
    """Tell whether records that are gone are gone by an erasure: proven, or under way and not for too long."""
    return proof_holds or (not suppression.proof and now < suppression.at + UNPROVEN)
