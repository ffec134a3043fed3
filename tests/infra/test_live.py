"""Reading what is live: all at once, under one deadline, and every refusal in its place."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from parley.adapters.live import Deadline, GoneError, LateError, Read, observe
from parley.adapters.live_aws import SERVICES, Aws, rule_of
from parley.adapters.secrets import SecretError
from parley.core.verification import LATE, OLDEST, Gone, Oldest, Unread
from parley.ports import CarrierError

from tests.infra import stacks

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PAGES, PAGE_SECONDS, CALL_SECONDS = 16, 0.05, 0.02


def refused(code: str) -> ClientError:
    """Return AWS's refusal."""
    return ClientError({"Error": {"Code": code, "Message": "names somebody"}}, "GetIt")


def answer(error: Exception) -> Any:
    """Return what stands for a property whose read ends with an error."""

    def ask() -> Mapping[str, Any]:
        raise error

    return observe([Read("s3", "b", ("p",), ask)], Deadline(5))["s3", "b"]["p"]


class TestRefusals:
    """Every failure of a service has its place, and none is taken for an answer."""

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (refused("AccessDenied"), Unread("AccessDenied", "s3 GetIt")),
            (refused("ThrottlingException"), Unread("ThrottlingException", "s3 GetIt")),
            (refused("NoSuchBucket"), Gone()),
            (refused("ResourceNotFoundException"), Gone()),
            (GoneError(), Gone()),
            (LateError(), Unread(LATE)),
            (EndpointConnectionError(endpoint_url="https://x"), Unread("EndpointConnectionError", "s3")),
            (CarrierError("list-messages", 401), Unread("status 401", "twilio list-messages")),
            (CarrierError("fetch-service", 404), Gone()),
            (SecretError("x"), Unread("SecretUnreadable", "secretsmanager GetSecretValue")),
            (KeyError("+12125550111"), Unread("UnreadableKeyError", "s3")),
        ],
        ids=repr,
    )
    def test_has_its_place(self, error: Exception, expected: object) -> None:
        """A refusal is kept by its code, without its text; a resource that is not there is gone."""
        assert answer(error) == expected

    def test_others_are_answered(self) -> None:
        """One refusal takes nothing from the other properties of the same resource."""
        reads = [Read("s3", "b", ("p",), lambda: {"p": 1}), Read("s3", "b", ("q",), lambda: {"q": 2}, ("deep",))]
        assert observe(reads, Deadline(5)) == {("s3", "b"): {"p": 1, "deep": {"q": 2}}}


class TestDeadline:
    """One time limit for everything."""

    def test_over(self) -> None:
        """When the time is over nothing more is asked, and all of it cannot be told."""
        moments = iter([0.0, 11.0, 11.0, 11.0])
        deadline = Deadline(10, lambda: next(moments))
        reads = [Read("s3", "b", ("p",), lambda: {"p": 1})]
        assert observe(reads, deadline) == {("s3", "b"): {"p": Unread(LATE)}}

    def test_listing_stops_between_pages(self) -> None:
        """A listing that outlives the time stops after its page instead of reading on."""
        ticks = iter(range(100))
        pages = Pages([{"Versions": []}] * 50)
        deadline = Deadline(5, lambda: next(ticks))
        aws = Aws({"s3": Listing(pages)}, NOW, deadline)
        with pytest.raises(LateError):
            list(aws._pages("s3", "list_object_versions", Bucket="b"))
        assert pages.read < 10


