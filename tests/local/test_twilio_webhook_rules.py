"""The emulator's Webhooks configuration API, and what its Rules do to the webhooks."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import pytest
import requests
from twilio.base.exceptions import TwilioServiceException  # type: ignore[import-untyped]
from twilio.request_validator import (  # type: ignore[import-untyped]
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)
from twilio.rest.webhooks.v1.auth_profile import AuthProfileList  # type: ignore[import-untyped]
from twilio.rest.webhooks.v1.rule import RuleList  # type: ignore[import-untyped]
from twilio.rest.webhooks.v1.setting import SettingList  # type: ignore[import-untyped]
from twilio.rest.webhooks.v1.shared_key import SharedKeyList  # type: ignore[import-untyped]

from local.twilio.numbers import number_sid
from local.twilio.webhooks import Reply, Webhook
from tests.local.twilio_stage import ACCOUNT, ANA, KEY, SAN_FRANCISCO, SECRET, TOKEN, Delivery, Stage

BASE: Final = "/webhooks.twilio.com/v1/Webhooks"
OAUTH: Final = {"source": "INLINE", "value": {"scheme": "OAUTH2", "clientId": "us", "clientSecret": "hidden-client"}}
BASIC: Final = {"source": "INLINE", "value": {"scheme": "BASIC", "username": "twilio", "password": "hidden-word"}}
HIDDEN: Final = ("hidden-client", "hidden-word")


@contextmanager
def problem(code: int, status: int, naming: str = "") -> Iterator[None]:
    """Expect a call to be refused with this code, HTTP status and detail."""
    with pytest.raises(TwilioServiceException) as caught:
        yield
    error = caught.value
    assert (error.code, error.status) == (code, status), error.detail
    assert naming in error.detail
    assert error.type.endswith(f"/{code}")
    assert error.title


def raise_for(answer: requests.Response) -> None:
    """Raise what twilio-python would of an answer on the wire."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "code"}
    assert body["status"] == answer.status_code
    raise TwilioServiceException(body["type"], body["title"], body["status"], body["code"], body["detail"])


def uuid7(number: int = 1) -> str:
    """Return a UUID of version 7."""
    return str(uuid.UUID(int=(7 << 76) | (2 << 62) | (0x0190 << 112) | number))


