"""What a check sees of a stack: its resources, plain, and where their values come from.

A `Deployment` is made of an exported state (`from_export`), of what the engine hands to a policy pack
(`from_analyzer`), or by hand. A value that nobody knows yet, as in the first preview, is `UNKNOWN`: whoever uses it
raises CannotTellError, which the runner takes for silence. A value that the state encrypts is `SECRET`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

STACK = "pulumi:pulumi:Stack"
ANY = "*"
"""Stands for every type."""
FUNCTION = "aws:lambda/function:Function"
DISPOSABLE = frozenset({"local", "dev"})
"""The environments whose data nobody misses (`parley:environment`)."""

# Marks of the engine inside plain data (github.com/pulumi/pulumi, sdk/go/common/resource/properties.go).
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the engine's public mark, no secret
_UNKNOWN_VALUES = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
_NAMES = ("arn", "bucket", "id", "invokeArn", "keyId", "name", "url")


class CannotTellError(Exception):
    """A check met a value that is not known yet."""


class _Unknown:
    """Raises CannotTellError at every use, so that no check can take it for a value."""

    def _refuse(self, *_: object) -> NoReturn:
        raise CannotTellError

    __bool__ = __contains__ = __format__ = __getitem__ = __hash__ = __iter__ = __len__ = __str__ = _refuse
    __eq__ = __ne__ = __ge__ = __gt__ = __le__ = __lt__ = _refuse

    def __repr__(self) -> str:
        return "UNKNOWN"


class _Secret:
    def __repr__(self) -> str:
        return "SECRET"


UNKNOWN: Any = _Unknown()
SECRET: Any = _Secret()


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a stack.

    `props` are its outputs, named as on the wire; `depends` says of each property from which resources (URNs) its value
    comes. None for `protect`, `retain_on_delete` or `id` means that the source of the deployment does not tell.
    """

    urn: str
    type: str
    name: str
    props: Mapping[str, Any]
    id: str | None = None
    protect: bool | None = None
    retain_on_delete: bool | None = None
    depends: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def get(self, path: str) -> Any:
        """Return the value at a dotted path, None where there is none. Raises CannotTellError if it is unknown."""
        return look(self.props, path)

    def rows(self, path: str) -> Sequence[Any]:
        """Return the list at a dotted path, empty where there is none. Raises CannotTellError if it is unknown."""
        found = self.get(path)
        return found if isinstance(found, Sequence) and not isinstance(found, str) else ()

    @property
    def names(self) -> frozenset[str]:
        """Everything by which another resource may refer to this one, as far as it is known."""
        told = [self.id, *(self.props.get(name) for name in _NAMES)]
        return frozenset(one for one in told if isinstance(one, str) and one)

    @property
    def nameless(self) -> bool:
        """Whether one of these names is not known yet."""
        return any(self.props.get(name) is UNKNOWN for name in _NAMES)


def look(value: Any, path: str) -> Any:
    """Return what is at a dotted path of plain data, None where there is nothing.

    Raises CannotTellError where something on the way is unknown.
    """
    for step in path.split("."):
        if value is UNKNOWN:
            raise CannotTellError
        value = value.get(step) if isinstance(value, Mapping) else None
    if value is UNKNOWN:
        raise CannotTellError
    return value


