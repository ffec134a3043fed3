"""The REST surface: one module for each product, each a table of routes over the carrier."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from werkzeug.routing import Map, Rule

from local.twilio.content import Content
from local.twilio.errors import TwilioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.datastructures import MultiDict

    from local.twilio.carrier import Carrier
    from local.twilio.chat import Chat
    from local.twilio.simulator import Simulator
    from local.twilio.state import Account


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where to go on: a path of the same product, with its query."""

    link: str


@dataclass(frozen=True, slots=True)
class Headed:
    """A JSON body with headers of its own."""

    body: dict[str, Any] | None
    headers: dict[str, str]


Answer = tuple[int, dict[str, Any] | Content | Redirect | Headed | None]
"""HTTP status and JSON body, file or redirect; no body for 204."""


@dataclass(slots=True)
class Exchange:
    """One authenticated REST call: who calls, and what was sent. `path` is as the client wrote it."""

    carrier: Carrier
    simulator: Simulator
    account: Account
    path: str
    arguments: MultiDict[str, str]
    fields: MultiDict[str, str]
    raw: bytes
    chat: Chat
    webhook_enabled: bool
    """Whether the client wants the webhooks of an action that otherwise only apps have (X-Twilio-Webhook-Enabled)."""
    idempotency_key: str | None
    operation_failure: int | None
    """The error code with which a fault lets the operation fail that this call begins."""

    @property
    def query(self) -> dict[str, str]:
        """The query with one value for each name, the last one."""
        return {name: values[-1] for name, values in self.arguments.lists()}

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object that was sent instead of a form. Raises TwilioError 20001."""
        try:
            sent = json.loads(self.raw or b"{}")
        except ValueError:
            raise TwilioError(20001, "the body must be JSON") from None
        if not isinstance(sent, dict):
            raise TwilioError(20001, "the body must be a JSON object")
        return sent

    @property
    def form(self) -> dict[str, str]:
        """The form with one value for each field."""
        return self.fields.to_dict()


Handler = TypeVar("Handler", bound="Callable[..., Answer]")


TABLES: Final = (
    "accounts",
    "api",
    "conversations",
    "events",
    "iam",
    "messaging",
    "monitor",
    "proxy",
    "recordings",
    "video",
    "voice",
    "webhooks",
)
"""The modules with routes."""
UNLOCKED: Final[set[Callable[..., Answer]]] = set()
"""The handlers that take the carrier's lock themselves."""


class Routes:
    """The routes of one product host."""

    def __init__(self, product: str) -> None:
        self.product = product
        self.rules: list[Rule] = []

    def add(self, method: str, path: str, *, locked: bool = True) -> Callable[[Handler], Handler]:
        """Register a handler for a method and a path with `<placeholders>`.

        It is called with the carrier's lock held, unless `locked` is False: then it waits for webhooks.
        """

        def register(handler: Handler) -> Handler:
            if not locked:
                UNLOCKED.add(handler)
            self.rules.append(Rule(f"/{self.product}{path}", methods=[method], endpoint=handler))
            return handler

        return register


@cache
def url_map() -> Map:
    """Return every route of every product; werkzeug binds a rule to one map, so all emulators share it."""
    # By name, since they import this module.
    tables = [import_module(f"{__name__}.{name}").ROUTES for name in TABLES]
    rules = [rule for table in tables for rule in table.rules]
    return Map(rules, strict_slashes=False, merge_slashes=False)
