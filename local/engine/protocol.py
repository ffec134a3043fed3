"""The engine's protocol with a language host: the one place that names the SDK's private modules.

`pulumi.runtime.proto` is generated from github.com/pulumi/pulumi/proto/pulumi/{language,engine,plugin}.proto and has no
promise of stability beyond the wire format. Only submodules are imported, so that it works with and without the SDK's
`__init__` (see `host`).
"""

from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, language_pb2, plugin_pb2
from pulumi.runtime.proto.language_pb2_grpc import (
    LanguageRuntimeServicer,
    LanguageRuntimeStub,
)
from pulumi.runtime.proto.language_pb2_grpc import (
    add_LanguageRuntimeServicer_to_server as add_language_runtime,
)

__all__ = [
    "LanguageRuntimeServicer",
    "LanguageRuntimeStub",
    "add_language_runtime",
    "engine_pb2",
    "engine_pb2_grpc",
    "language_pb2",
    "plugin_pb2",
]
