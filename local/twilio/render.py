"""Records as the JSON bodies of Twilio's REST API: field names, dates and number-as-string habits per product."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import more_info
from local.twilio.moments import iso8601, rfc2822
from local.twilio.payloads import API_VERSION, resource_type, resource_url, segments

if TYPE_CHECKING:
    from local.twilio.carrier import Carrier
    from local.twilio.numbers import ForSale
    from local.twilio.state import (
        Account,
        Alert,
        Call,
        Interaction,
        Message,
        OwnedNumber,
        Participant,
        PoolNumber,
        Service,
        Session,
    )

PROXY: Final = "https://proxy.twilio.com/v1"


def account(record: Account) -> dict[str, Any]:
    """Return an Account of api.v2010."""
    uri = f"/{API_VERSION}/Accounts/{record.sid}"
    return {
        "sid": record.sid,
        "auth_token": record.auth_token,
        "friendly_name": record.friendly_name,
        "owner_account_sid": record.owner_sid,
        "status": "active",
        "type": "Full",
        "date_created": rfc2822(record.created),
        "date_updated": rfc2822(record.updated),
        "subresource_uris": {
            name: f"{uri}/{path}.json"
            for name, path in (
                ("calls", "Calls"),
                ("incoming_phone_numbers", "IncomingPhoneNumbers"),
                ("messages", "Messages"),
            )
        },
        "uri": f"{uri}.json",
    }


def owned_number(record: OwnedNumber) -> dict[str, Any]:
    """Return an IncomingPhoneNumber."""
    settings = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): value for name, value in record.settings.items()}
    return settings | {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "phone_number": record.phone_number,
        "friendly_name": record.friendly_name,
        "capabilities": dict(record.capabilities),
        "address_requirements": "none",
        "api_version": API_VERSION,
        "beta": False,
        "emergency_address_status": "unregistered",
        "origin": "twilio",
        "status": "in-use",
        "type": record.number_type,
        "voice_caller_id_lookup": False,
        "date_created": rfc2822(record.created),
        "date_updated": rfc2822(record.updated),
        "uri": f"/{API_VERSION}/Accounts/{record.account_sid}/IncomingPhoneNumbers/{record.sid}.json",
    }


def for_sale(offer: ForSale) -> dict[str, Any]:
    """Return a number of AvailablePhoneNumbers; its capability names are upper case there."""
    capabilities = {
        "voice": offer.capabilities["voice"],
        "SMS": offer.capabilities["sms"],
        "MMS": offer.capabilities["mms"],
    }
    return {
        "friendly_name": offer.phone_number,
        "phone_number": offer.phone_number,
        "lata": None,
        "locality": None,
        "rate_center": None,
        "latitude": None,
        "longitude": None,
        "region": None,
        "postal_code": None,
        "iso_country": offer.iso_country,
        "address_requirements": offer.address_requirements,
        "beta": False,
        "capabilities": capabilities,
    }


def message(record: Message) -> dict[str, Any]:
    """Return a Message: counts as strings, dates in RFC 2822."""
    uri = f"/{API_VERSION}/Accounts/{record.account_sid}/Messages/{record.sid}"
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "api_version": API_VERSION,
        "body": record.body,
        "direction": record.direction,
        "from": record.from_,
        "to": record.to,
        "status": record.status,
        "num_media": str(len(record.media)),
        "num_segments": str(segments(record.body)),
        "error_code": record.error_code,
        "error_message": None,
        "messaging_service_sid": None,
        "price": None,
        "price_unit": "USD",
        "date_created": rfc2822(record.created),
        "date_sent": rfc2822(record.created),
        "date_updated": rfc2822(record.updated),
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "uri": f"{uri}.json",
    }


def media(record: Message, item: dict[str, str]) -> dict[str, Any]:
    """Return one Media of a message."""
    return {
        "sid": item["sid"],
        "account_sid": record.account_sid,
        "parent_sid": record.sid,
        "content_type": item["content_type"],
        "date_created": rfc2822(record.created),
        "date_updated": rfc2822(record.created),
        "uri": f"/{API_VERSION}/Accounts/{record.account_sid}/Messages/{record.sid}/Media/{item['sid']}.json",
    }


def call(carrier: Carrier, record: Call) -> dict[str, Any]:
    """Return a Call: its duration is a string of whole seconds, and absent while it lasts."""
    uri = f"/{API_VERSION}/Accounts/{record.account_sid}/Calls/{record.sid}"
    duration = carrier.voice.duration(record)
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "answered_by": None,
        "api_version": API_VERSION,
        "caller_name": None,
        "direction": record.direction,
        "duration": None if duration is None else str(duration),
        "forwarded_from": None,
        "from": record.from_,
        "from_formatted": record.from_,
        "group_sid": None,
        "parent_call_sid": record.parent_call_sid,
        "phone_number_sid": record.phone_number_sid,
        "price": None,
        "price_unit": "USD",
        "queue_time": "0",
        "status": record.status,
        "to": record.to,
        "to_formatted": record.to,
        "trunk_sid": None,
        "date_created": rfc2822(record.created),
        "date_updated": rfc2822(record.updated),
        "start_time": rfc2822(record.started or record.created),
        "end_time": rfc2822(record.ended),
        "subresource_uris": {"recordings": f"{uri}/Recordings.json"},
        "uri": f"{uri}.json",
    }


def service(record: Service) -> dict[str, Any]:
    """Return a Proxy Service."""
    url = f"{PROXY}/Services/{record.sid}"
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "unique_name": record.unique_name,
        "chat_instance_sid": record.chat_instance_sid,
        "default_ttl": record.default_ttl or 0,
        "callback_url": record.callback_url,
        "intercept_callback_url": record.intercept_callback_url,
        "out_of_session_callback_url": record.out_of_session_callback_url,
        "geo_match_level": record.geo_match_level,
        "number_selection_behavior": record.number_selection_behavior,
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "url": url,
        "links": {"sessions": f"{url}/Sessions", "phone_numbers": f"{url}/PhoneNumbers"},
    }


def pool_number(carrier: Carrier, record: PoolNumber) -> dict[str, Any]:
    """Return a Proxy PhoneNumber."""
    owned = carrier.state.numbers[record.sid]
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "service_sid": record.service_sid,
        "phone_number": record.phone_number,
        "friendly_name": owned.friendly_name,
        "iso_country": owned.iso_country,
        "capabilities": dict(owned.capabilities),
        "is_reserved": record.is_reserved,
        "in_use": carrier.proxy.in_use(record),
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "url": f"{PROXY}/Services/{record.service_sid}/PhoneNumbers/{record.sid}",
    }


def session(carrier: Carrier, record: Session) -> dict[str, Any]:
    """Return a Proxy Session; `ttl` is the one in force, so its Service's default if it has none of its own."""
    url = f"{PROXY}/Services/{record.service_sid}/Sessions/{record.sid}"
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "service_sid": record.service_sid,
        "unique_name": record.unique_name,
        "mode": record.mode,
        "status": record.status,
        "closed_reason": record.closed_reason,
        "ttl": carrier.proxy.ttl(record),
        "date_expiry": iso8601(record.date_expiry),
        "date_started": iso8601(record.started),
        "date_ended": iso8601(record.ended),
        "date_last_interaction": iso8601(record.last_interaction),
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "url": url,
        "links": {"interactions": f"{url}/Interactions", "participants": f"{url}/Participants"},
    }


