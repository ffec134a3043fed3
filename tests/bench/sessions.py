"""How many sessions of its own (`direct`) the gate opens in a second, against a stub of DynamoDB and KMS.

The stub answers that everybody consented and that every write was carried out. It stands at two depths, as that of
the imports does: in boto3's place (`in memory`), or behind boto3's own clients (`unsent`). Measured is the function
from the request's event to its answer, in one process, on one core. `python -m tests.bench.sessions` prints a line
for each.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from unittest.mock import patch

from parley import runtime
from parley.adapters.consents import _standing_item
from parley.adapters.direct import DirectCarrier
from parley.core.assignment import NumberChoice, PoolNumber
from parley.core.consent import Scope, Standing, State
from parley.env import ConsentPolicy, SessionPolicy, to_environment
from parley.handlers import sessions
from parley.variables import Controller

from tests.bench.imports import unsent_client
from tests.handlers.world import ACCOUNT, GATE, KEEP_DAYS, load
from tests.unit.memory import MemoryKms

POOL = tuple(
    PoolNumber(f"PN{place:032x}", f"+1212555{place:04}", frozenset({"voice", "sms"}), reserved=False)
    for place in range(100, 300)
)
ROUNDS, AT_ONCE = 7, 200


@dataclass(frozen=True, slots=True)
class Opened:
    """Sessions a second, the median of several rounds, and their interquartile range."""

    what: str
    stub: str
    left_out: str
    sessions_a_second: float
    spread: float


class Consenting:
    """A DynamoDB client in whose table everybody agreed to be connected, and which keeps nothing."""

    def __init__(self) -> None:
        self.calls = 0

    def transact_get_items(self, TransactItems: list[Any]) -> dict[str, Any]:  # noqa: N803 - boto3's own name
        """Return a yes for every row that may hold one."""
        self.calls += 1
        return {"Responses": [_row(each["Get"]["Key"]) for each in TransactItems]}

    def get_item(self, **_: Any) -> dict[str, Any]:
        """Return nothing."""
        self.calls += 1
        return {}

    def query(self, **_: Any) -> dict[str, Any]:
        """Return nothing."""
        self.calls += 1
        return {"Items": []}

    def transact_write_items(self, **_: Any) -> dict[str, Any]:
        """Say that all was written."""
        self.calls += 1
        return {}


def _row(key: dict[str, Any]) -> dict[str, Any]:
    if key["sk"]["S"] != "STATE#manage#*":
        return {}
    agreed = Standing(key["pk"]["S"].removeprefix("PARTY#"), Scope.MANAGE, None, State.GIVEN, 1, "cr_1", _now())
    return {"Item": {**_standing_item(agreed), "expires_at": {"N": str(int(_now().timestamp()) + 10**8)}}}


def _now() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


def in_memory() -> dict[str, Any]:
    """Return clients that are none of boto3's."""
    return {"dynamodb": Consenting(), "kms": MemoryKms()}


def unsent() -> dict[str, Any]:
    """Return boto3's clients, whose requests are serialised and signed, and never sent."""
    return {name: unsent_client(name, stub) for name, stub in in_memory().items()}


STUBS: Mapping[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "in memory": (in_memory, "boto3, the network, DynamoDB, KMS"),
    "unsent": (unsent, "the network, DynamoDB, KMS"),
}


def measure(stub: str) -> Opened:
    """Open sessions between ever new people over a stub, and return how many a second."""
    variables = to_environment(
        environment="local",
        stack="local",
        ledger_table="ledger",
        identity_key="identity",
        twilio_secret="secret",
        twilio_account_sid=ACCOUNT,
        proxy_service_sids="",
        masking="direct",
        line_key="line",
        number_choice=NumberChoice("country", "prefer-sticky"),
        public_url=GATE,
        controller=Controller("Acme", "privacy@acme.example", "acme.example/p", "2026-02"),
        session=SessionPolicy(3600, "voice-and-message"),
        consent=ConsentPolicy(("in_app",), 365),
        channels=("voice", "sms"),
        keep_days=KEEP_DAYS,
    )
    make, left_out = STUBS[stub]
    clients = make()
    rates = []
    with (
        patch.dict(os.environ, variables),
        patch.object(runtime, "_client", lambda service: clients[service]),
        patch.object(DirectCarrier, "numbers", lambda _self: POOL),
        redirect_stdout(StringIO()),
    ):
        runtime.reset()
        for number in range(ROUNDS):
            events = [_event(number * AT_ONCE + place) for place in range(AT_ONCE)]
            began = time.perf_counter()
            answers = [sessions.handle(event, None) for event in events]
            rates.append(AT_ONCE / (time.perf_counter() - began))
            assert {answer["statusCode"] for answer in answers} == {201}, answers[0]
        runtime.reset()
    quartiles = statistics.quantiles(rates, n=4)
    return Opened("sessions of our own, opened", stub, left_out, statistics.median(rates), quartiles[2] - quartiles[0])


def _event(place: int) -> dict[str, Any]:
    event: dict[str, Any] = load("sessions-post")["event"]
    people = [{"identifier": f"+1415555{place % 10000:04}"}, {"identifier": f"+1646555{place % 10000:04}"}]
    event["body"] = json.dumps({"participants": people})
    return event


if __name__ == "__main__":
    for each in STUBS:
        print(json.dumps(asdict(measure(each))))  # noqa: T201 - this is its output
