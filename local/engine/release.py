"""Fetch the engine's official release: the second way, for where its vendor can be reached.

`pulumi.automation.PulumiCommand.install` would run a downloaded shell script: without a checksum, without a timeout and
without progress. So this reads the same archive that the script reads and checks it against the checksums that the
vendor publishes with the release on GitHub.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tarfile
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from local.engine.errors import EngineError
from local.engine.progress import Progress

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from pathlib import Path

    from local.engine.progress import Report

_ARCHIVES = "https://get.pulumi.com/releases/sdk"
_CHECKSUMS = "https://github.com/pulumi/pulumi/releases/download/v{version}/pulumi-{version}-checksums.txt"
_PROBE_SECONDS = 4.0
_STALL_SECONDS = 30.0
_BLOCK = 1 << 20
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def archive_name(version: str) -> str:
    """Return the name of this platform's archive; raise EngineError where the vendor has none."""
    system, machine = platform.system().lower(), _MACHINES.get(platform.machine().lower())
    if system not in {"linux", "darwin"} or machine is None:
        raise EngineError(f"there is no official release for {platform.system()} on {platform.machine()}")
    return f"pulumi-v{version}-{system}-{machine}.tar.gz"


def require(version: str) -> None:
    """Ask for the archive's head, at a cost of seconds at most; raise EngineError when it cannot be had.

    Name resolution ignores socket timeouts, so the question is asked in a thread that is left behind when it stalls.
    """
    url = f"{_ARCHIVES}/{archive_name(version)}"
    verdict: list[str] = []

    def ask() -> None:
        try:
            with _open(url, _PROBE_SECONDS, method="HEAD"):
                verdict.append("")
        except OSError as error:
            verdict.append(_reason(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PROBE_SECONDS)
    refused = verdict[0] if verdict else f"no answer in {_PROBE_SECONDS:.0f} s"
    if refused:
        raise EngineError(f"{url} cannot be reached ({refused})")


def fetch(version: str, folder: Path, report: Report) -> None:
    """Download, check and unpack the release into `folder`; raises EngineError saying what went wrong."""
    name = archive_name(version)
    expected = _checksum(version, name)
    archive = folder / name
    try:
        found = _download(f"{_ARCHIVES}/{name}", archive, report)
    except OSError as error:
        raise EngineError(f"{_ARCHIVES}/{name}: {_reason(error)}") from None
    if expected is None:
        report(Progress("The vendor's checksums cannot be reached; the release is as safe as its HTTPS download."))
    elif found != expected:
        raise EngineError(f"{name} is not what its vendor published: SHA-256 {found}, expected {expected}")
    unpacked = folder / "unpacked"
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(unpacked, filter="data")
        for file in (unpacked / "pulumi").iterdir():
            file.rename(folder / file.name)
    except (tarfile.TarError, FileNotFoundError) as error:
        raise EngineError(f"{name} cannot be unpacked: {error}") from None
    shutil.rmtree(unpacked)
    archive.unlink()


def _download(url: str, target: Path, report: Report) -> str:
    """Download a file and return its SHA-256."""
    began, digest = time.monotonic(), hashlib.sha256()
    with _open(url, _STALL_SECONDS) as response, target.open("wb") as file:
        total = int(response.headers.get("Content-Length", 0))
        done = 0
        while block := response.read(_BLOCK):
            file.write(block)
            digest.update(block)
            done += len(block)
            report(Progress("Downloading Pulumi", done, max(total, done), "bytes", time.monotonic() - began))
    if done < total:
        raise OSError(f"the download ended after {done} of {total} bytes")
    return digest.hexdigest()


def _checksum(version: str, name: str) -> str | None:
    """Return the published SHA-256 of an archive, or None where the list cannot be had."""
    try:
        with _open(_CHECKSUMS.format(version=version), _PROBE_SECONDS) as response:
            listed = response.read().decode("utf-8", "replace")
    except OSError:
        return None
    return next((line.split()[0] for line in listed.splitlines() if line.split()[1:] == [name]), None)


def _open(url: str, timeout: float, method: str = "GET") -> HTTPResponse:
    """Open one of the two fixed HTTPS addresses above, through whatever proxy the user has."""
    request = urllib.request.Request(url, method=method, headers={"User-Agent": "parley"})  # noqa: S310
    response: HTTPResponse = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    return response


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(cause, "strerror", None) or cause)
