"""The model that checks see: made of an export or of what the engine hands over, with values that nobody knows yet."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from policy.checks import CHECKS
from policy.documents import ANYBODY, statements
from policy.model import (
    SECRET,
    STACK,
    UNKNOWN,
    CannotTellError,
    Deployment,
    Resource,
    from_analyzer,
    from_export,
    look,
    texts,
)
from policy.rules import judged
from tests.policy.recorded import deployment

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_MARK = {SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:0123456789"}
ARCHIVE_MARK = {SIGNATURE: "0def7320c3a5731c473e5ecbe6d01bc7", "hash": "00" * 32}
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
BUCKET, VERSIONING = "aws:s3/bucket:Bucket", "aws:s3/bucketVersioning:BucketVersioning"


def urn(type_: str, name: str) -> str:
    """Return the URN of a resource of a test stack."""
    return f"urn:pulumi:test::parley::{type_}::{name}"


class TestExport:
    """`pulumi stack export`."""

    def exported(self, **more: Any) -> Resource:
        """Return the one resource of an export."""
        one = {"urn": urn(BUCKET, "content"), "type": BUCKET, **more}
        return from_export({"deployment": {"resources": [one]}}).resources[0]

    def test_options_and_origins_are_told(self) -> None:
        """Name, id, protection, retention and where values come from are those of the state."""
        made = self.exported(id="b-1", protect=True, retainOnDelete=True, propertyDependencies={"a": ["u"], "b": None})
        assert (made.name, made.id, made.protect, made.retain_on_delete) == ("content", "b-1", True, True)
        assert made.depends == {"a": frozenset({"u"}), "b": frozenset()}
        bare = self.exported()
        assert (bare.id, bare.protect, bare.retain_on_delete) == (None, False, False)

    def test_outputs_are_what_is(self) -> None:
        """What the service answered counts, and what was declared only where there is no answer yet."""
        assert self.exported(inputs={"a": 1, "b": 2}, outputs={"a": 3}).props == {"a": 3}
        assert self.exported(inputs={"a": 1}).props == {"a": 1}

    def test_marks_are_taken_away(self) -> None:
        """A secret is no text, an archive's digest is none either, and whole numbers are whole."""
        props = self.exported(
            outputs={"s": SECRET_MARK, "a": [ARCHIVE_MARK], "n": 7.0, "f": 0.5, "u": UNKNOWN_TEXT}
        ).props
        assert props["s"] is SECRET
        assert props["a"] == [None]
        assert (props["n"], props["f"]) == (7, 0.5)
        assert props["u"] is UNKNOWN
        assert list(texts(props)) == []

    def test_what_is_being_deleted_is_not_there(self) -> None:
        """A resource that is replaced and only waits for its deletion is not judged."""
        gone = {"urn": urn(BUCKET, "old"), "type": BUCKET, "delete": True}
        assert from_export({"deployment": {"resources": [gone]}}).resources == ()

    @pytest.mark.parametrize("document", [None, [], {}, {"deployment": None}, {"deployment": {"resources": [1]}}])
    def test_other_document_is_refused(self, document: object) -> None:
        """What is no export is refused with the command that makes one."""
        with pytest.raises(ValueError, match="pulumi stack export"):
            from_export(document)

    def test_export_of_a_sound_stack_passes(self) -> None:
        """A committed stack written down as an export and read back has no finding."""
        listed = [
            {
                "urn": one.urn if one.type == STACK else urn(one.type, one.name),
                "type": one.type,
                "id": one.id,
                "protect": True,
                "retainOnDelete": True,
                "outputs": json.loads(json.dumps(one.props, default=lambda _: SECRET_MARK)),
            }
            for one in deployment("prod").resources
        ]
        read = from_export({"deployment": {"resources": listed}})
        assert len(read.resources) == len(listed)
        assert [str(finding) for finding in judged(read, CHECKS)] == []


