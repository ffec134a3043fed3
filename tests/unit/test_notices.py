"""Notices: what people are told and asked, in every language, and the lint that holds it against a stack."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.consent import Scope, canonical_json, sha256_hex
from parley.core.disclosure import (
    CHANNELS,
    COVERED,
    Notice,
    Template,
    Version,
    asking_for,
    fill,
    known,
    language_for,
    languages,
    not_direct,
    notice,
    purpose_words,
    purposes_with_words,
    render,
    speech_locale,
    stale,
    templates,
    values_for,
)
from parley.core.optout import meaning
from parley.core.segments import measure
from parley.core.wording import CONTACT, DATA, LINK, NAME, Finding, lint, missing_facts

STACK: dict[str, Any] = {
    "app": "AcmeRides",
    "contact": "privacy@acme.example",
    "url": "acme.ex/p",
    "keep_days": {
        "session-map": 90,
        "interaction-log": 400,
        "messages": 30,
        "message-media": 14,
        "call-recordings": 60,
        "consent-evidence": 1827,
    },
    "purposes": {
        "session-map": ("masking", "dispute-resolution"),
        "interaction-log": ("billing", "dispute-resolution"),
        "messages": ("dispute-resolution",),
        "message-media": ("dispute-resolution",),
        "call-recordings": ("training", "quality", "safety"),
        "consent-evidence": ("proof-of-consent",),
    },
}
CARRIED = ("voice", "sms")
WORDINGS = [
    pytest.param(template, channel, language, id=f"{template.id}-{channel}-{language}")
    for template in templates().values()
    for channel in template.current.texts
    for language in languages()
]
SMS = [
    (template.id, language) for template in templates().values() for language in template.current.texts.get("sms", ())
]


def values(language: str) -> dict[str, str]:
    """Return the values of the sample company."""
    return values_for(language, **STACK) | {"when": "2026-11-25"}


def findings(channels: tuple[str, ...] = CARRIED, **changed: Any) -> tuple[Finding, ...]:
    """Return what lint finds in the sample stack with something changed."""
    return lint(languages(), channels, **(STACK | changed))


def changed(notice_id: str, channel: str, language: str, text: str | None) -> dict[str, Template]:
    """Return the notices with one wording changed, or left out."""
    template = templates()[notice_id]
    wordings = {**template.current.texts[channel], language: text}
    texts = {**template.current.texts, channel: {key: one for key, one in wordings.items() if one is not None}}
    version = dataclasses.replace(template.current, texts=texts)
    return {**templates(), notice_id: dataclasses.replace(template, versions=(version,))}


class TestWordings:
    """The reviewed texts."""

    @pytest.mark.parametrize(("template", "channel", "language"), WORDINGS)
    def test_states_every_fact(self, template: Template, channel: str, language: str) -> None:
        """Each text names the operator and Twilio; one that asks states all that an answer must rest on (R4, R10)."""
        assert missing_facts(template, channel, language, template.current.texts[channel][language]) == ()
        given_ = render(template.id, channel, language, values(language))
        assert (given_.language, given_.channel, given_.version) == (language, channel, template.current.number)
        assert "AcmeRides" in given_.text
        assert "Twilio" in given_.text
        assert "{" not in given_.text
        if template.asks and channel != "announcement":
            assert any(marker in given_.text for marker in not_direct(language))
            assert STACK["contact" if channel == "voice" else "url"] in given_.text
            (scope,) = template.scopes
            days = {Scope.MANAGE: "400", Scope.STORE_MESSAGES: "30", Scope.RECORD_VOICE: "60"}[scope]
            assert f"{days}" in given_.text
            assert values(language)[f"{COVERED[scope]}_purpose"] in given_.text

    @pytest.mark.parametrize(("template", "channel", "language"), WORDINGS)
    def test_is_no_stop_word(self, template: Template, channel: str, language: str) -> None:
        """No text of the service, sent back or quoted, is itself read as a request or an answer."""
        text = render(template.id, channel, language, values(language)).text
        assert meaning(text, asked=True) is None

    def test_every_language_and_channel_is_there(self) -> None:
        """Each notice has each of its channels in all four languages, in every version."""
        assert languages() == ("de", "en", "es", "ja")
        for template in templates().values():
            for version in template.versions:
                assert set(version.texts) <= set(CHANNELS)
                assert all(set(wordings) == set(languages()) for wordings in version.texts.values())

    def test_each_purpose_of_consent_is_asked_apart(self) -> None:
        """Managing, storing and recording have a notice and a box each, which covers that scope alone (R9, R11)."""
        boxes = {one.id: one.scopes for one in templates().values() if "contract" in one.current.texts}
        assert boxes == {
            "manage": {Scope.MANAGE},
            "store": {Scope.STORE_MESSAGES},
            "record": {Scope.RECORD_VOICE},
        }
        assert all(
            text.startswith("[ ] ") for one in boxes for text in templates()[one].current.texts["contract"].values()
        )

    def test_each_question_says_what_it_asks_for(self) -> None:
        """Each notice that asks for a consent is found by its scopes, and no other one is."""
        asks = {scope: asking_for(scope) for scope in Scope}
        assert asks == dict.fromkeys(Scope, ()) | {
            Scope.MANAGE: ("manage", "pending"),
            Scope.STORE_MESSAGES: ("store",),
            Scope.RECORD_VOICE: ("record", "whisper-ask"),
        }
        assert {one for each in asks.values() for one in each} == {one.id for one in templates().values() if one.asks}

    @pytest.mark.parametrize("language", ["de", "en", "es", "ja"])
    def test_recording_is_asked_with_three_keys(self, language: str) -> None:
        """The question before a recorded call offers 1, 2 and 9, and silence is no."""
        text = templates()["record"].current.texts["voice"][language]
        assert [key for key in text if key.isdigit()] == ["1", "2", "9"]

    @pytest.mark.parametrize("language", ["de", "en", "es", "ja"])
    def test_other_side_learns_nothing(self, language: str) -> None:
        """Who is not connected is told neither of a refusal nor of a withdrawal of the other person."""
        words = (
            "STOP",
            "abgemeldet",
            "widerruf",
            "withdr",
            "refus",
            "opt",
            "consent",
            "rechaz",
            "撤回",
            "拒否",
            "同意",
        )
        for text in templates()["not-available"].current.texts.values():
            assert not [word for word in words if word in text[language]]

    @pytest.mark.parametrize("purpose", purposes_with_words())
    def test_purposes_fit_into_a_text(self, purpose: str) -> None:
        """The words of a purpose turn no text into UCS-2, but for Japanese."""
        assert not [one for one in languages() if one != "ja" and measure(purpose_words(purpose, one) or "").offending]

    @pytest.mark.parametrize(
        ("number", "language"),
        [("+12125550111", "en"), ("+447700900111", "en"), ("+81000000000", "ja"), ("+34000000000", "es"),
         ("+593000000000", "es"), ("+490000000000", "de"), ("+4230000000", "de")],
    )  # fmt: skip
    def test_language_of_a_number(self, number: str, language: str) -> None:
        """People are addressed in the language of their number's country, else in English."""
        assert language_for(number) == language
        assert speech_locale(language).startswith(language)


