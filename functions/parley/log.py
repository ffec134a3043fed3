"""Log lines: one JSON object each, without anything that identifies a person.

Callers log party keys by their first characters, SIDs and codes; never numbers, bodies, names or the text of somebody
else's exception. Should a number slip in all the same, it is blotted out here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from parley.core.identity import label, redact

if TYPE_CHECKING:
    from parley.core.decision import Decision

Level = Literal["INFO", "WARNING", "ERROR"]
Value = str | int | bool | None | list[str]


def emit(event: str, level: Level = "INFO", /, **fields: Value) -> None:
    """Write one line. `event` names what happened."""
    line = {"timestamp": datetime.now(UTC).isoformat(), "level": level, "event": event, **fields}
    sys.stdout.write(redact(json.dumps(line, ensure_ascii=False, separators=(",", ":"))) + "\n")
    sys.stdout.flush()


def measure(
    namespace: str,
    dimensions: Mapping[str, str],
    values: Mapping[str, int],
    unit: Literal["Count", "Seconds"] = "Count",
) -> None:
    """Write values as metrics: one line in CloudWatch's embedded metric format, of which Logs itself makes them.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    metrics = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit} for name in values],
    }
    now = int(datetime.now(UTC).timestamp() * 1000)
    line = {"_aws": {"Timestamp": now, "CloudWatchMetrics": [metrics]}, **dimensions, **values}
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def decision(
    handler: str,
    *,
    permit: bool,
    reasons: Iterable[str],
    parties: Iterable[str] = (),
    record_ids: Iterable[str] = (),
    **fields: Value,
) -> None:
    """Write the line that every permit and every deny leaves: who decided what, on which records."""
    emit(
        "decision",
        handler=handler,
        decision="permit" if permit else "deny",
        reasons=list(reasons),
        parties=[label(party) for party in parties],
        records=list(record_ids),
        **fields,
    )


def reasons(decided: Decision) -> list[str]:
    """Return the reasons of a decision as codes: scope, state and whose."""
    return [f"{reason.scope}-{reason.state}:{label(reason.party)}" for reason in decided.reasons]


def failure(event: str, error: BaseException, **fields: Value) -> None:
    """Write that something failed: the kind of error and where, but not its text, which may quote the request.

    Of what Twilio refused, the operation, the HTTP status and Twilio's code are told too (`parley.ports.CarrierError`).
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    refused = {name: getattr(error, name) for name in ("operation", "status", "code") if hasattr(error, "operation")}
    emit(event, "ERROR", error=type(error).__name__, where=where, **{**refused, **fields})
