"""What is live, asked all at once: many small questions and a few long listings, in threads, under one deadline.

A reader (`live_aws`, `live_twilio`) makes a `Read` of each question; `observe` asks them and sorts the answers by
resource and property. What could not be read stands there as `Unread` with the service's code, never as an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from parley.adapters.secrets import SecretError
from parley.core.verification import LATE, Gone, Unread
from parley.ports import CarrierError

WORKERS: Final = 32
"""Questions asked at the same time: more than a stack has listings, so that none of them waits for another."""

_GONE: Final = frozenset(
    {
        *("NoSuchBucket", "NotFoundException", "ResourceNotFoundException", "NoSuchEntity", "NotFound"),
        *("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    }
)
"""The error codes by which AWS says that the resource itself is not there."""


class GoneError(Exception):
    """The resource is not there; for services that answer an empty list instead of an error."""


class LateError(Exception):
    """The time for all reads is over."""


class Deadline:
    """When reading must have ended: so many seconds from now, by a clock that only moves forward."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left, never less than none."""
        return max(0.0, self._end - self._clock())

    def check(self) -> None:
        """Raise LateError when the time is over; a listing asks before each page."""
        if self.left <= 0:
            raise LateError


@dataclass(frozen=True, slots=True)
class Read:
    """One question about one resource: `ask` answers the properties `keys`, which lie under the path `at`.

    `long` is a listing: it is begun first.
    """

    system: str
    name: str
    keys: tuple[str, ...]
    ask: Callable[[], Mapping[str, Any]]
    at: tuple[str, ...] = ()
    long: bool = False


def observe(reads: Iterable[Read], deadline: Deadline) -> dict[tuple[str, str], dict[str, Any]]:
    """Ask everything at once, and return each resource's properties (`parley.core.verification.Observed`)."""
    asked = sorted(reads, key=lambda read: not read.long)
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="live")
    try:
        futures = [pool.submit(_answer, read, deadline) for read in asked]
        done, _ = wait(futures, deadline.left)
    finally:
        # What still runs ends by itself: each request has its timeout, each listing sees the deadline.
        pool.shutdown(wait=False, cancel_futures=True)
    observed: dict[tuple[str, str], dict[str, Any]] = {}
    for read, future in zip(asked, futures, strict=True):
        answer = future.result() if future in done else dict.fromkeys(read.keys, Unread(LATE))
        held = observed.setdefault((read.system, read.name), {})
        for name in read.at:
            held = held.setdefault(name, {})
        held.update(answer)
    return observed


def _answer(read: Read, deadline: Deadline) -> dict[str, Any]:
    """Ask one question; every failure of the service becomes the value of all that was asked for."""
    failed: Unread | Gone
    try:
        deadline.check()
        found = read.ask()
        return {key: found.get(key) for key in read.keys}
    except (LateError, GoneError) as error:
        failed = Unread(LATE) if isinstance(error, LateError) else Gone()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        failed = Gone() if code in _GONE else Unread(code, f"{read.system} {error.operation_name}")
    except BotoCoreError as error:
        failed = Unread(type(error).__name__, read.system)
    except CarrierError as error:
        failed = Gone() if error.status == 404 else Unread(f"status {error.status}", f"twilio {error.operation}")
    except SecretError:
        failed = Unread("SecretUnreadable", "secretsmanager GetSecretValue")
    except (KeyError, TypeError, ValueError) as error:
        # An answer of another form than documented; its text is not kept, it may quote a record.
        failed = Unread(f"Unreadable{type(error).__name__}", read.system)
    return dict.fromkeys(read.keys, failed)
