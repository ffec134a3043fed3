"""The gate: everybody has to have agreed, and one no outweighs any number of yes."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.consent import NO, Kind, Scope, Standing, State
from parley.core.decision import UNKNOWN, decide
from parley.core.disclosure import STALE

from tests.unit.chains import ANA, BEN, CLEO, MOMENTS, NOON


def standing(party: str, state: State | None = State.GIVEN, **changes: Any) -> Standing:
    """Return where a party's `manage` consent towards the service stands, but for `changes`."""
    fields: dict[str, Any] = {
        "party": party,
        "scope": Scope.MANAGE,
        "counterpart": None,
        "state": state,
        "seq": 1,
        "record_id": f"cr_{party[:1]}",
        "effective_at": NOON,
        **changes,
    }
    return Standing(**fields)


STANDINGS = st.builds(
    Standing,
    party=st.sampled_from([ANA, BEN, CLEO]),
    scope=st.sampled_from([Scope.MANAGE, Scope.RECORD_VOICE]),
    counterpart=st.sampled_from([None, ANA, BEN, CLEO]),
    state=st.none() | st.sampled_from(State),
    seq=st.integers(1, 9),
    record_id=st.text("0123456789abcdef", min_size=1, max_size=4),
    effective_at=MOMENTS,
    valid_until=st.none() | MOMENTS,
    notice=st.sampled_from([None, ("manage", 1), ("manage", 99), ("app:terms", 3)]),
)


def test_everybody_agreed() -> None:
    """With everybody's consent towards the service the answer is yes, and it names the records it rests on."""
    decided = decide([ANA, BEN], [standing(ANA), standing(BEN)], NOON)
    assert decided.permit
    assert decided.record_ids == ("cr_a", "cr_b")
    assert decided.valid_until is None


@pytest.mark.parametrize(
    ("notice", "state"),
    [
        (("manage", 99), STALE),
        (("manage", "1"), STALE),
        (("manage", 1), None),
        (("app:terms", 99), None),
        (("app:terms", "2026-02"), None),
        (None, None),
    ],
)
def test_consent_to_a_notice_that_widened(notice: tuple[str, int | str] | None, state: str | None) -> None:
    """A consent to a version of ours that does not cover today's purpose is stale; a text of the app's never is."""
    decided = decide([ANA, BEN], [standing(ANA, notice=notice), standing(BEN)], NOON)
    assert [one.state for one in decided.reasons] == ([] if state is None else [state])


@pytest.mark.parametrize("state", sorted(State))
def test_only_what_is_given_goes_stale(state: State) -> None:
    """A no, a question or a consent that has run out keeps its own reason, whatever became of its notice."""
    decided = decide([ANA, BEN], [standing(ANA, state, notice=("manage", 99)), standing(BEN)], NOON)
    assert [one.state for one in decided.reasons] == [STALE if state is State.GIVEN else state]


def test_one_without_record_is_missing() -> None:
    """Somebody without any record is named as unknown."""
    decided = decide([ANA, BEN], [standing(ANA)], NOON)
    assert [(one.party, one.scope, one.state, one.counterpart) for one in decided.reasons] == [
        (BEN, Scope.MANAGE, UNKNOWN, ANA)
    ]


def test_consent_towards_the_counterpart_is_enough() -> None:
    """Consent towards this very person needs no consent towards the service."""
    assert decide([ANA, BEN], [standing(ANA, counterpart=BEN), standing(BEN)], NOON).permit


def test_consent_towards_somebody_else_is_not() -> None:
    """Consent towards a third person says nothing about this one."""
    assert not decide([ANA, BEN], [standing(ANA, counterpart=CLEO), standing(BEN)], NOON).permit


