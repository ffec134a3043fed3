"""The Twilio credentials, from Secrets Manager."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parley.ports import Clock


MAX_AGE = timedelta(minutes=5)
"""How long credentials are used: whoever needs older ones waits for others."""

RENEWED_AT = timedelta(minutes=4)
"""From when on they are fetched anew beside the work, so that where webhooks come each minute none waits for that."""

MIN_AGE = timedelta(seconds=5)
"""How soon after one refusal another one may cause a fetch, so that forgeries cannot drive the bill."""


class SecretError(Exception):
    """The Twilio credentials cannot be had. The message never holds a part of them."""


class TwilioCredentials:
    """An API key for REST calls and the auth tokens that sign webhooks: two of them while one is rotated.

    `shared_keys` are the secrets of SharedKeys by their ids, where one signs instead. Not a dataclass: the intercept
    needs none, and `dataclasses` is a third of what it would import.
    """

    __slots__ = ("api_key", "api_secret", "auth_tokens", "shared_keys")

    def __init__(
        self, api_key: str, api_secret: str, auth_tokens: tuple[str, ...], shared_keys: Mapping[str, str] | None = None
    ) -> None:
        self.api_key, self.api_secret, self.auth_tokens = api_key, api_secret, auth_tokens
        self.shared_keys = shared_keys or {}

    def signing(self, key: str) -> tuple[str, ...]:
        """Return what a webhook may be signed with: the secret of the SharedKey that it names, or an auth token."""
        return tuple(filter(None, (self.shared_keys.get(key),))) if key else self.auth_tokens


class Secrets:
    """Fetches the credentials once, keeps them for a bounded time, and fetches anew when they may have changed.

    `beside` runs something while the caller goes on: in a thread unless given. One that Lambda stops with its execution
    environment goes on, or fails, with the next webhook.
    """

    def __init__(
        self, client: Any, arn: str, clock: Clock, beside: Callable[[Callable[[], None]], None] | None = None
    ) -> None:
        self._client = client
        self._arn = arn
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[datetime, TwilioCredentials] | None = None
        self._refreshed: datetime | None = None
        self._renewed: datetime | None = None
        self._beside = beside or _in_a_thread

    def get(self) -> TwilioCredentials:
        """Return the credentials, at most five minutes old. Raises SecretError."""
        with self._lock:
            now = self._clock.now()
            if self._kept is None or now - self._kept[0] >= MAX_AGE:
                self._kept = (now, self._fetch())
            since, credentials = self._kept
            due = now - since >= RENEWED_AT and (self._renewed is None or now - self._renewed >= MIN_AGE)
            if due:
                self._renewed = now
        if due:
            self._beside(lambda: self._renew(now))
        return credentials

    def _renew(self, began: datetime) -> None:
        try:
            fetched = self._fetch()
        except SecretError:
            return  # the kept ones are good for a minute more, in which others try
        with self._lock:
            if self._kept is None or self._kept[0] < began:  # what was fetched since is newer
                self._kept = (began, fetched)

    def refresh(self) -> TwilioCredentials:
        """Return the credentials, fetched anew unless a refusal caused that a moment ago. Raises SecretError.

        However young the kept ones are: they may have been fetched just before the rotation that had them refused.
        """
        with self._lock:
            now = self._clock.now()
            if self._kept is None or self._refreshed is None or now - self._refreshed >= MIN_AGE:
                self._refreshed = now
                self._kept = (now, self._fetch())
            return self._kept[1]

    def _fetch(self) -> TwilioCredentials:
        try:
            text = self._client.get_secret_value(SecretId=self._arn)["SecretString"]
        except Exception as error:  # noqa: BLE001 - boto3's, which is not imported where it does not ask
            raise SecretError(f"the Twilio secret cannot be read ({type(error).__name__})") from None
        try:
            raw = json.loads(text)
            tokens = tuple(filter(None, raw["auth_tokens"]))
            shared = {str(key): str(secret) for key, secret in dict(raw.get("shared_keys") or {}).items()}
            credentials = TwilioCredentials(raw["api_key"], raw["api_secret"], tokens, shared)
        except (KeyError, TypeError, ValueError):
            # Not chained: the error quotes the secret.
            raise SecretError(
                "the Twilio secret is not {api_key, api_secret, auth_tokens: […], shared_keys: {…}}"
            ) from None
        if not credentials.auth_tokens:
            raise SecretError("the Twilio secret has no auth token")
        return credentials


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()
