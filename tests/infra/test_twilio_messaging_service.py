"""The life of a Messaging Service through the plugin, against the Twilio emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.provider.testing import CheckFailed, Deployed, Refused
from infra.provider.wire import UNKNOWN
from local.twilio.numbers import number_sid
from tests.infra.twilio_stack import ALICE, API_SECRET, LONDON, NEW_YORK, TwilioStack, sids

SERVICE = "parley:index:MessagingService"
FIRST, SECOND, THIRD = sids(NEW_YORK)


@pytest.fixture
def stack() -> TwilioStack:
    """Return a stack on a fresh emulator."""
    return TwilioStack()


def inputs(*numbers: str, **more: Any) -> dict[str, Any]:
    """Return the inputs of a service with numbers."""
    return {"friendlyName": "rides", "numbers": list(numbers), **more}


def up(stack: TwilioStack, *numbers: str, **more: Any) -> Deployed:
    """Create the service."""
    return stack.up(SERVICE, "senders", inputs(*numbers, **more))


def there(stack: TwilioStack) -> list[list[str]]:
    """Return the numbers of each Messaging Service of the account."""
    return [sorted(each.numbers) for each in stack.emulator.carrier.state.messaging_services.values()]


def test_whole_life(stack: TwilioStack) -> None:
    """Made, no difference, one more and one less, renamed, no drift, deleted; the account keeps the numbers."""
    service = up(stack, SECOND, FIRST)
    assert service.id.startswith("MG")
    assert (service.state["campaignStatus"], service.state["useInboundWebhookOnNumber"]) == ("none", True)
    assert there(stack) == [sorted([FIRST, SECOND])]
    assert not stack.diff(service, inputs(FIRST, SECOND)).changes
    service = stack.update(service, inputs(SECOND, THIRD, friendlyName="trips"))
    assert there(stack) == [sorted([SECOND, THIRD])]
    again = stack.refresh(service)
    assert again is not None
    assert (again.inputs, again.state) == (service.inputs, service.state)
    stack.down(service)
    assert there(stack) == []
    assert stack.account.owned(SECOND)
    stack.down(service)


def test_campaign_is_told(stack: TwilioStack) -> None:
    """The status of the A2P campaign is an output, as Twilio has it."""
    service = up(stack, FIRST)
    carrier = stack.emulator.carrier
    carrier.messaging_services.register(carrier.state.messaging_services[service.id], ["IN_PROGRESS"])
    again = stack.refresh(service)
    assert again is not None
    assert again.state["campaignStatus"] == "IN_PROGRESS"


def test_drift_is_seen_and_mended(stack: TwilioStack) -> None:
    """A number that somebody took out, and texts that pass the numbers' own webhooks by, are put right by an update."""
    service = up(stack, FIRST, SECOND)
    live = stack.emulator.carrier.state.messaging_services[service.id]
    live.numbers.remove(FIRST)
    live.use_inbound_webhook_on_number = False
    drifted = stack.refresh(service)
    assert drifted is not None
    assert set(stack.diff(drifted, inputs(FIRST, SECOND)).changes) >= {"useInboundWebhookOnNumber"}
    stack.update(drifted, inputs(FIRST, SECOND))
    assert there(stack) == [sorted([FIRST, SECOND])]
    assert live.use_inbound_webhook_on_number


def test_gone(stack: TwilioStack) -> None:
    """A service that was deleted behind our back is seen to be gone."""
    service = up(stack)
    stack.emulator.carrier.state.messaging_services.clear()
    assert stack.refresh(service) is None


def test_import(stack: TwilioStack) -> None:
    """A service is imported by its SID with its numbers; anything else is refused."""
    service = up(stack, FIRST)
    found = stack.adopt(SERVICE, "senders", service.id)
    assert found is not None
    assert found.state["numbers"] == [FIRST]
    with pytest.raises(Refused, match="MG and 32"):
        stack.adopt(SERVICE, "senders", "MG1")


@pytest.mark.parametrize("status", [500, None])
def test_lost_answer_makes_no_second_service(stack: TwilioStack, status: int | None) -> None:
    """A create whose answer is lost is found again by its name and settings."""
    stack.fault(mode="lost-answer", match="POST .*/v1/Services$", times=1, **({"status": status} if status else {}))
    up(stack, FIRST)
    assert there(stack) == [[FIRST]]


