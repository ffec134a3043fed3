"""Legal holds: what is ordered to be kept is kept by everything that deletes, and goes when it is released."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from parley import holding, runtime
from parley.adapters.holds import HoldRows
from parley.adapters.versions import Versions
from parley.core.holds import Stage
from parley.core.record_classes import RecordClass
from parley.core.records import Record, ResourceKind, object_key
from parley.core.records import Stage as RecordStage
from parley.handlers import erasures, evidence, holds, sweep

from local.aws import object_lock
from local.aws.kms_keys import sign_digests
from local.aws.mends import Mends
from tests.handlers.archives import CONTENT, EVIDENCE, Archives, sqs_event
from tests.handlers.boundaries import KilledError
from tests.handlers.evidence import stream
from tests.handlers.world import ANA, BEN, DAY, STRANGER, Answer, World, body, deliver, load, output, problem_of

CASE = "case-17"
RE = "RE" + "a" * 32
HOUR = 3600


@pytest.fixture
def archives(world: World) -> Iterator[Archives]:
    """Give the stores of a stack, whose keys sign digests and whose objects tell of their locks as AWS's do."""
    mends = Mends()
    sign_digests(mends)
    object_lock.install(mends)
    # moto copies a whole table for each transaction, and only one at a time.
    world.patch.setattr("parley.erasing.CONNECTIONS", 1)
    world.patch.setattr("parley.holding.CONNECTIONS", 1)
    yield Archives(world)
    mends.undo()


def ask(method: str, hold_id: str = "", **fields: Any) -> Answer:
    """Let the operator's lawyer call a route of the holds."""
    event = load("consents-post")["event"]
    context = {**event["requestContext"], "http": {**event["requestContext"]["http"], "method": method}}
    path = f"/v1/holds/{hold_id}" if hold_id else "/v1/holds"
    parameters = {"id": hold_id} if hold_id else {}
    changes = {"rawPath": path, "pathParameters": parameters, "requestContext": context, "body": json.dumps(fields)}
    return deliver({**event, **changes})


def order(world: World, hold_id: str = CASE, *, days: int = 90, **fields: Any) -> Answer:
    """Order a hold with a review in some days."""
    review = datetime.fromtimestamp(world.clock.now() + days * DAY, UTC).date().isoformat()
    return ask("PUT", hold_id, **{"reason": "Doe v. Roe", "owner": "counsel", "review": review, **fields})


def work(archives: Archives) -> int:
    """Work off the queue of the holds."""
    return archives.work("holds", holds.handle)


def place(world: World, archives: Archives, hold_id: str = CASE, **fields: Any) -> dict[str, Any]:
    """Order a hold and have it applied; return it as it is then."""
    answer = order(world, hold_id, **fields)
    assert answer["statusCode"] == 202, answer
    work(archives)
    shown = body(ask("GET", hold_id))
    assert shown["stage"] == "held", shown
    return shown


def release(archives: Archives, hold_id: str = CASE) -> dict[str, Any]:
    """Release a hold and have it taken away; return it as it is then."""
    answer = ask("DELETE", hold_id, reason="settled")
    assert answer["statusCode"] == 202, answer
    work(archives)
    shown = body(ask("GET", hold_id))
    assert shown["stage"] == "released", shown
    return shown


def refresh(archives: Archives, hold_id: str = CASE) -> None:
    """Have a hold applied again, as the sweeper does every hour."""
    runtime.queues().send("holds", {"hold": hold_id})
    work(archives)


def archive(world: World, archives: Archives, session: str, sid: str = RE) -> Record:
    """Put an archived recording of a session beside the ledger: two versions of the sound and of its sidecar."""
    key = object_key(RecordClass.CALL_RECORDINGS, session, f"{sid}.wav")
    versions = [
        archives.s3.put_object(Bucket=CONTENT, Key=name, Body=text)["VersionId"]
        for name in (key.replace(".wav", ".json"), key)
        for text in (b"old", b"new")
    ]
    now = runtime.clock().now()
    record = Record(
        sid=sid,
        kind=ResourceKind.RECORDING,
        record_class=RecordClass.CALL_RECORDINGS,
        session=session,
        parent="CA" + "0" * 32,
        parties=world.session(session).parties,
        consents=(),
        made_at=now,
        stage=RecordStage.ARCHIVED,
        key=key,
        version=versions[-1],
        media_type="audio/x-wav",
        archived_at=now,
    )
    world.ledger.begin_record(record)
    return record


