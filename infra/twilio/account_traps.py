"""What an account at Twilio does behind a stack's back, found before it matters: the traps that no deployment mends.

Each trap is a question to Twilio and what follows from the answer. What no API of Twilio's tells is listed too, to be
looked at by hand; it changes no exit code. Numbers are named by their SIDs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from parley.adapters.live_twilio import RECORDING_DEFAULT, is_switched_off
from parley.adapters.twilio_api import CONVERSATIONS, PROXY, VIDEO, VOICE
from parley.core.chat import ASKS, TOLD
from parley.core.sweeping import is_own_name
from parley.ports import CarrierError

from infra.twilio import number_traps
from infra.twilio.findings import Finding, Reads, Word, asked, present

INTELLIGENCE: Final = "intelligence.twilio.com"
WEBHOOKS: Final = "webhooks.twilio.com"


def examine(
    twilio: Reads,
    service: str,
    *,
    others: Collection[str] = (),
    channels: Collection[str] = (),
    gate: str = "",
    stack: str = "",
    account: str = "",
    rules: Collection[str] = (),
) -> list[Finding]:
    """Return what there is to say about each trap, for the account of a Proxy service, or for an `account` without one.

    `others` are further services, of which only the numbers are to be looked at.
    `channels` are the stack's, `gate` is the address of its API, and `stack` what the names of its rooms begin with;
    `rules` are the names of its own webhook Rules.
    """
    return [
        asked("account-recording", lambda: _recording(twilio)),
        *([] if account else [asked("proxy-access", lambda: _access(twilio))]),
        *(finding for each in (service, *others) for finding in _numbers(twilio, each, channels, account, gate)),
        asked("auto-transcription", lambda: _transcription(twilio)),
        Finding(
            "media-authentication",
            Word.BY_HAND,
            "whether whoever has the URL of a recording or a picture can hear or see it: no API of Twilio's tells",
            "see that HTTP basic authentication for media is enforced (Twilio Console, Voice, Settings; Messaging,"
            " Settings)",
        ),
        *(_video(twilio, stack) if "video" in channels else []),
        *([asked("chat-webhooks", lambda: _chat(twilio, gate))] if "chat" in channels else []),
        *([asked("webhook-rules", lambda: _rules(twilio, f"{gate.rstrip('/')}/twilio/", rules))] if gate else []),
    ]


def _numbers(twilio: Reads, service: str, channels: Collection[str], account: str, gate: str) -> list[Finding]:
    """Return the findings about the numbers, or the one that Twilio does not tell which they are."""
    found: list[Finding] = []

    def ask() -> Finding:
        found.extend(number_traps.examine(twilio, service, channels=channels, account=account, gate=gate))
        return found.pop()

    last = asked("numbers", ask)
    return [*found, last]


def _video(twilio: Reads, stack: str) -> list[Finding]:
    return [
        asked("video-recordings-storage", lambda: _storage(twilio, "RecordingSettings", "recordings")),
        asked("video-compositions-storage", lambda: _storage(twilio, "CompositionSettings", "compositions")),
        asked("video-rooms", lambda: _rooms(twilio, stack)),
        Finding(
            "video-room-defaults",
            Word.BY_HAND,
            "whether a room that an app makes by joining it records by itself: no API of Twilio's tells",
            "switch client-side room creation and recording off (Twilio Console, Video, Settings, Room Settings)",
        ),
    ]


def _storage(twilio: Reads, resource: str, what: str) -> Finding:
    """https://www.twilio.com/docs/video/tutorials/storing-aws-s3 and /docs/video/tutorials/encrypted-recordings."""
    trap = f"video-{what}-storage"
    found = present(lambda: twilio.read(f"fetch-{what}-settings", VIDEO, f"/v1/{resource}/Default")) or {}
    if found.get("aws_storage_enabled"):
        return Finding(
            trap,
            Word.TRAP,
            f"Twilio puts video {what} straight into a bucket of its settings: they are neither archived nor deleted by"
            " the stack, whoever consented",
            f"switch it off: `curl -X POST -u KEY:SECRET https://{VIDEO}/v1/{resource}/Default -d FriendlyName=off -d"
            " AwsStorageEnabled=false`",
        )
    if found.get("encryption_enabled"):
        return Finding(
            trap,
            Word.TRAP,
            f"Twilio encrypts video {what} under a public key of yours, so the archive cannot tell what they are and"
            " keeps none",
            f"switch it off: `curl -X POST -u KEY:SECRET https://{VIDEO}/v1/{resource}/Default -d FriendlyName=off -d"
            " EncryptionEnabled=false`; the bucket encrypts them",
        )
    return Finding(trap, Word.FINE, f"video {what} stay at Twilio until the stack has archived them")


def _rooms(twilio: Reads, stack: str) -> Finding:
    """https://www.twilio.com/docs/video/api/rooms-resource: RecordParticipantsOnConnect records everybody who joins."""
    trap, query = "video-rooms", {"Status": "in-progress", "PageSize": "100"}
    rooms = list(twilio.entries("list-rooms", VIDEO, "/v1/Rooms", query, "rooms"))
    own = [each for each in rooms if is_own_name(each.get("unique_name"), stack)]
    if found := sorted(str(each["sid"]) for each in own if each.get("record_participants_on_connect")):
        return Finding(
            trap,
            Word.TRAP,
            f"{', '.join(found)} records everybody who joins, before anybody consents",
            "create rooms without RecordParticipantsOnConnect; the stack turns recording on",
        )
    if len(own) < len(rooms):
        return Finding(
            trap,
            Word.BY_HAND,
            f"whether the {len(rooms) - len(own)} rooms in progress are this stack's whose name does not begin with"
            f" {stack}-: it records, sweeps and erases nothing in them",
            f"create the stack's rooms with a UniqueName that begins with {stack}-",
        )
    return Finding(trap, Word.FINE, f"none of the {len(own)} rooms in progress records by itself")


