"""Proxy's OutOfSessionCallbackUrl: someone calls or texts a masked number without an open session.

Nobody is ever connected from here: the answer is TwiML, which Proxy cannot take for an order to make a session
(twilio.com/docs/proxy/out-session-callback-response-guide). The webhook may carry the other person's real number; it is
not looked at.
"""

from __future__ import annotations

from parley import outside
from parley.core.problem import problem
from parley.web import Answer, MalformedError, Request, guarded, refuse, sender, single, unavailable
from parley.webhook import ForgedError, authenticate

NAME = "out-of-session"


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    # No TwiML: Proxy then connects nobody, and the failure shows in Twilio's debugger.
    return unavailable("The notice could not be given.")


@guarded(NAME, _failed)
def handle(request: Request) -> Answer:
    """Answer with a spoken or written notice; a stop word is a withdrawal everywhere."""
    form = authenticate(request)
    number = sender(form)
    if "CallSid" in form:
        return outside.answer_call(number, single(form, "CallSid"), name=NAME)
    return outside.answer_text(number, single(form, "MessageSid"), form.get("Body", [""])[0], name=NAME)
