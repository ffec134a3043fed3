"""Driving the real engine for one home directory, over a provider whose objects are files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.engine import recovery
from local.engine.errors import EngineError
from local.engine.events import Step
from local.engine.find import LANGUAGE_HOST, Engine
from local.engine.progress import Progress
from local.engine.recovery import PendingCreate, identify
from local.engine.workspace import CHANGES_FOUND, UnexpectedChangesError, Workspace

DEPOT = Path(__file__).parent / "depot"
PROGRAM = """
import pulumi

class Item(pulumi.CustomResource):
    def __init__(self, name, **props):
        super().__init__("depot:index:Item", name, {"folder": config.require("folder"), "name": name, **props})

config = pulumi.Config()
if mistake := config.get("mistake"):
    raise pulumi.RunError(mistake)
Item("one", text=config.require("text"), gate=config.get("gate"))
for name in config.get_object("more") or []:
    Item(name, text="more")
pulumi.export("text", config.require("text"))
pulumi.export("key", config.require_secret("key"))
"""


class DepotWorkspace(Workspace):
    """A workspace that knows where a half-made item is."""

    def identify(self, pending: PendingCreate) -> str | None:
        """Return an item's path, which is its ID."""
        return str(Path(pending.inputs["folder"], pending.inputs["name"]))


class Shop:
    """A project with its home, its configuration and the folder of its objects."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.project, self.home, self.items = folder / "project", folder / "home", folder / "items"
        for one in (self.project, self.items):
            one.mkdir()
        (self.project / "Pulumi.yaml").write_text(
            f"name: shop\nruntime: python\nplugins:\n  providers:\n    - name: depot\n      path: {DEPOT}\n"
        )
        (self.project / "__main__.py").write_text(PROGRAM)
        self.news: list[str] = []
        self.steps: list[tuple[str, bool]] = []
        self.workspace = DepotWorkspace(
            engine, self.home, self.project, "local", {}, folder / "Pulumi.local.yaml",
            report=self.hear, on_step=self.watch,
        )  # fmt: skip

    def hear(self, news: Progress) -> None:
        """Note what the workspace tells."""
        self.news.append(str(news))

    def watch(self, step: Step, ended: bool) -> None:
        """Note the steps on items as they happen."""
        if step.type == "depot:index:Item":
            self.steps.append((f"{step.op} {step.name}", ended))

    def set(self, **values: str) -> None:
        """Set configuration."""
        self.workspace.set_all_config({f"shop:{key}": value for key, value in values.items()})

    def gate(self) -> Path:
        """Make the creation of item `one` wait between being made and being known."""
        gate = self.folder / "gate"
        gate.mkdir()
        for name in ("made", "go"):
            os.mkfifo(gate / name)
        self.set(gate=str(gate))
        return gate

    def lock(self, pid: int, host: str, since: str = "") -> Path:
        """Leave a lock as the engine does."""
        folder = self.workspace.state / ".pulumi" / "locks" / "organization" / "shop" / "local"
        folder.mkdir(parents=True, exist_ok=True)
        lock = folder / "6e1e.json"
        when = since or datetime.now(UTC).isoformat()
        lock.write_text(json.dumps({"pid": pid, "username": "x", "hostname": host, "timestamp": when}))
        return lock

    def driver(self) -> subprocess.Popen[str]:
        """Start a command that deploys the shop, tells what goes wrong and exits with that code."""
        script = (
            "import signal, sys\nfrom pathlib import Path\nfrom local.engine.find import Engine\n"
            "from local.engine.errors import EngineError\nfrom local.engine.workspace import Workspace\n"
            "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
            f"engine = Engine(Path({str(self.engine.executable)!r}), '0.0.0', 'path', Path({str(LANGUAGE_HOST)!r}))\n"
            f"w = Workspace(engine, Path({str(self.home)!r}), Path({str(self.project)!r}), 'local', {{}}, "
            f"Path({str(self.workspace.config_file)!r}))\n"
            "try:\n    w.up()\nexcept EngineError as error:\n    print(error)\n    sys.exit(error.exit_code)\n"
        )
        return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)

    @contextmanager
    def holder(self, owner: str | None, backend: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """Run a process that could be this home's engine, started by `owner`."""
        environment = {**os.environ, "PULUMI_BACKEND_URL": backend or self.workspace.state.as_uri()}
        if owner is not None:
            environment[recovery.OWNER] = owner
        with subprocess.Popen(["sleep", "600"], env=environment) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture(scope="session")
