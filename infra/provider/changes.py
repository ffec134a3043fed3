"""What differs between two sets of properties, and what a live object's change means for the inputs: pure functions.

Paths are tuples of names and list indices; `render` spells one as the engine does (`rules[0].expiration.days`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from typing import Any

Path = tuple[str | int, ...]

IDENTITIES = ("id", "sid", "name")
"""Members by which an element of a list is known again after others came or went."""


class Change(Enum):
    """What happened to one property."""

    ADD = "ADD"
    DELETE = "DELETE"
    UPDATE = "UPDATE"


@dataclass(frozen=True)
class Diff:
    """The answer to "what would `up` do to this resource".

    `changes`: path -> what happens there. `replaces`: top-level names among them that need a new object.
    `outputs`: top-level names among them that are outputs, not inputs.
    `delete_first`: the old object has to go before the new one can be made, for example because they share a name.
    """

    changes: Mapping[Path, Change] = field(default_factory=dict)
    replaces: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    delete_first: bool = False

    @property
    def changed(self) -> frozenset[str]:
        """The top-level names that changed."""
        return frozenset(str(path[0]) for path in self.changes)

    def __bool__(self) -> bool:
        return bool(self.changes)


def render(path: Path) -> str:
    """Spell `path` as the engine does (sdk/go/common/resource/properties_path.go, PropertyPath.String)."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step and all(c == "_" or (c.isascii() and c.isalnum()) for c in step):
            text += f".{step}" if text else step
        else:
            text += '["' + step.replace('"', '\\"') + '"]'
    return text


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, Change]]:
    """Yield each smallest place where `new` differs from `old`; None means "not there", names with `__` are skipped."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if not key.startswith("__"):
                yield from differences(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index, (was, now) in enumerate(zip_longest(old, new)):
            yield from differences(was, now, (*path, index))
    elif type(old) is not type(new) and {type(old), type(new)} != {int, float}:
        yield path, Change.ADD if old is None else Change.DELETE if new is None else Change.UPDATE
    elif old != new:
        yield path, Change.UPDATE


def compare(old: Mapping[str, Any], new: Mapping[str, Any], replaces: Iterable[str] = ()) -> Diff:
    """Compare two sets of inputs; a change of a name in `replaces` asks for a new object.

    A new value that is not known yet counts as a change.
    """
    changes = dict(differences(dict(old), dict(new)))
    return Diff(changes, frozenset(str(path[0]) for path in changes) & frozenset(replaces))


def merge(ours: Any, was: Any, now: Any) -> Any:
    """Merge three ways: what `ours` would have to be for the live object, once read back as `was`, to be read as `now`.

    What the cloud adds on its own (defaults) is in both read-backs and so leaves no trace; what changed between them
    is taken over, also where the program says nothing about it. Elements of a list are known again by equality, then
    by identity (`IDENTITIES`), then, if none came or went, by position.
    """
    if now == was and type(now) is type(was):
        return ours
    if isinstance(ours, dict) and isinstance(was, dict) and isinstance(now, dict):
        merged = {key: merge(ours.get(key), was.get(key), now.get(key)) for key in [*ours, *(now.keys() - ours.keys())]}
        return {key: value for key, value in merged.items() if value is not None}
    if isinstance(ours, list) and isinstance(was, list) and isinstance(now, list) and len(ours) == len(was):
        origins = _origins(was, now)
        return [now[j] if i is None else merge(ours[i], was[i], now[j]) for j, i in enumerate(origins)]
    return now


def _origins(was: list[Any], now: list[Any]) -> list[int | None]:
    """For each element of `now` the index in `was` of the element that it was, or None for a new one."""
    left = list(range(len(was)))
    found: list[int | None] = [None] * len(now)

    def claim(j: int, i: int | None) -> None:
        if i is not None and i in left:
            left.remove(i)
            found[j] = i

    for j, element in enumerate(now):
        claim(j, next((i for i in left if was[i] == element), None))
    for j, element in enumerate(now):
        if found[j] is None and (identity := _identity(element)) is not None:
            claim(j, next((i for i in left if _identity(was[i]) == identity), None))
    if len(was) == len(now):
        for j, element in enumerate(now):
            if found[j] is None and (_identity(element) is None or _identity(was[j]) is None):
                claim(j, j)
    return found


def _identity(element: Any) -> tuple[str, Any] | None:
    if not isinstance(element, dict):
        return None
    return next(((name, element[name]) for name in IDENTITIES if element.get(name)), None)


def drifted(
    inputs: Mapping[str, Any], was: Mapping[str, Any], now: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Any]:
    """Return `inputs` as they would have to be for the object to look as `now`; `names`: all that can be inputs."""
    merged = dict(inputs)
    for name in names:
        value = merge(inputs.get(name), was.get(name), now.get(name))
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged
