"""What the emulator's tests share: one served emulator, a receiver of its webhooks, and the official client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import pytest
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]
from werkzeug.wrappers import Request, Response

from local.clock import Clock
from local.serving import Server
from local.twilio import Emulator
from local.twilio.client import connect
from local.twilio.numbers import number_sid

ACCOUNT = "AC" + "1" * 32
TOKEN = "t" * 32
KEY = "SK" + "2" * 32
SECRET = "s" * 32
ANA, BEN, CLEO = "+12125550111", "+12125550112", "+12125550113"
BRITISH_ANA, BRITISH_BEN = "+447700900111", "+447700900112"
LIMITS = {"requests_per_second": 30, "concurrent_requests": None, "latency_ms": 0, "processing_seconds": 0}
"""What the emulator begins with."""
POOL = ("+12125550140", "+12125550141", "+12125550142")
SAN_FRANCISCO = "+14155550143"
BRITISH = "+447700900140"


@dataclass
class Delivery:
    """A webhook as the receiver got it."""

    path: str
    url: str
    headers: dict[str, str]
    fields: dict[str, str]
    raw: bytes

    @property
    def signature(self) -> str:
        """The X-Twilio-Signature."""
        return self.headers["X-Twilio-Signature"]

    def signed_with(self, token: str) -> bool:
        """Tell whether the official validator accepts the signature."""
        return bool(RequestValidator(token).validate(self.url, self.fields, self.signature))


Answer = tuple[int, str, str]


@dataclass
class Receiver:
    """A web server for webhooks: `answers` maps a path to an answer or to a function that makes one."""

    answers: dict[str, Answer | Callable[[Delivery], Answer]] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = Server(self._answer, port=0, purpose="receiver")
        self._server.start()
        self.url = self._server.url

    def _answer(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        raw = request.get_data()
        fields = dict(parse_qsl(raw.decode(), keep_blank_values=True))
        delivery = Delivery(request.path, request.url, dict(request.headers), fields, raw)
        self.deliveries.append(delivery)
        answer = self.answers.get(request.path, (204, "text/plain", ""))
        status, content_type, body = answer(delivery) if callable(answer) else answer
        return Response(body, status, content_type=content_type)(environ, start_response)

    def got(self, path: str) -> list[Delivery]:
        """Return what came to a path."""
        return [delivery for delivery in self.deliveries if delivery.path == path]

    def close(self) -> None:
        """Stop serving."""
        self._server.close()


class Stage:
    """An emulator with its own clock, a receiver, and a client for each credential."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.emulator = Emulator(
            account_sid=ACCOUNT, auth_token=TOKEN, api_key=KEY, api_secret=SECRET, clock=self.clock
        )
        self.server = Server(self.emulator.wsgi_app, port=0, purpose="twilio")
        self.server.start()
        self.receiver = Receiver()
        self.clients: list[Client] = []
        self.client = self.connect(KEY, SECRET, ACCOUNT)

    def connect(self, username: str, password: str, account_sid: str | None = None) -> Client:
        """Return an official client that is closed with the stage."""
        client = connect(self.server.url, username, password, account_sid)
        self.clients.append(client)
        return client

    def reset(self) -> None:
        """Empty the stage between tests."""
        self.sim("POST", "reset")
        self.sim("POST", "limits", LIMITS)
        self.receiver.answers.clear()
        self.receiver.deliveries.clear()

    def close(self) -> None:
        """Stop everything."""
        for client in self.clients:
            client.http_client.close()
        self.server.close()
        self.emulator.close()
        self.receiver.close()

    def sim(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the simulator's own surface."""
        data = None if body is None else json.dumps(body).encode()
        with urlopen(UrlRequest(f"{self.server.url}/_sim/{path}", data, method=method), timeout=30) as answer:
            result: dict[str, Any] = json.load(answer)
            return result

    def sms(self, sender: str, to: str, body: str, **more: Any) -> dict[str, Any]:
        """Let a phone text."""
        return self.sim("POST", "sms", {"from": sender, "to": to, "body": body, **more})

    def call(self, caller: str, to: str, **more: Any) -> dict[str, Any]:
        """Let a phone call."""
        return self.sim("POST", "call", {"from": caller, "to": to, **more})

    def phone(self, number: str) -> dict[str, Any]:
        """Return what a phone saw."""
        return self.sim("GET", f"phones/{number}")

    def service(self, *numbers: str, webhooks: bool = False, **settings: Any) -> Any:
        """Create a Service with these numbers in its pool, and with webhooks at the receiver if wished."""
        if webhooks:
            settings = {
                "intercept_callback_url": f"{self.receiver.url}/intercept",
                "callback_url": f"{self.receiver.url}/callback",
                "out_of_session_callback_url": f"{self.receiver.url}/out-of-session",
            } | settings
        created = self.client.proxy.v1.services.create(unique_name="line", **settings)
        for number in numbers:
            created.phone_numbers.create(sid=number_sid(number))
        return created

    def pair(self, service: Any, one: str = ANA, other: str = BEN, **settings: Any) -> Any:
        """Open a session between two people."""
        people = [{"Identifier": one}, {"Identifier": other}]
        return service.sessions.create(participants=people, **settings)

    def masked(self, session: Any) -> dict[str, str]:
        """Return the masked number of each participant by identifier."""
        return {person.identifier: person.proxy_identifier for person in session.participants.list()}

    def alerts(self) -> list[int]:
        """Return the codes of all alerts, the oldest first."""
        return [int(alert.error_code) for alert in reversed(self.client.monitor.v1.alerts.list())]


@contextmanager
def refused(code: int, status: int = 400) -> Iterator[None]:
    """Expect a call to be refused with this Twilio code and HTTP status."""
    with pytest.raises(TwilioRestException) as caught:
        yield
    assert (caught.value.code, caught.value.status) == (code, status), caught.value.msg
