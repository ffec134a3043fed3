"""The three forms of the report: Markdown, one self-contained HTML page, and JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cli import report_plot, report_words
from cli.report import Copy, Place, Report

_VERDICTS = {"true": "as declared", "cannot tell": "could not be read"}


def to_json(report: Report) -> str:
    """Return the report as JSON text with sorted keys."""
    told = {**asdict(report), "all_true": report.all_true}
    return json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def to_markdown(report: Report) -> str:
    """Return the report as Markdown text."""
    # No autoescape: the filters `text` and `code` escape for Markdown.
    environment = _environment(autoescape=False)
    environment.filters |= {"text": _markdown_text, "code": _markdown_code, "told": _markdown_told}
    return environment.get_template("report.md.j2").render(_context(report), timeline=report_plot.text(_bars(report)))


def to_html(report: Report) -> str:
    """Return the report as one HTML page that loads nothing and runs nothing."""
    environment = _environment(autoescape=True)
    environment.filters["told"] = _html_told
    # The plot escapes every text that it is given.
    drawing = Markup(report_plot.svg(_bars(report)))  # noqa: S704 - see above
    return environment.get_template("report.html.j2").render(_context(report), timeline=drawing)


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("cli"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,  # noqa: S701 - off for Markdown only, which has filters of its own
    )
    environment.filters |= {
        "period": lambda period: report_words.period(period.days),
        "count": report_words.count,
        "verdict": _verdict,
    }
    return environment


def _context(report: Report) -> dict[str, object]:
    sources = _sources(report)
    return {
        "report": report,
        "bases": report_words.BASES,
        "groups": {each.record_class: _groups(each.places) for each in report.classes},
        "sources": sources,
        "number_of": {source: number for number, source in enumerate(sources, 1)},
        "by_state": [
            (state, sum(one.state == state for one in report.requirements))
            for state in ("carried", "in part", "open", "yours")
        ],
    }


def _bars(report: Report) -> list[report_plot.Bar]:
    return [
        report_plot.Bar(
            name=each.record_class,
            keep=each.keep.days,
            content=each.content.days,
            bound=each.bound.days,
            floors=tuple((limit.period.days, limit.rule) for limit in each.floors),
            ceilings=tuple((limit.period.days, limit.rule) for limit in each.ceilings),
        )
        for each in report.classes
    ]


def _groups(places: Sequence[Place]) -> list[tuple[Place, list[str]]]:
    """Return the places, those that differ in nothing but their name together: (the first, all names)."""

    def same(place: Place) -> tuple[object, ...]:
        return (place.system, place.days, place.key or "", place.readers, place.enforced_by, place.verdict)

    groups = (list(group) for _, group in groupby(places, key=same))
    return [(group[0], [place.name for place in group]) for group in groups]


def _sources(report: Report) -> list[str]:
    """Return the sources of all terms, in the order in which they are first named."""
    copies: list[Copy] = [copy for each in report.classes for copy in each.copies]
    return list(dict.fromkeys(term.source for copy in copies for term in copy.terms))


def _verdict(verdict: str) -> str:
    return _VERDICTS.get(verdict, verdict)


def _markdown_text(value: object) -> str:
    """Escape a text for a line or a table cell: no markup, no new line, no new column."""
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    for mark in "\\|*_[]`":
        text = text.replace(mark, f"\\{mark}")
    return text


def _markdown_code(value: object) -> str:
    """Return a text as code, which no backtick or bar in it can end."""
    text = str(value).replace("`", "'").replace("|", "\\|").replace("\n", " ")
    return f"`{text}`"


def _markdown_told(value: object) -> str:
    """Escape a text, but for its `code` parts."""
    parts = str(value).split("`")
    return "".join(_markdown_code(part) if index % 2 else _markdown_text(part) for index, part in enumerate(parts))


def _html_told(value: object) -> Markup:
    """Return a text with its `code` parts marked up; everything in it is escaped."""
    parts = str(value).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )
