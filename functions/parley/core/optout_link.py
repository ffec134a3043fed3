"""Links that refuse all contact with one press of a button: what they say, and that nobody else can have made them.

A link is its own authority: a payload (version, party key, expiry, purpose) and a MAC over it, in base64url. The MAC is
made under the key that makes party keys, and the message begins with a word that no identifier begins with, so that no
link's MAC can ever be a party key, nor a party key the MAC of a link. It needs no row, and holds no number.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from parley.core.identity import is_party_key

DOMAIN = b"optout-link:"
"""What the message of a MAC begins with. Identifiers begin with `e164:` or `user:` (see `core.identity.canonical`)."""

VERSION = 1
_PARTY, _EXPIRY, _MAC = 32, 5, 32
_PAYLOAD = 1 + _PARTY + _EXPIRY + 1
_TOKEN = re.compile(r"[0-9A-Za-z_-]{95}")

Sign = Callable[[bytes], bytes]
"""Returns the HMAC-SHA256 of a message under the identity key."""


class Purpose(IntEnum):
    """What a link does."""

    REFUSE_ALL = 1


class ForgedLinkError(ValueError):
    """A link that was not made here, or was changed since."""


class ExpiredLinkError(ValueError):
    """A link whose time is over."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: whose it is (a party key), until when it works (whole seconds, UTC), and what it does."""

    party: str
    expires_at: datetime
    purpose: Purpose = Purpose.REFUSE_ALL

    def payload(self) -> bytes:
        """Return it as bytes."""
        expiry = int(self.expires_at.timestamp()).to_bytes(_EXPIRY, "big")
        return bytes([VERSION]) + bytes.fromhex(self.party) + expiry + bytes([self.purpose])


def token_of(link: Link, sign: Sign) -> str:
    """Return the token of a link. Raises ValueError for what is no party key."""
    if not is_party_key(link.party):
        raise ValueError("a link belongs to a party key")
    payload = link.payload()
    return base64.urlsafe_b64encode(payload + sign(DOMAIN + payload)).rstrip(b"=").decode("ascii")


def link_of(token: str, sign: Sign, now: datetime) -> Link:
    """Return what a token says. Raises ForgedLinkError, ExpiredLinkError.

    The MAC comes first: of a token that was not made here nothing is believed, nor told. What has not the form of one
    is not signed at all.
    """
    if not _TOKEN.fullmatch(token):
        raise ForgedLinkError
    raw = base64.urlsafe_b64decode(token + "=")
    payload, mac = raw[:_PAYLOAD], raw[_PAYLOAD:]
    # Base64 has several spellings of the same bytes where a bit is left over; one of them is ours.
    spelling = base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
    if not hmac.compare_digest(sign(DOMAIN + payload), mac) or spelling != token or payload[0] != VERSION:
        raise ForgedLinkError
    if payload[-1] not in set(Purpose):
        raise ForgedLinkError
    expires_at = datetime.fromtimestamp(int.from_bytes(payload[1 + _PARTY : -1], "big"), UTC)
    if now >= expires_at:
        raise ExpiredLinkError
    return Link(payload[1 : 1 + _PARTY].hex(), expires_at, Purpose(payload[-1]))
