"""What no gate can be faster than: the bytes of one read over a connection that stays open, nothing signed or read."""

from __future__ import annotations

import os
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

HOST = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
BODY = b'{"TableName":"ledger","Key":{"pk":{"S":"SESSION#KC1"},"sk":{"S":"SESSION"}},"ConsistentRead":true}'
REQUEST = (
    f"POST / HTTP/1.1\r\nhost: {HOST}\r\nx-amz-target: DynamoDB_20120810.GetItem\r\ncontent-length: {len(BODY)}\r\n\r\n"
).encode() + BODY
connection = HTTPConnection(HOST, timeout=2)
connection.connect()


def handle(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Send the bytes, and take what comes."""
    connection.sock.sendall(REQUEST)
    answered = connection.sock.recv(65_536).startswith(b"HTTP/1.1 200")
    return {"statusCode": 200 if answered else 500}
