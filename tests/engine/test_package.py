"""The plugin as a package of its own: another program of one's own uses it over the real engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.twilio import rules
from local.clock import Clock
from local.engine.find import LANGUAGE_HOST, Engine
from local.engine.workspace import Workspace
from local.serving import Server
from local.twilio import Emulator

PLUGIN = Path(__file__).parents[2] / "infra" / "twilio"
ACCOUNT, KEY, SECRET = "AC" + "1" * 32, "SK" + "2" * 32, "s" * 32
PAGE = PLUGIN.parents[1] / "docs" / "provider.md"


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Serve an account."""
    emulator = Emulator(account_sid=ACCOUNT, auth_token="t" * 32, api_key=KEY, api_secret=SECRET, clock=Clock())
    server = Server(emulator.wsgi_app, port=0, purpose="twilio")
    server.start()
    try:
        yield server.url
    finally:
        server.close()
        emulator.close()


def test_program_of_ones_own(engine: Engine, tmp_path: Path, endpoint: str) -> None:
    """The program of docs/provider.md makes its resources and asks the functions, and its state has no secret."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text(
        f"name: own\nruntime: python\nplugins:\n  providers:\n    - name: parley\n      path: {PLUGIN}\n"
    )
    program = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    (project / "__main__.py").write_text(program)
    path = {"PYTHONPATH": str(PLUGIN.parents[1])}
    workspace = Workspace(engine, tmp_path / "home", project, "local", path, tmp_path / "Pulumi.local.yaml")
    workspace.init()
    plain = {"own:accountSid": ACCOUNT, "own:apiKey": KEY, "own:endpoint": endpoint}
    workspace.set_all_config(plain, {"own:apiSecret": SECRET})
    workspace.up()
    outputs = workspace.outputs()
    assert (outputs["status"], outputs["service"][:2]) == ("active", "KS")
    told = json.dumps(workspace.export())
    assert SECRET not in told
    assert "+1212555" not in told
    assert [str(step) for step in workspace.up().steps] == []


def test_schema_by_the_engine(engine: Engine, tmp_path: Path) -> None:
    """`pulumi package get-schema` of the plugin prints the schema that is committed."""
    environment = {
        **os.environ,
        "PULUMI_HOME": str(tmp_path),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PARLEY_LANGUAGE_HOST": str(LANGUAGE_HOST),
    }
    command = [str(engine.executable), "package", "get-schema", str(PLUGIN / "pulumi-resource-parley")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == rules.package()
