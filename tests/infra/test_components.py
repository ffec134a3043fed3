"""The kit as a part of somebody else's program: that of docs/components.md."""

from __future__ import annotations

from typing import Any

import pytest

from infra.__main__ import main
from infra.kit import assemble
from infra.settings import from_pulumi
from tests.infra import stacks

PAGE = stacks.PROJECT / "docs" / "components.md"


def program() -> None:
    """Run the page's program."""
    text = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(compile(text, PAGE.name, "exec"), names)


@pytest.mark.parametrize("masking", ["proxy", "direct"])
def test_program_of_the_page(masking: str) -> None:
    """It declares what the kit's own program declares, with the same outputs, and the subscription besides."""
    config = stacks.filled("dev") | {"masking": masking}
    own, theirs = (stacks.run(each, config, stack="dev", project="acme") for each in (main, program))
    added = {(each.type, each.name) for each in theirs.resources} - {(each.type, each.name) for each in own.resources}
    assert added == {("aws:sns/topicSubscription:TopicSubscription", "on-call")}
    assert len(theirs.resources) == len(own.resources) + 1
    assert set(theirs.outputs) == set(own.outputs)
    assert {name.partition("-")[0] for name in _named(theirs)} == {"acme"}
    (inputs,) = theirs.of("TopicSubscription").values()
    assert inputs["topic"].startswith("arn:aws:sns:")


def _named(recorder: stacks.Recorder) -> set[str]:
    """Return the names of the functions."""
    return {str(each["name"]) for each in recorder.of("lambda/function:Function").values()}


def test_page_names_what_there_is() -> None:
    """Every attribute that the page's table names is one of the kit's, and of its components."""
    kits: list[Any] = []

    def keep() -> None:
        kits.append(assemble(from_pulumi()))

    stacks.run(keep, stacks.filled("dev"), stack="dev")
    (kit,) = kits
    table = PAGE.read_text(encoding="utf-8").partition("|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines()]
    assert len(rows) == 7
    for name, component, attributes in rows:
        part = getattr(kit, name.strip().strip("`"))
        assert component.strip().strip("`") in {type(part).__name__, ""}
        for attribute in attributes.split("`")[1::2]:
            assert hasattr(part, attribute), attribute
