"""The first answer to a call on a masked number (`direct`), against the floor and against itself with boto3.

From the start of the interpreter with AWS's own runtime client, over the stub of the gate's bench. The call's function
asks KMS twice and reads one line, where the floor reads one row. With boto3 it is the very same function: an endpoint
of DynamoDB's own is unusual, so it leaves its reads to boto3.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from parley.adapters.lines import _item
from parley.core.lines import Line, LineStatus, Peer
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from tests.bench.gate import COLD_ROUNDS, GATE, TOKEN, Aws, aws, cold

HANDLER: Final = "parley.handlers.inbound_call.handle"
CONTROLLER: Final = {
    "name": "Acme",
    "contact": "privacy@acme.example",
    "privacyPolicyUrl": "https://acme.example/privacy",
    "privacyPolicyVersion": "2026-02",
}
WITH_BOTO3: Final = "the same with boto3"


def measure(rounds: int = COLD_ROUNDS) -> dict[str, list[float]]:
    """Return what the first answer takes on each side, in milliseconds, by turns. Raises BenchError."""
    found: dict[str, list[float]] = {HANDLER: [], "floor": [], WITH_BOTO3: []}
    with aws() as environment:
        unusual = {"AWS_ENDPOINT_URL_DYNAMODB": environment["AWS_ENDPOINT_URL"]}
        for turn in range(rounds + 1):
            for side, times in found.items():
                if side == "floor":
                    took = cold(side, environment)
                else:
                    with calls(environment) as more:
                        took = cold(HANDLER, more | unusual if side == WITH_BOTO3 else more)
                if turn:  # the first one compiles every module
                    times.append(took)
    return found


@contextmanager
def calls(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Let the stub ask about a call, and answer the row of its line; give the environment of the function."""
    asked = Aws.item, Aws.event
    Aws.item, Aws.event = _row(), json.dumps(_webhook()).encode()
    try:
        yield {
            **environment,
            "PARLEY_IDENTITY_KEY": "identity",
            "PARLEY_LINE_KEY": "line",
            "PARLEY_CONTROLLER": json.dumps(CONTROLLER),
            "PARLEY_KEEP_DAYS": "{}",
            "PARLEY_PURPOSES": "{}",
        }
    finally:
        Aws.item, Aws.event = asked


def _row() -> dict[str, Any]:
    """Return the row of an open line."""
    now = datetime.now(UTC)
    line = Line(
        party="00" * 32,
        masked_number="+12125550142",
        participant=f"KP{'1' * 32}",
        session=f"KC{'1' * 32}",
        intent="si_1",
        peers=(Peer(f"KP{'2' * 32}", "ab" * 32, "+12125550143", base64.b64encode(b"sealed").decode()),),
        mode="voice-and-message",
        status=LineStatus.OPEN,
        opened_at=now,
        closes_at=now + timedelta(hours=1),
    )
    return {**_item(line), "expires_at": {"N": str(int(now.timestamp()) + 86_400)}}


def _webhook() -> dict[str, Any]:
    """Return a signed event of a call that comes in by the line."""
    form = {"CallSid": f"CA{'3' * 32}", "From": "+12125550100", "To": "+12125550142", "CallStatus": "ringing"}
    path = "/twilio/call"
    signature = RequestValidator(TOKEN).compute_signature(GATE + path, form)
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature},
        "requestContext": {"requestId": "1", "http": {"method": "POST", "path": path}},
        "body": base64.b64encode(urlencode(form).encode()).decode(),
        "isBase64Encoded": True,
    }


def main() -> None:
    """Print the first answers' times of each side, as JSON lines."""
    for side, times in measure().items():
        print(json.dumps({"side": side, "cold_ms": [round(each, 1) for each in times]}))  # noqa: T201 - its output


if __name__ == "__main__":
    main()
