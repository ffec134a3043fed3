"""SQS: queues and their policies."""

# ruff: noqa: RUF012, ARG002 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import Any

from infra.provider import CheckFailure, Properties
from local.aws.provider.cloud import Client
from local.aws.provider.documents import ATTACHED, json_object, redrive
from local.aws.provider.kind import Kind, Name, Tagging
from local.aws.provider.kinds.kms import within

LIMITS = {
    "visibilityTimeoutSeconds": (0, 43200),
    "messageRetentionSeconds": (60, 1209600),
    "delaySeconds": (0, 900),
    "maxMessageSize": (1024, 1048576),
    "receiveWaitTimeSeconds": (0, 20),
    "kmsDataKeyReusePeriodSeconds": (60, 86400),
}
"""Least and most by SetQueueAttributes."""


def text(value: Any) -> str:
    """`value` as the attributes of SQS and SNS want it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Queue(Kind):
    """A queue; all that can be set on it is an attribute."""

    token, service, form = "aws:sqs/queue:Queue", "sqs", "{url}"
    creates = "create_queue"
    name = Name("name", 80)
    attributes = {
        "contentBasedDeduplication": "ContentBasedDeduplication",
        "deduplicationScope": "DeduplicationScope",
        "delaySeconds": "DelaySeconds",
        "fifoQueue": "FifoQueue",
        "fifoThroughputLimit": "FifoThroughputLimit",
        "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
        "kmsMasterKeyId": "KmsMasterKeyId",
        "maxMessageSize": "MaximumMessageSize",
        "messageRetentionSeconds": "MessageRetentionPeriod",
        "policy": "Policy",
        "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
        "redriveAllowPolicy": "RedriveAllowPolicy",
        "redrivePolicy": "RedrivePolicy",
        "sqsManagedSseEnabled": "SqsManagedSseEnabled",
        "visibilityTimeoutSeconds": "VisibilityTimeout",
    }
    renames = {**attributes, "arn": "QueueArn"}
    own = frozenset(attributes) | {"name"}
    twins = frozenset({"policy"})
    replaces = frozenset({"name", "fifoQueue"})
    documents = {"policy": ATTACHED, "redrivePolicy": redrive, "redriveAllowPolicy": json_object}
    defaults = {
        "contentBasedDeduplication": False,
        "delaySeconds": 0,
        "fifoQueue": False,
        "kmsDataKeyReusePeriodSeconds": 300,
        "kmsMasterKeyId": "",
        "maxMessageSize": 1048576,
        "messageRetentionSeconds": 345600,
        "policy": "",
        "receiveWaitTimeSeconds": 0,
        "redriveAllowPolicy": "",
        "redrivePolicy": "",
        "visibilityTimeoutSeconds": 30,
    }
    tagging = Tagging("tag_queue", "untag_queue", "list_queue_tags", "QueueUrl", "url")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield what SQS refuses: names, limits, attributes of another type of queue."""
        for limited, (least, most) in LIMITS.items():
            yield from within(p, limited, least, most)
        name, fifo = p.get("name"), p.get("fifoQueue") is True
        if isinstance(name, str) and not re.fullmatch(
            r"[A-Za-z0-9_-]{1,75}\.fifo" if fifo else r"[A-Za-z0-9_-]{1,80}", name
        ):
            form = "end with .fifo" if fifo else "not end with .fifo, which is for FIFO queues"
            yield CheckFailure("name", f"{name!r}: at most 80 letters, digits, - and _, and must {form}")
        for given in ("contentBasedDeduplication", "deduplicationScope", "fifoThroughputLimit"):
            if p.get(given) and not fifo:
                yield CheckFailure(given, "is for FIFO queues: set fifoQueue, or leave it out")
        if p.get("kmsMasterKeyId") and p.get("sqsManagedSseEnabled") is True:
            yield CheckFailure("sqsManagedSseEnabled", "does not go with kmsMasterKeyId: leave one of the two out")

    def make(self, c: Client, p: Properties) -> str:
        """Create the queue with its attributes."""
        given = {
            target: text(p[name]) for name, target in self.attributes.items() if p.get(name) not in (None, False, "")
        }
        return str(c.call("create_queue", QueueName=p["name"], Attributes=given)["QueueUrl"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the attributes."""
        found = c.call("get_queue_attributes", QueueUrl=id_, AttributeNames=["All"])["Attributes"]
        given = {key: value for key, value in found.items() if value != ""}
        return {"fifoQueue": False, **self.state(given), "url": id_, "name": found["QueueArn"].rpartition(":")[2]}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Set the changed attributes together."""
        attributes = {self.attributes[name]: text(new.get(name, "")) for name in changed & self.attributes.keys()}
        attributes.pop("FifoQueue", None)
        c.call("set_queue_attributes", QueueUrl=id_, Attributes=attributes)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete the queue."""
        c.call("delete_queue", QueueUrl=id_)


class QueuePolicy(Kind):
    """A queue's policy."""

    token, service, form = "aws:sqs/queuePolicy:QueuePolicy", "sqs", "{queueUrl}"
    own = frozenset({"queueUrl", "policy"})
    replaces = frozenset({"queueUrl"})
    documents = {"policy": ATTACHED}

    @staticmethod
    def _put(c: Client, url: str, policy: str) -> None:
        c.call("set_queue_attributes", QueueUrl=url, Attributes={"Policy": policy})

    def make(self, c: Client, p: Properties) -> str:
        """Put the policy."""
        self._put(c, p["queueUrl"], p["policy"])
        return str(p["queueUrl"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the policy; an empty one is none."""
        found = c.call("get_queue_attributes", QueueUrl=id_, AttributeNames=["Policy"]).get("Attributes") or {}
        return {"queueUrl": id_, "policy": found["Policy"]} if found.get("Policy") else None

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Put the policy again."""
        self._put(c, id_, new["policy"])

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Take the policy away."""
        self._put(c, id_, "")
