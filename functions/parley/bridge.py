"""TwiML that connects people (`direct`): each document here is answered only after everybody's consent was read.

Whoever is called hears `url` on their own leg and is connected only if that goes well (twilio.com/docs/voice/twiml/
number): a document that ends in Hangup connects nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from parley import twiml
from parley.core.disclosure import Notice
from parley.twiml import attribute
from parley.web import Answer

RING_SECONDS = 25
"""How long the other phone rings: shorter than most voicemails wait, and they consent to nothing anyway."""

LISTEN_SECONDS = 2
"""How long a caller may still press a key who need not press one."""


@dataclass(frozen=True, slots=True, repr=False)
class Way:
    """Where a call goes. `number` is plain: never log or keep. The rest are URLs, and the seconds after which it ends.

    `masked_number` is what the other phone shows.
    """

    number: str
    masked_number: str
    whisper: str
    status: str
    after: str
    time_limit: int


def dialled(way: Way, told: Notice | None = None) -> Answer:
    """Call the other phone, after a notice if there is one."""
    return twiml.document(_said(told) + _dial(way))


def asked_and_dialled(told: Notice, url: str, way: Way) -> Answer:
    """Speak a notice that offers keys; whoever presses one goes on at `url`, who presses none is connected."""
    return twiml.document(twiml.gather(told, url, LISTEN_SECONDS) + _dial(way))


def connected() -> Answer:
    """Let the two be connected, on the leg of whoever is called."""
    return twiml.document("")


def waiting(told: Notice, name: str, after: str, status: str, time_limit: int) -> Answer:
    """Let the caller wait in a conference, after a notice, until somebody joins; with the caller it ends.

    `status` is told who joins (twilio.com/docs/voice/twiml/conference). Nothing is played meanwhile.
    """
    return twiml.document(
        f'{_said(told)}<Dial action={attribute(after)} method="POST" timeLimit="{time_limit}">'
        f'<Conference startConferenceOnEnter="false" endConferenceOnExit="true" beep="false" waitUrl=""'
        f' statusCallback={attribute(status)} statusCallbackMethod="POST" statusCallbackEvent="join">'
        f"{escape(name)}</Conference></Dial>"
    )


def joined(name: str) -> Answer:
    """Let somebody who was called join a conference."""
    return twiml.document(f'<Dial><Conference beep="false" waitUrl="">{escape(name)}</Conference></Dial>')


def _said(told: Notice | None) -> str:
    return "" if told is None else twiml.say(told)


def _dial(way: Way) -> str:
    events = attribute("initiated ringing answered completed")
    return (
        f'<Dial callerId={attribute(way.masked_number)} answerOnBridge="true" timeout="{RING_SECONDS}"'
        f' timeLimit="{way.time_limit}" action={attribute(way.after)} method="POST">'
        f'<Number url={attribute(way.whisper)} method="POST" statusCallback={attribute(way.status)}'
        f' statusCallbackMethod="POST" statusCallbackEvent={events}>{escape(way.number)}</Number></Dial>'
    )
