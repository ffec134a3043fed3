"""Sessions of our own: numbers that are assigned, lines that open with them, and nothing that stays behind."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import pytest
from botocore.client import BaseClient
from parley import runtime
from parley.adapters.lines import LineRows
from parley.core.sessions import Status

from local.twilio.numbers import describe
from local.twilio.simulator import Ring
from tests.handlers.archives import Archives
from tests.handlers.boundaries import die_at
from tests.handlers.direct import make_direct, put_pool
from tests.handlers.test_erasures import erase, finish
from tests.handlers.test_inbound_message import masked
from tests.handlers.world import ACCOUNT, ANA, BEN, POOL, STRANGER, World, body, output, problem_of

TAKE = Ring(callee_digits=("1",))


@pytest.fixture(autouse=True)
def archives(world: World) -> Archives:
    """Give the stores of a gate whose sessions are its own."""
    return make_direct(world)


def agree(world: World, *people: str) -> None:
    """Give everybody's consent."""
    for one in people or (ANA, BEN):
        world.consent(one)


def between(first: str, second: str) -> dict[str, Any]:
    """Return the body of a request for a session between two people."""
    return {"participants": [{"identifier": first}, {"identifier": second}]}


def idle_session(world: World) -> dict[str, Any]:
    """Return a session that ends when nothing passes for ten minutes."""
    agree(world)
    return body(world.open(idle_ttl=600))


def states(world: World) -> Counter[str]:
    """Return how many lines there are in each state."""
    return Counter(row["status"]["S"] for row in world.rows("LINE#"))


