"""What is read at Twilio: whose copies count, how they are named, and what an answer of another kind means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

import pytest
from parley.adapters.live import Deadline, observe
from parley.adapters.live_twilio import SESSIONS_SAMPLED, Line
from parley.adapters.twilio import TwilioCarrier
from parley.core.verification import OLDEST, Oldest, Unread
from parley.ports import CarrierError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SERVICE, ACCOUNT = "KS" + "1" * 32, "AC" + "1" * 32
OURS, OTHERS = "+12125550140", "+12125550199"
ROOT = f"/2010-04-01/Accounts/{ACCOUNT}"


class Twilio:
    """A Twilio of made-up answers, by path; a path without one is a 404. `asked` are the paths that were read."""

    def __init__(self, **answers: Any) -> None:
        service = {"account_sid": ACCOUNT, "default_ttl": 3600, "chat_instance_sid": answers.pop("chat", None)}
        pool = [{"sid": "PN1", "phone_number": OURS, "is_reserved": False}]
        path = f"/v1/Services/{SERVICE}"
        self._answers: dict[str, Any] = {path: service, f"{path}/PhoneNumbers": pool}
        self._answers |= {
            f"{ROOT}/Messages.json": answers.pop("messages", []),
            f"{ROOT}/Recordings.json": answers.pop("recordings", []),
            f"{ROOT}/Transcriptions.json": answers.pop("transcriptions", []),
            f"{path}/Sessions": answers.pop("sessions", []),
            "/v2/AccountDefaultConfiguration/Recording": answers.pop("default", None),
        }
        self._answers |= {
            f"{path}/Sessions/{sid}/Interactions": each for sid, each in answers.pop("passed", {}).items()
        }
        self._answers |= {f"{ROOT}/Calls/{sid}.json": call for sid, call in answers.pop("calls", {}).items()}
        self._answers |= {f"{ROOT}/Recordings/{sid}.json": each for sid, each in answers.pop("recorded", {}).items()}
        self._answers |= {f"{ROOT}/Messages/{sid}/Media.json": each for sid, each in answers.pop("media", {}).items()}
        self.asked: list[str] = []

    def read(self, operation: str, _host: str, path: str) -> dict[str, Any]:
        """Return one answer."""
        self.asked.append(path)
        found: dict[str, Any] | None = self._answers.get(path)
        if found is None:
            raise CarrierError(operation, 404)
        return found

    def entries(
        self, _operation: str, _host: str, path: str, _query: Mapping[str, str], _key: str
    ) -> Iterator[dict[str, Any]]:
        """Yield the entries of one list."""
        self.asked.append(path)
        yield from self._answers[path]


def seen(twilio: Twilio, **changed: int) -> dict[str, Any]:
    """Return what is read of the line, with 14 days for each class but for those that are `changed`."""
    days = dict.fromkeys(("call-recordings", "messages", "interaction-log", "session-map"), 14) | changed
    resource = {"name": SERVICE, "expected": {OLDEST: days}}
    deadline = Deadline(10)
    line = Line(cast("TwilioCarrier", twilio), NOW, deadline)
    found: dict[str, Any] = observe(line.reads(resource), deadline)["twilio", SERVICE]
    return found


def old(days: int) -> str:
    """Return a date of so many days ago, in the old style of Twilio's API."""
    return format_datetime(NOW - timedelta(days=days))


def iso(days: int) -> str:
    """Return a date of so many days ago, in the style of Proxy."""
    return (NOW - timedelta(days=days)).isoformat().replace("+00:00", "Z")


class TestSettings:
    """The service and the account."""

    @pytest.mark.parametrize(
        ("default", "state"),
        [(None, "off"), ({"enabled": False}, "off"), ({"status": "disabled"}, "off"), ({}, "on"), ({"a": 1}, "on")],
    )
    def test_recording_default(self, default: dict[str, Any] | None, state: str) -> None:
        """No default, or one that says that it is off, is off; any other answer counts as recording every call."""
        assert seen(Twilio(default=default))["accountRecording"] == state

    def test_recording_default_that_is_refused(self) -> None:
        """A refusal is not taken for off."""

        class Refusing(Twilio):
            def read(self, operation: str, host: str, path: str) -> dict[str, Any]:
                if "AccountDefault" in path:
                    raise CarrierError(operation, 403)
                return super().read(operation, host, path)

        unread = seen(Refusing())["accountRecording"]
        assert unread == Unread("status 403", "twilio fetch-recording-default")

    def test_chat_instance(self) -> None:
        """A chat service behind the Proxy service is told by its SID."""
        assert seen(Twilio(chat="IS1"))["chatInstanceSid"] == "IS1"

    def test_pool_by_sid(self) -> None:
        """The pool is told by SID, without a number."""
        found = seen(Twilio())
        assert found["numbers"] == {"PN1": "in the pool"}
        assert OURS not in repr(found)


