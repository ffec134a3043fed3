"""A provider for the engine's tests: an object is a file in a folder, and its ID the file's path.

With `gate` (a folder of two FIFOs) a creation tells `made` once the file is there, then waits for `go`, so that a test
can interrupt the engine at exactly that moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra import provider
from infra.provider import Live, Properties


class Item(provider.Resource[Any]):
    """One file."""

    token = "depot:index:Item"
    inputs = frozenset({"folder", "name", "text", "gate"})
    replaces = frozenset({"name"})

    def create(self, ctx: Any, inputs: Properties, /) -> tuple[str, Properties]:
        """Make the file, which must not be there."""
        path = Path(inputs["folder"], inputs["name"])
        with path.open("x") as file:
            file.write(inputs["text"])
        if gate := inputs.get("gate"):
            Path(gate, "made").write_text("made")
            Path(gate, "go").read_text()
        return str(path), inputs

    def read(self, ctx: Any, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the file."""
        path = Path(id_)
        if not path.is_file():
            return None
        return Live(None, {**(state or {}), "folder": str(path.parent), "name": path.name, "text": path.read_text()})

    def update(
        self, ctx: Any, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Write the file anew."""
        Path(id_).write_text(inputs["text"])
        return inputs

    def delete(self, ctx: Any, id_: str, state: Properties, /) -> None:
        """Remove the file."""
        Path(id_).unlink(missing_ok=True)


class Depot(provider.Provider):
    """The provider."""

    name, version = "depot", "1.0.0"
    resources = provider.table(Item())


if __name__ == "__main__":
    provider.serve(Depot())
