"""Lists of versions: answered as moto answers them, without the bytes of the objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.s3.models import FakeKey, s3_backends

from local.aws import listings
from local.aws.mends import Mends
from tests.mocked_aws import mock_boto3

BUCKET = "content"


@pytest.fixture
def s3() -> Iterator[Any]:
    """Give a client and a bucket with versions, old ones and a delete marker among them."""
    make: Any = boto3.client
    with mock_boto3():
        client = make("s3", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        for key, body in (("a/1", b"old"), ("a/1", b"newer"), ("a/2", b"gone"), ("b/1", b"other")):
            client.put_object(Bucket=BUCKET, Key=key, Body=body, StorageClass="STANDARD_IA")
        client.delete_object(Bucket=BUCKET, Key="a/2")
        yield client
        client.close()


def listed(client: Any) -> list[dict[str, Any]]:
    """Return every page of two kinds of list, without what belongs to the request."""
    pages = [
        page
        for prefix in ("", "a/")
        for page in client.get_paginator("list_object_versions").paginate(
            Bucket=BUCKET, Prefix=prefix, PaginationConfig={"PageSize": 2}
        )
    ]
    return [{name: value for name, value in page.items() if name != "ResponseMetadata"} for page in pages]


def test_list_is_motos(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions, markers and pages are what moto answers by itself, and no object's bytes are read for them."""
    expected, mends = listed(s3), Mends()
    listings.install(mends)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(FakeKey, "__getstate__", lambda _: pytest.fail("an object was copied"))
            assert listed(s3) == expected
    finally:
        mends.undo()
    assert sum(len(page.get("Versions", [])) for page in expected) == 7
    assert sum(len(page.get("DeleteMarkers", [])) for page in expected) == 2


def test_objects_stay_as_they_are(s3: Any) -> None:
    """After a list every version still has its bytes, and none was marked or closed by it."""
    mends = Mends()
    listings.install(mends)
    try:
        listed(s3)
    finally:
        mends.undo()
    kept = s3_backends["123456789012"]["aws"].buckets[BUCKET].keys.getlist("a/1")
    assert [(each.value, each.disposed) for each in kept] == [(b"old", False), (b"newer", False)]
    assert s3.get_object(Bucket=BUCKET, Key="a/1")["Body"].read() == b"newer"
