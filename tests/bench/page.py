"""`docs/bench.md`: what the last run of the bench that was written down has shown, as a table with bars."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

from tests.bench.ratio import Ratio

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "bench.md"
_WIDTH: Final = 24
"""Characters of the longest bar."""

_HEAD: Final = """# What the bench has shown

Written by `python -m tests.bench --page` on {day}, on {cores} cores, Python {python}. Milliseconds belong to that
machine, ratios carry over: both sides of a row were measured by turns in one run. Beside the median of the ratios is
the interval that holds the true one in 19 of 20 runs (with fewer than six pairs: all that was seen). A row whose
interval does not leave out 1, or the figure it is held to, says that the machine was too noisy to tell, and the run
fails. All of it ran against stubs and emulators on loopback; nothing ran on a real AWS or Twilio account. `pulumi`
takes minutes and ran once.

| what | ours | against | theirs | ours / theirs | | |
|---|---|---|---|---|---|---|
"""


def bar(ratio: float) -> str:
    """Return a bar of ours beside one of theirs, the longer one as long as the page has room for."""
    ours = max(1, round(_WIDTH * min(1.0, ratio)))
    theirs = max(1, round(_WIDTH * min(1.0, 1 / ratio)))
    return f"`{'█' * ours}`<br>`{'░' * theirs}`"


def render(results: Iterable[Ratio], rates: Sequence[str], day: date) -> str:
    """Return the page; `rates` are further lines."""
    head = _HEAD.format(day=day.isoformat(), cores=os.cpu_count(), python=platform.python_version())
    rows = [
        f"| {one.what} | {one.ours_ms:,.2f} ms | {one.theirs} | {one.theirs_ms:,.2f} ms |"
        + (f" {one.shown} | {one.verdict} | {bar(one.ratio)} |" if one.told else f" {one.shown} | | |")
        for one in results
    ]
    return head + "\n".join(rows) + "\n\n" + "\n".join(f"- {line}" for line in rates) + "\n"
