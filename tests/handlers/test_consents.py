"""`/v1/consents`: append-only, idempotent, and a no that takes effect before it is answered."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from parley import runtime
from parley.core import moments
from parley.core.consent import verify_chain

from tests.handlers.world import (
    ANA,
    BEN,
    DAY,
    KEEP_DAYS,
    STRANGER,
    World,
    aws,
    body,
    deliver,
    lines,
    load,
    problem_of,
)

NOTICE = {"id": "manage", "version": 1, "language": "en", "sha256": "ab" * 32}


def test_records_a_consent_and_shows_it(world: World) -> None:
    """A consent is 201 with its receipt, and the person's standing shows it under the party key."""
    answer = world.consent(ANA)
    receipt = body(answer)
    assert answer["statusCode"] == 201
    assert (receipt["scope"], receipt["state"], receipt["seq"]) == ("manage", "given", 1)
    shown = body(world.get("consents-get", receipt["party"]))
    assert [(one["scope"], one["state"], one["seq"]) for one in shown["consents"]] == [("manage", "given", 1)]


def test_repeated_event_writes_nothing(world: World) -> None:
    """The same source event again is 200 with the same body, and the chain does not grow."""
    first = world.consent(ANA, source_event_id="booking-7")
    again = world.consent(ANA, source_event_id="booking-7")
    assert (first["statusCode"], again["statusCode"]) == (201, 200)
    assert body(first) == body(again)
    assert len(world.ledger.records(body(first)["party"])) == 1


def test_source_event_is_not_used_twice(world: World) -> None:
    """A source event id that meant something else before is refused, and nothing is recorded."""
    party = body(world.consent(ANA, source_event_id="booking-7"))["party"]
    answer = world.consent(ANA, "withdrawn", source_event_id="booking-7")
    assert problem_of(answer) == (409, "source-event-reused")
    assert len(world.ledger.records(party)) == 1


def test_withdrawal_closes_before_it_answers(world: World) -> None:
    """When the withdrawal is answered, the session is closed at Twilio and in the ledger."""
    sid = world.conversation()["session"]
    answer = world.consent(BEN, "withdrawn")
    assert (answer["statusCode"], body(answer)["state"]) == (201, "withdrawn")
    assert (world.status_at_twilio(sid), world.session(sid).status) == ("closed", "closed")


