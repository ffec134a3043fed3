"""The plugin's functions, against the Twilio emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.provider.testing import Refused
from infra.twilio.functions import FUNCTIONS, GET_ACCOUNT, GET_NUMBERS, GET_TRAPS
from infra.twilio.plugin import Parley
from local.twilio.account_defaults import RECORDING
from tests.infra.twilio_stack import ACCOUNT, API_SECRET, LONDON, NEW_YORK, TwilioStack, sids


@pytest.fixture
def stack() -> TwilioStack:
    """Return a stack on a fresh emulator."""
    return TwilioStack()


def numbers(stack: TwilioStack, **arguments: Any) -> dict[str, dict[str, Any]]:
    """Return what getNumbers tells, by SID."""
    return {each["sid"]: each for each in stack.invoke(GET_NUMBERS, arguments)["numbers"]}


def test_account(stack: TwilioStack) -> None:
    """The account's name, status, type and owner, and that it records nothing by itself."""
    told = stack.invoke(GET_ACCOUNT, {})
    assert (told["accountSid"], told["ownerAccountSid"], told["status"]) == (ACCOUNT, ACCOUNT, "active")
    assert told["type"] in {"Full", "Trial"}
    assert told["recordsEveryCall"] is False


def test_numbers_by_country_and_capability(stack: TwilioStack) -> None:
    """Numbers are told by their SIDs, all of them or those of a country that can do what is needed."""
    everything = numbers(stack)
    assert set(sids(NEW_YORK + LONDON)) <= set(everything)
    american = numbers(stack, country="US")
    assert set(sids(NEW_YORK)) <= set(american)
    assert {each["isoCountry"] for each in american.values()} == {"US"}
    assert numbers(stack, country="FR") == {}
    able = numbers(stack, capabilities=["mms"])
    assert set(able) == {sid for sid, each in everything.items() if "mms" in each["capabilities"]}


def test_number_that_is_taken_says_so(stack: TwilioStack) -> None:
    """A number of a Proxy service, and one that an application answers for, are marked."""
    first, second, third = sids(NEW_YORK)
    stack.pool(stack.service(), adopt=[first])
    stack.emulator.carrier.state.numbers[second].settings["VoiceApplicationSid"] = "AP" + "1" * 32
    told = numbers(stack)
    assert [told[sid]["inProxy"] for sid in (first, second, third)] == [True, False, False]
    assert [told[sid]["overridden"] for sid in (first, second, third)] == [False, True, False]


def traps(stack: TwilioStack, /, **arguments: Any) -> dict[str, dict[str, str]]:
    """Return what getTraps tells, by trap."""
    return {each["trap"]: each for each in stack.invoke(GET_TRAPS, arguments)["findings"]}


def test_traps_of_a_proxy_service(stack: TwilioStack) -> None:
    """A recording default and US numbers without a campaign are traps, the way out beside each."""
    service = stack.service()
    stack.pool(service, adopt=sids(NEW_YORK))
    stack.emulator.carrier.defaults.put(ACCOUNT, RECORDING, {})
    told = traps(stack, serviceSid=service.id)
    assert {name for name, each in told.items() if each["word"] == "trap"} == {
        "account-recording",
        "us-text-registration",
    }
    assert "DELETE" in told["account-recording"]["fix"]
    assert told["proxy-access"]["word"] == "fine"
    assert all(sid in told["us-text-registration"]["what"] for sid in sids(NEW_YORK))


def test_traps_of_an_account_without_proxy(stack: TwilioStack) -> None:
    """Without a service the numbers of the account are examined: those that go to the gate, else all."""
    first, second, _ = sids(NEW_YORK)
    numbers = stack.emulator.carrier.state.numbers
    numbers[first].settings["VoiceUrl"] = "https://gate.example.com/twilio/call"
    numbers[second].settings["VoiceApplicationSid"] = "AP" + "1" * 32
    assert second in traps(stack)["number-overrides"]["what"]
    told = traps(stack, gateUrl="https://gate.example.com")
    assert told["number-overrides"]["word"] == "fine"
    assert "proxy-access" not in told


def test_traps_read_every_page_of_a_pool(stack: TwilioStack) -> None:
    """Numbers beyond Twilio's first page of fifty are examined too."""
    service = stack.service()
    order = {"country": "US", "type": "local", "areaCode": "212", "count": 57, "capabilities": ["voice", "sms"]}
    stack.pool(service, buy=[order])
    assert traps(stack, serviceSid=service.id)["us-text-registration"]["what"].startswith("57 of 57")


def test_traps_ask_more_for_video_and_chat(stack: TwilioStack) -> None:
    """Channels that are used are asked about, and chat that does not ask the gate is a trap."""
    told = traps(stack, channels=["video", "chat"], gateUrl="https://gate.example.com", stack="line")
    assert set(told) > {"video-recordings-storage", "video-rooms", "chat-webhooks"}
    assert told["chat-webhooks"]["word"] == "trap"


def test_trap_that_twilio_does_not_tell_of_is_unknown(stack: TwilioStack) -> None:
    """What Twilio does not answer is said to be unknown, and the rest is told."""
    stack.fault(mode="error", status=401, match="GET .*AccountDefaultConfiguration")
    told = traps(stack)
    assert told["account-recording"]["word"] == "unknown"
    assert "401" in told["account-recording"]["what"]
    assert told["number-overrides"]["word"] == "fine"


def test_nothing_plain_is_told(stack: TwilioStack) -> None:
    """No phone number and no secret is among the answers, which can end in a state."""
    told = json.dumps([stack.invoke(token, {}) for token in FUNCTIONS])
    assert API_SECRET not in told
    assert not any(number in told or number[2:] in told for number in NEW_YORK + LONDON)


@pytest.mark.parametrize(
    ("token", "arguments", "said"),
    [
        (GET_NUMBERS, {"nation": "US"}, "nation"),
        (GET_NUMBERS, {"country": 7}, "country"),
        (GET_NUMBERS, {"capabilities": ["fax"]}, "capabilities[0]"),
        (GET_TRAPS, {"serviceSid": "line"}, "serviceSid"),
        (GET_TRAPS, {"channels": ["fax"]}, "channels[0]"),
        (GET_TRAPS, {"gate": "x"}, "gate"),
    ],
)
def test_wrong_argument_is_named(stack: TwilioStack, token: str, arguments: dict[str, Any], said: str) -> None:
    """An argument that there is not, or that is none of the listed ones, is refused by its path."""
    with pytest.raises(Refused) as caught:
        stack.invoke(token, arguments)
    assert token.rpartition(":")[2] in str(caught.value)
    assert said in str(caught.value)
    assert stack.calls("GET") == []


def test_refusal_of_twilio_is_told(stack: TwilioStack) -> None:
    """What Twilio refuses is told in words, with its code and without a number."""
    stack.fault(mode="error", status=401, match="GET .*Accounts")
    with pytest.raises(Refused) as caught:
        stack.invoke(GET_ACCOUNT, {})
    assert "401" in str(caught.value)


def test_functions_are_those_of_the_schema() -> None:
    """The plugin has the functions that its schema declares."""
    assert set(Parley().schema()["functions"]) == set(Parley.invokes)
