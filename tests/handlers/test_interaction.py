"""The interaction log: each status once, in any order, without a body or a number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parley import runtime

from tests.handlers.world import ANA, BEN, World, lines, problem_of

EVENT = "interaction"


def test_logs_each_status_once(world: World) -> None:
    """Repeated and reordered callbacks leave one row a status, each with the declared time to live."""
    for status in ("sent", "delivered", "sent", "queued", "delivered"):
        assert world.webhook(EVENT, outboundResourceStatus=status)["statusCode"] == 204
    rows = world.rows("INTERACTION#")
    assert sorted(row["outbound_status"]["S"] for row in rows) == ["delivered", "queued", "sent"]
    days = {round((int(row["expires_at"]["N"]) - world.clock.now()) / 86_400) for row in rows}
    assert days == {400}


def test_keeps_no_body_and_no_number(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the row nor the log line holds what was said or who said it."""
    world.webhook(EVENT)
    kept = str(world.rows("INTERACTION#")) + str(lines(capsys))
    assert "corner" not in kept
    assert ANA not in kept
    assert BEN not in kept


def test_forged_callback_is_not_logged(world: World) -> None:
    """A callback that Twilio did not sign leaves nothing."""
    assert world.webhook(EVENT, token="wrong")["statusCode"] == 403
    assert world.rows("INTERACTION#") == []


def test_ledger_that_is_down_is_told(world: World) -> None:
    """Without the ledger the answer is 503, never a pretended success."""
    world.break_ledger()
    assert world.webhook(EVENT)["statusCode"] == 503


def test_stop_word_that_slipped_through_is_still_a_withdrawal(world: World) -> None:
    """A stop word found only in the callback closes the session all the same."""
    session = world.session(world.conversation()["session"])
    world.webhook(
        EVENT,
        interactionSessionSid=session.sid,
        inboundParticipantSid=session.participants[0].sid,
        interactionData='{"body": "OPTOUT"}',
    )
    assert world.status_at_twilio(session.sid) == "closed"


def test_voice_callback_with_blank_data(world: World) -> None:
    """A call's callback, whose interactionData is blank, is logged."""
    answer = world.webhook(EVENT, interactionData="", interactionType="Voice", inboundResourceStatus="completed")
    assert answer["statusCode"] == 204
    assert world.rows("INTERACTION#")[0]["kind"]["S"] == "voice"


def test_callback_without_optional_fields(world: World) -> None:
    """A callback of a text that the API sent has no inbound side, and is logged."""
    drop = ("inboundParticipantSid", "inboundResourceSid", "inboundResourceStatus")
    assert world.webhook(EVENT, drop=drop)["statusCode"] == 204


@pytest.mark.moto
def test_secret_missing_is_told(world: World) -> None:
    """Without the secret the answer is 503 with a problem."""
    world.secretsmanager.delete_secret(SecretId=world.secret, ForceDeleteWithoutRecovery=True)
    runtime.reset()
    assert problem_of(world.webhook(EVENT)) == (503, "unavailable")


@pytest.mark.parametrize("changes", [{}, {"inboundParticipantSid": "KP" + "0" * 32}, {"drop": ("inboundResourceSid",)}])
def test_of_nobody_known_changes_nothing(world: World, changes: dict[str, Any]) -> None:
    """A stop word that belongs to nobody known, or to no message, is only logged."""
    session = world.conversation()["session"] if changes else "KC" + "0" * 32
    fields = {"interactionSessionSid": session, "interactionData": json.dumps({"body": "REVOKE"}), **changes}
    assert world.webhook(EVENT, **fields)["statusCode"] == 204
    assert len(world.rows("EVENT#")) == (2 if changes else 0)


def test_real_conversation_is_logged(world: World) -> None:
    """A text through Twilio's own order of events passes, is logged, and shows nobody's number in the table."""
    session = world.conversation()
    outcome = world.text(ANA, session["participants"][0]["masked_number"], "I am at the corner")
    assert outcome.connected
    assert world.received(BEN) == ["I am at the corner"]
    rows = world.rows()
    assert {row["inbound_resource"]["S"] for row in rows if row["sk"]["S"].startswith("INTERACTION#")} == {outcome.sid}
    assert not any(number in str(rows) for number in (ANA, BEN, "corner"))
