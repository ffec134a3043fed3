"""The daily check of all chains: what it finds, where it goes on, and what it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from parley import runtime
from parley.adapters.table import Table
from parley.audit import READS, audit
from parley.core.chains import Fault
from parley.handlers import chains, evidence
from parley.ports import LedgerError

from tests.handlers.evidence import Storage, stream
from tests.handlers.world import ANA, BEN, DAY, KEEP_DAYS, STRANGER, TABLE, World, body, output

pytestmark = pytest.mark.moto

KEPT = KEEP_DAYS["consent-evidence"] * DAY


@pytest.fixture
def storage(world: World) -> Storage:
    """Give an evidence bucket that is empty."""
    return Storage(world)


def copied(world: World, *people: str) -> list[str]:
    """Let people consent and withdraw, with a copy of each record, an hour ago; return their party keys."""
    parties = []
    for person in people:
        parties.append(str(body(world.consent(person))["party"]))
        world.consent(person, "withdrawn")
    evidence.handle({"Records": stream(world)}, None)
    world.clock.advance(3600)
    return parties


def check(
    world: World, capsys: pytest.CaptureFixture[str], *, anew: bool = True
) -> tuple[list[tuple[str, int, str]], dict[str, Any]]:
    """Let the schedule fire once; return the findings (party, place, fault), and the line with the metrics.

    Unless it is to go on, it begins a walk however young the last one is.
    """
    capsys.readouterr()
    if anew:
        remove(world, "CURSOR")
    try:
        chains.handle({}, None)
        raised = False
    except chains.ChainsError:
        raised = True
    lines, (metrics,) = output(capsys)
    found = [(one["party"], one["seq"], one["fault"]) for one in lines if one.get("event") == "chain-finding"]
    assert raised == bool(metrics["ChainFindings"] or metrics["ChainsUnread"])
    assert metrics["ChainFindings"] == len(found)
    return found, metrics


def tamper(world: World, place: int, **members: Any) -> None:
    """Change a row of the only person, behind the ledger's back."""
    (row,) = [one for one in world.rows("EVENT#") if one["sk"]["S"].endswith(f"{place:012d}")]
    changed = {**json.loads(row["record"]["S"]), **members}
    world.dynamodb.put_item(TableName=TABLE, Item={**row, "record": {"S": json.dumps(changed)}})


def remove(world: World, prefix: str = "") -> None:
    """Take rows away, behind the ledger's back."""
    for row in world.rows(prefix):
        world.dynamodb.delete_item(TableName=TABLE, Key={"pk": row["pk"], "sk": row["sk"]})


@contextmanager
def seconds(patch: pytest.MonkeyPatch, *moments: float) -> Iterator[None]:
    """Let the monotonic clock show these seconds, one a look, and then the last of them."""
    left = list(moments)
    with patch.context() as inside:
        inside.setattr(time, "monotonic", lambda: left.pop(0) if len(left) > 1 else left[0])
        yield


class Ending:
    """Lambda's context a second before a run has to end."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Return what is left."""
        return 31_000


