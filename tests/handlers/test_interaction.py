"""The interaction log: each status once, in any order, without a body or a number."""

from __future__ import annotations

import pytest

from tests.handlers.world import ANA, BEN, World, lines

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