class TestGolden:
    """What the sample company's people get."""

    LENGTHS: Mapping[tuple[str, str], tuple[int, int]] = {
        ("manage", "de"): (236, 2),
        ("manage", "en"): (214, 2),
        ("manage", "es"): (233, 2),
        ("manage", "ja"): (91, 2),
        ("media-refused", "de"): (171, 2),
        ("media-refused", "en"): (145, 1),
        ("media-refused", "es"): (161, 2),
        ("media-refused", "ja"): (61, 1),
        ("not-available", "de"): (162, 2),
        ("not-available", "en"): (155, 1),
        ("not-available", "es"): (180, 2),
        ("not-available", "ja"): (70, 1),
        ("not-connected", "de"): (148, 1),
        ("not-connected", "en"): (153, 1),
        ("not-connected", "es"): (150, 1),
        ("not-connected", "ja"): (65, 1),
        ("opted-out", "de"): (149, 1),
        ("opted-out", "en"): (125, 1),
        ("opted-out", "es"): (135, 1),
        ("opted-out", "ja"): (57, 1),
        ("opted-out-undo", "de"): (194, 2),
        ("opted-out-undo", "en"): (149, 1),
        ("opted-out-undo", "es"): (168, 2),
        ("opted-out-undo", "ja"): (87, 2),
        ("pending", "de"): (244, 2),
        ("pending", "en"): (241, 2),
        ("pending", "es"): (231, 2),
        ("pending", "ja"): (92, 2),
        ("store", "de"): (214, 2),
        ("store", "en"): (194, 2),
        ("store", "es"): (218, 2),
        ("store", "ja"): (93, 2),
        ("withdrawn", "de"): (117, 1),
        ("withdrawn", "en"): (105, 1),
        ("withdrawn", "es"): (140, 1),
        ("withdrawn", "ja"): (57, 1),
    }

    @pytest.mark.parametrize(("notice_id", "language"), SMS)
    def test_lengths(self, notice_id: str, language: str) -> None:
        """Each text message has the units and segments that were reviewed, and only Japanese needs UCS-2."""
        length = measure(render(notice_id, "sms", language, values(language)).text)
        assert (length.units, length.segments) == self.LENGTHS[notice_id, language]
        assert length.encoding == ("UCS-2" if language == "ja" else "GSM-7")

    def test_question_to_manage(self) -> None:
        """The question in English, word for word."""
        assert render("manage", "sms", "en", values("en")).text == (
            "AcmeRides: Texts and calls go through us and our provider Twilio, not directly. We keep who contacted "
            "whom for 400 days (purpose: number privacy, disputes and billing). Reply YES to agree, STOP to refuse. "
            "acme.ex/p"
        )

    def test_question_to_store(self) -> None:
        """The question in Spanish, word for word."""
        assert render("store", "sms", "es", values("es")).text == (
            "AcmeRides: sus mensajes pasan por nosotros y nuestro proveedor Twilio, no van directos. ¿Nos permite "
            "guardarlos 30 dias (fin: disputas)? Responda SI para aceptar, NO para rechazar o BAJA para no recibir "
            "nada. acme.ex/p"
        )

    def test_question_to_record(self) -> None:
        """The spoken question in German, word for word."""
        assert render("record", "voice", "de", values("de")).text == (
            "Dieser Anruf läuft über AcmeRides und den Dienstleister Twilio, nicht direkt zu Ihrem Gegenüber. Nur wenn "
            "Sie einwilligen, zeichnen wir das Gespräch auf und bewahren die Aufnahme 60 Tage auf. Zweck: Schulung, "
            "Qualitätssicherung und Sicherheit der Nutzer. Drücken Sie 1, um in die Aufzeichnung einzuwilligen, 2, um "
            "ohne Aufzeichnung fortzufahren, oder 9, um keine Anrufe dieses Dienstes mehr zu erhalten. Ohne Eingabe "
            "wird nicht aufgezeichnet. Auskunft und unsere Datenschutzerklärung erhalten Sie unter "
            "privacy@acme.example."
        )

    def test_announcement(self) -> None:
        """The beginning of a recording in Japanese, word for word."""
        text = render("record", "announcement", "ja", values("ja")).text
        assert text == "ただいまから、全員の同意のもと、AcmeRidesと委託先のTwilioがこの通話を録音します。"

    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("de", "Schulung, Qualitätssicherung und Sicherheit der Nutzer"),
            ("ja", "従業員の研修、品質確認、利用者の安全確保"),
        ],
    )
    def test_purposes_are_listed(self, language: str, words: str) -> None:
        """Several purposes read as a list of the language."""
        assert values(language)["recording_purpose"] == words

    def test_longest_period_counts(self) -> None:
        """Where a notice speaks of two classes, it names the longer period and each purpose once."""
        assert values("en")["log_days"] == "400"
        assert values("en")["log_purpose"] == "number privacy, disputes and billing"


