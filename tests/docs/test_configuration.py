"""The configuration page is made from Pulumi.yaml, so that it cannot fall behind it."""

from __future__ import annotations

from pathlib import Path

from cli.configuration import configuration_page

ROOT = Path(__file__).resolve().parents[2]


def test_page_is_what_pulumi_yaml_says() -> None:
    """The committed page equals the one made now; `make docs` writes it."""
    assert (ROOT / "docs" / "configuration.md").read_text() == configuration_page(ROOT)


def test_page_names_every_key_and_secret() -> None:
    """Every key of the project is a row, and each secret says how it is set."""
    page = configuration_page(ROOT)
    assert "| `parley:records` |" in page
    assert page.count("pulumi config set --secret") >= 2
