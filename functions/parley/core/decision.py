"""The gate: may these people be connected now, or may they be recorded, stored, transcribed.

Everybody has to have agreed, towards the other or towards the service as a whole (requirements R8, R9, R11). One
record that says no, has run out, was invalidated, was given to a narrower purpose than today's or cannot be understood
outweighs any number that say yes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from parley.core.consent import Kind, Scope, Standing, State
from parley.core.disclosure import STALE, state_at

UNKNOWN = "unknown"
"""The state of a consent that there is no record of, or whose record cannot be understood."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the answer is no: whose consent for what stands where. `counterpart` is the person it is needed towards."""

    party: str
    scope: Scope
    state: str
    counterpart: str


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer of the gate.

    `record_ids` are the records that it rests on. `valid_until` is the moment at which the first consent that a yes
    rests on runs out.
    """

    reasons: tuple[Reason, ...]
    record_ids: tuple[str, ...]
    valid_until: datetime | None = None

    @property
    def permit(self) -> bool:
        """Whether it may be done."""
        return not self.reasons


def decide(
    parties: Sequence[str],
    standings: Iterable[Standing],
    now: datetime,
    scope: Scope = Scope.MANAGE,
    *,
    implied: bool = False,
) -> Decision:
    """Decide whether `scope` may be done between `parties` (party keys) at `now`.

    Standings of other people, counterparts and scopes are ignored, and a yes to one call, which is for whoever decides
    about that call to count (`core/recording.py`). A consent that was concluded from what somebody did
    counts only with `implied`, which is for the law of every party's place to allow.
    Raises ValueError for fewer than two different parties: such a session cannot exist.
    """
    if len(parties) < 2 or len(set(parties)) != len(parties):
        raise ValueError("a decision needs at least two different parties")
    relevant = [standing for standing in standings if standing.scope is scope and not standing.call]
    reasons: list[Reason] = []
    record_ids: set[str] = set()
    ends: list[datetime] = []
    for party in parties:
        for counterpart in parties:
            if counterpart == party:
                continue
            held = [
                standing
                for standing in relevant
                if standing.party == party and standing.counterpart in {None, counterpart}
            ]
            record_ids.update(standing.record_id for standing in held)
            state = _weigh([_state(standing, now, implied=implied) for standing in held])
            if state != State.GIVEN:
                reasons.append(Reason(party, scope, state, counterpart))
            ends += [standing.valid_until for standing in held if standing.valid_until is not None]
    permitted_until = min(ends, default=None) if not reasons else None
    return Decision(tuple(reasons), tuple(sorted(record_ids)), permitted_until)


def _state(standing: Standing, now: datetime, *, implied: bool) -> str | None:
    """Return the state that counts: an implied consent that is not enough is as good as a question."""
    state = state_at(standing, now)
    return State.REQUESTED if state == State.GIVEN and standing.kind is Kind.IMPLIED and not implied else state


# What outweighs what, strongest first. A pending question does not take back a consent that is in force.
_WEIGHTS = (State.WITHDRAWN, State.REFUSED, State.INVALIDATED, State.EXPIRED, STALE, State.GIVEN, State.REQUESTED)


def _weigh(states: Sequence[str | None]) -> str:
    if None in states:
        return UNKNOWN
    return next((str(state) for state in _WEIGHTS if state in states), UNKNOWN)
