"""The length of a text as an SMS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.segments import _BASIC, _EXTENSION, CAPACITIES, Length, measure

GSM = "".join(sorted(_BASIC | _EXTENSION))
TEXTS = st.one_of(
    st.text(alphabet=GSM, max_size=700),
    st.text(alphabet=GSM + "óí’–あ漢😀\u0301", max_size=300),
    st.text(max_size=200),
    st.builds(lambda unit, times: unit * times, st.sampled_from(["a", "€", "あ", "😀", "a😀"]), st.integers(0, 400)),
)


class TestAlphabet:
    """GSM 03.38 as 3GPP TS 23.038 has it."""

    def test_every_place_of_the_tables_is_filled(self) -> None:
        """The default alphabet has 127 characters beside the escape, the extension ten."""
        assert (len(_BASIC), len(_EXTENSION), _BASIC & _EXTENSION) == (127, 10, frozenset())

    @pytest.mark.parametrize("character", "@£ñÑüöäßéèùìòàÇØøÅåÆæ¿¡§ΔΩ")
    def test_letter_takes_one_septet(self, character: str) -> None:
        """A letter of the default alphabet takes one septet."""
        assert measure(character) == Length("GSM-7", 1, 1)

    @pytest.mark.parametrize("character", "\f^{}\\[~]|€")
    def test_extension_takes_two(self, character: str) -> None:
        """A character of the extension takes two septets."""
        assert measure(character) == Length("GSM-7", 2, 1)

    @pytest.mark.parametrize("character", "áíóúÁÍÓÚçâê’‘“”„–—…`\t\u00a0\u200bあ")
    def test_traps_are_outside(self, character: str) -> None:
        """Spanish accents, typographic quotes, long dashes and spaces of other kinds turn a text into UCS-2."""
        assert measure(f"a{character}") == Length("UCS-2", 2, 1, (character,))


class TestLength:
    """Units and segments."""

    @pytest.mark.parametrize(
        ("text", "encoding", "units", "segments"),
        [
            ("", "GSM-7", 0, 1),
            ("a" * 160, "GSM-7", 160, 1),
            ("a" * 161, "GSM-7", 161, 2),
            ("a" * 306, "GSM-7", 306, 2),
            ("a" * 307, "GSM-7", 307, 3),
            ("€" * 80, "GSM-7", 160, 1),
            ("a" + "€" * 80, "GSM-7", 161, 2),
            # 76 pairs fill 152 of 153 septets; an escape is never parted from its character.
            ("€" * 153, "GSM-7", 306, 3),
            ("あ" * 70, "UCS-2", 70, 1),
            ("あ" * 71, "UCS-2", 71, 2),
            ("あ" * 134, "UCS-2", 134, 2),
            ("あ" * 135, "UCS-2", 135, 3),
            ("😀" * 35, "UCS-2", 70, 1),
            # 33 pairs fill 66 of 67 units; a pair is never split.
            ("😀" * 67, "UCS-2", 134, 3),
        ],
    )
    def test_segments(self, text: str, encoding: str, units: int, segments: int) -> None:
        """A text is measured in its own encoding, and no character is split over two segments."""
        length = measure(text)
        assert (length.encoding, length.units, length.segments) == (encoding, units, segments)

    def test_offending_characters_are_named_once(self) -> None:
        """The characters that make a text UCS-2 are named in the order in which they first appear."""
        assert measure("Línea – línea’s").offending == ("í", "–", "’")

    @given(TEXTS)
    def test_length_is_what_it_says(self, text: str) -> None:
        """A text is GSM-7 exactly if nothing offends, and its units fit its segments but not one segment fewer."""
        length = measure(text)
        only, each = CAPACITIES[length.encoding]
        assert (length.encoding == "GSM-7") == (not length.offending)
        assert set(length.offending) == {one for one in text if one not in GSM}
        if length.segments == 1:
            assert length.units <= only
        else:
            # Each segment may have one unit free, before a character that takes two.
            assert max(only, (length.segments - 1) * (each - 1)) < length.units <= length.segments * each

    @given(TEXTS)
    def test_units_are_those_of_the_encoding(self, text: str) -> None:
        """UCS-2 counts what UTF-16 has, GSM-7 a septet a character and one more for each of the extension."""
        length = measure(text)
        if length.encoding == "UCS-2":
            assert length.units == len(text.encode("utf-16-le", "surrogatepass")) // 2
        else:
            assert length.units == len(text) + sum(one in _EXTENSION for one in text)

    @given(TEXTS, TEXTS)
    def test_longer_text_never_takes_fewer_segments(self, one: str, other: str) -> None:
        """Two texts put together take at least as many segments and units as either."""
        both = measure(one + other)
        for part in (measure(one), measure(other)):
            assert both.segments >= part.segments
            assert both.encoding == "UCS-2" or both.units >= part.units
