"""The Python language host as the engine starts it: `pulumi-language-python ENGINE_ADDRESS`.

It prints the port it listens on, serves `language.Language` there and ends on SIGINT, SIGTERM or when the engine that
started it is gone, taking the programs and plugins it runs along.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import types
from concurrent import futures

# Each policy pack and each plugin holds a thread for as long as it lives.
_THREADS = 64
_WATCH_SECONDS = 1.0


def _skip_sdk() -> None:
    """Make the SDK's protocol modules importable without running the SDK's own `__init__`.

    The host needs five generated modules of `pulumi.runtime.proto`; `import pulumi` around them takes half a second
    of every command. This is for the host's own process only: it never runs a program itself.
    """
    found = importlib.util.find_spec("pulumi")
    if found is None or not found.submodule_search_locations:
        return
    root = found.submodule_search_locations[0]
    for name, place in (("pulumi", ""), ("pulumi.runtime", "/runtime"), ("pulumi.runtime.proto", "/runtime/proto")):
        stand_in = types.ModuleType(name)
        stand_in.__path__ = [root + place]
        sys.modules[name] = stand_in


def serve(engine_address: str) -> int:
    """Serve until told to stop or orphaned; returns the exit code."""
    import grpc  # noqa: PLC0415 - after _skip_sdk, so that both are in one place

    from local.engine.language import Language  # noqa: PLC0415 - imports the protocol modules
    from local.engine.protocol import add_language_runtime  # noqa: PLC0415

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    parent = os.getppid()
    language = Language(engine_address)
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    add_language_runtime(language, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201 - the protocol: the first line is the port
    while not stop.wait(_WATCH_SECONDS):
        if engine_address and os.getppid() != parent:
            break
    language.close()
    server.stop(None)
    # Handler threads may still hold a stream; the children are gone, so nothing is left to wait for.
    sys.stdout.flush()
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Start the host for the engine whose address is the last positional argument."""
    if "--version" in arguments or "-version" in arguments:
        from importlib import metadata  # noqa: PLC0415 - not needed to serve

        print(f"v{metadata.version('pulumi')}")  # noqa: T201
        return 0
    _skip_sdk()
    return serve(next((one for one in reversed(arguments) if not one.startswith("-")), ""))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
