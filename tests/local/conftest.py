"""What the tests of the one-machine cloud share."""

from collections.abc import Iterator

import pytest

from tests.local.twilio_stage import Stage


@pytest.fixture(scope="session")
def theatre() -> Iterator[Stage]:
    """Serve one Twilio emulator and one receiver of its webhooks."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def stage(theatre: Stage) -> Stage:
    """Give each test an empty emulator."""
    theatre.reset()
    return theatre
