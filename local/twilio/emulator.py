"""The emulator as one WSGI application: authentication, limits, faults, routing, and the snapshot."""

from __future__ import annotations

import json
import secrets
import socket
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.wrappers import Request, Response

from local.twilio import routes
from local.twilio.callbacks import Callbacks
from local.twilio.carrier import Carrier
from local.twilio.chat import Chat
from local.twilio.content import Content, first, serve
from local.twilio.errors import TwilioError
from local.twilio.faults import Faults
from local.twilio.limits import BASELINE_PER_SECOND, Concurrency, RateLimit
from local.twilio.routes import Exchange, Headed, Redirect, proxy, sim
from local.twilio.simulator import ScriptError, Simulator
from local.twilio.webhooks import Webhooks, http_get, http_post, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from local.clock import Clock
    from local.twilio.faults import Fault
    from local.twilio.state import Account
    from local.twilio.webhooks import Get, Post

_DOMAIN: Final = ".twilio.com"


class Emulator:
    """A stateful Twilio for one machine.

    `post` sends webhooks and `get` reads media that are to be sent (default: over the network); `requests_per_second`
    is Proxy's rate limit for each endpoint of each Service, None = none; `wait` takes the latency that may be set for
    every request. Serve `wsgi_app`; it routes by the product's host, given as the Host header or as the first path
    segment.
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
        get: Get | None = None,
        requests_per_second: float | None = BASELINE_PER_SECOND,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.carrier = Carrier(
            account_sid=account_sid, auth_token=auth_token, api_key=api_key, api_secret=api_secret, clock=clock
        )
        self.faults = Faults()
        self.limit = RateLimit(requests_per_second)
        self.concurrency = Concurrency(wait)
        self.webhooks = Webhooks(self.carrier, self.faults, post or http_post, get or http_get)
        self.callbacks = Callbacks(self.carrier, self.webhooks)
        self.chat = Chat(self.carrier, self.webhooks)
        self.simulator = Simulator(self.carrier, self.webhooks, self.callbacks, self.chat)
        self.carrier.on_alert = self.webhooks.tell_alert
        self._routes = routes.url_map()
        clock.subscribe(self._on_clock)

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
        self.callbacks.forget()
        self.simulator.undeliverable.clear()
        self.carrier.reset()

    def close(self) -> None:
        """Let background webhooks finish."""
        self.webhooks.drain()

    def _on_clock(self, _now: float) -> None:
        self.callbacks.settle()
        self.webhooks.release()

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
            return _json(400, {"error": str(error)} | ({"code": error.code} if error.code else {}))

    # Twilio's surface -----------------------------------------------------------------------------------------

    def _rest(self, request: Request) -> tuple[Response, bool]:
        """Return the answer, and whether its connection is to be cut instead of answered."""
        host, path = _product(request)
        fault = self.faults.take("rest", f"{request.method} {host}{path}")
        account: Account | None = None
        body: dict[str, Any] | Content | Redirect | Headed | None
        try:
            account = self._login(request, path)
            with self.concurrency.place(account.sid):
                _refuse(fault)
                status, body = self._answer(request, account, host, path, fault)
        except TwilioError as error:
            self._note(error, account, f"https://{host}{path}")
            status, body = error.status, _problem(error) if _name(host) == "webhooks" else error.body()
        self.callbacks.settle()
        response = self._response(request, status, body)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
        if fault is None:
            return response, False
        return _struck(response, fault), fault.mode == "lost-answer" and fault.status is None

    @staticmethod
    def _response(request: Request, status: int, body: dict[str, Any] | Content | Redirect | Headed | None) -> Response:
        if isinstance(body, Content):
            return serve(body, request.headers.get("Range"))
        if isinstance(body, Headed):
            response = _json(status, body.body)
            response.headers.update(body.headers)
            return response
        if not isinstance(body, Redirect):
            return _json(status, body)
        host, _ = _product(request)
        # Where the product is the first segment of the path, it is that of the link too.
        link = body.link if request.host.split(":")[0].lower().endswith(_DOMAIN) else f"/{host}{body.link}"
        response = _json(status, {"redirect_to": link})
        response.headers["Location"] = link
        return response

    def _login(self, request: Request, path: str) -> Account:
        login = request.authorization
        with self.carrier.lock:
            if login is None and "Signature" in request.args:
                return self.carrier.authenticate_link(path, request.args)
            return self.carrier.authenticate((login and login.username) or "", (login and login.password) or "")

    def _answer(self, request: Request, account: Account, host: str, path: str, fault: Fault | None) -> routes.Answer:
        carrier = self.carrier
        handler, arguments = self._match(request.method, host, path)
        service_sid = arguments.get("service_sid", "")
        if service_sid and not self.limit.admit(service_sid, request.method, handler.__name__):
            raise TwilioError(20429, "more than 30 requests a second over 5 seconds")
        # Before the form, which would use it up.
        raw = request.get_data()
        exchange = Exchange(
            carrier,
            self.simulator,
            account,
            path,
            request.args,
            request.form,
            raw,
            self.chat,
            webhook_enabled=request.headers.get("X-Twilio-Webhook-Enabled", "false").lower() == "true",
            idempotency_key=request.headers.get("Idempotency-Key"),
            operation_failure=(fault.code or 59102) if fault and fault.mode == "fail-operation" else None,
        )
        claimed: frozenset[tuple[str, str]] = frozenset()
        if handler is proxy.create_session:
            claimed = carrier.claim(service_sid, proxy.claimed_identifiers(exchange))
        try:
            if fault is not None and fault.mode == "slow":
                carrier.clock.advance(fault.seconds)
            with carrier.lock:
                carrier.proxy.expire()
            with nullcontext() if handler in routes.UNLOCKED else carrier.lock:
                return handler(exchange, **arguments)
        finally:
            carrier.unclaim(claimed)

    def _match(self, method: str, host: str, path: str) -> tuple[Callable[..., routes.Answer], dict[str, str]]:
        adapter = self._routes.bind("", path_info=f"/{_name(host)}{path}", default_method=method)
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


def _name(host: str) -> str:
    """Return the product's name in its host, which an edge may stand in too."""
    return host.removesuffix(_DOMAIN).split(".")[0]


def _problem(error: TwilioError) -> Headed:
    headers = {"Content-Type": "application/problem+json"}
    return Headed(error.problem(), headers | ({"Retry-After": "1"} if error.status == 429 else {}))


def _refuse(fault: Fault | None) -> None:
    """Raise the error that a fault orders in place of an answer."""
    if fault is None:
        return
    if fault.mode == "throttle":
        raise TwilioError(20429)
    if fault.mode == "error":
        raise TwilioError(fault.code or 20500, status=fault.status)


def _struck(response: Response, fault: Fault) -> Response:
    """Return the answer as a fault lets it arrive, after everything was done."""
    if fault.mode == "lost-answer" and fault.status is not None:
        return _json(fault.status, TwilioError(20500, status=fault.status).body())
    if fault.mode == "empty":
        return Response(b"", response.status_code, content_type=response.content_type)
    if fault.mode == "wrong-type":
        return Response("<html><body>Service Unavailable</body></html>", 200, content_type="text/html")
    if fault.mode in {"truncated", "wrong-length"}:
        whole = int(response.headers.get("Content-Length") or len(response.get_data()))
        response.response = first(response.iter_encoded(), whole // 2)
        response.headers["Content-Length"] = str(whole if fault.mode == "truncated" else whole // 2)
    return response


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
