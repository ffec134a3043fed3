"""Queues that feed functions: what is sent, and what becomes of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from parley import runtime, work
from parley.ports import QueueError

from tests.handlers.archives import Archives, sqs_event
from tests.handlers.world import World


def test_messages_are_sent_in_batches_and_may_wait(world: World) -> None:
    """More messages than SQS takes at once arrive all, each held back as long as was asked for."""
    archives = Archives(world)
    runtime.queues().send("archive", *({"n": number} for number in range(25)), delay=30)
    found = archives.waiting("archive")
    assert [each["body"]["n"] for each in found] == list(range(25))
    assert {each["delay"] for each in found} == {30}


def test_unknown_queue_is_told(world: World) -> None:
    """A queue that the deployment does not name is an error, as one that is gone is."""
    archives = Archives(world)
    with pytest.raises(QueueError, match="no queue of nobody"):
        runtime.queues().send("nobody", {})
    archives.sqs.delete_queue(QueueUrl=archives.urls["archive"])
    with pytest.raises(QueueError, match="SQS: "):
        runtime.queues().send("archive", {})


def test_each_message_fails_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a batch only what failed comes again, and an unreadable message never does."""
    done: list[Any] = []

    def do(message: Mapping[str, Any]) -> None:
        if message["n"] == 2:
            raise ValueError("+12125550111")
        done.append(message["n"])

    event = sqs_event("archive", ("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3}))
    event["Records"].append({**event["Records"][0], "messageId": "d", "body": "[]"})
    assert work.is_work(event)
    assert not work.is_work({"requestContext": {}})
    assert work.take(event, do, name="archive") == {"batchItemFailures": [{"itemIdentifier": "b"}]}
    assert done == [1, 3]
    assert "12125550111" not in capsys.readouterr().out


def test_work_that_fails_is_set_aside(world: World) -> None:
    """A message that fails each time is handed over so often and then set aside."""
    archives = Archives(world)
    runtime.queues().send("archive", {"n": 1})

    def fail(_message: Mapping[str, Any]) -> None:
        raise ValueError

    assert archives.work("archive", lambda event, _: work.take(event, fail, name="archive")) == 5
    assert archives.set_aside["archive"] == [{"n": 1}]
