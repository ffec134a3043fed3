"""The local stack: the one-machine cloud as a process, and the kit deployed on it by the real Pulumi engine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import psutil
import yaml

from cli.errors import TAKEN_PORT, UserError
from cli.home import PROJECT, STACK, CloudInfo, Home
from local.engine.events import Result, Step
from local.engine.find import Engine
from local.engine.workspace import Workspace

START_LIMIT = 60.0
STOP_LIMIT = 30.0
AWS_PLUGIN = "pulumi-resource-aws"
PORT_NAMES = ("aws", "twilio", "gateway")


class LocalStack:
    """One local stack in one home folder.

    `say` gets a line for every thing worth telling. `masking` replaces what the committed file says; None leaves it as
    it was deployed last. Without `checkpoints` a deployment takes half the time, and cannot go on where it was killed:
    for a stack that is wiped in the end. Raises UserError for everything a person can mend.
    """

    def __init__(
        self,
        home: Home,
        engine: Engine,
        say: Callable[[str], None] = lambda _: None,
        masking: str | None = None,
        *,
        checkpoints: bool = True,
    ) -> None:
        self.home = home
        self.engine = engine
        self._say = say
        self._masking = masking
        self._checkpoints = checkpoints

    def start_cloud(self, port: int | None = None) -> CloudInfo:
        """Start the one-machine cloud unless it runs already, and return its addresses.

        `port` is the first of three (AWS, Twilio, gateway); 0 takes free ones; None takes those of the last run.
        """
        running = self.home.cloud()
        if running and port and not running.aws_endpoint.endswith(f":{port}"):
            raise UserError(
                f"the local cloud runs already, at {running.aws_endpoint}: stop it with `parley local down`, "
                f"then start it with `--port {port}`"
            )
        if running:
            return running
        self.home.make()
        if self.home.cloud_json.exists():  # a cloud that ends in good order takes it away
            self.home.lost_marker.touch()
            self.home.cloud_json.unlink()
        with (
            self.home.cloud_log.open("ab") as log,
            (self.home.path / "cloud.err").open("w+") as errors,
            _dying_with_us(self._spawn(log, errors, self._ports(port))) as process,
        ):
            deadline = time.monotonic() + START_LIMIT
            while (info := self.home.cloud()) is None:
                if process.poll() is not None:
                    errors.seek(0)
                    raise self._start_error(process.returncode, errors.read())
                if time.monotonic() > deadline:
                    raise UserError(f"the local cloud did not start in {START_LIMIT:.0f} s: see {self.home.cloud_log}")
                time.sleep(0.02)
            # It outlives this command; while both live, somebody has to take note of its end.
            threading.Thread(target=process.wait, daemon=True).start()
        self._remember_ports(info)
        return info

    def deploy(self, on_step: Callable[[Step, bool], None] | None = None) -> Result:
        """Bring the deployment up to the program; after a lost cloud everything is looked at and rebuilt first."""
        workspace = self.workspace(on_step)
        self.configure(workspace)
        if self.home.lost_marker.exists():
            self._say(
                "the local cloud was killed and its state is gone: the deployment is rebuilt; consents, sessions, "
                "records and messages that were in it are not"
            )
        result = workspace.up(refresh=self.home.lost_marker.exists())
        self.home.lost_marker.unlink(missing_ok=True)
        return result

    def workspace(self, on_step: Callable[[Step, bool], None] | None = None) -> Workspace:
        """Return the Pulumi workspace of this stack; the cloud must run. `on_step` hears of each resource."""
        info = self._running()
        return Workspace(
            engine=self.engine,
            home=self.home.path,
            project=PROJECT,
            stack=STACK,
            environment={**info.aws_environment(), "PARLEY_GATEWAY_URL": info.gateway_url},
            config_file=self.home.stack_file,
            plugins=official_aws_plugin(os.environ),
            checkpoints=self._checkpoints,
            report=lambda news: self._say(str(news)),
            on_step=on_step,
        )

    def configure(self, workspace: Workspace) -> None:
        """Make the stack and its config file from the committed template and this cloud's addresses and secrets."""
        info = self._running()
        template = (PROJECT / f"Pulumi.{STACK}.yaml").read_text()
        plain = {
            "parley:twilioAccountSid": info.twilio_account_sid,
            "parley:twilioApiKey": info.twilio_api_key,
            "parley:twilioEndpoint": info.twilio_endpoint,
            "aws:region": info.aws_region,
            # For the official AWS plugin: what only the real AWS could answer is not asked.
            **dict.fromkeys(
                (
                    "aws:s3UsePathStyle",
                    "aws:skipCredentialsValidation",
                    "aws:skipMetadataApiCheck",
                    "aws:skipRequestingAccountId",
                ),
                "true",
            ),
        }
        secret = {
            "parley:twilioApiSecret": info.twilio_api_secret,
            "parley:twilioAuthToken": info.twilio_auth_token,
        }
        kept = _mapping(self.home.stack_file) if self.home.stack_file.exists() else {}
        if masking := self._masking or kept.get("config", {}).get("parley:masking"):
            plain["parley:masking"] = masking
        digest = hashlib.sha256(json.dumps([template, plain, secret], sort_keys=True).encode()).hexdigest()
        stamp = self.home.path / "configured"
        if self.home.stack_file.exists() and stamp.exists() and stamp.read_text() == digest:
            return
        made = _mapping(PROJECT / f"Pulumi.{STACK}.yaml")
        if salt := kept.get("encryptionsalt"):
            made["encryptionsalt"] = salt
        made.setdefault("config", {}).update(plain)
        self.home.stack_file.write_text(yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
        workspace.init()
        workspace.set_all_config({}, secret)
        stamp.write_text(digest)

    def wipe(self) -> None:
        """Stop the cloud and remove everything that Parley keeps in this home; there is no way back."""
        stop_cloud(self.home, self._say, keep=False)
        self.home.wipe()

    def memory_mib(self) -> float:
        """Return the resident memory of the whole local cloud, functions and all, in MiB."""
        info = self._running()
        total = 0
        process = psutil.Process(info.pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
        return total / 2**20

    def _running(self) -> CloudInfo:
        info = self.home.cloud()
        if info is None:
            raise UserError(f"no local cloud runs for {self.home.path}: start it with `parley local up`")
        return info

    def _ports(self, first: int | None) -> dict[str, int]:
        if first:
            return {name: first + i for i, name in enumerate(PORT_NAMES)}
        if first is None:
            with contextlib.suppress(OSError, ValueError):
                known = json.loads(self.home.ports_json.read_text())
                return {name: int(known.get(name, 0)) for name in PORT_NAMES}
        return dict.fromkeys(PORT_NAMES, 0)

    def _remember_ports(self, info: CloudInfo) -> None:
        urls = {"aws": info.aws_endpoint, "twilio": info.twilio_endpoint, "gateway": info.gateway_url}
        self.home.ports_json.write_text(json.dumps({n: int(u.rpartition(":")[2]) for n, u in urls.items()}))

    def _spawn(self, log: IO[bytes], errors: IO[str], ports: dict[str, int]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "local.cloud", "--home", str(self.home.path)]
        for name, port in ports.items():
            command += [f"--{name}-port", str(port)]
        # Compiled modules are kept even where the shell asks not to: compiling moto anew takes seconds of every start.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHONDONTWRITEBYTECODE"))}
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=errors,
            start_new_session=True,
        )

    def _start_error(self, code: int, said: str) -> UserError:
        lines = [line for line in said.splitlines() if line.strip()]
        if code in (3, 4) and lines:
            way_out = ": stop what listens there, or take free ones with `parley local up --port 0`"
            return UserError(lines[-1].partition(": stop")[0] + way_out if code == TAKEN_PORT else lines[-1], code)
        log = self.home.path / "cloud.err"
        return UserError(f"the local cloud ended with code {code} while starting: see {log}")


def _mapping(path: Path) -> dict[str, Any]:
    """Read a stack file. Raises UserError with the line when it is not YAML, or no mapping."""
    try:
        read = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        where = (
            f", line {error.problem_mark.line + 1}"
            if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark
            else ""
        )
        raise UserError(f"{path}{where}: this is not YAML: mend it, or take it back with `git checkout`") from None
    if not isinstance(read, dict) or not isinstance(read.get("config", {}), dict):
        raise UserError(
            f"{path}: a stack file is a mapping with `config:`; mend it, or take it back with `git checkout`"
        )
    return read


def official_aws_plugin(environment: Mapping[str, str]) -> list[Path]:
    """Return the folder of the official AWS plugin that `PARLEY_AWS_PLUGIN` names, to be used instead of the stand-in.

    Raises UserError when it holds no plugin.
    """
    named = environment.get("PARLEY_AWS_PLUGIN")
    if not named:
        return []
    folder = Path(named).expanduser().absolute()
    if not os.access(folder / AWS_PLUGIN, os.X_OK):
        raise UserError(
            f"PARLEY_AWS_PLUGIN={named}: there is no executable {AWS_PLUGIN} in it; get one with `pulumi plugin "
            "install resource aws` and name its folder below ~/.pulumi/plugins, or unset the variable"
        )
    return [folder]


def stop_cloud(home: Home, say: Callable[[str], None] = lambda _: None, *, keep: bool = True) -> bool:
    """Stop the cloud of a home, which keeps its state in a snapshot unless told not to; say whether one was running."""
    info = home.cloud()
    if info is None:
        return False
    process = psutil.Process(info.pid)
    process.send_signal(signal.SIGTERM if keep else signal.SIGQUIT)
    try:
        process.wait(STOP_LIMIT)
    except psutil.TimeoutExpired:
        process.kill()
        home.lost_marker.touch()
        say(f"the local cloud did not stop in {STOP_LIMIT:.0f} s and was killed; `parley local up` rebuilds it")
    home.cloud_json.unlink(missing_ok=True)
    return True


def status(home: Home) -> dict[str, Any]:
    """Return what an outside tool needs to reach the local stack; addresses are null when it does not run."""
    info = home.cloud()
    outputs = home.outputs()
    return {
        "running": info is not None,
        "home": str(home.path),
        "stack": STACK,
        "aws_endpoint": info.aws_endpoint if info else None,
        "aws_region": info.aws_region if info else None,
        "aws_access_key_id": info.aws_access_key_id if info else None,
        "aws_secret_access_key": info.aws_secret_access_key if info else None,
        "twilio_endpoint": info.twilio_endpoint if info else None,
        "twilio_account_sid": info.twilio_account_sid if info else None,
        "twilio_auth_token": info.twilio_auth_token if info else None,
        "gateway_url": outputs.get("gateUrl") or (info.gateway_url if info else None),
        "outputs": outputs,
        "pids": [info.pid, *(c.pid for c in psutil.Process(info.pid).children(recursive=True))] if info else [],
    }


@contextlib.contextmanager
def _dying_with_us(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill the process when the block is left by an error, so that an interrupted start leaves no orphan."""
    try:
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise
