"""What keeps calls and texts from the numbers of a stack, or takes them past its consent check.

Numbers are named by their SIDs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from parley.adapters.twilio_api import API, PROXY

from infra.twilio.findings import Finding, Reads, Word, asked, present

MESSAGING: Final = "messaging.twilio.com"

_TOLL_FREE = re.compile(r"\+18(00|33|44|55|66|77|88)")
"""Toll-free numbers of the North American plan: they are verified, not registered as a campaign."""

_WINNING: Final = ("voice_application_sid", "sms_application_sid", "trunk_sid")
"""What wins over the URLs of a number (https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource)."""

_NEEDED: Final = {"voice": "voice", "sms": "sms"}
"""What a number must be able to do for a channel."""


def examine(
    twilio: Reads, service: str, *, channels: Collection[str], account: str = "", gate: str = ""
) -> Iterator[Finding]:
    """Yield what there is to say about the numbers of a Proxy service, or of an `account`, those that ask `gate`.

    Without a `gate` they are all numbers of the account.

    Raises CarrierError when the numbers themselves cannot be listed.
    """
    numbers = pool(twilio, service, account=account, gate=gate)
    whose = "the gate" if account else "Proxy"
    yield asked("us-text-registration", lambda: _registration(twilio, numbers, whose))
    yield asked("toll-free-verification", lambda: _verification(twilio, numbers))
    if account:
        yield _overrides(numbers)
        yield _capabilities(numbers, channels)
        yield _emergency(numbers)


def pool(twilio: Reads, service: str, *, account: str = "", gate: str = "") -> list[Mapping[str, Any]]:
    """Return the numbers of a Proxy service, or of an `account`, as Twilio tells them. Raises CarrierError."""
    return _pointing(twilio, account, gate) if account else _pool(twilio, service)


def _pool(twilio: Reads, service: str) -> list[Mapping[str, Any]]:
    return list(twilio.entries("list-pool", PROXY, f"/v1/Services/{service}/PhoneNumbers", {}, "phone_numbers"))


def _pointing(twilio: Reads, account: str, gate: str) -> list[Mapping[str, Any]]:
    """Return the numbers of which a URL is the gate's: those that are meant to be in the pool; all without a gate."""
    path, ours = f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json", gate.rstrip("/") + "/"
    found = twilio.entries("list-numbers", API, path, {"PageSize": "1000"}, "incoming_phone_numbers")
    return [
        each
        for each in found
        if not gate or any(str(each.get(name)).startswith(ours) for name in ("voice_url", "sms_url"))
    ]


def _is_toll_free(number: Mapping[str, Any]) -> bool:
    return _TOLL_FREE.match(str(number.get("phone_number"))) is not None


def _is_local(number: Mapping[str, Any]) -> bool:
    """Tell whether a number is of the United States, and no toll-free one."""
    country = number.get("iso_country") or ("US" if str(number.get("phone_number")).startswith("+1") else "")
    return country == "US" and not _is_toll_free(number)


def _named(sids: Collection[str]) -> str:
    return ", ".join(sorted(sids))


def _registration(twilio: Reads, numbers: Sequence[Mapping[str, Any]], whose: str) -> Finding:
    """https://www.twilio.com/docs/messaging/compliance/a2p-10dlc: texts from unregistered US numbers fail (30034)."""
    trap = "us-text-registration"
    local = {str(each["sid"]) for each in numbers if _is_local(each)}
    if not local:
        return Finding(trap, Word.FINE, "no number of the pool has to be registered for texts in the United States")
    campaigns = present(lambda: _campaigns(twilio))
    if campaigns is None:
        what = f"whether the {len(local)} US numbers of the pool are registered: this Twilio has no list of campaigns"
        return Finding(trap, Word.BY_HAND, what, "see that each is in a Messaging Service with a verified campaign")
    registered, diverted = campaigns
    if taken := local & diverted:
        return Finding(
            trap,
            Word.TRAP,
            f"a Messaging Service takes the texts to {_named(taken)} away from {whose} and its consent check",
            "let it defer to the sender's webhook (UseInboundWebhookOnNumber)",
        )
    if missing := local - registered:
        return Finding(
            trap,
            Word.TRAP,
            f"{len(missing)} of {len(local)} US numbers have no verified campaign, and carriers block their texts"
            f" (30034): {_named(missing)}",
            "add each to a Messaging Service whose A2P 10DLC campaign is verified (use case PROXY)",
        )
    return Finding(trap, Word.FINE, f"all {len(local)} US numbers of the pool are in a verified campaign")


