"""Uploads in parts: what moto lacks and the local cloud puts right, as the content bucket needs it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError
from parley.adapters.content import ContentStore, Part

from tests.local.cloud_fixture import Cloud, cloud

__all__ = ["cloud"]

FIRST, LAST = b"a" * (5 * 1024 * 1024), b"the end"


@pytest.fixture
def s3(cloud: Cloud, request: pytest.FixtureRequest) -> tuple[Any, str]:
    """Give a client and a bucket with versions and locks."""
    client = cloud.client("s3")
    bucket = f"content-{abs(hash(request.node.name))}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    return client, bucket


def sum_of(data: bytes) -> str:
    """Return a checksum as S3 has it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def refused(call: Any, **arguments: Any) -> str:
    """Call S3 and return the code of the error."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_store_puts_parts_with_checksums_under_a_hold(cloud: Cloud, s3: tuple[Any, str]) -> None:
    """An object of two parts, put as the archive puts it, has key, hold, tags and the checksum of both parts."""
    client, bucket = s3
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    store = ContentStore(client, bucket, key)
    upload = store.begin("k", media_type="audio/x-wav", tags={"class": "call-recordings"}, held=True)
    found, parts = store.send("k", upload, {}, [FIRST, FIRST, LAST])
    kept = store.parts("k", upload)
    assert kept == dict(enumerate(parts, 1))
    store.complete("k", upload, parts)
    stored = store.head("k")
    assert stored is not None
    assert (stored.size, stored.checksum, stored.kms_key) == (found.size, found.checksum, key)
    assert client.get_object_legal_hold(Bucket=bucket, Key="k")["LegalHold"]["Status"] == "ON"
    assert client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "class", "Value": "call-recordings"}]
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == FIRST + FIRST + LAST


def test_part_that_is_not_what_its_checksum_says_is_refused(s3: tuple[Any, str]) -> None:
    """S3 computes the SHA-256 of a part anew."""
    client, bucket = s3
    upload = client.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    place = {"Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": 1}
    assert refused(client.upload_part, **place, Body=LAST, ChecksumSHA256=sum_of(FIRST)) == "BadDigest"
    assert client.upload_part(**place, Body=LAST, ChecksumSHA256=sum_of(LAST))["ChecksumSHA256"] == sum_of(LAST)


def test_completion_names_the_checksum_of_each_part(s3: tuple[Any, str]) -> None:
    """An upload with checksums is not completed without them, nor with another one."""
    client, bucket = s3
    upload = client.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    place = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    tag = client.upload_part(**place, PartNumber=1, Body=LAST, ChecksumSHA256=sum_of(LAST))["ETag"]
    for named in ({}, {"ChecksumSHA256": sum_of(FIRST)}):
        parts = {"Parts": [{"PartNumber": 1, "ETag": tag, **named}]}
        assert refused(client.complete_multipart_upload, **place, MultipartUpload=parts) == "InvalidPart"
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag, "ChecksumSHA256": sum_of(LAST)}]}
    client.complete_multipart_upload(**place, MultipartUpload=parts)


def test_upload_that_is_over_is_unknown(s3: tuple[Any, str]) -> None:
    """No part is taken, listed or completed of an upload that was given up."""
    client, bucket = s3
    store = ContentStore(client, bucket, "")
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    store.abandon("k", upload)
    place = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    assert refused(client.upload_part, **place, PartNumber=1, Body=LAST) == "NoSuchUpload"
    assert store.parts("k", upload) is None
    store.complete("k", upload, [Part('"e"', b"", 0)])
    store.abandon("k", upload)
    assert store.head("k") is None


def test_object_is_put_once(s3: tuple[Any, str]) -> None:
    """A second upload leaves the object of the first one, and a removed one leaves nothing."""
    client, bucket = s3
    store = ContentStore(client, bucket, "alias/aws/s3")
    for data in (FIRST, LAST):
        upload = store.begin("k", media_type="audio/x-wav", tags={}, held=False)
        _, parts = store.send("k", upload, {}, [data])
        store.complete("k", upload, parts)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == FIRST
    assert not store.put("k", b"{}", media_type="application/json", tags={}, held=False)
    assert len(client.list_object_versions(Bucket=bucket)["Versions"]) == 1
    assert store.remove("k")
    assert not store.remove("k")
    assert "Versions" not in client.list_object_versions(Bucket=bucket)
