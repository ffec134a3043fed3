"""Which masked number somebody gets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.assignment import NumberChoice, PoolNumber, Shortage, assign, candidates, free_numbers, is_taken
from parley.core.lines import GRACE, Line, LineStatus

from tests.unit.test_lines import LINE, NOW

ANA, JAPAN = "+12125550111", "+81000000000"
ALL = frozenset({"voice", "sms", "mms"})
POOL = tuple(PoolNumber(f"PN{place}", number, ALL) for place, number in enumerate(("+12125550140", "+12125550141")))
OTHER = "b" * 64


def chosen(found: PoolNumber | Shortage) -> str:
    """Return the number that was assigned."""
    assert isinstance(found, PoolNumber), found
    return found.number


def on(number: str, **changes: object) -> Line:
    """Return a line of Ana's on a number."""
    return replace(LINE, masked_number=number, **changes)  # type: ignore[arg-type]


def pick(pool: tuple[PoolNumber, ...] = POOL, *, lines: tuple[Line, ...] = (), **more: object) -> PoolNumber | Shortage:
    """Assign a number to Ana, who talks with one other person."""
    wish = {"mode": "voice-and-message", "others": [OTHER], "now": NOW, **more}
    return assign(pool, str(wish.pop("identifier", ANA)), lines=lines, **wish)  # type: ignore[arg-type]


class TestCandidates:
    """What suits somebody."""

    def test_country(self) -> None:
        """A number has the calling code of the person's own."""
        pool = (*POOL, PoolNumber("PN8", "+81000000008", ALL))
        assert chosen(pick(pool, identifier=JAPAN)) == "+81000000008"
        assert {one.number for one in candidates(pool, ANA, "voice-only", "country")} == {one.number for one in POOL}

    @pytest.mark.parametrize(
        ("geo_match", "number"), [("area-code", "+12125550140"), ("extended-area-code", "+12125550140")]
    )
    def test_area(self, geo_match: str, number: str) -> None:
        """In North America the area code may have to match."""
        far = PoolNumber("PN9", "+14155550140", ALL)
        near = PoolNumber("PN0", number, ALL)
        assert chosen(pick((far, near), choice=NumberChoice(geo_match))) == number

    def test_no_number_of_the_area(self) -> None:
        """Without one of the area there is none, but where the match may be wider."""
        far = PoolNumber("PN9", "+14155550140", ALL)
        found = pick((far,), choice=NumberChoice("area-code"))
        assert isinstance(found, Shortage)
        assert (found.calling_code, found.area) == ("1", "212")
        assert "area code 212" in found.words()
        assert chosen(pick((far,), choice=NumberChoice("extended-area-code"))) == far.number

    def test_area_counts_nowhere_else(self) -> None:
        """Outside of North America an area code is none."""
        pool = (PoolNumber("PN8", "+81000000008", ALL),)
        assert chosen(pick(pool, identifier=JAPAN, choice=NumberChoice("area-code"))) == "+81000000008"

    @pytest.mark.parametrize(
        ("capabilities", "mode", "fits"),
        [
            ({"voice"}, "voice-only", True),
            ({"voice"}, "message-only", False),
            ({"sms"}, "message-only", True),
            ({"sms"}, "voice-and-message", False),
            ({"voice", "sms"}, "voice-and-message", True),
        ],
    )
    def test_capabilities(self, capabilities: set[str], mode: str, *, fits: bool) -> None:
        """A number can do what the mode needs."""
        found = pick((PoolNumber("PN1", "+12125550140", frozenset(capabilities)),), mode=mode)
        assert isinstance(found, PoolNumber) is fits

    def test_reserved(self) -> None:
        """A reserved number is assigned to nobody who does not ask for it by name."""
        pool = (replace(POOL[0], reserved=True),)
        assert isinstance(pick(pool), Shortage)
        assert chosen(pick(pool, wanted=POOL[0].number)) == POOL[0].number

    def test_own_number(self) -> None:
        """Nobody is masked by their own number."""
        assert isinstance(pick(POOL[:1], identifier=POOL[0].number), Shortage)


