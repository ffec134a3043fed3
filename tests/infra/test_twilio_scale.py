"""A pool as large as a Proxy service may be: 500 numbers that it picks itself, and 5,000 reserved ones."""

from __future__ import annotations

import contextlib
import json
import random
import time
from typing import Any

import pytest
import requests

from infra.provider.testing import Deployed
from local.twilio.numbers import describe, number_sid
from tests.infra.twilio_stack import ACCOUNT, POOL, TwilioStack

NUMBERS = [f"+1212555{place:04}" for place in range(5_500)]
SIDS = [number_sid(number) for number in NUMBERS]
PICKED = 500
PERMITTED = 30
"""Requests a second (https://www.twilio.com/docs/proxy/proxy-limits)."""


def large(count: int) -> tuple[TwilioStack, Deployed, dict[str, Any]]:
    """Return a stack whose account has so many numbers, its service, and the inputs of a pool of them all."""
    stack = TwilioStack()
    for number in NUMBERS[:count]:
        stack.emulator.carrier.numbers.own(ACCOUNT, describe(number, sms=True, voice=True, mms=True), {})
    service = stack.service()
    sids = SIDS[:count]
    return stack, service, {"serviceSid": service.id, "adopt": sids, "reserved": sids[min(PICKED, count // 2) :]}


def test_largest_pool() -> None:
    """It is made at Twilio's pace, fits a state of a megabyte, and is no work where nothing changed."""
    stack, _, inputs = large(len(NUMBERS))
    stack.restart()
    began = stack.clock.now()
    pool = stack.up(POOL, "numbers", inputs)
    seconds = stack.clock.now() - began
    assert pool.state["size"] == len(NUMBERS)
    assert len(stack.calls("POST")) == len(NUMBERS)
    assert len(NUMBERS) / seconds >= 0.9 * PERMITTED, "slower than nine tenths of what Twilio permits"
    assert len(json.dumps(pool.raw)) < 1_000_000
    assert not any(number[1:] in json.dumps(pool.raw) for number in NUMBERS[::500])

    stack.restart()
    began = time.perf_counter()
    assert not stack.diff(pool, inputs).changes
    assert time.perf_counter() - began < 3
    assert stack.http.log == [], "a deployment without changes asks Twilio nothing"
    again = stack.refresh(pool)
    assert again is not None
    assert again.state["size"] == len(NUMBERS)
    assert len(stack.http.log) < 100, "a refresh asks by the page"


class KilledError(BaseException):
    """The plugin's process ended here."""


@pytest.mark.parametrize("seed", range(50))
def test_killed_at_a_random_point(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the plugin is killed, the next deployment finishes: each number once, and no bought one is lost."""
    dice = random.Random(seed)
    stack, service, inputs = large(12)
    inputs = {**inputs, "buy": [{"country": "US", "type": "local", "areaCode": "415", "count": 3}]}
    before = len(stack.emulator.carrier.state.numbers)
    left, after, send = [dice.randrange(25)], dice.random() < 0.5, stack.http.send

    def killed(request: requests.PreparedRequest, *given: Any, **named: Any) -> requests.Response:
        left[0] -= 1
        if left[0] < 0 and not (after and left[0] == -1):
            raise KilledError
        answer = send(request, *given, **named)
        if left[0] < 0:
            raise KilledError
        return answer

    with monkeypatch.context() as patch, contextlib.suppress(KilledError):
        patch.setattr(stack.http, "send", killed)
        stack.up(POOL, "numbers", inputs)
    stack.restart()
    pool = stack.up(POOL, "numbers", inputs)
    assert pool.state["size"] == 15
    assert len(stack.account.pool(service.id) or []) == 15
    assert len(stack.emulator.carrier.state.numbers) == before + 3
    assert pool.state["spares"] == []
