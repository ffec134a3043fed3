"""What the tests of archiving share: recordings and texts at Twilio, and calls to the outside that can be watched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any

import pytest
from parley import runtime
from parley.adapters.twilio_api import TwilioApi
from parley.core.holds import Hold, Subject
from parley.core.record_classes import RecordClass
from parley.core.records import Record, ResourceKind, Stage
from parley.handlers import archive

from local.twilio.routes import sim_records
from tests.handlers.archives import CONTENT, Archives, sqs_event
from tests.handlers.boundaries import Boundary, Happening, KilledError, at, kill
from tests.handlers.boundaries import _Watched as Watched
from tests.handlers.world import World

SESSION = "KC" + "5" * 32
PARTIES = ("a" * 64, "b" * 64)
CONSENTS = ("cr_" + "1" * 32, "cr_" + "2" * 32)
SMALL_PART = 20_000
MEDIA = r"GET .*/Recordings/RE[0-9a-f]+\.wav"


def in_small_parts(patch: pytest.MonkeyPatch) -> None:
    """Let a second of sound go up in several parts."""
    patch.setattr("parley.adapters.content.PART", SMALL_PART)
    patch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


def recorded(world: World, *, known: bool = True, **script: Any) -> tuple[str, str]:
    """Put a recording into the account, and its record into the ledger; return the SIDs of both it and its call."""
    (made,) = sim_records.recordings(world.emulator, {"seconds": 1, "channels": 2, **script})["recordings"]
    if known:
        world.ledger.begin_record(
            Record(
                sid=made["sid"],
                kind=ResourceKind.RECORDING,
                record_class=RecordClass.CALL_RECORDINGS,
                session=SESSION,
                parent=made["call_sid"],
                parties=PARTIES,
                consents=CONSENTS,
                made_at=runtime.clock().now(),
            )
        )
    return made["sid"], made["call_sid"]


def heard(world: World, sid: str) -> bytes:
    """Return a recording's WAV file as Twilio has it."""
    carrier = world.emulator.carrier
    file = carrier.recordings.sound(carrier.state.recordings[sid]).wav(2)
    return b"".join(file.read(0, file.size))


def status_at_twilio(world: World, sid: str) -> str:
    """Return the status of a recording at Twilio; `deleted` once its sound is gone."""
    return world.emulator.carrier.state.recordings[sid].status


def work_of(sid: str, call: str) -> dict[str, Any]:
    """Return the message of the status callback."""
    return {"kind": "recording", "sid": sid, "call": call, "status": "completed", "seconds": 1}


def send(sid: str, call: str) -> None:
    """Put the work on the queue as the status callback does."""
    runtime.queues().send("archive", work_of(sid, call))


def hand_over(message: dict[str, Any]) -> bool:
    """Hand a message over once, as Lambda does; tell whether it was done."""
    return not archive.handle(sqs_event("archive", ("m", message)), None)["batchItemFailures"]


def hold(world: World, kind: Subject, subject: str) -> None:
    """Place a legal hold."""
    placed = Hold("h1", kind, subject, "Doe v. Roe", "counsel", date(2027, 1, 1), runtime.clock().now())
    world.dynamodb.put_item(
        TableName="parley-ledger",
        Item={"pk": {"S": "HOLDS"}, "sk": {"S": "HOLD#h1"}, "hold": {"S": placed.to_json()}},
    )


def fault(world: World, mode: str, match: str = MEDIA, **more: Any) -> None:
    """Let Twilio fail."""
    world.emulator.faults.add({"on": "rest", "mode": mode, "match": match, **more})


def name_of(sid: str) -> str:
    """Return the key of a recording's object."""
    return f"call-recordings/{SESSION}/{sid}.wav"


def stage_of(world: World, sid: str) -> Stage | None:
    """Return how far a record has come."""
    record = world.ledger.record(sid)
    return record.stage if record else None


def versions_of(archives: Archives) -> list[str]:
    """Return the keys of all versions in the content bucket, in order."""
    return sorted(key for key, _ in archives.versions())


def uploads(archives: Archives) -> int:
    """Return how many uploads are under way."""
    return len(archives.s3.list_multipart_uploads(Bucket=CONTENT).get("Uploads", []))


@contextmanager
def watched(number: int, *, after: bool, happen: Happening) -> Iterator[Boundary]:
    """Let something happen before or after a call to DynamoDB, SQS, S3 or Twilio, media included."""
    content: Any = runtime.content()
    opened = TwilioApi._open
    with at(number, after=after, happen=happen) as boundary, pytest.MonkeyPatch.context() as patch:

        def streamed(api: TwilioApi, operation: str, *arguments: Any, **named: Any) -> Any:
            return boundary.around(operation, opened, api, operation, *arguments, **named)

        patch.setattr(content, "_client", Watched(content._client))
        patch.setattr(TwilioApi, "_open", streamed)
        yield boundary


def calls_of(message: dict[str, Any]) -> list[str]:
    """Return the calls to the outside that the work of a message makes."""
    with watched(-1, after=False, happen=kill) as boundary:
        assert hand_over(message)
    return boundary.calls


def die_at(number: int, *, after: bool, message: dict[str, Any]) -> bool:
    """Do the work of a message and be killed at a boundary; tell whether it came that far."""
    with watched(number, after=after, happen=kill) as boundary, suppress(KilledError):
        hand_over(message)
    runtime.reset()
    return boundary.came
