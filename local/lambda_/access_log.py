"""A stage's access log line: its declared format with the values of `$context.*`.

"Customizing HTTP API access logs" of the API Gateway developer guide; what has no value is `-`.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime

from local.lambda_.http_events import HttpRequest, Match

log = logging.getLogger(__name__)

_unknown: set[str] = set()


def format_line(
    line_format: str,
    *,
    request: HttpRequest,
    match: Match,
    status: int,
    length: int,
    seconds: float,
    integration_status: int | None,
    integration_seconds: float | None,
    integration_error: str,
    error_message: str,
    now: float,
) -> str:
    """Return one line. `seconds` is the whole request, `integration_seconds` the function's part."""
    iam = (match.authorizer or {}).get("iam", {})
    latency = "" if integration_seconds is None else str(round(integration_seconds * 1000))
    integration = "" if integration_status is None else str(integration_status)
    values = {
        "accountId": match.account,
        "apiId": match.api_id,
        "awsEndpointRequestId": match.request_id,
        "domainName": match.domain,
        "domainPrefix": match.api_id,
        "error.message": error_message,
        "error.messageString": f'"{error_message}"' if error_message else "",
        "error.responseType": "",
        "extendedRequestId": match.request_id,
        "httpMethod": request.method,
        "identity.accountId": iam.get("accountId", ""),
        "identity.caller": iam.get("callerId", ""),
        "identity.sourceIp": request.source_ip,
        "identity.user": iam.get("userId", ""),
        "identity.userAgent": request.headers.get("user-agent", ""),
        "identity.userArn": iam.get("userArn", ""),
        "integration.error": integration_error,
        "integration.integrationStatus": integration,
        "integration.latency": latency,
        "integration.requestId": match.request_id,
        "integration.status": integration,
        "integrationErrorMessage": integration_error,
        "integrationLatency": latency,
        "integrationStatus": integration,
        "path": request.path,
        "protocol": "HTTP/1.1",
        "requestId": match.request_id,
        "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": str(int(now * 1000)),
        "responseLatency": str(round(seconds * 1000)),
        "responseLength": str(length),
        "routeKey": match.route_key,
        "stage": match.stage,
        "status": str(status),
    }

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values and name not in _unknown:
            _unknown.add(name)
            log.warning("access log: the local cloud has no value for $context.%s", name)
        return values.get(name, "") or "-"

    # A name ends where a dot is not followed by another word, as in "$context.status."
    return re.sub(r"\$context\.(\w+(?:\.\w+)*)", value, line_format)
