"""Erasure: everything of one person goes, on both planes, and a proof says what went and what remains."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.s3.models import s3_backends
from parley import runtime
from parley.adapters.erasures import ErasureRows
from parley.adapters.holds import hold_key
from parley.adapters.proofs import Proofs
from parley.adapters.queues import Queues
from parley.adapters.twilio_records import TwilioRecords
from parley.adapters.versions import Versions
from parley.core.consent import ConsentEvent, Method, Scope, State, sha256_hex
from parley.core.erasure import read_proof
from parley.core.holds import Hold, Subject
from parley.core.record_classes import RecordClass
from parley.core.records import Record, ResourceKind, Stage, object_key
from parley.handlers import chains, erasures, evidence
from parley.ports import Entry, Refusal

from local.aws import object_lock
from local.aws.kms_keys import sign_digests
from local.aws.mends import Mends
from local.twilio.numbers import describe
from local.twilio.simulator import Ring
from tests.handlers.archives import CONTENT, EVIDENCE, Archives, sqs_event
from tests.handlers.boundaries import KilledError
from tests.handlers.evidence import stream
from tests.handlers.world import (
    ACCOUNT,
    ANA,
    ASK,
    BEN,
    DAY,
    KEEP_DAYS,
    STRANGER,
    Answer,
    World,
    body,
    deliver,
    load,
    output,
    problem_of,
)

FOREIGN = "+12125550149"
"""A number of the account that is not the stack's."""
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def archives(world: World) -> Iterator[Archives]:
    """Give the stores of a stack, whose keys sign digests and whose objects tell of their locks as AWS's do."""
    mends = Mends()
    sign_digests(mends)
    object_lock.install(mends)
    # moto copies a whole table for each transaction, and only one at a time.
    world.patch.setattr("parley.erasing.CONNECTIONS", 1)
    yield Archives(world)
    mends.undo()


def erase(party: str, **fields: Any) -> Answer:
    """Let the application ask for an erasure."""
    loaded = load("consents-post")["event"]
    return deliver({**loaded, "rawPath": "/v1/erasures", "body": json.dumps({"party": party, **fields})})


def show(name: str) -> Answer:
    """Let the application ask how far an erasure is."""
    loaded = load("consents-get")["event"]
    return deliver({**loaded, "rawPath": f"/v1/erasures/{name}", "pathParameters": {"id": name}})


def copy_all(world: World) -> None:
    """Let the ledger's stream bring every record that there is to the evidence bucket."""
    evidence.handle({"Records": stream(world, "EVENT#")}, None)


def finish(world: World, archives: Archives, name: str) -> dict[str, Any]:
    """Work an erasure off, and return the document of its proof."""
    copy_all(world)
    archives.work("erasures", erasures.handle)
    told = body(show(name))
    assert told["state"] == "done", told
    return read_proof(told["proof"])[1]


def record(world: World, archives: Archives, session: str, sid: str, call: str = "CA" + "0" * 32) -> Record:
    """Put an archived recording of a session beside the ledger, with a sidecar and an older version."""
    parties = world.session(session).parties
    key = object_key(RecordClass.CALL_RECORDINGS, session, f"{sid}.wav")
    for name in (key, key.replace(".wav", ".json")):
        for text in (b"old", b"new"):
            archives.s3.put_object(Bucket=CONTENT, Key=name, Body=text)
    made = runtime.clock().now()
    kept = Record(sid, ResourceKind.RECORDING, RecordClass.CALL_RECORDINGS, session, call, parties, (), made)
    kept = Record(**{**{n: getattr(kept, n) for n in kept.__slots__}, "stage": Stage.ARCHIVED, "key": key})
    world.ledger.begin_record(kept)
    return kept


def talk(world: World, archives: Archives) -> dict[str, Any]:
    """Let Ana and Ben talk in a session: a text, a call that is recorded; return the session's answer."""
    opened = world.conversation()
    masked = opened["participants"][1]["masked_number"]
    assert world.text(ANA, masked, "at the corner").connected
    call = world.call(ANA, masked, Ring(duration=30))
    made = archives_recording(world, call.sid)
    record(world, archives, opened["session"], made, call.sid)
    world.clock.advance(120)
    return opened


