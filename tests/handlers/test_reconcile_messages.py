"""The reconciler among Twilio's messages: stop words without a trace, and people whom Twilio bars."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from parley import runtime
from parley.adapters.twilio import TwilioCarrier
from parley.core import moments
from parley.core.consent import Scope, State
from parley.handlers import reconcile
from parley.handlers.reconcile import ReconcileIncompleteError
from parley.ports import Message

from local.twilio.numbers import describe
from tests.handlers.world import ANA, ASK, BEN, POOL, STRANGER, World, lines

ELSEWHERE = "+12125550149"


@pytest.fixture(autouse=True)
def no_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no alert of anything, so that only the messages tell."""
    monkeypatch.setattr(TwilioCarrier, "alerts", lambda *_: ([], True))


def masked(world: World, party: str = ANA) -> tuple[str, str]:
    """Open a conversation; return its SID and the number that a party dials."""
    opened = world.conversation()
    key = world.identities.party(party)
    return opened["session"], next(one["masked_number"] for one in opened["participants"] if one["party"] == key)


def said_no(world: World, phone: str) -> bool:
    """Tell whether everything of a person is withdrawn."""
    standings = world.ledger.standings_of(world.identities.party(phone))
    return {one.scope for one in standings if one.state is State.WITHDRAWN} == set(Scope)


