"""Chat: whose a message is, who must not be connected, and the document that is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from parley.core.chat import ALONE, LIMITS, STRANGER, Said, document, marker_of, obstacle, record_of
from parley.core.records import ResourceKind, Stage
from parley.core.sids import SidError

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
CH, MB, IM = ("CH" + "4" * 32, "MB" + "5" * 32, "IM" + "6" * 32)
ANA, BEN = "a" * 64, "b" * 64
SAID = Said(CH, MB, "user:ana", "I am downstairs", IM)


@pytest.mark.parametrize(
    "fields",
    [
        ("RM" + "4" * 32, MB, "user:ana", "hello"),
        (CH, "PA" + "5" * 32, "user:ana", "hello"),
        (CH, MB, "user:ana", "hello", "SM" + "6" * 32),
    ],
)
def test_sids_of_another_kind_are_none(fields: tuple[str, ...]) -> None:
    """What names no conversation, participant or message never becomes a part of a path."""
    with pytest.raises(SidError):
        Said(*fields)


def test_before_it_is_taken_a_message_has_no_sid() -> None:
    """Somebody who is in no conversation may speak by the API, and what is not taken yet has no SID."""
    assert Said(CH, "", "system", "hello").message == ""


def test_what_is_said_is_not_shown() -> None:
    """Neither words nor author are in what a log would show."""
    assert "downstairs" not in repr(SAID)
    assert "ana" not in repr(SAID)


@pytest.mark.parametrize(
    ("parties", "why"),
    [((ANA, BEN), None), ((ANA, None), STRANGER), ((ANA,), ALONE), ((ANA, ANA), ALONE), ((), ALONE)],
)
def test_obstacles(parties: tuple[str | None, ...], why: str | None) -> None:
    """A stranger, and one person alone, are connected to nobody."""
    assert obstacle(parties) == why


def test_marker_keeps_nothing() -> None:
    """The record of a conversation names its people and is of nothing that is kept."""
    marker = marker_of(CH, (ANA, BEN), NOW)
    assert (marker.kind, marker.session, marker.parties) == (ResourceKind.CONVERSATION, CH, (ANA, BEN))
    assert marker.stage is Stage.DROPPED


@pytest.mark.parametrize(
    ("raw", "body", "media"),
    [
        ({"body": "I am downstairs", "index": 3, "date_created": "2026-05-04T12:00:00Z"}, "I am downstairs", []),
        (
            {"body": None, "media": [{"sid": "ME1", "content_type": "image/png", "size": 9, "filename": "ana.png"}]},
            "",
            [{"sid": "ME1", "media_type": "image/png", "size": 9}],
        ),
    ],
)
def test_document(raw: dict[str, Any], body: str, media: list[dict[str, Any]]) -> None:
    """The text is there once, between keys, with the consents, and of files only that they were there."""
    record = record_of(SAID, (ANA, BEN), ("cr_1",), NOW)
    kept = json.loads(document(record, raw, sender=ANA))
    assert (kept["body"], kept["from"], kept["to"], kept["consents"]) == (body, ANA, [BEN], ["cr_1"])
    assert (kept["sid"], kept["session"], kept["media_not_kept"]) == (IM, CH, media)
    assert "ana.png" not in json.dumps(kept)


def test_limits_are_sentences() -> None:
    """Each limit that the report shows ends as a sentence does."""
    assert all(each[0].isupper() and each.endswith(".") for each in LIMITS)
