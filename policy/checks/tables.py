"""The ledger's table: rows that expire, and a table that is not lost."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Deployment, Resource
from policy.rules import Flaw, Severity, rule

TABLE = "aws:dynamodb/table:Table"


@rule(
    "table-restorable",
    TABLE,
    severity=Severity.HIGH,
    references=("FSBP DynamoDB.2", "GDPR 32(1)(c)", "ISO 27001 A.8.13", "CKV_AWS_28"),
    remediation="enable pointInTimeRecovery, with the days of parley:protection.pointInTimeDays",
)
def restorable(table: Resource, _: Deployment) -> Iterator[Flaw]:
    """Every table can be restored to any moment of a declared number of days."""
    if table.get("pointInTimeRecovery.enabled") is not True:
        yield Flaw("pointInTimeRecovery.enabled", "is not true")
    elif not table.get("pointInTimeRecovery.recoveryPeriodInDays"):
        yield Flaw("pointInTimeRecovery.recoveryPeriodInDays", "is not set, so erased rows stay for 35 days")


@rule(
    "table-expires",
    TABLE,
    severity=Severity.CRITICAL,
    references=("GDPR 5(1)(e)", "ISO 27001 A.8.10"),
    remediation="enable ttl on the attribute that the handlers write",
)
def expires(table: Resource, _: Deployment) -> Iterator[Flaw]:
    """Every table has a time to live: it is the only thing that ever deletes a row."""
    if table.get("ttl.enabled") is not True:
        yield Flaw("ttl.enabled", "is not true, so no row ever goes")
    elif table.get("ttl.attributeName") != "expires_at":
        yield Flaw("ttl.attributeName", "is not expires_at, which is what the handlers write")


@rule(
    "table-protected",
    TABLE,
    severity=Severity.HIGH,
    references=("FSBP DynamoDB.6", "GDPR 32(1)(b)", "ISO 27001 A.5.33"),
    remediation="set deletionProtectionEnabled to true outside local and dev",
)
def protected(table: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """No call can delete a table, but in local and dev."""
    if table.get("deletionProtectionEnabled") is not True and deployment.durable:
        yield Flaw("deletionProtectionEnabled", "is not true")


@rule(
    "table-in-one-place",
    TABLE,
    severity=Severity.HIGH,
    references=("GDPR 5(1)(e)", "GDPR 44", "ISO 27001 A.8.10"),
    remediation="take the replicas away: the declared bound counts the copies of one region",
)
def in_one_place(table: Resource, _: Deployment) -> Iterator[Flaw]:
    """No table is replicated to a region that nobody declared."""
    if table.rows("replicas"):
        yield Flaw("replicas", "are copies that no declared bound counts")
