"""The deployed functions: their packages, their warm sandboxes, and how they are invoked.

`Functions.invoke` runs one event in the version that moto holds for an ARN. What AWS does round that is done here:
reserved concurrency, role credentials, the environment of the runtime, log lines in CloudWatch Logs.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import shutil
import stat
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import LambdaFunction, lambda_backends

from local.aws.callers import RoleNotAssumableError, assume
from local.aws.calls import ACCOUNT
from local.lambda_.runtime_api import RuntimeApi
from local.lambda_.sandbox import Invocation, Plan, Sandbox

if TYPE_CHECKING:
    from local.lambda_.faults import Faults
    from local.lambda_.function_logs import FunctionLogs

log = logging.getLogger(__name__)

#: What AWS's Python runtime brings: its client and the SDK. Nothing else of this machine can be imported by a function.
_RUNTIME_MODULES = (
    *("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py"),
    *("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six"),
)
#: At most so many sandboxes at once, idle ones included: one with a boto3 client takes about 45 MB.
MAX_SANDBOXES = 16
#: "Lambda quotas": 6 MB for the answer of a synchronous invocation.
ANSWER_LIMIT = 6 * 1024 * 1024


class FunctionMissingError(Exception):
    """There is no such function, version or alias."""


class ThrottledError(Exception):
    """The function's reserved concurrency is used up, or the cloud is ending."""


@dataclass(frozen=True)
class Outcome:
    """What came of one event: the answer, `Unhandled` if it is an error, and the end of the log (4 KB)."""

    payload: bytes
    error: str | None
    request_id: str
    version: str
    log_tail: bytes = b""
    seconds: float = 0.0
    cold: bool = False

    @property
    def message(self) -> str:
        """The error message, for access logs and dead letters; it may say what must not be in the cloud's own log."""
        return self._said("errorMessage")

    @property
    def kind(self) -> str:
        """The error's type, such as `ValueError` or `Runtime.ExitError`."""
        return self._said("errorType") or "timeout"

    def _said(self, name: str) -> str:
        try:
            answer = json.loads(self.payload)
        except ValueError:
            return ""
        return str(answer.get(name, "")) if self.error and isinstance(answer, dict) else ""


def find_function(name_or_arn: str, qualifier: str | None = None, region: str = "us-east-1") -> LambdaFunction:
    """Return the version that a name, ARN or alias stands for. Raises FunctionMissingError."""
    if name_or_arn.startswith("arn:"):
        parts = name_or_arn.split(":")
        region, name_or_arn = parts[3], ":".join(parts[6:])
    try:
        return lambda_backends[ACCOUNT][region].get_function(name_or_arn, qualifier)
    except Exception as error:
        raise FunctionMissingError(
            f"Function not found: {name_or_arn}{f':{qualifier}' if qualifier else ''}"
        ) from error


