"""Secrets Manager: secrets, their values and their policies."""

# ruff: noqa: RUF012, ARG002 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Set

from botocore.exceptions import ClientError

from infra.provider import CheckFailure, Properties, ProviderError
from local.aws.provider.cloud import Client
from local.aws.provider.documents import ATTACHED
from local.aws.provider.kind import Kind, Name, Tagging


class Secret(Kind):
    """A secret, without a value. One that waits for its deletion counts as gone, but its name stays taken."""

    token, service, form = "aws:secretsmanager/secret:Secret", "secretsmanager", "{arn}"
    creates, updates, reads = "create_secret", "update_secret", "describe_secret"
    name = Name("name", 512)
    renames = {"arn": "ARN"}
    replaces = frozenset({"name"})
    late = frozenset({"policy"})
    twins = frozenset({"policy"})
    local = frozenset({"recoveryWindowInDays", "forceOverwriteReplicaSecret"})
    instead = {"replicas": "leave it out", "type": "leave it out"}
    documents = {"policy": ATTACHED}
    defaults = {"description": "", "kmsKeyId": "alias/aws/secretsmanager"}
    tagging = Tagging("tag_resource", "untag_resource", "describe_secret", "SecretId", "arn")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield recovery windows that Secrets Manager refuses."""
        days = p.get("recoveryWindowInDays")
        if isinstance(days, int) and days != 0 and not 7 <= days <= 30:
            yield CheckFailure("recoveryWindowInDays", f"must be 0 (delete at once) or between 7 and 30, got {days}")

    def make(self, c: Client, p: Properties) -> str:
        """Create the secret; its name may still be taken by one that waits for its deletion."""
        try:
            return str(c.call("create_secret", **self.arguments("create_secret", p))["ARN"])
        except ClientError as error:
            try:
                waiting = "DeletedDate" in c.call("describe_secret", SecretId=p["name"])
            except ClientError:
                waiting = False
            if not waiting:
                raise
            raise ProviderError(
                f"name: a secret {p['name']!r} waits for its deletion, and its name is taken until then: restore it "
                f"(aws secretsmanager restore-secret --secret-id {p['name']}) and import it, or take another name; "
                f"recoveryWindowInDays: 0 would have deleted it at once"
            ) from error

    def settle(self, c: Client, id_: str, old: Properties, new: Properties) -> None:
        """Put the policy, or take it away."""
        if new.get("policy"):
            c.call("put_resource_policy", SecretId=id_, ResourcePolicy=new["policy"])
        elif old.get("policy"):
            c.call("delete_resource_policy", SecretId=id_)

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the secret's settings."""
        found = c.call("describe_secret", SecretId=id_)
        if found.get("DeletedDate"):
            return None
        policy = c.call("get_resource_policy", SecretId=id_).get("ResourcePolicy")
        return {"description": "", **self.state(found), "policy": policy or None}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Update description and key."""
        arguments = self.arguments("update_secret", {name: new.get(name) for name in ("description", "kmsKeyId")})
        c.call("update_secret", SecretId=id_, **arguments)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete the secret after its recovery window, or at once where it is 0."""
        days = state.get("recoveryWindowInDays", 30)
        if "DeletedDate" in c.call("describe_secret", SecretId=id_):
            return
        window = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
        c.call("delete_secret", SecretId=id_, **window)


class SecretVersion(Kind):
    """One value of a secret. A new value is a new version; old versions go with their secret."""

    token, service, form = "aws:secretsmanager/secretVersion:SecretVersion", "secretsmanager", "{secretId}|{versionId}"
    creates, reads = "put_secret_value", "get_secret_value"
    renames = {"arn": "ARN"}
    replaces = frozenset({"secretId", "secretString", "secretBinary"})
    secrets = frozenset({"secretString", "secretBinary"})
    own = frozenset({"secretBinary"})
    instead = dict.fromkeys(("secretStringWo", "secretStringWoVersion"), "use secretString")
    defaults = {"versionStages": ["AWSCURRENT"]}

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield versions without a value, with two, or with one that is no base64."""
        given = [name for name in ("secretString", "secretBinary") if p.get(name) is not None]
        if len(given) != 1:
            yield CheckFailure("secretString", "give either secretString or secretBinary")
        binary = p.get("secretBinary")
        if isinstance(binary, str):
            try:
                base64.b64decode(binary, validate=True)
            except binascii.Error:
                yield CheckFailure("secretBinary", "must be base64")

    def make(self, c: Client, p: Properties) -> str:
        """Put the value."""
        arguments = self.arguments("put_secret_value", p)
        if p.get("secretBinary"):
            arguments["SecretBinary"] = base64.b64decode(p["secretBinary"])
        return f"{p['secretId']}|{c.call('put_secret_value', **arguments)['VersionId']}"

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the value and its stages: a value that was put since has taken AWSCURRENT away from it."""
        keys = self.keys(id_, was)
        answer = c.call("get_secret_value", SecretId=keys["secretId"], VersionId=keys["versionId"])
        if binary := answer.pop("SecretBinary", None):
            answer["SecretBinary"] = base64.b64encode(binary).decode()
        found = self.state(answer)
        stages = sorted(found.get("versionStages") or [])
        return {**found, **keys, "secretArn": found["arn"], "versionStages": stages, "hasSecretStringWo": False}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Give this version its stages back."""
        keys = self.keys(id_, new)
        holders = c.call("describe_secret", SecretId=keys["secretId"])["VersionIdsToStages"]
        for stage in new.get("versionStages") or []:
            others = [version for version, stages in holders.items() if stage in stages]
            if others != [keys["versionId"]]:
                taken = {"RemoveFromVersionId": others[0]} if others else {}
                moved = {"VersionStage": stage, "MoveToVersionId": keys["versionId"], **taken}
                c.call("update_secret_version_stage", SecretId=keys["secretId"], **moved)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Leave the version: AWS has no call to delete one."""


class SecretPolicy(Kind):
    """A secret's policy."""

    token, service, form = "aws:secretsmanager/secretPolicy:SecretPolicy", "secretsmanager", "{secretArn}"
    creates = updates = "put_resource_policy"
    reads, deletes = "get_resource_policy", "delete_resource_policy"
    renames = {"secretArn": "SecretId", "policy": "ResourcePolicy"}
    replaces = frozenset({"secretArn"})
    unread = frozenset({"blockPublicPolicy"})
    documents = {"policy": ATTACHED}

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the policy; a secret without one, or one that waits for its deletion, has none."""
        if "DeletedDate" in c.call("describe_secret", SecretId=id_):
            return None
        policy = c.call("get_resource_policy", SecretId=id_).get("ResourcePolicy")
        return {"secretArn": id_, "policy": policy} if policy else None