def archives_recording(world: World, call: str) -> str:
    """Let Twilio have a recording of a call; return its SID."""
    from local.twilio.routes import sim_records  # noqa: PLC0415

    made = sim_records.recordings(world.emulator, {"call_sid": call, "seconds": 20})
    sid: str = made["recordings"][0]["sid"]
    sim_records.transcriptions(world.emulator, {"recording_sid": sid, "text": "at the corner"})
    return sid


def of_person(world: World, party: str) -> list[str]:
    """Return the keys of all rows that name a person anywhere, sorted."""
    rows = [row for row in world.rows() if party in json.dumps(row, default=str)]
    return sorted(f"{row['pk']['S']} / {row['sk']['S']}" for row in rows)


class TestErasure:
    """Everything goes."""

    def test_nothing_but_the_suppression_and_the_proof_remains(self, world: World, archives: Archives) -> None:
        """After an erasure no row, no version and nothing at Twilio is left of the person but what the proof names."""
        opened = talk(world, archives)
        world.ask(ANA, scopes=["record_voice"])
        party = world.identities.party(ANA)
        other = world.identities.party(BEN)
        answer = erase(ANA, reason="art-17")
        told = body(answer)
        assert (answer["statusCode"], told["party"], told["complete"]) == (202, party, True)
        found = {(one["system"], one["kind"]): one["count"] for one in told["found"]}
        assert found["content-bucket", "object-versions"] == 4
        assert {"message", "call", "recording", "transcription", "interaction", "session"} <= {
            kind for system, kind in found if system == "twilio"
        }
        document = finish(world, archives, told["erasure"])
        assert of_person(world, party) == [f"SUPPRESSED#{party} / SUPPRESSED"]
        assert [row for row in of_person(world, other) if "SESSION" in row or "PAST" in row or "RECORD" in row] == []
        assert [row["pk"]["S"] for row in world.rows() if opened["session"] in row["pk"]["S"]] == []
        assert list(archives.versions(CONTENT)) == []
        kept = {key for key, _ in archives.versions(EVIDENCE) if party in key}
        assert kept == set()
        state = world.emulator.carrier.state
        assert [one for one in state.messages.values() if ANA in {one.from_, one.to}] == []
        assert [one for one in state.calls.values() if ANA in {one.from_, one.to}] == []
        assert opened["session"] not in state.sessions
        assert [one for one in state.recordings.values() if one.deleted is None] == []
        assert state.transcriptions == {}
        assert document["party"] == party
        assert document["reason"] == "art-17"
        assert ANA not in json.dumps(document)
        erased = {one["kind"]: one for one in document["erased"]}
        assert erased["object-versions"]["answers"] == {"deleted": 4}
        assert set(erased["recording"]["answers"]) == {"204"}
        left = {one["why"] for one in document["remains"]}
        assert left == {
            "suppressed-for-good",
            "evidence-of-others-until",
            "backup-until",
            "logs-until",
            "purged-by-twilio-until",
        }

    def test_transcription_that_outlives_its_recording(self, world: World, archives: Archives) -> None:
        """What Twilio made of a recording goes where the recording went before, and what it made of another stays."""
        talk(world, archives)
        recordings, state = world.emulator.carrier.recordings, world.emulator.carrier.state
        (recording,) = state.recordings.values()
        foreign = recordings.transcribe(replace(recording, sid="RE" + "9" * 32), "of another application")
        recordings.delete(recording)
        document = finish(world, archives, body(erase(ANA))["erasure"])
        assert list(state.transcriptions) == [foreign.sid]
        answers = {one["kind"]: one["answers"] for one in document["erased"] if one["system"] == "twilio"}
        assert (answers["recording"], answers["transcription"]) == ({"404": 1}, {"204": 1})

    def test_not_over_while_its_own_rows_are_there(self, world: World, archives: Archives) -> None:
        """An erasure that died after its proof is not told as done before the rows that name its person have gone."""
        talk(world, archives)
        name = body(erase(ANA))["erasure"]
        copy_all(world)
        (message,) = archives.waiting("erasures")
        event = sqs_event("erasures", (message["id"], message["body"]))
        with dying(world, "end_erasure", after=False), suppress(KilledError):
            erasures.handle(event, None)
        runtime.reset()
        told = body(show(name))
        assert (told["state"], told["left"], bool(told["proof"])) == ("working", [], True)
        erasures.handle(event, None)
        assert body(show(name))["state"] == "done"
        assert [row for row in world.rows() if name in row["pk"]["S"]] == []

    def test_others_keep_theirs(self, world: World, archives: Archives) -> None:
        """Messages of other people, of other numbers, and other people's consents stay as they are."""
        talk(world, archives)
        world.text(STRANGER, ASK, "hello")
        world.emulator.carrier.numbers.own(ACCOUNT, describe(FOREIGN, sms=True, voice=True, mms=False), {})
        world.twilio.messages.create(to=ANA, from_=FOREIGN, body="from another service")
        other = world.identities.party(BEN)
        before = world.ledger.records(other)
        finish(world, archives, body(erase(ANA))["erasure"])
        assert world.ledger.records(other)[: len(before)] == before
        assert {one.from_ for one in world.emulator.carrier.state.messages.values()} >= {STRANGER, FOREIGN}

    def test_rehearsal_changes_nothing(self, world: World, archives: Archives) -> None:
        """A dry run tells the same list and leaves everything as it was, the session too."""
        opened = talk(world, archives)
        rows = world.rows()
        rehearsed = body(erase(ANA, dry_run=True))
        assert (rehearsed["state"], rehearsed["erasure"]) == ("rehearsed", None)
        assert world.rows() == rows
        assert world.status_at_twilio(opened["session"]) == "in-progress"
        assert archives.waiting("erasures") == []
        counted = {one["kind"]: one["count"] for one in rehearsed["found"]}
        begun = {one["kind"]: one["count"] for one in body(erase(ANA))["found"]}
        for kind in ("person-rows", "session-rows"):  # the no itself is written, and that Ben was told
            assert begun.pop(kind) > counted.pop(kind)
        assert counted == begun

    def test_never_seen(self, world: World, archives: Archives) -> None:
        """Somebody whom nobody knows is told so in clear words, and gets a proof that nothing was found."""
        told = body(erase(STRANGER))
        assert "Nothing of this person was found" in told["detail"]
        document = finish(world, archives, told["erasure"])
        assert document["erased"] == []

    def test_twice_is_the_same(self, world: World, archives: Archives) -> None:
        """Asked for again, while it is under way or after it, an erasure is the same one with the same proof."""
        talk(world, archives)
        first = body(erase(ANA))["erasure"]
        assert body(erase(ANA))["erasure"] == first
        document = finish(world, archives, first)
        again = erase(ANA)
        assert (again["statusCode"], body(again)["erasure"]) == (200, first)
        assert read_proof(body(again)["proof"])[1] == document

    def test_by_party_key_alone(self, world: World, archives: Archives) -> None:
        """Without the number the ledger's own trail is enough for what passed through sessions."""
        talk(world, archives)
        told = body(erase(world.identities.party(ANA)))
        assert told["searched_by_number"] is False
        document = finish(world, archives, told["erasure"])
        assert document["searched_by_number"] is False
        texts = [one for one in world.emulator.carrier.state.messages.values() if "corner" in one.body]
        assert texts == []

    def test_long_after_the_session(self, world: World, archives: Archives) -> None:
        """A session whose own row has left is still found by its people, as long as its interactions are kept."""
        opened = talk(world, archives)
        world.clock.advance(60 * DAY)
        world.reconcile()
        for row in world.rows():
            if "expires_at" in row and int(row["expires_at"]["N"]) <= world.clock.now():
                world.dynamodb.delete_item(TableName="parley-ledger", Key={"pk": row["pk"], "sk": row["sk"]})
        assert world.ledger.session(opened["session"]) is None
        finish(world, archives, body(erase(world.identities.party(ANA)))["erasure"])
        assert [row for row in world.rows() if opened["session"] in row["pk"]["S"]] == []
        assert opened["session"] not in world.emulator.carrier.state.sessions

    def test_what_twilio_has_not_finished_is_tried_again(self, world: World, archives: Archives) -> None:
        """A message that Twilio does not delete yet loses its body at once, and goes when it can."""
        opened = world.conversation()
        world.text(ANA, opened["participants"][1]["masked_number"], "at the corner")
        told = body(erase(ANA))
        copy_all(world)
        (message,) = archives.waiting("erasures")
        erasures.handle(sqs_event("erasures", (message["id"], message["body"])), None)
        shown = body(show(told["erasure"]))
        assert shown["state"] == "working"
        assert {(one["kind"], one["why"]) for one in shown["left"]} >= {("message", "pending")}
        assert [one.body for one in world.emulator.carrier.state.messages.values() if "corner" in one.body] == []
        document = finish(world, archives, told["erasure"])
        answers = next(one["answers"] for one in document["erased"] if one["kind"] == "message")
        assert answers["20009"] >= 2
        assert answers["204"] >= 2

    def test_copies_that_come_late(self, world: World, archives: Archives) -> None:
        """Nothing is proven before every record's copy has come, and gone; one that never comes is waited for a day."""
        world.consent(ANA)
        party = world.identities.party(ANA)
        name = body(erase(ANA))["erasure"]
        (message,) = archives.waiting("erasures")
        erasures.handle(sqs_event("erasures", (message["id"], message["body"])), None)
        assert {(one["kind"], one["why"]) for one in body(show(name))["left"]} == {
            ("copy-versions", "pending"),
            ("person-rows", "pending"),
        }
        assert world.ledger.records(party) != []
        finish(world, archives, name)
        assert [key for key, _ in archives.versions(EVIDENCE) if party in key] == []
        world.consent(BEN)
        name = body(erase(BEN))["erasure"]
        world.clock.advance(DAY + 1)
        archives.work("erasures", erasures.handle)
        assert body(show(name))["state"] == "done"

    def test_given_up_after_two_weeks(self, world: World, archives: Archives) -> None:
        """What Twilio refuses for 14 days is told in the proof, which no longer waits for it."""
        opened = world.conversation()
        world.text(ANA, opened["participants"][1]["masked_number"], "at the corner")
        name = body(erase(ANA))["erasure"]
        refusal = {"on": "rest", "mode": "error", "match": "DELETE api.*/Messages/", "status": 409, "code": 20009}
        world.emulator.faults.add(refusal)
        world.clock.advance(15 * DAY)
        document = finish(world, archives, name)
        world.emulator.faults.clear()
        (line,) = [one for one in document["remains"] if one["why"] == "refused"]
        assert (line["kind"], line["rule"]) == ("message", "20009")
        world.clock.advance(2 * DAY)
        left = list(world.ledger.due_deletions(runtime.clock().now(), 10))
        assert {one.resource.kind for one in left} == {ResourceKind.MESSAGE}

    def test_overtaken_message_is_passed_over(self, world: World, archives: Archives) -> None:
        """Of two messages for one erasure only the one that is not behind does anything, and nonsense does nothing."""
        opened = world.conversation()
        world.text(ANA, opened["participants"][1]["masked_number"], "at the corner")
        name = body(erase(ANA))["erasure"]
        archives.waiting("erasures")
        erasures.handle(sqs_event("erasures", ("a", {"erasure": name, "run": 0})), None)
        assert len(archives.waiting("erasures")) == 1
        for message in ({"erasure": name, "run": 0}, {"erasure": "er_x"}, {}):
            assert erasures.handle(sqs_event("erasures", ("b", message)), None) == {"batchItemFailures": []}
        assert archives.waiting("erasures") == []


