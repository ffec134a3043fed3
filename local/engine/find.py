"""Find the Pulumi engine, fetch it, or build it: in this order, and once.

1. `pulumi` on PATH: the user's own, used as it is.
2. The vendor's release, where its site can be reached.
3. A build from the engine's Go modules, where a Go module proxy can be reached.

The last two are kept in the user's cache directory. Each way that fails says why; when all do, one error holds
the reasons and the ways out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from local.engine import build, release
from local.engine.cache import EngineCache
from local.engine.errors import EngineError
from local.engine.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.engine.progress import Report

# The first version that starts policy packs through the language host (CHANGELOG 3.169.0); `refresh --preview-only`
# (3.105), all events in the event log (3.131) and the provider handshake (3.143) are older.
MINIMUM_VERSION = "3.169.0"
LANGUAGE_HOST = Path(__file__).parents[1] / "bin" / "pulumi-language-python"
_HOST_VARIABLE = "PARLEY_LANGUAGE_HOST"
# Beside a built engine, so that the engine takes it for its own; the checkout that runs it is told by the environment.
_FORWARDER = f"""#!/bin/sh
exec "${{{_HOST_VARIABLE}:?is not set: run the engine through parley, or put local/bin of its checkout on PATH}}" "$@"
"""
_ANSWER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answered: its executable, version ("3.259.0") and where it came from.

    `language_host` is the executable that runs Python programs where the official one is missing, else None.
    """

    executable: Path
    version: str
    source: Literal["path", "release", "build"]
    language_host: Path | None = None

    def search_path(self) -> list[str]:
        """Return the folders that PATH has to begin with."""
        folders = [self.executable.parent]
        if self.language_host is not None:
            folders.append(self.language_host.parent)
        return [str(folder) for folder in folders]

    def environment(self) -> dict[str, str]:
        """Return the environment variables that the engine needs, PATH aside."""
        return {} if self.language_host is None else {_HOST_VARIABLE: str(self.language_host)}


def ensure_engine(report: Report = silent, environment: Mapping[str, str] | None = None) -> Engine:
    """Return an engine that works, getting it first if need be; `report` hears how that goes.

    Raises EngineError with one message that names what was tried, why it failed and the ways out.
    """
    environment = dict(os.environ if environment is None else environment)
    cache = EngineCache(environment)
    refusals: list[str] = []
    engine = _on_path(cache, environment, report, refusals) or _kept(cache)
    if engine is not None:
        return engine
    with cache.alone(report):
        engine = _kept(cache) or _released(cache, environment, report, refusals)
        return engine or _built(cache, environment, report, refusals)


def _on_path(cache: EngineCache, environment: Mapping[str, str], report: Report, refusals: list[str]) -> Engine | None:
    """Take the user's own Pulumi, if it works and is new enough."""
    found = shutil.which("pulumi", path=environment.get("PATH"))
    if found is None:
        refusals.append("`pulumi` on PATH: there is none.")
        return None
    executable = Path(found)
    version = cache.remembered(executable)
    if version is None:
        try:
            version = _ask_version(executable, environment)
        except EngineError as error:
            refusals.append(f"`pulumi` on PATH: {error}.")
            report(Progress(f"{refusals[-1]} Trying the next way."))
            return None
        cache.remember(executable, version)
    if _numbers(version) < _numbers(MINIMUM_VERSION):
        refusals.append(f"`pulumi` on PATH: {executable} is {version}, and {MINIMUM_VERSION} or newer is needed.")
        report(Progress(f"{refusals[-1]} It is left alone; trying the next way."))
        return None
    return Engine(executable, version, "path", None if _official_host(executable, environment) else LANGUAGE_HOST)


def _kept(cache: EngineCache) -> Engine | None:
    """Take what an earlier run has fetched or built."""
    version = _release_version()
    if executable := cache.find(version, "release"):
        return Engine(executable, version, "release")
    version = _build_version()
    if executable := cache.find(version, "build"):
        return Engine(executable, version, "build", LANGUAGE_HOST)
    return None


