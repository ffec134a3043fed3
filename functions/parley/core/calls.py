"""What is said and asked at the beginning of a call between two masked numbers, on either leg (`direct`).

Both hear before they are connected through whom they talk and whether it is recorded (requirements R4, R10, R11); who
is called takes the call by a key, so that no voicemail ever consents to anything. Keys: 1 agrees, 2 goes on without
recording, 9 refuses all contact. A 2 holds for this call; what somebody agreed to before stays as it is.

| recording | because | the caller hears | a caller who presses nothing | the callee hears |
|---|---|---|---|---|
| `none` | it was not asked for, or somebody said no | `calling` | is connected | `whisper` |
| `standing` | everybody agreed before | `calling-recorded` | is recorded | `whisper-recorded` |
| `ask` | the stack lets a call ask for it | `record` | is connected, not recorded | `whisper-ask` |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from parley.core.consent import Scope
from parley.core.lines import Line
from parley.core.sessions import LONGEST_CALL


class Recording(StrEnum):
    """Whether a call is recorded, as far as is known before anybody pressed a key."""

    NONE = "none"
    STANDING = "standing"
    ASK = "ask"


class Key(StrEnum):
    """What somebody pressed."""

    AGREE = "1"
    WITHOUT = "2"
    REFUSE = "9"
    OTHER = ""


CALLER: Final[Mapping[Recording, str]] = {
    Recording.NONE: "calling",
    Recording.STANDING: "calling-recorded",
    Recording.ASK: "record",
}
"""The notice that the caller hears."""

CALLEE: Final[Mapping[Recording, str]] = {
    Recording.NONE: "whisper",
    Recording.STANDING: "whisper-recorded",
    Recording.ASK: "whisper-ask",
}
"""The notice that whoever is called hears, before they take the call."""

GROUP_CALLER: Final = "calling-group"
GROUP_CALLEE: Final = "whisper-group"
"""The notices of a call of more than two, which is never recorded."""


def recording_of(line: Line) -> Recording:
    """Return whether the calls of a line are recorded."""
    if Scope.RECORD_VOICE in line.scopes:
        return Recording.STANDING
    return Recording.ASK if Scope.RECORD_VOICE in line.asks else Recording.NONE


def key_of(digits: str) -> Key:
    """Return what somebody pressed; whatever has no meaning is as nothing."""
    return Key(digits) if digits in {Key.AGREE, Key.WITHOUT, Key.REFUSE} else Key.OTHER


def is_recorded(recording: Recording, key: Key) -> bool:
    """Tell whether somebody who pressed a key lets the call be recorded."""
    if recording is Recording.ASK:
        return key is Key.AGREE
    return recording is Recording.STANDING and key is not Key.WITHOUT


def takes_call(recording: Recording, key: Key) -> bool:
    """Tell whether somebody who is called takes the call."""
    return key is Key.AGREE or (key is Key.WITHOUT and recording is not Recording.NONE)


def time_limit(line: Line, now: datetime) -> int:
    """Return after how many seconds a call must end: with its session, and never after Twilio's own limit."""
    return max(1, int(min(line.closes_at - now, LONGEST_CALL).total_seconds()))
