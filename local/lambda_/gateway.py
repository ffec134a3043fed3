"""The HTTP API gateway: moto keeps the APIs (apigatewayv2), this serves them at `{gateway_url}/{apiId}`.

For each request: the stage and its throttling, the route (exact before `{parameter}` before `{greedy+}` before
`$default`), IAM authorization by SigV4, the function's permission for API Gateway, the event, the answer, and a line
in the stage's access log. Sources: "Working with routes for HTTP APIs", "Control access with IAM authorization",
"Throttle requests", "Configure logging" of the API Gateway developer guide; statuses of failed integrations as in
"Handling Lambda errors with an API Gateway API" of the Lambda guide (refused 500, failed or malformed 502).
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.apigatewayv2.models import Api, Integration, Route, Stage, apigatewayv2_backends

from local.aws.authorization import permission
from local.aws.callers import SessionKeys, principal_of, secret_of
from local.aws.calls import ACCOUNT
from local.aws.policy import Principal, Question
from local.lambda_.access_log import format_line
from local.lambda_.faults import Fault, Faults
from local.lambda_.functions import FunctionMissingError, Functions, ThrottledError, find_function
from local.lambda_.http_events import HttpRequest, HttpResponse, MalformedAnswerError, Match, to_event, to_response
from local.lambda_.signatures import signer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from local.clock import Clock
    from local.lambda_.function_logs import FunctionLogs

log = logging.getLogger(__name__)

#: "Quotas for configuring and running an HTTP API": payload size.
BODY_LIMIT = 10 * 1024 * 1024
#: The same quota of a Lambda event, which an HTTP API's request has to fit into as well.
EVENT_LIMIT = 6 * 1024 * 1024
_MAX_SECONDS = 30.0


@dataclass(frozen=True)
class _Answer:
    """A response and what the access log says about how it came about."""

    response: HttpResponse
    integration_error: str = ""
    integration_status: int | None = None
    integration_seconds: float | None = None
    error_message: str = ""


@dataclass(frozen=True)
class _Authorized:
    """A route that a request may go to, and who asks (`requestContext.authorizer`)."""

    route: Route
    by: Mapping[str, Any] | None


class _RefusedError(Exception):
    """A request that ends with a message of the gateway's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer = _Answer(_message(status, message), error_message=message)


