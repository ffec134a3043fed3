"""A stack with several Proxy services: each session is in one of them, and everything that is done to it happens there.

What the gate does with one service the other tests show; here is what depends on which one it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley import runtime
from parley.adapters.proxy_api import REMEMBERED, preferred
from parley.adapters.secrets import TwilioCredentials
from parley.adapters.twilio import TwilioCarrier
from parley.core.records import Resource, ResourceKind
from parley.core.sessions import Status
from parley.handlers import sweep
from parley.ports import CarrierError, LedgerError

from cli import sizing
from infra.twilio import account_traps
from local.twilio.numbers import describe, number_sid
from tests.handlers.archives import Archives
from tests.handlers.test_carrier import NOW, SESSION, Scripted, twilio_says
from tests.handlers.test_sweep import sweep_before, work
from tests.handlers.world import ACCOUNT, ANA, BEN, DAY, GATE, KEY, SECRET, STRANGER, TABLE, World, body

__all__ = ["twilio_says"]

MORE = ("+12125550143", "+12125550144")
"""The pool of the second service."""
PEOPLE = (ANA, BEN, STRANGER, "+12125550114", "+12125550115", "+12125550116")
CROWD = tuple(f"+1212555{number:04}" for number in range(150, 200))
SERVICES = st.lists(st.from_regex("KS[0-9a-f]{32}", fullmatch=True), min_size=1, max_size=5, unique=True)


@pytest.fixture
def two(world: World) -> World:
    """Deploy the gate with a second service."""
    services = world.twilio.proxy.v1.services
    second = services.create(
        unique_name="parley-2",
        intercept_callback_url=f"{GATE}/twilio/intercept",
        out_of_session_callback_url=f"{GATE}/twilio/out-of-session",
        callback_url=f"{GATE}/twilio/interaction",
    )
    for number in MORE:
        world.emulator.carrier.numbers.own(
            runtime.environment().twilio_account_sid, describe(number, sms=True, voice=True, mms=True), {}
        )
        services(second.sid).phone_numbers.create(sid=number_sid(number))
    world.patch.setenv("PARLEY_PROXY_SERVICE_SIDS", f"{world.service_sid},{second.sid}")
    runtime.reset()
    for party in PEOPLE:
        world.consent(party)
    return world


def opened(world: World, one: str, other: str) -> dict[str, Any]:
    """Open a session between two people."""
    answer = world.open(participants=[{"identifier": one}, {"identifier": other}])
    assert answer["statusCode"] == 201, answer
    return body(answer)


def service_of(world: World, session: dict[str, Any]) -> str:
    """Return in which service a session is, as the ledger has it."""
    return world.session(session["session"]).service_sid


def others_in(service: str) -> Iterator[str]:
    """Yield people whom Ana meets in a service: its SID is another one in each run."""
    for person in CROWD:
        if preferred(runtime.environment().proxy_service_sids, [ANA, person])[0] == service:
            yield person


def elsewhere(world: World) -> dict[str, Any]:
    """Return a session of two people who meet in the second service; Ana is the first of them."""
    other = next(others_in(runtime.environment().proxy_service_sids[1]))
    world.consent(other)
    return opened(world, ANA, other) | {"other": other}


def status(world: World, session: dict[str, Any], service: str) -> str:
    """Return what Twilio says of a session."""
    return str(world.twilio.proxy.v1.services(service).sessions(session["session"]).fetch().status)


class TestOpening:
    """Where a session is opened."""

    def test_people_meet_where_they_met_before(self, two: World) -> None:
        """Pairs are spread over the services, each meets in the same one again, with the numbers of that one's pool."""
        for service in runtime.environment().proxy_service_sids:
            other = next(others_in(service))
            two.consent(other)
            for pair in [(ANA, other), (other, ANA)]:
                session = opened(two, *pair)
                assert service_of(two, session) == service
                numbers = {one["masked_number"] for one in session["participants"]}
                assert (numbers <= set(MORE)) == (service != two.service_sid)
                assert status(two, session, service) == "open"
                runtime.carrier().close_session(session["session"])

    def test_next_service_where_one_has_no_number(self, two: World) -> None:
        """Who has a session on each number of a service gets one of the other service; then there is none left."""
        places = Counter(service_of(two, opened(two, ANA, other)) for other in PEOPLE[1:5])
        assert sorted(places.values()) == [2, 2]
        answer = two.open(participants=[{"identifier": ANA}, {"identifier": PEOPLE[5]}])
        assert body(answer)["code"] == 80206

    @pytest.mark.parametrize("code", [80603, 20003])
    def test_any_other_refusal_is_final(self, twilio_says: Scripted, code: int) -> None:
        """Only a lack of numbers is a reason to ask another service: what else is wrong is wrong there as well."""
        twilio_says.replies = [(400, {"code": code})]
        with pytest.raises(CarrierError):
            scripted(twilio_says).open_session([ANA, BEN], unique_name="n", ttl=60, closes_at=NOW, mode="voice-only")
        assert len(twilio_says.asked) == 1

    def test_the_last_refusal_is_told(self, twilio_says: Scripted) -> None:
        """Where no service has a number, the last one's reason is told."""
        twilio_says.replies = [(400, {"code": 80206}), (400, {"code": 80203})]
        with pytest.raises(CarrierError) as caught:
            scripted(twilio_says).open_session([ANA, BEN], unique_name="n", ttl=60, closes_at=NOW, mode="voice-only")
        assert caught.value.code == 80203
        assert len(twilio_says.asked) == 2


