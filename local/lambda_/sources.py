"""Everything that feeds functions by event source mappings: queues and streams."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from local.lambda_.event_sources import QueuePump
from local.lambda_.stream_sources import StreamPump

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any

    from local.aws.mends import Mends
    from local.clock import Clock
    from local.lambda_.agenda import Agenda
    from local.lambda_.functions import Functions
    from local.lambda_.invocations import Invocations


class EventSources:
    """Both pumps; `lock` gives the lock of a service's API calls."""

    def __init__(
        self,
        functions: Functions,
        invocations: Invocations,
        agenda: Agenda,
        clock: Clock,
        lock: Callable[[str], AbstractContextManager[Any]],
    ) -> None:
        self.queues = QueuePump(functions, agenda, clock)
        self.streams = StreamPump(functions, invocations, agenda, clock, lock)

    def install(self, mends: Mends) -> None:
        """Let moto's mappings be carried out here."""
        self.queues.install(mends)
        self.streams.install(mends)

    def settle(self, timeout: float) -> bool:
        """Wait until what has arrived was handed out once; False if that takes longer than `timeout` seconds."""
        until = time.monotonic() + timeout
        return self.queues.settle(timeout) and self.streams.settle(max(0.0, until - time.monotonic()))

    def wake_all(self) -> None:
        """Look at every mapped source: after a restart there may be something that nobody has heard of."""
        self.queues.wake_all()
        self.streams.wake_all()

    def close(self) -> None:
        """End both after the batch that each is at."""
        self.queues.close()
        self.streams.close()
