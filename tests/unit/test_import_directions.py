"""Imports point one way, and nothing that runs in production needs the one-machine cloud."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = frozenset({"parley", "infra", "cli", "local", "policy", "tests"})
RUNTIME = frozenset({"boto3", "botocore", "urllib3"})
"""What Lambda's Python runtime brings along."""
VENDORED = frozenset({"phonenumbers"})
"""The third-party packages of the zip (decision 3)."""


def modules(folder: str) -> list[Path]:
    """Return the Python files under a folder of the repository."""
    # The policy pack has an environment of its own in its folder.
    return sorted(path for path in (ROOT / folder).rglob("*.py") if not {"__pycache__", ".venv"} & set(path.parts))


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted name of every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it points"
            assert node.module is not None
            yield node.module
            # `from local import twilio` imports local.twilio.
            yield from (f"{node.module}.{name.name}" for name in node.names)


def offenders(folder: str, *, allowed: set[str], beyond_ours: bool = True) -> list[str]:
    """Return the imports under a folder that are outside `allowed` (dotted prefixes), as text."""
    found = []
    for path in modules(folder):
        for name in imports(path):
            top = name.partition(".")[0]
            if top in OURS:
                # `from infra import settings` yields infra too: the longer name says what is meant.
                fine = any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)
                fine |= any(prefix.startswith(f"{name}.") for prefix in allowed)
            else:
                fine = beyond_ours or top in sys.stdlib_module_names or top in allowed
            if not fine:
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("functions/parley/core", {"parley.core"}),
        ("functions/parley/adapters", {"parley.core", "parley.ports", "parley.adapters", *RUNTIME, *VENDORED}),
        ("functions", {"parley", *RUNTIME, *VENDORED}),
    ],
)
def test_functions_need_nothing_but_the_runtime(folder: str, allowed: set[str]) -> None:
    """The core imports the standard library and itself, adapters the core, functions nothing outside the runtime."""
    assert offenders(folder, allowed=allowed, beyond_ours=False) == []


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("infra", {"infra", "parley"}),
        ("cli", {"cli", "infra", "local", "parley", "policy"}),
        ("local", {"local", "infra.provider", "parley.core"}),
        ("policy", {"policy", "parley.core"}),
    ],
)
def test_rooms_import_only_what_they_may(folder: str, allowed: set[str]) -> None:
    """Infra never imports local or cli; local imports of ours only the provider protocol and the core."""
    assert offenders(folder, allowed=allowed) == []


@pytest.mark.thorough
def test_webhooks_do_not_load_what_is_vendored() -> None:
    """The phonenumbers library is imported in one module, and that one by the first-party routes only."""
    users = {str(path.relative_to(ROOT)) for path in modules("functions") if "phonenumbers" in set(imports(path))}
    assert users == {"functions/parley/adapters/numbers.py"}
    importers = {path.name for path in modules("functions") if "parley.adapters.numbers" in set(imports(path))}
    assert importers == {"consents.py", "erasures.py", "holds.py", "optout_links.py", "questions.py", "sessions.py"}


def test_checks_need_nothing_else() -> None:
    """The checks of the policy pack are the standard library, the core and the pack's own model."""
    assert offenders("policy/checks", allowed={"policy", "parley.core"}, beyond_ours=False) == []


def test_rule_is_not_vacuous() -> None:
    """The rule sees an import that breaks it."""
    assert offenders("infra", allowed={"parley"})
    assert offenders("functions/parley/adapters", allowed={"parley.core"}, beyond_ours=False)


def test_every_room_has_code() -> None:
    """The folders of the rule exist, so that a moved room cannot escape it."""
    assert all(modules(folder) for folder in ("functions/parley/core", "infra", "cli", "local", "policy"))
