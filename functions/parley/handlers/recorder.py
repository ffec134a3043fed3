"""Starts, pauses, resumes and stops the recordings of calls (`parley.recordings` has the order).

A queue hands over calls that may be recorded; a schedule has what goes on looked after. The application pauses a
recording while card numbers are said (PCI DSS 3.3.1: they must not be kept), and only the application resumes it:
`POST /v1/calls/{sid}/pause`, `/resume`, `/stop`, where `sid` is that of the call (its inbound leg), of the recording,
or of the session, whose latest call is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parley import log, recordings, runtime
from parley.core.problem import problem
from parley.core.recording import Capture
from parley.core.sids import SidError, check_sid
from parley.core.verdict import missing
from parley.ports import QueueError
from parley.recordings import BusyError, NotPermittedError, OverError
from parley.web import Answer, Request, answer, failed_api, guarded, refuse, unavailable
from parley.work import Message, is_work, take

STOPPED_BY_CALLER = "stopped-by-caller"


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Work off what the queue hands over, answer a request, or, called by the schedule, have everything checked."""
    if is_work(event):
        return take(event, _work, name="recorder")
    if "requestContext" in event:
        return _answer(event, context)
    return {"going_on": recordings.look_after()}


def _work(message: Message) -> None:
    if message.get("kind") == "check":
        recordings.check(message)
    else:
        recordings.begin(message)


def _failed(error: Exception) -> Answer:
    if isinstance(error, QueueError | BusyError):
        return unavailable("The recording is being started or stopped at this moment; repeat the request.")
    return failed_api(error)


@guarded("recorder", _failed)
def _answer(request: Request) -> Answer:
    """Answer the three routes: 200 with how the recording is now."""
    wanted = request.path.rpartition("/")[2]
    found = _capture(request.parameter("sid"))
    if found is None:
        detail = (
            "There is no call, recording or session with this SID in which a recording could be, or its time is over."
        )
        return refuse(problem("call-unknown", 404, detail))
    by = request.caller
    try:
        if wanted == "pause":
            now = recordings.pause(found, by)
        elif wanted == "resume":
            now = recordings.resume(found, by)
        else:
            now = recordings.stop(found, STOPPED_BY_CALLER, by)
    except OverError:
        detail = "Nothing of this call is recorded any more, and what is over is not resumed."
        return refuse(problem("recording-over", 409, detail, state=found.phase, reason=found.reason or None))
    except NotPermittedError as error:
        detail = "Not every party consents to being recorded any more, so the recording was stopped; see missing."
        return refuse(problem("consent-missing", 409, detail, missing=missing(error.permission.missing)))
    log.emit(
        f"recording-asked-to-{wanted}",
        session=now.session,
        call=now.call,
        recording=now.recording,
        state=now.phase,
        caller=by,
    )
    return answer(
        200,
        {
            "call": now.call,
            "session": now.session,
            "recording": now.recording or None,
            "state": now.phase,
            "reason": now.reason or None,
        },
    )


def _capture(sid: str) -> Capture | None:
    """Return what is known of the recording that a SID means, or None."""
    ledger = runtime.ledger()
    try:
        check_sid(sid, "CA|RE|KC")
    except SidError:
        return None
    if sid.startswith("KC"):
        return next(reversed(ledger.captures_in(sid)), None)
    if sid.startswith("RE"):
        record = ledger.record(sid)
        found = ledger.capture(record.parent) if record else None
        return found if found is not None and found.recording == sid else None
    return ledger.capture(sid)
