"""The one-click page that refuses all contact.

`GET /optout/{token}` shows the page and never withdraws anything, since link scanners open every link. `POST
/optout/{token}` does, pressed by the person or, for `List-Unsubscribe-Post: List-Unsubscribe=One-Click`, by their mail
program (RFC 8058). Whoever holds a link may use it: all it can do is to refuse. A link that was not made here, and one
whose time is over, tell nothing else. `handlers.optout_links` makes links.
"""

from __future__ import annotations

from datetime import datetime

from parley import log, runtime
from parley.core.consent import NO, Method, Scope, Standing, sha256_hex
from parley.core.optout_link import ExpiredLinkError, ForgedLinkError, Link, link_of
from parley.core.optout_page import Page, headers, language_of, page
from parley.telling import confirm_in
from parley.variables import EnvironmentMismatchError
from parley.web import Answer, MalformedError, Request, guarded, unavailable
from parley.withdrawal import Withdrawn, close_denied, withdraw

ONE_CLICK = {"List-Unsubscribe": ["One-Click"]}


def _failed(error: Exception) -> Answer:
    if isinstance(error, EnvironmentMismatchError):
        # Not even the name of whom to turn to is known.
        return unavailable("The refusal could not be recorded; text STOP instead.")
    return _show(503, Page.UNUSABLE, "en")


@guarded("optout", _failed)
def handle(request: Request) -> Answer:
    """Show the page, or withdraw everything and say so."""
    now, language = runtime.clock().now(), language_of(request.headers.get("accept-language", ""))
    try:
        token = request.parameter("token")
        link = link_of(token, runtime.identities().sign_link, now)
    except ForgedLinkError:
        return _show(404, Page.UNUSABLE, language)
    except ExpiredLinkError:
        return _show(410, Page.UNUSABLE, language)
    if request.method != "POST":
        return _show(200, Page.ASK, language)
    _withdraw(link, token, now, one_click=_is_one_click(request))
    return _show(200, Page.DONE, language)


def _is_one_click(request: Request) -> bool:
    """Tell whether a mail program asks rather than the page."""
    try:
        return request.form() == ONE_CLICK
    except MalformedError:
        return False


def _withdraw(link: Link, token: str, now: datetime, *, one_click: bool) -> None:
    """Withdraw everything that is not withdrawn yet, and close what rests on it.

    The same link works again for somebody who agreed anew since: what counts once is a press at one state of things.
    """
    ledger, carrier, clock = runtime.ledger(), runtime.carrier(), runtime.clock()
    standings = ledger.standings_of(link.party)
    sessions = ledger.open_sessions_of(link.party)
    done = None if _is_withdrawn(standings) else _append(link, token, now, standings, one_click=one_click)
    close_denied(ledger, carrier, clock, link.party, reason="opted-out")
    if one_click and done is not None and done.first and sessions:
        # Nobody reads the page that a mail program is shown.
        confirm_in(carrier, "withdrawn", sessions[0], link.party)
    log.decision("optout", permit=False, reasons=["opted-out"], parties=[link.party])


def _append(link: Link, token: str, now: datetime, standings: list[Standing], *, one_click: bool) -> Withdrawn:
    seen = max((one.seq for one in standings), default=0)
    return withdraw(
        runtime.ledger(),
        party=link.party,
        source=f"optout-link:{sha256_hex(token)[:32]}:{seen}",
        method=Method.IN_APP,
        evidence={"screen": "optout-link", "action": "one-click" if one_click else "button"},
        withdrawal={"channel": "web", "words": ""},
        said_at=now,
        actor="fn:optout",
        controller=runtime.environment().controller,
    )


def _is_withdrawn(standings: list[Standing]) -> bool:
    said_no = {one.scope for one in standings if one.counterpart is None and one.state in NO}
    return said_no == set(Scope)


def _show(status: int, kind: Page, language: str) -> Answer:
    controller = runtime.environment().controller
    body = page(kind, language, app=controller.name, contact=controller.contact)
    return {
        "statusCode": status,
        "headers": {**headers(), "content-type": "text/html; charset=utf-8", "content-language": language},
        "body": body,
    }
