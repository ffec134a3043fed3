"""The reviewer's report: what a stack declares about every record class, and whether it is live.

Its one source is the declaration (`infra.declaration`), made by the program from the same objects that it deploys. The
live side are the checks of a verification (`parley.core.verification`), or none: then nothing is claimed as live.
`build` is pure: the same declaration, checks, time, requirements and exemptions give the same report, and each of its
three forms (`cli.report_forms`) the same bytes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from parley.core.holds import Hold, Subject
from parley.core.identity import label
from parley.core.verification import Check, Verdict, worst

from cli import report_words as words
from cli.requirements import Requirement
from policy import exemptions as policy

FORM = 1
"""The version of the declaration's form that this reads, equal to `infra.declaration.VERSION` (which needs pulumi)."""

NOT_ASKED = "not asked"
UNKNOWN = "unknown"


class Source(StrEnum):
    """Where a declaration was read from."""

    DEPLOYED = "deployed"
    EXPORT = "export"
    PREVIEW = "preview"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when the declaration was read, and of which commit of the kit it is.

    `time` is aware. `gaps` are config keys that still hold a placeholder.
    """

    source: Source
    time: dt.datetime
    commit: str = UNKNOWN
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days, and the same in words where that helps ("about 3 months")."""

    days: int
    words: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A least or greatest period, and the rule that it comes from."""

    period: Period
    rule: str


@dataclass(frozen=True, slots=True)
class Term:
    """One summand: what takes the time, days at most, who says so. `assumed`: no service promises it."""

    what: str
    days: int
    source: str
    assumed: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a record as a sum of days. `content` False: what is left is a name or metadata."""

    copy: str
    days: int
    content: bool
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """One place where a class lives. `verdict` is that of the checks there, or "not asked"."""

    system: str
    name: str
    where: str
    days: int
    key: str | None
    readers: tuple[str, ...]
    other_readers: str
    processor: str
    enforced_by: str
    verdict: str


@dataclass(frozen=True, slots=True)
class RecordClass:
    """What is declared about one record class.

    `content` is the period until the record itself is gone for certain, `bound` that of its last name or metadata.
    `release` is how long overdue copies stay once a legal hold is lifted. `paragraph` is the text for a privacy policy.
    """

    record_class: str
    title: str
    what: str
    purposes: tuple[str, ...]
    basis: str
    why: str
    sensitivity: str
    capture: str
    keep: Period
    floors: tuple[Limit, ...]
    ceilings: tuple[Limit, ...]
    content: Period
    release: Period
    bound: Period
    twilio_copy: Period | None
    lock: str
    hold: bool
    places: tuple[Place, ...]
    copies: tuple[Copy, ...]
    paragraph: str


@dataclass(frozen=True, slots=True)
class PromisedNot:
    """What the stack cannot promise; `about` names channels, or is `all`."""

    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Exemption:
    """A finding of the policy pack that somebody answers for; `expired` at the report's time."""

    check: str
    resource: str
    reason: str
    owner: str
    expires: str
    expired: bool


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A legal hold that stands; a person is named by the beginning of their key. `late`: its review has passed."""

    id: str
    subject: str
    reason: str
    owner: str
    placed: str
    review: str
    late: bool
    stage: str
    objects: int
    rows: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that is not true: declared, live, and the way out."""

    system: str
    name: str
    property: str
    record_class: str | None
    declared: str
    live: str
    verdict: str
    fix: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much was looked up in the running services, and how much of it is as declared."""

    properties: int
    true_properties: int
    places: int
    true_places: int


@dataclass(frozen=True, slots=True)
class Controller:
    """Who is responsible, and the privacy policy that says so."""

    name: str
    contact: str
    url: str
    version: str


@dataclass(frozen=True, slots=True)
class LegalReview:
    """Who reviewed the use with counsel, and when (ISO date)."""

    reviewer: str
    date: str


@dataclass(frozen=True, slots=True)
class AbsentCopy:
    """A copy that the bound does not count, and how it is known that there is none."""

    copy: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the three forms say; `live` and `holds` are None where nothing was looked up."""

    project: str
    stack: str
    environment: str
    masking: str
    channels: tuple[str, ...]
    sectors: tuple[str, ...]
    controller: Controller
    legal_review: LegalReview | None
    commit: str
    time: str
    source: Source
    gaps: tuple[str, ...]
    live: Coverage | None
    verdict: str
    introduction: str
    classes: tuple[RecordClass, ...]
    absent_copies: tuple[AbsentCopy, ...]
    promises_not: tuple[PromisedNot, ...]
    requirements: tuple[Requirement, ...]
    exemptions: tuple[Exemption, ...]
    holds: tuple[LegalHold, ...] | None
    findings: tuple[Finding, ...]

    @property
    def differs(self) -> bool:
        """Say whether something live is not as declared."""
        return any(found.verdict in {Verdict.DIFFERS, Verdict.ABSENT} for found in self.findings)

    @property
    def all_true(self) -> bool:
        """Say whether every place that a rule empties was looked up, and everything looked up is as declared."""
        return self.live is not None and not self.findings


