"""What a number pool lacks and has too much of."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.provider import Change
from infra.twilio.client import PoolNumber
from infra.twilio.pool_plan import order_key, orders_now, plan, set_changes, tag

SERVICE = "KS" + "b" * 32
ORDER = {"country": "US", "type": "local", "count": 2, "capabilities": ["sms", "voice"], "reserved": False}
HELD = {**ORDER, "reserved": True, "count": 1}
KEY = order_key(ORDER)


def sid(index: int) -> str:
    """Return the SID of a made-up number."""
    return f"PN{index:032x}"


def number(index: int, *, reserved: bool = False, in_use: int = 0) -> PoolNumber:
    """Return a made-up number of a pool."""
    return PoolNumber(sid(index), "US", ("sms", "voice"), reserved, in_use)


def pool(*numbers: PoolNumber) -> dict[str, PoolNumber]:
    """Index numbers by their SID."""
    return {each.sid: each for each in numbers}


def declared(adopt: Any = (), buy: Any = (), reserved: Any = ()) -> dict[str, Any]:
    """Return checked inputs of a pool."""
    return {"adopt": [*map(sid, adopt)], "buy": [*buy], "reserved": [*map(sid, reserved)]}


def test_missing_numbers_are_added_and_known_ones_that_are_not_declared_are_removed() -> None:
    """Adopted numbers that are not in the service are added, known ones that nobody declares are taken out."""
    todo = plan(declared([1, 2]), pool(number(2), number(3)), {}, known=[sid(2), sid(3)])
    assert (todo.add, todo.remove, todo.flag, todo.buy) == ({sid(1): False}, (sid(3),), {}, {})


def test_a_number_that_somebody_else_added_is_left_alone() -> None:
    """A number in the service that neither the program nor the state knows is not taken out."""
    assert plan(declared([1]), pool(number(1), number(9)), {}, known=[sid(1)]).remove == ()


def test_only_flags_that_differ_are_set() -> None:
    """A reserved flag is set or taken back where it is not as declared."""
    live = pool(number(1, reserved=True), number(2), number(3, reserved=True))
    todo = plan(declared([1, 2, 3], reserved=[2, 3]), live, {}, known=live)
    assert todo.flag == {sid(1): False, sid(2): True}


def test_an_order_buys_what_is_missing_only() -> None:
    """Bought numbers count for their order, spares included; the rest is bought."""
    mine = {sid(1): KEY}
    assert plan(declared(buy=[ORDER]), pool(number(1)), mine, known=mine).buy == {KEY: (False,)}
    spare = plan(declared(buy=[ORDER]), {}, mine, known=())
    assert (spare.add, spare.buy) == ({sid(1): False}, {KEY: (False,)})


def test_a_smaller_order_lets_go_of_idle_numbers_first() -> None:
    """When a count shrinks, numbers with open sessions stay and idle ones leave; they are surplus, not lost."""
    mine = dict.fromkeys((sid(1), sid(2), sid(3)), KEY)
    live = pool(number(1), number(2), number(3, in_use=4))
    todo = plan(declared(buy=[{**ORDER, "count": 1}]), live, mine, known=live)
    assert todo.remove == todo.surplus == (sid(1), sid(2))


def test_reserving_an_order_flags_its_numbers_and_buys_none() -> None:
    """Moving numbers from an open to a reserved order of the same kind changes flags, and buys nothing."""
    mine = dict.fromkeys((sid(1), sid(2)), KEY)
    live = pool(number(1), number(2))
    todo = plan(declared(buy=[{**ORDER, "count": 1}, HELD]), live, mine, known=live)
    assert (todo.flag, todo.buy, todo.remove) == ({sid(1): True}, {}, ())


def test_a_bought_number_that_is_adopted_counts_for_no_order() -> None:
    """Listing a bought number under `adopt` takes it out of the order's count."""
    mine = {sid(1): KEY}
    todo = plan(declared([1], [{**ORDER, "count": 1}]), pool(number(1)), mine, known=mine)
    assert todo.buy == {KEY: (False,)}


@given(
    adopt=st.sets(st.integers(0, 9)),
    live=st.dictionaries(st.integers(0, 14), st.booleans()),
    reserved=st.sets(st.integers(0, 9)),
    bought=st.sets(st.integers(8, 14)),
    counts=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    adopt: set[int], live: dict[int, bool], reserved: set[int], bought: set[int], counts: tuple[int, int]
) -> None:
    """After a plan is carried out, the next plan is empty and the declared counts are reached, whatever was there."""
    inputs = declared(
        sorted(adopt),
        [{**ORDER, "count": counts[0]}, {**HELD, "count": counts[1]}],
        sorted(reserved & adopt),
    )
    there = pool(*(number(index, reserved=flag) for index, flag in live.items()))
    mine = {sid(index): KEY for index in bought}
    known = set(there)
    todo = plan(inputs, there, mine, known)
    for gone in todo.remove:
        del there[gone]
    for name, flag in {**todo.flag, **todo.add}.items():
        there[name] = number(int(name.removeprefix("PN"), 16), reserved=flag)
    for order, flags in todo.buy.items():
        for index, flag in enumerate(flags, 100):
            there[sid(index)] = number(index, reserved=flag)
            mine[sid(index)] = order
    again = plan(inputs, there, mine, set(there))
    assert (again.remove, again.flag, again.add, again.buy) == ((), {}, {}, {})
    assert len(there) == len(adopt) + sum(counts)
    now = orders_now(
        inputs["buy"], there, {s: k for s, k in mine.items() if s in there and s not in inputs["adopt"]}, set()
    )
    assert [order["count"] for order in now] == [*counts]


def test_a_flag_changed_behind_our_back_shows_in_the_count() -> None:
    """A bought number that somebody reserved no longer fits its open order: a refresh shows one less."""
    now = orders_now([ORDER], pool(number(1), number(2, reserved=True)), {sid(1): KEY, sid(2): KEY}, set())
    assert now[0]["count"] == 1


def test_one_more_number_is_one_change() -> None:
    """A number put in the middle of a sorted list is one addition, not a change of every number after it."""
    assert dict(set_changes("adopt", [sid(1), sid(3)], [sid(1), sid(2), sid(3)])) == {("adopt", 1): Change.ADD}
    assert dict(set_changes("adopt", [sid(1), sid(2)], [sid(1), sid(3)])) == {("adopt", 1): Change.UPDATE}
    assert dict(set_changes("adopt", [sid(1), sid(2)], [sid(2)])) == {("adopt", 0): Change.DELETE}


def test_a_tag_fits_into_a_friendly_name() -> None:
    """The tag of a bought number fits Twilio's 64 characters and differs between orders and services."""
    assert len(tag(SERVICE, KEY)) <= 64
    assert len({tag(SERVICE, KEY), tag(SERVICE, KEY + "x"), tag("KS" + "c" * 32, KEY)}) == 3
