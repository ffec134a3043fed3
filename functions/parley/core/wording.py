"""Wording: are the notices right with a stack's own name, link and periods.

A text that is right in the file can be wrong in a stack: a name with one character outside GSM-7 halves what fits into
an SMS, a long link makes three of two, a purpose of the schedule has no words. `lint` finds it before anything is
deployed, and also what an edit of `data/notices.json` dropped that a notice must say.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from parley.core.disclosure import (
    COVERED,
    KEPT,
    Template,
    fill,
    not_direct,
    placeholders,
    purposes_with_words,
    templates,
    values_for,
)
from parley.core.retention import ROOT, Problem
from parley.core.segments import CAPACITIES, measure

SEGMENTS_LIMIT = 2
"""The most segments that a notice may take: each is billed, and a phone may show them apart."""

IN_UCS2_ANYWAY = frozenset({"ja"})
"""Languages whose own letters are outside GSM-7."""

DATA = "functions/parley/data/notices.json"
NAME, CONTACT, LINK = "parley:controller.name", "parley:controller.contact", "parley:controller.privacyPolicyUrl"

_KEYS = (
    *((NAME, "app"), (LINK, "url"), (CONTACT, "contact")),
    *((ROOT, f"{kept}_purpose") for kept in KEPT),
)
_SHORTER = "shorten the name or the link, or name fewer purposes"
_WRITTEN = frozenset({"contract", "receipt"})
_CARRIED_BY = {"announcement": "voice"}

Level = Literal["error", "warning"]
Place = tuple[str, str, str]
"""Notice, channel, language."""

# No word boundary: kana and kanji count as letters, and stand beside STOP without a space.
_STOP_WORD = re.compile(r"(?<![A-Za-z])(STOP|BAJA)(?![A-Za-z])")
_KEY_NINE = re.compile(r"(?<!\d)9(?!\d)")
_UNREADABLE_IN_NAMES = re.compile(r"[^\w\s.,:;!?'’()–—-]|_|\d{2,}")
_UNREADABLE_IN_CONTACTS = re.compile(r"://|www\.|\d(?:[ ().-]{0,2}\d){4,}")
_SEVERAL_DIGITS = re.compile(r"\d{2,}")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with notices: the key to change, why, the way out, and the notices that it concerns.

    An error must stop a deployment; a warning is told at every one. `excess` is by how many characters the longest
    text is too long, 0 where length does not matter.
    """

    level: Level
    key: str
    reason: str
    way_out: str
    places: tuple[Place, ...] = ()
    excess: int = 0

    @property
    def problem(self) -> Problem:
        """The finding as a problem of the stack's config."""
        where = f": {_listed(self.places)}" if self.places else ""
        by = f" by up to {self.excess} characters" if self.excess else ""
        return Problem(self.key, self.reason + by + where, self.way_out)

    def __str__(self) -> str:
        """Return the finding as one line for a person."""
        return str(self.problem)


def missing_facts(template: Template, channel: str, language: str, text: str) -> tuple[str, ...]:
    """Return what `text`, a wording of a notice with its placeholders, must say and does not.

    Every text names the operator and Twilio (R4). One that asks for a consent also says that nothing goes directly
    (R10), the period and the purpose, how to refuse and where the policy is; the others say where to turn.
    """
    held = placeholders(text)
    spoken = channel == "voice"
    facts = {"the operator ({app})": "app" in held, "the provider (Twilio)": "Twilio" in text}
    if channel != "announcement":
        where = "contact" if spoken else "url"
        facts[f"the policy or where to ask ({{{where}}})"] = where in held
        if template.asks:
            facts[f"not direct ({' or '.join(not_direct(language))})"] = any(
                one in text for one in not_direct(language)
            )
            facts["a way to refuse (9)" if spoken else "a way to refuse (STOP or BAJA)"] = bool(
                (_KEY_NINE if spoken else _STOP_WORD).search(text)
            )
            for name in sorted(f"{COVERED[scope]}_{what}" for scope in template.scopes for what in ("days", "purpose")):
                facts[f"what is kept ({{{name}}})"] = name in held
    return tuple(fact for fact, stated in facts.items() if not stated)


def lint(
    languages: Sequence[str],
    channels: Collection[str],
    *,
    app: str,
    contact: str,
    url: str,
    keep_days: Mapping[str, int],
    purposes: Mapping[str, Iterable[str]],
    notices: Mapping[str, Template] | None = None,
) -> tuple[Finding, ...]:
    """Return everything that is wrong with the current notices in a stack, errors first.

    `channels` are the stack's; `app`, `contact` and `url` the controller's name, contact and policy; `keep_days` and
    `purposes` the schedule's by record class. `notices` are those of the file by default. Notices about records that
    the stack does not declare, or in a channel that it does not have, are never given and not looked at.
    """
    notices = templates() if notices is None else notices
    found = [*_lint_values(app, contact, spoken="voice" in channels), *_lint_purposes(keep_days, purposes)]
    for language in languages:
        values = values_for(language, app=app, contact=contact, url=url, keep_days=keep_days, purposes=purposes)
        values["when"] = "2026-01-01"
        for template in notices.values():
            if not all(f"{COVERED[scope]}_days" in values for scope in template.scopes if template.asks):
                continue
            for channel, wordings in template.current.texts.items():
                if channel in _WRITTEN or _CARRIED_BY.get(channel, channel) in channels:
                    place = (template.id, channel, language)
                    found += _lint_text(template, place, wordings.get(language), values)
    return _merged(found)


