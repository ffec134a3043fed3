"""The Invoke API, and asynchronous events: their queue, retries on the movable clock, destinations and dead letters.

Sources: "Invoke" in the Lambda API reference; "How Lambda handles errors and retries with asynchronous invocation":
two more attempts, after one and two minutes, then the dead-letter queue or the on-failure destination.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.awslambda.models import LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.sns.models import sns_backends

from local.aws import queues
from local.aws.authorization import permission
from local.aws.callers import session_of
from local.aws.calls import ACCOUNT
from local.aws.policy import Question
from local.lambda_.functions import FunctionMissingError, Functions, Outcome, ThrottledError, find_function

if TYPE_CHECKING:
    from local.aws.mends import Mends
    from local.clock import Clock
    from local.lambda_.agenda import Agenda

log = logging.getLogger(__name__)

#: "Lambda quotas": payload of a synchronous and of an asynchronous invocation.
SYNC_LIMIT, ASYNC_LIMIT = 6 * 1024 * 1024, 1024 * 1024
RETRY_SECONDS = (60.0, 120.0)
_THROTTLED_RETRY_SECONDS = 1.0
_MAXIMUM_AGE_SECONDS = 6 * 3600.0


@dataclass
class Event:
    """An asynchronous event on its way: `arn` names the function with its qualifier."""

    arn: str
    payload: bytes
    accepted_at: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0


class Invocations:
    """Takes events for functions, synchronous ones through boto3 and asynchronous ones from anywhere."""

    def __init__(self, functions: Functions, agenda: Agenda, clock: Clock) -> None:
        self._functions = functions
        self._agenda = agenda
        self._clock = clock
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="lambda-async")
        self._unsettled = 0
        self._settled = threading.Condition()

    def install(self, mends: Mends) -> None:
        """Let moto's Lambda API run functions here."""

        def invoke(response: LambdaResponse) -> Any:
            return self._invoke_api(response)

        def run(function: LambdaFunction, event: Any = None) -> tuple[str, bool, str]:
            outcome = self._functions.invoke(function, json.dumps({} if event is None else event).encode())
            return outcome.payload.decode(), outcome.error is not None, outcome.log_tail.decode("utf-8", "replace")

        mends.replace(LambdaResponse, "invoke", invoke)
        mends.replace(LambdaFunction, "_invoke_lambda", run)

    def accept(self, arn: str, payload: bytes) -> str:
        """Queue an asynchronous event and return its request id."""
        event = Event(arn, payload, self._clock.now())
        with self._settled:
            self._unsettled += 1
        self._workers.submit(self._work, event)
        return event.request_id

    def run_now(self, arn: str, payload: bytes) -> None:
        """Make the first attempt at an asynchronous event in this thread; retries follow on the agenda."""
        self._attempt(Event(arn, payload, self._clock.now()))

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until no accepted event waits for its first attempt; False after `timeout` seconds."""
        with self._settled:
            return self._settled.wait_for(lambda: self._unsettled == 0, timeout)

    def close(self) -> None:
        """Take no more events, and wait for those that run."""
        self._workers.shutdown(cancel_futures=True)

    # --- asynchronous ---

    def _work(self, event: Event) -> None:
        try:
            self._attempt(event)
        except Exception:
            log.exception("asynchronous event %s of %s failed", event.request_id, event.arn)
        finally:
            with self._settled:
                self._unsettled -= 1
                self._settled.notify_all()

    def _attempt(self, event: Event) -> None:
        try:
            function = find_function(event.arn)
        except FunctionMissingError:
            log.warning("event %s is dropped: %s is gone", event.request_id, event.arn)
            return
        try:
            outcome = self._functions.invoke(function, event.payload, arn=event.arn)
        except ThrottledError:
            if self._clock.now() - event.accepted_at < _MAXIMUM_AGE_SECONDS:
                self._agenda.at(self._clock.now() + _THROTTLED_RETRY_SECONDS, lambda: self._attempt(event))
            else:
                self._give_up(event, function, None, "EventAgeExceeded")
            return
        event.attempts += 1
        settings = _event_settings(function)
        if outcome.error is None:
            self._deliver(event, function, outcome, settings, "OnSuccess", "Success")
            return
        retries = settings.get("MaximumRetryAttempts")
        maximum_age = float(settings.get("MaximumEventAgeInSeconds") or _MAXIMUM_AGE_SECONDS)
        if event.attempts > (2 if retries is None else int(retries)):
            self._give_up(event, function, outcome, "RetriesExhausted")
            return
        delay = RETRY_SECONDS[min(event.attempts, len(RETRY_SECONDS)) - 1]
        if self._clock.now() + delay - event.accepted_at > maximum_age:
            self._give_up(event, function, outcome, "EventAgeExceeded")
            return
        self._agenda.at(self._clock.now() + delay, lambda: self._attempt(event))

    def _give_up(self, event: Event, function: LambdaFunction, outcome: Outcome | None, why: str) -> None:
        log.info("event %s of %s is given up after %d attempts: %s", event.request_id, event.arn, event.attempts, why)
        letters = (getattr(function, "dead_letter_config", None) or {}).get("TargetArn")
        if letters:
            attributes = {
                "RequestID": event.request_id,
                "ErrorCode": "200",
                "ErrorMessage": outcome.message if outcome else why,
            }
            self.send(function, letters, event.payload.decode(), {k: v[:1024] or "-" for k, v in attributes.items()})
        self._deliver(event, function, outcome, _event_settings(function), "OnFailure", why)

    def _deliver(
        self,
        event: Event,
        function: LambdaFunction,
        outcome: Outcome | None,
        settings: Mapping[str, Any],
        when: str,
        why: str,
    ) -> None:
        target = ((settings.get("DestinationConfig") or {}).get(when) or {}).get("Destination")
        if not target:
            return
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "requestContext": {
                "requestId": event.request_id,
                "functionArn": event.arn,
                "condition": why,
                "approximateInvokeCount": event.attempts,
            },
            "requestPayload": _json_or_text(event.payload),
        }
        if outcome is not None:
            record["responseContext"] = {"statusCode": 200, "executedVersion": outcome.version}
            if outcome.error:
                record["responseContext"]["functionError"] = outcome.error
            record["responsePayload"] = _json_or_text(outcome.payload)
        self.send(function, target, json.dumps(record), None)

    def send(self, function: LambdaFunction, target: str, body: str, attributes: dict[str, str] | None) -> None:
        """Send to a queue, topic or function under the function's own role, as Lambda does."""
        service = target.split(":")[2]
        action = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}.get(service)
        if action is None:
            log.error("%s: the local cloud cannot deliver to %s", function.function_name, target)
            return
        who = session_of(function.role, function.function_name)
        if refusal := permission(Question(who, action, target)):
            log.error("%s: an event is lost, it could not be delivered: %s", function.function_name, refusal.message)
        elif service == "lambda":
            self.accept(target, body.encode())
        elif service == "sns":
            values = {k: {"DataType": "String", "StringValue": v} for k, v in (attributes or {}).items()}
            sns_backends[ACCOUNT][target.split(":")[3]].publish(body, target, message_attributes=values)
        elif not queues.send(target, body, attributes):
            log.error("%s: an event is lost, there is no queue %s", function.function_name, target)

    # --- the Invoke API ---

    def _invoke_api(self, response: LambdaResponse) -> tuple[int, dict[str, Any], bytes | str]:
        name = unquote(response.path.rsplit("/", 2)[-2])
        qualifier = response._get_param("Qualifier")  # noqa: SLF001 - moto's own way to read a parameter
        kind = response.headers.get("X-Amz-Invocation-Type") or "RequestResponse"
        body = response.raw_body or b"{}"
        payload: bytes = body.encode() if isinstance(body, str) else body
        try:
            _check_payload(payload, ASYNC_LIMIT if kind == "Event" else SYNC_LIMIT)
            function = find_function(name, qualifier, response.region)
            arn = function.function_arn
            if qualifier:
                arn = f"{find_function(function.function_name, None, response.region).function_arn}:{qualifier}"
            if kind == "DryRun":
                return 204, {"status": 204}, b""
            if kind == "Event":
                return 202, {"status": 202, "x-amzn-RequestId": self.accept(arn, payload)}, b""
            outcome = self._functions.invoke(function, payload, arn=arn)
        except _PayloadError as error:
            return _api_error(error.status, error.kind, str(error))
        except FunctionMissingError as error:
            return _api_error(404, "ResourceNotFoundException", str(error))
        except ThrottledError:
            extra = {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}
            return _api_error(429, "TooManyRequestsException", "Rate Exceeded.", extra)
        headers: dict[str, Any] = {
            "status": 200,
            "content-type": "application/json",
            "X-Amz-Executed-Version": outcome.version,
            "x-amzn-RequestId": outcome.request_id,
        }
        if outcome.error:
            headers["X-Amz-Function-Error"] = outcome.error
        if response.headers.get("X-Amz-Log-Type") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(outcome.log_tail).decode()
        return 200, headers, outcome.payload


class _PayloadError(Exception):
    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


def _check_payload(payload: bytes, limit: int) -> None:
    if len(payload) > limit:
        raise _PayloadError(
            413, "RequestTooLargeException", f"{len(payload)} byte payload is too large (limit {limit})"
        )
    try:
        json.loads(payload)
    except ValueError:
        raise _PayloadError(400, "InvalidRequestContentException", "Could not parse request body into json") from None


def _event_settings(function: LambdaFunction) -> Mapping[str, Any]:
    """Return the event invoke config of a function, as put by PutFunctionEventInvokeConfig."""
    latest = find_function(function.function_name, None, function.region)
    configs = latest.event_invoke_config
    return configs[-1].config if configs else {}


def _json_or_text(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


def _api_error(
    status: int, kind: str, message: str, extra: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any], str]:
    body = {"Type": "User", "Message": message, "message": message, **(extra or {})}
    return status, {"status": status, "x-amzn-ErrorType": kind}, json.dumps(body)
