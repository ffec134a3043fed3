"""The sweeper against the `twilio` package, which deletes one after the other.

Both delete recordings, and see each gone, at a stub that takes 80 ms for an answer and refuses more than 100 at
once. The sweeper does all that it does in production: it lists, asks the ledger (in memory here), deletes, sees each
recording gone and moves its record on. `python -m tests.bench.sweep 100000` deletes so many and tells how many requests
were in flight.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import urllib3
from parley import runtime
from parley.adapters.secrets import TwilioCredentials
from parley.adapters.twilio_sweep import Places, TwilioSweep
from parley.core.holds import Hold
from parley.core.limiter import Limit
from parley.core.record_classes import RecordClass
from parley.core.records import Record, Resource, ResourceKind, Stage
from parley.core.sweeping import Partition, PendingDeletion, Why
from parley.env import Environment
from parley.ports import Ledger
from parley.sweeping import Sweep
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]

from local.twilio.client import connect
from tests.bench.twilio_stub import ON_A_PAGE, sid_of
from tests.cli.consent_stage import SETTINGS
from tests.unit.memory import StillClock

ROOT = Path(__file__).resolve().parents[2]
LATENCY_MS, LIMIT = 80, 100
ACCOUNT, KEY, SECRET = "AC" + "1" * 32, "SK" + "2" * 32, "s" * 32
EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
SAMPLE = 25
"""Deletions of the peer from which its time for one is taken."""


class Records:
    """The ledger's part that the sweeper needs for recordings, in memory: every recording is archived."""

    def __init__(self) -> None:
        self.kept: dict[str, Record] = {}
        self.rows: dict[str, PendingDeletion] = {}

    def active_holds(self) -> tuple[Hold, ...]:
        """Return no holds."""
        return ()

    def records_by_sid(self, sids: Sequence[str]) -> dict[str, Record]:
        """Return a record for each."""
        return {sid: self.kept.get(sid) or self.kept.setdefault(sid, archived(sid)) for sid in sids}

    def record(self, sid: str) -> Record | None:
        """Return one record."""
        return self.kept.get(sid)

    def advance(self, before: Record, after: Record) -> bool:
        """Move a record on."""
        if self.kept[before.sid] != before:
            return False
        self.kept[before.sid] = after
        return True

    def waiting(self, sids: Sequence[str]) -> dict[str, PendingDeletion]:
        """Return what waits."""
        return {sid: self.rows[sid] for sid in sids if sid in self.rows}

    def postpone_deletion(
        self, resource: Resource, due: datetime, first: datetime, record_sid: str = "", why: Why = Why.REFUSED
    ) -> None:
        """Note that a deletion waits."""
        self.rows[resource.sid] = PendingDeletion(resource, due, first, 0, why, record_sid)

    def settle_deletion(self, resource: Resource) -> None:
        """Note that it is done."""
        self.rows.pop(resource.sid, None)

    def request_limit(self, _name: str) -> Limit:
        """Return the shared limit: there is one worker."""
        return Limit()

    def set_request_limit(self, _name: str, _before: Limit, _after: Limit) -> bool:
        """Keep no limit."""
        return True


def archived(sid: str) -> Record:
    """Return the record of an archived recording."""
    return Record(
        sid,
        ResourceKind.RECORDING,
        RecordClass.CALL_RECORDINGS,
        "KC" + "1" * 32,
        "CA" + "1" * 32,
        ("a" * 64, "b" * 64),
        ("cr_1", "cr_2"),
        EPOCH,
        Stage.ARCHIVED,
    )


@contextmanager
def stub(latency_ms: int = LATENCY_MS, limit: int = LIMIT) -> Iterator[str]:
    """Run the stub in a process of its own; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.bench.twilio_stub", str(port), str(latency_ms), str(limit)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'functions'}"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def counted(address: str) -> dict[str, float]:
    """Return what the stub counted since this was last asked."""
    told: dict[str, float] = json.loads(urllib3.request("DELETE", f"{address}/_stub").data)
    return told


def ours(address: str, count: int) -> float:
    """Delete so many recordings, in whole pages, as a worker does; return milliseconds for one."""
    now = datetime.now(UTC)
    environment = replace(
        Environment(**SETTINGS), twilio_copy_days={"call-recordings": 0}, queues={}, twilio_endpoint=address
    )
    credentials = TwilioCredentials(KEY, SECRET, ("t" * 32,))
    ledger = Records()
    made: dict[str, Callable[[], Any]] = {
        "environment": lambda: environment,
        "ledger": lambda: cast("Ledger", ledger),
        "clock": StillClock,
        "twilio_sweep": functools.cache(
            lambda: TwilioSweep(
                lambda _: credentials,
                ACCOUNT,
                address,
                services=["KS" + "3" * 32],
                places=Places(cast("Ledger", ledger), StillClock(), "api"),
                proxy_places=Places(cast("Ledger", ledger), StillClock(), "proxy"),
            )
        ),
    }
    kept = {name: getattr(runtime, name) for name in made}
    for name, make in made.items():
        setattr(runtime, name, make)
    try:
        sweep = Sweep(time.monotonic() + 3600)
        sweep._now = now
        pages = -(-count // ON_A_PAGE)
        tasks = [
            sweep.begin(
                Partition(
                    ResourceKind.RECORDING, EPOCH + timedelta(hours=page), EPOCH + timedelta(hours=page + 1)
                ).message()
            )
            for page in range(pages)
        ]
        began = time.perf_counter()
        sweep.lanes.run()
        spent = time.perf_counter() - began
    finally:
        for name, make in kept.items():
            setattr(runtime, name, make)
    assert all(task.complete for task in tasks)
    assert all(record.stage is Stage.DELETED for record in ledger.kept.values())
    assert len(ledger.kept) == pages * ON_A_PAGE
    assert not ledger.rows
    return spent * 1000 / (pages * ON_A_PAGE)


def peer(address: str) -> float:
    """Delete a few recordings with the `twilio` package, and see each gone, one after the other; return ms for one."""
    client = connect(address, KEY, SECRET, ACCOUNT)
    second = int(EPOCH.timestamp())
    client.recordings(sid_of(second, 0)).delete()  # its connection is open now
    began = time.perf_counter()
    for place in range(1, SAMPLE + 1):
        recording = client.recordings(sid_of(second, place))
        assert recording.delete()
        with contextlib.suppress(TwilioRestException):
            raise AssertionError(recording.fetch())
    spent = time.perf_counter() - began
    client.http_client.close()
    return spent * 1000 / SAMPLE


def main() -> None:
    """Delete as many as the command line says, and print what came of it as JSON."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with stub() as address:
        theirs = peer(address)
        counted(address)
        one = ours(address, count)
        seen = counted(address)
    found = {"ours_ms": one, "theirs_ms": theirs, "times": theirs / one, **seen}
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
