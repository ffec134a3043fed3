"""The program of a stack without Twilio Proxy (`parley:masking: direct`): what it declares instead."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from parley.env import from_environment

from infra import functions
from tests.infra import stacks

everywhere = pytest.mark.parametrize("environment", ["local", "dev", "staging", "prod"])
OWN = {"inbound-call", "inbound-message", "fallback", "media"}
PROXYS = {"intercept", "interaction", "out-of-session"}
GATE = f"https://abc123.execute-api.{stacks.REGION}.amazonaws.com"


def deployed(environment: str) -> stacks.Recorder:
    """Return what each committed stack declares, masked directly."""
    return stacks.deployed(environment, "direct")


@everywhere
def test_numbers_ask_the_gate(environment: str) -> None:
    """The numbers point at the gate, each way with its fallback, and nothing of Proxy is there."""
    recorder = deployed(environment)
    ours = Counter(each.type for each in recorder.resources if each.type.startswith("parley:index:"))
    assert ours == {"parley:index:NumberWebhooks": 1}
    (inputs,) = recorder.of("NumberWebhooks").values()
    assert inputs["voiceUrl"] == f"{GATE}/twilio/call"
    assert inputs["smsUrl"] == f"{GATE}/twilio/message"
    assert inputs["voiceFallbackUrl"] == inputs["smsFallbackUrl"] == f"{GATE}/twilio/fallback"
    assert inputs["statusCallback"] == f"{GATE}/twilio/call/status"


@everywhere
def test_functions(environment: str) -> None:
    """The functions of Proxy make room for those that the numbers ask; all others are the same."""
    names = set(deployed(environment).of("lambda/function:Function"))
    assert names >= OWN
    assert not names & PROXYS
    proxied = stacks.deployed(environment).of("lambda/function:Function")
    assert set(proxied) - PROXYS == names - OWN
    routes = {inputs["routeKey"] for inputs in deployed(environment).of("Route").values()}
    assert {
        "POST /twilio/call",
        "POST /twilio/message/{step}",
        "POST /twilio/fallback",
        "GET /twilio/media/{token}",
        "HEAD /twilio/media/{token}",
    } <= (routes)


@everywhere
def test_environment_is_read_back(environment: str) -> None:
    """The functions are told how people are masked, by which key, and how numbers are chosen; of Proxy nothing."""
    for inputs in deployed(environment).of("lambda/function:Function").values():
        variables: dict[str, Any] = inputs["environment"]["variables"]
        assert "PARLEY_PROXY_SERVICE_SIDS" not in variables
        found = from_environment(variables)
        assert found.is_direct
        assert found.line_key == f"arn:aws:kms:{stacks.REGION}:{stacks.ACCOUNT}:key/line"
        assert found.number_choice.geo_match in {"country", "area-code", "extended-area-code"}


@everywhere
def test_key_of_the_line(environment: str) -> None:
    """The numbers of people are sealed under a key of their own, which turns, and which nobody who deploys may use."""
    key = deployed(environment).of("kms/key:Key")["line"]
    assert key["enableKeyRotation"] is True
    statements = {each["Sid"]: each for each in json.loads(key["policy"])["Statement"]}
    sealing = statements["SealByRole"]["Condition"]["ArnEquals"]["aws:PrincipalArn"]
    assert sealing == f"arn:aws:iam::{stacks.ACCOUNT}:role/parley-{environment}-sessions"
    opening = statements["OpenByRole"]["Condition"]["ArnEquals"]["aws:PrincipalArn"]
    settings = stacks.settings(environment, masking="direct")
    assert opening == [f"arn:aws:iam::{stacks.ACCOUNT}:role/{name}" for name in functions.reaching_roles(settings)]
    assert set(statements["OpenByRole"]["Condition"]["StringEquals"].values()) == {"line"}


@everywhere
def test_outputs(environment: str) -> None:
    """What others rely on says which way people are masked, and has no Proxy service."""
    outputs = deployed(environment).outputs
    assert outputs["masking"] == "direct"
    assert "proxyServiceSids" not in outputs
    assert outputs["lineKeyArn"].endswith("key/line")
    declaration = outputs["declaration"]
    assert declaration["masking"] == "direct"
    (line,) = [each for each in declaration["resources"] if each["system"] == "twilio"]
    assert line["name"] == stacks.sid("AC")
    assert line["gate"] == GATE
    assert "interceptCallbackUrl" not in line["expected"]
    assert "session-map" not in line["expected"]["oldest"]
    assert "interaction-log" in line["expected"]["oldest"]
    places = {each["class"]: {one["system"] for one in each["stores"]} for each in declaration["classes"]}
    assert "twilio" not in places["session-map"]
    assert "twilio" in places["interaction-log"]


@everywhere
def test_alarms(environment: str) -> None:
    """A slow answer, a short pool and an asked fallback are told instead of what only Proxy has."""
    alarms = set(deployed(environment).of("MetricAlarm"))
    assert {"inbound-call-slow", "pool-short", "relay-incomplete", "fallback-asked", "fallback-errors"} <= alarms
    assert "intercept-slow" not in alarms
