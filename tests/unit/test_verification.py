"""What is declared held against what is live: every kind of property, true, different, absent and unreadable."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.verification import (
    EXISTS,
    LATE,
    OLDEST,
    UP,
    Check,
    Gone,
    Oldest,
    Unread,
    Verdict,
    compare,
    digests,
    worst,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)

# One resource of each system with every property that `infra.expectations` declares for it, as it is when it is true.
TRUE: dict[str, dict[str, Any]] = {
    "s3": {
        "lifecycle": {
            "messages": {
                "status": "Enabled",
                "prefix": "messages/",
                "expirationDays": 30,
                "noncurrentDays": 1,
                "deleteMarkers": False,
                "abortDays": None,
            }
        },
        "versioning": "Enabled",
        "encryption": {"algorithm": "aws:kms", "key": "arn:aws:kms:r:a:key/k", "bucketKey": True},
        "publicAccessBlock": {"BlockPublicAcls": True, "RestrictPublicBuckets": True},
        "ownership": "BucketOwnerEnforced",
        "policy": {"DenyOldTls": "0123456789ab"},
        "objectLock": {"enabled": True, "mode": "GOVERNANCE", "days": 400},
        "logging": {"bucket": "logs", "prefix": "content/"},
        "replication": [],
        "inventories": [],
        "outside": 0,
    },
    "kms": {"state": "Enabled", "rotation": True, "policy": {"KeyOwner": "0123456789ab"}},
    "dynamodb": {
        "timeToLive": {"status": "ENABLED", "attribute": "expires_at"},
        "key": "arn:aws:kms:r:a:key/k",
        "pointInTimeDays": 7,
        "deletionProtection": True,
        "stream": "NEW_IMAGE",
        "replicas": [],
        "backups": 0,
    },
    "logs": {"retentionDays": 30, "key": "arn:aws:kms:r:a:key/k"},
    "sqs": {"retentionSeconds": 86_400, "key": "arn:aws:kms:r:a:key/k", "policy": {"DenyOtherAccounts": "ab"}},
    "sns": {"key": "arn:aws:kms:r:a:key/k", "policy": {"PublishAlarms": "ab"}},
    "secretsmanager": {"key": "arn:aws:kms:r:a:key/k", "policy": {"DenyOtherReaders": "ab"}},
    "lambda": {
        "keepDays": {"messages": 30},
        "timeout": 8,
        "deadLetters": "arn:aws:sqs:r:a:q",
        "environmentKey": "arn:aws:kms:r:a:key/k",
        "role": "parley-prod-intercept",
        "rolePolicy": {"UseLedger": "ab"},
        "managedPolicies": [],
        "urls": 0,
    },
    "scheduler": {"state": "ENABLED", "expression": "rate(1 minute)", "target": "arn:aws:lambda:r:a:function:f:live"},
    "apigateway": {
        "accessLog": "arn:aws:logs:r:a:log-group:g",
        "throttling": {"rate": 50, "burst": 100},
        "routes": {"POST /v1/sessions": "AWS_IAM"},
    },
    "cloudwatch": {
        "enabled": True,
        "actions": ["arn:aws:sns:r:a:t"],
        "metric": "Errors",
        "threshold": 1,
        "period": 300,
    },
    "twilio": {
        "callbackUrl": "https://a.example/twilio/interaction",
        "interceptCallbackUrl": "https://a.example/twilio/intercept",
        "outOfSessionCallbackUrl": "https://a.example/twilio/out-of-session",
        "defaultTtl": 3600,
        "chatInstanceSid": None,
        "numbers": {"PN" + "1" * 32: "in the pool"},
        "accountRecording": "off",
    },
}
PROPERTIES = [(system, root) for system, properties in TRUE.items() for root in properties]
each_property = pytest.mark.parametrize(("system", "root"), PROPERTIES, ids=str)


def check(system: str, root: str, live: Any, declared: Any = None) -> list[Check]:
    """Compare one property of one resource."""
    expected = {root: TRUE[system][root] if declared is None else declared}
    resource = {"system": system, "name": "thing", "expected": expected}
    return compare([resource], {(system, "thing"): {root: live}}, NOW)


def other(value: Any) -> Any:
    """Return a value that differs from this one, in one part where it has parts."""
    if isinstance(value, dict):
        name = next(iter(value))
        return {**value, name: other(value[name])}
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return [*value, "one more"]
    return f"{value or ''}x"


class TestEveryProperty:
    """Whatever is declared can be true, differ, be absent or unreadable."""

    @each_property
    def test_true(self, system: str, root: str) -> None:
        """A property that is live as declared is true and needs no fix."""
        found = check(system, root, TRUE[system][root])
        assert {(each.verdict, each.fix) for each in found} == {(Verdict.TRUE, "")}

    @each_property
    def test_differs(self, system: str, root: str) -> None:
        """A property with another value differs, by name and with both values and a way out."""
        (wrong,) = [each for each in check(system, root, other(TRUE[system][root])) if each.verdict is not Verdict.TRUE]
        assert (wrong.verdict, wrong.property.partition(".")[0]) == (Verdict.DIFFERS, root)
        assert wrong.declared != wrong.live
        assert wrong.fix

    @each_property
    def test_absent(self, system: str, root: str) -> None:
        """A property that is not there is absent, unless none is declared."""
        (found,) = check(system, root, None)
        assert found.verdict is (Verdict.TRUE if TRUE[system][root] is None else Verdict.ABSENT)

    @each_property
    def test_cannot_tell(self, system: str, root: str) -> None:
        """A property that could not be read is never true: the code and the operation stand in its place."""
        (found,) = check(system, root, Unread("AccessDenied", f"{system} GetIt"))
        assert (found.verdict, found.live) == (Verdict.CANNOT_TELL, f"{system} GetIt: AccessDenied")
        assert f"{system} GetIt" in found.fix

    @each_property
    def test_not_read_at_all(self, system: str, root: str) -> None:
        """A property that nobody read cannot be told."""
        resource = {"system": system, "name": "thing", "expected": {root: TRUE[system][root]}}
        assert {each.verdict for each in compare([resource], {}, NOW)} == {Verdict.CANNOT_TELL}


class TestParts:
    """Properties that have parts."""

    def test_part_is_named(self) -> None:
        """Of a rule only the part that differs is told, with the class that it is about."""
        live = {"messages": {**TRUE["s3"]["lifecycle"]["messages"], "expirationDays": 3650}}
        (wrong,) = [each for each in check("s3", "lifecycle", live) if each.verdict is not Verdict.TRUE]
        assert (wrong.property, wrong.declared, wrong.live) == ("lifecycle.messages.expirationDays", 30, 3650)
        assert (wrong.record_class, wrong.fix) == ("messages", UP)

    def test_part_that_is_gone(self) -> None:
        """A rule that is not there is one absence, not one for each of its parts."""
        (wrong,) = check("s3", "lifecycle", {})
        assert (wrong.property, wrong.verdict) == ("lifecycle.messages", Verdict.ABSENT)

    @pytest.mark.parametrize(("system", "root"), [("s3", "policy"), ("apigateway", "routes"), ("kms", "policy")])
    def test_part_that_was_added(self, system: str, root: str) -> None:
        """A statement, rule or route that nobody declared differs, and is named as added."""
        live = {**TRUE[system][root], "Another": "ffffffffffff"}
        (wrong,) = [each for each in check(system, root, live) if each.verdict is not Verdict.TRUE]
        assert (wrong.property, wrong.declared, wrong.verdict) == (f"{root}.Another", None, Verdict.DIFFERS)
        assert "added" in wrong.fix

    def test_what_a_rule_must_not_have(self) -> None:
        """A part beyond the declared ones, such as a transition, differs."""
        live = {"messages": {**TRUE["s3"]["lifecycle"]["messages"], "Transitions": "[]"}}
        (wrong,) = [each for each in check("s3", "lifecycle", live) if each.verdict is not Verdict.TRUE]
        assert wrong.property == "lifecycle.messages.Transitions"

    def test_numbers_of_a_state_may_be_floats(self) -> None:
        """The engine hands whole numbers over as floats, and they are the same."""
        assert {each.verdict for each in check("logs", "retentionDays", 30, declared=30.0)} == {Verdict.TRUE}


class TestResource:
    """A resource as a whole."""

    def test_gone(self) -> None:
        """A resource that is not there is one absence, with what is lost."""
        resource = {"system": "s3", "name": "thing", "expected": TRUE["s3"]}
        ages = {OLDEST: {"messages": {"current version": Gone()}}}
        observed = {("s3", "thing"): dict.fromkeys(TRUE["s3"], Gone()) | ages}
        (found,) = compare([resource], observed, NOW)
        assert (found.property, found.verdict) == (EXISTS, Verdict.ABSENT)
        assert "lost" in found.fix

    def test_part_of_it_gone(self) -> None:
        """Where only something behind a property is gone, such as a function's role, that property is absent."""
        resource = {"system": "lambda", "name": "thing", "expected": {"timeout": 8, "rolePolicy": {"A": "1"}}}
        observed = {("lambda", "thing"): {"timeout": 8, "rolePolicy": Gone()}}
        verdicts = {each.property: each.verdict for each in compare([resource], observed, NOW)}
        assert verdicts == {"timeout": Verdict.TRUE, "rolePolicy": Verdict.ABSENT}

    def test_class_of_a_whole_resource(self) -> None:
        """What is all about one class says so in each of its checks."""
        resource = {"system": "sqs", "name": "q", "class": "dead-letters", "expected": {"retentionSeconds": 5}}
        (found,) = compare([resource], {("sqs", "q"): {"retentionSeconds": 5}}, NOW)
        assert found.record_class == "dead-letters"

    def test_order_is_the_declared_one(self) -> None:
        """Checks come in the order of the resources, each one's properties by name."""
        resources = [{"system": s, "name": "thing", "expected": TRUE[s]} for s in ("sqs", "kms", "logs")]
        found = [(each.system, each.property.partition(".")[0]) for each in compare(resources, {}, NOW)]
        assert found == [(s, name) for s in ("sqs", "kms", "logs") for name in sorted(TRUE[s])]


