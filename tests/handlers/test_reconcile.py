"""The reconciler: what Proxy swallowed and what was left open is found within a run, again and again without harm."""

from __future__ import annotations

import pytest
from parley.handlers.reconcile import ReconcileIncompleteError

from tests.handlers.world import ANA, BEN, POOL, World, body, lines


def masked(world: World, party: str) -> tuple[str, str]:
    """Open a conversation; return its SID and the number that `party` dials."""
    opened = world.conversation()
    key = world.identities.party(party)
    number = next(one["masked_number"] for one in opened["participants"] if one["party"] == key)
    return opened["session"], number


def test_swallowed_stop_closes_the_session(world: World) -> None:
    """STOP reaches no webhook; the next run withdraws every scope and closes the session."""
    sid, number = masked(world, ANA)
    outcome = world.text(ANA, number, "STOP")
    assert (outcome.connected, world.status_at_twilio(sid)) == (False, "open")
    done = world.reconcile()
    assert (done["withdrawn"], done["closed"]) == (1, 1)
    assert (world.status_at_twilio(sid), world.session(sid).status) == ("closed", "closed")
    assert world.open()["statusCode"] == 409


def test_running_again_changes_nothing(world: World) -> None:
    """The same alert is one withdrawal, however often it is read."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    world.reconcile()
    events = len(world.rows("EVENT#"))
    assert "withdrawn" not in world.reconcile()
    assert len(world.rows("EVENT#")) == events


def test_start_word_is_no_consent(world: World) -> None:
    """UNSTOP, which Proxy swallows too, gives no consent back: only a new answer does."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    world.text(ANA, number, "UNSTOP")
    world.reconcile()
    assert world.open()["statusCode"] == 409
    world.clock.advance(1)
    world.consent(ANA)
    assert world.open()["statusCode"] == 201


def test_session_that_lost_its_consent_is_closed(world: World) -> None:
    """A withdrawal that only reached the ledger closes the session in the next run."""
    sid, _ = masked(world, ANA)
    world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions/"})
    world.consent(BEN, "withdrawn")
    with pytest.raises(ReconcileIncompleteError):
        world.reconcile()
    world.emulator.faults.clear()
    assert world.reconcile()["closed"] == 1
    assert world.status_at_twilio(sid) == "closed"


def test_session_whose_time_is_over_leaves_the_index(world: World) -> None:
    """A session past its end is closed in the ledger as well."""
    sid, _ = masked(world, ANA)
    world.clock.advance(3601)
    world.reconcile()
    assert world.session(sid).closed_reason == "expired"
    assert [row for row in world.rows("SESSION") if "open_shard" in row] == []


def test_outage_is_made_good(world: World) -> None:
    """Alerts of a time in which Twilio could not be asked are taken by the first run that can."""
    sid, number = masked(world, ANA)
    world.reconcile()
    world.text(ANA, number, "STOP")
    world.emulator.faults.add({"on": "rest", "mode": "error", "match": "monitor"})
    for _ in range(3):
        world.clock.advance(60)
        with pytest.raises(ReconcileIncompleteError):
            world.reconcile()
    world.emulator.faults.clear()
    world.reconcile()
    assert world.status_at_twilio(sid) == "closed"


def test_ledger_that_is_down_fails_loudly(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that could do nothing raises, so that the alarm rings, and names nobody."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    world.break_ledger()
    capsys.readouterr()
    with pytest.raises(ReconcileIncompleteError):
        world.reconcile()
    assert not any(phone in str(lines(capsys)) for phone in (ANA, BEN, *POOL))


def test_other_persons_sessions_stay(world: World) -> None:
    """One person's STOP closes nothing of people who are not in their sessions."""
    _, number = masked(world, ANA)
    for party in ("+12125550115", "+12125550116"):
        world.consent(party)
    other = body(world.open(participants=[{"identifier": "+12125550115"}, {"identifier": "+12125550116"}]))
    world.text(ANA, number, "STOP")
    world.reconcile()
    assert world.status_at_twilio(other["session"]) == "open"


def test_late_close_does_not_lengthen_a_rows_life(world: World) -> None:
    """A session that is closed days after its end leaves when its end says, not when somebody noticed."""
    sid, _ = masked(world, ANA)
    closes_at = world.session(sid).closes_at.timestamp()
    world.clock.advance(3600 + 5 * 86_400)
    world.reconcile()
    (row,) = [row for row in world.rows("SESSION") if row["sk"]["S"] == "SESSION"]
    assert int(row["expires_at"]["N"]) <= closes_at + 30 * 86_400
