"""Compositions of video Rooms, and where an account's video goes (https://www.twilio.com/docs/video/api).

A composition is made at once. As with recordings, what was deleted stays as metadata with the status `deleted`, and
deleting it again is 404; the pages do not say. Storage settings are kept and told; nothing is ever sent to a bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.twilio import matroska, room_events
from local.twilio.errors import TwilioError
from local.twilio.state import Composition, VideoSettings, new_sid
from local.twilio.video import created_within, status_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.twilio.callbacks import Notice
    from local.twilio.content import Content
    from local.twilio.state import State
    from local.twilio.video import Video

SETTINGS: Final = {
    "AwsCredentialsSid": "aws_credentials_sid",
    "AwsS3Url": "aws_s3_url",
    "AwsStorageEnabled": "aws_storage_enabled",
    "EncryptionKeySid": "encryption_key_sid",
    "EncryptionEnabled": "encryption_enabled",
    "FriendlyName": "friendly_name",
}
_SWITCHES: Final = ("aws_storage_enabled", "encryption_enabled")


class Compositions:
    """The account's compositions. Not thread-safe: the caller holds the carrier's lock.

    `tell` takes what goes to a StatusCallback.
    """

    def __init__(self, state: State, now: Callable[[], float], video: Video, tell: Callable[[Notice], None]) -> None:
        self._state = state
        self._now = now
        self._video = video
        self._tell = tell
        self._enqueued = [made for made in state.compositions.values() if made.status == "enqueued"]

    def compose(self, account_sid: str, form: Mapping[str, str]) -> Composition:
        """Mix a completed room's recordings. Raises TwilioError 20001, 53112 (it is not completed) or 53628."""
        room = self._video.room(account_sid, form.get("RoomSid", ""))
        if room.status != "completed":
            raise TwilioError(53112, "only a completed room is composed")
        sources = self._video.captured(room)
        lengths = [source.seconds for source in sources if source.status == "completed"]
        if not lengths:
            raise TwilioError(53628 if sources else 20001, f"/Rooms/{room.sid} has no recordings")
        composition = Composition(
            new_sid("CJ"),
            room.sid,
            account_sid,
            self._now(),
            self._state.next_seq(),
            max(lengths),
            resolution=form.get("Resolution") or "640x480",
            status_callback=status_callback(form),
        )
        self._state.compositions[composition.sid] = composition
        self._enqueued.append(composition)
        self._note(composition, "composition-enqueued")
        return composition

    def settle(self) -> None:
        """Make what was ordered."""
        for composition in self._enqueued:
            composition.status, composition.completed = "completed", self._now()
            self._note(composition, "composition-started")
            self._note(composition, "composition-available")
        self._enqueued.clear()

    def fetch(self, account_sid: str, sid: str) -> Composition:
        """Return a composition. Raises TwilioError 20404."""
        found = self._state.compositions.get(sid)
        if found is None or found.account_sid != account_sid:
            raise TwilioError(20404, f"/Compositions/{sid}")
        return found

    def search(self, account_sid: str, query: Mapping[str, str]) -> list[Composition]:
        """Return the compositions by Status, RoomSid and DateCreatedAfter/Before."""
        created, status, room_sid = created_within(query), query.get("Status"), query.get("RoomSid")
        return [
            composition
            for composition in self._state.compositions.values()
            if composition.account_sid == account_sid
            and status in {None, composition.status}
            and room_sid in {None, composition.room_sid}
            and created(composition.created)
        ]

    def delete(self, composition: Composition) -> None:
        """Delete a composition's file. Raises TwilioError 20404 if it was deleted."""
        if composition.status == "deleted":
            raise TwilioError(20404, f"/Compositions/{composition.sid}")
        composition.status, composition.deleted = "deleted", self._now()

    def media(self, composition: Composition) -> Content:
        """Return the file. Raises TwilioError 20404 unless it is there."""
        if composition.status != "completed":
            raise TwilioError(20404, f"the media of /Compositions/{composition.sid}, which is {composition.status}")
        return matroska.file(composition.sid, "video", composition.seconds)

    def _note(self, composition: Composition, event: str) -> None:
        if composition.status_callback is not None:
            self._tell(room_events.of_composition(composition, event, self._now()))

    # Storage --------------------------------------------------------------------------------------------------

    def settings(self, account_sid: str, kind: str) -> dict[str, Any]:
        """Return where the account's `recordings` or `compositions` go: the same keys whether set or not."""
        found = self._state.video_settings.get(f"{account_sid}/{kind}")
        unset = dict.fromkeys(SETTINGS.values()) | dict.fromkeys(_SWITCHES, False)
        return unset | (found.values if found else {})

    def set_settings(self, account_sid: str, kind: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Set where they go. Raises TwilioError 20001 without FriendlyName."""
        if not form.get("FriendlyName"):
            raise TwilioError(20001, "FriendlyName is required")
        values: dict[str, Any] = {name: form[key] for key, name in SETTINGS.items() if form.get(key)}
        for name in _SWITCHES:
            values[name] = str(values.get(name, "false")).lower() == "true"
        self._state.video_settings[f"{account_sid}/{kind}"] = VideoSettings(account_sid, kind, values)
        return self.settings(account_sid, kind)
