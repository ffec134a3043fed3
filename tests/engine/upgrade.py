"""States that earlier versions left, for the test that this version updates them without replacing what holds data.

`python -m tests.engine.upgrade NAME` keeps the state of a fresh local stack, deployed by this checkout, as
`states/NAME.json.gz`: once a release, and never again. Secrets are left out, and what identifies an object is put in
when the state is read, so that it can be updated on any local cloud.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cli.home import Home
from cli.stack import LocalStack
from local.engine.find import ensure_engine

STATES: Final = Path(__file__).with_name("states")
_SECRET: Final = "4dabf18193072939515e22adb298388d"
"""What marks a secret in an exported state (pulumi/sdk: resource.SigKey)."""

_SHORTEST: Final = 6
"""Characters of what may be replaced wherever it stands."""

State = dict[str, Any]


def names() -> list[str]:
    """Return the names of the states that are kept."""
    return sorted(path.name.removesuffix(".json.gz") for path in STATES.glob("*.json.gz"))


def read(name: str) -> State:
    """Return a state as it was kept."""
    state: State = json.loads(gzip.decompress((STATES / f"{name}.json.gz").read_bytes()))
    return state


def keep(name: str, state: State) -> None:
    """Write a state, without its secrets and without when anything was made."""
    resources = [_without_secrets(each) for each in state["deployment"]["resources"]]
    for each in resources:
        each.pop("created", None)
        each.pop("modified", None)
    kept = {**state, "deployment": {"resources": resources}}
    text = json.dumps(kept, separators=(",", ":"), sort_keys=True)
    (STATES / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def fit(old: State, now: State) -> State:
    """Return an old state about the objects of a running stack, whose state is `now`, with its secrets.

    An object is the same where its URN is. One that only the old state has is left with the identity that it had; those
    that came later are in the state already, since a running stack has them.
    """
    mine = {each["urn"]: each for each in now["deployment"]["resources"]}
    pairs: dict[str, str] = {}
    for each in old["deployment"]["resources"]:
        if each["urn"] in mine:
            # The first one wins: a pool that was moved to another service keeps the SID of its first one as its id.
            pairs = {**dict(_identities(each, mine[each["urn"]])), **pairs}
    text = json.dumps(old["deployment"]["resources"])
    # Longer ones first: an ARN may contain what another object is known by.
    for before in sorted(pairs, key=len, reverse=True):
        text = text.replace(json.dumps(before)[1:-1], json.dumps(pairs[before])[1:-1])
    fitted = {each["urn"]: _with_secrets(each, mine.get(each["urn"], {})) for each in json.loads(text)}
    for urn in fitted.keys() & mine.keys():
        if "id" in mine[urn]:
            fitted[urn]["id"] = mine[urn]["id"]
    resources = list(_in_order({**mine, **fitted}))
    return {**now, "deployment": {**now["deployment"], "resources": resources}}


def _in_order(resources: Mapping[str, State]) -> Iterator[State]:
    """Yield resources after those that they refer to, which the engine asks of a state."""
    done: set[str] = set()

    def after(urn: str) -> Iterator[State]:
        if urn in done or urn not in resources:
            return
        done.add(urn)
        one = resources[urn]
        provider = str(one.get("provider", "")).rpartition("::")[0]
        for other in (one.get("parent", ""), provider, *one.get("dependencies", ())):
            yield from after(other)
        yield one

    for urn in resources:
        yield from after(urn)


def _identities(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what one object was known by, and by what it is known now: its id, and what no program gave it."""
    if before.get("id") and before["id"] != after.get("id"):
        yield before["id"], after["id"]
    given = before.get("inputs", {})
    named = {"accountSid", "apiKey", "endpoint", "gateUrl", *given.get("__defaults", ())}
    for name, old in before.get("outputs", {}).items():
        new = after.get("outputs", {}).get(name)
        told = name not in given or name in named
        if told and isinstance(old, str) and isinstance(new, str) and old != new and len(old) >= _SHORTEST:
            yield old, new


def _without_secrets(node: Any) -> Any:
    if isinstance(node, dict):
        if _SECRET in node:
            return {_SECRET: node[_SECRET]}
        return {name: _without_secrets(value) for name, value in node.items()}
    return [_without_secrets(each) for each in node] if isinstance(node, list) else node


def _with_secrets(node: Any, mine: Any) -> Any:
    """Put the secrets of a running stack where the old state had some."""
    if isinstance(node, dict):
        if _SECRET in node:
            return mine
        of = mine if isinstance(mine, dict) else {}
        return {name: _with_secrets(value, of.get(name)) for name, value in node.items()}
    return [_with_secrets(each, None) for each in node] if isinstance(node, list) else node


def main(name: str) -> None:
    """Deploy a fresh local stack and keep its state. Raises SystemExit for a name that is taken."""
    if name in names():
        raise SystemExit(f"{STATES / name}.json.gz is there already, and what a release left does not change")
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(Home(Path(folder)), ensure_engine(), checkpoints=False)
        try:
            stack.start_cloud(0)
            stack.deploy()
            keep(name, stack.workspace().export())
        finally:
            stack.wipe()


if __name__ == "__main__":
    main(*sys.argv[1:])