def build(
    declaration: Mapping[str, Any],
    origin: Origin,
    checks: Sequence[Check] | None = None,
    *,
    requirements: Sequence[Requirement] = (),
    exemptions: Iterable[policy.Exemption] = (),
    holds: Iterable[Hold] | None = None,
) -> Report:
    """Make the report of a declaration of the form `FORM`.

    `checks` are those of a verification, `holds` the legal holds that stand, None where nothing was asked. Numbers of
    an exported state may be floats.
    """
    given = declaration["controller"]
    controller = Controller(
        given["name"], given["contact"], given["privacyPolicyUrl"], str(given["privacyPolicyVersion"])
    )
    review = declaration["legalReview"]
    verdicts = _Verdicts(checks)
    classes = tuple(_record_class(entry, verdicts) for entry in declaration["classes"])
    processors = list(dict.fromkeys(place.processor for each in classes for place in each.places))
    findings = tuple(_finding(check) for check in checks or () if check.verdict is not Verdict.TRUE)
    findings += () if checks is None else _unchecked(classes, checks)
    coverage = None if checks is None else _coverage(checks, classes)
    channels = tuple(declaration["channels"])
    return Report(
        project=declaration["project"],
        stack=declaration["stack"],
        environment=declaration["environment"],
        masking=declaration["masking"],
        channels=channels,
        sectors=tuple(declaration["sectors"]),
        controller=controller,
        legal_review=LegalReview(review["reviewer"], review["date"]) if review else None,
        commit=origin.commit,
        time=origin.time.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        source=origin.source,
        gaps=origin.gaps,
        live=coverage,
        verdict=_verdict(origin.source, coverage, findings),
        introduction=words.introduction(
            {
                "name": controller.name,
                "contact": controller.contact,
                "url": controller.url,
                "version": controller.version,
            },
            channels,
            sorted(processors, reverse=True),
        ),
        classes=classes,
        absent_copies=tuple(AbsentCopy(each["copy"], each["why"]) for each in declaration["absentCopies"]),
        promises_not=tuple(PromisedNot(each["about"], each["text"]) for each in declaration["limits"]),
        requirements=tuple(requirements),
        exemptions=tuple(_exemption(one, origin.time.date()) for one in exemptions),
        holds=None if holds is None else tuple(_hold(one, origin.time) for one in sorted(holds, key=_by_review)),
        findings=findings,
    )


class _Verdicts:
    """The checks by the resource that they are about."""

    def __init__(self, checks: Sequence[Check] | None) -> None:
        self._asked = checks is not None
        self._checks: dict[tuple[str, str], list[Check]] = {}
        for check in checks or ():
            self._checks.setdefault((check.system, check.name), []).append(check)

    def of(self, store: Mapping[str, Any], record_class: str) -> str:
        """Return the verdict of one place of one class.

        At Twilio one resource stands for all classes, so what is declared of it as a whole says nothing about one.
        """
        found = self._checks.get((store["system"], store["name"]), [])
        if not self._asked:
            return NOT_ASKED
        return str(
            worst([check for check in found if check.record_class in _concerning(store["system"], record_class)])
        )


def _concerning(system: str, record_class: str) -> set[str | None]:
    """Return the classes whose checks say something about one class in a place of a system; None stands for all."""
    return {record_class} if system == "twilio" else {record_class, None}


def _record_class(entry: Mapping[str, Any], verdicts: _Verdicts) -> RecordClass:
    name, keep_days = entry["class"], int(entry["keepDays"])
    places = tuple(_place(store, verdicts.of(store, name)) for store in entry["stores"])
    copies = tuple(_copy(path) for path in entry["bound"]["paths"])
    floors, ceilings = _limits(entry["floors"]), _limits(entry["ceilings"])
    twilio_days = entry["twilioCopyDays"]
    return RecordClass(
        record_class=name,
        title=words.title_of(name),
        what=words.what(name),
        purposes=tuple(entry["purposes"]),
        basis=entry["basis"],
        why=entry["why"],
        sensitivity=entry["sensitivity"],
        capture=entry["capture"],
        keep=_period(keep_days),
        floors=floors,
        ceilings=ceilings,
        content=_period(entry["bound"]["contentDays"]),
        release=_period(entry["bound"]["releaseDays"]),
        bound=_period(entry["bound"]["days"]),
        twilio_copy=None if twilio_days is None else _period(twilio_days),
        lock=entry["lock"],
        hold=bool(entry["hold"]),
        places=places,
        copies=copies,
        paragraph=words.paragraph(
            name,
            purposes=entry["purposes"],
            basis=entry["basis"],
            why=entry["why"],
            keep_days=keep_days,
            floors=[(limit.period.days, limit.rule) for limit in floors],
            ceilings=[(limit.period.days, limit.rule) for limit in ceilings],
            copies=list(dict.fromkeys((place.processor, place.days) for place in places)),
            gone=(
                max((copy.days for copy in copies if copy.content), default=keep_days),
                max((copy.days for copy in copies), default=keep_days),
            ),
            lock=entry["lock"],
            hold=bool(entry["hold"]),
        ),
    )


