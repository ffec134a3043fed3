"""Recordings, messages and calls at Twilio: to start, pause and stop, to read, to list, and to delete and see gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import urllib3

from parley.adapters.proxy_api import ProxyApi, service_path
from parley.adapters.twilio_api import API, CONVERSATIONS, PROXY, VIDEO, VOICE
from parley.core.records import Deletion, Resource, ResourceKind
from parley.ports import CarrierError

NOT_IN_PROGRESS: Final = 21220
"""The call is not in progress: not yet, or not any more (twilio.com/docs/api/errors/21220)."""
BUSY: Final = 16114
"""The resource is busy; Twilio answers it with status 408 (twilio.com/docs/api/errors/16114)."""
UNFINISHED: Final = 20009
"""Twilio has not finished a resource that is to be deleted (twilio.com/docs/api/errors/20009)."""
DELETED: Final = "deleted"
"""The status of what is left of a deleted recording of Video."""
CURRENT: Final = "Twilio.CURRENT"
"""Stands for the recording that is under way in a call."""

_COLLECTIONS: Final[Mapping[ResourceKind, tuple[str, str, str]]] = {
    ResourceKind.RECORDING: (API, "{root}/Recordings.json", "recordings"),
    ResourceKind.TRANSCRIPTION: (API, "{root}/Transcriptions.json", "transcriptions"),
    ResourceKind.MESSAGE: (API, "{root}/Messages.json", "messages"),
    ResourceKind.MEDIA: (API, "{root}/Messages/{parent}/Media.json", "media_list"),
    ResourceKind.CALL: (API, "{root}/Calls.json", "calls"),
    ResourceKind.SESSION: (PROXY, "", "sessions"),
    ResourceKind.INTERACTION: (PROXY, "", "interactions"),
    ResourceKind.VIDEO_RECORDING: (VIDEO, "/v1/Recordings", "recordings"),
    ResourceKind.COMPOSITION: (VIDEO, "/v1/Compositions", "compositions"),
    ResourceKind.CONVERSATION: (CONVERSATIONS, "/v1/Conversations", "conversations"),
    ResourceKind.CHAT_MESSAGE: (CONVERSATIONS, "/v1/Conversations/{parent}/Messages", "messages"),
}


class TwilioRecords(ProxyApi):
    """What Twilio holds of conversations. The arguments are those of `ProxyApi`. Every method raises CarrierError."""

    def start_recording(self, call: str, callback: str) -> str:
        """Start to record a call in two channels, whose end is told to the URL `callback`; return the recording's SID.

        It is asked for once: an answer that was lost may have started one. The codes `NOT_IN_PROGRESS` and `BUSY` mean
        that it may be tried again.
        """
        fields = [
            ("RecordingChannels", "dual"),
            ("RecordingTrack", "both"),
            ("RecordingStatusCallback", callback),
            ("RecordingStatusCallbackMethod", "POST"),
            ("RecordingStatusCallbackEvent", "completed absent"),
        ]
        answer = self.request("start-recording", "POST", API, f"{self.root}/Calls/{call}/Recordings.json", fields)
        try:
            return str(answer["sid"])
        except KeyError:
            raise CarrierError("start-recording") from None

    def recordings_of(self, call: str) -> list[Mapping[str, Any]]:
        """Return the recordings of a call as Twilio answers them."""
        path = f"{self.root}/Calls/{call}/Recordings.json"
        return list(self.pages("list-recordings", API, path, {"PageSize": "100"}, "recordings"))

    def set_recording(self, call: str, status: str, recording: str = CURRENT, *, urgent: bool = False) -> bool:
        """Set a recording that is under way to `paused`, `in-progress` or `stopped`; return False if there is none.

        What is said during a pause leaves silence of the same length (PauseBehavior). `urgent`: one short attempt.
        """
        fields = [("Status", status), *([("PauseBehavior", "silence")] if status == "paused" else [])]
        path = f"{self.root}/Calls/{call}/Recordings/{recording}.json"
        try:
            self.request("set-recording", "POST", API, path, fields, **self.patience(urgent))
        except CarrierError as error:
            if error.status == 404 or error.code == NOT_IN_PROGRESS:
                return False
            raise
        return True

    def fetch(self, resource: Resource) -> dict[str, Any] | None:
        """Return a resource as Twilio answers it, or None if it is gone: video leaves its name with a status."""
        host, path = self._place(resource)
        found = self.found(f"fetch-{resource.kind}", host, path)
        return None if found is None or (host == VIDEO and found.get("status") == DELETED) else found

    def call(self, sid: str) -> dict[str, Any] | None:
        """Return a call as Twilio answers it, or None if it is gone."""
        return self.fetch(Resource(ResourceKind.CALL, sid))

    def media(self, resource: Resource) -> AbstractContextManager[urllib3.BaseHTTPResponse]:
        """Open the media of a recording or a message's media file, to be read piece by piece (`media_pieces`)."""
        host, path = self._place(resource)
        if resource.kind is ResourceKind.RECORDING:
            path = path.removesuffix(".json") + ".wav?RequestedChannels=2"
        elif resource.kind is ResourceKind.MEDIA:
            path = path.removesuffix(".json")
        else:
            path += "/Media"
        return self.stream(f"fetch-{resource.kind}-media", host, path)

    def delete(self, resource: Resource) -> Deletion:
        """Delete a resource and return what Twilio answered; `PENDING` is to be asked again later."""
        host, path = self._place(resource)
        try:
            self.request(f"delete-{resource.kind}", "DELETE", host, path, retries=self.repeatable)
        except CarrierError as error:
            if error.status == 404:
                return Deletion.GONE
            if error.code == UNFINISHED:
                return Deletion.PENDING
            raise
        return Deletion.DELETED

    def is_gone(self, resource: Resource) -> bool:
        """Tell whether a resource cannot be read any more; the metadata that Twilio shows on request does not count.

        What is left of a video recording or a composition has the status `deleted`.
        """
        found = self.fetch(resource)
        return found is None or found.get("status") == DELETED

    def redact(self, message: str) -> bool:
        """Empty the body of a message; return False if the message is gone, or not finished yet."""
        path = f"{self.root}/Messages/{message}.json"
        try:
            # Empty fields are sent as they are: an empty Body is what redacts.
            self.request("redact-message", "POST", API, path, [("Body", "")], retries=self.repeatable)
        except CarrierError as error:
            if error.status == 404 or error.code == UNFINISHED:
                return False
            raise
        return True

    def listed(self, kind: ResourceKind, query: Mapping[str, str], parent: str = "") -> Iterator[Mapping[str, Any]]:
        """Yield the resources of a kind as Twilio answers them, page by page; `parent` is what they are found below."""
        host, path, key = self._collection(kind, parent)
        return self.pages(f"list-{kind}", host, path, query, key)

    def _place(self, resource: Resource) -> tuple[str, str]:
        """Return host and path of a resource."""
        if resource.kind is ResourceKind.SESSION:
            return PROXY, self.session_path(resource.sid)
        host, path, _ = self._collection(resource.kind, resource.parent)
        return host, f"{path.removesuffix('.json')}/{resource.sid}{'.json' if host == API else ''}"

    def _collection(self, kind: ResourceKind, parent: str) -> tuple[str, str, str]:
        """Return host and path of the list of a kind, and the name of the list in the answer.

        A list of sessions is below the SID of a Proxy service.
        """
        host, path, key = _COLLECTIONS[kind]
        if kind is ResourceKind.INTERACTION:
            return host, self.session_path(parent, "Interactions"), key
        if kind is ResourceKind.SESSION:
            return host, f"{service_path(parent)}/Sessions", key
        return host, path.format(root=self.root, parent=parent), key

    def delete_archive(self, day: str, call: str) -> Deletion:
        """Delete the copy of a call in the account's bulk export of a day (`2026-05-04`), which is another object."""
        try:
            self.request("delete-call-archive", "DELETE", VOICE, f"/v1/Archives/{day}/Calls/{call}")
        except CarrierError as error:
            if error.status == 404:
                return Deletion.GONE
            raise
        return Deletion.DELETED
