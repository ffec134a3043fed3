"""The page `docs/configuration.md`, made from the typed configuration of Pulumi.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml

HEAD = """# Configuration

Made from `Pulumi.yaml` by `make docs`. Each environment's values are in its stack file; a stack's value replaces a
default as a whole. A wrong, unknown or missing key stops the preview; one message names all of them, with the way out.

| key | type | what it decides |
|---|---|---|
"""


def configuration_page(root: Path) -> str:
    """Return the page for the project in `root`, one row for each key of its configuration."""
    declared = yaml.safe_load((root / "Pulumi.yaml").read_text())["config"]
    rows = [
        f"| `parley:{name}` | {one['type']} | {one['description'].replace('|', chr(92) + '|')} |"
        for name, one in declared.items()
        if "type" in one
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    project = Path(__file__).resolve().parents[1]
    (project / "docs" / "configuration.md").write_text(configuration_page(project))
