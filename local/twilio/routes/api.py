"""api.twilio.com/2010-04-01: accounts, numbers, messages, calls. Pages and dates in the old style."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from local.twilio import paging, render
from local.twilio.errors import TwilioError
from local.twilio.messaging import Attachment
from local.twilio.moments import Window
from local.twilio.numbers import is_e164
from local.twilio.payloads import API_VERSION
from local.twilio.routes import Answer, Exchange, Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.twilio.paging import Record
    from local.twilio.state import Account

ROUTES: Final = Routes("api")
_ROOT: Final = f"/{API_VERSION}/Accounts"
_ACCOUNT: Final = f"{_ROOT}/<account_sid>"
_TYPES: Final = {"Local": "local", "Mobile": "mobile", "TollFree": "toll-free"}


def _page(exchange: Exchange, key: str, records: Iterable[Record], show: Callable[[Record], dict[str, Any]]) -> Answer:
    return 200, paging.v2010(exchange.path, key, records, exchange.query, show)


def _scope(exchange: Exchange, account_sid: str) -> str:
    return exchange.carrier.scope(exchange.account, account_sid).sid


# Accounts -----------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_ROOT}.json")
def list_accounts(exchange: Exchange) -> Answer:
    """List the account and its subaccounts."""
    mine = exchange.account.sid
    accounts: list[Account] = [a for a in exchange.carrier.state.accounts.values() if mine in {a.sid, a.owner_sid}]
    return _page(exchange, "accounts", accounts, render.account)


@ROUTES.add("POST", f"{_ROOT}.json")
def create_account(exchange: Exchange) -> Answer:
    """Open a subaccount."""
    name = exchange.form.get("FriendlyName", "SubAccount")
    return 201, render.account(exchange.carrier.create_subaccount(exchange.account, name))


@ROUTES.add("GET", f"{_ACCOUNT}.json")
def fetch_account(exchange: Exchange, account_sid: str) -> Answer:
    """Fetch an account."""
    return 200, render.account(exchange.carrier.scope(exchange.account, account_sid))


# Numbers ------------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_ACCOUNT}/IncomingPhoneNumbers.json")
def list_numbers(exchange: Exchange, account_sid: str) -> Answer:
    """List the account's numbers by PhoneNumber (a part, with *) and FriendlyName."""
    owned = exchange.carrier.numbers.owned(_scope(exchange, account_sid), exchange.query)
    return _page(exchange, "incoming_phone_numbers", owned, render.owned_number)


@ROUTES.add("POST", f"{_ACCOUNT}/IncomingPhoneNumbers.json")
def buy_number(exchange: Exchange, account_sid: str) -> Answer:
    """Buy a number by PhoneNumber or AreaCode."""
    return 201, render.owned_number(exchange.carrier.numbers.buy(_scope(exchange, account_sid), exchange.form))


