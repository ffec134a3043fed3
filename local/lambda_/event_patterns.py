"""Event filters of Lambda: the patterns of "Event filtering in Lambda" that the local cloud carries out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

RULES = frozenset({"prefix", "suffix", "exists", "anything-but"})


def passes(criteria: Mapping[str, Any] | None, record: Mapping[str, Any]) -> bool:
    """Tell whether a record passes one of the filters; without any, all do."""
    filters = (criteria or {}).get("Filters") or []
    return not filters or any(_matches(json.loads(one.get("Pattern") or "{}"), record) for one in filters)


def fault(criteria: Mapping[str, Any] | None) -> str:
    """Return what is wrong with filters, or an empty text."""
    for one in (criteria or {}).get("Filters") or []:
        try:
            pattern = json.loads(one.get("Pattern") or "{}")
        except ValueError:
            return "Invalid filter pattern definition: it is not JSON"
        if not isinstance(pattern, dict) or (reason := _fault(pattern)):
            return f"Invalid filter pattern definition: {reason if isinstance(pattern, dict) else 'it is no object'}"
    return ""


def _fault(pattern: Mapping[str, Any]) -> str:
    for name, wanted in pattern.items():
        if isinstance(wanted, dict):
            if reason := _fault(wanted):
                return reason
        elif not isinstance(wanted, list) or not wanted:
            return f"{name} is neither an object nor a list of values"
        elif any(isinstance(rule, dict) and (len(rule) != 1 or not rule.keys() <= RULES) for rule in wanted):
            return f"{name} has a rule that the local cloud does not carry out; it knows {', '.join(sorted(RULES))}"
    return ""


def _matches(pattern: Mapping[str, Any], value: object) -> bool:
    held = value if isinstance(value, Mapping) else {}
    return all(
        _matches(wanted, held.get(name)) if isinstance(wanted, dict) else _any(wanted, name in held, held.get(name))
        for name, wanted in pattern.items()
    )


def _any(rules: Sequence[Any], there: bool, value: object) -> bool:
    return any(_holds(rule, there, value) for rule in rules)


def _holds(rule: Any, there: bool, value: object) -> bool:
    if not isinstance(rule, dict):
        return there and type(rule) is type(value) and bool(rule == value)
    ((name, operand),) = rule.items()
    match name:
        case "exists":
            return there == bool(operand)
        case "prefix":
            return isinstance(value, str) and value.startswith(operand)
        case "suffix":
            return isinstance(value, str) and value.endswith(operand)
        case _:
            return there and value not in (operand if isinstance(operand, list) else [operand])
