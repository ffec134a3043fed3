"""What AWS demands of JSON documents that are given to it as text: told in the preview, not halfway through `up`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from infra.provider import UNKNOWN

Check = Callable[[Any], str | None]
"""Takes the text, returns what is wrong with it."""

_ELEMENTS = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)


def as_json(text: Any) -> Any:
    """Return what `text` says, or `text` itself where it is no JSON: for comparing documents."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _opened(text: Any) -> tuple[dict[str, Any], str | None]:
    try:
        document = json.loads(text)
    except (TypeError, ValueError) as error:
        return {}, f"is no JSON document ({error}): make it with json.dumps"
    if not isinstance(document, dict):
        return {}, "is JSON, but no object: a document starts with {"
    return document, None


def policy(*, principal: bool, resource: bool = True) -> Check:
    """Return the check of a policy document (IAM's grammar of the JSON policy language).

    `principal`: whether it is attached to a resource, so that its statements have to say who. `resource`: whether they
    may say what.
    """

    def check(text: Any) -> str | None:
        if text is UNKNOWN:
            return None
        document, fault = _opened(text)
        return fault or next(_policy_faults(document, principal=principal, resource=resource), None)

    return check


def _policy_faults(document: dict[str, Any], *, principal: bool, resource: bool) -> Iterator[str]:
    if document.get("Version", "2012-10-17") not in {"2012-10-17", "2008-10-17"}:
        yield f"has Version {document['Version']!r}: AWS knows 2012-10-17"
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        yield "has no Statement: give it at least one"
        return
    seen: set[str] = set()
    for index, statement in enumerate(statements):
        at = f"Statement[{index}]"
        if not isinstance(statement, dict):
            yield f"{at} is no object"
            return
        if strange := sorted(statement.keys() - _ELEMENTS):
            yield f"{at} has {strange[0]}, which is no element of a statement"
        if statement.get("Effect") not in {"Allow", "Deny"}:
            yield f"{at}.Effect is {statement.get('Effect')!r}: it is Allow or Deny"
        for names, wanted in ((("Action", "NotAction"), True), (("Principal", "NotPrincipal"), principal)):
            given = [name for name in names if statement.get(name)]
            if len(given) != int(wanted):
                yield f"{at} must have {'one of' if wanted else 'neither'} {' and '.join(names)}"
        if not resource and (statement.get("Resource") or statement.get("NotResource")):
            yield f"{at} has a Resource, which a trust policy must not have: leave it out"
        sid = statement.get("Sid")
        if sid and sid in seen:
            yield f"{at}.Sid {sid!r} is there twice: name each statement once"
        seen.add(str(sid))


def redrive(text: Any) -> str | None:
    """Return what is wrong with a queue's redrive policy."""
    if text is UNKNOWN:
        return None
    document, fault = _opened(text)
    if fault:
        return fault
    count = document.get("maxReceiveCount")
    if not str(document.get("deadLetterTargetArn", "")).startswith("arn:"):
        return "needs deadLetterTargetArn, the ARN of the dead letter queue"
    if not (isinstance(count, int | str) and str(count).isdigit() and 1 <= int(count) <= 1000):
        return f"needs maxReceiveCount between 1 and 1000, got {count!r}"
    return None


def json_object(text: Any) -> str | None:
    """Return what is wrong with a JSON object of any content."""
    return None if text is UNKNOWN else _opened(text)[1]


ATTACHED = policy(principal=True)
"""A policy of a resource: a key, a bucket, a queue, a topic, a secret."""
IDENTITY = policy(principal=False)
"""A policy of a role."""
TRUST = policy(principal=True, resource=False)
"""Who may take on a role."""
