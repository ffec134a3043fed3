"""Numbers that people gave us, as the phonenumbers library knows numbers: strict E.164, and possible at all.

Only the functions that are handed plain numbers by the operator import this: the library takes a tenth of a second to
load, which the webhooks do not have. What Twilio names is a number already (`parley.core.identity.parse_e164`).
"""

from __future__ import annotations

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, PhoneNumberFormat

from parley.core.identity import IdentifierError, calling_code, parse_e164


def parse_number(text: object) -> str:
    """Return `text` if it is a number in strict E.164 form that its country's numbering plan makes possible.

    No country is guessed, nothing is repaired, and nobody is asked whether the number is in service.
    Raises IdentifierError, without the number in its message.
    """
    number = parse_e164(text)
    try:
        # No default country: what does not name its own is none.
        parsed = _without_prefix(number) or phonenumbers.parse(number, None)
    except NumberParseException:
        raise IdentifierError("is not a phone number: no country has this calling code") from None
    # The written form comes back unlike what was given where the plan knows it otherwise, such as with a trunk zero.
    written = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    if written != number or not phonenumbers.is_possible_number(parsed):
        raise IdentifierError("is not a possible phone number of its country: check its digits")
    return number


def _without_prefix(number: str) -> PhoneNumber | None:
    """Return a number whose digits after the calling code are plainly all its own, None where some may be a prefix.

    The library's parser takes any text, in four times as long; both come to the same for what is in E.164 form.
    """
    code = calling_code(number)
    national = number[len(code) + 1 :]
    region = phonenumbers.region_code_for_country_code(int(code))
    plan = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    if plan is None or national.startswith("0"):
        return None
    if plan.national_prefix_for_parsing and re.match(plan.national_prefix_for_parsing, national):
        return None
    return PhoneNumber(country_code=int(code), national_number=int(national))
