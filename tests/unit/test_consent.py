"""Consent records: the chain that shows any tampering, and the state that follows from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.consent import (
    GENESIS,
    NO,
    ChainError,
    ConsentEvent,
    ConsentRecord,
    Head,
    Method,
    Scope,
    State,
    canonical_json,
    follow,
    project,
    purposes_of,
    record_from_json,
    verify_chain,
)

from tests.unit.chains import ANA, BEN, NOON, chain, event, events

CHAINS = st.lists(events(), min_size=1, max_size=5).map(chain)


class TestChain:
    """Tamper evidence (invariant I3)."""

    @given(CHAINS)
    def test_chain_of_appends_verifies(self, records: list[ConsentRecord]) -> None:
        """A chain made by appending verifies, ends at its last record and survives being written and read."""
        end = verify_chain(records)
        assert end == Head(records[-1].seq, records[-1].record_hash)
        assert [record_from_json(record.to_json()) for record in records] == records
        assert records[0].prev_hash == GENESIS

    @given(st.data())
    def test_any_changed_member_is_found(self, data: st.DataObject) -> None:
        """Changing any member of any record of a chain, in whatever way, is found."""
        records = data.draw(CHAINS)
        position = data.draw(st.integers(0, len(records) - 1))
        document = json.loads(records[position].to_json())
        name = data.draw(st.sampled_from(sorted(document)))
        changed: object = data.draw(st.none() | st.integers() | st.text(max_size=4) | st.just({}))
        if changed == document[name]:
            return
        text = json.dumps({**document, name: changed})
        with pytest.raises(ValueError):  # noqa: PT011 - unreadable or broken: both are found
            verify_chain([*records[:position], record_from_json(text), *records[position + 1 :]])

    @given(st.lists(events(), min_size=2, max_size=5).map(chain), st.data())
    def test_missing_moved_or_added_record_is_found(self, records: list[ConsentRecord], data: st.DataObject) -> None:
        """Leaving a record out, moving it or putting it in twice is found; at the end by the ledger's head."""
        head = verify_chain(records)
        position = data.draw(st.integers(0, len(records) - 1))
        without = records[:position] + records[position + 1 :]
        for broken in (without, [*records, records[position]], [*without, records[position]]):
            if broken != records:
                with pytest.raises(ChainError):
                    verify_chain(broken, head=head)

    def test_record_of_another_person_is_found(self) -> None:
        """A record that belongs to somebody else is found, and the message says at which place."""
        records = [*chain([event()]), chain([event(), event(party=BEN)])[1]]
        with pytest.raises(ChainError, match="record 2: belongs to another person") as caught:
            verify_chain(records)
        assert caught.value.seq == 2

    def test_record_sealed_by_a_forger_is_found(self) -> None:
        """A record with a right hash of its own that does not continue the one before is found."""
        first, _ = chain([event(), event(source_event_id="2")])
        _, forged = chain([event(source_event_id="x"), event(source_event_id="2")])
        with pytest.raises(ChainError, match="does not continue"):
            verify_chain([first, forged])

    def test_chain_whose_beginning_expired_verifies(self) -> None:
        """A chain whose first records reached the end of their retention still proves the rest."""
        records = chain([event(source_event_id=str(number)) for number in range(4)])
        assert verify_chain(records[2:], whole=False).seq == 4
        with pytest.raises(ChainError):
            verify_chain(records[2:])

    def test_empty_chain_is_whole(self) -> None:
        """Nobody's chain is whole, unless the ledger claims that it has an end."""
        assert verify_chain([]) == Head()
        with pytest.raises(ChainError):
            verify_chain([], head=Head(1, "x"))

    def test_same_event_has_same_id(self) -> None:
        """An event keeps its record id wherever in a chain it stands, and another scope has another id."""
        first, second, third = chain([event(), event(), event(scope=Scope.TRANSCRIBE)])
        assert first.record_id == second.record_id != third.record_id

    @given(events(), st.text(max_size=3))
    def test_member_more_or_less_is_refused(self, one: ConsentEvent, name: str) -> None:
        """A record with one member too many, or one too few, is not read."""
        document = json.loads(chain([one])[0].to_json())
        for odd in ({**document, f"x-{name}": None}, {key: document[key] for key in sorted(document)[1:]}):
            with pytest.raises(ValueError, match="not a consent record of this version"):
                record_from_json(json.dumps(odd))

    def test_withdrawal_has_the_times_of_its_delay(self) -> None:
        """A withdrawal says when it was asked for and when it was done: what its delay is measured by."""
        asked = NOON - timedelta(minutes=2)
        (record,) = chain([event(state=State.WITHDRAWN, effective_at=asked, withdrawal={"channel": "api"})])
        assert record.document()["withdrawal"] == {
            "channel": "api",
            "requested_at": "2026-05-04T11:58:00.000000Z",
            "done_at": "2026-05-04T12:00:00.000000Z",
        }

    def test_purposes_follow_from_the_scope(self) -> None:
        """A consent is for the purposes of what its scope covers, each once and sorted, and for no others."""
        declared = {"session-map": ["safety"], "interaction-log": ["safety", "billing"], "messages": ["ads"]}
        assert purposes_of(Scope.MANAGE, declared) == ("billing", "safety")
        assert purposes_of(Scope.RECEIVE_INFO, declared) == ()

    @pytest.mark.parametrize("text", ["{}", "[]", '{"party": 1}', '{"subject": 1, "counterpart": 1}', "nonsense"])
    def test_unreadable_record_is_refused(self, text: str) -> None:
        """A text that is no record is an error rather than a guess."""
        with pytest.raises(ValueError):  # noqa: PT011 - JSON's own error is a ValueError too
            record_from_json(text)

    def test_canonical_form_is_one_text(self) -> None:
        """Equal values have one canonical text whatever the order of their keys, and numbers must be finite."""
        assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
        with pytest.raises(ValueError, match="Out of range"):
            canonical_json(float("nan"))


