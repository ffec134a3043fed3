"""Rewrites the golden files of the report: `python -m tests.cli.golden`, then read the difference before committing."""

from __future__ import annotations

from pathlib import Path

from cli import report_forms
from tests.cli.declarations import golden

HERE = Path(__file__).parent

if __name__ == "__main__":
    made = golden()
    (HERE / "report.md").write_text(report_forms.to_markdown(made))
    (HERE / "report.html").write_text(report_forms.to_html(made))
    (HERE / "report.json").write_text(report_forms.to_json(made))