class TestNo:
    """A no survives the erasure."""

    def erased(self, world: World, archives: Archives) -> str:
        """Erase Ana after a talk; return her party key."""
        talk(world, archives)
        finish(world, archives, body(erase(ANA))["erasure"])
        return world.identities.party(ANA)

    def test_import_does_not_lift_it(self, world: World, archives: Archives) -> None:
        """An import of an old list is recorded, and the person stays unreachable."""
        party = self.erased(world, archives)
        world.declare_consent(methods=["in_app", "admin_import"])
        world.clock.advance(60)
        listed = {"system": "crm", "batch": "2026-05", "original_method": "contract"}
        imported = world.consent(ANA, method="admin_import", evidence=listed)
        assert body(imported)["state"] == "withdrawn", body(imported)
        assert problem_of(world.open())[1] == "consent-missing"
        assert {one.state for one in world.ledger.standings_of(party)} == {"withdrawn"}

    def test_nobody_asks_again(self, world: World, archives: Archives) -> None:
        """Somebody who was erased is not asked by text."""
        self.erased(world, archives)
        assert problem_of(world.ask(ANA))[1] == "said-no"

    def test_person_may_come_back(self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]) -> None:
        """Their own later consent counts, its chain goes on where the old one ended, and the daily check is content."""
        party = self.erased(world, archives)
        ended = world.ledger.suppression(party)
        world.clock.advance(5)
        given = body(world.consent(ANA))
        assert ended is not None
        assert (given["state"], given["seq"]) == ("given", ended.seq + 1)
        assert world.open()["statusCode"] == 201
        copy_all(world)
        world.clock.advance(2 * 3600)
        capsys.readouterr()
        assert chains.handle({}, None)["ChainFindings"] == 0

    def test_erased_again_when_back(self, world: World, archives: Archives) -> None:
        """Who came back and is erased again gets another erasure, and a proof of its own."""
        party = self.erased(world, archives)
        world.clock.advance(5)
        world.consent(ANA)
        told = body(erase(ANA))
        document = finish(world, archives, told["erasure"])
        assert of_person(world, party) == [f"SUPPRESSED#{party} / SUPPRESSED"]
        suppression = world.ledger.suppression(party)
        assert suppression is not None
        assert (suppression.count, suppression.erasure) == (2, told["erasure"])
        assert document["last_record"] == suppression.seq

    def test_consent_while_it_is_under_way(self, world: World, archives: Archives) -> None:
        """A consent that the person gives while they are being erased stays, and everything before it goes."""
        talk(world, archives)
        told = body(erase(ANA))
        world.clock.advance(5)
        given = body(world.consent(ANA))
        finish(world, archives, told["erasure"])
        party = world.identities.party(ANA)
        assert [each.seq for each in world.ledger.records(party)] == [given["seq"]]

    def test_stop_while_it_is_under_way_goes_too(self, world: World, archives: Archives) -> None:
        """What the person says no to meanwhile is no reason to keep anything of them."""
        talk(world, archives)
        told = body(erase(ANA))
        world.clock.advance(5)
        world.consent(ANA, "withdrawn")
        finish(world, archives, told["erasure"])
        party = world.identities.party(ANA)
        assert of_person(world, party) == [f"SUPPRESSED#{party} / SUPPRESSED"]


