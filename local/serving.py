"""Small HTTP servers of the one-machine cloud: WSGI in threads, keep-alive, one packet an answer, quiet.

werkzeug's own development server closes each connection and lingers 10 ms after each answer; a cloud in which a
function makes several AWS calls per event needs neither. Only its request parsing is used here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import threading
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_JOIN_SECONDS = 5.0
_LARGEST_WHOLE = 1 << 20
"""The largest answer that is made whole before it is written, in bytes."""


class PortTakenError(Exception):
    """A port that was asked for cannot be listened on; says which, what it was for, and the way out."""

    def __init__(self, port: int, purpose: str, reason: str) -> None:
        super().__init__(
            f"port {port} for {purpose} cannot be used ({reason}): stop what listens there, or pass --{purpose}-port 0 "
            "for a free one"
        )
        self.port = port


class OnePacketHandler(WSGIRequestHandler):
    """Answers a WSGI application's response in one write and keeps the connection for the next request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    # With Nagle's algorithm and delayed acknowledgements each answer in two writes would cost about 40 ms.
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Read the whole request, call the application, write the whole answer."""
        environ = self.make_environ()
        terminated = environ.get("wsgi.input_terminated")
        body = environ["wsgi.input"].read(-1 if terminated else int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        started: list[Any] = []
        chunks: Iterable[bytes] = ()

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
            started[:] = [status, headers]
            return None

        try:
            chunks = self.server.app(environ, start_response)
            large = bool(started) and _content_length(started[1]) > _LARGEST_WHOLE
            answer = chunks if large else [b"".join(chunks)]
            status, headers = started
        except Exception:
            # Without its path, which may hold a phone number.
            log.exception("a %s request failed", self.command)
            status, headers, answer = "500 Internal Server Error", [], [b""]
        try:
            self._write(status, headers, answer)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def _write(self, status: str, headers: list[tuple[str, str]], answer: Iterable[bytes]) -> None:
        """Write an answer; one that says a length in its headers may come in pieces, one that does not is one piece."""
        code, _, reason = status.partition(" ")
        bodiless = self.command == "HEAD" or code in {"204", "304"}
        self.send_response(int(code), reason)
        for name, value in headers:
            if name.lower() != "connection":
                self.send_header(name, value)
        said = _content_length(headers)
        if not bodiless and said < 0:
            answer = list(answer)
            said = len(answer[0])
            self.send_header("Content-Length", str(said))
        self.end_headers()
        if not bodiless:
            for piece in answer:
                self.wfile.write(piece)
                said -= len(piece)
            # Whoever was told another length cannot tell where the next answer begins.
            self.close_connection |= said != 0
        self.wfile.flush()

    def handle_expect_100(self) -> bool:
        """Say `100 Continue` at once: the answer's buffer would keep it until the body that waits for it."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: a request line may hold what must not be in a log."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's own name
        """Send what http.server has to say to our log."""
        log.log(logging.ERROR if type == "error" else logging.DEBUG, message, *args)


def _content_length(headers: list[tuple[str, str]]) -> int:
    """Return the length that an answer's headers say, -1 if they say none."""
    return next((int(value) for name, value in headers if name.lower() == "content-length"), -1)


class _HttpServer(ThreadingHTTPServer):
    """The listening socket and its connections, all of which end on `server_close`."""

    daemon_threads = True
    request_queue_size = 128
    multithread = True
    multiprocess = False
    ssl_context = None
    _server_version = "parley-local"

    def __init__(self, port: int, app: WSGIApplication, handler: type[OnePacketHandler]) -> None:
        self.app = app
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._connections_lock = threading.Lock()
        super().__init__((LOOPBACK, port), handler)

    def server_bind(self) -> None:
        # HTTPServer asks the resolver for the host's name here, which may take seconds.
        socket_address = self.server_address
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(socket_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._connections_lock:
                self._connections.pop(request, None)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        log.error("connection from %s failed", client_address, exc_info=True)  # noqa: LOG014 - called from an except block

    def end_connections(self) -> None:
        """Close every open connection and wait for its thread."""
        with self._connections_lock:
            open_ones = list(self._connections.items())
        for connection, _ in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in open_ones:
            if thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)


class Server:
    """A WSGI application on a loopback port.

    `purpose` names the port in errors (`aws`, `twilio`, `gateway`); port 0 asks for a free one.
    Raises PortTakenError when the port cannot be listened on.
    """

    def __init__(
        self, app: WSGIApplication, *, port: int, purpose: str, handler: type[OnePacketHandler] = OnePacketHandler
    ) -> None:
        try:
            self._http = _HttpServer(port, app, handler)
        except (OSError, OverflowError) as error:
            raise PortTakenError(port, purpose, getattr(error, "strerror", None) or str(error)) from error
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.1,), name=f"serve-{purpose}", daemon=True
        )
        self._started = False

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._http.server_port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at its end."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Take requests from now on."""
        self._thread.start()
        self._started = True

    def stop_accepting(self) -> None:
        """Take no new connection; those that are open go on."""
        if self._started:
            self._started = False
            self._http.shutdown()
            self._thread.join(_JOIN_SECONDS)
        self._http.server_close()

    def close(self) -> None:
        """Stop listening, end the open connections and their threads."""
        self.stop_accepting()
        self._http.end_connections()
