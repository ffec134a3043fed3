"""The environment contract between deployment and functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.env import ConsentPolicy, Environment, Reader, SessionPolicy, from_environment, to_environment
from parley.variables import Controller, EnvironmentMismatchError

TEXT = st.text(min_size=1, max_size=20)


def fields(**changes: Any) -> dict[str, Any]:
    """Return the fields of an environment."""
    return {
        "environment": "local",
        "stack": "local",
        "ledger_table": "parley-ledger",
        "identity_key": "arn:aws:kms:us-east-1:123456789012:key/k",
        "twilio_secret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s",
        "twilio_account_sid": "AC" + "1" * 32,
        "proxy_service_sids": "KS" + "2" * 32,
        "public_url": "https://api.example.com",
        "controller": Controller("Acme", "privacy@acme.example", "https://acme.example/p", "2026-02"),
        "session": SessionPolicy(3600, "voice-and-message"),
        "consent": ConsentPolicy(("in_app", "contract"), 365),
        "channels": ("voice", "sms"),
        "keep_days": {"interaction-log": 400},
        "twilio_endpoint": None,
        **changes,
    }


@given(
    name=TEXT,
    ttl=st.integers(1, 10**6),
    days=st.none() | st.integers(1, 4000),
    methods=st.lists(TEXT, max_size=3).map(tuple),
    scopes=st.dictionaries(TEXT.filter("default".__ne__), st.just(("in_app",)), max_size=2),
    keep=st.dictionaries(TEXT, st.integers(1, 4000), max_size=4),
    endpoint=st.none() | st.just("http://127.0.0.1:4010"),
    services=st.lists(st.from_regex("KS[0-9a-f]{32}", fullmatch=True), min_size=1, max_size=3),
)
def test_what_is_written_is_read_back(
    name: str,
    ttl: int,
    days: int | None,
    methods: tuple[str, ...],
    scopes: dict[str, tuple[str, ...]],
    keep: dict[str, int],
    endpoint: str | None,
    services: list[str],
) -> None:
    """Whatever the deployment writes, the functions read back equal."""
    written = fields(
        controller=Controller(name, name, name, name),
        session=SessionPolicy(ttl, name),
        consent=ConsentPolicy(methods, days, endpoint, ttl, scopes),
        keep_days=keep,
        twilio_endpoint=endpoint,
        proxy_service_sids=",".join(services),
        purposes=dict.fromkeys(keep, methods),
        evidence_key=endpoint,
        content_bucket=endpoint,
        queues='{"archive":"https://sqs.example.com/archive"}' if endpoint else None,
        twilio_copy_days=dict.fromkeys(keep, 0),
        holdable=methods,
        readers=(Reader(name, methods),),
    )
    variables = to_environment(**written)
    assert all(isinstance(value, str) for value in variables.values())
    written["queues"] = json.loads(written["queues"] or "{}")
    written["proxy_service_sids"] = tuple(written["proxy_service_sids"].split(","))
    assert from_environment(variables) == Environment(**written)


def test_what_is_not_known_yet_passes_through() -> None:
    """Values that the deployment does not know yet are handed on untouched."""
    output = object()
    assert to_environment(**fields(ledger_table=output))["PARLEY_LEDGER_TABLE"] is output


@pytest.mark.parametrize(("arn", "region"), [("arn:aws:kms:eu-west-1:123456789012:key/k", "eu-west-1"), ("k", "")])
def test_region_is_that_of_the_keys(arn: str, region: str) -> None:
    """The stack's region is the one that its keys' ARNs name; what is no ARN names none."""
    assert from_environment(to_environment(**fields(identity_key=arn))).region == region


def test_every_missing_variable_is_named() -> None:
    """An empty environment tells every variable that is missing, and the way out."""
    with pytest.raises(EnvironmentMismatchError) as caught:
        from_environment({})
    assert len({problem.split()[0].rstrip(":") for problem in caught.value.problems}) == 18
    assert "pulumi up" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PARLEY_CONTROLLER", "{", "PARLEY_CONTROLLER is not a JSON object"),
        ("PARLEY_CONTROLLER", "[]", "PARLEY_CONTROLLER is not a JSON object"),
        ("PARLEY_CHANNELS", "{}", "PARLEY_CHANNELS is not a JSON list"),
        ("PARLEY_CHANNELS", "[1]", "PARLEY_CHANNELS is not a list of texts"),
        ("PARLEY_SESSION", json.dumps({"ttl": 0, "mode": "voice-only"}), "PARLEY_SESSION: ttl is not"),
        ("PARLEY_SESSION", json.dumps({"ttl": True, "mode": "voice-only"}), "PARLEY_SESSION: ttl is not"),
        ("PARLEY_SESSION", json.dumps({"ttl": 60}), "PARLEY_SESSION has no mode"),
        (
            "PARLEY_SESSION",
            json.dumps({"ttl": 60, "mode": "voice-only", "reconcileSeconds": 0}),
            "PARLEY_SESSION: reconcileSeconds is not",
        ),
        ("PARLEY_JURISDICTION", '{"overrides": {"DE": {}}}', "PARLEY_JURISDICTION is not a jurisdiction policy"),
        ("PARLEY_JURISDICTION", "[]", "PARLEY_JURISDICTION is not a jurisdiction policy"),
        ("PARLEY_CONSENT", json.dumps({"methods": "all"}), "PARLEY_CONSENT is not a list of texts"),
        ("PARLEY_PURPOSES", json.dumps({"messages": "safety"}), "PARLEY_PURPOSES is not a list of texts"),
        ("PARLEY_KEEP_DAYS", json.dumps({"messages": "30"}), "PARLEY_KEEP_DAYS: messages is not"),
        ("PARLEY_TWILIO_COPY_DAYS", json.dumps({"messages": -1}), "PARLEY_TWILIO_COPY_DAYS has a number of days"),
        ("PARLEY_QUEUES", json.dumps({"archive": ""}), "PARLEY_QUEUES has no archive"),
    ],
)
def test_malformed_variable_is_named(name: str, value: str, problem: str) -> None:
    """A malformed variable is told by name and member, without its value."""
    with pytest.raises(EnvironmentMismatchError) as caught:
        from_environment({**to_environment(**fields()), name: value})
    assert any(one.startswith(problem) for one in caught.value.problems)
