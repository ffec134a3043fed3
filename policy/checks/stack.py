"""The stack as a whole: one environment, names to know a resource by, and what is not lost with the stack."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import FUNCTION, STACK, Deployment, Resource
from policy.rules import Flaw, Severity, rule

ENVIRONMENTS = frozenset({"local", "dev", "staging", "prod"})
REQUIRED_TAGS = ("project", "environment", "data-classification")
CLASSIFICATIONS = frozenset({"communications", "consent", "operations"})

STORES = ("aws:dynamodb/table:Table", "aws:kms/key:Key", "aws:s3/bucket:Bucket")
GUARDS = tuple(
    f"aws:s3/bucket{part}:Bucket{part}"
    for part in (
        "LifecycleConfiguration",
        "Logging",
        "ObjectLockConfiguration",
        "OwnershipControls",
        "Policy",
        "PublicAccessBlock",
        "ServerSideEncryptionConfiguration",
        "Versioning",
    )
)
"""What a bucket is kept with: without these its records would lie there without their rules."""

TAGGED = (
    *STORES,
    FUNCTION,
    "aws:apigatewayv2/api:Api",
    "aws:apigatewayv2/stage:Stage",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:iam/role:Role",
    "aws:scheduler/scheduleGroup:ScheduleGroup",
    "aws:secretsmanager/secret:Secret",
    "aws:sns/topic:Topic",
    "aws:sqs/queue:Queue",
)


@rule(
    "stack-environment",
    STACK,
    severity=Severity.CRITICAL,
    references=("ISO 27001 A.8.31", "GDPR 32(1)(b)"),
    remediation="set parley:environment, and let outputs, functions and tags follow from it",
)
def environment(_: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Outputs, functions and tags name one and the same environment, so that none of them loosens a check."""
    named = deployment.environments
    if len(named) > 1:
        yield Flaw("environment", f"is {', '.join(sorted(named))} at once")
    elif not named and any(one.type in TAGGED for one in deployment.resources):
        yield Flaw("environment", "is named nowhere")
    elif unknown := named - ENVIRONMENTS:
        yield Flaw("environment", f"is {', '.join(unknown)}, which is none of {', '.join(sorted(ENVIRONMENTS))}")


@rule(
    "resource-tagged",
    *TAGGED,
    severity=Severity.LOW,
    references=("ISO 27001 A.5.9", "ISO 27001 A.5.12", "ISO 27001 A.5.13", "GDPR 30(1)"),
    remediation="give it the tags project, environment and data-classification, as infra/options.py does",
)
def tagged(resource: Resource, _: Deployment) -> Iterator[Flaw]:
    """Every resource says whose it is, of which environment, and what a leak of it would show."""
    tags = resource.get("tags") or {}
    for name in REQUIRED_TAGS:
        if not tags.get(name):
            yield Flaw(f"tags.{name}", "is missing")
    classification = tags.get("data-classification")
    if classification and classification not in CLASSIFICATIONS:
        yield Flaw("tags.data-classification", f"is none of {', '.join(sorted(CLASSIFICATIONS))}")


@rule(
    "store-kept",
    *STORES,
    *GUARDS,
    severity=Severity.CRITICAL,
    references=("GDPR 32(1)(b)", "ISO 27001 A.5.33", "ISO 27001 A.8.13"),
    remediation="declare it with protect and retain_on_delete, as infra/options.py does outside local and dev",
)
def kept(resource: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """What holds records or guards them outlives its stack, but in local and dev."""
    if resource.protect is False and deployment.durable:
        yield Flaw("protect", "is off, so it goes with a mistaken destroy")
    if resource.retain_on_delete is False and deployment.durable:
        yield Flaw("retainOnDelete", "is off, so it is deleted when it leaves the program")
