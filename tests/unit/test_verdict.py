"""Verdicts: scope by scope, by the strictest place, and never without everybody's own yes to being connected."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.consent import Kind, Scope, Standing, State
from parley.core.jurisdiction import JurisdictionPolicy, Relaxation, reviewed_table
from parley.core.location import Location, Source
from parley.core.verdict import (
    Action,
    DecisionRecord,
    Verdict,
    asked_per_call,
    decision_id,
    judge,
    missing,
    parse_decision_id,
    words,
)

from tests.unit.chains import ANA, BEN, NOON

INTENT = "si_" + "a" * 32
TEXAS = Location("US-TX", Source.DECLARED)
GERMANY = Location("DE", Source.DECLARED)
RELAXED = JurisdictionPolicy("US-TX", relax=Relaxation("J. Doe, counsel", date(2026, 5, 1), "one party is enough"))


def standing(party: str, scope: Scope = Scope.MANAGE, state: State | None = State.GIVEN, **changes: Any) -> Standing:
    """Return where a consent towards the service stands since noon."""
    fields: dict[str, Any] = {"counterpart": None, "seq": 1, "record_id": f"cr_{party[0]}", "effective_at": NOON}
    return Standing(party=party, scope=scope, state=state, **fields | changes)


def decided(
    *standings: Standing,
    wanted: tuple[Scope, ...] = (),
    place: Location | None = TEXAS,
    policy: JurisdictionPolicy | None = None,
) -> Verdict:
    """Judge Ana and Ben, both at one place, under an operator who is in Texas."""
    return judge(
        [ANA, BEN],
        standings,
        NOON + timedelta(minutes=1),
        wanted=wanted,
        places={} if place is None else {ANA: (place,), BEN: (place,)},
        policy=policy or JurisdictionPolicy("US-TX"),
        table=reviewed_table(),
    )


class TestManage:
    """Being connected."""

    @pytest.mark.parametrize("policy", [JurisdictionPolicy("US-TX"), RELAXED])
    def test_no_law_replaces_a_consent(self, policy: JurisdictionPolicy) -> None:
        """One missing consent refuses the connection, even where the law is content with one party."""
        assert not decided(standing(ANA), policy=policy).manage.permit
        assert decided(standing(ANA), standing(BEN), policy=policy).manage.permit

    def test_implied_consent_connects_nobody(self) -> None:
        """A consent that was concluded from what somebody did is none, whatever the law of their place."""
        verdict = decided(standing(ANA), standing(BEN, kind=Kind.IMPLIED))
        assert [(one.party, one.state) for one in verdict.manage.reasons] == [(BEN, "requested")]

    def test_law_is_told_all_the_same(self) -> None:
        """The ruling of a decision about being connected names the table and the row that decides."""
        assert decided(standing(ANA), standing(BEN)).judgements[0].ruling.row == "US-TX"
        assert decided(standing(ANA), standing(BEN), place=None).judgements[0].ruling.row != "US-TX"


class TestBeyond:
    """Recording, storing, transcribing."""

    def test_each_scope_is_decided_by_itself(self) -> None:
        """Consent to one scope is none to another, and a missing one does not end the connection."""
        given = [standing(who, scope) for who in (ANA, BEN) for scope in (Scope.MANAGE, Scope.STORE_MESSAGES)]
        verdict = decided(*given, wanted=(Scope.RECORD_VOICE, Scope.STORE_MESSAGES))
        assert verdict.manage.permit
        assert verdict.scopes == (Scope.STORE_MESSAGES,)

    @pytest.mark.parametrize(("place", "permit"), [(TEXAS, True), (GERMANY, False), (None, False)])
    def test_implied_consent_counts_where_the_law_says_so(self, place: Location | None, permit: bool) -> None:
        """Staying on is a consent to recording in Texas, not in Germany, and nowhere that is not known."""
        manage = [standing(ANA), standing(BEN)]
        stayed = [standing(who, Scope.RECORD_VOICE, kind=Kind.IMPLIED) for who in (ANA, BEN)]
        verdict = decided(*manage, *stayed, wanted=(Scope.RECORD_VOICE,), place=place)
        assert bool(verdict.scopes) is permit

    @pytest.mark.parametrize(
        ("bens", "permit"),
        [
            (None, True),
            (State.REQUESTED, True),
            (State.REFUSED, False),
            (State.WITHDRAWN, False),
            (State.INVALIDATED, False),
        ],
    )
    def test_relaxed_law_takes_silence_and_never_a_no(self, bens: State | None, permit: bool) -> None:
        """Where counsel relaxed it and the law is content with one party, the other one's no still stops it."""
        said = [] if bens is None else [standing(BEN, Scope.RECORD_VOICE, bens)]
        anas = [standing(ANA), standing(BEN), standing(ANA, Scope.RECORD_VOICE)]
        assert bool(decided(*anas, *said, wanted=(Scope.RECORD_VOICE,), policy=RELAXED).scopes) is permit
        assert not decided(*anas, *said, wanted=(Scope.RECORD_VOICE,)).scopes

    def test_relaxed_law_needs_one_yes_and_readable_records(self) -> None:
        """Nobody's yes is not enough, and what cannot be understood counts for a no."""
        manage = [standing(ANA), standing(BEN)]
        assert not decided(*manage, wanted=(Scope.RECORD_VOICE,), policy=RELAXED).scopes
        unreadable = [standing(ANA, Scope.RECORD_VOICE), standing(BEN, Scope.RECORD_VOICE, None)]
        assert not decided(*manage, *unreadable, wanted=(Scope.RECORD_VOICE,), policy=RELAXED).scopes


