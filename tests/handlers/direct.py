"""A gate whose sessions are its own: the world of the handlers' tests under `parley:masking: direct`."""

from __future__ import annotations

import json
from typing import Any

from parley import runtime
from parley.handlers import fallback, inbound_call, inbound_message, media

from local.twilio.numbers import number_sid
from tests.handlers import world as worlds
from tests.handlers.archives import EVIDENCE, Archives
from tests.handlers.world import GATE, POOL, World, aws

POOL_KEY = "declarations/pool.json"
WEBHOOKS = {
    "VoiceUrl": f"{GATE}/twilio/call",
    "VoiceFallbackUrl": f"{GATE}/twilio/fallback",
    "StatusCallback": f"{GATE}/twilio/call/status",
    "SmsUrl": f"{GATE}/twilio/message",
    "SmsFallbackUrl": f"{GATE}/twilio/fallback",
}
ROUTES = {
    "/twilio/call": inbound_call.handle,
    "/twilio/message": inbound_message.handle,
    "/twilio/fallback": fallback.handle,
    "/twilio/media": media.handle,
}


def make_direct(world: World, *, numbers: tuple[str, ...] = POOL, **changes: str) -> Archives:
    """Deploy the gate anew with sessions of its own over `numbers`; return the stores beside the ledger."""
    for number in POOL:
        world.twilio.proxy.v1.services(world.service_sid).phone_numbers(number_sid(number)).delete()
    key = aws("kms").create_key()["KeyMetadata"]["Arn"]
    archives = Archives(
        world,
        **{
            "PARLEY_MASKING": "direct",
            "PARLEY_LINE_KEY": key,
            "PARLEY_POOL": POOL_KEY,
            "PARLEY_NUMBER_CHOICE": json.dumps({"geoMatch": "country", "selection": "prefer-sticky"}),
            **changes,
        },
    )
    world.patch.delenv("PARLEY_PROXY_SERVICE_SID")
    for route, handle in ROUTES.items():
        world.patch.setitem(worlds.ROUTES, route, handle)
    put_pool(world, [entry(number) for number in numbers])
    return archives


def entry(number: str, **changes: Any) -> dict[str, Any]:
    """Return a number of the pool as the deployment lists it."""
    return {
        "sid": number_sid(number),
        "number": number,
        "country": "US",
        "capabilities": ["voice", "sms", "mms"],
        "reserved": False,
        **changes,
    }


def put_pool(world: World, numbers: list[dict[str, Any]]) -> None:
    """Write the list of the pool, and let its numbers tell the gate of calls and texts."""
    aws("s3").put_object(Bucket=EVIDENCE, Key=POOL_KEY, Body=json.dumps(numbers).encode())
    for one in numbers:
        owned = world.emulator.carrier.numbers.by_phone_number(one["number"])
        assert owned is not None
        owned.settings.update(WEBHOOKS)
    runtime.reset()
