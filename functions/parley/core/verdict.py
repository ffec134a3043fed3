"""Verdicts: what is decided about a whole request, scope by scope, and the record that every decision leaves.

Being connected needs everybody's explicit consent, whatever the law of their places is content with (requirements R8,
R9). What else is wanted, recording for example, is decided by itself (R11) and follows the strictest law over all
parties: a consent may be implied only where that law says so. A refusal there refuses the recording, not the session.

A decision record holds party keys, codes and ids of consent records; no number and no body.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from parley.core import moments
from parley.core.consent import Scope, Standing, State
from parley.core.decision import UNKNOWN, Decision, Reason, decide
from parley.core.disclosure import STALE
from parley.core.jurisdiction import Explicitness, JurisdictionPolicy, Required, Ruling, Table, rule_for
from parley.core.location import Location
from parley.core.sessions import is_intent_id

_ID = re.compile(r"(si_[0-9a-f]{32})\.([0-9a-f]{20})")
_NEVER = frozenset({State.WITHDRAWN, State.REFUSED, State.INVALIDATED})
"""What no law and no relaxation makes good."""


class Action(StrEnum):
    """What was asked of the gate."""

    OPEN = "open"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided about one scope, and the law that it was decided under."""

    scope: Scope
    decided: Decision
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about a request: being connected first, then each scope that was wanted besides."""

    parties: tuple[str, ...]
    judgements: tuple[Judgement, ...]

    @property
    def manage(self) -> Decision:
        """The decision about being connected, without which there is nothing else."""
        return self.judgements[0].decided

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes that are permitted besides being connected."""
        return tuple(one.scope for one in self.judgements[1:] if one.decided.permit)


def judge(
    parties: Sequence[str],
    standings: Iterable[Standing],
    now: datetime,
    *,
    wanted: Sequence[Scope] = (),
    places: Mapping[str, Collection[Location]],
    policy: JurisdictionPolicy,
    table: Table,
) -> Verdict:
    """Decide about connecting `parties` and about each scope that is `wanted` besides.

    `places` maps party keys to where each is said to be; who is missing there is nowhere known, which is the strictest
    law. `table` is the reviewed one under the overrides of `policy`.
    """
    standings = list(standings)
    located = {party: places.get(party, ()) for party in parties}
    judgements = []
    for scope in (Scope.MANAGE, *wanted):
        ruling = rule_for(located, policy.location, scope, table, policy.relax)
        beyond = scope is not Scope.MANAGE
        implied = beyond and ruling.explicit is Explicitness.IMPLIED_OK
        decided = decide(parties, standings, now, scope, implied=implied)
        readable = all(one.state is not None for one in standings if one.scope is scope)
        if beyond and readable and ruling.consent is Required.ONE:
            decided = _content_with_one(parties, decided)
        judgements.append(Judgement(scope, decided, ruling))
    return Verdict(tuple(parties), tuple(judgements))


def _content_with_one(parties: Sequence[str], decided: Decision) -> Decision:
    """Return a decision that one party's consent is enough for. Who said no is still not recorded (R12, R13)."""
    if {reason.party for reason in decided.reasons} >= set(parties):
        return decided
    reasons = tuple(reason for reason in decided.reasons if reason.state in _NEVER)
    return Decision(reasons, decided.record_ids, decided.valid_until)


_ASKABLE = frozenset({UNKNOWN, State.REQUESTED, State.EXPIRED, STALE})
"""What a question may still change: nobody said no."""


def asked_per_call(verdict: Verdict) -> tuple[Scope, ...]:
    """Return the scopes for which everybody may be asked at the beginning of a call, nobody having said no.

    Of what was wanted and is not permitted that is recording calls: who is on the phone can answer by a key.
    """
    return tuple(
        one.scope
        for one in verdict.judgements[1:]
        if one.scope is Scope.RECORD_VOICE
        and not one.decided.permit
        and all(reason.state in _ASKABLE for reason in one.decided.reasons)
    )


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision as it is kept: who asked for what, by which law and on which records it was decided.

    `intent` is the intent of the session that it is about, `policy` the version of what the operator declared.
    """

    id: str
    intent: str
    action: Action
    decided_at: datetime
    verdict: Verdict
    policy: Mapping[str, str]
    closes_at: datetime | None = None
    refusal: str | None = None

    @property
    def permit(self) -> bool:
        """Whether it was permitted."""
        return self.refusal is None and self.verdict.manage.permit

    def document(self) -> dict[str, Any]:
        """Return the record as plain data: what the ledger keeps and the API shows, but for the words."""
        return {
            "decision": self.id,
            "action": self.action,
            "decided_at": moments.to_text(self.decided_at),
            "permit": self.permit,
            "refusal": self.refusal,
            "closes_at": None if self.closes_at is None else moments.to_text(self.closes_at),
            "parties": list(self.verdict.parties),
            "scopes": [_scope(one) for one in self.verdict.judgements],
            "policy": dict(self.policy),
        }


def decision_id(intent: str, now: datetime, nonce: str) -> str:
    """Return the id of a decision about an intent; ids sort as time does. `nonce` is six random hex digits."""
    return f"{intent}.{int(now.timestamp() * 1_000_000):014x}{nonce}"


def parse_decision_id(text: str) -> tuple[str, str] | None:
    """Return the intent and the rest of a decision's id, or None if the text is none."""
    match = _ID.fullmatch(text)
    return (match[1], match[2]) if match and is_intent_id(match[1]) else None


def missing(reasons: Iterable[Reason]) -> list[dict[str, str]]:
    """Return the reasons of a no as the API shows them: whose consent for what stands where, as code and in words."""
    return [
        {
            "party": one.party,
            "scope": one.scope,
            "state": one.state,
            "code": f"{one.scope}-{one.state}",
            "words": words(one.scope, one.state),
        }
        for one in reasons
    ]


_SCOPES: Mapping[Scope, str] = {
    Scope.MANAGE: "being connected through the service",
    Scope.RECORD_VOICE: "recording calls",
    Scope.RECORD_VIDEO: "recording video",
    Scope.STORE_MESSAGES: "storing messages",
    Scope.TRANSCRIBE: "transcribing",
    Scope.RECEIVE_INFO: "receiving messages of the service",
}
_STATES: Mapping[str, str] = {
    State.REQUESTED: "was asked for, and there is no answer that is enough",
    State.GIVEN: "is given",
    State.REFUSED: "was refused",
    State.WITHDRAWN: "was withdrawn",
    State.EXPIRED: "has run out",
    State.INVALIDATED: "was found to be invalid",
    STALE: "was given to a notice whose purpose is wider now, and must be asked for again",
    UNKNOWN: "is not on record",
}


def words(scope: Scope, state: str) -> str:
    """Return in a sentence where a consent stands."""
    return f"The consent to {_SCOPES[scope]} {_STATES[state]}."


def _scope(one: Judgement) -> dict[str, Any]:
    ruling = one.ruling
    return {
        "scope": one.scope,
        "permit": one.decided.permit,
        "missing": missing(one.decided.reasons),
        "records": list(one.decided.record_ids),
        "ruling": {
            "table": ruling.version,
            "row": ruling.row,
            "party": ruling.party,
            "consent": ruling.consent,
            "explicit": ruling.explicit,
            "announcement": ruling.announcement,
        },
    }
