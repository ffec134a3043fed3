"""Reads plain config data piece by piece, and notes every mistake for a person instead of stopping at the first.

A value is shown in a message only where it can be neither a secret nor a phone number.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from parley.core.retention import Problem

PLACEHOLDER = "REPLACE-"

Word = TypeVar("Word", bound=str)

_TOKEN_LIKE = re.compile(r"(?=[A-Za-z+/_-]*\d)[0-9A-Za-z+/_-]{24,}")
_PHONE_LIKE = re.compile(r"\+?\d(?:[ ().-]{0,2}\d){8,}")
_HTTPS_URL = re.compile(r"https://[^\s/]+\.[^\s/]+(/\S*)?")


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A secret text that no message, log or traceback shows."""

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"


class Section:
    """One mapping of the config.

    Each read method takes a key, appends what is wrong with its value to `problems`, and goes on with a harmless value.
    `broken` says that the mapping itself is missing or is none, which was told once already.
    """

    def __init__(self, values: object, path: str, problems: list[Problem], *, separator: str = ".") -> None:
        self.broken = not isinstance(values, Mapping)
        self.values: dict[str, object] = (
            {str(key): value for key, value in values.items()} if isinstance(values, Mapping) else {}
        )
        self.problems = problems
        self._start = path + separator
        self._known: dict[str, None] = {}

    def problem(self, key: str, reason: str, way_out: str) -> None:
        """Note that `key` is wrong."""
        self.problems.append(Problem(self._start + key, reason, way_out))

    def has(self, key: str) -> bool:
        """Say whether the key has a value; null counts as none."""
        return self.take(key) is not None

    def take(self, key: str) -> object:
        """Return the value as it is, for a reader of its own."""
        self._known[key] = None
        return self.values.get(key)

    def finish(self) -> None:
        """Note every key that nobody asked for, with the one that was probably meant."""
        for key in self.values:
            if key not in self._known:
                close = difflib.get_close_matches(key, self._known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(self._known))}"
                self.problem(redacted(key), "is unknown", hint)

    def section(self, key: str, *, required: bool = False) -> Section:
        """Return the mapping below `key`; a missing one is empty."""
        value = self.take(key)
        section = Section({} if value is None else value, self._start + key, self.problems)
        if section.broken:
            self.problem(key, f"is {_kind(value)}, not a mapping", "write its keys indented below it")
        elif value is None and required:
            section.broken = True
            self.problem(key, "is missing", "declare it in the stack's file, as Pulumi.dev.yaml does")
        return section

    def sections(self, key: str) -> list[Section]:
        """Return the mappings in the list below `key`; what is no mapping is left out."""
        found = []
        for index, value in enumerate(self._items(key) or ()):
            section = Section(value, f"{self._start}{key}[{index}]", self.problems)
            if section.broken:
                self.problem(f"{key}[{index}]", f"is {_kind(value)}, not a mapping", "write its keys indented below it")
            else:
                found.append(section)
        return found

    def text(self, key: str, pattern: re.Pattern[str] | None = None, what: str = "a text", example: str = "…") -> str:
        """Read a text that must be there. `what` and `example` say what it is when it is not."""
        value = self.take(key)
        if value is None:
            self._missing(key, f"{what}, for example {example}")
            return ""
        return self._text(key, value, pattern, what, example)

    def optional_text(self, key: str, pattern: re.Pattern[str], what: str, example: str) -> str | None:
        """Read a text that may be missing."""
        return self.text(key, pattern, what, example) if self.has(key) else None

    def texts(self, key: str, pattern: re.Pattern[str], what: str, example: str) -> tuple[str, ...]:
        """Read a list of texts; a missing one is empty."""
        items = self._items(key) or ()
        found = [self._text(f"{key}[{i}]", value, pattern, what, example) for i, value in enumerate(items)]
        self._no_repeats(key, found)
        return tuple(found)

    def url(self, key: str) -> str:
        """Read a public https address that must be there."""
        return self.text(key, _HTTPS_URL, "an https address that parties can open", "https://example.com/privacy")

    def date(self, key: str) -> dt.date:
        """Read a date (RFC 3339 full-date) that must be there."""
        value = self.take(key)
        text = value.isoformat() if isinstance(value, dt.date) else value
        if text is None:
            self._missing(key, "a date, for example 2026-02-28")
        elif plain := self._text(key, text, None, "a date", "2026-02-28"):
            try:
                # YAML takes an unquoted date for a time at midnight, and so the engine hands it over.
                return dt.date.fromisoformat(plain[:10])
            except ValueError:
                self.problem(key, f"is {shown(text)}, not a date", "write, for example, 2026-02-28")
        return dt.date.min

    def secret(self, key: str) -> Secret:
        """Read a secret that must be there; no message shows any of it."""
        value = self.take(key)
        way_out = f"set it with `pulumi config set --secret {self._start}{key}`"
        if value is None:
            self.problem(key, "is missing", way_out)
        elif not isinstance(value, str) or not value.strip() or PLACEHOLDER in value:
            self.problem(key, "holds no secret", way_out)
        else:
            return Secret(value)
        return Secret("")

    def choice(self, key: str, options: Sequence[Word], default: Word | None = None) -> Word:
        """Read one of some words; without a default it must be there."""
        value = self.take(key)
        if value is None and default is not None:
            return default
        if value is None:
            self._missing(key, f"one of {', '.join(options)}")
        elif value in options:
            return options[options.index(value)]
        else:
            self._stray(key, value, options)
        return default or options[0]

    def choices(
        self, key: str, options: Sequence[Word], default: tuple[Word, ...] = (), *, single: bool = False
    ) -> tuple[Word, ...]:
        """Read a list of some words; without a default it must name one. With `single` one word alone will do."""
        if single and isinstance(self.values.get(key), str):
            return (self.choice(key, options),)
        values = self._items(key)
        if not values:
            if not default and (values is not None or self.values.get(key) is None):
                self._missing(key, f"a list of some of {', '.join(options)}")
            return default
        found = [options[options.index(value)] for value in values if value in options]
        for index, value in enumerate(values):
            if value not in found:
                self._stray(f"{key}[{index}]", value, options)
        self._no_repeats(key, found)
        return tuple(found) or default

    def whole(self, key: str, *, least: int, most: int, unit: str, default: int | None = None) -> int:
        """Read a whole number from `least` to `most`; without a default it must be there."""
        value = self.take(key)
        span = f"a whole number of {unit} from {least} to {most}"
        if value is None and default is not None:
            return default
        if value is None:
            self._missing(key, span)
        elif isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        else:
            quoted = isinstance(value, str) and value.isascii() and value.isdigit()
            way_out = "write it without quotes" if quoted else f"set it, for example, to {default or least}"
            self.problem(key, f"is {shown(value)}, not {span}", way_out)
        return least

    def optional_whole(self, key: str, *, least: int, most: int, unit: str) -> int | None:
        """Read a whole number that may be missing."""
        return self.whole(key, least=least, most=most, unit=unit) if self.has(key) else None

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """Read true or false; without a default it must be there."""
        value = self.take(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool):
            return value
        if value is None:
            self._missing(key, "true or false")
        else:
            self.problem(key, f"is {shown(value)}, neither true nor false", "write true or false, without quotes")
        return False

    def _text(self, key: str, value: object, pattern: re.Pattern[str] | None, what: str, example: str) -> str:
        if not isinstance(value, str) or not value.strip():
            self.problem(key, f"is {_kind(value)}, not {what}", f"write, for example, {example}")
        elif PLACEHOLDER in value:
            self.problem(key, f"still holds the placeholder {shown(value)}", f"put {what} there, for example {example}")
        elif pattern and not pattern.fullmatch(value):
            self.problem(key, f"is {shown(value)}, not {what}", f"write, for example, {example}")
        else:
            return value.strip()
        return ""

    def _items(self, key: str) -> Sequence[object] | None:
        value = self.take(key)
        if value is None or isinstance(value, list | tuple):
            return value
        self.problem(key, f"is {_kind(value)}, not a list", "write its items below it, each after a hyphen")
        return None

    def _missing(self, key: str, what: str) -> None:
        if not self.broken:
            self.problem(key, "is missing", f"set {what}")

    def _stray(self, key: str, value: object, options: Sequence[str]) -> None:
        close = difflib.get_close_matches(value, list(options), n=1, cutoff=0.5) if isinstance(value, str) else []
        way_out = f"did you mean {close[0]!r}?" if close else "choose one of them"
        self.problem(key, f"is {shown(value)}, not one of {', '.join(options)}", way_out)

    def _no_repeats(self, key: str, values: Sequence[str]) -> None:
        repeated = sorted({value for value in values if value and values.count(value) > 1})
        if repeated:
            self.problem(key, f"names {', '.join(repeated)} twice", "name each once")


def shown(value: object) -> str:
    """Return a value for a message, or only what kind it is where it could be a secret or a phone number."""
    if not isinstance(value, str | int | float):
        return _kind(value)
    text = str(value)
    if (
        len(text) <= 80
        and text.isprintable()
        and redacted(text.replace(PLACEHOLDER, "")) == text.replace(PLACEHOLDER, "")
    ):
        return repr(value)
    return f"{_kind(value)} of {len(text)} characters"


def redacted(text: str) -> str:
    """Return a text without the parts that could be a secret or a phone number."""
    return _PHONE_LIKE.sub("…", _TOKEN_LIKE.sub("…", text))


def _kind(value: object) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "empty"
    kinds: Iterable[tuple[type | tuple[type, ...], str]] = (
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "a text"),
        ((list, tuple), "a list"),
        (Mapping, "a mapping"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "something else")
