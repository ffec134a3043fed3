"""Requests to Twilio's REST API over urllib3: credentials that rotate, repeats that do no harm, pages, and media."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3.util import Retry, Timeout, make_headers

from parley.adapters.secrets import TwilioCredentials
from parley.ports import CarrierError

API = "api.twilio.com"
PROXY = "proxy.twilio.com"
MONITOR = "monitor.twilio.com"
VOICE = "voice.twilio.com"
VIDEO = "video.twilio.com"
CONVERSATIONS = "conversations.twilio.com"

TIMEOUT = Timeout(connect=2.0, read=5.0)
URGENT_TIMEOUT = Timeout(connect=1.0, read=2.0)
"""Seconds, for work that stands between a webhook and its answer."""
MEDIA_TIMEOUT = Timeout(connect=2.0, read=30.0)
"""Seconds without a byte after which a download has failed."""

CONNECTIONS = 8
"""Kept open to each host: what asks several things at once does so over as many."""

MEDIA_HOSTS = (".twilio.com", ".twiliocdn.com", ".amazonaws.com")
"""Where Twilio sends on who fetches media: never with our credentials, and never anywhere else."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
REDIRECTS_LIMIT = 3

BACKOFF = 0.1
_FAULTS = (429, 500, 502, 503, 504)


