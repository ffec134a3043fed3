"""What an account at Twilio does behind a stack's back, found before it matters: the traps that no deployment mends.

Each trap is a question to Twilio and what follows from the answer. What no API of Twilio's tells is listed too, to be
looked at by hand; it changes no exit code. Numbers are named by their SIDs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from parley.adapters.live_twilio import RECORDING_DEFAULT, is_switched_off
from parley.adapters.twilio_api import PROXY, VOICE
from parley.ports import CarrierError

from cli.errors import CANNOT_TELL, DRIFT, OK

MESSAGING: Final = "messaging.twilio.com"
INTELLIGENCE: Final = "intelligence.twilio.com"

_TOLL_FREE = re.compile(r"\+18(00|33|44|55|66|77|88)")
"""Toll-free numbers of the North American plan: they are verified, not registered as a campaign."""


class Word(StrEnum):
    """What is said about a trap."""

    FINE = "fine"
    TRAP = "trap"
    UNKNOWN = "unknown"  # Twilio did not answer, or not to these credentials
    BY_HAND = "by hand"  # no API tells


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one trap; `fix` is the way out, empty where nothing is to be done."""

    trap: str
    word: Word
    what: str
    fix: str = ""


class Reads(Protocol):
    """What is asked of Twilio. Both methods raise CarrierError."""

    def read(self, operation: str, host: str, path: str) -> dict[str, Any]:
        """Return one resource."""
        ...

    def entries(
        self, operation: str, host: str, path: str, query: Mapping[str, str], key: str
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list."""
        ...


def examine(twilio: Reads, service: str) -> list[Finding]:
    """Return what there is to say about each trap, for the account of a Proxy service."""
    return [
        _asked("account-recording", lambda: _recording(twilio)),
        _asked("proxy-access", lambda: _access(twilio)),
        _asked("us-text-registration", lambda: _registration(twilio, service)),
        _asked("auto-transcription", lambda: _transcription(twilio)),
        Finding(
            "media-authentication",
            Word.BY_HAND,
            "whether whoever has the URL of a recording or a picture can hear or see it: no API of Twilio's tells",
            "see that HTTP basic authentication for media is enforced (Twilio Console, Voice, Settings; Messaging,"
            " Settings)",
        ),
    ]


def _asked(trap: str, ask: Callable[[], Finding]) -> Finding:
    try:
        return ask()
    except CarrierError as error:
        said = f"{error.operation}: {error.status or 'no answer'}{f' (code {error.code})' if error.code else ''}"
        fix = "run it again when Twilio answers"
        if error.status in {401, 403}:
            fix = "give the API key of the stack the right to read this, or look in the Twilio Console"
        return Finding(trap, Word.UNKNOWN, said, fix)


def _recording(twilio: Reads) -> Finding:
    """https://www.twilio.com/docs/configurations/recording-account-default-configuration-resource."""
    try:
        found = twilio.read("fetch-recording-default", VOICE, RECORDING_DEFAULT)
    except CarrierError as error:
        if error.status != 404:
            raise
        return Finding("account-recording", Word.FINE, "no default records the account's calls")
    if is_switched_off(found):
        return Finding("account-recording", Word.FINE, "the account's recording default is switched off")
    return Finding(
        "account-recording",
        Word.TRAP,
        "a default of the account records every call before anybody consents",
        f"take it away: Twilio Console, Voice, Settings, or `curl -X DELETE -u KEY:SECRET https://{VOICE}"
        f"{RECORDING_DEFAULT}`; then delete what it recorded",
    )


def _access(twilio: Reads) -> Finding:
    """Proxy is a public beta that is not open to every account: only asking tells."""
    try:
        twilio.read("list-services", PROXY, "/v1/Services?PageSize=1")
    except CarrierError as error:
        if error.status not in {403, 404}:
            raise
        return Finding(
            "proxy-access",
            Word.TRAP,
            "this account has no access to Twilio Proxy",
            "ask Twilio for it before going live",
        )
    return Finding("proxy-access", Word.FINE, "the account may use Twilio Proxy, a public beta without a service level")


def _registration(twilio: Reads, service: str) -> Finding:
    """https://www.twilio.com/docs/messaging/compliance/a2p-10dlc: texts from unregistered US numbers fail (30034)."""
    trap = "us-text-registration"
    pool = twilio.entries("list-pool", PROXY, f"/v1/Services/{service}/PhoneNumbers", {}, "phone_numbers")
    local = {
        each["sid"]
        for each in pool
        if each.get("iso_country") == "US" and not _TOLL_FREE.match(str(each.get("phone_number")))
    }
    if not local:
        return Finding(trap, Word.FINE, "no number of the pool has to be registered for texts in the United States")
    try:
        registered, diverted = _campaigns(twilio)
    except CarrierError as error:
        if error.status != 404:
            raise
        what = f"whether the {len(local)} US numbers of the pool are registered: this Twilio has no list of campaigns"
        return Finding(trap, Word.BY_HAND, what, "see that each is in a Messaging Service with a verified campaign")
    if taken := sorted(local & diverted):
        return Finding(
            trap,
            Word.TRAP,
            f"a Messaging Service takes the texts to {', '.join(taken)} away from Proxy and its consent check",
            "let it defer to the sender's webhook (UseInboundWebhookOnNumber)",
        )
    if missing := sorted(local - registered):
        return Finding(
            trap,
            Word.TRAP,
            f"{len(missing)} of {len(local)} US numbers have no verified campaign, and carriers block their texts"
            f" (30034): {', '.join(missing)}",
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


def _transcription(twilio: Reads) -> Finding:
    """https://www.twilio.com/docs/conversational-intelligence/api/service-resource: AutoTranscribe takes every one."""
    trap = "auto-transcription"
    try:
        services = list(twilio.entries("list-intelligence", INTELLIGENCE, "/v2/Services", {}, "services"))
    except CarrierError as error:
        if error.status != 404:
            raise
        return Finding(trap, Word.FINE, "the account has no Conversational Intelligence")
    if found := sorted(str(each["sid"]) for each in services if each.get("auto_transcribe")):
        return Finding(
            trap,
            Word.TRAP,
            f"{', '.join(found)} transcribes every recording of the account, whatever anybody consented to",
            "switch AutoTranscribe off, and delete the transcripts that it made",
        )
    return Finding(trap, Word.FINE, "nothing transcribes recordings by itself")


def exit_code(found: Sequence[Finding]) -> int:
    """Return 7 when there is a trap, 2 when something is unknown and there is none, else 0."""
    words = {each.word for each in found}
    if Word.TRAP in words:
        return DRIFT
    return CANNOT_TELL if Word.UNKNOWN in words else OK


def to_json(stack: str, found: Sequence[Finding], at: datetime) -> str:
    """Return all findings as JSON text."""
    counted = Counter(str(each.word) for each in found)
    return json.dumps(
        {
            "stack": stack,
            "checkedAt": at.isoformat(timespec="seconds"),
            "words": {str(word): counted[str(word)] for word in Word},
            "findings": [asdict(each) for each in found],
        },
        indent=2,
    )
