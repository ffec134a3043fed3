"""What tests of several levels share."""

import gc
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from local.engine.find import Engine, ensure_engine


@pytest.fixture(scope="session", autouse=True)
def heed_interrupts() -> Iterator[None]:
    """Heed SIGINT, which a shell has what it runs in the background ignore: processes that tests start inherit that."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Give the Pulumi engine of this machine, getting it first if need be."""
    return ensure_engine()


DEPLOYING = tuple(f"/test_{name}.py" for name in ("deployment", "masking", "package", "policy", "rollover", "upgrade"))
"""The files of `tests/engine` that deploy again and again: about half of that room's time."""


class RoomScheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives whole files to workers, what shares previews to one, what needs a deployed local stack to two."""

    def _split_scope(self, nodeid: str) -> str:
        scope = str(super()._split_scope(nodeid))
        if scope.startswith("tests/infra/"):
            return "infra"  # its files look at the same previews, which a worker makes once
        if not scope.startswith("tests/engine/"):
            return scope
        return "engine, what deploys" if scope.endswith(DEPLOYING) else "engine, what asks"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--quick`: few examples of each property, and nothing that is thorough."""
    parser.addoption("--quick", action="store_true", help="the tests of a change under way: seconds instead of minutes")


def pytest_configure(config: pytest.Config) -> None:
    """Let properties have no deadline, which on a shared machine measures the neighbours; few examples, if quick."""
    quick = config.getoption("--quick")
    settings.register_profile(
        "shared-machine",
        deadline=None,
        max_examples=5 if quick else 50,
        derandomize=quick,  # it is what coverage is taken from
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("shared-machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is thorough where it is to be quick."""
    if config.getoption("--quick"):
        items[:] = [each for each in items if each.get_closest_marker("thorough") is None]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what stays to the end out of the search for garbage, and search less often: a tenth of the tests' time."""
    del session
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RoomScheduling:
    """Share the tests out; xdist's own `loadgroup` does not know the node ids of pytest 9.2."""
    return RoomScheduling(config, log)
