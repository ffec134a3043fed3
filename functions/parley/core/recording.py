"""The recording of a call: when it may begin, when it must stop, and what is known of it meanwhile.

A `Capture` is what the ledger knows of the recording of one call, from the first word that there is a call until the
recording is over. It is written before Twilio is asked, like the intent of a session: the SID of a recording is known
only after it has begun, so without it nobody could tell a recording that consent allows from one that nobody asked for.

What the law wants to be announced. Proxy connects people by itself: nothing can be played to either of them, so an
announcement inside the recording is not to be had, nor a tone. What the table's rows demand is still met:

* `start` (EU, AU, MA …): everybody is told before they are recorded. Who agreed explicitly was told by the notice that
  they agreed to (GDPR art. 13; Mass. Gen. Laws ch. 272, s. 99: no recording is secret to whoever agreed to it).
* `start-recorded` (US-WA, US-CT): the statute names the announcement as one way among others, and the consent of all as
  another (Wash. Rev. Code 9.73.030(1) and (3); Conn. Gen. Stat. 52-570d(a)). A row that says so lists `consent` among
  its `ways`. An unknown place is as strict as the strictest row, so it is met where every such row takes consent.

So an explicit consent of every party meets them. Where a consent only counts because the law lets it be implied, where
not everybody is asked (`relax`), or where counsel's override says that something has to be heard in the recording,
nothing is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from parley.core import moments
from parley.core.consent import NO, Scope, Standing
from parley.core.decision import Reason, decide
from parley.core.identity import label
from parley.core.jurisdiction import UNKNOWN, Announcement, JurisdictionPolicy, Row, Ruling, Table, Way
from parley.core.location import Location
from parley.core.record_classes import RecordClass
from parley.core.records import Record, ResourceKind
from parley.core.sessions import LONGEST_CALL, Session
from parley.core.sids import check_sid
from parley.core.verdict import judge

PATIENCE: Final = timedelta(seconds=90)
"""How long a call that rings is asked after: longer than a phone rings (TwiML Dial, timeout: 30 s unless set)."""

LEASE: Final = timedelta(seconds=30)
"""How long one attempt may be under way: a little longer than the function that makes it may run."""

DELAYS: Final = (1, 1, 2, 2)
LAST_DELAY: Final = 5
"""Seconds between attempts: the first ones, and each after them."""

RINGING: Final = frozenset({"queued", "initiated", "ringing", "in-progress"})
"""The states of a call that may still be recorded. The inbound leg may be in progress before the other one is."""

CONNECTED: Final = frozenset({"answered", "in-progress"})
"""The states of an outbound leg that somebody has answered."""

TOO_LATE: Final = "not-connected-in-time"
WITHDRAWN: Final = "stopped-by-withdrawal"
STRANGER: Final = "participant-unknown"
ANNOUNCEMENT: Final = "announcement-not-possible"
NOT_WANTED: Final = "record_voice-not-in-session"


class Phase(StrEnum):
    """How far the recording of a call has come."""

    WAITING = "waiting"  # the call is not connected yet
    STARTING = "starting"  # Twilio is being asked, or was, and nobody knows what came of it
    RECORDING = "recording"
    PAUSED = "paused"  # without a recording: it must not begin
    STOPPED = "stopped"  # what was recorded before is kept
    DROPPED = "dropped"  # consent was gone when it began: nothing of it is kept
    GIVEN_UP = "given-up"  # it never began
    ENDED = "ended"  # with its call


ON: Final = frozenset({Phase.STARTING, Phase.RECORDING, Phase.PAUSED})
"""What goes on, or may: somebody has to see to it that consent still stands."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What is known of the recording of one call. It holds party keys, SIDs and codes, nothing plain.

    `call` is the SID of the inbound leg, which is the parent of the call. `attempt` numbers the message that whoever
    works on it has: one with a lower number is stale. `first_at` is when the call was first heard of, `leased_until`
    until when an attempt may be under way. `consents` are the ids of the consent records it rests on, `law` the table's
    version and the row that decided, `announcement` what the law wants to be announced. `owed` says that Twilio has not
    been seen to stop it yet. `reason` says as a code why it is over, `by` who paused or stopped it.
    """

    call: str
    session: str
    parties: tuple[str, ...]
    first_at: datetime
    phase: Phase = Phase.WAITING
    attempt: int = 0
    leased_until: datetime | None = None
    consents: tuple[str, ...] = ()
    law: str = ""
    announcement: str = ""
    recording: str = ""
    started_at: datetime | None = None
    owed: bool = False
    reason: str = ""
    by: str = ""

    def __post_init__(self) -> None:
        check_sid(self.call, "CA")
        check_sid(self.session, "KC")

    @property
    def goes_on(self) -> bool:
        """Whether somebody has to look after it."""
        return self.phase in ON or self.owed

    def is_past(self, now: datetime) -> bool:
        """Tell whether its call must be over, whatever was heard of it."""
        return now >= (self.started_at or self.first_at) + LONGEST_CALL

    def to_json(self) -> str:
        """Return the capture as canonical JSON."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        document = {
            name: moments.to_text(value) if isinstance(value, datetime) else value
            for name, value in plain.items()
            if value not in ("", None, ()) and value is not False
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Capture:
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("is not a capture")
        for name in {"parties", "consents"} & found.keys():
            found[name] = tuple(found[name])
        for name in {"first_at", "leased_until", "started_at"} & found.keys():
            found[name] = moments.from_text(found[name])
        return cls(**{**found, "phase": Phase(found["phase"])})