class TestReference:
    """What a consent record names a notice by."""

    def test_exact_words(self) -> None:
        """A reference has the text's id, version, language and channel, and the hash of its very words."""
        told = Notice("calling", "voice", 1, "en", "This is Acme.")
        assert told.reference == {
            "id": "calling",
            "version": 1,
            "language": "en",
            "channel": "voice",
            "sha256": sha256_hex("This is Acme."),
        }


class TestVersions:
    """Texts that somebody may have been shown stay as they are."""

    SHOWN: Mapping[tuple[str, int], str] = {
        ("calling", 1): "d6d5c5c2316d1623",
        ("calling-group", 1): "b515c47ab751f141",
        ("calling-recorded", 1): "74d11676fbe6ee51",
        ("manage", 1): "a430ebc5945470e2",
        ("media-refused", 1): "c03042c86e1a001d",
        ("not-available", 1): "d3b9d1fc92d6da6a",
        ("not-connected", 1): "8ca93e28cf38d27f",
        ("not-connected-refuse", 1): "f806e62084dfbfc0",
        ("opted-out", 1): "6faeca493e68ae1b",
        ("opted-out-undo", 1): "4c86381fd5afea94",
        ("pending", 1): "1f445e1bc1e9bbcb",
        ("record", 1): "b9d14e6e1a2ded3c",
        ("store", 1): "171a81d0aba2b296",
        ("whisper", 1): "9b737daae8cab0e0",
        ("whisper-ask", 1): "7618a4444710b9d5",
        ("whisper-group", 1): "9eb6a73c3f171f71",
        ("whisper-recorded", 1): "7a51b047012cdbe5",
        ("withdrawn", 1): "c9dcd4789784b558",
    }

    def test_shown_texts_never_change(self) -> None:
        """Each version has the text that it was published with: a change needs a new version."""
        found = {
            (template.id, version.number): sha256_hex(canonical_json(version.texts))[:16]
            for template in templates().values()
            for version in template.versions
        }
        assert found == self.SHOWN

    def test_versions_follow_each_other(self) -> None:
        """Versions are numbered from 1, each later than the one before, and the first widens nothing."""
        for template in templates().values():
            assert [version.number for version in template.versions] == list(range(1, len(template.versions) + 1))
            days = [version.effective for version in template.versions]
            assert days == sorted(set(days))
            assert not template.versions[0].widens

    def test_version_by_number(self) -> None:
        """A notice is given in its current version or, for a proof, in the one that is named."""
        template = templates()["manage"]
        assert template.version() is template.version(1) is template.current
        assert render("manage", "sms", "en", values("en"), version=1) == render("manage", "sms", "en", values("en"))
        with pytest.raises(KeyError, match="manage has no version 99"):
            template.version(99)

    def test_hash_is_of_the_text_given(self) -> None:
        """The proof is the SHA-256 of exactly what the person got."""
        given_ = render("manage", "sms", "en", values("en"))
        assert given_.sha256 == sha256_hex(given_.text)

    @given(st.lists(st.booleans(), min_size=1, max_size=6), st.integers(0, 8))
    def test_consent_is_stale_after_a_wider_purpose(self, widens: list[bool], given_version: int) -> None:
        """A consent must be asked again exactly if a later version widened the purpose, or nobody knows its version."""
        template = Template("x", True, frozenset({Scope.MANAGE}), versions(widens))
        known = 1 <= given_version <= len(widens)
        assert stale(given_version, template) == (not known or any(widens[given_version:]))

    @given(st.lists(st.booleans(), min_size=1, max_size=6), st.booleans())
    def test_new_version_never_makes_a_stale_consent_fresh(self, widens: list[bool], more: bool) -> None:
        """A consent that is stale stays so, whatever versions follow."""
        before = Template("x", True, frozenset({Scope.MANAGE}), versions(widens))
        after = dataclasses.replace(before, versions=versions([*widens, more]))
        assert all(stale(one, after) for one in range(1, len(widens) + 1) if stale(one, before))

    @given(st.sampled_from(sorted(templates())), st.integers(-1, 9) | st.booleans() | st.text(max_size=2), st.text())
    def test_only_what_was_ever_shown_is_known(self, notice_id: str, version: object, language: str) -> None:
        """A version is known exactly if the file has it, and a language exactly if that version is in it."""
        there = type(version) is int and version in {one.number for one in templates()[notice_id].versions}
        assert known(notice_id, version) == there
        assert all(known(notice_id, version, one) == there for one in languages())
        assert not known(notice_id, version, f"{language}x")

    def test_consent_to_the_current_version_is_fresh(self) -> None:
        """Nothing is stale against the version that was agreed to."""
        assert not any(stale(template.current.number, template) for template in templates().values())