class TestPreferred:
    """The order in which services are tried."""

    @given(services=SERVICES, people=st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=2))
    def test_same_for_the_same_people(self, services: list[str], people: list[str]) -> None:
        """Every service is there once, in an order that neither who comes first nor the services' order changes."""
        order = preferred(services, people)
        assert sorted(order) == sorted(services)
        assert preferred(services[::-1], people[::-1]) == order

    @given(services=SERVICES, people=st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=2))
    def test_one_more_service_keeps_the_order_of_the_others(self, services: list[str], people: list[str]) -> None:
        """A further service only takes its own place: nobody moves between the others."""
        grown = preferred([*services, "KS-new"], people)
        assert [each for each in grown if each != "KS-new"] == preferred(services, people)

    def test_pairs_are_spread(self) -> None:
        """Of a thousand pairs each of four services is the first for a quarter, within what chance allows."""
        services = [f"KS{number}" for number in range(4)]
        first = Counter(preferred(services, [ANA, f"+1212555{number:04}"])[0] for number in range(1000))
        assert all(200 < first[service] < 300 for service in services)


class TestWhere:
    """What is done to a session happens in its own service, whoever does it."""

    def test_gate_asks_for_the_session_in_its_own_service(self, two: World) -> None:
        """What passes through the second service is permitted there, and refused under the first one's SID."""
        session = elsewhere(two)
        assert two.text(ANA, session["participants"][0]["masked_number"], "on my way").outbound_sid
        assert two.received(session["other"]) == ["on my way"]
        row = two.session(session["session"])
        for service, expected in ((row.service_sid, 200), (two.service_sid, 403)):
            answer = two.webhook(
                "intercept-message",
                interactionServiceSid=service,
                interactionSessionSid=row.sid,
                inboundParticipantSid=row.participants[0].sid,
            )
            assert answer["statusCode"] == expected

    def test_stop_closes_it(self, two: World) -> None:
        """A function that never heard of the session closes it in the service that the ledger names."""
        session = elsewhere(two)
        runtime.reset()
        two.text(ANA, session["participants"][0]["masked_number"], "stop texting me")
        assert two.session(session["session"]).status is Status.CLOSED
        assert status(two, session, service_of(two, session)) == "closed"

    def test_renewal(self, two: World) -> None:
        """A session is renewed in its service."""
        session = elsewhere(two)
        runtime.reset()
        two.clock.advance(600)
        assert two.renew(session["session"], ttl=3600)["statusCode"] == 200
        two.clock.advance(3300)
        assert status(two, session, service_of(two, session)) == "open"

    def test_orphans_of_every_service_are_closed(self, two: World) -> None:
        """The reconciler closes what is open at Twilio and in no ledger, in each service."""
        made = [
            (service, two.twilio.proxy.v1.services(service).sessions.create(unique_name=f"lost-{service[-4:]}").sid)
            for service in runtime.environment().proxy_service_sids
        ]
        assert two.reconcile()["orphans"] == 2
        for service, sid in made:
            assert status(two, {"session": sid}, service) == "closed"

    def test_sweeper_walks_through_every_service(self, two: World) -> None:
        """Closed sessions and their interactions go at Twilio after their time, in each service."""
        other = next(others_in(two.service_sid))
        two.consent(other)
        sessions = [elsewhere(two), opened(two, ANA, other)]
        assert {service_of(two, session) for session in sessions} == set(runtime.environment().proxy_service_sids)
        two.text(ANA, sessions[0]["participants"][0]["masked_number"], "on my way")
        for session in sessions:
            runtime.carrier().close_session(session["session"])
        archives = Archives(two)
        sweep_before(two)
        two.clock.advance(3 * DAY)
        for _ in range(3):
            sweep.handle({}, None)
            work(archives)
            two.clock.advance(3600)
        state = two.emulator.carrier.state
        assert not {session["session"] for session in sessions} & state.sessions.keys()
        assert not state.interactions

    def test_copies_are_found_below_their_session(self, two: World) -> None:
        """A session and its interactions are read where they are, whoever asks for them."""
        session = elsewhere(two)
        two.text(ANA, session["participants"][0]["masked_number"], "on my way")
        runtime.reset()
        records = runtime.twilio_records()
        found = records.fetch(Resource(ResourceKind.SESSION, session["session"]))
        assert found is not None
        assert found["service_sid"] == service_of(two, session)
        below = records.listed(ResourceKind.INTERACTION, {"PageSize": "100"}, session["session"])
        assert [each["type"] for each in below] == ["message"]


