"""What a check is, and what it finds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from policy.model import CannotTellError, Deployment, Resource


class Severity(StrEnum):
    """How much harm a finding can do."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What a check says of one property of a resource: the path, and what is wrong there."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a stack: which check says so, where, what, and the way out."""

    check: str
    urn: str
    type: str
    name: str
    path: str
    reason: str
    way_out: str

    @property
    def resource(self) -> str:
        """The resource as exemptions name it: type and name."""
        return f"{self.type}/{self.name}"

    def __str__(self) -> str:
        """Return the finding as one line for a person."""
        return f"{self.type} {self.name}: {self.path} {self.reason}; {self.way_out}"


Judge = Callable[[Resource, Deployment], Iterable[Flaw]]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the pack.

    `references` name the controls and articles it serves: AWS Foundational Security Best Practices (FSBP), GDPR
    articles, ISO/IEC 27001:2022 Annex A, Checkov. `types` are the resources that it judges, one at a time. A
    `mandatory` check stops an update.
    """

    id: str
    title: str
    severity: Severity
    mandatory: bool
    references: tuple[str, ...]
    remediation: str
    types: tuple[str, ...]
    judge: Judge

    def applies(self, deployment: Deployment) -> bool:
        """Whether the stack has anything that this check judges."""
        return bool(deployment.of(*self.types))

    def check(self, deployment: Deployment) -> list[Finding]:
        """Return what is wrong. A resource of which it cannot be told yet is passed over."""
        found: list[Finding] = []
        for resource in deployment.of(*self.types):
            with contextlib.suppress(CannotTellError):
                found.extend(self._findings(resource, deployment))
        return found

    def _findings(self, resource: Resource, deployment: Deployment) -> Iterator[Finding]:
        for flaw in self.judge(resource, deployment):
            yield Finding(self.id, resource.urn, resource.type, resource.name, flaw.path, flaw.reason, self.remediation)


def rule(
    id: str,  # noqa: A002 - the word of the policy protocol
    *types: str,
    severity: Severity,
    references: tuple[str, ...],
    remediation: str,
    mandatory: bool = True,
) -> Callable[[Judge], Check]:
    """Make a check of a function that judges one resource of these types; its docstring is the title."""

    def made(judge: Judge) -> Check:
        title = (judge.__doc__ or "").partition("\n")[0]
        return Check(id, title, severity, mandatory, references, remediation, types, judge)

    return made


def judged(deployment: Deployment, checks: Iterable[Check]) -> list[Finding]:
    """Return everything that these checks find, in their order."""
    return [finding for check in checks for finding in check.check(deployment)]