class TestRemains:
    """What has to stay stays, and the proof says why."""

    def test_locked_copies(self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]) -> None:
        """Copies under Object Lock remain with their date, and the daily check does not take that for tampering."""
        talk(world, archives)
        party = world.identities.party(ANA)
        told = body(erase(ANA))
        copy_all(world)
        until = datetime.fromtimestamp(world.clock.now(), UTC) + timedelta(days=300)
        locked = [key for key in archives.objects(EVIDENCE) if party in key]
        for key in locked:
            archives.s3.put_object_retention(
                Bucket=EVIDENCE, Key=key, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
            )
        document = finish(world, archives, told["erasure"])
        (line,) = [one for one in document["remains"] if one["why"] == "locked-until"]
        assert (line["kind"], line["count"]) == ("copy-versions", len(locked))
        assert line["until"].startswith(until.date().isoformat())
        world.clock.advance(30 * DAY)
        capsys.readouterr()
        assert chains.handle({}, None)["ChainFindings"] == 0

    def test_forged_suppression_explains_nothing(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Whoever takes rows away and writes that they were erased is found, since there is no proof of it."""
        world.consent(ANA)
        copy_all(world)
        party = world.identities.party(ANA)
        for row in world.rows():
            if party in row["pk"]["S"]:
                world.dynamodb.delete_item(TableName="parley-ledger", Key={"pk": row["pk"], "sk": row["sk"]})
        texts = {
            "erasure": "er_" + "0" * 32,
            "erased_at": "2026-05-04T12:00:00Z",
            "record_hash": "0" * 64,
            "proof": "er_1",
        }
        world.dynamodb.put_item(
            TableName="parley-ledger",
            Item={
                "pk": {"S": f"SUPPRESSED#{party}"},
                "sk": {"S": "SUPPRESSED"},
                **{name: {"S": value} for name, value in texts.items()},
                "erased": {"N": "1"},
                "seq": {"N": "9"},
            },
        )
        capsys.readouterr()
        with pytest.raises(chains.ChainsError):
            chains.handle({}, None)
        (finding,) = [line for line in output(capsys)[0] if line["event"] == "chain-finding"]
        assert finding["fault"] == "row-missing"

    def test_minimum_of_the_schedule(self, world: World, archives: Archives) -> None:
        """Recordings that a rule demands to be kept remain until then, under the rule's name; the rest goes."""
        talk(world, archives)
        world.patch.setenv("PARLEY_MINIMUMS", json.dumps({"call-recordings": [1827, "MiFID II 16(7)"]}))
        runtime.reset()
        document = finish(world, archives, body(erase(ANA))["erasure"])
        lines = {one["kind"]: one for one in document["remains"] if one["why"] == "kept-until"}
        assert (lines["object-versions"]["rule"], lines["object-versions"]["count"]) == ("MiFID II 16(7)", 4)
        assert set(lines) == {"object-versions", "record-rows", "pointer-rows"}
        assert len(list(archives.versions(CONTENT))) == 4
        assert [each.stage for each in world.ledger.records_of(world.identities.party(ANA))] == [Stage.ARCHIVED]

    def test_clock_of_the_bucket_is_ahead(self, world: World, archives: Archives) -> None:
        """What S3 dates to a moment after the function's own now goes like the rest, and is not taken for kept."""
        talk(world, archives)
        keys = s3_backends["123456789012"]["aws"].buckets[CONTENT].keys
        for version in [version for name in keys for version in keys.getlist(name)]:
            version.last_modified += timedelta(hours=1)
        document = finish(world, archives, body(erase(ANA))["erasure"])
        assert list(archives.versions(CONTENT)) == []
        (objects,) = [one for one in document["erased"] if one["kind"] == "object-versions"]
        assert objects["answers"] == {"deleted": 4}


class TestProof:
    """The proof stands without the stack."""

    def test_openssl_verifies_it(self, world: World, archives: Archives, tmp_path: Path) -> None:
        """The documented commands verify the file with openssl alone, and refuse one that was changed."""
        talk(world, archives)
        name = body(erase(ANA))["erasure"]
        finish(world, archives, name)
        text = body(show(name))["proof"]
        documented = (DOCS / "erasure.md").read_text(encoding="utf-8").split("```sh\n")[1].split("```")[0]
        command = ["sh", "-ec", documented]
        (tmp_path / "proof.json").write_text(text, encoding="utf-8")
        said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (said.returncode, said.stdout.strip()) == (0, "Verified OK"), said.stderr
        changed = text.replace('\\"found\\":', '\\"fount\\":', 1)
        assert changed != text
        (tmp_path / "proof.json").write_text(changed, encoding="utf-8")
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0

    def test_it_is_written_once(self, world: World, archives: Archives) -> None:
        """A message that comes again after the end changes neither the proof nor anything else."""
        talk(world, archives)
        name = body(erase(ANA))["erasure"]
        finish(world, archives, name)
        before = list(archives.versions(EVIDENCE, "erasure-proofs/"))
        assert len(before) == 1
        erasures.handle(sqs_event("erasures", ("again", {"erasure": name})), None)
        assert list(archives.versions(EVIDENCE, "erasure-proofs/")) == before

    def test_last_one_is_told_when_the_first_has_left(self, world: World, archives: Archives) -> None:
        """An erasure that was proven twice is told by its last proof, which leaves after the first."""
        name = body(erase(ANA))["erasure"]
        finish(world, archives, name)
        told = body(show(name))
        first, last = (f"erasure-proofs/{name}{number}.json" for number in ("", ".2"))
        archives.s3.put_object(Bucket=EVIDENCE, Key=last, Body=told["proof"].encode())
        archives.s3.delete_object(Bucket=EVIDENCE, Key=first)
        assert body(show(name)) == told
        archives.s3.delete_object(Bucket=EVIDENCE, Key=last)
        assert problem_of(show(name)) == (404, "erasure-unknown")


class TestAnswers:
    """Bad input and lost dependencies."""

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"party": "12125550111"}, "party"),
            ({"party": ANA, "reason": "he called +12125550111"}, "reason"),
            ({"party": ANA, "reason": 0}, "reason"),
            ({"party": ANA, "dry_run": "yes"}, "dry_run"),
            ({"party": ANA, "name": "Ana"}, "name"),
        ],
    )
    def test_bad_body(self, world: World, archives: Archives, fields: dict[str, Any], path: str) -> None:
        """What is wrong with a body is told by its path, and nothing is erased."""
        answer = erase(**fields)
        assert problem_of(answer) == (400, "invalid-body")
        assert [error["path"] for error in body(answer)["errors"]] == [path]
        assert "555" not in answer["body"]

    def test_unknown_erasure(self, world: World, archives: Archives) -> None:
        """An id that names nothing, or is none, is 404."""
        assert problem_of(show("er_" + "0" * 32)) == (404, "erasure-unknown")
        assert problem_of(show("../consent-evidence/x")) == (404, "erasure-unknown")

    def test_twilio_that_is_down(self, world: World, archives: Archives) -> None:
        """Where Twilio cannot be searched nothing is begun but the no, and the same request does the rest later."""
        world.conversation()
        party = world.identities.party(ANA)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "GET api.*/Messages", "status": 503})
        assert problem_of(erase(ANA)) == (503, "unavailable")
        assert world.ledger.suppression(party) is None
        assert {one.state for one in world.ledger.standings_of(party)} == {"withdrawn"}
        world.emulator.faults.clear()
        finish(world, archives, body(erase(ANA))["erasure"])

    def test_queue_that_is_down(self, world: World, archives: Archives) -> None:
        """Where the queue is not told, the caller is, and the same request goes on from there."""
        world.conversation()
        urls = dict(archives.urls)
        world.patch.setenv("PARLEY_QUEUES", json.dumps({**urls, "erasures": urls["erasures"] + "-gone"}))
        runtime.reset()
        assert problem_of(erase(ANA)) == (503, "unavailable")
        world.patch.setenv("PARLEY_QUEUES", json.dumps(urls))
        runtime.reset()
        told = erase(ANA)
        assert told["statusCode"] == 202
        finish(world, archives, body(told)["erasure"])


