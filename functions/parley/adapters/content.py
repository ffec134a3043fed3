"""The content bucket: recordings and messages, put once, under the content key, with checksums that S3 computes anew.

A large object goes up in parts, each as soon as it is read, so that memory is two parts whatever the length. S3 keeps
the parts until the upload is completed, and refuses to complete one over an object that is there (`If-None-Match`).
"""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from parley.core.archive import HEADER_LIMIT, PART, PARTS_LIMIT, Found, MediaError
from parley.ports import ContentError

PATIENT: Final = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"total_max_attempts": 5, "mode": "standard"},
    # Each part's own SHA-256 is a header that is signed: to sign the body as well would be to hash it once more.
    s3={"payload_signing_enabled": False},
)
"""For a client that nobody waits for: a part may take a while, and S3's 503 SlowDown is waited out."""

BUFFERS: Final = 3
"""How many parts are in memory: one that is read, the others on their way."""

_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_LOST: Final = frozenset({"NoSuchUpload", "404"})
_TAKEN: Final = "PreconditionFailed"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as S3 has it. `checksum` is what S3 says of its SHA-256: of parts, `Found.checksum`; else of it all."""

    version: str
    size: int
    checksum: str
    media_type: str
    kms_key: str

    @property
    def sha256(self) -> str:
        """The SHA-256 (hex) of an object that was put whole."""
        return base64.b64decode(self.checksum).hex()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload that S3 has: what S3 names it by, its SHA-256 and its bytes."""

    tag: str
    digest: bytes
    size: int


