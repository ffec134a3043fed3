"""moto on the movable clock, so that an object's age, a message's visibility and a key's deletion date follow it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.aws.mends import Mends
    from local.clock import Clock

_MODULES = ("s3", "sqs", "kms", "secretsmanager", "logs", "scheduler", "dynamodb.models.table")


def install(mends: Mends, clock: Clock) -> None:
    """Give moto's time-dependent services the cloud's clock (STS stays on the machine's: its keys sign real time)."""

    def utcnow() -> datetime:
        return datetime.fromtimestamp(clock.now(), UTC).replace(tzinfo=None)

    def unix_time(moment: datetime | None = None) -> float:
        return clock.now() if moment is None else (moment.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001 - moto's times are naive UTC

    def unix_time_millis(moment: datetime | None = None) -> float:
        return unix_time(moment) * 1000

    for name in _MODULES:
        module = import_module(f"moto.{name}" if "." in name else f"moto.{name}.models")
        for function in (utcnow, unix_time, unix_time_millis):
            if function.__name__ in vars(module):
                mends.replace(module, function.__name__, function)
