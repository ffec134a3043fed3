"""The sweeper: hands out what is over its time at Twilio by its schedule, and deletes it as its queue brings it.

Every hour it cuts time into partitions for its own queue, begins the walks through the lists that have no time, brings
back the deletions that are due again, and has the legal holds applied to what came since. A cursor moves on only after
its partitions were taken by the queue, so whoever dies in between hands them out twice. Called with `{"dry_run": true}`
it deletes nothing and answers what would go.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from parley import log, runtime, work
from parley.clock import seconds_left
from parley.core import moments
from parley.core.holds import Stage
from parley.core.records import ResourceKind
from parley.core.sweeping import (
    LOOK_BACK,
    SETTLED,
    WALKS,
    Cursor,
    Track,
    Walk,
    Why,
    behind,
    kinds,
    partitions,
    tracks,
)
from parley.core.verification import METRICS
from parley.handlers import reconcile
from parley.sweeping import QUEUE, Sweep, Task, send_deletions, walk_name

NAME: Final = "sweep"
DUE_LIMIT: Final = 10_000
"""Deletions that are brought back by one run; the next one brings the rest."""


class SweepIncompleteError(Exception):
    """Something could not be handed out in this run; the next one does it. The log tells what."""


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Do the work of the queue, rehearse, or hand out what is due.

    Raises SweepIncompleteError, so that the function's error alarm rings, where a run of the schedule failed in part.
    """
    deadline = time.monotonic() + seconds_left(context)
    if work.is_work(event):
        return _work(event, deadline)
    if event.get("dry_run"):
        return _rehearse(deadline)
    return dict(_hand_out())


# By the schedule ----------------------------------------------------------------------------------------------


