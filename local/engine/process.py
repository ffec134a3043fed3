"""Child processes that never outlive the command that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from local.engine.bound import bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GRACE_SECONDS = 5.0


@contextlib.contextmanager
def own_group(command: Sequence[str | os.PathLike[str]], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a process group that ends with the block, however the block ends.

    Within the block SIGTERM raises SystemExit, as SIGINT raises KeyboardInterrupt, so that the group is ended before
    this process is; where this process is killed, Linux sends SIGTERM to the command. `options` are those of
    `subprocess.Popen`; streams are text.
    """
    with _terminate_by_exception():
        child = subprocess.Popen(
            bound(command, signal.SIGTERM), start_new_session=True, text=True, errors="replace", **options
        )
        try:
            yield child
        finally:
            end_group(child)


def end_group(child: subprocess.Popen[str]) -> None:
    """End a child's whole process group: SIGTERM, and SIGKILL to what is left of it after a grace."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_SECONDS)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@contextlib.contextmanager
def _terminate_by_exception() -> Iterator[None]:
    """Let SIGTERM unwind the stack; handlers can only be set in the main thread, elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
