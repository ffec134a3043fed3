"""Properties of the translation between the engine's structs and plain Python."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc

from infra.provider import UNKNOWN, Archive, Asset, wire
from infra.provider.testing import secret

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
LEAVES = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
    | st.text(max_size=12)
    | st.just(UNKNOWN)
    | st.builds(lambda text: Asset({"hash": text, "text": text}), st.text(min_size=1, max_size=4))
    | st.builds(lambda path: Archive({"hash": path, "path": path}), st.text(min_size=1, max_size=4))
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)


def raw(message: struct_pb2.Struct) -> dict[str, Any]:
    """Return a message as the engine's JSON."""
    return dict(json_format.MessageToDict(message))


@given(OBJECTS)
def test_every_value_survives_the_round_trip(values: dict[str, Any]) -> None:
    """What a provider sends to the engine is what it would be told back."""
    message = struct_pb2.Struct.FromString(wire.struct(values).SerializeToString())
    assert wire.plain(message) == values


@given(OBJECTS)
def test_a_secret_is_unwrapped_and_marked_again(values: dict[str, Any]) -> None:
    """A property that is secret in the request reads as its plain value and is secret in the answer."""
    request = wire.struct({name: secret(value) for name, value in values.items()})
    assert wire.plain(request) == values
    assert raw(wire.struct(values, wire.Marks(request))) == raw(request)


@given(st.text(min_size=1).filter(str.strip), st.text(), st.text())
def test_a_secret_does_not_come_out_under_another_name(hidden: str, before: str, after: str) -> None:
    """An output that equals a secret input, or holds a long one, is marked whatever its name is."""
    marks = wire.Marks(wire.struct({"password": secret({"deep": [hidden]})}))
    assert raw(wire.struct({"copies": [{"x": hidden}]}, marks)) == {"copies": [{"x": secret(hidden)}]}
    if len(hidden) >= 8:
        text = before + hidden + after
        assert raw(wire.struct({"document": text}, marks)) == {"document": secret(text)}
        assert hidden not in marks.redact(text).replace("[secret]", "")


def test_the_strings_inside_of_secret_json_are_secret_too() -> None:
    """Nested configuration travels as JSON text, and a secret may hold several: each of them counts by its value."""
    config = wire.struct(
        {"defaultTags": secret('{"tags": {"token": "hush-hush", "n": 1}}'), "other": secret("{broken")}
    )
    marks = wire.Marks(besides=[config])
    assert raw(wire.struct({"tagsAll": {"token": "hush-hush", "team": "x"}}, marks)) == {
        "tagsAll": {"token": secret("hush-hush"), "team": "x"}
    }
    assert raw(wire.struct({"defaultTags": "open"}, marks)) == {"defaultTags": "open"}


def test_only_the_secret_member_of_an_object_is_marked() -> None:
    """One secret in a map leaves its neighbours readable."""
    request = wire.struct({"variables": {"TOKEN": secret("hush-hush"), "MODE": "strict"}})
    answer = wire.struct({"variables": {"TOKEN": "changed", "MODE": "strict"}}, wire.Marks(request))
    assert raw(answer) == {"variables": {"TOKEN": secret("changed"), "MODE": "strict"}}


def test_a_list_with_a_secret_element_is_secret_as_a_whole() -> None:
    """Elements move, so a list that held a secret comes back wholly secret, as the engine itself does it."""
    request = wire.struct({"numbers": ["a", secret("b")]})
    assert raw(wire.struct({"numbers": ["c"]}, wire.Marks(request))) == {"numbers": secret(["c"])}


def test_a_declared_secret_is_marked_without_being_asked() -> None:
    """A property that its resource type declares secret is marked though the request has none."""
    assert raw(wire.struct({"key": 1, "sid": "s"}, wire.Marks(always={"key"}))) == {"key": secret(1), "sid": "s"}


def test_a_short_secret_is_redacted_only_as_a_word() -> None:
    """Redacting a one-letter secret does not garble the rest of a message."""
    marks = wire.Marks(wire.struct({"pin": secret("a")}))
    assert marks.redact("bad pin a at path") == "bad pin [secret] at path"
    assert wire.Marks(wire.struct({"pin": secret("+12")})).redact("got '+12' in +123") == "got '[secret]' in +123"


def test_null_members_are_left_out_and_null_elements_kept() -> None:
    """A null property means "not given"; in a list it keeps its place."""
    message = struct_pb2.Struct()
    message.update({"gone": None, "list": [None, 1]})
    assert wire.plain(message) == {"list": [None, 1]}
    assert raw(wire.struct({"gone": None, "list": [None, 1]})) == {"list": [None, 1]}


def test_every_spelling_of_unknown_is_understood() -> None:
    """The engine has one unknown string a type; all read as UNKNOWN, which is sent in the SDK's spelling."""
    assert wire.plain(wire.struct({str(i): text for i, text in enumerate(sorted(wire.UNKNOWNS))})) == {
        str(i): UNKNOWN for i in range(len(wire.UNKNOWNS))
    }
    assert raw(wire.struct({"x": UNKNOWN})) == {"x": rpc.UNKNOWN}
    assert not wire.known({"x": [{"y": UNKNOWN}]})
    assert wire.known({"x": [{"y": 1}]})


def test_output_values_and_references_are_opened() -> None:
    """An output value reads as its value (unknown without one), a resource reference as its id."""
    message = wire.struct(
        {
            "known": {wire.SIGNATURE: wire.OUTPUT, "value": "v", "secret": True},
            "later": {wire.SIGNATURE: wire.OUTPUT},
            "bucket": {wire.SIGNATURE: wire.REFERENCE, "urn": "urn:x", "id": "b-1"},
        }
    )
    assert wire.plain(message) == {"known": "v", "later": UNKNOWN, "bucket": "b-1"}
    assert raw(wire.struct({"known": "w"}, wire.Marks(message))) == {"known": secret("w")}


def test_a_value_of_an_unknown_kind_is_refused() -> None:
    """A signature from a later protocol is an error, not an ordinary object."""
    with pytest.raises(ValueError, match="does not know"):
        wire.plain(wire.struct({"x": {wire.SIGNATURE: "later"}}))


def test_assets_are_compared_by_hash() -> None:
    """Two archives of the same content are equal wherever they lie; without a hash their fields decide."""
    assert Archive({"hash": "h", "path": "a"}) == Archive({"hash": "h"})
    assert Archive({"hash": "h"}) != Archive({"hash": "i"})
    assert Archive({"hash": "h"}) != Asset({"hash": "h"})
    assert Asset({"text": "a"}) != Asset({"text": "b"})


def test_the_signatures_are_those_of_the_sdk() -> None:
    """The protocol's constants here are the SDK's own."""
    assert rpc._special_sig_key == wire.SIGNATURE
    assert rpc._special_secret_sig == wire.SECRET
    assert rpc._special_asset_sig == wire.ASSET
    assert rpc._special_archive_sig == wire.ARCHIVE
    assert rpc._special_resource_sig == wire.REFERENCE
    assert rpc._special_output_value_sig == wire.OUTPUT
