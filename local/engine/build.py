"""Build the engine from its Go modules: the third way, for where only a Go module proxy can be reached.

`go.mod` and `go.sum` beside this file pin what is built; the flags are those of the vendor's own release
(github.com/pulumi/pulumi/.goreleaser.yml). Go keeps what it has compiled, so an interrupted build goes on where it was.
"""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from local.engine.errors import EngineError
from local.engine.process import own_group
from local.engine.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.engine.progress import Report

_MODULE = Path(__file__).parent
_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
# Measured on a cold cache (go 1.26, linux/amd64); they only scale the progress bar.
MODULES = 253
PACKAGES = 1685
_TICK_SECONDS = 1.0
_CAUSES = {
    "no space left on device": "the disk is full: free about 4 GB for Go's caches (`go env GOMODCACHE GOCACHE`)",
    "SECURITY ERROR": "a downloaded module is not the one that go.sum pins: check the proxy that GOPROXY names",
    "checksum mismatch": "a downloaded module is not the one that go.sum pins: check the proxy that GOPROXY names",
    "signal: killed": "the compiler was killed, most likely for lack of memory: 2 GB free are enough",
    "dial tcp": "the Go module proxy cannot be reached",
    "module lookup disabled": "GOPROXY=off forbids downloads",
}


def pinned(name: str) -> str:
    """Return a version that go.mod pins: of `go` itself or of a module's path ("3.259.0", without the v)."""
    found = re.search(rf"^\s*{re.escape(name)} v?([\d.]+)$", (_MODULE / "go.mod").read_text("utf-8"), re.MULTILINE)
    assert found is not None  # noqa: S101 - go.mod is ours
    return found[1]


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain that is new enough; `home` tells where its caches are."""

    executable: str
    version: str

    @classmethod
    def find(cls, environment: Mapping[str, str]) -> Go:
        """Find `go` on PATH; raise EngineError when there is none or it is too old."""
        needed = pinned("go")
        executable = shutil.which("go", path=environment.get("PATH"))
        if executable is None:
            raise EngineError(f"there is no `go` on PATH (Go {needed} or newer is needed, https://go.dev/dl/)")
        told = subprocess.run(
            [executable, "version"],
            env={**environment, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.search(r"\bgo(\d+(?:\.\d+)+)", told.stdout)
        if told.returncode or found is None:
            raise EngineError(f"`{executable} version` does not work: {(told.stderr or told.stdout).strip()[:200]}")
        if _numbers(found[1]) < _numbers(needed):
            raise EngineError(f"{executable} is Go {found[1]}, and {needed} or newer is needed (https://go.dev/dl/)")
        return cls(executable, found[1])


def build(go: Go, folder: Path, environment: Mapping[str, str], report: Report) -> None:
    """Compile the engine to `folder/pulumi`.

    The whole process group of `go` ends with this call, also on SIGINT and SIGTERM. Raises EngineError with the cause
    in Go's own words.
    """
    version = pinned("github.com/pulumi/pulumi/pkg/v3")
    report(
        Progress(
            f"Building the Pulumi engine {version} with Go {go.version}. This happens once; it takes about "
            "five minutes on two cores and 3 GB in Go's caches."
        )
    )
    command = [
        go.executable, "build", "-v", "-tags", "osusergo,grpcnotrace",
        "-ldflags", f"-s -w -X {_VERSION_VARIABLE}=v{version}", "-o", str(folder / "pulumi"), _PACKAGE,
    ]  # fmt: skip
    settings = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    began = time.monotonic()
    modules = packages = 0
    said: list[str] = []
    with own_group(
        command,
        cwd=_MODULE,
        env={**environment, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as compiler:
        for line in _lines(compiler.stderr):
            if line is None:
                pass
            elif line.startswith("go: downloading "):
                modules += 1
            elif re.fullmatch(r"[\w.~/-]+", line):
                packages += 1
            else:
                said.append(line)
            elapsed = time.monotonic() - began
            if packages == 0:
                report(Progress("Downloading modules", modules, max(MODULES, modules), "modules", elapsed))
            else:
                report(Progress("Compiling", packages, max(PACKAGES, packages), "packages", elapsed))
        code = compiler.wait()
    if code:
        raise EngineError(_failure(said, code))
    report(Progress(f"Built the engine in {time.monotonic() - began:.0f} s."))


def caches(go: Go, environment: Mapping[str, str]) -> str:
    """Say how large Go's caches are now and how to empty them; they are the user's, so nothing is removed."""
    told = subprocess.run(
        [go.executable, "env", "GOMODCACHE", "GOCACHE"],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    places = told.stdout.split("\n")[:2]
    sizes = subprocess.run(["du", "-sk", *places], capture_output=True, text=True, check=False).stdout
    total = sum(int(line.split()[0]) for line in sizes.splitlines() if line.split()[0].isdigit())
    return (
        f"Go keeps {total / 1e6:.1f} GB in {' and '.join(places)}; the engine no longer needs them "
        "(`go clean -cache -modcache` empties both)."
    )


def _lines(stream: IO[str] | None) -> Iterator[str | None]:
    """Yield a stream's lines, and None each second in which there is none, so that time is seen to pass."""
    assert stream is not None  # noqa: S101 - the caller asked for a pipe
    arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def pump() -> None:
        for line in stream:
            arrived.put(line.rstrip("\n"))
        arrived.put(None)

    threading.Thread(target=pump, daemon=True).start()
    while True:
        try:
            line = arrived.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def _failure(said: list[str], code: int) -> str:
    """Return why `go build` failed: a cause we know, and the last of what it said."""
    text = "\n".join(said[-8:]) or f"exit code {code}"
    cause = next((why for sign, why in _CAUSES.items() if sign in text), None)
    return f"`go build` failed{f': {cause}' if cause else ''}\n{_indent(text)}"


def _indent(text: str) -> str:
    return "\n".join(f"    {line[:300]}" for line in text.splitlines())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
