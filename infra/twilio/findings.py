"""How a trap of a Twilio account is told: what was asked, what was found, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from parley.ports import CarrierError

Answer = TypeVar("Answer")


class Word(StrEnum):
    """What is said about a trap."""

    FINE = "fine"
    TRAP = "trap"
    UNKNOWN = "unknown"  # Twilio did not answer, or not to these credentials
    BY_HAND = "by hand"  # no API tells


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one trap; `fix` is the way out, empty where nothing is to be done."""

    trap: str
    word: Word
    what: str
    fix: str = ""


class Reads(Protocol):
    """What is asked of Twilio. Both methods raise CarrierError."""

    def read(self, operation: str, host: str, path: str) -> dict[str, Any]:
        """Return one resource."""
        ...

    def entries(
        self, operation: str, host: str, path: str, query: Mapping[str, str], key: str
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list."""
        ...


def present(ask: Callable[[], Answer]) -> Answer | None:
    """Return what Twilio answers, None where it has nothing of the kind (404). Raises CarrierError."""
    try:
        return ask()
    except CarrierError as error:
        if error.status != 404:
            raise
        return None


def asked(trap: str, ask: Callable[[], Finding]) -> Finding:
    """Return what is found about a trap, or that Twilio does not tell."""
    try:
        return ask()
    except CarrierError as error:
        return unanswered(trap, error)


def unanswered(trap: str, error: CarrierError) -> Finding:
    """Return that Twilio does not tell about a trap."""
    said = f"{error.operation}: {error.status or 'no answer'}{f' (code {error.code})' if error.code else ''}"
    fix = "run it again when Twilio answers"
    if error.status in {401, 403}:
        fix = "give the API key of the stack the right to read this, or look in the Twilio Console"
    return Finding(trap, Word.UNKNOWN, said, fix)
