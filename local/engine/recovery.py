"""What an operation that was killed leaves behind in a stack's state folder: its lock and its open ends.

The layout is the engine's for `file://` backends (pkg/backend/diy): `.pulumi/locks/organization/PROJECT/STACK/*.json`
and `.pulumi/stacks/PROJECT/STACK.json`.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psutil

from local.engine.errors import EngineError
from local.engine.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.engine.progress import Report

# In an engine's environment: the process that started it, so that it can be told whether that is still there.
OWNER = "PARLEY_ENGINE_OWNER"
_ORPHAN_SECONDS = 20.0
_POLL_SECONDS = 0.05

# The input that is also the provider's ID, for types whose objects have a name of their own.
_NAMED_BY = {
    "aws:cloudwatch/logGroup:LogGroup": "{name}",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "{name}",
    "aws:dynamodb/table:Table": "{name}",
    "aws:iam/role:Role": "{name}",
    "aws:iam/rolePolicy:RolePolicy": "{role}:{name}",
    "aws:kms/alias:Alias": "{name}",
    "aws:lambda/function:Function": "{name}",
    "aws:s3/bucket:Bucket": "{bucket}",
    "aws:scheduler/scheduleGroup:ScheduleGroup": "{name}",
    "aws:scheduler/schedule:Schedule": "{groupName}/{name}",
}


@dataclass(frozen=True, slots=True)
class PendingCreate:
    """A resource that was being made when the engine was killed: it may exist, and the state does not know its ID."""

    urn: str
    type: str
    inputs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rpartition("::")[2]


def identify(pending: PendingCreate) -> str | None:
    """Return the ID that the object has if it exists, for the types where its name tells; else None."""
    pattern = _NAMED_BY.get(pending.type)
    try:
        return pattern.format_map(pending.inputs) if pattern else None
    except KeyError:
        return None


def free_lock(state: Path, project: str, stack: str, report: Report = silent) -> str | None:
    """Remove the locks of processes that are gone; returns a message if there were any.

    An engine that outlives the command that ran it is waited for, and interrupted if it does not end by itself;
    `report` hears of that. Raises EngineError if another living process, or one of another machine, holds the stack.
    """
    freed: list[str] = []
    for lock in sorted((state / ".pulumi" / "locks" / "organization" / project / stack).glob("*.json")):
        try:
            holder = json.loads(lock.read_text("utf-8"))
            pid, host, since = int(holder["pid"]), str(holder["hostname"]), str(holder["timestamp"])
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            pid, host, since = 0, socket.gethostname(), ""
        here = host == socket.gethostname()
        if here and _is_orphan(pid, state):
            _end_orphan(pid, since, report)
        if not here or _alive(pid, since):
            raise EngineError(
                f"The stack {stack} is in use: process {pid} on {host} has held it since {since or 'an unknown time'}. "
                f"Wait for it or end it (`kill -INT {pid}`). If it is gone, remove {lock}."
            )
        if lock.exists():  # an engine that ended in order has taken it away
            freed.append(str(pid))
        for file in (lock, lock.with_name(f"{lock.name}.attrs")):
            file.unlink(missing_ok=True)
    if not freed:
        return None
    return f"The last operation on the stack {stack} was killed (process {', '.join(freed)}); its lock is removed."


def mend(state: Path, project: str, stack: str) -> str | None:
    """Put right what a kill in the middle of a write leaves in the state; returns a message if that was needed.

    The engine replaces the state itself in one move, but writes the attributes beside it (`*.attrs`) in place: cut off,
    they make the state unreadable ("failed to load checkpoint: EOF"), and without them it is read as it is.
    """
    mended: list[str] = []
    current = state / ".pulumi" / "stacks" / project / f"{stack}.json"
    for attributes in (state / ".pulumi").rglob("*.attrs"):
        if not _is_json(attributes):
            attributes.unlink(missing_ok=True)
            mended.append(attributes.name)
    for unfinished in current.parent.glob(f"{stack}.json*.tmp"):
        unfinished.unlink(missing_ok=True)
    backup = current.with_name(f"{current.name}.bak")
    if backup.is_file() and not _is_json(current) and _is_json(backup):
        current.write_bytes(backup.read_bytes())
        mended.append(current.name)
    return f"It was cut off while it wrote {', '.join(mended)}; that is put right." if mended else None


def pending_creates(state: Path, project: str, stack: str) -> tuple[PendingCreate, ...]:
    """Return the creations that a killed operation left open."""
    try:
        told = json.loads((state / ".pulumi" / "stacks" / project / f"{stack}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return ()
    latest = (told.get("checkpoint") or {}).get("latest") or {}
    return tuple(
        PendingCreate(one["resource"]["urn"], one["resource"]["type"], one["resource"].get("inputs") or {})
        for one in latest.get("pending_operations") or ()
        if one.get("type") == "creating"
    )


def adopted(state: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    """Return an exported state without open operations, in which the creations of `found` (URN -> ID) have ended.

    They come last, after whatever they depend on, and have their inputs for outputs until they are refreshed.
    """
    deployment = dict(state["deployment"])
    resources = list(deployment.get("resources") or ())
    for operation in deployment.pop("pending_operations", None) or ():
        resource = operation["resource"]
        if operation.get("type") == "creating" and (id_ := found.get(resource["urn"])):
            resources.append({**resource, "id": id_, "outputs": resource.get("inputs") or {}})
    return {**state, "deployment": {**deployment, "resources": resources}}


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _alive(pid: int, since: str) -> bool:
    """Whether the process that took a lock still runs; a later process with the same number is another one."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.create_time() <= datetime.fromisoformat(since).timestamp() + 1
    except (psutil.NoSuchProcess, ValueError):
        return False


def _is_orphan(pid: int, state: Path) -> bool:
    """Whether a process is an engine of this very state folder, and the command that started it is gone."""
    try:
        process = psutil.Process(pid)
        told = process.environ()
        parent = str(process.ppid())
    except (psutil.Error, OSError):
        return False
    return told.get("PULUMI_BACKEND_URL") == state.as_uri() and told.get(OWNER, parent) != parent


def _end_orphan(pid: int, since: str, report: Report) -> None:
    """Wait for an engine that has lost its command; if it does not end by itself in time, interrupt it."""
    report(Progress(f"The command that ran the last operation is gone; waiting for its engine (process {pid}) to end."))
    if not _ends(pid, since):
        report(Progress(f"It does not end by itself: interrupting process {pid}."))
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).send_signal(signal.SIGINT)
        _ends(pid, since)


def _ends(pid: int, since: str) -> bool:
    """Wait for the end of a process of someone else's, within a bound; returns whether it came."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while alive := _alive(pid, since):
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return not alive