def test_withdrawal_that_twilio_does_not_hear_is_finished_later(world: World) -> None:
    """While Twilio is away the withdrawal is 202 with what is pending, the gate refuses, and the reconciler closes."""
    session = world.session(world.conversation()["session"])
    world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions/"})
    answer = world.consent(ANA, "withdrawn")
    assert (answer["statusCode"], body(answer)["pending_sessions"]) == (202, [session.sid])
    talk: dict[str, Any] = {"interactionSessionSid": session.sid, "inboundParticipantSid": session.participants[0].sid}
    assert world.webhook("intercept-message", **talk)["statusCode"] == 403
    world.emulator.faults.clear()
    world.reconcile()
    assert (world.status_at_twilio(session.sid), world.session(session.sid).status) == ("closed", "closed")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"party": "2125550111"}, "party"),
        ({"party": "+1212555"}, "party"),
        ({"party": "user:"}, "party"),
        ({"scope": "everything"}, "scope"),
        ({"state": "maybe"}, "state"),
        ({"method": "telepathy"}, "method"),
        ({"method": "paper"}, "method"),
        ({"notice": {"id": "manage"}}, "notice"),
        ({"notice": NOTICE | {"version": 99}}, "notice.version"),
        ({"notice": NOTICE | {"language": "xx"}}, "notice.language"),
        ({"notice": NOTICE | {"id": "en.manage"}}, "notice.id"),
        ({"notice": NOTICE, "scope": "record_voice"}, "notice.id"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_body_names_the_path(world: World, changes: dict[str, Any], path: str) -> None:
    """What is wrong is 400 with the path of each error, a method that the stack does not allow included."""
    answer = world.post("consents-post", **changes)
    assert problem_of(answer)[0] == 400
    assert any(one["path"].startswith(path) for one in body(answer)["errors"]), body(answer)
    assert world.rows("EVENT#") == []


def test_methods_are_those_of_the_scope(world: World) -> None:
    """A method that is allowed for one scope gives no other one, and a no is taken however it was said."""
    world.declare_consent(methods={"manage": ["contract"], "default": ["in_app"]})
    answer = world.consent(ANA)
    assert problem_of(answer)[0] == 400
    assert [one["path"] for one in body(answer)["errors"]] == ["method"]
    assert world.consent(ANA, scope="receive_info")["statusCode"] == 201
    assert world.consent(ANA, "withdrawn")["statusCode"] == 201


def test_number_in_the_path_is_refused(world: World) -> None:
    """A phone number must not stand in a URL: it is 400, whether somebody has it or not."""
    world.consent(ANA)
    assert problem_of(world.get("consents-get", ANA)) == (400, "not-a-party-key")


def test_ledger_that_is_down_is_no_consent(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the ledger nothing is recorded and nothing pretends to be: 503, and no number in the log."""
    world.break_ledger()
    assert world.post("consents-post", party=ANA)["statusCode"] == 503
    assert all(ANA not in str(line) for line in lines(capsys))


def test_consent_is_recorded(world: World) -> None:
    """A consent is recorded with its proof, and the answer names the party by its key only."""
    answer = world.consent(ANA)
    assert answer["statusCode"] == 201
    told = body(answer)
    assert set(told) == {"record_id", "party", "scope", "state", "seq", "recorded_at", "valid_until"}
    party = world.identities.party(ANA)
    assert (told["party"], told["scope"], told["state"], told["seq"]) == (party, "manage", "given", 1)
    assert told["valid_until"] > told["recorded_at"]
    (record,) = world.ledger.records(party)
    event = record.event
    assert record.record_id == told["record_id"]
    assert event.notice is not None
    assert event.notice["privacy_policy"] == {"url": "acme.ex/p", "version": "2026-02"}
    assert event.controller == {"name": "Acme <Rides>", "contact": "privacy@acme.example"}
    assert event.actor == "api:arn:aws:sts::123456789012:assumed-role/app/app"
    assert event.evidence == {"screen": "booking", "action": "ticked"}


def test_same_source_event_of_another_person(world: World) -> None:
    """A source event id belongs to one person: the same booking may have two parties."""
    assert [world.consent(who, source_event_id="x")["statusCode"] for who in (ANA, BEN)] == [201, 201]


def test_a_no_towards_one_person_leaves_the_others(world: World) -> None:
    """A withdrawal towards one person closes what they share, and nothing else."""
    with_ben = world.conversation()["session"]
    world.consent(STRANGER)
    other = [{"identifier": ANA}, {"identifier": STRANGER}]
    with_stranger = body(world.open(participants=other))["session"]
    world.consent(ANA, "withdrawn", counterpart=BEN)
    assert (world.status_at_twilio(with_ben), world.status_at_twilio(with_stranger)) == ("closed", "open")


def test_a_no_to_recording_keeps_the_session(world: World) -> None:
    """Who refuses recording goes on talking."""
    session = world.conversation()["session"]
    world.consent(ANA, "refused", scope="record_voice")
    assert world.status_at_twilio(session) == "open"


def test_import_does_not_lift_a_withdrawal(world: World) -> None:
    """An imported consent is recorded, and the answer tells that the withdrawal still stands (I3)."""
    world.patch.setenv("PARLEY_CONSENT", json.dumps({"methods": ["admin_import"], "questionMinutes": 60}))
    runtime.reset()
    world.consent(ANA, "withdrawn")
    world.clock.advance(60)
    proof = {"system": "crm", "batch": "2026-05", "original_method": "contract"}
    answer = world.consent(ANA, method="admin_import", evidence=proof)
    assert (answer["statusCode"], body(answer)["state"]) == (201, "withdrawn")


@pytest.mark.parametrize(
    "payload",
    ["", "[]", "{", '{"party":"+12125550111","party":"+12125550112"}', '{"a":NaN}', "x" * 70_000, None],
    ids=["empty", "list", "cut", "twins", "nan", "long", "none"],
)
def test_malformed_body_is_a_problem(world: World, payload: str | None) -> None:
    """A body that is no JSON object is answered with a problem, and nothing is written."""
    answer = deliver(load("consents-post")["event"] | {"body": payload})
    assert problem_of(answer) == (400, "invalid-body")
    assert world.rows() == []


def test_undecodable_body_is_a_problem(world: World) -> None:
    """A body that is not the base64 that it is said to be is answered with a problem."""
    answer = deliver(load("consents-post")["event"] | {"body": "%", "isBase64Encoded": True})
    assert problem_of(answer) == (400, "malformed-request")


def test_rows_leave_in_time(world: World) -> None:
    """Every row of a consent has the time to live that its class declares."""
    world.consent(ANA)
    expected = int(world.clock.now()) + KEEP_DAYS["consent-evidence"] * DAY
    assert {row["sk"]["S"].partition("#")[0] for row in world.rows()} == {"EVENT", "HEAD", "STATE", "SOURCE", "CONTACT"}
    assert all(abs(int(row["expires_at"]["N"]) - expected) < 5 for row in world.rows())


def test_undeclared_class_is_not_kept_for_ever(world: World) -> None:
    """Without a declared retention nothing is written at all."""
    world.patch.setenv("PARLEY_KEEP_DAYS", "{}")
    runtime.reset()
    assert problem_of(world.consent(ANA)) == (503, "unavailable")
    assert world.rows() == []


def test_tells_where_a_party_stands(world: World) -> None:
    """The answer tells each scope's state as of now."""
    party = body(world.consent(ANA))["party"]
    world.consent(ANA, "refused", scope="record_voice")
    world.clock.advance(366 * DAY)
    answer = world.get("consents-get", party)
    assert answer["statusCode"] == 200
    assert {one["scope"]: one["state"] for one in body(answer)["consents"]} == {
        "manage": "expired",
        "record_voice": "refused",
    }
    verify_chain(world.ledger.records(party))


class TestRecord:
    """What a record holds beside the answer itself (the fields of ISO/IEC TS 27560:2023)."""

    SAID: ClassVar[dict[str, Any]] = {
        "identity": {"how_verified": "otp"},
        "number_tenure": {"first_seen": "2026-03-01", "line_type": "mobile"},
        "location": {"codes": ["US-WA", "DE"], "source": "declared", "confidence": "high", "rules_version": "2026.1"},
        "legal_basis": "contract",
    }

    def test_holds_what_was_reported(self, world: World) -> None:
        """Identity, tenure, place and legal basis are kept as reported; purposes, region and processors are added."""
        party = body(world.consent(ANA, **self.SAID))["party"]
        (record,) = world.ledger.records(party)
        document = record.document()
        assert document["subject"] == {
            "key": party,
            "identity": {"how_verified": "otp"},
            "number_tenure": {"first_seen": "2026-03-01", "line_type": "mobile"},
        }
        assert document["jurisdiction"] == self.SAID["location"]
        assert (document["legal_basis"], document["purposes"]) == ("contract", ["billing", "safety"])
        assert (document["storage_region"], document["retention_class"]) == ("us-east-1", "consent-evidence")
        assert document["processors"] == [{"name": "Twilio", "role": "processor", "country": "US"}]
        assert document["receipt_id"] == f"R-{record.record_id}"

    @pytest.mark.parametrize("name", sorted(SAID))
    def test_other_members_are_another_event(self, world: World, name: str) -> None:
        """A source event id that comes again with another identity, tenure, place or basis is refused."""
        world.consent(ANA, source_event_id="x")
        answer = world.consent(ANA, source_event_id="x", **{name: self.SAID[name]})
        assert problem_of(answer) == (409, "source-event-reused")
        assert world.consent(ANA, source_event_id="x")["statusCode"] == 200

    def test_withdrawal_says_how_and_when(self, world: World) -> None:
        """A withdrawal keeps its channel, the stop word, what it covers, and when it was asked for and done."""
        at = datetime.fromtimestamp(world.clock.now() - 90, UTC).isoformat()
        answer = world.consent(ANA, "withdrawn", withdrawal={"channel": "email", "words": "Stop!"}, occurred_at=at)
        (record,) = world.ledger.records(body(answer)["party"])
        withdrawal = record.document()["withdrawal"]
        delay = moments.from_text(withdrawal.pop("done_at")) - moments.from_text(withdrawal.pop("requested_at"))
        assert withdrawal == {"channel": "email", "words": "stop", "covers": "service"}
        assert timedelta(seconds=89) < delay < timedelta(seconds=120)

    def test_user_id_is_another_person_than_a_number(self, world: World) -> None:
        """A party can be named by a user id, whose key is not that of a number with the same digits."""
        answer = world.consent("user:12125550111", counterpart="user:driver-7")
        assert answer["statusCode"] == 201
        assert body(answer)["party"] != body(world.consent(ANA))["party"]
        (record, *_) = world.ledger.records(body(answer)["party"])
        assert record.event.counterpart == world.identities.party("user:driver-7")


class TestContact:
    """The plain identifier is sealed, apart from the records, for nobody to read."""

    @pytest.mark.moto
    def test_number_is_nowhere_in_the_table(self, world: World) -> None:
        """No row holds the number in the clear; one holds it encrypted for its party and purpose alone."""
        party = body(world.consent(ANA))["party"]
        assert ANA.encode() not in repr(world.rows()).encode()
        (row,) = world.rows("CONTACT")
        sealed = base64.b64decode(row["ciphertext"]["S"])
        kms = aws("kms")
        opened = kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"party": party, "purpose": "contact"})
        assert opened["Plaintext"] == f"e164:{ANA}".encode()
        with pytest.raises(kms.exceptions.InvalidCiphertextException):
            kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"party": "0" * 64, "purpose": "contact"})

    def test_a_no_leaves_no_contact(self, world: World) -> None:
        """Who only ever said no is not written down by number, not even sealed."""
        assert world.consent(ANA, "refused")["statusCode"] == 201
        assert world.rows("CONTACT") == []

    def test_is_dropped_and_the_chain_stays(self, world: World) -> None:
        """Once dropped, the contact is gone and the chain verifies as before."""
        party = body(world.consent(ANA))["party"]
        assert world.ledger.drop_contact(party)
        assert not world.ledger.drop_contact(party)
        assert "ciphertext" not in world.rows("CONTACT")[0]
        verify_chain(world.ledger.records(party))

    @pytest.mark.moto
    def test_without_the_key_nothing_is_recorded(self, world: World) -> None:
        """A contact that cannot be sealed is 503: a consent of somebody who cannot be named proves nothing."""
        world.patch.setenv("PARLEY_EVIDENCE_KEY", "arn:aws:kms:us-east-1:123456789012:key/gone")
        runtime.reset()
        assert world.consent(ANA)["statusCode"] == 503
        assert world.rows("EVENT#") == []


