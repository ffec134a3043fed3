"""What a function's memory buys, in a model: its share of a processor, as the kernel gives one.

Lambda gives processor time in proportion to memory, one whole processor at 1,769 MB
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). Here a process gets that share by the kernel's
own quota (cgroups), over the stub of the gate's bench. It is a model of one processor's speed, not Lambda: what Lambda
gives beyond the share while it makes an execution environment is left out, so cold starts are the worst case.
`python -m tests.bench.memory` prints a table; it takes root on Linux.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench import entry
from tests.bench.gate import ROOT, SIDES, Aws, BenchError, aws, cold, webhook

MEMORIES: Final = (128, 256, 512, 1024, 1769)
"""MB, as functions can have them."""
WHOLE: Final = 1769
"""MB at which a function has one processor."""
PERIOD: Final = 20_000
"""Microseconds in which the share is given: what is left of it is not kept."""
COLD_ROUNDS: Final = 7
WARM_CALLS: Final = 200
IDLE: Final = 0.03
"""Seconds between two webhooks, in which the share is given anew."""
_WARM: Final = """
import contextlib, importlib, io, json, resource, sys, time
module, _, name = sys.argv[1].rpartition(".")
event, count, idle = json.load(open(sys.argv[2])), int(sys.argv[3]), float(sys.argv[4])
times = []
with contextlib.redirect_stdout(io.StringIO()):
    handle = getattr(importlib.import_module(module), name)
    for _ in range(count):
        time.sleep(idle)
        began = time.perf_counter()
        answer = handle(event, None)
        times.append((time.perf_counter() - began) * 1000)
assert answer["statusCode"] == 200, answer
print(json.dumps({"times": times[count // 10:], "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


@dataclass(frozen=True, slots=True)
class Bought:
    """What a memory bought: ms from start to first answer, of warm answers in the middle and at 99 %, MB in use."""

    memory: int
    cold: float
    warm: float
    p99: float
    used: float


@contextmanager
def share(memory: int) -> Iterator[dict[str, Any]]:
    """Give what lets a process of `subprocess` have the share of a memory. Raises BenchError."""
    quota = max(1000, PERIOD * memory // WHOLE)  # the kernel takes no less than a millisecond
    old, new = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    group = (old if (old / "tasks").exists() else new) / f"parley-bench-{os.getpid()}"
    try:
        group.mkdir()
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise BenchError(f"no share of a processor can be given here ({error}): run it as root on Linux") from None
    try:
        yield {"preexec_fn": lambda: (group / "cgroup.procs").write_text(str(os.getpid()))}
    finally:
        group.rmdir()


def bought(memory: int, environment: dict[str, str], handler: str, event: Path) -> Bought:
    """Return what a memory buys a handler. Raises BenchError."""
    with share(memory) as limits:
        colds = [cold(handler, environment, **limits) for _ in range(COLD_ROUNDS)]
        command = [
            sys.executable,
            "-P",
            "-c",
            _WARM,
            SIDES.get(handler, handler),
            str(event),
            str(WARM_CALLS),
            str(IDLE),
        ]
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, **limits)
    if done.returncode:
        raise BenchError(f"{handler} at {memory} MB: {done.stderr.strip().splitlines()[-1]}")
    told = json.loads(done.stdout)
    times = told["times"]
    p99 = statistics.quantiles(times, n=100)[98]
    return Bought(memory, statistics.median(colds), statistics.median(times), p99, told["memory"])


def main() -> None:
    """Print a table of what each memory buys the intercept, and the entry of calls."""
    print(f"| MB | what | start to first answer | warm, p50 | warm, p99 | in use |\n|{'---|' * 6}")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder, aws() as environment:
        gate_event = Path(folder, "gate.json")
        gate_event.write_text(json.dumps(webhook()))
        for memory in MEMORIES:
            print(row("intercept", bought(memory, environment, "gate", gate_event)))  # noqa: T201 - its output
        call_event = Path(folder, "call.json")
        with entry.calls(environment) as more:
            call_event.write_bytes(Aws.event)
            for memory in MEMORIES:
                print(row("call", bought(memory, more, entry.HANDLER, call_event)))  # noqa: T201 - its output


def row(what: str, one: Bought) -> str:
    """Return a row of the table."""
    return f"| {one.memory} | {what} | {one.cold:.0f} ms | {one.warm:.1f} ms | {one.p99:.1f} ms | {one.used:.0f} MB |"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
