"""Who may read content: a role that the stack names, for a purpose of its own that the record is kept for (R22, 23)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from parley.core import moments
from parley.core.requests import InvalidBodyError

URL_SECONDS = 300
"""How long an address works at the most: one reading may begin in that time."""

_SESSION = re.compile(
    r"arn:(?P<partition>[a-z-]+):sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/(?P<session>.+)"
)
_ROLE = re.compile(r"arn:(?P<partition>[a-z-]+):iam::(?P<account>\d{12}):role/(?:.*/)?(?P<role>[^/]+)")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the ARN of a role without its path, and the name that the session of the role was given."""

    role: str
    session: str


def caller_of(arn: str) -> Caller | None:
    """Return who a request's IAM identity is, or None if it is no session of a role.

    A session of a role is named by the role's name alone, whose path is lost; in an account no two roles have one name
    (IAM User Guide, "IAM identifiers").
    """
    found = _SESSION.fullmatch(arn)
    return None if found is None else Caller(_role(found), found["session"])


def may_read(
    caller: Caller | None,
    purpose: str,
    readers: Mapping[str, Collection[str]],
    declared: Collection[str],
) -> bool:
    """Tell whether a caller may read something for a purpose.

    `readers` are the purposes of each role by its ARN, `declared` those that the class of the record is kept for.
    """
    if caller is None or purpose not in declared:
        return False
    return any(
        purpose in purposes and (found := _ROLE.fullmatch(arn)) is not None and _role(found) == caller.role
        for arn, purposes in readers.items()
    )


def _role(found: re.Match[str]) -> str:
    return f"arn:{found['partition']}:iam::{found['account']}:role/{found['role']}"


def purpose_of(raw: Mapping[str, Any]) -> str:
    """Read the body of `POST /v1/recordings/{sid}/access` and return the purpose. Raises InvalidBodyError."""
    errors = [{"path": "(a key)", "reason": "is not purpose"} for name in raw if name != "purpose"]
    purpose = raw.get("purpose")
    if isinstance(purpose, str) and purpose and not errors:
        return purpose
    if not errors:
        errors = [{"path": "purpose", "reason": "is not a purpose of parley:records such as dispute-resolution"}]
    raise InvalidBodyError(errors)


@dataclass(frozen=True, slots=True)
class Read:
    """Somebody was let read a record: which role, by which of its sessions, what for, when, and until when.

    `version` names the object's version that they got the address of.
    """

    sid: str
    role: str
    session: str
    purpose: str
    version: str
    at: datetime
    expires_at: datetime

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        times = {"at": moments.to_text(self.at), "expires_at": moments.to_text(self.expires_at)}
        return asdict(self) | times

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Read:
        """Return what `document` made. Raises KeyError, TypeError or ValueError for anything else."""
        times = {name: moments.from_text(document[name]) for name in ("at", "expires_at")}
        return cls(**{**document, **times})

    def to_json(self) -> str:
        """Return it as canonical JSON."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
