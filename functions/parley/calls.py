"""Calls between two masked numbers, where sessions are our own (`direct`): step by step, each a webhook of its own.

| step | who is asked | what is done |
|---|---|---|
| a call comes in | the caller's leg | one read of the line; a notice, and the other phone rings |
| `consent` | the caller's leg, where a key was pressed | 9 withdraws; 2: unrecorded; 1 agrees where asked |
| `whisper` | the callee's leg, once it is answered | the line is read anew; a notice that asks for a key |
| `answer` | the callee's leg, where a key was pressed | unheard noes, the log, the line once more; they are connected |
| `after` | the caller's leg, when the other one is over | who was not connected hears that nobody is available |
| `status` | nobody | the log of the call; a call whose consent is gone is ended |

Nobody is connected before `answer`, and nothing is recorded before. There the log comes first: whoever takes a consent
back looks for the calls of a session in it, so that either they find this call and end it, or their no is read here.
A no by text whose webhook was lost is read from Twilio itself, once, before that.
A step that fails answers no TwiML; Twilio then asks the fallback, which says that nobody is available and hangs up.

A yes that a key gives to recording is for this call: the recorder counts it for no other one, and it permits nothing
else. A yes that somebody gave before, for longer, stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

from parley import bridge, conferences, log, outside, recordings, runtime, twiml
from parley.call_step import (
    ACTOR,
    NAME,
    OVER,
    Step,
    call_sid,
    decide,
    notice_for,
    number_of,
    refusal_of,
    way,
    whispered,
)
from parley.core.calls import CALLEE, CALLER, Key, Recording, is_recorded, key_of, takes_call
from parley.core.consent import ConsentEvent, Method, Scope, State, purposes_of
from parley.core.disclosure import language_for
from parley.core.lines import Line, interaction_sid
from parley.core.sessions import LONGEST_CALL
from parley.found import listen
from parley.keypress import REFUSE, take_refusal
from parley.reported import with_policy
from parley.telling import given
from parley.web import Answer, Form, answer, sender, single
from parley.withdrawal import named


def take_key(form: Form, place: Step) -> Answer:
    """Take the key that the caller pressed, and let the other phone ring, if they do not refuse."""
    number, key = number_of(form, "From"), key_of(single(form, "Digits"))
    party = runtime.identities().party(number)
    line = runtime.ledger().line(party, single(form, "To"))
    if key is Key.REFUSE:
        return _refuse(party, number, place, CALLER[place.recording], "caller")
    refusal = refusal_of(line, place)
    if line is None or refusal is not None:
        return outside.answer_call(number, place.call, name=NAME, reason=refusal or "")
    if key is Key.AGREE and place.recording is Recording.ASK:
        _agree(line, number, place, CALLER[place.recording], "caller")
    return bridge.dialled(way(line, replace(place, recorded=is_recorded(place.recording, key))))


def take_answer(form: Form, place: Step) -> Answer:
    """Take the key of whoever is called: they are connected here, or nobody is."""
    number, masked, key = number_of(form, "To"), single(form, "From"), key_of(single(form, "Digits"))
    party, ledger = runtime.identities().party(number), runtime.ledger()
    recording = place.recording if place.recorded else Recording.NONE
    if key is Key.REFUSE:
        # Two are never connected then: so the call is over, whatever becomes of its legs.
        inbound = "in-progress" if place.to else "completed"
        ledger.log_interaction(place.interaction(inbound, "no-answer", call_sid(form)))
        return _refuse(party, number, place, whispered(place), "callee")
    if not takes_call(recording, key):
        return twiml.hung_up()
    line, repeated = ledger.claim(party, masked, call_sid(form))
    if line is not None:
        for each in (number, *(runtime.sealer().open(peer.sealed, line.session) for peer in line.peers)):
            listen(each, actor=ACTOR)
    interaction = place.interaction("in-progress", "in-progress", call_sid(form))
    ledger.log_interaction(interaction)
    line = ledger.line(party, masked)
    refusal = refusal_of(line, place)
    if line is None or refusal is not None:
        log.decision(NAME, permit=False, reasons=[refusal or ""], session=place.session, resource=place.call)
        return twiml.hung_up()
    decide(NAME, line, place.call)
    if place.to:
        return conferences.join(line, place, call_sid(form), repeated=repeated)
    if key is Key.AGREE and recording is Recording.ASK:
        _agree(line, number, place, CALLEE[recording], "callee")
    if is_recorded(recording, key) and recordings.QUEUE in runtime.environment().queues:
        session = ledger.session(place.session)
        if session is not None:
            recordings.have_recorded(session, interaction, line.participant)
    if not repeated:
        # What is told again must not put off the end of a session in which nothing passes.
        ledger.touch_lines(line, runtime.clock().now(), call_sid(form))
    return bridge.connected()


def end(form: Form, place: Step) -> Answer:
    """Go on with the caller's leg when the other one is over: who was not connected is told."""
    if place.is_conference:
        return conferences.end(form, place)
    status = single(form, "DialCallStatus")
    new = runtime.ledger().log_interaction(place.interaction("completed", status, form.get("DialCallSid", [""])[0]))
    log.emit("call-over", session=place.session, resource=place.call, status=status)
    # Whoever refused the call on their own leg had answered it all the same.
    if form.get("DialBridged", [str(status in {"answered", "completed"}).lower()])[0] == "true":
        party, ledger = runtime.identities().party(number_of(form, "From")), runtime.ledger()
        line = ledger.line(party, single(form, "To"))
        if new and line is not None and line.session == place.session:
            ledger.touch_lines(line, runtime.clock().now())
        return twiml.hung_up()
    return twiml.spoken(given("not-available", "voice", language_for(number_of(form, "From"))))