class TestStopWords:
    """Inbound messages to the pool."""

    @pytest.mark.parametrize("words", ["STOP", "arrete", "Unsubscribe"])
    def test_swallowed_word_without_an_alert_is_a_withdrawal(self, world: World, words: str) -> None:
        """A word that Proxy kept and that no alert tells of is found, with the time at which it was sent."""
        sid, number = masked(world)
        world.text(ANA, number, words)
        sent = runtime.clock().now()
        world.clock.advance(30)
        done = world.reconcile()
        assert (done["withdrawn"], done["closed"], world.status_at_twilio(sid)) == (1, 1, "closed")
        record = next(one for one in world.ledger.records(world.identities.party(ANA)) if one.event.withdrawal)
        assert abs(record.event.effective_at - sent) <= timedelta(seconds=2)

    def test_found_twice_is_one_withdrawal(self, world: World) -> None:
        """What a webhook heard, an alert told of or an earlier run found is not withdrawn again."""
        world.text(STRANGER, POOL[0], "leave me alone")
        rows = len(world.rows("EVENT#"))
        for _ in range(2):
            world.reconcile()
            world.clock.advance(61)
        assert (rows, len(world.rows("EVENT#"))) == (len(Scope), len(Scope))

    @pytest.mark.parametrize("words", ["On my way", "YES", "START", "the bus stop is here"])
    def test_talk_is_passed_over(self, world: World, words: str) -> None:
        """What is no stop word withdraws nothing and gives nothing."""
        _, number = masked(world)
        world.text(ANA, number, words)
        assert "withdrawn" not in world.reconcile()

    def test_number_that_asks_is_ours(self, world: World) -> None:
        """A stop word to the number that asks, whose webhook failed, is found as well."""
        world.emulator.faults.add({"on": "webhook", "mode": "refuse"})
        world.text(STRANGER, ASK, "leave me alone")
        world.emulator.faults.clear()
        assert world.reconcile()["withdrawn"] == 1
        assert said_no(world, STRANGER)

    @pytest.mark.parametrize(("service", "ours"), [("MG" + "1" * 32, True), ("MG" + "2" * 32, False)])
    def test_messaging_service_that_asks_is_ours(
        self, world: World, monkeypatch: pytest.MonkeyPatch, service: str, ours: bool
    ) -> None:
        """Where a Messaging Service asks, its messages are ours whatever number they came to."""
        policy = f'{{"methods":["sms_reply"],"validityDays":1,"askFrom":"MG{"1" * 32}","questionMinutes":5}}'
        monkeypatch.setenv("PARLEY_CONSENT", policy)
        now = runtime.clock().now()
        message = Message("SM" + "1" * 32, STRANGER, "baja", True, now, ELSEWHERE, service_sid=service)
        monkeypatch.setattr(TwilioCarrier, "messages", lambda *_: ([message], True))
        assert ("withdrawn" in world.reconcile()) is ours

    def test_number_of_another_application_is_not_ours(self, world: World) -> None:
        """A STOP to a number of the account that is not in the pool is said to somebody else."""
        carrier = world.emulator.carrier
        carrier.numbers.own(carrier.account_sid, describe(ELSEWHERE, sms=True, voice=True, mms=False), {})
        world.text(STRANGER, ELSEWHERE, "STOP")
        assert "withdrawn" not in world.reconcile()
        assert world.ledger.standings_of(world.identities.party(STRANGER)) == []

    def test_old_messages_are_not_read_again(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run reads from a little before where the last one ended."""
        world.reconcile()
        asked: list[datetime] = []

        def messages(
            _carrier: TwilioCarrier, since: datetime, _until: datetime | None, _limit: int
        ) -> tuple[list[Message], bool]:
            asked.append(since)
            return [], True

        monkeypatch.setattr(TwilioCarrier, "messages", messages)
        world.clock.advance(60)
        world.reconcile()
        world.clock.advance(60)
        world.reconcile()
        assert timedelta(seconds=59) < asked[1] - asked[0] < timedelta(seconds=75)

    def test_failure_is_made_good(self, world: World) -> None:
        """A word that could not be taken keeps the cursor where it is until it was."""
        _, number = masked(world)
        world.reconcile()
        world.text(ANA, number, "STOP")
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "GET proxy.*/PhoneNumbers"})
        for _ in range(12):
            world.clock.advance(60)
            with pytest.raises(ReconcileIncompleteError):
                world.reconcile()
        world.emulator.faults.clear()
        assert world.reconcile()["withdrawn"] == 1

    def test_busy_account_is_read_in_stretches(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of too many messages for one run the oldest are taken, and the next run goes on from there."""
        _, number = masked(world)
        world.text(ANA, number, "STOP")
        start = runtime.clock().now() - timedelta(minutes=20)
        world.ledger.save_cursor(reconcile.MESSAGES, {"since": moments.to_text(start)})
        messages = TwilioCarrier.messages

        def long_list(
            carrier: TwilioCarrier, since: datetime, until: datetime | None, limit: int
        ) -> tuple[list[Message], bool]:
            short = until is not None and until - since <= timedelta(minutes=6)
            return messages(carrier, since, until, limit)[0], short

        with monkeypatch.context() as busy:
            busy.setattr(TwilioCarrier, "messages", long_list)
            with pytest.raises(ReconcileIncompleteError):
                world.reconcile()
        reached = moments.from_text(world.ledger.load_cursor(reconcile.MESSAGES)["since"])
        assert timedelta(minutes=3) < reached - start <= timedelta(minutes=6)
        world.reconcile()
        assert said_no(world, ANA)


class TestBarred:
    """Outbound messages that Twilio did not send because of an earlier STOP."""

    def test_person_whom_twilio_bars_is_withdrawn(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """Whoever Twilio bars said no: all is withdrawn, the session closed, and only the other side told."""
        sid, number = masked(world)
        world.emulator.carrier.state.opt_outs.add((masked_of(world, sid, BEN), BEN))
        assert not world.text(ANA, number, "Where are you?").connected
        capsys.readouterr()
        assert world.reconcile()["withdrawn"] == 1
        assert "withdrawn" not in world.reconcile()
        assert (said_no(world, BEN), said_no(world, ANA), world.status_at_twilio(sid)) == (True, False, "closed")
        assert world.received(BEN) == []
        assert ["not available" in text for text in world.received(ANA)] == [True]
        assert BEN not in str(lines(capsys))

    def test_further_barred_texts_say_nothing_new(self, world: World) -> None:
        """Somebody who said no already is not withdrawn again by each text that is barred."""
        sid, number = masked(world)
        world.consent(BEN, "refused")
        before = len(world.rows("EVENT#"))
        world.emulator.carrier.messaging.bar(world.emulator.carrier.account_sid, POOL[0], BEN, "hello")
        world.reconcile()
        assert len(world.rows("EVENT#")) == before
        assert number in POOL
        assert world.status_at_twilio(sid) == "closed"

    def test_sender_of_another_application_is_not_ours(self, world: World) -> None:
        """A text that another application of the account could not send says nothing about this service."""
        world.consent(BEN)
        world.emulator.carrier.messaging.bar(world.emulator.carrier.account_sid, ELSEWHERE, BEN, "hello")
        assert "withdrawn" not in world.reconcile()


def masked_of(world: World, sid: str, phone: str) -> str:
    """Return the masked number that a phone knows in a session."""
    return next(seat.masked_number for seat in runtime.carrier().seats(sid) if seat.identifier == phone)
