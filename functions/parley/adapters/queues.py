"""SQS queues that feed functions: what cannot be done within a webhook's time, or not yet, waits there.

A message holds SIDs, party keys and codes; no number and no body. Queues deliver at least once, so whoever takes a
message must not mind a second one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parley.ports import QueueError

BATCH = 10
"""Messages that SQS takes at once (SendMessageBatch)."""

DELAY_LIMIT = 900
"""Seconds for which SQS holds a message back at the most (SendMessage, DelaySeconds)."""


class Queues:
    """Sends to queues. `client` is boto3's SQS client, `urls` maps the names of functions to their queues."""

    def __init__(self, client: Any, urls: Mapping[str, str]) -> None:
        self._client = client
        self._urls = urls

    def send(self, name: str, *messages: Mapping[str, Any], delay: int = 0) -> None:
        """Send messages to the queue of a function, to be delivered in `delay` seconds (900 at the most).

        Raises QueueError, also if only some of them were taken: sending them again does no harm.
        """
        url = self._urls.get(name)
        if url is None:
            raise QueueError(f"no queue of {name}")
        seconds = max(0, min(delay, DELAY_LIMIT))
        for batch in _batches(messages):
            entries = [
                {"Id": str(place), "MessageBody": _text(message), **({"DelaySeconds": seconds} if seconds else {})}
                for place, message in enumerate(batch)
            ]
            try:
                answer = self._client.send_message_batch(QueueUrl=url, Entries=entries)
            except (ClientError, BotoCoreError) as error:
                code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
                raise QueueError(f"SQS: {code or type(error).__name__}") from None
            if failed := answer.get("Failed"):
                raise QueueError(f"SQS: {failed[0].get('Code', 'unknown')}")


def _batches(messages: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    for start in range(0, len(messages), BATCH):
        yield messages[start : start + BATCH]


def _text(message: Mapping[str, Any]) -> str:
    return json.dumps(message, sort_keys=True, separators=(",", ":"))
