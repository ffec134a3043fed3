"""What is recorded in a video room, and what becomes of a recording that nobody wrote down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from parley.core.recording import Permission
from parley.core.records import Record, ResourceKind, Stage
from parley.core.rooms import (
    ALONE,
    LIMITS,
    MOST,
    STRANGER,
    TOO_MANY,
    UNAGREED,
    Fate,
    Room,
    accepted,
    agree,
    ended,
    fate,
    may_compose,
    obstacle,
    record_of,
    rules,
    settled,
    started,
)
from parley.core.sids import SidError

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SID, RT, CJ = "RM" + "4" * 32, "RT" + "6" * 32, "CJ" + "7" * 32
ANA, BEN = "a" * 64, "b" * 64
ONE, TWO, THREE = ("PA" + digit * 32 for digit in "123")
EMPTY = Room(SID, NOW)
YES = Permission((), ("cr_1", "cr_2"), "2026-01 US-CA", "none")
ON = accepted(started(EMPTY, (ONE, TWO), (ANA, BEN), YES))


class TestRoom:
    """What the ledger knows of a room."""

    @pytest.mark.parametrize("room", [EMPTY, ON, ended(ON, "room-over", NOW, over=True)])
    def test_what_is_written_is_read_back(self, room: Room) -> None:
        """A room survives being kept as text."""
        assert Room.from_json(room.to_json()) == room

    @pytest.mark.parametrize("text", ["[]", "{}", '{"sid": "RM", "first_at": "2026-05-04T12:00:00+00:00"}', "no"])
    def test_anything_else_is_no_room(self, text: str) -> None:
        """A text that is no room is an error, not an empty room."""
        with pytest.raises((KeyError, TypeError, ValueError)):
            Room.from_json(text)

    def test_sid_must_be_that_of_a_room(self) -> None:
        """Another SID never becomes a part of a path."""
        with pytest.raises(SidError):
            Room("CA" + "4" * 32, NOW)

    def test_it_goes_on_until_it_is_over_and_owes_nothing(self) -> None:
        """Somebody looks after a room until Twilio was seen to record nothing in one that is over."""
        over = ended(ON, "room-over", NOW, over=True)
        assert (EMPTY.goes_on, ON.goes_on, over.goes_on, settled(over).goes_on) == (True, True, True, False)


class TestObstacle:
    """What no consent makes good."""

    @pytest.mark.parametrize(
        ("parties", "participants", "why"),
        [
            ((ANA, BEN), 2, None),
            ((ANA, BEN), MOST, None),
            ((ANA, BEN), MOST + 1, TOO_MANY),
            ((ANA, None), 2, STRANGER),
            ((ANA, ANA), 2, ALONE),
            ((ANA,), 1, ALONE),
            ((), 0, ALONE),
        ],
    )
    def test_each(self, parties: tuple[str | None, ...], participants: int, why: str | None) -> None:
        """A stranger, too many participants, and one person alone keep everybody off."""
        assert obstacle(parties, participants) == why


class TestSteps:
    """How a room comes to be recorded, and stops."""

    def test_start_names_everybody_who_is_there(self) -> None:
        """Whoever is there is asked to be recorded, and nothing is accepted yet."""
        room = started(EMPTY, (ONE, TWO), (ANA, BEN), YES)
        assert (room.starting, room.seats, room.recorded) == ((ONE, TWO), (), (ONE, TWO))
        assert (room.parties, room.consents, room.law) == ((ANA, BEN), YES.consents, YES.law)

    def test_who_is_recorded_already_is_not_asked_again(self) -> None:
        """Another one is added, and the room is left as it is when nobody is missing."""
        assert started(ON, (ONE, TWO, THREE), (ANA, BEN), YES).starting == (THREE,)
        assert started(ON, (ONE, TWO), (ANA, BEN), YES) == ON

    def test_consent_that_was_renewed_is_written_down(self) -> None:
        """What a recording rests on is known although nobody has to be added."""
        renewed = started(ON, (ONE, TWO), (ANA, BEN), replace(YES, consents=("cr_3",)))
        assert (renewed.consents, renewed.starting) == (("cr_1", "cr_2", "cr_3"), ())

    def test_end_owes_what_was_recorded(self) -> None:
        """Nobody is recorded any more; who was is known until what was recorded of them is written down."""
        over = ended(replace(ON, starting=(THREE,)), "withdrawn", NOW, (ANA, BEN))
        assert (over.recorded, over.seats, over.starting, over.owed) == ((), (ONE, TWO), (), True)
        assert (settled(over).seats, settled(over).owed) == ((), False)

    def test_what_is_over_stays_over(self) -> None:
        """A room that is over is not recorded again."""
        over = ended(ON, "room-over", NOW, over=True)
        assert ended(over, "again", NOW).over
        assert over.recorded == ()


class TestRules:
    """The Recording Rules that Twilio is given."""

    def test_nobody_is_a_rule_of_its_own(self) -> None:
        """Twilio takes no empty set of rules, so nobody is everybody excluded."""
        assert rules(()) == [{"type": "exclude", "all": True}]

    def test_rules_name_each_participant(self) -> None:
        """Whoever is not named is not recorded, so whoever joins later never is."""
        assert rules((ONE, TWO)) == [{"type": "include", "publisher": sid} for sid in (ONE, TWO)]

    @pytest.mark.parametrize(
        ("found", "wanted", "same"),
        [
            ([{"type": "exclude", "all": True, "publisher": None}], (), True),
            ([{"type": "include", "all": True}], (), False),
            ([], (), False),
            ([{"type": "include", "publisher": TWO}, {"type": "include", "publisher": ONE}], (ONE, TWO), True),
            ([{"type": "include", "publisher": ONE}], (ONE, TWO), False),
        ],
    )
    def test_they_are_held_against_twilios(
        self, found: list[dict[str, object]], wanted: tuple[str, ...], same: bool
    ) -> None:
        """Order and empty members make no difference, anybody more or less does."""
        assert agree(found, wanted) is same


class TestFate:
    """What becomes of a recording without a record."""

    OWED = ended(ON, "withdrawn", NOW)

    @pytest.mark.parametrize(
        ("room", "participant", "made_at", "settling", "became"),
        [
            (None, ONE, NOW, False, Fate.DROP),
            (EMPTY, ONE, NOW, False, Fate.DROP),
            (ON, ONE, NOW, False, Fate.KEEP),
            (ON, THREE, NOW, False, Fate.DROP),
            (ON, ONE, None, False, Fate.DROP),
            (replace(EMPTY, starting=(ONE,)), ONE, NOW, False, Fate.UNDECIDED),
            (OWED, ONE, NOW, False, Fate.UNDECIDED),
            (OWED, ONE, NOW - timedelta(seconds=1), True, Fate.KEEP),
            (OWED, ONE, NOW, True, Fate.DROP),
            (OWED, THREE, NOW - timedelta(hours=1), True, Fate.DROP),
            (replace(OWED, ended_at=None), ONE, NOW, True, Fate.KEEP),
            (settled(OWED), ONE, NOW, False, Fate.DROP),
        ],
    )
    def test_each(
        self, room: Room | None, participant: str, made_at: datetime | None, settling: bool, became: Fate
    ) -> None:
        """It is kept of who was accepted, until recording was ended, and dropped of anybody else."""
        assert fate(room, participant, made_at, settling=settling) is became


class TestRecords:
    """The records of what was recorded."""

    def test_record_rests_on_the_rooms_consents(self) -> None:
        """It names everybody who was in the room, and the consents of all of them."""
        record = record_of(ON, ResourceKind.VIDEO_RECORDING, RT, NOW)
        assert (record.session, record.parent, record.parties, record.consents) == (SID, SID, ON.parties, ON.consents)
        assert record_of(ON, ResourceKind.COMPOSITION, CJ, NOW).resource.sid == CJ

    def test_sid_must_be_of_its_kind(self) -> None:
        """A SID of another kind is none."""
        with pytest.raises(SidError):
            record_of(ON, ResourceKind.VIDEO_RECORDING, CJ, NOW)

    def test_composition_needs_recordings_that_were_agreed_to(self) -> None:
        """Without any recording, or with one that nobody agreed to, no composition is kept."""
        kept: Record = record_of(ON, ResourceKind.VIDEO_RECORDING, RT, NOW)
        dropped = replace(kept, stage=Stage.DISCARDED, reason=UNAGREED)
        assert (may_compose([]), may_compose([kept]), may_compose([kept, dropped])) == (False, True, False)


def test_limits_are_sentences() -> None:
    """Each limit that the report shows is a sentence of its own."""
    assert all(each[0].isupper() and each.endswith(".") for each in LIMITS)
