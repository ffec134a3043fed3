"""The recording of a call: what a message is for, what permits it, and what the law wants to be heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core import recording
from parley.core.consent import Kind, Scope, Standing, State
from parley.core.decision import decide
from parley.core.jurisdiction import (
    Announcement,
    JurisdictionPolicy,
    NonParty,
    Override,
    Relaxation,
    overridden,
    reviewed_table,
)
from parley.core.location import Location, Source
from parley.core.recording import LEASE, ON, PATIENCE, Capture, Permission, Phase, Step
from parley.core.records import ResourceKind, Stage
from parley.core.sessions import LONGEST_CALL, Mode, Participant, Revocation, Session, Status
from parley.core.sids import SidError

from tests.unit.chains import ANA, BEN, NOON

CALL, KC, RE = "CA" + "1" * 32, "KC" + "2" * 32, "RE" + "3" * 32
SESSION = Session(
    sid=KC,
    service_sid="KS1",
    participants=(Participant("KP1", ANA), Participant("KP2", BEN)),
    mode=Mode.VOICE_AND_MESSAGE,
    opened_at=NOON,
    closes_at=NOON + timedelta(hours=1),
    scopes=(Scope.RECORD_VOICE,),
)
CAPTURE = Capture(CALL, KC, (ANA, BEN), NOON)
NOTHING: Mapping[str, State | None] = {}
BOTH = (Scope.MANAGE, Scope.RECORD_VOICE)
captures = st.builds(
    Capture,
    call=st.just(CALL),
    session=st.just(KC),
    parties=st.just((ANA, BEN)),
    first_at=st.just(NOON),
    phase=st.sampled_from(Phase),
    attempt=st.integers(0, 30),
    leased_until=st.none() | st.just(NOON + LEASE),
    consents=st.lists(st.text(max_size=4), max_size=2).map(tuple),
    law=st.text(max_size=6),
    announcement=st.sampled_from(["", *map(str, Announcement)]),
    recording=st.sampled_from(["", RE]),
    started_at=st.none() | st.just(NOON),
    owed=st.booleans(),
    reason=st.sampled_from(["", recording.TOO_LATE, recording.WITHDRAWN]),
    by=st.text(max_size=4),
)


def standings(kind: Kind = Kind.EXPLICIT, states: Mapping[str, State | None] = NOTHING) -> list[Standing]:
    """Return the consents of both to being connected and recorded; `states` are Ben's, None for no record at all."""
    return [
        Standing(
            party,
            scope,
            None,
            states.get(scope, State.GIVEN) if party == BEN else State.GIVEN,
            1,
            f"cr_{party[0]}",
            NOON,
            kind=kind if scope is Scope.RECORD_VOICE else Kind.EXPLICIT,
        )
        for party in (ANA, BEN)
        for scope in BOTH
    ]


def permitted(
    found: list[Standing] | None = None,
    *,
    at: str | None = "US-TX",
    operator: str = "US-TX",
    session: Session = SESSION,
    **policy: Any,
) -> Permission:
    """Decide about a call between Ana and Ben, who both are at one place, under an operator."""
    declared = JurisdictionPolicy(operator, **policy)
    return recording.permission(
        session,
        standings() if found is None else found,
        NOON,
        call=CALL,
        places={} if at is None else {who: [Location(at, Source.DECLARED)] for who in (ANA, BEN)},
        policy=declared,
        table=overridden(reviewed_table(), declared.overrides),
    )


def test_yes_to_a_call_permits_that_call_only() -> None:
    """A yes to one call counts for that call and for no other one, and is no permission to open a session with."""
    given = standings()
    of_a_call = [replace(one, call=CALL) if one.scope is Scope.RECORD_VOICE else one for one in given]
    of_another = [replace(one, call="CA" + "9" * 32) if one.scope is Scope.RECORD_VOICE else one for one in given]
    assert permitted(of_a_call).granted
    assert not permitted(of_another).granted
    assert not decide((ANA, BEN), of_a_call, NOON, Scope.RECORD_VOICE).permit


def counsel(code: str, announcement: Announcement | None) -> Override:
    """Return counsel's reading of a row."""
    return Override(code, "J. Doe", date(2026, 5, 1), "opinion", announcement=announcement, operator=NonParty.ALL)


@given(captures)
def test_capture_survives_being_written(capture: Capture) -> None:
    """What is written of a capture is read back equal."""
    assert Capture.from_json(capture.to_json()) == capture


@pytest.mark.parametrize("changes", [{"call": "CA../x"}, {"session": "si_1"}])
def test_capture_is_of_a_call_and_a_session(changes: dict[str, Any]) -> None:
    """What is no SID of a call or a session makes no capture, since it becomes part of a path."""
    with pytest.raises(SidError):
        replace(CAPTURE, **changes)


