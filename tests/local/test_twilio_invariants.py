"""What must hold in Proxy whatever happens in whatever order: driven by hypothesis, and by threads."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import parse_qs

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from werkzeug.test import Client

from local.clock import Clock
from local.twilio import Emulator
from local.twilio.errors import TwilioError
from local.twilio.messaging import PROXY_DROPPED_WORDS
from local.twilio.numbers import number_sid
from local.twilio.proxy import Wish
from local.twilio.simulator import Ring
from local.twilio.state import Session
from tests.local.twilio_stage import ACCOUNT, ANA, BEN, BRITISH, BRITISH_ANA, KEY, POOL, SECRET, TOKEN

PEOPLE = (ANA, BEN, BRITISH_ANA)
NUMBERS = (*POOL[:2], BRITISH)
WORDS = ("hello", "STOP", "stop ", "UNSTOP", "START", "REVOKE", "YES", "ARRET", "END", "please stop")


@contextmanager
def may_refuse(*codes: int) -> Iterator[None]:
    """Allow a call to be refused with one of these codes, and with no other."""
    try:
        yield
    except TwilioError as error:
        if error.code not in codes:
            raise


class ProxyMachine(RuleBasedStateMachine):
    """Random lives of one Service with three people and up to three numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.bodies: list[str] = []
        self.verdict = 200
        self.emulator = Emulator(
            account_sid=ACCOUNT,
            auth_token=TOKEN,
            api_key=KEY,
            api_secret=SECRET,
            clock=self.clock,
            post=self._post,
            requests_per_second=None,
        )
        self.carrier = self.emulator.carrier

    def _post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        fields = parse_qs(body.decode())
        data = fields.get("interactionData", ["{}"])[0]
        self.bodies += [*fields.get("Body", []), *json.loads(data).values()]
        return (self.verdict if "intercept" in url else 200), {"Content-Type": "text/plain"}, b""

    @initialize(behavior=st.sampled_from(["prefer-sticky", "avoid-sticky"]))
    def open_service(self, behavior: str) -> None:
        """Create the Service with one number."""
        self.service = self.carrier.proxy.create_service(
            ACCOUNT,
            {
                "UniqueName": "line",
                "NumberSelectionBehavior": behavior,
                "InterceptCallbackUrl": "https://example.org/intercept",
                "CallbackUrl": "https://example.org/callback",
                "OutOfSessionCallbackUrl": "https://example.org/out-of-session",
            },
        )
        self.add_number(POOL[0])

    def sessions(self) -> list[Session]:
        """Return the sessions in order."""
        return sorted(self.carrier.state.sessions.values(), key=lambda session: session.seq)

    def pick(self, index: int) -> Session:
        """Return one of the sessions."""
        sessions = self.sessions()
        return sessions[index % len(sessions)]

    @rule(number=st.sampled_from(NUMBERS))
    def add_number(self, number: str) -> None:
        """Add a number to the pool if Proxy lets us."""
        owned = self.carrier.numbers.by_phone_number(number)
        assert owned is not None
        with may_refuse(80601):
            self.carrier.proxy.add_number(self.service, owned, reserved=False)

    @rule(number=st.sampled_from(NUMBERS))
    def remove_number(self, number: str) -> None:
        """Remove a number; while in use it drains."""
        with may_refuse(20404):
            self.carrier.proxy.remove_number(self.carrier.proxy.pool_number(self.service, number_sid(number)))

    @rule(people=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=2), ttl=st.sampled_from(["", "60"]))
    def create_session(self, people: list[str], ttl: str) -> None:
        """Create a session with one or two people, or fail and leave nothing behind."""
        before = len(self.carrier.state.sessions)
        created = 0
        with may_refuse(80103, 80203, 80205, 80206):
            self.carrier.proxy.create_session(self.service, {"Ttl": ttl}, [Wish(person) for person in people])
            created = 1
        assert len(self.carrier.state.sessions) == before + created

    @precondition(lambda self: any(session.active for session in self.sessions()))
    @rule(index=st.integers(0, 30))
    def close_session(self, index: int) -> None:
        """Close an active session."""
        active = [session for session in self.sessions() if session.active]
        self.carrier.proxy.update_session(active[index % len(active)], {"Status": "closed"})

    @precondition(lambda self: any(not session.active for session in self.sessions()))
    @rule(index=st.integers(0, 30))
    def reopen_session(self, index: int) -> None:
        """Re-open a closed session if Proxy lets us."""
        closed = [session for session in self.sessions() if not session.active]
        with may_refuse(80601, 80604):
            self.carrier.proxy.update_session(closed[index % len(closed)], {"Status": "in-progress"})

    @precondition(lambda self: self.carrier.state.sessions)
    @rule(index=st.integers(0, 30))
    def delete_session(self, index: int) -> None:
        """Delete a session."""
        self.carrier.proxy.delete_session(self.pick(index))

    @precondition(lambda self: self.carrier.state.sessions)
    @rule(index=st.integers(0, 30), person=st.sampled_from(PEOPLE))
    def add_participant(self, index: int, person: str) -> None:
        """Add a participant if Proxy lets us."""
        with may_refuse(80103, 80203, 80205, 80206, 80607, 80609):
            self.carrier.proxy.add_participant(self.pick(index), Wish(person))

    @precondition(lambda self: self.carrier.state.participants)
    @rule(index=st.integers(0, 30))
    def remove_participant(self, index: int) -> None:
        """Remove a participant."""
        participants = sorted(self.carrier.state.participants.values(), key=lambda participant: participant.seq)
        self.carrier.proxy.remove_participant(participants[index % len(participants)])

    @rule(seconds=st.sampled_from([1, 61, 8_000_000]))
    def wait(self, seconds: int) -> None:
        """Let time pass; sessions expire."""
        self.clock.advance(seconds)

    @rule(
        person=st.sampled_from(PEOPLE),
        number=st.sampled_from(NUMBERS),
        body=st.sampled_from(WORDS),
        verdict=st.sampled_from([200, 403, 500]),
    )
    def text(self, person: str, number: str, body: str, verdict: int) -> None:
        """Let somebody text; a text that arrives came from an active session's peer and was not vetoed."""
        self.verdict = verdict
        blocked = set(self.carrier.state.opt_outs)
        outcome = self.emulator.simulator.text(person, number, body)
        if outcome.connected:
            assert verdict != 403
            sent = self.carrier.state.messages[outcome.outbound_sid or ""]
            assert (sent.from_, sent.to) not in blocked
            assert sent.to != person
            assert sent.from_ in NUMBERS

    @rule(person=st.sampled_from(PEOPLE), number=st.sampled_from(NUMBERS), verdict=st.sampled_from([200, 403]))
    def call(self, person: str, number: str, verdict: int) -> None:
        """Let somebody call."""
        self.verdict = verdict
        outcome = self.emulator.simulator.call(person, number, Ring())
        assert not (outcome.connected and verdict == 403)

    @rule()
    def restart(self) -> None:
        """Snapshot and restore: nothing may change."""
        snapshot = self.emulator.snapshot()
        self.emulator.restore(snapshot)
        assert self.emulator.snapshot() == snapshot
        self.service = self.carrier.proxy.service(ACCOUNT, self.service.sid)

    @invariant()
    def pairs_are_unique(self) -> None:
        """No two active sessions ever share an (identifier, proxy identifier) pair."""
        state = self.carrier.state
        pairs = Counter(
            (participant.identifier, participant.proxy_identifier)
            for participant in state.participants.values()
            if state.sessions[participant.session_sid].active
        )
        assert all(count == 1 for count in pairs.values())

    @invariant()
    def in_use_is_the_number_of_active_sessions(self) -> None:
        """in_use equals the count of active sessions that hold the number, and unused numbers never drain."""
        state = self.carrier.state
        for number in state.pool.values():
            holders = {
                participant.session_sid
                for participant in state.participants.values()
                if participant.proxy_identifier == number.phone_number
                and state.sessions[participant.session_sid].active
            }
            assert self.carrier.proxy.in_use(number) == len(holders)
            assert holders or not number.draining

    @invariant()
    def swallowed_words_reach_no_webhook(self) -> None:
        """No dropped keyword was ever in a webhook."""
        assert not {body.strip().upper() for body in self.bodies} & PROXY_DROPPED_WORDS

    @invariant()
    def phones_see_no_stranger(self) -> None:
        """On every phone the other side is one of the account's numbers."""
        for person, handset in self.carrier.state.handsets.items():
            for seen in (*handset.messages, *handset.calls):
                assert {seen["from"], seen["to"]} - {person} <= set(NUMBERS)

    def teardown(self) -> None:
        """End the emulator."""
        self.emulator.close()


ProxyMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestProxyMachine = ProxyMachine.TestCase
TestProxyMachine.__doc__ = "Random lives of a Proxy Service keep every invariant."


def test_threads_never_share_a_pair() -> None:
    """Eight clients that open sessions for the same people at once get as many as there are numbers, and no more."""
    emulator = Emulator(
        account_sid=ACCOUNT, auth_token=TOKEN, api_key=KEY, api_secret=SECRET, clock=Clock(), requests_per_second=None
    )
    headers = {"Authorization": "Basic " + b64encode(f"{KEY}:{SECRET}".encode()).decode()}
    base = "/proxy.twilio.com/v1/Services"
    service = Client(emulator.wsgi_app).post(base, data={"UniqueName": "line"}, headers=headers).get_json()["sid"]
    for number in POOL:
        Client(emulator.wsgi_app).post(f"{base}/{service}/PhoneNumbers", data={"PhoneNumber": number}, headers=headers)

    def open_one(index: int) -> int:
        people = [json.dumps({"Identifier": ANA}), json.dumps({"Identifier": f"+12125550{150 + index}"})]
        client = Client(emulator.wsgi_app)
        while True:
            answer = client.post(f"{base}/{service}/Sessions", data={"Participants": people}, headers=headers)
            if answer.status_code != 409:
                return answer.status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = Counter(threads.map(open_one, range(24)))
    assert statuses == {201: 3, 400: 21}
    state = emulator.carrier.state
    assert len({p.proxy_identifier for p in state.participants.values() if p.identifier == ANA}) == 3
    emulator.close()