def delay(attempt: int) -> int:
    """Return the seconds to wait after an attempt, counted from 0."""
    return DELAYS[attempt] if attempt < len(DELAYS) else LAST_DELAY


class Step(StrEnum):
    """What is to be done about a message that asks for a recording."""

    START = "start"  # nothing was asked of Twilio
    LOOK = "look"  # somebody asked Twilio and did not write down what came of it: look before asking
    BUSY = "busy"  # somebody is at it at this moment
    NOTHING = "nothing"  # it is decided, or somebody else goes on with it


def step(capture: Capture | None, attempt: int, now: datetime) -> Step:
    """Return what a message with this number of attempts is for, the ledger holding `capture`."""
    if capture is None or starts_anew(capture, attempt):
        return Step.START
    if attempt < capture.attempt or capture.phase not in {Phase.WAITING, Phase.STARTING}:
        return Step.NOTHING
    if capture.leased_until is not None and now < capture.leased_until:
        return Step.BUSY
    return Step.LOOK if capture.phase is Phase.STARTING else Step.START


def starts_anew(capture: Capture, attempt: int) -> bool:
    """Tell whether a message takes up a call that was given up because it rang for so long."""
    return capture.phase is Phase.GIVEN_UP and capture.reason == TOO_LATE and attempt > capture.attempt


def first_attempt(capture: Capture | None, outbound_status: str) -> int | None:
    """Return the number of the message to send about a call that somebody hears or may hear, None if there is none.

    One message is enough for a call. Another one when somebody answers saves waiting for the next attempt, and takes
    up what was given up because it rang for so long.
    """
    if capture is None:
        return 0
    if outbound_status not in CONNECTED:
        return None
    if starts_anew(capture, capture.attempt + 1):
        return capture.attempt + 1
    return capture.attempt if capture.phase is Phase.WAITING else None


def refusal(session: Session | None, now: datetime) -> str | None:
    """Return why nothing in a session may begin to be recorded, as a code, whatever the consents say; else None."""
    if session is None:
        return "session-unknown"
    return "session-closed" if session.is_over(now) else None


