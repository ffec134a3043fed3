"""Erasure: which items there are, in which order they go, what remains and why, and the proof."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core import erasure as core
from parley.core.consent import GENESIS, Head, Scope, State
from parley.core.erasure import (
    KINDS,
    Deployment,
    Erasure,
    Item,
    Progress,
    ProofError,
    Remains,
    Settled,
    Signed,
    Stage,
    System,
    What,
    Why,
)
from parley.core.record_classes import RecordClass
from parley.core.records import Record, ResourceKind
from parley.core.requests import ErasureRequest, InvalidBodyError, erasure_request
from parley.core.retention import Limit
from parley.core.sids import SidError
from parley.core.suppression import UNPROVEN, Suppression, is_explained, is_proof_of
from parley.env import ConsentPolicy, SessionPolicy, from_environment, to_environment
from parley.variables import Controller, EnvironmentMismatchError

from tests.unit.test_retention import declaration, parse

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ANA, BEN = "a" * 64, "b" * 64
KC, KI, CA, SM, RE, ME = (f"{prefix}{'1' * 32}" for prefix in ("KC", "KI", "CA", "SM", "RE", "ME"))
MUST_LAST = (
    *("call_recordings", "video_recordings", "messages", "message_media", "interaction_log", "consent_evidence"),
)
"""Classes that MiFID II keeps for years, and those that must outlive them."""
ASKED = Erasure("er_" + "0" * 32, ANA, NOON, 7, by_number=True, reason="art-17")
PLACE = Deployment("prod", "prod", "Acme", "ab" * 32)


def record(**changes: Any) -> Record:
    """Return a recording of a session of Ana and Ben."""
    return replace(
        Record(RE, ResourceKind.RECORDING, RecordClass.CALL_RECORDINGS, KC, CA, (ANA, BEN), (), NOON), **changes
    )


class TestItems:
    """What an erasure is made of."""

    def test_record(self) -> None:
        """A recording is there at Twilio, in the bucket and in the ledger, where everybody in it points at it."""
        items = core.record_items(record())
        assert [(item.kind, item.place) for item in items] == [
            ("recording", RE),
            ("object-versions", f"call-recordings/{KC}/{RE}"),
            ("record-rows", f"RECORD#{RE}"),
            ("pointer-rows", f"PARTY#{ANA}"),
            ("pointer-rows", f"PARTY#{BEN}"),
            ("pointer-rows", f"SESSION#{KC}"),
        ]
        assert {item.system for item in items} == {System.TWILIO, System.CONTENT, System.LEDGER}
        assert {(item.session, item.parties) for item in items} == {(KC, (ANA, BEN))}

    def test_record_under_another_key(self) -> None:
        """An object that is not where it should be is found by the key that the record names."""
        prefixes = [item.place for item in core.record_items(record(key="call-recordings/x/y.wav"))]
        assert "call-recordings/x/y.wav" in prefixes
        assert core.record_items(record(key=f"call-recordings/{KC}/{RE}.wav")) == core.record_items(record())

    def test_record_without_session(self) -> None:
        """What belongs to no session has no pointer there; a media file is found below its message."""
        media = record(sid=ME, kind=ResourceKind.MEDIA, record_class=RecordClass.MESSAGE_MEDIA, parent=SM, session="")
        items = core.record_items(media)
        assert not [item for item in items if item.place.startswith("SESSION#")]
        assert items[0].resource is not None
        assert items[0].resource.parent == SM

    def test_session(self) -> None:
        """A session is there with its interactions and all legs of them, each once, and everybody's pointers to it."""
        rows = [
            {
                "sid": KI,
                "inbound_resource": CA,
                "outbound_resource": "CA" + "2" * 32,
                "created_at": "2026-05-04T12:00Z",
            },
            {
                "sid": KI,
                "inbound_resource": CA,
                "outbound_resource": "CA" + "2" * 32,
                "created_at": "2026-05-04T12:00Z",
            },
            {"sid": "KI" + "2" * 32, "inbound_resource": SM, "outbound_resource": "XX1"},
            {"sid": "KI" + "3" * 32, "inbound_resource": "CA" + "3" * 32},
        ]
        items = core.session_items(KC, (ANA, BEN), rows)
        kinds = [item.kind for item in items]
        assert kinds.count("interaction") == 3
        assert kinds.count("call") == 3
        assert kinds.count("call-archive") == 2  # the day of the third is not known
        assert kinds.count("message") == 1
        assert kinds.count("session") == 1
        assert [(item.place, item.parent) for item in items if item.kind == "pointer-rows"] == [
            (f"PARTY#{party}", f"{pointer}#{KC}") for party in (ANA, BEN) for pointer in ("SESSION", "PAST")
        ]

    def test_intent(self) -> None:
        """An intent has rows and nothing at Twilio."""
        kinds = {item.kind for item in core.session_items("si_" + "1" * 32, (ANA, BEN), [])}
        assert kinds == {"session-rows", "pointer-rows"}

    def test_person_goes_last(self) -> None:
        """What everything was found by goes after it, and the person's own rows last of all."""
        items = [*core.person_items(ANA, 7, 30), *core.record_items(record()), *core.session_items(KC, (ANA,), [])]
        ordered = sorted(items, key=lambda item: item.name)
        assert ordered[-1].kind == What.PERSON_ROWS
        assert [KINDS.index(item.kind) for item in ordered] == sorted(KINDS.index(item.kind) for item in items)
        assert core.counts(items)[-1] == {"system": "ledger", "kind": "person-rows", "count": 30}

    def test_kinds_by_sid(self) -> None:
        """A SID tells the kind of what it names, and other texts tell nothing."""
        assert core.kind_of(CA) is ResourceKind.CALL
        assert core.kind_of("MM1") is ResourceKind.MESSAGE
        assert core.kind_of("") is None

    def test_parents_only_where_there_are_any(self) -> None:
        """A call has no parent in its path, an interaction has, and a SID that is none is refused."""
        assert core.resource_item(ResourceKind.CALL, CA, parent=KC).parent == ""
        assert core.resource_item(ResourceKind.INTERACTION, KI, parent=KC).parent == KC
        with pytest.raises(SidError):
            _ = core.resource_item(ResourceKind.CALL, "../x").resource
        assert core.person_items(ANA, 0, 0)[0].resource is None

    @pytest.mark.parametrize(
        ("item", "expected"),
        [
            (Item(What.OBJECTS, f"message-media/{KC}/{ME}"), RecordClass.MESSAGE_MEDIA),
            (Item(What.COPIES, f"consent-evidence/{ANA}/"), RecordClass.CONSENT_EVIDENCE),
            (Item("recording", RE), RecordClass.CALL_RECORDINGS),
            (Item(What.SESSION_ROWS, f"SESSION#{KC}"), RecordClass.INTERACTION_LOG),
        ],
    )
    def test_class(self, item: Item, expected: RecordClass) -> None:
        """The class of an item is the one whose minimum may keep it."""
        assert item.record_class is expected

    def test_minimums(self) -> None:
        """Of a class's own minimum and those of the sectors the longest counts, under its rule's name."""
        kept = {name: {"keepDays": 2000} for name in MUST_LAST}
        found = core.minimums(parse(declaration(**kept), sector="mifid2"))
        assert found["call-recordings"] == Limit(1827, "MiFID II 16(7)")
        assert "session-map" not in found


