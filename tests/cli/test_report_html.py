"""The report as one page: whole, self-contained, escaped, accessible, and as wide as the window."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cli import report, report_forms
from tests.cli import declarations
from tests.cli.declarations import TIME, declaration, entry, store, twilio

VOID = frozenset({"meta", "br"})
PARENTS = {
    "tr": {"thead", "tbody"},
    "th": {"tr"},
    "td": {"tr"},
    "li": {"ol", "ul"},
    "dt": {"dl"},
    "dd": {"dl"},
    "caption": {"table"},
    "figcaption": {"figure"},
}
LOADERS = frozenset({"script", "link", "img", "iframe", "object", "embed", "video", "audio", "source", "base", "form"})
SECTIONS = ("summary", "schedule", "data-map", "bound", "policy", "duties", "exemptions", "holds", "findings")
CHROMIUM = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
SCHEMES = {"light": r":root \{\n  color-scheme: light dark;(.*?)\}", "dark": r"dark\) \{\n  :root \{(.*?)\}"}


class Page(HTMLParser):
    """Reads a page and fails on the first tag that is not closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag; what may stand in one place only is asserted to stand there."""
        assert tag not in PARENTS or self.stack[-1] in PARENTS[tag], (tag, self.stack)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag of the drawing that closes itself."""
        assert "svg" in self.stack, tag
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, which must be this one."""
        assert self.stack.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        """Note a text with the tag that it stands in."""
        if data.strip():
            self.texts.append((self.stack[-1], data.strip()))

    def of(self, name: str) -> list[dict[str, str]]:
        """Return the attributes of every tag of a name."""
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def text() -> str:
    """Give the page of the golden report."""
    return report_forms.to_html(declarations.golden())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    """Give the same page, read; reading it asserts that its tags are nested well."""
    return Page(text)


class TestStructure:
    """What the page is made of."""

    def test_every_section_is_there_and_in_the_contents(self, page: Page) -> None:
        """Each section has a heading with an anchor, and the table of contents links to all of them in their order."""
        headings = [attributes["id"] for attributes in page.of("h2")]
        assert headings == ["contents", *SECTIONS]
        linked = [attributes["href"] for attributes in page.of("a") if attributes["href"].startswith("#")]
        assert linked[: len(SECTIONS)] == [f"#{name}" for name in SECTIONS]

    def test_anchors_resolve_and_are_unique(self, page: Page) -> None:
        """Every link within the page leads to one element, and so does every reference of a label."""
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        targets = {attributes["href"][1:] for attributes in page.of("a") if attributes["href"].startswith("#")}
        labels = {word for _, each in page.tags for word in each.get("aria-labelledby", "").split()}
        assert targets | labels <= set(ids)

    def test_every_class_is_in_every_part(self, page: Page) -> None:
        """Each record class is in the drawing, the schedule, the data map, the bound and the policy text."""
        told = [data for _, data in page.texts]
        for each in declarations.golden().classes:
            assert told.count(each.record_class) >= 3
            assert f"Places of {each.record_class}" in told
            assert f"Copies of {each.record_class}" in told
            assert each.paragraph in told

    def test_headings_go_down_one_level_at_a_time(self, page: Page) -> None:
        """There is one first heading, and no level is left out below it."""
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))

    def test_tables_are_labelled(self, page: Page) -> None:
        """Every table has a caption and a head, and every head cell says what it heads."""
        tables = len(page.of("table"))
        assert tables == len(page.of("caption")) == len(page.of("thead"))
        assert {attributes.get("scope") for attributes in page.of("th")} == {"col", "row"}

    def test_drawing_has_a_title_and_a_description(self, page: Page) -> None:
        """The timeline is an image with a name and a description for those who do not see it."""
        (drawing,) = page.of("svg")
        assert drawing["role"] == "img"
        assert drawing["aria-labelledby"] == "plot-title plot-desc"

    def test_language_and_characters_are_told(self, text: str, page: Page) -> None:
        """The page says its language and its encoding, and is in standards mode."""
        assert text.startswith("<!DOCTYPE html>\n")
        assert page.of("html") == [{"lang": "en"}]
        assert page.of("meta")[0] == {"charset": "utf-8"}


class TestSelfContained:
    """The page loads nothing and runs nothing."""

    def test_nothing_is_loaded(self, text: str, page: Page) -> None:
        """No element loads another file, and no style names one."""
        assert {tag for tag, _ in page.tags} & LOADERS == set()
        assert not any({"src", "srcset", "style", "data", "poster", "action"} & each.keys() for _, each in page.tags)
        assert re.findall(r"url\(([^)]*)\)", text) == ["#hatch"]
        assert "@import" not in text

    def test_nothing_runs(self, page: Page) -> None:
        """The page's policy forbids everything but its own styles, and no attribute holds code."""
        policy = next(
            each["content"] for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        assert not any(name.startswith("on") for _, each in page.tags for name in each)

    def test_links_are_web_pages_or_anchors(self, page: Page) -> None:
        """Every link leads to an https page or into the page itself, whatever somebody declared as an address."""
        assert {each["href"].partition("#")[0].partition("//")[0] for each in page.of("a")} <= {"", "https:"}
        odd = declaration(controller=declaration()["controller"] | {"privacyPolicyUrl": "javascript:alert(1)"})
        made = Page(report_forms.to_html(report.build(odd, report.Origin(report.Source.DEPLOYED, TIME))))
        assert not any(each["href"].startswith("javascript:") for each in made.of("a"))

    def test_hostile_text_stays_text(self) -> None:
        """Markup in any declared or live text is shown as it is written, in every part of the page."""
        odd = "<script>alert('1')</script>\"&amp;`<u>`"
        classes = [entry(odd, 30, store("s3", odd, odd, 30, key=odd, readers=[odd]), twilio(), purposes=[odd], why=odd)]
        classes[0]["floors"] = classes[0]["ceilings"] = [{"days": 30, "rule": odd}]
        classes[0]["bound"]["paths"][0] = {
            **classes[0]["bound"]["paths"][0],
            "copy": odd,
            "terms": [{"what": odd, "days": 44, "source": odd}],
        }
        declared = declaration(
            *classes,
            **dict.fromkeys(("project", "stack", "environment", "masking"), odd),
            channels=[odd],
            sectors=[odd],
            absentCopies=[{"copy": odd, "why": odd}],
            legalReview={"reviewer": odd, "date": odd},
            controller=dict.fromkeys(("name", "contact", "privacyPolicyUrl", "privacyPolicyVersion"), odd),
        )
        edited = declarations.EDITED
        checks = [type(edited)(odd, odd, odd, odd, odd, edited.verdict, odd, odd)]
        origin = report.Origin(report.Source.DEPLOYED, TIME, odd, (odd,))
        made = report_forms.to_html(report.build(declared, origin, checks))
        assert not {"script", "u"} & {tag for tag, _ in Page(made).tags}
        assert "<script" not in made
        assert made.count(str(escape("<script>alert('1')</script>", quote=False)).replace("'", "&#39;")) > 20


class TestColours:
    """Nothing is told by colour alone, and every text can be read."""

    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.parametrize("ground", ["paper", "band"])
    @pytest.mark.parametrize("ink", ["ink", "quiet", "link", "mark", "wrong"])
    def test_contrast(self, text: str, scheme: str, ground: str, ink: str) -> None:
        """Every text has a contrast of at least 4.5 to 1 with its ground, light and dark (WCAG 2.2, 1.4.3)."""
        (block,) = re.findall(SCHEMES[scheme], text, re.DOTALL)
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        lighter, darker = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5

    def test_verdicts_are_words(self, page: Page) -> None:
        """A place that differs says so in words, and so does an exemption that has expired."""
        told = [data for tag, data in page.texts if tag == "strong"]
        assert {"differs", "expired"} <= set(told)


def _luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


MEASURE = """<!DOCTYPE html><meta charset="utf-8"><body>{frames}<script>
onload = () => document.querySelectorAll("iframe").forEach(frame => {{
  const page = frame.contentDocument.documentElement;
  const line = document.createElement("p");
  line.textContent = `measured ${{frame.width}}: ${{page.scrollWidth}} of ${{page.clientWidth}}`;
  document.body.append(line);
}});
</script>"""


@pytest.mark.skipif(
    CHROMIUM is None, reason="no browser here: `apt-get install chromium`, or put chromium or google-chrome on PATH"
)
class TestBrowser:
    """The page in a browser."""

    def test_loads_without_a_word_in_the_console(self, text: str, tmp_path: Path) -> None:
        """A browser finds nothing to complain about: no error, no warning, nothing that its policy blocks."""
        file = tmp_path / "report.html"
        file.write_text(text)
        dom, said = browse(file, tmp_path)
        assert "Retention report" in dom
        assert [line for line in said.splitlines() if "CONSOLE" in line] == []

    def test_fits_a_phone_and_a_desk(self, text: str, tmp_path: Path) -> None:
        """The page itself is never wider than the window; only wide tables scroll, within their own frame."""
        widths = (320, 768, 1280)
        frames = "".join(f'<iframe width="{width}" height="800" srcdoc="{escape(text)}"></iframe>' for width in widths)
        file = tmp_path / "measure.html"
        file.write_text(MEASURE.format(frames=frames))
        dom, _ = browse(file, tmp_path)
        measured = {int(w): (int(s), int(c)) for w, s, c in re.findall(r"measured (\d+): (\d+) of (\d+)", dom)}
        assert set(measured) == set(widths)
        assert all(scrolled <= client <= width for width, (scrolled, client) in measured.items()), measured


def browse(file: Path, folder: Path) -> tuple[str, str]:
    """Load a page in a headless browser with a profile of its own; return the DOM and what it wrote on stderr."""
    flags = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
    flags += ["disable-component-update", "disable-sync", f"user-data-dir={folder / 'profile'}"]
    flags += ["enable-logging=stderr", "dump-dom"]
    command: list[Any] = [CHROMIUM, *(f"--{flag}" for flag in flags), file.as_uri()]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return answer.stdout, answer.stderr
