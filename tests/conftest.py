"""What tests of several levels share."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from local.engine.find import Engine, ensure_engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Give the Pulumi engine of this machine, getting it first if need be."""
    return ensure_engine()


class RoomScheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives whole files to workers, and all that needs the one deployed local stack to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/engine" if nodeid.startswith("tests/engine/") else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RoomScheduling:
    """Share the tests out; xdist's own `loadgroup` does not know the node ids of pytest 9.2."""
    return RoomScheduling(config, log)