@pytest.mark.parametrize("text", ["{}", "[]", '{"phase": "singing"}'])
def test_what_was_not_written_is_not_read(text: str) -> None:
    """Anything else than a capture is an error."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        Capture.from_json(text)


@given(captures)
def test_what_goes_on_is_looked_after(capture: Capture) -> None:
    """Somebody looks after what is recorded or may be, and after what Twilio was not seen to stop."""
    assert capture.goes_on == (capture.phase in ON or capture.owed)


def test_capture_is_past_after_the_longest_call() -> None:
    """A call that has begun later lasts longer."""
    assert CAPTURE.is_past(NOON + LONGEST_CALL)
    assert not replace(CAPTURE, started_at=NOON + timedelta(minutes=1)).is_past(NOON + LONGEST_CALL)


def test_delays_add_up_to_the_patience() -> None:
    """The first attempts follow each other by seconds, all of them fit into the patience in a bounded number."""
    assert [recording.delay(attempt) for attempt in range(6)] == [1, 1, 2, 2, 5, 5]
    total, attempts = 0, 0
    while total < PATIENCE.total_seconds():
        total += recording.delay(attempts)
        attempts += 1
    assert attempts == 21


@pytest.mark.parametrize(
    ("capture", "attempt", "seconds", "expected"),
    [
        (None, 0, 0, Step.START),
        (CAPTURE, 0, 0, Step.START),
        (replace(CAPTURE, attempt=2), 2, 0, Step.START),
        (replace(CAPTURE, attempt=2), 3, 0, Step.START),
        (replace(CAPTURE, attempt=2), 1, 0, Step.NOTHING),
        (replace(CAPTURE, phase=Phase.STARTING, leased_until=NOON + LEASE), 0, 29, Step.BUSY),
        (replace(CAPTURE, phase=Phase.STARTING, leased_until=NOON + LEASE), 0, 30, Step.LOOK),
        (replace(CAPTURE, phase=Phase.STARTING), 0, 0, Step.LOOK),
        *(
            (replace(CAPTURE, phase=phase), 0, 0, Step.NOTHING)
            for phase in set(Phase) - {Phase.WAITING, Phase.STARTING}
        ),
        (replace(CAPTURE, phase=Phase.GIVEN_UP, reason=recording.TOO_LATE), 1, 0, Step.START),
        (replace(CAPTURE, phase=Phase.GIVEN_UP, reason=recording.TOO_LATE), 0, 0, Step.NOTHING),
        (replace(CAPTURE, phase=Phase.GIVEN_UP, reason="call-over"), 1, 0, Step.NOTHING),
    ],
)
def test_message_is_for_one_step(capture: Capture | None, attempt: int, seconds: int, expected: Step) -> None:
    """Twilio is asked once at a time: what may have begun is looked for, and what is stale or decided is left alone."""
    assert recording.step(capture, attempt, NOON + timedelta(seconds=seconds)) is expected


@pytest.mark.parametrize(
    ("capture", "status", "expected"),
    [
        (None, "initiated", 0),
        (CAPTURE, "ringing", None),
        (replace(CAPTURE, attempt=4), "in-progress", 4),
        (replace(CAPTURE, phase=Phase.STARTING), "in-progress", None),
        (replace(CAPTURE, phase=Phase.RECORDING), "answered", None),
        (replace(CAPTURE, phase=Phase.GIVEN_UP, reason=recording.TOO_LATE, attempt=20), "answered", 21),
        (replace(CAPTURE, phase=Phase.GIVEN_UP, reason=recording.TOO_LATE), "ringing", None),
        (replace(CAPTURE, phase=Phase.GIVEN_UP, reason="call-over"), "answered", None),
    ],
)
def test_callback_sends_what_is_needed(capture: Capture | None, status: str, expected: int | None) -> None:
    """A call's first callback sends a message; a later one only where somebody answers what still waits."""
    assert recording.first_attempt(capture, status) == expected


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (SESSION, None),
        (None, "session-unknown"),
        (replace(SESSION, status=Status.CLOSED), "session-closed"),
        (replace(SESSION, closes_at=NOON), "session-closed"),
    ],
)
def test_nothing_begins_outside_of_a_session(session: Session | None, expected: str | None) -> None:
    """A session that is unknown or over begins no recording, whatever its people consent to."""
    assert recording.refusal(session, NOON) == expected


def test_strangers_are_whom_the_session_does_not_know() -> None:
    """Whoever is in a call and not in its session is a stranger; a side that is not named is none."""
    assert recording.strangers(SESSION, "KP1", "KP2", "") == ()
    assert recording.strangers(SESSION, "KP1", "KP9") == ("KP9",)


