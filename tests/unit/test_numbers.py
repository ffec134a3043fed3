"""Identifiers that the operator gives: numbers by their numbering plans, and user ids."""

from __future__ import annotations

import contextlib

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.adapters.numbers import parse_number
from parley.core.identity import USER, IdentifierError, canonical, parse_e164, parse_user


class TestNumbers:
    """Strict E.164, and possible in its country."""

    @pytest.mark.parametrize("number", ["+12125550111", "+447700900112", "+39061234567", "+4930123456", "+80012345678"])
    def test_possible_number_is_taken_as_it_is(self, number: str) -> None:
        """A number that a numbering plan makes possible comes back unchanged, an Italian leading zero included."""
        assert parse_number(number) == number

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("2125550111", "E.164"),
            ("+1 212 555 0111", "E.164"),
            ("001 212 555 0111", "E.164"),
            (None, "E.164"),
            ("+1212555", "not a possible"),
            ("+1212555011155", "not a possible"),
            ("+81000000000", "not a possible"),
            ("+999123456", "no country"),
        ],
    )
    def test_anything_else_is_refused(self, text: object, reason: str) -> None:
        """What is not strict E.164, or not possible, is refused; nothing is repaired and no number repeated."""
        with pytest.raises(IdentifierError, match=reason) as caught:
            parse_number(text)
        assert not any(
            character.isdigit() for character in str(caught.value).replace("E.164", "").replace("7 to 15", "")
        )

    @given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
    def test_is_never_laxer_than_the_form(self, text: str) -> None:
        """What is taken is the very text, in the form that webhooks are held to as well."""
        with contextlib.suppress(IdentifierError):
            assert parse_number(text) == text == parse_e164(text)

    @given(
        st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)).map(str),
        st.sampled_from(["", "0", "1", "8", "15", "00"]),
        st.from_regex("[0-9]{6,12}", fullmatch=True),
    )
    def test_is_as_the_library_reads_it(self, code: str, prefix: str, rest: str) -> None:
        """In every country a number is taken just if the library's own parser reads it as written and as possible."""
        text = f"+{code}{prefix}{rest}"[:16]
        try:
            parsed = phonenumbers.parse(text, None)
            is_fine = phonenumbers.is_possible_number(parsed)
            is_fine = is_fine and phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == text
        except phonenumbers.NumberParseException:
            is_fine = False
        with contextlib.nullcontext() if is_fine else pytest.raises(IdentifierError):
            assert parse_number(text) == text


class TestUsers:
    """Ids of the operator's own."""

    @pytest.mark.parametrize("user", ["user:rider-7", "user:7", "user:a.b_c@d", "user:" + "x" * 128])
    def test_id_is_taken_as_it_is(self, user: str) -> None:
        """An id of letters, digits and a few signs comes back unchanged, and its kind is part of its key."""
        assert parse_user(user) == user
        assert canonical(user) == user.encode()

    @pytest.mark.parametrize(
        "text", ["rider-7", "user:", "user: 7", "user:-7", "user:é", "user:a/b", "user:" + "x" * 129, "USER:7", 7, None]
    )
    def test_anything_else_is_refused(self, text: object) -> None:
        """Another prefix, sign or length is refused, and the message does not repeat it."""
        with pytest.raises(IdentifierError, match="is not a user id: write user:") as caught:
            parse_user(text)
        assert "rider" not in str(caught.value)

    def test_id_of_digits_is_no_number(self) -> None:
        """A user id and a number with the same digits are two people."""
        assert canonical(f"{USER}12125550111") != canonical("+12125550111")
