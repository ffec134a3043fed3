"""Sessions: when an interaction belongs to one, and when one must end."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from parley.adapters.session_items import admission_of
from parley.adapters.sessions import _session_item, session_of
from parley.core import moments
from parley.core.admission import refusal
from parley.core.consent import Kind, Scope, Standing, State
from parley.core.decision import decide
from parley.core.sessions import (
    IN_FLIGHT,
    Intent,
    Mode,
    Participant,
    Revocation,
    Session,
    Stage,
    Status,
    closing_time,
    intent_id,
    intent_of,
    is_intent_id,
    modes_for,
    takes_away,
)

from tests.unit.chains import ANA, BEN, CLEO, NOON

SESSION = Session(
    sid="KC1",
    service_sid="KS1",
    participants=(Participant("KP1", ANA), Participant("KP2", BEN)),
    mode=Mode.VOICE_AND_MESSAGE,
    opened_at=NOON,
    closes_at=NOON + timedelta(hours=1),
)


def refused(session: Session | None, *, service: str = "KS1", participant: str = "KP1", now: datetime) -> str | None:
    """Return why an interaction in a session is refused, the session being read from its row."""
    item = {} if session is None else _session_item(session)
    if session is not None and session.revocation is not None:  # written by whoever takes a consent back
        lost = session.revocation
        said = {"record_id": lost.record_id, "at": moments.to_text(lost.at), "reason": lost.reason}
        item |= {"revocation": {"S": json.dumps(said)}}
        assert session_of(item, {}) == session
    return refusal(admission_of(item) if item else None, service_sid=service, participant_sid=participant, now=now)


@pytest.mark.parametrize(
    ("session", "service", "participant", "minutes", "reason"),
    [
        (SESSION, "KS1", "KP1", 0, None),
        (None, "KS1", "KP1", 0, "session-unknown"),
        (SESSION, "KS2", "KP1", 0, "service-mismatch"),
        (SESSION, "KS1", "KP9", 0, "participant-unknown"),
        (SESSION, "KS1", "KP1", 60, "session-closed"),
        (dataclasses.replace(SESSION, status=Status.CLOSED), "KS1", "KP1", 0, "session-closed"),
    ],
)
def test_interaction_belongs_to_an_open_session(
    session: Session | None, service: str, participant: str, minutes: int, reason: str | None
) -> None:
    """An interaction belongs to a session that is known, ours, open and has its sender in it."""
    now = NOON + timedelta(minutes=minutes)
    assert refused(session, service=service, participant=participant, now=now) == reason


def test_parties() -> None:
    """A session knows its parties and who is behind which participant."""
    assert SESSION.parties == (ANA, BEN)
    assert SESSION.party_of("KP2") == BEN


def test_session_never_outlives_the_consents() -> None:
    """A session ends after its time to live, or when the first consent runs out."""
    assert closing_time(NOON, 60, None) == NOON + timedelta(seconds=60)
    assert closing_time(NOON, 60, NOON + timedelta(seconds=30)) == NOON + timedelta(seconds=30)
    assert closing_time(NOON, 60, NOON + timedelta(seconds=90)) == NOON + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("channels", "modes"),
    [
        (("voice", "sms"), tuple(Mode)),
        (("voice",), (Mode.VOICE_ONLY,)),
        (("chat",), (Mode.MESSAGE_ONLY,)),
        (("video",), ()),
    ],
)
def test_modes_follow_the_channels(channels: tuple[str, ...], modes: tuple[Mode, ...]) -> None:
    """A stack allows only the modes that its channels can carry."""
    assert modes_for(channels) == modes


STATES = st.sampled_from(State)


@st.composite
def standings(draw: st.DrawFn, party: str, counterpart: str | None) -> Standing:
    """Return where a consent to being connected may stand at noon."""
    minutes = draw(st.none() | st.integers(1, 240))
    return Standing(
        party=party,
        scope=Scope.MANAGE,
        counterpart=counterpart,
        state=draw(STATES | st.none()),
        seq=1,
        record_id="cr_1",
        effective_at=NOON,
        valid_until=None if minutes is None else NOON + timedelta(minutes=minutes),
        kind=draw(st.sampled_from(Kind)),
        # Version 99 is in no file, so a consent to it is stale.
        notice=draw(st.sampled_from([None, ("manage", 1), ("manage", 99), ("app:terms", 99)])),
    )


@given(st.data(), st.sampled_from([None, BEN]), st.integers(0, 240))
def test_session_says_what_the_consents_say(data: st.DataObject, counterpart: str | None, minutes: int) -> None:
    """Whatever a person says next, a session that it does not take away is one that the gate would open at any time."""
    held = [
        Standing(party, Scope.MANAGE, None, State.GIVEN, 1, f"cr_{party[0]}", NOON, NOON + timedelta(hours=4))
        for party in (ANA, BEN)
    ]
    before = data.draw(st.none() | standings(ANA, counterpart))
    if before is not None:
        held = [one for one in held if (one.party, one.counterpart) != (ANA, counterpart)] + [before]
    permitted = decide([ANA, BEN], held, NOON)
    closes_at = closing_time(NOON, 3600, permitted.valid_until)
    assume(permitted.permit)
    after = data.draw(standings(ANA, counterpart))
    current = next((one for one in held if (one.party, one.counterpart) == (ANA, counterpart)), None)
    now = min(NOON + timedelta(minutes=minutes), closes_at - timedelta(microseconds=1))
    following = [one for one in held if one is not current] + [after]
    if not takes_away(current, after, counterparts=[BEN], closes_at=closes_at):
        assert decide([ANA, BEN], following, now).permit


def test_other_peoples_and_other_scopes_take_nothing_away() -> None:
    """A no to recording, or towards somebody else, leaves a session as it is."""
    no = Standing(ANA, Scope.MANAGE, CLEO, State.WITHDRAWN, 2, "cr_2", NOON)
    ends = NOON + timedelta(hours=1)
    assert not takes_away(None, no, counterparts=[BEN], closes_at=ends)
    assert takes_away(None, no, counterparts=[CLEO], closes_at=ends)
    other = dataclasses.replace(no, scope=Scope.RECORD_VOICE, counterpart=None)
    assert not takes_away(None, other, counterparts=[BEN], closes_at=ends)


def test_question_takes_away_only_what_it_replaced() -> None:
    """A consent that became a question took itself away; a question where there was nothing takes nothing."""
    asked = Standing(ANA, Scope.MANAGE, None, State.REQUESTED, 2, "cr_2", NOON)
    given_ = dataclasses.replace(asked, state=State.GIVEN, seq=1)
    ends = NOON + timedelta(hours=1)
    assert takes_away(given_, asked, counterparts=[BEN], closes_at=ends)
    assert not takes_away(None, asked, counterparts=[BEN], closes_at=ends)
    assert not takes_away(asked, given_, counterparts=[BEN], closes_at=ends)
    short = dataclasses.replace(given_, valid_until=NOON)
    assert takes_away(asked, short, counterparts=[BEN], closes_at=ends)


class TestIntents:
    """Attempts to open a session, and the names by which they are found at Twilio."""

    @given(st.text(max_size=50), st.integers(1, 10**6))
    def test_name_leads_back_to_the_intent(self, name: str, attempt: int) -> None:
        """The unique name of an attempt says whose it is, and nothing about what it was made of."""
        wish = intent_id(name)
        intent = Intent(wish, attempt, "d", (ANA, BEN), NOON, NOON)
        assert is_intent_id(wish)
        assert intent_of(intent.unique_name) == wish
        assert len(intent.unique_name) < 50

    @pytest.mark.parametrize("name", [None, "", "ride-7", "si_1.1", "si_" + "a" * 32, "si_" + "a" * 32 + ".0"])
    def test_other_names_are_nobodys(self, name: str | None) -> None:
        """What was not opened for an intent is told apart."""
        assert intent_of(name) is None

    def test_attempt_is_under_way_for_a_while(self) -> None:
        """After the longest time that a function runs an attempt is over, and so is one that came to its end."""
        intent = Intent(intent_id("x"), 1, "d", (ANA, BEN), NOON, NOON)
        assert intent.is_under_way(NOON + timedelta(seconds=29))
        assert not intent.is_under_way(NOON + IN_FLIGHT)
        assert not dataclasses.replace(intent, stage=Stage.OPENED).is_under_way(NOON)


def test_revoked_session_connects_nobody() -> None:
    """A session whose consent is lost refuses every interaction, though it is not closed yet."""
    revoked = dataclasses.replace(SESSION, revocation=Revocation("cr_1", NOON, "manage-withdrawn"))
    assert refused(revoked, now=NOON) == "consent-lost"
    assert not revoked.is_over(NOON)


@pytest.mark.parametrize(
    ("state", "no"), [("withdrawn", True), ("refused", True), ("given", False), ("unknown", False)]
)
def test_revocation_tells_a_no_from_a_lesser_yes(state: str, no: bool) -> None:
    """Only where somebody said no was anybody exposed to what they did not want."""
    assert Revocation("cr_1", NOON, f"manage-{state}").is_no is no
