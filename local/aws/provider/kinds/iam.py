"""IAM: roles and their inline policies."""

# ruff: noqa: RUF012, ARG002 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

from collections.abc import Set

from infra.provider import Properties
from local.aws.provider.cloud import Client
from local.aws.provider.documents import IDENTITY, TRUST
from local.aws.provider.kind import Kind, Name, Tagging


class Role(Kind):
    """A role. Managed policies that are attached are read even where none is declared: they widen what it may do."""

    token, service, form, root = "aws:iam/role:Role", "iam", "{name}", "Role"
    creates, reads, updates = "create_role", "get_role", "update_role"
    name = Name("name", 64)
    renames = {"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument", "uniqueId": "RoleId"}
    replaces = frozenset({"name", "path"})
    late = frozenset({"managedPolicyArns"})
    local = frozenset({"forceDetachPolicies"})
    instead = {"inlinePolicies": "use aws.iam.RolePolicy"}
    documents = {"assumeRolePolicy": TRUST}
    defaults = {
        "description": "",
        "maxSessionDuration": 3600,
        "managedPolicyArns": [],
        "path": "/",
        "permissionsBoundary": "",
    }
    tagging = Tagging("tag_role", "untag_role", "list_role_tags", "RoleName", "name")

    @staticmethod
    def _attached(c: Client, id_: str) -> list[str]:
        attached = c.pages("list_attached_role_policies", "AttachedPolicies", RoleName=id_)
        return sorted(policy["PolicyArn"] for policy in attached)

    def settle(self, c: Client, id_: str, old: Properties, new: Properties) -> None:
        """Attach and detach managed policies."""
        there, wanted = set(self._attached(c, id_)), set(new.get("managedPolicyArns") or [])
        for method, arns in (("detach_role_policy", there - wanted), ("attach_role_policy", wanted - there)):
            for arn in sorted(arns):
                c.call(method, RoleName=id_, PolicyArn=arn)

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the role and what is attached to it, in the program's order."""
        role = c.call("get_role", RoleName=id_)["Role"]
        boundary = (role.pop("PermissionsBoundary", None) or {}).get("PermissionsBoundaryArn")
        order = {arn: place for place, arn in enumerate(was.get("managedPolicyArns") or [])}
        attached = sorted(self._attached(c, id_), key=lambda arn: (order.get(arn, len(order)), arn))
        return {"description": "", **self.state(role), "managedPolicyArns": attached, "permissionsBoundary": boundary}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Put the trust policy, the boundary and the rest, each with its own call."""
        if "assumeRolePolicy" in changed:
            c.call("update_assume_role_policy", RoleName=id_, PolicyDocument=new["assumeRolePolicy"])
        if "permissionsBoundary" in changed and new.get("permissionsBoundary"):
            c.call("put_role_permissions_boundary", RoleName=id_, PermissionsBoundary=new["permissionsBoundary"])
        elif "permissionsBoundary" in changed:
            c.call("delete_role_permissions_boundary", RoleName=id_)
        if changed & {"description", "maxSessionDuration"}:
            super().change(c, id_, old, {**self.defaults, **new}, changed)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Detach the managed policies, with `forceDetachPolicies` remove the inline ones, and delete the role."""
        for arn in self._attached(c, id_):
            c.call("detach_role_policy", RoleName=id_, PolicyArn=arn)
        if state.get("forceDetachPolicies"):
            for policy in c.pages("list_role_policies", "PolicyNames", RoleName=id_):
                c.call("delete_role_policy", RoleName=id_, PolicyName=policy)
        c.call("delete_role", RoleName=id_)


class RolePolicy(Kind):
    """An inline policy of a role."""

    token, service, form = "aws:iam/rolePolicy:RolePolicy", "iam", "{role}:{name}"
    creates = updates = "put_role_policy"
    reads, deletes = "get_role_policy", "delete_role_policy"
    name = Name("name", 128)
    renames = {"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"}
    replaces = frozenset({"name", "role"})
    documents = {"policy": IDENTITY}
