"""Opt-out words, notices, identifiers, moments and problems."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core import moments
from parley.core.disclosure import Length, language_for, measure, notice, speech_locale
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
from parley.core.optout import Word, is_stop, keywords, meaning, normalise
from parley.core.problem import invalid, problem

NUMBERS = st.integers(1_000_000, 999_999_999_999_999).map(lambda number: f"+{number}")
PROXY_DROPS = ["STOP", "UNSUBSCRIBE", "END", "CANCEL", "QUIT", "STOPALL", "ARRETT", "ARRET", "ARRETE"]
VALUES = {"app": "AcmeRides", "contact": "privacy@acme.example", "url": "acme.ex/p"}


class TestOptOut:
    """A whole message that says stop, however it is written."""

    @given(st.text(max_size=12))
    def test_normal_form_is_final(self, text: str) -> None:
        """Normalising twice changes nothing more."""
        assert normalise(normalise(text)) == normalise(text)

    @given(
        st.sampled_from(sorted(keywords().words)),
        st.sampled_from(["", " ", "\n", "!", ".", "…", " 🙏"]),
        st.sampled_from([str, str.upper, str.title, lambda word: unicodedata.normalize("NFD", word)]),
    )
    def test_case_width_and_punctuation_do_not_matter(self, word: str, end: str, spelling: object) -> None:
        """A keyword counts in any case, in decomposed form and with any punctuation around it."""
        assert callable(spelling)
        assert meaning(f" {spelling(word)}{end}") is keywords().words[word]

    @pytest.mark.parametrize(
        "message",
        [*PROXY_DROPS, "REVOKE", "OPTOUT", "Opt-out", "ＳＴＯＰ", "arrêt", "Stop all!", "BAJA", "停止", "退订"],
    )
    def test_stop_words_stop(self, message: str) -> None:
        """The words of Twilio, Proxy, the FCC and other languages all mean stop."""
        assert is_stop(message)

    @pytest.mark.parametrize(
        "message", ["", "please stop", "stopping by", "I can't stop", "no", "YES", "The end of it"]
    )
    def test_sentences_do_not(self, message: str) -> None:
        """A sentence that merely holds a stop word, or an ordinary answer, is no opt-out."""
        assert not is_stop(message)

    @pytest.mark.parametrize(("message", "word"), [("START", Word.START), ("unstop", Word.START), ("help", Word.HELP)])
    def test_other_keywords(self, message: str, word: Word) -> None:
        """Words that ask to come back or for help are told apart from stop."""
        assert meaning(message) is word

    def test_data_was_reviewed(self) -> None:
        """The words carry a version and the date of their last review."""
        assert date.fromisoformat(keywords().reviewed_on) >= date(2026, 1, 1)
        assert keywords().version


class TestNotices:
    """What people are told."""

    @pytest.mark.parametrize("notice_id", ["not-connected", "opted-out"])
    @pytest.mark.parametrize("channel", ["sms", "voice"])
    @pytest.mark.parametrize("language", ["de", "en", "es", "ja"])
    def test_says_who_manages_the_line(self, notice_id: str, channel: str, language: str) -> None:
        """Every notice names the operator and Twilio in its own language, and leaves no placeholder open (R10)."""
        given_ = notice(notice_id, channel, language, **VALUES)
        assert "AcmeRides" in given_.text
        assert "Twilio" in given_.text
        assert "{" not in given_.text
        assert given_.language == language
        assert VALUES["contact" if channel == "voice" else "url"] in given_.text
        assert len(given_.sha256) == 64
        assert speech_locale(language).startswith(language)

    @pytest.mark.parametrize(
        ("language", "words"),
        [("de", "nicht direkt"), ("en", "not directly"), ("es", "no van directos"), ("ja", "直接でなく")],
    )
    def test_says_that_it_is_not_direct(self, language: str, words: str) -> None:
        """The text to a stranger says that nothing goes directly, and how to refuse."""
        text = notice("not-connected", "sms", language, **VALUES).text
        assert words in text
        assert "STOP" in text or "BAJA" in text

    @pytest.mark.parametrize("notice_id", ["not-connected", "opted-out"])
    @pytest.mark.parametrize("language", ["de", "en", "es", "ja"])
    def test_fits_one_segment(self, notice_id: str, language: str) -> None:
        """With a name and a link of usual length a text fits one segment, and only Japanese needs UCS-2."""
        length = measure(notice(notice_id, "sms", language, **VALUES).text)
        assert length.segments == 1
        assert length.encoding == ("UCS-2" if language == "ja" else "GSM-7")

    def test_unknown_language_gets_english(self) -> None:
        """A language without wordings gets the English one, and the notice says so."""
        assert notice("opted-out", "sms", "fi", **VALUES).language == "en"

    @pytest.mark.parametrize(
        ("number", "language"),
        [("+12125550111", "en"), ("+447700900111", "en"), ("+81000000000", "ja"), ("+34000000000", "es"),
         ("+593000000000", "es"), ("+490000000000", "de"), ("+4230000000", "de")],
    )  # fmt: skip
    def test_language_of_a_number(self, number: str, language: str) -> None:
        """People are addressed in the language of their number's country, else in English."""
        assert language_for(number) == language

    @pytest.mark.parametrize(
        ("text", "length"),
        [
            ("", Length("GSM-7", 0, 1)),
            ("a" * 160, Length("GSM-7", 160, 1)),
            ("a" * 161, Length("GSM-7", 161, 2)),
            ("a" * 307, Length("GSM-7", 307, 3)),
            ("€" * 80, Length("GSM-7", 160, 1)),
            ("a" + "€" * 80, Length("GSM-7", 161, 2)),
            ("ó", Length("UCS-2", 1, 1)),
            ("あ" * 71, Length("UCS-2", 71, 2)),
            ("😀" * 35, Length("UCS-2", 70, 1)),
            # 33 pairs fill 66 of 67 units; a pair is never split, so 67 of them take three segments.
            ("😀" * 67, Length("UCS-2", 134, 3)),
        ],
    )
    def test_length(self, text: str, length: Length) -> None:
        """A text is measured in its own encoding, and no character is split over two segments."""
        assert measure(text) == length


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
