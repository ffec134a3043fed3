"""Functions: they answer before Twilio gives up, lose nothing silently, and are called by nobody else."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import FUNCTION, Deployment, Resource
from policy.rules import Flaw, Severity, rule

ALIAS = "aws:lambda/alias:Alias"
PERMISSION = "aws:lambda/permission:Permission"
FUNCTION_URL = "aws:lambda/functionUrl:FunctionUrl"
SCHEDULE = "aws:scheduler/schedule:Schedule"
QUEUE = "aws:sqs/queue:Queue"
INTEGRATION = "aws:apigatewayv2/integration:Integration"
ROUTE = "aws:apigatewayv2/route:Route"

WEBHOOK_SECONDS = 15
"""How long Twilio waits for a webhook before it connects without an answer (Twilio, "Webhooks: timeouts")."""

CONCURRENCY_LIMIT = 1_000
"""The executions that an account has by default (AWS Lambda quotas)."""

RUNTIMES = frozenset({"python3.12", "python3.13", "python3.14"})
"""The Python runtimes that AWS mends and that are not near their end (Lambda Developer Guide, "Lambda runtimes")."""


@rule(
    "function-dead-letters",
    FUNCTION,
    severity=Severity.HIGH,
    references=("GDPR 32(1)(b)", "ISO 27001 A.8.16", "CKV_AWS_116"),
    remediation="set deadLetterConfig.targetArn to a queue of the stack",
)
def dead_letters(function: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """What a function could not do is kept in a queue of the stack: any of them can be called asynchronously."""
    if deployment.target(function, "deadLetterConfig.targetArn", QUEUE) is None:
        yield Flaw("deadLetterConfig.targetArn", "is no queue of this stack, so a failed event is lost in silence")


@rule(
    "schedule-dead-letters",
    SCHEDULE,
    severity=Severity.HIGH,
    references=("GDPR 32(1)(b)", "ISO 27001 A.8.16"),
    remediation="set target.deadLetterConfig.arn to a queue of the stack",
)
def schedule_dead_letters(schedule: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """What a schedule could not start is kept in a queue of the stack."""
    # Not by its origins: the target is made of a function and a role, too.
    if deployment.find(schedule.get("target.deadLetterConfig.arn"), frozenset(), QUEUE) is None:
        yield Flaw("target.deadLetterConfig.arn", "is no queue of this stack, so a lost start is not noticed")


def serves_twilio(function: Resource, deployment: Deployment) -> bool:
    """Whether a route under /twilio/ leads to a function, directly or through an alias."""
    return any(
        integration is not None and _serves(integration, function, deployment)
        for route in deployment.of(ROUTE)
        if " /twilio/" in (route.get("routeKey") or "")
        for integration in [_integration(route, deployment)]
    )


def _integration(route: Resource, deployment: Deployment) -> Resource | None:
    """Return what a route leads to. Its target is "integrations/ID", and the engine tells no IDs to policy packs."""
    target, urns = route.props.get("target"), route.depends.get("target", frozenset())
    for one in deployment.of(INTEGRATION):
        if one.urn in urns if one.id is None else target == f"integrations/{one.id}":
            return one
    return None


def _serves(integration: Resource, function: Resource, deployment: Deployment) -> bool:
    called = deployment.target(integration, "integrationUri", ALIAS, FUNCTION)
    if called is not None and called.type == ALIAS:
        called = deployment.target(called, "functionName", FUNCTION)
    return called is function


@rule(
    "function-in-time",
    FUNCTION,
    severity=Severity.CRITICAL,
    references=("GDPR 25(1)", "ISO 27001 A.8.6"),
    remediation="set a timeout under 15 seconds, so that a failure is told before Twilio gives up",
)
def in_time(function: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """A function that answers Twilio fails before Twilio stops waiting, and so connects without consent."""
    seconds = function.get("timeout") or 3  # Lambda's default
    if seconds >= WEBHOOK_SECONDS and serves_twilio(function, deployment):
        yield Flaw("timeout", f"is {seconds} s, and Twilio waits {WEBHOOK_SECONDS} s and then connects")


@rule(
    "integration-in-time",
    ROUTE,
    severity=Severity.HIGH,
    references=("GDPR 25(1)", "ISO 27001 A.8.6"),
    remediation="set timeoutMilliseconds of the integration under 15000",
)
def integration_in_time(route: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """The API answers Twilio before Twilio stops waiting, whatever the function does."""
    if " /twilio/" not in (route.get("routeKey") or ""):
        return
    integration = _integration(route, deployment)
    if integration is None:
        yield Flaw("target", "leads nowhere, so Twilio connects without an answer")
    elif (integration.get("timeoutMilliseconds") or 30_000) >= WEBHOOK_SECONDS * 1_000:
        yield Flaw("target", "waits as long as Twilio does, or longer")


@rule(
    "function-runtime",
    FUNCTION,
    severity=Severity.MEDIUM,
    references=("FSBP Lambda.2", "ISO 27001 A.8.8", "CKV_AWS_363"),
    remediation="use one of the runtimes in policy/checks/functions.py",
    mandatory=False,
)
def runtime(function: Resource, _: Deployment) -> Iterator[Flaw]:
    """Every function runs on a runtime that AWS mends."""
    if function.props.get("packageType") != "Image" and function.get("runtime") not in RUNTIMES:
        yield Flaw("runtime", f"is {function.get('runtime')}, which is not one of {', '.join(sorted(RUNTIMES))}")


@rule(
    "function-concurrency",
    FUNCTION,
    severity=Severity.HIGH,
    references=("ISO 27001 A.8.6", "CKV_AWS_115"),
    remediation="leave reservedConcurrentExecutions out, or set it from 1 to 1000",
)
def concurrency(function: Resource, _: Deployment) -> Iterator[Flaw]:
    """No function is turned off by a reserve of nothing: a gate that does not answer lets everything through."""
    reserved = function.get("reservedConcurrentExecutions")
    if reserved == 0:
        yield Flaw("reservedConcurrentExecutions", "is 0, so it never runs and Twilio connects without an answer")
    elif reserved is not None and reserved > CONCURRENCY_LIMIT:
        yield Flaw("reservedConcurrentExecutions", f"is {reserved}, more than an account has")


@rule(
    "function-no-url",
    FUNCTION_URL,
    severity=Severity.CRITICAL,
    references=("FSBP Lambda.1", "GDPR 25(2)", "ISO 27001 A.8.3", "CKV_AWS_258"),
    remediation="take the function URL away and give the API a route",
)
def no_url(url: Resource, _: Deployment) -> Iterator[Flaw]:
    """No function has an address of its own, past the API with its limits and logs."""
    yield Flaw("authorizationType", f"is {url.get('authorizationType')}: the address passes the API by")


@rule(
    "permission-bound",
    PERMISSION,
    severity=Severity.HIGH,
    references=("FSBP Lambda.1", "ISO 27001 A.5.15", "CKV_AWS_301", "CKV_AWS_364"),
    remediation="set sourceArn to the one thing that may call, and principal to its service",
)
def bound(permission: Resource, _: Deployment) -> Iterator[Flaw]:
    """Every permission to call a function names the service and the ARN it calls for."""
    if permission.get("principal") == "*":
        yield Flaw("principal", "is everybody")
    if not permission.get("sourceArn"):
        yield Flaw("sourceArn", "is not set, so the service calls for whoever asks it to")
