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

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from parley import bridge, log, outside, recordings, runtime, twiml
from parley.core import moments
from parley.core.calls import CALLEE, CALLER, Key, Recording, is_recorded, key_of, recording_of, takes_call, time_limit
from parley.core.consent import ConsentEvent, Method, Scope, State, purposes_of
from parley.core.disclosure import Notice, language_for
from parley.core.identity import IdentifierError, parse_e164
from parley.core.lines import Channel, Line, interaction_sid
from parley.core.records import SidError, check_sid
from parley.core.sessions import LONGEST_CALL
from parley.found import listen
from parley.ports import Interaction
from parley.reported import with_policy
from parley.telling import asking, given
from parley.web import Answer, Form, MalformedError, answer, sender, single
from parley.withdrawal import close_denied, named, soon, withdraw

NAME = "inbound-call"
PATH = "/twilio/call"
ACTOR = f"fn:{NAME}"
OVER: Final = frozenset({"busy", "canceled", "completed", "failed", "no-answer"})
STATUSES: Final[Mapping[str, str]] = {"answered": "in-progress"}
"""What Twilio calls a state in `DialCallStatus`, by its name in `CallStatus`."""


class Place:
    """What the URLs of a call's steps carry: which call of which session, who made it, and whether it is recorded.

    Twilio signs the URL with the rest, so it comes back as it was given. Raises MalformedError for anything else.
    """

    def __init__(self, query: Mapping[str, str]) -> None:
        try:
            self.session = check_sid(query.get("session"), "KC")
            self.call = check_sid(query.get("call"), "CA")
            self.participant = check_sid(query.get("from"), "KP")
            self.recording = Recording(query.get("recording", ""))
        except (SidError, ValueError):
            raise MalformedError("the URL names no step of a call") from None
        self.recorded = query.get("recorded") == "yes"


def come_in(form: Form) -> Answer:
    """Answer a call to a masked number. Raises what the ledger and KMS raise: then nobody is connected."""
    call, number = _call_sid(form), sender(form)
    line = None if number is None else runtime.ledger().line(runtime.identities().party(number), single(form, "To"))
    refusal = "no-session" if line is None else line.refusal(runtime.clock().now(), Channel.VOICE)
    if number is None or line is None or refusal is not None:
        return outside.answer_call(number, call, name=NAME, reason=refusal or "no-session")
    _decide(line, call)
    recording = recording_of(line)
    told = _notice(CALLER[recording], number)
    recorded = is_recorded(recording, Key.OTHER)
    way = _way(line, call, recording, recorded=recorded)
    if recording is Recording.NONE:
        return bridge.dialled(way, told)
    return bridge.asked_and_dialled(told, _url("consent", line, call, recording, recorded=recorded), way)


def take_key(form: Form, place: Place) -> Answer:
    """Take the key that the caller pressed, and let the other phone ring, if they do not refuse."""
    number, key = _number(form, "From"), key_of(single(form, "Digits"))
    party = runtime.identities().party(number)
    line = runtime.ledger().line(party, single(form, "To"))
    if key is Key.REFUSE:
        return _refuse(party, number, place, CALLER[place.recording], "caller")
    refusal = _refusal(line, place)
    if line is None or refusal is not None:
        return outside.answer_call(number, place.call, name=NAME, reason=refusal or "")
    if key is Key.AGREE and place.recording is Recording.ASK:
        _agree(line, number, place, CALLER[place.recording], "caller")
    recorded = is_recorded(place.recording, key)
    return bridge.dialled(_way(line, place.call, place.recording, recorded=recorded))


def whisper(form: Form, place: Place) -> Answer:
    """Tell whoever is called who calls through whom, and ask for a key; without one nobody is connected."""
    number = _number(form, "To")
    line = runtime.ledger().line(runtime.identities().party(number), single(form, "From"))
    refusal = _refusal(line, place)
    if line is None or refusal is not None:
        log.decision(NAME, permit=False, reasons=[refusal or ""], session=place.session, resource=place.call)
        return twiml.hung_up()
    recording = place.recording if place.recorded else Recording.NONE
    told = _notice(CALLEE[recording], number)
    return twiml.asked_for_key(
        told, _url("answer", line, place.call, place.recording, place.participant, place.recorded)
    )


