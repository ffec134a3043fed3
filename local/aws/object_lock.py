"""Object lock as S3 has it, where moto stops short.

moto asks for an empty bucket before a lock configuration (which breaks its removal), cannot answer GetObjectRetention,
lets versioning be suspended under a lock, and lets anyone shorten a retention. Rules: "How S3 Object Lock works" of
the S3 User Guide.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.s3 import models, responses
from moto.s3.exceptions import AccessDeniedByLock, InvalidBucketState, LockNotEnabled, S3ClientError

if TYPE_CHECKING:
    from local.aws.mends import Mends


class NoRetentionError(S3ClientError):
    """S3's answer when an object has no retention of its own."""

    code = "NoSuchObjectLockConfiguration"
    status = 404

    def __init__(self) -> None:
        super().__init__("The specified object does not have a ObjectLock configuration")


def install(mends: Mends) -> None:
    """Close moto's gaps round object lock."""
    mends.replace(models.S3Backend, "put_object_lock_configuration", _put_object_lock_configuration)
    mends.wrap(models.S3Backend, "put_bucket_versioning", _put_bucket_versioning)
    mends.wrap(responses.S3Response, "_key_response_get", _key_response_get)
    mends.wrap(responses.S3Response, "put_object_retention", _put_object_retention)


def _put_object_lock_configuration(
    backend: models.S3Backend,
    bucket_name: str,
    lock_enabled: bool,
    mode: str | None = None,
    days: int | None = None,
    years: int | None = None,
) -> None:
    bucket = backend.get_bucket(bucket_name)
    if not bucket.is_versioned:
        raise InvalidBucketState("Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
    # A lock once enabled stays: only its default retention can be changed or taken away.
    bucket.object_lock_enabled = bucket.object_lock_enabled or lock_enabled
    bucket.default_lock_mode, bucket.default_lock_days, bucket.default_lock_years = mode, days, years


def _put_bucket_versioning(original: Any, backend: models.S3Backend, bucket_name: str, status: str) -> None:
    if backend.get_bucket(bucket_name).object_lock_enabled and status != "Enabled":
        raise InvalidBucketState(
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        )
    original(backend, bucket_name, status)


def _key_response_get(original: Any, response: Any, query: dict[str, Any], key_name: str) -> Any:
    if "retention" not in query:
        return original(response, query, key_name)
    if not response.backend.get_bucket(response.bucket_name).object_lock_enabled:
        raise LockNotEnabled
    key, _ = response._get_key()  # noqa: SLF001 - moto's own way to find the object
    if not key.lock_mode or not key.lock_until:
        raise NoRetentionError
    response.data["Action"] = "GetObjectRetention"
    retention = {"Mode": key.lock_mode, "RetainUntilDate": _moment(key.lock_until)}
    return response.serialized(ActionResult({"Retention": retention}))


def _put_object_retention(original: Any, response: Any) -> Any:
    """Refuse to shorten or lift a retention that is still running, save governance with the bypass header."""
    key, _ = response._get_key()  # noqa: SLF001 - as above
    mode, until = response._mode_until_from_body()  # noqa: SLF001 - as above
    if key.lock_mode and key.lock_until and key.is_locked(False):
        weaker = (
            not mode
            or not until
            or _moment(until) < _moment(key.lock_until)
            or (key.lock_mode == "COMPLIANCE" and mode != "COMPLIANCE")
        )
        bypass = response.headers.get("x-amz-bypass-governance-retention", "").lower() == "true"
        if weaker and not (key.lock_mode == "GOVERNANCE" and bypass):
            raise AccessDeniedByLock
    return original(response)


def _moment(text: str) -> datetime:
    """Read a date as S3 writes it, as naive UTC like moto's own."""
    return datetime.fromisoformat(text).replace(tzinfo=None)