class Functions:
    """Runs functions. `home` is a folder of its own, wiped at the start; `endpoint()` is the AWS API's URL."""

    def __init__(
        self,
        home: Path,
        endpoint: Callable[[], str],
        logs: FunctionLogs,
        faults: Faults,
    ) -> None:
        shutil.rmtree(home, ignore_errors=True)
        self._home = home
        self._endpoint = endpoint
        self._logs = logs
        self._faults = faults
        self._api = RuntimeApi()
        self._pools: dict[str, _Pool] = {}
        self._busy: Counter[str] = Counter()
        self._sandboxes = 0
        self._room = threading.Condition()
        self._closed = False
        self._runtime = home / "runtime"
        self._tasks = home / "tasks"
        self._outputs = home / "outputs"
        for folder in (self._runtime, self._tasks, self._outputs):
            folder.mkdir(parents=True)
        _link_runtime(self._runtime)

    def invoke(self, function: LambdaFunction, payload: bytes, *, arn: str | None = None) -> Outcome:
        """Run one event to its end. Raises ThrottledError; a failing function is an Outcome with an error."""
        version = str(function.version)
        if (fault := self._faults.take(function.function_name)) is not None:
            return _fault_outcome(fault, function)
        with self._concurrency(function):
            pool = self._pool(function)
            invocation = Invocation(payload, arn or function.function_arn, float(function.timeout))
            try:
                sandbox, cold = self._sandbox(pool)
            except RoleNotAssumableError as problem:
                log.error("%s: %s", function.function_name, problem)  # noqa: TRY400 - the message says it all
                answer = json.dumps({"errorType": "AccessDeniedException", "errorMessage": str(problem)}).encode()
                return Outcome(answer, "Unhandled", invocation.request_id, version)
            began = time.monotonic()
            try:
                sandbox.run(invocation)
            finally:
                seconds = time.monotonic() - began
                written = sandbox.take_output()
                self._return(pool, sandbox)
            tail = self._logs.write(
                function, pool.stream, written, invocation, seconds, sandbox.init_seconds if cold else None
            )
        answer, error = invocation.answer or b"", "Unhandled" if invocation.failed else None
        if len(answer) > ANSWER_LIMIT:
            answer, error = _too_large(len(answer)), "Unhandled"
        return Outcome(answer, error, invocation.request_id, version, tail, seconds, cold)

    def forget(self, name: str) -> None:
        """Stop the idle sandboxes of a function that was deleted."""
        with self._room:
            gone = [self._pools.pop(arn) for arn in list(self._pools) if self._pools[arn].name == name]
        for pool in gone:
            self._retire(pool)

    def sandbox_pids(self) -> list[int]:
        """Return the process ids of the idle sandboxes."""
        with self._room:
            return [sandbox.pid for pool in self._pools.values() for sandbox in pool.idle]

    def end_sandboxes(self) -> None:
        """End every sandbox, in the middle of an event as well, and start no more."""
        with self._room:
            self._closed = True
            pools = list(self._pools.values())
            running = [sandbox for pool in pools for sandbox in pool.all]
            self._pools.clear()
            self._room.notify_all()
        for pool in pools:
            self._retire(pool)
        for sandbox in running:
            sandbox.stop()

    def close(self) -> None:
        """End every sandbox, and remove what was unpacked."""
        self.end_sandboxes()
        self._api.close()
        shutil.rmtree(self._home, ignore_errors=True)

    # --- one invocation's place ---

    @contextlib.contextmanager
    def _concurrency(self, function: LambdaFunction) -> Iterator[None]:
        """Count one of the function's concurrent executions, all versions together."""
        name = function.function_name
        reserved = find_function(name, None, function.region).reserved_concurrency
        with self._room:
            if reserved is not None and self._busy[name] >= int(reserved):
                raise ThrottledError(name)
            self._busy[name] += 1
        try:
            yield
        finally:
            with self._room:
                self._busy[name] -= 1

    def _pool(self, function: LambdaFunction) -> _Pool:
        """Return the pool of a version; one whose code or settings have changed starts afresh."""
        config = function.get_configuration()
        state = json.dumps(
            [
                function.code_sha_256,
                *(config.get(k) for k in ("Environment", "Handler", "MemorySize", "Role", "Runtime")),
            ]
        )
        with self._room:
            pool = self._pools.get(function.function_arn)
            if pool is not None and pool.state == state:
                return pool
            fresh = _Pool(function.function_name, state, self._plan(function, config), function.role)
            self._pools[function.function_arn] = fresh
        if pool is not None:
            self._retire(pool)
        return fresh

    def _sandbox(self, pool: _Pool) -> tuple[Sandbox, bool]:
        """Take a warm sandbox, or start one as soon as there is room for it."""
        stale: list[Sandbox] = []
        try:
            with self._room:
                while pool.idle:
                    sandbox = pool.idle.pop()
                    if sandbox.alive:
                        return sandbox, False
                    self._drop(pool, sandbox)
                    stale.append(sandbox)
                while self._sandboxes >= MAX_SANDBOXES and not self._closed:
                    if (oldest := self._oldest_idle()) is not None:
                        stale.append(oldest)
                    else:
                        self._room.wait()
                if self._closed:
                    raise ThrottledError(pool.name)
                self._sandboxes += 1
        finally:
            for sandbox in stale:
                sandbox.close()
        try:
            keys = assume(pool.role, pool.name, service="lambda.amazonaws.com")
            environment = {
                **pool.plan.environment,
                "AWS_ENDPOINT_URL": self._endpoint(),
                "AWS_ACCESS_KEY_ID": keys.access_key_id,
                "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
                "AWS_SESSION_TOKEN": keys.session_token,
            }
            output = self._outputs / uuid.uuid4().hex
            sandbox = Sandbox(Plan(pool.plan.task, pool.plan.handler, environment, output), self._api)
        except BaseException:
            with self._room:
                self._sandboxes -= 1
                self._room.notify()
            raise
        with self._room:
            pool.all.add(sandbox)
        return sandbox, True

    def _return(self, pool: _Pool, sandbox: Sandbox) -> None:
        with self._room:
            keep = sandbox.alive and not pool.retired and not self._closed
            if keep:
                pool.idle.append(sandbox)
            else:
                self._drop(pool, sandbox)
            self._room.notify()
        if not keep:
            sandbox.close()

    def _drop(self, pool: _Pool, sandbox: Sandbox) -> None:
        pool.all.discard(sandbox)
        self._sandboxes -= 1

    def _oldest_idle(self) -> Sandbox | None:
        for pool in self._pools.values():
            if pool.idle:
                sandbox = pool.idle.pop(0)
                self._drop(pool, sandbox)
                return sandbox
        return None

    def _retire(self, pool: _Pool) -> None:
        with self._room:
            pool.retired = True
            idle, pool.idle = pool.idle, []
            for sandbox in idle:
                self._drop(pool, sandbox)
            self._room.notify_all()
        for sandbox in idle:
            sandbox.close()

    # --- what a sandbox is started with ---

    def _plan(self, function: LambdaFunction, config: Mapping[str, Any]) -> Plan:
        task = self._unpacked(function)
        name, region = function.function_name, function.region
        variables = (config.get("Environment") or {}).get("Variables", {})
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": f"{task}:{self._runtime}",
            "PYTHONUNBUFFERED": "1",
            "LAMBDA_TASK_ROOT": str(task),
            "LAMBDA_RUNTIME_DIR": str(self._runtime),
            "_HANDLER": str(config["Handler"]),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime') or 'python3.13'}",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": str(config["Version"]),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize") or 128),
            "AWS_LAMBDA_LOG_GROUP_NAME": self._logs.group(function),
            "AWS_LAMBDA_LOG_STREAM_NAME": self._logs.stream(function),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            **self._logs.environment(function),
            **{str(key): str(value) for key, value in variables.items()},
        }
        return Plan(task, str(config["Handler"]), environment, self._outputs)

    def _unpacked(self, function: LambdaFunction) -> Path:
        """Unpack the zip that moto stored, once for all versions with the same code."""
        task = self._tasks / re.sub(r"[^A-Za-z0-9]", "_", str(function.code_sha_256))
        if not task.exists():
            with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as package:
                package.extractall(task)
                for item in package.infolist():
                    # What AWS's runtime could not read must not work here either.
                    mode = item.external_attr >> 16
                    if stat.S_IFMT(mode) in {0, stat.S_IFREG} and mode & 0o777:
                        (task / item.filename).chmod(mode & 0o777)
        return task


