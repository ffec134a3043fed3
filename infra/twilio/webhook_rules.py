"""Twilio's Webhooks configuration API: Settings, the Rules that apply them by URL, and the operations of a Rule.

https://www.twilio.com/docs/usage/webhooks/webhook-configuration, a public beta. Rules change all over the world within
a minute: each change is an operation, which is waited for. What is repeated has the same idempotency key (a UUIDv7), so
that an answer that was lost makes nothing twice.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from infra.provider import ProviderError
from infra.twilio.client import TwilioError
from infra.twilio.transport import Clock

FIRST_POLL_SECONDS: Final = 0.5
POLL_SECONDS: Final = 4.0
"""How long to wait before an operation is looked at again: twice as long each time, so much at most."""
LONGEST_SECONDS: Final = 300.0
"""How long an operation is waited for: Twilio says 30 to 60 seconds."""

DONE: Final = "COMPLETED"
BROKEN: Final = frozenset({"FAILED", "CANCELLED"})

IN_USE: Final = 59100
"""Twilio's code for what cannot be deleted, since something refers to it (docs/api/errors/59100)."""
TAKEN: Final = 59103
"""Twilio's code for a Rule whose URL has one already (docs/api/errors/59103)."""

_T = TypeVar("_T")


class GivenUpError(ProviderError):
    """Twilio gave an operation up: nothing was changed by it."""


@dataclass(frozen=True)
class Setting:
    """A Setting as Twilio has it. `auth`, `signature` and `connection` are its own JSON, empty where it has none."""

    id: str
    name: str
    auth: Mapping[str, Any]
    signature: Mapping[str, Any]
    connection: Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """A Rule as Twilio has it: the URL that it matches, and the Settings that it sends webhooks by, the greatest first.

    `url` is a prefix if it ends in a slash, and empty for the default Rule.
    """

    id: str
    name: str
    url: str
    settings: tuple[str, ...]


class _Body:
    """The JSON of a request: the package's own classes send everything that is not given as null."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return self._fields


class WebhookRules:
    """The Settings and Rules of one account. Every method raises TwilioError.

    `rest` is the package's client, `told` names what is done where it fails, `found` returns None for what is gone.
    """

    def __init__(
        self,
        rest: Any,
        told: Callable[[str], AbstractContextManager[None]],
        found: Callable[[str, Callable[[], Any]], Any],
        clock: Clock,
    ) -> None:
        self._rest, self._told, self._found, self._clock = rest.webhooks.v1, told, found, clock

    def settings(self) -> list[Setting]:
        """Return the account's Settings, at most 50 (docs/api/errors/59200)."""
        with self._told("list the account's webhook Settings"):
            return [_setting(each) for each in self._rest.settings.stream(page_size=100)]

    def setting(self, id_: str) -> Setting | None:
        """Return a Setting, None when there is none."""
        found: Setting | None = self._found(
            f"read webhook Setting {id_}", lambda: _setting(self._rest.settings(id_).fetch())
        )
        return found

    def create_setting(self, fields: Mapping[str, Any]) -> Setting:
        """Make a Setting: but for its name nothing of it can be changed afterwards."""
        return self._keyed(
            "create the webhook Setting",
            lambda key: _setting(self._rest.settings.create(_Body(fields), idempotency_key=key)),
        )

    def rename_setting(self, id_: str, name: str) -> None:
        """Give a Setting another name."""
        with self._told(f"rename webhook Setting {id_}"):
            self._rest.settings(id_).patch(_Body({"friendlyName": name}))

    def delete_setting(self, id_: str) -> None:
        """Delete a Setting; well if it is gone."""
        self._found(f"delete webhook Setting {id_}", lambda: self._rest.settings(id_).delete())

    def rules(self) -> list[Rule]:
        """Return the account's Rules."""
        with self._told("list the account's webhook Rules"):
            return [_rule(each) for each in self._rest.rules.stream(page_size=100)]

    def rule(self, id_: str) -> Rule | None:
        """Return a Rule, None when there is none."""
        found: Rule | None = self._found(f"read webhook Rule {id_}", lambda: _rule(self._rest.rules(id_).fetch()))
        return found

    def create_rule(self, fields: Mapping[str, Any]) -> tuple[str, str]:
        """Make a Rule; return its id and that of the operation, which goes on."""
        made = self._keyed(
            "create the webhook Rule", lambda key: self._rest.rules.create(_Body(fields), idempotency_key=key)
        )
        return made.rule["id"], made.operation["id"]

    def change_rule(self, id_: str, fields: Mapping[str, Any]) -> str:
        """Change a Rule; return the id of the operation, which goes on."""
        changed = self._keyed(
            f"change webhook Rule {id_}", lambda key: self._rest.rules(id_).patch(_Body(fields), idempotency_key=key)
        )
        return str(changed.operation["id"])

    def delete_rule(self, id_: str) -> str | None:
        """Delete a Rule; return the id of the operation, which goes on, None if there is no such Rule."""
        headers = self._found(
            f"delete webhook Rule {id_}", lambda: self._rest.rules(id_).delete_with_http_info().headers
        )
        if headers is None:
            return None
        names = {name.lower(): value for name, value in headers.items()}
        return str(names["operation-id"])

    def wait(self, operation: str) -> None:
        """Wait until an operation is in force everywhere. Raises GivenUpError; ProviderError if it takes too long."""
        until, pause = self._clock.now() + LONGEST_SECONDS, FIRST_POLL_SECONDS
        while True:
            with self._told(f"read webhook operation {operation}"):
                found = self._rest.operations(operation).fetch()
            if found.status == DONE:
                return
            if found.status in BROKEN:
                raise GivenUpError(f"Twilio gave up changing the webhook Rule ({_why(found)}): run `pulumi up` again")
            if self._clock.now() >= until:
                raise ProviderError(
                    f"the webhook Rule is not in force everywhere after {LONGEST_SECONDS:.0f} seconds"
                    f" (operation {operation} is {found.status}): run `pulumi up` again to wait for it"
                )
            self._clock.wait(pause)
            pause = min(2 * pause, POLL_SECONDS)

    def _keyed(self, doing: str, send: Callable[[str], _T]) -> _T:
        """Send a request, and again with the same key where no good answer came."""
        key = str(uuid7())
        for last in (False, False, True):
            try:
                with self._told(doing):
                    return send(key)
            except TwilioError as error:
                if last or not error.lost:
                    raise
        raise AssertionError  # the last round returns or raises


def uuid7() -> uuid.UUID:
    """Return a UUID that begins with the time (RFC 9562, 5.7); Python has its own from 3.14 on."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    return uuid.UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def _setting(one: Any) -> Setting:
    return Setting(one.id, one.friendly_name or "", one.auth or {}, one.signature or {}, one.connection or {})


def _rule(one: Any) -> Rule:
    shares = sorted(one.settings or [], key=lambda each: -int(each["percentage"]))
    return Rule(
        one.id, one.friendly_name or "", one.prefix or one.value or "", tuple(each["settingId"] for each in shares)
    )


def _why(operation: Any) -> str:
    error = operation.error if isinstance(operation.error, Mapping) else {}
    return " ".join(str(part) for part in (error.get("code"), error.get("title")) if part) or operation.status
