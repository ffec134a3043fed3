"""The base of one AWS resource type: which AWS operations carry it out.

What a type does not say is found by name: the members of an operation's request are filled from the inputs with the
same letters, and the outputs that `pulumi_aws` declares are filled from the members of the read's answer. An input
that neither a member nor the type's own code takes is refused.

Outputs hold what was read back, so that a refresh can tell what changed since from what AWS fills in on its own,
without a table of AWS's defaults (`infra.provider.merge`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from infra.provider import (
    UNKNOWN,
    Change,
    CheckFailure,
    Diff,
    Live,
    Naming,
    PartialFailure,
    Properties,
    ProviderError,
    Resource,
    compare,
    drifted,
    render,
    wire,
)
from local.aws.provider.cloud import AWS_ERRORS, Client, Cloud, gone, tags_of, told
from local.aws.provider.documents import Check, as_json
from local.aws.provider.schema import Schema, coerce, problems, schema
from local.aws.provider.shapes import (
    Invalid,
    Renames,
    Unsupported,
    from_aws,
    member,
    request,
    to_aws,
)

DEFAULTS = "__defaults"
"""Input that lists the properties that were filled in by the provider, as the real one keeps it."""
UNFINISHED = "__unfinished"
"""Output of an object whose creation stopped halfway: the next update has to do all of it."""
COMMON = frozenset({"region"})


@dataclass(frozen=True)
class Name:
    """How an object is called that the program does not name: the input, its longest length, what it starts with."""

    input: str = "name"
    longest: int = 64
    prefix: str = ""
    lower: bool = False


@dataclass(frozen=True)
class Tagging:
    """The operations for tags, the requests' member for the object, and the output that names the object there."""

    tag: str
    untag: str
    shows: str
    member: str
    output: str