class TestRequest:
    """The body of `POST /v1/erasures`."""

    def test_by_identifier_or_key(self) -> None:
        """A person is named by a number, a user id or a party key."""
        assert erasure_request({"party": "+12125550111"}) == ErasureRequest("+12125550111", dry_run=False, reason="")
        assert erasure_request({"party": ANA, "dry_run": True, "reason": "art-17"}).party == ANA
        assert erasure_request({"party": "user:rider-7"}).party == "user:rider-7"

    def test_every_error_at_once(self) -> None:
        """All that is wrong is told, and nothing of it is repeated."""
        with pytest.raises(InvalidBodyError) as caught:
            erasure_request({"party": "5550111", "dry_run": 1, "reason": "Ana said so", "when": "now"})
        assert {error["path"] for error in caught.value.errors} == {"party", "dry_run", "reason", "when"}
        assert "5550111" not in str(caught.value)


def test_minimums_reach_the_functions() -> None:
    """What an erasure must leave is read from the environment as it was written, and told if it is malformed."""
    written = to_environment(
        environment="local",
        stack="local",
        ledger_table="table",
        identity_key="arn",
        twilio_secret="arn",
        twilio_account_sid="AC",
        proxy_service_sids="KS",
        public_url="https://gate.example.com",
        controller=Controller("Acme", "privacy@acme.example", "https://acme.example/p", "1"),
        session=SessionPolicy(3600, "voice-only"),
        consent=ConsentPolicy(("in_app",)),
        channels=("voice",),
        keep_days={},
        minimums={"call-recordings": Limit(1827, "MiFID II 16(7)")},
    )
    assert from_environment(written).minimums == {"call-recordings": Limit(1827, "MiFID II 16(7)")}
    for text in ('{"call-recordings": 5}', '{"call-recordings": ["x", "y"]}', "[]"):
        with pytest.raises(EnvironmentMismatchError, match="PARLEY_MINIMUMS"):
            from_environment({**written, "PARLEY_MINIMUMS": text})