class TestHolds:
    """A legal hold beats an erasure, until it is released."""

    def hold(self, world: World, kind: str, subject: str, *, released: bool = False) -> None:
        """Place a hold, or release it."""
        now = runtime.clock().now()
        held = Hold("h1", Subject(kind), subject, "case 7", "counsel", now.date(), now, now if released else None)
        item = {**hold_key("h1"), "hold": {"S": held.to_json()}}
        world.dynamodb.put_item(TableName="parley-ledger", Item=item)

    def test_held_person(self, world: World, archives: Archives) -> None:
        """Nothing of a held person is deleted, the proof says so, and the release lets the erasure end."""
        opened = talk(world, archives)
        party = world.identities.party(ANA)
        self.hold(world, "party", party)
        name = body(erase(ANA))["erasure"]
        copy_all(world)
        archives.work("erasures", erasures.handle)
        told = body(show(name))
        assert told["state"] == "held"
        first = read_proof(told["proof"])[1]
        assert {one["why"] for one in first["remains"]} >= {"held"}
        assert all(one["answers"] == {} for one in first["erased"])
        assert len(list(archives.versions(CONTENT))) == 4
        assert world.ledger.records(party) != []
        assert opened["session"] in world.emulator.carrier.state.sessions
        assert world.ledger.held_erasures() == [name]
        erasures.handle(sqs_event("erasures", ("again", {"erasure": name})), None)
        assert read_proof(body(show(name))["proof"])[1] == first
        assert problem_of(world.open())[1] == "consent-missing"

        self.hold(world, "party", party, released=True)
        runtime.queues().send("erasures", {"erasure": name})
        second = finish(world, archives, name)
        assert (second["number"], second["continues"]) == (2, sha256_hex(told["proof"]))
        assert of_person(world, party) == ["HOLDS / HOLD#h1", f"SUPPRESSED#{party} / SUPPRESSED"]
        assert list(archives.versions(CONTENT)) == []
        assert world.ledger.held_erasures() == []

    @pytest.mark.parametrize("kept", [False, True])
    def test_import_does_not_lift_the_no_of_a_held_person(
        self, world: World, archives: Archives, *, kept: bool
    ) -> None:
        """A yes that a hold keeps beyond its time does not let an import reach somebody whose erasure waits for it."""
        world.consent(ANA)
        party = world.identities.party(ANA)
        for row in world.rows():
            if row["pk"]["S"] == f"PARTY#{party}":
                held = {name: value for name, value in row.items() if name != "expires_at"}
                world.dynamodb.put_item(TableName="parley-ledger", Item={**held, "held_expires_at": row["expires_at"]})
        self.hold(world, "party", party)
        world.clock.advance((KEEP_DAYS["consent-evidence"] + 1) * DAY)
        assert erase(ANA)["statusCode"] == 202
        listed = ConsentEvent(
            party=party,
            scope=Scope.MANAGE,
            state=State.GIVEN,
            method=Method.ADMIN_IMPORT,
            effective_at=runtime.clock().now(),
            source_event_id="list-7",
            actor="cli",
        )
        ledger: Any = world.ledger
        (done,) = ledger.append_all([Entry((listed,), keeps_no=kept)])
        assert done is Refusal.SAID_NO if kept else done.receipts[0].state == State.WITHDRAWN
        assert {one.state for one in ledger.standings_of(party)} == {State.WITHDRAWN}

    def test_held_session(self, world: World, archives: Archives) -> None:
        """Of a person in a held session that session stays, and everything else of them goes."""
        opened = talk(world, archives)
        self.hold(world, "session", opened["session"])
        name = body(erase(ANA))["erasure"]
        copy_all(world)
        archives.work("erasures", erasures.handle)
        told = body(show(name))
        assert told["state"] == "held"
        party = world.identities.party(ANA)
        assert world.ledger.records(party) == []
        assert len(list(archives.versions(CONTENT))) == 4
        assert world.ledger.session(opened["session"]) is not None

    def test_held_erasure_names_nobody_else_in_what_is_done(self, world: World, archives: Archives) -> None:
        """Who talked with a person whose erasure is held, in a session that is not, can be erased without a trace."""
        talk(world, archives)
        world.consent(STRANGER)
        held = body(world.open(participants=[{"identifier": ANA}, {"identifier": STRANGER}]))["session"]
        self.hold(world, "session", held)
        waiting = body(erase(ANA))["erasure"]
        copy_all(world)
        archives.work("erasures", erasures.handle)
        assert body(show(waiting))["state"] == "held"
        finish(world, archives, body(erase(BEN))["erasure"])
        party = world.identities.party(BEN)
        assert of_person(world, party) == [f"SUPPRESSED#{party} / SUPPRESSED"]

        self.hold(world, "session", held, released=True)
        runtime.queues().send("erasures", {"erasure": waiting})
        done = {one["kind"]: one for one in finish(world, archives, waiting)["erased"] if one["system"] == "ledger"}
        assert done["pointer-rows"]["answers"]["deleted"] > 4

    def test_object_under_a_hold_of_its_own(self, world: World, archives: Archives) -> None:
        """An object whose legal hold nobody here knows of is left to S3, and told as held."""
        talk(world, archives)
        (key, version), *_ = archives.versions(CONTENT)
        archives.s3.put_object_legal_hold(Bucket=CONTENT, Key=key, VersionId=version, LegalHold={"Status": "ON"})
        name = body(erase(ANA))["erasure"]
        copy_all(world)
        archives.work("erasures", erasures.handle)
        told = body(show(name))
        assert told["state"] == "held"
        (line,) = [one for one in read_proof(told["proof"])[1]["remains"] if one["why"] == "held"]
        assert (line["count"], line["rule"]) == (1, "S3 legal hold")
        assert list(archives.versions(CONTENT)) == [(key, version)]


