"""The Python language host, asked over gRPC as the engine asks it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import resource_pb2, resource_pb2_grpc

from local.engine import find
from local.engine.interpreter import _plugin_version, choose
from local.engine.language import Language
from local.engine.protocol import (
    LanguageRuntimeStub,
    add_language_runtime,
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
)


class Ears(engine_pb2_grpc.EngineServicer, resource_pb2_grpc.ResourceMonitorServicer):
    """An engine that only listens to what it is told, and a resource monitor that makes nothing."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []
        self.outputs: dict[str, Any] = {}

    def SupportsFeature(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Support secrets, and nothing newer."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id == "secrets")

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Give every resource a URN."""
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:s::p::{request.type}::{request.name}")

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Keep the stack's outputs."""
        self.outputs = json_format.MessageToDict(request.outputs)
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Let the program end."""
        return empty_pb2.Empty()

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Note a message."""
        self.heard.append((request.severity, request.message))
        return empty_pb2.Empty()

    def errors(self) -> list[str]:
        """Return the errors heard so far."""
        return [message for severity, message in self.heard if severity == engine_pb2.ERROR]


def serving(add: Callable[[grpc.Server], None]) -> Iterator[str]:
    """Serve on a free port; yields the address."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def ears() -> Ears:
    """Give an engine that listens."""
    return Ears()


@pytest.fixture
def engine_address(ears: Ears) -> Iterator[str]:
    """Serve the engine that listens."""

    def add(server: grpc.Server) -> None:
        engine_pb2_grpc.add_EngineServicer_to_server(ears, server)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(ears, server)

    yield from serving(add)


@pytest.fixture
def host(engine_address: str) -> Iterator[Any]:
    """Give a client of a language host."""
    language = Language(engine_address)
    for address in serving(lambda server: add_language_runtime(language, server)):
        with grpc.insecure_channel(address) as channel:
            stub: Any = LanguageRuntimeStub(channel)
            stub.engine_address = engine_address
            yield stub
        language.close()


def info(folder: Path, **options: Any) -> language_pb2.ProgramInfo:
    """Describe the program in a folder."""
    struct = struct_pb2.Struct()
    struct.update(options)
    return language_pb2.ProgramInfo(
        root_directory=str(folder), program_directory=str(folder), entry_point=".", options=struct
    )


def run(host: Any, folder: Path, program: str, **options: Any) -> language_pb2.RunResponse:
    """Write a program and run it."""
    (folder / "__main__.py").write_text(program)
    response: language_pb2.RunResponse = host.Run(asking(host, folder, **options))
    return response


def asking(host: Any, folder: Path, **options: Any) -> language_pb2.RunRequest:
    """Ask for a program's run, against the listening engine."""
    return language_pb2.RunRequest(
        info=info(folder, **options),
        pwd=str(folder),
        project="shop",
        stack="dev",
        organization="org",
        parallel=4,
        dryRun=True,
        config={"shop:size": "3", "shop:key": "hush"},
        configSecretKeys=["shop:key"],
        args=["one"],
        monitor_address=host.engine_address,
    )


def installed(folder: Path, package: str, manifest: str | None = None, module: str | None = None) -> None:
    """Pretend that a package ("name-version") is installed in a virtual environment."""
    site = folder / ".venv" / "lib" / "python3.11" / "site-packages"
    about = site / f"{package}.dist-info"
    about.mkdir(parents=True)
    name, _, version = package.partition("-")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    (site / (module or name)).mkdir()
    if manifest is not None:
        (site / (module or name) / "pulumi-plugin.json").write_text(manifest)


class TestAbout:
    """What the host says of itself and of a project."""

    def test_version_is_the_sdks(self, host: Any) -> None:
        """The host has the version of the SDK whose protocol it speaks."""
        assert host.GetPluginInfo(empty_pb2.Empty()).version == find._release_version()

    def test_handshake_and_prompts(self, host: Any, engine_address: str) -> None:
        """The engine may introduce itself again, and is asked nothing for a new project."""
        host.Handshake(language_pb2.LanguageHandshakeRequest(engine_address=engine_address))
        assert not host.RuntimeOptionsPrompts(language_pb2.RuntimeOptionsRequest()).prompts

    def test_names_the_python_of_a_project(self, host: Any, tmp_path: Path) -> None:
        """Without options it is the host's own Python; with `virtualenv` it is that one's."""
        own = host.About(language_pb2.AboutRequest(info=info(tmp_path)))
        assert (own.executable, own.version) == (sys.executable, sys.version.split()[0])
        other = host.About(language_pb2.AboutRequest(info=info(tmp_path, virtualenv="env")))
        assert other.executable == str(tmp_path / "env" / "bin" / "python")

    @pytest.mark.parametrize(
        ("options", "named"), [({"toolchain": "poetry"}, "toolchain"), ({"virtualenv": 3}, "virtualenv")]
    )
    def test_wrong_option_is_named(self, host: Any, tmp_path: Path, options: dict[str, Any], named: str) -> None:
        """An option that cannot be followed is named in the error."""
        with pytest.raises(grpc.RpcError, match=f"runtime.options.{named}"):
            host.About(language_pb2.AboutRequest(info=info(tmp_path, **options)))


class TestInterpreter:
    """Which Python runs a project."""

    def test_uv_project_uses_the_environment_beside_its_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A project below a uv.lock runs in the .venv beside that, as the official host has it."""
        monkeypatch.delenv("UV_PROJECT_ENVIRONMENT", raising=False)
        (tmp_path / "uv.lock").touch()
        program = tmp_path / "infra"
        assert choose({}, tmp_path, program).executable == tmp_path / ".venv" / "bin" / "python"
        assert choose({"virtualenv": "env"}, tmp_path, program).virtualenv == tmp_path / "env"

    def test_plugin_has_an_environment_of_its_own(self, tmp_path: Path) -> None:
        """A plugin without options runs in its own `venv`."""
        assert choose({}, tmp_path, tmp_path, plugin=True).virtualenv == tmp_path / "venv"

    @pytest.mark.parametrize(
        ("release", "version"),
        [
            ("7.51.1", "7.51.1"),
            ("1.0", "1.0.0"),
            ("1.2.3a4", "1.2.3-alpha.4"),
            ("1.2.3rc4", "1.2.3-rc.4"),
            ("1.2.3.post4", "1.2.3+post4"),
            ("1.2.3.post4.dev5", "1.2.3+post4dev5"),
            ("1!2.3", None),
            ("2.0+local", None),
        ],
    )
    def test_plugin_version_follows_from_the_packages(self, release: str, version: str | None) -> None:
        """A PEP 440 version becomes the plugin's semantic one, or none where that cannot be told."""
        assert _plugin_version(release) == version


class TestPackages:
    """What a program needs."""

    def test_required_packages(self, host: Any, tmp_path: Path) -> None:
        """Packages of Pulumi are listed with plugin name and version; those without a plugin are not."""
        installed(tmp_path, "pulumi_aws-7.51.1", '{"resource": true, "name": "aws", "version": "7.51.0"}')
        installed(tmp_path, "pulumi_random-4.1b2")
        installed(tmp_path, "own_cloud-1.0.0", '{"resource": true, "server": "https://plugins.example.org"}')
        installed(tmp_path, "pulumi_nothing-1.0.0", '{"resource": false}')
        installed(tmp_path, "pulumi_policy-1.21.0")
        installed(tmp_path, "requests-2.0.0")
        installed(
            tmp_path,
            "pulumi_bridged-1.0.0",
            '{"resource": true, "name": "terraform-provider", "version": "0.1.0",'
            ' "parameterization": {"name": "bridged", "version": "1.0.0", "value": "eyJ9"}}',
        )
        told = host.GetRequiredPackages(
            language_pb2.GetRequiredPackagesRequest(info=info(tmp_path, virtualenv=".venv"))
        ).packages
        assert {(one.name, one.version, one.server, one.kind) for one in told} == {
            ("aws", "v7.51.0", "", "resource"),
            ("random", "v4.1.0-beta.2", "", "resource"),
            ("own-cloud", "v1.0.0", "https://plugins.example.org", "resource"),
            ("terraform-provider", "v0.1.0", "", "resource"),
        }
        (bridged,) = (one for one in told if one.parameterization.name)
        assert (bridged.parameterization.name, bridged.parameterization.value) == ("bridged", b'{"}')

    def test_this_project_requires_aws(self, host: Any, tmp_path: Path) -> None:
        """In the host's own environment the one plugin required is that of `pulumi-aws`."""
        told = host.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=info(tmp_path))).packages
        assert [one.name for one in told] == ["aws"]

    def test_dependencies(self, host: Any, tmp_path: Path) -> None:
        """All packages are listed, or only those that no other one requires."""
        installed(tmp_path, "one-1.0")
        installed(tmp_path, "two-2.0")
        metadata = tmp_path / ".venv/lib/python3.11/site-packages/two-2.0.dist-info/METADATA"
        metadata.write_text(metadata.read_text() + "Requires-Dist: One (>=1) ; python_version > '3'\n")

        def names(transitive: bool) -> list[tuple[str, str]]:
            request = language_pb2.GetProgramDependenciesRequest(
                info=info(tmp_path, virtualenv=".venv"), transitiveDependencies=transitive
            )
            return [(one.name, one.version) for one in host.GetProgramDependencies(request).dependencies]

        assert names(transitive=True) == [("one", "1.0"), ("two", "2.0")]
        assert names(transitive=False) == [("two", "2.0")]

    def test_install_makes_the_environment(self, host: Any, tmp_path: Path) -> None:
        """`pulumi install` makes the virtual environment that the project names and streams what that prints."""
        request = language_pb2.InstallDependenciesRequest(info=info(tmp_path, virtualenv="env", toolchain="pip"))
        list(host.InstallDependencies(request))
        assert (tmp_path / "env" / "bin" / "python").exists()

    def test_install_says_what_failed(self, host: Any, tmp_path: Path) -> None:
        """A command that fails is named with its folder, after its own words."""
        (tmp_path / "requirements.txt").write_text("-r missing.txt\n")
        fake = tmp_path / "env" / "bin" / "python"
        fake.parent.mkdir(parents=True)
        fake.write_text("#!/bin/sh\necho no such file >&2\nexit 4\n")
        fake.chmod(0o755)
        request = language_pb2.InstallDependenciesRequest(info=info(tmp_path, virtualenv="env", toolchain="pip"))
        told: list[bytes] = []
        with pytest.raises(grpc.RpcError, match=r"ended with exit code 4"):
            told.extend(block.stderr for block in host.InstallDependencies(request))
        assert b"".join(told) == b"no such file\n"

    def test_install_without_uv_names_the_way_out(
        self, host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A uv project on a machine without uv is told so."""
        monkeypatch.setenv("PATH", str(tmp_path))
        request = language_pb2.InstallDependenciesRequest(info=info(tmp_path, toolchain="uv"))
        with pytest.raises(grpc.RpcError, match="`uv` is not installed"):
            list(host.InstallDependencies(request))


PROGRAM = """
import os, pathlib, sys, pulumi
config = pulumi.Config()
pulumi.export("seen", [pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization(),
    pulumi.runtime.is_dry_run(), config.require_int("size"), sys.argv, os.getcwd(), sys.stdin.read(),
    pulumi.runtime.get_root_directory(), [path for path in sys.path if path.endswith("local/engine")],
    [name for name, value in os.environ.items() if "hush" in value]])
pulumi.export("key", config.require_secret("key"))
print("to stdout")
print("to stderr", file=sys.stderr)
"""


class TestRun:
    """Running programs."""

    def test_hands_over_all_the_engine_says(
        self, host: Any, ears: Ears, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A program sees project, stack, organization, config, arguments; secrets are marked and in no environment."""
        response = run(host, tmp_path, PROGRAM)
        assert (response.error, response.bail, ears.errors()) == ("", False, [])
        here = str(tmp_path)
        assert ears.outputs["seen"] == ["shop", "dev", "org", True, 3, [".", "one"], here, "", here, [], []]
        assert ears.outputs["key"]["value"] == "hush"
        assert capfd.readouterr() == ("to stdout\n", "to stderr\n")

    def test_mistake_is_one_message(self, host: Any, ears: Ears, tmp_path: Path) -> None:
        """A `pulumi.RunError` is shown as it is, once, without a trace."""
        assert run(host, tmp_path, "import pulumi\nraise pulumi.RunError('set shop:size')").bail
        assert ears.errors() == ["set shop:size"]

    def test_trace_is_the_programs_own(self, host: Any, ears: Ears, tmp_path: Path) -> None:
        """An exception and its cause are shown from the program's first line on, with nothing of the host's."""
        program = (
            "def f():\n    try:\n        1 / 0\n    except Exception as e:\n        raise KeyError('k') from e\nf()\n"
        )
        assert run(host, tmp_path, program).bail
        (message,) = ears.errors()
        frames = [line.strip() for line in message.splitlines() if line.strip().startswith("File ")]
        assert frames == [
            f'File "{tmp_path}/__main__.py", line 3, in f',
            f'File "{tmp_path}/__main__.py", line 6, in <module>',
            f'File "{tmp_path}/__main__.py", line 5, in f',
        ]
        assert message.startswith("Program failed with an unhandled exception:\nTraceback")
        assert message.endswith("KeyError: 'k'\n")

    def test_syntax_error_shows_the_line(self, host: Any, ears: Ears, tmp_path: Path) -> None:
        """A program that does not parse is shown with its line and no importer's frames."""
        assert run(host, tmp_path, "x = (\n").bail
        assert "SyntaxError: '(' was never closed" in ears.errors()[0]
        assert "importlib" not in ears.errors()[0]

    @pytest.mark.parametrize(
        ("program", "told"),
        [
            ("import sys; sys.exit(3)", "The program ended with exit code 3."),
            ("import os; os.kill(os.getpid(), 9)", "The program was ended by SIGKILL."),
        ],
    )
    def test_other_ends_are_told(self, host: Any, ears: Ears, tmp_path: Path, program: str, told: str) -> None:
        """A program that leaves by itself or is killed is told as one error."""
        assert run(host, tmp_path, program).bail
        assert ears.errors() == [told]

    def test_missing_environment_is_named(self, host: Any, ears: Ears, tmp_path: Path) -> None:
        """A virtual environment that does not exist is one error that names it and the way out."""
        assert run(host, tmp_path, "", virtualenv="env").bail
        (message,) = ears.errors()
        assert str(tmp_path / "env") in message
        assert "pulumi install" in message

    def test_failed_type_check_is_shown(self, host: Any, ears: Ears, tmp_path: Path) -> None:
        """With `typechecker` the program is not run when that finds errors, which are shown."""
        response = run(host, tmp_path, "x: int = 'one'\n", typechecker="mypy")
        assert response.bail
        (message,) = ears.errors()
        assert "Incompatible types in assignment" in message

    def test_no_program_is_one_error(self, host: Any, ears: Ears, tmp_path: Path) -> None:
        """A folder without __main__.py is named."""
        assert host.Run(asking(host, tmp_path)).bail
        assert f"{tmp_path} has no __main__.py" in ears.errors()[0]

    def test_python_without_pulumi_is_named(self, host: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A Python that has no SDK is named, with the way out, and without a trace."""
        python = tmp_path / "env" / "bin" / "python"
        python.parent.mkdir(parents=True)
        # -S: without site-packages, so without the SDK.
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
        python.chmod(0o755)
        assert run(host, tmp_path, "import pulumi", virtualenv="env").bail
        told = capfd.readouterr().err
        assert "has no Pulumi SDK" in told
        assert "Traceback" not in told

    def test_cancel_interrupts_the_program(self, host: Any, tmp_path: Path) -> None:
        """`Cancel` ends a running program with SIGINT; its call then returns and says nothing more."""
        started = tmp_path / "started"
        os.mkfifo(started)
        program = f"open({str(started)!r}, 'w').write('yes')\nimport signal\nsignal.pause()\n"
        with futures.ThreadPoolExecutor(1) as pool:
            response = pool.submit(run, host, tmp_path, program)
            assert started.read_text() == "yes"
            host.Cancel(empty_pb2.Empty())
            assert response.result(10).bail


class TestRunPlugin:
    """Policy packs and plugins."""

    def request(self, folder: Path, kind: str, **more: Any) -> language_pb2.RunPluginRequest:
        """Ask for the plugin in a folder, run by a fake Python that shows how it was started."""
        python = folder / "env" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text('#!/bin/sh\necho 4711\necho "$@"\npwd >&2\necho "$GIVEN $VIRTUAL_ENV" >&2\nexit 5\n')
        python.chmod(0o755)
        environment = [f"PATH={os.environ['PATH']}", "GIVEN=so"]
        return language_pb2.RunPluginRequest(
            info=info(folder, virtualenv="env", **more), args=["127.0.0.1:1"], env=environment, kind=kind, pwd="/"
        )

    def gather(self, stream: Any) -> tuple[str, str, int | None]:
        """Read a plugin's whole stream: stdout, stderr, exit code."""
        out, err, code = b"", b"", None
        for one in stream:
            out, err = out + one.stdout, err + one.stderr
            code = one.exitcode if one.WhichOneof("output") == "exitcode" else code
        return out.decode(), err.decode(), code

    def test_policy_pack(self, host: Any, tmp_path: Path) -> None:
        """A policy pack runs in its own folder and environment, with engine and pack as arguments."""
        (tmp_path / "__main__.py").touch()
        out, err, code = self.gather(host.RunPlugin(self.request(tmp_path, "analyzer")))
        assert out == f"4711\n-u -m pulumi.policy 127.0.0.1:1 {tmp_path}\n"
        assert err == f"{tmp_path}\nso {tmp_path}/env\n"
        assert code == 5

    def test_provider_folder(self, host: Any, tmp_path: Path) -> None:
        """A provider in a folder runs where the engine asks, the folder first."""
        (tmp_path / "__main__.py").touch()
        out, err, _ = self.gather(host.RunPlugin(self.request(tmp_path, "resource")))
        assert out == f"4711\n-u {tmp_path} 127.0.0.1:1\n"
        assert err.startswith("/\n")

    def test_provider_package(self, host: Any, tmp_path: Path) -> None:
        """A buildable package without __main__.py runs by its name."""
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "my-provider"\n[build-system]\nrequires = []\n')
        out, _, _ = self.gather(host.RunPlugin(self.request(tmp_path, "resource")))
        assert out == "4711\n-u -m pulumi.run.plugin my-provider 127.0.0.1:1\n"

    def test_neither_is_an_error(self, host: Any, tmp_path: Path) -> None:
        """A folder that is neither is refused with what it lacks."""
        with pytest.raises(grpc.RpcError, match=r"neither a __main__\.py nor a pyproject\.toml"):
            list(host.RunPlugin(self.request(tmp_path, "resource")))

    def test_missing_environment_is_an_error(self, host: Any, tmp_path: Path) -> None:
        """A plugin whose own environment has not been made is named with the way out."""
        with pytest.raises(grpc.RpcError, match=r"venv of this project does not exist.*pulumi install"):
            list(host.RunPlugin(language_pb2.RunPluginRequest(info=info(tmp_path), kind="resource")))

    def test_ends_with_its_call(self, host: Any, tmp_path: Path) -> None:
        """When the engine drops the call the plugin is interrupted."""
        (tmp_path / "__main__.py").touch()
        request = self.request(tmp_path, "resource")
        (tmp_path / "env" / "bin" / "python").write_text("#!/bin/sh\necho $$\nexec sleep 600\n")
        stream = host.RunPlugin(request)
        plugin = psutil.Process(int(next(stream).stdout))
        stream.cancel()
        assert plugin.wait(10) is not None or not plugin.is_running()


class TestProcess:
    """The host as a process."""

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the executable that the engine starts."""
        return subprocess.Popen([find.LANGUAGE_HOST, *arguments], stdout=subprocess.PIPE, text=True)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_prints_its_port_and_ends_on_a_signal(self, number: signal.Signals) -> None:
        """The first line is the port, there is no second, and a signal ends it at once with exit code 0."""
        with self.start() as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                assert LanguageRuntimeStub(channel).GetPluginInfo(empty_pb2.Empty()).version
            process.send_signal(number)
            assert process.wait(10) == 0
            assert process.stdout.read() == ""

    def test_does_not_outlive_the_engine(self, tmp_path: Path) -> None:
        """When the engine is killed the host notices and ends."""
        script = f"{find.LANGUAGE_HOST} 127.0.0.1:1 & echo $!; wait"
        with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True) as engine:
            assert engine.stdout is not None
            host = psutil.Process(int(engine.stdout.readline()))
            assert int(engine.stdout.readline())
            engine.kill()
            gone, alive = psutil.wait_procs([host], timeout=10)
            assert (len(gone), alive) == (1, [])

    def test_is_quick_to_answer(self) -> None:
        """The host does not load the SDK, which would cost half a second of every command."""
        code = (
            "import sys; from local.engine import host; host._skip_sdk(); from local.engine import language; "
            "print('pulumi.automation' in sys.modules, 'pulumi.resource' in sys.modules)"
        )
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert told.stdout == "False False\n"
