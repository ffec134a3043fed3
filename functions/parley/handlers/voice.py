"""The key that somebody pressed on a call that nobody is connected on: 9 refuses all contact.

What a caller hears out of a session offers it (47 CFR 64.1200(b)(3) and (a)(10): a keypress is a reasonable way to say
no). The key withdraws everything, at once, as STOP does; what is spoken then is the one confirmation. Any other key
hears the offer again.
"""

from __future__ import annotations

from parley import log, runtime, twiml
from parley.core.consent import Method
from parley.core.disclosure import language_for
from parley.core.problem import problem
from parley.telling import given
from parley.web import Answer, MalformedError, Request, guarded, refuse, sender, single, unavailable
from parley.webhook import ForgedError, authenticate
from parley.withdrawal import close_denied, soon, withdraw

REFUSE = "9"
OFFER = "not-connected-refuse"
"""The notice that offers the key."""

PATH = "/twilio/voice"


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    # No TwiML: Twilio then tells the caller that something failed, so nobody believes that their no was heard.
    return unavailable("The refusal could not be recorded.")


@guarded("voice", _failed)
def handle(request: Request) -> Answer:
    """Take a refusal by key, or offer it again."""
    form = authenticate(request)
    call, number = single(form, "CallSid"), sender(form)
    if number is None:
        return twiml.spoken(given("not-connected", "voice", "en"))
    language = language_for(number)
    if single(form, "Digits") != REFUSE:
        return offer(language)
    env, ledger, clock = runtime.environment(), runtime.ledger(), runtime.clock()
    party = runtime.identities().party(number)
    withdraw(
        ledger,
        party=party,
        source=f"{call}:{REFUSE}",
        method=Method.IVR_KEYPRESS,
        evidence={
            "call_sid": call,
            "leg": "caller",
            "digits": REFUSE,
            "prompt_sha256": given(OFFER, "voice", language).sha256,
        },
        withdrawal={"channel": "voice", "words": ""},
        said_at=clock.now(),
        actor="fn:voice",
        controller=env.controller,
    )
    log.decision("voice", permit=False, reasons=["opted-out"], parties=[party], resource=call)
    close_denied(ledger, runtime.carrier(), clock, party, reason="opted-out", deadline=soon())
    return twiml.spoken(given("withdrawn", "voice", language))


def offer(language: str) -> Answer:
    """Say that nobody is connected here, and offer the key that refuses all contact."""
    return twiml.asked_for_key(given(OFFER, "voice", language), runtime.environment().public_url + PATH)
