"""Who calls: access keys to principals, and what the principals' own policies grant."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from moto.iam.models import iam_backends
from moto.sts.models import STSBackend, sts_backends

from local.aws.calls import ACCOUNT
from local.aws.mends import Mends
from local.aws.policy import Principal, Question, Verdict, verdict

_PARTITION = "aws"
#: The account's root, as policies and `aws:PrincipalArn` name it; whoever holds the cloud's own keys acts as it.
ROOT = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")


class UnknownKeyError(Exception):
    """A temporary access key that no role session of this cloud has."""


class RoleNotAssumableError(Exception):
    """A role that does not exist or whose trust policy does not name the service."""


@dataclass(frozen=True)
class SessionKeys:
    """Temporary credentials of a role session."""

    access_key_id: str
    secret_access_key: str
    session_token: str


def principal_of(access_key: str) -> Principal:
    """Return who an access key stands for: a role's session, or the administrator of this throw-away account.

    Raises UnknownKeyError for a temporary key (`ASIA…`) without a session.
    """
    if not access_key.startswith("ASIA"):
        return ROOT
    session = sts_backends[ACCOUNT][_PARTITION].get_assumed_role_from_access_key(access_key)
    if session is None:
        raise UnknownKeyError(access_key)
    return Principal(ACCOUNT, session.arn, role_arn=session.role_arn)


def install(mends: Mends) -> None:
    """Let GetCallerIdentity name the account's root as policies know it, where moto names a user of its own making."""

    def identity(original: Any, backend: STSBackend, access_key_id: str, region: str) -> tuple[str, str, str]:
        if access_key_id.startswith("ASIA"):
            found: tuple[str, str, str] = original(backend, access_key_id, region)
            return found
        return ACCOUNT, ROOT.arn, ACCOUNT

    mends.wrap(STSBackend, "get_caller_identity", identity)


def assume(role_arn: str, session_name: str, *, service: str) -> SessionKeys:
    """Start a session of a role for an AWS service, if the role's trust policy allows the service.

    Raises RoleNotAssumableError.
    """
    require_trust(role_arn, service=service)
    session = sts_backends[ACCOUNT][_PARTITION].assume_role(
        region_name="us-east-1",
        role_session_name=session_name[:64],
        role_arn=role_arn,
        policy="",
        duration=43200,
        external_id="",
    )
    return SessionKeys(session.access_key_id, session.secret_access_key, session.session_token)


def require_trust(role_arn: str, *, service: str, source_arn: str | None = None) -> None:
    """Raise RoleNotAssumableError unless the role exists and its trust policy lets the service assume it.

    `source_arn` is on whose behalf the service asks, for the services that say so (`aws:SourceArn`).
    """
    role = _role(role_arn)
    context = {"aws:sourcearn": (source_arn,), "aws:sourceaccount": (ACCOUNT,)} if source_arn else {}
    asks = Question(Principal(ACCOUNT, service, service=service), "sts:AssumeRole", role_arn, context)
    document = _text(role.assume_role_policy_document) if role else None
    if not verdict(document, asks, name="trust policy").allowed:
        raise RoleNotAssumableError(f"The role {role_arn} does not exist or cannot be assumed by {service}.")


def session_of(role_arn: str, session_name: str) -> Principal:
    """Return a role's session as policies see it, for what a service does in a role's name."""
    name = role_arn.rpartition("/")[2]
    return Principal(ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session_name}", role_arn=role_arn)


def secret_of(access_key: str, administrator: SessionKeys) -> SessionKeys | None:
    """Return the whole credentials of an access key, to check a signature with; None for an unknown key."""
    if secrets.compare_digest(access_key.encode(), administrator.access_key_id.encode()):
        return administrator
    session = sts_backends[ACCOUNT][_PARTITION].get_assumed_role_from_access_key(access_key)
    if session is not None:
        return SessionKeys(access_key, session.secret_access_key, session.session_token)
    return None


def own_verdict(question: Question) -> Verdict:
    """Return what the caller's identity policies (and its permissions boundary) say."""
    if question.principal.role_arn is None:
        return Verdict(allowed=question.principal == ROOT)
    role = _role(question.principal.role_arn)
    if role is None:
        return Verdict()
    documents = {name: _text(document) for name, document in role.policies.items()}
    documents |= {policy.name: _current(policy) for policy in role.managed_policies.values()}
    result = Verdict()
    for name, document in documents.items():
        result |= verdict(document, question, name=name)
    if role.permissions_boundary_arn:
        boundary = iam_backends[ACCOUNT][_PARTITION].managed_policies.get(role.permissions_boundary_arn)
        within = verdict(_current(boundary) if boundary else None, question, name="permissions boundary")
        result = Verdict(result.denied_by or within.denied_by, result.allowed and within.allowed)
    return result


def _role(role_arn: str) -> Any | None:
    roles = iam_backends[ACCOUNT][_PARTITION].roles.values()
    return next((role for role in roles if role.arn == role_arn), None)


def _current(policy: Any) -> str:
    return _text(next(version.document for version in policy.versions if version.is_default))


def _text(document: str) -> str:
    return unquote(document) if document.startswith("%") else document
