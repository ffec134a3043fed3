"""The kinds of records, by themselves: what judges a consent needs their names, not how long each is kept."""

from __future__ import annotations

from enum import StrEnum


class RecordClass(StrEnum):
    """A kind of record that has a retention period of its own."""

    CALL_RECORDINGS = "call-recordings"
    VIDEO_RECORDINGS = "video-recordings"
    MESSAGES = "messages"
    MESSAGE_MEDIA = "message-media"
    TRANSCRIPTS = "transcripts"
    INTERACTION_LOG = "interaction-log"
    SESSION_MAP = "session-map"
    CONSENT_EVIDENCE = "consent-evidence"
    ACCESS_LOGS = "access-logs"
    OPERATIONAL_LOGS = "operational-logs"
    DEAD_LETTERS = "dead-letters"
    ERASURE_PROOFS = "erasure-proofs"
