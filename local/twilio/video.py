"""Video Rooms: who is in them, and what is recorded (https://www.twilio.com/docs/video/api).

Nothing is seen or heard: a participant publishes tracks, and a track that the room's Recording Rules include is
recorded for as long as it is published. A room that nobody is in is completed after its timeout, 5 minutes by
default. Documented nowhere, and so here: of several matching rules the last one counts; the metadata of a deleted
recording stay, with the status `deleted`, and deleting it again is 404.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from local.twilio import matroska, room_events
from local.twilio.errors import TwilioError
from local.twilio.moments import parse_moment
from local.twilio.state import Room, RoomParticipant, TrackRecording, new_sid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.twilio.callbacks import Notice
    from local.twilio.content import Content
    from local.twilio.state import State

KINDS: Final = ("audio", "video")
_RULE_KEYS: Final = frozenset({"type", "all", "publisher", "track", "kind"})
MOST_RULES: Final = 20
"""Of a room (https://www.twilio.com/docs/api/errors/53120)."""
_EVERYTHING: Final = {"type": "include", "all": True}
_NOTHING: Final = {"type": "exclude", "all": True}


class Video:
    """The account's rooms, their recordings and compositions. Not thread-safe: the caller holds the carrier's lock.

    `tell` takes what goes to a StatusCallback.
    """

    def __init__(self, state: State, now: Callable[[], float], tell: Callable[[Notice], None]) -> None:
        self._state = state
        self._now = now
        self._tell = tell
        self._open = {room.sid: room for room in state.rooms.values() if room.status == "in-progress"}
        self._members: defaultdict[str, list[RoomParticipant]] = defaultdict(list)
        for participant in state.room_participants.values():
            self._members[participant.room_sid].append(participant)
        self._captured: defaultdict[str, list[TrackRecording]] = defaultdict(list)
        for recording in state.track_recordings.values():
            self._captured[recording.room_sid].append(recording)

    # Rooms ----------------------------------------------------------------------------------------------------

    def room(self, account_sid: str, key: str) -> Room:
        """Return a room by its SID, or by its name while it is in progress. Raises TwilioError 20404."""
        room = self._state.rooms.get(key) or self._named(account_sid, key)
        if room is None or room.account_sid != account_sid:
            raise TwilioError(20404, f"/Rooms/{key}")
        return room

    def rooms(self, account_sid: str, query: Mapping[str, str]) -> list[Room]:
        """Return the rooms that satisfy Status (default: in-progress), UniqueName and DateCreatedAfter/Before."""
        status, name = query.get("Status", "in-progress"), query.get("UniqueName")
        created = created_within(query)
        return [
            room
            for room in self._state.rooms.values()
            if room.account_sid == account_sid
            and room.status == status
            and name in {None, room.unique_name}
            and created(room.created)
        ]

    def create(self, account_sid: str, form: Mapping[str, str]) -> Room:
        """Create a room. Raises TwilioError 20001 or 53113 (a room of that name is in progress)."""
        sid, now = new_sid("RM"), self._now()
        name = form.get("UniqueName") or sid
        if self._named(account_sid, name):
            raise TwilioError(53113)
        if form.get("StatusCallbackMethod", "POST") != "POST":
            raise TwilioError(20001, "StatusCallbackMethod: only POST is emulated")
        record = form.get("RecordParticipantsOnConnect", "false").lower() == "true"
        room = Room(
            sid,
            account_sid,
            name,
            now,
            now,
            now,
            self._state.next_seq(),
            status_callback=status_callback(form),
            rules=_rules(form["RecordingRules"])
            if form.get("RecordingRules")
            else [_EVERYTHING if record else _NOTHING],
            record_on_connect=record,
            max_participants=_whole(form, "MaxParticipants", 50),
            empty_minutes=_whole(form, "EmptyRoomTimeout", 5),
            unused_minutes=_whole(form, "UnusedRoomTimeout", 5),
        )
        self._state.rooms[sid] = self._open[sid] = room
        self._note(room, "room-created")
        return room

    def complete(self, room: Room, moment: float | None = None) -> Room:
        """End a room, at `moment` or now: everybody leaves, and what was recorded is completed."""
        if room.status != "in-progress":
            raise TwilioError(53112)
        for participant in self._present(room):
            self.leave(participant)
        del self._open[room.sid]
        room.status, room.updated = "completed", self._now()
        room.ended = room.updated if moment is None else moment
        self._note(room, "room-ended")
        return room

    def settle(self) -> None:
        """Complete the rooms that have been empty or unused for too long."""
        now = self._now()
        for room in list(self._open.values()):
            used = self._members.get(room.sid)
            moment = room.idle_since + 60 * (room.empty_minutes if used else room.unused_minutes)
            if moment <= now and not self._present(room):
                self.complete(room, moment)

    def _named(self, account_sid: str, name: str) -> Room | None:
        live = (room for room in self._open.values() if room.account_sid == account_sid)
        return next((room for room in live if room.unique_name == name), None)

    def _note(self, room: Room, event: str, **more: str) -> None:
        room.events += 1
        if room.status_callback is not None:
            self._tell(room_events.of_room(room, event, self._now(), more))

    # Participants ---------------------------------------------------------------------------------------------

    def participants(self, room: Room, query: Mapping[str, str]) -> list[RoomParticipant]:
        """Return a room's participants by Status, Identity and DateCreatedAfter/Before.

        Without a Status they are those who are connected while the room is in progress, and everybody afterwards.
        """
        status = query.get("Status") or ("connected" if room.status == "in-progress" else "disconnected")
        created, identity = created_within(query), query.get("Identity")
        return [
            participant
            for participant in self._members.get(room.sid, ())
            if participant.status == status
            and identity in {None, participant.identity}
            and created(participant.created)
        ]

    def _present(self, room: Room) -> list[RoomParticipant]:
        return [participant for participant in self._members.get(room.sid, ()) if participant.status == "connected"]

    def participant(self, room: Room, key: str) -> RoomParticipant:
        """Return a participant by SID, or by identity while connected. Raises TwilioError 20404."""
        found = self._state.room_participants.get(key)
        if found is None or found.room_sid != room.sid:
            found = next((present for present in self._present(room) if present.identity == key), None)
        if found is None:
            raise TwilioError(20404, f"/Rooms/{room.sid}/Participants/{key}")
        return found

    def join(self, account_sid: str, name: str, identity: str, kinds: Iterable[str] = KINDS) -> RoomParticipant:
        """Let somebody's app join a room, and publish a track of each of these kinds.

        A name that no room in progress has makes a room, as an account allows its apps by default: so whoever holds a
        token for a room's name joins a new room of that name when the old one is completed.
        Joining twice with one identity disconnects the first. Raises TwilioError 53105 (the room is full) or 53118.
        """
        room = (
            self._state.rooms.get(name)
            or self._named(account_sid, name)
            or self.create(account_sid, {"UniqueName": name})
        )
        if room.account_sid != account_sid or room.status != "in-progress":
            raise TwilioError(53118)
        for present in self._present(room):
            if present.identity == identity:
                self.leave(present)
        if len(self._present(room)) >= room.max_participants:
            raise TwilioError(53105)
        now = self._now()
        participant = RoomParticipant(new_sid("PA"), room.sid, account_sid, identity, now, now, self._state.next_seq())
        participant.tracks = [{"sid": new_sid("MT"), "kind": kind, "name": kind} for kind in kinds]
        self._state.room_participants[participant.sid] = participant
        self._members[room.sid].append(participant)
        self._note(room, "participant-connected", **room_events.of_participant(participant))
        for track in participant.tracks:
            self._note(room, "track-added", **room_events.of_participant(participant), **room_events.of_track(track))
        self._apply_rules(room)
        return participant

    def leave(self, participant: RoomParticipant) -> RoomParticipant:
        """Let a participant go, or make them. What was recorded of them is completed."""
        if participant.status != "connected":
            return participant
        room = self._state.rooms[participant.room_sid]
        participant.status, participant.ended, participant.updated = "disconnected", self._now(), self._now()
        for recording in self._under_way(room):
            if recording.participant_sid == participant.sid:
                self._end(room, recording)
        room.idle_since = self._now()
        self._note(room, "participant-disconnected", **room_events.of_participant(participant))
        return participant

    def anonymize(self, participant: RoomParticipant) -> RoomParticipant:
        """Replace a participant's identity by their SID."""
        participant.identity, participant.updated = participant.sid, self._now()
        return participant

    # Recordings -----------------------------------------------------------------------------------------------

    def set_rules(self, room: Room, text: str) -> Room:
        """Set a room's Recording Rules, which start and stop recordings at once. Raises TwilioError 53112 or 53120."""
        if room.status != "in-progress":
            raise TwilioError(53112)
        room.rules, room.rules_updated = _rules(text), self._now()
        self._apply_rules(room)
        return room

    def _apply_rules(self, room: Room) -> None:
        under_way = {recording.track_sid: recording for recording in self._under_way(room)}
        for participant in self._present(room):
            for track in participant.tracks:
                wanted, recording = _included(room.rules, participant, track), under_way.get(track["sid"])
                if wanted and recording is None:
                    self._start(room, participant, track)
                elif recording is not None and not wanted:
                    self._end(room, recording)

    def _under_way(self, room: Room) -> list[TrackRecording]:
        return [recording for recording in self._captured.get(room.sid, ()) if recording.status == "processing"]

    def _start(self, room: Room, participant: RoomParticipant, track: Mapping[str, str]) -> TrackRecording:
        recording = self._add(room, participant, track, self._now())
        self._note(room, "recording-started", **room_events.of_recording(recording, participant))
        return recording

    def _add(
        self, room: Room, participant: RoomParticipant, track: Mapping[str, str], created: float
    ) -> TrackRecording:
        recording = TrackRecording(
            new_sid("RT"),
            room.sid,
            participant.sid,
            room.account_sid,
            track["sid"],
            track["name"],
            track["kind"],
            created,
            self._state.next_seq(),
        )
        self._state.track_recordings[recording.sid] = recording
        self._captured[room.sid].append(recording)
        return recording

    def _end(self, room: Room, recording: TrackRecording) -> None:
        recording.status, recording.seconds = "completed", max(1.0, self._now() - recording.created)
        participant = self._state.room_participants[recording.participant_sid]
        self._note(room, "recording-completed", **room_events.of_recording(recording, participant))

    def put(self, participant: RoomParticipant, kind: str, seconds: float, age: float) -> TrackRecording:
        """Add a completed recording of `seconds` that began `age` ago; for scripts."""
        room = self._state.rooms[participant.room_sid]
        track = {"sid": new_sid("MT"), "kind": kind, "name": kind}
        recording = self._add(room, participant, track, self._now() - age)
        recording.status, recording.seconds = "completed", seconds
        self._note(room, "recording-completed", **room_events.of_recording(recording, participant))
        return recording

    def recording(self, account_sid: str, sid: str, room: Room | None = None) -> TrackRecording:
        """Return a recording, of this room if it is given. Raises TwilioError 20404."""
        found = self._state.track_recordings.get(sid)
        if found is None or found.account_sid != account_sid or (room is not None and found.room_sid != room.sid):
            raise TwilioError(20404, f"/Recordings/{sid}")
        return found

    def recordings(self, account_sid: str, query: Mapping[str, str], groups: Iterable[str]) -> list[TrackRecording]:
        """Return the recordings by Status, SourceSid, MediaType, DateCreatedAfter/Before and all GroupingSids."""
        created = created_within(query)
        exact = {"Status": "status", "SourceSid": "track_sid", "MediaType": "kind"}
        wanted = [(attribute, query[name]) for name, attribute in exact.items() if query.get(name)]
        grouping = set(groups)
        return [
            recording
            for recording in self._state.track_recordings.values()
            if recording.account_sid == account_sid
            and all(getattr(recording, attribute) == value for attribute, value in wanted)
            and grouping <= {recording.room_sid, recording.participant_sid}
            and created(recording.created)
        ]

    def delete_recording(self, recording: TrackRecording) -> None:
        """Delete the media of a recording. Raises TwilioError 20009 while it is captured, 20404 if it was deleted."""
        if recording.status == "processing":
            raise TwilioError(20009, f"/Recordings/{recording.sid}", status=400)
        if recording.status == "deleted":
            raise TwilioError(20404, f"/Recordings/{recording.sid}")
        recording.status = "deleted"

    def media(self, recording: TrackRecording) -> Content:
        """Return the file of a recording. Raises TwilioError 20404 unless it is completed."""
        if recording.status != "completed":
            raise TwilioError(20404, f"the media of /Recordings/{recording.sid}, which is {recording.status}")
        return matroska.file(recording.sid, recording.kind, recording.seconds)

    def captured(self, room: Room) -> list[TrackRecording]:
        """Return the recordings of a room, the deleted ones among them."""
        return list(self._captured.get(room.sid, ()))


def created_within(query: Mapping[str, str]) -> Callable[[float], bool]:
    """Return the test for DateCreatedAfter (on or after) and DateCreatedBefore (before). Raises TwilioError 20001."""
    bounds = [
        parse_moment(name, query[name]) if query.get(name) else None
        for name in ("DateCreatedAfter", "DateCreatedBefore")
    ]
    after, before = bounds
    return lambda moment: (after is None or moment >= after) and (before is None or moment < before)


def _rules(text: str) -> list[dict[str, Any]]:
    try:
        rules = json.loads(text)
    except ValueError:
        raise TwilioError(53120, "Rules must be JSON") from None
    if not isinstance(rules, list) or not all(isinstance(rule, dict) and _is_rule(rule) for rule in rules):
        raise TwilioError(53120, "Rules is a list of objects with type and one or more of all, publisher, track, kind")
    if not 0 < len(rules) <= MOST_RULES:
        raise TwilioError(53120, f"Rules is a list of 1 to {MOST_RULES} rules")
    return rules


def _is_rule(rule: Mapping[str, Any]) -> bool:
    if "all" in rule and (rule["all"] is not True or set(rule) != {"type", "all"}):
        return False
    return rule.get("type") in {"include", "exclude"} and len(rule) > 1 and set(rule) <= _RULE_KEYS


def _included(rules: list[dict[str, Any]], participant: RoomParticipant, track: Mapping[str, str]) -> bool:
    included = False
    for rule in rules:
        matches = (
            rule.get("publisher") in {None, participant.identity, participant.sid}
            and rule.get("track") in {None, track["name"], track["sid"]}
            and rule.get("kind") in {None, track["kind"]}
        )
        if matches:
            included = rule["type"] == "include"
    return included


def status_callback(form: Mapping[str, str]) -> str | None:
    """Return where a room's or a composition's events are told. Raises TwilioError 20001."""
    url = form.get("StatusCallback") or None
    if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        raise TwilioError(20001, "StatusCallback must be an http or https URL")
    return url


def _whole(form: Mapping[str, str], name: str, default: int) -> int:
    text = form.get(name) or str(default)
    if not text.isdigit():
        raise TwilioError(20001, f"{name} must be a whole number")
    return int(text)
