"""The floor of the gate: one HMAC and one signed read over a connection that stays open, and nothing of a product."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qs, urlsplit

HOST = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
REGION, URL, TABLE = os.environ["AWS_REGION"], os.environ["PARLEY_PUBLIC_URL"], os.environ["PARLEY_LEDGER_TABLE"]
KEY, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
connection = HTTPConnection(HOST, timeout=2)
connection.connect()


def ask(service: str, target: str, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Send one signed request."""
    body = json.dumps(payload).encode()
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"content-type": kind, "host": HOST, "x-amz-date": moment, "x-amz-target": target}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{REGION}/{service}/aws4_request"
    signed = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in (*scope.split("/"), signed):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    connection.request("POST", "/", body, headers)
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


secret = ask("secretsmanager", "secretsmanager.GetSecretValue", "application/x-amz-json-1.1", {"SecretId": "twilio"})[
    "SecretString"
]
TOKEN = json.loads(secret)["auth_tokens"][0].encode()


def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer 200 for a signed webhook of an open session."""
    form = parse_qs(base64.b64decode(event["body"]).decode(), keep_blank_values=True)
    text = URL + event["rawPath"] + "".join(name + form[name][0] for name in sorted(form))
    given = event["headers"]["x-twilio-signature"]
    if not hmac.compare_digest(base64.b64encode(hmac.digest(TOKEN, text.encode(), "sha1")).decode(), given):
        return {"statusCode": 403}
    key = {"pk": {"S": f"SESSION#{form['interactionSessionSid'][0]}"}, "sk": {"S": "SESSION"}}
    wanted = {"TableName": TABLE, "Key": key, "ConsistentRead": True}
    item = ask("dynamodb", "DynamoDB_20120810.GetItem", "application/x-amz-json-1.0", wanted).get("Item")
    return {"statusCode": 200 if item and item["status"]["S"] == "open" else 403}