@pytest.mark.parametrize("state", [State.REFUSED, State.WITHDRAWN, State.INVALIDATED, State.EXPIRED, None])
@pytest.mark.parametrize("counterpart", [None, BEN])
def test_one_no_outweighs_a_yes(state: State | None, counterpart: str | None) -> None:
    """A no towards the person or the service wins over a yes towards the other."""
    other = BEN if counterpart is None else None
    held = [standing(ANA, counterpart=other), standing(ANA, state, counterpart=counterpart), standing(BEN)]
    decided = decide([ANA, BEN], held, NOON)
    assert [reason.state for reason in decided.reasons] == [state or UNKNOWN]


def test_pending_question_takes_nothing_back() -> None:
    """A question that is pending for one person leaves the consent towards the service in force, but is none itself."""
    asked = standing(ANA, State.REQUESTED, counterpart=BEN)
    assert decide([ANA, BEN], [asked, standing(ANA), standing(BEN)], NOON).permit
    assert decide([ANA, BEN], [asked, standing(BEN)], NOON).reasons[0].state == State.REQUESTED


def test_implied_consent_needs_a_law_that_takes_it() -> None:
    """What was concluded from somebody's silence is no consent, unless every party's law takes it for one."""
    concluded = dataclasses.replace(standing(ANA), kind=Kind.IMPLIED)
    assert decide([ANA, BEN], [concluded, standing(BEN)], NOON).reasons[0].state == State.REQUESTED
    assert decide([ANA, BEN], [concluded, standing(BEN)], NOON, implied=True).permit
    said_no = standing(ANA, State.WITHDRAWN, counterpart=BEN)
    assert not decide([ANA, BEN], [concluded, said_no, standing(BEN)], NOON, implied=True).permit


def test_answer_ends_with_the_first_consent() -> None:
    """A yes is good until the first consent that it rests on runs out, and not a moment longer."""
    ends = NOON + timedelta(hours=1)
    held = [standing(ANA, valid_until=ends + timedelta(hours=1)), standing(BEN, valid_until=ends)]
    assert decide([ANA, BEN], held, NOON).valid_until == ends
    assert [reason.state for reason in decide([ANA, BEN], held, ends).reasons] == [State.EXPIRED]


@pytest.mark.parametrize("parties", [[], [ANA], [ANA, ANA]])
def test_nobody_to_talk_to(parties: list[str]) -> None:
    """A decision about fewer than two people is a mistake of the caller."""
    with pytest.raises(ValueError, match="two different parties"):
        decide(parties, [], NOON)


@given(st.lists(STANDINGS, max_size=8), STANDINGS, st.sampled_from(sorted(NO)))
def test_a_no_never_makes_a_yes(held: list[Standing], more: Standing, state: State) -> None:
    """Adding a refusal or a withdrawal never turns a deny into a permit."""
    no = Standing(
        more.party, more.scope, more.counterpart, state, more.seq, more.record_id, more.effective_at, more.valid_until
    )
    before, after = decide([ANA, BEN], held, NOON), decide([ANA, BEN], [*held, no], NOON)
    assert before.permit or not after.permit


@given(st.lists(STANDINGS, max_size=10))
def test_another_party_never_makes_a_yes(held: list[Standing]) -> None:
    """Adding a party never turns a deny into a permit."""
    assert decide([ANA, BEN], held, NOON).permit or not decide([ANA, BEN, CLEO], held, NOON).permit


@given(st.lists(STANDINGS, max_size=8), st.integers(0, 7))
def test_permit_needs_a_consent_of_each(held: list[Standing], minutes: int) -> None:
    """A permit always rests on a consent of each party that is given at that moment."""
    now = NOON + timedelta(minutes=minutes)
    if decide([ANA, BEN], held, now).permit:
        for party in (ANA, BEN):
            assert any(one.party == party and one.scope is Scope.MANAGE and one.at(now) is State.GIVEN for one in held)


@given(st.lists(STANDINGS, max_size=8), st.integers(0, 3000))
def test_time_alone_never_makes_a_yes(held: list[Standing], minutes: int) -> None:
    """What is denied now is denied later if nothing happens."""
    later = NOON + timedelta(minutes=minutes)
    assert decide([ANA, BEN], held, NOON).permit or not decide([ANA, BEN], held, later).permit
