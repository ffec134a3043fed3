"""The base of one resource type: everything the engine can ask of it, on plain Python values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from infra.provider.changes import Diff, compare
from infra.provider.errors import CheckFailure
from infra.provider.wire import UNKNOWN

Context = TypeVar("Context")
Properties = dict[str, Any]


@dataclass(frozen=True)
class Live:
    """An object as it is now.

    `inputs`: the inputs that would make it look so; None leaves them to the protocol layer, which merges what changed
    since the state was written into the old inputs (and on import takes the names in `Resource.inputs` from `state`).
    `state`: all outputs as read. `id_`: the object's own id, where an import may be asked for by another one.
    """

    inputs: Properties | None
    state: Properties
    id_: str | None = None


class Resource(Generic[Context]):
    """One resource type. `Context` is what the provider's `configure` made, such as an API client.

    Values are plain: secrets are unwrapped before and marked again after each call; a value not known in a preview is
    `wire.UNKNOWN`, in `check`, `diff` and `preview` only. Every method may raise `ProviderError`.
    """

    token: ClassVar[str] = ""
    """The type token, such as `parley:index:ProxyService`."""
    inputs: ClassVar[frozenset[str]] = frozenset()
    """Names of all inputs: those that an import or a drift may bring in."""
    outputs: ClassVar[frozenset[str]] = frozenset()
    """Names of outputs that only the cloud knows: unknown in the preview of a create, kept in that of an update."""
    replaces: ClassVar[frozenset[str]] = frozenset()
    """Top-level inputs whose change needs a new object."""
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Properties that are secret in inputs and outputs whatever the program says."""

    def check(self, inputs: Properties, old_inputs: Properties, /) -> tuple[Properties, list[CheckFailure]]:
        """Return the inputs with defaults filled in, and what is wrong with them."""
        del old_inputs
        return inputs, []

    def diff(
        self,
        ctx: Context,
        id_: str,
        old_inputs: Properties,
        state: Properties,
        inputs: Properties,
        /,
    ) -> Diff:
        """Tell what an update to `inputs` would change; the default compares the inputs path by path."""
        del ctx, id_, state
        return compare(old_inputs, inputs, self.replaces)

    def preview(self, ctx: Context, inputs: Properties, state: Properties | None, /) -> Properties:
        """Return the outputs as far as they are known before `create` (`state` is None) or `update`."""
        del ctx
        known = {name: UNKNOWN if state is None else state.get(name) for name in self.outputs}
        return {**known, **inputs}

    def create(self, ctx: Context, inputs: Properties, /) -> tuple[str, Properties]:
        """Make the object and return its id and outputs; `PartialFailure` when it exists but is not as asked."""
        raise NotImplementedError

    def read(
        self,
        ctx: Context,
        id_: str,
        inputs: Properties | None,
        state: Properties | None,
        /,
    ) -> Live | None:
        """Return the object as it is, None if it is gone; `inputs` and `state` are None on import."""
        raise NotImplementedError

    def update(
        self,
        ctx: Context,
        id_: str,
        old_inputs: Properties,
        state: Properties,
        inputs: Properties,
        /,
    ) -> Properties:
        """Change the object in place and return its outputs; `PartialFailure` when only part of it was done."""
        raise NotImplementedError

    def delete(self, ctx: Context, id_: str, state: Properties, /) -> None:
        """Remove the object; one that is gone already is no error."""
        raise NotImplementedError


def table(*resources: Resource[Any]) -> Mapping[str, Resource[Any]]:
    """Index resource types by their token."""
    return {resource.token: resource for resource in resources}
