"""video.twilio.com/v1: rooms, participants, recordings, compositions (https://www.twilio.com/docs/video/api)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from local.twilio import matroska, paging
from local.twilio.errors import TwilioError
from local.twilio.moments import iso8601
from local.twilio.routes import Answer, Exchange, Redirect, Routes
from local.twilio.signing import sign_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.twilio.content import Content
    from local.twilio.paging import Record
    from local.twilio.state import Composition, Room, RoomParticipant, TrackRecording

ROUTES: Final = Routes("video")
URL: Final = "https://video.twilio.com/v1"
LARGEST_PAGE: Final = 100
LINK_SECONDS: Final = 3600
"""How long a link to media can be followed, unless the request says another Ttl."""
_ROOM: Final = "/v1/Rooms/<room>"
_PARTICIPANT: Final = f"{_ROOM}/Participants/<participant>"
_SETTINGS: Final = {"RecordingSettings": "recordings", "CompositionSettings": "compositions"}


def _page(
    exchange: Exchange,
    key: str,
    records: Iterable[Record],
    show: Callable[[Record], dict[str, Any]],
    several: Mapping[str, list[str]] = MappingProxyType({}),
) -> Answer:
    """Return a page; `several` are the filters that may be there more than once."""
    url = f"https://video.twilio.com{exchange.path}"
    return 200, paging.v1(url, key, records, {**exchange.query, **several}, show, LARGEST_PAGE)


# Rooms --------------------------------------------------------------------------------------------------------


@ROUTES.add("POST", "/v1/Rooms")
def create_room(exchange: Exchange) -> Answer:
    """Create a room."""
    return 201, _room(exchange.carrier.video.create(exchange.account.sid, exchange.form))


@ROUTES.add("GET", "/v1/Rooms")
def list_rooms(exchange: Exchange) -> Answer:
    """List rooms by Status, UniqueName and DateCreatedAfter/Before."""
    return _page(exchange, "rooms", exchange.carrier.video.rooms(exchange.account.sid, exchange.query), _room)


@ROUTES.add("GET", _ROOM)
def fetch_room(exchange: Exchange, room: str) -> Answer:
    """Fetch a room by SID, or by name while it is in progress."""
    return 200, _room(_found(exchange, room))


@ROUTES.add("POST", _ROOM)
def update_room(exchange: Exchange, room: str) -> Answer:
    """Complete a room."""
    if exchange.form.get("Status") != "completed":
        raise TwilioError(20001, "Status must be completed")
    return 200, _room(exchange.carrier.video.complete(_found(exchange, room)))


def _found(exchange: Exchange, key: str) -> Room:
    return exchange.carrier.video.room(exchange.account.sid, key)


# Participants -------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_ROOM}/Participants")
def list_participants(exchange: Exchange, room: str) -> Answer:
    """List a room's participants by Status, Identity and DateCreatedAfter/Before."""
    found = exchange.carrier.video.participants(_found(exchange, room), exchange.query)
    return _page(exchange, "participants", found, _participant)


@ROUTES.add("GET", _PARTICIPANT)
def fetch_participant(exchange: Exchange, room: str, participant: str) -> Answer:
    """Fetch a participant by SID, or by identity while connected."""
    return 200, _participant(exchange.carrier.video.participant(_found(exchange, room), participant))


@ROUTES.add("POST", _PARTICIPANT)
def update_participant(exchange: Exchange, room: str, participant: str) -> Answer:
    """Make a participant leave."""
    if exchange.form.get("Status") != "disconnected":
        raise TwilioError(20001, "Status must be disconnected")
    video = exchange.carrier.video
    return 200, _participant(video.leave(video.participant(_found(exchange, room), participant)))


@ROUTES.add("POST", f"{_PARTICIPANT}/Anonymize")
def anonymize_participant(exchange: Exchange, room: str, participant: str) -> Answer:
    """Replace a participant's identity by their SID."""
    video = exchange.carrier.video
    return 200, _participant(video.anonymize(video.participant(_found(exchange, room), participant)))


# Recording rules and recordings -------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_ROOM}/RecordingRules")
def fetch_rules(exchange: Exchange, room: str) -> Answer:
    """Fetch a room's Recording Rules."""
    return 200, _rules(_found(exchange, room))


@ROUTES.add("POST", f"{_ROOM}/RecordingRules")
def update_rules(exchange: Exchange, room: str) -> Answer:
    """Set a room's Recording Rules; recordings start and stop at once. The answer is 202."""
    return 202, _rules(exchange.carrier.video.set_rules(_found(exchange, room), exchange.form.get("Rules", "")))


