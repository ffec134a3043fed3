"""Between Pulumi's values and those of the AWS API, matched by name against botocore's own model of the API.

The model also knows enumerations, limits and patterns, so that most of what AWS would refuse is refused in a preview.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from infra.provider import UNKNOWN, render
from infra.provider.changes import Path
from local.aws.provider.schema import element, is_list, is_map, is_object, members

Renames = Mapping[str, str]
"""Property path without indices (`attributes.name`) -> the AWS member that it stands for, where the letters differ."""


class Invalid(Exception):  # noqa: N818 - a finding, collected by the check
    """A value that AWS's model of its API rules out."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{render(path)}: {reason}")
        self.path, self.reason = path, reason


class Unsupported(Invalid):
    """A property that no AWS call here would carry out."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, "the local stand-in does not carry out this property: leave it out, or deploy to an AWS account"
        )


@functools.cache
def session() -> botocore.session.Session:
    """Return the one botocore session: its loader caches the service models."""
    return botocore.session.get_session()


@functools.cache
def service(name: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return session().get_service_model(name)


@functools.cache
def operation(name: str, method: str) -> OperationModel:
    """Return the operation behind a client's method (`put_bucket_policy`)."""
    return service(name).operation_model(_methods(name)[method])


@functools.cache
def _methods(name: str) -> dict[str, str]:
    from botocore import xform_name  # noqa: PLC0415 - with the rest of botocore, only once a service is used

    return {xform_name(operation_name): operation_name for operation_name in service(name).operation_names}


def request(name: str, method: str) -> Mapping[str, Shape]:
    """Return the members of an operation's request."""
    shape = operation(name, method).input_shape
    return shape.members if isinstance(shape, StructureShape) else {}


def letters(name: str) -> str:
    """`name` without what differs between AWS's and Pulumi's spelling."""
    return name.replace("_", "").lower()


def member(names: Iterable[str], name: str) -> str | None:
    """Return the AWS member that Pulumi's `name` stands for: the same letters, in singular or plural."""
    by_letters = {letters(n): n for n in names}
    wanted = letters(name)
    return next((by_letters[w] for w in (wanted, f"{wanted}s", wanted.removesuffix("s")) if w in by_letters), None)


def trail(path: Path) -> str:
    """Spell `path` as the keys of `Renames` are."""
    return ".".join(step for step in path if isinstance(step, str))


def checked(shape: Shape, value: Any, path: Path) -> Any:
    """`value`, when it keeps to the enumeration, limits and pattern of `shape`; `Invalid` otherwise."""
    rules = shape.metadata
    if rules.get("enum") and value not in rules["enum"]:
        raise Invalid(path, f"expected one of {', '.join(rules['enum'])}, got {value!r}")
    size = value if isinstance(value, int | float) else len(value)
    least, most = rules.get("min", size), rules.get("max", size)
    if not least <= size <= most:
        word = "value" if size is value else "length"
        raise Invalid(path, f"{word} {size} is not between {rules.get('min', 0)} and {rules.get('max', 'any')}")
    pattern = rules.get("pattern")
    if pattern and isinstance(value, str) and not _matches(pattern, value):
        raise Invalid(path, f"{value!r} does not match {pattern}")
    return value


def _matches(pattern: str, value: str) -> bool:
    try:
        # AWS's patterns are Java's and mean the whole value; possessive quantifiers and such are beyond `re`.
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True


def to_aws(shape: Shape, value: Any, renames: Renames, path: Path = ()) -> Any:
    """`value` as the AWS type `shape`; None for what is not known yet. Raises `Invalid` and `Unsupported`."""
    if value is UNKNOWN or value is None:
        return None
    if isinstance(shape, StructureShape):
        return _structure(shape, value, renames, path)
    if isinstance(shape, ListShape):
        return _list(shape, value, renames, path)
    if isinstance(shape, MapShape):
        items = {key: to_aws(shape.value, item, renames, (*path, key)) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not None}
    return _scalar(shape, value, path)


