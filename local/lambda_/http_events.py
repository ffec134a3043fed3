"""An HTTP request as a Lambda event (payload format 2.0) and a function's answer as an HTTP response.

"Working with AWS Lambda proxy integrations for HTTP APIs" of the API Gateway developer guide.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

#: Content types whose body comes as text; any other, such as Twilio's forms, comes as base64.
_TEXT_PREFIXES = ("text/", "application/json", "application/javascript", "application/xml")
_TEXT_SUFFIXES = ("+json", "+xml")
Headers = Sequence[tuple[str, str]]


class MalformedAnswerError(Exception):
    """A function's answer that API Gateway cannot make a response of."""


@dataclass(frozen=True)
class HttpRequest:
    """A request to an API: `path` as it was sent (percent-encoded), header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    source_ip: str


@dataclass(frozen=True)
class Match:
    """The route that a request has met."""

    api_id: str
    account: str
    domain: str
    stage: str
    route_key: str
    request_id: str
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    stage_variables: Mapping[str, str] = field(default_factory=dict)
    #: `requestContext.authorizer` of a route with IAM authorization.
    authorizer: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class HttpResponse:
    """What goes back to the client."""

    status: int
    headers: Headers
    body: bytes


def to_event(request: HttpRequest, match: Match, now: float) -> dict[str, Any]:
    """Return the event of a request; `now` in epoch seconds."""
    headers = {name: value for name, value in request.headers.items() if name != "cookie"}
    cookies = [c.strip() for c in request.headers.get("cookie", "").split(";") if c.strip()]
    raw_path = request.path if match.stage == "$default" else f"/{match.stage}{request.path}"
    context: dict[str, Any] = {
        "accountId": match.account,
        "apiId": match.api_id,
        "domainName": match.domain,
        "domainPrefix": match.api_id,
        "http": {
            "method": request.method,
            "path": raw_path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": match.request_id,
        "routeKey": match.route_key,
        "stage": match.stage,
        "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now * 1000),
    }
    if match.authorizer is not None:
        context["authorizer"] = match.authorizer
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": match.route_key,
        "rawPath": raw_path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if parameters := _joined(parse_qsl(request.query, keep_blank_values=True)):
        event["queryStringParameters"] = parameters
    if match.path_parameters:
        event["pathParameters"] = dict(match.path_parameters)
    if match.stage_variables:
        event["stageVariables"] = dict(match.stage_variables)
    if request.body:
        text = _as_text(request)
        event["isBase64Encoded"] = text is None
        event["body"] = base64.b64encode(request.body).decode() if text is None else text
    return event


def to_response(answer: bytes) -> HttpResponse:
    """Return the response that a function's answer asks for. Raises MalformedAnswerError."""
    try:
        value = json.loads(answer or b"null")
    except ValueError as error:
        raise MalformedAnswerError("the answer is not JSON") from error
    if not isinstance(value, dict) or "statusCode" not in value:
        # Without a status, format 2.0 takes the whole answer for the body of a 200.
        return HttpResponse(200, [("content-type", "application/json")], answer)
    try:
        status = int(value["statusCode"])
        headers = [(str(name).lower(), _text(item)) for name, item in (value.get("headers") or {}).items()]
        body = value.get("body") or ""
        data = base64.b64decode(body) if value.get("isBase64Encoded") else _text(body).encode()
        cookies = [("set-cookie", str(cookie)) for cookie in value.get("cookies") or []]
    except (ValueError, TypeError, AttributeError) as error:
        raise MalformedAnswerError("statusCode, headers, cookies or body have the wrong type") from error
    if not 100 <= status <= 599:
        raise MalformedAnswerError(f"statusCode {status} is not an HTTP status")
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    return HttpResponse(status, [*headers, *cookies], data)


def _joined(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Join the values of a repeated name by commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _as_text(request: HttpRequest) -> str | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith(_TEXT_PREFIXES) and not kind.endswith(_TEXT_SUFFIXES):
        return None
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)
