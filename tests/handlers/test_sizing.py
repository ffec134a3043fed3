"""How many numbers a stack's pool needs, told from the sessions that its own gate opened, in both ways of masking."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from parley import runtime
from parley.adapters.secrets import TwilioCredentials
from parley.adapters.twilio import TwilioCarrier

from cli import sizing
from cli.errors import UserError
from infra.twilio.findings import Finding, Word
from tests.handlers.direct import make_direct
from tests.handlers.world import ACCOUNT, ANA, BEN, DAY, GATE, KEY, POOL, SECRET, STRANGER, TABLE, TOKEN, World, body

WAYS = pytest.mark.parametrize("masking", ["proxy", "direct"])


def told(world: World, masking: str, table: str = TABLE, keep_days: int = 90) -> list[Finding]:
    """Return what is found about the pool of this world's stack."""
    own = TwilioCredentials(KEY, SECRET, (TOKEN,))
    service = ACCOUNT if masking == "direct" else world.service_sid
    carrier = TwilioCarrier(
        lambda _renewed: own, ACCOUNT, os.environ["PARLEY_TWILIO_ENDPOINT"], 0.0, services=[service]
    )
    declaration: dict[str, Any] = {
        "version": 1,
        "masking": masking,
        "classes": [{"class": "session-map", "keepDays": keep_days}],
        "resources": [
            {"system": "twilio", "name": service, "expected": {}},
            {"system": "dynamodb", "name": table, "expected": {}},
        ],
    }
    return sizing.findings(declaration, world.dynamodb, carrier, runtime.clock(), gate=GATE)


def made(world: World, masking: str) -> None:
    """Let the world mask in this way."""
    if masking == "direct":
        make_direct(world)


@WAYS
def test_pool_that_has_room(world: World, masking: str) -> None:
    """One session needs one number of its people's calling code, and the pool has more."""
    made(world, masking)
    world.conversation()
    world.clock.advance(60)
    (finding,) = [each for each in told(world, masking) if each.what.startswith("+1 ")]
    assert finding.word is Word.FINE
    assert "the 1 sessions of the last 30 days needed 1 numbers" in finding.what
    assert "2 people" in finding.what
    assert finding.what.endswith("the pool has 2")
    assert not any(number.lstrip("+") in finding.what for number in (ANA, BEN, *POOL))


@WAYS
def test_pool_that_is_used_up_is_a_trap(world: World, masking: str) -> None:
    """Somebody who had a session on every number of the pool gets no other one: more numbers are advised."""
    made(world, masking)
    world.conversation()
    world.consent(STRANGER)
    opened = world.open(participants=[{"identifier": ANA}, {"identifier": STRANGER}])
    assert opened["statusCode"] == 201, body(opened)
    world.clock.advance(60)
    (finding,) = [each for each in told(world, masking) if each.what.startswith("+1 ")]
    assert (finding.word, finding.fix.startswith("declare 3 numbers of +1")) == (Word.TRAP, True)
    assert "one person had 2 sessions at once" in finding.what


@WAYS
def test_what_is_over_counts_for_thirty_days(world: World, masking: str) -> None:
    """A month later nothing of it is told, and a number without sessions is fine."""
    made(world, masking)
    world.conversation()
    world.clock.advance(31 * DAY)
    (finding,) = [each for each in told(world, masking) if "+1 " in each.what]
    assert finding.word is Word.FINE
    assert "no session of the last 30 days needed one of the 2 numbers" in finding.what


def test_sessions_that_are_kept_for_less_tell_of_less(world: World) -> None:
    """What is told covers no more days than sessions are kept for."""
    world.conversation()
    world.clock.advance(60)
    assert any("of the last 7 days" in each.what for each in told(world, "proxy", keep_days=7))


def test_sessions_of_an_earlier_version_are_counted(world: World) -> None:
    """Sessions that were written without a calling code are said to be missing, and when it will be better."""
    opened = world.conversation()
    (row,) = [each for each in world.rows("SESSION") if each["pk"]["S"] == f"SESSION#{opened['session']}"]
    places = [[one[0], one[1]] for one in json.loads(row["participants"]["S"])]
    world.dynamodb.put_item(TableName=TABLE, Item={**row, "participants": {"S": json.dumps(places)}})
    world.clock.advance(60)
    assert {one.party for one in world.session(opened["session"]).participants} == {one[1] for one in places}
    (finding,) = [each for each in told(world, "proxy") if each.word is Word.BY_HAND]
    assert "what 1 sessions needed" in finding.what


@pytest.mark.moto
def test_what_is_not_told_is_said(world: World) -> None:
    """A table that cannot be read, and numbers that Twilio does not list, leave the size unknown."""
    (finding,) = told(world, "proxy", table="another")
    assert (finding.word, "ResourceNotFoundException" in finding.what) == (Word.UNKNOWN, True)
    assert "dynamodb:Scan on another" in finding.fix
    world.emulator.faults.add({"on": "rest", "mode": "error", "status": 403, "match": "GET .*PhoneNumbers"})
    (finding,) = told(world, "proxy")
    assert (finding.word, "403" in finding.what) == (Word.UNKNOWN, True)


def test_declaration_that_says_nothing_is_refused(world: World) -> None:
    """A stack without a declaration is told to be deployed again."""
    with pytest.raises(UserError, match="deploy it"):
        sizing.findings({}, world.dynamodb, None, runtime.clock())  # type: ignore[arg-type]
