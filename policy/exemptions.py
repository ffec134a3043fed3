"""Exemptions: a finding that somebody answers for, with a reason and an end (`policy/exemptions.yaml`).

An exempted finding is not reported but stays listable. An exemption that has expired exempts nothing and is itself
reported, so none is forgotten.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import yaml
from parley.core.retention import Problem

from policy.rules import Finding

LONGEST_DAYS = 400
"""How far away an expiry may be: a yearly review, and some weeks to hold it."""

_TEXTS = ("check", "resource", "reason", "owner")
_KEYS = (*_TEXTS, "expires")


@dataclass(frozen=True, slots=True)
class Exemption:
    """One accepted finding: of which check, on which resources (a pattern of type/name), why, who answers, until when.

    `path` is where it stands in the file; `expires` is the last day on which it holds.
    """

    path: str
    check: str
    resource: str
    reason: str
    owner: str
    expires: dt.date

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is what was accepted."""
        return finding.check == self.check and fnmatchcase(finding.resource, self.resource)

    def __str__(self) -> str:
        """Return the exemption as one line for a person."""
        return f"{self.path}: {self.check} on {self.resource} until {self.expires}, for {self.owner}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Exemptions:
    """What a file of exemptions holds: those that can be judged, and what is wrong with the others."""

    listed: tuple[Exemption, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Findings against exemptions: what is left, what was exempted by which, and which exempted nothing or expired."""

    findings: tuple[Finding, ...]
    exempted: tuple[tuple[Finding, Exemption], ...]
    unused: tuple[Exemption, ...]
    expired: tuple[Exemption, ...]


def parse(text: str, checks: Collection[str], today: dt.date) -> Exemptions:
    """Read exemptions. `checks` are the ids there are. An entry with a problem exempts nothing."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        where = f"exemptions.yaml line {mark.line + 1}" if mark else "exemptions.yaml"
        return Exemptions(problems=(Problem(where, "is not YAML", "mend it"),))
    if not isinstance(raw, list):
        return Exemptions(problems=(Problem("exemptions.yaml", "is not a list", "write [] where there is none"),))
    listed: list[Exemption] = []
    problems: list[Problem] = []
    for index, entry in enumerate(raw):
        path = f"exemptions[{index}]"
        found = list(_problems(path, entry, checks, today))
        problems += found
        if not found:
            listed.append(Exemption(path=path, **{key: entry[key] for key in _KEYS}))
    return Exemptions(tuple(listed), tuple(problems))


def _problems(path: str, entry: object, checks: Collection[str], today: dt.date) -> Iterator[Problem]:
    if not isinstance(entry, Mapping):
        yield Problem(path, "is not a mapping", f"write {{{', '.join(_KEYS)}}}")
        return
    for key in sorted(set(map(str, entry)) - set(_KEYS)):
        yield Problem(f"{path}.{key}", "is not a key", f"known are {', '.join(_KEYS)}")
    for key in _TEXTS:
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            yield Problem(f"{path}.{key}", "is missing or no text", "say it: an exemption is somebody's decision")
    if isinstance(entry.get("check"), str) and entry["check"] not in checks:
        yield Problem(f"{path}.check", f"is {entry['check']!r}, which is no check", "take an id of docs/policy.md")
    expires = entry.get("expires")
    if isinstance(expires, dt.datetime) or not isinstance(expires, dt.date):
        yield Problem(f"{path}.expires", "is missing or no date", "write the last day it holds: YYYY-MM-DD")
    elif (expires - today).days > LONGEST_DAYS:
        yield Problem(f"{path}.expires", f"is {expires}, more than {LONGEST_DAYS} days away", "have it reviewed sooner")


def judge(findings: Iterable[Finding], exemptions: Iterable[Exemption], today: dt.date) -> Judgement:
    """Hold findings against exemptions on a day."""
    listed = tuple(exemptions)
    in_force = [one for one in listed if one.expires >= today]
    left: list[Finding] = []
    exempted: list[tuple[Finding, Exemption]] = []
    for finding in findings:
        by = next((one for one in in_force if one.covers(finding)), None)
        if by is None:
            left.append(finding)
        else:
            exempted.append((finding, by))
    used = {one for _, one in exempted}
    return Judgement(
        findings=tuple(left),
        exempted=tuple(exempted),
        unused=tuple(one for one in in_force if one not in used),
        expired=tuple(one for one in listed if one.expires < today),
    )