class TestRendering:
    """Templates and values."""

    def test_unknown_language_gets_english(self) -> None:
        """A language without wordings gets the English one, and the notice says so."""
        short = {"app": "A", "contact": "c", "url": "u"}
        assert notice("opted-out", "sms", "fi", **short).language == "en"
        assert notice("opted-out", "sms", "de", **short).text.startswith("A: Sie sind abgemeldet.")

    @pytest.mark.parametrize(
        ("notice_id", "channel"), [("no-such", "sms"), ("store", "announcement"), ("store", "sms")]
    )
    def test_what_is_missing_is_an_error(self, notice_id: str, channel: str) -> None:
        """A notice, a channel or a value that is not there is never passed over."""
        with pytest.raises(KeyError):
            notice(notice_id, channel, "en", app="A", contact="c", url="u")

    @given(st.text(max_size=20))
    def test_values_are_taken_as_they_are(self, value: str) -> None:
        """A value may hold anything, even a placeholder: it is never filled in itself."""
        assert fill("{app}, {url}", {"app": value, "url": "u"}) == f"{value}, u"

    def test_undeclared_class_has_no_values(self) -> None:
        """What the schedule does not declare has neither days nor purposes."""
        found = values_for("en", **(STACK | {"keep_days": {"messages": 30}, "purposes": {}}))
        assert sorted(found) == ["app", "contact", "message_days", "message_purpose", "url"]
        assert found["message_purpose"] == ""


