"""Which Python runs a project, and which Pulumi packages are installed in it (`runtime.options` of Pulumi.yaml).

The options are the vendor's (pulumi.com/docs/iac/languages-sdks/python/): `toolchain` pip or uv, `virtualenv`
relative to the project's root, `typechecker` mypy or pyright. Without a virtual environment named or found, the
host's own interpreter runs the program.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Python packages of the vendor that bring no provider plugin (the Go host keeps the same list).
_WITHOUT_PLUGIN = frozenset({"pulumi-policy", "pulumi-esc-sdk"})
_CHOICES = {"toolchain": ("pip", "uv"), "typechecker": ("mypy", "pyright")}


class OptionError(ValueError):
    """A runtime option that cannot be followed; the message names it and the way out."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python of one project: its executable, its environment folder if it has one, and its options."""

    executable: Path
    virtualenv: Path | None
    toolchain: str
    typechecker: str | None

    @property
    def exists(self) -> bool:
        """Whether the executable is there; a virtual environment may be named before it is made."""
        return self.executable.is_file()

    def require(self) -> None:
        """Raise OptionError when the virtual environment that the project names has not been made."""
        if not self.exists:
            raise OptionError(
                f"The virtual environment {self.virtualenv} of this project does not exist. "
                "Make it with `pulumi install`, or change runtime.options.virtualenv."
            )

    def activate(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment as `activate` of the virtual environment would leave it."""
        active = dict(environment)
        if self.virtualenv is not None:
            active.pop("PYTHONHOME", None)
            active["VIRTUAL_ENV"] = str(self.virtualenv)
            active["PATH"] = os.pathsep.join([str(self.virtualenv / "bin"), active.get("PATH", os.defpath)])
        return active

    def search_path(self) -> list[str]:
        """Return the folders in which this interpreter's packages are installed."""
        if self.virtualenv is None:
            return sys.path
        return [str(folder) for folder in sorted(self.virtualenv.glob("lib*/python3*/site-packages"))]


def choose(options: Mapping[str, Any], root: Path, program: Path, *, plugin: bool = False) -> Interpreter:
    """Return the interpreter that `runtime.options` ask for; a `plugin` has `venv` where nothing is named."""
    for name, allowed in _CHOICES.items():
        if name in options and options[name] not in allowed:
            raise OptionError(
                f"runtime.options.{name}: {options[name]!r} is not carried out by Parley's own language host; use "
                f"{' or '.join(allowed)}, or install Pulumi (https://www.pulumi.com/docs/install/)."
            )
    named = options.get("virtualenv", "")
    if not isinstance(named, str):
        raise OptionError(f"runtime.options.virtualenv: expected a path, found {named!r}.")
    lock = next((folder for folder in (program, *program.parents) if (folder / "uv.lock").is_file()), None)
    toolchain = options.get("toolchain") or ("uv" if lock else "pip")
    virtualenv: Path | None = None
    if named:
        virtualenv = root / named
    elif toolchain == "uv":
        virtualenv = (lock or root) / os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")
    elif plugin:
        virtualenv = root / "venv"
    executable = virtualenv / "bin" / "python" if virtualenv else Path(sys.executable)
    return Interpreter(executable, virtualenv, toolchain, options.get("typechecker"))


def installed(interpreter: Interpreter, *, transitive: bool) -> Iterator[tuple[str, str]]:
    """Yield (name, version) of the installed packages; without `transitive` only those that no other one requires."""
    found = {
        _normal(name): (name, one.version, one.requires or ())
        for one in metadata.distributions(path=interpreter.search_path())
        if (name := one.metadata["Name"])
    }
    wanted_by_others = {
        _normal(match.group())
        for _, _, wants in found.values()
        for want in wants
        if (match := re.match(r"[\w.-]+", want))
    }
    for key, (name, version, _) in sorted(found.items()):
        if transitive or key not in wanted_by_others:
            yield name, version


def pulumi_packages(interpreter: Interpreter) -> Iterator[dict[str, Any]]:
    """Yield name, version, server and parameterization of every installed Pulumi package that needs a plugin.

    A package is one of Pulumi's when it holds a `pulumi-plugin.json` or is called `pulumi-…`; where the file is silent,
    name and version follow from the package's own.
    """
    for folder in map(Path, interpreter.search_path()):
        for about in sorted(folder.glob("*.dist-info")):
            package, _, release = about.name.removesuffix(".dist-info").partition("-")
            manifest = folder / package / "pulumi-plugin.json"
            if not manifest.is_file() and not package.startswith("pulumi_"):
                continue
            told: dict[str, Any] = json.loads(manifest.read_text("utf-8")) if manifest.is_file() else {"resource": True}
            version = told.get("version") or _plugin_version(release)
            if _normal(package) in _WITHOUT_PLUGIN or not told.get("resource") or not version:
                continue
            yield {
                "name": told.get("name") or _normal(package).removeprefix("pulumi-"),
                "version": f"v{version.removeprefix('v')}",
                "server": told.get("server") or "",
                "parameterization": told.get("parameterization"),
            }


def _normal(package: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _plugin_version(release: str) -> str | None:
    """Turn a PEP 440 version into a plugin's semantic one; None where that cannot be told (epochs, local parts)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)*)(?:(a|b|rc)(\d+))?(?:\.(post\d+))?(?:\.?(dev\d+))?", release)
    if match is None:
        return None
    numbers, stage, count, post, dev = match.groups()
    numbers += ".0" * (2 - numbers.count("."))
    stage = f"-{ {'a': 'alpha', 'b': 'beta', 'rc': 'rc'}[stage] }.{count}" if stage else ""
    build = "".join(part for part in (post, dev) if part)
    return f"{numbers}{stage}{f'+{build}' if build else ''}"
