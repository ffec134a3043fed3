"""DynamoDB: tables."""

# ruff: noqa: RUF012, ARG002 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

from infra.provider import UNKNOWN, CheckFailure, Properties
from local.aws.provider.cloud import Client
from local.aws.provider.kind import Kind, Name, Tagging
from local.aws.provider.kinds.kms import within

ROLES = {"HASH": "hashKey", "RANGE": "rangeKey"}
INDEX = frozenset(
    {"name", "hashKey", "rangeKey", "projectionType", "nonKeyAttributes", "readCapacity", "writeCapacity"}
)
THROUGHPUT = {"readCapacity": "ReadCapacityUnits", "writeCapacity": "WriteCapacityUnits"}
STREAM = frozenset({"streamEnabled", "streamViewType"})


def key_schema(p: Properties) -> list[dict[str, str]]:
    """Return AWS's spelling of `hashKey` and `rangeKey`."""
    return [{"AttributeName": p[name], "KeyType": role} for role, name in ROLES.items() if p.get(name)]


def throughput(p: Properties) -> dict[str, Any]:
    """Return AWS's spelling of the capacities, none for a table that is paid by request."""
    if not p.get("readCapacity") and not p.get("writeCapacity"):
        return {}
    return {"ProvisionedThroughput": {target: p.get(name, 1) for name, target in THROUGHPUT.items()}}


def index(p: Properties) -> dict[str, Any]:
    """Return AWS's spelling of a secondary index."""
    others = {"NonKeyAttributes": p["nonKeyAttributes"]} if p.get("nonKeyAttributes") else {}
    projection = {"ProjectionType": p["projectionType"], **others}
    return {"IndexName": p["name"], "KeySchema": key_schema(p), "Projection": projection, **throughput(p)}


