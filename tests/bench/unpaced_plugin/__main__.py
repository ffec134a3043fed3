"""The kit's plugin without Twilio's pace, and its peer: a resource for each number, as providers have it elsewhere."""

from __future__ import annotations

from typing import Any

from infra.provider import Live, Properties, Resource, serve, table
from infra.twilio import transport
from infra.twilio.client import Account
from infra.twilio.number_pool import NumberPool
from infra.twilio.plugin import Parley
from infra.twilio.proxy_service import ProxyService


class Number(Resource[Account]):
    """One number of a Proxy service."""

    token = "parley:index:Number"
    inputs = frozenset({"serviceSid", "sid", "reserved"})
    replaces = frozenset({"serviceSid", "sid"})

    def create(self, ctx: Account, inputs: Properties, /) -> tuple[str, Properties]:
        """Put the number into the service."""
        number = ctx.add(inputs["serviceSid"], inputs["sid"], reserved=inputs["reserved"])
        return number.sid, dict(inputs)

    def read(self, ctx: Account, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the number."""
        del inputs
        found = ctx.pool_number((state or {})["serviceSid"], id_)
        return None if found is None else Live(dict(state or {}), dict(state or {}))

    def delete(self, ctx: Account, id_: str, state: Properties, /) -> None:
        """Take the number out of the service."""
        ctx.remove(state["serviceSid"], id_)


class Unpaced(Parley):
    """Both ways, for the engine's part of the work alone."""

    resources = table(ProxyService(), NumberPool(), Number())

    def check(self, resource: Resource[Any], inputs: Properties, *arguments: Any) -> Any:
        """Let the peer's resource be checked by nobody."""
        return (inputs, []) if isinstance(resource, Number) else super().check(resource, inputs, *arguments)


transport.WINDOW_REQUESTS = 10**6  # type: ignore[misc]
serve(Unpaced())
