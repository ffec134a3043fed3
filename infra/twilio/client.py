"""What the plugin does with one Twilio account: the official package behind our own transport, silent about numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import phonenumbers
import requests
from parley.adapters.live_twilio import is_switched_off
from twilio.base.exceptions import (  # type: ignore[import-untyped]
    TwilioException,
    TwilioRestException,
    TwilioServiceException,
)
from twilio.rest import Client  # type: ignore[import-untyped]

from infra.provider import ProviderError
from infra.twilio.transport import Clock, Transport

if TYPE_CHECKING:
    from infra.twilio.webhook_rules import WebhookRules

PAGE_SIZE: Final = 1000

RECORDING_DEFAULT: Final = "https://voice.twilio.com/v2/AccountDefaultConfiguration/Recording"

_NUMBER = re.compile(r"(?<![0-9A-Za-z])\+?[0-9]{7,15}(?![0-9A-Za-z])")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_NEEDS_ADDRESS: Final = (
    "Numbers of this country need an address: create one in the Twilio Console and give its AD… SID as `addressSid`."
)
_WAYS_OUT: Final = {
    20003: "Check parley:twilioAccountSid, parley:twilioApiKey and parley:twilioApiSecret: the key was revoked, or is"
    " another account's.",
    20404: "Somebody removed it: run `pulumi up --refresh` to go on from what is there.",
    20429: "The account has too many requests in flight; run `pulumi up` again, it goes on where it stopped.",
    21422: "Somebody else took the number in the meantime; run `pulumi up` again to pick another one.",
    21613: _NEEDS_ADDRESS,
    21615: _NEEDS_ADDRESS,
    21631: _NEEDS_ADDRESS,
    21649: "Numbers of this country need an approved regulatory bundle: give its BU… SID as `bundleSid`.",
    59100: "A Rule that Parley did not make sends webhooks by it: take it out there, then run `pulumi up` again.",
    59102: "Somebody else changed the same resource at this moment: run `pulumi up` again.",
    59103: "The account has a webhook Rule for this `url` already: import it by its id, or delete it.",
    59200: "The account has 50 of these: delete those that nothing uses.",
    59201: "Give the id of an AuthProfile or a SharedKey of this very account.",
    59202: "Give an AuthProfile with OAuth 2.0 or Digest, or a narrower `url`.",
    80601: "The number is in another Proxy service, in a Messaging Service, or still draining from an earlier pool:"
    " take it out there (a number joins Proxy first and a Messaging Service second) or wait some minutes, then run"
    " `pulumi up` again.",
    80624: "A service holds 500 unreserved and 5,000 reserved numbers: put further ones in a second service.",
}
"""Twilio's code -> what to do about it; https://www.twilio.com/docs/api/errors"""
_NO_PROXY: Final = (
    "This account may have no access to Twilio Proxy (a public beta that is not open to every account): ask Twilio, or"
    " set `parley:masking: direct`."
)


RESERVED: Final = "?reserved=true"
"""What the voice and SMS URLs of a reserved number end in."""


_T = TypeVar("_T")

ALREADY_IN_SERVICE: Final = 21710
"""Twilio's code for a number that is in this Messaging Service already."""


