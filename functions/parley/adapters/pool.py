"""The pool of masked numbers, as the deployment wrote it down: an object of the evidence bucket (`direct`)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from parley.core.assignment import PoolNumber
from parley.ports import Clock, LedgerError

FRESH: Final = timedelta(seconds=60)
"""How long the list is used before it is read again: a number that was taken away is assigned no longer than that."""


class NumberPool:
    """The numbers in the object `key` of `bucket`. `client` is boto3's S3 client."""

    def __init__(self, client: Any, bucket: str, key: str, clock: Clock) -> None:
        self._client, self._bucket, self._key, self._clock = client, bucket, key, clock
        self._numbers: tuple[PoolNumber, ...] = ()
        self._read_at: datetime | None = None

    def numbers(self) -> tuple[PoolNumber, ...]:
        """Return the numbers of the pool. Raises LedgerError if the list cannot be read."""
        now = self._clock.now()
        if self._read_at is None or now - self._read_at >= FRESH:
            self._numbers, self._read_at = self._read(), now
        return self._numbers

    def _read(self) -> tuple[PoolNumber, ...]:
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=self._key)["Body"].read()
            return tuple(
                PoolNumber(
                    sid=one["sid"],
                    number=one["number"],
                    capabilities=frozenset(one["capabilities"]),
                    reserved=one["reserved"],
                    country=one["country"],
                )
                for one in json.loads(body)
            )
        except (BotoCoreError, ClientError, KeyError, TypeError, ValueError) as error:
            raise LedgerError(f"the list of the pool cannot be read ({type(error).__name__})") from None
