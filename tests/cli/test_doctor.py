"""What `parley doctor` finds in an account, and how it says what it cannot know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from parley.adapters.secrets import TwilioCredentials
from parley.adapters.twilio import TwilioCarrier
from parley.ports import CarrierError
from typer.testing import CliRunner

from cli import doctor, verify
from cli import main as command
from cli.errors import CANNOT_TELL, DRIFT, OK
from infra.twilio import account_traps
from infra.twilio.findings import Finding, Word
from tests.handlers.world import ACCOUNT, KEY, SECRET, TOKEN, emulated_twilio

SERVICE, MG = "KS" + "1" * 32, "MG" + "2" * 32
LOCAL, OTHER, FREE, LONDON = ("PN" + digit * 32 for digit in "3456")
POOL = [
    {"sid": LOCAL, "iso_country": "US", "phone_number": "+12125550140"},
    {"sid": OTHER, "iso_country": "US", "phone_number": "+12125550141"},
    {"sid": FREE, "iso_country": "US", "phone_number": "+18885550142"},
    {"sid": LONDON, "iso_country": "GB", "phone_number": "+447700900140"},
]


class Told:
    """A Twilio that says what a test tells it to, by host and path; anything else is a 404."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "proxy.twilio.com/v1/Services?PageSize=1": {"services": []},
            f"proxy.twilio.com/v1/Services/{SERVICE}/PhoneNumbers": [],
            "intelligence.twilio.com/v2/Services": [],
        }
        self.answers |= answers.get("answers", {})

    def _answer(self, operation: str, where: str) -> Any:
        found = self.answers.get(where, 404)
        if isinstance(found, int):
            raise CarrierError(operation, found, 20003 if found == 401 else 0)
        return found

    def read(self, operation: str, host: str, path: str) -> dict[str, Any]:
        """Return one resource."""
        answer: dict[str, Any] = self._answer(operation, f"{host}{path}")
        return answer

    def entries(
        self, operation: str, host: str, path: str, _query: Mapping[str, str], _key: str
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list."""
        yield from self._answer(operation, f"{host}{path}")


def found(**answers: Any) -> dict[str, Finding]:
    """Examine an account that answers like this, and return the findings by trap."""
    return {each.trap: each for each in account_traps.examine(Told(answers=answers.get("answers", {})), SERVICE)}


def campaign(status: str, numbers: list[str], *, defers: bool = True) -> dict[str, Any]:
    """Return the answers about a pool of four numbers and one Messaging Service."""
    root = f"messaging.twilio.com/v1/Services/{MG}"
    return {
        f"proxy.twilio.com/v1/Services/{SERVICE}/PhoneNumbers": POOL,
        "messaging.twilio.com/v1/Services": [{"sid": MG, "use_inbound_webhook_on_number": defers}],
        f"{root}/PhoneNumbers": [{"sid": sid} for sid in numbers],
        f"{root}/Compliance/Usa2p": [{"campaign_status": status}],
    }


DEFAULT = "voice.twilio.com/v2/AccountDefaultConfiguration/Recording"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (404, Word.FINE),
        ({"enabled": False}, Word.FINE),
        ({"status": "disabled"}, Word.FINE),
        ({"configuration": {}}, Word.TRAP),
        ({}, Word.TRAP),
        (401, Word.UNKNOWN),
        (503, Word.UNKNOWN),
        (0, Word.UNKNOWN),
    ],
)
def test_recording_default_is_a_trap_unless_it_is_seen_to_be_off(answer: Any, word: Word) -> None:
    """No default and a disabled one are fine, any other answer records, and no answer is not known."""
    finding = found(answers={DEFAULT: answer})["account-recording"]
    assert finding.word is word
    assert bool(finding.fix) is (word is not Word.FINE)


@pytest.mark.parametrize(("answer", "word"), [({}, Word.FINE), (403, Word.TRAP), (404, Word.TRAP), (429, Word.UNKNOWN)])
def test_access_to_proxy_is_asked_for(answer: Any, word: Word) -> None:
    """An account without Proxy is told so before anything is deployed on it."""
    assert found(answers={"proxy.twilio.com/v1/Services?PageSize=1": answer})["proxy-access"].word is word


class TestRegistration:
    """Texts from US numbers need a verified campaign, and must reach Proxy."""

    @pytest.mark.parametrize(
        ("status", "numbers", "defers", "word", "says"),
        [
            ("VERIFIED", [LOCAL, OTHER], True, Word.FINE, "all 2"),
            ("VERIFIED", [LOCAL], True, Word.TRAP, OTHER),
            ("IN_PROGRESS", [LOCAL, OTHER], True, Word.TRAP, "2 of 2"),
            ("VERIFIED", [LOCAL, OTHER], False, Word.TRAP, "consent check"),
            ("VERIFIED", [LOCAL, OTHER, FREE], True, Word.FINE, "all 2"),
        ],
    )
    def test_each_number_counts(self, status: str, numbers: list[str], defers: bool, word: Word, says: str) -> None:
        """Each local number is in a verified campaign, or is named by its SID, never by itself."""
        finding = found(answers=campaign(status, numbers, defers=defers))["us-text-registration"]
        assert finding.word is word
        assert says in finding.what
        assert "555" not in finding.what

    def test_pool_without_such_numbers_needs_none(self) -> None:
        """Toll-free and foreign numbers are no part of this."""
        answers = {f"proxy.twilio.com/v1/Services/{SERVICE}/PhoneNumbers": POOL[2:]}
        assert found(answers=answers)["us-text-registration"].word is Word.FINE

    @pytest.mark.parametrize(("status", "word"), [(404, Word.BY_HAND), (403, Word.UNKNOWN)])
    def test_what_is_not_told_is_said(self, status: int, word: Word) -> None:
        """Where Twilio has no list of campaigns somebody has to look; where it refuses one, it is not known."""
        answers = {**campaign("VERIFIED", [LOCAL]), "messaging.twilio.com/v1/Services": status}
        assert found(answers=answers)["us-text-registration"].word is word


GATE = "https://gate.example.com"
NUMBERS = f"api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json"
ABLE = {"voice": True, "sms": True, "mms": True, "fax": False}


def pointing(sid: str, number: str, **changes: Any) -> dict[str, Any]:
    """Return a number of the account that asks the gate."""
    urls = {"voice_url": f"{GATE}/twilio/call", "sms_url": f"{GATE}/twilio/message"}
    return {"sid": sid, "phone_number": number, "capabilities": ABLE, **urls, **changes}


def without_proxy(*numbers: dict[str, Any], **answers: Any) -> dict[str, Finding]:
    """Examine an account with these numbers for a stack with direct masking, and return the findings by trap."""
    told = Told(answers={NUMBERS: list(numbers), **answers.get("answers", {})})
    found = account_traps.examine(told, ACCOUNT, channels=("voice", "sms"), gate=GATE, account=ACCOUNT)
    return {each.trap: each for each in found}


class TestWithoutProxy:
    """What blocks traffic, or takes it past the gate, where numbers ask the gate themselves."""

    def test_proxy_is_not_asked(self) -> None:
        """Access to Proxy is none of its matters, and numbers that ask nobody of ours are none of its numbers."""
        elsewhere = pointing(OTHER, "+12125550141", voice_url="https://x.example.com/", sms_url="")
        found = without_proxy(pointing(LONDON, "+447700900140"), elsewhere)
        assert "proxy-access" not in found
        assert {found[trap].word for trap in ("us-text-registration", "number-overrides")} == {Word.FINE}
        assert "of the 1 numbers" in found["number-overrides"].what

    @pytest.mark.parametrize("name", ["voice_application_sid", "sms_application_sid", "trunk_sid"])
    def test_what_wins_over_the_gate_is_a_trap(self, name: str) -> None:
        """An application or a trunk takes calls or texts past the consent check, and the number is named by its SID."""
        finding = without_proxy(pointing(LOCAL, "+12125550140", **{name: "AP" + "1" * 32}))["number-overrides"]
        assert (finding.word, LOCAL in finding.what, "555" in finding.what) == (Word.TRAP, True, False)

    @pytest.mark.parametrize(
        ("able", "word"),
        [([True, True], Word.FINE), ([True, False], Word.BY_HAND), ([False, False], Word.TRAP)],
    )
    def test_capabilities(self, able: list[bool], word: Word) -> None:
        """A pool of which no number can what the channels need opens no session; one of which some can opens fewer."""
        numbers = [
            pointing(sid, "+447700900140", capabilities={**ABLE, "sms": can})
            for sid, can in zip((LOCAL, OTHER), able, strict=True)
        ]
        assert without_proxy(*numbers)["number-capabilities"].word is word

    def test_emergency_address(self) -> None:
        """US numbers without an emergency address are told; with one, or elsewhere, there is nothing to say."""
        assert without_proxy(pointing(LOCAL, "+12125550140"))["emergency-address"].word is Word.BY_HAND
        addressed = pointing(LOCAL, "+12125550140", emergency_address_sid="AD" + "1" * 32)
        fine = without_proxy(addressed, pointing(LONDON, "+447700900140"))["emergency-address"]
        assert fine.word is Word.FINE

    def test_numbers_that_are_not_told(self) -> None:
        """Where Twilio does not list the numbers nothing is claimed of them."""
        found = without_proxy(answers={NUMBERS: 503})
        assert found["numbers"].word is Word.UNKNOWN
        assert "us-text-registration" not in found


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ([{"tollfree_phone_number_sid": FREE, "status": "TWILIO_APPROVED"}], Word.FINE),
        ([{"tollfree_phone_number_sid": FREE, "status": "IN_REVIEW"}], Word.TRAP),
        ([], Word.TRAP),
        (404, Word.BY_HAND),
        (403, Word.UNKNOWN),
    ],
)
def test_toll_free_numbers_are_verified(answer: Any, word: Word) -> None:
    """Carriers block the texts of a toll-free number without an approved verification."""
    where = "messaging.twilio.com/v1/Tollfree/Verifications"
    pool = {f"proxy.twilio.com/v1/Services/{SERVICE}/PhoneNumbers": POOL[2:]}
    finding = found(answers={**pool, where: answer})["toll-free-verification"]
    assert finding.word is word
    assert "5550142" not in finding.what


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ([{"sid": "GA1", "auto_transcribe": False}], Word.FINE),
        ([{"sid": "GA1", "auto_transcribe": True}], Word.TRAP),
        (404, Word.FINE),
        (500, Word.UNKNOWN),
    ],
)
def test_transcribing_everything_is_a_trap(answer: Any, word: Word) -> None:
    """A service that transcribes every recording does so without anybody's consent."""
    assert found(answers={"intelligence.twilio.com/v2/Services": answer})["auto-transcription"].word is word


def apps(*channels: str, **answers: Any) -> dict[str, Finding]:
    """Examine an account of a stack with video or chat that answers like this, and return the findings by trap."""
    told = Told(answers=answers.get("answers", {}))
    found = account_traps.examine(told, SERVICE, channels=channels, gate="https://gate.example.com", stack="prod")
    return {each.trap: each for each in found}


class TestVideo:
    """What an account does to video by itself."""

    def test_other_stacks_are_not_asked(self) -> None:
        """Where there is no video or chat nothing is said of either."""
        assert not [trap for trap in apps("voice", "sms") if trap.startswith(("video", "chat"))]

    @pytest.mark.parametrize("kind", ["recordings", "compositions"])
    @pytest.mark.parametrize(
        ("answer", "word"),
        [
            (404, Word.FINE),
            ({"aws_storage_enabled": False, "encryption_enabled": False}, Word.FINE),
            ({"aws_storage_enabled": True}, Word.TRAP),
            ({"encryption_enabled": True}, Word.TRAP),
            (403, Word.UNKNOWN),
        ],
    )
    def test_storage_of_its_own_is_a_trap(self, kind: str, answer: Any, word: Word) -> None:
        """What Twilio puts elsewhere, or encrypts for somebody else, never comes into the archive."""
        resource = {"recordings": "RecordingSettings", "compositions": "CompositionSettings"}[kind]
        finding = apps("video", answers={f"video.twilio.com/v1/{resource}/Default": answer})[f"video-{kind}-storage"]
        assert finding.word is word
        assert bool(finding.fix) is (word is not Word.FINE)

    @pytest.mark.parametrize(
        ("rooms", "word"),
        [
            ([], Word.FINE),
            ([{"sid": "RM1", "unique_name": "prod-7", "record_participants_on_connect": False}], Word.FINE),
            ([{"sid": "RM1", "unique_name": "prod-7", "record_participants_on_connect": True}], Word.TRAP),
            ([{"sid": "RM1", "unique_name": "sales", "record_participants_on_connect": True}], Word.BY_HAND),
            (500, Word.UNKNOWN),
        ],
    )
    def test_room_that_records_by_itself_is_a_trap(self, rooms: Any, word: Word) -> None:
        """A room of the stack that records everybody who joins does so without consent; others are for a person."""
        assert apps("video", answers={"video.twilio.com/v1/Rooms": rooms})["video-rooms"].word is word

    def test_defaults_are_for_a_person(self) -> None:
        """What no API tells is listed."""
        assert apps("video", answers={"video.twilio.com/v1/Rooms": []})["video-room-defaults"].word is Word.BY_HAND


HOOKS = "conversations.twilio.com/v1/Configuration/Webhooks"
OURS = "https://gate.example.com/twilio/conversation"
EVENTS = ["onMessageAdd", "onMessageUpdate", "onMessageAdded"]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ({"pre_webhook_url": OURS, "post_webhook_url": OURS, "filters": EVENTS, "method": "POST"}, Word.FINE),
        ({"pre_webhook_url": OURS, "post_webhook_url": OURS, "filters": EVENTS, "method": "GET"}, Word.TRAP),
        ({"pre_webhook_url": OURS, "post_webhook_url": OURS, "filters": EVENTS[:2]}, Word.TRAP),
        ({"pre_webhook_url": OURS, "post_webhook_url": None, "filters": EVENTS}, Word.TRAP),
        ({"pre_webhook_url": "https://x.example.com", "post_webhook_url": OURS, "filters": EVENTS}, Word.TRAP),
        (404, Word.TRAP),
        (500, Word.UNKNOWN),
    ],
)
def test_conversations_that_do_not_ask_are_a_trap(answer: Any, word: Word) -> None:
    """Before and after a message the account has to ask this stack, by POST and for every event that counts."""
    finding = apps("chat", answers={HOOKS: answer})["chat-webhooks"]
    assert finding.word is word
    assert (OURS in finding.fix) is (word is Word.TRAP)


