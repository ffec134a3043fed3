"""I2, I4: wherever the archive dies, nothing is lost or doubled, and nothing leaves Twilio before its proof."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from parley.core.records import Stage

from tests.handlers.archives import Archives
from tests.handlers.archiving import (
    SESSION,
    calls_of,
    die_at,
    hand_over,
    heard,
    in_small_parts,
    name_of,
    recorded,
    stage_of,
    status_at_twilio,
    uploads,
    versions_of,
    watched,
    work_of,
)
from tests.handlers.world import World

LOOKING = ["get_item", "fetch-recording", "head_object", "fetch-recording-media"]
BEGINNING = ["query", "create_multipart_upload", "get_item", "transact_write_items"]
PUTTING = [*["upload_part"] * 2, "complete_multipart_upload", "head_object", "query", "put_object"]
WRITING = ["get_item", "transact_write_items", "query"]
DELETING = ["delete-recording", "fetch-recording", "get_item", "transact_write_items"]
ARCHIVING = [*LOOKING, *BEGINNING, *PUTTING, *WRITING, *DELETING]
DROPPING = ["get_item", "get_item", "transact_write_items", "query", *DELETING]
NOT_FOUND = frozenset({ARCHIVING.index("head_object"), len(ARCHIVING) - 3})
"""The calls of `ARCHIVING` that are answered by an error, since what they ask for is not there: none comes after it."""
everywhere = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


def boundaries(calls: list[str]) -> Callable[[Any], Any]:
    """Run a test once for each call to the outside."""
    return pytest.mark.parametrize("number", range(len(calls)), ids=[f"{n}-{name}" for n, name in enumerate(calls)])


@pytest.fixture
def archives(world: World) -> Archives:
    """Give the stores beside the ledger, into which a second of sound goes in two parts."""
    in_small_parts(world.patch)
    return Archives(world)


def test_calls_are_those_of_the_order(world: World, archives: Archives) -> None:
    """The object is proven and the record says archived before Twilio is asked to delete anything."""
    assert calls_of(work_of(*recorded(world))) == ARCHIVING
    assert calls_of(work_of(*recorded(world, known=False))) == DROPPING


@everywhere
@boundaries(ARCHIVING)
def test_what_dies_is_finished_by_the_next(world: World, archives: Archives, number: int, after: bool) -> None:
    """Killed anywhere, Twilio has the sound until a proven copy is written down, and the retry makes exactly one."""
    sid, call = recorded(world)
    sound = heard(world, sid)
    assert die_at(number, after=after, message=work_of(sid, call)) or (after and number in NOT_FOUND)
    if status_at_twilio(world, sid) == "deleted":
        assert stage_of(world, sid) in {Stage.ARCHIVED, Stage.DELETED}
        assert archives.objects()[name_of(sid)] == sound
    assert hand_over(work_of(sid, call))
    record = world.ledger.record(sid)
    assert record is not None
    assert (record.stage, record.sha256, record.size) == (Stage.DELETED, hashlib.sha256(sound).hexdigest(), len(sound))
    assert status_at_twilio(world, sid) == "deleted"
    assert archives.objects()[name_of(sid)] == sound
    assert versions_of(archives) == [f"call-recordings/{SESSION}/{sid}.json", name_of(sid)]
    # Only an upload whose id was not written down is left over, for S3's own rule to drop in a day.
    lost = ARCHIVING[number] == "create_multipart_upload" and after
    lost |= ARCHIVING[number - 1 if number else 0] == "create_multipart_upload"
    lost |= number == ARCHIVING.index("transact_write_items") and not after
    assert uploads(archives) == int(lost)


@everywhere
@boundaries(DROPPING)
def test_what_nobody_agreed_to_is_never_stored(world: World, archives: Archives, number: int, after: bool) -> None:
    """Killed anywhere, a recording without a record ends dropped and deleted at Twilio, with nothing in the bucket."""
    sid, call = recorded(world, known=False)
    die_at(number, after=after, message=work_of(sid, call))
    assert hand_over(work_of(sid, call))
    assert stage_of(world, sid) is Stage.DISCARDED
    assert status_at_twilio(world, sid) == "deleted"
    assert versions_of(archives) == []


@boundaries(ARCHIVING)
def test_two_at_once_make_one_object(world: World, archives: Archives, number: int) -> None:
    """Whoever does the whole work between two calls of another one leaves it one object and one record."""
    sid, call = recorded(world)
    sound = heard(world, sid)
    work = work_of(sid, call)
    with watched(number, after=False, happen=lambda: hand_over(work)):
        hand_over(work)
    assert hand_over(work)
    assert stage_of(world, sid) is Stage.DELETED
    assert archives.objects()[name_of(sid)] == sound
    assert versions_of(archives) == [f"call-recordings/{SESSION}/{sid}.json", name_of(sid)]


@boundaries(ARCHIVING)
def test_reason_in_between_is_taken_in(world: World, archives: Archives, number: int) -> None:
    """Whoever stops a recording may write why between any two calls: it is archived at once, and says why it ends."""
    sid, call = recorded(world)

    def mark() -> None:
        record = world.ledger.record(sid)
        assert record is not None
        assert world.ledger.advance(record, replace(record, reason="stopped-by-withdrawal"))

    with watched(number, after=False, happen=mark):
        assert hand_over(work_of(sid, call))
    record = world.ledger.record(sid)
    assert record is not None
    assert (record.stage, record.reason) == (Stage.DELETED, "stopped-by-withdrawal")
    assert len(versions_of(archives)) == 2


@boundaries(ARCHIVING)
def test_drop_in_between_takes_the_object_along(world: World, archives: Archives, number: int) -> None:
    """A record that is dropped while its object is made leaves nothing in the bucket, unless it was archived first."""
    sid, call = recorded(world)
    work = work_of(sid, call)

    def drop() -> None:
        record = world.ledger.record(sid)
        assert record is not None
        if record.stage is Stage.CAPTURED:
            assert world.ledger.advance(record, replace(record, stage=Stage.DROPPED, reason="overtaken"))

    with watched(number, after=False, happen=drop):
        hand_over(work)
    assert hand_over(work)
    kept = stage_of(world, sid) is Stage.DELETED
    assert stage_of(world, sid) in {Stage.DELETED, Stage.DISCARDED}
    assert len(versions_of(archives)) == (2 if kept else 0)
    assert kept == (number > ARCHIVING.index("query", 10) + 3)
    assert status_at_twilio(world, sid) == "deleted"


@boundaries(ARCHIVING)
def test_deletion_by_somebody_else_loses_no_copy(world: World, archives: Archives, number: int) -> None:
    """What was put before the archive died is kept though Twilio's is gone; before that it is lost, and said to be."""
    sid, call = recorded(world)
    sound = heard(world, sid)
    assert die_at(number, after=False, message=work_of(sid, call))
    if status_at_twilio(world, sid) != "deleted":
        world.twilio.recordings(sid).delete()
    assert hand_over(work_of(sid, call))
    put = number > ARCHIVING.index("complete_multipart_upload")
    assert stage_of(world, sid) is (Stage.DELETED if put else Stage.DISCARDED)
    assert archives.objects().get(name_of(sid)) == (sound if put else None)