class Proxied(Mapping[str, Any]):
    """Stands in for the pack's proxy of a dict: it raises at unknown values, and gives out what it holds."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.held = held

    def __getitem__(self, key: str) -> Any:
        if key == "__target":
            return self.held
        if self.held[key] == UNKNOWN_TEXT:
            raise AssertionError(key)
        return self.held[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


class ProxiedList(Sequence[Any]):
    """The same of a list."""

    def __init__(self, held: list[Any]) -> None:
        self.held = held

    def __getitem__(self, key: Any) -> Any:
        if key == "__target":
            return self.held
        raise AssertionError(key)

    def __len__(self) -> int:
        return len(self.held)


class Marked:
    """Stands in for `pulumi_policy.Secret`."""


@dataclass
class Analyzed:
    """Stands in for `pulumi_policy.PolicyResource`."""

    resource_type: str
    name: str
    props: Any
    opts: Any = field(default_factory=lambda: SimpleNamespace(protect=True))
    property_dependencies: Mapping[str, Iterable[Any]] = field(default_factory=dict)
    urn: str = ""

    def __post_init__(self) -> None:
        self.urn = urn(self.resource_type, self.name)


class TestAnalyzer:
    """What the engine hands to a policy pack."""

    def test_proxies_and_secrets_are_read(self) -> None:
        """Properties are plain, secrets are secret, unknown values unknown; retention is not told."""
        inner = ProxiedList([Proxied({"days": 7.0}), UNKNOWN_TEXT])
        bucket = Analyzed(BUCKET, "content", Proxied({"rules": inner, "s": Marked(), "u": UNKNOWN_TEXT}))
        part = Analyzed(VERSIONING, "content", {}, property_dependencies={"bucket": [bucket]})
        made, other = from_analyzer([bucket, part], Marked).resources
        assert made.props["rules"][0] == {"days": 7}
        assert made.props["rules"][1] is UNKNOWN
        assert made.props["s"] is SECRET
        assert (made.protect, made.retain_on_delete, made.id) == (True, None, None)
        assert other.depends == {"bucket": frozenset({bucket.urn})}


class TestLinks:
    """Which resource a property refers to."""

    bucket = Resource("urn:b", BUCKET, "content", {"bucket": "b-1"})

    def part(self, value: Any, *urns: str) -> Resource:
        """Return a part of a bucket."""
        return Resource("urn:p", VERSIONING, "content", {"bucket": value}, depends={"bucket": frozenset(urns)})

    def test_value_decides_where_it_is_known(self) -> None:
        """A known name is followed, and one that is nobody's leads out of the stack, whatever it was made from."""
        stack = Deployment((self.bucket,))
        assert stack.target(self.part("b-1"), "bucket", BUCKET) is self.bucket
        assert stack.target(self.part("other", "urn:b"), "bucket", BUCKET) is None

    def test_origin_decides_where_it_is_not(self) -> None:
        """A value that is not known yet leads to where it comes from, else it cannot be told."""
        stack = Deployment((self.bucket,))
        assert stack.target(self.part(UNKNOWN, "urn:b"), "bucket", BUCKET) is self.bucket
        with pytest.raises(CannotTellError):
            stack.target(self.part(UNKNOWN), "bucket", BUCKET)
        with pytest.raises(CannotTellError):
            Deployment((self.bucket, self.part(UNKNOWN))).parts(self.bucket, "bucket", VERSIONING)


