"""The form fields of each webhook, as https://www.twilio.com/docs/proxy/api/webhooks and the TwiML pages list them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.twilio.audio import whole_seconds
from local.twilio.moments import iso8601, rfc2822
from local.twilio.numbers import number_sid

if TYPE_CHECKING:
    from local.twilio.state import Call, Conference, Interaction, Message, Participant, Recording, Session, State

API_VERSION = "2010-04-01"


def resource_type(sid: str) -> str:
    """Return Proxy's word for the kind of a resource: `call` or `message`."""
    return "call" if sid.startswith("CA") else "message"


def resource_url(account_sid: str, sid: str | None) -> str | None:
    """Return the REST address of a call or message."""
    if sid is None:
        return None
    kind = "Calls" if resource_type(sid) == "call" else "Messages"
    return f"https://api.twilio.com/{API_VERSION}/Accounts/{account_sid}/{kind}/{sid}.json"


def _leg(interaction: Interaction, side: str) -> dict[str, str]:
    """Return the five fields of one side (`inbound`, `outbound`) of an interaction."""
    sid: str | None = getattr(interaction, f"{side}_resource_sid")
    return {
        f"{side}ParticipantSid": getattr(interaction, f"{side}_participant_sid") or "",
        f"{side}ResourceSid": sid or "",
        f"{side}ResourceStatus": getattr(interaction, f"{side}_resource_status") or "",
        f"{side}ResourceType": resource_type(sid) if sid else "",
        f"{side}ResourceUrl": resource_url(interaction.account_sid, sid) or "",
    }


def intercept(interaction: Interaction) -> dict[str, str]:
    """Return the 13 fields of InterceptCallbackUrl; `interactionData` is there but empty for voice."""
    voice = interaction.type == "voice"
    return _leg(interaction, "inbound") | {
        "interactionAccountSid": interaction.account_sid,
        "interactionData": "" if voice else interaction.data or "",
        "interactionDateCreated": iso8601(interaction.created) or "",
        "interactionDateUpdated": iso8601(interaction.updated) or "",
        "interactionServiceSid": interaction.service_sid,
        "interactionSessionSid": interaction.session_sid,
        "interactionSid": interaction.sid,
        "interactionType": "Voice" if voice else "Message",
    }


def callback(interaction: Interaction) -> dict[str, str]:
    """Return the 18 fields of CallbackUrl."""
    return intercept(interaction) | _leg(interaction, "outbound")


def recording_status(record: Recording) -> dict[str, str]:
    """Return the fields of RecordingStatusCallback (https://www.twilio.com/docs/voice/api/recording).

    An encrypted recording would bring EncryptionDetails; none is encrypted here.
    """
    fields = {
        "AccountSid": record.account_sid,
        "CallSid": record.call_sid,
        "RecordingSid": record.sid,
        "RecordingUrl": recording_url(record),
        "RecordingStatus": record.status,
        "RecordingChannels": str(record.channels),
        "RecordingStartTime": rfc2822(record.started) or "",
        "RecordingSource": record.source,
        "RecordingTrack": record.track,
    }
    length = whole_seconds(record.frames)
    if length is not None:
        fields |= {"RecordingDuration": str(length), "ErrorCode": str(record.error_code or 0)}
    return fields


def recording_url(record: Recording) -> str:
    """Return where the sound of a recording is; without an extension it is WAV."""
    return f"https://api.twilio.com/{API_VERSION}/Accounts/{record.account_sid}/Recordings/{record.sid}"


def _place(state: State, name: str, number: str) -> dict[str, str]:
    """Return the native fields of one end; the place of a phone is never known here, so those fields are blank."""
    owned = state.numbers.get(number_sid(number))
    country = owned.iso_country if owned else {"1": "US"}.get(number[1:2], "GB" if number.startswith("+44") else "")
    return {name: number, f"{name}City": "", f"{name}State": "", f"{name}Zip": "", f"{name}Country": country}


