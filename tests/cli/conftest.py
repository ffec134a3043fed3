"""Fixtures of the tests of the command."""

from __future__ import annotations

import pytest

from tests.cli.consent_stage import Desk


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """Give `parley consent` over an empty ledger."""
    return Desk(monkeypatch, capsys)
