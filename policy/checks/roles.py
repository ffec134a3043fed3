"""Roles: what they may do, who may take them, and the boundary they keep."""

from __future__ import annotations

from collections.abc import Iterator

from policy.documents import ANYBODY, statements
from policy.model import Deployment, Resource
from policy.rules import Flaw, Severity, rule

ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
POLICY = "aws:iam/policy:Policy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"

_LISTING = ("describe", "list")
_ADMINISTRATORS = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")


@rule(
    "role-least-privilege",
    ROLE_POLICY,
    POLICY,
    severity=Severity.CRITICAL,
    references=(
        "FSBP IAM.1",
        "FSBP IAM.21",
        "GDPR 25(2)",
        "ISO 27001 A.8.2",
        "CKV_AWS_62",
        "CKV_AWS_63",
        "CKV_AWS_355",
    ),
    remediation="name the actions and the ARNs that the duty needs",
)
def least_privilege(policy: Resource, _: Deployment) -> Iterator[Flaw]:
    """No role may do all of a service, nor anything but list on every resource."""
    for one in statements(policy):
        if not one.allows:
            continue
        if one.but_actions or any(action == "*" or action.endswith(":*") for action in one.actions):
            yield Flaw(one.path, "allows every action of a service, or all but a few")
        # IAM lets listing be bound to no resource (Service Authorization Reference).
        if one.everywhere and not all(action.partition(":")[2].startswith(_LISTING) for action in one.actions):
            yield Flaw(one.path, "is about every resource")


@rule(
    "role-no-free-key",
    ROLE_POLICY,
    POLICY,
    severity=Severity.CRITICAL,
    references=("FSBP KMS.1", "FSBP KMS.2", "GDPR 32(1)(a)", "ISO 27001 A.8.24"),
    remediation="name the key, and bind decryption by kms:ViaService or the encryption context",
)
def no_free_key(policy: Resource, _: Deployment) -> Iterator[Flaw]:
    """No role may decrypt with every key, nor with any key but through the service that stores the data."""
    for one in statements(policy):
        if not one.allows or not one.does("kms:Decrypt"):
            continue
        if one.everywhere or any(arn.endswith(":key/*") for arn in one.resources):
            yield Flaw(one.path, "lets the role decrypt with every key")
        if not one.conditions:
            yield Flaw(one.path, "lets the role decrypt whatever it is handed")


@rule(
    "role-trust",
    ROLE,
    severity=Severity.CRITICAL,
    references=("GDPR 25(2)", "ISO 27001 A.5.15", "ISO 27001 A.8.2", "CKV_AWS_60", "CKV_AWS_61"),
    remediation="name the one service that takes the role",
)
def trust(role: Resource, _: Deployment) -> Iterator[Flaw]:
    """No role can be taken by everybody, nor by a whole other account."""
    for one in statements(role, "assumeRolePolicy"):
        if one.allows and any(name == ANYBODY or name.isdigit() or name.endswith(":root") for name in one.principals):
            yield Flaw(one.path, "lets everybody, or everybody of an account, take the role")


@rule(
    "role-boundary",
    ROLE,
    severity=Severity.HIGH,
    references=("ISO 27001 A.5.18", "ISO 27001 A.8.2"),
    remediation="set parley:permissionsBoundary, which bounds every role of the stack",
)
def boundary(role: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Where one role has a permissions boundary, all have the same."""
    own = role.props.get("permissionsBoundary")
    others = {one.get("permissionsBoundary") for one in deployment.of(ROLE) if one is not role}
    named = sorted(one for one in others if one)
    if named and (own or None) not in named:
        yield Flaw("permissionsBoundary", "is not the boundary that other roles of the stack have")


@rule(
    "role-no-administrator",
    ATTACHMENT,
    severity=Severity.CRITICAL,
    references=("FSBP IAM.1", "ISO 27001 A.8.2"),
    remediation="take the attachment away and name what the duty needs in a policy of the role",
)
def no_administrator(attachment: Resource, _: Deployment) -> Iterator[Flaw]:
    """No role has a policy of AWS's that allows everything."""
    arn = attachment.get("policyArn") or ""
    if arn.rpartition("/")[2] in _ADMINISTRATORS:
        yield Flaw("policyArn", f"is {arn.rpartition('/')[2]}")
