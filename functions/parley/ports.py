"""What the handlers need from the outside world, as protocols: the ledger, the carrier and the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from parley.core.consent import ConsentEvent, ConsentRecord, Scope, Standing
from parley.core.sessions import Session


class LedgerError(Exception):
    """The ledger cannot be read or written now: there is no consent that could be proven."""


class ConsentChangedError(Exception):
    """A consent that a session rests on changed while the session was being opened."""


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


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session as the carrier made it, its participants in the order in which they were asked for."""

    sid: str
    participants: tuple[OpenedParticipant, ...]


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session that the carrier has open, whoever made it."""

    sid: str
    created_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A text message at the carrier. `sender` and `body` are plain: never log or keep."""

    sid: str
    sender: str
    body: str
    inbound: bool
    sent_at: datetime | None


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

    def append(self, events: Sequence[ConsentEvent]) -> Appended:
        """Append the events of one person and one source event, all or none.

        Raises SourceEventReusedError.
        """
        ...

    def standings(self, parties: Sequence[str], scope: Scope = Scope.MANAGE) -> list[Standing]:
        """Return what each of `parties` said about `scope`, towards the others and the service, read consistently."""
        ...

    def standings_of(self, party: str) -> list[Standing]:
        """Return everything that one person said, as it stands."""
        ...

    def records(self, party: str) -> list[ConsentRecord]:
        """Return one person's chain, oldest first."""
        ...

    def session(self, sid: str) -> Session | None:
        """Return a session, or None if there is none."""
        ...

    def open_sessions_of(self, party: str) -> list[Session]:
        """Return the sessions of one person that were not closed."""
        ...

    def open_session(self, session: Session, standings: Sequence[Standing]) -> None:
        """Write a session, on condition that its parties' `manage` consents still stand as in `standings`.

        Raises ConsentChangedError.
        """
        ...

    def close_session(self, session: Session, reason: str) -> None:
        """Mark a session as closed. Closing twice changes nothing."""
        ...

    def open_sessions(self, after: Mapping[str, str], limit: int) -> tuple[list[Session], dict[str, str]]:
        """Return open sessions after a position, and the position to go on from (empty: there are no more)."""
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
        self, identifiers: Sequence[str], *, unique_name: str | None, ttl: int, closes_at: datetime, mode: str
    ) -> OpenedSession:
        """Open a masked session between the holders of plain numbers.

        If it fails, a session whose SID is known is closed again. One whose SID never arrived may be open all the
        same: `open_sessions` finds it.
        """
        ...

    def close_session(self, sid: str, *, urgent: bool = False) -> None:
        """Close a session. One that is closed or gone is no error. `urgent`: one short attempt."""
        ...

    def open_sessions(self, since: datetime, limit: int) -> tuple[list[FoundSession], bool]:
        """Read at most `limit` sessions made since a moment; return the open ones, and whether that was all."""
        ...

    def message(self, sid: str) -> Message | None:
        """Return a message, or None if it was deleted."""
        ...

    def alerts(self, code: int, since: datetime, until: datetime | None, limit: int) -> tuple[list[Alert], bool]:
        """Read at most `limit` alerts; return those with an error code, oldest first, and whether that was all."""
        ...