class TestFindings:
    """Each kind of fault is found where it is."""

    def test_nothing_wrong(self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
        """Chains that are as they were written are counted, and no alarm rings."""
        copied(world, ANA, BEN)
        found, metrics = check(world, capsys)
        assert found == []
        assert (metrics["ChainsChecked"], metrics["ChainRecords"], metrics["ChainWalks"]) == (2, 4, 1)
        assert metrics["Stack"] == runtime.environment().stack
        assert len(storage.copies()) == 4

    def test_tampered_row(self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
        """A row that was changed is told with its place, and nobody else's chain is."""
        party, _ = copied(world, ANA, BEN)
        (row, *_) = [one for one in world.rows("EVENT#") if one["pk"]["S"].endswith(party)]
        forged = {**row, "record": {"S": row["record"]["S"].replace("given", "refused")}}
        world.dynamodb.put_item(TableName=TABLE, Item=forged)
        found, _ = check(world, capsys)
        assert found == [(party[:12], 1, Fault.CHAIN_BROKEN), (party[:12], 1, Fault.COPY_DIFFERS)]
        assert storage.versions() == 4

    def test_tampered_copy(self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
        """A copy that was written over is told."""
        (party,) = copied(world, ANA)
        storage.forge(f"consent-evidence/{party}/000000000002.json", "{}")
        assert check(world, capsys)[0] == [(party[:12], 2, Fault.COPY_DIFFERS)]

    def test_missing_copy(self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
        """A copy is missing once the record is an hour old, and made again it is not."""
        party = str(body(world.consent(ANA))["party"])
        assert check(world, capsys)[0] == []
        world.clock.advance(3600)
        assert check(world, capsys)[0] == [(party[:12], 1, Fault.COPY_MISSING)]
        evidence.handle({"party": party}, None)
        assert check(world, capsys)[0] == []
        assert storage.versions() == 1

    def test_deleted_copy(self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
        """A copy behind a delete marker is missing."""
        (party,) = copied(world, ANA)
        storage.client.delete_object(Bucket="parley-evidence", Key=f"consent-evidence/{party}/000000000001.json")
        assert check(world, capsys)[0] == [(party[:12], 1, Fault.COPY_MISSING)]

    @pytest.mark.parametrize("prefix", ["EVENT#", ""])
    def test_removed_rows(
        self, world: World, storage: Storage, prefix: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Somebody whose records are gone is found by the head that is left, and if that is gone too, by the copies."""
        (party,) = copied(world, ANA)
        remove(world, prefix)
        found, _ = check(world, capsys)
        assert (party[:12], 2, Fault.ROW_MISSING) in found
        assert len(storage.copies()) == 2

    def test_end_of_retention(self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
        """When the rows of somebody have left in time, the copies that are still there are no finding."""
        copied(world, ANA)
        world.clock.advance(KEPT)
        assert check(world, capsys)[0] == []
        remove(world, "EVENT#")
        remove(world, "HEAD")
        assert check(world, capsys)[0] == []
        assert len(storage.copies()) == 2

    def test_held_beyond_its_time(self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
        """What a legal hold keeps beyond its time is not held against its copy, before which S3 has put a marker."""
        (party,) = copied(world, ANA)
        for row in [*world.rows("EVENT#"), *world.rows("HEAD")]:
            held = {name: value for name, value in row.items() if name != "expires_at"}
            world.dynamodb.put_item(TableName=TABLE, Item={**held, "held_expires_at": row["expires_at"]})
        assert check(world, capsys)[0] == []
        for seq in (1, 2):
            storage.client.delete_object(Bucket="parley-evidence", Key=f"consent-evidence/{party}/{seq:012d}.json")
        assert len(check(world, capsys)[0]) == 2
        world.clock.advance(KEPT)
        assert check(world, capsys)[0] == []

    @pytest.mark.parametrize(
        "garbage", [{"seq": {"N": "1.5"}}, {"expires_at": {"S": "?"}}, {"expires_at": {"N": "9" * 30}}]
    )
    def test_rows_of_another_form(
        self, world: World, storage: Storage, garbage: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A head or a row that makes no sense stops nobody's check."""
        copied(world, ANA, BEN)
        head, other = world.rows("HEAD")
        world.dynamodb.put_item(TableName=TABLE, Item={**head, **garbage})
        (row, *_) = [one for one in world.rows("EVENT#") if one["pk"] == other["pk"]]
        world.dynamodb.put_item(TableName=TABLE, Item={**row, "sk": {"S": "EVENT#x"}, "expires_at": {"S": "?"}})
        found, metrics = check(world, capsys)
        assert (other["pk"]["S"][6:18], 0, Fault.CHAIN_BROKEN) in found
        assert metrics["ChainsChecked"] == 2
        assert storage.versions() == 4

    def test_log_names_nobody(self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
        """A finding is one line with the start of the party key, the reason and the way out; no number, no value."""
        (party,) = copied(world, ANA)
        tamper(world, 1, actor="api:somebody-else")
        storage.forge(f"consent-evidence/{party}/000000000002.json", f"{ANA} was here")
        capsys.readouterr()
        with pytest.raises(chains.ChainsError, match="log"):
            chains.handle({}, None)
        written = capsys.readouterr().out
        line = json.loads(next(one for one in written.splitlines() if "chain-finding" in one))
        assert (line["level"], len(line["party"])) == ("ERROR", 12)
        assert line["reason"]
        assert line["fix"]
        assert [secret for secret in (party, ANA, "somebody-else", "was here") if secret in written] == []


class TestRace:
    """People go on consenting while they are read."""

    def test_record_that_comes_in_between_is_no_finding(self, world: World, storage: Storage) -> None:
        """A copy that is there before its row was read is looked at again, together with the row."""
        (party,) = copied(world, ANA)
        ledger = runtime.ledger()
        reads: list[str] = []

        def meanwhile(operation: str) -> None:
            if operation == "get_paginator" and not reads:
                reads.append(operation)
                world.consent(ANA, source_event_id="meanwhile")
                evidence.handle({"Records": stream(world, "EVENT#")}, None)

        storage.before = meanwhile
        assert audit(ledger, runtime.copies(), party, runtime.clock().now()).findings == ()
        assert len(storage.copies()) == 3

    def test_fault_is_read_three_times(self, world: World, storage: Storage) -> None:
        """What is still wrong at the third look is a finding."""
        (party,) = copied(world, ANA)
        tamper(world, 2, actor="api:forged")
        listed: list[str] = []
        storage.before = listed.append
        assert audit(runtime.ledger(), runtime.copies(), party, runtime.clock().now()).findings
        assert listed.count("get_paginator") == READS


class TestWalk:
    """A walk is as long as it takes, a run is not."""

    def test_runs_go_on_where_the_last_one_stopped(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However short the runs, a walk checks everybody, and then a new one begins."""
        copied(world, ANA, BEN, STRANGER)
        monkeypatch.setattr(chains, "SEGMENTS", 1)
        runs = 0
        checked = 0
        while True:
            # The start, one page, one person: then the time is over.
            with seconds(monkeypatch, 0.0, 0.0, 0.0, 1e6):
                found, metrics = check(world, capsys, anew=False)
            runs += 1
            checked += metrics["ChainsChecked"]
            assert found == []
            if metrics["ChainWalks"]:
                break
            world.clock.advance(DAY)
            assert runs < 20
        assert checked == 3
        assert runs > 3
        assert metrics["ChainWalkHours"] == (runs - 1) * 24
        assert chains.handle({}, None)["ChainsChecked"] == 3
        assert len(storage.copies()) == 6

    def test_next_walk_begins_a_day_after_the_last_one_began(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """When a walk is over, the hourly runs have nothing to do and measure nothing until it is a day old."""
        copied(world, ANA)
        assert chains.handle({}, None)["ChainWalks"] == 1
        capsys.readouterr()
        world.clock.advance(22 * 3600)
        assert chains.handle({}, None) == {}
        assert capsys.readouterr().out == ""
        world.clock.advance(3600)
        assert chains.handle({}, None)["ChainWalks"] == 1
        assert len(storage.copies()) == 2

    def test_pages_that_name_nobody_are_passed(
        self, world: World, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The scan goes on over pages without a chain, and hands over everybody exactly once."""
        parties = copied(world, ANA, BEN, STRANGER)
        del storage
        original = Table.call

        def small(table: Table, operation: str, **arguments: Any) -> Any:
            return original(table, operation, **arguments, **({"Limit": 1} if operation == "scan" else {}))

        monkeypatch.setattr(Table, "call", small)
        found: list[str] = []
        position = ""
        while True:
            page, position = runtime.ledger().chained(0, 1, position)
            found += page
            if not position:
                break
        assert sorted(found) == sorted(parties)

    def test_people_with_copies_are_listed_page_by_page(self, world: World, storage: Storage) -> None:
        """Everybody who has copies is listed once, whatever else lies in the bucket."""
        parties = copied(world, ANA, BEN, STRANGER)
        strays = ("0/x.json", "8", parties[0], "nobody/x.json", "stray.json")
        for key in (*(f"consent-evidence/{stray}" for stray in strays), "declarations/current.json"):
            storage.client.put_object(Bucket="parley-evidence", Key=key, Body=b"")
        found: list[str] = []
        position = ""
        while True:
            page, position = runtime.copies().parties(position, 1)
            found += page
            if not position:
                break
        assert found == sorted(parties)

    def test_run_ends_before_lambda_ends_it(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half a minute before its time is over a run begins nothing more; the next one goes on."""
        copied(world, ANA)
        with seconds(monkeypatch, 0.0, 1.5):
            assert chains.handle({}, Ending())["ChainsChecked"] == 0
        assert check(world, capsys, anew=False)[1]["ChainsChecked"] == 1
        assert len(storage.copies()) == 2


class TestTrouble:
    """What cannot be read is told, and read again."""

    def test_one_person_that_cannot_be_read_keeps_nobody_waiting(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A copy that S3 refuses to give is told as unread, and the others are checked."""
        copied(world, ANA, BEN)
        with storage.failing("get_object", "KMS.DisabledException"):
            found, metrics = check(world, capsys)
        assert found == []
        assert (metrics["ChainsChecked"], metrics["ChainsUnread"], metrics["ChainWalks"]) == (1, 1, 1)

    def test_row_that_nobody_foresaw_keeps_nobody_waiting(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody whose check ends in an error is told by its kind, without its text, and the others are checked."""
        party, _ = copied(world, ANA, BEN)

        def trip(ledger: Any, copies: Any, one: str, now: Any, proofs: Any) -> Any:
            if one == party:
                raise TypeError(f"{ANA} is no number")
            return audit(ledger, copies, one, now, proofs)

        monkeypatch.setattr(chains, "audit", trip)
        capsys.readouterr()
        with pytest.raises(chains.ChainsError):
            chains.handle({}, None)
        told, (metrics,) = output(capsys)
        (line,) = [one for one in told if one["event"] == "chain-unread"]
        assert (line["party"], line["reason"]) == (party[:12], "TypeError")
        assert (metrics["ChainsChecked"], metrics["ChainsUnread"], metrics["ChainWalks"]) == (1, 1, 1)
        assert len(storage.copies()) == 4

    def test_outage_ends_the_run_and_loses_no_place(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When person after person cannot be read the run gives up, and the next one begins with the first of them."""
        monkeypatch.setattr(chains, "FAILURES_LIMIT", 2)
        monkeypatch.setattr(chains, "SEGMENTS", 1)
        copied(world, ANA, BEN, STRANGER)
        with storage.failing("get_paginator", times=100):
            _, metrics = check(world, capsys)
        assert (metrics["ChainsChecked"], metrics["ChainsUnread"], metrics["ChainWalks"]) == (0, 2, 0)
        assert check(world, capsys, anew=False)[1]["ChainsChecked"] == 3

    def test_ledger_that_cannot_be_scanned(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A scan that is refused is told for each part, and the walk is not over."""
        copied(world, ANA)
        original = Table.call

        def refuse(table: Table, operation: str, **arguments: Any) -> Any:
            if operation == "scan":
                raise LedgerError("DynamoDB: ThrottlingException")
            return original(table, operation, **arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Table, "call", refuse)
            _, metrics = check(world, capsys)
        assert (metrics["ChainsUnread"], metrics["ChainWalks"]) == (chains.SEGMENTS, 0)
        assert check(world, capsys, anew=False)[1]["ChainWalks"] == 1
        assert len(storage.copies()) == 2

    def test_bucket_that_cannot_be_listed(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """When the people of the bucket cannot be listed, the walk goes on there the next time."""
        copied(world, ANA)
        with storage.failing("list_objects_v2"):
            _, metrics = check(world, capsys)
        assert (metrics["ChainsChecked"], metrics["ChainsUnread"], metrics["ChainWalks"]) == (1, 1, 0)
        _, metrics = check(world, capsys, anew=False)
        assert (metrics["ChainsChecked"], metrics["ChainWalks"]) == (0, 1)

    def test_copy_that_goes_while_it_is_read(self, world: World, storage: Storage) -> None:
        """A copy that was listed and is gone when it is read is missing."""
        (party,) = copied(world, ANA)
        with storage.failing("get_object", "NoSuchKey", times=100):
            found = audit(runtime.ledger(), runtime.copies(), party, runtime.clock().now()).findings
        assert {one.fault for one in found} == {Fault.COPY_MISSING}

    def test_ledger_that_is_gone(self, world: World, storage: Storage) -> None:
        """Without a ledger there is no cursor, and the run fails."""
        del storage
        world.break_ledger()
        with pytest.raises(LedgerError):
            chains.handle({}, None)