class ContentStore:
    """The content bucket. `client` is boto3's S3 client, `kms_key` the ARN of the content key.

    Every method raises ContentError.
    """

    def __init__(self, client: Any, bucket: str, kms_key: str) -> None:
        self._client = client
        self._bucket = bucket
        self._kms_key = kms_key

    def head(self, key: str) -> Stored | None:
        """Return the object of a key, or None if there is none."""
        with _told():
            try:
                found = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
        return Stored(
            version=found.get("VersionId", ""),
            size=found["ContentLength"],
            checksum=found.get("ChecksumSHA256", ""),
            media_type=found.get("ContentType", ""),
            kms_key=found.get("SSEKMSKeyId", ""),
        )

    def put(self, key: str, body: bytes, *, media_type: str, tags: Mapping[str, str], held: bool) -> bool:
        """Put a small object; return False, and change nothing, if there is one already."""
        with _told():
            try:
                self._client.put_object(
                    **self._new(key, media_type, tags, held),
                    Body=body,
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if _code(error) == _TAKEN:
                    return False
                raise
        return True

    def begin(self, key: str, *, media_type: str, tags: Mapping[str, str], held: bool) -> str:
        """Begin an upload in parts and return its id. `held` puts the object under a legal hold from the start."""
        with _told():
            begun = self._client.create_multipart_upload(**self._new(key, media_type, tags, held))
        return str(begun["UploadId"])

    def _new(self, key: str, media_type: str, tags: Mapping[str, str], held: bool) -> dict[str, Any]:
        return {
            "Bucket": self._bucket,
            "Key": key,
            "ContentType": media_type,
            "Tagging": urlencode(tags),
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": self._kms_key,
            "BucketKeyEnabled": True,
            "ChecksumAlgorithm": "SHA256",
            **({"ObjectLockLegalHoldStatus": "ON"} if held else {}),
        }

    def parts(self, key: str, upload: str) -> dict[int, Part] | None:
        """Return the parts that S3 has of an upload by their numbers, or None if the upload is over."""
        found: dict[int, Part] = {}
        marker = 0
        while True:
            with _told():
                try:
                    page = self._client.list_parts(
                        Bucket=self._bucket, Key=key, UploadId=upload, PartNumberMarker=marker
                    )
                except ClientError as error:
                    if _code(error) in _LOST:
                        return None
                    raise
            for part in page.get("Parts", []):
                digest = base64.b64decode(part.get("ChecksumSHA256", ""))
                found[part["PartNumber"]] = Part(part["ETag"], digest, part["Size"])
            if not page.get("IsTruncated"):
                return found
            marker = page["NextPartNumberMarker"]

    def send(
        self, key: str, upload: str, present: Mapping[int, Part], pieces: Iterable[bytes]
    ) -> tuple[Found, list[Part]]:
        """Read a file and send it in parts, but for those that are `present` and the same.

        Return what was read, and the parts in order. One part is read while the one before it is hashed and sent.
        Raises MediaError if the file has too many parts, and whatever reading `pieces` raises.
        """

        def transfer(number: int, data: bytearray) -> Part:
            digest, known = hashlib.sha256(data).digest(), present.get(number)
            if known is not None and (known.digest, known.size) == (digest, len(data)):
                return known
            return self._send_part(key, upload, number, data, digest)

        return _read(pieces, transfer)

    def _send_part(self, key: str, upload: str, number: int, data: bytearray, digest: bytes) -> Part:
        with _told():
            answer = self._client.upload_part(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                Body=data,
                ChecksumSHA256=base64.b64encode(digest).decode(),
            )
        return Part(answer["ETag"], digest, len(data))

    def complete(self, key: str, upload: str, parts: Iterable[Part]) -> None:
        """Make the object of the parts. Where somebody else made it first, that one stays: `head` tells of it."""
        listed = [
            {"PartNumber": number, "ETag": part.tag, "ChecksumSHA256": base64.b64encode(part.digest).decode()}
            for number, part in enumerate(parts, 1)
        ]
        with _told():
            try:
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=upload,
                    MultipartUpload={"Parts": listed},
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if _code(error) not in _LOST | {_TAKEN}:
                    raise

    def abandon(self, key: str, upload: str) -> None:
        """Give up an upload with its parts. One that is over is no error."""
        with _told():
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
            except ClientError as error:
                if _code(error) not in _LOST:
                    raise

    def hold(self, key: str) -> None:
        """Put the object of a key under a legal hold."""
        with _told():
            self._client.put_object_legal_hold(Bucket=self._bucket, Key=key, LegalHold={"Status": "ON"})

    def remove(self, key: str) -> bool:
        """Remove the object of a key for good; return False if there is none.

        It is put once, so there is one version of it. S3 refuses to remove what is under a legal hold.
        """
        stored = self.head(key)
        if stored is None:
            return False
        with _told():
            self._client.delete_object(Bucket=self._bucket, Key=key, VersionId=stored.version)
        return True


def measured(pieces: Iterable[bytes]) -> Found:
    """Read a file without sending it anywhere, to compare it with what S3 has. Raises what reading `pieces` raises."""
    return _read(pieces, lambda _number, data: Part("", hashlib.sha256(data).digest(), len(data)))[0]


def _read(pieces: Iterable[bytes], transfer: Any) -> tuple[Found, list[Part]]:
    """Read pieces into buffers by turns, and hand each full one over to `transfer` and to a hash of it all.

    hashlib and sockets let other threads run: one part is read while the one before it is hashed and sent.
    """
    whole, size, head = hashlib.sha256(), 0, b""
    parts: list[Part] = []
    sent: deque[Future[Part]] = deque()
    hashed: deque[Future[None]] = deque()
    buffers, filled = deque(bytearray(PART) for _ in range(BUFFERS)), 0
    with ThreadPoolExecutor(1, "part") as sender, ThreadPoolExecutor(1, "whole") as hasher:

        def settle() -> None:
            parts.append(sent.popleft().result())
            hashed.popleft().result()

        def hand_over() -> None:
            nonlocal filled
            if len(parts) + len(sent) == PARTS_LIMIT:
                raise MediaError("too-large")
            sent.append(sender.submit(transfer, len(parts) + len(sent) + 1, buffers[0]))
            hashed.append(hasher.submit(whole.update, buffers[0]))
            if len(sent) == BUFFERS:
                settle()
            buffers.rotate(-1)
            filled = 0

        for piece in pieces:
            if size < HEADER_LIMIT:
                head = (head + piece[:HEADER_LIMIT])[:HEADER_LIMIT]
            size += len(piece)
            rest = memoryview(piece)
            while rest:
                taken = min(len(rest), PART - filled)
                buffers[0][filled : filled + taken] = rest[:taken]
                filled, rest = filled + taken, rest[taken:]
                if filled == PART:
                    hand_over()
        if filled:
            del buffers[0][filled:]
            hand_over()
        while sent:
            settle()
    return Found(size, whole.hexdigest(), tuple(part.digest for part in parts), head), parts


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        # Not chained: the error quotes the key and the account.
        raise ContentError(f"S3: {_code(error) or type(error).__name__}") from None


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