def participant(record: Participant) -> dict[str, Any]:
    """Return a Proxy Participant."""
    url = f"{PROXY}/Services/{record.service_sid}/Sessions/{record.session_sid}/Participants/{record.sid}"
    return {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "service_sid": record.service_sid,
        "session_sid": record.session_sid,
        "identifier": record.identifier,
        "proxy_identifier": record.proxy_identifier,
        "proxy_identifier_sid": record.proxy_identifier_sid,
        "friendly_name": record.friendly_name,
        "date_deleted": None,
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "url": url,
        "links": {"message_interactions": f"{url}/MessageInteractions"},
    }


def interaction(record: Interaction) -> dict[str, Any]:
    """Return a Proxy Interaction: the type is lower case here, capitalised in webhooks."""
    body: dict[str, Any] = {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "service_sid": record.service_sid,
        "session_sid": record.session_sid,
        "type": record.type,
        "data": record.data,
        "date_created": iso8601(record.created),
        "date_updated": iso8601(record.updated),
        "url": f"{PROXY}/Services/{record.service_sid}/Sessions/{record.session_sid}/Interactions/{record.sid}",
    }
    for side in ("inbound", "outbound"):
        sid = getattr(record, f"{side}_resource_sid")
        body[f"{side}_participant_sid"] = getattr(record, f"{side}_participant_sid")
        body[f"{side}_resource_sid"] = sid
        body[f"{side}_resource_status"] = getattr(record, f"{side}_resource_status")
        body[f"{side}_resource_type"] = resource_type(sid) if sid else None
        body[f"{side}_resource_url"] = resource_url(record.account_sid, sid)
    return body


def message_interaction(record: Interaction) -> dict[str, Any]:
    """Return a MessageInteraction: an Interaction that the API sent to one participant."""
    sessions = f"{PROXY}/Services/{record.service_sid}/Sessions/{record.session_sid}"
    return interaction(record) | {
        "participant_sid": record.participant_sid,
        "url": f"{sessions}/Participants/{record.participant_sid}/MessageInteractions/{record.sid}",
    }


def alert(record: Alert, *, whole: bool = False) -> dict[str, Any]:
    """Return a Monitor Alert; only a fetch (`whole`) has the request and response."""
    body: dict[str, Any] = {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "alert_text": record.text,
        "api_version": API_VERSION,
        "date_created": iso8601(record.generated),
        "date_generated": iso8601(record.generated),
        "date_updated": iso8601(record.generated),
        "error_code": str(record.error_code),
        "log_level": record.log_level,
        "more_info": more_info(record.error_code),
        "request_method": record.request_method,
        "request_url": record.request_url,
        "resource_sid": record.resource_sid,
        "service_sid": record.service_sid,
        "url": f"https://monitor.twilio.com/v1/Alerts/{record.sid}",
    }
    if whole:
        body |= {
            "request_headers": None,
            "request_variables": record.request_variables,
            "response_body": record.response_body,
            "response_headers": None,
        }
    return body
