"""The page of notices is made from their data, so that a reviewer reads what people get."""

from __future__ import annotations

from pathlib import Path

from parley.core.disclosure import languages, templates
from parley.core.wording import lint

from cli.notices import APP, CONTACT, KEEP_DAYS, LINK, PURPOSES, notices_page
from tests.infra import stacks

ROOT = Path(__file__).resolve().parents[2]


def test_page_is_what_the_data_says() -> None:
    """The committed page equals the one made now; `make docs` writes it."""
    assert (ROOT / "docs" / "notices.md").read_text(encoding="utf-8") == notices_page()


def test_page_shows_every_text() -> None:
    """Each notice is a section with a row for each channel and language, and no placeholder is left."""
    page = notices_page()
    texts = [one for template in templates().values() for version in template.versions for one in version.texts]
    assert sum(line.startswith(tuple(f"| {one} |" for one in set(texts))) for line in page.splitlines()) == (
        len(texts) * len(languages())
    )
    assert all(f"## {one}, version " in page for one in templates())
    assert "{" not in page


def test_samples_are_those_of_production() -> None:
    """The periods and purposes of the page are the ones that prod declares, and lint has nothing to say about them."""
    records = stacks.settings("prod").records
    assert {name: records.days(name) for name in KEEP_DAYS} == KEEP_DAYS
    assert {name: records[name].purposes for name in PURPOSES} == PURPOSES
    values = {"app": APP, "contact": CONTACT, "url": LINK, "keep_days": KEEP_DAYS, "purposes": PURPOSES}
    assert lint(languages(), ("voice", "sms"), **values) == ()  # type: ignore[arg-type]  # values of several types
