"""`POST /v1/erasures` erases a person, or shows what that would take away; `GET /v1/erasures/{id}` tells how far it is.

The work itself comes from the queue `erasures`, again and again until nothing is left to do. A repeat of the request is
harmless with and without an `Idempotency-Key`: a person has one erasure at a time, and who was erased and is not back
gets the same answer again. Callers are the operator's own (IAM). The number is used to search Twilio, and not kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from parley import log, runtime
from parley.adapters.numbers import parse_number
from parley.clock import seconds_left
from parley.core import moments
from parley.core.erasure import Erasure, Settled, Stage, counts, is_erasure_id, read_proof
from parley.core.identity import USER, is_party_key, label
from parley.core.problem import invalid, problem
from parley.core.requests import IDEMPOTENCY_KEY, InvalidBodyError, erasure_request, idempotency_key, read_json
from parley.erasing import Begun, Told, UnsettledError, begin, rehearse, tell, work_on
from parley.ports import CopyError, QueueError
from parley.web import Answer, Request, answer, failed_api, guarded, refuse, unavailable
from parley.work import Message, is_work, take

NOTHING = "Nothing of this person was found; they are suppressed all the same, and the proof will say so."


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer the two routes, or work off messages of the queue."""
    if is_work(event):
        deadline = time.monotonic() + seconds_left(context)
        return take(event, lambda message: _work(message, deadline), name="erasures")
    return _api(event, context)


def _work(message: Message, deadline: float) -> None:
    """Go on with an erasure. A message that another one has overtaken is passed over."""
    name, run = message.get("erasure"), message.get("run")
    if not is_erasure_id(name):
        log.emit("message-unreadable", "ERROR", handler="erasures")
        return
    found = runtime.ledger().erasure(str(name))
    if found is not None and (run is None or run >= found.runs):
        work_on(str(name), deadline)


@guarded("erasures", failed_api)
def _api(request: Request) -> Answer:
    try:
        if request.method == "POST":
            return _erase(request)
        return _show(request.parameter("id"))
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    except (CopyError, QueueError):
        return unavailable("A store or a queue cannot be reached; repeat the request, which goes on from there.")
    except UnsettledError:
        return unavailable("The same person is being erased at this moment; repeat the request.")


def _erase(request: Request) -> Answer:
    """Begin an erasure. 202: begun, or under way. 200: it is over, or this was a rehearsal. Raises InvalidBodyError."""
    idempotency_key(request.headers.get(IDEMPOTENCY_KEY.lower()))
    wanted = erasure_request(read_json(request.body), parse=parse_number)
    by_key = is_party_key(wanted.party)
    party = wanted.party if by_key else runtime.identities().party(wanted.party)
    number = None if by_key or wanted.party.startswith(USER) else wanted.party
    if wanted.dry_run:
        begun = rehearse(party, number)
        log.emit("erasure-rehearsed", party=label(party), items=len(begun.items), complete=begun.complete)
        return answer(200, {"erasure": None, "party": party, "state": "rehearsed", **_found(begun, number)})
    begun = begin(party, number, reason=wanted.reason, actor=f"api:{request.caller}")
    assert begun.erasure is not None  # noqa: S101 - only a rehearsal has none
    if begun.erasure.stage is Stage.DONE:
        return _show(begun.erasure.id)
    body = {**_head(begun.erasure), **_found(begun, number)}
    if begun.pending:
        body["pending_sessions"] = list(begun.pending)
    if not body["found"]:
        body["detail"] = NOTHING
    return answer(202, body)


def _head(erasure: Erasure) -> dict[str, Any]:
    return {
        "erasure": erasure.id,
        "party": erasure.party,
        "state": erasure.stage,
        "requested_at": moments.to_text(erasure.requested_at),
    }


def _found(begun: Begun, number: str | None) -> dict[str, Any]:
    return {
        "found": counts(begun.items),
        "complete": begun.complete,
        "searched_by_number": number is not None,
    }


def _show(wanted: str) -> Answer:
    told = tell(wanted) if is_erasure_id(wanted) else None
    if told is None:
        return refuse(problem("erasure-unknown", 404, "There is no erasure with this id, or its time has run out."))
    head = _head(told.erasure) if told.erasure is not None else _head_of(wanted, told)
    return answer(200, {**head, "left": _left(told), "proof": told.proof})


def _head_of(wanted: str, told: Told) -> dict[str, Any]:
    """Return what an erasure that is over says of itself: nothing is kept of it but the proof."""
    document = read_proof(told.proof or "")[1]
    said = {name: document[name] for name in ("party", "requested_at")}
    return {"erasure": wanted, "state": told.stage, **said}


def _left(told: Told) -> list[dict[str, Any]]:
    """Return what is not settled yet, by system, kind and reason."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for one in told.progress:
        if one.state is not Settled.SETTLED:
            for remains in one.remains:
                counted[str(one.item.system), str(one.item.kind), str(remains.why)] += remains.count
    return [
        {"system": system, "kind": kind, "why": why, "count": count}
        for (system, kind, why), count in sorted(counted.items())
    ]
