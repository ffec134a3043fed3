"""What the handlers need from the outside world, as protocols: the ledger, the carrier and the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from parley.core.access import Read
    from parley.core.assignment import Shortage
    from parley.core.chains import Chain
    from parley.core.consent import ConsentEvent, ConsentRecord, Head, Scope, Standing
    from parley.core.erasure import Erasure, Progress
    from parley.core.holds import Change, Hold
    from parley.core.limiter import Limit
    from parley.core.lines import Line
    from parley.core.location import Location
    from parley.core.questions import Question
    from parley.core.recording import Capture
    from parley.core.records import Record, Resource
    from parley.core.rooms import Room
    from parley.core.sessions import Intent, Session
    from parley.core.suppression import Suppression
    from parley.core.sweeping import PendingDeletion, Why
    from parley.core.verdict import DecisionRecord


class LedgerError(Exception):
    """The ledger cannot be read or written now: there is no consent that could be proven."""


class UnreadableRecordError(LedgerError):
    """A record is there, and is no consent record of this version: nothing that rests on it can be proven."""


class CopyError(Exception):
    """A copy of a record cannot be written or read now."""


class QueueError(Exception):
    """Work cannot be put on a queue now."""


class ContentError(Exception):
    """An object of the content bucket cannot be written, read or removed now."""


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


class OwnNumberError(CarrierError):
    """Somebody is named by a number of the pool, which is nobody's own."""

    def __init__(self) -> None:
        super().__init__("assign-numbers")


