"""Where the report's declaration is read from, without a cloud: outputs, an exported state, the policy's exemptions."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cli.errors import CANNOT_TELL, UserError
from cli.report import FORM, UNKNOWN, Origin, Source
from policy import exemptions
from policy.checks import CHECKS
from policy.exemptions import Exemption

PROJECT = Path(__file__).resolve().parents[1]
EXEMPTIONS = PROJECT / "policy" / "exemptions.yaml"

Read = tuple[Mapping[str, Any], Origin]
"""A declaration of the form that the report reads, and where it is from."""


def moment(environment: Mapping[str, str], now: dt.datetime) -> dt.datetime:
    """Return the report's time: `SOURCE_DATE_EPOCH` (reproducible-builds.org), else now. Raises UserError."""
    epoch = environment.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return now
    try:
        return dt.datetime.fromtimestamp(int(epoch), dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise UserError(f"SOURCE_DATE_EPOCH={epoch}: set whole seconds since 1970, or unset it", CANNOT_TELL) from None


def from_outputs(stack: str, outputs: Mapping[str, Any], time: dt.datetime) -> Read:
    """Return what a deployed stack declares. Raises UserError when it declares nothing that can be read."""
    way_out = "deploy it first (`parley local up`, or `make up STACK=…`)"
    declaration = _declaration(f"stack '{stack}'", outputs, way_out)
    return declaration, Origin(Source.DEPLOYED, time, str(outputs.get("commit") or UNKNOWN))


def from_export(path: Path, time: dt.datetime, stack: str | None = None) -> Read:
    """Return what a file of `pulumi stack export` declares, as of the time that is in it, else of `time`.

    `stack`, if given, is the one that the file must be of. Raises UserError: no such file, no exported stack, that of
    another project or stack, one without a declaration, or with one of another form.
    """
    what = f"--export {path}"
    try:
        deployment = json.loads(path.read_text())["deployment"]
        resources = deployment["resources"] or []
        root = next((each for each in resources if each["type"] == "pulumi:pulumi:Stack"), None)
        of_stack, of_project = root["urn"].removeprefix("urn:pulumi:").split("::")[:2] if root else ("", "")
        taken = dt.datetime.fromisoformat(deployment["manifest"]["time"]) if "manifest" in deployment else time
    except OSError as error:
        raise UserError(f"{what}: {error.strerror}", CANNOT_TELL) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{what}: not an exported stack; make one with `pulumi stack export --file {path}`", CANNOT_TELL
        ) from None
    if root is None:
        raise UserError(f"{what}: nothing is deployed in this stack; deploy it, then export it again", CANNOT_TELL)
    if of_project != (ours := project_name()):
        raise UserError(
            f"{what}: it is of the project '{of_project}', not of '{ours}'; export a stack of this one", CANNOT_TELL
        )
    if stack is not None and stack != of_stack:
        raise UserError(f"{what}: it is of the stack '{of_stack}', not of '{stack}'; leave --stack out", CANNOT_TELL)
    outputs = root.get("outputs") or {}
    declaration = _declaration(what, outputs, "deploy this version, then export it again")
    return declaration, Origin(Source.EXPORT, taken, str(outputs.get("commit") or UNKNOWN))


def exempted(today: dt.date, path: Path = EXEMPTIONS) -> tuple[Exemption, ...]:
    """Return the policy pack's exemptions. Raises UserError when one of them is not sound on this day."""
    found = exemptions.parse(path.read_text(), [check.id for check in CHECKS], today)
    if found.problems:
        raise UserError(f"{path}: {'; '.join(map(str, found.problems))}", CANNOT_TELL)
    return found.listed


def _declaration(what: str, outputs: Mapping[str, Any], way_out: str) -> Mapping[str, Any]:
    """Return the declaration among a stack's outputs, if it has the form that the report reads."""
    declaration: Any = outputs.get("declaration")
    if not declaration:
        raise UserError(f"{what}: it has no output 'declaration', so nothing is declared; {way_out}", CANNOT_TELL)
    version = declaration.get("version", 0) if isinstance(declaration, Mapping) else 0
    if version < FORM:
        raise UserError(f"{what}: its declaration is of an older Parley; deploy it again with this one", CANNOT_TELL)
    if version > FORM:
        raise UserError(f"{what}: its declaration is of a newer Parley; use that version's report", CANNOT_TELL)
    return dict(declaration)


def project_name(project: Path = PROJECT) -> str:
    """Return the name of the Pulumi project in a folder."""
    return str(yaml.safe_load((project / "Pulumi.yaml").read_text())["name"])
