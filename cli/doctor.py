"""What `parley doctor` says about a stack's Twilio account, as text and as an exit code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from cli.errors import CANNOT_TELL, DRIFT, OK
from infra.twilio.findings import Finding, Word


def exit_code(found: Sequence[Finding]) -> int:
    """Return 7 when there is a trap, 2 when something is unknown and there is none, else 0."""
    words = {each.word for each in found}
    if Word.TRAP in words:
        return DRIFT
    return CANNOT_TELL if Word.UNKNOWN in words else OK


def to_json(stack: str, found: Sequence[Finding], at: datetime) -> str:
    """Return all findings as JSON text."""
    counted = Counter(str(each.word) for each in found)
    return json.dumps(
        {
            "stack": stack,
            "checkedAt": at.isoformat(timespec="seconds"),
            "words": {str(word): counted[str(word)] for word in Word},
            "findings": [asdict(each) for each in found],
        },
        indent=2,
    )
