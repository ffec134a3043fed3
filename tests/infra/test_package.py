"""The functions' zip: the same bytes from every machine."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from infra import kit
from infra import package as packaging
from infra.__main__ import main
from infra.package import SOURCE, PackageError, package, write_package
from tests.infra import stacks


def tree(root: Path, names: list[str]) -> Path:
    """Write a small source tree, its files in the order given."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return root


NAMES = ["parley/__init__.py", "parley/core/decide.py", "parley/data/notices.json"]


class TestSameBytes:
    """Nothing but names and contents counts."""

    def test_twice(self) -> None:
        """The real functions give the same bytes twice."""
        assert package() == package()

    def test_time_mode_and_order_do_not_count(self, tmp_path: Path) -> None:
        """Other times, modes, a stricter umask and another order of writing give the same bytes."""
        first = tree(tmp_path / "first", NAMES)
        before = os.umask(0o077)
        try:
            second = tree(tmp_path / "second", NAMES[::-1])
        finally:
            os.umask(before)
        for path in second.rglob("*.py"):
            os.utime(path, (1, 1))
            path.chmod(0o700)
        assert package(first) == package(second)

    def test_leftovers_do_not_count(self, tmp_path: Path) -> None:
        """Compiled, hidden and cached files stay out."""
        clean = tree(tmp_path / "clean", NAMES)
        used = tree(
            tmp_path / "used",
            [
                *NAMES,
                "parley/__pycache__/x.cpython-311.pyc",
                "parley/core/old.pyc",
                ".env",
                "parley/.DS_Store",
                ".git/config",
            ],
        )
        assert package(clean) == package(used)

    def test_content_counts(self, tmp_path: Path) -> None:
        """One changed byte gives another zip."""
        source = tree(tmp_path, NAMES)
        before = package(source)
        (source / NAMES[1]).write_text("# changed\n")
        assert package(source) != before


class TestContents:
    """What is in the zip."""

    def test_entries_are_sorted_plain_files(self) -> None:
        """Entries are sorted by name, readable by everybody, of one fixed moment."""
        entries = zipfile.ZipFile(BytesIO(package())).infolist()
        assert [e.filename for e in entries] == sorted(e.filename for e in entries)
        assert {e.date_time for e in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {e.external_attr >> 16 for e in entries} == {0o100644}

    def test_package_is_at_the_root(self) -> None:
        """Our package and the vendored one are at the zip's root, where Lambda looks, with nothing but its licence."""
        names = zipfile.ZipFile(BytesIO(package())).namelist()
        assert {"parley/env.py", "phonenumbers/phonenumberutil.py", "phonenumbers/data/region_US.py"} <= set(names)
        assert {name.partition("/")[0] for name in names} == {"parley", "phonenumbers", "phonenumberslite-LICENSE"}
        assert not [name for name in names if name.endswith((".pyc", ".pyi"))]

    def test_vendored_package_runs_from_the_zip(self, tmp_path: Path) -> None:
        """What is in the zip is all that a handler needs to read a number: nothing of this environment helps it."""
        archive = tmp_path / "functions.zip"
        archive.write_bytes(package())
        told = "from parley.adapters.numbers import parse_number; print(parse_number('+12125550111'))"
        command = [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(archive)!r}); {told}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONSAFEPATH": "1"})
        assert done.stdout.strip() == "+12125550111"

    def test_zip_is_small_enough_to_start_quickly(self) -> None:
        """The vendored package adds less than a megabyte to what Lambda fetches at a cold start."""
        assert len(package()) < 1_500_000

    def test_every_source_file_is_in(self) -> None:
        """No module and no data file is forgotten."""
        names = set(zipfile.ZipFile(BytesIO(package())).namelist())
        sources = {
            p.relative_to(SOURCE).as_posix() for p in SOURCE.rglob("*.*") if p.suffix in (".py", ".json", ".csv")
        }
        assert sources <= names


class TestVendored:
    """The one third-party package of the zip."""

    def test_another_version_is_not_packaged(self, tmp_path: Path) -> None:
        """What is installed must be what is locked; else the message names both versions and the way out."""
        lock = tmp_path / "uv.lock"
        lock.write_text('[[package]]\nname = "phonenumberslite"\nversion = "1.0"\n')
        with pytest.raises(PackageError, match=r"is installed as .*, and uv\.lock has 1\.0: run `make setup`"):
            package(lock=lock)

    def test_missing_package_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the package is not installed, nothing is deployed without it."""
        monkeypatch.setattr(packaging, "VENDORED", "phonenumberslite-of-nobody")
        monkeypatch.setattr(packaging, "_locked_version", lambda _lock: "9")
        with pytest.raises(PackageError, match="is not installed, and"):
            package()

    def test_changed_file_is_not_packaged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that somebody edited where it is installed does not get into the zip."""
        monkeypatch.setattr(packaging, "_digest", lambda _path: "another")
        with pytest.raises(PackageError, match="is not as its wheel had it"):
            package()


