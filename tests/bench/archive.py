"""The archive against a plain copy of the same bytes over loopback, and its memory from 1 MB to 2 GB.

Source and sink are one small server in a process of its own, which makes the sound as it sends it and forgets what it
is given, so that neither a disk nor moto is measured. Ours is what the function does: Twilio's media through
`TwilioRecords`, each part hashed, signed and sent through boto3, the whole hashed, and the header held against it.
There are three peers, none of which hashes or proves anything of its own: a plain streamed copy, which reads a part and
sends it with boto3, one after the other (over loopback and over a network of `NETWORK`); boto3's `upload_fileobj` of
the same stream, which sends ten parts at once; and as the floor a loop that reads one socket and writes another one, a
quarter of a megabyte at a time.

`python -m tests.bench.archive BYTES` archives so many bytes and prints the peak of its memory in kilobytes.
"""

from __future__ import annotations

import multiprocessing
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from parley.adapters.content import PATIENT, ContentStore
from parley.adapters.secrets import TwilioCredentials
from parley.adapters.twilio_api import media_pieces
from parley.adapters.twilio_records import TwilioRecords
from parley.archiving import PIECE
from parley.core.archive import PART, Expected, check_recording
from parley.core.records import Resource, ResourceKind

ACCOUNT = "AC" + "1" * 32
SECOND = 32_000
"""Bytes of a second in two channels."""
NETWORK = 75e6
"""Bytes a second of a network as a function has it: some 600 Mbit a second."""
SIZES = (1_000_000, 64_000_000, 2_000_000_044)
"""The files over which memory has to be flat, in bytes."""
_BLOCK = bytes(range(256)) * 4096
_HEAD = re.compile(rb"^(?P<verb>[A-Z]+) (?P<path>\S+)")
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_RESULTS = {
    "uploads": b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
    "uploadId": b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>',
}


def media(size: int) -> Resource:
    """Return the recording whose WAV file has `size` bytes: its SID says how many."""
    return Resource(ResourceKind.RECORDING, f"RE{size:032x}")


# The server ---------------------------------------------------------------------------------------------------


def _serve(listener: socket.socket, rate: float) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_talk, args=(connection, rate), daemon=True).start()


def _talk(connection: socket.socket, rate: float) -> None:
    held, room = b"", memoryview(bytearray(1 << 20))
    while True:
        while b"\r\n\r\n" not in held:
            more = connection.recv(65536)
            if not more:
                return
            held += more
        head, _, held = held.partition(b"\r\n\r\n")
        match, length = _HEAD.match(head), _LENGTH.search(head)
        assert match is not None
        left = (int(length[1]) if length else 0) - len(held)
        if b"100-continue" in head:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while left > 0:
            left -= connection.recv_into(room, min(left, len(room)))
        held = b""
        _answer(connection, match["verb"], match["path"].decode(), rate)


def _answer(connection: socket.socket, verb: bytes, path: str, rate: float) -> None:
    if verb == b"GET":
        found = re.search(r"RE([0-9a-f]{32})", path)
        assert found is not None
        size = int(found[1], 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: audio/x-wav\r\nContent-Length: %d\r\n\r\n" % size)
        connection.sendall(_riff(size))
        left, began = size - 44, time.monotonic()
        while left:
            part = memoryview(_BLOCK)[:left]
            connection.sendall(part)
            left -= len(part)
            if rate:
                time.sleep(max(0.0, began + (size - left) / rate - time.monotonic()))
        return
    body = next((text for name, text in _RESULTS.items() if verb == b"POST" and name in path), b"")
    connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: %d\r\n\r\n' % len(body) + body)


def _riff(size: int) -> bytes:
    data = size - 44
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, 8000, SECOND, 4, 16)
    return struct.pack("<4sI4s", b"RIFF", data + 36, b"WAVE") + form + struct.pack("<4sI", b"data", data)


@contextmanager
def server(rate: float = 0) -> Iterator[str]:
    """Serve in a process of its own, media at most at a `rate` of bytes a second unless it is 0; give the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(listener, rate), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        process.terminate()
        process.join()
        listener.close()


# Both sides ---------------------------------------------------------------------------------------------------


def _twilio(url: str) -> TwilioRecords:
    credentials = TwilioCredentials("SK" + "2" * 32, "s" * 32, ("t" * 32,))
    return TwilioRecords(lambda _renewed: credentials, ACCOUNT, url, services=["KS" + "3" * 32])


def _s3(url: str) -> Any:
    keys = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench", "region_name": "us-east-1"}
    config = PATIENT.merge(Config(s3={"addressing_style": "path", "payload_signing_enabled": False}))
    return boto3.client("s3", endpoint_url=url, config=config, **keys)  # type: ignore[call-overload]


def archiving(url: str, size: int) -> Callable[[], float]:
    """Return a measurement of archiving `size` bytes, in milliseconds."""
    twilio, client = _twilio(url), _s3(url)
    content = ContentStore(client, "content", "arn:aws:kms:us-east-1:123456789012:key/content")

    def measure() -> float:
        began = time.perf_counter()
        upload = content.begin("k", media_type="audio/x-wav", tags={}, held=False)
        with twilio.media(media(size)) as answer:
            pieces = media_pieces("bench", answer, PIECE)
            found, parts = content.send("k", upload, {}, pieces)
        check_recording(Expected("audio/x-wav", size, (size - 44) // SECOND), found)
        content.complete("k", upload, parts)
        return (time.perf_counter() - began) * 1000

    return measure


def uploading(url: str, size: int) -> Callable[[], float]:
    """Return a measurement of what a script does: boto3's own `upload_fileobj` of the stream, in milliseconds."""
    client = _s3(url)

    def measure() -> float:
        began = time.perf_counter()
        with _twilio(url).media(media(size)) as answer:
            client.upload_fileobj(answer, "content", "k")
        return (time.perf_counter() - began) * 1000

    return measure


def streaming(url: str, size: int) -> Callable[[], float]:
    """Return a measurement of a plain streamed copy: each part read whole and sent with boto3, in milliseconds."""
    client = _s3(url)

    def measure() -> float:
        began = time.perf_counter()
        place = {"Bucket": "content", "Key": "k"}
        upload = client.create_multipart_upload(**place)["UploadId"]
        parts: list[dict[str, Any]] = []
        with _twilio(url).media(media(size)) as answer:
            while part := answer.read(PART):
                number = len(parts) + 1
                sent = client.upload_part(**place, UploadId=upload, PartNumber=number, Body=part)
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
        return (time.perf_counter() - began) * 1000

    return measure


def copying(url: str, size: int) -> Callable[[], float]:
    """Return a measurement of a plain copy of `size` bytes, in milliseconds."""
    place = url.removeprefix("http://")

    def measure() -> float:
        began = time.perf_counter()
        source, sink = HTTPConnection(place), HTTPConnection(place)
        source.request("GET", f"/{media(size).sid}")
        answer = source.getresponse()
        sink.putrequest("PUT", "/k")
        sink.putheader("Content-Length", str(size))
        sink.endheaders()
        while piece := answer.read(PIECE):
            sink.send(piece)
        sink.getresponse().read()
        source.close()
        sink.close()
        return (time.perf_counter() - began) * 1000

    return measure


def peak_kilobytes(size: int) -> int:
    """Return the peak of the memory of a new process that archives `size` bytes."""
    command = [sys.executable, "-m", "tests.bench.archive", str(size)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _main() -> None:
    with server() as url:
        archiving(url, int(sys.argv[1]))()
    print(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])  # noqa: T201 - its output


if __name__ == "__main__":
    _main()
