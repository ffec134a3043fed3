"""Statements of policy documents, and the place they are about.

Lists of one are written as a plain value, and statements in the order given, as AWS itself gives them back; so a
document that was not changed never shows as a difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parley.core.record_classes import RecordClass

Statement = dict[str, Any]

COPIES = f"{RecordClass.CONSENT_EVIDENCE}/"
"""Where the copies of consent records lie in the evidence bucket."""

PROOFS = f"{RecordClass.ERASURE_PROOFS}/"
"""Where the proofs of erasure and the log of legal holds lie in the evidence bucket."""

FUNCTION_CONTEXT = "kms:EncryptionContext:aws:lambda:FunctionArn"
"""What Lambda encrypts environment variables under (Lambda Developer Guide, "Securing environment variables")."""

CONTACT_CONTEXT = {
    "Null": {"kms:EncryptionContext:party": "false"},
    "StringEquals": {"kms:EncryptionContext:purpose": "contact"},
}
"""What `parley.adapters.identity.Contacts` seals under: whose it is, and what for."""


LINE_CONTEXT = {
    "Null": {"kms:EncryptionContext:session": "false"},
    "StringEquals": {"kms:EncryptionContext:purpose": "line"},
}
"""What `parley.adapters.identity.Sealer` seals under: for which session, and what for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stack lives: an account (12 digits) in a region of a partition."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def role_arn(self, name: str) -> str:
        """Return the ARN of a role of this account."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    @property
    def owner(self) -> Mapping[str, str]:
        """The account itself as a principal."""
        return {"AWS": f"arn:{self.partition}:iam::{self.account}:root"}


def document(*statements: Statement) -> str:
    """Return a policy document of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, separators=(",", ":"))


def through(place: Place, services: Sequence[str]) -> dict[str, Any]:
    """Return the condition's keys that let a key be used by this account, through these services only."""
    return {
        "kms:CallerAccount": place.account,
        "kms:ViaService": one_or_many([f"{service}.{place.region}.amazonaws.com" for service in services]),
    }


def allow(
    sid: str, resources: Sequence[str], actions: Sequence[str], conditions: Mapping[str, Any] | None = None
) -> Statement:
    """Return a statement of a role that allows some actions."""
    return statement(sid, "Allow", actions=actions, resources=resources, conditions=conditions)


def deny(sid: str, resources: str | Sequence[str], actions: Sequence[str], conditions: Mapping[str, Any]) -> Statement:
    """Return a statement of a resource's policy that denies everybody some actions on a condition."""
    listed = [resources] if isinstance(resources, str) else resources
    return statement(sid, "Deny", principal={"AWS": "*"}, actions=actions, resources=listed, conditions=conditions)


def statement(
    sid: str,
    effect: str,
    *,
    actions: Sequence[str],
    resources: Sequence[str] = (),
    but_resources: Sequence[str] = (),
    principal: Mapping[str, str] | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> Statement:
    """Return a statement; what is empty is left out."""
    made: Statement = {"Sid": sid, "Effect": effect}
    if principal:
        made["Principal"] = principal
    made["Action"] = one_or_many(actions)
    if resources:
        made["Resource"] = one_or_many(resources)
    if but_resources:
        made["NotResource"] = one_or_many(but_resources)
    if conditions:
        made["Condition"] = {
            operator: {key: one_or_many(value) for key, value in sorted(keys.items())}
            for operator, keys in sorted(conditions.items())
        }
    return made


def one_or_many(values: str | Iterable[str]) -> str | list[str]:
    """Return a list as AWS gives it back: of one, its only value."""
    listed = [values] if isinstance(values, str) else list(values)
    return listed[0] if len(listed) == 1 else listed
