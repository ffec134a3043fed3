"""Opt-out words: does a whole message say stop.

Twilio's own filter knows single upper-case words of a few languages. People write "Opt-out!", "ＳＴＯＰ" or "arrêt",
and a request to stop counts in any reasonable form (47 CFR 64.1200(a)(10)), so case, width, accents and punctuation
are ignored. The words are reviewed data: `data/keywords.json`.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_DATA = Path(__file__).parent.parent / "data" / "keywords.json"
_LATIN_ACCENTS = re.compile("[\u0300-\u036f]")
_NOT_A_LETTER = re.compile(r"[\W_]+")


class Word(StrEnum):
    """What a message that is nothing but a keyword asks for."""

    STOP = "stop"
    START = "start"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Keywords:
    """The words of one version of the data, in normal form. `reviewed_on` is a date in ISO 8601."""

    version: str
    reviewed_on: str
    words: dict[str, Word]


def normalise(text: str) -> str:
    """Return the form in which messages and keywords are compared.

    NFKC (full-width letters become plain ones), case folded, accents of Latin letters dropped, and everything
    that is neither letter nor digit removed, spaces too: "Opt out." and "OPT-OUT" are one word.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = _LATIN_ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return _NOT_A_LETTER.sub("", unicodedata.normalize("NFKC", text).casefold())


@functools.cache
def keywords() -> Keywords:
    """Return the reviewed keywords that come with this version."""
    raw = json.loads(_DATA.read_text(encoding="utf-8"))
    words = {
        normalise(word): meaning
        # Stop comes last, so that a word that two lists claim says stop.
        for meaning in reversed(Word)
        for group in raw[meaning].values()
        for word in group
    }
    return Keywords(raw["version"], raw["reviewed_on"], words)


def meaning(message: str) -> Word | None:
    """Return what a message asks for if the whole of it is one keyword, else None."""
    return keywords().words.get(normalise(message))


def is_stop(message: str) -> bool:
    """Tell whether the whole message is a request to stop."""
    return meaning(message) is Word.STOP
