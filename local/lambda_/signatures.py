"""Checking Signature Version 4 of requests to routes with IAM authorization, by botocore's own signer."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.aws.callers import SessionKeys

_HEADER = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)")
#: AWS takes a request for five minutes after (and before) the moment that it was signed at.
_SKEW_SECONDS = 300.0


def signer(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    service: str,
    keys: Callable[[str], SessionKeys | None],
) -> str | None:
    """Return the access key that has validly signed a request just now, or None.

    `headers` have lower-case names; `keys` finds the credentials of an access key.
    """
    found = _HEADER.match(headers.get("authorization", ""))
    if found is None:
        return None
    scope, names, signature = found[1].split("/"), found[2].split(";"), found[3]
    stamp = headers.get("x-amz-date", "")
    credentials = keys(scope[0]) if len(scope) == 5 and scope[3:] == [service, "aws4_request"] else None
    if credentials is None or "host" not in names or not _fresh(stamp, scope[1]):
        return None
    if not hmac.compare_digest(headers.get("x-amz-security-token", "").encode(), credentials.session_token.encode()):
        return None
    request = AWSRequest(method=method, url=url, data=body, headers={n: headers[n] for n in names if n in headers})
    request.context["timestamp"] = stamp
    key = Credentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token or None)
    auth = SigV4Auth(key, service, scope[2])
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return scope[0] if hmac.compare_digest(auth.signature(text, request), signature) else None


def _fresh(stamp: str, day: str) -> bool:
    """Tell whether a request was signed just now. The machine's clock counts: that is what clients sign with."""
    try:
        signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return stamp.startswith(day) and abs((datetime.now(UTC) - signed).total_seconds()) <= _SKEW_SECONDS
