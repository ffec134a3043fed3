"""Files that the carrier serves: made as they are sent, whole or in part (RFC 9110, section 14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.http import parse_range_header
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Content:
    """A file of `size` bytes. `read(start, stop)` yields the bytes of that part, and never holds the whole."""

    content_type: str
    size: int
    read: Callable[[int, int], Iterable[bytes]]


def of_bytes(content_type: str, data: bytes) -> Content:
    """Return a small file that is in memory."""
    return Content(content_type, len(data), lambda start, stop: [data[start:stop]])


def serve(content: Content, requested: str | None) -> Response:
    """Return the answer to a GET with this Range header, or none: 200, 206 for one range, 416 for one past the end."""
    start, stop, status = 0, content.size, 200
    wanted = parse_range_header(requested)
    headers = {"Accept-Ranges": "bytes"}
    if wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1:
        part = wanted.range_for_length(content.size)
        if part is None:
            headers["Content-Range"] = f"bytes */{content.size}"
            return Response(b"", 416, headers, content_type=content.content_type)
        start, stop, status = part[0], part[1], 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    headers["Content-Length"] = str(stop - start)
    return Response(
        content.read(start, stop), status, headers, content_type=content.content_type, direct_passthrough=True
    )


def first(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of chunks."""
    for chunk in chunks:
        if size <= 0:
            return
        yield chunk[:size]
        size -= len(chunk)
