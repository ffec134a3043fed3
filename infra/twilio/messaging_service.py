"""The resource type `parley:index:MessagingService`: the senders that US carriers want to know of, with their numbers.

https://www.twilio.com/docs/messaging/api/service-resource. Texts from a US local number reach US phones only if the
number is in a Messaging Service whose A2P campaign is approved (error 30034 otherwise). Decisions:

* `useInboundWebhookOnNumber` is true unless the program says otherwise: else the service answers what is texted to its
  numbers, and the consent check of the number's own webhook is passed by.
* The campaign itself is registered by people, over weeks and for money, so it is read and never made: `campaignStatus`
  says where it stands (https://www.twilio.com/docs/messaging/compliance/a2p-10dlc).
* Twilio lets two services have one name. A service of this name with these very settings and no number of anybody
  else's is taken for ours, left by an interrupted create; another one is refused with the way to import it.
* A number that is in another Messaging Service is refused by its SID: it would leave that one's campaign.
* Deleting lets go of the numbers, which the account keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.provider import (
    UNKNOWN,
    CheckFailure,
    Live,
    PartialFailure,
    Properties,
    ProviderError,
    Resource,
)
from infra.twilio import rules
from infra.twilio.client import Account, MessagingServiceState, TwilioError

LONGEST_NAME: Final = 64
_SETTINGS: Final[Mapping[str, str]] = {
    "friendlyName": "friendly_name",
    "useInboundWebhookOnNumber": "use_inbound_webhook_on_number",
    "usecase": "usecase",
}
"""Input -> the package's name of it."""


class MessagingService(Resource[Account]):
    """A Messaging Service and the numbers in it."""

    token = "parley:index:MessagingService"  # noqa: S105
    inputs = frozenset({*_SETTINGS, "numbers"})
    outputs = frozenset({"sid", "accountSid", "campaignStatus"})

    def check_for(
        self, account: Account | None, inputs: Properties, _old_inputs: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        """Fill in the defaults, put the numbers in order, and hold every value against Twilio's limits."""
        del account
        given = {"numbers": [], **rules.defaults(self.token), **inputs}
        failures = rules.shape(given, self.token) or list(_problems(given))
        numbers = given["numbers"]
        if not failures and isinstance(numbers, list) and UNKNOWN not in numbers:
            given["numbers"] = sorted(numbers)
        return given, failures

    def create(self, ctx: Account, inputs: Properties, /) -> tuple[str, Properties]:
        """Create the service, or take over what an interrupted create left, and put the numbers in."""
        service = _left_behind(ctx, inputs)
        if service is None:
            try:
                service = ctx.create_messaging_service(_settings(inputs))
            except TwilioError as error:
                service = _left_behind(ctx, inputs) if error.lost else None
                if service is None:
                    raise
        return service.sid, _fill(ctx, service, inputs)

    def read(self, ctx: Account, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the service with its numbers and the state of its campaign."""
        del inputs, state
        if not rules.is_sid(id_, "MG"):
            raise ProviderError(f"{id_!r} is no Messaging Service: import it by its SID, MG and 32 hexadecimal digits")
        service = ctx.messaging_service(id_)
        if service is None:
            return None
        found = _state(ctx, service)
        return Live({name: found[name] for name in self.inputs}, found)

    def update(
        self, ctx: Account, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Set every setting as declared, and the numbers."""
        del old_inputs, state
        return _fill(ctx, ctx.update_messaging_service(id_, _settings(inputs)), inputs)

    def delete(self, ctx: Account, id_: str, state: Properties, /) -> None:
        """Delete the service; its numbers stay the account's."""
        del state
        ctx.delete_messaging_service(id_)


def _problems(given: Mapping[str, Any]) -> Iterator[CheckFailure]:
    numbers = given["numbers"]
    yield from rules.label(given["friendlyName"], "friendlyName", LONGEST_NAME)
    if numbers is UNKNOWN:
        return
    for index, number in enumerate(numbers):
        yield from rules.sid(number, "PN", f"numbers[{index}]", "the SID of a number of the account")
        if number is not UNKNOWN and number in numbers[:index]:
            yield CheckFailure(f"numbers[{index}]", "is there twice")


def _settings(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {setting: inputs[name] for name, setting in _SETTINGS.items()}


def _left_behind(ctx: Account, inputs: Mapping[str, Any]) -> MessagingServiceState | None:
    """Return the service that an interrupted create made. Raises ProviderError for one that may be somebody else's."""
    for found in ctx.messaging_services_named(inputs["friendlyName"]):
        if found.settings == _settings(inputs) and set(ctx.messaging_numbers(found.sid)) <= set(inputs["numbers"]):
            return found
        raise ProviderError(
            f"there is a Messaging Service named {inputs['friendlyName']!r} already ({found.sid}), and nothing shows"
            f" that it is this stack's: take it over with `pulumi import {MessagingService.token} NAME {found.sid}`, or"
            " choose another `friendlyName`"
        )
    return None


def _fill(ctx: Account, service: MessagingServiceState, inputs: Mapping[str, Any]) -> Properties:
    """Put the numbers in that are missing and take out those that are not declared; return the state.

    Raises PartialFailure if a number could not be moved: the next update goes on.
    """
    wanted, there = set(inputs["numbers"]), set(ctx.messaging_numbers(service.sid))
    problems: list[str] = []
    for move, sids in ((ctx.add_to_messaging, wanted - there), (ctx.take_from_messaging, there - wanted)):
        for sid in sorted(sids):
            try:
                move(service.sid, sid)
            except TwilioError as error:
                problems.append(f"number {sid}: {error}")
    state = _state(ctx, service)
    if problems:
        raise PartialFailure(service.sid, state, problems)
    return state


def _state(ctx: Account, service: MessagingServiceState) -> Properties:
    return {
        **{name: service.settings[setting] for name, setting in _SETTINGS.items()},
        "numbers": sorted(ctx.messaging_numbers(service.sid)),
        "sid": service.sid,
        "accountSid": service.account_sid,
        "campaignStatus": ctx.campaign_status(service.sid),
    }
