"""Legal holds: `PUT` and `DELETE /v1/holds/{id}` order and release one, `GET /v1/holds` and `/v1/holds/{id}` show them.

A hold counts for everybody who deletes as soon as it is answered; the queue `holds` then brings the rows and versions
under it that rules would delete. Repeating a request is harmless: the id is the hold's own. Callers are the operator's
own (IAM). A number or user id is turned into a party key, and not kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from parley import holding, log, runtime
from parley.adapters.numbers import parse_number
from parley.clock import seconds_left
from parley.core import moments
from parley.core.holds import (
    Hold,
    HoldRequest,
    Stage,
    Subject,
    What,
    changed,
    hold_request,
    is_hold_id,
    release_request,
)
from parley.core.identity import is_party_key, label
from parley.core.problem import invalid, problem
from parley.core.requests import InvalidBodyError, read_json
from parley.ports import CopyError, QueueError
from parley.web import Answer, Request, answer, failed_api, guarded, refuse, unavailable
from parley.work import Message, is_work, take

NOTHING = "Nothing of this was found; what comes of it is held from now on."
BUSY = "The same hold is being changed at this moment; repeat the request."
INCOMPLETE = "The hold counts already; its log or its queue cannot be reached. Repeat the request, which goes on there."


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer the four routes, or work off messages of the queue."""
    if is_work(event):
        deadline = time.monotonic() + seconds_left(context)
        return take(event, lambda message: _work(message, deadline), name="holds")
    return _api(event, context)


def _work(message: Message, deadline: float) -> None:
    if not is_hold_id(message.get("hold")):
        log.emit("message-unreadable", "ERROR", handler="holds")
        return
    holding.work_on(message, deadline)


@guarded("holds", failed_api)
def _api(request: Request) -> Answer:
    wanted = request.parameter("id")
    try:
        if request.method == "GET":
            return _show(wanted) if request.path.rstrip("/") != "/v1/holds" else _list()
        if not is_hold_id(wanted):
            detail = "is not a small letter and at most 63 more small letters, digits and hyphens, such as case-17"
            return refuse(invalid([{"path": "id", "reason": detail}]))
        return _place(request, wanted) if request.method == "PUT" else _release(request, wanted)
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    except (CopyError, QueueError):
        return unavailable(INCOMPLETE)


def _place(request: Request, hold_id: str) -> Answer:
    """Order a hold, or change its words or its review. 202: it is being applied. 200: all of it is under it already.

    Raises InvalidBodyError.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    wanted = hold_request(read_json(request.body), today=now.date(), parse=parse_number)
    subject = wanted.subject
    if wanted.kind is Subject.PARTY and not is_party_key(subject):
        subject = runtime.identities().party(subject)
    before = ledger.hold(hold_id)
    if before is None and wanted.kind is Subject.PARTY and _is_erased(subject):
        detail = "This person was erased, and nothing of them is left that a hold could keep; the proof says what was."
        return refuse(problem("party-erased", 409, detail))
    if before is not None and not before.active:
        detail = "A hold with this id was released; order another one under a new id."
        return refuse(problem("hold-released", 409, detail))
    if before is not None and (before.kind, before.subject) != (wanted.kind, subject):
        detail = "Another hold has this id; order this one under a new id."
        return refuse(problem("hold-id-used", 409, detail))
    hold = _ordered(hold_id, wanted, subject, now) if before is None else before
    what = What.PLACED if before is None else What.CHANGED
    if before is None or (before.reason, before.owner, before.review) != (wanted.reason, wanted.owner, wanted.review):
        told = {"reason": wanted.reason, "owner": wanted.owner, "review": wanted.review}
        change = changed(hold, what, now, f"api:{request.caller}", **told)
        if not holding.write(before, change):
            return unavailable(BUSY)
        hold = change.hold
        log.emit(f"hold-{what}", hold=hold.id, kind=str(hold.kind), subject=label(hold.subject))
    if hold.stage is Stage.HELD:
        return answer(200, _told(hold, now))
    holding.keep_entries(ledger.hold_changes(hold.id))
    holding.tell(hold)
    found = holding.found(hold)
    return answer(202, {**_told(hold, now), "found": found, **({} if found else {"detail": NOTHING})})


def _ordered(hold_id: str, wanted: HoldRequest, subject: str, now: datetime) -> Hold:
    return Hold(hold_id, wanted.kind, subject, wanted.reason, wanted.owner, wanted.review, now)


def _is_erased(party: str) -> bool:
    """Tell whether a person was erased, all of it is proven, and they did not come back."""
    ledger = runtime.ledger()
    known = ledger.suppression(party)
    return known is not None and ledger.erasure(known.erasure) is None and ledger.head(party).seq == 0


def _release(request: Request, hold_id: str) -> Answer:
    """Release a hold. 202: it is being taken from what is under it. 200: nothing is under it any more.

    Raises InvalidBodyError.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    reason = release_request(read_json(request.body))
    hold = ledger.hold(hold_id)
    if hold is None:
        return _unknown()
    if hold.active:
        told = {"released_at": now, "release_reason": reason, "stage": Stage.RELEASING}
        change = changed(hold, What.RELEASED, now, f"api:{request.caller}", **told)
        if not holding.write(hold, change):
            return unavailable(BUSY)
        hold = change.hold
        log.emit("hold-released", hold=hold.id, kind=str(hold.kind), subject=label(hold.subject))
    if hold.stage is Stage.RELEASED:
        return answer(200, _told(hold, now))
    holding.keep_entries(ledger.hold_changes(hold.id))
    holding.tell(hold)
    return answer(202, _told(hold, now))


def _list() -> Answer:
    """Show all holds, those that stand first, the next to review first among them."""
    now = runtime.clock().now()
    holds = sorted(runtime.ledger().holds(), key=lambda hold: (not hold.active, hold.review, hold.id))
    return answer(200, {"holds": [_told(hold, now) for hold in holds]})


def _show(hold_id: str) -> Answer:
    """Show one hold with its log."""
    ledger = runtime.ledger()
    hold = ledger.hold(hold_id) if is_hold_id(hold_id) else None
    if hold is None:
        return _unknown()
    entries = [
        {"seq": one.seq, "what": str(one.what), "at": moments.to_text(one.at), "by": one.by}
        for one in ledger.hold_changes(hold_id)
    ]
    return answer(200, {**_told(hold, runtime.clock().now()), "log": entries})


def _unknown() -> Answer:
    return refuse(problem("hold-unknown", 404, "There is no legal hold with this id, or its time has run out."))


def _told(hold: Hold, now: datetime) -> dict[str, Any]:
    """Return a hold as callers see it: with what it does not keep, since its class is declared without `hold`."""
    env = runtime.environment()
    document = hold.document()
    del document["changes"]
    return {
        **document,
        "to_review": hold.is_to_review(now),
        "not_held": sorted(set(env.keep_days) - set(env.holdable)),
    }