class Config:
    """The API as twilio-python calls it, and as it is on the wire."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.api = stage.client.webhooks.v1

    def wire(self, method: str, path: str, body: Any = None, key: str | None = None) -> requests.Response:
        """Send a request with plain JSON."""
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self.stage.server.url}{BASE}/{path}"
        return requests.request(method, url, json=body, headers=headers, auth=(KEY, SECRET), timeout=10)

    def key(self, name: str = "k") -> Any:
        """Make a SharedKey."""
        return self.api.shared_keys.create(SharedKeyList.PostSharedKey({"friendlyName": name}))

    def profile(self, **fields: str) -> Any:
        """Make an AuthProfile."""
        return self.api.auth_profiles.create(AuthProfileList.PostAuthProfile({"type": "OAUTH2"} | fields))

    def setting(self, **fields: Any) -> Any:
        """Make a Setting."""
        return self.api.settings.create(SettingList.PostSetting({"auth": OAUTH} | fields))

    def rule(self, setting: Any, **fields: Any) -> Any:
        """Make a Rule that routes all to one Setting, or as the fields say."""
        shares = [{"settingId": setting.id, "percentage": 100}]
        return self.api.rules.create(RuleList.PostRule({"matchType": "DEFAULT", "settings": shares} | fields))

    def wait(self, changed: Any) -> Any:
        """Look at an operation until it ends."""
        operation = self.api.operations(changed.operation["id"])
        while True:
            seen = operation.fetch()
            if seen.status not in {"PENDING", "RUNNING"}:
                return seen

    def exact(self, path: str, setting: Any) -> Any:
        """Have a Rule in force for one path of the receiver; return it as it is fetched."""
        made = self.rule(setting, matchType="EXACT_MATCH", value=self.stage.receiver.url + path)
        assert self.wait(made).status == "COMPLETED"
        return self.api.rules(made.rule["id"]).fetch()

    def deliver(self, path: str) -> Reply:
        """Send a webhook to the receiver."""
        webhook = Webhook("sms", ACCOUNT, self.stage.receiver.url + path, {"MessageSid": "SM1", "Blank": ""})
        return self.stage.emulator.webhooks.deliver(webhook)


@pytest.fixture
def config(stage: Stage) -> Config:
    """Return the configuration API of an empty emulator."""
    return Config(stage)


def signer(delivery: Delivery, secrets: dict[str, str]) -> str:
    """Return whose secret signed a webhook, after the official validator."""
    algorithm = get_signature_algorithm(delivery.headers.get(SIGNATURE_SETTINGS_HEADER))
    accepted = [
        name
        for name, secret in secrets.items()
        if RequestValidator(secret).validate(delivery.url, delivery.fields, delivery.signature, algorithm)
    ]
    assert len(accepted) == 1
    return accepted[0]


# The life of each resource ------------------------------------------------------------------------------------


def test_a_shared_key_tells_its_secret_once(config: Config) -> None:
    """A key is made, listed, renamed and deleted, and only the answer that made it has the secret."""
    made = config.key("first")
    assert re.fullmatch(r"webhooks_sharedkey_[0-7][0-9a-hjkmnp-tv-z]{25}", made.id)
    assert made.secret
    context = config.api.shared_keys(made.id)
    renamed = context.patch(SharedKeyList.PatchSharedKey({"friendlyName": "second"}))
    assert (renamed.friendly_name, renamed.secret) == ("second", None)
    assert (context.fetch().friendly_name, context.fetch().secret) == ("second", None)
    assert [(one.id, one.secret) for one in config.api.shared_keys.list()] == [(made.id, None)]
    assert made.secret not in config.wire("GET", f"SharedKeys/{made.id}").text
    with problem(59000, 400, "type"):
        raise_for(config.wire("PATCH", f"SharedKeys/{made.id}", {"type": "other"}))
    assert context.delete() is True
    with problem(59003, 404, made.id):
        context.fetch()


def test_an_auth_profile_keeps_its_secrets(config: Config) -> None:
    """Credentials are made, listed, renamed and deleted, and no answer has the secret ones."""
    made = config.profile(
        friendlyName="o", tokenUrl="https://id.example.org", clientId="us", clientSecret="hidden-client"
    )
    assert re.fullmatch(r"webhooks_authprofile_[0-7][0-9a-hjkmnp-tv-z]{25}", made.id)
    assert (made.type, made.token_url, made.client_id) == ("OAUTH2", "https://id.example.org", "us")
    context = config.api.auth_profiles(made.id)
    renamed = context.patch(AuthProfileList.PatchAuthProfile({"friendlyName": "p"}))
    assert [one.friendly_name for one in (renamed, context.fetch(), *config.api.auth_profiles.list())] == ["p"] * 3
    digest = config.profile(type="DIGEST", username="twilio", password="hidden-word")
    assert (digest.username, digest.password) == ("twilio", None)
    for answer in (config.wire("GET", "AuthProfiles"), config.wire("GET", f"AuthProfiles/{digest.id}")):
        assert not any(secret in answer.text for secret in HIDDEN)
    with problem(59000, 400, "password"):
        raise_for(config.wire("PATCH", f"AuthProfiles/{digest.id}", {"password": "other"}))
    assert context.delete() is True
    with problem(59003, 404):
        context.delete()


def test_a_setting_is_as_it_was_made(config: Config) -> None:
    """A Setting has what it was made with, no secret of it, and only its name and description change."""
    key = config.key()
    wish = {
        "signature": {"type": "SHARED_KEY", "sharedKeyId": key.id, "algorithm": "HMAC_SHA256"},
        "connection": {"readTimeoutMs": 5000, "retryPolicy": {"retryOn": ["HTTP_5XX"]}},
        "edgeZones": {"zones": ["us-east"], "allowZoneFallback": True},
    }
    made = config.setting(friendlyName="s", description="d", **wish)
    assert re.fullmatch(r"webhooks_setting_[0-7][0-9a-hjkmnp-tv-z]{25}", made.id)
    context = config.api.settings(made.id)
    for one in (made, context.fetch(), config.api.settings.list()[0]):
        assert (one.type, one.friendly_name, one.description) == ("CUSTOMER", "s", "d")
        assert one.auth == {"source": "INLINE", "value": {"scheme": "OAUTH2", "clientId": "us"}}
        assert (one.signature, one.edge_zones) == (wish["signature"], wish["edgeZones"])
        assert one.connection == {
            "readTimeoutMs": 5000,
            "retryPolicy": {"retryCount": 0, "retryOn": ["HTTP_5XX"]},
        }
    assert context.patch(SettingList.PatchSetting({"description": "e"})).description == "e"
    assert (context.fetch().friendly_name, context.fetch().description) == ("s", "e")
    for field in ("auth", "signature", "connection", "edgeZones"):
        with problem(59000, 400, field):
            raise_for(config.wire("PATCH", f"Settings/{made.id}", {field: {}}))
    assert context.delete() is True
    with problem(59003, 404):
        context.fetch()


def test_settings_are_found_by_what_they_name(config: Config) -> None:
    """The list takes a key, credentials and a type; Twilio has no Setting of its own here."""
    key, profile = config.key(), config.profile()
    signed = config.setting(signature={"type": "SHARED_KEY", "sharedKeyId": key.id, "algorithm": "HMAC_SHA256"})
    named = config.setting(auth={"source": "REFERENCE", "authProfileId": profile.id})
    assert named.auth == {"source": "REFERENCE", "authProfileId": profile.id}
    found = config.api.settings.list
    assert [one.id for one in found(shared_key_id=key.id)] == [signed.id]
    assert [one.id for one in found(auth_profile_id=profile.id)] == [named.id]
    assert {one.id for one in found(type="CUSTOMER")} == {signed.id, named.id}
    assert found(type="SYSTEM") == []


def test_a_rule_changes_by_operations(config: Config) -> None:
    """A Rule is made, changed and deleted with 202 and an operation each, and is found by its Setting."""
    one, other = config.setting(), config.setting()
    answer = config.wire(
        "POST",
        "Rules",
        {
            "matchType": "PREFIX_MATCH",
            "prefix": "https://gate.example.org/a/",
            "settings": [{"settingId": one.id, "percentage": 100}],
        },
    )
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Operation-Id"] == body["operation"]["id"]
    assert answer.headers["Location"] == body["operation"]["statusUrl"]
    assert body["operation"]["statusUrl"].endswith(f"/v1/Webhooks/Operations/{body['operation']['id']}")
    assert (body["operation"]["status"], body["operation"]["retentionPeriod"]) == ("PENDING", "P7D")
    assert body["operation"]["resourceId"] == body["rule"]["id"]
    assert re.fullmatch(r"webhooks_rule_[0-7][0-9a-hjkmnp-tv-z]{25}", body["rule"]["id"])
    context = config.api.rules(body["rule"]["id"])
    shares = [{"settingId": one.id, "percentage": 30}, {"settingId": other.id, "percentage": 70}]
    changed = context.patch(
        RuleList.PatchRule(
            {
                "friendlyName": "r",
                "matchType": "EXACT_MATCH",
                "value": "https://gate.example.org/a",
                "settings": shares,
            }
        ),
        idempotency_key=uuid7(),
    )
    assert changed.operation["id"] != body["operation"]["id"]
    fetched = context.fetch()
    assert (fetched.friendly_name, fetched.match_type, fetched.settings) == ("r", "EXACT_MATCH", shares)
    assert (fetched.value, fetched.prefix) == ("https://gate.example.org/a", None)
    assert [rule.id for rule in config.api.rules.list(setting_id=other.id)] == [fetched.id]
    assert config.api.rules.list(setting_id="webhooks_setting_none") == []
    gone = config.wire("DELETE", f"Rules/{fetched.id}")
    assert (gone.status_code, list(gone.json())) == (202, ["operation"])
    assert gone.headers["Operation-Id"] == gone.json()["operation"]["id"]
    with problem(59003, 404):
        context.fetch()
    seen = config.api.operations.list(resource_id=fetched.id)
    assert [operation.id for operation in seen] == [
        gone.json()["operation"]["id"],
        changed.operation["id"],
        body["operation"]["id"],
    ]


def test_twilio_python_deletes_a_rule(config: Config) -> None:
    """The official package takes the 202 of a deletion for done."""
    made = config.rule(config.setting())
    assert config.api.rules(made.rule["id"]).delete()
    assert config.api.rules.list() == []


def test_an_operation_ends_with_the_second_look(config: Config) -> None:
    """An operation is RUNNING at the first look and COMPLETED from the second one on; a list is no look."""
    made = config.rule(config.setting())
    context = config.api.operations(made.operation["id"])
    assert [one.status for one in config.api.operations.list()] == ["PENDING"]
    first, second, third = context.fetch(), context.fetch(), context.fetch()
    assert (first.status, second.status, third.status) == ("RUNNING", "COMPLETED", "COMPLETED")
    assert first.completed_at is None
    assert second.completed_at == third.completed_at
    assert [one.id for one in config.api.operations.list(status="COMPLETED")] == [second.id]
    assert config.api.operations.list(status="RUNNING") == []


def test_an_operation_ends_by_itself(config: Config) -> None:
    """An operation that nobody looks at has ended 30 seconds later, and is forgotten after 7 days."""
    made = config.rule(config.setting())
    config.stage.clock.advance(30)
    seen = config.api.operations(made.operation["id"]).fetch()
    assert (seen.status, seen.completed_at - seen.created_at) == ("COMPLETED", timedelta(seconds=30))
    config.stage.clock.advance(7 * 86400)
    with problem(59003, 404):
        config.api.operations(made.operation["id"]).fetch()
    assert config.api.operations.list() == []


@pytest.mark.parametrize("change", ["POST", "PATCH", "DELETE"])
def test_an_operation_fails_by_order(config: Config, change: str) -> None:
    """A change whose operation a fault lets fail is accepted, and nothing of it is done."""
    setting = config.setting()
    made = config.exact("/a", setting)
    config.stage.sim(
        "POST", "faults", {"on": "rest", "mode": "fail-operation", "match": f"{change} webhooks.*/Rules", "times": 1}
    )
    if change == "POST":
        body = {"matchType": "DEFAULT", "settings": [{"settingId": setting.id, "percentage": 100}]}
        answer = config.wire("POST", "Rules", body)
    else:
        answer = config.wire(change, f"Rules/{made.id}", {"friendlyName": "other"})
    assert answer.status_code == 202
    operation = config.api.operations(answer.headers["Operation-Id"])
    assert [operation.fetch().status for _ in range(2)] == ["RUNNING", "FAILED"]
    assert operation.fetch().error["code"] == 59102
    assert [(rule.id, rule.friendly_name) for rule in config.api.rules.list()] == [(made.id, "")]


# Errors -------------------------------------------------------------------------------------------------------


def test_errors_are_problem_details(config: Config) -> None:
    """An unknown path, a body that is no JSON and a wrong login are problems too."""
    with problem(59003, 404):
        raise_for(config.wire("GET", "EdgeZones"))
    url = f"{config.stage.server.url}{BASE}/SharedKeys"
    with problem(59000, 400, "JSON"):
        raise_for(requests.post(url, data="{", auth=(KEY, SECRET), timeout=10))
    with problem(20003, 401):
        raise_for(requests.get(url, auth=(KEY, "wrong"), timeout=10))
    assert requests.get(url, auth=(ACCOUNT, TOKEN), timeout=10).json()["sharedKeys"] == []


def test_errors_by_order(config: Config) -> None:
    """A fault makes the API answer 429 with 59004 and Retry-After, or a conflict with 59102 and nothing done."""
    config.stage.sim("POST", "faults", {"on": "rest", "mode": "throttle", "match": "POST webhooks", "times": 2})
    assert int(config.wire("POST", "SharedKeys", {}).headers["Retry-After"]) > 0
    with problem(59004, 429):
        config.key()
    fault = {"on": "rest", "mode": "error", "code": 59102, "match": "POST webhooks", "times": 1}
    config.stage.sim("POST", "faults", fault)
    with problem(59102, 409):
        config.key()
    assert config.api.shared_keys.list() == []


LONG: Final = "x" * 256


@pytest.mark.parametrize(
    ("fields", "naming"),
    [
        ({"friendlyName": LONG}, "friendlyName"),
        ({"description": "x" * 1025}, "description"),
        ({"auth": None}, "auth"),
        ({"auth": "INLINE"}, "auth"),
        ({"auth": {}}, "auth.source"),
        ({"auth": {"source": "INLINE"}}, "auth.value.scheme"),
        ({"auth": {"source": "INLINE", "value": {"scheme": "BASIC", "username": 5}}}, "auth.value.username"),
        ({"signature": {"sharedKeyId": "x", "algorithm": "MD5"}}, "signature.algorithm"),
        ({"signature": {"sharedKeyId": "x", "algorithm": []}}, "signature.algorithm"),
        ({"connection": {"connectTimeoutMs": 99}}, "connection.connectTimeoutMs"),
        ({"connection": {"readTimeoutMs": 15001}}, "connection.readTimeoutMs"),
        ({"connection": {"totalTimeoutMs": 60001}}, "connection.totalTimeoutMs"),
        ({"connection": {"totalTimeoutMs": "100"}}, "connection.totalTimeoutMs"),
        ({"connection": {"retryPolicy": {"retryCount": -1}}}, "connection.retryPolicy.retryCount"),
        ({"connection": {"retryPolicy": {"retryOn": ["HTTP_3XX"]}}}, "connection.retryPolicy.retryOn"),
        ({"edgeZones": ["us-east"]}, "edgeZones"),
    ],
)
def test_a_wrong_setting_names_the_field(config: Config, fields: dict[str, Any], naming: str) -> None:
    """What a Setting cannot have is 400 with 59000, and the detail names the field."""
    with problem(59000, 400, naming):
        raise_for(config.wire("POST", "Settings", {"auth": OAUTH} | fields))


def test_an_auth_profile_needs_a_type(config: Config) -> None:
    """Credentials without a type are 400 with 59000."""
    with problem(59000, 400, "type"):
        raise_for(config.wire("POST", "AuthProfiles", {"friendlyName": "p"}))


EXACT: Final = {"matchType": "EXACT_MATCH", "value": "https://gate.example.org/a"}


@pytest.mark.parametrize(
    ("fields", "naming"),
    [
        ({"matchType": "REGEX"}, "matchType"),
        ({"matchType": ["DEFAULT"]}, "matchType"),
        ({"matchType": "EXACT_MATCH"}, "value"),
        (EXACT | {"value": "https://gate.example.org/a/"}, "value"),
        (EXACT | {"value": f"https://gate.example.org/{'a' * 2048}"}, "value"),
        (EXACT | {"value": "https://gate.example.org/*"}, "value"),
        (EXACT | {"value": "gate.example.org/a"}, "value"),
        (EXACT | {"prefix": "https://gate.example.org/"}, "prefix"),
        ({"matchType": "PREFIX_MATCH", "prefix": "https://gate.example.org/a"}, "prefix"),
        ({"value": "https://gate.example.org/a"}, "value"),
        ({"description": "x" * 1025}, "description"),
        ({"settings": []}, "settings"),
        ({"settings": ["x"]}, "settings"),
        ({"settings": [{"settingId": "x", "percentage": 99}]}, "settings.percentage"),
        ({"settings": [{"settingId": "x"}]}, "settings.percentage"),
        ({"settings": [{"settingId": "x", "percentage": 50}] * 3}, "settings"),
    ],
)
def test_a_wrong_rule_names_the_field(config: Config, fields: dict[str, Any], naming: str) -> None:
    """What a Rule cannot have is 400 with 59000, and the detail names the field."""
    shares = [{"settingId": config.setting().id, "percentage": 100}]
    with problem(59000, 400, naming):
        raise_for(config.wire("POST", "Rules", {"matchType": "DEFAULT", "settings": shares} | fields))


def test_what_is_used_is_not_deleted(config: Config) -> None:
    """A key and credentials outlive the Settings that name them, and a Setting its Rules, until those are in effect."""
    key, profile = config.key(), config.profile()
    setting = config.setting(
        auth={"source": "REFERENCE", "authProfileId": profile.id},
        signature={"type": "SHARED_KEY", "sharedKeyId": key.id, "algorithm": "HMAC_SHA256"},
    )
    made = config.exact("/a", setting)
    for context in (config.api.shared_keys(key.id), config.api.auth_profiles(profile.id)):
        with problem(59100, 409, setting.id):
            context.delete()
    with problem(59100, 409, made.id):
        config.api.settings(setting.id).delete()
    gone = config.wire("DELETE", f"Rules/{made.id}")
    with problem(59100, 409, made.id):
        config.api.settings(setting.id).delete()
    config.stage.clock.advance(30)
    assert config.api.operations(gone.headers["Operation-Id"]).fetch().status == "COMPLETED"
    for context in (config.api.settings(setting.id), config.api.shared_keys(key.id)):
        assert context.delete() is True
    assert config.api.auth_profiles(profile.id).delete() is True


def test_what_is_named_must_be_there(config: Config) -> None:
    """A key, credentials and a Setting that the account does not have are 400 with 59201."""
    sub = config.stage.client.api.v2010.accounts.create(friendly_name="sub")
    theirs = config.stage.connect(sub.sid, sub.auth_token).webhooks.v1
    key = theirs.shared_keys.create(SharedKeyList.PostSharedKey({}))
    with problem(59201, 400, "sharedKeyId"):
        config.setting(signature={"type": "SHARED_KEY", "sharedKeyId": key.id, "algorithm": "HMAC_SHA256"})
    with problem(59201, 400, "authProfileId"):
        config.setting(auth={"source": "REFERENCE", "authProfileId": "webhooks_authprofile_none"})
    setting = theirs.settings.create(SettingList.PostSetting({"auth": OAUTH}))
    with problem(59201, 400, "settingId"):
        config.rule(setting)
    with problem(59003, 404):
        config.api.settings(setting.id).fetch()


def test_two_rules_do_not_match_the_same(config: Config) -> None:
    """A second Rule for the same URL, prefix or default is 409 with 59103, also by a change."""
    setting = config.setting()
    config.rule(setting)
    config.rule(setting, **EXACT)
    prefix = config.rule(setting, matchType="PREFIX_MATCH", prefix="https://gate.example.org/")
    for fields in ({}, EXACT, {"matchType": "PREFIX_MATCH", "prefix": "https://gate.example.org/"}):
        with problem(59103, 409):
            config.rule(setting, **fields)
    with problem(59103, 409):
        config.api.rules(prefix.rule["id"]).patch(RuleList.PatchRule(EXACT))


def test_basic_credentials_do_not_go_everywhere(config: Config) -> None:
    """A default Rule whose Setting has Basic authentication, inline or not, is refused with 59202; another is not."""
    profile = config.profile(type="BASIC", username="twilio", password="hidden-word")
    for auth in (BASIC, {"source": "REFERENCE", "authProfileId": profile.id}):
        setting = config.setting(auth=auth)
        with problem(59202, 400):
            config.rule(setting)
        made = config.rule(setting, matchType="EXACT_MATCH", value=f"https://gate.example.org/{setting.id}")
        with problem(59202, 400):
            config.api.rules(made.rule["id"]).patch(RuleList.PatchRule({"matchType": "DEFAULT"}))


def test_an_account_has_fifty_of_a_kind(config: Config) -> None:
    """The 51st resource of each kind is 400 with 59200."""
    setting = config.setting()
    shares = [{"settingId": setting.id, "percentage": 100}]
    for number in range(50):
        config.key()
        config.profile()
        config.rule(setting, matchType="EXACT_MATCH", value=f"https://gate.example.org/{number}", settings=shares)
        if number:
            config.setting()
    for kind, body in (
        ("SharedKeys", {}),
        ("AuthProfiles", {"type": "OAUTH2"}),
        ("Settings", {"auth": OAUTH}),
        ("Rules", {"matchType": "DEFAULT", "settings": shares}),
    ):
        with problem(59200, 400):
            raise_for(config.wire("POST", kind, body))


# Idempotency and pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["once", str(uuid.UUID(int=(4 << 76) | (2 << 62))), "{" + uuid7() + "}"])
def test_an_idempotency_key_is_a_uuid7(config: Config, key: str) -> None:
    """Anything else than a UUIDv7 is 400 with 59000, and nothing is made."""
    with problem(59000, 400, "Idempotency-Key"):
        config.api.shared_keys.create(SharedKeyList.PostSharedKey({}), idempotency_key=key)
    assert config.api.shared_keys.list() == []


def test_the_same_idempotency_key_makes_nothing_new(config: Config) -> None:
    """A repeated request is answered as the first one, without the secret; another one with its key is refused."""
    made = [
        config.api.shared_keys.create(SharedKeyList.PostSharedKey({}), idempotency_key=uuid7(number))
        for number in (1, 1, 2)
    ]
    assert made[0].id == made[1].id != made[2].id
    assert made[0].secret
    assert made[1].secret is None
    with problem(59000, 400, "Idempotency-Key"):
        config.api.auth_profiles.create(AuthProfileList.PostAuthProfile({"type": "OAUTH2"}), idempotency_key=uuid7(1))
    rule = config.rule(config.setting())
    first, second = (config.wire("DELETE", f"Rules/{rule.rule['id']}", key=uuid7(3)) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert first.headers["Operation-Id"] == second.headers["Operation-Id"]
    assert len(config.api.operations.list()) == 2
    assert [config.wire("DELETE", f"SharedKeys/{made[0].id}", key=uuid7(4)).status_code for _ in range(2)] == [204, 204]


def test_a_refused_request_leaves_its_key(config: Config) -> None:
    """The idempotency key of a request that was refused is good for the next try."""
    with problem(59000, 400, "friendlyName"):
        config.api.shared_keys.create(SharedKeyList.PostSharedKey({"friendlyName": LONG}), idempotency_key=uuid7())
    assert config.api.shared_keys.create(SharedKeyList.PostSharedKey({}), idempotency_key=uuid7()).secret


def test_lists_have_tokens(config: Config) -> None:
    """The official package reads a list of several pages, the newest first, and goes back from each page."""
    made = [config.key(str(number)).friendly_name for number in range(5)][::-1]
    found = config.api.shared_keys
    assert [one.friendly_name for one in found.list(page_size=2)] == made
    assert [one.friendly_name for one in found.list(limit=3)] == made[:3]
    last = found.page(page_size=2).next_page().next_page()
    assert (last.page_size, last.next_token, [one.friendly_name for one in last]) == (2, None, made[4:])
    middle = last.previous_page()
    assert [one.friendly_name for one in middle] == made[2:4]
    assert [one.friendly_name for one in middle.previous_page()] == made[:2]
    assert config.wire("GET", "SharedKeys?pageSize=500").json()["meta"] == {
        "key": "sharedKeys",
        "pageSize": 100,
        "nextToken": None,
        "previousToken": None,
    }
    for query in ("pageSize=0", "pageToken=x"):
        with problem(59000, 400, query.split("=", maxsplit=1)[0]):
            raise_for(config.wire("GET", f"SharedKeys?{query}"))


# Deliveries ---------------------------------------------------------------------------------------------------


def test_a_shared_key_signs_in_place_of_the_token(config: Config) -> None:
    """A text's webhook whose URL has a Rule is signed with its key by SHA-256 and says so; others are as ever."""
    key = config.key()
    config.exact(
        "/sms",
        config.setting(signature={"type": "SHARED_KEY", "sharedKeyId": key.id, "algorithm": "HMAC_SHA256"}),
    )
    number = config.stage.client.incoming_phone_numbers(number_sid(SAN_FRANCISCO))
    for path in ("/sms#fragment", "/sms?query=1"):
        number.update(sms_url=config.stage.receiver.url + path)
        config.stage.sms(ANA, SAN_FRANCISCO, "hello")
    signed, plain = config.stage.receiver.got("/sms")
    assert signed.headers[SIGNATURE_SETTINGS_HEADER] == f"key={key.id},algorithm=HMAC_SHA256"
    assert SIGNATURE_SETTINGS_HEADER not in plain.headers
    assert [signer(one, {"key": key.secret, "token": TOKEN}) for one in (signed, plain)] == ["key", "token"]
    log = json.dumps(config.stage.sim("GET", "webhooks"))
    assert key.secret not in log


def test_the_most_exact_rule_applies(config: Config) -> None:
    """An exact match goes before the longest prefix, that before a shorter one, and the default comes last."""
    secrets = {}
    url = config.stage.receiver.url
    for name, fields in {
        "default": {},
        "short": {"matchType": "PREFIX_MATCH", "prefix": f"{url}/a/"},
        "long": {"matchType": "PREFIX_MATCH", "prefix": f"{url}/a/b/"},
        "exact": {"matchType": "EXACT_MATCH", "value": f"{url}/a/b/c"},
    }.items():
        key = config.key(name)
        secrets[name] = key.secret
        setting = config.setting(signature={"sharedKeyId": key.id, "algorithm": "HMAC_SHA256"})
        config.wait(config.rule(setting, **fields))
    for path in ("/a/b/c", "/a/b/cd", "/a/x", "/a", "/"):
        config.deliver(path)
    applied = [signer(one, secrets) for one in config.stage.receiver.deliveries]
    assert applied == ["exact", "long", "short", "default", "default"]


def test_the_setting_with_the_greater_share_applies(config: Config) -> None:
    """Of two Settings the one with the greater share is taken, the first of two equal ones."""
    keys = [config.key() for _ in range(2)]
    settings = [config.setting(signature={"sharedKeyId": key.id, "algorithm": "HMAC_SHA256"}) for key in keys]
    for path, percentages in {"/a": (40, 60), "/b": (50, 50)}.items():
        shares = [
            {"settingId": setting.id, "percentage": percentage}
            for setting, percentage in zip(settings, percentages, strict=True)
        ]
        url = config.stage.receiver.url + path
        config.wait(config.rule(settings[0], matchType="EXACT_MATCH", value=url, settings=shares))
        config.deliver(path)
    secrets = {str(place): key.secret for place, key in enumerate(keys)}
    assert [signer(one, secrets) for one in config.stage.receiver.deliveries] == ["1", "0"]


