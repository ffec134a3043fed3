"""A gate whose sessions are its own: the world of the handlers' tests under `parley:masking: direct`."""

from __future__ import annotations

import json

from parley import runtime
from parley.handlers import fallback, inbound_call, inbound_message, media

from local.twilio.numbers import number_sid
from tests.handlers import world as worlds
from tests.handlers.archives import Archives
from tests.handlers.world import GATE, POOL, World

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
    return Archives(world, **deploy_direct(world, numbers), **changes)


def deploy_direct(world: World, numbers: tuple[str, ...] = POOL) -> dict[str, str]:
    """Point numbers at the gate, and let it mask by sessions of its own; return what its functions are told of that."""
    for number in POOL:
        world.twilio.proxy.v1.services(world.service_sid).phone_numbers(number_sid(number)).delete()
    variables = {
        "PARLEY_MASKING": "direct",
        "PARLEY_LINE_KEY": worlds.aws("kms").create_key()["KeyMetadata"]["Arn"],
        "PARLEY_NUMBER_CHOICE": json.dumps({"geoMatch": "country", "selection": "prefer-sticky"}),
    }
    for name, value in variables.items():
        world.patch.setenv(name, value)
    world.patch.delenv("PARLEY_PROXY_SERVICE_SIDS")
    for route, handle in ROUTES.items():
        world.patch.setitem(worlds.ROUTES, route, handle)
    put_pool(world, *numbers)
    return variables


def put_pool(world: World, *numbers: str, reserved: tuple[str, ...] = ()) -> None:
    """Let numbers of the account tell the gate of calls and texts, and no other ones."""
    carrier = world.emulator.carrier
    for sid in list(carrier.state.numbers):
        owned = carrier.state.numbers[sid]
        ours = owned.phone_number in numbers
        if ours or owned.settings["VoiceUrl"] == WEBHOOKS["VoiceUrl"]:
            mark = "?reserved=true" if owned.phone_number in reserved else ""
            marked = {"VoiceUrl", "SmsUrl"}
            owned.settings.update(
                {name: (url + mark if name in marked else url) if ours else "" for name, url in WEBHOOKS.items()}
            )
    runtime.reset()
