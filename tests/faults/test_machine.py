"""I1, I3, I7 and I8 whatever people do, with any one or two faults in force: driven by hypothesis."""

from __future__ import annotations

import contextlib
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from local.twilio.simulator import Ring
from tests.faults.faults import FAULTS, Fault
from tests.faults.stage import TALK, Stage, one_stage, served_twilio
from tests.handlers.boundaries import at, kill
from tests.handlers.world import ASK, POOL

PEOPLE = ("+12125550111", "+12125550112", "+12125550113", "+12125550114")
FRESH = ("+12125550118", "+12125550119")
HEAVY = os.environ.get("PARLEY_FAULTS") == "heavy"
"""`PARLEY_FAULTS=heavy` plays many more lives, other ones each time."""

NO_WORDS = ("STOP", "stop ", "Unsubscribe", "REVOKE", "opt out", "arrêt", "baja", "please stop texting me", "cancel")
TALK_WORDS = (TALK, "YES", "HELP", "START", "UNSTOP", "please do not stop")
people = st.sampled_from(PEOPLE)
pairs = st.lists(people, min_size=2, max_size=2, unique=True)
numbers = st.integers(0, 1)


class FaultMachine(RuleBasedStateMachine):
    """Random lives of four people and their gate."""

    masking = "proxy"

    def __init__(self) -> None:
        super().__init__()
        self._open = contextlib.ExitStack()
        self.stage: Stage = self._open.enter_context(one_stage(self._open.enter_context(served_twilio()), self.masking))

    @initialize(agreed=st.sets(people, min_size=2), broken=st.lists(st.sampled_from(FAULTS), max_size=2))
    def begin(self, agreed: set[str], broken: list[Fault]) -> None:
        """Let the reconciler run once, some of them agree, two of them talk, and then something break."""
        self.stage.advance_to_run()
        for phone in sorted(agreed):
            self.stage.agree(phone)
        first, second, *_ = sorted(agreed)
        self.stage.open(first, second)
        for fault in broken:
            self.break_down(fault)

    # What breaks ----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.stage.faults) < 2)
    @rule(fault=st.sampled_from(FAULTS))
    def break_down(self, fault: Fault) -> None:
        """Put a fault in force, beside another one or alone."""
        if fault.name not in self.stage.faults:
            self.stage.break_down(fault)

    @precondition(lambda self: self.stage.faults)
    @rule(index=st.integers(0, 1))
    def mend(self, index: int) -> None:
        """Lift a fault."""
        names = list(self.stage.faults)
        self.stage.mend(names[index % len(names)])

    # What the application does --------------------------------------------------------------------------------

    @rule(phone=people, late=st.sampled_from([0, 0, 30]))
    def agree(self, phone: str, late: int) -> None:
        """Let somebody agree in the app."""
        self.stage.agree(phone, late=late)

    @rule(pair=pairs)
    def agree_towards(self, pair: list[str]) -> None:
        """Let somebody agree to be connected with one other person."""
        self.stage.agree(pair[0], pair[1])

    @rule(phone=people, state=st.sampled_from(["withdrawn", "refused"]), everything=st.booleans())
    def refuse(self, phone: str, state: str, everything: bool) -> None:
        """Let somebody say no in the app."""
        self.stage.refuse(phone, state, everything=everything)

    @rule(pair=pairs)
    def refuse_towards(self, pair: list[str]) -> None:
        """Let somebody say no to one other person."""
        self.stage.refuse(pair[0], towards=pair[1])

    @rule(phone=people)
    def import_consent(self, phone: str) -> None:
        """Let an import say that somebody agreed."""
        self.stage.import_consent(phone)

    @rule(pair=pairs)
    def open(self, pair: list[str]) -> None:
        """Let two people be connected."""
        self.stage.open(*pair)

    @rule(pair=pairs, key=st.sampled_from(["ride-1", "ride-2"]))
    def open_again(self, pair: list[str], key: str) -> None:
        """Let a request be repeated."""
        for _ in range(2):
            self.stage.open(*pair, key=key)

    @rule(index=st.integers(0, 5))
    def renew(self, index: int) -> None:
        """Let a session last longer."""
        if sids := sorted(self.stage.emulator.carrier.state.sessions):
            self.stage.renew(sids[index % len(sids)])

    @rule(index=st.integers(0, 5))
    def close(self, index: int) -> None:
        """Let a session be closed."""
        if sids := sorted(self.stage.emulator.carrier.state.sessions):
            self.stage.close(sids[index % len(sids)])

    @rule(phone=people)
    def ask(self, phone: str) -> None:
        """Let somebody be asked by text."""
        self.stage.ask(phone)

    # What people do -------------------------------------------------------------------------------------------

    @rule(phone=people, index=numbers, words=st.sampled_from(TALK_WORDS))
    def text(self, phone: str, index: int, words: str) -> None:
        """Let somebody text a masked number."""
        known = self.stage.numbers_of(phone)
        self.stage.text(phone, known[index % len(known)], words)

    @rule(phone=people, index=numbers, words=st.sampled_from(NO_WORDS))
    def say_no(self, phone: str, index: int, words: str) -> None:
        """Let somebody text a no to a masked number, in a session or outside of one."""
        self.stage.text(phone, POOL[index], words, no=True)

    @rule(phone=people, index=numbers, hold=st.booleans())
    def call(self, phone: str, index: int, hold: bool) -> None:
        """Let somebody call a masked number, and perhaps stay on the phone."""
        known = self.stage.numbers_of(phone)
        self.stage.call(phone, known[index % len(known)], Ring(callee_digits=("1",), hold=hold))

    @rule()
    def hang_up(self) -> None:
        """Let everybody put down the phone."""
        self.stage.hang_up()

    @rule(phone=people, index=numbers)
    def press(self, phone: str, index: int) -> None:
        """Let somebody press 9 on a call outside of a session."""
        self.stage.press(phone, POOL[index])

    @rule(phone=people, words=st.sampled_from(["YES", "NO", "hello", "START"]))
    def answer(self, phone: str, words: str) -> None:
        """Let somebody text the number that asks."""
        self.stage.answer(phone, words)

    @rule(phone=people, words=st.sampled_from(NO_WORDS))
    def stop_asking(self, phone: str, words: str) -> None:
        """Let somebody text a no to the number that asks."""
        self.stage.text(phone, ASK, words, no=True)

    # What else happens ----------------------------------------------------------------------------------------

    @rule()
    def tell_alerts(self) -> None:
        """Let Twilio's debugger tell what is new."""
        self.stage.tell_alerts()

    @rule(pair=pairs, number=st.integers(0, 7), after=st.booleans(), agrees=st.booleans())
    def at_once(self, pair: list[str], number: int, after: bool, agrees: bool) -> None:
        """Let one person withdraw, or agree, just before or after any call that the opening of a session makes."""
        stage, (first, second) = self.stage, pair
        happen = (lambda: stage.agree(second)) if agrees else (lambda: stage.refuse(second))
        with at(number, after=after, happen=happen):
            stage.open(first, second)

    @rule(phone=people, index=st.integers(0, 5), number=st.integers(0, 2), after=st.booleans(), dies=st.integers(2, 8))
    def close_over_a_no(self, phone: str, index: int, number: int, after: bool, dies: int) -> None:
        """Let a session be closed while one person's no is recorded by a function that dies over it."""

        def refuse_and_die() -> None:
            with at(dies, after=True, happen=kill):
                self.stage.refuse(phone)

        if sids := sorted(self.stage.emulator.carrier.state.sessions):
            with at(number, after=after, happen=refuse_and_die):
                self.stage.close(sids[index % len(sids)])

    @rule(pair=pairs, number=st.integers(0, 5), after=st.booleans())
    def both_at_once(self, pair: list[str], number: int, after: bool) -> None:
        """Let one person withdraw while another one agrees."""
        stage, (first, second) = self.stage, pair
        with at(number, after=after, happen=lambda: stage.refuse(second)):
            stage.agree(first)

    @rule(seconds=st.sampled_from([1, 20, 61, 150, 400]))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.stage.advance(seconds)

    @rule(seconds=st.sampled_from([4000, 86_400]))
    def sleep(self, seconds: int) -> None:
        """Let so much time pass that every session ends by itself."""
        self.stage.hang_up()
        self.stage.sleep(seconds)

    @precondition(lambda self: not self.stage.faults and not self.stage.pending)
    @rule()
    def replay(self) -> None:
        """Let every webhook come again."""
        self.stage.replay()

    def teardown(self) -> None:
        """Mend everything, let it come to rest, and hold the invariants."""
        stage = self.stage
        try:
            stage.mend()
            stage.advance(300)
            stage.check_chains()
            stage.check_rest()
            stage.sleep(86_400)
            stage.replay()
            for phone in FRESH:
                stage.agree(phone)
            assert stage.open(*FRESH)["statusCode"] == 201, "people who agree are not connected"
            stage.check_silence()
        finally:
            self._open.close()


class DirectFaultMachine(FaultMachine):
    """The same lives where sessions are our own."""

    masking = "direct"


TestFaultMachine = FaultMachine.TestCase
TestDirectFaultMachine = DirectFaultMachine.TestCase
_settings = settings(
    max_examples=400 if HEAVY else 25,
    stateful_step_count=60 if HEAVY else 30,
    deadline=None,
    derandomize=not HEAVY,
    suppress_health_check=list(HealthCheck),
)
TestFaultMachine.settings = TestDirectFaultMachine.settings = _settings
TestFaultMachine.__doc__ = TestDirectFaultMachine.__doc__ = (
    "Whatever people do and whatever breaks, every invariant holds."
)
