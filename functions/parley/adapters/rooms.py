"""Video rooms and conversations at Twilio: who is in them, and what is recorded in a room."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from parley.adapters.twilio_api import CONVERSATIONS, VIDEO, TwilioApi
from parley.core import rooms
from parley.ports import CarrierError

NOT_IN_PROGRESS: Final = 53112
"""The status of a room forbids it: it is completed (twilio.com/docs/api/errors/53112)."""
PAGE: Final = {"PageSize": "100"}


@dataclass(frozen=True, slots=True, repr=False)
class Present:
    """Somebody who is in a room or a conversation: Twilio's SID, and what names the person, "" if nothing does.

    `identifier` may be plain: never log or keep. `own_number` is the number of ours that a phone in a conversation
    knows.
    """

    sid: str
    identifier: str
    own_number: str = ""


class TwilioRooms(TwilioApi):
    """Rooms and conversations. Every method raises CarrierError."""

    def room(self, sid: str) -> dict[str, Any] | None:
        """Return a room as Twilio answers it, or None if there is none."""
        return self.found("fetch-room", VIDEO, f"/v1/Rooms/{sid}")

    def present(self, room: str) -> list[Present]:
        """Return who is connected to a room."""
        query = {"Status": "connected", **PAGE}
        found = self.pages("list-participants", VIDEO, f"/v1/Rooms/{room}/Participants", query, "participants")
        return [Present(str(each["sid"]), str(each.get("identity") or "")) for each in found]

    def rules(self, room: str) -> list[Mapping[str, Any]]:
        """Return the Recording Rules of a room."""
        found = self.read("fetch-rules", VIDEO, f"/v1/Rooms/{room}/RecordingRules").get("rules")
        return list(found or [])

    def record(self, room: str, participants: Sequence[str], *, urgent: bool = False) -> bool:
        """Record these participants of a room and nobody else; return False if the room is over.

        `urgent`: one short attempt.
        """
        fields = [("Rules", json.dumps(rooms.rules(participants), separators=(",", ":")))]
        path = f"/v1/Rooms/{room}/RecordingRules"
        try:
            self.request("set-rules", "POST", VIDEO, path, fields, **self.patience(urgent))
        except CarrierError as error:
            if error.status == 404 or error.code == NOT_IN_PROGRESS:
                return False
            raise
        return True

    def recordings(self, room: str) -> list[Mapping[str, Any]]:
        """Return the recordings of a room as Twilio answers them."""
        return list(self.pages("list-video-recordings", VIDEO, f"/v1/Rooms/{room}/Recordings", PAGE, "recordings"))

    def people(self, conversation: str, *, urgent: bool = False) -> list[Present]:
        """Return who is in a conversation, nobody if there is none. `urgent`: short attempts, one for each page."""
        path = f"/v1/Conversations/{conversation}/Participants"
        try:
            found = list(self.pages("list-chat-participants", CONVERSATIONS, path, PAGE, "participants", urgent=urgent))
        except CarrierError as error:
            if error.status == 404:
                return []
            raise
        return [_person(each) for each in found]


def _person(entry: Mapping[str, Any]) -> Present:
    binding = entry.get("messaging_binding") or {}
    # A phone of WhatsApp is `whatsapp:` and the number.
    identifier = str(entry.get("identity") or binding.get("address") or "").removeprefix("whatsapp:")
    return Present(str(entry["sid"]), identifier, str(binding.get("proxy_address") or "").removeprefix("whatsapp:"))
