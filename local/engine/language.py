"""What a language host does for the engine: run programs, policy packs and plugins written in Python.

The protocol is github.com/pulumi/pulumi/proto/pulumi/language.proto; the behaviour is that of the vendor's Go host
(sdk/python/cmd/pulumi-language-python/main.go), which no module registry carries. Code generation (`GenerateProgram`,
`GeneratePackage`, `Pack`, `Link`, `Template`), debuggers and poetry are not carried out: they need the real Pulumi.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import platform
import queue
import signal
import subprocess
import sys
import threading
import tomllib
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2, json_format

from local.engine import interpreter as interpreters
from local.engine import program
from local.engine.protocol import LanguageRuntimeServicer, engine_pb2, engine_pb2_grpc, language_pb2, plugin_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.engine.interpreter import Interpreter

_PROGRAM = Path(program.__file__)
_ANALYZER = "analyzer"
# How long a program or plugin may take to end after SIGINT before it is killed (the vendor's figure).
_GRACE_SECONDS = 5.0


class Language(LanguageRuntimeServicer):
    """Serve one engine; every program and plugin started here ends with `close`."""

    def __init__(self, engine_address: str) -> None:
        self._engine_address = engine_address
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Interrupt everything that still runs, kill what does not end in time, and wait for it."""
        with self._lock:
            children = list(self._children)
        for child in children:
            _interrupt(child)
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE_SECONDS)
            if child.poll() is None:
                child.kill()

    # -- about the host ---------------------------------------------------------------------------------------------

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Learn the engine's address, where the engine did not start this process itself."""
        self._engine_address = request.engine_address or self._engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Answer with the SDK's version, whose protocol this host speaks."""
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def About(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tell which Python runs the program."""
        python = self._interpreter(request.info, context)
        version = platform.python_version()
        if python.virtualenv is not None and python.exists:
            told = subprocess.run([python.executable, "-V"], capture_output=True, text=True, check=False).stdout
            version = told.removeprefix("Python ").strip() or version
        return language_pb2.AboutResponse(
            executable=str(python.executable), version=version, metadata={"toolchain": python.toolchain}
        )

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Ask nothing: the defaults stand."""
        return language_pb2.RuntimeOptionsResponse()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Interrupt whatever runs; their calls then end by themselves."""
        with self._lock:
            children = list(self._children)
        for child in children:
            _interrupt(child)
        return empty_pb2.Empty()

    # -- what a program needs ---------------------------------------------------------------------------------------

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:  # noqa: N802
        """List the provider plugins of the installed `pulumi-…` packages.

        A plugin on PATH satisfies the engine whatever its version, so nothing is downloaded for those that `local/bin`
        provides; what is nowhere, the engine fetches (or says that it cannot).
        """
        response = language_pb2.GetRequiredPackagesResponse()
        for package in interpreters.pulumi_packages(self._interpreter(request.info, context)):
            wanted = response.packages.add(
                name=package["name"], version=package["version"], server=package["server"], kind="resource"
            )
            if extra := package["parameterization"]:
                wanted.parameterization.name = extra["name"]
                wanted.parameterization.version = extra["version"]
                wanted.parameterization.value = base64.b64decode(extra["value"])
        return response

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:  # noqa: N802
        """List the installed packages, all of them or those that nothing else requires."""
        python = self._interpreter(request.info, context)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=name, version=version)
                for name, version in interpreters.installed(python, transitive=request.transitiveDependencies)
            ]
        )

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Make the environment the project names, with uv or pip, and stream what they print."""
        python = self._interpreter(request.info, context, plugin=request.is_plugin)
        folder = Path(request.info.program_directory or request.directory)
        commands: list[list[str]] = []
        if python.toolchain == "uv":
            commands.append(["uv", "sync"])
        else:
            if python.virtualenv is not None and not python.exists:
                commands.append([sys.executable, "-m", "venv", str(python.virtualenv)])
            pip = [str(python.executable), "-m", "pip", "install", "--disable-pip-version-check"]
            if request.is_plugin and _project_name(folder):
                commands.append([*pip, str(folder)])
            if (folder / "requirements.txt").is_file():
                commands.append([*pip, "-r", "requirements.txt"])
        for command in commands:
            yield from self._stream_install(command, folder, python, context)

    def _stream_install(self, command: list[str], folder: Path, python: Interpreter, context: Any) -> Iterator[Any]:
        environment = python.activate(os.environ)
        if python.toolchain == "uv" and python.virtualenv is not None:
            environment["UV_PROJECT_ENVIRONMENT"] = str(python.virtualenv)
        try:
            child = self._start(command, folder, environment, context)
        except FileNotFoundError:
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"`{command[0]}` is not installed, and this project's toolchain is uv. Install it "
                "(https://docs.astral.sh/uv/), or set runtime.options.toolchain to pip.",
            )
        for name, block in _output(child):
            yield language_pb2.InstallDependenciesResponse(
                stdout=block if name == "stdout" else b"", stderr=block if name == "stderr" else b""
            )
        if code := self._ended(child):
            context.abort(grpc.StatusCode.UNKNOWN, f"`{' '.join(command)}` in {folder} ended with exit code {code}.")

    # -- running ----------------------------------------------------------------------------------------------------

    def Run(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Run the program in an interpreter of its own and say how it ended.

        Its stdout and stderr are this process's, which the engine reads and shows. `bail` means that the user has been
        told already.
        """
        try:
            python = interpreters.choose(
                json_format.MessageToDict(request.info.options),
                Path(request.info.root_directory),
                Path(request.info.program_directory),
            )
            python.require()
            self._typecheck(python, request)
        except interpreters.OptionError as mistake:
            return self._tell(str(mistake))
        settings = {
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization or "organization",
            "root": request.info.root_directory,
            "pwd": request.pwd or request.info.program_directory,
            "program": request.info.entry_point or ".",
            "args": list(request.args),
            "config": dict(request.config),
            "secret_keys": list(request.configSecretKeys),
            "monitor": request.monitor_address,
            "engine": self._engine_address,
            "parallel": request.parallel,
            "dry_run": request.dryRun,
        }
        child = subprocess.Popen(
            [python.executable, "-u", _PROGRAM],
            cwd=request.info.program_directory,
            env=python.activate(os.environ),
            stdin=subprocess.PIPE,
        )
        self._track(child, context)
        assert child.stdin is not None  # noqa: S101 - asked for above
        with contextlib.suppress(BrokenPipeError), child.stdin as stdin:
            stdin.write(json.dumps(settings).encode())
        return self._verdict(self._ended(child))

    def _typecheck(self, python: Interpreter, request: Any) -> None:
        """Run the type checker that the project asks for; raise OptionError with what it says."""
        if python.typechecker is None:
            return
        folder = request.info.program_directory
        checked = subprocess.run(
            [python.executable, "-m", python.typechecker, folder],
            cwd=folder,
            env=python.activate(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        if checked.returncode:
            raise interpreters.OptionError(f"{python.typechecker} failed:\n{checked.stdout}{checked.stderr}".rstrip())

    def _verdict(self, code: int) -> Any:
        if code == 0:
            return language_pb2.RunResponse()
        if code in {program.TOLD_THE_USER, program.INTERRUPTED, -signal.SIGINT}:
            return language_pb2.RunResponse(bail=True)
        if code < 0:
            return self._tell(f"The program was ended by {signal.Signals(-code).name}.")
        return self._tell(f"The program ended with exit code {code}.")

    def _tell(self, message: str) -> Any:
        """Show the user one error and nothing after it; without an engine to tell, leave it to the caller."""
        if not self._engine_address:
            return language_pb2.RunResponse(error=message)
        with grpc.insecure_channel(self._engine_address) as channel:
            engine_pb2_grpc.EngineStub(channel).Log(
                engine_pb2.LogRequest(severity=engine_pb2.ERROR, message=message), timeout=_GRACE_SECONDS
            )
        return language_pb2.RunResponse(bail=True)

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Run a policy pack or a provider, stream its output (the first line is its port) and its exit code.

        A policy pack runs in its own folder as `python -m pulumi.policy ENGINE PACK`, a folder with `__main__.py` as
        `python FOLDER ENGINE`, an installed package as `python -m pulumi.run.plugin NAME ENGINE`.
        """
        info, analyzer = request.info, request.kind == _ANALYZER
        folder = Path(info.program_directory)
        python = self._interpreter(info, context, plugin=not analyzer)
        try:
            python.require()
        except interpreters.OptionError as mistake:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{folder}: {mistake}")
        if not (Path(info.root_directory) / "__main__.py").is_file():
            name = _project_name(Path(info.root_directory))
            if name is None:
                context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"{folder} cannot be run: it has neither a __main__.py nor a pyproject.toml with a build-system.",
                )
            arguments = ["-m", "pulumi.run.plugin", str(name), *request.args]
        elif analyzer:
            arguments = ["-m", "pulumi.policy", *request.args, str(folder)]
        else:
            arguments = [str(folder), *request.args]
        environment = dict(entry.split("=", 1) for entry in request.env) or dict(os.environ)
        child = self._start(
            [str(python.executable), "-u", *arguments],
            folder if analyzer else Path(request.pwd or folder),
            python.activate(environment),
            context,
        )
        for name, block in _output(child):
            if name == "stdout":
                yield language_pb2.RunPluginResponse(stdout=block)
            else:
                yield language_pb2.RunPluginResponse(stderr=block)
        yield language_pb2.RunPluginResponse(exitcode=self._ended(child))

    # -- processes --------------------------------------------------------------------------------------------------

    def _interpreter(self, info: Any, context: Any, *, plugin: bool = False) -> Interpreter:
        """Choose the interpreter of a request; a wrong option ends the call with its message."""
        try:
            return interpreters.choose(
                json_format.MessageToDict(info.options),
                Path(info.root_directory),
                Path(info.program_directory),
                plugin=plugin,
            )
        except interpreters.OptionError as mistake:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(mistake))
            raise

    def _start(
        self, command: list[str], folder: Path, environment: dict[str, str], context: Any
    ) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._track(child, context)
        return child

    def _track(self, child: subprocess.Popen[bytes], context: Any) -> None:
        """Bind a child's life to this host's and to the call that asked for it."""
        with self._lock:
            self._children.add(child)
        if not context.add_callback(lambda: _interrupt(child)):
            _interrupt(child)

    def _ended(self, child: subprocess.Popen[bytes]) -> int:
        code = child.wait()
        with self._lock:
            self._children.discard(child)
        return code


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    """Ask a child to end, and kill it when it has not after the grace."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGINT)
    killer = threading.Timer(_GRACE_SECONDS, child.kill)
    killer.daemon = True
    killer.start()


def _output(child: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield ("stdout" | "stderr", block) as a child writes, until both its streams have ended."""
    blocks: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()

    def pump(name: str, stream: IO[bytes]) -> None:
        with stream:
            while block := os.read(stream.fileno(), 65536):
                blocks.put((name, block))
        blocks.put(None)

    streams = {"stdout": child.stdout, "stderr": child.stderr}
    for name, stream in streams.items():
        threading.Thread(target=pump, args=(name, stream), daemon=True).start()
    for _ in streams:
        while (item := blocks.get()) is not None:
            yield item


def _project_name(folder: Path) -> str | None:
    """Return the name of the buildable Python package in a folder, or None if it is none (PEP 517, PEP 621)."""
    try:
        told = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return told.get("project", {}).get("name") if "build-system" in told else None
