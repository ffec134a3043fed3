"""IAM policy documents as data: who may do what to which resource, and when (AWS IAM JSON policy reference)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from policy.model import CannotTellError, Resource

ANYBODY = "*"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. Actions and condition keys are in lower case, as IAM compares them.

    `but_actions` and `but_resources` are what NotAction and NotResource leave out; `principals` mixes accounts, roles
    and services. `conditions` holds (operator, key) -> values.
    """

    path: str
    allows: bool
    principals: frozenset[str]
    actions: frozenset[str]
    but_actions: frozenset[str]
    resources: frozenset[str]
    but_resources: frozenset[str]
    conditions: Mapping[tuple[str, str], frozenset[str]]

    def does(self, action: str) -> bool:
        """Whether the statement speaks of an action, by name or pattern."""
        wanted = action.lower()
        if self.but_actions:
            return not any(fnmatchcase(wanted, pattern) for pattern in self.but_actions)
        return any(fnmatchcase(wanted, pattern) for pattern in self.actions)

    def has(self, operator: str, key: str, value: str | None = None) -> bool:
        """Whether it is bound to a condition, with this value among the condition's if one is given."""
        values = self.conditions.get((operator.lower(), key.lower()))
        return values is not None and (value is None or value in values)

    @property
    def everywhere(self) -> bool:
        """Whether it is about every resource there is."""
        return "*" in self.resources or bool(self.but_resources)


def statements(resource: Resource, path: str = "policy") -> tuple[Statement, ...]:
    """Return the statements of the document in a property, none where there is no document.

    Raises CannotTellError where it is unknown, or no document that AWS would take.
    """
    text = resource.get(path)
    if not text:
        return ()
    try:
        listed = json.loads(text)["Statement"]
        return tuple(_statements(path, listed if isinstance(listed, list) else [listed]))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CannotTellError from None


def _statements(path: str, listed: list[dict[str, Any]]) -> Iterator[Statement]:
    for index, one in enumerate(listed):
        yield Statement(
            path=f"{path}.Statement[{one.get('Sid', index)}]",
            allows=one["Effect"] == "Allow",
            # Whoever is "not" somebody is anybody.
            principals=_principals(one.get("Principal", ANYBODY if "NotPrincipal" in one else {})),
            actions=frozenset(action.lower() for action in _listed(one.get("Action"))),
            but_actions=frozenset(action.lower() for action in _listed(one.get("NotAction"))),
            resources=_listed(one.get("Resource")),
            but_resources=_listed(one.get("NotResource")),
            conditions={
                (operator.lower(), key.lower()): _listed(values)
                for operator, keys in one.get("Condition", {}).items()
                for key, values in keys.items()
            },
        )


def _principals(value: str | Mapping[str, Any]) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset({value})
    return frozenset(name for names in value.values() for name in _listed(names))


def _listed(value: Any) -> frozenset[str]:
    if value is None:
        return frozenset()
    return frozenset({value} if isinstance(value, str) else map(str, value))


def denies_plain_transport(statement: Statement) -> bool:
    """Whether a statement refuses everybody who comes without TLS."""
    return (
        not statement.allows
        and ANYBODY in statement.principals
        and statement.has("Bool", "aws:SecureTransport", "false")
    )
