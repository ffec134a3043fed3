"""Opt-out words: what a message asks of the service rather than of the other person.

Twilio's own filter knows single upper-case words of a few languages. People write "Opt-out!", "ＳＴＯＰ", "arrêt" or
"please stop texting me", and a request to stop counts in any reasonable form (47 CFR 64.1200(a)(10)). So the whole
message is compared with words whose case, width, accents and punctuation do not count, and then with phrases. A phrase
may be meant for the other person; it stops all the same, and is marked for review. The words are reviewed data:
`data/keywords.json`. The intercept reads each text with this, so nothing is imported here that costs a cold start.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

_DATA = f"{__file__.rpartition('/core/')[0]}/data/keywords.json"
_LATIN_ACCENTS = dict.fromkeys(range(0x0300, 0x0370))
_NOT_A_LETTER = re.compile(r"[\W_]+")
_APOSTROPHES = dict.fromkeys(map(ord, "'’‘ʼ`´"))
_SENTENCE_END = re.compile("[.!?…。！？｡\n\r]+")

ANSWERED_BY_CARRIER = frozenset({"STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL"})
"""What Twilio itself confirms and then bars: these words alone, in whatever case
(twilio.com/docs/messaging/tutorials/advanced-opt-out)."""

HELPED_BY_CARRIER = frozenset({"HELP", "INFO"})
"""What Twilio itself answers with its help text."""

CONFIRM_WITHIN = timedelta(minutes=5)
"""How long after a no its one confirmation may be sent without a new consent (47 CFR 64.1200(a)(12))."""


class Word(StrEnum):
    """What a message asks for. YES and NO are answers: without a question they are talk between people."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    YES = "yes"
    NO = "no"


_REQUESTS = (Word.HELP, Word.START, Word.STOP)
_ANSWERS = (Word.YES, Word.NO)


class Meaning:
    """What a message asks for.

    `said` is what may be kept of it: the word in normal form, or the id of a phrase. A phrase is not `certain`, so that
    somebody reviews it. `between_people` says that people also say it to each other ("cancel"): the confirmation then
    tells how to undo it.
    """

    __slots__ = ("between_people", "phrase", "said", "word")

    def __init__(self, word: Word, said: str, *, phrase: str | None = None, between_people: bool = False) -> None:
        self.word, self.said, self.phrase, self.between_people = word, said, phrase, between_people

    @property
    def certain(self) -> bool:
        """Whether it is a word, and no phrase."""
        return self.phrase is None


class Keywords:
    """The words of one version of the data, in normal form. `reviewed_on` is a date in ISO 8601.

    `answers` count only while a question is open. `messages` are phrases that must be the whole message, `sentences`
    those that must be a whole sentence of it, each with its id. `fillers` are polite words that phrases may hold.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.version: str = raw["version"]
        self.reviewed_on: str = raw["reviewed_on"]
        # Stop comes last, so that a word that two lists claim says stop.
        self.words = _by_word(raw, _REQUESTS)
        self.answers = _by_word(raw, _ANSWERS)
        self.between_people = frozenset(map(normalise, raw["between_people"]))
        self.messages = _by_phrase(raw["phrases"]["whole"])
        self.sentences = _by_phrase(raw["phrases"]["sentence"])
        # A longer filler comes first: "thank you" before "thank".
        fillers = sorted((_spaced(filler) for filler in raw["fillers"]), key=len, reverse=True)
        self.fillers = re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, fillers))})(?!\S)")


def normalise(text: str) -> str:
    """Return the form in which messages and keywords are compared.

    NFKC (full-width letters become plain ones), case folded, accents of Latin letters dropped, and everything
    that is neither letter nor digit removed, spaces, marks of writing direction and emoji too: "Opt out." and
    "OPT-OUT" are one word.
    """
    return _NOT_A_LETTER.sub("", _folded(text))


@functools.cache
def keywords() -> Keywords:
    """Return the reviewed keywords that come with this version."""
    with open(_DATA, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import, and the gate waits for this
        return Keywords(json.load(file))


def meaning(message: str, *, asked: bool = False) -> Meaning | None:
    """Return what a message asks for, None if it is talk.

    The whole of it must be one keyword, or a phrase; `asked` says that a question to this person is open, so that yes
    and no count, too.
    """
    known, said = keywords(), normalise(message)
    word = known.words.get(said) or (known.answers.get(said) if asked else None)
    if word is not None:
        return Meaning(word, said, between_people=said in known.between_people)
    phrase = known.messages.get(said) or known.messages.get(_without_fillers(message))
    if phrase is None:
        sentences = map(_without_fillers, _SENTENCE_END.split(message))
        phrase = next((known.sentences[each] for each in sentences if each in known.sentences), None)
    return Meaning(Word.STOP, phrase, phrase=phrase, between_people=True) if phrase else None


def confirmation(message: str, said_at: datetime, now: datetime) -> str | None:
    """Return the id of the notice that confirms a no by text, None if nothing may or need be sent.

    Twilio answers its own words itself, and a confirmation that comes later than five minutes is a new message.
    """
    if message.strip().upper() in ANSWERED_BY_CARRIER or now - said_at > CONFIRM_WITHIN:
        return None
    said = meaning(message)
    return "opted-out-undo" if said is not None and said.between_people else "opted-out"


def is_stop(message: str) -> bool:
    """Tell whether a message is a request to stop, in a word or in a phrase."""
    said = meaning(message)
    return said is not None and said.word is Word.STOP


def _folded(text: str) -> str:
    if text.isascii():
        return text.casefold()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = unicodedata.normalize("NFD", text).translate(_LATIN_ACCENTS)
    return unicodedata.normalize("NFKC", text).casefold()


def _spaced(text: str) -> str:
    """Return a text in normal form with its words apart."""
    return _NOT_A_LETTER.sub(" ", _folded(text).translate(_APOSTROPHES)).strip()


def _without_fillers(text: str) -> str:
    return normalise(keywords().fillers.sub(" ", _spaced(text)))


def _by_word(raw: Mapping[str, Mapping[str, Iterable[str]]], words: Iterable[Word]) -> dict[str, Word]:
    return {normalise(each): word for word in words for group in raw[word].values() for each in group}


def _by_phrase(raw: Mapping[str, Mapping[str, Iterable[str]]]) -> dict[str, str]:
    return {
        normalise(each): f"{language}-{phrase}"
        for language, phrases in raw.items()
        for phrase, group in phrases.items()
        for each in group
    }
