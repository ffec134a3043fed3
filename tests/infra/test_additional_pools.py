"""`parley:additionalPools`: a Proxy service for each further pool, with the same gate behind all of them."""

from __future__ import annotations

import functools
from typing import Any

import pulumi
import pytest
from parley.env import from_environment

from infra.__main__ import main
from infra.settings import SettingsError, load
from tests.infra import stacks

FIRST, SECOND, THIRD = (stacks.sid("PN", number) for number in (1, 2, 3))
POOLS: dict[str, Any] = {
    "numbers": {"adopt": [FIRST]},
    "additionalPools": [
        {"adopt": [SECOND], "reserved": [SECOND], "releaseOnDelete": True},
        {"adopt": [THIRD], "buy": [{"country": "GB", "count": 499}]},
    ],
}
US_200 = {"country": "US", "count": 200}


@functools.cache
def deployed(masking: str) -> stacks.Recorder:
    """Run the program with three pools."""
    return stacks.run(main, stacks.filled("dev") | POOLS | {"masking": masking}, stack="dev")


def test_each_pool_has_a_service() -> None:
    """Each pool is in a service of its own, and all services ask the same gate; the first keeps its name."""
    recorder = deployed("proxy")
    services, pools = recorder.of("ProxyService"), recorder.of("NumberPool")
    assert sorted(services) == ["service", "service-2", "service-3"]
    assert [services[name]["uniqueName"] for name in sorted(services)] == ["parley-dev", "parley-dev-2", "parley-dev-3"]
    assert len({str({**each, "uniqueName": ""}) for each in services.values()}) == 1
    assert [pools[name]["serviceSid"] for name in ("numbers", "numbers-2", "numbers-3")] == [
        stacks.sid("KS", number) for number in (1, 2, 3)
    ]
    assert [pools[name]["adopt"] for name in sorted(pools)] == [[FIRST], [SECOND], [THIRD]]
    assert [pools[name]["releaseOnDelete"] for name in sorted(pools)] == [False, True, False]
    assert pools["numbers-3"]["buy"][0]["count"] == 499


def test_functions_know_every_service() -> None:
    """Every function is told all services, in the order of the pools."""
    services = tuple(stacks.sid("KS", number) for number in (1, 2, 3))
    for inputs in deployed("proxy").of("lambda/function:Function").values():
        assert from_environment(inputs["environment"]["variables"]).proxy_service_sids == services


def test_what_must_hold_is_declared_for_each_service() -> None:
    """The declaration names every service with its own numbers, and each as a place of what is at Twilio."""
    outputs = deployed("proxy").outputs
    services = [stacks.sid("KS", number) for number in (1, 2, 3)]
    assert outputs["proxyServiceSids"] == services
    assert [number["sid"] for number in outputs["numbers"]] == [FIRST, SECOND, THIRD]
    lines = [each for each in outputs["declaration"]["resources"] if each["system"] == "twilio"]
    assert [line["name"] for line in lines] == services
    assert [list(line["expected"]["numbers"]) for line in lines] == [[FIRST], [SECOND], [THIRD]]
    assert all(line["expected"]["interceptCallbackUrl"].endswith("/twilio/intercept") for line in lines)
    stores = {each["class"]: each["stores"] for each in outputs["declaration"]["classes"]}
    assert [one["name"] for one in stores["session-map"] if one["system"] == "twilio"] == services


def test_numbers_of_all_pools_ask_the_gate() -> None:
    """Without Proxy the numbers of every pool point at the gate, and take over the pool of the same place."""
    recorder = deployed("direct")
    pools = recorder.of("NumberWebhooks")
    assert [pools[name]["adopt"] for name in ("webhooks", "webhooks-2", "webhooks-3")] == [[FIRST], [SECOND], [THIRD]]
    assert len({each["voiceUrl"] for each in pools.values()}) == 1
    options = recorder.options["parley:index:NumberWebhooks", "webhooks-2"]
    (alias,) = options.aliases or ()
    assert isinstance(alias, pulumi.Alias)
    assert (alias.name, alias.type_) == ("numbers-2", "parley:index:NumberPool")
    (line,) = [each for each in recorder.outputs["declaration"]["resources"] if each["system"] == "twilio"]
    assert list(line["expected"]["numbers"]) == [FIRST, SECOND, THIRD]


@pytest.mark.parametrize(
    ("pools", "key", "reason"),
    [
        (
            {"additionalPools": [{"adopt": [SECOND]}, {"adopt": [FIRST]}]},
            "parley:additionalPools[1].adopt",
            f"names {FIRST}, which numbers has as well; leave it in one of them",
        ),
        (
            {"additionalPools": [{}]},
            "parley:additionalPools[0].adopt",
            "is missing: a pool without numbers masks nobody",
        ),
        ({"additionalPools": ["x"]}, "parley:additionalPools[0]", "is a text, not a mapping"),
        (
            {"additionalPools": [{"adopt": [SECOND], "size": 3}]},
            "parley:additionalPools[0].size",
            "is unknown; known are",
        ),
        (
            {"numbers": {"adopt": [FIRST], "buy": [US_200, {**US_200, "count": 300}]}},
            "parley:numbers.adopt",
            "makes 501 numbers that are not reserved, together with buy, and a Proxy service takes 500; put the others",
        ),
        (
            {"numbers": {"adopt": (many := [stacks.sid("PN", n) for n in range(10, 5011)]), "reserved": many}},
            "parley:numbers.adopt",
            "makes 5,001 numbers that are reserved, together with buy, and a Proxy service takes 5,000",
        ),
    ],
)
def test_bad_pools(pools: dict[str, Any], key: str, reason: str) -> None:
    """What is wrong with a pool is told with its place and the way out."""
    with pytest.raises(SettingsError) as caught:
        load(stacks.filled("dev") | {"numbers": POOLS["numbers"]} | pools)
    found = {problem.key: f"{problem.reason}; {problem.way_out}" for problem in caught.value.problems}
    assert reason in found[key]


def test_direct_pool_has_no_limit() -> None:
    """Without Proxy a pool is as large as it is declared."""
    numbers = {"adopt": [FIRST], "buy": [{**US_200, "count": 500}]}
    assert load(stacks.filled("dev") | {"numbers": numbers, "masking": "direct"}).is_direct