class TestChoice:
    """Which of those that suit."""

    def test_never_one_that_is_taken(self) -> None:
        """A person's open line keeps its number from them, and a pool that is used up says what it lacks."""
        assert chosen(pick(lines=(on(POOL[0].number),))) == POOL[1].number
        found = pick(lines=tuple(on(one.number) for one in POOL))
        assert found == Shortage("1", ("voice", "sms"))
        assert found.words() == "The pool lacks 1 number(s) with the calling code +1 for calls and texts."

    def test_wanted_and_taken(self) -> None:
        """A number that is asked for by name and taken is not assigned, nor is another one."""
        assert isinstance(pick(lines=(on(POOL[0].number),), wanted=POOL[0].number), Shortage)

    @pytest.mark.parametrize(
        ("line", "taken"),
        [
            (on("+1", status=LineStatus.CLOSED), False),
            (on("+1"), True),
            (on("+1", status=LineStatus.RESERVED), True),
            (on("+1", closes_at=NOW - GRACE + timedelta(seconds=1)), True),
            (on("+1", closes_at=NOW - GRACE), False),
        ],
    )
    def test_taken(self, line: Line, *, taken: bool) -> None:
        """A line keeps its number until it is closed, or over for a minute."""
        assert is_taken(line, NOW) is taken

    @pytest.mark.parametrize("place", [0, 1])
    def test_sticky(self, place: int) -> None:
        """The number that somebody had with the same person comes back, or is avoided."""
        before = on(POOL[place].number, status=LineStatus.CLOSED)
        assert chosen(pick(lines=(before,))) == POOL[place].number
        avoided = pick(lines=(before,), choice=NumberChoice("country", "avoid-sticky"))
        assert chosen(avoided) == POOL[1 - place].number

    @pytest.mark.parametrize("place", [0, 1])
    def test_sticky_with_whom(self, place: int) -> None:
        """Of two numbers that somebody had, the one with the same people comes first."""
        with_ben = on(POOL[place].number, status=LineStatus.CLOSED)
        with_cleo = on(
            POOL[1 - place].number, status=LineStatus.CLOSED, peers=(replace(LINE.peers[0], party="c" * 64),)
        )
        assert chosen(pick(lines=(with_cleo, with_ben))) == POOL[place].number
        assert chosen(pick(lines=(with_cleo, with_ben), choice=NumberChoice("country", "avoid-sticky"))) == (
            POOL[1 - place].number
        )

    @pytest.mark.parametrize("place", [0, 1])
    def test_least_used(self, place: int) -> None:
        """Otherwise the number with the fewest sessions is taken."""
        assert chosen(pick(used={POOL[place].number: 3, POOL[1 - place].number: 2})) == POOL[1 - place].number

    def test_spread(self) -> None:
        """People who are alike in everything get all numbers of a pool, each always the same."""
        pool = tuple(PoolNumber(f"PN{place}", f"+1212555{place:04}", ALL) for place in range(100, 120))
        people = [f"+1415555{place:04}" for place in range(100, 199)]
        found = [chosen(pick(pool, identifier=one)) for one in people]
        assert len(set(found)) > 15
        assert found == [chosen(pick(pool, identifier=one)) for one in people]

    @given(st.lists(st.sampled_from([on(one.number) for one in POOL]), max_size=4), st.booleans())
    def test_no_pair_twice(self, lines: list[Line], avoids: bool) -> None:
        """Whatever somebody has open, they get a number that they do not have, or none."""
        choice = NumberChoice("country", "avoid-sticky" if avoids else "prefer-sticky")
        found = pick(lines=tuple(lines), choice=choice)
        taken = {line.masked_number for line in lines}
        assert isinstance(found, Shortage) is (taken == {one.number for one in POOL})
        assert isinstance(found, Shortage) or found.number not in taken

    def test_left_over(self) -> None:
        """How many numbers are left for a person is told before there are none."""
        assert free_numbers(POOL, [], ANA, NOW) == 2
        assert free_numbers(POOL, [on(POOL[0].number)], ANA, NOW) == 1
