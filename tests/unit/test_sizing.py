"""How many numbers a pool needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from parley.core.lines import GRACE
from parley.core.sessions import Participant, Session, Status
from parley.core.sizing import PEOPLE_PER_NUMBER, Use, uses

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
HOUR = timedelta(hours=1)


def session(*people: str, begins: timedelta, hours: int = 1, code: str = "1") -> Session:
    """Return a session that began so long before noon, for so many hours."""
    participants = tuple(Participant("KP1", each, "", code) for each in people)
    opened = NOON - begins
    return Session("KC1", "KS1", participants, "voice-only", opened, opened + hours * HOUR)


def found(*sessions: Session) -> dict[str, Use]:
    """Return what was used in the month before noon."""
    uses_, untold = uses(sessions, NOON - MONTH, NOON)
    assert untold == 0
    return {use.calling_code: use for use in uses_}


def test_one_person_in_two_sessions_needs_two_numbers() -> None:
    """A pool needs as many numbers as one person has sessions at once, whoever the others are."""
    use = found(
        session("driver", "ana", begins=3 * HOUR, hours=2),
        session("driver", "ben", begins=2 * HOUR, hours=2),
        session("eve", "dan", begins=2 * HOUR, hours=2),
    )["1"]
    assert (use.sessions, use.at_once, use.at, use.people, use.numbers) == (3, 2, NOON - 2 * HOUR, 5, 2)
    assert use.advised == 3


def test_sessions_one_after_the_other_need_one_number() -> None:
    """A number that became free, with the grace of a line, serves the same person again."""
    apart = HOUR + GRACE
    assert found(session("d", "a", begins=3 * HOUR), session("d", "b", begins=3 * HOUR - apart))["1"].at_once == 1
    assert found(session("d", "a", begins=3 * HOUR), session("d", "b", begins=2 * HOUR))["1"].at_once == 2


def test_closed_session_frees_its_number() -> None:
    """The end that a session had counts, not the one that it was to have."""
    early = session("d", "a", begins=5 * HOUR, hours=5)
    closed = replace(early, status=Status.CLOSED, closed_at=early.opened_at + HOUR)
    assert found(closed, session("d", "b", begins=3 * HOUR))["1"].at_once == 1


def test_each_calling_code_counts_for_itself() -> None:
    """Two countries need numbers of their own: a masked number is of the country of who dials it."""
    abroad = replace(
        session("ana", "ben", begins=HOUR),
        participants=(Participant("KP1", "ana", "", "1"), Participant("KP2", "ben", "", "44")),
    )
    assert {code: use.people for code, use in found(abroad).items()} == {"1": 1, "44": 1}


def test_masked_number_tells_the_code_where_sessions_are_our_own() -> None:
    """A session of an earlier version on `direct` tells its codes by its masked numbers; on Proxy it does not."""
    masked = tuple(Participant("KP1", each, "+447700900140") for each in ("ana", "ben"))
    old = replace(session("ana", "ben", begins=HOUR), participants=masked)
    assert found(old)["44"].people == 2
    bare = replace(old, participants=(Participant("KP1", "ana"), Participant("KP2", "ben")))
    assert uses([bare], NOON - MONTH, NOON) == ([], 1)


def test_sessions_outside_of_the_window_do_not_count() -> None:
    """What was over before it, or begins after it, is left out; what reaches into it counts from its beginning."""
    before = session("d", "a", begins=MONTH + 3 * HOUR)
    after = session("d", "a", begins=-HOUR)
    into = session("d", "a", begins=MONTH + HOUR, hours=2)
    use = found(before, after, into)["1"]
    assert (use.sessions, use.at_once, use.at) == (1, 1, NOON - MONTH)


def test_many_people_need_more_numbers_than_one_person_does() -> None:
    """Twilio recommends at most a hundred people at once on a number, and the larger need counts."""
    many = [session(f"a{each}", f"b{each}", begins=HOUR) for each in range(PEOPLE_PER_NUMBER)]
    use = found(*many)["1"]
    assert (use.at_once, use.people, use.numbers) == (1, 200, 2)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(4, 6), st.integers(0, 40), st.integers(1, 9)), max_size=12))
def test_what_is_told_is_the_most_at_any_moment(drawn: list[tuple[int, int, int, int]]) -> None:
    """The peaks are those that asking every beginning finds."""
    sessions = [
        session(f"p{one}", f"p{other}", begins=hours * HOUR, hours=length) for one, other, hours, length in drawn
    ]
    use = found(*sessions).get("1")
    moments = [each.opened_at for each in sessions if each.opened_at < NOON]

    def at(moment: datetime) -> list[str]:
        there = [each for each in sessions if each.opened_at <= moment < each.closes_at + GRACE]
        return [party for each in there for party in each.parties]

    most = max((max(at(moment).count(party) for party in at(moment)) for moment in moments), default=0)
    people = max((len(set(at(moment))) for moment in moments), default=0)
    assert ((use.at_once, use.people) if use else (0, 0)) == (most, people)