@dataclass(frozen=True, slots=True)
class Deployment:
    """All resources of a stack."""

    resources: tuple[Resource, ...]

    def of(self, *types: str) -> tuple[Resource, ...]:
        """Return the resources of these types; there is always a stack, if an empty one."""
        if ANY in types:
            return self.resources
        found = tuple(one for one in self.resources if one.type in types)
        return found or ((Resource("", STACK, "stack", {}),) if STACK in types else ())

    @property
    def stack(self) -> Resource:
        """The stack itself; its properties are the stack's outputs."""
        return self.of(STACK)[0]

    @property
    def environments(self) -> frozenset[str]:
        """Every environment that outputs, functions or tags name; a sound stack names one."""
        told = [self.stack.props.get("environment")]
        for resource in self.resources:
            for path in ("environment.variables.PARLEY_ENVIRONMENT", "tags.environment"):
                with contextlib.suppress(CannotTellError):
                    told.append(resource.get(path))
        return frozenset(one for one in told if isinstance(one, str))

    @property
    def durable(self) -> bool:
        """Whether data must not go by mistake: unless everything says that the stack is disposable."""
        named = self.environments
        return not named or not named <= DISPOSABLE

    def target(self, part: Resource, path: str, *types: str) -> Resource | None:
        """Return the resource of one of these types that a property refers to, None if it is not of this stack.

        Raises CannotTellError if it cannot be told yet.
        """
        try:
            value = part.get(path)
        except CannotTellError:
            value = UNKNOWN
        return self.find(value, part.depends.get(path.partition(".")[0], frozenset()), *types)

    def find(self, value: Any, origins: frozenset[str], *types: str) -> Resource | None:
        """Return the resource of one of these types that has a name, None if none of this stack has it.

        Where the name, or that of a resource, is not known yet, `origins` (URNs) decide: whatever the value is made of.
        Raises CannotTellError if they do not.
        """
        candidates = self.of(*types)
        if value is not UNKNOWN:
            named = next((one for one in candidates if isinstance(value, str) and value in one.names), None)
            candidates = tuple(one for one in candidates if one.nameless)
            if named is not None or not value or not candidates:
                return named
        for one in candidates:
            if one.urn in origins:
                return one
        raise CannotTellError

    def parts(self, owner: Resource, path: str, *types: str) -> tuple[Resource, ...]:
        """Return the resources of these types whose property refers to `owner`.

        Raises CannotTellError if one of them may or may not.
        """
        return tuple(one for one in self.of(*types) if self.target(one, path, owner.type) is owner)


# -- making one ----------------------------------------------------------------------------------------------------


class Analyzed(Protocol):
    """What is used of `pulumi_policy.PolicyResource`."""

    urn: str
    resource_type: str
    name: str
    props: Any
    opts: Any
    property_dependencies: Mapping[str, Iterable[Any]]


def from_export(document: object) -> Deployment:
    """Return the deployment of what `pulumi stack export` printed. Raises ValueError if it is something else."""
    try:
        listed: list[dict[str, Any]] = document["deployment"]["resources"]  # type: ignore[index] # refused below
        return Deployment(tuple(_exported(one) for one in listed if not one.get("delete")))
    except (AttributeError, KeyError, TypeError):
        raise ValueError("not an exported stack; make one with `pulumi stack export --file FILE`") from None


def _exported(one: Mapping[str, Any]) -> Resource:
    depends = one.get("propertyDependencies") or {}
    return Resource(
        urn=one["urn"],
        type=one["type"],
        name=one["urn"].rpartition("::")[2],
        props=plain(one.get("outputs") or one.get("inputs") or {}),
        id=one.get("id"),
        protect=bool(one.get("protect")),
        retain_on_delete=bool(one.get("retainOnDelete")),
        depends={name: frozenset(urns or ()) for name, urns in depends.items()},
    )


def from_analyzer(resources: Iterable[Analyzed], secret: type | tuple[type, ...] = ()) -> Deployment:
    """Return the deployment of the resources that a stack policy is given; `secret` is the class that marks secrets.

    The engine does not tell `retain_on_delete` to policy packs, nor IDs.
    """
    return Deployment(
        tuple(
            Resource(
                urn=one.urn,
                type=one.resource_type,
                name=one.name,
                props=plain(one.props, secret),
                protect=bool(one.opts.protect),
                depends={
                    name: frozenset(other.urn for other in others) for name, others in one.property_dependencies.items()
                },
            )
            for one in resources
        )
    )


def plain(value: Any, secret: type | tuple[type, ...] = ()) -> Any:
    """Return plain data with `UNKNOWN`, `SECRET` and whole numbers in their places; archives become None."""
    if isinstance(value, secret):
        return SECRET
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWN_VALUES else value
    if isinstance(value, Mapping):
        held = _held(value, dict)
        if _SIGNATURE in held:
            return SECRET if held[_SIGNATURE] == _SECRET_SIGNATURE else None
        return {name: plain(one, secret) for name, one in held.items()}
    if isinstance(value, Sequence):
        return [plain(one, secret) for one in _held(value, list)]
    return _number(value)


def _held(value: Any, kind: type) -> Any:
    # The pack's proxies give out what they hold under this name, and raise at unknown values otherwise.
    return value if isinstance(value, kind) else value["__target"]


def _number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, bool | int | float) else None


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and text of every string in plain data that is neither unknown nor secret."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from texts(one, f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence):
        for index, one in enumerate(value):
            yield from texts(one, f"{path}[{index}]")
