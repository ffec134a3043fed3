"""What most write: boto3's clients, and Twilio's own validator."""

from __future__ import annotations

import base64
import json
import os
from typing import Any
from urllib.parse import parse_qsl

import boto3
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

dynamodb = boto3.client("dynamodb")
secret = boto3.client("secretsmanager").get_secret_value(SecretId="twilio")["SecretString"]
validator = RequestValidator(json.loads(secret)["auth_tokens"][0])


def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer 200 for a signed webhook of an open session."""
    form = dict(parse_qsl(base64.b64decode(event["body"]).decode(), keep_blank_values=True))
    url = os.environ["PARLEY_PUBLIC_URL"] + event["rawPath"]
    if not validator.validate(url, form, event["headers"]["x-twilio-signature"]):
        return {"statusCode": 403}
    key = {"pk": {"S": f"SESSION#{form['interactionSessionSid']}"}, "sk": {"S": "SESSION"}}
    found = dynamodb.get_item(TableName=os.environ["PARLEY_LEDGER_TABLE"], Key=key, ConsistentRead=True)
    return {"statusCode": 200 if found.get("Item", {}).get("status", {}).get("S") == "open" else 403}
