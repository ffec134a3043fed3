"""Records: what may be named at Twilio, whose class it is, and that what is written is read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from parley.core.record_classes import RecordClass
from parley.core.records import PARENTS, SIDS, Record, Resource, ResourceKind, Stage, object_key
from parley.core.sids import SidError, check_sid

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def sid(prefix: str) -> str:
    """Return a SID that is nobody's."""
    return prefix + "1" * 32


RECORD = Record(
    sid=sid("RE"),
    kind=ResourceKind.RECORDING,
    record_class=RecordClass.CALL_RECORDINGS,
    session=sid("KC"),
    parent=sid("CA"),
    parties=("a" * 64, "b" * 64),
    consents=("cr_1", "cr_2"),
    made_at=NOW,
)


@pytest.mark.parametrize("kind", ResourceKind)
def test_resource_has_a_sid_of_its_kind(kind: ResourceKind) -> None:
    """Each kind takes the SIDs that begin as its own do, below a parent of the right kind where it has one."""
    parent = sid(PARENTS[kind].partition("|")[0]) if kind in PARENTS else ""
    made = Resource(kind, sid(SIDS[kind].partition("|")[0]), parent)
    assert made.record_class in RecordClass
    with pytest.raises(SidError):
        Resource(kind, sid("XX"), parent)
    if kind in PARENTS:
        with pytest.raises(SidError):
            Resource(kind, made.sid)


@pytest.mark.parametrize(
    "text", ["", "RE" + "1" * 31, "RE" + "1" * 32 + "/..", "RE" + "G" * 32, "../" + sid("RE"), None]
)
def test_nothing_but_a_sid_passes(text: object) -> None:
    """What is no SID never becomes part of a path or a key, and is not repeated in the message."""
    with pytest.raises(SidError) as caught:
        check_sid(text, "RE")
    assert str(text) not in str(caught.value) or not text


def test_interaction_of_a_message_goes_with_the_messages() -> None:
    """An interaction that holds a body is of the messages' class, one of a call of the interaction log's."""
    call = Resource(ResourceKind.INTERACTION, sid("KI"), sid("KC"))
    text = replace(call, holds_body=True)
    assert (call.record_class, text.record_class) == (RecordClass.INTERACTION_LOG, RecordClass.MESSAGES)


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, stage=Stage.DELETED, sha256="0" * 64, size=7, archived_at=NOW, deleted_at=NOW, key="k"),
        replace(RECORD, session="", parent="", parties=(), consents=(), stage=Stage.DROPPED, reason="nothing-heard"),
    ],
)
def test_record_is_read_back(record: Record) -> None:
    """Whatever the ledger keeps of a record, it reads back equal."""
    assert Record.of(record.document()) == record
    assert '"sid":' in record.to_json()


def test_record_of_another_form_is_refused() -> None:
    """A document without a SID, or with a stage that there is not, is no record."""
    document = RECORD.document()
    with pytest.raises(ValueError, match="stage"):
        Record.of({**document, "stage": "stage"})
    with pytest.raises((KeyError, TypeError)):
        Record.of({name: value for name, value in document.items() if name != "sid"})


def test_parent_counts_where_there_is_one() -> None:
    """A recording is found by itself, a media file below its message."""
    media = replace(RECORD, sid=sid("ME"), kind=ResourceKind.MEDIA, parent=sid("SM"))
    assert (RECORD.resource.parent, media.resource.parent) == ("", sid("SM"))


def test_key_says_class_and_session() -> None:
    """An object lies under its class, whose lifecycle rule is for it, and its session."""
    assert object_key(RecordClass.MESSAGES, "KC1", "SM1.json") == "messages/KC1/SM1.json"
