"""Versions of objects: all of them are found and deleted, and what S3 keeps is told apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp
from parley.adapters.versions import BATCH, Version, Versions, _moment, s3_client
from parley.ports import CopyError

from local.aws import object_lock
from local.aws.mends import Mends
from tests.handlers.world import aws
from tests.mocked_aws import mock_boto3

BUCKET = "parley-content"
UNTIL = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a bucket with versions and locks, empty."""
    mends = Mends()
    object_lock.install(mends)
    with mock_boto3():
        client = aws("s3")
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        yield client
    mends.undo()


def put(s3: Any, key: str, times: int = 1) -> list[str]:
    """Put an object so many times; return the ids of its versions."""
    return [s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")["VersionId"] for _ in range(times)]


def test_versions_and_markers_all_go(s3: Any) -> None:
    """Current and old versions and delete markers below a prefix go, and what is beside it stays."""
    put(s3, "calls/a", 3)
    put(s3, "calls/b")
    s3.delete_object(Bucket=BUCKET, Key="calls/b")
    put(s3, "messages/a")
    versions = Versions(s3)
    found = list(versions.of(BUCKET, "calls/"))
    assert sorted((one.key, one.marker) for one in found) == [
        *[("calls/a", False)] * 3,
        ("calls/b", False),
        ("calls/b", True),
    ]
    assert versions.delete(BUCKET, found).deleted == 5
    assert list(versions.of(BUCKET, "calls/")) == []
    assert [one.key for one in versions.of(BUCKET, "")] == ["messages/a"]


def test_times_are_boto3s(s3: Any) -> None:
    """The client of long lists tells the same times as boto3's own, of versions and of headers."""
    put(s3, "calls/a", 2)
    quick = s3_client(Config(), region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    assert list(Versions(quick).of(BUCKET, "")) == list(Versions(s3).of(BUCKET, ""))
    ours, theirs = (each.head_object(Bucket=BUCKET, Key="calls/a")["LastModified"] for each in (quick, s3))
    assert ours == theirs


@pytest.mark.parametrize(
    "text", ["2026-05-04T12:00:00.000Z", "2026-05-04T14:00:00+02:00", "Mon, 04 May 2026 12:00:00 GMT", 1777896000]
)
def test_any_form_of_a_time_is_read(text: Any) -> None:
    """Whatever form AWS gives a time in, it is the moment that boto3 reads."""
    assert _moment(text) == parse_timestamp(text) == datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_pages_and_batches() -> None:
    """Every page of a list is read, and a batch never has more than S3 takes."""
    made = datetime(2026, 5, 4, tzinfo=UTC)
    batches: list[int] = []

    class Client:
        def list_object_versions(self, *, KeyMarker: str = "0", **_: str) -> dict[str, Any]:  # noqa: N803 - boto3's own name
            start = int(KeyMarker)
            entries = [
                {"Key": f"{number}", "VersionId": "v", "LastModified": made} for number in range(start, start + 900)
            ]
            more = {"NextKeyMarker": str(start + 900), "NextVersionIdMarker": "v"}
            return {"Versions": entries, "IsTruncated": start < 1800, **more}

        def delete_objects(self, *, Delete: Any, **_: str) -> dict[str, Any]:  # noqa: N803 - boto3's own name
            batches.append(len(Delete["Objects"]))
            return {"Errors": [{"Key": "7", "Code": "AccessDenied"}]} if Delete["Objects"][0]["Key"] == "0" else {}

    versions = Versions(Client())
    removal = versions.delete(BUCKET, versions.of(BUCKET, ""))
    assert sorted(batches) == [700, BATCH, BATCH]
    assert (removal.deleted, removal.refused) == (2699, (("7", "AccessDenied"),))
    assert versions.delete(BUCKET, []).deleted == 0


def test_locked_and_held_versions_are_told_apart(s3: Any) -> None:
    """What a retention or a hold protects is refused, while the rest of the batch goes, and each tells why."""
    put(s3, "a", 1)
    (locked,), (held,) = put(s3, "b"), put(s3, "c")
    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": UNTIL}
    s3.put_object_retention(Bucket=BUCKET, Key="b", VersionId=locked, Retention=retention)
    versions = Versions(s3)
    assert versions.hold(BUCKET, Version("c", held, UNTIL), on=True)
    removal = versions.delete(BUCKET, versions.of(BUCKET, ""))
    assert removal.deleted == 1
    assert sorted(removal.refused) == [("b", "AccessDenied"), ("c", "AccessDenied")]
    told = {
        one.key: (versions.is_held(BUCKET, one), versions.locked_until(BUCKET, one)) for one in versions.of(BUCKET, "")
    }
    assert told == {"b": (False, UNTIL), "c": (True, None)}
    assert versions.hold(BUCKET, Version("c", held, UNTIL), on=False)
    assert not versions.is_held(BUCKET, Version("c", held, UNTIL))


def test_delete_markers_have_no_protection(s3: Any) -> None:
    """A delete marker is neither held nor locked, and cannot be."""
    marker = Version("a", "v", UNTIL, marker=True)
    versions = Versions(s3)
    assert (versions.is_held(BUCKET, marker), versions.locked_until(BUCKET, marker)) == (False, None)
    assert not versions.hold(BUCKET, marker, on=True)


def test_uploads_under_way(s3: Any) -> None:
    """An upload that is under way below a prefix is found and given up, and giving it up twice is no error."""
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="calls/a")["UploadId"]
    s3.create_multipart_upload(Bucket=BUCKET, Key="messages/a")
    versions = Versions(s3)
    assert versions.uploads(BUCKET, "calls/") == [("calls/a", upload)]
    versions.abort(BUCKET, "calls/a", upload)
    versions.abort(BUCKET, "calls/a", upload)
    assert versions.uploads(BUCKET, "calls/") == []


def test_store_that_does_not_answer() -> None:
    """S3's own error becomes one that names its code and nothing else."""

    class Client:
        def __getattr__(self, operation: str) -> Any:
            def refuse(**_: Any) -> None:
                raise ClientError({"Error": {"Code": "SlowDown", "Message": "calls/a"}}, operation)

            return refuse

    versions, one = Versions(Client()), Version("calls/a", "v", UNTIL - timedelta(days=1))
    for act in (
        lambda: list(versions.of(BUCKET, "")),
        lambda: versions.delete(BUCKET, [one]),
        lambda: versions.uploads(BUCKET, ""),
        lambda: versions.abort(BUCKET, "calls/a", "u"),
        lambda: versions.hold(BUCKET, one, on=True),
        lambda: versions.is_held(BUCKET, one),
    ):
        with pytest.raises(CopyError, match=r"^S3: SlowDown$"):
            act()