def strangers(session: Session, *participants: str) -> tuple[str, ...]:
    """Return those of the participants of a call that are nobody in its session, whose consent nobody has."""
    return tuple(sid for sid in participants if sid and session.party_of(sid) is None)


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a call may be recorded: the reasons against it as codes, and the consents and the law it rests on.

    `missing` are the consents among the reasons.
    """

    reasons: tuple[str, ...]
    consents: tuple[str, ...] = ()
    law: str = ""
    announcement: str = ""
    missing: tuple[Reason, ...] = ()

    @property
    def granted(self) -> bool:
        """Whether it may."""
        return not self.reasons


def permission(
    session: Session,
    standings: Iterable[Standing],
    now: datetime,
    *,
    call: str,
    places: Mapping[str, Collection[Location]],
    policy: JurisdictionPolicy,
    table: Table,
) -> Permission:
    """Decide whether a call of a session may be recorded at this moment, as at its opening.

    What was not permitted then, or lost when it was renewed, is not permitted now. A yes to this call counts as well.
    `standings` are those of its parties for being connected and for recording calls.
    """
    before = [*([session.revocation.reason] if session.revocation is not None else [])]
    if Scope.RECORD_VOICE not in (*session.scopes, *session.asks):
        before.append(NOT_WANTED)
    counted = [replace(one, call="") if one.call == call else one for one in standings]
    return allowed(
        session.parties, counted, now, Scope.RECORD_VOICE, places=places, policy=policy, table=table, before=before
    )


def allowed(
    parties: Sequence[str],
    standings: Iterable[Standing],
    now: datetime,
    scope: Scope,
    *,
    places: Mapping[str, Collection[Location]],
    policy: JurisdictionPolicy,
    table: Table,
    before: Sequence[str] = (),
) -> Permission:
    """Decide whether people may be recorded at this moment under a scope, and be connected at all.

    `standings` are those of `parties` for being connected and for the scope; `before` are reasons against it that the
    consents say nothing of. Raises ValueError for fewer than two different parties.
    """
    standings = list(standings)
    verdict = judge(parties, standings, now, wanted=(scope,), places=places, policy=policy, table=table)
    manage, recorded = verdict.judgements
    missing = (*manage.decided.reasons, *recorded.decided.reasons)
    reasons = [*before, *(f"{reason.scope}-{reason.state}:{label(reason.party)}" for reason in missing)]
    if not reasons and recorded.ruling.announcement is not Announcement.NONE:
        explicit = decide(parties, standings, now, scope).permit
        if not explicit or not _is_met_by_consent(recorded.ruling, table):
            reasons.append(ANNOUNCEMENT)
    return Permission(
        tuple(reasons),
        recorded.decided.record_ids,
        f"{recorded.ruling.version} {recorded.ruling.row}",
        str(recorded.ruling.announcement),
        missing,
    )


def cause(reasons: Sequence[str]) -> str:
    """Return one code for why a recording ends or does not begin: that somebody said no outweighs the rest."""
    codes = [reason.partition(":")[0] for reason in reasons]
    return WITHDRAWN if any(code.rpartition("-")[2] in NO for code in codes) else codes[0]


def _is_met_by_consent(ruling: Ruling, table: Table) -> bool:
    """Tell whether the explicit consent of all meets what the law wants to be announced; see the module."""
    if ruling.announcement is Announcement.START:
        return True
    deciding = ruling.reasons[2].row
    heard = [deciding] if deciding.code != UNKNOWN else [row for row in table.rows.values() if _is_heard(row)]
    return all(Way.CONSENT in row.ways and not _says_heard(row) for row in heard)


def _is_heard(row: Row) -> bool:
    """Tell whether a row wants something to be heard in the recording. The unknown place speaks for the others."""
    return row.code != UNKNOWN and row.announcement in {Announcement.START_RECORDED, Announcement.TONE}


def _says_heard(row: Row) -> bool:
    """Tell whether it is counsel who wants that."""
    return row.override is not None and row.override.announcement is not None


def is_undecided(capture: Capture | None) -> bool:
    """Tell whether a recording without a record may get one yet: whoever starts it is about to write it down.

    Any other recording without a record is one that nobody may keep. A capture becomes a recording, or a dropped one,
    in the same write as the record.
    """
    return capture is not None and capture.phase is Phase.STARTING


def record_of(capture: Capture, recording: str, now: datetime) -> Record:
    """Return the record of a recording that was begun for a capture."""
    return Record(
        sid=check_sid(recording, "RE"),
        kind=ResourceKind.RECORDING,
        record_class=RecordClass.CALL_RECORDINGS,
        session=capture.session,
        parent=capture.call,
        parties=capture.parties,
        consents=capture.consents,
        made_at=now,
    )
