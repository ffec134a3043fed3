"""Reads that a webhook waits for, signed here (AWS Signature Version 4) and sent over one connection that stays open.

boto3 takes several times as long to import as all the rest of the gate, and Twilio connects people when the gate does
not answer in time. So what is asked before anybody is connected goes without it: `GetItem` of DynamoDB,
`GetSecretValue` of Secrets Manager, `GenerateMac` and `Decrypt` of KMS. What is unusual goes to boto3: credentials that
are not in the environment (SnapStart), a region of another partition, an endpoint of one's own, a proxy, binary
attributes, a second thread that asks at the same time, and every answer but 200, so that errors are boto3's own. Only
where no answer comes at all is nobody else asked: the function's time would be over before it could say no.
https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from parley.adapters.connection import Connection, UnusualError

TIMEOUT = 1.5
"""Seconds for one attempt; the second one has a connection of its own, since a kept one may have been closed."""

TARGETS = {
    "get_item": ("dynamodb", "DynamoDB_20120810.GetItem", "application/x-amz-json-1.0", ""),
    "get_secret_value": ("secretsmanager", "secretsmanager.GetSecretValue", "application/x-amz-json-1.1", ""),
    "generate_mac": ("kms", "TrentService.GenerateMac", "application/x-amz-json-1.1", "Mac"),
    "decrypt": ("kms", "TrentService.Decrypt", "application/x-amz-json-1.1", "Plaintext"),
}
"""boto3's name of an operation -> its service, its target, the type of its body, and what of its answer is bytes."""

_BYTES = re.compile(rb'\{\s*"BS?"\s*:')
_REGION = re.compile(r"(us|eu|ap|ca|sa|me|af|il|mx)-[a-z]+-[0-9]")
_UNUSUAL = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy")
_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


class Signed:
    """One service's reads for an execution environment with credentials in its variables."""

    def __init__(self, service: str, region: str, environ: Mapping[str, str], base: str) -> None:
        self._service, self._region, self._environ = service, region, environ
        parts = urlsplit(base)
        self._host, self._kind = parts.netloc, HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._lock = threading.Lock()
        self._open: Connection | None = None

    def connect(self) -> None:
        """Open the connection, so that the first read need not. Raises OSError."""
        with self._lock:
            self._opened()

    def ask(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer of an operation, None where boto3 is to ask. Raises OSError, HTTPException: no answer."""
        if not self._lock.acquire(blocking=False):  # boto3 has a connection for each thread
            return None
        try:
            return self._asked(operation, arguments)
        except (OSError, HTTPException):  # the connection that was kept may have been closed
            return self._asked(operation, arguments)
        finally:
            self._lock.release()

    def _asked(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        _, target, kind, blob = TARGETS[operation]
        body = json.dumps(arguments, default=_base64).encode()
        try:
            status, text = self._opened().post(self._headers(target, kind, body, time.gmtime()), body)
        except UnusualError:
            self._close()
            return None
        except (OSError, HTTPException):
            self._close()
            raise
        # Bytes are base64 on the wire, and boto3's callers expect them decoded.
        if status != 200 or _BYTES.search(text):
            return None
        answer: dict[str, Any] = json.loads(text)
        return {**answer, blob: a2b_base64(answer[blob])} if blob else answer

    def _opened(self) -> Connection:
        if self._open is None:
            self._open = Connection(self._kind(self._host, timeout=TIMEOUT))
        return self._open

    def close(self) -> None:
        """Close the connection; the next read opens another one."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _headers(self, target: str, kind: str, body: bytes, now: time.struct_time) -> dict[str, str]:
        moment = time.strftime("%Y%m%dT%H%M%SZ", now)
        headers = {"content-type": kind, "host": self._host, "x-amz-date": moment, "x-amz-target": target}
        if token := self._environ.get("AWS_SESSION_TOKEN"):
            headers["x-amz-security-token"] = token
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        signed = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = b"AWS4" + self._environ["AWS_SECRET_ACCESS_KEY"].encode()
        for part in (*scope.split("/"), signed):
            key = hmac.digest(key, part.encode(), "sha256")
        credential = f"{self._environ['AWS_ACCESS_KEY_ID']}/{scope}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
        )
        return headers


def _base64(value: bytes) -> str:
    return b2a_base64(value, newline=False).decode("ascii")


def signed(service: str, environ: Mapping[str, str]) -> Signed | None:
    """Return the reads of a service, None where something about the environment is unusual."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    own = environ.get("AWS_ENDPOINT_URL", "")
    usual = environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY") and _REGION.fullmatch(region)
    named = any(name.startswith("AWS_ENDPOINT_URL_") for name in environ) or any(environ.get(each) for each in _UNUSUAL)
    if not usual or named or (own and urlsplit(own).hostname not in _LOOPBACK):
        return None
    return Signed(service, region, environ, own or f"https://{service}.{region}.amazonaws.com")
