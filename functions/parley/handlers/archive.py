"""The queue `archive`: what Twilio recorded or passed on comes into the content bucket and leaves Twilio.

A message names by SIDs a recording (`{"kind": "recording", "sid", "call"}`), a text (`{"kind": "message", "session",
"interaction", "inbound", "outbound"}`), what was recorded in a video room (`{"kind": "video-recording" or
"composition", "sid", "room"}`) or a chat message (`{"kind": "chat-message", "sid", "conversation"}`); no URL is ever
taken from anybody. What fails comes again, and after so many times it is set aside in the dead letters, with Twilio's
copy untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parley import log, work
from parley.archiving import archive_recording
from parley.chatlog import archive_chat
from parley.core.sids import SidError
from parley.messages import archive_message
from parley.videos import archive_video

NAME = "archive"

_WORK = {
    "recording": archive_recording,
    "message": archive_message,
    "video-recording": archive_video,
    "composition": archive_video,
    "chat-message": archive_chat,
}


def handle(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Archive what a batch of the queue names, and answer what failed."""
    return work.take(event, _archive, name=NAME)


def _archive(message: work.Message) -> None:
    archive = _WORK.get(str(message.get("kind")), _refuse)
    try:
        archive(message)
    except SidError:
        # It will never be another one, however often it comes.
        log.emit("message-unreadable", "ERROR", handler=NAME)


def _refuse(_message: work.Message) -> None:
    raise SidError("names nothing that is archived")
