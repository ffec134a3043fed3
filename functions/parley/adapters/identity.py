"""Party keys: the HMAC of an identifier under a KMS key that never leaves KMS."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parley.core.identity import canonical
from parley.ports import LedgerError


class Identities:
    """Makes party keys. `client` is boto3's KMS client, `key` the ARN of an HMAC_256 key."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    def party(self, identifier: str) -> str:
        """Return the key of the party behind a plain identifier: 64 hex digits.

        Raises IdentifierError for a malformed identifier, LedgerError if KMS does not answer: a person who cannot be
        told apart has no provable consent.
        """
        message = canonical(identifier)
        try:
            answer = self._client.generate_mac(KeyId=self._key, Message=message, MacAlgorithm="HMAC_SHA_256")
        except (BotoCoreError, ClientError) as error:
            # Not chained: botocore's errors may quote the request.
            raise LedgerError(f"no party key from KMS ({type(error).__name__})") from None
        mac: bytes = answer["Mac"]
        return mac.hex()
