"""`/v1/sessions`: a session exists only with every party's consent."""

from __future__ import annotations

from typing import Any

import pytest
from parley import runtime
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.twilio import TwilioCarrier
from parley.core.sessions import Intent, Session, Status, intent_of
from parley.ports import CarrierError, ConsentChangedError, LedgerError

from tests.handlers.world import ANA, BEN, DAY, KEEP_DAYS, POOL, STRANGER, World, body, lines, problem_of


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
    (told,) = body(answer)["missing"]
    assert (told["party"], told["scope"], told["state"], told["code"]) == (party, "manage", state, f"manage-{state}")
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

    monkeypatch.setattr(world.ledger, "confirm", always_changed)
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


def test_time_to_live_is_explicit_at_twilio(world: World) -> None:
    """Twilio gets both the longest silence and the end itself, so no default of its own decides."""
    world.consent(ANA)
    world.consent(BEN)
    sid = body(world.open(ttl=600, mode="message-only", unique_name="ride-7"))["session"]
    made = world.twilio.proxy.v1.services(world.service_sid).sessions(sid).fetch()
    assert (made.ttl, made.mode) == (600, "message-only")
    assert made.date_expiry is not None


def test_name_at_twilio_says_nothing(world: World) -> None:
    """Twilio gets the name of the intent; the caller's own name stays in the ledger."""
    world.consent(ANA)
    world.consent(BEN)
    sid = body(world.open(unique_name="ride-7"))["session"]
    made = world.twilio.proxy.v1.services(world.service_sid).sessions(sid).fetch()
    assert intent_of(made.unique_name) == world.session(sid).intent
    assert "ride" not in made.unique_name
    assert body(world.get("sessions-get", sid))["unique_name"] == "ride-7"


def test_session_ends_with_the_consent(world: World) -> None:
    """A session never outlives the first consent that it rests on; one that runs out at once is no ground."""
    world.consent(ANA)
    world.consent(BEN)
    world.clock.advance(365 * DAY - 600)
    answer = world.open()
    session = world.session(body(answer)["session"])
    assert (session.closes_at - session.opened_at).total_seconds() < 601
    world.clock.advance(560)
    assert body(world.open())["missing"][0]["state"] == "expired"


def test_session_ends_with_the_record(world: World) -> None:
    """A consent without an end holds as long as its record is kept: what cannot be proven any more is none."""
    world.declare_consent(validityDays=None)
    world.consent(ANA)
    world.consent(BEN)
    world.clock.advance(KEEP_DAYS["consent-evidence"] * DAY - 600)
    session = world.session(body(world.open())["session"])
    assert (session.closes_at - session.opened_at).total_seconds() < 601


def test_refusal_is_told_by_its_code(world: World) -> None:
    """Any other refusal is told by Twilio's code, without Twilio's words."""
    world.consent(ANA)
    world.consent(BEN)
    order = {"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions$", "status": 400, "code": 80603}
    world.emulator.faults.add(order)
    answer = world.open()
    assert problem_of(answer) == (409, "carrier-refused")
    assert body(answer)["code"] == 80603


def test_session_that_cannot_be_written_down_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that Twilio opened and the ledger lost is closed at Twilio again."""

    def lost(*_arguments: object) -> None:
        raise LedgerError

    world.consent(ANA)
    world.consent(BEN)
    monkeypatch.setattr(DynamoLedger, "confirm", lost)
    assert problem_of(world.open()) == (503, "unavailable")
    assert open_at_twilio(world) == []


def test_session_that_escapes_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A session that could neither be written down nor closed is logged as an orphan, and the gate refuses it."""

    def lost(*_arguments: object) -> None:
        raise LedgerError

    def down(*_arguments: object) -> None:
        raise CarrierError("close-session")

    world.consent(ANA)
    world.consent(BEN)
    monkeypatch.setattr(DynamoLedger, "confirm", lost)
    monkeypatch.setattr(TwilioCarrier, "close_session", down)
    world.open()
    (orphan,) = open_at_twilio(world)
    assert ("session-orphaned", orphan) in [(line["event"], line.get("session")) for line in lines(capsys)]
    assert not world.text(ANA, POOL[0], "hello").connected