def conversation(world: World, archives: Archives) -> str:
    """Let Ana and Ben have a session with a recording; return its SID."""
    session: str = world.conversation()["session"]
    archive(world, archives, session)
    evidence.handle({"Records": stream(world, "EVENT#")}, None)
    return session


def held_versions(archives: Archives, bucket: str = CONTENT, prefix: str = "") -> set[bool]:
    """Return whether the versions of a bucket are under a legal hold: both, where they differ."""
    versions = Versions(archives.s3)
    return {versions.is_held(bucket, version) for version in versions.of(bucket, prefix)}


def erase_ana(world: World, archives: Archives) -> str:
    """Ask for an erasure of Ana, and work off what can be; return its id."""
    loaded = load("consents-post")["event"]
    answer = deliver({**loaded, "rawPath": "/v1/erasures", "body": json.dumps({"party": ANA})})
    assert answer["statusCode"] == 202
    evidence.handle({"Records": stream(world, "EVENT#")}, None)
    archives.work("erasures", erasures.handle)
    name: str = body(answer)["erasure"]
    return name


def rows_of(world: World, *words: str) -> dict[str, dict[str, Any]]:
    """Return the rows of people and conversations whose keys have all of these words, by their keys."""
    found = {f"{row['pk']['S']} {row['sk']['S']}": row for row in world.rows()}
    return {name: row for name, row in found.items() if all(word in name for word in words)}


def kept(row: dict[str, Any]) -> bool:
    """Tell whether no time to live takes a row."""
    return "expires_at" not in row and "held_expires_at" in row