class Pages:
    """A paginator over made-up pages."""

    def __init__(self, pages: list[dict[str, Any]], seconds: float = 0.0) -> None:
        self._pages, self._seconds = pages, seconds
        self.read = 0

    def paginate(self, **_arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield the pages, each after its time."""
        for page in self._pages:
            time.sleep(self._seconds)
            self.read += 1
            yield page


class Listing:
    """A client of one list; `holds` are the versions under a legal hold."""

    def __init__(self, pages: Pages, holds: frozenset[str] = frozenset()) -> None:
        self._pages, self._holds = pages, holds

    def get_paginator(self, _operation: str) -> Pages:
        """Return the paginator."""
        return self._pages

    def get_object_legal_hold(self, *, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:  # noqa: N803 - AWS's
        """Answer as S3 does, which calls no hold an error."""
        if VersionId not in self._holds:
            raise refused("NoSuchObjectLockConfiguration")
        return {"LegalHold": {"Status": "ON"}}


class SlowClient:
    """A client of any service whose every call takes a while, and every listing as many pages."""

    def get_paginator(self, operation: str) -> Pages:
        """Return a paginator: long for versions, short for the rest."""
        long = operation == "list_object_versions"
        return Pages([{}] * (PAGES if long else 1), PAGE_SECONDS if long else CALL_SECONDS)

    def __getattr__(self, _operation: str) -> Callable[..., dict[str, Any]]:
        def call(**_arguments: Any) -> dict[str, Any]:
            time.sleep(CALL_SECONDS)
            return {}

        return call


@functools.cache
def resources() -> list[dict[str, Any]]:
    """Return what the largest committed stack declares."""
    declared = stacks.deployed("prod").outputs["declaration"]
    found: list[dict[str, Any]] = json.loads(json.dumps(declared))["resources"]
    return found


@pytest.mark.thorough
class TestConcurrency:
    """The whole takes little longer than its slowest part."""

    def test_no_longer_than_its_slowest_listing(self) -> None:
        """Reading a whole stack takes at most one and a half times its slowest single listing."""
        reads = list(Aws({service: SlowClient() for service in SERVICES}, NOW, Deadline(30)).reads(resources()))
        assert len(reads) > 100
        longest = next(read for read in reads if read.at and read.long)
        began = time.monotonic()
        observe([longest], Deadline(30))
        alone = time.monotonic() - began
        # The best of three: what else runs on this machine makes a run longer, never shorter.
        took = float("inf")
        for _ in range(3):
            began = time.monotonic()
            observed = observe(reads, Deadline(30))
            took = min(took, time.monotonic() - began)
            if took <= 1.5 * alone:
                break
        ages = [age for found in observed.values() for age in found.get(OLDEST, {}).values() if isinstance(age, dict)]
        assert len(ages) > 5
        assert {age["current version"] for age in ages} == {Oldest(None)}
        assert alone >= PAGES * PAGE_SECONDS
        assert took <= 1.5 * alone


class TestVersions:
    """The oldest versions under a prefix."""

    @staticmethod
    def versions(pages: list[dict[str, Any]], holds: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Return the ages that a listing gives for a bucket with Object Lock."""
        resource = next(each for each in resources() if each["expected"].get("objectLock", {}).get("enabled"))
        limits = dict.fromkeys(("current version", "noncurrent version", "delete marker", "incomplete upload"), 30)
        only = {**resource["expected"], OLDEST: {"messages": limits}}
        only["lifecycle"] = {"messages": {"prefix": "messages/"}}
        aws = Aws({"s3": Listing(Pages(pages), holds)}, NOW, Deadline(30))
        reads = [read for read in aws.reads([{**resource, "expected": only}]) if read.at == (OLDEST, "messages")]
        found: dict[str, Any] = observe(reads, Deadline(30))["s3", resource["name"]][OLDEST]["messages"]
        return found

    @staticmethod
    def version(days: int, name: str = "v", *, latest: bool = True) -> dict[str, Any]:
        """Return a version of some age as S3 lists it."""
        made = NOW - timedelta(days=days)
        return {"Key": f"messages/{name}", "VersionId": name, "IsLatest": latest, "LastModified": made}

    @pytest.mark.thorough
    def test_kinds_are_kept_apart_over_all_pages(self) -> None:
        """Current and noncurrent versions, markers and uploads each have their own oldest, whatever the page."""
        pages = [
            {"Versions": [self.version(3), self.version(20, latest=False)], "DeleteMarkers": [self.version(7)]},
            {"Versions": [self.version(5)], "Uploads": [{"Initiated": NOW - timedelta(days=2)}]},
        ]
        ages = {copy: (NOW - age.at).days for copy, age in self.versions(pages).items()}
        assert ages == {"current version": 5, "noncurrent version": 20, "delete marker": 7, "incomplete upload": 2}

    def test_over_its_time(self) -> None:
        """Versions past their time are counted, and the oldest gives its age."""
        found = self.versions([{"Versions": [self.version(31, "a"), self.version(40, "b"), self.version(1, "c")]}])
        assert found["current version"] == Oldest(NOW - timedelta(days=40), over=2)

    def test_held(self) -> None:
        """A version under a legal hold is counted apart, and its age is no finding."""
        pages = [{"Versions": [self.version(40, "a"), self.version(50, "b")]}]
        found = self.versions(pages, frozenset({"b"}))
        assert found["current version"] == Oldest(NOW - timedelta(days=40), over=1, held=1)

    def test_held_alone(self) -> None:
        """Where all that is too old is held, nothing is too old."""
        found = self.versions([{"Versions": [self.version(50, "b")]}], frozenset({"b"}))
        assert found["current version"] == Oldest(None, held=1)

    def test_no_key_is_kept(self) -> None:
        """What comes out of a listing names no object."""
        found = self.versions([{"Versions": [self.version(50, "party-4253ac84")]}])
        assert "4253ac84" not in repr(found)


class TestRules:
    """Lifecycle rules as S3 answers them."""

    def test_old_form_of_the_prefix(self) -> None:
        """A rule written before filters existed has the same prefix."""
        rule = {"ID": "x", "Status": "Enabled", "Prefix": "messages/", "Expiration": {"Days": 3}}
        assert rule_of(rule)["prefix"] == "messages/"

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"Filter": {"And": {"Prefix": "messages/", "ObjectSizeGreaterThan": 5}}}, "prefix"),
            ({"Expiration": {"Date": NOW}}, "expirationDate"),
            ({"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 5}}, "newerNoncurrent"),
            ({"Transitions": [{"Days": 30, "StorageClass": "GLACIER"}]}, "Transitions"),
            ({"Status": "Disabled"}, "status"),
        ],
    )
    def test_whatever_weakens_a_rule_shows(self, change: dict[str, Any], name: str) -> None:
        """A narrower filter, a date, spared versions, a transition or a switched-off rule is not the declared rule."""
        rule = {
            "ID": "x",
            "Status": "Enabled",
            "Filter": {"Prefix": "messages/"},
            "Expiration": {"Days": 3},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        }
        before, after = rule_of(rule), rule_of({**rule, **change})
        assert [key for key in after if key.startswith(name) and after[key] != before.get(key)]


