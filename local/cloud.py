"""The one-machine cloud: AWS's API, functions, the HTTP gateway and Twilio, in one process.

    python -m local.cloud --home DIR [--aws-port N] [--twilio-port N] [--gateway-port N]

Port 0, the default, takes a free one. When everything listens, `DIR/cloud.json` (mode 0600) tells the addresses and
the throw-away credentials. SIGTERM or SIGINT ends it: the state goes to `DIR/cloud.state` and is there at the next
start. SIGQUIT ends it without that, for who does away with the folder. Exit codes: 0 ended on request, 3 a port is
taken, 4 the state file cannot be read.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import secrets
import signal
import string
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from local.clock import Clock
from local.serving import OnePacketHandler, PortTakenError, Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

REGION = "us-east-1"
ACCOUNT = "123456789012"
_STATE_FORMAT = 1
#: How long an ending cloud waits for events that it has accepted.
_PATIENCE_SECONDS = 3.0


class StateError(Exception):
    """A state file that cannot be read; names it and the way out."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be read ({reason}): move it away to start empty; `pulumi up --refresh` rebuilds the stack"
        )


class AlreadyRunningError(Exception):
    """This process already hosts a cloud: moto keeps its state in globals."""


@dataclass(frozen=True)
class Credentials:
    """Throw-away keys of one home folder, kept with its state."""

    aws_access_key_id: str
    aws_secret_access_key: str
    twilio_account_sid: str
    twilio_auth_token: str
    twilio_api_key: str
    twilio_api_secret: str

    @classmethod
    def new(cls) -> Credentials:
        """Return random ones, in the form of the real ones."""
        letters = string.ascii_uppercase + string.digits
        return cls(
            aws_access_key_id="AKIA" + "".join(secrets.choice(letters) for _ in range(16)),
            aws_secret_access_key=secrets.token_urlsafe(30),
            twilio_account_sid="AC" + secrets.token_hex(16),
            twilio_auth_token=secrets.token_hex(16),
            twilio_api_key="SK" + secrets.token_hex(16),
            twilio_api_secret=secrets.token_urlsafe(24),
        )


class Carrier(Protocol):
    """What the cloud asks of the Twilio emulator."""

    @property
    def wsgi_app(self) -> WSGIApplication:
        """Its HTTP API."""

    def snapshot(self) -> bytes:
        """Return its state."""

    def restore(self, snapshot: bytes, /) -> None:
        """Take a state over. Raises ValueError."""

    def close(self) -> None:
        """End what it has running."""


#: Makes the Twilio emulator, given the credentials and the clock.
CarrierFactory = Callable[[Credentials, Clock], Carrier]


def _twilio(credentials: Credentials, clock: Clock) -> Carrier:
    from local.twilio import Emulator  # noqa: PLC0415 - tests bring a stand-in and need not load it

    return Emulator(
        account_sid=credentials.twilio_account_sid,
        auth_token=credentials.twilio_auth_token,
        api_key=credentials.twilio_api_key,
        api_secret=credentials.twilio_api_secret,
        clock=clock,
    )


