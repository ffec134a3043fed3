"""Proxy's OutOfSessionCallbackUrl: someone calls or texts a masked number without an open session.

Nobody is ever connected from here: the answer is TwiML, which Proxy cannot take for an order to make a session
(twilio.com/docs/proxy/out-session-callback-response-guide). The person is told, in the language of their number's
country, that nobody is reached directly here, who manages the line, and how to refuse: a caller by pressing 9. STOP is
a withdrawal; START gives back notices of the service and nothing else. The webhook may carry the other person's real
number; it is not looked at.
"""

from __future__ import annotations

from parley import log, runtime, twiml
from parley.core.disclosure import language_for
from parley.core.optout import Word, confirmation, meaning
from parley.core.problem import problem
from parley.handlers.voice import offer
from parley.telling import given
from parley.web import Answer, Form, MalformedError, Request, guarded, refuse, sender, single, unavailable
from parley.webhook import ForgedError, authenticate
from parley.withdrawal import close_denied, give_back_by_text, has_refused, soon, withdraw_by_text


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    # No TwiML: Proxy then connects nobody, and the failure shows in Twilio's debugger.
    return unavailable("The notice could not be given.")


@guarded("out-of-session", _failed)
def handle(request: Request) -> Answer:
    """Answer with a spoken or written notice; a stop word is a withdrawal everywhere."""
    form = authenticate(request)
    voice = "CallSid" in form
    sid = single(form, "CallSid" if voice else "MessageSid")
    number = sender(form)
    if number is None:
        # A withheld number or a short code: nobody that consent could be asked of or a text be sent to.
        log.decision("out-of-session", permit=False, reasons=["sender-unknown"], resource=sid)
        return _speak("not-connected", "en") if voice else twiml.silence()
    language = language_for(number)
    said = None if voice else meaning(_body(form))
    if said is not None and said.word is Word.STOP:
        return _withdraw(number, sid, _body(form), language)
    if said is not None and said.word is Word.START:
        return _give_back(number, sid, language)
    refused = _has_refused(number, certain=not voice)
    reason = "opted-out" if refused else "no-session"
    log.decision("out-of-session", permit=False, reasons=[reason], resource=sid)
    if voice:
        return _speak("opted-out", language) if refused else offer(language)
    # Who said no gets no more texts, not even this one.
    return twiml.silence() if refused else _write("not-connected", language)


def _body(form: Form) -> str:
    return form.get("Body", [""])[0]


def _has_refused(number: str, *, certain: bool) -> bool:
    """Tell whether the person said no to the service.

    If the ledger does not answer, an error is raised where it must be `certain`; a caller hears the general notice.
    """
    try:
        party = runtime.identities().party(number)
        standings = runtime.ledger().standings_of(party)
    except Exception as error:
        if certain:
            raise
        log.failure("standing-unknown", error, handler="out-of-session")
        return False
    return has_refused(standings)


def _withdraw(number: str, sid: str, body: str, language: str) -> Answer:
    env, ledger, clock = runtime.environment(), runtime.ledger(), runtime.clock()
    now = clock.now()
    party = runtime.identities().party(number)
    done = withdraw_by_text(
        ledger,
        party=party,
        message_sid=sid,
        words=body,
        said_at=now,
        actor="fn:out-of-session",
        controller=env.controller,
    )
    log.decision("out-of-session", permit=False, reasons=["opted-out"], parties=[party], resource=sid)
    close_denied(ledger, runtime.carrier(), clock, party, reason="opted-out", deadline=soon())
    # One confirmation, however often the webhook comes and however often they say it.
    confirmed = confirmation(body, now, now) if done.first else None
    return twiml.silence() if confirmed is None else _write(confirmed, language)


def _give_back(number: str, sid: str, language: str) -> Answer:
    env = runtime.environment()
    party = runtime.identities().party(number)
    give_back_by_text(
        runtime.ledger(),
        runtime.carrier(),
        party=party,
        message_sid=sid,
        now=runtime.clock().now(),
        actor="fn:out-of-session",
        controller=env.controller,
        validity_days=env.consent.validity_days,
    )
    log.decision("out-of-session", permit=False, reasons=["start"], parties=[party], resource=sid)
    return _write("not-connected", language)


def _speak(notice_id: str, language: str) -> Answer:
    return twiml.spoken(given(notice_id, "voice", language))


def _write(notice_id: str, language: str) -> Answer:
    return twiml.written(given(notice_id, "sms", language))
