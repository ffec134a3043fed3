"""The official `twilio` package against the emulator: an HttpClient that sends every product's host to one endpoint."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]


class EndpointHttpClient(TwilioHttpClient):  # type: ignore[misc]
    """Rewrites `https://proxy.twilio.com/v1/...` to `{endpoint}/proxy.twilio.com/v1/...`, next pages included."""

    def __init__(self, endpoint: str, *, timeout: float = 30.0) -> None:
        super().__init__(timeout=timeout)
        self._endpoint = endpoint.rstrip("/")

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        """Send a request to the endpoint instead of Twilio."""
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return super().request(method, f"{self._endpoint}/{parts.hostname}{parts.path}{query}", *args, **kwargs)

    def close(self) -> None:
        """Close the connections."""
        if self.session is not None:
            self.session.close()


def connect(endpoint: str, username: str, password: str, account_sid: str | None = None) -> Client:
    """Return a `twilio.rest.Client` for the emulator at `endpoint`; close its `http_client` when done."""
    return Client(username, password, account_sid, http_client=EndpointHttpClient(endpoint))
