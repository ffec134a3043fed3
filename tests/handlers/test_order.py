"""I1 and I7: wherever a function dies or a person says no, nobody stays connected whom the ledger does not know of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from parley import runtime
from parley.adapters.dynamodb import DynamoLedger
from parley.core.consent import State
from parley.core.sessions import Session
from parley.handlers import consents
from parley.ports import LedgerError
from parley.withdrawal import Closed, close, close_denied

from local.twilio.simulator import Ring
from tests.handlers.boundaries import at, count, die_at, open_at_twilio, open_in_ledger
from tests.handlers.world import ANA, BEN, POOL, World, body, lines, problem_of

OPENING = ["get_item", "transact_get_items", "transact_write_items", "open-session", "list-participants"]
OPENING += ["transact_get_items", "transact_write_items"]
RENEWING = ["get_item", "transact_get_items", "transact_write_items", "renew-session"]
WITHDRAWING = ["transact_get_items", "query", "transact_write_items"]
CLOSING = ["get_item", "close-session", "transact_write_items"]
everywhere = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


def boundaries(calls: list[str]) -> Callable[[Any], Any]:
    """Run a test once for each call that a handler makes to the outside."""
    return pytest.mark.parametrize("number", range(len(calls)), ids=[f"{n}-{name}" for n, name in enumerate(calls)])


def agree(world: World) -> None:
    """Give both their consent."""
    world.consent(ANA)
    world.consent(BEN)


def settle(world: World) -> None:
    """Let the reconciler run at once, and again when whatever was under way must be over."""
    world.reconcile()
    world.clock.advance(60)
    world.reconcile()


def test_calls_are_those_of_the_order(world: World) -> None:
    """The intent is written before Twilio is asked, and the session after it; a renewal is written before."""
    agree(world)
    opened: list[Any] = []
    assert count(lambda: opened.append(world.open(key="ride-7"))) == OPENING
    sid = body(opened[0])["session"]
    assert count(lambda: world.renew(sid, ttl=3600)) == RENEWING
    assert count(lambda: world.get("sessions-delete", sid)) == CLOSING


class TestOpening:
    """Killed at each boundary, an opening leaves nothing that is not found."""

    @everywhere
    @boundaries(OPENING)
    def test_what_dies_leaves_nothing_open(self, world: World, number: int, after: bool) -> None:
        """A session is open at Twilio and in the ledger, or in neither, once the reconciler has run."""
        agree(world)
        assert die_at(number, after=after, act=lambda: world.open(key="ride-7"))
        assert open_in_ledger(world) <= open_at_twilio(world)
        settle(world)
        assert open_at_twilio(world) == open_in_ledger(world)
        # Only the very last write makes a session of it.
        assert len(open_in_ledger(world)) == (number == len(OPENING) - 1 and after)

    @everywhere
    @boundaries(OPENING)
    def test_repeat_after_death_ends_in_one_session(self, world: World, number: int, after: bool) -> None:
        """Whoever got no answer repeats the request, and has exactly one session in the end."""
        agree(world)
        die_at(number, after=after, act=lambda: world.open(key="ride-7"))
        world.clock.advance(36)
        answers = [world.open(key="ride-7") for _ in range(2)]
        assert answers[0]["statusCode"] in {200, 201}
        assert answers[1]["statusCode"] == 200
        settle(world)
        assert open_at_twilio(world) == open_in_ledger(world) == {body(one)["session"] for one in answers}

    def test_orphan_connects_nobody_meanwhile(self, world: World) -> None:
        """What Twilio opened for a function that died is refused by the gate until it is closed."""
        agree(world)
        die_at(OPENING.index("open-session"), after=True, act=world.open)
        assert len(open_at_twilio(world)) == 1
        assert not any(world.text(ANA, number, "hello").connected for number in POOL)

    @everywhere
    @boundaries(OPENING)
    def test_no_at_any_moment_wins(self, world: World, number: int, after: bool) -> None:
        """Whenever a person withdraws, when both answers are given nothing is open: no reconciler is needed."""
        agree(world)
        with at(number, after=after, happen=lambda: world.consent(BEN, "withdrawn")) as boundary:
            answer = world.open(key="ride-7")
        assert boundary.came
        assert answer["statusCode"] in {201, 409}
        assert open_at_twilio(world) == open_in_ledger(world) == set()

    @everywhere
    @boundaries(OPENING)
    def test_outage_at_any_moment_leaves_nothing_open(self, world: World, number: int, after: bool) -> None:
        """A ledger that fails once, done or not done, ends in no session or in one that both sides know."""

        def fail() -> None:
            raise LedgerError

        agree(world)
        with at(number, after=after, happen=fail):
            assert world.open(key="ride-7")["statusCode"] == 503
        settle(world)
        assert open_at_twilio(world) == open_in_ledger(world)


class TestRepeating:
    """The same request, told by its key or its name, is one session."""

    @pytest.mark.parametrize("name", [{"key": "ride-7"}, {"unique_name": "ride-7"}])
    def test_same_request_answers_the_same_session(self, world: World, name: dict[str, Any]) -> None:
        """A repeat is 200 with the session and the masked numbers that the first was answered with."""
        agree(world)
        first, again = world.open(**name), world.open(**name)
        assert (first["statusCode"], again["statusCode"]) == (201, 200)
        assert body(first)["session"] == body(again)["session"]
        assert body(first)["participants"] == body(again)["participants"]
        assert len(open_at_twilio(world)) == 1

    def test_another_request_under_the_same_key_is_refused(self, world: World) -> None:
        """A key that meant something else is 409, and nothing is opened."""
        agree(world)
        world.open(key="ride-7")
        assert problem_of(world.open(key="ride-7", ttl=600)) == (409, "name-reused")
        assert len(open_at_twilio(world)) == 1

    def test_key_and_name_together_are_refused(self, world: World) -> None:
        """Two names for one request would make two promises."""
        agree(world)
        answer = world.open(key="ride-7", unique_name="ride-7")
        assert problem_of(answer) == (400, "invalid-body")
        assert body(answer)["errors"][0]["path"] == "unique_name"

    def test_request_that_is_under_way_is_told(self, world: World) -> None:
        """While the first is being carried out a repeat is 409: it neither waits nor opens a second session."""
        agree(world)
        answers: list[Any] = []
        happen = lambda: answers.append(world.open(key="ride-7"))  # noqa: E731 - the one line that happens
        with at(OPENING.index("open-session"), after=True, happen=happen):
            assert world.open(key="ride-7")["statusCode"] == 201
        assert problem_of(answers[0]) == (409, "session-under-way")
        assert len(open_at_twilio(world)) == 1

    def test_refused_request_may_be_repeated(self, world: World) -> None:
        """A refusal is no session: with the consent that was missing the same request opens one."""
        world.consent(ANA)
        assert problem_of(world.open(key="ride-7")) == (409, "consent-missing")
        world.consent(BEN)
        assert world.open(key="ride-7")["statusCode"] == 201

    def test_repeat_of_a_closed_session_opens_none(self, world: World) -> None:
        """A repeat that comes after a withdrawal is answered with the session as it is: closed."""
        agree(world)
        world.open(key="ride-7")
        world.consent(ANA, "withdrawn")
        again = world.open(key="ride-7")
        assert (again["statusCode"], body(again)["status"]) == (200, "closed")
        assert open_at_twilio(world) == set()


class TestRenewing:
    """A renewal lengthens a session only on the consents of that moment."""

    def test_lasts_longer_here_and_at_twilio(self, world: World) -> None:
        """The end moves to the wanted seconds from now, in the ledger, for each person, and at Twilio."""
        sid = world.conversation()["session"]
        world.clock.advance(1800)
        answer = world.renew(sid, ttl=3600)
        assert answer["statusCode"] == 200
        assert world.session(sid).closes_at.timestamp() == pytest.approx(world.clock.now() + 3600, abs=2)
        assert ends_at_twilio(world, sid) == pytest.approx(world.clock.now() + 3600, abs=2)
        assert {row["closes_at"]["S"] for row in world.rows("SESSION#")} == {body(answer)["closes_at"]}
        world.clock.advance(3000)
        world.reconcile()
        assert open_at_twilio(world) == {sid}

    def test_never_shortens(self, world: World) -> None:
        """A renewal for less than what is left changes nothing."""
        sid = world.conversation()["session"]
        before = world.session(sid).closes_at
        assert world.renew(sid, ttl=60)["statusCode"] == 200
        assert world.session(sid).closes_at == before

    def test_ends_with_the_first_consent(self, world: World) -> None:
        """A renewed session ends when the first consent that it rests on does."""
        agree(world)
        world.clock.advance(365 * 86_400 - 1800)
        sid = body(world.open(ttl=60))["session"]
        world.renew(sid, ttl=3600)
        left = world.session(sid).closes_at.timestamp() - world.clock.now()
        assert 1700 < left <= 1800

    @pytest.mark.parametrize("ttl", [0, 59, 3601, "3600", None, True])
    def test_bound_is_the_stacks(self, world: World, ttl: object) -> None:
        """More than parley:session.ttl, less than a minute and what is no number are 400; nothing means the bound."""
        sid = world.conversation()["session"]
        expected = 200 if ttl is None else 400
        assert world.renew(sid, ttl=ttl)["statusCode"] == expected

    @pytest.mark.parametrize("state", ["withdrawn", "refused"])
    def test_without_consent_nothing_is_renewed(self, world: World, state: str) -> None:
        """While the session of somebody who said no could not be closed yet, it does not last longer either."""
        sid = world.conversation()["session"]
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions/"})
        world.consent(BEN, state)
        world.emulator.faults.clear()
        answer = world.renew(sid, ttl=3600)
        assert problem_of(answer) == (409, "consent-missing")
        assert body(answer)["missing"][0]["code"] == f"manage-{state}"

    def test_closed_session_is_not_renewed(self, world: World) -> None:
        """What is over stays over, whether it was closed, ran out, or was closed at Twilio only."""
        closed = world.conversation()["session"]
        world.get("sessions-delete", closed)
        gone = body(world.open())["session"]
        world.twilio.proxy.v1.services(world.service_sid).sessions(gone).update(status="closed")
        over = body(world.open(ttl=60))["session"]
        assert [problem_of(world.renew(sid)) for sid in (closed, gone)] == [(409, "session-closed")] * 2
        world.clock.advance(61)
        assert problem_of(world.renew(over)) == (409, "session-closed")
        assert open_in_ledger(world) == {over}

    def test_unknown_session_is_404(self, world: World) -> None:
        """There is nothing to renew without a session."""
        assert problem_of(world.renew("KC" + "0" * 32)) == (404, "session-unknown")

    @everywhere
    @boundaries(RENEWING)
    def test_what_dies_never_outlives_the_ledger(self, world: World, number: int, after: bool) -> None:
        """Killed at each boundary, a renewal leaves no session that ends later at Twilio than in the ledger."""
        sid = world.conversation()["session"]
        world.clock.advance(1800)
        assert die_at(number, after=after, act=lambda: world.renew(sid, ttl=3600))
        assert ends_at_twilio(world, sid) <= world.session(sid).closes_at.timestamp()
        world.clock.advance(1801)
        settle(world)
        assert open_at_twilio(world) == open_in_ledger(world)
        assert world.renew(sid, ttl=3600)["statusCode"] == (200 if open_at_twilio(world) else 409)

    @everywhere
    @boundaries(RENEWING)
    def test_no_at_any_moment_wins(self, world: World, number: int, after: bool) -> None:
        """Whenever a person withdraws, when both answers are given the session is closed."""
        sid = world.conversation()["session"]
        with at(number, after=after, happen=lambda: world.consent(BEN, "withdrawn")) as boundary:
            world.renew(sid, ttl=3600)
        assert boundary.came
        assert open_at_twilio(world) == open_in_ledger(world) == set()


class TestWithdrawing:
    """The record of a no and the end of what rests on it are one write."""

    @everywhere
    @pytest.mark.parametrize("number", range(9))
    def test_what_dies_is_closed_by_the_next_run(self, world: World, number: int, after: bool) -> None:
        """Once the record is there the gate refuses, wherever the function died, and the reconciler closes."""
        session = world.session(world.conversation()["session"])
        died = die_at(number, after=after, act=lambda: world.consent(BEN, "withdrawn"))
        (standing,) = world.ledger.standings_of(world.identities.party(BEN))
        said_no = standing.state is State.WITHDRAWN
        talk: dict[str, Any] = {
            "interactionSessionSid": session.sid,
            "inboundParticipantSid": session.participants[0].sid,
        }
        assert world.webhook("intercept-message", **talk)["statusCode"] == (403 if said_no else 200)
        settle(world)
        assert open_at_twilio(world) == open_in_ledger(world) == (set() if said_no else {session.sid})
        assert died or said_no

    @everywhere
    @pytest.mark.parametrize("met_before", [False, True])
    @boundaries(WITHDRAWING)
    def test_session_that_appears_meanwhile_is_revoked(
        self, world: World, number: int, met_before: bool, after: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A session that opens while a withdrawal is being written does not escape it, though nobody closes it."""
        agree(world)
        if met_before:
            world.get("sessions-delete", body(world.open())["session"])
        opened: list[Any] = []
        # Whoever withdraws dies before any session is closed: what is left is what was written.
        monkeypatch.setattr(consents, "close_denied", lambda *_arguments, **_named: Closed((), ()))
        with at(number, after=after, happen=lambda: opened.append(world.open())):
            world.consent(BEN, "withdrawn")
        for sid in open_in_ledger(world):
            assert world.session(sid).revocation is not None
        assert not any(world.text(ANA, masked, "hello").connected for masked in POOL)
        assert met_before <= bool(opened)

    def test_more_sessions_than_a_transaction_holds(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """All of a person's sessions are revoked, however many there are: what does not fit comes before the record."""
        others = [BEN, "+12125550150"]
        for who in (ANA, *others):
            world.consent(who)
        sids = [body(world.open(participants=[{"identifier": ANA}, {"identifier": who}]))["session"] for who in others]
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions/"})
        # The writes of one record, and one more at most.
        monkeypatch.setattr("parley.adapters.consents.TRANSACTION_LIMIT", 5)
        calls = count(lambda: world.consent(ANA, "withdrawn"))
        assert calls.count("transact_write_items") == 2
        assert all(world.session(sid).revocation is not None for sid in sids)
        (standing,) = world.ledger.standings_of(world.identities.party(ANA))
        assert standing.state is State.WITHDRAWN

    @everywhere
    @pytest.mark.parametrize("number", range(4))
    def test_close_that_dies_is_finished(self, world: World, number: int, after: bool) -> None:
        """A DELETE that is killed leaves a session that is open on both sides or on none, once the reconciler ran."""
        sid = world.conversation()["session"]
        die_at(number, after=after, act=lambda: world.get("sessions-delete", sid))
        settle(world)
        assert open_at_twilio(world) == open_in_ledger(world)


class TestClosing:
    """A session is closed for another reason while somebody in it says no."""

    @everywhere
    @boundaries(CLOSING)
    @pytest.mark.parametrize("ends", ["by both", "by the application alone", "by the reconciler"])
    def test_no_meanwhile_ends_the_call(
        self, world: World, number: int, after: bool, ends: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Wherever a no is recorded, its call is ended and the other one told, though who recorded it comes late."""
        sid, legs = talking(world)
        late: list[Callable[[], Closed]] = []

        def delayed(*arguments: Any, **named: Any) -> Closed:
            late.append(lambda: close_denied(*arguments, **named))
            return Closed((), ())

        monkeypatch.setattr(consents, "close_denied", delayed)
        with at(number, after=after, happen=lambda: world.consent(BEN, "withdrawn")) as boundary:
            assert world.get("sessions-delete", sid)["statusCode"] == 204
        assert boundary.came
        # A no that comes after the close finds it: then its call is for who recorded it, or for the reconciler.
        closed_before = number == len(CLOSING) - 1 and after
        if ends == "by both":
            late[0]()
        elif ends == "by the reconciler" or closed_before:
            world.reconcile()
        assert {leg.status for leg in legs} == {"completed"}
        assert open_at_twilio(world) == open_in_ledger(world) == set()
        assert len(told(world)) == (0 if closed_before else 1)
        assert [row for row in world.rows("SESSION") if "open_shard" in row] == []

    @everywhere
    @pytest.mark.parametrize("number", range(11))
    def test_close_that_dies_over_a_no_is_finished(
        self, world: World, number: int, after: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever closes a session as it was before a no, and is killed, leaves the rest to the reconciler."""
        sid, legs = talking(world)
        before = world.session(sid)
        monkeypatch.setattr(consents, "close_denied", lambda *_arguments, **_named: Closed((), ()))
        world.consent(BEN, "withdrawn")
        died = die_at(number, after=after, act=lambda: close(world.ledger, runtime.carrier(), before, reason="test"))
        # The ledger refuses the first write and Twilio the second close: nothing comes after what raises.
        assert died or (number in {1, 3} and after)
        settle(world)
        assert {leg.status for leg in legs} == {"completed"}
        assert open_at_twilio(world) == open_in_ledger(world) == set()
        assert len(told(world)) <= 1

    @pytest.mark.parametrize("end", ["ran out", "gone at Twilio", "renewed"])
    def test_no_ends_the_call_whatever_closes(self, world: World, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The reconciler and a renewal that find a session over let a no be heard that came since they read it."""
        sid, legs = talking(world)
        if end == "ran out":
            world.clock.advance(3601)
        else:
            world.twilio.proxy.v1.services(world.service_sid).sessions(sid).update(status="closed")
        monkeypatch.setattr(consents, "close_denied", lambda *_arguments, **_named: Closed((), ()))
        write = DynamoLedger.close_session
        said: list[Any] = []

        def after_a_no(ledger: DynamoLedger, session: Session, reason: str) -> Session | None:
            said.append(reason)
            world.consent(BEN, "withdrawn")
            return write(ledger, session, reason)

        monkeypatch.setattr(DynamoLedger, "close_session", after_a_no)
        if end == "renewed":
            assert problem_of(world.renew(sid)) == (409, "session-closed")
        else:
            world.reconcile()
        monkeypatch.setattr(DynamoLedger, "close_session", write)
        world.reconcile()
        assert said[0] == ("expired" if end == "ran out" else "closed-at-carrier")
        assert {leg.status for leg in legs} == {"completed"}
        assert open_at_twilio(world) == open_in_ledger(world) == set()


def talking(world: World) -> tuple[str, list[Any]]:
    """Return a session and both legs, at Twilio, of a call that is under way in it; its callbacks are lost."""
    opened = world.conversation()
    call = world.call(ANA, opened["participants"][0]["masked_number"], Ring(hold=True))
    world.emulator.faults.add({"on": "webhook", "mode": "lost"})
    calls = world.emulator.carrier.state.calls
    return opened["session"], [calls[sid or ""] for sid in (call.sid, call.outbound_sid)]


def told(world: World) -> list[str]:
    """Return the texts that told Ana that Ben is not available."""
    return [text for text in world.received(ANA) if "not available" in text]


class TestHotPath:
    """The intercept is asked before every message and call."""

    @pytest.mark.parametrize("event", ["intercept-message", "intercept-voice"])
    def test_one_read_answers(self, world: World, event: str) -> None:
        """A permit and a deny take one read of one row, whatever the parties, and no call of Twilio's."""
        session = world.session(world.conversation()["session"])
        talk: dict[str, Any] = {
            "interactionSessionSid": session.sid,
            "inboundParticipantSid": session.participants[0].sid,
        }
        world.webhook(event, **talk)
        assert count(lambda: world.webhook(event, **talk)) == ["get_item"]
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions/"})
        world.consent(BEN, "withdrawn")
        answers: list[Any] = []
        assert count(lambda: answers.append(world.webhook(event, **talk))) == ["get_item"]
        assert answers[0]["statusCode"] == 403

    def test_shorter_consent_ends_the_session(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A new answer that holds for less time than the session lasts ends it; nobody was exposed by that."""
        session = world.session(world.conversation()["session"])
        world.declare_consent(validityDays=1)
        old = datetime.fromtimestamp(world.clock.now() - 86_400 + 600, UTC)
        world.consent(BEN, occurred_at=old.isoformat())
        assert world.session(session.sid).revocation is not None
        world.reconcile()
        assert open_at_twilio(world) == set()
        assert "session-exposed" not in {line["event"] for line in lines(capsys)}


def ends_at_twilio(world: World, sid: str) -> float:
    """Return when a session ends at Twilio, in epoch seconds."""
    expiry = world.emulator.carrier.state.sessions[sid].date_expiry
    assert expiry is not None
    return expiry
