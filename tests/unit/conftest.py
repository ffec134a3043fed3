"""How the property tests of the core run: on a shared machine, where a deadline would measure the neighbours."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples a property has: few where it is to be quick."""
    settings.register_profile(
        "shared-machine",
        deadline=None,
        max_examples=5 if config.getoption("--quick") else 50,
        derandomize=config.getoption("--quick"),  # it is what coverage is taken from
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("shared-machine")