@ROUTES.add("GET", "/v1/Recordings")
def list_recordings(exchange: Exchange) -> Answer:
    """List recordings by Status, SourceSid, MediaType, GroupingSid and DateCreatedAfter/Before."""
    groups = exchange.arguments.getlist("GroupingSid")
    found = exchange.carrier.video.recordings(exchange.account.sid, exchange.query, groups)
    return _page(exchange, "recordings", found, _recording, {"GroupingSid": groups} if groups else {})


@ROUTES.add("GET", f"{_ROOM}/Recordings")
def list_room_recordings(exchange: Exchange, room: str) -> Answer:
    """List a room's recordings by Status, SourceSid and DateCreatedAfter/Before."""
    found = exchange.carrier.video.recordings(exchange.account.sid, exchange.query, [_found(exchange, room).sid])
    return _page(exchange, "recordings", found, _room_recording)


@ROUTES.add("GET", "/v1/Recordings/<sid>")
def fetch_recording(exchange: Exchange, sid: str) -> Answer:
    """Fetch a recording; one that was deleted reads `deleted`."""
    return 200, _recording(exchange.carrier.video.recording(exchange.account.sid, sid))


@ROUTES.add("GET", f"{_ROOM}/Recordings/<sid>")
def fetch_room_recording(exchange: Exchange, room: str, sid: str) -> Answer:
    """Fetch one of a room's recordings."""
    found = exchange.carrier.video.recording(exchange.account.sid, sid, _found(exchange, room))
    return 200, _room_recording(found)


@ROUTES.add("DELETE", "/v1/Recordings/<sid>")
def delete_recording(exchange: Exchange, sid: str) -> Answer:
    """Delete the media of a recording."""
    video = exchange.carrier.video
    video.delete_recording(video.recording(exchange.account.sid, sid))
    return 204, None


@ROUTES.add("DELETE", f"{_ROOM}/Recordings/<sid>")
def delete_room_recording(exchange: Exchange, room: str, sid: str) -> Answer:
    """Delete the media of one of a room's recordings."""
    video = exchange.carrier.video
    video.delete_recording(video.recording(exchange.account.sid, sid, _found(exchange, room)))
    return 204, None


# Compositions -------------------------------------------------------------------------------------------------


@ROUTES.add("POST", "/v1/Compositions")
def create_composition(exchange: Exchange) -> Answer:
    """Have a completed room's recordings mixed into one file."""
    return 201, _composition(exchange.carrier.compositions.compose(exchange.account.sid, exchange.form))


@ROUTES.add("GET", "/v1/Compositions")
def list_compositions(exchange: Exchange) -> Answer:
    """List compositions by Status, RoomSid and DateCreatedAfter/Before."""
    found = exchange.carrier.compositions.search(exchange.account.sid, exchange.query)
    return _page(exchange, "compositions", found, _composition)


@ROUTES.add("GET", "/v1/Compositions/<sid>")
def fetch_composition(exchange: Exchange, sid: str) -> Answer:
    """Fetch a composition; one that was deleted reads `deleted`."""
    return 200, _composition(exchange.carrier.compositions.fetch(exchange.account.sid, sid))


@ROUTES.add("DELETE", "/v1/Compositions/<sid>")
def delete_composition(exchange: Exchange, sid: str) -> Answer:
    """Delete a composition's file."""
    compositions = exchange.carrier.compositions
    compositions.delete(compositions.fetch(exchange.account.sid, sid))
    return 204, None


# Media --------------------------------------------------------------------------------------------------------


@ROUTES.add("GET", "/v1/<any(Recordings, Compositions):kind>/<sid>/Media")
def redirect_to_media(exchange: Exchange, kind: str, sid: str) -> Answer:
    """Answer 302 with a link to the media that needs no login and runs out after Ttl seconds, an hour by default."""
    _media(exchange, kind, sid)
    ttl = exchange.query.get("Ttl", str(LINK_SECONDS))
    if not ttl.isdigit():
        raise TwilioError(20001, "Ttl must be a whole number of seconds")
    path = f"/v1/Media/{kind}/{sid}"
    expires = str(int(exchange.carrier.clock.now()) + int(ttl))
    signature = sign_link(exchange.account.auth_token, path, expires)
    return 302, Redirect(f"{path}?{urlencode({'Expires': expires, 'Signature': signature})}")


@ROUTES.add("GET", "/v1/Media/<any(Recordings, Compositions):kind>/<sid>")
def download(exchange: Exchange, kind: str, sid: str) -> Answer:
    """Return a file; the real one is on another host."""
    return 200, _media(exchange, kind, sid)


def _media(exchange: Exchange, kind: str, sid: str) -> Content:
    carrier, account = exchange.carrier, exchange.account.sid
    if kind == "Recordings":
        return carrier.video.media(carrier.video.recording(account, sid))
    return carrier.compositions.media(carrier.compositions.fetch(account, sid))


# Settings -----------------------------------------------------------------------------------------------------


