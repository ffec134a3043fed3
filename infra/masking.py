"""The masked line: the Twilio Proxy service with its webhooks, and the pool of masked numbers."""

from __future__ import annotations

import pulumi

from infra.options import component
from infra.settings import Purchase, Settings
from infra.twilio.resources import NumberOrder, NumberPool, Provider, ProxyService

CALLBACK = "/twilio/interaction"
INTERCEPT = "/twilio/intercept"
OUT_OF_SESSION = "/twilio/out-of-session"


class MaskedLine(pulumi.ComponentResource):
    """What parties see of each other: numbers of a pool, chosen by Proxy session by session.

    Every webhook points at the gate from the first moment, before the gate answers: Proxy connects nobody outside a
    session, and only the gate opens sessions, so until then a call or text ends at Twilio.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        public_url: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("parley:infra:MaskedLine", name, {}, component(settings, "communications", opts))
        account = settings.twilio
        child = pulumi.ResourceOptions(
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
        self.service = ProxyService(
            "service",
            unique_name=settings.prefix,
            default_ttl=settings.session.ttl,
            callback_url=pulumi.Output.concat(public_url, CALLBACK),
            intercept_callback_url=pulumi.Output.concat(public_url, INTERCEPT),
            out_of_session_callback_url=pulumi.Output.concat(public_url, OUT_OF_SESSION),
            geo_match_level=settings.number_choice.geo_match,
            number_selection_behavior=settings.number_choice.selection,
            force_destroy=not settings.protection.retain,
            opts=child,
        )
        self.pool = NumberPool(
            "numbers",
            service_sid=self.service.sid,
            adopt=settings.numbers.adopt,
            buy=[order(purchase) for purchase in settings.numbers.buy],
            reserved=settings.numbers.reserved,
            release_on_delete=settings.numbers.release_on_delete,
            force_destroy=not settings.protection.retain,
            opts=child,
        )
        self.register_outputs({"serviceSid": self.service.sid, "numbers": self.pool.numbers})


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
