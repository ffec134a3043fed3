"""What goes wrong on a real machine: each ends with one message, loses nothing, and the next run goes on."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import psutil
import pytest
import yaml

from cli.errors import TAKEN_PORT, UserError
from cli.home import Home
from cli.stack import LocalStack, stop_cloud
from local.engine.errors import EngineError
from local.engine.events import Step
from local.engine.find import Engine


@pytest.fixture
def spare(engine: Engine, tmp_path: Path) -> LocalStack:
    """Give a stack of its own, not started."""
    return LocalStack(Home(tmp_path / "home"), engine)


class KillEngineAfter:
    """Kills the engine, without a chance to tidy up, once it has made so many resources."""

    def __init__(self, resources: int) -> None:
        self.left = resources

    def __call__(self, step: Step, ended: bool) -> None:
        """Hear of one step of one resource."""
        self.left -= ended and step.op == "create"
        if self.left == 0:
            for child in psutil.Process().children():
                if child.name() == "pulumi":
                    child.kill()


class TestCloud:
    """The one-machine cloud as a process."""

    def test_taken_port_names_it_and_the_way_out(self, spare: LocalStack) -> None:
        """A port that something else holds ends with its number and the option that helps, and no orphan."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(UserError, match=rf"{port}.*--port 0") as caught:
                spare.start_cloud(port)
        assert caught.value.exit_code == TAKEN_PORT
        assert spare.home.cloud() is None

    def test_other_port_while_running_is_refused(self, stack: LocalStack) -> None:
        """Asking a running cloud to be elsewhere says where it is and how to move it."""
        with pytest.raises(UserError, match=r"runs already, at http.*parley local down"):
            stack.start_cloud(5)

    def test_unreadable_snapshot_names_the_file(self, spare: LocalStack) -> None:
        """A snapshot that cannot be read is named with the way out, and left where it is."""
        spare.home.path.mkdir(parents=True)
        spare.home.cloud_state.write_bytes(b"not a snapshot")
        with pytest.raises(UserError, match=r"cloud\.state.*pulumi up --refresh|cloud\.state.*move it away") as caught:
            spare.start_cloud(0)
        assert caught.value.exit_code == 4
        assert spare.home.cloud_state.read_bytes() == b"not a snapshot"

    def test_state_survives_down_and_up(self, stack: LocalStack) -> None:
        """After `down` and `up` nothing has to be deployed again, on the same addresses."""
        before = stack.start_cloud()
        assert stop_cloud(stack.home)
        assert stack.home.cloud() is None
        after = stack.start_cloud()
        assert (after.aws_endpoint, after.gateway_url) == (before.aws_endpoint, before.gateway_url)
        assert [str(step) for step in stack.deploy().steps] == []

    def test_hard_kill_is_rebuilt(self, stack: LocalStack) -> None:
        """A cloud that was killed takes its functions with it, and the next deployment rebuilds what it lost.

        Where that deployment is killed as well, in the middle and without a chance to tidy up, the next one finishes
        it, and the one after changes nothing.
        """
        process = psutil.Process(stack.start_cloud().pid)
        assert not stack.home.cloud_state.exists(), "a snapshot of before would bring withdrawn consents back"
        children = process.children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs([process, *children], timeout=10)
        assert (len(gone) >= 1, alive) == (True, [])
        stack.start_cloud()
        with pytest.raises(EngineError):
            LocalStack(stack.home, stack.engine).deploy(KillEngineAfter(10))
        assert stack.home.lost_marker.exists()
        stack.deploy()
        assert not stack.home.lost_marker.exists()
        assert [str(step) for step in stack.deploy().steps] == []


class TestConfig:
    """A mistake in a stack file stops the preview with one message."""

    def failing(self, stack: LocalStack, change: dict[str, object]) -> str:
        """Deploy with these config values changed (None takes a key away) and return what was said."""
        kept = stack.home.stack_file.read_text()
        made = yaml.safe_load(kept)
        for key, value in change.items():
            if value is None:
                made["config"].pop(key)
            else:
                made["config"][key] = value
        stack.home.stack_file.write_text(yaml.safe_dump(made))
        try:
            with pytest.raises(EngineError) as caught:
                stack.workspace().preview()
        finally:
            stack.home.stack_file.write_text(kept)
        assert "Traceback" not in str(caught.value)
        return str(caught.value)

    def test_wrong_value(self, stack: LocalStack) -> None:
        """A value that is not allowed names its key and the values that are."""
        said = self.failing(stack, {"parley:masking": "proxi"})
        assert "parley:masking" in said
        assert "proxy" in said

    def test_missing_secret(self, stack: LocalStack) -> None:
        """A missing secret names its key and the command that sets it."""
        said = self.failing(stack, {"parley:twilioAuthToken": None})
        assert "parley:twilioAuthToken" in said
        assert "pulumi config set --secret" in said

    def test_number_that_is_not_owned(self, stack: LocalStack) -> None:
        """A pool number that the account does not own is named by its SID, with the way out."""
        sid = "PN" + "0" * 31 + "1"
        said = self.failing(stack, {"parley:numbers": {"adopt": [sid]}})
        assert sid in said
