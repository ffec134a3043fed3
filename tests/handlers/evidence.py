"""What the tests of the copies share: an evidence bucket, and the ledger's stream as Lambda hands it over."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from parley import runtime

from tests.handlers.world import World, aws

BUCKET = "parley-evidence"


class Storage:
    """The bucket. `client` is S3, called through `before(operation)`, which may raise."""

    def __init__(self, world: World) -> None:
        self.client = aws("s3")
        self.before: Callable[[str], None] = lambda _: None
        self.client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        world.patch.setenv("PARLEY_EVIDENCE_BUCKET", BUCKET)
        world.patch.setattr(runtime, "_client", lambda service: self if service == "s3" else aws(service))
        runtime.reset()

    def __getattr__(self, operation: str) -> Any:
        """Return the client's own operation."""
        self.before(operation)
        return getattr(self.client, operation)

    @contextmanager
    def failing(self, operation: str, code: str = "SlowDown", times: int = 1) -> Iterator[None]:
        """Refuse the next calls of an operation with an error of S3's."""
        left = itertools.repeat(None, times)

        def refuse(called: str) -> None:
            if called == operation and next(left, True) is None:
                raise ClientError({"Error": {"Code": code, "Message": ""}}, called)

        self.before = refuse
        try:
            yield
        finally:
            self.before = lambda _: None

    def copies(self) -> dict[str, str]:
        """Return the bodies of all copies, by their keys."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {entry["Key"]: self.read(entry["Key"]) for entry in found}

    def read(self, key: str) -> str:
        """Return the body of an object."""
        text: str = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        return text

    def versions(self) -> int:
        """Return how many versions there are in all."""
        return len(self.client.list_object_versions(Bucket=BUCKET).get("Versions", []))

    def forge(self, key: str, body: str) -> None:
        """Put something else in the place of a copy, as somebody with rights on the bucket can."""
        held = self.client.head_object(Bucket=BUCKET, Key=key)
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body.encode(), Metadata=held["Metadata"])


def change(row: dict[str, Any], number: int, name: str = "INSERT") -> dict[str, Any]:
    """Return the stream's record of a row that was written."""
    return {
        "eventID": f"{number:032x}",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_790_000_000,
            "Keys": {"pk": row["pk"], "sk": row["sk"]},
            "NewImage": row,
            "SequenceNumber": f"{1000 + number}00000000017454423009",
            "SizeBytes": 900,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/parley-ledger/stream/2026-05-04T12:00:00.000",
    }


def stream(world: World, prefix: str = "") -> list[dict[str, Any]]:
    """Return the stream of everything that is in the ledger, each person's rows in their order."""
    rows = sorted(world.rows(prefix), key=lambda row: (row["pk"]["S"], row["sk"]["S"]))
    return [change(row, number) for number, row in enumerate(rows)]
