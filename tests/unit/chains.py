"""What the tests of consent share: people, moments and strategies for consent events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from parley.core.consent import (
    LEGAL_BASES,
    PROCESSORS,
    ConsentEvent,
    ConsentRecord,
    Head,
    Kind,
    Method,
    Scope,
    State,
    append,
)

ANA, BEN, CLEO = "a" * 64, "b" * 64, "c" * 64
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

MOMENTS = st.integers(-1000, 1000).map(lambda minutes: NOON + timedelta(minutes=minutes))
DOCUMENTS = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5), max_size=3
)


def event(**changes: Any) -> ConsentEvent:
    """Return a consent that Ana gave in the app at noon, but for `changes`."""
    fields: dict[str, Any] = {
        "party": ANA,
        "scope": Scope.MANAGE,
        "state": State.GIVEN,
        "method": Method.IN_APP,
        "effective_at": NOON,
        "source_event_id": "screen-1",
        "actor": "api:test",
        **changes,
    }
    return ConsentEvent(**fields)


def events(*, party: str = ANA, **fixed: Any) -> st.SearchStrategy[ConsentEvent]:
    """Return a strategy for events of one person."""
    fields: dict[str, Any] = {
        "party": st.just(party),
        "scope": st.sampled_from(Scope),
        "state": st.sampled_from(State),
        "method": st.sampled_from(Method),
        "kind": st.sampled_from(Kind),
        "effective_at": MOMENTS,
        "source_event_id": st.text(min_size=1, max_size=6),
        "actor": st.text(max_size=6),
        "counterpart": st.sampled_from([None, BEN, CLEO]),
        "notice": st.none() | DOCUMENTS,
        "evidence": DOCUMENTS,
        "requested_at": st.none() | MOMENTS,
        "valid_until": st.none() | MOMENTS,
        "controller": st.dictionaries(st.sampled_from(["name", "contact"]), st.text(max_size=5)),
        "withdrawal": st.none() | st.dictionaries(st.sampled_from(["channel", "words"]), st.text(max_size=5)),
        "legal_basis": st.sampled_from(LEGAL_BASES),
        "identity": DOCUMENTS,
        "number_tenure": st.none() | DOCUMENTS,
        "purposes": st.lists(st.text(max_size=5), max_size=3).map(tuple),
        "storage_region": st.text(max_size=5),
        "jurisdiction": st.none() | DOCUMENTS,
        "processors": st.just(PROCESSORS)
        | st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=3))).map(tuple),
        **{name: st.just(value) for name, value in fixed.items()},
    }
    return st.builds(ConsentEvent, **fields)


def chain(happened: Sequence[ConsentEvent]) -> list[ConsentRecord]:
    """Return the chain of one person to whom all this happened."""
    head, records = Head(), []
    for one in happened:
        records.append(append(head, one, NOON))
        head = Head(records[-1].seq, records[-1].record_hash)
    return records
