"""How Twilio sends webhooks to the gate, as a stack declares it: `parley:webhooks` and `parley:twilioSharedKeys`.

Nothing of the kit needs it. A Rule applies it to all webhooks of the gate
(https://www.twilio.com/docs/usage/webhooks/webhook-configuration), made once the gate knows the key that signs them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from infra.section import Secret, Section
from infra.twilio.limits import LEAST_TIMEOUT, TIMEOUTS, TYPE_ID
from infra.twilio.resources import RetryOn, SignatureAlgorithm, WebhookConnection, WebhookSignature

KEYS: Final = "twilioSharedKeys"
"""The key of the config that holds the secrets of SharedKeys by their ids."""
EXAMPLE: Final = f"webhooks_sharedkey_{'0' * 26}"

MOST_RETRIES: Final = 5
"""More would outlast the sixty seconds that Twilio takes at most for all attempts."""


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """By which AuthProfile Twilio authenticates itself to the gate, which SharedKey signs, timeouts and retries.

    Without a `signature` the auth token signs; without a `connection` Twilio's own timeouts hold, and nothing is sent
    again.
    """

    auth_profile_id: str
    signature: WebhookSignature | None = None
    connection: WebhookConnection = field(default_factory=WebhookConnection)


def delivery(root: Section, known: Mapping[str, Secret]) -> WebhookDelivery | None:
    """Read `parley:webhooks`, None where the stack has none; `known` are the SharedKeys whose secrets the gate has."""
    if not root.has("webhooks"):
        return None
    section = root.section("webhooks")
    example = f"webhooks_authprofile_{'0' * 26}"
    profile = section.text("authProfileId", TYPE_ID, "an AuthProfile's id", example)
    signature = _signature(section, known) if section.has("signature") else None
    connection = _connection(section.section("connection"))
    section.finish()
    return WebhookDelivery(profile, signature, connection)


def shared_keys(root: Section) -> dict[str, Secret]:
    """Read `parley:twilioSharedKeys`: the secrets of SharedKeys by their ids."""
    value = root.take(KEYS)
    if value is None:
        return {}
    try:
        held: Any = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        held = None
    if not isinstance(held, Mapping) or not all(
        TYPE_ID.fullmatch(str(key)) and isinstance(secret, str) and secret.strip() for key, secret in held.items()
    ):
        root.problem(
            KEYS,
            "is no mapping of the ids of SharedKeys to their secrets",
            f"set each with `pulumi config set --secret --path parley:{KEYS}.{EXAMPLE}`",
        )
        return {}
    return {str(key): Secret(secret) for key, secret in held.items()}


def _signature(section: Section, known: Mapping[str, Secret]) -> WebhookSignature:
    part = section.section("signature")
    key = part.text("sharedKeyId", TYPE_ID, "a SharedKey's id", EXAMPLE)
    if TYPE_ID.fullmatch(key) and key not in known:
        part.problem(
            "sharedKeyId",
            "names a SharedKey whose secret the gate does not have: it would refuse every webhook",
            f"run `pulumi config set --secret --path parley:{KEYS}.{key}` first",
        )
    read: WebhookSignature = {
        "type": part.text("type", re.compile(r"[A-Za-z_]+"), "Twilio's word for signing by a SharedKey", "SHARED_KEY"),
        "shared_key_id": key,
        "algorithm": part.choice("algorithm", get_args(SignatureAlgorithm), default="HMAC_SHA256"),
    }
    part.finish()
    return read


def _connection(part: Section) -> WebhookConnection:
    read: Any = {}
    for name, greatest in TIMEOUTS.items():
        value = part.optional_whole(name, least=LEAST_TIMEOUT, most=greatest, unit="ms")
        if value is not None:
            read[re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name)] = value
    count = part.optional_whole("retryCount", least=1, most=MOST_RETRIES, unit="attempts")
    if count is not None:
        read |= {"retry_count": count, "retry_on": list(part.choices("retryOn", get_args(RetryOn)))}
    elif part.has("retryOn"):
        part.problem("retryOn", "says after what an attempt follows, and retryCount not how many", "give both")
    part.finish()
    connection: WebhookConnection = read
    return connection
