"""The page behind a link that refuses all contact: one question, one button, in the language of the browser.

It is whole in itself and loads nothing, runs no script and keeps nothing in the browser. A link scanner that opens it
changes nothing: only the button does (RFC 8058 section 1 has the same reason for its POST).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from html import escape
from pathlib import Path

_DATA = Path(__file__).parent.parent / "data" / "optout_page.json"

STYLE = (
    "body{font:1.125rem/1.6 system-ui,sans-serif;color:#111;background:#fff;margin:0 auto;max-width:38rem;padding:2rem}"
    "button{font:inherit;color:#fff;background:#9f1010;border:0;border-radius:.4rem;padding:.9rem 1.6rem}"
    "button:focus-visible{outline:.2rem solid #111;outline-offset:.2rem}"
)

_LANGUAGE = re.compile(r"([a-z]{2})(?:-[a-z0-9-]+)?(?:;q=([01](?:\.[0-9]{0,3})?))?", re.IGNORECASE)


class Page(StrEnum):
    """Which page is shown."""

    ASK = "ask"
    DONE = "done"
    UNUSABLE = "unusable"


def headers() -> dict[str, str]:
    """Return the headers of every page: nothing is loaded, framed, kept, indexed or told to another site."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
    return {
        "cache-control": "no-store",
        "content-security-policy": (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        "referrer-policy": "no-referrer",
        "strict-transport-security": "max-age=31536000",
        "x-content-type-options": "nosniff",
        "x-robots-tag": "noindex",
    }


def language_of(accepted: str) -> str:
    """Return the language that a browser likes best of those that the page is in (RFC 9110 12.5.4), else English."""
    best, weight = "en", 0.0
    for part in accepted.split(","):
        match = _LANGUAGE.fullmatch(part.replace(" ", ""))
        if match is None or match[1].lower() not in _texts():
            continue
        wanted = float(match[2] or 1)
        if wanted > weight:
            best, weight = match[1].lower(), wanted
    return best


def page(kind: Page, language: str, *, app: str, contact: str) -> str:
    """Return a page in HTML, in the name of the controller. Raises KeyError for a language that it is not in."""
    texts = {name: escape(text.format(app=app, contact=contact)) for name, text in _texts()[language].items()}
    # Without an action the form goes to where it came from.
    button = f'<form method="post"><button type="submit">{texts["button"]}</button></form>' if kind is Page.ASK else ""
    role = ' role="status"' if kind is Page.DONE else ""
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{texts[f'{kind}_title']}</title><style>{STYLE}</style></head>"
        f"<body><main{role}><h1>{texts[f'{kind}_title']}</h1><p>{texts[f'{kind}_text']}</p>{button}"
        f"<p>{texts['contact']}</p></main></body></html>"
    )


@functools.cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    texts: Mapping[str, Mapping[str, str]] = json.loads(_DATA.read_text(encoding="utf-8"))["texts"]
    return texts