class Gateway:
    """Serves the HTTP APIs that moto holds.

    `settle` waits until nothing that has arrived waits for its first attempt, and says whether it came to that.
    """

    def __init__(
        self,
        functions: Functions,
        faults: Faults,
        logs: FunctionLogs,
        clock: Clock,
        administrator: SessionKeys,
        settle: Callable[[], bool],
    ) -> None:
        self._functions = functions
        self._settle = settle
        self._faults = faults
        self._logs = logs
        self._clock = clock
        self._administrator = administrator
        self._buckets: dict[tuple[str, str, str], _Bucket] = {}
        self._lock = threading.Lock()

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request."""
        request = _read(environ)
        if request.path == "/_sim/faults":
            response = self._set_faults(request)
        elif request.path == "/_sim/settle":
            response = HttpResponse(204, [], b"") if self._settle() else _message(503, "there is work yet")
        else:
            response = self._serve(request, str(environ.get("HTTP_HOST", "")))
        start_response(f"{response.status} {_reason(response.status)}", list(response.headers))
        return [response.body]

    def _serve(self, request: HttpRequest, host: str) -> HttpResponse:
        began = time.monotonic()
        found = re.match(r"/([a-z0-9]+)(/.*)?$", request.path)
        region, api = _api(found[1]) if found else ("", None)
        if found is None or api is None:
            return _message(404, "Not Found")
        inner = replace(request, path=found[2] or "/")
        stage, inner = _stage(api, inner)
        if stage is None:
            return _message(404, "Not Found")
        route, parameters = _route(api, inner)
        match = Match(
            api_id=api.api_id,
            account=ACCOUNT,
            domain=f"{api.api_id}.execute-api.{region}.amazonaws.com",
            stage=stage.name,
            route_key=route.route_key if route else "-",
            request_id=uuid.uuid4().hex[:16],
            path_parameters=parameters,
            stage_variables=stage.stage_variables or {},
        )
        answer = self._answer(request, inner, host, region, api, stage, route, match)
        self._log(region, stage, inner, match, answer, time.monotonic() - began)
        response = answer.response
        return replace(response, headers=[*response.headers, ("apigw-requestid", match.request_id)])

    def _answer(
        self,
        request: HttpRequest,
        inner: HttpRequest,
        host: str,
        region: str,
        api: Api,
        stage: Stage,
        route: Route | None,
        match: Match,
    ) -> _Answer:
        try:
            authorized = self._checked(request, inner, host, region, api, stage, route)
            return self._integrate(region, api, authorized.route, inner, replace(match, authorizer=authorized.by))
        except _RefusedError as refused:
            return refused.answer

    def _checked(
        self,
        request: HttpRequest,
        inner: HttpRequest,
        host: str,
        region: str,
        api: Api,
        stage: Stage,
        route: Route | None,
    ) -> _Authorized:
        """Let a request pass to its route. Raises _RefusedError."""
        if route is None:
            raise _RefusedError(404, "Not Found")
        if len(request.body) > BODY_LIMIT:
            raise _RefusedError(413, "Request Entity Too Large")
        if not self._admitted(api, stage, route):
            raise _RefusedError(429, "Too Many Requests")
        if route.authorization_type == "AWS_IAM":
            resource = f"{region}:{ACCOUNT}:{api.api_id}/{stage.name}/{inner.method}{inner.path}"
            return _Authorized(route, {"iam": self._authorizer(request, host, f"arn:aws:execute-api:{resource}")})
        if route.authorization_type not in {None, "", "NONE"}:
            log.error("route %s: the local cloud does not carry out %s", route.route_key, route.authorization_type)
            raise _RefusedError(500, "Internal Server Error")
        return _Authorized(route, None)

    # --- throttling and authorization ---

    def _admitted(self, api: Api, stage: Stage, route: Route) -> bool:
        """Take a token of the route's bucket, as the stage's settings for it, or its default ones, fill it."""
        own = (stage.route_settings or {}).get(route.route_key) or {}
        settings = {**(stage.default_route_settings or {}), **own}
        rate, burst = settings.get("throttlingRateLimit"), settings.get("throttlingBurstLimit")
        if rate is None and burst is None:
            return True
        with self._lock:
            # The default settings hold for each route of the stage by itself.
            bucket = self._buckets.setdefault((api.api_id, stage.name, route.route_key), _Bucket())
            return bucket.take(float(rate or 0), float(burst or 0), self._clock.now())

    def _authorizer(self, request: HttpRequest, host: str, resource: str) -> dict[str, Any]:
        """Return who has signed the request. Raises _RefusedError for nobody, or somebody who may not call it."""
        url = f"http://{host}{request.path}{'?' + request.query if request.query else ''}"
        access_key = signer(
            request.method,
            url,
            request.headers,
            request.body,
            service="execute-api",
            keys=lambda key: secret_of(key, self._administrator),
        )
        if access_key is None:
            raise _RefusedError(403, "Forbidden")
        who = principal_of(access_key)
        if permission(Question(who, "execute-api:Invoke", resource)):
            raise _RefusedError(403, "Forbidden")
        return {
            "accessKey": access_key,
            "accountId": who.account,
            "callerId": access_key,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": who.arn,
            "userId": access_key,
        }

    # --- the function ---

    def _integrate(self, region: str, api: Api, route: Route, request: HttpRequest, match: Match) -> _Answer:
        integration = api.integrations.get(str(route.target or "").removeprefix("integrations/"))
        arn = _function_arn(integration)
        if integration is None or arn is None:
            raise _failure(500, f"route {route.route_key} has no Lambda proxy integration with payload format 2.0")
        source = f"arn:aws:execute-api:{region}:{ACCOUNT}:{api.api_id}/{match.stage}/{_permission_path(route)}"
        context = {"aws:sourcearn": (source,), "aws:sourceaccount": (ACCOUNT,)}
        who = Principal(ACCOUNT, "apigateway", service="apigateway.amazonaws.com")
        if permission(Question(who, "lambda:InvokeFunction", arn, context)):
            raise _failure(500, f"the policy of {arn} does not let API Gateway invoke it for {source}")
        event = json.dumps(to_event(request, match, self._clock.now())).encode()
        if len(event) > EVENT_LIMIT:
            raise _RefusedError(413, "Request Entity Too Large")
        began = time.monotonic()
        try:
            outcome = self._functions.invoke(find_function(arn), event, arn=arn)
        except FunctionMissingError as error:
            raise _failure(500, str(error)) from error
        except ThrottledError as error:
            raise _failure(503, "Rate Exceeded.") from error
        seconds = time.monotonic() - began
        limit = float(integration.timeout_in_millis or _MAX_SECONDS * 1000) / 1000
        if seconds > limit:
            raise _failure(503, f"the integration took {seconds:.1f} s of {limit:g} s", seconds=seconds)
        if outcome.error is not None:
            reason = f"The Lambda function returned the following error: {outcome.message[:200]}"
            raise _failure(502, reason, says=f"{arn} failed: {outcome.kind}", seconds=seconds)
        try:
            response = to_response(outcome.payload)
        except MalformedAnswerError as error:
            reason = f"The response from the Lambda function doesn't match the expected format: {error}"
            raise _failure(502, reason, seconds=seconds) from error
        return _Answer(response, integration_status=200, integration_seconds=seconds)

    # --- the access log ---

    def _log(
        self, region: str, stage: Stage, request: HttpRequest, match: Match, answer: _Answer, seconds: float
    ) -> None:
        settings = stage.access_log_settings or {}
        destination, line_format = settings.get("destinationArn"), settings.get("format")
        if not destination or not line_format:
            return
        group = str(destination).split(":log-group:")[-1].removesuffix(":*")
        line = format_line(
            str(line_format),
            request=request,
            match=match,
            status=answer.response.status,
            length=len(answer.response.body),
            seconds=seconds,
            integration_status=answer.integration_status,
            integration_seconds=answer.integration_seconds,
            integration_error=answer.integration_error,
            error_message=answer.error_message,
            now=self._clock.now(),
        )
        self._logs.put(group, f"{match.api_id}-{match.stage}", [line], role_arn=None, region=region)

    # --- faults ---

    def _set_faults(self, request: HttpRequest) -> HttpResponse:
        if request.method == "DELETE":
            self._faults.clear()
            return HttpResponse(204, [], b"")
        if request.method != "POST":
            return _message(405, "POST sets a fault, DELETE clears all")
        try:
            given = json.loads(request.body)
            times = given.get("times")
            fault = Fault(str(given["function"]), str(given["mode"]), None if times is None else int(times))
            self._faults.add(fault)
        except KeyError as error:
            return _message(400, f"{error.args[0]} is missing: expected function, mode, times")
        except (ValueError, TypeError, AttributeError) as error:
            return _message(400, str(error))
        return HttpResponse(201, [("content-type", "application/json")], request.body)


class _Bucket:
    """A token bucket: `rate` tokens a second, at most `burst`."""

    def __init__(self) -> None:
        self._tokens: float | None = None
        self._at = 0.0

    def take(self, rate: float, burst: float, now: float) -> bool:
        tokens = burst if self._tokens is None else min(burst, self._tokens + (now - self._at) * rate)
        self._at = now
        self._tokens = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1


def _read(environ: WSGIEnvironment) -> HttpRequest:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = str(environ[name])
    source = str(environ.get("REMOTE_ADDR", ""))
    # What the public gateway adds; a signature covers none of these.
    headers |= {"x-forwarded-for": source, "x-forwarded-proto": "https", "x-forwarded-port": "443"}
    path, _, query = str(environ.get("RAW_URI", "/")).partition("?")
    body: bytes = environ["wsgi.input"].read()
    return HttpRequest(str(environ["REQUEST_METHOD"]), path, query, headers, body, source)


def _api(api_id: str) -> tuple[str, Api | None]:
    for region, backend in list(apigatewayv2_backends[ACCOUNT].items()):
        if (api := backend.apis.get(api_id)) is not None and api.protocol_type == "HTTP":
            return str(region), api
    return "", None


def _stage(api: Api, request: HttpRequest) -> tuple[Stage | None, HttpRequest]:
    """Return the stage that the first path segment names, else `$default`, and the request as its routes see it."""
    first, _, rest = request.path.lstrip("/").partition("/")
    if first != "$default" and (named := api.stages.get(first)) is not None:
        return named, replace(request, path=f"/{rest}")
    return api.stages.get("$default"), request


def _route(api: Api, request: HttpRequest) -> tuple[Route | None, dict[str, str]]:
    """Return the most specific route and its path parameters."""
    best: tuple[tuple[int, ...], Route, dict[str, str]] | None = None
    for route in list(api.routes.values()):
        found = _matched(route.route_key, request)
        if found is not None and (best is None or found[0] > best[0]):
            best = (found[0], route, found[1])
    return (best[1], best[2]) if best else (None, {})


def _matched(key: str, request: HttpRequest) -> tuple[tuple[int, ...], dict[str, str]] | None:
    """Return how specific a route key is for a request, and the path parameters; None where it does not match."""
    if key == "$default":
        return (-1,), {}
    method, _, template = key.partition(" ")
    if method not in {"ANY", request.method}:
        return None
    wanted, given = template.lstrip("/").split("/"), request.path.lstrip("/").split("/")
    ranks: list[int] = []
    parameters: dict[str, str] = {}
    if wanted[-1].endswith("+}") and len(given) >= len(wanted):
        given = [*given[: len(wanted) - 1], "/".join(given[len(wanted) - 1 :])]
    if len(wanted) != len(given):
        return None
    for part, value in zip(wanted, given, strict=True):
        is_parameter = part.startswith("{") and part.endswith("}")
        if not (value if is_parameter else part == unquote(value)):
            return None
        if is_parameter:
            parameters[part[1:-1].removesuffix("+")] = unquote(value)
        ranks.append((0 if part.endswith("+}") else 1) if is_parameter else 2)
    return (*ranks, int(method != "ANY")), parameters


def _function_arn(integration: Integration | None) -> str | None:
    """Return the function of an integration, given as its ARN or as API Gateway's path to it."""
    if integration is None or integration.integration_type != "AWS_PROXY":
        return None
    if integration.payload_format_version not in {None, "2.0"}:
        return None
    uri = str(integration.integration_uri or "")
    found = re.search(r"/functions/(arn:[^/]+)/invocations$", uri)
    arn = found[1] if found else uri
    return arn if ":function:" in arn else None


def _permission_path(route: Route) -> str:
    """Return a route as the source ARN of a function's permission has it: METHOD/path, or `$default`."""
    if route.route_key == "$default":
        return "$default"
    method, _, path = route.route_key.partition(" ")
    return f"{'*' if method == 'ANY' else method}{path}"


def _failure(status: int, reason: str, *, says: str | None = None, seconds: float | None = None) -> _RefusedError:
    """Return the end of a request whose integration failed: `reason` for the access log, `says` for our own.

    `seconds`: how long the function ran, None if it did not.
    """
    log.warning("integration failed: %s", says or reason)
    refused = _RefusedError(status, "Service Unavailable" if status == 503 else "Internal Server Error")
    refused.answer = replace(
        refused.answer,
        integration_error=reason,
        integration_status=None if seconds is None else 200,
        integration_seconds=seconds,
    )
    return refused


def _message(status: int, text: str) -> HttpResponse:
    return HttpResponse(status, [("content-type", "application/json")], json.dumps({"message": text}).encode())


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
