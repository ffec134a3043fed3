"""The reconciler, by its schedule: opt-outs that no webhook told of, and open sessions that must not be open.

Proxy drops STOP and its like without telling any webhook; the only trace is alert 80901 of Twilio's debugger
(twilio.com/docs/proxy/opt-out-keywords). Stop words that Proxy forwards are lost when the webhooks fail; each failure
leaves alert 80908, which names the message. So the messages themselves are gone through as well: a stop word that left
no trace is there, and a text that Twilio did not send because its recipient had said STOP.

A session may outlive its consent when closing it failed, or when a deployment widened the purpose of the notice that
the consent rests on. One that was made while its answer was lost has the name of an intent that never became a session;
and one that the ledger holds for open may be closed at Twilio. Every part is safe to repeat, goes on where the last run
stopped, and is bounded in what it reads.

What stays open, for stop words that Proxy forwards: webhooks that vanish without an alert, an alert that names
something else than the message (what it names is documented nowhere; the emulator has it name the inbound message),
and a ledger that is down while the intercept answers: its 403 keeps the word from the other person and leaves alert
80909, which is not read here. In each of them the word withdraws nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from parley import log, runtime
from parley.core import moments
from parley.core.assignment import IN_USE
from parley.core.identity import calling_code
from parley.core.optout import is_stop
from parley.core.sessions import IN_FLIGHT, Session, Stage, Status, intent_of
from parley.core.verification import METRICS
from parley.found import BARRED, SWALLOWED, UNHEARD, Taken, take_alert, take_message
from parley.ports import Alert, CarrierError, FoundSession, LedgerError, Message
from parley.withdrawal import close, end_calls, judge

ACTOR = "fn:reconcile"

ALERTS = "alerts-80901"
FAILURES = "alerts-80908"
MESSAGES = "messages"
SWEEP = "open-sessions"
ORPHANS = "sessions-at-twilio"
GHOSTS = "sessions-gone"

EXPIRED, IDLE = "expired", "idle"

FIRST_LOOK_BACK = timedelta(hours=24)
OVERLAP = timedelta(minutes=10)
"""How much of the past is read again: alerts show up late, and clocks differ."""

OVERDUE = timedelta(days=1)
"""How long after the longest time to live a session is still looked for: the limit may have been lowered."""

SHORTEST_STRETCH = timedelta(seconds=1)
"""Twilio's alerts and messages have whole seconds."""

ALERTS_LIMIT = 5000
MESSAGES_LIMIT = 5000
SESSIONS_LIMIT = 100
FOUND_LIMIT = 3000
INTENTS_LIMIT = 1000
GHOSTS_LIMIT = 10
"""Sessions of each shard that a run asks Twilio about: each costs a request, and Proxy takes 30 a second."""
ALERTS_SECONDS = 20.0
UNHEARD_SECONDS = 25.0
MESSAGES_SECONDS = 30.0
ORPHANS_SECONDS = 33.0
TOTAL_SECONDS = 40.0
GHOSTS_SECONDS = 45.0
"""By which second of a run each part stops, in the order in which they run."""


class ReconcileIncompleteError(Exception):
    """Something could not be done in this run; the next one goes on. The log tells what."""


def handle(_event: object, _context: object) -> dict[str, int]:
    """Do every part, each even if another fails, and return what was done.

    Raises ReconcileIncompleteError, so that the function's error alarm rings.
    """
    started = time.monotonic()
    done: dict[str, int] = {}
    failed = False
    parts = (
        (_take_swallowed, ALERTS_SECONDS),
        (_take_unheard, UNHEARD_SECONDS),
        (_take_messages, MESSAGES_SECONDS),
        (_close_orphans, ORPHANS_SECONDS),
        (_sweep_sessions, TOTAL_SECONDS),
        (_close_ghosts, GHOSTS_SECONDS),
    )
    for part, seconds in parts:
        try:
            failed |= not part(started + seconds, done)
        except Exception as error:  # noqa: BLE001 - the other parts must run, and the error must not quote anybody
            log.failure("reconcile-failed", error, part=part.__name__.strip("_"))
            failed = True
    log.emit("reconciled", complete=not failed, **done)
    counts = {
        "SessionsClosed": done.get("closed", 0),
        "Orphans": done.get("orphans", 0),
        "Ghosts": done.get("ghosts", 0),
        "IncompleteRuns": int(failed),
    }
    log.measure(METRICS, {"Stack": runtime.environment().stack}, counts)
    if failed:
        raise ReconcileIncompleteError("see the events before this one in the log")
    return done