class _Pool:
    """The sandboxes of one version with one state of code and settings."""

    def __init__(self, name: str, state: str, plan: Plan, role: str) -> None:
        self.name, self.state, self.plan, self.role = name, state, plan, role
        self.stream = plan.environment["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.idle: list[Sandbox] = []
        self.all: set[Sandbox] = set()
        self.retired = False


def _link_runtime(folder: Path) -> None:
    """Fill a folder with links to what the runtime brings, so that a function finds these packages and no others."""
    for module in _RUNTIME_MODULES:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            continue
        source = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
        (folder / source.name).symlink_to(source)


def _fault_outcome(mode: str, function: LambdaFunction) -> Outcome:
    """Return what the function would have answered, had it failed in this way."""
    request_id = str(uuid.uuid4())
    if mode == "timeout":
        answer = {"errorMessage": f"{request_id} Task timed out after {float(function.timeout):.2f} seconds"}
    elif mode == "crash":
        message = f"RequestId: {request_id} Error: Runtime exited with error: exit status 1"
        answer = {"errorType": "Runtime.ExitError", "errorMessage": message}
    else:
        answer = {"errorType": "RuntimeError", "errorMessage": "injected fault", "stackTrace": ""}
    return Outcome(json.dumps(answer).encode(), "Unhandled", request_id, str(function.version))


def _too_large(size: int) -> bytes:
    message = f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({ANSWER_LIMIT} bytes)."
    return json.dumps({"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}).encode()