def _released(cache: EngineCache, environment: Mapping[str, str], report: Report, refusals: list[str]) -> Engine | None:
    """Fetch the official release, if the vendor can be reached."""
    version = _release_version()

    def fill(folder: Path) -> None:
        release.fetch(version, folder, report)
        _check(folder / "pulumi", version, environment)

    try:
        release.require(version)
        report(Progress(f"Fetching the official Pulumi {version}."))
        return Engine(cache.install(version, "release", fill), version, "release")
    except EngineError as error:
        refusals.append(f"the official release {version}: {error}.")
        report(Progress(f"There is no engine from {refusals[-1]}"))
        return None


def _built(cache: EngineCache, environment: Mapping[str, str], report: Report, refusals: list[str]) -> Engine:
    """Build the engine, the last way; raises EngineError with every way's reason when it fails too."""
    version = _build_version()
    try:
        go = build.Go.find(environment)

        def fill(folder: Path) -> None:
            build.build(go, folder, environment, report)
            _check(folder / "pulumi", version, environment)
            host = folder / LANGUAGE_HOST.name
            host.write_text(_FORWARDER, "utf-8")
            host.chmod(0o755)

        executable = cache.install(version, "build", fill)
    except EngineError as error:
        refusals.append(f"a build of {version} from its Go modules: {error}")
        tried = "\n".join(f"  - {reason}" for reason in refusals)
        raise EngineError(
            f"No Pulumi engine is to be had on this machine. Tried:\n{tried}\n"
            "Ways out, any one of them:\n"
            f"  - install Pulumi {MINIMUM_VERSION} or newer and put it on PATH (https://www.pulumi.com/docs/install/);\n"
            f"  - install Go {build.pinned('go')} or newer (https://go.dev/dl/) where a Go module proxy can be reached "
            "(GOPROXY), and run this again: it goes on where it stopped;\n"
            f"  - copy {cache.folder(version)} from a machine of this kind that has it."
        ) from error
    report(Progress(build.caches(go, environment)))
    return Engine(executable, version, "build", LANGUAGE_HOST)


def _check(executable: Path, version: str, environment: Mapping[str, str]) -> None:
    """Raise EngineError unless a fresh executable says that it is the version asked for."""
    told = _ask_version(executable, environment)
    if told != version:
        raise EngineError(f"it says that it is {told}, not {version}")


def _ask_version(executable: Path, environment: Mapping[str, str]) -> str:
    """Ask an executable for its version, without the v; raises EngineError when it does not answer well."""
    try:
        told = subprocess.run(
            [executable, "version"],
            env={**environment, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"`{executable} version` gave no answer in {_ANSWER_SECONDS} s") from None
    except OSError as error:
        raise EngineError(f"{executable} cannot be started ({error.strerror})") from None
    version = told.stdout.strip().removeprefix("v").partition("-")[0].partition("+")[0]
    if told.returncode or not _numbers(version):
        said = (told.stderr or told.stdout).strip().partition("\n")[0][:200]
        raise EngineError(f"`{executable} version` does not work: {said or f'exit code {told.returncode}'}")
    return version


def _official_host(executable: Path, environment: Mapping[str, str]) -> bool:
    """Whether the user's Pulumi has its own Python language host, beside it or on PATH."""
    if (executable.resolve().parent / LANGUAGE_HOST.name).is_file():
        return True
    found = shutil.which(LANGUAGE_HOST.name, path=environment.get("PATH"))
    return found is not None and Path(found).resolve() != LANGUAGE_HOST


def _release_version() -> str:
    """Return the version to fetch: the SDK's own, as the vendor pairs them."""
    return metadata.version("pulumi")


def _build_version() -> str:
    return build.pinned("github.com/pulumi/pulumi/pkg/v3")


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers to compare by, or nothing if it is no version."""
    parts = version.split(".")
    return tuple(map(int, parts)) if len(parts) == 3 and all(part.isdecimal() for part in parts) else ()