def _take_swallowed(deadline: float, done: dict[str, int]) -> bool:
    """Take what Proxy kept to itself."""
    return _take_opt_outs(SWALLOWED, ALERTS, deadline, done)


def _take_unheard(deadline: float, done: dict[str, int]) -> bool:
    """Take what Proxy passed on while a webhook failed."""
    return not _is_late(deadline, FAILURES) and _take_opt_outs(UNHEARD, FAILURES, deadline, done)


def _take_opt_outs(code: int, name: str, deadline: float, done: dict[str, int]) -> bool:
    """Turn new alerts with an error code into withdrawals; return whether all of them were dealt with."""

    def read(since: datetime, until: datetime | None) -> tuple[list[_Find], bool]:
        alerts, complete = runtime.carrier().alerts(code, since, until, ALERTS_LIMIT)
        return [_Find(each.sid, each.resource_sid, each.at, _alert_taker(each)) for each in alerts], complete

    return _work_through(name, read, deadline, done)


def _take_messages(deadline: float, done: dict[str, int]) -> bool:
    """Take the stop words that no webhook and no alert tells of, and the people whom Twilio sends no text any more."""
    if _is_late(deadline, MESSAGES):
        return False

    def read(since: datetime, until: datetime | None) -> tuple[list[_Find], bool]:
        messages, complete = runtime.carrier().messages(since, until, MESSAGES_LIMIT)
        return [
            _Find(each.sid, each.sid, each.sent_at, _message_taker(each, each.sent_at))
            for each in messages
            if each.sent_at is not None and (is_stop(each.body) if each.inbound else each.error_code == BARRED)
        ], complete

    return _work_through(MESSAGES, read, deadline, done)


@dataclass(frozen=True, slots=True)
class _Find:
    """Something at Twilio that may be a no, and how it is taken. `subject` is the resource that it is about."""

    sid: str
    subject: str
    at: datetime
    take: Callable[[], Taken]


def _alert_taker(alert: Alert) -> Callable[[], Taken]:
    return lambda: take_alert(alert, actor=ACTOR)


def _message_taker(message: Message, at: datetime) -> Callable[[], Taken]:
    return lambda: take_message(message, at, actor=ACTOR)


_Read = Callable[[datetime, datetime | None], tuple[list[_Find], bool]]
"""Reads what is after a moment and until another one, oldest first; tells whether that was all."""


def _work_through(name: str, read: _Read, deadline: float, done: dict[str, int]) -> bool:
    """Take what is new since the last run; return whether all of it was dealt with."""
    ledger, now = runtime.ledger(), runtime.clock().now()
    cursor = ledger.load_cursor(name)
    since = moments.from_text(cursor["since"]) if cursor else now - FIRST_LOOK_BACK
    seen = set(cursor.get("seen", []))
    finds, until = _list(read, since, now)
    # A message that failed at several webhooks has several alerts, and is fetched once.
    taken = {find.subject for find in finds if find.sid in seen}
    left: list[_Find] = []
    for find in finds:
        if find.sid in seen:
            continue
        if find.subject not in taken and (time.monotonic() > deadline or not _take(find, done)):
            left.append(find)
        else:
            seen.add(find.sid)
            taken.add(find.subject)
    reached = min([until or now, *(find.at for find in left)])
    kept = [find.sid for find in finds if find.sid in seen and find.at >= reached - OVERLAP]
    ledger.save_cursor(name, {"since": moments.to_text(reached), "seen": kept})
    if left:
        log.emit("opt-outs-pending", "ERROR", work=name, count=len(left))
    return not left and until is None