class TestProgress:
    """What became of items."""

    def test_states(self) -> None:
        """What is pending is open, what a hold keeps is held, and what is locked or gone is settled."""
        fresh = Progress(Item("call", CA))
        assert fresh.state is Settled.OPEN
        assert fresh.after({"20009": 1}, [Remains(Why.HELD, 1)], NOON).state is Settled.HELD
        assert fresh.after({}, [Remains(Why.HELD, 1), Remains(Why.PENDING, 1)], NOON).state is Settled.OPEN
        assert fresh.after({}, [Remains(Why.LOCKED, 1, NOON)], NOON).state is Settled.SETTLED
        assert fresh.after({"204": 1}, [], NOON).state is Settled.SETTLED

    def test_answers_add_up(self) -> None:
        """Every answer counts, with the moments of the first and the last one."""
        later = NOON + timedelta(hours=1)
        done = (
            Progress(Item("call", CA)).after({"20009": 1}, [Remains(Why.PENDING, 1)], NOON).after({"204": 1}, [], later)
        )
        assert (done.answers, done.first_at, done.last_at) == ({"20009": 1, "204": 1}, NOON, later)

    def test_given_up(self) -> None:
        """What Twilio refused for two weeks is told as refused; what remains for another reason stays as it is."""
        stuck = Progress(Item("call", CA), {}, (Remains(Why.PENDING, 1), Remains(Why.LOCKED, 2, NOON))).given_up()
        assert [one.why for one in stuck.remains] == [Why.REFUSED, Why.LOCKED]
        assert stuck.state is Settled.SETTLED

    @given(
        answers=st.dictionaries(st.sampled_from(["204", "404", "deleted"]), st.integers(1, 9)),
        remains=st.lists(
            st.builds(
                Remains,
                st.sampled_from(Why),
                st.integers(1, 9),
                st.none() | st.just(NOON),
                st.sampled_from(["", "a rule"]),
            ),
            max_size=3,
        ),
        tried=st.booleans(),
    )
    def test_written_and_read(self, answers: dict[str, int], remains: list[Remains], tried: bool) -> None:
        """What the ledger keeps of an item is read back as it was."""
        one = Progress(Item("message", SM, session=KC, parties=(ANA, BEN), day="2026-05-04"))
        one = one.after(answers, remains, NOON) if tried else one
        assert Progress.of(json.loads(json.dumps(one.document()))) == one

    def test_erasure_written_and_read(self) -> None:
        """So is the erasure itself."""
        one = replace(ASKED, stage=Stage.HELD, runs=3, proofs=1, proven="ab")
        assert Erasure.of(json.loads(json.dumps(one.document()))) == one
        assert (one.proof_name, replace(one, proofs=2).proof_name) == (one.id, f"{one.id}.2")


