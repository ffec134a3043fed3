"""Calls in a session of more than two people (`direct`): a conference, which each of them joins by a key.

| step | who is asked | what is done |
|---|---|---|
| a call comes in | the caller's leg | a notice; the caller waits in a conference of their own |
| `joined` | nobody | the caller is there: everybody else is called, each once |
| `whisper`, `answer` | the leg of each | as in a call of two; who takes the call joins |
| `status` | nobody | when nobody is left, the caller goes on with `after` |
| `after` | the caller's leg | who met nobody hears that nobody is available |

The conference begins when the first of the others joins, and ends with the caller's leg, so that ending that one ends
everything. Calls of more than two are not recorded: one key would have to stand for all of the others.
"""

from __future__ import annotations

from dataclasses import replace

from parley import bridge, log, runtime, twiml
from parley.call_step import NAME, OVER, Step, call_sid, number_of
from parley.core.calls import time_limit
from parley.core.disclosure import language_for
from parley.core.lines import Channel, Line, Peer
from parley.core.verification import METRICS
from parley.ports import CarrierError
from parley.telling import given
from parley.web import Answer, Form, answer, single

JOINED = "participant-join"


def call_others(form: Form, place: Step) -> Answer:
    """Call everybody else, once, as soon as the caller is in the conference.

    Raises what the ledger and KMS raise, and lets the caller hear that nobody is available.
    """
    if single(form, "StatusCallbackEvent") != JOINED or call_sid(form) != place.call:
        return answer(204)
    try:
        line = _line(place)
        called = [_call(line, peer, replace(place, to=peer.participant)) for peer in line.peers] if line else []
    except Exception:
        runtime.carrier().redirect_call(place.call, place.url("after"))
        raise
    if not any(called):
        runtime.carrier().redirect_call(place.call, place.url("after"))
    return answer(204)


def _line(place: Step) -> Line | None:
    """Return the caller's line if calls may pass by it."""
    session = runtime.ledger().session(place.session)
    seats = [one for one in session.participants if one.sid == place.participant] if session else []
    line = runtime.ledger().line(seats[0].party, seats[0].masked_number) if seats else None
    if line is None or line.session != place.session or line.refusal(runtime.clock().now(), Channel.VOICE) is not None:
        log.decision(NAME, permit=False, reasons=["consent-lost"], session=place.session, resource=place.call)
        return None
    return line


def _call(line: Line, peer: Peer, place: Step) -> bool:
    """Call one of the others, unless that was done; return False if that failed."""
    ledger, carrier = runtime.ledger(), runtime.carrier()
    number = runtime.sealer().open(peer.sealed, line.session)
    if not ledger.log_interaction(place.interaction("in-progress", "queued")):
        return True
    try:
        carrier.place_call(
            peer.masked_number,
            number,
            url=place.url("whisper"),
            fallback=f"{runtime.environment().public_url}/twilio/fallback",
            status=place.url("status"),
            rings=bridge.RING_SECONDS,
            time_limit=time_limit(line, runtime.clock().now()),
        )
    except CarrierError as error:
        log.failure("leg-not-called", error, session=place.session, resource=place.call)
        log.measure(METRICS, {"Stack": runtime.environment().stack}, {"RelaysIncomplete": 1})
        ledger.log_interaction(place.interaction("in-progress", "failed"))
        return False
    return True


def join(line: Line, place: Step, leg: str, *, repeated: bool) -> Answer:
    """Let somebody join who took the call by a key, if the caller is still there."""
    rows = [row for row in runtime.ledger().interactions(place.session) if row.get("inbound_resource") == place.call]
    if any(row.get("inbound_status") in OVER for row in rows):
        return twiml.hung_up()
    if not repeated:
        runtime.ledger().touch_lines(line, runtime.clock().now(), leg)
    return bridge.joined(place.call)


def end_if_alone(place: Step) -> None:
    """Let the caller go on if the leg that is over was the last one. Raises CarrierError."""
    if all(_is_over(states) for states in _legs(place).values()):
        runtime.carrier().redirect_call(place.call, replace(place, to="", is_conference=True).url("after"))


def end(form: Form, place: Step) -> Answer:
    """Go on with the caller's leg when nobody is left: who met nobody is told."""
    ledger, number = runtime.ledger(), number_of(form, "From")
    met = any("in-progress" in states for states in _legs(place).values())
    new = ledger.log_interaction(place.interaction("completed"))
    log.emit("call-over", session=place.session, resource=place.call, status="answered" if met else "no-answer")
    line = ledger.line(runtime.identities().party(number), single(form, "To"))
    if met and new and line is not None and line.session == place.session:
        ledger.touch_lines(line, runtime.clock().now())
    return twiml.hung_up() if met else twiml.spoken(given("not-available", "voice", language_for(number)))


def end_others(place: Step, status: str) -> None:
    """Log that the caller's leg is over, and end the legs that still ring. Raises CarrierError."""
    legs = _legs(place)
    if not legs:
        return
    runtime.ledger().log_interaction(place.interaction(status))
    for states in legs.values():
        if not _is_over(states) and any(states.values()):
            runtime.carrier().end_call(next(sid for sid in states.values() if sid))


def _legs(place: Step) -> dict[str, dict[str, str]]:
    """Return the states of each leg of a conference but the caller's, each with the SID of the leg if it is known."""
    legs: dict[str, dict[str, str]] = {}
    for row in runtime.ledger().interactions(place.session):
        if row.get("inbound_resource") == place.call and row.get("outbound_status"):
            legs.setdefault(row["sid"], {})[row["outbound_status"]] = row.get("outbound_resource", "")
    return legs


def _is_over(states: dict[str, str]) -> bool:
    return not OVER.isdisjoint(states)
