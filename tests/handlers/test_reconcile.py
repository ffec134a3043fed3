"""The reconciler: what Proxy swallowed and what was left open is found within a run, again and again without harm."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from parley import runtime
from parley.adapters.twilio import TwilioCarrier
from parley.core import moments
from parley.core.consent import Scope, State
from parley.core.sessions import Status
from parley.handlers import reconcile
from parley.handlers.reconcile import ReconcileIncompleteError
from parley.ports import Alert, CarrierError, Message

from tests.handlers.world import ANA, BEN, POOL, STRANGER, World, body, lines


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


def test_unstop_gives_back_notices_only(world: World) -> None:
    """UNSTOP after STOP, both swallowed, gives back the notices of the service and nothing else, in each run."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    world.clock.advance(1)
    world.text(ANA, number, "UNSTOP")
    for _ in range(2):
        world.reconcile()
    standings = world.ledger.standings_of(world.identities.party(ANA))
    assert {one.scope for one in standings if one.state is State.GIVEN} == {Scope.RECEIVE_INFO}
    assert {one.scope for one in standings if one.state is State.WITHDRAWN} == set(Scope) - {Scope.RECEIVE_INFO}


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


def test_stop_closes_every_session_of_the_person(world: World) -> None:
    """One STOP ends all of the person's sessions on every number, and nobody else's."""
    first, number = masked(world, ANA)
    world.consent(STRANGER)
    pairs = [(ANA, STRANGER), (BEN, STRANGER)]
    second, third = (body(world.open(participants=[{"identifier": who} for who in pair]))["session"] for pair in pairs)
    world.text(ANA, number, "STOP")
    world.reconcile()
    states = [world.status_at_twilio(sid) for sid in (first, second, third)]
    assert states == ["closed", "closed", "open"]


def test_unreadable_word_is_a_withdrawal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A swallowed message whose text cannot be read any more counts as a no, and no text is kept."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    _answer_message(monkeypatch, sender=ANA, body="redacted words")
    assert world.reconcile()["withdrawn"] == 1
    assert "redacted" not in str(world.rows())


@pytest.mark.parametrize("body", ["YES", "start", "ja"])
def test_opt_in_that_was_swallowed_is_no_withdrawal(world: World, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A word that comes back or agrees is no opt-out, and gives nothing either."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    _answer_message(monkeypatch, sender=ANA, body=body)
    assert "withdrawn" not in world.reconcile()


@pytest.mark.parametrize("changes", [{"sender": "73737"}, {"inbound": False}, None])
def test_message_of_nobody_is_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any] | None
) -> None:
    """A message without a person behind it, or one that is gone, does not hold up the others."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    with monkeypatch.context() as patched:
        _answer_message(patched, **({} if changes is None else {"sender": ANA, **changes}))
        for _ in range(2):
            assert "withdrawn" not in world.reconcile()


def test_work_of_a_run_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is out of time leaves the rest to the next one."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    with monkeypatch.context() as slow:
        for limit in ("ALERTS_SECONDS", "MESSAGES_SECONDS"):
            slow.setattr(reconcile, limit, -1.0)
        with pytest.raises(ReconcileIncompleteError):
            world.reconcile()
    assert world.reconcile()["withdrawn"] == 1


def test_busy_account_never_takes_a_run_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the list is too long for a run its oldest part is taken, and each run begins where the last one ended."""
    _, number = masked(world, ANA)
    world.text(ANA, number, "STOP")
    alerts = TwilioCarrier.alerts

    def long_list(
        carrier: TwilioCarrier, code: int, since: datetime, until: datetime | None, limit: int
    ) -> tuple[list[Alert], bool]:
        # As many alerts as a run reads in each three minutes.
        short = until is not None and until - since <= timedelta(minutes=3)
        return alerts(carrier, code, since, until, limit)[0], short

    start = runtime.clock().now() - timedelta(minutes=20)
    world.ledger.save_cursor(reconcile.ALERTS, {"since": moments.to_text(start)})
    reached = [start]
    with monkeypatch.context() as busy:
        busy.setattr(TwilioCarrier, "alerts", long_list)
        for _ in range(4):
            with pytest.raises(ReconcileIncompleteError):
                world.reconcile()
            reached.append(moments.from_text(world.ledger.load_cursor(reconcile.ALERTS)["since"]))
    steps = [after - before for before, after in itertools.pairwise(reached)]
    assert all(timedelta(minutes=1) < step <= timedelta(minutes=3) for step in steps)
    world.reconcile()
    assert world.open()["statusCode"] == 409


def test_list_that_never_ends_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is too long however short the stretch of time ends the search, and the run says so."""
    monkeypatch.setattr(TwilioCarrier, "alerts", lambda *_: ([], False))
    with pytest.raises(ReconcileIncompleteError):
        world.reconcile()


def test_sweep_goes_on_where_it_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that is out of time goes on in the next run until every session was seen."""
    world.conversation()
    world.open()
    people = [f"+12125550{number}" for number in range(150, 162)]
    for who in people:
        world.consent(who)
    for first, second in zip(people[::2], people[1::2], strict=True):
        assert world.open(participants=[{"identifier": first}, {"identifier": second}])["statusCode"] == 201
    monkeypatch.setattr(reconcile, "SESSIONS_LIMIT", 1)
    monkeypatch.setattr(reconcile, "TOTAL_SECONDS", -1.0)
    seen, runs = world.reconcile()["checked"], 1
    while world.ledger.load_cursor(reconcile.SWEEP):
        seen, runs = seen + world.reconcile()["checked"], runs + 1
    assert seen == 8
    assert runs > 1


def test_sweep_runs_though_the_alerts_fail(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the alerts out of reach the sessions are swept all the same, and the run fails."""
    sid, _ = masked(world, ANA)
    world.clock.advance(3601)
    monkeypatch.setattr(TwilioCarrier, "alerts", _unreachable)
    with pytest.raises(ReconcileIncompleteError):
        world.reconcile()
    assert world.session(sid).status is Status.CLOSED
    assert [line["complete"] for line in lines(capsys) if line.get("event") == "reconciled"] == [False]


def _unreachable(*_arguments: object, **_more: object) -> None:
    raise CarrierError("anything", 503)


def _answer_message(patch: pytest.MonkeyPatch, **fields: Any) -> None:
    def message(_carrier: TwilioCarrier, sid: str) -> Message | None:
        if not fields:
            return None
        sent_at = datetime.fromtimestamp(runtime.clock().now().timestamp(), UTC) - timedelta(seconds=1)
        return Message(**{"sid": sid, "body": "STOP", "inbound": True, "sent_at": sent_at, **fields})

    patch.setattr(TwilioCarrier, "message", message)
    patch.setattr(TwilioCarrier, "messages", lambda *_: ([], True))
