"""Proofs of erasure: signed under a KMS key that signs nothing else, and kept once in the evidence bucket.

What is signed is the SHA-256 of the proof's text (KMS Sign, MessageType DIGEST, ECDSA_SHA_256 over NIST P-256), so
anybody verifies it with the public key alone. Nobody here can replace a proof that is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parley.core.erasure import ALGORITHM, Signed
from parley.core.record_classes import RecordClass
from parley.core.retention import CURRENT_DECLARATION
from parley.ports import CopyError

PREFIX = f"{RecordClass.ERASURE_PROOFS}/"
_MISSING = frozenset({"NoSuchKey", "404"})


class Proofs:
    """`kms` and `s3` are boto3's clients, `proof_key` the ARN of the key that signs, `evidence_key` of the bucket's.

    Every method raises CopyError.
    """

    def __init__(self, kms: Any, s3: Any, *, proof_key: str, bucket: str, evidence_key: str) -> None:
        self._kms = kms
        self._s3 = s3
        self._proof_key = proof_key
        self._bucket = bucket
        self._evidence_key = evidence_key

    def sign(self, text: str) -> Signed:
        """Sign the text of a proof."""
        with _told("KMS"):
            answer = self._kms.sign(
                KeyId=self._proof_key, Message=_digest(text), MessageType="DIGEST", SigningAlgorithm=ALGORITHM
            )
            public = self._kms.get_public_key(KeyId=self._proof_key)["PublicKey"]
        return Signed(text, answer["Signature"], public, answer["KeyId"])

    def holds(self, signed: Signed) -> bool:
        """Tell whether a proof was signed by this stack's own key, whatever key it names itself."""
        with _told("KMS"):
            try:
                answer = self._kms.verify(
                    KeyId=self._proof_key,
                    Message=_digest(signed.text),
                    MessageType="DIGEST",
                    Signature=signed.signature,
                    SigningAlgorithm=ALGORITHM,
                )
            except ClientError as error:
                if _code(error) == "KMSInvalidSignatureException":
                    return False
                raise
        return bool(answer["SignatureValid"])

    def keep(self, name: str, text: str) -> bool:
        """Write a proof's file; return False, and change nothing, if there is one of that name."""
        with _told("S3"):
            try:
                self._s3.put_object(
                    Bucket=self._bucket,
                    Key=f"{PREFIX}{name}.json",
                    Body=text.encode(),
                    ContentType="application/json",
                    ServerSideEncryption="aws:kms",
                    SSEKMSKeyId=self._evidence_key,
                    BucketKeyEnabled=True,
                    ChecksumAlgorithm="SHA256",
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if _code(error) == "PreconditionFailed":
                    return False
                raise
        return True

    def read(self, name: str) -> str | None:
        """Return a proof's file, or None if there is none of that name."""
        body = self._read(f"{PREFIX}{name}.json")
        return None if body is None else body.decode("utf-8", "replace")

    def declaration(self) -> str:
        """Return the SHA-256 (hex) of what the stack declares now, empty if it declared nothing yet."""
        body = self._read(CURRENT_DECLARATION)
        return "" if body is None else hashlib.sha256(body).hexdigest()

    def _read(self, key: str) -> bytes | None:
        with _told("S3"):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
            body: bytes = answer["Body"].read()
        return body


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@contextmanager
def _told(service: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise CopyError(f"{service}: {_code(error) or type(error).__name__}") from None


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