class ReopenError(CarrierError):
    """A session cannot be opened again; `reason` is `session-unknown`, `other-people` or `number-in-use`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__("assign-numbers")


class ShortageError(CarrierError):
    """The pool lacks numbers; `lacking` says how many of which kind, and names nobody."""

    def __init__(self, lacking: Sequence[Shortage]) -> None:
        self.lacking = tuple(lacking)
        super().__init__("assign-numbers")


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
    """A session as the carrier made it, its participants in the order in which they were asked for.

    `service_sid` is that of the Proxy service it is in, empty without Proxy.
    """

    sid: str
    participants: tuple[OpenedParticipant, ...]
    service_sid: str = ""


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
        self,
        session: Session,
        closes_at: datetime,
        places: Mapping[str, Location],
        standings: Sequence[Standing],
        record: DecisionRecord,
    ) -> None:
        """Let a session last longer, with the decision that permits it, if the consents stand as in `standings`.

        `places` are those of the decision, which also tells what is permitted from now on.
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

    def close_session(self, session: Session, reason: str) -> Session | None:
        """Mark a session as closed; closing twice changes nothing.

        One that was revoked since it was read is left as it is, and returned as it is now.
        """
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

    def line(self, party: str, masked_number: str) -> Line | None:
        """Return the line by which a person reaches a session on a masked number: one read of one row."""
        ...

    def lines_of(self, party: str) -> list[Line]:
        """Return all lines of a person, closed ones included."""
        ...

    def lines_in(self, session: Session) -> list[Line]:
        """Return the lines of a session that are still its own, in the order of its participants."""
        ...

    def reserve_lines(self, lines: Sequence[Line]) -> bool:
        """Keep the numbers of a session that is being opened; return False if one of them was given away meanwhile."""
        ...

    def renew_lines(self, session: Session) -> bool:
        """Let the lines of a session say what the session says; return False if one of them leads nowhere any more."""
        ...

    def close_lines(self, sid: str, places: Iterable[tuple[str, str]]) -> None:
        """Close the lines of a session, given as party and masked number; those that are another one's by now stay."""
        ...

    def claim(self, party: str, masked_number: str, resource: str) -> tuple[Line | None, bool]:
        """Read a line and note the SID of what came by it, in one request; tell if it was noted before."""
        ...

    def unclaim(self, line: Line, resource: str) -> None:
        """Forget that a text came by a line: nothing was passed on, and it may be tried again."""
        ...

    def touch_lines(self, line: Line, now: datetime, keep: str = "") -> None:
        """Note on all lines of a session that something passed, and forget old messages but for `keep`."""
        ...

    def tell_once(self, session_sid: str, party: str) -> bool:
        """Note that a party is told how a session ended; return False if that was noted before."""
        ...

    def log_interaction(self, interaction: Interaction) -> bool:
        """Log one status of an interaction; return False if it was logged before."""
        ...

    def record(self, sid: str) -> Record | None:
        """Return what is known of one thing that was captured, or None."""
        ...

    def records_by_sid(self, sids: Sequence[str]) -> dict[str, Record]:
        """Return the records that there are of these SIDs."""
        ...

    def begin_record(self, record: Record) -> Record:
        """Write a record that is new, with what finds it; return the one that is there, whoever wrote it."""
        ...

    def advance(self, before: Record, after: Record) -> bool:
        """Write how far a record has come; return False if it is not as it was read any more."""
        ...

    def records_of(self, party: str) -> Iterator[Record]:
        """Yield the records of one person."""
        ...

    def records_in(self, session: str) -> Iterator[Record]:
        """Yield the records of one session."""
        ...

    def capture(self, call: str) -> Capture | None:
        """Return what is known of the recording of a call, or None."""
        ...

    def captures_in(self, session: str) -> list[Capture]:
        """Return the captures of a session, oldest first."""
        ...

    def captures_of(self, party: str) -> list[Capture]:
        """Return the captures of one person whose calls may still go on."""
        ...

    def captures_on(self) -> list[str]:
        """Return the SIDs of the calls whose captures go on; the youngest may be missing."""
        ...

    def write_capture(
        self,
        before: Capture | None,
        after: Capture,
        standings: Sequence[Standing] | None = None,
        record: Record | None = None,
    ) -> bool:
        """Write how far the recording of a call has come; return False if it is not as it was read any more.

        With `standings` it is written on condition too that the consents still stand as in them, with `record` together
        with the record of the recording.
        """
        ...

    def room(self, sid: str) -> Room | None:
        """Return what is known of a video room, or None."""
        ...

    def rooms_of(self, party: str) -> list[Room]:
        """Return the video rooms that one person may be in."""
        ...

    def rooms_on(self) -> list[str]:
        """Return the SIDs of the video rooms that go on; the youngest may be missing."""
        ...

    def heads(self, parties: Iterable[str]) -> dict[str, Head]:
        """Return the ends of people's chains: whoever says something moves theirs."""
        ...

    def write_room(self, before: Room | None, after: Room, heads: Mapping[str, Head] | None = None) -> bool:
        """Write a video room; return False if it is not as it was read any more.

        With `heads` it is written on condition too that these people have said nothing since, and each of them finds
        the room for as long as they may be in it.
        """
        ...

    def meet(self, name: str, parties: Iterable[str]) -> None:
        """Let the people of a room or conversation be found to have been in it, as long as the log of it is kept."""
        ...

    def active_holds(self) -> tuple[Hold, ...]:
        """Return the legal holds that were not released."""
        ...

    def holds(self) -> tuple[Hold, ...]:
        """Return all legal holds, those that were released included, as long as they are kept."""
        ...

    def hold(self, hold_id: str) -> Hold | None:
        """Return a legal hold, or None if there is none of that id."""
        ...

    def write_hold(self, before: Hold | None, after: Hold, change: Change | None = None) -> bool:
        """Write a hold, and with it the entry of its log; return False if it is not as it was read any more."""
        ...

    def hold_changes(self, hold_id: str) -> list[Change]:
        """Return the log of a hold, oldest first."""
        ...

    def parties_of(self, session: str) -> tuple[tuple[str, ...], str]:
        """Return the parties of a session and the id of its intent, as far as its row is still there."""
        ...

    def session_of(self, intent: str) -> str:
        """Return the SID of the session that an intent became, or an empty text."""
        ...

    def keep_rows(self, partition: str, keeps: Callable[[str], bool]) -> int:
        """Take the rows of a partition whose sort keys are kept off their time to live; return how many are held."""
        ...

    def keep_row(self, partition: str, sort: str) -> None:
        """Take a row off its time to live, if it is there and has one, and remember that."""
        ...

    def free_rows(self, partition: str, frees: Callable[[str], bool]) -> int:
        """Give rows of a partition their time to live back; return how many."""
        ...

    def free_row(self, partition: str, sort: str) -> None:
        """Give a row its time to live back, if it is there and a hold took it."""
        ...

    def log_read(self, read: Read) -> None:
        """Write that somebody was let read a record."""
        ...

    def reads_of(self, sid: str) -> list[Read]:
        """Return who was let read a record, oldest first."""
        ...

    def postpone_deletion(
        self, resource: Resource, due: datetime, first_asked_at: datetime, record_sid: str = "", why: Why = ...
    ) -> None:
        """Note that a resource is to be deleted at Twilio later, and why; refusals are counted, from the first one on.

        `record_sid` is the record that it belongs to, if that is another resource's.
        """
        ...

    def settle_deletion(self, resource: Resource) -> None:
        """Note that a resource that waited is gone; one that never waited is no error."""
        ...

    def pending_deletions(self) -> Iterator[PendingDeletion]:
        """Yield everything that waits to be deleted at Twilio, due or not."""
        ...

    def due_deletions(self, now: datetime, limit: int) -> list[PendingDeletion]:
        """Return at most `limit` of those that are to be tried again now, the longest due first."""
        ...

    def waiting(self, sids: Sequence[str]) -> dict[str, PendingDeletion]:
        """Return those of `sids` that wait to be deleted, with what for."""
        ...

    def has_heard(self, party: str, source: str) -> bool:
        """Tell whether something that a person said was taken, `source` being its id."""
        ...

    def sessions_of(self, party: str) -> tuple[str, ...]:
        """Return the SIDs of the sessions of one person of which anything is kept, open or closed."""
        ...

    def resources_in(self, session: str) -> frozenset[str]:
        """Return the SIDs of the messages, calls and interactions that the log of a session names."""
        ...

    def request_limit(self, name: str) -> Limit:
        """Return how many requests each sweeper may have in flight at a part of Twilio."""
        ...

    def set_request_limit(self, name: str, before: Limit, after: Limit) -> bool:
        """Write another limit; return False if it is not `before` any more."""
        ...

    def suppression(self, party: str) -> Suppression | None:
        """Return what stays of a person who was erased, or None if they never were."""
        ...

    def head(self, party: str) -> Head:
        """Return the end of one person's chain; that of an empty one if there is none."""
        ...

    def erasure(self, erasure_id: str) -> Erasure | None:
        """Return an erasure that is under way or held, or None."""
        ...

    def begin_erasure(self, erasure: Erasure, suppression: Suppression) -> bool:
        """Write an erasure that is new, and that the person is erased; return False if somebody else was faster."""
        ...

    def save_erasure(self, before: Erasure, after: Erasure, suppression: Suppression | None = None) -> bool:
        """Write how far an erasure has come; return False if it is not as it was read any more."""
        ...

    def progress(self, erasure_id: str) -> list[Progress]:
        """Return what became of every item of an erasure, in the order in which they go."""
        ...

    def write_progress(self, erasure_id: str, progress: Iterable[Progress]) -> None:
        """Write what became of items."""
        ...

    def forget_item(self, erasure_id: str, name: str) -> None:
        """Remove the row of one item of an erasure, by the item's name. Raises LedgerError."""
        ...

    def end_erasure(self, erasure_id: str) -> None:
        """Remove an erasure that is proven."""
        ...

    def note_held(self, erasure_id: str) -> None:
        """Note that an erasure waits for the release of a legal hold."""
        ...

    def held_erasures(self) -> list[str]:
        """Return the ids of the erasures that wait for the release of a legal hold."""
        ...

    def past_of(self, party: str) -> dict[str, tuple[str, ...]]:
        """Return the sessions and intents of a person, with the parties of each, as far as anything of them is kept."""
        ...

    def interactions(self, session: str, sid: str = "") -> list[Mapping[str, str]]:
        """Return the rows of the interaction log of a session, or of one interaction in it, as texts."""
        ...

    def rows_under(self, partition: str) -> list[tuple[str, bool]]:
        """Return the sort keys of a partition, and of each whether it is of something that goes on."""
        ...

    def person_rows(self, party: str) -> int:
        """Return how many rows are a person's own."""
        ...

    def remove_rows(self, partition: str, sorts: Sequence[str]) -> int:
        """Remove rows of a partition by their sort keys; return how many were given."""
        ...

    def remove_row(self, partition: str, sort: str, session: str = "") -> bool:
        """Remove one row, if it belongs to `session` where that is given; return False if there was none."""
        ...

    def last_record(self, erasure: Erasure) -> Suppression | None:
        """Return the suppression of a person up to whose last record everything goes, or None if it stays as it is."""
        ...

    def remove_person(self, erasure: Erasure) -> tuple[int, bool]:
        """Remove the rows of a person that go; return how many, and whether none of them is left."""
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
        self,
        identifiers: Sequence[str],
        *,
        unique_name: str,
        ttl: int,
        closes_at: datetime,
        mode: str,
        idle: int = 0,
        reopens: str = "",
    ) -> OpenedSession:
        """Open a masked session between the holders of plain numbers.

        `idle` and `reopens` are for sessions of our own: after how many seconds without an interaction it ends (0:
        never), and the earlier session whose masked numbers it gets.
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

    def redirect_call(self, sid: str, url: str) -> None:
        """Let a live call go on with the document of a URL. One that is over or gone is no error."""
        ...

    def place_call(
        self, caller: str, to: str, *, url: str, fallback: str, status: str, rings: int, time_limit: int
    ) -> str:
        """Call somebody from a masked number, who hears the document of `url`; return the call's SID."""
        ...

    def seats(self, sid: str, *, urgent: bool = False) -> list[Seat]:
        """Return the places in a session, open or closed."""
        ...

    def send(self, sender: str, to: str, body: str, *, urgent: bool = False) -> str:
        """Text somebody from a number or Messaging Service of the account; return the message's SID.

        It is never sent twice, so an answer that was lost is an error.
        """
        ...

    def relay(self, sender: str, to: str, body: str, *, media: Sequence[str], callback: str) -> str:
        """Text somebody from a masked number, with files by their addresses; return the message's SID.

        What becomes of it is told to the URL `callback`. It is never sent twice.
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

    def messages(
        self, since: datetime, until: datetime | None, limit: int, *, sender: str = ""
    ) -> tuple[list[Message], bool]:
        """Read at most `limit` messages of the account, or of one sender, oldest first; tell whether that was all."""
        ...

    def alerts(self, code: int, since: datetime, until: datetime | None, limit: int) -> tuple[list[Alert], bool]:
        """Read at most `limit` alerts; return those with an error code, oldest first, and whether that was all."""
        ...
