"""Where somebody is said to be, and how that is known: what the law that counts for them is looked up by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Confidence(StrEnum):
    """How sure something is. For a row: high is read, medium from lists or a definite memory, low is unsettled."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Source(StrEnum):
    """How a person's place became known."""

    DECLARED = "declared"
    VERIFIED = "verified"
    KYC = "kyc"
    GPS = "gps"
    PREFIX = "prefix"  # of a phone number, which roams, is ported and is sold over the Internet
    UNKNOWN = "unknown"


_PROOFS = frozenset({Source.DECLARED, Source.VERIFIED, Source.KYC, Source.GPS})


@dataclass(frozen=True, slots=True)
class Location:
    """Where somebody is said to be: an ISO 3166-1 or 3166-2 code (`EU` too), how that is known, and how surely."""

    code: str
    source: Source
    confidence: Confidence = Confidence.HIGH

    @property
    def proves(self) -> bool:
        """Whether it shows by itself where somebody is. A phone prefix never does, nor does anything unsure."""
        return self.source in _PROOFS and self.confidence is not Confidence.LOW
