"""The README says only what works: its commands exist and run, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from parley.core.retention import ScheduleError, parse_schedule
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """Return the arguments of every line of the README's shell blocks that starts with `program`."""
    lines = [line.removeprefix("$ ") for block in blocks("bash") + blocks("console") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith(program + " ")]


@pytest.mark.parametrize("arguments", [a for a in commands("parley") if a[0] != "pulumi"], ids=" ".join)
def test_parley_commands_exist(arguments: list[str]) -> None:
    """Every `parley` command of the README is one, with the options it shows; `parley pulumi` takes any arguments."""
    shown = CliRunner().invoke(app, [*arguments, "--help"])
    assert shown.exit_code == 0, shown.output
    for option in (a for a in arguments if a.startswith("--")):
        assert option in shown.output


def test_make_targets_exist() -> None:
    """Every `make` target of the README is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for arguments in commands("make") for word in arguments if "=" not in word} <= targets


def test_schedule_of_the_readme_is_accepted() -> None:
    """The record classes that the README declares have no mistake; it only leaves other classes out."""
    (shown,) = (yaml.safe_load(block)["parley:records"] for block in blocks("yaml"))
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(shown, channels=("voice", "sms"), sector=(), environment="dev")
    assert {problem.reason.partition(",")[0] for problem in caught.value.problems} == {"is missing"}
    assert not {problem.key for problem in caught.value.problems} & set(shown)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of the documents leads to a file that exists."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [t for t in targets if not (document.parent / t).exists()] == []


def test_ci_runs_the_readmes_test_command() -> None:
    """The check script calls the README's test command and nothing of its own."""
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert script[-1] == "exec make test"
    assert ["test"] in commands("make")
