"""Who is who, without saying it: numbers, user ids, the form a party's key is made from, and redaction.

An identifier is one text: a number in E.164 form (`+12125550111`), or an id of the operator's own after `user:`
(`user:rider-7`). A plain identifier exists only while a request is handled. Everything that is kept or logged names a
party by its key, an HMAC that only the stack's own KMS key can make.
"""

from __future__ import annotations

import re

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PARTY_KEY = re.compile(r"[0-9a-f]{64}")
_USER_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._@-]{0,127}")
_NUMBER_INSIDE = re.compile(r"(?:\+|%2[bB])[ ().-]{0,2}[0-9](?:[ ().-]{0,2}[0-9]){5,14}")

REDACTED = "[number]"

USER = "user:"
"""What an identifier that is a user id begins with."""

# ITU-T E.164 annex: 1 and 7 stand alone, these two-digit codes are assigned, every other code has three digits.
_TWO_DIGIT_CODES = frozenset(
    str(code)
    for code in (
        20,
        27,
        *range(30, 35),
        36,
        39,
        40,
        41,
        *range(43, 50),
        *range(51, 59),
        *range(60, 67),
        81,
        82,
        84,
        86,
        *range(90, 96),
        98,
    )
)


class IdentifierError(ValueError):
    """An identifier is not one that a party can be known by. The message never repeats it."""


def parse_e164(text: object) -> str:
    """Return `text` if it is a phone number in strict E.164 form: plus sign, no leading zero, 7 to 15 digits.

    Nothing is repaired: a number that is guessed right today is a call to a stranger tomorrow.
    Raises IdentifierError, without the number in its message.
    """
    if isinstance(text, str) and _E164.fullmatch(text):
        return text
    raise IdentifierError("is not a phone number in E.164 form: write + and 7 to 15 digits, without spaces")


def parse_user(text: object) -> str:
    """Return `text` if it is a user id as an identifier: `user:` and 1 to 128 of the characters that ids are made of.

    Upper and lower case are two users; nothing is repaired. Raises IdentifierError, without the id in its message.
    """
    if isinstance(text, str) and text.startswith(USER) and _USER_ID.fullmatch(text.removeprefix(USER)):
        return text
    raise IdentifierError(
        f"is not a user id: write {USER}, a letter or digit, and at most 127 more of these or of . _ - @"
    )


def canonical(identifier: str) -> bytes:
    """Return the bytes whose MAC is the party's key: the kind of identifier and its strict form.

    The kind is part of it, so that a user id made of digits can never collide with a number.
    Raises IdentifierError.
    """
    if identifier.startswith(USER):
        return parse_user(identifier).encode("ascii")
    return f"e164:{parse_e164(identifier)}".encode("ascii")


def is_party_key(text: object) -> bool:
    """Tell whether `text` has the form of a party's key: 64 lower-case hex digits."""
    return isinstance(text, str) and _PARTY_KEY.fullmatch(text) is not None


def label(party: str) -> str:
    """Return the part of a party's key that logs show: enough to follow one person through a story."""
    return party[:12]


def calling_code(number: str) -> str:
    """Return the country calling code of an E.164 number, without the plus sign (ITU-T E.164 annex)."""
    digits = number.removeprefix("+")
    if digits[:1] in {"1", "7"}:
        return digits[:1]
    return digits[:2] if digits[:2] in _TWO_DIGIT_CODES else digits[:3]


def holds_number(text: str) -> bool:
    """Tell whether something in `text` looks like an international phone number."""
    # Every number begins with one of these, and most texts have neither.
    return ("+" in text or "%2" in text) and _NUMBER_INSIDE.search(text) is not None


def redact(text: str) -> str:
    """Return `text` with everything that looks like an international phone number blotted out."""
    return _NUMBER_INSIDE.sub(REDACTED, text)
