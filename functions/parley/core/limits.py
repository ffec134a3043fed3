"""What the kit cannot promise, channel by channel: sentences for a reviewer, in the declaration and in the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from parley.core import chat, rooms

PROXY: Final = (
    (
        "Twilio Proxy connects the parties of an open session whenever the gate does not answer: then the session's own"
        " end, and its being closed as soon as a consent is lost, are what is left of the gate."
    ),
)
_VOICE: Final = (
    *PROXY,
    (
        "Nothing can be said to both parties inside of a call over Proxy, so it is recorded only where everybody agreed"
        " to that before, and never where the law asks for an announcement."
    ),
)
_SMS: Final = (
    *PROXY,
    "A text is at Twilio three times until it is deleted there, and Twilio purges the numbers of a deleted one later.",
)
CHANNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "voice": _VOICE,
    "sms": _SMS,
    "video": rooms.LIMITS,
    "chat": chat.LIMITS,
}
KEPT: Final = (
    (
        "Of somebody who was erased the party key stays for good, without a number: a no that can be forgotten is none"
        " (GDPR art. 17(3)(b), 21(3))."
    ),
    "A legal hold that is placed while something is being deleted does not bring that back.",
)
"""What holds whatever the channels are."""


def limits(channels: Iterable[str]) -> list[dict[str, str]]:
    """Return what cannot be promised to a stack with these channels, each sentence once, with what it is about."""
    found: dict[str, str] = {}
    for channel in channels:
        for sentence in CHANNELS.get(channel, ()):
            found[sentence] = f"{found[sentence]}, {channel}" if sentence in found else channel
    return [
        *({"about": about, "text": sentence} for sentence, about in found.items()),
        *({"about": "all", "text": sentence} for sentence in KEPT),
    ]
