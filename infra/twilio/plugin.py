"""The provider `parley`: its configuration, its resource types, its schema."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra import provider
from infra.provider import UNKNOWN, CheckFailure, Diff, Naming, Properties, ProviderError, Resource
from infra.twilio import rules
from infra.twilio.client import Account, is_loopback
from infra.twilio.event_sink import EventSink
from infra.twilio.functions import FUNCTIONS
from infra.twilio.messaging_service import MessagingService
from infra.twilio.number_pool import NumberPool
from infra.twilio.number_webhooks import NumberWebhooks
from infra.twilio.proxy_service import ProxyService
from infra.twilio.transport import Clock
from infra.twilio.webhook_settings import WebhookSettings

ENDPOINT_VARIABLE: Final = "PARLEY_TWILIO_ENDPOINT"
"""Environment variable with the endpoint, where the configuration gives none."""
_KEYS: Final = {
    "accountSid": "twilioAccountSid",
    "apiKey": "twilioApiKey",
    "apiSecret": "twilioApiSecret",
    "endpoint": "twilioEndpoint",
}
"""Input of the provider -> key of the stack's `parley:` configuration.

The package has the name of the project, so that the default provider (that of `pulumi import`, for one) is given the
project's whole configuration: it takes these four keys and leaves the rest.
"""
_COMMANDS: Final = {
    "accountSid": "pulumi config set parley:twilioAccountSid AC…",
    "apiKey": "pulumi config set parley:twilioApiKey SK…",
    "apiSecret": "pulumi config set --secret parley:twilioApiSecret",
}


class Parley(provider.Provider):
    """The Pulumi provider for Twilio Proxy. Its resources' context is a client of one Twilio account."""

    name = "parley"
    version = "0.1.0"
    invokes = FUNCTIONS
    resources = provider.table(
        ProxyService(), NumberPool(), NumberWebhooks(), MessagingService(), EventSink(), WebhookSettings()
    )

    def schema(self) -> dict[str, Any]:
        """Return the package schema, kept in `schema.json`."""
        return rules.package()

    def check_config(self, config: Properties, old: Properties) -> tuple[Properties, list[CheckFailure]]:
        """Take the four keys, under the provider's names or the stack's; one message for each that is not right."""
        del old
        taken = {name: config.get(name, config.get(key)) for name, key in _KEYS.items()}
        taken = {name: value for name, value in taken.items() if value is not None and value != ""}
        return taken, list(_config_problems(taken))

    def diff_config(self, old: Properties, new: Properties) -> Diff:
        """Another account means other resources; another key, secret or endpoint does not."""
        return provider.compare(old, new, {"accountSid"})

    def configure(self, config: Properties) -> Account:
        """Make the client; asks nothing of Twilio yet."""
        taken, failures = self.check_config(config, {})
        if failures:
            raise ProviderError("; ".join(map(str, failures)))
        endpoint = taken.get("endpoint") or os.environ.get(ENDPOINT_VARIABLE) or None
        if endpoint is not None and not is_loopback(endpoint):
            raise ProviderError(
                f"{ENDPOINT_VARIABLE} is for this machine only, such as http://127.0.0.1:8081: unset it"
            )
        return Account(
            sid=taken["accountSid"],
            api_key=taken["apiKey"],
            api_secret=taken["apiSecret"],
            endpoint=endpoint.rstrip("/") if endpoint else None,
            clock=Clock(self.cancelled),
        )

    def check(
        self, resource: Resource[Any], inputs: Properties, old_inputs: Properties, naming: Naming
    ) -> tuple[Properties, list[CheckFailure]]:
        """Check a resource's inputs with the account at hand, so that a number nobody owns fails in the preview."""
        del naming
        if not isinstance(resource, ProxyService | NumberPool | MessagingService | EventSink | WebhookSettings):
            raise TypeError(f"no checks for {type(resource).__name__}")
        return resource.check_for(self.ctx, inputs, old_inputs)


def _config_problems(config: Mapping[str, Any]) -> Iterator[CheckFailure]:
    for name, command in _COMMANDS.items():
        if name not in config:
            yield CheckFailure(name, f"parley:{_KEYS[name]} is missing: run `{command}`")
    for name, prefix, what in (("accountSid", "AC", "account"), ("apiKey", "SK", "API key")):
        value = config.get(name)
        if value is not None and value is not UNKNOWN and not rules.is_sid(str(value), prefix):
            yield CheckFailure(
                name,
                f"parley:{_KEYS[name]} is no SID of an {what} ({prefix} and 32 hexadecimal digits):"
                f" run `{_COMMANDS[name]}`",
            )
    endpoint = config.get("endpoint")
    if endpoint is not None and endpoint is not UNKNOWN and not is_loopback(str(endpoint)):
        yield CheckFailure(
            "endpoint",
            "parley:twilioEndpoint is for a Twilio on this machine, such as http://127.0.0.1:8081: remove it with"
            " `pulumi config rm parley:twilioEndpoint` to use the real one",
        )