class TestDoctor:
    """What is told of a stack with several services."""

    def test_pools_are_one_pool(self, two: World) -> None:
        """How many numbers are needed is held against those of all services."""
        opened(two, ANA, BEN)
        two.clock.advance(60)
        services = runtime.environment().proxy_service_sids
        declaration = {
            "version": 1,
            "masking": "proxy",
            "classes": [{"class": "session-map", "keepDays": 90}],
            "resources": [
                *({"system": "twilio", "name": service, "expected": {}} for service in services),
                {"system": "dynamodb", "name": TABLE, "expected": {}},
            ],
        }
        found = sizing.findings(declaration, two.dynamodb, runtime.carrier(), runtime.clock(), gate=GATE)
        (finding,) = [each for each in found if each.what.startswith("+1 ")]
        assert finding.what.endswith("the pool has 4")

    def test_numbers_of_every_service_are_looked_at(self, two: World) -> None:
        """Numbers of a further service are examined as those of the first are, the account only once."""
        first, *others = runtime.environment().proxy_service_sids
        one = Counter(each.trap for each in account_traps.examine(runtime.carrier(), first))
        both = Counter(each.trap for each in account_traps.examine(runtime.carrier(), first, others=others))
        assert both - one == Counter({"us-text-registration": 1, "toll-free-verification": 1})


def scripted(twilio: Scripted, recorded: Callable[[str], str] = lambda _sid: "") -> TwilioCarrier:
    """Return a carrier with two services that talks to this Twilio."""
    own = TwilioCredentials(KEY, SECRET, ("t",))
    services = ["KS-a", "KS-b"]
    return TwilioCarrier(lambda _: own, ACCOUNT, twilio.server.url, 0.0, services=services, recorded=recorded)


def paths(asked: Iterable[tuple[str, str, Any]]) -> list[str]:
    """Return the services that were asked."""
    return [path.split("/")[-3] for _, path, _ in asked]


class TestFinding:
    """In which service a session is, where nobody has it in mind."""

    def test_ledger_tells(self, twilio_says: Scripted) -> None:
        """What the ledger has is asked for once, and Twilio is not searched."""
        told: list[str] = []

        def recorded(sid: str) -> str:
            told.append(sid)
            return "KS-b"

        twilio_says.replies = [(200, {"status": "open"})]
        carrier = scripted(twilio_says, recorded)
        assert carrier.is_open(SESSION)
        assert carrier.is_open(SESSION)
        assert told == [SESSION]
        assert paths(twilio_says.asked) == ["KS-b", "KS-b"]

    def test_twilio_is_searched(self, twilio_says: Scripted) -> None:
        """What the ledger does not know, or cannot tell, is asked of one service after the other, and kept in mind."""

        def down(_sid: str) -> str:
            raise LedgerError("down")

        twilio_says.replies = [(404, {}), (200, {"status": "open"})]
        carrier = scripted(twilio_says, down)
        assert carrier.is_open(SESSION)
        assert paths(twilio_says.asked) == ["KS-a", "KS-b", "KS-b"]

    def test_service_that_the_stack_has_no_more(self, twilio_says: Scripted) -> None:
        """A service of the ledger that is none of the stack's is not asked; a session that is nowhere is gone."""
        twilio_says.replies = [(404, {})]
        carrier = scripted(twilio_says, lambda _sid: "KS-gone")
        assert not carrier.is_open(SESSION)
        assert paths(twilio_says.asked) == ["KS-a", "KS-b", "KS-a"]

    def test_fault_while_searching_is_told(self, twilio_says: Scripted) -> None:
        """A service that does not answer is no service without the session."""
        twilio_says.replies = [(404, {}), (403, {"code": 20003})]
        with pytest.raises(CarrierError) as caught:
            scripted(twilio_says).is_open(SESSION)
        assert caught.value.operation == "find-session"

    def test_one_service_is_asked_at_once(self, twilio_says: Scripted) -> None:
        """With one service nothing is searched."""
        twilio_says.replies = [(404, {})]
        assert not twilio_says.carrier().is_open(SESSION)
        assert len(twilio_says.asked) == 1

    def test_memory_is_bounded(self, twilio_says: Scripted) -> None:
        """A process that lives long forgets, and asks again."""
        carrier = scripted(twilio_says, lambda _sid: "KS-b")
        for number in range(REMEMBERED + 1):
            carrier.remember(f"KC{number}", "KS-a")
        assert carrier.service_of("KC0") == "KS-b"
