"""Receipts: the shape of the standard, and a page that anybody can read."""

from __future__ import annotations

import json
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core import receipt as module
from parley.core.consent import PROCESSORS, Method, Scope, State
from parley.core.receipt import languages, page, receipt

from tests.unit.chains import ANA, BEN, NOON, chain, event

DATA = Path(module.__file__).parent.parent / "data"
SCHEMA = json.loads((DATA / "receipt.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
LABELS = json.loads((DATA / "receipts.json").read_text(encoding="utf-8"))["languages"]
KEEP_DAYS = {"consent-evidence": 1825, "session-map": 30, "interaction-log": 400, "call-recordings": 90}
NOTICE = {
    "id": "manage",
    "version": 3,
    "language": "en",
    "sha256": "ab" * 32,
    "privacy_policy": {"url": "https://acme.example/p", "version": "2026-02"},
}
FIELDS: dict[str, Any] = {
    "notice": NOTICE,
    "purposes": ("billing", "safety"),
    "storage_region": "us-east-1",
    "controller": {"name": "Acme <Rides>", "contact": "privacy@acme.example"},
    "jurisdiction": {"codes": ["US-WA"], "source": "declared", "confidence": "high", "rules_version": None},
}


def given_to(**changes: Any) -> dict[str, Any]:
    """Return the receipt of a consent, but for `changes`."""
    (record,) = chain([event(**FIELDS, **changes)] if not set(FIELDS) & set(changes) else [event(**FIELDS | changes)])
    return receipt(record, KEEP_DAYS)


class Page(HTMLParser):
    """What a page holds: its language, its texts, what it opened and did not close, and what it would fetch."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.language, self.texts, self.fetched, self.tags = "", list[str](), list[str](), list[str]()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and what it refers to."""
        self.tags.append(tag)
        held = dict(attrs)
        self.fetched += [str(held[name]) for name in ("src", "href") if name in held]
        if tag == "html":
            self.language = held.get("lang") or ""
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close a tag, which must be the one that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if data.strip() and self._open[-1] != "style":
            self.texts.append(data.strip())


class TestShape:
    """The data of a receipt."""

    def test_schema_is_one(self) -> None:
        """The schema that ships with the functions is a JSON Schema."""
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    @given(
        scope=st.sampled_from(Scope),
        state=st.sampled_from(State),
        method=st.sampled_from(Method),
        counterpart=st.sampled_from([None, BEN]),
        notice=st.sampled_from([None, NOTICE]),
        valid_until=st.sampled_from([None, NOON + timedelta(days=365)]),
        withdrawal=st.sampled_from([None, {"channel": "sms", "words": "stop", "covers": "service"}]),
        jurisdiction=st.sampled_from([None, FIELDS["jurisdiction"]]),
        processors=st.sampled_from([(), PROCESSORS]),
    )
    def test_every_receipt_is_of_the_shape(self, **changes: Any) -> None:
        """Whatever a record says, its receipt is valid by the schema, as is its JSON read back, and makes a page."""
        made = given_to(**changes)
        VALIDATOR.validate(made)
        assert json.loads(json.dumps(made)) == made
        Page(page(made))

    def test_schema_refuses_what_is_none(self) -> None:
        """A receipt with a member missing, too many, or of another kind is not valid."""
        made = given_to()
        bad = [
            {**made, "pii_principal_id": "+12125550111"},
            {**made, "more": 1},
            {name: value for name, value in made.items() if name != "event"},
        ]
        assert [VALIDATOR.is_valid(one) for one in bad] == [False, False, False]

    def test_says_what_the_standard_asks_for(self) -> None:
        """It names the person by key, the notice, purposes, controller, recipients, place, period and the event."""
        made = given_to(valid_until=NOON + timedelta(days=1))
        processing = made["pii_processing"]
        assert (made["pii_principal_id"], made["conforms_to"]) == (ANA, "ISO/IEC TS 27560:2023")
        assert processing["privacy_notice"]["policy_url"] == "https://acme.example/p"
        assert (processing["purposes"], processing["jurisdictions"]) == (["billing", "safety"], ["US-WA"])
        assert processing["retention_period"] == {"session-map": 30, "interaction-log": 400, "consent-evidence": 1825}
        assert [each["party_role"] for each in made["party_identification"]] == ["controller", "processor"]
        assert made["event"]["valid_until"] == "2026-05-05T12:00:00.000000Z"
        assert made["kantara"]["consentTimestamp"] == int(NOON.timestamp())
        assert made["kantara"]["consentReceiptID"] == made["receipt_id"]

    def test_leaves_the_proof_out(self) -> None:
        """The proof and who reported it stay in the ledger; the record's hash ties the receipt to them."""
        made = json.dumps(given_to(evidence={"screen": "booking-7"}, actor="api:arn"))
        assert "booking-7" not in made
        assert "api:arn" not in made


class TestPage:
    """The page of a receipt."""

    @pytest.mark.parametrize("language", [*languages(), "fr"])
    def test_is_in_the_language_of_the_notice(self, language: str) -> None:
        """The page is in the language of what the person was shown, in English where there are no labels in it."""
        made = Page(page(given_to(notice={**NOTICE, "language": language})))
        assert made.language == (language if language in LABELS else "en")
        assert LABELS[made.language]["title"] in made.texts
        assert {LABELS[made.language]["states"]["given"], "2026-05-04 12:00"} <= set(made.texts)

    def test_needs_nothing_else(self) -> None:
        """It fetches nothing, runs nothing, and is built of a heading and a list of terms that readers can follow."""
        made = Page(page(given_to()))
        assert (made.fetched, "script" in made.tags) == ([], False)
        assert {"main", "h1", "dl", "dt", "dd", "title"} <= set(made.tags)

    def test_what_people_wrote_is_text(self) -> None:
        """Names from the configuration stand in the page as text, whatever they look like."""
        written = page(given_to())
        assert "Acme &lt;Rides&gt;" in written
        assert "Acme <Rides>" in Page(written).texts

    def test_every_language_has_every_label(self) -> None:
        """No language lacks a label, a state, a scope, a method or a class that a receipt can name."""
        for words in LABELS.values():
            assert set(words) == set(LABELS["en"])
            assert set(words["states"]) == set(State)
            assert set(words["scopes"]) == set(Scope)
            assert set(words["methods"]) == set(Method)
            assert set(words["classes"]) == set(LABELS["en"]["classes"])
