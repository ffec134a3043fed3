"""Receipts: what a person is given of a consent, as data and as a page.

The data has the shape of ISO/IEC TS 27560:2023 (header, processing, parties, event), and the members of the Kantara
Consent Receipt 1.1 that have a counterpart here, under `kantara`; `data/receipt.schema.json` is its JSON Schema. A
receipt names people by their keys, and leaves out the proof, which is the ledger's: the record's hash ties the two.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from parley.core import moments
from parley.core.consent import CLASSES, RETENTION_CLASS, SCHEMA_VERSION, ConsentRecord

_LABELS = Path(__file__).parent.parent / "data" / "receipts.json"

STANDARD = "ISO/IEC TS 27560:2023"
KANTARA = "KI-CR-v1.1.0"
"""The version that a Kantara receipt of specification 1.1 names."""

_CONTROLLER = "controller"


def receipt(record: ConsentRecord, keep_days: Mapping[str, int]) -> dict[str, Any]:
    """Return the receipt of one record as a JSON object. `keep_days` are the declared days of each record class."""
    event = record.event
    notice = event.notice or {}
    policy = notice.get("privacy_policy") or {}
    kept = [str(each) for each in CLASSES[event.scope]]
    processors = [each["name"] for each in event.processors]
    return {
        "conforms_to": STANDARD,
        "schema_version": SCHEMA_VERSION,
        "receipt_id": record.receipt_id,
        "record_id": record.record_id,
        "record_hash": record.record_hash,
        "pii_principal_id": event.party,
        "pii_processing": {
            "services": [str(event.scope)],
            "counterpart_id": event.counterpart,
            "purposes": list(event.purposes),
            "lawful_basis": event.legal_basis,
            "collection_method": str(event.method),
            "privacy_notice": {
                "id": notice.get("id"),
                "version": notice.get("version"),
                "sha256": notice.get("sha256"),
                "policy_url": policy.get("url"),
                "policy_version": policy.get("version"),
            }
            if notice
            else None,
            "language": notice.get("language"),
            "pii_information": [{"pii_type": each} for each in kept],
            "pii_controllers": [_CONTROLLER],
            "recipient_third_parties": processors,
            "storage_locations": [event.storage_region] if event.storage_region else [],
            "retention_period": {each: keep_days[each] for each in (*kept, RETENTION_CLASS) if each in keep_days},
            "jurisdictions": list((event.jurisdiction or {}).get("codes", [])),
            "withdrawal_method": {"text": "STOP", "contact": event.controller.get("contact")},
        },
        "party_identification": [
            {
                "party_id": _CONTROLLER,
                "party_name": event.controller.get("name"),
                "party_contact": event.controller.get("contact"),
                "party_role": _CONTROLLER,
            },
            *(
                {"party_id": each["name"], "party_name": each["name"], "party_address": each.get("country")}
                | {"party_role": each.get("role")}
                for each in event.processors
            ),
        ],
        "event": {
            "event_state": str(event.state),
            "event_type": str(event.kind),
            "event_time": moments.to_text(event.effective_at),
            "recorded_at": moments.to_text(record.recorded_at),
            "valid_until": None if event.valid_until is None else moments.to_text(event.valid_until),
            "entity_id": event.party,
            "withdrawal": None if event.withdrawal is None else dict(event.withdrawal),
        },
        "kantara": {
            "version": KANTARA,
            "jurisdiction": ", ".join((event.jurisdiction or {}).get("codes", [])),
            "consentTimestamp": int(event.effective_at.timestamp()),
            "collectionMethod": str(event.method),
            "consentReceiptID": record.receipt_id,
            "language": notice.get("language"),
            "piiPrincipalId": event.party,
            "piiControllers": [
                {"piiController": event.controller.get("name"), "contact": event.controller.get("contact")}
            ],
            "policyUrl": policy.get("url"),
            "services": [
                {
                    "service": str(event.scope),
                    "purposes": [
                        {
                            "purpose": each,
                            "consentType": str(event.kind).upper(),
                            "piiCategory": kept,
                            "thirdPartyDisclosure": bool(processors),
                            "thirdPartyName": ", ".join(processors),
                        }
                        for each in event.purposes
                    ],
                }
            ],
            # Whether what somebody said was of a special category is for nobody to know before they say it.
            "sensitive": False,
        },
    }


def languages() -> tuple[str, ...]:
    """Return the languages that the page has labels in, as ISO 639-1 codes, sorted."""
    return tuple(sorted(_labels()))


def page(given: Mapping[str, Any]) -> str:
    """Return a receipt as one HTML page that needs nothing else, in the language of its notice, else in English.

    `given` comes from `receipt`.
    """
    processing, event = given["pii_processing"], given["event"]
    language = processing["language"] if processing["language"] in _labels() else "en"
    words = _labels()[language]
    controller, *processors = given["party_identification"]
    days = (
        words["days"].format(words["classes"].get(each, each), n) for each, n in processing["retention_period"].items()
    )
    rows = {
        "state": words["states"][event["event_state"]],
        "scope": words["scopes"][processing["services"][0]],
        "counterpart": processing["counterpart_id"] or words["service"],
        "method": words["methods"][processing["collection_method"]],
        "event_time": _minute(event["event_time"]),
        "valid_until": _minute(event["valid_until"]) if event["valid_until"] else words["until_withdrawn"],
        "purposes": processing["purposes"],
        "retention": list(days),
        "controller": [controller["party_name"], controller["party_contact"]],
        "processors": [each["party_name"] for each in processors],
        "storage": processing["storage_locations"],
        "policy": (processing["privacy_notice"] or {}).get("policy_url"),
        "withdraw": words["how_to_withdraw"].format(controller["party_contact"] or ""),
        "receipt_id": given["receipt_id"],
        "principal": given["pii_principal_id"],
        "record_hash": given["record_hash"],
    }
    listed = "\n".join(f"<dt>{escape(words[name])}</dt>{_values(value)}" for name, value in rows.items() if value)
    title = escape(words["title"])
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"<p>{escape(words['lead'])}</p>\n<dl>\n{listed}\n</dl>\n</main>\n</body>\n</html>\n"
    )


_STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:0}"
    "main{max-width:42rem;margin:0 auto;padding:1.5rem}dt{font-weight:600;margin-top:.75rem}"
    "dd{margin:0;overflow-wrap:anywhere}@media print{main{padding:0}}"
)


def _minute(moment: str) -> str:
    """Return a time to the minute as people read it; the label says that it is in UTC."""
    return moment[:16].replace("T", " ")


def _values(value: str | Iterable[str | None]) -> str:
    values = [value] if isinstance(value, str) else [each for each in value if each]
    return "".join(f"<dd>{escape(str(each))}</dd>" for each in values)


@functools.cache
def _labels() -> Mapping[str, Mapping[str, Any]]:
    labels: dict[str, Mapping[str, Any]] = json.loads(_LABELS.read_text(encoding="utf-8"))["languages"]
    return labels