def _campaigns(twilio: Reads) -> tuple[set[str], set[str]]:
    """Return the SIDs of the numbers with a verified campaign, and of those whose texts a service takes for itself."""
    registered: set[str] = set()
    diverted: set[str] = set()
    for each in twilio.entries("list-messaging-services", MESSAGING, "/v1/Services", {}, "services"):
        root = f"/v1/Services/{each['sid']}"
        numbers = {
            one["sid"] for one in twilio.entries("list-senders", MESSAGING, f"{root}/PhoneNumbers", {}, "phone_numbers")
        }
        campaigns = twilio.entries("list-campaigns", MESSAGING, f"{root}/Compliance/Usa2p", {}, "compliance")
        if any(str(one.get("campaign_status")).upper() == "VERIFIED" for one in campaigns):
            registered |= numbers
        if not each.get("use_inbound_webhook_on_number"):
            diverted |= numbers
    return registered, diverted


def _verification(twilio: Reads, numbers: Sequence[Mapping[str, Any]]) -> Finding:
    """https://www.twilio.com/docs/messaging/api/tollfree-verification-resource: unverified, texts are blocked."""
    trap = "toll-free-verification"
    free = {str(each["sid"]) for each in numbers if _is_toll_free(each)}
    if not free:
        return Finding(trap, Word.FINE, "no number of the pool is toll-free")
    answers = present(
        lambda: list(twilio.entries("list-verifications", MESSAGING, "/v1/Tollfree/Verifications", {}, "verifications"))
    )
    if answers is None:
        what = f"whether the {len(free)} toll-free numbers are verified: this Twilio has no list of verifications"
        return Finding(trap, Word.BY_HAND, what, "see that each has an approved toll-free verification")
    verified = {str(each.get("tollfree_phone_number_sid")) for each in answers if each["status"] == "TWILIO_APPROVED"}
    if missing := free - verified:
        return Finding(
            trap,
            Word.TRAP,
            f"{len(missing)} of {len(free)} toll-free numbers are not verified, and carriers block their texts (30032):"
            f" {_named(missing)}",
            "send a toll-free verification for each (Twilio Console, Phone Numbers, Regulatory Compliance)",
        )
    return Finding(trap, Word.FINE, f"all {len(free)} toll-free numbers of the pool are verified")


def _overrides(numbers: Sequence[Mapping[str, Any]]) -> Finding:
    trap = "number-overrides"
    if taken := {str(each["sid"]) for each in numbers if any(each.get(name) for name in _WINNING)}:
        return Finding(
            trap,
            Word.TRAP,
            f"an application or a trunk takes the calls or texts of {_named(taken)} past the gate",
            "take VoiceApplicationSid, SmsApplicationSid and TrunkSid off these numbers",
        )
    return Finding(trap, Word.FINE, f"nothing wins over the webhooks of the {len(numbers)} numbers of the pool")


def _capabilities(numbers: Sequence[Mapping[str, Any]], channels: Collection[str]) -> Finding:
    trap = "number-capabilities"
    needed = {able for channel, able in _NEEDED.items() if channel in channels}
    lacking = {
        str(each["sid"])
        for each in numbers
        if not all({name.lower(): able for name, able in each["capabilities"].items()}.get(one) for one in needed)
    }
    if lacking and len(lacking) == len(numbers):
        return Finding(
            trap,
            Word.TRAP,
            f"none of the {len(numbers)} numbers of the pool is capable of {' and '.join(sorted(needed))}: no session"
            " that needs it can be opened",
            "add numbers that are, or open sessions with a `mode` that needs less",
        )
    if lacking:
        what = (
            f"whether sessions need {' and '.join(sorted(needed))}, of which these are not capable: {_named(lacking)}"
        )
        return Finding(trap, Word.BY_HAND, what, "they serve only sessions whose `mode` needs less")
    return Finding(trap, Word.FINE, "every number of the pool is capable of what the stack's channels need")


def _emergency(numbers: Sequence[Mapping[str, Any]]) -> Finding:
    """https://www.twilio.com/docs/voice/tutorials/emergency-calling-for-programmable-voice."""
    trap = "emergency-address"
    without = [each for each in numbers if _is_local(each) and not each.get("emergency_address_sid")]
    if not without:
        return Finding(trap, Word.FINE, "no US number of the pool lacks an emergency address")
    return Finding(
        trap,
        Word.BY_HAND,
        f"whether anything but this stack calls from its numbers: {len(without)} US numbers have no emergency address,"
        " and the stack connects no emergency call",
        "tell people to call 911 from their own phone; register an address where anything else calls from them",
    )