class TestPlacing:
    """An order, and what comes under it."""

    def test_all_of_a_person_is_held(self, world: World, archives: Archives) -> None:
        """Every version and every row of a person that may be held is, and remembers when it would have gone."""
        session = conversation(world, archives)
        before = {name: row["expires_at"] for name, row in rows_of(world, "#").items()}
        shown = place(world, archives, party=ANA)
        party = world.identities.party(ANA)
        assert (shown["subject"], shown["objects"]) == (party, 5)
        assert held_versions(archives) == {True}
        assert held_versions(archives, EVIDENCE, f"consent-evidence/{party}/") == {True}
        assert held_versions(archives, EVIDENCE, f"consent-evidence/{world.identities.party(BEN)}/") == {False}
        own = rows_of(world, f"PARTY#{party}")
        assert {name for name, row in own.items() if not kept(row)} == set()
        assert {"EVENT", "HEAD", "STATE", "SOURCE", "CONTACT", "SESSION", "PAST", "RECORD"} <= {
            row["sk"]["S"].partition("#")[0] for row in own.values()
        }
        for name in (f"SESSION#{session} SESSION", f"SESSION#{session} RECORD#{RE}", f"RECORD#{RE} RECORD"):
            row = rows_of(world, name)[name]
            assert kept(row)
            assert row["held_expires_at"] == before[name]
        for name, row in rows_of(world, f"PARTY#{world.identities.party(BEN)}").items():
            assert kept(row) == any(kind in name for kind in (" SESSION#", " PAST#", " RECORD#")), name

    def test_what_may_not_be_held_is_named(self, world: World, archives: Archives) -> None:
        """A class that is declared without hold is named in the answer, and its rows and versions go as declared."""
        world.patch.setenv("PARLEY_HOLDABLE", json.dumps(["consent-evidence"]))
        runtime.reset()
        session = conversation(world, archives)
        answer = body(order(world, party=ANA))
        assert {"call-recordings", "messages", "session-map", "interaction-log"} <= set(answer["not_held"])
        assert "consent-evidence" not in answer["not_held"]
        work(archives)
        assert held_versions(archives) == {False}
        assert not any(kept(row) for row in rows_of(world, session).values())
        assert held_versions(archives, EVIDENCE, f"consent-evidence/{world.identities.party(ANA)}/") == {True}

    def test_session_is_held(self, world: World, archives: Archives) -> None:
        """A hold on a session keeps its recordings, its rows and what decided about it, and no consent of anybody."""
        session = conversation(world, archives)
        intent = world.session(session).intent
        world.patch.setenv("PARLEY_HOLDABLE", json.dumps(["call-recordings", "interaction-log", "session-map"]))
        runtime.reset()
        shown = place(world, archives, session=session)
        assert (shown["kind"], shown["subject"], shown["objects"]) == ("session", session, 4)
        assert held_versions(archives) == {True}
        assert all(kept(row) for row in rows_of(world, f"SESSION#{session} ").values())
        assert all(kept(row) for row in rows_of(world, f"SESSION#{intent} ").values())
        assert rows_of(world, f"SESSION#{intent} ", "DECISION#")
        assert all(kept(row) for row in rows_of(world, "PARTY#", f"#{session}").values())
        assert not any(kept(row) for row in rows_of(world, "PARTY#", "EVENT#").values())

    def test_repeat_changes_nothing(self, world: World, archives: Archives) -> None:
        """The same order again answers the same hold, and adds nothing to its log."""
        conversation(world, archives)
        first = place(world, archives, party=ANA)
        again = order(world, party=world.identities.party(ANA))
        assert again["statusCode"] == 200
        assert body(again)["placed_at"] == first["placed_at"]
        assert [entry["what"] for entry in body(ask("GET", CASE))["log"]] == ["placed", "held"]

    def test_review_is_put_off(self, world: World, archives: Archives) -> None:
        """Another review under the same id changes the hold, which its log says with who asked."""
        place(world, archives, party=ANA)
        answer = order(world, days=200, party=ANA, reason="Doe v. Roe, appeal")
        assert (answer["statusCode"], body(answer)["reason"]) == (200, "Doe v. Roe, appeal")
        log = body(ask("GET", CASE))["log"]
        assert [entry["what"] for entry in log] == ["placed", "held", "changed"]
        assert log[0]["by"] == "api:arn:aws:sts::123456789012:assumed-role/app/app"
        assert log[1]["by"] == "stack"

    def test_nobody_seen_yet_can_be_held(self, world: World, archives: Archives) -> None:
        """A hold on somebody who was never seen is taken, says that nothing was found, and holds what comes."""
        answer = order(world, party=STRANGER)
        assert (answer["statusCode"], body(answer)["found"]) == (202, 0)
        assert body(answer)["detail"] == holds.NOTHING
        work(archives)
        world.consent(STRANGER)
        party = world.identities.party(STRANGER)
        assert not any(kept(row) for row in rows_of(world, party).values())
        refresh(archives)
        assert rows_of(world, f"PARTY#{party}")
        assert all(kept(row) for row in rows_of(world, f"PARTY#{party}").values())

    def test_log_is_in_the_evidence(self, world: World, archives: Archives) -> None:
        """Each change is written once to the evidence bucket, with the order, and without a number in it."""
        place(world, archives, party=ANA)
        release(archives)
        objects = archives.objects(EVIDENCE, "erasure-proofs/holds/")
        assert [key.rpartition("/")[2] for key in sorted(objects)] == [f"{n:06d}.json" for n in range(1, 5)]
        entries = [json.loads(objects[key]) for key in sorted(objects)]
        assert [entry["what"] for entry in entries] == ["placed", "held", "released", "ended"]
        assert {entry["hold"]["subject"] for entry in entries} == {world.identities.party(ANA)}
        assert entries[2]["hold"]["release_reason"] == "settled"
        assert ANA not in str(objects)

    def test_list_shows_all_holds(self, world: World, archives: Archives) -> None:
        """All holds are shown: those that stand first, by their review, and what was released last."""
        place(world, archives, "case-1", party=ANA, days=300)
        place(world, archives, "case-2", party=BEN)
        place(world, archives, "case-0", party=STRANGER)
        release(archives, "case-0")
        found = body(ask("GET"))["holds"]
        assert [(one["id"], one["stage"]) for one in found] == [
            ("case-2", "held"),
            ("case-1", "held"),
            ("case-0", "released"),
        ]


