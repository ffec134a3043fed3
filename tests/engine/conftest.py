"""One local stack for every test of this level: the real engine, deployed once a test session."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from cli.home import Home
from cli.phones import GateApi, Phones
from cli.stack import LocalStack
from local.engine.find import Engine
from local.engine.workspace import Workspace


@pytest.fixture(scope="session", autouse=True)
def tidy_when_terminated() -> Iterator[None]:
    """End a terminated run as an interrupted one, so that the local cloud goes with it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Give a deployed local stack; a test that breaks something must mend it again."""
    stack = LocalStack(Home(tmp_path_factory.mktemp("stack")), engine, checkpoints=False)
    try:
        stack.start_cloud(0)
        stack.deploy()
        yield stack
    finally:
        stack.wipe()


@pytest.fixture
def workspace(stack: LocalStack) -> Workspace:
    """Give the Pulumi workspace of the deployed stack."""
    return stack.workspace()


@pytest.fixture
def phones(stack: LocalStack) -> Phones:
    """Give the handsets of the local cloud."""
    return Phones(stack.start_cloud())


@pytest.fixture
def api(stack: LocalStack, workspace: Workspace) -> GateApi:
    """Give the deployed HTTP API."""
    return GateApi(stack.start_cloud(), workspace.outputs()["gateUrl"])
