"""Messaging Services: senders under one name (https://www.twilio.com/docs/messaging/api/service-resource)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import TwilioError
from local.twilio.moments import iso8601
from local.twilio.state import MessagingService, new_sid

if TYPE_CHECKING:
    from local.twilio.numbers import Numbers
    from local.twilio.state import OwnedNumber, State

LONGEST_NAME: Final = 64


class MessagingServices:
    """The account's Messaging Services. Not thread-safe: the caller holds the carrier's lock."""

    def __init__(self, state: State, now: Callable[[], float], numbers: Numbers) -> None:
        self._state, self._now, self._numbers = state, now, numbers

    def all(self, account_sid: str) -> list[MessagingService]:
        """Return the services of an account."""
        return [one for one in self._state.messaging_services.values() if one.account_sid == account_sid]

    def fetch(self, account_sid: str, sid: str) -> MessagingService:
        """Return a service. Raises TwilioError 20404."""
        found = self._state.messaging_services.get(sid)
        if found is None or found.account_sid != account_sid:
            raise TwilioError(20404, f"/Services/{sid}")
        return found

    def create(self, account_sid: str, form: Mapping[str, str]) -> MessagingService:
        """Make a service; several may have one name. Raises TwilioError 20001."""
        now = self._now()
        made = MessagingService(new_sid("MG"), account_sid, "", now, now, self._state.next_seq())
        self.update(made, {"FriendlyName": "", **form})
        self._state.messaging_services[made.sid] = made
        return made

    def update(self, service: MessagingService, form: Mapping[str, str]) -> None:
        """Change what a form names. Raises TwilioError 20001."""
        name = form.get("FriendlyName", service.friendly_name)
        if not 1 <= len(name) <= LONGEST_NAME:
            raise TwilioError(20001, f"FriendlyName must have 1 to {LONGEST_NAME} characters")
        service.friendly_name = name
        service.usecase = form.get("Usecase", service.usecase)
        service.inbound_request_url = form.get("InboundRequestUrl", service.inbound_request_url)
        if "UseInboundWebhookOnNumber" in form:
            service.use_inbound_webhook_on_number = form["UseInboundWebhookOnNumber"].lower() == "true"
        service.updated = self._now()

    def delete(self, service: MessagingService) -> None:
        """Delete a service; its numbers stay the account's."""
        del self._state.messaging_services[service.sid]

    def numbers(self, service: MessagingService) -> list[OwnedNumber]:
        """Return the numbers of a service that the account still owns."""
        return [self._state.numbers[sid] for sid in service.numbers if sid in self._state.numbers]

    def of_number(self, sid: str) -> MessagingService | None:
        """Return the service that a number is in."""
        return next((one for one in self._state.messaging_services.values() if sid in one.numbers), None)

    def add(self, service: MessagingService, sid: str) -> OwnedNumber:
        """Put a number in. Raises TwilioError 20404, 21710 (it is in this one), 21712 (it is in another one)."""
        number = self._numbers.fetch(service.account_sid, sid)
        there = self.of_number(sid)
        if there is not None:
            raise TwilioError(21710 if there is service else 21712)
        service.numbers.append(sid)
        return number

    def remove(self, service: MessagingService, sid: str) -> None:
        """Take a number out. Raises TwilioError 20404."""
        if sid not in service.numbers:
            raise TwilioError(20404, f"/Services/{service.sid}/PhoneNumbers/{sid}")
        service.numbers.remove(sid)

    def register(self, service: MessagingService, statuses: Iterable[str]) -> None:
        """Let campaigns stand as they are said to; for scripts."""
        service.campaigns = [{"sid": new_sid("QE"), "campaign_status": each} for each in statuses]


def render(service: MessagingService) -> dict[str, Any]:
    """Return a service as the API shows it."""
    url = f"https://messaging.twilio.com/v1/Services/{service.sid}"
    return {
        "sid": service.sid,
        "account_sid": service.account_sid,
        "friendly_name": service.friendly_name,
        "date_created": iso8601(service.created),
        "date_updated": iso8601(service.updated),
        "inbound_request_url": service.inbound_request_url,
        "inbound_method": "POST",
        "fallback_url": None,
        "fallback_method": "POST",
        "status_callback": None,
        "sticky_sender": True,
        "mms_converter": True,
        "smart_encoding": True,
        "fallback_to_long_code": True,
        "area_code_geomatch": True,
        "synchronous_validation": False,
        "scan_message_content": "inherit",
        "validity_period": 14400,
        "url": url,
        "usecase": service.usecase,
        "us_app_to_person_registered": any(each["campaign_status"] == "VERIFIED" for each in service.campaigns),
        "use_inbound_webhook_on_number": service.use_inbound_webhook_on_number,
        "links": {"phone_numbers": f"{url}/PhoneNumbers", "us_app_to_person": f"{url}/Compliance/Usa2p"},
    }
