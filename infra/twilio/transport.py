"""How the plugin's requests travel to Twilio: paced, patient, to a movable endpoint, and without a word in any log.

Retrying and pacing live here and not around each call, because the official package raises a bare TwilioException
without a status when a *list* is refused (HTTP 429), while the transport sees every status alike.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]

from infra.provider import ProviderError

WORKERS: Final = 16
"""Requests in flight at once: 30 a second need six at 200 ms each; the rest is for bursts."""
TIMEOUT_SECONDS: Final = 30.0
WINDOW_SECONDS: Final = 5.25
"""Twilio counts over a sliding window of 5 s; a twentieth more, since the network may push requests together."""
WINDOW_REQUESTS: Final = 150
"""30 requests a second over the window; they may come in one burst. https://www.twilio.com/docs/proxy/proxy-limits"""
ATTEMPTS: Final = 5
ATTEMPTS_WHEN_THROTTLED: Final = 9
ATTEMPTS_WHEN_UNSENT: Final = 3
FIRST_DELAY_SECONDS: Final = 0.25
LONGEST_DELAY_SECONDS: Final = 10.0

_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


class InterruptedWaitError(ProviderError):
    """The engine asked the plugin to stop while it waited for Twilio."""

    def __init__(self) -> None:
        super().__init__("interrupted: what was done is recorded; run `pulumi up` again to go on")


class Clock:
    """Monotonic time, and a wait that `stop` (the engine's cancellation) ends; tests put their own in its place."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait; raise Interrupted as soon as the plugin has been told to stop."""
        if self._stop.wait(max(seconds, 0.0)):
            raise InterruptedWaitError


class Pace:
    """At most WINDOW_REQUESTS requests of one key in any WINDOW_SECONDS, none while Twilio asks for a pause."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turns: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW_REQUESTS))
        self._paused_until: defaultdict[str, float] = defaultdict(float)

    def take_turn(self, key: str) -> None:
        """Wait until a request of `key` may go out."""
        with self._lock:
            turns, now = self._turns[key], self._clock.now()
            turn = max(now, turns[0] + WINDOW_SECONDS) if len(turns) == WINDOW_REQUESTS else now
            turns.append(turn)
        while (delay := max(turn, self._paused_until[key]) - self._clock.now()) > 0:
            self._clock.wait(delay)

    def pause(self, key: str, seconds: float) -> None:
        """Let no request of `key` out for `seconds`: Twilio answered 429."""
        with self._lock:
            self._paused_until[key] = max(self._paused_until[key], self._clock.now() + seconds)


class Transport(TwilioHttpClient):  # type: ignore[misc]
    """The package's HTTP client, with a movable endpoint, pacing, a timeout, and retries of what is safe to repeat.

    A 429 was never processed, so every method repeats it. After a 5xx or a timeout only what may be done twice is
    repeated: GET, DELETE, and POST to an existing object (its path ends in a SID), never POST to a collection.
    """

    def __init__(self, endpoint: str | None, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        # The package logs each request's parameters, phone numbers among them: give it a logger that says nothing.
        silent = logging.getLogger(f"{__name__}.silent")
        silent.disabled = True
        super().__init__(timeout=TIMEOUT_SECONDS, logger=silent)
        self._endpoint = endpoint
        self._clock = clock
        self._pace = Pace(clock)
        self._jitter = jitter
        adapter = HTTPAdapter(pool_maxsize=WORKERS)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)
        # No HTTP proxy and no .netrc stands between us and this machine.
        self.session.trust_env = endpoint is None

    def request(
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Any:
        """Send one request, again where that is safe; return Twilio's last answer whatever its status.

        Raises requests.RequestException when no answer came.
        """
        key, twice = _pace_key(url), _safe_twice(method, url)
        attempt = 0
        while True:
            attempt += 1
            self._pace.take_turn(key)
            try:
                answer = super().request(
                    method, self._located(url), params, data, headers, auth, timeout, allow_redirects=allow_redirects
                )
            except requests.RequestException as error:
                if not (twice or _unsent(error)) or attempt >= (ATTEMPTS_WHEN_UNSENT if _unsent(error) else ATTEMPTS):
                    raise
                self._clock.wait(self._delay(attempt))
                continue
            if answer.status_code == 429 and attempt < ATTEMPTS_WHEN_THROTTLED:
                self._pace.pause(key, max(self._delay(attempt), _retry_after(answer.headers)))
            elif answer.status_code >= 500 and twice and attempt < ATTEMPTS:
                self._clock.wait(self._delay(attempt))
            else:
                return answer

    def _located(self, url: str) -> str:
        if self._endpoint is None:
            return url
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{self._endpoint}/{parts.netloc}{parts.path}{query}"

    def _delay(self, attempt: int) -> float:
        longest = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (attempt - 1))
        return float(longest * (0.5 + self._jitter() / 2))


def _pace_key(url: str) -> str:
    parts = urlsplit(url)
    sids = [segment for segment in parts.path.split("/") if segment.startswith("KS")]
    return "/".join([parts.netloc, *sids[:1]])


def _safe_twice(method: str, url: str) -> bool:
    last = urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1].removesuffix(".json")
    return method.upper() in {"GET", "DELETE"} or _SID.fullmatch(last) is not None


def _unsent(error: requests.RequestException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    return isinstance(error, requests.ConnectionError) and "NewConnectionError" in repr(error)


def _retry_after(headers: Any) -> float:
    try:
        return min(float((headers or {}).get("Retry-After") or 0), 3 * LONGEST_DELAY_SECONDS)
    except ValueError:
        return 0.0
