"""Whichever way somebody says no, the same follows: everything, everywhere, at once, and once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from parley import runtime
from parley.adapters.twilio import TwilioCarrier
from parley.core.consent import Scope, State, verify_chain

from local.twilio.numbers import describe, number_sid
from local.twilio.simulator import Outcome, Ring
from tests.handlers.world import ACCOUNT, ANA, ASK, BEN, World, body, output

CAROL = "+12125550117"
FREE = "+12125550148"
"""A number of the pool that no session uses, so that what comes to it is out of a session."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Two open sessions of Ana's, with Ben, with whom she is talking on the phone, and with Carol."""

    world: World
    sessions: tuple[str, str]
    number: str
    call: Outcome


@pytest.fixture
def stage(world: World) -> Stage:
    """Give Ana two conversations on two numbers, a call that is under way, and consents to everything."""
    carrier = world.emulator.carrier
    carrier.numbers.own(ACCOUNT, describe(FREE, sms=True, voice=True, mms=False), {})
    opened = world.conversation()
    world.consent(CAROL)
    for scope in Scope:
        world.consent(ANA, scope=scope)
    other = body(world.open(participants=[{"identifier": ANA}, {"identifier": CAROL}]))
    # It joins the pool when both sessions have theirs.
    world.twilio.proxy.v1.services(world.service_sid).phone_numbers.create(sid=number_sid(FREE))
    key = world.identities.party(ANA)
    number = next(one["masked_number"] for one in opened["participants"] if one["party"] == key)
    call = world.call(ANA, number, Ring(hold=True))
    assert call.connected
    world.clock.advance(1)
    return Stage(world, (opened["session"], other["session"]), number, call)


def _alert(stage: Stage) -> dict[str, Any]:
    return {"error_code": "80901", "resource_sid": stage.world.text(ANA, stage.number, "STOP").sid}


def by_event_streams(stage: Stage) -> None:
    """Let Event Streams tell of a swallowed STOP, twice in a batch, and the debugger once more."""
    alert = _alert(stage)
    stage.world.tell(alert, alert)
    stage.world.debug(alert)


def by_debugger(stage: Stage) -> None:
    """Let the debugger's webhook tell of a swallowed STOP, twice."""
    alert = _alert(stage)
    for _ in range(2):
        stage.world.debug(alert)


def by_alerts(stage: Stage) -> None:
    """Let the reconciler find a swallowed STOP among the alerts."""
    stage.world.text(ANA, stage.number, "STOP")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TwilioCarrier, "messages", lambda *_: ([], True))
        stage.world.reconcile()


def by_messages(stage: Stage) -> None:
    """Let the reconciler find a swallowed STOP among the messages."""
    stage.world.text(ANA, stage.number, "STOP")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TwilioCarrier, "alerts", lambda *_: ([], True))
        stage.world.reconcile()


def by_barred_text(stage: Stage) -> None:
    """Let Twilio bar a text to Ana because of a STOP of another time."""
    state = stage.world.emulator.carrier.state
    state.opt_outs.add((stage.number, ANA))
    stage.world.emulator.carrier.messaging.bar(ACCOUNT, stage.number, ANA, "Where are you?")
    stage.world.reconcile()


def by_carriers_word(stage: Stage) -> None:
    """Text REVOKE in a session, which Proxy would pass on."""
    assert not stage.world.text(ANA, stage.number, "Revoke").connected


def by_our_word(stage: Stage) -> None:
    """Text a word of another language in a session, which only we know."""
    assert not stage.world.text(ANA, stage.number, "baja").connected


def by_phrase(stage: Stage) -> None:
    """Text an ordinary sentence in a session."""
    assert not stage.world.text(ANA, stage.number, "Please stop texting me.").connected


def by_callback(stage: Stage) -> None:
    """Text a word in a session while the intercept cannot be reached: the callbacks have it."""
    stage.world.emulator.faults.add({"on": "webhook", "mode": "refuse", "match": "^intercept"})
    stage.world.text(ANA, stage.number, "baja")


def by_text_out_of_session(stage: Stage) -> None:
    """Text a number of the pool that no session of Ana's uses."""
    stage.world.text(ANA, FREE, "baja")


def by_text_to_the_number_that_asks(stage: Stage) -> None:
    """Text the number outside of the pool."""
    stage.world.text(ANA, ASK, "baja")


def by_advanced_opt_out(stage: Stage) -> None:
    """Text a word that only Twilio knows, as OptOutType tells."""
    for _ in range(2):
        stage.world.webhook("sms", From=ANA, Body="genug", OptOutType="STOP")