class Running:
    """A cloud that runs in this process. Close it; it can be used as a context manager."""

    def __init__(
        self,
        home: Path,
        *,
        aws_port: int = 0,
        twilio_port: int = 0,
        gateway_port: int = 0,
        carrier: CarrierFactory = _twilio,
    ) -> None:
        # Here, and not at the top: with them `--help` would take a second.
        from local.aws import function_settings  # noqa: PLC0415
        from local.aws.callers import SessionKeys  # noqa: PLC0415
        from local.aws.expiry import Expiry  # noqa: PLC0415
        from local.aws.host import Moto, MotoHandler  # noqa: PLC0415
        from local.lambda_.agenda import Agenda  # noqa: PLC0415
        from local.lambda_.faults import Faults  # noqa: PLC0415
        from local.lambda_.function_logs import FunctionLogs  # noqa: PLC0415
        from local.lambda_.functions import Functions  # noqa: PLC0415
        from local.lambda_.gateway import Gateway  # noqa: PLC0415
        from local.lambda_.invocations import Invocations  # noqa: PLC0415
        from local.lambda_.schedules import Scheduler  # noqa: PLC0415
        from local.lambda_.sources import EventSources  # noqa: PLC0415

        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.home = home
        self._closed = False
        with contextlib.ExitStack() as undo:
            state = _State.read(home / "cloud.state")
            self.credentials = state.credentials
            self.clock = Clock(state.clock_offset)
            # The carrier hears of a move of the clock first: sessions expire before schedules look at them.
            self._carrier = carrier(self.credentials, self.clock)
            undo.callback(self._carrier.close)
            self.agenda = Agenda(self.clock)
            undo.callback(self.agenda.close)
            self.faults = Faults()
            keys = SessionKeys(self.credentials.aws_access_key_id, self.credentials.aws_secret_access_key, "")
            self.moto = Moto(self.clock, self._message_arrived, keys)
            undo.callback(self.moto.close)
            logs = FunctionLogs(self.clock, self.moto.lock)
            self.functions = Functions(home / "lambda", lambda: self.aws_endpoint, logs, self.faults)
            undo.callback(self.functions.close)
            self.invocations = Invocations(self.functions, self.agenda, self.clock)
            undo.callback(self.invocations.close)
            self.sources = EventSources(self.functions, self.invocations, self.agenda, self.clock, self.moto.lock)
            undo.callback(self.sources.close)
            scheduler = Scheduler(self.invocations, self.agenda, self.clock)
            expiry = Expiry(self.clock, self.agenda, self.moto.lock)
            function_settings.install(self.moto.mends, self.functions.forget)
            for part in (self.invocations, self.sources, scheduler, expiry):
                part.install(self.moto.mends)
            if state.moto is not None:
                self._restore(state)
            gateway = Gateway(self.functions, self.faults, logs, self.clock, keys, self.settle)
            self._aws = self._listen(undo, self.moto.wsgi_app, aws_port, "aws", MotoHandler)
            self._twilio = self._listen(undo, self._carrier.wsgi_app, twilio_port, "twilio")
            self._gateway = self._listen(undo, gateway.wsgi_app, gateway_port, "gateway")
            for server in (self._aws, self._twilio, self._gateway):
                server.start()
            expiry.start()
            scheduler.arm_all()
            self.sources.wake_all()
            self._closing = undo.pop_all()
        # From here on it is out of date: after a hard kill it would bring withdrawn consents back.
        (home / "cloud.state").unlink(missing_ok=True)

    def _message_arrived(self, queue_arn: str) -> None:
        self.sources.queues.arrived(queue_arn)

    @staticmethod
    def _listen(
        undo: contextlib.ExitStack,
        app: WSGIApplication,
        port: int,
        purpose: str,
        handler: type[OnePacketHandler] = OnePacketHandler,
    ) -> Server:
        server = Server(app, port=port, purpose=purpose, handler=handler)
        undo.callback(server.close)
        return server

    @property
    def aws_endpoint(self) -> str:
        """The URL of the AWS API."""
        return self._aws.url

    @property
    def twilio_endpoint(self) -> str:
        """The URL of the Twilio emulator."""
        return self._twilio.url

    @property
    def gateway_url(self) -> str:
        """The URL below which each API answers at its id."""
        return self._gateway.url

    def description(self) -> dict[str, Any]:
        """Return what `cloud.json` says."""
        return {
            "pid": os.getpid(),
            "aws_endpoint": self.aws_endpoint,
            "aws_region": REGION,
            "aws_account_id": ACCOUNT,
            "twilio_endpoint": self.twilio_endpoint,
            "gateway_url": self.gateway_url,
            **asdict(self.credentials),
        }

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until no event, queued message or stream record waits for its first attempt; False after `timeout`."""
        until = time.monotonic() + timeout
        return self.invocations.settle(timeout) and self.sources.settle(max(0.0, until - time.monotonic()))

    def save(self) -> None:
        """Write the state to `cloud.state`, whole or not at all."""
        state = _State(self.credentials, self.clock.offset, self.moto.save(), self._carrier.snapshot())
        _write(self.home / "cloud.state", state.packed())

    def close(self, *, save: bool = False) -> None:
        """End everything: take no more requests, save if asked, end all sandboxes and threads. Twice does no harm."""
        if self._closed:
            return
        self._closed = True
        try:
            with self._closing:
                for server in (self._gateway, self._twilio, self._aws):
                    server.stop_accepting()
                if save:
                    self.settle(timeout=_PATIENCE_SECONDS)
                    self.save()
                # Before anything waits for a function that still runs.
                self.functions.end_sandboxes()
        finally:
            _RUNNING.release()

    def __enter__(self) -> Running:
        """Return the running cloud."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    def _restore(self, state: _State) -> None:
        from local.aws.snapshot import UnreadableError  # noqa: PLC0415 - as in __init__

        try:
            self.moto.load(state.moto or b"")
            self._carrier.restore(state.twilio or b"")
        except (UnreadableError, ValueError) as error:
            raise StateError(self.home / "cloud.state", str(error)) from error


_RUNNING = threading.Lock()


