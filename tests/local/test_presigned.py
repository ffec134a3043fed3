"""Presigned addresses: what S3 takes, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local.aws import presigned
from tests.local.cloud_fixture import Cloud, cloud

__all__ = ["cloud"]


@pytest.fixture
def s3(cloud: Cloud) -> Iterator[Any]:
    """Give a client of S3 that signs addresses by version 4, and a bucket with one object."""
    keys = cloud.running.credentials
    session: Any = boto3.Session(keys.aws_access_key_id, keys.aws_secret_access_key, region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=cloud.running.aws_endpoint, config=Config(signature_version="s3v4"))
    s3.create_bucket(Bucket="sounds")
    s3.put_object(Bucket="sounds", Key="a b/één.wav", Body=b"sound")
    yield s3
    s3.close()


def address(s3: Any, **wanted: str) -> str:
    """Return an address of the object that works for a minute."""
    where = {"Bucket": "sounds", "Key": "a b/één.wav", **wanted}
    url: str = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=60)
    return url


def test_address_gives_its_object(cloud: Cloud, s3: Any) -> None:
    """An address works as it was signed, with any key and with what else it sets."""
    for url in (address(s3), address(s3, ResponseContentType="audio/x-wav")):
        answer = cloud.http.request("GET", url)
        assert (answer.status, answer.data) == (200, b"sound")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sounds/a", "sounds/b"),
        ("Expires=60", "Expires=6000"),
        ("Signature=", "Signature=0"),
        ("Credential=", "Credential=ASIA"),
    ],
)
def test_changed_address_gives_nothing(cloud: Cloud, s3: Any, old: str, new: str) -> None:
    """Another object, a longer time, another signature or key is a 403."""
    changed = address(s3).replace(old, new, 1)
    assert changed != address(s3)
    answer = cloud.http.request("GET", changed)
    assert (answer.status, b"SignatureDoesNotMatch" in answer.data) == (403, True)


def test_address_is_for_its_method(cloud: Cloud, s3: Any) -> None:
    """An address to read does not write."""
    assert cloud.http.request("PUT", address(s3), body=b"noise").status == 403
    assert cloud.http.request("GET", address(s3)).data == b"sound"


def test_address_that_lacks_something_is_refused(cloud: Cloud, s3: Any) -> None:
    """An address without its date is a 403 that says so."""
    answer = cloud.http.request("GET", address(s3).replace("X-Amz-Date=", "X-Amz-Day=", 1))
    assert (answer.status, b"AuthorizationQueryParametersError" in answer.data) == (403, True)


def test_address_expires(cloud: Cloud, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that was validly signed longer ago than it works for gives nothing."""
    url = address(s3)
    assert cloud.http.request("GET", url).status == 200
    monkeypatch.setattr(presigned, "_now", lambda: datetime.now(UTC) + timedelta(seconds=61))
    answer = cloud.http.request("GET", url)
    assert (answer.status, b"Request has expired" in answer.data) == (403, True)
