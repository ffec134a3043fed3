"""The resource provider protocol of the Pulumi engine (proto/pulumi/provider.proto), answered for `Resource` classes.

This is the raw `ResourceProviderServicer` and not `pulumi.provider.experimental`, because that one hides from providers
the old inputs, unknown values, the autonaming options and partial failures.
"""

# ruff: noqa: N802, D102, ARG002 - names, meanings and arguments of the methods are the protocol's

from __future__ import annotations

import functools
import json
import os
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.provider.changes import Diff, compare, drifted, render
from infra.provider.errors import CheckFailure, PartialFailure, ProviderError
from infra.provider.resource import Live, Properties, Resource
from infra.provider.wire import Marks, plain, struct

LOG_VARIABLE = "PARLEY_PROVIDER_LOG"
"""Names a file that gets the tracebacks of a provider's own bugs; unset, they go nowhere."""

Invoke = Callable[[Any, Properties], Properties]
Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class Naming:
    """What the engine says about the name of an object that the program does not name (`pulumi:autonaming`).

    `name`: the resource's own name. `seed`: bytes to make a name unique, the same in preview and update.
    `proposed`: the name by the project's pattern, empty for none. `enforced`: it must be taken as it is. `disabled`:
    the program has to name the object.
    """

    name: str
    seed: bytes = b""
    proposed: str = ""
    enforced: bool = False
    disabled: bool = False


def answering(method: Method) -> Method:
    """Turn an exception of `method` into the one error that the engine shows for the resource, secrets left out."""

    @functools.wraps(method)
    def answer(self: Provider, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except PartialFailure as failure:
            self.end_partly(request, context, failure)
        except ProviderError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.redact(request, str(error)))
        except Exception as bug:  # noqa: BLE001 - the last resort of a server
            if target := os.environ.get(LOG_VARIABLE):
                with Path(target).open("a", encoding="utf-8") as log:
                    log.write(self.redact(request, traceback.format_exc(), lines=True))
            message = (
                f"the {self.name} provider failed in {method.__name__}: {type(bug).__name__}: {bug} "
                f"(set {LOG_VARIABLE}=FILE to get the traceback)"
            )
            context.abort(grpc.StatusCode.UNKNOWN, self.redact(request, message))
        raise AssertionError("context.abort raises")  # pragma: no cover

    return answer  # type: ignore[return-value]


def _token(request: Any) -> str:
    return getattr(request, "type", "") or getattr(request, "urn", "::::").split("::")[2].split("$")[-1]


def _unsupported(what: str) -> Any:
    def refuse(self: Provider, request: Any, context: grpc.ServicerContext) -> NoReturn:
        del request
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the {self.name} provider does not support {what}")
        raise AssertionError("context.abort raises")  # pragma: no cover

    return refuse


def _failures(failures: list[CheckFailure], marks: Marks) -> list[provider_pb2.CheckFailure]:
    # With `property` set the engine would print the rejected value too, and that may be a phone number.
    return [provider_pb2.CheckFailure(reason=marks.redact(str(failure))) for failure in failures]