class TestAges:
    """The oldest copies."""

    @staticmethod
    def aged(live: Any, limit: int = 30, system: str = "s3") -> Check:
        """Compare one age."""
        declared = {"messages": {"current version": limit}}
        (found,) = check(system, OLDEST, {"messages": {"current version": live}}, declared)
        return found

    def test_nothing_there(self) -> None:
        """Where nothing is kept nothing is too old."""
        assert self.aged(Oldest(None)).verdict is Verdict.TRUE

    def test_young_enough(self) -> None:
        """A copy that is as old as it may be is true, and its age is told."""
        found = self.aged(Oldest(NOW - timedelta(days=30)))
        assert (found.verdict, found.live) == (Verdict.TRUE, {"days": 30})

    def test_too_old(self) -> None:
        """A copy past its path of the bound differs, with age and count, its class, and no key."""
        found = self.aged(Oldest(NOW - timedelta(days=31), over=2))
        assert (found.verdict, found.live) == (Verdict.DIFFERS, {"days": 31, "over": 2})
        assert (found.property, found.record_class) == ("oldest.messages.current version", "messages")

    def test_held_is_counted_and_no_finding(self) -> None:
        """What a legal hold keeps past its time is counted, and is nothing to mend."""
        found = self.aged(Oldest(None, held=3))
        assert (found.verdict, found.live) == (Verdict.TRUE, {"held": 3})

    def test_named_by_sid_at_twilio(self) -> None:
        """A copy at Twilio is named by its SID, since nobody could delete it otherwise."""
        declared = {"messages": 14}
        live = {"messages": Oldest(NOW - timedelta(days=20), over=1, sid="SM" + "1" * 32)}
        (found,) = check("twilio", OLDEST, live, declared)
        assert found.live == {"days": 20, "over": 1, "sid": "SM" + "1" * 32}

    def test_not_listed(self) -> None:
        """A listing that was not finished in time cannot be told."""
        found = self.aged(Unread(LATE))
        assert (found.verdict, "again" in found.fix) == (Verdict.CANNOT_TELL, True)

    @pytest.mark.parametrize("live", [30, "old", None])
    def test_answer_of_another_kind(self, live: object) -> None:
        """What is no age says nothing about one."""
        assert self.aged(live).verdict is Verdict.CANNOT_TELL

    @given(age=st.integers(0, 4000), limit=st.integers(1, 4000))
    def test_exactly_past_the_limit(self, age: int, limit: int) -> None:
        """A copy differs from the first moment after its limit, and not before."""
        verdict = self.aged(Oldest(NOW - timedelta(days=age)), limit).verdict
        assert (verdict is Verdict.DIFFERS) == (age > limit)


