"""What must hold for each resource of the four committed stacks, held against what the program declares."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from parley.core.bound import bounds
from parley.core.identity import holds_number
from parley.core.record_classes import RecordClass
from parley.core.retention import Store
from parley.core.verification import OLDEST, digests

from infra.declaration import assumptions
from infra.expectations import COPIES, ages
from infra.settings import ENVIRONMENTS
from tests.infra import stacks

everywhere = pytest.mark.parametrize("environment", ENVIRONMENTS)


deployed = stacks.deployed


def expected(environment: str, system: str) -> dict[str, dict[str, Any]]:
    """Return what must hold for the resources of a system, by name."""
    resources = deployed(environment).outputs["declaration"]["resources"]
    return {each["name"]: each["expected"] for each in resources if each["system"] == system}


class TestWhole:
    """Nothing that the stack has is left out."""

    @everywhere
    def test_every_resource_is_declared(self, environment: str) -> None:
        """Each bucket, key, table, log group, queue, function, schedule, alarm and so on is named once."""
        recorder = deployed(environment)
        kinds = {
            "s3": "s3/bucket:Bucket",
            "kms": "kms/key:Key",
            "dynamodb": "Table",
            "logs": "LogGroup",
            "sqs": "Queue",
            "sns": "Topic",
            "secretsmanager": "Secret",
            "lambda": "Function",
            "scheduler": "Schedule",
            "apigateway": "Api",
            "cloudwatch": "MetricAlarm",
        }
        found = Counter(each["system"] for each in recorder.outputs["declaration"]["resources"])
        assert found == {system: len(recorder.of(kind)) for system, kind in kinds.items()} | {"twilio": 1}

    @everywhere
    def test_plain_data_without_a_number(self, environment: str) -> None:
        """The list is JSON, and nothing in it looks like a phone number."""
        text = json.dumps(deployed(environment).outputs["declaration"]["resources"])
        assert not holds_number(text)

    @everywhere
    def test_kept_declaration_is_the_output(self, environment: str) -> None:
        """What the scheduled check reads from the evidence bucket is the stack's output, word for word."""
        recorder = deployed(environment)
        kept = json.loads(recorder.of("BucketObjectv2")["declarations"]["content"])
        assert kept == json.loads(json.dumps(recorder.outputs["declaration"]))


class TestBuckets:
    """What must hold for a bucket."""

    @everywhere
    def test_lifecycle_is_the_deployed_one(self, environment: str) -> None:
        """Every rule of the bucket is declared with its prefix and its days, and no other."""
        lifecycles = deployed(environment).of("BucketLifecycleConfiguration").values()
        buckets = expected(environment, "s3")
        for inputs in lifecycles:
            made = {rule["id"]: rule for rule in inputs["rules"]}
            declared = buckets[inputs["bucket"]]["lifecycle"]
            assert declared.keys() == made.keys()
            for name, rule in declared.items():
                expiration = made[name].get("expiration", {})
                assert rule["prefix"] == made[name]["filter"].get("prefix", "")
                assert rule["expirationDays"] == expiration.get("days")
                assert rule["deleteMarkers"] == expiration.get("expiredObjectDeleteMarker", False)
                noncurrent = made[name].get("noncurrentVersionExpiration", {})
                assert rule["noncurrentDays"] == noncurrent.get("noncurrentDays")

    @everywhere
    def test_policy_is_the_deployed_one(self, environment: str) -> None:
        """The statements are declared by the digests of those that are deployed."""
        buckets = expected(environment, "s3")
        for inputs in deployed(environment).of("BucketPolicy").values():
            assert buckets[inputs["bucket"]]["policy"] == digests(inputs["policy"])

    @everywhere
    def test_ages_are_the_paths_of_the_bound(self, environment: str) -> None:
        """No copy in a bucket may be older than its own path of the class's bound, whatever kind of copy it is."""
        settings = stacks.settings(environment)
        for store in (Store.CONTENT, Store.EVIDENCE, Store.ACCESS_LOGS):
            for record_class, limits in ages(settings, store).items():
                bound = bounds(settings.records, assumptions(settings))[RecordClass(record_class)]
                paths = {path.copy: path.days for path in bound.paths}
                assert limits == {name: paths[copy] for copy, name in COPIES.items()}

    def test_lock_of_the_evidence_is_declared(self) -> None:
        """A locked class makes mode and days of the evidence bucket's lock part of what must hold."""
        locks = [each["objectLock"] for each in expected("prod", "s3").values()]
        assert {"enabled": True, "mode": "COMPLIANCE", "days": 1827} in locks
        assert {"enabled": False, "mode": None, "days": None} in locks


class TestOthers:
    """What must hold for the rest."""

    @everywhere
    def test_role_is_the_deployed_one(self, environment: str) -> None:
        """The permissions of each function's role are declared statement by statement."""
        policies = deployed(environment).of("RolePolicy")
        for name, each in expected(environment, "lambda").items():
            logical = name.removeprefix(f"parley-{environment}-")
            assert each["rolePolicy"] == digests(policies[logical]["policy"])
            assert each["keepDays"] == stacks.settings(environment).records.keep_days()

    @everywhere
    def test_every_route_is_declared_with_its_authorization(self, environment: str) -> None:
        """First-party routes are AWS_IAM, Twilio's are open, and there is no other."""
        (api,) = expected(environment, "apigateway").values()
        made = {i["routeKey"]: i["authorizationType"] for i in deployed(environment).of("Route").values()}
        assert api["routes"] == made
        assert {kind for route, kind in made.items() if " /v1/" in route} == {"AWS_IAM"}

    @everywhere
    def test_every_alarm_reaches_the_topic(self, environment: str) -> None:
        """Each alarm is there, enabled, and tells this stack's topic."""
        topics = {tuple(each["actions"]) for each in expected(environment, "cloudwatch").values()}
        assert len(topics) == 1
        assert {each["enabled"] for each in expected(environment, "cloudwatch").values()} == {True}

    @everywhere
    def test_copies_at_twilio_have_an_age(self, environment: str) -> None:
        """What Twilio lists may be as old as declared, a day for the sweeper and fourteen for Twilio's refusals."""
        (line,) = expected(environment, "twilio").values()
        records = stacks.settings(environment).records
        assert {"session-map", "interaction-log"} <= line[OLDEST].keys()
        assert line[OLDEST] == {name: records[name].twilio_copy_days + 1 + 14 for name in line[OLDEST]}
        assert set(line["numbers"].values()) == {"in the pool"}