def is_loopback(url: str) -> bool:
    """Tell whether `url` is plain HTTP or HTTPS to this very machine."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and parts.hostname in _LOOPBACK


def mask(number: str) -> str:
    """Return a phone number as it may be shown: its first and last two digits only."""
    digits = number.lstrip("+")
    return f"+{digits[:2]}…{digits[-2:]}"


def without_numbers(text: str) -> str:
    """Return `text` with every phone number in it masked."""
    return _NUMBER.sub(lambda match: mask(match[0]), text)


class TwilioError(ProviderError):
    """A request that Twilio refused or did not answer: one sentence what was tried, what came back, and the way out.

    `status` is the HTTP status, None without an answer; `code` is Twilio's own number from
    https://www.twilio.com/docs/api/errors, None where there is none.
    """

    def __init__(self, doing: str, problem: str, *, status: int | None, code: int | None = None) -> None:
        self.status = status
        self.code = code
        way_out = _WAYS_OUT.get(code or 0, "")
        if not way_out and status == 403 and "Proxy" in doing:
            way_out = _NO_PROXY
        super().__init__(" ".join(filter(None, [f"cannot {doing}: {without_numbers(problem)}.", way_out])))

    @property
    def gone(self) -> bool:
        """What was asked for does not exist (any more)."""
        return self.status == 404

    @property
    def lost(self) -> bool:
        """The request may have had its effect although no good answer came back."""
        return self.status is None or self.status >= 500


@dataclass(frozen=True)
class Service:
    """A Proxy service as Twilio has it. URLs are None when empty; `default_ttl` is in seconds, 0 for no limit."""

    sid: str
    account_sid: str
    url: str
    unique_name: str
    default_ttl: int
    callback_url: str | None
    intercept_callback_url: str | None
    out_of_session_callback_url: str | None
    geo_match_level: str
    number_selection_behavior: str
    chat_instance_sid: str | None


@dataclass(frozen=True)
class PoolNumber:
    """A number of a Proxy service's pool. `in_use` is the count of its open sessions."""

    sid: str
    iso_country: str
    capabilities: tuple[str, ...]
    reserved: bool
    in_use: int


@dataclass(frozen=True)
class OwnedNumber:
    """A number the account owns. `phone_number` must never leave the plugin's memory."""

    sid: str
    phone_number: str


@dataclass(frozen=True)
class LineNumber:
    """A number of the account with where its calls and texts go. `urls` are named as the inputs of NumberWebhooks.

    `in_proxy`: a Proxy service has it. `overridden`: an application or a trunk wins over its URLs.
    """

    sid: str
    iso_country: str
    capabilities: tuple[str, ...]
    urls: Mapping[str, str]
    in_proxy: bool
    overridden: bool


@dataclass(frozen=True)
class Description:
    """What an account is. `status`: active, suspended or closed; `type`: Trial or Full; owner: itself or a parent."""

    sid: str
    friendly_name: str
    status: str
    type: str
    owner_account_sid: str


@dataclass(frozen=True)
class MessagingServiceState:
    """A Messaging Service as Twilio has it; `settings` by the package's names."""

    sid: str
    account_sid: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class EventSinkState:
    """A sink of Event Streams as Twilio has it; `destination` is empty for one that is no webhook."""

    sid: str
    description: str
    destination: str
    status: str