class TestReceipt:
    """`GET /v1/consents/{party}/receipts/{id}`."""

    def test_as_json(self, world: World) -> None:
        """By default a receipt is JSON and names the record and its hash."""
        told = body(world.consent(ANA))
        answer = world.receipt(told["party"], f"R-{told['record_id']}")
        assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "application/json")
        given = body(answer)
        (record,) = world.ledger.records(told["party"])
        assert (given["record_id"], given["record_hash"]) == (record.record_id, record.record_hash)
        assert given["pii_processing"]["retention_period"]["consent-evidence"] == KEEP_DAYS["consent-evidence"]

    def test_as_a_page(self, world: World) -> None:
        """Who asks for HTML gets a page, with the controller's name escaped."""
        told = body(world.consent(ANA))
        answer = world.receipt(told["party"], f"R-{told['record_id']}", "text/html,application/json;q=0.5")
        assert answer["headers"]["content-type"] == "text/html; charset=utf-8"
        assert "Acme &lt;Rides&gt;" in answer["body"]
        assert ANA not in answer["body"]

    @pytest.mark.parametrize(
        ("accept", "html"),
        [
            ("text/html", True),
            ("TEXT/HTML; q=0.9, application/json;q=0.8", True),
            ("text/html;q=0.8, application/json", False),
            ("text/html;q=0", False),
            ("text/html;q=x", False),
            ("text/*", False),
            ("", False),
        ],
    )
    def test_form_is_what_the_caller_would_rather_have(self, world: World, accept: str, html: bool) -> None:
        """HTML is given to who names it and weighs it more than JSON, and to nobody else."""
        told = body(world.consent(ANA))
        answer = world.receipt(told["party"], f"R-{told['record_id']}", accept)
        assert (answer["headers"]["content-type"] == "text/html; charset=utf-8") is html

    def test_of_somebody_else_is_unknown(self, world: World) -> None:
        """A receipt is found under its own party only; any other id, and no id at all, is 404."""
        told = body(world.consent(ANA))
        other = body(world.consent(BEN))["party"]
        for party, wanted in ((other, f"R-{told['record_id']}"), (told["party"], "R-cr_0"), (told["party"], ANA)):
            assert problem_of(world.receipt(party, wanted)) == (404, "receipt-unknown")
        assert problem_of(world.receipt(ANA, "R-cr_0")) == (400, "not-a-party-key")
