"""Write `fields.json`: what Twilio's published OpenAPI description says of each resource that the emulator has.

`python -m tests.local.openapi FOLDER COMMIT`, where the folder is `spec/json` of a checkout of
https://github.com/twilio/twilio-oai (MIT License, Twilio Inc.) at that commit. Names, types, patterns and listed values
are taken over, no prose.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

OUTPUT: Final = Path(__file__).with_name("fields.json")
SCHEMAS: Final = {
    "twilio_api_v2010": [
        "api.v2010.account",
        "api.v2010.account.available_phone_number_country.available_phone_number_local",
        "api.v2010.account.call",
        "api.v2010.account.call.call_recording",
        "api.v2010.account.incoming_phone_number",
        "api.v2010.account.message",
        "api.v2010.account.recording",
    ],
    "twilio_events_v1": ["events.v1.sink", "events.v1.subscription", "events.v1.subscription.subscribed_event"],
    "twilio_messaging_v1": ["messaging.v1.service", "messaging.v1.service.phone_number"],
    "twilio_monitor_v1": ["monitor.v1.alert"],
    "twilio_proxy_v1": [
        "proxy.v1.service",
        "proxy.v1.service.phone_number",
        "proxy.v1.service.session",
        "proxy.v1.service.session.interaction",
        "proxy.v1.service.session.participant",
        "proxy.v1.service.session.participant.message_interaction",
    ],
}
_KEPT: Final = ("type", "format", "pattern", "enum")


def field(declared: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of one field."""
    if "$ref" in declared:
        return field(schemas[declared["$ref"].rpartition("/")[2]], schemas)
    return {name: declared[name] for name in _KEPT if name in declared}


def main(folder: str, commit: str) -> None:
    """Write the fields of every resource."""
    found: dict[str, Any] = {}
    for file, names in SCHEMAS.items():
        schemas = json.loads(Path(folder, f"{file}.json").read_text())["components"]["schemas"]
        for name in names:
            properties = schemas[name]["properties"].items()
            found[name] = {key: field(declared, schemas) for key, declared in sorted(properties)}
    said = {
        "source": f"https://github.com/twilio/twilio-oai/tree/{commit}/spec/json",
        "license": "MIT",
        "resources": found,
    }
    OUTPUT.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