class TestCopies:
    """The oldest copies."""

    def test_messages_of_the_pool(self) -> None:
        """Of the messages over their time only those to or from the pool count, the oldest by its SID."""
        messages = [
            {"sid": "SM1", "date_sent": old(15), "from": OTHERS, "to": OURS},
            {"sid": "SM2", "date_sent": old(40), "from": OTHERS, "to": OTHERS},
            {"sid": "SM3", "date_sent": old(20), "from": OURS, "to": OTHERS},
            {"sid": "SM4", "date_sent": old(3), "from": OURS, "to": OTHERS},
        ]
        found = seen(Twilio(messages=messages))[OLDEST]["messages"]
        assert found == Oldest(NOW - timedelta(days=20), over=2, sid="SM3")

    def test_recordings_by_their_call(self) -> None:
        """A recording is ours when its call went to or from the pool, or is not there any more to say."""
        recordings = [{"sid": f"RE{n}", "date_created": old(20 + n), "call_sid": f"CA{n}"} for n in range(3)]
        calls = {"CA0": {"from": OTHERS, "to": OURS}, "CA2": {"from": OTHERS, "to": OTHERS}}
        found = seen(Twilio(recordings=recordings, calls=calls))[OLDEST]["call-recordings"]
        assert found == Oldest(NOW - timedelta(days=21), over=2, sid="RE1")

    def test_sessions_count_from_their_end(self) -> None:
        """A session is over its time so long after it was closed, however old it is; an open one is not."""
        sessions = [
            {"sid": "KC1", "date_created": iso(90), "date_ended": iso(3), "status": "closed"},
            {"sid": "KC2", "date_created": iso(60), "date_ended": iso(20), "status": "closed"},
            {"sid": "KC3", "date_created": iso(99), "date_ended": None, "status": "open"},
        ]
        passed: dict[str, Any] = {"KC1": [], "KC2": [], "KC3": []}
        found = seen(Twilio(sessions=sessions, passed=passed))[OLDEST]["session-map"]
        assert found == Oldest(NOW - timedelta(days=20), over=1, sid="KC2")

    def test_interaction_of_a_message_goes_with_the_messages(self) -> None:
        """Of the interactions of one age only those of messages are over, where messages have fewer days than calls."""
        sessions = [{"sid": "KC1", "date_created": iso(9), "date_ended": None, "status": "open"}]
        passed = {"KC1": [{"sid": f"KI{kind}", "type": kind, "date_created": iso(8)} for kind in ("message", "voice")]}
        twilio = Twilio(sessions=sessions, passed=passed)
        found = seen(twilio, messages=5)[OLDEST]["interaction-log"]
        assert found == Oldest(NOW - timedelta(days=8), over=1, sid="KImessage")

    def test_interactions_of_the_oldest_sessions(self) -> None:
        """Interactions are looked for in the oldest sessions, a bounded number of them."""
        sids = [f"KC{n:02}" for n in range(SESSIONS_SAMPLED + 5)]
        sessions = [
            {"sid": sid, "date_created": iso(100 - n), "date_ended": None, "status": "open"}
            for n, sid in enumerate(sids)
        ]
        passed = {sid: [{"sid": f"KI{sid}", "date_created": iso(50 - n)}] for n, sid in enumerate(sids)}
        twilio = Twilio(sessions=sessions, passed=passed)
        found = seen(twilio)[OLDEST]["interaction-log"]
        assert found == Oldest(NOW - timedelta(days=50), over=SESSIONS_SAMPLED, sid="KIKC00")
        assert sum("Interactions" in path for path in twilio.asked) == SESSIONS_SAMPLED


class TestDerived:
    """What was made of a recording or a message."""

    def test_transcription_goes_by_its_recordings_call(self) -> None:
        """The oldest transcription counts whose recording's call was of the pool, or whose recording is gone."""
        transcriptions = [
            {"sid": "TR1", "date_created": old(30), "recording_sid": "RE1"},
            {"sid": "TR2", "date_created": old(40), "recording_sid": "RE2"},
            {"sid": "TR3", "date_created": old(20), "recording_sid": "RE3"},
            {"sid": "TR4", "date_created": old(3), "recording_sid": "RE1"},
        ]
        recorded = {"RE1": {"call_sid": "CA1"}, "RE2": {"call_sid": "CA2"}}
        calls = {"CA1": {"from": OTHERS, "to": OURS}, "CA2": {"from": OTHERS, "to": OTHERS}}
        found = seen(Twilio(transcriptions=transcriptions, recorded=recorded, calls=calls), transcripts=14)
        oldest = found[OLDEST]["transcripts"]
        assert (oldest.sid, oldest.over) == ("TR1", 2)

    def test_media_are_those_of_old_messages_of_ours(self) -> None:
        """Media files are looked for below the pool's messages that have some, and count by their own age."""
        messages = [
            {"sid": "SM1", "date_sent": old(30), "from": OURS, "to": OTHERS, "num_media": "1"},
            {"sid": "SM2", "date_sent": old(30), "from": OTHERS, "to": OTHERS, "num_media": "1"},
            {"sid": "SM3", "date_sent": old(30), "from": OURS, "to": OTHERS, "num_media": "0"},
        ]
        media = {"SM1": [{"sid": "ME1", "date_created": old(30)}, {"sid": "ME2", "date_created": old(1)}]}
        twilio = Twilio(messages=messages, media=media)
        oldest = seen(twilio, **{"message-media": 14})[OLDEST]["message-media"]
        assert (oldest.sid, oldest.over) == ("ME1", 1)
        assert not [path for path in twilio.asked if "SM2/Media" in path or "SM3/Media" in path]
