"""Verification: what is declared held against what is live, property by property.

The declaration says what must hold for each deployed resource (`resources`: system, name, expected properties);
somebody else reads what does hold. This module compares the two and names every property with its verdict, so that a
difference is one line with a way out. Policies are compared statement by statement, by the digest of each (`digests`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from parley.core.record_classes import RecordClass


class Verdict(StrEnum):
    """What the comparison of one property says."""

    TRUE = "true"
    DIFFERS = "differs"
    ABSENT = "absent"  # the resource itself, or the property, is not there
    CANNOT_TELL = "cannot tell"  # it could not be read


@dataclass(frozen=True, slots=True)
class Check:
    """One property of one resource, declared and live.

    `system` and `name` are those of the declaration ("s3", a bucket's name). `record_class` is the class that the
    property is about, or None where it concerns everything in the resource. `fix` is the way out, one sentence, empty
    for what is true.
    """

    system: str
    name: str
    property: str
    declared: Any
    live: Any
    verdict: Verdict
    fix: str = ""
    record_class: str | None = None


def worst(checks: Iterable[Check]) -> Verdict:
    """Return the verdict of many checks together: a difference outweighs what cannot be told, and both outweigh true.

    None at all cannot be told.
    """
    verdicts = {check.verdict for check in checks}
    for verdict in (Verdict.ABSENT, Verdict.DIFFERS, Verdict.CANNOT_TELL, Verdict.TRUE):
        if verdict in verdicts:
            return verdict
    return Verdict.CANNOT_TELL


OLDEST: Final = "oldest"
"""The property whose declared values are not equal to what is live but the most that it may be: ages in days."""

EXISTS: Final = "exists"
"""The property that stands for a resource that is not there at all."""

METRICS: Final = "Parley"
"""The namespace of the daily check's metrics (Checked, Differences, CannotTell, by Stack)."""

LATE: Final = "DeadlineExceeded"
"""The code of what was not read when the time for all reads was over."""


@dataclass(frozen=True, slots=True)
class Unread:
    """In place of a property that could not be read: the service's error code, and the operation that was refused."""

    code: str
    operation: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """In place of a property of a resource that is not there."""


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest copy of one kind: when it was made (None: there is none), and how many are over their time.

    `held` are over their time and kept by a legal hold; they are in neither of the other two. `sid` names the copy at
    Twilio, whose names say nothing of a person; an object's key is never kept.
    """

    at: datetime | None
    over: int = 0
    held: int = 0
    sid: str = ""


Observed = Mapping[tuple[str, str], Mapping[str, Any]]
"""What is live: for each resource (system, name) its properties, each a plain value, `Unread`, `Gone` or `Oldest`."""


def cutoff(days: float, now: datetime) -> datetime:
    """Return the moment before which a copy that may be so many days old is over its time."""
    return now - timedelta(days=days)


# -- policies --------------------------------------------------------------------------------------


def digests(document: str | Mapping[str, Any]) -> dict[str, str]:
    """Return the statements of a policy document as Sid -> the first twelve digits of the statement's SHA-256.

    A statement says the same whether a list of one has its brackets or not, and in whatever order its lists are. One
    without a Sid is called by its place: "#2". Raises ValueError if `document` is not a policy document.
    """
    parsed = json.loads(document) if isinstance(document, str) else document
    if not isinstance(parsed, Mapping):
        raise ValueError("a policy document is a JSON object")  # noqa: TRY004 - what is wrong is the text
    listed = parsed.get("Statement", [])
    statements = listed if isinstance(listed, list) else [listed]
    return {str(each.get("Sid") or f"#{place}"): _digest(each) for place, each in enumerate(statements, 1)}


def _digest(statement: Mapping[str, Any]) -> str:
    text = json.dumps(_canonical(statement), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(each) for name, each in value.items()}
    if isinstance(value, list):
        items = sorted(str(each) for each in value)
        return items[0] if len(items) == 1 else items
    return str(value)


# -- comparison ------------------------------------------------------------------------------------


def compare(resources: Sequence[Mapping[str, Any]], observed: Observed, now: datetime) -> list[Check]:
    """Hold every declared property against what was observed; return one check a property, in the declared order.

    A mapping (lifecycle rules by id, statements by Sid, routes) is declared whole: what is live in it beyond that
    differs, too. What was not observed at all cannot be told.
    """
    return [check for resource in resources for check in _compare(resource, observed, now)]


def _compare(resource: Mapping[str, Any], observed: Observed, now: datetime) -> Iterator[Check]:
    system, name, expected = resource["system"], resource["name"], resource["expected"]
    live = observed.get((system, name), {})
    own_class = resource.get("class")
    if _is_gone(live):
        fix = _fix(system, EXISTS, Verdict.ABSENT)
        yield Check(system, name, EXISTS, declared=True, live=False, verdict=Verdict.ABSENT, fix=fix)
        return
    for root in sorted(expected):
        found = _property([root], expected[root], live.get(root, Unread("NotRead")), now)
        for path, declared, value, verdict in found:
            yield Check(
                system,
                name,
                ".".join(path),
                declared,
                value,
                verdict,
                _fix(system, root, verdict, value, added=declared is None),
                _class_of(path) or own_class,
            )


def _is_gone(live: Any) -> bool:
    """Say whether all that was asked of a resource was answered by its not being there."""
    if isinstance(live, Mapping):
        return bool(live) and all(map(_is_gone, live.values()))
    return isinstance(live, Gone)


Found = tuple[list[str], Any, Any, Verdict]


def _property(path: list[str], declared: Any, live: Any, now: datetime) -> Iterator[Found]:
    """Yield path, declared and live value and verdict of a property, or of each part of one that has parts."""
    if isinstance(live, Unread):
        yield path, declared, f"{live.operation}: {live.code}" if live.operation else live.code, Verdict.CANNOT_TELL
    elif isinstance(live, Gone):
        yield path, declared, None, Verdict.ABSENT
    elif isinstance(declared, Mapping) and isinstance(live, Mapping):
        for name in sorted({*declared, *live}):
            yield from _property([*path, name], declared.get(name), live.get(name), now)
    elif path[0] == OLDEST:
        yield _age(path, declared, live, now)
    elif declared == live:
        yield path, declared, live, Verdict.TRUE
    else:
        yield path, declared, live, Verdict.ABSENT if live is None else Verdict.DIFFERS


def _age(path: list[str], limit: Any, live: Any, now: datetime) -> Found:
    if not isinstance(live, Oldest) or limit is None:
        return path, limit, "NotRead", Verdict.CANNOT_TELL
    shown: dict[str, Any] = {"days": (now - live.at).days} if live.at else {}
    shown |= {name: value for name, value in (("over", live.over), ("held", live.held), ("sid", live.sid)) if value}
    over = live.over or (live.at is not None and live.at < cutoff(limit, now))
    return path, limit, shown or None, Verdict.DIFFERS if over else Verdict.TRUE


_CLASSES: Final = frozenset(str(each) for each in RecordClass)


def _class_of(path: Sequence[str]) -> str | None:
    """Return the class that a part of a property is about: rules, ages and written days have it as their name."""
    return path[1] if len(path) > 1 and path[1] in _CLASSES else None


# -- the way out -----------------------------------------------------------------------------------

UP: Final = "run `pulumi up --refresh`: it puts back what is declared"

_FIXES: Final[Mapping[tuple[str, str], str]] = {
    (
        "s3",
        "replication",
    ): "stop it (`aws s3api delete-bucket-replication`) and erase what it copied: no bound counts it",
    ("s3", "inventories"): "delete it (`aws s3api delete-bucket-inventory-configuration`) and the lists that it made",
    (
        "s3",
        "outside",
    ): "no rule ever deletes what lies under no declared class: move it to where it belongs, or delete it",
    ("s3", OLDEST): "see which lock, hold or missing rule keeps it (`parley verify` names those too), then delete it",
    (
        "kms",
        "state",
    ): "undo it at once (`aws kms cancel-key-deletion`, `aws kms enable-key`): all under the key depends on it",
    ("dynamodb", "replicas"): "remove the replica (`aws dynamodb update-table --replica-updates`): no bound counts it",
    ("dynamodb", "backups"): "delete it (`aws dynamodb delete-backup`): a backup keeps what was erased from the table",
    ("dynamodb", OLDEST): "see whether the time to live is on, and since when; if it is, ask AWS why it is late",
    ("lambda", "urls"): "delete it (`aws lambda delete-function-url-config`): the API is the only door",
    ("lambda", "managedPolicies"): "detach it (`aws iam detach-role-policy`): the role needs nothing beyond its own",
    ("lambda", "rolePolicy"): f"{UP}; a policy that somebody added beside it: `aws iam delete-role-policy`",
    ("apigateway", "routes"): f"{UP}; a route that somebody added: `aws apigatewayv2 delete-route`",
    (
        "twilio",
        "accountRecording",
    ): "switch the account's default off (Twilio Console, Voice, Settings): it records all calls",
    (
        "twilio",
        "chatInstanceSid",
    ): "take it out of the Proxy service: a chat service would keep a second copy of each text",
    ("twilio", OLDEST): "run `parley sweep`; of what stays the sweeper's log says why: held, refused, not archived yet",
}
"""What to do about a property that no deployment mends, or not alone."""

_REFUSED: Final = ("AccessDenied", "Unauthorized", "NotAuthorized", "Forbidden", "401", "403")
_BUSY: Final = ("Throttl", "TooManyRequests", "SlowDown", "RequestLimit", "429")


def _fix(system: str, root: str, verdict: Verdict, live: Any = None, *, added: bool = False) -> str:
    """Return the way out of a verdict, one sentence."""
    if verdict is Verdict.TRUE:
        return ""
    if verdict is Verdict.CANNOT_TELL:
        return _read_again(str(live))
    if root == EXISTS:
        return "somebody deleted it: run `pulumi up --refresh` to make it again; what was in it is lost"
    fix = _FIXES.get((system, root), UP)
    return f"somebody added it: {fix}" if added and fix == UP else fix


def _read_again(live: str) -> str:
    """Return the way out for what was not read; `live` is "operation: code", or the code alone."""
    operation, _, code = live.rpartition(": ")
    if code == "SecretUnreadable":
        return "let whoever runs this read the Twilio secret (parley:deployers), or ask the stack's own daily check"
    if any(word in code for word in _REFUSED):
        return f"give whoever runs this the permission for {operation or 'it'}"
    if any(word in code for word in _BUSY):
        return "run it again later: the service has had too many requests"
    if code == LATE:
        return "run it again: not everything answered in time"
    if code == "NotRead":
        return "update Parley: this version cannot read what the deployed declaration names"
    return "run it again when the service answers"