class TestUnread:
    """What to do when something cannot be read."""

    @pytest.mark.parametrize(
        ("code", "way_out"),
        [
            ("AccessDeniedException", "kms GetKeyPolicy"),
            ("status 403", "kms GetKeyPolicy"),
            ("ThrottlingException", "too many requests"),
            (LATE, "in time"),
            ("EndpointConnectionError", "answers"),
            ("SecretUnreadable", "Twilio secret"),
        ],
    )
    def test_way_out(self, code: str, way_out: str) -> None:
        """Each kind of failure names its own way out."""
        (found,) = check("kms", "state", Unread(code, "kms GetKeyPolicy"))
        assert way_out in found.fix


STATEMENT = {"Sid": "A", "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": ["s3:Put", "s3:Get"], "Resource": "r"}


class TestDigests:
    """Policies statement by statement."""

    def test_same_whatever_the_writing(self) -> None:
        """Order of keys and lists, and the brackets of a list of one, make no difference."""
        written = {"Resource": ["r"], "Action": ["s3:Get", "s3:Put"], "Sid": "A", "Principal": {"AWS": ["*"]}}
        text = json.dumps({"Version": "2012-10-17", "Statement": {**written, "Effect": "Deny"}})
        assert digests(text) == digests({"Statement": [STATEMENT]})

    @pytest.mark.parametrize(
        "change", [{"Effect": "Allow"}, {"Action": "s3:Put"}, {"Condition": {"Bool": {"a": "true"}}}]
    )
    def test_any_change_of_meaning_shows(self, change: dict[str, Any]) -> None:
        """Another effect, action or condition is another digest under the same name."""
        before, after = digests({"Statement": [STATEMENT]}), digests({"Statement": [STATEMENT | change]})
        assert before.keys() == after.keys() == {"A"}
        assert before != after

    def test_statement_without_a_name(self) -> None:
        """A statement that somebody added without a Sid is called by its place."""
        nameless = {name: value for name, value in STATEMENT.items() if name != "Sid"}
        assert list(digests({"Statement": [STATEMENT, nameless]})) == ["A", "#2"]

    def test_no_policy(self) -> None:
        """An empty document has no statement, and what is no document is refused."""
        assert digests("{}") == {}
        with pytest.raises(ValueError, match="JSON object"):
            digests("[]")


class TestWorst:
    """Many checks together."""

    @pytest.mark.parametrize(
        ("verdicts", "expected"),
        [
            ([], Verdict.CANNOT_TELL),
            ([Verdict.TRUE], Verdict.TRUE),
            ([Verdict.TRUE, Verdict.CANNOT_TELL], Verdict.CANNOT_TELL),
            ([Verdict.CANNOT_TELL, Verdict.DIFFERS, Verdict.TRUE], Verdict.DIFFERS),
            ([Verdict.DIFFERS, Verdict.ABSENT], Verdict.ABSENT),
        ],
    )
    def test_difference_outweighs_doubt(self, verdicts: list[Verdict], expected: Verdict) -> None:
        """A difference outweighs what cannot be told, both outweigh what is true, and nothing at all is no proof."""
        checks = [Check("s3", "b", "p", declared=1, live=1, verdict=verdict) for verdict in verdicts]
        assert worst(checks) is expected
