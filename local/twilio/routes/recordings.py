"""api.twilio.com/2010-04-01: recordings, their sound, their transcriptions (docs/voice/api/recording)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from local.twilio import paging, payloads
from local.twilio.audio import whole_seconds
from local.twilio.errors import TwilioError
from local.twilio.moments import rfc2822
from local.twilio.payloads import API_VERSION
from local.twilio.recordings import CURRENT, order
from local.twilio.routes import Answer, Exchange, Routes

if TYPE_CHECKING:
    from local.twilio.state import Recording, Transcription

ROUTES: Final = Routes("api")
_ACCOUNT: Final = f"/{API_VERSION}/Accounts/<account_sid>"
_CALL: Final = f"{_ACCOUNT}/Calls/<call_sid>/Recordings"
_RECORDINGS: Final = f"{_ACCOUNT}/Recordings"


def _scope(exchange: Exchange, account_sid: str) -> str:
    return exchange.carrier.scope(exchange.account, account_sid).sid


# Of a call ----------------------------------------------------------------------------------------------------


@ROUTES.add("POST", f"{_CALL}.json")
def start_recording(exchange: Exchange, account_sid: str, call_sid: str) -> Answer:
    """Start to record a live call; a child leg's SID records the call that it belongs to."""
    carrier = exchange.carrier
    call = carrier.voice.fetch(_scope(exchange, account_sid), call_sid)
    wish = order(exchange.form, exchange.fields.getlist("RecordingStatusCallbackEvent"))
    return 201, _of_call(carrier.recordings.start(carrier.voice.legs(call), wish))


@ROUTES.add("GET", f"{_CALL}.json")
def list_recordings_of_call(exchange: Exchange, account_sid: str, call_sid: str) -> Answer:
    """List a call's recordings by DateCreated."""
    query = exchange.query | {"CallSid": _parent(exchange, account_sid, call_sid), "IncludeSoftDeleted": "false"}
    records = exchange.carrier.recordings.search(account_sid, query)
    return 200, paging.v2010(exchange.path, "recordings", records, exchange.query, _of_call)


@ROUTES.add("GET", f"{_CALL}/<sid>.json")
def fetch_recording_of_call(exchange: Exchange, account_sid: str, call_sid: str, sid: str) -> Answer:
    """Fetch one of a call's recordings."""
    return 200, _of_call(_recording_of_call(exchange, account_sid, call_sid, sid))


@ROUTES.add("POST", f"{_CALL}/<sid>.json")
def update_recording(exchange: Exchange, account_sid: str, call_sid: str, sid: str) -> Answer:
    """Pause, resume or stop a recording, or the one under way by the name `Twilio.CURRENT`."""
    record = _recording_of_call(exchange, account_sid, call_sid, sid)
    body = _of_call(exchange.carrier.recordings.update(record, exchange.form))
    return 200, body | {"status": exchange.form["Status"]}


@ROUTES.add("DELETE", f"{_CALL}/<sid>.json")
def delete_recording_of_call(exchange: Exchange, account_sid: str, call_sid: str, sid: str) -> Answer:
    """Delete one of a call's recordings."""
    exchange.carrier.recordings.delete(_recording_of_call(exchange, account_sid, call_sid, sid))
    return 204, None


def _parent(exchange: Exchange, account_sid: str, call_sid: str) -> str:
    """Return the SID of the parent leg, under which a call's recordings are; the call may be deleted already."""
    carrier, account = exchange.carrier, _scope(exchange, account_sid)
    if any(record.account_sid == account for record in carrier.recordings.of_call(call_sid)):
        return call_sid
    return carrier.voice.legs(carrier.voice.fetch(account, call_sid))[0].sid


def _recording_of_call(exchange: Exchange, account_sid: str, call_sid: str, sid: str) -> Recording:
    recordings, parent = exchange.carrier.recordings, _parent(exchange, account_sid, call_sid)
    if sid == CURRENT:
        return recordings.current(parent)
    record = recordings.fetch(account_sid, sid)
    if record.call_sid != parent:
        raise TwilioError(20404, f"Calls/{call_sid}/Recordings/{sid}")
    return record


