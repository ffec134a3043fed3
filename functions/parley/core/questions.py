"""Asking by text: when somebody may be asked for a consent, and what they were asked.

One question at a time is open to a person, for one scope: what is agreed to is asked apart (R9, R11), and a yes must
leave no doubt about what it answers. A yes counts only while its question is open (R18), and whoever said no is not
asked again (R12).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from parley.core import moments
from parley.core.consent import NO, Scope, Standing, State, canonical_json
from parley.core.disclosure import state_at, templates

REMINDER = "pending"
"""The notice that asks again to be connected, in other words."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was put to a person. `party` and `counterpart` are party keys.

    It is open until `closes_at`. `notice` names the text, as a consent record has it; `message_sid` is Twilio's, empty
    until the text was sent; `answer_sid` that of the answer, once there is one.
    """

    party: str
    scope: Scope
    counterpart: str | None
    language: str
    notice: Mapping[str, Any]
    asked_at: datetime
    closes_at: datetime
    message_sid: str = ""
    answer_sid: str = ""

    def is_open(self, now: datetime) -> bool:
        """Tell whether an answer to it still counts."""
        return bool(self.message_sid) and not self.answer_sid and now < self.closes_at

    def is_pending(self, now: datetime) -> bool:
        """Tell whether it stands in the way of another question: it is open, or being sent at this moment."""
        return not self.answer_sid and now < self.closes_at

    def to_json(self) -> str:
        """Return it as one text."""
        times = {"asked_at": moments.to_text(self.asked_at), "closes_at": moments.to_text(self.closes_at)}
        return canonical_json({**asdict(self), **times})


def question_from_json(text: str) -> Question:
    """Read back what `Question.to_json` wrote. Raises ValueError, KeyError, TypeError."""
    raw = json.loads(text)
    times = {name: moments.from_text(raw[name]) for name in ("asked_at", "closes_at")}
    return Question(**{**raw, **times, "scope": Scope(raw["scope"])})


@functools.cache
def askable() -> Mapping[Scope, str]:
    """Return what can be asked for by text, and the notice that asks for it."""
    return {
        scope: template.id
        for template in templates().values()
        if template.asks and template.id != REMINDER and "sms" in template.current.texts
        for scope in template.scopes
    }


def objection(standings: Iterable[Standing], scope: Scope, counterpart: str | None, now: datetime) -> str | None:
    """Return why a person may not be asked, as a code, or None if they may.

    `said-no`: to the service, to its messages, or to this very thing. `already-given`: there is nothing to ask. What
    was given and has gone stale may be asked for again.
    """
    given = False
    for one in standings:
        here = one.scope is scope and one.counterpart in {None, counterpart}
        service = one.scope in {Scope.MANAGE, Scope.RECEIVE_INFO} and one.counterpart is None
        if (here or service) and (one.state in NO or one.state is None):
            return "said-no"
        given |= here and state_at(one, now) == State.GIVEN
    return "already-given" if given else None
