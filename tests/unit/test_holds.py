"""Legal holds: what an order covers, which rows it keeps, its log, and the bodies that order and release it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from parley.core.holds import (
    REVIEW_WITHIN,
    WORDS_LIMIT,
    Change,
    Hold,
    Stage,
    Subject,
    What,
    changed,
    hold_request,
    is_held,
    is_hold_id,
    keeps_row,
    release_request,
)
from parley.core.requests import InvalidBodyError

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
TODAY = NOW.date()
ANA, BEN = "a" * 64, "b" * 64
SESSION = "KC" + "5" * 32
BODY: dict[str, Any] = {"party": ANA, "reason": "Doe v. Roe", "owner": "counsel", "review": "2026-11-04"}


def held(kind: Subject = Subject.PARTY, subject: str = ANA, **fields: Any) -> Hold:
    """Return a hold."""
    return Hold("case-17", kind, subject, "Doe v. Roe", "counsel", date(2026, 11, 4), NOW, **fields)


def errors_of(raw: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with an order, by path."""
    with pytest.raises(InvalidBodyError) as caught:
        hold_request(raw, today=TODAY)
    return {error["path"]: error["reason"] for error in caught.value.errors}


class TestHold:
    """An order."""

    @pytest.mark.parametrize(
        ("hold", "parties", "session", "expected"),
        [
            (held(), (ANA, BEN), SESSION, True),
            (held(), (BEN,), SESSION, False),
            (held(), (), ANA, False),
            (held(Subject.SESSION, SESSION), (BEN,), SESSION, True),
            (held(Subject.SESSION, SESSION), (SESSION,), "", False),
            (held(released_at=NOW), (ANA,), SESSION, False),
        ],
    )
    def test_covers(self, hold: Hold, parties: tuple[str, ...], session: str, expected: bool) -> None:
        """A hold covers what is of its person, or in its session, until it is released."""
        assert hold.covers(parties=parties, session=session) is expected
        assert is_held([held(subject="c" * 64), hold], parties=parties, session=session) is expected

    @pytest.mark.parametrize(
        "hold",
        [
            held(),
            held(Subject.SESSION, SESSION, stage=Stage.HELD, objects=4, rows=9, applied_at=NOW, changes=2),
            held(released_at=NOW, release_reason="settled", stage=Stage.RELEASED, changes=4),
        ],
    )
    def test_document_is_read_back(self, hold: Hold) -> None:
        """A hold's document makes the same hold, and its log entry the same entry."""
        assert Hold.of(json.loads(hold.to_json())) == hold
        entry = Change(What.CHANGED, NOW, "api:arn", hold)
        assert Change.of(entry.document()) == entry
        assert '"what":"changed"' in entry.to_json()

    def test_document_without_progress_is_one_that_is_being_placed(self) -> None:
        """A document that tells nothing of progress makes a hold that is still to be applied."""
        document = {
            name: value for name, value in held().document().items() if name not in {"stage", "objects", "rows"}
        }
        assert Hold.of(document) == held()

    @pytest.mark.parametrize(
        ("now", "fields", "expected"),
        [
            (NOW, {}, False),
            (datetime(2026, 11, 4, tzinfo=UTC), {}, True),
            (datetime(2027, 1, 1, tzinfo=UTC), {"released_at": NOW}, False),
        ],
    )
    def test_review(self, now: datetime, fields: dict[str, Any], expected: bool) -> None:
        """A hold is to be reviewed from the day of its review on, unless it is released."""
        assert held(**fields).is_to_review(now) is expected

    def test_change_counts_on(self) -> None:
        """A change is the next entry of the log, and has the hold as it is after it."""
        change = changed(held(changes=2), What.RELEASED, NOW, "stack", released_at=NOW, stage=Stage.RELEASING)
        assert (change.seq, change.hold.stage, change.hold.released_at) == (3, Stage.RELEASING, NOW)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            *(("case-17", True), ("a", True), ("a" * 64, True), ("a" * 65, False), ("", False)),
            *(("1a", False), ("Case", False), ("a#1", False), ("a\n", False), (7, False)),
        ],
    )
    def test_id(self, text: object, expected: bool) -> None:
        """An id is a small letter and up to 63 small letters, digits and hyphens."""
        assert is_hold_id(text) is expected


