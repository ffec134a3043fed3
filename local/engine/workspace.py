"""One stack of one project, driven by one engine, with everything it keeps in one home directory.

    home/state        the stack's state (a `file://` backend)
    home/pulumi       PULUMI_HOME: never the user's own, never a login
    home/passphrase   random, 0600: what the state's secrets are encrypted with

`pulumi.automation` would start three more processes for each `up` (outputs twice, history once; 0.3 s each) and knows
neither `--config-file` nor an interrupt, so this starts the command itself and reads the same event log.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml

from local.engine.bound import bound
from local.engine.errors import EngineError, EngineInterruptedError
from local.engine.events import Recorder, clean_output
from local.engine.progress import Progress, silent
from local.engine.recovery import OWNER, adopted, free_lock, identify, mend, pending_creates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from local.engine.events import Result, Step
    from local.engine.find import Engine
    from local.engine.progress import Report
    from local.engine.recovery import PendingCreate

    OnStep = Callable[[Step, bool], None]

# What a drift gate exits with (`preview --expect-no-changes`, `refresh --expect-no-changes`).
CHANGES_FOUND = 7
_REPOSITORY = Path(__file__).parents[2]
_FOREIGN = ("PULUMI_", "AWS_", "TWILIO_", "PYTHONDONTWRITEBYTECODE")  # the last: compiling anew takes 6 s of each `up`
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 20.0
_OUTPUTS: dict[Path, tuple[object, str]] = {}
"""What the engine last told of a stack's outputs, by its state file, with that file's identity, time and size."""


class UnexpectedChangesError(EngineError):
    """An operation that was to find no changes found some; `result` has them."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message, CHANGES_FOUND)
        self.result = result