def known(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside plain data."""
    if path:
        yield path
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from known(one, (*path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from known(one, (*path, index))


def without(value: Any, path: tuple[Any, ...], instead: Any) -> Any:
    """Return plain data with something else at a path."""
    if not path:
        return instead
    head, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {name: without(one, rest, instead) if name == head else one for name, one in value.items()}
    return [without(one, rest, instead) if index == head else one for index, one in enumerate(value)]


class TestUnknown:
    """Values that nobody knows yet."""

    def test_every_use_is_refused(self) -> None:
        """An unknown value compares, counts, iterates and prints as nothing at all."""
        for use in (bool, str, len, iter, hash, lambda one: one == 1, lambda one: one < 1, lambda one: 1 in one):
            with pytest.raises(CannotTellError):
                use(UNKNOWN)
        with pytest.raises(CannotTellError):
            look({"a": UNKNOWN}, "a.b")
        with pytest.raises(CannotTellError):
            look({"a": UNKNOWN}, "a")
        assert look({"a": UNKNOWN}, "b.c") is None

    def test_nothing_is_found_in_what_is_not_known(self) -> None:
        """Whichever property of all resources is unknown, no check breaks and none finds anything."""
        sound = deployment("prod")
        names = sorted({name for one in sound.resources for name in one.props})
        assert len(names) > 50
        # A few at a time: each is unknown once, and it takes a second instead of ten.
        for start in range(0, len(names), 8):
            unknown = dict.fromkeys(names[start : start + 8], UNKNOWN)
            blind = [replace(one, props={**one.props, **_of(unknown, one.props)}) for one in sound.resources]
            assert [str(finding) for finding in judged(Deployment(tuple(blind)), CHECKS)] == [], sorted(unknown)

    def test_nothing_breaks_where_something_is_unknown_or_missing(self) -> None:
        """Random places of every resource are made unknown or empty: no check breaks, and the unknown is no finding."""
        rng, sound = random.Random(7), deployment("prod")
        for _ in range(20):
            unknown, missing = [], []
            for one in sound.resources:
                path = rng.choice(list(known(one.props)) or [()])
                unknown.append(replace(one, props=without(one.props, path, UNKNOWN)) if path else one)
                missing.append(replace(one, props=without(one.props, path, None)) if path else one)
            assert [str(finding) for finding in judged(Deployment(tuple(unknown)), CHECKS)] == []
            assert judged(Deployment(tuple(missing)), CHECKS), "among so much that is missing something is needed"

    def test_no_resource_is_no_finding(self) -> None:
        """An empty stack passes, and a check of what is not there does not apply."""
        empty = Deployment(())
        assert judged(empty, CHECKS) == []
        assert {check.id for check in CHECKS if check.applies(empty)} == {
            check.id for check in CHECKS if STACK in check.types
        }


def _of(unknown: Mapping[str, Any], props: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some properties that a resource has."""
    return {name: value for name, value in unknown.items() if name in props}


class TestDocuments:
    """Policy documents."""

    def read(self, document: object) -> Any:
        """Return the statements of a document in a property."""
        text = document if isinstance(document, str) or document is None else json.dumps(document)
        return statements(Resource("urn", BUCKET, "b", {"policy": text}))

    def test_statement_is_read(self) -> None:
        """One value is a list of one, actions are patterns in any case, conditions are asked for by name and value."""
        (one,) = self.read(
            {
                "Statement": {
                    "Sid": "A",
                    "Effect": "Deny",
                    "Principal": {"AWS": "*"},
                    "Action": "S3:Put*",
                    "Resource": "arn",
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            }
        )
        assert (one.path, one.allows, one.principals) == ("policy.Statement[A]", False, {ANYBODY})
        assert one.does("s3:PutObject")
        assert not one.does("s3:GetObject")
        assert one.has("bool", "AWS:SecureTransport", "false")
        assert not one.has("Bool", "aws:SecureTransport", "true")
        assert not one.everywhere

    def test_negations_are_read(self) -> None:
        """NotAction is every other action, NotResource every other resource, NotPrincipal anybody."""
        (one,) = self.read(
            {"Statement": [{"Effect": "Allow", "NotPrincipal": {"AWS": "a"}, "NotAction": "iam:*", "NotResource": "b"}]}
        )
        assert one.principals == {ANYBODY}
        assert one.does("s3:GetObject")
        assert not one.does("iam:PassRole")
        assert one.everywhere

    @pytest.mark.parametrize("document", ["no JSON", "[]", {}, {"Statement": [{}]}, {"Statement": [1]}])
    def test_no_document_cannot_be_told(self, document: object) -> None:
        """What AWS would not take is not judged: AWS refuses it."""
        with pytest.raises(CannotTellError):
            self.read(document)

    def test_missing_document_says_nothing(self) -> None:
        """Where there is no document there are no statements."""
        assert self.read(None) == ()


class TestSpeed:
    """How long a review takes."""

    def test_three_hundred_resources(self) -> None:
        """The whole pack judges 300 resources in under two seconds; here it takes about a tenth of one."""
        sound = deployment("prod").resources
        many = Deployment((*sound, *(replace(one, urn=f"{one.urn}-2", name=f"{one.name}-2") for one in sound))[:300])
        assert len(many.resources) == 300
        began = time.process_time()
        judged(many, CHECKS)
        took = time.process_time() - began
        sys.stdout.write(f"policy: {len(CHECKS)} checks over 300 resources in {took:.2f} s of processor time\n")
        assert took < 2
