"""What people's apps do in video Rooms and conversations, and recordings that a script puts there directly.

- `POST join` {room, identity, tracks?: [audio|video]} or {token, tracks?} -> {room_sid, participant_sid}: an app joins
  a room by its SID or name; a name that no room in progress has makes one. With an Access Token the app joins as
  whom, and where, the token says, or is refused: 400 with {error, code};
- `POST leave` {participant_sid} -> {left}: the app leaves;
- `POST track-recordings` {participant_sid, kind?: audio|video, seconds?, age?: s, count?} -> {recordings: [sid]};
- `POST say` {conversation, identity, body, attributes?} or {conversation, token, body, attributes?} ->
  {message_sid: null if it was refused}: a participant says something in a conversation by its SID or unique name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.twilio import tokens
from local.twilio.chat import Utterance
from local.twilio.errors import TwilioError
from local.twilio.routes.sim_records import number, whole
from local.twilio.simulator import ScriptError
from local.twilio.video import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.twilio.carrier import Carrier
    from local.twilio.emulator import Emulator
    from local.twilio.state import RoomParticipant


def join(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    """Let an app join a room."""
    kinds = body.get("tracks", list(KINDS))
    if not isinstance(kinds, list) or not set(kinds) <= set(KINDS):
        raise ScriptError("`tracks` must be a list of audio and video")
    carrier = emulator.carrier
    with carrier.lock:
        room, identity = _invitation(carrier, body)
        try:
            joined = carrier.video.join(carrier.account_sid, room, identity, kinds)
        except TwilioError as error:
            raise ScriptError(error.message, error.code) from None
    _settle(emulator)
    return {"room_sid": joined.room_sid, "participant_sid": joined.sid}


def _invitation(carrier: Carrier, body: Mapping[str, Any]) -> tuple[str, str]:
    """Return the room and the identity that an app comes with."""
    room, identity = body.get("room"), body.get("identity")
    if body.get("token") is not None:
        granted = _granted(carrier, body, "video")
        room, identity = granted["video"].get("room", room), granted.get("identity")
    if not isinstance(room, str) or not isinstance(identity, str) or not room or not identity:
        raise ScriptError("`room` and `identity` must be texts, or come with `token`")
    return room, identity


def _granted(carrier: Carrier, body: Mapping[str, Any], product: str) -> dict[str, Any]:
    """Return what an app's token grants, this product among it."""
    account = carrier.state.accounts[carrier.account_sid]
    try:
        granted = tokens.grants(str(body["token"]), account, carrier.clock)
    except TwilioError as error:
        raise ScriptError(error.message, error.code) from None
    if product not in granted:
        raise ScriptError(f"the token has no {product} grant", 20101)
    return granted


def leave(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    """Let an app leave its room."""
    with emulator.carrier.lock:
        participant = _participant(emulator.carrier, body)
        left = participant.status == "connected"
        emulator.carrier.video.leave(participant)
    _settle(emulator)
    return {"left": left}


def track_recordings(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    """Put recordings of a participant's tracks into the account."""
    kind, seconds = body.get("kind", "audio"), number(body, "seconds", 10.0)
    if kind not in KINDS:
        raise ScriptError("`kind` must be audio or video")
    with emulator.carrier.lock:
        participant, video = _participant(emulator.carrier, body), emulator.carrier.video
        age = max(number(body, "age", 0.0), seconds)
        made = [video.put(participant, kind, seconds, age) for _ in range(whole(body, "count", 1))]
    _settle(emulator)
    return {"recordings": [recording.sid for recording in made]}


def _participant(carrier: Carrier, body: Mapping[str, Any]) -> RoomParticipant:
    participant = carrier.state.room_participants.get(str(body.get("participant_sid")))
    if participant is None:
        raise ScriptError("no such participant: take `participant_sid` from the answer of POST /_sim/join")
    return participant


def say(emulator: Emulator, body: Mapping[str, Any]) -> dict[str, Any]:
    """Let an app say something in a conversation that its person is in."""
    carrier, identity = emulator.carrier, body.get("identity")
    words, given = body.get("body"), body.get("attributes", "{}")
    if not isinstance(words, str) or not isinstance(given, str):
        raise ScriptError("`body` and `attributes` must be texts")
    try:
        with carrier.lock:
            if body.get("token") is not None:
                identity = _granted(carrier, body, "chat").get("identity")
            conversation = carrier.conversations.fetch(carrier.account_sid, str(body.get("conversation")))
            speaker = carrier.conversations.participant(conversation, str(identity))
        said = Utterance(str(identity), words, "SDK", given, speaker)
        message = emulator.chat.say(conversation, said, hooks=True)
    except TwilioError as error:
        raise ScriptError(error.message, error.code) from None
    _settle(emulator)
    return {"message_sid": None if message is None else message.sid}


def _settle(emulator: Emulator) -> None:
    emulator.callbacks.settle()
    emulator.webhooks.drain()


CALLS: Final[Mapping[str, Callable[[Emulator, Mapping[str, Any]], dict[str, Any]]]] = {
    "join": join,
    "leave": leave,
    "say": say,
    "track-recordings": track_recordings,
}
"""What a script can ask for, by the name in the path."""
