"""The reconciler after an outage: stop words that no webhook heard, and sessions that nobody wrote down."""

from __future__ import annotations

import pytest
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.twilio import TwilioCarrier
from parley.handlers import reconcile
from parley.handlers.reconcile import ReconcileIncompleteError

from tests.handlers.world import ANA, BEN, POOL, World, body, lines, output

FORWARDED = ("REVOKE", "OPTOUT", "arrêt", "stopp", "baja")


def masked(world: World) -> tuple[str, str]:
    """Open a conversation; return its SID and the number that Ana dials."""
    opened = world.conversation()
    key = world.identities.party(ANA)
    return opened["session"], next(one["masked_number"] for one in opened["participants"] if one["party"] == key)


def say_unheard(world: World, number: str, words: str, mode: str = "refuse") -> None:
    """Let Ana text while every webhook fails."""
    world.emulator.faults.add({"on": "webhook", "mode": mode})
    assert world.text(ANA, number, words).connected
    world.emulator.faults.clear()


def lose_answer(world: World) -> str:
    """Let the answer to a create be lost; return the SID of the session that Twilio opened all the same."""
    world.consent(ANA)
    world.consent(BEN)
    world.emulator.faults.add({"on": "rest", "mode": "lost-answer", "match": "POST proxy.*/Sessions$", "times": 1})
    assert world.open()["statusCode"] == 503
    (made,) = world.twilio.proxy.v1.services(world.service_sid).sessions.list()
    sid: str = made.sid
    return sid


@pytest.mark.parametrize("word", FORWARDED)
def test_stop_word_that_no_webhook_heard_is_a_withdrawal(world: World, word: str) -> None:
    """A stop word that Proxy passes on while the gate is down is withdrawn, and its session closed, by the next run."""
    sid, number = masked(world)
    say_unheard(world, number, word)
    assert world.received(BEN) == [word]
    done = world.reconcile()
    assert (done["withdrawn"], done["closed"]) == (1, 1)
    assert (world.status_at_twilio(sid), world.session(sid).status) == ("closed", "closed")
    assert world.open()["statusCode"] == 409


def test_unheard_stop_word_is_one_withdrawal(world: World) -> None:
    """However many webhooks failed and however often the alerts are read, one text is one withdrawal."""
    _, number = masked(world)
    say_unheard(world, number, "REVOKE")
    world.reconcile()
    events = len(world.rows("EVENT#"))
    assert "withdrawn" not in world.reconcile()
    assert len(world.rows("EVENT#")) == events


def test_stop_word_without_a_session_is_taken_too(world: World) -> None:
    """A stop word outside a session, whose webhook failed, is a withdrawal as well."""
    sid, number = masked(world)
    world.twilio.proxy.v1.services(world.service_sid).sessions(sid).update(status="closed")
    world.emulator.faults.add({"on": "webhook", "mode": "refuse"})
    world.text(ANA, number, "REVOKE")
    world.emulator.faults.clear()
    assert world.reconcile()["withdrawn"] == 1


@pytest.mark.parametrize("words", ["On my way", "HELP", "YES", "please do not stop"])
def test_ordinary_text_that_no_webhook_heard_withdraws_nothing(world: World, words: str) -> None:
    """Unlike a swallowed word, a text that merely met a failing webhook says nothing by itself."""
    sid, number = masked(world)
    say_unheard(world, number, words)
    assert "withdrawn" not in world.reconcile()
    assert world.status_at_twilio(sid) == "in-progress"


def test_call_that_no_webhook_heard_is_passed_over(world: World) -> None:
    """The alert of a call has no words to look at."""
    sid, number = masked(world)
    world.emulator.faults.add({"on": "webhook", "mode": "refuse"})
    world.call(ANA, number)
    world.emulator.faults.clear()
    assert "withdrawn" not in world.reconcile()
    assert world.status_at_twilio(sid) == "in-progress"


def test_unheard_word_that_is_found_late_still_counts(world: World) -> None:
    """A stop word is worth as much as one that was heard: what was recorded before it is void, a new answer is not."""
    _, number = masked(world)
    say_unheard(world, number, "REVOKE")
    world.clock.advance(12 * 3600)
    assert world.reconcile()["withdrawn"] == 1
    assert world.open()["statusCode"] == 409
    world.clock.advance(1)
    world.consent(ANA)
    assert world.open()["statusCode"] == 201


def test_lost_webhook_without_an_alert_is_found_among_the_messages(world: World) -> None:
    """A stop word whose webhooks vanished without an alert is still a message of the account, and counts."""
    sid, number = masked(world)
    say_unheard(world, number, "REVOKE", mode="lost")
    assert world.reconcile()["withdrawn"] == 1
    assert world.status_at_twilio(sid) == "closed"


