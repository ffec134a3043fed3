"""S3 server access logging: may the log service write to the target bucket.

moto reads the target's bucket policy statement by statement and falls over a principal of `*`; here the policy
evaluator decides, conditions on the source bucket included ("Permissions for log delivery" of the S3 User Guide).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.s3.models import FakeBucket

from local.aws.calls import ACCOUNT
from local.aws.policy import Principal, Question, verdict

if TYPE_CHECKING:
    from local.aws.mends import Mends

_SERVICE = "logging.s3.amazonaws.com"


def install(mends: Mends) -> None:
    """Let the bucket policy of the target decide about a logging configuration."""
    target_allows = [False]

    def set_logging(original: Any, bucket: FakeBucket, config: dict[str, Any] | None, backend: Any) -> None:
        target = backend.buckets.get(config["TargetBucket"]) if config else None
        target_allows[0] = bool(config and target and _allows(target, config.get("TargetPrefix") or "", bucket))
        original(bucket, config, backend)

    mends.wrap(FakeBucket, "set_logging", set_logging)
    mends.replace(FakeBucket, "_log_permissions_enabled_policy", staticmethod(lambda **_: target_allows[0]))


def _allows(target: FakeBucket, prefix: str, source: FakeBucket) -> bool:
    context = {
        "aws:securetransport": ("true",),
        "s3:tlsversion": ("1.3",),
        "aws:sourcearn": (f"arn:aws:s3:::{source.name}",),
        "aws:sourceaccount": (ACCOUNT,),
    }
    asks = Question(
        Principal(ACCOUNT, _SERVICE, service=_SERVICE), "s3:PutObject", f"arn:aws:s3:::{target.name}/{prefix}x", context
    )
    answer = verdict(target.policy.decode() if target.policy else None, asks, name="bucket policy")
    return answer.allowed and not answer.denied_by
