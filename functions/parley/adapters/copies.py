"""The copies of consent records in the evidence bucket: written once, under the key of the evidence.

A copy's key is `consent-evidence/<party key>/<sequence number, 12 digits>.json`; its body is the record's canonical
JSON. A bucket with Object Lock gives each copy its retention, so none has to be asked for here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parley.core import moments
from parley.core.chains import Copy
from parley.core.consent import RETENTION_CLASS, ConsentRecord
from parley.core.identity import is_party_key
from parley.ports import CopyError

PREFIX = f"{RETENTION_CLASS}/"

TEXT_LIMIT = 400 * 1024
"""Bytes of a copy that are read: no item of DynamoDB is longer."""

BEHIND = "0"
"""What a position has after a party key: it sorts right behind the slash that all copies of a person have there."""

_PLACE = re.compile(r"([0-9]{12})\.json")
_LEAVES_AT = "row-leaves-at"


class EvidenceCopies:
    """The copies in a bucket. `client` is boto3's S3 client, `key` the ARN of the KMS key of the evidence."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key

    def keep(self, record: ConsentRecord, leaves_at: datetime) -> bool:
        """Write the copy of a record whose row leaves at `leaves_at`; return False if there is one already.

        What is there is not looked at: nothing may be written over it, and the daily check compares. Raises CopyError.
        """
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=_name(record.event.party, record.seq),
                Body=record.to_json().encode(),
                ContentType="application/json",
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=self._key,
                BucketKeyEnabled=True,
                ChecksumAlgorithm="SHA256",
                IfNoneMatch="*",
                Metadata={_LEAVES_AT: moments.to_text(leaves_at)},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":
                return False
            raise _copy_error(error) from None
        except BotoCoreError as error:
            raise _copy_error(error) from None
        return True

    def places(self, party: str) -> list[int]:
        """Return the sequence numbers of a person's copies, in order. Raises CopyError."""
        start = f"{PREFIX}{party}/"
        names = [entry["Key"].removeprefix(start) for page in self._pages(start) for entry in page.get("Contents", [])]
        return [int(match[1]) for name in names if (match := _PLACE.fullmatch(name))]

    def read(self, party: str, seq: int) -> Copy | None:
        """Return a copy, or None if there is none. Raises CopyError."""
        with _told():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=_name(party, seq), ChecksumMode="ENABLED")
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise
            text = answer["Body"].read(TEXT_LIMIT).decode("utf-8", "replace")
        return Copy(text, _moment(answer["Metadata"]))

    def parties(self, after: str, limit: int) -> tuple[list[str], str]:
        """Return at most `limit` people who have copies, after a position, and the next position.

        An empty position is the beginning, and the end. Raises CopyError.
        """
        with _told():
            answer = self._client.list_objects_v2(
                Bucket=self._bucket,
                Prefix=PREFIX,
                Delimiter="/",
                MaxKeys=limit,
                **({"StartAfter": PREFIX + after} if after else {}),
            )
        names = [entry["Prefix"].removeprefix(PREFIX).removesuffix("/") for entry in answer.get("CommonPrefixes", [])]
        # What lies beside the people takes its place in a page, too: a page of nothing else is not the end.
        strays = [entry["Key"].removeprefix(PREFIX) for entry in answer.get("Contents", [])]
        last = max([name + BEHIND for name in names] + strays) if answer["IsTruncated"] else ""
        return [name for name in names if is_party_key(name)], last

    def _pages(self, start: str) -> Iterator[Any]:
        with _told():
            yield from self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)


def _name(party: str, seq: int) -> str:
    return f"{PREFIX}{party}/{seq:012d}.json"


def _moment(metadata: Mapping[str, str]) -> datetime | None:
    try:
        return moments.from_text(metadata.get(_LEAVES_AT))
    except ValueError:
        return None


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _copy_error(error) from None


def _copy_error(error: Exception) -> CopyError:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return CopyError(f"S3: {code or type(error).__name__}")