def _hand_out() -> dict[str, int]:
    """Hand out everything that is due, each part even if another fails; return how much that was."""
    done: dict[str, int] = {"partitions": 0, "walks": 0, "deletions": 0, "holds": 0}
    now = runtime.clock().now()
    failed = False
    late = timedelta(0)
    for part in (_hand_out_deletions, _hand_out_time, _hand_out_walks, _refresh_holds):
        try:
            late = max(late, part(now, done))
        except Exception as error:  # noqa: BLE001 - the other parts must run, and the error must not quote anybody
            log.failure("sweep-failed", error, part=part.__name__.strip("_"))
            failed = True
    log.emit("sweep-handed-out", complete=not failed, **done)
    stack = {"Stack": runtime.environment().stack}
    log.measure(
        METRICS, stack, {"SweepPartitions": done["partitions"], "SweepBacklogHours": int(late.total_seconds() // 3600)}
    )
    if failed:
        raise SweepIncompleteError("see the events before this one in the log")
    return done


def _hand_out_time(now: datetime, done: dict[str, int]) -> timedelta:
    """Hand out partitions of time; return how far the furthest behind was behind."""
    ledger, late = runtime.ledger(), timedelta(0)
    for track in _tracks(now):
        cursor = Cursor.of(ledger.load_cursor(track.name))
        late = max(late, behind(track, cursor, now))
        parts, reached = partitions(track, cursor, now)
        runtime.queues().send(QUEUE, *(part.message() for part in parts))
        ledger.save_cursor(track.name, reached.document())
        done["partitions"] += len(parts)
    return late


def _kinds() -> tuple[ResourceKind, ...]:
    env = runtime.environment()
    return kinds(env.channels, env.twilio_copy_days, proxied=not env.is_direct)


def _tracks(now: datetime) -> tuple[Track, ...]:
    return tracks(_kinds(), runtime.environment().twilio_copy_days, now, heard=_heard())


def _heard() -> datetime | None:
    """Return the moment until which the reconciler has taken the stop words, and a walk has seen the texts to keep.

    Where sessions are our own, whoever passes a text on tells the archive of it at once, and no walk has to.
    """
    ledger = runtime.ledger()
    read = ledger.load_cursor(reconcile.MESSAGES)
    heard = moments.from_text(read["since"]) - reconcile.OVERLAP if read else None
    if heard is None or runtime.environment().is_direct:
        return heard
    seen = Walk.of(ledger.load_cursor(walk_name(ResourceKind.SESSION)))
    return None if seen.complete is None else min(heard, seen.complete - SETTLED)


def _hand_out_walks(now: datetime, done: dict[str, int]) -> timedelta:
    """Begin the walks whose last one has come to its end; return how long ago the oldest complete one began."""
    ledger, late = runtime.ledger(), timedelta(0)
    for kind in _kinds():
        if kind not in WALKS:
            continue
        walk = Walk.of(ledger.load_cursor(walk_name(kind)))
        late = max(late, now - walk.complete if walk.complete else LOOK_BACK)
        if not walk.is_due(now):
            log.emit("walk-under-way", kind=str(kind))
            continue
        runtime.queues().send(QUEUE, {"kind": str(kind), "walk": moments.to_text(now), "page": ""})
        ledger.save_cursor(walk_name(kind), Walk(now, walk.complete).document())
        done["walks"] += 1
    return late


def _hand_out_deletions(now: datetime, done: dict[str, int]) -> timedelta:
    """Bring back the deletions that are due again, and measure what waits."""
    pending = list(runtime.ledger().pending_deletions())
    due = sorted((each for each in pending if each.due <= now), key=lambda each: each.due)[:DUE_LIMIT]
    send_deletions([each.resource for each in due])
    done["deletions"] = len(due)
    overdue = [each for each in pending if each.is_overdue(now)]
    for each in overdue:
        log.emit("deletion-overdue", "ERROR", resource=each.resource.sid, since=moments.to_text(each.first_asked_at))
    waits = {f"waits-{why}": sum(each.why is why for each in pending) for why in Why}
    log.emit("deletions-pending", count=len(pending), **waits)
    log.measure(
        METRICS,
        {"Stack": runtime.environment().stack},
        {"DeletionsPending": len(pending), "DeletionsOverdue": len(overdue)},
    )
    return timedelta(0)


def _refresh_holds(_now: datetime, done: dict[str, int]) -> timedelta:
    """Have each legal hold applied to what was written since it was placed, and each release that died gone on with."""
    if "holds" in runtime.environment().queues:
        holds = [hold for hold in runtime.ledger().holds() if hold.stage is not Stage.RELEASED]
        runtime.queues().send("holds", *({"hold": hold.id} for hold in holds))
        done["holds"] = len(holds)
    return timedelta(0)


# By the queue -------------------------------------------------------------------------------------------------


def _work(event: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """Do the work of a batch, all of it at once; answer what failed. What time did not suffice for is sent again."""
    sweep = Sweep(deadline)
    tasks: dict[str, Task] = {}
    for record in event["Records"]:
        try:
            tasks[record["messageId"]] = sweep.begin(json.loads(record["body"]))
        except (KeyError, TypeError, ValueError):
            # It will never be another one, however often it comes.
            log.emit("message-unreadable", "ERROR", handler=NAME, message=record["messageId"])
    failed = _run(sweep, tasks)
    sweep.send()
    _tell(sweep)
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


def _run(sweep: Sweep, tasks: Mapping[str, Task]) -> list[str]:
    """Do all tasks and what follows from them; return the messages that have to come again.

    A walk whose later piece failed is done again from the piece of its message.
    """
    failed: list[str] = []
    under_way = dict(tasks)
    while under_way:
        sweep.lanes.run()
        following: dict[str, Task] = {}
        for identifier, task in under_way.items():
            if task.failed:
                failed.append(identifier)
                continue
            if task.left:
                runtime.queues().send(QUEUE, task.message)
            runtime.queues().send(QUEUE, *task.then)
            if (after := sweep.follow(task)) is not None:
                following[identifier] = after
        under_way = following
    return failed


def _tell(sweep: Sweep) -> None:
    found = sweep.tally.document()
    if found:
        log.emit("swept", **{kind: [f"{what} {n}" for what, n in counts.items()] for kind, counts in found.items()})
    for kind, counts in found.items():
        dimensions = {"Stack": runtime.environment().stack, "Kind": kind}
        log.measure(METRICS, dimensions, {"Swept": counts.get("deleted", 0)})


# In rehearsal -------------------------------------------------------------------------------------------------


def _rehearse(deadline: float) -> dict[str, Any]:
    """Look at everything and delete nothing; return by kind what would go, what waits and what is kept.

    `complete` tells whether time sufficed for all of it.
    """
    sweep, now = Sweep(deadline, dry=True), runtime.clock().now()
    messages: list[Mapping[str, Any]] = []
    for track in _tracks(now):
        messages += [part.message() for part in partitions(track, None, now)[0]]
    messages += [{"kind": str(kind), "walk": moments.to_text(now), "page": ""} for kind in _kinds() if kind in WALKS]
    complete = True
    while messages:
        tasks = [sweep.begin(message) for message in messages]
        sweep.lanes.run()
        complete &= all(task.complete for task in tasks)
        messages = [message for task in tasks for message in task.then]
        messages += [{**task.message, "page": task.page} for task in tasks if task.complete and task.page]
    return {"complete": complete, "kinds": sweep.tally.document(), "pending": len(list(_pending()))}


def _pending() -> list[str]:
    return [each.resource.sid for each in runtime.ledger().pending_deletions()]
