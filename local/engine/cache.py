"""Where engines are kept between runs: outside the repository, complete or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.engine.errors import EngineError
from local.engine.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.engine.progress import Report

_STAMP = "engine.json"
_UNFINISHED = "unfinished-"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an engine's folder says of it: written last, so a folder with a stamp is complete."""

    version: str
    source: str
    size: int


class EngineCache:
    """The folder of all engines of one user.

    `$PARLEY_CACHE/engine`, else `$XDG_CACHE_HOME/parley/engine`, else `~/.cache/parley/engine`
    (XDG Base Directory Specification 0.8).
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        if own := environment.get("PARLEY_CACHE"):
            base = Path(own).expanduser()
        else:
            home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or Path.home()) / ".cache")
            base = Path(home) / "parley"
        self.root = base / "engine"

    def folder(self, version: str) -> Path:
        """Return the folder of an engine's version on this platform."""
        return self.root / f"{version}-{platform.system().lower()}-{platform.machine().lower()}"

    def find(self, version: str, source: str) -> Path | None:
        """Return the executable of a complete engine of that version and source, or None."""
        folder = self.folder(version)
        executable = folder / "pulumi"
        try:
            stamp = Stamp(**json.loads((folder / _STAMP).read_text("utf-8")))
            size = executable.stat().st_size
        except (OSError, ValueError, TypeError):
            return None
        return executable if (stamp.version, stamp.source, stamp.size) == (version, source, size) else None

    @contextlib.contextmanager
    def alone(self, report: Report) -> Iterator[None]:
        """Hold the cache's lock, waiting for another run that holds it; clear what an interrupted run left."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w", encoding="utf-8")
        except OSError as error:
            raise EngineError(
                f"The engine's cache {self.root} cannot be written ({error.strerror}). "
                "Make it writable, or name another folder in PARLEY_CACHE."
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(Progress(f"Another run is getting the engine into {self.root}; waiting for it."))
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.root.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    def install(self, version: str, source: str, fill: Callable[[Path], None]) -> Path:
        """Let `fill` make an engine in a temporary folder, and put that in place whole; returns the executable.

        The caller holds the lock. When `fill` fails or the run is interrupted nothing of it stays.
        """
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root))
        try:
            fill(unfinished)
            stamp = Stamp(version, source, (unfinished / "pulumi").stat().st_size)
            (unfinished / _STAMP).write_text(json.dumps(asdict(stamp)), "utf-8")
            unfinished.chmod(0o755)
            folder = self.folder(version)
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        except OSError as error:
            raise EngineError(
                f"The engine cannot be kept in {self.root}: {error.strerror or error}. "
                "Free some space there, or name another folder in PARLEY_CACHE."
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return folder / "pulumi"

    def remembered(self, executable: Path) -> str | None:
        """Return the version that `executable` told last time, unless the file has changed since."""
        try:
            seen = json.loads((self.root / "path.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        version = seen.get("version") if seen.get("file") == _identity(executable) else None
        return version if isinstance(version, str) else None

    def remember(self, executable: Path, version: str) -> None:
        """Note the version of an executable outside the cache, so that the next run need not start it."""
        with contextlib.suppress(OSError):
            self.root.mkdir(parents=True, exist_ok=True)
            written = self.root / f"path.json.{os.getpid()}"
            written.write_text(json.dumps({"file": _identity(executable), "version": version}), "utf-8")
            written.replace(self.root / "path.json")


def _identity(executable: Path) -> list[str | int]:
    """Return what changes whenever an executable is replaced."""
    real = executable.resolve()
    told = real.stat()
    return [str(real), told.st_size, told.st_mtime_ns]
