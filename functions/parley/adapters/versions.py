"""Versions of objects in a bucket: listed, deleted for good, and put under or taken from a legal hold.

S3 deletes at most 1,000 versions in one request (DeleteObjects), so batches go side by side while the list is read. It
refuses version by version: what a legal hold or a retention protects stays, and the rest of the batch goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import parse_timestamp

from parley.ports import CopyError

BATCH: Final = 1000
"""Versions of one DeleteObjects request."""

CONCURRENCY: Final = 10
"""Batches that are under way at once: as many as a client of boto3 has connections."""

_UNLOCKED: Final = frozenset(
    {"NoSuchObjectLockConfiguration", "InvalidRequest", "ObjectLockConfigurationNotFoundError"}
)
"""What S3 answers of a version that has no lock, or of a bucket that has none."""

_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed"})


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an object, or a delete marker. `size` is in bytes."""

    key: str
    id: str
    made_at: datetime
    size: int = 0
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of versions: how many are gone, and what S3 refused, by its code."""

    deleted: int
    refused: tuple[tuple[str, str], ...] = ()
    """Key and error code of each version that was refused; several versions of a key may be among them."""


def s3_client(config: Config, **named: Any) -> Any:
    """Return boto3's S3 client, one that reads the times of a list as what they are, ISO 8601.

    boto3 lets dateutil guess, which takes more than half of the time of a list of versions.
    """
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return boto3.Session(botocore_session=session).client("s3", config=config, **named)


def _moment(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError):
        return parse_timestamp(text)


class Versions:
    """`client` is boto3's S3 client. Every method raises CopyError."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def of(self, bucket: str, prefix: str) -> Iterator[Version]:
        """Yield every version and delete marker whose key begins with `prefix`, page by page."""
        position: dict[str, str] = {}
        while True:
            with _told():
                page = self._client.list_object_versions(Bucket=bucket, Prefix=prefix, **position)
            for entry in page.get("Versions", []):
                yield Version(entry["Key"], entry["VersionId"], entry["LastModified"], entry.get("Size", 0))
            for entry in page.get("DeleteMarkers", []):
                yield Version(entry["Key"], entry["VersionId"], entry["LastModified"], marker=True)
            if not page.get("IsTruncated"):
                return
            position = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def delete(self, bucket: str, versions: Iterable[Version]) -> Removal:
        """Delete versions for good, in batches side by side; `versions` may be a list that is still being read."""
        deleted, refused = 0, []
        under_way: set[Future[tuple[int, list[tuple[str, str]]]]] = set()
        following = iter(versions)
        with ThreadPoolExecutor(CONCURRENCY, "delete") as pool:

            def take(done: Iterable[Future[tuple[int, list[tuple[str, str]]]]]) -> None:
                nonlocal deleted
                for one in done:
                    count, errors = one.result()
                    deleted += count
                    refused.extend(errors)

            while batch := list(islice(following, BATCH)):
                if len(under_way) >= CONCURRENCY:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    take(done)
                under_way.add(pool.submit(self._delete, bucket, batch))
            take(under_way)
        return Removal(deleted, tuple(refused))

    def _delete(self, bucket: str, batch: list[Version]) -> tuple[int, list[tuple[str, str]]]:
        objects = [{"Key": version.key, "VersionId": version.id} for version in batch]
        with _told():
            # Quiet: S3 then names only what it refused.
            answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        errors = [(str(each.get("Key", "")), str(each.get("Code", ""))) for each in answer.get("Errors", [])]
        return len(batch) - len(errors), errors

    def uploads(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        """Return key and id of the multipart uploads under way below a prefix."""
        found: list[tuple[str, str]] = []
        position: dict[str, str] = {}
        while True:
            with _told():
                page = self._client.list_multipart_uploads(Bucket=bucket, Prefix=prefix, **position)
            uploads = page.get("Uploads", [])
            found += [(each["Key"], each["UploadId"]) for each in uploads if each["Key"].startswith(prefix)]
            if not page.get("IsTruncated"):
                return found
            position = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """Give up a multipart upload with its parts. One that is over is no error."""
        with _told():
            try:
                self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            except ClientError as error:
                if _code(error) != "NoSuchUpload":
                    raise

    def hold(self, bucket: str, version: Version, on: bool) -> bool:
        """Put a version under a legal hold, or take it from it; return False if it is gone or a delete marker."""
        if version.marker:
            return False
        with _told():
            try:
                self._client.put_object_legal_hold(
                    Bucket=bucket,
                    Key=version.key,
                    VersionId=version.id,
                    LegalHold={"Status": "ON" if on else "OFF"},
                )
            except ClientError as error:
                if _code(error) not in _GONE:
                    raise
                return False
        return True

    def is_held(self, bucket: str, version: Version) -> bool:
        """Tell whether a version is under a legal hold."""
        answer = self._protection("get_object_legal_hold", bucket, version)
        return bool((answer.get("LegalHold") or {}).get("Status") == "ON")

    def locked_until(self, bucket: str, version: Version) -> datetime | None:
        """Return until when the retention of a version keeps it, None if it has none."""
        answer = self._protection("get_object_retention", bucket, version)
        until: datetime | None = (answer.get("Retention") or {}).get("RetainUntilDate")
        return until

    def _protection(self, operation: str, bucket: str, version: Version) -> dict[str, Any]:
        if version.marker:
            return {}
        with _told():
            try:
                answer: dict[str, Any] = getattr(self._client, operation)(
                    Bucket=bucket, Key=version.key, VersionId=version.id
                )
            except ClientError as error:
                if _code(error) not in _UNLOCKED | _GONE:
                    raise
                return {}
        return answer


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        # Not chained: the error quotes the key.
        raise CopyError(f"S3: {_code(error) or type(error).__name__}") from None


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