class Kind(Resource[Cloud]):
    """One type. See the attributes; methods with a client `c` are what a type overrides."""

    service: ClassVar[str]
    creates: ClassVar[str] = ""
    reads: ClassVar[str] = ""
    updates: ClassVar[str] = ""
    deletes: ClassVar[str] = ""
    form: ClassVar[str] = ""
    """The id as a template over properties; read the other way round on read and delete."""
    parent: ClassVar[str] = ""
    """Input without which the id says nothing, such as `apiId`; an import spells it before the id, with a slash."""
    root: ClassVar[str] = ""
    """Member of the answers that holds the object."""
    nest: ClassVar[str] = ""
    """Member of the requests that holds the object; also of the read's answer."""
    name: ClassVar[Name | None] = None
    renames: ClassVar[Renames] = {}
    late: ClassVar[frozenset[str]] = frozenset()
    """Inputs that `settle` carries out, once the object exists."""
    own: ClassVar[frozenset[str]] = frozenset()
    """Inputs that the type's other code carries out, beyond what goes by name."""
    local: ClassVar[frozenset[str]] = frozenset()
    """Inputs that only say how the provider itself behaves, such as `forceDestroy`."""
    unread: ClassVar[frozenset[str]] = frozenset()
    """Inputs that AWS, or moto, does not answer: no drift can be seen on them."""
    twins: ClassVar[frozenset[str]] = frozenset()
    """Inputs that resources of their own can carry out too: read only where the program gives them here."""
    instead: ClassVar[Mapping[str, str]] = {}
    """Inputs that are refused, and what to take instead."""
    volatile: ClassVar[frozenset[str]] = frozenset()
    """Outputs that an update may change without being asked: unknown in its preview."""
    documents: ClassVar[Mapping[str, Check]] = {}
    """Inputs that are JSON text, compared by what it says, and the check of each."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """AWS's defaults: what an input goes back to when the program no longer gives it. An import leaves them out."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Inputs that AWS needs though `pulumi_aws` does not say so."""
    tagging: ClassVar[Tagging | None] = None

    def name_of(self, p: Mapping[str, Any]) -> Properties:
        """Return the input that names the object, where `p` has it."""
        return {self.name.input: p[self.name.input]} if self.name and self.name.input in p else {}

    @property
    def schema(self) -> Schema:
        """The type's inputs and outputs by `pulumi_aws`."""
        return schema(self.token)

    # -- what a type overrides -----------------------------------------------------------------------------------------

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield what AWS would refuse in `p` and neither its model nor moto does. Values may be UNKNOWN."""
        del p
        yield from ()

    def make(self, c: Client, p: Properties) -> str:
        """Create the object and return its id."""
        answer = c.call(self.creates, **self.arguments(self.creates, p))
        return self.form.format(**{**p, **self.state(answer), **self.state(answer.get(self.root) or {})})

    def settle(self, c: Client, id_: str, old: Properties, new: Properties) -> None:
        """Carry out the inputs in `late`, on creation (`old` is empty) and on update; doing it again does no harm."""

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Return the object's properties as they are; None, or AWS's "not found", when it is gone."""
        keys = self.keys(id_, was)
        answer = c.call(self.reads, **self.arguments(self.reads, keys))
        held = answer.get(self.root or self.nest, answer)
        return {**keys, **self.state(held)} if held else None

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Update the object in place, but for what `settle` does."""
        del old, changed
        if self.updates:
            c.call(self.updates, **self.arguments(self.updates, {**new, **self.keys(id_, new)}))

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete the object; AWS's "not found" is no error."""
        c.call(self.deletes, **self.arguments(self.deletes, self.keys(id_, state)))

    def put_tags(self, c: Client, state: Properties, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Make the object's tags `new`."""
        ops = self.tagging
        if ops is None:
            return
        if left := sorted(old.keys() - new.keys()):
            keys = next(name for name in request(self.service, ops.untag) if name.lower() == "tagkeys")
            c.call(ops.untag, **{ops.member: state[ops.output], keys: left})
        if new and new != old:
            members = request(self.service, ops.tag)
            tags = next(name for name in members if name.lower() == "tags")
            c.call(ops.tag, **{ops.member: state[ops.output], tags: to_aws(members[tags], dict(new), {})})

    def get_tags(self, c: Client, state: Properties) -> dict[str, str]:
        """Return the object's tags."""
        if self.tagging is None:
            return {}
        answer = c.call(self.tagging.shows, **{self.tagging.member: state[self.tagging.output]})
        tags = answer.get(member(answer, "tags") or "") or {}
        return dict(from_aws(dict[str, str], tags, {}))

    # -- conversion ----------------------------------------------------------------------------------------------------

    def arguments(self, method: str, p: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of an operation, from those properties that it has a member for."""
        out: dict[str, Any] = {}
        inner: dict[str, Any] = {}
        for name, value in p.items():
            found = self._target(method, name)
            if value is None or found is None or name in self.late:
                continue
            shape, target, nested = found
            if (converted := to_aws(shape, value, self.renames, (name,))) is not None:
                (inner if nested else out)[target] = converted
        if self.nest in request(self.service, method):
            out[self.nest] = inner
        return out

    def _target(self, method: str, name: str) -> tuple[Any, str, bool] | None:
        """Return the shape and name of the member for a property, and whether it lies in the nested one."""
        if name.startswith("__") or name in self.own or name in {"tags", "tagsAll", *COMMON}:
            return None
        outer = request(self.service, method)
        inner = getattr(outer.get(self.nest), "members", {})
        for members, nested in ((outer, False), (inner, True)):
            renamed = self.renames.get(name)
            target = (renamed if renamed in members else None) if renamed else member(members, name)
            if target and target != self.nest:
                return members[target], target, nested
        return None

    def state(self, answer: Mapping[str, Any]) -> Properties:
        """Return the outputs that an answer's members stand for."""
        found = {
            name: from_aws(
                kind, answer.get(self.renames.get(name) or member(answer, name) or ""), self.renames, (name,)
            )
            for name, kind in self.schema.outputs.items()
            if name not in {"tags", "tagsAll"}
        }
        return {name: value for name, value in found.items() if value is not None}

    def keys(self, id_: str, was: Mapping[str, Any]) -> Properties:
        """Return the properties that an id spells; `ProviderError` when it spells none. `was` knows the parent."""
        form = self.form
        known = {}
        if self.parent and was.get(self.parent):
            known = {self.parent: was[self.parent]}
        elif self.parent:
            form = f"{{{self.parent}}}/{form}"
        match = re.fullmatch(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(form)), id_)
        if match is None:
            raise ProviderError(f"'{id_}' is no id of {self.token}: it has the form {form}")
        return {**known, **match.groupdict()}

    # -- check ---------------------------------------------------------------------------------------------------------

    def checked(self, inputs: Properties, old: Properties, naming: Naming) -> tuple[Properties, list[CheckFailure]]:
        """Return the inputs, named and with their declared types, and all that is wrong with them."""
        inputs = coerce({name: value for name, value in inputs.items() if name != DEFAULTS}, self.schema.arguments)
        failures = list(problems(inputs, self.schema.arguments))
        if self.name and inputs.get(self.name.input) is None and not failures:
            failures = list(self._autoname(self.name, inputs, old, naming))
        if not failures:
            failures = [*self._refused(inputs), *self._missing(inputs), *self._bad_documents(inputs)]
            failures = failures or list(self.faults(inputs))
        return inputs, failures

    def _autoname(self, name: Name, inputs: Properties, old: Properties, naming: Naming) -> Iterator[CheckFailure]:
        kept = old.get(name.input) if name.input in (old.get(DEFAULTS) or []) else None
        if kept and str(kept).endswith(".fifo") == bool(ending(inputs)):
            inputs[name.input] = kept
        elif naming.disabled:
            yield CheckFailure(name.input, "is required, since pulumi:autonaming is off: give it a value")
            return
        else:
            inputs[name.input] = self._new_name(name, inputs.get(f"{name.input}Prefix"), inputs, naming)
        inputs[DEFAULTS] = [name.input]

    def _new_name(self, name: Name, prefix: Any, inputs: Properties, naming: Naming) -> Any:
        if prefix is UNKNOWN:
            return UNKNOWN
        if naming.proposed and naming.enforced and not prefix:
            return naming.proposed
        end = ending(inputs)
        random = naming.seed.hex()[:7]
        room = name.longest - len(name.prefix) - len(end)
        own = naming.proposed or f"{naming.name[: room - len(random) - 1]}-{random}"
        base = f"{prefix}{random}" if prefix else own
        base = base.lower() if name.lower else base
        return name.prefix + base.removeprefix(name.prefix)[:room] + end

    def _refused(self, inputs: Properties) -> Iterator[CheckFailure]:
        methods = [method for method in (self.creates, self.updates) if method]
        for name, value in inputs.items():
            if name in self.instead:
                yield CheckFailure(name, f"the local stand-in does not carry this out here: {self.instead[name]}")
            if name.startswith("__") or name in {*self.own, *self.late, *self.local, *self.instead, *COMMON}:
                continue
            prefixed = self.name and name == f"{self.name.input}Prefix"
            if prefixed or (name == "tags" and self.tagging):
                continue
            if invalid := self._first_refusal(methods, name, value):
                yield CheckFailure(render(invalid.path), invalid.reason)

    def _first_refusal(self, methods: Iterable[str], name: str, value: Any) -> Invalid | None:
        refusal: Invalid = Unsupported((name,))
        for method in methods:
            found = self._target(method, name)
            if found is None:
                continue
            try:
                to_aws(found[0], value, self.renames, (name,))
            except Invalid as invalid:
                refusal = invalid
            else:
                return None
        return refusal

    def _bad_documents(self, inputs: Properties) -> Iterator[CheckFailure]:
        for name in sorted(self.documents.keys() & inputs.keys()):
            if reason := self.documents[name](inputs[name]):
                yield CheckFailure(name, reason)

    def _missing(self, inputs: Properties) -> Iterator[CheckFailure]:
        for name in sorted(self.needs):
            if inputs.get(name) is None:
                yield CheckFailure(name, "is required by AWS: give it a value")

    # -- the resource's life -------------------------------------------------------------------------------------------

    def client(self, cloud: Cloud, p: Mapping[str, Any]) -> Client:
        """Return the client for an object with the properties `p`."""
        region = p.get("region")
        return cloud.client(self.service, region if isinstance(region, str) else None)

    def all_tags(self, cloud: Cloud, inputs: Properties) -> dict[str, str]:
        """Return the declared tags and the provider's default ones."""
        return {**cloud.default_tags, **tags_of(inputs)} if self.tagging else {}

    def diff(self, ctx: Cloud, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /) -> Diff:
        """Compare path by path; documents by what they say, and all tags by what the object has."""
        del id_
        same = {
            name: old_inputs[name]
            for name in self.documents.keys() & inputs.keys() & old_inputs.keys()
            if as_json(inputs[name]) == as_json(old_inputs[name])
        }
        # Giving a default explicitly, or no longer doing so, changes nothing.
        once = {**old_inputs, **inputs}
        given = (old_inputs.keys() ^ inputs.keys()) & self.defaults.keys()
        fill = {name: once[name] for name in given if once[name] == self.defaults[name]}
        diff = compare({**fill, **old_inputs}, {**fill, **inputs, **same}, self.replaces | COMMON)
        retagged = "tags" not in diff.changed and wire.known(inputs.get("tags"))
        if retagged and self.all_tags(ctx, inputs) != (state.get("tagsAll") or {}):
            changes = {**diff.changes, ("tagsAll",): Change.UPDATE}
            diff = replace(diff, changes=changes, outputs=frozenset({"tagsAll"}))
        return replace(diff, delete_first=self._collides(diff, inputs))

    def _collides(self, diff: Diff, inputs: Properties) -> bool:
        """Tell whether a replacement would be given the name that the old object still has."""
        if not diff.replaces or self.name is None:
            return False
        return self.name.input not in diff.changed and self.name.input not in (inputs.get(DEFAULTS) or [])

    def preview(self, ctx: Cloud, inputs: Properties, state: Properties | None, /) -> Properties:
        """Return what is known before: the inputs, and on an update the outputs that it does not touch."""
        known: Properties = dict.fromkeys(self.volatile, UNKNOWN)
        if state is None:
            known = dict.fromkeys(self.schema.outputs.keys() - {"tags"}, UNKNOWN)
            known.update({"region": ctx.region} if "region" in known else {})
        if self.tagging:
            tags = inputs.get("tags") or {}
            known["tagsAll"] = self.all_tags(ctx, inputs) if wire.known(tags) else UNKNOWN
        return {**(state or {}), **known, **visible(inputs)}

    def create(self, ctx: Cloud, inputs: Properties, /) -> tuple[str, Properties]:
        """Make the object and settle it; once it exists, a failure keeps it in the state."""
        c = self.client(ctx, inputs)
        with speaking(of_others=True):
            id_ = self.make(c, inputs)
        try:
            with speaking(of_others=True):
                self.settle(c, id_, {}, inputs)
                if tags := self.all_tags(ctx, inputs):
                    self.put_tags(c, {**inputs, **self._live(c, id_, inputs)}, {}, tags)
                return id_, self._outputs(ctx, c, id_, inputs, inputs)
        except ProviderError as error:
            outputs = {**visible(inputs), UNFINISHED: True}
            raise PartialFailure(id_, outputs, [f"it was made, but not as asked: {error}"]) from error

    def update(
        self, ctx: Cloud, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Change what differs; all of it when the engine goes on with a half-done create."""
        c = self.client(ctx, inputs)
        tags, tagged = self.all_tags(ctx, inputs), state.get("tagsAll") or {}
        changed = set(compare(old_inputs, inputs).changed)
        again = UNFINISHED in state
        if again:
            old_inputs, changed = {}, set(visible(inputs))
        new = {**{name: value for name, value in self.defaults.items() if name in changed}, **inputs}
        with speaking(of_others=True):
            if changed - self.late - self.local - {"tags"}:
                self.change(c, id_, old_inputs, new, changed)
            if changed & self.late:
                self.settle(c, id_, old_inputs, new)
            if self.tagging and (tags != tagged or again):
                self.put_tags(c, {**state, **self._live(c, id_, {**state, **inputs})}, tagged, tags)
            steady = {name: value for name, value in state.items() if name not in self.volatile}
            return self._outputs(ctx, c, id_, inputs, {**steady, **inputs})

    def read(self, ctx: Cloud, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the object; its inputs are the old ones with what changed since, or on import all that it has."""
        try:
            with speaking():
                now = self._outputs(ctx, self.client(ctx, state or {}), id_, inputs or {}, state or {})
        except Gone:
            return None
        shared = self.twins - (inputs or {}).keys()
        names = self.schema.inputs.keys() - shared - self.instead.keys()
        if inputs is not None and state is not None:
            return Live(drifted(inputs, state, now, names), now)
        own_id = self.form.format(**{**self.keys(id_, {}), **now})
        found = {name: now[name] for name in names - COMMON if now.get(name) not in (None, "", [], {})}
        return Live({name: value for name, value in found.items() if self.defaults.get(name) != value}, now, own_id)

    def delete(self, ctx: Cloud, id_: str, state: Properties, /) -> None:
        """Remove the object, if it is still there."""
        with suppress(Gone), speaking():
            self.remove(self.client(ctx, state), id_, state)

    def _live(self, c: Client, id_: str, was: Properties) -> Properties:
        live = self.look(c, id_, was)
        if live is None:
            raise Gone
        return live

    def _outputs(self, cloud: Cloud, c: Client, id_: str, inputs: Properties, was: Properties) -> Properties:
        """Return what the object looks like now, with those inputs that no read shows."""
        live = self._live(c, id_, was)
        if self.tagging:
            got = self.get_tags(c, {**was, **live})
            tags = {key: value for key, value in got.items() if not key.startswith("aws:")}
            declared = inputs.get("tags") or {}
            live["tagsAll"] = tags
            live["tags"] = {k: v for k, v in tags.items() if k in declared or cloud.default_tags.get(k) != v} or None
        live.setdefault("region", c.region)
        kept = {name: inputs[name] for name in (self.unread | self.local) & inputs.keys()}
        live = {name: value for name, value in live.items() if name in self.schema.outputs and value is not None}
        return {**kept, **live}


class Gone(ProviderError):  # noqa: N818 - it is an answer, often not an error
    """The object is not there any more."""

    def __init__(self) -> None:
        super().__init__("it is gone from AWS: `pulumi up --refresh` makes it again")


def ending(inputs: Properties) -> str:
    """Return what the name of a queue or topic has to end with."""
    return ".fifo" if inputs.get("fifoQueue") is True or inputs.get("fifoTopic") is True else ""


def visible(inputs: Properties) -> Properties:
    """Return `inputs` without the provider's own notes."""
    return {name: value for name, value in inputs.items() if not name.startswith("__")}


@contextmanager
def speaking(*, of_others: bool = False) -> Iterator[None]:
    """Turn botocore's errors into messages for the user; AWS's "not found" into `Gone` but when `of_others`."""
    try:
        yield
    except AWS_ERRORS as error:
        if gone(error) and not of_others:
            raise Gone from error
        raise ProviderError(told(error)) from error
