"""The bytes of a Lambda deployment package from an archive or file of the program, the same for the same content."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from infra.provider import Archive, Asset, ProviderError

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip entry can have: a package must not change with its files' dates."""


def zipped(package: Asset) -> bytes:
    """Return `package` as a zip file; paths are relative to the program's folder, where the engine starts providers.

    Raises `ProviderError` when a file is missing or the archive is of a kind that the stand-in does not fetch.
    """
    path = package.fields.get("path")
    try:
        if path and Path(path).is_file():
            return Path(path).read_bytes()
        entries = dict(_entries(package, ""))
    except OSError as error:
        raise ProviderError(
            f"code: {error.filename}: {error.strerror}: give a folder or zip file that exists"
        ) from error
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, entries[name])
    return target.getvalue()


def _entries(node: Asset, at: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of `node`, which lies at `at` in the package: '' or a name, without a slash at the end."""
    fields = node.fields
    if "text" in fields:
        yield at, fields["text"].encode()
    elif "assets" in fields:
        for name, child in fields["assets"].items():
            yield from _entries(child, _joined(at, name))
    elif "path" not in fields:
        raise ProviderError("code: the local stand-in takes files, folders and zip files, not remote archives")
    elif isinstance(node, Archive) and Path(fields["path"]).is_file():
        with zipfile.ZipFile(fields["path"]) as file:
            for name in file.namelist():
                if not name.endswith("/"):
                    yield _joined(at, name), file.read(name)
    elif isinstance(node, Archive):
        root = Path(fields["path"])
        for file_path in sorted(root.rglob("*")):
            if file_path.is_file() and "__pycache__" not in file_path.parts:
                yield _joined(at, file_path.relative_to(root).as_posix()), file_path.read_bytes()
        root.stat()
    else:
        yield at, Path(fields["path"]).read_bytes()


def _joined(at: str, name: str) -> str:
    return "/".join(part for part in (*at.split("/"), *name.split("/")) if part not in {"", "."})
