"""The life of webhook settings through the plugin, against the Twilio emulator."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from infra.provider.testing import CheckFailed, Deployed, Refused
from infra.twilio.webhook_rules import LONGEST_SECONDS, uuid7
from local.twilio.state import State
from tests.infra.twilio_stack import ACCOUNT, ALICE, TwilioStack

SETTINGS = "parley:index:WebhookSettings"
GATE = "https://gate.example.com/twilio/"
RULES = "webhooks.*/Rules"


@pytest.fixture
def stack() -> TwilioStack:
    """Return a stack on a fresh emulator whose account has an AuthProfile."""
    return TwilioStack()


@pytest.fixture
def profile(stack: TwilioStack) -> str:
    """Return the id of an AuthProfile."""
    return make_profile(stack)


def make_profile(stack: TwilioStack) -> str:
    """Make an AuthProfile, as somebody does in the Console; return its id."""
    rules = stack.emulator.carrier.webhook_rules
    return rules.create_auth_profile(ACCOUNT, {"friendlyName": "gate", "type": "OAUTH2", "clientSecret": "hush"}).id


def make_key(stack: TwilioStack) -> str:
    """Make a SharedKey; return its id."""
    return stack.emulator.carrier.webhook_rules.create_shared_key(ACCOUNT, {"friendlyName": "gate"}).id


def state_of(stack: TwilioStack) -> State:
    """Return what the emulator has."""
    return stack.emulator.carrier.state


def inputs(profile: str, **more: Any) -> dict[str, Any]:
    """Return the inputs of the gate's settings."""
    return {"name": "gate of the local stack", "url": GATE, "authProfileId": profile, **more}


def up(stack: TwilioStack, profile: str, **more: Any) -> Deployed:
    """Create the settings."""
    return stack.up(SETTINGS, "gate", inputs(profile, **more))


QUICK = {
    "connectTimeoutMs": 1000,
    "readTimeoutMs": 5000,
    "totalTimeoutMs": 14000,
    "retryCount": 1,
    "retryOn": ["READ_TIMEOUT", "HTTP_5XX"],
}


def test_whole_life(stack: TwilioStack, profile: str) -> None:
    """Made with timeouts and retries, no difference, changed by a new Setting, no drift, deleted with both."""
    made = up(stack, profile, connection=QUICK)
    state = state_of(stack)
    (rule,), (setting,) = state.webhook_rules.values(), state.webhook_settings.values()
    assert (made.id, made.state["ruleId"], made.state["settingId"]) == (rule.id, rule.id, setting.id)
    assert (rule.match_type, rule.match) == ("PREFIX_MATCH", GATE)
    assert (setting.connection or {})["retryPolicy"] == {"retryCount": 1, "retryOn": ["HTTP_5XX", "READ_TIMEOUT"]}
    assert not stack.diff(made, inputs(profile, connection=QUICK)).changes
    changed = stack.update(made, inputs(profile, connection={"readTimeoutMs": 3000}))
    (left,) = state.webhook_settings.values()
    assert (left.id != setting.id, (left.connection or {})["readTimeoutMs"]) == (True, 3000)
    assert (changed.id, changed.state["settingId"]) == (made.id, left.id)
    again = stack.refresh(changed)
    assert again is not None
    assert (again.inputs, again.state) == (changed.inputs, changed.state)
    stack.down(changed)
    assert (state.webhook_rules, state.webhook_settings) == ({}, {})
    stack.down(changed)


def test_each_step_is_in_force_before_the_next(stack: TwilioStack, profile: str) -> None:
    """The old Setting goes only once Twilio says that the Rule applies the new one everywhere."""
    made = up(stack, profile)
    stack.http.log.clear()
    stack.update(made, inputs(profile, connection={"readTimeoutMs": 3000}))
    asked = [line.partition("/v1/Webhooks/")[2].partition("/")[0] for line in stack.http.log if "GET" not in line]
    assert [line.split()[0] for line in stack.http.log if "GET" not in line] == ["POST", "PATCH", "DELETE"]
    assert asked == ["Settings", "Rules", "Settings"]
    assert stack.clock.waits


def test_shared_key_signs(stack: TwilioStack, profile: str) -> None:
    """A SharedKey is named in the Setting, and its secret is nowhere in the state."""
    key = make_key(stack)
    signature = {"type": "SHARED_KEY", "sharedKeyId": key, "algorithm": "HMAC_SHA256"}
    made = up(stack, profile, signature=signature)
    (setting,) = state_of(stack).webhook_settings.values()
    assert setting.signature == signature
    assert not stack.diff(made, inputs(profile, signature=signature)).changes
    secrets = [each.secret for each in state_of(stack).shared_keys.values()]
    assert not any(secret in repr(made) for secret in [*secrets, "hush"])


