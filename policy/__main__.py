"""The checks as a Pulumi policy pack: `pulumi preview --policy-pack policy`, `pulumi policy analyze`.

The engine runs this in the pack's own environment (`policy/.venv`), where Parley is not installed.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "functions")]

import pulumi_policy
from pulumi_policy import deserialize
from pulumi_policy import policy as analyzer

from policy import exemptions
from policy.checks import CHECKS
from policy.model import Deployment, from_analyzer
from policy.rules import Check, judged

Report = Callable[[str, str | None], None]
FSBP = "FSBP "


def marked(props: Any, _: bool = True) -> Any:
    """Return a resource's properties with its secrets marked."""
    return deserialize.deserialize_properties(props, proxy_secrets=True)


# A validation gets secrets unmarked, so what the state encrypts could not be told from what lies there in clear.
analyzer.deserialize_properties = marked


def today() -> dt.date:
    """Return the day on which exemptions are judged."""
    return dt.datetime.now(dt.UTC).date()


def accepted() -> exemptions.Exemptions:
    """Read the exemptions that stand beside this file."""
    text = Path(__file__).with_name("exemptions.yaml").read_text("utf-8")
    return exemptions.parse(text, [check.id for check in CHECKS], today())


def deployment(args: pulumi_policy.StackValidationArgs) -> Deployment:
    """Return what the engine tells of the stack."""
    return from_analyzer(args.resources, pulumi_policy.Secret)


def policy(check: Check) -> pulumi_policy.StackValidationPolicy:
    """Return a check as a policy."""

    def validate(args: pulumi_policy.StackValidationArgs, report: Report) -> None:
        seen = deployment(args)
        if not check.applies(seen):
            args.not_applicable(f"the stack has none of {', '.join(check.types)}")
        for finding in exemptions.judge(check.check(seen), accepted().listed, today()).findings:
            report(str(finding), finding.urn or None)

    control = next((one.removeprefix(FSBP) for one in check.references if one.startswith(FSBP)), None)
    return pulumi_policy.StackValidationPolicy(
        name=check.id,
        description=check.title,
        validate=validate,
        enforcement_level=_level(mandatory=check.mandatory),
        severity=pulumi_policy.Severity(check.severity.value),
        framework=pulumi_policy.PolicyComplianceFramework(
            name="AWS Foundational Security Best Practices", version="1.0.0", reference=control
        )
        if control
        else None,
        tags=list(check.references),
        remediation_steps=check.remediation,
    )


def sound(_: pulumi_policy.StackValidationArgs, report: Report) -> None:
    """Report every exemption that is wrong or has expired."""
    found = accepted()
    for problem in found.problems:
        report(str(problem), None)
    for one in exemptions.judge([], found.listed, today()).expired:
        report(f"{one.path}.expires: was {one.expires}; mend what it exempted, or have {one.owner} decide again", None)


def needed(args: pulumi_policy.StackValidationArgs, report: Report) -> None:
    """Report every exemption that exempts nothing here."""
    listed = accepted().listed
    if not listed:
        args.not_applicable("there is no exemption")
    for one in exemptions.judge(judged(deployment(args), CHECKS), listed, today()).unused:
        report(f"{one.path}: exempts nothing in this stack; take it away if in no other either", None)


def _level(*, mandatory: bool) -> pulumi_policy.EnforcementLevel:
    return pulumi_policy.EnforcementLevel.MANDATORY if mandatory else pulumi_policy.EnforcementLevel.ADVISORY


if __name__ == "__main__":
    pulumi_policy.PolicyPack(
        "parley",
        policies=[
            *map(policy, CHECKS),
            pulumi_policy.StackValidationPolicy(
                name="exemptions-sound",
                description="Every exemption has a reason, an owner and an end that is not over.",
                validate=sound,
                enforcement_level=_level(mandatory=True),
                severity=pulumi_policy.Severity.HIGH,
                remediation_steps="mend the entry of policy/exemptions.yaml, or what it exempts",
            ),
            pulumi_policy.StackValidationPolicy(
                name="exemptions-needed",
                description="No exemption is kept that exempts nothing.",
                validate=needed,
                enforcement_level=_level(mandatory=False),
                severity=pulumi_policy.Severity.LOW,
                remediation_steps="take the entry out of policy/exemptions.yaml",
            ),
        ],
    )