class TestLint:
    """The notices with a stack's own values."""

    def test_sample_stack_is_right(self) -> None:
        """A stack with a name and a link of usual length has nothing to tell."""
        assert findings() == ()

    @pytest.mark.parametrize("character", ["í", "’", "–"])
    def test_name_that_halves_the_room(self, character: str) -> None:
        """A character outside GSM-7 in the name is one warning, with the character and every notice it lengthens."""
        (found,) = findings(app=f"Acme{character}")
        assert (found.level, found.key) == ("warning", NAME)
        assert str(found).startswith(
            f"{NAME}: has {character!r} (U+{ord(character):04X}) outside GSM-7, which leaves 70"
        )
        assert "manage by sms (de, en, es)" in str(found)
        assert str(found).endswith("; write it without")

    def test_wording_that_halves_the_room(self) -> None:
        """A character outside GSM-7 that slipped into a text is told with its notice and language."""
        text = templates()["store"].current.texts["sms"]["es"].replace("dias", "días")
        (found,) = findings(notices=changed("store", "sms", "es", text))
        assert (found.level, found.key, found.places) == ("warning", DATA, (("store", "sms", "es"),))
        assert "'í' (U+00ED)" in str(found)

    def test_link_that_is_too_long(self) -> None:
        """A link that makes three segments of two is told with how much is too much."""
        (found,) = findings(url="https://example.com/" + "p" * 60)
        assert (found.level, found.key) == ("warning", LINK)
        assert found.excess > 0
        assert f"too long for 2 SMS segments by up to {found.excess} characters: manage by sms (" in str(found)
        fits = "https://example.com/" + "p" * (60 - found.excess)
        assert findings(url=fits) == ()

    def test_name_that_is_too_long(self) -> None:
        """Where the name is longer than the link, it is the name that is told."""
        assert {one.key for one in findings(app="Acme " * 20)} == {NAME}

    @pytest.mark.parametrize(
        "dropped", ["Twilio", "{app}", "not directly", "{log_days}", "{log_purpose}", "STOP", "{url}"]
    )
    def test_fact_that_was_dropped(self, dropped: str) -> None:
        """A wording that no longer states something is an error with the notice, the language and the fact."""
        text = templates()["manage"].current.texts["sms"]["en"].replace(dropped, "…")
        found = [one for one in findings(notices=changed("manage", "sms", "en", text)) if one.level == "error"]
        assert [(one.key, one.places) for one in found] == [(DATA, (("manage", "sms", "en"),))]
        assert dropped in str(found[0])
        assert "manage by sms (en)" in str(found[0])

    def test_spoken_way_to_refuse_that_was_dropped(self) -> None:
        """A spoken question without the key to refuse is an error, even if a period has that digit."""
        text = templates()["record"].current.texts["voice"]["en"].replace("9 to", "90 to")
        levels = {one.level: one.reason for one in findings(notices=changed("record", "voice", "en", text))}
        assert levels == {
            "error": "does not state a way to refuse (9)",
            "warning": "has a number that speech may read wrongly",
        }

    def test_wording_that_is_missing(self) -> None:
        """A language without a wording is an error."""
        (found,) = findings(notices=changed("store", "receipt", "ja", None))
        assert str(found) == f"{DATA}: has no wording: store by receipt (ja); write one"

    def test_placeholder_that_nobody_fills(self) -> None:
        """A placeholder that there is no value for is an error."""
        text = templates()["store"].current.texts["sms"]["en"] + " {peer}"
        (found,) = findings(notices=changed("store", "sms", "en", text))
        assert (found.level, found.reason) == ("error", "leaves the placeholder peer open")

    @pytest.mark.parametrize(("value", "key"), [("app", NAME), ("url", LINK), ("contact", CONTACT)])
    def test_placeholder_in_a_value(self, value: str, key: str) -> None:
        """A value that is itself a template is an error of its key."""
        spoiled: dict[str, Any] = {value: "{name}"}
        assert {one.key for one in findings(**spoiled) if one.level == "error"} == {key}

    def test_line_break_in_a_value(self) -> None:
        """A line break in a name would break every text."""
        assert [(one.level, one.key) for one in findings(app="Acme\nRides")] == [("error", NAME)]

    @pytest.mark.parametrize("app", ["Acme & Co", "Ride24", "Acme/Rides", "Acme_Rides", "Acme*"])
    def test_name_that_speech_reads_wrongly(self, app: str) -> None:
        """Symbols and numbers in the name are told where calls are connected, and only there."""
        (found,) = findings(app=app)
        assert (found.level, found.key, found.way_out) == ("warning", NAME, "write it as it is spoken")
        assert findings(("sms",), app=app) == ()

    @pytest.mark.parametrize("contact", ["https://acme.example/help", "www.acme.example", "+1 202 555 0112"])
    def test_contact_that_speech_reads_wrongly(self, contact: str) -> None:
        """A link or a number as contact is told where calls are connected, without repeating it."""
        (found,) = findings(contact=contact)
        assert (found.level, found.key) == ("warning", CONTACT)
        assert contact not in str(found)

    def test_purpose_without_words(self) -> None:
        """A purpose that has no words is told with the key of the schedule and those that have."""
        (found,) = findings(purposes=STACK["purposes"] | {"messages": ("fun",)})
        assert found.key == "parley:records.messages.purposes"
        assert "dispute-resolution" in found.way_out
        assert values_for("en", **(STACK | {"purposes": {"messages": ("fun",)}}))["message_purpose"] == "fun"

    def test_purpose_that_halves_the_room(self) -> None:
        """A purpose of the stack's own with a character outside GSM-7 is told with the key of the schedule."""
        found = findings(purposes=STACK["purposes"] | {"messages": ("investigación",)})
        (length,) = (one for one in found if "U+00F3" in one.reason)
        assert (length.level, length.key) == ("warning", "parley:records")
        assert length.places == tuple(("store", "sms", language) for language in ("de", "en", "es"))

    def test_what_is_never_given_is_not_looked_at(self) -> None:
        """Notices of channels and records that the stack does not have are passed over."""
        broken = changed("record", "voice", "en", "{peer}") | {
            "store": changed("store", "sms", "en", "{peer}")["store"]
        }
        kept = {name: days for name, days in STACK["keep_days"].items() if name not in {"messages", "message-media"}}
        assert findings(("sms",), keep_days=kept, notices=broken) == ()

    @given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
    def test_any_values_give_findings_and_never_fail(self, app: str, contact: str, url: str) -> None:
        """Whatever a stack declares, lint answers, each reason once and errors first."""
        found = findings(app=app, contact=contact, url=url)
        assert len({(one.level, one.key, one.reason) for one in found}) == len(found)
        assert [one.level for one in found] == sorted(one.level for one in found)


def versions(widens: list[bool]) -> tuple[Version, ...]:
    """Return versions that widen the purpose or not, from 1."""
    return tuple(Version(number, date(2026, 1, number), each, {}) for number, each in enumerate(widens, 1))