DEATHS = (
    *("write_progress", "delete_resource", "delete_versions", "remove_rows", "remove_row"),
    *("remove_person", "keep_proof", "save_erasure", "end_erasure", "forget_item", "send"),
)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", DEATHS)
def test_death_at_every_step(world: World, archives: Archives, step: str, after: bool) -> None:
    """Whoever dies just before or after any effect leaves an erasure that ends all the same, with one proof."""
    talk(world, archives)
    told = body(erase(ANA))
    copy_all(world)
    (message,) = archives.waiting("erasures")
    event = sqs_event("erasures", (message["id"], message["body"]))
    with dying(world, step, after=after) as died, suppress(KilledError):
        erasures.handle(event, None)
    # What waits for Twilio needs no message in a run that finds everything deletable.
    assert died or step == "send"
    runtime.reset()
    erasures.handle(event, None)
    document = finish(world, archives, told["erasure"])
    party = world.identities.party(ANA)
    assert of_person(world, party) == [f"SUPPRESSED#{party} / SUPPRESSED"]
    assert list(archives.versions(CONTENT)) == []
    assert len(list(archives.versions(EVIDENCE, "erasure-proofs/"))) == 1
    assert {one["why"] for one in document["remains"]} & {"held", "refused", "pending"} == set()


@contextmanager
def dying(world: World, step: str, *, after: bool) -> Iterator[list[str]]:
    """Let the function end at the first call of a step, before or after its effect."""
    owner, name = {
        "delete_resource": (TwilioRecords, "delete"),
        "delete_versions": (Versions, "delete"),
        "keep_proof": (Proofs, "keep"),
        "send": (Queues, "send"),
    }.get(step, (ErasureRows, step))
    original = getattr(owner, name)
    died: list[str] = []

    def end(*arguments: Any, **named: Any) -> Any:
        if died:
            raise KilledError
        died.append(step)
        if after:
            original(*arguments, **named)
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, end)
        yield died
