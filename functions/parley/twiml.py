"""TwiML: what somebody who called or texted hears or reads from us (twilio.com/docs/voice/twiml, docs/messaging/twiml).

Only verbs that connect nobody are made here; `bridge` makes the others.
"""

from __future__ import annotations

from html import escape

from parley.core.disclosure import Notice, speech_locale
from parley.web import Answer, text

MEDIA_TYPE = "application/xml"

KEY_SECONDS = 8
"""How long after the last word a key may be pressed."""


def silence() -> Answer:
    """Answer nothing, and end the call if there is one."""
    return document("")


def hung_up() -> Answer:
    """End the call without a word."""
    return document("<Hangup/>")


def spoken(told: Notice) -> Answer:
    """Speak a notice and hang up."""
    return document(f"{say(told)}<Hangup/>")


def asked_for_key(told: Notice, url: str) -> Answer:
    """Speak a notice that offers a key, and send the first one that is pressed to `url`; without one, hang up.

    The URL is a whole one: Proxy hands the document on, and what a relative one would start from is not documented.
    """
    return document(f"{gather(told, url, KEY_SECONDS)}<Hangup/>")


def written(told: Notice) -> Answer:
    """Text a notice back."""
    return document(f"<Message>{escape(told.text, quote=False)}</Message>")


def gather(told: Notice, url: str, seconds: int) -> str:
    """Return the verb that speaks a notice and sends the key that is pressed within so many seconds to `url`."""
    return f'<Gather numDigits="1" timeout="{seconds}" action={attribute(url)} method="POST">{say(told)}</Gather>'


def say(told: Notice) -> str:
    """Return the verb that speaks a notice."""
    return f"<Say language={attribute(speech_locale(told.language))}>{escape(told.text, quote=False)}</Say>"


def document(verbs: str) -> Answer:
    """Answer a document of these verbs."""
    return text(200, f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>', MEDIA_TYPE)


def attribute(value: str) -> str:
    """Return a value in quotes, as an attribute has it."""
    return f'"{escape(value)}"'
