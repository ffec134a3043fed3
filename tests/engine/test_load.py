"""Conversations side by side over the deployed functions: what must hold does, while people withdraw amid others."""

from __future__ import annotations

from collections import Counter

from cli.stack import LocalStack
from tests.bench.load import WAYS, broken, run


def test_nothing_breaks_under_load(stack: LocalStack) -> None:
    """Whoever said no reads nothing more, everybody else reads everything once, and every chain holds."""
    cloud, outputs = stack.start_cloud(), stack.workspace().outputs()
    load = run(cloud, outputs, seconds=7, workers=3, seed=11)
    assert broken(cloud, outputs, load) == []
    assert len(load.conversations) >= 3
    assert set(Counter(talk.way for talk in load.conversations)) <= set(WAYS)
    told = {line["what"]: line for line in load.told()}
    assert told["text"]["count"] == 4 * len(load.conversations)
    assert all(line["p50_ms"] <= line["p99_ms"] for line in told.values())
    talk = load.conversations[0]
    reader, words = talk.arrived.pop()
    talk.arrived.append((talk.people[0], "on my way, but never"))
    load.wrong.append("consent given: 500")
    found = broken(cloud, outputs, load)
    assert found[0] == "1 times consent given: 500"
    assert any(f"…{reader[-4:]} read 2 texts, of which 1 were not for them" in each for each in found), (found, words)
    assert any("1 of theirs never came" in each for each in found)
