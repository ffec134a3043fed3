"""Finding, fetching and building the engine, with stand-ins for `pulumi`, `go` and the vendor's site."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.engine import build, find, release
from local.engine.cache import EngineCache
from local.engine.errors import EngineError
from local.engine.find import Engine, ensure_engine
from local.engine.progress import Progress

BUILT = build.pinned("github.com/pulumi/pulumi/pkg/v3")
BUILDING = f"""
echo "go: downloading example.org/one v1.0.0" >&2
echo "runtime/internal/sys" >&2
echo "example.org/one/sub_package" >&2
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho v{BUILT}\\n' > "$2"; chmod +x "$2"
"""


class Machine:
    """A machine of its own: an empty cache and a PATH with nothing but the stand-ins put there and /bin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.news: list[Progress] = []
        self.environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "PARLEY_CACHE": str(folder / "cache")}
        self.cache = EngineCache(self.environment)

    def install(self, name: str, script: str) -> Path:
        """Put an executable on PATH that notes its arguments and runs `script`."""
        executable = self.bin / name
        executable.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{script}')
        executable.chmod(0o755)
        return executable

    def install_go(self, version: str = "1.26.8", script: str = BUILDING) -> None:
        """Put a `go` on PATH whose `go build` is `script`."""
        cases = f'version) echo "go version go{version} linux/amd64" ;;\nenv) echo /nowhere; echo /neither ;;'
        self.install("go", f'case "$1" in\n{cases}\nbuild) {script} ;;\nesac\n')

    def ensure(self) -> Engine:
        """Find this machine's engine."""
        return ensure_engine(self.news.append, self.environment)

    def refusal(self) -> str:
        """Fail to find this machine's engine and return the message."""
        with pytest.raises(EngineError) as refused:
            self.ensure()
        assert list(self.cache.root.glob("unfinished-*")) == []
        return str(refused.value)

    def called(self) -> list[str]:
        """Return the calls of the stand-ins so far."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def told(self) -> str:
        """Return all news so far."""
        return "\n".join(map(str, self.news))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine with nothing on it, whose network is closed."""

    def closed(*_: Any, **__: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(release, "_open", closed)
    return Machine(tmp_path)


class TestPath:
    """The first way: the user's own Pulumi."""

    def test_takes_a_new_enough_pulumi(self, machine: Machine) -> None:
        """A `pulumi` on PATH with its language host is used as it is, with its version."""
        executable = machine.install("pulumi", "echo v3.300.1-dev\n")
        machine.install("pulumi-language-python", "")
        assert machine.ensure() == Engine(executable, "3.300.1", "path", None)

    def test_lends_its_host_where_the_official_one_is_missing(self, machine: Machine) -> None:
        """A `pulumi` without its Python language host is used with ours."""
        machine.install("pulumi", f"echo v{find.MINIMUM_VERSION}\n")
        engine = machine.ensure()
        assert engine.language_host == find.LANGUAGE_HOST
        assert engine.search_path() == [str(machine.bin), str(find.LANGUAGE_HOST.parent)]
        assert os.access(find.LANGUAGE_HOST, os.X_OK)

    def test_asks_for_the_version_once(self, machine: Machine) -> None:
        """The second run does not start `pulumi` again, unless the file has changed."""
        executable = machine.install("pulumi", "echo v3.300.0\n")
        assert machine.ensure() == machine.ensure()
        assert machine.called() == ["pulumi version"]
        executable.write_text(executable.read_text().replace("3.300.0", "3.301.12"))
        assert machine.ensure().version == "3.301.12"

    @pytest.mark.parametrize(
        ("script", "why"),
        [
            ("echo v3.99.0\n", f"is 3.99.0, and {find.MINIMUM_VERSION} or newer is needed"),
            ("echo no such plugin >&2; exit 3\n", "version` does not work: no such plugin"),
            ("echo hello\n", "version` does not work: hello"),
        ],
    )
    def test_goes_on_past_one_that_does_not_do(self, machine: Machine, script: str, why: str) -> None:
        """A `pulumi` that is too old or broken is left alone, said so, and the next way is tried."""
        machine.install("pulumi", script)
        machine.install_go()
        assert machine.ensure().source == "build"
        assert why in machine.told()

    def test_goes_on_past_one_that_cannot_start(self, machine: Machine) -> None:
        """A `pulumi` for another machine is named with the system's reason."""
        machine.install("pulumi", "").write_text("#!/no/such/interpreter\n")
        machine.install_go()
        assert machine.ensure().source == "build"
        assert "cannot be started (No such file or directory)" in machine.told()


class TestRelease:
    """The second way: the vendor's release."""

    def publish(self, monkeypatch: pytest.MonkeyPatch, *, listed: str | None = None, cut: int = 0) -> None:
        """Open the network, with a release on it; `listed` is its published checksum, `cut` bytes are lost."""
        version = find._release_version()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name in ("pulumi", "pulumi-language-python"):
                script = f"#!/bin/sh\necho v{version}\n".encode()
                member = tarfile.TarInfo(f"pulumi/{name}")
                member.size, member.mode = len(script), 0o755
                archive.addfile(member, io.BytesIO(script))
        body = packed.getvalue()
        name = release.archive_name(version)
        checksum = hashlib.sha256(body).hexdigest() if listed is None else listed

        class Response(io.BytesIO):
            headers = {"Content-Length": str(len(body))}  # noqa: RUF012 - read only

        def answer(url: str, timeout: float, method: str = "GET") -> Response:
            assert timeout > 0
            if url.endswith("-checksums.txt"):
                if not checksum:
                    raise OSError("no route to host")
                return Response(f"{'0' * 64}  other.tar.gz\n{checksum}  {name}\n".encode())
            assert url.endswith(f"/{name}")
            return Response(b"" if method == "HEAD" else body[: len(body) - cut])

        monkeypatch.setattr(release, "_open", answer)

    def test_fetches_checks_and_keeps_it(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        """The release is downloaded with progress, checked, unpacked with its own language host, and kept."""
        self.publish(monkeypatch)
        engine = machine.ensure()
        assert (engine.source, engine.language_host) == ("release", None)
        assert (engine.executable.parent / "pulumi-language-python").is_file()
        assert "Downloading Pulumi: " in machine.told()
        assert sorted(file.name for file in engine.executable.parent.iterdir()) == [
            "engine.json",
            "pulumi",
            "pulumi-language-python",
        ]
        monkeypatch.undo()
        assert machine.ensure() == engine

    def test_says_when_there_is_no_checksum(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the vendor's list the release is taken, and that is said."""
        self.publish(monkeypatch, listed="")
        assert machine.ensure().source == "release"
        assert "checksums cannot be reached" in machine.told()

    @pytest.mark.parametrize(
        ("published", "why"),
        [({"listed": "1" * 64}, f"expected {'1' * 64}"), ({"cut": 9}, "the download ended after")],
    )
    def test_refuses_a_wrong_archive(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, published: dict[str, Any], why: str
    ) -> None:
        """An archive that is not what was published, or is cut off, is never unpacked; the next way is tried."""
        self.publish(monkeypatch, **published)
        machine.install_go()
        assert machine.ensure().source == "build"
        assert why in machine.told()

    def test_closed_network_costs_little(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name server that never answers is given up on after the probe's time."""
        released = threading.Event()

        def stall(*_: Any, **__: Any) -> None:
            released.wait()
            raise OSError("too late")

        monkeypatch.setattr(release, "_open", stall)
        monkeypatch.setattr(release, "_PROBE_SECONDS", 0.05)
        machine.install_go()
        assert machine.ensure().source == "build"
        released.set()
        assert "no answer in" in machine.told()


class TestBuild:
    """The third way: from the engine's Go modules."""

    def test_builds_once(self, machine: Machine) -> None:
        """The engine is built with progress and checked; the second run finds it without starting anything."""
        machine.install_go()
        engine = machine.ensure()
        assert engine == Engine(machine.cache.folder(BUILT) / "pulumi", BUILT, "build", find.LANGUAGE_HOST)
        told = machine.told()
        assert f"Downloading modules: 1 of about {build.MODULES} modules" in told
        assert f"Compiling: 2 of about {build.PACKAGES} packages" in told
        assert "go clean -cache -modcache" in told
        machine.calls.unlink()
        machine.news.clear()
        began = time.perf_counter()
        assert machine.ensure() == engine
        assert time.perf_counter() - began < 0.05
        assert (machine.called(), machine.news) == ([], [])

    def test_builds_only_what_is_pinned(self, machine: Machine) -> None:
        """Go is kept to go.mod and go.sum, whatever flags the user has set."""
        machine.environment["GOFLAGS"] = "-mod=mod -race"
        machine.install_go(script=f"env | grep ^GO >> {machine.calls}; pwd >> {machine.calls}\n{BUILDING}")
        machine.ensure()
        assert "GOFLAGS=-mod=readonly -trimpath -buildvcs=false" in machine.called()
        assert str(Path(build.__file__).parent) in machine.called()

    def test_host_beside_it_serves_the_checkout_that_runs_it(self, machine: Machine) -> None:
        """The language host beside a built engine is that of the checkout that the environment names."""
        machine.install_go()
        engine = machine.ensure()
        host = engine.executable.parent / "pulumi-language-python"
        told = subprocess.run([host, "--version"], env=engine.environment(), capture_output=True, text=True, check=True)
        assert told.stdout.startswith("v3.")
        alone = subprocess.run([host], env={}, capture_output=True, text=True, check=False)
        assert "PARLEY_LANGUAGE_HOST" in alone.stderr

    def test_wrong_version_is_not_kept(self, machine: Machine) -> None:
        """An executable that says another version than the one asked for is an error and is not kept."""
        machine.install_go(script=BUILDING.replace(f"v{BUILT}", "v3.1.0"))
        assert f"it says that it is 3.1.0, not {BUILT}" in machine.refusal()
        assert not machine.cache.folder(BUILT).exists()

    def test_damaged_engine_is_built_again(self, machine: Machine) -> None:
        """A kept executable that is not as large as it was is not used."""
        machine.install_go()
        machine.ensure().executable.write_text("")
        machine.calls.unlink()
        machine.ensure()
        assert any(call.startswith("go build") for call in machine.called())

    @pytest.mark.parametrize(
        ("words", "cause"),
        [
            ("write /x: no space left on device", "the disk is full"),
            ("verifying example.org/one: checksum mismatch", "not the one that go.sum pins"),
            ("dial tcp: lookup proxy.golang.org: no such host", "the Go module proxy cannot be reached"),
            ("compile: signal: killed", "lack of memory"),
        ],
    )
    def test_failure_tells_cause_and_ways_out(self, machine: Machine, words: str, cause: str) -> None:
        """A failed build names its cause in our words and Go's, what was tried before, and the ways out."""
        machine.install_go(script=f'echo "go: downloading x v1" >&2; echo "{words}" >&2; exit 1')
        message = machine.refusal()
        assert cause in message
        assert words in message
        assert "`pulumi` on PATH: there is none." in message
        assert "Name or service not known" in message
        assert "https://www.pulumi.com/docs/install/" in message

    def test_no_go_and_no_network_is_one_message(self, machine: Machine) -> None:
        """Without Pulumi, network and Go one message names all three and the ways out."""
        machine.environment["PATH"] = str(machine.bin)
        message = machine.refusal()
        assert f"there is no `go` on PATH (Go {build.pinned('go')} or newer is needed" in message
        assert message.count("\n  - ") == 6
        assert str(machine.cache.folder(BUILT)) in message

    def test_old_go_is_named(self, machine: Machine) -> None:
        """A Go that is too old is named with the version it has to have."""
        machine.install_go(version="1.22.1")
        assert f"is Go 1.22.1, and {build.pinned('go')} or newer is needed" in machine.refusal()

    def test_unwritable_cache_names_the_way_out(self, machine: Machine) -> None:
        """A cache that cannot be made is named, with the variable that moves it."""
        (machine.folder / "cache").write_text("a file")
        with pytest.raises(EngineError, match="PARLEY_CACHE"):
            machine.ensure()

    def test_leftovers_of_a_killed_run_are_cleared(self, machine: Machine) -> None:
        """What a killed run left half-made is removed by the next one."""
        left = machine.cache.root / "unfinished-1"
        left.mkdir(parents=True)
        (left / "pulumi").write_text("half")
        machine.install_go()
        machine.ensure()
        assert not left.exists()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_interrupted_build_leaves_no_process_and_nothing_half_made(
        self, machine: Machine, number: signal.Signals
    ) -> None:
        """SIGINT and SIGTERM end Go and its compilers with us; the next run starts afresh and succeeds."""
        started = machine.folder / "started"
        os.mkfifo(started)
        machine.install_go(script=f"sleep 600 & echo compiling > {started}; wait")
        program = (
            "import os\nfrom local.engine import release\nfrom local.engine.find import ensure_engine\n"
            "release.require = lambda _: (_ for _ in ()).throw(release.EngineError('closed'))\n"
            "ensure_engine()\n"
        )
        run = subprocess.Popen(
            [sys.executable, "-c", program],
            env=machine.environment,
            cwd=find.LANGUAGE_HOST.parents[2],
            stderr=subprocess.DEVNULL,
        )
        assert started.read_text() == "compiling\n"
        family = psutil.Process(run.pid).children(recursive=True)
        assert len(family) >= 2
        run.send_signal(number)
        assert run.wait(10) != 0
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
        assert [entry.name for entry in machine.cache.root.iterdir()] == [".lock"]
        machine.install_go()
        assert machine.ensure().source == "build"


class TestTogether:
    """Two runs at once."""

    def test_second_run_waits_and_does_not_build_again(self, machine: Machine) -> None:
        """While one run builds, another waits for it, says so, and takes what it has made."""
        gate = machine.folder / "gate"
        os.mkfifo(gate)
        machine.install_go(script=f"cat {gate} > /dev/null\n{BUILDING}")

        def ensure(news: list[Progress]) -> Engine:
            def report(one: Progress) -> None:
                news.append(one)
                if "Another run" in one.text:
                    gate.write_text("go on\n")

            return ensure_engine(report, machine.environment)

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(ensure, ([], []))
        assert first == second
        assert sum(call.startswith("go build") for call in machine.called()) == 1


class TestCache:
    """Where engines are kept."""

    @pytest.mark.parametrize(
        ("environment", "root"),
        [
            ({"PARLEY_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a/engine"),
            ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/parley/engine"),
            ({"HOME": "/c"}, "/c/.cache/parley/engine"),
        ],
    )
    def test_follows_the_environment(self, environment: dict[str, str], root: str) -> None:
        """PARLEY_CACHE goes before XDG_CACHE_HOME, and that before ~/.cache."""
        assert EngineCache(environment).root == Path(root)