# Of an account ------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_RECORDINGS}.json")
def list_recordings(exchange: Exchange, account_sid: str) -> Answer:
    """List recordings by CallSid, ConferenceSid and DateCreated; deleted ones only with IncludeSoftDeleted."""
    records = exchange.carrier.recordings.search(_scope(exchange, account_sid), exchange.query)
    return 200, paging.v2010(exchange.path, "recordings", records, exchange.query, _of_account)


@ROUTES.add("GET", f"{_RECORDINGS}/<sid>.json")
def fetch_recording(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Fetch a recording; a deleted one only with IncludeSoftDeleted."""
    return 200, _of_account(_recording(exchange, account_sid, sid))


@ROUTES.add("DELETE", f"{_RECORDINGS}/<sid>.json")
def delete_recording(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Delete a recording."""
    recordings = exchange.carrier.recordings
    recordings.delete(recordings.fetch(_scope(exchange, account_sid), sid))
    return 204, None


@ROUTES.add("GET", f"{_RECORDINGS}/<string(length=34):sid>")
@ROUTES.add("GET", f"{_RECORDINGS}/<sid>.wav")
def download_wav(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Return the sound of a recording as WAV."""
    record, channels = _download(exchange, account_sid, sid)
    return 200, exchange.carrier.recordings.sound(record).wav(channels)


@ROUTES.add("GET", f"{_RECORDINGS}/<sid>.mp3")
def download_mp3(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Return the sound of a recording as MP3."""
    record, channels = _download(exchange, account_sid, sid)
    return 200, exchange.carrier.recordings.sound(record).mp3(channels)


def _download(exchange: Exchange, account_sid: str, sid: str) -> tuple[Recording, int]:
    """Return a recording and how many channels are asked for; one is what comes of itself.

    Raises TwilioError 20001 for two channels of a recording that has one (the page says: 400 Bad Request).
    """
    record = exchange.carrier.recordings.fetch(_scope(exchange, account_sid), sid)
    channels = exchange.query.get("RequestedChannels", "1")
    if channels not in {"1", "2"} or int(channels) > record.channels:
        raise TwilioError(20001, f"RequestedChannels: the recording has {record.channels}")
    return record, int(channels)


def _recording(exchange: Exchange, account_sid: str, sid: str) -> Recording:
    deleted = exchange.query.get("IncludeSoftDeleted", "").lower() == "true"
    return exchange.carrier.recordings.fetch(_scope(exchange, account_sid), sid, deleted=deleted)


# Transcriptions and add-ons -----------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_ACCOUNT}/Transcriptions.json")
def list_transcriptions(exchange: Exchange, account_sid: str) -> Answer:
    """List the account's transcriptions."""
    found = exchange.carrier.recordings.transcriptions(_scope(exchange, account_sid))
    return 200, paging.v2010(exchange.path, "transcriptions", found, exchange.query, _transcription)


@ROUTES.add("GET", f"{_ACCOUNT}/Transcriptions/<sid>.json")
def fetch_transcription(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Fetch a transcription."""
    return 200, _transcription(exchange.carrier.recordings.transcription(_scope(exchange, account_sid), sid))


@ROUTES.add("DELETE", f"{_ACCOUNT}/Transcriptions/<sid>.json")
def delete_transcription(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Delete a transcription."""
    recordings = exchange.carrier.recordings
    recordings.delete_transcription(recordings.transcription(_scope(exchange, account_sid), sid))
    return 204, None


@ROUTES.add("GET", f"{_RECORDINGS}/<recording_sid>/Transcriptions.json")
def list_transcriptions_of_recording(exchange: Exchange, account_sid: str, recording_sid: str) -> Answer:
    """List a recording's transcriptions."""
    recordings = exchange.carrier.recordings
    record = recordings.fetch(_scope(exchange, account_sid), recording_sid)
    found, show = recordings.transcriptions(record.account_sid, record.sid), partial(_transcription, below=True)
    return 200, paging.v2010(exchange.path, "transcriptions", found, exchange.query, show)


@ROUTES.add("GET", f"{_RECORDINGS}/<recording_sid>/Transcriptions/<sid>.json")
def fetch_transcription_of_recording(exchange: Exchange, account_sid: str, recording_sid: str, sid: str) -> Answer:
    """Fetch one of a recording's transcriptions."""
    found = exchange.carrier.recordings.transcription(_scope(exchange, account_sid), sid, recording_sid)
    return 200, _transcription(found, below=True)


@ROUTES.add("DELETE", f"{_RECORDINGS}/<recording_sid>/Transcriptions/<sid>.json")
def delete_transcription_of_recording(exchange: Exchange, account_sid: str, recording_sid: str, sid: str) -> Answer:
    """Delete one of a recording's transcriptions."""
    recordings = exchange.carrier.recordings
    recordings.delete_transcription(recordings.transcription(_scope(exchange, account_sid), sid, recording_sid))
    return 204, None


@ROUTES.add("GET", f"{_RECORDINGS}/<recording_sid>/AddOnResults.json")
def list_add_on_results(exchange: Exchange, account_sid: str, recording_sid: str) -> Answer:
    """List a recording's add-on results: none, since no add-on is installed here."""
    exchange.carrier.recordings.fetch(_scope(exchange, account_sid), recording_sid)
    nothing: list[Recording] = []
    return 200, paging.v2010(exchange.path, "add_on_results", nothing, exchange.query, _of_account)


# Bodies -------------------------------------------------------------------------------------------------------


def _common(record: Recording) -> dict[str, Any]:
    length = whole_seconds(record.frames)
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "api_version": API_VERSION,
        "call_sid": record.call_sid,
        "conference_sid": None,
        "channels": record.channels,
        "duration": None if length is None else str(length),
        "encryption_details": None,
        "error_code": record.error_code,
        "price": None,
        "price_unit": "USD",
        "source": record.source,
        "status": record.status,
        "date_created": rfc2822(record.created),
        "date_updated": rfc2822(record.updated),
        "start_time": rfc2822(record.started),
    }


def _of_call(record: Recording) -> dict[str, Any]:
    """Return a recording as it reads below its call."""
    account = f"/{API_VERSION}/Accounts/{record.account_sid}"
    return _common(record) | {
        "track": record.track,
        "uri": f"{account}/Calls/{record.call_sid}/Recordings/{record.sid}.json",
    }


def _of_account(record: Recording) -> dict[str, Any]:
    """Return a recording as it reads in the account's list."""
    uri = f"/{API_VERSION}/Accounts/{record.account_sid}/Recordings/{record.sid}"
    return _common(record) | {
        "media_url": payloads.recording_url(record),
        "subresource_uris": {
            "add_on_results": f"{uri}/AddOnResults.json",
            "transcriptions": f"{uri}/Transcriptions.json",
        },
        "uri": f"{uri}.json",
    }


def _transcription(record: Transcription, *, below: bool = False) -> dict[str, Any]:
    """Return a transcription, `below` its recording if it was asked for there."""
    account = f"/{API_VERSION}/Accounts/{record.account_sid}"
    place = f"{account}/Recordings/{record.recording_sid}" if below else account
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "api_version": API_VERSION,
        "duration": str(record.seconds),
        "price": None,
        "price_unit": "USD",
        "recording_sid": record.recording_sid,
        "status": record.status,
        "transcription_text": record.text,
        "type": "fast",
        "date_created": rfc2822(record.created),
        "date_updated": rfc2822(record.updated),
        "uri": f"{place}/Transcriptions/{record.sid}.json",
    }
