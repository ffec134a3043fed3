"""The functions' zip, byte-identical wherever and whenever it is made from the same sources.

Entries are sorted, times and modes are fixed, nothing hidden goes in, and nothing compiled unless the stack wants it
(`compiled`; then the version of Python that runs the functions makes it). So the same commit deploys the same
bytes from a laptop and from CI, and a deployment of unchanged code changes nothing.

One third-party package goes along (decision 3), taken from where `uv.lock` had it installed: the very version, and
every file as its wheel has it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from infra.compiled import CompilerError, compiled

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "functions"
TARGET = PROJECT / ".parley" / "build" / "functions.zip"
LOCK = PROJECT / "uv.lock"

VENDORED = "phonenumberslite"
"""The one distribution that goes into the zip: Python source only, so the same on every platform."""

# The earliest moment that a zip entry can name (APPNOTE 4.4.6), and a plain file that everybody may read.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_UNIX = 3


class PackageError(ValueError):
    """The functions cannot be packaged; the message says what to do."""


def package(source: Path = SOURCE, lock: Path = LOCK, *, compiled_for: str | None = None) -> bytes:
    """Return the zip of everything below `source`, and of the package that `lock` pins for it.

    `compiled_for` has the modules of `source` in it compiled for a version of Python such as 3.13 as well.
    Raises PackageError if there is nothing to package, a link that another machine would not have, or if what is
    installed is not what is locked.
    """
    buffer = BytesIO()
    files = _files(source)
    if not files:
        raise PackageError(f"there are no functions to package in {source}: check out the whole repository")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        contents = [(name, path.read_bytes()) for name, path in files + _vendored(lock)]
        for name, content in sorted(contents + (_compiled(files, compiled_for) if compiled_for else [])):
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.create_system = _UNIX
            entry.external_attr = _MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def write_package(source: Path = SOURCE, target: Path = TARGET, *, compiled_for: str | None = None) -> Path:
    """Write the zip to `target` unless it is there already, and return `target`.

    The file appears as a whole, so two deployments at once cannot read half of it. Raises PackageError.
    """
    content = package(source, compiled_for=compiled_for)
    if target.is_file() and target.read_bytes() == content:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".zip")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise PackageError(f"cannot write {target}: {error.strerror}; make room there, or make it writable") from error
    return target


def _compiled(files: list[tuple[str, Path]], version: str) -> list[tuple[str, bytes]]:
    try:
        return compiled(files, version)
    except CompilerError as error:
        raise PackageError(str(error)) from None


def _files(source: Path) -> list[tuple[str, Path]]:
    """Return name and path of every file to package, sorted by name."""
    found = []
    for path in source.rglob("*"):
        parts = path.relative_to(source).parts
        if path.suffix == ".pyc" or any(part.startswith(".") or part == "__pycache__" for part in parts):
            continue
        if path.is_symlink():
            raise PackageError(f"{path} is a link, which another machine may not have: put the file itself there")
        if path.is_file():
            found.append(("/".join(parts), path))
    return sorted(found)


def _vendored(lock: Path) -> list[tuple[str, Path]]:
    """Return name and path of every file of the vendored package: its modules, and the licence that goes with them."""
    distribution, locked = _installed(), _locked_version(lock)
    if distribution is None or distribution.version != locked:
        there = "is not installed" if distribution is None else f"is installed as {distribution.version}"
        raise PackageError(f"{VENDORED} {there}, and {lock.name} has {locked}: run `make setup`")
    found = []
    for file in distribution.files or ():
        licence = file.name == "LICENSE"
        if file.suffix != ".py" and not licence:
            continue
        path = Path(str(distribution.locate_file(file)))
        if file.hash is None or not path.is_file() or _digest(path) != file.hash.value:
            raise PackageError(f"{path} is not as its wheel had it: run `make setup` in a new .venv")
        found.append((f"{VENDORED}-LICENSE" if licence else file.as_posix(), path))
    return found


def _installed() -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(VENDORED)
    except importlib.metadata.PackageNotFoundError:
        return None


def _locked_version(lock: Path) -> str:
    # Parsing the whole of it would take a tenth of the program's time.
    found = re.search(rf'^name = "{VENDORED}"\nversion = "([^"]+)"$', lock.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "none"


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file as a wheel's RECORD writes it: base64 for URLs, without padding (PEP 376)."""
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
