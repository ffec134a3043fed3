"""Uploads in parts as S3 has them, where moto stops short.

moto neither checks nor keeps the SHA-256 of a part, falls over an upload that is over, forgets the legal hold and the
bucket key of an upload, and leaves the number of parts out of the checksum that HeadObject answers. Rules: "Checking
object integrity" and "Uploading and copying objects using multipart upload" of the S3 User Guide; UploadPart,
ListParts, CompleteMultipartUpload and CreateMultipartUpload of the API Reference.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any
from xml.dom import minidom

from moto.s3.exceptions import InvalidPart, NoSuchUpload, S3ClientError
from moto.s3.models import FakeMultipart
from moto.s3.responses import S3Response

if TYPE_CHECKING:
    from local.aws.mends import Mends

_CHECKSUM = "x-amz-checksum-sha256"
_HOLD = "x-amz-object-lock-legal-hold"
_BUCKET_KEY = "x-amz-server-side-encryption-bucket-key-enabled"


class BadDigestError(S3ClientError):
    """S3's answer to a part that is not what its checksum says."""

    code = "BadDigest"

    def __init__(self) -> None:
        super().__init__("The SHA256 you specified did not match the calculated checksum.")


def install(mends: Mends) -> None:
    """Close moto's gaps round uploads in parts."""
    mends.wrap(S3Response, "upload_part", _upload_part)
    mends.wrap(S3Response, "list_parts", _list_parts)
    mends.wrap(S3Response, "_key_response_post", _key_response_post)
    mends.wrap(S3Response, "head_object", _head_object)


def _upload(response: Any) -> FakeMultipart:
    upload_id = response._get_param("uploadId")  # noqa: SLF001 - moto's own way to find it
    upload: FakeMultipart | None = response.backend.get_bucket(response.bucket_name).multiparts.get(upload_id)
    if upload is None:
        raise NoSuchUpload(upload_id=upload_id)
    return upload


def _upload_part(original: Any, response: Any) -> Any:
    upload, claimed = _upload(response), response.headers.get(_CHECKSUM)
    computed = base64.b64encode(hashlib.sha256(response.body).digest()).decode()
    if claimed is not None and claimed != computed:
        raise BadDigestError
    status, headers, body = original(response)
    if upload.metadata.get("x-amz-checksum-algorithm") == "SHA256":
        upload.parts[response._get_int_param("partNumber")].checksum_value = computed  # noqa: SLF001 - as above
        headers[_CHECKSUM] = computed
    return status, headers, body


def _list_parts(original: Any, response: Any) -> Any:
    """Say the checksum of each part: its ETag is followed by it."""
    upload = _upload(response)
    status, headers, body = original(response)

    def told(match: re.Match[str]) -> str:
        checksum = upload.parts[int(match[1])].checksum_value
        return match[0] if checksum is None else f"{match[0]}<ChecksumSHA256>{checksum}</ChecksumSHA256>"

    text = body.decode() if isinstance(body, bytes) else body
    return status, headers, re.sub(r"<PartNumber>(\d+)</PartNumber>", told, text)


def _key_response_post(
    original: Any, response: Any, request: Any, body: bytes, bucket_name: str, query: dict[str, Any], key_name: str
) -> Any:
    bucket = response.backend.get_bucket(bucket_name)
    if "uploads" in query:
        before = set(bucket.multiparts)
        answer = original(response, request, body, bucket_name, query, key_name)
        for upload_id in set(bucket.multiparts) - before:
            vars(bucket.multiparts[upload_id])["wishes"] = (
                request.headers.get(_HOLD),
                request.headers.get(_BUCKET_KEY),
            )
        return answer
    if "uploadId" not in query:
        return original(response, request, body, bucket_name, query, key_name)
    upload = bucket.multiparts.get(query["uploadId"][0])
    existing = response.backend.get_object(bucket_name, key_name)
    if upload is None and not _is_of(existing, query["uploadId"][0]):
        raise NoSuchUpload(upload_id=query["uploadId"][0])
    if upload is not None:
        _check_parts(upload, body)
    answer = original(response, request, body, bucket_name, query, key_name)
    made = response.backend.get_object(bucket_name, key_name)
    if upload is not None and _is_of(made, upload.id):
        hold, bucket_key = vars(upload).get("wishes", (None, None))
        made.lock_legal_status = hold or made.lock_legal_status
        made.bucket_key_enabled = bucket_key
    return answer


def _is_of(key: Any, upload_id: str) -> bool:
    return key is not None and key.multipart is not None and key.multipart.id == upload_id


def _check_parts(upload: FakeMultipart, body: bytes) -> None:
    """Hold the checksums that a completion names against those of the parts; an upload with checksums needs them."""
    for part in minidom.parseString(body).getElementsByTagName("Part"):  # noqa: S318 - our own request
        named = {child.nodeName: child.firstChild.nodeValue for child in part.childNodes if child.firstChild}
        known = upload.parts.get(int(named["PartNumber"] or 0))
        if known is not None and known.checksum_value != named.get("ChecksumSHA256", known.checksum_value and ""):
            raise InvalidPart


def _head_object(
    original: Any, response: Any, bucket_name: str, query: dict[str, Any], key_name: str, headers: Any
) -> Any:
    status, told, body = original(response, bucket_name, query, key_name, headers)
    if status == 200 and _CHECKSUM in told:
        key = response.backend.get_object(bucket_name, key_name, version_id=query.get("versionId", [None])[0])
        if key.checksum_type == "COMPOSITE":
            told[_CHECKSUM] = f"{key.checksum_value}-{key.checksum_parts}"
    return status, told, body
