"""The plugin's functions, against the Twilio emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.provider.testing import Refused
from infra.twilio.functions import FUNCTIONS, GET_ACCOUNT, GET_NUMBERS
from infra.twilio.plugin import Parley
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


def test_nothing_plain_is_told(stack: TwilioStack) -> None:
    """No phone number and no secret is among the answers, which can end in a state."""
    told = json.dumps([stack.invoke(token, {}) for token in FUNCTIONS])
    assert API_SECRET not in told
    assert not any(number in told or number[2:] in told for number in NEW_YORK + LONDON)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"nation": "US"}, "nation"), ({"country": 7}, "country"), ({"capabilities": ["fax"]}, "capabilities[0]")],
)
def test_wrong_argument_is_named(stack: TwilioStack, arguments: dict[str, Any], said: str) -> None:
    """An argument that there is not, or that is none of the listed ones, is refused by its path."""
    with pytest.raises(Refused) as caught:
        stack.invoke(GET_NUMBERS, arguments)
    assert "getNumbers" in str(caught.value)
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