def native_message(state: State, message: Message) -> dict[str, str]:
    """Return the fields of an inbound SMS or MMS webhook (https://www.twilio.com/docs/messaging/guides/webhook-request)."""
    fields = {
        "AccountSid": message.account_sid,
        "ApiVersion": API_VERSION,
        "Body": message.body,
        "MessageSid": message.sid,
        "SmsMessageSid": message.sid,
        "SmsSid": message.sid,
        "SmsStatus": "received",
        "NumMedia": str(len(message.media)),
        "NumSegments": str(segments(message.body)),
        **_place(state, "From", message.from_),
        **_place(state, "To", message.to),
    }
    for index, item in enumerate(message.media):
        media = f"https://api.twilio.com/{API_VERSION}/Accounts/{message.account_sid}/Messages/{message.sid}/Media"
        fields[f"MediaUrl{index}"] = f"{media}/{item['sid']}"
        fields[f"MediaContentType{index}"] = item["content_type"]
    return fields


def message_status(message: Message) -> dict[str, str]:
    """Return the fields of a status callback (https://www.twilio.com/docs/messaging/guides/track-outbound-message-status)."""
    fields = {
        "AccountSid": message.account_sid,
        "ApiVersion": API_VERSION,
        "From": message.from_,
        "MessageSid": message.sid,
        "MessageStatus": message.status,
        "SmsSid": message.sid,
        "SmsStatus": message.status,
        "To": message.to,
    }
    return fields | ({"ErrorCode": str(message.error_code)} if message.error_code else {})


def native_call(state: State, call: Call) -> dict[str, str]:
    """Return the fields of an inbound call webhook (https://www.twilio.com/docs/voice/twiml#request-parameters)."""
    fields = {
        "AccountSid": call.account_sid,
        "AddOns": "",
        "ApiVersion": API_VERSION,
        "CallSid": call.sid,
        "CallStatus": call.status,
        "Direction": call.direction,
    }
    for name, number in (("From", call.from_), ("Caller", call.from_), ("To", call.to), ("Called", call.to)):
        fields |= _place(state, name, number)
    return fields


def conference(found: Conference, call: Call, event: str) -> dict[str, str]:
    """Return the fields of a conference's status callback (https://www.twilio.com/docs/voice/twiml/conference)."""
    return {
        "AccountSid": found.account_sid,
        "CallSid": call.sid,
        "ConferenceSid": found.sid,
        "FriendlyName": found.friendly_name,
        "SequenceNumber": str(found.told),
        "StatusCallbackEvent": event,
        "EndConferenceOnExit": str(call.sid in found.hosts).lower(),
        "Muted": "false",
        "Hold": "false",
    }


def previous_session(session: Session, sender: Participant, peer: Participant | None) -> dict[str, str]:
    """Return what out-of-session adds when an earlier session is known, the other party's real number among it.

    A FriendlyName that was never given is left out, which makes 56 fields in all for voice, as in the docs' example.
    """
    fields = _prefixed(
        "session",
        {
            "UniqueName": session.unique_name,
            "AccountSid": session.account_sid,
            "ServiceSid": session.service_sid,
            "Sid": session.sid,
            "Status": session.status,
            "Mode": session.mode,
            "DateCreated": iso8601(session.created),
            "DateStarted": iso8601(session.started),
            "DateUpdated": iso8601(session.updated),
            "DateEnded": iso8601(session.ended),
            "DateLastInteraction": iso8601(session.last_interaction),
            "ClosedReason": session.closed_reason,
        },
    )
    for prefix, participant in (("inboundParticipant", sender), ("outboundParticipant", peer)):
        if participant is not None:
            fields |= _prefixed(prefix, _participant(participant))
    return fields


def _participant(participant: Participant) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "Sid": participant.sid,
        "AccountSid": participant.account_sid,
        "ServiceSid": participant.service_sid,
        "SessionSid": participant.session_sid,
        "Identifier": participant.identifier,
        "ProxyIdentifier": participant.proxy_identifier,
        "ProxyIdentifierSid": participant.proxy_identifier_sid,
        "DateCreated": iso8601(participant.created),
        "DateUpdated": iso8601(participant.updated),
    }
    if participant.friendly_name is not None:
        fields["FriendlyName"] = participant.friendly_name
    return fields


def _prefixed(prefix: str, values: dict[str, Any]) -> dict[str, str]:
    return {prefix + name: "" if value is None else str(value) for name, value in values.items()}


def segments(body: str) -> int:
    """Return how many SMS segments a text takes (GSM-7 if it is ASCII, else UCS-2)."""
    single, joined = (160, 153) if body.isascii() else (70, 67)
    return 1 if len(body) <= single else -(-len(body) // joined)