class TestWriting:
    """The file on disk."""

    def test_unchanged_file_is_left_alone(self, tmp_path: Path) -> None:
        """Writing the same bytes again does not touch the file."""
        source, target = tree(tmp_path / "source", NAMES), tmp_path / "build" / "functions.zip"
        write_package(source, target)
        os.utime(target, (1, 1))
        assert write_package(source, target) == target
        assert target.stat().st_mtime == 1

    def test_changed_file_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        """A new zip takes the old one's place, and nothing else is left in the folder."""
        source, target = tree(tmp_path / "source", NAMES), tmp_path / "build" / "functions.zip"
        write_package(source, target)
        (source / NAMES[0]).write_text("changed\n")
        write_package(source, target)
        assert target.read_bytes() == package(source)
        assert list(target.parent.iterdir()) == [target]

    def test_nothing_is_left_of_a_failed_write(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write that fails is one message, and leaves neither half a zip nor a temporary file."""

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        source, target = tree(tmp_path / "source", NAMES), tmp_path / "build" / "functions.zip"
        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(PackageError, match=r"functions\.zip: No space left on device; make room"):
            write_package(source, target)
        assert list(target.parent.iterdir()) == []

    def test_empty_source_says_what_to_do(self, tmp_path: Path) -> None:
        """A checkout without functions is told, not deployed."""
        with pytest.raises(PackageError, match="check out the whole repository"):
            package(tmp_path)

    def test_link_is_refused(self, tmp_path: Path) -> None:
        """A link is refused by name: elsewhere it would point at nothing, or at something else."""
        source = tree(tmp_path / "source", NAMES)
        (source / "parley" / "linked.py").symlink_to(tmp_path / "elsewhere.py")
        with pytest.raises(PackageError, match=r"linked\.py is a link"):
            package(source)


OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


class TestCompiled:
    """`parley:functions.compiled`: the modules are in the zip compiled as well."""

    def test_same_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another process with another seed makes the same bytes, and the sources are in it as ever."""
        made = package(compiled_for=OWN)
        monkeypatch.setenv("PYTHONHASHSEED", "7")
        assert package(compiled_for=OWN) == made
        names = set(zipfile.ZipFile(BytesIO(made)).namelist())
        plain = set(zipfile.ZipFile(BytesIO(package())).namelist())
        own = {name for name in plain if name.startswith("parley/") and name.endswith(".py")}
        tag = sys.implementation.cache_tag
        assert names - plain == {
            f"{folder}/__pycache__/{module[:-3]}.{tag}.pyc" for folder, _, module in (n.rpartition("/") for n in own)
        }

    def test_nothing_is_compiled_at_a_start(self, tmp_path: Path) -> None:
        """A start takes what is compiled as it is: with sources that are none the gate is loaded all the same."""
        zipfile.ZipFile(BytesIO(package(compiled_for=OWN))).extractall(tmp_path)
        for source in (tmp_path / "parley").rglob("*.py"):
            source.write_text("this is no Python")
        told = subprocess.run(
            [sys.executable, "-S", "-B", "-c", "import parley.handlers.intercept as m; print(m.__cached__, m.handle)"],
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "__pycache__/intercept." in told

    def test_python_that_is_not_there(self) -> None:
        """Without a Python of that version the message says which, and the way out."""
        with pytest.raises(PackageError, match=r"needs Python 3\.99.*uv python install 3\.99.*leave `compiled` out"):
            package(compiled_for="3.99")

    def test_python_that_lies(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is called like that version and is another one is refused."""
        (tmp_path / "python3.99").symlink_to(sys.executable)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(PackageError, match=rf"is Python {OWN}, not 3\.99"):
            package(compiled_for="3.99")

    @pytest.mark.parametrize(("declared", "version"), [({"compiled": True}, "3.13"), ({}, None)])
    def test_stack_says_so(
        self, monkeypatch: pytest.MonkeyPatch, declared: dict[str, bool], version: str | None
    ) -> None:
        """The program asks for the version of the functions' runtime if the stack wants it, and else for none."""
        asked: list[str | None] = []

        def written(*, compiled_for: str | None) -> Path:
            asked.append(compiled_for)
            return write_package()

        monkeypatch.setattr(kit, "write_package", written)
        config = stacks.filled("dev") | {"functions": declared}
        made = stacks.run(main, config, stack="dev")
        assert asked == [version]
        runtimes = {each["runtime"] for each in made.of("lambda/function:Function").values()}
        assert runtimes == {"python3.13"}