class TestState:
    """What follows from a chain (invariant I3: state = the last event; withdrawal beats a later import)."""

    @given(st.lists(events(scope=Scope.MANAGE, counterpart=None), min_size=1, max_size=6))
    def test_state_is_the_last_event_while_nobody_said_no(self, happened: list[ConsentEvent]) -> None:
        """While nobody said no, the state is that of the last event but a question, whatever the times say."""
        yes = [one for one in happened if one.state not in {*NO, State.REQUESTED}] or [event()]
        standing = project(chain(yes))[Scope.MANAGE, None]
        assert (standing.state, standing.seq) == (yes[-1].state, len(yes))

    @pytest.mark.parametrize("state", [None, State.REQUESTED, State.EXPIRED, State.GIVEN])
    def test_yes_to_one_call_takes_nothing_from_one_that_lasts(self, state: State | None) -> None:
        """A yes to one call is known by its call, and replaces everything but a yes that is in force for longer."""
        of_a_call = event(evidence={"call_sid": "CA1", "valid_for": "call"}, source_event_id="CA1")
        before = [] if state is None else [event(state=state, source_event_id="before")]
        standing = project(chain([*before, of_a_call]))[of_a_call.scope, of_a_call.counterpart]
        assert standing.call == ("" if state is State.GIVEN else "CA1")
        again = event(evidence={"call_sid": "CA2", "valid_for": "call"}, source_event_id="CA2")
        later = project(chain([*before, of_a_call, again]))[of_a_call.scope, of_a_call.counterpart]
        assert later.call == ("" if state is State.GIVEN else "CA2")

    @given(
        st.lists(events(scope=Scope.MANAGE, counterpart=None), max_size=3),
        events(scope=Scope.MANAGE, counterpart=None, state=State.WITHDRAWN),
        st.lists(events(scope=Scope.MANAGE, counterpart=None, method=Method.ADMIN_IMPORT), max_size=4),
    )
    def test_withdrawal_beats_later_imports(
        self, before: list[ConsentEvent], withdrawal: ConsentEvent, imports: Sequence[ConsentEvent]
    ) -> None:
        """No import and no number of imports makes a withdrawn consent anything but a no."""
        standing = project(chain([*before, withdrawal, *imports]))[Scope.MANAGE, None]
        assert standing.state in NO

    @given(
        events(scope=Scope.MANAGE, counterpart=None, state=State.REFUSED),
        st.lists(events(scope=Scope.MANAGE, counterpart=None), max_size=5),
    )
    def test_only_an_own_later_answer_lifts_a_no(self, refusal: ConsentEvent, later: list[ConsentEvent]) -> None:
        """After a no, consent is given only if the person gave it after that no, and not by import."""
        standing = project(chain([refusal, *later]))[Scope.MANAGE, None]
        if standing.state not in NO:
            answers = [
                one
                for one in later
                if one.state is State.GIVEN
                and one.method is not Method.ADMIN_IMPORT
                and one.effective_at > refusal.effective_at
            ]
            assert answers

    @given(st.lists(events(scope=Scope.MANAGE, counterpart=None, state=State.REQUESTED), max_size=3))
    def test_question_takes_nothing_back(self, asked: list[ConsentEvent]) -> None:
        """However often somebody who gave consent is asked again, the consent is in force until it is answered."""
        assert project(chain([event(), *asked]))[Scope.MANAGE, None].state is State.GIVEN
        refused = event(state=State.REFUSED, effective_at=NOON + timedelta(minutes=1))
        assert project(chain([event(), *asked, refused]))[Scope.MANAGE, None].state is State.REFUSED

    def test_question_after_validity_is_a_question(self) -> None:
        """Who is asked again after a consent ran out stands at the question."""
        end = NOON + timedelta(days=1)
        asked = event(state=State.REQUESTED, effective_at=end)
        assert project(chain([event(valid_until=end), asked]))[Scope.MANAGE, None].state is State.REQUESTED

    def test_later_answer_lifts_a_no(self) -> None:
        """Someone who withdrew and then gives consent again has given it."""
        again = event(effective_at=NOON + timedelta(minutes=1))
        assert project(chain([event(state=State.WITHDRAWN), again]))[Scope.MANAGE, None].state is State.GIVEN

    def test_refusals_in_the_wrong_order_count_from_the_later(self) -> None:
        """Two refusals that arrive in the wrong order are lifted only by an answer after the later one."""
        late = event(state=State.WITHDRAWN, effective_at=NOON + timedelta(hours=2))
        early = event(state=State.REFUSED)
        between = event(effective_at=NOON + timedelta(hours=1))
        assert project(chain([late, early, between]))[Scope.MANAGE, None].state is State.REFUSED

    def test_scopes_and_counterparts_stand_apart(self) -> None:
        """A withdrawal of one scope towards one person leaves the others as they were."""
        standings = project(chain([event(), event(scope=Scope.TRANSCRIBE, counterpart=BEN, state=State.WITHDRAWN)]))
        assert {key: standing.state for key, standing in standings.items()} == {
            (Scope.MANAGE, None): State.GIVEN,
            (Scope.TRANSCRIBE, BEN): State.WITHDRAWN,
        }

    def test_unknown_state_is_kept_like_a_no(self) -> None:
        """A state that a later version wrote is not overwritten by an import."""
        given_, imported = chain([event(), event(method=Method.ADMIN_IMPORT, effective_at=NOON + timedelta(days=1))])
        unknown = dataclasses.replace(follow(None, given_), state=None)
        assert follow(unknown, imported) is unknown

    def test_validity_runs_out_by_itself(self) -> None:
        """A consent is expired from the very moment its validity ends; a withdrawal never expires."""
        end = NOON + timedelta(days=1)
        given_ = project(chain([event(valid_until=end)]))[Scope.MANAGE, None]
        assert given_.at(end - timedelta(microseconds=1)) is State.GIVEN
        assert given_.at(end) is State.EXPIRED
        no = project(chain([event(state=State.WITHDRAWN, valid_until=end)]))[Scope.MANAGE, None]
        assert no.at(end) is State.WITHDRAWN
        assert given_.party == ANA