def test_interrupted_create_is_taken_up(stack: TwilioStack) -> None:
    """A service that a killed create left, with some of its numbers, is taken over by the next one."""
    carrier = stack.emulator.carrier
    account = stack.account.sid
    form = {"FriendlyName": "rides", "UseInboundWebhookOnNumber": "true"}
    left = carrier.messaging_services.create(account, form)
    carrier.messaging_services.add(left, FIRST)
    assert up(stack, FIRST, SECOND).id == left.sid
    assert there(stack) == [sorted([FIRST, SECOND])]


def test_somebody_else_s_service_is_refused(stack: TwilioStack) -> None:
    """A service of this name with other numbers is not taken over, and the way to import it is told."""
    up(stack, THIRD)
    with pytest.raises(Refused, match="pulumi import parley:index:MessagingService"):
        up(stack, FIRST)
    assert there(stack) == [[THIRD]]


def test_number_in_another_service(stack: TwilioStack) -> None:
    """A number that another service has is named; the state keeps the rest, and the next update finishes."""
    other = stack.up(SERVICE, "others", {"friendlyName": "others", "numbers": [SECOND]})
    with pytest.raises(Refused) as caught:
        up(stack, FIRST, SECOND)
    assert SECOND in str(caught.value)
    assert "21712" in str(caught.value)
    half_done = caught.value.half_done
    assert half_done is not None
    stack.down(other)
    service = Deployed(SERVICE, "senders", half_done.id, half_done.inputs, half_done.properties)
    assert stack.update(service, inputs(FIRST, SECOND)).state["numbers"] == sorted([FIRST, SECOND])


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"friendlyName": ""}, "friendlyName"),
        ({"friendlyName": "x" * 65}, "friendlyName"),
        ({"friendlyName": f"of {ALICE}"}, "friendlyName"),
        ({"numbers": [NEW_YORK[0]]}, "numbers[0]"),
        ({"numbers": [FIRST, FIRST]}, "numbers[1]"),
        ({"usecase": "gossip"}, "usecase"),
        ({"useInboundWebhookOnNumber": "yes"}, "useInboundWebhookOnNumber"),
        ({"campaign": "x"}, "campaign"),
    ],
)
def test_wrong_input_is_named_in_the_preview(stack: TwilioStack, changes: dict[str, Any], path: str) -> None:
    """Every mistake is told by its path, and Twilio is asked nothing."""
    with pytest.raises(CheckFailed, match=path.replace("[", r"\[").replace("]", r"\]")) as caught:
        stack.check(SERVICE, "senders", inputs() | changes)
    assert len(caught.value.failures) == 1
    assert stack.calls("POST") == []


def test_unknown_numbers_are_previewed(stack: TwilioStack) -> None:
    """Numbers that are bought in the same deployment are not known in its preview."""
    shown = stack.preview(SERVICE, "senders", {"friendlyName": "rides", "numbers": UNKNOWN})
    assert shown["numbers"] is UNKNOWN
    assert shown["sid"] is UNKNOWN


def test_nothing_plain_is_stored(stack: TwilioStack) -> None:
    """Neither a phone number nor a secret is in the state."""
    told = json.dumps(up(stack, FIRST, *sids(LONDON)).raw)
    assert API_SECRET not in told
    assert not any(number[1:] in told for number in NEW_YORK + LONDON)


@pytest.mark.parametrize("on_number", [True, False])
def test_texts_reach_the_number_s_own_webhook(
    stack: TwilioStack, on_number: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At Twilio the number's own webhook is asked about a text only if the service says so."""
    asked: list[str] = []

    def hear(url: str, *_: Any) -> tuple[int, dict[str, str], bytes]:
        asked.append(url)
        return 204, {}, b""

    sid = number_sid(NEW_YORK[0])
    stack.emulator.carrier.state.numbers[sid].settings["SmsUrl"] = "https://gate.example.com/twilio/message"
    up(stack, sid, useInboundWebhookOnNumber=on_number)
    monkeypatch.setattr(stack.emulator.webhooks, "_post", hear)
    stack.emulator.simulator.text(ALICE, NEW_YORK[0], "hello")
    assert asked == (["https://gate.example.com/twilio/message"] if on_number else [])
