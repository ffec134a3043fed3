"""One HTTP/1.1 connection to a service of AWS that stays open, for what a webhook waits for."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected

_LINE, _LINES = 8192, 100
"""Bytes of one line of an answer's head, and lines of it."""


class UnusualError(Exception):
    """An answer came in a form that is not read here."""


class Connection:
    """One HTTP/1.1 connection that stays open, for requests whose answers say how long they are.

    `http.client` opens it; what goes over it is written and read here, since its parsers, made for mail, take a third
    of the time of a read. Raises OSError and HTTPException.
    """

    def __init__(self, opened: HTTPConnection) -> None:
        self._opened = opened
        opened.connect()
        self._file = opened.sock.makefile("rb")

    def post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Send a request in one piece; return the status and the body of its answer. Raises UnusualError."""
        head = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        self._opened.sock.sendall(f"POST / HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        version, _, rest = self._line().partition(b" ")
        length = None
        for _ in range(_LINES):
            name, colon, value = self._line().partition(b":")
            if not name and not colon:
                break
            if name.lower() == b"content-length":
                length = int(value) if value.strip().isdigit() else None
        else:
            raise UnusualError
        if version != b"HTTP/1.1" or not rest[:3].isdigit() or length is None:
            raise UnusualError
        text = self._file.read(length)
        if len(text) < length:
            raise IncompleteRead(text, length - len(text))
        return int(rest[:3]), text

    def _line(self) -> bytes:
        line = self._file.readline(_LINE)
        if not line.endswith(b"\n"):
            raise RemoteDisconnected("no answer")
        return line.rstrip(b"\r\n")

    def close(self) -> None:
        """Close it."""
        self._file.close()
        self._opened.close()