def index_state(answer: dict[str, Any]) -> Properties:
    """Return a secondary index as Pulumi spells it."""
    capacity = answer.get("ProvisionedThroughput") or {}
    found = {
        "name": answer["IndexName"],
        "projectionType": answer["Projection"]["ProjectionType"],
        "nonKeyAttributes": answer["Projection"].get("NonKeyAttributes"),
        **{ROLES[key["KeyType"]]: key["AttributeName"] for key in answer["KeySchema"]},
        **{name: capacity.get(source) or None for name, source in THROUGHPUT.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


class Table(Kind):
    """A table with its indexes, stream, expiry and backups."""

    token, service, form, root = "aws:dynamodb/table:Table", "dynamodb", "{name}", "Table"
    creates, updates, reads, deletes = "create_table", "update_table", "describe_table", "delete_table"
    name = Name("name", 255)
    replaces = frozenset({"name", "hashKey", "rangeKey", "localSecondaryIndexes"})
    needs = frozenset({"hashKey", "attributes"})
    late = frozenset({"ttl", "pointInTimeRecovery"})
    own = frozenset(
        {
            *ROLES.values(),
            *THROUGHPUT,
            *STREAM,
            "globalSecondaryIndexes",
            "localSecondaryIndexes",
            "serverSideEncryption",
        }
    )
    instead = dict.fromkeys(
        (
            "globalTableWitness",
            "importTable",
            "onDemandThroughput",
            "replicas",
            "restoreBackupArn",
            "restoreDateTime",
            "restoreSourceName",
            "restoreSourceTableArn",
            "restoreToLatestTime",
            "warmThroughput",
        ),
        "leave it out",
    )
    renames = {
        "name": "TableName",
        "arn": "TableArn",
        "attributes": "AttributeDefinitions",
        "attributes.name": "AttributeName",
        "attributes.type": "AttributeType",
        "streamArn": "LatestStreamArn",
        "streamLabel": "LatestStreamLabel",
    }
    defaults = {
        "billingMode": "PROVISIONED",
        "deletionProtectionEnabled": False,
        "globalSecondaryIndexes": [],
        "pointInTimeRecovery": {"enabled": False},
        "serverSideEncryption": {"enabled": False},
        "streamEnabled": False,
        "tableClass": "STANDARD",
    }
    tagging = Tagging("tag_resource", "untag_resource", "list_tags_of_resource", "ResourceArn", "arn")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield what DynamoDB refuses between properties."""
        yield from self._attribute_faults(p)
        if p.get("billingMode", "PROVISIONED") == "PROVISIONED":
            for name in THROUGHPUT:
                if p.get(name) is None:
                    yield CheckFailure(name, "is required unless billingMode is PAY_PER_REQUEST")
        if p.get("streamEnabled") is True and not p.get("streamViewType"):
            yield CheckFailure("streamViewType", "is required with streamEnabled: true")
        ttl = p.get("ttl") or {}
        if ttl.get("enabled") is True and not ttl.get("attributeName"):
            yield CheckFailure("ttl.attributeName", "is required with ttl.enabled: true")
        for failure in within(p.get("pointInTimeRecovery") or {}, "recoveryPeriodInDays", 1, 35):
            yield CheckFailure(f"pointInTimeRecovery.{failure.path}", failure.reason)

    def _attribute_faults(self, p: Properties) -> Iterator[CheckFailure]:
        indexes = [
            (kind, i, entry)
            for kind in ("globalSecondaryIndexes", "localSecondaryIndexes")
            for i, entry in enumerate(p.get(kind) or [])
        ]
        for kind, position, entry in indexes:
            for name in sorted(entry.keys() - INDEX):
                yield CheckFailure(f"{kind}[{position}].{name}", "the local stand-in does not carry out this property")
        used = {p.get(name) for name in ROLES.values()} | {e.get(n) for _, _, e in indexes for n in ROLES.values()}
        declared = {attribute.get("name") for attribute in p.get("attributes") or []}
        if UNKNOWN in used | declared:
            return
        for name in sorted(map(str, used - declared - {None})):
            yield CheckFailure("attributes", f"lacks {name!r}, which is part of a key: add its name and type")
        for name in sorted(map(str, declared - used)):
            yield CheckFailure("attributes", f"has {name!r}, which is part of no key: leave it out")

    def make(self, c: Client, p: Properties) -> str:
        """Create the table with its indexes and its stream, and wait until it is there."""
        arguments = self.arguments("create_table", {"billingMode": "PROVISIONED", **p})
        arguments.update(KeySchema=key_schema(p), **throughput(p))
        for name, target in (
            ("globalSecondaryIndexes", "GlobalSecondaryIndexes"),
            ("localSecondaryIndexes", "LocalSecondaryIndexes"),
        ):
            if p.get(name):
                arguments[target] = [index({"hashKey": p["hashKey"], **entry}) for entry in p[name]]
        if p.get("streamEnabled"):
            arguments["StreamSpecification"] = self._stream(p)
        if p.get("serverSideEncryption"):
            arguments["SSESpecification"] = self._encryption(p["serverSideEncryption"])
        c.call("create_table", **arguments)
        self._wait(c, p["name"])
        return str(p["name"])

    @staticmethod
    def _wait(c: Client, name: str) -> None:
        c.wait("table_exists", TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    @staticmethod
    def _stream(p: Properties) -> dict[str, Any]:
        if not p.get("streamEnabled"):
            return {"StreamEnabled": False}
        return {"StreamEnabled": True, "StreamViewType": p["streamViewType"]}

    @staticmethod
    def _encryption(p: Properties) -> dict[str, Any]:
        if not p.get("enabled"):
            return {"Enabled": False}
        return {"Enabled": True, "SSEType": "KMS", **({"KMSMasterKeyId": p["kmsKeyArn"]} if p.get("kmsKeyArn") else {})}

    def settle(self, c: Client, id_: str, old: Properties, new: Properties) -> None:
        """Set expiry and backups."""
        if old.get("ttl") != new.get("ttl"):
            was, now = old.get("ttl") or {}, new.get("ttl") or {}
            if was.get("enabled") and (not now.get("enabled") or was["attributeName"] != now["attributeName"]):
                off = {"Enabled": False, "AttributeName": was["attributeName"]}
                c.call("update_time_to_live", TableName=id_, TimeToLiveSpecification=off)
            if now.get("enabled"):
                on = {"Enabled": True, "AttributeName": now["attributeName"]}
                c.call("update_time_to_live", TableName=id_, TimeToLiveSpecification=on)
        if old.get("pointInTimeRecovery") != new.get("pointInTimeRecovery") and new.get("pointInTimeRecovery"):
            backups = new["pointInTimeRecovery"]
            days = backups.get("recoveryPeriodInDays")
            specification = {
                "PointInTimeRecoveryEnabled": backups["enabled"],
                **({"RecoveryPeriodInDays": days} if days and backups["enabled"] else {}),
            }
            c.call("update_continuous_backups", TableName=id_, PointInTimeRecoverySpecification=specification)

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the table, its expiry and its backups."""
        table = c.call("describe_table", TableName=id_)["Table"]
        capacity = table.get("ProvisionedThroughput") or {}
        stream = table.get("StreamSpecification") or {}
        encryption = table.get("SSEDescription") or {}
        key = encryption.get("KMSMasterKeyArn")
        secondary = {
            name: [index_state(entry) for entry in table.get(source) or []] or None
            for name, source in (
                ("globalSecondaryIndexes", "GlobalSecondaryIndexes"),
                ("localSecondaryIndexes", "LocalSecondaryIndexes"),
            )
        }
        ttl = c.call("describe_time_to_live", TableName=id_)["TimeToLiveDescription"]
        expires = ttl["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}
        return {
            **self.state(table),
            **secondary,
            **{ROLES[entry["KeyType"]]: entry["AttributeName"] for entry in table["KeySchema"]},
            **{name: capacity.get(source) or None for name, source in THROUGHPUT.items()},
            "name": id_,
            "billingMode": (table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED"),
            "streamEnabled": bool(stream.get("StreamEnabled")),
            "streamViewType": stream.get("StreamViewType"),
            "serverSideEncryption": {
                "enabled": encryption.get("Status") == "ENABLED",
                **({"kmsKeyArn": key} if key else {}),
            },
            "ttl": {"enabled": True, "attributeName": ttl["AttributeName"]} if expires else {"enabled": False},
            "pointInTimeRecovery": self._backups(c, id_),
        }

    @staticmethod
    def _backups(c: Client, id_: str) -> Properties:
        backups = c.call("describe_continuous_backups", TableName=id_)["ContinuousBackupsDescription"]
        recovery = backups.get("PointInTimeRecoveryDescription") or {}
        if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
            return {"enabled": False}
        days = recovery.get("RecoveryPeriodInDays")
        return {"enabled": True, **({"recoveryPeriodInDays": days} if days else {})}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Change what AWS takes together, then the stream, then each index by itself, as AWS wants it."""
        together = self.arguments("update_table", {k: new.get(k) for k in changed - {"attributes", "name"}})
        if changed & {"billingMode", *THROUGHPUT} and new.get("billingMode", "PROVISIONED") == "PROVISIONED":
            together.update(throughput(new))
        if "serverSideEncryption" in changed:
            together["SSESpecification"] = self._encryption(new["serverSideEncryption"])
        if together:
            c.call("update_table", TableName=id_, **together)
        if changed & STREAM:
            self._restream(c, id_, new)
        if "globalSecondaryIndexes" in changed:
            self._reindex(c, id_, new)

    def _restream(self, c: Client, id_: str, new: Properties) -> None:
        stream = c.call("describe_table", TableName=id_)["Table"].get("StreamSpecification") or {}
        wanted = self._stream(new)
        if stream.get("StreamEnabled") and stream != wanted:
            c.call("update_table", TableName=id_, StreamSpecification={"StreamEnabled": False})
        if wanted["StreamEnabled"] and stream != wanted:
            c.call("update_table", TableName=id_, StreamSpecification=wanted)

    def _reindex(self, c: Client, id_: str, new: Properties) -> None:
        table = c.call("describe_table", TableName=id_)["Table"]
        there = {entry["IndexName"]: index_state(entry) for entry in table.get("GlobalSecondaryIndexes") or []}
        wanted = {entry["name"]: entry for entry in new.get("globalSecondaryIndexes") or []}
        attributes = self.arguments("create_table", {"attributes": new["attributes"]})
        updates = [{"Delete": {"IndexName": name}} for name, entry in there.items() if wanted.get(name) != entry]
        updates += [{"Create": index(entry)} for name, entry in wanted.items() if there.get(name) != entry]
        for update in updates:
            c.call("update_table", TableName=id_, GlobalSecondaryIndexUpdates=[update], **attributes)
            self._wait(c, id_)
