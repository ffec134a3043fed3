"""What a handler works with, each made once in an execution environment and only when it is first needed."""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any

from parley.clock import SystemClock
from parley.env import Environment, from_environment

if TYPE_CHECKING:
    from parley.adapters.identity import Identities
    from parley.adapters.secrets import Secrets, TwilioCredentials
    from parley.ports import Carrier, Clock, Ledger


# At DEBUG the libraries quote whole requests and answers, secrets and numbers among them: whatever level the function
# is set to, they stay silent.
for _library in ("boto3", "botocore", "urllib3"):
    logging.getLogger(_library).setLevel(logging.WARNING)


@functools.cache
def environment() -> Environment:
    """Return the function's environment. Raises EnvironmentMismatchError."""
    return from_environment(os.environ)


@functools.cache
def clock() -> Clock:
    """Return the clock."""
    return SystemClock()


@functools.cache
def ledger() -> Ledger:
    """Return the ledger."""
    from parley.adapters.dynamodb import DynamoLedger  # noqa: PLC0415

    return DynamoLedger(_client("dynamodb"), environment().ledger_table, environment().keep_days, clock())


@functools.cache
def identities() -> Identities:
    """Return the maker of party keys."""
    from parley.adapters.identity import Identities  # noqa: PLC0415

    return Identities(_client("kms"), environment().identity_key)


@functools.cache
def secrets() -> Secrets:
    """Return the keeper of the Twilio credentials."""
    from parley.adapters.secrets import Secrets  # noqa: PLC0415

    return Secrets(_client("secretsmanager"), environment().twilio_secret, clock())


@functools.cache
def carrier() -> Carrier:
    """Return Twilio."""
    from parley.adapters.twilio import TwilioCarrier  # noqa: PLC0415

    env = environment()
    return TwilioCarrier(_credentials, env.twilio_account_sid, env.proxy_service_sid, env.twilio_endpoint)


def _credentials(renewed: bool) -> TwilioCredentials:
    return secrets().refresh() if renewed else secrets().get()


def _client(service: str) -> Any:
    """Return a boto3 client that gives up well before a webhook's sender does."""
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"})
    return boto3.client(service, config=config)  # type: ignore[call-overload]


def reset() -> None:
    """Forget everything that was made, so that the next use starts as a new execution environment does."""
    for made in (environment, clock, ledger, identities, secrets, carrier):
        made.cache_clear()
