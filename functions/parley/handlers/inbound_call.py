"""The webhooks of a masked number's calls (`direct`): one that comes in, and each step of it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from parley import call_entry, cold, runtime
from parley.call_step import NAME, PATH, Step
from parley.core.problem import problem
from parley.web import Answer, Form, MalformedError, Request, guarded, refuse, unavailable
from parley.webhook import ForgedError, authenticate


def _step(name: str) -> Callable[[Form, Step], Answer] | None:
    """Return what does a step, None if there is no such step."""
    if name == "whisper":
        return call_entry.whisper
    from parley import calls, conferences  # noqa: PLC0415 - boto3 among it, which nobody waits for before

    return {
        "consent": calls.take_key,
        "answer": calls.take_answer,
        "after": calls.end,
        "status": calls.take_status,
        "joined": conferences.call_others,
    }.get(name)


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    # No TwiML, so nobody is connected: Twilio asks the fallback, which hangs up.
    return unavailable("The call could not be connected.")


@guarded(NAME, _failed)
def handle(request: Request) -> Answer:
    """Answer a call, or one step of it."""
    form = authenticate(request)
    name = request.path.removeprefix(PATH).strip("/")
    if not name:
        return call_entry.come_in(form)
    if name == "status" and not request.query:
        from parley import calls  # noqa: PLC0415 - as above

        return calls.take_end(form)
    step = _step(name)
    if step is None:
        raise MalformedError("there is no such step of a call")
    return step(form, Step.read(dict(parse_qsl(request.query))))


runtime.prepare("kms")
cold.over()