def _scalar(shape: Shape, value: Any, path: Path) -> Any:
    match shape.type_name:
        case "integer" | "long":
            return checked(shape, int(value), path)
        case "float" | "double":
            return checked(shape, float(value), path)
        case "boolean":
            return value if isinstance(value, bool) else value == "true"
        case "blob":
            return value if isinstance(value, bytes) else str(value).encode()
        case "timestamp":
            return value
        case _:
            return checked(shape, str(value).lower() if isinstance(value, bool) else str(value), path)


def _structure(shape: StructureShape, value: Any, renames: Renames, path: Path) -> dict[str, Any]:
    if isinstance(value, list):
        value = value[0] if value else {}
    out = {}
    for name, item in value.items():
        at = (*path, name)
        target = renames.get(trail(at)) or member(shape.members, name)
        if target is None:
            raise Unsupported(at)
        out[target] = to_aws(shape.members[target], item, renames, at)
    return {name: item for name, item in out.items() if item is not None}


def _list(shape: ListShape, value: Any, renames: Renames, path: Path) -> list[Any]:
    if isinstance(value, dict) and (pair := tag_members(shape.member)):
        key, text = pair
        assert isinstance(shape.member, StructureShape)  # noqa: S101 - tag_members tells
        fields = shape.member.members
        return [
            {key: checked(fields[key], name, (*path, name)), text: to_aws(fields[text], item, {}, (*path, name))}
            for name, item in sorted(value.items())
            if item is not UNKNOWN
        ]
    if not isinstance(value, list):
        return [to_aws(shape.member, value, renames, path)]
    return [to_aws(shape.member, item, renames, (*path, index)) for index, item in enumerate(value)]


def tag_members(shape: Shape) -> tuple[str, str] | None:
    """Return ('Key', 'Value'), as this service calls them, when the structure is a pair such as a tag; else None."""
    names = list(shape.members) if isinstance(shape, StructureShape) else []
    keys = [name for name in names if name.lower().endswith(("key", "name"))]
    values = [name for name in names if name.lower().endswith("value")]
    return (keys[0], values[0]) if len(names) == 2 and len(keys) == len(values) == 1 else None


def from_aws(kind: Any, value: Any, renames: Renames, path: tuple[str, ...] = ()) -> Any:
    """`value`, from an AWS answer, as Pulumi's type `kind`; None when there is nothing of it."""
    if value is None:
        return None
    if is_object(kind):
        return _object(kind, value, renames, path)
    if is_list(kind):
        items = value if isinstance(value, list) else [value]
        return [from_aws(element(kind), item, renames, path) for item in items]
    if is_map(kind):
        if isinstance(value, list):
            return dict(_pair(item) for item in value)
        return {key: from_aws(element(kind), item, renames, path) for key, item in value.items()}
    return _plain(kind, value)


def _object(kind: Any, value: Any, renames: Renames, path: tuple[str, ...]) -> dict[str, Any] | None:
    if isinstance(value, list):
        value = value[0] if value else {}
    if not isinstance(value, dict):
        return None
    out = {}
    for name, sub in members(kind).items():
        at = (*path, name)
        source = renames.get(".".join(at)) or member(value, name)
        item = from_aws(sub, value.get(source), renames, at) if source else None
        if item is not None:
            out[name] = item
    return out


def _pair(item: Mapping[str, Any]) -> tuple[str, Any]:
    value = next(name for name in item if name.lower().endswith("value"))
    key = next(name for name in item if name != value)
    return item[key], item[value]


def _plain(kind: Any, value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if kind is str:
        if isinstance(value, dict | list):
            return json.dumps(value)
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind in {int, float} and isinstance(value, str):
        return kind(float(value))
    if kind is bool and isinstance(value, str):
        return value.lower() in {"true", "enabled"}
    return value
