"""The committed stacks as deployments, from what the recorder noted of the program."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pulumi

from policy.model import SECRET, STACK, Deployment, Resource, plain
from tests.infra import stacks

# The recorder hands over the plain values of what the program marked; the real engine encrypts them in the state.
MARKED = {"aws:secretsmanager/secretVersion:SecretVersion": "secretString", "pulumi:providers:parley": "apiSecret"}


@functools.cache
def deployment(environment: str) -> Deployment:
    """Return the deployment of a committed stack, run once."""
    return recorded(stacks.deployed(environment))


def recorded(recorder: stacks.Recorder) -> Deployment:
    """Return the deployment of what a recorder noted: inputs, the outputs it answered with, and options."""
    made = [resource(declared, recorder.options) for declared in recorder.resources if declared.type != STACK]
    return Deployment((Resource("urn:stack", STACK, "parley", plain(recorder.outputs)), *made))


def resource(declared: stacks.Declared, options: Mapping[tuple[str, str], pulumi.ResourceOptions]) -> Resource:
    """Return one noted resource; an option that the program left to its parent is not known."""
    answer = stacks.Recorder().new_resource(
        pulumi.runtime.MockResourceArgs(declared.type, declared.name, declared.inputs, "", "", declared.custom)
    )
    # The answer has an ARN for everything; what the program gives is what a real provider would give back.
    props: dict[str, Any] = plain({**answer[1], **declared.inputs})
    if name := MARKED.get(declared.type):
        props[name] = SECRET
    given = options.get((declared.type, declared.name), pulumi.ResourceOptions())
    return Resource(
        urn=f"urn:pulumi:test::parley::{declared.type}::{declared.name}",
        type=declared.type,
        name=declared.name,
        props=props,
        id=answer[0],
        protect=given.protect,
        retain_on_delete=given.retain_on_delete,
    )


Change = Callable[[Deployment], Deployment]
"""What somebody did to a stack."""


def put(type_: str, name: str, path: str, value: Any) -> Change:
    """Set the property at a dotted path of one resource; None takes it away. Digits are places in lists."""

    def change(resource: Resource) -> Resource:
        props = copy.deepcopy(dict(resource.props))
        *steps, last = path.split(".")
        inner: Any = props
        for step in steps:
            inner = inner[int(step) if step.isdigit() else step]
        if value is None:
            del inner[last]
        else:
            inner[int(last) if last.isdigit() else last] = value
        return replace(resource, props=props)

    return each(type_, name, change)


def option(type_: str, name: str, **options: Any) -> Change:
    """Set resource options (`protect`, `retain_on_delete`) of one resource."""
    return each(type_, name, lambda resource: replace(resource, **options))


def each(type_: str, name: str, change: Callable[[Resource], Resource]) -> Change:
    """Change one resource, which must be there."""

    def changed(deployment: Deployment) -> Deployment:
        assert any((one.type, one.name) == (type_, name) for one in deployment.resources), (type_, name)
        return Deployment(
            tuple(change(one) if (one.type, one.name) == (type_, name) else one for one in deployment.resources)
        )

    return changed


def add(type_: str, name: str, /, **props: Any) -> Change:
    """Add a resource."""
    made = Resource(f"urn:pulumi:test::parley::{type_}::{name}", type_, name, props)
    return lambda deployment: Deployment((*deployment.resources, made))


def drop(type_: str, name: str | None = None) -> Change:
    """Take a resource away, or all of a type."""
    return lambda deployment: Deployment(
        tuple(one for one in deployment.resources if one.type != type_ or name not in {None, one.name})
    )


def say(type_: str, name: str, statement: Mapping[str, Any], path: str = "policy") -> Change:
    """Put a statement into a policy document, in place of the one of the same name (Sid) if there is one."""
    return _rewrite(type_, name, path, statement["Sid"], [dict(statement)])


def unsay(type_: str, name: str, sid: str) -> Change:
    """Take a statement out of a policy document, where it must be."""
    return _rewrite(type_, name, "policy", sid, [])


def _rewrite(type_: str, name: str, path: str, sid: str, instead: list[dict[str, Any]]) -> Change:
    def change(resource: Resource) -> Resource:
        document = json.loads(resource.props[path])
        kept = [one for one in document["Statement"] if one.get("Sid") != sid]
        assert instead or len(kept) < len(document["Statement"]), sid
        text = json.dumps({**document, "Statement": [*kept, *instead]})
        return replace(resource, props={**resource.props, path: text})

    return each(type_, name, change)
