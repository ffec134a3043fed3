"""Opt-out words and phrases: what a message asks of the service."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.consent import GIVEN_BACK, Scope
from parley.core.optout import (
    ANSWERED_BY_CARRIER,
    Meaning,
    Word,
    confirmation,
    is_stop,
    keywords,
    meaning,
    normalise,
)

PROXY_DROPS = ["STOP", "UNSUBSCRIBE", "END", "CANCEL", "QUIT", "STOPALL", "ARRETT", "ARRET", "ARRETE"]
TWILIO_BLOCKS = ["STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL"]
FCC = ["stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"]
AWS = ["ARRET", "CANCEL", "END", "OPT-OUT", "OPTOUT", "QUIT", "REMOVE", "STOP", "TD", "UNSUBSCRIBE"]
OTHER_LANGUAGES = [
    *("ALTO", "PARAR", "BAJA", "CANCELAR", "arrêt", "désabonner", "STOPP", "abmelden", "abbestellen"),
    *("停止", "配信停止", "解除", "中止", "ストップ", "拒否", "SAIR", "ANNULLA", "DISISCRIVI", "AFMELDEN", "AVSLUTA"),
    *("수신거부", "거부", "退订"),
]

# Printable ASCII as its full-width twin: U+FF01 to U+FF5E.
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    str.title,
    lambda word: unicodedata.normalize("NFD", word),
    lambda word: word.upper().translate(FULL_WIDTH),
    " ".join,
    "\u200b".join,
    ".".join,
]
AROUND = ["", " ", "\n", "!", ".", "…", " 🙏", "\u200f", "\u2066", "✋\ufe0f", "\u00a0", "«", "。", "*"]


class TestNormalForm:
    """The form in which messages and words are compared."""

    @given(st.text(max_size=30))
    def test_normal_form_is_final(self, text: str) -> None:
        """Normalising twice changes nothing more."""
        assert normalise(normalise(text)) == normalise(text)

    @given(
        st.sampled_from(sorted({**keywords().words, **keywords().answers})),
        st.sampled_from(SPELLINGS),
        st.sampled_from(AROUND),
        st.sampled_from(AROUND),
    )
    def test_spelling_does_not_matter(self, word: str, spelling: Callable[[str], str], before: str, end: str) -> None:
        """A keyword counts in any case, width and form, with anything but letters and digits in and around it."""
        expected = {**keywords().answers, **keywords().words}[word]
        said = meaning(f"{before}{spelling(word)}{end}", asked=True)
        assert said is not None
        assert (said.word, said.said, said.certain) == (expected, word, True)

    @given(st.sampled_from([*keywords().messages, *keywords().sentences]), st.sampled_from(AROUND))
    def test_spelling_of_phrases_does_not_matter(self, phrase: str, end: str) -> None:
        """A phrase counts however it is spaced, and keeps its id."""
        said = meaning(f" {phrase.upper()}{end}")
        assert said is not None
        assert (said.word, said.certain, said.phrase) == (
            Word.STOP,
            False,
            {**keywords().messages, **keywords().sentences}[phrase],
        )


def told(said: Meaning | None) -> tuple[Word, str, bool, str | None, bool]:
    """Return all that is known of what a message asks for."""
    assert said is not None
    return said.word, said.said, said.certain, said.phrase, said.between_people


class TestWords:
    """Messages that are nothing but a word."""

    @pytest.mark.parametrize(
        "message", sorted({*PROXY_DROPS, *TWILIO_BLOCKS, *FCC, *AWS, *OTHER_LANGUAGES, "STOP ALL"})
    )
    def test_stop_words_stop(self, message: str) -> None:
        """The words of Twilio, Proxy, the FCC, AWS and other languages all mean stop, for certain."""
        said = meaning(message)
        assert said is not None
        assert (said.word, said.certain, said.phrase) == (Word.STOP, True, None)
        assert is_stop(message)

    @pytest.mark.parametrize(
        ("message", "word"),
        [("START", Word.START), ("unstop", Word.START), ("alta", Word.START), ("weiter", Word.START),
         ("再開", Word.START), ("help", Word.HELP), ("INFO", Word.HELP), ("ayuda", Word.HELP), ("aide", Word.HELP),
         ("Hilfe!", Word.HELP), ("ヘルプ", Word.HELP), ("도움말", Word.HELP)],
    )  # fmt: skip
    def test_other_keywords(self, message: str, word: Word) -> None:
        """Words that ask to come back or for help are told apart from stop."""
        said = meaning(message)
        assert said is not None
        assert said.word is word
        assert not is_stop(message)

    @pytest.mark.parametrize(
        ("message", "word"),
        [("YES", Word.YES), ("Sí", Word.YES), ("SI", Word.YES), ("ja!", Word.YES), ("はい。", Word.YES),
         ("NO", Word.NO), ("Nein", Word.NO), ("いいえ", Word.NO)],
    )  # fmt: skip
    def test_answers_need_a_question(self, message: str, word: Word) -> None:
        """Yes and no count only while a question is open: between people they are talk."""
        assert meaning(message) is None
        said = meaning(message, asked=True)
        assert said is not None
        assert said.word is word

    @pytest.mark.parametrize("message", ["END", "cancel", "Quit", "no", "yes", "中止", "cancelar"])
    def test_words_between_people_are_marked(self, message: str) -> None:
        """A word that people also say to each other is marked, so that the confirmation tells how to undo it."""
        said = meaning(message, asked=True)
        assert said is not None
        assert said.between_people

    @pytest.mark.parametrize("message", ["STOP", "unsubscribe", "opt out", "STOPALL", "退订"])
    def test_plain_words_are_not_marked(self, message: str) -> None:
        """A word that nobody says to another person is confirmed without doubt."""
        assert told(meaning(message)) == (Word.STOP, normalise(message), True, None, False)

    def test_start_gives_back_notices_only(self) -> None:
        """START gives back the service's own notices, never being connected, recorded or stored."""
        assert {Scope.RECEIVE_INFO} == GIVEN_BACK


