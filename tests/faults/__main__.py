"""`python -m tests.faults`: measure under every fault, print the table, and write `docs/faults.md`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.measure import measure
from tests.faults.page import BY_NAME, MASKINGS, faults_page, row
from tests.faults.stage import served_twilio

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


def main() -> None:
    """Measure, print and write."""
    found = {}
    with served_twilio() as served:
        for masking in MASKINGS:
            for name, fault in BY_NAME.items():
                found[masking, name] = measure(served, fault, masking)
                print(masking, row(name, found[masking, name], masking), flush=True)  # noqa: T201 - it is a command
    PAGE.write_text(faults_page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