class Account:
    """What the resources do with one Twilio account. Every method raises TwilioError."""

    def __init__(
        self, *, sid: str, api_key: str, api_secret: str, endpoint: str | None = None, clock: Clock | None = None
    ) -> None:
        self.sid = sid
        self.endpoint = endpoint
        self.clock = clock or Clock()
        transport = Transport(endpoint, self.clock)
        self._rest = Client(api_key, api_secret, sid, http_client=transport, environment={"TWILIO": ""})

    # The account

    def description(self) -> Description:
        """Return what the account is (https://www.twilio.com/docs/iam/api/account)."""
        with self._told("read the account"):
            found = self._rest.api.v2010.accounts(self.sid).fetch()
        return Description(
            self.sid,
            found.friendly_name or "",
            str(found.status or ""),
            str(found.type or ""),
            found.owner_account_sid or self.sid,
        )

    def records_every_call(self) -> bool:
        """Tell whether a default of the account records every call, whatever TwiML, a request or a person says.

        https://www.twilio.com/docs/configurations/recording-account-default-configuration-resource: 404 is no default.
        How a disabled one looks is not documented, so any answer but `enabled: false` or `status: disabled` is one.
        """
        doing = "read the account's recording default"
        found = self._found(doing, lambda: self.get(RECORDING_DEFAULT, doing))
        if found is None:
            return False
        return not is_switched_off(found)

    def get(self, url: str, doing: str) -> dict[str, Any]:
        """Return what Twilio has at a URL that the package has no name for; `doing` says what is read."""
        with self._told(doing):
            answer = self._rest.request("GET", url)
        try:
            found: dict[str, Any] = json.loads(answer.text)
        except ValueError:
            found = {}
        status, code = answer.status_code, found.get("code")
        if status != 200:
            raise TwilioError(doing, f"Twilio answered {status}{_code(code, status)}", status=status, code=code)
        return found

    # Proxy services

    def may_use_proxy(self) -> bool:
        """Tell whether Twilio lets these credentials read Proxy at all: 403 is no."""
        try:
            with self._told("ask for Proxy"):
                self._rest.proxy.v1.services.list(limit=1, page_size=1)
        except TwilioError as error:
            if error.status == 403:
                return False
            raise
        return True

    def service(self, sid: str) -> Service | None:
        """Return the Proxy service `sid`, None when there is none."""
        return self._found(f"read Proxy service {sid}", lambda: _service(self._rest.proxy.v1.services(sid).fetch()))

    def service_named(self, unique_name: str) -> Service | None:
        """Return the Proxy service of that name, None when there is none. Twilio itself finds them by SID only."""
        with self._told("list the account's Proxy services"):
            found = self._rest.proxy.v1.services.stream(page_size=PAGE_SIZE)
            return next((_service(service) for service in found if service.unique_name == unique_name), None)

    def create_service(self, settings: dict[str, Any]) -> Service:
        """Create a Proxy service; `settings` are named as in the package."""
        with self._told(f"create Proxy service {settings['unique_name']!r}"):
            return _service(self._rest.proxy.v1.services.create(**settings))

    def update_service(self, sid: str, settings: dict[str, Any]) -> Service:
        """Set `settings`, named as in the package, on the Proxy service `sid`; an empty text clears a URL."""
        with self._told(f"update Proxy service {sid}"):
            return _service(self._rest.proxy.v1.services(sid).update(**settings))

    def delete_service(self, sid: str) -> None:
        """Delete a Proxy service, with its sessions and interactions; well if there is none."""
        with self._tolerant(f"delete Proxy service {sid}"):
            self._rest.proxy.v1.services(sid).delete()

    def open_sessions(self, service_sid: str, *, look_at: int) -> int:
        """Count how many of the service's `look_at` latest sessions are not closed; 0 when there is no such service."""
        count = 0
        with self._tolerant(f"list the sessions of Proxy service {service_sid}"):
            for session in islice(
                self._rest.proxy.v1.services(service_sid).sessions.stream(page_size=PAGE_SIZE), look_at
            ):
                count += session.status in {"open", "in-progress"}
        return count

    def is_unused(self, service_sid: str) -> bool:
        """Tell whether a Proxy service has neither a number nor a session."""
        with self._told(f"read Proxy service {service_sid}"):
            service = self._rest.proxy.v1.services(service_sid)
            return not (service.phone_numbers.list(limit=1) or service.sessions.list(limit=1))

    # The numbers of a Proxy service

    def pool(self, service_sid: str) -> list[PoolNumber] | None:
        """Return every number of the service's pool, None when there is no such service."""
        try:
            with self._told(f"list the numbers of Proxy service {service_sid}"):
                numbers = self._rest.proxy.v1.services(service_sid).phone_numbers.stream(page_size=PAGE_SIZE)
                return [_pool_number(number) for number in numbers]
        except TwilioError as error:
            if error.gone:
                return None
            raise

    def pool_number(self, service_sid: str, sid: str) -> PoolNumber | None:
        """Return one number of the pool, None when it is not in it."""
        return self._found(
            f"read number {sid} of Proxy service {service_sid}",
            lambda: _pool_number(self._rest.proxy.v1.services(service_sid).phone_numbers(sid).fetch()),
        )

    def add(self, service_sid: str, sid: str, *, reserved: bool) -> PoolNumber:
        """Put the account's number `sid` into the pool; well if it is there already, say after a lost answer."""
        for last in (False, False, True):
            try:
                with self._told(f"add {sid} to Proxy service {service_sid}"):
                    numbers = self._rest.proxy.v1.services(service_sid).phone_numbers
                    return _pool_number(numbers.create(sid=sid, is_reserved=reserved))
            except TwilioError as error:
                there = self.pool_number(service_sid, sid)
                if there is not None:
                    return (
                        there if there.reserved == reserved else self.set_reserved(service_sid, sid, reserved=reserved)
                    )
                if last or not error.lost:
                    raise
        raise AssertionError  # the last round returns or raises

    def set_reserved(self, service_sid: str, sid: str, *, reserved: bool) -> PoolNumber:
        """Reserve a number of the pool (never picked by Proxy itself), or free it."""
        with self._told(f"{'reserve' if reserved else 'free'} {sid} in Proxy service {service_sid}"):
            return _pool_number(
                self._rest.proxy.v1.services(service_sid).phone_numbers(sid).update(is_reserved=reserved)
            )

    def remove(self, service_sid: str, sid: str) -> None:
        """Take a number out of the pool; the account keeps it. Well if it is not in it."""
        with self._tolerant(f"take {sid} out of Proxy service {service_sid}"):
            self._rest.proxy.v1.services(service_sid).phone_numbers(sid).delete()

    # The account's own numbers

    def owned(self, sid: str) -> bool:
        """Tell whether the account owns the number `sid`."""
        return self._found(f"read number {sid}", self._rest.incoming_phone_numbers(sid).fetch) is not None

    def owned_numbers(
        self, *, phone_number: str | None = None, friendly_name: str | None = None
    ) -> Iterator[OwnedNumber]:
        """Yield the account's numbers: all of them, or those of exactly that number or friendly name."""
        filters = {"phone_number": phone_number, "friendly_name": friendly_name}
        given = {key: value for key, value in filters.items() if value is not None}
        with self._told("list the account's phone numbers"):
            for number in self._rest.incoming_phone_numbers.stream(page_size=PAGE_SIZE, **given):
                # Twilio takes parts and wildcards as filters: hold each answer against the exact value.
                if all(getattr(number, key) == value for key, value in given.items()):
                    yield OwnedNumber(number.sid, number.phone_number)

    def lines(self) -> Iterator[LineNumber]:
        """Yield all numbers of the account with where their calls and texts go."""
        with self._told("list the account's phone numbers"):
            for number in self._rest.incoming_phone_numbers.stream(page_size=PAGE_SIZE):
                yield _line_number(number)

    def line(self, sid: str) -> LineNumber | None:
        """Return one number of the account, None when it does not own it."""
        return self._found(f"read number {sid}", lambda: _line_number(self._rest.incoming_phone_numbers(sid).fetch()))

    def point(self, sid: str, urls: Mapping[str, str]) -> LineNumber:
        """Set URLs of a number, named as the inputs of NumberWebhooks; all are asked by POST."""
        settings: dict[str, Any] = {}
        for name, url in urls.items():
            settings[_URL_SETTINGS[name]] = url
            settings[f"{_URL_SETTINGS[name].removesuffix('_url')}_method"] = "POST"
        with self._told(f"point number {sid} at its webhooks"):
            return _line_number(self._rest.incoming_phone_numbers(sid).update(**settings))

    def unpoint(self, sid: str, urls: Collection[str]) -> None:
        """Empty those URLs of a number that are among these, marked as reserved or not. Well if it is gone."""
        number = self.line(sid)
        found = number.urls if number else {}
        if emptied := {name: "" for name, url in found.items() if url and url.removesuffix(RESERVED) in urls}:
            self.point(sid, emptied)

    def for_sale(self, country: str, kind: str, filters: dict[str, Any]) -> list[str]:
        """Return E.164 numbers of `kind` (local, mobile, toll_free) for sale; `filters` are named as in the package."""
        with self._told(f"search {kind.replace('_', '-')} numbers of {country}"):
            try:
                offers = getattr(self._rest.available_phone_numbers(country), kind).list(limit=50, **filters)
            except TwilioRestException as error:
                if error.status == 404:
                    return []
                raise
            return [offer.phone_number for offer in offers]

    def buy(self, phone_number: str, *, friendly_name: str, **more: str) -> OwnedNumber:
        """Buy that number, which costs money at once. After a lost answer it is looked up before it is tried again."""
        for last in (False, False, True):
            try:
                with self._told(f"buy {mask(phone_number)}"):
                    bought = self._rest.incoming_phone_numbers.create(
                        phone_number=phone_number, friendly_name=friendly_name, **more
                    )
                    return OwnedNumber(bought.sid, bought.phone_number)
            except TwilioError as error:
                if not error.lost:
                    raise
                mine = next(self.owned_numbers(phone_number=phone_number), None)
                if mine is not None:
                    return mine
                if last:
                    raise
        raise AssertionError  # the last round returns or raises

    def name(self, sid: str, friendly_name: str) -> None:
        """Give the account's number `sid` that friendly name."""
        with self._told(f"name number {sid}"):
            self._rest.incoming_phone_numbers(sid).update(friendly_name=friendly_name)

    def release(self, sid: str) -> None:
        """Give the number `sid` back to Twilio, for good; well if the account does not own it."""
        with self._tolerant(f"release {sid}"):
            self._rest.incoming_phone_numbers(sid).delete()

    # Messaging Services

    def messaging_service(self, sid: str) -> MessagingServiceState | None:
        """Return a Messaging Service, None when there is none."""
        return self._found(
            f"read Messaging Service {sid}", lambda: _messaging_service(self._rest.messaging.v1.services(sid).fetch())
        )

    def messaging_services_named(self, friendly_name: str) -> list[MessagingServiceState]:
        """Return the Messaging Services of this name: Twilio lets there be several."""
        with self._told("list the account's Messaging Services"):
            found = self._rest.messaging.v1.services.stream(page_size=PAGE_SIZE)
            return [_messaging_service(each) for each in found if each.friendly_name == friendly_name]

    def create_messaging_service(self, settings: Mapping[str, Any]) -> MessagingServiceState:
        """Create a Messaging Service."""
        with self._told(f"create Messaging Service {settings['friendly_name']!r}"):
            return _messaging_service(self._rest.messaging.v1.services.create(**settings))

    def update_messaging_service(self, sid: str, settings: Mapping[str, Any]) -> MessagingServiceState:
        """Change a Messaging Service."""
        with self._told(f"update Messaging Service {sid}"):
            return _messaging_service(self._rest.messaging.v1.services(sid).update(**settings))

    def delete_messaging_service(self, sid: str) -> None:
        """Delete a Messaging Service; well if it is gone."""
        with self._tolerant(f"delete Messaging Service {sid}"):
            self._rest.messaging.v1.services(sid).delete()

    def messaging_numbers(self, sid: str) -> list[str]:
        """Return the SIDs of the numbers of a Messaging Service."""
        with self._told(f"list the numbers of Messaging Service {sid}"):
            return [
                each.sid for each in self._rest.messaging.v1.services(sid).phone_numbers.stream(page_size=PAGE_SIZE)
            ]

    def add_to_messaging(self, sid: str, number_sid: str) -> None:
        """Put a number into a Messaging Service; well if it is there."""
        try:
            with self._told(f"add number {number_sid} to Messaging Service {sid}"):
                self._rest.messaging.v1.services(sid).phone_numbers.create(phone_number_sid=number_sid)
        except TwilioError as error:
            if error.code != ALREADY_IN_SERVICE:
                raise

    def take_from_messaging(self, sid: str, number_sid: str) -> None:
        """Take a number out of a Messaging Service; well if it is not there."""
        with self._tolerant(f"take number {number_sid} out of Messaging Service {sid}"):
            self._rest.messaging.v1.services(sid).phone_numbers(number_sid).delete()

    def campaign_status(self, sid: str) -> str:
        """Return the status of the A2P campaign of a Messaging Service (VERIFIED when it may send), or `none`."""
        with self._told(f"read the A2P campaign of Messaging Service {sid}"):
            found = self._rest.messaging.v1.services(sid).us_app_to_person.list(limit=1)
        return str(found[0].campaign_status) if found else "none"

    # Event Streams

    def event_sinks(self) -> list[EventSinkState]:
        """Return the sinks of the account."""
        with self._told("list the account's event sinks"):
            return [_event_sink(each) for each in self._rest.events.v1.sinks.stream(page_size=PAGE_SIZE)]

    def event_sink(self, sid: str) -> EventSinkState | None:
        """Return a sink, None when there is none."""
        return self._found(f"read event sink {sid}", lambda: _event_sink(self._rest.events.v1.sinks(sid).fetch()))

    def create_event_sink(self, description: str, destination: str) -> EventSinkState:
        """Create a webhook sink that is told one event at a time."""
        configuration = {"destination": destination, "method": "POST", "batch_events": False}
        with self._told("create the event sink"):
            return _event_sink(
                self._rest.events.v1.sinks.create(
                    description=description, sink_configuration=configuration, sink_type="webhook"
                )
            )

    def describe_event_sink(self, sid: str, description: str) -> EventSinkState:
        """Describe a sink: nothing else of it can be changed."""
        with self._told(f"update event sink {sid}"):
            return _event_sink(self._rest.events.v1.sinks(sid).update(description=description))

    def delete_event_sink(self, sid: str) -> None:
        """Delete a sink; well if it is gone."""
        with self._tolerant(f"delete event sink {sid}"):
            self._rest.events.v1.sinks(sid).delete()

    def subscriptions(self, sink_sid: str) -> list[tuple[str, list[str]]]:
        """Return the subscriptions of a sink by their SIDs, each with its types in order."""
        with self._told(f"list the subscriptions of event sink {sink_sid}"):
            found = self._rest.events.v1.subscriptions
            return [
                (each.sid, sorted(one.type for one in found(each.sid).subscribed_events.list()))
                for each in found.stream(sink_sid=sink_sid, page_size=PAGE_SIZE)
            ]

    def subscribe(self, sink_sid: str, description: str, types: Collection[str]) -> None:
        """Let a sink be told of these types of events."""
        with self._told(f"subscribe event sink {sink_sid}"):
            self._rest.events.v1.subscriptions.create(
                description=description, sink_sid=sink_sid, types=[{"type": each} for each in types]
            )

    def unsubscribe(self, sid: str) -> None:
        """Delete a subscription; well if it is gone."""
        with self._tolerant(f"delete subscription {sid}"):
            self._rest.events.v1.subscriptions(sid).delete()

    # The webhooks' configuration

    @cached_property
    def webhook_rules(self) -> WebhookRules:
        """The account's webhook Settings and Rules."""
        from infra.twilio.webhook_rules import WebhookRules  # noqa: PLC0415 - which needs what is in here

        return WebhookRules(self._rest, self._told, self._found, self.clock)

    def _found(self, doing: str, read: Callable[[], _T]) -> _T | None:
        """Return what is read, None when it is gone."""
        try:
            with self._told(doing):
                return read()
        except TwilioError as error:
            if error.gone:
                return None
            raise

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Turn whatever the package raises into a TwilioError that says what was being done."""
        try:
            yield
        except TwilioRestException as error:
            raise TwilioError(
                doing,
                f"Twilio answered {error.status}{_code(error.code, error.status)}: {_sentence(error.msg)}",
                status=error.status,
                code=error.code,
            ) from None
        except TwilioServiceException as error:
            raise TwilioError(
                doing,
                f"Twilio answered {error.status}{_code(error.code, error.status)}: {_sentence(_problem(error))}",
                status=error.status,
                code=error.code,
            ) from None
        except TwilioException as error:
            # A refused page of a list: no status of its own, the answer comes along as the second argument.
            status, code, text = _refused_page(error)
            raise TwilioError(
                doing, f"Twilio answered {status}{_code(code, status)}: {text}", status=status, code=code
            ) from None
        except requests.RequestException as error:
            where = self.endpoint or "api.twilio.com"
            way_out = (
                "start the local cloud with `parley local up`" if self.endpoint else "check the network and try again"
            )
            kind = "did not answer in time" if isinstance(error, requests.Timeout) else "cannot be reached"
            raise TwilioError(doing, f"{where} {kind}; {way_out}", status=None) from None

    @contextmanager
    def _tolerant(self, doing: str) -> Iterator[None]:
        """As `_told`, but what is gone already is well."""
        try:
            with self._told(doing):
                yield
        except TwilioError as error:
            if not error.gone:
                raise


def _messaging_service(service: Any) -> MessagingServiceState:
    settings = {
        "friendly_name": service.friendly_name,
        "use_inbound_webhook_on_number": bool(service.use_inbound_webhook_on_number),
        "usecase": service.usecase or "undeclared",
    }
    return MessagingServiceState(service.sid, service.account_sid, settings)


def _event_sink(sink: Any) -> EventSinkState:
    configuration = sink.sink_configuration or {}
    return EventSinkState(
        sink.sid, sink.description or "", str(configuration.get("destination", "")), str(sink.status or "")
    )


def _service(service: Any) -> Service:
    return Service(
        sid=service.sid,
        account_sid=service.account_sid,
        url=service.url,
        unique_name=service.unique_name,
        default_ttl=service.default_ttl or 0,
        callback_url=service.callback_url or None,
        intercept_callback_url=service.intercept_callback_url or None,
        out_of_session_callback_url=service.out_of_session_callback_url or None,
        geo_match_level=service.geo_match_level or "country",
        number_selection_behavior=service.number_selection_behavior or "prefer-sticky",
        chat_instance_sid=service.chat_instance_sid or None,
    )


def _pool_number(number: Any) -> PoolNumber:
    # Proxy spells them lower case with extras such as fax_inbound, api.v2010 partly upper case.
    able = {name.lower() for name, value in (number.capabilities or {}).items() if value}
    return PoolNumber(
        sid=number.sid,
        iso_country=number.iso_country or "",
        capabilities=tuple(sorted({kind for kind in ("mms", "sms", "voice") if _able(kind, able)})),
        reserved=bool(number.is_reserved),
        in_use=number.in_use or 0,
    )


_URL_SETTINGS: Final[Mapping[str, str]] = {
    "voiceUrl": "voice_url",
    "voiceFallbackUrl": "voice_fallback_url",
    "statusCallback": "status_callback",
    "smsUrl": "sms_url",
    "smsFallbackUrl": "sms_fallback_url",
}
"""Input of NumberWebhooks -> the package's name of it."""
_PROXY_INTAKE: Final = "https://webhooks.twilio.com/"
"""Where the URLs of a number point that is in a Proxy service."""