WEBHOOK = "https://gate.example.com/twilio/"
RULES = "webhooks.twilio.com/v1/Webhooks/Rules"
REPEATING = {"connection": {"retryPolicy": {"retryCount": 1, "retryOn": ["HTTP_4XX"]}}}
SIGNING = {"signature": {"type": "SHARED_KEY", "sharedKeyId": "webhooks_sharedkey_1"}}


@pytest.mark.parametrize(
    ("rule", "setting", "word"),
    [
        ({"matchType": "PREFIX_MATCH", "prefix": WEBHOOK}, REPEATING, Word.TRAP),
        ({"matchType": "PREFIX_MATCH", "prefix": "https://gate.example.com/"}, SIGNING, Word.TRAP),
        ({"matchType": "EXACT_MATCH", "value": f"{WEBHOOK}intercept"}, SIGNING, Word.TRAP),
        ({"matchType": "PREFIX_MATCH", "prefix": f"{WEBHOOK}call/"}, SIGNING, Word.TRAP),
        ({"matchType": "DEFAULT"}, SIGNING, Word.TRAP),
        ({"matchType": "DEFAULT"}, {"connection": {"readTimeoutMs": 5000}}, Word.FINE),
        ({"matchType": "PREFIX_MATCH", "prefix": "https://other.example.com/"}, SIGNING, Word.FINE),
        ({"matchType": "EXACT_MATCH", "value": "https://gate.example.com/other"}, SIGNING, Word.FINE),
        ({"matchType": "DEFAULT", "friendlyName": "parley-prod"}, SIGNING, Word.FINE),
        ({"matchType": "DEFAULT"}, 503, Word.UNKNOWN),
    ],
)
def test_rule_of_somebody_else_is_a_trap(rule: dict[str, Any], setting: Any, word: Word) -> None:
    """A Rule that repeats after a 403, or lets a key sign that the gate lacks, is told; the stack's own is not."""
    made = {"id": "webhooks_rule_1", "settings": [{"settingId": "webhooks_setting_1", "percentage": 100}], **rule}
    twilio = Told(answers={RULES: [made], "webhooks.twilio.com/v1/Webhooks/Settings/webhooks_setting_1": setting})
    findings = account_traps.examine(twilio, SERVICE, gate="https://gate.example.com", rules=["parley-prod"])
    (finding,) = (each for each in findings if each.trap == "webhook-rules")
    assert finding.word is word
    assert bool(finding.fix) is (word is not Word.FINE)