class Function:
    """A Lambda whose every function has this environment."""

    def __init__(self, environment: dict[str, Any]) -> None:
        self._environment = environment

    def get_function_configuration(self, **arguments: str) -> dict[str, Any]:
        """Answer for the version that takes traffic only."""
        assert arguments["Qualifier"] == "live"
        return {"Environment": self._environment, "Role": "arn:aws:iam::123456789012:role/parley-prod-intercept"}


class TestFunctions:
    """Functions as Lambda answers them."""

    @pytest.mark.parametrize(
        ("environment", "days"),
        [
            ({"Variables": {"PARLEY_KEEP_DAYS": '{"messages":30}'}}, {"messages": 30}),
            ({"Variables": {}}, {}),
            ({"Error": {"ErrorCode": "AccessDeniedException"}}, Unread("AccessDeniedException", "kms Decrypt")),
        ],
    )
    def test_days_that_it_writes(self, environment: dict[str, Any], days: object) -> None:
        """The days are those of the live version; an environment that may not be decrypted cannot be told."""
        resource = next(each for each in resources() if each["system"] == "lambda")
        clients = {"lambda": Function(environment), "iam": None}
        reads = [read for read in Aws(clients, NOW, Deadline(5)).reads([resource]) if "keepDays" in read.keys]
        assert observe(reads, Deadline(5))["lambda", resource["name"]]["keepDays"] == days
