"""What a killed engine leaves in a state folder, and how it is put right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.engine.recovery import adopted, mend, pending_creates

URN = "urn:pulumi:local::shop::depot:index:Item::one"


def operation(kind: str, urn: str = URN) -> dict[str, Any]:
    """Make an operation that was left open."""
    return {"type": kind, "resource": {"urn": urn, "type": "depot:index:Item", "inputs": {"name": "one"}}}


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    """Give a state folder with a sound stack; returns the folder of its files."""
    stacks = tmp_path / ".pulumi" / "stacks" / "shop"
    stacks.mkdir(parents=True)
    state = {"checkpoint": {"latest": {"pending_operations": [operation("updating"), operation("creating")]}}}
    for name in ("local.json", "local.json.bak"):
        (stacks / name).write_text(json.dumps(state))
        (stacks / f"{name}.attrs").write_text("{}")
    return stacks


def test_sound_state_is_left_alone(stacks: Path, tmp_path: Path) -> None:
    """Where nothing is cut off nothing is changed or said."""
    before = {file.name: file.read_text() for file in stacks.iterdir()}
    assert mend(tmp_path, "shop", "local") is None
    assert {file.name: file.read_text() for file in stacks.iterdir()} == before


def test_cut_off_attributes_and_unfinished_files_go(stacks: Path, tmp_path: Path) -> None:
    """Attributes that were cut off are removed and named, as are files that were never finished."""
    (stacks / "local.json.attrs").write_text("")
    (stacks / "local.json.18ea.tmp").write_text("half")
    told = mend(tmp_path, "shop", "local")
    assert told is not None
    assert "local.json.attrs" in told
    assert sorted(file.name for file in stacks.iterdir()) == ["local.json", "local.json.bak", "local.json.bak.attrs"]


@pytest.mark.parametrize("cut", ["", '{"checkpoint"', None])
def test_cut_off_state_comes_back_from_its_backup(stacks: Path, tmp_path: Path, cut: str | None) -> None:
    """A state that is missing or cut off is taken from the engine's own backup."""
    if cut is None:
        (stacks / "local.json").unlink()
    else:
        (stacks / "local.json").write_text(cut)
    assert mend(tmp_path, "shop", "local") is not None
    assert (stacks / "local.json").read_text() == (stacks / "local.json.bak").read_text()


def test_only_creations_are_pending(stacks: Path, tmp_path: Path) -> None:
    """Open updates are simply done again; an open creation is listed; no state means none."""
    (pending,) = pending_creates(tmp_path, "shop", "local")
    assert (pending.urn, pending.name, pending.inputs) == (URN, "one", {"name": "one"})
    assert pending_creates(tmp_path, "shop", "other") == ()


def test_found_creations_are_adopted_last() -> None:
    """A creation that was found ends in the state after all else; the others are dropped, and the original is kept."""
    other = URN.replace("one", "two")
    state = {
        "version": 3,
        "deployment": {
            "resources": [{"urn": "urn:stack"}],
            "pending_operations": [operation("creating"), operation("creating", other), operation("deleting")],
        },
    }
    result = adopted(state, {URN: "id-1"})
    assert result["version"] == 3
    assert "pending_operations" not in result["deployment"]
    assert result["deployment"]["resources"] == [
        {"urn": "urn:stack"},
        {"urn": URN, "type": "depot:index:Item", "inputs": {"name": "one"}, "id": "id-1", "outputs": {"name": "one"}},
    ]
    assert len(state["deployment"]["pending_operations"]) == 3  # type: ignore[index]
