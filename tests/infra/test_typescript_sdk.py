"""The provider from TypeScript: an SDK that Pulumi's own generator makes of the schema, and a program compiled with it.

`pulumi package add` needs a language host for Node.js, which nobody serves as a Go module; the generator that it calls
is a package of the engine's own modules, so it is compiled from the versions that build the engine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.twilio import rules
from local.engine.build import Go
from local.engine.cache import EngineCache
from local.engine.errors import EngineError

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests" / "typescript"


def run(command: list[str], where: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed; what it complains of fails the test."""
    done = subprocess.run(
        command, cwd=where, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def packages() -> Path:
    """Give the folder of the pinned packages, which npm gets once for each lock file."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm here: install Node.js 20 or newer")
    lock = (SOURCES / "package-lock.json").read_bytes()
    folder = EngineCache(os.environ).root.parent / "typescript" / hashlib.sha256(lock).hexdigest()[:16]
    if not (folder / "node_modules").is_dir():
        made = folder.with_name(f"{folder.name}.{os.getpid()}")
        made.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / name, made)
        run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], made)
        made.rename(folder)
    return folder / "node_modules"


@pytest.fixture(scope="module")
def project(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a TypeScript project with the generated SDK beside its program."""
    try:
        go = Go.find(os.environ)
    except EngineError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("program.ts", "tsconfig.json"):
        shutil.copy(SOURCES / name, folder)
    (folder / "node_modules").symlink_to(packages)
    pinned = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false", "GOTOOLCHAIN": "local"}
    generate = [go.executable, "run", "-tags", "osusergo,grpcnotrace", str(SOURCES / "generate.go")]
    schema = ROOT / "infra" / "twilio" / "schema.json"
    run([*generate, str(schema), str(folder / "sdk")], ROOT / "local" / "engine", {**pinned, "GOWORK": "off"})
    return folder


def compiled(project: Path) -> str:
    """Compile the project; return what the compiler complains of."""
    compiler = project / "node_modules" / ".bin" / "tsc"
    return subprocess.run([compiler, "-p", "."], cwd=project, capture_output=True, text=True, check=False).stdout


def test_sdk_has_what_the_schema_has(project: Path) -> None:
    """Every resource and every function is a file of the SDK."""
    tokens = [*rules.package()["resources"], *rules.package()["functions"]]
    names = {token.rpartition(":")[2] for token in tokens}
    there = {path.stem for path in (project / "sdk").glob("*.ts")}
    assert {name[0].lower() + name[1:] for name in names} <= there


def test_program_registers_what_it_says(project: Path) -> None:
    """A program compiles against the SDK, and registers resources of the plugin by their names on the wire."""
    assert compiled(project) == ""
    package = json.loads((project / "sdk" / "package.json").read_text())
    (project / "built" / "sdk" / "package.json").write_text(json.dumps({**package, "version": "0.1.0"}))
    told: list[dict[str, Any]] = json.loads(run(["node", "built/program.js"], project))
    registered = {each["type"]: each["inputs"] for each in told}
    assert set(registered) == {
        "pulumi:providers:parley",
        *(f"parley:index:{name}" for name in ("getNumbers", "ProxyService", "NumberPool", "WebhookSettings")),
    }
    assert registered["parley:index:getNumbers"] == {"country": "US", "capabilities": ["sms"]}
    assert registered["parley:index:NumberPool"]["adopt"] == ["PN1"]
    for token in ("ProxyService", "NumberPool", "WebhookSettings"):
        given = registered[f"parley:index:{token}"]
        assert rules.shape(given, f"parley:index:{token}") == []
        assert given.items() >= rules.defaults(f"parley:index:{token}").items()
    assert "4dabf18193072939515e22adb298388d" in registered["pulumi:providers:parley"]["apiSecret"]


MISTAKES = [
    ('uniqueName: "line"', 'uniqueNam: "line"'),
    ("defaultTtl: 3600", 'defaultTtl: "an hour"'),
    ("parley.RetryOn.ReadTimeout", '"HTTP_4XX"'),
    ('authProfileId: "webhooks_authprofile_00000000000000000000000000",', ""),
]


def test_mistakes_are_found_by_the_compiler(project: Path) -> None:
    """A property that is misspelt, missing, or of another type or value does not compile."""
    text = (project / "program.ts").read_text()
    programs = [project / f"mistake{place}.ts" for place, _ in enumerate(MISTAKES)]
    try:
        for program, (right, wrong) in zip(programs, MISTAKES, strict=True):
            assert right in text
            program.write_text(text.replace(right, wrong))
        found = compiled(project)
    finally:
        for program in programs:
            program.unlink(missing_ok=True)
    assert [program.name for program in programs if f"{program.name}(" not in found] == []
    assert "program.ts(" not in found