@ROUTES.add("GET", f"{_ACCOUNT}/IncomingPhoneNumbers/<sid>.json")
def fetch_number(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Fetch a number."""
    return 200, render.owned_number(exchange.carrier.numbers.fetch(_scope(exchange, account_sid), sid))


@ROUTES.add("POST", f"{_ACCOUNT}/IncomingPhoneNumbers/<sid>.json")
def update_number(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Change a number's settings."""
    number = exchange.carrier.numbers.update(_scope(exchange, account_sid), sid, exchange.form)
    return 200, render.owned_number(number)


@ROUTES.add("DELETE", f"{_ACCOUNT}/IncomingPhoneNumbers/<sid>.json")
def release_number(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Release a number; it leaves its Proxy pool too."""
    exchange.carrier.numbers.release(_scope(exchange, account_sid), sid)
    exchange.carrier.proxy.forget_number(sid)
    return 204, None


class _Listed(NamedTuple):
    """A number for sale with its place in the list."""

    seq: int
    body: dict[str, Any]


@ROUTES.add("GET", f"{_ACCOUNT}/AvailablePhoneNumbers/<country>/<kind>.json")
def search_numbers(exchange: Exchange, account_sid: str, country: str, kind: str) -> Answer:
    """Search numbers for sale by AreaCode, Contains, capabilities and address requirements."""
    _scope(exchange, account_sid)
    if kind not in _TYPES:
        raise TwilioError(20404, exchange.path)
    offers = exchange.carrier.numbers.search(country, _TYPES[kind], exchange.query)
    listed = [_Listed(-index, render.for_sale(offer)) for index, offer in enumerate(offers, 1)]
    return _page(exchange, "available_phone_numbers", listed, lambda entry: entry.body)


# Messages -----------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_ACCOUNT}/Messages.json")
def list_messages(exchange: Exchange, account_sid: str) -> Answer:
    """List messages by To, From and DateSent."""
    messages = exchange.carrier.messaging.search(_scope(exchange, account_sid), exchange.query)
    return _page(exchange, "messages", messages, render.message)


@ROUTES.add("POST", f"{_ACCOUNT}/Messages.json")
def send_message(exchange: Exchange, account_sid: str) -> Answer:
    """Send a message from an own number.

    Without a StatusCallback it is on the phone at once; with one, or with media, which are fetched first, it is
    brought there in the background, and the callback is told each status.
    """
    form, messaging = exchange.form, exchange.carrier.messaging
    media = [Attachment(url) for url in exchange.fields.getlist("MediaUrl")]
    sent = messaging.send(
        _scope(exchange, account_sid), form.get("From", ""), form.get("To", ""), form.get("Body", ""), media
    )
    body = render.message(sent)
    callback = form.get("StatusCallback", "")
    if callback or media:
        exchange.simulator.bring(sent, callback)
    else:
        messaging.advance(sent, "delivered")
    return 201, body


@ROUTES.add("GET", f"{_ACCOUNT}/Messages/<sid>.json")
def fetch_message(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Fetch a message."""
    return 200, render.message(exchange.carrier.messaging.fetch(_scope(exchange, account_sid), sid))


@ROUTES.add("POST", f"{_ACCOUNT}/Messages/<sid>.json")
def redact_message(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Redact a message with an empty Body."""
    messaging = exchange.carrier.messaging
    message = messaging.redact(messaging.fetch(_scope(exchange, account_sid), sid), exchange.form)
    return 200, render.message(message)


@ROUTES.add("DELETE", f"{_ACCOUNT}/Messages/<sid>.json")
def delete_message(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Delete a message with its media."""
    messaging = exchange.carrier.messaging
    messaging.delete(messaging.fetch(_scope(exchange, account_sid), sid))
    return 204, None


class _Medium(NamedTuple):
    """A media record with its place in the list."""

    seq: int
    body: dict[str, Any]


@ROUTES.add("GET", f"{_ACCOUNT}/Messages/<sid>/Media.json")
def list_media(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """List a message's media by DateCreated."""
    message = exchange.carrier.messaging.fetch(_scope(exchange, account_sid), sid)
    items = message.media if Window(exchange.query, "DateCreated").holds(message.created) else []
    places = [-int(item.get("place", index)) for index, item in enumerate(items, 1)]
    media = [_Medium(place, render.media(message, item)) for place, item in zip(places, items, strict=True)]
    return _page(exchange, "media_list", media, lambda medium: medium.body)


@ROUTES.add("GET", f"{_ACCOUNT}/Messages/<sid>/Media/<media_sid>.json")
def fetch_media(exchange: Exchange, account_sid: str, sid: str, media_sid: str) -> Answer:
    """Fetch the record of one media file."""
    messaging = exchange.carrier.messaging
    message = messaging.fetch(_scope(exchange, account_sid), sid)
    return 200, render.media(message, messaging.media(message, media_sid))


@ROUTES.add("GET", f"{_ACCOUNT}/Messages/<sid>/Media/<string(length=34):media_sid>")
def download_media(exchange: Exchange, account_sid: str, sid: str, media_sid: str) -> Answer:
    """Return one media file itself; the real one answers 307 to another host, where no login is asked for."""
    messaging = exchange.carrier.messaging
    return 200, messaging.content(messaging.fetch(_scope(exchange, account_sid), sid), media_sid)


@ROUTES.add("DELETE", f"{_ACCOUNT}/Messages/<sid>/Media/<media_sid>.json")
def delete_media(exchange: Exchange, account_sid: str, sid: str, media_sid: str) -> Answer:
    """Delete one media file."""
    messaging = exchange.carrier.messaging
    message = messaging.fetch(_scope(exchange, account_sid), sid)
    message.media.remove(messaging.media(message, media_sid))
    return 204, None


# Calls --------------------------------------------------------------------------------------------------------


@ROUTES.add("GET", f"{_ACCOUNT}/Calls.json")
def list_calls(exchange: Exchange, account_sid: str) -> Answer:
    """List calls by To, From, Status, ParentCallSid, StartTime and EndTime."""
    carrier = exchange.carrier
    calls = carrier.voice.search(_scope(exchange, account_sid), exchange.query)
    return _page(exchange, "calls", calls, lambda call: render.call(carrier, call))


@ROUTES.add("POST", f"{_ACCOUNT}/Calls.json")
def place_call(exchange: Exchange, account_sid: str) -> Answer:
    """Call a phone from an own number; it rings in the background, or in the script that the call is part of."""
    carrier, form = exchange.carrier, exchange.form
    account = _scope(exchange, account_sid)
    owned = carrier.numbers.by_phone_number(form.get("From", ""))
    if owned is None or owned.account_sid != account:
        raise TwilioError(21210, "From is no number of the account")
    if not is_e164(form.get("To", "")):
        raise TwilioError(21211, "To is no number in E.164 form")
    call = carrier.voice.place(account, form, owned.sid, exchange.fields.getlist("StatusCallbackEvent"))
    exchange.simulator.after_placing()
    return 201, render.call(carrier, call)


@ROUTES.add("GET", f"{_ACCOUNT}/Calls/<sid>.json")
def fetch_call(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Fetch a call."""
    call = exchange.carrier.voice.fetch(_scope(exchange, account_sid), sid)
    return 200, render.call(exchange.carrier, call)


@ROUTES.add("POST", f"{_ACCOUNT}/Calls/<sid>.json")
def update_call(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """End a live call with both its legs, or let it go on with another document."""
    voice = exchange.carrier.voice
    call = voice.fetch(_scope(exchange, account_sid), sid)
    exchange.simulator.after_end(voice.update(call, exchange.form))
    exchange.simulator.after_redirect(call)
    return 200, render.call(exchange.carrier, call)


@ROUTES.add("DELETE", f"{_ACCOUNT}/Calls/<sid>.json")
def delete_call(exchange: Exchange, account_sid: str, sid: str) -> Answer:
    """Delete a call record."""
    voice = exchange.carrier.voice
    voice.delete(voice.fetch(_scope(exchange, account_sid), sid))
    return 204, None
