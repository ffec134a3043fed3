"""`/v1/consents`: append-only, idempotent, and a no that takes effect before it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parley import runtime
from parley.core.consent import verify_chain

from tests.handlers.world import (
    ANA,
    BEN,
    DAY,
    KEEP_DAYS,
    STRANGER,
    World,
    body,
    deliver,
    lines,
    load,
    problem_of,
)


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


def test_consent_is_recorded(world: World) -> None:
    """A consent is recorded with its proof, and the answer names the party by its key only."""
    answer = world.consent(ANA)
    assert answer["statusCode"] == 201
    told = body(answer)
    assert set(told) == {"record_id", "party", "scope", "state", "seq", "recorded_at", "valid_until"}
    party = world.identities.party(ANA)
    assert (told["party"], told["scope"], told["state"], told["seq"]) == (party, "manage", "given", 1)
    assert told["valid_until"] > told["recorded_at"]
    (record,) = world.ledger.records(party)
    event = record.event
    assert record.record_id == told["record_id"]
    assert event.notice is not None
    assert event.notice["privacy_policy"] == {"url": "acme.ex/p", "version": "2026-02"}
    assert event.controller == {"name": "Acme <Rides>", "contact": "privacy@acme.example"}
    assert event.actor == "api:arn:aws:sts::123456789012:assumed-role/app/app"
    assert event.evidence == {"screen": "booking", "action": "ticked"}


def test_same_source_event_of_another_person(world: World) -> None:
    """A source event id belongs to one person: the same booking may have two parties."""
    assert [world.consent(who, source_event_id="x")["statusCode"] for who in (ANA, BEN)] == [201, 201]


def test_a_no_towards_one_person_leaves_the_others(world: World) -> None:
    """A withdrawal towards one person closes what they share, and nothing else."""
    with_ben = world.conversation()["session"]
    world.consent(STRANGER)
    other = [{"identifier": ANA}, {"identifier": STRANGER}]
    with_stranger = body(world.open(participants=other))["session"]
    world.consent(ANA, "withdrawn", counterpart=BEN)
    assert (world.status_at_twilio(with_ben), world.status_at_twilio(with_stranger)) == ("closed", "open")


def test_a_no_to_recording_keeps_the_session(world: World) -> None:
    """Who refuses recording goes on talking."""
    session = world.conversation()["session"]
    world.consent(ANA, "refused", scope="record_voice")
    assert world.status_at_twilio(session) == "open"


def test_import_does_not_lift_a_withdrawal(world: World) -> None:
    """An imported consent is recorded, and the answer tells that the withdrawal still stands (I3)."""
    world.patch.setenv("PARLEY_CONSENT", json.dumps({"methods": ["admin_import"], "validityDays": None}))
    runtime.reset()
    world.consent(ANA, "withdrawn")
    world.clock.advance(60)
    answer = world.consent(ANA, method="admin_import")
    assert (answer["statusCode"], body(answer)["state"]) == (201, "withdrawn")


@pytest.mark.parametrize(
    "payload",
    ["", "[]", "{", '{"party":"+12125550111","party":"+12125550112"}', '{"a":NaN}', "x" * 70_000, None],
    ids=["empty", "list", "cut", "twins", "nan", "long", "none"],
)
def test_malformed_body_is_a_problem(world: World, payload: str | None) -> None:
    """A body that is no JSON object is answered with a problem, and nothing is written."""
    answer = deliver(load("consents-post")["event"] | {"body": payload})
    assert problem_of(answer) == (400, "invalid-body")
    assert world.rows() == []


def test_undecodable_body_is_a_problem(world: World) -> None:
    """A body that is not the base64 that it is said to be is answered with a problem."""
    answer = deliver(load("consents-post")["event"] | {"body": "%", "isBase64Encoded": True})
    assert problem_of(answer) == (400, "malformed-request")


def test_rows_leave_in_time(world: World) -> None:
    """Every row of a consent has the time to live that its class declares."""
    world.consent(ANA)
    expected = int(world.clock.now()) + KEEP_DAYS["consent-evidence"] * DAY
    assert {row["sk"]["S"].partition("#")[0] for row in world.rows()} == {"EVENT", "HEAD", "STATE", "SOURCE"}
    assert all(abs(int(row["expires_at"]["N"]) - expected) < 5 for row in world.rows())


def test_undeclared_class_is_not_kept_for_ever(world: World) -> None:
    """Without a declared retention nothing is written at all."""
    world.patch.setenv("PARLEY_KEEP_DAYS", "{}")
    runtime.reset()
    assert problem_of(world.consent(ANA)) == (503, "unavailable")
    assert world.rows() == []


def test_tells_where_a_party_stands(world: World) -> None:
    """The answer tells each scope's state as of now."""
    party = body(world.consent(ANA))["party"]
    world.consent(ANA, "refused", scope="record_voice")
    world.clock.advance(366 * DAY)
    answer = world.get("consents-get", party)
    assert answer["statusCode"] == 200
    assert {one["scope"]: one["state"] for one in body(answer)["consents"]} == {
        "manage": "expired",
        "record_voice": "refused",
    }
    verify_chain(world.ledger.records(party))