class TestPhrases:
    """Requests to stop in ordinary words."""

    @pytest.mark.parametrize(
        ("message", "phrase"),
        [
            ("please stop texting me", "en-stop-messages"),
            ("Hi, please stop texting me. I am not interested.", "en-stop-messages"),
            ("STOP PLEASE", "en-stop-please"),
            ("please stop", "en-stop-please"),
            ("Leave me alone!!!", "en-leave-me-alone"),
            ("unsubscribe me", "en-unsubscribe-me"),
            ("Please do not contact me", "en-do-not-contact"),
            ("don’t text me anymore", "en-do-not-contact"),
            ("Take me off your list, thanks", "en-off-the-list"),
            ("Please opt me out", "en-opt-out"),
            ("No me escriban más", "es-no-escriban"),
            ("por favor, no me escriban mas", "es-no-escriban"),
            ("Quiero darme de baja", "es-baja"),
            ("Bitte keine Nachrichten mehr", "de-keine-nachrichten"),
            ("Schreiben Sie mir bitte nicht mehr!", "de-nicht-schreiben"),
            ("Lassen Sie mich in Ruhe.", "de-in-ruhe"),
            ("やめてください", "ja-yamete"),
            ("送らないでください。", "ja-okuranaide"),
            ("すみません、もう連絡しないでください", "ja-renraku-shinaide"),
            ("Ne m’écrivez plus, merci", "fr-plus-de-messages"),
        ],
    )
    def test_request_in_ordinary_words_stops(self, message: str, phrase: str) -> None:
        """A phrase stops, is not certain, tells how to undo it, and of the message only the phrase's id is kept."""
        assert told(meaning(message)) == (Word.STOP, phrase, False, phrase, True)
        assert is_stop(message)

    @pytest.mark.parametrize(
        "message",
        [
            *("", " ", "🙂", "stopping by", "The bus stop is here", "I can't stop laughing", "Don't stop texting me"),
            *(
                "The end of it",
                "Stop at the next corner please",
                "Please stop. The dog is on the road",
                "not interested",
            ),
            *(
                "Don't contact me when you arrive, just wait",
                "Can you cancel the order?",
                "I quit my job",
                "no problem",
            ),
            *(
                "Don't text me now",
                "She said to him: stop calling me",
                "I need help with the bags",
                "yes, at the start",
            ),
            *("ich stoppe kurz", "Ich stoppe kurz am Eck", "Keine Nachrichten", "Bitte nicht mehr als zehn Euro"),
            *("Die Haltestelle ist hier, bitte stoppen Sie da", "Lassen Sie mich in Ruhe überlegen", "Ende der Straße"),
            *("Schreiben Sie mir nicht mehr heute, sondern morgen", "ja, genau", "nein danke", "kein Interesse"),
            *(
                "La parada está aquí",
                "No me escriban más de dos mensajes",
                "Pare aquí por favor",
                "dé de alta la cuenta",
            ),
            *("Estoy de baja esta semana", "no, gracias", "sí, claro", "Voy a parar un momento", "alto y claro"),
            *("停止線の前にいます", "バス停の前で止めてください", "解除コードを送ってください", "ストップウォッチ"),
            *("はい、わかりました", "いいえ、違います", "写真は送らないで大丈夫です", "電話しないでメールしてください"),
        ],
    )
    def test_ordinary_sentences_do_not(self, message: str) -> None:
        """A sentence that merely holds a stop word or a phrase, or an ordinary answer, asks for nothing."""
        assert meaning(message) is None
        assert not is_stop(message)


