"""Withdrawal: a stop word becomes records, and every session that lost its consent is closed.

What START gives back is here too, since it undoes a part of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from parley import log, recordings, rooms, runtime
from parley.core import moments
from parley.core.consent import GIVEN_BACK, NO, ConsentEvent, Method, Scope, Standing, State
from parley.core.decision import Decision, decide
from parley.core.identity import label
from parley.core.optout import Word, meaning
from parley.core.sessions import Session
from parley.core.verification import METRICS
from parley.ports import Carrier, CarrierError, Clock, Ledger
from parley.telling import is_late, tell_others
from parley.variables import Controller

URGENT_SECONDS = 4.0
"""How long closing may take while Twilio waits for an answer; the reconciler does the rest."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a no came to. `repeated`: it was known already. `first`: until now the person had not refused the service.

    Who says no for the first time is told so, once.
    """

    repeated: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of the sessions: SIDs of those that are closed, and of those that could not be closed yet.

    A video room among the latter is one whose recording could not be ended yet.
    """

    closed: tuple[str, ...]
    pending: tuple[str, ...]


def withdraw_by_text(
    ledger: Ledger,
    *,
    party: str,
    message_sid: str,
    words: str,
    said_at: datetime,
    actor: str,
    controller: Controller,
) -> Withdrawn:
    """Record that a person texted a request to stop: every scope, towards everybody, in one append.

    The message's SID is the source, so that the same text found in several ways is one withdrawal. `words` are the
    message; kept is only which known word or phrase it was. A phrase is marked for review, since it may have been meant
    for the other person.
    """
    said = meaning(words)
    stop = said if said is not None and said.word is Word.STOP else None
    review = stop is not None and not stop.certain
    done = withdraw(
        ledger,
        party=party,
        source=f"{message_sid}:stop",
        method=Method.SMS_REPLY,
        evidence={"message_sid": message_sid, **({"review": True} if review else {})},
        withdrawal={"channel": "sms", "words": stop.said if stop else ""},
        said_at=said_at,
        actor=actor,
        controller=controller,
    )
    if review and not done.repeated:
        log.emit("opt-out-for-review", "WARNING", parties=_labels([party]), resource=message_sid)
    return done


def withdraw(
    ledger: Ledger,
    *,
    party: str,
    source: str,
    method: Method,
    evidence: Mapping[str, Any],
    withdrawal: Mapping[str, str],
    said_at: datetime,
    actor: str,
    controller: Controller,
) -> Withdrawn:
    """Record that a person wants no contact: every scope, towards everybody, in one append.

    `source` names what they did, so that it counts once however often it is told. `withdrawal` has the channel and the
    stop word. How long it took from `said_at` until the record is logged and measured.
    """
    before = has_refused(ledger.standings_of(party))
    appended = ledger.append(
        [
            ConsentEvent(
                party=party,
                scope=scope,
                state=State.WITHDRAWN,
                method=method,
                effective_at=said_at,
                source_event_id=source,
                actor=actor,
                evidence=evidence,
                withdrawal={**withdrawal, "covers": "service"},
                controller=named(controller),
            )
            for scope in Scope
        ]
    )
    if not appended.repeated:
        tell_delay(actor, party, said_at, moments.from_text(appended.receipts[0].recorded_at))
    return Withdrawn(appended.repeated, first=not appended.repeated and not before)


def has_refused(standings: Iterable[Standing]) -> bool:
    """Tell whether a person, by what they said, wants no contact through the service at all."""
    return any(one.scope is Scope.MANAGE and one.counterpart is None and one.state in NO for one in standings)


def give_back_by_text(
    ledger: Ledger,
    carrier: Carrier,
    *,
    party: str,
    message_sid: str,
    now: datetime,
    actor: str,
    controller: Controller,
    validity_days: int | None,
) -> None:
    """Record that a person texted START: of what they had said no to before, it gives back notices of the service only.

    A webhook may come late, or again: Twilio's own time of the text decides whether it came after the no.
    Raises CarrierError, LedgerError.
    """
    refused = [
        standing
        for standing in ledger.standings_of(party)
        if standing.scope in GIVEN_BACK and standing.counterpart is None and standing.state in NO
    ]
    message = carrier.message(message_sid) if refused else None
    if message is None or message.sent_at is None:
        return
    # Twilio tells whole seconds.
    said_at = min(message.sent_at + timedelta(seconds=1), now)
    known = [record.event for record in ledger.records(party) if record.event.counterpart is None]
    events = [
        ConsentEvent(
            party=party,
            scope=standing.scope,
            state=State.GIVEN,
            method=Method.SMS_REPLY,
            effective_at=said_at,
            source_event_id=f"{message_sid}:start",
            actor=actor,
            evidence={"message_sid": message_sid},
            valid_until=None if validity_days is None else said_at + timedelta(days=validity_days),
            controller=named(controller),
        )
        for standing in refused
        # An older no may have been found after a newer one was taken back, so the standing alone does not tell.
        if all(event.effective_at < said_at for event in known if event.scope is standing.scope)
    ]
    if events:
        ledger.append(events)


def named(controller: Controller) -> dict[str, str]:
    """Return the controller as consent records name it."""
    return {"name": controller.name, "contact": controller.contact}