def test_exact_url(stack: TwilioStack, profile: str) -> None:
    """A URL without a slash at its end is matched as it is; another one makes a new Rule before the old one goes."""
    made = up(stack, profile, url="https://gate.example.com/twilio/intercept")
    (rule,) = state_of(stack).webhook_rules.values()
    assert rule.match_type == "EXACT_MATCH"
    planned = stack.diff(made, inputs(profile))
    assert (planned.replaces, planned.delete_first) == (["url"], False)


def test_another_name(stack: TwilioStack, profile: str) -> None:
    """Another name makes no difference to webhooks, and leaves one Rule and one Setting of that name."""
    made = up(stack, profile)
    stack.update(made, inputs(profile, name="gate"))
    state = state_of(stack)
    assert [one.friendly_name for one in state.webhook_rules.values()] == ["gate"]
    assert [one.friendly_name for one in state.webhook_settings.values()] == ["gate"]


def test_drift(stack: TwilioStack, profile: str) -> None:
    """A Rule that somebody split over two Settings is seen and put back, and their own Setting stays."""
    made = up(stack, profile)
    rules = stack.emulator.carrier.webhook_rules
    auth = {"source": "REFERENCE", "authProfileId": profile}
    theirs = rules.create_setting(ACCOUNT, {"friendlyName": "an experiment", "auth": auth})
    rule = state_of(stack).webhook_rules[made.id]
    shares = [{"settingId": made.state["settingId"], "percentage": 40}, {"settingId": theirs.id, "percentage": 60}]
    state_of(stack).webhook_rules[made.id] = type(rule)(**{**fields(rule), "settings": shares})
    drifted = stack.refresh(made)
    assert drifted is not None
    assert stack.diff(drifted, inputs(profile)).changes
    mended = stack.update(drifted, inputs(profile))
    assert not stack.diff(mended, inputs(profile)).changes
    assert mended.state["settingId"] == made.state["settingId"]
    assert theirs.id in state_of(stack).webhook_settings


def test_what_somebody_deleted(stack: TwilioStack, profile: str) -> None:
    """A Rule that is gone is seen to be, and one that goes in between says the way out."""
    made = up(stack, profile)
    state_of(stack).webhook_rules.clear()
    assert stack.refresh(made) is None
    with pytest.raises(Refused, match="pulumi up --refresh"):
        stack.update(made, inputs(profile, connection=QUICK))
    stack.down(made)
    assert state_of(stack).webhook_settings == {}


def test_import(stack: TwilioStack, profile: str) -> None:
    """A Rule is imported by its id; anything else, and one with credentials of its own, is refused."""
    made = up(stack, profile, connection=QUICK)
    found = stack.adopt(SETTINGS, "gate", made.id)
    assert found is not None
    assert (found.inputs, found.state) == (made.inputs, made.state)
    with pytest.raises(Refused, match="webhooks_rule_"):
        stack.adopt(SETTINGS, "gate", "KS1")
    setting = state_of(stack).webhook_settings[made.state["settingId"]]
    setting.auth.clear()
    setting.auth.update({"source": "INLINE", "value": {"scheme": "BASIC"}})
    with pytest.raises(Refused, match="AuthProfile"):
        stack.adopt(SETTINGS, "gate", made.id)


@pytest.mark.parametrize("kind", ["Settings", "Rules"])
def test_lost_answer_makes_nothing_twice(stack: TwilioStack, profile: str, kind: str) -> None:
    """A create whose answer was lost is sent again with the same key, and is there once."""
    stack.fault(mode="lost-answer", status=500, match=f"POST .*/v1/Webhooks/{kind}$", times=2)
    up(stack, profile)
    assert (len(state_of(stack).webhook_rules), len(state_of(stack).webhook_settings)) == (1, 1)


def test_interrupted_create_is_taken_up(stack: TwilioStack, profile: str) -> None:
    """What a run left that never told its id is this stack's by its name and URL, with its Setting."""
    up(stack, profile)
    again = up(stack, profile)
    assert list(state_of(stack).webhook_rules) == [again.id]
    state_of(stack).webhook_rules.clear()
    third = up(stack, profile)
    assert list(state_of(stack).webhook_settings) == [third.state["settingId"]]


def test_operation_that_failed(stack: TwilioStack, profile: str) -> None:
    """A create that Twilio gave up says so, and the next run makes it; so does a change."""
    stack.fault(mode="fail-operation", match=f"POST {RULES}", times=1)
    with pytest.raises(Refused) as caught:
        up(stack, profile)
    assert "gave up" in str(caught.value)
    assert caught.value.half_done is None
    assert state_of(stack).webhook_rules == {}
    made = up(stack, profile)
    stack.fault(mode="fail-operation", match=f"PATCH {RULES}", times=1)
    with pytest.raises(Refused, match="gave up"):
        stack.update(made, inputs(profile, connection=QUICK))
    stack.update(made, inputs(profile, connection=QUICK))
    assert len(state_of(stack).webhook_settings) == 1