def _list(read: _Read, since: datetime, now: datetime) -> tuple[list[_Find], datetime | None]:
    """Return what is after a moment, and where the list ends if there is too much for one run.

    Twilio lists the newest first, so a shorter stretch of time is tried until its oldest are within reach. It begins
    at the moment itself: with the overlap a busy account could take every run back to where the last one began.
    """
    finds, complete = read(since - OVERLAP, None)
    if complete:
        return finds, None
    stretch = max(now - since, SHORTEST_STRETCH)
    while True:
        finds, complete = read(since, since + stretch)
        if complete or stretch <= SHORTEST_STRETCH:
            return finds, since + stretch
        stretch /= 2


def _take(find: _Find, done: dict[str, int]) -> bool:
    """Take one find; return False if it must be tried again."""
    try:
        taken = find.take()
    except (CarrierError, LedgerError) as error:
        log.failure("opt-out-failed", error, find=find.sid)
        return False
    if taken.withdrawn:
        _count(done, "withdrawn", taken.withdrawn)
    if taken.closed:
        _count(done, "closed", taken.closed)
    return True


def _close_orphans(deadline: float, done: dict[str, int]) -> bool:
    """Close the sessions that are open at Twilio and not in the ledger; return whether none of them is left.

    Such a session was opened again by hand, or comes from a request whose answer was lost, or from a function that died
    before it wrote the session down. The intercept refuses what passes through it, but only as long as the intercept
    can be reached.
    """
    if _is_late(deadline, ORPHANS):
        return False
    ledger, carrier, now = runtime.ledger(), runtime.carrier(), runtime.clock().now()
    for intent in ledger.intents(INTENTS_LIMIT):
        if not intent.is_under_way(now) and ledger.abandon(intent):
            log.emit("intent-abandoned", "WARNING", intent=intent.id)
            _count(done, "abandoned", 1)
    oldest = now - timedelta(seconds=runtime.environment().session.ttl) - OVERDUE
    cursor = ledger.load_cursor(ORPHANS)
    since = max(oldest, moments.from_text(cursor["since"]) - OVERLAP) if cursor else oldest
    sessions, complete = carrier.open_sessions(since, FOUND_LIMIT)
    left: list[FoundSession] = []
    for session in sessions:
        if time.monotonic() > deadline:
            left.append(session)
        elif _is_orphan(session, now):
            try:
                carrier.close_session(session.sid)
            except CarrierError as error:
                log.emit("session-still-open", "ERROR", session=session.sid, reason="orphaned", status=error.status)
                left.append(session)
            else:
                log.emit("session-orphaned-closed", "WARNING", session=session.sid)
                _count(done, "orphans", 1)
    if complete:
        reached = min([now - IN_FLIGHT, *(session.created_at for session in left)])
        ledger.save_cursor(ORPHANS, {"since": moments.to_text(reached)})
    else:
        log.emit("sessions-unread", "ERROR", limit=FOUND_LIMIT)
    return complete and not left


def _is_orphan(session: FoundSession, now: datetime) -> bool:
    """Tell whether a session that is open at Twilio is closed in the ledger, or can never be written down any more.

    Every session is made for an intent that was written before, so one without an intent is nobody's.
    """
    ledger, name = runtime.ledger(), intent_of(session.unique_name)
    known = ledger.session(session.sid)
    if known is not None:
        return known.status is Status.CLOSED
    intent = ledger.intent(name) if name else None
    if intent is None or intent.unique_name != session.unique_name:
        return True
    if intent.is_under_way(now):
        return False
    if intent.stage is Stage.OPENING:
        return ledger.abandon(intent)
    return intent.sid != session.sid