class TestPermission:
    """Everybody consents at this moment, to being connected and to being recorded."""

    def test_consent_of_all_permits(self) -> None:
        """A yes names the consents to being recorded and the law that it was decided under."""
        granted = permitted()
        assert granted.granted
        assert granted.consents == ("cr_a", "cr_b")
        assert granted.law == f"{reviewed_table().version} US-TX"
        assert (granted.announcement, granted.missing) == ("none", ())

    @pytest.mark.parametrize("scope", BOTH)
    @pytest.mark.parametrize("state", [State.WITHDRAWN, State.REFUSED, State.REQUESTED, None])
    def test_any_other_state_refuses(self, scope: Scope, state: State | None) -> None:
        """One no, question or unreadable record of one person to one of the two is enough."""
        refused = permitted(standings(states={scope: state}))
        assert not refused.granted
        assert [(one.party, one.scope) for one in refused.missing] == [(BEN, scope)]
        assert refused.reasons == (f"{scope}-{state or 'unknown'}:{BEN[:12]}",)

    def test_revoked_session_refuses(self) -> None:
        """A session that lost what it rests on is not recorded, whatever is read of the consents."""
        lost = replace(SESSION, revocation=Revocation("cr_b", NOON, "manage-withdrawn"))
        assert permitted(session=lost).reasons == ("manage-withdrawn",)

    def test_what_the_session_does_not_permit_is_refused(self) -> None:
        """A recording that was not permitted at the opening, or lost at a renewal, needs a new session."""
        assert permitted(session=replace(SESSION, scopes=())).reasons == ("record_voice-not-in-session",)

    @pytest.mark.parametrize(
        ("reasons", "expected"),
        [
            (["record_voice-withdrawn:abc"], recording.WITHDRAWN),
            (["record_voice-expired:abc", "manage-refused:def"], recording.WITHDRAWN),
            (["record_voice-expired:abc"], "record_voice-expired"),
            (["session-unknown"], "session-unknown"),
        ],
    )
    def test_no_outweighs_other_causes(self, reasons: list[str], expected: str) -> None:
        """A record says one thing about why it ends, without anybody's key."""
        assert recording.cause(reasons) == expected


class TestAnnouncement:
    """Proxy plays nothing, so what the law wants to be heard has to be met by everybody's explicit consent."""

    @pytest.mark.parametrize("place", ["DE", "AU", "US-MA", "US-WA", "US-CT", "US", None])
    def test_explicit_consent_of_all_meets_it(self, place: str | None) -> None:
        """Where an announcement is demanded the explicit consent of all takes its place, an unknown place included."""
        granted = permitted(at=place)
        assert granted.granted
        assert granted.announcement != "none"

    def test_table_demands_nothing_else(self) -> None:
        """Each row that wants something to be heard in the recording takes the consent of all as well."""
        table = reviewed_table()
        assert all(permitted(at=code).granted for code in table.rows if code != "ZZ")

    @pytest.mark.parametrize(("place", "granted"), [("US-TX", True), ("US-WA", False), ("US-MT", False)])
    def test_implied_consent_meets_nothing(self, place: str, granted: bool) -> None:
        """A consent that only counts because the law lets it be implied needs the announcement, and is refused."""
        decided = permitted(standings(Kind.IMPLIED), at=place)
        assert decided.granted is granted
        assert granted or decided.reasons == (recording.ANNOUNCEMENT,)

    def test_one_partys_consent_meets_nothing(self) -> None:
        """Where counsel lets one party's consent be enough, the other one was not told, and that is refused."""
        relax = Relaxation("J. Doe", date(2026, 5, 1), "one party is enough")
        one = standings(states={"record_voice": State.REQUESTED})
        assert permitted(one, relax=relax).granted
        start = (Override("US-TX", "J. Doe", date(2026, 5, 1), "opinion", announcement=Announcement.START),)
        assert permitted(relax=relax, overrides=start).granted
        assert permitted(one, relax=relax, overrides=start).reasons == (recording.ANNOUNCEMENT,)

    @pytest.mark.parametrize("place", ["US-CT", None])
    @pytest.mark.parametrize("wanted", [Announcement.TONE, Announcement.START_RECORDED])
    def test_what_counsel_wants_to_be_heard_is_refused(self, place: str | None, wanted: Announcement) -> None:
        """An override that says what has to be heard is taken at its word, for its place and for an unknown one."""
        code = "US-CT" if wanted is Announcement.TONE else "DE"
        decided = permitted(at=code if place else None, overrides=(counsel(code, wanted),))
        assert decided.reasons == (recording.ANNOUNCEMENT,)

    def test_other_overrides_change_nothing_here(self) -> None:
        """Counsel's reading of something else leaves the ways of the statute."""
        assert permitted(at="US-CT", overrides=(counsel("US-CT", None),)).granted


@pytest.mark.parametrize("phase", Phase)
def test_recording_without_a_record_waits_for_its_start_only(phase: Phase) -> None:
    """Whoever is starting a recording is waited for; any other recording without a record is nobody's to keep."""
    assert recording.is_undecided(replace(CAPTURE, phase=phase)) is (phase is Phase.STARTING)
    assert not recording.is_undecided(None)


def test_record_rests_on_the_capture() -> None:
    """The record of a recording has the call, the session, the people and the consents of its capture."""
    record = recording.record_of(replace(CAPTURE, consents=("cr_a", "cr_b")), RE, NOON)
    assert (record.sid, record.parent, record.session) == (RE, CALL, KC)
    assert (record.kind, record.stage, record.parties) == (ResourceKind.RECORDING, Stage.CAPTURED, (ANA, BEN))
    assert (record.consents, record.made_at) == (("cr_a", "cr_b"), NOON)
    with pytest.raises(SidError):
        recording.record_of(CAPTURE, CALL, NOON)
