"""The life of numbers with webhooks through the plugin, against the Twilio emulator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.provider.testing import CheckFailed, Deployed, Refused
from local.twilio.numbers import describe
from tests.infra.twilio_stack import API_SECRET, LONDON, NEW_YORK, POOL, TwilioStack, sids

WEBHOOKS = "parley:index:NumberWebhooks"
GATE = "https://gate.example.com/twilio"
URLS = {
    "voiceUrl": f"{GATE}/call",
    "voiceFallbackUrl": f"{GATE}/fallback",
    "statusCallback": f"{GATE}/call/status",
    "smsUrl": f"{GATE}/message",
    "smsFallbackUrl": f"{GATE}/fallback",
}
ORDER = {"country": "US", "type": "local", "areaCode": "212", "count": 2}


@pytest.fixture
def stack() -> TwilioStack:
    """Return a stack on a fresh emulator."""
    return TwilioStack()


def up(stack: TwilioStack, **inputs: Any) -> Deployed:
    """Point numbers at the gate."""
    return stack.up(WEBHOOKS, "numbers", {**URLS, **inputs})


def urls(stack: TwilioStack, number: str) -> dict[str, str]:
    """Return where the calls and texts of a number go."""
    (sid,) = sids([number])
    found = stack.account.line(sid)
    assert found is not None
    return dict(found.urls)


def shown(deployed: Deployed) -> list[str]:
    """Return the SIDs that the state shows."""
    return [number["sid"] for number in deployed.state["numbers"]]


def test_numbers_live_through_their_whole_life(stack: TwilioStack) -> None:
    """Pointed here, no difference, one more, one less, no drift, deleted: the account keeps them, without our URLs."""
    numbers = up(stack, adopt=NEW_YORK[:2])
    assert shown(numbers) == sids(NEW_YORK[:2])
    assert urls(stack, NEW_YORK[0]) == URLS
    assert numbers.state["numbers"][0]["isoCountry"] == "US"
    assert numbers.state["numbers"][0]["capabilities"] == ["mms", "sms", "voice"]
    assert not stack.diff(numbers, {**URLS, "adopt": NEW_YORK[:2]}).changes
    numbers = stack.update(numbers, {**URLS, "adopt": NEW_YORK[1:]})
    assert set(urls(stack, NEW_YORK[0]).values()) == {""}
    assert urls(stack, NEW_YORK[2]) == URLS
    again = stack.refresh(numbers)
    assert again is not None
    assert (again.inputs, again.state) == (numbers.inputs, numbers.state)
    stack.down(numbers)
    assert set(urls(stack, NEW_YORK[1]).values()) == {""}
    stack.down(numbers)


def test_nothing_plain_is_stored(stack: TwilioStack) -> None:
    """Neither a phone number nor a secret is in the inputs or the state."""
    numbers = up(stack, adopt=[*NEW_YORK, *LONDON], reserved=LONDON, buy=[ORDER])
    stored = f"{numbers.outputs}{numbers.inputs}"
    assert API_SECRET not in stored
    assert not any(number.phone_number.lstrip("+") in stored for number in stack.account.owned_numbers())


@pytest.mark.parametrize("name", sorted(URLS))
def test_drift_is_found_and_mended(stack: TwilioStack, name: str) -> None:
    """A number of which one URL was changed shows up as gone; the next update mends that one and touches no other."""
    numbers = up(stack, adopt=NEW_YORK)
    sid = sids(NEW_YORK)[1]
    stack.account.point(sid, {name: "https://elsewhere.example.com"})
    seen = stack.refresh(numbers)
    assert seen is not None
    assert sid not in shown(seen)
    stack.http.log.clear()
    mended = stack.update(seen, {**URLS, "adopt": NEW_YORK})
    assert shown(mended) == sids(NEW_YORK)
    assert urls(stack, NEW_YORK[1]) == URLS
    assert [line for line in stack.http.log if line.startswith("POST")] == [
        line for line in stack.http.log if sid in line and line.startswith("POST")
    ]


def test_reserved_number_says_so(stack: TwilioStack) -> None:
    """The URLs of a reserved number tell that it is one; freeing it changes them back."""
    numbers = up(stack, adopt=NEW_YORK[:1], reserved=NEW_YORK[:1])
    assert urls(stack, NEW_YORK[0]) == URLS | {
        "voiceUrl": f"{GATE}/call?reserved=true",
        "smsUrl": f"{GATE}/message?reserved=true",
    }
    assert numbers.state["numbers"][0]["reserved"] is True
    numbers = stack.update(numbers, {**URLS, "adopt": NEW_YORK[:1]})
    assert urls(stack, NEW_YORK[0]) == URLS
    stack.down(stack.update(numbers, {**URLS, "adopt": NEW_YORK[:1], "reserved": NEW_YORK[:1]}))
    assert set(urls(stack, NEW_YORK[0]).values()) == {""}


def test_other_gate(stack: TwilioStack) -> None:
    """A gate that moved gets the same numbers, in place."""
    numbers = up(stack, adopt=NEW_YORK, buy=[ORDER])
    bought = [number["sid"] for number in numbers.state["numbers"] if number.get("bought")]
    moved = {name: url.replace("gate", "other") for name, url in URLS.items()}
    inputs = {**moved, "adopt": NEW_YORK, "buy": [ORDER]}
    assert not stack.diff(numbers, inputs).replaces
    numbers = stack.update(numbers, inputs)
    assert urls(stack, NEW_YORK[0]) == moved
    assert [number["sid"] for number in numbers.state["numbers"] if number.get("bought")] == bought


def test_number_in_a_proxy_service_is_refused(stack: TwilioStack) -> None:
    """A number that Proxy has is refused by name, with the way out; the others point here, and the next up goes on."""
    line = stack.service()
    stack.pool(line, adopt=NEW_YORK[:1])
    with pytest.raises(Refused) as refused:
        up(stack, adopt=NEW_YORK)
    assert f"{sids(NEW_YORK[:1])[0]} is in a Proxy service" in str(refused.value)
    assert urls(stack, NEW_YORK[1]) == URLS


@pytest.mark.parametrize("setting", ["VoiceApplicationSid", "SmsApplicationSid", "TrunkSid"])
def test_what_wins_over_urls_is_told(stack: TwilioStack, setting: str) -> None:
    """A number with an application or a trunk is refused by name, since its URLs would not count."""
    owned = stack.emulator.carrier.numbers.by_phone_number(NEW_YORK[0])
    assert owned is not None
    owned.settings[setting] = "AP" + "1" * 32
    with pytest.raises(Refused, match="has an application or a trunk"):
        up(stack, adopt=NEW_YORK[:1])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"voiceUrl": "http://gate.example.com"}, "has to be an https:// URL"),
        ({"smsUrl": "https://user:pass@gate.example.com"}, "user name or password"),
        ({"smsUrl": f"https://gate.example.com/{'x' * 4000}"}, "Twilio takes 4,000"),
        ({"adopt": ["x"]}, "is neither a PN… SID nor a number"),
        ({"adopt": ["+12125550199"]}, "is not a number of account"),
        ({"reserved": ["PN" + "9" * 32]}, "is not a number of account"),
        ({"buy": [{**ORDER, "count": 0}]}, "leave the entry out"),
    ],
)
def test_mistakes_are_told_before(stack: TwilioStack, inputs: dict[str, Any], words: str) -> None:
    """What Twilio would refuse is told by its path before anything is done."""
    with pytest.raises(CheckFailed) as failed:
        up(stack, **inputs)
    assert words in str(failed.value)
    assert "5550199" not in str(failed.value)


def test_more_than_a_service_holds(stack: TwilioStack) -> None:
    """No limit of a Proxy service holds here."""
    many = [f"+1415555{place:04}" for place in range(501)]
    for number in many:
        stack.emulator.carrier.numbers.own("AC" + "a" * 32, describe(number, sms=True, voice=True, mms=True), {})
    assert up(stack, adopt=many).state["size"] == 501


def test_bought_numbers_are_kept(stack: TwilioStack) -> None:
    """Numbers are bought once, kept as spares when they leave, and released only where that is asked for."""
    numbers = up(stack, buy=[ORDER])
    bought = shown(numbers)
    assert len(bought) == 2
    fewer = stack.update(numbers, {**URLS, "buy": [{**ORDER, "count": 1}]})
    assert len(fewer.state["spares"]) == 1
    again = stack.update(fewer, {**URLS, "buy": [ORDER]})
    assert shown(again) == bought
    gone = stack.update(again, {**URLS, "buy": [{**ORDER, "count": 1}], "releaseOnDelete": True})
    assert gone.state["spares"] == []
    stack.down(gone)
    assert not any(stack.account.owned(sid) for sid in bought)


def aliased(deployed: Deployed, token: str, name: str) -> Deployed:
    """Return a resource as the engine has it once an alias changed its type and name."""
    return replace(deployed, token=token, name=name)


def masked_by_proxy(stack: TwilioStack) -> tuple[Deployed, Deployed]:
    """Return a Proxy service and its pool: two numbers that were adopted, two that were bought, and a spare."""
    line = stack.service()
    pool = stack.pool(line, adopt=NEW_YORK[:2], buy=[{**ORDER, "count": 3}], reserved=NEW_YORK[:1])
    inputs = {"serviceSid": line.id, "adopt": NEW_YORK[:2], "buy": [ORDER], "reserved": NEW_YORK[:1]}
    return line, stack.update(pool, inputs)


DECLARED = {"adopt": NEW_YORK[:2], "buy": [ORDER], "reserved": NEW_YORK[:1], "releaseOnDelete": False}


def test_from_proxy_and_back(stack: TwilioStack) -> None:
    """The same numbers leave the Proxy service, point here, and return: none is bought, released or replaced."""
    line, pool = masked_by_proxy(stack)
    owned = {number.sid for number in stack.account.owned_numbers()}
    numbers, spares = pool.state["numbers"], pool.state["spares"]
    former = aliased(pool, WEBHOOKS, "webhooks")
    assert not stack.diff(former, {**URLS, **DECLARED}).replaces
    here = stack.update(former, {**URLS, **DECLARED})
    assert stack.numbers(line) == {}
    assert urls(stack, NEW_YORK[1]) == URLS
    assert (here.state["numbers"], here.state["spares"]) == (numbers, spares)
    assert "serviceSid" not in here.state
    seen = stack.refresh(here)
    assert seen is not None
    assert not stack.diff(seen, {**URLS, **DECLARED}).changes
    service = stack.service(uniqueName="again")
    back = stack.update(aliased(here, POOL, "numbers"), {"serviceSid": service.id, **DECLARED})
    assert stack.numbers(service) == {number["sid"]: number["reserved"] for number in numbers}
    assert (back.state["numbers"], back.state["spares"]) == (numbers, spares)
    assert not set(urls(stack, NEW_YORK[1]).values()) & set(URLS.values())
    seen = stack.refresh(back)
    assert seen is not None
    assert not stack.diff(seen, {"serviceSid": service.id, **DECLARED}).changes
    assert {number.sid for number in stack.account.owned_numbers()} == owned


def test_open_sessions_hold_the_numbers_back(stack: TwilioStack) -> None:
    """As long as people talk through Proxy nothing is moved, and the refusal counts them; then the same up goes on."""
    line, pool = masked_by_proxy(stack)
    session = stack.session(line)
    before = stack.numbers(line)
    with pytest.raises(Refused, match=r"has 1 open session\(s\), which taking it out would cut off"):
        stack.update(aliased(pool, WEBHOOKS, "webhooks"), {**URLS, **DECLARED})
    assert stack.numbers(line) == before
    stack.close_session(line, session)
    assert len(stack.update(aliased(pool, WEBHOOKS, "webhooks"), {**URLS, **DECLARED}).state["numbers"]) == 4


@pytest.mark.parametrize("nth", range(1, 12))
def test_move_that_was_interrupted_goes_on(stack: TwilioStack, nth: int) -> None:
    """Wherever Twilio fails on the way, the next update brings the same numbers here and buys none."""
    line, pool = masked_by_proxy(stack)
    owned = {number.sid for number in stack.account.owned_numbers()}
    former = aliased(pool, WEBHOOKS, "webhooks")
    stack.fault(match="^(POST|DELETE) ", mode="error", status=400, code=20001, after=nth - 1, times=1)
    try:
        stack.update(former, {**URLS, **DECLARED})
    except Refused as refused:
        if refused.half_done is not None:
            half = refused.half_done
            former = replace(former, inputs=half.inputs, outputs=half.properties)
    stack.restart()
    stack.emulator.faults.clear()
    here = stack.update(former, {**URLS, **DECLARED})
    assert [number["sid"] for number in here.state["numbers"]] == [number["sid"] for number in pool.state["numbers"]]
    assert stack.numbers(line) == {}
    assert {number.sid for number in stack.account.owned_numbers()} == owned
