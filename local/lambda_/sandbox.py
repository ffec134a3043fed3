"""One execution environment of a function: a process of AWS's runtime client, one event at a time, warm in between."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.lambda_.runtime_api import RuntimeApi

#: How long a handler's module may take to load ("Lambda execution environment lifecycle": 10 seconds).
INIT_SECONDS = 10.0
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


@dataclass
class Invocation:
    """One event for a sandbox. `timeout` in seconds counts from when the sandbox is ready."""

    payload: bytes
    function_arn: str
    timeout: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    ended: threading.Event = field(default_factory=threading.Event)
    answer: bytes | None = None
    failed: bool = False


@dataclass(frozen=True)
class Plan:
    """How to start a sandbox: the unpacked zip, `module.handler`, the environment, and where its output goes."""

    task: Path
    handler: str
    environment: Mapping[str, str]
    output: Path


class Sandbox:
    """Starts the process and waits until it asks for an event, or has failed to load."""

    def __init__(self, plan: Plan, api: RuntimeApi) -> None:
        self._api = api
        self._events: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._current: Invocation | None = None
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self.init_error: bytes | None = None
        self._listener = api.open(self)
        self._output = plan.output.open("a+b", buffering=0)
        watched, self._watch = os.pipe()
        began = time.monotonic()
        host, port = self._listener.getsockname()[:2]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-P", str(_BOOTSTRAP), str(watched), plan.handler],
                cwd=plan.task,
                env={**plan.environment, "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(watched,),
                start_new_session=True,
            )
        finally:
            os.close(watched)
        self._reaper = threading.Thread(target=self._reap, name="lambda-sandbox", daemon=True)
        self._reaper.start()
        if not self._ready.wait(INIT_SECONDS):
            self.init_error = _error("Sandbox.Timedout", f"Init timed out after {INIT_SECONDS:.0f} seconds")
        self.init_seconds = time.monotonic() - began

    @property
    def alive(self) -> bool:
        """Whether the process runs and can take another event."""
        return self._process.returncode is None and self.init_error is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def run(self, invocation: Invocation) -> None:
        """Give the sandbox an event and wait for its answer, its end or the deadline; a failed sandbox is stopped."""
        if self.init_error is None:
            with self._lock:
                self._current = invocation
            self._events.put(invocation)
            answered = invocation.ended.wait(invocation.timeout)
            with self._lock:
                self._current = None
            if not answered:
                stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
                message = f"{stamp} {invocation.request_id} Task timed out after {invocation.timeout:.2f} seconds"
                invocation.answer, invocation.failed = json.dumps({"errorMessage": message}).encode(), True
                self.stop()
            elif invocation.answer is None:
                self._reaper.join()
                invocation.answer, invocation.failed = self._exit_error(invocation.request_id), True
                self.stop()
        else:
            invocation.answer, invocation.failed = self.init_error, True
            self.stop()

    def take_output(self) -> bytes:
        """Return what the process has written since the last time, and forget it."""
        self._output.seek(0)
        written = self._output.read()
        os.ftruncate(self._output.fileno(), 0)
        return written

    def stop(self) -> None:
        """End the process and whatever it started (it leads its own process group)."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._reaper.join()
        with self._lock:
            watch, self._watch = self._watch, -1
        if watch != -1:
            self._events.put(None)
            self._api.end(self._listener)
            os.close(watch)

    def close(self) -> None:
        """Stop, and let go of the output."""
        self.stop()
        self._output.close()
        Path(self._output.name).unlink(missing_ok=True)

    def _reap(self) -> None:
        """Wait for the process's end; an event that it was at ends with it."""
        self._process.wait()
        if not self._ready.is_set():
            self.init_error = self.init_error or self._exit_error(str(uuid.uuid4()))
            self._ready.set()
        with self._lock:
            current = self._current
        if current is not None:
            current.ended.set()

    def _exit_error(self, request_id: str) -> bytes:
        code = self._process.returncode
        how = f"signal: {signal.Signals(-code).name}" if code and code < 0 else f"exit status {code}"
        return _error("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: {how}")

    # --- what the runtime client asks ---

    def next_event(self) -> tuple[bytes, Mapping[str, str]] | None:
        """Wait for the next event."""
        self._ready.set()
        invocation = self._events.get()
        if invocation is None:
            return None
        return invocation.payload, {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + invocation.timeout) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0",
        }

    def answered(self, request_id: str, payload: bytes, *, error: bool) -> bool:
        """Take the answer to the current event; a late answer to another one is refused."""
        with self._lock:
            current = self._current
            if current is None or current.request_id != request_id or current.ended.is_set():
                return False
            current.answer, current.failed = payload, error
            current.ended.set()
        return True

    def init_failed(self, error: bytes) -> None:
        """Keep the error of a handler that could not be loaded."""
        self.init_error = error
        self._ready.set()


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
