"""Properties of the path-precise comparison and of the three-way merge."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provider import UNKNOWN, Archive, Change, compare, differences, drifted, merge, render

NAMES = st.sampled_from(["id", "name", "a", "b", "days"])
LEAVES = st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "y"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)


def put(target: Any, path: tuple[str | int, ...], source: Any) -> None:
    """Copy what `source` has at `path` into `target`, or remove it there."""
    *way, last = path
    for step in way:
        target, source = target[step], source[step]
    if isinstance(last, int):
        if last < len(source) and last < len(target):
            target[last] = source[last]
        elif last < len(source):
            target.append(source[last])
        else:
            target[last] = None
    elif last in source:
        target[last] = source[last]
    else:
        del target[last]


def without_gaps(value: Any) -> Any:
    """Return `value` with removed list elements closed up."""
    if isinstance(value, dict):
        return {key: without_gaps(item) for key, item in value.items()}
    return [without_gaps(item) for item in value if item is not None] if isinstance(value, list) else value


@given(OBJECTS)
def test_nothing_differs_from_itself(values: dict[str, Any]) -> None:
    """Equal inputs have no differences."""
    assert not compare(values, copy.deepcopy(values))


@given(OBJECTS, OBJECTS)
def test_the_differences_are_all_that_lies_between_two_objects(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Applying each difference, and nothing else, turns the old object into the new one."""
    patched = copy.deepcopy(old)
    for path, _ in differences(old, new):
        put(patched, path, copy.deepcopy(new))
    assert not list(differences(without_gaps(patched), new))


@given(OBJECTS, OBJECTS)
def test_additions_and_deletions_are_mirror_images(old: dict[str, Any], new: dict[str, Any]) -> None:
    """What is added one way is deleted the other way, at the same path."""
    mirror = {Change.ADD: Change.DELETE, Change.DELETE: Change.ADD, Change.UPDATE: Change.UPDATE}
    there, back = dict(differences(old, new)), dict(differences(new, old))
    assert {path: mirror[change] for path, change in there.items()} == back


@given(OBJECTS, OBJECTS)
def test_no_drift_leaves_the_inputs_alone(inputs: dict[str, Any], live: dict[str, Any]) -> None:
    """An object that reads as before leaves the inputs as they are, whatever the cloud fills in on its own."""
    assert merge(inputs, live, copy.deepcopy(live)) == inputs


@given(OBJECTS, OBJECTS)
def test_all_drift_shows_where_inputs_and_read_back_agree(inputs: dict[str, Any], live: dict[str, Any]) -> None:
    """Where the last read-back was what the program said, the merge gives what is there now."""
    assert merge(inputs, copy.deepcopy(inputs), live) == live


def test_a_number_is_the_same_number_on_both_sides_but_no_boolean() -> None:
    """1 and 1.0 are one value on the wire, 1 and True are not, and a string is no number."""
    assert not list(differences({"a": 1}, {"a": 1.0}))
    assert dict(differences({"a": 1}, {"a": True})) == {("a",): Change.UPDATE}
    assert dict(differences({"a": 1}, {"a": "1"})) == {("a",): Change.UPDATE}


def test_a_replacing_property_is_named() -> None:
    """A change of a name in `replaces` asks for a new object, a change beside it does not."""
    assert compare({"a": 1, "b": 1}, {"a": 2, "b": 1}, ["a"]).replaces == {"a"}
    assert not compare({"a": 1, "b": 1}, {"a": 1, "b": 2}, ["a"]).replaces


def test_an_unknown_value_counts_as_a_change() -> None:
    """What is not known yet may be anything."""
    assert compare({"a": 1}, {"a": UNKNOWN}).changes == {("a",): Change.UPDATE}


def test_an_archive_changes_with_its_hash_only() -> None:
    """Code that moved but did not change is no difference."""
    assert not compare({"code": Archive({"hash": "h"})}, {"code": Archive({"hash": "h", "path": "elsewhere"})})
    assert compare({"code": Archive({"hash": "h"})}, {"code": Archive({"hash": "i"})})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("rules", 0, "expiration", "days"), "rules[0].expiration.days"),
        (("tags", "a.b"), 'tags["a.b"]'),
        (("tags", 'say "x"'), 'tags["say \\"x\\""]'),
        (("tags", ""), 'tags[""]'),
        (("ümlaut",), '["ümlaut"]'),
    ],
)
def test_paths_are_spelled_as_the_engine_does(path: tuple[str | int, ...], text: str) -> None:
    """A name that is no identifier is quoted."""
    assert render(path) == text


RULES = [{"id": "calls", "days": 30}, {"id": "texts", "days": 90}]
READ = [{"id": "calls", "days": 30, "prefix": ""}, {"id": "texts", "days": 90, "prefix": ""}]


def test_a_changed_rule_shows_as_that_one_value() -> None:
    """Drift inside a list shows at its leaf, without the defaults that the cloud adds."""
    now = [READ[0], {**READ[1], "days": 3650}]
    assert merge(RULES, READ, now) == [RULES[0], {"id": "texts", "days": 3650}]


def test_a_rule_that_was_added_leaves_the_others_as_declared() -> None:
    """An element added behind our back comes whole; its neighbours stay as the program has them."""
    extra = {"id": "aaa", "days": 1, "prefix": ""}
    assert merge(RULES, READ, [extra, *READ]) == [extra, *RULES]
    assert merge(RULES, READ, [READ[1]]) == [RULES[1]]
    assert merge(RULES, READ, [extra, {**READ[1], "days": 5}]) == [extra, {"id": "texts", "days": 5}]


def test_drift_reaches_inputs_that_the_program_does_not_give() -> None:
    """A property that was added, changed or removed behind our back is brought into the inputs, a default is not."""
    inputs, was = {"name": "n", "days": 7, "key": "k"}, {"name": "n", "days": 7, "key": "k", "mode": "default"}
    now = {"name": "n", "days": 9, "mode": "default", "policy": "{}"}
    assert drifted(inputs, was, now, ["name", "days", "key", "mode", "policy"]) == {
        "name": "n",
        "days": 9,
        "policy": "{}",
    }