def take_status(form: Form, place: Step) -> Answer:
    """Log a state of the other leg; a call whose session lost its consent is ended. Raises CarrierError."""
    status = single(form, "CallStatus")
    runtime.ledger().log_interaction(place.interaction("in-progress", status, call_sid(form)))
    session = runtime.ledger().session(place.session)
    lost = session is None or session.revocation is not None
    log.emit("interaction", session=place.session, kind="voice", outbound=status, lost=lost)
    if place.to and status in OVER:
        conferences.end_if_alone(place)
    if lost and status not in OVER:
        runtime.carrier().end_call(place.call, urgent=True)
        log.emit("call-ended", session=place.session, resource=place.call)
    return answer(204)


def take_end(form: Form) -> Answer:
    """Log the end of a caller's leg, as the number's own status callback tells it, if its session knows of the call.

    By then the line may be another session's, whose log it is no part of.
    """
    call, number, status = call_sid(form), sender(form), single(form, "CallStatus")
    party = None if number is None else runtime.identities().party(number)
    line = None if party is None else runtime.ledger().line(party, single(form, "To"))
    if line is None or status not in OVER:
        return answer(204)
    place = Step(line.session, call, line.participant)
    if len(line.peers) > 1:
        conferences.end_others(place, status)
    elif runtime.ledger().interactions(line.session, interaction_sid(call)):
        runtime.ledger().log_interaction(place.interaction(status))
    return answer(204)


def _agree(line: Line, number: str, place: Step, notice_id: str, leg: str) -> None:
    """Record that somebody agreed by a key to this call's being recorded, towards everybody on it."""
    env, now, told = runtime.environment(), runtime.clock().now(), notice_for(notice_id, number)
    runtime.ledger().append(
        [
            ConsentEvent(
                party=line.party,
                counterpart=peer.party,
                scope=Scope.RECORD_VOICE,
                state=State.GIVEN,
                method=Method.IVR_KEYPRESS,
                notice=with_policy(told.reference, env.controller),
                evidence={
                    "call_sid": place.call,
                    "leg": leg,
                    "digits": Key.AGREE,
                    "prompt_sha256": told.sha256,
                    "valid_for": "call",
                },
                effective_at=now,
                valid_until=now + LONGEST_CALL,
                source_event_id=f"{place.call}:{leg}:record",
                actor=ACTOR,
                controller=named(env.controller),
                purposes=purposes_of(Scope.RECORD_VOICE, env.purposes),
            )
            for peer in line.peers
        ]
    )


def _refuse(party: str, number: str, place: Step, notice_id: str, leg: str) -> Answer:
    prompt, source = notice_for(notice_id, number), f"{place.call}:{leg}:{REFUSE}"
    return take_refusal(number, party=party, call=place.call, leg=leg, prompt=prompt, name=NAME, source=source)
