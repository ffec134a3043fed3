"""The reconciler, every minute: opt-outs that no webhook told of, and open sessions that must not be open.

Proxy drops STOP and its like without telling any webhook; the only trace is alert 80901 of Twilio's debugger
(twilio.com/docs/proxy/opt-out-keywords). Stop words that Proxy forwards are lost when the webhooks fail; each failure
leaves alert 80908, which names the message. A session may outlive its consent when closing it failed, and one that was
made while its answer was lost is known to nobody here. Every part is safe to repeat, goes on where the last run
stopped, and is bounded in what it reads.

What stays open, for stop words that Proxy forwards: webhooks that vanish without an alert, an alert that names
something else than the message (what it names is documented nowhere; the emulator has it name the inbound message),
and a ledger that is down while the intercept answers: its 403 keeps the word from the other person and leaves alert
80909, which is not read here. In each of them the word withdraws nothing.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, Final

from parley import log, runtime
from parley.core import moments
from parley.core.identity import IdentifierError
from parley.core.optout import Word, meaning
from parley.ports import Alert, CarrierError, FoundSession, LedgerError
from parley.withdrawal import close, close_denied, judge, withdraw_by_text

SWALLOWED = 80901
"""An opt-in or opt-out word that was not forwarded."""

UNHEARD = 80908
"""A webhook that failed: what it was about may have been a stop word."""

MESSAGES = ("SM", "MM")
ALERTS = "alerts-80901"
FAILURES = "alerts-80908"
SWEEP = "open-sessions"
ORPHANS = "sessions-at-twilio"

FIRST_LOOK_BACK = timedelta(hours=24)
OVERLAP = timedelta(minutes=10)
"""How much of the past is read again: alerts show up late, and clocks differ."""

IN_FLIGHT = timedelta(minutes=1)
"""How young a session may be that is not written down yet: longer than the function that opens it may run."""

OVERDUE = timedelta(days=1)
"""How long after the longest time to live a session is still looked for: the limit may have been lowered."""

SHORTEST_STRETCH = timedelta(seconds=1)
"""Twilio's alerts have whole seconds."""

ALERTS_LIMIT = 5000
SESSIONS_LIMIT = 100
FOUND_LIMIT = 3000
ALERTS_SECONDS = 20.0
UNHEARD_SECONDS = 25.0
ORPHANS_SECONDS = 30.0
TOTAL_SECONDS = 40.0
"""By which second of a run each part stops, in the order in which they run."""

_GONE: Final[dict[int, tuple[str, log.Level]]] = {
    SWALLOWED: ("opt-out-lost", "ERROR"),
    UNHEARD: ("message-lost", "WARNING"),
}


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
        (_close_orphans, ORPHANS_SECONDS),
        (_sweep_sessions, TOTAL_SECONDS),
    )
    for part, seconds in parts:
        try:
            failed |= not part(started + seconds, done)
        except Exception as error:  # noqa: BLE001 - the other parts must run, and the error must not quote anybody
            log.failure("reconcile-failed", error, part=part.__name__.strip("_"))
            failed = True
    log.emit("reconciled", complete=not failed, **done)
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
    ledger, now = runtime.ledger(), runtime.clock().now()
    cursor = ledger.load_cursor(name)
    since = moments.from_text(cursor["since"]) if cursor else now - FIRST_LOOK_BACK
    seen = set(cursor.get("seen", []))
    alerts, until = _list_alerts(code, since, now)
    # A message that failed at several webhooks has several alerts, and is fetched once.
    taken = {alert.resource_sid for alert in alerts if alert.sid in seen}
    left: list[Alert] = []
    for alert in alerts:
        if alert.sid in seen:
            continue
        if alert.resource_sid not in taken and (time.monotonic() > deadline or not _take_opt_out(alert, now, done)):
            left.append(alert)
        else:
            seen.add(alert.sid)
            taken.add(alert.resource_sid)
    reached = min([until or now, *(alert.at for alert in left)])
    kept = [alert.sid for alert in alerts if alert.sid in seen and alert.at >= reached - OVERLAP]
    ledger.save_cursor(name, {"since": moments.to_text(reached), "seen": kept})
    if left:
        log.emit("opt-outs-pending", "ERROR", alerts=code, count=len(left))
    return not left and until is None


