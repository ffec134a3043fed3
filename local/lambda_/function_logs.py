"""A function's output in CloudWatch Logs, as Lambda writes it: START, its lines, END, REPORT.

As on AWS, what the role may not write is lost: then the cloud's own log says so.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.logs.models import logs_backends

from local.aws.authorization import permission
from local.aws.callers import session_of
from local.aws.calls import ACCOUNT
from local.aws.policy import Question

if TYPE_CHECKING:
    from moto.awslambda.models import LambdaFunction

    from local.clock import Clock
    from local.lambda_.sandbox import Invocation

log = logging.getLogger(__name__)

_TAIL = 4096


class FunctionLogs:
    """Writes to moto's log groups under moto's own lock."""

    def __init__(self, clock: Clock, lock: Callable[[str], AbstractContextManager[Any]]) -> None:
        self._clock = clock
        self._lock = lock

    def group(self, function: LambdaFunction) -> str:
        """Return the log group of a function: the declared one, or `/aws/lambda/NAME`."""
        config = getattr(function, "logging_config", None) or {}
        return str(config.get("LogGroup") or f"/aws/lambda/{function.function_name}")

    def environment(self, function: LambdaFunction) -> dict[str, str]:
        """Return the variables by which the runtime client learns the declared log format and level."""
        config = getattr(function, "logging_config", None) or {}
        if config.get("LogFormat") != "JSON":
            return {}
        return {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": config.get("ApplicationLogLevel", "INFO")}

    def stream(self, function: LambdaFunction) -> str:
        """Return a new log stream's name, in Lambda's form."""
        day = datetime.fromtimestamp(self._clock.now(), UTC)
        return f"{day:%Y/%m/%d}/[{function.version}]{uuid.uuid4().hex}"

    def write(
        self,
        function: LambdaFunction,
        stream: str,
        output: bytes,
        invocation: Invocation,
        seconds: float,
        init_seconds: float | None,
    ) -> bytes:
        """Write the log of one invocation and return its last 4 KB."""
        milliseconds = seconds * 1000
        report = (
            f"REPORT RequestId: {invocation.request_id}\tDuration: {milliseconds:.2f} ms\t"
            f"Billed Duration: {math.ceil(milliseconds)} ms\tMemory Size: {function.memory_size} MB\t"
        )
        if init_seconds is not None:
            report += f"Init Duration: {init_seconds * 1000:.2f} ms\t"
        # The runtime client joins the lines of one message by carriage returns.
        said = [line.replace("\r", "\n") for line in output.decode("utf-8", "replace").split("\n") if line]
        if invocation.failed and b"Task timed out" in (invocation.answer or b""):
            said.append(f"{invocation.request_id} Task timed out after {invocation.timeout:.2f} seconds")
        lines = [
            f"START RequestId: {invocation.request_id} Version: {function.version}",
            *said,
            f"END RequestId: {invocation.request_id}",
            report,
        ]
        self.put(self.group(function), stream, lines, role_arn=function.role, region=function.region)
        return "\n".join(lines).encode()[-_TAIL:]

    def put(self, group: str, stream: str, lines: list[str], *, role_arn: str | None, region: str) -> None:
        """Put lines into a stream; `role_arn` None stands for a service that needs no leave (API access logs)."""
        backend = logs_backends[ACCOUNT][region]
        arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}:log-stream:{stream}"
        with self._lock("logs"):
            if role_arn is not None:
                who = session_of(role_arn, "lambda")
                wanted = ["logs:CreateLogStream", "logs:PutLogEvents"]
                if group not in backend.groups:
                    wanted.insert(0, "logs:CreateLogGroup")
                for action in wanted:
                    if refusal := permission(Question(who, action, arn)):
                        log.warning("log lines of %s are lost: %s", group, refusal.message)
                        return
                backend.ensure_log_group(group)
            if group not in backend.groups:
                log.warning("log lines for %s are lost: there is no such log group", group)
                return
            if stream not in backend.groups[group].streams:
                backend.create_log_stream(group, stream)
            now = int(self._clock.now() * 1000)
            backend.put_log_events(group, stream, [{"timestamp": now, "message": line} for line in lines])
