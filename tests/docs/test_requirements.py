"""The page of duties is made from data, and names only what exists."""

from __future__ import annotations

from pathlib import Path

from cli.requirements import STATES, requirements, requirements_page

ROOT = Path(__file__).resolve().parents[2]


def test_page_is_what_the_data_says() -> None:
    """The committed page equals the one made now; `make docs` writes it."""
    assert (ROOT / "docs" / "requirements.md").read_text() == requirements_page()


def test_every_duty_is_there_once() -> None:
    """R1 to R26 are listed in their order, each with a known state and a way for a reviewer to see it."""
    found = requirements()
    assert [each.id for each in found] == [f"R{number}" for number in range(1, 27)]
    assert {each.state for each in found} <= set(STATES)
    assert all(each.duty and each.see for each in found)


def test_every_named_path_exists() -> None:
    """Every code and test path leads to a file of this repository."""
    named = {path for each in requirements() for path in (*each.code, *each.tests)}
    assert sorted(path for path in named if not (ROOT / path).is_file()) == []


def test_what_is_carried_names_code_and_test() -> None:
    """A duty that is said to be carried names the code that carries it and the test that holds it."""
    assert [each.id for each in requirements() if each.state == "carried" and not (each.code and each.tests)] == []


def test_what_is_not_whole_says_what_is_missing() -> None:
    """A duty that is in part, open or yours has a note that says how far."""
    assert [each.id for each in requirements() if each.state != "carried" and not each.note] == []