def _list_alerts(code: int, since: datetime, now: datetime) -> tuple[list[Alert], datetime | None]:
    """Return the alerts after a moment, and where the list ends if there are too many for one run.

    Twilio lists the newest first, so a shorter stretch of time is tried until its oldest are within reach. It begins
    at the moment itself: with the overlap a busy account could take every run back to where the last one began.
    """
    carrier = runtime.carrier()
    alerts, complete = carrier.alerts(code, since - OVERLAP, None, ALERTS_LIMIT)
    if complete:
        return alerts, None
    stretch = max(now - since, SHORTEST_STRETCH)
    while True:
        alerts, complete = carrier.alerts(code, since, since + stretch, ALERTS_LIMIT)
        if complete or stretch <= SHORTEST_STRETCH:
            return alerts, since + stretch
        stretch /= 2


def _take_opt_out(alert: Alert, now: datetime, done: dict[str, int]) -> bool:
    """Turn one alert into a withdrawal; return False if it must be tried again."""
    ledger, carrier = runtime.ledger(), runtime.carrier()
    if alert.code == UNHEARD and not alert.resource_sid.startswith(MESSAGES):
        return True
    try:
        message = carrier.message(alert.resource_sid)
        if message is None:
            # Deleted before it was read: nobody can tell any more who said stop, or whether anybody did.
            event, level = _GONE[alert.code]
            log.emit(event, level, alert=alert.sid, resource=alert.resource_sid)
            return True
        word = meaning(message.body)
        if not message.inbound or word is Word.START or (alert.code == UNHEARD and word is not Word.STOP):
            return True
        party = runtime.identities().party(message.sender)
        withdraw_by_text(
            ledger,
            party=party,
            message_sid=alert.resource_sid,
            word=message.body,
            said_at=min(message.sent_at or alert.at, now),
            actor="fn:reconcile",
            controller=runtime.environment().controller,
        )
        closing = close_denied(ledger, carrier, runtime.clock(), party, reason="opted-out")
    except IdentifierError:
        log.emit("opt-out-sender-unreadable", "ERROR", alert=alert.sid, resource=alert.resource_sid)
        return True
    except (CarrierError, LedgerError) as error:
        log.failure("opt-out-failed", error, alert=alert.sid)
        return False
    _count(done, "withdrawn", 1)
    _count(done, "closed", len(closing.closed))
    return True


def _close_orphans(deadline: float, done: dict[str, int]) -> bool:
    """Close the sessions that are open at Twilio and unknown to the ledger; return whether none of them is left.

    Such a session comes from a request whose answer was lost, or from a function that died before it wrote the
    session down. The intercept refuses what passes through it, but only as long as the intercept can be reached.
    """
    if _is_late(deadline, ORPHANS):
        return False
    ledger, carrier, now = runtime.ledger(), runtime.carrier(), runtime.clock().now()
    oldest = now - timedelta(seconds=runtime.environment().session.ttl) - OVERDUE
    cursor = ledger.load_cursor(ORPHANS)
    since = max(oldest, moments.from_text(cursor["since"]) - OVERLAP) if cursor else oldest
    sessions, complete = carrier.open_sessions(since, FOUND_LIMIT)
    left: list[FoundSession] = []
    for session in sessions:
        if session.created_at > now - IN_FLIGHT:
            continue
        if time.monotonic() > deadline:
            left.append(session)
        elif ledger.session(session.sid) is None:
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


def _sweep_sessions(deadline: float, done: dict[str, int]) -> bool:
    """Close open sessions whose time is over or whose parties no longer consent; return whether all of them closed."""
    ledger = runtime.ledger()
    before: dict[str, Any] = ledger.load_cursor(SWEEP)
    position: dict[str, str] = before
    complete = True
    while True:
        sessions, position = ledger.open_sessions(position, SESSIONS_LIMIT)
        for session in sessions:
            now = runtime.clock().now()
            if session.is_over(now):
                reason = "expired"
            elif not judge(ledger, session, now).permit:
                reason = "consent-lost"
            else:
                continue
            closed = close(ledger, runtime.carrier(), session, reason=reason)
            _count(done, "closed", int(closed))
            complete &= closed
        _count(done, "checked", len(sessions))
        if not position or time.monotonic() > deadline:
            break
    if position != before:
        ledger.save_cursor(SWEEP, position)
    return complete


def _count(done: dict[str, int], what: str, number: int) -> None:
    done[what] = done.get(what, 0) + number


def _is_late(deadline: float, work: str) -> bool:
    """Tell, and log, whether the parts before took so long that this one must wait for the next run."""
    late = time.monotonic() > deadline
    if late:
        log.emit("reconcile-out-of-time", "ERROR", work=work)
    return late