def _line_number(number: Any) -> LineNumber:
    able = {name.lower() for name, value in (number.capabilities or {}).items() if value}
    urls = {name: getattr(number, setting) or "" for name, setting in _URL_SETTINGS.items()}
    overriding = ("voice_application_sid", "sms_application_sid", "trunk_sid")
    region = phonenumbers.region_code_for_number(phonenumbers.parse(number.phone_number))
    return LineNumber(
        sid=number.sid,
        iso_country=region or "",
        capabilities=tuple(sorted({kind for kind in ("mms", "sms", "voice") if _able(kind, able)})),
        urls=urls,
        in_proxy=any(
            urls[name].startswith(_PROXY_INTAKE) and "/Proxy/" in urls[name] for name in ("voiceUrl", "smsUrl")
        ),
        overridden=any(getattr(number, name, None) for name in overriding),
    )


def _able(kind: str, able: set[str]) -> bool:
    return kind in able or f"{kind}_inbound" in able or f"{kind}_outbound" in able


def _code(code: int | None, status: int | None) -> str:
    return f" (code {code})" if code and code != status else ""


def _problem(error: TwilioServiceException) -> str:
    """Return what a problem document says (RFC 9457): `detail` names the field."""
    return ": ".join(filter(None, (error.title, error.detail)))


def _sentence(text: str) -> str:
    return re.sub(r"^Unable to (?:fetch|create|update|delete) record: ", "", text or "no reason given").rstrip(". ")


def _refused_page(error: TwilioException) -> tuple[int | None, int | None, str]:
    answer = error.args[1] if len(error.args) > 1 else None
    status = getattr(answer, "status_code", None)
    try:
        body = json.loads(getattr(answer, "text", ""))
        return status, body.get("code"), _sentence(str(body.get("message")))
    except (ValueError, AttributeError):
        return status, None, "no reason given"
