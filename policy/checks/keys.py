"""Keys: they rotate, they are not lost by mistake, and whoever administers one cannot use it."""

from __future__ import annotations

from collections.abc import Iterator

from policy.checks.encryption import KEY
from policy.documents import ANYBODY, Statement, statements
from policy.model import Deployment, Resource
from policy.rules import Flaw, Severity, rule

DURABLE_WINDOW = 30
"""Days between scheduling a key's deletion and the loss of all it encrypts: the longest that KMS has."""

_USE = (
    *("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:GenerateMac", "kms:Sign"),
    "kms:CreateGrant",  # whoever grants use has it
)
_BINDING = ("aws:principalarn", "aws:sourcearn", "kms:encryptioncontext", "kms:viaservice")
_ADMINISTRATION = ("kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:CreateAlias")


@rule(
    "key-rotates",
    KEY,
    severity=Severity.MEDIUM,
    references=("FSBP KMS.4", "ISO 27001 A.8.24", "CKV_AWS_7"),
    remediation="set enableKeyRotation to true",
)
def rotates(key: Resource, _: Deployment) -> Iterator[Flaw]:
    """Every key for encryption rotates; KMS rotates no HMAC and no asymmetric key."""
    symmetric = (key.get("customerMasterKeySpec") or "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
    if symmetric and not key.get("enableKeyRotation"):
        yield Flaw("enableKeyRotation", "is not true")


@rule(
    "key-window",
    KEY,
    severity=Severity.HIGH,
    references=("FSBP KMS.3", "GDPR 32(1)(b)", "ISO 27001 A.8.24"),
    remediation="set deletionWindowInDays to 30 outside local and dev",
)
def window(key: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """A key waits 30 days before it is gone, but in local and dev, and nobody has turned it off."""
    days = key.get("deletionWindowInDays")
    if days is not None and days < DURABLE_WINDOW and deployment.durable:
        yield Flaw("deletionWindowInDays", f"is {days}, and a deleted key is lost data")
    if key.get("isEnabled") is False:
        yield Flaw("isEnabled", "is false, so nothing under it can be read or erased in order")


def _uses(statement: Statement) -> bool:
    return any(statement.does(action) for action in _USE)


@rule(
    "key-policy-separates",
    KEY,
    severity=Severity.HIGH,
    references=("ISO 27001 A.5.3", "ISO 27001 A.8.2", "GDPR 32(1)(b)", "CKV2_AWS_64"),
    remediation="name administration and use in statements of their own, and bind use by kms:ViaService or a role",
)
def separates(key: Resource, _: Deployment) -> Iterator[Flaw]:
    """A key policy never lets administration be use: use is allowed apart, and bound to a service or a role."""
    found = statements(key)
    if not found:
        yield Flaw("policy", "is not set, so AWS's default lets the whole account use the key")
    for one in found:
        if not one.allows or not _uses(one):
            continue
        if any(one.does(action) for action in _ADMINISTRATION):
            yield Flaw(one.path, "allows administration and use in one")
        if not any(key.startswith(_BINDING) for _, key in one.conditions):
            yield Flaw(one.path, "allows use that no condition binds to a service or a role")


@rule(
    "key-not-shared",
    KEY,
    severity=Severity.CRITICAL,
    references=("FSBP KMS.5", "GDPR 25(2)", "ISO 27001 A.5.15", "CKV_AWS_33"),
    remediation="name the account, a role or a service as principal",
)
def not_shared(key: Resource, _: Deployment) -> Iterator[Flaw]:
    """No key policy lets anybody in by a wildcard, whatever the condition."""
    for one in statements(key):
        if one.allows and ANYBODY in one.principals:
            yield Flaw(one.path, "allows every principal there is")
