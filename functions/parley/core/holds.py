"""Legal holds: what somebody ordered to be kept, whoever it is about, until it is released.

A hold stops the deletion of what there is of a person or a session, everywhere: by rule, by the sweeper, on request.
It beats a withdrawal's deletion and an erasure, and never lets anybody capture more (FRCP 37(e); GDPR art. 17(3)(e)).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from parley.core import moments
from parley.core.identity import USER, IdentifierError, holds_number, is_party_key, parse_e164, parse_user
from parley.core.record_classes import RecordClass
from parley.core.requests import InvalidBodyError
from parley.core.retention import CONTENT
from parley.core.sids import SidError, check_sid

SESSIONS = "KC|RM|CH"
"""How the SIDs of sessions begin: masked calls and messages, video rooms, chats."""

REVIEW_WITHIN = timedelta(days=1827)
"""The latest review, from the day of the order on: five years. Whoever never asks keeps records for ever (R24)."""

WORDS_LIMIT = 500
"""Characters of a reason or an owner."""

_ID = re.compile(r"[a-z][a-z0-9-]{0,63}")


class Subject(StrEnum):
    """What a hold is about."""

    PARTY = "party"
    SESSION = "session"


class Stage(StrEnum):
    """How far a hold has come. It stops deletions from its order on, and lets them go on from its release on."""

    PLACING = "placing"  # ordered; rows and versions are being put under it
    HELD = "held"  # everything that there was is under it
    RELEASING = "releasing"  # released; rows and versions are being taken from it
    RELEASED = "released"  # nothing is under it any more


class What(StrEnum):
    """What changed a hold."""

    PLACED = "placed"
    CHANGED = "changed"  # reason, owner or review
    HELD = "held"
    RELEASED = "released"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold. `subject` is a party key or a session's SID, `review` the day on which somebody asks if it stands.

    `reason` and `owner` are the words and the name or address of who ordered it, `release_reason` the words of who
    released it. `objects` and `rows` count the versions in the buckets and the rows that are under it, as it was
    applied last, which began at `applied_at`. `changes` counts the entries of its log.
    """

    id: str
    kind: Subject
    subject: str
    reason: str
    owner: str
    review: date
    placed_at: datetime
    released_at: datetime | None = None
    release_reason: str = ""
    stage: Stage = Stage.PLACING
    objects: int = 0
    rows: int = 0
    applied_at: datetime | None = None
    changes: int = 0

    @property
    def active(self) -> bool:
        """Whether it was not released."""
        return self.released_at is None

    def covers(self, *, parties: Collection[str], session: str) -> bool:
        """Tell whether something of these people, in this session (or "" for none), is kept by it."""
        return self.active and self.subject in (parties if self.kind is Subject.PARTY else {session})

    def is_to_review(self, now: datetime) -> bool:
        """Tell whether somebody should have asked by now whether it still stands."""
        return self.active and self.review <= now.date()

    def document(self) -> dict[str, Any]:
        """Return the hold as plain data."""
        return {
            "id": self.id,
            "kind": str(self.kind),
            "subject": self.subject,
            "reason": self.reason,
            "owner": self.owner,
            "review": self.review.isoformat(),
            "placed_at": moments.to_text(self.placed_at),
            "stage": str(self.stage),
            "objects": self.objects,
            "rows": self.rows,
            "changes": self.changes,
            **({"applied_at": moments.to_text(self.applied_at)} if self.applied_at else {}),
            **({"released_at": moments.to_text(self.released_at)} if self.released_at else {}),
            **({"release_reason": self.release_reason} if self.release_reason else {}),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Hold:
        """Return the hold that `document` made. Raises KeyError, TypeError or ValueError for anything else."""
        released, applied = document.get("released_at"), document.get("applied_at")
        return cls(
            id=document["id"],
            kind=Subject(document["kind"]),
            subject=document["subject"],
            reason=document["reason"],
            owner=document["owner"],
            review=date.fromisoformat(document["review"]),
            placed_at=moments.from_text(document["placed_at"]),
            released_at=None if released is None else moments.from_text(released),
            release_reason=document.get("release_reason", ""),
            stage=Stage(document.get("stage", Stage.PLACING)),
            objects=document.get("objects", 0),
            rows=document.get("rows", 0),
            applied_at=None if applied is None else moments.from_text(applied),
            changes=document.get("changes", 0),
        )

    def to_json(self) -> str:
        """Return the hold as canonical JSON."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def is_held(holds: Iterable[Hold], *, parties: Collection[str], session: str = "") -> bool:
    """Tell whether any hold keeps something of these people, in this session."""
    return any(hold.covers(parties=parties, session=session) for hold in holds)


def is_hold_id(text: object) -> bool:
    """Tell whether `text` has the form of a hold's id: a small letter, and at most 63 more, digits or hyphens."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


# The log of a hold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of a hold's log: what changed it, when, by whom (`api:<ARN>`, or `stack`), and how it was after that."""

    what: What
    at: datetime
    by: str
    hold: Hold

    @property
    def seq(self) -> int:
        """Its place in the log, from 1."""
        return self.hold.changes

    def document(self) -> dict[str, Any]:
        """Return the entry as plain data."""
        told = {"what": str(self.what), "at": moments.to_text(self.at), "by": self.by, "seq": self.seq}
        return told | {"hold": self.hold.document()}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Change:
        """Return the entry that `document` made. Raises KeyError, TypeError or ValueError for anything else."""
        at, hold = moments.from_text(document["at"]), Hold.of(document["hold"])
        return cls(What(document["what"]), at, document["by"], hold)

    def to_json(self) -> str:
        """Return the entry as canonical JSON."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def changed(hold: Hold, what: What, at: datetime, by: str, **fields: Any) -> Change:
    """Return the entry of the log that a change of some fields makes, with the hold as it is after it."""
    return Change(what, at, by, replace(hold, changes=hold.changes + 1, **fields))


# What is kept -----------------------------------------------------------------------------------------------------

_CONVERSATION = {
    "SESSION": RecordClass.SESSION_MAP,
    "INTENT": RecordClass.SESSION_MAP,
    "TOLD": RecordClass.SESSION_MAP,
    "INTERACTION": RecordClass.INTERACTION_LOG,
    "DECISION": RecordClass.INTERACTION_LOG,
    "CAPTURE": RecordClass.INTERACTION_LOG,
    "ROOM": RecordClass.INTERACTION_LOG,
    "RECORD": RecordClass.INTERACTION_LOG,
    "READ": RecordClass.INTERACTION_LOG,
    "PAST": RecordClass.INTERACTION_LOG,
}
"""The record class of the rows of conversations, by what their sort keys begin with; all others are of the consents."""

_FINDERS = frozenset({"SESSION", "INTENT", "INTERACTION", "PAST", "RECORD"})
"""The rows that find what is held, and whose it is: without them a release would not find it either.

Of a text or a call that is at Twilio only, each leg names one of the two people: the interaction tells of both.
"""

_FOUND = CONTENT | {RecordClass.INTERACTION_LOG}
"""The record classes of what they find."""

POINTERS = frozenset({"SESSION", "PAST", "RECORD", "CAPTURE", "ROOM"})
"""The rows of a person that find a conversation: they go with that conversation."""


def row_kind(sort: str) -> str:
    """Return what the sort key of a row begins with."""
    return sort.partition("#")[0]


def keeps_row(sort: str, holdable: Collection[str]) -> bool:
    """Tell whether a hold keeps a row of this sort key, where it may keep these record classes.

    Never a line: it connects people as long as their session lasts, and the session tells what there is to know of it.
    """
    kind = row_kind(sort)
    if kind == "LINE":
        return False
    if kind in _FINDERS and not _FOUND.isdisjoint(holdable):
        return True
    return _CONVERSATION.get(kind, RecordClass.CONSENT_EVIDENCE) in holdable


# The bodies of requests -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class HoldRequest:
    """A hold that a caller orders. `subject` is a plain identifier (never log or keep), a party key or a SID."""

    kind: Subject
    subject: str
    reason: str
    owner: str
    review: date


def hold_request(raw: Mapping[str, Any], *, today: date, parse: Callable[[object], str] = parse_e164) -> HoldRequest:
    """Read the body of `PUT /v1/holds/{id}`. `parse` reads a phone number.

    Raises InvalidBodyError with every error found.
    """
    errors = _strangers(raw, "party", "session", "reason", "owner", "review")
    kind = Subject.SESSION if "session" in raw else Subject.PARTY
    subject = ""
    if ("party" in raw) == ("session" in raw):
        errors.append(_error("party", "or session: exactly one of them is what is held"))
    else:
        try:
            subject = check_sid(raw["session"], SESSIONS) if kind is Subject.SESSION else _party(raw["party"], parse)
        except (SidError, IdentifierError) as error:
            errors.append(_error(str(kind), str(error)))
    reason, owner = _words(raw, "reason", errors), _words(raw, "owner", errors)
    review = _day(raw.get("review"))
    if review is None:
        errors.append(_error("review", "is not a day such as 2026-05-04"))
    elif not today < review <= today + REVIEW_WITHIN:
        errors.append(_error("review", f"is not a day after today and within {REVIEW_WITHIN.days} days"))
    if errors or review is None:
        raise InvalidBodyError(errors)
    return HoldRequest(kind, subject, reason, owner, review)


def release_request(raw: Mapping[str, Any]) -> str:
    """Read the body of `DELETE /v1/holds/{id}` and return the reason. Raises InvalidBodyError."""
    errors = _strangers(raw, "reason")
    reason = _words(raw, "reason", errors)
    if errors:
        raise InvalidBodyError(errors)
    return reason


def _party(value: object, parse: Callable[[object], str]) -> str:
    if is_party_key(value):
        return str(value)
    return parse_user(value) if isinstance(value, str) and value.startswith(USER) else parse(value)


def _words(raw: Mapping[str, Any], name: str, errors: list[dict[str, str]]) -> str:
    """Read words that are kept in the log of the hold, for as long as proofs are."""
    value = raw.get(name)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= WORDS_LIMIT or not value.isprintable():
        errors.append(_error(name, f"is not a text of 1 to {WORDS_LIMIT} printable characters"))
    elif holds_number(value):
        errors.append(_error(name, "holds a phone number, and is kept for years: name the case instead"))
    else:
        return value.strip()
    return ""


def _day(value: object) -> date | None:
    try:
        day = date.fromisoformat(str(value))
    except ValueError:
        return None
    return day if day.isoformat() == value else None


def _strangers(raw: Mapping[str, Any], *names: str) -> list[dict[str, str]]:
    """Return an error for each member that is no part of a body; its name may hold anything, so it is not shown."""
    strange = sum(name not in names for name in raw)
    return [_error("(a key)", f"is not one of {', '.join(names)}")] * strange


def _error(path: str, reason: str) -> dict[str, str]:
    return {"path": path, "reason": reason}