@ROUTES.add("GET", "/v1/<any(RecordingSettings, CompositionSettings):kind>/Default")
def fetch_settings(exchange: Exchange, kind: str) -> Answer:
    """Fetch where recordings or compositions go."""
    account = exchange.account.sid
    return 200, _settings(account, kind, exchange.carrier.compositions.settings(account, _SETTINGS[kind]))


@ROUTES.add("POST", "/v1/<any(RecordingSettings, CompositionSettings):kind>/Default")
def set_settings(exchange: Exchange, kind: str) -> Answer:
    """Set where recordings or compositions go."""
    account = exchange.account.sid
    made = exchange.carrier.compositions.set_settings(account, _SETTINGS[kind], exchange.form)
    return 201, _settings(account, kind, made)


# Bodies -------------------------------------------------------------------------------------------------------


def _room(record: Room) -> dict[str, Any]:
    url = f"{URL}/Rooms/{record.sid}"
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "unique_name": record.unique_name,
        "status": record.status,
        "type": "group",
        "audio_only": False,
        "duration": None if record.ended is None else round(record.ended - record.created),
        "empty_room_timeout": record.empty_minutes,
        "enable_turn": True,
        "large_room": False,
        "max_concurrent_published_tracks": 170,
        "max_participant_duration": 14400,
        "max_participants": record.max_participants,
        "media_region": "us1",
        "record_participants_on_connect": record.record_on_connect,
        "status_callback": record.status_callback,
        "status_callback_method": "POST",
        "unused_room_timeout": record.unused_minutes,
        "video_codecs": ["VP8", "H264"],
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "end_time": iso8601(record.ended),
        "url": url,
        "links": {
            "participants": f"{url}/Participants",
            "recording_rules": f"{url}/RecordingRules",
            "recordings": f"{url}/Recordings",
        },
    }


def _participant(record: RoomParticipant) -> dict[str, Any]:
    url = f"{URL}/Rooms/{record.room_sid}/Participants/{record.sid}"
    return {
        "sid": record.sid,
        "room_sid": record.room_sid,
        "account_sid": record.account_sid,
        "identity": record.identity,
        "status": record.status,
        "duration": None if record.ended is None else round(record.ended - record.created),
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "start_time": iso8601(record.created),
        "end_time": iso8601(record.ended),
        "url": url,
        "links": {"anonymize": f"{url}/Anonymize"},
    }


def _rules(record: Room) -> dict[str, Any]:
    return {
        "room_sid": record.sid,
        "rules": record.rules,
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.rules_updated or record.created),
    }


def _recording(record: TrackRecording) -> dict[str, Any]:
    finished = record.status != "processing"
    url = f"{URL}/Recordings/{record.sid}"
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "status": record.status,
        "source_sid": record.track_sid,
        "track_name": record.track_name,
        "type": record.kind,
        "codec": {"audio": "OPUS", "video": "VP8"}[record.kind],
        "container_format": {"audio": "mka", "video": "mkv"}[record.kind],
        "duration": round(record.seconds) if finished else None,
        "size": matroska.size(record.kind, record.seconds) if finished else None,
        "offset": round(record.created * 1000),
        "grouping_sids": {"room_sid": record.room_sid, "participant_sid": record.participant_sid},
        "media_external_location": None,
        "status_callback": None,
        "status_callback_method": None,
        "date_created": iso8601(record.created),
        "url": url,
        "links": {"media": f"{url}/Media"},
    }


def _room_recording(record: TrackRecording) -> dict[str, Any]:
    url = f"{URL}/Rooms/{record.room_sid}/Recordings/{record.sid}"
    return _recording(record) | {"room_sid": record.room_sid, "url": url}


def _composition(record: Composition) -> dict[str, Any]:
    url = f"{URL}/Compositions/{record.sid}"
    made = record.completed is not None
    return {
        "sid": record.sid,
        "room_sid": record.room_sid,
        "account_sid": record.account_sid,
        "status": record.status,
        "audio_sources": ["*"],
        "audio_sources_excluded": [],
        "bitrate": 0,
        "duration": round(record.seconds) if made else 0,
        "format": "webm",
        "media_external_location": None,
        "resolution": record.resolution,
        "size": matroska.size("video", record.seconds) if made else 0,
        "status_callback": record.status_callback,
        "status_callback_method": "POST",
        "trim": True,
        "video_layout": {},
        "date_created": iso8601(record.created),
        "date_completed": iso8601(record.completed),
        "date_deleted": iso8601(record.deleted),
        "url": url,
        "links": {"media": f"{url}/Media"},
    }


def _settings(account_sid: str, kind: str, values: dict[str, Any]) -> dict[str, Any]:
    return values | {"account_sid": account_sid, "url": f"{URL}/{kind}/Default"}