class TestAssignment:
    """Who gets which number."""

    def test_one_number_for_many(self, world: World) -> None:
        """Two conversations of four people go over one number, and do not meet."""
        put_pool(world, POOL[0])
        others = ("+12125550151", "+12125550152")
        agree(world, ANA, BEN, *others)
        first, second = body(world.open(**between(ANA, BEN))), body(world.open(**between(*others)))
        assert {masked(one, place) for one in (first, second) for place in (0, 1)} == {POOL[0]}
        world.text(ANA, POOL[0], "to Ben")
        world.text(others[0], POOL[0], "to the other")
        assert (world.received(BEN), world.received(others[1])) == (["to Ben"], ["to the other"])

    def test_one_number_for_each_conversation_of_a_person(self, world: World) -> None:
        """A person in two conversations has a number for each, and who calls it is told apart."""
        agree(world, ANA, BEN, STRANGER)
        first, second = body(world.open()), body(world.open(**between(ANA, STRANGER)))
        assert masked(first) != masked(second)
        world.text(ANA, masked(second), "to the other")
        assert (world.received(BEN), world.received(STRANGER)) == ([], ["to the other"])

    def test_exhausted(self, world: World) -> None:
        """A pool that is used up is told by how many numbers of which country, and nothing is left of the attempt."""
        put_pool(world, POOL[0])
        agree(world, ANA, BEN, STRANGER)
        assert world.open()["statusCode"] == 201
        answer = world.open(**between(ANA, STRANGER))
        assert problem_of(answer) == (503, "no-number-available")
        told = body(answer)
        assert told["missing"] == [{"calling_code": "1", "area": None, "needs": ["voice", "sms"], "missing": 1}]
        assert "calling code +1" in told["detail"]
        assert ANA not in answer["body"]
        assert states(world) == {"open": 2}

    def test_another_country(self, world: World) -> None:
        """Whoever's country has no number is told so, and the other one's is not reserved."""
        agree(world, ANA, "+447700900111")
        answer = world.open(**between(ANA, "+447700900111"))
        assert body(answer)["missing"][0]["calling_code"] == "44"
        assert states(world) == {}

    def test_least_used_comes_first(self, world: World) -> None:
        """Whoever is new gets the number that the fewest people use, as the reconciler counted them."""
        people = [f"+1415555{place:04}" for place in range(100, 112)]
        agree(world, *people)
        numbers = [f"+1212555{place:04}" for place in range(300, 303)]
        for number in numbers:
            world.emulator.carrier.numbers.own(ACCOUNT, describe(number, sms=True, voice=True, mms=True), {})
        put_pool(world, *numbers)
        for place in range(0, 12, 2):
            assert world.open(**between(people[place], people[place + 1]))["statusCode"] == 201
            world.reconcile()
            # A function that begins anew reads the counts at once, one that runs on within five minutes.
            runtime.reset()
        counts = Counter(row["sk"]["S"] for row in world.rows("LINE#"))
        assert set(counts.values()) == {4}

    def test_sticky(self, world: World) -> None:
        """The same two people get the same numbers again."""
        before = world.conversation()
        world.get("sessions-delete", before["session"])
        again = body(world.open())
        assert [masked(again, place) for place in (0, 1)] == [masked(before, place) for place in (0, 1)]
        assert again["session"] != before["session"]

    def test_reserved(self, world: World) -> None:
        """A reserved number is assigned to nobody."""
        put_pool(world, *POOL, reserved=(POOL[0],))
        session = world.conversation()
        assert {masked(session, place) for place in (0, 1)} == {POOL[1]}

    def test_number_that_points_elsewhere(self, world: World) -> None:
        """A number whose calls or texts go elsewhere by now is none of the pool's."""
        for setting in ("VoiceUrl", "SmsUrl"):
            put_pool(world, *POOL)
            owned = world.emulator.carrier.numbers.by_phone_number(POOL[0])
            assert owned is not None
            owned.settings[setting] = "https://elsewhere.example.com"
            assert runtime.carrier().pool() == {POOL[1]}

    def test_participants_need_no_number_of_the_pool(self, world: World) -> None:
        """A number of the pool is nobody's own: a session with it would call itself."""
        agree(world, ANA, POOL[0])
        answer = world.open(**between(ANA, POOL[0]))
        assert problem_of(answer) == (409, "own-number")
        assert POOL[0] not in answer["body"]

    def test_many_at_once(self, world: World) -> None:
        """Two hundred requests at once for one person end with one number each, or with what is missing."""
        numbers = [f"+1212555{place:04}" for place in range(300, 320)]
        for number in numbers:
            world.emulator.carrier.numbers.own(ACCOUNT, describe(number, sms=True, voice=True, mms=True), {})
        put_pool(world, *numbers)
        people = [f"+1415555{place:04}" for place in range(100, 140)]
        agree(world, ANA, *people)
        wanted = [between(ANA, people[place % len(people)]) for place in range(200)]
        lock, request = Lock(), BaseClient._make_api_call  # type: ignore[attr-defined]

        def one_at_a_time(*asked: Any) -> Any:
            with lock:
                return request(*asked)

        world.patch.setattr(BaseClient, "_make_api_call", one_at_a_time)
        with ThreadPoolExecutor(16) as workers:
            answers = list(workers.map(lambda one: world.open(**one), wanted))
        opened = [body(one) for one in answers if one["statusCode"] == 201]
        refused = {problem_of(one)[1] for one in answers if one["statusCode"] != 201}
        taken = [masked(one) for one in opened]
        assert len(set(taken)) == len(taken) <= len(numbers)
        assert refused <= {"no-number-available", "unavailable"}
        assert len(taken) >= len(numbers) - 2
        pairs = Counter((row["pk"]["S"], row["sk"]["S"]) for row in world.rows("LINE#") if row["status"]["S"] == "open")
        assert set(pairs.values()) == {1}


