"""The page of the policy pack is made from its checks, so that it cannot fall behind them."""

from __future__ import annotations

from pathlib import Path

from policy.checks import CHECKS
from policy.page import policy_page

ROOT = Path(__file__).resolve().parents[2]


def test_page_is_what_the_checks_say() -> None:
    """The committed page equals the one made now; `make docs` writes it."""
    assert (ROOT / "docs" / "policy.md").read_text() == policy_page()


def test_page_has_a_row_for_every_check() -> None:
    """Every check is one row, with its title, level, references and way out, and the README counts them."""
    rows = {line.split("`")[1]: line for line in policy_page().splitlines() if line.startswith("| `")}
    assert set(rows) == {check.id for check in CHECKS}
    for check in CHECKS:
        for told in (check.title, check.remediation, str(check.severity), *check.references):
            assert told.replace("|", "\\|") in rows[check.id]
    assert f"\n{len(CHECKS)} checks with their references" in (ROOT / "README.md").read_text()
