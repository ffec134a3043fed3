"""Work that a queue hands over: message by message, each by itself, and what failed comes again.

"Using Lambda with Amazon SQS", partial batch responses: the messages that are named come back after the visibility
timeout, and after so many attempts they are set aside in the function's dead letters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from parley import log

Message = Mapping[str, Any]


def is_work(event: Mapping[str, Any]) -> bool:
    """Tell whether a function was called by its queue."""
    records = event.get("Records")
    return isinstance(records, list) and bool(records) and records[0].get("eventSource") == "aws:sqs"


def take(event: Mapping[str, Any], work: Callable[[Message], None], *, name: str) -> dict[str, Any]:
    """Do the work of each message of a batch, and answer which of them failed.

    A message that is no JSON object can never be done: it is told, and passed over. What else `work` raises is logged
    without its text, and the message comes again.
    """
    failed: list[dict[str, str]] = []
    for record in event["Records"]:
        try:
            message = json.loads(record["body"])
        except ValueError:
            message = None
        if not isinstance(message, dict):
            log.emit("message-unreadable", "ERROR", handler=name, message=record["messageId"])
            continue
        try:
            work(message)
        except Exception as error:  # noqa: BLE001 - the others must be done, and the error must not quote anybody
            log.failure("work-failed", error, handler=name, message=record["messageId"])
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
