"""Who may read what was recorded: a named role, for a purpose that it and the record's class have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from parley.core.access import Caller, Read, caller_of, may_read, purpose_of
from parley.core.requests import InvalidBodyError

ROLE = "arn:aws:iam::123456789012:role/analyst"
ADA = Caller(ROLE, "ada")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


class TestCaller:
    """Who asks."""

    @pytest.mark.parametrize(
        ("arn", "caller"),
        [
            ("arn:aws:sts::123456789012:assumed-role/analyst/ada", ADA),
            ("arn:aws:sts::123456789012:assumed-role/analyst/a/b", Caller(ROLE, "a/b")),
            ("arn:aws-cn:sts::123456789012:assumed-role/x/y", Caller("arn:aws-cn:iam::123456789012:role/x", "y")),
            ("arn:aws:iam::123456789012:user/analyst", None),
            ("arn:aws:sts::123456789012:federated-user/analyst", None),
            ("arn:aws:sts::123456789012:assumed-role/analyst", None),
            ("", None),
        ],
    )
    def test_session_of_a_role(self, arn: str, caller: Caller | None) -> None:
        """A session of a role is that role without its path; anything else is nobody who may read."""
        assert caller_of(arn) == caller


class TestPermission:
    """Who may read."""

    @pytest.mark.parametrize(
        ("caller", "purpose", "role", "expected"),
        [
            (ADA, "safety", ROLE, True),
            (ADA, "safety", "arn:aws:iam::123456789012:role/team/data/analyst", True),
            (ADA, "safety", "arn:aws:iam::999999999999:role/analyst", False),
            (ADA, "safety", "arn:aws:iam::123456789012:role/analyst2", False),
            (ADA, "safety", "arn:aws:iam::123456789012:role/analyst/x", False),
            (ADA, "safety", "arn:aws:iam::123456789012:user/analyst", False),
            (ADA, "marketing", ROLE, False),
            (ADA, "billing", ROLE, False),
            (None, "safety", ROLE, False),
        ],
    )
    def test_role_and_purpose(self, caller: Caller | None, purpose: str, role: str, expected: bool) -> None:
        """A purpose counts that both the role and the class of the record have."""
        assert may_read(caller, purpose, {role: ("safety", "billing-x")}, ("safety", "billing")) is expected

    def test_nobody_is_named(self) -> None:
        """Where the stack names no reader, nobody reads."""
        assert not may_read(ADA, "safety", {}, ("safety",))


class TestPurpose:
    """The body of a request to read."""

    def test_purpose(self) -> None:
        """A request names its purpose."""
        assert purpose_of({"purpose": "safety"}) == "safety"

    @pytest.mark.parametrize(
        ("raw", "path"),
        [
            ({}, "purpose"),
            ({"purpose": ""}, "purpose"),
            ({"purpose": 1}, "purpose"),
            ({"purpose": "x", "y": 1}, "(a key)"),
        ],
    )
    def test_faults(self, raw: dict[str, Any], path: str) -> None:
        """A request without a purpose, or with something else, is refused by its path."""
        with pytest.raises(InvalidBodyError) as caught:
            purpose_of(raw)
        assert [error["path"] for error in caught.value.errors] == [path]


def test_read_is_read_back() -> None:
    """The row of a reading makes the same reading."""
    read = Read("RE" + "a" * 32, ROLE, "ada", "safety", "v1", NOW, NOW + timedelta(seconds=300))
    assert Read.of(read.document()) == read
    assert '"purpose":"safety"' in read.to_json()
