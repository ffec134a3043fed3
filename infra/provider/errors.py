"""How a resource type says that something went wrong; each becomes one clean message in the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CheckFailure:
    """An input that cannot be deployed: `path` as in `rules[0].days`, `reason` what is wrong and the way out."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class ProviderError(Exception):
    """A failure whose message is fit for the user: what failed, why, and the way out. Nothing was left half-done."""


class PartialFailure(Exception):  # noqa: N818 - it is the protocol's own term
    """The object exists but is not as asked: the engine keeps it in the state, and the next `up` updates it.

    `id_`: the object's id. `outputs`: what is known of it. `reasons`: one message each, fit for the user.
    """

    def __init__(self, id_: str, outputs: Mapping[str, Any], reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.id_, self.outputs, self.reasons = id_, dict(outputs), list(reasons)
