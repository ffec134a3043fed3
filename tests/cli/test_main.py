"""The command: one message for a person's mistake, the documented exit codes, and nothing removed that is not ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cli import main as command
from cli.errors import CANNOT_TELL, UserError
from cli.home import CloudInfo, Home, is_cloud
from cli.stack import _mapping, official_aws_plugin


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Give an empty home of a local stack."""
    monkeypatch.setenv("PARLEY_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command and return its exit code, what it printed and what it said on stderr, as one line."""
    monkeypatch.setattr("sys.argv", ["parley", *arguments])
    with pytest.raises(SystemExit) as caught:
        command.main()
    printed = capsys.readouterr()
    return int(caught.value.code or 0), printed.out, " ".join(printed.err.split())


class TestReport:
    """`parley report` without a running cloud."""

    def test_nothing_runs(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a local cloud the report cannot be told, and the message says how to start one."""
        code, _, said = run(monkeypatch, capsys, "report")
        assert (code, "parley local up" in said, "Traceback" in said) == (CANNOT_TELL, True, False)


class TestHome:
    """The folder of a local stack."""

    def test_wipe_removes_only_what_is_ours(self, home: Home) -> None:
        """A foreign file in the home survives, and so does the home then."""
        home.path.mkdir()
        (home.path / "cloud.log").touch()
        (home.path / "state").mkdir()
        (home.path / "thesis.docx").touch()
        home.wipe()
        assert [p.name for p in home.path.iterdir()] == ["thesis.docx"]

    def test_demo_leaves_a_users_stack_alone(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The demo refuses to clear away a local stack that it did not make."""
        home.path.mkdir()
        home.stack_file.write_text("config: {}\n")
        code, _, said = run(monkeypatch, capsys, "demo")
        assert (code, "PARLEY_HOME=" in said, home.stack_file.exists()) == (1, True, True)

    def test_second_command_waits_its_turn(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """While one command is at work in a home, another is told so and touches nothing; afterwards it may."""
        with home.alone():
            code, _, said = run(monkeypatch, capsys, "local", "down")
            assert (code, "at work in" in said) == (1, True)
        assert run(monkeypatch, capsys, "local", "down")[0] == 0

    def test_stale_cloud_is_not_running(self, home: Home) -> None:
        """Addresses of a process that is gone, or that is another program, are no running cloud."""
        home.path.mkdir()
        info: dict[str, Any] = dict.fromkeys(CloudInfo.__dataclass_fields__, "x")
        home.cloud_json.write_text(json.dumps({**info, "pid": os.getpid()}))
        assert home.cloud() is None
        assert not is_cloud(2**22 + 1)

    def test_outputs_before_the_first_deployment(self, home: Home) -> None:
        """A home without state has no outputs."""
        assert home.outputs() == {}


class TestStatus:
    """`parley local status` and `down` when nothing runs."""

    def test_json_has_every_documented_key(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Scripts find every documented key, null where nothing runs."""
        code, printed, _ = run(monkeypatch, capsys, "local", "status", "--json")
        status = json.loads(printed)
        keys = {"aws_endpoint", "aws_region", "twilio_endpoint", "twilio_account_sid", "twilio_auth_token"}
        assert code == 0
        assert keys | {"gateway_url", "stack", "outputs", "pids"} <= set(status)
        assert (status["running"], status["pids"], status["aws_endpoint"]) == (False, [], None)

    def test_down_when_nothing_runs(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Stopping what does not run is no error."""
        assert run(monkeypatch, capsys, "local", "down")[:2] == (0, "nothing was running\n")


class TestAwsPlugin:
    """The official AWS plugin, where somebody names one."""

    def test_none_is_named(self) -> None:
        """Without a name the stand-in is used."""
        assert official_aws_plugin({}) == []

    def test_named_folder_is_taken(self, tmp_path: Path) -> None:
        """A folder that holds the plugin goes before the stand-in."""
        (tmp_path / "pulumi-resource-aws").touch(mode=0o755)
        assert official_aws_plugin({"PARLEY_AWS_PLUGIN": str(tmp_path)}) == [tmp_path]

    def test_folder_without_plugin_is_named(self, tmp_path: Path) -> None:
        """A folder without the plugin is told with the way out."""
        with pytest.raises(UserError, match="pulumi plugin install resource aws"):
            official_aws_plugin({"PARLEY_AWS_PLUGIN": str(tmp_path)})


class TestStackFile:
    """The committed stack file, when somebody has broken it."""

    @pytest.mark.parametrize("text", ["config: [", "config: {a: 1", "- a", "config: 5"])
    def test_broken_file_is_named(self, tmp_path: Path, text: str) -> None:
        """A stack file that cannot be read is one message with its path, never a trace of the parser."""
        file = tmp_path / "Pulumi.local.yaml"
        file.write_text(text)
        with pytest.raises(UserError, match=r"Pulumi\.local\.yaml.*git checkout"):
            _mapping(file)
