"""`/v1/sessions`: a session exists only with every party's consent."""

from __future__ import annotations

from typing import Any

import pytest
from parley import runtime
from parley.ports import ConsentChangedError

from tests.handlers.world import ANA, BEN, STRANGER, World, body, problem_of


def test_opens_with_everybodys_consent(world: World) -> None:
    """With both consents a session opens, each party with a masked number, for no longer than declared."""
    opened = world.conversation()
    session = world.session(opened["session"])
    assert {one["party"] for one in opened["participants"]} == set(session.parties)
    assert (session.closes_at - session.opened_at).total_seconds() <= 3600
    assert world.status_at_twilio(session.sid) == "open"


@pytest.mark.parametrize("state", ["refused", "withdrawn", "requested"])
def test_any_other_state_is_refused(world: World, state: str) -> None:
    """A party who did not say yes is named by key, scope and state; nothing is opened at Twilio."""
    world.consent(ANA)
    party = body(world.consent(BEN, state))["party"]
    answer = world.open()
    assert problem_of(answer) == (409, "consent-missing")
    assert body(answer)["missing"] == [{"party": party, "scope": "manage", "state": state}]
    assert world.twilio.proxy.v1.services(world.service_sid).sessions.list() == []
    assert not any(number in answer["body"] for number in (ANA, BEN))


def test_unknown_party_is_refused(world: World) -> None:
    """Nobody's silence is consent."""
    assert problem_of(world.open()) == (409, "consent-missing")


def test_consent_that_ran_out_is_refused(world: World) -> None:
    """A consent is no consent after its validity."""
    world.consent(ANA)
    world.consent(BEN)
    world.clock.advance(366 * 86_400)
    assert {one["state"] for one in body(world.open())["missing"]} <= {"expired", "unknown"}


def test_withdrawal_during_opening_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consent taken back between the check and the write leaves no session, neither here nor at Twilio."""
    world.consent(ANA)
    world.consent(BEN)
    carrier = runtime.carrier()
    original = carrier.open_session

    def withdrawn_meanwhile(*args: Any, **kwargs: Any) -> Any:
        opened = original(*args, **kwargs)
        world.consent(BEN, "withdrawn")
        return opened

    monkeypatch.setattr(carrier, "open_session", withdrawn_meanwhile)
    assert problem_of(world.open()) == (409, "consent-missing")
    (left,) = world.twilio.proxy.v1.services(world.service_sid).sessions.list()
    assert left.status == "closed"
    assert world.rows("SESSION#") == []


def test_write_that_loses_every_race_leaves_nothing_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consents that change each time the session is written end in 503 and a closed session at Twilio."""
    world.consent(ANA)
    world.consent(BEN)

    def always_changed(*_: object) -> None:
        raise ConsentChangedError

    monkeypatch.setattr(world.ledger, "open_session", always_changed)
    assert world.open()["statusCode"] == 503
    (left,) = world.twilio.proxy.v1.services(world.service_sid).sessions.list()
    assert left.status == "closed"


def test_exhausted_pool_is_told(world: World) -> None:
    """When every number is taken by a person's own sessions, the answer is 503 with Twilio's code."""
    for party in (ANA, BEN, STRANGER, "+12125550114"):
        world.consent(party)
    others = [BEN, STRANGER, "+12125550114"]
    answers = [world.open(participants=[{"identifier": ANA}, {"identifier": other}]) for other in others]
    assert [answer["statusCode"] for answer in answers] == [201, 201, 503]
    assert problem_of(answers[-1]) == (503, "no-number-available")
    assert body(answers[-1])["code"] in {80205, 80206}


@pytest.mark.parametrize(
    "changes",
    [
        {"participants": []},
        {"participants": [{"identifier": ANA}, {"identifier": ANA}]},
        {"participants": [{"identifier": ANA}, {"identifier": "Ben"}]},
        {"participants": [{"identifier": ANA}, {"identifier": BEN}, {"identifier": STRANGER}]},
        {"ttl": 0},
        {"ttl": 10**9},
        {"mode": "telepathy"},
        {"unique_name": 7},
    ],
)
def test_bad_body_is_400(world: World, changes: dict[str, Any]) -> None:
    """A body that is no request for a session of two is 400, with the path of what is wrong."""
    answer = world.open(**changes)
    assert problem_of(answer)[0] == 400
    assert body(answer)["errors"]


def test_shows_and_closes(world: World) -> None:
    """A session shows its state; closing it closes it at Twilio, and closing it twice is no error."""
    sid = world.conversation()["session"]
    assert body(world.get("sessions-get", sid))["status"] == "open"
    assert [world.get("sessions-delete", sid)["statusCode"] for _ in range(2)] == [204, 204]
    assert (body(world.get("sessions-get", sid))["closed_reason"], world.status_at_twilio(sid)) == (
        "closed-by-caller",
        "closed",
    )


@pytest.mark.parametrize("sid", ["KC" + "0" * 32, "KC1", "../consents", ANA])
def test_unknown_session_is_404(world: World, sid: str) -> None:
    """What is no session of ours is 404, whatever it looks like."""
    assert problem_of(world.get("sessions-get", sid)) == (404, "session-unknown")


def test_twilio_that_is_down_opens_nothing(world: World) -> None:
    """A carrier fault is 503 and leaves no session behind."""
    world.consent(ANA)
    world.consent(BEN)
    world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions$"})
    assert world.open()["statusCode"] == 503
    assert world.rows("SESSION#") == []
