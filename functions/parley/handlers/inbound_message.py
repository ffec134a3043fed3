"""The webhooks of a masked number's texts (`direct`): one that comes in, and what became of one that was passed on."""

from __future__ import annotations

from urllib.parse import parse_qsl

from parley import cold, runtime
from parley.core.problem import problem
from parley.relaying import NAME, STATUS, take_status, take_text
from parley.web import Answer, MalformedError, Request, guarded, refuse, unavailable
from parley.webhook import ForgedError, authenticate


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    # No TwiML: nothing is passed on, and Twilio asks the fallback, which says nothing.
    return unavailable("The text could not be passed on.")


@guarded(NAME, _failed)
def handle(request: Request) -> Answer:
    """Pass a text on, or log a status."""
    form = authenticate(request)
    if request.path == STATUS:
        return take_status(form, dict(parse_qsl(request.query)))
    return take_text(form)


# A text is claimed, sent and logged: all of it by boto3, which is better made before anybody waits.
runtime.prepare("kms", also=(runtime.ledger, runtime.carrier))
cold.over()
