"""SnapStart and provisioned concurrency: for what decides before Twilio connects anybody, and for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from infra.__main__ import main
from infra.functions import HANDLERS
from infra.settings import SettingsError, load
from tests.infra import stacks

GATES = {"proxy": {"intercept"}, "direct": {"inbound-call", "inbound-message"}}


def deployed(masking: str, **functions: Any) -> stacks.Recorder:
    """Run the program with these sizes of functions."""
    config = stacks.filled("dev") | {"masking": masking, "functions": functions}
    return stacks.run(main, config, stack="dev")


def test_gates_are_what_twilio_asks_first() -> None:
    """Whatever gates is a webhook of one way of masking."""
    found = {way: {each.name for each in HANDLERS if each.gates and each.masking == way} for way in GATES}
    assert found == GATES


def test_snapshots() -> None:
    """With `snapStart` the gates start from snapshots of their published versions, and no other function does."""
    functions = deployed("direct", snapStart=True).of("lambda/function:Function")
    started = {name: inputs["snapStart"] for name, inputs in functions.items() if "snapStart" in inputs}
    assert started == {name: {"applyOn": "PublishedVersions"} for name in GATES["direct"]}
    assert all(functions[name]["publish"] for name in started)


def test_environments_that_are_ready() -> None:
    """With `provisionedConcurrency` so many environments of each gate are ready behind its alias."""
    recorder = deployed("proxy", provisionedConcurrency=3)
    made = recorder.of("lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig")
    assert made.keys() == GATES["proxy"]
    for name, inputs in made.items():
        assert inputs["functionName"] == f"parley-dev-{name}"
        assert inputs["qualifier"] == "live"
        assert inputs["provisionedConcurrentExecutions"] == 3
    assert not [each for each in recorder.of("lambda/function:Function").values() if "snapStart" in each]


def test_neither_unless_declared() -> None:
    """A committed stack has neither: both cost money while nobody talks."""
    recorder = stacks.deployed("dev")
    assert not recorder.of("lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig")
    assert not [each for each in recorder.of("lambda/function:Function").values() if "snapStart" in each]


@pytest.mark.parametrize(
    ("environment", "functions", "key", "reason"),
    [
        ("dev", {"snapStart": True, "provisionedConcurrency": 1}, "snapStart", "Lambda takes one of them"),
        (
            "dev",
            {"provisionedConcurrency": 6, "reservedConcurrency": 5},
            "provisionedConcurrency",
            "is 6, and reservedConcurrency is 5: no more can be ready than may run; lower it to 5 at most",
        ),
        ("local", {"snapStart": True}, "snapStart", "the cloud on one machine has nothing of the kind"),
        ("local", {"provisionedConcurrency": 1}, "provisionedConcurrency", "has nothing of the kind"),
    ],
)
def test_what_cannot_be(environment: str, functions: dict[str, Any], key: str, reason: str) -> None:
    """What Lambda refuses, or the local cloud does not have, is told before anything is changed."""
    with pytest.raises(SettingsError) as caught:
        load(stacks.filled(environment) | {"functions": functions})
    found = {problem.key: f"{problem.reason}; {problem.way_out}" for problem in caught.value.problems}
    assert reason in found[f"parley:functions.{key}"]