def test_session_of_a_lost_answer_is_closed_by_the_next_run(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What a create opened without our learning of it is closed at once: its intent was given up with the answer."""
    sid = lose_answer(world)
    assert world.status_at_twilio(sid) == "open"
    capsys.readouterr()
    assert world.reconcile()["orphans"] == 1
    assert world.status_at_twilio(sid) == "closed"
    logged = lines(capsys)
    assert [line["session"] for line in logged if line["event"] == "session-orphaned-closed"] == [sid]
    assert not any(phone in str(logged) for phone in (ANA, BEN, *POOL))
    assert "orphans" not in world.reconcile()
    assert world.open()["statusCode"] == 201


def test_session_that_is_being_opened_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose intent is under way is nobody's orphan, until the function that opens it must be dead."""

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    world.consent(ANA)
    world.consent(BEN)
    with monkeypatch.context() as dying:
        dying.setattr(DynamoLedger, "confirm", die)
        dying.setattr(TwilioCarrier, "close_session", die)
        with pytest.raises(KeyboardInterrupt):
            world.open()
    world.clock.advance(30)
    assert "orphans" not in world.reconcile()
    world.clock.advance(6)
    done = world.reconcile()
    assert (done["abandoned"], done["orphans"]) == (1, 1)


def test_session_that_nobody_meant_is_closed(world: World) -> None:
    """A session without an intent of ours, made by hand in the stack's Service, is closed by the next run."""
    made = world.twilio.proxy.v1.services(world.service_sid).sessions.create(unique_name="by-hand", ttl=600)
    assert world.reconcile()["orphans"] == 1
    assert world.status_at_twilio(made.sid) == "closed"


def test_session_that_was_opened_again_is_closed_again(world: World) -> None:
    """What the ledger holds for closed stays closed: opening it again at Twilio lasts until the next run."""
    sid, _ = masked(world)
    world.get("sessions-delete", sid)
    world.twilio.proxy.v1.services(world.service_sid).sessions(sid).update(status="in-progress")
    assert world.reconcile()["orphans"] == 1
    assert world.status_at_twilio(sid) == "closed"


def test_session_that_twilio_closed_leaves_the_ledger(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What was closed at Twilio behind the ledger's back is no open session any more, and is not renewed."""
    sid, _ = masked(world)
    world.twilio.proxy.v1.services(world.service_sid).sessions(sid).update(status="closed")
    capsys.readouterr()
    assert world.reconcile()["ghosts"] == 1
    assert world.session(sid).closed_reason == "closed-at-carrier"
    _, measured = output(capsys)
    (counts,) = [line for line in measured if "Ghosts" in line]
    assert (counts["Stack"], counts["Ghosts"], counts["IncompleteRuns"]) == ("local", 1, 0)


def test_every_session_has_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run asks Twilio about a few sessions only, and the next run about others."""
    monkeypatch.setattr(reconcile, "GHOSTS_LIMIT", 1)
    people = [f"+12125550{number}" for number in range(150, 166)]
    for who in people:
        world.consent(who)
    pairs = zip(people[::2], people[1::2], strict=True)
    sids = [body(world.open(participants=[{"identifier": who} for who in pair]))["session"] for pair in pairs]
    for sid in sids:
        world.twilio.proxy.v1.services(world.service_sid).sessions(sid).update(status="closed")
    ghosts = [world.reconcile().get("ghosts", 0) for _ in range(8)]
    assert sum(ghosts) == len(sids)
    assert max(ghosts) <= 4


def test_session_of_ours_is_left_alone(world: World) -> None:
    """A session that the ledger knows stays open, however often the list is read."""
    sid, _ = masked(world)
    for _ in range(3):
        world.clock.advance(61)
        assert "orphans" not in world.reconcile()
    assert world.status_at_twilio(sid) == "open"


def test_orphan_that_cannot_be_closed_is_tried_again(world: World) -> None:
    """A refusal of Twilio's fails the run, and the next ones come back to the same session, even much later."""
    sid = lose_answer(world)
    world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions/"})
    for _ in range(2):
        world.clock.advance(900)
        with pytest.raises(ReconcileIncompleteError):
            world.reconcile()
    world.emulator.faults.clear()
    assert world.reconcile()["orphans"] == 1
    assert world.status_at_twilio(sid) == "closed"


def test_list_of_sessions_is_read_no_further_than_needed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run reads what is new since the last one; more than a run may read fails loudly, newest first."""
    people = [f"+12125550{number}" for number in range(150, 158)]
    for who in people:
        world.consent(who)
    for first, second in zip(people[::2], people[1::2], strict=True):
        assert world.open(participants=[{"identifier": first}, {"identifier": second}])["statusCode"] == 201
        world.clock.advance(1)
    world.clock.advance(120)
    monkeypatch.setattr(reconcile, "FOUND_LIMIT", 3)
    with pytest.raises(ReconcileIncompleteError):
        world.reconcile()
    monkeypatch.setattr(reconcile, "FOUND_LIMIT", 4)
    world.reconcile()
    world.clock.advance(1200)
    world.reconcile()
    monkeypatch.setattr(reconcile, "FOUND_LIMIT", 2)
    world.reconcile()


def test_late_run_leaves_the_rest_to_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts whose time is up before they begin say so, and the next run does their work."""
    sid, number = masked(world)
    say_unheard(world, number, "REVOKE")
    with monkeypatch.context() as late:
        late.setattr(reconcile, "UNHEARD_SECONDS", -1.0)
        late.setattr(reconcile, "MESSAGES_SECONDS", -1.0)
        late.setattr(reconcile, "ORPHANS_SECONDS", -1.0)
        with pytest.raises(ReconcileIncompleteError):
            world.reconcile()
    waiting = [line["work"] for line in lines(capsys) if line["event"] == "reconcile-out-of-time"]
    assert waiting == [reconcile.FAILURES, reconcile.MESSAGES, reconcile.ORPHANS]
    assert world.reconcile()["withdrawn"] == 1
    assert body(world.get("sessions-get", sid))["closed_reason"] == "opted-out"