def _sweep_sessions(deadline: float, done: dict[str, int]) -> bool:
    """Close open sessions whose time is over or whose parties no longer consent; return whether all of them closed."""
    ledger = runtime.ledger()
    before: dict[str, Any] = ledger.load_cursor(SWEEP)
    position: dict[str, str] = before
    complete = True
    used: Counter[tuple[str, str]] = Counter()
    lines: Counter[str] = Counter()
    while True:
        sessions, position = ledger.open_sessions(position, SESSIONS_LIMIT)
        for session in sessions:
            masked = [one for one in session.participants if one.masked_number]
            used.update((one.party, calling_code(one.masked_number)) for one in masked)
            lines.update(one.masked_number for one in masked)
            if session.status is Status.CLOSED:
                complete &= end_calls(ledger, runtime.carrier(), session)
                continue
            if _why_closed(session) is None:
                continue
            # The list may be a little older than the session, which may have been renewed or closed meanwhile.
            current = ledger.session(session.sid)
            reason = _why_closed(current) if current else None
            if current is None or current.status is not Status.OPEN or reason is None:
                continue
            # A call may go on past the end of its session, but not past the consent of the people in it.
            lost = reason not in {EXPIRED, IDLE} or current.revocation is not None
            closed = close(ledger, runtime.carrier(), current, reason=reason, lost=lost)
            _count(done, "closed", int(closed))
            complete &= closed
        _count(done, "checked", len(sessions))
        if not position or time.monotonic() > deadline:
            break
    if position != before:
        ledger.save_cursor(SWEEP, position)
    if not before and not position and runtime.environment().is_direct:
        _measure_pool(used)
        if ledger.load_cursor(IN_USE) != lines:
            ledger.save_cursor(IN_USE, lines)
    return complete


def _measure_pool(used: Counter[tuple[str, str]]) -> None:
    """Measure how many numbers are left for whoever has the most sessions, country by country.

    `used` counts the open lines of each person by calling code. Who has none left cannot have another session.
    """
    have = Counter(calling_code(number) for number in runtime.carrier().pool())
    most: Counter[str] = Counter()
    for (_, code), count in used.items():
        most[code] = max(most[code], count)
    free = {code: max(0, have[code] - most[code]) for code in have | most}
    stack = {"Stack": runtime.environment().stack}
    for code, count in free.items():
        log.measure(METRICS, {**stack, "CallingCode": code}, {"PoolFree": count})
    log.measure(METRICS, stack, {"PoolShort": int(any(count == 0 for count in free.values()))})


def _why_closed(session: Session) -> str | None:
    """Return why an open session has to be closed, or None if it may go on."""
    ledger, now = runtime.ledger(), runtime.clock().now()
    if session.is_over(now):
        return EXPIRED
    if session.revocation is not None:
        return session.revocation.reason
    if not judge(ledger, session, now).permit:
        return "consent-lost"
    return IDLE if session.idle and not runtime.carrier().is_open(session.sid) else None


def _close_ghosts(deadline: float, done: dict[str, int]) -> bool:
    """Close in the ledger some of the sessions that are closed at Twilio, other ones in each run.

    Such a session was closed there by hand, or by a function that died before it could write that down.
    """
    if _is_late(deadline, GHOSTS):
        return False
    ledger, carrier = runtime.ledger(), runtime.carrier()
    sessions, position = ledger.open_sessions(ledger.load_cursor(GHOSTS), GHOSTS_LIMIT)
    for session in sessions:
        if time.monotonic() > deadline:
            return False
        # What has to be closed is for the sweep, which also ends its calls.
        if _why_closed(session) is not None or carrier.is_open(session.sid):
            continue
        if ledger.close_session(session, "closed-at-carrier") is None:
            log.emit("session-gone", "WARNING", session=session.sid)
            _count(done, "ghosts", 1)
    ledger.save_cursor(GHOSTS, position)
    return True


def _count(done: dict[str, int], what: str, number: int) -> None:
    done[what] = done.get(what, 0) + number


def _is_late(deadline: float, work: str) -> bool:
    """Tell, and log, whether the parts before took so long that this one must wait for the next run."""
    late = time.monotonic() > deadline
    if late:
        log.emit("reconcile-out-of-time", "ERROR", work=work)
    return late
