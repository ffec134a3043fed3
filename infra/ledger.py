"""The consent ledger: one table for consents, sessions and interactions, and the key that names the parties in it."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra import documents
from infra.options import component, kept
from infra.settings import Settings
from infra.statements import Place

TTL_ATTRIBUTE = "expires_at"
OPEN_SESSIONS = "open-sessions"


class ConsentLedger(pulumi.ComponentResource):
    """The table that answers whether contact is allowed, and the HMAC key that turns a phone number into a party key.

    `roles` are the names of the roles that may make party keys, `deployers` ARNs or patterns of who else may.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        place: Place,
        *,
        encryption_key: aws.kms.Key,
        roles: Sequence[str],
        deployers: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("parley:infra:ConsentLedger", name, {}, component(settings, "consent", opts))
        # KMS does not rotate HMAC keys: another key would make another party of the same number.
        self.identity_key = aws.kms.Key(
            "identity",
            description=f"{settings.prefix}: party keys, HMAC of phone numbers",
            key_usage="GENERATE_VERIFY_MAC",
            customer_master_key_spec="HMAC_256",
            policy=documents.identity_key(place, roles, deployers),
            deletion_window_in_days=settings.protection.key_window_days,
            opts=kept(settings, self),
        )
        aws.kms.Alias(
            "identity",
            name=f"alias/{settings.prefix}-identity",
            target_key_id=self.identity_key.key_id,
            opts=kept(settings, self),
        )
        self.table = aws.dynamodb.Table(
            "ledger",
            billing_mode="PAY_PER_REQUEST",
            hash_key="pk",
            range_key="sk",
            attributes=[
                {"name": "pk", "type": "S"},
                {"name": "sk", "type": "S"},
                {"name": "open_shard", "type": "S"},
            ],
            # Only open sessions carry the shard, so the reconciler reads nothing else.
            global_secondary_indexes=[
                {"name": OPEN_SESSIONS, "hash_key": "open_shard", "range_key": "pk", "projection_type": "ALL"}
            ],
            ttl={"attribute_name": TTL_ATTRIBUTE, "enabled": True},
            stream_enabled=True,
            stream_view_type="NEW_IMAGE",
            server_side_encryption={"enabled": True, "kms_key_arn": encryption_key.arn},
            # Erased rows stay restorable for so long; the declaration says so.
            point_in_time_recovery={
                "enabled": True,
                "recovery_period_in_days": settings.protection.point_in_time_days,
            },
            deletion_protection_enabled=settings.protection.deletion_protection,
            opts=kept(settings, self),
        )
        self.register_outputs({"table": self.table.name, "identityKeyArn": self.identity_key.arn})
