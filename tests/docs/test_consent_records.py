"""`docs/consent-records.md` says what the program does."""

from __future__ import annotations

from pathlib import Path

from parley.core.consent import Head, append

from cli.consent_import import COLUMNS
from tests.unit.chains import event

PAGE = (Path(__file__).parents[2] / "docs" / "consent-records.md").read_text(encoding="utf-8")


def test_every_column_of_an_import_is_there() -> None:
    """The page has each column that an import knows, with what stands in it."""
    assert [name for name, said in COLUMNS.items() if f"| `{name}` | {said} |" not in PAGE] == []


def test_every_field_of_a_record_is_there() -> None:
    """The page names each field that a record has."""
    document = append(Head(), event(), event().effective_at).document()
    assert [name for name in (*document, "record_hash") if f"`{name}`" not in PAGE] == []
