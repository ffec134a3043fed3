"""The Twilio credentials: fetched once, kept for a bounded time, and fetched anew before anybody waits for that."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from parley.adapters.secrets import MAX_AGE, MIN_AGE, RENEWED_AT, SecretError, Secrets

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


class Vault:
    """Secrets Manager and the clock: each fetch answers the next token."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.fetched = 0
        self.fails = False
        self.later: list[Callable[[], None]] = []

    def now(self) -> datetime:
        """Return the time."""
        return self.time

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        """Answer the secret."""
        self.fetched += 1
        if self.fails:
            raise OSError("nothing answers")
        secret = {"api_key": "SK", "api_secret": "s", "auth_tokens": [f"token-{self.fetched}"]}
        return {"SecretString": json.dumps(secret)}

    def after(self, passed: timedelta) -> None:
        """Let time pass."""
        self.time += passed


@pytest.fixture
def vault() -> Vault:
    """Give a vault."""
    return Vault()


def kept(vault: Vault, beside: Callable[[Callable[[], None]], None] | None = None) -> Secrets:
    """Return a keeper that leaves what it does beside for later, unless given otherwise."""
    return Secrets(vault, "arn", vault, beside or vault.later.append)


def test_nobody_waits_while_webhooks_come(vault: Vault) -> None:
    """With a webhook each half minute only the first one waits for a fetch, and none has credentials over their age."""
    secrets = kept(vault, lambda work: work())
    tokens = []
    for _ in range(40):
        tokens.append(secrets.get().auth_tokens[0])
        vault.after(30 * SECOND)
    assert tokens[0] == "token-1"
    assert vault.fetched == 1 + (40 * 30 - 1) // int((RENEWED_AT + 30 * SECOND).total_seconds())
    assert max(tokens.count(each) for each in set(tokens)) * 30 * SECOND <= MAX_AGE


def test_old_ones_are_waited_for(vault: Vault) -> None:
    """Where no webhook came for five minutes the next one has fresh credentials, or none."""
    secrets = kept(vault)
    secrets.get()
    vault.after(MAX_AGE)
    assert secrets.get().auth_tokens == ("token-2",)
    vault.after(MAX_AGE)
    vault.fails = True
    with pytest.raises(SecretError):
        secrets.get()
    assert vault.later == []


def test_kept_ones_are_used_until_new_ones_are_there(vault: Vault) -> None:
    """What is fetched beside counts once it is there; meanwhile one fetch is enough for all."""
    secrets = kept(vault)
    secrets.get()
    vault.after(RENEWED_AT)
    assert [secrets.get().auth_tokens for _ in range(3)] == [("token-1",)] * 3
    (renew,) = vault.later
    renew()
    assert secrets.get().auth_tokens == ("token-2",)


def test_failure_beside_is_nobodys(vault: Vault) -> None:
    """A fetch beside that fails is tried again by a later webhook, and the kept credentials go on counting."""
    secrets = kept(vault, lambda work: work())
    secrets.get()
    vault.after(RENEWED_AT)
    vault.fails = True
    assert secrets.get().auth_tokens == secrets.get().auth_tokens == ("token-1",)
    assert vault.fetched == 2
    vault.after(MIN_AGE)
    vault.fails = False
    secrets.get()
    assert secrets.get().auth_tokens == ("token-3",)


def test_older_ones_never_come_back(vault: Vault) -> None:
    """What a refusal had fetched anew stays, when a fetch that began before it ends after it."""
    secrets = kept(vault)
    secrets.get()
    vault.after(RENEWED_AT)
    secrets.get()
    vault.after(SECOND)
    assert secrets.refresh().auth_tokens == ("token-2",)
    (renew,) = vault.later
    renew()
    assert secrets.get().auth_tokens == ("token-2",)


def test_beside_is_another_thread(vault: Vault) -> None:
    """Unless told otherwise a thread of its own fetches, which keeps no process alive."""
    secrets, seen = Secrets(vault, "arn", vault), threading.Event()
    secrets.get()
    vault.after(RENEWED_AT)
    ask, threads = vault.get_secret_value, []

    def asked(**arguments: Any) -> dict[str, str]:
        """Note who asks."""
        threads.append(threading.current_thread())
        seen.set()
        return ask(**arguments)

    vault.get_secret_value = asked  # type: ignore[method-assign]
    secrets.get()
    assert seen.wait(5)
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon
