"""The copies of consent records: each record once, in its order, and nothing else of the ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from parley import runtime
from parley.core.chains import COPY_WITHIN
from parley.core.consent import ChainError, record_from_json, verify_chain
from parley.handlers import evidence
from parley.ports import CopyError
from parley.variables import EnvironmentMismatchError

from tests.handlers.evidence import BUCKET, Storage, change, stream
from tests.handlers.world import ANA, BEN, DAY, TABLE, World, body, lines, output

pytestmark = pytest.mark.moto


@pytest.fixture
def storage(world: World) -> Storage:
    """Give an evidence bucket that is empty."""
    return Storage(world)


def copy(records: list[dict[str, Any]], context: Any = None) -> list[str]:
    """Hand a batch over; return the sequence numbers of what failed."""
    answer = evidence.handle({"Records": records}, context)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def number(record: dict[str, Any]) -> str:
    """Return the sequence number of a stream's record."""
    return str(record["dynamodb"]["SequenceNumber"])


class Ending:
    """Lambda's context a moment before the function's time is over."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Return what is left."""
        return evidence.RESERVE_MILLISECONDS - 1


class TestCopy:
    """A new record is copied as it is."""

    def test_record_is_copied_word_by_word(self, world: World, storage: Storage) -> None:
        """The copy stands under the party key and the place in the chain, and is the row's own text."""
        party = body(world.consent(ANA))["party"]
        assert copy(stream(world)) == []
        (row,) = world.rows("EVENT#")
        assert storage.copies() == {f"consent-evidence/{party}/000000000001.json": row["record"]["S"]}

    def test_copies_are_a_chain(self, world: World, storage: Storage) -> None:
        """What lies in the bucket of one person verifies by itself."""
        for state in ("given", "withdrawn", "given"):
            world.consent(ANA, state)
        copy(stream(world))
        verify_chain([record_from_json(text) for _, text in sorted(storage.copies().items())])

    def test_written_under_the_key_with_its_checksum_and_its_rows_end(self, world: World, storage: Storage) -> None:
        """The copy asks for the evidence key, a bucket key and SHA-256, and says when its row leaves."""
        party = body(world.consent(ANA))["party"]
        copy(stream(world))
        held = storage.client.head_object(
            Bucket=BUCKET, Key=f"consent-evidence/{party}/000000000001.json", ChecksumMode="ENABLED"
        )
        assert (held["ServerSideEncryption"], held["SSEKMSKeyId"]) == ("aws:kms", world.evidence_key)
        assert held["BucketKeyEnabled"]
        assert held["ChecksumSHA256"]
        (row,) = world.rows("EVENT#")
        leaves = datetime.fromisoformat(held["Metadata"]["row-leaves-at"])
        assert leaves == datetime.fromtimestamp(int(row["expires_at"]["N"]), UTC)

    def test_nothing_else_is_copied(self, world: World, storage: Storage) -> None:
        """Heads, states, sources, sessions, a vault with a contact, and changes of a record are passed over."""
        world.conversation()
        (row, *_) = world.rows("EVENT#")
        contact = {"pk": row["pk"], "sk": {"S": "CONTACT"}, "contact": {"B": b"sealed"}}
        records = [one for one in stream(world) if not one["dynamodb"]["Keys"]["sk"]["S"].startswith("EVENT#")]
        elsewhere = {**row, "pk": {"S": "SESSION#KC1"}}
        records += [change(contact, 90), change(elsewhere, 91), change(row, 92, "MODIFY"), change(row, 93, "REMOVE")]
        assert copy(records) == []
        assert storage.copies() == {}

    def test_no_number_is_in_the_bucket(self, world: World, storage: Storage) -> None:
        """Neither a key nor a body holds a phone number, of whomever it is."""
        world.consent(ANA, counterpart=BEN)
        world.consent(BEN)
        copy(stream(world))
        everything = json.dumps(storage.copies())
        assert len(storage.copies()) == 2
        assert [each for each in (ANA, BEN) if each.removeprefix("+") in everything] == []


class TestRepeats:
    """Streams deliver at least once."""

    def test_second_delivery_makes_no_second_version(self, world: World, storage: Storage) -> None:
        """A batch that comes again is worked off, and each copy still has one version."""
        world.consent(ANA)
        world.consent(ANA, "withdrawn")
        records = stream(world)
        assert [copy(records), copy(records), copy([*records, *records])] == [[], [], []]
        assert storage.versions() == 2

    def test_crash_between_copy_and_answer(self, world: World, storage: Storage) -> None:
        """A function that died after a copy was made goes on behind it when the batch comes again."""
        world.consent(ANA)
        world.consent(ANA, "withdrawn")
        records = stream(world, "EVENT#")
        assert copy(records[:1]) == []
        assert copy(records) == []
        assert (len(storage.copies()), storage.versions()) == (2, 2)

    def test_what_is_there_is_never_written_over(self, world: World, storage: Storage) -> None:
        """A copy that somebody put there first stays, for the daily check to find."""
        party = body(world.consent(ANA))["party"]
        key = f"consent-evidence/{party}/000000000001.json"
        storage.client.put_object(Bucket=BUCKET, Key=key, Body=b"forged")
        assert copy(stream(world)) == []
        assert storage.read(key) == "forged"

    def test_order_of_people_does_not_matter(self, world: World, storage: Storage) -> None:
        """Shards come in any order; within one, people may be mixed as long as each one's order is kept."""
        for party in (ANA, BEN):
            world.consent(party)
            world.consent(party, "withdrawn")
        records = stream(world, "EVENT#")
        mixed = [records[2], records[0], records[3], records[1]]
        assert copy(mixed) == []
        assert len(storage.copies()) == 4


