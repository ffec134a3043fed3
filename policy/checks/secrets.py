"""Secrets and phone numbers: never in clear in a state, an environment, a name, a tag or an output.

A finding says where and of what kind, never the value.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from policy.model import ANY, FUNCTION, SECRET, STACK, Deployment, Resource, texts
from policy.rules import Flaw, Severity, rule

SHAPES: Mapping[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"(?<![0-9A-Za-z])(AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    "a token (JWT)": re.compile(r"(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    # A SID is two letters before as many digits; a token has none.
    "a Twilio auth token": re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])"),
}
# Letters and digits as in Twilio's API secrets, or the forty characters of an AWS secret key; names have hyphens.
_WORD = re.compile(r"(?<![\w:/.+-])(?:[0-9A-Za-z_]{24,}|[0-9A-Za-z/+]{40})(?![\w/+=.-])")
_ENTROPY_BITS = 4.0
"""Bits for each character above which a word of mixed kinds was not thought of by a person; random 32 have 4.5."""

_TELLING_VARIABLE = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|PRIVATE_?KEY|API_?KEY", re.IGNORECASE)
_TELLING_PROPERTY = re.compile(
    r"(^|\.)(\w*[pP]assword|secretString|secretBinary|secretStringWo|apiSecret|authToken|privateKey|secretKey)$"
)
_HARMLESS = re.compile(r"arn:aws[a-z-]*:|https?://|[A-Z]{2}[0-9a-f]{32}$")
# Digests and ids that AWS makes: random, and no secret.
_DIGESTS = re.compile(
    r"(^|\.)(\w*[sS]ha256|\w*[hH]ash|\w*[eE]tag|\w*[fF]ingerprint|\w*[cC]hecksum\w*|versionId|hostedZoneId)$"
)

NUMBER = re.compile(
    r"(?<![\w.+-])\+[1-9]\d{7,14}(?!\w)"
    r"|(?<![\w-])1[2-9]\d{2}[2-9]\d{6}(?![\w-])"
    r"|(?<![\w-])\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}(?![\w-])"
)
"""A phone number: E.164, or as it is written in North America."""

_NAMES = ("name", "bucket", "description", "alarmDescription", "uniqueName", "friendlyName", "keyPrefix")


def shape_of(text: str) -> str | None:
    """Return what kind of secret a text holds by its shape, None if it looks like none."""
    for kind, shape in SHAPES.items():
        if shape.search(text):
            return kind
    for word in _WORD.findall(text):
        mixed = all(any(test(each) for each in word) for test in (str.isdigit, str.isupper, str.islower))
        if mixed and not _HARMLESS.match(word) and _entropy(word) > _ENTROPY_BITS:
            return "a random word"
    return None


def _entropy(word: str) -> float:
    counts = Counter(word).values()
    return -sum(count / len(word) * math.log2(count / len(word)) for count in counts)


@rule(
    "environment-no-secret",
    FUNCTION,
    severity=Severity.CRITICAL,
    references=("GDPR 32(1)(a)", "ISO 27001 A.5.17", "CKV_AWS_45"),
    remediation="name the secret by its ARN and read it from Secrets Manager; then change the secret",
)
def no_secret_in_environment(function: Resource, _: Deployment) -> Iterator[Flaw]:
    """No function has a secret in its environment, where everybody who may describe it reads it."""
    variables: Mapping[str, Any] = function.get("environment.variables") or {}
    for name, value in variables.items():
        if value is SECRET:
            yield Flaw(f"environment.variables.{name}", "is a secret, which the state hides and the function shows")
        if not isinstance(value, str):
            continue
        if kind := shape_of(value):
            yield Flaw(f"environment.variables.{name}", f"looks like {kind}")
        elif value and _TELLING_VARIABLE.search(name) and not _HARMLESS.match(value):
            yield Flaw(f"environment.variables.{name}", "is named like a secret and is no ARN")


@rule(
    "state-no-secret",
    ANY,
    severity=Severity.CRITICAL,
    references=("GDPR 32(1)(a)", "ISO 27001 A.5.17", "ISO 27001 A.8.12"),
    remediation="wrap it in pulumi.Output.secret or take it out; then change the secret, for it has been read",
)
def no_secret_in_state(resource: Resource, _: Deployment) -> Iterator[Flaw]:
    """Nothing in the state is a secret in clear, in no property of no resource."""
    for path, text in texts(resource.props):
        if not text or _DIGESTS.search(path) or path.startswith("environment.variables."):
            continue  # the last are judged by environment-no-secret
        if kind := "a secret by its name" if _TELLING_PROPERTY.search(path) else shape_of(text):
            yield Flaw(path, f"is {kind} in clear")


@rule(
    "no-phone-number",
    STACK,
    severity=Severity.HIGH,
    references=("GDPR 5(1)(c)", "GDPR 25(1)", "ISO 27001 A.5.34", "ISO 27001 A.8.11"),
    remediation="know numbers by SID and parties by their key",
)
def no_phone_number(_: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """No name, tag or output holds a phone number: they are read by people and tools who need none."""
    for path, text in texts(deployment.stack.props):
        if NUMBER.search(text):
            yield Flaw(path, "holds a phone number")
    for resource in deployment.resources:
        if resource.type == STACK:
            continue
        shown = {name: resource.props.get(name) for name in (*_NAMES, "tags", "tagsAll")} | {"(name)": resource.name}
        for path, text in texts(shown):
            if NUMBER.search(text):
                # The name itself may be the number, so the type alone says where.
                yield Flaw(f"{resource.type} {path}", "holds a phone number")
