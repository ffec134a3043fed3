"""`POST /v1/recordings/{sid}/access` lets a role read one recording, message or file, and `GET` shows who read it.

The answer is an address that works for five minutes, of exactly the version that was proven when it was archived. It is
given to the roles of `parley:access.readers` only, each for its purposes, and never before the reading is written down
(requirement R23). Callers come in by IAM; who may call the routes at all is for the account's own policies to say.
"""

from __future__ import annotations

from datetime import timedelta

from parley import log, runtime
from parley.core import moments
from parley.core.access import URL_SECONDS, Caller, Read, caller_of, may_read, purpose_of
from parley.core.problem import invalid, problem
from parley.core.records import SIDS, Record, Stage
from parley.core.requests import InvalidBodyError, read_json
from parley.core.sids import SidError, check_sid
from parley.core.verification import METRICS
from parley.ports import ContentError
from parley.web import Answer, Request, answer, failed_api, guarded, refuse, unavailable

ARCHIVED = frozenset({Stage.ARCHIVED, Stage.DELETED})
KINDS = "|".join(SIDS.values())


@guarded("access", failed_api)
def handle(request: Request) -> Answer:
    """Answer the two routes."""
    record = _record(request.parameter("sid"))
    if record is None:
        detail = "There is no recording, message or file with this SID, or its time has run out."
        return refuse(problem("recording-unknown", 404, detail))
    if request.method == "GET":
        return _show(record)
    try:
        return _open(record, purpose_of(read_json(request.body)), caller_of(request.caller))
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    except ContentError:
        return unavailable("No address can be signed now; repeat the request.")


def _record(sid: str) -> Record | None:
    """Return the record of a SID; what was dropped was never kept, and is nothing."""
    try:
        record = runtime.ledger().record(check_sid(sid, KINDS))
    except SidError:
        return None
    return None if record is None or record.stage in {Stage.DROPPED, Stage.DISCARDED} else record


def _open(record: Record, purpose: str, caller: Caller | None) -> Answer:
    """Give a reader an address, once it is written down who got it and what for."""
    env, now = runtime.environment(), runtime.clock().now()
    declared = env.purposes.get(str(record.record_class), ())
    readers = {each.role: each.purposes for each in env.readers}
    if caller is None or not may_read(caller, purpose, readers, declared):
        role = caller.role if caller is not None else "none"
        log.emit("recording-read-denied", "WARNING", record=record.sid, reader=role)
        log.measure(METRICS, {"Stack": env.stack}, {"ReadsDenied": 1})
        detail = (
            "Only a role of parley:access.readers may read this, for a purpose of its own that the record's class "
            "declares in parley:records; ask whoever runs the stack to name it there."
        )
        return refuse(problem("reader-not-permitted", 403, detail))
    if record.stage not in ARCHIVED:
        detail = "It is still on its way from Twilio into the bucket; repeat the request in a few minutes."
        return refuse(problem("recording-not-archived", 409, detail))
    expires_at = now + timedelta(seconds=URL_SECONDS)
    url = runtime.downloads().url(
        record.key,
        record.version,
        media_type=record.media_type or "application/octet-stream",
        name=record.key.rpartition("/")[2],
        seconds=URL_SECONDS,
    )
    read = Read(record.sid, caller.role, caller.session, purpose, record.version, now, expires_at)
    runtime.ledger().log_read(read)
    log.emit("recording-read", record=record.sid, reader=caller.role, purpose=purpose)
    log.measure(METRICS, {"Stack": env.stack}, {"RecordingsRead": 1})
    return answer(200, {"url": url, "expires_at": moments.to_text(expires_at)})


def _show(record: Record) -> Answer:
    """Show what is known of a record, and who was let read it."""
    reads = [each.document() for each in runtime.ledger().reads_of(record.sid)]
    return answer(200, {**record.document(), "reads": reads})
