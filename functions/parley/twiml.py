"""TwiML: what somebody who called or texted hears or reads from us (twilio.com/docs/voice/twiml, docs/messaging/twiml).

Only verbs that connect nobody are made here.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from parley.core.disclosure import Notice, speech_locale
from parley.web import Answer, text

MEDIA_TYPE = "application/xml"

KEY_SECONDS = 8
"""How long after the last word a key may be pressed."""


def silence() -> Answer:
    """Answer nothing, and end the call if there is one."""
    return _answer("")


def spoken(told: Notice) -> Answer:
    """Speak a notice and hang up."""
    return _answer(f"{_say(told)}<Hangup/>")


def asked_for_key(told: Notice, url: str) -> Answer:
    """Speak a notice that offers a key, and send the first one that is pressed to `url`; without one, hang up.

    The URL is a whole one: Proxy hands the document on, and what a relative one would start from is not documented.
    """
    gather = (
        f'<Gather numDigits="1" timeout="{KEY_SECONDS}" action={quoteattr(url)} method="POST">{_say(told)}</Gather>'
    )
    return _answer(f"{gather}<Hangup/>")


def written(told: Notice) -> Answer:
    """Text a notice back."""
    return _answer(f"<Message>{escape(told.text)}</Message>")


def _say(told: Notice) -> str:
    return f"<Say language={quoteattr(speech_locale(told.language))}>{escape(told.text)}</Say>"


def _answer(verbs: str) -> Answer:
    return text(200, f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>', MEDIA_TYPE)
