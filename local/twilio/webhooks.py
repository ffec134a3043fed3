"""Webhooks: what they say, and how they are delivered, signed, repeated, lost and logged."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import threading
import uuid
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urldefrag, urlencode, urlsplit

import urllib3
from twilio.request_validator import HMAC_SHA1, SIGNATURE_SETTINGS_HEADER  # type: ignore[import-untyped]

from local.twilio.events import cloud_events
from local.twilio.moments import iso8601
from local.twilio.signing import IDEMPOTENCY_HEADER, SIGNATURE_HEADER, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.twilio.carrier import Carrier
    from local.twilio.faults import Fault, Faults
    from local.twilio.state import Alert
    from local.twilio.webhook_rules import Manner

_LOG = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 15.0
"""How long Twilio waits for a webhook's answer."""
EVENT_SECONDS: Final = 5.0
"""How long Event Streams waits for a sink's answer."""
LOG_LENGTH: Final = 1000
UNHEARD: Final = frozenset({"lost", "late"})
"""Problems of which the carrier learns nothing: it leaves no alert."""
SHUT_FIELDS: Final = frozenset({"Body", "interactionData"})
"""Fields whose value the log of deliveries leaves out."""


class DeliveryError(Exception):
    """A webhook that got no answer; the text says why."""


class Post(Protocol):
    """Sends one POST and returns (status, headers, body). Raises DeliveryError, OSError or TimeoutError."""

    def __call__(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send the POST; `timeout` is in real seconds."""


class Get(Protocol):
    """Sends one GET and returns (status, headers, body). Raises DeliveryError, OSError or TimeoutError."""

    def __call__(self, url: str, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
        """Send the GET; `timeout` is in real seconds."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook before it is sent. `kind` is for the log and for fault patterns, `timeout` in real seconds."""

    kind: str
    account_sid: str
    url: str
    fields: Mapping[str, str]
    timeout: float = TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `problem` is set instead of a status when there was no answer in time.

    `signed_by` is the id of the SharedKey that signed what was sent, empty for the auth token.
    """

    status: int | None = None
    content_type: str = ""
    body: str = ""
    problem: str | None = None
    signed_by: str = ""

    @property
    def ok(self) -> bool:
        """Whether the handler answered 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def outcome(self) -> str:
        """What a Setting's retry policy calls it; empty for an answer below 400, and for what was never sent."""
        if self.status is not None:
            return "HTTP_5XX" if self.status >= 500 else "HTTP_4XX" if self.status >= 400 else ""
        if self.problem in UNHEARD:
            return ""
        return "READ_TIMEOUT" if self.problem == "timeout" else "CONNECTION_TIMEOUT"


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def http_post(
    url: str, headers: Mapping[str, str], body: bytes, timeout: float
) -> tuple[int, Mapping[str, str], bytes]:
    """Send one POST; raises DeliveryError or TimeoutError when there is no answer. See `_send`."""
    return _send("POST", url, timeout, headers, body)


def http_get(url: str, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
    """Send one GET; raises DeliveryError or TimeoutError when there is no answer. See `_send`."""
    return _send("GET", url, timeout, {}, None)


def _send(
    method: str, url: str, timeout: float, headers: Mapping[str, str], body: bytes | None
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a request: https anywhere with a valid certificate, plain http to loopback only; redirects are not followed.

    Each has its own connection, since a kept one that had died would look like a fault of the handler.
    """
    parts = urlsplit(url)
    if (parts.hostname or "").endswith(".twilio.com"):
        raise DeliveryError("the emulator never calls the real Twilio")
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise DeliveryError("plain http is delivered to loopback only: use an https URL")
    with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout)) as pool:
        try:
            answer = pool.request(method, url, body=body, headers=dict(headers), redirect=False)
        except urllib3.exceptions.NewConnectionError as error:  # urllib3 counts a refused connection as a timeout
            raise DeliveryError("connection refused") from error
        except urllib3.exceptions.TimeoutError as error:
            raise TimeoutError("no answer in time") from error
        except urllib3.exceptions.HTTPError as error:
            raise DeliveryError(type(error).__name__) from error
        return answer.status, answer.headers, answer.data


class Webhooks:
    """Delivers webhooks, in the caller's thread or after its answer. Never called with the carrier's lock held."""

    def __init__(self, carrier: Carrier, faults: Faults, post: Post, get: Get) -> None:
        self._carrier = carrier
        self._faults = faults
        self._post = post
        self._get = get
        self._log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self._late: list[tuple[float, Webhook]] = []
        self._jobs: deque[Callable[[], None]] = deque()
        self._idle = threading.Condition()
        self._working = False

    def deliver(self, webhook: Webhook) -> Reply:
        """Send a webhook now, under whatever fault strikes it, and return the answer."""
        return self.deliver_under(self.strike(webhook), webhook)

    def fetch(self, url: str) -> tuple[str, bytes] | None:
        """Read a media file, as it is read before a message with it is sent; return its type and bytes, if it is there.

        It is read without a signature: Twilio signs what it posts.
        """
        fault = self._faults.take("webhook", f"media {url}")
        if fault is not None:
            return None
        try:
            status, headers, body = self._get(url, TIMEOUT_SECONDS)
        except (DeliveryError, OSError, TimeoutError):
            return None
        kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
        return (kind.split(";")[0].strip().lower(), body) if status == 200 else None

    def strike(self, webhook: Webhook) -> Fault | None:
        """Return the fault that strikes a webhook, and count it as used."""
        return self._faults.take("webhook", f"{webhook.kind} {webhook.url}")

    def deliver_under(self, fault: Fault | None, webhook: Webhook) -> Reply:
        """Send a webhook now under this fault, or none, and return the answer.

        The Setting of its URL's Rule may have it repeated with the same token; a fault can strike each attempt.
        """
        token, url = str(uuid.uuid4()), urldefrag(webhook.url).url
        with self._carrier.lock:
            manner = self._carrier.webhook_rules.manner(webhook.account_sid, url)
        if manner.read_seconds is not None:
            webhook = replace(webhook, timeout=min(webhook.timeout, manner.read_seconds))
        reply = self._once(fault, webhook, token, manner)
        for _ in range(manner.retries):
            if not manner.repeats(reply.outcome):
                break
            reply = self._once(self.strike(webhook), webhook, token, manner)
        return reply

    def _once(self, fault: Fault | None, webhook: Webhook, token: str, manner: Manner) -> Reply:
        mode = fault.mode if fault else ""
        if mode == "lost":
            return self._note(webhook, token, "lost", Reply(problem="lost"))
        if mode == "refuse":
            return self._note(webhook, token, "failed", Reply(problem="connection refused"))
        if fault is not None and mode == "late":
            with self._idle:
                self._late.append((self._carrier.clock.now() + fault.seconds, webhook))
            return self._note(webhook, token, "late", Reply(problem="late"))
        if fault is not None and mode == "slow":
            self._carrier.clock.advance(fault.seconds)
            mode = "timeout" if fault.seconds >= webhook.timeout else ""
        reply = self._attempt(webhook, token, manner)
        if mode == "timeout":
            return self._note(webhook, token, "failed", Reply(problem="timeout"))
        if mode == "duplicate":
            self._note(webhook, token, "answered" if reply.problem is None else "failed", reply)
            reply = self._attempt(webhook, token, manner)
        return self._note(webhook, token, "answered" if reply.problem is None else "failed", reply)

    def _attempt(self, webhook: Webhook, token: str, manner: Manner) -> Reply:
        with self._carrier.lock:
            auth_token = self._carrier.state.accounts[webhook.account_sid].auth_token
        secret, algorithm = (manner.secret, manner.algorithm) if manner.algorithm else (auth_token, HMAC_SHA1)
        url = urldefrag(webhook.url).url
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            SIGNATURE_HEADER: sign(secret, url, webhook.fields, algorithm),
            IDEMPOTENCY_HEADER: token,
        }
        if manner.algorithm:
            headers[SIGNATURE_SETTINGS_HEADER] = f"key={manner.key_id},algorithm={algorithm}"
        if manner.authorization:
            headers["Authorization"] = manner.authorization
        reply = self._posted(replace(webhook, url=url), headers, urlencode(webhook.fields).encode())
        return replace(reply, signed_by=manner.key_id)

    def _posted(self, webhook: Webhook, headers: Mapping[str, str], sent: bytes) -> Reply:
        try:
            status, answered, body = self._post(webhook.url, headers, sent, webhook.timeout)
        except TimeoutError:
            return Reply(problem="timeout")
        except (DeliveryError, OSError) as error:
            return Reply(problem=str(error) or type(error).__name__)
        kind = next((value for name, value in answered.items() if name.lower() == "content-type"), "")
        return Reply(status, kind.split(";")[0].strip().lower(), body.decode("utf-8", "replace"))

    def _note(self, webhook: Webhook, token: str, outcome: str, reply: Reply) -> Reply:
        self._log.append(
            {
                "kind": webhook.kind,
                "url": webhook.url,
                "outcome": outcome,
                "status": reply.status,
                "problem": reply.problem,
                "signed_by": reply.signed_by,
                "idempotency_token": token,
                "at": iso8601(self._carrier.clock.now()),
                "fields": {
                    name: f"<{len(value)} characters>" if name in SHUT_FIELDS and value else value
                    for name, value in webhook.fields.items()
                },
            }
        )
        return reply

    def series(self) -> Series:
        """Return a series: the webhooks of one interaction, which a fault may reorder."""
        return Series(self)

    def release(self) -> None:
        """Send, in the background, the late webhooks whose time has come."""
        now = self._carrier.clock.now()
        with self._idle:
            due = [webhook for moment, webhook in self._late if moment <= now]
            self._late = [(moment, webhook) for moment, webhook in self._late if moment > now]
        for webhook in due:
            self.later(partial(self._deliver_late, webhook))

    def _deliver_late(self, webhook: Webhook) -> None:
        self.deliver_under(None, webhook)

    def log(self) -> list[dict[str, Any]]:
        """Return the latest deliveries, the oldest first."""
        return list(self._log)

    def forget(self) -> None:
        """Empty the log, and drop what is late."""
        self._log.clear()
        with self._idle:
            self._late.clear()

    def tell_alert(self, alert: Alert) -> None:
        """Tell the sinks of Event Streams an alert, in the background. The caller holds the lock."""
        for url in self._carrier.events.told(alert.account_sid):
            self.later(partial(self._tell_event, alert, url))

    def _tell_event(self, alert: Alert, url: str) -> None:
        """Post an alert as a CloudEvent: the signature is that of the URL, which names the body's hash."""
        body = cloud_events(alert)
        mark = "&" if urlsplit(url).query else "?"
        signed = f"{url}{mark}bodySHA256={hashlib.sha256(body).hexdigest()}"
        webhook, token = Webhook("event", alert.account_sid, signed, {}, EVENT_SECONDS), str(uuid.uuid4())
        fault = self.strike(webhook)
        if fault is not None and fault.mode in {"lost", "refuse"}:
            self._note(webhook, token, "lost", Reply(problem="lost"))
            return
        with self._carrier.lock:
            auth_token = self._carrier.state.accounts[alert.account_sid].auth_token
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            SIGNATURE_HEADER: sign(auth_token, signed, {}),
            IDEMPOTENCY_HEADER: token,
        }
        for _ in range(1 + (fault is not None and fault.mode == "duplicate")):
            reply = self._posted(webhook, headers, body)
            self._note(webhook, token, "answered" if reply.problem is None else "failed", reply)

    def later(self, job: Callable[[], None]) -> None:
        """Run a job that delivers webhooks, in order and in the background, so that a REST answer need not wait."""
        with self._idle:
            self._jobs.append(job)
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, name="twilio-webhooks", daemon=True).start()

    def drain(self, timeout: float = 2 * TIMEOUT_SECONDS) -> bool:
        """Wait until the background deliveries are done; False if that took over `timeout` real seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._working, timeout)

    def _work(self) -> None:
        while True:
            with self._idle:
                if not self._jobs:
                    self._working = False
                    self._idle.notify_all()
                    return
                job = self._jobs.popleft()
            try:
                job()
            except Exception:  # noqa: BLE001 - one broken job must not stop the others
                _LOG.exception("a background webhook could not be prepared")


class Series:
    """The webhooks of one interaction, in order, but for those that a `reorder` fault holds back to the end."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks
        self._held: list[Webhook] = []

    def send(self, webhook: Webhook) -> Reply | None:
        """Deliver a webhook and return the answer; None if it is held back."""
        fault = self._webhooks.strike(webhook)
        if fault is not None and fault.mode == "reorder":
            self._held.append(webhook)
            return None
        return self._webhooks.deliver_under(fault, webhook)

    def close(self) -> list[Reply]:
        """Deliver what was held back, the last one first, and return the answers."""
        return [self._webhooks.deliver_under(None, self._held.pop()) for _ in range(len(self._held))]
