"""Addresses by which Twilio fetches a file that is passed on (`direct`): short-lived, and made here or not at all.

A token is a payload (version, SIDs of message and media, expiry) and a MAC over it, in base64url. The MAC is made under
the key that makes party keys; its message begins with a word that neither an identifier nor another link begins with.
It holds no number and no name, and needs no row.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

DOMAIN: Final = b"media-link:"
VALID_FOR: Final = timedelta(minutes=10)
"""Twilio fetches a file while it sends the message; a quarter of an hour would already be generous."""

VERSION: Final = 1
_SID, _EXPIRY, _MAC = 16, 5, 32
_PAYLOAD: Final = 1 + 2 + _SID + _SID + _EXPIRY
_TOKEN: Final = re.compile(r"[0-9A-Za-z_-]{96}")
_KINDS: Final = (b"SM", b"MM")


class ForgedMediaLinkError(ValueError):
    """An address that was not made here, was changed since, or whose time is over."""


@dataclass(frozen=True, slots=True)
class MediaLink:
    """What an address says: which file of which message (SIDs), and until when it works (whole seconds, UTC)."""

    message: str
    media: str
    expires_at: datetime


def token_of(link: MediaLink, sign: Callable[[bytes], bytes]) -> str:
    """Return the token of an address. `sign` returns the HMAC-SHA256 of a message under the identity key."""
    payload = (
        bytes([VERSION])
        + link.message[:2].encode()
        + bytes.fromhex(link.message[2:])
        + bytes.fromhex(link.media[2:])
        + int(link.expires_at.timestamp()).to_bytes(_EXPIRY, "big")
    )
    return base64.urlsafe_b64encode(payload + sign(DOMAIN + payload)).rstrip(b"=").decode("ascii")


def link_of(token: str, sign: Callable[[bytes], bytes], now: datetime) -> MediaLink:
    """Return what a token says. Raises ForgedMediaLinkError."""
    if not _TOKEN.fullmatch(token):
        raise ForgedMediaLinkError
    raw = base64.urlsafe_b64decode(token)
    payload, mac = raw[:_PAYLOAD], raw[_PAYLOAD:]
    if not hmac.compare_digest(sign(DOMAIN + payload), mac) or payload[0] != VERSION or payload[1:3] not in _KINDS:
        raise ForgedMediaLinkError
    expires_at = datetime.fromtimestamp(int.from_bytes(payload[-_EXPIRY:], "big"), UTC)
    if now >= expires_at:
        raise ForgedMediaLinkError
    message, media = payload[3 : 3 + _SID].hex(), payload[3 + _SID : 3 + 2 * _SID].hex()
    return MediaLink(payload[1:3].decode() + message, f"ME{media}", expires_at)
