"""The daily check: what this deployment declared held against what is live, by the stack itself.

It reads the declaration that the deployment left in the evidence bucket, and asks the same as `parley verify`. Each
difference is a line of the log with its way out; three metrics say how much was checked and what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parley import log, runtime
from parley.clock import seconds_left
from parley.core.retention import CURRENT_DECLARATION
from parley.core.verification import METRICS, Check, Verdict
from parley.inspection import DeclarationError, inspect


class VerificationError(Exception):
    """Something differs from the declaration or could not be read. The log names it."""


def handle(_event: object, context: Any) -> dict[str, int]:
    """Check everything, and return how much was checked, differs and cannot be told.

    Raises VerificationError unless all of it is true, so that the function's error alarm rings.
    """
    declaration = _declaration()
    checks = inspect(
        declaration,
        runtime.inspection_clients(),
        runtime.carrier(),
        runtime.clock().now(),
        seconds_left(context),
    )
    wrong = [check for check in checks if check.verdict is not Verdict.TRUE]
    for check in wrong:
        _tell(check)
    unread = sum(check.verdict is Verdict.CANNOT_TELL for check in wrong)
    counted = {"Checked": len(checks), "Differences": len(wrong) - unread, "CannotTell": unread}
    log.measure(METRICS, {"Stack": str(declaration.get("stack", ""))}, counted)
    if wrong:
        raise VerificationError("see the events before this one in the log")
    return counted


def _declaration() -> Mapping[str, Any]:
    """Return what the latest deployment declared. Raises DeclarationError."""
    bucket = runtime.environment().evidence_bucket
    if bucket is None:
        raise DeclarationError("PARLEY_EVIDENCE_BUCKET is not set; redeploy with `pulumi up`")
    answer = runtime.inspection_clients()["s3"].get_object(Bucket=bucket, Key=CURRENT_DECLARATION)
    declaration: Mapping[str, Any] = json.loads(answer["Body"].read())
    return declaration


def _tell(check: Check) -> None:
    unread = check.verdict is Verdict.CANNOT_TELL
    log.emit(
        "cannot-tell" if unread else "differs",
        "WARNING" if unread else "ERROR",
        system=check.system,
        name=check.name,
        property=check.property,
        declared=_plain(check.declared),
        live=_plain(check.live),
        verdict=str(check.verdict),
        fix=check.fix,
        record_class=check.record_class,
    )


def _plain(value: Any) -> str | int | bool | None:
    """Return a value as a field of a log line: what has parts as JSON text."""
    return value if isinstance(value, str | int | bool) or value is None else json.dumps(value, sort_keys=True)
