"""The Lambda Runtime API, as far as a runtime client uses it.

"Using the Lambda runtime API" of the Lambda developer guide: `invocation/next`, `/response`, `/error`, `init/error`.
Each sandbox has a port of its own, which is how it is known; one thread accepts for all of them.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from local.serving import LOOPBACK

log = logging.getLogger(__name__)

_BASE = "/2018-06-01/runtime/"


class Events(Protocol):
    """What a sandbox does about the requests of its runtime client."""

    def next_event(self) -> tuple[bytes, Mapping[str, str]] | None:
        """Wait for the next event; its payload and headers, or None when the sandbox ends."""

    def answered(self, request_id: str, payload: bytes, *, error: bool) -> bool:
        """Take the answer to an event; False when nobody waits for it."""

    def init_failed(self, error: bytes) -> None:
        """Take the error of a handler module that could not be loaded."""


class RuntimeApi:
    """Listens for the runtime clients of all sandboxes."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._pending: list[tuple[socket.socket, Events | None]] = []
        self._closing = False
        self._thread = threading.Thread(target=self._accept, name="lambda-runtime-api", daemon=True)
        self._thread.start()

    def open(self, events: Events) -> socket.socket:
        """Start to listen for a sandbox; its address is the socket's."""
        listener = socket.create_server((LOOPBACK, 0))
        self._change(listener, events)
        return listener

    def end(self, listener: socket.socket) -> None:
        """Stop listening for a sandbox."""
        self._change(listener, None)

    def close(self) -> None:
        """Stop altogether."""
        self._closing = True
        self._wake.send(b".")
        self._thread.join()
        self._wake.close()
        self._woken.close()

    def _change(self, listener: socket.socket, events: Events | None) -> None:
        with self._lock:
            self._pending.append((listener, events))
        with contextlib.suppress(OSError):
            self._wake.send(b".")

    def _accept(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(64)
                    self._apply_changes()
                    continue
                listener: Any = key.fileobj
                with contextlib.suppress(OSError):
                    connection, address = listener.accept()
                    threading.Thread(
                        target=_serve, args=(connection, address, key.data), name="lambda-runtime", daemon=True
                    ).start()
        self._apply_changes()
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._woken and isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def _apply_changes(self) -> None:
        with self._lock:
            changes, self._pending = self._pending, []
        for listener, events in changes:
            if events is not None:
                self._selector.register(listener, selectors.EVENT_READ, events)
            else:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(listener)
                listener.close()


def _serve(connection: socket.socket, address: Any, events: Events) -> None:
    handler = type("Handler", (_Handler,), {"events": events})
    try:
        with connection, contextlib.suppress(ConnectionError, TimeoutError):
            handler(connection, address, None)
    except Exception:
        log.exception("runtime API connection failed")


class _Handler(BaseHTTPRequestHandler):
    events: Events
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    # Two packets an answer, with Nagle's algorithm and delayed acknowledgements, cost 89 ms an event instead of 1.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        event = self.events.next_event() if self.path == f"{_BASE}invocation/next" else None
        if event is None:
            self.close_connection = True
            self._answer(410)
            return
        payload, headers = event
        self._answer(200, payload, {"Content-Type": "application/json", **headers})

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.removeprefix(_BASE)
        if path == "init/error":
            self.events.init_failed(body)
            self._answer(202, b'{"status":"OK"}')
            return
        request_id, _, what = path.removeprefix("invocation/").partition("/")
        if self.events.answered(request_id, body, error=what != "response"):
            self._answer(202, b'{"status":"OK"}')
        else:
            self._answer(400, b'{"errorType":"InvalidRequestID"}')

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
        """Say nothing: a sandbox reports for itself."""
