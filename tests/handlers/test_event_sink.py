"""A STOP that Proxy keeps to itself, told by a sink of Event Streams: from the phone to the ledger."""

from __future__ import annotations

import pytest

from tests.handlers.world import ANA, BEN, GATE, World


def subscribe(world: World) -> None:
    """Let the account's alerts go to the gate."""
    sink = world.twilio.events.v1.sinks.create(
        description="alerts", sink_configuration={"destination": f"{GATE}/twilio/events"}, sink_type="webhook"
    )
    types = [{"type": "com.twilio.error-logs.error.logged"}]
    world.twilio.events.v1.subscriptions.create(description="alerts", sink_sid=sink.sid, types=types)


@pytest.mark.parametrize("mode", [None, "duplicate"])
def test_stop_counts_within_seconds(world: World, mode: str | None) -> None:
    """A swallowed STOP withdraws and closes the session as soon as the sink is told, however often it is."""
    session = world.conversation()
    subscribe(world)
    if mode:
        world.emulator.faults.add({"on": "webhook", "mode": mode, "match": "^event"})
    world.text(BEN, session["participants"][1]["masked_number"], "STOP")
    world.emulator.webhooks.drain()
    assert world.session(session["session"]).status == "closed"
    assert not world.text(ANA, session["participants"][0]["masked_number"], "hello?").connected


def test_lost_event_is_found_by_the_reconciler(world: World) -> None:
    """An alert that no sink was told of is found with the next run."""
    session = world.conversation()
    subscribe(world)
    world.emulator.faults.add({"on": "webhook", "mode": "lost", "match": "^event"})
    world.text(BEN, session["participants"][1]["masked_number"], "STOP")
    world.emulator.webhooks.drain()
    assert world.session(session["session"]).status == "open"
    world.reconcile()
    assert world.session(session["session"]).status == "closed"
