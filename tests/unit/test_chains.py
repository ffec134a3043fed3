"""Chains held against their copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.chains import (
    GRACE,
    Chain,
    Copy,
    End,
    Fault,
    Row,
    RowError,
    compare,
    read_row,
    verified,
    worth_reading,
)
from parley.core.consent import ChainError, ConsentRecord, Head, canonical_json, sha256_hex

from tests.unit.chains import ANA, BEN, NOON, chain, event, events

KEPT = timedelta(days=30)
NOW = NOON + timedelta(days=1)


def rows_of(records: list[ConsentRecord]) -> tuple[Row, ...]:
    """Return the rows that the ledger has of records."""
    return tuple(Row(one.seq, one.to_json(), one.recorded_at + KEPT) for one in records)


def kept(count: int = 3) -> tuple[Chain, dict[int, Copy]]:
    """Return Ana's chain with its copies, as it was written."""
    rows = rows_of(chain([event(source_event_id=str(number)) for number in range(count)]))
    last = json.loads(rows[-1].text)
    end = End(Head(last["seq"], last["record_hash"]), rows[-1].leaves_at)
    return Chain(ANA, rows, end), {row.seq: Copy(row.text, row.leaves_at) for row in rows}


def changed(row: Row, **members: Any) -> Row:
    """Return a row whose record says something else, under a hash that is right for it."""
    document = {**json.loads(row.text), **members}
    document.pop("record_hash")
    return replace(row, text=canonical_json({**document, "record_hash": sha256_hex(canonical_json(document))}))


def faults(held: Chain, copies: Mapping[int, Copy]) -> list[tuple[int, Fault]]:
    """Return what a comparison finds, without the words."""
    return [(one.seq, one.fault) for one in compare(held, copies, NOW)]


class TestRow:
    """A row holds the one text of the record that belongs in its place."""

    @given(events())
    def test_what_was_written_is_read(self, happened: Any) -> None:
        """Every record that the ledger can write is read back from its row."""
        (record,) = chain([happened])
        assert read_row(ANA, 1, record.to_json()) == record

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda text: "", "is not a consent record"),
            (lambda text: "{}", "is not a consent record"),
            (lambda text: "[" * 100_000, "is not a consent record"),
            (lambda text: text.replace('"evidence":{}', '"evidence":{"a":NaN}'), "is not a consent record"),
            (lambda text: text.replace("given", "refused"), "was changed"),
            (lambda text: text.replace(",", ", "), "was changed"),
            (lambda text: text.replace('"record_hash":"', '"record_hash":"0'), "was changed"),
        ],
        ids=["empty", "no members", "deep", "not a number", "another state", "spaces", "another hash"],
    )
    def test_anything_else_is_told(self, change: Callable[[str], str], reason: str) -> None:
        """A text that is no record, or not letter by letter the one that was hashed, is refused with the reason."""
        (record,) = chain([event()])
        with pytest.raises(RowError, match=reason):
            read_row(ANA, 1, change(record.to_json()))

    def test_other_place_is_told(self) -> None:
        """A sound record under another person's key, or in another place, is refused."""
        (record,) = chain([event()])
        with pytest.raises(RowError, match="another person"):
            read_row(BEN, 1, record.to_json())
        with pytest.raises(RowError, match="another record"):
            read_row(ANA, 2, record.to_json())


