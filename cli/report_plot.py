"""The schedule as a timeline: a drawing for the HTML report and bars of text for the Markdown one.

The scale is logarithmic, so that four days and five years are both readable. A bar has three parts, told apart by their
form as well as by their colour: the declared days, the days until the record itself is gone for certain, and the days
until the last name or metadata of it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

TICKS = (
    *((1, "1 day"), (7, "1 week"), (30, "1 month"), (91, "3 months"), (365, "1 year")),
    *((1826, "5 years"), (7305, "20 years"), (36_525, "100 years")),
)
WIDTH, LEFT, RIGHT, ROW, TOP = 960, 170, 140, 34, 44
BAR, THIN = 12, 6
COLUMNS = 46


@dataclass(frozen=True, slots=True)
class Bar:
    """One class on the timeline; all in days after a record was made.

    `floors` and `ceilings` are (days, rule).
    """

    name: str
    keep: int
    content: int
    bound: int
    floors: tuple[tuple[int, str], ...] = ()
    ceilings: tuple[tuple[int, str], ...] = ()

    @property
    def longest(self) -> int:
        """The greatest number of days that the row shows."""
        return max(self.keep, self.bound, *(days for days, _ in (*self.floors, *self.ceilings)), 1)


def svg(bars: Sequence[Bar]) -> str:
    """Return the drawing as one `svg` element, styled by the page's classes; everything in it is escaped."""
    last = _last(bars)
    height = TOP + ROW * len(bars) + 8
    parts = [
        f'<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="plot-title plot-desc">',
        '<title id="plot-title">How long each record class is kept</title>',
        f'<desc id="plot-desc">{escape(_told(bars))}</desc>',
        '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">',
        '<rect class="hatch-ground" width="5" height="5"/><line class="hatch-line" x1="0" y1="0" x2="0" y2="5"/>',
        "</pattern></defs>",
    ]
    for days, label in _ticks(last):
        x = _x(days, last)
        parts.append(f'<line class="grid" x1="{x}" y1="{TOP - 12}" x2="{x}" y2="{height - 6}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{TOP - 20}" text-anchor="middle">{label}</text>')
    for index, bar in enumerate(bars):
        parts += _row(bar, TOP + ROW * index, last)
    return "\n".join([*parts, "</svg>"])


def text(bars: Sequence[Bar]) -> str:
    """Return the timeline as lines of text, one a class, below a line with the scale.

    A full block is a declared day, a half-tone one a day until the record is gone, a light one until its last name is;
    `[` is a least period, `]` a greatest one.
    """
    last = _last(bars)
    width = max(len(bar.name) for bar in bars)
    scale = [" "] * (COLUMNS + 12)
    for days, label in _ticks(last):
        short = label.replace(" ", "").removesuffix("s").replace("month", "mo").replace("year", "y").replace("day", "d")
        short = short.replace("week", "w")
        start = _column(days, last) - 1
        scale[start : start + len(short)] = short
    lines = [" " * (width + 2) + "".join(scale).rstrip()]
    for bar in bars:
        keep, content, bound = (_column(days, last) for days in (bar.keep, bar.content, bar.bound))
        content, bound = max(keep, content), max(keep, content, bound)
        cells = list("█" * keep + "▒" * (content - keep) + "░" * (bound - content)) + [" "] * (COLUMNS - bound)
        for mark, limits in (("[", bar.floors), ("]", bar.ceilings)):
            for days, _ in limits:
                cells[_column(days, last) - 1] = mark
        figures = f"{bar.keep} / {bar.content} / {bar.bound}"
        lines.append(f"{bar.name:<{width}}  {''.join(cells)}  {figures}")
    return "\n".join(lines)


def _row(bar: Bar, top: int, last: int) -> list[str]:
    """Draw one class: its name, the three parts of its bar, its limits, and its days."""
    middle = top + ROW // 2
    start, keep, content, bound = (_x(days, last) for days in (1, bar.keep, bar.content, bar.bound))
    keep = max(keep, start + 2)
    content = max(keep, content)
    name = escape(bar.name if len(bar.name) <= 24 else f"{bar.name[:23]}…")
    parts = [
        f'<text class="name" x="{LEFT - 12}" y="{middle + 4}" text-anchor="end">{name}</text>',
        _rect("keep", start, keep, middle, BAR, f"declared: {bar.keep} days"),
        _rect("content", keep, content, middle, BAR, f"the record itself is gone after {bar.content} days"),
        _rect("names", content, max(content, bound), middle, THIN, f"the last name is gone after {bar.bound} days"),
    ]
    for days, rule in bar.floors:
        x, y = _x(days, last), middle + BAR // 2
        parts.append(
            f'<path class="floor" d="M{x} {y}l-5 8h10z"><title>{escape(f"at least {days} days: {rule}")}</title></path>'
        )
    for days, rule in bar.ceilings:
        x, y = _x(days, last), middle - BAR // 2
        parts.append(
            f'<path class="ceiling" d="M{x} {y}l-5 -8h10z"><title>{escape(f"at most {days} days: {rule}")}</title>'
            "</path>"
        )
    figures = " · ".join(f"{days:,}".replace(",", " ") for days in (bar.keep, bar.content, bar.bound))
    return [*parts, f'<text class="days" x="{WIDTH - 4}" y="{middle + 4}" text-anchor="end">{figures}</text>']


def _rect(kind: str, start: float, end: float, middle: int, height: int, title: str) -> str:
    width = round(max(0.0, end - start), 1)
    return (
        f'<rect class="{kind}" x="{start}" y="{middle - height // 2}" width="{width}" height="{height}">'
        f"<title>{title}</title></rect>"
    )


def _told(bars: Sequence[Bar]) -> str:
    """Return the drawing in words, for those who do not see it."""
    rows = (
        f"{bar.name}: declared {bar.keep}, the record itself gone after {bar.content}, its last name after {bar.bound}"
        for bar in bars
    )
    return "Days after a record was made, on a logarithmic scale. " + "; ".join(rows) + "."


def _last(bars: Sequence[Bar]) -> int:
    """Return the days at the right end of the scale: a little more than the longest row."""
    return math.ceil(max(bar.longest for bar in bars) * 1.15) + 1


def _ticks(last: int) -> list[tuple[int, str]]:
    return [(days, label) for days, label in TICKS if days <= last]


def _share(days: int, last: int) -> float:
    return math.log(max(days, 1)) / math.log(last)


def _x(days: int, last: int) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * _share(days, last), 1)


def _column(days: int, last: int) -> int:
    return max(1, round(COLUMNS * _share(days, last)))
