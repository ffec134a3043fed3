"""The two steps of a call that come before anybody took it (`direct`): somebody is on the phone and hears nothing yet.

So they start without boto3: one MAC of KMS, one read of a line and, for the caller, one number that KMS unseals. What
they import is listed by a test. What anything else needs, a caller without a session among it, is imported then.
"""

from __future__ import annotations

from parley import bridge, log, runtime, twiml
from parley.call_step import NAME, Step, call_sid, decide, notice_for, number_of, refusal_of, way, whispered
from parley.core.calls import CALLER, GROUP_CALLER, Key, Recording, is_recorded, recording_of, time_limit
from parley.core.lines import Channel
from parley.web import Answer, Form, sender, single


def come_in(form: Form) -> Answer:
    """Answer a call to a masked number. Raises what the read and KMS raise: then nobody is connected."""
    call, number = call_sid(form), sender(form)
    line = None if number is None else runtime.line_read().line(runtime.identities().party(number), single(form, "To"))
    now = runtime.clock().now()
    refusal = "no-session" if line is None else line.refusal(now, Channel.VOICE)
    if number is None or line is None or refusal is not None:
        from parley import outside  # noqa: PLC0415 - see above

        return outside.answer_call(number, call, name=NAME, reason=refusal or "no-session")
    decide(NAME, line, call)
    if len(line.peers) > 1:  # the others are called once the caller is in the conference
        place = Step(line.session, call, line.participant, is_conference=True)
        told = notice_for(GROUP_CALLER, number)
        return bridge.waiting(told, call, place.url("after"), place.url("joined"), time_limit(line, now))
    recording = recording_of(line)
    told = notice_for(CALLER[recording], number)
    place = Step(line.session, call, line.participant, recording, recorded=is_recorded(recording, Key.OTHER))
    if recording is Recording.NONE:
        return bridge.dialled(way(line, place), told)
    return bridge.asked_and_dialled(told, place.url("consent"), way(line, place))


def whisper(form: Form, place: Step) -> Answer:
    """Tell whoever is called who calls through whom, and ask for a key; without one nobody is connected."""
    number = number_of(form, "To")
    line = runtime.line_read().line(runtime.identities().party(number), single(form, "From"))
    refusal = refusal_of(line, place)
    if line is None or refusal is not None:
        log.decision(NAME, permit=False, reasons=[refusal or ""], session=place.session, resource=place.call)
        return twiml.hung_up()
    told = notice_for(whispered(place), number)
    return twiml.asked_for_key(told, place.url("answer"))
