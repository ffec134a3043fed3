"""Addresses under which one version of an object can be read for a few minutes, and nothing else.

They are signed with the function's own credentials (Signature Version 4, as objects under a KMS key demand), so that
whoever gets one needs no right of their own on the bucket or the key. Nothing is sent for it.
"""

from __future__ import annotations

from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from parley.ports import ContentError

SIGNED: Final = Config(signature_version="s3v4")


class Downloads:
    """The content bucket. `client` is boto3's S3 client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def url(self, key: str, version: str, *, media_type: str, name: str, seconds: int) -> str:
        """Return an address of one version that works for `seconds`; what is fetched is saved as `name`.

        Raises ContentError if the function has no credentials.
        """
        try:
            made: str = self._client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": key,
                    "VersionId": version,
                    "ResponseContentType": media_type,
                    # It is saved and never shown: a file that somebody sent could be a page with a program in it.
                    "ResponseContentDisposition": f'attachment; filename="{name}"',
                    "ResponseCacheControl": "no-store",
                },
                ExpiresIn=seconds,
            )
        except (ClientError, BotoCoreError) as error:
            raise ContentError(f"S3: {type(error).__name__}") from None
        return made
