"""KMS: keys and their aliases."""

# ruff: noqa: RUF012, ARG002 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

from collections.abc import Iterator, Set

from infra.provider import UNKNOWN, CheckFailure, Properties
from local.aws.provider.cloud import Client
from local.aws.provider.documents import ATTACHED, as_json
from local.aws.provider.kind import Kind, Name, Tagging

SYMMETRIC = "SYMMETRIC_DEFAULT"


class Key(Kind):
    """A key. One that waits for its deletion counts as gone."""

    token, service, form, root = "aws:kms/key:Key", "kms", "{keyId}", "KeyMetadata"
    creates, reads = "create_key", "describe_key"
    renames = {"customerMasterKeySpec": "KeySpec", "isEnabled": "Enabled"}
    replaces = frozenset({"customerMasterKeySpec", "keyUsage", "multiRegion", "customKeyStoreId", "xksKeyId"})
    late = frozenset({"enableKeyRotation", "rotationPeriodInDays", "isEnabled"})
    local = frozenset({"deletionWindowInDays", "bypassPolicyLockoutSafetyCheck"})
    unread = frozenset({"rotationPeriodInDays"})
    documents = {"policy": ATTACHED}
    defaults = {
        "customerMasterKeySpec": SYMMETRIC,
        "description": "",
        "enableKeyRotation": False,
        "isEnabled": True,
        "keyUsage": "ENCRYPT_DECRYPT",
        "multiRegion": False,
    }
    tagging = Tagging("tag_resource", "untag_resource", "list_resource_tags", "KeyId", "keyId")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield windows, key specs and policies that KMS refuses."""
        yield from within(p, "deletionWindowInDays", 7, 30)
        yield from within(p, "rotationPeriodInDays", 90, 2560)
        spec, usage = p.get("customerMasterKeySpec", SYMMETRIC), p.get("keyUsage", "ENCRYPT_DECRYPT")
        if UNKNOWN not in (spec, usage):
            if (usage == "GENERATE_VERIFY_MAC") != spec.startswith("HMAC_"):
                yield CheckFailure("keyUsage", f"{usage} does not go with {spec}: HMAC keys make and verify MACs only")
            if p.get("enableKeyRotation") is True and spec != SYMMETRIC:
                yield CheckFailure("enableKeyRotation", f"KMS does not rotate {spec} keys: leave it out")
        if p.get("rotationPeriodInDays") is not None and p.get("enableKeyRotation") in (None, False):
            yield CheckFailure("rotationPeriodInDays", "needs enableKeyRotation: true")
        if p.get("bypassPolicyLockoutSafetyCheck") is not True and locks_out(p.get("policy")):
            yield CheckFailure(
                "policy", "lets nobody change the policy again: allow kms:* or kms:PutKeyPolicy to the account's root"
            )

    def settle(self, c: Client, id_: str, old: Properties, new: Properties) -> None:
        """Switch rotation and the key itself."""
        rotation = (new.get("enableKeyRotation", False), new.get("rotationPeriodInDays"))
        if rotation != (old.get("enableKeyRotation", False), old.get("rotationPeriodInDays")):
            if rotation[0]:
                period = {"RotationPeriodInDays": rotation[1]} if rotation[1] else {}
                c.call("enable_key_rotation", KeyId=id_, **period)
            else:
                c.call("disable_key_rotation", KeyId=id_)
        if old.get("isEnabled", True) != new.get("isEnabled", True):
            c.call("enable_key" if new.get("isEnabled", True) else "disable_key", KeyId=id_)

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the key, its policy and its rotation."""
        metadata = c.call("describe_key", KeyId=id_)["KeyMetadata"]
        if metadata["KeyState"] in {"PendingDeletion", "PendingReplicaDeletion"}:
            return None
        found = self.state(metadata)
        found["policy"] = c.call("get_key_policy", KeyId=id_, PolicyName="default")["Policy"]
        if metadata.get("KeySpec", SYMMETRIC) == SYMMETRIC:
            rotation = c.call("get_key_rotation_status", KeyId=id_)
            found["enableKeyRotation"] = rotation["KeyRotationEnabled"]
            found["rotationPeriodInDays"] = rotation.get("RotationPeriodInDays") if found["enableKeyRotation"] else None
        return found

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Put the description and the policy."""
        if "description" in changed:
            c.call("update_key_description", KeyId=id_, Description=new["description"])
        if "policy" in changed and new.get("policy"):
            c.call("put_key_policy", KeyId=id_, PolicyName="default", Policy=new["policy"])

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Schedule the deletion."""
        if c.call("describe_key", KeyId=id_)["KeyMetadata"]["KeyState"] != "PendingDeletion":
            c.call("schedule_key_deletion", KeyId=id_, PendingWindowInDays=state.get("deletionWindowInDays", 30))


class Alias(Kind):
    """A name of a key."""

    token, service, form = "aws:kms/alias:Alias", "kms", "{name}"
    creates, updates, deletes = "create_alias", "update_alias", "delete_alias"
    name = Name("name", 256, "alias/")
    renames = {"name": "AliasName", "arn": "AliasArn"}
    replaces = frozenset({"name"})

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield names outside of the alias's namespace."""
        name = p.get("name")
        if isinstance(name, str) and (not name.startswith("alias/") or name.startswith("alias/aws/")):
            yield CheckFailure("name", f"must start with 'alias/', and not with 'alias/aws/', got {name!r}")

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Find the alias in the list: there is no call for a single one."""
        for alias in c.pages("list_aliases", "Aliases"):
            if alias["AliasName"] == id_:
                arn = c.call("describe_key", KeyId=alias["TargetKeyId"])["KeyMetadata"]["Arn"]
                asked = was.get("targetKeyId") == arn
                target = arn if asked else alias["TargetKeyId"]
                return {**self.state(alias), "targetKeyArn": arn, "targetKeyId": target}
        return None


def within(p: Properties, name: str, least: int, most: int) -> Iterator[CheckFailure]:
    """Yield a failure when the number `name` lies outside of its limits."""
    value = p.get(name)
    if isinstance(value, int) and not least <= value <= most:
        yield CheckFailure(name, f"must be between {least} and {most}, got {value}")


def locks_out(policy: object) -> bool:
    """Tell whether a key's policy leaves nobody who may change it (KMS's policy lockout safety check, roughly)."""
    document = as_json(policy)
    if not isinstance(document, dict):
        return False
    statements = document.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        actions = statement.get("Action", [])
        actions = [actions] if isinstance(actions, str) else actions
        if statement.get("Effect") == "Allow" and {"*", "kms:*", "kms:Put*", "kms:PutKeyPolicy"} & set(actions):
            return False
    return True