def test_a_rule_applies_when_its_operation_has_ended(config: Config) -> None:
    """Until a change's operation ends, webhooks are sent as before it: by no Rule, the old one, or the deleted one."""
    key, other = config.key(), config.key()
    secrets = {"token": TOKEN, "key": key.secret, "other": other.secret}
    settings = [config.setting(signature={"sharedKeyId": one.id, "algorithm": "HMAC_SHA256"}) for one in (key, other)]
    made = config.rule(settings[0], matchType="EXACT_MATCH", value=f"{config.stage.receiver.url}/a")
    config.deliver("/a")
    config.wait(made)
    config.deliver("/a")
    context = config.api.rules(made.rule["id"])
    context.patch(RuleList.PatchRule({"settings": [{"settingId": settings[1].id, "percentage": 100}]}))
    config.deliver("/a")
    config.stage.clock.advance(30)
    config.deliver("/a")
    context.delete()
    config.deliver("/a")
    config.stage.clock.advance(30)
    config.deliver("/a")
    applied = [signer(one, secrets) for one in config.stage.receiver.deliveries]
    assert applied == ["token", "key", "key", "other", "other", "token"]


@pytest.mark.parametrize(
    ("status", "policy", "attempts"),
    [
        (503, {"retryCount": 2, "retryOn": ["HTTP_5XX"]}, 3),
        (503, {"retryCount": 2, "retryOn": ["READ_TIMEOUT"]}, 1),
        (503, {"retryOn": ["HTTP_5XX"]}, 1),
        (403, {"retryCount": 2, "retryOn": ["HTTP_5XX"]}, 1),
        (403, {"retryCount": 2, "retryOn": ["HTTP_4XX"]}, 3),
        (403, {"retryCount": 2, "retryOn": ["ALL"]}, 3),
        (204, {"retryCount": 2, "retryOn": ["ALL"]}, 1),
    ],
)
def test_a_setting_repeats_a_webhook(config: Config, status: int, policy: dict[str, Any], attempts: int) -> None:
    """An answer that the retry policy names is followed by as many attempts as it says, all with one token."""
    config.exact("/a", config.setting(connection={"retryPolicy": policy}))
    config.stage.receiver.answers["/a"] = (status, "text/plain", "")
    assert config.deliver("/a").status == status
    tokens = [one.headers["I-Twilio-Idempotency-Token"] for one in config.stage.receiver.deliveries]
    assert (len(tokens), len(set(tokens))) == (attempts, 1)
    assert [one["status"] for one in config.stage.sim("GET", "webhooks")["webhooks"]] == [status] * attempts


