"""The emulator on a socket of its own, for tests and for whoever wants Twilio without the rest of the local cloud."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from local.twilio.emulator import Emulator


class QuietHandler(WSGIRequestHandler):
    """Serves without a line for each request: its path may hold a phone number."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Write nothing."""


class Server:
    """Serves an emulator on loopback. Port 0 takes a free one; `url` has no trailing slash. A context manager."""

    def __init__(self, emulator: Emulator, port: int = 0) -> None:
        self.emulator = emulator
        self._server = make_server("127.0.0.1", port, emulator.wsgi_app, threaded=True, request_handler=QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="twilio-emulator", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The endpoint: Twilio's products are under `{url}/{product host}`, the simulator under `{url}/_sim`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving and wait until it has stopped."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.emulator.close()

    def __enter__(self) -> Server:
        """Return the running server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.close()
