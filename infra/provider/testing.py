"""Driving a provider as the engine would, but in the same process: for fast tests of resource types.

stack = Stack(Provider())
stack.configure({"accountSid": "AC…"})
queue = stack.up("parley:index:Queue", "dead", {"days": 7})
assert not stack.diff(queue, {"days": 7}).changes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf import json_format, struct_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

from infra.provider.servicer import Provider
from infra.provider.wire import SECRET, SIGNATURE, plain, struct

Properties = dict[str, Any]


class Refused(Exception):  # noqa: N818 - named for what it tells a test
    """The provider ended a call with an error; `half_done` is what it says to keep in the state."""

    def __init__(
        self, code: grpc.StatusCode, message: str, half_done: provider_pb2.ErrorResourceInitFailed | None
    ) -> None:
        super().__init__(message)
        self.code, self.half_done = code, half_done


class CheckFailed(Exception):  # noqa: N818 - named for what it tells a test
    """Inputs were rejected; `failures` holds one `path: reason` each."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__("; ".join(failures))
        self.failures = failures


@dataclass
class Call:
    """One call's context: the part of `grpc.ServicerContext` that the servicer uses."""

    metadata: dict[str, bytes] = field(default_factory=dict)

    def set_trailing_metadata(self, metadata: tuple[tuple[str, bytes], ...]) -> None:
        """Keep the details of an error."""
        self.metadata = dict(metadata)

    def abort(self, code: grpc.StatusCode, message: str) -> NoReturn:
        """End the call with an error."""
        half_done = None
        if details := self.metadata.get("grpc-status-details-bin"):
            half_done = provider_pb2.ErrorResourceInitFailed()
            status_pb2.Status.FromString(details).details[0].Unpack(half_done)
        raise Refused(code, message, half_done)


@dataclass(frozen=True)
class Deployed:
    """One resource in the state: what the engine remembers of it. `raw` shows which outputs are marked as secret."""

    token: str
    name: str
    id: str
    inputs: struct_pb2.Struct
    outputs: struct_pb2.Struct

    @property
    def state(self) -> Properties:
        """The outputs, secrets unwrapped."""
        return plain(self.outputs)

    @property
    def raw(self) -> Properties:
        """The outputs as the state file has them."""
        return dict(json_format.MessageToDict(self.outputs))


@dataclass(frozen=True)
class Planned:
    """What the provider says that an update would do: property path -> ADD, UPDATE_REPLACE and so on."""

    changes: dict[str, str]
    replaces: list[str]
    delete_first: bool


def secret(value: Any) -> Properties:
    """`value` marked as a secret, as a program's `Output.secret` reaches a provider."""
    return {SIGNATURE: SECRET, "value": value}


class Stack:
    """A stack with one provider and no engine."""

    def __init__(self, provider: Provider, *, seed: bytes = b"\x01\x23\x45\x67\x89\xab\xcd\xef") -> None:
        self.provider, self.seed = provider, seed

    def _who(self, token: str, name: str) -> dict[str, Any]:
        return {"urn": f"urn:pulumi:test::project::{token}::{name}", "type": token, "name": name}

    def configure(self, config: Mapping[str, Any]) -> None:
        """Configure the provider as the engine does after CheckConfig."""
        checked = self.provider.CheckConfig(provider_pb2.CheckRequest(news=struct(config)), Call())
        if checked.failures:
            raise CheckFailed([failure.reason for failure in checked.failures])
        self.provider.Configure(provider_pb2.ConfigureRequest(args=struct(config)), Call())

    def check(
        self,
        token: str,
        name: str,
        inputs: Mapping[str, Any],
        old: Deployed | None = None,
        autonaming: provider_pb2.CheckRequest.AutonamingOptions | None = None,
    ) -> struct_pb2.Struct:
        """Return the checked inputs; `CheckFailed` when some are rejected."""
        request = provider_pb2.CheckRequest(
            **self._who(token, name),
            olds=old.inputs if old else None,
            news=struct(inputs),
            randomSeed=self.seed,
            autonaming=autonaming,
        )
        answer = self.provider.Check(request, Call())
        if answer.failures:
            raise CheckFailed([failure.reason for failure in answer.failures])
        return answer.inputs

    def preview(self, token: str, name: str, inputs: Mapping[str, Any]) -> Properties:
        """Return the outputs that a preview of a create shows."""
        checked = self.check(token, name, inputs)
        request = provider_pb2.CreateRequest(**self._who(token, name), properties=checked, preview=True)
        return plain(self.provider.Create(request, Call()).properties)

    def up(self, token: str, name: str, inputs: Mapping[str, Any]) -> Deployed:
        """Check and create."""
        checked = self.check(token, name, inputs)
        answer = self.provider.Create(provider_pb2.CreateRequest(**self._who(token, name), properties=checked), Call())
        return Deployed(token, name, answer.id, checked, answer.properties)

    def invoke(self, token: str, arguments: Mapping[str, Any]) -> Properties:
        """Call a function of the provider."""
        request = provider_pb2.InvokeRequest(tok=token, args=struct(arguments))
        return plain(getattr(self.provider.Invoke(request, Call()), "return"))

    def diff(self, old: Deployed, inputs: Mapping[str, Any]) -> Planned:
        """Check new inputs and tell what they would change."""
        request = provider_pb2.DiffRequest(
            **self._who(old.token, old.name),
            id=old.id,
            olds=old.outputs,
            old_inputs=old.inputs,
            news=self.check(old.token, old.name, inputs, old),
        )
        answer = self.provider.Diff(request, Call())
        kinds = provider_pb2.PropertyDiff.Kind
        changes = {path: kinds.Name(change.kind) for path, change in answer.detailedDiff.items()}
        return Planned(changes, list(answer.replaces), answer.deleteBeforeReplace)

    def update(self, old: Deployed, inputs: Mapping[str, Any], *, preview: bool = False) -> Deployed:
        """Check new inputs and update in place."""
        checked = self.check(old.token, old.name, inputs, old)
        request = provider_pb2.UpdateRequest(
            **self._who(old.token, old.name),
            id=old.id,
            olds=old.outputs,
            old_inputs=old.inputs,
            news=checked,
            preview=preview,
        )
        answer = self.provider.Update(request, Call())
        return Deployed(old.token, old.name, old.id, checked, answer.properties)

    def refresh(self, old: Deployed) -> Deployed | None:
        """Read the object again; None when it is gone."""
        request = provider_pb2.ReadRequest(
            **self._who(old.token, old.name), id=old.id, properties=old.outputs, inputs=old.inputs
        )
        answer = self.provider.Read(request, Call())
        return Deployed(old.token, old.name, answer.id, answer.inputs, answer.properties) if answer.id else None

    def adopt(self, token: str, name: str, id_: str) -> Deployed | None:
        """Import an object by its id; None when there is none."""
        answer = self.provider.Read(provider_pb2.ReadRequest(**self._who(token, name), id=id_), Call())
        return Deployed(token, name, answer.id, answer.inputs, answer.properties) if answer.id else None

    def down(self, old: Deployed) -> None:
        """Delete the object."""
        request = provider_pb2.DeleteRequest(
            **self._who(old.token, old.name), id=old.id, properties=old.outputs, old_inputs=old.inputs
        )
        self.provider.Delete(request, Call())
