"""A stub of Twilio's recordings, too small to be the bottleneck: it lists, deletes, and counts who is waiting.

Every answer takes so many milliseconds; of more than so many requests at once the rest is refused with 429. It is a
process of its own on an event loop, without a framework: `python -m tests.bench.twilio_stub PORT MILLISECONDS LIMIT`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from parley.core import moments

ON_A_PAGE = 1000


class Account:
    """What the stub knows: who is in flight, for how long how many were, and what was deleted."""

    def __init__(self, latency: float, limit: int) -> None:
        self.latency, self.limit = latency, limit
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self.deleted: set[str] = set()
        self.in_flight = self.most = self.refused = 0
        self.busy = 0.0
        self.first = self.last = 0.0

    def change(self, by: int) -> None:
        """Count a request that came or went."""
        now = time.monotonic()
        if self.first:
            self.busy += self.in_flight * (now - self.last)
        else:
            self.first = now
        self.last = now
        self.in_flight += by
        self.most = max(self.most, self.in_flight)

    def told(self) -> dict[str, float]:
        """Return what was counted."""
        spent = self.last - self.first
        return {
            "deleted": len(self.deleted),
            "refused": self.refused,
            "most": self.most,
            "average": self.busy / spent if spent else 0.0,
            "seconds": spent,
        }


def sid_of(second: int, place: int) -> str:
    """Return the SID of the recording that was made in a second, the `place`th of its page."""
    return f"RE{second:020x}{place:012x}"


class Connection(asyncio.Protocol):
    """One kept-alive connection. Requests come one after the other, as urllib3 and requests send them."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._transport: asyncio.Transport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request when it is all there: none of them has a body."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head, self._read = self._read[:end], self._read[end + 4 :]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            self._begin(method, target)

    def _begin(self, method: str, target: str) -> None:
        account = self._account
        if target.startswith("/_stub"):
            told = account.told()
            if method == "DELETE":
                account.reset()
            self._write(200, told)
            return
        if account.in_flight >= account.limit:
            account.refused += 1
            self._write(429, {"code": 20429, "status": 429})
            return
        account.change(1)
        asyncio.get_running_loop().call_later(account.latency, self._end, method, target)

    def _end(self, method: str, target: str) -> None:
        account = self._account
        account.change(-1)
        parts = urlsplit(target)
        sid = parts.path.rpartition("/")[2].removesuffix(".json")
        if method == "DELETE":
            account.deleted.add(sid)
            self._write(204, None)
        elif sid.startswith("RE"):
            gone = sid in account.deleted
            self._write(404 if gone else 200, {"code": 20404} if gone else {"sid": sid})
        else:
            self._write(200, self._page(parse_qs(unquote(parts.query))))

    def _page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        since = moments.from_text(query["DateCreated>"][0])
        second, made = int(since.timestamp()), format_datetime(since)
        entries = [
            {
                "sid": sid_of(second, place),
                "call_sid": f"CA{second:032x}",
                "status": "completed",
                "duration": "3",
                "date_created": made,
                "date_updated": made,
            }
            for place in range(ON_A_PAGE)
            if sid_of(second, place) not in self._account.deleted
        ]
        return {"recordings": entries, "next_page_uri": None}

    def _write(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(head.encode() + data)


async def serve(port: int, latency: float, limit: int) -> None:
    """Serve until the process is ended."""
    account = Account(latency, limit)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(account), "127.0.0.1", port, backlog=512)
    print("ready", flush=True)  # noqa: T201 - the parent process waits for it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000, int(sys.argv[3])))
