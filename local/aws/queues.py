"""SQS queues that only hold messages: who consumes them is told that there is something, and comes for it.

moto calls the mapped function from within SendMessage, once, one message at a time and without a retry. It also takes a
queue's policy away whenever another attribute is set. To see whether one message is too old it makes all attributes of
its queue, which counts all messages six times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from moto.sqs import models
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends

from local.aws.calls import ACCOUNT

if TYPE_CHECKING:
    from local.aws.mends import Mends


class Unheard(dict[str, Any]):
    """The mappings of a queue, kept and answered for, but not walked through by SendMessage."""

    def items(self) -> Any:
        """Return nothing: moto calls each function that it finds here."""
        return ()


def install(mends: Mends, arrived: Callable[[str], None]) -> None:
    """Call `arrived(queue ARN)` after each message that comes in, instead of the function."""

    def initialize(original: Any, queue: Queue, *args: Any, **kwargs: Any) -> None:
        original(queue, *args, **kwargs)
        queue.lambda_event_source_mappings = Unheard()

    def add_message(original: Any, queue: Queue, message: Message) -> None:
        original(queue, message)
        arrived(queue.queue_arn)

    def set_attributes(original: Any, queue: Queue, attributes: dict[str, Any], now: float | None = None) -> None:
        kept = {} if "Policy" in attributes else {"Policy": getattr(queue, "policy", None)}
        original(queue, {**attributes, **kept}, now)

    def is_kept(backend: SQSBackend, queue_name: str, message: Message) -> bool:
        period: int = backend.get_queue(queue_name).message_retention_period  # type: ignore[attr-defined]
        return period + message.sent_timestamp / 1000 > models.unix_time()  # type: ignore[attr-defined, operator]

    mends.replace(SQSBackend, "is_message_valid_based_on_retention_period", is_kept)
    mends.wrap(Queue, "__init__", initialize)
    mends.wrap(Queue, "_set_attributes", set_attributes)
    mends.wrap(Queue, "add_message", add_message)


def find_queue(arn: str) -> Queue | None:
    """Return moto's queue of an ARN, or None."""
    parts = arn.split(":")
    return sqs_backends[ACCOUNT][parts[3]].queues.get(parts[5]) if len(parts) == 6 else None


def send(arn: str, body: str, attributes: dict[str, str] | None = None) -> bool:
    """Put a message on a queue on behalf of an AWS service; False when there is no such queue."""
    queue = find_queue(arn)
    if queue is None:
        return False
    values = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
    group = "local" if queue.fifo_queue else None
    sqs_backends[ACCOUNT][queue.region].send_message(queue.name, body, message_attributes=values, group_id=group)
    return True


def delete_expired(now: float) -> None:
    """Drop the messages that have outlived their queue's retention period."""
    for queue in _all_queues():
        limit = int(queue.message_retention_period)  # type: ignore[attr-defined]
        for message in list(queue._messages):  # noqa: SLF001 - moto has no other list of all messages
            if message.sent_timestamp is not None and message.sent_timestamp / 1000 + limit <= now:
                queue._messages.remove(message)  # noqa: SLF001 - as above
                queue.pending_messages.discard(message)


def _all_queues() -> Iterator[Queue]:
    for backend in sqs_backends[ACCOUNT].values():
        yield from list(backend.queues.values())