@pytest.mark.parametrize(("answer", "word"), [([], Word.FINE), (404, Word.FINE), (403, Word.UNKNOWN)])
def test_account_without_rules(answer: Any, word: Word) -> None:
    """Without Rules, or without the beta, nothing decides; what Twilio does not tell is said."""
    findings = account_traps.examine(Told(answers={RULES: answer}), SERVICE, gate="https://gate.example.com")
    assert next(each for each in findings if each.trap == "webhook-rules").word is word


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([Word.FINE, Word.BY_HAND], OK),
        ([Word.FINE, Word.UNKNOWN], CANNOT_TELL),
        ([Word.UNKNOWN, Word.TRAP], DRIFT),
    ],
)
def test_trap_outweighs_doubt(words: list[Word], code: int) -> None:
    """A trap exits with 7, doubt with 2, and what only a person can see with 0."""
    assert doctor.exit_code([Finding("x", word, "y") for word in words]) == code


def test_real_account_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command asks Twilio over its API, prints each trap with its way out, and exits with what it found."""
    with emulated_twilio() as (_, emulator, endpoint):
        own = TwilioCredentials(KEY, SECRET, (TOKEN,))
        declaration = {
            "version": 1,
            "stack": "prod",
            "channels": ["voice", "video", "chat"],
            "resources": [{"system": "twilio", "name": SERVICE, "expected": {}}],
        }
        outputs = {"declaration": declaration, "gateUrl": "https://gate.example.com"}
        monkeypatch.setattr(command, "deployed", lambda _stack: (outputs, None))
        monkeypatch.setattr(verify, "clients", lambda _environment: {})
        carrier = TwilioCarrier(lambda _renewed: own, ACCOUNT, endpoint, 0.0, services=[SERVICE])
        monkeypatch.setattr(verify, "carrier", lambda *_arguments: carrier)
        with emulator.carrier.lock:
            emulator.carrier.defaults.put(ACCOUNT, "Recording", {"configuration": {}})
        answer = CliRunner().invoke(command.app, ["doctor", "--no-sizing"])
        assert answer.exit_code == DRIFT
        assert "trap account-recording: a default of the account records every call" in answer.output
        assert "curl -X DELETE" in answer.output
        with emulator.carrier.lock:
            emulator.carrier.defaults.delete(ACCOUNT, "Recording")
        told = json.loads(CliRunner().invoke(command.app, ["doctor", "--no-sizing", "--json"]).output)
        words = {each["trap"]: each["word"] for each in told["findings"]}
        assert words["account-recording"] == "fine"
        assert words["proxy-access"] == "fine"
        assert words["media-authentication"] == "by hand"
        assert (words["video-recordings-storage"], words["video-rooms"]) == ("fine", "fine")
        assert (words["chat-webhooks"], words["webhook-rules"]) == ("trap", "fine")
        assert datetime.fromisoformat(told["checkedAt"]) <= datetime.now(UTC)