def by_key(stage: Stage) -> None:
    """Press 9 on a call to a number of the pool that no session of Ana's uses."""
    outcome = stage.world.call(ANA, FREE, Ring(digits=("9",)))
    assert "on record" in outcome.heard[-1]


def by_report(stage: Stage) -> None:
    """Let the application report it, twice."""
    fields: dict[str, Any] = {"scope": "all", "source_event_id": "letter-1"}
    assert [stage.world.consent(ANA, "withdrawn", **fields)["statusCode"] for _ in range(2)] == [201, 200]


def by_page(stage: Stage) -> None:
    """Press the button of the page, twice."""
    url = body(stage.world.link(ANA))["url"]
    for _ in range(2):
        assert "on record" in stage.world.browse(url, "POST")["body"]


def by_mail_program(stage: Stage) -> None:
    """Let a mail program click for its reader, twice."""
    url = body(stage.world.link(ANA))["url"]
    for _ in range(2):
        assert stage.world.browse(url, "POST", "List-Unsubscribe=One-Click")["statusCode"] == 200


# Each with the number of texts that confirm it: none where Twilio, a voice or a page does, or where Twilio bars them.
PATHS: dict[Callable[[Stage], None], int] = {
    by_event_streams: 0,
    by_debugger: 0,
    by_alerts: 0,
    by_messages: 0,
    by_barred_text: 0,
    by_carriers_word: 0,
    by_our_word: 1,
    by_phrase: 1,
    by_callback: 1,
    by_text_out_of_session: 1,
    by_text_to_the_number_that_asks: 1,
    by_advanced_opt_out: 0,
    by_key: 0,
    by_report: 1,
    by_page: 0,
    by_mail_program: 1,
}
IN_THE_ANSWER = {by_text_out_of_session, by_text_to_the_number_that_asks}
"""Where the confirmation is the answer to a webhook. Of one that comes twice Twilio takes the last answer, which is
silent: rather none than two."""


@pytest.mark.parametrize("fault", [None, "duplicate", "reorder"])
@pytest.mark.parametrize(("path", "texts"), PATHS.items(), ids=[path.__name__ for path in PATHS])
def test_every_path_blocks_everything(
    stage: Stage,
    path: Callable[[Stage], None],
    texts: int,
    fault: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Everything is withdrawn and closed, the call ended, each told once, START gives little back, the chain holds."""
    world = stage.world
    if fault is not None:
        world.emulator.faults.add({"on": "webhook", "mode": fault})
    capsys.readouterr()
    path(stage)
    world.emulator.webhooks.drain()
    world.emulator.faults.clear()
    logged, measured = output(capsys)

    assert states(world) == dict.fromkeys(Scope, State.WITHDRAWN)
    assert {world.status_at_twilio(sid) for sid in stage.sessions} == {"closed"}
    assert {str(world.session(sid).status) for sid in stage.sessions} == {"closed"}
    calls = world.emulator.carrier.state.calls
    assert {calls[sid or ""].status for sid in (stage.call.sid, stage.call.outbound_sid)} == {"completed"}
    neutral = [[text for text in world.received(phone) if "not available" in text] for phone in (BEN, CAROL, ANA)]
    assert [len(told) for told in neutral] == [1, 1, 0]
    assert len(world.received(ANA)) == (0 if fault == "duplicate" and path in IN_THE_ANSWER else texts)
    assert world.open()["statusCode"] == 409

    done = [line for line in logged if line["event"] == "withdrawal-done"]
    assert [line["seconds"] >= 0 for line in done] == [True]
    assert len([metric for metric in measured if "BlockSeconds" in metric]) == 1
    assert not any(phone in str(logged) + str(measured) for phone in (ANA, BEN, CAROL, stage.number))

    # Whatever else finds the same again changes nothing.
    before = len(world.rows("EVENT#")), [world.received(phone) for phone in (ANA, BEN, CAROL)]
    world.clock.advance(61)
    world.reconcile()
    assert (len(world.rows("EVENT#")), [world.received(phone) for phone in (ANA, BEN, CAROL)]) == before

    world.text(ANA, FREE, "START")
    assert states(world) == dict.fromkeys(Scope, State.WITHDRAWN) | {Scope.RECEIVE_INFO: State.GIVEN}
    assert world.open()["statusCode"] == 409
    chain = runtime.ledger().records(world.identities.party(ANA))
    assert verify_chain(chain).seq == len(chain)


def states(world: World) -> dict[Scope, State | None]:
    """Return where Ana's consents stand."""
    found = world.ledger.standings_of(world.identities.party(ANA))
    return {one.scope: one.state for one in found if one.counterpart is None}