@pytest.mark.parametrize(
    ("mode", "named", "statuses"),
    [
        ("timeout", "READ_TIMEOUT", [None, 204]),
        ("timeout", "CONNECTION_TIMEOUT", [None]),
        ("refuse", "CONNECTION_TIMEOUT", [None, 204]),
        ("refuse", "READ_TIMEOUT", [None]),
        ("lost", "ALL", [None]),
    ],
)
def test_a_setting_repeats_what_was_not_answered(
    config: Config, mode: str, named: str, statuses: list[int | None]
) -> None:
    """No answer in time and no connection are repeated if the policy names them, what the network lost is not."""
    config.exact("/a", config.setting(connection={"retryPolicy": {"retryCount": 3, "retryOn": [named]}}))
    config.stage.sim("POST", "faults", {"on": "webhook", "mode": mode, "times": 1})
    assert config.deliver("/a").status == statuses[-1]
    assert [one["status"] for one in config.stage.sim("GET", "webhooks")["webhooks"]] == statuses


def test_the_smaller_read_timeout_counts(config: Config) -> None:
    """A Setting makes the wait for an answer shorter, and never longer than the webhook's own."""
    config.exact("/short", config.setting(connection={"readTimeoutMs": 2000}))
    config.exact("/long", config.setting(connection={"readTimeoutMs": 15000}))
    config.stage.sim("POST", "faults", {"on": "webhook", "mode": "slow", "seconds": 3})
    assert config.deliver("/short").problem == "timeout"
    assert config.deliver("/long").status == 204
    own = Webhook("chat-pre", ACCOUNT, f"{config.stage.receiver.url}/long", {}, timeout=2.5)
    assert config.stage.emulator.webhooks.deliver(own).problem == "timeout"


