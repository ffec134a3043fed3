"""Withdrawal: a stop word becomes records, and every session that lost its consent is closed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from parley import log
from parley.core.consent import ConsentEvent, Method, Scope, State
from parley.core.decision import Decision, decide
from parley.core.identity import label
from parley.core.optout import is_stop, normalise
from parley.core.sessions import Session
from parley.env import Controller
from parley.ports import Appended, Carrier, CarrierError, Clock, Ledger

URGENT_SECONDS = 4.0
"""How long closing may take while Twilio waits for an answer; the reconciler does the rest."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of the sessions: SIDs of those that are closed, and of those that could not be closed yet."""

    closed: tuple[str, ...]
    pending: tuple[str, ...]


def withdraw_by_text(
    ledger: Ledger,
    *,
    party: str,
    message_sid: str,
    word: str,
    said_at: datetime,
    actor: str,
    controller: Controller,
) -> Appended:
    """Record that a person texted a stop word: every scope, towards everybody, in one append.

    The message's SID is the source, so that the same text found in several ways is one withdrawal.
    """
    return ledger.append(
        [
            ConsentEvent(
                party=party,
                scope=scope,
                state=State.WITHDRAWN,
                method=Method.SMS_REPLY,
                effective_at=said_at,
                source_event_id=f"{message_sid}:stop",
                actor=actor,
                evidence={"message_sid": message_sid},
                # Only a known word is kept: anything else would be the body of a message.
                withdrawal={"channel": "sms", "words": normalise(word) if is_stop(word) else "", "covers": "service"},
                controller=named(controller),
            )
            for scope in Scope
        ]
    )


def named(controller: Controller) -> dict[str, str]:
    """Return the controller as consent records name it."""
    return {"name": controller.name, "contact": controller.contact}


def close_denied(
    ledger: Ledger, carrier: Carrier, clock: Clock, party: str, *, reason: str, urgent: bool = False
) -> Closed:
    """Close every open session of a person that the gate would not open now.

    Each is closed at Twilio first: a session that the ledger calls closed must not connect. One that Twilio does not
    close stays open in the ledger, where the reconciler finds it, and the gate refuses its interactions meanwhile.
    """
    started = time.monotonic()
    closed, pending = [], []
    for session in ledger.open_sessions_of(party):
        if judge(ledger, session, clock.now()).permit:
            continue
        late = urgent and time.monotonic() - started > URGENT_SECONDS
        if not late and close(ledger, carrier, session, reason=reason, urgent=urgent):
            closed.append(session.sid)
        else:
            pending.append(session.sid)
    return Closed(tuple(closed), tuple(pending))


def judge(ledger: Ledger, session: Session, now: datetime) -> Decision:
    """Decide whether the parties of a session may be connected now."""
    return decide(session.parties, ledger.standings(session.parties), now)


def close(ledger: Ledger, carrier: Carrier, session: Session, *, reason: str, urgent: bool = False) -> bool:
    """Close a session at Twilio and in the ledger; return False, and log it, if Twilio could not be made to."""
    try:
        carrier.close_session(session.sid, urgent=urgent)
    except CarrierError as error:
        log.emit(
            "session-still-open",
            "ERROR",
            session=session.sid,
            reason=reason,
            status=error.status,
            code=error.code,
        )
        return False
    ledger.close_session(session, reason)
    log.emit("session-closed", session=session.sid, reason=reason, parties=_labels(session.parties))
    return True


def _labels(parties: Sequence[str]) -> list[str]:
    return [label(party) for party in parties]