def start(
    home: Path,
    *,
    aws_port: int = 0,
    twilio_port: int = 0,
    gateway_port: int = 0,
    carrier: CarrierFactory = _twilio,
) -> Running:
    """Start a cloud in this process, in a folder of its own.

    Raises PortTakenError, StateError, or AlreadyRunningError: one process hosts one cloud at a time.
    """
    if not _RUNNING.acquire(blocking=False):
        raise AlreadyRunningError("this process already hosts a local cloud: close it first")
    try:
        return Running(home, aws_port=aws_port, twilio_port=twilio_port, gateway_port=gateway_port, carrier=carrier)
    except BaseException:
        _RUNNING.release()
        raise


# --- the state file ---


@dataclass(frozen=True)
class _State:
    """What outlives a cloud; `moto` and `twilio` are None in a home that has none yet."""

    credentials: Credentials
    clock_offset: float = 0.0
    moto: bytes | None = None
    twilio: bytes | None = None

    def packed(self) -> bytes:
        """Return the state as a zip file with a readable head."""
        head = {
            "format": _STATE_FORMAT,
            "moto_version": version("moto"),
            "python": list(sys.version_info[:2]),
            "clock_offset": self.clock_offset,
            "credentials": asdict(self.credentials),
        }
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("head.json", json.dumps(head))
            archive.writestr("moto.pickle", self.moto or b"")
            archive.writestr("twilio", self.twilio or b"")
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> _State:
        """Read a state file; without one, a fresh state. Raises StateError."""
        if not path.exists():
            return cls(_kept_credentials(path.with_name("cloud.credentials")))
        try:
            with zipfile.ZipFile(path) as archive:
                head = json.loads(archive.read("head.json"))
                written_by = head["moto_version"], head["python"]
                if head["format"] != _STATE_FORMAT or written_by != (version("moto"), list(sys.version_info[:2])):
                    raise StateError(path, f"it was written by moto {written_by[0]} on Python {written_by[1]}")
                return cls(
                    Credentials(**head["credentials"]),
                    float(head["clock_offset"]),
                    archive.read("moto.pickle"),
                    archive.read("twilio"),
                )
        except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
            raise StateError(path, f"{type(error).__name__}: {error}") from error


def _kept_credentials(path: Path) -> Credentials:
    """Return the home's credentials, made once: they outlive a hard kill, as the Pulumi state that holds them does."""
    try:
        return Credentials(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        credentials = Credentials.new()
        _write(path, json.dumps(asdict(credentials)).encode())
        return credentials


def _write(path: Path, data: bytes) -> None:
    """Write a private file whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    new.replace(path)


# --- the command ---


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _options(arguments)
    began = time.monotonic()
    home: Path = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    stop, heard = threading.Event(), set[int]()
    with _logging_to(home / "cloud.log"), _signals(stop, heard):
        try:
            cloud = start(
                home,
                aws_port=options.aws_port,
                twilio_port=options.twilio_port,
                gateway_port=options.gateway_port,
            )
        except PortTakenError as error:
            print(error, file=sys.stderr)  # noqa: T201 - a command's own output
            return 3
        except StateError as error:
            print(error, file=sys.stderr)  # noqa: T201 - as above
            return 4
        description = home / "cloud.json"
        _write(description, json.dumps(cloud.description(), indent=2).encode())
        log.info("started in %.2f s", time.monotonic() - began)
        print(  # noqa: T201 - as above
            f"local cloud: AWS {cloud.aws_endpoint} · Twilio {cloud.twilio_endpoint} · gateway {cloud.gateway_url}",
            flush=True,
        )
        stop.wait()
        log.info("stopping")
        description.unlink(missing_ok=True)
        cloud.close(save=signal.SIGQUIT not in heard)
        log.info("stopped")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.cloud",
        description="AWS and Twilio on this machine, for `parley local` and tests. Listens on loopback only.",
        epilog="Example: python -m local.cloud --home .parley",
    )
    parser.add_argument("--home", type=Path, required=True, help="folder for the state, the log and cloud.json")
    for name, what in (("aws", "the AWS API"), ("twilio", "the Twilio emulator"), ("gateway", "the HTTP APIs")):
        parser.add_argument(f"--{name}-port", type=int, default=0, metavar="N", help=f"port for {what} (0: a free one)")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def _signals(stop: threading.Event, heard: set[int]) -> Iterator[None]:
    """Set `stop` on SIGTERM, SIGINT and SIGQUIT, and note which it was."""

    def note(number: int, _frame: object) -> None:
        heard.add(number)
        stop.set()

    before = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send the process's log to a private file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    root = logging.getLogger()
    before = root.level
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        # The SDK's and werkzeug's own lines may hold a request's path or parameters.
        for name in ("botocore", "boto3", "urllib3", "werkzeug"):
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            root.setLevel(before)
            root.removeHandler(handler)


if __name__ == "__main__":
    sys.exit(main())
