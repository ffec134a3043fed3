"""The duties that the kit is held against, as data, and the page `docs/requirements.md` that is made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[1]
DATA = Path(__file__).resolve().parent / "data" / "requirements.yaml"
STATES = ("carried", "in part", "open", "yours")

HEAD = """# Duties, and where they are carried

Made from `cli/data/requirements.yaml` by `make docs`. R1 to R25 are the duties and best practices of Twilio's article
*Best practices for using Twilio to manage and record communications between users*; R26 is what follows from its being
no legal advice and no text on Japanese law. "Must" and "should" are the article's. This page is a map, no legal advice.

State: **carried** by code and held by a test; **in part**, with what is missing; **open**, not in this version;
**yours**, what only the operator can do, with what the kit does to help.

| | duty | state | code | test | how a reviewer sees it |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One duty: its state is one of `STATES`; `code` and `tests` are paths of this repository."""

    id: str
    duty: str
    state: str
    note: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    see: str


def requirements(path: Path = DATA) -> tuple[Requirement, ...]:
    """Return the duties in their order."""
    return tuple(_requirement(entry) for entry in yaml.safe_load(path.read_text()))


def requirements_page(path: Path = DATA) -> str:
    """Return the page, one row a duty."""
    return HEAD + "\n".join(_row(each) for each in requirements(path)) + "\n"


def _requirement(entry: Mapping[str, Any]) -> Requirement:
    return Requirement(
        id=entry["id"],
        duty=entry["duty"],
        state=entry["state"],
        note=entry.get("note", ""),
        code=tuple(entry.get("code", ())),
        tests=tuple(entry.get("tests", ())),
        see=entry["see"],
    )


def _row(each: Requirement) -> str:
    state = f"{each.state}: {each.note}" if each.note else each.state
    code = ", ".join(_link(path, path.removeprefix("functions/parley/")) for path in each.code)
    tests = ", ".join(_link(path, Path(path).name) for path in each.tests)
    cells = (each.id, each.duty, state, code, tests, each.see)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _link(path: str, label: str) -> str:
    return f"[{label}](../{path})"


if __name__ == "__main__":
    (PROJECT / "docs" / "requirements.md").write_text(requirements_page())