def test_operation_that_takes_too_long(stack: TwilioStack, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five minutes the run says what it waits for, and what is made stands in the state."""
    operations = type(stack.account.webhook_rules._rest.operations("x"))
    fetch = operations.fetch

    def running(context: Any) -> Any:
        """Return an operation that goes on and on."""
        found = fetch(context)
        found.status = "RUNNING"
        return found

    monkeypatch.setattr(operations, "fetch", running)
    with pytest.raises(Refused, match="not in force everywhere") as caught:
        up(stack, profile)
    assert caught.value.half_done is not None
    assert sum(stack.clock.waits) >= LONGEST_SECONDS


def test_rule_of_somebody_else(stack: TwilioStack, profile: str) -> None:
    """A Rule that somebody made for the same URL is not taken over: the message says what to do."""
    up(stack, profile, name="another team")
    with pytest.raises(Refused, match="import it by its id"):
        up(stack, profile)


def test_unknown_profile_is_named(stack: TwilioStack) -> None:
    """An AuthProfile of another account is refused in words, with the field that Twilio names."""
    with pytest.raises(Refused, match="AuthProfile or a SharedKey of this very account"):
        up(stack, f"webhooks_authprofile_{'0' * 26}")


def test_setting_that_others_use_stays(stack: TwilioStack, profile: str) -> None:
    """A Setting that another Rule applies is left when ours goes."""
    made = up(stack, profile)
    rules = stack.emulator.carrier.webhook_rules
    share = [{"settingId": made.state["settingId"], "percentage": 100}]
    other = {"matchType": "EXACT_MATCH", "value": "https://other.example.com/x", "settings": share}
    rules.create_rule(ACCOUNT, {"friendlyName": "other", **other})
    stack.down(made)
    assert list(state_of(stack).webhook_settings) == [made.state["settingId"]]


PROFILE = f"webhooks_authprofile_{'0' * 26}"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": f"of {ALICE}"}, "name"),
        ({"url": "http://gate.example.com/"}, "url"),
        ({"url": "https://gate.example.com/*"}, "url"),
        ({"url": f"https://gate.example.com/{'x' * 2048}"}, "url"),
        ({"authProfileId": "KS1"}, "authProfileId"),
        ({"authProfileId": None}, "authProfileId"),
        (
            {"signature": {"type": "KEY", "sharedKeyId": "x", "algorithm": "HMAC_SHA256"}},
            "signature.sharedKeyId",
        ),
        ({"signature": {"type": "KEY", "sharedKeyId": PROFILE, "algorithm": "MD5"}}, "signature.algorithm"),
        ({"connection": {"readTimeoutMs": 99}}, "connection.readTimeoutMs"),
        ({"connection": {"totalTimeoutMs": 60001}}, "connection.totalTimeoutMs"),
        ({"connection": {"retryCount": 1}}, "connection.retryOn"),
        ({"connection": {"retryCount": -1, "retryOn": ["HTTP_5XX"]}}, "connection.retryCount"),
        ({"connection": {"retryCount": 1, "retryOn": ["HTTP_4XX"]}}, "connection.retryOn[0]"),
        ({"connection": {"retryCount": 1, "retryOn": ["ALL"]}}, "connection.retryOn[0]"),
        ({"connection": {"retryCount": 1, "retryOn": ["HTTP_5XX", "HTTP_5XX"]}}, "connection.retryOn[1]"),
        ({"edgeZones": []}, "edgeZones"),
    ],
)
def test_wrong_input_is_named_in_the_preview(stack: TwilioStack, changes: dict[str, Any], path: str) -> None:
    """Every mistake is told by its path, and Twilio is asked nothing."""
    with pytest.raises(CheckFailed) as caught:
        stack.check(SETTINGS, "gate", inputs(PROFILE) | changes)
    assert len(caught.value.failures) == 1
    assert path in caught.value.failures[0]
    assert stack.calls("POST") == []


def test_uuid7() -> None:
    """Idempotency keys are UUIDs of version 7, no two alike, in the order of time."""
    made = [uuid7() for _ in range(100)]
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert len(set(made)) == 100
    assert [each.int >> 80 for each in made] == sorted(each.int >> 80 for each in made)


def fields(rule: Any) -> dict[str, Any]:
    """Return the fields of a record of the emulator."""
    return {name: getattr(rule, name) for name in rule.__dataclass_fields__}
