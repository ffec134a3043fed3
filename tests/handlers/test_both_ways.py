"""The same conversations under both ways of masking: what gets through, what is recorded, and what a no ends."""

from __future__ import annotations

from typing import Any

import pytest
from parley.handlers import recorder

from local.twilio.simulator import Outcome, Ring
from tests.handlers.archives import Archives
from tests.handlers.direct import make_direct
from tests.handlers.world import ANA, BEN, POOL, STRANGER, World, body, problem_of

TAKEN = Ring(callee_digits=("1",))
"""A call that whoever is called takes, by a key where one is asked for."""


@pytest.fixture(autouse=True, params=["proxy", "direct"])
def archives(request: pytest.FixtureRequest, world: World) -> Archives:
    """Give the stores of a gate that masks people in one of the two ways."""
    return make_direct(world) if request.param == "direct" else Archives(world)


def masked(session: dict[str, Any], place: int = 0) -> str:
    """Return the masked number that a participant of an opened session uses."""
    return str(session["participants"][place]["masked_number"])


def reaches(world: World, session: dict[str, Any]) -> tuple[bool, bool, bool, bool]:
    """Tell whether texts and calls of Ana reach Ben, and his reach her."""
    found: list[bool] = []
    for place, (sender, receiver) in enumerate(((ANA, BEN), (BEN, ANA))):
        before = world.received(receiver).count("Are you there?")
        world.text(sender, masked(session, place), "Are you there?")
        found.append(world.received(receiver).count("Are you there?") > before)
        found.append(world.call(sender, masked(session, place), TAKEN).connected)
    return found[0], found[1], found[2], found[3]


EVERYTHING, NOTHING = (True,) * 4, (False,) * 4


def call_and_record(world: World, archives: Archives, session: dict[str, Any]) -> Outcome:
    """Let Ana call Ben, and the recorder do its work while they talk."""
    outcome = world.call(ANA, masked(session), Ring(callee_digits=("1",), hold=True))
    archives.work("recorder", recorder.handle)
    return outcome


def recorded(world: World) -> int:
    """Return how many recordings Twilio has."""
    return len(world.emulator.carrier.state.recordings)


class TestConnected:
    """What consent lets through."""

    def test_texts_and_calls_both_ways(self, world: World) -> None:
        """Both reach each other by text and call, and each phone sees a number of the pool only."""
        session = world.conversation()
        assert reaches(world, session) == EVERYTHING
        state = world.emulator.carrier.state
        seen = {one.from_ for one in state.messages.values() if one.to in {ANA, BEN}}
        seen |= {one.from_ for one in state.calls.values() if one.to in {ANA, BEN}}
        assert seen <= set(POOL)
        assert seen

    def test_words_arrive_whole(self, world: World) -> None:
        """A long text in any alphabet arrives as it was written."""
        session, words = world.conversation(), "待ち合わせは駅の北口です。" * 40
        world.text(ANA, masked(session), words)
        assert "".join(world.received(BEN)) == words

    def test_without_consent_there_is_no_session(self, world: World) -> None:
        """One missing consent refuses the session, and the numbers connect nobody."""
        world.consent(ANA)
        assert problem_of(world.open()) == (409, "consent-missing")
        for sender in (ANA, BEN, STRANGER):
            assert not world.call(sender, POOL[0], TAKEN).connected
            assert not world.text(sender, POOL[0], "hello").connected
        assert "hello" not in world.received(ANA) + world.received(BEN)

    def test_stranger_reaches_nobody(self, world: World) -> None:
        """Whoever is in no session reaches neither of two people who are in one."""
        session = world.conversation()
        for place in (0, 1):
            assert not world.call(STRANGER, masked(session, place), TAKEN).connected
            world.text(STRANGER, masked(session, place), "who is this?")
        assert "who is this?" not in world.received(ANA) + world.received(BEN)


class TestRecorded:
    """What consent lets be recorded."""

    @pytest.mark.parametrize("agreed", [(ANA, BEN), (ANA,), (BEN,), ()])
    def test_with_everybody_s_consent_only(self, world: World, archives: Archives, agreed: tuple[str, ...]) -> None:
        """A call is recorded once where both agreed, and goes on without recording where one did not."""
        for party in (ANA, BEN):
            world.consent(party)
        for party in agreed:
            world.consent(party, scope="record_voice")
        assert call_and_record(world, archives, body(world.open(record=["voice"]))).connected
        assert recorded(world) == (1 if len(agreed) == 2 else 0)

    def test_withdrawal_stops_it(self, world: World, archives: Archives) -> None:
        """A no to recording stops it before it is acknowledged, and the call goes on."""
        for party in (ANA, BEN):
            world.consent(party)
            world.consent(party, scope="record_voice")
        call_and_record(world, archives, body(world.open(record=["voice"])))
        world.consent(BEN, "withdrawn", scope="record_voice")
        (recording,) = world.emulator.carrier.state.recordings.values()
        assert recording.status not in {"in-progress", "paused"}
        assert any(leg.status == "in-progress" for leg in world.emulator.carrier.state.calls.values())


class TestNo:
    """What ends it."""

    @pytest.mark.parametrize("who", [ANA, BEN])
    @pytest.mark.parametrize("words", ["STOP", "BAJA", "please stop contacting me"])
    def test_word(self, world: World, who: str, words: str) -> None:
        """A stop word, and a request in ordinary words, end the session, at once or with the reconciler's next run."""
        session = world.conversation()
        world.text(who, masked(session, 0 if who == ANA else 1), words)
        world.clock.advance(30)
        world.reconcile()
        assert reaches(world, session) == NOTHING
        assert words not in world.received(ANA) + world.received(BEN)
        assert problem_of(world.open(key="anew"))[1] == "consent-missing"

    @pytest.mark.parametrize("who", [ANA, BEN])
    def test_report_of_the_application(self, world: World, who: str) -> None:
        """A withdrawal that the application reports ends the session before it is acknowledged."""
        session = world.conversation()
        assert world.consent(who, "withdrawn")["statusCode"] == 201
        assert reaches(world, session) == NOTHING

    def test_call_under_way(self, world: World) -> None:
        """A call that goes on is ended by a no."""
        session = world.conversation()
        assert world.call(ANA, masked(session), Ring(callee_digits=("1",), hold=True)).connected
        world.consent(BEN, "withdrawn")
        world.reconcile()
        assert all(leg.status != "in-progress" for leg in world.emulator.carrier.state.calls.values())

    def test_closed_by_the_application(self, world: World) -> None:
        """A closed session connects nobody; another one with the same consents does."""
        session = world.conversation()
        assert world.get("sessions-delete", session["session"])["statusCode"] == 204
        assert reaches(world, session) == NOTHING
        assert reaches(world, body(world.open(key="anew"))) == EVERYTHING

    def test_over(self, world: World) -> None:
        """A session whose time is over connects nobody."""
        world.consent(ANA)
        world.consent(BEN)
        session = body(world.open(ttl=600))
        world.clock.advance(601)
        assert reaches(world, session) == NOTHING

    def test_ledger_down(self, world: World) -> None:
        """While the ledger cannot be read nobody is connected."""
        session = world.conversation()
        world.break_ledger()
        assert reaches(world, session) == NOTHING
