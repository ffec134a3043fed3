"""`POST /v1/optout-links` makes a link that refuses all contact, for your app to send or show.

A link needs no row: it is its own proof (`core.optout_link`), and works until the end that it was made with.
"""

from __future__ import annotations

from datetime import timedelta

from parley import log, runtime
from parley.adapters.numbers import parse_number
from parley.core import moments
from parley.core.identity import is_party_key, label
from parley.core.optout_link import Link, token_of
from parley.core.problem import invalid
from parley.core.requests import InvalidBodyError, link_request, read_json
from parley.web import Answer, Request, answer, failed_api, guarded, refuse

PATH = "/optout/"


@guarded("optout-links", failed_api)
def handle(request: Request) -> Answer:
    """Make a link, and answer its URL and its end."""
    try:
        wanted = link_request(read_json(request.body), parse=parse_number)
    except InvalidBodyError as error:
        return refuse(invalid(error.errors))
    identities, now = runtime.identities(), runtime.clock().now()
    party = wanted.party if is_party_key(wanted.party) else identities.party(wanted.party)
    end = (now + timedelta(days=wanted.days)).replace(microsecond=0)
    url = runtime.environment().public_url + PATH + token_of(Link(party, end), identities.sign_link)
    log.emit("optout-link-made", party=label(party), expires_at=moments.to_text(end))
    return answer(201, {"url": url, "party": party, "expires_at": moments.to_text(end)})
