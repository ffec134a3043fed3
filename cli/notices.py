"""The page `docs/notices.md`, made from the texts that people are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from parley.core.disclosure import Template, Version, fill, languages, templates, values_for
from parley.core.segments import measure
from parley.core.wording import SEGMENTS_LIMIT

APP, CONTACT, LINK = "Acme Rides", "privacy@acme.example", "https://acme.example/privacy"
KEEP_DAYS: Mapping[str, int] = {
    "session-map": 90,
    "interaction-log": 400,
    "messages": 30,
    "message-media": 30,
    "call-recordings": 90,
    "consent-evidence": 1827,
}
PURPOSES: Mapping[str, Iterable[str]] = {
    "session-map": ("masking", "dispute-resolution"),
    "interaction-log": ("billing", "abuse-handling"),
    "messages": ("dispute-resolution",),
    "message-media": ("dispute-resolution",),
    "call-recordings": ("dispute-resolution",),
    "consent-evidence": ("proof-of-consent",),
}
WHEN = "2026-11-25"

HEAD = f"""# Notices

Made from `functions/parley/data/notices.json` by `make docs`, with the name {APP}, the contact
{CONTACT}, the link {LINK}, and the periods and purposes of `Pulumi.prod.yaml`.
A preview checks every text with the stack's own values. A fact that is missing or a placeholder that stays open stops
it; more than {SEGMENTS_LIMIT} segments, a character outside GSM-7 or a name that speech reads wrongly is a warning,
with the key to change.

- A text that asks for consent says that nothing goes directly, that the operator and Twilio manage it, what is kept,
  for how many days and for what, how to refuse, and where the privacy policy is (spoken: whom to ask).
- A version that somebody may have been shown is never changed: a change is a new version. An old consent must be asked
  again only if a version since then widens the purpose: it is `stale` from the deployment on, nothing opens on it, and
  the reconciler closes the sessions that rest on it. A text of your own is not ours to version and goes never stale.
- Spanish text messages leave out the accents of á, í, ó and ú, and nothing else: each of these letters alone would
  leave 70 instead of 160 characters.
- `manage`, `store` and `record` have a box of a contract each (`contract`), so that nobody agrees to one with another.
- The kit itself gives `not-connected`, `not-connected-refuse`, `opted-out`, `opted-out-undo`, `withdrawn` and
  `not-available`, and asks `manage`, `store` and `pending` by text. The other texts are for your app to show.
- The texts are no legal advice: have counsel and a native speaker review what you use.
"""


def notices_page() -> str:
    """Return the page: each notice, version, channel and language, with the length of what goes by SMS."""
    return HEAD + "".join(
        _section(template, version) for template in templates().values() for version in reversed(template.versions)
    )


def _section(template: Template, version: Version) -> str:
    kind = "asks for" if template.asks else "is about"
    scopes = (
        f"{kind} {', '.join(f'`{scope}`' for scope in sorted(template.scopes))}" if template.scopes else "asks nothing"
    )
    widens = "; widens the purpose of the version before" if version.widens else ""
    rows = [
        f"| {channel} | {language} | {_length(channel, text)} | {text.replace('|', chr(92) + '|')} |"
        for channel, wordings in version.texts.items()
        for language, text in ((one, fill(wordings[one], _values(one))) for one in languages())
    ]
    return (
        f"\n## {template.id}, version {version.number}\n\n"
        f"Since {version.effective}; {scopes}{widens}.\n\n"
        "| channel | language | as an SMS | text |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _values(language: str) -> dict[str, str]:
    values = values_for(language, app=APP, contact=CONTACT, url=LINK, keep_days=KEEP_DAYS, purposes=PURPOSES)
    return {**values, "when": WHEN}


def _length(channel: str, text: str) -> str:
    if channel != "sms":
        return ""
    length = measure(text)
    return f"{length.encoding}, {length.units} units, {length.segments} segment{'s' if length.segments > 1 else ''}"


if __name__ == "__main__":
    project = Path(__file__).resolve().parents[1]
    (project / "docs" / "notices.md").write_text(notices_page(), encoding="utf-8")
