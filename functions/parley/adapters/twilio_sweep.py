"""Many requests to Twilio beside one another, no more than it takes, and its lists one page at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Condition, Lock
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager
from urllib3.util import Retry, Timeout

from parley.adapters.twilio_api import API, PROXY, TIMEOUT, VIDEO
from parley.adapters.twilio_records import TwilioRecords
from parley.core.limiter import CEILING, Limit
from parley.core.records import ResourceKind
from parley.ports import CarrierError, Clock, Ledger, LedgerError

TOO_MANY: Final = 429
ATTEMPTS: Final = 10
"""How often a request is sent that Twilio refuses for too many at once."""
PAUSE_SECONDS: Final = 2.0
"""How long a request rests at the most after such a refusal."""
SHARE_SECONDS: Final = 3.0
"""How often a worker holds its limit of requests against that of the others."""
IDLE_SECONDS: Final = 0.5
"""How long a request without a place waits until it looks again, if nobody wakes it."""
_FAULTS: Final = (500, 502, 503, 504)


class Places:
    """As many places for requests in flight as all workers keep to (`parley.core.limiter`), shared over the ledger.

    `name` is the part of Twilio that they are at. `sleep` waits, in seconds.
    """

    def __init__(self, ledger: Ledger, clock: Clock, name: str, sleep: Callable[[float], object] = time.sleep) -> None:
        self._ledger, self._clock, self._name, self._sleep = ledger, clock, name, sleep
        self._change = Condition()
        self._sharing = Lock()
        self._shared_at = float("-inf")
        self._limit = Limit()
        self._taken = 0

    def take(self) -> None:
        """Wait for a place and take it."""
        self._share()
        with self._change:
            while self._taken >= self._limit.whole:
                self._change.wait(IDLE_SECONDS)
            self._taken += 1

    def give_back(self) -> None:
        """Leave a place to whoever waits for one."""
        with self._change:
            self._taken -= 1
            self._change.notify()

    def refuse(self, attempt: int) -> None:
        """Note that Twilio refused a request for the `attempt`th time, counted from 0, and rest a while."""
        with self._change:
            before, self._limit = self._limit, self._limit.refused(self._clock.now())
            if self._limit != before:
                self._shared_at = float("-inf")  # the others have to hear of it
        self._sleep(random.random() * min(PAUSE_SECONDS, 0.1 * 2**attempt))  # noqa: S311 - no secret

    def _share(self) -> None:
        """Take over what others found of the limit, and tell them what this worker found, every few seconds.

        While the ledger cannot be asked, each worker goes by what it found itself.
        """
        if time.monotonic() - self._shared_at < SHARE_SECONDS or not self._sharing.acquire(blocking=False):
            return
        try:
            self._shared_at = time.monotonic()
            now = self._clock.now()
            kept = self._ledger.request_limit(self._name)
            with self._change:
                mine = self._limit = self._limit.grown(now).heeding(kept.grown(now))
                self._change.notify_all()
            if mine.refused_at is not None:
                self._ledger.set_request_limit(self._name, kept, mine)
        except LedgerError:
            return
        finally:
            self._sharing.release()


class _Hosts(PoolManager):
    """Connections to a few hosts, found again by the beginning of a URL.

    urllib3 parses and normalizes each URL several times to find its host, a quarter of what a small request costs.
    """

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self._found: dict[str, HTTPConnectionPool] = {}

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = False, **named: Any
    ) -> BaseHTTPResponse:
        """Send a request over a connection to the host of an absolute URL."""
        end = url.index("/", len("https://"))
        pool = self._found.get(url[:end])
        if pool is None:
            pool = self._found[url[:end]] = self.connection_from_url(url[:end])
        return pool.urlopen(method, url[end:], redirect=redirect, assert_same_host=False, **named)


class TwilioSweep(TwilioRecords):
    """What Twilio holds of conversations, for many requests at once, each in one of the `places`.

    Proxy has a rate of its own (30 a second for each endpoint of a service,
    https://www.twilio.com/docs/proxy/proxy-limits), so it has places of its own, `proxy_places`.
    A refusal with status 429 frees the place, slows all workers down, and the request is sent again: it was never
    processed (https://www.twilio.com/docs/api/errors/20429). Every method raises CarrierError.
    """

    def __init__(self, *arguments: Any, places: Places, proxy_places: Places, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._pool = _Hosts(timeout=TIMEOUT, retries=False, maxsize=CEILING)
        self._places, self._proxy_places = places, proxy_places
        self.repeatable = self.repeatable.new(status_forcelist=_FAULTS)

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
        """Send a request when there is a place for it, and return the JSON object of its answer."""
        places = self._proxy_places if host == PROXY else self._places
        for attempt in range(ATTEMPTS):
            places.take()
            try:
                return super().request(
                    operation, method, host, path, fields, retries=retries or self.repeatable, timeout=timeout
                )
            except CarrierError as error:
                if error.status != TOO_MANY:
                    raise
            finally:
                places.give_back()
            places.refuse(attempt)
        raise CarrierError(operation, TOO_MANY)

    def page(
        self, kind: ResourceKind, query: Mapping[str, str] | str, parent: str = ""
    ) -> tuple[list[Mapping[str, Any]], str]:
        """Return one page of a kind as Twilio answers it, and the query of the next one, "" if there is none.

        `parent` is what they are found below; `query` is filters, or what an earlier page returned. The sessions of all
        services are one list; past the first its queries begin with the service's SID and a semicolon.
        """
        text = query if isinstance(query, str) else urlencode(query)
        if kind is ResourceKind.SESSION:
            return self._page_of_sessions(text)
        return self._page(kind, text, parent)

    def _page_of_sessions(self, text: str) -> tuple[list[Mapping[str, Any]], str]:
        service, _, rest = text.rpartition(";")
        # A service that the stack has no more has no sessions either: its walk begins anew.
        place = self.services.index(service) if service in self.services else 0
        entries, following = self._page(ResourceKind.SESSION, rest, self.services[place])
        for entry in entries:
            self.remember(str(entry["sid"]), self.services[place])
        if following or place + 1 == len(self.services):
            return entries, f"{service};{following}" if service and following else following
        size = dict(parse_qsl(rest)).get("PageSize", "")
        return entries, f"{self.services[place + 1]};PageSize={size}"

    def _page(self, kind: ResourceKind, text: str, parent: str) -> tuple[list[Mapping[str, Any]], str]:
        host, path, key = self._collection(kind, parent)
        page = self.request(f"list-{kind}", "GET", host, f"{path}?{text}", retries=self.repeatable)
        following = (page.get("meta") or {}).get("next_page_url") or page.get("next_page_uri")
        # Only the query is taken: a page must not be able to send the credentials to another host.
        return list(page.get(key, [])), urlsplit(following).query if following else ""

    def recorded(self, sid: str) -> Mapping[str, Any] | None:
        """Return a recording as Twilio answers it, or None if it is gone."""
        return self.found("fetch-recording", API, f"{self.root}/Recordings/{sid}.json")

    def room_name(self, room: str) -> str:
        """Return the unique name of a video room, "" if it is gone."""
        found = self.found("fetch-room", VIDEO, f"/v1/Rooms/{room}") or {}
        return str(found.get("unique_name") or "")

    def participants(self, session: str) -> list[str]:
        """Return the plain numbers of a Proxy session's participants, none if it is gone: never log or keep."""
        answer = self.found("list-participants", PROXY, self.session_path(session, "Participants")) or {}
        return [str(one.get("identifier") or "") for one in answer.get("participants", [])]
