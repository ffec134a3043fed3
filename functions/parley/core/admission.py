"""May an interaction pass: what the row of its session says to Twilio's question.

A part of `parley.core.sessions` by itself, without a dataclass: Twilio waits for a cold start as well, and the modules
of sessions and consents are two thirds of what the gate would import.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

OPEN = "open"
"""The status of a session that still connects (`parley.core.sessions.Status`)."""


class Admission:
    """What of a session decides whether an interaction passes.

    `participants` maps the SIDs of its participants to their party keys, `records` are the ids of the consent records
    that it rests on, `revoked` is the id of the one that took a consent back and why, None if there is none.
    """

    __slots__ = ("closes_at", "participants", "records", "revoked", "service_sid", "status")

    def __init__(
        self,
        *,
        service_sid: str,
        participants: Mapping[str, str],
        closes_at: datetime,
        status: str,
        records: tuple[str, ...],
        revoked: tuple[str, str] | None,
    ) -> None:
        self.service_sid = service_sid
        self.participants = participants
        self.closes_at = closes_at
        self.status = status
        self.records = records
        self.revoked = revoked


def refusal(session: Admission | None, *, service_sid: str, participant_sid: str, now: datetime) -> str | None:
    """Return why an interaction is no part of an open session of ours, as a code, or None if it is."""
    if session is None:
        return "session-unknown"
    if session.service_sid != service_sid:
        return "service-mismatch"
    if participant_sid not in session.participants:
        return "participant-unknown"
    if session.status != OPEN or now >= session.closes_at:
        return "session-closed"
    return "consent-lost" if session.revoked is not None else None
