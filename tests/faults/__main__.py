"""`python -m tests.faults`: measure under every fault, print the table, and write `docs/faults.md`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.measure import measure
from tests.faults.page import BY_NAME, faults_page, row
from tests.faults.stage import served_twilio

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


def main() -> None:
    """Measure, print and write."""
    found = {}
    with served_twilio() as served:
        for name, fault in BY_NAME.items():
            found[name] = measure(served, fault)
            print(row(name, found[name]), flush=True)  # noqa: T201 - it is a command
    PAGE.write_text(faults_page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
