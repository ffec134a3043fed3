"""Where the local stack keeps its state, and what is known of a running one-machine cloud."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from cli.errors import UserError

PROJECT = Path(__file__).resolve().parent.parent
STACK = "local"
# Everything that a local stack writes into its home: only this is ever removed, whatever PARLEY_HOME says.
OURS = (
    "cloud.*",
    "ports.json",
    f"Pulumi.{STACK}.yaml",
    "configured",
    "lost-its-state",
    "made-by-demo",
    "report.*",
    "passphrase",
    "state",
    "pulumi",
    "init-*",
    "events-*",
)


def default_home() -> Path:
    """Return the folder of the local stack: `$PARLEY_HOME`, else `.parley/` in the project."""
    return Path(os.environ.get("PARLEY_HOME") or PROJECT / ".parley").absolute()


@dataclass(frozen=True, slots=True)
class CloudInfo:
    """Addresses and throw-away credentials of the running one-machine cloud, as it wrote them to `cloud.json`."""

    pid: int
    aws_endpoint: str
    aws_region: str
    aws_account_id: str
    aws_access_key_id: str
    aws_secret_access_key: str
    twilio_endpoint: str
    twilio_account_sid: str
    twilio_auth_token: str
    twilio_api_key: str
    twilio_api_secret: str
    gateway_url: str

    def aws_environment(self) -> dict[str, str]:
        """Return the environment variables that point any AWS client at the local cloud."""
        return {
            "AWS_ENDPOINT_URL": self.aws_endpoint,
            "AWS_REGION": self.aws_region,
            "AWS_DEFAULT_REGION": self.aws_region,
            "AWS_ACCESS_KEY_ID": self.aws_access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.aws_secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one local stack.

    It holds `cloud.json` (while the cloud runs), `cloud.state` (its snapshot), `cloud.log`, the Pulumi state,
    the generated stack file and the reports. Nothing of it belongs in version control.
    """

    path: Path

    @property
    def cloud_json(self) -> Path:
        """The addresses of the running cloud."""
        return self.path / "cloud.json"

    @property
    def cloud_state(self) -> Path:
        """The snapshot that a stopped cloud left."""
        return self.path / "cloud.state"

    @property
    def cloud_log(self) -> Path:
        """What the cloud had to say."""
        return self.path / "cloud.log"

    @property
    def ports_json(self) -> Path:
        """The ports of the last run, so that a stack keeps its addresses."""
        return self.path / "ports.json"

    @property
    def stack_file(self) -> Path:
        """The stack file made from the committed template, with this run's addresses and encrypted secrets."""
        return self.path / f"Pulumi.{STACK}.yaml"

    @property
    def lost_marker(self) -> Path:
        """Present when a cloud ended without a snapshot, until a deployment has rebuilt what it lost."""
        return self.path / "lost-its-state"

    @property
    def demo_marker(self) -> Path:
        """Present when the stack in this folder was made by `parley demo`, which may then clear it away."""
        return self.path / "made-by-demo"

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs from its state file (none is secret); empty before the first deployment."""
        try:
            state = json.loads((self.path / "state/.pulumi/stacks/parley" / f"{STACK}.json").read_text())
            resources = state["checkpoint"]["latest"]["resources"]
            found: dict[str, Any] = next(r for r in resources if r["type"] == "pulumi:pulumi:Stack")["outputs"]
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            return {}
        return found

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other commands away from this home. Raises UserError while another one is at work in it.

        The lock lies outside the home, because the home itself may be wiped and made again meanwhile.
        """
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        with (Path(tempfile.gettempdir()) / f"parley-{os.getuid()}-{digest}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another `parley` command is at work in {self.path}: wait until it has ended, "
                    "or use another folder (PARLEY_HOME)"
                ) from None
            yield

    def make(self) -> None:
        """Make the folder. Raises UserError where it cannot be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"cannot be the local stack's folder ({error.strerror}): set PARLEY_HOME to one that can"
            raise UserError(f"{self.path} {reason}") from None

    def wipe(self) -> None:
        """Remove what Parley has put into this folder, and the folder if nothing else is in it."""
        for pattern in OURS:
            for path in self.path.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def cloud(self) -> CloudInfo | None:
        """Return what is known of the running cloud, or None when none runs."""
        try:
            raw = json.loads(self.cloud_json.read_text())
            info = CloudInfo(**{f.name: raw[f.name] for f in fields(CloudInfo)})
        except (OSError, ValueError, KeyError):
            return None
        return info if is_cloud(info.pid) else None


def is_cloud(pid: int) -> bool:
    """Say whether `pid` is a live one-machine cloud, and not some other process that got its number."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "local.cloud" in process.cmdline()
    except psutil.Error:
        return False
