"""What the handlers need from the outside world, as protocols: the ledger, the carrier and the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from parley.core.chains import Chain
from parley.core.consent import ConsentEvent, ConsentRecord, Scope, Standing
from parley.core.questions import Question
from parley.core.sessions import Intent, Session
from parley.core.verdict import DecisionRecord


class LedgerError(Exception):
    """The ledger cannot be read or written now: there is no consent that could be proven."""


class UnreadableRecordError(LedgerError):
    """A record is there, and is no consent record of this version: nothing that rests on it can be proven."""


class CopyError(Exception):
    """A copy of a record cannot be written or read now."""


class ConsentChangedError(Exception):
    """A consent that a session rests on, or the session itself, changed since it was read."""


class SourceEventReusedError(Exception):
    """A source event id was used before, for something else."""


class CarrierError(Exception):
    """The carrier refused or could not be reached.

    `status` is the HTTP status (0: no answer), `code` Twilio's error code (0: none). Twilio's own message is not kept:
    it may name a phone number.
    """

    def __init__(self, operation: str, status: int = 0, code: int = 0) -> None:
        self.operation, self.status, self.code = operation, status, code
        super().__init__(f"{operation}: status {status}, code {code}")

    @property
    def unavailable(self) -> bool:
        """Whether a later attempt may succeed: no answer, too many requests or a fault of the carrier's own."""
        return self.status in {0, 429} or self.status >= 500


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the ledger answers for one event: where its record stands, and where the consent stands since."""

    record_id: str
    scope: str
    state: str
    seq: int
    recorded_at: str
    valid_until: str | None


@dataclass(frozen=True, slots=True)
class Appended:
    """The outcome of an append. `repeated`: the source event was known, and nothing was written."""

    receipts: tuple[Receipt, ...]
    repeated: bool


class Refusal(StrEnum):
    """Why an entry of several was not appended, while the others were."""

    REUSED = "source-event-reused"
    SAID_NO = "said-no"


Seal = Callable[[], bytes]
"""Returns a person's plain identifier, encrypted: called only where it is not kept yet, since it costs a request."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The events of one person and one source event, to be appended all or none.

    `contact` seals the identifier that the person was named by. `keeps_no`: nothing is appended where the person said
    no, so that no import of other people's lists ever lifts it.
    """

    events: tuple[ConsentEvent, ...]
    contact: Seal | None = None
    keeps_no: bool = False


@dataclass(frozen=True, slots=True)
class Interaction:
    """One status of one message or call that passed through a session. It has no body and no number."""

    session_sid: str
    sid: str
    kind: str
    inbound_status: str
    outbound_status: str
    inbound_participant: str
    inbound_resource: str
    outbound_resource: str
    created_at: str


@dataclass(frozen=True, slots=True, repr=False)
class OpenedParticipant:
    """A participant as the carrier made it. `masked_number` is the number at which it reaches the other one."""

    sid: str
    masked_number: str


@dataclass(frozen=True, slots=True, repr=False)
class Seat:
    """A place in a session at the carrier: the participant's SID, their plain number, and the masked one they know.

    `identifier` is plain: never log or keep.
    """

    sid: str
    identifier: str
    masked_number: str


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session as the carrier made it, its participants in the order in which they were asked for."""

    sid: str
    participants: tuple[OpenedParticipant, ...]


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session that the carrier has open, whoever made it. `unique_name` is the one it was made with, if any."""

    sid: str
    created_at: datetime
    unique_name: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A text message at the carrier. `sender`, `recipient` and `body` are plain: never log or keep.

    `error_code` is Twilio's, 0 if there is none; `service_sid` is the Messaging Service that it belongs to, if any.
    """

    sid: str
    sender: str
    body: str
    inbound: bool
    sent_at: datetime | None
    recipient: str = ""
    error_code: int = 0
    service_sid: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """An entry of the carrier's debugger: an error code about a resource."""

    sid: str
    code: int
    resource_sid: str
    at: datetime


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        ...


class Ledger(Protocol):
    """Consent records, sessions and the interaction log. Every method raises LedgerError if it cannot be sure."""

    def append(self, events: Sequence[ConsentEvent], contact: Seal | None = None) -> Appended:
        """Append the events of one person and one source event, all or none, with the sealed contact if it is new.

        Raises SourceEventReusedError.
        """
        ...

    def drop_contact(self, party: str) -> bool:
        """Forget a person's sealed identifier, for good; tell whether there was one. The chain stays as it is."""
        ...

    def standings(self, parties: Sequence[str], *scopes: Scope) -> list[Standing]:
        """Return what each of `parties` said about `scopes`, towards the others and the service, read consistently.

        Without scopes it is about being connected. A consent holds no longer than its record is kept.
        """
        ...

    def standings_of(self, party: str) -> list[Standing]:
        """Return everything that one person said, as it stands."""
        ...

    def records(self, party: str) -> list[ConsentRecord]:
        """Return one person's chain, oldest first."""
        ...

    def chain(self, party: str) -> Chain:
        """Return one person's rows as they are, readable or not, with the end of the chain."""
        ...

    def chained(self, segment: int, segments: int, after: str) -> tuple[list[str], str]:
        """Return some of the people in one of equal parts of the ledger, after a position, and the next position.

        An empty position is the beginning, and the end.
        """
        ...

    def unchained(self, parties: Sequence[str]) -> list[str]:
        """Return those of `parties` of whom the ledger has no chain."""
        ...

    def session(self, sid: str) -> Session | None:
        """Return a session, or None if there is none."""
        ...

    def open_sessions_of(self, party: str) -> list[Session]:
        """Return the sessions of one person that were not closed."""
        ...

    def owed_calls_of(self, party: str) -> list[Session]:
        """Return the sessions of one person that are over and revoked, and whose calls nobody has ended yet."""
        ...

    def calls_ended(self, session: Session) -> None:
        """Note that no call goes on in a session that is over."""
        ...

    def intent(self, intent_id: str) -> Intent | None:
        """Return an attempt to open a session, or None if there is none."""
        ...

    def intents(self, limit: int) -> list[Intent]:
        """Return at most `limit` attempts that are neither opened nor abandoned; the youngest may be missing."""
        ...

    def begin(self, intent: Intent, standings: Sequence[Standing], record: DecisionRecord) -> None:
        """Write an intent with the decision that permits it, on condition that the consents stand as in `standings`.

        It is either new or follows an abandoned attempt. Raises ConsentChangedError.
        """
        ...

    def confirm(self, intent: Intent, session: Session, standings: Sequence[Standing]) -> None:
        """Write a session that was opened for an intent, on condition that the consents stand as in `standings`.

        Raises ConsentChangedError, also if the intent was abandoned meanwhile.
        """
        ...

    def abandon(self, intent: Intent) -> bool:
        """Give up an attempt, so that it can never become a session; return False if it has become one."""
        ...

    def renew(
        self, session: Session, closes_at: datetime, standings: Sequence[Standing], record: DecisionRecord
    ) -> None:
        """Let a session last longer, with the decision that permits it, if the consents stand as in `standings`.

        Raises ConsentChangedError, also if the session was closed, revoked or renewed since it was read.
        """
        ...

    def log_decision(self, record: DecisionRecord) -> None:
        """Write a decision that nothing else is written with."""
        ...

    def decisions(self, intent_id: str) -> list[dict[str, Any]]:
        """Return the decisions about one session, oldest first, as `DecisionRecord.document` has them."""
        ...

    def decision(self, intent_id: str, rest: str) -> dict[str, Any] | None:
        """Return one decision by the parts of its id, or None if there is none."""
        ...

    def close_session(self, session: Session, reason: str) -> None:
        """Mark a session as closed. Closing twice changes nothing."""
        ...

    def open_sessions(self, after: Mapping[str, str], limit: int) -> tuple[list[Session], dict[str, str]]:
        """Return open sessions after a position, and the position to go on from (empty: there are no more)."""
        ...

    def question(self, party: str) -> Question | None:
        """Return the last question that was put to a person, open or not, or None if there is none any more."""
        ...

    def open_question(self, question: Question, now: datetime) -> Question | None:
        """Write a question before it is sent; return the one that stands in its way, if there is one."""
        ...

    def settle_question(self, before: Question, after: Question) -> None:
        """Write what became of a question, unless it is another one by now."""
        ...

    def tell_once(self, session_sid: str, party: str) -> bool:
        """Note that a party is told how a session ended; return False if that was noted before."""
        ...

    def log_interaction(self, interaction: Interaction) -> bool:
        """Log one status of an interaction; return False if it was logged before."""
        ...

    def load_cursor(self, name: str) -> dict[str, Any]:
        """Return what `save_cursor` kept under a name, or nothing."""
        ...

    def save_cursor(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep where a scheduled task has come to."""
        ...


class Carrier(Protocol):
    """Twilio. Every method raises CarrierError."""

    def open_session(
        self, identifiers: Sequence[str], *, unique_name: str, ttl: int, closes_at: datetime, mode: str
    ) -> OpenedSession:
        """Open a masked session between the holders of plain numbers.

        If it fails, a session whose SID is known is closed again. One whose SID never arrived may be open all the
        same: `open_sessions` finds it.
        """
        ...

    def participants(self, sid: str, identifiers: Sequence[str]) -> tuple[OpenedParticipant, ...]:
        """Return the participants of a session, in the order of `identifiers`."""
        ...

    def renew_session(self, sid: str, *, ttl: int, closes_at: datetime) -> bool:
        """Set the end of an open session; return False, and change nothing, if it is closed or gone."""
        ...

    def is_open(self, sid: str) -> bool:
        """Tell whether a session would connect anybody."""
        ...

    def close_session(self, sid: str, *, urgent: bool = False) -> None:
        """Close a session. One that is closed or gone is no error. `urgent`: one short attempt."""
        ...

    def live_calls(self, sid: str, *, urgent: bool = False) -> tuple[list[str], bool]:
        """Return the calls of a session that may be under way, by the SIDs of their inbound legs; tell if that was all.

        `urgent`: one short attempt, which may not see all.
        """
        ...

    def end_call(self, sid: str, *, urgent: bool = False) -> None:
        """End a call with both its legs. One that is over or gone is no error."""
        ...

    def seats(self, sid: str, *, urgent: bool = False) -> list[Seat]:
        """Return the places in a session, open or closed."""
        ...

    def send(self, sender: str, to: str, body: str, *, urgent: bool = False) -> str:
        """Text somebody from a number or Messaging Service of the account; return the message's SID.

        It is never sent twice, so an answer that was lost is an error.
        """
        ...

    def open_sessions(self, since: datetime, limit: int) -> tuple[list[FoundSession], bool]:
        """Read at most `limit` sessions made since a moment; return the open ones, and whether that was all."""
        ...

    def message(self, sid: str) -> Message | None:
        """Return a message, or None if it was deleted."""
        ...

    def pool(self) -> frozenset[str]:
        """Return the masked numbers, in E.164 form."""
        ...

    def messages(self, since: datetime, until: datetime | None, limit: int) -> tuple[list[Message], bool]:
        """Read at most `limit` messages of the account, oldest first; tell whether that was all."""
        ...

    def alerts(self, code: int, since: datetime, until: datetime | None, limit: int) -> tuple[list[Alert], bool]:
        """Read at most `limit` alerts; return those with an error code, oldest first, and whether that was all."""
        ...
