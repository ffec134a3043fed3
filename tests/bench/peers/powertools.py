"""What careful people write: Powertools' resolver and parameters, boto3's table, and Twilio's own validator."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.utilities import parameters
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

app = APIGatewayHttpResolver()
logger = Logger(service="gate")
table = boto3.resource("dynamodb").Table(os.environ["PARLEY_LEDGER_TABLE"])
secret: Any = parameters.get_secret("twilio", transform="json", max_age=300)
validator = RequestValidator(secret["auth_tokens"][0])


@app.post("/twilio/intercept")
def intercept() -> Response[str]:
    """Answer 200 for a signed webhook of an open session."""
    event = app.current_event
    form = dict(parse_qsl(event.decoded_body or "", keep_blank_values=True))
    signature = event.headers["x-twilio-signature"]
    if not validator.validate(os.environ["PARLEY_PUBLIC_URL"] + event.path, form, signature):
        return Response(403)
    key = {"pk": f"SESSION#{form['interactionSessionSid']}", "sk": "SESSION"}
    item = table.get_item(Key=key, ConsistentRead=True).get("Item", {})
    logger.info("decided", extra={"session": form["interactionSessionSid"]})
    return Response(200 if item.get("status") == "open" else 403)


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event."""
    return app.resolve(event, context)
