"""How many requests to DynamoDB each thing costs that people do: what docs/scale.md reckons with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from parley import runtime

from tests.handlers.world import ANA, BEN, World, body


class Counted:
    """A client that counts its operations, and the items of each transaction."""

    def __init__(self, client: Any, counts: Counter[str]) -> None:
        self._client, self._counts = client, counts

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return the client's own operation, counted."""

        def call(**arguments: Any) -> Any:
            self._counts[operation] += 1
            if "TransactItems" in arguments:
                self._counts[f"{operation}, items"] += len(arguments["TransactItems"])
            return getattr(self._client, operation)(**arguments)

        return call


@pytest.fixture
def counts(world: World) -> Counter[str]:
    """Give the count of the gate's requests to DynamoDB."""
    counted: Counter[str] = Counter()
    made = runtime._client

    def client(service: str) -> Any:
        return Counted(made(service), counted) if service == "dynamodb" else made(service)

    world.patch.setattr(runtime, "_client", client)
    world.patch.setattr(runtime, "_awaited_client", client)
    runtime.reset()
    return counted


def cost(counts: Counter[str], action: Callable[[], Any]) -> dict[str, int]:
    """Return what one thing costs."""
    counts.clear()
    action()
    return dict(counts)


def test_what_a_conversation_costs(world: World, counts: Counter[str]) -> None:
    """A consent, an opening, a text and a call each cost so many requests, however much there is in the table."""
    world.consent(ANA)
    consent = cost(counts, lambda: world.consent(BEN))
    opened: list[Any] = []
    opening = cost(counts, lambda: opened.append(body(world.open())))
    masked = opened[0]["participants"][0]["masked_number"]
    text = cost(counts, lambda: world.text(ANA, masked, "on my way"))
    call = cost(counts, lambda: world.call(ANA, masked))
    assert consent == {
        "transact_get_items": 1,
        "transact_get_items, items": 5,
        "transact_write_items": 1,
        "transact_write_items, items": 5,
    }
    assert opening == {
        "transact_get_items": 2,
        "transact_get_items, items": 12,
        "transact_write_items": 2,
        "transact_write_items, items": 20,
    }
    assert text == {"get_item": 1, "put_item": 3}
    assert call == {"get_item": 4, "put_item": 4}
    again = cost(counts, lambda: [world.text(ANA, masked, "here") for _ in range(10)])
    assert again == {"get_item": 10, "put_item": 30}
