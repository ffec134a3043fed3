"""Twilio Video's StatusCallback: somebody came or left, a recording is done, a room is over.

https://www.twilio.com/docs/video/api/status-callbacks. It only tells, nobody waits for the answer, and what fails is
not repeated: so a room that could not be looked at goes on the function's own queue. A callback is believed only when
signed, and of what it says nothing but SIDs is handed on. Called by its schedule it has every room that goes on looked
at, whatever was told of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from parley import log, rooms, runtime
from parley.core.problem import problem
from parley.core.sids import SidError, check_sid
from parley.ports import QueueError
from parley.web import Answer, Form, MalformedError, Request, answer, guarded, refuse, single, unavailable
from parley.webhook import ForgedError, authenticate
from parley.work import is_work, take

CAME: Final = "participant-connected"
LOOKS: Final = frozenset({"room-created", "room-ended", "participant-disconnected"})
RECORDED: Final = frozenset({"recording-completed", "recording-failed"})
COMPOSED: Final = frozenset({"composition-available"})


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Take a callback, work off what the queue hands over, or, called by the schedule, have every room looked at."""
    if is_work(event):
        return take(event, rooms.check, name="rooms")
    if "requestContext" in event:
        return _hear(event, context)
    return {"going_on": rooms.look_after()}


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    return unavailable("The room could not be looked at.")


@guarded("rooms", _failed)
def _hear(request: Request) -> Answer:
    """Look at the room that something happened in, or hand what was recorded to the archive; answer 204."""
    form = authenticate(request)
    if single(form, "AccountSid") != runtime.environment().twilio_account_sid:
        raise MalformedError("the field AccountSid is another account's")
    room, event = _sid(form, "RoomSid", "RM"), single(form, "StatusCallbackEvent")
    log.emit("room-told", room=room, told=event if event.isascii() and len(event) < 40 else "")
    if event in RECORDED:
        message = {"kind": "video-recording", "sid": _sid(form, "RecordingSid", "RT"), "room": room}
        runtime.queues().send("archive", message)
    elif event in COMPOSED:
        runtime.queues().send(
            "archive", {"kind": "composition", "sid": _sid(form, "CompositionSid", "CJ"), "room": room}
        )
    elif event == CAME or event in LOOKS:
        _look(room, single(form, "ParticipantIdentity") if event == CAME else None)
    return answer(204)


def _look(room: str, identity: str | None) -> None:
    try:
        if identity is None:
            rooms.look(room)
        else:
            rooms.joined(room, identity)
    except Exception:
        try:
            rooms.look_later(room)
        except QueueError as error:
            # The check of the next minute looks at the room all the same.
            log.failure("room-not-queued", error, room=room)
        raise


def _sid(form: Form, name: str, prefix: str) -> str:
    try:
        return check_sid(single(form, name), prefix)
    except SidError:
        raise MalformedError(f"the field {name} is no SID of that kind") from None
