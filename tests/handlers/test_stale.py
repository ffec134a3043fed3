"""Consents to a notice whose purpose a deployment widened: they count no more, and what rests on them is closed."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pytest
from parley import runtime
from parley.core import disclosure
from parley.core.sessions import Status

from tests.handlers.world import ANA, BEN, STRANGER, World, body, lines, problem_of

OURS = {"id": "manage", "version": 1, "language": "en", "sha256": "ab" * 32}
THEIRS = {**OURS, "id": "app:terms"}


def conversation(world: World, notice: dict[str, Any]) -> str:
    """Open a session on the ground of consents to a notice; return its SID."""
    for person in (ANA, BEN):
        world.consent(person, notice=notice)
    sid: str = body(world.open())["session"]
    return sid


def deploy_version(world: World, *, widens: bool) -> None:
    """Deploy the functions anew with a second version of the notice that asks to be connected."""
    known = disclosure.templates()
    second = dataclasses.replace(known["manage"].current, number=2, effective=date(2027, 1, 1), widens=widens)
    manage = dataclasses.replace(known["manage"], versions=(*known["manage"].versions, second))
    world.patch.setattr(disclosure, "templates", lambda: {**known, "manage": manage})
    runtime.reset()


def talk(world: World, sid: str) -> int:
    """Let the first party of a session text the other; return the intercept's answer."""
    session = world.session(sid)
    party = session.participants[0].sid
    status: int = world.webhook("intercept-message", interactionSessionSid=sid, inboundParticipantSid=party)[
        "statusCode"
    ]
    return status


def test_session_is_closed_by_the_next_run(world: World) -> None:
    """A wider purpose closes the sessions of those who agreed to the narrower one, at Twilio and in the ledger."""
    sid = conversation(world, OURS)
    deploy_version(world, widens=True)
    assert world.reconcile()["closed"] == 1
    assert (world.status_at_twilio(sid), world.session(sid).status) == ("closed", Status.CLOSED)
    assert world.session(sid).closed_reason == "consent-lost"
    assert talk(world, sid) == 403


@pytest.mark.parametrize(("notice", "widens"), [(OURS, False), (THEIRS, True), (THEIRS, False)])
def test_session_goes_on(world: World, notice: dict[str, Any], widens: bool) -> None:
    """A version with the same purpose, and any version of ours for a consent to the app's own text, changes nothing."""
    sid = conversation(world, notice)
    deploy_version(world, widens=widens)
    assert "closed" not in world.reconcile()
    assert (talk(world, sid), world.open()["statusCode"]) == (200, 201)


def test_nothing_opens_or_is_renewed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A stale consent refuses a session and a renewal, and the code stands in the answer, the decision and the log."""
    sid = conversation(world, OURS)
    deploy_version(world, widens=True)
    capsys.readouterr()
    for answer in (world.open(), world.renew(sid)):
        assert problem_of(answer) == (409, "consent-missing")
        missing = body(answer)["missing"]
        assert {one["code"] for one in missing} == {"manage-stale"}
        assert all("wider" in one["words"] for one in missing)
        shown = body(world.decision(body(answer)["decision"]))
        assert {one["code"] for one in shown["scopes"][0]["missing"]} == {"manage-stale"}
    told = [code for line in lines(capsys) if line.get("event") == "decision" for code in line["reasons"]]
    assert told
    assert all(code.startswith("manage-stale:") for code in told)


def test_is_shown_and_asked_again(world: World) -> None:
    """A stale consent is shown as such, in a code and in words, and may be asked for and given anew."""
    party = body(world.consent(ANA, notice=OURS))["party"]
    deploy_version(world, widens=True)
    (shown,) = body(world.get("consents-get", party))["consents"]
    assert shown["state"] == "stale"
    assert "asked for again" in shown["words"]
    assert world.ask(ANA)["statusCode"] == 201
    (shown,) = body(world.get("consents-get", party))["consents"]
    assert shown["state"] == "stale"
    world.consent(ANA, notice={**OURS, "version": 2})
    (shown,) = body(world.get("consents-get", party))["consents"]
    assert shown["state"] == "given"


def test_old_consent_that_arrives_late_revokes(world: World) -> None:
    """A report of consent to the narrower purpose, while a session rests on the wider one, revokes that session."""
    deploy_version(world, widens=True)
    sid = conversation(world, {**OURS, "version": 2})
    assert talk(world, sid) == 200
    world.consent(ANA, notice=OURS)
    assert talk(world, sid) == 403
    lost = world.session(sid).revocation
    assert lost is not None
    assert lost.reason == "manage-stale"


def test_row_without_a_notice_is_not_stale(world: World) -> None:
    """A consent of which the row names no notice, as START gives one back, is judged by its record alone."""
    for person in (ANA, BEN, STRANGER):
        world.consent(person, notice=OURS)
    for row in world.rows("STATE#"):
        row.pop("notice")
        world.dynamodb.put_item(TableName="parley-ledger", Item=row)
    deploy_version(world, widens=True)
    assert world.open()["statusCode"] == 201