class Workspace:
    """Drives the engine for one stack.

    `project` is the folder of Pulumi.yaml, `config_file` the stack's configuration (written to, so never a committed
    file), `environment` what the programs and plugins need beyond this process's own environment (AWS_ENDPOINT_URL, …);
    a PATH in it goes behind the engine's, `plugins`, `local/bin` and the virtual environment. `plugins` are folders of
    provider plugins that are taken before the stand-ins of `local/bin`. Without `checkpoints` the state is written at
    the end only, not after each resource: an engine that is killed then leaves it as it was before. `report` hears of
    recoveries, `on_step(step, ended)` of every resource. Every method raises EngineError with one message for the user.
    """

    def __init__(
        self,
        engine: Engine,
        home: Path,
        project: Path,
        stack: str,
        environment: Mapping[str, str],
        config_file: Path,
        *,
        plugins: Sequence[Path] = (),
        checkpoints: bool = True,
        report: Report = silent,
        on_step: OnStep | None = None,
    ) -> None:
        self.engine = engine
        self.home = home.resolve()
        self.project = project.resolve()
        self.stack = stack
        self.config_file = config_file.resolve()
        self.state = self.home / "state"
        self._passphrase = self.home / "passphrase"
        self._report = report
        self._on_step = on_step
        # Of 400 resources the engine spends two thirds of its time on checkpoints.
        unwritten = {} if checkpoints else {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
        self._environment = self._complete({**environment, **unwritten}, plugins)

    # -- setting up -------------------------------------------------------------------------------------------------

    def init(self) -> None:
        """Make the home directory and the stack, as far as they are missing."""
        for folder in (self.home, self.state, self.home / "pulumi"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The engine logs whatever it does there, compressed and encrypted, which takes a third of its time; it has no
        # switch, and goes on without where it cannot make the folder.
        (self.home / "pulumi" / "logs").touch()
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(self._passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, secrets.token_urlsafe(32).encode())
            os.close(descriptor)
        if self._state_file.is_file():
            return
        # `stack init` writes the salt of the passphrase to Pulumi.STACK.yaml beside Pulumi.yaml, whatever is asked.
        with tempfile.TemporaryDirectory(dir=self.home, prefix="init-") as empty:
            Path(empty, "Pulumi.yaml").write_text(f"name: {self._project_name()}\nruntime: python\n", "utf-8")
            self._command("stack", "init", self.stack, "--no-select", cwd=Path(empty))

    def set_config(self, key: str, value: str, *, secret: bool = False, path: bool = False) -> None:
        """Set one key (`namespace:name`) of the configuration; secrets are encrypted with the home's passphrase.

        With `path` it is one key of an object, such as `parley:tags.team`.
        """
        # The value goes by stdin: every process of the machine can read a command line.
        flags = ["--secret" if secret else "--plaintext", *(["--path"] if path else [])]
        self._command("config", "set", *flags, key, *self._where(), given=value)

    def set_all_config(self, plain: Mapping[str, str], secret: Mapping[str, str] | None = None) -> None:
        """Set several keys, and only those that differ from what the configuration holds (a call costs 0.3 s)."""
        held = self.config()
        changed = {key: value for key, value in plain.items() if held.get(key) != (value, False)}
        if changed:
            flags = [part for key, value in changed.items() for part in ("--plaintext", f"{key}={value}")]
            self._command("config", "set-all", *flags, *self._where())
        for key, value in (secret or {}).items():
            if held.get(key) != (value, True):
                self.set_config(key, value, secret=True)

    def config(self) -> dict[str, tuple[str, bool]]:
        """Return the configuration: key -> (value in clear, whether it is a secret)."""
        if not self.config_file.is_file():
            return {}
        told = json.loads(self._command("config", "--show-secrets", "--json", *self._where()))
        return {key: (one.get("value", ""), bool(one.get("secret"))) for key, one in told.items()}

    # -- operations -------------------------------------------------------------------------------------------------

    def preview(self, *, expect_no_changes: bool = False, policy_packs: Sequence[Path] = ()) -> Result:
        """Show what `up` would do; with `expect_no_changes` raise UnexpectedChangesError if that is anything."""
        result = self._operate("preview", *_packs(policy_packs))
        return self._unchanged(result, "differs from what is declared") if expect_no_changes else result

    def up(self, *, refresh: bool = False, policy_packs: Sequence[Path] = ()) -> Result:
        """Make what is declared true; with `refresh` look at what is there first, and make what has gone again."""
        self._recover()
        flags = ["--refresh"] if refresh else []
        return self._operate("up", "--yes", "--skip-preview", *flags, *_packs(policy_packs))

    def refresh(self, *, preview_only: bool = False, expect_no_changes: bool = False) -> Result:
        """Compare the state with what is there and, but for `preview_only`, take that over into the state."""
        if preview_only:
            result = self._operate("refresh", "--preview-only")
        else:
            self._recover()
            result = self._operate("refresh", "--yes", "--skip-preview")
        return self._unchanged(result, "has drifted from its state") if expect_no_changes else result

    def destroy(self) -> Result:
        """Delete everything that the stack has made."""
        self._recover()
        return self._operate("destroy", "--yes", "--skip-preview")

    def import_resource(self, type: str, name: str, id: str) -> Result:  # noqa: A002 - the engine's own words
        """Take an existing object into the state, under the type token and name that the program uses for it."""
        self._recover()
        flags = ("--yes", "--skip-preview", "--generate-code=false", "--protect=false")
        return self._operate("import", type, name, id, *flags)

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, secrets in clear; while the state stays as it is, the engine is asked once."""
        written = self._state_file.stat() if self.state.is_dir() and self._state_file.is_file() else None
        key = written and (written.st_ino, written.st_mtime_ns, written.st_size)
        if key is None or _OUTPUTS.get(self._state_file, (None, ""))[0] != key:
            told = self._command("stack", "output", "--json", "--show-secrets", *self._stack())
            _OUTPUTS[self._state_file] = key, told
        found: dict[str, Any] = json.loads(_OUTPUTS[self._state_file][1])
        return found

    def export(self) -> dict[str, Any]:
        """Return the whole state, secrets encrypted."""
        found: dict[str, Any] = json.loads(self._command("stack", "export", *self._stack()))
        return found

    @property
    def _state_file(self) -> Path:
        return self.state / ".pulumi" / "stacks" / self._project_name() / f"{self.stack}.json"

    # -- recovery ---------------------------------------------------------------------------------------------------

    def identify(self, pending: PendingCreate) -> str | None:
        """Return the ID under which a half-made resource would be found; a subclass may know more types.

        A wrong guess does no harm: an object that is not there is dropped again and made by the next `up`.
        """
        return identify(pending)

    def _recover(self) -> None:
        """Let go on where a killed operation stopped: remove its lock, take what it had made into the state.

        `refresh --import-pending-creates` is no help: the engine (3.259) drops those resources. So each one whose ID is
        told by its name is written into the state, and a refresh of just these then reads them or finds them gone.
        """
        name = self._project_name()
        if message := free_lock(self.state, name, self.stack, self._report):
            self._report(Progress(message))
            if message := mend(self.state, name, self.stack):
                self._report(Progress(message))
        if not (pending := pending_creates(self.state, name, self.stack)):
            return
        making = ", ".join(f"{one.type} {one.name}" for one in pending)
        self._report(Progress(f"It was making {making}; looking for what is there of it."))
        found = {one.urn: guess for one in pending if (guess := self.identify(one))}
        before = self.export()
        self.import_state(adopted(before, found))
        if not found:
            return
        try:
            targets = [part for urn in found for part in ("--target", urn)]
            self._operate("refresh", "--yes", "--skip-preview", *targets)
        except EngineError as error:
            self.import_state(adopted(before, {}))
            self._report(Progress(f"It could not be looked for, so it is made again. {error}"))

    def import_state(self, state: dict[str, Any]) -> None:
        """Replace the state; the engine checks that it is sound and drops operations left open."""
        self._command("stack", "import", *self._stack(), given=json.dumps(state))

    # -- the engine's process ---------------------------------------------------------------------------------------

    def _operate(self, operation: str, *arguments: str) -> Result:
        """Run one operation to its end and return what it did."""
        with tempfile.TemporaryDirectory(dir=self._home(), prefix="events-") as folder:
            log = Path(folder, "events")
            log.touch()
            recorder = Recorder(self._on_step)
            began = time.monotonic()
            with log.open("rb") as events:
                command = (operation, *arguments, "--event-log", str(log), *self._where())
                code, output, interrupted = self._run(command, lambda: _take(events, recorder))
        result = recorder.result(time.monotonic() - began)
        if interrupted:
            raise EngineInterruptedError(
                f"`{operation}` was interrupted; the engine has ended in good order. Run it again to go on."
            )
        if code < 0:
            raise EngineError(
                f"`{operation}` was cut short: the engine was ended by {signal.Signals(-code).name}. "
                "Run it again to go on.",
                128 - code,
            )
        if code:
            errors = recorder.told() or clean_output(output) or [f"exit code {code}"]
            raise EngineError(f"`{operation}` failed:\n" + "\n".join(errors), code)
        return result

    def _command(self, *arguments: str, given: str = "", cwd: Path | None = None) -> str:
        """Run one of the quick commands and return what it prints."""
        self._home()
        done = subprocess.run(
            [self.engine.executable, *arguments, "--non-interactive", "--color", "never"],
            cwd=cwd or self.project,
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            what = " ".join(arguments[:2])
            raise EngineError(f"`pulumi {what}` failed:\n" + "\n".join(clean_output(done.stderr)), done.returncode)
        return done.stdout

    def _run(self, arguments: Sequence[str], watch: Callable[[], None]) -> tuple[int, str, bool]:
        """Run the engine in a session of its own; returns its exit code, its output and whether it was interrupted.

        Of its own, so that it hears an interrupt once, from here: its plugins then end in order and the state is saved.
        """
        interrupts: list[int] = []
        with (
            tempfile.TemporaryFile(dir=self.home) as output,
            self._started(arguments, output, interrupts) as child,
            _passing_on(child, interrupts),
        ):
            while True:
                try:
                    child.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    watch()
                    continue
                break
            watch()
            output.seek(0)
            return child.returncode, output.read().decode("utf-8", "replace"), bool(interrupts)

    @contextlib.contextmanager
    def _started(
        self, arguments: Sequence[str], output: IO[bytes], interrupts: Sequence[int]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start the engine; if the block is left while it runs, interrupt it, unless that was done, and wait.

        Where this process is killed in the block, Linux interrupts the engine.
        """
        command = [str(self.engine.executable), *arguments, "--non-interactive", "--color", "never"]
        child = subprocess.Popen(
            bound(command, signal.SIGINT),
            cwd=self.project,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            if child.poll() is None:
                if not interrupts:
                    child.send_signal(signal.SIGINT)
                try:
                    child.wait(_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    def _complete(self, environment: Mapping[str, str], plugins: Sequence[Path]) -> dict[str, str]:
        """Return the engine's whole environment: this process's, the caller's, and what keeps it to the home."""
        merged = {**os.environ, **environment}
        # The user's own backend, token, profile or account must not reach the local stack.
        for name in [one for one in merged if one.startswith(_FOREIGN) and one not in environment]:
            del merged[name]
        folders = [
            *self.engine.search_path(),
            *map(str, plugins),
            str(_REPOSITORY / "local" / "bin"),
            str(_REPOSITORY / ".venv" / "bin"),
            *environment.get("PATH", os.environ.get("PATH", os.defpath)).split(os.pathsep),
        ]
        return {
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",  # local/bin has them; no download is ever tried
            "USER": "parley",  # the engine names a lock's owner, and a container may have no such user
            **merged,
            **self.engine.environment(),
            "PATH": os.pathsep.join(dict.fromkeys(folders)),
            "PULUMI_HOME": str(self.home / "pulumi"),
            "PULUMI_BACKEND_URL": self.state.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase),
            OWNER: str(os.getpid()),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "GOGC": "400",  # garbage is looked for when there is five times as much: an operation takes seconds
            "PULUMI_DEBUG_COMMANDS": "true",  # --event-log is listed among these
        }

    def _project_name(self) -> str:
        """Return the project's name from Pulumi.yaml."""
        file = self.project / "Pulumi.yaml"
        try:
            told = yaml.safe_load(file.read_text("utf-8"))
            return str(told["name"])
        except FileNotFoundError:
            raise EngineError(f"{self.project} is no Pulumi project: it has no Pulumi.yaml.") from None
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise EngineError(f"{file} cannot be read: {error}") from None

    def _home(self) -> Path:
        """Return the home directory, once `init` has made it."""
        if not self._passphrase.is_file():
            raise EngineError(f"{self.home} has not been set up: there is no passphrase. Run `init` first.")
        return self.home

    def _stack(self) -> tuple[str, ...]:
        return "--stack", self.stack

    def _where(self) -> tuple[str, ...]:
        return "--stack", self.stack, "--config-file", str(self.config_file)

    @staticmethod
    def _unchanged(result: Result, how: str) -> Result:
        if result.changed:
            listed = "\n".join(f"  {step}" for step in result.steps)
            raise UnexpectedChangesError(f"The stack {how}:\n{listed}", result)
        return result


@contextlib.contextmanager
def _passing_on(child: subprocess.Popen[bytes], passed: list[int]) -> Iterator[None]:
    """Pass SIGINT, SIGTERM and SIGHUP on to the engine as SIGINT instead of ending here; `passed` notes them.

    A second one makes the engine end at once, but for SIGHUP: kernel and shell may each send one for the same terminal.
    Only the main thread may set handlers; in another nothing is passed on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, _: object) -> None:
        if number == signal.SIGHUP and passed:
            return
        passed.append(number)
        child.send_signal(signal.SIGINT)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup`
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _take(events: IO[bytes], recorder: Recorder) -> None:
    """Give the recorder what is complete in the event log by now."""
    while line := events.readline():
        if not line.endswith(b"\n"):
            events.seek(-len(line), os.SEEK_CUR)
            return
        recorder.take(json.loads(line))


def _packs(policy_packs: Sequence[Path]) -> list[str]:
    return [part for pack in policy_packs for part in ("--policy-pack", str(pack))]