def _diff_response(diff: Diff) -> provider_pb2.DiffResponse:
    kinds = provider_pb2.PropertyDiff.Kind
    detailed = {}
    for path, change in diff.changes.items():
        top = str(path[0])
        kind = kinds.Value(change.value + ("_REPLACE" if top in diff.replaces else ""))
        detailed[render(path)] = provider_pb2.PropertyDiff(kind=kind, inputDiff=top not in diff.outputs)
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if diff else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted(diff.changed),
        replaces=sorted(diff.replaces),
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=bool(diff) and diff.delete_first,
    )


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """A resource provider: its resource types, its functions and its configuration.

    A subclass gives `name`, `version`, `resources` and `invokes`; `configure` makes what its resources get as `ctx`.
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = "0.0.0"
    resources: ClassVar[Mapping[str, Resource[Any]]] = {}
    """Type token -> resource type; `resource.table(...)` makes it."""
    invokes: ClassVar[Mapping[str, Invoke]] = {}
    """Function token -> `function(ctx, args) -> result`."""

    def __init__(self) -> None:
        self.ctx: Any = None
        self.cancelled = threading.Event()
        self._configured = struct_pb2.Struct()

    # -- what a subclass may override ----------------------------------------------------------------------------------

    def configure(self, config: Properties) -> Any:
        """Make the context that all resources get, from the provider's configuration. Values may be JSON text."""
        return config

    def check_config(self, config: Properties, old: Properties) -> tuple[Properties, list[CheckFailure]]:
        """Return the configuration with defaults filled in, and what is wrong with it."""
        del old
        return config, []

    def diff_config(self, old: Properties, new: Properties) -> Diff:
        """Compare two configurations; a replaced provider replaces all of its resources."""
        return compare(old, new)

    def schema(self) -> dict[str, Any]:
        """Return the package schema (https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/)."""
        return {"name": self.name, "version": self.version}

    def check(
        self, resource: Resource[Any], inputs: Properties, old_inputs: Properties, naming: Naming
    ) -> tuple[Properties, list[CheckFailure]]:
        """Check the inputs of one resource; override it where names are given by the provider."""
        del naming
        return resource.check(inputs, old_inputs)

    def resource(self, token: str) -> Resource[Any]:
        """Return the resource type behind `token`; `ProviderError` when there is none."""
        if token not in self.resources:
            raise ProviderError(
                f"the {self.name} provider has no resource type {token}; it has {', '.join(sorted(self.resources))}"
            )
        return self.resources[token]

    # -- secrets and errors --------------------------------------------------------------------------------------------

    def marks(self, request: Any, resource: Resource[Any] | None = None) -> Marks:
        """Return the secrets of what an answer is made from: what was secret once, but is no more, need not stay so."""
        structs = [getattr(request, name, None) for name in ("news", "args", "properties", "inputs")]
        return Marks(
            *(message for message in structs if message is not None),
            always=resource.secrets if resource else (),
            besides=[self._configured],
        )

    def redact(self, request: Any, text: str, *, lines: bool = False) -> str:
        """`text` on one line (as it is with `lines`) without any secret of the request or of the configuration."""
        structs = [value for _, value in request.ListFields() if isinstance(value, struct_pb2.Struct)]
        clean = Marks(*structs, besides=[self._configured]).redact(text)
        return clean if lines else " ".join(clean.split())

    def end_partly(self, request: Any, context: grpc.ServicerContext, failure: PartialFailure) -> NoReturn:
        """End a create or update with an error from which the engine learns what there is of the object."""
        reasons = [self.redact(request, reason) for reason in failure.reasons]
        outputs = struct(failure.outputs, self.marks(request, self.resources.get(_token(request))))
        detail = provider_pb2.ErrorResourceInitFailed(id=failure.id_, properties=outputs, reasons=reasons)
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message="; ".join(reasons))
        status.details.add().Pack(detail)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, status.message)
        raise AssertionError("context.abort raises")  # pragma: no cover

    # -- the protocol: the provider itself -----------------------------------------------------------------------------

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: Any
    ) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self.version)

    def Attach(self, request: plugin_pb2.PluginAttach, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: Any) -> empty_pb2.Empty:
        self.cancelled.set()
        return empty_pb2.Empty()

    def GetMappings(self, request: provider_pb2.GetMappingsRequest, context: Any) -> provider_pb2.GetMappingsResponse:
        return provider_pb2.GetMappingsResponse()

    Parameterize = _unsupported("parameterization")
    Construct = _unsupported("components")
    Call = _unsupported("methods")
    List = _unsupported("listing")
    GetMapping = _unsupported("mappings")

    @answering
    def GetSchema(self, request: provider_pb2.GetSchemaRequest, context: Any) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=json.dumps(self.schema()))

    @answering
    def CheckConfig(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:
        config, failures = self.check_config(plain(request.news), plain(request.olds))
        marks = self.marks(request)
        return provider_pb2.CheckResponse(inputs=struct(config, marks), failures=_failures(failures, marks))

    @answering
    def DiffConfig(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:
        return _diff_response(self.diff_config(plain(request.old_inputs), plain(request.news)))

    @answering
    def Configure(self, request: provider_pb2.ConfigureRequest, context: Any) -> provider_pb2.ConfigureResponse:
        variables = {key.rpartition(":")[2]: value for key, value in request.variables.items()}
        self._configured = request.args
        self.ctx = self.configure(plain(request.args) or variables)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    @answering
    def Invoke(self, request: provider_pb2.InvokeRequest, context: Any) -> provider_pb2.InvokeResponse:
        if request.tok not in self.invokes:
            raise ProviderError(
                f"the {self.name} provider has no function {request.tok}; it has {', '.join(sorted(self.invokes))}"
            )
        result = self.invokes[request.tok](self.ctx, plain(request.args))
        return _invoke_response(struct(result, self.marks(request)))

    # -- the protocol: resources ---------------------------------------------------------------------------------------

    @answering
    def Check(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:
        resource, marks = self.resource(_token(request)), self.marks(request)
        options, modes = request.autonaming, provider_pb2.CheckRequest.AutonamingOptions
        naming = Naming(
            name=request.name or request.urn.rpartition("::")[2],
            seed=request.randomSeed,
            proposed=options.proposed_name,
            enforced=options.mode == modes.ENFORCE,
            disabled=options.mode == modes.DISABLE,
        )
        inputs, failures = self.check(resource, plain(request.news), plain(request.olds), naming)
        marks = self.marks(request, resource)
        return provider_pb2.CheckResponse(inputs=struct(inputs, marks), failures=_failures(failures, marks))

    @answering
    def Diff(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:
        old_inputs, state, inputs = plain(request.old_inputs), plain(request.olds), plain(request.news)
        return _diff_response(self.resource(_token(request)).diff(self.ctx, request.id, old_inputs, state, inputs))

    @answering
    def Create(self, request: provider_pb2.CreateRequest, context: Any) -> provider_pb2.CreateResponse:
        resource, inputs = self.resource(_token(request)), plain(request.properties)
        id_, outputs = (
            ("", resource.preview(self.ctx, inputs, None)) if request.preview else (resource.create(self.ctx, inputs))
        )
        return provider_pb2.CreateResponse(id=id_, properties=struct(outputs, self.marks(request, resource)))

    @answering
    def Read(self, request: provider_pb2.ReadRequest, context: Any) -> provider_pb2.ReadResponse:
        resource = self.resource(_token(request))
        imports = not request.inputs.fields and not request.properties.fields
        inputs, state = (None, None) if imports else (plain(request.inputs), plain(request.properties))
        live = resource.read(self.ctx, request.id, inputs, state)
        if live is None:
            return provider_pb2.ReadResponse()
        marks = self.marks(request, resource)
        return provider_pb2.ReadResponse(
            id=live.id_ or request.id,
            properties=struct(live.state, marks),
            inputs=struct(_live_inputs(resource, live, inputs, state), marks),
        )

    @answering
    def Update(self, request: provider_pb2.UpdateRequest, context: Any) -> provider_pb2.UpdateResponse:
        resource = self.resource(_token(request))
        old_inputs, state, inputs = plain(request.old_inputs), plain(request.olds), plain(request.news)
        if request.preview:
            outputs = resource.preview(self.ctx, inputs, state)
        else:
            outputs = resource.update(self.ctx, request.id, old_inputs, state, inputs)
        return provider_pb2.UpdateResponse(properties=struct(outputs, self.marks(request, resource)))

    @answering
    def Delete(self, request: provider_pb2.DeleteRequest, context: Any) -> empty_pb2.Empty:
        self.resource(_token(request)).delete(self.ctx, request.id, plain(request.properties))
        return empty_pb2.Empty()


def _invoke_response(result: struct_pb2.Struct) -> provider_pb2.InvokeResponse:
    response = provider_pb2.InvokeResponse()
    getattr(response, "return").CopyFrom(result)  # the field's name is a keyword of Python
    return response


def _live_inputs(
    resource: Resource[Any], live: Live, inputs: Properties | None, state: Properties | None
) -> Properties:
    if live.inputs is not None:
        return live.inputs
    if inputs is None or state is None:
        return {name: value for name, value in live.state.items() if name in resource.inputs}
    return drifted(inputs, state, live.state, resource.inputs or inputs.keys())