class TestPool:
    """What is measured of the numbers that are left."""

    def test_free_numbers_by_country(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """The reconciler measures what is left for whoever has the most sessions, and rings when that is nothing."""
        agree(world, ANA, BEN, STRANGER)
        found = []
        for people in ((), (ANA, BEN), (ANA, STRANGER)):
            if people:
                assert world.open(**between(*people))["statusCode"] == 201
            output(capsys)
            world.reconcile()
            measured = output(capsys)[1]
            free = [one["PoolFree"] for one in measured if one.get("CallingCode") == "1"]
            found.append((free, [one["PoolShort"] for one in measured if "PoolShort" in one]))
        assert found == [([2], [0]), ([1], [0]), ([0], [1])]


class TestLife:
    """How a session goes on and ends."""

    def test_renewed(self, world: World) -> None:
        """A renewal lets the lines last as long as the session."""
        session = world.conversation()
        world.clock.advance(3000)
        assert world.renew(session["session"], ttl=3600)["statusCode"] == 200
        world.clock.advance(3000)
        world.text(ANA, masked(session), "still there")
        assert world.received(BEN) == ["still there"]

    def test_renewal_that_was_lost_on_the_way(self, world: World) -> None:
        """Where the lines were not lengthened the session ends sooner than the ledger says, never later."""
        session = world.conversation()
        with world.patch.context() as patch:
            patch.setattr(LineRows, "renew_lines", lambda *_: (_ for _ in ()).throw(RuntimeError("dead")))
            world.renew(session["session"], ttl=3600)
        world.clock.advance(3590)
        assert world.renew(session["session"], ttl=3600)["statusCode"] == 200
        world.text(ANA, masked(session), "hello")
        assert world.received(BEN) == ["hello"]

    def test_closed(self, world: World) -> None:
        """Who closes a session ends its lines, and its numbers are free at once."""
        session = world.conversation()
        assert world.get("sessions-delete", session["session"])["statusCode"] == 204
        assert states(world) == {"closed": 2}
        world.text(ANA, masked(session), "hello")
        assert world.received(BEN) == []

    def test_withdrawal_ends_a_call(self, world: World) -> None:
        """A call under way is ended by a no, and the other one is told."""
        session = world.conversation()
        call = world.call(ANA, masked(session), Ring(callee_digits=("1",), hold=True))
        assert call.connected
        world.consent(BEN, "withdrawn")
        assert world.emulator.carrier.state.calls[call.sid].status == "completed"
        assert "not available" in world.received(ANA)[-1]

    def test_repeat(self, world: World) -> None:
        """The same request answers the same session with the same numbers."""
        agree(world)
        first, second = world.open(key="ride-7"), world.open(key="ride-7")
        assert (first["statusCode"], second["statusCode"]) == (201, 200)
        assert body(first)["participants"] == body(second)["participants"]

    def test_reconciler_closes_what_lost_its_lines(self, world: World) -> None:
        """A session whose lines are gone, by hand say, is closed by the reconciler."""
        session = world.conversation()
        for row in world.rows("LINE#"):
            world.dynamodb.delete_item(TableName="parley-ledger", Key={"pk": row["pk"], "sk": row["sk"]})
        world.reconcile()
        assert world.session(session["session"]).status is Status.CLOSED

    def test_reconciler_lets_the_others_be(self, world: World) -> None:
        """A session in order is none of its business."""
        session = world.conversation()
        world.reconcile()
        world.text(ANA, masked(session), "hello")
        assert world.received(BEN) == ["hello"]


class TestIdle:
    """A session that ends when nothing passes for a while (`idle_ttl`)."""

    def test_ends(self, world: World) -> None:
        """What comes too late is not passed on, does not wake the session, and the reconciler closes it."""
        session = idle_session(world)
        world.clock.advance(601)
        for text in ("late", "again"):
            world.text(ANA, masked(session), text)
        assert not world.call(ANA, masked(session), TAKE).connected
        assert world.received(BEN) == []
        world.reconcile()
        closed = world.session(session["session"])
        assert (closed.status, closed.closed_reason) == (Status.CLOSED, "idle")
        assert states(world) == {"closed": 2}

    @pytest.mark.parametrize(("number", "place"), [(ANA, 0), (BEN, 1)])
    def test_a_text_puts_it_off(self, world: World, number: str, place: int) -> None:
        """A text of either one puts off the end for both."""
        session = idle_session(world)
        for _ in range(3):
            world.clock.advance(500)
            world.text(number, masked(session, place), "hello")
            world.reconcile()
        world.clock.advance(500)
        world.text(ANA, masked(session), "last")
        assert world.received(BEN)[-1] == "last"

    def test_a_call_keeps_it(self, world: World) -> None:
        """A call that goes on for longer keeps its session open."""
        session = idle_session(world)
        assert world.call(ANA, masked(session), Ring(callee_digits=("1",), hold=True)).connected
        world.clock.advance(900)
        world.reconcile()
        assert world.session(session["session"]).status is Status.OPEN

    def test_time_counts_from_a_call(self, world: World) -> None:
        """After a call the session lasts as long again."""
        session = idle_session(world)
        world.clock.advance(500)
        assert world.call(ANA, masked(session), TAKE).connected
        world.clock.advance(500)
        world.text(BEN, masked(session, 1), "after the call")
        assert world.received(ANA) == ["after the call"]

    def test_renewal(self, world: World) -> None:
        """What ended because nothing passed is not renewed any more."""
        session = idle_session(world)
        assert world.renew(session["session"], ttl=3600)["statusCode"] == 200
        world.clock.advance(601)
        assert problem_of(world.renew(session["session"], ttl=3600)) == (409, "session-closed")

    def test_shown(self, world: World) -> None:
        """A session tells its idle time."""
        session = idle_session(world)
        assert body(world.get("sessions-get", session["session"]))["idle_ttl"] == 600


class TestReopening:
    """A session that gets the masked numbers of an earlier one (`reopens`)."""

    def test_same_numbers(self, world: World) -> None:
        """Everybody gets the number that they had, where it would otherwise be another one by now."""
        agree(world, ANA, BEN, STRANGER)
        other = body(world.open(**between(ANA, STRANGER)))
        before = body(world.open())
        for one in (other, before):
            world.get("sessions-delete", one["session"])
        with world.patch.context() as patch:
            choice = json.dumps({"geoMatch": "country", "selection": "avoid-sticky"})
            patch.setenv("PARLEY_NUMBER_CHOICE", choice)
            runtime.reset()
            again = body(world.open(reopens=before["session"]))
        runtime.reset()
        numbers = [masked(before, place) for place in (0, 1)]
        assert [masked(again, place) for place in (0, 1)] == numbers
        assert again["session"] != before["session"]
        world.text(ANA, numbers[0], "hello again")
        assert world.received(BEN) == ["hello again"]

    def test_in_use(self, world: World) -> None:
        """A number that the same person has in another session is not taken from it."""
        put_pool(world, POOL[0])
        before = world.conversation()
        world.get("sessions-delete", before["session"])
        agree(world, STRANGER)
        assert world.open(**between(ANA, STRANGER))["statusCode"] == 201
        assert problem_of(world.open(reopens=before["session"])) == (409, "number-in-use")
        assert states(world) == {"open": 2, "closed": 1}

    def test_other_people(self, world: World) -> None:
        """The numbers of a session are for its own people only."""
        before = world.conversation()
        agree(world, STRANGER)
        answer = world.open(reopens=before["session"], **between(ANA, STRANGER))
        assert problem_of(answer) == (409, "other-people")

    def test_unknown(self, world: World) -> None:
        """A session that is not kept cannot be opened again."""
        agree(world)
        assert problem_of(world.open(reopens="KC" + "0" * 32)) == (404, "session-unknown")


class TestDeath:
    """A function that dies anywhere leaves nothing open, and no number taken for long."""

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("number", range(12))
    def test_opening(self, world: World, number: int, *, after: bool) -> None:
        """Killed at each boundary, an opening leaves a session that works or none, and numbers that are free again."""
        agree(world)
        die_at(number, after=after, act=lambda: world.open(key="ride-7"))
        world.reconcile()
        world.clock.advance(100)
        world.reconcile()
        opened = [row for row in world.rows("SESSION") if row["sk"]["S"] == "SESSION" and row["status"]["S"] == "open"]
        assert len(opened) <= 1
        again = world.open(key="ride-8", **between(ANA, BEN))
        assert again["statusCode"] == 201
        world.text(ANA, masked(body(again)), "hello")
        assert world.received(BEN) == ["hello"]

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("number", range(8))
    def test_closing(self, world: World, number: int, *, after: bool) -> None:
        """Killed at each boundary, a close leaves a session that is open on both sides or ends with the next run."""
        session = world.conversation()
        die_at(number, after=after, act=lambda: world.get("sessions-delete", session["session"]))
        world.reconcile()
        world.text(ANA, masked(session), "hello")
        lines = states(world)
        assert (world.received(BEN) == ["hello"]) is (lines == {"open": 2})
        assert (world.session(session["session"]).status is Status.OPEN) is (lines == {"open": 2})


class TestSealed:
    """The numbers of people in the ledger."""

    def test_nowhere_plain(self, world: World) -> None:
        """Whatever happens in a session, no row has a person's number; what is sealed opens for that session only."""
        session = world.conversation()
        world.text(ANA, masked(session), "hello")
        world.call(ANA, masked(session), TAKE)
        found = json.dumps(world.rows(), default=list)
        assert ANA[1:] not in found
        assert BEN[1:] not in found
        line = world.ledger.line(world.identities.party(ANA), masked(session))
        assert line is not None
        assert runtime.sealer().open(line.peers[0].sealed, line.session) == BEN
        with pytest.raises(Exception, match="no number from KMS"):
            runtime.sealer().open(line.peers[0].sealed, "KC" + "0" * 32)

    def test_erased(self, world: World, archives: Archives) -> None:
        """After an erasure nobody's line leads to the person, and none of theirs is left."""
        session = world.conversation()
        world.text(ANA, masked(session), "hello")
        name = body(erase(ANA))["erasure"]
        finish(world, archives, name)
        party = world.identities.party(ANA)
        assert [row for row in world.rows("LINE#") if party in json.dumps(row, default=list)] == []
