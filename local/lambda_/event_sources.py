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
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import EventSourceMapping, LambdaFunction
from moto.sqs.models import Message, sqs_backends

from local.aws.calls import ACCOUNT
from local.aws.queues import find_queue
from local.lambda_.functions import FunctionMissingError, Functions, ThrottledError, find_function
from local.lambda_.pump import Pump, install, lacking, mappings

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
        self._feeding = threading.RLock()
        self._pump = Pump("queue-pump", self._feed)

    def install(self, mends: Mends) -> None:
        """Check a new mapping as Lambda does, and feed it at once."""
        install(mends, "sqs", _reason, self._pump)

    def arrived(self, queue_arn: str) -> None:
        """Hear that a queue has a message."""
        self._pump.arrived(queue_arn)

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until what has arrived was handed out; False if that takes longer than `timeout` seconds."""
        return self._pump.settle(timeout)

    def wake_all(self) -> None:
        """Look at every mapped queue: after a restart there may be messages that nobody has heard of."""
        for mapping in mappings("sqs"):
            self.arrived(mapping.event_source_arn)

    def close(self) -> None:
        """End the thread after the batch that it is at."""
        self._pump.close()

    def _feed(self, queue_arn: str) -> None:
        with self._feeding:
            queue = find_queue(queue_arn)
            mapped = [m for m in mappings("sqs") if m.event_source_arn == queue_arn and m.enabled]
            if queue is None or not mapped or self._pump.closed:
                return
            for mapping in mapped:
                while self._batch(mapping, queue) and not self._pump.closed:
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
        if refusal := lacking(function, mapping.event_source_arn, _NEEDED):
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
            failed_items(outcome.payload)
            if "ReportBatchItemFailures" in (mapping.function_response_types or [])
            else set()
        )
        for message in messages:
            if failed is not None and message.id not in failed:
                queue.delete_message(str(message.receipt_handle))
        return True


def _appearances(queue: Queue) -> Iterator[float]:
    """Yield when each message of a queue is, or was, to be seen (epoch seconds)."""
    for message in list(queue._messages):  # noqa: SLF001 - moto has no other list of all messages
        yield max(message.visible_at, message.delayed_until) / 1000


def _reason(function: LambdaFunction, spec: Mapping[str, Any]) -> str:
    """Return why a function cannot be fed from a queue, in Lambda's words, or an empty text."""
    action = lacking(function, str(spec["EventSourceArn"]), _NEEDED)
    if action is None:
        return ""
    return f"The provided execution role does not have permissions to call {action.partition(':')[2]} on SQS"


def failed_items(answer: bytes) -> set[str] | None:
    """Return the ids of what failed of a batch; None, all of it, for an answer that Lambda cannot read."""
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