def _chat(twilio: Reads, gate: str) -> Finding:
    """https://www.twilio.com/docs/conversations-classic/api/webhook-configuration-resource."""
    trap, url = "chat-webhooks", f"{gate.rstrip('/')}/twilio/conversation"
    fix = (
        f"`curl -X POST -u KEY:SECRET https://{CONVERSATIONS}/v1/Configuration/Webhooks -d Method=POST"
        f" -d PreWebhookUrl={url} -d PostWebhookUrl={url}"
        + "".join(f" -d Filters={event}" for event in sorted({*ASKS, TOLD}))
        + "`"
    )
    found = present(lambda: twilio.read("fetch-chat-webhooks", CONVERSATIONS, "/v1/Configuration/Webhooks")) or {}
    missing = sorted({*ASKS, TOLD} - set(found.get("filters") or ()))
    if found.get("pre_webhook_url") != url or found.get("post_webhook_url") != url:
        what = "the account's conversations do not ask this stack, so messages pass without anybody's consent"
    elif missing:
        what = f"the account's conversations say nothing of {', '.join(missing)}"
    elif str(found.get("method") or "POST").upper() != "POST":
        what = "the account's conversations ask with GET, which the stack does not answer"
    else:
        return Finding(trap, Word.FINE, "the account's conversations ask this stack before a message is taken")
    return Finding(trap, Word.TRAP, what, fix)


def _rules(twilio: Reads, gate: str, own: Collection[str]) -> Finding:
    """https://www.twilio.com/docs/usage/webhooks/webhook-rules: one that matches decides how the gate is asked."""
    trap, query = "webhook-rules", {"pageSize": "100"}  # an account has fifty at most
    listed = present(lambda: list(twilio.entries("list-rules", WEBHOOKS, "/v1/Webhooks/Rules", query, "rules"))) or []
    rules = [each for each in listed if each.get("friendlyName") not in own and _matches(each, gate)]
    for rule in rules:
        for share in rule.get("settings") or ():
            setting = twilio.read("fetch-setting", WEBHOOKS, f"/v1/Webhooks/Settings/{share['settingId']}")
            policy = (setting.get("connection") or {}).get("retryPolicy") or {}
            if policy.get("retryCount") and {"HTTP_4XX", "ALL"} & set(policy.get("retryOn") or ()):
                return Finding(
                    trap,
                    Word.TRAP,
                    f"{rule['id']} repeats the gate's webhooks after a 403, which is its answer and no fault",
                    "let its Setting retry after a 5xx or without an answer only, or declare parley:webhooks instead",
                )
            if setting.get("signature"):
                return Finding(
                    trap,
                    Word.TRAP,
                    f"{rule['id']} lets a SharedKey sign the gate's webhooks, which refuses all whose key it lacks",
                    "declare it in parley:webhooks and parley:twilioSharedKeys, or take the gate out of the Rule",
                )
    if rules:
        ids = ", ".join(sorted(str(each["id"]) for each in rules))
        return Finding(trap, Word.FINE, f"{ids} matches the gate's webhooks and changes nothing that it needs")
    return Finding(trap, Word.FINE, "nobody else's Rule decides how the gate is asked")


def _matches(rule: Mapping[str, Any], gate: str) -> bool:
    """Tell whether a Rule may match a webhook whose URL begins with `gate`."""
    value, prefix = str(rule.get("value") or ""), str(rule.get("prefix") or "")
    return (
        rule.get("matchType") == "DEFAULT"
        or value.startswith(gate)
        or (prefix != "" and (gate.startswith(prefix) or prefix.startswith(gate)))
    )


def _recording(twilio: Reads) -> Finding:
    """https://www.twilio.com/docs/configurations/recording-account-default-configuration-resource."""
    found = present(lambda: twilio.read("fetch-recording-default", VOICE, RECORDING_DEFAULT))
    if found is None:
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
            "ask Twilio for it before going live, or deploy with `parley:masking: direct`",
        )
    return Finding("proxy-access", Word.FINE, "the account may use Twilio Proxy, a public beta without a service level")


def _transcription(twilio: Reads) -> Finding:
    """https://www.twilio.com/docs/conversational-intelligence/api/service-resource: AutoTranscribe takes every one."""
    trap = "auto-transcription"
    services = present(lambda: list(twilio.entries("list-intelligence", INTELLIGENCE, "/v2/Services", {}, "services")))
    if services is None:
        return Finding(trap, Word.FINE, "the account has no Conversational Intelligence")
    if found := sorted(str(each["sid"]) for each in services if each.get("auto_transcribe")):
        return Finding(
            trap,
            Word.TRAP,
            f"{', '.join(found)} transcribes every recording of the account, whatever anybody consented to",
            "switch AutoTranscribe off, and delete the transcripts that it made",
        )
    return Finding(trap, Word.FINE, "nothing transcribes recordings by itself")
