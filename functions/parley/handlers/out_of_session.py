"""Proxy's OutOfSessionCallbackUrl: someone calls or texts a masked number without an open session.

Nobody is ever connected from here: the answer is TwiML, which Proxy cannot take for an order to make a session
(twilio.com/docs/proxy/out-session-callback-response-guide). The person is told, in the language of their number's
country, that nobody is reached directly here, who manages the line, and how to refuse. The webhook may carry the
other person's real number; it is not looked at.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from parley import log, runtime
from parley.core.consent import NO, Scope
from parley.core.disclosure import Notice, language_for, notice, speech_locale
from parley.core.identity import IdentifierError, parse_e164
from parley.core.optout import is_stop
from parley.core.problem import problem
from parley.web import Answer, Form, MalformedError, Request, guarded, refuse, single, text, unavailable
from parley.webhook import ForgedError, authenticate
from parley.withdrawal import close_denied, withdraw_by_text

MEDIA_TYPE = "application/xml"
_SILENCE = '<?xml version="1.0" encoding="UTF-8"?><Response/>'


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
    number = _sender(form)
    if number is None:
        # A withheld number or a short code: nobody that consent could be asked of or a text be sent to.
        log.decision("out-of-session", permit=False, reasons=["sender-unknown"], resource=sid)
        return _speak("not-connected", "en") if voice else _twiml(_SILENCE)
    language = language_for(number)
    if not voice and is_stop(_body(form)):
        return _withdraw(number, sid, _body(form), language)
    refused = _has_refused(number, certain=not voice)
    reason = "opted-out" if refused else "no-session"
    log.decision("out-of-session", permit=False, reasons=[reason], resource=sid)
    if voice:
        return _speak("opted-out" if refused else "not-connected", language)
    # Who said no gets no more texts, not even this one.
    return _twiml(_SILENCE) if refused else _write("not-connected", language)


def _sender(form: Form) -> str | None:
    try:
        return parse_e164(single(form, "From"))
    except IdentifierError:
        return None


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
    return any(one.scope is Scope.MANAGE and one.counterpart is None and one.state in NO for one in standings)


def _withdraw(number: str, sid: str, body: str, language: str) -> Answer:
    env, ledger, clock = runtime.environment(), runtime.ledger(), runtime.clock()
    party = runtime.identities().party(number)
    appended = withdraw_by_text(
        ledger,
        party=party,
        message_sid=sid,
        word=body,
        said_at=clock.now(),
        actor="fn:out-of-session",
        controller=env.controller,
    )
    log.decision("out-of-session", permit=False, reasons=["opted-out"], parties=[party], resource=sid)
    close_denied(ledger, runtime.carrier(), clock, party, reason="opted-out", urgent=True)
    # One confirmation, however often the webhook comes.
    return _twiml(_SILENCE) if appended.repeated else _write("opted-out", language)


def _notice(notice_id: str, channel: str, language: str) -> Notice:
    controller = runtime.environment().controller
    return notice(
        notice_id,
        channel,
        language,
        app=controller.name,
        contact=controller.contact,
        url=controller.privacy_policy_url,
    )


def _speak(notice_id: str, language: str) -> Answer:
    given = _notice(notice_id, "voice", language)
    say = f"<Say language={quoteattr(speech_locale(given.language))}>{escape(given.text)}</Say>"
    return _twiml(f'<?xml version="1.0" encoding="UTF-8"?><Response>{say}<Hangup/></Response>')


def _write(notice_id: str, language: str) -> Answer:
    given = _notice(notice_id, "sms", language)
    message = f"<Message>{escape(given.text)}</Message>"
    return _twiml(f'<?xml version="1.0" encoding="UTF-8"?><Response>{message}</Response>')


def _twiml(document: str) -> Answer:
    return text(200, document, MEDIA_TYPE)
