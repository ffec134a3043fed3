"""Queues, topics and secrets: what their own policies let in."""

from __future__ import annotations

from collections.abc import Iterator

from policy.documents import ANYBODY, denies_plain_transport, statements
from policy.model import Deployment, Resource
from policy.rules import Flaw, Severity, rule

QUEUE = "aws:sqs/queue:Queue"
TOPIC = "aws:sns/topic:Topic"
SECRET_STORE = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type, no secret
POLICIES = {
    QUEUE: ("aws:sqs/queuePolicy:QueuePolicy", "queueUrl"),
    TOPIC: ("aws:sns/topicPolicy:TopicPolicy", "arn"),
    SECRET_STORE: ("aws:secretsmanager/secretPolicy:SecretPolicy", "secretArn"),
}
"""The types with a policy resource: its type, and the property that refers to its owner."""

_NARROWING = {
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:sourceaccount",
    "aws:sourcearn",
    "kms:calleraccount",
}


@rule(
    "service-transport",
    *POLICIES,
    severity=Severity.HIGH,
    references=("GDPR 32(1)(a)", "ISO 27001 A.5.14", "ISO 27001 A.8.24"),
    remediation="give it one policy with a deny for everybody where aws:SecureTransport is false",
)
def transport(resource: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Queues, topics and secrets answer over TLS only."""
    type_, path = POLICIES[resource.type]
    policies = deployment.parts(resource, path, type_)
    if len(policies) != 1:
        yield Flaw("policy", f"is set by {len(policies)} policy resources instead of one")
    elif not any(denies_plain_transport(one) for one in statements(policies[0])):
        yield Flaw("policy", "lets somebody in without TLS")


@rule(
    "service-not-open",
    *(type_ for type_, _ in POLICIES.values()),
    severity=Severity.CRITICAL,
    references=("FSBP SQS.3", "FSBP SNS.4", "GDPR 25(2)", "ISO 27001 A.5.15", "CKV_AWS_168"),
    remediation="bind the statement by aws:SourceArn, aws:SourceAccount or aws:PrincipalArn, or name who is meant",
)
def not_open(resource: Resource, _: Deployment) -> Iterator[Flaw]:
    """No policy of a queue, topic or secret allows everybody, nor a service on behalf of anybody."""
    for one in statements(resource):
        open_to_all = ANYBODY in one.principals or any(name.endswith(".amazonaws.com") for name in one.principals)
        if one.allows and open_to_all and not any(key in _NARROWING for _, key in one.conditions):
            yield Flaw(one.path, "allows every principal, or a service for whoever asks it to")
