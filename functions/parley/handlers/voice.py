"""The key that somebody pressed on a call that nobody is connected on: 9 refuses all contact.

What a caller hears out of a session offers it. Any other key hears the offer again.
"""

from __future__ import annotations

from parley import runtime, twiml
from parley.core.disclosure import language_for
from parley.core.problem import problem
from parley.keypress import REFUSE, take_refusal
from parley.telling import given
from parley.web import Answer, MalformedError, Request, guarded, refuse, sender, single, unavailable
from parley.webhook import ForgedError, authenticate

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
    party, prompt = runtime.identities().party(number), given(OFFER, "voice", language)
    return take_refusal(number, party=party, call=call, leg="caller", prompt=prompt, name="voice")


def offer(language: str) -> Answer:
    """Say that nobody is connected here, and offer the key that refuses all contact."""
    return twiml.asked_for_key(given(OFFER, "voice", language), runtime.environment().public_url + PATH)
