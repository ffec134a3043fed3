"""Presigned addresses of S3 objects: the signature in the query, checked by botocore's own signer, and its time.

"Authenticating requests: using query parameters (AWS Signature Version 4)" of the S3 API reference. moto takes every
address; the functions give theirs to people, whom nothing else keeps from another object.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from local.aws.callers import SessionKeys

_SIGNATURE = "X-Amz-Signature"


@dataclass(frozen=True)
class _Address:
    """What the query of a presigned request says: when and by whom it was signed, for how long, and over what."""

    key: str
    region: str
    token: str
    stamp: str
    signed_at: datetime
    seconds: int
    names: Sequence[str]
    signature: str


def problem(environ: WSGIEnvironment, keys: Callable[[str], SessionKeys | None]) -> tuple[str, str] | None:
    """Return S3's code and message for a presigned request that is forged, changed or too late; None for any other.

    `keys` finds the credentials of an access key.
    """
    given = {name: values[0] for name, values in parse_qs(str(environ.get("QUERY_STRING", ""))).items()}
    if _SIGNATURE not in given:
        return None
    try:
        address = _read(given)
    except (KeyError, ValueError):
        return "AuthorizationQueryParametersError", "What the query says of its signature is incomplete or unreadable."
    credentials = keys(address.key)
    if (
        credentials is None
        or address.token != credentials.session_token
        or not _is_signed(environ, address, credentials)
    ):
        return "SignatureDoesNotMatch", "The signature is not that of this request by a key of this cloud."
    if (_now() - address.signed_at).total_seconds() > address.seconds:
        return "AccessDenied", "Request has expired"
    return None


def _now() -> datetime:
    """Return the machine's time: that is what addresses are signed with."""
    return datetime.now(UTC)


def _read(given: Mapping[str, str]) -> _Address:
    """Raise KeyError or ValueError for what is no signature of version 4 for S3."""
    key, day, region, service, end = given["X-Amz-Credential"].split("/")
    stamp = given["X-Amz-Date"]
    if (service, end) != ("s3", "aws4_request") or not stamp.startswith(day):
        raise ValueError(service)
    return _Address(
        key,
        region,
        given.get("X-Amz-Security-Token", ""),
        stamp,
        datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        int(given["X-Amz-Expires"]),
        given["X-Amz-SignedHeaders"].split(";"),
        given[_SIGNATURE],
    )


def _is_signed(environ: WSGIEnvironment, address: _Address, credentials: SessionKeys) -> bool:
    path, _, query = str(environ.get("RAW_URI", "/")).partition("?")
    rest = "&".join(part for part in query.split("&") if not part.startswith(f"{_SIGNATURE}="))
    headers = {name: str(environ.get(f"HTTP_{name.upper().replace('-', '_')}", "")) for name in address.names}
    request = AWSRequest(str(environ["REQUEST_METHOD"]), f"http://{headers.get('host')}{path}?{rest}", headers=headers)
    request.context["timestamp"] = address.stamp
    signer = S3SigV4QueryAuth(Credentials(address.key, credentials.secret_access_key), "s3", address.region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return hmac.compare_digest(signer.signature(text, request).encode(), address.signature.encode())
