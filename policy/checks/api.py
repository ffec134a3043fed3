"""The public API: who may call, how often, and what is written down of a call."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.checks.functions import ROUTE
from policy.checks.retention import LOG_GROUP, STAGE
from policy.model import Deployment, Resource
from policy.rules import Flaw, Severity, rule

_PERSONAL = re.compile(r"\$context\.(identity\.\w+|path\b|customDomain\.\w+|authorizer\.[\w.]+|requestOverride[\w.]*)")


@rule(
    "api-logged",
    STAGE,
    severity=Severity.MEDIUM,
    references=("FSBP APIGateway.9", "GDPR 5(2)", "ISO 27001 A.8.15", "CKV_AWS_76"),
    remediation="set accessLogSettings.destinationArn to a log group of the stack",
)
def logged(stage: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every call of the API is logged in a log group of the stack."""
    if deployment.target(stage, "accessLogSettings.destinationArn", LOG_GROUP) is None:
        yield Flaw("accessLogSettings.destinationArn", "is no log group of this stack")


@rule(
    "api-log-impersonal",
    STAGE,
    severity=Severity.HIGH,
    references=("GDPR 5(1)(c)", "GDPR 25(1)", "ISO 27001 A.5.34", "ISO 27001 A.8.11"),
    remediation="log the route, the status and the times, as infra/gate.py does",
)
def log_impersonal(stage: Resource, _: Deployment) -> Iterator[Flaw]:
    """The access log holds no path, query or caller, where a number or a name could stand."""
    for match in _PERSONAL.finditer(stage.get("accessLogSettings.format") or ""):
        yield Flaw("accessLogSettings.format", f"writes down {match.group()}")


@rule(
    "api-throttled",
    STAGE,
    severity=Severity.MEDIUM,
    references=("GDPR 32(1)(b)", "ISO 27001 A.8.6"),
    remediation="set throttlingRateLimit and throttlingBurstLimit of the default route, from parley:throttle",
)
def throttled(stage: Resource, _: Deployment) -> Iterator[Flaw]:
    """The API has a limit, so that a flood does not take the gate down."""
    for limit in ("throttlingRateLimit", "throttlingBurstLimit"):
        if not stage.get(f"defaultRouteSettings.{limit}"):
            yield Flaw(f"defaultRouteSettings.{limit}", "is not set")


@rule(
    "api-authorized",
    ROUTE,
    severity=Severity.CRITICAL,
    references=("FSBP APIGateway.8", "GDPR 25(2)", "ISO 27001 A.8.5", "CKV_AWS_309"),
    remediation="set authorizationType to AWS_IAM; only /twilio/ and /optout/, which are signed themselves, have NONE",
)
def authorized(route: Resource, _: Deployment) -> Iterator[Flaw]:
    """Every route but Twilio's own, and the signed links of people, wants a caller signed with IAM."""
    key = route.get("routeKey") or ""
    if " /twilio/" in key or " /optout/" in key:
        return
    kind = route.get("authorizationType")
    if kind != "AWS_IAM":
        yield Flaw("authorizationType", f"of {key} is {kind or 'NONE'}")