class TestOrder:
    """What is from before, and when it goes on."""

    @pytest.mark.parametrize(
        ("sort", "seq", "goes"),
        [
            ("EVENT#000000000007", 7, True),
            ("EVENT#000000000008", 8, False),
            ("TOLD#x", None, True),
            (f"SESSION#{KC}", None, False),
            (f"PAST#{KC}", None, False),
            (f"RECORD#{RE}", None, False),
        ],
    )
    def test_rows(self, sort: str, seq: int | None, goes: bool) -> None:
        """Rows up to the last record go, later ones are of a new consent, and pointers are items of their own."""
        assert core.is_from_before(sort, seq, ASKED) is goes

    def test_copies(self) -> None:
        """So do copies; what is no copy at all goes as well."""
        assert core.is_copy_from_before(f"consent-evidence/{ANA}/000000000007.json", ASKED)
        assert not core.is_copy_from_before(f"consent-evidence/{ANA}/000000000008.json", ASKED)
        assert core.is_copy_from_before(f"consent-evidence/{ANA}/stray", ASKED)

    def test_delays_grow(self) -> None:
        """It is tried again after a minute, then after twice as long, and never later than SQS can wait."""
        assert [core.delay(runs) for runs in (0, 1, 2, 3, 4, 400)] == [60, 120, 240, 480, 900, 900]

    def test_ids(self) -> None:
        """The id follows from the person and how often they were erased, and nothing else has its form."""
        name = core.erasure_id(ANA, 1)
        assert core.is_erasure_id(name)
        assert core.erasure_id(ANA, 1) == name != core.erasure_id(ANA, 2)
        assert not core.is_erasure_id("er_1")
        assert not core.is_erasure_id(None)
        assert ANA not in name

    def test_gone_by(self) -> None:
        """A locked copy is gone when its rule, its old version's day and S3's delays are over."""
        assert core.gone_by(NOON, 100) == NOON + timedelta(days=131)


class TestProof:
    """The document, and the file."""

    @staticmethod
    def document(*progress: Progress, erasure: Erasure = ASKED) -> dict[str, Any]:
        """Return the document of an erasure."""
        days = {"consent-evidence": 1825, "operational-logs": 30, "access-logs": 90}
        return core.proof(erasure, progress, NOON, PLACE, days)

    def test_counts_answers_and_times(self) -> None:
        """Each kind is told with what was found, what was answered, and when, in the order in which it went."""
        later = NOON + timedelta(minutes=2)
        calls = [Progress(Item("call", CA)).after({"204": 1}, [], moment) for moment in (NOON, later)]
        found = self.document(*calls, Progress(Item("recording", RE)).after({"404": 1}, [], NOON))
        assert [(one["kind"], one["found"], one["answers"]) for one in found["erased"]] == [
            ("recording", 1, {"404": 1}),
            ("call", 2, {"204": 2}),
        ]
        assert found["erased"][1]["first_at"] < found["erased"][1]["last_at"]

    def test_nothing_found(self) -> None:
        """What was not there is not told as erased, and the suppression is told all the same."""
        found = self.document(*(Progress(item).after({}, [], NOON) for item in core.person_items(ANA, 0, 0)))
        assert found["erased"] == []
        assert next(one["why"] for one in found["remains"]) == "suppressed-for-good"

    def test_held_without_an_attempt(self) -> None:
        """What was never touched has no times."""
        held = Progress(Item("call", CA), remains=(Remains(Why.HELD, 1),))
        (line,) = self.document(held)["erased"]
        assert (line["answers"], line["first_at"]) == ({}, "")

    def test_remains_are_grouped(self) -> None:
        """What remains is told by reason and rule, with the last of the dates and all of the counts."""
        later = NOON + timedelta(days=9)
        item = Item(What.COPIES, f"consent-evidence/{ANA}/", found=5)
        parts = [Remains(Why.LOCKED, 2, NOON, "lock"), Remains(Why.LOCKED, 3, later, "lock"), Remains(Why.HELD, 1)]
        found = self.document(Progress(item, {"deleted": 1}, tuple(parts)))
        lines = {one["why"]: one for one in found["remains"]}
        assert (lines["locked-until"]["count"], lines["locked-until"]["until"][:10]) == (5, "2026-05-13")
        assert "until" not in lines["held"]

    def test_echoes(self) -> None:
        """Backups, logs and what Twilio shows of the deleted are told with their dates, by what was there."""
        recorded = self.document(Progress(Item("recording", RE)).after({"204": 1}, [], NOON))
        dates = {one["kind"]: one.get("until", "")[:10] for one in recorded["remains"]}
        assert dates["recording-metadata"] == "2026-06-13"
        assert dates["point-in-time-recovery"] == "2026-06-08"
        assert dates["operational-logs"] == "2026-06-06"
        assert "message-numbers" not in dates
        texted = self.document(Progress(Item("message", SM)).after({"204": 1}, [], NOON))
        assert {"message-numbers", "deleted-content"} <= {one["kind"] for one in texted["remains"]}

    def test_file_is_read_back(self) -> None:
        """The file has the exact text that was signed, the signature and the key."""
        signed = Signed(json.dumps(self.document()), b"signature", b"key" * 40, "arn:aws:kms:x")
        assert core.read_proof(signed.to_json()) == (signed, json.loads(signed.text))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda raw: raw["signature"].update(algorithm="NONE"), "another algorithm"),
            (lambda raw: raw.update(proof='{"schema":"x"}'), "another version"),
            (lambda raw: raw.update(proof="{}"), "no proof of erasure"),
            (lambda raw: raw.update(proof=5), "no proof of erasure"),
            (lambda raw: raw["signature"].update(value="*"), "no proof of erasure"),
            (lambda raw: raw["signature"].update(public_key="x"), "no proof of erasure"),
            (lambda raw: raw.pop("signature"), "no proof of erasure"),
        ],
        ids=["algorithm", "schema", "no-schema", "no-text", "no-base64", "no-pem", "no-signature"],
    )
    def test_other_files(self, change: Any, words: str) -> None:
        """A file that is something else is told so."""
        raw = json.loads(Signed(json.dumps(self.document()), b"s", b"k", "arn").to_json())
        change(raw)
        with pytest.raises(ProofError, match=words):
            core.read_proof(json.dumps(raw))
        with pytest.raises(ProofError, match="no proof"):
            core.read_proof("[]")


