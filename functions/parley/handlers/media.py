"""`GET` and `HEAD /twilio/media/{token}`: a file that is passed on, read from Twilio while Twilio sends it (`direct`).

Nothing of it is kept here. The address is its own proof: it was made for one file of one message, a few minutes ago
(`core/media_link.py`); Twilio does not sign what it fetches.
"""

from __future__ import annotations

import base64
from typing import Final

from parley import log, runtime
from parley.adapters.twilio_api import media_pieces
from parley.core.media_link import ForgedMediaLinkError, link_of
from parley.core.problem import problem
from parley.core.records import Resource, ResourceKind
from parley.web import Answer, Request, guarded, refuse, unavailable

LIMIT: Final = 4_500_000
"""Bytes of a file: as base64 it is just within what a function may answer (6 MB, Lambda quotas)."""
PIECE: Final = 256 * 1024


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedMediaLinkError):
        return refuse(problem("not-permitted", 403, "This address leads nowhere, or its time is over."))
    return unavailable("The file cannot be read now.")


@guarded("media", _failed)
def handle(request: Request) -> Answer:
    """Answer the file, 413 if it is too large to be passed on; to HEAD only its type."""
    link = link_of(request.parameter("token"), runtime.identities().sign_link, runtime.clock().now())
    resource = Resource(ResourceKind.MEDIA, link.media, link.message)
    data = bytearray()
    with runtime.twilio_records().media(resource) as answer:
        media_type = answer.headers.get("Content-Type", "application/octet-stream")
        if request.method == "HEAD":
            return {"statusCode": 200, "headers": {"content-type": media_type, "cache-control": "no-store"}}
        for piece in media_pieces("fetch-media", answer, PIECE):
            data += piece
            if len(data) > LIMIT:
                log.emit("media-too-large", "WARNING", resource=link.media)
                return refuse(problem("media-too-large", 413, f"Files of more than {LIMIT} bytes are not passed on."))
    log.emit("media-passed-on", resource=link.media, size=len(data))
    return {
        "statusCode": 200,
        "headers": {"content-type": media_type, "cache-control": "no-store"},
        "body": base64.b64encode(data).decode("ascii"),
        "isBase64Encoded": True,
    }
