"""Questions that are asked by text, in the table: one row a person, which leaves when its time is over."""

from __future__ import annotations

from datetime import datetime

from parley.adapters.session_items import Item, party_key
from parley.adapters.table import ABSENT, ConditionFailedError, Table, epoch, number
from parley.core.questions import Question, question_from_json
from parley.ports import LedgerError


class QuestionRows(Table):
    """The part of `parley.ports.Ledger` about questions."""

    def question(self, party: str) -> Question | None:
        """Return the last question that was put to a person, open or not, or None if there is none any more."""
        return _question(self.get_one(_key(party)))

    def open_question(self, question: Question, now: datetime) -> Question | None:
        """Write a question before it is sent; return the one that stands in its way, if there is one."""
        item = self.get_one(_key(question.party))
        before = _question(item)
        if before is not None and before.is_pending(now):
            return before
        try:
            self.call("put_item", Item=_item(question), **(_unchanged(item) if item else ABSENT))
        except ConditionFailedError:
            # Somebody else asks at this moment.
            return self.question(question.party) or question
        return None

    def settle_question(self, before: Question, after: Question) -> None:
        """Write what became of a question, unless it is another one by now."""
        try:
            self.call("put_item", Item=_item(after), **_unchanged(_item(before)))
        except ConditionFailedError:
            return


def _key(party: str) -> Item:
    return party_key(party, "QUESTION")


def _item(question: Question) -> Item:
    return {
        **_key(question.party),
        "question": {"S": question.to_json()},
        "expires_at": number(epoch(question.closes_at)),
    }


def _unchanged(item: Item) -> Item:
    return {
        "ConditionExpression": "question = :before",
        "ExpressionAttributeValues": {":before": item["question"]},
    }


def _question(item: Item) -> Question | None:
    try:
        return question_from_json(item["question"]["S"]) if item else None
    except (KeyError, TypeError, ValueError):
        raise LedgerError("a question cannot be read") from None
