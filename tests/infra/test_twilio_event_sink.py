"""The life of an event sink through the plugin, against the Twilio emulator."""

from __future__ import annotations

from typing import Any

import pytest

from infra.provider.testing import CheckFailed, Deployed, Refused
from infra.twilio.event_sink import ERROR_LOGGED
from tests.infra.twilio_stack import ALICE, TwilioStack

SINK = "parley:index:EventSink"
GATE = "https://gate.example.com/twilio/events"
SENT = "com.twilio.messaging.message.sent"


@pytest.fixture
def stack() -> TwilioStack:
    """Return a stack on a fresh emulator."""
    return TwilioStack()


def inputs(**more: Any) -> dict[str, Any]:
    """Return the inputs of a sink of the gate."""
    return {"description": "alerts of the local stack", "destination": GATE, **more}


def up(stack: TwilioStack, **more: Any) -> Deployed:
    """Create the sink."""
    return stack.up(SINK, "alerts", inputs(**more))


def there(stack: TwilioStack) -> list[tuple[str, list[str]]]:
    """Return the subscriptions of the account: the destination and the types of each."""
    state = stack.emulator.carrier.state
    return [
        (str(state.event_sinks[one.sink_sid].configuration["destination"]), sorted(one.types))
        for one in state.event_subscriptions.values()
    ]


def test_whole_life(stack: TwilioStack) -> None:
    """Made for the debugger's entries, no difference, other types, no drift, deleted with its subscription."""
    sink = up(stack)
    assert (sink.id[:2], sink.state["subscriptionSid"][:2], sink.state["status"]) == ("DG", "DF", "active")
    assert there(stack) == [(GATE, [ERROR_LOGGED])]
    assert not stack.diff(sink, inputs()).changes
    sink = stack.update(sink, inputs(types=[SENT, ERROR_LOGGED], description="alerts"))
    assert there(stack) == [(GATE, [ERROR_LOGGED, SENT])]
    again = stack.refresh(sink)
    assert again is not None
    assert (again.inputs, again.state) == (sink.inputs, sink.state)
    stack.down(sink)
    assert (there(stack), stack.emulator.carrier.state.event_sinks) == ([], {})
    stack.down(sink)


def test_another_destination_makes_a_new_one_first(stack: TwilioStack) -> None:
    """Only the destination replaces, and the new sink is there before the old one goes."""
    sink = up(stack)
    planned = stack.diff(sink, inputs(destination="https://other.example.com/events"))
    assert (planned.replaces, planned.delete_first) == (["destination"], False)
    assert stack.diff(sink, inputs(description="x")).replaces == []


def test_subscription_that_somebody_deleted_comes_back(stack: TwilioStack) -> None:
    """Drift of the subscription is seen, and the next update subscribes again; a sink that is gone is seen to be."""
    sink = up(stack)
    state = stack.emulator.carrier.state
    state.event_subscriptions.clear()
    drifted = stack.refresh(sink)
    assert drifted is not None
    assert drifted.state["types"] == []
    assert stack.diff(drifted, inputs()).changes
    stack.update(drifted, inputs())
    assert there(stack) == [(GATE, [ERROR_LOGGED])]
    state.event_subscriptions.clear()
    state.event_sinks.clear()
    assert stack.refresh(sink) is None


def test_import(stack: TwilioStack) -> None:
    """A sink is imported by its SID; anything else is refused."""
    sink = up(stack)
    found = stack.adopt(SINK, "alerts", sink.id)
    assert found is not None
    assert found.state == sink.state
    with pytest.raises(Refused, match="DG and 32"):
        stack.adopt(SINK, "alerts", "DG1")


def test_lost_answer_makes_no_second_sink(stack: TwilioStack) -> None:
    """A create whose answer was lost is found again by its destination and description."""
    stack.fault(mode="lost-answer", status=500, match="POST .*/v1/Sinks$", times=1)
    up(stack)
    assert len(stack.emulator.carrier.state.event_sinks) == 1
    assert there(stack) == [(GATE, [ERROR_LOGGED])]


def test_subscription_that_failed_is_made_by_the_next_update(stack: TwilioStack) -> None:
    """A sink whose subscription failed is kept in the state, and the next update finishes it, with one subscription."""
    stack.fault(mode="lost-answer", status=500, match="POST .*/v1/Subscriptions$")
    with pytest.raises(Refused) as caught:
        up(stack)
    stack.emulator.faults.clear()
    half = caught.value.half_done
    assert half is not None
    stack.update(Deployed(SINK, "alerts", half.id, half.inputs, half.properties), inputs())
    assert there(stack) == [(GATE, [ERROR_LOGGED])]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"description": ""}, "description"),
        ({"description": f"of {ALICE}"}, "description"),
        ({"destination": "http://gate.example.com"}, "destination"),
        ({"types": []}, "types"),
        ({"types": ["80901"]}, "types[0]"),
        ({"types": [ERROR_LOGGED, ERROR_LOGGED]}, "types[1]"),
        ({"codes": [80901]}, "codes"),
    ],
)
def test_wrong_input_is_named_in_the_preview(stack: TwilioStack, changes: dict[str, Any], path: str) -> None:
    """Every mistake is told by its path, and Twilio is asked nothing."""
    with pytest.raises(CheckFailed) as caught:
        stack.check(SINK, "alerts", inputs() | changes)
    assert len(caught.value.failures) == 1
    assert path in caught.value.failures[0]
    assert stack.calls("POST") == []
