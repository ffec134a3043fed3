"""What a masked number answers when its function cannot (`direct`): nobody is available, and the call is over.

Twilio asks here when a webhook failed, timed out or answered no TwiML (VoiceFallbackUrl, SmsFallbackUrl). It reads no
ledger and no key of the stack's, only what proves that Twilio asks, so that it answers when everything else is down.
A text is answered with nothing: its sender learns from the other person that it did not arrive, not from us that it
might have.
"""

from __future__ import annotations

from parley import log, twiml
from parley.core.disclosure import language_for
from parley.core.problem import problem
from parley.telling import given
from parley.web import Answer, MalformedError, Request, guarded, refuse, sender, unavailable
from parley.webhook import ForgedError, authenticate


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    return unavailable("The notice could not be given.")


@guarded("fallback", _failed)
def handle(request: Request) -> Answer:
    """Say that nobody is available, and hang up; a text is answered with nothing."""
    form = authenticate(request)
    voice = "CallSid" in form
    resource = form.get("CallSid" if voice else "MessageSid", [""])[0]
    code = form.get("ErrorCode", [""])[0]
    log.emit("fallback-answered", "ERROR", resource=resource, code=code)
    if not voice:
        return twiml.silence()
    number = sender(form)
    return twiml.spoken(given("not-available", "voice", "en" if number is None else language_for(number)))