class TestData:
    """The reviewed file."""

    def test_data_was_reviewed(self) -> None:
        """The words carry a version and the date of their last review."""
        assert date.fromisoformat(keywords().reviewed_on) >= date(2026, 1, 1)
        assert keywords().version

    def test_nothing_is_claimed_twice(self) -> None:
        """No phrase is a word as well, no answer is a request, and every word has letters."""
        known = keywords()
        kinds = [set(known.words), set(known.answers), set(known.messages), set(known.sentences)]
        assert sum(map(len, kinds)) == len(set[str]().union(*kinds))
        assert all(set[str]().union(*kinds))

    def test_words_between_people_are_words(self) -> None:
        """Every word that is marked is known, so that a slip of the pen shows."""
        assert keywords().between_people <= {*keywords().words, *keywords().answers}


class TestConfirmation:
    """What confirms a no by text."""

    NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

    @pytest.mark.parametrize("word", sorted(ANSWERED_BY_CARRIER))
    @pytest.mark.parametrize("spelling", [str.upper, str.lower, lambda word: f" {word.title()}\n"])
    def test_word_that_twilio_answers_is_left_to_it(self, word: str, spelling: Callable[[str], str]) -> None:
        """Twilio confirms its own words in whatever case, and each of them is a stop word here as well."""
        assert is_stop(spelling(word))
        assert confirmation(spelling(word), self.NOW, self.NOW) is None

    @pytest.mark.parametrize(
        ("words", "notice_id"),
        [
            ("Stop.", "opted-out"),
            ("désabonner", "opted-out"),
            ("cancel!", "opted-out-undo"),
            ("leave me alone", "opted-out-undo"),
        ],
    )
    def test_ours_is_confirmed(self, words: str, notice_id: str) -> None:
        """What Twilio does not answer is confirmed, with the way to undo it where people say it to each other."""
        assert confirmation(words, self.NOW, self.NOW) == notice_id

    @pytest.mark.parametrize(("seconds", "sent"), [(0, True), (300, True), (301, False)])
    def test_only_while_it_is_fresh(self, seconds: int, sent: bool) -> None:
        """A confirmation goes out within five minutes or not at all (47 CFR 64.1200(a)(12))."""
        said_at = self.NOW - timedelta(seconds=seconds)
        assert (confirmation("baja", said_at, self.NOW) is not None) is sent