def test_basic_credentials_are_sent(config: Config) -> None:
    """A Setting with Basic credentials, inline or by reference, sends them at once; no other sends any."""
    profile = config.profile(type="BASIC", username="they", password="hidden-word")
    config.exact("/inline", config.setting(auth=BASIC))
    config.exact("/named", config.setting(auth={"source": "REFERENCE", "authProfileId": profile.id}))
    config.exact("/oauth", config.setting())
    for path in ("/inline", "/named", "/oauth", "/none"):
        config.deliver(path)
    sent = [one.headers.get("Authorization", "") for one in config.stage.receiver.deliveries]
    assert [base64.b64decode(one.removeprefix("Basic ")).decode() for one in sent] == [
        "twilio:hidden-word",
        "they:hidden-word",
        "",
        "",
    ]
    assert all(one.signed_with(TOKEN) for one in config.stage.receiver.deliveries)
    assert not any(secret in json.dumps(config.stage.sim("GET", "webhooks")) for secret in HIDDEN)


# State --------------------------------------------------------------------------------------------------------


def test_a_snapshot_carries_rules_on(config: Config) -> None:
    """A restored emulator has the same resources, operations and idempotency keys, and signs as before."""
    made = [config.api.shared_keys.create(SharedKeyList.PostSharedKey({}), idempotency_key=uuid7())]
    setting = config.setting(signature={"sharedKeyId": made[0].id, "algorithm": "HMAC_SHA256"})
    config.exact("/a", setting)
    under_way = config.rule(setting, **EXACT)
    snapshot = config.stage.emulator.snapshot()
    config.stage.reset()
    assert config.api.settings.list() == config.api.rules.list() == config.api.operations.list() == []
    config.stage.emulator.restore(snapshot)
    assert config.stage.emulator.snapshot() == snapshot
    made.append(config.api.shared_keys.create(SharedKeyList.PostSharedKey({}), idempotency_key=uuid7()))
    assert made[0].id == made[1].id
    config.deliver("/a")
    assert signer(config.stage.receiver.deliveries[0], {"key": made[0].secret, "token": TOKEN}) == "key"
    assert config.wait(under_way).status == "COMPLETED"