class TestFailures:
    """What cannot be copied now is reported, from there on."""

    @pytest.mark.parametrize(
        "code", ["SlowDown", "AccessDenied", "KMS.DisabledException", "ConditionalRequestConflict"]
    )
    def test_batch_stops_at_the_first_failure(self, world: World, storage: Storage, code: str) -> None:
        """From a copy that fails on nothing is copied, so that each person's copies have no gap; then all is."""
        for state in ("given", "withdrawn", "given"):
            world.consent(ANA, state)
        records = stream(world, "EVENT#")
        assert copy(records[:1]) == []
        with storage.failing("put_object", code):
            assert copy(records[1:]) == [number(records[1])]
        assert len(storage.copies()) == 1
        assert copy(records[1:]) == []
        assert len(storage.copies()) == 3

    def test_no_connection_is_a_failure(
        self, world: World, storage: Storage, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A bucket that cannot be reached is told without its address, and tried again."""
        world.consent(ANA)
        records = stream(world, "EVENT#")

        def unplugged(_: str) -> None:
            raise EndpointConnectionError(endpoint_url="https://secret.example")

        storage.before = unplugged
        assert copy(records) == [number(records[0])]
        (line,) = [one for one in lines(capsys) if one["event"] == "copy-failed"]
        assert line["reason"] == "S3: EndpointConnectionError"

    def test_end_of_the_functions_time(self, world: World, storage: Storage) -> None:
        """A batch that takes too long is handed back in time, instead of failing as a whole."""
        world.consent(ANA)
        records = stream(world)
        first = next(one for one in records if one["dynamodb"]["Keys"]["sk"]["S"].startswith("EVENT#"))
        assert copy(records, Ending()) == [number(first)]
        assert storage.copies() == {}

    @pytest.mark.parametrize("text", ["{}", None])
    def test_row_that_is_no_record(
        self, world: World, storage: Storage, text: str | None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A row that holds no record, or none at all, is told and counted, and those behind it are copied."""
        world.consent(ANA)
        world.consent(ANA, "withdrawn")
        capsys.readouterr()
        bad, good = stream(world, "EVENT#")
        bad["dynamodb"]["NewImage"] = {
            **{name: value for name, value in bad["dynamodb"]["NewImage"].items() if name != "record"},
            **({"record": {"S": text}} if text else {}),
        }
        assert copy([bad, good]) == []
        assert [key[-17:] for key in storage.copies()] == ["000000000002.json"]
        (told, _), (counted,) = output(capsys)
        assert (told["event"], told["seq"], len(told["party"])) == ("record-not-copied", 1, 12)
        assert (counted["RecordsNotCopied"], counted["Stack"]) == (1, runtime.environment().stack)

    def test_deployment_without_a_bucket(self, world: World) -> None:
        """A function that was told no bucket says which variables are missing."""
        world.consent(ANA)
        with pytest.raises(EnvironmentMismatchError, match="PARLEY_EVIDENCE_BUCKET"):
            copy(stream(world))


class TestPerson:
    """The way out after a failure that outlived the stream."""

    def test_missing_copies_are_made(self, world: World, storage: Storage) -> None:
        """Called with a party key it copies what that person lacks, and says how much that was."""
        party = body(world.consent(ANA))["party"]
        copy(stream(world))
        world.consent(ANA, "withdrawn")
        assert evidence.handle({"party": party}, None) == {"copied": 1, "too_old": 0}
        assert evidence.handle({"party": party}, None) == {"copied": 0, "too_old": 0}
        assert storage.versions() == 2

    def test_copy_would_outlive_the_bound(self, world: World, storage: Storage) -> None:
        """A record older than a week is not copied any more, since its copy would be kept for too long."""
        party = body(world.consent(ANA))["party"]
        world.clock.advance(COPY_WITHIN.days * DAY + 1)
        world.consent(ANA, "withdrawn")
        assert evidence.handle({"party": party}, None) == {"copied": 1, "too_old": 1}
        assert [key[-17:] for key in storage.copies()] == ["000000000002.json"]

    def test_broken_chain_is_not_copied(self, world: World, storage: Storage) -> None:
        """What does not verify never becomes evidence."""
        party = body(world.consent(ANA))["party"]
        (row,) = world.rows("EVENT#")
        forged = row["record"]["S"].replace("given", "refused")
        world.dynamodb.put_item(TableName=TABLE, Item={**row, "record": {"S": forged}})
        with pytest.raises(ChainError, match="record 1"):
            evidence.handle({"party": party}, None)
        assert storage.copies() == {}

    def test_failure_is_an_error(self, world: World, storage: Storage) -> None:
        """A copy that cannot be made ends the call with S3's code."""
        party = body(world.consent(ANA))["party"]
        with storage.failing("put_object"), pytest.raises(CopyError, match="S3: SlowDown"):
            evidence.handle({"party": party}, None)

    @pytest.mark.parametrize("event", [{}, {"party": None}, {"party": "a" * 63}, {"party": ANA}])
    def test_nobody(self, world: World, event: dict[str, Any]) -> None:
        """A call that names no party key is refused without repeating what it named."""
        assert runtime.environment().ledger_table == TABLE
        del world
        with pytest.raises(evidence.NotAPartyKeyError, match="64 hex digits") as caught:
            evidence.handle(event, None)
        assert ANA not in str(caught.value)
