"""Twilio's SIDs, as far as one is told from anything else (twilio.com/docs/glossary/what-is-a-sid)."""

from __future__ import annotations

import re

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


class SidError(ValueError):
    """A text is not the SID of a resource of that kind. The message does not repeat it."""


def check_sid(text: object, prefixes: str) -> str:
    """Return `text` if it is a SID that begins with one of `prefixes` (`"SM|MM"`): two capitals and 32 hex digits.

    SIDs become parts of paths and object keys, so nothing else may pass. Raises SidError.
    """
    if isinstance(text, str) and _SID.fullmatch(text) and text[:2] in prefixes.split("|"):
        return text
    raise SidError(f"is not a SID of the form {prefixes} and 32 hexadecimal digits")
