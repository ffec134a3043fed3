"""The masked line: the numbers that people see of each other, and where their calls and texts go.

On `proxy` that is a Twilio Proxy service for each pool, whose webhooks ask the gate. On `direct` it is numbers that ask
the gate themselves, and a key under which the numbers of the people in a session are sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from infra import documents
from infra.options import component
from infra.settings import Numbers, Purchase, Settings
from infra.statements import Place
from infra.twilio.resources import (
    NumberOrder,
    NumberPool,
    NumberWebhooks,
    PoolNumber,
    Provider,
    ProxyService,
    WebhookSettings,
)
from infra.webhooks import WebhookDelivery

WEBHOOKS = "/twilio/"
"""What the paths of all webhooks begin with."""
CALLBACK = "/twilio/interaction"
INTERCEPT = "/twilio/intercept"
OUT_OF_SESSION = "/twilio/out-of-session"
CALL, MESSAGE, FALLBACK = "/twilio/call", "/twilio/message", "/twilio/fallback"


class MaskedLine(pulumi.ComponentResource):
    """What parties see of each other: numbers of a pool, chosen session by session.

    Every webhook points at the gate from the first moment, before the gate answers: nobody is connected outside of a
    session, and only the gate opens sessions, so until then a call or text ends at Twilio. `reaching` are the names of
    the roles that may open the sealed numbers of the people in a session, `opening` of those that seal them.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        place: Place,
        *,
        public_url: pulumi.Input[str],
        reaching: Sequence[str] = (),
        opening: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("parley:infra:MaskedLine", name, {}, component(settings, "communications", opts))
        account = settings.twilio
        self._settings = settings
        self._child = pulumi.ResourceOptions(
            parent=self,
            provider=Provider(
                "twilio",
                account_sid=account.account_sid,
                api_key=account.api_key,
                api_secret=pulumi.Output.secret(account.api_secret.value),
                endpoint=account.endpoint,
                opts=pulumi.ResourceOptions(parent=self),
            ),
        )
        self.services: tuple[ProxyService, ...] = ()
        self.key: aws.kms.Key | None = None
        pools = [(f"-{place}" if place > 1 else "", pool) for place, pool in enumerate(settings.pools, 1)]
        if settings.is_direct:
            self.key = self._sealing(place, reaching, opening)
            filled = [self._pointed(public_url, mark, pool).numbers for mark, pool in pools]
        else:
            self.services = tuple(self._proxy(public_url, mark) for mark, _ in pools)
            filled = [
                self._pool(service, mark, pool).numbers
                for service, (mark, pool) in zip(self.services, pools, strict=True)
            ]
        self.pools: tuple[pulumi.Output[list[PoolNumber]], ...] = tuple(filled)
        self.register_outputs({"serviceSids": [each.sid for each in self.services], "numbers": self.numbers})

    @property
    def numbers(self) -> pulumi.Output[list[PoolNumber]]:
        """The numbers of all pools."""
        return pulumi.Output.all(*self.pools).apply(lambda pools: [number for pool in pools for number in pool])

    @property
    def sids(self) -> tuple[pulumi.Input[str], ...]:
        """The SIDs at Twilio of what holds the copies of this stack: its Proxy services, or its account."""
        return tuple(each.sid for each in self.services) or (self._settings.twilio.account_sid,)

    def configure_webhooks(
        self, public_url: pulumi.Input[str], delivery: WebhookDelivery, gate: pulumi.Resource
    ) -> None:
        """Let Twilio send the gate's webhooks as declared, once the `gate` knows the key that signs them."""
        WebhookSettings(
            "gate-webhooks",
            name=self._settings.prefix,
            url=pulumi.Output.concat(public_url, WEBHOOKS),
            auth_profile_id=delivery.auth_profile_id,
            signature=delivery.signature,
            connection=delivery.connection or None,
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=[gate])),
        )

    def _proxy(self, public_url: pulumi.Input[str], mark: str) -> ProxyService:
        settings = self._settings
        return ProxyService(
            f"service{mark}",
            unique_name=f"{settings.prefix}{mark}",
            default_ttl=settings.session.ttl,
            callback_url=pulumi.Output.concat(public_url, CALLBACK),
            intercept_callback_url=pulumi.Output.concat(public_url, INTERCEPT),
            out_of_session_callback_url=pulumi.Output.concat(public_url, OUT_OF_SESSION),
            geo_match_level=settings.number_choice.geo_match,
            number_selection_behavior=settings.number_choice.selection,
            force_destroy=not settings.protection.retain,
            opts=self._child,
        )

    def _pool(self, service: ProxyService, mark: str, pool: Numbers) -> NumberPool:
        return NumberPool(
            f"numbers{mark}",
            service_sid=service.sid,
            force_destroy=not self._settings.protection.retain,
            **_wanted(pool),
            opts=self._instead_of("NumberWebhooks", f"webhooks{mark}"),
        )

    def _pointed(self, public_url: pulumi.Input[str], mark: str, pool: Numbers) -> NumberWebhooks:
        fallback = pulumi.Output.concat(public_url, FALLBACK)
        return NumberWebhooks(
            f"webhooks{mark}",
            voice_url=pulumi.Output.concat(public_url, CALL),
            voice_fallback_url=fallback,
            status_callback=pulumi.Output.concat(public_url, CALL, "/status"),
            sms_url=pulumi.Output.concat(public_url, MESSAGE),
            sms_fallback_url=fallback,
            **_wanted(pool),
            opts=self._instead_of("NumberPool", f"numbers{mark}"),
        )

    def _instead_of(self, kind: str, name: str) -> pulumi.ResourceOptions:
        """Say of which resource this one takes the numbers over when `parley:masking` changes: none is released."""
        former = pulumi.Alias(name=name, type_=f"parley:index:{kind}")
        return pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(aliases=[former]))

    def _sealing(self, place: Place, reaching: Sequence[str], opening: Sequence[str]) -> aws.kms.Key:
        """Make the key that seals the numbers of the people in a session, which the ledger then holds.

        Not protected as the keys of records are: it lasts as long as the masking does, and what it sealed ends with the
        sessions. So a stack can go back to Proxy, and return.
        """
        settings = self._settings
        key = aws.kms.Key(
            "line",
            description=f"{settings.prefix}: numbers of the people in a session, sealed for it",
            enable_key_rotation=True,
            policy=documents.line_key(place, reaching, opening),
            deletion_window_in_days=settings.protection.key_window_days,
            opts=self._child,
        )
        aws.kms.Alias("line", name=f"alias/{settings.prefix}-line", target_key_id=key.key_id, opts=self._child)
        return key


def _wanted(pool: Numbers) -> dict[str, Any]:
    """Return the numbers that the stack declares for a pool."""
    return {
        "adopt": pool.adopt,
        "buy": [order(purchase) for purchase in pool.buy],
        "reserved": pool.reserved,
        "release_on_delete": pool.release_on_delete,
    }


def order(purchase: Purchase) -> NumberOrder:
    """Return an order of the pool for numbers that the stack declares to buy."""
    made: NumberOrder = {
        "country": purchase.country,
        "type": purchase.type,
        "count": purchase.count,
        "capabilities": purchase.capabilities,
    }
    if purchase.area_code:
        made["area_code"] = purchase.area_code
    if purchase.address_sid:
        made["address_sid"] = purchase.address_sid
    if purchase.bundle_sid:
        made["bundle_sid"] = purchase.bundle_sid
    return made