class TestTime:
    """What a hold does to the passing of time."""

    def test_held_consent_runs_out_all_the_same(self, world: World, archives: Archives) -> None:
        """A consent whose record was to go connects nobody any more, though a hold keeps the record."""
        conversation(world, archives)
        place(world, archives, party=ANA)
        world.clock.advance(1826 * DAY)
        world.consent(BEN)
        answer = world.open()
        assert problem_of(answer) == (409, "consent-missing")
        world.consent(ANA)
        assert world.open()["statusCode"] == 201

    def test_held_record_is_found_after_its_time(self, world: World, archives: Archives) -> None:
        """A record and a history that a hold keeps are shown after the time at which they would have gone."""
        conversation(world, archives)
        place(world, archives, party=ANA)
        world.clock.advance(1900 * DAY)
        assert world.ledger.record(RE) is not None
        assert [one.seq for one in world.ledger.records(world.identities.party(ANA))] == [1]
        assert world.ledger.records(world.identities.party(BEN)) == []

    def test_rows_written_later_are_found_by_the_hour(self, world: World, archives: Archives) -> None:
        """A row that is written anew under a hold has a time to live until the hold is applied again."""
        session = conversation(world, archives)
        place(world, archives, party=ANA)
        world.consent(ANA, "withdrawn")
        party = world.identities.party(ANA)
        assert not kept(rows_of(world, f"PARTY#{party} HEAD")[f"PARTY#{party} HEAD"])
        evidence.handle({"Records": stream(world, "EVENT#")}, None)
        archive(world, archives, session, "RE" + "b" * 32)
        refresh(archives)
        assert all(kept(row) for row in rows_of(world, f"PARTY#{party}").values())
        assert held_versions(archives) == {True}
        assert held_versions(archives, EVIDENCE, f"consent-evidence/{party}/") == {True}
        # The recordings' eight, and Ana's copies: one of her yes, and one a scope of her no.
        assert body(ask("GET", CASE))["objects"] == 8 + len(rows_of(world, f"PARTY#{party} EVENT#"))

    def test_hour_asks_only_for_what_is_new(self, world: World, archives: Archives) -> None:
        """An application within a day leaves alone the versions that are under the hold; one the day after does not."""
        conversation(world, archives)
        place(world, archives, party=ANA)
        asked: list[str] = []
        hold = Versions.hold

        def watched(versions: Versions, bucket: str, version: Any, on: bool) -> bool:
            asked.append(version.key)
            return hold(versions, bucket, version, on)

        world.patch.setattr(Versions, "hold", watched)
        refresh(archives)
        assert asked == []
        world.clock.advance(DAY)
        refresh(archives)
        assert len(asked) == 5
        assert body(ask("GET", CASE))["objects"] == 5

    def test_review_that_passed_is_measured(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A hold that nobody reviewed in time is counted every hour, and shown so."""
        place(world, archives, party=ANA, days=2)
        world.clock.advance(2 * DAY)
        capsys.readouterr()
        refresh(archives)
        metrics = output(capsys)[1]
        assert [line["HoldsToReview"] for line in metrics if "HoldsToReview" in line] == [1]
        assert body(ask("GET", CASE))["to_review"] is True


class TestRelease:
    """What happens when a hold is released."""

    def test_everything_goes_as_it_would_have(self, world: World, archives: Archives) -> None:
        """After a release every row has its own time to live again, and no version is under a hold."""
        conversation(world, archives)
        before = {name: row.get("expires_at") for name, row in rows_of(world, "#").items()}
        place(world, archives, party=ANA)
        release(archives)
        after = {name: row.get("expires_at") for name, row in rows_of(world, "#").items() if "HOLD" not in name}
        assert after == before
        assert held_versions(archives) == {False}
        assert held_versions(archives, EVIDENCE, "consent-evidence/") == {False}
        assert not any("held_expires_at" in row for row in world.rows())

    def test_what_is_over_goes_at_once(self, world: World, archives: Archives) -> None:
        """A row whose time passed under the hold leaves when it is released, and not before."""
        conversation(world, archives)
        place(world, archives, party=ANA)
        world.clock.advance(1900 * DAY)
        release(archives)
        row = rows_of(world, f"RECORD#{RE} RECORD")[f"RECORD#{RE} RECORD"]
        assert world.clock.now() - 60 <= int(row["expires_at"]["N"]) <= world.clock.now()
        assert world.ledger.record(RE) is None

    def test_other_hold_keeps_what_it_covers(self, world: World, archives: Archives) -> None:
        """What another hold covers stays under it: the session with its recordings, but not the person's consents."""
        session = conversation(world, archives)
        place(world, archives, party=ANA)
        place(world, archives, "case-18", session=session)
        release(archives)
        assert held_versions(archives) == {True}
        assert held_versions(archives, EVIDENCE, "consent-evidence/") == {False}
        party = world.identities.party(ANA)
        assert kept(rows_of(world, f"RECORD#{RE} RECORD")[f"RECORD#{RE} RECORD"])
        assert kept(rows_of(world, f"PARTY#{party} PAST#{session}")[f"PARTY#{party} PAST#{session}"])
        assert not kept(rows_of(world, f"PARTY#{party} HEAD")[f"PARTY#{party} HEAD"])
        release(archives, "case-18")
        assert held_versions(archives) == {False}
        assert not any("held_expires_at" in row for row in world.rows())

    def test_hold_that_comes_meanwhile_wins(self, world: World, archives: Archives) -> None:
        """Another hold that is placed while a release lets a version go leaves that version held."""
        session = conversation(world, archives)
        place(world, archives, party=ANA)
        assert ask("DELETE", CASE, reason="settled")["statusCode"] == 202
        came: list[bool] = []
        hold = Versions.hold

        def watched(versions: Versions, bucket: str, version: Any, on: bool) -> bool:
            if not on and not came:
                came.append(True)
                archives.waiting("holds")
                order(world, "case-18", session=session)
                work(archives)
            return hold(versions, bucket, version, on)

        world.patch.setattr(Versions, "hold", watched)
        holding.work_on({"hold": CASE}, float("inf"))
        assert came
        assert held_versions(archives) == {True}
        assert kept(rows_of(world, f"RECORD#{RE} RECORD")[f"RECORD#{RE} RECORD"])

    def test_waiting_erasure_goes_on(self, world: World, archives: Archives) -> None:
        """An erasure that a hold stopped takes away the rest once it is released."""
        conversation(world, archives)
        place(world, archives, party=ANA)
        name = erase_ana(world, archives)
        assert world.ledger.held_erasures() == [name]
        assert held_versions(archives) == {True}
        release(archives)
        archives.work("erasures", erasures.handle)
        assert world.ledger.held_erasures() == []
        assert list(archives.versions()) == []
        party = world.identities.party(ANA)
        assert {name.partition("#")[0] for name in rows_of(world, party)} == {"SUPPRESSED"}

    def test_erasure_leaves_a_held_session(self, world: World, archives: Archives) -> None:
        """An erasure of a person leaves a session that is held by itself, with what was decided about it."""
        session = conversation(world, archives)
        intent = world.session(session).intent
        place(world, archives, session=session)
        before = {*rows_of(world, session), *rows_of(world, intent)}
        erase_ana(world, archives)
        assert world.ledger.held_erasures() != []
        assert before <= {*rows_of(world, session), *rows_of(world, intent)}
        assert held_versions(archives) == {True}
        assert not rows_of(world, f"PARTY#{world.identities.party(ANA)}", "EVENT#")

    def test_hold_that_is_ordered_in_an_erasure_stops_the_rest(self, world: World, archives: Archives) -> None:
        """A hold that comes while an erasure is under way keeps everything that is not gone yet."""
        conversation(world, archives)
        delete = Versions.delete
        came: list[bool] = []

        def watched(versions: Versions, bucket: str, going: Any) -> Any:
            if not came:
                came.append(True)
                order(world, party=ANA)
            return delete(versions, bucket, going)

        world.patch.setattr(Versions, "delete", watched)
        erase_ana(world, archives)
        assert came
        assert world.ledger.held_erasures() != []
        party = world.identities.party(ANA)
        assert {"EVENT", "HEAD", "STATE"} <= {
            row["sk"]["S"].partition("#")[0] for row in rows_of(world, f"PARTY#{party}").values()
        }

    def test_release_is_repeated(self, world: World, archives: Archives) -> None:
        """A release that comes again changes nothing more, and the id is never used for another hold."""
        place(world, archives, party=ANA)
        release(archives)
        assert ask("DELETE", CASE, reason="again")["statusCode"] == 200
        assert problem_of(order(world, party=ANA)) == (409, "hold-released")
        row = rows_of(world, "HOLDS HOLD#")[f"HOLDS HOLD#{CASE}"]
        assert -60 <= int(row["expires_at"]["N"]) - world.clock.now() - 1825 * DAY <= 0


class TestFaults:
    """Wherever a function dies, the next message goes on."""

    @pytest.mark.moto
    @pytest.mark.parametrize("placed", [True, False])
    def test_killed_anywhere(self, world: World, archives: Archives, placed: bool) -> None:
        """A worker that is killed before any write is followed by one that brings everything where it belongs."""
        conversation(world, archives)
        before = {name: row.get("expires_at") for name, row in rows_of(world, "#").items()}
        if placed:
            order(world, party=ANA)
        else:
            place(world, archives, party=ANA)
            ask("DELETE", CASE, reason="settled")
        archives.waiting("holds")
        for number in range(200):
            if not _die(world, number, {"hold": CASE}):
                break
        else:
            pytest.fail("it never ends")
        assert number > 20
        archives.work("holds", holds.handle)
        if placed:
            assert held_versions(archives) == {True}
            assert all(kept(row) for row in rows_of(world, f"PARTY#{world.identities.party(ANA)}").values())
            assert body(ask("GET", CASE))["objects"] == 5
        else:
            assert held_versions(archives) == {False}
            after = {name: row.get("expires_at") for name, row in rows_of(world, "#").items() if "HOLD" not in name}
            assert after == before
        assert len(body(ask("GET", CASE))["log"]) == (2 if placed else 4)

    def test_message_that_is_lost_comes_again(self, world: World, archives: Archives) -> None:
        """An order or a release that nobody was told of is told by the sweeper, until nothing is left to do."""
        # With nothing else to sweep.
        world.patch.setenv("PARLEY_TWILIO_COPY_DAYS", "{}")
        runtime.reset()
        conversation(world, archives)
        order(world, party=ANA)
        for what in ("held", "released"):
            archives.waiting("holds")
            sweep.handle({}, None)
            assert work(archives) == 1
            assert body(ask("GET", CASE))["stage"] == what
            ask("DELETE", CASE, reason="settled")
        archives.waiting("holds")
        sweep.handle({}, None)
        assert archives.waiting("holds") == []

    def test_time_that_is_over_goes_on_by_message(self, world: World, archives: Archives) -> None:
        """A walk that runs out of time sends where it has come to, and counts nothing twice."""
        conversation(world, archives)
        order(world, party=ANA)
        archives.waiting("holds")
        message: dict[str, Any] = {"hold": CASE}
        steps = 0
        while body(ask("GET", CASE))["stage"] != "held":
            moments = iter([0.0, 1000.0])
            world.patch.setattr("parley.holding.time.monotonic", lambda times=moments: next(times, 1000.0))
            holding.work_on(message, 1.0)
            waiting = archives.waiting("holds")
            message = waiting[0]["body"] if waiting else message
            steps += 1
            assert steps < 20
        assert steps > 2
        assert body(ask("GET", CASE))["objects"] == 5

    def test_hold_counts_before_it_is_applied(self, world: World, archives: Archives) -> None:
        """A hold stops whoever deletes from its order on, though no version is under it yet."""
        order(world, party=ANA)
        assert [hold.id for hold in world.ledger.active_holds()] == [CASE]
        assert world.ledger.active_holds()[0].stage is Stage.PLACING

    def test_queue_that_fails_is_told(self, world: World, archives: Archives) -> None:
        """An order whose queue cannot be reached is answered as such, and counts; its repeat goes on."""
        world.patch.setenv("PARLEY_QUEUES", "{}")
        runtime.reset()
        assert problem_of(order(world, party=ANA)) == (503, "unavailable")
        world.patch.setenv("PARLEY_QUEUES", json.dumps(archives.urls))
        runtime.reset()
        assert order(world, party=ANA)["statusCode"] == 202
        assert len(archives.waiting("holds")) == 1

    def test_ledger_that_changes_meanwhile_is_told(self, world: World, archives: Archives) -> None:
        """An order or a release that somebody else overtakes is answered with a repeat, and changes nothing."""
        write = HoldRows.write_hold
        world.patch.setattr(HoldRows, "write_hold", lambda *_: False)
        assert problem_of(order(world, party=ANA)) == (503, "unavailable")
        world.patch.setattr(HoldRows, "write_hold", write)
        order(world, party=ANA)
        world.patch.setattr(HoldRows, "write_hold", lambda *_: False)
        assert problem_of(ask("DELETE", CASE, reason="settled")) == (503, "unavailable")
        (message,) = archives.waiting("holds")
        batch = sqs_event("holds", (message["id"], message["body"]))
        assert holds.handle(batch, None)["batchItemFailures"] == [{"itemIdentifier": message["id"]}]

    def test_stale_message_is_passed_over(self, world: World, archives: Archives) -> None:
        """A message about no hold, or about one that is over, changes nothing; one that is none is told."""
        place(world, archives, party=ANA)
        release(archives)
        before = world.rows()
        for message in ({"hold": CASE}, {"hold": "case-99"}, {"hold": 5}, {}):
            answer = holds.handle(sqs_event("holds", ("m", message)), None)
            assert answer == {"batchItemFailures": []}
        assert world.rows() == before


class TestRefusals:
    """What is no hold."""

    def test_erased_person(self, world: World, archives: Archives) -> None:
        """Nobody can hold what was erased; whoever came back since can be held again."""
        world.consent(ANA)
        erase_ana(world, archives)
        assert problem_of(order(world, party=ANA)) == (409, "party-erased")
        world.clock.advance(HOUR)
        world.consent(ANA)
        assert order(world, party=ANA)["statusCode"] == 202

    def test_id_of_another_hold(self, world: World, archives: Archives) -> None:
        """An id stands for one hold: another subject under it is refused."""
        place(world, archives, party=ANA)
        assert problem_of(order(world, party=BEN)) == (409, "hold-id-used")

    def test_unknown_id(self, world: World, archives: Archives) -> None:
        """An id that names no hold is not found, whatever is asked of it."""
        assert problem_of(ask("GET", "case-9")) == (404, "hold-unknown")
        assert problem_of(ask("GET", "%2e%2e")) == (404, "hold-unknown")
        assert problem_of(ask("DELETE", "case-9", reason="settled")) == (404, "hold-unknown")

    @pytest.mark.parametrize("hold_id", ["Case", "1", "a" * 65, "case_1", "..", "c#1"])
    def test_bad_id(self, world: World, archives: Archives, hold_id: str) -> None:
        """An id that could be part of no key is refused."""
        assert problem_of(order(world, hold_id, party=ANA)) == (400, "invalid-body")
        assert world.rows() == []

    def test_bad_body(self, world: World, archives: Archives) -> None:
        """A body is refused with every error, and nothing of it is written or shown."""
        answer = ask("PUT", CASE, party="12", session=ANA, reason=f"call {ANA}", owner="", review="soon", why=1)
        assert problem_of(answer) == (400, "invalid-body")
        assert [error["path"] for error in body(answer)["errors"]] == ["(a key)", "party", "reason", "owner", "review"]
        assert ANA not in answer["body"]
        assert problem_of(ask("DELETE", CASE)) == (400, "invalid-body")
        assert world.rows() == []

    def test_hold_captures_nothing(self, world: World, archives: Archives) -> None:
        """A hold opens nothing: whoever is held and said no is connected with nobody."""
        conversation(world, archives)
        place(world, archives, party=ANA)
        world.consent(ANA, "withdrawn")
        assert problem_of(world.open()) == (409, "consent-missing")


def _die(world: World, number: int, message: dict[str, Any]) -> bool:
    """Let a worker be killed before its call to DynamoDB, S3 or SQS with a number; tell whether it came that far."""
    calls = 0

    def counted(*_: Any, **__: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > number:
            raise KilledError

    clients = (world.dynamodb, runtime.versions()._client, runtime.queues()._client)
    for client in clients:
        client.meta.events.register("before-call", counted, unique_id="killer")
    try:
        with suppress(KilledError):
            holds.handle(sqs_event("holds", ("m", message)), None)
    finally:
        for client in clients:
            client.meta.events.unregister("before-call", unique_id="killer")
    runtime.reset()
    return calls > number
