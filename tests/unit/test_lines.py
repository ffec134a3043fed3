"""Lines: what the row of a party and a masked number permits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from parley.core.calls import CALLEE, CALLER, Key, Recording, is_recorded, key_of, recording_of, takes_call, time_limit
from parley.core.consent import Scope
from parley.core.disclosure import templates
from parley.core.lines import Channel, Line, LineStatus, Peer, interaction_sid, participant_sid, session_sid
from parley.core.sessions import Revocation
from parley.core.sids import check_sid

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LINE = Line(
    party="a" * 64,
    masked_number="+12125550140",
    participant="KP" + "1" * 32,
    session="KC" + "2" * 32,
    intent="si_" + "3" * 32,
    peers=(Peer("KP" + "4" * 32, "b" * 64, "+12125550141", "sealed"),),
    mode="voice-and-message",
    status=LineStatus.OPEN,
    opened_at=NOW - timedelta(hours=1),
    closes_at=NOW + timedelta(hours=1),
)


class TestRefusal:
    """When nothing may pass."""

    @pytest.mark.parametrize("channel", list(Channel))
    def test_open_line_lets_pass(self, channel: Channel) -> None:
        """A line that is open, in time and unrevoked lets texts and calls pass."""
        assert LINE.refusal(NOW, channel) is None
        assert LINE.parties == ("a" * 64, "b" * 64)

    @pytest.mark.parametrize("status", [LineStatus.RESERVED, LineStatus.CLOSED])
    def test_other_states_do_not(self, status: LineStatus) -> None:
        """A line that is only reserved, or closed, lets nothing pass."""
        assert replace(LINE, status=status).refusal(NOW, Channel.VOICE) == "session-closed"

    def test_time(self) -> None:
        """A line ends with its session, to the very moment."""
        assert LINE.refusal(LINE.closes_at - timedelta(microseconds=1), Channel.VOICE) is None
        assert LINE.refusal(LINE.closes_at, Channel.VOICE) == "session-closed"

    def test_revocation(self) -> None:
        """A consent that was taken back ends it at once."""
        lost = replace(LINE, revocation=Revocation("cr_1", NOW, "manage-withdrawn"))
        assert lost.refusal(NOW, Channel.MESSAGE) == "consent-lost"

    @pytest.mark.parametrize(
        ("mode", "channel", "refusal"),
        [
            ("voice-only", Channel.MESSAGE, "mode-mismatch"),
            ("voice-only", Channel.VOICE, None),
            ("message-only", Channel.VOICE, "mode-mismatch"),
            ("message-only", Channel.MESSAGE, None),
        ],
    )
    def test_mode(self, mode: str, channel: Channel, refusal: str | None) -> None:
        """What the session's mode leaves out does not pass."""
        assert replace(LINE, mode=mode).refusal(NOW, channel) == refusal

    def test_idle(self) -> None:
        """An idle time counts from the last interaction, or from the opening; without one nothing is idle."""
        idle = replace(LINE, idle=1800)
        assert idle.refusal(NOW, Channel.VOICE) == "session-idle"
        assert replace(idle, last_at=NOW - timedelta(seconds=1799)).refusal(NOW, Channel.VOICE) is None
        assert not replace(LINE, last_at=NOW - timedelta(days=9)).is_idle(NOW)


class TestSids:
    """SIDs of our own."""

    def test_they_have_the_form_of_twilios(self) -> None:
        """Session, participant and interaction have SIDs that everything takes for Proxy's, always the same ones."""
        assert check_sid(session_sid("si_1.1"), "KC") == session_sid("si_1.1") != session_sid("si_1.2")
        assert check_sid(participant_sid("KC1", "a"), "KP") != participant_sid("KC1", "b")
        assert check_sid(interaction_sid("SM1"), "KI") == interaction_sid("SM1")


class TestCalls:
    """What is said and asked at the beginning of a call."""

    @pytest.mark.parametrize(
        ("scopes", "asks", "recording"),
        [
            ((), (), Recording.NONE),
            ((Scope.STORE_MESSAGES,), (), Recording.NONE),
            ((Scope.RECORD_VOICE,), (), Recording.STANDING),
            ((), (Scope.RECORD_VOICE,), Recording.ASK),
        ],
    )
    def test_recording(self, scopes: tuple[Scope, ...], asks: tuple[Scope, ...], recording: Recording) -> None:
        """A call is recorded by standing consents, by what its people are asked, or not at all."""
        assert recording_of(replace(LINE, scopes=scopes, asks=asks)) is recording

    @pytest.mark.parametrize(
        ("digits", "key"),
        [("1", Key.AGREE), ("2", Key.WITHOUT), ("9", Key.REFUSE), ("", Key.OTHER), ("3", Key.OTHER), ("#1", Key.OTHER)],
    )
    def test_keys(self, digits: str, key: Key) -> None:
        """Whatever has no meaning is as if nothing was pressed."""
        assert key_of(digits) is key

    @pytest.mark.parametrize(
        ("recording", "key", "recorded", "taken"),
        [
            (Recording.NONE, Key.AGREE, False, True),
            (Recording.NONE, Key.WITHOUT, False, False),
            (Recording.NONE, Key.OTHER, False, False),
            (Recording.STANDING, Key.AGREE, True, True),
            (Recording.STANDING, Key.WITHOUT, False, True),
            (Recording.STANDING, Key.OTHER, True, False),
            (Recording.ASK, Key.AGREE, True, True),
            (Recording.ASK, Key.WITHOUT, False, True),
            (Recording.ASK, Key.OTHER, False, False),
        ],
    )
    def test_what_a_key_means(self, recording: Recording, key: Key, *, recorded: bool, taken: bool) -> None:
        """Silence takes no call and never agrees; 2 is no consent."""
        assert (is_recorded(recording, key), takes_call(recording, key)) == (recorded, taken)

    def test_every_kind_has_its_notices(self) -> None:
        """Both legs hear a notice of ours whatever is recorded, and the one that asks is one that asks."""
        for kind in Recording:
            assert "voice" in templates()[CALLER[kind]].current.texts
            assert "voice" in templates()[CALLEE[kind]].current.texts
        assert templates()[CALLEE[Recording.ASK]].asks
        assert templates()[CALLER[Recording.ASK]].asks

    def test_call_ends_with_its_session(self) -> None:
        """No call outlives its session, nor Twilio's own limit."""
        assert time_limit(LINE, NOW) == 3600
        assert time_limit(replace(LINE, closes_at=NOW + timedelta(days=9)), NOW) == 14_400
        assert time_limit(LINE, LINE.closes_at) == 1
