"""The form fields of video's status callbacks (https://www.twilio.com/docs/video/api/status-callbacks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.twilio import matroska
from local.twilio.callbacks import Notice
from local.twilio.moments import iso8601
from local.twilio.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.twilio.state import Composition, Room, RoomParticipant, TrackRecording


def of_room(room: Room, event: str, now: float, more: Mapping[str, str]) -> Notice:
    """Return what to tell about a room; a room that has ended says how long it lasted."""
    fields = {
        "AccountSid": room.account_sid,
        "RoomName": room.unique_name,
        "RoomSid": room.sid,
        "RoomStatus": room.status,
        "RoomType": "group",
        "StatusCallbackEvent": event,
        "Timestamp": iso8601(now) or "",
        "SequenceNumber": str(room.events - 1),
        **more,
    }
    if room.ended is not None:
        fields["RoomDuration"] = str(round(room.ended - room.created))
    webhook = Webhook("room", room.account_sid, room.status_callback or "", fields)
    return Notice(room.sid, room.sid, event == "room-ended", webhook)


def of_participant(participant: RoomParticipant) -> dict[str, str]:
    """Return a participant's fields; one who left says how long they stayed."""
    fields = {
        "ParticipantSid": participant.sid,
        "ParticipantStatus": participant.status,
        "ParticipantIdentity": participant.identity,
    }
    if participant.ended is not None:
        fields["ParticipantDuration"] = str(round(participant.ended - participant.created))
    return fields


def of_track(track: Mapping[str, str]) -> dict[str, str]:
    """Return a track's fields."""
    return {"TrackSid": track["sid"], "TrackKind": track["kind"], "TrackName": track["name"]}


def of_recording(recording: TrackRecording, participant: RoomParticipant) -> dict[str, str]:
    """Return a recording's fields, its length and size once it is completed."""
    fields = {
        "ParticipantSid": participant.sid,
        "ParticipantIdentity": participant.identity,
        "RecordingSid": recording.sid,
        "SourceSid": recording.track_sid,
        "TrackName": recording.track_name,
        "Type": recording.kind,
        "Container": {"audio": "mka", "video": "mkv"}[recording.kind],
        "Codec": {"audio": "OPUS", "video": "VP8"}[recording.kind],
        "OffsetFromTwilioVideoEpoch": str(round(recording.created * 1000)),
    }
    if recording.status == "completed":
        fields |= {
            "MediaUri": f"/v1/Recordings/{recording.sid}/Media",
            "Duration": str(round(recording.seconds)),
            "Size": str(matroska.size(recording.kind, recording.seconds)),
        }
    return fields


def of_composition(composition: Composition, event: str, now: float) -> Notice:
    """Return what to tell about a composition."""
    fields = {
        "AccountSid": composition.account_sid,
        "CompositionSid": composition.sid,
        "CompositionUri": f"/v1/Compositions/{composition.sid}",
        "RoomSid": composition.room_sid,
        "StatusCallbackEvent": event,
        "Timestamp": iso8601(now) or "",
    }
    if event == "composition-available":
        fields |= {
            "MediaUri": f"/v1/Compositions/{composition.sid}/Media",
            "Duration": str(round(composition.seconds)),
            "Size": str(matroska.size("video", composition.seconds)),
        }
    webhook = Webhook("composition", composition.account_sid, composition.status_callback or "", fields)
    return Notice(composition.sid, composition.sid, event == "composition-available", webhook)