class TestCompare:
    """Whatever is done to rows or copies, one of the two tells of it."""

    def test_what_is_as_written_is_no_finding(self) -> None:
        """A chain with its copies has nothing wrong with it, nor has a person without anything."""
        assert faults(*kept()) == []
        assert faults(Chain(ANA), {}) == []

    def test_changed_row(self) -> None:
        """A row that was changed breaks the chain where it stands, and differs from its copy."""
        held, copies = kept()
        rows = list(held.rows)
        rows[1] = replace(rows[1], text=rows[1].text.replace("given", "refused"))
        assert faults(replace(held, rows=tuple(rows)), copies) == [(2, Fault.CHAIN_BROKEN), (2, Fault.COPY_DIFFERS)]

    def test_changed_row_under_a_hash_of_its_own(self) -> None:
        """A row with its own hash made anew no longer fits the next one."""
        held, copies = kept()
        rows = (held.rows[0], changed(held.rows[1], actor="api:forged"), held.rows[2])
        assert faults(replace(held, rows=rows), copies) == [(3, Fault.CHAIN_BROKEN), (2, Fault.COPY_DIFFERS)]

    def test_chain_made_anew(self) -> None:
        """A whole chain made anew, head and all, verifies and still differs from its copies."""
        _, copies = kept()
        forged = rows_of(chain([event(source_event_id=str(n), actor="api:forged") for n in range(3)]))
        last = json.loads(forged[-1].text)
        anew = Chain(ANA, forged, End(Head(3, last["record_hash"]), forged[-1].leaves_at))
        assert faults(anew, copies) == [(seq, Fault.COPY_DIFFERS) for seq in (1, 2, 3)]

    def test_rows_taken_away(self) -> None:
        """Rows that are gone before their time are found: the first, the last with the head's help, or all of them."""
        held, copies = kept()
        assert faults(replace(held, rows=held.rows[1:]), copies) == [(1, Fault.ROW_MISSING)]
        assert faults(replace(held, rows=held.rows[:-1]), copies) == [(3, Fault.CHAIN_BROKEN), (3, Fault.ROW_MISSING)]
        assert faults(Chain(ANA), {3: copies[3]}) == [(3, Fault.ROW_MISSING)]

    def test_end_taken_away(self) -> None:
        """Records without the row that ends their chain are a broken chain: nothing could be appended to it."""
        held, copies = kept()
        assert faults(replace(held, end=None), copies) == [(3, Fault.CHAIN_BROKEN)]

    def test_end_cut_off_with_the_head_put_back(self) -> None:
        """A chain that was cut and given the head of its rest verifies, and has a copy too many."""
        held, copies = kept()
        rest, _ = kept(2)
        assert rest.rows == held.rows[:2]
        assert faults(rest, copies) == [(3, Fault.ROW_MISSING)]

    def test_copy_missing(self) -> None:
        """A record without a copy is a finding once it is an hour old."""
        held, copies = kept()
        del copies[2]
        assert faults(held, copies) == [(2, Fault.COPY_MISSING)]
        assert compare(held, copies, NOON + GRACE - timedelta(seconds=1)) == []
        assert [one.fault for one in compare(held, copies, NOON + GRACE)] == [Fault.COPY_MISSING]

    def test_age_of_an_unreadable_row_is_not_guessed(self) -> None:
        """A row that cannot be read and has no copy is a broken chain, and nothing is said of its copy."""
        held, copies = kept(1)
        held = replace(held, rows=(replace(held.rows[0], text="?"),))
        assert faults(held, {}) == [(1, Fault.CHAIN_BROKEN)]
        assert faults(held, copies) == [(1, Fault.CHAIN_BROKEN), (1, Fault.COPY_DIFFERS)]

    def test_changed_copy(self) -> None:
        """A copy that says something else is a finding, also where it is a record with a hash of its own."""
        held, copies = kept()
        copies[1] = Copy(changed(held.rows[0], actor="api:forged").text, held.rows[0].leaves_at)
        copies[3] = Copy("", held.rows[2].leaves_at)
        assert faults(held, copies) == [(1, Fault.COPY_DIFFERS), (3, Fault.COPY_DIFFERS)]

    def test_copy_of_nothing(self) -> None:
        """A copy that names no end of its row was not made by this deployment."""
        held, copies = kept()
        copies[4] = Copy(held.rows[2].text, None)
        assert faults(held, copies) == [(4, Fault.ROW_MISSING)]

    def test_findings_name_no_value_and_the_way_out(self) -> None:
        """A finding has a reason with the record's place, and one sentence of what to do."""
        held, _ = kept()
        for finding in compare(replace(held, rows=held.rows[:2]), {1: Copy("secret", None), 3: Copy("x", None)}, NOW):
            assert finding.party == ANA
            assert finding.reason.startswith(f"record {finding.seq}: ")
            assert finding.fix
            assert "secret" not in finding.reason


class TestTime:
    """What has reached the end of its retention is no finding."""

    def test_beginning_that_left_in_time(self) -> None:
        """The oldest rows leave, removed by DynamoDB already or not; their copies may stay longer."""
        held, copies = kept()
        old = replace(held.rows[0], leaves_at=NOW)
        rest = replace(held, rows=(old, *held.rows[1:]))
        copies[1] = replace(copies[1], row_leaves_at=NOW)
        assert faults(rest, copies) == []
        assert faults(replace(held, rows=held.rows[1:]), copies) == []

    def test_everything_that_left_in_time(self) -> None:
        """A person all of whose rows have left is nobody's finding."""
        held, copies = kept()
        over = held.rows[-1].leaves_at
        assert compare(Chain(ANA), {3: copies[3]}, over) == []
        assert compare(held, copies, over) == []

    def test_retention_that_was_shortened(self) -> None:
        """Where newer records leave before older ones, so does the end, and the rest is still a chain."""
        held, copies = kept()
        assert held.end is not None
        short = replace(
            held, rows=(*held.rows[:2], replace(held.rows[2], leaves_at=NOW)), end=replace(held.end, leaves_at=NOW)
        )
        copies[3] = replace(copies[3], row_leaves_at=NOW)
        assert faults(short, copies) == []


class TestVerified:
    """The records that may be copied again."""

    def test_sound_chain(self) -> None:
        """A chain that holds gives its records."""
        held, _ = kept()
        assert [record.seq for record in verified(held, NOW)] == [1, 2, 3]
        assert verified(Chain(ANA), NOW) == []

    def test_broken_chain(self) -> None:
        """A chain that does not hold gives none, and names the record."""
        held, _ = kept()
        with pytest.raises(ChainError, match="record 2"):
            verified(replace(held, rows=(held.rows[0], replace(held.rows[1], text="{}"), held.rows[2])), NOW)


@given(st.sets(st.integers(1, 9)), st.integers(1, 9) | st.none())
def test_copies_to_read(copied: set[int], first: int | None) -> None:
    """All copies from the first row on are read, and of those before it the last."""
    rows = () if first is None else (Row(first, "", NOON),)
    read = worth_reading(rows, copied)
    assert read == sorted(read)
    assert {seq for seq in copied if first is not None and seq >= first} <= set(read) <= copied
    earlier = [seq for seq in copied if first is None or seq < first]
    assert [seq for seq in read if seq in earlier] == sorted(earlier)[-1:]
