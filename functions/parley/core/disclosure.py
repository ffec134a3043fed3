"""Notices: what people are told, in their language, and how long it is as a text message.

Every notice says that people are not communicating directly and that the operator and its provider Twilio manage the
communication (requirement R10), and how to refuse. The texts are reviewed data: `data/notices.json`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.core.consent import sha256_hex
from parley.core.identity import calling_code

_DATA = Path(__file__).parent.parent / "data" / "notices.json"

# 3GPP TS 23.038, 6.2.1: the default alphabet and its extension, whose characters take two septets.
_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")


@dataclass(frozen=True, slots=True)
class Notice:
    """A text as one person got it. `sha256` is the proof of the exact wording (16 CFR 310.5: manner and format)."""

    id: str
    channel: str
    version: str
    language: str
    text: str

    @property
    def sha256(self) -> str:
        """The hash of the text."""
        return sha256_hex(self.text)


@dataclass(frozen=True, slots=True)
class Length:
    """How long a text is as an SMS: its encoding, its units (septets or UTF-16 units), and the segments it takes."""

    encoding: str
    units: int
    segments: int


def language_for(number: str) -> str:
    """Return the language in which the holder of an E.164 number is addressed: a guess from its country."""
    code = calling_code(number)
    languages: Mapping[str, list[str]] = _data()["calling_codes"]
    return next((language for language, codes in languages.items() if code in codes), _default_language())


def speech_locale(language: str) -> str:
    """Return the locale in which TwiML's Say speaks a language. Raises KeyError for a language without notices."""
    return str(_data()["speech"][language])


def notice(notice_id: str, channel: str, language: str, *, app: str, contact: str, url: str) -> Notice:
    """Return a notice for one channel (`sms` or `voice`) in a language, in English if there is no such wording.

    Raises KeyError for a notice or a channel that there is none of.
    """
    data = _data()
    wordings: Mapping[str, str] = data["notices"][notice_id][channel]
    language = language if language in wordings else _default_language()
    text = wordings[language]
    for name, value in (("app", app), ("contact", contact), ("url", url)):
        text = text.replace(f"{{{name}}}", value)
    return Notice(notice_id, channel, str(data["version"]), language, text)


def measure(text: str) -> Length:
    """Return how long a text is as an SMS.

    160 septets fit one segment and 153 each of several; one character outside GSM-7 makes it UCS-2, with 70 and 67
    UTF-16 units. A character is never split over two segments.
    """
    if all(character in _GSM7 or character in _GSM7_EXTENSION for character in text):
        costs = [2 if character in _GSM7_EXTENSION else 1 for character in text]
        return _pack("GSM-7", costs, single=160, several=153)
    return _pack("UCS-2", [2 if ord(character) > 0xFFFF else 1 for character in text], single=70, several=67)


def _pack(encoding: str, costs: Iterable[int], *, single: int, several: int) -> Length:
    costs = list(costs)
    total = sum(costs)
    if total <= single:
        return Length(encoding, total, 1)
    segments, used = 1, 0
    for cost in costs:
        if used + cost > several:
            segments, used = segments + 1, 0
        used += cost
    return Length(encoding, total, segments)


@functools.cache
def _data() -> Mapping[str, Any]:
    data: dict[str, Any] = json.loads(_DATA.read_text(encoding="utf-8"))
    return data


def _default_language() -> str:
    return str(_data()["default_language"])
