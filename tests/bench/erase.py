"""Erasing versions of objects, ours beside bare boto3: both over one client each, against a stub of S3 that waits.

The stub is a process of its own that answers a list after 100 ms and a batch after 300 ms, as S3 does of a thousand,
and keeps nothing. `python -m tests.bench.erase 100000` measures once with so many versions.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from parley.adapters.versions import BATCH, CONCURRENCY, Versions, s3_client

LIST_SECONDS, BATCH_SECONDS = 0.1, 0.3
BUCKET = "bench"
COUNT = 10_000
"""Versions of one measurement: the ratio is that of 100,000, which take ten times as long."""

_VERSION = (
    "<Version><Key>call-recordings/KC{page:032x}/RE{place:032x}.wav</Key><VersionId>{place:032x}</VersionId>"
    "<IsLatest>true</IsLatest><LastModified>2026-05-04T12:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
    "<Size>1000</Size><StorageClass>STANDARD</StorageClass></Version>"
)


def _page(number: int, pages: int) -> bytes:
    """Return one page of a list of versions."""
    more = (
        f"<IsTruncated>true</IsTruncated><NextKeyMarker>{number + 1}</NextKeyMarker>"
        f"<NextVersionIdMarker>v</NextVersionIdMarker>"
        if number + 1 < pages
        else "<IsTruncated>false</IsTruncated>"
    )
    entries = "".join(_VERSION.format(page=number, place=place) for place in range(BATCH))
    return f'<?xml version="1.0"?><ListVersionsResult>{more}{entries}</ListVersionsResult>'.encode()


async def _serve(pages: int, port: Any) -> None:
    listed = [_page(number, pages) for number in range(pages)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            method, target, _ = line.decode().split(" ", 2)
            length = 0
            while (header := await reader.readline()) not in {b"\r\n", b""}:
                name, _, value = header.decode().partition(":")
                if name.lower() == "content-length":
                    length = int(value)
                if name.lower() == "expect":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await reader.readexactly(length)
            if method == "GET":
                await asyncio.sleep(LIST_SECONDS)
                marker = target.partition("key-marker=")[2].partition("&")[0]
                body = listed[int(marker or 0)]
            else:
                await asyncio.sleep(BATCH_SECONDS)
                body = b'<?xml version="1.0"?><DeleteResult></DeleteResult>'
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**20)
    port.value = server.sockets[0].getsockname()[1]
    await server.serve_forever()


def _run(pages: int, port: Any) -> None:
    asyncio.run(_serve(pages, port))


@contextmanager
def stub(count: int) -> Iterator[Callable[..., Any]]:
    """Serve a bucket of so many versions; give what makes a client of it."""
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    process = context.Process(target=_run, args=(count // BATCH, port), daemon=True)
    process.start()
    while port.value == 0 and process.is_alive():
        time.sleep(0.02)

    def client(make: Callable[..., Any] = lambda **named: boto3.client("s3", **named)) -> Any:
        return make(
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{port.value}",
            aws_access_key_id="bench",
            aws_secret_access_key="bench",
            config=Config(max_pool_connections=CONCURRENCY + 1, s3={"addressing_style": "path"}),
        )

    try:
        yield client
    finally:
        process.terminate()
        process.join()


def ours(make: Callable[..., Any], count: int) -> Callable[[], float]:
    """Return a measurement of `Versions`, in milliseconds."""
    versions = Versions(make(s3_client))

    def measure() -> float:
        began = time.perf_counter()
        removal = versions.delete(BUCKET, versions.of(BUCKET, "call-recordings/"))
        spent = time.perf_counter() - began
        assert (removal.deleted, removal.refused) == (count, ())
        return spent * 1000

    return measure


def bare(make: Callable[..., Any], count: int, *, side_by_side: bool) -> Callable[[], float]:
    """Return a measurement of boto3 alone, each page of its paginator a batch, in milliseconds.

    The batches go `side_by_side` in threads, or each after its page and before the next one.
    """
    client = make()

    def delete(page: Any) -> int:
        objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in page["Versions"]]
        answer = client.delete_objects(Bucket=BUCKET, Delete={"Objects": objects, "Quiet": True})
        return len(objects) - len(answer.get("Errors", []))

    def measure() -> float:
        began = time.perf_counter()
        pages = client.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix="call-recordings/")
        if side_by_side:
            with ThreadPoolExecutor(CONCURRENCY) as pool:
                deleted = sum(pool.map(delete, pages))
        else:
            deleted = sum(map(delete, pages))
        spent = time.perf_counter() - began
        assert deleted == count
        return spent * 1000

    return measure


if __name__ == "__main__":
    versions_count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    with stub(versions_count) as made:
        us = ours(made, versions_count)()
        threads, one = (bare(made, versions_count, side_by_side=how)() for how in (True, False))
    print(f"{versions_count} versions: ours {us:.0f} ms, boto3 in threads {threads:.0f}, one by one {one:.0f}")  # noqa: T201
