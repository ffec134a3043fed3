"""Notices: what people are told and asked, in their language, in versions that stay.

Every notice names the operator and its provider Twilio (requirement R4). One that asks for consent also says that
people do not communicate directly (R10), what is kept and for how many days, for which purpose, how to refuse (R12)
and where the privacy policy is (R22). The texts are reviewed data: `data/notices.json`. A version that somebody may
have been shown is never changed or removed, so that a proof keeps the exact text that it names by its SHA-256.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from parley.core.consent import Scope, Standing, State, sha256_hex
from parley.core.identity import calling_code
from parley.core.record_classes import RecordClass

_DATA = Path(__file__).parent.parent / "data" / "notices.json"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

CHANNELS = ("sms", "voice", "announcement", "contract", "receipt")
"""How a notice reaches a person: as a text message, spoken on the person's leg of a call before it is connected,
spoken into a recording at its start, as a box of a contract, or as a receipt of what was agreed."""

KEPT: Mapping[str, tuple[RecordClass, ...]] = {
    "log": (RecordClass.SESSION_MAP, RecordClass.INTERACTION_LOG),
    "message": (RecordClass.MESSAGES, RecordClass.MESSAGE_MEDIA),
    "recording": (RecordClass.CALL_RECORDINGS,),
    "evidence": (RecordClass.CONSENT_EVIDENCE,),
}
"""What notices say the days (`{log_days}`) and purposes (`{log_purpose}`) of, and the record classes behind it."""

COVERED: Mapping[Scope, str] = {
    Scope.MANAGE: "log",
    Scope.STORE_MESSAGES: "message",
    Scope.RECORD_VOICE: "recording",
}
"""What a notice that asks for a scope must state the period and the purpose of: a name of `KEPT`."""


STALE = "stale"
"""The state of a consent to a notice whose purpose was widened since. No record has it: it follows from the notices."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A text as one person got it. `sha256` is the proof of the exact wording (16 CFR 310.5: manner and format)."""

    id: str
    channel: str
    version: int
    language: str
    text: str

    @property
    def sha256(self) -> str:
        """The hash of the text."""
        return sha256_hex(self.text)

    @property
    def reference(self) -> dict[str, str | int]:
        """What a consent record names it by: which text, in which words, and how it was told (ISO/IEC TS 27560)."""
        return {
            "id": self.id,
            "version": self.version,
            "language": self.language,
            "channel": self.channel,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a notice: its templates by channel and language, and the first day on which it was used.

    `widens` says that the purpose is wider than in the version before, so that who agreed to that must be asked again.
    """

    number: int
    effective: date
    widens: bool
    texts: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Template:
    """A notice with all its versions, oldest first. `asks` says that it asks for a consent, to `scopes`."""

    id: str
    asks: bool
    scopes: frozenset[Scope]
    versions: tuple[Version, ...]

    @property
    def current(self) -> Version:
        """The version that people are shown now."""
        return self.versions[-1]

    def version(self, number: int | None = None) -> Version:
        """Return a version by its number, by default the current one. Raises KeyError if there is none such."""
        if number is None:
            return self.current
        for version in self.versions:
            if version.number == number:
                return version
        raise KeyError(f"{self.id} has no version {number}")


APP = "app:"
"""What the id of a text begins with that is the application's own, a screen or a contract, and not in this file."""


@functools.cache
def templates() -> Mapping[str, Template]:
    """Return every notice by its id, sorted."""
    raw: Mapping[str, Any] = _data()["notices"]
    return {notice_id: _template(notice_id, raw[notice_id]) for notice_id in sorted(raw)}


def languages() -> tuple[str, ...]:
    """Return the languages that notices are in, as ISO 639-1 codes, sorted."""
    return tuple(sorted(_data()["speech"]))


def language_for(number: str) -> str:
    """Return the language in which the holder of an E.164 number is addressed: a guess from its country."""
    code = calling_code(number)
    codes_of: Mapping[str, list[str]] = _data()["calling_codes"]
    return next((language for language, codes in codes_of.items() if code in codes), _default_language())


def speech_locale(language: str) -> str:
    """Return the locale in which TwiML's Say speaks a language. Raises KeyError for a language without notices."""
    return str(_data()["speech"][language])


def notice(notice_id: str, channel: str, language: str, *, app: str, contact: str, url: str) -> Notice:
    """Return the current text of a notice that names nobody's records: see `render`, which this is the short form of.

    Raises KeyError for a notice or a channel that there is none of, and for one that needs more values.
    """
    return render(notice_id, channel, language, {"app": app, "contact": contact, "url": url})


def render(
    notice_id: str, channel: str, language: str, values: Mapping[str, str], *, version: int | None = None
) -> Notice:
    """Return the text of a notice for one channel in a language, in English if there is no such wording.

    `values` are those that `values_for` makes, for a receipt with `when` as well. What a value holds is taken as it
    is, braces included. `version` is the current one by default.
    Raises KeyError for a notice, a version or a channel that there is none of, and for a value that is missing.
    """
    chosen = templates()[notice_id].version(version)
    wordings = chosen.texts[channel]
    language = language if language in wordings else _default_language()
    return Notice(notice_id, channel, chosen.number, language, fill(wordings[language], values))


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return a template with its placeholders filled in, in one pass. Raises KeyError for a value that is missing."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


def placeholders(template: str) -> frozenset[str]:
    """Return the names of a template's placeholders."""
    return frozenset(_PLACEHOLDER.findall(template))


def values_for(
    language: str,
    *,
    app: str,
    contact: str,
    url: str,
    keep_days: Mapping[str, int],
    purposes: Mapping[str, Iterable[str]],
) -> dict[str, str]:
    """Return the values of the placeholders in one language.

    `keep_days` and `purposes` are those of the schedule by record class. Where a notice speaks of several classes, the
    longest period and every purpose are named. Classes that are not declared leave their placeholders out. A purpose
    without a wording of ours is named as it is declared.
    Raises KeyError for a language without notices.
    """
    values = {"app": app, "contact": contact, "url": url}
    for name, classes in KEPT.items():
        declared = [each for each in classes if each in keep_days]
        if not declared:
            continue
        words = dict.fromkeys(
            purpose_words(purpose, language) or purpose for each in declared for purpose in purposes.get(each, ())
        )
        values[f"{name}_days"] = str(max(keep_days[each] for each in declared))
        values[f"{name}_purpose"] = _listed(list(words), language)
    return values


def purpose_words(purpose: str, language: str) -> str | None:
    """Return how a purpose of the schedule is named in a language, None if it has no wording."""
    wordings: Mapping[str, Mapping[str, str]] = _data()["purposes"]
    return wordings[purpose][language] if purpose in wordings else None


def purposes_with_words() -> tuple[str, ...]:
    """Return the purposes that have a wording in every language, sorted."""
    return tuple(sorted(_data()["purposes"]))


def not_direct(language: str) -> tuple[str, ...]:
    """Return the phrases of which a text in this language must hold one, to say that nothing goes directly (R10)."""
    return tuple(_data()["not_direct"][language])


def stale(given_version: int, current: Template) -> bool:
    """Tell whether a consent that was given to a version of a notice must be asked for again.

    It must if any version after it widened the purpose (GDPR art. 6(1)(a): consent is for specific purposes), and if
    the version is not in the file: nobody can show then what was agreed to.
    """
    if all(version.number != given_version for version in current.versions):
        return True
    return any(version.widens for version in current.versions if version.number > given_version)


def known(notice_id: str, version: object, language: object = None) -> bool:
    """Tell whether a notice of ours has a version and, if one is named, has it in that language on any channel.

    A consent to a text that was never there proves nothing. Raises KeyError for a notice that is not ours.
    """
    versions = {one.number: one for one in templates()[notice_id].versions}
    if isinstance(version, bool) or not isinstance(version, int) or version not in versions:
        return False
    return language is None or any(language in wordings for wordings in versions[version].texts.values())


@functools.cache
def asking_for(scope: Scope) -> tuple[str, ...]:
    """Return the ids of our notices that ask for a scope, sorted. A consent to a text that asks for another is none."""
    return tuple(template.id for template in templates().values() if template.asks and scope in template.scopes)


def is_stale(standing: Standing) -> bool:
    """Tell whether a consent that is given rests on a version of a notice of ours after which the purpose was widened.

    A text that is not ours has its own versions, and of one that is not known nobody can tell: neither is stale.
    """
    if standing.state is not State.GIVEN or standing.notice is None:
        return False
    notice_id, version = standing.notice
    template = templates().get(notice_id)
    return template is not None and (not isinstance(version, int) or stale(version, template))


def state_at(standing: Standing, now: datetime) -> str | None:
    """Return where a consent stands at a moment, in the light of today's notices: one that is in force may be stale."""
    state = standing.at(now)
    return STALE if state is State.GIVEN and is_stale(standing) else state


def _template(notice_id: str, raw: Mapping[str, Any]) -> Template:
    return Template(
        id=notice_id,
        asks=raw["asks"],
        scopes=frozenset(Scope(scope) for scope in raw["scopes"]),
        versions=tuple(
            Version(one["version"], date.fromisoformat(one["effective"]), one["widens"], one["texts"])
            for one in raw["versions"]
        ),
    )


def _listed(words: list[str], language: str) -> str:
    *before, last = words or [""]
    conjunction: str = _data()["and"][language]
    comma = ", " if conjunction.endswith(" ") else conjunction
    return f"{comma.join(before)}{conjunction}{last}" if before else last


@functools.cache
def _data() -> Mapping[str, Any]:
    data: dict[str, Any] = json.loads(_DATA.read_text(encoding="utf-8"))
    return data


def _default_language() -> str:
    return str(_data()["default_language"])