def _place(store: Mapping[str, Any], verdict: str) -> Place:
    system = store["system"]
    return Place(
        system=system,
        name=store["name"],
        where=words.SYSTEMS.get(system, system),
        days=int(store["days"]),
        key=store["key"],
        readers=tuple(store["readers"]),
        other_readers=words.other_readers(store["processor"]),
        processor=store["processor"],
        enforced_by=words.enforced_by(system, store["rule"]),
        verdict=verdict,
    )


def _copy(path: Mapping[str, Any]) -> Copy:
    terms = tuple(
        Term(term["what"], int(term["days"]), term["source"], "(assumed)" in term["what"]) for term in path["terms"]
    )
    return Copy(path["copy"], int(path["days"]), bool(path["content"]), terms)


def _limits(limits: Iterable[Mapping[str, Any]]) -> tuple[Limit, ...]:
    return tuple(Limit(_period(limit["days"]), limit["rule"]) for limit in limits)


def _period(days: float) -> Period:
    return Period(int(days), words.in_words(int(days)))


def _finding(check: Check) -> Finding:
    return Finding(
        system=check.system,
        name=check.name,
        property=check.property,
        record_class=check.record_class,
        declared=_shown(check.declared),
        live=_shown(check.live),
        verdict=str(check.verdict),
        fix=check.fix,
    )


def _unchecked(classes: Sequence[RecordClass], checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Return one finding for each place that no check was about."""
    checked = {(check.system, check.name, check.record_class) for check in checks}
    return tuple(
        Finding(
            system=place.system,
            name=place.name,
            property=place.enforced_by,
            record_class=each.record_class,
            declared=words.period(place.days),
            live="not read",
            verdict=str(Verdict.CANNOT_TELL),
            fix="no check was about this place: run `parley verify` of the same commit as the deployed stack",
        )
        for each in classes
        for place in each.places
        if checked.isdisjoint((place.system, place.name, one) for one in _concerning(place.system, each.record_class))
    )


def _shown(value: object) -> str:
    """Return a value as one line: text as it is, everything else as JSON with sorted keys."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _exemption(one: policy.Exemption, today: dt.date) -> Exemption:
    """Return an exemption; it is in force up to and including its last day."""
    return Exemption(one.check, one.resource, one.reason, one.owner, one.expires.isoformat(), today > one.expires)


def _hold(one: Hold, now: dt.datetime) -> LegalHold:
    name = label(one.subject) if one.kind is Subject.PARTY else one.subject
    return LegalHold(
        id=one.id,
        subject=f"{one.kind} {name}",
        reason=one.reason,
        owner=one.owner,
        placed=one.placed_at.date().isoformat(),
        review=one.review.isoformat(),
        late=one.is_to_review(now.astimezone(dt.UTC)),
        stage=str(one.stage),
        objects=one.objects,
        rows=one.rows,
    )


def _by_review(one: Hold) -> tuple[dt.date, str]:
    return one.review, one.id


def _coverage(checks: Sequence[Check], classes: Sequence[RecordClass]) -> Coverage:
    """Count; one place that holds several classes counts once for each."""
    verdicts = [place.verdict for each in classes for place in each.places]
    return Coverage(
        properties=len(checks),
        true_properties=sum(check.verdict is Verdict.TRUE for check in checks),
        places=len(verdicts),
        true_places=verdicts.count(Verdict.TRUE),
    )


def _verdict(source: Source, coverage: Coverage | None, findings: Sequence[Finding]) -> str:
    """Return the report in one sentence."""
    if coverage is None:
        previewed = "This is what the stack file would declare; nothing was deployed and no service was asked"
        declared = "This is what is declared; no running service was asked whether it holds"
        return f"{previewed if source is Source.PREVIEW else declared}."
    if not findings:
        return f"All {coverage.properties} properties that were read from the running services are as declared."
    wrong = sum(found.verdict in {Verdict.DIFFERS, Verdict.ABSENT} for found in findings)
    unread = len(findings) - wrong
    said = [f"{wrong} {'is' if wrong == 1 else 'are'} not as declared"] if wrong else []
    said += [f"{unread} could not be read"] if unread else []
    return f"Of the properties that were asked for, {' and '.join(said)}: see the findings."