class TwilioApi:
    """Twilio's REST API for one account.

    `credentials` is asked before each request, with True after Twilio refused the last ones. `endpoint` replaces
    Twilio's own hosts, for the one-machine cloud. `backoff` is urllib3's factor, in seconds. `connections` is how many
    are kept open to each host.
    """

    def __init__(
        self,
        credentials: Callable[[bool], TwilioCredentials],
        account_sid: str,
        endpoint: str | None = None,
        backoff: float = BACKOFF,
        *,
        connections: int = CONNECTIONS,
    ) -> None:
        self._credentials = credentials
        self._account_sid = account_sid
        self._endpoint = endpoint
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False, maxsize=connections)
        # Safe to repeat: reads, and what may have been done already.
        self.repeatable = Retry(
            total=3,
            status_forcelist=_FAULTS,
            allowed_methods=None,
            backoff_factor=backoff,
            backoff_jitter=backoff,
            redirect=False,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        # Not safe to repeat once Twilio may have begun: only what was never sent or never processed (429).
        self._once = self.repeatable.new(read=0, other=0, status_forcelist=(429,))
        self.never = Retry(total=0, redirect=False, raise_on_status=False)

    @property
    def root(self) -> str:
        """The path of the account's resources in the old API."""
        return f"/2010-04-01/Accounts/{self._account_sid}"

    def read(self, operation: str, host: str, path: str) -> dict[str, Any]:
        """Return one resource as Twilio answers it. Raises CarrierError."""
        return self.request(operation, "GET", host, path, retries=self.repeatable)

    def found(self, operation: str, host: str, path: str) -> dict[str, Any] | None:
        """Return one resource as Twilio answers it, None if it is gone. Raises CarrierError."""
        try:
            return self.read(operation, host, path)
        except CarrierError as error:
            if error.status == 404:
                return None
            raise

    def entries(
        self, operation: str, host: str, path: str, query: Mapping[str, str], key: str
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list as Twilio answers them, page by page. Raises CarrierError."""
        return self.pages(operation, host, path, query, key)

    def patience(self, urgent: bool) -> dict[str, Any]:
        """Return how long a safe request may take and how often it is repeated."""
        if urgent:
            return {"retries": self.never, "timeout": URGENT_TIMEOUT}
        return {"retries": self.repeatable, "timeout": TIMEOUT}

    def pages(
        self,
        operation: str,
        host: str,
        path: str,
        query: Mapping[str, str],
        key: str,
        *,
        urgent: bool = False,
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list, page by page."""
        text = urlencode(query)
        while True:
            page = self.request(operation, "GET", host, f"{path}?{text}", **self.patience(urgent))
            yield from page.get(key, [])
            following = (page.get("meta") or {}).get("next_page_url") or page.get("next_page_uri")
            if not following:
                return
            # Only the query is taken: a page must not be able to send the credentials to another host.
            text = urlsplit(following).query

    def request(
        self,
        operation: str,
        method: str,
        host: str,
        path: str,
        fields: Sequence[tuple[str, str]] = (),
        *,
        retries: Retry | None = None,
        timeout: Timeout = TIMEOUT,
    ) -> dict[str, Any]:
        """Send a request and return the JSON object of its answer. Raises CarrierError."""
        url = f"{self._endpoint or 'https:/'}/{host}{path}"
        status, raw = 0, {}
        for renewed in (False, True):
            credentials = self._credentials(renewed)
            headers = make_headers(basic_auth=f"{credentials.api_key}:{credentials.api_secret}")
            body = None
            if fields:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                body = urlencode(fields)
            try:
                answer = self._pool.request(
                    method, url, body=body, headers=headers, retries=retries or self._once, timeout=timeout
                )
            except urllib3.exceptions.HTTPError:
                # Not chained: the error quotes the URL and with it the account.
                raise CarrierError(operation) from None
            status, raw = answer.status, _json_object(answer.data)
            if status != 401:
                break
        if not 200 <= status < 300:
            code = raw.get("code")
            raise CarrierError(operation, status, code if isinstance(code, int) else 0)
        return raw

    @contextmanager
    def stream(self, operation: str, host: str, path: str) -> Iterator[urllib3.BaseHTTPResponse]:
        """Open a media file for reading piece by piece; what is not read is given up at the end.

        Where Twilio sends on to a store of its own, that is followed without credentials, within `MEDIA_HOSTS` only.
        Raises CarrierError; so does `media_pieces`, when the file breaks off.
        """
        url = f"{self._endpoint or 'https:/'}/{host}{path}"
        answer = self._open(operation, url, authorized=True)
        try:
            for _ in range(REDIRECTS_LIMIT):
                if answer.status not in REDIRECTS:
                    break
                url = urljoin(url, answer.headers.get("Location", ""))
                answer.release_conn()
                self._check_host(operation, url)
                answer = self._open(operation, url, authorized=False)
            if answer.status != 200:
                raise CarrierError(operation, answer.status)
            yield answer
        finally:
            answer.close()
            answer.release_conn()

    def _open(self, operation: str, url: str, *, authorized: bool) -> urllib3.BaseHTTPResponse:
        answer: urllib3.BaseHTTPResponse | None = None
        for renewed in (False, True):
            headers: dict[str, str] = {}
            if authorized:
                credentials = self._credentials(renewed)
                headers = make_headers(basic_auth=f"{credentials.api_key}:{credentials.api_secret}")
            try:
                answer = self._pool.request(
                    "GET",
                    url,
                    headers=headers,
                    retries=self.repeatable,
                    timeout=MEDIA_TIMEOUT,
                    preload_content=False,
                    decode_content=False,
                    redirect=False,
                )
            except urllib3.exceptions.HTTPError:
                # Not chained: the error quotes the URL and with it the account.
                raise CarrierError(operation) from None
            if answer.status != 401 or not authorized:
                return answer
            if not renewed:
                answer.release_conn()
        assert answer is not None  # noqa: S101 - the loop ran
        return answer

    def _check_host(self, operation: str, url: str) -> None:
        parts = urlsplit(url)
        if self._endpoint and parts.netloc == urlsplit(self._endpoint).netloc:
            return
        if parts.scheme != "https" or not f".{parts.hostname or ''}".endswith(MEDIA_HOSTS):
            raise CarrierError(operation)


def media_pieces(operation: str, answer: urllib3.BaseHTTPResponse, size: int) -> Iterator[bytes]:
    """Yield an opened file in pieces of `size` bytes, the last one shorter. Raises CarrierError if it breaks off."""
    try:
        while piece := answer.read(size):
            yield piece
    except urllib3.exceptions.HTTPError:
        raise CarrierError(operation) from None


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data) if data else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
