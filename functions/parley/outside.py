"""What somebody hears or reads who calls or texts a masked number without an open session, whatever the backend.

Nobody is ever connected from here. The person is told, in the language of their number's country, that nobody is
reached directly here, who manages the line, and how to refuse: a caller by pressing 9. STOP is a withdrawal; START
gives back notices of the service and nothing else.
"""

from __future__ import annotations

from parley import log, runtime, twiml
from parley.core.disclosure import language_for
from parley.core.optout import Word, confirmation, meaning
from parley.handlers.voice import offer
from parley.telling import given
from parley.web import Answer
from parley.withdrawal import close_denied, give_back_by_text, has_refused, soon, withdraw_by_text


def answer_call(number: str | None, sid: str, *, name: str, reason: str = "no-session") -> Answer:
    """Answer a call from a number, None if it is withheld: nobody whom consent could be asked of.

    `name` is the function that answers, for the log; `reason` says why nobody is connected.
    """
    if number is None:
        log.decision(name, permit=False, reasons=["sender-unknown"], resource=sid)
        return _speak("not-connected", "en")
    refused = _has_refused(number, name, certain=False)
    log.decision(name, permit=False, reasons=["opted-out" if refused else reason], resource=sid)
    language = language_for(number)
    return _speak("opted-out", language) if refused else offer(language)


def answer_text(number: str | None, sid: str, body: str, *, name: str, reason: str = "no-session") -> Answer:
    """Answer a text from a number, None if it is none that one can write to. See `answer_call`."""
    if number is None:
        log.decision(name, permit=False, reasons=["sender-unknown"], resource=sid)
        return twiml.silence()
    language, said = language_for(number), meaning(body)
    if said is not None and said.word is Word.STOP:
        return withdraw(number, sid, body, name=name)
    if said is not None and said.word is Word.START:
        return _give_back(number, sid, language, name)
    refused = _has_refused(number, name, certain=True)
    log.decision(name, permit=False, reasons=["opted-out" if refused else reason], resource=sid)
    # Who said no gets no more texts, not even this one.
    return twiml.silence() if refused else _write("not-connected", language)


def withdraw(number: str, sid: str, body: str, *, name: str, confirmed: bool = False) -> Answer:
    """Take a request to stop: everything is withdrawn, every session closed; answer with the one confirmation.

    `confirmed` says that Twilio has sent it already.
    """
    env, ledger, clock = runtime.environment(), runtime.ledger(), runtime.clock()
    now = clock.now()
    party = runtime.identities().party(number)
    done = withdraw_by_text(
        ledger,
        party=party,
        message_sid=sid,
        words=body,
        said_at=now,
        actor=f"fn:{name}",
        controller=env.controller,
    )
    log.decision(name, permit=False, reasons=["opted-out"], parties=[party], resource=sid)
    close_denied(ledger, runtime.carrier(), clock, party, reason="opted-out", deadline=soon())
    # One confirmation, however often the webhook comes and however often they say it.
    told = confirmation(body, now, now) if done.first and not confirmed else None
    return twiml.silence() if told is None else _write(told, language_for(number))


def _has_refused(number: str, name: str, *, certain: bool) -> bool:
    """Tell whether the person said no to the service.

    If the ledger does not answer, an error is raised where it must be `certain`; a caller hears the general notice.
    """
    try:
        party = runtime.identities().party(number)
        standings = runtime.ledger().standings_of(party)
    except Exception as error:
        if certain:
            raise
        log.failure("standing-unknown", error, handler=name)
        return False
    return has_refused(standings)


def _give_back(number: str, sid: str, language: str, name: str) -> Answer:
    env = runtime.environment()
    party = runtime.identities().party(number)
    give_back_by_text(
        runtime.ledger(),
        runtime.carrier(),
        party=party,
        message_sid=sid,
        now=runtime.clock().now(),
        actor=f"fn:{name}",
        controller=env.controller,
        validity_days=env.consent.validity_days,
    )
    log.decision(name, permit=False, reasons=["start"], parties=[party], resource=sid)
    return _write("not-connected", language)


def _speak(notice_id: str, language: str) -> Answer:
    return twiml.spoken(given(notice_id, "voice", language))


def _write(notice_id: str, language: str) -> Answer:
    return twiml.written(given(notice_id, "sms", language))
