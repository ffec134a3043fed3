"""The names of problems are a contract: the page has each one that the functions answer with, and its status."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| ((?:`[a-z-]+`(?:, )?)+) \| (\d{3}) \|", re.MULTILINE)


def answered() -> dict[str, set[int]]:
    """Return the name and the statuses of every problem in the functions' code."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for path in (ROOT / "functions" / "parley").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "problem":
                match [each.value if isinstance(each, ast.Constant) else None for each in node.args[:2]]:
                    case [str(name), int(status)]:
                        found[name].add(status)
    return dict(found)


def test_page_has_every_problem() -> None:
    """Each name stands in the table of docs/architecture.md once, with the one status that it is answered with."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = {name: {int(status)} for names, status in _ROW.findall(page) for name in re.findall("[a-z-]+", names)}
    assert told == answered()
