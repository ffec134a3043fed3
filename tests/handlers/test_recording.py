"""Twilio's word that a recording is over: believed only when signed and well-formed, and handed on by SIDs alone."""

from __future__ import annotations

from typing import Any

import pytest
from parley.core.recording import Phase
from parley.handlers import recorder

from local.twilio.simulator import Ring
from tests.handlers.archives import Archives
from tests.handlers.boundaries import count, die_at
from tests.handlers.world import ACCOUNT, ANA, BEN, World, body, lines, problem_of

EVENT = "recording"
RECORDING, CALL = "RE" + "4" * 32, "CA" + "5" * 32


@pytest.fixture
def archives(world: World) -> Archives:
    """Give the queue that recordings go to."""
    return Archives(world)


def told(archives: Archives) -> list[dict[str, Any]]:
    """Return what the archive is to do."""
    return [message["body"] for message in archives.waiting("archive")]


@pytest.mark.parametrize("status", ["completed", "absent", "failed"])
def test_recording_that_is_over_goes_to_the_archive(world: World, archives: Archives, status: str) -> None:
    """The message has the SIDs, the state and the length, and not the URL that the callback brings."""
    answer = world.webhook(EVENT, RecordingStatus=status, RecordingUrl="https://evil.example/x")
    assert answer["statusCode"] == 204
    assert told(archives) == [
        {"kind": "recording", "sid": RECORDING, "call": CALL, "status": status, "seconds": 42},
    ]


def test_recording_that_began_is_only_logged(
    world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recording under way is no work for the archive yet."""
    assert world.webhook(EVENT, RecordingStatus="in-progress", drop=("RecordingDuration",))["statusCode"] == 204
    assert told(archives) == []
    assert [each["status"] for each in lines(capsys) if each["event"] == "recording-told"] == ["in-progress"]


def test_callback_that_comes_again_is_answered_alike(world: World, archives: Archives) -> None:
    """The archive does not mind a second message, so neither does this."""
    assert [world.webhook(EVENT)["statusCode"] for _ in range(2)] == [204, 204]
    assert len(told(archives)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"AccountSid": "AC" + "9" * 32},
        {"RecordingSid": "RE../../../x"},
        {"RecordingSid": "CA" + "4" * 32},
        {"RecordingSid": ""},
        {"CallSid": "CA" + "5" * 31},
        {"CallSid": "CA" + "5" * 32 + "/x"},
        {"RecordingStatus": "deleted"},
        {"RecordingDuration": "-1"},
        {"RecordingDuration": "1.5"},
        {"RecordingDuration": "٣"},
        {"RecordingDuration": "9" * 30},
        {"drop": ("RecordingSid",)},
        {"drop": ("RecordingStatus",)},
        {"drop": ("AccountSid",)},
        {"signed": False},
        {"token": "wrong"},
    ],
    ids=str,
)
def test_what_twilio_would_not_send_is_refused(world: World, archives: Archives, changes: dict[str, Any]) -> None:
    """A forged callback, another account's, a path in a SID or a negative length is 403, and nothing is written."""
    assert problem_of(world.webhook(EVENT, **changes)) == (403, "not-permitted")
    assert told(archives) == []
    assert world.rows() == []


def test_queue_that_is_down_is_told(world: World, archives: Archives) -> None:
    """Without the queue the answer is 503, so that Twilio may repeat it; if it does not, the sweeper finds it."""
    archives.sqs.delete_queue(QueueUrl=archives.urls["archive"])
    assert problem_of(world.webhook(EVENT)) == (503, "unavailable")


def test_ledger_that_is_down_is_told(world: World, archives: Archives) -> None:
    """The archive has its message all the same, and a repeat of the callback does no harm."""
    world.break_ledger()
    assert problem_of(world.webhook(EVENT)) == (503, "unavailable")
    assert len(told(archives)) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(5))
def test_what_dies_is_told_again(world: World, archives: Archives, number: int, after: bool) -> None:
    """Killed at each boundary, a callback that comes again leaves the archive its message and the recording ended."""
    for who in (ANA, BEN):
        world.consent(who)
        world.consent(who, scope="record_voice")
    opened = body(world.open(record=["voice"]))
    call = world.call(ANA, opened["participants"][0]["masked_number"], Ring(hold=True)).sid
    archives.work("recorder", recorder.handle)
    (record,) = world.ledger.records_in(opened["session"])
    assert record.sid

    def act() -> None:
        world.webhook(EVENT, RecordingSid=record.sid, CallSid=call)

    died = die_at(number, after=after, act=act)
    assert died
    act()
    assert {message["sid"] for message in told(archives)} == {record.sid}
    found = world.ledger.capture(call)
    assert found is not None
    assert found.phase is Phase.ENDED
    assert count(act) == ["send_message_batch", "get_item", "get_item"]
    assert ACCOUNT not in str(told(archives))
