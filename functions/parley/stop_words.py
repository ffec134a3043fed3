"""What a stop word does that somebody texts to the others: everything is withdrawn, and they are told so once."""

from __future__ import annotations

from datetime import datetime

from parley import runtime
from parley.core.optout import confirmation
from parley.core.sessions import Session
from parley.telling import confirm_in
from parley.withdrawal import Withdrawn, close_denied, soon, withdraw_by_text


def take_stop(
    session: Session, party: str, message_sid: str, words: str, said_at: datetime, *, actor: str
) -> Withdrawn:
    """Withdraw everything for somebody who texted a stop word in a session, close their sessions, and confirm it."""
    ledger, carrier, clock, deadline = runtime.ledger(), runtime.carrier(), runtime.clock(), soon()
    done = withdraw_by_text(
        ledger,
        party=party,
        message_sid=message_sid,
        words=words,
        said_at=said_at,
        actor=actor,
        controller=runtime.environment().controller,
    )
    close_denied(ledger, carrier, clock, party, reason="opted-out", deadline=deadline)
    confirmed = confirmation(words, said_at, clock.now()) if done.first else None
    if confirmed is not None:
        confirm_in(carrier, confirmed, session, party, deadline)
    return done
