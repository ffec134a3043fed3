"""Answers of DynamoDB without moto's search for each attribute of each value: a third of the time that a call takes.

moto looks up every type of an attribute value (S, N, B, M and six more) under every name that it may have, item by
item, although its tables hold the values as they go over the wire. Here they go out as they are.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from moto.core.serialize import BaseJSONSerializer

if TYPE_CHECKING:
    from local.aws.mends import Mends


def install(mends: Mends) -> None:
    """Let attribute values go out as they are."""
    mends.wrap(BaseJSONSerializer, "_serialize_type_structure", _serialize)


def _serialize(
    original: Any, serializer: BaseJSONSerializer, serialized: dict[str, Any], value: Any, shape: Any, key: str
) -> None:
    if shape.name == "AttributeValue" and isinstance(value, dict):
        serialized[key] = _plain(value)
    else:
        original(serializer, serialized, value, shape, key)


def _plain(value: Any) -> Any:
    """Return a value for JSON: bytes in base64, as the wire has them."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(each) for each in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