def _lint_values(app: str, contact: str, *, spoken: bool) -> Iterable[Finding]:
    for key, value in ((NAME, app), (CONTACT, contact)):
        if not value.isprintable():
            yield Finding("error", key, "holds a line break or another character that is not printed", "remove it")
    if not spoken:
        return
    if hard := _UNREADABLE_IN_NAMES.findall(app):
        marks = ", ".join(map(repr, dict.fromkeys(hard)))
        yield Finding(
            "warning", NAME, f"holds {marks}, which speech reads wrongly on calls", "write it as it is spoken"
        )
    if _UNREADABLE_IN_CONTACTS.search(contact):
        reason = "is a link or a number, which speech reads wrongly on calls"
        yield Finding("warning", CONTACT, reason, "name an e-mail address")


def _lint_purposes(keep_days: Mapping[str, int], purposes: Mapping[str, Iterable[str]]) -> Iterable[Finding]:
    for record_class in (each for classes in KEPT.values() for each in classes if each in keep_days):
        for purpose in purposes.get(record_class, ()):
            if purpose not in purposes_with_words():
                yield Finding(
                    "warning",
                    f"{ROOT}.{record_class}.purposes",
                    f"{purpose} has no words in data/notices.json, so people read it as it stands",
                    f"add them there, or use one of {', '.join(purposes_with_words())}",
                )


def _lint_text(template: Template, place: Place, text: str | None, values: Mapping[str, str]) -> Iterable[Finding]:
    _, channel, language = place
    if text is None:
        yield Finding("error", DATA, "has no wording", "write one", (place,))
        return
    for fact in missing_facts(template, channel, language, text):
        yield Finding("error", DATA, f"does not state {fact}", "say it", (place,))
    if unknown := sorted(placeholders(text) - set(values)):
        reason = f"leaves the placeholder {', '.join(unknown)} open"
        yield Finding("error", DATA, reason, f"use {', '.join(sorted(values))}", (place,))
        return
    shown = fill(text, values)
    if left := sorted(placeholders(shown)):
        key = next((key for key, name in _KEYS if placeholders(values.get(name, ""))), DATA)
        yield Finding("error", key, f"puts the placeholder {', '.join(left)} into texts", "remove it", (place,))
    if channel == "sms":
        yield from _lint_length(place, shown, values)
    if channel == "voice" and _SEVERAL_DIGITS.search(text):
        yield Finding("warning", DATA, "has a number that speech may read wrongly", "write it in words", (place,))


def _lint_length(place: Place, shown: str, values: Mapping[str, str]) -> Iterable[Finding]:
    length = measure(shown)
    if length.offending and place[2] not in IN_UCS2_ANYWAY:
        culprits: dict[str, list[str]] = {}
        for character in length.offending:
            key = next((key for key, name in _KEYS if character in values.get(name, "")), DATA)
            culprits.setdefault(key, []).append(f"{character!r} (U+{ord(character):04X})")
        for key, characters in culprits.items():
            reason = f"has {', '.join(characters)} outside GSM-7, which leaves 70 instead of 160 characters to an SMS"
            yield Finding("warning", key, reason, "write it without", (place,))
    elif length.segments > SEGMENTS_LIMIT:
        excess = length.units - SEGMENTS_LIMIT * CAPACITIES[length.encoding][1]
        key = NAME if len(values["app"]) > len(values["url"]) else LINK
        reason = f"makes texts too long for {SEGMENTS_LIMIT} SMS segments"
        yield Finding("warning", key, reason, _SHORTER, (place,), max(excess, 1))


def _merged(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return one finding for each level, key and reason, with every place and the most that it is too long by."""
    merged: dict[tuple[Level, str, str], Finding] = {}
    for each in found:
        same = (each.level, each.key, each.reason)
        before = merged.get(same, each)
        places = dict.fromkeys((*before.places, *each.places))
        merged[same] = dataclasses.replace(each, places=tuple(places), excess=max(before.excess, each.excess))
    return tuple(merged[same] for same in sorted(merged))


def _listed(places: Iterable[Place]) -> str:
    """Return the places as one text: `manage by sms (de, es), store by sms (ja)`."""
    languages: dict[tuple[str, str], list[str]] = {}
    for notice_id, channel, language in places:
        languages.setdefault((notice_id, channel), []).append(language)
    return ", ".join(
        f"{notice_id} by {channel} ({', '.join(each)})" for (notice_id, channel), each in languages.items()
    )
