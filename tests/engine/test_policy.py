"""The policy pack under the real engine: before an update, and on an exported state without a login."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.home import PROJECT
from cli.stack import LocalStack
from local.engine.errors import EngineError
from local.engine.workspace import Workspace

PACK = PROJECT / "policy"


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """Make the pack's own environment, as `make test` does."""
    subprocess.run(["make", "policy"], cwd=PROJECT, check=True, capture_output=True)


@contextmanager
def configured(stack: LocalStack, key: str, value: Any) -> Iterator[None]:
    """Set one key of the stack's configuration for a while."""
    kept = stack.home.stack_file.read_text()
    made = yaml.safe_load(kept)
    made["config"][key] = value
    stack.home.stack_file.write_text(yaml.safe_dump(made))
    try:
        yield
    finally:
        stack.home.stack_file.write_text(kept)


def analyze(state: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the reviewer's command of the README on an exported state."""
    export = folder / "export.json"
    export.write_text(json.dumps(state))
    return subprocess.run(
        [PROJECT / ".venv/bin/parley", "pulumi", "policy", "analyze", "--file", export, "--policy-pack", "policy"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


class TestPreview:
    """`pulumi preview --policy-pack policy`."""

    def test_deployed_stack_passes(self, workspace: Workspace) -> None:
        """The stack of this repository has no finding, mandatory or advisory."""
        result = workspace.preview(policy_packs=[PACK])
        assert [warning for warning in result.warnings if "parley: " in warning] == []

    def test_mandatory_finding_stops_it(self, stack: LocalStack) -> None:
        """A phone number in a tag, which no setting forbids, stops the preview and is not repeated by it."""
        with (
            configured(stack, "parley:tags", {"line": "+14155550143"}),
            pytest.raises(EngineError, match="no-phone-number") as caught,
        ):
            stack.workspace().preview(policy_packs=[PACK])
        assert "tags.line holds a phone number; know numbers by SID" in str(caught.value)
        assert "14155550143" not in str(caught.value)


class TestAnalyze:
    """`pulumi policy analyze --file export.json --policy-pack policy`."""

    def test_exported_stack_passes(self, workspace: Workspace, tmp_path: Path) -> None:
        """A reviewer with the exported state alone sees every policy pass."""
        done = analyze(workspace.export(), tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_violation_is_named(self, workspace: Workspace, tmp_path: Path) -> None:
        """A rule of other days and a log group that never expires end the command with 1, each named with its days."""
        state = workspace.export()
        outputs = {one["urn"].partition("$")[2]: one.get("outputs", {}) for one in state["deployment"]["resources"]}
        content = outputs["aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration::content"]
        content["rules"][0]["expiration"]["days"] += 1
        outputs["aws:cloudwatch/logGroup:LogGroup::intercept"]["retentionInDays"] = 0
        done = analyze(state, tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr
        said = " ".join((done.stdout + done.stderr).split())
        assert "rules[0].expiration.days is 8, but call-recordings is declared as 7 days" in said
        assert "LogGroup intercept: retentionInDays is not set, so nothing here ever expires" in said
