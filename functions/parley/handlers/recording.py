"""Twilio's RecordingStatusCallback: a recording is over, and may be archived (docs/voice/api/recording).

It brings a URL of the sound, which is not used: what is fetched later is asked for by SIDs, at Twilio's own host. The
callback may come late, twice, in another order or never; then the sweeper finds the recording.
"""

from __future__ import annotations

import re
from typing import Final

from parley import log, recordings, runtime
from parley.core.problem import problem
from parley.core.sids import SidError, check_sid
from parley.web import Answer, Form, MalformedError, Request, answer, guarded, refuse, single, unavailable
from parley.webhook import ForgedError, authenticate

OVER: Final = frozenset({"completed", "absent", "failed"})
"""The states after which nothing changes any more."""
STATUSES: Final = OVER | {"in-progress"}

_SECONDS = re.compile(r"[0-9]{1,6}", re.ASCII)


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    return unavailable("The recording could not be put on the queue of the archive.")


@guarded("recording", _failed)
def handle(request: Request) -> Answer:
    """Hand a recording that is over to the archive and answer 204, however often it is told."""
    form = authenticate(request)
    if single(form, "AccountSid") != runtime.environment().twilio_account_sid:
        raise MalformedError("the field AccountSid is another account's")
    sid, call = _sid(form, "RecordingSid", "RE"), _sid(form, "CallSid", "CA")
    status, seconds = single(form, "RecordingStatus"), _seconds(form)
    if status not in STATUSES:
        raise MalformedError("the field RecordingStatus is no state of a recording")
    log.emit("recording-told", call=call, recording=sid, status=status, seconds=seconds)
    if status in OVER:
        message = {"kind": "recording", "sid": sid, "call": call, "status": status, "seconds": seconds}
        runtime.queues().send("archive", message)
        recordings.ended(call, sid)
    return answer(204)


def _sid(form: Form, name: str, prefix: str) -> str:
    try:
        return check_sid(single(form, name), prefix)
    except SidError:
        raise MalformedError(f"the field {name} is no SID of that kind") from None


def _seconds(form: Form) -> int:
    """Return how long the recording is; 0 where the callback does not say, as for one that has just begun."""
    text = form.get("RecordingDuration", ["0"])[0]
    if not _SECONDS.fullmatch(text):
        raise MalformedError("the field RecordingDuration is no number of seconds")
    return int(text)
