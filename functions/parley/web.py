"""HTTP as API Gateway hands it over (HTTP API, payload format 2.0): requests, answers and problems."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from parley import log
from parley.core.identity import IdentifierError, parse_e164
from parley.core.problem import MEDIA_TYPE, problem

Event = Mapping[str, Any]
Answer = dict[str, Any]
Form = dict[str, list[str]]

BODY_LIMIT = 64 * 1024
"""Bytes of a body: Twilio's longest webhook is a few thousand."""

FIELDS_LIMIT = 300
"""Fields of a form: Twilio's longest webhook has about sixty."""


class MalformedError(ValueError):
    """A request does not have the form that its route demands."""


class Request:
    """A request. Attributes: `method`, `path`, `query` (raw), `headers` (lower-case names), `body`, `id`."""

    def __init__(self, event: Event) -> None:
        context = event.get("requestContext") or {}
        self._event = event
        self.id = str(context.get("requestId") or "")
        self.method = str((context.get("http") or {}).get("method") or "")
        self.path = str(event.get("rawPath") or "")
        self.query = str(event.get("rawQueryString") or "")
        self.headers = {str(name).lower(): str(value) for name, value in (event.get("headers") or {}).items()}
        self.caller = str((((context.get("authorizer") or {}).get("iam") or {}).get("userArn")) or "")

    @property
    def body(self) -> bytes:
        """The body as it was sent. Raises MalformedError if it is not the base64 that it is said to be."""
        text = self._event.get("body") or ""
        try:
            if self._event.get("isBase64Encoded"):
                return base64.b64decode(text, validate=True)
            return str(text).encode("utf-8")
        except ValueError:
            raise MalformedError("the body cannot be decoded") from None

    def form(self) -> Form:
        """Return the fields of a form body, blank ones included, each there once. Raises MalformedError."""
        body = self.body
        if len(body) > BODY_LIMIT:
            raise MalformedError(f"the body is longer than {BODY_LIMIT} bytes")
        try:
            form = parse_qs(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_LIMIT)
        except ValueError:
            raise MalformedError("the body is not a form in UTF-8") from None
        if any(len(values) > 1 for values in form.values()):
            raise MalformedError("a field of the form is there twice")
        return form

    def url(self, base: str) -> str:
        """Return the URL that the sender used, `base` being the API's public address."""
        return f"{base}{self.path}?{self.query}" if self.query else f"{base}{self.path}"

    def parameter(self, name: str) -> str:
        """Return a path parameter, or an empty text."""
        return str((self._event.get("pathParameters") or {}).get(name) or "")


def prefers(request: Request, media_type: str, *, over: str) -> bool:
    """Tell whether a caller would rather have one media type than another (Accept, RFC 9110 12.5.1).

    Only types that are named count: who takes anything gets the other one.
    """
    weights = {media_type: 0.0, over: 0.0}
    for part in request.headers.get("accept", "").lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        weight = next((each.removeprefix("q=") for each in parameters if each.startswith("q=")), "1")
        if name in weights and re.fullmatch(r"[01](\.[0-9]{0,3})?", weight):
            weights[name] = float(weight)
    return weights[media_type] > weights[over]


def single(form: Form, name: str) -> str:
    """Return the one value of a field; blank is a value. Raises MalformedError if it is missing or repeated."""
    values = form.get(name, [])
    if len(values) != 1:
        raise MalformedError(f"the field {name} is not there exactly once")
    return values[0]


def sender(form: Form) -> str | None:
    """Return the number that a call or text came from, None if it is withheld or no number that one can write to.

    Raises MalformedError.
    """
    try:
        return parse_e164(single(form, "From"))
    except IdentifierError:
        return None


def answer(status: int, body: Mapping[str, Any] | None = None, media_type: str = "application/json") -> Answer:
    """Return an answer with a JSON body, or with none."""
    if body is None:
        return {"statusCode": status, "headers": {"cache-control": "no-store"}}
    return text(status, json.dumps(body, ensure_ascii=False), media_type)


def text(status: int, body: str, media_type: str) -> Answer:
    """Return an answer with a text body."""
    return {
        "statusCode": status,
        "headers": {"content-type": media_type, "cache-control": "no-store"},
        "body": body,
    }


def refuse(document: Mapping[str, Any]) -> Answer:
    """Return a problem document as an answer."""
    return answer(int(document["status"]), document, MEDIA_TYPE)


def unavailable(detail: str) -> Answer:
    """Return the answer for a dependency that is down: try again."""
    return refuse(problem("unavailable", 503, detail))


Handler = Callable[[Event, Any], Answer]


def guarded(name: str, failed: Callable[[Exception], Answer]) -> Callable[[Callable[[Request], Answer]], Handler]:
    """Make an entry point of a function from a request to an answer.

    Whatever it raises is logged, without its text, and `failed` makes the answer: no request ends in an unhandled
    error, which API Gateway would turn into a 500 and Proxy into a connection.
    """

    def decorate(function: Callable[[Request], Answer]) -> Handler:
        @functools.wraps(function)
        def handle(event: Event, _context: Any) -> Answer:
            try:
                return function(Request(event))
            except Exception as error:  # noqa: BLE001 - see the docstring
                log.failure("request-failed", error, handler=name)
                return failed(error)

        return handle

    return decorate


def failed_api(error: Exception) -> Answer:
    """Return the answer of a first-party route to an error that it does not handle itself."""
    # Imported here, since the webhooks never answer like this.
    from parley.adapters.secrets import SecretError  # noqa: PLC0415
    from parley.ports import CarrierError, LedgerError  # noqa: PLC0415

    if isinstance(error, MalformedError):
        return refuse(problem("malformed-request", 400, f"{str(error).capitalize()}."))
    if isinstance(error, LedgerError):
        return unavailable("The ledger cannot be reached; nothing was decided. Repeat the request.")
    if isinstance(error, CarrierError | SecretError):
        return unavailable("Twilio cannot be reached; repeat the request.")
    return refuse(problem("internal-error", 500, "The request failed; the log has the place."))
