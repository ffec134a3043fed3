"""The resource types as the installed `pulumi_aws` declares them, read from its Python classes.

The same classes make the program's requests, so what they do not know cannot reach a real deployment either. The SDK
keeps its type information behind private names (`pulumi._types`); the project pins the SDK for that reason.
"""

from __future__ import annotations

import collections.abc
import functools
import importlib
import re
import sys
import threading
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any

import pulumi_aws
from pulumi import _types

from infra.provider import UNKNOWN, Asset, CheckFailure, render
from infra.provider.changes import Path as PropertyPath

TEXTS = {"true": True, "false": False}
_importing = threading.Lock()


class Schema:
    """One resource type: `inputs` and `outputs` map Pulumi's names to types, `arguments` is the inputs' class."""

    def __init__(self, token: str) -> None:
        _, module, name = token.split(":")
        package, _, stem = module.partition("/")
        names = vars(_module(f"{package}_" if package == "lambda" else package, stem))
        # Where a nested block has the resource's name, the arguments are `…InitArgs`.
        self.arguments = next(names[n] for n in (f"{name}InitArgs", f"{name}Args") if is_object(names.get(n)))
        self.inputs = members(self.arguments)
        self.outputs = members(names[f"_{name}State"])


@functools.cache
def schema(token: str) -> Schema:
    """Return the schema of the type `token` (`aws:s3/bucket:Bucket`)."""
    return Schema(token)


def _module(package: str, stem: str) -> ModuleType:
    """Import the one module of `pulumi_aws` that has a type; `stem` as in the token (`bucketPolicy`).

    Its package would import all of its some hundred modules, the deprecated ones with a warning each: half a second for
    `s3` alone. So an empty package stands in for it meanwhile.
    """
    package = f"{pulumi_aws.__name__}.{package}"
    stub = ModuleType(package)
    stub.__path__ = [str(Path(*pulumi_aws.__path__, package.rpartition(".")[2]))]
    with _importing:
        there = sys.modules.get(package)
        sys.modules[package] = stub
        try:
            return importlib.import_module(f"{package}.{re.sub('(?=[A-Z])', '_', stem).lower()}")
        finally:
            del sys.modules[package]
            if there is not None:
                sys.modules[package] = there


def is_object(kind: Any) -> bool:
    """Tell whether `kind` is one of the SDK's classes of named properties."""
    return isinstance(kind, type) and bool(_types.is_input_type(kind))


@functools.cache
def members(kind: Any) -> Mapping[str, Any]:
    """Return Pulumi's property names and their types."""
    return {name: plain(sub) for name, sub in _types.input_type_types(kind).items()}


@functools.cache
def required(kind: Any) -> frozenset[str]:
    """Return the names without which the SDK would not make the object."""
    return frozenset(_types._required_property_names(kind))  # noqa: SLF001


def plain(kind: Any) -> Any:
    """`str` for a union that admits it: documents and enumerations travel as text."""
    if typing.get_origin(kind) in {typing.Union, UnionType}:
        choices = [choice for choice in typing.get_args(kind) if choice is not NoneType]
        return str if str in choices else choices[0]
    return kind


def element(kind: Any) -> Any:
    """Return the type of a list's or a map's elements."""
    return plain(_types.unwrap_type(typing.get_args(kind)[-1]))


def is_list(kind: Any) -> bool:
    """Tell whether `kind` is a list type."""
    return typing.get_origin(kind) in {list, collections.abc.Sequence}


def is_map(kind: Any) -> bool:
    """Tell whether `kind` is a map with free keys."""
    return typing.get_origin(kind) in {dict, collections.abc.Mapping}


def coerce(value: Any, kind: Any) -> Any:
    """`value` with text that spells a number or boolean turned into it, and back, as the real provider does."""
    if isinstance(value, dict):
        if is_object(kind):
            return {name: coerce(item, members(kind).get(name, Any)) for name, item in value.items()}
        return {key: coerce(item, element(kind)) for key, item in value.items()} if is_map(kind) else value
    if isinstance(value, list):
        return [coerce(item, element(kind)) for item in value] if is_list(kind) else value
    if isinstance(value, str) and kind in {bool, int, float}:
        return TEXTS.get(value, value) if kind is bool else _number(value)
    if kind is str and isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _number(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def problems(value: Any, kind: Any, path: PropertyPath = ()) -> Iterator[CheckFailure]:
    """Yield what in `value` does not fit the declared type `kind`, at its exact path."""
    if value is None or value is UNKNOWN:
        return
    if is_object(kind):
        yield from _object_problems(value, kind, path)
    elif is_list(kind) or is_map(kind):
        if not isinstance(value, list if is_list(kind) else dict):
            form = "a list" if is_list(kind) else "a map"
            yield CheckFailure(render(path), f"expected {form}, got {_described(value)}")
            return
        for key, item in enumerate(value) if isinstance(value, list) else value.items():
            yield from problems(item, element(kind), (*path, key))
    elif (word := _WORDS.get(kind)) and not _fits(value, kind):
        yield CheckFailure(render(path), f"expected {word}, got {_described(value)}")


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def _fits(value: Any, kind: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    return isinstance(value, int | float if kind is float else kind)


def _described(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "an asset" if isinstance(value, Asset) else repr(value)


def _object_problems(value: Any, kind: Any, path: PropertyPath) -> Iterator[CheckFailure]:
    if not isinstance(value, dict):
        yield CheckFailure(render(path), f"expected an object, got {_described(value)}")
        return
    known = members(kind)
    for name, item in value.items():
        if name in known:
            yield from problems(item, known[name], (*path, name))
        elif not name.startswith("__"):
            yield CheckFailure(render((*path, name)), f"unknown property; there is {', '.join(sorted(known))}")
    for name in sorted(required(kind)):
        if value.get(name) is None:
            yield CheckFailure(render((*path, name)), "is required: give it a value")
