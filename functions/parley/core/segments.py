"""Segments: how long a text is as an SMS, and which character makes it longer.

A text of the GSM 7 bit default alphabet (3GPP TS 23.038, 6.2.1) has 160 septets in one segment; one character outside
that alphabet turns the whole text into UCS-2, with 70 UTF-16 units. Each of several segments carries a header of six
octets, which leaves 153 septets or 67 units (3GPP TS 23.040, 9.2.3.24.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# 6.2.1.1: reached through the escape character, so each takes two septets.
_EXTENSION = frozenset("\f^{}\\[~]|€")

Encoding = Literal["GSM-7", "UCS-2"]

CAPACITIES: dict[Encoding, tuple[int, int]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}
"""Units (septets or UTF-16 units) of a text's only segment, and of each of several."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a text is as an SMS.

    `units` are septets or UTF-16 units, `segments` what is sent and billed, `offending` the characters outside GSM-7,
    each once, in the order in which they first appear.
    """

    encoding: Encoding
    units: int
    segments: int
    offending: tuple[str, ...] = ()


def measure(text: str) -> Length:
    """Return how long a text is as an SMS. Neither an escape sequence nor a surrogate pair is split over two segments.

    The empty text takes one segment.
    """
    offending = tuple(dict.fromkeys(each for each in text if each not in _BASIC and each not in _EXTENSION))
    if offending:
        return _packed("UCS-2", [2 if ord(each) > 0xFFFF else 1 for each in text], offending)
    return _packed("GSM-7", [2 if each in _EXTENSION else 1 for each in text], ())


def _packed(encoding: Encoding, costs: Sequence[int], offending: tuple[str, ...]) -> Length:
    only, each_of_several = CAPACITIES[encoding]
    units = sum(costs)
    if units <= only:
        return Length(encoding, units, 1, offending)
    segments, used = 1, 0
    for cost in costs:
        if used + cost > each_of_several:
            segments, used = segments + 1, 0
        used += cost
    return Length(encoding, units, segments, offending)
