"""The plugin's servicer against the Twilio emulator, in one process: no engine, no socket, no waiting."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter
from werkzeug.test import Client

from infra.provider.testing import Deployed, Refused, Stack, secret
from infra.twilio.client import Account
from infra.twilio.plugin import Parley
from infra.twilio.transport import Clock
from local.clock import Clock as MovableClock
from local.twilio import Emulator
from local.twilio.numbers import number_sid

ACCOUNT = "AC" + "a" * 32
API_KEY = "SK" + "d" * 32
API_SECRET = "the-api-secret-of-this-test"
SERVICE = "parley:index:ProxyService"
POOL = "parley:index:NumberPool"
NEW_YORK = ["+12125550140", "+12125550141", "+12125550142"]
LONDON = ["+447700900140", "+447700900141"]
ALICE, BOB = "+12125550111", "+12125550112"
LINE = {"uniqueName": "line", "defaultTtl": 3600, "interceptCallbackUrl": "https://gate.example.com/twilio/intercept"}


class FakeClock(Clock):
    """A clock that moves only when somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 100.0
        self.waits: list[float] = []

    def now(self) -> float:
        """Return the fake time."""
        return self.time

    def wait(self, seconds: float) -> None:
        """Move on by `seconds` at once."""
        super().wait(0)
        if seconds > 0:
            self.waits.append(seconds)
            self.time += seconds


class InProcess(BaseAdapter):
    """Hands requests to a WSGI application; remembers them, and loses the connection where the application does."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._client = Client(app)
        self.log: list[str] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer one request."""
        path = request.path_url
        self.log.append(f"{request.method} {path}")
        body = request.body.encode() if isinstance(request.body, str) else request.body
        try:
            answer = self._client.open(path, method=request.method, headers=dict(request.headers), data=body)
        except ConnectionResetError as error:
            raise requests.ConnectionError("connection reset") from error
        response = requests.Response()
        response.status_code = answer.status_code
        response._content = answer.get_data()
        response.headers.update(dict(answer.headers))
        return response

    def close(self) -> None:
        """Nothing to close."""


@cache
def _emulator() -> Emulator:
    return Emulator(
        account_sid=ACCOUNT,
        auth_token="token",
        api_key=API_KEY,
        api_secret=API_SECRET,
        clock=MovableClock(),
        post=lambda *_args, **_kwargs: None,  # type: ignore[arg-type]
        requests_per_second=None,
    )


class TwilioStack(Stack):
    """A stack whose provider is the plugin and whose Twilio is the emulator."""

    def __init__(self) -> None:
        super().__init__(Parley())
        self.emulator = _emulator()
        self.emulator.reset()
        self.http = InProcess(self.emulator.wsgi_app)
        self.configure(
            {
                "accountSid": ACCOUNT,
                "apiKey": API_KEY,
                "apiSecret": secret(API_SECRET),
                "endpoint": "http://127.0.0.1:9",
            }
        )
        self.restart()

    @property
    def account(self) -> Account:
        """The client that the provider made."""
        account: Account = self.provider.ctx
        return account

    def restart(self) -> None:
        """Begin with a fresh clock and empty log, as a new plugin process would."""
        self.clock = FakeClock()
        account = Account(
            sid=ACCOUNT, api_key=API_KEY, api_secret=API_SECRET, endpoint="http://127.0.0.1:9", clock=self.clock
        )
        account._rest.http_client.session.mount("http://", self.http)
        self.provider.ctx = account
        self.http.log.clear()

    def fault(self, **order: Any) -> None:
        """Order a fault of Twilio's REST API; see local.twilio.faults."""
        self.emulator.faults.add({"on": "rest", **order})

    def calls(self, method: str) -> list[str]:
        """Return what was asked of Twilio with one method since the last restart."""
        return [line for line in self.http.log if line.startswith(method)]

    def service(self, **more: Any) -> Deployed:
        """Create the Proxy service `line`."""
        return self.up(SERVICE, "line", {**LINE, **more})

    def pool(self, service: Deployed, **more: Any) -> Deployed:
        """Create the number pool of a service."""
        return self.up(POOL, "numbers", {"serviceSid": service.id, **more})

    def partly(self, call: Any, token: str, name: str, inputs: dict[str, Any]) -> tuple[Deployed, list[str]]:
        """Expect a create or update to be half done; return what the engine keeps, and the reasons."""
        with pytest.raises(Refused) as refused:
            call()
        half = refused.value.half_done
        assert half is not None, str(refused.value)
        return Deployed(token, name, half.id, self.check(token, name, inputs), half.properties), list(half.reasons)

    def session(self, service: Deployed) -> str:
        """Open a session between two people; return its SID."""
        sessions = self.account._rest.proxy.v1.services(service.id).sessions
        return str(sessions.create(participants=[{"Identifier": number} for number in (ALICE, BOB)]).sid)

    def close_session(self, service: Deployed, session: str) -> None:
        """Close a session."""
        self.account._rest.proxy.v1.services(service.id).sessions(session).update(status="closed")

    def numbers(self, service: Deployed) -> dict[str, bool]:
        """Return what is in the service: SID -> reserved."""
        return {number.sid: number.reserved for number in self.account.pool(service.id) or []}


def sids(numbers: list[str]) -> list[str]:
    """Return the SIDs that the emulator gives to numbers, sorted as in the state."""
    return sorted(map(number_sid, numbers))
