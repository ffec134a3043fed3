"""The emulator as one WSGI application: authentication, limits, faults, routing, and the snapshot."""

from __future__ import annotations

import json
import secrets
import socket
from typing import TYPE_CHECKING, Any, Final

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.wrappers import Request, Response

from local.twilio import routes
from local.twilio.carrier import Carrier
from local.twilio.errors import TwilioError
from local.twilio.faults import Faults
from local.twilio.limits import BASELINE_PER_SECOND, RateLimit
from local.twilio.routes import Exchange, proxy, sim
from local.twilio.simulator import ScriptError, Simulator
from local.twilio.webhooks import Webhooks, http_post, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from local.clock import Clock
    from local.twilio.faults import Fault
    from local.twilio.state import Account
    from local.twilio.webhooks import Post

_DOMAIN: Final = ".twilio.com"


class Emulator:
    """A stateful Twilio for one machine.

    `post` sends webhooks (default: over the network); `requests_per_second` is Proxy's rate limit for each endpoint
    of each Service, None = none. Serve `wsgi_app`; it routes by the product's host, given as the Host header or as
    the first path segment.
    """

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        api_key: str,
        api_secret: str,
        clock: Clock,
        post: Post | None = None,
        requests_per_second: float | None = BASELINE_PER_SECOND,
    ) -> None:
        self.carrier = Carrier(
            account_sid=account_sid, auth_token=auth_token, api_key=api_key, api_secret=api_secret, clock=clock
        )
        self.faults = Faults()
        self.limit = RateLimit(requests_per_second)
        self.webhooks = Webhooks(self.carrier, self.faults, post or http_post)
        self.simulator = Simulator(self.carrier, self.webhooks)
        self._routes = routes.url_map()

    def snapshot(self) -> bytes:
        """Return all that the account holds, credentials included, as JSON bytes; without faults and the log."""
        return self.carrier.save()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot. Raises SnapshotError (a ValueError) and changes nothing if it cannot be read."""
        self.carrier.load(snapshot)

    def reset(self) -> None:
        """Forget everything: first credentials and numbers, no faults, an empty log."""
        self.webhooks.drain()
        self.faults.clear()
        self.webhooks.forget()
        self.carrier.reset()

    def close(self) -> None:
        """Let background webhooks finish."""
        self.webhooks.drain()

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        if request.path.startswith("/_sim/"):
            return self._sim(request)(environ, start_response)
        response, lost = self._rest(request)
        if lost:
            _cut(environ)
        return response(environ, start_response)

    # The simulator's surface ----------------------------------------------------------------------------------

    def _sim(self, request: Request) -> Response:
        if request.remote_addr is not None and not is_loopback(request.remote_addr):
            return _json(403, {"error": "/_sim is for this machine only"})
        try:
            body = json.loads(request.get_data() or b"{}")
        except ValueError:
            return _json(400, {"error": "the body must be JSON"})
        if not isinstance(body, dict):
            return _json(400, {"error": "the body must be a JSON object"})
        try:
            return _json(*sim.answer(self, request.method, request.path, body))
        except ScriptError as error:
            return _json(400, {"error": str(error)})

    # Twilio's surface -----------------------------------------------------------------------------------------

    def _rest(self, request: Request) -> tuple[Response, bool]:
        """Return the answer, and whether its connection is to be cut instead of answered."""
        host, path = _product(request)
        fault = self.faults.take("rest", f"{request.method} {host}{path}")
        account: Account | None = None
        try:
            account = self._login(request)
            _refuse(fault)
            status, body = self._answer(request, account, host, path, fault)
        except TwilioError as error:
            self._note(error, account, f"https://{host}{path}")
            status, body = error.status, error.body()
        response = _json(status, body)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
        if fault is None or fault.mode != "lost-answer":
            return response, False
        if fault.status is None:
            return response, True
        return _json(fault.status, TwilioError(20500, status=fault.status).body()), False

    def _login(self, request: Request) -> Account:
        login = request.authorization
        with self.carrier.lock:
            return self.carrier.authenticate((login and login.username) or "", (login and login.password) or "")

    def _answer(self, request: Request, account: Account, host: str, path: str, fault: Fault | None) -> routes.Answer:
        carrier = self.carrier
        handler, arguments = self._match(request.method, host, path)
        service_sid = arguments.get("service_sid", "")
        if service_sid and not self.limit.admit(service_sid, request.method, handler.__name__):
            raise TwilioError(20429, "more than 30 requests a second over 5 seconds")
        query = {name: values[-1] for name, values in request.args.lists()}
        exchange = Exchange(carrier, self.simulator, account, path, query, request.form)
        claimed: frozenset[tuple[str, str]] = frozenset()
        if handler is proxy.create_session:
            claimed = carrier.claim(service_sid, proxy.claimed_identifiers(exchange))
        try:
            if fault is not None and fault.mode == "slow":
                carrier.clock.advance(fault.seconds)
            with carrier.lock:
                carrier.proxy.expire()
                return handler(exchange, **arguments)
        finally:
            carrier.unclaim(claimed)

    def _match(self, method: str, host: str, path: str) -> tuple[Callable[..., routes.Answer], dict[str, str]]:
        product = host.removesuffix(_DOMAIN).split(".")[0]
        adapter = self._routes.bind("", path_info=f"/{product}{path}", default_method=method)
        try:
            handler, arguments = adapter.match()
        except MethodNotAllowed:
            raise TwilioError(20004, f"{method} {path}") from None
        except NotFound:
            raise TwilioError(20404, f"{host}{path} (or this emulator does not carry it out)") from None
        return handler, dict(arguments)

    def _note(self, error: TwilioError, account: Account | None, url: str) -> None:
        """Leave Proxy's own errors in the debugger too, as the real one does."""
        if account is None or not 80000 <= error.code < 81000:
            return
        service_sid = next((part for part in url.split("/") if part.startswith("KS")), None)
        with self.carrier.lock:
            self.carrier.alerts.record(error.code, account.sid, service_sid, request_url=url)


def _product(request: Request) -> tuple[str, str]:
    """Return (host, path) of the product a request is for."""
    host = request.host.split(":")[0].lower()
    if host.endswith(_DOMAIN):
        return host, request.path
    first, _, rest = request.path.removeprefix("/").partition("/")
    return (first.lower(), f"/{rest}") if first.endswith(_DOMAIN) else ("", request.path)


def _refuse(fault: Fault | None) -> None:
    """Raise the error that a fault orders in place of an answer."""
    if fault is None:
        return
    if fault.mode == "throttle":
        raise TwilioError(20429)
    if fault.mode == "error":
        raise TwilioError(fault.code or 20500, status=fault.status)


def _json(status: int, body: dict[str, Any] | None) -> Response:
    response = Response(b"" if body is None else json.dumps(body), status, content_type="application/json")
    response.headers["Twilio-Request-Id"] = f"RQ{secrets.token_hex(16)}"
    return response


def _cut(environ: WSGIEnvironment) -> None:
    """Break the client's connection, so that it never learns what became of its request."""
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("the answer was lost by order of a fault")