def take_answer(form: Form, place: Place) -> Answer:
    """Take the key of whoever is called: they are connected here, or nobody is."""
    number, masked, key = _number(form, "To"), single(form, "From"), key_of(single(form, "Digits"))
    party, ledger = runtime.identities().party(number), runtime.ledger()
    recording = place.recording if place.recorded else Recording.NONE
    if key is Key.REFUSE:
        # It is never connected: so it is over, whatever becomes of its legs.
        ledger.log_interaction(_interaction(place, "completed", "no-answer", _call_sid(form)))
        return _refuse(party, number, place, CALLEE[recording], "callee")
    if not takes_call(recording, key):
        return twiml.hung_up()
    line, repeated = ledger.claim(party, masked, _call_sid(form))
    if line is not None:
        for each in (number, *(runtime.sealer().open(peer.sealed, line.session) for peer in line.peers)):
            listen(each, actor=ACTOR)
    interaction = _interaction(place, "in-progress", "in-progress", _call_sid(form))
    ledger.log_interaction(interaction)
    line = ledger.line(party, masked)
    refusal = _refusal(line, place)
    if line is None or refusal is not None:
        log.decision(NAME, permit=False, reasons=[refusal or ""], session=place.session, resource=place.call)
        return twiml.hung_up()
    _decide(line, place.call)
    if key is Key.AGREE and recording is Recording.ASK:
        _agree(line, number, place, CALLEE[recording], "callee")
    if is_recorded(recording, key) and recordings.QUEUE in runtime.environment().queues:
        session = ledger.session(place.session)
        if session is not None:
            recordings.have_recorded(session, interaction, line.participant)
    if not repeated:
        # What is told again must not put off the end of a session in which nothing passes.
        ledger.touch_lines(line, runtime.clock().now(), _call_sid(form))
    return bridge.connected()


def end(form: Form, place: Place) -> Answer:
    """Go on with the caller's leg when the other one is over: who was not connected is told."""
    status = single(form, "DialCallStatus")
    new = runtime.ledger().log_interaction(_interaction(place, "completed", status, form.get("DialCallSid", [""])[0]))
    log.emit("call-over", session=place.session, resource=place.call, status=status)
    # Whoever refused the call on their own leg had answered it all the same.
    if form.get("DialBridged", [str(status in {"answered", "completed"}).lower()])[0] == "true":
        party, ledger = runtime.identities().party(_number(form, "From")), runtime.ledger()
        line = ledger.line(party, single(form, "To"))
        if new and line is not None and line.session == place.session:
            ledger.touch_lines(line, runtime.clock().now())
        return twiml.hung_up()
    return twiml.spoken(given("not-available", "voice", language_for(_number(form, "From"))))


def take_status(form: Form, place: Place) -> Answer:
    """Log a state of the other leg; a call whose session lost its consent is ended. Raises CarrierError."""
    status = single(form, "CallStatus")
    runtime.ledger().log_interaction(_interaction(place, "in-progress", status, _call_sid(form)))
    session = runtime.ledger().session(place.session)
    lost = session is None or session.revocation is not None
    log.emit("interaction", session=place.session, kind="voice", outbound=status, lost=lost)
    if lost and status not in OVER:
        runtime.carrier().end_call(place.call, urgent=True)
        log.emit("call-ended", session=place.session, resource=place.call)
    return answer(204)


def take_end(form: Form) -> Answer:
    """Log the end of a caller's leg, as the number's own status callback tells it, if its session knows of the call.

    By then the line may be another session's, whose log it is no part of.
    """
    call, number, status = _call_sid(form), sender(form), single(form, "CallStatus")
    party = None if number is None else runtime.identities().party(number)
    line = None if party is None else runtime.ledger().line(party, single(form, "To"))
    if line is None or status not in OVER:
        return answer(204)
    if runtime.ledger().interactions(line.session, interaction_sid(call)):
        place = Place({"session": line.session, "call": call, "from": line.participant, "recording": Recording.NONE})
        runtime.ledger().log_interaction(_interaction(place, status, "", ""))
    return answer(204)