class TestRows:
    """Which rows a hold keeps."""

    @pytest.mark.parametrize("sort", ["EVENT#000000000001", "HEAD", "STATE#manage#*", "CONTACT", "SOURCE#x"])
    def test_rows_of_consents(self, sort: str) -> None:
        """What proves a consent is kept where consent-evidence may be held."""
        assert keeps_row(sort, {"consent-evidence"})
        assert not keeps_row(sort, {"call-recordings", "session-map", "interaction-log"})

    @pytest.mark.parametrize("sort", ["DECISION#x", "CAPTURE#CA", "READ#x"])
    def test_rows_of_conversations(self, sort: str) -> None:
        """The log of interactions is kept where it may be held itself."""
        assert keeps_row(sort, {"interaction-log"})
        assert not keeps_row(sort, {"call-recordings", "session-map", "consent-evidence"})

    @pytest.mark.parametrize("sort", ["SESSION", "INTENT", "INTERACTION#KI#x#y", "PAST#KC", "RECORD", "RECORD#RE"])
    def test_rows_that_find(self, sort: str) -> None:
        """What finds a held recording is kept with it, whatever its own class says."""
        assert keeps_row(sort, {"call-recordings"})
        assert keeps_row(sort, {"interaction-log"})
        assert not keeps_row(sort, {"consent-evidence"})

    def test_rows_of_the_map(self) -> None:
        """Who told whom what is kept where the session map may be held."""
        assert keeps_row("TOLD#x", {"session-map"})
        assert not keeps_row("TOLD#x", {"interaction-log", "messages"})

    def test_lines_are_not_kept(self) -> None:
        """A line has a number for as long as it connects, and no hold makes it last."""
        assert not keeps_row("LINE#+12125550140", {"session-map", "interaction-log", "consent-evidence"})


class TestOrder:
    """The body that orders a hold."""

    @pytest.mark.parametrize("party", [ANA, "+12125550111", "user:rider-7"])
    def test_party(self, party: str) -> None:
        """A person is named by a party key, a number or a user id."""
        wanted = hold_request({**BODY, "party": party}, today=TODAY)
        assert (wanted.kind, wanted.subject, wanted.review) == (Subject.PARTY, party, date(2026, 11, 4))

    @pytest.mark.parametrize("prefix", ["KC", "RM", "CH"])
    def test_session(self, prefix: str) -> None:
        """A session is named by its SID: a masked one, a room or a chat."""
        raw = {**BODY, "session": prefix + "5" * 32}
        del raw["party"]
        wanted = hold_request(raw, today=TODAY)
        assert (wanted.kind, wanted.subject) == (Subject.SESSION, prefix + "5" * 32)

    def test_words_are_stripped(self) -> None:
        """Blanks around words are no part of them."""
        wanted = hold_request({**BODY, "owner": " counsel "}, today=TODAY)
        assert wanted.owner == "counsel"

    def test_number_is_not_shown(self) -> None:
        """An order's own text shows no number."""
        assert "+1" not in repr(hold_request({**BODY, "party": "+12125550111"}, today=TODAY))

    @pytest.mark.parametrize(
        ("changes", "path", "reason"),
        [
            ({"session": SESSION}, "party", "exactly one"),
            ({"party": "12"}, "party", "E.164"),
            ({"party": 7}, "party", "E.164"),
            ({"party": "user:"}, "party", "user id"),
            ({"reason": ""}, "reason", "1 to 500"),
            ({"reason": "  "}, "reason", "1 to 500"),
            ({"reason": None}, "reason", "1 to 500"),
            ({"reason": "a\nb"}, "reason", "1 to 500"),
            ({"reason": "x" * (WORDS_LIMIT + 1)}, "reason", "1 to 500"),
            ({"owner": "call +1 212 555 0111"}, "owner", "phone number"),
            ({"review": "soon"}, "review", "is not a day such"),
            ({"review": 20261104}, "review", "is not a day such"),
            ({"review": "20261104"}, "review", "is not a day such"),
            ({"review": None}, "review", "is not a day such"),
            ({"review": TODAY.isoformat()}, "review", "after today"),
            ({"review": (TODAY + REVIEW_WITHIN + timedelta(days=1)).isoformat()}, "review", "after today"),
            ({"why": 1}, "(a key)", "is not one of"),
        ],
    )
    def test_faults(self, changes: dict[str, Any], path: str, reason: str) -> None:
        """Each fault is named by its path and what to write instead."""
        found = errors_of({**BODY, **changes})
        assert list(found) == [path]
        assert reason in found[path]

    def test_subject_is_needed(self) -> None:
        """An order without a person and without a session is none."""
        raw = {name: value for name, value in BODY.items() if name != "party"}
        assert list(errors_of(raw)) == ["party"]

    def test_bad_session(self) -> None:
        """A session of another form is refused by its own path."""
        raw = {name: value for name, value in BODY.items() if name != "party"}
        assert "SID" in errors_of({**raw, "session": "KC5"})["session"]

    def test_last_review(self) -> None:
        """The latest review is five years on."""
        latest = TODAY + REVIEW_WITHIN
        assert hold_request({**BODY, "review": latest.isoformat()}, today=TODAY).review == latest


class TestRelease:
    """The body that releases a hold."""

    def test_reason(self) -> None:
        """A release says why."""
        assert release_request({"reason": "settled"}) == "settled"

    @pytest.mark.parametrize("raw", [{}, {"reason": ""}, {"reason": "settled", "why": 1}])
    def test_faults(self, raw: dict[str, Any]) -> None:
        """A release without a reason, or with something else, is refused."""
        with pytest.raises(InvalidBodyError):
            release_request(raw)
