"""Phone numbers: countries and areas, the numbers for sale, and the account's IncomingPhoneNumbers.

Only numbers that regulators keep for fiction are for sale or owned from the start: NANP 555-0100..0199 and Ofcom's
drama ranges (https://www.ofcom.org.uk/phones-and-broadband/phone-numbers/numbers-for-drama).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from local.twilio.errors import TwilioError
from local.twilio.state import OwnedNumber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.twilio.state import State

E164: Final = re.compile(r"\+[1-9]\d{6,14}")
OWNED_FROM_THE_START: Final = (
    ("+12125550140", "US"),
    ("+12125550141", "US"),
    ("+12125550142", "US"),
    ("+14155550143", "US"),
    ("+447700900140", "GB"),
    ("+447700900141", "GB"),
)
_TWO_DIGIT_CODES: Final = frozenset(
    str(code)
    for codes in (
        (20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 81, 82, 84, 86, 98),
        range(43, 50),
        range(51, 59),
        range(60, 67),
        range(90, 96),
    )
    for code in codes
)
"""Country calling codes of two digits; `1` and `7` have one, all others three."""
_OVERLAYS: Final = tuple(
    frozenset(group.split())
    for group in (
        "212 332 646 917",
        "347 718 917 929",
        "213 323 738",
        "310 424",
        "312 773 872",
        "415 628",
        "408 669",
        "510 341",
        "214 469 945 972",
        "281 346 713 832",
        "404 470 678 770 943",
        "305 645 786",
        "202 771",
        "617 857",
        "215 267 445",
        "206 564",
        "416 437 647",
        "514 438",
        "604 236 778 672",
    )
)
"""Area codes that serve one place, enough of them for a demonstration of `extended-area-code`."""

URL_SETTINGS: Final = {
    "VoiceUrl": "",
    "VoiceMethod": "POST",
    "VoiceFallbackUrl": "",
    "VoiceFallbackMethod": "POST",
    "VoiceApplicationSid": "",
    "VoiceReceiveMode": "voice",
    "SmsUrl": "",
    "SmsMethod": "POST",
    "SmsFallbackUrl": "",
    "SmsFallbackMethod": "POST",
    "SmsApplicationSid": "",
    "StatusCallback": "",
    "StatusCallbackMethod": "POST",
    "TrunkSid": None,
    "EmergencyStatus": "Inactive",
    "EmergencyAddressSid": None,
    "AddressSid": None,
    "IdentitySid": None,
    "BundleSid": None,
}
"""The settings of an IncomingPhoneNumber and what they are on a new one."""


def number_sid(phone_number: str) -> str:
    """Return the SID that this emulator gives a number: known from the number alone, in every home."""
    return "PN" + hashlib.sha256(phone_number.encode()).hexdigest()[:32]


def is_e164(phone_number: str) -> bool:
    """Tell whether a text is a phone number in E.164 form."""
    return E164.fullmatch(phone_number) is not None


def calling_code(phone_number: str) -> str:
    """Return the country calling code (ITU-T E.164) of a number: `1`, `44`, `353`."""
    digits = phone_number.removeprefix("+")
    if digits[:1] in {"1", "7"}:
        return digits[0]
    return digits[:2] if digits[:2] in _TWO_DIGIT_CODES else digits[:3]


def matches_area(level: str, identifier: str, phone_number: str) -> bool:
    """Tell whether a pool number is near enough to a participant under a Service's GeoMatchLevel.

    Area levels only matter in North America; elsewhere the country is enough
    (https://www.twilio.com/docs/proxy/understanding-phone-number-management).
    """
    if level == "country" or calling_code(identifier) != "1":
        return True
    wanted, offered = identifier[2:5], phone_number[2:5]
    if wanted == offered:
        return True
    return level == "extended-area-code" and any(wanted in group and offered in group for group in _OVERLAYS)


class ForSale(NamedTuple):
    """A number that can be bought."""

    phone_number: str
    iso_country: str
    number_type: str
    capabilities: dict[str, bool]
    address_requirements: str


class _Range(NamedTuple):
    """A fictional range: `prefixes` each followed by the numbers `first`..`last`."""

    iso_country: str
    number_type: str
    prefixes: tuple[str, ...]
    first: int
    last: int
    width: int
    capabilities: dict[str, bool]
    address_requirements: str


_NANP: Final = {"voice": True, "sms": True, "mms": True, "fax": False}
_US_AREAS: Final = ("212", "646", "415", "628", "312", "206", "617", "305", "202", "720")
_CA_AREAS: Final = ("416", "514", "604")
_RANGES: Final = (
    _Range("US", "local", tuple(f"+1{area}555" for area in _US_AREAS), 100, 199, 4, _NANP, "none"),
    _Range("US", "toll-free", ("+1800555", "+1888555"), 100, 199, 4, _NANP, "none"),
    _Range("CA", "local", tuple(f"+1{area}555" for area in _CA_AREAS), 100, 199, 4, _NANP, "none"),
    _Range("GB", "mobile", ("+447700900",), 0, 999, 3, {**_NANP, "mms": False}, "any"),
    _Range("GB", "local", ("+441632960",), 0, 999, 3, {**_NANP, "sms": False, "mms": False}, "any"),
)


def _stock(iso_country: str, number_type: str, area_code: str | None) -> Iterator[ForSale]:
    for block in _RANGES:
        if (block.iso_country, block.number_type) != (iso_country, number_type):
            continue
        prefixes = block.prefixes
        if area_code:
            prefixes = tuple(prefix for prefix in prefixes if prefix.startswith(f"+1{area_code}"))
        for prefix in prefixes:
            for line in range(block.first, block.last + 1):
                number = f"{prefix}{line:0{block.width}d}"
                yield ForSale(number, iso_country, number_type, dict(block.capabilities), block.address_requirements)


def _pattern(contains: str) -> re.Pattern[str]:
    """Return the pattern of a `Contains` or `PhoneNumber` filter: digits, and `*` for any one digit."""
    text = contains.strip().removeprefix("+")
    if not re.fullmatch(r"[0-9*]+", text):
        raise TwilioError(20001, "Contains and PhoneNumber take digits and *")
    return re.compile(text.replace("*", r"\d"))


def capable(capabilities: Mapping[str, bool], query: Mapping[str, str]) -> bool:
    """Tell whether capabilities satisfy `VoiceEnabled`, `SmsEnabled` and `MmsEnabled` of a search."""
    wanted = (("VoiceEnabled", "voice"), ("SmsEnabled", "sms"), ("MmsEnabled", "mms"))
    return all(query[name].lower() != "true" or capabilities[kind] for name, kind in wanted if name in query)


class Numbers:
    """The account's numbers and the shop. Not thread-safe: the caller holds the carrier's lock."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now

    def seed(self, account_sid: str) -> None:
        """Give an account the numbers that every emulator owns from the start."""
        for phone_number, iso_country in OWNED_FROM_THE_START:
            number_type = "mobile" if iso_country == "GB" else "local"
            self.own(account_sid, ForSale(phone_number, iso_country, number_type, dict(_NANP), "none"), {})

    def by_phone_number(self, phone_number: str) -> OwnedNumber | None:
        """Return the owned number with this E.164 form, of whichever account."""
        return self._state.numbers.get(number_sid(phone_number))

    def fetch(self, account_sid: str, sid: str) -> OwnedNumber:
        """Return an account's number. Raises TwilioError 20404."""
        number = self._state.numbers.get(sid)
        if number is None or number.account_sid != account_sid:
            raise TwilioError(20404, f"IncomingPhoneNumbers/{sid}")
        return number

    def search(self, iso_country: str, number_type: str, query: Mapping[str, str]) -> Iterator[ForSale]:
        """Yield the numbers for sale that satisfy AreaCode, Contains, the capabilities and the address filters."""
        pattern = _pattern(query["Contains"]) if query.get("Contains") else None
        without_address = query.get("ExcludeAllAddressRequired", "").lower() == "true"
        for offer in _stock(iso_country, number_type, query.get("AreaCode")):
            if number_sid(offer.phone_number) in self._state.numbers or not capable(offer.capabilities, query):
                continue
            if pattern is not None and not pattern.search(offer.phone_number):
                continue
            if without_address and offer.address_requirements != "none":
                continue
            yield offer

    def buy(self, account_sid: str, form: Mapping[str, str]) -> OwnedNumber:
        """Buy a number by PhoneNumber or AreaCode (US, Canada).

        Raises TwilioError 21421 (not a number), 21422 (not for sale, or somebody was faster), 21452 (none in that
        area), 21631 (the country wants an address).
        """
        phone_number, area_code = form.get("PhoneNumber", ""), form.get("AreaCode", "")
        if phone_number:
            if not is_e164(phone_number):
                raise TwilioError(21421, "PhoneNumber must be in E.164 form")
            stock = (offer for block in _RANGES for offer in _stock(block.iso_country, block.number_type, None))
            offer = next((offer for offer in stock if offer.phone_number == phone_number), None)
            if offer is None or number_sid(phone_number) in self._state.numbers:
                raise TwilioError(21422, "search AvailablePhoneNumbers and take one of those")
        elif area_code:
            found = (self.search(country, "local", {"AreaCode": area_code}) for country in ("US", "CA"))
            offer = next((offer for offers in found for offer in offers), None)
            if offer is None:
                raise TwilioError(21452, f"AreaCode {area_code}")
        else:
            raise TwilioError(20001, "PhoneNumber or AreaCode is required")
        if offer.address_requirements != "none" and not form.get("AddressSid"):
            raise TwilioError(21631, f"numbers of {offer.iso_country} need one")
        return self.own(account_sid, offer, form)

    def own(self, account_sid: str, offer: ForSale, form: Mapping[str, str]) -> OwnedNumber:
        """Make a number the account's, with the settings of `form`."""
        now = self._now()
        number = OwnedNumber(
            sid=number_sid(offer.phone_number),
            account_sid=account_sid,
            phone_number=offer.phone_number,
            iso_country=offer.iso_country,
            number_type=offer.number_type,
            capabilities=offer.capabilities,
            friendly_name=form.get("FriendlyName") or offer.phone_number,
            settings=dict(URL_SETTINGS),
            created=now,
            updated=now,
            seq=self._state.next_seq(),
        )
        self._state.numbers[number.sid] = number
        self._apply(number, form)
        return number

    def update(self, account_sid: str, sid: str, form: Mapping[str, str]) -> OwnedNumber:
        """Change an account's number; parameters that are not sent stay as they are."""
        number = self.fetch(account_sid, sid)
        number.friendly_name = form.get("FriendlyName", number.friendly_name)
        self._apply(number, form)
        number.updated = self._now()
        return number

    def _apply(self, number: OwnedNumber, form: Mapping[str, str]) -> None:
        for name in URL_SETTINGS:
            if name in form:
                number.settings[name] = form[name]

    def release(self, account_sid: str, sid: str) -> OwnedNumber:
        """Give a number back; it leaves its Proxy pool too."""
        number = self.fetch(account_sid, sid)
        del self._state.numbers[sid]
        return number

    def owned(self, account_sid: str, query: Mapping[str, str]) -> list[OwnedNumber]:
        """Return the account's numbers that satisfy the filters PhoneNumber (a part, with *) and FriendlyName."""
        pattern = _pattern(query["PhoneNumber"]) if query.get("PhoneNumber") else None
        return [
            number
            for number in self._state.numbers.values()
            if number.account_sid == account_sid
            and (pattern is None or pattern.search(number.phone_number))
            and (not query.get("FriendlyName") or number.friendly_name == query["FriendlyName"])
        ]


def describe(phone_number: str, *, sms: bool = True, voice: bool = True, mms: bool = True) -> ForSale:
    """Return a number description for one that a script wants to own, whether it is for sale or not."""
    countries = {"1": "US", "44": "GB"}
    capabilities = {"voice": voice, "sms": sms, "mms": mms, "fax": False}
    return ForSale(phone_number, countries.get(calling_code(phone_number), "ZZ"), "local", capabilities, "none")
