"""What the tests of records share: the buckets, keys and queues of a stack around one gate, and how a queue is fed.

Buckets have versions and can hold; the queues are real ones of moto, and `Archives.work` hands their messages over as
Lambda does, dead letters included, with time moving as far as a message is delayed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlparse

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.sqs.models import sqs_backends
from parley import runtime
from parley.env import Reader

from local.aws import multipart
from local.aws.mends import Mends
from tests.handlers import world as worlds
from tests.handlers.world import KEEP_DAYS, World, aws

CONTENT, EVIDENCE = "parley-content", "parley-evidence"
QUEUES = ("recorder", "archive", "sweep", "holds", "erasures", "rooms")
SQS = urlparse("https://sqs.us-east-1.amazonaws.com")
RECEIVES = 5
"""How often a message is handed over before it is set aside."""

SCHEDULE = {
    **KEEP_DAYS,
    "call-recordings": 90,
    "video-recordings": 90,
    "messages": 30,
    "message-media": 30,
    "transcripts": 90,
    "erasure-proofs": 1825,
}
COPY_DAYS = {
    "call-recordings": 0,
    "video-recordings": 0,
    "messages": 0,
    "message-media": 0,
    "transcripts": 0,
    "interaction-log": 1,
    "session-map": 1,
}
HOLDABLE = ("call-recordings", "video-recordings", "messages", "message-media", "transcripts", "consent-evidence")
ANALYST = "arn:aws:iam::123456789012:role/analyst"


class _Patched(Mends):
    """Mends of moto that the test's own patches put back."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._patch = patch

    def replace(self, owner: Any, name: str, replacement: Any) -> None:
        """Set `owner.name` to `replacement` until the test is over."""
        self._patch.setattr(owner, name, replacement)


Handle = Callable[[Mapping[str, Any], Any], Any]


class Archives:
    """The stores beside the ledger. `s3` and `sqs` are boto3's clients, `kms` is the world's."""

    def __init__(self, world: World, **changes: str) -> None:
        self.world = world
        multipart.install(_Patched(world.patch))
        world.patch.setattr(runtime, "_patient_s3", lambda: aws("s3"))
        aws("s3").meta.events.register("before-parameter-build.s3.UploadPart", _as_bytes, unique_id="as-bytes")
        self.s3, self.sqs, self.kms = aws("s3"), aws("sqs"), worlds.aws("kms")
        for bucket in (CONTENT, EVIDENCE):
            self.s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        self.content_key: str = self.kms.create_key()["KeyMetadata"]["Arn"]
        signs = {"KeyUsage": "SIGN_VERIFY", "KeySpec": "ECC_NIST_P256"}
        self.proof_key: str = self.kms.create_key(**signs)["KeyMetadata"]["Arn"]
        # Not through boto3, which takes 2 ms for each of them.
        backend = sqs_backends[ACCOUNT_ID]["us-east-1"]
        self.urls = {name: backend.create_queue(f"parley-{name}").url(SQS) for name in QUEUES}
        self.set_aside: dict[str, list[dict[str, Any]]] = {name: [] for name in QUEUES}
        for name, value in {
            "PARLEY_KEEP_DAYS": json.dumps(SCHEDULE),
            "PARLEY_TWILIO_COPY_DAYS": json.dumps(COPY_DAYS),
            "PARLEY_HOLDABLE": json.dumps(list(HOLDABLE)),
            "PARLEY_CONTENT_BUCKET": CONTENT,
            "PARLEY_CONTENT_KEY": self.content_key,
            "PARLEY_EVIDENCE_BUCKET": EVIDENCE,
            "PARLEY_PROOF_KEY": self.proof_key,
            "PARLEY_QUEUES": json.dumps(self.urls),
            "PARLEY_READERS": json.dumps({each.role: list(each.purposes) for each in (Reader(ANALYST, ("safety",)),)}),
            **changes,
        }.items():
            world.patch.setenv(name, value)
        runtime.reset()

    def waiting(self, name: str) -> list[dict[str, Any]]:
        """Return the messages that wait in a queue, delayed ones included, and take them from it."""
        found: list[dict[str, Any]] = []
        for regions in sqs_backends.values():
            queue = regions["us-east-1"].queues.get(f"parley-{name}")
            if queue is None:
                continue
            # moto counts delays by the real clock, and has no other list of messages that are not visible yet.
            for message in list(queue._messages):
                sent: Any = message.sent_timestamp  # its type is a float that moto first sets to None
                delay = max(0, round((message.delayed_until - sent) / 1000))
                found.append({"id": message.id, "body": json.loads(message.body), "delay": delay})
                queue._messages.remove(message)
        return found

    def work(self, name: str, handle: Handle, *, rounds: int = 50) -> int:
        """Hand over the messages of a queue until it is empty; return how many were handed over.

        Before a message that is delayed the clock moves to its time; one that fails comes again, and is set aside
        after `RECEIVES` attempts.
        """
        attempts: dict[str, int] = {}
        pending: list[dict[str, Any]] = []
        for handed in range(rounds):
            pending += self.waiting(name)
            if not pending:
                return handed
            message = pending.pop(0)
            if message["delay"]:
                self.world.clock.advance(message["delay"])
            attempts[message["id"]] = attempts.get(message["id"], 0) + 1
            answer = handle(sqs_event(name, (message["id"], message["body"])), None)
            if answer and answer["batchItemFailures"]:
                if attempts[message["id"]] >= RECEIVES:
                    self.set_aside[name].append(message["body"])
                else:
                    pending.append({**message, "delay": 0})
        raise AssertionError(f"the queue {name} is never empty")

    def objects(self, bucket: str = CONTENT, prefix: str = "") -> dict[str, bytes]:
        """Return the current objects of a bucket by their keys."""
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {each["Key"]: self.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found}

    def versions(self, bucket: str = CONTENT, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Yield key and version id of everything in a bucket, old versions and delete markers included."""
        found = self.s3.list_object_versions(Bucket=bucket, Prefix=prefix)
        for each in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
            yield each["Key"], each["VersionId"]


def _as_bytes(params: dict[str, Any], **_named: Any) -> None:
    """Let moto, which hands requests over without a wire, see the bytes that the wire would."""
    params["Body"] = bytes(params["Body"])


def sqs_event(name: str, *messages: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch of a queue as Lambda hands it over; each message is an id and a body."""
    return {
        "Records": [
            {
                "messageId": identifier,
                "receiptHandle": identifier,
                "body": json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:parley-{name}",
                "awsRegion": "us-east-1",
            }
            for identifier, body in messages
        ]
    }