class TestSuppression:
    """What stays."""

    KEPT = Suppression(ANA, ASKED.id, NOON, 1, 7, "cd" * 32)

    def test_it_is_a_no(self) -> None:
        """Whatever was not said since is withdrawn, from the moment of the erasure, under its id."""
        standing = self.KEPT.standing(Scope.MANAGE)
        assert (standing.state, standing.effective_at, standing.record_id) == (State.WITHDRAWN, NOON, ASKED.id)
        assert (standing.counterpart, standing.seq) == (None, 0)

    def test_chain_goes_on(self) -> None:
        """A new chain begins where the old one ended; that of somebody who had none begins anew."""
        assert self.KEPT.head == Head(7, "cd" * 32)
        assert Suppression(ANA, ASKED.id, NOON).head == Head(0, GENESIS)

    @pytest.mark.parametrize(
        ("document", "is_one"),
        [
            ({"party": ANA, "id": ASKED.id, "last_record": 7}, True),
            ({"party": BEN, "id": ASKED.id, "last_record": 7}, False),
            ({"party": ANA, "id": None, "last_record": 7}, False),
            ({"party": ANA, "id": "er_1", "last_record": 7}, False),
            ({"party": ANA, "id": ASKED.id, "last_record": 3}, False),
        ],
    )
    def test_which_proof(self, document: dict[str, Any], is_one: bool) -> None:
        """A proof counts for the person, the erasure and the records that it names, and for no other."""
        assert is_proof_of(document, self.KEPT) is is_one

    def test_without_proof_only_for_a_while(self) -> None:
        """Rows may be gone before there is a proof as long as an erasure may take, and never where one should be."""
        assert is_explained(self.KEPT, NOON + UNPROVEN - timedelta(seconds=1), proof_holds=False)
        assert not is_explained(self.KEPT, NOON + UNPROVEN, proof_holds=False)
        assert is_explained(self.KEPT, NOON + UNPROVEN, proof_holds=True)
        assert not is_explained(replace(self.KEPT, proof="er_1"), NOON, proof_holds=False)
