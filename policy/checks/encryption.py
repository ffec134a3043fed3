"""Encryption: whatever keeps data is encrypted under a key of the stack's own, not under one that AWS manages.

Only a key of one's own has a policy of one's own: that is what separates who stores data from who reads it.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import FUNCTION, CannotTellError, Deployment, Resource
from policy.rules import Check, Flaw, Severity, rule

KEY = "aws:kms/key:Key"
_ALIASES = ("aws:kms/alias:Alias",)


def _encrypted(id_: str, type_: str, path: str, what: str, *references: str) -> Check:
    """Make the check that a property of a type names a key of one's own."""

    def judge(resource: Resource, deployment: Deployment) -> Iterator[Flaw]:
        try:
            if deployment.target(resource, path, KEY, *_ALIASES) is not None:
                return
        except CannotTellError:
            return  # a key that is still to be made
        value = resource.get(path)
        if not value:
            yield Flaw(path, "is not set, so AWS's own key is used, or none")
        elif str(value).startswith("alias/aws/"):
            yield Flaw(path, "is a key that AWS manages")
        else:
            yield Flaw(path, "is a key of another stack, whose policy nobody declares here")

    judge.__doc__ = f"{what} encrypted under a key of the stack's own."
    return rule(
        id_,
        type_,
        severity=Severity.HIGH,
        references=(*references, "GDPR 32(1)(a)", "ISO 27001 A.8.24"),
        remediation=f"set {path} to a key of the stack",
    )(judge)


queues = _encrypted(
    "queue-encrypted", "aws:sqs/queue:Queue", "kmsMasterKeyId", "Every queue is", "FSBP SQS.1", "CKV2_AWS_73"
)
topics = _encrypted(
    "topic-encrypted", "aws:sns/topic:Topic", "kmsMasterKeyId", "Every topic is", "FSBP SNS.1", "CKV_AWS_26"
)
log_groups = _encrypted(
    "log-group-encrypted", "aws:cloudwatch/logGroup:LogGroup", "kmsKeyId", "Every log group is", "CKV_AWS_158"
)
tables = _encrypted(
    "table-encrypted",
    "aws:dynamodb/table:Table",
    "serverSideEncryption.kmsKeyArn",
    "Every table is",
    "CKV_AWS_119",
)
secrets = _encrypted(
    "secret-encrypted", "aws:secretsmanager/secret:Secret", "kmsKeyId", "Every secret is", "CKV_AWS_149"
)
environments = _encrypted(
    "function-environment-encrypted", FUNCTION, "kmsKeyArn", "The environment of every function is", "CKV_AWS_173"
)
