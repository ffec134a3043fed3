"""Identifiers, moments and problems."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core import moments
from parley.core.identity import (
    IdentifierError,
    calling_code,
    canonical,
    holds_number,
    is_party_key,
    label,
    parse_e164,
    redact,
)
from parley.core.problem import invalid, problem

NUMBERS = st.integers(1_000_000, 999_999_999_999_999).map(lambda number: f"+{number}")


class TestIdentity:
    """Numbers, party keys and redaction."""

    @given(NUMBERS)
    def test_number_is_accepted_as_it_is(self, number: str) -> None:
        """A number in E.164 form comes back unchanged and has one canonical form."""
        assert parse_e164(number) == number
        assert canonical(number) == b"e164:" + number.encode()

    @pytest.mark.parametrize(
        "text",
        ["", "12125550111", "+0125550111", "+1 212 555 0111", "+1212555011a", "+123456", "+1234567890123456",
         "+１２１２５５５０１１１", "+12125550111\n", None, 3.5],
    )  # fmt: skip
    def test_anything_else_is_refused(self, text: object) -> None:
        """What is not strictly E.164 is refused rather than repaired, and the message does not repeat it."""
        with pytest.raises(IdentifierError) as caught:
            parse_e164(text)
        assert "2125550111" not in str(caught.value)

    @pytest.mark.parametrize(
        ("number", "code"),
        [("+12125550111", "1"), ("+79161234567", "7"), ("+447700900111", "44"), ("+3531234567", "353")],
    )
    def test_calling_code(self, number: str, code: str) -> None:
        """Calling codes have one, two or three digits."""
        assert calling_code(number) == code

    def test_party_key(self) -> None:
        """A party key is 64 lower-case hex digits, and logs show its beginning."""
        assert is_party_key("0a" * 32)
        assert not is_party_key("0A" * 32)
        assert not is_party_key("+12125550111")
        assert not is_party_key(None)
        assert label("0a" * 32) == "0a0a0a0a0a0a"

    @given(st.text(max_size=10), NUMBERS, st.text(max_size=10))
    def test_number_is_redacted(self, before: str, number: str, after: str) -> None:
        """A number never survives redaction, whatever stands around it."""
        text = before + number + after
        assert holds_number(text)
        assert number not in redact(text)

    @pytest.mark.parametrize("text", ["+1 (212) 555-0111", "%2B12125550111", "+44 7700 900111"])
    def test_written_numbers_are_redacted(self, text: str) -> None:
        """Numbers with spaces, brackets or URL encoding are redacted too."""
        assert redact(f"from {text} on") == "from [number] on"

    @pytest.mark.parametrize("text", ["KC" + "0" * 32, "2026-05-04T10:00:00+00:00", "a+b", "1780000000"])
    def test_other_texts_stay(self, text: str) -> None:
        """SIDs, times and plain digits are no phone numbers."""
        assert redact(text) == text


class TestMoments:
    """Times as texts."""

    @given(st.integers(0, 2**32), st.integers(-1439, 1439))
    def test_moment_survives(self, seconds: int, offset: int) -> None:
        """A moment in any zone is written in UTC and read back equal."""
        moment = datetime.fromtimestamp(seconds, timezone(timedelta(minutes=offset)))
        assert moments.from_text(moments.to_text(moment)) == moment

    @given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2, max_size=2))
    def test_texts_sort_as_moments_do(self, pair: list[datetime]) -> None:
        """Written moments sort as the moments themselves."""
        assert sorted(map(moments.to_text, pair)) == list(map(moments.to_text, sorted(pair)))

    def test_offset_is_understood(self) -> None:
        """An offset, lower-case letters and decimals are part of RFC 3339."""
        expected = datetime(2026, 5, 4, 12, 0, 0, 500_000, timezone(timedelta(hours=2)))
        assert moments.from_text("2026-05-04t12:00:00.5+02:00") == expected

    @pytest.mark.parametrize(
        "text",
        [None, 5, "", "2026-05-04", "2026-05-04T10:00:00", "2026-13-04T10:00:00Z", "0001-01-01T00:00:00+23:59",
         "2026-05-04 10:00:00Z", "2026-W01-1T10:00:00Z"],
    )  # fmt: skip
    def test_other_forms_are_refused(self, text: object) -> None:
        """A time without an offset, a day that does not exist or another form is refused with an example."""
        with pytest.raises(ValueError, match="such as 2026-05-04T10:00:00Z"):
            moments.from_text(text)


def test_problem_has_the_members_of_the_rfc() -> None:
    """A problem has type, title, status and detail, and the members of its type (RFC 9457)."""
    assert problem("x", 409, "Why.", more=1) == {
        "type": "urn:parley:problem:x",
        "title": "Conflict",
        "status": 409,
        "detail": "Why.",
        "more": 1,
    }
    assert invalid([{"path": "a", "reason": "b"}])["errors"] == [{"path": "a", "reason": "b"}]
