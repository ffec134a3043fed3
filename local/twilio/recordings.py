"""Recordings of calls: started, paused, ended, finished, deleted (https://www.twilio.com/docs/voice/api/recording).

A recording belongs to a call's parent leg. While it is under way time becomes its parts; when it ends it is
`processing`, and then `completed`, or `absent` when there is nothing to keep. Deleting takes the sound away at once;
the metadata stays for 40 days, for those who ask with IncludeSoftDeleted.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from local.twilio import audio, payloads
from local.twilio.callbacks import Notice
from local.twilio.errors import TwilioError
from local.twilio.moments import Window
from local.twilio.state import Call, Recording, Transcription, new_sid
from local.twilio.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.twilio.state import State

UNDER_WAY: Final = frozenset({"in-progress", "paused"})
KEPT_DELETED_SECONDS: Final = 40 * 86400
"""How long the metadata of a deleted recording can be read (changelog of 2022-03-03)."""
MINIMUM_FRAMES: Final = audio.RATE
"""What is shorter is not kept: 16101. The real minimum is documented nowhere; a second here."""
CURRENT: Final = "Twilio.CURRENT"
EVENTS: Final = frozenset({"in-progress", "completed", "absent"})
CHANNELS: Final = {"mono": 1, "dual": 2}
TRACKS: Final = frozenset({"both", "inbound", "outbound"})
TRIMS: Final = frozenset({"do-not-trim", "trim-silence"})
_TOLD: Final = ("completed",)
"""The events of a RecordingStatusCallback that names none."""
_TOO_SHORT: Final = 16101
_SILENT: Final = 16102


@dataclass(frozen=True, slots=True)
class Order:
    """How somebody wants a call to be recorded."""

    channels: int = 1
    track: str = "both"
    trim: str = "do-not-trim"
    callback_url: str | None = None
    callback_events: tuple[str, ...] = _TOLD
    source: str = "StartCallRecordingAPI"


def order(form: Mapping[str, str], events: Iterable[str]) -> Order:
    """Return the order in a form's fields, with the RecordingStatusCallbackEvent fields. Raises TwilioError 20001."""
    named = tuple(name for field in events for name in field.split()) or _TOLD
    if not EVENTS.issuperset(named):
        raise TwilioError(20001, "RecordingStatusCallbackEvent must be in-progress, completed or absent")
    if form.get("RecordingConfigurationId"):
        raise TwilioError(20001, "RecordingConfigurationId: recording configurations are not emulated")
    if form.get("RecordingStatusCallbackMethod", "POST") != "POST":
        raise TwilioError(20001, "RecordingStatusCallbackMethod: only POST is emulated")
    url = form.get("RecordingStatusCallback") or None
    if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        raise TwilioError(20001, "RecordingStatusCallback must be an http or https URL")
    return Order(
        CHANNELS[_choice(form, "RecordingChannels", CHANNELS, "mono")],
        _choice(form, "RecordingTrack", TRACKS, "both"),
        _choice(form, "Trim", TRIMS, "do-not-trim"),
        url,
        named,
    )


