"""`parley:webhooks`: how Twilio sends the gate's webhooks, and what the gate is told of the key that signs them."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from infra.__main__ import main
from infra.settings import SettingsError, load
from tests.infra import stacks

PROFILE, KEY = (f"webhooks_{kind}_{'0' * 26}" for kind in ("authprofile", "sharedkey"))
SIGNATURE = {"type": "SHARED_KEY", "sharedKeyId": KEY, "algorithm": "HMAC_SHA256"}
CONNECTION = {"readTimeoutMs": 5000, "retryCount": 1, "retryOn": ["READ_TIMEOUT"]}
DECLARED = {
    "webhooks": {"authProfileId": PROFILE, "signature": SIGNATURE, "connection": CONNECTION},
    "twilioSharedKeys": json.dumps({KEY: "the secret of a key"}),
}


@functools.cache
def deployed(masking: str = "proxy", *, declared: bool = True) -> stacks.Recorder:
    """Run the program."""
    config = stacks.filled("dev") | {"masking": masking} | (DECLARED if declared else {})
    return stacks.run(main, config, stack="dev")


@pytest.mark.parametrize("masking", ["proxy", "direct"])
def test_rule_is_for_all_webhooks_of_the_gate(masking: str) -> None:
    """One Rule matches what begins with the gate's address and /twilio/, by the declared profile, key and timeouts."""
    (rule,) = deployed(masking).of("WebhookSettings").values()
    assert rule["url"].startswith("https://")
    assert rule["url"].endswith("/twilio/")
    assert (rule["name"], rule["authProfileId"]) == ("parley-dev", PROFILE)
    assert (rule["signature"], rule["connection"]) == (SIGNATURE, CONNECTION)


def test_gate_knows_the_key() -> None:
    """The secret of the functions has the key's; without a declaration there is neither a Rule nor a key."""
    (held,) = deployed().of("secretsmanager/secretVersion:SecretVersion").values()
    assert json.loads(held["secretString"]["value"])["shared_keys"] == {KEY: "the secret of a key"}
    without = deployed(declared=False)
    assert without.of("WebhookSettings") == {}
    (held,) = without.of("secretsmanager/secretVersion:SecretVersion").values()
    assert "shared_keys" not in json.loads(held["secretString"]["value"])


def test_less_will_do() -> None:
    """A profile alone is enough: the auth token signs, and Twilio's own timeouts hold."""
    config = stacks.filled("dev") | {"webhooks": {"authProfileId": PROFILE}}
    (rule,) = stacks.run(main, config, stack="dev").of("WebhookSettings").values()
    assert (rule.get("signature"), rule.get("connection")) == (None, None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"webhooks": {}}, "parley:webhooks.authProfileId: is missing"),
        ({"webhooks": {"authProfileId": "x"}}, "parley:webhooks.authProfileId: is 'x', not an AuthProfile's id"),
        ({"webhooks": {"authProfileId": PROFILE, "edgeZones": []}}, "parley:webhooks.edgeZones: is unknown"),
        (
            {"webhooks": {"authProfileId": PROFILE, "signature": SIGNATURE}},
            "parley:webhooks.signature.sharedKeyId: names a SharedKey whose secret the gate does not have",
        ),
        ({"webhooks": {"authProfileId": PROFILE, "signature": {}}}, "parley:webhooks.signature.type: is missing"),
        (
            {"webhooks": {"authProfileId": PROFILE, "connection": {"readTimeoutMs": 20_000}}},
            "parley:webhooks.connection.readTimeoutMs: is 20000",
        ),
        (
            {"webhooks": {"authProfileId": PROFILE, "connection": {"retryOn": ["READ_TIMEOUT"]}}},
            "parley:webhooks.connection.retryOn: says after what",
        ),
        (
            {"webhooks": {"authProfileId": PROFILE, "connection": {"retryCount": 1, "retryOn": ["HTTP_4XX"]}}},
            "parley:webhooks.connection.retryOn[0]",
        ),
        ({"twilioSharedKeys": "a secret alone"}, "parley:twilioSharedKeys: is no mapping"),
        ({"twilioSharedKeys": json.dumps({"a": "b"})}, "parley:twilioSharedKeys: is no mapping"),
        ({"twilioSharedKeys": json.dumps({KEY: ""})}, "parley:twilioSharedKeys: is no mapping"),
    ],
)
def test_mistakes_are_told_before_anything_is_changed(changes: dict[str, Any], told: str) -> None:
    """Each mistake is named by its key, and no secret is quoted."""
    with pytest.raises(SettingsError) as caught:
        load(stacks.filled("dev") | changes, stack="dev")
    assert told in str(caught.value)
    assert "a secret alone" not in str(caught.value)
