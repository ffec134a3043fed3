"""A small protocol layer for Pulumi providers in Python: resource types are written against plain dicts.

class Provider(provider.Provider):
    name, version, resources = "parley", "0.1.0", provider.table(ProxyService(), NumberPool())

provider.serve(Provider())
"""

from infra.provider import wire
from infra.provider.changes import Change, Diff, compare, differences, drifted, merge, render
from infra.provider.errors import CheckFailure, PartialFailure, ProviderError
from infra.provider.resource import Live, Properties, Resource, table
from infra.provider.server import serve
from infra.provider.servicer import Naming, Provider
from infra.provider.wire import UNKNOWN, Archive, Asset

__all__ = [
    "UNKNOWN",
    "Archive",
    "Asset",
    "Change",
    "CheckFailure",
    "Diff",
    "Live",
    "Naming",
    "PartialFailure",
    "Properties",
    "Provider",
    "ProviderError",
    "Resource",
    "compare",
    "differences",
    "drifted",
    "merge",
    "render",
    "serve",
    "table",
    "wire",
]
