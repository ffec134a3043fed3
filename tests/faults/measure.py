"""How long somebody stays connected after saying no, measured under each fault on the emulator's clock.

Seven pairs talk. A fault strikes; one of each pair says no in a way of their own; the others go on calling and texting
before and after each run of the reconciler, during the fault and after it. What connects is the exposure.
"""

from __future__ import annotations

from dataclasses import dataclass

from local.twilio.simulator import Ring
from tests.faults.faults import LATE, NOTHING, Fault
from tests.faults.stage import BOUND, TALK, TICK, Served, Stage, one_stage
from tests.handlers.world import ASK, POOL, body

FAULT_SECONDS = 2 * TICK + 30
"""How long a fault lasts: two runs of the reconciler fall into it."""

PROBES = (14, TICK - 14, TICK + 2, 2 * TICK - 14, FAULT_SECONDS - 14, FAULT_SECONDS + 1, 3 * TICK - 14, 3 * TICK + 2)
"""Seconds after the fault begins at which everybody tries to reach the other one."""


NEW = ("+12125550170", "+12125550171")
"""Two people who are to be connected while the fault is in force: what comes of that must be known to both sides."""


TAKEN = Ring(callee_digits=("1",))
"""A call that whoever is called takes, by a key where one is asked for."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The longest exposures under one fault, in seconds.

    `heard`: after a no that was said to the gate; `on_the_phone`: in a call that was under way then; `swallowed`: after
    a STOP that Proxy kept to itself.
    """

    heard: int
    on_the_phone: int
    swallowed: int


@dataclass(frozen=True, slots=True)
class _Pair:
    leaver: str
    other: str
    leavers_number: str
    others_number: str


def seconds(allowed: str) -> int:
    """Return how many seconds are allowed here by the words of the table."""
    return {NOTHING: 0, LATE: FAULT_SECONDS + BOUND}.get(allowed, BOUND)


def measure(served: Served, fault: Fault, masking: str = "proxy") -> Measured:
    """Measure under one fault; every invariant is checked on the way and at the end."""
    with one_stage(served, masking) as stage:
        reported, refused, revoked, pressed, asked, talking, stopped = (_pair(stage, index) for index in range(7))
        stage.call(talking.leaver, talking.leavers_number, Ring(callee_digits=("1",), hold=True))
        for phone in NEW:
            stage.agree(phone)
        stage.advance_to_run()
        stage.break_down(fault)
        began = stage.clock.now()
        stage.refuse(reported.leaver, everything=True)
        stage.refuse(refused.leaver, "refused")
        stage.refuse(talking.leaver)
        stage.text(revoked.leaver, revoked.leavers_number, "revoke", no=True)
        stage.text(stopped.leaver, stopped.leavers_number, "STOP", no=True)
        elsewhere = next(number for number in POOL if number != pressed.leavers_number)
        stage.press(pressed.leaver, elsewhere)
        stage.text(asked.leaver, ASK, "stop", no=True)
        stage.open(*NEW)
        for probe in PROBES:
            stage.advance(max(0.0, began + probe - stage.clock.now()))
            if probe > FAULT_SECONDS:
                stage.mend()
            for pair in (reported, refused, revoked, pressed, asked, stopped):
                stage.text(pair.other, pair.others_number, TALK)
                stage.call(pair.leaver, pair.leavers_number, TAKEN)
        stage.check_chains()
        stage.check_rest()
        stage.check_silence()
        stage.sleep(86_400)
        stage.replay()
        call = [one for one in stage.exposed if one.call and one.party == talking.leaver]
        late = [one for one in stage.exposed if one.party == stopped.leaver]
        heard = [one for one in stage.exposed if one.party not in {talking.leaver, stopped.leaver}]
        return Measured(*(round(max((one.seconds for one in each), default=0)) for each in (heard, call, late)))


def _pair(stage: Stage, index: int) -> _Pair:
    leaver, other = f"+1212555{150 + 2 * index:04d}", f"+1212555{151 + 2 * index:04d}"
    stage.agree(leaver)
    stage.agree(other)
    seats = body(stage.open(leaver, other))["participants"]
    pair = _Pair(leaver, other, seats[0]["masked_number"], seats[1]["masked_number"])
    # What stays at 0 later must not do so because nobody is ever connected here.
    before = stage.world.received(leaver)
    stage.text(other, pair.others_number, TALK)
    assert stage.world.received(leaver) == [*before, TALK]
    assert stage.call(pair.leaver, pair.leavers_number, TAKEN).connected
    return pair
