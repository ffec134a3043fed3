"""What people are told after a no: the other side, neutrally, that nobody is reached; the person, once, that it counts.

By text only, and only from a number that they know. Nothing tells the other side who said no, or that anybody did, and
somebody who refuses our messages is told nothing. A text that cannot be sent is given up: twice is worse than never
(47 CFR 64.1200(a)(12): one confirmation, within five minutes).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from parley import log, runtime
from parley.core.consent import NO, Scope
from parley.core.disclosure import Notice, language_for, notice, render, values_for
from parley.core.identity import label
from parley.core.sessions import Session

if TYPE_CHECKING:
    from parley.ports import Carrier, Ledger, Seat


def given(notice_id: str, channel: str, language: str) -> Notice:
    """Return a notice that names nobody's records, in the name of the controller. Raises KeyError."""
    controller = runtime.declared().controller
    return notice(
        notice_id,
        channel,
        language,
        app=controller.name,
        contact=controller.contact,
        url=controller.privacy_policy_url,
    )


def asking(notice_id: str, language: str, channel: str = "sms") -> Notice:
    """Return a notice that asks for a consent, by text or on a call, with what the stack keeps.

    Raises KeyError where it names records that the stack does not declare.
    """
    declared = runtime.declared()
    controller = declared.controller
    values = values_for(
        language,
        app=controller.name,
        contact=controller.contact,
        url=controller.privacy_policy_url,
        keep_days=declared.keep_days,
        purposes=declared.purposes,
    )
    return render(notice_id, channel, language, values)


def tell_others(ledger: Ledger, carrier: Carrier, session: Session, deadline: float | None = None) -> None:
    """Tell those in a session who did not say no themselves that the other person is not available, each once.

    `deadline` is of the monotonic clock; after it nothing begins. Raises LedgerError.
    """
    standings = ledger.standings(session.parties, Scope.MANAGE, Scope.RECEIVE_INFO)
    unwilling = {one.party for one in standings if one.state in NO}
    left = any(one.scope is Scope.MANAGE and one.state in NO for one in standings)
    others = [one for one in session.participants if one.party not in unwilling]
    if not left or not others:
        return
    seats = _seats(carrier, session.sid, deadline)
    for participant in others:
        seat = seats.get(participant.sid)
        if seat is not None and not is_late(deadline) and ledger.tell_once(session.sid, participant.party):
            _send(carrier, seat.masked_number, seat.identifier, "not-available", participant.party, deadline)


def confirm(
    carrier: Carrier, notice_id: str, *, party: str, sender: str, to: str, deadline: float | None = None
) -> None:
    """Text somebody who said no the one confirmation; `sender` is a number or service of ours, `to` their number."""
    _send(carrier, sender, to, notice_id, party, deadline)


def confirm_in(carrier: Carrier, notice_id: str, session: Session, party: str, deadline: float | None = None) -> None:
    """Text the one confirmation from the masked number that somebody knew in a session."""
    seats = _seats(carrier, session.sid, deadline)
    for participant in session.participants:
        if participant.party == party and (seat := seats.get(participant.sid)):
            confirm(carrier, notice_id, party=party, sender=seat.masked_number, to=seat.identifier, deadline=deadline)


def confirm_by_number(carrier: Carrier, notice_id: str, sids: Iterable[str], party: str, number: str) -> None:
    """Text the one confirmation to a number: from a masked one that it knew in one of these sessions, if there is.

    Otherwise it comes from the number that asks, where the stack has one.
    """
    for sid in sids:
        for seat in _seats(carrier, sid, None).values():
            if seat.identifier == number:
                confirm(carrier, notice_id, party=party, sender=seat.masked_number, to=number)
                return
    asks = runtime.environment().consent.ask_from
    if asks is not None and number.startswith("+"):
        confirm(carrier, notice_id, party=party, sender=asks, to=number)
    else:
        log.emit(
            "notice-not-sent", "WARNING", notice=notice_id, parties=[label(party)], operation="no-sender", status=0
        )


def is_late(deadline: float | None) -> bool:
    """Tell whether nothing more may begin. Without a deadline it never is."""
    return deadline is not None and time.monotonic() > deadline


def _seats(carrier: Carrier, sid: str, deadline: float | None) -> dict[str, Seat]:
    """Return who sits where in a session, by the SID of the participant; nobody if it cannot be read in time."""
    from parley.ports import CarrierError  # noqa: PLC0415 - a notice on a call needs no carrier

    if is_late(deadline):
        return {}
    try:
        return {seat.sid: seat for seat in carrier.seats(sid, urgent=deadline is not None)}
    except CarrierError as error:
        log.emit("notice-not-sent", "WARNING", session=sid, operation=error.operation, status=error.status)
        return {}


def _send(carrier: Carrier, sender: str, to: str, notice_id: str, party: str, deadline: float | None) -> None:
    from parley.ports import CarrierError  # noqa: PLC0415 - as above

    if is_late(deadline):
        log.emit("notice-not-sent", "WARNING", notice=notice_id, parties=[label(party)], operation="", status=0)
        return
    told = given(notice_id, "sms", language_for(to))
    try:
        message = carrier.send(sender, to, told.text, urgent=deadline is not None)
    except CarrierError as error:
        # 21610 among them: Twilio itself bars texts to somebody who texted STOP to this number.
        log.emit(
            "notice-not-sent",
            "WARNING",
            notice=notice_id,
            parties=[label(party)],
            operation=error.operation,
            status=error.status,
            code=error.code,
        )
        return
    log.emit("notice-sent", notice=notice_id, parties=[label(party)], resource=message, sha256=told.sha256)
