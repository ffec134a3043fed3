"""The REST surface: one module for each product, each a table of routes over the carrier."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from werkzeug.routing import Map, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.datastructures import MultiDict

    from local.twilio.carrier import Carrier
    from local.twilio.simulator import Simulator
    from local.twilio.state import Account

Answer = tuple[int, dict[str, Any] | None]
"""HTTP status and JSON body; no body for 204."""


@dataclass(slots=True)
class Exchange:
    """One authenticated REST call: who calls, and what was sent. `path` is as the client wrote it."""

    carrier: Carrier
    simulator: Simulator
    account: Account
    path: str
    query: dict[str, str]
    fields: MultiDict[str, str]

    @property
    def form(self) -> dict[str, str]:
        """The form with one value for each field."""
        return self.fields.to_dict()


Handler = TypeVar("Handler", bound="Callable[..., Answer]")


class Routes:
    """The routes of one product host."""

    def __init__(self, product: str) -> None:
        self.product = product
        self.rules: list[Rule] = []

    def add(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Register a handler for a method and a path with `<placeholders>`."""

        def register(handler: Handler) -> Handler:
            self.rules.append(Rule(f"/{self.product}{path}", methods=[method], endpoint=handler))
            return handler

        return register


@cache
def url_map() -> Map:
    """Return every route of every product; werkzeug binds a rule to one map, so all emulators share it."""
    from local.twilio.routes import accounts, api, monitor, proxy, voice  # noqa: PLC0415 - they import this module

    tables = (accounts.ROUTES, api.ROUTES, monitor.ROUTES, proxy.ROUTES, voice.ROUTES)
    return Map([rule for table in tables for rule in table.rules], strict_slashes=False, merge_slashes=False)
