"""Running a provider as the plugin process that the engine starts."""

from __future__ import annotations

import os
import signal
import threading
from concurrent import futures
from types import FrameType

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.provider.servicer import Provider

THREADS = 32
"""Requests answered at a time; `pulumi up` sends 16 for each CPU unless told otherwise."""
GRACE = 5.0
"""Seconds that requests under way get to finish when the process is told to end."""
WATCH = 1.0
"""Seconds between two looks at whether the engine is still there."""


def serve(provider: Provider) -> None:
    """Serve `provider` on a free loopback port, print the port, and return when the engine is done with it.

    The end comes by SIGINT, by SIGTERM, or when the process that started this one is gone, so that an engine that was
    killed leaves no orphan behind.
    """
    ended, parent = threading.Event(), os.getppid()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, end)
    sizes = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=sizes)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201 - the engine reads the port from the first line
    while not ended.wait(WATCH) and os.getppid() == parent:
        pass
    provider.cancelled.set()
    server.stop(GRACE).wait()