def test_withdrawal_while_writing_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who withdraws between the last look and the write is not connected: the write has a condition."""
    world.consent(ANA)
    world.consent(BEN)
    write = DynamoLedger.confirm
    said: list[str] = []

    def withdrawn_meanwhile(ledger: DynamoLedger, intent: Intent, session: Session, standings: Any) -> None:
        if not said:
            said.append("no")
            world.consent(BEN, "withdrawn")
        write(ledger, intent, session, standings)

    monkeypatch.setattr(DynamoLedger, "confirm", withdrawn_meanwhile)
    assert problem_of(world.open()) == (409, "consent-missing")
    assert open_at_twilio(world) == []
    assert world.rows("SESSION") == []
    assert [row["stage"]["S"] for row in world.rows("INTENT")] == ["abandoned"]


def test_renewal_while_writing_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consent that is given anew meanwhile changes the ground; it is read again and the session opens."""
    world.consent(ANA)
    world.consent(BEN)
    write = DynamoLedger.confirm
    said: list[str] = []

    def renewed_meanwhile(ledger: DynamoLedger, intent: Intent, session: Session, standings: Any) -> None:
        if not said:
            said.append("yes")
            world.consent(BEN)
        write(ledger, intent, session, standings)

    monkeypatch.setattr(DynamoLedger, "confirm", renewed_meanwhile)
    assert world.open()["statusCode"] == 201


def test_shows_why_a_session_ended(world: World) -> None:
    """A closed session is shown with the reason, the moment, and whose consent is missing."""
    sid = world.conversation()["session"]
    world.consent(ANA, "withdrawn")
    shown = body(world.get("sessions-get", sid))
    assert (shown["status"], shown["closed_reason"]) == ("closed", "manage-withdrawn")
    assert shown["closed_at"]
    assert [one["state"] for one in shown["missing"]] == ["withdrawn"]


def test_shows_an_expired_session_as_closed(world: World) -> None:
    """A session whose time is over is closed, whether or not somebody noticed yet."""
    sid = world.conversation()["session"]
    world.clock.advance(3600)
    shown = body(world.get("sessions-get", sid))
    assert (shown["status"], shown["closed_reason"]) == ("closed", "expired")


def test_closing_that_fails_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Twilio down the session stays open in the ledger, and the answer says so."""

    def down(*_arguments: object, **_more: object) -> None:
        raise CarrierError("close-session", 503)

    sid = world.conversation()["session"]
    monkeypatch.setattr(TwilioCarrier, "close_session", down)
    assert problem_of(world.get("sessions-delete", sid)) == (503, "unavailable")
    assert world.session(sid).status is Status.OPEN


def test_rows_leave_in_time(world: World) -> None:
    """A session's rows count their days from its end, at the latest the one planned."""
    sid = world.conversation()["session"]
    keep = KEEP_DAYS["session-map"] * DAY
    ends = {int(row["expires_at"]["N"]) - int(world.clock.now()) for row in world.rows("SESSION")}
    assert all(end == pytest.approx(3600 + keep, abs=120) for end in ends)
    world.get("sessions-delete", sid)
    (row,) = [row for row in world.rows("SESSION") if row["sk"]["S"] == "SESSION"]
    assert int(row["expires_at"]["N"]) - int(world.clock.now()) == pytest.approx(keep, abs=120)
    assert "open_shard" not in row


def test_closed_session_is_none_of_a_persons(world: World) -> None:
    """Only open sessions are found by person."""
    sid = world.conversation()["session"]
    party = world.identities.party(ANA)
    assert [one.sid for one in world.ledger.open_sessions_of(party)] == [sid]
    world.get("sessions-delete", sid)
    assert world.ledger.open_sessions_of(party) == []
    assert world.ledger.open_sessions_of(world.identities.party(STRANGER)) == []


def open_at_twilio(world: World) -> list[str]:
    """Return the SIDs of sessions that would connect somebody at Twilio."""
    sessions = world.emulator.carrier.state.sessions.values()
    return [session.sid for session in sessions if session.status != "closed"]
