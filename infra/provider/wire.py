"""Between the engine's `google.protobuf.Struct` and plain Python values.

A resource type sees dicts, lists, strings, numbers and booleans, and besides them only `UNKNOWN`, `Asset`, `Archive`.
Secrets are unwrapped on the way in (`plain`) and marked again on the way out (`struct`): by name, as the engine itself
does it, and by value, so that a secret that shows up under another name (a default tag, a rendered policy) does not
land unmarked in the state.

The signatures are the engine's: sdk/go/common/resource/sig/sig.go and sdk/go/common/resource/plugin/rpc.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import struct_pb2

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
"""The key that makes a wire object something else than an object."""
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a signature, not a password
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
REFERENCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWNS: Final = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string: also what a provider sends for any unknown value
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
"""How the engine spells a value that a preview does not know yet, one spelling a type."""
_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_TELLING: Final = 8
"""Characters from which on a secret is looked for inside longer strings too."""


class Unknown:
    """The one value that stands for "not known before `up`"; see `UNKNOWN`."""

    def __repr__(self) -> str:
        return "<unknown>"

    def __copy__(self) -> Unknown:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Unknown:
        return self


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Asset:
    """A file or text: `fields` are `hash` and one of `path`, `uri`, `text`. Equal to another one of the same hash."""

    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """The engine's SHA-256 over the content; empty when it sent none."""
        return str(self.fields.get("hash") or "")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Asset):
            return NotImplemented
        if type(other) is not type(self):
            return False
        return self.hash == other.hash if self.hash and other.hash else self.fields == other.fields

    def __hash__(self) -> int:
        return hash((type(self), self.hash))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hash[:12] or '-'})"


class Archive(Asset):
    """A folder, zip file or map: `fields` are `hash` and one of `path`, `uri`, `assets` (name -> Asset or Archive)."""

    __hash__ = Asset.__hash__


def known(value: Any) -> bool:
    """Tell whether nothing in `value` is unknown."""
    if isinstance(value, dict):
        return all(map(known, value.values()))
    if isinstance(value, list):
        return all(map(known, value))
    return value is not UNKNOWN


def plain(message: struct_pb2.Struct) -> dict[str, Any]:
    """`message` as plain Python: secrets unwrapped, whole numbers as int, null members left out."""
    out = {key: _plain(value) for key, value in message.fields.items()}
    return {key: value for key, value in out.items() if value is not None}


