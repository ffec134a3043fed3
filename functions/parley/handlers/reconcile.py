"""The reconciler, every minute: opt-outs that Proxy swallowed, and open sessions that lost their consent.

Proxy drops STOP and its like without telling any webhook; the only trace is alert 80901 of Twilio's debugger
(twilio.com/docs/proxy/opt-out-keywords). And a session may outlive its consent when closing it failed. Both parts are
safe to repeat, go on where the last run stopped, and end before the next run begins.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from parley import log, runtime
from parley.core import moments
from parley.core.identity import IdentifierError
from parley.core.optout import Word, meaning
from parley.ports import Alert, CarrierError, LedgerError
from parley.withdrawal import close, close_denied, judge, withdraw_by_text

SWALLOWED = 80901
ALERTS = "alerts-80901"
SWEEP = "open-sessions"

FIRST_LOOK_BACK = timedelta(hours=24)
OVERLAP = timedelta(minutes=10)
"""How much of the past is read again: alerts show up late, and clocks differ."""

ALERTS_LIMIT = 5000
SESSIONS_LIMIT = 100
ALERTS_SECONDS = 20.0
TOTAL_SECONDS = 40.0


class ReconcileIncompleteError(Exception):
    """Something could not be done in this run; the next one goes on. The log tells what."""


def handle(_event: object, _context: object) -> dict[str, int]:
    """Do both parts, each even if the other fails, and return what was done.

    Raises ReconcileIncompleteError, so that the function's error alarm rings.
    """
    started = time.monotonic()
    done: dict[str, int] = {}
    failed = False
    for part, seconds in ((_take_opt_outs, ALERTS_SECONDS), (_sweep_sessions, TOTAL_SECONDS)):
        try:
            failed |= not part(started + seconds, done)
        except Exception as error:  # noqa: BLE001 - the other part must run, and the error must not quote anybody
            log.failure("reconcile-failed", error, part=part.__name__.strip("_"))
            failed = True
    log.emit("reconciled", complete=not failed, **done)
    if failed:
        raise ReconcileIncompleteError("see the events before this one in the log")
    return done


def _take_opt_outs(deadline: float, done: dict[str, int]) -> bool:
    """Turn new alerts into withdrawals; return whether all of them were dealt with."""
    ledger, now = runtime.ledger(), runtime.clock().now()
    cursor = ledger.load_cursor(ALERTS)
    since = moments.from_text(cursor["since"]) if cursor else now - FIRST_LOOK_BACK
    seen = set(cursor.get("seen", []))
    alerts, until = _list_alerts(since - OVERLAP, now)
    left: list[Alert] = []
    for alert in alerts:
        if alert.sid in seen:
            continue
        if time.monotonic() > deadline or not _take_opt_out(alert, now, done):
            left.append(alert)
        else:
            seen.add(alert.sid)
    reached = min([until or now, *(alert.at for alert in left)])
    kept = [alert.sid for alert in alerts if alert.sid in seen and alert.at >= reached - OVERLAP]
    ledger.save_cursor(ALERTS, {"since": moments.to_text(reached), "seen": kept})
    if left:
        log.emit("opt-outs-pending", "ERROR", count=len(left))
    return not left and until is None


def _list_alerts(since: datetime, now: datetime) -> tuple[list[Alert], datetime | None]:
    """Return the alerts after a moment, and where the list ends if there are too many for one run.

    Twilio lists the newest first, so a shorter stretch of time is tried until its oldest are within reach.
    """
    until: datetime | None = None
    while True:
        alerts, complete = runtime.carrier().alerts(SWALLOWED, since, until, ALERTS_LIMIT)
        stretch = ((until or now) - since) / 2
        if complete or stretch < timedelta(seconds=1):
            return alerts, until
        until = since + stretch


def _take_opt_out(alert: Alert, now: datetime, done: dict[str, int]) -> bool:
    """Turn one alert into a withdrawal; return False if it must be tried again."""
    ledger, carrier = runtime.ledger(), runtime.carrier()
    try:
        message = carrier.message(alert.resource_sid)
        if message is None:
            # Deleted before it was read: nobody can tell any more who said stop.
            log.emit("opt-out-lost", "ERROR", alert=alert.sid, resource=alert.resource_sid)
            return True
        if not message.inbound or meaning(message.body) is Word.START:
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
