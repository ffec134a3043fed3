"""What an operation of the engine did, read from its event log (sdk/go/common/apitype/events.go)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MARKUP = re.compile(r"<\{%.*?%\}>|\x1b\[[0-9;]*[A-Za-z]")
_SECRET_KEY, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
_STACK = "pulumi:pulumi:Stack"
_UNCHANGED = frozenset({"same", "read", "refresh"})
# An expected remark: the engine mentions every plugin that is on PATH, as ours of `local/bin` are.
_NOISE = re.compile(r"using pulumi-(?:resource|language)-\S+ from \$PATH|^\s*$")
_LAST_WORDS = re.compile(r"^(?:update|preview|refresh|destroy|import) (?:failed|canceled)$|^resource monitor shut down")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done to one resource: `op` is create, update, delete, replace, same and the like.

    `diff` holds what changed by property path (`rules[0].expiration.days`) and how (add, update, delete, …-replace).
    """

    op: str
    urn: str
    type: str
    diff: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rpartition("::")[2]

    def __str__(self) -> str:
        """Show it as one line."""
        paths = f" ({', '.join(self.diff)})" if self.diff else ""
        return f"{self.op} {self.type} {self.name}{paths}"


@dataclass(frozen=True, slots=True)
class Result:
    """What one operation did.

    `changes` counts resources by what was done to them; `steps` has those that were not left as they are; `outputs` are
    the stack's as the operation saw them, secrets shown as "[secret]"; `warnings` are the engine's and the program's;
    `duration` is the wall time in seconds, process start included.
    """

    changes: Mapping[str, int]
    steps: tuple[Step, ...]
    outputs: Mapping[str, Any]
    warnings: tuple[str, ...]
    duration: float

    @property
    def changed(self) -> bool:
        """Whether anything differed between the declared and the known state."""
        return any(count for op, count in self.changes.items() if op not in _UNCHANGED)

    def count(self, op: str) -> int:
        """Return how many resources had `op` done to them."""
        return self.changes.get(op, 0)


class Recorder:
    """Collects an operation's events; `on_step` hears of each resource when its step begins and when it has ended."""

    def __init__(self, on_step: Callable[[Step, bool], None] | None = None) -> None:
        self._on_step = on_step
        self._steps: dict[tuple[str, str], Step] = {}
        self._changes: Mapping[str, int] | None = None
        self._outputs: Mapping[str, Any] = {}
        self._warnings: list[str] = []
        self.errors: list[str] = []

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event, as the engine wrote it."""
        if body := event.get("resourcePreEvent"):
            self._step(body["metadata"], ended=False)
        elif body := event.get("resOutputsEvent"):
            self._step(body["metadata"], ended=True)
        elif body := event.get("diagnosticEvent"):
            self._diagnostic(body)
        elif body := event.get("policyEvent"):
            words = f"{body.get('policyPackName')}: {body.get('policyName')}: {_clean(body.get('message', ''))}"
            told = _about(body.get("resourceUrn", ""), words)
            (self.errors if body.get("enforcementLevel") == "mandatory" else self._warnings).append(told)
        elif body := event.get("summaryEvent"):
            self._changes = body.get("resourceChanges") or {}

    def result(self, duration: float) -> Result:
        """Return what has been collected."""
        steps = tuple(step for step in self._steps.values() if step.op not in _UNCHANGED)
        counted = Counter(step.op for step in self._steps.values())
        changes = counted if self._changes is None else self._changes
        return Result(dict(changes), steps, self._outputs, tuple(dict.fromkeys(self._warnings)), duration)

    def told(self) -> list[str]:
        """Return the errors once each, without the engine's closing words where anything says more."""
        once = list(dict.fromkeys(self.errors))
        return [error for error in once if not _LAST_WORDS.search(error)] or once

    def _step(self, metadata: Mapping[str, Any], *, ended: bool) -> None:
        detailed = metadata.get("detailedDiff") or {}
        step = Step(
            metadata["op"],
            metadata["urn"],
            metadata["type"],
            {path: kind.get("diffKind", "update") for path, kind in detailed.items()},
        )
        known = self._steps.get((step.urn, step.op))
        # A refresh learns only at its end what has changed.
        if known is None or (ended and step.diff):
            self._steps[step.urn, step.op] = step
        if ended and step.op == "refresh":
            self._steps.pop((step.urn, "refresh"), None)
        if step.type == _STACK and ended and (new := metadata.get("new")):
            self._outputs = _plain(new.get("outputs") or {})
        if self._on_step is not None:
            self._on_step(step, ended)

    def _diagnostic(self, body: Mapping[str, Any]) -> None:
        severity, message = body.get("severity"), _clean(body.get("message", ""))
        if severity not in {"error", "warning"} or body.get("ephemeral") or _NOISE.search(message):
            return
        (self.errors if severity == "error" else self._warnings).append(_about(body.get("urn") or "", message))


def clean_output(text: str) -> list[str]:
    """Return the errors that the command printed before there was an event log, without prefix and noise."""
    lines = [_clean(line) for line in text.splitlines() if not _NOISE.search(line)]
    errors = "\n".join(lines).split("error: ")
    found = [error.strip() for error in errors[1:]] or ["\n".join(lines).strip()]
    return [error for error in dict.fromkeys(found) if error]


def _about(urn: str, message: str) -> str:
    """Name the resource that a message is about, unless it is the stack itself."""
    parts = urn.split("::")
    if len(parts) < 4 or parts[2].endswith(_STACK):
        return message
    return f"{parts[2].rpartition('$')[2]} {parts[3]}: {message}"


def _clean(message: str) -> str:
    return _MARKUP.sub("", message).strip()


def _plain(value: Any) -> Any:
    """Replace the engine's secret markers by a readable word."""
    if isinstance(value, dict):
        return "[secret]" if value.get(_SECRET_KEY) == _SECRET else {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
