"""Party keys, the HMAC of an identifier under a KMS key that never leaves KMS, and identifiers sealed under another."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from parley.core.identity import canonical

CONTACT, LINE = "contact", "line"
"""The purposes in the encryption contexts of sealed identifiers and numbers, which the policies name."""


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
        return self._mac(canonical(identifier)).hex()

    def sign_link(self, message: bytes) -> bytes:
        """Return the MAC of a link's message, which is never that of an identifier.

        Raises ValueError for a message of anything else, LedgerError if KMS does not answer.
        """
        from parley.core.media_link import DOMAIN as MEDIA_LINK  # noqa: PLC0415 - no webhook that is waited for signs
        from parley.core.optout_link import DOMAIN as OPTOUT_LINK  # noqa: PLC0415 - as above

        if not message.startswith((OPTOUT_LINK, MEDIA_LINK)):
            raise ValueError("only the messages of links are signed here")
        return self._mac(message)

    def _mac(self, message: bytes) -> bytes:
        with _asking_for("MAC"):
            answer = self._client.generate_mac(KeyId=self._key, Message=message, MacAlgorithm="HMAC_SHA_256")
        mac: bytes = answer["Mac"]
        return mac


class Contacts:
    """Seals plain identifiers. `client` is boto3's KMS client, `key` the ARN of the evidence key.

    Nobody in the stack may decrypt what is sealed: to reach a person again, or to prove whose consent it was, somebody
    has to be let in by the key's policy first.
    """

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    def seal(self, party: str, identifier: str) -> bytes:
        """Return an identifier encrypted for its party and for nothing else. Raises LedgerError if KMS does not."""
        context = {"party": party, "purpose": CONTACT}
        plain = canonical(identifier)
        with _asking_for("sealed contact"):
            answer = self._client.encrypt(KeyId=self._key, Plaintext=plain, EncryptionContext=context)
        sealed: bytes = answer["CiphertextBlob"]
        return sealed


class Sealer:
    """Seals the numbers of the people in a session, to reach them later: the ledger never holds them plain (`direct`).

    `client` is boto3's KMS client, `key` the ARN of the line key. What is sealed for one session opens for no other.
    """

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    def seal(self, number: str, session: str) -> str:
        """Return a number encrypted for a session, in base64. Raises LedgerError."""
        with _asking_for("sealed number"):
            answer = self._client.encrypt(KeyId=self._key, Plaintext=number.encode(), EncryptionContext=_of(session))
        return base64.b64encode(answer["CiphertextBlob"]).decode("ascii")

    def open(self, sealed: str, session: str) -> str:
        """Return the number that was sealed for a session: plain, never log or keep. Raises LedgerError."""
        blob = base64.b64decode(sealed)
        with _asking_for("number"):
            answer = self._client.decrypt(KeyId=self._key, CiphertextBlob=blob, EncryptionContext=_of(session))
        plain: bytes = answer["Plaintext"]
        return plain.decode()


@contextmanager
def _asking_for(wanted: str) -> Iterator[None]:
    """Turn whatever goes wrong into LedgerError: most is botocore's, which is not imported where it does not ask."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - as above
        from parley.ports import LedgerError  # noqa: PLC0415 - as above

        # Not chained: botocore's errors may quote the request.
        raise LedgerError(f"no {wanted} from KMS ({type(error).__name__})") from None


def _of(session: str) -> dict[str, str]:
    return {"purpose": LINE, "session": session}
