"""`/v1/consents`: append-only, idempotent, and a no that takes effect before it is answered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.handlers.world import ANA, BEN, World, body, lines, problem_of


def test_records_a_consent_and_shows_it(world: World) -> None:
    """A consent is 201 with its receipt, and the person's standing shows it under the party key."""
    answer = world.consent(ANA)
    receipt = body(answer)
    assert answer["statusCode"] == 201
    assert (receipt["scope"], receipt["state"], receipt["seq"]) == ("manage", "given", 1)
    shown = body(world.get("consents-get", receipt["party"]))
    assert [(one["scope"], one["state"], one["seq"]) for one in shown["consents"]] == [("manage", "given", 1)]


def test_repeated_event_writes_nothing(world: World) -> None:
    """The same source event again is 200 with the same body, and the chain does not grow."""
    first = world.consent(ANA, source_event_id="booking-7")
    again = world.consent(ANA, source_event_id="booking-7")
    assert (first["statusCode"], again["statusCode"]) == (201, 200)
    assert body(first) == body(again)
    assert len(world.ledger.records(body(first)["party"])) == 1


def test_source_event_is_not_used_twice(world: World) -> None:
    """A source event id that meant something else before is refused, and nothing is recorded."""
    party = body(world.consent(ANA, source_event_id="booking-7"))["party"]
    answer = world.consent(ANA, "withdrawn", source_event_id="booking-7")
    assert problem_of(answer) == (409, "source-event-reused")
    assert len(world.ledger.records(party)) == 1


def test_withdrawal_closes_before_it_answers(world: World) -> None:
    """When the withdrawal is answered, the session is closed at Twilio and in the ledger."""
    sid = world.conversation()["session"]
    answer = world.consent(BEN, "withdrawn")
    assert (answer["statusCode"], body(answer)["state"]) == (201, "withdrawn")
    assert (world.status_at_twilio(sid), world.session(sid).status) == ("closed", "closed")


def test_withdrawal_that_twilio_does_not_hear_is_finished_later(world: World) -> None:
    """While Twilio is away the withdrawal is 202 with what is pending, the gate refuses, and the reconciler closes."""
    session = world.session(world.conversation()["session"])
    world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions/"})
    answer = world.consent(ANA, "withdrawn")
    assert (answer["statusCode"], body(answer)["pending_sessions"]) == (202, [session.sid])
    talk: dict[str, Any] = {"interactionSessionSid": session.sid, "inboundParticipantSid": session.participants[0].sid}
    assert world.webhook("intercept-message", **talk)["statusCode"] == 403
    world.emulator.faults.clear()
    world.reconcile()
    assert (world.status_at_twilio(session.sid), world.session(session.sid).status) == ("closed", "closed")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"party": "2125550111"}, "party"),
        ({"scope": "everything"}, "scope"),
        ({"state": "maybe"}, "state"),
        ({"method": "telepathy"}, "method"),
        ({"method": "paper"}, "method"),
        ({"notice": {"id": "en.manage"}}, "notice"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_body_names_the_path(world: World, changes: dict[str, Any], path: str) -> None:
    """What is wrong is 400 with the path of each error, a method that the stack does not allow included."""
    answer = world.post("consents-post", **changes)
    assert problem_of(answer)[0] == 400
    assert any(one["path"].startswith(path) for one in body(answer)["errors"]), body(answer)
    assert world.rows("EVENT#") == []


def test_number_in_the_path_is_refused(world: World) -> None:
    """A phone number must not stand in a URL: it is 400, whether somebody has it or not."""
    world.consent(ANA)
    assert problem_of(world.get("consents-get", ANA)) == (400, "not-a-party-key")


def test_ledger_that_is_down_is_no_consent(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the ledger nothing is recorded and nothing pretends to be: 503, and no number in the log."""
    world.break_ledger()
    assert world.post("consents-post", party=ANA)["statusCode"] == 503
    assert all(ANA not in str(line) for line in lines(capsys))
