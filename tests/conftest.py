"""What tests of several levels share."""

import pytest

from local.engine.find import Engine, ensure_engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Give the Pulumi engine of this machine, getting it first if need be."""
    return ensure_engine()
