"""What an input has to look like before anything is sent to Twilio: pure checks, a path and a reason each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from infra.provider import UNKNOWN, CheckFailure
from infra.twilio.client import is_loopback

E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""ITU-T E.164: a plus sign and at most 15 digits, the first of them no zero."""
_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
}


@cache
def package() -> dict[str, Any]:
    """Return the package schema that the plugin serves."""
    schema: dict[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    return schema


def is_sid(text: str, prefix: str) -> bool:
    """Tell whether `text` is a Twilio SID of that kind: two letters and 32 hexadecimal digits."""
    return re.fullmatch(prefix + "[0-9a-fA-F]{32}", text) is not None


def defaults(token: str) -> dict[str, Any]:
    """Return the default values of the inputs of a resource, as the schema has them."""
    properties = package()["resources"][token]["inputProperties"]
    return {name: declared["default"] for name, declared in properties.items() if "default" in declared}


def shape(inputs: Mapping[str, Any], token: str) -> list[CheckFailure]:
    """Hold the inputs of a resource against the schema: unknown and missing names, types, listed values."""
    declared = package()["resources"][token]
    return list(_object(inputs, declared["inputProperties"], declared.get("requiredInputs", []), ""))


def arguments(given: Mapping[str, Any], token: str) -> list[CheckFailure]:
    """Hold the arguments of a function against the schema, as `shape` does the inputs of a resource."""
    declared = package()["functions"][token].get("inputs", {})
    return list(_object(given, declared.get("properties", {}), declared.get("required", []), ""))


def _object(
    given: Mapping[str, Any], properties: Mapping[str, Any], required: list[str], under: str
) -> Iterator[CheckFailure]:
    for name in given:
        if name not in properties and not name.startswith("__"):
            known = ", ".join(sorted(properties))
            yield CheckFailure(under + name, f"there is no such property; it is one of {known}")
    for name in required:
        if given.get(name) is None:
            yield CheckFailure(
                under + name, f"is missing: {properties[name]['description'].split('. ')[0].rstrip('.')}"
            )
    for name, declared in properties.items():
        if given.get(name) is not None:
            yield from _value(given[name], declared, under + name)


def _value(given: Any, declared: dict[str, Any], path: str) -> Iterator[CheckFailure]:
    if given is UNKNOWN:
        return
    if "$ref" in declared:
        declared = package()["types"][declared["$ref"].removeprefix("#/types/")]
    kind: str = declared.get("type", "object")
    if "enum" in declared:
        listed = [option["value"] for option in declared["enum"]]
        if given not in listed:
            shown = repr(given) if isinstance(given, str) else type(given).__name__
            yield CheckFailure(path, f"{shown} is not possible; choose one of {', '.join(map(repr, listed))}")
    elif not _fits(given, kind):
        yield CheckFailure(path, f"has to be of type {kind}, not {type(given).__name__}")
    elif kind == "array":
        for index, item in enumerate(given):
            yield from _value(item, declared["items"], f"{path}[{index}]")
    elif kind == "object":
        yield from _object(given, declared["properties"], declared.get("required", []), f"{path}.")


def _fits(given: Any, kind: str) -> bool:
    return isinstance(given, _KINDS[kind]) and (kind == "boolean" or not isinstance(given, bool))


def sid(given: Any, prefix: str, path: str, what: str) -> Iterator[CheckFailure]:
    """Ask for a SID of that kind; `what` says where the user finds it."""
    if isinstance(given, str) and not is_sid(given, prefix):
        yield CheckFailure(path, f"is no {prefix}… SID ({prefix} and 32 hexadecimal digits): give {what}")


def label(given: Any, path: str, longest: int) -> Iterator[CheckFailure]:
    """Ask for a text of 1 to `longest` characters that everybody may read: without a phone number."""
    if not isinstance(given, str):
        return
    if not 1 <= len(given) <= longest:
        yield CheckFailure(path, f"has {len(given)} characters; Twilio takes 1 to {longest}")
    if E164.search(given):
        yield CheckFailure(path, "looks as if it held a phone number, and it is not secret: choose another")


def webhook(given: Any, path: str, *, loopback: bool) -> Iterator[CheckFailure]:
    """Ask for a URL that Twilio can call: HTTPS, at most 4,000 characters, no credentials, no fragment.

    Plain HTTP to this machine is accepted with a local Twilio endpoint (`loopback`) only.
    https://www.twilio.com/docs/proxy/api/service and https://www.twilio.com/docs/usage/webhooks
    """
    if not isinstance(given, str):
        return
    try:
        parts = urlsplit(given)
        host = parts.hostname
    except ValueError:
        yield CheckFailure(path, "is no URL: give one such as https://example.com/twilio/intercept")
        return
    if len(given) > 4000:
        yield CheckFailure(path, f"is {len(given)} characters long; Twilio takes 4,000")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and loopback and is_loopback(given))):
        yield CheckFailure(path, "has to be an https:// URL: Twilio calls no other, and signs what it sends there")
    if "@" in parts.netloc:
        yield CheckFailure(
            path, "has a user name or password in it, which would stand in the state: requests are signed, leave it out"
        )
    if parts.fragment:
        yield CheckFailure(
            path, "has a #fragment: Proxy is not documented to honour connection overrides, leave it out"
        )
