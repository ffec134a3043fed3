"""Questions by text: when somebody may be asked, and for how long an answer counts."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from parley.core.consent import Scope, Standing, State
from parley.core.questions import Question, askable, objection, question_from_json
from parley.core.requests import InvalidBodyError, question_request

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ANA, BEN = "a" * 64, "b" * 64
QUESTION = Question(
    party=ANA,
    scope=Scope.MANAGE,
    counterpart=None,
    language="en",
    notice={"id": "manage", "version": 1},
    asked_at=NOW,
    closes_at=NOW + timedelta(hours=1),
    message_sid="SM1",
)


def standing(scope: Scope, state: State | None, counterpart: str | None = None) -> Standing:
    """Return where a consent of Ana's stands."""
    return Standing(ANA, scope, counterpart, state, 1, "cr_1", NOW)


def test_stale_consent_may_be_asked_for_again() -> None:
    """A consent to a version of a notice that nobody can show any more does not stand in the way of a question."""
    given = standing(Scope.MANAGE, State.GIVEN)
    assert objection([given], Scope.MANAGE, None, NOW) == "already-given"
    stale = dataclasses.replace(given, notice=("manage", 99))
    assert objection([stale], Scope.MANAGE, None, NOW) is None


class TestWindow:
    """How long an answer counts."""

    @pytest.mark.parametrize(
        ("changes", "later", "is_open", "is_pending"),
        [
            ({}, 0, True, True),
            ({}, 3599, True, True),
            ({}, 3600, False, False),
            ({"message_sid": ""}, 0, False, True),
            ({"answer_sid": "SM2"}, 0, False, False),
        ],
    )
    def test_question_is_open_from_sending_to_answer(
        self, changes: dict[str, Any], later: int, is_open: bool, is_pending: bool
    ) -> None:
        """It is open once it was sent, until it is answered or its time is over; being sent, it bars another one."""
        question, now = dataclasses.replace(QUESTION, **changes), NOW + timedelta(seconds=later)
        assert (question.is_open(now), question.is_pending(now)) == (is_open, is_pending)

    def test_text_is_read_back(self) -> None:
        """What is written of a question is read back equal."""
        for question in (QUESTION, dataclasses.replace(QUESTION, counterpart=BEN, answer_sid="SM2")):
            assert question_from_json(question.to_json()) == question


class TestObjections:
    """Who is not asked."""

    @pytest.mark.parametrize("state", [State.REFUSED, State.WITHDRAWN, None])
    @pytest.mark.parametrize(
        ("scope", "counterpart"),
        [(Scope.MANAGE, None), (Scope.RECEIVE_INFO, None), (Scope.STORE_MESSAGES, None), (Scope.STORE_MESSAGES, BEN)],
    )
    def test_who_said_no(self, scope: Scope, counterpart: str | None, state: State | None) -> None:
        """A no to the service, its messages or this very thing, and one that cannot be read, bars the question."""
        said = [standing(scope, state, counterpart)]
        assert objection(said, Scope.STORE_MESSAGES, BEN, NOW) == "said-no"

    def test_no_to_something_else_bars_nothing(self) -> None:
        """A no to another scope, or towards another person, is no no to this."""
        said = [standing(Scope.RECORD_VOICE, State.REFUSED), standing(Scope.MANAGE, State.WITHDRAWN, "c" * 64)]
        assert objection(said, Scope.MANAGE, BEN, NOW) is None

    def test_what_was_given_is_not_asked(self) -> None:
        """A consent in force leaves nothing to ask; one that has run out does."""
        given = standing(Scope.MANAGE, State.GIVEN)
        assert objection([given], Scope.MANAGE, None, NOW) == "already-given"
        assert objection([dataclasses.replace(given, valid_until=NOW)], Scope.MANAGE, None, NOW) is None


class TestRequest:
    """The body of `POST /v1/questions`."""

    def test_whole_body(self) -> None:
        """Party, scope, language and counterpart are read as they are."""
        body = {"party": "+12125550111", "scopes": ["store_messages"], "language": "ja", "counterpart": "user:ben"}
        read = question_request(body)
        assert (read.party, read.scope, read.language, read.counterpart) == (
            "+12125550111",
            Scope.STORE_MESSAGES,
            "ja",
            "user:ben",
        )

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"scopes": []}, "scopes"),
            ({"scopes": ["manage", "store_messages"]}, "scopes"),
            ({"scopes": ["record_voice"]}, "scopes"),
            ({"scopes": "manage"}, "scopes"),
            ({"scopes": [["manage"]]}, "scopes"),
            ({"language": "fr"}, "language"),
            ({"party": "user:ana"}, "party"),
            ({"counterpart": "+12125550111"}, "counterpart"),
            ({"text": "hello"}, "text"),
        ],
    )
    def test_every_mistake_is_named(self, changes: dict[str, object], path: str) -> None:
        """What cannot be asked by text is refused with its path."""
        with pytest.raises(InvalidBodyError) as caught:
            question_request({"party": "+12125550111", "scopes": ["manage"], **changes})
        assert [error["path"] for error in caught.value.errors] == [path]

    def test_what_can_be_asked(self) -> None:
        """Being connected and storing have a question by text; the reminder is none of its own."""
        assert askable() == {Scope.MANAGE: "manage", Scope.STORE_MESSAGES: "store"}