class TestAskedPerCall:
    """What a call may ask for at its beginning."""

    MANAGE = (standing(ANA), standing(BEN))
    BOTH = (Scope.RECORD_VOICE, Scope.STORE_MESSAGES)

    @pytest.mark.parametrize(
        ("bens", "asked"),
        [
            (None, True),
            (State.REQUESTED, True),
            (State.EXPIRED, True),
            (State.REFUSED, False),
            (State.WITHDRAWN, False),
            (State.INVALIDATED, False),
        ],
    )
    def test_a_no_is_not_asked_again(self, bens: State | None, asked: bool) -> None:
        """Who has not answered may be asked on the phone, who said no may not, and texts are no matter of a call."""
        said = [] if bens is None else [standing(BEN, Scope.RECORD_VOICE, bens)]
        verdict = decided(*self.MANAGE, *said, wanted=self.BOTH)
        assert asked_per_call(verdict) == ((Scope.RECORD_VOICE,) if asked else ())

    def test_what_is_permitted_or_not_wanted_is_not_asked(self) -> None:
        """A standing yes of everybody needs no question, and nobody asks for what the session does not want."""
        given = [standing(who, Scope.RECORD_VOICE) for who in (ANA, BEN)]
        assert asked_per_call(decided(*self.MANAGE, *given, wanted=self.BOTH)) == ()
        assert asked_per_call(decided(*self.MANAGE)) == ()


class TestRecord:
    """What is kept of a decision."""

    def test_document_is_plain_and_names_no_number(self) -> None:
        """The record is plain data: codes, words, records and the law, with the parties by their keys."""
        verdict = decided(standing(ANA), wanted=(Scope.RECORD_VOICE,))
        record = DecisionRecord(decision_id(INTENT, NOON, "0" * 6), INTENT, Action.OPEN, NOON, verdict, {"p": "1"})
        document = record.document()
        assert (document["permit"], document["parties"]) == (False, [ANA, BEN])
        manage, recording = document["scopes"]
        assert [one["code"] for one in manage["missing"]] == ["manage-unknown"]
        assert len(recording["missing"]) == 2
        assert manage["ruling"]["table"] == reviewed_table().version

    def test_refusal_of_another_kind_is_no_permit(self) -> None:
        """A session that is over is not renewed, whoever consents."""
        verdict = decided(standing(ANA), standing(BEN))
        record = DecisionRecord(decision_id(INTENT, NOON, "0" * 6), INTENT, Action.RENEW, NOON, verdict, {})
        assert record.permit
        assert not replace(record, refusal="session-closed").permit

    @given(st.integers(0, 10**6), st.text("0123456789abcdef", min_size=6, max_size=6))
    def test_ids_sort_as_time_does(self, seconds: int, nonce: str) -> None:
        """An id names its intent, is read back, and a later one sorts after an earlier one."""
        first, second = (decision_id(INTENT, NOON + timedelta(seconds=s), nonce) for s in (seconds, seconds + 1))
        parsed = parse_decision_id(first)
        assert parsed is not None
        assert f"{parsed[0]}.{parsed[1]}" == first < second

    @given(st.text(max_size=60))
    def test_anything_else_is_no_id(self, text: str) -> None:
        """A text that is no id of a decision is none."""
        assert parse_decision_id(text) is None

    def test_every_reason_has_words(self) -> None:
        """Each scope and each state is told in a sentence of its own."""
        states = [*(str(state) for state in State), "stale", "unknown"]
        assert len({words(scope, state) for scope in Scope for state in states}) == len(Scope) * len(states)
        (told, _) = missing(decided().manage.reasons)
        assert told["words"].endswith("is not on record.")