# Shared -------------------------------------------------------------------------------------------------------


def _call_sid(form: Form) -> str:
    try:
        return check_sid(single(form, "CallSid"), "CA")
    except SidError:
        raise MalformedError("the field CallSid is no SID of a call") from None


def _number(form: Form, name: str) -> str:
    try:
        return parse_e164(single(form, name))
    except IdentifierError:
        raise MalformedError(f"the field {name} is no number") from None


def _refusal(line: Line | None, place: Place) -> str | None:
    """Return why a call may not go on, None if it may."""
    if line is None or line.session != place.session:
        return "no-session"
    return line.refusal(runtime.clock().now(), Channel.VOICE)


def _decide(line: Line, call: str) -> None:
    log.decision(
        NAME,
        permit=True,
        reasons=[],
        parties=line.parties,
        record_ids=line.records,
        session=line.session,
        resource=call,
    )


def _notice(notice_id: str, number: str) -> Notice:
    return asking(notice_id, language_for(number), "voice")


def _url(step: str, line: Line, call: str, recording: Recording, caller: str = "", recorded: bool = False) -> str:
    fields = {
        "session": line.session,
        "call": call,
        "from": caller or line.participant,
        "recording": recording,
        "recorded": "yes" if recorded else "no",
    }
    return f"{runtime.environment().public_url}{PATH}/{step}?{urlencode(fields)}"


def _way(line: Line, call: str, recording: Recording, *, recorded: bool) -> bridge.Way:
    peer = line.peers[0]
    return bridge.Way(
        number=runtime.sealer().open(peer.sealed, line.session),
        masked_number=peer.masked_number,
        whisper=_url("whisper", line, call, recording, recorded=recorded),
        status=_url("status", line, call, recording, recorded=recorded),
        after=_url("after", line, call, recording, recorded=recorded),
        time_limit=time_limit(line, runtime.clock().now()),
    )


def _interaction(place: Place, inbound: str, outbound: str, resource: str) -> Interaction:
    return Interaction(
        session_sid=place.session,
        sid=interaction_sid(place.call),
        kind="voice",
        inbound_status=inbound,
        outbound_status=STATUSES.get(outbound, outbound),
        inbound_participant=place.participant,
        inbound_resource=place.call,
        outbound_resource=resource,
        created_at=moments.to_text(runtime.clock().now()),
    )


def _agree(line: Line, number: str, place: Place, notice_id: str, leg: str) -> None:
    """Record that somebody agreed by a key to this call's being recorded, towards everybody on it."""
    env, now, told = runtime.environment(), runtime.clock().now(), _notice(notice_id, number)
    shown = {
        "id": told.id,
        "version": told.version,
        "language": told.language,
        "channel": told.channel,
        "sha256": told.sha256,
    }
    runtime.ledger().append(
        [
            ConsentEvent(
                party=line.party,
                counterpart=peer.party,
                scope=Scope.RECORD_VOICE,
                state=State.GIVEN,
                method=Method.IVR_KEYPRESS,
                notice=with_policy(shown, env.controller),
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


def _refuse(party: str, number: str, place: Place, notice_id: str, leg: str) -> Answer:
    """Take a refusal of all contact by a key, and confirm it. It withdraws everything, at once."""
    env, ledger, clock = runtime.environment(), runtime.ledger(), runtime.clock()
    prompt = _notice(notice_id, number).sha256
    withdraw(
        ledger,
        party=party,
        source=f"{place.call}:{leg}:{Key.REFUSE}",
        method=Method.IVR_KEYPRESS,
        evidence={"call_sid": place.call, "leg": leg, "digits": Key.REFUSE, "prompt_sha256": prompt},
        withdrawal={"channel": "voice", "words": ""},
        said_at=clock.now(),
        actor=ACTOR,
        controller=env.controller,
    )
    log.decision(NAME, permit=False, reasons=["opted-out"], parties=[party], resource=place.call)
    close_denied(ledger, runtime.carrier(), clock, party, reason="opted-out", deadline=soon())
    return twiml.spoken(given("withdrawn", "voice", language_for(number)))