def _plain(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _object(value.struct_value)
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "string_value":
        return UNKNOWN if value.string_value in UNKNOWNS else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    return value.bool_value if kind == "bool_value" else None


def _object(message: struct_pb2.Struct) -> Any:
    members = plain(message)
    match members.pop(SIGNATURE, None):
        case None:
            return members
        case wire_kind if wire_kind in _OPENERS:
            return _OPENERS[wire_kind](members)
        case other:
            raise ValueError(f"the engine sent a value of a kind that this provider does not know ({other})")


_OPENERS: Final[Mapping[str, Callable[[dict[str, Any]], Any]]] = {
    SECRET: lambda members: members.get("value"),
    OUTPUT: lambda members: members.get("value", UNKNOWN),
    ASSET: Asset,
    ARCHIVE: Archive,
    REFERENCE: lambda members: members.get("id") or members.get("urn"),
}


def struct(values: Mapping[str, Any], marks: Marks | None = None) -> struct_pb2.Struct:
    """`values` for the engine, secret wherever `marks` says so. Members that are None are left out."""
    message = struct_pb2.Struct()
    _fill(message, {key: marks.under(key) if marks else None for key in values}, values)
    return message


def _fill(message: struct_pb2.Struct, marks: Mapping[str, Marks | None], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if value is not None:
            _put(message.fields[key], value, marks.get(key))


def _put(target: struct_pb2.Value, value: Any, marks: Marks | None) -> None:
    if marks and value is not None and marks.secret(value):
        target.struct_value.fields[SIGNATURE].string_value = SECRET
        target, marks = target.struct_value.fields["value"], None
    if value is UNKNOWN:
        target.string_value = _UNKNOWN
    elif value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Asset):
        target.struct_value.fields[SIGNATURE].string_value = ARCHIVE if isinstance(value, Archive) else ASSET
        _fill(target.struct_value, {}, value.fields)
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        _fill(target.struct_value, {key: marks.under(key) if marks else None for key in value}, value)
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for item in value:
            _put(target.list_value.values.add(), item, marks.inside() if marks else None)
    else:
        raise TypeError(f"a provider cannot send a {type(value).__name__} to the engine")


class Marks:
    """What was secret in the engine's request, and so has to be secret in the answer.

    `origins`: the request's structs; what is secret in one of them is secret in the answer under the same name.
    `always`: top-level names that are secret whatever the request says. `besides`: structs whose secrets count by value
    only, such as the provider's configuration.
    """

    def __init__(
        self,
        *origins: struct_pb2.Struct,
        always: Iterable[str] = (),
        besides: Iterable[struct_pb2.Struct] = (),
    ) -> None:
        self._origins = tuple(struct_pb2.Value(struct_value=origin) for origin in origins)
        others = [struct_pb2.Value(struct_value=other) for other in besides]
        self._texts = frozenset(text for value in (*self._origins, *others) for text in _hidden_texts(value))
        self._always = frozenset(always)
        self._whole = False

    def _child(self, origins: Iterable[struct_pb2.Value], *, whole: bool = False) -> Marks:
        child = Marks()
        child._texts, child._origins, child._whole = self._texts, tuple(origins), whole
        return child

    def under(self, key: str) -> Marks:
        """Return the marks for the member `key` of an object."""
        origins = [o.struct_value.fields[key] for o in self._origins if key in o.struct_value.fields]
        return self._child(origins, whole=key in self._always)

    def inside(self) -> Marks:
        """Return the marks for an element of a list: by value only, since elements move about."""
        return self._child(())

    def secret(self, value: Any) -> bool:
        """Tell whether `value` is secret as a whole; of two open objects only the members can be."""
        if self._whole or any(_hides(origin, value) for origin in self._origins):
            return True
        return isinstance(value, str) and self._betrays(value)

    def _betrays(self, text: str) -> bool:
        return text in self._texts or any(hidden in text for hidden in self._texts if len(hidden) >= _TELLING)

    def redact(self, text: str) -> str:
        """`text` without any of the request's secret values."""
        for hidden in sorted(self._texts, key=len, reverse=True):
            pattern = re.escape(hidden)
            text = re.sub(pattern if len(hidden) >= _TELLING else rf"(?<!\w){pattern}(?!\w)", "[secret]", text)
        return text


def _signature(value: struct_pb2.Value) -> str | None:
    fields = value.struct_value.fields
    return fields[SIGNATURE].string_value if SIGNATURE in fields else None


def _is_secret(value: struct_pb2.Value) -> bool:
    signature = _signature(value)
    fields = value.struct_value.fields
    return signature == SECRET or (signature == OUTPUT and "secret" in fields and fields["secret"].bool_value)


def _children(value: struct_pb2.Value) -> Iterator[struct_pb2.Value]:
    yield from (child for key, child in value.struct_value.fields.items() if key != SIGNATURE)
    yield from value.list_value.values


def _hides(origin: struct_pb2.Value, value: Any) -> bool:
    """Tell whether the whole of `value` is secret because of what the request had in its place."""
    if isinstance(value, dict) and origin.HasField("struct_value") and _signature(origin) is None:
        return False
    return _is_secret(origin) or any(_hides(child, None) for child in _children(origin))


def _hidden_texts(value: struct_pb2.Value, *, hidden: bool = False) -> Iterator[str]:
    """Yield the strings that a secret of `value` holds."""
    hidden = hidden or _is_secret(value)
    if hidden and value.string_value.strip() and value.string_value not in UNKNOWNS:
        yield value.string_value
        yield from _json_texts(value.string_value)
    for child in _children(value):
        yield from _hidden_texts(child, hidden=hidden)


def _json_texts(text: str) -> Iterator[str]:
    """Yield the strings inside of JSON text: so nested configuration comes, and so several secrets are kept in one."""
    if text[:1] not in {"{", "["}:
        return
    try:
        found = [json.loads(text)]
    except ValueError:
        return
    while found:
        item = found.pop()
        if isinstance(item, str) and item.strip():
            yield item
        elif isinstance(item, dict | list):
            found.extend(item.values() if isinstance(item, dict) else item)