def template(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Give a shop that is set up, to be copied: that takes four commands of half a second each."""
    shop = Shop(engine, tmp_path_factory.mktemp("template"))
    shop.workspace.init()
    shop.workspace.set_all_config({"shop:folder": str(shop.items), "shop:text": "hello"}, {"shop:key": "hush-hush"})
    return shop


@pytest.fixture
def shop(template: Shop, tmp_path: Path) -> Shop:
    """Give a shop that is set up and not yet deployed."""
    shop = Shop(template.engine, tmp_path)
    shutil.copytree(template.home, shop.home)
    configured = template.workspace.config_file.read_text("utf-8")
    shop.workspace.config_file.write_text(configured.replace(str(template.items), str(shop.items)), "utf-8")
    return shop


class TestLife:
    """A stack from its first deployment to its end."""

    def test_whole_life(self, shop: Shop) -> None:
        """Deploy, deploy again, change, drift, repair, adopt, destroy: each tells exactly what it did."""
        workspace, item = shop.workspace, shop.items / "one"
        assert workspace.preview().count("create") == 2
        assert not item.exists()

        first = workspace.up()
        assert first.changes == {"create": 2}
        assert first.outputs == {"text": "hello", "key": "[secret]"}
        assert first.warnings == ()
        assert [step for step in shop.steps if step[1]][-1] == ("create one", True)
        assert item.read_text() == "hello"
        assert workspace.outputs() == {"text": "hello", "key": "hush-hush"}
        assert "hush-hush" not in json.dumps(workspace.export())

        again = workspace.up()
        assert (again.changed, again.steps) == (False, ())
        workspace.preview(expect_no_changes=True)

        shop.set(text="bye")
        with pytest.raises(UnexpectedChangesError, match=r"update depot:index:Item one \(text\)") as declared:
            workspace.preview(expect_no_changes=True)
        assert declared.value.exit_code == CHANGES_FOUND
        assert workspace.up().changes == {"same": 1, "update": 1}
        assert item.read_text() == "bye"

        item.write_text("drifted")
        with pytest.raises(UnexpectedChangesError, match="drifted from its state") as drift:
            workspace.refresh(preview_only=True, expect_no_changes=True)
        (step,) = drift.value.result.steps
        assert (step.op, step.name, dict(step.diff)) == ("update", "one", {"text": "update"})
        assert workspace.up(refresh=True).changed
        assert item.read_text() == "bye"

        item.unlink()
        assert workspace.refresh().count("delete") == 1
        item.write_text("found")
        assert workspace.import_resource("depot:index:Item", "found", str(item)).count("import") == 1

        assert workspace.destroy().count("delete") >= 2
        assert not item.exists()

    def test_keeps_to_its_home(self, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Project, user's home and user's accounts are left alone; the passphrase is the home's own secret."""
        user = tmp_path / "user"
        user.mkdir()
        monkeypatch.setenv("HOME", str(user))
        monkeypatch.setenv("PULUMI_BACKEND_URL", "https://api.example.org")
        monkeypatch.setenv("AWS_PROFILE", "production")
        before = {file.name: file.read_text() for file in shop.project.iterdir()}
        (shop.project / "__main__.py").write_text(
            "import os, pulumi\n"
            "pulumi.export('seen', sorted(k for k in os.environ if k.startswith(('AWS_', 'PULUMI_BACKEND'))))\n"
            "pulumi.export('url', os.environ['PULUMI_BACKEND_URL'])\n"
        )
        workspace = Workspace(
            shop.engine, shop.home, shop.project, "local", {"AWS_REGION": "us-east-1"}, shop.workspace.config_file
        )
        workspace.init()
        assert workspace.up().outputs == {
            "seen": ["AWS_REGION", "PULUMI_BACKEND_URL"],
            "url": (shop.home / "state").as_uri(),
        }
        assert list(user.iterdir()) == []
        assert {file.name for file in shop.project.iterdir()} - {"__pycache__"} == set(before)
        passphrase = shop.home / "passphrase"
        assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
        assert stat.S_IMODE(shop.home.stat().st_mode) == 0o700
        assert len(passphrase.read_text()) >= 32

    def test_config_is_written_only_where_it_differs(self, shop: Shop) -> None:
        """Setting what is set already leaves the file alone; a secret is stored encrypted, with any text in it."""
        workspace, file = shop.workspace, shop.workspace.config_file
        before = file.read_text()
        assert "hush-hush" not in before
        workspace.set_all_config({"shop:text": "hello"}, {"shop:key": "hush-hush"})
        assert file.read_text() == before
        workspace.set_config("shop:key", "--other =\"'", secret=True)
        workspace.set_config("shop:text", "-x")
        assert workspace.config()["shop:key"] == ("--other =\"'", True)
        assert workspace.config()["shop:text"] == ("-x", False)


class TestPlugin:
    """A plugin that the language host runs."""

    def test_provider_without_executable(self, shop: Shop) -> None:
        """A provider that is a folder with a PulumiPlugin.yaml runs in the environment that this names, and ends."""
        folder = shop.folder / "plugin"
        folder.mkdir()
        options = f"runtime:\n  name: python\n  options:\n    virtualenv: {LANGUAGE_HOST.parents[2] / '.venv'}\n"
        (folder / "PulumiPlugin.yaml").write_text(options)
        told = f"import os, sys; open({str(folder / 'told')!r}, 'w').write(f'{{os.getpid()}} {{sys.prefix}}')\n"
        provider = (DEPOT / "provider.py").read_text()
        marker = "from __future__ import annotations\n"
        assert marker in provider
        (folder / "__main__.py").write_text(provider.replace(marker, marker + told))
        project = shop.project / "Pulumi.yaml"
        project.write_text(project.read_text().replace(str(DEPOT), str(folder)))
        assert shop.workspace.up().changes == {"create": 2}
        assert (shop.items / "one").read_text() == "hello"
        pid, prefix = (folder / "told").read_text().split()
        assert Path(prefix) == LANGUAGE_HOST.parents[2] / ".venv"
        _, alive = psutil.wait_procs([psutil.Process(int(pid))] if psutil.pid_exists(int(pid)) else [], timeout=10)
        assert alive == []


class TestOutputs:
    """A stack's outputs."""

    def test_engine_is_asked_once(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        """While nothing is deployed what was told is told again, and whoever changes it harms nobody."""
        shop.workspace.up()
        asked: list[tuple[str, ...]] = []
        command = shop.workspace._command

        def noted(*words: str, **named: Any) -> str:
            asked.append(words[:2])
            return command(*words, **named)

        monkeypatch.setattr(shop.workspace, "_command", noted)
        shop.workspace.outputs().clear()
        assert shop.workspace.outputs() == {"key": "hush-hush", "text": "hello"}
        assert asked == [("stack", "output")]
        shop.set(text="another")
        shop.workspace.up()
        assert shop.workspace.outputs()["text"] == "another"


class TestMistakes:
    """What a user gets to read."""

    def test_program_mistake_is_the_message(self, shop: Shop) -> None:
        """A `pulumi.RunError` is told alone, with the engine's exit code."""
        shop.set(mistake="shop:text must not be empty")
        with pytest.raises(EngineError) as failed:
            shop.workspace.up()
        assert str(failed.value) == "`up` failed:\nshop:text must not be empty"
        assert failed.value.exit_code not in {0, CHANGES_FOUND}

    def test_provider_failure_names_the_resource(self, shop: Shop) -> None:
        """What a provider refuses is told with type and name of the resource."""
        (shop.items / "one").write_text("in the way")
        with pytest.raises(EngineError, match=r"^`up` failed:\ndepot:index:Item one: .*File exists"):
            shop.workspace.up()
        (shop.items / "one").unlink()
        assert shop.workspace.up().count("create") == 1

    def test_no_project(self, engine: Engine, tmp_path: Path) -> None:
        """A folder that is no project is named."""
        workspace = Workspace(engine, tmp_path / "home", tmp_path, "local", {}, tmp_path / "Pulumi.local.yaml")
        with pytest.raises(EngineError, match=f"{tmp_path} is no Pulumi project"):
            workspace.init()

    def test_not_set_up(self, engine: Engine, tmp_path: Path) -> None:
        """Without `init` the home is named and nothing is started."""
        workspace = Workspace(engine, tmp_path / "home", tmp_path, "local", {}, tmp_path / "Pulumi.local.yaml")
        with pytest.raises(EngineError, match="has not been set up"):
            workspace.outputs()


class TestRecovery:
    """Operations that did not end well."""

    def test_killed_in_the_middle(self, shop: Shop) -> None:
        """After `kill -9` no process stays; the next `up` frees the lock, adopts what was made, and goes on."""
        gate = shop.gate()
        shop.set(more='["two", "three"]')
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(shop.workspace.up)
            (gate / "made").read_text()
            (engine,) = (child for child in psutil.Process().children() if child.name() == "pulumi")
            family = engine.children(recursive=True)
            assert len(family) >= 3  # language host, program, provider
            engine.kill()
            with pytest.raises(EngineError, match="cut short: the engine was ended by SIGKILL"):
                running.result(20)
        (gate / "go").write_text("go")
        _, alive = psutil.wait_procs(family, timeout=20)
        assert alive == []
        assert (shop.items / "one").exists()

        shop.steps.clear()
        result = shop.workspace.up()
        assert ("create one", False) not in shop.steps
        assert not [warning for warning in result.warnings if "pending" in warning]
        assert f"(process {engine.pid})" in shop.news[0]
        assert "depot:index:Item one" in shop.news[-1]  # between them may be that a write was cut off
        assert {file.name for file in shop.items.iterdir()} == {"one", "two", "three"}
        assert not shop.workspace.up().changed

    def test_half_made_object_that_is_not_there(self, shop: Shop) -> None:
        """What a killed `up` had not made after all is made by the next one."""
        gate = shop.gate()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(shop.workspace.up)
            (gate / "made").read_text()
            (engine,) = (child for child in psutil.Process().children() if child.name() == "pulumi")
            engine.kill()
            with pytest.raises(EngineError):
                running.result(20)
        (gate / "go").write_text("go")
        (shop.items / "one").unlink()
        shop.workspace.set_all_config({"shop:gate": ""})
        shop.workspace.up()
        assert (shop.items / "one").read_text() == "hello"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_interrupt_is_passed_on(self, shop: Shop, number: signal.Signals) -> None:
        """An `up` that is interrupted, or loses its terminal, lets what is under way end and says how to go on."""
        gate = shop.gate()
        with shop.driver() as command:
            (gate / "made").read_text()
            family = psutil.Process(command.pid).children(recursive=True)
            command.send_signal(number)
            (gate / "go").write_text("go")
            told, _ = command.communicate(timeout=30)
        assert command.returncode == 130
        assert told.startswith("`up` was interrupted; the engine has ended in good order")
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
        shop.workspace.up()
        assert shop.news == []
        assert not shop.workspace.up().changed

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
    def test_killed_command_takes_its_engine_with_it(self, shop: Shop) -> None:
        """After `kill -9` of the command its engine ends in order; the next `up` waits for that and goes on."""
        gate = shop.gate()
        with shop.driver() as command:
            (gate / "made").read_text()
            family = psutil.Process(command.pid).children(recursive=True)
            command.kill()
        (engine,) = (one for one in family if one.name() == "pulumi")

        def hear(news: Progress) -> None:
            shop.hear(news)
            (gate / "go").write_text("go")  # until then its engine holds the stack

        shop.workspace._report = hear
        shop.workspace.up()
        assert shop.news == [
            f"The command that ran the last operation is gone; waiting for its engine (process {engine.pid}) to end."
        ]
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
        assert not shop.workspace.up().changed

    def test_orphan_that_does_not_end_is_interrupted(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        """An engine of this home whose command is gone is interrupted after a while, and the next operation goes on."""
        monkeypatch.setattr(recovery, "_ORPHAN_SECONDS", 0.2)
        with shop.holder(owner="gone") as holder:
            lock = shop.lock(holder.pid, socket.gethostname())
            shop.workspace.destroy()
            assert holder.wait(10) == -signal.SIGINT
        assert not lock.exists()
        assert f"interrupting process {holder.pid}" in shop.news[1]

    @pytest.mark.parametrize(
        ("owner", "backend"),
        [(str(os.getpid()), ""), ("gone", "file:///elsewhere"), (None, "")],
        ids=["alive", "elsewhere", "nobody"],
    )
    def test_engine_that_is_no_orphan_is_left_alone(self, shop: Shop, owner: str | None, backend: str) -> None:
        """An engine whose command lives, of another home, or that someone started by hand is named and not touched."""
        with shop.holder(owner, backend) as holder:
            shop.lock(holder.pid, socket.gethostname())
            with pytest.raises(EngineError, match=rf"in use: process {holder.pid} .*kill -INT {holder.pid}"):
                shop.workspace.up()
            assert holder.poll() is None
        assert shop.news == []

    def test_lock_of_a_living_process_is_respected(self, shop: Shop) -> None:
        """A stack that another process works on is not touched; the message names that process."""
        lock = shop.lock(os.getpid(), socket.gethostname())
        with pytest.raises(EngineError, match=rf"in use: process {os.getpid()} .*kill -INT {os.getpid()}"):
            shop.workspace.up()
        assert lock.exists()

    def test_lock_of_another_machine_is_respected(self, shop: Shop) -> None:
        """Whether a process of another machine lives cannot be told, so its lock stays and is named."""
        lock = shop.lock(1, "elsewhere")
        with pytest.raises(EngineError, match=f"on elsewhere .* remove {lock}"):
            shop.workspace.destroy()

    def test_lock_of_an_older_process_with_this_number_is_freed(self, shop: Shop) -> None:
        """A process number that has been given away again does not hold a stack."""
        lock = shop.lock(os.getpid(), socket.gethostname(), "2001-01-01T00:00:00+00:00")
        shop.workspace.destroy()
        assert not lock.exists()


@pytest.mark.parametrize(
    ("kind", "inputs", "found"),
    [
        ("aws:s3/bucket:Bucket", {"bucket": "b"}, "b"),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r", "name": "n"}, "r:n"),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r"}, None),
        ("aws:kms/key:Key", {}, None),
    ],
)
def test_half_made_objects_are_found_by_name(kind: str, inputs: dict[str, str], found: str | None) -> None:
    """Where an object's name is its ID it can be found again; others cannot."""
    assert identify(PendingCreate("urn", kind, inputs)) == found