def close_denied(
    ledger: Ledger, carrier: Carrier, clock: Clock, party: str, *, reason: str, deadline: float | None = None
) -> Closed:
    """Close every open session of a person that was revoked or that the gate would not open now.

    Each is closed at Twilio first: a session that the ledger calls closed must not connect. One that Twilio does not
    close stays open in the ledger, where the reconciler finds it, and the gate refuses its interactions meanwhile.
    A call that is under way is ended with its session, and the other side is told. So is a call that goes on after its
    session was closed by its caller or ran out. A call that goes on because only its recording lost a consent is not
    recorded any more, nor is a video room.
    """
    closed: list[str] = []
    pending: list[str] = []
    for session in ledger.open_sessions_of(party):
        if session.revocation is None and judge(ledger, session, clock.now()).permit:
            continue
        done = not is_late(deadline) and close(ledger, carrier, session, reason=reason, lost=True, deadline=deadline)
        (closed if done else pending).append(session.sid)
    owed = ledger.owed_calls_of(party)
    pending += [session.sid for session in owed if not end_calls(ledger, carrier, session, deadline)]
    pending += [sid for sid in recordings.stop_without_consent(party, deadline) if sid not in pending]
    pending += rooms.stop_without_consent(party, deadline)
    return Closed(tuple(closed), tuple(pending))


def soon() -> float:
    """Return the moment, on the monotonic clock, after which nothing more may begin while Twilio waits."""
    return time.monotonic() + URGENT_SECONDS


def judge(ledger: Ledger, session: Session, now: datetime) -> Decision:
    """Decide whether the parties of a session may be connected now."""
    return decide(session.parties, ledger.standings(session.parties), now)


def close(
    ledger: Ledger,
    carrier: Carrier,
    session: Session,
    *,
    reason: str,
    lost: bool = False,
    deadline: float | None = None,
) -> bool:
    """Close a session at Twilio and in the ledger; return False, and log it, if Twilio could not be made to.

    `lost` says that its consent is lost, as a revoked one's is: then the calls in it are ended, and who did not say no
    is told. So it goes too where somebody says no after `session` was read. Where Twilio waits for an answer there is a
    `deadline` (of the monotonic clock): each request is short, and none begins after it.
    """
    lost = lost or session.revocation is not None
    try:
        carrier.close_session(session.sid, urgent=deadline is not None)
        hung_up = not lost or _hang_up(carrier, session, deadline)
    except CarrierError as error:
        log.emit(
            "session-still-open",
            "ERROR",
            session=session.sid,
            reason=reason,
            operation=error.operation,
            status=error.status,
            code=error.code,
        )
        return False
    if not hung_up:
        return False
    _tell_exposure(session)
    if lost:
        tell_others(ledger, carrier, session, deadline)
    revoked = ledger.close_session(session, reason)
    if revoked is not None:
        return close(ledger, carrier, revoked, reason=reason, deadline=deadline)
    log.emit("session-closed", session=session.sid, reason=reason, parties=_labels(session.parties))
    return True


def end_calls(ledger: Ledger, carrier: Carrier, session: Session, deadline: float | None = None) -> bool:
    """End the calls that go on in a session that is over; return False, and log it, if that has to be tried again."""
    try:
        done = not is_late(deadline) and _hang_up(carrier, session, deadline)
    except CarrierError as error:
        log.emit(
            "call-still-on",
            "ERROR",
            session=session.sid,
            operation=error.operation,
            status=error.status,
            code=error.code,
        )
        return False
    if done:
        ledger.calls_ended(session)
    return done


def _hang_up(carrier: Carrier, session: Session, deadline: float | None) -> bool:
    """End the calls of a session; return False if there was no time for that. Raises CarrierError."""
    urgent = deadline is not None
    if is_late(deadline):
        return False
    calls, complete = carrier.live_calls(session.sid, urgent=urgent)
    for call in calls:
        if is_late(deadline):
            return False
        carrier.end_call(call, urgent=urgent)
        log.emit("call-ended", session=session.sid, resource=call)
    if not complete:
        log.emit("interactions-unread", "WARNING", session=session.sid)
    # Where there is more to read than there is time for, the reconciler reads it; it looks at the latest thousand.
    return complete or not urgent


def tell_delay(actor: str, party: str, requested_at: datetime, done_at: datetime) -> None:
    """Log and measure how long it took from a person's no to the record from which on the gate refuses."""
    seconds = _seconds(requested_at, done_at)
    log.emit(
        "withdrawal-done",
        actor=actor,
        parties=_labels([party]),
        requested_at=moments.to_text(requested_at),
        done_at=moments.to_text(done_at),
        seconds=seconds,
    )
    log.measure(METRICS, {"Stack": runtime.environment().stack}, {"BlockSeconds": seconds}, unit="Seconds")


def _tell_exposure(session: Session) -> None:
    """Log and measure how long Twilio would still have connected people after one of them said no.

    Someone whose no is older than the session was exposed from its beginning.
    """
    if session.revocation is None or not session.revocation.is_no:
        return
    now, said_at = runtime.clock().now(), max(session.revocation.at, session.opened_at)
    seconds = _seconds(said_at, now)
    log.emit(
        "session-exposed",
        session=session.sid,
        record=session.revocation.record_id,
        reason=session.revocation.reason,
        requested_at=moments.to_text(said_at),
        done_at=moments.to_text(now),
        seconds=seconds,
    )
    log.measure(METRICS, {"Stack": runtime.environment().stack}, {"ExposureSeconds": seconds}, unit="Seconds")


def _seconds(start: datetime, end: datetime) -> int:
    """Return whole seconds, rounded up: a bound is not kept by rounding."""
    return max(0, -((start - end) // timedelta(seconds=1)))


def _labels(parties: Sequence[str]) -> list[str]:
    return [label(party) for party in parties]