class Recordings:
    """The account's recordings of calls. Not thread-safe: the caller holds the carrier's lock.

    `tell` takes what goes to a RecordingStatusCallback.
    """

    def __init__(self, state: State, now: Callable[[], float], tell: Callable[[Notice], None]) -> None:
        self._state = state
        self._now = now
        self._tell = tell
        self._of_call: defaultdict[str, list[str]] = defaultdict(list)
        self._processing = {sid for sid, record in state.recordings.items() if record.status == "processing"}
        deleted = [record for record in state.recordings.values() if record.deleted is not None]
        self._deleted = deque(record.sid for record in sorted(deleted, key=lambda record: record.deleted or 0.0))
        for record in state.recordings.values():
            self._of_call[record.call_sid].append(record.sid)

    # Reading --------------------------------------------------------------------------------------------------

    def fetch(self, account_sid: str, sid: str, *, deleted: bool = False) -> Recording:
        """Return a recording; one that was deleted only if `deleted`. Raises TwilioError 20404."""
        record = self._state.recordings.get(sid)
        if record is None or record.account_sid != account_sid or not self._shown(record, deleted=deleted):
            raise TwilioError(20404, f"Recordings/{sid}")
        return record

    def search(self, account_sid: str, query: Mapping[str, str]) -> list[Recording]:
        """Return the recordings that satisfy CallSid, DateCreated (with `<` and `>`) and IncludeSoftDeleted."""
        window = Window(query, "DateCreated")
        deleted = query.get("IncludeSoftDeleted", "").lower() == "true"
        if query.get("ConferenceSid"):
            return []
        call_sid = query.get("CallSid")
        records = self.of_call(call_sid) if call_sid else self._state.recordings.values()
        return [
            record
            for record in records
            if record.account_sid == account_sid
            and self._shown(record, deleted=deleted)
            and window.holds(record.created)
        ]

    def of_call(self, call_sid: str) -> list[Recording]:
        """Return the recordings of a call's parent leg, the deleted ones among them."""
        return [self._state.recordings[sid] for sid in self._of_call.get(call_sid, ())]

    def current(self, call_sid: str) -> Recording:
        """Return the one recording of a call that is under way. Raises TwilioError 20404 (none) or 16108 (several)."""
        found = [record for record in self.of_call(call_sid) if record.status in UNDER_WAY]
        if not found:
            raise TwilioError(20404, f"Calls/{call_sid}/Recordings/{CURRENT}")
        if len(found) > 1:
            raise TwilioError(16108, f"Calls/{call_sid}")
        return found[0]

    def sound(self, record: Recording) -> audio.Sound:
        """Return what was recorded. Raises TwilioError 20404 unless the recording is completed."""
        if record.status != "completed":
            raise TwilioError(20404, f"the media of Recordings/{record.sid}, which is {record.status}")
        return audio.Sound(record.sid, tuple((kind, frames) for kind, frames in record.parts))

    def _shown(self, record: Recording, *, deleted: bool) -> bool:
        if record.deleted is None:
            return True
        return deleted and self._now() < record.deleted + KEPT_DELETED_SECONDS

    # Under way ------------------------------------------------------------------------------------------------

    def start(self, legs: list[Call], wish: Order) -> Recording:
        """Start to record a call, its parent leg first in `legs`. Raises TwilioError 21220 unless both sides are up."""
        root, *children = legs
        live = [leg for leg in children if leg.status == "in-progress"]
        if root.status != "in-progress" or (children and not live):
            raise TwilioError(21220, f"Calls/{root.sid} is not in progress on both legs")
        record = self._add(root.account_sid, root.sid, wish, self._now(), "in-progress")
        self._call_back(record)
        return record

    def update(self, record: Recording, form: Mapping[str, str]) -> Recording:
        """Pause, resume or stop a recording by Status and PauseBehavior. Raises TwilioError 20001 or 21220 (ended)."""
        status = form.get("Status")
        if status not in UNDER_WAY | {"stopped"}:
            raise TwilioError(20001, "Status must be paused, in-progress or stopped")
        behavior = _choice(form, "PauseBehavior", {"skip", "silence"}, "silence")
        if record.status not in UNDER_WAY:
            raise TwilioError(21220, f"Recordings/{record.sid} is {record.status}")
        now = self._now()
        self._grow(record, now)
        if status == "stopped":
            self._end(record, now)
        else:
            record.status, record.updated = status, now
            if status == "paused":
                record.pause_behavior = behavior
        return record

    def call_ended(self, call: Call) -> None:
        """End what is under way of a call whose parent leg has ended."""
        for record in self.of_call(call.sid):
            if record.status in UNDER_WAY:
                self._grow(record, call.ended or self._now())
                self._end(record, self._now())

    def _add(self, account_sid: str, call_sid: str, wish: Order, moment: float, status: str) -> Recording:
        record = Recording(
            sid=new_sid("RE"),
            account_sid=account_sid,
            call_sid=call_sid,
            status=status,
            channels=wish.channels,
            source=wish.source,
            track=wish.track,
            started=moment,
            created=moment,
            updated=moment,
            since=moment,
            seq=self._state.next_seq(),
            trim=wish.trim,
            callback_url=wish.callback_url,
            callback_events=list(wish.callback_events),
        )
        self._state.recordings[record.sid] = record
        self._of_call[call_sid].append(record.sid)
        return record

    def _grow(self, record: Recording, moment: float) -> None:
        """Turn the time since the last change into a part: sound, or silence for a pause that is not skipped."""
        frames = round((moment - record.since) * audio.RATE)
        kind = "sound" if record.status == "in-progress" else record.pause_behavior
        if frames > 0 and kind != "skip":
            record.parts.append((kind, frames))
        record.since = max(moment, record.since)

    def _end(self, record: Recording, now: float) -> None:
        record.status, record.updated = "processing", now
        self._processing.add(record.sid)

    # Afterwards -----------------------------------------------------------------------------------------------

    def settle(self, seconds: float) -> None:
        """Make final what has been `processing` for that long, and forget what was deleted 40 days ago."""
        now = self._now()
        due = [self._state.recordings[sid] for sid in self._processing]
        due = sorted((record for record in due if record.updated + seconds <= now), key=lambda record: record.seq)
        for record in due:
            self._finish(record, now)
        self._purge()

    def _finish(self, record: Recording, now: float) -> None:
        """Make a recording `completed`, or `absent` with the code of its reason, and tell."""
        self._processing.discard(record.sid)
        if record.trim == "trim-silence":
            record.parts = audio.trimmed(record.parts)
        record.frames, record.updated = sum(frames for _, frames in record.parts), now
        if all(kind == "silence" for kind, _ in record.parts) and record.parts:
            record.status, record.error_code = "absent", _SILENT
        elif record.frames < MINIMUM_FRAMES:
            record.status, record.error_code = "absent", _TOO_SHORT
        else:
            record.status = "completed"
        if record.status == "absent":
            record.parts, record.frames = [], 0
        self._call_back(record)

    def _call_back(self, record: Recording) -> None:
        """Note what is now so for the callback, if it was asked for; it may be something else when that goes out."""
        if record.callback_url is None:
            return
        webhook = Webhook("recording", record.account_sid, record.callback_url, payloads.recording_status(record))
        wanted = webhook if record.status in record.callback_events else None
        self._tell(Notice(record.call_sid, record.sid, record.status != "in-progress", wanted))

    def put(self, call: Call, wish: Order, frames: int, started: float, status: str) -> Recording:
        """Add a recording that began at `started` and has this status already; for scripts, which need no long call."""
        record = self._add(call.account_sid, call.sid, wish, started, "in-progress")
        if status in UNDER_WAY:
            record.status = status
            return record
        record.parts = [("sound", frames)] if frames and status != "absent" else []
        self._end(record, min(started + frames / audio.RATE, self._now()))
        if status != "processing":
            self._finish(record, record.updated)
        return record

    def delete(self, record: Recording) -> None:
        """Delete a recording with its sound. Raises TwilioError 20009 (here with status 400) before it is final."""
        if record.status in UNDER_WAY | {"processing"}:
            raise TwilioError(20009, f"Recordings/{record.sid} is {record.status}", status=400)
        record.status, record.parts = "deleted", []
        record.deleted = record.updated = self._now()
        self._deleted.append(record.sid)

    def _purge(self) -> None:
        now = self._now()
        while self._deleted:
            record = self._state.recordings[self._deleted[0]]
            if record.deleted is None or now < record.deleted + KEPT_DELETED_SECONDS:
                return
            self._of_call[record.call_sid].remove(record.sid)
            del self._state.recordings[self._deleted.popleft()]

    # Transcriptions -------------------------------------------------------------------------------------------

    def transcribe(self, record: Recording, text: str) -> Transcription:
        """Add a transcription of a recording."""
        now = self._now()
        transcription = Transcription(
            new_sid("TR"),
            record.account_sid,
            record.sid,
            text,
            audio.whole_seconds(record.frames) or 0,
            now,
            now,
            self._state.next_seq(),
        )
        self._state.transcriptions[transcription.sid] = transcription
        return transcription

    def transcriptions(self, account_sid: str, recording_sid: str | None = None) -> list[Transcription]:
        """Return an account's transcriptions, or those of one recording."""
        return [
            transcription
            for transcription in self._state.transcriptions.values()
            if transcription.account_sid == account_sid and recording_sid in {None, transcription.recording_sid}
        ]

    def transcription(self, account_sid: str, sid: str, recording_sid: str | None = None) -> Transcription:
        """Return a transcription, of this recording if it is given. Raises TwilioError 20404."""
        found = self._state.transcriptions.get(sid)
        if found is None or found.account_sid != account_sid or recording_sid not in {None, found.recording_sid}:
            raise TwilioError(20404, f"Transcriptions/{sid}")
        return found

    def delete_transcription(self, transcription: Transcription) -> None:
        """Delete a transcription; its recording stays."""
        del self._state.transcriptions[transcription.sid]


def _choice(form: Mapping[str, str], name: str, allowed: Iterable[str], default: str) -> str:
    value = form.get(name) or default
    choices = sorted(allowed)
    if value not in choices:
        raise TwilioError(20001, f"{name} must be one of {', '.join(choices)}")
    return value
