"""SQS queues that feed functions: batches, partial failures, and redrive to the dead-letter queue.

"Using Lambda with Amazon SQS": a failed batch comes back after the visibility timeout; of a batch answered with
`batchItemFailures` (where the mapping asks for ReportBatchItemFailures) only the named messages come back; SQS itself
moves a message that was received too often.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend, LambdaFunction, lambda_backends
from moto.core.exceptions import JsonRESTError
from moto.sqs.models import Message, sqs_backends

from local.aws.authorization import permission
from local.aws.callers import session_of
from local.aws.calls import ACCOUNT
from local.aws.policy import Question
from local.aws.queues import find_queue
from local.lambda_.functions import FunctionMissingError, Functions, ThrottledError, find_function

if TYPE_CHECKING:
    from moto.sqs.models import Queue

    from local.aws.mends import Mends
    from local.clock import Clock
    from local.lambda_.agenda import Agenda

log = logging.getLogger(__name__)

_NEEDED = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
#: SQS hands out at most ten messages at once; Lambda gathers larger batches over a window, which is not done here.
_BATCH = 10


class QueuePump:
    """Feeds the mapped functions; one thread, woken by messages that arrive and by the agenda."""

    def __init__(self, functions: Functions, agenda: Agenda, clock: Clock) -> None:
        self._functions = functions
        self._agenda = agenda
        self._clock = clock
        self._waiting: set[str] = set()
        self._busy = False
        self._changed = threading.Condition()
        self._feeding = threading.RLock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="queue-pump", daemon=True)
        self._thread.start()

    def install(self, mends: Mends) -> None:
        """Check a new mapping as Lambda does, and feed it at once."""

        def create(original: Any, backend: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
            function = find_function(str(spec.get("FunctionName")), None, backend.region_name)
            if refusal := _refused(function, str(spec.get("EventSourceArn"))):
                raise JsonRESTError(
                    "InvalidParameterValueException",
                    f"The provided execution role does not have permissions to call {refusal} on SQS",
                )
            mapping: EventSourceMapping = original(backend, spec)
            self.arrived(mapping.event_source_arn)
            return mapping

        def update(original: Any, backend: LambdaBackend, uuid: str, spec: dict[str, Any]) -> Any:
            mapping = original(backend, uuid, spec)
            if mapping is not None:
                self.arrived(mapping.event_source_arn)
            return mapping

        mends.wrap(LambdaBackend, "create_event_source_mapping", create)
        mends.wrap(LambdaBackend, "update_event_source_mapping", update)

    def arrived(self, queue_arn: str) -> None:
        """Hear that a queue has a message."""
        with self._changed:
            self._waiting.add(queue_arn)
            self._changed.notify_all()

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until what has arrived was handed out; False if that takes longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def wake_all(self) -> None:
        """Look at every mapped queue: after a restart there may be messages that nobody has heard of."""
        for mapping in _mappings():
            self.arrived(mapping.event_source_arn)

    def close(self) -> None:
        """End the thread after the batch that it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                queue_arn = self._waiting.pop()
                self._busy = True
            try:
                self._feed(queue_arn)
            except Exception:
                log.exception("feeding from %s failed", queue_arn)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _feed(self, queue_arn: str) -> None:
        with self._feeding:
            queue = find_queue(queue_arn)
            mappings = [m for m in _mappings() if m.event_source_arn == queue_arn and m.enabled]
            if queue is None or not mappings or self._closed:
                return
            for mapping in mappings:
                while self._batch(mapping, queue) and not self._closed:
                    pass
            # What could not be worked off comes back later, and nobody will say so then.
            now = self._clock.now()
            later = [at for at in _appearances(queue) if at > now]
            if later:
                self._agenda.at(min(later) + 0.001, lambda: self._feed(queue_arn))

    def _batch(self, mapping: EventSourceMapping, queue: Queue) -> bool:
        """Hand out one batch; False when there is nothing (more) to hand out now."""
        try:
            function = find_function(mapping.function_arn)
        except FunctionMissingError:
            return False
        if refusal := _refused(function, mapping.event_source_arn):
            log.error("%s cannot be fed: its role may not %s on %s", function.function_name, refusal, queue.queue_arn)
            return False
        backend = sqs_backends[ACCOUNT][queue.region]
        count = min(int(mapping.batch_size or _BATCH), _BATCH)
        timeout = int(queue.visibility_timeout)  # type: ignore[attr-defined]
        messages = backend.receive_message(queue.name, count, 0, timeout, message_attribute_names=["All"])
        if not messages:
            return False
        records = [_record(message, queue) for message in messages]
        try:
            outcome = self._functions.invoke(
                function, json.dumps({"Records": records}).encode(), arn=mapping.function_arn
            )
        except ThrottledError:
            return False
        if outcome.error is not None:
            # Without a visibility timeout the batch would come back at once, and for ever.
            return timeout > 0
        failed = (
            _failed(outcome.payload) if "ReportBatchItemFailures" in (mapping.function_response_types or []) else set()
        )
        for message in messages:
            if failed is not None and message.id not in failed:
                queue.delete_message(str(message.receipt_handle))
        return True


def _mappings() -> Iterator[EventSourceMapping]:
    for backend in list(lambda_backends[ACCOUNT].values()):
        yield from list(backend._event_source_mappings.values())  # noqa: SLF001 - across regions there is no other way


def _appearances(queue: Queue) -> Iterator[float]:
    """Yield when each message of a queue is, or was, to be seen (epoch seconds)."""
    for message in list(queue._messages):  # noqa: SLF001 - moto has no other list of all messages
        yield max(message.visible_at, message.delayed_until) / 1000


def _refused(function: LambdaFunction, queue_arn: str) -> str | None:
    """Return the first call that the function's role lacks to be fed from a queue."""
    who = session_of(function.role, function.function_name)
    return next((a.partition(":")[2] for a in _NEEDED if permission(Question(who, a, queue_arn))), None)


def _failed(answer: bytes) -> set[str] | None:
    """Return the ids of the failed messages; None, all of them, for an answer that Lambda cannot read."""
    try:
        parsed = json.loads(answer or b"null")
        return {str(f["itemIdentifier"]) for f in (parsed or {}).get("batchItemFailures") or []}
    except (ValueError, AttributeError, KeyError, TypeError):
        return None


def _record(message: Message, queue: Queue) -> dict[str, Any]:
    attributes = {
        "ApproximateReceiveCount": str(message.approximate_receive_count),
        "SentTimestamp": str(message.sent_timestamp),
        "SenderId": message.sender_id,
        "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
    }
    if queue.fifo_queue:
        attributes |= {"MessageGroupId": str(message.group_id), "MessageDeduplicationId": str(message.deduplication_id)}
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {
            name: {
                "dataType": value["DataType"],
                "stringValue": value.get("StringValue"),
                "stringListValues": [],
                "binaryListValues": [],
            }
            for name, value in message.message_attributes.items()
        },
        "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.queue_arn,
        "awsRegion": queue.region,
    }
